//! The OpenCL engine: runs plans on any OpenCL device, and starts where there is none.
//!
//! Flow: [`platform`] finds and chooses a device -> [`queue`] opens it -> [`program`] builds a plan's kernels, each a
//! [`unit`] (on CPUs bundled, [`bundle`]), with [`cache`] on disk and a [`finisher`] beside it, or loads them where they
//! are [`ready`] -> [`memory`] places its buffers -> [`step`] sets the kernels' arguments ([`loaded`] does all of that) ->
//! [`OpenClDevice`] runs them. [`loader`] and [`functions`] open libOpenCL at the first call; [`call`] turns statuses into
//! errors.
//!
//! Invariant: this folder is the only place with OpenCL types and with `unsafe`.

#![allow(unsafe_code)] // OpenCL is a C interface; each use has its SAFETY line

mod build;
mod bundle;
mod cache;
mod call;
pub mod finisher;
mod functions;
mod launch;
mod loaded;
mod loader;
mod memory;
pub mod platform;
mod program;
mod queue;
mod ready;
mod sources;
mod step;
#[cfg(test)]
mod tests;
mod unit;

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub use cache::FOLDER_VARIABLE;
pub use loader::LIBRARY_VARIABLE;
pub use platform::{Found, devices, select};

use super::{Compiling, Description, Device, Loaded, Watcher};
use crate::diagnostic::Diagnostic;
use crate::op::emit::{BufferId, Scalars};
use crate::plan::{Limits, Plan};
use cache::Cache;
use call::Failure;
use finisher::Finisher;
use loaded::LoadedPlan;
use memory::Memory;
use program::Programs;
use queue::Queue;

/// An OpenCL device with the plans that are loaded on it.
pub struct OpenClDevice {
    held: ManuallyDrop<Held>,
    cache: Cache,
    watcher: Watcher,
    /// Finishes the kernels of the plan loaded last, where they are new.
    finisher: Option<Finisher>,
    /// Whether a call failed in the middle of work. Drivers may then refuse to release anything, so nothing is.
    lost: bool,
}

impl fmt::Debug for OpenClDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: &Held = &self.held;
        f.debug_tuple("OpenClDevice").field(held).finish()
    }
}

/// What a device holds. Fields are dropped in this order: kernels before their buffers, all before the queue.
#[derive(Debug)]
struct Held {
    plans: Vec<Option<LoadedPlan>>,
    programs: Programs,
    memory: Memory,
    queue: Queue,
}

const TIMED: &str = "while steps were timed";
const NOT_LOADED: &str = "internal error: a plan that is not loaded on this device";

impl OpenClDevice {
    /// Opens a device, with the user's cache of compiled programs.
    ///
    /// # Errors
    /// E0704 the driver does not give a context or a queue.
    pub fn open(found: &Found) -> Result<Self, Diagnostic> {
        Self::open_with(found, Cache::of_user())
    }

    /// Opens a device, with a certain cache.
    fn open_with(found: &Found, cache: Cache) -> Result<Self, Diagnostic> {
        let (programs, memory) = (Programs::default(), Memory::default());
        let held = Held {
            plans: Vec::new(),
            programs,
            memory,
            queue: Queue::open(found)?,
        };
        Ok(Self {
            held: ManuallyDrop::new(held),
            cache,
            watcher: Arc::new(|_| {}),
            finisher: None,
            lost: false,
        })
    }

    /// Forgets every plan and all its memory, persistent buffers included; compiled programs stay. Plans loaded before
    /// must not be used any more. For those who load many unrelated plans one after another: self-test, tuning.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn clear(&mut self) -> Result<(), Diagnostic> {
        self.finish()?;
        // Newest first, see `Buffers`.
        let plans = self.held.plans.iter_mut().rev();
        plans.for_each(|plan| *plan = None);
        self.held.memory = Memory::default();
        Ok(())
    }

    /// Programs built so far. A plan's kernels are one program on a CPU (two where a [`finisher`] helps); more tell that they could not be put together
    /// (a name at file scope that the bundling of kernel files does not see), which costs a cold start its speed.
    pub fn program_count(&self) -> usize {
        self.held.programs.count()
    }

    /// The loaded plan.
    fn plan(&self, plan: Loaded) -> &LoadedPlan {
        let known = self.held.plans.get(plan.0).and_then(Option::as_ref);
        known.expect(NOT_LOADED)
    }

    /// The same, to change it.
    fn loaded(&mut self, plan: Loaded) -> &mut LoadedPlan {
        let known = self.held.plans.get_mut(plan.0).and_then(Option::as_mut);
        known.expect(NOT_LOADED)
    }

    /// Runs one step after all work so far.
    fn launch(&mut self, plan: Loaded, step: usize, scalars: &Scalars) -> Result<(), Diagnostic> {
        let Held { plans, queue, .. } = &mut *self.held;
        let launched = plans
            .get_mut(plan.0)
            .and_then(Option::as_mut)
            .expect(NOT_LOADED)
            .steps[step]
            .launch(queue, scalars);
        launched.map_err(|failure| self.step_failed(plan, step, failure))
    }

    /// E0704 for a step; from now on the device counts as lost.
    fn step_failed(&mut self, plan: Loaded, step: usize, failure: Failure) -> Diagnostic {
        let step = &self.plan(plan).plan.steps[step];
        let kernel = step.call.kernel();
        let work = format!(
            "in the step `{}`, kernel `{}` of kernels/{}.cl",
            step.name, kernel.function, kernel.file
        );
        self.failed(failure, work)
    }

    /// E0704; from now on the device counts as lost.
    fn failed(&mut self, failure: Failure, work: impl Into<String>) -> Diagnostic {
        self.lost = true;
        self.held.queue.failed(failure, work)
    }
}

