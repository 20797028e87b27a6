//! Local response normalization of random channels.

use std::sync::LazyLock;

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
        let x = latent.mean + deviation * NORMALS[channel][draw];
        moments::value(latent.function, x)
    };
    // A wide window is looked at through some of its channels.
    let seen = neighbours.min(CHANNELS - 1);
    let stand_for = if seen > 0 {
        neighbours as f64 / seen as f64
    } else {
        0.0
    };
    let (mut squares, mut forward, mut backward) = (0.0, 0.0, 0.0);
    for draw in 0..DRAWS {
        let a = value(draw, 0);
        let others: f64 = (1..=seen)
            .map(|channel| stand_for * value(draw, channel).powi(2))
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

/// Channels of which there are draws.
const CHANNELS: usize = 8;

/// Draws of standard normal numbers for each channel: evenly spread over the distribution, and those of two channels
/// independent. They belong to multiples of the square roots of primes, less their whole parts (Weyl 1916).
static NORMALS: LazyLock<[[f64; DRAWS]; CHANNELS]> = LazyLock::new(|| {
    [2.0f64, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0].map(|prime| {
        std::array::from_fn(|draw| {
            let point = ((draw as f64 + 0.5) * prime.sqrt()).fract();
            quantile(point.clamp(1e-6, 1.0 - 1e-6))
        })
    })
});

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::op::activation::Function;
    use crate::op::signal::{Latent, field};
    use crate::random::{Purpose, Stream};

    #[test]
    fn factors_are_those_of_draws() {
        let mut stream = Stream::new(5, Purpose::Init, 0, 0);
        let (alpha, beta, k) = (1e-4, 0.75, 2.0);
        for deviation in [1.0, 60.0, 400.0] {
            let signal = Signal::of(Latent {
                mean: 0.0,
                covariance: field::by_distance(|_| deviation * deviation),
                function: Function::Relu,
            });
            let computed = factors(&signal, 4, alpha, beta, k);
            let (mut before, mut after) = (0.0, 0.0);
            for _ in 0..20_000 {
                let window: [f64; 5] = std::array::from_fn(|_| {
                    let x: f64 = StandardNormal.sample(&mut stream);
                    (x * deviation).max(0.0)
                });
                let t = k + alpha * window.iter().map(|a| a * a).sum::<f64>();
                before += window[0] * window[0];
                after += (window[0] / t.powf(beta)).powi(2);
            }
            let drawn = after / before;
            assert!(
                (computed.forward / drawn - 1.0).abs() < 0.2,
                "{deviation}: {computed:?} for {drawn}"
            );
        }
    }

    #[test]
    fn small_values_are_only_scaled() {
        let signal = Signal::of(Latent {
            mean: 0.0,
            covariance: field::by_distance(|_| 0.01),
            function: Function::Relu,
        });
        let factor = 2f64.powf(-1.5);
        let computed = factors(&signal, 4, 1e-4, 0.75, 2.0);
        assert!(
            (computed.forward / factor - 1.0).abs() < 1e-5
                && (computed.backward / factor - 1.0).abs() < 1e-5
        );
    }
}
