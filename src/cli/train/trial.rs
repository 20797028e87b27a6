//! `netc train --dry-run`: a few steps of everything, and what a whole run would take.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::progress::time;
use super::super::{Exit, FINE, Failure, Output, bytes};
use super::prepare::Ready;
use crate::config::Config;
use crate::data::{Dataset, Loader, Mean, Preparation};
use crate::diagnostic::Diagnostic;
use crate::file::unwritable;
use crate::op::real::{Precision, Real};
use crate::run::learner::{Fault, Learner};
use crate::run::not_finite::{When, not_finite};
use crate::run::schedule::{Course, learning_rate};
use crate::run::session::Session;

/// Steps that are measured, after a first one that may compile.
const STEPS: u64 = 5;

/// Runs it, from the parameters that are there.
pub fn run(mut ready: Ready, output: &Output) -> Result<Exit, Failure> {
    let measured = match ready.session.precision {
        Precision::F32 => measure::<f32>(&mut ready),
        Precision::F64 => measure::<f64>(&mut ready),
    }?;
    let Ready {
        mut session,
        network,
        config,
        validation,
        test,
        order,
        ..
    } = ready;
    let (step, tested, loss) = measured;
    let per_epoch = order.steps_per_epoch();
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

/// The median time of a step, the time of a batch in a test, and the first step's loss.
fn measure<T: Real>(ready: &mut Ready) -> Result<(Duration, Duration, f64), Diagnostic> {
    let (config, session) = (&ready.config, &mut ready.session);
    let images = (&ready.train, &ready.mean);
    let (order, per_epoch) = (ready.order.clone(), ready.order.steps_per_epoch());
    let mut learner = Learner::<T>::new(config, images, order, session.batch, 0..STEPS + 1);
    let (mut times, mut first) = (Vec::new(), 0.0);
    for step in 0..=STEPS {
        let begin = Instant::now();
        let rate = learning_rate(config, per_epoch, step, &Course::default());
        let learned = learner
            .step(session, step, rate)
            .map_err(|fault| match fault {
                Fault::Images(fault) | Fault::Device(fault) => fault,
                Fault::NotFinite { loss, trouble } => {
                    let at = (step + 1, step / per_epoch + 1);
                    not_finite(config, loss, at, When::Step, &trouble)
                }
            })?;
        if step == 0 {
            first = learned.loss;
        }
        session.device.finish()?;
        times.push(begin.elapsed());
    }
    let measured = &mut times[1..];
    measured.sort();
    let step = measured[measured.len() / 2];
    let tested = batch_of::<T>(session, config, &ready.test, &ready.mean)?;
    Ok((step, tested, first))
}

/// The time of a batch in a test, after one that may compile.
fn batch_of<T: Real>(
    session: &mut Session,
    config: &Config,
    test: &Dataset,
    mean: &Mean,
) -> Result<Duration, Diagnostic> {
    let preparation = Preparation::of_test(test, mean, &config.data);
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
