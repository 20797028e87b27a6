//! Accuracy, loss and confusion of a network on a data set.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::Data;
use crate::data::{Dataset, Loader, Mean, Preparation};
use crate::diagnostic::Diagnostic;
use crate::op::emit::Scalars;
use crate::op::real::{Precision, Real};

use super::session::{Session, Trouble, cross_entropy};

/// Results over a whole set.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Images.
    pub images: usize,
    /// The share whose largest logit is the label's.
    pub accuracy: f64,
    /// The share whose label is among the five largest logits (all, where there are at most five classes).
    pub top5: f64,
    /// The mean cross-entropy.
    pub loss: f64,
    /// `confusion[label][answer]`: images. As wide as the classifier.
    pub confusion: Vec<Vec<u64>>,
}

/// Runs a set through the network; `data` says how its images become numbers, and by how many threads.
///
/// # Errors
/// Those of reading images, and E0704.
pub fn evaluate(
    session: &mut Session,
    set: &Dataset,
    mean: &Mean,
    data: &Data,
) -> Result<Evaluation, Diagnostic> {
    let whole = evaluate_until(session, set, mean, data, &AtomicUsize::new(0))?;
    Ok(whole.expect("internal error: nobody has stopped it"))
}

/// Runs a set through the network; nothing comes of it where `stop` becomes the number of a signal meanwhile.
///
/// # Errors
/// Those of reading images, and E0704.
pub fn evaluate_until(
    session: &mut Session,
    set: &Dataset,
    mean: &Mean,
    data: &Data,
    stop: &AtomicUsize,
) -> Result<Option<Evaluation>, Diagnostic> {
    match session.precision {
        Precision::F32 => evaluate_real::<f32>(session, set, mean, data, stop),
        Precision::F64 => evaluate_real::<f64>(session, set, mean, data, stop),
    }
}

fn evaluate_real<T: Real>(
    session: &mut Session,
    set: &Dataset,
    mean: &Mean,
    data: &Data,
    stop: &AtomicUsize,
) -> Result<Option<Evaluation>, Diagnostic> {
    let units = session.graph.classes().unwrap_or(0);
    let (mut right, mut near, mut loss) = (0u64, 0u64, 0.0);
    let mut confusion = vec![vec![0; units]; units];
    let (mut loader, steps) = batches::<T>(session.batch, set, mean, data);
    for _ in 0..steps {
        if stop.load(Ordering::Relaxed) != 0 {
            return Ok(None);
        }
        let batch = loader.next_batch()?;
        let logits = session.logits(&batch.images)?;
        for (logits, &label) in logits.chunks_exact(units).zip(&batch.labels) {
            let label = label as usize;
            let (rank, answer) = rank(logits, label);
            right += u64::from(answer == label);
            near += u64::from(rank < 5);
            loss += cross_entropy(logits, label);
            confusion[label][answer] += 1;
        }
    }
    let images = set.len() as f64;
    Ok(Some(Evaluation {
        images: set.len(),
        accuracy: right as f64 / images,
        top5: near as f64 / images,
        loss: loss / images,
        confusion,
    }))
}

/// Where the first number that is not finite arises in a set whose loss is not, though all parameters are finite. The plan
/// of training is asked, whose layers' outputs are all kept.
///
/// # Errors
/// Those of reading images, and E0704.
pub fn trouble(
    session: &mut Session,
    set: &Dataset,
    mean: &Mean,
    data: &Data,
) -> Result<Trouble, Diagnostic> {
    match session.precision {
        Precision::F32 => trouble_real::<f32>(session, set, mean, data),
        Precision::F64 => trouble_real::<f64>(session, set, mean, data),
    }
}

fn trouble_real<T: Real>(
    session: &mut Session,
    set: &Dataset,
    mean: &Mean,
    data: &Data,
) -> Result<Trouble, Diagnostic> {
    let (mut loader, steps) = batches::<T>(session.batch, set, mean, data);
    for _ in 0..steps {
        let batch = loader.next_batch()?;
        if session.logits(&batch.images)?.iter().all(|z| z.is_finite()) {
            continue;
        }
        let mut images = batch.images.clone();
        images.resize(session.batch * set.shape().elements(), T::zero());
        let scalars = Scalars {
            images: session.batch as u32,
            ..Scalars::default()
        };
        return Ok(match session.trouble(&images, &scalars)? {
            Trouble::Loss => Trouble::Images,
            found => found,
        });
    }
    Ok(Trouble::Images)
}

/// The batches of a set, in its order, and how many there are.
fn batches<'a, T: Real>(
    batch: usize,
    set: &Dataset,
    mean: &Mean,
    data: &Data,
) -> (Loader<'a, T>, u64) {
    let preparation = Preparation::of_test(set, mean, data);
    let (all, size) = (set.len() as u32, batch as u32);
    let steps = u64::from(all.div_ceil(size));
    let plan = move |step| {
        let first = step as u32 * size;
        (first..all.min(first + size)).collect()
    };
    (Loader::new(&preparation, batch, 0..steps, plan), steps)
}

/// How many logits beat the label's (of equal ones the first counts), and the largest one's class.
fn rank(logits: &[f64], label: usize) -> (usize, usize) {
    // What is no number is beaten by all.
    let beats = |c: usize| {
        logits[label].is_nan()
            || logits[c] > logits[label]
            || (logits[c] == logits[label] && c < label)
    };
    let mut answer = 0;
    for c in 1..logits.len() {
        if logits[c] > logits[answer] {
            answer = c;
        }
    }
    (
        (0..logits.len())
            .filter(|&c| c != label && beats(c))
            .count(),
        answer,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_what_beats_the_label_and_equal_logits_go_to_the_first() {
        assert_eq!(rank(&[0.1, 3.0, 2.0], 2), (1, 1));
        assert_eq!(rank(&[1.0, 1.0], 1), (1, 0));
        assert_eq!(rank(&[1.0, 1.0], 0), (0, 0));
        assert_eq!(rank(&[f64::NAN, 1.0, f64::NAN], 0).0, 2);
    }
}
