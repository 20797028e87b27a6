//! Items as numbers, so that equal ones are found at once.

use std::collections::HashMap;

use crate::diff::outline::{Item, Outline};

/// One side: the items as numbers.
pub(super) struct Side<'a> {
    pub outline: &'a Outline,
    /// Equal where an item with everything in it is: a layer, or a whole bracket.
    pub whole: Vec<u32>,
    /// Layers in it.
    pub layers: Vec<u32>,
    /// Whether a whole bracket is one edit.
    pub cheap: bool,
}

/// Numbers for items: equal ones have one number, on both sides.
#[derive(Default)]
pub(super) struct Numbers(HashMap<String, u32>);

impl Numbers {
    pub fn of(&mut self, text: String) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(text).or_insert(next)
    }
}

impl<'a> Side<'a> {
    pub fn new(outline: &'a Outline, numbers: &mut Numbers) -> Self {
        let count = outline.items.len();
        let mut whole = vec![0; count];
        let mut layers = vec![0; count];
        // What is inside stands behind its opening, so from the end on everything inside is known.
        for at in (0..count).rev() {
            let item = &outline.items[at];
            let mut text = item.identity();
            layers[at] = u32::from(item.layer().is_some());
            let mut inside = at + 1;
            while inside < outline.ends[at] {
                text.push_str(&format!(" {}", whole[inside]));
                layers[at] += layers[inside];
                inside = outline.ends[inside] + 1;
            }
            whole[at] = numbers.of(text);
        }
        Self {
            outline,
            whole,
            layers,
            cheap: false,
        }
    }

    pub fn len(&self) -> usize {
        self.outline.items.len()
    }

    pub fn at(&self, at: u32) -> Option<&'a Item> {
        self.outline.items.get(at as usize)
    }

    pub fn end(&self, at: u32) -> u32 {
        self.outline.ends[at as usize] as u32
    }

    /// Edits that a whole item costs: its layers, a bracket without any is one.
    pub fn cost(&self, at: u32) -> u32 {
        if self.cheap {
            1
        } else {
            self.layers[at as usize].max(1)
        }
    }
}
