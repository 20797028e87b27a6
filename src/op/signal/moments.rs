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
            let [mean, square, slope] = expected(mean, deviation, |x| {
                let (value, slope) = smooth(function, x);
                [value, value * value, slope]
            });
            Through {
                mean,
                square,
                slope,
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
        Function::Sigmoid | Function::Tanh => {
            let slope = |x| [smooth(function, x).1.powi(2)];
            expected(mean, variance.max(0.0).sqrt(), slope)[0]
        }
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

/// `E[f(x)]` of functions that are constant beyond [`FLAT`], by the trapezoid rule: fine where they bend, and what lies
/// beyond goes to the ends.
fn expected<const N: usize>(mean: f64, deviation: f64, f: impl Fn(f64) -> [f64; N]) -> [f64; N] {
    let reach = 6.0 * deviation;
    let (from, to) = ((mean - reach).max(-FLAT), (mean + reach).min(FLAT));
    if deviation.is_nan() || from >= to {
        return f(mean.clamp(-FLAT, FLAT));
    }
    let step = (to - from) / f64::from(POINTS);
    let mut reached = 0.0;
    let mut sums = [0.0; N];
    // Each point has the probability of its own stretch, so that a narrow distribution loses nothing.
    for i in 0..=POINTS {
        let x = from + f64::from(i) * step;
        let until = if i == POINTS {
            1.0
        } else {
            below((x + 0.5 * step - mean) / deviation)
        };
        for (sum, value) in sums.iter_mut().zip(f(x)) {
            *sum += (until - reached) * value;
        }
        reached = until;
    }
    sums
}

/// Mean and variance of the largest of `n` independent standard normal numbers; `n` need not be whole.
///
/// The mean is the quantile at Blom's plotting position (Blom 1958), at most 0.03 off; the variance a fit, within 2 % of
/// the exact values (0.682 for 2, 0.492 for 4, 0.357 for 9, 0.295 for 16, 0.258 for 25).
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

/// The number that a standard normal one falls below with this probability, from 1e-6 to 1 - 1e-6: Tukey's lambda
/// distribution nearly has it (Joiner and Rosenblatt 1971), Newton's method brings the rest.
pub fn quantile(probability: f64) -> f64 {
    const LAMBDA: f64 = 0.1349;
    let (low, high) = (probability.powf(LAMBDA), (1.0 - probability).powf(LAMBDA));
    let mut x = (low - high) / 0.1975;
    for _ in 0..3 {
        x -= (below(x) - probability) / density(x);
    }
    x
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

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::random::{Purpose, Stream};

    const FUNCTIONS: [Function; 5] = [
        Function::None,
        Function::Relu,
        Function::Leaky,
        Function::Sigmoid,
        Function::Tanh,
    ];

    fn normals(count: usize) -> Vec<f64> {
        let mut stream = Stream::new(3, Purpose::Init, 0, 0);
        (0..count)
            .map(|_| StandardNormal.sample(&mut stream))
            .collect()
    }

    fn average(values: impl Iterator<Item = f64>) -> f64 {
        let (count, sum) =
            values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
        sum / count
    }

    #[test]
    fn moments_are_those_of_draws() {
        let draws = normals(200_000);
        for function in FUNCTIONS {
            for (mean, deviation) in [(0.0, 1.0), (1.0, 0.1), (-0.5, 2.0), (2.0, 30.0), (0.3, 0.0)]
            {
                let through = through(function, mean, deviation * deviation);
                let slope = slope_square(function, mean, deviation * deviation, None);
                let values = || draws.iter().map(|draw| mean + deviation * draw);
                let step = 1e-4;
                let derivative =
                    |x: f64| (value(function, x + step) - value(function, x - step)) / (2.0 * step);
                let near = |computed: f64, drawn: f64, unit: f64, what: &str| {
                    assert!(
                        (computed - drawn).abs() < 0.02 * unit.max(0.1),
                        "{what} of {function:?}, mean {mean}, deviation {deviation}: {computed} for {drawn}"
                    );
                };
                let size = 1.0 + deviation;
                near(
                    through.mean,
                    average(values().map(|x| value(function, x))),
                    size,
                    "mean",
                );
                near(
                    through.square,
                    average(values().map(|x| value(function, x).powi(2))),
                    size * size,
                    "mean square",
                );
                near(
                    through.slope,
                    average(values().map(derivative)),
                    1.0,
                    "slope",
                );
                near(
                    slope,
                    average(values().map(|x| derivative(x).powi(2))),
                    1.0,
                    "squared slope",
                );
            }
        }
    }

    #[test]
    fn half_of_a_symmetrical_signal_passes_relu() {
        let through = through(Function::Relu, 0.0, 4.0);
        assert!((through.square - 2.0).abs() < 1e-12);
        assert!((through.mean - 2.0 / (2.0 * PI).sqrt()).abs() < 1e-12);
        assert!((slope_square(Function::Relu, 0.0, 4.0, None) - 0.5).abs() < 1e-12);
        assert!((slope_square(Function::Relu, 0.0, 4.0, Some(0.9)) - 0.9).abs() < 1e-12);
    }

    #[test]
    fn the_largest_of_several_is_that_of_draws() {
        let draws = normals(360_000);
        for n in [1, 2, 4, 9, 16, 36] {
            let most: Vec<f64> = draws
                .chunks_exact(n)
                .map(|draws| draws.iter().copied().fold(f64::MIN, f64::max))
                .collect();
            let mean = average(most.iter().copied());
            let variance = average(most.iter().map(|x| (x - mean).powi(2)));
            let computed = largest(n as f64);
            assert!(
                (computed.0 - mean).abs() < 0.03,
                "{n}: {computed:?} for {mean}"
            );
            assert!(
                (computed.1 / variance - 1.0).abs() < 0.05,
                "{n}: {computed:?} for {variance}"
            );
        }
    }

    #[test]
    fn quantiles_turn_probabilities_round() {
        for x in [-3.0, -0.5, 0.0, 1.96] {
            assert!((quantile(below(x)) - x).abs() < 1e-9);
        }
        assert!((below(1.959_964) - 0.975).abs() < 1e-6);
    }
}
