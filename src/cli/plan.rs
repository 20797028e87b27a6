//! `netc plan`: what would run, and where everything would lie.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::files::{self, NetworkFile};
use super::table::{Align, Table};
use super::{
    Exit, FINE, Failure, NOMINAL, Output, PROBLEMS, Running, bytes, grouped, machine, nominal,
    open_device, plan_svg,
};
use crate::config::Batch;
use crate::file;
use crate::ir::Graph;
use crate::op::emit::{Access, BufferId, Element};
use crate::op::real::Precision;
use crate::plan::budget::{Figures, Job, Room};
use crate::plan::{self, Mode, Placement};
use crate::run::session::{batch_suffices, optimizer, recipe};

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    network: NetworkFile,
    /// The hyperparameters
    #[arg(long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// The input's shape where the file has none
    #[arg(long, value_name = "CxHxW")]
    input: Option<String>,
    /// The plan of a training step, not of inference
    #[arg(long)]
    train: bool,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
    /// Draw the memory over the steps into a file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    running: Running,
}

/// `plan --json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    version: u32,
    network: &'a str,
    mode: &'static str,
    device: &'a str,
    precision: &'static str,
    batch: usize,
    steps: Vec<StepRow>,
    buffers: Vec<BufferRow>,
    arena_bytes: u64,
    lower_bound_bytes: u64,
    tensor_bytes: u64,
    parameter_bytes: u64,
    optimizer_bytes: u64,
    workspace_bytes: u64,
    total_bytes: u64,
}

#[derive(Debug, Serialize)]
struct StepRow {
    name: String,
    /// The layer's name.
    layer: Option<String>,
    kernel: &'static str,
    file: String,
    global: [usize; 3],
    local: Option<[usize; 3]>,
    buffers: Vec<Use>,
}

#[derive(Debug, Serialize)]
struct Use {
    /// Index into `buffers`.
    buffer: usize,
    access: &'static str,
}

#[derive(Debug, Serialize)]
struct BufferRow {
    name: String,
    element: &'static str,
    elements: usize,
    bytes: u64,
    /// From the arena's start; none for what is outside the arena: parameters and the optimizer's state.
    offset: Option<u64>,
    /// The steps that it is alive for: from the first, up to but not including the second.
    lifetime: [usize; 2],
}

impl Plan {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let input = files::input(self.input.as_deref())?;
        let (config, faults) = files::config(self.config.as_deref(), &self.running.assignments())?;
        let network = self.network.read()?;
        let (graph, mut found) = network.graph(&recipe(&config), input);
        found.append(faults);
        output.diagnostics(&found);
        let Some(graph) = graph.filter(|_| !found.has_errors()) else {
            return Ok(PROBLEMS);
        };
        if !graph.is_shaped() {
            return Err(Failure::Usage(files::NO_INPUT.into()));
        }

        // Without a named device the plan is the nominal one, the same on every machine.
        let named = self.running.device.is_some() || config.place("device.select").is_some();
        let (device, machine) = if named {
            let device = open_device(&config)?;
            let machine = machine(&config, &*device, output)?;
            (device.description().selector.clone(), machine)
        } else {
            (NOMINAL.to_owned(), nominal(&config))
        };
        let job = Job {
            graph: &graph,
            optimizer: self.train.then(|| optimizer(&config)),
            machine,
            device: &device,
        };
        let room = self.running.room(&machine.limits);
        let limit = config.train.memory_limit.bytes().filter(|_| self.train);
        let batch = batch(&job, config.train.batch, &room.within(limit))?;
        if self.train {
            batch_suffices(&graph, batch).map_err(|fault| config.point("train.batch", fault))?;
        }
        let plans = job.fitting(batch, &room, limit);
        let plans = plans.map_err(|fault| config.point("train.batch", fault))?;
        let plan = plans.training.unwrap_or(plans.inference);

        if let Some(path) = &self.svg {
            let drawing = plan_svg::draw(&plan, &graph);
            file::write(path, drawing.as_bytes())?;
        }
        if self.json {
            output.json(&report(&plan, &graph, &device));
        } else {
            output.print(&text(&plan, &device, output.colour));
        }
        Ok(FINE)
    }
}

/// Images of a batch.
fn batch(job: &Job<'_>, wanted: Batch, room: &Room) -> Result<usize, Failure> {
    match wanted {
        Batch::Images(images) => Ok(images),
        Batch::Auto if room.memory == u64::MAX => Err(Failure::Usage(
            "a batch of `auto` needs a device's memory: add `--device` or `--max-memory`".into(),
        )),
        // Where not one image fits, the plan's error says so.
        Batch::Auto => Ok(job.largest_batch(room, usize::MAX).unwrap_or(1)),
    }
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::Update => "update",
        Access::Scratch => "scratch",
    }
}

fn element(element: Element, precision: Precision) -> &'static str {
    match element {
        Element::Real => precision.name(),
        Element::Byte => "u8",
        Element::Int => "i32",
    }
}

