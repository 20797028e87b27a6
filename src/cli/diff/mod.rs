//! `netc diff`: what changed between two networks, and what follows from it.

mod compared;
mod describe;
mod fail_on;
mod git;
mod json;
mod markdown;
mod sides;
mod text;

use std::path::PathBuf;

use clap::Args;

use super::{Exit, FINE, Failure, Output, PROBLEMS, Running, USAGE, files, nominal};
use crate::config::Batch;
use crate::run::session::{optimizer, recipe};
use compared::{Against, Compared, Side};
use fail_on::FailOn;
use git::GitCall;
use sides::Sides;

/// Two networks cannot be compared.
const TROUBLE: Exit = USAGE;

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    sides: Sides,
    /// The TOML that goes with the networks
    #[arg(long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// The input's shape where a network has none
    #[arg(long, value_name = "CxHxW")]
    input: Option<String>,
    /// One JSON object
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Markdown, for the comment of a pull request
    #[arg(long)]
    markdown: bool,
    /// Exit with 1 only where this happened: `checkpoint` (tensors that no longer fit), `cost` (more parameters or
    /// multiply-adds), `memory`, `any`; `cost=10%`, `memory=100MiB`: by more than that
    #[arg(long, value_name = "WHAT[=THRESHOLD]", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// Leave the memory out
    #[arg(long)]
    no_memory: bool,
    /// Print one network, an item a line, for git's textual diffs
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "markdown", "fail_on"])]
    textconv: Option<PathBuf>,
    #[command(flatten)]
    running: Running,
}

impl Diff {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        if let Some(file) = &self.textconv {
            output.print(&text::textconv(file)?);
            return Ok(FINE);
        }
        if let Some(call) = GitCall::of(&self.sides) {
            let output = output.recoloured(GitCall::colour(output));
            let (text, exit) = call.answer(&output, |sides| self.compare(sides))?;
            output.print(&text);
            return Ok(exit);
        }
        match self.sides.two() {
            Some(sides) => self.two(sides.map(Side::read), output),
            None => Err(Failure::Usage(self.sides.wrong())),
        }
    }

    fn compare(&self, sides: [Side; 2]) -> Result<Compared, Failure> {
        let input = files::input(self.input.as_deref())?;
        let (config, faults) = files::config(self.config.as_deref(), &self.running.assignments())?;
        if faults.has_errors() {
            return Err(faults.into());
        }
        let batch = match (&self.config, &self.running.batch, config.train.batch) {
            (None, None, _) | (_, _, Batch::Auto) => 1,
            (_, _, Batch::Images(images)) => images,
        };
        let against = Against {
            recipe: recipe(&config),
            input,
            machine: nominal(&config),
            optimizer: optimizer(&config),
            batch,
            memory: !self.no_memory,
        };
        Ok(Compared::new(sides, &against))
    }

    fn two(&self, sides: [Side; 2], output: &Output) -> Result<Exit, Failure> {
        let compared = match self.compare(sides) {
            Ok(compared) => compared,
            Err(Failure::Problems(found)) => {
                output.diagnostics(&found);
                return Ok(TROUBLE);
            }
            Err(usage) => return Err(usage),
        };
        let verdicts: Vec<_> = self
            .fail_on
            .iter()
            .map(|what| what.judge(&compared))
            .collect();
        if self.json {
            output.json(&json::report(&compared, &verdicts));
        } else {
            for found in compared.found() {
                output.diagnostics(found);
            }
            let text = if self.markdown {
                markdown::page(&compared)
            } else {
                text::page(&compared, output)
            };
            output.print(&text);
        }
        if !compared.is_sound() {
            return Ok(TROUBLE);
        }
        if self.fail_on.is_empty() {
            return Ok(if compared.is_same() { FINE } else { PROBLEMS });
        }
        let mut exit = FINE;
        for verdict in &verdicts {
            if let Some(words) = &verdict.words {
                output.warn(&format!("--fail-on {}: {words}", verdict.what));
            }
            exit = exit.max(verdict.exit);
        }
        Ok(exit)
    }
}
