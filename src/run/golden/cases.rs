//! How each kind of case is run.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::manifest::{Case, Directory, Values};
use super::{Comparison, allowed, compare};
use crate::data::mean;
use crate::device::Device;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::Graph;
use crate::op::activation::{Activation, Function};
use crate::op::conv::Convolution;
use crate::op::dropout::{Dropout, output_backward};
use crate::op::emit::{Element, Ledger, Machine, Scalars, Site, Tensor};
use crate::op::fully::Fully;
use crate::op::join::{Concatenation, Sum};
use crate::op::learned::Learned;
use crate::op::loss;
use crate::op::norm::local::LocalResponse;
use crate::op::norm::meanvar::MeanVariance;
use crate::op::optimizer::{Optimizer, Target};
use crate::op::pool::{Pool, Reduction};
use crate::op::real::Precision;
use crate::op::shape::{Shape, Size, Window};
use crate::op::view::View;
use crate::op::{InitRule, Op};
use crate::plan::lower::{Options, lower};
use crate::plan::{Mode, Parts, Plan};
use crate::run::runner::Runner;

/// What came out, by the case's names.
pub(super) type Results = Vec<(String, Vec<f64>)>;

/// Runs one case and compares every expected tensor.
pub fn run(
    directory: &Directory,
    case: &Case,
    device: &mut dyn Device,
    machine: &Machine,
) -> Result<Vec<Comparison>, Diagnostic> {
    let mut inputs = BTreeMap::new();
    for (name, reference) in &case.inputs {
        inputs.insert(name.as_str(), directory.values(case, reference)?);
    }
    let rig = Rig {
        case,
        inputs,
        machine: *machine,
        filtered: Cell::new(false),
    };
    let results = match case.op.as_str() {
        "net" => rig.net(device)?,
        "batchnorm" | "batch_norm" | "bn" | "batchnorm1d" | "batchnorm2d" => {
            rig.batch_norm(device)?
        }
        "add" | "sum" => rig.join(Arc::new(Sum), device)?,
        "concat" | "cat" | "concatenate" => rig.join(Arc::new(Concatenation), device)?,
        "dropout" => rig.dropout(device)?,
        "softmax_xent" => rig.cross_entropy(device)?,
        "sgd" => rig.sgd(device)?,
        "mean_image" => rig.mean_image()?,
        _ => rig.layer(device)?,
    };
    let mut comparisons = Vec::new();
    for (name, reference) in &case.expected {
        let expected = directory.values(case, reference)?;
        let mut found = false;
        // A tensor may have come out in several ways (training and inference): all of them count.
        for (_, got) in results.iter().filter(|(given, _)| given == name) {
            let allowed = allowed(case, name, machine.precision, rig.filtered.get());
            comparisons.push(compare(name, got, &expected.data, allowed));
            found = true;
        }
        if !found {
            return Err(fault(case, &format!("netc computes no `{name}` for it")));
        }
    }
    Ok(comparisons)
}

pub(super) fn fault(case: &Case, what: &str) -> Diagnostic {
    Diagnostic::error(
        Code::E0502,
        format!("case `{}` of op `{}`: {what}", case.name, case.op),
    )
}

pub(super) struct Rig<'a> {
    pub(super) case: &'a Case,
    pub(super) inputs: BTreeMap<&'a str, Values>,
    pub(super) machine: Machine,
    /// Whether Winograd's filtering had a part in the results.
    pub(super) filtered: Cell<bool>,
}

/// A number of a JSON object, or the default.
pub(super) fn number(attributes: &Value, key: &str, default: f64) -> f64 {
    attributes
        .get(key)
        .and_then(Value::as_f64)
        .unwrap_or(default)
}

/// A size of a JSON object: a number, or height and width.
fn size(attributes: &Value, key: &str, default: usize) -> Size {
    match attributes.get(key) {
        Some(Value::Array(parts)) if parts.len() == 2 => {
            let part = |i: usize| parts[i].as_u64().unwrap_or(0) as usize;
            Size {
                height: part(0),
                width: part(1),
            }
        }
        Some(value) => Size::square(value.as_u64().map_or(default, |v| v as usize)),
        None => Size::square(default),
    }
}

