//! `netc train --resume RUN`: what is taken from the run, and what may be changed.

use std::path::Path;

use super::super::Failure;
use super::prepare::Asked;
use crate::config::{Config, KEYS, ScheduleKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::run::checkpoint::Checkpoint;
use crate::run::folder::{self, Claim, Settings};
use crate::run::state::{self, Circumstances, State};

/// Settings that change how far and where a run is trained, but not what it is.
const FREE: &[&str] = &[
    "data.train",
    "data.test",
    "data.cache",
    "data.workers",
    "train.epochs",
    "train.stop_after",
    "train.checkpoint.every",
    "train.checkpoint.keep",
    "train.memory_limit",
    "device.select",
];

/// A run that is to go on.
pub struct Resumed {
    /// Its folder, which nobody else trains in.
    pub claim: Claim,
    /// What it was begun with, settings changed where that was asked for.
    pub settings: Settings,
    /// Where it stands: at step 0 where it has no checkpoint.
    pub state: State,
    /// Under what the checkpoint was written.
    pub before: Option<Circumstances>,
    /// The checkpoint itself.
    pub checkpoint: Option<Checkpoint>,
}

/// Reads a run that is to go on; nothing where it is done and nothing was asked for beyond that, which is told.
///
/// # Errors
/// Those of [`folder::settings`], [`folder::claim`] and [`folder::newest`]; E0405 a setting that would make it another run.
pub fn read(run: &Path, sets: &[String], asked: &Asked<'_>) -> Result<Option<Resumed>, Failure> {
    let begun = folder::settings(run, &[])?;
    let settings = folder::settings(run, sets)?;
    for key in KEYS {
        if key.value(&settings.config) != key.value(&begun.config) && !FREE.contains(&key.path) {
            return Err(settings
                .config
                .point(key.path, other(key.path, &begun.config, run))
                .into());
        }
    }
    let config = &settings.config;
    let done = |epochs: u64| {
        let most = config.train.epochs;
        let run = run.display();
        asked.say(&if epochs < most {
            format!("{run}: `train.stop_after` has ended it after {epochs} of {most} epochs; `--set train.stop_after=0` trains further")
        } else {
            format!("{run}: all {most} epochs are done; `--set train.epochs=N` trains further")
        });
        Ok(None)
    };
    let finish = folder::finish(run);
    if let Some(finish) = &finish
        && finish.is_end(config)
        && finish.epochs <= config.train.epochs
    {
        return done(finish.epochs);
    }
    let claim = folder::claim(run)?;
    let (checkpoint, damaged) = match folder::newest(run)? {
        (None, _) if finish.is_some() => return Err(gone(run).into()),
        newest => newest,
    };
    for fault in damaged {
        let note = "an older checkpoint is taken: the steps since then are trained again";
        asked.output.diagnostic(&fault.note(note).as_warning());
    }
    let Some(checkpoint) = checkpoint else {
        return Ok(Some(Resumed {
            claim,
            settings,
            state: State::default(),
            before: None,
            checkpoint: None,
        }));
    };
    let Some((state, before)) = state::read(&checkpoint.facts) else {
        return Err(other_run(run, "does not say where the training stood").into());
    };
    if checkpoint.facts.get("seed") != Some(&config.train.seed.to_string()) {
        return Err(other_run(run, "is of another run, with another seed").into());
    }
    if config.optimizer.schedule.kind == ScheduleKind::Cosine
        && config.train.epochs != begun.config.train.epochs
    {
        asked.say("the rate of `cosine` follows the number of epochs: it goes on as in a training of so many, which the steps so far were not");
    }
    Ok(Some(Resumed {
        claim,
        settings,
        state,
        before: Some(before),
        checkpoint: Some(checkpoint),
    }))
}

/// E0601 of a finished run that has final parameters alone.
fn gone(run: &Path) -> Diagnostic {
    let run = run.display();
    let message = format!("`{run}` has no checkpoint that training could go on from");
    Diagnostic::error(Code::E0601, message).help(format!(
        "begin a new run with its final parameters: `netc train FILE --from {run}`"
    ))
}

/// E0601 of a checkpoint that this run cannot have written.
fn other_run(run: &Path, why: &str) -> Diagnostic {
    let run = run.display();
    Diagnostic::error(Code::E0601, format!("the checkpoint of `{run}` {why}")).help(format!(
        "begin a new run with its parameters: `netc train FILE --from {run}`"
    ))
}

/// E0405 for a setting that the run has otherwise.
fn other(key: &str, begun: &Config, run: &Path) -> Diagnostic {
    let own = KEYS
        .iter()
        .find(|known| known.path == key)
        .map(|known| known.value(begun).to_string())
        .unwrap_or_default();
    Diagnostic::error(
        Code::E0405,
        format!("`{}` is trained with `{key} = {own}`", run.display()),
    )
    .note("a run that goes on keeps what makes its numbers; `train.epochs`, `train.stop_after`, `train.checkpoint`, the device and where the images are may change")
    .help(format!(
        "leave `{key}` out, or begin a new run with its parameters: `netc train FILE --from {}`",
        run.display()
    ))
}
