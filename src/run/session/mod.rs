//! A network on a device: training and inference plans over the same parameters.

mod configured;
mod tensors;

use std::sync::Arc;

use rand_distr::{Distribution, StandardNormal};

use crate::device::Device;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::Graph;
use crate::op::emit::{Access, Machine, Scalars};
use crate::op::optimizer::Optimizer;
use crate::op::parameter::{Init, Parameter};
use crate::op::real::{Precision, Real};
use crate::plan::budget::{Job, Plans, Room};
use crate::plan::{Mode, Plan};
use crate::random::{Purpose, Stream};

pub use self::configured::{machine, optimizer, precision, recipe};
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

/// Where the first number of a step arose that is not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// In a parameter, by the update before: `c1.weight`.
    Parameter(String),
    /// In a layer's output: `c1`.
    Output(String),
    /// In the loss alone.
    Loss,
    /// In what comes of images that are tested, though all parameters are finite.
    Images,
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
        optimizer: Option<Optimizer>,
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

    /// One mini-batch of a training step: images `[batch, channels, height, width]`, already less their mean. With
    /// `updates` the parameters follow the gradients; without, those wait for the next mini-batch's.
    ///
    /// Where the loss is not finite nothing has changed; [`Self::trouble`] says why.
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
        updates: bool,
    ) -> Result<Step, Diagnostic> {
        let runner = self.trainer();
        let plan = &runner.plan;
        let (Some(given), Some((losses, correct))) = (plan.labels, plan.loss) else {
            unreachable!("internal error: a training plan has a loss")
        };
        self.upload(&runner, images)?;
        runner.write_ints(&mut *self.device, given, labels)?;
        runner.run(&mut *self.device, 0..plan.forward_steps, scalars)?;
        let losses = runner.read_reals(&mut *self.device, losses, self.batch)?;
        let correct = runner.read_ints(&mut *self.device, correct)?;
        let images = self.batch as f64;
        let step = Step {
            loss: losses.iter().sum::<f64>() / images,
            accuracy: f64::from(correct.iter().sum::<i32>()) / images,
        };
        if step.loss.is_finite() {
            // The device goes on while the next images are made ready.
            let end = if updates {
                plan.steps.len()
            } else {
                plan.gradient_steps
            };
            runner.run(&mut *self.device, plan.forward_steps..end, scalars)?;
            if updates {
                self.device.settle(runner.loaded)?;
            }
        }
        Ok(step)
    }

    fn trainer(&self) -> Runner {
        self.training
            .clone()
            .expect("internal error: the session is not for training")
    }

    /// The plan of training.
    ///
    /// # Panics
    /// Where the session is not for training.
    pub fn training_plan(&self) -> Arc<Plan> {
        self.trainer().plan
    }

    /// Where the first number that is not finite arises, in the step that gave a loss that is not: its images are given
    /// again.
    ///
    /// # Errors
    /// E0704 the device failed.
    ///
    /// # Panics
    /// Where the session is not for training.
    pub fn trouble<T: Real>(
        &mut self,
        images: &[T],
        scalars: &Scalars,
    ) -> Result<Trouble, Diagnostic> {
        if let Some(name) = self.spoilt(false)? {
            return Ok(Trouble::Parameter(name));
        }
        let runner = self.trainer();
        let plan = &runner.plan;
        self.upload(&runner, images)?;
        let forward = &plan.steps[..plan.forward_steps];
        for (at, step) in forward.iter().enumerate() {
            runner.run(&mut *self.device, at..at + 1, scalars)?;
            let Some(layer) = step.layer else { continue };
            let output = plan.outputs[layer];
            let is_last = forward[at + 1..].iter().all(|s| s.layer != Some(layer));
            let writes = step
                .buffers()
                .any(|(id, access)| id == output.0 && access != Access::Read);
            if is_last && writes && !is_finite(&runner.read_tensor(&mut *self.device, output)?) {
                return Ok(Trouble::Output(self.graph.nodes[layer].name.to_string()));
            }
        }
        Ok(Trouble::Loss)
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

fn is_finite(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite())
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
