//! Parameters: their buffers, and their updates.

use super::Lowering;
use crate::op::emit::{Element, Slot};
use crate::op::optimizer::{Rule, Target};
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
            let (mut gradient, mut velocity) = (None, None);
            let learned = parameter.role.is_learned();
            if self.training() && learned {
                gradient = Some(self.ledger.buffer(
                    parameter.name.clone().word("gradient"),
                    Element::Real,
                    count,
                ));
            }
            if self.options.optimizer.is_some() && learned {
                let buffer = self.ledger.buffer(
                    parameter.name.clone().word("velocity"),
                    Element::Real,
                    count,
                );
                self.persistent.insert(buffer);
                velocity = Some(buffer);
            }
            self.parameters.push(ParameterBuffers {
                parameter,
                value,
                gradient,
                velocity,
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
            update: self.rule(buffers).filter(|_| !self.options.keep_gradients),
        })
        .collect()
    }

    /// Asks for the updates of a layer's parameters, where there is an optimizer.
    pub(super) fn update(&mut self, layer: usize) {
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
                gradient,
                count: parameter.layout.elements(),
                rule,
            };
            let name = parameter.name.clone();
            target.update(name, Some(layer), &self.machine, &mut self.ledger);
        }
        self.ledger.updated.clear();
    }

    /// How a parameter is updated, where it is.
    fn rule(&self, buffers: &ParameterBuffers) -> Option<Rule> {
        let is_weight = buffers.parameter.role == Role::Weight;
        let optimizer = self.options.optimizer.as_ref();
        optimizer
            .zip(buffers.velocity)
            .map(|(optimizer, velocity)| optimizer.rule(velocity, is_weight))
    }
}
