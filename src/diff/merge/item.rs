//! What each item of a merged network is.

use super::{Element, Merging, Prefer, Side};
use crate::diff::changes;
use crate::diff::notes::Notes;
use crate::diff::outline::{Item, Layer};

impl Merging {
    pub(super) fn item(&mut self, element: Element) -> (Item, Notes) {
        let (side, at) = match element {
            Element::Ours(at) => (&self.ours, at),
            Element::Theirs(at) => (&self.theirs, at),
        };
        // A closing is what its opening is.
        if let Item::Close(_) = side.version.outline.items[at] {
            let open = side.version.outline.opening(at);
            let element = match element {
                Element::Ours(_) => Element::Ours(open),
                Element::Theirs(_) => Element::Theirs(open),
            };
            let notes = self.notes(side.was(at), element, at);
            let (opened, _) = self.item(element);
            let Item::Open(bracket) = opened else {
                unreachable!("internal error: a bracket that is none");
            };
            return (Item::Close(bracket), notes);
        }
        let Some(base) = side.was(at) else {
            return (
                side.version.outline.items[at].clone(),
                side.version.comments.items[at].clone(),
            );
        };
        let notes = self.notes(Some(base), element, at);
        let (Some(ours), Some(theirs)) = (self.ours.now(base), self.theirs.now(base)) else {
            return (side.version.outline.items[at].clone(), notes);
        };
        let items = [
            self.base.outline.items[base].clone(),
            self.ours.version.outline.items[ours].clone(),
            self.theirs.version.outline.items[theirs].clone(),
        ];
        let merged = match items {
            [Item::Layer(base), Item::Layer(ours), Item::Layer(theirs)] => {
                Item::Layer(self.layer(&base, &ours, &theirs))
            }
            [Item::Open(base), Item::Open(ours), Item::Open(theirs)] => {
                let words = || "a bracket: both sides changed it".into();
                Item::Open(self.three(&base, &ours, &theirs, words))
            }
            [_, ours, _] => ours,
        };
        (merged, notes)
    }

    /// The comments of an item; `at` is its own index where it is a closing.
    fn notes(&self, base: Option<usize>, element: Element, at: usize) -> Notes {
        let of = |side: &Side| {
            let now = base.and_then(|base| side.now(base));
            now.map(|now| side.version.comments.items[now].clone())
        };
        let Some(base) = base else {
            let side = match element {
                Element::Ours(_) => &self.ours,
                Element::Theirs(_) => &self.theirs,
            };
            return side.version.comments.items[at].clone();
        };
        let (ours, theirs) = (of(&self.ours), of(&self.theirs));
        Notes::merged(
            Some(&self.base.comments.items[base]),
            ours.as_ref(),
            theirs.as_ref(),
        )
    }

    fn layer(&mut self, base: &Layer, ours: &Layer, theirs: &Layer) -> Layer {
        let text = base.text();
        let label = self.three(&base.label, &ours.label, &theirs.label, || {
            format!("`{text}`: both sides changed its label")
        });
        let letter = |layer: &Layer| layer.written.kind.letter;
        if letter(ours) != letter(base) || letter(theirs) != letter(base) {
            // Of another kind: taken whole.
            let written = self.three(&base.written, &ours.written, &theirs.written, || {
                format!("`{text}`: both sides changed it, one to another kind")
            });
            return Layer { label, written };
        }
        let of_ours = changes::between(&base.written, &ours.written);
        let of_theirs = changes::between(&base.written, &theirs.written);
        let mut written = (*base.written).clone();
        for change in &of_ours {
            let other = of_theirs.iter().find(|other| other.key == change.key);
            match other {
                Some(other) if other.new != change.new => {
                    self.conflict(format!("`{text}`: both sides changed its {}", change.key));
                    let preferred = if self.prefer == Prefer::Ours {
                        change
                    } else {
                        other
                    };
                    preferred.apply(&mut written);
                }
                _ => change.apply(&mut written),
            }
        }
        for change in &of_theirs {
            if !of_ours.iter().any(|other| other.key == change.key) {
                change.apply(&mut written);
            }
        }
        let written = written.into();
        Layer { label, written }
    }
}
