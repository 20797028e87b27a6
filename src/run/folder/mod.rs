//! A run's folder: what is in it, and who may write it. [`read`] opens it again.

mod contents;
mod lock;
mod log;
mod read;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

pub use self::contents::{Contents, Files};
pub use self::lock::{Claim, claim, is_training};
use self::lock::{has_name, lock, taken};
use self::log::Log;
pub(in crate::run) use self::read::checkpoints;
use self::read::whole_lines;
pub use self::read::{
    OpenedRun, Settings, finish, first, left_out, mean, metrics, newest, open, other_mean,
    settings, standing,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::file::{self, unreadable, unwritable};

/// A run's folder that this process writes. Its lock dies with the process.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    metrics: Log,
    lock: File,
    /// What stands in it from before the first step on, should it have to be made again.
    files: Files,
    /// Whether something of it has been.
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

/// Writes what a run begins with to a place.
pub type Begin<'a> = dyn FnMut(&Path) -> Result<(), Diagnostic> + 'a;

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

/// The first of a run's files that is in a folder.
fn held(path: &Path) -> Option<&'static str> {
    let names = [
        name::CONFIG,
        name::NETWORK,
        name::CLASSES,
        name::MEAN,
        name::LEFT_OUT,
        name::METRICS,
        name::CHECKPOINTS,
        name::FINAL,
    ];
    names.into_iter().find(|name| path.join(name).exists())
}

