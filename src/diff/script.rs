//! The edits that make a new outline of an old one, and making them.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::changes::{self, Change};
use super::outline::{Bracket, Item, Outline};
use super::search::Pairs;
use crate::op::shape::Shape;

/// One edit. Items are named by their index in the old or the new outline.
///
/// Items that no edit adds, removes or moves keep their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// The `input` statement says another shape, comes or goes.
    Input {
        /// What it said.
        old: Option<Shape>,
        /// What it says.
        new: Option<Shape>,
    },
    /// A layer, or a bracket with everything in it, or a bracket around what was there.
    Added {
        /// The new items.
        new: Vec<usize>,
    },
    /// Likewise; what was in a bracket that is removed alone stays.
    Removed {
        /// The old items.
        old: Vec<usize>,
    },
    /// A layer, or a bracket with everything in it, stands elsewhere.
    Moved {
        /// The old items.
        old: Vec<usize>,
        /// The new ones, as many.
        new: Vec<usize>,
    },
    /// A layer's label is another, comes or goes.
    Renamed {
        /// The old item.
        old: usize,
        /// The new one.
        new: usize,
    },
    /// Attributes of a layer, or the count of a repeat.
    Changed {
        /// The old item.
        old: usize,
        /// The new one.
        new: usize,
        /// The attributes that differ; none for a repeat.
        changes: Vec<Change>,
    },
    /// A layer of another kind, or another join, stands in its place.
    Replaced {
        /// The old item.
        old: usize,
        /// The new one.
        new: usize,
    },
}

/// All edits between two outlines, in the order of the new one; what is removed stands where it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// The edits.
    pub edits: Vec<Edit>,
    /// Which items are the same.
    pub pairs: Pairs,
    /// Of which pairs the two stand in another order: the new items.
    pub moved: HashSet<usize>,
}

impl Script {
    /// The script of pairs that do not cross. What went and came elsewhere becomes a move.
    pub fn of(old: &Outline, new: &Outline, mut pairs: Pairs) -> Self {
        let moves = moves(old, new, &mut pairs);
        let moved: HashSet<usize> = moves.iter().flat_map(|(_, new)| new.clone()).collect();
        let mut edits = Vec::new();
        if old.input != new.input {
            edits.push((
                0,
                0,
                Edit::Input {
                    old: old.input,
                    new: new.input,
                },
            ));
        }
        // Removed items stand before the new item that follows the last one that stayed in place.
        let mut after = vec![0; old.items.len()];
        let mut place = 0;
        for (item, new) in pairs.new_of_old.iter().enumerate() {
            match new {
                Some(new) if !moved.contains(new) => place = new + 1,
                _ => {}
            }
            after[item] = place;
        }
        for items in groups(old, &pairs.new_of_old) {
            edits.push((after[items[0]], 0, Edit::Removed { old: items }));
        }
        for items in groups(new, &pairs.old_of_new) {
            edits.push((items[0], 1, Edit::Added { new: items }));
        }
        for (from, to) in moves {
            edits.push((to[0], 1, Edit::Moved { old: from, new: to }));
        }
        for (item, was) in pairs.old_of_new.iter().enumerate() {
            let Some(was) = *was else { continue };
            for edit in within(old, new, was, item) {
                edits.push((item, 2, edit));
            }
        }
        edits.sort_by_key(|(at, order, _)| (*at, *order));
        Self {
            edits: edits.into_iter().map(|(.., edit)| edit).collect(),
            pairs,
            moved,
        }
    }

    /// Makes the edits in the old outline: the input statement and the items that come of it. Of the new outline only
    /// what the edits name is used.
    pub fn apply(&self, old: &Outline, new: &Outline) -> (Option<Shape>, Vec<Item>) {
        let mut items: Vec<Option<Item>> = old.items.iter().cloned().map(Some).collect();
        let mut input = old.input;
        // Where items come to stand that are not in the old order.
        let mut placed: BTreeMap<usize, Item> = BTreeMap::new();
        let mut changed: HashMap<usize, Vec<&Edit>> = HashMap::new();
        for edit in &self.edits {
            match edit {
                Edit::Renamed { old, .. }
                | Edit::Changed { old, .. }
                | Edit::Replaced { old, .. } => changed.entry(*old).or_default().push(edit),
                Edit::Input { new, .. } => input = *new,
                _ => {}
            }
        }
        for (at, edits) in changed {
            for edit in edits {
                items[at] = items[at].take().map(|item| edit.change(item, new));
            }
            // What closes a bracket is of its kind.
            if let Some(Item::Open(bracket)) = items[at] {
                items[old.ends[at]] = Some(Item::Close(bracket));
            }
        }
        for edit in &self.edits {
            match edit {
                Edit::Removed { old } => old.iter().for_each(|&at| items[at] = None),
                Edit::Added { new: at } => {
                    placed.extend(at.iter().map(|&at| (at, new.items[at].clone())));
                }
                Edit::Moved { old, new } => {
                    for (&from, &to) in old.iter().zip(new) {
                        let item = items[from].take();
                        placed.insert(to, item.expect("internal error: an item moved twice"));
                    }
                }
                _ => {}
            }
        }
        let kept: Vec<Item> = items.into_iter().flatten().collect();
        let count = kept.len() + placed.len();
        let mut kept = kept.into_iter();
        let made = (0..count).filter_map(|at| placed.remove(&at).or_else(|| kept.next()));
        (input, made.collect())
    }
}

