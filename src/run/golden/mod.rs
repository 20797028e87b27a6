//! Golden cases: results of another implementation in double precision, run through the kernels that the planner
//! chooses, and compared tensor by tensor.

mod cases;
mod layers;
pub mod manifest;
mod networks;

use std::path::Path;

use crate::device::Device;
use crate::diagnostic::Diagnostic;
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
    precision: Precision,
    mut each: impl FnMut(&Outcome),
) -> Result<Vec<Outcome>, Diagnostic> {
    let directory = Directory::open(path)?;
    let mut outcomes = Vec::new();
    for case in &directory.manifest.cases {
        let result = cases::run(&directory, case, device, precision);
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

/// Compares what came out with what must. Tolerances are `LANGUAGE.md`'s: in f32 `(10 * torch's own relative deviation
/// in f32 + 1e-6) * scale`, in f64 `1e-10 * scale`; where the scale is 0, `1e-6` and `1e-12`.
fn compare(
    case: &Case,
    tensor: &str,
    got: &[f64],
    expected: &[f64],
    precision: Precision,
) -> Comparison {
    let scale = expected
        .iter()
        .fold(0.0f64, |largest, value| largest.max(value.abs()));
    // Updates without decay of biases have the tolerance of those with it.
    let measured = tensor.replacen("after3_nobiasdecay.", "after3.", 1);
    let relative = match precision {
        Precision::F32 => {
            10.0 * case
                .torch_f32_err
                .get(measured.as_str())
                .copied()
                .unwrap_or_default()
                .max_rel
                + 1e-6
        }
        Precision::F64 => 1e-10,
    };
    let tolerance = match (scale > 0.0, precision) {
        (true, _) => relative * scale,
        (false, Precision::F32) => 1e-6,
        (false, Precision::F64) => 1e-12,
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
