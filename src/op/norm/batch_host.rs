//! The work of `N(batch)` in plain Rust: one routine for each function of `kernels/norm_batch.cl`.

use rayon::prelude::*;

use super::super::emit::{HostBuffers, RealRoutine, Scalars, elements, elements_mut, take};
use super::super::real::Real;
use super::super::view::View;
use super::batch::BatchNorm;

/// Mean, and sum of squares about it, of each image's channels.
#[derive(Debug)]
pub(super) struct Partial {
    pub src: View,
}

/// The batch's mean and scale, and the running statistics.
#[derive(Debug)]
pub(super) struct Statistics {
    pub op: BatchNorm,
    pub view: View,
}

/// Normalization by the batch's statistics.
#[derive(Debug)]
pub(super) struct Forward {
    pub affine: bool,
    pub src: View,
    pub dst: View,
}

/// Normalization by the running statistics.
#[derive(Debug)]
pub(super) struct Inference {
    pub affine: bool,
    pub eps: f64,
    pub src: View,
    pub dst: View,
}

/// Each image's sums of `d_dst` and of `d_dst * norm`.
#[derive(Debug)]
pub(super) struct BackwardPartial {
    pub src: View,
    pub d_dst: View,
}

/// The sums over the images.
#[derive(Debug)]
pub(super) struct BackwardSums {
    pub channels: usize,
}

/// The gradient of the input.
#[derive(Debug)]
pub(super) struct Backward {
    pub affine: bool,
    pub src: View,
    pub d_dst: View,
    pub d_src: View,
}

/// Every row and column of a map.
fn pixels(view: &View) -> impl Iterator<Item = [usize; 2]> + use<> {
    let [_, height, width] = view.shape.dimensions();
    (0..height).flat_map(move |y| (0..width).map(move |x| [y, x]))
}

/// Values of a channel: in one map, and in the batch.
fn counts<T: Real>(view: &View) -> [T; 2] {
    let [_, height, width] = view.shape.dimensions();
    let map = (height * width) as f64;
    [T::of(map), T::of(map * view.batch as f64)]
}

impl RealRoutine for Partial {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, means, squares] = take(buffers);
        let (src, means, squares): (&[T], &mut [T], &mut [T]) =
            (elements(src), elements_mut(means), elements_mut(squares));
        let channels = self.src.shape.channels();
        let [map, _] = counts::<T>(&self.src);
        means
            .par_chunks_mut(channels)
            .zip(squares.par_chunks_mut(channels))
            .enumerate()
            .for_each(|(n, (means, squares))| {
                means.fill(T::zero());
                squares.fill(T::zero());
                for [y, x] in pixels(&self.src) {
                    let src = &src[self.src.at(n, 0, y, x)..];
                    means.iter_mut().zip(src).for_each(|(sum, &a)| *sum += a);
                }
                means.iter_mut().for_each(|mean| *mean /= map);
                for [y, x] in pixels(&self.src) {
                    let src = &src[self.src.at(n, 0, y, x)..];
                    for ((sum, &a), &mean) in squares.iter_mut().zip(src).zip(&*means) {
                        *sum += (a - mean) * (a - mean);
                    }
                }
            });
    }
}

impl RealRoutine for Statistics {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [means, squares, running_mean, running_var, mean, scale] = take(buffers);
        let (means, squares): (&[T], &[T]) = (elements(means), elements(squares));
        let running: [&mut [T]; 2] = [elements_mut(running_mean), elements_mut(running_var)];
        let (mean, scale): (&mut [T], &mut [T]) = (elements_mut(mean), elements_mut(scale));
        let channels = self.view.shape.channels();
        let [map, count] = counts::<T>(&self.view);
        let batch = T::of(self.view.batch as f64);
        let (eps, momentum) = (T::of(self.op.eps), T::of(self.op.momentum));
        for c in 0..channels {
            let parts = || means.iter().skip(c).step_by(channels);
            let middle = parts().copied().sum::<T>() / batch;
            let square = parts()
                .zip(squares.iter().skip(c).step_by(channels))
                .map(|(&part, &square)| square + map * (part - middle) * (part - middle))
                .sum::<T>();
            mean[c] = middle;
            scale[c] = T::one() / (square / count + eps).sqrt();
            let unbiased = square / (count - T::one()).max(T::one());
            let follow = |running: T, batch| (T::one() - momentum) * running + momentum * batch;
            running[0][c] = follow(running[0][c], middle);
            running[1][c] = follow(running[1][c], unbiased);
        }
    }
}

