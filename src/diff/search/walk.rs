//! What may be done at a place, and going on from there.

use std::rc::Rc;

use super::state::{Choice, State, balance};
use super::{Pairs, Search, WAITING};
use crate::diff::changes;
use crate::diff::outline::{Bracket, Item};

impl Search<'_> {
    /// Goes on as far as both sides say the same, and through brackets that are not paired. `pair` gets what is paired.
    pub(super) fn slide(&mut self, state: &mut State, pair: &mut dyn FnMut(u32, u32, &Self)) {
        loop {
            let (old, new) = (self.old.at(state.old), self.new.at(state.new));
            let is_end = |item: Option<&Item>| matches!(item, Some(Item::Close(_)));
            let is_branch = |item: Option<&Item>| matches!(item, Some(Item::Open(Bracket::Branch)));
            let old_paired = self.stacks.paired(state.old_open);
            let new_paired = self.stacks.paired(state.new_open);
            if is_end(old) && !old_paired {
                state.old_open = self.stacks.pop(state.old_open);
                state.old += 1;
            } else if is_end(new) && !new_paired {
                state.new_open = self.stacks.pop(state.new_open);
                state.new += 1;
            } else if is_branch(old) && !old_paired {
                state.old_open = self.stacks.push(state.old_open, false);
                state.old += 1;
            } else if is_branch(new) && !new_paired {
                state.new_open = self.stacks.push(state.new_open, false);
                state.new += 1;
            } else if is_end(old) && is_end(new) {
                pair(state.old, state.new, self);
                state.old_open = self.stacks.pop(state.old_open);
                state.new_open = self.stacks.pop(state.new_open);
                state.old += 1;
                state.new += 1;
            } else if old.is_some()
                && new.is_some()
                && !is_end(old)
                && !is_end(new)
                && self.old.whole[state.old as usize] == self.new.whole[state.new as usize]
            {
                let end = self.old.end(state.old);
                for inside in 0..=end - state.old {
                    pair(state.old + inside, state.new + inside, self);
                }
                state.new = self.new.end(state.new) + 1;
                state.old = end + 1;
            } else {
                return;
            }
        }
    }

    /// What may be done where both sides go on differently.
    pub(super) fn expand(&mut self, state: &State, next: &mut Vec<State>) {
        let (old, new) = (self.old.at(state.old), self.new.at(state.new));
        if matches!(old, Some(Item::Layer(_) | Item::Open(_))) {
            self.one_sided(state, 1, next);
        }
        if matches!(new, Some(Item::Layer(_) | Item::Open(_))) {
            self.one_sided(state, -1, next);
        }
        let (Some(old), Some(new)) = (old, new) else {
            return;
        };
        let cost = match (old, new) {
            (Item::Layer(_), Item::Layer(_)) => self.difference(state.old, state.new),
            (Item::Open(Bracket::Branch), Item::Open(Bracket::Branch)) => Some((0, 0)),
            (Item::Open(Bracket::Repeat(a)), Item::Open(Bracket::Repeat(b))) => {
                Some((u32::from(a != b), 0))
            }
            (
                Item::Open(a @ (Bracket::Add | Bracket::Concat)),
                Item::Open(b @ (Bracket::Add | Bracket::Concat)),
            ) => Some((u32::from(a != b), 0)),
            _ => None,
        };
        if let Some((edits, unlike)) = cost {
            let mut state = self.chosen(state, Choice::Pair, edits, unlike);
            self.follow(&mut state, Choice::Pair, &mut |_, _, _| {});
            next.push(state);
        }
    }

    /// An item of one side alone: the old one goes (`sign` 1), or the new one comes (-1).
    fn one_sided(&mut self, state: &State, sign: i32, next: &mut Vec<State>) {
        let (side, at, whole_choice, frame_choice) = if sign > 0 {
            (&self.old, state.old, Choice::Remove, Choice::Unwrap)
        } else {
            (&self.new, state.new, Choice::Add, Choice::Wrap)
        };
        let (whole, cost) = (side.whole[at as usize], side.cost(at));
        let is_frame =
            matches!(side.at(at), Some(Item::Open(bracket)) if *bracket != Bracket::Branch);
        for (edits, owes) in self.ways(state, whole, cost, sign) {
            let mut state = self.chosen(state, whole_choice, edits, 2 * cost);
            self.note(&mut state, whole, cost, sign, owes);
            self.follow(&mut state, whole_choice, &mut |_, _, _| {});
            next.push(state);
        }
        if is_frame {
            let mut state = self.chosen(state, frame_choice, 1, 3);
            self.follow(&mut state, frame_choice, &mut |_, _, _| {});
            next.push(state);
        }
    }

    /// Goes on behind a choice. `pair` gets what is paired.
    fn follow(&mut self, state: &mut State, choice: Choice, pair: &mut dyn FnMut(u32, u32, &Self)) {
        match choice {
            Choice::Remove => state.old = self.old.end(state.old) + 1,
            Choice::Add => state.new = self.new.end(state.new) + 1,
            Choice::Unwrap => {
                state.old_open = self.stacks.push(state.old_open, false);
                state.old += 1;
            }
            Choice::Wrap => {
                state.new_open = self.stacks.push(state.new_open, false);
                state.new += 1;
            }
            Choice::Pair => {
                pair(state.old, state.new, self);
                if matches!(self.old.at(state.old), Some(Item::Open(_))) {
                    state.old_open = self.stacks.push(state.old_open, true);
                    state.new_open = self.stacks.push(state.new_open, true);
                }
                state.old += 1;
                state.new += 1;
            }
        }
        self.slide(state, pair);
    }

    /// What it may cost that an item goes (`sign` 1) or comes (-1), and whether its other half is then owed. What costs one
    /// edit alone is never owed: a half that does not follow is an edit all the same.
    fn ways(
        &self,
        state: &State,
        whole: u32,
        cost: u32,
        sign: i32,
    ) -> impl Iterator<Item = (u32, bool)> + use<> {
        let waits = balance(&state.waiting, whole) * sign < 0;
        let there = if sign > 0 { &self.in_new } else { &self.in_old };
        let may_owe = cost > 1 && !waits && self.exact && there.contains_key(&whole);
        let plain = (!waits).then_some((cost, false));
        let settled = waits.then_some((0, false));
        let moved = may_owe.then_some((1, true));
        [settled, plain, moved].into_iter().flatten()
    }

    /// Remembers that an item went (`sign` 1) or came (-1).
    fn note(&self, state: &mut State, whole: u32, cost: u32, sign: i32, owes: bool) {
        let there = if sign > 0 { &self.in_new } else { &self.in_old };
        let before = balance(&state.waiting, whole);
        let settles = before * sign < 0;
        let may_settle = cost == 1 && there.contains_key(&whole);
        if !(settles || owes || may_settle) {
            return;
        }
        let slot = state
            .waiting
            .binary_search_by_key(&whole, |(item, _)| *item);
        let waiting = Rc::make_mut(&mut state.waiting);
        match slot {
            Ok(at) if before + sign == 0 => {
                waiting.remove(at);
            }
            Ok(at) => waiting[at].1 += sign,
            Err(_) if waiting.len() >= WAITING && !owes => {}
            Err(at) => waiting.insert(at, (whole, sign)),
        }
        if owes {
            state.owed += 1;
        } else if settles && cost > 1 {
            state.owed -= 1;
        }
    }

    /// The state after a choice, still at its place.
    fn chosen(&mut self, state: &State, choice: Choice, edits: u32, unlike: u32) -> State {
        self.choices.push((state.last, choice));
        State {
            edits: state.edits + edits,
            unlike: state.unlike + unlike,
            last: self.choices.len() as u32,
            ..state.clone()
        }
    }

    /// The edits that make one layer another, and how unlike they are; `None` where they are not one.
    fn difference(&mut self, old: u32, new: u32) -> Option<(u32, u32)> {
        let pair = (self.old.whole[old as usize], self.new.whole[new as usize]);
        if let Some(known) = self.differences.get(&pair) {
            return *known;
        }
        let layers = self.old.at(old).and_then(Item::layer);
        let (old, new) = layers.zip(self.new.at(new).and_then(Item::layer))?;
        let renamed = old.label != new.label;
        let difference = if old.written.kind.letter == new.written.kind.letter {
            let changed = changes::between(&old.written, &new.written).len() as u32;
            // Two labels are two layers rather than one renamed, where they differ otherwise, too.
            let named = old.label.is_some() && new.label.is_some();
            let of_name = match (renamed, named) {
                (false, _) => 0,
                (true, true) => 4,
                (true, false) => 2,
            };
            let edits = u32::from(renamed) + u32::from(old.written != new.written);
            Some((edits, changed + of_name))
        } else {
            // A layer of another kind in the place, and under the name, of the old one.
            (!renamed).then_some((1, 16))
        };
        self.differences.insert(pair, difference);
        difference
    }

    /// The pairs of a script, from its last choice.
    pub(super) fn replay(&mut self, last: u32) -> Pairs {
        let mut choices = Vec::new();
        let mut at = last;
        while at > 0 {
            let (before, choice) = self.choices[at as usize - 1];
            choices.push(choice);
            at = before;
        }
        let mut pairs = Pairs::new(self.old.len(), self.new.len());
        let mut state = State::default();
        let mut pair = |old: u32, new: u32, _: &Self| pairs.pair(old as usize, new as usize);
        self.slide(&mut state, &mut pair);
        for choice in choices.into_iter().rev() {
            self.follow(&mut state, choice, &mut pair);
        }
        pairs
    }
}
