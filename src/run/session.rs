//! A network on a device: training and inference plans over the same parameters.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use rand_distr::{Distribution, StandardNormal};

use crate::config::{self, Config};
use crate::device::Device;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::Graph;
use crate::op::emit::{Machine, Scalars};
use crate::op::optimizer::Sgd;
use crate::op::parameter::{Init, Parameter};
use crate::op::real::{Precision, Real};
use crate::op::{InitRule, Recipe};
use crate::plan::budget::{Job, Plans, Room};
use crate::plan::{Mode, Plan};
use crate::random::{Purpose, Stream};

use super::checkpoint::{self, Entry};
use super::runner::Runner;

/// A network on a device.
pub struct Session {
    /// The network.
    pub graph: Graph,
    /// The device.
    pub device: Box<dyn Device>,
    /// What the numbers are.
    pub precision: Precision,
    /// Images of a batch.
    pub batch: usize,
    training: Option<Runner>,
    inference: Inference,
}

/// The plan of inference. A training loads it when it first tests: its first step comes sooner.
enum Inference {
    Planned(Arc<Plan>),
    Loaded(Runner),
}

impl Inference {
    fn plan(&self) -> &Arc<Plan> {
        match self {
            Self::Planned(plan) | Self::Loaded(Runner { plan, .. }) => plan,
        }
    }
}

/// What a training step gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The loss, averaged over the batch.
    pub loss: f64,
    /// The share of images whose largest logit was the label's.
    pub accuracy: f64,
}

/// A parameter's logical values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// `c1.weight`.
    pub name: String,
    /// PyTorch's sizes.
    pub shape: Vec<usize>,
    /// In C order.
    pub values: Vec<f64>,
}

/// What the configuration says about layers that do not say it themselves.
pub fn recipe(config: &Config) -> Recipe {
    let init = match config.init.weights {
        config::Weights::He => InitRule::He,
        config::Weights::Xavier => InitRule::Xavier,
        config::Weights::Gaussian => InitRule::Gaussian(config.init.std),
    };
    Recipe {
        init,
        std: config.init.std,
        bias: config.init.bias,
        dropout: config.regularization.dropout,
    }
}

/// The update rule of the configuration.
pub fn optimizer(config: &Config) -> Sgd {
    let optimizer = &config.optimizer;
    Sgd {
        momentum: optimizer.momentum,
        weight_decay: optimizer.weight_decay,
        decay_biases: optimizer.decay_biases,
    }
}

/// The precision of the configuration, where the device has it.
///
/// # Errors
/// E0706 where it has not.
pub fn precision(config: &Config, device: &dyn Device) -> Result<Precision, Diagnostic> {
    let missing = |what: &str| {
        let name = &device.description().name;
        config.point(
            "device.precision",
            Diagnostic::error(Code::E0706, format!("`{name}` does not compute in {what}"))
                .help("write `precision = \"f32\"`"),
        )
    };
    match config.device.precision {
        config::Precision::F32 => Ok(Precision::F32),
        config::Precision::F64 if device.limits().double => Ok(Precision::F64),
        config::Precision::F64 => Err(missing("f64")),
        config::Precision::Tf32 => Err(missing("tf32")),
    }
}

/// What plans for the device have to know, as the configuration has it, with the built-in numbers of its class.
///
/// # Errors
/// E0706 the device does not compute in the precision.
pub fn machine(config: &Config, device: &dyn Device) -> Result<Machine, Diagnostic> {
    Ok(Machine {
        winograd: config.device.winograd,
        ..Machine::new(*device.limits(), precision(config, device)?)
    })
}

/// Whether a network whose shapes are known can be trained in batches of this size.
///
/// # Errors
/// E0404 a layer needs more images: a batch normalization of one value a channel has no variance.
pub fn batch_suffices(graph: &Graph, batch: usize) -> Result<(), Diagnostic> {
    for (layer, node) in graph.nodes.iter().enumerate() {
        let least = graph
            .input_shapes(layer)
            .first()
            .map(|&input| node.op.least_batch(input));
        if let Some(least) = least.filter(|&least| batch < least) {
            let message = format!(
                "`{}` normalizes over the batch, and a batch of {batch} gives it a single value a channel",
                node.name
            );
            let diagnostic = Diagnostic::error(Code::E0404, message)
                .help(format!("train with `--set train.batch={least}` or more"));
            return Err(match &graph.source {
                Some(source) => diagnostic.at(source, node.span),
                None => diagnostic,
            });
        }
    }
    Ok(())
}

impl Session {
    /// Plans the network and loads it: for training where an optimizer is given, and for inference. All parameters are
    /// zero until [`Self::initialize`] or [`Self::write`].
    ///
    /// # Errors
    /// As [`Device::load`], [`Job::fitting`], and [`batch_suffices`] where it is for training.
    pub fn new(
        graph: Graph,
        device: Box<dyn Device>,
        precision: Precision,
        batch: usize,
        optimizer: Option<Sgd>,
    ) -> Result<Self, Diagnostic> {
        if optimizer.is_some() {
            batch_suffices(&graph, batch)?;
        }
        let job = Job {
            graph: &graph,
            optimizer,
            machine: Machine::new(*device.limits(), precision),
            device: &device.description().name,
        };
        let plans = job.fitting(batch, &Room::new(device.limits(), None), None)?;
        Self::load(graph, device, plans)
    }

