//! Edits and their consequences in words: what text and Markdown share.

use std::fmt::Display;

use crate::cli::{bytes, grouped};
use crate::diff::Diff;
use crate::diff::changes::{Change, Value};
use crate::diff::consequence::{Consequences, Fate, LayerChange, TensorChange};
use crate::diff::outline::{Bracket, Item, Outline};
use crate::diff::script::Edit;
use crate::ir::Graph;
use crate::ir::summary::Row;

use super::compared::Read;

/// What kind of edit it is: the sign before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Something came.
    Added,
    /// Something went.
    Removed,
    /// Something is elsewhere.
    Moved,
    /// Something is otherwise.
    Changed,
}

impl Sign {
    /// The sign.
    pub fn character(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Moved => '>',
            Self::Changed => '~',
        }
    }
}

/// An edit in words.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its kind.
    pub sign: Sign,
    /// The layer, by name.
    pub subject: String,
    /// What became of it.
    pub words: String,
}

/// Copies of a layer that are named one by one.
const COPIES: usize = 3;

/// One network with its names.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    outline: &'a Outline,
    graph: &'a Graph,
}

impl<'a> Named<'a> {
    /// The names of both sides.
    pub fn both(diff: &'a Diff, sides: &'a [Read; 2]) -> Option<[Self; 2]> {
        let [old, new] = sides;
        let of = |outline, side: &'a Read| {
            Some(Self {
                outline,
                graph: side.graph.as_ref()?,
            })
        };
        Some([of(&diff.old, old)?, of(&diff.new, new)?])
    }

    /// An item's name: the layer's, of copies the first few.
    pub fn name(&self, item: usize) -> String {
        let nodes = &self.outline.instances[item];
        let names: Vec<&str> = nodes
            .iter()
            .map(|one| &*self.graph.nodes[one.node].name)
            .collect();
        match (names.as_slice(), &self.outline.items[item]) {
            ([], Item::Open(Bracket::Branch)) => "branch".into(),
            ([], item) => format!("{}…]", item.text()),
            (names, _) if names.len() <= COPIES => names.join(", "),
            (names, _) => format!(
                "{}, … {}",
                names[..COPIES - 1].join(", "),
                names[names.len() - 1]
            ),
        }
    }

    /// Where an item stands: `after c2`.
    fn place(&self, item: usize) -> String {
        let Some(before) = item.checked_sub(1) else {
            return "at the start".into();
        };
        match &self.outline.items[before] {
            Item::Layer(_) => format!("after {}", self.name(before)),
            Item::Open(Bracket::Branch) => {
                let join = (0..before).rev().find(|&at| {
                    matches!(
                        self.outline.items[at],
                        Item::Open(Bracket::Add | Bracket::Concat)
                    ) && self.outline.ends[at] > before
                });
                format!(
                    "first in a branch of {}",
                    join.map_or_else(String::new, |at| self.name(at))
                )
            }
            Item::Open(_) => format!("first in {}", self.name(before)),
            Item::Close(Bracket::Branch) => {
                let inside = self.outline.opening(before)..before;
                let is_layer = |at: &usize| self.outline.items[*at].layer().is_some();
                match inside.rev().find(is_layer) {
                    Some(layer) => format!("beside {}", self.name(layer)),
                    None => "beside the identity".into(),
                }
            }
            Item::Close(_) => format!("after {}", self.name(self.outline.opening(before))),
        }
    }

    /// Items as text: a layer, a whole bracket, or a bracket without its contents.
    fn text(&self, items: &[usize]) -> String {
        let whole = self.outline.whole(items[0]);
        match &self.outline.items[items[0]] {
            item @ Item::Open(_) if whole.len() != items.len() => {
                format!("{}…] around what is there", item.text())
            }
            Item::Open(Bracket::Branch) => {
                let inside = &self.outline.items[whole.start + 1..whole.end - 1];
                match inside {
                    [] => "a branch that is the identity".into(),
                    inside => format!("branch {}", crate::diff::outline::text_of(inside)),
                }
            }
            _ => crate::diff::outline::text_of(&self.outline.items[whole]),
        }
    }
}

