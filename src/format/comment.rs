//! Where comments belong: behind what stands before them on their line, or above what follows.

use crate::source::Span;
use crate::syntax::tree::{Spanned, Tree};

/// A comment on a line of its own.
#[derive(Debug)]
pub(super) struct Comment {
    /// `#` and what follows, without white space at the end.
    pub text: String,
    /// Whether an empty line stands before it.
    pub blank: bool,
}

/// Comments on lines of their own above something.
#[derive(Debug, Default)]
pub(super) struct Lead {
    /// In order.
    pub comments: Vec<Comment>,
    /// Whether an empty line stands between the last of them and what follows.
    pub blank: bool,
}

impl Lead {
    /// Whether there is no comment.
    pub(super) fn is_empty(&self) -> bool {
        self.comments.is_empty()
    }

    /// Adds what stands below.
    pub(super) fn append(&mut self, mut below: Self) {
        if let Some(first) = below.comments.first_mut() {
            first.blank |= self.blank;
            self.blank = below.blank;
            self.comments.append(&mut below.comments);
        }
    }

    /// Adds a comment below.
    pub(super) fn push(&mut self, text: String) {
        self.append(Self {
            comments: vec![Comment { text, blank: false }],
            blank: false,
        });
    }
}

/// The comments between two things.
#[derive(Debug, Default)]
pub(super) struct Gap {
    /// The one that ends the line of what stands before.
    pub trailing: Option<String>,
    /// Those above what stands behind.
    pub lead: Lead,
}

/// The comments of a text, taken one after the other.
pub(super) struct Comments<'a> {
    text: &'a str,
    left: &'a [Spanned<String>],
}

impl<'a> Comments<'a> {
    /// All comments of a network.
    pub(super) fn of(tree: &'a Tree) -> Self {
        Self {
            text: tree.source.text(),
            left: &tree.comments,
        }
    }

    /// Takes the comments before an offset. `anchor` is the end of what they may stand behind; white space and the signs
    /// between units do not count as such.
    pub(super) fn gap(&mut self, anchor: Option<usize>, until: usize) -> Gap {
        let mut gap = Gap::default();
        let mut end = anchor;
        while let Some((comment, rest)) = self.left.split_first()
            && comment.span.start < until
        {
            self.left = rest;
            let between = &self.text[end.unwrap_or(0)..comment.span.start];
            let text = comment.value.trim_end().to_owned();
            if end.is_some() && end == anchor && !between.contains('\n') {
                gap.trailing = Some(text);
            } else {
                let blank = has_empty_line(between);
                gap.lead.comments.push(Comment { text, blank });
            }
            end = Some(comment.span.end);
        }
        if !gap.lead.is_empty() {
            let rest = &self.text[end.unwrap_or(0)..until];
            gap.lead.blank = has_empty_line(rest);
        }
        gap
    }

    /// Takes the comments within something, all as if they stood above it.
    pub(super) fn within(&mut self, from: usize, until: usize) -> Lead {
        let Gap { trailing, mut lead } = self.gap(Some(from), until);
        if let Some(text) = trailing {
            lead.comments.insert(0, Comment { text, blank: false });
        }
        lead.blank = false;
        lead
    }

    /// Where a sign stands within a span, comments aside.
    pub(super) fn find(&self, sign: char, within: Span) -> Option<usize> {
        let mut commented = false;
        let text = self.text.get(within.start..within.end)?;
        text.char_indices()
            .find(|&(_, c)| {
                commented = c != '\n' && (commented || c == '#');
                c == sign && !commented
            })
            .map(|(at, _)| within.start + at)
    }
}

/// Whether a line of nothing but white space lies between two places.
fn has_empty_line(between: &str) -> bool {
    let mut lines = between.split('\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        if lines.peek().is_some() && line.trim().is_empty() {
            return true;
        }
    }
    false
}
