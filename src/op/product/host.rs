//! The product on the host: patches of the input as rows of a matrix, and a matrix library.
//!
//! Images run side by side; a fully connected layer, which has one "image", runs one product on all threads. Sums are
//! taken in an order that does not depend on the number of threads.

use std::sync::Arc;

use rayon::prelude::*;

use super::super::activation::Function;
use super::super::emit::{HostBuffers, RealRoutine, Scalars, elements, elements_mut, take};
use super::super::optimizer::Rule;
use super::super::parameter::{Layout, Panels};
use super::super::real::Real;
use super::super::view::View;
use super::Product;
use super::matrix::{Matrix, Threads, multiply};

/// `dst = act(bias + src * weight)`.
#[derive(Debug)]
pub struct Forward {
    /// The geometry.
    pub product: Arc<Product>,
    /// What runs after the bias.
    pub act: Function,
    /// Whether there is a bias.
    pub bias: bool,
}

/// `d_src` from `d_dst`.
#[derive(Debug)]
pub struct BackwardData {
    /// The geometry; its `dst` is not used.
    pub product: Arc<Product>,
    /// The layout of `d_dst`.
    pub d_dst: View,
    /// The layout of `d_src`.
    pub d_src: View,
    /// How the weights are packed where they come transposed.
    pub transposed: Option<Panels>,
}

/// `d_weight`, one part a chunk of images.
#[derive(Debug)]
pub struct BackwardWeight {
    /// The geometry; its `dst` is not used.
    pub product: Arc<Product>,
    /// The layout of `d_dst`.
    pub d_dst: View,
    /// Images of a chunk.
    pub chunk: usize,
    /// The update of the weights, in place of writing their gradient: with one image only.
    pub update: Option<Rule>,
}

/// `d_bias`, one part a chunk of rows.
#[derive(Debug)]
pub struct BackwardBias {
    /// The layout of `d_dst`.
    pub d_dst: View,
    /// Rows of a chunk.
    pub chunk: usize,
}

/// The sum of parts.
#[derive(Debug)]
pub struct SumChunks {
    /// Numbers of a part.
    pub count: usize,
}

/// Weights from panels over outputs to panels over inputs.
#[derive(Debug)]
pub struct Transpose {
    /// As they are.
    pub from: Panels,
    /// As they are wanted: inputs and outputs exchanged.
    pub to: Panels,
}

/// A batch of gradients, outputs first: `[outputs][whole]`, zeros beyond the batch.
#[derive(Debug)]
pub struct TransposeRows {
    /// The layout of `d_dst`.
    pub d_dst: View,
    /// Rows of the batch in whole tiles.
    pub whole: usize,
}

/// `d_src` of a fully connected layer from `d_dst`, outputs first.
#[derive(Debug)]
pub struct FromTransposed {
    /// The geometry; its `dst` is not used.
    pub product: Arc<Product>,
    /// The layout that `d_dst` had.
    pub d_dst: View,
    /// The layout of `d_src`.
    pub d_src: View,
    /// Rows of the batch in whole tiles.
    pub whole: usize,
}

impl Product {
    fn threads(&self) -> Threads {
        if self.images() == 1 {
            Threads::All
        } else {
            Threads::One
        }
    }

    /// Whether the patches of one group are the source itself, a row a pixel.
    fn patches_are_pixels(&self) -> bool {
        let (w, [_, height, width]) = (&self.window, self.src.shape.dimensions());
        w.size.area() == 1
            && w.stride.area() == 1
            && w.pad.area() == 0
            && w.pad.height + w.pad.width == 0
            && (height == 1 || self.src.row == width * self.src.pixel)
    }