/// A change in words: `kernel 3 -> 5`.
fn change(change: &Change) -> String {
    let Change {
        key,
        old,
        new,
        default,
        ..
    } = change;
    let value = |value: &Value| match value {
        Value::Absent if default.is_empty() => "default".to_owned(),
        Value::Absent => (*default).to_owned(),
        Value::Flag => "yes".into(),
        Value::Text(text) => text.clone(),
    };
    match (old, new) {
        (Value::Absent, Value::Flag) => format!("now {key}"),
        (Value::Flag, Value::Absent) => format!("no longer {key}"),
        _ => format!("{key} {} -> {}", value(old), value(new)),
    }
}

/// The edits in words.
pub fn lines(diff: &Diff, sides: &[Read; 2]) -> Vec<Line> {
    let Some([old, new]) = Named::both(diff, sides) else {
        return Vec::new();
    };
    let line = |sign, subject: String, words: String| Line {
        sign,
        subject,
        words,
    };
    let was_is = |was: usize, is: usize| {
        let (was, is) = (old.name(was), new.name(is));
        if was == is {
            is
        } else {
            format!("{was} -> {is}")
        }
    };
    let one = |edit: &Edit| match edit {
        Edit::Input { old, new } => {
            let shape = |shape: &Option<_>| {
                shape.map_or_else(
                    || "not stated".into(),
                    |s: crate::op::shape::Shape| s.to_string(),
                )
            };
            line(
                Sign::Changed,
                "input".into(),
                format!("{} -> {}", shape(old), shape(new)),
            )
        }
        Edit::Added { new: items } => line(
            Sign::Added,
            new.name(items[0]),
            format!("{}, {}", new.text(items), new.place(items[0])),
        ),
        Edit::Removed { old: items } => line(
            Sign::Removed,
            old.name(items[0]),
            format!("{}, was {}", old.text(items), old.place(items[0])),
        ),
        Edit::Moved { old: from, new: to } => line(
            Sign::Moved,
            was_is(from[0], to[0]),
            format!(
                "{}, was {}, now {}",
                new.text(to),
                old.place(from[0]),
                new.place(to[0])
            ),
        ),
        Edit::Renamed { old: was, new: is } => line(Sign::Changed, was_is(*was, *is), {
            let label = |outline: &Outline, at: usize| {
                outline.items[at].layer().and_then(|l| l.label.clone())
            };
            match (label(&diff.old, *was), label(&diff.new, *is)) {
                (None, Some(label)) => format!("label `{label}` added"),
                (Some(label), None) => format!("label `{label}` removed"),
                (was, is) => format!(
                    "label `{}` -> `{}`",
                    was.unwrap_or_default(),
                    is.unwrap_or_default()
                ),
            }
        }),
        Edit::Changed {
            old: was,
            new: is,
            changes,
        } if changes.is_empty() => {
            let text = |outline: &Outline, at: usize| outline.items[at].text();
            line(
                Sign::Changed,
                "repeat".into(),
                format!("{}…] -> {}…]", text(&diff.old, *was), text(&diff.new, *is)),
            )
        }
        Edit::Changed {
            old: was,
            new: is,
            changes,
        } => {
            let changes: Vec<String> = changes.iter().map(change).collect();
            line(Sign::Changed, was_is(*was, *is), changes.join(", "))
        }
        Edit::Replaced { old: was, new: is } => {
            let text = |outline: &Outline, at: usize| match &outline.items[at] {
                Item::Layer(layer) => layer.written.text(),
                item => format!("{}…]", item.text()),
            };
            let words = format!(
                "replaced: {} -> {}",
                text(&diff.old, *was),
                text(&diff.new, *is)
            );
            line(Sign::Changed, was_is(*was, *is), words)
        }
    };
    diff.script.edits.iter().map(one).collect()
}

/// Two figures: one where they are the same.
fn figures<T: PartialEq + Display>(old: Option<T>, new: Option<T>, is_there: [bool; 2]) -> String {
    let text = |value: &Option<T>, there: bool| match value {
        _ if !there => String::new(),
        Some(value) => value.to_string(),
        None => "?".into(),
    };
    match is_there {
        [true, true] if old == new => text(&new, true),
        [true, true] => format!("{} -> {}", text(&old, true), text(&new, true)),
        [there, here] => format!("{}{}", text(&old, there), text(&new, here)),
    }
}

