//! `netc eval`: figures of a trained network on a data set.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::files::Network;
use super::job::MOST_AT_ONCE;
use super::progress::compiling;
use super::table::{Align, Table};
use super::{Exit, FINE, Failure, Output, Running, machine, open_device};
use crate::config::{Batch, Config};
use crate::data::{self, Part, Survey, check_classes};
use crate::op::shape::Shape;
use crate::plan::budget::Job;
use crate::run::evaluate::evaluate;
use crate::run::folder::{self, OpenedRun};
use crate::run::session::{Session, recipe};

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// The run's folder
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Another data set than the run's `data.test`
    #[arg(long, value_name = "SET")]
    data: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// `eval --json`.
#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    run: String,
    data: String,
    images: usize,
    accuracy: f64,
    top5: f64,
    loss: f64,
    classes: Vec<String>,
    confusion: Vec<Vec<u64>>,
}

/// A run on a device, ready to answer.
pub struct Ready {
    /// The run.
    pub opened: OpenedRun,
    /// Its configuration with this command's options.
    pub config: Config,
    /// Its network on a device, parameters loaded.
    pub session: Session,
    /// The shape of an image.
    pub input: Shape,
}

/// Opens a run and loads its network for inference.
pub fn ready(
    run: &Path,
    running: &Running,
    batch: Option<usize>,
    output: &Output,
    quiet: bool,
) -> Result<Ready, Failure> {
    let opened = folder::open(run, &running.assignments())?;
    let config = opened.config.clone();
    let name = run
        .file_name()
        .map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned());
    let network = Network::parse(name, &opened.network);
    // A run's network always states its input.
    let (graph, found) = network.graph(&recipe(&config), None);
    let Some(graph) = graph else {
        return Err(found.into());
    };
    let input = graph.input_shape();
    let mut device = open_device(&config)?;
    let job = Job {
        graph: &graph,
        optimizer: None,
        machine: machine(&config, &*device, output)?,
        device: &device.description().name,
    };
    let room = running.room(device.limits());
    let batch = batch.unwrap_or_else(|| match config.train.batch {
        Batch::Images(images) => images,
        Batch::Auto => job.largest_batch(&room, MOST_AT_ONCE).unwrap_or(1),
    });
    let plans = job.fitting(batch, &room, None);
    let plans = plans.map_err(|fault| config.point("train.batch", fault))?;
    if !quiet {
        device.watch(compiling());
    }
    let mut session = Session::load(graph, device, plans)?;
    session.write(&opened.checkpoint, false)?;
    Ok(Ready {
        opened,
        config,
        session,
        input,
    })
}

impl Eval {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let Ready {
            opened,
            config,
            mut session,
            input,
        } = ready(&self.run, &self.running, None, output, self.json)?;
        let name = self.data.as_ref().unwrap_or(&config.data.test);
        let mut set = data::open(name, Part::Test, &config.data, Some(input))?;
        set.align(&opened.classes)?;
        check_classes(&set, session.graph.classes().unwrap_or(0))?;
        set.check(&Survey::of(&config.data))?;
        if let Some(fault) = set.left_out("images") {
            output.diagnostic(&fault.help("repair or remove them"));
        }
        let mean = opened.mean(input)?;
        let result = evaluate(&mut session, &set, &mean, &config.data)?;
        if self.json {
            let report = Report {
                version: 1,
                run: self.run.display().to_string(),
                data: set.name().to_owned(),
                images: result.images,
                accuracy: result.accuracy,
                top5: result.top5,
                loss: result.loss,
                classes: opened.classes,
                confusion: result.confusion,
            };
            output.print(
                &(serde_json::to_string_pretty(&report).expect("internal error: a report is data")
                    + "\n"),
            );
            return Ok(FINE);
        }
        let mut text = format!(
            "{} images of {}: accuracy {:.4}, top-5 {:.4}, loss {:.4}\n\nrows: the image's class; columns: the network's answer\n",
            result.images,
            set.name(),
            result.accuracy,
            result.top5,
            result.loss
        );
        // Classes without a unit's name are units that no class uses: left out while they answer nothing.
        let shown: Vec<usize> = (0..result.confusion.len())
            .filter(|&c| c < opened.classes.len() || result.confusion.iter().any(|row| row[c] > 0))
            .collect();
        let class = |c: usize| {
            opened
                .classes
                .get(c)
                .cloned()
                .unwrap_or_else(|| format!("unit {c}"))
        };
        let numbers: Vec<String> = shown.iter().map(ToString::to_string).collect();
        let mut columns = vec![("class", Align::Left), ("", Align::Right)];
        columns.extend(numbers.iter().map(|number| (number.as_str(), Align::Right)));
        let mut table = Table::new(&columns);
        for &label in &shown {
            let mut row = vec![class(label), label.to_string()];
            row.extend(
                shown
                    .iter()
                    .map(|&answer| result.confusion[label][answer].to_string()),
            );
            table.row(row);
        }
        text.push_str(&table.render(output.colour));
        output.print(&text);
        Ok(FINE)
    }
}
