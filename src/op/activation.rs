//! `A`: an activation on its own; and the activation functions that C and F apply inside.

#![expect(
    clippy::inline_always,
    reason = "what runs in `vectorized` must be part of it to use the machine's vectors"
)]

use std::sync::Arc;

use rayon::prelude::*;

use super::attribute::{Arguments, Attribute};
use super::dropout::output_backward;
use super::emit::{
    Back, BufferId, Call, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalars, Site,
    elements, elements_mut, take,
};
use super::layout::copy;
use super::real::Real;
use super::shape::Shape;
use super::signal::{Flow, Gradient, Latent, Signal};
use super::view::{DST, SRC, View};
use super::{Fault, InPlace, Kind, Op, Recipe};
use crate::diagnostic::Diagnostics;

/// An activation function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Function {
    /// The identity.
    None,
    /// `max(0, x)`; its derivative at 0 is 0.
    #[default]
    Relu,
    /// `x`, or `0.1 x` where negative (Darknet's slope).
    Leaky,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
}

impl Function {
    /// The words of `act=`.
    pub const WORDS: &'static [&'static str] = &["relu", "leaky", "sigmoid", "tanh", "none"];

    /// The function of a word of [`Self::WORDS`].
    pub fn of(word: &str) -> Self {
        match word {
            "leaky" => Self::Leaky,
            "sigmoid" => Self::Sigmoid,
            "tanh" => Self::Tanh,
            "none" => Self::None,
            _ => Self::Relu,
        }
    }

    /// The kernels' number for it, `ACT`.
    pub fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Relu => 1,
            Self::Leaky => 2,
            Self::Sigmoid => 3,
            Self::Tanh => 4,
        }
    }

    /// Applies it in place. A NaN stays one.
    #[inline(always)]
    pub fn apply<T: Real>(self, values: &mut [T]) {
        match self {
            Self::None => {}
            Self::Relu => values.iter_mut().for_each(|x| *x = relu(*x)),
            Self::Leaky => values
                .iter_mut()
                .for_each(|x| *x = if *x < T::zero() { *x * T::of(0.1) } else { *x }),
            Self::Sigmoid => values
                .iter_mut()
                .for_each(|x| *x = T::one() / (T::one() + (-*x).exp())),
            Self::Tanh => values.iter_mut().for_each(|x| *x = x.tanh()),
        }
    }

    /// Applies it to each of `values`, and stores that. The common ones do so in one loop.
    #[inline(always)]
    pub fn map<T: Real>(self, values: impl Iterator<Item = T>, out: &mut [T]) {
        let both = out.iter_mut().zip(values);
        match self {
            Self::None => both.for_each(|(out, x)| *out = x),
            Self::Relu => both.for_each(|(out, x)| *out = relu(x)),
            Self::Leaky | Self::Sigmoid | Self::Tanh => {
                both.for_each(|(out, x)| *out = x);
                self.apply(out);
            }
        }
    }

    /// The derivative, from the function's value.
    pub fn derivative<T: Real>(self, value: T) -> T {
        match self {
            Self::None => T::one(),
            Self::Relu => {
                if value > T::zero() {
                    T::one()
                } else {
                    T::zero()
                }
            }
            Self::Leaky => {
                if value > T::zero() {
                    T::one()
                } else {
                    T::of(0.1)
                }
            }
            Self::Sigmoid => value * (T::one() - value),
            Self::Tanh => T::one() - value * value,
        }
    }
}

#[inline(always)]
fn relu<T: Real>(x: T) -> T {
    if x < T::zero() { T::zero() } else { x }
}

/// `A`.
pub static KIND: Kind = Kind {
    letter: "A",
    name: "activation",
    width: None,
    attributes: &[
        Attribute::variant("relu", "max(0, x) (the default)"),
        Attribute::variant("leaky", "x, or 0.1 x where negative"),
        Attribute::variant("sigmoid", "1 / (1 + exp(-x))"),
        Attribute::variant("tanh", "hyperbolic tangent"),
    ],
    build,
};

fn build(arguments: &Arguments<'_>, _: &Recipe, _: &mut Diagnostics) -> Option<Arc<dyn Op>> {
    Some(Arc::new(Activation {
        function: Function::of(arguments.variant),
    }))
}

