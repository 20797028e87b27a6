//! Three-way merging: the edits of two sides, made together.
//!
//! Each side is compared with the common ancestor. What one side alone did is done: layers that came, went, moved, have
//! other attributes or another label. Attributes are merged one by one. It is a conflict where both did something else:
//! to one attribute, label, count or kind; where one removed what the other changed or put something into; where both put
//! something into the same gap, or moved one layer to two places. A conflict is resolved for either side in turn; the
//! texts that come of it differ in just what is in conflict.

mod item;
mod place;
mod text;

use super::notes::{Comments, Notes};
use super::outline::{Item, Outline, Outliner, Reading};
use super::script::Script;
use super::shortest;
use crate::op::shape::Shape;
use crate::syntax::tree::Tree;

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// Ours.
    Ours,
    /// Theirs.
    Theirs,
}

/// What came of a merge, with conflicts resolved for one side.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The input statement, with its comments.
    pub input: (Option<Shape>, Notes),
    /// The items, with their comments.
    pub items: Vec<(Item, Notes)>,
    /// Comments at the end.
    pub end: Vec<String>,
    /// What is in conflict, in words.
    pub conflicts: Vec<String>,
    /// Whether some conflict is such that nothing sensible comes of it: one side edited inside what the other took away.
    pub is_torn: bool,
}

/// One version of the network.
struct Version {
    outline: Outline,
    comments: Comments,
    /// The bracket that each item stands in.
    parents: Vec<Option<usize>>,
}

/// A side beside the common ancestor.
struct Side {
    version: Version,
    script: Script,
}

impl Version {
    fn of(tree: &Tree, outliner: &mut Outliner) -> Self {
        let outline = outliner.outline(tree, &Reading::default());
        let comments = Comments::of(tree, &outline);
        let mut open = Vec::new();
        let mut parents = Vec::with_capacity(outline.items.len());
        for (at, item) in outline.items.iter().enumerate() {
            if matches!(item, Item::Close(_)) {
                open.pop();
            }
            parents.push(open.last().copied());
            if matches!(item, Item::Open(_)) {
                open.push(at);
            }
        }
        Self {
            outline,
            comments,
            parents,
        }
    }
}

impl Side {
    /// The item that an ancestor's item became.
    fn now(&self, base: usize) -> Option<usize> {
        self.script.pairs.new_of_old[base]
    }

    /// The ancestor's item.
    fn was(&self, item: usize) -> Option<usize> {
        self.script.pairs.old_of_new[item]
    }

    fn has_moved(&self, base: usize) -> bool {
        self.now(base)
            .is_some_and(|item| self.script.moved.contains(&item))
    }

    /// Whether an item is otherwise than the ancestor's.
    fn has_changed(&self, base: &Version, item: usize, of: usize) -> bool {
        match (&base.outline.items[item], &self.version.outline.items[of]) {
            (Item::Layer(old), Item::Layer(new)) => {
                old.label != new.label || old.written != new.written
            }
            (Item::Open(old), Item::Open(new)) => old != new,
            _ => false,
        }
    }
}

/// An item of the merged network: whose, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Element {
    Ours(usize),
    Theirs(usize),
}

struct Merging {
    base: Version,
    ours: Side,
    theirs: Side,
    prefer: Prefer,
    conflicts: Vec<String>,
    is_torn: bool,
}

/// Merges networks without errors, conflicts resolved for one side.
///
/// # Panics
/// Where a tree has an error in it.
pub fn merge(base: &Tree, ours: &Tree, theirs: &Tree, prefer: Prefer) -> Merged {
    let mut outliner = Outliner::default();
    let base = Version::of(base, &mut outliner);
    let mut side = |tree: &Tree| {
        let version = Version::of(tree, &mut outliner);
        let script = shortest(&base.outline, &version.outline);
        Side { version, script }
    };
    let (ours, theirs) = (side(ours), side(theirs));
    let mut merging = Merging {
        base,
        ours,
        theirs,
        prefer,
        conflicts: Vec::new(),
        is_torn: false,
    };
    let order = merging.order();
    let items = order
        .into_iter()
        .map(|element| merging.item(element))
        .collect();
    let input = merging.input();
    let (o, t) = (
        &merging.ours.version.comments.end,
        &merging.theirs.version.comments.end,
    );
    let end = if *o == merging.base.comments.end {
        t.clone()
    } else {
        let mut end = o.clone();
        let is_new =
            |words: &&String| !merging.base.comments.end.contains(words) && !o.contains(words);
        end.extend(t.iter().filter(is_new).cloned());
        end
    };
    Merged {
        input,
        items,
        end,
        conflicts: merging.conflicts,
        is_torn: merging.is_torn,
    }
}

impl Merging {
    fn conflict(&mut self, words: String) {
        if !self.conflicts.contains(&words) {
            self.conflicts.push(words);
        }
    }

    /// Of three values the one that one side alone changed; where both did, in conflict, that of the preferred side.
    fn three<T: PartialEq + Clone>(
        &mut self,
        base: &T,
        ours: &T,
        theirs: &T,
        words: impl FnOnce() -> String,
    ) -> T {
        if ours == theirs || theirs == base {
            return ours.clone();
        }
        if ours == base {
            return theirs.clone();
        }
        self.conflict(words());
        match self.prefer {
            Prefer::Ours => ours.clone(),
            Prefer::Theirs => theirs.clone(),
        }
    }

    fn input(&mut self) -> (Option<Shape>, Notes) {
        let [base, ours, theirs] = [
            self.base.outline.input,
            self.ours.version.outline.input,
            self.theirs.version.outline.input,
        ];
        let input = self.three(&base, &ours, &theirs, || {
            "input: both sides changed it".into()
        });
        let notes = Notes::merged(
            Some(&self.base.comments.input),
            Some(&self.ours.version.comments.input),
            Some(&self.theirs.version.comments.input),
        );
        (input, notes)
    }

    /// Whether an ancestor's item stays.
    fn stays(&mut self, item: usize) -> bool {
        let (ours, theirs) = (self.ours.now(item), self.theirs.now(item));
        let touched =
            |side: &Side, of: usize| side.has_changed(&self.base, item, of) || side.has_moved(item);
        let (is_touched, keeps) = match (ours, theirs) {
            (Some(_), Some(_)) => return true,
            (None, None) => return false,
            (Some(of), None) => (touched(&self.ours, of), self.prefer == Prefer::Ours),
            (None, Some(of)) => (touched(&self.theirs, of), self.prefer == Prefer::Theirs),
        };
        if !is_touched {
            return false;
        }
        let text = self.base.outline.items[item].text();
        if self.base.outline.items[item].layer().is_none() {
            // A bracket that is half there is none.
            self.is_torn = true;
        }
        self.conflict(format!(
            "`{text}`: one side removed it, the other changed it"
        ));
        keeps
    }
}
