//! `netc check`: parse, validate, and show a network's figures.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::files::{self, Network};
use super::json::{CheckReport, CheckedFile, Figures, Memory};
use super::report::{Findings, Format, Reporting};
use super::table::{Align, Table};
use super::{
    Exit, FINE, Failure, NOMINAL, Output, PROBLEMS, Running, bytes, github, grouped, nominal, sarif,
};
use crate::analysis::cost::{Share, dominant};
use crate::analysis::{self, input, pair, warning};
use crate::config::{Batch, Config, Scale};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::ir::Graph;
use crate::ir::summary::summary;
use crate::op::Recipe;
use crate::op::shape::Shape;
use crate::op::signal::Signal;
use crate::plan::Plan;
use crate::plan::budget::{Job, Room};
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
    /// Show the expected root mean squares of outputs and gradients at the initial values; with --config always
    #[arg(long)]
    signal: bool,
    #[command(flatten)]
    running: Running,
}

/// One checked network.
struct Checked {
    name: String,
    graph: Option<Graph>,
    found: Diagnostics,
    figures: Figures,
}

/// The configuration, and what a network is checked against.
struct Against<'a> {
    config: &'a Config,
    recipe: Recipe,
    batch: Batch,
    max_memory: Option<u64>,
    /// The shape of `--input`.
    input: Option<Shape>,
    /// Whether there is a configuration file.
    pair: bool,
    /// Whether the configuration has no error. Settings with errors hold their defaults, of which nothing is said.
    sure: bool,
    memory: bool,
}

impl Check {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let input = files::input(self.input.as_deref())?;
        let (config, faults) = files::config(self.config.as_deref(), &self.running.assignments())?;
        // As many as fit is known only where something says how much there is.
        let unlimited = self.running.max_memory.is_none();
        let batch = match (&self.config, &self.running.batch, config.train.batch) {
            (None, None, _) => Batch::Images(1),
            (_, _, Batch::Auto) if unlimited => Batch::Images(1),
            (_, _, batch) => batch,
        };
        let against = Against {
            config: &config,
            recipe: recipe(&config),
            batch,
            max_memory: self.running.max_memory,
            input,
            pair: self.config.is_some(),
            sure: !faults.has_errors(),
            memory: !self.no_memory,
        };
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
        let checked: Vec<Checked> = named
            .chain(expressions)
            .map(|(name, network)| match network {
                Err(fault) => Checked {
                    name,
                    graph: None,
                    found: fault.into(),
                    figures: Figures::default(),
                },
                Ok(network) => against.check(name, &network),
            })
            .collect();
        let faults = faults.told();
        let ok = !faults.has_errors() && checked.iter().all(|one| !one.found.has_errors());
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
        let signal = self.signal || self.config.is_some();
        match self.reporting.format() {
            Format::Json => {
                let mut report = CheckReport {
                    version: 1,
                    files: checked.iter().map(|one| one.json(signal)).collect(),
                };
                if !faults.is_empty() {
                    let file =
                        CheckedFile::new(&of_config, None, &faults, &Figures::default(), false);
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
                            figures(&one.name, graph, &one.figures, signal, output.colour)
                        ));
                    }
                }
            }
        }
        Ok(if ok { FINE } else { PROBLEMS })
    }
}

impl Checked {
    /// Its part of the report; with `signal` what is expected at the start, too.
    fn json(&self, signal: bool) -> CheckedFile<'_> {
        CheckedFile::new(
            &self.name,
            self.graph.as_ref(),
            &self.found,
            &self.figures,
            signal,
        )
    }
}

