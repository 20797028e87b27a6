//! The shortest way from one outline to another.
//!
//! What is looked for is the fewest edits that make the new items of the old ones: a layer added, removed or moved, a
//! label or a layer changed, a bracket put around layers or taken away. The search goes through both outlines at once,
//! always on from the place that cost least so far (Dijkstra's order; among equals the one whose pairs are most alike):
//!
//! - Where both sides go on with the same, they are paired, at no cost. That is never worse than not to pair them: if an
//!   optimal script pairs one of the two with another item, the pairs can be exchanged without an edit more.
//! - Otherwise the old item goes, or the new one comes, or the two are one that was changed, or a bracket opens on one
//!   side only, around layers that stay.
//! - What went and comes again elsewhere is one edit, a move: a layer that has gone comes at no cost, and the other way
//!   around. So a state is a place in both outlines, the brackets that are open, and what went or came so far.
//!
//! The number of states grows with the distance, not with the length; beyond [`EXACT`] of them (about ten edits close to
//! each other) a beam search takes over: of all ways with the same number of edits only those go on that came furthest.
//! It is no longer certain to find the shortest, only a short one.

mod side;
mod state;
mod walk;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::rc::Rc;

use super::outline::Outline;
use side::{Numbers, Side};
use state::{Choice, Stacks, State};

/// States that the exact search looks at before it gives up.
const EXACT: usize = 30_000;
/// Edits of single layers up to which the exact search is tried.
const NEAR: usize = 16;
/// Ways that the beam search follows at a time, and how many where the networks have little in common.
const BEAM: usize = 48;
const NARROW: usize = 8;
/// Edits from which on it has little in common.
const FAR: u32 = 400;
/// Ways to one place that the beam search follows.
const SAME_PLACE: usize = 3;
/// Kinds of items that went or came and are waited for, at most.
const WAITING: usize = 256;

/// What is the same item of both outlines, by index; in order: no two pairs cross.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Of each old item the new one.
    pub new_of_old: Vec<Option<usize>>,
    /// Of each new item the old one.
    pub old_of_new: Vec<Option<usize>>,
}

impl Pairs {
    fn new(old: usize, new: usize) -> Self {
        Self {
            new_of_old: vec![None; old],
            old_of_new: vec![None; new],
        }
    }

    /// Makes two items one.
    pub fn pair(&mut self, old: usize, new: usize) {
        self.new_of_old[old] = Some(new);
        self.old_of_new[new] = Some(old);
    }
}

struct Search<'a> {
    old: Side<'a>,
    new: Side<'a>,
    /// How often each whole item stands on each side.
    in_old: HashMap<u32, u32>,
    in_new: HashMap<u32, u32>,
    stacks: Stacks,
    /// Choices with the index of the one before.
    choices: Vec<(u32, Choice)>,
    /// What pairs of written layers differ in.
    differences: HashMap<(u32, u32), Option<(u32, u32)>>,
    /// Whether brackets may be owed.
    exact: bool,
}

/// What a bracket with everything in it costs where it comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// As much as the layers in it.
    Layers,
    /// One edit where it comes, its layers where it goes.
    CheapAdded,
    /// The other way around.
    CheapRemoved,
    /// One edit, both.
    Cheap,
}

/// Finds the pairs of a shortest script.
///
/// It is one edit that a whole bracket comes, and one that it goes. Where both are that cheap here, any two brackets are
/// two edits from each other, and three changed layers in a block may read as another block. So the caller tries each way,
/// and has to look at what [`Blocks::Cheap`] finds.
pub fn search(old: &Outline, new: &Outline, blocks: Blocks) -> Pairs {
    let mut numbers = Numbers::default();
    let mut old = Side::new(old, &mut numbers);
    let mut new = Side::new(new, &mut numbers);
    old.cheap = matches!(blocks, Blocks::CheapRemoved | Blocks::Cheap);
    new.cheap = matches!(blocks, Blocks::CheapAdded | Blocks::Cheap);
    let count = |side: &Side<'_>| {
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for number in &side.whole {
            *counts.entry(*number).or_default() += 1;
        }
        counts
    };
    let mut search = Search {
        in_old: count(&old),
        in_new: count(&new),
        old,
        new,
        stacks: Stacks::new(),
        choices: Vec::new(),
        differences: HashMap::new(),
        exact: true,
    };
    let near = search.layers_apart() <= 2 * NEAR;
    let shortest = if near { search.shortest() } else { None };
    let last = shortest.unwrap_or_else(|| {
        search.exact = false;
        search.choices.clear();
        search.beam()
    });
    search.replay(last)
}

