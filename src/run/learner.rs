//! One training step after the other: its mini-batches from the loader, the way forward and back, the update.
//!
//! Owns: [`Learner`], which images and which random words belong to a step. Knows nothing of epochs, tests or files.

use std::ops::Range;
use std::time::Duration;

use super::session::{Session, Trouble, optimizer};
use crate::config::Config;
use crate::data::{Augmentation, Dataset, Loader, Mean, Order, Preparation};
use crate::diagnostic::Diagnostic;
use crate::op::emit::Scalars;
use crate::op::optimizer::Optimizer;
use crate::op::real::Real;

/// What makes steps of a set of images.
pub struct Learner<'a, T: Real> {
    loader: Loader<'a, T>,
    optimizer: Optimizer,
    seed: u64,
    parts: u64,
}

/// What a step gave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Learned {
    /// The loss, averaged over the images, before the update.
    pub loss: f64,
    /// The share of images that was right.
    pub accuracy: f64,
    /// Images.
    pub images: usize,
}

/// What kept a step from being done.
#[derive(Debug)]
pub enum Fault {
    /// Its images cannot be read. Parameters and running statistics are what they were.
    Images(Diagnostic),
    /// The device failed.
    Device(Diagnostic),
    /// Its loss is not finite. No parameter has changed.
    NotFinite {
        /// The loss.
        loss: f64,
        /// Where the first such number arose.
        trouble: Trouble,
    },
}

impl<T: Real> Learner<'_, T> {
    /// For the steps of a range, in mini-batches of `batch` images; their images are prepared from now on.
    pub fn new(
        config: &Config,
        (set, mean): (&Dataset, &Mean),
        mut order: Order,
        batch: usize,
        steps: Range<u64>,
    ) -> Self {
        let parts = config.train.accumulate;
        let augmentation = Augmentation::of(&config.data, config.train.seed);
        let preparation = Preparation {
            set,
            mean,
            scale: config.data.scale,
            augmentation: Some(&augmentation),
            parts,
            workers: config.data.workers,
        };
        let coming = steps.start * parts..steps.end * parts;
        let loader = Loader::new(&preparation, batch, coming, move |number| {
            let first = (number % parts) as usize * batch;
            order.batch(number / parts)[first..first + batch].to_vec()
        });
        Self {
            loader,
            optimizer: optimizer(config),
            seed: config.train.seed,
            parts,
        }
    }

    /// The next step, whose number is `step`.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn step(&mut self, session: &mut Session, step: u64, rate: f64) -> Result<Learned, Fault> {
        let parts = self.parts;
        let mut learned = Learned::default();
        // A step of several mini-batches moves running statistics before all of its images are there.
        let before = if parts > 1 {
            session.statistics().map_err(Fault::Device)?
        } else {
            Vec::new()
        };
        for part in 0..parts {
            let batch = match self.loader.next_batch() {
                Ok(batch) => batch,
                Err(fault) => {
                    session.write_some(&before).map_err(Fault::Device)?;
                    return Err(Fault::Images(fault));
                }
            };
            let scalars = Scalars {
                // Dropout draws anew in every mini-batch.
                step: (step * parts + part) as u32,
                seed: self.seed,
                images: batch.labels.len() as u32,
                ..self.optimizer.scalars(rate, step)
            };
            let last = part + 1 == parts;
            let result = session
                .step(&batch.images, &batch.labels, &scalars, last)
                .map_err(Fault::Device)?;
            if !result.loss.is_finite() {
                let trouble = session.trouble(&batch.images, &scalars);
                return Err(Fault::NotFinite {
                    loss: result.loss,
                    trouble: trouble.map_err(Fault::Device)?,
                });
            }
            learned.loss += result.loss / parts as f64;
            learned.accuracy += result.accuracy / parts as f64;
            learned.images += batch.labels.len();
        }
        Ok(learned)
    }

    /// How long the steps have waited for images.
    pub fn waited(&self) -> Duration {
        self.loader.waited()
    }
}