impl Against<'_> {
    /// Memory of training and inference, and the plan of training: on the nominal device, so that the figures are the same
    /// everywhere.
    ///
    /// # Errors
    /// E0703 it is more than may be used.
    fn plans(&self, graph: &Graph) -> Result<(Memory, Plan), Diagnostic> {
        let machine = nominal(self.config);
        let job = Job {
            graph,
            optimizer: Some(optimizer(self.config)),
            machine,
            device: NOMINAL,
        };
        let room = Room::new(&machine.limits, self.max_memory);
        let batch = match self.batch {
            Batch::Images(images) => images,
            Batch::Auto => job.largest_batch(&room, usize::MAX).unwrap_or(1),
        };
        // Without a limit nothing is refused: the figures are asked for.
        let plans = match self.max_memory {
            Some(_) => job.fitting(batch, &room, None)?,
            None => job.plans(batch),
        };
        let training = plans
            .training
            .expect("internal error: a training plan was asked for");
        let memory = Memory {
            batch,
            training_bytes: training.total_bytes(),
            inference_bytes: plans.inference.total_bytes(),
        };
        Ok((memory, training))
    }

    /// Checks one network: by itself, then with the configuration, then what is expected of it at the start.
    fn check(&self, name: String, network: &Network) -> Checked {
        let (mut graph, mut found) = network.graph(&self.recipe, self.input);
        let named = self.config.place("data.train").is_some();
        let sets = (self.pair && (self.sure || named)).then(|| {
            let shape = match &graph {
                Some(graph) => graph.input,
                None => network.input(&self.recipe, self.input),
            };
            pair::open(&network.tree, shape, self.config)
        });
        let train = sets.as_ref().and_then(|sets| sets.train.as_ref());
        let mut input = graph.as_ref().and_then(|graph| graph.input).or(self.input);
        if let (Some(train), None) = (train, input) {
            // Without `input`, the shape comes from the data set.
            input = Some(train.shape());
            (graph, found) = network.graph(&self.recipe, input);
        }
        if let (Some(graph), Some(train)) = (&graph, train) {
            found.append(
                pair::classes(graph, train, self.config)
                    .map(Diagnostics::from)
                    .unwrap_or_default(),
            );
        }
        if self.pair && self.sure && graph.is_some() {
            let build = |recipe: &Recipe| network.graph(recipe, input).0;
            found.append(pair::idle_settings(self.config, &self.recipe, build));
        }
        let data_failed = sets.as_ref().is_some_and(|sets| sets.train.is_none());
        let statistics = train
            .filter(|_| self.sure)
            .map(|train| input::statistics(train, &self.config.data));
        let statistics = statistics.and_then(|statistics| match statistics {
            Ok(signal) => Some(signal),
            Err(fault) => {
                found.push(fault);
                None
            }
        });
        if graph.as_ref().is_some_and(|graph| graph.input.is_none()) && network.faults.is_empty() {
            found.push(
                Diagnostic::warning(Code::W0101, "the input's shape is unknown, so shapes, parameters and memory are not verified")
                    .help("write `input 1x28x28` (channels, height, width) first, or pass `--input 1x28x28`"),
            );
        }
        let mut figures = Figures::default();
        if let Some(graph) = graph.as_ref().filter(|graph| graph.is_shaped()) {
            let plan = self.memory.then(|| self.plans(graph));
            let plan = plan.and_then(|plan| match plan {
                Ok(plan) => Some(plan),
                Err(fault) => {
                    found.push(self.config.point("train.batch", fault));
                    None
                }
            });
            let training = plan.as_ref().map(|(_, training)| training);
            figures.dominant = dominant(graph, &summary(graph), training);
            figures.memory = plan.as_ref().map(|(memory, _)| *memory);
            // What a missing data set would have said is not guessed.
            if self.sure && !data_failed {
                let signal =
                    statistics.unwrap_or_else(|| Signal::photographs(1.0, graph.input_shape()));
                let batch = match self.batch {
                    Batch::Images(images) => images,
                    Batch::Auto => figures.memory.map_or(1, |memory| memory.batch),
                };
                let expected = analysis::signal(graph, &signal, batch);
                let unit = (statistics.is_some() && self.config.data.scale == Scale::None)
                    .then(|| signal.scaled(1.0 / 255.0));
                found.append(warning::warnings(graph, &signal, unit.as_ref(), &expected));
                figures.expected = Some(expected);
            }
        }
        if let Some(sets) = sets {
            found.append(sets.found);
        }
        Checked {
            name,
            graph,
            found: found.told(),
            figures,
        }
    }
}

/// The table of layers and the totals; with `signal` what is expected at the start, too.
fn figures(name: &str, graph: &Graph, figures: &Figures, signal: bool, colour: bool) -> String {
    let summary = summary(graph);
    let mut columns = vec![
        ("layer", Align::Left),
        ("kind", Align::Left),
        ("output", Align::Left),
        ("parameters", Align::Right),
        ("multiply-adds", Align::Right),
    ];
    let expected = figures.expected.as_ref().filter(|_| signal);
    if expected.is_some() {
        columns.extend([("signal", Align::Right), ("gradient", Align::Right)]);
    }
    let mut table = Table::new(&columns);
    let unknown = || "?".to_owned();
    let mut row = |cells: Vec<String>| table.row(cells);
    row(vec![
        "input".into(),
        String::new(),
        graph.input.map_or_else(unknown, |shape| shape.to_string()),
    ]);
    for (i, figures) in summary.rows.iter().enumerate() {
        let count = |value: Option<u64>| {
            value.map_or_else(unknown, |value| {
                if value == 0 {
                    String::new()
                } else {
                    grouped(value)
                }
            })
        };
        let output = figures
            .output
            .map_or_else(unknown, |shape| shape.to_string());
        let mut cells = vec![
            figures.name.clone(),
            figures.kind.into(),
            output,
            count(figures.parameters),
            count(figures.multiply_adds),
        ];
        if let Some(expected) = expected.map(|expected| expected[i]) {
            let sizes = [expected.signal.rms(), expected.gradient.rms()];
            cells.extend(sizes.map(warning::number));
        }
        row(cells);
    }
    if let Some((parameters, multiply_adds)) = summary.totals {
        row(vec![
            "total".into(),
            String::new(),
            String::new(),
            grouped(parameters),
            grouped(multiply_adds),
        ]);
    }
    let mut text = format!("{name}\n{}", table.render(colour));
    if let Some(memory) = figures.memory {
        let _ = writeln!(
            text,
            "memory at batch {}: {} training, {} inference",
            memory.batch,
            bytes(memory.training_bytes),
            bytes(memory.inference_bytes)
        );
    }
    let most = [
        ("parameters", &figures.dominant.parameters),
        ("multiply-adds", &figures.dominant.multiply_adds),
        ("memory of training", &figures.dominant.memory),
    ];
    let most: Vec<String> = most
        .into_iter()
        .filter_map(|(of, share)| share.as_ref().map(|share| (of, share)))
        .map(|(of, Share { layer, share })| format!("{of} {layer} ({:.0} %)", share * 100.0))
        .collect();
    if !most.is_empty() {
        let _ = writeln!(text, "most of it: {}", most.join(", "));
    }
    text
}
