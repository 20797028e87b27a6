//! `netc tune`: kernel variants measured on this device, and the best kept for it.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::files::{self, NetworkFile};
use super::job::{MOST_AT_ONCE, Setting, planned};
use super::progress::write_line;
use super::table::{Align, Table};
use super::{Exit, FINE, Failure, Output, PROBLEMS, Running, grouped, machine, open_device};
use crate::device::{self, Description};
use crate::diagnostic::nearest::one_of;
use crate::op::emit::Machine;
use crate::op::tuning::{NUMBERS, Number, Tuning};
use crate::plan::Mode;
use crate::plan::budget::Job;
use crate::run::session::optimizer;
use crate::run::tune::{Found, Search, Trial, Verdict};
use crate::run::tuned::Kept;

/// Arguments of `tune`.
#[derive(Debug, Args)]
#[command(mut_group("NetworkFile", |group| group.required(false)))]
pub struct Tune {
    #[command(flatten)]
    network: Option<NetworkFile>,
    #[command(flatten)]
    setting: Setting,
    /// After so long no further value is tried
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0, value_parser = super::bench::seconds)]
    budget: f64,
    /// Only this number; may be given repeatedly
    #[arg(long, value_name = "NAME", value_parser = number)]
    number: Vec<&'static Number>,
    /// Keep nothing
    #[arg(long)]
    dry_run: bool,
    /// Forget what was kept for the device; takes no network
    #[arg(long, conflicts_with_all = ["NetworkFile", "train", "number", "dry_run"])]
    reset: bool,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// The number of `--number`.
fn number(name: &str) -> Result<&'static Number, String> {
    let found = NUMBERS.iter().find(|number| number.name == name);
    found.ok_or_else(|| {
        let names = NUMBERS.iter().map(|number| number.name);
        format!("one of {} is needed", one_of(names))
    })
}

/// `tune --json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    version: u32,
    network: &'a str,
    mode: &'static str,
    device: &'a str,
    platform: &'a str,
    driver: &'a str,
    precision: &'static str,
    batch: usize,
    /// Images a second with the numbers to begin with, and with those found, measured in turns.
    before: f64,
    after: f64,
    /// All numbers.
    numbers: Vec<NumberRow>,
    trials: Vec<TrialRow>,
    /// Whether there was nothing left to try.
    finished: bool,
    seconds: f64,
    /// Where they are kept.
    file: Option<String>,
}

#[derive(Debug, Serialize)]
struct NumberRow {
    name: &'static str,
    built_in: f64,
    before: f64,
    after: f64,
}

#[derive(Debug, Serialize)]
struct TrialRow {
    number: &'static str,
    from: f64,
    to: f64,
    /// `faster`, `not faster`, `wrong`, `unusable`.
    verdict: &'static str,
    /// Its time as a share of the best before it, where it was measured.
    time: Option<f64>,
}

/// `tune --reset --json`.
#[derive(Debug, Serialize)]
struct Reset {
    version: u32,
    removed: bool,
    file: Option<String>,
}

impl Tune {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        match &self.network {
            _ if self.reset => self.reset(output),
            Some(network) => self.search(network, output),
            None => Err(Failure::Usage(
                "a network is needed: a file, or `--expr`; or `--reset`".into(),
            )),
        }
    }

    fn reset(&self, output: &Output) -> Result<Exit, Failure> {
        let (config, faults) =
            files::config(self.setting.config.as_deref(), &self.running.assignments())?;
        output.diagnostics(&faults);
        if faults.has_errors() {
            return Ok(PROBLEMS);
        }
        let device = open_device(&config)?;
        let kept = Kept::of_user(device.description());
        let removed = kept.remove()?;
        let file = kept.path().map(|path| path.display().to_string());
        if self.json {
            output.json(&Reset {
                version: 1,
                removed,
                file,
            });
        } else {
            let name = &device.description().name;
            output.print(&match file.filter(|_| removed) {
                Some(file) => format!("removed {file}\n"),
                None => format!("nothing was kept for {name}\n"),
            });
        }
        Ok(FINE)
    }

    fn search(&self, network: &NetworkFile, output: &Output) -> Result<Exit, Failure> {
        let opened = self.setting.open(network, &self.running, output)?;
        let Some((config, graph)) = opened else {
            return Ok(PROBLEMS);
        };
        let device = open_device(&config)?;
        let machine = machine(&config, &*device, output)?;
        let (description, limits) = (device.description().clone(), *device.limits());
        drop(device);
        let job = Job {
            graph: &graph,
            optimizer: self.setting.train.then(|| optimizer(&config)),
            machine,
            device: &description.name,
        };
        let (batch, _) = planned(&job, &config, &self.running, MOST_AT_ONCE)?;
        let (room, limit) = (
            self.running.room(&limits),
            config.train.memory_limit.bytes(),
        );
        let plan = |machine: &Machine| {
            let job = Job {
                machine: *machine,
                ..job.clone()
            };
            let plans = job.fitting(batch, &room, limit)?;
            Ok(plans.training.unwrap_or(plans.inference))
        };
        let every: Vec<&Number> = NUMBERS.iter().collect();
        let search = Search {
            machine,
            numbers: if self.number.is_empty() {
                &every
            } else {
                &self.number
            },
            plan: &plan,
            open: &|| device::open(&description.selector),
            budget: Duration::from_secs_f64(self.budget),
        };
        let mode = self.setting.mode();
        write_line(&format!(
            "measuring {} of {} in batches of {batch} ({}) on {} for about {} s",
            mode.word(),
            graph.name,
            machine.precision,
            description.name,
            self.budget
        ));
        let start = Instant::now();
        let found = search.run(|trial| write_line(&line(trial)))?;
        let kept = Kept::of_user(&description);
        if !self.dry_run {
            kept.write(&description, &limits, &found.tuning)?;
        }
        let figures = Figures {
            mode,
            batch,
            machine,
            built_in: Tuning::of(&limits),
            seconds: start.elapsed().as_secs_f64(),
            file: kept.path().filter(|_| !self.dry_run),
        };
        let report = figures.report(&graph.name, &description, &found);
        if self.json {
            output.json(&report);
        } else {
            output.print(&text(&report, &found, output.colour));
        }
        Ok(FINE)
    }
}

