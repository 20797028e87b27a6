//! Functions of a normally distributed number: moments, slopes, and the largest of several.

use std::f64::consts::{PI, SQRT_2};

use super::super::activation::Function;

/// The slope of `leaky` below 0.
const LEAK: f64 = 0.1;

/// What is expected of `f(x)`, `x` normally distributed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Through {
    /// `E[f(x)]`.
    pub mean: f64,
    /// `E[f(x)^2]`.
    pub square: f64,
    /// `E[f'(x)]`.
    pub slope: f64,
}

/// The normal distribution's density.
pub fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// The normal distribution: the probability of less than `x`.
pub fn below(x: f64) -> f64 {
    0.5 * libm::erfc(-x / SQRT_2)
}

/// The probability of more than 0.
pub fn positive(mean: f64, variance: f64) -> f64 {
    if variance > 0.0 {
        below(mean / variance.sqrt())
    } else {
        f64::from(u8::from(mean > 0.0))
    }
}

/// What is expected of a function of a normally distributed number.
///
/// ReLU, with `u = mean / deviation`: `E[f] = mean P(u) + deviation p(u)`, `E[f^2] = (mean^2 + variance) P(u) +
/// mean deviation p(u)`, half the variance where the mean is 0 (He et al. 2015, 2.2).
pub fn through(function: Function, mean: f64, variance: f64) -> Through {
    let deviation = variance.max(0.0).sqrt();
    let square = mean * mean + variance;
    let rectified = || {
        let share = positive(mean, variance);
        let p = if variance > 0.0 {
            density(mean / deviation)
        } else {
            0.0
        };
        Through {
            mean: mean * share + deviation * p,
            square: square * share + mean * deviation * p,
            slope: share,
        }
    };
    match function {
        Function::None => Through {
            mean,
            square,
            slope: 1.0,
        },
        Function::Relu => rectified(),
        Function::Leaky => {
            // f(x) = LEAK x + (1 - LEAK) relu(x), f(x)^2 = LEAK^2 x^2 + (1 - LEAK^2) relu(x)^2.
            let relu = rectified();
            Through {
                mean: LEAK * mean + (1.0 - LEAK) * relu.mean,
                square: LEAK * LEAK * square + (1.0 - LEAK * LEAK) * relu.square,
                slope: LEAK + (1.0 - LEAK) * relu.slope,
            }
        }
        Function::Sigmoid | Function::Tanh => {
            let value = |x: f64| smooth(function, x);
            Through {
                mean: expected(mean, deviation, |x| value(x).0),
                square: expected(mean, deviation, |x| value(x).0.powi(2)),
                slope: expected(mean, deviation, |x| value(x).1),
            }
        }
    }
}

/// `E[f'(x)^2]`; `chosen` is the probability of a positive number where it is not the distribution's own.
pub fn slope_square(function: Function, mean: f64, variance: f64, chosen: Option<f64>) -> f64 {
    let share = || chosen.unwrap_or_else(|| positive(mean, variance));
    match function {
        Function::None => 1.0,
        Function::Relu => share(),
        Function::Leaky => {
            let share = share();
            share + LEAK * LEAK * (1.0 - share)
        }
        Function::Sigmoid | Function::Tanh => expected(mean, variance.max(0.0).sqrt(), |x| {
            smooth(function, x).1.powi(2)
        }),
    }
}

/// Value and slope of the two smooth functions.
fn smooth(function: Function, x: f64) -> (f64, f64) {
    if function == Function::Sigmoid {
        let value = 1.0 / (1.0 + (-x).exp());
        (value, value * (1.0 - value))
    } else {
        let value = x.tanh();
        (value, 1.0 - value * value)
    }
}

/// Points of the integral of [`expected`].
const POINTS: i32 = 48;

/// Beyond this the two smooth functions are constant to 1e-10.
const FLAT: f64 = 24.0;

/// `E[f(x)]` of a function that is constant beyond [`FLAT`], by the trapezoid rule: fine where the function bends, and
/// what lies beyond goes to the ends.
fn expected(mean: f64, deviation: f64, f: impl Fn(f64) -> f64) -> f64 {
    let reach = 6.0 * deviation;
    let (from, to) = ((mean - reach).max(-FLAT), (mean + reach).min(FLAT));
    if deviation.is_nan() || from >= to {
        return f(mean.clamp(-FLAT, FLAT));
    }
    let step = (to - from) / f64::from(POINTS);
    let mut before = from;
    let mut reached = 0.0;
    let mut sum = 0.0;
    // Each point has the probability of its own stretch, so that a narrow distribution loses nothing.
    for i in 0..=POINTS {
        before = if i == 0 { before } else { before + step };
        let until = if i == POINTS {
            1.0
        } else {
            below((before + 0.5 * step - mean) / deviation)
        };
        sum += (until - reached) * f(before);
        reached = until;
    }
    sum
}

/// Mean and variance of the largest of `n` independent standard normal numbers; `n` need not be whole.
///
/// The mean is the quantile at Blom's plotting position (Blom 1958), the variance a fit, within 2 % of the exact values
/// (0.682 for 2, 0.492 for 4, 0.357 for 9, 0.295 for 16, 0.258 for 25).
pub fn largest(n: f64) -> (f64, f64) {
    if n <= 1.0 {
        return (0.0, 1.0);
    }
    let log = n.ln();
    (
        quantile((n - 0.375) / (n + 0.25)),
        1.0 / (1.0 + log * (0.61 + 0.087 * log)),
    )
}

/// The number that a standard normal one falls below with this probability, by bisection.
pub fn quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if below(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// A function's value.
pub fn value(function: Function, x: f64) -> f64 {
    match function {
        Function::None => x,
        Function::Relu => x.max(0.0),
        Function::Leaky => x.max(LEAK * x),
        Function::Sigmoid | Function::Tanh => smooth(function, x).0,
    }
}
