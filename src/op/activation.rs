//! `A`: an activation on its own; and the activation functions that C and F apply inside.

use std::sync::Arc;

use rayon::prelude::*;

use super::attribute::{Arguments, Attribute};
use super::emit::{
    Back, BufferId, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalars, Site, elements,
    elements_mut, take,
};
use super::real::Real;
use super::shape::Shape;
use super::signal::{Flow, Gradient, Latent, Signal};
use super::view::{DST, View};
use super::{Fault, Kind, Op, Recipe, unary};
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
    pub fn apply<T: Real>(self, values: &mut [T]) {
        let zero = T::zero();
        match self {
            Self::None => {}
            Self::Relu => values
                .iter_mut()
                .for_each(|x| *x = if *x < zero { zero } else { *x }),
            Self::Leaky => values
                .iter_mut()
                .for_each(|x| *x = if *x < zero { *x * T::of(0.1) } else { *x }),
            Self::Sigmoid => values
                .iter_mut()
                .for_each(|x| *x = T::one() / (T::one() + (-*x).exp())),
            Self::Tanh => values.iter_mut().for_each(|x| *x = x.tanh()),
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

    fn forward(&self, site: &Site, _: &Machine, ledger: &mut Ledger) -> Vec<BufferId> {
        let (src, dst) = (site.source().view, site.destination.view);
        let kernel = Kernel::new("activation", "activation_forward", 1)
            .define("FORWARD", 1)
            .define("ACT", self.function.number());
        let function = self.function;
        let host = Forward { function, src, dst };
        unary::forward(site, define_sizes(kernel, &src), host, ledger);
        if site.training {
            vec![site.destination.buffer]
        } else {
            Vec::new()
        }
    }

    fn backward(&self, site: &Site, back: &Back, _: &Machine, ledger: &mut Ledger) {
        let Some(d_src) = back.d_src[0] else { return };
        let (dst, d_dst) = (site.destination, back.d_dst);
        let kernel = Kernel::new("activation", "activation_backward", 1)
            .define("BACKWARD", 1)
            .define("ACT", self.function.number());
        let kernel = define_sizes(kernel, &dst.view);
        let host = Backward {
            function: self.function,
            dst: dst.view,
            d_dst: d_dst.view,
            d_src: d_src.view,
        };
        unary::backward(site, (dst, DST), [d_dst, d_src], kernel, host, ledger);
    }
}

#[derive(Debug)]
struct Forward {
    function: Function,
    src: View,
    dst: View,
}

#[derive(Debug)]
struct Backward {
    function: Function,
    dst: View,
    d_dst: View,
    d_src: View,
}

impl RealRoutine for Forward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, dst] = take(buffers);
        let (src, dst): (&[T], &mut [T]) = (elements(src), elements_mut(dst));
        let [channels, height, width] = self.src.shape.dimensions();
        dst.par_chunks_mut(self.dst.image)
            .enumerate()
            .for_each(|(n, dst)| {
                for y in 0..height {
                    for x in 0..width {
                        let (from, to) = (self.src.at(n, 0, y, x), self.dst.at(0, 0, y, x));
                        let out = &mut dst[to..to + channels];
                        out.copy_from_slice(&src[from..from + channels]);
                        self.function.apply(out);
                    }
                }
            });
    }
}

impl RealRoutine for Backward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [dst, d_dst, d_src] = take(buffers);
        let (dst, d_dst, d_src): (&[T], &[T], &mut [T]) =
            (elements(dst), elements(d_dst), elements_mut(d_src));
        let [channels, height, width] = self.dst.shape.dimensions();
        d_src
            .par_chunks_mut(self.d_src.image)
            .enumerate()
            .for_each(|(n, d_src)| {
                for y in 0..height {
                    for x in 0..width {
                        let (value, up, to) = (
                            self.dst.at(n, 0, y, x),
                            self.d_dst.at(n, 0, y, x),
                            self.d_src.at(0, 0, y, x),
                        );
                        for c in 0..channels {
                            d_src[to + c] =
                                d_dst[up + c] * self.function.derivative(dst[value + c]);
                        }
                    }
                }
            });
    }
}
