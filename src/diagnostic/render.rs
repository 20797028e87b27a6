//! Diagnostics for people, through miette, and for programs, as JSON.
//!
//! Owns the form of both. miette draws the excerpts; it is given only the lines that it shall show (`excerpt`), so that
//! a file of any size and a line of any length render fast and fit the screen. Which code means what is `code`'s.

mod excerpt;
mod record;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, ThemeCharacters, ThemeStyles};

pub use record::Record;

use super::{Diagnostic, Severity};
use crate::source::Source;
use excerpt::{Excerpt, Mark};

/// How diagnostics are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI colours are used.
    pub colour: bool,
    /// Whether lines are drawn with box characters, or with ASCII only.
    pub unicode: bool,
    /// Columns of the screen. Source lines that are longer are cut to what lies around the fault.
    pub width: usize,
}

impl Default for Style {
    /// Without colours, for 100 columns.
    fn default() -> Self {
        Self {
            colour: false,
            unicode: true,
            width: 100,
        }
    }
}

/// Screens narrower than this are treated as if they were this wide, and wider ones than [`WIDEST`] likewise.
const NARROWEST: usize = 60;
const WIDEST: usize = 200;
/// Columns that miette needs beside the source text: line number and frame.
const FRAME: usize = 10;

/// The diagnostic as people read it, with a line end at its end:
///
/// ```text
/// error[E0202]: `C` has no attribute `krenel`
///    ╭─[small.net:1:4]
///  1 │ C8(krenel=3) -> F2
///    ·    ────────
///    ╰────
///   help: did you mean `kernel=…`?
/// ```
///
/// Related places in the same text are in the same excerpt; those in other texts follow as `note:` with one of their own.
pub fn human(diagnostic: &Diagnostic, style: Style) -> String {
    let mut out = String::new();
    let own = diagnostic.primary.as_ref().map(|place| &place.source);
    let mut marks = Vec::new();
    if let Some(place) = &diagnostic.primary {
        marks.push(Mark {
            span: place.span,
            words: &diagnostic.primary_label,
            primary: true,
        });
    }
    let mut others: Vec<&super::Label> = Vec::new();
    for label in &diagnostic.labels {
        if own.is_some_and(|own| same(own, &label.place.source)) {
            marks.push(Mark {
                span: label.place.span,
                words: &label.message,
                primary: false,
            });
        } else {
            others.push(label);
        }
    }
    let title = match diagnostic.severity {
        Severity::Error => format!("error[{}]:", diagnostic.code),
        Severity::Warning => format!("warning[{}]:", diagnostic.code),
    };
    let head = Head {
        severity: Some(diagnostic.severity),
        title,
        message: &diagnostic.message,
    };
    draw(
        &mut out,
        style,
        &head,
        own.map(|own| (own, marks.as_slice())),
    );
    for label in others {
        let mark = Mark {
            span: label.place.span,
            words: "",
            primary: true,
        };
        let head = Head {
            severity: None,
            title: "note:".into(),
            message: &label.message,
        };
        draw(&mut out, style, &head, Some((&label.place.source, &[mark])));
    }
    for note in &diagnostic.notes {
        trailer(&mut out, style, "note", note);
    }
    if let Some(help) = &diagnostic.help {
        trailer(&mut out, style, "help", help);
    }
    out
}

fn same(a: &Arc<Source>, b: &Arc<Source>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// The first line of a report.
struct Head<'a> {
    /// `None` for a note.
    severity: Option<Severity>,
    title: String,
    message: &'a str,
}

/// A report as miette wants it.
struct Report<'a> {
    head: &'a Head<'a>,
    excerpt: Option<Excerpt<'a>>,
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.head.message)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.head.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.head.severity {
            Some(Severity::Error) => miette::Severity::Error,
            Some(Severity::Warning) => miette::Severity::Warning,
            None => miette::Severity::Advice,
        })
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.excerpt
            .as_ref()
            .map(|excerpt| excerpt as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt.as_ref()?;
        Some(Box::new(excerpt.labels()))
    }
}

/// Head and excerpt through miette. The title takes the place of miette's symbol for the severity.
fn draw(
    out: &mut String,
    style: Style,
    head: &Head<'_>,
    excerpt: Option<(&Arc<Source>, &[Mark<'_>])>,
) {
    let mut characters = if style.unicode {
        ThemeCharacters::unicode()
    } else {
        ThemeCharacters::ascii()
    };
    characters.error.clone_from(&head.title);
    characters.warning.clone_from(&head.title);
    characters.advice.clone_from(&head.title);
    let styles = if style.colour {
        ThemeStyles::ansi()
    } else {
        ThemeStyles::none()
    };
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme { characters, styles })
        .with_links(false)
        .with_wrap_lines(false)
        .with_width(style.width.max(NARROWEST))
        .without_syntax_highlighting();
    let longest = style.width.clamp(NARROWEST, WIDEST) - FRAME;
    let cut = if style.unicode { "…" } else { "..." };
    let excerpt = excerpt.map(|(source, marks)| Excerpt::new(source, marks, longest, cut));
    let report = Report { head, excerpt };
    let mut drawn = String::new();
    handler
        .render_report(&mut drawn, &report)
        .expect("internal error: writing to a string failed");
    for (index, line) in drawn.lines().enumerate() {
        // miette indents its first line by two, which leaves no place for the eye to find the next report.
        let line = if index == 0 {
            line.strip_prefix("  ").unwrap_or(line)
        } else {
            line
        };
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// `  help: words`, further lines under the first.
fn trailer(out: &mut String, style: Style, title: &str, words: &str) {
    let (on, off) = if style.colour {
        ("\u{1b}[36m", "\u{1b}[0m")
    } else {
        ("", "")
    };
    for (index, line) in words.lines().enumerate() {
        let written = if index == 0 {
            writeln!(out, "  {on}{title}:{off} {line}")
        } else {
            writeln!(out, "  {:1$}  {line}", "", title.len())
        };
        written.expect("internal error: writing to a string failed");
    }
}
