//! What the signal at the start warns of: W0201 to W0204.
//!
//! Whether a network starts to learn is seen at its two ends: at the logits, which softmax compares with 1, and in the
//! gradient that reaches the first learned layer. What lies between may be small or large, for a normalization can make
//! it good. So the ends are tested, and the layer named is the one from which on the size stays beyond the threshold.
//! README.md, "The signal at the start", has the measurements behind the thresholds.

use super::{Expected, signal_with};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::ir::{Graph, Node};
use crate::op::InitRule;
use crate::op::signal::Signal;

/// Logits of a root mean square below this carry no information about the image.
pub const VANISHED: f64 = 3e-3;

/// Logits of a root mean square above this make the first losses hundreds, and gradients that no rate fits.
pub const EXPLODED: f64 = 50.0;

/// By what the gradient's norm may change between the logits and a layer, up or down.
pub const GRADIENT_CHANGE: f64 = 1e3;

/// The largest f32.
const LARGEST: f64 = f32::MAX as f64;

/// What a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Finding {
    code: Code,
    /// The layer from which on, seen in the direction of the flow, the size is beyond the threshold.
    layer: usize,
}

/// Warns of signals and gradients that vanish or explode: at most one of each.
///
/// `unit` is the input with pixels divided by 255, where the configuration does not divide them.
pub fn warnings(
    graph: &Graph,
    input: &Signal,
    unit: Option<&Signal>,
    expected: &[Expected],
) -> Diagnostics {
    let mut found = Diagnostics::new();
    let findings = findings(graph, expected);
    if findings.is_empty() {
        return found;
    }
    let help = help(graph, input, unit);
    for finding in findings {
        let Node { name, span, .. } = &graph.nodes[finding.layer];
        let at = &expected[finding.layer];
        let logits = expected.last().map_or(0.0, |last| last.signal.rms());
        let (signal, gradient) = (number(at.signal.rms()), number(at.gradient.rms()));
        let message = match finding.code {
            Code::W0201 => format!(
                "the signal vanishes at the start: `{name}`'s output has a root mean square of {signal}, the logits one of {}",
                number(logits)
            ),
            Code::W0202 if beyond(logits, LARGEST) => format!(
                "the signal explodes at the start: `{name}`'s output has a root mean square of {signal}, and the logits overflow"
            ),
            Code::W0202 => format!(
                "the signal explodes at the start: `{name}`'s output has a root mean square of {signal}, the logits one of {}",
                number(logits)
            ),
            Code::W0203 => format!(
                "the gradient vanishes at the start: at `{name}`'s output its root mean square is {gradient}, its norm {} of that at the logits",
                number(change(graph, expected, finding.layer))
            ),
            _ => format!(
                "the gradient explodes at the start: at `{name}`'s output its root mean square is {gradient}, its norm {} times that at the logits",
                number(change(graph, expected, finding.layer))
            ),
        };
        let mut warning = Diagnostic::warning(finding.code, message).help(help.clone());
        if let Some(source) = &graph.source {
            warning = warning.at(source, *span);
        }
        found.push(warning);
    }
    found
}

/// What is beyond its threshold: of the signal, then of the gradient.
fn findings(graph: &Graph, expected: &[Expected]) -> Vec<Finding> {
    let mut found = Vec::new();
    let small = |i: &usize| expected[*i].signal.rms() < VANISHED;
    let large = |i: &usize| beyond(expected[*i].signal.rms(), EXPLODED);
    let layers = || (0..expected.len()).rev();
    let first = |layer: Option<usize>, code| layer.map(|layer| Finding { code, layer });
    found.extend(first(layers().take_while(small).last(), Code::W0201));
    found.extend(first(layers().take_while(large).last(), Code::W0202));
    // What a signal has done to the gradient is a consequence.
    if !found.is_empty() {
        return found;
    }
    let Some(start) = graph.nodes.iter().position(is_learned) else {
        return found;
    };
    let vanished = |i: &usize| change(graph, expected, *i) < 1.0 / GRADIENT_CHANGE;
    let exploded = |i: &usize| beyond(change(graph, expected, *i), GRADIENT_CHANGE);
    let back = || start..expected.len();
    found.extend(first(back().take_while(vanished).last(), Code::W0203));
    found.extend(first(back().take_while(exploded).last(), Code::W0204));
    found
}

/// Whether a value is above a limit; one that is no number comes from an overflow.
fn beyond(value: f64, limit: f64) -> bool {
    value.is_nan() || value > limit
}

fn is_learned(node: &Node) -> bool {
    node.op.init().is_some()
}

/// The norm of the gradient at a layer's output, of one image, over that at the logits.
fn change(graph: &Graph, expected: &[Expected], layer: usize) -> f64 {
    let norm =
        |i: usize| (expected[i].gradient.square * graph.output_shape(i).elements() as f64).sqrt();
    norm(layer) / norm(expected.len() - 1)
}

/// What repairs it: the first change of which the recomputed signal has nothing to warn of.
fn help(graph: &Graph, input: &Signal, unit: Option<&Signal>) -> String {
    let is_drawn_by = |rule| {
        let mut rules = graph.nodes.iter().filter_map(|node| node.op.init());
        rules.all(|drawn| drawn == rule)
    };
    for (rule, word) in [(InitRule::He, "he"), (InitRule::Xavier, "xavier")] {
        let inputs = [Some(input), unit];
        for (input, scale) in inputs
            .into_iter()
            .zip(["", " and `scale = \"unit\"` under `[data]`"])
        {
            let Some(input) = input else { continue };
            if scale.is_empty() && is_drawn_by(rule) {
                continue;
            }
            // The batch scales all gradients alike.
            let expected = signal_with(graph, Some(rule), input, 1);
            if findings(graph, &expected).is_empty() {
                let logits = expected.last().map_or(0.0, |last| last.signal.rms());
                return format!(
                    "write `weights = \"{word}\"` under `[init]`{scale}, and `init={word}` at each C and F that has an `init` or `std` of its own: the logits then start at {}",
                    number(logits)
                );
            }
        }
    }
    "no initial values repair this alone: a normalization between the layers, or `act=relu`, keeps the size".into()
}

/// A size for people, in three digits: `0.338`, `24.9`, `5.90e-5`, `1.13e4`.
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if !value.is_finite() {
        return "beyond all numbers".into();
    }
    let digits = value.abs().log10().floor();
    if (-3.0..4.0).contains(&digits) {
        format!("{value:.*}", (2.0 - digits).max(0.0) as usize)
    } else {
        format!("{value:.2e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.338_2, 24.94, 1234.6, 5.9e-5, 0.001_234, 12_345.0, 0.0].map(number);
        assert_eq!(
            shown,
            ["0.338", "24.9", "1235", "5.90e-5", "0.00123", "1.23e4", "0"]
        );
    }
}
