//! Which images make up which mini-batch.
//!
//! Owns: [`Order`], a pure function of the labels, the seed and the step, so that a resumed training draws on as if it had
//! never stopped. Knows nothing of images, files or devices.
//!
//! Position `t = step * batch + i` is the `i`-th image of a step, steps counting from 0 over the whole training.
//!
//! **Balanced**: the draws go round the classes, so that any batch holds each class equally often, to within one. Draw `t`
//! is of class `round[t % classes]`, where `round` is a permutation of the classes, drawn anew whenever a round and a batch
//! end together (at the multiples of `lcm(batch, classes)`; earlier would let a batch see a class twice more than another).
//! The `k`-th draw of a class, `k = t / classes`, is `cycle[k % n]` of its `n` images, `cycle` being permutation number
//! `k / n` of the class: every class goes through all of its images before one comes again.
//!
//! **Plain**: epoch `e` is permutation number `e` of all images, cut to whole batches.

use rand::seq::SliceRandom;

use crate::diagnostic::{Code, Diagnostic};
use crate::random::{Purpose, Stream};

/// The order of images of a training. Any step can be asked for; steps in a row are the cheapest.
#[derive(Clone, Debug)]
pub struct Order {
    seed: u64,
    batch: usize,
    images: usize,
    /// The groups drawn from in turn: the classes, or all images as one.
    groups: Vec<Group>,
    /// The order of the groups in the round last asked for.
    round: Permutation,
}

/// Images drawn in a cycle of their own.
#[derive(Clone, Debug)]
struct Group {
    images: Vec<u32>,
    /// The cycle last asked for, as positions in `images`.
    cycle: Permutation,
}

/// A numbered permutation, kept until another number is asked for.
#[derive(Clone, Debug)]
struct Permutation {
    purpose: Purpose,
    object: u32,
    number: Option<u64>,
    order: Vec<u32>,
}

impl Permutation {
    fn new(purpose: Purpose, object: usize) -> Self {
        Self {
            purpose,
            object: object as u32,
            number: None,
            order: Vec::new(),
        }
    }

    /// Permutation `number` of `0 .. len`. Numbers beyond 2^32 begin again, after more epochs than anybody trains.
    fn get(&mut self, seed: u64, number: u64, len: usize) -> &[u32] {
        if self.number != Some(number) {
            self.number = Some(number);
            self.order = (0..len as u32).collect();
            self.order.shuffle(&mut Stream::new(
                seed,
                self.purpose,
                self.object,
                number as u32,
            ));
        }
        &self.order
    }
}

impl Order {
    /// Whether a set of so many images has a step of `parts` mini-batches.
    ///
    /// # Errors
    /// E0405 where such a step is larger than the set, so that an epoch would have none.
    pub fn check(batch: usize, parts: usize, images: usize) -> Result<(), Diagnostic> {
        if batch.saturating_mul(parts) <= images {
            return Ok(());
        }
        let (message, help) = if parts == 1 {
            (
                format!(
                    "`train.batch = {batch}` is larger than the training set of {images} images"
                ),
                format!("write `batch = {images}` or less"),
            )
        } else {
            // What leaves a step with an image at least; one of the two alone may not do.
            let help = match (images / parts, images / batch.max(1)) {
                (0, 0) => format!("write `batch = {images}` or less, and `accumulate = 1`"),
                (0, most) => format!("write `accumulate = {most}` or less"),
                (most, _) => format!("write `batch = {most}` or less, or a smaller `accumulate`"),
            };
            (
                format!(
                    "a step of `train.accumulate = {parts}` mini-batches of {batch} is larger than the training set of {images} images"
                ),
                help,
            )
        };
        Err(Diagnostic::error(Code::E0405, message).help(help))
    }

