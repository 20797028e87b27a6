//! Golden cases: results of another implementation in double precision, run through the kernels that the planner
//! chooses, and compared tensor by tensor.

mod cases;
mod layers;
pub mod manifest;
mod networks;

use std::path::Path;

use crate::device::Device;
use crate::diagnostic::Diagnostic;
use crate::op::emit::Machine;
use crate::op::real::Precision;
use manifest::{Case, Directory};

/// One tensor's comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The tensor's name in the case.
    pub tensor: String,
    /// The largest deviation.
    pub error: f64,
    /// The largest expected magnitude.
    pub scale: f64,
    /// The largest deviation that passes.
    pub tolerance: f64,
}

impl Comparison {
    /// Whether the deviation is within the tolerance; a NaN never is.
    pub fn passes(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// One case's outcome.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case's name.
    pub name: String,
    /// The case's op.
    pub op: String,
    /// Every expected tensor, or why the case could not be run.
    pub result: Result<Vec<Comparison>, Diagnostic>,
}

impl Outcome {
    /// Whether every tensor passes.
    pub fn passes(&self) -> bool {
        self.result.as_ref().is_ok_and(|comparisons| {
            !comparisons.is_empty() && comparisons.iter().all(Comparison::passes)
        })
    }
}

/// Runs every case of a directory; calls `each` as they finish.
///
/// # Errors
/// E0501, E0502, E0901 of the directory itself. A case that fails is an outcome, not an error.
pub fn run(
    path: &Path,
    device: &mut dyn Device,
    machine: &Machine,
    mut each: impl FnMut(&Outcome),
) -> Result<Vec<Outcome>, Diagnostic> {
    let directory = Directory::open(path)?;
    let mut outcomes = Vec::new();
    for case in &directory.manifest.cases {
        let result = cases::run(&directory, case, device, machine);
        let result = device.reset().and(result);
        let outcome = Outcome {
            name: case.name.clone(),
            op: case.op.clone(),
            result,
        };
        each(&outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// How far a result may be off, by `LANGUAGE.md`.
#[derive(Clone, Copy, Debug)]
struct Allowed {
    /// Of the scale.
    relative: f64,
    /// Where the scale is 0.
    absolute: f64,
}

/// What is allowed of a tensor: in f32 `(10 * torch's own relative deviation in f32 + 1e-6) * scale`, in f64 `1e-10 *
/// scale`; where the scale is 0, `1e-6` and `1e-12`. A layer given to Winograd's filtering may be off by `2e-5 * scale` in
/// f32, its weight gradient by `5e-5`.
fn allowed(case: &Case, tensor: &str, precision: Precision, filtered: bool) -> Allowed {
    if precision == Precision::F64 {
        return Allowed {
            relative: 1e-10,
            absolute: 1e-12,
        };
    }
    // Updates without decay of biases have the tolerance of those with it.
    let measured = tensor.replacen("after3_nobiasdecay.", "after3.", 1);
    let deviation = case.torch_f32_err.get(measured.as_str());
    let direct = 10.0 * deviation.copied().unwrap_or_default().max_rel + 1e-6;
    let layer = tensor.strip_prefix("d.");
    let weight = tensor == "dw" || layer.is_some_and(|layer| layer.split('.').nth(1) == Some("w"));
    Allowed {
        relative: match (filtered, weight) {
            (false, _) => direct,
            (true, false) => direct.max(2e-5),
            (true, true) => direct.max(5e-5),
        },
        absolute: 1e-6,
    }
}

/// Compares what came out with what must.
fn compare(tensor: &str, got: &[f64], expected: &[f64], allowed: Allowed) -> Comparison {
    let scale = expected
        .iter()
        .fold(0.0f64, |largest, value| largest.max(value.abs()));
    let tolerance = if scale > 0.0 {
        allowed.relative * scale
    } else {
        allowed.absolute
    };
    let deviations = got
        .iter()
        .zip(expected)
        .map(|(got, expected)| (got - expected).abs());
    // A NaN must not vanish in a maximum.
    let mut error = if got.len() == expected.len() {
        0.0f64
    } else {
        f64::INFINITY
    };
    for deviation in deviations {
        error = if deviation > error || deviation.is_nan() {
            deviation
        } else {
            error
        };
        if error.is_nan() {
            break;
        }
    }
    Comparison {
        tensor: tensor.into(),
        error,
        scale,
        tolerance,
    }
}
