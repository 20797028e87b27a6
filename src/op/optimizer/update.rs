//! A parameter's update: the rule, a factor of the gradient, and the sum that begins anew.

use rayon::prelude::*;

use super::{BLOCK, Rule};
use crate::op::emit::{
    BufferId, Call, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalar, Scalars, elements,
    elements_mut,
};
use crate::op::name::Name;
use crate::op::real::Real;

/// One parameter's buffers.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its values.
    pub value: BufferId,
    /// Its gradient.
    pub gradient: BufferId,
    /// Numbers in each.
    pub count: usize,
    /// What is done to it.
    pub rule: Rule,
    /// What the gradient is multiplied by, where it is limited.
    pub factor: Option<BufferId>,
    /// Whether the gradient is zero afterwards: where it is a sum that begins anew.
    pub clears: bool,
}

impl Target {
    /// Asks for the update. `name` is the parameter's, `c1.weight`.
    pub fn update(&self, name: Name, layer: Option<usize>, machine: &Machine, ledger: &mut Ledger) {
        let (target, machine) = (*self, *machine);
        let kernel = move || {
            let kernel = match target.rule {
                Rule::Momentum(rule) => {
                    let kernel = Kernel::new("optimizer", "optimizer_momentum", 1);
                    rule.define(kernel.define("OPTIMIZER_MOMENTUM", 1))
                }
                Rule::Adam(rule) => Kernel::new("optimizer", "optimizer_adam", 1)
                    .define("OPTIMIZER_ADAM", 1)
                    .define("BETA1", rule.betas[0])
                    .define("BETA2", rule.betas[1])
                    .define("EPSILON", rule.epsilon)
                    .define("DECAY", rule.decay)
                    .define("DECOUPLED", i32::from(rule.decoupled)),
            };
            let kernel = match target.factor {
                Some(_) => kernel.define("FACTOR", 1),
                None => kernel,
            };
            let kernel = if target.clears {
                kernel.define("CLEARS", 1)
            } else {
                kernel
            };
            kernel.blocks(target.count, BLOCK, &machine)
        };
        let call = Call::new(kernel, target).update(self.value);
        let call = match self.rule {
            Rule::Momentum(rule) => call.update(rule.velocity),
            Rule::Adam(rule) => call.update(rule.moments[0]).update(rule.moments[1]),
        };
        let call = if self.clears {
            call.update(self.gradient)
        } else {
            call.read(self.gradient)
        };
        let call = call
            .read_some(self.factor)
            .size(self.count)
            .scalar(Scalar::LearningRate);
        let call = match self.rule {
            Rule::Momentum(_) => call,
            Rule::Adam(_) => call.scalar(Scalar::StepSize).scalar(Scalar::Correction),
        };
        ledger.step(name.word("update"), layer, call);
    }
}

impl RealRoutine for Target {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, scalars: &Scalars) {
        let (values, rest) = buffers.split_at_mut(1);
        let (state, rest) = rest.split_at_mut(match self.rule {
            Rule::Momentum(_) => 1,
            Rule::Adam(_) => 2,
        });
        let (gradients, factor) = rest.split_at_mut(1);
        let factor = factor.first().map(|factor| elements::<T>(factor)[0]);
        let values: &mut [T] = elements_mut(values[0]);
        let mut state = state.iter_mut().map(|state| elements_mut::<T>(state));
        let gradients: &mut [T] = elements_mut(gradients[0]);
        let scaled = |gradient: &[T]| -> Option<Vec<T>> {
            let factor = factor?;
            Some(gradient.iter().map(|&g| g * factor).collect())
        };
        let first = state
            .next()
            .expect("internal error: every method keeps something");
        let blocks = values
            .par_chunks_mut(BLOCK)
            .zip(first.par_chunks_mut(BLOCK))
            .zip(gradients.par_chunks_mut(BLOCK));
        match (self.rule, state.next()) {
            (Rule::Momentum(rule), _) => blocks.for_each(|((value, velocity), gradient)| {
                let own = scaled(gradient);
                let pull = own.as_deref().unwrap_or(gradient);
                rule.step(value, velocity, pull, scalars.learning_rate);
                if self.clears {
                    gradient.fill(T::zero());
                }
            }),
            (Rule::Adam(rule), second) => {
                let second = second.expect("internal error: Adam keeps two moments");
                blocks.zip(second.par_chunks_mut(BLOCK)).for_each(
                    |(((value, first), gradient), second)| {
                        let own = scaled(gradient);
                        let pull = own.as_deref().unwrap_or(gradient);
                        rule.step(value, [first, second], pull, scalars);
                        if self.clears {
                            gradient.fill(T::zero());
                        }
                    },
                );
            }
        }
    }
}
