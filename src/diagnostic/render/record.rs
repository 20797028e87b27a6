//! A diagnostic as programs read it.
//!
//! Owns: names and order of the fields in JSON, which are a contract. Nothing else of a diagnostic is serializable, so
//! that nothing else is promised.

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Place, Severity};

/// The diagnostic as LANGUAGE.md, section 5 has it. `help`, `file` and `span` are null where there is none; `notes` is
/// there only where there are some.
#[derive(Debug, Serialize)]
pub struct Record<'a> {
    code: &'static str,
    severity: &'static str,
    message: &'a str,
    help: Option<&'a str>,
    file: Option<&'a str>,
    span: Option<Extent>,
    labels: Vec<RelatedPlace<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

#[derive(Debug, Serialize)]
struct RelatedPlace<'a> {
    message: &'a str,
    file: &'a str,
    span: Extent,
}

/// A span: offsets in bytes, lines and columns from 1, columns in Unicode characters, ends excluded.
#[derive(Debug, Serialize)]
struct Extent {
    start: usize,
    end: usize,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

impl Extent {
    fn of(place: &Place) -> Self {
        let from = place.source.line_column(place.span.start);
        let to = place.source.line_column(place.span.end);
        Self {
            start: place.span.start,
            end: place.span.end,
            line: from.line,
            column: from.column,
            end_line: to.line,
            end_column: to.column,
        }
    }
}

impl<'a> From<&'a Diagnostic> for Record<'a> {
    fn from(diagnostic: &'a Diagnostic) -> Self {
        let place = diagnostic.primary.as_ref();
        let labels = diagnostic.labels.iter().map(|label| RelatedPlace {
            message: &label.message,
            file: label.place.source.name(),
            span: Extent::of(&label.place),
        });
        Self {
            code: diagnostic.code.name(),
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: &diagnostic.message,
            help: diagnostic.help.as_deref(),
            file: place.map(|place| place.source.name()),
            span: place.map(Extent::of),
            labels: labels.collect(),
            notes: &diagnostic.notes,
        }
    }
}
