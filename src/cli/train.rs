//! `netc train`: from a network and a configuration to a run folder.

mod resume;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};

use self::resume::Resumed;
use super::files::{self, Network, NetworkFile};
use super::job::planned;
use super::progress::{Looking, Progress, compiling};
use super::{Exit, FINE, Failure, Output, PROBLEMS, Running, bytes, machine, open_device};
use crate::config::{Batch, Config};
use crate::data::{self, Dataset, Mean, Order, Part, Survey, check_classes};
use crate::device::Device;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::diff::consequence::Fate;
use crate::ir::Graph;
use crate::op::emit::Machine;
use crate::plan::budget::{Job, Plans};
use crate::run::folder::{self, Contents, RunFolder};
use crate::run::inherit::{Inherited, inherit};
use crate::run::session::{Session, optimizer, recipe};
use crate::run::state::{Circumstances, State, facts};
use crate::run::train::{End, Training};
use crate::source::{Source, Span};

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct Train {
    #[command(flatten)]
    what: What,
    /// The hyperparameters
    #[arg(long, value_name = "TOML", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// Begin with the parameters of another run, where they fit: its layers are matched as `netc diff` does
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    from: Option<PathBuf>,
    /// Replace a run that is already in the output folder
    #[arg(long, conflicts_with = "resume")]
    force: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
    /// End with how long the steps took and waited for images
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    running: Running,
}

/// What is trained.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The network's file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The network itself: `--expr 'C48->P->N->F10'`
    #[arg(long, value_name = "NETWORK", allow_hyphen_values = true)]
    expr: Option<String>,
    /// Go on with a run from its last checkpoint, to the bit; `--set train.epochs=N` trains further
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
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

/// Everything that a training needs and that can be wrong before anything is written.
struct Prepared {
    network: Network,
    config: Config,
    graph: Graph,
    train: Dataset,
    validation: Option<Dataset>,
    test: Dataset,
    /// What is subtracted from the images.
    mean: Mean,
    order: Order,
    device: Box<dyn Device>,
    machine: Machine,
    plans: Plans,
}