/// The columns of the consequences' table.
pub const COLUMNS: [&str; 5] = ["", "layer", "output", "parameters", "multiply-adds"];

/// A layer's row.
pub fn row(layer: &LayerChange) -> [String; 5] {
    let there = [layer.old.is_some(), layer.new.is_some()];
    let sign = match there {
        [true, true] => '~',
        [true, false] => '-',
        _ => '+',
    };
    let of = |row: fn(&Row) -> Option<String>| {
        let value = |layer: &Option<Row>| layer.as_ref().and_then(row);
        figures(value(&layer.old), value(&layer.new), there)
    };
    let names = [&layer.old, &layer.new].map(|row| row.as_ref().map(|row| row.name.clone()));
    let [was, is] = names;
    [
        sign.into(),
        figures(was, is, there),
        of(|row| row.output.map(|shape| shape.to_string())),
        of(|row| row.parameters.map(grouped)),
        of(|row| row.multiply_adds.map(grouped)),
    ]
}

/// The row of the totals, where they are known.
pub fn totals(consequences: &Consequences) -> Option<[String; 5]> {
    let [old, new] = consequences.totals;
    let (old, new) = (old?, new?);
    let both = |old: u64, new: u64| {
        let figures = figures(Some(grouped(old)), Some(grouped(new)), [true, true]);
        format!("{figures}{}", percent(old, new))
    };
    Some([
        String::new(),
        "total".into(),
        String::new(),
        both(old.0, new.0),
        both(old.1, new.1),
    ])
}

/// How much a figure grew: ` (+12.0 %)`, nothing where it is the same.
fn percent(old: u64, new: u64) -> String {
    match (old, new) {
        _ if old == new => String::new(),
        (0, _) => String::new(),
        _ => format!(" ({:+.1} %)", (new as f64 / old as f64 - 1.0) * 100.0),
    }
}

/// The memory in words, where it is known.
pub fn memory(sides: &[Read; 2]) -> Option<String> {
    let [old, new] = sides;
    let (old, new) = (old.memory?, new.memory?);
    let both = |what: &str, old: u64, new: u64| {
        let figures = figures(Some(bytes(old)), Some(bytes(new)), [true, true]);
        format!("{what} {figures}{}", percent(old, new))
    };
    Some(format!(
        "memory at batch {}: {}, {}",
        new.batch,
        both("training", old.training_bytes, new.training_bytes),
        both("inference", old.inference_bytes, new.inference_bytes)
    ))
}

fn shape(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    sizes.join("x")
}

/// What becomes of a checkpoint: a first line, and a line for each tensor that does not simply stay.
pub fn checkpoint(consequences: &Consequences) -> Option<(String, Vec<String>)> {
    let tensors = consequences.tensors.as_ref()?;
    let count = |fate: &Fate| tensors.iter().filter(|tensor| tensor.fate == *fate).count();
    let of_old = tensors.iter().filter(|tensor| tensor.old.is_some()).count();
    let first = format!(
        "checkpoint: {} of {of_old} tensors fit, {} re-initialised, {} dropped, {} new",
        count(&Fate::Fits),
        count(&Fate::Reinitialized),
        count(&Fate::Dropped),
        count(&Fate::New)
    );
    let line = |tensor: &TensorChange| match (&tensor.old, &tensor.new) {
        (Some((was, _)), Some((is, _))) if tensor.fate == Fate::Fits => {
            (was != is).then(|| format!("fits as {is}: {was}"))
        }
        (Some((was, from)), Some((is, to))) => {
            let name = if was == is {
                is.clone()
            } else {
                format!("{was} -> {is}")
            };
            Some(format!(
                "re-initialised: {name}, {} -> {}",
                shape(from),
                shape(to)
            ))
        }
        (Some((was, from)), None) => Some(format!("dropped: {was}, {}", shape(from))),
        (None, Some((is, to))) => Some(format!("new: {is}, {}", shape(to))),
        (None, None) => None,
    };
    Some((first, tensors.iter().filter_map(line).collect()))
}