impl Search<'_> {
    fn start(&mut self) -> State {
        let mut start = State::default();
        self.slide(&mut start, &mut |_, _, _| {});
        start
    }

    /// How many layers one side has more of than the other, over all that there are. An edit of one layer changes that by
    /// two at most.
    fn layers_apart(&self) -> usize {
        let mut counts: HashMap<u32, isize> = HashMap::new();
        for (side, sign) in [(&self.old, 1), (&self.new, -1)] {
            for (item, whole) in side.outline.items.iter().zip(&side.whole) {
                if item.layer().is_some() {
                    *counts.entry(*whole).or_default() += sign;
                }
            }
        }
        counts.values().map(|count| count.unsigned_abs()).sum()
    }

    fn is_done(&self, state: &State) -> bool {
        state.old as usize == self.old.len() && state.new as usize == self.new.len()
    }

    /// The last choice of a shortest script; `None` where there are too many states.
    fn shortest(&mut self) -> Option<u32> {
        let mut states = vec![self.start()];
        let key = |state: &State, at: usize| {
            let left = u32::MAX - state.old - state.new;
            Reverse((state.edits, state.unlike, left, at))
        };
        let mut open = BinaryHeap::from([key(&states[0], 0)]);
        let mut seen = HashSet::new();
        let mut next = Vec::new();
        while let Some(Reverse((.., at))) = open.pop() {
            let state = states[at].clone();
            let place = (state.old, state.new, state.old_open, state.new_open);
            if !seen.insert((place, Rc::clone(&state.waiting))) {
                continue;
            }
            if self.is_done(&state) {
                if state.owed == 0 {
                    return Some(state.last);
                }
                continue;
            }
            if seen.len() > EXACT {
                return None;
            }
            self.expand(&state, &mut next);
            for state in next.drain(..) {
                open.push(key(&state, states.len()));
                states.push(state);
            }
        }
        None
    }

    /// The last choice of a short script.
    fn beam(&mut self) -> u32 {
        let mut levels: Vec<Vec<State>> = vec![vec![self.start()]];
        let mut edits = 0;
        loop {
            let mut best: Option<State> = None;
            let mut seen = HashSet::new();
            let mut at_place: HashMap<(u32, u32), usize> = HashMap::new();
            let key = |state: &State, at: usize| (state.old + state.new, Reverse(state.unlike), at);
            let mut level = std::mem::take(&mut levels[edits]);
            let order = level.iter().enumerate().map(|(at, state)| key(state, at));
            let mut open: BinaryHeap<_> = order.collect();
            let (mut followed, mut next) = (0, Vec::new());
            let width = if edits as u32 > FAR { NARROW } else { BEAM };
            while let Some((.., at)) = open.pop()
                && followed < width
            {
                let state = level[at].clone();
                if self.is_done(&state) {
                    if best.as_ref().is_none_or(|best| state.unlike < best.unlike) {
                        best = Some(state);
                    }
                    continue;
                }
                let there = at_place.entry((state.old, state.new)).or_default();
                *there += 1;
                let place = (state.old, state.new, state.old_open, state.new_open);
                if *there > SAME_PLACE || !seen.insert((place, Rc::clone(&state.waiting))) {
                    continue;
                }
                followed += 1;
                self.expand(&state, &mut next);
                for state in next.drain(..) {
                    let of = state.edits as usize;
                    if of == edits {
                        open.push(key(&state, level.len()));
                        level.push(state);
                        continue;
                    }
                    if of >= levels.len() {
                        levels.resize_with(of + 1, Vec::new);
                    }
                    levels[of].push(state);
                }
            }
            if let Some(best) = best {
                return best.last;
            }
            edits += 1;
        }
    }
}
