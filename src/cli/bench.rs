//! `netc bench`: how fast a network runs here, and which layers take the time.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::bench_data;
use super::files::MaybeNetwork;
use super::job::{MOST_AT_ONCE, Setting, planned};
use super::progress::compiling;
use super::table::{Align, Table};
use super::{Exit, FINE, Failure, Output, PROBLEMS, Running, grouped, machine, open_device};
use crate::ir::Graph;
use crate::op::emit::{Access, Step};
use crate::plan::Plan;
use crate::plan::budget::Job;
use crate::run::bench::peak::{self, Peak};
use crate::run::bench::{Effort, Measured, measure};
use crate::run::session::{Session, optimizer};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(flatten)]
    network: MaybeNetwork,
    /// Loads a data set's images as a training does, and measures only that; a network gives the input's shape
    #[arg(long, value_name = "SET")]
    data: Option<String>,
    #[command(flatten)]
    setting: Setting,
    /// Every step of the plan, not only every layer
    #[arg(long)]
    steps: bool,
    /// Windows that are measured; their median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    windows: u32,
    /// How long a window is, and how long data is loaded at least
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// The seconds of `--seconds`.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|&seconds| (0.0..=3600.0).contains(&seconds));
    seconds.ok_or_else(|| "a number from 0 to 3600 is needed".into())
}

/// `bench --json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    version: u32,
    network: &'a str,
    mode: &'static str,
    device: &'a str,
    platform: &'a str,
    precision: &'static str,
    batch: usize,
    /// The median of the windows.
    images_per_second: f64,
    /// From the slowest to the fastest window, as a share of the median.
    spread: f64,
    /// Every window's images a second.
    windows: &'a [f64],
    /// From the start of the first step to its end.
    first_step_seconds: f64,
    /// Until the plans were on the device, kernels built.
    load_seconds: f64,
    /// Bytes of the plans.
    planned_bytes: u64,
    peak: PeakRow,
    layers: Vec<Row>,
    steps: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct PeakRow {
    gflops: f64,
    gigabytes_per_second: f64,
}

/// A layer, or a step.
#[derive(Clone, Debug, Serialize)]
struct Row {
    name: String,
    /// The layer's letter, the step's kernel.
    kind: &'static str,
    milliseconds: f64,
    /// Of the sum of all.
    time_share: f64,
    multiply_adds: u64,
    gflops: f64,
    gigabytes_per_second: f64,
    /// The larger of its shares of the device's multiply-adds and of its copying.
    peak_share: f64,
}

impl Bench {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let network = self.network.given();
        if let Some(data) = &self.data {
            let setting = self.setting.data(network.as_ref(), &self.running, output)?;
            let Some((config, input)) = setting else {
                return Ok(PROBLEMS);
            };
            return bench_data::run(data, &config, input, self.seconds, self.json, output);
        }
        let Some(network) = network else {
            return Err(Failure::Usage(
                "a network is needed: FILE or --expr; or --data SET, to measure only data".into(),
            ));
        };
        let opened = self.setting.open(&network, &self.running, output)?;
        let Some((config, graph)) = opened else {
            return Ok(PROBLEMS);
        };
        let mut device = open_device(&config)?;
        let machine = machine(&config, &*device, output)?;
        let gigabytes_per_second = peak::copying(&mut *device, &machine)?;
        device.reset()?;
        let name = device.description().name.clone();
        let job = Job {
            graph: &graph,
            optimizer: self.setting.train.then(|| optimizer(&config)),
            machine,
            device: &name,
        };
        let (batch, plans) = planned(&job, &config, &self.running, MOST_AT_ONCE)?;
        if !self.json {
            device.watch(compiling());
        }
        let start = std::time::Instant::now();
        let mut session = Session::load(graph, device, plans)?;
        session.initialize(config.train.seed)?;
        let load = start.elapsed();
        let mode = self.setting.mode();
        let effort = Effort {
            windows: self.windows as usize,
            window: Duration::from_secs_f64(self.seconds),
            ..Effort::default()
        };
        let rate = config.optimizer.learning_rate;
        let measured = measure(&mut session, mode, rate, &machine, &effort)?;
        let peak = Peak {
            gflops: measured.gflops,
            gigabytes_per_second,
        };
        let runner = session.runner(mode)?;
        let plan = &runner
            .expect("internal error: what was measured is loaded")
            .plan;
        let description = session.device.description();
        let report = Report {
            version: 1,
            network: &plan.name,
            mode: mode.word(),
            device: &description.name,
            platform: &description.platform,
            precision: machine.precision.name(),
            batch,
            images_per_second: measured.median(),
            spread: measured.spread(),
            windows: &measured.images_per_second,
            first_step_seconds: measured.first.as_secs_f64(),
            load_seconds: load.as_secs_f64(),
            planned_bytes: session.planned_bytes(),
            peak: PeakRow {
                gflops: peak.gflops,
                gigabytes_per_second: peak.gigabytes_per_second,
            },
            layers: layers(plan, &session.graph, &measured, &peak),
            steps: steps(plan, &measured, &peak),
        };
        if self.json {
            output.json(&report);
        } else {
            output.print(&text(&report, self.steps, output.colour));
        }
        Ok(FINE)
    }
}

