//! Devices: what runs a plan.
//!
//! Two engines implement [`Device`]: [`host`] in plain Rust and [`opencl`]. Both run the same plans. Nothing outside
//! `device::opencl` names an OpenCL type.

pub mod host;
pub mod opencl;
mod progress;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub use progress::{Compiling, Watcher};

use crate::diagnostic::Diagnostic;
use crate::op::emit::{BufferId, Scalars};
use crate::plan::{Limits, Plan};

/// What people are told of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The platform's name; `built-in` for the host engine.
    pub platform: String,
    /// The device's name.
    pub name: String,
    /// The driver's version.
    pub driver: String,
    /// `cpu`, `gpu`, `accelerator` or `host`.
    pub kind: &'static str,
    /// What `--device` takes to choose exactly this one: `host`, or `platform:device`.
    pub selector: String,
}

/// A plan that a device has loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Loaded(pub usize);

/// Something that runs plans.
///
/// Persistent buffers of the plans loaded on one device are shared by name: a training and an inference plan of one
/// network see the same parameters. They start as zeros. Buffers of the arena hold anything until they are written.
pub trait Device {
    /// For people.
    fn description(&self) -> &Description;

    /// For the planner.
    fn limits(&self) -> &Limits;

    /// Who is told from now on what has to be compiled.
    fn watch(&mut self, _watcher: Watcher) {}

    /// Builds the plan's kernels and allocates its memory.
    ///
    /// # Errors
    /// E0702 a kernel does not build; E0703 not enough memory; E0704 the device failed.
    fn load(&mut self, plan: &Arc<Plan>) -> Result<Loaded, Diagnostic>;

    /// Copies `data` to the start of a buffer. At most its elements long, never touching the slack.
    ///
    /// # Errors
    /// E0704 the device failed.
    fn write(&mut self, plan: Loaded, buffer: BufferId, data: &[u8]) -> Result<(), Diagnostic>;

    /// Copies a buffer's first bytes out, after all steps so far are done.
    ///
    /// # Errors
    /// E0704 the device failed.
    fn read(&mut self, plan: Loaded, buffer: BufferId, data: &mut [u8]) -> Result<(), Diagnostic>;

    /// Runs some of a plan's steps in order. May return before they are done; `read` waits.
    ///
    /// # Errors
    /// E0704 the device failed.
    fn run(
        &mut self,
        plan: Loaded,
        steps: Range<usize>,
        scalars: &Scalars,
    ) -> Result<(), Diagnostic>;

    /// Runs some of a plan's steps in order and gives the time that each took on the device. A step's first run may
    /// compile.
    ///
    /// # Errors
    /// E0704 the device failed.
    fn profile(
        &mut self,
        plan: Loaded,
        steps: Range<usize>,
        scalars: &Scalars,
    ) -> Result<Vec<Duration>, Diagnostic>;

    /// Waits until all that was asked for is done.
    ///
    /// # Errors
    /// E0704 the device failed.
    fn finish(&mut self) -> Result<(), Diagnostic>;

    /// Told when a plan has run as a whole: what it took to make it ready may be kept for later starts.
    ///
    /// # Errors
    /// E0704 the device failed.
    fn settle(&mut self, _plan: Loaded) -> Result<(), Diagnostic> {
        Ok(())
    }

    /// Forgets every plan and frees all memory, persistent buffers too.
    ///
    /// # Errors
    /// E0704 the device failed.
    fn reset(&mut self) -> Result<(), Diagnostic>;

    /// Bytes that this device has allocated for plans so far and still holds.
    fn allocated_bytes(&self) -> u64;
}

/// Opens a device by the word of `device.select`: `auto` is the best OpenCL device, or the host engine where there is
/// none; `gpu`, `cpu`, `host`, or `platform:device`.
///
/// # Errors
/// E0701 there is no such device.
pub fn open(select: &str) -> Result<Box<dyn Device>, Diagnostic> {
    if select == "host" {
        return Ok(Box::new(host::Host::new()));
    }
    match opencl::select(select)? {
        Some(device) => Ok(Box::new(device)),
        None => Ok(Box::new(host::Host::new())),
    }
}

/// Every device, the host engine last.
pub fn list() -> Vec<(Description, Limits)> {
    let found = opencl::devices()
        .into_iter()
        .map(|found| (found.description, found.limits));
    let host = host::Host::new();
    found
        .chain([(host.description().clone(), *host.limits())])
        .collect()
}
