//! A run's folder: what is in it, and who may write it. [`read`] opens it again.

mod log;
mod read;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use fs4::{FileExt, TryLockError};
use same_file::Handle;

use self::log::Log;
pub(in crate::run) use self::read::checkpoints;
use self::read::whole_lines;
pub use self::read::{
    OpenedRun, Settings, first, has_final, left_out, mean, metrics, newest, open, settings,
    standing,
};
use crate::config::Config;
use crate::data::Mean;
use crate::diagnostic::{Code, Diagnostic};
use crate::file::{self, unreadable, unwritable};
use crate::op::shape::Shape;

/// A run's folder that this process writes. Its lock dies with the process.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    metrics: Log,
    lock: File,
    /// What stands in it from before the first step on, should it have to be made again.
    files: Vec<(&'static str, Vec<u8>)>,
    /// Whether that has happened.
    pub remade: bool,
}

/// What a run's folder holds.
pub(in crate::run) mod name {
    pub const NETWORK: &str = "network.net";
    pub const CONFIG: &str = "config.toml";
    pub const CLASSES: &str = "classes.txt";
    pub const MEAN: &str = "mean.safetensors";
    pub const LEFT_OUT: &str = "left-out.txt";
    pub const METRICS: &str = "metrics.jsonl";
    pub const LOCK: &str = ".lock";
    pub const CHECKPOINTS: &str = "checkpoints";
    pub const LAST: &str = "last.safetensors";
    pub const BEST: &str = "best.safetensors";
    pub const FINAL: &str = "final.safetensors";
}

/// Everything that is written before the first step.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The network's text.
    pub network: &'a str,
    /// The resolved configuration.
    pub config: &'a Config,
    /// The classes' names in the order of the labels.
    pub classes: &'a [String],
    /// The mean, the shape of an image, and how many it is learned from.
    pub mean: (&'a Mean, Shape, usize),
    /// The images that cannot be read and are left out: of those learned from, held back, tested on.
    pub left_out: [&'a [String]; 3],
}

/// How `left-out.txt` names the three sets.
const PARTS: [&str; 3] = ["train", "validation", "test"];

impl Contents<'_> {
    fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let (mean, shape, images) = self.mean;
        let mut files = vec![
            (name::NETWORK, self.network.into()),
            (name::CLASSES, (self.classes.join("\n") + "\n").into()),
            (name::MEAN, mean.save(shape, images)),
        ];
        let lines = PARTS.iter().zip(self.left_out).flat_map(|(part, files)| {
            let line = move |file: &String| format!("{part} {file}\n");
            files.iter().map(line)
        });
        let lines: String = lines.collect();
        if !lines.is_empty() {
            files.push((name::LEFT_OUT, lines.into()));
        }
        // The last one: a run that has it can be resumed.
        files.push((name::CONFIG, self.config.to_toml().into()));
        files
    }
}

/// The folder of `output.dir`: `{net}` is the network's name, `{n}` the first number that is free.
pub fn choose(pattern: &str, network: &str) -> PathBuf {
    let named = pattern.replace("{net}", network);
    if !named.contains("{n}") {
        return PathBuf::from(named);
    }
    let path = |n: u64| PathBuf::from(named.replace("{n}", &n.to_string()));
    let mut n = 1;
    while path(n).exists() {
        n += 1;
    }
    path(n)
}

/// Whether a run is in a folder.
fn holds_run(path: &Path) -> bool {
    path.join(name::CONFIG).exists() || path.join(name::NETWORK).exists()
}

fn taken(path: &Path, what: &str, help: &str) -> Diagnostic {
    Diagnostic::error(Code::E0603, format!("`{}` {what}", path.display())).help(help)
}

/// A run's folder that no other process trains in while this is kept.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    lock: File,
}

/// Claims a run's folder before it is read, so that nobody changes it meanwhile.
///
/// # Errors
/// E0603 another training is at it; E0901 it cannot be written.
pub fn claim(path: &Path) -> Result<Claim, Diagnostic> {
    let (path, lock) = (path.to_path_buf(), lock(path)?);
    Ok(Claim { path, lock })
}

