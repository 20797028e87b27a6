//! Parameter updates: the methods. `update` is a step of one of them on a parameter, `gradient` what may stand before it:
//! sums over mini-batches and a limit of the gradient's norm. The formulas stand in `kernels/optimizer.cl`.

mod gradient;
mod update;

pub use self::gradient::{accumulate, clip};
pub use self::update::Target;
use super::emit::{BufferId, Kernel, Scalars};
use super::real::Real;

/// Numbers of a work-item on a CPU.
const BLOCK: usize = 4096;

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
