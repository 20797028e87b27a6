//! The learning rate over the epochs.

use crate::config::{Optimizer, ScheduleKind};

/// The rate of an epoch, counted from 0.
pub fn learning_rate(optimizer: &Optimizer, epoch: u64) -> f64 {
    let schedule = &optimizer.schedule;
    match schedule.kind {
        ScheduleKind::Step => {
            optimizer.learning_rate
                * schedule
                    .factor
                    .powi(i32::try_from(epoch / schedule.every.max(1)).unwrap_or(i32::MAX))
        }
        // The others are refused before a training starts (`Config::unsupported`).
        _ => optimizer.learning_rate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_schedule_drops_after_every_so_many_epochs() {
        let mut optimizer = crate::config::Config::default().optimizer;
        optimizer.learning_rate = 0.5;
        assert_eq!(learning_rate(&optimizer, 99), 0.5);
        optimizer.schedule.kind = ScheduleKind::Step;
        optimizer.schedule.every = 2;
        optimizer.schedule.factor = 0.5;
        let rates: Vec<f64> = (0..5)
            .map(|epoch| learning_rate(&optimizer, epoch))
            .collect();
        assert_eq!(rates, [0.5, 0.5, 0.25, 0.25, 0.125]);
    }
}
