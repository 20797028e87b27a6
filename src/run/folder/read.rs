//! A run's folder, read: its settings, figures, checkpoints.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::contents::PARTS;
use super::{name, numbered, numbers};
use crate::config::Config;
use crate::data::Mean;
use crate::data::mean::Origin;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::file;
use crate::op::shape::Shape;
use crate::run::checkpoint::{self, Checkpoint};
use crate::run::metrics::Metrics;
use crate::run::state::{self, Circumstances, Finish, State};
use crate::source::Source;

/// What a checkpoint's header says, or why that cannot be read.
type Told = Result<BTreeMap<String, String>, Diagnostic>;

/// Where checkpoints of a run may be that training can go on from, the newest first, and what they say. Those whose headers
/// cannot be read are where their names would have them.
pub(in crate::run) fn checkpoints(path: &Path) -> Vec<(PathBuf, Told)> {
    let folder = path.join(name::CHECKPOINTS);
    let named = numbers(&folder).into_iter().rev();
    let named = named.map(|step| (numbered(step), step));
    let last = (name::LAST.to_owned(), u64::MAX);
    let names = [last].into_iter().chain(named);
    let names = names.chain([(name::BEST.to_owned(), 0)]);
    let found = names.map(|(name, supposed)| {
        let place = folder.join(name);
        let told = checkpoint::facts(&place);
        let step = |facts: &BTreeMap<String, String>| facts.get("step")?.parse().ok();
        let step = told.as_ref().ok().and_then(step);
        (step.unwrap_or(supposed), (place, told))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|&(step, _)| Reverse(step));
    found.into_iter().map(|(_, found)| found).collect()
}

/// The newest checkpoint of a run that training can go on from, and what is wrong with newer ones; none where the run has
/// none yet.
///
/// # Errors
/// E0601 all are damaged; E0901 one cannot be read.
pub fn newest(path: &Path) -> Result<(Option<Checkpoint>, Vec<Diagnostic>), Diagnostic> {
    newest_by(path, |place, _| checkpoint::open(place))
}

fn newest_by<T>(
    path: &Path,
    read: impl Fn(&Path, BTreeMap<String, String>) -> Result<T, Diagnostic>,
) -> Result<(Option<T>, Vec<Diagnostic>), Diagnostic> {
    let mut damaged = Vec::new();
    for (place, told) in checkpoints(path) {
        match told.and_then(|facts| read(&place, facts)) {
            Ok(found) => return Ok((Some(found), damaged)),
            Err(fault) if fault.code == Code::E0501 => {}
            Err(fault) if fault.code == Code::E0601 => damaged.push(fault),
            Err(fault) => return Err(fault),
        }
    }
    match damaged.into_iter().next() {
        Some(first) => Err(first),
        None => Ok((None, Vec::new())),
    }
}

/// A run that is opened for reading.
#[derive(Debug)]
pub struct OpenedRun {
    /// Where it is.
    pub path: PathBuf,
    /// The network.
    pub network: Arc<Source>,
    /// The resolved configuration.
    pub config: Config,
    /// The classes' names.
    pub classes: Vec<String>,
    /// The newest parameters: the final ones, or the last checkpoint's.
    pub checkpoint: Checkpoint,
}

/// Opens a run: its network, configuration (changed by `--set` assignments), classes and newest parameters.
///
/// # Errors
/// E0501 there is no run; E0601 its checkpoint is damaged; E0901 a file cannot be read; those of its configuration.
pub fn open(path: &Path, sets: &[String]) -> Result<OpenedRun, Diagnostics> {
    let Settings {
        path,
        network,
        config,
        classes,
    } = settings(path, sets)?;
    let candidates = [
        path.join(name::FINAL),
        path.join(name::CHECKPOINTS).join(name::LAST),
    ];
    let Some(file) = candidates.iter().find(|file| file.exists()) else {
        return Err(no_run(&path, "it has no checkpoint yet"));
    };
    let checkpoint = checkpoint::open(file)?;
    Ok(OpenedRun {
        path,
        network,
        config,
        classes,
        checkpoint,
    })
}

/// What a run was begun with.
#[derive(Debug)]
pub struct Settings {
    /// Where it is.
    pub path: PathBuf,
    /// The network.
    pub network: Arc<Source>,
    /// The resolved configuration.
    pub config: Config,
    /// The classes' names.
    pub classes: Vec<String>,
}

/// Where a run stood when its final parameters were written; none where it has none that can be read. It may have been to be
/// trained further since then: see [`Finish::is_end`].
pub fn finish(path: &Path) -> Option<Finish> {
    Finish::read(&checkpoint::facts(&path.join(name::FINAL)).ok()?)
}

/// E0601 of a mean that is not the one of the run's parameters.
pub fn other_mean(path: &Path) -> Diagnostic {
    let run = path.display();
    let message = format!("the mean in `{run}` is not the one that the run began with");
    Diagnostic::error(Code::E0601, message)
        .help("restore `mean.safetensors` from a copy, or begin a new run with `--from`")
}

fn no_run(path: &Path, what: &str) -> Diagnostics {
    Diagnostics::from(
        Diagnostic::error(
            Code::E0501,
            format!("`{}` is no run: {what}", path.display()),
        )
        .help("name the folder that `netc train` printed"),
    )
}

/// Reads what a run was begun with; its configuration changed by `--set` assignments.
///
/// # Errors
/// E0501 there is no run; E0901 a file cannot be read; those of its configuration.
pub fn settings(path: &Path, sets: &[String]) -> Result<Settings, Diagnostics> {
    if !path.is_dir() {
        return Err(no_run(path, "there is no such folder"));
    }
    let text = |name: &str| -> Result<Arc<Source>, Diagnostics> {
        let place = path.join(name);
        let bytes = file::read(&place).map_err(|fault| match fault.code {
            Code::E0501 => no_run(path, &format!("`{name}` is missing")),
            _ => fault.into(),
        })?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Diagnostics::from(Diagnostic::error(
                Code::E0106,
                format!("`{}` is not UTF-8 text", place.display()),
            ))
        })?;
        Ok(Source::new(place.display().to_string(), text))
    };
    let network = text(name::NETWORK)?;
    let (config, diagnostics) = Config::load(Some(&text(name::CONFIG)?), path, sets);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let classes = text(name::CLASSES)?
        .text()
        .lines()
        .map(str::to_owned)
        .collect();
    Ok(Settings {
        path: path.to_path_buf(),
        network,
        config,
        classes,
    })
}

