//! Parameter updates: the methods, and what may stand before them, sums over mini-batches and a limit of the gradient's
//! norm. The formulas stand in `kernels/optimizer.cl`.

use rayon::prelude::*;

use super::emit::{
    BufferId, Call, Element, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalar, Scalars,
    elements, elements_mut, take,
};
use super::limits::Class;
use super::name::Name;
use super::real::Real;

/// Numbers of a work-item on a CPU.
const BLOCK: usize = 4096;
/// Parts of the sum of squares of a parameter on devices where many work-items run at once.
const PARTS: usize = 1024;
/// Added to the gradient's norm before it divides, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPSILON: f64 = 1e-6;

/// How parameters follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Stochastic gradient descent with momentum (Krizhevsky et al. 2012, section 5), or Nesterov's (Sutskever et al. 2013
    /// in the form of `torch.optim.SGD`).
    Momentum {
        /// The share of the last step's velocity that is kept.
        momentum: f64,
        /// Whether the gradient is taken to be where the velocity leads to.
        nesterov: bool,
    },
    /// Adam (Kingma and Ba 2015), or `AdamW` (Loshchilov and Hutter 2019), in the form of `torch.optim`.
    Adam {
        /// The share of the first moment that is kept.
        beta1: f64,
        /// The share of the second moment that is kept.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Whether the weights decay by themselves (`AdamW`) instead of through the gradient.
        decoupled: bool,
    },
}

impl Method {
    /// What is kept of each parameter between two steps.
    pub fn state(self) -> &'static [&'static str] {
        match self {
            Self::Momentum { .. } => &["velocity"],
            Self::Adam { .. } => &["first_moment", "second_moment"],
        }
    }
}

/// How a network learns: the method, and what comes before its step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    /// The method.
    pub method: Method,
    /// The pull of weights to zero, times the learning rate.
    pub weight_decay: f64,
    /// Whether biases are pulled too.
    pub decay_biases: bool,
    /// The largest norm of the gradient of all parameters together; 0 for no limit.
    pub clip: f64,
    /// Mini-batches whose gradients are averaged for one step.
    pub accumulate: usize,
    /// The share of each label that is spread over all classes.
    pub smoothing: f64,
}

impl Optimizer {
    /// Stochastic gradient descent with momentum and weight decay, biases without, and nothing else.
    pub const fn sgd(momentum: f64, weight_decay: f64) -> Self {
        Self {
            method: Method::Momentum {
                momentum,
                nesterov: false,
            },
            weight_decay,
            decay_biases: false,
            clip: 0.0,
            accumulate: 1,
            smoothing: 0.0,
        }
    }

    /// Whether every gradient has to be there before the first update.
    pub fn waits(&self) -> bool {
        self.clip > 0.0 || self.accumulate > 1
    }

    /// The update of a parameter whose state these buffers are, as [`Method::state`] names them. Weights decay, biases
    /// where [`Self::decay_biases`].
    ///
    /// # Panics
    /// Where they are not as many.
    pub fn rule(&self, state: &[BufferId], is_weight: bool) -> Rule {
        let decay = if is_weight || self.decay_biases {
            self.weight_decay
        } else {
            0.0
        };
        match (self.method, state) {
            (Method::Momentum { momentum, nesterov }, &[velocity]) => Rule::Momentum(Momentum {
                velocity,
                momentum,
                nesterov,
                decay,
            }),
            (
                Method::Adam {
                    beta1,
                    beta2,
                    epsilon,
                    decoupled,
                },
                &[first, second],
            ) => Rule::Adam(Adam {
                moments: [first, second],
                betas: [beta1, beta2],
                epsilon,
                decay,
                decoupled,
            }),
            _ => panic!("internal error: a method's state is of other buffers"),
        }
    }

    /// The values of a step's scalars that depend on the learning rate and on how many steps came before.
    pub fn scalars(&self, learning_rate: f64, steps: u64) -> Scalars {
        let (step_size, correction) = match self.method {
            Method::Momentum { .. } => (learning_rate, 1.0),
            Method::Adam { beta1, beta2, .. } => {
                let left = |beta: f64| 1.0 - beta.powf((steps + 1) as f64);
                (learning_rate / left(beta1), left(beta2).sqrt())
            }
        };
        Scalars {
            learning_rate,
            step_size,
            correction,
            ..Scalars::default()
        }
    }
}

