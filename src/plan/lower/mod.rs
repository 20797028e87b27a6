//! Lowering: a graph becomes forward, backward and update steps on tensors with layouts.
//!
//! Each layer is asked for its wishes (halos beside rows) first, so that the one who writes a tensor writes it in the
//! layout that its readers want. The way back goes through the layers in reverse; gradients that nobody needs (of the
//! input, before the first learned layer) are never computed. A parameter is updated as soon as its layer is through, so
//! that gradients live shortly, unless [`Options::keep_gradients`] or an optimizer that waits for all of them.

mod backward;
mod forward;
mod parameters;
mod places;
pub(in crate::plan) mod recompute;

use std::collections::BTreeSet;
use std::ops::Range;

use crate::ir::{Feed, Graph};
use crate::op::activation::Function;
use crate::op::emit::{BufferId, Element, Ledger, Machine, Tensor};
use crate::op::layout::zero_halo;
use crate::op::loss::{self, Average};
use crate::op::optimizer::Optimizer;
use crate::op::view::View;
use crate::op::{InPlace, Wishes};

use super::{Mode, ParameterBuffers, Plan, assemble};
use forward::Passed;

/// What follows the last layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Nothing: the output is the logits; a training plan takes the output's gradient from outside.
    None,
    /// Probabilities of the classes (inference).
    Softmax,
    /// The cross-entropy with the labels and, in training, its gradient.
    CrossEntropy,
}

/// What to plan.
#[derive(Clone, Debug)]
pub struct Options {
    /// Training or inference.
    pub mode: Mode,
    /// Images of a batch.
    pub batch: usize,
    /// What follows the last layer.
    pub head: Head,
    /// The update rule; `None` plans no updates.
    pub optimizer: Option<Optimizer>,
    /// Whether the input's gradient is wanted.
    pub input_gradient: bool,
    /// Whether all gradients stay readable until the end, updates coming last.
    pub keep_gradients: bool,
    /// Whether layers share buffers and go back through each other's activations. Without it every layer's output and its
    /// gradient are tensors of their own: for tests, and for those who want to look at each.
    pub fusion: bool,
    /// What is made again on the way back instead of being kept: units of `recompute`, by their numbers.
    pub recompute: BTreeSet<usize>,
}

impl Options {
    /// A training step.
    pub fn training(batch: usize, optimizer: Optimizer) -> Self {
        Self {
            mode: Mode::Training,
            batch,
            head: Head::CrossEntropy,
            optimizer: Some(optimizer),
            input_gradient: false,
            keep_gradients: false,
            fusion: true,
            recompute: BTreeSet::new(),
        }
    }

    /// Logits of a batch.
    pub fn inference(batch: usize) -> Self {
        Self {
            mode: Mode::Inference,
            batch,
            head: Head::None,
            optimizer: None,
            input_gradient: false,
            keep_gradients: false,
            fusion: true,
            recompute: BTreeSet::new(),
        }
    }
}

/// How a layer and its reader share the way back through the layer's activation.
#[derive(Clone, Copy, Debug)]
struct Acts {
    /// [`Site::source_act`].
    source_act: Function,
    /// [`Site::before_act`].
    before_act: bool,
}

impl Acts {
    /// Each goes back through its own.
    const APART: Self = Self {
        source_act: Function::None,
        before_act: false,
    };
}

/// Lowers a graph whose shapes are all known.
///
/// # Panics
/// Where a shape is unknown: the caller has checked that (`Graph::is_shaped`).
pub fn lower(graph: &Graph, options: &Options, machine: &Machine) -> Plan {
    Lowering::new(graph, options, machine).run()
}

struct Lowering<'a> {
    graph: &'a Graph,
    options: &'a Options,
    machine: Machine,
    ledger: Ledger,
    /// The layers that read each layer's output, once for each feed.
    readers: Vec<Vec<usize>>,
    /// Where layers go back through each other's activations.
    acts: Vec<Acts>,
    /// Whether the gradient of each layer's output is wanted.
    wanted: Vec<bool>,
    /// The layouts that each layer wishes for.
    wishes: Vec<Wishes>,
    parameters: Vec<ParameterBuffers>,
    /// Which of them each layer has.
    owned: Vec<Range<usize>>,
    /// Buffers that outlive the plan's run on both sides.
    persistent: BTreeSet<BufferId>,
    /// Buffers that are written before the first step.
    before: Vec<BufferId>,
    /// Buffers that are read after the last step.
    after: Vec<BufferId>,
}