/// What work was done in a time.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    seconds: f64,
    multiply_adds: u64,
    bytes: u64,
}

impl Work {
    /// A step's. Each of its buffers is counted once as it is read and once as it is written.
    fn of(step: &Step, plan: &Plan, time: Duration) -> Self {
        let bytes = step.buffers().map(|(id, access)| {
            let buffer = plan.buffer(id);
            let bytes = buffer.elements as u64 * buffer.element.bytes(plan.precision);
            match access {
                Access::Read | Access::Write => bytes,
                Access::Update => 2 * bytes,
                Access::Scratch => 0,
            }
        });
        Self {
            seconds: time.as_secs_f64(),
            multiply_adds: step.call.multiply_adds,
            bytes: bytes.sum(),
        }
    }

    fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.multiply_adds += other.multiply_adds;
        self.bytes += other.bytes;
    }

    fn row(self, name: String, kind: &'static str, all: f64, peak: &Peak) -> Row {
        let seconds = self.seconds.max(1e-9);
        let gflops = 2e-9 * self.multiply_adds as f64 / seconds;
        let gigabytes_per_second = 1e-9 * self.bytes as f64 / seconds;
        Row {
            name,
            kind,
            milliseconds: 1e3 * self.seconds,
            time_share: self.seconds / all.max(1e-9),
            multiply_adds: self.multiply_adds,
            gflops,
            gigabytes_per_second,
            peak_share: (gflops / peak.gflops)
                .max(gigabytes_per_second / peak.gigabytes_per_second),
        }
    }
}

/// A row a step.
fn steps(plan: &Plan, measured: &Measured, peak: &Peak) -> Vec<Row> {
    let all: f64 = measured.steps.iter().map(Duration::as_secs_f64).sum();
    let row = |(step, time): (&Step, &Duration)| {
        let kernel = step.call.kernel().function;
        Work::of(step, plan, *time).row(step.name.to_string(), kernel, all, peak)
    };
    plan.steps.iter().zip(&measured.steps).map(row).collect()
}

/// A row a layer; steps of no layer (input, loss) last.
fn layers(plan: &Plan, graph: &Graph, measured: &Measured, peak: &Peak) -> Vec<Row> {
    let mut layers = vec![Work::default(); graph.nodes.len() + 1];
    let none = graph.nodes.len();
    for (step, time) in plan.steps.iter().zip(&measured.steps) {
        layers[step.layer.unwrap_or(none)].add(Work::of(step, plan, *time));
    }
    let all: f64 = layers.iter().map(|work| work.seconds).sum();
    let of = |(layer, work): (usize, Work)| match graph.nodes.get(layer) {
        Some(node) => Some(work.row(node.name.to_string(), node.op.kind().letter, all, peak)),
        None if work.seconds > 0.0 => Some(work.row("input and loss".into(), "", all, peak)),
        None => None,
    };
    layers.into_iter().enumerate().filter_map(of).collect()
}

/// What people read.
fn text(report: &Report<'_>, steps: bool, colour: bool) -> String {
    let mut text = format!(
        "{} of {} in batches of {} ({}) on {} ({}): {} images/s, spread {:.1} % over {} windows\n",
        report.mode,
        report.network,
        report.batch,
        report.precision,
        report.device,
        report.platform,
        speed(report.images_per_second),
        100.0 * report.spread,
        report.windows.len(),
    );
    text.push_str(&format!(
        "loaded in {:.2} s, first step {:.2} s; peak measured: {:.0} GFLOP/s multiply-add, {:.1} GB/s copy\n\n",
        report.load_seconds,
        report.first_step_seconds,
        report.peak.gflops,
        report.peak.gigabytes_per_second
    ));
    let rows = if steps { &report.steps } else { &report.layers };
    let mut table = Table::new(&[
        (if steps { "step" } else { "layer" }, Align::Left),
        (if steps { "kernel" } else { "kind" }, Align::Left),
        ("ms", Align::Right),
        ("time", Align::Right),
        ("multiply-adds", Align::Right),
        ("GFLOP/s", Align::Right),
        ("GB/s", Align::Right),
        ("of peak", Align::Right),
    ]);
    for row in rows {
        let products = row.multiply_adds > 0;
        table.row([
            row.name.clone(),
            row.kind.to_owned(),
            format!("{:.3}", row.milliseconds),
            format!("{:.1} %", 100.0 * row.time_share),
            if products {
                grouped(row.multiply_adds)
            } else {
                String::new()
            },
            if products {
                format!("{:.0}", row.gflops)
            } else {
                String::new()
            },
            format!("{:.1}", row.gigabytes_per_second),
            format!("{:.0} %", 100.0 * row.peak_share),
        ]);
    }
    let all: f64 = rows.iter().map(|row| row.milliseconds).sum();
    let products: u64 = rows.iter().map(|row| row.multiply_adds).sum();
    table.row([
        "total".to_owned(),
        String::new(),
        format!("{all:.3}"),
        String::new(),
        grouped(products),
        format!("{:.0}", 2e-6 * products as f64 / all.max(1e-9)),
    ]);
    text.push_str(&table.render(colour));
    text
}

/// Images a second with three digits or more.
fn speed(images: f64) -> String {
    if images < 100.0 {
        format!("{images:.2}")
    } else {
        grouped(images.round() as u64)
    }
}
