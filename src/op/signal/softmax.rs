//! The gradient that the way back starts from: softmax cross-entropy at the initial values.

use super::moments::density;

/// Beyond this deviation of the logits one class has it all, and the gradient hardly changes any more.
const SATURATED: f64 = 20.0;

/// The mean square of the loss's gradient with respect to a logit: `E[sum (p - y)^2] / (classes batch^2)`.
///
/// Labels are independent of the logits at the start, so `E[sum (p - y)^2] = E[sum p^2] - 2 / classes + 1`: `1 - 1 /
/// classes` where the logits are flat, twice that where they are so large that one class has it all and is right as
/// often as a blind guess. In between `sum p^2` is integrated, from `1 / S^2 = integral of t exp(-t S)`, `S` being the sum of `exp`.
pub fn d_logits_square(deviation: f64, classes: usize, batch: usize) -> f64 {
    let (classes, batch) = (classes as f64, batch as f64);
    let error = (concentration(deviation, classes) - 2.0 / classes + 1.0).max(0.0);
    error / (classes * batch * batch)
}

/// `E[sum p^2]` of the softmax of `classes` independent logits.
fn concentration(deviation: f64, classes: f64) -> f64 {
    if classes <= 1.0 {
        return 1.0;
    }
    let deviation = if deviation.is_nan() {
        SATURATED
    } else {
        deviation.min(SATURATED)
    };
    if deviation < 0.05 {
        // The first terms of the series.
        return (1.0 + deviation * deviation * (1.0 - 1.0 / classes)) / classes;
    }
    let step = (0.5 / deviation).min(0.2);
    let points = (6.0 / step) as i32;
    let logits: Vec<(f64, f64)> = (-points..=points)
        .map(|i| {
            let x = f64::from(i) * step;
            (deviation * x, density(x) * step)
        })
        .collect();
    // t = e^u; the integrand is 0 where all classes together are far below 1 / t, or one far above.
    let (reach, fine) = (6.0 * deviation, 0.5);
    let steps = ((2.0 * reach + classes.ln() + 12.0) / fine) as i32;
    let mut sum = 0.0;
    for i in 0..steps {
        let u = f64::from(i) * fine - reach - classes.ln() - 8.0;
        let (mut one, mut other) = (0.0, 0.0);
        for &(z, weight) in &logits {
            let power = u + z;
            if power < 4.0 {
                let power = power.exp();
                let rest = weight * (-power).exp();
                other += rest;
                one += rest * power * power;
            }
        }
        sum += one * other.powf(classes - 1.0) * fine;
    }
    (classes * sum).clamp(1.0 / classes, 1.0)
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::random::{Purpose, Stream};

    #[test]
    fn concentrations_are_those_of_drawn_logits() {
        let mut stream = Stream::new(1, Purpose::Init, 0, 0);
        for classes in [2usize, 10, 256] {
            for deviation in [0.01, 0.3, 1.0, 2.5, 6.0, 1e4] {
                let draws = 4000;
                let mut sum = 0.0;
                for _ in 0..draws {
                    let logits: Vec<f64> = (0..classes)
                        .map(|_| -> f64 { StandardNormal.sample(&mut stream) })
                        .map(|x: f64| x * deviation)
                        .collect();
                    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
                    let all: f64 = logits.iter().map(|z| (z - largest).exp()).sum();
                    sum += logits
                        .iter()
                        .map(|z| ((z - largest).exp() / all).powi(2))
                        .sum::<f64>();
                }
                let (drawn, computed) = (
                    sum / f64::from(draws),
                    concentration(deviation, classes as f64),
                );
                assert!(
                    (computed / drawn - 1.0).abs() < 0.15,
                    "{classes} classes, deviation {deviation}: {computed} for {drawn}"
                );
            }
        }
    }
}
