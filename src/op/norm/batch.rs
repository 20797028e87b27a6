//! `N(batch)`: batch normalization per channel over batch, height and width (Ioffe and Szegedy 2015). Formulas stand in
//! `kernels/norm_batch.cl`.
//!
//! In training the batch's own statistics normalize, and the running ones follow them; in inference the running ones
//! normalize. Running statistics are kept and saved with the parameters (`running_mean`, `running_var`), but nobody
//! learns them. `affine` adds `weight` (first 1) and `bias` (first 0) a channel; weight decay pulls this `weight` as any
//! other, which is PyTorch's habit.

use super::super::activation::define_sizes;
use super::super::emit::{Back, BufferId, Call, Element, Kernel, Ledger, Machine, Site};
use super::super::parameter::{Init, Layout, Parameter, Role};
use super::super::shape::Shape;
use super::super::signal::{Flow, Gradient, Signal};
use super::super::view::{D_DST, D_SRC, DST, SRC, View};
use super::super::{Fault, Kind, Op};
use super::batch_host::{
    Backward, BackwardPartial, BackwardSums, Forward, Inference, Partial, Statistics,
};

/// Batch normalization.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f64,
    /// The share of the batch in the running statistics.
    pub momentum: f64,
    /// Whether there is a learned scale and shift.
    pub affine: bool,
}

/// A layer's parameter buffers.
struct Buffers {
    /// Weight and bias, where there are any.
    affine: Option<[BufferId; 2]>,
    running: [BufferId; 2],
}

impl BatchNorm {
    fn buffers(&self, site: &Site) -> Buffers {
        let values: Vec<BufferId> = site.parameters.iter().map(|slot| slot.value).collect();
        match *values.as_slice() {
            [weight, bias, mean, variance] if self.affine => Buffers {
                affine: Some([weight, bias]),
                running: [mean, variance],
            },
            [mean, variance] => Buffers {
                affine: None,
                running: [mean, variance],
            },
            _ => unreachable!("internal error: a batch normalization has other parameters"),
        }
    }

    /// A kernel of one value a work-item.
    fn kernel(&self, function: &'static str, part: &'static str, view: &View) -> Kernel {
        let kernel = Kernel::new("norm_batch", function, 1)
            .define(part, 1)
            .define("N", view.batch)
            .define("EPS", self.eps)
            .define("MOMENTUM", self.momentum);
        let kernel = if self.affine {
            kernel.define("AFFINE", 1)
        } else {
            kernel
        };
        define_sizes(kernel, view)
    }

    fn train(&self, site: &Site, ledger: &mut Ledger, buffers: &Buffers) -> [BufferId; 2] {
        let src = site.source();
        let (batch, channels) = (src.view.batch, src.view.shape.channels());
        let mut buffer =
            |what: &'static str, count| ledger.buffer(site.named(what), Element::Real, count);
        let parts = ["part_mean", "part_square"].map(|what| buffer(what, batch * channels));
        let [mean, scale] = ["mean", "scale"].map(|what| buffer(what, channels));
        let op = *self;
        let kernel = move || {
            let kernel = op.kernel("norm_batch_partial", "PARTIAL", &src.view);
            src.view.define(kernel, SRC).global([channels, batch, 1])
        };
        let call = Call::new(kernel, Partial { src: src.view }).read(src.buffer);
        let call = call.write(parts[0]).write(parts[1]);
        ledger.step(site.named("forward.partial"), Some(site.layer), call);
        let kernel = move || {
            op.kernel("norm_batch_statistics", "STATISTICS", &src.view)
                .global([channels, 1, 1])
        };
        let view = src.view;
        let call = Call::new(kernel, Statistics { op, view })
            .read(parts[0])
            .read(parts[1])
            .update(buffers.running[0])
            .update(buffers.running[1])
            .write(mean)
            .write(scale);
        ledger.step(site.named("forward.statistics"), Some(site.layer), call);
        [mean, scale]
    }
}

impl Op for BatchNorm {
    fn kind(&self) -> &'static Kind {
        &super::KIND
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, Fault> {
        Ok(inputs[0])
    }

    fn parameters(&self, input: Shape, _: &Machine) -> Vec<Parameter> {
        let channels = input.channels();
        let parameter = |(name, role, first): (&'static str, Role, f64)| Parameter {
            name: name.into(),
            role,
            shape: vec![channels],
            layout: Layout::Plain(channels),
            init: Init::Constant(first),
        };
        let all = [
            ("weight", Role::Weight, 1.0),
            ("bias", Role::Bias, 0.0),
            ("running_mean", Role::Statistic, 0.0),
            ("running_var", Role::Statistic, 1.0),
        ];
        let used = &all[if self.affine { 0 } else { 2 }..];
        used.iter().copied().map(parameter).collect()
    }

    fn parameter_count(&self, input: Shape) -> u64 {
        if self.affine {
            2 * input.channels() as u64
        } else {
            0
        }
    }