    /// The [patches](Self::patches) as a matrix: the source itself where it is one, else put together in `own`.
    fn patch_matrix<'a, T: Real>(
        &self,
        src: &'a [T],
        n: usize,
        g: usize,
        own: &'a mut Vec<T>,
    ) -> (&'a [T], Matrix) {
        let p = &self.panels;
        let (oh, ow) = self.output();
        if self.patches_are_pixels() {
            let start = self.src.at(n, g * p.inputs, 0, 0);
            return (src, Matrix::new(oh * ow, p.inputs, start, self.src.pixel));
        }
        *own = self.patches(src, n, g);
        (own, Matrix::new(oh * ow, p.depth(), 0, p.depth()))
    }

    /// The patches of image `n`, group `g`: a row an output pixel, `[KY][KX][IC]` in it; zeros outside the image.
    fn patches<T: Real>(&self, src: &[T], n: usize, g: usize) -> Vec<T> {
        let p = &self.panels;
        let ((ih, iw), (oh, ow)) = (self.input(), self.output());
        let (ic, depth) = (p.inputs, p.depth());
        let mut patches = vec![T::zero(); oh * ow * depth];
        for oy in 0..oh {
            for ky in 0..p.height {
                let Some(y) = (oy * self.window.stride.height + ky)
                    .checked_sub(self.window.pad.height)
                    .filter(|y| *y < ih)
                else {
                    continue;
                };
                for ox in 0..ow {
                    let row = (oy * ow + ox) * depth + ky * p.width * ic;
                    let left = ox * self.window.stride.width;
                    // The filter columns that lie inside the image.
                    let first = self.window.pad.width.saturating_sub(left).min(p.width);
                    let last = (iw + self.window.pad.width)
                        .saturating_sub(left)
                        .min(p.width);
                    if first >= last {
                        continue;
                    }
                    let x = left + first - self.window.pad.width;
                    let from = self.src.at(n, g * ic, y, x);
                    if self.src.pixel == ic {
                        patches[row + first * ic..row + last * ic]
                            .copy_from_slice(&src[from..from + (last - first) * ic]);
                    } else {
                        for kx in first..last {
                            let at = from + (kx - first) * self.src.pixel;
                            patches[row + kx * ic..row + (kx + 1) * ic]
                                .copy_from_slice(&src[at..at + ic]);
                        }
                    }
                }
            }
        }
        patches
    }

    /// Adds patches back to the pixels they came from.
    fn add_patches<T: Real>(&self, patches: &[T], d_src: &mut [T], view: &View, g: usize) {
        let p = &self.panels;
        let ((ih, iw), (oh, ow)) = (self.input(), self.output());
        for oy in 0..oh {
            for ky in 0..p.height {
                let Some(y) = (oy * self.window.stride.height + ky)
                    .checked_sub(self.window.pad.height)
                    .filter(|y| *y < ih)
                else {
                    continue;
                };
                for ox in 0..ow {
                    for kx in 0..p.width {
                        let Some(x) = (ox * self.window.stride.width + kx)
                            .checked_sub(self.window.pad.width)
                            .filter(|x| *x < iw)
                        else {
                            continue;
                        };
                        let from = (oy * ow + ox) * p.depth() + (ky * p.width + kx) * p.inputs;
                        let to = view.at(0, g * p.inputs, y, x);
                        let values = &patches[from..from + p.inputs];
                        for (sum, value) in d_src[to..to + p.inputs].iter_mut().zip(values) {
                            *sum += *value;
                        }
                    }
                }
            }
        }
    }

    /// One group's panel `panel` of packed weights as a matrix `[depth][columns that exist]`.
    fn panel(&self, g: usize, panel: usize) -> Matrix {
        let p = &self.panels;
        let columns = (p.outputs - panel * p.panel).min(p.panel);
        Matrix::new(
            p.depth(),
            columns,
            (g * p.count() + panel) * p.depth() * p.panel,
            p.panel,
        )
    }
}

/// One image's values of one group of channels, a row a pixel, without gaps.
fn pixels<T: Real>(values: &[T], view: &View, n: usize, first: usize, channels: usize) -> Vec<T> {
    let [_, height, width] = view.shape.dimensions();
    let mut rows = Vec::with_capacity(height * width * channels);
    for y in 0..height {
        for x in 0..width {
            let at = view.at(n, first, y, x);
            rows.extend_from_slice(&values[at..at + channels]);
        }
    }
    rows
}

impl RealRoutine for Forward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let (src, weight, bias, dst): (&[T], &[T], &[T], &mut [T]) = if self.bias {
            let [src, weight, bias, dst] = take(buffers);
            (
                elements(src),
                elements(weight),
                elements(bias),
                elements_mut(dst),
            )
        } else {
            let [src, weight, dst] = take(buffers);
            (elements(src), elements(weight), &[], elements_mut(dst))
        };
        let (product, p, view) = (&self.product, &self.product.panels, &self.product.dst);
        let (oh, ow) = product.output();
        dst.par_chunks_mut(view.image)
            .enumerate()
            .for_each(|(n, dst)| {
                for g in 0..p.groups {
                    let mut result = vec![T::zero(); oh * ow * p.outputs];
                    let mut own = Vec::new();
                    let (a, am) = product.patch_matrix(src, n, g, &mut own);
                    for panel in 0..p.count() {
                        let b = product.panel(g, panel);
                        let c = Matrix::new(oh * ow, b.columns, panel * p.panel, p.outputs);
                        multiply(
                            (&mut result, c),
                            (a, am),
                            (weight, b),
                            false,
                            product.threads(),
                        );
                    }
                    for (pixel, row) in result.chunks_exact(p.outputs).enumerate() {
                        let to = view.at(0, g * p.outputs, pixel / ow, pixel % ow);
                        let out = &mut dst[to..to + p.outputs];
                        if self.bias {
                            let bias = &bias[g * p.outputs..];
                            for ((out, value), bias) in out.iter_mut().zip(row).zip(bias) {
                                *out = *value + *bias;
                            }
                        } else {
                            out.copy_from_slice(row);
                        }
                        self.act.apply(out);
                    }
                }
            });
    }
}