/// The lines of a run's `metrics.jsonl`, as far as they are whole.
///
/// # Errors
/// E0501, E0901 they cannot be read.
pub fn metrics(path: &Path) -> Result<Vec<Metrics>, Diagnostic> {
    let bytes = file::read(&path.join(name::METRICS))?;
    Ok(whole_lines(&bytes).map(|(_, metrics)| metrics).collect())
}

/// Lines that are whole, and what they say. Others are passed over.
pub(super) fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], Metrics)> {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines.filter_map(|line| {
        let whole = line.ends_with(b"\n").then_some(line)?;
        Some((whole, serde_json::from_slice(whole).ok()?))
    })
}

/// What a run began with, where its seed does not say it: that of `train --from`.
///
/// # Errors
/// E0601 it is damaged; E0901 it cannot be read.
pub fn first(path: &Path) -> Result<Option<Checkpoint>, Diagnostic> {
    match checkpoint::open(&path.join(name::CHECKPOINTS).join(numbered(0))) {
        Ok(first) => Ok(Some(first)),
        Err(fault) if fault.code == Code::E0501 => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Where a run's newest checkpoint stands, and under what it was written; none where it has none.
///
/// # Errors
/// As [`newest`].
pub fn standing(path: &Path) -> Result<Option<(State, Circumstances)>, Diagnostic> {
    // What the header says is enough.
    let (facts, _) = newest_by(path, |_, facts| Ok(facts))?;
    Ok(facts.and_then(|facts| state::read(&facts)))
}

/// The images that a run leaves out: of those learned from, held back, tested on.
///
/// # Errors
/// E0901 the list cannot be read.
pub fn left_out(path: &Path) -> Result<[Vec<String>; 3], Diagnostic> {
    let text = match file::read(&path.join(name::LEFT_OUT)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(fault) if fault.code == Code::E0501 => String::new(),
        Err(fault) => return Err(fault),
    };
    Ok(PARTS.map(|part| {
        let of = |line: &str| Some(line.strip_prefix(part)?.strip_prefix(' ')?.to_owned());
        text.lines().filter_map(of).collect()
    }))
}

/// The mean in a run's folder, for images of this shape.
///
/// # Errors
/// E0601 it is damaged or of another shape; E0901 it cannot be read.
pub fn mean(path: &Path, image: Shape) -> Result<Mean, Diagnostic> {
    let place = path.join(name::MEAN);
    Mean::load(&file::read(&place)?, image, &place.display().to_string())
}

impl OpenedRun {
    /// The height and width of the images that it has learned from, where all had one.
    ///
    /// # Errors
    /// E0601 the mean is damaged; E0501, E0901 it cannot be read.
    pub fn stored(&self) -> Result<Option<(usize, usize)>, Diagnostic> {
        let about = checkpoint::peek(&self.path.join(name::MEAN))?;
        Ok(Origin::read(&about).and_then(|(_, stored)| stored))
    }

    /// The run's mean, for images of this shape.
    ///
    /// # Errors
    /// E0601 it is damaged or of another shape; E0901 it cannot be read.
    pub fn mean(&self, image: Shape) -> Result<Mean, Diagnostic> {
        let facts = &self.checkpoint.facts;
        let known = Finish::read(facts).map(|finish| finish.mean);
        let known = known.or_else(|| Some(state::read(facts)?.1.mean));
        let place = self.path.join(name::MEAN);
        let bytes = file::read(&place)?;
        let found = Mean::load(&bytes, image, &place.display().to_string())?;
        match known {
            Some(known) if known != file::hex(&Sha256::digest(bytes)) => {
                Err(other_mean(&self.path))
            }
            _ => Ok(found),
        }
    }
}
