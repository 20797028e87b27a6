//! The device's own best: multiply-adds and copying, measured.

use std::sync::Arc;

use crate::device::Device;
use crate::diagnostic::Diagnostic;
use crate::op::emit::{Element, Ledger, Machine, Scalars};
use crate::op::peak;
use crate::op::shape::Shape;
use crate::op::view::View;
use crate::plan::{Parts, Plan};

/// Bytes that are copied: far more than any cache holds.
const COPIED_BYTES: usize = 64 << 20;
/// How often each is tried; the best counts. Half a second on a CPU: it also has to come up to its speed.
const TRIES: usize = 24;

/// What a device can do at best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Billions of floating-point operations a second, a multiply-add being two.
    pub gflops: f64,
    /// Billions of bytes a second, read and written.
    pub gigabytes_per_second: f64,
}

/// Measures it. Plans loaded before stay loaded.
///
/// # Errors
/// As [`Device::load`].
pub fn measure(device: &mut dyn Device, machine: &Machine) -> Result<Peak, Diagnostic> {
    let mut ledger = Ledger::default();
    let number = machine.precision.bytes() as usize;
    let copied = peak::copied(machine);
    let count = (COPIED_BYTES / number).next_multiple_of(copied);
    let results = ledger.buffer("results", Element::Real, peak::items(machine));
    let src = ledger.buffer("src", Element::Real, count);
    let dst = ledger.buffer("dst", Element::Real, count);
    let work = peak::multiply_add(results, machine);
    let multiply_adds = work.multiply_adds;
    ledger.step("multiply_add", None, work);
    ledger.step("copy", None, peak::copy(src, dst, count, machine));
    let parts = Parts {
        ledger,
        before: vec![src],
        after: vec![results, dst],
        ..Parts::default()
    };
    let view = View::packed(Shape::Vector(count), 1, 0);
    let plan = Arc::new(Plan::bare("peak", (src, view), (dst, view), parts, machine));
    let loaded = device.load(&plan)?;
    let mut best = [f64::INFINITY; 2];
    for _ in 0..TRIES {
        let times = device.profile(loaded, 0..2, &Scalars::default())?;
        for (best, time) in best.iter_mut().zip(times) {
            *best = best.min(time.as_secs_f64());
        }
    }
    let [multiply, copy] = best.map(|seconds| seconds.max(1e-9));
    Ok(Peak {
        gflops: 2e-9 * multiply_adds as f64 / multiply,
        gigabytes_per_second: 2e-9 * (count * number) as f64 / copy,
    })
}
