//! The stack of open brackets, and the guesses where something does not pair.
//!
//! One [`Scan`] goes through a text; [`balance`](super::balance) feeds it the bytes that matter.

use std::borrow::Cow;
use std::ops::Range;

use super::{Balanced, DEEPEST};
use crate::source::Span;
use crate::syntax::fault::{Fault, Report};

/// With more `]` missing than this a text is not one that somebody meant, and guesses end.
const FEW_MISSING: usize = 8;

/// What an opener opened.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// `[` of a chain, after `+` or `&`.
    Join,
    /// `[` of a chain, any other.
    Chain,
    /// `(` of a layer.
    Paren,
    /// A bracket inside a layer's parentheses; the grammar takes it as junk.
    Inner(u8),
}

struct Frame {
    role: Role,
    at: usize,
    /// `3*(…)`: meant as a square bracket.
    round: bool,
}

/// A text with the brackets that are open at some byte of it, and what was found so far.
pub(super) struct Scan<'a> {
    text: &'a str,
    /// Frames of chains, then at most one `Paren`, then `Inner` ones.
    stack: Vec<Frame>,
    /// Index of the `Paren`, where there is one.
    paren: Option<usize>,
    /// Changes by offset in the user's text.
    edits: Vec<(usize, Edit)>,
    /// More `[` than `]` in the whole text; a `|` or `)` may then stand for a missing `]`.
    missing: usize,
    /// More `]` than `[`; one may then stand for a missing `)`.
    surplus: usize,
    reports: Vec<Report>,
    /// Problems that are only counted.
    untold: usize,
    arrows: usize,
    unclosed: Vec<usize>,
    regions: Vec<Span>,
    strays: Vec<usize>,
    ruined: Vec<Span>,
    /// Commas in the open parenthesis, those in brackets inside it left out.
    commas: usize,
    /// The last of them that is read.
    last_comma: usize,
    /// One past the last byte that is neither white space nor comment.
    pub end: usize,
    /// One past the last arrow, `|` or bracket.
    pub border: usize,
    /// Whether a comma or `=` came since.
    pub listed: bool,
}

/// So many closers that close nothing are told of, if they come first; of more there is a number.
const MOST_STRAYS: usize = 1000;

/// So many attributes of a layer are read; no kind knows half as many.
const MOST_ATTRIBUTES: usize = 64;

#[derive(Clone, Copy)]
enum Edit {
    Replace(u8),
    /// Before what stands there.
    Add(u8),
    /// So many bytes become spaces.
    Blank(usize),
}

impl<'a> Scan<'a> {
    /// The start of a text in which so many `[` and so many `]` have no partner.
    pub(super) fn new(text: &'a str, missing: usize, surplus: usize) -> Self {
        Self {
            text,
            stack: Vec::new(),
            paren: None,
            edits: Vec::new(),
            missing,
            surplus,
            reports: Vec::new(),
            untold: 0,
            arrows: 0,
            unclosed: Vec::new(),
            regions: Vec::new(),
            strays: Vec::new(),
            ruined: Vec::new(),
            commas: 0,
            last_comma: 0,
            end: 0,
            border: 0,
            listed: false,
        }
    }

    /// Hides bytes from the grammar.
    pub(super) fn blank(&mut self, bytes: Range<usize>) {
        self.edits.push((bytes.start, Edit::Blank(bytes.len())));
    }

    /// A comma.
    pub(super) fn comma(&mut self, at: usize) {
        self.listed = true;
        if self.paren.is_some_and(|base| self.stack.len() == base + 1) {
            self.commas += 1;
            if self.commas == MOST_ATTRIBUTES {
                self.last_comma = at;
            }
        }
    }

    /// The end of a layer's parenthesis. Of a heap of attributes only the first are read.
    fn leave_paren(&mut self, end: usize) {
        self.paren = None;
        if self.commas >= MOST_ATTRIBUTES {
            let heap = self.last_comma..end;
            while self.edits.pop_if(|(at, _)| *at >= heap.start).is_some() {}
            self.reports.push(Report::new(
                Span::new(heap.start, heap.start + 1),
                Fault::AttributeHeap,
            ));
            self.blank(heap);
        }
    }

