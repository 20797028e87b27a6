//! `netc train`: from a network and a configuration to a run folder.

mod overfit;
mod prepare;
pub mod repro;
mod resume;
mod signals;
mod trial;

use std::path::{Path, PathBuf};

use clap::Args;

use self::prepare::{Asked, Prepared};
use self::resume::Resumed;
use self::signals::Signals;
use super::files::{self, Network, NetworkFile};
use super::progress::Progress;
use super::{Exit, FINE, Failure, Output, PROBLEMS, Running};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::diff::consequence::Fate;
use crate::run::folder::{self, Begin, RunFolder};
use crate::run::inherit::{Inherited, inherit};
use crate::run::state::{State, facts};
use crate::run::train::{End, Training};

/// Arguments of `train`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct Train {
    #[command(flatten)]
    what: What,
    /// The hyperparameters
    #[arg(long, value_name = "TOML", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// Begin with the parameters of another run, where they fit: its layers are matched as `netc diff` does
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    from: Option<PathBuf>,
    /// Replace a run that is already in the output folder
    #[arg(long, conflicts_with = "resume")]
    force: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
    /// End with how long the steps took and waited for images
    #[arg(long)]
    profile: bool,
    /// A few steps, a test and a checkpoint, and what the whole would take; nothing is kept
    #[arg(long, conflicts_with_all = ["resume", "overfit"])]
    dry_run: bool,
    /// Learn N training images by heart, without dropout's like: a network that cannot has a fault. Nothing is kept
    #[arg(long, value_name = "N", conflicts_with_all = ["resume", "from"])]
    overfit: Option<usize>,
    #[command(flatten)]
    running: Running,
}

/// What is trained.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The network's file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The network itself: `--expr 'C48->P->N->F10'`
    #[arg(long, value_name = "NETWORK", allow_hyphen_values = true)]
    expr: Option<String>,
    /// Go on with a run from its last checkpoint, to the bit; `--set train.epochs=N` trains further
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
}

/// What a run gave, in words.
fn told(run: &str, inherited: &Inherited) -> Vec<String> {
    let of = |fates: &[Fate]| {
        let changes = inherited.changes.iter();
        let changes = changes.filter(|change| fates.contains(&change.fate));
        let names = changes.filter_map(|change| change.new.as_ref().or(change.old.as_ref()));
        let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    };
    let fresh = of(&[Fate::Reinitialized, Fate::New]);
    let dropped = of(&[Fate::Dropped]);
    let count = inherited
        .changes
        .iter()
        .filter(|change| change.new.is_some())
        .count();
    let mut lines = vec![format!(
        "from {run}: {} of {count} tensors loaded",
        inherited.names.len()
    )];
    if !fresh.is_empty() {
        lines.push(format!("initialised: {fresh}"));
    }
    if !dropped.is_empty() {
        lines.push(format!("not used: {dropped}"));
    }
    lines
}