/// Whether a run can be put into a folder without replacing anything.
///
/// # Errors
/// E0603 it holds a run, or a file that a run would replace.
pub fn free(path: &Path) -> Result<(), Diagnostic> {
    match held(path) {
        None => Ok(()),
        Some(name::CONFIG) => {
            let help =
                "`--resume` goes on with it, `--force` replaces it; or choose another `output.dir`";
            Err(taken(path, "already holds a run", help))
        }
        Some(other) => {
            let what = format!("already holds `{other}`, which a run would replace");
            let help = "choose another `output.dir`; `--force` replaces it";
            Err(taken(path, &what, help))
        }
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

/// Removes a file that may be missing.
fn remove(path: &Path) -> Result<(), Diagnostic> {
    gone(path, fs::remove_file(path))
}

/// What has become of what was to be removed, and may have been missing.
fn gone(path: &Path, result: io::Result<()>) -> Result<(), Diagnostic> {
    match result {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(unwritable(path, &e)),
        _ => Ok(()),
    }
}

impl RunFolder {
    /// Makes the folder of a pattern (see [`choose`]) and writes what stands in it before the first step; with `force` an
    /// old run in it goes first. Where something fails, nothing new is left behind.
    ///
    /// What `begin` writes is what the run begins with that its seed does not say: it is kept as
    /// `checkpoints/step-0.safetensors`, which stays.
    ///
    /// # Errors
    /// E0603 a run is already there, or files that it would replace; E0901 the folder cannot be written; those of `begin`.
    pub fn create(
        pattern: &str,
        network: &str,
        force: bool,
        files: &Files,
        mut begin: Option<&mut Begin<'_>>,
    ) -> Result<Self, Diagnostic> {
        loop {
            let path = choose(pattern, network);
            match Self::create_at(&path, force, files, begin.as_deref_mut()) {
                // Another training took the number at the same moment.
                Err(fault) if fault.code == Code::E0603 && choose(pattern, network) != path => {}
                made => return made,
            }
        }
    }

    fn create_at(
        path: &Path,
        force: bool,
        files: &Files,
        begin: Option<&mut Begin<'_>>,
    ) -> Result<Self, Diagnostic> {
        let existed = path.exists();
        let outermost = path
            .ancestors()
            .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
            .last()
            .map(Path::to_path_buf);
        fs::create_dir_all(path).map_err(|e| unwritable(path, &e))?;
        let held = held(path).is_some();
        let made = Self::fill(path, force, files, begin);
        // Best effort: the first error is the one to tell.
        if let Err(fault) = &made
            && fault.code != Code::E0603
        {
            if !existed {
                let _ = fs::remove_dir_all(outermost.as_deref().unwrap_or(path));
            } else if !held {
                for (own, _) in &files.0 {
                    let _ = fs::remove_file(path.join(own));
                }
                let _ = fs::remove_file(path.join(name::METRICS));
                let _ = fs::remove_file(path.join(name::LOCK));
                let _ = fs::remove_dir_all(path.join(name::CHECKPOINTS));
            }
        }
        made
    }

    fn fill(
        path: &Path,
        force: bool,
        files: &Files,
        begin: Option<&mut Begin<'_>>,
    ) -> Result<Self, Diagnostic> {
        if held(path).is_some() && !force {
            if path.join(name::LOCK).exists()
                && let Err(fault) = lock(path)
                && fault.code == Code::E0603
            {
                return Err(fault);
            }
            // Not even a lock is left in it.
            free(path)?;
        }
        let lock = lock(path)?;
        if held(path).is_some() {
            if !force {
                free(path)?;
            }
            // The configuration first: what is left without it is no run.
            for old in [name::CONFIG, name::METRICS, name::FINAL, name::LEFT_OUT] {
                remove(&path.join(old))?;
            }
            for (old, _) in checkpoints(path) {
                remove(&old)?;
            }
        }
        Self::write_all(path, lock, files.clone(), begin)
    }

    /// Writes the files into a folder that is locked, where nothing half-written stays.
    fn write_all(
        path: &Path,
        lock: File,
        files: Files,
        begin: Option<&mut Begin<'_>>,
    ) -> Result<Self, Diagnostic> {
        sweep(path);
        let checkpoints = path.join(name::CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(|e| unwritable(&checkpoints, &e))?;
        // A run that has its configuration can be resumed, so that is the last one.
        let (last, first) = files
            .0
            .split_last()
            .expect("internal error: a run has files");
        for (name, bytes) in first {
            file::write(&path.join(name), bytes)?;
        }
        if let Some(begin) = begin {
            begin(&checkpoints.join(numbered(0)))?;
        }
        file::write(&path.join(last.0), &last.1)?;
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
    pub fn reopen(claim: Claim, steps: u64, files: &Files) -> Result<Self, Diagnostic> {
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
        Self::write_all(&path, lock, files.clone(), None)
    }

    /// Makes sure that the folder is still there and this run's own, and makes again what of it has vanished.
    ///
    /// # Errors
    /// E0603 another training's folder is in its place; E0901 it cannot be made again.
    pub fn hold(&mut self) -> Result<(), Diagnostic> {
        let others = || {
            let help = "choose another `output.dir`";
            Err(taken(&self.path, "is another run's by now", help))
        };
        let place = self.path.join(name::METRICS);
        let locked = has_name(&self.lock, &self.path.join(name::LOCK))?;
        let logged = has_name(&self.metrics.file, &place)?;
        match (locked, logged) {
            (Some(true), Some(true)) => {}
            (Some(true), _) => self.write_lines(&place)?,
            // The lines are ours, so is the folder.
            (None, Some(true)) => {
                self.lock = lock(&self.path)?;
                self.remade = true;
            }
            (None, None) if self.is_ours() => {
                fs::create_dir_all(&self.path).map_err(|e| unwritable(&self.path, &e))?;
                self.lock = lock(&self.path)?;
                self.write_lines(&place)?;
            }
            _ => return others(),
        }
        let checkpoints = self.path.join(name::CHECKPOINTS);
        if !checkpoints.exists() {
            fs::create_dir_all(&checkpoints).map_err(|e| unwritable(&checkpoints, &e))?;
            self.remade = true;
        }
        for (name, bytes) in &self.files.0 {
            let place = self.path.join(name);
            if !place.exists() {
                file::write(&place, bytes)?;
                self.remade = true;
            }
        }
        Ok(())
    }

    /// Whether nothing but this run's own files is left.
    fn is_ours(&self) -> bool {
        let own = |(name, bytes): &(&str, Vec<u8>)| match fs::read(self.path.join(name)) {
            Ok(there) => there == *bytes,
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        self.files.0.iter().all(own)
    }

    /// Writes the lines so far again, where their file has lost its name.
    fn write_lines(&mut self, place: &Path) -> Result<(), Diagnostic> {
        let failed = |e: io::Error| unwritable(place, &e);
        let lines = self.metrics.contents().map_err(failed)?;
        file::write(place, &lines)?;
        let waiting = std::mem::take(&mut self.metrics.waiting);
        self.metrics = Log::open(place).map_err(failed)?;
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
        if best {
            // The best one first, since the last one says that there is such.
            let best = folder.join(name::BEST);
            save(&best)?;
            file::duplicate(&best, &last)?;
        } else {
            save(&last)?;
        }
        // Where the run was finished before, those are no longer its last parameters.
        remove(&self.path.join(name::FINAL))?;
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