impl Train {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        if let Some(run) = &self.what.resume {
            return self.resume(run, output);
        }
        let (config, faults) = files::config(self.config.as_deref(), &self.running.assignments())?;
        let network = NetworkFile::of(self.what.file.clone(), self.what.expr.clone()).read()?;
        let Some(prepared) = self.prepare(network, config, faults, None, output)? else {
            return Ok(PROBLEMS);
        };
        self.say_device(&prepared, output);
        let inherited = match &self.from {
            Some(run) => {
                let run = folder::open(run, &[])?;
                let (tree, machine) = (&prepared.network.tree, &prepared.machine);
                Some(inherit(&run, tree, &prepared.graph, machine)?)
            }
            None => None,
        };
        let Prepared {
            network,
            config,
            graph,
            train,
            validation,
            test,
            mean,
            order,
            device,
            plans,
            ..
        } = prepared;
        let mut session = Session::load(graph, device, plans)?;
        session.initialize(config.train.seed)?;
        if let Some((run, inherited)) = self.from.as_ref().zip(inherited.as_ref()) {
            session.write_some(&inherited.tensors)?;
            for line in told(&run.display().to_string(), inherited) {
                self.say(output, &line);
            }
        }
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
            left_out: [Some(&train), validation.as_ref(), Some(&test)]
                .map(|set| set.map_or(&[][..], Dataset::broken_files)),
        };
        let about = circumstances(&session, &train)?;
        let mut folder =
            RunFolder::create(&config.output.dir, &network.name, self.force, &contents)
                .map_err(|fault| config.point("output.dir", fault))?;
        let state = State::default();
        if inherited.is_some() {
            // Where such a run begins cannot be drawn again from its seed.
            let facts = facts(&state, config.train.seed, &about);
            folder.begin(|path| session.save(path, true, &facts))?;
        }
        let training = Training {
            session: &mut session,
            config: &config,
            train: &train,
            validation: validation.as_ref(),
            test: &test,
            mean: &mean,
            order,
            folder: &mut folder,
            state,
            about: &about,
            stop: &stop_on_signals(),
        };
        self.finish(training, output)
    }

    /// Goes on with a run.
    fn resume(&self, run: &Path, output: &Output) -> Result<Exit, Failure> {
        let resumed = resume::read(run, &self.running.assignments(), output)?;
        let Resumed {
            settings,
            mut state,
            before,
            tensors,
            is_finished,
        } = resumed;
        if is_finished {
            self.say(
                output,
                &format!(
                    "{}: all {} epochs are done; `--set train.epochs=N` trains further",
                    run.display(),
                    settings.config.train.epochs
                ),
            );
            return Ok(FINE);
        }
        let network = Network::parse("network".into(), &settings.network);
        let faults = Diagnostics::default();
        let Some(prepared) = self.prepare(network, settings.config, faults, Some(run), output)?
        else {
            return Ok(PROBLEMS);
        };
        self.say_device(&prepared, output);
        let Prepared {
            config,
            graph,
            train,
            validation,
            test,
            mean,
            order,
            device,
            plans,
            ..
        } = prepared;
        if config.train.epochs * order.steps_per_epoch() < state.step {
            let message = format!(
                "`{}` has done {} steps, which are more than {} epochs",
                run.display(),
                state.step,
                config.train.epochs
            );
            let least = state.step.div_ceil(order.steps_per_epoch());
            let fault = Diagnostic::error(Code::E0404, message)
                .help(format!("write `--set train.epochs={least}` or more"));
            return Err(config.point("train.epochs", fault).into());
        }
        let mut session = Session::load(graph, device, plans)?;
        let about = circumstances(&session, &train)?;
        if let Some(before) = &before {
            if about.images != before.images {
                let message = format!(
                    "the training images of `{}` are other ones than when it began",
                    run.display()
                );
                let fault = Diagnostic::error(Code::E0506, message)
                    .help("put them back, say where they are with `--set data.train=PATH`, or begin a new run with `--from`");
                return Err(config.point("data.train", fault).into());
            }
            if let Some(why) = about.departs(before) {
                self.say(output, &format!("from here on the numbers are no longer those of an uninterrupted run, to the bit: {why}"));
            }
        }
        session.initialize(config.train.seed)?;
        if let Some(tensors) = &tensors {
            session.write(tensors, true)?;
        }
        drop(tensors);
        let contents = Contents {
            network: settings.network.text(),
            config: &config,
            classes: &settings.classes,
            mean: (&mean, train.shape()),
            left_out: [Some(&train), validation.as_ref(), Some(&test)]
                .map(|set| set.map_or(&[][..], Dataset::broken_files)),
        };
        state.ended = state.course.ends(&config);
        let mut folder = RunFolder::reopen(run, state.step, &contents)?;
        folder.unfinish()?;
        self.say(
            output,
            &format!(
                "goes on after step {} of {}",
                state.step,
                config.train.epochs * order.steps_per_epoch()
            ),
        );
        let training = Training {
            session: &mut session,
            config: &config,
            train: &train,
            validation: validation.as_ref(),
            test: &test,
            mean: &mean,
            order,
            folder: &mut folder,
            state,
            about: &about,
            stop: &stop_on_signals(),
        };
        self.finish(training, output)
    }

    fn say(&self, output: &Output, line: &str) {
        if !self.quiet {
            output.warn(line);
        }
    }

    fn say_device(&self, prepared: &Prepared, output: &Output) {
        let about = prepared.device.description();
        self.say(
            output,
            &format!("device: {} ({})", about.name, about.platform),
        );
        self.say(
            output,
            &format!(
                "data: {} training images, {} test images, {} classes; batch {}, memory {}",
                prepared.train.len(),
                prepared.test.len(),
                prepared.train.classes().len(),
                prepared.plans.inference.batch,
                bytes(prepared.plans.total_bytes())
            ),
        );
    }

    /// Opens data and device and plans the network; `None` where problems were shown. Of a run that goes on, the mean and
    /// what is left out of the images are taken from its folder.
    fn prepare(
        &self,
        network: Network,
        mut config: Config,
        faults: Diagnostics,
        run: Option<&Path>,
        output: &Output,
    ) -> Result<Option<Prepared>, Failure> {
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
            let looking = Looking::new(train.len(), self.quiet);
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
            for broken in [Some(&train), validation.as_ref(), Some(&test)]
                .into_iter()
                .flatten()
                .flat_map(Dataset::broken)
            {
                output.diagnostic(broken);
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
        if !self.quiet {
            device.watch(compiling());
        }
        let machine = machine(&config, &*device, output)?;
        let job = Job {
            graph: &graph,
            optimizer: Some(optimizer(&config)),
            machine,
            device: &device.description().name,
        };
        let (batch, plans) = planned(&job, &config, &self.running, train.len() / parts)?;
        config.train.batch = Batch::Images(batch);
        let order = Order::new(
            train.labels(),
            (batch, parts),
            config.data.balance,
            config.train.seed,
        )
        .map_err(|fault| config.point("train.batch", fault))?;
        Ok(Some(Prepared {
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

    /// Trains to the end.
    fn finish(&self, training: Training<'_>, output: &Output) -> Result<Exit, Failure> {
        let path = training.folder.path().to_path_buf();
        self.say(output, &format!("run: {}", path.display()));
        let (steps, epochs) = (training.steps(), training.config.train.epochs);
        let mut progress = Progress::new(steps, epochs, self.quiet, output.style());
        progress.profile = self.profile;
        let end = training.run(&mut progress);
        progress.finish();
        match end? {
            End::Finished(test, done) => {
                if done < epochs {
                    self.say(output, &format!("ended after {done} of {epochs} epochs: the test loss was no better (`train.stop_after`)"));
                }
                output.print(&format!(
                    "test accuracy {:.4}, test loss {:.4}: {}\n",
                    test.accuracy,
                    test.loss,
                    path.display()
                ));
                Ok(FINE)
            }
            End::Stopped { signal } => {
                let run = path.display();
                output.warn(&format!(
                    "stopped; the checkpoint is {run}/checkpoints/last.safetensors, `netc train --resume {run}` goes on"
                ));
                Ok(128 + signal as Exit)
            }
        }
    }
}

/// What a training's numbers depend on.
fn circumstances(session: &Session, train: &Dataset) -> Result<Circumstances, Diagnostic> {
    let (device, plan) = (session.device.description(), session.training_plan());
    Ok(Circumstances::of(device, &plan, train.fingerprint()?))
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