    /// An opener. Its depth counts among chains, or among what stands in one parenthesis.
    pub(super) fn open(&mut self, at: usize, byte: u8) -> Result<(), Report> {
        let before = self
            .end
            .checked_sub(1)
            .map(|last| self.text.as_bytes()[last]);
        let purpose = matches!(before, Some(b'*' | b'+' | b'&'));
        let few = 1..=FEW_MISSING;
        let empty = self.text[at + 1..].trim_start().starts_with(']');
        if byte == b'[' && !purpose && !empty && self.paren.is_none() && few.contains(&self.missing)
        {
            // One `[` too many, and this one does not say what it is for: it is the one.
            self.missing -= 1;
            self.reports
                .push(Report::new(Span::new(at, at + 1), Fault::Superfluous));
            self.unclosed.push(at);
            self.blank(at..at + 1);
            return Ok(());
        }
        let (role, round) = match (byte, self.paren) {
            (_, Some(_)) => (Role::Inner(byte), false),
            (b'(', None) if purpose => (
                if before == Some(b'*') {
                    Role::Chain
                } else {
                    Role::Join
                },
                true,
            ),
            (b'(', None) => (Role::Paren, false),
            (_, None) if purpose && before != Some(b'*') => (Role::Join, false),
            _ => (Role::Chain, false),
        };
        if role == Role::Paren {
            self.paren = Some(self.stack.len());
            self.commas = 0;
        }
        if round {
            self.reports
                .push(Report::new(Span::new(at, at + 1), Fault::RoundBracket));
            self.edits.push((at, Edit::Replace(b'[')));
        }
        self.stack.push(Frame { role, at, round });
        let depth = self.stack.len() - self.paren.unwrap_or(0);
        if depth > DEEPEST && role != Role::Paren {
            return Err(Report::new(Span::new(at, at + 1), Fault::TooDeep));
        }
        Ok(())
    }

    pub(super) fn close_round(&mut self, at: usize) {
        if let Some(base) = self.paren {
            // The innermost open `(`; square brackets opened since are junk inside it.
            while let Some(frame) = self.stack.pop() {
                if frame.role != Role::Inner(b'[') {
                    break;
                }
            }
            if self.stack.len() <= base {
                self.leave_paren(at);
            }
            return;
        }
        match self.stack.last() {
            Some(frame) if frame.round => {
                self.edits.push((at, Edit::Replace(b']')));
                self.stack.pop();
            }
            // Not where it may as well be one `)` too many, or lack its `(`.
            Some(frame) if self.missing > 0 && !self.listed && !self.text[..at].ends_with(')') => {
                self.missing -= 1;
                let opener = Span::new(frame.at, frame.at + 1);
                self.reports.push(Report::new(
                    opener,
                    Fault::Mistyped {
                        opener: '[',
                        closer: at,
                    },
                ));
                self.edits.push((at, Edit::Replace(b']')));
                self.stack.pop();
            }
            _ => self.stray(at),
        }
    }

    pub(super) fn close_square(&mut self, at: usize) {
        if let Some(base) = self.paren {
            if self
                .stack
                .last()
                .is_some_and(|frame| frame.role == Role::Inner(b'['))
            {
                self.stack.pop();
                return;
            }
            if self.closes_soon(at) {
                self.stray(at);
                return;
            }
            // With white space before it, it rather ends the chain.
            let apart = base > 0 && self.text[..at].ends_with(char::is_whitespace);
            if self.surplus > 0 && !apart {
                self.surplus -= 1;
                let opener = Span::new(self.stack[base].at, self.stack[base].at + 1);
                self.reports.push(Report::new(
                    opener,
                    Fault::Mistyped {
                        opener: '(',
                        closer: at,
                    },
                ));
                self.leave_paren(at);
                self.edits.push((at, Edit::Replace(b')')));
                self.stack.truncate(base);
                return;
            }
            self.close_paren();
        }
        if self.stack.last().is_some_and(|frame| !frame.round) {
            self.stack.pop();
        } else if self.stack.pop().is_some() {
            // `3*(C8]`: the round bracket is reported, and this is its end.
        } else {
            self.stray(at);
        }
    }

    /// Whether a parenthesis is closed before anything that cannot stand in one.
    fn closes_soon(&self, at: usize) -> bool {
        let mut rest = &self.text.as_bytes()[at + 1..];
        while let Some(stop) = rest.iter().position(|byte| b"()[]|>#".contains(byte)) {
            if rest[stop] != b'#' {
                return rest[stop] == b')';
            }
            let line = rest[stop..].iter().position(|&byte| byte == b'\n');
            rest = line.map_or(&[][..], |length| &rest[stop + length..]);
        }
        false
    }

