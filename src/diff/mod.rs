//! What differs between two networks, layer by layer, and what follows from it.
//!
//! [`outline`] makes a network a sequence of items, so that formatting and comments are no difference; [`search`] finds
//! which items of two outlines are the same, with as few edits as can be; [`script`] lists the edits and can make them;
//! [`consequence`] says what they do to shapes, costs and checkpoints; [`merge`] joins the edits of two sides. Nothing
//! here prints, and nothing knows git.
//!
//! Layers are matched by what they are and where they stand: label, kind, attributes. The names that netc generates (`c2`)
//! match nothing, since they shift with every layer before them.
//!
//! A repeat is one bracket, so that an edit in it is one edit. Where that makes a longer script, because a text unrolls
//! what the other repeats, repeats are compared as the layers that they stand for: all of them, or those that have no
//! counterpart. The shortest script counts.

pub mod changes;
pub mod consequence;
pub mod merge;
pub mod notes;
pub mod outline;
pub mod script;
mod search;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use crate::source::Span;
use crate::syntax::tree::Tree;
use outline::{Bracket, Folding, Item, Outline, Outliner, Reading, has_early_identity};
use script::{Edit, Script};
pub use search::Pairs;
use search::{Blocks, search};

/// Two networks and the edits from one to the other.
#[derive(Clone, Debug)]
pub struct Diff {
    /// The old network.
    pub old: Outline,
    /// The new one.
    pub new: Outline,
    /// The edits.
    pub script: Script,
}

/// Compares two networks without errors.
///
/// # Panics
/// Where a tree has an error in it.
pub fn diff(old: &Tree, new: &Tree) -> Diff {
    let mut outliner = Outliner::default();
    let mut best = of_reading(&mut outliner, old, new, false);
    let early = has_early_identity(&old.chain) || has_early_identity(&new.chain);
    if early && best.script.edits.len() > 1 {
        let other = of_reading(&mut outliner, old, new, true);
        if other.script.edits.len() < best.script.edits.len() {
            best = other;
        }
    }
    best
}

/// Repeats without a partner that are tried one by one, at most: each takes a comparison.
const MOST_ONE_BY_ONE: usize = 4;

/// The shortest of the differences between networks whose repeats are folded or not.
fn of_reading(outliner: &mut Outliner, old: &Tree, new: &Tree, as_written: bool) -> Diff {
    let mut compare = |of_old: Folding, of_new: Folding| {
        let [old, new] = [(old, of_old), (new, of_new)].map(|(tree, folding)| {
            let reading = Reading {
                folding,
                as_written,
            };
            outliner.outline(tree, &reading)
        });
        let script = shortest(&old, &new);
        Diff { old, new, script }
    };
    let mut best = compare(Folding::Folded, Folding::Folded);
    let repeats = |outline: &Outline| {
        let is_repeat = |item: &Item| matches!(item, Item::Open(Bracket::Repeat(_)));
        outline.items.iter().any(is_repeat)
    };
    if best.script.edits.len() < 2 || !(repeats(&best.old) || repeats(&best.new)) {
        return best;
    }
    let alone = |outline: &Outline, partners: &[Option<usize>]| {
        let items = outline.items.iter().enumerate();
        let alone = items.filter(|(at, item)| {
            matches!(item, Item::Open(Bracket::Repeat(_))) && partners[*at].is_none()
        });
        alone
            .map(|(at, _)| outline.spans[at])
            .collect::<HashSet<_>>()
    };
    let pairs = &best.script.pairs;
    let (of_old, of_new) = (
        alone(&best.old, &pairs.new_of_old),
        alone(&best.new, &pairs.old_of_new),
    );
    let (each_old, each_new) = (one_by_one(&of_old), one_by_one(&of_new));
    let candidates = [
        (outermost(&of_old), outermost(&of_new)),
        (outermost(&of_old), Folding::Folded),
        (Folding::Folded, outermost(&of_new)),
        (Folding::Some(of_old), Folding::Some(of_new)),
        (Folding::Unfolded, Folding::Unfolded),
    ];
    // Of several, one may be written out on the other side while another has changed.
    let only = |span| Folding::Some(HashSet::from([span]));
    let of_old = each_old
        .into_iter()
        .map(|span| (only(span), Folding::Folded));
    let of_new = each_new
        .into_iter()
        .map(|span| (Folding::Folded, only(span)));
    let candidates = candidates.into_iter().chain(of_old).chain(of_new);
    let is_folded = |folding: &Folding| match folding {
        Folding::Folded => true,
        Folding::Unfolded => false,
        Folding::Some(spans) => spans.is_empty(),
    };
    for (of_old, of_new) in candidates {
        if is_folded(&of_old) && is_folded(&of_new) {
            continue;
        }
        let other = compare(of_old, of_new);
        if other.script.edits.len() < best.script.edits.len() {
            best = other;
        }
    }
    best
}

