//! Parameters: their buffers, and their updates.

use smallvec::SmallVec;

use super::Lowering;
use crate::op::emit::{BufferId, Element, Ledger, Slot};
use crate::op::optimizer::{self, Optimizer, Rule, Target, accumulate};
use crate::op::parameter::Role;
use crate::plan::ParameterBuffers;

impl Lowering<'_> {
    /// Asks for the buffers of a layer's parameters.
    pub(super) fn plan_parameters(&mut self, layer: usize) {
        let first = self.parameters.len();
        let node = &self.graph.nodes[layer];
        let input = self.graph.input_shapes(layer).first().copied();
        let parameters = input.map(|input| node.op.parameters(input, &self.machine));
        for mut parameter in parameters.into_iter().flatten() {
            parameter.name = parameter.name.owned_by(&node.name);
            let count = parameter.layout.elements();
            let value = self
                .ledger
                .buffer(parameter.name.clone(), Element::Real, count);
            self.persistent.insert(value);
            let learned = parameter.role.is_learned();
            let name = &parameter.name;
            let real = |ledger: &mut Ledger, word| {
                ledger.buffer(name.clone().word(word), Element::Real, count)
            };
            let gradient = (self.training() && learned).then(|| real(&mut self.ledger, "gradient"));
            let (mut state, mut sum) = (SmallVec::new(), None);
            if let Some(optimizer) = self.options.optimizer.filter(|_| learned) {
                let words = optimizer.method.state().iter();
                state.extend(words.map(|word| real(&mut self.ledger, word)));
                sum = (optimizer.accumulate > 1).then(|| real(&mut self.ledger, "sum"));
            }
            self.persistent.extend(state.iter().copied().chain(sum));
            self.parameters.push(ParameterBuffers {
                parameter,
                value,
                gradient,
                state,
                sum,
            });
        }
        self.owned.push(first..self.parameters.len());
    }

    /// A layer's parameters, as it sees them.
    pub(super) fn slots(&self, layer: usize) -> Vec<Slot> {
        let of = self.parameters[self.owned[layer].clone()].iter();
        of.map(|buffers| Slot {
            value: buffers.value,
            layout: buffers.parameter.layout,
            gradient: buffers.gradient,
            update: self
                .rule(buffers)
                .and_then(Rule::momentum)
                .filter(|_| !self.updates_last()),
        })
        .collect()
    }

    /// Whether the updates come last, after all gradients.
    pub(super) fn updates_last(&self) -> bool {
        let optimizer = self.options.optimizer.as_ref();
        self.options.keep_gradients || optimizer.is_some_and(Optimizer::waits)
    }

    /// What follows a layer's gradients at once: their updates, or the sums over mini-batches.
    pub(super) fn after_gradients(&mut self, layer: usize) {
        if !self.updates_last() {
            return self.update(layer, None);
        }
        for buffers in &self.parameters[self.owned[layer].clone()] {
            if let Some((sum, gradient)) = buffers.sum.zip(buffers.gradient) {
                let what = (sum, gradient, buffers.parameter.layout.elements());
                let name = buffers.parameter.name.clone();
                accumulate(name, Some(layer), what, &self.machine, &mut self.ledger);
            }
        }
    }

    /// All updates, where they come last.
    pub(super) fn updates(&mut self) {
        let clip = self.options.optimizer.map_or(0.0, |o| o.clip);
        let mut gradients = Vec::new();
        for (layer, owned) in self.owned.iter().enumerate() {
            for buffers in &self.parameters[owned.clone()] {
                if let Some(gradient) = buffers.sum.or(buffers.gradient) {
                    let count = buffers.parameter.layout.elements();
                    let name = buffers.parameter.name.clone();
                    gradients.push((name, Some(layer), gradient, count));
                }
            }
        }
        let factor = (clip > 0.0 && !gradients.is_empty())
            .then(|| optimizer::clip(clip, &gradients, &self.machine, &mut self.ledger));
        for layer in 0..self.owned.len() {
            self.update(layer, factor);
        }
    }

    /// Asks for the updates of a layer's parameters, where there is an optimizer.
    fn update(&mut self, layer: usize, factor: Option<BufferId>) {
        for index in self.owned[layer].clone() {
            let buffers = &self.parameters[index];
            let (Some(gradient), Some(rule)) = (buffers.gradient, self.rule(buffers)) else {
                continue;
            };
            if self.ledger.updated.contains(&buffers.value) {
                // The gradient was never stored.
                self.parameters[index].gradient = None;
                continue;
            }
            let parameter = &buffers.parameter;
            let target = Target {
                value: buffers.value,
                gradient: buffers.sum.unwrap_or(gradient),
                count: parameter.layout.elements(),
                rule,
                factor,
                clears: buffers.sum.is_some(),
            };
            let name = parameter.name.clone();
            target.update(name, Some(layer), &self.machine, &mut self.ledger);
        }
        self.ledger.updated.clear();
    }

    /// How a parameter is updated, where it is.
    fn rule(&self, buffers: &ParameterBuffers) -> Option<Rule> {
        let is_weight = buffers.parameter.role == Role::Weight;
        let optimizer = self.options.optimizer?;
        (!buffers.state.is_empty()).then(|| optimizer.rule(&buffers.state, is_weight))
    }
}