/// `dst = (src - mean) * scale`, times weight plus bias where there are any.
fn normalize<T: Real>(
    views: [&View; 2],
    src: &[T],
    [mean, scale]: [&[T]; 2],
    learned: Option<[&[T]; 2]>,
    dst: &mut [T],
) {
    let channels = views[0].shape.channels();
    dst.par_chunks_mut(views[1].image)
        .enumerate()
        .for_each(|(n, dst)| {
            for [y, x] in pixels(views[0]) {
                let src = &src[views[0].at(n, 0, y, x)..][..channels];
                let dst = &mut dst[views[1].at(0, 0, y, x)..][..channels];
                for c in 0..channels {
                    let norm = (src[c] - mean[c]) * scale[c];
                    dst[c] = learned.map_or(norm, |[weight, bias]| norm * weight[c] + bias[c]);
                }
            }
        });
}

impl RealRoutine for Forward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let views = [&self.src, &self.dst];
        if self.affine {
            let [src, mean, scale, weight, bias, dst] = take(buffers);
            let learned = Some([elements(weight), elements(bias)]);
            let statistics = [elements(mean), elements(scale)];
            normalize::<T>(views, elements(src), statistics, learned, elements_mut(dst));
        } else {
            let [src, mean, scale, dst] = take(buffers);
            let statistics = [elements(mean), elements(scale)];
            normalize::<T>(views, elements(src), statistics, None, elements_mut(dst));
        }
    }
}

impl RealRoutine for Inference {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let views = [&self.src, &self.dst];
        let scales = |variance: &[u8]| -> Vec<T> {
            let scale = |&v: &T| T::one() / (v + T::of(self.eps)).sqrt();
            elements(variance).iter().map(scale).collect()
        };
        if self.affine {
            let [src, mean, variance, weight, bias, dst] = take(buffers);
            let learned = Some([elements(weight), elements(bias)]);
            let scale = scales(variance);
            let statistics = [elements(mean), &scale];
            normalize::<T>(views, elements(src), statistics, learned, elements_mut(dst));
        } else {
            let [src, mean, variance, dst] = take(buffers);
            let scale = scales(variance);
            let statistics = [elements(mean), &scale];
            normalize::<T>(views, elements(src), statistics, None, elements_mut(dst));
        }
    }
}

impl RealRoutine for BackwardPartial {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, d_dst, mean, scale, biases, weights] = take(buffers);
        let [src, d_dst, mean, scale] = [src, d_dst, mean, scale].map(|bytes| elements::<T>(bytes));
        let (biases, weights): (&mut [T], &mut [T]) = (elements_mut(biases), elements_mut(weights));
        let channels = self.src.shape.channels();
        biases
            .par_chunks_mut(channels)
            .zip(weights.par_chunks_mut(channels))
            .enumerate()
            .for_each(|(n, (biases, weights))| {
                biases.fill(T::zero());
                weights.fill(T::zero());
                for [y, x] in pixels(&self.src) {
                    let src = &src[self.src.at(n, 0, y, x)..][..channels];
                    let d_dst = &d_dst[self.d_dst.at(n, 0, y, x)..][..channels];
                    for c in 0..channels {
                        biases[c] += d_dst[c];
                        weights[c] += d_dst[c] * ((src[c] - mean[c]) * scale[c]);
                    }
                }
            });
    }
}

impl RealRoutine for BackwardSums {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [biases, weights, d_bias, d_weight] = take(buffers);
        for (parts, sums) in [(biases, d_bias), (weights, d_weight)] {
            let (parts, sums): (&[T], &mut [T]) = (elements(parts), elements_mut(sums));
            sums.fill(T::zero());
            for part in parts.chunks_exact(self.channels) {
                sums.iter_mut()
                    .zip(part)
                    .for_each(|(sum, &part)| *sum += part);
            }
        }
    }
}

impl RealRoutine for Backward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let channels = self.src.shape.channels();
        let [_, count] = counts::<T>(&self.src);
        let (read, d_src) = buffers.split_at_mut(if self.affine { 7 } else { 6 });
        let read: Vec<&[T]> = read.iter().map(|buffer| elements(buffer)).collect();
        let [src, d_dst, mean, scale, d_bias, d_weight, ..] = *read.as_slice() else {
            unreachable!("internal error: a routine and its call disagree on the buffers")
        };
        let weight = read.get(6);
        let d_src: &mut [T] = elements_mut(&mut *d_src[0]);
        d_src
            .par_chunks_mut(self.d_src.image)
            .enumerate()
            .for_each(|(n, d_src)| {
                for [y, x] in pixels(&self.src) {
                    let src = &src[self.src.at(n, 0, y, x)..][..channels];
                    let d_dst = &d_dst[self.d_dst.at(n, 0, y, x)..][..channels];
                    let d_src = &mut d_src[self.d_src.at(0, 0, y, x)..][..channels];
                    for c in 0..channels {
                        let norm = (src[c] - mean[c]) * scale[c];
                        let factor = weight.map_or(scale[c], |weight| scale[c] * weight[c]);
                        let average = d_bias[c] / count + norm * (d_weight[c] / count);
                        d_src[c] = (d_dst[c] - average) * factor;
                    }
                }
            });
    }
}
