//! Patches on the host: what each window of a convolution holds, as rows of a matrix, some output rows at a time.

#![expect(
    clippy::inline_always,
    reason = "what runs in `vectorized` must be part of it to use the machine's vectors"
)]

use std::cell::Cell;
use std::ops::Range;

use super::super::real::Real;
use super::super::vector::vectorized;
use super::super::view::View;
use super::Product;
use super::matrix::Matrix;

/// Bytes of patches at a time: they stay in a core's second cache. The weight gradient, whose sums are read and written
/// once for each part, takes more.
pub const FORWARD_BYTES: usize = 384 << 10;
pub const WEIGHT_BYTES: usize = 4 << 20;
/// Bytes of a thread's scratch memory that are kept for its next use.
const KEPT_BYTES: usize = 8 << 20;
/// Numbers that are copied at a time.
const CHUNK: usize = 16;

thread_local! {
    /// In 8-byte words, so that any number is aligned.
    static SCRATCH: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
}

/// Gives `work` so many numbers, which hold anything. A thread uses the same memory again: fresh memory is cleared by the
/// system, page by page, which was 9 % of the inference of `nets/small.net`.
pub fn with_scratch<T: Real, R>(count: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    let mut words = SCRATCH.take();
    let needed = (count * size_of::<T>()).div_ceil(8);
    if words.len() < needed {
        words.resize(needed, 0);
    }
    let result = work(&mut bytemuck::cast_slice_mut(&mut words)[..count]);
    if words.len() * 8 <= KEPT_BYTES {
        SCRATCH.set(words);
    }
    result
}

impl Product {
    /// Output rows whose patches fill so many bytes. They do not depend on the number of threads.
    pub(super) fn rows_at_once<T: Real>(&self, bytes: usize) -> usize {
        let (oh, ow) = self.output();
        let row = size_of::<T>() * ow * self.panels.depth();
        oh.div_ceil(oh.div_ceil((bytes / row).clamp(1, oh)))
    }

    /// Whether each output pixel is made of the one input pixel at its place.
    pub(super) fn is_pointwise(&self) -> bool {
        let w = &self.window;
        w.size.area() == 1 && w.stride.area() == 1 && w.pad.height + w.pad.width == 0
    }

    /// Whether the patches of one group are the source itself, a row a pixel.
    fn patches_are_pixels(&self) -> bool {
        let [_, height, width] = self.src.shape.dimensions();
        self.is_pointwise() && (height == 1 || self.src.row == width * self.src.pixel)
    }

    /// Gives `work` the patches of some output rows of image `n`, group `g`: a row an output pixel, `[KY][KX][IC]` in it;
    /// zeros outside the image. They are the source itself where its pixels are patches.
    pub(super) fn with_patches<T: Real, R>(
        &self,
        src: &[T],
        (n, g): (usize, usize),
        rows: Range<usize>,
        work: impl FnOnce(&[T], Matrix) -> R,
    ) -> R {
        let (p, (_, ow)) = (&self.panels, self.output());
        let pixels = rows.len() * ow;
        if self.patches_are_pixels() {
            let start = self.src.at(n, g * p.inputs, rows.start, 0);
            return work(src, Matrix::new(pixels, p.inputs, start, self.src.pixel));
        }
        let window = &self.window;
        let lines = (rows.len() - 1) * window.stride.height + p.height;
        let padded = lines * self.padded_row() + CHUNK;
        with_scratch(
            padded + pixels * p.depth() + CHUNK,
            |scratch: &mut [T]| {
                let (padded, patches) = scratch.split_at_mut(padded);
                vectorized(
                    #[inline(always)]
                    || {
                        self.pad_lines(src, (n, g), rows.start * window.stride.height, padded);
                        self.gather(padded, rows.len(), patches);
                    },
                );
                work(patches, Matrix::new(pixels, p.depth(), 0, p.depth()))
            },
        )
    }

    /// Numbers of a row of the input with its padding.
    fn padded_row(&self) -> usize {
        (self.input().1 + 2 * self.window.pad.width) * self.panels.inputs
    }

