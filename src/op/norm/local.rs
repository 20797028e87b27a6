//! `N(local)`: local response normalization across channels. Formulas stand in `kernels/norm_local.cl`.

#![expect(
    clippy::inline_always,
    reason = "what runs in `vectorized` must be part of it to use the machine's vectors"
)]

use rayon::prelude::*;

use super::super::conv::image_only;
use super::super::emit::{
    Back, BufferId, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalars, Site, elements,
    elements_mut, take,
};
use super::super::real::Real;
use super::super::shape::Shape;
use super::super::signal::{Flow, Gradient, Signal, response};
use super::super::unary;
use super::super::vector::vectorized;
use super::super::view::{SRC, View};
use super::super::{Fault, Kind, Op};

/// Local response normalization: `dst = src / (k + alpha * sum of squares)^beta` over `size` channels.
#[derive(Clone, Copy, Debug)]
pub struct LocalResponse {
    /// Channels of the window, odd.
    pub size: usize,
    /// Factor of the sum, not divided by the size.
    pub alpha: f64,
    /// Exponent.
    pub beta: f64,
    /// Added to the sum.
    pub k: f64,
}

impl LocalResponse {
    fn kernel(
        &self,
        function: &'static str,
        part: &'static str,
        view: &View,
        machine: &Machine,
    ) -> Kernel {
        let [channels, height, width] = view.shape.dimensions();
        let kernel = Kernel::new("norm_local", function, 1)
            .define(part, 1)
            .define("C", channels)
            .define("SIZE", self.size)
            .define("ALPHA", self.alpha)
            .define("BETA", self.beta)
            .define("K", self.k)
            .define("W", width)
            .define("VW", machine.limits.lanes(machine.precision))
            .places([width, height, view.batch], machine);
        if self.beta == 0.75 {
            kernel.define("BETA_075", 1)
        } else {
            kernel
        }
    }

    /// `powers = t^-beta`, element by element.
    #[inline(always)]
    fn powers<T: Real>(&self, t: &[T], powers: &mut [T]) {
        let both = powers.iter_mut().zip(t);
        if self.beta == 0.75 {
            both.for_each(|(power, t)| {
                let h = t.sqrt();
                *power = T::one() / (h * h.sqrt());
            });
        } else {
            let exponent = -T::of(self.beta);
            both.for_each(|(power, t)| *power = t.powf(exponent));
        }
    }

    /// `sums[c]` = the sum of `values` over the window centred on `c`. `padded` is scratch.
    #[inline(always)]
    fn window_sums<T: Real>(
        &self,
        values: impl Iterator<Item = T>,
        padded: &mut [T],
        sums: &mut [T],
    ) {
        let half = self.size / 2;
        for (slot, value) in padded[half..].iter_mut().zip(values) {
            *slot = value;
        }
        self.add_windows(padded, sums);
    }

    /// `sums[i]` = the sum of a window of values from `values[i]` on.
    #[inline(always)]
    fn add_windows<T: Real>(&self, values: &[T], sums: &mut [T]) {
        let count = sums.len();
        if self.size == 5 {
            let [a, b, c, d, e] = std::array::from_fn(|j| &values[j..j + count]);
            let terms = a.iter().zip(b).zip(c).zip(d).zip(e);
            let both = sums.iter_mut().zip(terms);
            both.for_each(|(sum, ((((&a, &b), &c), &d), &e))| *sum = a + b + c + d + e);
            return;
        }
        sums.copy_from_slice(&values[..count]);
        for j in 1..self.size {
            let both = sums.iter_mut().zip(&values[j..]);
            both.for_each(|(sum, value)| *sum += *value);
        }
    }

    /// `k + alpha * sum of squares` of a row of channels.
    #[inline(always)]
    fn denominators<T: Real>(&self, a: &[T], padded: &mut [T], sums: &mut [T]) {
        self.window_sums(a.iter().map(|&a| a * a), padded, sums);
        self.scaled(sums);
    }

    /// `k + alpha * sum`, of sums of squares.
    #[inline(always)]
    fn scaled<T: Real>(&self, sums: &mut [T]) {
        let (k, alpha) = (T::of(self.k), T::of(self.alpha));
        sums.iter_mut().for_each(|sum| *sum = k + alpha * *sum);
    }
}

impl LocalResponse {
    /// What is expected of the formula, for the channels of this input.
    fn expected(&self, input: &Flow<'_>) -> response::Factors {
        let channels = input.shape.channels();
        let neighbours = self.size.min(channels).saturating_sub(1);
        response::factors(input.signal, neighbours, self.alpha, self.beta, self.k)
    }
}

impl Op for LocalResponse {
    fn kind(&self) -> &'static Kind {
        &super::KIND
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, Fault> {
        image_only(&super::KIND, inputs[0]).map(|_| inputs[0])
    }

