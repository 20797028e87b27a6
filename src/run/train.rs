//! The training loop.
//!
//! Owns: what comes after what: steps, tests, checkpoints, the end. A step is a function of the seed, its number and the
//! parameters before it, so a run that goes on from a checkpoint gives the bits of one that never stopped. Nothing that
//! goes wrong on the way loses more than the steps since the last checkpoint: a disk that is full is told of and tried
//! again, images that can no longer be read end the training with a checkpoint.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::config::{Best, Config, Every, Unit};
use crate::data::{Dataset, Mean, Order};
use crate::diagnostic::{Code, Diagnostic};
use crate::op::real::{Precision, Real};

use super::evaluate::{Evaluation, evaluate_until, trouble};
use super::folder::RunFolder;
use super::learner::{Fault, Learner};
use super::metrics::Metrics;
use super::not_finite::{When, not_finite, with_last};
use super::schedule::learning_rate;
use super::session::{Session, Trouble};
use super::state::{Circumstances, Finish, State, Test, facts};

/// Told as the training goes on.
pub trait Watcher {
    /// After every step.
    fn step(&mut self, metrics: &Metrics);
    /// After every epoch.
    fn epoch(&mut self, metrics: &Metrics, evaluation: &Evaluation);
    /// When something went wrong that the training goes on after.
    fn warn(&mut self, fault: &Diagnostic);
    /// At the end: how long the steps took, and how long they waited for images.
    fn profile(&mut self, steps: Duration, waited: Duration);
}

/// What a training needs.
pub struct Training<'a> {
    /// The network on its device, with the parameters of [`Self::state`].
    pub session: &'a mut Session,
    /// The resolved configuration.
    pub config: &'a Config,
    /// Images learned from.
    pub train: &'a Dataset,
    /// Images held back of them, by which the best epoch, the rate and the end are chosen; without them the test images do
    /// that.
    pub validation: Option<&'a Dataset>,
    /// Images tested on.
    pub test: &'a Dataset,
    /// Subtracted from every image.
    pub mean: &'a Mean,
    /// The order of the images, in steps of `batch * accumulate`.
    pub order: Order,
    /// Where everything is kept.
    pub folder: &'a mut RunFolder,
    /// Where the training stands.
    pub state: State,
    /// What its numbers depend on beside all this.
    pub about: &'a Circumstances,
    /// The number of a signal that asks to stop, 0 while there is none.
    pub stop: &'a AtomicUsize,
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// All epochs are done, or `train.stop_after` has ended it; the last test, and the epochs done.
    Finished(Test, u64),
    /// A signal asked to stop; a checkpoint is written.
    Stopped {
        /// The signal's number.
        signal: usize,
    },
}

/// When numbered checkpoints are due.
struct Timer {
    every: Every,
    /// When the last one was written: a clock that nobody can set back.
    at: Instant,
    step: u64,
}

impl Timer {
    fn is_due(&self, step: u64, per_epoch: u64) -> bool {
        let Every { count, unit } = self.every;
        let steps = |each: u64| step.is_multiple_of(count.saturating_mul(each));
        let seconds =
            |each: u64| self.at.elapsed() >= Duration::from_secs(count.saturating_mul(each));
        step > self.step
            && match unit {
                Unit::Steps => steps(1),
                Unit::Epochs => steps(per_epoch),
                Unit::Seconds => seconds(1),
                Unit::Minutes => seconds(60),
                Unit::Hours => seconds(3600),
            }
    }
}

