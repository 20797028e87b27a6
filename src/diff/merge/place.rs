//! Where each item of a merged network stands.

use std::collections::{HashMap, HashSet};

use super::{Element, Merging, Prefer, Side};
use crate::diff::outline::Item;

impl Merging {
    pub(super) fn order(&mut self) -> Vec<Element> {
        let count = self.base.outline.items.len();
        let stays: Vec<bool> = (0..count).map(|item| self.stays(item)).collect();
        self.slide_apart();
        for item in 0..count {
            self.moved_twice(item);
        }
        let mut dropped = self.same_gaps();
        self.torn_parents(&stays);
        let mut order: Vec<Element> = Vec::new();
        for at in 0..self.ours.version.outline.items.len() {
            let goes = match self.ours.was(at) {
                Some(item) => !stays[item] || self.is_placed_by_theirs(item),
                None => dropped.remove(&Element::Ours(at)),
            };
            if !goes {
                order.push(Element::Ours(at));
            }
        }
        for at in 0..self.theirs.version.outline.items.len() {
            let comes = match self.theirs.was(at) {
                Some(item) => stays[item] && self.is_placed_by_theirs(item),
                None => !dropped.contains(&Element::Theirs(at)),
            };
            if !comes {
                continue;
            }
            // Behind the nearest item before it that is there.
            let element = |item: usize| match self.theirs.was(item) {
                Some(base) if !self.is_placed_by_theirs(base) => {
                    self.ours.now(base).map(Element::Ours)
                }
                _ => Some(Element::Theirs(item)),
            };
            let before = (0..at).rev().find_map(|item| {
                let element = element(item)?;
                order.iter().position(|placed| *placed == element)
            });
            order.insert(before.map_or(0, |before| before + 1), Element::Theirs(at));
        }
        order
    }

    /// Whether both sides have an ancestor's item where it was.
    fn is_common(&self, item: usize) -> bool {
        [&self.ours, &self.theirs]
            .iter()
            .all(|side| side.now(item).is_some() && !side.has_moved(item))
    }

    /// Whether an ancestor's item stands where they have it.
    fn is_placed_by_theirs(&self, item: usize) -> bool {
        let (ours, theirs) = (self.ours.has_moved(item), self.theirs.has_moved(item));
        self.ours.now(item).is_none() || theirs && (!ours || self.prefer == Prefer::Theirs)
    }

    /// What stands behind each common item, up to the next one: items that came or moved there.
    fn gaps(&self, side: &Side) -> HashMap<Option<usize>, Vec<usize>> {
        let mut gaps: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        let mut behind = None;
        for at in 0..side.version.outline.items.len() {
            match side.was(at) {
                Some(item) if self.is_common(item) => behind = Some(item),
                Some(item) if !side.has_moved(item) => {}
                _ => gaps.entry(behind).or_default().push(at),
            }
        }
        gaps
    }

    /// A conflict where both sides moved an item, to different places.
    fn moved_twice(&mut self, item: usize) {
        if !self.ours.has_moved(item) || !self.theirs.has_moved(item) {
            return;
        }
        let behind = |side: &Side| {
            let at = side.now(item)?;
            (0..at).rev().find_map(|before| side.was(before))
        };
        if behind(&self.ours) != behind(&self.theirs) {
            let text = self.base.outline.items[item].text();
            self.conflict(format!("`{text}`: both sides moved it"));
        }
    }

    /// What is left out of gaps that both sides put something into: all of one side's, and of what both put there alike
    /// one.
    fn same_gaps(&mut self) -> HashSet<Element> {
        let (in_ours, in_theirs) = (self.gaps(&self.ours), self.gaps(&self.theirs));
        let mut dropped = HashSet::new();
        let mut places: Vec<_> = in_ours
            .keys()
            .filter(|gap| in_theirs.contains_key(gap))
            .copied()
            .collect();
        places.sort_unstable();
        for gap in places {
            let (ours, theirs) = (&in_ours[&gap], &in_theirs[&gap]);
            let (of_ours, of_theirs) = (self.ours.words(ours), self.theirs.words(theirs));
            let is_same = of_ours == of_theirs;
            if !is_same {
                let place = gap.map_or_else(
                    || "at the start".into(),
                    |item| match self.base.outline.items[item].text() {
                        text if text.is_empty() => "at a branch's end".into(),
                        text => format!("after `{text}`"),
                    },
                );
                self.conflict(format!(
                    "{place}: one side has `{of_ours}`, the other `{of_theirs}`"
                ));
            }
            let drops_theirs = is_same || self.prefer == Prefer::Ours;
            let (side, items) = if drops_theirs {
                (&self.theirs, theirs)
            } else {
                (&self.ours, ours)
            };
            for &at in items {
                let element = |at| {
                    if drops_theirs {
                        Element::Theirs(at)
                    } else {
                        Element::Ours(at)
                    }
                };
                dropped.insert(element(at));
                // A bracket goes with all that is of it.
                let outline = &side.version.outline;
                if outline.items[at].layer().is_none() {
                    let frame = outline.frame(outline.opening(at)).into_iter();
                    let came = frame.filter(|&part| side.was(part).is_none());
                    dropped.extend(came.map(element));
                }
            }
        }
        dropped
    }