    /// Loads plans for a network.
    ///
    /// # Errors
    /// As [`Device::load`].
    pub fn load(
        graph: Graph,
        mut device: Box<dyn Device>,
        plans: Plans,
    ) -> Result<Self, Diagnostic> {
        let Plans {
            training,
            inference,
        } = plans;
        let (precision, batch) = (inference.precision, inference.batch);
        // The larger arena first: it serves both. Nearly always that is the training's.
        let first = training
            .as_ref()
            .is_none_or(|plan| plan.arena_bytes < inference.arena_bytes);
        let inference = if first {
            Inference::Loaded(Runner::load(&mut *device, inference)?)
        } else {
            Inference::Planned(Arc::new(inference))
        };
        let load = |plan: Plan| Runner::load(&mut *device, plan);
        let training = training.map(load).transpose()?;
        Ok(Self {
            graph,
            device,
            precision,
            batch,
            training,
            inference,
        })
    }

    /// The plan of a mode, loaded; none of training where the session is not for that.
    ///
    /// # Errors
    /// As [`Device::load`].
    pub fn runner(&mut self, mode: Mode) -> Result<Option<Runner>, Diagnostic> {
        match mode {
            Mode::Training => Ok(self.training.clone()),
            Mode::Inference => self.inference().map(Some),
        }
    }

    fn inference(&mut self) -> Result<Runner, Diagnostic> {
        let loaded = match &self.inference {
            Inference::Loaded(runner) => return Ok(runner.clone()),
            Inference::Planned(plan) => Runner::of(&mut *self.device, Arc::clone(plan))?,
        };
        self.inference = Inference::Loaded(loaded.clone());
        Ok(loaded)
    }

    /// A plan that is loaded: parameters are the same in all.
    fn any(&mut self) -> Result<Runner, Diagnostic> {
        match &self.training {
            Some(runner) => Ok(runner.clone()),
            None => self.inference(),
        }
    }

    /// Bytes of the plans in use.
    pub fn planned_bytes(&self) -> u64 {
        self.training
            .as_ref()
            .map_or(0, |runner| runner.plan.total_bytes())
            .max(self.inference.plan().total_bytes())
    }

