//! Brackets and parentheses before anything else: what pairs with what, what is never closed, what is nested too deep.
//!
//! The grammar recurses into brackets, so depth is bounded here, in one loop over the bytes. The text that goes on to the
//! grammar is balanced: a closer that closes nothing is blanked, one that is missing is added, and [`Balanced::origin`]
//! leads every offset back into the user's text. Comments are collected on the way, since brackets in them do not count.
//! Knows nothing of layers, and nothing of the grammar but `->` and `|`, which cannot stand in parentheses.

mod scan;

use std::borrow::Cow;

use super::fault::Report;
use crate::source::Span;
use scan::Scan;

/// How deep brackets may be nested.
const DEEPEST: usize = 64;

/// Of comments longer than this the grammar sees spaces.
const LONG_COMMENT: usize = 1000;

/// A text whose brackets pair, and what had to be done to it.
pub(super) struct Balanced<'a> {
    /// The text for the grammar.
    pub text: Cow<'a, str>,
    /// Comments, by their place in the user's text.
    pub comments: Vec<Span>,
    /// What was wrong, by place in the user's text.
    pub reports: Vec<Report>,
    /// How much more was wrong.
    pub untold: usize,
    /// How many arrows there are.
    pub arrows: usize,
    /// Whether something was still open where the text ends.
    pub open_at_end: bool,
    /// One past the last byte that is neither white space nor comment.
    pub end: usize,
    /// Where closers were added, as offsets in `text`, ascending.
    added: Vec<usize>,
    /// Openers that were never closed, ascending.
    unclosed: Vec<usize>,
    /// From an unclosed parenthesis to where it was taken to end.
    regions: Vec<Span>,
    /// Closers that close nothing, ascending.
    pub strays: Vec<usize>,
    /// What must have been attributes, before a `)` that closes nothing.
    ruined: Vec<Span>,
}

impl Balanced<'_> {
    /// The offset in the user's text of an offset in the balanced text.
    pub fn origin(&self, offset: usize) -> usize {
        offset - self.added.partition_point(|&at| at < offset)
    }

    /// Whether the bracket opened at `offset` of the user's text was never closed.
    pub fn is_unclosed(&self, offset: usize) -> bool {
        self.unclosed.binary_search(&offset).is_ok()
    }

    /// Whether `span` touches a parenthesis that was never closed, or a closer that closes nothing: what is odd there is
    /// a consequence of that.
    pub fn explains(&self, span: Span) -> bool {
        let next = self
            .regions
            .partition_point(|region| region.end < span.start);
        let stray = self.strays.partition_point(|&at| at < span.start);
        self.regions
            .get(next)
            .is_some_and(|region| region.start <= span.end)
            || self.strays.get(stray).is_some_and(|&at| at < span.end)
            || self.is_ruined(span)
    }

    /// Whether only white space lies between a closer that closes nothing and `at`.
    pub fn follows_stray(&self, text: &str, at: usize) -> bool {
        let before = self.strays.partition_point(|&stray| stray < at);
        before
            .checked_sub(1)
            .is_some_and(|index| text[self.strays[index] + 1..at].trim().is_empty())
    }

    /// Whether only white space lies between `at` and a `)` that closes nothing.
    pub fn precedes_stray(&self, text: &str, at: usize) -> bool {
        let next = self.strays.partition_point(|&stray| stray < at);
        self.strays.get(next).is_some_and(|&stray| {
            text[at..].starts_with([')', ' ', '\t', '\r', '\n'])
                && text[stray..].starts_with(')')
                && text[at..stray].trim().is_empty()
        })
    }

    /// Whether `span` lies in attributes that lack their `(`, so that nothing there is what it seems.
    pub fn is_ruined(&self, span: Span) -> bool {
        let next = self
            .ruined
            .partition_point(|region| region.end <= span.start);
        self.ruined
            .get(next)
            .is_some_and(|region| region.start <= span.start)
    }
}

/// Balances the brackets of a text; where they are nested too deep, all that can be said is where.
pub(super) fn balance(text: &str) -> Result<Balanced<'_>, Report> {
    let bytes = text.as_bytes();
    let (missing, surplus) = count_square(bytes);
    let mut scan = Scan::new(text, missing, surplus);
    let mut comments = Vec::new();
    let mut at = 0;
    if text.starts_with('\u{FEFF}') {
        at = '\u{FEFF}'.len_utf8();
        scan.blank(0..at);
    }
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'#' => {
                let length = bytes[at..]
                    .iter()
                    .position(|&b| b == b'\n')
                    .unwrap_or(bytes.len() - at);
                let words = text[at..at + length].trim_end_matches('\r').len();
                comments.push(Span::new(at, at + words));
                if length > LONG_COMMENT {
                    scan.blank(at + 1..at + length);
                }
                at += length;
                continue;
            }
            b'(' | b'[' => scan.open(at, byte)?,
            b')' => scan.close_round(at),
            b']' => scan.close_square(at),
            b'|' => scan.bar(at),
            b'-' if bytes.get(at + 1) == Some(&b'>') => {
                scan.arrow(at);
                at += 1;
            }
            b',' => scan.comma(at),
            b'=' => scan.listed = true,
            _ => {}
        }
        at += 1;
        if !byte.is_ascii_whitespace() {
            scan.end = at;
        }
        if matches!(byte, b'(' | b')' | b'[' | b']' | b'|') || bytes[..at].ends_with(b"->") {
            scan.border = at;
            scan.listed = false;
        }
    }
    Ok(scan.finish(comments))
}

/// About the first `length` bytes of a balanced text, up to an arrow where there is one, closed where they leave something
/// open; and how many they are.
pub(super) fn closed_beginning(text: &str, length: usize) -> (String, usize) {
    let mut length = length.min(text.len());
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    length = text[..length].rfind("->").unwrap_or(length);
    let (mut open, mut comment) = (Vec::new(), false);
    for byte in text[..length].bytes() {
        match byte {
            b'\n' => comment = false,
            b'#' => comment = true,
            b'(' | b'[' if !comment => open.push(if byte == b'(' { ')' } else { ']' }),
            b')' if !comment => while open.pop().is_some_and(|closer| closer != ')') {},
            b']' if !comment && open.last() == Some(&']') => {
                open.pop();
            }
            _ => {}
        }
    }
    let mut beginning = format!("{}\n", &text[..length]);
    beginning.extend(open.iter().rev());
    (beginning, length)
}

/// How many `[` and how many `]` of a text have no partner, taken by themselves.
fn count_square(bytes: &[u8]) -> (usize, usize) {
    let (mut open, mut surplus, mut comment) = (0usize, 0usize, false);
    for &byte in bytes {
        match byte {
            b'\n' => comment = false,
            b'#' => comment = true,
            b'[' if !comment => open += 1,
            b']' if !comment && open > 0 => open -= 1,
            b']' if !comment => surplus += 1,
            _ => {}
        }
    }
    (open, surplus)
}
