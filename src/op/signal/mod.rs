//! The signal at the start: what a layer, at its initial values, makes of the size of what flows through it.
//!
//! Mean-field theory: weights are independent draws of mean 0, so first and second moments of a layer's output follow
//! from those of its input, without running anything (Glorot and Bengio 2010; He et al. 2015; Poole et al. 2016;
//! Schoenholz et al. 2017). Beside mean and mean square, [`Signal`] carries how neighbouring pixels go together, for a
//! pool's maximum depends on it; random filters keep that correlation (Xiao et al. 2018). On the way back a
//! [`Gradient`] is a mean square, taken to be independent of the weights that it meets.
//!
//! Owns: the two values that travel, and the arithmetic that kinds share. Each kind's own rule is in its own file:
//! [`super::Op::signal`], [`super::Op::gradient`].

pub mod field;
pub mod moments;
pub mod response;
pub mod softmax;
pub mod window;

use super::activation::Function;
use super::shape::Shape;
use field::{COUNT, Field, OTHER};

/// What is expected of a tensor's elements, over initial values, images, channels and positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// `E[x]`.
    pub mean: f64,
    /// `E[x(p) x(p + d)]` by distance; at distance 0 the mean square.
    pub moments: Field,
    /// The normally distributed field that a function was applied to, where the tensor is one.
    pub latent: Option<Latent>,
}

/// A normally distributed field and the function applied to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latent {
    /// The field's mean.
    pub mean: f64,
    /// Its covariance by distance; at distance 0 the variance.
    pub covariance: Field,
    /// What was applied to it.
    pub function: Function,
}

/// The gradient of the mean loss with respect to a tensor's elements.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gradient {
    /// Its mean square.
    pub square: f64,
    /// The share of it that meets positive values of the latent field, where a maximum has chosen among them.
    pub positive: Option<f64>,
}

/// A layer's input: its shape, and what is expected of it.
#[derive(Clone, Copy, Debug)]
pub struct Flow<'a> {
    /// The shape of one image.
    pub shape: Shape,
    /// What is expected.
    pub signal: &'a Signal,
}

impl Signal {
    /// A network's input of which only the root mean square is known: mean 0, and neighbours that go together as in
    /// photographs, half of the correlation being gone after a tenth of the width.
    pub fn photographs(rms: f64, shape: Shape) -> Self {
        let [_, _, width] = shape.dimensions();
        let length = (width as f64 / 10.0).max(1.0) / std::f64::consts::LN_2;
        let mut moments = field::by_distance(|distance| rms * rms * (-distance / length).exp());
        moments[OTHER] = 0.0;
        Self {
            mean: 0.0,
            moments,
            latent: None,
        }
    }

    /// A function of a normally distributed field.
    pub fn of(latent: Latent) -> Self {
        let variance = latent.covariance[0];
        let through = moments::through(latent.function, latent.mean, variance);
        let (constant, linear) = (through.mean * through.mean, through.slope * through.slope);
        let rest = (through.square - constant - linear * variance).max(0.0);
        // The expansion in Hermite polynomials: its first two terms exactly, the others as if they were the third.
        let moments = latent.covariance.map(|covariance| {
            let correlation = if variance > 0.0 {
                covariance / variance
            } else {
                0.0
            };
            constant + linear * covariance + rest * correlation * correlation
        });
        let mut signal = Self {
            mean: through.mean,
            moments,
            latent: Some(latent),
        };
        signal.moments[0] = through.square;
        signal
    }

    /// `E[x^2]`.
    pub fn square(&self) -> f64 {
        self.moments[0]
    }

    /// The root mean square.
    pub fn rms(&self) -> f64 {
        self.square().sqrt()
    }

    /// The latent field, or the normally distributed one with the same moments.
    pub fn latent(&self) -> Latent {
        self.latent.unwrap_or_else(|| self.alike())
    }

    /// What an activation is applied to: the normally distributed field that the tensor is, or that has its moments.
    pub fn alike(&self) -> Latent {
        match self.latent {
            Some(latent) if latent.function == Function::None => latent,
            _ => Latent {
                mean: self.mean,
                covariance: self
                    .moments
                    .map(|moment| (moment - self.mean * self.mean).max(0.0)),
                function: Function::None,
            },
        }
    }

