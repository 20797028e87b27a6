//! The forms in which `check` reports, and what all of them begin from.
//!
//! Owns: the option `--format`, and the words of a diagnostic without its place, for forms that have no field for notes
//! and help.

use clap::{Args, ValueEnum};

use crate::diagnostic::{Diagnostic, Diagnostics};

/// A form of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Diagnostics with excerpts on stderr, tables on stdout
    #[default]
    Text,
    /// One JSON object
    Json,
    /// A SARIF 2.1.0 log, for code scanning and editors
    Sarif,
    /// GitHub workflow commands, which become annotations
    Github,
}

/// The options that choose a form.
#[derive(Clone, Copy, Debug, Args)]
pub struct Reporting {
    /// How to report
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl Reporting {
    /// What is asked for.
    pub fn format(self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// What was found in one file.
#[derive(Clone, Copy, Debug)]
pub struct Findings<'a> {
    /// The file's name. It stands for the place of a diagnostic that has none.
    pub file: &'a str,
    /// In order.
    pub found: &'a Diagnostics,
}

/// Message, notes and help, a line each.
pub fn words(diagnostic: &Diagnostic) -> String {
    let mut words = diagnostic.message.clone();
    for note in &diagnostic.notes {
        words.push_str("\nnote: ");
        words.push_str(note);
    }
    if let Some(help) = &diagnostic.help {
        words.push_str("\nhelp: ");
        words.push_str(help);
    }
    words
}
