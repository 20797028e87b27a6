//! Lowering: a graph becomes forward, backward and update steps on tensors with layouts.
//!
//! Each layer is asked for its wishes (halos beside rows) first, so that the one who writes a tensor writes it in the
//! layout that its readers want. The way back goes through the layers in reverse; gradients that nobody needs (of the
//! input, before the first learned layer) are never computed. A parameter is updated as soon as its layer is through, so
//! that gradients live shortly, unless [`Options::keep_gradients`].

use std::collections::BTreeSet;

use crate::ir::{Feed, Graph};
use crate::op::Wishes;
use crate::op::emit::{Back, BufferId, Element, Ledger, Machine, Site, Slot, Tensor};
use crate::op::layout::{copy, zero_halo};
use crate::op::loss;
use crate::op::optimizer::{Sgd, Target};
use crate::op::parameter::Role;
use crate::op::view::View;

use super::{Mode, ParameterBuffers, Plan, assemble};

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
    pub optimizer: Option<Sgd>,
    /// Whether the input's gradient is wanted.
    pub input_gradient: bool,
    /// Whether all gradients stay readable until the end, updates coming last.
    pub keep_gradients: bool,
}

impl Options {
    /// A training step.
    pub fn training(batch: usize, optimizer: Sgd) -> Self {
        Self {
            mode: Mode::Training,
            batch,
            head: Head::CrossEntropy,
            optimizer: Some(optimizer),
            input_gradient: false,
            keep_gradients: false,
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
        }
    }
}

/// Lowers a graph whose shapes are all known.
///
/// # Panics
/// Where a shape is unknown: the caller has checked that (`Graph::is_shaped`).
pub fn lower(graph: &Graph, options: &Options, machine: &Machine) -> Plan {
    Lowering::new(graph, options, machine).run()
}

/// One parameter of one layer in the making.
struct Planned {
    layer: usize,
    buffers: ParameterBuffers,
}

struct Lowering<'a> {
    graph: &'a Graph,
    options: &'a Options,
    machine: &'a Machine,
    ledger: Ledger,
    parameters: Vec<Planned>,
    /// Buffers that outlive the plan's run on both sides.
    persistent: BTreeSet<BufferId>,
    /// Buffers that are written before the first step.
    before: Vec<BufferId>,
    /// Buffers that are read after the last step.
    after: Vec<BufferId>,
}

impl<'a> Lowering<'a> {
    fn new(graph: &'a Graph, options: &'a Options, machine: &'a Machine) -> Self {
        Self {
            graph,
            options,
            machine,
            ledger: Ledger::default(),
            parameters: Vec::new(),
            persistent: BTreeSet::new(),
            before: Vec::new(),
            after: Vec::new(),
        }
    }

    fn training(&self) -> bool {
        self.options.mode == Mode::Training
    }