/// The op of a case or of a net's layer.
pub(super) fn op(kind: &str, attributes: &Value) -> Option<Arc<dyn Op>> {
    let act = Function::of(
        attributes
            .get("act")
            .and_then(Value::as_str)
            .unwrap_or("none"),
    );
    let learned = Learned {
        act,
        dropout: None,
        init: InitRule::He,
        bias_init: 0.0,
        bias: true,
    };
    let kernel = size(attributes, "kernel", 2);
    let pad = size(attributes, "pad", 0);
    Some(match kind {
        "conv" => {
            let window = Window {
                size: kernel,
                stride: size(attributes, "stride", 1),
                pad,
                ceil: false,
            };
            Arc::new(Convolution {
                filters: number(attributes, "filters", 0.0) as usize,
                window,
                groups: number(attributes, "groups", 1.0) as usize,
                learned,
            })
        }
        "fc" => Arc::new(Fully {
            units: number(attributes, "units", 0.0) as usize,
            learned,
        }),
        "act" => Arc::new(Activation { function: act }),
        "maxpool" | "avgpool" => {
            let stride = if attributes.get("stride").is_some() {
                size(attributes, "stride", 1)
            } else {
                kernel
            };
            let ceil = attributes
                .get("ceil")
                .and_then(Value::as_bool)
                .unwrap_or(false);
            let reduction = if kind == "maxpool" {
                Reduction::Max
            } else {
                Reduction::Average
            };
            Arc::new(Pool {
                reduction,
                window: Some(Window {
                    size: kernel,
                    stride,
                    pad,
                    ceil,
                }),
            })
        }
        "lrn" => Arc::new(LocalResponse {
            size: number(attributes, "size", 5.0) as usize,
            alpha: number(attributes, "alpha", 1e-4),
            beta: number(attributes, "beta", 0.75),
            k: number(attributes, "k", 2.0),
        }),
        "meanvar" => Arc::new(MeanVariance {
            eps: number(attributes, "eps", 1e-5),
        }),
        _ => return None,
    })
}

/// The batch and one image's shape.
pub(super) fn batch_of(shape: &[usize]) -> (usize, Shape) {
    match *shape {
        [n, c, h, w] => (n, Shape::image(c, h, w)),
        [n, ref rest @ ..] => (n, Shape::Vector(rest.iter().product())),
        [] => (1, Shape::Vector(1)),
    }
}

