//! Gradients in parts, one a chunk of the batch, and their sum in a fixed order: the same bits every time.

use super::super::emit::{BufferId, Call, Element, Kernel, Ledger, Machine, Site, Tensor};
use super::super::limits::Class;
use super::super::name::Name;
use super::Product;
use super::host::{BackwardBias, SumChunks};

/// Channels whose bias gradient one work-item sums on a CPU.
const BIAS_BLOCK: usize = 64;
/// Numbers that one work-item sums over all chunks on a CPU.
const SUM_BLOCK: usize = 1024;

/// A gradient in parts, one a chunk of the batch.
pub struct Parts {
    /// How many.
    pub chunks: usize,
    /// Numbers of a part.
    pub count: usize,
    /// Where the sum goes.
    pub destination: BufferId,
}

impl Parts {
    /// Asks for a call that writes all parts, and for their sum; one part goes straight to the destination.
    pub fn sum(
        &self,
        name: Name,
        layer: usize,
        machine: &Machine,
        ledger: &mut Ledger,
        call: impl FnOnce(BufferId) -> Call,
    ) {
        let (chunks, count) = (self.chunks, self.count);
        if chunks == 1 {
            ledger.step(name, Some(layer), call(self.destination));
            return;
        }
        let sums = ledger.buffer(name.clone().word("sums"), Element::Real, chunks * count);
        ledger.step(name.clone(), Some(layer), call(sums));
        let machine = *machine;
        let kernel = move || {
            Kernel::new("product", "product_sum_chunks", 1)
                .define("SUM_CHUNKS", 1)
                .blocks(count, SUM_BLOCK, &machine)
        };
        let call = Call::new(kernel, SumChunks { count })
            .read(sums)
            .write(self.destination)
            .size(count)
            .size(chunks);
        ledger.step(name.word("sum"), Some(layer), call);
    }
}

impl Product {
    /// The gradient of the biases.
    pub(super) fn backward_bias(
        &self,
        site: &Site,
        d_dst: Tensor,
        d_bias: BufferId,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let (oh, ow) = self.output();
        let channels = self.panels.groups * self.panels.outputs;
        let rows = self.images() * oh;
        let chunks = rows.min(if machine.limits.class == Class::Gpu {
            64
        } else {
            8
        });
        let chunk = rows.div_ceil(chunks);
        let chunks = rows.div_ceil(chunk);
        let on = *machine;
        let kernel = move || {
            Kernel::new("product", "product_backward_bias", 1)
                .define("BACKWARD_BIAS", 1)
                .blocks(channels, BIAS_BLOCK, &on)
                .rows(chunks)
        };
        let view = d_dst.view;
        let host = BackwardBias { d_dst: view, chunk };
        let parts = Parts {
            chunks,
            count: channels,
            destination: d_bias,
        };
        let name = site.named("backward.bias");
        parts.sum(name, site.layer, machine, ledger, |sums| {
            let call = Call::new(kernel, host).read(d_dst.buffer).write(sums);
            let sizes = [channels, rows, chunk, oh, ow];
            let strides = [view.origin, view.image, view.row, view.pixel];
            sizes.into_iter().chain(strides).fold(call, Call::size)
        });
    }
}
