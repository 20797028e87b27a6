//! Parameter updates. The formula stands in `kernels/optimizer.cl`.

use rayon::prelude::*;

use super::emit::{
    BufferId, Call, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalar, Scalars, elements,
    elements_mut, take,
};
use super::name::Name;
use super::real::Real;

/// Numbers of a work-item on a CPU.
const BLOCK: usize = 4096;

/// Stochastic gradient descent with momentum and weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The share of the last step's velocity that is kept.
    pub momentum: f64,
    /// The pull of weights to zero, times the learning rate.
    pub weight_decay: f64,
    /// Whether biases are pulled too.
    pub decay_biases: bool,
}

/// The update of one parameter, for steps that do it as soon as they know its gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Its velocity.
    pub velocity: BufferId,
    /// The share of the last step's velocity that is kept.
    pub momentum: f64,
    /// The pull of the values to zero, times the learning rate.
    pub decay: f64,
}

impl Rule {
    /// Defines `UPDATE`, `MOMENTUM` and `DECAY`, for `SGD` in `kernels/prelude.cl`.
    pub fn define(&self, kernel: Kernel) -> Kernel {
        kernel
            .define("UPDATE", 1)
            .define("MOMENTUM", self.momentum)
            .define("DECAY", self.decay)
    }

    /// One step, on values that lie alike.
    pub fn step<T: Real>(&self, value: &mut [T], velocity: &mut [T], gradient: &[T], rate: f64) {
        let (momentum, decay) = (T::of(self.momentum), T::of(self.decay));
        let rate = T::of(rate);
        for ((w, v), &g) in value.iter_mut().zip(velocity).zip(gradient) {
            *v = momentum * *v - rate * (decay * *w + g);
            *w += *v;
        }
    }
}

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
}

impl Sgd {
    /// The update of a parameter whose velocity this is. Weights decay, biases where [`Self::decay_biases`].
    pub fn rule(&self, velocity: BufferId, is_weight: bool) -> Rule {
        Rule {
            velocity,
            momentum: self.momentum,
            decay: if is_weight || self.decay_biases {
                self.weight_decay
            } else {
                0.0
            },
        }
    }
}

impl Target {
    /// Asks for the update. `name` is the parameter's, `c1.weight`.
    pub fn update(&self, name: Name, layer: Option<usize>, machine: &Machine, ledger: &mut Ledger) {
        let (rule, count, machine) = (self.rule, self.count, *machine);
        let kernel = move || {
            let kernel = Kernel::new("optimizer", "optimizer_sgd", 1);
            rule.define(kernel.blocks(count, BLOCK, &machine))
        };
        let call = Call::new(kernel, Update { rule })
            .update(self.value)
            .update(rule.velocity)
            .read(self.gradient)
            .size(count);
        let call = call.scalar(Scalar::LearningRate);
        ledger.step(name.word("update"), layer, call);
    }
}

#[derive(Debug)]
struct Update {
    rule: Rule,
}

impl RealRoutine for Update {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, scalars: &Scalars) {
        let [value, velocity, gradient] = take(buffers);
        let (value, velocity, gradient): (&mut [T], &mut [T], &[T]) = (
            elements_mut(value),
            elements_mut(velocity),
            elements(gradient),
        );
        value
            .par_chunks_mut(BLOCK)
            .zip(velocity.par_chunks_mut(BLOCK))
            .zip(gradient.par_chunks(BLOCK))
            .for_each(|((value, velocity), gradient)| {
                self.rule
                    .step(value, velocity, gradient, scalars.learning_rate);
            });
    }
}