impl Rig<'_> {
    pub(super) fn input(&self, name: &str) -> Result<&Values, Diagnostic> {
        self.inputs
            .get(name)
            .ok_or_else(|| fault(self.case, &format!("the input `{name}` is missing")))
    }

    /// A layer of its own: output, and the gradients of input, weight and bias; the output in inference too.
    fn layer(&self, device: &mut dyn Device) -> Result<Results, Diagnostic> {
        let case = self.case;
        let op = op(&case.op, &case.attrs).ok_or_else(|| fault(case, "netc knows no such op"))?;
        let x = self.input("x")?;
        let (batch, shape) = batch_of(&x.shape);
        let graph = Graph::single(&case.name, op, shape).map_err(|f| fault(case, &f.message))?;
        let mut results = Results::new();
        for mode in [Mode::Inference, Mode::Training] {
            let training = mode == Mode::Training;
            let options = Options {
                mode,
                input_gradient: training,
                keep_gradients: true,
                ..Options::inference(batch)
            };
            let runner = self.load(device, lower(&graph, &options, &self.machine))?;
            let plan = Arc::clone(&runner.plan);
            runner.write_tensor(device, plan.input, &x.data)?;
            for (buffers, name) in plan.parameters.iter().zip(["w", "b"]) {
                runner.write_parameter(
                    device,
                    &buffers.parameter,
                    buffers.value,
                    &self.input(name)?.data,
                )?;
            }
            if let Some(d_output) = plan.output_gradient {
                runner.write_tensor(device, d_output, &self.input("dy")?.data)?;
            }
            runner.run(device, 0..plan.forward_steps, &Scalars::default())?;
            results.push(("y".into(), runner.read_tensor(device, plan.output)?));
            runner.run(
                device,
                plan.forward_steps..plan.steps.len(),
                &Scalars::default(),
            )?;
            if let Some(d_input) = plan.input_gradient {
                results.push(("dx".into(), runner.read_tensor(device, d_input)?));
            }
            for (buffers, name) in plan.parameters.iter().zip(["dw", "db"]) {
                if let Some(gradient) = buffers.gradient {
                    results.push((
                        name.into(),
                        runner.read_parameter(device, &buffers.parameter, gradient)?,
                    ));
                }
            }
        }
        Ok(results)
    }

    /// Loads a plan, and notes whether Winograd's filtering has a part in it.
    pub(super) fn load(&self, device: &mut dyn Device, plan: Plan) -> Result<Runner, Diagnostic> {
        let mut steps = plan.steps.iter();
        if steps.any(|step| step.call.kernel().file == "winograd") {
            self.filtered.set(true);
        }
        Runner::load(device, plan)
    }

    /// A plan of hand-made steps, all of whose tensors stay readable.
    pub(super) fn assemble(&self, ledger: Ledger, batch: usize, tensor: Tensor) -> Plan {
        let all: Vec<_> = (0..ledger.buffers.len())
            .map(crate::op::emit::BufferId)
            .collect();
        let place = (tensor.buffer, tensor.view);
        let parts = Parts {
            ledger,
            before: all.clone(),
            after: all,
            ..Parts::default()
        };
        Plan {
            mode: Mode::Training,
            batch,
            ..Plan::bare(&self.case.name, place, place, parts, &self.machine)
        }
    }

    /// Dropout with the case's mask in place of the draw.
    fn dropout(&self, device: &mut dyn Device) -> Result<Results, Diagnostic> {
        let x = self.input("x")?;
        let (batch, shape) = batch_of(&x.shape);
        let view = View::packed(shape, batch, 0);
        let mut ledger = Ledger::default();
        let (dst, d_dst) = (ledger.tensor("dst", view), ledger.tensor("d_dst", view));
        let mask = ledger.buffer("mask", Element::Byte, batch * shape.elements());
        let dropout = Dropout {
            probability: number(&self.case.attrs, "p", 0.5),
            mask: Some(mask),
        };
        let site = Site {
            name: "dropout".into(),
            layer: 0,
            sources: vec![dst],
            destination: dst,
            parameters: Vec::new(),
            source_act: Function::None,
            before_act: false,
            prepared: None,
            training: true,
        };
        dropout.forward(&site, &self.machine, &mut ledger);
        output_backward(
            &site,
            d_dst,
            Function::None,
            Some(dropout),
            &self.machine,
            &mut ledger,
        );
        let runner = self.load(device, self.assemble(ledger, batch, dst))?;
        runner.write_tensor(device, (dst.buffer, view), &x.data)?;
        runner.write_tensor(device, (d_dst.buffer, view), &self.input("dy")?.data)?;
        // The mask counts [batch, height, width, channels].
        let given: Vec<u8> = self.input("mask")?.data.iter().map(|&v| v as u8).collect();
        let mut ordered = vec![0; given.len()];
        View {
            image: shape.elements(),
            ..View::packed(shape, batch, 0)
        }
        .scatter(&given, &mut ordered);
        device.write(runner.loaded, mask, &ordered)?;
        runner.run_all(device, &Scalars::default())?;
        Ok(vec![
            ("y".into(), runner.read_tensor(device, (dst.buffer, view))?),
            (
                "dx".into(),
                runner.read_tensor(device, (d_dst.buffer, view))?,
            ),
        ])
    }

    /// Softmax with cross-entropy.
    fn cross_entropy(&self, device: &mut dyn Device) -> Result<Results, Diagnostic> {
        let x = self.input("x")?;
        let (batch, shape) = batch_of(&x.shape);
        let view = View::packed(shape, batch, 0);
        let mut ledger = Ledger::default();
        let (z, d_z, p) = (
            ledger.tensor("z", view),
            ledger.tensor("d_z", view),
            ledger.tensor("p", view),
        );
        let labels = ledger.buffer("labels", Element::Int, batch);
        let (losses, correct) = (
            ledger.buffer("loss", Element::Real, batch),
            ledger.buffer("correct", Element::Int, batch),
        );
        let average = loss::Average {
            images: batch,
            smoothing: 0.0,
        };
        loss::cross_entropy(z, labels, losses, correct, d_z, average, &mut ledger);
        loss::softmax(z, p, &mut ledger);
        let runner = self.load(device, self.assemble(ledger, batch, z))?;
        runner.write_tensor(device, (z.buffer, view), &x.data)?;
        let given: Vec<i32> = self
            .input("labels")?
            .data
            .iter()
            .map(|&v| v as i32)
            .collect();
        runner.write_ints(device, labels, &given)?;
        runner.run_all(device, &Scalars::default())?;
        let losses = runner.read_reals(device, losses, batch)?;
        Ok(vec![
            (
                "loss".into(),
                vec![losses.iter().sum::<f64>() / batch as f64],
            ),
            (
                "probs".into(),
                runner.read_tensor(device, (p.buffer, view))?,
            ),
            ("dx".into(), runner.read_tensor(device, (d_z.buffer, view))?),
        ])
    }

    /// Steps of stochastic gradient descent, at a rate of their own each.
    fn sgd(&self, device: &mut dyn Device) -> Result<Results, Diagnostic> {
        let start = self.input("w0")?;
        let count = start.data.len();
        let view = View::packed(Shape::Vector(count), 1, 0);
        let mut ledger = Ledger::default();
        let (w, v, g) = (
            ledger.tensor("w", view),
            ledger.tensor("v", view),
            ledger.tensor("g", view),
        );
        let attributes = &self.case.attrs;
        let optimizer = Optimizer::sgd(
            number(attributes, "momentum", 0.0),
            number(attributes, "weight_decay", 0.0),
        );
        let target = Target {
            value: w.buffer,
            gradient: g.buffer,
            count,
            rule: optimizer.rule(&[v.buffer], true),
            factor: None,
            clears: false,
        };
        target.update("w".into(), None, &self.machine, &mut ledger);
        let runner = self.load(device, self.assemble(ledger, 1, w))?;
        runner.write_tensor(device, (w.buffer, view), &start.data)?;
        runner.write_tensor(device, (v.buffer, view), &self.input("v0")?.data)?;
        let rates: Vec<f64> = match attributes.get("lr") {
            Some(Value::Array(rates)) => rates.iter().filter_map(Value::as_f64).collect(),
            Some(rate) => vec![
                rate.as_f64().unwrap_or(0.0);
                self.inputs
                    .keys()
                    .filter(|name| name.starts_with('g'))
                    .count()
            ],
            None => Vec::new(),
        };
        let mut results = Results::new();
        for (step, learning_rate) in rates.into_iter().enumerate() {
            let step = step + 1;
            runner.write_tensor(
                device,
                (g.buffer, view),
                &self.input(&format!("g{step}"))?.data,
            )?;
            runner.run_all(
                device,
                &Scalars {
                    learning_rate,
                    ..Scalars::default()
                },
            )?;
            results.push((
                format!("w{step}"),
                runner.read_tensor(device, (w.buffer, view))?,
            ));
            results.push((
                format!("v{step}"),
                runner.read_tensor(device, (v.buffer, view))?,
            ));
        }
        Ok(results)
    }

    /// The mean image and its subtraction: what the data pipeline does, in the run's precision.
    fn mean_image(&self) -> Result<Results, Diagnostic> {
        let (train, x) = (self.input("train")?, self.input("x")?);
        let pixels = |values: &Values| values.data.iter().map(|&v| v as u8).collect::<Vec<u8>>();
        let image: usize = train.shape[1..].iter().product();
        let (train, x) = (pixels(train), pixels(x));
        let narrow = |values: Vec<f64>| match self.machine.precision {
            Precision::F32 => values.into_iter().map(|v| f64::from(v as f32)).collect(),
            Precision::F64 => values,
        };
        let pixel_mean = mean::of_images(train.chunks_exact(image), image);
        let less = |scale: f64| {
            x.iter()
                .enumerate()
                .map(|(i, &pixel)| (f64::from(pixel) - pixel_mean[i % image]) * scale)
                .collect()
        };
        Ok(vec![
            ("mean".into(), narrow(pixel_mean.clone())),
            ("y".into(), narrow(less(1.0))),
            ("y_scaled".into(), narrow(less(1.0 / 255.0))),
        ])
    }
}