impl Device for OpenClDevice {
    fn description(&self) -> &Description {
        &self.held.queue.found.description
    }

    fn limits(&self) -> &Limits {
        &self.held.queue.found.limits
    }

    fn watch(&mut self, watcher: Watcher) {
        self.watcher = watcher;
    }

    fn load(&mut self, plan: &Arc<Plan>) -> Result<Loaded, Diagnostic> {
        let loaded = self.prepare(plan)?;
        self.held.plans.push(Some(loaded));
        Ok(Loaded(self.held.plans.len() - 1))
    }

    fn write(&mut self, plan: Loaded, buffer: BufferId, data: &[u8]) -> Result<(), Diagnostic> {
        let LoadedPlan { buffers, plan, .. } = self.plan(plan);
        let facts = plan.buffer(buffer);
        assert!(
            data.len() <= memory::copied_bytes(facts, plan.precision),
            "internal error: `{}` overrun",
            facts.name
        );
        let work = format!("while `{}` was written", facts.name);
        let written = self.held.queue.write(buffers.get(buffer.0), data);
        written.map_err(|failure| self.failed(failure, work))
    }

    fn read(&mut self, plan: Loaded, buffer: BufferId, data: &mut [u8]) -> Result<(), Diagnostic> {
        let LoadedPlan { buffers, plan, .. } = self.plan(plan);
        let facts = plan.buffer(buffer);
        assert!(
            data.len() <= memory::copied_bytes(facts, plan.precision),
            "internal error: `{}` overrun",
            facts.name
        );
        let work = format!("while `{}` was read, after the steps before it", facts.name);
        let copied = self.held.queue.read(buffers.get(buffer.0), data);
        copied.map_err(|failure| self.failed(failure, work))
    }

    fn run(
        &mut self,
        plan: Loaded,
        steps: Range<usize>,
        scalars: &Scalars,
    ) -> Result<(), Diagnostic> {
        let first = std::mem::take(&mut self.loaded(plan).first);
        let of = first.iter().filter(|&&first| first).count();
        let whole = steps.end == self.plan(plan).plan.steps.len();
        let mut number = 0;
        for step in steps {
            if first.get(step) == Some(&true) {
                number += 1;
                let kernel = self.plan(plan).plan.steps[step].call.kernel();
                let name = kernel.function;
                (self.watcher)(Compiling::Kernel { name, number, of });
            }
            self.launch(plan, step, scalars)?;
            if first.get(step) == Some(&true) {
                // Only then is the kernel compiled, and the next one's turn.
                self.finish()?;
            }
        }
        if of > 0 && whole {
            (self.watcher)(Compiling::Done);
        } else {
            self.loaded(plan).first = first;
        }
        self.held
            .queue
            .flush()
            .map_err(|failure| self.failed(failure, "while steps were handed to the device"))
    }

    fn profile(
        &mut self,
        plan: Loaded,
        steps: Range<usize>,
        scalars: &Scalars,
    ) -> Result<Vec<Duration>, Diagnostic> {
        self.finish()?;
        let Held { plans, queue, .. } = &mut *self.held;
        let timed = queue.timed();
        let mut timed = timed.map_err(|failure| queue.failed(failure, TIMED))?;
        let prepared = plans.get_mut(plan.0).and_then(Option::as_mut);
        let prepared = &mut prepared.expect(NOT_LOADED).steps;
        let mut failed = None;
        for step in steps {
            if let Err(failure) = prepared[step].launch_timed(&mut timed, scalars) {
                failed = Some((step, failure));
                break;
            }
        }
        if let Some((step, failure)) = failed {
            return Err(self.step_failed(plan, step, failure));
        }
        timed.times().map_err(|failure| self.failed(failure, TIMED))
    }

    fn finish(&mut self) -> Result<(), Diagnostic> {
        self.held
            .queue
            .finish()
            .map_err(|failure| self.failed(failure, "while the steps so far were awaited"))
    }

    fn settle(&mut self, plan: Loaded) -> Result<(), Diagnostic> {
        let loaded = self.loaded(plan);
        if let Some(key) = loaded.unready.take() {
            let plan = Arc::clone(&loaded.plan);
            self.finish()?;
            if let Some(mut child) = self.keep_ready(&plan, key) {
                // It ends by itself; the system wants to be asked how.
                std::thread::spawn(move || child.wait());
            }
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Diagnostic> {
        self.clear()
    }

    fn allocated_bytes(&self) -> u64 {
        self.held.memory.allocated_bytes
    }
}

impl Drop for OpenClDevice {
    fn drop(&mut self) {
        if !self.lost && self.held.queue.finish().is_ok() {
            // Newest first, see `Buffers`.
            while self.held.plans.pop().is_some() {}
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.held) };
        }
    }
}