impl<'a> Lowering<'a> {
    fn new(graph: &'a Graph, options: &'a Options, machine: &'a Machine) -> Self {
        let readers = readers(graph);
        let acts = acts(graph, options, &readers);
        // What a convolution takes; moving a long list to grow it costs more than the rest of planning.
        let (steps, buffers) = match options.mode {
            Mode::Training => (13, 11),
            Mode::Inference => (2, 4),
        };
        let layers = graph.nodes.len();
        let ledger = Ledger {
            steps: Vec::with_capacity(steps * layers),
            buffers: Vec::with_capacity(buffers * layers),
            ..Ledger::default()
        };
        Self {
            graph,
            options,
            machine: Machine {
                batch: options.batch,
                ..*machine
            },
            ledger,
            wanted: Vec::new(),
            wishes: Vec::new(),
            readers,
            acts,
            parameters: Vec::new(),
            owned: Vec::with_capacity(graph.nodes.len()),
            persistent: BTreeSet::new(),
            before: Vec::new(),
            after: Vec::new(),
        }
    }

    fn training(&self) -> bool {
        self.options.mode == Mode::Training
    }

    /// [`Plan::tensor_bytes`].
    fn tensor_bytes(&self) -> u64 {
        let layers = 0..self.graph.nodes.len();
        let elements: u64 = layers
            .map(|i| self.graph.output_shape(i).elements() as u64)
            .sum();
        let ways = if self.training() { 2 } else { 1 };
        ways * elements * self.options.batch as u64 * self.machine.precision.bytes()
    }

    /// Whether anything at or before each layer wants a gradient.
    fn wanted(&self) -> Vec<bool> {
        let mut wanted: Vec<bool> = Vec::with_capacity(self.graph.nodes.len());
        for (layer, node) in self.graph.nodes.iter().enumerate() {
            let mut own = self.parameters[self.owned[layer].clone()].iter();
            let learned = own.any(|buffers| buffers.gradient.is_some());
            wanted.push(learned || node.feeds.iter().any(|feed| self.wants(*feed, &wanted)));
        }
        wanted
    }

    /// Whether a tensor's gradient is wanted, from what is known of the layers up to it.
    fn wants(&self, feed: Feed, wanted: &[bool]) -> bool {
        match feed {
            Feed::Input => self.options.input_gradient,
            Feed::Node(i) => wanted[i],
        }
    }

    /// What each layer wishes for. Where a layer hands its output's gradient on as it is, the wish of the one that takes it
    /// over is its own.
    fn wishes(&self) -> Vec<Wishes> {
        let nodes = &self.graph.nodes;
        let of = |layer: usize| {
            let inputs = self.graph.input_shapes(layer);
            let output = self.graph.output_shape(layer);
            let mut wishes = nodes[layer].op.wishes(&inputs, output, &self.machine);
            let mut feeds = nodes[layer].feeds.iter();
            if !feeds.any(|feed| self.wants(*feed, &self.wanted)) {
                // It is for the input's gradient that a halo is wanted.
                wishes.d_dst_halo = 0;
            }
            wishes
        };
        let mut wishes: Vec<Wishes> = (0..nodes.len()).map(of).collect();
        // A node follows what feeds it, so the wishes of its feeds are final when it comes.
        for (layer, node) in nodes.iter().enumerate() {
            if self.options.fusion && node.op.in_place() != InPlace::No {
                let fed = node.feeds.iter().filter_map(|feed| feed.node());
                wishes[layer].d_dst_halo = fed.map(|i| wishes[i].d_dst_halo).max().unwrap_or(0);
            }
        }
        wishes
    }

