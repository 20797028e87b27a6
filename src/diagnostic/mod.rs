//! The one error type of netc: for networks, TOML, flags, files, data and OpenCL.
//!
//! Owns: [`Diagnostic`], its labels, and the sink [`Diagnostics`] into which passes over user text push. Wording of
//! single errors stays with the pass that finds them; rendering is in [`render`], codes in [`code`], their long form in
//! [`explain`].

pub mod code;
pub mod explain;
pub mod nearest;
pub mod render;

use std::fmt;
use std::sync::Arc;

pub use code::Code;

use crate::source::{Source, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The work can go on.
    Warning,
    /// It cannot.
    Error,
}

/// A span in a certain source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The text pointed into.
    pub source: Arc<Source>,
    /// Where.
    pub span: Span,
}

impl Place {
    /// The place `span` of `source`.
    pub fn new(source: &Arc<Source>, span: Span) -> Self {
        Self {
            source: Arc::clone(source),
            span,
        }
    }
}

/// A related place with its own words ("first used here").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Words that stand beside the underline.
    pub message: String,
    /// Where.
    pub place: Place,
}

/// One problem: what is wrong (message, lower case, no full stop), where, and what to write instead (help).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, with its numbers and shapes.
    pub message: String,
    /// Where; `None` where no text is at fault (a device, a file).
    pub primary: Option<Place>,
    /// Words under the primary place; empty for none.
    pub primary_label: String,
    /// Related places.
    pub labels: Vec<Label>,
    /// Further facts, a line each (a compiler's log, a list of files).
    pub notes: Vec<String>,
    /// What to do instead, pasteable where it can be.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: bounded(message.into()),
            primary: None,
            primary_label: String::new(),
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn as_warning(self) -> Self {
        Self {
            severity: Severity::Warning,
            ..self
        }
    }

    /// A warning without a place.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// Points at a place.
    #[must_use]
    pub fn at(mut self, source: &Arc<Source>, span: Span) -> Self {
        self.primary = Some(Place::new(source, span));
        self
    }

    /// Puts words under the primary place.
    #[must_use]
    pub fn here(mut self, words: impl Into<String>) -> Self {
        self.primary_label = bounded(words.into());
        self
    }

    /// Adds a related place.
    #[must_use]
    pub fn label(mut self, message: impl Into<String>, source: &Arc<Source>, span: Span) -> Self {
        self.labels.push(Label {
            message: bounded(message.into()),
            place: Place::new(source, span),
        });
        self
    }

    /// Adds a further fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to do instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(bounded(help.into()));
        self
    }
}

/// Words hold what users wrote, a megabyte in one piece if they like: of a text that is too long, its two ends.
fn bounded(words: String) -> String {
    const MOST_BYTES: usize = 2000;
    const END: usize = 500;
    if words.len() <= MOST_BYTES {
        return words;
    }
    let (head, tail) = (
        words.floor_char_boundary(END),
        words.ceil_char_boundary(words.len() - END),
    );
    format!("{} … {}", &words[..head], &words[tail..])
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// The sink that passes over user text push into, so that one run shows every problem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    untold: usize,
}

/// How many problems of one text are told.
pub const MOST: usize = 50;

impl Diagnostics {
    /// An empty sink.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Adds a problem, or counts it where there is no room for another.
    pub fn push_with(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.list.len() < MOST {
            self.list.push(diagnostic());
        } else {
            self.untold += 1;
        }
    }

    /// Adds all problems of another sink.
    pub fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
        self.untold += other.untold;
    }

    /// Counts problems that are not in the list.
    pub fn leave_out(&mut self, problems: usize) {
        self.untold += problems;
    }

    /// How many problems there are beside those in the list.
    pub fn untold(&self) -> usize {
        self.untold
    }

    /// At most [`MOST`] problems, errors before warnings, in the order of their places. The notes of the last one say
    /// how many more there are, and they are no longer counted as [untold](Self::untold).
    #[must_use]
    pub fn told(mut self) -> Self {
        if self.list.len() > MOST {
            self = self.sorted();
            self.list.sort_by_key(|d| d.severity == Severity::Warning);
            self.untold += self.list.len() - MOST;
            self.list.truncate(MOST);
        }
        self = self.sorted();
        let more = std::mem::take(&mut self.untold);
        if let (Some(last), 1..) = (self.list.last_mut(), more) {
            let plural = if more == 1 { "" } else { "s" };
            last.notes.push(format!("and {more} more problem{plural}"));
        }
        self
    }

    /// Whether there is an error among them.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// In the order of their places: by source name, then by where they start; those without a place last.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.list.sort_by_key(|d| {
            d.primary
                .as_ref()
                .map_or((true, 0, 0), |p| (false, p.span.start, p.span.end))
        });
        self
    }

    /// The problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// The problems, owned.
    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.list
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            list: vec![diagnostic],
            untold: 0,
        }
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
