//! The same in Rust: pooling for the host engine.

#![expect(
    clippy::inline_always,
    reason = "what runs in `vectorized` must be part of it to use the machine's vectors"
)]

use rayon::prelude::*;

use super::{Geometry, HALVING};
use crate::op::activation::Function;
use crate::op::emit::{Element, HostBuffers, RealRoutine, Scalars, elements, elements_mut, take};
use crate::op::real::Real;
use crate::op::vector::vectorized;
use crate::op::view::View;

/// The largest value of each window.
#[derive(Debug)]
pub(in crate::op) struct MaxForward {
    pub(super) geometry: Geometry,
    /// Whether its place is kept.
    pub(in crate::op) keep: bool,
}

impl MaxForward {
    /// Windows of 2 x 2 beside each other.
    pub(in crate::op) fn halving(src: View, dst: View, keep: bool) -> Self {
        Self {
            geometry: Geometry {
                window: HALVING,
                src,
                dst,
            },
            keep,
        }
    }
}

/// The same inside the step that makes the source, a few rows at a time.
#[derive(Debug)]
pub struct Halving {
    /// Where the largest values are stored.
    pub dst: View,
    /// Whether their places are kept.
    pub keep: bool,
}

impl Halving {
    /// The values of the window of stored pixel `(y, x)`.
    #[inline(always)]
    pub fn cells<'a, T: Real>(
        (src, from): (&'a [T], &View),
        (y, x): (usize, usize),
    ) -> [&'a [T]; 4] {
        let channels = from.shape.channels();
        let cells = [(0, 0), (0, 1), (1, 0), (1, 1)];
        cells.map(|(dy, dx)| &src[from.at(0, 0, 2 * y + dy, 2 * x + dx)..][..channels])
    }

    /// The largest values of some rows of an image, and where in its window each stands, the first of equals.
    #[inline(always)]
    pub fn with_places<T: Real>(
        &self,
        (src, from): (&[T], &View),
        dst: &mut [T],
        places: &mut [u8],
    ) {
        let [channels, height, width] = from.shape.dimensions();
        let mut row = vec![0_u32; channels];
        let mut places = places.chunks_exact_mut(channels);
        for y in 0..height / 2 {
            for (x, kept) in (0..width / 2).zip(&mut places) {
                let [a, b, c, d] = Self::cells((src, from), (y, x));
                let out = &mut dst[self.dst.at(0, 0, y, x)..][..channels];
                let cells = a.iter().zip(b).zip(c.iter().zip(d));
                let both = out.iter_mut().zip(&mut row).zip(cells);
                both.for_each(|((out, place), ((&a, &b), (&c, &d)))| {
                    let (most, at) = later((a, 0), (b, 1));
                    let (most, at) = later((most, at), (c, 2));
                    (*out, *place) = later((most, at), (d, 3));
                });
                for (kept, place) in kept.iter_mut().zip(&row) {
                    *kept = *place as u8;
                }
            }
        }
    }
}

/// The larger value with its place.
#[inline(always)]
fn later<T: Real>(most: (T, u32), here: (T, u32)) -> (T, u32) {
    let wins = wins(here.0, most.0);
    (
        if wins { here.0 } else { most.0 },
        if wins { here.1 } else { most.1 },
    )
}

#[derive(Debug)]
pub(super) struct MaxBackward {
    pub(super) geometry: Geometry,
    /// The activation that made the source, to go back through as well.
    pub(super) act: Function,
    /// Where the layer's output lies, which tells the activation's value; with an activation only.
    pub(super) dst: Option<View>,
}

#[derive(Debug)]
pub(super) struct AverageForward {
    pub(super) geometry: Geometry,
}

#[derive(Debug)]
pub(super) struct AverageBackward {
    pub(super) geometry: Geometry,
}

/// Whether `value` takes the place of the largest so far; a NaN always does.
#[inline(always)]
fn wins<T: Real>(value: T, most: T) -> bool {
    (value > most) | value.is_nan()
}

/// The larger of two; a NaN where either is one.
#[inline(always)]
pub(in crate::op) fn larger<T: Real>(most: T, value: T) -> T {
    if wins(value, most) { value } else { most }
}

/// The larger of each pair.
#[inline(always)]
fn raise<T: Real>(best: &mut [T], values: &[T]) {
    best.iter_mut().zip(values).for_each(|(best, &value)| {
        *best = larger(*best, value);
    });
}

