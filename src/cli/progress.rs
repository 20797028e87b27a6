//! What people see of a training: a live line on a terminal, a plain line a step elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::run::evaluate::Evaluation;
use crate::run::train::{Metrics, Watcher};

/// The watcher of `netc train`.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    epochs: u64,
    /// The rate of images, smoothed over the last steps.
    rate: f64,
    quiet: bool,
}

impl Progress {
    /// For a training of so many steps and epochs.
    pub fn new(steps: u64, epochs: u64, quiet: bool) -> Self {
        let bar = (std::io::stderr().is_terminal() && !quiet).then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(10));
            let template = "{bar:24} {pos}/{len} {msg}";
            bar.set_style(
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self {
            bar,
            steps,
            epochs,
            rate: 0.0,
            quiet,
        }
    }

    fn line(&self, metrics: &Metrics) -> String {
        let left = (self.steps - metrics.step) as f64 * metrics.seconds / metrics.step as f64;
        format!(
            "epoch {}/{}  loss {:.4}  accuracy {:.3}  {:.0} images/s  {} left",
            metrics.epoch,
            self.epochs,
            metrics.loss,
            metrics.accuracy,
            self.rate,
            time(Duration::from_secs_f64(left))
        )
    }

    /// Prints a line, above the live one where there is one.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| write_line(line)),
            None => write_line(line),
        }
    }

    /// Takes the live line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A line on stderr. That it is closed must not stop the work.
pub fn write_line(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// `1h02m`, `3m05s`, `42s`.
fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

impl Watcher for Progress {
    fn step(&mut self, metrics: &Metrics) {
        let now = metrics.images_per_second;
        self.rate = if self.rate == 0.0 {
            now
        } else {
            0.9 * self.rate + 0.1 * now
        };
        let line = self.line(metrics);
        match &self.bar {
            Some(bar) => {
                bar.set_position(metrics.step);
                bar.set_message(line);
            }
            None if self.quiet => {}
            None => write_line(&format!("step {}/{}  {line}", metrics.step, self.steps)),
        }
    }

    fn epoch(&mut self, metrics: &Metrics, evaluation: &Evaluation) {
        if self.quiet {
            return;
        }
        self.say(&format!(
            "epoch {}: test accuracy {:.4}, test loss {:.4} ({} images, {:.1} s since the start)",
            metrics.epoch, evaluation.accuracy, evaluation.loss, evaluation.images, metrics.seconds
        ));
    }
}
