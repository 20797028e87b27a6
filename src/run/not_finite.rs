//! E0801: a loss that is not finite, where that began, and what to try.

use std::path::Path;

use super::session::Trouble;
use crate::config::{Config, Weights};
use crate::diagnostic::{Code, Diagnostic};

/// When a loss was not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In a step, before its update.
    Step,
    /// In the test after a step, of these images: `test`.
    Test(&'static str),
}

/// The words for a loss that is not finite at a step, counted from 1, of an epoch, counted from 1.
pub fn not_finite(
    config: &Config,
    loss: f64,
    (step, epoch): (u64, u64),
    when: When,
    trouble: &Trouble,
) -> Diagnostic {
    let (message, update) = match when {
        When::Step => (format!("the loss is {loss} at step {step}"), step - 1),
        When::Test(set) => (format!("the {set} loss is {loss} after step {step}"), step),
    };
    let place = match trouble {
        Trouble::Parameter(name) => {
            format!(
                "the first number that is not finite is in `{name}`: the update of step {update} was too large"
            )
        }
        Trouble::Output(name) => format!(
            "the first number that is not finite is in the output of `{name}`: the numbers grow from layer to layer"
        ),
        Trouble::Loss => "all layers' outputs are finite; only the loss is not".into(),
        Trouble::Images => {
            "all parameters are finite; what they make of these images is not".into()
        }
    };
    let rate = config.optimizer.learning_rate / 10.0;
    let mut tries = vec![format!(
        "a lower rate, `--set optimizer.learning_rate={rate}`"
    )];
    if config.init.weights != Weights::He {
        tries.push("other initial weights, `--set init.weights=he`".into());
    }
    if config.train.clip == 0.0 {
        tries.push("a limit of the gradient's norm, `--set train.clip=1`".into());
    }
    Diagnostic::error(Code::E0801, format!("{message} (epoch {epoch})"))
        .note(place)
        .help(format!("try {}", tries.join(", or ")))
}

/// With the last good checkpoint of a run.
pub fn with_last(fault: Diagnostic, last: Option<&Path>) -> Diagnostic {
    fault.note(match last {
        Some(last) => format!("the last good checkpoint is `{}`", last.display()),
        None => "there is no checkpoint yet".into(),
    })
}
