//! A comparison for programs. README.md documents it.

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::compared::{Compared, Read};
use super::fail_on::Verdict;
use crate::cli::json::Memory;
use crate::diagnostic::render::Record;
use crate::diff::Diff;
use crate::diff::changes::{Change, Value};
use crate::diff::consequence::{Fate, TensorChange};
use crate::diff::outline::{Bracket, Item, Outline};
use crate::diff::script::Edit;
use crate::ir::Graph;
use crate::ir::summary::Row;
use crate::op::shape::Shape;

/// `diff --json`.
#[derive(Serialize)]
pub struct Report<'a> {
    version: u32,
    /// Whether the networks are one; null where one has errors.
    same: Option<bool>,
    old: OneSide<'a>,
    new: OneSide<'a>,
    edits: Vec<Json>,
    layers: Vec<Json>,
    totals: Json,
    tensors: Option<Vec<Json>>,
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct OneSide<'a> {
    file: &'a str,
    ok: bool,
    diagnostics: Vec<Record<'a>>,
    input: Option<Vec<usize>>,
    items: Vec<OneItem>,
}

#[derive(Serialize)]
struct OneItem {
    text: String,
    names: Vec<String>,
}

#[derive(Serialize)]
struct Failed {
    what: String,
    message: String,
}

/// Items without the ends of branches, which no text has: of each item its place among the others.
fn places(outline: &Outline) -> Vec<Option<usize>> {
    let mut next = 0;
    let place = |item: &Item| {
        let is_shown = !matches!(item, Item::Close(Bracket::Branch));
        next += usize::from(is_shown);
        is_shown.then(|| next - 1)
    };
    outline.items.iter().map(place).collect()
}

fn side<'a>(read: &'a Read, outline: Option<&Outline>) -> OneSide<'a> {
    let items = outline.zip(read.graph.as_ref()).map(|(outline, graph)| {
        let items = outline.items.iter().enumerate();
        let items = items.filter(|(_, item)| !matches!(item, Item::Close(Bracket::Branch)));
        items
            .map(|(at, item)| one_item(outline, graph, at, item))
            .collect()
    });
    OneSide {
        file: &read.name,
        ok: !read.found.has_errors(),
        diagnostics: read.found.iter().map(Record::from).collect(),
        input: read
            .graph
            .as_ref()
            .and_then(|graph| graph.input)
            .map(Shape::list),
        items: items.unwrap_or_default(),
    }
}

fn one_item(outline: &Outline, graph: &Graph, at: usize, item: &Item) -> OneItem {
    let nodes = outline.instances[at].iter();
    OneItem {
        text: item.text(),
        names: nodes
            .map(|one| graph.nodes[one.node].name.to_string())
            .collect(),
    }
}

fn edit(edit: &Edit, old: &[Option<usize>], new: &[Option<usize>]) -> Json {
    let of = |places: &[Option<usize>], items: &[usize]| {
        items
            .iter()
            .filter_map(|&at| places[at])
            .collect::<Vec<_>>()
    };
    match edit {
        Edit::Input { old, new } => {
            json!({"edit": "input", "from": old.map(Shape::list), "to": new.map(Shape::list)})
        }
        Edit::Added { new: items } => json!({"edit": "added", "new": of(new, items)}),
        Edit::Removed { old: items } => json!({"edit": "removed", "old": of(old, items)}),
        Edit::Moved { old: from, new: to } => {
            json!({"edit": "moved", "old": of(old, from), "new": of(new, to)})
        }
        Edit::Renamed { old: was, new: is } => {
            json!({"edit": "renamed", "old": old[*was], "new": new[*is]})
        }
        Edit::Replaced { old: was, new: is } => {
            json!({"edit": "replaced", "old": old[*was], "new": new[*is]})
        }
        Edit::Changed {
            old: was,
            new: is,
            changes,
        } => {
            let changes: Vec<Json> = changes.iter().map(attribute).collect();
            json!({"edit": "changed", "old": old[*was], "new": new[*is], "attributes": changes})
        }
    }
}

fn attribute(change: &Change) -> Json {
    let value = |value: &Value| match value {
        Value::Absent => Json::Null,
        Value::Flag => Json::Bool(true),
        Value::Text(text) => Json::String(text.clone()),
    };
    let default = Some(change.default).filter(|default| !default.is_empty());
    json!({
        "key": change.key, "old": value(&change.old), "new": value(&change.new), "default": default,
    })
}

fn row(row: &Row) -> Json {
    json!({
        "name": row.name, "kind": row.kind, "output": row.output.map(Shape::list),
        "parameters": row.parameters, "multiply_adds": row.multiply_adds,
    })
}

fn tensor(change: &TensorChange) -> Json {
    let of = |tensor: &Option<(String, Vec<usize>)>| {
        tensor
            .as_ref()
            .map(|(name, shape)| json!({"name": name, "shape": shape}))
    };
    let fate = match change.fate {
        Fate::Fits => "fits",
        Fate::Reinitialized => "reinitialized",
        Fate::New => "new",
        Fate::Dropped => "dropped",
    };
    json!({"fate": fate, "old": of(&change.old), "new": of(&change.new)})
}

fn totals(of: Option<(u64, u64)>, memory: Option<Memory>) -> Json {
    of.map_or(Json::Null, |(parameters, multiply_adds)| {
        json!({"parameters": parameters, "multiply_adds": multiply_adds, "memory": memory})
    })
}

/// The whole comparison.
pub fn report<'a>(compared: &'a Compared, verdicts: &[Verdict]) -> Report<'a> {
    let [old, new] = &compared.sides;
    let empty = Outline::default();
    let diff = compared.difference.as_ref().map(|(diff, _)| diff);
    let consequences = compared
        .difference
        .as_ref()
        .map(|(_, consequences)| consequences);
    let outlines = diff.map_or([&empty; 2], |Diff { old, new, .. }| [old, new]);
    let [old_places, new_places] = outlines.map(places);
    let edits = diff.map(|diff| diff.script.edits.iter());
    let of_totals = consequences.map_or([None; 2], |consequences| consequences.totals);
    let failed = verdicts.iter().filter_map(|verdict| {
        Some(Failed {
            what: verdict.what.clone(),
            message: verdict.words.clone()?,
        })
    });
    Report {
        version: 1,
        same: compared.is_sound().then(|| compared.is_same()),
        old: side(old, diff.map(|diff| &diff.old)),
        new: side(new, diff.map(|diff| &diff.new)),
        edits: edits.into_iter().flatten().map(|one| edit(one, &old_places, &new_places)).collect(),
        layers: consequences.iter().flat_map(|c| &c.layers).map(|layer| {
            json!({"old": layer.old.as_ref().map(row), "new": layer.new.as_ref().map(row)})
        }).collect(),
        totals: json!({"old": totals(of_totals[0], old.memory), "new": totals(of_totals[1], new.memory)}),
        tensors: consequences
            .and_then(|consequences| consequences.tensors.as_ref())
            .map(|tensors| tensors.iter().map(tensor).collect()),
        failed: failed.collect(),
    }
}
