//! Parameters: their buffers, and their updates.

use super::Lowering;
use crate::op::emit::{Element, Slot};
use crate::op::optimizer::Target;
use crate::op::parameter::Role;
use crate::plan::ParameterBuffers;

impl Lowering<'_> {
    /// Asks for the buffers of a layer's parameters.
    pub(super) fn plan_parameters(&mut self, layer: usize) {
        let first = self.parameters.len();
        let node = &self.graph.nodes[layer];
        let input = self.graph.input_shapes(layer).first().copied();
        let parameters = input.map(|input| node.op.parameters(input, self.machine));
        for mut parameter in parameters.into_iter().flatten() {
            parameter.name = format!("{}.{}", node.name, parameter.name);
            let count = parameter.layout.elements();
            let value = self.ledger.buffer(&parameter.name, Element::Real, count);
            self.persistent.insert(value);
            let (mut gradient, mut velocity) = (None, None);
            let learned = parameter.role.is_learned();
            if self.training() && learned {
                gradient = Some(self.ledger.buffer(
                    format!("{}.gradient", parameter.name),
                    Element::Real,
                    count,
                ));
            }
            if self.options.optimizer.is_some() && learned {
                let buffer = self.ledger.buffer(
                    format!("{}.velocity", parameter.name),
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
        })
        .collect()
    }

    /// Asks for the updates of a layer's parameters, where there is an optimizer.
    pub(super) fn update(&mut self, layer: usize) {
        let Some(optimizer) = &self.options.optimizer else {
            return;
        };
        for buffers in &self.parameters[self.owned[layer].clone()] {
            let (Some(gradient), Some(velocity)) = (buffers.gradient, buffers.velocity) else {
                continue;
            };
            let parameter = &buffers.parameter;
            let target = Target {
                value: buffers.value,
                velocity,
                gradient,
                count: parameter.layout.elements(),
                decays: parameter.role == Role::Weight || optimizer.decay_biases,
            };
            optimizer.update(
                &parameter.name,
                Some(layer),
                &target,
                self.machine,
                &mut self.ledger,
            );
        }
    }
}