    /// `->` cannot stand in parentheses; and where a `]` is missing, it is between `|` and `->`.
    pub(super) fn arrow(&mut self, at: usize) {
        self.arrows += 1;
        // `C8(kernel->3)`
        if self.paren.is_some() && self.closes_soon(at + 1) {
            return;
        }
        self.close_paren();
        let after_bar = self.text[..at].trim_end().ends_with('|');
        if self.missing > 0 && after_bar && self.stack.last().is_some_and(|f| f.role == Role::Join)
        {
            self.missing -= 1;
            self.close_chain();
        }
    }

    /// `|` cannot stand in parentheses; and where a `]` is missing, it belongs to the nearest join.
    pub(super) fn bar(&mut self, at: usize) {
        // `C8(kernel=3 | pad=1)`
        if self.paren.is_some() && self.closes_soon(at) {
            return;
        }
        self.close_paren();
        while self.missing > 0
            && self
                .stack
                .last()
                .is_some_and(|frame| frame.role == Role::Chain)
            && self.stack.iter().any(|frame| frame.role == Role::Join)
        {
            self.missing -= 1;
            self.close_chain();
        }
    }

    /// Ends the open parenthesis, if there is one, after the last thing in it.
    fn close_paren(&mut self) {
        let Some(base) = self.paren else {
            return;
        };
        self.leave_paren(self.end);
        let opener = self.stack[base].at;
        let inner_round = self.stack[base + 1..]
            .iter()
            .filter(|frame| frame.role == Role::Inner(b'('))
            .count();
        self.stack.truncate(base);
        self.reports.push(Report::new(
            Span::new(opener, opener + 1),
            Fault::Unclosed('('),
        ));
        self.unclosed.push(opener);
        self.regions.push(Span::new(opener, self.end));
        self.edits.extend(std::iter::repeat_n(
            (self.end, Edit::Add(b')')),
            inner_round + 1,
        ));
    }

    /// Ends the innermost bracket after the last thing in it; false where there is none.
    fn close_chain(&mut self) -> bool {
        let Some(frame) = self.stack.pop() else {
            return false;
        };
        if !frame.round {
            self.reports.push(Report::new(
                Span::new(frame.at, frame.at + 1),
                Fault::Unclosed('['),
            ));
        }
        self.unclosed.push(frame.at);
        self.edits.push((self.end, Edit::Add(b']')));
        true
    }

    fn stray(&mut self, at: usize) {
        let closer = char::from(self.text.as_bytes()[at]);
        if self.strays.len() < MOST_STRAYS {
            self.reports
                .push(Report::new(Span::new(at, at + 1), Fault::Stray(closer)));
        } else {
            self.untold += 1;
        }
        self.strays.push(at);
        if closer == ')' && self.listed {
            // What stands for an arrow before them is no part of them.
            let before = &self.text[self.border..at];
            let arrow = |c: char| c.is_whitespace() || "=<>-~–—→;".contains(c);
            let start = at - before.trim_start_matches(arrow).len();
            self.ruined.push(Span::new(start, at));
        }
        self.blank(at..at + 1);
    }

    /// Closes what is open and puts the balanced text together.
    pub(super) fn finish(mut self, comments: Vec<Span>) -> Balanced<'a> {
        let open_at_end = !self.stack.is_empty();
        self.close_paren();
        while self.close_chain() {}
        // A closer is added before the comments after what it closes.
        self.edits.sort_by_key(|(at, _)| *at);
        let mut added = Vec::new();
        let text = if self.edits.is_empty() {
            Cow::Borrowed(self.text)
        } else {
            // Only ASCII bytes are replaced and only whole characters blanked, so the text stays UTF-8.
            let mut balanced = Vec::with_capacity(self.text.len() + self.edits.len());
            let mut done = 0;
            for &(at, edit) in &self.edits {
                balanced.extend_from_slice(&self.text.as_bytes()[done..at]);
                done = at;
                match edit {
                    Edit::Replace(byte) => {
                        balanced.push(byte);
                        done += 1;
                    }
                    Edit::Blank(length) => {
                        done += length;
                        balanced.resize(balanced.len() + length, b' ');
                    }
                    Edit::Add(byte) => {
                        added.push(balanced.len());
                        balanced.push(byte);
                    }
                }
            }
            balanced.extend_from_slice(&self.text.as_bytes()[done..]);
            Cow::Owned(
                String::from_utf8(balanced).expect("internal error: balancing broke a character"),
            )
        };
        self.unclosed.sort_unstable();
        Balanced {
            text,
            comments,
            reports: self.reports,
            untold: self.untold,
            arrows: self.arrows,
            open_at_end,
            end: self.end,
            added,
            unclosed: self.unclosed,
            regions: self.regions,
            strays: self.strays,
            ruined: self.ruined,
        }
    }
}
