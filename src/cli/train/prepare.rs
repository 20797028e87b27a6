//! Everything that a training needs, opened and checked before anything is written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use sha2::{Digest as _, Sha256};

use super::super::files::Network;
use super::super::job::planned;
use super::super::progress::{Looking, compiling};
use super::super::{Failure, Output, Running, bytes, machine, open_device};
use crate::config::{Batch, Config};
use crate::data::{self, Dataset, Mean, Order, Part, Survey, check_classes};
use crate::device::Device;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::file;
use crate::ir::Graph;
use crate::op::emit::Machine;
use crate::plan::budget::{Job, Plans};
use crate::run::folder::{self, Contents, Files, RunFolder};
use crate::run::session::{Session, optimizer, recipe};
use crate::run::state::{Circumstances, State};
use crate::run::train::Training;
use crate::source::{Source, Span};

/// What the command line says about every training.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Device, memory and settings.
    pub running: &'a Running,
    /// No progress.
    pub quiet: bool,
    /// Where words go.
    pub output: &'a Output,
}

/// Everything that a training needs and that can be wrong before anything is written.
pub struct Prepared {
    /// The network as it is written.
    pub network: Network,
    /// The configuration, the batch found.
    pub config: Config,
    /// The network with the shapes of its images.
    pub graph: Graph,
    /// Images learned from.
    pub train: Dataset,
    /// Images held back of them.
    pub validation: Option<Dataset>,
    /// Images tested on.
    pub test: Dataset,
    /// What is subtracted from the images.
    pub mean: Mean,
    /// Which images are in which step.
    pub order: Order,
    /// The device, nothing loaded.
    pub device: Box<dyn Device>,
    /// What plans for the device know of it.
    pub machine: Machine,
    /// The plans, which fit the memory.
    pub plans: Plans,
}

/// A fault between two places: the other one becomes a label, or the only place.
fn between(fault: Diagnostic, words: &str, source: &Arc<Source>, span: Span) -> Diagnostic {
    if fault.primary.is_some() {
        fault.label(words, source, span)
    } else {
        fault.at(source, span).here(words)
    }
}

impl Asked<'_> {
    /// Tells something, unless nothing is to be told.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.output.warn(line);
        }
    }
}

impl Prepared {
    /// Opens data and device and plans the network; `None` where problems were shown. Of a run that goes on, the mean and
    /// what is left out of the images are taken from its folder.
    pub fn new(
        network: Network,
        mut config: Config,
        faults: Diagnostics,
        run: Option<&Path>,
        asked: &Asked<'_>,
    ) -> Result<Option<Self>, Failure> {
        let Asked {
            running,
            quiet,
            output,
        } = *asked;
        let recipe = recipe(&config);
        let (graph, mut found) = network.graph(&recipe, None);
        found.append(faults);
        output.diagnostics(&found);
        let Some(graph) = graph.filter(|_| !found.has_errors()) else {
            return Ok(None);
        };
        // Everything that can be wrong is looked at before anything is written.
        let of_data = |key: &str, fault: Diagnostic| {
            let fault = config.point(key, fault);
            match &network.tree.input {
                Some(input) if fault.code == Code::E0503 => between(
                    fault,
                    "the network's input",
                    &network.tree.source,
                    input.span,
                ),
                _ => fault,
            }
        };
        let mut train = data::open(&config.data.train, Part::Train, &config.data, graph.input)
            .map_err(|fault| of_data("data.train", fault))?;
        let mut test = data::open(
            &config.data.test,
            Part::Test,
            &config.data,
            Some(graph.input.unwrap_or(train.shape())),
        )
        .map_err(|fault| of_data("data.test", fault))?;
        test.align(train.classes()).map_err(|fault| {
            let fault = config.point("data.test", fault);
            match config.place("data.train") {
                Some(place) => between(fault, "the training images", &place.source, place.span),
                None => fault,
            }
        })?;
        let graph = if graph.is_shaped() {
            graph
        } else {
            let (graph, found) = network.graph(&recipe, Some(train.shape()));
            output.diagnostics(&found);
            let Some(graph) = graph else {
                return Ok(None);
            };
            graph
        };
        let classifier = graph.nodes.last().map(|node| node.span).unwrap_or_default();
        check_classes(&train, graph.classes().unwrap_or(0)).map_err(|fault| {
            let fault = fault.at(&network.tree.source, classifier);
            match config.place("data.train") {
                Some(place) => between(fault, "the training images", &place.source, place.span),
                None => fault,
            }
        })?;
        let mut validation = None;
        if config.data.validation > 0.0 {
            let (rest, held_back) = train
                .split(config.data.validation, config.train.seed)
                .map_err(|fault| config.point("data.validation", fault))?;
            (train, validation) = (rest, Some(held_back));
        }
        let mean = if let Some(run) = run {
            for (set, names) in [Some(&mut train), validation.as_mut(), Some(&mut test)]
                .into_iter()
                .zip(folder::left_out(run)?)
            {
                if let Some(set) = set {
                    set.leave_out(&names)?;
                }
            }
            folder::mean(run, train.shape())?
        } else {
            // What cannot be read is found, or left out, before there is an order.
            let looking = Looking::new(train.len(), quiet);
            let survey = Survey {
                seen: &|seen| looking.seen(seen),
                ..Survey::of(&config.data)
            };
            let mean = train.survey(config.data.mean, &survey);
            looking.finish();
            let mean = mean.map_err(|fault| of_data("data.train", fault))?;
            let survey = Survey::of(&config.data);
            if let Some(validation) = &mut validation {
                validation
                    .check(&survey)
                    .map_err(|fault| of_data("data.train", fault))?;
            }
            test.check(&survey)
                .map_err(|fault| of_data("data.test", fault))?;
            let sets = [
                (Some(&train), "training images"),
                (validation.as_ref(), "images held back"),
                (Some(&test), "test images"),
            ];
            for (set, what) in sets {
                if let Some(fault) = set.and_then(|set| set.left_out(what)) {
                    output.diagnostic(&fault.help(
                        "repair or remove them; a run's folder has all in its `left-out.txt`",
                    ));
                }
            }
            mean
        };
        // A batch larger than the set is no matter of memory.
        let parts = config.train.accumulate as usize;
        if let Batch::Images(images) = config.train.batch {
            Order::check(images, parts, train.len())
                .map_err(|fault| config.point("train.batch", fault))?;
        }
        let mut device = open_device(&config)?;
        if !quiet {
            device.watch(compiling());
        }
        let machine = machine(&config, &*device, output)?;
        let job = Job {
            graph: &graph,
            optimizer: Some(optimizer(&config)),
            machine,
            device: &device.description().name,
        };
        let (batch, plans) = planned(&job, &config, running, train.len() / parts)?;
        config.train.batch = Batch::Images(batch);
        let order = Order::new(
            train.labels(),
            (batch, parts),
            config.data.balance,
            config.train.seed,
        )
        .map_err(|fault| config.point("train.batch", fault))?;
        for set in [Some(&mut train), validation.as_mut(), Some(&mut test)] {
            set.into_iter().for_each(Dataset::begin);
        }
        Ok(Some(Self {
            network,
            config,
            graph,
            train,
            validation,
            test,
            mean,
            order,
            device,
            machine,
            plans,
        }))
    }