/// Brackets to be looked at one by one, where that is another look than at all of them and there are few.
fn one_by_one(spans: &HashSet<Span>) -> Vec<Span> {
    let mut spans: Vec<Span> = spans.iter().copied().collect();
    if !(2..=MOST_ONE_BY_ONE).contains(&spans.len()) {
        spans.clear();
    }
    spans.sort_by_key(|span| span.start);
    spans
}

/// Of some brackets those that stand in no other of them.
fn outermost(spans: &HashSet<Span>) -> Folding {
    let within = |span: &Span, other: &Span| {
        other != span && other.start <= span.start && span.end <= other.end
    };
    let outermost = spans
        .iter()
        .filter(|span| !spans.iter().any(|other| within(span, other)));
    Folding::Some(outermost.copied().collect())
}

/// The shortest script that is found between two outlines.
fn shortest(old: &Outline, new: &Outline) -> Script {
    let script = |blocks| Script::of(old, new, search(old, new, blocks));
    let mut best = script(Blocks::Layers);
    // Only where something comes, goes or moves can a block do so instead.
    let is_elsewhere = |edit: &Edit| {
        matches!(
            edit,
            Edit::Added { .. } | Edit::Removed { .. } | Edit::Moved { .. }
        )
    };
    let brackets = |outline: &Outline| outline.items.iter().any(|item| item.layer().is_none());
    if best.edits.len() > 1
        && (brackets(old) || brackets(new))
        && best.edits.iter().any(is_elsewhere)
    {
        for blocks in [Blocks::CheapAdded, Blocks::CheapRemoved, Blocks::Cheap] {
            let other = script(blocks);
            if other.edits.len() < best.edits.len()
                && !(blocks == Blocks::Cheap && has_another_block(old, new, &other))
            {
                best = other;
            }
        }
    }
    best
}

/// Whether one block stands in the place of another of its kind: that is rather the same block with other layers.
fn has_another_block(old: &Outline, new: &Outline, script: &Script) -> bool {
    // Blocks by the new item that they stand behind.
    let behind = |old_item: usize| {
        let before = script.pairs.new_of_old[..old_item].iter().rev();
        let stays = |new: &&Option<usize>| new.is_some_and(|new| !script.moved.contains(&new));
        before.into_iter().find(stays).copied().flatten()
    };
    let bracket = |item: &Item| match item {
        Item::Open(Bracket::Repeat(_)) => Some("repeat"),
        Item::Open(Bracket::Branch) => Some("branch"),
        Item::Open(_) => Some("join"),
        _ => None,
    };
    let gone: HashSet<_> = script
        .edits
        .iter()
        .filter_map(|edit| match edit {
            Edit::Removed { old: items } => {
                Some((bracket(&old.items[items[0]])?, behind(items[0])))
            }
            _ => None,
        })
        .collect();
    script.edits.iter().any(|edit| match edit {
        Edit::Added { new: items } => {
            let before = script.pairs.old_of_new[..items[0]].iter().enumerate().rev();
            let mut before = before.filter(|(at, old)| old.is_some() && !script.moved.contains(at));
            let place = before.next().map(|(at, _)| at);
            bracket(&new.items[items[0]]).is_some_and(|kind| gone.contains(&(kind, place)))
        }
        _ => false,
    })
}

impl Diff {
    /// Whether the networks are one.
    pub fn is_empty(&self) -> bool {
        self.script.edits.is_empty()
    }

    /// The nodes of both graphs that are the same layer, old and new. Of a repeat's copies those of one number; where a
    /// layer left a repeat, or came into one, they go by their order.
    pub fn nodes(&self) -> Vec<(usize, usize)> {
        let mut nodes = Vec::new();
        for (old, new) in self.script.pairs.new_of_old.iter().enumerate() {
            let Some(new) = *new else { continue };
            let (old, new) = (&self.old.instances[old], &self.new.instances[new]);
            let depth = |copies: &[outline::Instance]| copies.first().map(|one| one.copy.len());
            if depth(old) == depth(new) {
                let known: HashMap<&[u64], usize> =
                    new.iter().map(|one| (&*one.copy, one.node)).collect();
                let same = |one: &outline::Instance| Some((one.node, *known.get(&*one.copy)?));
                nodes.extend(old.iter().filter_map(same));
            } else {
                let both = old.iter().zip(new);
                nodes.extend(both.map(|(old, new)| (old.node, new.node)));
            }
        }
        nodes
    }
}
