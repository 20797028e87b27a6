//! `netc git-setup`: makes git show and merge networks by layer, or takes that back.
//!
//! git asks its configuration what `diff=netc` and `merge=netc` mean, and an attributes file which files have them. Both
//! are changed through git or in one line, so that everything else in them stays, to the byte.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use super::{Exit, FINE, Failure, Output};
use crate::diagnostic::{Code, Diagnostic};
use crate::file;

/// Arguments of `git-setup`.
#[derive(Debug, Args)]
pub struct GitSetup {
    /// For all repositories of this user
    #[arg(long, conflicts_with = "local")]
    global: bool,
    /// For this repository alone (the default): its .gitattributes, and its configuration
    #[arg(long)]
    local: bool,
    /// Take it back
    #[arg(long)]
    remove: bool,
}

/// The line in the attributes file.
const ATTRIBUTES: &str = "*.net diff=netc merge=netc";

/// git's keys; `{}` is the program.
const KEYS: &[(&str, &str)] = &[
    ("diff.netc.command", "{} diff"),
    ("diff.netc.textconv", "{} diff --textconv"),
    ("merge.netc.name", "netc: networks by layer"),
    (
        "merge.netc.driver",
        "{} merge --marker-size %L --path %P %O %A %B",
    ),
    ("difftool.netc.cmd", "{} diff \"$LOCAL\" \"$REMOTE\""),
];

impl GitSetup {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let scope = if self.global { "--global" } else { "--local" };
        let attributes = self.attributes()?;
        let program = program();
        let mut changes = Vec::new();
        for (key, value) in KEYS {
            let value = value.replace("{}", &program);
            let now = git(&["config", scope, "--get", key])?;
            match (self.remove, now) {
                (false, Some(now)) if now == value => {}
                (false, _) => {
                    demand(&["config", scope, key, &value])?;
                    changes.push(format!("set {key}"));
                }
                (true, Some(_)) => {
                    demand(&["config", scope, "--unset-all", key])?;
                    changes.push(format!("removed {key}"));
                }
                (true, None) => {}
            }
        }
        if self.edit(&attributes)? {
            let word = if self.remove {
                "removed from"
            } else {
                "added to"
            };
            changes.push(format!("`{ATTRIBUTES}` {word} {}", attributes.display()));
        }
        let mut text = changes.join("\n");
        if changes.is_empty() {
            text = if self.remove {
                "nothing of netc is set up".into()
            } else {
                "netc is set up already".into()
            };
        }
        output.print(&(text + "\n"));
        Ok(FINE)
    }

    /// The attributes file.
    fn attributes(&self) -> Result<PathBuf, Failure> {
        if !self.global {
            let top = git(&["rev-parse", "--show-toplevel"])?;
            let top = top.filter(|top| !top.is_empty()).ok_or_else(|| {
                Failure::Usage(
                    "this is no git repository with files: go to one, or use `--global`".into(),
                )
            })?;
            return Ok(Path::new(&top).join(".gitattributes"));
        }
        let named = git(&[
            "config",
            "--global",
            "--type=path",
            "--get",
            "core.attributesFile",
        ])?;
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            return Ok(named.into());
        }
        // Where git looks where nothing is named.
        file::of_user("", "XDG_CONFIG_HOME", ".config", "git/attributes").ok_or_else(|| {
            Failure::Usage("there is no home folder: HOME and XDG_CONFIG_HOME are not set".into())
        })
    }

    /// Adds the line to an attributes file, or takes it away. Whether the file changed.
    fn edit(&self, path: &Path) -> Result<bool, Diagnostic> {
        let before = match fs::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(file::unreadable(path, &error)),
        };
        let bytes = before.as_deref().unwrap_or_default();
        let after = if self.remove {
            without_line(bytes)
        } else {
            with_line(bytes)
        };
        if after == bytes {
            return Ok(false);
        }
        if after.is_empty() {
            fs::remove_file(path).map_err(|error| file::unwritable(path, &error))?;
            return Ok(true);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| file::unwritable(folder, &error))?;
        }
        if before.is_some() {
            file::rewrite(path, &after)?;
        } else {
            file::write(path, &after)?;
        }
        Ok(true)
    }
}

/// The lines of a file, line ends included.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n')
}

fn is_ours(line: &[u8]) -> bool {
    line.trim_ascii() == ATTRIBUTES.as_bytes()
}

/// With the line at the end: later lines count more. A file whose last line does not end still does not.
fn with_line(bytes: &[u8]) -> Vec<u8> {
    let mut after = bytes.to_vec();
    if lines(bytes).any(is_ours) {
        return after;
    }
    let end: &[u8] = if bytes.windows(2).any(|pair| pair == b"\r\n") {
        b"\r\n"
    } else {
        b"\n"
    };
    let open = bytes.last().is_some_and(|&byte| byte != b'\n');
    if open {
        after.extend(end);
    }
    after.extend(ATTRIBUTES.as_bytes());
    if !open {
        after.extend(end);
    }
    after
}

/// Without the line, to the byte as before it came.
fn without_line(bytes: &[u8]) -> Vec<u8> {
    let mut after: Vec<u8> = Vec::with_capacity(bytes.len());
    for line in lines(bytes) {
        if !is_ours(line) {
            after.extend(line);
        } else if !line.ends_with(b"\n") {
            // The line end before it came with it.
            let bare = after.strip_suffix(b"\n").unwrap_or(&after);
            let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
            after.truncate(bare.len());
        }
    }
    after
}

/// How git calls this program: by name where that finds it, else by its path, quoted for a shell.
fn program() -> String {
    let own = std::env::current_exe().ok();
    let own = own.map(|path| path.canonicalize().unwrap_or(path));
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .map(|folder| folder.join("netc"))
        .find(|path| path.is_file());
    match own {
        None => "netc".into(),
        Some(own) if found.and_then(|found| found.canonicalize().ok()).as_ref() == Some(&own) => {
            "netc".into()
        }
        Some(own) => {
            let text = own.to_string_lossy().replace('\\', "/");
            let is_safe = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
            if text.chars().all(is_safe) {
                text
            } else {
                format!("'{}'", text.replace('\'', r"'\''"))
            }
        }
    }
}

/// What a git command prints; `None` where it says no.
fn git(arguments: &[&str]) -> Result<Option<String>, Diagnostic> {
    let done = Command::new("git")
        .args(arguments)
        .output()
        .map_err(missing)?;
    let text = String::from_utf8_lossy(&done.stdout);
    let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
    Ok(done.status.success().then_some(text))
}

fn missing(error: std::io::Error) -> Diagnostic {
    Diagnostic::error(Code::E0901, format!("git cannot be run: {error}"))
        .help("install git, or put it on the PATH")
}

/// Runs a git command that must succeed.
fn demand(arguments: &[&str]) -> Result<(), Diagnostic> {
    let done = Command::new("git")
        .args(arguments)
        .output()
        .map_err(missing)?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let message = format!("`git {}` failed: {}", arguments.join(" "), said.trim());
    Err(Diagnostic::error(Code::E0901, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_comes_once_and_goes_to_the_byte() {
        for before in [
            "",
            "*.rs text\n",
            "*.rs text",
            "a\r\n*.net text\r\n",
            "a\r\nb",
            "# c\n\n",
        ] {
            let with = with_line(before.as_bytes());
            assert!(lines(&with).any(is_ours), "{before:?}");
            assert_eq!(with_line(&with), with, "{before:?}");
            assert_eq!(without_line(&with), before.as_bytes(), "{before:?}");
            assert_eq!(without_line(before.as_bytes()), before.as_bytes());
        }
    }
}
