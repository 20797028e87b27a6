//! `netc selftest`: does this device compute right?

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Exit, FINE, Failure, Output, PROBLEMS, Running, files, machine, open_device};
use crate::diagnostic::{Code, Diagnostic};
use crate::run::golden::{self, Outcome};
use crate::run::selftest;

/// Arguments of `selftest`.
#[derive(Debug, Args)]
pub struct Selftest {
    /// A directory of golden cases (manifest.json) in place of netc's own
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// `selftest --json`.
#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    device: String,
    precision: &'static str,
    passed: usize,
    failed: usize,
    cases: Vec<CaseRow>,
}

#[derive(Debug, Serialize)]
struct CaseRow {
    name: String,
    passed: bool,
    error: Option<String>,
    tensors: Vec<TensorRow>,
}

#[derive(Debug, Serialize)]
struct TensorRow {
    tensor: String,
    passed: bool,
    error: f64,
    scale: f64,
    tolerance: f64,
}

impl Selftest {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let (config, faults) = files::config(None, &self.running.assignments())?;
        if faults.has_errors() {
            return Err(faults.into());
        }
        let mut device = open_device(&config)?;
        let machine = machine(&config, &*device, output)?;
        let name = device.description().name.clone();
        let show = |outcome: &Outcome| {
            if !self.json {
                output.print(&line(outcome));
            }
        };
        let outcomes = match &self.cases {
            Some(folder) => golden::run(folder, &mut *device, &machine, show)?,
            None => selftest::run(&mut *device, &machine, show)?,
        };
        let passed = outcomes.iter().filter(|outcome| outcome.passes()).count();
        let failed = outcomes.len() - passed;
        if self.json {
            let cases = outcomes.iter().map(row).collect();
            let report = Report {
                version: 1,
                device: name.clone(),
                precision: machine.precision.name(),
                passed,
                failed,
                cases,
            };
            output.print(
                &(serde_json::to_string_pretty(&report).expect("internal error: a report is data")
                    + "\n"),
            );
        } else {
            output.print(&format!("{passed} passed, {failed} failed\n"));
        }
        if failed == 0 {
            return Ok(FINE);
        }
        let first = outcomes
            .iter()
            .find(|outcome| !outcome.passes())
            .map_or("", |outcome| outcome.name.as_str());
        output.diagnostic(&Diagnostic::error(Code::E0705, format!("`{name}` computes wrong in {}: {failed} of {} cases fail, the first is `{first}`", machine.precision, outcomes.len()))
            .help("update the device's driver, or compute without it: `--device host`"));
        Ok(PROBLEMS)
    }
}

/// A case for people: its worst tensor, in shares of the tolerance.
fn line(outcome: &Outcome) -> String {
    let verdict = if outcome.passes() { "ok  " } else { "FAIL" };
    match &outcome.result {
        Err(fault) => format!("{verdict} {}: {fault}\n", outcome.name),
        Ok(comparisons) => {
            let share = |c: &golden::Comparison| {
                if c.tolerance > 0.0 {
                    c.error / c.tolerance
                } else {
                    f64::INFINITY
                }
            };
            let worst = comparisons
                .iter()
                .max_by(|a, b| share(a).total_cmp(&share(b)));
            let worst = worst.map_or_else(String::new, |c| {
                format!(
                    "{}: error {:.2e} of {:.2e} allowed",
                    c.tensor, c.error, c.tolerance
                )
            });
            format!("{verdict} {}  {worst}\n", outcome.name)
        }
    }
}

fn row(outcome: &Outcome) -> CaseRow {
    let tensors = outcome.result.iter().flatten().map(|c| TensorRow {
        tensor: c.tensor.clone(),
        passed: c.passes(),
        error: c.error,
        scale: c.scale,
        tolerance: c.tolerance,
    });
    CaseRow {
        name: outcome.name.clone(),
        passed: outcome.passes(),
        error: outcome.result.as_ref().err().map(ToString::to_string),
        tensors: tensors.collect(),
    }
}
