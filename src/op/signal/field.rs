//! A function of the distance between two pixels, sampled: how neighbouring pixels go together.
//!
//! Distances are Euclidean, and the field is taken to look alike in all directions. The last entry is for pixels of two
//! different images.

use std::cell::RefCell;

/// Number of samples.
pub const COUNT: usize = 14;

/// The entry for pixels of two different images.
pub const OTHER: usize = COUNT - 1;

/// The distances of the other samples, in pixels.
pub const DISTANCES: [f64; OTHER] = [
    0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0,
];

/// Values at [`DISTANCES`], then between two images.
pub type Field = [f64; COUNT];

/// The field of a function of the distance; between two images the function's value at the largest.
pub fn by_distance(value: impl Fn(f64) -> f64) -> Field {
    std::array::from_fn(|i| value(DISTANCES[i.min(OTHER - 1)]))
}

/// The samples beside a distance and what each counts: between samples the value lies on a straight line, beyond the
/// last one it is constant.
fn between(distance: f64) -> [(usize, f64); 2] {
    let above = DISTANCES.partition_point(|&known| known < distance);
    if above == 0 || above == OTHER {
        return [(above.min(OTHER - 1), 1.0), (0, 0.0)];
    }
    let (low, high) = (DISTANCES[above - 1], DISTANCES[above]);
    let share = (distance - low) / (high - low);
    [(above - 1, 1.0 - share), (above, share)]
}

/// The value at a distance.
pub fn at(field: &Field, distance: f64) -> f64 {
    between(distance)
        .map(|(sample, share)| field[sample] * share)
        .iter()
        .sum()
}

/// The field of every `stride`-th pixel.
pub fn strided(field: &Field, stride: f64) -> Field {
    if stride == 1.0 {
        return *field;
    }
    let mut strided = by_distance(|distance| at(field, distance * stride));
    strided[OTHER] = field[OTHER];
    strided
}

/// Pixels of a large window that one sample stands for: windows are looked at through at most about 8 x 8 of them.
const SAMPLES: usize = 8;

/// How much each sample of a field counts in a mean.
type Shares = [f64; COUNT];

/// What each sample counts in the mean over all pairs of one pixel of a window and one of the window `shift` columns
/// beside it.
fn shares((height, width): (usize, usize), shift: f64) -> Shares {
    let weights = |size: usize| {
        let step = size.div_ceil(SAMPLES).max(1);
        (0..size).step_by(step).map(move |apart| {
            let weight = (size - apart) as f64;
            (apart as f64, weight)
        })
    };
    let (mut shares, mut all) = ([0.0; COUNT], 0.0);
    for (down, rows) in weights(height) {
        let rows = if down > 0.0 { 2.0 * rows } else { rows };
        for (across, columns) in weights(width) {
            for side in [across, -across] {
                for (sample, share) in between(down.hypot(shift + side)) {
                    shares[sample] += rows * columns * share;
                }
                all += rows * columns;
                if across == 0.0 {
                    break;
                }
            }
        }
    }
    shares.map(|share| share / all)
}

/// The windows of one network are few, and their shares take long: those of this thread's last ones.
const KEPT: usize = 16;

/// A window, the stride's bits, and the shares at all distances.
type Kept = ((usize, usize), u64, [Shares; OTHER]);

thread_local! {
    static WINDOWS: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// The mean over all pairs of one pixel of a window and one of the window that is a distance away: of all distances,
/// `stride` pixels being one step.
pub fn pooled(field: &Field, window: (usize, usize), stride: f64) -> Field {
    WINDOWS.with_borrow_mut(|kept| {
        let is_it = |(other, bits, _): &Kept| (*other, *bits) == (window, stride.to_bits());
        let place = kept.iter().position(is_it).unwrap_or_else(|| {
            kept.truncate(KEPT - 1);
            let at = |distance| shares(window, distance * stride);
            kept.push((window, stride.to_bits(), DISTANCES.map(at)));
            kept.len() - 1
        });
        let mut pooled = *field;
        for (value, shares) in pooled.iter_mut().zip(&kept[place].2) {
            *value = field
                .iter()
                .zip(shares)
                .map(|(value, share)| value * share)
                .sum();
        }
        pooled
    })
}

/// The mean over all pairs of pixels of a window.
pub fn pairs(field: &Field, window: (usize, usize)) -> f64 {
    pooled(field, window, 1.0)[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_samples_lie_on_lines() {
        let field = by_distance(|distance| 10.0 - distance);
        assert!((at(&field, 5.0) - 5.0).abs() < 1e-12);
        assert!((at(&field, 0.0) - 10.0).abs() < 1e-12);
        assert!((at(&field, 1e9) - (10.0 - 64.0)).abs() < 1e-12);
        assert!((strided(&field, 2.0)[3] - 4.0).abs() < 1e-12);
    }

    #[test]
    fn pairs_of_a_window_are_averaged() {
        let field = by_distance(|distance| f64::from(distance == 0.0));
        // Of 4 x 4 pairs 4 are a pixel with itself.
        assert!((pairs(&field, (2, 2)) - 0.25).abs() < 1e-12);
        assert!((pairs(&field, (1, 1)) - 1.0).abs() < 1e-12);
        // A window's half is shared with the one a column further: 2 pairs of 16. Nothing with the one 3 columns further.
        let pooled = pooled(&field, (2, 2), 1.0);
        assert!((pooled[1] - 0.125).abs() < 1e-12);
        assert!(pooled[3].abs() < 1e-12);
        let all_alike = by_distance(|_| 3.0);
        assert!((pairs(&all_alike, (40, 56)) - 3.0).abs() < 1e-12);
    }
}
