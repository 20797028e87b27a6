//! The search for the numbers that make a network's step the fastest on a device.
//!
//! One number after another is moved a step up or down, as long as that gains; what is kept is measured beside the best
//! so far, in turns, and must be faster by more than the noise and right by the self-test's comparison. Numbers that
//! change nothing in the plan cost no time.

mod variant;

use std::time::{Duration, Instant};

use crate::device::Device;
use crate::diagnostic::{Code, Diagnostic};
use crate::op::emit::Machine;
use crate::op::tuning::{Number, Tuning};
use crate::plan::Plan;
use variant::{Shape, Variant, duel};

/// What is searched.
pub struct Search<'a> {
    /// The device and the precision, with the numbers to begin with.
    pub machine: Machine,
    /// The plan for a machine; always of the same network, batch and mode.
    pub plan: &'a dyn Fn(&Machine) -> Result<Plan, Diagnostic>,
    /// Opens the device once more: two plans are measured in turns, each with parameters in its own layout.
    pub open: &'a dyn Fn() -> Result<Box<dyn Device>, Diagnostic>,
    /// The numbers that may change, in the order in which they are tried.
    pub numbers: &'a [&'static Number],
    /// After this time no further value is tried.
    pub budget: Duration,
}

/// A value of a number that was tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The number.
    pub number: &'static Number,
    /// The best so far.
    pub from: Tuning,
    /// What was tried.
    pub to: Tuning,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a trial.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is the best now; its time as a share of the one before.
    Faster(f64),
    /// It is not faster by more than the noise; its time likewise.
    NotFaster(f64),
    /// The step that is not what the host engine computes.
    Wrong(String),
    /// It does not fit or does not build.
    Unusable(Diagnostic),
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The best numbers.
    pub tuning: Tuning,
    /// What was tried, in order.
    pub trials: Vec<Trial>,
    /// Seconds of a step with the numbers to begin with.
    pub before: f64,
    /// With the best, measured in turns with those at the end.
    pub after: f64,
    /// Whether time was left when there was nothing more to try.
    pub finished: bool,
}

impl Search<'_> {
    /// Searches; calls `each` with every trial.
    ///
    /// # Errors
    /// E0702, E0703 the plan to begin with does not build or fit; E0704 the device failed; E0705 that plan computes wrong.
    pub fn run(&self, mut each: impl FnMut(&Trial)) -> Result<Found, Diagnostic> {
        let start = Instant::now();
        let first = Variant::load((self.open)()?, (self.plan)(&self.machine)?)?;
        let mut field = Field {
            search: self,
            best: first,
            tuning: self.machine.tuning,
            spare: Some((self.open)()?),
            seen: Vec::new(),
        };
        if let Some(step) = field.best.wrong()? {
            let message = format!("the step `{step}` is not what the host engine computes");
            return Err(Diagnostic::error(Code::E0705, message).help(
                "`netc selftest` shows more; nothing is tuned on a device that computes wrong",
            ));
        }
        let mut trials = Vec::new();
        let mut finished = true;
        // Once more after a gain: what a number is worth depends on the others.
        let mut gained = true;
        'search: while gained {
            gained = false;
            for &number in self.numbers {
                for up in [true, false] {
                    let mut value = number.get(&field.tuning);
                    let mut climbed = false;
                    while let Some(next) = number.next(value, up) {
                        value = next;
                        if start.elapsed() > self.budget {
                            finished = false;
                            break 'search;
                        }
                        let trial = match field.trial(number, value)? {
                            Tried::Nothing => continue,
                            Tried::Before => break,
                            Tried::Now(trial) => *trial,
                        };
                        each(&trial);
                        let faster = matches!(trial.verdict, Verdict::Faster(_));
                        trials.push(trial);
                        if !faster {
                            break;
                        }
                        climbed = true;
                        gained = true;
                    }
                    if climbed {
                        break;
                    }
                }
            }
        }
        let (tuning, before, after) = field.finish()?;
        Ok(Found {
            tuning,
            trials,
            before,
            after,
            finished,
        })
    }
}

/// A value, tried.
enum Tried {
    /// It changes nothing in the plan.
    Nothing,
    /// Its plan was not faster before.
    Before,
    /// What came of it.
    Now(Box<Trial>),
}

/// The best so far, and who plays against it.
struct Field<'a> {
    search: &'a Search<'a>,
    best: Variant,
    tuning: Tuning,
    /// A device with nothing loaded.
    spare: Option<Box<dyn Device>>,
    /// Plans that were tried and are not the best.
    seen: Vec<Shape>,
}

impl Field<'_> {
    /// Tries a value of a number, the others as in the best.
    fn trial(&mut self, number: &'static Number, value: f64) -> Result<Tried, Diagnostic> {
        let (from, mut to) = (self.tuning, self.tuning);
        number.set(&mut to, value);
        let trial = |verdict| {
            Tried::Now(Box::new(Trial {
                number,
                from,
                to,
                verdict,
            }))
        };
        let plan = match self.plan(to) {
            Ok(plan) => plan,
            Err(fault) => return Ok(trial(Verdict::Unusable(fault))),
        };
        let shape = Shape::of(&plan);
        if shape == self.best.shape {
            return Ok(Tried::Nothing);
        }
        if self.seen.contains(&shape) {
            return Ok(Tried::Before);
        }
        self.seen.push(shape);
        let mut device = self.spare()?;
        device.reset()?;
        let mut other = match Variant::load(device, plan) {
            Ok(other) => other,
            Err(fault) if fault.code == Code::E0704 => return Err(fault),
            Err(fault) => return Ok(trial(Verdict::Unusable(fault))),
        };
        let outcome = duel(&mut self.best, &mut other, false)?;
        let verdict = if !outcome.faster() {
            Verdict::NotFaster(outcome.ratio)
        } else if let Some(step) = other.wrong()? {
            Verdict::Wrong(step)
        } else {
            std::mem::swap(&mut self.best, &mut other);
            self.seen.push(other.shape.clone());
            self.tuning = to;
            Verdict::Faster(outcome.ratio)
        };
        self.spare = Some(other.device);
        Ok(trial(verdict))
    }

    fn plan(&self, tuning: Tuning) -> Result<Plan, Diagnostic> {
        let machine = Machine {
            tuning,
            ..self.search.machine
        };
        (self.search.plan)(&machine)
    }

    /// A device with nothing that matters loaded; another where the last one went with a plan that it could not load.
    fn spare(&mut self) -> Result<Box<dyn Device>, Diagnostic> {
        self.spare.take().map_or_else(|| (self.search.open)(), Ok)
    }

    /// The best numbers and the seconds of a step before and with them: many small gains, each just beyond the noise, must
    /// be a gain together.
    fn finish(mut self) -> Result<(Tuning, f64, f64), Diagnostic> {
        let start = self.search.machine.tuning;
        if self.tuning == start {
            let seconds = self.best.seconds()?;
            return Ok((start, seconds, seconds));
        }
        let mut device = self.spare()?;
        device.reset()?;
        let mut first = Variant::load(device, self.plan(start)?)?;
        let outcome = duel(&mut first, &mut self.best, true)?;
        Ok(if outcome.gains() {
            (self.tuning, outcome.seconds.0, outcome.seconds.1)
        } else {
            (start, outcome.seconds.0, outcome.seconds.0)
        })
    }
}