/// Locks a run's folder.
///
/// # Errors
/// E0603 another process holds it; E0901 the lock's file cannot be written.
fn lock(path: &Path) -> Result<File, Diagnostic> {
    let place = path.join(name::LOCK);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&place)
        .map_err(|e| unwritable(&place, &e))?;
    // `is_training` of another process holds it for a moment only.
    for _ in 0..3 {
        if FileExt::try_lock(&lock).is_ok() {
            return Ok(lock);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(taken(
        path,
        "is in use by another training",
        "wait for its end, or choose another `output.dir`",
    ))
}

/// Whether a process trains in a run's folder right now. Nothing there changes.
///
/// # Errors
/// E0901 that cannot be found out.
pub fn is_training(path: &Path) -> Result<bool, Diagnostic> {
    let place = path.join(name::LOCK);
    let lock = match File::open(&place) {
        Ok(lock) => lock,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(unreadable(&place, &e)),
    };
    // A shared lock, so that two who ask do not take each other for a training.
    match FileExt::try_lock_shared(&lock) {
        Ok(()) => {
            let _ = FileExt::unlock(&lock);
            Ok(false)
        }
        Err(TryLockError::WouldBlock) => Ok(true),
        // A file system without locks: no training holds one there.
        Err(TryLockError::Error(_)) => Ok(false),
    }
}

/// Removes what a process that died has left half-written in a run's folder. Best effort: it is in nobody's way.
fn sweep(path: &Path) {
    for folder in [path.to_path_buf(), path.join(name::CHECKPOINTS)] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(file::NEW) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Removes a file or folder that may be missing.
fn remove(path: &Path) -> Result<(), Diagnostic> {
    let gone = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match gone {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(unwritable(path, &e)),
        _ => Ok(()),
    }
}

impl RunFolder {
    /// Makes the folder of a pattern (see [`choose`]) and writes what stands in it before the first step; with `force` an
    /// old run in it goes first. Where something fails, nothing new is left behind.
    ///
    /// # Errors
    /// E0603 a run is already there; E0901 the folder cannot be written.
    pub fn create(
        pattern: &str,
        network: &str,
        force: bool,
        contents: &Contents<'_>,
    ) -> Result<Self, Diagnostic> {
        loop {
            let path = choose(pattern, network);
            match Self::create_at(&path, force, contents) {
                // Another training took the number at the same moment.
                Err(fault) if fault.code == Code::E0603 && choose(pattern, network) != path => {}
                made => return made,
            }
        }
    }

    fn create_at(path: &Path, force: bool, contents: &Contents<'_>) -> Result<Self, Diagnostic> {
        let existed = path.exists();
        let outermost = path
            .ancestors()
            .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
            .last()
            .map(Path::to_path_buf);
        fs::create_dir_all(path).map_err(|e| unwritable(path, &e))?;
        let held = holds_run(path);
        let made = Self::fill(path, force, contents);
        // Best effort: the first error is the one to tell.
        if let Err(fault) = &made
            && fault.code != Code::E0603
        {
            if !existed {
                let _ = fs::remove_dir_all(outermost.as_deref().unwrap_or(path));
            } else if !held {
                for (own, _) in contents.files() {
                    let _ = fs::remove_file(path.join(own));
                }
                let _ = fs::remove_file(path.join(name::METRICS));
                let _ = fs::remove_file(path.join(name::LOCK));
                let _ = fs::remove_dir(path.join(name::CHECKPOINTS));
            }
        }
        made
    }

    fn fill(path: &Path, force: bool, contents: &Contents<'_>) -> Result<Self, Diagnostic> {
        if holds_run(path) && !force {
            lock(path)?;
            let help =
                "`--resume` goes on with it, `--force` replaces it; or choose another `output.dir`";
            return Err(taken(path, "already holds a run", help));
        }
        let lock = lock(path)?;
        if holds_run(path) {
            for old in [
                name::CHECKPOINTS,
                name::METRICS,
                name::FINAL,
                name::LEFT_OUT,
            ] {
                remove(&path.join(old))?;
            }
        }
        Self::write_all(path, lock, contents.files())
    }

    /// Writes the files into a folder that is locked, where nothing half-written stays.
    fn write_all(
        path: &Path,
        lock: File,
        files: Vec<(&'static str, Vec<u8>)>,
    ) -> Result<Self, Diagnostic> {
        sweep(path);
        for (name, bytes) in &files {
            file::write(&path.join(name), bytes)?;
        }
        let checkpoints = path.join(name::CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(|e| unwritable(&checkpoints, &e))?;
        let name = path.join(name::METRICS);
        let metrics = Log::open(&name).map_err(|e| unwritable(&name, &e))?;
        Ok(Self {
            path: path.to_path_buf(),
            metrics,
            lock,
            files,
            remade: false,
        })
    }

    /// Opens the folder of a run that goes on where the lines of so many steps are written. Those of later steps go, which
    /// come again.
    ///
    /// # Errors
    /// E0901 it cannot be written.
    pub fn reopen(claim: Claim, steps: u64, contents: &Contents<'_>) -> Result<Self, Diagnostic> {
        let Claim { path, lock } = claim;
        let place = path.join(name::METRICS);
        let lines = match fs::read(&place) {
            Ok(lines) => lines,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(unreadable(&place, &e)),
        };
        let kept = whole_lines(&lines).filter(|(_, metrics)| metrics.step <= steps);
        let kept: BTreeMap<u64, &[u8]> = kept.map(|(line, metrics)| (metrics.step, line)).collect();
        let kept = kept.into_values().collect::<Vec<_>>().concat();
        if kept.len() < lines.len() {
            file::write(&place, &kept)?;
        }
        Self::write_all(&path, lock, contents.files())
    }

    /// Keeps what a run begins with that its seed does not say, as `checkpoints/step-0.safetensors`, which stays.
    ///
    /// # Errors
    /// Those of `save`.
    pub fn begin(
        &self,
        save: impl FnOnce(&Path) -> Result<(), Diagnostic>,
    ) -> Result<(), Diagnostic> {
        save(&self.path.join(name::CHECKPOINTS).join(numbered(0)))
    }

    /// Makes sure that the folder is still there and this run's own, and makes it again where it has vanished.
    ///
    /// # Errors
    /// E0603 another training's folder is in its place; E0901 it cannot be made again.
    pub fn hold(&mut self) -> Result<(), Diagnostic> {
        let others = || {
            let help = "choose another `output.dir`";
            taken(&self.path, "is another run's by now", help)
        };
        let place = self.path.join(name::LOCK);
        let ours = self.lock.try_clone().and_then(Handle::from_file);
        let there = Handle::from_path(&place);
        match (ours, there) {
            (Ok(ours), Ok(there)) if ours == there => return Ok(()),
            (Ok(_), Err(e)) if e.kind() == ErrorKind::NotFound => {}
            (Ok(_), Ok(_)) => return Err(others()),
            (Err(e), _) | (_, Err(e)) => return Err(unwritable(&place, &e)),
        }
        if holds_run(&self.path) {
            return Err(others());
        }
        fs::create_dir_all(&self.path).map_err(|e| unwritable(&self.path, &e))?;
        let lines = self.metrics.contents().unwrap_or_default();
        let waiting = std::mem::take(&mut self.metrics.waiting);
        let files = std::mem::take(&mut self.files);
        let made = lock(&self.path).and_then(|lock| {
            file::write(&self.path.join(name::METRICS), &lines)?;
            Self::write_all(&self.path, lock, files.clone())
        });
        match made {
            Ok(folder) => *self = folder,
            Err(fault) => {
                (self.files, self.metrics.waiting) = (files, waiting);
                return Err(fault);
            }
        }
        self.metrics.waiting = waiting;
        self.remade = true;
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the last checkpoint is, if there is one.
    pub fn last(&self) -> Option<PathBuf> {
        let place = self.path.join(name::CHECKPOINTS).join(name::LAST);
        place.exists().then_some(place)
    }

    /// Appends one line to `metrics.jsonl`. One that cannot be written waits for the next.
    ///
    /// # Errors
    /// E0901 it cannot be written, and the one before could.
    pub fn metrics(&mut self, line: &str) -> Result<(), Diagnostic> {
        let waits = !self.metrics.waiting.is_empty();
        match self.metrics.write(line) {
            Err(error) if !waits => Err(unwritable(&self.path.join(name::METRICS), &error)),
            _ => Ok(()),
        }
    }

    /// Writes a checkpoint as `checkpoints/last.safetensors`, after the lines of all its steps. Where it has a number it is
    /// `step-N.safetensors` too, of which the newest `keep` stay; where it is the best so far, `best.safetensors`.
    ///
    /// # Errors
    /// Those of `save`; E0901 one cannot be written. An older one is still there.
    pub fn checkpoint(
        &mut self,
        save: impl FnOnce(&Path) -> Result<(), Diagnostic>,
        best: bool,
        number: Option<(u64, u64)>,
    ) -> Result<(), Diagnostic> {
        let folder = self.path.join(name::CHECKPOINTS);
        let last = folder.join(name::LAST);
        // Lines of the steps before it outlive a loss of power as it does.
        let lines = self
            .metrics
            .flush()
            .and_then(|()| self.metrics.file.sync_data());
        lines.map_err(|error| unwritable(&self.path.join(name::METRICS), &error))?;
        save(&last)?;
        // Where the run was finished before, those are no longer its last parameters.
        let old = self.path.join(name::FINAL);
        match fs::remove_file(&old) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(unwritable(&old, &e)),
            _ => {}
        }
        if best {
            file::duplicate(&last, &folder.join(name::BEST))?;
        }
        let Some((step, keep)) = number.filter(|(_, keep)| *keep > 0) else {
            return Ok(());
        };
        file::duplicate(&last, &folder.join(numbered(step)))?;
        let all = numbers(&folder);
        for old in all.iter().rev().skip(keep as usize).filter(|n| **n > 0) {
            remove(&folder.join(numbered(*old)))?;
        }
        Ok(())
    }

    /// Writes `final.safetensors`.
    ///
    /// # Errors
    /// Those of `save`.
    pub fn finish(
        &self,
        save: impl FnOnce(&Path) -> Result<(), Diagnostic>,
    ) -> Result<(), Diagnostic> {
        save(&self.path.join(name::FINAL))
    }
}

fn numbered(step: u64) -> String {
    format!("step-{step}.safetensors")
}

/// The steps of a folder's numbered checkpoints, the newest last.
fn numbers(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_prefix("step-")?
                .strip_suffix(".safetensors")?
                .parse()
                .ok()
        })
        .collect();
    numbers.sort_unstable();
    numbers
}
