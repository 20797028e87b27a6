//! Both backward products on the host, and what they need around them.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::super::super::emit::{HostBuffers, RealRoutine, Scalars, elements, elements_mut, take};
use super::super::super::optimizer::Momentum;
use super::super::super::parameter::{Layout, Panels};
use super::super::super::real::Real;
use super::super::super::vector::vectorized;
use super::super::super::view::View;
use super::super::Product;
use super::super::matrix::{Matrix, multiply};
use super::super::patches::{FORWARD_BYTES, WEIGHT_BYTES, with_scratch};

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
    pub update: Option<Momentum>,
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
    /// Whether the filters are turned by half a turn too.
    pub turned: bool,
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

impl BackwardData {
    fn run<T: Real>(&self, weight: &[T], d_dst: &[T], d_src: &mut [T]) {
        let (product, p) = (&self.product, &self.product.panels);
        let (oh, ow) = product.output();
        d_src
            .par_chunks_mut(self.d_src.image)
            .enumerate()
            .for_each(|(n, d_src)| {
                let [channels, height, width] = self.d_src.shape.dimensions();
                for y in 0..height {
                    for x in 0..width {
                        let at = self.d_src.at(0, 0, y, x);
                        d_src[at..at + channels].fill(T::zero());
                    }
                }
                let most = product.rows_at_once::<T>(FORWARD_BYTES);
                for first in (0..oh).step_by(most) {
                    let rows = first..oh.min(first + most);
                    let count = rows.len() * ow * p.depth();
                    for g in 0..p.groups {
                        with_scratch(count, |patches| {
                            self.patches((weight, d_dst), (n, g), rows.clone(), patches);
                            vectorized(
                                #[inline(always)]
                                || {
                                    product.add_patches(
                                        patches,
                                        rows.clone(),
                                        d_src,
                                        &self.d_src,
                                        g,
                                    );
                                },
                            );
                        });
                    }
                }
            });
    }

    /// The gradient of the patches of some output rows.
    fn patches<T: Real>(
        &self,
        (weight, d_dst): (&[T], &[T]),
        (n, g): (usize, usize),
        rows: Range<usize>,
        patches: &mut [T],
    ) {
        let (product, p, view) = (&self.product, &self.product.panels, &self.d_dst);
        let (runs, pixels) = product.runs(view, rows.len());
        for panel in 0..p.count() {
            let b = product.panel(g, panel);
            for run in 0..runs {
                let from = view.at(n, g * p.outputs + panel * p.panel, rows.start + run, 0);
                let a = Matrix::new(pixels, b.columns, from, view.pixel);
                let to = run * pixels * p.depth();
                multiply(
                    (&mut *patches, Matrix::new(pixels, p.depth(), to, p.depth())),
                    (d_dst, a),
                    (weight, b.transposed()),
                    panel > 0,
                    product.threads(),
                );
            }
        }
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
    fn update<T: Real>(&self, rule: &Momentum, buffers: HostBuffers<'_, '_>, scalars: &Scalars) {
        let [src, d_dst, value, velocity] = take(buffers);
        let (src, d_dst): (&[T], &[T]) = (elements(src), elements(d_dst));
        let (value, velocity): (&mut [T], &mut [T]) = (elements_mut(value), elements_mut(velocity));
        let (product, p) = (&self.product, &self.product.panels);
        let (oh, _) = product.output();
        for g in 0..p.groups {
            product.with_patches(src, (0, g), 0..oh, |patches, am| {
                for panel in 0..p.count() {
                    let c = product.panel(g, panel);
                    let most = (UPDATED / p.panel).max(1);
                    for first in (0..c.rows).step_by(most) {
                        let rows = most.min(c.rows - first);
                        let mut gradient = vec![T::zero(); rows * p.panel];
                        let of = Matrix::new(rows, c.columns, 0, p.panel);
                        let a = am.transposed().part(first, rows).transposed();
                        let (patches, d_dst) = ((patches, a), (d_dst, 0, 0));
                        self.add((&mut gradient, of), patches, d_dst, (g, panel));
                        let at = c.offset + first * p.panel;
                        let (value, velocity) = (
                            &mut value[at..at + rows * p.panel],
                            &mut velocity[at..at + rows * p.panel],
                        );
                        rule.step(value, velocity, &gradient, scalars.learning_rate);
                    }
                }
            });
        }
    }

    /// Adds the gradient of one panel's weights: from patches and the upstream gradient of image `n`, row `first` on.
    fn add<T: Real>(
        &self,
        (sums, c): (&mut [T], Matrix),
        (patches, am): (&[T], Matrix),
        (d_dst, n, first): (&[T], usize, usize),
        (g, panel): (usize, usize),
    ) {
        let (product, p, view) = (&self.product, &self.product.panels, &self.d_dst);
        let (_, ow) = product.output();
        let (runs, pixels) = product.runs(view, am.rows / ow);
        for run in 0..runs {
            let a = am.part(run * pixels, pixels).transposed();
            let from = view.at(n, g * p.outputs + panel * p.panel, first + run, 0);
            let b = Matrix::new(pixels, c.columns, from, view.pixel);
            multiply(
                (&mut *sums, c),
                (patches, a),
                (d_dst, b),
                true,
                product.threads(),
            );
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
        let (oh, _) = product.output();
        let most = product.rows_at_once::<T>(WEIGHT_BYTES);
        sums.fill(T::zero());
        sums.par_chunks_mut(p.elements())
            .enumerate()
            .for_each(|(chunk, sums)| {
                for n in chunk * self.chunk..product.images().min((chunk + 1) * self.chunk) {
                    for first in (0..oh).step_by(most) {
                        for g in 0..p.groups {
                            let rows = first..oh.min(first + most);
                            product.with_patches(src, (n, g), rows, |patches, am| {
                                for panel in 0..p.count() {
                                    let c = product.panel(g, panel);
                                    let d_dst = (d_dst, n, first);
                                    self.add((&mut *sums, c), (patches, am), d_dst, (g, panel));
                                }
                            });
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
    Layout::Panels(*to).pack(exchanged.into_iter())
}

impl RealRoutine for Transpose {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [weight, transposed] = take(buffers);
        let mut whole = exchange::<T>(&self.from, &self.to, elements(weight));
        if self.turned {
            let tap = self.to.inputs * self.to.panel;
            for panel in whole.chunks_exact_mut(self.to.height * self.to.width * tap) {
                let turned: Vec<T> = panel.rchunks_exact(tap).flatten().copied().collect();
                panel.copy_from_slice(&turned);
            }
        }
        elements_mut::<T>(transposed).copy_from_slice(&whole);
    }
}