impl Training<'_> {
    /// Total number of steps.
    pub fn steps(&self) -> u64 {
        self.order.steps_per_epoch() * self.config.train.epochs
    }

    /// Trains to the end.
    ///
    /// # Errors
    /// E0801 a loss that is not finite; E0704 the device failed; E0603 another run has taken the folder; E0901 the final
    /// parameters cannot be written; those of reading images.
    pub fn run(self, watcher: &mut dyn Watcher) -> Result<End, Diagnostic> {
        match self.session.precision {
            Precision::F32 => self.run_real::<f32>(watcher),
            Precision::F64 => self.run_real::<f64>(watcher),
        }
    }

    fn run_real<T: Real>(mut self, watcher: &mut dyn Watcher) -> Result<End, Diagnostic> {
        let (per_epoch, total) = (self.order.steps_per_epoch(), self.steps());
        let images = (self.train, self.mean);
        let (order, coming) = (self.order.clone(), self.state.step..total);
        let mut learner = Learner::<T>::new(self.config, images, order, self.session.batch, coming);
        let mut stepping = Duration::ZERO;
        let begun = Instant::now();
        let before = self.state.seconds;
        let mut timer = Timer {
            every: self.config.train.checkpoint.every,
            at: begun,
            step: self.state.step,
        };
        loop {
            let seconds = || before + begun.elapsed().as_secs_f64();
            let signal = self.stop.load(Ordering::Relaxed);
            if signal != 0 {
                // A checkpoint that cannot be written is an error here: it is what was promised.
                self.state.seconds = seconds();
                self.save(false, None)?;
                return Ok(End::Stopped { signal });
            }
            if self.state.step > self.state.tested * per_epoch
                && self.state.step.is_multiple_of(per_epoch)
            {
                let Some(test) = self.evaluate(self.test)? else {
                    continue;
                };
                let held_back = match self.validation {
                    None => None,
                    Some(set) => match self.evaluate(set)? {
                        None => continue,
                        found => found,
                    },
                };
                let best = self.state.best;
                let better = self.tested(&test, held_back.as_ref(), seconds(), watcher)?;
                let done = self.state.step == total || self.state.ended;
                let due = timer.is_due(self.state.step, per_epoch) && !done;
                if !self.keep(better, due, &mut timer, watcher)? {
                    // What is kept is still the best.
                    self.state.best = best;
                }
            }
            // An end that a resume brings comes with the next test.
            let whole = self.state.step == self.state.tested * per_epoch;
            if self.state.step >= total || (self.state.ended && whole) {
                break;
            }
            let begin = Instant::now();
            let metrics = self.step(&mut learner, &seconds)?;
            stepping += begin.elapsed();
            watcher.step(&metrics);
            if self.state.step.is_multiple_of(per_epoch) {
                self.state.untested = Some(metrics);
            } else {
                self.write_metrics(&metrics, watcher);
                if timer.is_due(self.state.step, per_epoch) {
                    self.keep(false, true, &mut timer, watcher)?;
                }
            }
        }
        watcher.profile(stepping, learner.waited());
        drop(learner);
        self.finish(watcher)
    }

    /// A set through the network; nothing where a signal asks to stop.
    fn evaluate(&mut self, set: &Dataset) -> Result<Option<Evaluation>, Diagnostic> {
        evaluate_until(self.session, set, self.mean, &self.config.data, self.stop)
            .map_err(|fault| self.interrupted(fault))
    }

    /// One step: its mini-batches, and the update.
    fn step<T: Real>(
        &mut self,
        learner: &mut Learner<'_, T>,
        seconds: &dyn Fn() -> f64,
    ) -> Result<Metrics, Diagnostic> {
        let (config, begin, step) = (self.config, Instant::now(), self.state.step);
        let per_epoch = self.order.steps_per_epoch();
        let rate = learning_rate(config, per_epoch, step, &self.state.course);
        let learned = learner
            .step(self.session, step, rate)
            .map_err(|fault| match fault {
                Fault::Images(fault) => self.interrupted(fault),
                Fault::Device(fault) => fault,
                Fault::NotFinite { loss, trouble } => self.not_finite(loss, &trouble),
            })?;
        self.state.step += 1;
        self.state.seconds = seconds();
        Ok(Metrics {
            step: step + 1,
            epoch: step / per_epoch + 1,
            loss: learned.loss,
            accuracy: learned.accuracy,
            images_per_second: learned.images as f64 / begin.elapsed().as_secs_f64(),
            learning_rate: rate,
            seconds: self.state.seconds,
            test_loss: None,
            test_accuracy: None,
            validation_loss: None,
            validation_accuracy: None,
        })
    }

    /// Takes in an epoch's test; whether it is the best so far.
    fn tested(
        &mut self,
        evaluation: &Evaluation,
        held_back: Option<&Evaluation>,
        seconds: f64,
        watcher: &mut dyn Watcher,
    ) -> Result<bool, Diagnostic> {
        self.state.seconds = seconds;
        let deciding = held_back.unwrap_or(evaluation);
        for (name, tested, set) in [
            ("test", Some(evaluation), Some(self.test)),
            ("validation", held_back, self.validation),
        ] {
            if let (Some(tested), Some(set)) = (tested, set)
                && !tested.loss.is_finite()
            {
                return Err(self.untestable(tested.loss, (name, set))?);
            }
        }
        let mut metrics = self
            .state
            .untested
            .take()
            .expect("internal error: an epoch's last step has figures");
        metrics.test_loss = Some(evaluation.loss);
        metrics.test_accuracy = Some(evaluation.accuracy);
        metrics.validation_loss = held_back.map(|evaluation| evaluation.loss);
        metrics.validation_accuracy = held_back.map(|evaluation| evaluation.accuracy);
        metrics.seconds = seconds;
        self.write_metrics(&metrics, watcher);
        watcher.epoch(&metrics, evaluation);
        self.state.tested += 1;
        self.state.test = Some(Test {
            accuracy: evaluation.accuracy,
            loss: evaluation.loss,
        });
        let figure = match self.config.train.best {
            Best::Loss => -deciding.loss,
            Best::Accuracy => deciding.accuracy,
        };
        let better = self.state.best.is_none_or(|best| figure > best);
        if better {
            self.state.best = Some(figure);
        }
        self.state.course.epoch(self.config, deciding.loss);
        self.state.ended = self.state.course.ends(self.config);
        Ok(better)
    }

    /// Writes a checkpoint, numbered where that is due. What keeps it from being written is told, and the training goes on;
    /// whether it is written.
    fn keep(
        &mut self,
        best: bool,
        due: bool,
        timer: &mut Timer,
        watcher: &mut dyn Watcher,
    ) -> Result<bool, Diagnostic> {
        let number = due.then_some((self.state.step, self.config.train.checkpoint.keep));
        let written = match self.save(best, number) {
            Err(fault) if fault.code == Code::E0901 => {
                watcher.warn(&self.still(fault));
                false
            }
            other => other.map(|()| true)?,
        };
        if due {
            (timer.at, timer.step) = (Instant::now(), self.state.step);
        }
        Ok(written)
    }

    /// A fault in writing, with what becomes of the training.
    fn still(&self, fault: Diagnostic) -> Diagnostic {
        let last = match self.folder.last() {
            Some(last) => format!("the last good one is `{}`", last.display()),
            None => "there is none yet".into(),
        };
        fault.note(format!(
            "training goes on and tries again at the next checkpoint; {last}"
        ))
    }

    /// Ends a training whose images can no longer be read: what it has learned is kept.
    fn interrupted(&mut self, fault: Diagnostic) -> Diagnostic {
        if fault.code == Code::E0704 {
            return fault;
        }
        match self.save(false, None) {
            Ok(()) => fault.note(format!(
                "the {} steps so far are kept: `netc train --resume {}` goes on",
                self.state.step,
                self.folder.path().display()
            )),
            Err(other) => fault.note(other.message),
        }
    }

    fn write_metrics(&mut self, metrics: &Metrics, watcher: &mut dyn Watcher) {
        let line = serde_json::to_string(metrics).expect("internal error: metrics are numbers");
        if let Err(fault) = self.folder.metrics(&line) {
            watcher.warn(&fault.note("training goes on; such lines are kept and tried again"));
        }
    }

    /// Writes checkpoints that training could go on from.
    fn save(&mut self, best: bool, number: Option<(u64, u64)>) -> Result<(), Diagnostic> {
        self.folder.hold()?;
        let facts = facts(&self.state, self.config.train.seed, self.about);
        let session = &mut *self.session;
        let saved = self
            .folder
            .checkpoint(|path| session.save(path, true, &facts), best, number);
        match saved {
            Err(fault) if fault.code == Code::E0801 => {
                let spoilt = self.session.spoilt(true)?;
                let trouble = spoilt.map_or(Trouble::Loss, Trouble::Parameter);
                Err(self.not_finite(f64::NAN, &trouble))
            }
            saved => saved,
        }
    }

    fn finish(self, watcher: &mut dyn Watcher) -> Result<End, Diagnostic> {
        self.folder.hold()?;
        if self.folder.remade {
            watcher.warn(&Diagnostic::warning(
                Code::E0901,
                format!(
                    "what had vanished of `{}` is made again",
                    self.folder.path().display()
                ),
            ));
        }
        let finish = Finish {
            step: self.state.step,
            epochs: self.state.tested,
            course: self.state.course.clone(),
            mean: self.about.mean.clone(),
        };
        let session = &mut *self.session;
        self.folder
            .finish(|path| session.save(path, false, &finish.facts()))
            .map_err(|fault| {
                fault.note(format!(
                    "`netc train --resume {}` goes on from the last checkpoint",
                    self.folder.path().display()
                ))
            })?;
        match self.state.test {
            Some(test) => Ok(End::Finished(test, self.state.tested)),
            None => Err(Diagnostic::error(
                Code::E0404,
                "a training of 0 epochs trains nothing",
            )),
        }
    }

    /// E0801 of the step that comes next.
    fn not_finite(&self, loss: f64, trouble: &Trouble) -> Diagnostic {
        let step = self.state.step;
        let at = (step + 1, step / self.order.steps_per_epoch() + 1);
        let fault = not_finite(self.config, loss, at, When::Step, trouble);
        with_last(fault, self.folder.last().as_deref())
    }

    /// E0801 of a test: the last update is what had not been looked at.
    fn untestable(
        &mut self,
        loss: f64,
        (name, set): (&'static str, &Dataset),
    ) -> Result<Diagnostic, Diagnostic> {
        let trouble = match self.session.spoilt(true)? {
            Some(name) => Trouble::Parameter(name),
            None => trouble(self.session, set, self.mean, &self.config.data)?,
        };
        let at = (self.state.step, self.state.tested + 1);
        let fault = not_finite(self.config, loss, at, When::Test(name), &trouble);
        Ok(with_last(fault, self.folder.last().as_deref()))
    }
}
