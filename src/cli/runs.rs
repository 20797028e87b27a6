//! `netc runs`: the runs that are there, and how they stand.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::progress::time;
use super::table::{Align, Table};
use super::{Exit, FINE, Failure, Output, PROBLEMS, bytes};
use crate::diagnostic::render::Record;
use crate::diagnostic::{Code, Diagnostic};
use crate::run::runs::{self, Best, Listed, Order, Standing};
use crate::run::state::Test;

/// Where runs are looked for where nothing else is said: the folder of `output.dir`'s default.
const USUAL: &str = "runs";
/// The network's column has at least so many characters.
const LEAST_NETWORK: usize = 16;

/// Arguments of `runs`.
#[derive(Debug, Args)]
pub struct Runs {
    /// Runs, or folders in which they are looked for; `runs` without any
    #[arg(value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// By name, best accuracy, lowest test loss, or time, the newest last
    #[arg(long, value_enum, default_value = "name", value_name = "BY")]
    sort: By,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// What runs are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Name,
    Accuracy,
    Loss,
    Time,
}

/// `runs --json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    version: u32,
    runs: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    run: String,
    network: Option<&'a str>,
    state: &'static str,
    step: u64,
    steps: Option<u64>,
    epochs_done: u64,
    epochs: Option<u64>,
    best: Option<BestEpoch>,
    test_accuracy: Option<f64>,
    test_loss: Option<f64>,
    validation_accuracy: Option<f64>,
    validation_loss: Option<f64>,
    loss: Option<f64>,
    images_per_second: Option<f64>,
    seconds: Option<f64>,
    optimizer: Option<String>,
    learning_rate: Option<f64>,
    bytes: u64,
    /// Seconds since 1970, before it if the clock said so.
    modified: Option<f64>,
    diagnostics: Vec<Record<'a>>,
}

#[derive(Debug, Serialize)]
struct BestEpoch {
    accuracy: f64,
    epoch: u64,
    of: &'static str,
}

impl<'a> Row<'a> {
    fn new(run: &'a Listed) -> Self {
        let accuracy = |test: Option<Test>| test.map(|test| test.accuracy);
        let loss = |test: Option<Test>| test.map(|test| test.loss);
        Self {
            run: run.path.display().to_string(),
            network: run.network.as_deref(),
            state: word(run.standing),
            step: run.step,
            steps: run.steps,
            epochs_done: run.epochs_done,
            epochs: run.config.as_ref().map(|config| config.train.epochs),
            best: run.best.map(|best| BestEpoch {
                accuracy: best.accuracy,
                epoch: best.epoch,
                of: if best.is_validation {
                    "validation"
                } else {
                    "test"
                },
            }),
            test_accuracy: accuracy(run.test),
            test_loss: loss(run.test),
            validation_accuracy: accuracy(run.validation),
            validation_loss: loss(run.validation),
            loss: run.loss,
            images_per_second: run.images_per_second,
            seconds: run.seconds,
            optimizer: run
                .config
                .as_ref()
                .map(|config| config.optimizer.kind.to_string()),
            learning_rate: run
                .config
                .as_ref()
                .map(|config| config.optimizer.learning_rate),
            bytes: run.bytes,
            modified: run.modified.map(seconds_since_1970),
            diagnostics: run.faults.iter().map(Record::from).collect(),
        }
    }
}

fn seconds_since_1970(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Finished => "finished",
        Standing::Training => "training",
        Standing::Stopped => "stopped",
        Standing::NoCheckpoint => "no checkpoint",
        Standing::Damaged => "damaged",
    }
}

/// How a run stands, for people.
fn state(run: &Listed) -> String {
    match (run.standing, run.steps) {
        (Standing::Stopped, Some(steps)) => format!("stopped at step {} of {steps}", run.step),
        (Standing::Stopped, None) => format!("stopped at step {}", run.step),
        (standing, _) => word(standing).into(),
    }
}

/// A text of at most so many characters.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars()
        .take(most.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// A column: its header, where its cells stand, the cells, and how soon it goes where the screen is too narrow: never
/// with 0, then the largest first.
struct Column {
    name: &'static str,
    align: Align,
    cells: Vec<String>,
    expendable: u8,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.chars().count());
        cells.chain([self.name.len()]).max().unwrap_or(0)
    }
}

