//! The statistics of a network's input, from the images of a data set.

use rayon::prelude::*;

use crate::config::Scale;
use crate::data::{Dataset, Mean};
use crate::diagnostic::Diagnostic;
use crate::op::signal::Signal;
use crate::op::signal::field::{COUNT, DISTANCES, Field, OTHER};

/// Images looked at: evenly spread over the set, which is enough for two digits.
const IMAGES: usize = 256;

/// Values read of all images together, so that large ones cost no more than small ones.
const VALUES: usize = 1 << 23;

/// What one image adds.
#[derive(Clone, Default)]
struct Sums {
    mean: f64,
    products: [f64; OTHER],
    pairs: [f64; OTHER],
}

/// Mean, mean square and correlation of the numbers that the network is given, after mean and scale.
///
/// # Errors
/// Those of [`Dataset::load`].
pub fn statistics(set: &Dataset, mean: &Mean, scale: Scale) -> Result<Signal, Diagnostic> {
    let size = set.shape().elements();
    let images = set.len().min(IMAGES).min((VALUES / size).max(8));
    let [_, height, width] = set.shape().dimensions();
    let load = |i: usize| {
        let mut pixels = vec![0; size];
        set.load(i * set.len() / images, &mut pixels)?;
        let mut values = vec![0f32; size];
        mean.apply(scale, &pixels, &mut values);
        Ok(values)
    };
    let images: Vec<Vec<f32>> = (0..images)
        .into_par_iter()
        .map(load)
        .collect::<Result<_, Diagnostic>>()?;
    let sums = images
        .par_iter()
        .map(|values| of_image(values, height, width))
        .reduce(Sums::default, |mut a, b| {
            a.mean += b.mean;
            for i in 0..OTHER {
                a.products[i] += b.products[i];
                a.pairs[i] += b.pairs[i];
            }
            a
        });
    let mut moments: Field = [0.0; COUNT];
    for i in 0..OTHER {
        moments[i] = if sums.pairs[i] > 0.0 {
            sums.products[i] / sums.pairs[i]
        } else {
            moments[i - 1]
        };
    }
    moments[OTHER] = between(&images);
    Ok(Signal {
        mean: sums.mean / (images.len() * size) as f64,
        moments,
        latent: None,
    })
}

fn of_image(values: &[f32], height: usize, width: usize) -> Sums {
    let mut sums = Sums {
        mean: values.iter().map(|&value| f64::from(value)).sum(),
        ..Sums::default()
    };
    for map in values.chunks(height * width) {
        for (i, &distance) in DISTANCES.iter().enumerate() {
            let apart = distance as usize;
            for (y, row) in map.chunks(width).enumerate() {
                if let Some(right) = row.get(apart..) {
                    sums.products[i] += product(row, right);
                    sums.pairs[i] += right.len() as f64;
                }
                if apart > 0 && y + apart < height {
                    let below = &map[(y + apart) * width..][..width];
                    sums.products[i] += product(row, below);
                    sums.pairs[i] += width as f64;
                }
            }
        }
    }
    sums
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum()
}

/// The mean product of the same pixel of two images, over all pairs of them: from the square of the sum.
fn between(images: &[Vec<f32>]) -> f64 {
    let count = images.len() as f64;
    if images.len() < 2 {
        return 0.0;
    }
    let size = images[0].len();
    let all: f64 = (0..size)
        .map(|at| {
            let (mut sum, mut squares) = (0.0, 0.0);
            for image in images {
                let value = f64::from(image[at]);
                sum += value;
                squares += value * value;
            }
            sum * sum - squares
        })
        .sum();
    (all / (count * (count - 1.0) * size as f64)).max(0.0)
}