impl BackwardData {
    fn run<T: Real>(&self, weight: &[T], d_dst: &[T], d_src: &mut [T]) {
        let (product, p) = (&self.product, &self.product.panels);
        let (oh, ow) = product.output();
        d_src
            .par_chunks_mut(self.d_src.image)
            .enumerate()
            .for_each(|(n, d_src)| {
                for g in 0..p.groups {
                    let upstream = pixels(d_dst, &self.d_dst, n, g * p.outputs, p.outputs);
                    let mut patches = vec![T::zero(); oh * ow * p.depth()];
                    for panel in 0..p.count() {
                        let b = product.panel(g, panel);
                        let a = Matrix::new(oh * ow, b.columns, panel * p.panel, p.outputs);
                        multiply(
                            (&mut patches, Matrix::new(oh * ow, p.depth(), 0, p.depth())),
                            (&upstream, a),
                            (weight, b.transposed()),
                            panel > 0,
                            product.threads(),
                        );
                    }
                    let [_, height, width] = self.d_src.shape.dimensions();
                    for y in 0..height {
                        for x in 0..width {
                            let at = self.d_src.at(0, g * p.inputs, y, x);
                            d_src[at..at + p.inputs].fill(T::zero());
                        }
                    }
                    product.add_patches(&patches, d_src, &self.d_src, g);
                }
            });
    }
}

impl RealRoutine for BackwardData {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [weight, d_dst, d_src] = take(buffers);
        let (weight, d_dst, d_src): (&[T], &[T], &mut [T]) =
            (elements(weight), elements(d_dst), elements_mut(d_src));
        match &self.transposed {
            None => self.run(weight, d_dst, d_src),
            Some(transposed) => {
                let restored = exchange(transposed, &self.product.panels, weight);
                self.run(&restored, d_dst, d_src);
            }
        }
    }
}

impl RealRoutine for TransposeRows {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [d_dst, transposed] = take(buffers);
        let (d_dst, transposed): (&[T], &mut [T]) = (elements(d_dst), elements_mut(transposed));
        let [_, _, rows] = self.d_dst.shape.dimensions();
        for (o, transposed) in transposed.chunks_exact_mut(self.whole).enumerate() {
            transposed.fill(T::zero());
            for (n, value) in transposed[..rows].iter_mut().enumerate() {
                *value = d_dst[self.d_dst.at(0, o, 0, n)];
            }
        }
    }
}

impl RealRoutine for FromTransposed {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [weight, transposed, d_src] = take(buffers);
        let transposed: &[T] = elements(transposed);
        let mut d_dst = vec![T::zero(); self.d_dst.elements()];
        let [_, _, rows] = self.d_dst.shape.dimensions();
        for (o, transposed) in transposed.chunks_exact(self.whole).enumerate() {
            for (n, value) in transposed[..rows].iter().enumerate() {
                d_dst[self.d_dst.at(0, o, 0, n)] = *value;
            }
        }
        let inner = BackwardData {
            product: Arc::clone(&self.product),
            d_dst: self.d_dst,
            d_src: self.d_src,
            transposed: None,
        };
        inner.run(elements(weight), &d_dst, elements_mut(d_src));
    }
}

/// Weights that are updated at a time: as many rows of them as make so many numbers.
const UPDATED: usize = 1 << 17;

impl BackwardWeight {
    /// Changes the weights by their gradient, some rows of a panel at a time.
    fn update<T: Real>(&self, rule: &Rule, buffers: HostBuffers<'_, '_>, scalars: &Scalars) {
        let [src, d_dst, value, velocity] = take(buffers);
        let (src, d_dst): (&[T], &[T]) = (elements(src), elements(d_dst));
        let (value, velocity): (&mut [T], &mut [T]) = (elements_mut(value), elements_mut(velocity));
        let (product, p) = (&self.product, &self.product.panels);
        let (oh, ow) = product.output();
        for g in 0..p.groups {
            let upstream = pixels(d_dst, &self.d_dst, 0, g * p.outputs, p.outputs);
            let mut own = Vec::new();
            let (a, am) = product.patch_matrix(src, 0, g, &mut own);
            for panel in 0..p.count() {
                let c = product.panel(g, panel);
                let b = Matrix::new(oh * ow, c.columns, panel * p.panel, p.outputs);
                let most = (UPDATED / p.panel).max(1);
                for first in (0..c.rows).step_by(most) {
                    let rows = most.min(c.rows - first);
                    let mut gradient = vec![T::zero(); rows * p.panel];
                    let part = Matrix {
                        columns: rows,
                        offset: am.offset + first * am.column,
                        ..am
                    };
                    multiply(
                        (&mut gradient, Matrix::new(rows, c.columns, 0, p.panel)),
                        (a, part.transposed()),
                        (&upstream, b),
                        false,
                        product.threads(),
                    );
                    let at = c.offset + first * p.panel;
                    let (value, velocity) = (
                        &mut value[at..at + rows * p.panel],
                        &mut velocity[at..at + rows * p.panel],
                    );
                    rule.step(value, velocity, &gradient, scalars.learning_rate);
                }
            }
        }
    }
}

