//! Winograd's filtering in plain Rust: the matrices of `kernels/winograd.cl` applied as they are.

use std::sync::Arc;

use rayon::prelude::*;

use super::super::super::activation::Function;
use super::super::super::emit::{HostBuffers, RealRoutine, Scalars, elements, elements_mut, take};
use super::super::super::parameter::Panels;
use super::super::super::real::Real;
use super::super::super::view::View;
use super::super::Product;
use super::{Chunk, Winograd};

/// A matrix, row by row.
struct Matrix<T> {
    rows: usize,
    columns: usize,
    values: Vec<T>,
}

impl<T: Real> Matrix<T> {
    fn new(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        let cells = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
        let values = cells.map(|(i, j)| T::of(value(i, j))).collect();
        Self {
            rows,
            columns,
            values,
        }
    }

    /// `self * x * self^T`, x square.
    fn both(&self, x: &[T]) -> Vec<T> {
        let (n, k) = (self.rows, self.columns);
        let mut mid = vec![T::zero(); n * k];
        for i in 0..n {
            for y in 0..k {
                let factor = self.values[i * k + y];
                for column in 0..k {
                    mid[i * k + column] += factor * x[y * k + column];
                }
            }
        }
        let mut out = vec![T::zero(); n * n];
        for i in 0..n {
            for j in 0..n {
                let row = &mid[i * k..(i + 1) * k];
                let other = &self.values[j * k..(j + 1) * k];
                out[i * n + j] = row.iter().zip(other).map(|(a, b)| *a * *b).sum();
            }
        }
        out
    }
}

impl Winograd {
    /// The finite points: 0 and pairs.
    fn finite(&self) -> Vec<f64> {
        let pairs: &[f64] = match self.points() {
            4 => &[1.0],
            6 => &[0.625, 1.5],
            _ => &[0.5625, 1.0, 1.75],
        };
        let pairs = pairs.iter().flat_map(|&p| [p, -p]);
        [0.0].into_iter().chain(pairs).collect()
    }

    /// `B`: points from inputs.
    fn input<T: Real>(&self) -> Matrix<T> {
        let points = self.finite();
        let rows: Vec<Vec<f64>> = (0..self.points())
            .map(|p| {
                // The coefficients of the product of (x - q), the lowest power first.
                let mut row = vec![1.0];
                for (i, q) in points.iter().enumerate() {
                    if i != p {
                        let shifted = [0.0].into_iter().chain(row.iter().copied());
                        let scaled = row.iter().map(|c| -q * c).chain([0.0]);
                        row = shifted.zip(scaled).map(|(a, b)| a + b).collect();
                    }
                }
                row.resize(self.points(), 0.0);
                row
            })
            .collect();
        Matrix::new(self.points(), self.points(), |p, i| rows[p][i])
    }

    /// `G`: points from so many weights.
    fn taps<T: Real>(&self, taps: usize) -> Matrix<T> {
        let points = self.finite();
        Matrix::new(self.points(), taps, |p, k| match points.get(p) {
            None => f64::from(k + 1 == taps),
            Some(point) => {
                let others = points.iter().enumerate().filter(|(i, _)| *i != p);
                let scale: f64 = others.map(|(_, q)| point - q).product();
                point.powi(k as i32) / scale
            }
        })
    }

    /// `A`: so many outputs from points.
    fn output<T: Real>(&self, count: usize) -> Matrix<T> {
        let points = self.finite();
        Matrix::new(count, self.points(), |i, p| match points.get(p) {
            None => f64::from(i + 1 == count),
            Some(point) => point.powi(i as i32),
        })
    }
}

/// One channel of a square of an image, `size` each way from (y, x) on; zeros beside the image.
fn square<T: Real>(
    values: &[T],
    view: &View,
    (n, c): (usize, usize),
    (y, x): (isize, isize),
    size: usize,
) -> Vec<T> {
    let [_, height, width] = view.shape.dimensions();
    let inside = |at: isize, most: usize| usize::try_from(at).ok().filter(|at| *at < most);
    let cells = (0..size as isize).flat_map(|i| (0..size as isize).map(move |j| (i, j)));
    cells
        .map(
            |(i, j)| match (inside(y + i, height), inside(x + j, width)) {
                (Some(y), Some(x)) => values[view.at(n, c, y, x)],
                _ => T::zero(),
            },
        )
        .collect()
}

/// The transformed weights.
#[derive(Debug)]
pub struct Weight {
    /// The filtering.
    pub form: Winograd,
    /// How they are packed.
    pub panels: Panels,
}