/// The largest values of each window of an image: of its rows first, which are long loops, then of its columns. Loops over
/// slices become vectors; over arrays of 16 channels they did not, and the first layer of `nets/small.net` took 11.3 ms
/// for 128 images.
#[inline(always)]
fn maxima<T: Real>(geometry: &Geometry, src: &[T], n: usize, dst: &mut [T], line: &mut [T]) {
    let [channels, oh, ow] = geometry.dst.shape.dimensions();
    for oy in 0..oh {
        let (mut rows, _) = geometry.cells(oy, 0);
        let row = |y: usize| &src[geometry.src.at(n, 0, y, 0)..][..line_length(&geometry.src)];
        line.copy_from_slice(row(rows.start));
        rows.next();
        rows.for_each(|y| raise(line, row(y)));
        for ox in 0..ow {
            let (_, mut columns) = geometry.cells(oy, ox);
            let to = geometry.dst.at(0, 0, oy, ox);
            let out = &mut dst[to..to + channels];
            let cell = |x: usize| &line[x * geometry.src.pixel..][..channels];
            out.copy_from_slice(cell(columns.start));
            columns.next();
            columns.for_each(|x| raise(out, cell(x)));
        }
    }
}

/// From the first to the last number of a row of pixels.
fn line_length(view: &View) -> usize {
    let [channels, _, width] = view.shape.dimensions();
    (width - 1) * view.pixel + channels
}

/// The same, and where in its window each stands, the first of equals; `keep` gets the places of a pixel's channels.
#[inline(always)]
fn maxima_with_places<T: Real>(
    geometry: &Geometry,
    src: &[T],
    n: usize,
    dst: &mut [T],
    places: &mut [u32],
    mut keep: impl FnMut(usize, &[u32]),
) {
    let [channels, oh, ow] = geometry.dst.shape.dimensions();
    for oy in 0..oh {
        for ox in 0..ow {
            let (rows, columns) = geometry.cells(oy, ox);
            let to = geometry.dst.at(0, 0, oy, ox);
            let out = &mut dst[to..to + channels];
            let cell = |y: usize, x: usize| &src[geometry.src.at(n, 0, y, x)..][..channels];
            out.copy_from_slice(cell(rows.start, columns.start));
            places.fill(geometry.place_of(oy, ox, rows.start, columns.start) as u32);
            for y in rows {
                for x in columns.clone() {
                    let here = geometry.place_of(oy, ox, y, x) as u32;
                    let both = out.iter_mut().zip(&mut *places);
                    both.zip(cell(y, x)).for_each(|((best, place), &value)| {
                        let wins = wins(value, *best);
                        *best = if wins { value } else { *best };
                        *place = if wins { here } else { *place };
                    });
                }
            }
            keep((oy * ow + ox) * channels, places);
        }
    }
}

/// The largest values of all images, and their places as the way back reads them.
fn maxima_and_places<T: Real, P: Send>(
    geometry: &Geometry,
    src: &[T],
    dst: &mut [T],
    places: &mut [P],
    place_of: impl Fn(u32) -> P + Sync,
) {
    let places = places.par_chunks_mut(geometry.dst.shape.elements());
    dst.par_chunks_mut(geometry.dst.image)
        .zip(places)
        .enumerate()
        .for_each(|(n, (dst, places))| {
            let mut row = vec![0; geometry.dst.shape.channels()];
            vectorized(
                #[inline(always)]
                || {
                    maxima_with_places(geometry, src, n, dst, &mut row, |at, row| {
                        for (kept, &place) in places[at..at + row.len()].iter_mut().zip(row) {
                            *kept = place_of(place);
                        }
                    });
                },
            );
        });
}

impl RealRoutine for MaxForward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let geometry = &self.geometry;
        if !self.keep {
            let [src, dst] = take(buffers);
            let (src, dst): (&[T], &mut [T]) = (elements(src), elements_mut(dst));
            dst.par_chunks_mut(geometry.dst.image)
                .enumerate()
                .for_each(|(n, dst)| {
                    let mut line = vec![T::zero(); line_length(&geometry.src)];
                    vectorized(
                        #[inline(always)]
                        || maxima(geometry, src, n, dst, &mut line),
                    );
                });
            return;
        }
        let [src, dst, place] = take(buffers);
        let (src, dst): (&[T], &mut [T]) = (elements(src), elements_mut(dst));
        match geometry.place() {
            Element::Byte => maxima_and_places(geometry, src, dst, place, |place| place as u8),
            _ => maxima_and_places(geometry, src, dst, elements_mut::<i32>(place), |place| {
                place as i32
            }),
        }
    }
}

