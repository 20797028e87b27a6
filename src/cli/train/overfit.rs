//! `netc train --overfit N`: whether the network can learn a few images by heart.

use super::super::{Exit, FINE, Failure, Output, PROBLEMS};
use super::prepare::Prepared;
use crate::config::{Augment, Batch, Config};
use crate::data::{Dataset, Mean, Order};
use crate::diagnostic::Diagnostic;
use crate::op::real::{Precision, Real};
use crate::plan::budget::{Job, Room};
use crate::run::evaluate::{Evaluation, evaluate};
use crate::run::learner::{Fault, Learner};
use crate::run::not_finite::{When, not_finite};
use crate::run::schedule::{Course, learning_rate};
use crate::run::session::{Session, optimizer};

/// Steps after which a network that has not learned the images does not learn them.
const MOST: u64 = 2000;
/// Steps between two looks at what is learned.
const EVERY: u64 = 10;

/// Takes away what keeps a network from learning images by heart.
pub fn plain(config: &mut Config) {
    config.data.augment = Augment {
        flip: false,
        shift: 0,
        brightness: 0.0,
    };
    config.data.validation = 0.0;
    config.data.balance = false;
    config.regularization.dropout = 0.0;
    config.optimizer.weight_decay = 0.0;
    config.train.smoothing = 0.0;
    config.train.accumulate = 1;
}

/// Trains on so many images until all are learned.
pub fn run(prepared: Prepared, images: usize, output: &Output) -> Result<Exit, Failure> {
    let Prepared {
        mut config,
        graph,
        train,
        mean,
        device,
        machine,
        ..
    } = prepared;
    let few = train.evenly(images)?;
    let batch = match config.train.batch {
        Batch::Images(batch) => batch.min(few.len()),
        Batch::Auto => few.len(),
    };
    // The crop of all is the centre: the same images come again and again.
    config.data.crop = None;
    let job = Job {
        graph: &graph,
        optimizer: Some(optimizer(&config)),
        machine,
        device: &device.description().name,
    };
    let plans = job.fitting(batch, &Room::new(device.limits(), None), None)?;
    let mut session = Session::load(graph, device, plans)?;
    session.initialize(config.train.seed)?;
    let order = Order::new(few.labels(), (batch, 1), false, config.train.seed)?;
    let (steps, result) = match session.precision {
        Precision::F32 => learn::<f32>(&mut session, &config, &few, &mean, order),
        Precision::F64 => learn::<f64>(&mut session, &config, &few, &mean, order),
    }?;
    let learned = result.accuracy == 1.0 && result.loss.is_finite();
    let count = few.len();
    output.print(&if learned {
        format!(
            "all {count} images are learned after {steps} steps, loss {:.4}\n",
            result.loss
        )
    } else {
        format!(
            "{:.0} of {count} images are learned after {steps} steps, loss {:.4}\n",
            result.accuracy * count as f64,
            result.loss
        )
    });
    if learned {
        return Ok(FINE);
    }
    output.warn("a network that can learn should know a few images by heart: look at the rate, the initial weights (`netc check --signal`) and the labels");
    Ok(PROBLEMS)
}

fn learn<T: Real>(
    session: &mut Session,
    config: &Config,
    set: &Dataset,
    mean: &Mean,
    order: Order,
) -> Result<(u64, Evaluation), Diagnostic> {
    let per_epoch = order.steps_per_epoch();
    let rate = learning_rate(config, per_epoch, 0, &Course::default());
    let mut learner = Learner::<T>::new(config, (set, mean), order, session.batch, 0..MOST);
    for step in 0..MOST {
        match learner.step(session, step, rate) {
            Ok(_) => {}
            Err(Fault::Images(fault) | Fault::Device(fault)) => return Err(fault),
            Err(Fault::NotFinite { loss, trouble }) => {
                let at = (step + 1, step / per_epoch + 1);
                return Err(not_finite(config, loss, at, When::Step, &trouble));
            }
        }
        if (step + 1).is_multiple_of(EVERY) {
            let result = evaluate(session, set, mean, &config.data)?;
            if result.accuracy == 1.0 && result.loss.is_finite() {
                return Ok((step + 1, result));
            }
        }
    }
    Ok((MOST, evaluate(session, set, mean, &config.data)?))
}