impl Edit {
    /// The old item after this edit.
    fn change(&self, item: Item, outline: &Outline) -> Item {
        match (self, item) {
            (Self::Renamed { new, .. }, Item::Layer(mut layer)) => {
                layer.label = outline.items[*new].layer().and_then(|l| l.label.clone());
                Item::Layer(layer)
            }
            (Self::Changed { changes, .. }, Item::Layer(mut layer)) => {
                let mut written = (*layer.written).clone();
                changes.iter().for_each(|change| change.apply(&mut written));
                layer.written = written.into();
                Item::Layer(layer)
            }
            (Self::Changed { new, .. } | Self::Replaced { new, .. }, _) => {
                outline.items[*new].clone()
            }
            (_, item) => item,
        }
    }
}

/// Pairs what went with what came elsewhere, and lists the moves.
fn moves(old: &Outline, new: &Outline, pairs: &mut Pairs) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut moves = Vec::new();
    // Whole brackets first, the outermost; then layers that are the same; then layers of one label.
    let gone = groups(old, &pairs.new_of_old);
    let come = groups(new, &pairs.old_of_new);
    let text = |outline: &Outline, items: &[usize]| {
        let is_whole = items.len() == outline.whole(items[0]).len();
        is_whole.then(|| whole_text(outline, items[0]))
    };
    let mut waiting: HashMap<String, Vec<&Vec<usize>>> = HashMap::new();
    for items in come.iter().rev() {
        if let Some(text) = text(new, items) {
            waiting.entry(text).or_default().push(items);
        }
    }
    let mut unmoved = Vec::new();
    for items in &gone {
        let found = text(old, items).and_then(|text| waiting.get_mut(&text)?.pop());
        match found {
            Some(to) => moves.push((items.clone(), to.clone())),
            None => unmoved.push(items),
        }
    }
    let labelled = |outline: &Outline, item: usize| {
        let layer = outline.items[item].layer()?;
        Some((layer.label.clone()?, layer.written.kind.letter))
    };
    let left: HashMap<_, _> = waiting
        .values()
        .flatten()
        .filter(|items| items.len() == 1)
        .filter_map(|items| Some((labelled(new, items[0])?, items[0])))
        .collect();
    for items in unmoved.into_iter().filter(|items| items.len() == 1) {
        let found = labelled(old, items[0]).and_then(|label| left.get(&label));
        if let Some(to) = found {
            moves.push((items.clone(), vec![*to]));
        }
    }
    for (from, to) in &moves {
        for (&from, &to) in from.iter().zip(to) {
            pairs.pair(from, to);
        }
    }
    moves
}

/// A whole item as text that is the same where the item is.
fn whole_text(outline: &Outline, item: usize) -> String {
    let items = outline.items[outline.whole(item)].iter();
    items.map(Item::identity).collect::<Vec<_>>().join(";")
}

/// Items without a partner, an edit each: layers, whole brackets, brackets whose contents have partners.
fn groups(outline: &Outline, partners: &[Option<usize>]) -> Vec<Vec<usize>> {
    let mut groups = Vec::new();
    let mut seen = vec![false; outline.items.len()];
    let mut at = 0;
    while at < outline.items.len() {
        let item = &outline.items[at];
        if partners[at].is_some() || seen[at] || matches!(item, Item::Close(_)) {
            at += 1;
            continue;
        }
        let whole = outline.whole(at);
        if partners[whole.clone()].iter().all(Option::is_none)
            && !seen[whole.clone()].contains(&true)
        {
            groups.push(whole.clone().collect());
            at = whole.end;
        } else if matches!(item, Item::Open(Bracket::Branch)) {
            // A branch of a join that goes alone: part of that join's frame.
            at += 1;
        } else {
            let frame = outline.frame(at);
            for &part in &frame {
                seen[part] = true;
            }
            groups.push(frame);
            at += 1;
        }
    }
    groups
}

/// What differs between two items that are one.
fn within(old: &Outline, new: &Outline, was: usize, is: usize) -> Vec<Edit> {
    let (old_item, new_item) = (&old.items[was], &new.items[is]);
    let replaced = Edit::Replaced { old: was, new: is };
    match (old_item, new_item) {
        (Item::Layer(a), Item::Layer(b)) => {
            if a.written.kind.letter != b.written.kind.letter {
                return vec![replaced];
            }
            let renamed = (a.label != b.label).then_some(Edit::Renamed { old: was, new: is });
            let changes = changes::between(&a.written, &b.written);
            let changed = (!changes.is_empty()).then_some(Edit::Changed {
                old: was,
                new: is,
                changes,
            });
            [renamed, changed].into_iter().flatten().collect()
        }
        (Item::Open(Bracket::Repeat(a)), Item::Open(Bracket::Repeat(b))) if a != b => {
            vec![Edit::Changed {
                old: was,
                new: is,
                changes: Vec::new(),
            }]
        }
        (Item::Open(a), Item::Open(b)) if a != b => vec![replaced],
        _ => Vec::new(),
    }
}
