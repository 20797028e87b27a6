//! Whole files: read, and written in one piece. What is wrong says which file.
//!
//! Nothing is ever half-written: a file is made beside its place, brought to the disk and renamed.

use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::diagnostic::{Code, Diagnostic};

/// What the name of a file begins with that is not whole yet.
pub const NEW: &str = ".netc-";

/// A file's bytes.
///
/// # Errors
/// E0501 there is no such file; E0901 it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    fs::read(path).map_err(|error| unreadable(path, &error))
}

/// A folder of the user's: the one that the environment variable `own` names, else `name` in the folder that `base` names or,
/// without it, in the home's `usual` one for such; none where there is no home.
pub fn of_user(own: &str, base: &str, usual: &str, name: &str) -> Option<PathBuf> {
    let variable = |name: &str| {
        let value = env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let home = || Some(variable("HOME")?.join(usual));
    variable(own).or_else(|| Some(variable(base).or_else(home)?.join(name)))
}

/// E0501 for a file or folder that is not there, E0901 for one that cannot be read.
pub fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let code = if error.kind() == ErrorKind::NotFound {
        Code::E0501
    } else {
        Code::E0901
    };
    Diagnostic::error(
        code,
        format!("`{}` cannot be read: {error}", path.display()),
    )
}

/// E0901 for a file or folder that cannot be written. Where the disk is full, that names it.
pub fn unwritable(path: &Path, error: &io::Error) -> Diagnostic {
    let fault = Diagnostic::error(
        Code::E0901,
        format!("`{}` cannot be written: {error}", path.display()),
    );
    if !matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    ) {
        return fault;
    }
    match disk(path) {
        Some(disk) => fault.help(format!("free space on the disk at `{}`", disk.display())),
        None => fault.help("free space on that disk"),
    }
}

/// Where the disk that a file is on, or would be, begins in the tree of folders.
#[cfg(unix)]
fn disk(path: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let place = std::path::absolute(path).ok()?;
    let device = |path: &Path| Some(fs::metadata(path).ok()?.dev());
    let mut folders = place.ancestors().skip_while(|folder| !folder.exists());
    let mut top = folders.next()?;
    let own = device(top)?;
    for folder in folders {
        if device(folder) != Some(own) {
            break;
        }
        top = folder;
    }
    Some(top.to_path_buf())
}

#[cfg(not(unix))]
fn disk(_path: &Path) -> Option<PathBuf> {
    None
}

/// Writes a file: to a temporary file beside it, synced, renamed.
///
/// # Errors
/// E0901 the file cannot be written; what was there before is still there.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    replace(path, bytes, readable()).map_err(|error| unwritable(path, &error))
}

/// Writes a file as [`write`] does, its contents by and by: a large one is never whole in memory.
///
/// # Errors
/// Those of `fill`; E0901 the file cannot be written. What was there before is still there.
pub fn write_by(
    path: &Path,
    fill: impl FnOnce(&mut fs::File) -> Result<(), Diagnostic>,
) -> Result<(), Diagnostic> {
    let failed = |error: io::Error| unwritable(path, &error);
    let mut file = beside(path).map_err(failed)?;
    fill(file.as_file_mut())?;
    settle(file, path, readable()).map_err(failed)
}

/// Changes what a user's own file holds. Permissions stay; where the path is a link, what it points to changes.
///
/// # Errors
/// E0901 the file cannot be written; what was there before is still there.
pub fn rewrite(path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    let found = || {
        let place = fs::canonicalize(path)?;
        let permissions = fs::metadata(&place)?.permissions();
        Ok((place, permissions))
    };
    let (place, permissions) = found().map_err(|error| unwritable(path, &error))?;
    if permissions.readonly() {
        let error = io::Error::new(ErrorKind::PermissionDenied, "it is read-only");
        return Err(unwritable(path, &error).help("make the file writable"));
    }
    replace(&place, bytes, Some(permissions)).map_err(|error| unwritable(path, &error))
}

/// The permissions of a new file: readable for all, where the system has such.
fn readable() -> Option<fs::Permissions> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        Some(fs::Permissions::from_mode(0o644))
    }
    #[cfg(not(unix))]
    None
}

/// Puts a new file in a file's place.
fn replace(path: &Path, bytes: &[u8], permissions: Option<fs::Permissions>) -> io::Result<()> {
    let mut file = beside(path)?;
    file.write_all(bytes)?;
    settle(file, path, permissions)
}

/// A new file beside a file's place.
fn beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(NEW)
        .tempfile_in(folder(path))
}

/// Brings a new file to the disk and to its place.
fn settle(
    file: tempfile::NamedTempFile,
    path: &Path,
    permissions: Option<fs::Permissions>,
) -> io::Result<()> {
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    settle_folder(path);
    Ok(())
}

/// Brings the names in a file's folder to the disk, where the system has such a call. A file system that refuses keeps
/// them in its own time.
fn settle_folder(path: &Path) {
    if cfg!(unix)
        && let Ok(folder) = fs::File::open(folder(path))
    {
        let _ = folder.sync_all();
    }
}

/// Gives a file of this crate's writing a second name, which shares its bytes where the file system can do that. Such
/// files are replaced and never changed, so neither name ever shows another's later state.
///
/// # Errors
/// E0901 the second name cannot be written; what was there before is still there.
pub fn duplicate(from: &Path, to: &Path) -> Result<(), Diagnostic> {
    let linked = || {
        let place = tempfile::Builder::new()
            .prefix(NEW)
            .make_in(folder(to), |place| fs::hard_link(from, place))?;
        place.into_temp_path().persist(to).map_err(|e| e.error)
    };
    if linked().is_ok() {
        settle_folder(to);
        return Ok(());
    }
    write(to, &read(from)?)
}

/// Bytes as hexadecimal digits: a hash in a file, or in its name.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_outlives_what_replaces_the_first() {
        let place = tempfile::tempdir().unwrap();
        let (last, best) = (place.path().join("last"), place.path().join("best"));
        write(&last, b"one").unwrap();
        duplicate(&last, &best).unwrap();
        write(&last, b"two").unwrap();
        assert_eq!(
            (read(&last).unwrap(), read(&best).unwrap()),
            (b"two".into(), b"one".into())
        );
        duplicate(&last, &best).unwrap();
        assert_eq!(read(&best).unwrap(), b"two");
        assert_eq!(
            fs::read_dir(place.path()).unwrap().count(),
            2,
            "nothing is left beside them"
        );
    }

    #[test]
    fn what_is_missing_and_what_cannot_be_written_are_told_apart() {
        let place = tempfile::tempdir().unwrap();
        let missing = place.path().join("no/such");
        assert_eq!(read(&missing).unwrap_err().code, Code::E0501);
        assert_eq!(read(place.path()).unwrap_err().code, Code::E0901);
        assert_eq!(write(&missing, b"").unwrap_err().code, Code::E0901);
        assert_eq!(
            duplicate(&missing, &place.path().join("to"))
                .unwrap_err()
                .code,
            Code::E0501
        );
    }
}
