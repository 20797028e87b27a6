//! Products of whole matrices, blocked for a CPU's caches: those of fully connected layers (`kernels/dense.cl`).

use std::sync::Arc;

use super::super::activation::Function;
use super::super::emit::{Call, Element, Kernel, Ledger, Machine, Site, Tensor};
use super::super::limits::Class;
use super::super::optimizer::Rule;
use super::super::view::{D_DST, D_SRC, DST, SRC};
use super::Product;
use super::host::{Forward, FromTransposed, TransposeRows};
use super::tile::Tile;

/// Rows of the batch that one work-item multiplies at most: their sums are private.
const MOST_ROWS: usize = 128;
/// Bytes of a panel's weights that stay in a core's first cache.
const DEPTH_BYTES: usize = 24 << 10;
/// Bytes of the input gradient that one work-item sums.
const SUMS_BYTES: usize = 72 << 10;
/// Inputs whose weight gradients one work-item sums.
const WEIGHT_INPUTS: usize = 384;
/// Outputs whose gradient one work-item transposes.
const TRANSPOSED_OUTPUTS: usize = 16;

impl Product {
    /// Whether it is a product of whole matrices on a CPU.
    pub(super) fn is_dense(&self, machine: &Machine) -> bool {
        let panels = &self.panels;
        machine.limits.class == Class::Cpu
            && self.images() == 1
            && self.output().0 == 1
            && panels.groups * panels.width * panels.height == 1
            && self.window.stride.area() == 1
            && self.window.pad.height + self.window.pad.width == 0
    }

    /// Rows: the batch.
    fn rows(&self) -> usize {
        self.output().1
    }

    fn dense_kernel(&self, function: &'static str, part: &'static str, tile: Tile) -> Kernel {
        let panels = &self.panels;
        let kernel = Kernel::new("dense", function, 1)
            .define(part, 1)
            .define("M", self.rows())
            .define("IC", panels.inputs)
            .define("OC", panels.outputs)
            .define("NR", panels.panel)
            .define("PANELS", panels.count());
        tile.define(kernel)
    }

    pub(super) fn dense_forward(
        self: &Arc<Self>,
        site: &Site,
        act: Function,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let bias = site.parameters.get(1).map(|bias| bias.value);
        let (product, on, has_bias) = (Arc::clone(self), *machine, bias.is_some());
        let kernel = move || {
            let (rows, panels) = (product.rows(), &product.panels);
            // Rows in equal parts, where the panels alone do not keep every core busy.
            let parts = rows
                .div_ceil(MOST_ROWS)
                .max((4 * on.limits.cores).div_ceil(panels.count()));
            let tile = Tile::forward(&on, rows, panels.panel);
            let part = rows.div_ceil(parts).next_multiple_of(tile.rows).min(rows);
            let row = panels.panel * on.precision.bytes() as usize;
            let kernel = product.dense_kernel("dense_forward", "DENSE_FORWARD", tile);
            let kernel = product.dst.define(product.src.define(kernel, SRC), DST);
            let kernel = kernel
                .define("ACT", act.number())
                .define("ROWS", part)
                .define("DEPTH", (DEPTH_BYTES / row).max(16))
                .global([panels.count(), rows.div_ceil(part), 1])
                .single();
            if has_bias {
                kernel.define("BIAS", 1)
            } else {
                kernel
            }
        };
        let host = Forward {
            product: Arc::clone(self),
            act,
            bias: has_bias,
        };
        let mut call = Call::new(kernel, host)
            .read(site.source().buffer)
            .read(site.parameters[0].value);
        if let Some(bias) = bias {
            call = call.read(bias);
        }
        let call = call
            .write(site.destination.buffer)
            .multiply_adds(self.multiply_adds());
        ledger.step(site.named("forward"), Some(site.layer), call);
    }

    pub(super) fn dense_backward_data(
        self: &Arc<Self>,
        site: &Site,
        d_dst: Tensor,
        d_src: Tensor,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let (rows, outputs) = (self.rows(), self.panels.outputs);
        let tile = Tile::batch(machine, rows);
        let whole = rows.next_multiple_of(tile.columns());
        let name = site.named("backward.transposed");
        let buffer = ledger.buffer(name.clone(), Element::Real, outputs * whole);
        let product = Arc::clone(self);
        let kernel = move || {
            let kernel = product.dense_kernel("dense_transpose", "DENSE_TRANSPOSE", tile);
            d_dst
                .view
                .define(kernel, D_DST)
                .define("BLOCK", TRANSPOSED_OUTPUTS)
                .global([outputs.div_ceil(TRANSPOSED_OUTPUTS), 1, 1])
                .single()
        };
        let host = TransposeRows {
            d_dst: d_dst.view,
            whole,
        };
        let call = Call::new(kernel, host).read(d_dst.buffer).write(buffer);
        ledger.step(name, Some(site.layer), call);

        let (product, on) = (Arc::clone(self), *machine);
        let kernel = move || {
            let inputs = product.panels.inputs;
            let most = SUMS_BYTES / (whole * on.precision.bytes() as usize);
            let share = inputs.div_ceil(4 * on.limits.cores);
            let block = most.min(share).next_multiple_of(tile.rows);
            let kernel = product.dense_kernel("dense_backward_data", "DENSE_BACKWARD_DATA", tile);
            d_src
                .view
                .define(kernel, D_SRC)
                .define("INPUTS", block)
                .global([inputs.div_ceil(block), 1, 1])
                .single()
        };
        let host = FromTransposed {
            product: Arc::clone(self),
            d_dst: d_dst.view,
            d_src: d_src.view,
            whole,
        };
        let call = Call::new(kernel, host)
            .read(site.parameters[0].value)
            .read(buffer)
            .write(d_src.buffer)
            .multiply_adds(self.multiply_adds());
        ledger.step(site.named("backward.data"), Some(site.layer), call);
    }

    pub(super) fn dense_weight_kernel(
        self: &Arc<Self>,
        d_dst: Tensor,
        update: Option<Rule>,
        machine: &Machine,
    ) -> impl Fn() -> Kernel + Send + Sync + 'static {
        let (product, on) = (Arc::clone(self), *machine);
        move || {
            let panels = &product.panels;
            let tile = Tile::forward(&on, panels.inputs, panels.panel);
            let kernel =
                product.dense_kernel("dense_backward_weight", "DENSE_BACKWARD_WEIGHT", tile);
            let kernel = d_dst.view.define(product.src.define(kernel, SRC), D_DST);
            let kernel = match &update {
                Some(rule) => rule.define(kernel),
                None => kernel,
            };
            let share = (panels.inputs * panels.count()).div_ceil(8 * on.limits.cores);
            let block = WEIGHT_INPUTS.min(share).next_multiple_of(tile.rows);
            kernel
                .define("INPUTS", block)
                .global([panels.inputs.div_ceil(block), panels.count(), 1])
                .single()
        }
    }
}