    /// A channel needs two values at least: of one, the variance says nothing (PyTorch refuses it too).
    fn least_batch(&self, input: Shape) -> usize {
        let [_, height, width] = input.dimensions();
        if height * width == 1 { 2 } else { 1 }
    }

    /// In training: a channel's mean, the part that all images share, goes.
    fn signal(&self, inputs: &[Flow<'_>], _: Shape) -> Signal {
        let signal = inputs[0].signal;
        signal.normalized(signal.common(), self.eps)
    }

    fn gradient(&self, inputs: &[Flow<'_>], _: Shape, d_dst: Gradient) -> Vec<Gradient> {
        let signal = inputs[0].signal;
        vec![d_dst.normalized(signal, signal.common(), self.eps)]
    }

    fn forward(&self, site: &Site, _: &Machine, ledger: &mut Ledger) -> Vec<BufferId> {
        let (src, dst) = (site.source(), site.destination);
        let buffers = self.buffers(site);
        let op = *self;
        let kernel = move |function, part| {
            move || {
                let kernel = op.kernel(function, part, &src.view);
                dst.view.define(src.view.define(kernel, SRC), DST)
            }
        };
        let (affine, eps) = (self.affine, self.eps);
        let (src_view, dst_view) = (src.view, dst.view);
        let (call, statistics) = if site.training {
            let statistics = self.train(site, ledger, &buffers);
            let host = Forward {
                affine,
                src: src_view,
                dst: dst_view,
            };
            let kernel = kernel("norm_batch_forward", "FORWARD");
            (Call::new(kernel, host), statistics)
        } else {
            let host = Inference {
                affine,
                eps,
                src: src_view,
                dst: dst_view,
            };
            let kernel = kernel("norm_batch_inference", "INFERENCE");
            (Call::new(kernel, host), buffers.running)
        };
        let call = call
            .read(src.buffer)
            .read(statistics[0])
            .read(statistics[1]);
        let learned = buffers.affine.iter().flatten();
        let call = learned.fold(call, |call, &value| call.read(value));
        ledger.step(
            site.named("forward"),
            Some(site.layer),
            call.write(dst.buffer),
        );
        if site.training {
            statistics.to_vec()
        } else {
            Vec::new()
        }
    }

    fn backward(&self, site: &Site, back: &Back, _: &Machine, ledger: &mut Ledger) {
        let (src, d_dst, layer) = (site.source(), back.d_dst, Some(site.layer));
        let (batch, channels) = (src.view.batch, src.view.shape.channels());
        let &[mean, scale] = back.kept.as_slice() else {
            unreachable!("internal error: a batch normalization keeps its statistics")
        };
        let mut buffer =
            |what: &'static str, count| ledger.buffer(site.named(what), Element::Real, count);
        let parts = ["part_bias", "part_weight"].map(|what| buffer(what, batch * channels));
        let gradient = |slot: usize| site.parameters.get(slot).and_then(|slot| slot.gradient);
        let d_bias = gradient(1).unwrap_or_else(|| buffer("d_bias", channels));
        let d_weight = gradient(0).unwrap_or_else(|| buffer("d_weight", channels));
        let op = *self;
        let kernel = move |function, part| {
            let kernel = op.kernel(function, part, &src.view);
            d_dst.view.define(src.view.define(kernel, SRC), D_DST)
        };
        let partial = move || {
            kernel("norm_batch_backward_partial", "BACKWARD_PARTIAL").global([channels, batch, 1])
        };
        let host = BackwardPartial {
            src: src.view,
            d_dst: d_dst.view,
        };
        let call = Call::new(partial, host)
            .read(src.buffer)
            .read(d_dst.buffer)
            .read(mean)
            .read(scale);
        let call = call.write(parts[0]).write(parts[1]);
        ledger.step(site.named("backward.partial"), layer, call);
        let sums = move || {
            op.kernel("norm_batch_backward_sums", "BACKWARD_SUMS", &src.view)
                .global([channels, 1, 1])
        };
        let call = Call::new(sums, BackwardSums { channels });
        let call = call.read(parts[0]).read(parts[1]);
        let call = call.write(d_bias).write(d_weight);
        ledger.step(site.named("backward.sums"), layer, call);

        let Some(d_src) = back.d_src[0] else { return };
        let kernel = move || {
            d_src
                .view
                .define(kernel("norm_batch_backward", "BACKWARD"), D_SRC)
        };
        let host = Backward {
            affine: self.affine,
            src: src.view,
            d_dst: d_dst.view,
            d_src: d_src.view,
        };
        let mut call = Call::new(kernel, host)
            .read(src.buffer)
            .read(d_dst.buffer)
            .read(mean)
            .read(scale)
            .read(d_bias)
            .read(d_weight);
        if let Some([weight, _]) = self.buffers(site).affine {
            call = call.read(weight);
        }
        ledger.step(site.named("backward"), layer, call.write(d_src.buffer));
    }
}
