//! `netc diff` as git's external diff.
//!
//! git calls it with a path, then file, hash and mode of both sides; where a file was renamed, with its new path and a
//! description, too; with the path alone where it is unmerged. A side that is not there is `/dev/null`. Another status than
//! 0 makes git give up, unless `trustExitCode` is in force: then 1 says that the file differs (git 2.46 and later).

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::process::Command;

use super::compared::{Compared, Side};
use super::sides::Sides;
use super::text;
use crate::cli::{Exit, FINE, Failure, Output, PROBLEMS};
use crate::diagnostic::render;

/// How git called.
#[derive(Debug)]
pub struct GitCall {
    path: String,
    /// File and mode of each side; none where the path is unmerged.
    sides: Option<[(OsString, String); 2]>,
    /// The new path, and how alike the files are, where the file was renamed.
    renamed: Option<(String, String)>,
}

/// What git sets for the programs that it calls for each file.
const CALLED: &str = "GIT_DIFF_PATH_COUNTER";

impl GitCall {
    /// The call, where the arguments are git's.
    pub fn of(sides: &Sides) -> Option<Self> {
        let arguments = sides.files()?;
        let text = |at: usize| arguments[at].to_string_lossy().into_owned();
        match arguments.len() {
            7 | 9 => Some(Self {
                path: text(0),
                sides: Some([1, 4].map(|at| (arguments[at].clone(), text(at + 2)))),
                renamed: (arguments.len() == 9).then(|| (text(7), text(8))),
            }),
            1 if std::env::var_os(CALLED).is_some() => Some(Self {
                path: text(0),
                sides: None,
                renamed: None,
            }),
            _ => None,
        }
    }

    /// Whether to use colours: as git would in its place.
    pub fn colour(output: &Output) -> bool {
        if output.is_decided() {
            return output.colour;
        }
        let pager = std::env::var("GIT_PAGER_IN_USE").is_ok_and(|v| v == "true" || v == "1");
        let screen = pager || std::io::stdout().is_terminal();
        let answer = git(&[
            "config",
            "--get-colorbool",
            "color.diff",
            if screen { "true" } else { "false" },
        ]);
        answer.map_or(screen, |answer| answer.trim() == "true")
    }

    /// What to print, and the exit code.
    pub fn answer(
        &self,
        output: &Output,
        compare: impl FnOnce([Side; 2]) -> Result<Compared, Failure>,
    ) -> Result<(String, Exit), Failure> {
        let new_path = self.renamed.as_ref().map_or(&self.path, |(path, _)| path);
        let heading = match &self.renamed {
            Some((path, _)) if *path != self.path => format!("{} -> {path}", self.path),
            _ => self.path.clone(),
        };
        let mut page = text::bold(&heading, output.colour) + "\n";
        let Some([(old, old_mode), (new, new_mode)]) = &self.sides else {
            return Ok((page + "unmerged: both sides changed it\n", FINE));
        };
        for line in self.renamed.iter().flat_map(|(_, words)| words.lines()) {
            if line.starts_with("similarity") || line.starts_with("dissimilarity") {
                page.push_str(line);
                page.push('\n');
            }
        }
        if old_mode != new_mode && old_mode != "." && new_mode != "." {
            page.push_str(&format!("mode {old_mode} -> {new_mode}\n"));
        }
        let sides = [
            Side::file(Path::new(old), &self.path),
            Side::file(Path::new(new), new_path),
        ];
        let compared = compare(sides)?;
        // Where git shows pages, its reader sees what is wrong there, too.
        for found in compared.found() {
            for diagnostic in &found.clone().told() {
                page.push_str(render::human(diagnostic, output.coloured_style()).trim_end());
                page.push('\n');
            }
        }
        page.push_str(&text::body(&compared, output));
        let differs = !(compared.is_sound() && compared.is_same()) || old_mode != new_mode;
        let trusted = differs && is_trusted();
        Ok((page, if trusted { PROBLEMS } else { FINE }))
    }
}

/// What a git command prints; `None` where it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let done = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    done.status.success().then_some(text)
}

/// Whether git takes an exit code of 1 for what it says.
fn is_trusted() -> bool {
    let says = |value: Option<String>| {
        value.is_some_and(|v| ["true", "1", "yes", "on"].contains(&v.trim()))
    };
    let configured = |key: &str| says(git(&["config", "--type=bool", "--get", key]));
    let asked = if std::env::var_os("GIT_EXTERNAL_DIFF").is_some() {
        says(std::env::var("GIT_EXTERNAL_DIFF_TRUST_EXIT_CODE").ok())
            || configured("diff.trustExitCode")
    } else {
        configured("diff.netc.trustExitCode")
    };
    asked && git(&["version"]).is_some_and(|text| is_at_least(&text, (2, 46)))
}

/// Whether `git version 2.47.3` is at least so new.
fn is_at_least(text: &str, version: (u32, u32)) -> bool {
    let numbers = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let mut parts = numbers
        .unwrap_or("")
        .split('.')
        .map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_at_least("git version 2.47.3", (2, 46)));
        assert!(is_at_least("git version 3.0.0 (Apple Git-1)", (2, 46)));
        assert!(!is_at_least("git version 2.9.5", (2, 46)));
        assert!(!is_at_least("", (2, 46)));
    }
}
