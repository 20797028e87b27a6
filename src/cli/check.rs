//! `netc check`: parse, validate, and show a network's figures.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::files::{self, Network};
use super::json::{CheckReport, CheckedFile, Memory};
use super::report::{Findings, Format, Reporting};
use super::table::{Align, Table};
use super::{Exit, FINE, Failure, Output, PROBLEMS, Running, bytes, github, grouped, sarif};
use crate::config::{Batch, Config};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::ir::Graph;
use crate::ir::summary::summary;
use crate::op::emit::Machine;
use crate::op::limits::Limits;
use crate::op::real::Precision;
use crate::plan::lower::{Options, lower};
use crate::run::session::{optimizer, recipe};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Networks; `-` reads standard input
    #[arg(value_name = "FILE", required_unless_present = "expr")]
    files: Vec<PathBuf>,
    /// A network itself: `--expr 'C48->P->N->F10'`
    #[arg(long, value_name = "NETWORK", allow_hyphen_values = true)]
    expr: Vec<String>,
    /// The TOML that goes with the network
    #[arg(long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// The input's shape where the file has none
    #[arg(long, value_name = "CxHxW")]
    input: Option<String>,
    #[command(flatten)]
    reporting: Reporting,
    /// Leave the memory out
    #[arg(long)]
    no_memory: bool,
    #[command(flatten)]
    running: Running,
}

/// One checked network.
struct Checked {
    name: String,
    graph: Option<Graph>,
    found: Diagnostics,
    memory: Option<Memory>,
}

impl Check {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let input = files::input(self.input.as_deref())?;
        let (config, faults) = files::config(self.config.as_deref(), &self.running.assignments())?;
        let batch = match (&self.config, &self.running.batch, config.train.batch) {
            (None, None, _) => 1,
            (_, _, Batch::Images(images)) => images,
            (_, _, Batch::Auto) => 1,
        };
        let failed = faults.has_errors();
        let recipe = recipe(&config);
        let mut checked = Vec::new();
        let expressions = self
            .expr
            .iter()
            .map(|text| ("<expr>".to_owned(), Ok(Network::of_text(text))));
        let named = self.files.iter().map(|file| {
            (
                if file.as_os_str() == "-" {
                    "<stdin>".into()
                } else {
                    file.display().to_string()
                },
                Network::read(file),
            )
        });
        for (name, network) in named.chain(expressions) {
            checked.push(match network {
                Err(fault) => Checked { name, graph: None, found: fault.into(), memory: None },
                Ok(network) => {
                    let (graph, mut found) = network.graph(&recipe, input);
                    if graph.as_ref().is_some_and(|graph| graph.input.is_none()) && network.faults.is_empty() {
                        found.push(
                            Diagnostic::warning(Code::W0101, "the input's shape is unknown, so shapes, parameters and memory are not verified")
                                .help("write `input 1x28x28` (channels, height, width) first, or pass `--input 1x28x28`"),
                        );
                    }
                    let memory = graph.as_ref().filter(|graph| graph.is_shaped() && !self.no_memory).map(|graph| memory(graph, &config, batch));
                    Checked { name, graph, found, memory }
                }
            });
        }
        let ok = !failed && checked.iter().all(|one| !one.found.has_errors());
        // The configuration is a file of its own in the reports.
        let of_config = self
            .config
            .as_ref()
            .map_or_else(|| "--set".into(), |file| file.display().to_string());
        let mut findings: Vec<Findings<'_>> = checked
            .iter()
            .map(|one| Findings {
                file: &one.name,
                found: &one.found,
            })
            .collect();
        if !faults.is_empty() {
            let found = &faults;
            findings.insert(
                0,
                Findings {
                    file: &of_config,
                    found,
                },
            );
        }
        match self.reporting.format() {
            Format::Json => {
                let files = checked.iter().map(|one| {
                    CheckedFile::new(&one.name, one.graph.as_ref(), &one.found, one.memory)
                });
                let mut report = CheckReport {
                    version: 1,
                    files: files.collect(),
                };
                if !faults.is_empty() {
                    let file = CheckedFile::new(&of_config, None, &faults, None);
                    report.files.insert(0, file);
                }
                output.json(&report);
            }
            Format::Sarif => output.json(&sarif::log(&findings)),
            Format::Github => output.print(&github::commands(&findings)),
            Format::Text => {
                output.diagnostics(&faults);
                for (i, one) in checked.iter().enumerate() {
                    output.diagnostics(&one.found);
                    if let Some(graph) = &one.graph {
                        let gap = if i > 0 { "\n" } else { "" };
                        output.print(&format!(
                            "{gap}{}",
                            figures(&one.name, graph, one.memory, output.colour)
                        ));
                    }
                }
            }
        }
        Ok(if ok { FINE } else { PROBLEMS })
    }
}

/// Memory of training and inference: on the nominal device, so that the figures are the same everywhere.
fn memory(graph: &Graph, config: &Config, batch: usize) -> Memory {
    let precision = if config.device.precision == crate::config::Precision::F64 {
        Precision::F64
    } else {
        Precision::F32
    };
    let machine = Machine {
        limits: Limits::nominal(),
        precision,
    };
    let training = lower(
        graph,
        &Options::training(batch, optimizer(config)),
        &machine,
    );
    let inference = lower(graph, &Options::inference(batch), &machine);
    Memory {
        batch,
        training_bytes: training.total_bytes(),
        inference_bytes: inference.total_bytes(),
    }
}

/// The table of layers and the totals.
fn figures(name: &str, graph: &Graph, memory: Option<Memory>, colour: bool) -> String {
    let summary = summary(graph);
    let mut table = Table::new(&[
        ("layer", Align::Left),
        ("kind", Align::Left),
        ("output", Align::Left),
        ("parameters", Align::Right),
        ("multiply-adds", Align::Right),
    ]);
    let unknown = || "?".to_owned();
    table.row(vec![
        "input".into(),
        String::new(),
        graph.input.map_or_else(unknown, |shape| shape.to_string()),
        String::new(),
        String::new(),
    ]);
    for row in &summary.rows {
        let count = |value: Option<u64>| {
            value.map_or_else(unknown, |value| {
                if value == 0 {
                    String::new()
                } else {
                    grouped(value)
                }
            })
        };
        let output = row.output.map_or_else(unknown, |shape| shape.to_string());
        table.row(vec![
            row.name.clone(),
            row.kind.into(),
            output,
            count(row.parameters),
            count(row.multiply_adds),
        ]);
    }
    if let Some((parameters, multiply_adds)) = summary.totals {
        table.row(vec![
            "total".into(),
            String::new(),
            String::new(),
            grouped(parameters),
            grouped(multiply_adds),
        ]);
    }
    let mut text = format!("{name}\n{}", table.render(colour));
    if let Some(memory) = memory {
        let _ = writeln!(
            text,
            "memory at batch {}: {} training, {} inference",
            memory.batch,
            bytes(memory.training_bytes),
            bytes(memory.inference_bytes)
        );
    }
    text
}
