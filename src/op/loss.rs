//! Softmax and its cross-entropy: what follows the classifier. Formulas stand in `kernels/loss.cl`.

use super::emit::{
    BufferId, Call, HostBuffers, Kernel, Ledger, RealRoutine, Scalars, Tensor, elements,
    elements_mut, take,
};
use super::real::Real;
use super::view::{D_SRC, DST, SRC, View};

/// What the loss of a batch is taken for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Average {
    /// Images that the gradient is averaged over: those of all batches that make one step.
    pub images: usize,
    /// The share of each label that is spread over all classes.
    pub smoothing: f64,
}

/// Asks for the loss of a batch and the gradient of its logits, averaged.
///
/// `labels`: an `int` an image; `loss`: a real an image; `correct`: an `int` an image, 1 where the largest logit is the
/// label's.
pub fn cross_entropy(
    logits: Tensor,
    labels: BufferId,
    loss: BufferId,
    correct: BufferId,
    d_logits: Tensor,
    average: Average,
    ledger: &mut Ledger,
) {
    let kernel = move || {
        let kernel = Kernel::new("loss", "loss_cross_entropy", logits.view.batch)
            .define("CROSS_ENTROPY", 1)
            .define("N", average.images)
            .define("C", logits.view.shape.elements());
        let kernel = match average.smoothing {
            0.0 => kernel,
            share => kernel.define("SMOOTHING", share),
        };
        d_logits.view.define(logits.view.define(kernel, SRC), D_SRC)
    };
    let host = CrossEntropy {
        logits: logits.view,
        d_logits: d_logits.view,
        average,
    };
    let call = Call::new(kernel, host)
        .read(logits.buffer)
        .read(labels)
        .write(loss)
        .write(correct)
        .write(d_logits.buffer);
    ledger.step("loss", None, call);
}

/// Asks for the probabilities of each class.
pub fn softmax(logits: Tensor, probabilities: Tensor, ledger: &mut Ledger) {
    let kernel = move || {
        let kernel = Kernel::new("loss", "loss_softmax", logits.view.batch)
            .define("SOFTMAX", 1)
            .define("C", logits.view.shape.elements());
        let views = logits.view.define(kernel, SRC);
        probabilities.view.define(views, DST)
    };
    let host = Softmax {
        logits: logits.view,
        probabilities: probabilities.view,
    };
    ledger.step(
        "softmax",
        None,
        Call::new(kernel, host)
            .read(logits.buffer)
            .write(probabilities.buffer),
    );
}

#[derive(Debug)]
struct CrossEntropy {
    logits: View,
    d_logits: View,
    average: Average,
}

#[derive(Debug)]
struct Softmax {
    logits: View,
    probabilities: View,
}

/// The first largest logit's index, the largest, and the sum of `exp(z - largest)`.
fn largest_and_sum<T: Real>(z: &[T]) -> (usize, T, T) {
    let (mut winner, mut largest) = (0, z[0]);
    for (c, &value) in z.iter().enumerate().skip(1) {
        if value > largest {
            (winner, largest) = (c, value);
        }
    }
    let mut sum = T::zero();
    z.iter().for_each(|&value| sum += (value - largest).exp());
    (winner, largest, sum)
}

impl RealRoutine for CrossEntropy {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [logits, labels, loss, correct, d_logits] = take(buffers);
        let (logits, labels): (&[T], &[i32]) = (elements(logits), elements(labels));
        let (loss, correct, d_logits): (&mut [T], &mut [i32], &mut [T]) = (
            elements_mut(loss),
            elements_mut(correct),
            elements_mut(d_logits),
        );
        let classes = self.logits.shape.elements();
        let images = T::of(self.average.images as f64);
        let (share, one) = (T::of(self.average.smoothing), T::one());
        let spread = share / T::of(classes as f64);
        for n in 0..self.logits.batch {
            let at = self.logits.at(n, 0, 0, 0);
            let z = &logits[at..at + classes];
            let label = labels[n] as usize;
            let (winner, largest, sum) = largest_and_sum(z);
            loss[n] = sum.ln() - (z[label] - largest);
            if share > T::zero() {
                let mut all = T::zero();
                z.iter().for_each(|&z| all += z - largest);
                loss[n] = sum.ln() - (one - share) * (z[label] - largest) - spread * all;
            }
            correct[n] = i32::from(winner == label);
            let to = self.d_logits.at(n, 0, 0, 0);
            for (c, out) in d_logits[to..to + classes].iter_mut().enumerate() {
                let own = if c == label { one - share } else { T::zero() };
                *out = ((z[c] - largest).exp() / sum - (own + spread)) / images;
            }
        }
    }
}

impl RealRoutine for Softmax {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [logits, probabilities] = take(buffers);
        let (logits, probabilities): (&[T], &mut [T]) =
            (elements(logits), elements_mut(probabilities));
        let classes = self.logits.shape.elements();
        for n in 0..self.logits.batch {
            let (at, to) = (
                self.logits.at(n, 0, 0, 0),
                self.probabilities.at(n, 0, 0, 0),
            );
            let z = &logits[at..at + classes];
            let (_, largest, sum) = largest_and_sum(z);
            for (out, &z) in probabilities[to..to + classes].iter_mut().zip(z) {
                *out = (z - largest).exp() / sum;
            }
        }
    }
}