    /// Device, images and memory, for people.
    pub fn told(&self) -> String {
        let about = self.device.description();
        format!(
            "device: {} ({})\ndata: {} training images, {} test images, {} classes; batch {}, memory {}",
            about.name,
            about.platform,
            self.train.len(),
            self.test.len(),
            self.train.classes().len(),
            self.plans.inference.batch,
            bytes(self.plans.total_bytes())
        )
    }

    /// Brings the network to its device. Its parameters are zeros.
    ///
    /// # Errors
    /// As [`Session::load`].
    pub fn load(self) -> Result<Ready, Diagnostic> {
        Ok(Ready {
            session: Session::load(self.graph, self.device, self.plans)?,
            network: self.network,
            config: self.config,
            train: self.train,
            validation: self.validation,
            test: self.test,
            mean: self.mean,
            order: self.order,
        })
    }
}

/// A training whose network is on its device.
pub struct Ready {
    /// The network on its device.
    pub session: Session,
    /// As in [`Prepared`].
    pub network: Network,
    /// As in [`Prepared`].
    pub config: Config,
    /// Images learned from.
    pub train: Dataset,
    /// Images held back of them.
    pub validation: Option<Dataset>,
    /// Images tested on.
    pub test: Dataset,
    /// What is subtracted from the images.
    pub mean: Mean,
    /// Which images are in which step.
    pub order: Order,
}

impl Ready {
    /// What the numbers depend on beside settings and seed.
    ///
    /// # Errors
    /// Those of [`Dataset::fingerprint`].
    pub fn circumstances(&self) -> Result<Circumstances, Diagnostic> {
        let (device, plan) = (
            self.session.device.description(),
            self.session.training_plan(),
        );
        let mean = self.mean.save(&self.train.origin());
        let mean = file::hex(&Sha256::digest(mean));
        let about = [self.train.fingerprint()?, self.test.fingerprint()?, mean];
        Ok(Circumstances::of(device, &plan, about))
    }

    /// What the run's folder holds from before the first step on.
    pub fn files(&self, network: &str, classes: &[String]) -> Files {
        let sets = [
            Some(&self.train),
            self.validation.as_ref(),
            Some(&self.test),
        ];
        let contents = Contents {
            network,
            config: &self.config,
            classes,
            mean: (&self.mean, self.train.origin()),
            left_out: sets.map(|set| set.map_or(&[][..], Dataset::broken_files)),
        };
        contents.files()
    }

    /// The training, from a state on.
    pub fn training<'a>(
        &'a mut self,
        folder: &'a mut RunFolder,
        (state, about): (State, &'a Circumstances),
        stop: &'a AtomicUsize,
    ) -> Training<'a> {
        Training {
            session: &mut self.session,
            config: &self.config,
            train: &self.train,
            validation: self.validation.as_ref(),
            test: &self.test,
            mean: &self.mean,
            order: self.order.clone(),
            folder,
            state,
            about,
            stop,
        }
    }
}
