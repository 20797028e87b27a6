//! Local response normalization of random channels.

use super::moments::quantile;
use super::{Signal, moments};

/// By what a mean square is multiplied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// On the way forward.
    pub forward: f64,
    /// On the way back.
    pub backward: f64,
}

/// Draws of the channels of one window, taken evenly over their distribution.
const DRAWS: usize = 128;

/// What `a / t^beta`, `t = k + alpha * (a^2 + the neighbours' squares)`, is expected to do to mean squares.
///
/// Where the squares hardly change `t`, both factors are `t^(-2 beta)`. Elsewhere the formula and its derivatives
/// `t^-beta (1 - 2 alpha beta a^2 / t)` and `-2 alpha beta a b t^(-beta - 1)` are averaged over channels drawn from the
/// latent field.
pub fn factors(signal: &Signal, neighbours: usize, alpha: f64, beta: f64, k: f64) -> Factors {
    let expected = alpha * (neighbours + 1) as f64 * signal.square();
    if expected < 0.05 * k || expected.is_nan() {
        let factor = (k + expected).powf(-2.0 * beta);
        return Factors {
            forward: factor,
            backward: factor,
        };
    }
    let latent = signal.latent();
    let deviation = latent.covariance[0].sqrt();
    let value = |draw: usize, channel: usize| {
        let x = latent.mean + deviation * quantile(even(draw, channel));
        moments::value(latent.function, x)
    };
    let (mut squares, mut forward, mut backward) = (0.0, 0.0, 0.0);
    for draw in 0..DRAWS {
        let a = value(draw, 0);
        let others: f64 = (1..=neighbours)
            .map(|channel| value(draw, channel).powi(2))
            .sum();
        let t = k + alpha * (a * a + others);
        let power = t.powf(-2.0 * beta);
        let slope = 2.0 * alpha * beta * a / t;
        squares += a * a;
        forward += a * a * power;
        backward += power * ((1.0 - slope * a).powi(2) + slope * slope * others);
    }
    Factors {
        forward: if squares > 0.0 {
            forward / squares
        } else {
            1.0
        },
        backward: backward / DRAWS as f64,
    }
}

/// A point of an even sequence between 0 and 1 in many dimensions: multiples of powers of the generalized golden ratio
/// would do as well; square roots of primes are as independent.
fn even(draw: usize, channel: usize) -> f64 {
    const PRIMES: [f64; 8] = [2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0];
    let prime = PRIMES[channel % PRIMES.len()] + 20.0 * (channel / PRIMES.len()) as f64;
    ((draw as f64 + 0.5) * prime.sqrt())
        .fract()
        .clamp(1e-6, 1.0 - 1e-6)
}
