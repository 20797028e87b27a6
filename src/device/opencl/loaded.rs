//! A plan on its way to the device: kernels built or loaded, memory placed, arguments set.

use std::cell::Cell;
use std::process::Child;
use std::sync::Arc;

use super::cache::Key;
use super::finisher::{self, Finisher};
use super::memory::Buffers;
use super::program::{Maker, Programs};
use super::queue::Grid;
use super::step::Prepared;
use super::{Held, OpenClDevice, build, ready};
use crate::device::Compiling;
use crate::diagnostic::{Code, Diagnostic};
use crate::op::emit::{BufferId, Kernel};
use crate::op::real::Precision;
use crate::plan::Plan;

const READY_KERNEL: &str = "while a finished kernel was loaded";

/// A plan made ready. Fields are dropped in this order: a buffer must outlive the kernels that have it as an argument.
#[derive(Debug)]
pub(super) struct LoadedPlan {
    /// Kernels with their arguments.
    pub(super) steps: Vec<Prepared>,
    /// In the plan's order.
    pub(super) buffers: Buffers,
    /// The plan.
    pub(super) plan: Arc<Plan>,
    /// Under which key its kernels can be kept once they are finished; `None` where they were kept or never are.
    pub(super) unready: Option<Key>,
    /// Of each step whether it is the first of a kernel that was just compiled, until the plan has run once.
    pub(super) first: Vec<bool>,
}

impl OpenClDevice {
    /// Builds, allocates and sets arguments, for [`Device::load`].
    pub(super) fn prepare(&mut self, plan: &Arc<Plan>) -> Result<LoadedPlan, Diagnostic> {
        let queue = &self.held.queue;
        if plan.precision == Precision::F64 && !queue.found.limits.double {
            let message = format!(
                "{} does not compute in double precision",
                queue.found.description.name
            );
            return Err(Diagnostic::error(Code::E0706, message)
                .help("write `--precision f32`, or `--device host`"));
        }
        let kernels: Vec<_> = plan.steps.iter().map(|step| step.call.kernel()).collect();
        let key = ready::key(queue, plan, &kernels);
        let ready = key
            .as_ref()
            .and_then(|key| ready::load(queue, &self.cache, key));
        let first = match ready {
            Some(_) => Vec::new(),
            None => self.build(plan, &kernels)?,
        };
        let Held {
            programs,
            memory,
            queue,
            ..
        } = &mut *self.held;
        let buffers = memory.place(queue, plan)?;
        let mut steps = Vec::with_capacity(plan.steps.len());
        for (step, kernel) in plan.steps.iter().zip(&kernels) {
            let made = match &ready {
                Some(program) => {
                    let name = ready::function(kernel, plan.precision);
                    build::kernel(program, &name)
                        .map_err(|failure| queue.failed(failure, READY_KERNEL))?
                }
                None => programs.kernel(queue, plan.precision, kernel)?,
            };
            let grid = Grid::new(kernel.global, kernel.local);
            let prepared = {
                let buffer = |id: BufferId| buffers.get(id.0);
                Prepared::new(made, grid, &step.call.arguments, buffer, plan.precision)
            };
            let work = || {
                format!(
                    "while the step `{}`, kernel `{}`, was prepared",
                    step.name, kernel.function
                )
            };
            steps.push(prepared.map_err(|failure| queue.failed(failure, work()))?);
        }
        Ok(LoadedPlan {
            steps,
            buffers,
            plan: Arc::clone(plan),
            unready: key.filter(|_| ready.is_none()),
            first,
        })
    }

    /// Builds a plan's kernels, the later half of the new ones in a second process where that gains time. Of each step
    /// whether it is the first of a kernel that was just compiled; nothing where none was.
    fn build(&mut self, plan: &Plan, kernels: &[Kernel]) -> Result<Vec<bool>, Diagnostic> {
        let Held {
            programs, queue, ..
        } = &mut *self.held;
        let missing = programs.missing(plan.precision, kernels);
        let told = Cell::new(false);
        let compiling = || {
            if !told.replace(true) {
                let kernels = missing.len();
                (self.watcher)(Compiling::Program { kernels });
            }
        };
        let maker = Maker {
            queue,
            cache: &self.cache,
            compiling: &compiling,
        };
        let mut compiled = false;
        if Finisher::helps(queue, missing.len()) {
            let halves = Programs::halves(plan.precision, kernels, &missing);
            let of = |half: &[usize]| half.iter().map(|&i| kernels[i].clone()).collect();
            let [front, rear]: [Vec<Kernel>; 2] = [of(&halves[0]), of(&halves[1])];
            let unkept = programs.unkept(&maker, plan.precision, &rear);
            // One at a time: what is loaded first runs first.
            let busy = self.finisher.as_mut().is_some_and(Finisher::is_running);
            if let Some(text) = unkept.filter(|_| !busy) {
                compiling();
                self.finisher = Finisher::start(queue, plan, &halves[1], &text);
                compiled = true;
            }
            compiled |= programs.build(&maker, plan.precision, &front)?;
            if let Some(finisher) = &mut self.finisher {
                finisher.await_program();
            }
        }
        // All that is left: the later half, which the cache has by now.
        compiled |= programs.build(&maker, plan.precision, kernels)?;
        if !compiled {
            if told.get() {
                (self.watcher)(Compiling::Done);
            }
            return Ok(Vec::new());
        }
        let mut first = vec![false; kernels.len()];
        missing.iter().for_each(|&step| first[step] = true);
        Ok(first)
    }

    /// What a later start needs of a plan whose kernels are all finished, in the hands of a process that tries it.
    pub(super) fn keep_ready(&self, plan: &Plan, key: Key) -> Option<Child> {
        let Held {
            programs, queue, ..
        } = &*self.held;
        let kernels: Vec<_> = plan.steps.iter().map(|step| step.call.kernel()).collect();
        let named = |kernel| programs.is_named(plan.precision, kernel);
        if !kernels.iter().all(named) {
            return None;
        }
        let launches = ready::launches(plan, &kernels);
        let record = ready::record(&key, programs.header()?, &launches)?;
        finisher::try_ready(queue, launches, key, &record)
    }
}
