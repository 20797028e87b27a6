//! Plans that are measured against each other.

use std::time::Instant;

use super::super::bench::{Given, median};
use super::super::runner::Runner;
use super::super::selftest;
use crate::device::Device;
use crate::diagnostic::Diagnostic;
use crate::op::emit::{Argument, Kernel, Scalars};
use crate::plan::Plan;

/// Seconds that one turn takes at least: many runs of a quick step. Short turns, many of them, tell most where others use
/// the machine too: of 64 turns of 20 ms of the same plan, each 5 % off, the median is 0.5 % off.
const TURN: f64 = 0.01;
/// Turns of each plan: before a candidate may lose, before it may win, and at most.
const LEAST_TURNS: usize = 8;
const WINNING_TURNS: usize = 16;
const MOST_TURNS: usize = 96;
/// A gain that is worth a change.
const GAIN: f64 = 0.01;
/// Of the self-test's tolerance: a user's network has longer sums than its networks have. A wrong kernel is wrong by the
/// tensor's scale, 10,000 times as much.
const TOLERANCES: f64 = 5.0;

/// What distinguishes plans of the same work.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    kernels: Vec<Kernel>,
    arguments: Vec<Argument>,
    elements: Vec<usize>,
}

impl Shape {
    /// A plan's.
    pub(super) fn of(plan: &Plan) -> Self {
        let arguments = plan.steps.iter().flat_map(|step| &step.call.arguments);
        Self {
            kernels: plan.steps.iter().map(|step| step.call.kernel()).collect(),
            arguments: arguments.copied().collect(),
            elements: plan.buffers.iter().map(|buffer| buffer.elements).collect(),
        }
    }
}

/// A plan on a device of its own.
pub(super) struct Variant {
    /// The device.
    pub(super) device: Box<dyn Device>,
    /// See [`Shape`].
    pub(super) shape: Shape,
    runner: Runner,
    given: Given,
}

impl Variant {
    /// Loads a plan, with parameters that are the same for all plans of a network.
    ///
    /// # Errors
    /// As [`Device::load`].
    pub(super) fn load(mut device: Box<dyn Device>, plan: Plan) -> Result<Self, Diagnostic> {
        let shape = Shape::of(&plan);
        let runner = Runner::load(&mut *device, plan)?;
        selftest::prepare(&runner, &mut *device)?;
        Ok(Self {
            given: Given::new(&runner.plan),
            device,
            shape,
            runner,
        })
    }

    /// The first step that writes something else than the host engine's, where there is one.
    ///
    /// # Errors
    /// E0703, E0704 of the device.
    pub(super) fn wrong(&mut self) -> Result<Option<String>, Diagnostic> {
        let steps = selftest::compare(&mut *self.device, &self.runner)?;
        let right = |c: &super::super::golden::Comparison| c.error <= TOLERANCES * c.tolerance;
        let wrong = steps
            .into_iter()
            .find(|(_, comparisons)| !comparisons.iter().all(right));
        selftest::prepare(&self.runner, &mut *self.device)?;
        Ok(wrong.map(|(step, _)| step))
    }

    /// The time of so many runs, in seconds a run. The learning rate is 0: parameters stay what they are, however long it
    /// takes.
    fn time(&mut self, runs: usize) -> Result<f64, Diagnostic> {
        let scalars = Scalars {
            images: self.runner.plan.batch as u32,
            ..Scalars::default()
        };
        let start = Instant::now();
        for _ in 0..runs {
            self.given.write(&mut *self.device, &self.runner)?;
            self.runner.run_all(&mut *self.device, &scalars)?;
            self.device.finish()?;
        }
        Ok(start.elapsed().as_secs_f64() / runs as f64)
    }

    /// The median time of a run, in seconds.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub(super) fn seconds(&mut self) -> Result<f64, Diagnostic> {
        let runs = runs(self.time(1)?);
        let times = (0..LEAST_TURNS).map(|_| self.time(runs));
        Ok(median(times.collect::<Result<_, _>>()?))
    }
}

/// Runs of a turn.
fn runs(seconds: f64) -> usize {
    (TURN / seconds.max(1e-6)).ceil() as usize
}

/// How one plan's time compares with another's.
pub(super) struct Duel {
    /// The second's time as a share of the first's: the median of the turns.
    pub(super) ratio: f64,
    /// The median's standard error.
    error: f64,
    turns: usize,
    /// The medians of both.
    pub(super) seconds: (f64, f64),
}

impl Duel {
    fn of(times: &[(f64, f64)]) -> Self {
        let middle = |of: fn(&(f64, f64)) -> f64| median(times.iter().map(of).collect());
        let ratio = middle(|(first, second)| second / first);
        let off = |(first, second): &(f64, f64)| (second / first - ratio).abs();
        let spread = median(times.iter().map(off).collect());
        Self {
            ratio,
            // As of normally distributed turns.
            error: 1.25 * 1.48 * spread / (times.len() as f64).sqrt(),
            turns: times.len(),
            seconds: (middle(|times| times.0), middle(|times| times.1)),
        }
    }

    /// Whether the second is faster by more than the noise.
    pub(super) fn faster(&self) -> bool {
        self.turns >= WINNING_TURNS && self.ratio + 3.0 * self.error < 1.0 - GAIN
    }

    /// Whether the second is faster by what is worth a change, noise or not.
    pub(super) fn gains(&self) -> bool {
        self.ratio < 1.0 - GAIN
    }

    /// Whether it will hardly be found to be.
    fn slower(&self) -> bool {
        self.turns >= LEAST_TURNS && self.ratio - 0.5 * self.error > 1.0 - GAIN
    }
}

/// Measures two plans in turns until it is clear which is faster, or, for a figure, as often as it goes.
///
/// # Errors
/// E0704 the device failed.
pub(super) fn duel(
    first: &mut Variant,
    second: &mut Variant,
    figure: bool,
) -> Result<Duel, Diagnostic> {
    // The first runs compile, and fill caches.
    second.time(1)?;
    let once = second.time(1)?.min(first.time(1)?);
    let runs = runs(once);
    let mut times = Vec::with_capacity(MOST_TURNS);
    loop {
        // Who goes first changes: so does what the one finds of the other in the caches.
        times.push(if times.len().is_multiple_of(2) {
            let first = first.time(runs)?;
            (first, second.time(runs)?)
        } else {
            let second = second.time(runs)?;
            (first.time(runs)?, second)
        });
        let outcome = Duel::of(&times);
        let clear = !figure && (outcome.faster() || outcome.slower());
        if times.len() == MOST_TURNS || clear {
            return Ok(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_faster_by_more_than_the_noise_counts() {
        let duel = |second: &[f64]| {
            let turns = second.iter().cycle().take(WINNING_TURNS);
            Duel::of(&turns.map(|&second| (1.0, second)).collect::<Vec<_>>())
        };
        assert!(duel(&[0.95, 0.951, 0.949, 0.95]).faster());
        let noisy = duel(&[0.7, 0.95, 1.2, 0.9, 1.0]);
        assert!(!noisy.faster() && !noisy.slower());
        let same = duel(&[1.0, 1.001, 0.999, 1.0]);
        assert!(!same.faster() && same.slower());
        assert_eq!(same.seconds, (1.0, 1.0));
        // Turns that something else disturbed decide nothing.
        assert!(duel(&[0.95, 0.951, 0.949, 3.0, 0.95]).faster());
        // Nor do few.
        assert!(!Duel::of(&[(1.0, 0.5); 4]).faster());
    }
}
