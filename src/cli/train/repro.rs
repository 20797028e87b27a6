//! `netc repro RUN`: a run once more, beside what the first one left.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;

use super::super::files::Network;
use super::super::{Exit, FINE, Failure, Output, PROBLEMS, Running};
use super::prepare::{Asked, Prepared};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::run::checkpoint::{self, Checkpoint};
use crate::run::evaluate::Evaluation;
use crate::run::folder::{self, RunFolder};
use crate::run::metrics::Metrics;
use crate::run::state::State;
use crate::run::tensor::{Tensor, Tensors as _};
use crate::run::train::{End, Watcher};

/// Arguments of `repro`.
#[derive(Debug, Args)]
pub struct Repro {
    /// The run's folder
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// No progress
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    running: Running,
}

/// Holds each step beside the first run's, and stops at the first that is another.
struct Beside<'a> {
    /// The first run's figures by their steps; some may be lost.
    known: &'a BTreeMap<u64, Metrics>,
    /// Whether it came to its end, which is compared too.
    finished: bool,
    /// Steps that were compared.
    steps: u64,
    difference: Option<String>,
    stop: &'a AtomicUsize,
    say: &'a dyn Fn(&str),
}

/// What stops a training that differs: no signal's number.
const DIFFERS: usize = usize::MAX;

impl Beside<'_> {
    fn compare(&mut self, metrics: &Metrics) {
        let last = self.known.last_key_value().map_or(0, |(&step, _)| step);
        if metrics.step > last && !self.finished {
            self.stop.store(DIFFERS, Ordering::Relaxed);
        }
        let Some(known) = self.known.get(&metrics.step) else {
            return;
        };
        let pairs = [
            (
                "learning rate",
                Some(known.learning_rate),
                Some(metrics.learning_rate),
            ),
            ("loss", Some(known.loss), Some(metrics.loss)),
            ("accuracy", Some(known.accuracy), Some(metrics.accuracy)),
            ("test loss", known.test_loss, metrics.test_loss),
            ("test accuracy", known.test_accuracy, metrics.test_accuracy),
            (
                "validation loss",
                known.validation_loss,
                metrics.validation_loss,
            ),
        ];
        for (what, before, now) in pairs {
            // The last line of a run that was stopped before its test has none.
            if let (Some(before), Some(now)) = (before, now)
                && before.to_bits() != now.to_bits()
            {
                self.difference = Some(format!(
                    "step {}: the {what} is {now}, it was {before}",
                    metrics.step
                ));
                self.stop.store(DIFFERS, Ordering::Relaxed);
                return;
            }
        }
        let is_last = metrics.step == last;
        // What the test of the last step's epoch gives is still to come, if there was one.
        if is_last && !self.finished && known.test_loss.is_some() == metrics.test_loss.is_some() {
            self.stop.store(DIFFERS, Ordering::Relaxed);
        }
    }
}

impl Watcher for Beside<'_> {
    fn step(&mut self, metrics: &Metrics) {
        self.steps += u64::from(self.known.contains_key(&metrics.step));
        self.compare(metrics);
    }

    fn epoch(&mut self, metrics: &Metrics, _: &Evaluation) {
        self.compare(metrics);
        if self.difference.is_none() {
            (self.say)(&format!("epoch {}: the same so far", metrics.epoch));
        }
    }

    fn warn(&mut self, fault: &Diagnostic) {
        (self.say)(&fault.message);
    }

    fn profile(&mut self, _: Duration, _: Duration) {}
}

impl Repro {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let asked = Asked {
            running: &self.running,
            quiet: self.quiet,
            output,
        };
        let say = |line: &str| asked.say(line);
        let mut settings = folder::settings(&self.run, &self.running.assignments())?;
        let known = folder::metrics(&self.run)?.into_iter();
        let known: BTreeMap<u64, Metrics> = known.map(|known| (known.step, known)).collect();
        if known.is_empty() {
            let message = format!("`{}` has no step to compare with", self.run.display());
            return Err(Diagnostic::error(Code::E0501, message)
                .help("`netc train --resume` begins it")
                .into());
        }
        let place = tempfile::tempdir().map_err(|error| {
            Diagnostic::error(
                Code::E0901,
                format!("no temporary folder can be made: {error}"),
            )
        })?;
        settings.config.output.dir = place.path().join("run").display().to_string();
        let network = Network::parse("network".into(), &settings.network);
        let (config, faults) = (settings.config, Diagnostics::default());
        let Some(prepared) = Prepared::new(network, config, faults, None, &asked)? else {
            return Ok(PROBLEMS);
        };
        say(&prepared.told());
        if prepared.mean != folder::mean(&self.run, prepared.train.shape())? {
            output.print("first difference: the mean of the training images, before step 1\n");
            return Ok(PROBLEMS);
        }
        let mut ready = prepared.load()?;
        let about = ready.circumstances()?;
        let standing = folder::standing(&self.run)?;
        let finish = folder::finish(&self.run);
        let finished = finish.is_some_and(|finish| finish.is_end(&ready.config));
        if let Some((_, before)) = standing
            && let Some(why) = about.departs(&before)
        {
            say(&format!("not under the same circumstances: {why}"));
        }
        match folder::first(&self.run)? {
            Some(first) => ready.session.write(&first, true)?,
            None => ready.session.initialize(ready.config.train.seed)?,
        }
        let files = ready.files(settings.network.text(), &settings.classes);
        let mut folder =
            RunFolder::create(&ready.config.output.dir, "network", false, &files, None)?;
        let stop = AtomicUsize::new(0);
        let mut beside = Beside {
            known: &known,
            finished,
            steps: 0,
            difference: None,
            stop: &stop,
            say: &say,
        };
        let begin = (State::default(), &about);
        let end = ready.training(&mut folder, begin, &stop).run(&mut beside)?;
        if let Some(difference) = beside.difference {
            output.print(&format!("first difference: {difference}\n"));
            return Ok(PROBLEMS);
        }
        let steps = beside.steps;
        if finished && matches!(end, End::Finished(..)) {
            let before = checkpoint::open(&self.run.join("final.safetensors"))?;
            if let Some(difference) = first_difference(&before, &ready.session.read()?)? {
                output.print(&format!(
                    "first difference, after {steps} steps: {difference}\n"
                ));
                return Ok(PROBLEMS);
            }
            output.print(&format!(
                "the same: {steps} steps, and {} tensors at the end\n",
                before.shapes().len()
            ));
        } else {
            output.print(&format!("the same: {steps} steps\n"));
        }
        Ok(FINE)
    }
}

/// The first number of a network's tensors that is another than in a checkpoint, in words.
fn first_difference(before: &Checkpoint, now: &[Tensor]) -> Result<Option<String>, Diagnostic> {
    for Tensor { name, values, .. } in now {
        if before.shape(name).is_none() {
            return Ok(Some(format!("`{name}` is new")));
        }
        let pairs = before.values(name)?.zip(values).enumerate();
        let mut differing = pairs.filter(|(_, (before, now))| before.to_bits() != now.to_bits());
        if let Some((at, (before, now))) = differing.next() {
            let place = format!("`{name}`, number {at}");
            return Ok(Some(format!("{place}: {now} now, {before} before")));
        }
    }
    Ok(None)
}
