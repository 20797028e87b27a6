//! Who may write a run's folder: the process that holds its lock, which dies with it.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use fs4::{FileExt, TryLockError};
use same_file::Handle;

use super::name;
use crate::diagnostic::{Code, Diagnostic};
use crate::file::{unreadable, unwritable};

/// A run's folder that no other process trains in while this is kept.
#[derive(Debug)]
pub struct Claim {
    pub(super) path: PathBuf,
    pub(super) lock: File,
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
pub(super) fn lock(path: &Path) -> Result<File, Diagnostic> {
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

/// Whether a file is the one that has this name; nothing where the name is free.
pub(super) fn has_name(file: &File, place: &Path) -> Result<Option<bool>, Diagnostic> {
    let handles = file.try_clone().and_then(Handle::from_file);
    let ours = handles.map_err(|e| unwritable(place, &e))?;
    match Handle::from_path(place) {
        Ok(there) => Ok(Some(ours == there)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unwritable(place, &e)),
    }
}

/// E0603 of a folder that is taken.
pub(super) fn taken(path: &Path, what: &str, help: &str) -> Diagnostic {
    Diagnostic::error(Code::E0603, format!("`{}` {what}", path.display())).help(help)
}
