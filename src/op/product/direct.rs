//! The direct products: naive, one work-item a value, and tiled, one work-item a register tile, for CPUs.

use std::sync::Arc;

use super::super::activation::Function;
use super::super::emit::{BufferId, Call, Element, Kernel, Ledger, Machine, Scalar, Site, Tensor};
use super::super::limits::Class;
use super::super::name::Name;
use super::super::optimizer::Momentum;
use super::super::parameter::Panels;
use super::super::view::{D_DST, D_SRC, DST, SRC, View};
use super::host::{BackwardData, BackwardWeight, Forward, Transpose};
use super::parts::Parts;
use super::pooled::Forwarded;
use super::tile::Tile;
use super::{Pooling, Product};

impl Product {
    /// The forward product, directly.
    pub(super) fn direct_forward(
        self: &Arc<Self>,
        site: &Site,
        (act, pooling): (Function, Option<Pooling>),
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let buffers = Forwarded {
            src: site.source().buffer,
            weight: site.parameters[0].value,
            bias: site.parameters.get(1).map(|bias| bias.value),
            dst: site.destination.buffer,
            pooling,
        };
        let call = self.direct_product(buffers, act, !site.training, machine);
        ledger.step(site.named("forward"), Some(site.layer), call);
    }

    /// A forward product, directly; a convolution's input gradient may be one too. `slides`: the host engine may read
    /// windows where they lie.
    fn direct_product(
        self: &Arc<Self>,
        buffers: Forwarded,
        act: Function,
        slides: bool,
        machine: &Machine,
    ) -> Call {
        let (oh, ow) = self.output();
        let tiled = machine.limits.class == Class::Cpu;
        let pooling = buffers.pooling;
        let (product, machine, has_bias) = (Arc::clone(self), *machine, buffers.bias.is_some());
        let kernel = move || {
            let Self { src, panels, .. } = &*product;
            let dst = pooling.map_or(product.dst, |pooling| pooling.dst.view);
            let blocked = product.blocked_forward(pooling.is_some(), &machine);
            let (function, part) = match (tiled, blocked) {
                (_, Some(_)) => ("product_forward_blocked", "FORWARD_BLOCKED"),
                (true, None) => ("product_forward_tiled", "FORWARD_TILED"),
                (false, None) => ("product_forward_naive", "FORWARD_NAIVE"),
            };
            let kernel = product.kernel("product", function, part);
            let kernel = dst
                .define(src.define(kernel, SRC), DST)
                .define("ACT", act.number());
            let kernel = if has_bias {
                kernel.define("BIAS", 1)
            } else {
                kernel
            };
            if !tiled {
                return kernel.global([panels.groups * panels.outputs, oh * ow, product.images()]);
            }
            let kernel = match pooling {
                Some(pooling) => pooling.define(kernel),
                None => kernel,
            };
            if let Some(blocked) = blocked {
                return blocked.define(kernel, &product);
            }
            let (tile, tall) = match pooling {
                Some(_) => (Tile::pooled(&machine, ow, panels.panel), 2),
                None => (Tile::forward(&machine, ow, panels.panel), 1),
            };
            tile.define(kernel)
                .define("RUN", product.run())
                .define("TILES", ow.div_ceil(tile.rows / tall))
                .global([
                    product.images() * (oh / tall),
                    panels.groups * panels.count(),
                    1,
                ])
                .single()
        };
        let host = Forward {
            product: Arc::clone(self),
            act,
            bias: has_bias,
            pool: pooling.map(Pooling::halving),
            slides,
        };
        let call = buffers.arguments(Call::new(kernel, host));
        call.multiply_adds(self.multiply_adds())
    }

    /// A kernel of the input gradient: its function, and the define of its part of the file.
    fn data_kernel(
        &self,
        (function, part): (&'static str, &'static str),
        d_dst: &View,
        d_src: &View,
    ) -> Kernel {
        let kernel = d_dst.define(self.kernel("product", function, part), D_DST);
        d_src.define(kernel, D_SRC)
    }

