//! What commands that run share: the network with its configuration, and the batch and plans that this asks for.

use std::path::PathBuf;

use clap::Args;

use super::files::{self, NetworkFile};
use super::{Failure, Output, Running};
use crate::config::{Batch, Config};
use crate::diagnostic::Diagnostic;
use crate::ir::Graph;
use crate::op::shape::Shape;
use crate::plan::Mode;
use crate::plan::budget::{Job, Plans};
use crate::run::session::{batch_suffices, recipe};

/// What commands that measure a network take beside it.
#[derive(Debug, Args)]
pub struct Setting {
    /// The hyperparameters; otherwise the .toml beside the network, where there is one
    #[arg(long, value_name = "TOML")]
    pub config: Option<PathBuf>,
    /// The input's shape where the file has none
    #[arg(long, value_name = "CxHxW")]
    input: Option<String>,
    /// Training steps, not inference
    #[arg(long)]
    pub train: bool,
}

impl Setting {
    /// Training or inference.
    pub fn mode(&self) -> Mode {
        if self.train {
            Mode::Training
        } else {
            Mode::Inference
        }
    }

    /// The configuration, and the network with all its shapes. Problems are shown; with errors there is nothing.
    pub fn open(
        &self,
        network: &NetworkFile,
        running: &Running,
        output: &Output,
    ) -> Result<Option<(Config, Graph)>, Failure> {
        let input = files::input(self.input.as_deref())?;
        let beside = network.beside("toml");
        let config = self.config.as_deref().or(beside.as_deref());
        let (config, faults) = files::config(config, &running.assignments())?;
        let network = network.read()?;
        let (graph, mut found) = network.graph(&recipe(&config), input);
        found.append(faults);
        output.diagnostics(&found);
        let Some(graph) = graph.filter(|_| !found.has_errors()) else {
            return Ok(None);
        };
        if !graph.is_shaped() {
            return Err(Failure::Usage(files::NO_INPUT.into()));
        }
        Ok(Some((config, graph)))
    }

    /// The configuration, and the input's shape where the network or the command line says it. Problems are shown; with
    /// errors there is nothing.
    pub fn data(
        &self,
        network: Option<&NetworkFile>,
        running: &Running,
        output: &Output,
    ) -> Result<Option<(Config, Option<Shape>)>, Failure> {
        let otherwise = files::input(self.input.as_deref())?;
        let beside = network.and_then(|network| network.beside("toml"));
        let config = self.config.as_deref().or(beside.as_deref());
        let (config, mut found) = files::config(config, &running.assignments())?;
        let input = match network {
            Some(network) => {
                let (graph, faults) = network.read()?.graph(&recipe(&config), otherwise);
                found.append(faults);
                graph.and_then(|graph| graph.input)
            }
            None => otherwise,
        };
        output.diagnostics(&found);
        Ok((!found.has_errors()).then_some((config, input)))
    }
}

/// Images of a batch where as many as fit are asked for: more are no faster.
pub const MOST_AT_ONCE: usize = 1024;

/// The batch that the configuration asks for, and its plans: the largest that fits where it says `auto`, and outputs
/// recomputed where it sets a limit and the plain plans take more.
///
/// # Errors
/// E0404 a layer needs a larger batch; E0703 it does not fit.
pub fn planned(
    job: &Job<'_>,
    config: &Config,
    running: &Running,
    images: usize,
) -> Result<(usize, Plans), Diagnostic> {
    let room = running.room(&job.machine.limits);
    let limit = config.train.memory_limit.bytes();
    let batch = match config.train.batch {
        Batch::Images(batch) => batch,
        Batch::Auto => {
            let room = room.within(limit);
            // Where not one image fits, the error says so.
            job.largest_batch(&room, images).unwrap_or(1)
        }
    };
    if job.optimizer.is_some() {
        batch_suffices(job.graph, batch).map_err(|fault| config.point("train.batch", fault))?;
    }
    let key = match limit {
        Some(bytes) if bytes < room.memory => "train.memory_limit",
        _ => "train.batch",
    };
    let plans = job.fitting(batch, &room, limit);
    Ok((batch, plans.map_err(|fault| config.point(key, fault))?))
}