    fn run(mut self) -> Plan {
        let (graph, options) = (self.graph, self.options);
        let count = graph.nodes.len();
        let wishes: Vec<Wishes> = (0..count)
            .map(|i| {
                graph.nodes[i].op.wishes(
                    &graph.input_shapes(i),
                    graph.output_shape(i),
                    self.machine,
                )
            })
            .collect();
        let halo = |feed: Feed| {
            graph
                .consumers(feed)
                .map(|i| wishes[i].src_halo)
                .max()
                .unwrap_or(0)
        };

        let input = self.ledger.tensor(
            "input",
            View::packed(graph.input_shape(), options.batch, halo(Feed::Input)),
        );
        self.before.push(input.buffer);
        for layer in 0..count {
            self.plan_parameters(layer);
        }

        // Forward.
        let mut outputs: Vec<Tensor> = Vec::with_capacity(count);
        let mut sites = Vec::with_capacity(count);
        let mut kept = Vec::with_capacity(count);
        for layer in 0..count {
            let node = &graph.nodes[layer];
            let view = View::packed(
                graph.output_shape(layer),
                options.batch,
                halo(Feed::Node(layer)),
            );
            let destination = self.ledger.tensor(format!("{}.dst", node.name), view);
            zero_halo(
                &node.name,
                Some(layer),
                destination,
                self.machine,
                &mut self.ledger,
            );
            let sources = node.feeds.iter().map(|feed| match feed {
                Feed::Input => input,
                Feed::Node(i) => outputs[*i],
            });
            let site = Site {
                name: node.name.clone(),
                layer,
                sources: sources.collect(),
                destination,
                parameters: self.slots(layer),
                training: self.training(),
            };
            kept.push(node.op.forward(&site, self.machine, &mut self.ledger));
            outputs.push(destination);
            sites.push(site);
        }
        let logits = *outputs.last().unwrap_or(&input);

        // The head, and the gradient that the way back starts from.
        let d_logits = self.training().then(|| {
            let halo = wishes.last().map_or(0, |w| w.d_dst_halo);
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
                zero_halo("d_output", None, d_logits, self.machine, &mut self.ledger);
                loss::cross_entropy(logits, given, loss, correct, d_logits, &mut self.ledger);
                labels = Some(given);
                losses = Some((loss, correct));
            }
        }
        self.after.push(output.buffer);
        let forward_steps = self.ledger.steps.len();

        // Backward.
        let mut input_gradient = None;
        if let Some(d_logits) = d_logits {
            input_gradient = self.backward(&sites, kept, &wishes, input, d_logits);
        }
        let gradient_steps = self.ledger.steps.len();
        if options.keep_gradients {
            for at in 0..self.parameters.len() {
                self.after.extend(self.parameters[at].buffers.gradient);
                self.update(at);
            }
        }
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
            lower_bound_bytes: 0,
            parameters: self.parameters.into_iter().map(|p| p.buffers).collect(),
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

    /// Asks for the buffers of a layer's parameters.
    fn plan_parameters(&mut self, layer: usize) {
        let node = &self.graph.nodes[layer];
        let Some(&input) = self.graph.input_shapes(layer).first() else {
            return;
        };
        for mut parameter in node.op.parameters(input, self.machine) {
            parameter.name = format!("{}.{}", node.name, parameter.name);
            let count = parameter.layout.elements();
            let value = self.ledger.buffer(&parameter.name, Element::Real, count);
            self.persistent.insert(value);
            let (mut gradient, mut velocity) = (None, None);
            if self.training() {
                gradient = Some(self.ledger.buffer(
                    format!("{}.gradient", parameter.name),
                    Element::Real,
                    count,
                ));
            }
            if self.options.optimizer.is_some() {
                let buffer = self.ledger.buffer(
                    format!("{}.velocity", parameter.name),
                    Element::Real,
                    count,
                );
                self.persistent.insert(buffer);
                velocity = Some(buffer);
            }
            self.parameters.push(Planned {
                layer,
                buffers: ParameterBuffers {
                    parameter,
                    value,
                    gradient,
                    velocity,
                },
            });
        }
    }

    fn slots(&self, layer: usize) -> Vec<Slot> {
        let of = self.parameters.iter().filter(|p| p.layer == layer);
        of.map(|p| Slot {
            value: p.buffers.value,
            layout: p.buffers.parameter.layout,
            gradient: p.buffers.gradient,
        })
        .collect()
    }

    /// Asks for the way back; returns the input's gradient where it is wanted.
    fn backward(
        &mut self,
        sites: &[Site],
        kept: Vec<Vec<BufferId>>,
        wishes: &[Wishes],
        input: Tensor,
        d_logits: Tensor,
    ) -> Option<(BufferId, View)> {
        let graph = self.graph;
        let mut gradients: Vec<Option<Tensor>> = vec![None; sites.len()];
        if let Some(last) = gradients.last_mut() {
            *last = Some(d_logits);
        }
        // Whether anything at or before a layer wants a gradient.
        let mut wanted = vec![false; sites.len()];
        for (layer, site) in sites.iter().enumerate() {
            let feeds_want = graph.nodes[layer].feeds.iter().any(|feed| match feed {
                Feed::Input => self.options.input_gradient,
                Feed::Node(i) => wanted[*i],
            });
            wanted[layer] = feeds_want || !site.parameters.is_empty();
        }
        let mut input_gradient = None;
        for ((layer, site), kept) in sites.iter().enumerate().zip(kept).rev() {
            let Some(d_dst) = gradients[layer].filter(|_| wanted[layer]) else {
                continue;
            };
            let mut d_src = Vec::new();
            // Gradients that this layer writes without gaps though the one before wants a halo: copied afterwards.
            let mut copies = Vec::new();
            for (feed, source) in graph.nodes[layer].feeds.iter().zip(&site.sources) {
                d_src.push(match feed {
                    Feed::Input if self.options.input_gradient => {
                        let tensor = self.ledger.tensor(
                            "d_input",
                            View::packed(input.view.shape, self.options.batch, 0),
                        );
                        self.after.push(tensor.buffer);
                        input_gradient = Some((tensor.buffer, tensor.view));
                        Some(tensor)
                    }
                    Feed::Node(i) if wanted[*i] => {
                        let name = &graph.nodes[*i].name;
                        let view = View::packed(
                            source.view.shape,
                            self.options.batch,
                            wishes[*i].d_dst_halo,
                        );
                        let tensor = self.ledger.tensor(format!("{name}.d_dst"), view);
                        zero_halo(
                            &format!("{name}.d_dst"),
                            Some(*i),
                            tensor,
                            self.machine,
                            &mut self.ledger,
                        );
                        gradients[*i] = Some(tensor);
                        if wishes[layer].src_dense && !view.is_dense() {
                            let dense = View::packed(view.shape, self.options.batch, 0);
                            let dense = self.ledger.tensor(format!("{name}.d_dst.dense"), dense);
                            copies.push((*i, dense, tensor));
                            Some(dense)
                        } else {
                            Some(tensor)
                        }
                    }
                    _ => None,
                });
            }
            graph.nodes[layer].op.backward(
                site,
                &Back { d_dst, d_src, kept },
                self.machine,
                &mut self.ledger,
            );
            for (i, dense, tensor) in copies {
                copy(
                    &format!("{}.d_dst", graph.nodes[i].name),
                    Some(i),
                    dense,
                    tensor,
                    &mut self.ledger,
                );
            }
            if !self.options.keep_gradients {
                let own: Vec<usize> = (0..self.parameters.len())
                    .filter(|&at| self.parameters[at].layer == layer)
                    .collect();
                own.into_iter().for_each(|at| self.update(at));
            }
        }
        input_gradient
    }

    /// Asks for one parameter's update, where there is an optimizer.
    fn update(&mut self, at: usize) {
        let Planned { layer, buffers } = &self.parameters[at];
        let (Some(optimizer), Some(gradient), Some(velocity)) =
            (&self.options.optimizer, buffers.gradient, buffers.velocity)
        else {
            return;
        };
        let parameter = &buffers.parameter;
        let decays = parameter.role == Role::Weight || optimizer.decay_biases;
        let target = Target {
            value: buffers.value,
            velocity,
            gradient,
            count: parameter.layout.elements(),
            decays,
        };
        optimizer.update(
            &parameter.name,
            Some(*layer),
            &target,
            self.machine,
            &mut self.ledger,
        );
    }
}
