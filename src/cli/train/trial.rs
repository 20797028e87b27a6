//! `netc train --dry-run`: a few steps of everything, and what a whole run would take.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::progress::time;
use super::super::{Exit, FINE, Failure, Output, bytes};
use super::prepare::Prepared;
use crate::config::Config;
use crate::data::{Augmentation, Dataset, Loader, Mean, Order, Preparation};
use crate::diagnostic::{Code, Diagnostic};
use crate::file::unwritable;
use crate::op::emit::Scalars;
use crate::op::real::{Precision, Real};
use crate::run::schedule::{Course, learning_rate};
use crate::run::session::{Session, optimizer};

/// Steps that are measured, after a first one that may compile.
const STEPS: u64 = 5;

/// Runs it.
pub fn run(prepared: Prepared, output: &Output) -> Result<Exit, Failure> {
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
    let per_epoch = order.steps_per_epoch();
    let (step, loss) = match session.precision {
        Precision::F32 => steps::<f32>(&mut session, &config, &train, &mean, order),
        Precision::F64 => steps::<f64>(&mut session, &config, &train, &mean, order),
    }?;
    let tested = match session.precision {
        Precision::F32 => batch_of::<f32>(&mut session, &config, &test, &mean),
        Precision::F64 => batch_of::<f64>(&mut session, &config, &test, &mean),
    }?;
    let held_back = validation.map_or(0, |set| set.len());
    let batches = test.len().div_ceil(session.batch) + held_back.div_ceil(session.batch);
    let test = tested * batches as u32;
    let (size, written) = checkpoint(&mut session, &config, &network.name)?;
    let epoch = step * per_epoch as u32 + test + written;
    let all = epoch * config.train.epochs as u32;
    output.print(&format!(
        "a step: {:.1} ms; an epoch of {per_epoch} steps with its test and checkpoint: {}; {} epochs: {}\n\
         memory on the device: {}; a checkpoint: {} in {:.0} ms; loss of the first step: {loss:.4}\n",
        1000.0 * step.as_secs_f64(),
        taken(epoch),
        config.train.epochs,
        taken(all),
        bytes(session.planned_bytes()),
        bytes(size),
        1000.0 * written.as_secs_f64(),
    ));
    Ok(FINE)
}

/// A time for people; short ones with a tenth of a second.
fn taken(duration: Duration) -> String {
    if duration < Duration::from_mins(1) {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        time(duration)
    }
}

/// The median time of a step, and the first step's loss.
fn steps<T: Real>(
    session: &mut Session,
    config: &Config,
    train: &Dataset,
    mean: &Mean,
    mut order: Order,
) -> Result<(Duration, f64), Diagnostic> {
    let augmentation = Augmentation::of(&config.data, config.train.seed);
    let (parts, batch) = (config.train.accumulate, session.batch);
    let preparation = Preparation {
        set: train,
        mean,
        scale: config.data.scale,
        augmentation: Some(&augmentation),
        parts,
        workers: config.data.workers,
    };
    let (per_epoch, optimizer) = (order.steps_per_epoch(), optimizer(config));
    let end = (STEPS + 1) * parts;
    let mut loader = Loader::<T>::new(&preparation, batch, 0..end, |number| {
        let first = (number % parts) as usize * batch;
        order.batch(number / parts)[first..first + batch].to_vec()
    });
    let (mut times, mut first) = (Vec::new(), 0.0);
    for step in 0..=STEPS {
        let begin = Instant::now();
        let rate = learning_rate(config, per_epoch, step, &Course::default());
        for part in 0..parts {
            let batch = loader.next_batch()?;
            let scalars = Scalars {
                step: (step * parts + part) as u32,
                seed: config.train.seed,
                images: batch.labels.len() as u32,
                ..optimizer.scalars(rate, step)
            };
            let last = part + 1 == parts;
            let result = session.step(&batch.images, &batch.labels, &scalars, last)?;
            if !result.loss.is_finite() {
                let message = format!("the loss is {} at step {}", result.loss, step + 1);
                let help = "`netc check --signal` shows where the numbers grow; try a lower rate";
                return Err(Diagnostic::error(Code::E0801, message).help(help));
            }
            if step == 0 {
                first += result.loss / parts as f64;
            }
        }
        session.device.finish()?;
        times.push(begin.elapsed());
    }
    let measured = &mut times[1..];
    measured.sort();
    Ok((measured[measured.len() / 2], first))
}

/// The time of a batch in a test, after one that may compile.
fn batch_of<T: Real>(
    session: &mut Session,
    config: &Config,
    test: &Dataset,
    mean: &Mean,
) -> Result<Duration, Diagnostic> {
    let preparation = Preparation {
        set: test,
        mean,
        scale: config.data.scale,
        augmentation: None,
        parts: 1,
        workers: config.data.workers,
    };
    let count = test.len().min(session.batch) as u32;
    let plan = |_| (0..count).collect();
    let mut loader = Loader::<T>::new(&preparation, session.batch, 0..2, plan);
    let mut taken = Duration::ZERO;
    for _ in 0..2 {
        let begin = Instant::now();
        let batch = loader.next_batch()?;
        session.logits(&batch.images)?;
        taken = begin.elapsed();
    }
    Ok(taken)
}

/// Bytes of a checkpoint and the time that it takes, where the run's folder would be.
fn checkpoint(
    session: &mut Session,
    config: &Config,
    network: &str,
) -> Result<(u64, Duration), Diagnostic> {
    let run = crate::run::folder::choose(&config.output.dir, network);
    let there = |path: &&Path| !path.as_os_str().is_empty() && path.exists();
    let place = run.ancestors().find(there).unwrap_or(Path::new("."));
    let mut written = || {
        let folder = tempfile::Builder::new()
            .prefix(crate::file::NEW)
            .tempdir_in(place)
            .map_err(|error| unwritable(&run, &error))?;
        let file = folder.path().join("trial.safetensors");
        let begin = Instant::now();
        session.save(&file, true, &BTreeMap::new())?;
        let taken = begin.elapsed();
        let size = std::fs::metadata(&file).map_or(0, |about| about.len());
        Ok((size, taken))
    };
    written().map_err(|fault: Diagnostic| config.point("output.dir", fault))
}
