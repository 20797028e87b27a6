//! A forward product that pools its own output: of every window of 2 x 2 only the largest value is stored, and where
//! the way back wants it, which of the four it was. What the product wrote without it would be four times as much.

use super::super::emit::{BufferId, Call, HostBuffers, Kernel, RealRoutine, Scalars, Tensor};
use super::super::pool::{Halving, MaxForward};
use super::super::real::Real;
use super::super::shape::Shape;
use super::super::view::View;
use super::Product;

/// Where such a product stores.
#[derive(Clone, Copy, Debug)]
pub struct Pooling {
    /// The largest values.
    pub dst: Tensor,
    /// Which of the four each was, a byte a value; where the way back wants it.
    pub place: Option<BufferId>,
}

impl Pooling {
    /// The host's form of it.
    pub(super) fn halving(self) -> Halving {
        Halving {
            dst: self.dst.view,
            keep: self.place.is_some(),
        }
    }

    /// What a kernel is built with.
    pub(super) fn define(self, kernel: Kernel) -> Kernel {
        let kernel = kernel.define("POOL", 1);
        if self.place.is_some() {
            kernel.define("SAVE_PLACE", 1)
        } else {
            kernel
        }
    }
}

/// The buffers of a forward product.
#[derive(Clone, Copy, Debug)]
pub struct Forwarded {
    /// The input.
    pub src: BufferId,
    /// The weights, transformed.
    pub weight: BufferId,
    /// The biases.
    pub bias: Option<BufferId>,
    /// The output.
    pub dst: BufferId,
    /// The output instead, where the product pools it.
    pub pooling: Option<Pooling>,
}

impl Forwarded {
    /// The call of the product: its kernel, and the host form, whose output is pooled behind it where the kernel does so.
    pub(super) fn call(
        self,
        kernel: impl Fn() -> Kernel + Send + Sync + 'static,
        forward: impl RealRoutine + 'static,
        product: &Product,
    ) -> Call {
        self.arguments(match self.pooling {
            None => Call::new(kernel, forward),
            Some(pooling) => {
                let keep = pooling.place.is_some();
                let pooled = Pooled {
                    forward,
                    whole: product.dst,
                    output: 2 + usize::from(self.bias.is_some()),
                    pool: MaxForward::halving(product.dst, pooling.dst.view, keep),
                };
                Call::new(kernel, pooled)
            }
        })
    }

    /// The arguments of a call whose host form pools as its kernel does.
    pub(super) fn arguments(self, call: Call) -> Call {
        let call = call
            .read(self.src)
            .read(self.weight)
            .read_some(self.bias)
            .write(self.pooling.map_or(self.dst, |pooling| pooling.dst.buffer));
        match self.pooling.and_then(|pooling| pooling.place) {
            Some(place) => call.write(place),
            None => call,
        }
    }
}

impl Product {
    /// The product as far as windows of 2 x 2 read it: an odd last row or column is left out.
    pub(super) fn halved(&self) -> Self {
        let [channels, height, width] = self.dst.shape.dimensions();
        let shape = Shape::image(channels, height / 2 * 2, width / 2 * 2);
        Self {
            dst: View::packed(shape, self.dst.batch, 0),
            ..*self
        }
    }
}

/// A forward product, pooled.
#[derive(Debug)]
struct Pooled<F> {
    /// The product, which writes everything.
    forward: F,
    /// Where it does.
    whole: View,
    /// The place of its output among its buffers.
    output: usize,
    /// The pooling of that.
    pool: MaxForward,
}

impl<F: RealRoutine> RealRoutine for Pooled<F> {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, scalars: &Scalars) {
        let mut whole = vec![T::zero(); self.whole.elements()];
        let stored = if self.pool.keep { 2 } else { 1 };
        let (before, rest) = buffers.split_at_mut(self.output);
        let (stored, after) = rest.split_at_mut(stored);
        let mut list: Vec<&mut [u8]> = Vec::with_capacity(before.len() + 1 + after.len());
        list.extend(before.iter_mut().map(|buffer| &mut **buffer));
        list.push(bytemuck::cast_slice_mut(&mut whole));
        list.extend(after.iter_mut().map(|buffer| &mut **buffer));
        self.forward.run_real::<T>(&mut list, scalars);
        let mut list: Vec<&mut [u8]> = vec![bytemuck::cast_slice_mut(&mut whole)];
        list.extend(stored.iter_mut().map(|buffer| &mut **buffer));
        self.pool.run_real::<T>(&mut list, scalars);
    }
}