    /// Draws initial values: normally distributed ones from the stream (seed; init, the parameter's index), in the order
    /// of the logical values. They do not depend on device, layout or precision.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn initialize(&mut self, seed: u64) -> Result<(), Diagnostic> {
        let runner = self.any()?;
        for (index, buffers) in runner.plan.parameters.iter().enumerate() {
            runner.write_values(
                &mut *self.device,
                &buffers.parameter,
                buffers.value,
                draw(&buffers.parameter, index, seed),
            )?;
        }
        Ok(())
    }

    /// All parameters' values.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn read(&mut self) -> Result<Vec<Tensor>, Diagnostic> {
        let runner = self.any()?;
        let mut tensors = Vec::new();
        for buffers in &runner.plan.parameters {
            let parameter = &buffers.parameter;
            let values = runner.read_parameter(&mut *self.device, parameter, buffers.value)?;
            tensors.push(Tensor {
                name: parameter.name.to_string(),
                shape: parameter.shape.clone(),
                values,
            });
        }
        Ok(tensors)
    }

    /// Writes a checkpoint of the parameters, and of the optimizer's state, `c1.weight.velocity` and so on, where that is
    /// asked for.
    ///
    /// # Errors
    /// E0704 the device failed; E0901 the file cannot be written.
    pub fn save(
        &mut self,
        path: &Path,
        state: bool,
        facts: &BTreeMap<String, String>,
    ) -> Result<(), Diagnostic> {
        let runner = self.any()?;
        let mut entries = Vec::new();
        for buffers in &runner.plan.parameters {
            let parameter = &buffers.parameter;
            let mut entry = |name: String, buffer| {
                entries.push(Entry {
                    name,
                    shape: parameter.shape.clone(),
                    place: (parameter, buffer),
                });
            };
            entry(parameter.name.to_string(), buffers.value);
            if let Some(velocity) = buffers.velocity.filter(|_| state) {
                entry(format!("{}.velocity", parameter.name), velocity);
            }
        }
        let device = &mut *self.device;
        checkpoint::write(
            path,
            entries,
            facts,
            self.precision,
            |&(parameter, buffer), sink| runner.save_parameter(device, parameter, buffer, sink),
        )
    }

    /// Sets the parameters that these tensors name, which must fit; the others stay.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn write_some(&mut self, tensors: &[Tensor]) -> Result<(), Diagnostic> {
        let runner = self.any()?;
        let known: HashMap<&str, &Tensor> = tensors
            .iter()
            .map(|tensor| (&*tensor.name, tensor))
            .collect();
        for buffers in &runner.plan.parameters {
            let parameter = &buffers.parameter;
            if let Some(tensor) = known.get(&*parameter.name.to_string()) {
                runner.write_parameter(
                    &mut *self.device,
                    parameter,
                    buffers.value,
                    &tensor.values,
                )?;
            }
        }
        Ok(())
    }

    /// Sets all parameters. The caller has checked that they fit.
    ///
    /// # Errors
    /// E0602 tensors that are missing or of another shape; E0704 the device failed.
    pub fn write(&mut self, tensors: &[Tensor]) -> Result<(), Diagnostic> {
        let runner = self.any()?;
        let plan = &runner.plan;
        let mut misfits = Vec::new();
        for buffers in &plan.parameters {
            let parameter = &buffers.parameter;
            let name = parameter.name.to_string();
            match tensors.iter().find(|tensor| tensor.name == name) {
                Some(tensor) if tensor.shape == parameter.shape => {}
                Some(tensor) => misfits.push(format!(
                    "`{}` is {:?} in the checkpoint and {:?} in the network",
                    parameter.name, tensor.shape, parameter.shape
                )),
                None => misfits.push(format!(
                    "`{}`, {:?} in the network, is not in the checkpoint",
                    parameter.name, parameter.shape
                )),
            }
        }
        if misfits.is_empty() {
            return self.write_some(tensors);
        }
        let mut diagnostic = Diagnostic::error(
            Code::E0602,
            format!(
                "{} of {} tensors do not fit the network",
                misfits.len(),
                plan.parameters.len()
            ),
        );
        diagnostic.notes = misfits;
        Err(diagnostic
            .help("use the network that the checkpoint was made with, or train this one anew"))
    }

    /// One training step on a batch: images `[batch, channels, height, width]`, already less their mean.
    ///
    /// # Errors
    /// E0704 the device failed.
    ///
    /// # Panics
    /// Where the session is not for training.
    pub fn step<T: Real>(
        &mut self,
        images: &[T],
        labels: &[i32],
        scalars: &Scalars,
    ) -> Result<Step, Diagnostic> {
        let runner = self
            .training
            .clone()
            .expect("internal error: the session is not for training");
        let plan = &runner.plan;
        let (Some(given), Some((losses, correct))) = (plan.labels, plan.loss) else {
            unreachable!("internal error: a training plan has a loss")
        };
        self.upload(&runner, images)?;
        runner.write_ints(&mut *self.device, given, labels)?;
        runner.run_all(&mut *self.device, scalars)?;
        let losses = runner.read_reals(&mut *self.device, losses, self.batch)?;
        let correct = runner.read_ints(&mut *self.device, correct)?;
        self.device.settle(runner.loaded)?;
        let images = self.batch as f64;
        Ok(Step {
            loss: losses.iter().sum::<f64>() / images,
            accuracy: f64::from(correct.iter().sum::<i32>()) / images,
        })
    }

    /// The logits of up to a batch of images, `[images, classes]`.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn logits<T: Real>(&mut self, images: &[T]) -> Result<Vec<f64>, Diagnostic> {
        let runner = self.inference()?;
        let image = self.graph.input_shape().elements();
        let count = images.len() / image;
        if count == self.batch {
            self.upload(&runner, images)?;
        } else {
            let mut padded = images.to_vec();
            padded.resize(self.batch * image, T::zero());
            self.upload(&runner, &padded)?;
        }
        runner.run_all(&mut *self.device, &Scalars::default())?;
        let mut logits = runner.read_tensor(&mut *self.device, runner.plan.output)?;
        self.device.settle(runner.loaded)?;
        logits.truncate(count * self.graph.classes().unwrap_or(0));
        Ok(logits)
    }

    fn upload<T: Real>(&mut self, runner: &Runner, images: &[T]) -> Result<(), Diagnostic> {
        debug_assert_eq!(
            T::PRECISION,
            self.precision,
            "internal error: images of another precision"
        );
        let (buffer, view) = runner.plan.input;
        let mut physical = vec![T::zero(); view.elements()];
        view.scatter(images, &mut physical);
        self.device
            .write(runner.loaded, buffer, bytemuck::cast_slice(&physical))
    }
}

/// A parameter's initial values, logical.
pub fn initial_values(parameter: &Parameter, index: usize, seed: u64) -> Vec<f64> {
    draw(parameter, index, seed).collect()
}

/// [`initial_values`], one by one.
fn draw(parameter: &Parameter, index: usize, seed: u64) -> impl Iterator<Item = f64> {
    let init = parameter.init;
    let mut stream = Stream::new(seed, Purpose::Init, index as u32, 0);
    (0..parameter.count()).map(move |_| match init {
        Init::Constant(value) => value,
        Init::Gaussian(deviation) => {
            let normal: f64 = StandardNormal.sample(&mut stream);
            deviation * normal
        }
    })
}

/// `-log softmax(logits)[label]`, in f64.
pub fn cross_entropy(logits: &[f64], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - largest).exp()).sum();
    sum.ln() - (logits[label] - largest)
}

/// The classes' probabilities, in f64.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = logits.iter().map(|z| (z - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|e| e / sum).collect()
}
