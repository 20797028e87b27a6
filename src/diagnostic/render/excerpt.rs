//! The few lines of a text that a diagnostic shows, cut to the width of a screen.
//!
//! miette looks at whole files and prints whole lines. An [`Excerpt`] is a small text made from the lines around the marks:
//! long lines cut to a window around the first mark in them, carriage returns and control characters taken out; it knows
//! which line of the file each of its lines is. Knows nothing of codes and severities.

use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::source::{Source, Span};

/// A mark of more lines than this is drawn on its first line only.
const MOST_LINES: usize = 6;

/// A place to underline.
pub(super) struct Mark<'a> {
    /// Where, in the source.
    pub span: Span,
    /// Words at the underline; empty for none.
    pub words: &'a str,
    /// Whether line and column in the frame are this one's.
    pub primary: bool,
}

/// A line of the excerpt.
struct Line {
    /// In the file, from 0.
    number: usize,
    /// In the excerpt's text, the line end included.
    start: usize,
    end: usize,
}

/// A mark in the excerpt's text.
struct Drawn {
    start: usize,
    end: usize,
    /// In the file, in characters, from 0.
    column: usize,
    words: Option<String>,
    primary: bool,
}

/// A small text for miette.
pub(super) struct Excerpt<'a> {
    name: &'a str,
    text: String,
    lines: Vec<Line>,
    marks: Vec<Drawn>,
}

impl<'a> Excerpt<'a> {
    /// The lines of `source` around the marks, one more on each side; none longer than about `longest` characters, with
    /// `cut` where something is left out.
    pub(super) fn new(source: &'a Source, marks: &[Mark<'_>], longest: usize, cut: &str) -> Self {
        let text = source.text();
        let spans: Vec<Span> = marks.iter().map(|mark| clip(text, mark.span)).collect();
        let mut wanted: Vec<(usize, Span)> = spans
            .iter()
            .flat_map(|&span| lines_around(text, span))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();

        let mut builder = Builder {
            text: String::new(),
            map: Vec::new(),
            cut,
        };
        let mut lines = Vec::with_capacity(wanted.len());
        for &(number, line) in &wanted {
            let start = builder.text.len();
            // What is marked first in the line decides what of it is seen.
            let anchor = spans
                .iter()
                .filter(|span| span.start <= line.end && span.end >= line.start)
                .map(|span| span.start.max(line.start))
                .min()
                .unwrap_or(line.start);
            builder.line(text, line, anchor, longest);
            lines.push(Line {
                number,
                start,
                end: builder.text.len(),
            });
        }
        let mut drawn: Vec<Drawn> = marks
            .iter()
            .zip(&spans)
            .map(|(mark, span)| {
                let start = builder.place(span.start, false);
                Drawn {
                    start,
                    end: builder.place(span.end, true).max(start),
                    column: source.line_column(span.start).column - 1,
                    words: Some(mark.words.to_owned()).filter(|words| !words.is_empty()),
                    primary: mark.primary,
                }
            })
            .collect();
        uncover(&mut drawn, &builder.text);
        Self {
            name: source.name(),
            text: builder.text,
            lines,
            marks: drawn,
        }
    }

    /// The marks, for miette.
    pub(super) fn labels(&self) -> impl Iterator<Item = LabeledSpan> + '_ {
        self.marks.iter().map(|mark| {
            let (words, length) = (mark.words.clone(), mark.end - mark.start);
            if mark.primary {
                LabeledSpan::new_primary_with_span(words, (mark.start, length))
            } else {
                LabeledSpan::new(words, mark.start, length)
            }
        })
    }
}

impl SourceCode for Excerpt<'_> {
    fn read_span<'s>(
        &'s self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'s> + 's>, MietteError> {
        let (from, to) = (span.offset(), span.offset() + span.len());
        if to > self.text.len() || self.lines.is_empty() {
            return Err(MietteError::OutOfBounds);
        }
        let line_of = |offset: usize| {
            self.lines
                .partition_point(|line| line.start <= offset)
                .saturating_sub(1)
        };
        let (mut first, mut last) = (line_of(from), line_of(to.saturating_sub(1).max(from)));
        if self.lines[last].number - self.lines[first].number != last - first {
            // Lines are left out between the two, so they are no single stretch.
            return Err(MietteError::OutOfBounds);
        }
        let follows = |line: usize| self.lines[line].number == self.lines[line - 1].number + 1;
        for _ in 0..before {
            if first > 0 && follows(first) {
                first -= 1;
            }
        }
        for _ in 0..after {
            if last + 1 < self.lines.len() && follows(last + 1) {
                last += 1;
            }
        }
        let (start, end) = (self.lines[first].start, self.lines[last].end);
        // Asked without context, miette wants to know line and column of a mark.
        let column = self
            .marks
            .iter()
            .find(|mark| before == 0 && mark.start == from)
            .map_or(0, |mark| mark.column);
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.to_owned(),
            &self.text.as_bytes()[start..end],
            (start, end - start).into(),
            self.lines[first].number,
            column,
            last - first + 1,
        )))
    }
}