    /// The order for images with these labels, in steps of `parts` mini-batches of `batch` images, which are those of the
    /// same step with larger mini-batches: evenly over the classes that have images where `balance` says so.
    ///
    /// # Errors
    /// E0405 where a batch is larger than the set, so that an epoch would have no step.
    pub fn new(
        labels: &[u32],
        (batch, parts): (usize, usize),
        balance: bool,
        seed: u64,
    ) -> Result<Self, Diagnostic> {
        assert!(batch * parts > 0, "internal error: an empty batch");
        Self::check(batch, parts, labels.len())?;
        let batch = batch * parts;
        let mut members = vec![
            Vec::new();
            labels
                .iter()
                .max()
                .map_or(0, |&highest| highest as usize + 1)
        ];
        for (index, &label) in labels.iter().enumerate() {
            members[if balance { label as usize } else { 0 }].push(index as u32);
        }
        let groups = members
            .into_iter()
            .enumerate()
            .filter(|(_, images)| !images.is_empty())
            .map(|(class, images)| Group {
                images,
                cycle: Permutation::new(Purpose::Shuffle, class),
            })
            .collect();
        Ok(Self {
            seed,
            batch,
            images: labels.len(),
            groups,
            round: Permutation::new(Purpose::Classes, 0),
        })
    }

