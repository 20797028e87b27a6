//! `netc train`: from a network and a configuration to a run folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::files::{self, NetworkFile};
use super::job::planned;
use super::progress::{Progress, compiling};
use super::{Exit, FINE, Failure, Output, PROBLEMS, Running, bytes, machine, open_device};
use crate::config::Batch;
use crate::data::{self, Mean, Order, Part, check_classes};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::diff::consequence::Fate;
use crate::plan::budget::Job;
use crate::run::folder::{self, Contents, RunFolder, choose};
use crate::run::inherit::{Inherited, inherit};
use crate::run::session::{Session, optimizer, recipe};
use crate::run::train::{End, Training};
use crate::source::{Source, Span};

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct Train {
    #[command(flatten)]
    network: NetworkFile,
    /// The hyperparameters
    #[arg(long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// Begin with the parameters of another run, where they fit: its layers are matched as `netc diff` does
    #[arg(long, value_name = "RUN")]
    from: Option<PathBuf>,
    /// Replace a run that is already in the output folder
    #[arg(long)]
    force: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    running: Running,
}

/// A fault between two places: the other one becomes a label, or the only place.
fn between(fault: Diagnostic, words: &str, source: &Arc<Source>, span: Span) -> Diagnostic {
    if fault.primary.is_some() {
        fault.label(words, source, span)
    } else {
        fault.at(source, span).here(words)
    }
}

/// What a run gave, in words.
fn told(run: &str, inherited: &Inherited) -> Vec<String> {
    let of = |fates: &[Fate]| {
        let changes = inherited.changes.iter();
        let changes = changes.filter(|change| fates.contains(&change.fate));
        let names = changes.filter_map(|change| change.new.as_ref().or(change.old.as_ref()));
        let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    };
    let fresh = of(&[Fate::Reinitialized, Fate::New]);
    let dropped = of(&[Fate::Dropped]);
    let count = inherited
        .changes
        .iter()
        .filter(|change| change.new.is_some())
        .count();
    let mut lines = vec![format!(
        "from {run}: {} of {count} tensors loaded",
        inherited.tensors.len()
    )];
    if !fresh.is_empty() {
        lines.push(format!("initialised: {fresh}"));
    }
    if !dropped.is_empty() {
        lines.push(format!("not used: {dropped}"));
    }
    lines
}

impl Train {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let (mut config, faults) =
            files::config(self.config.as_deref(), &self.running.assignments())?;
        let network = self.network.read()?;
        let recipe = recipe(&config);
        let (graph, mut found) = network.graph(&recipe, None);
        found.append(faults);
        output.diagnostics(&found);
        let Some(graph) = graph.filter(|_| !found.has_errors()) else {
            return Ok(PROBLEMS);
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
        let train = data::open(&config.data.train, Part::Train, &config.data, graph.input)
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
                return Ok(PROBLEMS);
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
        // A batch larger than the set is no matter of memory.
        if let Batch::Images(images) = config.train.batch {
            Order::check(images, train.len())
                .map_err(|fault| config.point("train.batch", fault))?;
        }
        let mut device = open_device(&config)?;
        let machine = machine(&config, &*device, output)?;
        let job = Job {
            graph: &graph,
            optimizer: Some(optimizer(&config)),
            machine,
            device: &device.description().name,
        };
        let (batch, plans) = planned(&job, &config, &self.running, train.len())?;
        config.train.batch = Batch::Images(batch);
        let order = Order::new(
            train.labels(),
            batch,
            config.data.balance,
            config.train.seed,
        )
        .map_err(|fault| config.point("train.batch", fault))?;
        for broken in train.broken().iter().chain(test.broken()) {
            output.diagnostics(&Diagnostics::from(broken.clone()));
        }
        let mean = Mean::of(&train, config.data.mean)?;

        let say = |line: &str| {
            if !self.quiet {
                output.warn(line);
            }
        };
        say(&format!(
            "device: {} ({})",
            device.description().name,
            device.description().platform
        ));
        if !self.quiet {
            device.watch(compiling());
        }
        let inherited = match &self.from {
            Some(run) => {
                let run = folder::open(run, &[])?;
                Some(inherit(&run, &network.tree, &graph, &machine)?)
            }
            None => None,
        };
        let mut session = Session::load(graph, device, plans)?;
        session.initialize(config.train.seed)?;
        if let Some((run, inherited)) = self.from.as_ref().zip(inherited) {
            session.write_some(&inherited.tensors)?;
            for line in told(&run.display().to_string(), &inherited) {
                say(&line);
            }
        }
        say(&format!(
            "data: {} training images, {} test images, {} classes; batch {batch}, memory {}",
            train.len(),
            test.len(),
            train.classes().len(),
            bytes(session.planned_bytes())
        ));
        let path = choose(&config.output.dir, &network.name);
        // A run says what its input is, also where the network's file leaves that to the data.
        let text = network.tree.source.text();
        let stated = if network.tree.input.is_some() {
            text.to_owned()
        } else {
            format!(
                "input {}\n{}",
                train.shape(),
                text.trim_start_matches('\u{feff}')
            )
        };
        let contents = Contents {
            network: &stated,
            config: &config,
            classes: train.classes(),
            mean: (&mean, train.shape()),
        };
        let mut folder = RunFolder::create(&path, self.force, &contents)
            .map_err(|fault| config.point("output.dir", fault))?;
        say(&format!("run: {}", path.display()));

        let stop = stop_on_signals();
        let training = Training {
            session: &mut session,
            config: &config,
            train: &train,
            test: &test,
            mean: &mean,
            order,
            folder: &mut folder,
            stop: &stop,
        };
        let mut progress = Progress::new(training.steps(), config.train.epochs, self.quiet);
        let end = training.run(&mut progress);
        progress.finish();
        match end? {
            End::Finished(evaluation) => {
                output.print(&format!(
                    "test accuracy {:.4}, test loss {:.4}: {}\n",
                    evaluation.accuracy,
                    evaluation.loss,
                    path.display()
                ));
                Ok(FINE)
            }
            End::Stopped { signal } => {
                output.warn(&format!(
                    "stopped; the checkpoint is {}/checkpoints/last.safetensors",
                    path.display()
                ));
                Ok(128 + signal as Exit)
            }
        }
    }
}

/// The number of the signal that asks to stop, once there is one. A second Ctrl-C leaves at once.
fn stop_on_signals() -> Arc<AtomicI32> {
    let stop = Arc::new(AtomicI32::new(0));
    let again = Arc::new(AtomicBool::new(false));
    // Where a handler cannot be set, signals end the process as they always did.
    let _ = signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&again));
    let _ = signal_hook::flag::register(SIGINT, again);
    for signal in [SIGINT, SIGTERM] {
        let stop = Arc::clone(&stop);
        let seen = Arc::new(AtomicBool::new(false));
        let _ = signal_hook::flag::register(signal, Arc::clone(&seen));
        std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            stop.store(signal, Ordering::Relaxed);
        });
    }
    stop
}
