//! The device's own best: multiply-adds and copying, measured.

use std::sync::Arc;

use crate::device::{Device, Loaded};
use crate::diagnostic::Diagnostic;
use crate::op::emit::{BufferId, Element, Ledger, Machine, Scalars};
use crate::op::peak;
use crate::op::shape::Shape;
use crate::op::view::View;
use crate::plan::{Parts, Plan};

/// Bytes that are copied: far more than any cache holds.
const COPIED_BYTES: usize = 64 << 20;
/// How often copying is tried; the best counts. Long enough for a CPU to come up to its speed.
const COPIES: usize = 24;
/// How often multiply-adds are tried beside other work.
const TRIES: usize = 4;

/// What a device can do at best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Billions of floating-point operations a second, a multiply-add being two.
    pub gflops: f64,
    /// Billions of bytes a second, read and written.
    pub gigabytes_per_second: f64,
}

/// Measures copying, on the idle device: billions of bytes a second. Plans loaded before stay loaded.
///
/// # Errors
/// As [`Device::load`].
pub fn copying(device: &mut dyn Device, machine: &Machine) -> Result<f64, Diagnostic> {
    let mut ledger = Ledger::default();
    let number = machine.precision.bytes() as usize;
    let count = (COPIED_BYTES / number).next_multiple_of(peak::copied(machine));
    let src = ledger.buffer("src", Element::Real, count);
    let dst = ledger.buffer("dst", Element::Real, count);
    ledger.step("copy", None, peak::copy(src, dst, count, machine));
    let loaded = load(ledger, [src, dst], count, device, machine)?;
    let seconds = best_of(loaded, COPIES, device)?;
    Ok(2e-9 * (count * number) as f64 / seconds)
}

/// Multiply-adds out of registers, to be measured beside other work: a machine that others use too, or one that gets hot,
/// does not give all its time.
#[derive(Debug)]
pub struct Products {
    loaded: Loaded,
    multiply_adds: u64,
}

impl Products {
    /// Loads them. Plans loaded before stay loaded.
    ///
    /// # Errors
    /// As [`Device::load`].
    pub fn load(device: &mut dyn Device, machine: &Machine) -> Result<Self, Diagnostic> {
        let mut ledger = Ledger::default();
        let count = peak::items(machine);
        let results = ledger.buffer("results", Element::Real, count);
        let work = peak::multiply_add(results, machine);
        let multiply_adds = work.multiply_adds;
        ledger.step("multiply_add", None, work);
        let loaded = load(ledger, [results; 2], count, device, machine)?;
        Ok(Self {
            loaded,
            multiply_adds,
        })
    }

    /// Measures them: billions of operations a second.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn measure(&self, device: &mut dyn Device) -> Result<f64, Diagnostic> {
        let seconds = best_of(self.loaded, TRIES, device)?;
        Ok(2e-9 * self.multiply_adds as f64 / seconds)
    }
}

/// Loads a plan of one step, from one buffer of so many numbers to another.
fn load(
    ledger: Ledger,
    [src, dst]: [BufferId; 2],
    count: usize,
    device: &mut dyn Device,
    machine: &Machine,
) -> Result<Loaded, Diagnostic> {
    let parts = Parts {
        ledger,
        before: vec![src],
        after: vec![dst],
        ..Parts::default()
    };
    let view = View::packed(Shape::Vector(count), 1, 0);
    device.load(&Arc::new(Plan::bare(
        "peak",
        (src, view),
        (dst, view),
        parts,
        machine,
    )))
}

/// The shortest time of a plan's one step, in seconds.
fn best_of(loaded: Loaded, tries: usize, device: &mut dyn Device) -> Result<f64, Diagnostic> {
    let mut best = f64::INFINITY;
    for _ in 0..tries {
        let times = device.profile(loaded, 0..1, &Scalars::default())?;
        best = best.min(times[0].as_secs_f64());
    }
    Ok(best.max(1e-9))
}
