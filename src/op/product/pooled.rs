//! A forward product that pools its own output: of every window of 2 x 2 only the largest value is stored, and where
//! the way back wants it, which of the four it was. What the product wrote without it would be four times as much.

use super::super::emit::{BufferId, Call, HostBuffers, Kernel, RealRoutine, Scalars, Tensor};
use super::super::pool::MaxForward;
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

/// A forward call's output: its own, or what [`Pooling`] stores of it.
pub(super) fn store(call: Call, dst: BufferId, pooling: Option<Pooling>) -> Call {
    let Some(pooling) = pooling else {
        return call.write(dst);
    };
    let call = call.write(pooling.dst.buffer);
    match pooling.place {
        Some(place) => call.write(place),
        None => call,
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
pub(super) struct Pooled<F> {
    /// The product, which writes everything.
    pub(super) forward: F,
    /// Where it does.
    pub(super) whole: View,
    /// The place of its output among its buffers.
    pub(super) output: usize,
    /// The pooling of that.
    pub(super) pool: MaxForward,
}

impl<F> Pooled<F> {
    /// A forward product that reads an input, weights and perhaps biases, and then writes.
    pub(super) fn new(forward: F, product: &Product, pooling: Pooling, biased: bool) -> Self {
        let whole = product.dst;
        Self {
            forward,
            whole,
            output: if biased { 3 } else { 2 },
            pool: MaxForward::halving(whole, pooling.dst.view, pooling.place.is_some()),
        }
    }
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