    /// Steps of an epoch: `floor(images / batch)`.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.images / self.batch) as u64
    }

    /// The images of a step, `batch` indices into the set. Steps count from 0 over all epochs.
    pub fn batch(&mut self, step: u64) -> Vec<u32> {
        if self.groups.len() == 1 {
            self.plain(step)
        } else {
            self.balanced(step)
        }
    }

    fn plain(&mut self, step: u64) -> Vec<u32> {
        let (epoch, within) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let start = within as usize * self.batch;
        let group = &mut self.groups[0];
        let order = group.cycle.get(self.seed, epoch, group.images.len());
        order[start..start + self.batch]
            .iter()
            .map(|&at| group.images[at as usize])
            .collect()
    }

    fn balanced(&mut self, step: u64) -> Vec<u32> {
        let (batch, classes) = (self.batch as u64, self.groups.len() as u64);
        // Batch and round end together every so many draws.
        let together = batch / common_divisor(batch, classes) * classes;
        let first = step * batch;
        let round = self
            .round
            .get(self.seed, first / together, self.groups.len());
        let mut images = Vec::with_capacity(self.batch);
        for t in first..first + batch {
            let group = &mut self.groups[round[(t % classes) as usize] as usize];
            let (draw, len) = (t / classes, group.images.len());
            let cycle = group.cycle.get(self.seed, draw / len as u64, len);
            images.push(group.images[cycle[(draw % len as u64) as usize] as usize]);
        }
        images
    }
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels of `sizes.len()` classes, mixed.
    fn labels(sizes: &[usize]) -> Vec<u32> {
        let mut left = sizes.to_vec();
        let mut labels = Vec::new();
        while left.iter().any(|&n| n > 0) {
            for (class, n) in left.iter_mut().enumerate().filter(|(_, n)| **n > 0) {
                *n -= 1;
                labels.push(class as u32);
            }
        }
        labels
    }

    #[test]
    fn balanced_batches_hold_each_class_equally_often_to_within_one() {
        for (sizes, batch) in [
            (vec![200; 10], 128),
            (vec![30, 50, 7], 8),
            (vec![20; 10], 4),
            (vec![3; 7], 21),
            (vec![9], 4),
        ] {
            let labels = labels(&sizes);
            let mut order = Order::new(&labels, (batch, 1), true, 1).unwrap();
            let mut totals = vec![0; sizes.len()];
            for step in 0..50 {
                let mut counts = vec![0; sizes.len()];
                for index in order.batch(step) {
                    counts[labels[index as usize] as usize] += 1;
                    totals[labels[index as usize] as usize] += 1;
                }
                assert!(
                    counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1,
                    "{sizes:?}: {counts:?}"
                );
            }
            assert!(
                totals.iter().max().unwrap() - totals.iter().min().unwrap() <= 1,
                "over the training too: {totals:?}"
            );
        }
    }

    #[test]
    fn every_class_goes_through_all_its_images_before_one_comes_again() {
        let labels = labels(&[5, 3]);
        let mut order = Order::new(&labels, (4, 1), true, 7).unwrap();
        let drawn: Vec<u32> = (0..30).flat_map(|step| order.batch(step)).collect();
        for (class, size) in [(0, 5), (1, 3)] {
            let of_class: Vec<u32> = drawn
                .iter()
                .copied()
                .filter(|&index| labels[index as usize] == class)
                .collect();
            assert_eq!(of_class.len(), 60);
            let mut cycles: Vec<Vec<u32>> = of_class.chunks(size).map(<[u32]>::to_vec).collect();
            assert!(
                cycles.windows(2).any(|pair| pair[0] != pair[1]),
                "each cycle in an order of its own"
            );
            for cycle in &mut cycles {
                cycle.sort_unstable();
                cycle.dedup();
                assert_eq!(cycle.len(), size);
            }
        }
    }

    #[test]
    fn plain_epochs_are_permutations_cut_to_whole_batches() {
        let labels = labels(&[50, 20, 33]);
        let mut order = Order::new(&labels, (20, 1), false, 1).unwrap();
        assert_eq!(order.steps_per_epoch(), 5);
        let mut epochs: Vec<Vec<u32>> = (0..3)
            .map(|epoch| {
                (0..5)
                    .flat_map(|step| order.batch(epoch * 5 + step))
                    .collect()
            })
            .collect();
        assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
        for epoch in &mut epochs {
            epoch.sort_unstable();
            epoch.dedup();
            assert_eq!(epoch.len(), 100);
        }
    }

    #[test]
    fn any_step_can_be_asked_for_alone() {
        let labels = labels(&[30, 50, 7]);
        for balance in [true, false] {
            let mut order = Order::new(&labels, (8, 1), balance, 3).unwrap();
            let steps: Vec<Vec<u32>> = (0..40).map(|step| order.batch(step)).collect();
            let mut fresh = Order::new(&labels, (8, 1), balance, 3).unwrap();
            for step in [39, 0, 17, 18, 5] {
                assert_eq!(fresh.batch(step), steps[step as usize]);
            }
            assert_ne!(
                Order::new(&labels, (8, 1), balance, 4).unwrap().batch(0),
                steps[0],
                "the seed matters"
            );
        }
    }

    #[test]
    fn what_a_seed_means_does_not_change() {
        // A new version of rand that shuffles otherwise must not slip in unseen: old runs could no longer be resumed.
        let labels = labels(&[4, 4]);
        assert_eq!(
            Order::new(&labels, (8, 1), false, 1).unwrap().batch(0),
            [7, 2, 1, 6, 3, 4, 5, 0]
        );
        assert_eq!(
            Order::new(&labels, (8, 1), true, 1).unwrap().batch(0),
            [0, 1, 4, 3, 2, 5, 6, 7]
        );
    }

    #[test]
    fn a_batch_larger_than_the_set_is_refused() {
        for balance in [true, false] {
            let problem = Order::new(&labels(&[2, 3]), (6, 1), balance, 1).unwrap_err();
            assert_eq!(
                (problem.code, problem.help.as_deref()),
                (Code::E0405, Some("write `batch = 5` or less"))
            );
        }
    }

    #[test]
    fn what_is_advised_instead_of_a_large_step_can_be_done() {
        const LARGE: usize = i32::MAX as usize;
        for (batch, parts, help) in [
            (
                LARGE,
                LARGE,
                "write `batch = 10` or less, and `accumulate = 1`",
            ),
            (3, LARGE, "write `accumulate = 3` or less"),
            (10, 11, "write `accumulate = 1` or less"),
            (
                LARGE,
                4,
                "write `batch = 2` or less, or a smaller `accumulate`",
            ),
        ] {
            let problem = Order::check(batch, parts, 10).unwrap_err();
            assert_eq!(problem.help.as_deref(), Some(help), "{batch} x {parts}");
        }
    }
}
