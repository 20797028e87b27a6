//! From units to lines: what stands together, and where a line breaks.

use super::COLUMNS;
use super::comment::Lead;
use super::document::{Bracket, Chain, Document, Parentheses, Unit, What};

/// How much deeper the rest of a line stands, and what is in a bracket.
const STEP: usize = 4;
const ARROW: &str = " -> ";

/// The text of a document, its lines ended by `line_end`.
pub(super) fn lines(document: &Document, line_end: &'static str) -> String {
    let mut writer = Writer {
        out: String::new(),
        line_end,
        column: 0,
        indent: 0,
        below: Below::Opener,
        commented: false,
    };
    if let Some(input) = &document.input {
        writer.lead(&input.lead, 0);
        writer.line(0);
        writer.text(&input.text);
        writer.trailing(input.trailing.as_deref());
        writer.end_line();
        writer.empty_line();
    }
    writer.chain(&document.chain, 0, "");
    writer.end_line();
    writer.out
}

/// What stands above the line to be written.
#[derive(Clone, Copy, PartialEq)]
enum Below {
    /// Nothing, or something opened: no empty line may follow.
    Opener,
    /// An empty line: no second one may follow.
    EmptyLine,
    /// Any other line.
    Line,
}

struct Writer {
    out: String,
    line_end: &'static str,
    /// Characters of the line so far.
    column: usize,
    /// Spaces before the line.
    indent: usize,
    below: Below,
    /// Whether the line has a comment, so that nothing may follow.
    commented: bool,
}

impl Writer {
    // ---- Lines -----------------------------------------------------------------------------------------------------

    fn end_line(&mut self) {
        if self.column > 0 {
            self.out.push_str(self.line_end);
            self.column = 0;
            self.commented = false;
        }
    }

    /// An empty line, where one may stand.
    fn empty_line(&mut self) {
        if self.below == Below::Line {
            self.out.push_str(self.line_end);
            self.below = Below::EmptyLine;
        }
    }

    /// Begins a line.
    fn line(&mut self, indent: usize) {
        self.end_line();
        self.indent = indent;
    }

    fn text(&mut self, text: &str) {
        if self.column == 0 && !text.is_empty() {
            self.out.extend(std::iter::repeat_n(' ', self.indent));
            self.column = self.indent;
        }
        self.out.push_str(text);
        self.column += text.chars().count();
        self.below = Below::Line;
    }

    /// Opens a bracket or parenthesis whose contents stand on lines of their own.
    fn open(&mut self, head: &str, comment: Option<&str>) {
        self.text(head);
        self.trailing(comment);
        self.end_line();
        self.below = Below::Opener;
    }

    /// The comment that ends a line.
    fn trailing(&mut self, comment: Option<&str>) {
        if let Some(comment) = comment {
            self.text(" ");
            self.text(comment);
            self.commented = true;
        }
    }

    /// Comments on lines of their own.
    fn comments(&mut self, lead: &Lead, indent: usize) {
        for comment in &lead.comments {
            self.line(indent);
            if comment.blank {
                self.empty_line();
            }
            self.text(&comment.text);
        }
    }

    /// Comments above what comes next.
    fn lead(&mut self, lead: &Lead, indent: usize) {
        self.comments(lead, indent);
        if lead.blank {
            self.end_line();
            self.empty_line();
        }
    }

    // ---- Chains ----------------------------------------------------------------------------------------------------