    /// The input gradient, directly.
    pub(super) fn direct_backward_data(
        self: &Arc<Self>,
        site: &Site,
        d_dst: Tensor,
        d_src: Tensor,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let weight = site.parameters[0].value;
        let (ih, iw) = self.input();
        let name = site.named("backward.data");
        if machine.limits.class != Class::Cpu {
            let product = Arc::clone(self);
            let kernel = move || {
                let panels = &product.panels;
                let global = [panels.groups * panels.inputs, ih * iw, product.images()];
                let parts = ("product_backward_data_naive", "BACKWARD_DATA_NAIVE");
                product
                    .data_kernel(parts, &d_dst.view, &d_src.view)
                    .global(global)
            };
            let host = BackwardData {
                product: Arc::clone(self),
                d_dst: d_dst.view,
                d_src: d_src.view,
                transposed: None,
            };
            ledger.step(
                name,
                Some(site.layer),
                Call::new(kernel, host)
                    .read(weight)
                    .read(d_dst.buffer)
                    .write(d_src.buffer)
                    .multiply_adds(self.multiply_adds()),
            );
            return;
        }
        let stride = self.window.stride.width;
        let tile = Tile::choose(machine, (iw / stride).max(1), self.panels.inputs);
        if self.images() > 1 && self.turns() {
            let (transposed, buffer) = self.transpose(site, tile, true, ledger);
            let buffers = Forwarded {
                src: d_dst.buffer,
                weight: buffer,
                bias: None,
                dst: d_src.buffer,
                pooling: None,
            };
            let product = self.of_input_gradient(d_dst, d_src, transposed);
            let call = product.direct_product(buffers, Function::None, false, machine);
            ledger.step(
                name,
                Some(site.layer),
                call.multiply_adds(self.multiply_adds()),
            );
            return;
        }
        let (transposed, buffer) = self.transpose(site, tile, false, ledger);
        let tiles = iw.div_ceil(stride).div_ceil(tile.rows);
        let product = Arc::clone(self);
        let kernel = move || {
            let parts = ("product_backward_data_tiled", "BACKWARD_DATA_TILED");
            let mut kernel = product.data_kernel(parts, &d_dst.view, &d_src.view);
            kernel
                .defines
                .retain(|(key, _)| *key != "NR" && *key != "PANELS");
            tile.define(kernel)
                .define("NR", transposed.panel)
                .define("PANELS", transposed.count())
                .define("TILES", tiles)
                .global([
                    product.images() * ih * stride * tiles,
                    transposed.groups * transposed.count(),
                    1,
                ])
                .single()
        };
        let host = BackwardData {
            product: Arc::clone(self),
            d_dst: d_dst.view,
            d_src: d_src.view,
            transposed: Some(transposed),
        };
        let call = Call::new(kernel, host)
            .read(buffer)
            .read(d_dst.buffer)
            .write(d_src.buffer)
            .multiply_adds(self.multiply_adds());
        ledger.step(name, Some(site.layer), call);
    }

    /// Asks for the weights in panels over inputs, the filters turned by half a turn where wished.
    pub(super) fn transpose(
        self: &Arc<Self>,
        site: &Site,
        tile: Tile,
        turned: bool,
        ledger: &mut Ledger,
    ) -> (Panels, BufferId) {
        let transposed = Panels {
            outputs: self.panels.inputs,
            inputs: self.panels.outputs,
            panel: tile.columns(),
            ..self.panels
        };
        let buffer = ledger.buffer(
            site.named("transposed"),
            Element::Real,
            transposed.elements(),
        );
        let product = Arc::clone(self);
        let kernel = move || {
            let kernel = product.kernel("product", "product_transpose_weight", "TRANSPOSE_WEIGHT");
            let kernel = if turned {
                kernel.define("TURN", 1)
            } else {
                kernel
            };
            kernel
                .define("T_NR", transposed.panel)
                .define("T_PANELS", transposed.count())
                .global([
                    product.panels.count(),
                    transposed.height * transposed.width,
                    transposed.groups * transposed.count(),
                ])
                .single()
        };
        let host = Transpose {
            from: self.panels,
            to: transposed,
            turned,
        };
        let call = Call::new(kernel, host)
            .read(site.parameters[0].value)
            .write(buffer);
        ledger.step(site.named("backward.transpose"), Some(site.layer), call);
        (transposed, buffer)
    }

