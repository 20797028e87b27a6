//! The training loop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::{Best, Config};
use crate::data::{self, Dataset, Mean, Order};
use crate::diagnostic::{Code, Diagnostic};
use crate::op::emit::Scalars;
use crate::op::real::{Precision, Real};

use super::evaluate::{Evaluation, evaluate};
use super::folder::RunFolder;
use super::schedule::learning_rate;
use super::session::Session;

/// One step's figures, and a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Steps done, this one included.
    pub step: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The loss, averaged over the batch, before the step's update.
    pub loss: f64,
    /// The share of the batch that was right.
    pub accuracy: f64,
    /// Images a second over this step, data included.
    pub images_per_second: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// Seconds since the training began.
    pub seconds: f64,
    /// The loss on the test set, on the last step of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// The accuracy on the test set, on the last step of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
}

/// Told as the training goes on.
pub trait Watcher {
    /// After every step.
    fn step(&mut self, metrics: &Metrics);
    /// After every epoch.
    fn epoch(&mut self, metrics: &Metrics, evaluation: &Evaluation);
}

/// What a training needs.
pub struct Training<'a> {
    /// The network on its device.
    pub session: &'a mut Session,
    /// The resolved configuration.
    pub config: &'a Config,
    /// Images learned from.
    pub train: &'a Dataset,
    /// Images tested on.
    pub test: &'a Dataset,
    /// Subtracted from every image.
    pub mean: &'a Mean,
    /// The order of the images.
    pub order: Order,
    /// Where everything is kept.
    pub folder: &'a mut RunFolder,
    /// The number of a signal that asks to stop, 0 while there is none.
    pub stop: &'a AtomicI32,
}

/// How a training ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// All epochs are done; the last evaluation.
    Finished(Evaluation),
    /// A signal asked to stop; a checkpoint is written.
    Stopped {
        /// The signal's number.
        signal: i32,
    },
}

impl Training<'_> {
    /// Total number of steps.
    pub fn steps(&self) -> u64 {
        self.order.steps_per_epoch() * self.config.train.epochs
    }

    /// Trains to the end.
    ///
    /// # Errors
    /// E0801 a loss that is not finite; E0704 the device failed; E0901 the folder cannot be written.
    pub fn run(self, watcher: &mut dyn Watcher) -> Result<End, Diagnostic> {
        match self.session.precision {
            Precision::F32 => self.run_real::<f32>(watcher),
            Precision::F64 => self.run_real::<f64>(watcher),
        }
    }

    fn run_real<T: Real>(mut self, watcher: &mut dyn Watcher) -> Result<End, Diagnostic> {
        let config = self.config;
        let per_epoch = self.order.steps_per_epoch();
        let mut images = vec![T::zero(); self.session.batch * self.train.shape().elements()];
        let start = Instant::now();
        let mut best: Option<f64> = None;
        let mut last = None;
        let mut saved = Instant::now();
        for epoch in 0..config.train.epochs {
            let rate = learning_rate(&config.optimizer, epoch);
            for at in 0..per_epoch {
                let (step, begin) = (epoch * per_epoch + at, Instant::now());
                let indices = self.order.batch(step);
                data::gather(
                    self.train,
                    &indices,
                    self.mean,
                    config.data.scale,
                    &mut images,
                )?;
                let labels: Vec<i32> = indices
                    .iter()
                    .map(|&i| self.train.labels()[i as usize] as i32)
                    .collect();
                let scalars = Scalars {
                    learning_rate: rate,
                    step: step as u32,
                    seed: config.train.seed,
                    images: labels.len() as u32,
                };
                let result = self.session.step(&images, &labels, &scalars)?;
                let mut metrics = Metrics {
                    step: step + 1,
                    epoch: epoch + 1,
                    loss: result.loss,
                    accuracy: result.accuracy,
                    images_per_second: labels.len() as f64 / begin.elapsed().as_secs_f64(),
                    learning_rate: rate,
                    seconds: start.elapsed().as_secs_f64(),
                    test_loss: None,
                    test_accuracy: None,
                };
                if !result.loss.is_finite() {
                    return Err(not_finite(
                        &metrics,
                        &self.folder.path().display().to_string(),
                    ));
                }
                if at + 1 == per_epoch {
                    let evaluation =
                        evaluate(self.session, self.test, self.mean, config.data.scale)?;
                    metrics.test_loss = Some(evaluation.loss);
                    metrics.test_accuracy = Some(evaluation.accuracy);
                    metrics.seconds = start.elapsed().as_secs_f64();
                    self.write_metrics(&metrics)?;
                    watcher.step(&metrics);
                    watcher.epoch(&metrics, &evaluation);
                    let figure = if config.train.best == Best::Loss {
                        -evaluation.loss
                    } else {
                        evaluation.accuracy
                    };
                    let better = best.is_none_or(|best| figure > best);
                    self.save(step + 1, better)?;
                    saved = Instant::now();
                    best = if better { Some(figure) } else { best };
                    last = Some(evaluation);
                } else {
                    self.write_metrics(&metrics)?;
                    watcher.step(&metrics);
                }
                let signal = self.stop.load(Ordering::Relaxed);
                if signal != 0 && step + 1 < per_epoch * config.train.epochs {
                    self.save(step + 1, false)?;
                    return Ok(End::Stopped { signal });
                }
                if saved.elapsed() > Duration::from_mins(10) {
                    self.save(step + 1, false)?;
                    saved = Instant::now();
                }
            }
        }
        let session = &mut *self.session;
        self.folder
            .finish(|path| session.save(path, false, &BTreeMap::new()))?;
        let Some(evaluation) = last else {
            return Err(Diagnostic::error(
                Code::E0404,
                "a training of 0 epochs trains nothing",
            ));
        };
        Ok(End::Finished(evaluation))
    }

    fn write_metrics(&mut self, metrics: &Metrics) -> Result<(), Diagnostic> {
        let line = serde_json::to_string(metrics).expect("internal error: metrics are numbers");
        self.folder.metrics(&line)
    }

    /// Writes checkpoints that training could go on from.
    fn save(&mut self, steps: u64, best: bool) -> Result<(), Diagnostic> {
        let facts = BTreeMap::from([
            ("step".to_owned(), steps.to_string()),
            ("seed".to_owned(), self.config.train.seed.to_string()),
        ]);
        let session = &mut *self.session;
        self.folder
            .checkpoint(|path| session.save(path, true, &facts), best)
    }
}

fn not_finite(metrics: &Metrics, folder: &str) -> Diagnostic {
    Diagnostic::error(Code::E0801, format!("the loss is {} at step {} (epoch {})", metrics.loss, metrics.step, metrics.epoch))
        .note(if metrics.epoch > 1 { format!("the last good checkpoint is `{folder}/checkpoints/last.safetensors`") } else { "there is no checkpoint yet".into() })
        .help(format!("try a lower rate, `--set optimizer.learning_rate={}`, or other initial weights, `--set init.weights=he`", metrics.learning_rate / 10.0))
}