/// Draws the primary mark only as far as the first mark inside it (a bracket up to its first branch): miette cannot show
/// one underline within another.
fn uncover(marks: &mut [Drawn], text: &str) {
    let Some(at) = marks.iter().position(|mark| mark.primary) else {
        return;
    };
    let whole = marks[at].start + 1..marks[at].end;
    let inside = marks
        .iter()
        .map(|mark| mark.start)
        .filter(|start| whole.contains(start));
    if let Some(first) = inside.min() {
        marks[at].end = text[..first].trim_end().len().max(whole.start);
    }
}

/// A span inside the text, on character borders, and not of very many lines.
fn clip(text: &str, span: Span) -> Span {
    let border = |offset: usize| {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    let (start, end) = (border(span.start), border(span.end).max(border(span.start)));
    let mut breaks = text[start..end]
        .match_indices('\n')
        .map(|(at, _)| start + at);
    let first = breaks.next();
    match first {
        Some(first) if breaks.nth(MOST_LINES - 2).is_some() => Span::new(start, first),
        _ => Span::new(start, end),
    }
}

/// The lines that a span touches and one more on each side: number from 0, and place without line end.
fn lines_around(text: &str, span: Span) -> Vec<(usize, Span)> {
    let line_start = |offset: usize| text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let mut start = line_start(span.start);
    let mut number = text[..start].matches('\n').count();
    if start > 0 {
        start = line_start(start - 1);
        number -= 1;
    }
    let mut lines = Vec::new();
    let mut past = false;
    loop {
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        lines.push((number, Span::new(start, end)));
        // The last touched line is the one that holds the span's last byte.
        let touched_all = end >= span.end.saturating_sub(1).max(span.start);
        if past || end == text.len() {
            return lines;
        }
        past = touched_all;
        start = end + 1;
        number += 1;
        if past && start == text.len() {
            // The line end at the end of a file begins no line worth showing.
            return lines;
        }
    }
}

/// Writes the excerpt's text and remembers where each character came from.
struct Builder<'c> {
    text: String,
    /// Offsets in the source and here, both ascending.
    map: Vec<(usize, usize)>,
    cut: &'c str,
}

impl Builder<'_> {
    fn mark(&mut self, from: usize) {
        self.map.push((from, self.text.len()));
    }

    fn line(&mut self, text: &str, line: Span, anchor: usize, longest: usize) {
        let mut end = line.end;
        if text[line.start..end].ends_with('\r') {
            end -= 1;
        }
        let mut window = Span::new(line.start, end);
        let anchor = anchor.min(end);
        let ahead = |from: usize, count: usize| {
            text[from..end]
                .char_indices()
                .nth(count)
                .map_or(end, |(at, _)| from + at)
        };
        if ahead(line.start, longest) < end {
            // A third of the width for what stands before the mark.
            window.start = text[line.start..anchor]
                .char_indices()
                .rev()
                .nth(longest / 3)
                .map_or(line.start, |(at, _)| line.start + at);
            window.end = ahead(window.start, longest);
        }
        self.mark(line.start);
        if window.start > line.start {
            self.text.push_str(self.cut);
        }
        for (at, c) in text[window.start..window.end].char_indices() {
            let at = window.start + at;
            self.mark(at);
            match c {
                '\u{FEFF}' if at == 0 => {}
                c if steers(c) => self.text.push(char::REPLACEMENT_CHARACTER),
                c => self.text.push(c),
            }
        }
        self.mark(window.end);
        if window.end < end {
            self.text.push_str(self.cut);
            self.mark(end);
        }
        self.text.push('\n');
    }

    /// Where an offset of the source is here. One that was cut out is where the cut is: before the sign of the cut for a
    /// start, behind it for an end.
    fn place(&self, offset: usize, is_end: bool) -> usize {
        let next = self.map.partition_point(|&(from, _)| from <= offset);
        match next.checked_sub(1).map(|index| self.map[index]) {
            Some((from, here)) if from == offset || !is_end => here,
            _ => self
                .map
                .get(next)
                .map_or(self.text.len(), |&(_, here)| here),
        }
    }
}

/// Whether a terminal would obey the character rather than show it.
fn steers(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{200E}' | '\u{200F}')
        || ('\u{202A}'..='\u{202E}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}
