//! `netc man`: manual pages in roff, of the program and of its commands.
//!
//! Options come from the command line's own definitions; exit codes, environment and codes of diagnostics are added.

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, bold, roman};

use super::{Cli, Exit, FINE, Failure, Output};
use crate::diagnostic::Code;
use crate::diagnostic::nearest::nearest;

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// The command; without one, netc itself
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "Fine."),
    (
        "1",
        "Problems were found, or the self-test failed, or --check would change a file.",
    ),
    ("2", "Wrong usage."),
    (
        "130, 143",
        "Interrupted by Ctrl-C or SIGTERM. Training writes a checkpoint first.",
    ),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("NO_COLOR", "No colours, where it is not empty."),
    (
        "NETC_OPENCL_LIBRARY",
        "The OpenCL library to open, and no other.",
    ),
    (
        "NETC_CACHE_DIR",
        "Where compiled kernels are kept; else netc under XDG_CACHE_HOME, else ~/.cache/netc.",
    ),
    (
        "NETC_TUNING_DIR",
        "Where tune keeps its numbers; else netc/tuned under XDG_STATE_HOME, else ~/.local/state/netc/tuned.",
    ),
];

impl Man {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut program = Cli::command();
        // Names such as `netc-check` are given here.
        program.build();
        let page = match &self.command {
            None => page(program, true),
            Some(name) => page(find(&program, name)?, false),
        };
        output.print(&page);
        Ok(FINE)
    }
}

fn find(program: &Command, name: &str) -> Result<Command, Failure> {
    if let Some(command) = program.find_subcommand(name) {
        return Ok(command.clone());
    }
    let names = program.get_subcommands().map(Command::get_name);
    let tip = nearest(name, names).map_or_else(String::new, |meant| {
        format!("\n\n  tip: a similar command exists: '{meant}'")
    });
    Err(Failure::Usage(format!(
        "unrecognized command '{name}'{tip}"
    )))
}

fn page(command: Command, whole: bool) -> String {
    let mut bytes = Vec::new();
    Page::new(command)
        .manual("netc manual")
        .source(format!("netc {}", env!("CARGO_PKG_VERSION")))
        .render(&mut bytes)
        .expect("internal error: writing to memory failed");
    let mut text = String::from_utf8(bytes).expect("internal error: a page is text");
    text.push_str(&list("EXIT STATUS", EXIT_CODES.iter().copied()));
    if whole {
        text.push_str(&list("ENVIRONMENT", ENVIRONMENT.iter().copied()));
        let codes = Code::ALL.iter().map(|code| (code.name(), code.meaning()));
        text.push_str(&list("DIAGNOSTICS", codes));
    }
    text
}

/// A section of terms, each with what it means.
fn list<'a>(title: &str, terms: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut section = Roff::new();
    section.control("SH", [title]);
    for (term, meaning) in terms {
        section.control("TP", []);
        section.text([bold(term)]);
        section.text([roman(meaning)]);
    }
    section.render()
}
