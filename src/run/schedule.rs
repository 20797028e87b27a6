//! The learning rate over a training, and when a training ends early.
//!
//! With the test loss of each epoch known, all of it is a function of the step, so a resumed training goes on with the
//! same rates. Epochs and steps count from 0 here.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::config::{Config, ScheduleKind};

/// What the test losses so far have led to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// The lowest test loss so far.
    pub lowest: Option<f64>,
    /// Epochs since then.
    pub stale: u64,
    /// The same, since the rate fell last (`plateau`).
    pub waiting: u64,
    /// How often the rate has fallen (`plateau`).
    pub falls: u32,
}

impl Course {
    /// Takes in an epoch's test loss.
    pub fn epoch(&mut self, config: &Config, loss: f64) {
        if self.lowest.is_none_or(|lowest| loss < lowest) {
            self.lowest = Some(loss);
            (self.stale, self.waiting) = (0, 0);
            return;
        }
        self.stale += 1;
        self.waiting += 1;
        // As torch.optim.lr_scheduler.ReduceLROnPlateau: so many epochs are endured, the next lets the rate fall.
        let schedule = &config.optimizer.schedule;
        if schedule.kind == ScheduleKind::Plateau && self.waiting > schedule.patience {
            self.waiting = 0;
            self.falls += 1;
        }
    }

    /// Whether the training is to end (`train.stop_after`).
    pub fn ends(&self, config: &Config) -> bool {
        let most = config.train.stop_after;
        most > 0 && self.stale >= most
    }
}

/// The rate of a step.
///
/// - `step`: falls to `factor` of itself after every `every` epochs.
/// - `cosine`: half a cosine from the rate to 0 over the steps after the warm-up (Loshchilov and Hutter 2017, equation 5,
///   without restarts).
/// - `plateau`: as [`Course`] has it.
///
/// With `warmup` epochs before, each step of them takes its share: the first one step's, the last the whole rate.
pub fn learning_rate(config: &Config, steps_per_epoch: u64, step: u64, course: &Course) -> f64 {
    let (optimizer, epoch) = (&config.optimizer, step / steps_per_epoch);
    let schedule = &optimizer.schedule;
    let power = |count: u64| {
        schedule
            .factor
            .powi(i32::try_from(count).unwrap_or(i32::MAX))
    };
    let warm = schedule.warmup * steps_per_epoch;
    let share = match schedule.kind {
        ScheduleKind::Constant => 1.0,
        ScheduleKind::Step => power(epoch / schedule.every.max(1)),
        ScheduleKind::Plateau => power(course.falls.into()),
        ScheduleKind::Cosine => {
            let all = (config.train.epochs * steps_per_epoch).saturating_sub(warm);
            let done = step.saturating_sub(warm) as f64 / all.max(1) as f64;
            0.5 + 0.5 * (PI * done.min(1.0)).cos()
        }
    };
    let rising = if step < warm {
        (step + 1) as f64 / warm as f64
    } else {
        1.0
    };
    optimizer.learning_rate * share * rising
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates of the first steps of each of five epochs of ten steps, and of step 1.
    fn rates(change: impl FnOnce(&mut Config)) -> Vec<f64> {
        let mut config = Config::default();
        config.optimizer.learning_rate = 0.5;
        config.train.epochs = 5;
        change(&mut config);
        let course = Course::default();
        let steps = [0, 1, 10, 20, 30, 40];
        steps
            .map(|step| learning_rate(&config, 10, step, &course))
            .to_vec()
    }

    #[test]
    fn schedules_have_their_shapes() {
        assert_eq!(rates(|_| {}), [0.5; 6]);
        let step = rates(|config| {
            config.optimizer.schedule.kind = ScheduleKind::Step;
            config.optimizer.schedule.every = 2;
            config.optimizer.schedule.factor = 0.5;
        });
        assert_eq!(step, [0.5, 0.5, 0.5, 0.25, 0.25, 0.125]);
        // torch.optim.lr_scheduler.CosineAnnealingLR with T_max=50, stepped every step.
        let cosine = rates(|config| config.optimizer.schedule.kind = ScheduleKind::Cosine);
        let torch = [
            0.5,
            0.499_506_682_107_068_1,
            0.452_254_248_593_736_9,
            0.327_254_248_593_736_9,
            0.172_745_751_406_263_14,
            0.047_745_751_406_263_15,
        ];
        for (ours, torchs) in cosine.iter().zip(torch) {
            assert!((ours - torchs).abs() < 1e-15, "{cosine:?}");
        }
    }

    #[test]
    fn the_warm_up_rises_to_the_rate_and_the_cosine_begins_behind_it() {
        let warm = rates(|config| config.optimizer.schedule.warmup = 1);
        assert_eq!(warm, [0.05, 0.1, 0.5, 0.5, 0.5, 0.5]);
        let both = rates(|config| {
            config.optimizer.schedule.warmup = 1;
            config.optimizer.schedule.kind = ScheduleKind::Cosine;
        });
        assert_eq!(both[..3], [0.05, 0.1, 0.5]);
        assert!((both[4] - 0.25).abs() < 1e-15, "{both:?}");
    }

    #[test]
    fn a_plateau_is_endured_for_its_patience_and_an_end_comes_after_its_epochs() {
        let mut config = Config::default();
        config.optimizer.learning_rate = 1.0;
        config.optimizer.schedule.kind = ScheduleKind::Plateau;
        config.optimizer.schedule.patience = 1;
        config.optimizer.schedule.factor = 0.5;
        config.train.stop_after = 3;
        let mut course = Course::default();
        let mut seen = Vec::new();
        for loss in [2.0, 1.0, 1.0, 1.5, 0.5, 0.6, 0.7, 0.8] {
            course.epoch(&config, loss);
            seen.push((learning_rate(&config, 10, 0, &course), course.ends(&config)));
        }
        let expected = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25];
        assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), expected);
        let ends = seen.iter().map(|s| s.1).collect::<Vec<_>>();
        assert_eq!(
            ends,
            [false, false, false, false, false, false, false, true]
        );
    }
}
