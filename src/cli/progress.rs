//! What people see of long work: kernels being compiled, a training's steps. A live line on a terminal, plain lines
//! elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::device::{Compiling, Watcher as DeviceWatcher};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::render::{self, Style};
use crate::run::evaluate::Evaluation;
use crate::run::metrics::Metrics;
use crate::run::train::Watcher;

/// The watcher of `netc train`.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    epochs: u64,
    /// The rate of images, smoothed over the last steps.
    rate: f64,
    quiet: bool,
    /// Of warnings.
    style: Style,
    /// Whether it ends with how long the steps waited for images.
    pub profile: bool,
}

impl Progress {
    /// For a training of so many steps and epochs.
    pub fn new(steps: u64, epochs: u64, quiet: bool, style: Style) -> Self {
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
            style,
            profile: false,
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

/// What is seen of the look at all images before a training's first step, which takes minutes where there are millions.
#[derive(Debug)]
pub struct Looking {
    bar: Option<ProgressBar>,
    images: usize,
    quiet: bool,
    told: Mutex<Instant>,
}

impl Looking {
    /// For so many images.
    pub fn new(images: usize, quiet: bool) -> Self {
        let bar = (std::io::stderr().is_terminal() && !quiet).then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let bar = ProgressBar::with_draw_target(Some(images as u64), target);
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} looking at the images");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self {
            bar,
            images,
            quiet,
            told: Mutex::new(Instant::now()),
        }
    }

    /// So many were looked at.
    pub fn seen(&self, images: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(images as u64);
        } else if !self.quiet {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.elapsed() > Duration::from_secs(10) {
                *told = Instant::now();
                write_line(&format!("looked at {images} of {} images", self.images));
            }
        }
    }

    /// Takes the live line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows what a device compiles: seconds at a network's first start. Elsewhere than on a terminal that is one line.
pub fn compiling() -> DeviceWatcher {
    let live: Mutex<Option<ProgressBar>> = Mutex::new(None);
    let on_terminal = std::io::stderr().is_terminal();
    Arc::new(move |what| {
        let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            Compiling::Program { kernels } if on_terminal => {
                let bar = ProgressBar::new(kernels as u64);
                let template = "{bar:24} {pos}/{len} {msg} {elapsed}";
                bar.set_style(
                    ProgressStyle::with_template(template)
                        .unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
                bar.set_message("compiling kernels");
                bar.enable_steady_tick(Duration::from_millis(200));
                *live = Some(bar);
            }
            Compiling::Program { kernels } => write_line(&first_start(kernels)),
            Compiling::Kernel { name, number, of } => {
                if let Some(bar) = &*live {
                    bar.set_length(of as u64);
                    bar.set_position(number as u64 - 1);
                    bar.set_message(format!("compiling kernels: {name}"));
                }
            }
            Compiling::Done => {
                if let Some(bar) = live.take() {
                    bar.finish_and_clear();
                }
            }
        }
    })
}

/// What says why a network's first start takes longer.
fn first_start(kernels: usize) -> String {
    let kernels = match kernels {
        1 => "1 kernel".to_owned(),
        kernels => format!("{kernels} kernels"),
    };
    format!("compiling {kernels}, kept for the next start")
}

/// A line on stderr. That it is closed must not stop the work.
pub fn write_line(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// `1h02m`, `3m05s`, `42s`.
pub fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

impl Watcher for Progress {
    fn warn(&mut self, fault: &Diagnostic) {
        let text = render::human(&fault.clone().as_warning(), self.style);
        self.say(text.trim_end());
    }

    fn profile(&mut self, steps: Duration, waited: Duration) {
        let (steps, waited) = (steps.as_secs_f64(), waited.as_secs_f64());
        if self.profile && steps > 0.0 {
            let share = 100.0 * waited / steps;
            self.say(&format!(
                "profile: {steps:.2} s in training steps, {waited:.2} s of them ({share:.1} %) waiting for images"
            ));
        }
    }

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
        let held_back = metrics.validation_accuracy.zip(metrics.validation_loss);
        let held_back = held_back.map_or_else(String::new, |(accuracy, loss)| {
            format!("; validation accuracy {accuracy:.4}, loss {loss:.4}")
        });
        self.say(&format!(
            "epoch {}: test accuracy {:.4}, test loss {:.4} ({} images, {:.1} s since the start){held_back}",
            metrics.epoch, evaluation.accuracy, evaluation.loss, evaluation.images, metrics.seconds
        ));
    }
}
