//! A text that a user wrote, with the means to point into it.
//!
//! Owns: the text's name, the text, byte spans, and the translation of byte offsets to lines and columns.
//! Knows nothing of networks, TOML or diagnostics.

use std::sync::Arc;

/// A half-open range of bytes `[start, end)` in one [`Source`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The span `[start, end)`.
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end, "internal error: a span runs backwards");
        Self { start, end }
    }

    /// The smallest span that holds both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether the span holds no byte.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A place in a text as people count: line and column from 1, columns in Unicode characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineColumn {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A named text. Shared by reference count, since every diagnostic carries the sources that it points into.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    /// A source with the name that diagnostics print (a path, `<stdin>`, `<expr>`).
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: text.into(),
        })
    }

    /// The name that diagnostics print.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text under a span; empty where the span does not lie on character borders inside the text.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or("")
    }

    /// Line and column of a byte offset; an offset past the end counts as the end.
    pub fn line_column(&self, offset: usize) -> LineColumn {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        // A byte order mark is no column.
        let columns = before[start..]
            .trim_start_matches('\u{feff}')
            .chars()
            .count();
        LineColumn {
            line,
            column: columns + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let source = Source::new("a.net", "é->\nC8");
        assert_eq!(source.line_column(0), LineColumn { line: 1, column: 1 });
        assert_eq!(source.line_column(2), LineColumn { line: 1, column: 2 });
        assert_eq!(source.line_column(5), LineColumn { line: 2, column: 1 });
        assert_eq!(source.line_column(99), LineColumn { line: 2, column: 3 });
        assert_eq!(source.slice(Span::new(5, 7)), "C8");
        assert_eq!(source.slice(Span::new(1, 2)), "", "inside a character");
    }
}