impl Train {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let signals = Signals::watch();
        if let Some(run) = &self.what.resume {
            return self.resume(run, &signals, output);
        }
        let (mut config, faults) =
            files::config(self.config.as_deref(), &self.running.assignments())?;
        if self.overfit.is_some() {
            overfit::plain(&mut config);
        }
        let network = NetworkFile::of(self.what.file.clone(), self.what.expr.clone()).read()?;
        let asked = self.asked(output);
        let Some(prepared) = Prepared::new(network, config, faults, None, &asked)? else {
            return Ok(PROBLEMS);
        };
        asked.say(&prepared.told());
        if let Some(images) = self.overfit {
            return overfit::run(prepared, images, output);
        }
        let (pattern, name) = (&prepared.config.output.dir, &prepared.network.name);
        if self.dry_run && !self.force {
            folder::free(&folder::choose(pattern, name))
                .map_err(|fault| prepared.config.point("output.dir", fault))?;
        }
        let inherited = match &self.from {
            Some(run) => {
                let opened = folder::open(run, &[])?;
                let (tree, machine) = (&prepared.network.tree, &prepared.machine);
                let inherited = inherit(opened, tree, &prepared.graph, machine)?;
                Some((run.display().to_string(), inherited))
            }
            None => None,
        };
        let mut ready = prepared.load()?;
        ready.session.initialize(ready.config.train.seed)?;
        if let Some((run, inherited)) = &inherited {
            ready.session.write_some(inherited)?;
            for line in told(run, inherited) {
                asked.say(&line);
            }
        }
        if self.dry_run {
            return trial::run(ready, output);
        }
        // A run says what its input is, also where the network's file leaves that to the data.
        let tree = &ready.network.tree;
        let text = tree.source.text();
        let stated = if tree.input.is_some() {
            text.to_owned()
        } else {
            let text = text.trim_start_matches('\u{feff}');
            format!("input {}\n{text}", ready.train.shape())
        };
        let about = ready.circumstances()?;
        let (pattern, name) = (&ready.config.output.dir, &ready.network.name);
        let files = ready.files(&stated, ready.train.classes());
        // From here on a signal leaves a run that can be resumed.
        let stop = signals.ask();
        let state = State::default();
        let facts = facts(&state, ready.config.train.seed, &about);
        let session = &mut ready.session;
        let mut begin = |path: &Path| session.save(path, true, &facts);
        // Where such a run begins cannot be drawn again from its seed.
        let begin: Option<&mut Begin<'_>> = inherited.is_some().then_some(&mut begin);
        let mut folder = RunFolder::create(pattern, name, self.force, &files, begin)
            .map_err(|fault| ready.config.point("output.dir", fault))?;
        let training = ready.training(&mut folder, (state, &about), stop);
        self.finish(training, output)
    }

    /// Goes on with a run.
    fn resume(&self, run: &Path, signals: &Signals, output: &Output) -> Result<Exit, Failure> {
        let asked = self.asked(output);
        let Some(Resumed {
            claim,
            settings,
            mut state,
            before,
            checkpoint,
        }) = resume::read(run, &self.running.assignments(), &asked)?
        else {
            return Ok(FINE);
        };
        let network = Network::parse("network".into(), &settings.network);
        let (config, faults) = (settings.config, Diagnostics::default());
        let Some(prepared) = Prepared::new(network, config, faults, Some(run), &asked)? else {
            return Ok(PROBLEMS);
        };
        asked.say(&prepared.told());
        let (epochs, per_epoch) = (
            prepared.config.train.epochs,
            prepared.order.steps_per_epoch(),
        );
        if epochs * per_epoch < state.step {
            let message = format!(
                "`{}` has done {} steps, which are more than {epochs} epochs",
                run.display(),
                state.step
            );
            let least = state.step.div_ceil(per_epoch);
            let fault = Diagnostic::error(Code::E0404, message)
                .help(format!("write `--set train.epochs={least}` or more"));
            return Err(prepared.config.point("train.epochs", fault).into());
        }
        let mut ready = prepared.load()?;
        let about = ready.circumstances()?;
        if let Some(before) = &before {
            if about.images != before.images {
                let message = format!(
                    "the training images of `{}` are other ones than when it began",
                    run.display()
                );
                let fault = Diagnostic::error(Code::E0506, message)
                    .help("put them back, say where they are with `--set data.train=PATH`, or begin a new run with `--from`");
                return Err(ready.config.point("data.train", fault).into());
            }
            if about.mean != before.mean {
                return Err(folder::other_mean(run).into());
            }
            if let Some(why) = about.departs(before) {
                asked.say(&format!("from here on the numbers are no longer those of an uninterrupted run, to the bit: {why}"));
            }
        }
        match checkpoint {
            Some(checkpoint) => ready.session.write(&checkpoint, true)?,
            None => ready.session.initialize(ready.config.train.seed)?,
        }
        state.ended = state.course.ends(&ready.config);
        let files = ready.files(settings.network.text(), &settings.classes);
        let mut folder = RunFolder::reopen(claim, state.lines(), &files)?;
        asked.say(&format!(
            "goes on after step {} of {}",
            state.step,
            epochs * per_epoch
        ));
        let training = ready.training(&mut folder, (state, &about), signals.ask());
        self.finish(training, output)
    }

    fn asked<'a>(&'a self, output: &'a Output) -> Asked<'a> {
        Asked {
            running: &self.running,
            quiet: self.quiet,
            output,
        }
    }

    /// Trains to the end.
    fn finish(&self, training: Training<'_>, output: &Output) -> Result<Exit, Failure> {
        let path = training.folder.path().to_path_buf();
        self.asked(output).say(&format!("run: {}", path.display()));
        let (steps, epochs) = (training.steps(), training.config.train.epochs);
        let mut progress = Progress::new(steps, epochs, self.quiet, output.style());
        progress.profile = self.profile;
        let end = training.run(&mut progress);
        progress.finish();
        match end? {
            End::Finished(test, done) => {
                if done < epochs {
                    self.asked(output).say(&format!("ended after {done} of {epochs} epochs: the test loss was no better (`train.stop_after`)"));
                }
                output.print(&format!(
                    "test accuracy {:.4}, test loss {:.4}: {}\n",
                    test.accuracy,
                    test.loss,
                    path.display()
                ));
                Ok(FINE)
            }
            End::Stopped { signal } => {
                let run = path.display();
                output.warn(&format!(
                    "stopped; the checkpoint is {run}/checkpoints/last.safetensors, `netc train --resume {run}` goes on"
                ));
                Ok(128 + signal as Exit)
            }
        }
    }
}