    /// A chain on lines of its own, `sign` before its first unit.
    fn chain(&mut self, chain: &Chain, indent: usize, sign: &str) {
        if chain.units.is_empty() {
            self.line(indent);
            self.text(sign.trim_end());
            self.trailing(chain.opening.as_deref());
        }
        let one_line = chain
            .width
            .is_some_and(|width| indent + sign.len() + width <= COLUMNS);
        for (index, unit) in chain.units.iter().enumerate() {
            if index == 0 {
                self.lead(&unit.lead, indent);
                self.line(indent);
                self.text(sign);
            } else if one_line || !unit.starts_line && self.has_room(unit, indent) {
                self.text(ARROW);
            } else {
                let indent = if unit.starts_line {
                    indent
                } else {
                    indent + STEP
                };
                self.lead(&unit.lead, indent);
                self.line(indent);
                self.text(ARROW.trim_start());
            }
            self.unit(unit);
            self.trailing(unit.trailing.as_deref());
        }
        self.comments(&chain.end, indent);
    }

    /// Whether a unit may stand on the line. A comment behind it counts, unless it is too long for any line.
    fn has_room(&self, unit: &Unit, indent: usize) -> bool {
        if self.commented || !unit.lead.is_empty() {
            return false;
        }
        let width = match &unit.what {
            What::Commented(parentheses) => parentheses.head.len() + 1,
            _ => unit.width.unwrap_or(0),
        };
        let comment = unit
            .trailing
            .as_ref()
            .map_or(0, |text| 1 + text.chars().count());
        let alone = indent + ARROW.len() - 1 + STEP + width + comment;
        let counted = if alone <= COLUMNS { comment } else { 0 };
        self.column + ARROW.len() + width + counted <= COLUMNS
    }

    fn unit(&mut self, unit: &Unit) {
        match &unit.what {
            What::Layer(text) => self.text(text),
            What::Commented(parentheses) => self.parentheses(parentheses),
            What::Bracket(bracket) => match unit.width {
                Some(width) if self.column.max(self.indent) + width <= COLUMNS => {
                    let mut text = String::with_capacity(width);
                    bracket_on_line(bracket, &mut text);
                    self.text(&text);
                }
                _ => self.bracket(bracket),
            },
        }
    }

    fn bracket(&mut self, bracket: &Bracket) {
        let indent = self.indent;
        self.open(&bracket.head, bracket.opening.as_deref());
        for (index, branch) in bracket.branches.iter().enumerate() {
            self.chain(branch, indent + STEP, if index > 0 { "| " } else { "" });
        }
        self.line(indent);
        self.text("]");
    }

    fn parentheses(&mut self, layer: &Parentheses) {
        let indent = self.indent;
        self.text(&layer.head);
        self.open("(", layer.opening.as_deref());
        for (index, item) in layer.items.iter().enumerate() {
            self.lead(&item.lead, indent + STEP);
            self.line(indent + STEP);
            self.text(&item.text);
            if index + 1 < layer.items.len() {
                self.text(",");
            }
            self.trailing(item.trailing.as_deref());
        }
        self.comments(&layer.end, indent + STEP);
        self.line(indent);
        self.text(")");
    }
}

/// A document without comments as one line.
pub(super) fn one_line(document: &Document) -> String {
    let mut text = String::new();
    if let Some(input) = &document.input {
        text.push_str(&input.text);
        text.push(' ');
    }
    chain_on_line(&document.chain, &mut text);
    text
}

/// Writes a bracket without line breaks.
fn bracket_on_line(bracket: &Bracket, text: &mut String) {
    text.push_str(&bracket.head);
    for (index, branch) in bracket.branches.iter().enumerate() {
        if index > 0 {
            text.push_str(" |");
        }
        if index > 0 && (index + 1 == bracket.branches.len() || !branch.units.is_empty()) {
            text.push(' ');
        }
        chain_on_line(branch, text);
    }
    text.push(']');
}

fn chain_on_line(chain: &Chain, text: &mut String) {
    for (index, unit) in chain.units.iter().enumerate() {
        if index > 0 {
            text.push_str(ARROW);
        }
        match &unit.what {
            What::Layer(layer) => text.push_str(layer),
            What::Bracket(bracket) => bracket_on_line(bracket, text),
            What::Commented(_) => unreachable!("internal error: a comment on one line"),
        }
    }
}
