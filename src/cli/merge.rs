//! `netc merge`: git's merge driver for networks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use diffy::{ConflictStyle, MergeOptions};
use similar::{ChangeTag, TextDiff};

use super::files::{self, Network};
use super::{Exit, FINE, Failure, Output, PROBLEMS};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::diff::merge::{Merged, Prefer, merge};
use crate::diff::outline::{Item, Layer, Outliner, Reading};
use crate::file;
use crate::format::format;
use crate::op::Recipe;
use crate::source::Source;
use crate::syntax::Tree;

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct Merge {
    /// The common ancestor
    #[arg(value_name = "BASE")]
    base: PathBuf,
    /// Our version; the merged network is written here
    #[arg(value_name = "OURS")]
    ours: PathBuf,
    /// Their version
    #[arg(value_name = "THEIRS")]
    theirs: PathBuf,
    /// Print the merged network instead of writing it
    #[arg(short = 'p', long)]
    print: bool,
    /// Characters of a conflict marker
    #[arg(long, value_name = "COUNT", default_value_t = 7, value_parser = clap::value_parser!(u8).range(1..))]
    marker_size: u8,
    /// The file's name, for messages
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
}

/// What came of it.
struct Outcome {
    text: String,
    /// What is in conflict, in words; none where the merge is clean.
    conflicts: Vec<String>,
}

impl Merge {
    /// Runs it: 0 merged, 1 conflicts.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let name = self
            .path
            .clone()
            .unwrap_or_else(|| self.ours.display().to_string());
        let [base, ours, theirs] =
            [&self.base, &self.ours, &self.theirs].map(|path| read(path, &name));
        let (base, ours, theirs) = (base?, ours?, theirs?);
        let outcome = self.merged([&base, &ours, &theirs], output);
        if self.print {
            output.print(&outcome.text);
        } else if outcome.text != ours.text() {
            file::rewrite(&self.ours, outcome.text.as_bytes())?;
        }
        for words in &outcome.conflicts {
            output.warn(&format!("{name}: conflict: {words}"));
        }
        Ok(if outcome.conflicts.is_empty() {
            FINE
        } else {
            PROBLEMS
        })
    }

    fn merged(&self, sources: [&Arc<Source>; 3], output: &Output) -> Outcome {
        let [base, ours, theirs] = sources;
        if base.text().trim().is_empty() {
            // Both sides added the file.
            return self.as_text(sources);
        }
        let mut trees = Vec::new();
        for source in sources {
            match right(source) {
                Ok(tree) => trees.push(tree),
                Err(found) => {
                    output.diagnostics(&found);
                    output.warn("not all versions are networks without errors: merged as text, line by line");
                    return self.as_text(sources);
                }
            }
        }
        let one = |prefer| merge(&trees[0], &trees[1], &trees[2], prefer);
        let of_ours = one(Prefer::Ours);
        if of_ours.is_torn {
            return self.clash(ours.text(), theirs.text(), of_ours.conflicts);
        }
        if !of_ours.conflicts.is_empty() {
            let of_theirs = one(Prefer::Theirs);
            return self.clash(&of_ours.text(), &of_theirs.text(), of_ours.conflicts);
        }
        let made = Source::new(ours.name(), of_ours.text());
        match right(&made) {
            Ok(tree) if same(&tree, &of_ours) => {
                // Where a merge of the lines comes to the same network, it keeps the text as it was written.
                let lines = diffy::merge(base.text(), ours.text(), theirs.text()).ok();
                let lines = lines.filter(|text| {
                    right(&Source::new("", text.as_str())).is_ok_and(|other| equal(&other, &tree))
                });
                let text = lines.or_else(|| format(&made).ok());
                Outcome {
                    text: text.unwrap_or_else(|| made.text().to_owned()),
                    conflicts: Vec::new(),
                }
            }
            Ok(_) => self.clash(
                ours.text(),
                theirs.text(),
                vec!["brackets that do not fit into each other".into()],
            ),
            Err(found) => {
                output.diagnostics(&found);
                let words = "the edits of both sides together are no network without errors";
                self.clash(ours.text(), theirs.text(), vec![words.into()])
            }
        }
    }

    /// Merged line by line.
    fn as_text(&self, [base, ours, theirs]: [&Arc<Source>; 3]) -> Outcome {
        let merged = MergeOptions::new()
            .set_conflict_style(ConflictStyle::Merge)
            .set_conflict_marker_length(self.marker_size.into())
            .merge(base.text(), ours.text(), theirs.text());
        match merged {
            Ok(text) => Outcome {
                text,
                conflicts: Vec::new(),
            },
            Err(text) => Outcome {
                text,
                conflicts: vec!["both sides changed the same lines".into()],
            },
        }
    }

    /// Both texts, with markers around what differs.
    fn clash(&self, ours: &str, theirs: &str, conflicts: Vec<String>) -> Outcome {
        let diff = TextDiff::from_lines(ours, theirs);
        let marker = |sign: &str| sign.repeat(self.marker_size.into());
        let mut text = String::new();
        let mut hunk: Option<[String; 2]> = None;
        let line = |text: &mut String, line: &str| {
            text.push_str(line);
            if !line.ends_with('\n') {
                text.push('\n');
            }
        };
        let close = |text: &mut String, hunk: Option<[String; 2]>| {
            let Some([of_ours, of_theirs]) = hunk else {
                return;
            };
            let (open, middle, end) = (marker("<"), marker("="), marker(">"));
            text.push_str(&format!(
                "{open} ours\n{of_ours}{middle}\n{of_theirs}{end} theirs\n"
            ));
        };
        for change in diff.iter_all_changes() {
            match change.tag() {
                ChangeTag::Equal => {
                    close(&mut text, hunk.take());
                    line(&mut text, change.value());
                }
                tag => {
                    let side = usize::from(tag == ChangeTag::Insert);
                    line(&mut hunk.get_or_insert_default()[side], change.value());
                }
            }
        }
        close(&mut text, hunk);
        Outcome { text, conflicts }
    }
}

/// A version's text. A side that is not there, as where both added the file, is empty.
fn read(path: &Path, name: &str) -> Result<Arc<Source>, Diagnostic> {
    if path == Path::new("/dev/null") {
        return Ok(Source::new(name, ""));
    }
    let source = files::source(path)?;
    Ok(Source::new(name, source.text()))
}

/// A network without errors.
fn right(source: &Arc<Source>) -> Result<Tree, Diagnostics> {
    let network = Network::parse(source.name().to_owned(), source);
    let (graph, found) = network.graph(&Recipe::default(), None);
    graph.map(|_| network.tree).ok_or(found)
}

/// Whether a text has the items that were merged, but for what is now the default.
fn same(tree: &Tree, merged: &Merged) -> bool {
    let outline = Outliner::default().outline(tree, &Reading::default());
    let words = |item: &Item| match item {
        Item::Layer(Layer { label, written }) => {
            format!("{label:?} {}{:?}", written.kind.letter, written.width)
        }
        bracket => bracket.text(),
    };
    let items = merged.items.iter().map(|(item, _)| words(item));
    outline.input == merged.input.0 && outline.items.iter().map(words).eq(items)
}

/// Whether two texts are one network.
fn equal(a: &Tree, b: &Tree) -> bool {
    crate::diff::diff(a, b).is_empty()
}
