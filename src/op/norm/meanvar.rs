//! `N(meanvar)`: zero mean and unit variance per image and channel. Formulas stand in `kernels/norm_meanvar.cl`.

use rayon::prelude::*;

use super::super::conv::image_only;
use super::super::emit::{
    Back, BufferId, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalars, Site, elements,
    elements_mut, take,
};
use super::super::real::Real;
use super::super::shape::Shape;
use super::super::signal::{Flow, Gradient, Signal, field};
use super::super::unary;
use super::super::view::{SRC, View};
use super::super::{Fault, Kind, Op};

/// Mean and variance normalization over each map.
#[derive(Clone, Copy, Debug)]
pub struct MeanVariance {
    /// Added to the variance.
    pub eps: f64,
}

impl MeanVariance {
    fn kernel(&self, function: &'static str, part: &'static str, view: &View) -> Kernel {
        let [channels, height, width] = view.shape.dimensions();
        Kernel::new("norm_meanvar", function, 1)
            .define(part, 1)
            .define("C", channels)
            .define("H", height)
            .define("W", width)
            .define("EPS", self.eps)
            .global([channels, view.batch, 1])
    }

    /// Mean and `1 / sqrt(variance + eps)` of each channel of image `n`.
    fn statistics<T: Real>(&self, src: &[T], view: &View, n: usize) -> (Vec<T>, Vec<T>) {
        let [channels, height, width] = view.shape.dimensions();
        let count = T::of((height * width) as f64);
        let mut mean = vec![T::zero(); channels];
        for_rows(view, n, |at| {
            mean.iter_mut()
                .zip(&src[at..])
                .for_each(|(mean, value)| *mean += *value);
        });
        mean.iter_mut().for_each(|mean| *mean /= count);
        let mut scale = vec![T::zero(); channels];
        for_rows(view, n, |at| {
            scale
                .iter_mut()
                .zip(&src[at..])
                .zip(&mean)
                .for_each(|((sum, value), mean)| *sum += (*value - *mean) * (*value - *mean));
        });
        scale
            .iter_mut()
            .for_each(|sum| *sum = T::one() / (*sum / count + T::of(self.eps)).sqrt());
        (mean, scale)
    }
}

/// Calls `f` with the index of each pixel's first channel.
fn for_rows(view: &View, n: usize, mut f: impl FnMut(usize)) {
    let [_, height, width] = view.shape.dimensions();
    for y in 0..height {
        for x in 0..width {
            f(view.at(n, 0, y, x));
        }
    }
}

/// The expected square of a map's mean: what all of its pixels share.
fn common(input: &Flow<'_>) -> f64 {
    let [_, height, width] = input.shape.dimensions();
    field::pairs(&input.signal.moments, (height, width))
}

impl Op for MeanVariance {
    fn kind(&self) -> &'static Kind {
        &super::KIND
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, Fault> {
        image_only(&super::KIND, inputs[0]).map(|_| inputs[0])
    }

    fn signal(&self, inputs: &[Flow<'_>], _: Shape) -> Signal {
        let signal = inputs[0].signal;
        signal.normalized(common(&inputs[0]), self.eps)
    }

    fn gradient(&self, inputs: &[Flow<'_>], _: Shape, d_dst: Gradient) -> Vec<Gradient> {
        let input = &inputs[0];
        vec![d_dst.normalized(input.signal, common(input), self.eps)]
    }

    fn forward(&self, site: &Site, _: &Machine, ledger: &mut Ledger) -> Vec<BufferId> {
        let (src, dst) = (site.source().view, site.destination.view);
        let op = *self;
        let kernel = move || op.kernel("norm_meanvar_forward", "FORWARD", &src);
        unary::forward(site, kernel, Forward { op, src, dst }, ledger);
        Vec::new()
    }

    fn backward(&self, site: &Site, back: &Back, _: &Machine, ledger: &mut Ledger) {
        let Some(d_src) = back.d_src[0] else { return };
        let (src, d_dst) = (site.source(), back.d_dst);
        let op = *self;
        let kernel = move || op.kernel("norm_meanvar_backward", "BACKWARD", &src.view);
        let host = Backward {
            op,
            src: src.view,
            d_dst: d_dst.view,
            d_src: d_src.view,
        };
        unary::backward(site, (src, SRC), [d_dst, d_src], kernel, host, ledger);
    }
}

#[derive(Debug)]
struct Forward {
    op: MeanVariance,
    src: View,
    dst: View,
}

#[derive(Debug)]
struct Backward {
    op: MeanVariance,
    src: View,
    d_dst: View,
    d_src: View,
}

impl RealRoutine for Forward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, dst] = take(buffers);
        let (src, dst): (&[T], &mut [T]) = (elements(src), elements_mut(dst));
        let [channels, height, width] = self.src.shape.dimensions();
        dst.par_chunks_mut(self.dst.image)
            .enumerate()
            .for_each(|(n, dst)| {
                let (mean, scale) = self.op.statistics(src, &self.src, n);
                for y in 0..height {
                    for x in 0..width {
                        let (from, to) = (self.src.at(n, 0, y, x), self.dst.at(0, 0, y, x));
                        for c in 0..channels {
                            dst[to + c] = (src[from + c] - mean[c]) * scale[c];
                        }
                    }
                }
            });
    }
}

impl RealRoutine for Backward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, d_dst, d_src] = take(buffers);
        let (src, d_dst, d_src): (&[T], &[T], &mut [T]) =
            (elements(src), elements(d_dst), elements_mut(d_src));
        let [channels, height, width] = self.src.shape.dimensions();
        let count = T::of((height * width) as f64);
        d_src
            .par_chunks_mut(self.d_src.image)
            .enumerate()
            .for_each(|(n, d_src)| {
                let (mean, scale) = self.op.statistics(src, &self.src, n);
                let (mut average, mut along) =
                    (vec![T::zero(); channels], vec![T::zero(); channels]);
                let places = |y, x| {
                    (
                        self.src.at(n, 0, y, x),
                        self.d_dst.at(n, 0, y, x),
                        self.d_src.at(0, 0, y, x),
                    )
                };
                for y in 0..height {
                    for x in 0..width {
                        let (from, up, _) = places(y, x);
                        for c in 0..channels {
                            average[c] += d_dst[up + c];
                            along[c] += d_dst[up + c] * ((src[from + c] - mean[c]) * scale[c]);
                        }
                    }
                }
                for y in 0..height {
                    for x in 0..width {
                        let (from, up, to) = places(y, x);
                        for c in 0..channels {
                            let normal = (src[from + c] - mean[c]) * scale[c];
                            d_src[to + c] =
                                (d_dst[up + c] - average[c] / count - normal * (along[c] / count))
                                    * scale[c];
                        }
                    }
                }
            });
    }
}