fn report<'a>(plan: &'a plan::Plan, graph: &Graph, device: &'a str) -> Report<'a> {
    let steps = plan.steps.iter().map(|step| {
        let kernel = step.call.kernel();
        let of = |(id, how): (BufferId, Access)| Use {
            buffer: id.0,
            access: access(how),
        };
        StepRow {
            name: step.name.to_string(),
            layer: step.layer.map(|layer| graph.nodes[layer].name.to_string()),
            kernel: kernel.function,
            file: format!("kernels/{}.cl", kernel.file),
            global: kernel.global,
            local: kernel.local,
            buffers: step.buffers().map(of).collect(),
        }
    });
    let buffers = plan.buffers.iter().map(|buffer| BufferRow {
        name: buffer.name.to_string(),
        element: element(buffer.element, plan.precision),
        elements: buffer.elements,
        bytes: if buffer.lifetime.is_empty() {
            0
        } else {
            buffer.bytes
        },
        offset: match buffer.placement {
            Placement::Arena { offset } => Some(offset),
            Placement::Persistent => None,
        },
        lifetime: [buffer.lifetime.start, buffer.lifetime.end],
    });
    let figures = plan.figures();
    Report {
        version: 1,
        network: &plan.name,
        mode: plan.mode.word(),
        device,
        precision: plan.precision.name(),
        batch: plan.batch,
        steps: steps.collect(),
        buffers: buffers.collect(),
        arena_bytes: figures.arena,
        lower_bound_bytes: figures.lower_bound,
        tensor_bytes: figures.tensors,
        parameter_bytes: figures.parameters,
        optimizer_bytes: figures.optimizer,
        workspace_bytes: figures.workspace,
        total_bytes: figures.total(),
    }
}

/// The plan for people: steps, buffers, sums.
fn text(plan: &plan::Plan, device: &str, colour: bool) -> String {
    let mut text = format!(
        "{}: {} at batch {}, {}, for {device}\n\n",
        plan.name,
        plan.mode.word(),
        plan.batch,
        plan.precision.name()
    );
    let mut steps = Table::new(&[
        ("", Align::Right),
        ("step", Align::Left),
        ("kernel", Align::Left),
        ("work-items", Align::Left),
        ("reads", Align::Left),
        ("writes", Align::Left),
    ]);
    for (at, step) in plan.steps.iter().enumerate() {
        let kernel = step.call.kernel();
        let names = |wanted: fn(Access) -> bool| {
            let all = step.buffers().filter(|(_, access)| wanted(*access));
            let names: Vec<String> = all
                .map(|(id, _)| plan.buffer(id).name.to_string())
                .collect();
            names.join(", ")
        };
        steps.row([
            at.to_string(),
            step.name.to_string(),
            kernel.function.to_owned(),
            kernel.global.map(|items| items.to_string()).join("x"),
            names(|access| access == Access::Read),
            names(|access| access != Access::Read),
        ]);
    }
    text.push_str(&steps.render(colour));
    let mut buffers = Table::new(&[
        ("buffer", Align::Left),
        ("elements", Align::Right),
        ("bytes", Align::Right),
        ("alive", Align::Left),
        ("offset", Align::Right),
    ]);
    for buffer in plan.buffers.iter().filter(|b| !b.lifetime.is_empty()) {
        let element = element(buffer.element, plan.precision);
        let (alive, offset) = match buffer.placement {
            Placement::Arena { offset } => {
                let last = buffer.lifetime.end - 1;
                (
                    format!("{} to {last}", buffer.lifetime.start),
                    grouped(offset),
                )
            }
            Placement::Persistent => ("always".to_owned(), String::new()),
        };
        buffers.row([
            buffer.name.to_string(),
            format!("{} {element}", grouped(buffer.elements as u64)),
            grouped(buffer.bytes),
            alive,
            offset,
        ]);
    }
    text.push('\n');
    text.push_str(&buffers.render(colour));
    text.push('\n');
    text.push_str(&sums(plan, &plan.figures()));
    text
}

/// The lines below the tables.
fn sums(plan: &plan::Plan, figures: &Figures) -> String {
    let ratio = |of: u64, by: u64| of as f64 / by.max(1) as f64;
    let whose = match plan.mode {
        Mode::Training => "every output and its gradient in a buffer of its own",
        Mode::Inference => "every output in a buffer of its own",
    };
    let (peak, _) = plan.peak();
    let peak = plan
        .steps
        .get(peak)
        .map_or_else(String::new, |step| step.name.to_string());
    let rows = [
        (
            "arena",
            figures.arena,
            format!(
                "{:.3} x the lower bound, {:.3} x the sum of tensors",
                ratio(figures.arena, figures.lower_bound),
                ratio(figures.arena, figures.tensors)
            ),
        ),
        (
            "lower bound",
            figures.lower_bound,
            format!("most alive at one step, `{peak}`"),
        ),
        ("sum of tensors", figures.tensors, whose.to_owned()),
        (
            "workspace",
            figures.workspace,
            "most of the arena that one layer uses for itself".to_owned(),
        ),
        (
            "parameters",
            figures.parameters,
            "with running statistics".to_owned(),
        ),
        ("optimizer state", figures.optimizer, String::new()),
        (
            "total",
            figures.total(),
            "arena, parameters and optimizer state".to_owned(),
        ),
    ];
    let mut table = Table::new(&[
        ("memory", Align::Left),
        ("bytes", Align::Right),
        ("", Align::Right),
        ("", Align::Left),
    ]);
    for (name, count, words) in rows {
        table.row([name.to_owned(), grouped(count), bytes(count), words]);
    }
    table.render(false)
}