/// Zeros one image's pixels.
fn clear<T: Real>(values: &mut [T], view: &View) {
    let [channels, height, width] = view.shape.dimensions();
    for y in 0..height {
        for x in 0..width {
            let at = view.at(0, 0, y, x);
            values[at..at + channels].fill(T::zero());
        }
    }
}

impl RealRoutine for MaxBackward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let (value, [place, d_dst, d_src]) = if self.dst.is_some() {
            let [place, value, d_dst, d_src] = take(buffers);
            (elements(value), [place, d_dst, d_src])
        } else {
            (&[] as &[T], take(buffers).each_mut())
        };
        let (d_dst, d_src): (&[T], &mut [T]) = (elements(d_dst), elements_mut(d_src));
        let through = |d: T, [n, c, y, x]: [usize; 4]| match &self.dst {
            Some(dst) => d * self.act.derivative(value[dst.at(n, c, y, x)]),
            None => d,
        };
        let geometry = &self.geometry;
        let [channels, oh, ow] = geometry.dst.shape.dimensions();
        let width = geometry.window.size.width;
        let (pad, stride) = (geometry.window.pad, geometry.window.stride);
        let place_at = |at: usize| match geometry.place() {
            Element::Byte => place[at] as usize,
            _ => elements::<i32>(place)[at] as usize,
        };
        d_src
            .par_chunks_mut(geometry.src.image)
            .enumerate()
            .for_each(|(n, d_src)| {
                clear(d_src, &geometry.src);
                for oy in 0..oh {
                    for ox in 0..ow {
                        let (from, places) = (
                            geometry.dst.at(n, 0, oy, ox),
                            ((n * oh + oy) * ow + ox) * channels,
                        );
                        for c in 0..channels {
                            let place = place_at(places + c);
                            let (y, x) = (
                                oy * stride.height + place / width - pad.height,
                                ox * stride.width + place % width - pad.width,
                            );
                            let d = through(d_dst[from + c], [n, c, oy, ox]);
                            d_src[geometry.src.at(0, c, y, x)] += d;
                        }
                    }
                }
            });
    }
}

impl RealRoutine for AverageForward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, dst] = take(buffers);
        let (src, dst): (&[T], &mut [T]) = (elements(src), elements_mut(dst));
        let geometry = &self.geometry;
        let [channels, oh, ow] = geometry.dst.shape.dimensions();
        dst.par_chunks_mut(geometry.dst.image)
            .enumerate()
            .for_each(|(n, dst)| {
                clear(dst, &geometry.dst);
                for oy in 0..oh {
                    for ox in 0..ow {
                        let (rows, columns) = geometry.cells(oy, ox);
                        let to = geometry.dst.at(0, 0, oy, ox);
                        let out = &mut dst[to..to + channels];
                        let cells = T::of((rows.len() * columns.len()) as f64);
                        for y in rows {
                            for x in columns.clone() {
                                let at = geometry.src.at(n, 0, y, x);
                                out.iter_mut()
                                    .zip(&src[at..at + channels])
                                    .for_each(|(sum, value)| *sum += *value);
                            }
                        }
                        out.iter_mut().for_each(|sum| *sum /= cells);
                    }
                }
            });
    }
}

impl RealRoutine for AverageBackward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [d_dst, d_src] = take(buffers);
        let (d_dst, d_src): (&[T], &mut [T]) = (elements(d_dst), elements_mut(d_src));
        let geometry = &self.geometry;
        let [channels, oh, ow] = geometry.dst.shape.dimensions();
        d_src
            .par_chunks_mut(geometry.src.image)
            .enumerate()
            .for_each(|(n, d_src)| {
                clear(d_src, &geometry.src);
                for oy in 0..oh {
                    for ox in 0..ow {
                        let (rows, columns) = geometry.cells(oy, ox);
                        let from = geometry.dst.at(n, 0, oy, ox);
                        let cells = T::of((rows.len() * columns.len()) as f64);
                        for y in rows {
                            for x in columns.clone() {
                                let at = geometry.src.at(0, 0, y, x);
                                d_src[at..at + channels]
                                    .iter_mut()
                                    .zip(&d_dst[from..from + channels])
                                    .for_each(|(sum, value)| *sum += *value / cells);
                            }
                        }
                    }
                }
            });
    }
}
