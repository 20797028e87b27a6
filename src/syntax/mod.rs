//! Text to syntax tree.
//!
//! [`parse`] reads a whole network file, whatever is wrong with it: every problem is in the [`Diagnostics`], and the
//! [`Tree`] holds what could be read, with [`tree::Stage::Error`] and [`tree::Value::Error`] where something could not.
//! The order of work: `balance` pairs the brackets, `parser` reads the balanced text by grammar/netc.pest, `chain` checks
//! that stages and arrows alternate, `consequence` drops what only repeats another mistake, `fault` and `suggest` word
//! what is left.
//!
//! Invariant: no layer kind and no attribute is known here. `C`, `P` and `kernel` are just words.

mod balance;
mod chain;
mod consequence;
mod fault;
mod parser;
mod suggest;
#[cfg(test)]
mod tests;
pub mod tree;

use std::cmp::Reverse;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, MOST};
use crate::source::{Source, Span};
use parser::Reading;
pub use tree::Tree;

/// Reads a network. The tree is as whole as the text allows; where there is an error, [`Tree::complete`] says whether the
/// chain has its last layer.
///
/// # Errors
/// E0101 to E0105 and E0107, sorted by place and at most [`MOST`]; if there are more, they are counted as
/// [untold](Diagnostics::untold).
pub fn parse(source: &Arc<Source>) -> (Tree, Diagnostics) {
    let Reading {
        tree,
        mut reports,
        untold,
        stopped,
    } = parser::read(source);
    // Among those at one place the widest comes first, as in the tree.
    reports.sort_by_key(|report| (report.span.start, Reverse(report.span.end)));
    let shown = reports.len().min(MOST);
    let mut diagnostics = Diagnostics::new();
    diagnostics.leave_out(reports.len() - shown + untold);
    for (index, report) in reports[..shown].iter().enumerate() {
        let mut diagnostic = report.diagnostic(source);
        if stopped && index + 1 == shown {
            diagnostic =
                diagnostic.note("the rest was not read: the beginning of the text is no network");
        }
        diagnostics.push(diagnostic);
    }
    (tree, diagnostics)
}

/// The text of a file as a source. A byte order mark at its start stays in the text, so that offsets are the file's.
///
/// # Errors
/// E0106 where the bytes are not UTF-8; the diagnostic points at the first bad byte, in the text with what is not UTF-8
/// replaced.
pub fn source_from_bytes(name: &str, bytes: Vec<u8>) -> Result<Arc<Source>, Diagnostic> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(name, text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let byte = error.as_bytes()[at];
            let shown = Source::new(name, String::from_utf8_lossy(error.as_bytes()).into_owned());
            let span = Span::new(at, at + char::REPLACEMENT_CHARACTER.len_utf8());
            Err(Diagnostic::error(
                Code::E0106,
                format!("the file is not UTF-8 text: byte {at} is 0x{byte:02X}"),
            )
            .at(&shown, span)
            .help("save the file as UTF-8"))
        }
    }
}

/// A tree without anything in it.
fn empty_tree(source: &Arc<Source>, comments: &[Span]) -> Tree {
    let comments = comments
        .iter()
        .map(|&span| tree::Spanned {
            value: source.slice(span).to_owned(),
            span,
        })
        .collect();
    let chain = tree::Chain {
        stages: Vec::new(),
        span: Span::default(),
    };
    Tree {
        source: Arc::clone(source),
        input: None,
        chain,
        comments,
        complete: false,
        unread: 0,
    }
}