/// What a report needs beside what was found.
struct Figures<'a> {
    mode: Mode,
    batch: usize,
    machine: Machine,
    built_in: Tuning,
    seconds: f64,
    file: Option<&'a Path>,
}

impl Figures<'_> {
    fn report<'a>(&self, network: &'a str, device: &'a Description, found: &Found) -> Report<'a> {
        let numbers = NUMBERS.iter().map(|number| NumberRow {
            name: number.name,
            built_in: number.get(&self.built_in),
            before: number.get(&self.machine.tuning),
            after: number.get(&found.tuning),
        });
        Report {
            version: 1,
            network,
            mode: self.mode.word(),
            device: &device.name,
            platform: &device.platform,
            driver: &device.driver,
            precision: self.machine.precision.name(),
            batch: self.batch,
            before: self.batch as f64 / found.before,
            after: self.batch as f64 / found.after,
            numbers: numbers.collect(),
            trials: found.trials.iter().map(row).collect(),
            finished: found.finished,
            seconds: self.seconds,
            file: self.file.map(|path| path.display().to_string()),
        }
    }
}

fn row(trial: &Trial) -> TrialRow {
    let (verdict, time) = match trial.verdict {
        Verdict::Faster(ratio) => ("faster", Some(ratio)),
        Verdict::NotFaster(ratio) => ("not faster", Some(ratio)),
        Verdict::Wrong(_) => ("wrong", None),
        Verdict::Unusable(_) => ("unusable", None),
    };
    TrialRow {
        number: trial.number.name,
        from: trial.number.get(&trial.from),
        to: trial.number.get(&trial.to),
        verdict,
        time,
    }
}

/// A trial for people.
fn line(trial: &Trial) -> String {
    let percent = |ratio: f64| {
        let share = 100.0 * (ratio - 1.0);
        if share < 0.0 {
            format!("{:.1} % less time", -share)
        } else {
            format!("{share:.1} % more time")
        }
    };
    let verdict = match &trial.verdict {
        Verdict::Faster(ratio) => format!("{}, taken", percent(*ratio)),
        Verdict::NotFaster(ratio) => percent(*ratio),
        Verdict::Wrong(step) => format!("wrong in the step `{step}`"),
        Verdict::Unusable(fault) => format!("not possible: {fault}"),
    };
    let number = trial.number;
    let (from, to) = (number.show(&trial.from), number.show(&trial.to));
    format!("{} {from} -> {to}: {verdict}", number.name)
}

/// What people read.
fn text(report: &Report<'_>, found: &Found, colour: bool) -> String {
    let mut text = format!(
        "{} of {} in batches of {} ({}) on {} ({}): {} images/s, {} before; {} values tried in {:.0} s{}\n",
        report.mode,
        report.network,
        report.batch,
        report.precision,
        report.device,
        report.platform,
        grouped(report.after.round() as u64),
        grouped(report.before.round() as u64),
        report.trials.len(),
        report.seconds,
        if found.finished {
            ""
        } else {
            ", a longer --budget tries more"
        },
    );
    let changed = |row: &&NumberRow| row.built_in != row.after || row.before != row.after;
    let rows: Vec<&NumberRow> = report.numbers.iter().filter(changed).collect();
    if rows.is_empty() {
        text.push_str("the built-in numbers are the best that was found\n");
    } else {
        let mut table = Table::new(&[
            ("number", Align::Left),
            ("built-in", Align::Right),
            ("before", Align::Right),
            ("now", Align::Right),
        ]);
        for row in rows {
            let values = [row.built_in, row.before, row.after].map(|value| value.to_string());
            let [built_in, before, now] = values;
            table.row([row.name.to_owned(), built_in, before, now]);
        }
        text.push('\n');
        text.push_str(&table.render(colour));
        text.push('\n');
    }
    if let Some(file) = &report.file {
        text.push_str(&format!("kept in {file}\n"));
    }
    text
}