    /// Copies input rows of one group, from the padded image's row `first` on, with zeros around the image.
    #[inline(always)]
    fn pad_lines<T: Real>(
        &self,
        src: &[T],
        (n, g): (usize, usize),
        first: usize,
        padded: &mut [T],
    ) {
        let (ic, (ih, iw), pad) = (self.panels.inputs, self.input(), self.window.pad);
        let lines = padded.chunks_exact_mut(self.padded_row());
        for (line, y) in lines.zip(first..) {
            let Some(y) = y.checked_sub(pad.height).filter(|y| *y < ih) else {
                line.fill(T::zero());
                continue;
            };
            let (left, rest) = line.split_at_mut(pad.width * ic);
            let (inside, right) = rest.split_at_mut(iw * ic);
            left.fill(T::zero());
            right.fill(T::zero());
            let at = self.src.at(n, g * ic, y, 0);
            if self.src.pixel == ic {
                inside.copy_from_slice(&src[at..at + iw * ic]);
            } else {
                for (x, inside) in inside.chunks_exact_mut(ic).enumerate() {
                    let at = at + x * self.src.pixel;
                    inside.copy_from_slice(&src[at..at + ic]);
                }
            }
        }
    }

    /// Puts the patches of so many output rows together. Whole chunks are copied: what one writes too much, the next run
    /// writes over.
    #[inline(always)]
    fn gather<T: Real>(&self, padded: &[T], rows: usize, patches: &mut [T]) {
        let (p, stride, (_, ow)) = (&self.panels, self.window.stride, self.output());
        let (line, run) = (self.padded_row(), p.width * p.inputs);
        for oy in 0..rows {
            for ox in 0..ow {
                for ky in 0..p.height {
                    let from = (oy * stride.height + ky) * line + ox * stride.width * p.inputs;
                    let to = (oy * ow + ox) * p.depth() + ky * run;
                    let whole = run.next_multiple_of(CHUNK);
                    let (from, to) = (&padded[from..from + whole], &mut patches[to..to + whole]);
                    let chunks = to.chunks_exact_mut(CHUNK).zip(from.chunks_exact(CHUNK));
                    chunks.for_each(|(to, from)| to.copy_from_slice(from));
                }
            }
        }
    }

    /// Adds the patches of some output rows back to the pixels they came from.
    #[inline(always)]
    pub(super) fn add_patches<T: Real>(
        &self,
        patches: &[T],
        rows: Range<usize>,
        d_src: &mut [T],
        view: &View,
        g: usize,
    ) {
        let (p, w, (ih, iw), (_, ow)) = (&self.panels, &self.window, self.input(), self.output());
        for (row, oy) in rows.enumerate() {
            for ky in 0..p.height {
                let y = (oy * w.stride.height + ky).checked_sub(w.pad.height);
                let Some(y) = y.filter(|y| *y < ih) else {
                    continue;
                };
                for ox in 0..ow {
                    let left = ox * w.stride.width;
                    // The filter columns that lie inside the image.
                    let first = w.pad.width.saturating_sub(left).min(p.width);
                    let last = (iw + w.pad.width).saturating_sub(left).min(p.width);
                    if first >= last {
                        continue;
                    }
                    let from = (row * ow + ox) * p.depth() + (ky * p.width + first) * p.inputs;
                    let to = view.at(0, g * p.inputs, y, left + first - w.pad.width);
                    if view.pixel == p.inputs {
                        add(
                            &mut d_src[to..],
                            &patches[from..][..(last - first) * p.inputs],
                        );
                    } else {
                        for k in 0..last - first {
                            let (to, from) = (to + k * view.pixel, from + k * p.inputs);
                            add(&mut d_src[to..], &patches[from..][..p.inputs]);
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn add<T: Real>(sums: &mut [T], values: &[T]) {
    sums.iter_mut()
        .zip(values)
        .for_each(|(sum, value)| *sum += *value);
}
