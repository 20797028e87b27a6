//! Which mistakes are mere consequences of a bracket that does not pair.
//!
//! The grammar reads text whose brackets were put right by guesses. Where a guess was needed, what looks odd beside it is
//! usually the same mistake once more; users shall read of it once, at the bracket.

use super::balance::Balanced;
use super::fault::{Fault, Report};
use crate::source::Span;

/// All reports, those about brackets included, without the consequences of the latter.
pub(super) fn drop_consequences(
    mut reports: Vec<Report>,
    balanced: &Balanced<'_>,
    text: &str,
) -> Vec<Report> {
    reports.retain(|report| !is_explained(report, balanced, text));
    let strays: Vec<usize> = balanced
        .strays
        .iter()
        .copied()
        .filter(|&at| text.as_bytes()[at] == b']')
        .collect();
    if !strays.is_empty() {
        reports = without_bracketless(reports, &strays, text);
    }
    reports.extend_from_slice(&balanced.reports);
    reports
}

/// Whether a report lies where a parenthesis was never closed, or a closer closes nothing.
fn is_explained(report: &Report, balanced: &Balanced<'_>, text: &str) -> bool {
    match report.fault {
        // These are about what lies between two things.
        Fault::MissingArrow { end, .. }
        | Fault::DoubleArrow {
            first: Span { end, .. },
        }
        | Fault::WidthApart {
            word: Span { end, .. },
        } => {
            let start = report.span.start;
            balanced.explains(Span::new(end.min(start), start))
        }
        Fault::LeadingArrow { .. } => balanced.follows_stray(text, report.span.start),
        // `A tanh)`
        Fault::JunkAfterStage if balanced.precedes_stray(text, report.span.end) => true,
        Fault::Junk
        | Fault::JunkAfterStage
        | Fault::WrongArrow
        | Fault::EmptySlot
        | Fault::MissingComma { .. }
        | Fault::AfterAttribute { .. }
        | Fault::JunkAttribute
        | Fault::ColonAttribute
        | Fault::NoValue
        | Fault::JunkValue => balanced.explains(report.span),
        _ => false,
    }
}

/// A `]` whose `[` is missing: the `+`, `&` or `3*` that stood before that bracket, and the `|` in it, are no mistakes of
/// their own. Each such `]` explains the nearest head before it.
fn without_bracketless(mut reports: Vec<Report>, strays: &[usize], text: &str) -> Vec<Report> {
    reports.sort_by_key(|report| report.span.start);
    let mut left = strays;
    let mut kept = Vec::with_capacity(reports.len());
    for report in reports.into_iter().rev() {
        let followed = left.last().is_some_and(|&at| at > report.span.start);
        let is_head = match report.fault {
            Fault::Multiplied { .. } | Fault::Unbracketed => true,
            Fault::Junk | Fault::JunkAfterStage => {
                starts_like_a_bracket(&text[report.span.start..])
            }
            _ => false,
        };
        if followed && is_head {
            left = &left[..left.len() - 1];
        } else if !(followed && report.fault == Fault::BranchesOutsideJoin) {
            kept.push(report);
        }
    }
    kept
}

/// Whether a text starts with what stands before a bracket: `+`, `&` or `3*`.
fn starts_like_a_bracket(text: &str) -> bool {
    text.trim_start_matches(|c: char| c.is_ascii_digit())
        .starts_with(['+', '&', '*'])
}
