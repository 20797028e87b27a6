//! A run's folder: what is in it, who may write it, and how a finished run is opened again.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs4::FileExt;

use super::checkpoint::{self, Checkpoint};
use crate::config::Config;
use crate::data::Mean;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::file::{self, unwritable};
use crate::op::shape::Shape;
use crate::source::Source;

/// A run's folder that this process writes. Its lock dies with the process.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    metrics: File,
    _lock: File,
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
    /// The mean, and the shape of an image.
    pub mean: (&'a Mean, Shape),
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

impl RunFolder {
    /// Makes the folder and writes what stands in it before the first step; with `force` an old run in it goes first.
    /// Where something fails, nothing new is left behind.
    ///
    /// # Errors
    /// E0603 a run is already there; E0901 the folder cannot be written.
    pub fn create(path: &Path, force: bool, contents: &Contents<'_>) -> Result<Self, Diagnostic> {
        let existed = path.exists();
        let outermost = path
            .ancestors()
            .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
            .last()
            .map(Path::to_path_buf);
        fs::create_dir_all(path).map_err(|e| unwritable(path, &e))?;
        let held = path.join("config.toml").exists() || path.join("network.net").exists();
        let made = Self::fill(path, force, contents);
        // Best effort: the first error is the one to tell.
        if made.is_err() && !existed {
            let _ = fs::remove_dir_all(outermost.as_deref().unwrap_or(path));
        } else if made.is_err() && !held {
            for own in [
                "network.net",
                "config.toml",
                "classes.txt",
                "mean.safetensors",
                "metrics.jsonl",
                ".lock",
            ] {
                let _ = fs::remove_file(path.join(own));
            }
            let _ = fs::remove_dir(path.join("checkpoints"));
        }
        made
    }

    fn fill(path: &Path, force: bool, contents: &Contents<'_>) -> Result<Self, Diagnostic> {
        let there = path.join("config.toml").exists() || path.join("network.net").exists();
        let taken = |what: &str, help: &str| {
            Diagnostic::error(Code::E0603, format!("`{}` {what}", path.display())).help(help)
        };
        let name = path.join(".lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name)
            .map_err(|e| unwritable(&name, &e))?;
        if FileExt::try_lock(&lock).is_err() {
            return Err(taken(
                "is in use by another training",
                "wait for its end, or choose another `output.dir`",
            ));
        }
        if there && !force {
            return Err(taken(
                "already holds a run",
                "`--force` replaces it; or choose another `output.dir`",
            ));
        }
        if there {
            for old in ["checkpoints", "metrics.jsonl", "final.safetensors"] {
                let old = path.join(old);
                let gone = if old.is_dir() {
                    fs::remove_dir_all(&old)
                } else {
                    fs::remove_file(&old)
                };
                match gone {
                    Err(e) if e.kind() != ErrorKind::NotFound => return Err(unwritable(&old, &e)),
                    _ => {}
                }
            }
        }
        file::write(&path.join("network.net"), contents.network.as_bytes())?;
        file::write(
            &path.join("config.toml"),
            contents.config.to_toml().as_bytes(),
        )?;
        file::write(
            &path.join("classes.txt"),
            (contents.classes.join("\n") + "\n").as_bytes(),
        )?;
        file::write(
            &path.join("mean.safetensors"),
            &contents.mean.0.save(contents.mean.1),
        )?;
        let checkpoints = path.join("checkpoints");
        fs::create_dir_all(&checkpoints).map_err(|e| unwritable(&checkpoints, &e))?;
        let name = path.join("metrics.jsonl");
        let metrics = File::create(&name).map_err(|e| unwritable(&name, &e))?;
        Ok(Self {
            path: path.to_path_buf(),
            metrics,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one line to `metrics.jsonl`.
    ///
    /// # Errors
    /// E0901 it cannot be written.
    pub fn metrics(&mut self, line: &str) -> Result<(), Diagnostic> {
        let name = self.path.join("metrics.jsonl");
        self.metrics
            .write_all(format!("{line}\n").as_bytes())
            .map_err(|e| unwritable(&name, &e))
    }

    /// Writes `checkpoints/last.safetensors`, and `best.safetensors` where it is the best so far.
    ///
    /// # Errors
    /// Those of `save`; E0901 one cannot be written. An older one is still there.
    pub fn checkpoint(
        &self,
        save: impl FnOnce(&Path) -> Result<(), Diagnostic>,
        best: bool,
    ) -> Result<(), Diagnostic> {
        let folder = self.path.join("checkpoints");
        let last = folder.join("last.safetensors");
        save(&last)?;
        if best {
            file::duplicate(&last, &folder.join("best.safetensors"))?;
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
        save(&self.path.join("final.safetensors"))
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
    let none = |what: &str| {
        Diagnostics::from(
            Diagnostic::error(
                Code::E0501,
                format!("`{}` is no run: {what}", path.display()),
            )
            .help("name the folder that `netc train` printed"),
        )
    };
    if !path.is_dir() {
        return Err(none("there is no such folder"));
    }
    let text = |name: &str| -> Result<Arc<Source>, Diagnostics> {
        let place = path.join(name);
        let bytes = file::read(&place).map_err(|fault| match fault.code {
            Code::E0501 => none(&format!("`{name}` is missing")),
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
    let network = text("network.net")?;
    let (config, diagnostics) = Config::load(Some(&text("config.toml")?), path, sets);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let classes = text("classes.txt")?
        .text()
        .lines()
        .map(str::to_owned)
        .collect();
    let candidates = [
        path.join("final.safetensors"),
        path.join("checkpoints/last.safetensors"),
    ];
    let Some(file) = candidates.iter().find(|file| file.exists()) else {
        return Err(none("it has no checkpoint yet"));
    };
    let checkpoint = checkpoint::read(file)?;
    Ok(OpenedRun {
        path: path.to_path_buf(),
        network,
        config,
        classes,
        checkpoint,
    })
}

impl OpenedRun {
    /// The run's mean, for images of this shape.
    ///
    /// # Errors
    /// E0601 it is damaged or of another shape; E0901 it cannot be read.
    pub fn mean(&self, image: Shape) -> Result<Mean, Diagnostic> {
        let place = self.path.join("mean.safetensors");
        Mean::load(&file::read(&place)?, image, &place.display().to_string())
    }
}