    /// Gaps that both sides put something into, each something else.
    fn clashes(&self) -> Vec<Option<usize>> {
        let (ours, theirs) = (self.gaps(&self.ours), self.gaps(&self.theirs));
        let differs = |gap: &&Option<usize>| {
            let of_theirs = theirs.get(*gap);
            of_theirs.is_some_and(|items| self.theirs.words(items) != self.ours.words(&ours[*gap]))
        };
        let mut clashes: Vec<_> = ours.keys().filter(differs).copied().collect();
        clashes.sort_unstable();
        clashes
    }

    /// Where a layer came beside its like, nobody can tell which of the two is the new one. It is the one that makes no
    /// conflict.
    fn slide_apart(&mut self) {
        for gap in self.clashes() {
            'ways: for of_ours in [true, false] {
                for forward in [true, false] {
                    let before = self.clashes().len();
                    let pairs = self.side(of_ours).script.pairs.clone();
                    while self.slide(of_ours, forward, gap) {
                        if self.clashes().len() < before {
                            break 'ways;
                        }
                    }
                    self.side(of_ours).script.pairs = pairs;
                }
            }
        }
    }

    fn side(&mut self, of_ours: bool) -> &mut Side {
        if of_ours {
            &mut self.ours
        } else {
            &mut self.theirs
        }
    }

    /// Slides the layers that came behind a common item by one, where that makes no difference.
    fn slide(&mut self, of_ours: bool, forward: bool, gap: Option<usize>) -> bool {
        let side = if of_ours { &self.ours } else { &self.theirs };
        // The layers that came in one piece: from behind the common item on, or further on after a slide.
        let start = gap.map_or(0, |item| side.now(item).map_or(0, |at| at + 1));
        let came = |at: &usize| {
            side.was(*at).is_none() && side.version.outline.items[*at].layer().is_some()
        };
        let count = side.version.outline.items.len();
        let near = start.saturating_sub(usize::from(!forward));
        let Some(first) = (if forward {
            (start..count).find(came)
        } else {
            (0..=near.min(count - 1))
                .rev()
                .find(came)
                .or_else(|| (start..count).find(came))
        }) else {
            return false;
        };
        let begin = (0..first).rev().take_while(came).last().unwrap_or(first);
        let end = (first..count).take_while(came).last().unwrap_or(first);
        let neighbour = if forward {
            end + 1
        } else {
            begin.wrapping_sub(1)
        };
        let Some(base) = (neighbour < count).then(|| side.was(neighbour)).flatten() else {
            return false;
        };
        let twin = if forward { begin } else { end };
        let text = |at: usize| side.version.outline.items[at].text();
        if !self.is_common(base)
            || text(neighbour) != text(twin)
            || side.version.outline.items[neighbour].layer().is_none()
        {
            return false;
        }
        let pairs = &mut self.side(of_ours).script.pairs;
        pairs.old_of_new[neighbour] = None;
        pairs.pair(base, twin);
        true
    }

    /// A conflict where one side put something into a bracket that the other took away.
    fn torn_parents(&mut self, stays: &[bool]) {
        let mut torn = None;
        for (side, other) in [(&self.ours, &self.theirs), (&self.theirs, &self.ours)] {
            for at in 0..side.version.outline.items.len() {
                let came = match side.was(at) {
                    None => !matches!(side.version.outline.items[at], Item::Close(_)),
                    Some(item) => side.has_moved(item),
                };
                let parent = side.version.parents[at].and_then(|parent| side.was(parent));
                if let Some(parent) =
                    parent.filter(|&parent| came && (!stays[parent] || other.now(parent).is_none()))
                {
                    torn = Some(self.base.outline.items[parent].text());
                }
            }
        }
        if let Some(text) = torn {
            self.is_torn = true;
            self.conflict(format!(
                "`{text}`: one side took it away, the other put something into it"
            ));
        }
    }
}

impl Side {
    /// Items as text.
    fn words(&self, items: &[usize]) -> String {
        let items = items
            .iter()
            .map(|&at| self.version.outline.items[at].text());
        items
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}
