//! Products of whole matrices, blocked for a CPU's caches: those of fully connected layers (`kernels/dense.cl`).

use std::sync::Arc;

use super::super::activation::Function;
use super::super::emit::{BufferId, Call, Element, Kernel, Ledger, Machine, Scalar, Site, Tensor};
use super::super::limits::Class;
use super::super::optimizer::Momentum;
use super::super::view::View;
use super::Product;
use super::host::{BackwardWeight, Forward, FromTransposed, TransposeRows};
use super::tile::Tile;

/// Rows of the batch that one work-item multiplies at most: their sums are private.
const MOST_ROWS: usize = 128;
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
        let kernel = Kernel::new("dense", function, 1)
            .define(part, 1)
            .define("M", self.rows())
            .define("NR", self.panels.panel);
        tile.define(kernel).single()
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
        let (rows, panels) = (self.rows(), &self.panels);
        let tile = Tile::forward(machine, rows, panels.panel);
        // Rows in equal parts, where the panels alone do not keep every core busy.
        let enough = 4 * machine.limits.cores;
        let most = machine.tuning.dense_side;
        // A few rows stay in the first cache anyway, and memory delivers one panel in a row faster than two in turn.
        let few = rows <= tile.rows;
        let wide = !few && panels.count() >= most * enough;
        let side = if wide { most } else { 1 };
        let items = panels.count().div_ceil(side);
        let parts = rows.div_ceil(MOST_ROWS).max(enough.div_ceil(items));
        let part = rows.div_ceil(parts).next_multiple_of(tile.rows).min(rows);
        // Layers share the compiled kernel: one that has no activation has the usual one, and leaves it out.
        let raw = act == Function::None;
        let compiled = if raw { Function::Relu } else { act };
        let kernel = move || {
            let row = product.panels.panel * on.precision.bytes() as usize;
            let kernel = product.dense_kernel("dense_forward", "DENSE_FORWARD", tile);
            let kernel = kernel
                .define("ACT", compiled.number())
                .define(
                    "SUMS",
                    most * rows.min(MOST_ROWS.next_multiple_of(tile.rows)) * product.panels.panel,
                )
                .define("DEPTH", (on.tuning.dense_depth_bytes / row).max(16))
                .global([items, rows.div_ceil(part), 1]);
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
            pool: None,
            slides: false,
        };
        let call = Call::new(kernel, host)
            .read(site.source().buffer)
            .read(site.parameters[0].value)
            .read_some(bias)
            .write(site.destination.buffer)
            .ints(rows_of(&self.src))
            .ints(rows_of(&self.dst))
            .ints([self.panels.inputs, self.panels.outputs])
            .ints([part, side, usize::from(raw)])
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
        let kernel = move || {
            // Without the panel, which it does not look at: layers share the compiled kernel.
            let kernel = Kernel::new("dense", "dense_transpose", 1)
                .define("DENSE_TRANSPOSE", 1)
                .define("M", rows)
                .define("BLOCK", TRANSPOSED_OUTPUTS);
            tile.define(kernel)
                .single()
                .global([outputs.div_ceil(TRANSPOSED_OUTPUTS), 1, 1])
        };
        let host = TransposeRows {
            d_dst: d_dst.view,
            whole,
        };
        let call = Call::new(kernel, host)
            .read(d_dst.buffer)
            .write(buffer)
            .ints(rows_of(&d_dst.view))
            .ints([outputs]);
        ledger.step(name, Some(site.layer), call);

        let inputs = self.panels.inputs;
        let most =
            (machine.tuning.dense_sums_bytes / (whole * machine.precision.bytes() as usize)).max(1);
        let sums = most.next_multiple_of(tile.rows) * whole;
        let share = inputs.div_ceil(4 * machine.limits.cores);
        let block = most.min(share).next_multiple_of(tile.rows);
        let product = Arc::clone(self);
        let kernel = move || {
            product
                .dense_kernel("dense_backward_data", "DENSE_BACKWARD_DATA", tile)
                .define("SUMS", sums)
                .global([inputs.div_ceil(block), 1, 1])
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
            .ints(rows_of(&d_src.view))
            .ints([inputs, outputs, block])
            .multiply_adds(self.multiply_adds());
        ledger.step(site.named("backward.data"), Some(site.layer), call);
    }

    /// The weight gradient's step, that of its own update where there is a rule; `target` is the gradient.
    pub(super) fn dense_backward_weight(
        self: &Arc<Self>,
        site: &Site,
        d_dst: Tensor,
        (update, target): (Option<Momentum>, BufferId),
        machine: &Machine,
    ) -> Call {
        let panels = self.panels;
        let tile = Tile::forward(machine, panels.inputs, panels.panel);
        let share = (panels.inputs * panels.count()).div_ceil(8 * machine.limits.cores);
        let block = machine
            .tuning
            .dense_weight_inputs
            .min(share)
            .next_multiple_of(tile.rows);
        let product = Arc::clone(self);
        let kernel = move || {
            let (function, part) = ("dense_backward_weight", "DENSE_BACKWARD_WEIGHT");
            let kernel = product.dense_kernel(function, part, tile);
            let kernel = match &update {
                Some(rule) => rule.define(kernel),
                None => kernel,
            };
            kernel.global([panels.inputs.div_ceil(block), panels.count(), 1])
        };
        let host = BackwardWeight {
            product: Arc::clone(self),
            d_dst: d_dst.view,
            chunk: 1,
            update,
        };
        let call = Call::new(kernel, host)
            .read(site.source().buffer)
            .read(d_dst.buffer);
        let call = match update {
            Some(rule) => call
                .update(site.parameters[0].value)
                .update(rule.velocity)
                .scalar(Scalar::LearningRate),
            None => call.write(target),
        };
        call.ints(rows_of(&self.src))
            .ints(rows_of(&d_dst.view))
            .ints([panels.inputs, panels.outputs, block])
            .multiply_adds(self.multiply_adds())
    }
}

/// Where the first row starts, and from one row to the next.
fn rows_of(view: &View) -> [usize; 2] {
    [view.origin, view.pixel]
}