    fn signal(&self, inputs: &[Flow<'_>], _: Shape) -> Signal {
        let input = &inputs[0];
        let factor = self.expected(input).forward.sqrt();
        input.signal.scaled(factor)
    }

    fn gradient(&self, inputs: &[Flow<'_>], _: Shape, d_dst: Gradient) -> Vec<Gradient> {
        vec![Gradient {
            square: d_dst.square * self.expected(&inputs[0]).backward,
            ..d_dst
        }]
    }

    fn forward(&self, site: &Site, machine: &Machine, ledger: &mut Ledger) -> Vec<BufferId> {
        let (src, dst) = (site.source().view, site.destination.view);
        let (op, on) = (*self, *machine);
        let kernel = move || op.kernel("norm_local_forward", "FORWARD", &src, &on);
        unary::forward(site, kernel, Forward { op, src, dst }, ledger);
        Vec::new()
    }

    fn backward(&self, site: &Site, back: &Back, machine: &Machine, ledger: &mut Ledger) {
        let Some(d_src) = back.d_src[0] else { return };
        let (src, d_dst) = (site.source(), back.d_dst);
        let (op, on) = (*self, *machine);
        let kernel = move || op.kernel("norm_local_backward", "BACKWARD", &src.view, &on);
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
    op: LocalResponse,
    src: View,
    dst: View,
}

#[derive(Debug)]
struct Backward {
    op: LocalResponse,
    src: View,
    d_dst: View,
    d_src: View,
}

impl RealRoutine for Forward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, dst] = take(buffers);
        let (src, dst): (&[T], &mut [T]) = (elements(src), elements_mut(dst));
        dst.par_chunks_mut(self.dst.image)
            .enumerate()
            .for_each(|(n, dst)| {
                vectorized(
                    #[inline(always)]
                    || self.image(n, src, dst),
                );
            });
    }
}

impl Forward {
    /// A row of pixels at a time, with zeros between them: long loops.
    #[inline(always)]
    fn image<T: Real>(&self, n: usize, src: &[T], dst: &mut [T]) {
        let [channels, height, width] = self.src.shape.dimensions();
        let half = self.op.size / 2;
        let step = channels + half;
        let zeros = |count: usize| vec![T::zero(); count];
        let mut padded = zeros(half + width * step + half);
        let (mut t, mut powers) = (zeros(width * step), zeros(width * step));
        for y in 0..height {
            for (x, squares) in padded[half..]
                .chunks_exact_mut(step)
                .enumerate()
                .take(width)
            {
                let a = &src[self.src.at(n, 0, y, x)..][..channels];
                squares
                    .iter_mut()
                    .zip(a)
                    .for_each(|(square, &a)| *square = a * a);
            }
            self.op.add_windows(&padded, &mut t);
            self.op.scaled(&mut t);
            self.op.powers(&t, &mut powers);
            for (x, powers) in powers.chunks_exact(step).enumerate() {
                let a = &src[self.src.at(n, 0, y, x)..][..channels];
                let out = &mut dst[self.dst.at(0, 0, y, x)..][..channels];
                let values = out.iter_mut().zip(a).zip(powers);
                values.for_each(|((out, &a), &power)| *out = a * power);
            }
        }
    }
}

impl RealRoutine for Backward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, d_dst, d_src] = take(buffers);
        let (src, d_dst, d_src): (&[T], &[T], &mut [T]) =
            (elements(src), elements(d_dst), elements_mut(d_src));
        d_src
            .par_chunks_mut(self.d_src.image)
            .enumerate()
            .for_each(|(n, d_src)| {
                vectorized(
                    #[inline(always)]
                    || self.image(n, src, d_dst, d_src),
                );
            });
    }
}

impl Backward {
    #[inline(always)]
    fn image<T: Real>(&self, n: usize, src: &[T], d_dst: &[T], d_src: &mut [T]) {
        let [channels, height, width] = self.src.shape.dimensions();
        let factor = T::of(2.0) * T::of(self.op.alpha) * T::of(self.op.beta);
        let zeros = || vec![T::zero(); channels];
        let mut padded = vec![T::zero(); channels + self.op.size];
        let (mut t, mut powers, mut sums) = (zeros(), zeros(), zeros());
        for y in 0..height {
            for x in 0..width {
                let from = self.src.at(n, 0, y, x);
                let (up, to) = (self.d_dst.at(n, 0, y, x), self.d_src.at(0, 0, y, x));
                let (a, d) = (&src[from..from + channels], &d_dst[up..up + channels]);
                self.op.denominators(a, &mut padded, &mut t);
                self.op.powers(&t, &mut powers);
                let terms = a
                    .iter()
                    .zip(d)
                    .zip(&powers)
                    .zip(&t)
                    .map(|(((&a, &d), &power), &t)| d * a * power / t);
                self.op.window_sums(terms, &mut padded, &mut sums);
                let out = d_src[to..to + channels].iter_mut();
                let known = a.iter().zip(d).zip(&powers).zip(&sums);
                out.zip(known)
                    .for_each(|(out, (((&a, &d), &power), &sum))| {
                        *out = d * power - factor * a * sum;
                    });
            }
        }
    }
}
