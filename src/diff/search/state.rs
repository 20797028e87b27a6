//! Where the search stands: a place in both outlines, the brackets that are open, what went or came so far.

use std::collections::HashMap;
use std::rc::Rc;

/// What was decided at a place where both sides go on differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The old item goes, with everything in it.
    Remove,
    /// The new item comes, with everything in it.
    Add,
    /// The old bracket goes, what is in it may stay.
    Unwrap,
    /// The new bracket comes around what may have been there.
    Wrap,
    /// Both are one; of brackets the openings.
    Pair,
}

/// The brackets that are open on one side, innermost last: whether each is paired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Stack(u32);

/// All stacks that there are, each once.
pub(super) struct Stacks {
    below: Vec<(Stack, bool)>,
    known: HashMap<(Stack, bool), Stack>,
}

impl Stacks {
    pub fn new() -> Self {
        Self {
            below: vec![(Stack::default(), true)],
            known: HashMap::new(),
        }
    }

    pub fn push(&mut self, stack: Stack, paired: bool) -> Stack {
        let next = Stack(self.below.len() as u32);
        let found = *self.known.entry((stack, paired)).or_insert(next);
        if found == next {
            self.below.push((stack, paired));
        }
        found
    }

    /// Whether the innermost bracket is paired.
    pub fn paired(&self, stack: Stack) -> bool {
        self.below[stack.0 as usize].1
    }

    pub fn pop(&self, stack: Stack) -> Stack {
        self.below[stack.0 as usize].0
    }
}

/// How many more of each item went than came; sorted by item.
pub(super) type Waiting = Rc<Vec<(u32, i32)>>;

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub old: u32,
    pub new: u32,
    pub old_open: Stack,
    pub new_open: Stack,
    pub waiting: Waiting,
    /// Brackets that went or came as moved and have yet to come or go.
    pub owed: u32,
    pub edits: u32,
    /// How unlike the pairs are.
    pub unlike: u32,
    /// The choice that led here, and the one before: an index into the search's choices, from 1.
    pub last: u32,
}

/// How many more of an item went than came.
pub(super) fn balance(waiting: &Waiting, whole: u32) -> i32 {
    let at = waiting.binary_search_by_key(&whole, |(item, _)| *item);
    at.map_or(0, |at| waiting[at].1)
}
