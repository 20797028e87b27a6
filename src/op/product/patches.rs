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
use super::matrix::{Matrix, Threads, multiply};

/// Bytes of patches at a time: they stay in a core's second cache. The weight gradient, whose sums are read and written
/// once for each part, takes more.
pub const FORWARD_BYTES: usize = 384 << 10;
pub const WEIGHT_BYTES: usize = 4 << 20;
/// Bytes of a thread's scratch memory that are kept for its next use.
const KEPT_BYTES: usize = 8 << 20;
/// Numbers that are copied at a time.
const CHUNK: usize = 16;
/// Numbers of a filter row, at least, that make a product of their own.
const LEAST_RUN: usize = 64;

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

/// The patches of some output rows: the left sides of one product, or of several that are added up.
pub struct Patches<'a, T> {
    values: &'a [T],
    first: Matrix,
    products: usize,
    /// From one left side to the next.
    step: usize,
}

impl<T: Real> Patches<'_, T> {
    /// `c = patches * b`.
    pub(super) fn multiply(&self, (c, cm): (&mut [T], Matrix), (b, bm): (&[T], Matrix)) {
        let depth = self.first.columns;
        for product in 0..self.products {
            let a = Matrix {
                offset: self.first.offset + product * self.step,
                ..self.first
            };
            let (c, b) = ((&mut *c, cm), (b, bm.part(product * depth, depth)));
            multiply(c, (self.values, a), b, product > 0, Threads::One);
        }
    }
}

impl Product {
    /// Output rows whose patches fill so many bytes. They do not depend on the number of threads.
    pub(super) fn rows_at_once<T: Real>(&self, bytes: usize) -> usize {
        let row = self.output().1 * self.panels.depth();
        self.rows_of::<T>(row, bytes)
    }

    /// The same for the forward product, with the sums.
    pub(super) fn forward_rows<T: Real>(&self, slides: bool) -> usize {
        let (p, pitch) = (&self.panels, self.pitch(slides));
        let patch = if slides { p.inputs } else { p.depth() };
        let row = pitch * (patch + p.groups * p.outputs);
        self.rows_of::<T>(row, FORWARD_BYTES)
    }