impl RealRoutine for Weight {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [weight, transformed] = take(buffers);
        let (weight, transformed): (&[T], &mut [T]) = (elements(weight), elements_mut(transformed));
        let Panels { inputs, panel, .. } = self.panels;
        let (kernel, square) = (self.form.kernel, self.form.square());
        let matrix = self.form.taps::<T>(kernel);
        transformed
            .par_chunks_mut(square * inputs * panel)
            .zip(weight.par_chunks(kernel * kernel * inputs * panel))
            .for_each(|(to, from)| {
                for at in 0..inputs * panel {
                    let g: Vec<T> = (0..kernel * kernel)
                        .map(|tap| from[tap * inputs * panel + at])
                        .collect();
                    for (point, value) in matrix.both(&g).into_iter().enumerate() {
                        to[point * inputs * panel + at] = value;
                    }
                }
            });
    }
}

/// The forward product.
#[derive(Debug)]
pub struct Forward {
    /// The filtering.
    pub form: Winograd,
    /// The geometry.
    pub product: Arc<Product>,
    /// What runs after the bias.
    pub act: Function,
    /// Whether there is a bias.
    pub bias: bool,
}

impl RealRoutine for Forward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let (src, weight, bias, dst): (&[T], &[T], &[T], &mut [T]) = if self.bias {
            let [src, weight, bias, dst, _] = take(buffers);
            (
                elements(src),
                elements(weight),
                elements(bias),
                elements_mut(dst),
            )
        } else {
            let [src, weight, dst, _] = take(buffers);
            (elements(src), elements(weight), &[], elements_mut(dst))
        };
        let (form, product) = (self.form, &*self.product);
        let (p, view, pad) = (&product.panels, &product.dst, &product.window.pad);
        let (height, width) = product.output();
        let (rows, columns) = form.tiles((height, width));
        let (input, output) = (form.input::<T>(), form.output::<T>(form.tile));
        let (points, block) = (form.square(), p.inputs * p.panel);
        dst.par_chunks_mut(view.image)
            .enumerate()
            .for_each(|(n, dst)| {
                for tile in 0..rows * columns {
                    let y0 = (tile / columns * form.tile).min(height - form.tile);
                    let x0 = (tile % columns * form.tile).min(width - form.tile);
                    let from = (
                        y0 as isize - pad.height as isize,
                        x0 as isize - pad.width as isize,
                    );
                    for g in 0..p.groups {
                        let channels: Vec<Vec<T>> = (0..p.inputs)
                            .map(|i| {
                                let at = (n, g * p.inputs + i);
                                let d = square(src, &product.src, at, from, form.points());
                                input.both(&d)
                            })
                            .collect();
                        for o in 0..p.outputs {
                            let at = (g * p.count() + o / p.panel) * points * block + o % p.panel;
                            let sum = |point: usize| -> T {
                                let weight = &weight[at + point * block..];
                                let weight = weight.iter().step_by(p.panel);
                                let of = channels.iter().zip(weight);
                                of.map(|(values, weight)| values[point] * *weight).sum()
                            };
                            let m: Vec<T> = (0..points).map(sum).collect();
                            let channel = g * p.outputs + o;
                            let add = bias.get(channel).copied().unwrap_or(T::zero());
                            let mut y: Vec<T> =
                                output.both(&m).into_iter().map(|y| y + add).collect();
                            self.act.apply(&mut y);
                            for (i, value) in y.into_iter().enumerate() {
                                let (y, x) = (y0 + i / form.tile, x0 + i % form.tile);
                                // What the tile before it has stored stays.
                                if y >= tile / columns * form.tile
                                    && x >= tile % columns * form.tile
                                {
                                    dst[view.at(0, channel, y, x)] = value;
                                }
                            }
                        }
                    }
                }
            });
    }
}

/// The input's tiles, transformed, of a chunk of images.
#[derive(Debug)]
pub struct Source {
    /// How they lie.
    pub shapes: Chunk,
    /// The geometry.
    pub product: Arc<Product>,
    /// The chunk's first image.
    pub first: usize,
}

impl Chunk {
    /// Transforms the tiles of a tensor, channel by channel: `matrix` on squares of `size`, from `-pad` on; `place` says
    /// where a channel of a tile goes (up to `whole` of them), and `point` what lies between points.
    fn transform<T: Real>(
        &self,
        (values, view, product): (&[T], &View, &Product),
        (matrix, size, pad): (&Matrix<T>, usize, (usize, usize)),
        first: usize,
        to: &mut [T],
        (channels, whole, point): (usize, usize, usize),
        place: impl Fn(usize, usize) -> usize,
    ) {
        let (rows, columns) = self.form.tiles(product.output());
        // Channels that a last vector or panel lacks are zeros.
        let tiles = rows * columns * self.images.min(product.images() - first);
        for point in to.chunks_exact_mut(point) {
            for c in channels..whole {
                (0..tiles).for_each(|tile| point[place(c, tile)] = T::zero());
            }
        }
        for image in 0..self.images.min(product.images() - first) {
            for tile in 0..rows * columns {
                let step = self.form.tile;
                let y = (tile / columns * step) as isize - pad.0 as isize;
                let x = (tile % columns * step) as isize - pad.1 as isize;
                for g in 0..self.panels.groups {
                    for c in 0..channels {
                        let at = (first + image, g * channels + c);
                        let d = square(values, view, at, (y, x), size);
                        let base = g * self.form.square() * point
                            + place(c, image * rows * columns + tile);
                        for (p, value) in matrix.both(&d).into_iter().enumerate() {
                            to[base + p * point] = value;
                        }
                    }
                }
            }
        }
    }
}

