//! What commands that run share: the batch and the plans that a configuration asks for.

use super::Running;
use crate::config::{Batch, Config};
use crate::diagnostic::Diagnostic;
use crate::plan::budget::{Job, Plans};
use crate::run::session::batch_suffices;

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