impl RealRoutine for BackwardWeight {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, scalars: &Scalars) {
        if let Some(rule) = &self.update {
            return self.update::<T>(rule, buffers, scalars);
        }
        let [src, d_dst, sums] = take(buffers);
        let (src, d_dst, sums): (&[T], &[T], &mut [T]) =
            (elements(src), elements(d_dst), elements_mut(sums));
        let (product, p) = (&self.product, &self.product.panels);
        let (oh, ow) = product.output();
        sums.fill(T::zero());
        sums.par_chunks_mut(p.elements())
            .enumerate()
            .for_each(|(chunk, sums)| {
                for n in chunk * self.chunk..product.images().min((chunk + 1) * self.chunk) {
                    for g in 0..p.groups {
                        let upstream = pixels(d_dst, &self.d_dst, n, g * p.outputs, p.outputs);
                        let mut own = Vec::new();
                        let (a, am) = product.patch_matrix(src, n, g, &mut own);
                        for panel in 0..p.count() {
                            let c = product.panel(g, panel);
                            let b = Matrix::new(oh * ow, c.columns, panel * p.panel, p.outputs);
                            multiply(
                                (&mut *sums, c),
                                (a, am.transposed()),
                                (&upstream, b),
                                true,
                                product.threads(),
                            );
                        }
                    }
                }
            });
    }
}

impl RealRoutine for BackwardBias {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [d_dst, sums] = take(buffers);
        let (d_dst, sums): (&[T], &mut [T]) = (elements(d_dst), elements_mut(sums));
        let [channels, height, width] = self.d_dst.shape.dimensions();
        let rows = self.d_dst.batch * height;
        sums.par_chunks_mut(channels)
            .enumerate()
            .for_each(|(chunk, sums)| {
                sums.fill(T::zero());
                let mut line = vec![T::zero(); channels];
                for row in chunk * self.chunk..rows.min((chunk + 1) * self.chunk) {
                    line.fill(T::zero());
                    for x in 0..width {
                        let at = self.d_dst.at(row / height, 0, row % height, x);
                        for (sum, value) in line.iter_mut().zip(&d_dst[at..at + channels]) {
                            *sum += *value;
                        }
                    }
                    for (sum, value) in sums.iter_mut().zip(&line) {
                        *sum += *value;
                    }
                }
            });
    }
}

impl RealRoutine for SumChunks {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [sums, dst] = take(buffers);
        let (sums, dst): (&[T], &mut [T]) = (elements(sums), elements_mut(dst));
        dst.par_chunks_mut(4096)
            .enumerate()
            .for_each(|(block, dst)| {
                dst.fill(T::zero());
                for part in sums.chunks_exact(self.count) {
                    let at = block * 4096;
                    for (sum, value) in dst.iter_mut().zip(&part[at..]) {
                        *sum += *value;
                    }
                }
            });
    }
}

/// Weights from one packing to the other with inputs and outputs exchanged.
fn exchange<T: Real>(from: &Panels, to: &Panels, weight: &[T]) -> Vec<T> {
    let (outputs, inputs, area) = (from.outputs, from.inputs, from.height * from.width);
    let logical = Layout::Panels(*from).unpack(weight, from.groups * outputs * inputs * area);
    let mut exchanged = Vec::with_capacity(logical.len());
    for g in 0..from.groups {
        for i in 0..inputs {
            for o in 0..outputs {
                let at = ((g * outputs + o) * inputs + i) * area;
                exchanged.extend_from_slice(&logical[at..at + area]);
            }
        }
    }
    Layout::Panels(*to).pack(&exchanged)
}

impl RealRoutine for Transpose {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [weight, transposed] = take(buffers);
        let whole = exchange::<T>(&self.from, &self.to, elements(weight));
        elements_mut::<T>(transposed).copy_from_slice(&whole);
    }
}
