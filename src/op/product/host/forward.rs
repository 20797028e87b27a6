//! The forward product on the host, with what follows it while the sums are in a core's cache: bias, activation and the
//! pooling of windows of 2 x 2.

#![expect(
    clippy::inline_always,
    reason = "what runs in `vectorized` must be part of it to use the machine's vectors"
)]

use std::mem::take as rest_of;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::super::super::activation::Function;
use super::super::super::emit::{HostBuffers, RealRoutine, Scalars, elements, elements_mut, take};
use super::super::super::pool::{Halving, larger};
use super::super::super::real::Real;
use super::super::super::shape::Shape;
use super::super::super::vector::vectorized;
use super::super::super::view::View;
use super::super::Product;
use super::super::matrix::{Matrix, Threads, multiply};
use super::super::patches::with_scratch;

/// Parts of a convolution, at least, where there are so many rows: they keep many cores busy.
const LEAST_PARTS: usize = 16;
/// Outputs of a fully connected layer at a time.
const OUTPUTS: usize = 128;
/// Outputs of a panel of its weights: where rows of all outputs lie apart by a multiple of 4 KiB, packing them takes longer.
/// The input's gradient is summed over so many at a time, as the matrix library does by itself.
pub const PANEL: usize = 512;

/// `dst = act(bias + src * weight)`.
#[derive(Debug)]
pub struct Forward {
    /// The geometry.
    pub product: Arc<Product>,
    /// What runs after the bias.
    pub act: Function,
    /// Whether there is a bias.
    pub bias: bool,
    /// The pooling of that, where nothing else is stored.
    pub pool: Option<Halving>,
    /// Whether windows may be read from the padded image, a filter row at a time. In training they are not: that rounds
    /// otherwise, and 20 steps of rounding are most of what `tests/steps.rs` allows between the engines.
    pub slides: bool,
}

/// Some output rows of an image.
struct Part<'a, T> {
    n: usize,
    rows: Range<usize>,
    /// From their first row on.
    dst: &'a mut [T],
    /// Where the largest values stood; nothing where that is not kept.
    places: &'a mut [u8],
}

impl RealRoutine for Forward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let (given, stored) = buffers.split_at_mut(2 + usize::from(self.bias));
        let bias: &[T] = given.get(2).map_or(&[], |bias| elements(bias));
        let (src, weight): (&[T], &[T]) = (elements(given[0]), elements(given[1]));
        let (dst, places): (&mut [T], &mut [u8]) = if stored.len() > 1 {
            let [dst, places] = take(stored);
            (elements_mut(dst), places)
        } else {
            let [dst] = take(stored);
            (elements_mut(dst), &mut [])
        };
        if self.product.is_rows() {
            return self.rows(src, weight, bias, dst);
        }
        self.parts(dst, places)
            .into_par_iter()
            .for_each(|part| self.part((src, weight, bias), part));
    }
}

impl Forward {
    /// Where it stores, and output rows of the product for one of a row stored.
    fn stored(&self) -> (&View, usize) {
        match &self.pool {
            Some(pool) => (&pool.dst, 2),
            None => (&self.product.dst, 1),
        }
    }

    fn slides(&self) -> bool {
        self.slides && self.product.slides()
    }

    /// The whole work, in parts that do not depend on the number of threads.
    fn parts<'a, T: Real>(&self, dst: &'a mut [T], places: &'a mut [u8]) -> Vec<Part<'a, T>> {
        let (product, (view, tall)) = (&self.product, self.stored());
        let [channels, height, width] = view.shape.dimensions();
        let share = (height * view.batch).div_ceil(LEAST_PARTS);
        let most = (product.forward_rows::<T>(self.slides()) / tall).clamp(1, share);
        let mut places = places;
        let mut parts = Vec::with_capacity(view.batch * height.div_ceil(most));
        for (n, dst) in dst.chunks_mut(view.image).enumerate() {
            let firsts = (0..height).step_by(most);
            for (first, dst) in firsts.zip(dst.chunks_mut(most * view.row)) {
                let last = height.min(first + most);
                let count = places.len().min((last - first) * width * channels);
                let (here, rest) = rest_of(&mut places).split_at_mut(count);
                places = rest;
                parts.push(Part {
                    n,
                    rows: first * tall..last * tall,
                    dst,
                    places: here,
                });
            }
        }
        parts
    }

    fn part<T: Real>(&self, (src, weight, bias): (&[T], &[T], &[T]), part: Part<'_, T>) {
        let (product, p) = (&self.product, &self.product.panels);
        let (slides, rows, (_, ow)) = (self.slides(), part.rows.len(), product.output());
        let (channels, pitch) = (p.groups * p.outputs, product.pitch(slides));
        let view = View {
            shape: Shape::image(channels, rows, ow),
            batch: 1,
            origin: 0,
            image: rows * pitch * channels,
            row: pitch * channels,
            pixel: channels,
            halo: 0,
        };
        let count = view.elements() + product.patch_numbers(rows, slides);
        with_scratch(count, |scratch: &mut [T]| {
            let (sums, scratch) = scratch.split_at_mut(view.elements());
            for g in 0..p.groups {
                let from = (part.n, g);
                let patches = product.patches(src, from, part.rows.clone(), scratch, slides);
                for panel in 0..p.count() {
                    let b = product.panel(g, panel);
                    let to = g * p.outputs + panel * p.panel;
                    let c = Matrix::new((rows - 1) * pitch + ow, b.columns, to, channels);
                    patches.multiply((&mut *sums, c), (weight, b));
                }
            }
            vectorized(
                #[inline(always)]
                || {
                    self.store(
                        (&mut *sums, &view),
                        bias,
                        (&mut *part.dst, &mut *part.places),
                    );
                },
            );
        });
    }