    /// The weight gradient's step that changes the weights itself, directly.
    pub(super) fn direct_update(
        self: &Arc<Self>,
        site: &Site,
        d_dst: Tensor,
        rule: Momentum,
        machine: &Machine,
    ) -> Call {
        let kernel = self.direct_weight_kernel(d_dst, self.images(), 1, Some(rule), machine);
        let host = BackwardWeight {
            product: Arc::clone(self),
            d_dst: d_dst.view,
            chunk: 1,
            update: Some(rule),
        };
        Call::new(kernel, host)
            .read(site.source().buffer)
            .read(d_dst.buffer)
            .update(site.parameters[0].value)
            .update(rule.velocity)
            .scalar(Scalar::LearningRate)
            .multiply_adds(self.multiply_adds())
    }

    /// The kernel of the weight gradient, directly.
    pub(super) fn direct_weight_kernel(
        self: &Arc<Self>,
        d_dst: Tensor,
        chunk: usize,
        chunks: usize,
        update: Option<Momentum>,
        machine: &Machine,
    ) -> impl Fn() -> Kernel + Send + Sync + 'static {
        let (product, machine) = (Arc::clone(self), *machine);
        move || {
            let Self { panels: packed, .. } = &*product;
            let kernel = |function, part| {
                let kernel = product
                    .src
                    .define(product.kernel("product", function, part), SRC);
                let kernel = d_dst.view.define(kernel, D_DST);
                match &update {
                    Some(rule) => rule.define(kernel),
                    None => kernel,
                }
            };
            let panels = packed.groups * packed.count();
            if machine.limits.class != Class::Cpu {
                return kernel("product_backward_weight_naive", "BACKWARD_WEIGHT_NAIVE").global([
                    packed.depth() * packed.panel,
                    panels,
                    1,
                ]);
            }
            // Chunks of images: enough work-items for every core, and short sums. Where they do not suffice (one
            // image, a fully connected layer) the tiles are work-items too.
            let enough = product.images() > 1 && chunks * panels >= 4 * machine.limits.cores;
            let blocked = product.blocked_weight(&machine);
            if let Some(blocked) = blocked.filter(|_| enough && update.is_none()) {
                let kernel = kernel("product_backward_weight_blocked", "BACKWARD_WEIGHT_BLOCKED");
                return blocked
                    .define(kernel)
                    .define("CHUNK", chunk)
                    .global([panels, chunks, 1])
                    .single();
            }
            let run = product.run();
            let tile = Tile::weight(
                &machine,
                run,
                packed.height,
                packed.panel,
                run != packed.inputs,
            );
            let tiles = if tile.filter_rows > 1 {
                1
            } else {
                run.div_ceil(tile.tile.rows)
            };
            let split = if enough {
                1
            } else {
                packed.depth() / run / tile.filter_rows * tiles
            };
            tile.tile
                .define(kernel(
                    "product_backward_weight_tiled",
                    "BACKWARD_WEIGHT_TILED",
                ))
                .define("RUN", run)
                .define("ROWS", tile.filter_rows)
                .define("TILES", tiles)
                .define("CHUNK", chunk)
                .define("SPLIT", split)
                .global([split, panels, chunks])
                .single()
        }
    }

    /// The weight gradient, directly, in parts.
    pub(super) fn direct_backward_weight(
        self: &Arc<Self>,
        name: Name,
        site: &Site,
        d_dst: Tensor,
        d_weight: BufferId,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let panels = self.panels.groups * self.panels.count();
        // The host sums eight chunks of images side by side, whatever its number of threads: the same bits.
        let chunks = match machine.limits.class {
            Class::Cpu => (8 * machine.limits.cores).div_ceil(panels).max(4),
            Class::Host => 8,
            Class::Gpu => 1,
        };
        let chunk = self.images().div_ceil(self.images().min(chunks));
        let chunks = self.images().div_ceil(chunk);
        let kernel = self.direct_weight_kernel(d_dst, chunk, chunks, None, machine);
        let host = BackwardWeight {
            product: Arc::clone(self),
            d_dst: d_dst.view,
            chunk,
            update: None,
        };
        let parts = Parts {
            chunks,
            count: self.panels.elements(),
            destination: d_weight,
        };
        let source = site.source().buffer;
        let multiply_adds = self.multiply_adds();
        parts.sum(name, site.layer, machine, ledger, |sums| {
            Call::new(kernel, host)
                .read(source)
                .read(d_dst.buffer)
                .write(sums)
                .multiply_adds(multiply_adds)
        });
    }
}
