//! The canonical form of a network's text: one network, one way to write it.
//!
//! [`format()`] reads a text and writes it anew. The order of work: `attribute` puts a layer's attributes in order and
//! leaves out what is the default, `comment` finds where each comment belongs, `document` makes units of layers and
//! brackets with their comments, `layout` lays these out in lines. Nothing here knows a layer kind but by its table, nor
//! where text comes from and goes to.
//!
//! # The form
//!
//! `input` stands on a line of its own with an empty line after it. A chain that fits in [`COLUMNS`] and holds no comment
//! stands on one line. Otherwise each layer with a width and each bracket starts a line, and the layers without a width
//! that follow stay on it:
//!
//! ```text
//! C96(kernel=11, stride=4, pad=0) -> P(kernel=3, stride=2) -> N
//! -> +[
//!     C64 -> N(batch)
//!     -> C96(act=none)
//!     | C96(kernel=1)
//! ] -> A
//! -> F10
//! ```
//!
//! A line that would still be too long is broken before an arrow, its rest indented by four. A bracket that does not
//! fit, or that holds a comment, has one branch a line, four deeper; each branch after the first begins with `| `, an
//! empty one is the `|` alone. A layer is never broken, however long it is, unless a comment stands in its parentheses:
//! then each attribute has a line, four deeper.
//!
//! In parentheses flags come first, then attributes in the order of the kind's table. What says no more than the default
//! goes. Numbers stay as they were written. `+[x | ]` and `+[ | x]` become `+[x]`, and `&[ | x]` becomes `&[x]`.
//!
//! # Comments
//!
//! A comment at a line's end stays behind what it follows, and the line ends there. One on a line of its own stays above
//! what it precedes. An empty line beside one of its own stays, several become one; all other empty lines go. A comment
//! within a layer but outside its parentheses, between a label and its layer say, moves above the layer. One in
//! parentheses moves with the attribute that it stands at; where no attribute is left it moves above the layer. The text
//! of a comment never changes, but for white space at its end.
//!
//! # The file
//!
//! Lines end as the text's first line does: with CRLF or with LF. A byte order mark goes. The text ends with one line
//! end.

pub mod attribute;
mod comment;
mod document;
mod layout;

use std::sync::Arc;

use crate::diagnostic::Diagnostics;
use crate::ir;
use crate::source::Source;
use crate::syntax::{self, Tree};

/// A line has at most so many characters, where it can be broken at all.
pub const COLUMNS: usize = 88;

/// The canonical form of a text.
///
/// It has the same network, layer by layer, and is its own canonical form.
///
/// # Errors
/// What [`syntax::parse`] and [`ir::build()`] find, in the order of the text: a text with an error has no canonical form.
pub fn format(source: &Arc<Source>) -> Result<String, Diagnostics> {
    read(source).map(|tree| of_tree(&tree))
}

/// The canonical form of a text on one line, whatever its width, without its comments.
///
/// # Errors
/// Those of [`format()`].
pub fn one_line(source: &Arc<Source>) -> Result<String, Diagnostics> {
    let mut tree = read(source)?;
    tree.comments.clear();
    Ok(layout::one_line(&document::Document::of(&tree)))
}

/// The tree of a text without errors.
fn read(source: &Arc<Source>) -> Result<Tree, Diagnostics> {
    let (tree, mut found) = syntax::parse(source);
    let (_, more) = ir::build(&tree, &ir::Options::default());
    found.append(more);
    if found.has_errors() {
        return Err(found.sorted());
    }
    Ok(tree)
}

/// The canonical form of a tree that is known to have no errors.
///
/// # Panics
/// Where it has a [`Stage::Error`](crate::syntax::tree::Stage::Error) or an unknown layer kind.
pub fn of_tree(tree: &Tree) -> String {
    let document = document::Document::of(tree);
    layout::lines(&document, line_end(tree.source.text()))
}

/// How the lines of a text end, by its first line.
fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}