/// The columns beside the network's.
fn columns(runs: &[Listed]) -> Vec<Column> {
    let column = |name, align, expendable, cell: &dyn Fn(&Listed) -> Option<String>| Column {
        name,
        align,
        cells: runs
            .iter()
            .map(|run| cell(run).unwrap_or_default())
            .collect(),
        expendable,
    };
    let left = |name, expendable, cell: &dyn Fn(&Listed) -> Option<String>| {
        column(name, Align::Left, expendable, cell)
    };
    let right = |name, expendable, cell: &dyn Fn(&Listed) -> Option<String>| {
        column(name, Align::Right, expendable, cell)
    };
    let figure = |value: f64| format!("{value:.4}");
    vec![
        left("run", 0, &|run| Some(run.path.display().to_string())),
        left("state", 0, &|run| Some(state(run))),
        right("epochs", 0, &|run| {
            let of = run.config.as_ref().map(|config| config.train.epochs);
            Some(format!(
                "{}/{}",
                run.epochs_done,
                of.map_or_else(|| "?".into(), |of| of.to_string())
            ))
        }),
        right("best (epoch)", 0, &|run| {
            run.best.map(
                |Best {
                     accuracy, epoch, ..
                 }| format!("{accuracy:.4} ({epoch})"),
            )
        }),
        right("accuracy", 4, &|run| {
            run.test.map(|test| figure(test.accuracy))
        }),
        right("loss", 1, &|run| run.test.map(|test| figure(test.loss))),
        right("training loss", 6, &|run| run.loss.map(figure)),
        right("images/s", 5, &|run| {
            run.images_per_second.map(|rate| format!("{rate:.0}"))
        }),
        right("time", 2, &|run| {
            Some(time(Duration::try_from_secs_f64(run.seconds?).ok()?))
        }),
        left("optimizer", 3, &|run| {
            let optimizer = &run.config.as_ref()?.optimizer;
            Some(format!("{} {}", optimizer.kind, optimizer.learning_rate))
        }),
        right("size", 7, &|run| Some(bytes(run.bytes))),
    ]
}

/// The table, as much of it as fits.
fn table(runs: &[Listed], width: usize) -> Table {
    const GAP: usize = 2;
    let mut columns = columns(runs);
    let taken = |columns: &[Column]| -> usize { columns.iter().map(|one| one.width() + GAP).sum() };
    while taken(&columns) + LEAST_NETWORK > width {
        let most = columns
            .iter()
            .map(|column| column.expendable)
            .max()
            .unwrap_or(0);
        if most == 0 {
            break;
        }
        columns.retain(|column| column.expendable < most);
    }
    let room = width.saturating_sub(taken(&columns)).max(LEAST_NETWORK);
    let networks = runs.iter().map(|run| {
        let text = run.network.as_deref().unwrap_or_default();
        // What tells networks apart is their layers.
        let layers = text
            .strip_prefix("input ")
            .and_then(|text| text.split_once(' '));
        shortened(layers.map_or(text, |(_, layers)| layers), room)
    });
    columns.push(Column {
        name: "network",
        align: Align::Left,
        cells: networks.collect(),
        expendable: 0,
    });
    let header: Vec<_> = columns
        .iter()
        .map(|column| (column.name, column.align))
        .collect();
    let mut table = Table::new(&header);
    for row in 0..runs.len() {
        table.row(columns.iter().map(|column| &column.cells[row]));
    }
    table
}

/// E0501 for a folder without runs.
fn nothing(folder: &Path, what: &str) -> Diagnostic {
    let message = format!("no runs: {what} `{}`", folder.display());
    Diagnostic::error(Code::E0501, message)
        .help("`netc train FILE` makes one below `runs`; `netc runs FOLDER` looks elsewhere")
}

impl Runs {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let usual = [PathBuf::from(USUAL)];
        let folders = if self.folders.is_empty() {
            &usual[..]
        } else {
            &self.folders
        };
        let (mut exit, mut paths, mut seen) = (FINE, Vec::new(), HashSet::new());
        for folder in folders {
            let found = if folder.is_dir() {
                runs::find(folder)
            } else {
                Err(nothing(folder, "there is no folder"))
            };
            let found = found.and_then(|(found, faults)| {
                faults.iter().for_each(|fault| output.diagnostic(fault));
                if found.is_empty() {
                    return Err(nothing(folder, "there are none below"));
                }
                Ok(found)
            });
            match found {
                // The same run may be below several of the folders.
                Ok(found) => paths.extend(found.into_iter().filter(|run| {
                    seen.insert(fs::canonicalize(run).unwrap_or_else(|_| run.clone()))
                })),
                Err(fault) => {
                    output.diagnostic(&fault);
                    exit = PROBLEMS;
                }
            }
        }
        if paths.is_empty() {
            return Ok(exit);
        }
        runs::sort_by_name(&mut paths);
        let mut runs: Vec<Listed> = paths.iter().map(|path| Listed::read(path)).collect();
        match self.sort {
            By::Name => {}
            By::Accuracy => runs::sort(&mut runs, Order::Accuracy),
            By::Loss => runs::sort(&mut runs, Order::Loss),
            By::Time => runs::sort(&mut runs, Order::Time),
        }
        for fault in runs.iter().flat_map(|run| &run.faults) {
            output.diagnostic(fault);
        }
        if self.json {
            output.json(&Report {
                version: 1,
                runs: runs.iter().map(Row::new).collect(),
            });
        } else {
            output.print(&table(&runs, output.width()).render(output.colour));
        }
        Ok(exit)
    }
}