    /// Stores what comes of the sums of some rows.
    #[inline(always)]
    fn store<T: Real>(
        &self,
        (sums, from): (&mut [T], &View),
        bias: &[T],
        (dst, places): (&mut [T], &mut [u8]),
    ) {
        let [channels, height, width] = from.shape.dimensions();
        let Some(pool) = &self.pool else {
            for y in 0..height {
                for x in 0..width {
                    let (at, to) = (from.at(0, 0, y, x), self.product.dst.at(0, 0, y, x));
                    self.finished(&sums[at..at + channels], bias, &mut dst[to..to + channels]);
                }
            }
            return;
        };
        if pool.keep {
            for pixel in sums.chunks_exact_mut(channels) {
                self.finish(pixel, bias);
            }
            return pool.with_places((&*sums, from), dst, places);
        }
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                let cells = Halving::cells((&*sums, from), (y, x));
                let to = pool.dst.at(0, 0, y, x);
                self.pooled(cells, bias, &mut dst[to..to + channels]);
            }
        }
    }

    /// A fully connected layer: some outputs at a time, of all rows.
    fn rows<T: Real>(&self, src: &[T], weight: &[T], bias: &[T], dst: &mut [T]) {
        let (product, p, view) = (&self.product, &self.product.panels, &self.product.dst);
        let (_, rows) = product.output();
        let blocks = (0..p.count()).flat_map(|panel| {
            let whole = product.panel(0, panel);
            (0..whole.columns)
                .step_by(OUTPUTS)
                .map(move |first| Matrix {
                    columns: OUTPUTS.min(whole.columns - first),
                    offset: whole.offset + first,
                    ..whole
                })
        });
        let blocks: Vec<Matrix> = blocks.collect();
        let a = Matrix::new(
            rows,
            p.inputs,
            product.src.at(0, 0, 0, 0),
            product.src.pixel,
        );
        let results: Vec<Vec<T>> = blocks
            .into_par_iter()
            .map(|b| {
                let mut result = vec![T::zero(); rows * b.columns];
                let c = Matrix::new(rows, b.columns, 0, b.columns);
                multiply((&mut result, c), (src, a), (weight, b), false, Threads::One);
                result
            })
            .collect();
        let outputs = dst.par_chunks_mut(view.pixel).take(rows).enumerate();
        outputs.for_each(|(row, dst)| {
            let out = &mut dst[view.origin..view.origin + p.outputs];
            let mut first = 0;
            for result in &results {
                let columns = result.len() / rows;
                let values = &result[row * columns..(row + 1) * columns];
                out[first..first + columns].copy_from_slice(values);
                first += columns;
            }
            vectorized(
                #[inline(always)]
                || self.finish(out, bias),
            );
        });
    }

    /// Bias and activation of a pixel.
    #[inline(always)]
    fn finish<T: Real>(&self, out: &mut [T], bias: &[T]) {
        if self.bias {
            let both = out.iter_mut().zip(bias);
            both.for_each(|(out, bias)| *out += *bias);
        }
        self.act.apply(out);
    }

    /// The same, from sums to where they are stored.
    #[inline(always)]
    fn finished<T: Real>(&self, sums: &[T], bias: &[T], out: &mut [T]) {
        if self.bias {
            let both = sums.iter().zip(bias);
            self.act.map(both.map(|(&sum, &bias)| sum + bias), out);
        } else {
            self.act.map(sums.iter().copied(), out);
        }
    }

    /// The same of the largest of four sums: neither bias nor activation changes which it is.
    #[inline(always)]
    fn pooled<T: Real>(&self, [a, b, c, d]: [&[T]; 4], bias: &[T], out: &mut [T]) {
        let (upper, lower) = (a.iter().zip(b), c.iter().zip(d));
        let most = upper
            .zip(lower)
            .map(|((&a, &b), (&c, &d))| larger(larger(a, b), larger(c, d)));
        if self.bias {
            self.act
                .map(most.zip(bias).map(|(most, &bias)| most + bias), out);
        } else {
            self.act.map(most, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::parameter::Panels;
    use super::super::super::super::shape::{Size, Window};
    use super::*;

    const IMAGES: usize = 2;

    fn product(channels: usize, filters: usize, groups: usize, size: (usize, usize)) -> Product {
        let square = Size::square;
        let (inputs, outputs) = (channels / groups, filters / groups);
        Product {
            src: View::packed(Shape::image(channels, size.0, size.1), IMAGES, 0),
            dst: View::packed(Shape::image(filters, size.0, size.1), IMAGES, 0),
            window: Window {
                size: square(3),
                stride: square(1),
                pad: square(1),
                ceil: false,
            },
            panels: Panels {
                outputs,
                inputs,
                height: 3,
                width: 3,
                groups,
                panel: outputs,
            },
        }
    }

    /// Whole numbers, so that no order of sums rounds.
    fn numbers(count: usize, factor: usize) -> Vec<f32> {
        (0..count).map(|i| (i * factor % 11) as f32 - 5.0).collect()
    }

    fn forward(product: &Product, pool: Option<Halving>, slides: bool) -> Forward {
        Forward {
            product: Arc::new(*product),
            act: Function::Relu,
            bias: true,
            pool,
            slides,
        }
    }

    /// Runs it; gives what it stores and the places.
    fn run(forward: &Forward, [src, weight, bias]: &[Vec<f32>; 3]) -> (Vec<f32>, Vec<u8>) {
        let (view, _) = forward.stored();
        let (mut src, mut weight, mut bias) = (src.clone(), weight.clone(), bias.clone());
        let mut dst = vec![0.0_f32; view.elements()];
        let keep = forward.pool.as_ref().is_some_and(|pool| pool.keep);
        let mut places = vec![9; IMAGES * view.shape.elements()];
        let mut buffers: Vec<&mut [u8]> = [&mut src, &mut weight, &mut bias, &mut dst]
            .map(|values| bytemuck::cast_slice_mut(values))
            .into();
        if keep {
            buffers.push(&mut places);
        }
        forward.run_real::<f32>(&mut buffers, &Scalars::default());
        (dst, places)
    }

    /// Output `(n, o, y, x)` by the definition.
    fn value(
        product: &Product,
        [src, weight, bias]: &[Vec<f32>; 3],
        [n, o, y, x]: [usize; 4],
    ) -> f32 {
        let (p, (height, width)) = (&product.panels, product.input());
        let g = o / p.outputs;
        let mut sum = bias[o];
        for (ky, kx, i) in
            (0..9 * p.inputs).map(|at| (at / p.inputs / 3, at / p.inputs % 3, at % p.inputs))
        {
            let (Some(y), Some(x)) = ((y + ky).checked_sub(1), (x + kx).checked_sub(1)) else {
                continue;
            };
            if y < height && x < width {
                let depth = (g * 9 + ky * 3 + kx) * p.inputs + i;
                let value = src[product.src.at(n, g * p.inputs + i, y, x)];
                sum += value * weight[depth * p.panel + o % p.outputs];
            }
        }
        if sum < 0.0 { 0.0 } else { sum }
    }

    #[test]
    fn each_way_to_the_patches_gives_the_sums_and_pools_them() {
        for (channels, filters, groups) in [(3, 5, 1), (24, 6, 1), (48, 6, 2), (48, 4, 4)] {
            let whole = product(channels, filters, groups, (9, 11));
            assert_eq!(whole.slides(), channels / groups >= 22);
            let mut given = [
                numbers(whole.src.elements(), 7),
                numbers(whole.panels.elements(), 5),
                numbers(filters, 3),
            ];
            let (dst, _) = run(&forward(&whole, None, true), &given);
            let at = |n, o, y, x| dst[whole.dst.at(n, o, y, x)];
            for n in 0..IMAGES {
                for (o, y, x) in (0..filters * 99).map(|i| (i / 99, i % 99 / 11, i % 11)) {
                    assert_eq!(at(n, o, y, x), value(&whole, &given, [n, o, y, x]));
                }
            }
            let pool = |keep| Halving {
                dst: View::packed(Shape::image(filters, 4, 5), IMAGES, 0),
                keep,
            };
            let half = whole.halved();
            let (most, places) = run(&forward(&half, Some(pool(true)), false), &given);
            assert_eq!(
                run(&forward(&half, Some(pool(false)), true), &given).0,
                most
            );
            for n in 0..IMAGES {
                for (o, y, x) in (0..filters * 20).map(|i| (i / 20, i % 20 / 5, i % 5)) {
                    let cells = [(0, 0), (0, 1), (1, 0), (1, 1)];
                    let cells = cells.map(|(dy, dx)| at(n, o, 2 * y + dy, 2 * x + dx));
                    let largest = cells.into_iter().fold(0.0, f32::max);
                    assert_eq!(most[pool(true).dst.at(n, o, y, x)], largest);
                    let place = places[((n * 4 + y) * 5 + x) * filters + o];
                    let first = cells.iter().position(|&cell| cell == largest);
                    assert_eq!(Some(usize::from(place)), first);
                }
            }
            // A NaN in the input reaches every window that holds it.
            given[0][whole.src.at(0, 0, 4, 4)] = f32::NAN;
            for keep in [false, true] {
                let (most, _) = run(&forward(&half, Some(pool(keep)), !keep), &given);
                let nans = most.iter().filter(|value| value.is_nan()).count();
                assert_eq!(nans, 4 * filters / groups);
            }
        }
    }
}