    fn rows_of<T>(&self, row: usize, bytes: usize) -> usize {
        let (oh, _) = self.output();
        let most = (bytes / (size_of::<T>() * row)).clamp(1, oh);
        oh.div_ceil(oh.div_ceil(most))
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

    /// Whether a product reads the windows from the padded image itself, a filter row at a time: the matrix of what one
    /// filter row sees has a row a pixel and overlaps itself. At the ends of the rows there are pixels of no window, for
    /// which it computes for nothing, and short filter rows gain less than the sums cost that are read and written for each.
    pub(super) fn slides(&self) -> bool {
        let (_, ow) = self.output();
        let few = 4 * (self.padded_pixels() - ow) <= ow;
        let long = self.panels.width * self.panels.inputs >= LEAST_RUN;
        self.window.stride.area() == 1 && few && long && !self.patches_are_pixels()
    }

    /// Pixels of a row of the forward product's sums.
    pub(super) fn pitch(&self, slides: bool) -> usize {
        if slides {
            self.padded_pixels()
        } else {
            self.output().1
        }
    }

    /// Numbers that [`Self::patches`] takes for so many output rows.
    pub(super) fn patch_numbers(&self, rows: usize, slides: bool) -> usize {
        if self.patches_are_pixels() {
            0
        } else if slides {
            self.padded_numbers(rows)
        } else {
            self.padded_numbers(rows) + self.gathered_numbers(rows)
        }
    }

    /// The patches of some output rows of image `n`, group `g`, for the forward product; read from the padded image where
    /// `slides` says so, which takes [`Self::slides`].
    pub(super) fn patches<'a, T: Real>(
        &self,
        src: &'a [T],
        (n, g): (usize, usize),
        rows: Range<usize>,
        scratch: &'a mut [T],
        slides: bool,
    ) -> Patches<'a, T> {
        let p = &self.panels;
        if !slides {
            let (values, first) = self.gathered(src, (n, g), rows, scratch);
            return Patches {
                values,
                first,
                products: 1,
                step: 0,
            };
        }
        let (_, ow) = self.output();
        let pixels = (rows.len() - 1) * self.padded_pixels() + ow;
        vectorized(
            #[inline(always)]
            || self.pad_lines(src, (n, g), rows.clone(), scratch),
        );
        Patches {
            values: scratch,
            first: Matrix::new(pixels, p.width * p.inputs, 0, p.inputs),
            products: p.height,
            step: self.padded_row(),
        }
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
        let count = self.padded_numbers(rows.len()) + self.gathered_numbers(rows.len());
        let count = if self.patches_are_pixels() { 0 } else { count };
        with_scratch(count, |scratch: &mut [T]| {
            let (patches, matrix) = self.gathered(src, (n, g), rows, scratch);
            work(patches, matrix)
        })
    }

    fn gathered<'a, T: Real>(
        &self,
        src: &'a [T],
        (n, g): (usize, usize),
        rows: Range<usize>,
        scratch: &'a mut [T],
    ) -> (&'a [T], Matrix) {
        let (p, (_, ow)) = (&self.panels, self.output());
        let pixels = rows.len() * ow;
        if self.patches_are_pixels() {
            let start = self.src.at(n, g * p.inputs, rows.start, 0);
            return (src, Matrix::new(pixels, p.inputs, start, self.src.pixel));
        }
        let (padded, patches) = scratch.split_at_mut(self.padded_numbers(rows.len()));
        vectorized(
            #[inline(always)]
            || {
                self.pad_lines(src, (n, g), rows.clone(), padded);
                self.gather(padded, rows.len(), patches);
            },
        );
        (patches, Matrix::new(pixels, p.depth(), 0, p.depth()))
    }

    /// Pixels of a row of the input with its padding: that on the right is the next row's on the left.
    fn padded_pixels(&self) -> usize {
        self.input().1 + self.window.pad.width
    }

    fn padded_row(&self) -> usize {
        self.padded_pixels() * self.panels.inputs
    }

    /// Numbers of the padded input that so many output rows read.
    fn padded_numbers(&self, rows: usize) -> usize {
        let lines = (rows - 1) * self.window.stride.height + self.panels.height;
        lines * self.padded_row() + self.window.pad.width * self.panels.inputs + CHUNK
    }

    fn gathered_numbers(&self, rows: usize) -> usize {
        rows * self.output().1 * self.panels.depth() + CHUNK
    }

    /// Copies the input rows that some output rows of one group read, with zeros around the image.
    #[inline(always)]
    fn pad_lines<T: Real>(
        &self,
        src: &[T],
        (n, g): (usize, usize),
        rows: Range<usize>,
        padded: &mut [T],
    ) {
        let (ic, (ih, iw), pad) = (self.panels.inputs, self.input(), self.window.pad);
        let (row, first) = (self.padded_row(), rows.start * self.window.stride.height);
        let count = (rows.len() - 1) * self.window.stride.height + self.panels.height;
        let (lines, after) = padded.split_at_mut(count * row);
        after[..pad.width * ic].fill(T::zero());
        for (line, y) in lines.chunks_exact_mut(row).zip(first..) {
            let Some(y) = y.checked_sub(pad.height).filter(|y| *y < ih) else {
                line.fill(T::zero());
                continue;
            };
            let (left, inside) = line.split_at_mut(pad.width * ic);
            left.fill(T::zero());
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
        let (line, run, depth) = (self.padded_row(), p.width * p.inputs, p.depth());
        let (whole, step) = (run.next_multiple_of(CHUNK), stride.width * p.inputs);
        for oy in 0..rows {
            let padded = &padded[oy * stride.height * line..];
            let patches = &mut patches[oy * ow * depth..];
            for ox in 0..ow {
                for ky in 0..p.height {
                    let (from, to) = (ky * line + ox * step, ox * depth + ky * run);
                    copy_chunks(&padded[from..from + whole], &mut patches[to..to + whole]);
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

/// Copies whole chunks, of a length that the compiler knows: a call for each would take longer.
#[inline(always)]
fn copy_chunks<T: Real>(from: &[T], to: &mut [T]) {
    let (from, _) = from.as_chunks::<CHUNK>();
    let (to, _) = to.as_chunks_mut::<CHUNK>();
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[inline(always)]
fn add<T: Real>(sums: &mut [T], values: &[T]) {
    sums.iter_mut()
        .zip(values)
        .for_each(|(sum, value)| *sum += *value);
}
