//! Parameter updates. The formula stands in `kernels/optimizer.cl`.

use rayon::prelude::*;

use super::emit::{
    BufferId, Call, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalar, Scalars, elements,
    elements_mut, take,
};
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

/// One parameter's buffers.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its values.
    pub value: BufferId,
    /// Its velocity.
    pub velocity: BufferId,
    /// Its gradient.
    pub gradient: BufferId,
    /// Numbers in each of the three.
    pub count: usize,
    /// Whether weight decay applies.
    pub decays: bool,
}

impl Sgd {
    /// Asks for the update of one parameter. `name` is the parameter's, `c1.weight`.
    pub fn update(
        &self,
        name: &str,
        layer: Option<usize>,
        target: &Target,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let decay = if target.decays {
            self.weight_decay
        } else {
            0.0
        };
        let kernel = Kernel::new("optimizer", "optimizer_sgd", 1)
            .blocks(target.count, BLOCK, machine)
            .define("MOMENTUM", self.momentum)
            .define("DECAY", decay);
        let call = Call::new(
            kernel,
            Update {
                momentum: self.momentum,
                decay,
            },
        )
        .update(target.value)
        .update(target.velocity)
        .read(target.gradient)
        .size(target.count);
        ledger.step(
            format!("{name}.update"),
            layer,
            call.scalar(Scalar::LearningRate),
        );
    }
}

#[derive(Debug)]
struct Update {
    momentum: f64,
    decay: f64,
}

impl RealRoutine for Update {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, scalars: &Scalars) {
        let [value, velocity, gradient] = take(buffers);
        let (value, velocity, gradient): (&mut [T], &mut [T], &[T]) = (
            elements_mut(value),
            elements_mut(velocity),
            elements(gradient),
        );
        let (momentum, decay, rate) = (
            T::of(self.momentum),
            T::of(self.decay),
            T::of(scalars.learning_rate),
        );
        value
            .par_chunks_mut(BLOCK)
            .zip(velocity.par_chunks_mut(BLOCK))
            .zip(gradient.par_chunks(BLOCK))
            .for_each(|((value, velocity), gradient)| {
                for ((w, v), &g) in value.iter_mut().zip(velocity).zip(gradient) {
                    *v = momentum * *v - rate * (decay * *w + g);
                    *w += *v;
                }
            });
    }
}