/// The update of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// See [`Method::Momentum`].
    Momentum(Momentum),
    /// See [`Method::Adam`].
    Adam(Adam),
}

impl Rule {
    /// The rule, where a step that knows the gradient can do the update at once.
    pub fn momentum(self) -> Option<Momentum> {
        match self {
            Self::Momentum(momentum) => Some(momentum),
            Self::Adam(_) => None,
        }
    }
}

/// The update with one velocity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// Its velocity.
    pub velocity: BufferId,
    /// The share of the last step's velocity that is kept.
    pub momentum: f64,
    /// Whether the gradient is taken to be where the velocity leads to.
    pub nesterov: bool,
    /// The pull of the values to zero, times the learning rate.
    pub decay: f64,
}

impl Momentum {
    /// Defines `UPDATE`, `MOMENTUM` and `DECAY`, for `MOVE` in `kernels/prelude.cl`.
    pub fn define(&self, kernel: Kernel) -> Kernel {
        kernel
            .define("UPDATE", if self.nesterov { 2 } else { 1 })
            .define("MOMENTUM", self.momentum)
            .define("DECAY", self.decay)
    }

    /// One step, on values that lie alike.
    pub fn step<T: Real>(&self, value: &mut [T], velocity: &mut [T], gradient: &[T], rate: f64) {
        let (momentum, decay) = (T::of(self.momentum), T::of(self.decay));
        let rate = T::of(rate);
        for ((w, v), &g) in value.iter_mut().zip(velocity).zip(gradient) {
            let pull = decay * *w + g;
            if self.nesterov {
                *v = momentum * *v + pull;
                *w -= rate * (pull + momentum * *v);
            } else {
                *v = momentum * *v - rate * pull;
                *w += *v;
            }
        }
    }
}

/// The update with two moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Running means of the gradient and of its square.
    pub moments: [BufferId; 2],
    /// The shares of them that are kept.
    pub betas: [f64; 2],
    /// Added to the root of the second.
    pub epsilon: f64,
    /// The pull of the values to zero.
    pub decay: f64,
    /// Whether they are pulled by themselves instead of through the gradient.
    pub decoupled: bool,
}

