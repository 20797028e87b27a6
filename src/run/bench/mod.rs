//! Measuring: how fast a network runs, what each step takes, and what the device could do at best.

pub mod peak;

use std::time::{Duration, Instant};

use rand_distr::{Distribution, StandardNormal};

use peak::Products;

use super::runner::Runner;
use super::session::Session;
use crate::device::Device;
use crate::diagnostic::Diagnostic;
use crate::op::emit::{Machine, Scalars};
use crate::op::real::{Precision, Real};
use crate::plan::{Mode, Plan};
use crate::random::{Purpose, Stream};

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Windows, each of which gives one figure.
    pub windows: usize,
    /// How long a window is at least; a run at least is in each.
    pub window: Duration,
    /// Runs of the plan in which each step is timed.
    pub profiles: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            windows: 5,
            window: Duration::from_secs(2),
            profiles: 5,
        }
    }
}

/// What was measured of one plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Until the first run was done, in which kernels may have been compiled.
    pub first: Duration,
    /// Images a second of each window, in order.
    pub images_per_second: Vec<f64>,
    /// The median time of each step.
    pub steps: Vec<Duration>,
    /// Billions of multiply-adds and additions a second that the device did at best beside these runs, in the median.
    pub gflops: f64,
}

impl Measured {
    /// The median of the windows' images a second.
    pub fn median(&self) -> f64 {
        median(self.images_per_second.clone())
    }

    /// From the slowest to the fastest window, as a share of the median.
    pub fn spread(&self) -> f64 {
        let fastest = self.images_per_second.iter().copied().fold(0.0, f64::max);
        let slowest = self.images_per_second.iter().copied();
        let slowest = slowest.fold(f64::INFINITY, f64::min);
        (fastest - slowest) / self.median()
    }
}

/// The value in the middle; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n.is_multiple_of(2) => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// Measures the session's training steps, or its inference, on a batch of random numbers that the host gives anew each
/// time: the memory of a plan's input serves other tensors once it is read.
///
/// # Errors
/// E0704 the device failed.
///
/// # Panics
/// Where the session is not for training and training is asked for.
pub fn measure(
    session: &mut Session,
    mode: Mode,
    learning_rate: f64,
    machine: &Machine,
    effort: &Effort,
) -> Result<Measured, Diagnostic> {
    let runner = session
        .runner(mode)?
        .expect("internal error: the session is not for training");
    let given = Given::new(&runner.plan);
    let start = Instant::now();
    let mut scalars = Scalars {
        learning_rate,
        images: runner.plan.batch as u32,
        ..Scalars::default()
    };
    let mut run = |session: &mut Session| {
        given.write(&mut *session.device, &runner)?;
        runner.run_all(&mut *session.device, &scalars)?;
        scalars.step += 1;
        session.device.finish()?;
        session.device.settle(runner.loaded)
    };
    run(session)?;
    let first = start.elapsed();
    // Warm caches, and how many runs a window is.
    let start = Instant::now();
    run(session)?;
    let once = start.elapsed().as_secs_f64().max(1e-6);
    let runs = (effort.window.as_secs_f64() / once).ceil().max(1.0) as usize;
    let mut images_per_second = Vec::with_capacity(effort.windows);
    for _ in 0..effort.windows {
        let start = Instant::now();
        for _ in 0..runs {
            run(session)?;
        }
        let images = (runs * runner.plan.batch) as f64;
        images_per_second.push(images / start.elapsed().as_secs_f64());
    }
    let products = Products::load(&mut *session.device, machine)?;
    let mut gflops = Vec::with_capacity(effort.profiles);
    let steps = 0..runner.plan.steps.len();
    let mut times = vec![Vec::with_capacity(effort.profiles); steps.len()];
    for _ in 0..effort.profiles {
        gflops.push(products.measure(&mut *session.device)?);
        given.write(&mut *session.device, &runner)?;
        let taken = session
            .device
            .profile(runner.loaded, steps.clone(), &scalars)?;
        for (times, time) in times.iter_mut().zip(taken) {
            times.push(time.as_secs_f64());
        }
    }
    let steps = times.into_iter().map(median);
    Ok(Measured {
        first,
        images_per_second,
        steps: steps.map(Duration::from_secs_f64).collect(),
        gflops: median(gflops),
    })
}

/// A batch in the layout of a plan.
pub(super) struct Given {
    images: Vec<u8>,
    labels: Vec<i32>,
}

impl Given {
    /// Images of normally distributed numbers, and labels.
    pub(super) fn new(plan: &Plan) -> Self {
        fn images<T: Real>(plan: &Plan) -> Vec<u8> {
            let mut stream = Stream::new(0, Purpose::Init, u32::MAX, 0);
            let (_, view) = plan.input;
            let logical: Vec<T> = (0..view.batch * view.shape.elements())
                .map(|_| {
                    let normal: f64 = StandardNormal.sample(&mut stream);
                    T::of(normal)
                })
                .collect();
            let mut physical = vec![T::zero(); view.elements()];
            view.scatter(&logical, &mut physical);
            bytemuck::cast_slice(&physical).to_vec()
        }
        let classes = plan.output.1.shape.elements();
        Self {
            images: match plan.precision {
                Precision::F32 => images::<f32>(plan),
                Precision::F64 => images::<f64>(plan),
            },
            labels: (0..plan.batch).map(|n| (n % classes) as i32).collect(),
        }
    }

    /// Writes it to the device.
    pub(super) fn write(&self, device: &mut dyn Device, runner: &Runner) -> Result<(), Diagnostic> {
        device.write(runner.loaded, runner.plan.input.0, &self.images)?;
        match runner.plan.labels {
            Some(labels) => runner.write_ints(device, labels, &self.labels),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        let measured = Measured {
            first: Duration::ZERO,
            images_per_second: vec![90.0, 100.0, 120.0],
            steps: Vec::new(),
            gflops: 0.0,
        };
        assert_eq!(measured.median(), 100.0);
        assert_eq!(measured.spread(), 0.3);
    }
}