    fn run(mut self) -> Plan {
        let (graph, options) = (self.graph, self.options);
        for layer in 0..graph.nodes.len() {
            self.plan_parameters(layer);
        }
        self.wanted = self.wanted();
        self.wishes = self.wishes();
        let Passed { input, sites, kept } = self.forward();
        let outputs: Vec<Tensor> = sites.iter().map(|site| site.destination).collect();
        let logits = *outputs.last().unwrap_or(&input);

        // The head, and the gradient that the way back starts from.
        let d_logits = self.training().then(|| {
            let halo = self.wishes.last().map_or(0, |w| w.d_dst_halo);
            self.ledger.tensor(
                "d_output",
                View::packed(logits.view.shape, options.batch, halo),
            )
        });
        let mut output = logits;
        let (mut labels, mut losses, mut output_gradient) = (None, None, None);
        match options.head {
            Head::None => {
                if let Some(d_logits) = d_logits {
                    self.before.push(d_logits.buffer);
                    output_gradient = Some((d_logits.buffer, d_logits.view));
                }
            }
            Head::Softmax => {
                output = self.ledger.tensor(
                    "probabilities",
                    View::packed(logits.view.shape, options.batch, 0),
                );
                loss::softmax(logits, output, &mut self.ledger);
            }
            Head::CrossEntropy => {
                let given = self.ledger.buffer("labels", Element::Int, options.batch);
                let loss = self.ledger.buffer("loss", Element::Real, options.batch);
                let correct = self.ledger.buffer("correct", Element::Int, options.batch);
                self.before.push(given);
                self.after.extend([loss, correct]);
                let d_logits = d_logits.unwrap_or_else(|| {
                    self.ledger.tensor(
                        "d_output",
                        View::packed(logits.view.shape, options.batch, 0),
                    )
                });
                zero_halo("d_output", None, d_logits, &self.machine, &mut self.ledger);
                let average = Average {
                    images: options.batch * options.optimizer.map_or(1, |o| o.accumulate),
                    smoothing: options.optimizer.map_or(0.0, |o| o.smoothing),
                };
                loss::cross_entropy(
                    logits,
                    given,
                    loss,
                    correct,
                    d_logits,
                    average,
                    &mut self.ledger,
                );
                labels = Some(given);
                losses = Some((loss, correct));
            }
        }
        self.after.push(output.buffer);
        let forward_steps = self.ledger.steps.len();

        // Backward.
        let mut input_gradient = None;
        if let Some(d_logits) = d_logits {
            input_gradient = self.backward(&sites, kept, d_logits);
            self.recompute(forward_steps);
        }
        let gradient_steps = self.ledger.steps.len();
        if options.keep_gradients {
            let gradients = self.parameters.iter().filter_map(|p| p.gradient);
            self.after.extend(gradients);
        }
        if self.updates_last() {
            self.updates();
        }
        let tensor_bytes = self.tensor_bytes();
        let parts = super::Parts {
            ledger: self.ledger,
            persistent: self.persistent,
            before: self.before,
            after: self.after,
        };
        let plan = Plan {
            name: graph.name.clone(),
            mode: options.mode,
            batch: options.batch,
            precision: self.machine.precision,
            steps: Vec::new(),
            forward_steps,
            gradient_steps,
            buffers: Vec::new(),
            arena_bytes: 0,
            region_bytes: 0,
            lower_bound_bytes: 0,
            tensor_bytes,
            parameters: self.parameters,
            input: (input.buffer, input.view),
            labels,
            output: (output.buffer, output.view),
            loss: losses,
            outputs: outputs.iter().map(|t| (t.buffer, t.view)).collect(),
            output_gradient,
            input_gradient,
        };
        assemble(plan, parts, &self.machine.limits)
    }
}

/// The layers that read each layer's output, once for each feed.
fn readers(graph: &Graph) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); graph.nodes.len()];
    for (reader, node) in graph.nodes.iter().enumerate() {
        for layer in node.feeds.iter().filter_map(|feed| feed.node()) {
            readers[layer].push(reader);
        }
    }
    readers
}

/// Where a layer's only reader goes back through its activation, so that the layer's output need not be kept.
fn acts(graph: &Graph, options: &Options, readers: &[Vec<usize>]) -> Vec<Acts> {
    let mut acts = vec![Acts::APART; graph.nodes.len()];
    if !options.fusion {
        return acts;
    }
    for (layer, node) in graph.nodes.iter().enumerate() {
        let function = node.op.activation();
        if let [reader] = *readers[layer]
            && function != Function::None
            && graph.nodes[reader].op.undoes_activation()
        {
            acts[layer].before_act = true;
            acts[reader].source_act = function;
        }
    }
    acts
}