impl RealRoutine for Source {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, source] = take(buffers);
        let (chunk, form, pad) = (&self.shapes, self.shapes.form, &self.product.window.pad);
        let lanes = chunk.tile.lanes;
        chunk.transform::<T>(
            (elements(src), &self.product.src, &self.product),
            (&form.input(), form.points(), (pad.height, pad.width)),
            self.first,
            elements_mut(source),
            (
                chunk.panels.inputs,
                chunk.blocks() * lanes,
                chunk.source_point(),
            ),
            |c, tile| (c / lanes * chunk.tiles + tile) * lanes + c % lanes,
        );
    }
}

/// The upstream gradient's tiles, transformed, of a chunk of images.
#[derive(Debug)]
pub struct Upstream {
    /// How they lie.
    pub shapes: Chunk,
    /// The geometry.
    pub product: Arc<Product>,
    /// The layout of `d_dst`.
    pub d_dst: View,
    /// The chunk's first image.
    pub first: usize,
}

impl RealRoutine for Upstream {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [d_dst, upstream] = take(buffers);
        let (chunk, form) = (&self.shapes, self.shapes.form);
        let panel = chunk.panels.panel;
        chunk.transform::<T>(
            (elements(d_dst), &self.d_dst, &self.product),
            (&form.taps(form.tile), form.tile, (0, 0)),
            self.first,
            elements_mut(upstream),
            (
                chunk.panels.outputs,
                chunk.panels.count() * panel,
                chunk.upstream_point(),
            ),
            |c, tile| (c / panel * chunk.tiles + tile) * panel + c % panel,
        );
    }
}

/// Products of a chunk, added up over chunks.
#[derive(Debug)]
pub struct Multiply {
    /// How they lie.
    pub shapes: Chunk,
    /// Tiles that there are.
    pub tiles: usize,
    /// Whether there were chunks before.
    pub add: bool,
}

impl RealRoutine for Multiply {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [source, upstream, sums] = take(buffers);
        let (source, upstream, sums): (&[T], &[T], &mut [T]) =
            (elements(source), elements(upstream), elements_mut(sums));
        let chunk = &self.shapes;
        let (lanes, panel) = (chunk.tile.lanes, chunk.panels.panel);
        let rows = chunk.blocks() * lanes;
        sums.par_chunks_mut(chunk.sums_point())
            .enumerate()
            .for_each(|(point, sums)| {
                let (a, b) = (
                    &source[point * chunk.source_point()..],
                    &upstream[point * chunk.upstream_point()..],
                );
                for (at, sum) in sums.iter_mut().enumerate() {
                    let (block, i, o) = (at / panel / rows, at / panel % rows, at % panel);
                    let a = a[i / lanes * chunk.tiles * lanes + i % lanes..].iter();
                    let b = b[block * chunk.tiles * panel + o..].iter();
                    let pairs = a.step_by(lanes).zip(b.step_by(panel));
                    let total: T = pairs.take(self.tiles).map(|(a, b)| *a * *b).sum();
                    *sum = if self.add { *sum + total } else { total };
                }
            });
    }
}

/// The gradient of the weights from the sums.
#[derive(Debug)]
pub struct Gradient {
    /// How they lie.
    pub shapes: Chunk,
}

impl RealRoutine for Gradient {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [sums, d_weight] = take(buffers);
        let (sums, d_weight): (&[T], &mut [T]) = (elements(sums), elements_mut(d_weight));
        let (chunk, form) = (&self.shapes, self.shapes.form);
        let Panels { inputs, panel, .. } = chunk.panels;
        let output = form.output::<T>(form.kernel);
        let rows = chunk.blocks() * chunk.tile.lanes;
        d_weight
            .par_chunks_mut(form.kernel * form.kernel * inputs * panel)
            .enumerate()
            .for_each(|(at, to)| {
                let (g, block) = (at / chunk.panels.count(), at % chunk.panels.count());
                for i in 0..inputs {
                    for o in 0..panel {
                        let from =
                            g * form.square() * chunk.sums_point() + (block * rows + i) * panel + o;
                        let m: Vec<T> = (0..form.square())
                            .map(|point| sums[from + point * chunk.sums_point()])
                            .collect();
                        for (tap, value) in output.both(&m).into_iter().enumerate() {
                            to[(tap * inputs + i) * panel + o] = value;
                        }
                    }
                }
            });
    }
}