impl Adam {
    fn step<T: Real>(
        &self,
        value: &mut [T],
        [first, second]: [&mut [T]; 2],
        gradient: &[T],
        scalars: &Scalars,
    ) {
        let ([beta1, beta2], epsilon) = (self.betas.map(T::of), T::of(self.epsilon));
        let (decay, one) = (T::of(self.decay), T::one());
        let (rate, size) = (T::of(scalars.learning_rate), T::of(scalars.step_size));
        let correction = T::of(scalars.correction);
        let moments = first.iter_mut().zip(second);
        for ((w, (m, v)), &g) in value.iter_mut().zip(moments).zip(gradient) {
            let mut g = g;
            if self.decoupled {
                *w *= one - rate * decay;
            } else {
                g += decay * *w;
            }
            *m = beta1 * *m + (one - beta1) * g;
            *v = beta2 * *v + (one - beta2) * g * g;
            *w -= size * *m / (v.sqrt() / correction + epsilon);
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

/// Asks for a gradient to be added to the sum over mini-batches.
pub fn accumulate(
    name: Name,
    layer: Option<usize>,
    (sum, gradient, count): (BufferId, BufferId, usize),
    machine: &Machine,
    ledger: &mut Ledger,
) {
    let machine = *machine;
    let kernel = move || {
        Kernel::new("optimizer", "optimizer_accumulate", 1)
            .define("OPTIMIZER_ACCUMULATE", 1)
            .blocks(count, BLOCK, &machine)
    };
    let call = Call::new(kernel, Accumulate)
        .update(sum)
        .read(gradient)
        .size(count);
    ledger.step(name.word("accumulate"), layer, call);
}

#[derive(Debug)]
struct Accumulate;

impl RealRoutine for Accumulate {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [sum, gradient] = take(buffers);
        let (sum, gradient): (&mut [T], &[T]) = (elements_mut(sum), elements(gradient));
        sum.par_chunks_mut(BLOCK)
            .zip(gradient.par_chunks(BLOCK))
            .for_each(|(sum, gradient)| {
                for (sum, &g) in sum.iter_mut().zip(gradient) {
                    *sum += g;
                }
            });
    }
}

/// Parts that a parameter's sum of squares is made of, and the numbers of each: neighbours on a CPU, on other devices
/// every so many, so that work-items beside each other read numbers beside each other.
fn parts(count: usize, machine: &Machine) -> usize {
    match machine.limits.class {
        Class::Gpu => PARTS.min(count),
        Class::Cpu | Class::Host => count.div_ceil(BLOCK),
    }
}

/// Asks for the factor that brings the norm of all gradients together down to `limit`, 1 where it is no larger:
/// `min(1, limit / (norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_` has it. Gives the buffer of that one number.
pub fn clip(
    limit: f64,
    gradients: &[(Name, Option<usize>, BufferId, usize)],
    machine: &Machine,
    ledger: &mut Ledger,
) -> BufferId {
    let counts = gradients.iter().map(|&(.., count)| parts(count, machine));
    let total = counts.sum::<usize>().max(1);
    let squares = ledger.buffer("gradient.squares", Element::Real, total);
    let factor = ledger.buffer("gradient.factor", Element::Real, 1);
    let mut first = 0;
    for (name, layer, gradient, count) in gradients {
        let (items, count, at) = (parts(*count, machine), *count, first);
        first += items;
        let machine = *machine;
        let kernel = move || {
            let kernel =
                Kernel::new("optimizer", "optimizer_squares", items).define("OPTIMIZER_SQUARES", 1);
            match machine.limits.class {
                Class::Gpu => kernel.define("STRIDED", 1),
                Class::Cpu | Class::Host => kernel.define("BLOCK", BLOCK).single(),
            }
        };
        let host = Squares {
            items,
            at,
            strided: machine.limits.class == Class::Gpu,
        };
        let call = Call::new(kernel, host).read(*gradient);
        // The first makes the buffer, the others fill it.
        let call = match at {
            0 => call.write(squares),
            _ => call.update(squares),
        };
        let call = call.size(count).ints([at, items]);
        ledger.step(name.clone().word("squares"), *layer, call);
    }
    let kernel = move || {
        Kernel::new("optimizer", "optimizer_factor", 1)
            .define("OPTIMIZER_FACTOR", 1)
            .define("LIMIT", limit)
            .define("CLIP_EPSILON", CLIP_EPSILON)
            .single()
    };
    let call = Call::new(kernel, Factor { limit, total })
        .read(squares)
        .write(factor)
        .ints([total]);
    ledger.step("gradient.clip", None, call);
    factor
}

#[derive(Debug)]
struct Squares {
    items: usize,
    at: usize,
    strided: bool,
}

impl RealRoutine for Squares {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [gradient, squares] = take(buffers);
        let (gradient, squares): (&[T], &mut [T]) = (elements(gradient), elements_mut(squares));
        squares[self.at..self.at + self.items]
            .par_iter_mut()
            .enumerate()
            .for_each(|(item, sum)| {
                *sum = T::zero();
                let mut add = |&g: &T| *sum += g * g;
                if self.strided {
                    gradient
                        .iter()
                        .skip(item)
                        .step_by(self.items)
                        .for_each(&mut add);
                } else {
                    let first = item * BLOCK;
                    gradient[first..gradient.len().min(first + BLOCK)]
                        .iter()
                        .for_each(&mut add);
                }
            });
    }
}

#[derive(Debug)]
struct Factor {
    limit: f64,
    total: usize,
}

impl RealRoutine for Factor {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [squares, factor] = take(buffers);
        let (squares, factor): (&[T], &mut [T]) = (elements(squares), elements_mut(factor));
        let mut sum = T::zero();
        squares[..self.total]
            .iter()
            .for_each(|&square| sum += square);
        let bound = T::of(self.limit) / (sum.sqrt() + T::of(CLIP_EPSILON));
        // A norm that is no number makes the factor none either.
        factor[0] = if bound >= T::one() { T::one() } else { bound };
    }
}