/// An activation layer.
#[derive(Debug)]
pub struct Activation {
    /// Which.
    pub function: Function,
}

/// Work-items of a kernel that takes one value each: a row's numbers, rows, images.
pub(super) fn by_value(view: &View) -> [usize; 3] {
    let [channels, height, width] = view.shape.dimensions();
    [width * channels, height, view.batch]
}

/// Sizes of a tensor, for kernels that take one value each.
pub(super) fn define_sizes(kernel: Kernel, view: &View) -> Kernel {
    let [channels, height, width] = view.shape.dimensions();
    kernel
        .define("C", channels)
        .define("H", height)
        .define("W", width)
        .global(by_value(view))
}

impl Activation {
    fn before(&self, input: &Flow<'_>) -> Latent {
        Latent {
            function: self.function,
            ..input.signal.alike()
        }
    }
}

impl Op for Activation {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, Fault> {
        Ok(inputs[0])
    }

    fn signal(&self, inputs: &[Flow<'_>], _: Shape) -> Signal {
        Signal::of(self.before(&inputs[0]))
    }

    fn gradient(&self, inputs: &[Flow<'_>], _: Shape, d_dst: Gradient) -> Vec<Gradient> {
        vec![d_dst.through(&self.before(&inputs[0]))]
    }

    fn activation(&self) -> Function {
        self.function
    }

    fn in_place(&self) -> InPlace {
        InPlace::Over
    }

    fn needs_output(&self, before_act: bool, _: Function) -> bool {
        !before_act && self.function != Function::None
    }

    fn changes_gradient(&self, before_act: bool) -> bool {
        self.needs_output(before_act, Function::None)
    }

    fn forward(&self, site: &Site, machine: &Machine, ledger: &mut Ledger) -> Vec<BufferId> {
        let (src, dst) = (site.source(), site.destination);
        let (function, machine) = (self.function, *machine);
        let over = src.buffer == dst.buffer;
        let kernel = move || {
            let kernel = Kernel::new("activation", "activation_forward", 1)
                .define("FORWARD", 1)
                .define("ACT", function.number());
            let kernel = if over {
                kernel.define("IN_PLACE", 1)
            } else {
                src.view.define(kernel, SRC)
            };
            define_sizes(dst.view.define(kernel, DST), &dst.view)
                .places(by_value(&dst.view), &machine)
        };
        let host = Forward {
            function,
            src: (!over).then_some(src.view),
            dst: dst.view,
        };
        let call = Call::new(kernel, host);
        let call = if over {
            call.update(dst.buffer)
        } else {
            call.read(src.buffer).write(dst.buffer)
        };
        ledger.step(site.named("forward"), Some(site.layer), call);
        Vec::new()
    }

    /// In place on the output's gradient, unless the input's has a buffer of its own.
    fn backward(&self, site: &Site, back: &Back, machine: &Machine, ledger: &mut Ledger) {
        let mut gradient = back.d_dst;
        if let Some(d_src) = back.d_src[0] {
            let name = site.named("backward");
            copy(name, Some(site.layer), gradient, d_src, machine, ledger);
            gradient = d_src;
        }
        if !site.before_act {
            output_backward(site, gradient, self.function, None, machine, ledger);
        }
    }
}

#[derive(Debug)]
struct Forward {
    function: Function,
    /// Where the input lies; `None` where the output is written over it.
    src: Option<View>,
    dst: View,
}

impl RealRoutine for Forward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let (src, dst): (&[T], &mut [T]) = if self.src.is_some() {
            let [src, dst] = take(buffers);
            (elements(src), elements_mut(dst))
        } else {
            let [dst] = take(buffers);
            (&[], elements_mut(dst))
        };
        let [channels, height, width] = self.dst.shape.dimensions();
        dst.par_chunks_mut(self.dst.image)
            .enumerate()
            .for_each(|(n, dst)| {
                for y in 0..height {
                    for x in 0..width {
                        let to = self.dst.at(0, 0, y, x);
                        let out = &mut dst[to..to + channels];
                        if let Some(view) = &self.src {
                            out.copy_from_slice(&src[view.at(n, 0, y, x)..][..channels]);
                        }
                        self.function.apply(out);
                    }
                }
            });
    }
}
