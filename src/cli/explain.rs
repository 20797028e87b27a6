//! `netc explain`: what a diagnostic code means at length, or the list of all codes.

use std::fmt::Write as _;

use clap::Args;

use super::table::{Align, Table};
use super::{Exit, FINE, Failure, Output};
use crate::diagnostic::Code;
use crate::diagnostic::explain::{Explanation, Part, parts};
use crate::diagnostic::nearest::nearest;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// A code such as E0301, in upper or lower case; without one, all are listed
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// List all codes
    #[arg(long, conflicts_with = "code")]
    list: bool,
}

impl Explain {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        // Never both, clap sees to it.
        let text = match self.code.as_ref().filter(|_| !self.list) {
            None => list(output.colour),
            Some(text) => match text.parse() {
                Ok(code) => entry(code, output.colour),
                Err(_) => return Err(unknown(text)),
            },
        };
        output.print(&text);
        Ok(FINE)
    }
}

fn unknown(text: &str) -> Failure {
    let upper = text.to_uppercase();
    let meant = nearest(&upper, Code::ALL.iter().map(|code| code.name()));
    let tip = meant.map_or_else(
        || "`netc explain --list` shows all codes".into(),
        |meant| format!("did you mean '{meant}'?"),
    );
    Failure::Usage(format!(
        "no diagnostic has the code '{text}'\n\n  tip: {tip}"
    ))
}

/// A line a code.
fn list(colour: bool) -> String {
    let mut table = Table::new(&[("code", Align::Left), ("means", Align::Left)]);
    for code in Code::ALL {
        table.row([code.name(), code.meaning()]);
    }
    table.render(colour)
}

/// The entry for a terminal: headings, words as they are, blocks indented.
fn entry(code: Code, colour: bool) -> String {
    let (on, off) = if colour {
        ("\u{1b}[1m", "\u{1b}[0m")
    } else {
        ("", "")
    };
    let mut text = format!("{on}{code}: {}{off}\n", code.meaning());
    for (heading, section) in Explanation::of(code).sections() {
        let _ = write!(text, "\n{on}{heading}{off}\n");
        for (index, part) in parts(section).into_iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            let (lines, indent) = match part {
                Part::Words(words) => (words, "  "),
                Part::Block { text, .. } => (text, "      "),
            };
            for line in lines.lines() {
                let indent = if line.is_empty() { "" } else { indent };
                let _ = writeln!(text, "{indent}{line}");
            }
        }
    }
    text
}