    /// The tensor multiplied by a number.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let scale = |field: Field| field.map(|value| value * factor * factor);
        // Only functions without a scale of their own keep their latent field.
        let latent = self.latent.filter(|latent| {
            matches!(
                latent.function,
                Function::None | Function::Relu | Function::Leaky
            )
        });
        Self {
            mean: self.mean * factor,
            moments: scale(self.moments),
            latent: latent.map(|latent| Latent {
                mean: latent.mean * factor,
                covariance: scale(latent.covariance),
                ..latent
            }),
        }
    }

    /// The tensor after dropout, whose draws are independent: `E[x^2] / (1 - p)`, products of two elements unchanged.
    #[must_use]
    pub fn dropped(&self, probability: f64) -> Self {
        let mut dropped = Self {
            latent: None,
            ..*self
        };
        dropped.moments[0] /= 1.0 - probability;
        dropped
    }

    /// The tensor less `common`, its mean square or a part of it, divided by `sqrt(variance + eps)`.
    #[must_use]
    pub fn normalized(&self, common: f64, eps: f64) -> Self {
        let variance = (self.square() - common).max(0.0);
        let scale = 1.0 / (variance + eps);
        let moments = self.moments.map(|moment| (moment - common) * scale);
        let gaussian = self
            .latent
            .is_some_and(|latent| latent.function == Function::None);
        Self {
            mean: 0.0,
            moments,
            latent: gaussian.then_some(Latent {
                mean: 0.0,
                covariance: moments,
                function: Function::None,
            }),
        }
    }

    /// The part of the mean square that is the same in every image: `E[x(image) x(another image)]`.
    pub fn common(&self) -> f64 {
        self.moments[OTHER]
    }

    /// The sum of tensors, of which at most one pair is not uncorrelated: a branch that ends in weights of mean 0 is
    /// uncorrelated with all others.
    pub fn sum(parts: &[&Self]) -> Self {
        let mean: f64 = parts.iter().map(|part| part.mean).sum();
        let squares: f64 = parts.iter().map(|part| part.mean * part.mean).sum();
        let crossed = mean * mean - squares;
        let mut moments = [crossed; COUNT];
        for part in parts {
            for (sum, moment) in moments.iter_mut().zip(part.moments) {
                *sum += moment;
            }
        }
        let gaussian = parts.iter().all(|part| {
            part.latent
                .is_some_and(|latent| latent.function == Function::None)
        });
        Self {
            mean,
            moments,
            latent: gaussian.then(|| Latent {
                mean,
                covariance: moments.map(|moment| moment - mean * mean),
                function: Function::None,
            }),
        }
    }

    /// Tensors beside each other along channels, each with its number of channels.
    pub fn beside(parts: &[(usize, &Self)]) -> Self {
        let all: usize = parts.iter().map(|(channels, _)| channels).sum();
        let mut joined = Self {
            mean: 0.0,
            moments: [0.0; COUNT],
            latent: None,
        };
        for (channels, part) in parts {
            let share = *channels as f64 / all as f64;
            joined.mean += share * part.mean;
            for (sum, moment) in joined.moments.iter_mut().zip(part.moments) {
                *sum += share * moment;
            }
        }
        joined
    }
}

impl Gradient {
    /// A gradient of this mean square.
    pub fn of(square: f64) -> Self {
        Self {
            square,
            positive: None,
        }
    }

    /// The root mean square.
    pub fn rms(&self) -> f64 {
        self.square.sqrt()
    }

    /// Back through an activation of a latent field.
    #[must_use]
    pub fn through(self, latent: &Latent) -> Self {
        let slope = moments::slope_square(
            latent.function,
            latent.mean,
            latent.covariance[0],
            self.positive,
        );
        Self::of(self.square * slope)
    }

    /// The gradients of several readers of one tensor, added up, uncorrelated.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let square = self.square + other.square;
        let positive = match (self.positive, other.positive) {
            (Some(a), Some(b)) if square > 0.0 => {
                Some((a * self.square + b * other.square) / square)
            }
            _ => None,
        };
        Self { square, positive }
    }
}

/// A sum of inputs times independent weights of mean 0, plus a bias, then a function: what C and F have in common.
///
/// `gain` is the weights' variance times the number of inputs that a sum reads, on average over the positions;
/// `stride` the distance of two sums' inputs, in inputs, or 0 where there is one sum an image only.
pub fn weighted(input: &Signal, gain: f64, stride: f64, bias: f64, function: Function) -> Latent {
    Latent {
        mean: bias,
        covariance: field::strided(&input.moments, stride).map(|moment| gain * moment),
        function,
    }
}
