//! The edit script between networks and known edits of them.

use std::collections::BTreeMap;

use netc::diff::outline::{Folding, Item, Outliner, Reading, text_of};
use netc::diff::{Diff, diff};
use netc::source::Source;
use netc::syntax::{self, Tree};

use crate::edited_nets::{Draw, Edit, Net};
use crate::harness::{Netc, TINY, expect, layers, long, number_of, tiny_training};

fn tree(text: &str) -> Tree {
    let (tree, faults) = syntax::parse(&Source::new("a.net", text));
    assert!(faults.is_empty(), "{faults:?}\n{text}");
    tree
}

/// The network that a script makes of the old one, as text.
fn applied(diff: &Diff) -> String {
    let (input, mut items) = diff.script.apply(&diff.old, &diff.new);
    let input = input.map_or_else(String::new, |input| format!("input {input}\n"));
    if has_copies(diff) {
        items.iter_mut().for_each(unlabel);
    }
    format!("{input}{}\n", text_of(&items))
}

/// Whether repeats are unfolded, so that labels are `a.1`: no labels of a text.
fn has_copies(diff: &Diff) -> bool {
    let items = diff.old.items.iter().chain(&diff.new.items);
    items
        .filter_map(Item::layer)
        .any(|l| l.label.as_ref().is_some_and(|label| label.contains('.')))
}

fn unlabel(item: &mut Item) {
    if let Item::Layer(layer) = item {
        layer.label = None;
    }
}

/// Whether an edit, with those before it, is another number of edits than was made: edits in a repeat that is then
/// written out are several; so are layers that come, move or go as one bracket
/// that was put around them, or is then taken away. And a bracket that moves and
/// is edited inside is two edits or more by netc's count, where it is told as one that went and one that came. A block
/// in the place of another is told as that block, changed.
fn is_compound(edit: &Edit, before: &[Edit], old: &Net, net: &Net) -> bool {
    let is_old = |id: &usize| old.ids().contains(id);
    let moved = |id: &usize| {
        before
            .iter()
            .any(|e| matches!(e, Edit::Move(moved, _) if moved == id))
    };
    let touched = |ids: &[usize]| {
        before
            .iter()
            .any(|e| e.names().iter().any(|id| ids.contains(id)))
    };
    let in_moved = |id: &usize| {
        let ids = before.iter().filter_map(|e| match e {
            Edit::Move(moved, _) => Some(net.within(*moved)),
            _ => None,
        });
        ids.filter(|ids| ids.len() > 1).any(|ids| ids.contains(id))
    };
    match edit {
        Edit::Unroll(_) => !before.is_empty(),
        Edit::Unwrap(id) => !is_old(id) || moved(id),
        Edit::Remove(id) => {
            let comes = |e: &Edit| matches!(e, Edit::Add(_, item) if item.is_bracket());
            !is_old(id) || in_moved(id) || net.within(*id).len() > 1 && before.iter().any(comes)
        }
        Edit::Add(_, item) if item.is_bracket() => {
            let goes = |e: &Edit| matches!(e, Edit::Remove(id) if old.within(*id).len() > 1);
            before.iter().any(goes) || edit.names().iter().any(in_moved)
        }
        Edit::Move(id, _) => {
            let within = net.within(*id);
            // What was removed from it was an edit inside, too.
            within.len() > 1 && (!is_old(id) || touched(&within) || touched(&old.within(*id)))
                || edit.names().iter().any(in_moved)
        }
        other => other.names().iter().any(in_moved),
    }
}

#[test]
fn scripts_have_at_most_as_many_edits_as_were_made_and_make_the_new_network() {
    let count = number_of("NETC_DIFF_PAIRS", if long() { 20_000 } else { 1_000 });
    let first = number_of("NETC_DIFF_SEED", 0);
    for seed in first..first + count {
        let mut draw = Draw::new(seed, 0);
        let old = draw.net(2, 12);
        let mut new = old.clone();
        let mut edits = Vec::new();
        for _ in 0..draw.size(1, 5) {
            let (edit, edited) = draw.edit(&new);
            if is_compound(&edit, &edits, &old, &new) {
                continue;
            }
            edits.push(edit);
            new = edited;
        }
        let made: usize = edits.iter().map(Edit::count).sum();
        let diff = diff(&tree(&old.text()), &tree(&new.text()));
        assert!(
            diff.script.edits.len() <= made,
            "seed {seed}: {made} edits were made\n{edits:#?}\nand the script is\n{:#?}\nfrom {}\nto   {}",
            diff.script.edits,
            old.text(),
            new.text(),
        );
        let unfolding = Reading {
            folding: Folding::Unfolded,
            as_written: false,
        };
        let made = applied(&diff);
        let copies = has_copies(&diff);
        let unfolded = |text: &str| {
            let mut outline = Outliner::default().outline(&tree(text), &unfolding);
            if copies {
                outline.items.iter_mut().for_each(unlabel);
            }
            let items = outline.items.iter().map(Item::text).collect::<Vec<_>>();
            format!("{:?} {items:?}", outline.input)
        };
        assert_eq!(
            unfolded(&made),
            unfolded(&new.text()),
            "seed {seed}\n{made}\n{}",
            new.text()
        );
        if !copies {
            assert_eq!(layers(&made), layers(&new.text()), "seed {seed}");
        }
    }
}

// ---- The command ---------------------------------------------------------------------------------------------------

const OLD: &str = "input 1x28x28\n\nC8 -> P -> N -> F32 -> F10\n";
const NEW: &str = "input 1x28x28\nC8(kernel=5) -> P(avg) -> stem: C16 -> N -> F32 -> F10\n";

fn command(arguments: &[&str]) -> Netc {
    Netc::new()
        .file("old.net", OLD)
        .file("new.net", NEW)
        .args(["diff"])
        .args(arguments.iter().copied())
}

#[test]
fn a_difference_is_told_by_layer_with_what_follows() {
    let outcome = command(&["old.net", "new.net"]).run();
    outcome.exits(1);
    if let Err(difference) = expect("diff/text.out", &outcome.stdout) {
        panic!("{difference}");
    }
    let outcome = command(&["old.net", "new.net", "--markdown"]).run();
    outcome.exits(1);
    if let Err(difference) = expect("diff/markdown.out", &outcome.stdout) {
        panic!("{difference}");
    }
    let long = "C16(kernel=5, stride=2, act=tanh, dropout=0.5, bias=none) -> F10";
    let narrow = command(&["--expr", "C8 -> F10", "--expr", long])
        .env("COLUMNS", "44")
        .run();
    let edits = narrow.stdout.lines().take(4);
    assert!(
        narrow
            .stdout
            .lines()
            .nth(2)
            .is_some_and(|line| line.starts_with("        ")),
        "{}",
        narrow.stdout
    );
    assert!(
        edits.skip(1).all(|line| line.chars().count() <= 44),
        "{}",
        narrow.stdout
    );
    let coloured = command(&["old.net", "new.net", "--color", "always"]).run();
    coloured.says("\x1b[32m  + stem");
}

#[test]
fn json_has_items_edits_and_consequences() {
    let outcome = command(&["old.net", "new.net", "--json"]).run();
    let json = outcome.exits(1).json();
    assert_eq!(json["version"], 1);
    assert_eq!(json["same"], false);
    let texts: Vec<&str> = json["new"]["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["text"].as_str().expect("a text"))
        .collect();
    assert_eq!(
        texts,
        ["C8(kernel=5)", "P(avg)", "stem: C16", "N", "F32", "F10"]
    );
    assert_eq!(
        json["edits"],
        serde_json::json!([
            {"edit": "changed", "old": 0, "new": 0, "attributes": [{"key": "kernel", "old": null, "new": "5", "default": "3"}]},
            {"edit": "changed", "old": 1, "new": 1, "attributes": [{"key": "avg", "old": null, "new": true, "default": null}]},
            {"edit": "added", "new": [2]},
        ])
    );
    assert_eq!(
        json["totals"]["old"]["parameters"],
        80 + 32 * (8 * 14 * 14 + 1) + 330
    );
    let fate = |name: &str| {
        let tensors = json["tensors"].as_array().expect("tensors");
        let of = |side: &serde_json::Value| side["name"] == name;
        let found = tensors.iter().find(|t| of(&t["old"]) || of(&t["new"]));
        found.expect("the tensor")["fate"].clone()
    };
    assert_eq!(fate("c1.weight"), "reinitialized");
    assert_eq!(fate("c1.bias"), "fits");
    assert_eq!(fate("stem.weight"), "new");
    assert_eq!(fate("f1.weight"), "reinitialized");
    assert_eq!(fate("f2.weight"), "fits");
}

#[test]
fn sides_are_files_standard_input_and_expressions_in_order() {
    let same = [
        "--expr",
        "C8->P->F2",
        "--expr",
        "C8 -> P(max) -> F2 # the same",
    ];
    command(&same)
        .run()
        .exits(0)
        .says("the same network, written otherwise");
    command(&["-", "new.net"])
        .stdin(OLD)
        .run()
        .exits(1)
        .says("<stdin> -> new.net");
    command(&["new.net", "-"])
        .stdin(NEW)
        .run()
        .exits(0)
        .says("no difference");
    command(&["--expr", "C8->F2", "old.net"])
        .run()
        .exits(1)
        .says("<expr> -> old.net");
    command(&["old.net", "--expr", "C8->F2"])
        .run()
        .exits(1)
        .says("old.net -> <expr>");
    for wrong in [
        &["old.net"][..],
        &["-", "-"],
        &["old.net", "new.net", "new.net"],
    ] {
        assert!(command(wrong).run().exits(2).stderr.starts_with("error: "));
    }
}

#[test]
fn what_cannot_be_compared_is_trouble_and_shown_all_the_same() {
    let outcome = command(&["old.net", "--expr", "C8 -> Q -> F2"]).run();
    outcome
        .exits(2)
        .says("-C8 -> P -> N -> F32 -> F10")
        .says("+C8 -> Q -> F2");
    assert!(
        outcome.stderr.contains("error[E0201]"),
        "{}",
        outcome.stderr
    );
    let outcome = command(&["old.net", "nwe.net"]).run();
    outcome.exits(2).says("one side cannot be read");
    assert!(
        outcome.stderr.contains("did you mean `new.net`"),
        "{}",
        outcome.stderr
    );
    let json = command(&["old.net", "--expr", "C8 -> Q -> F2", "--json"]).run();
    assert_eq!(
        json.exits(2).json()["new"]["diagnostics"][0]["code"],
        "E0201"
    );
}

#[test]
fn fail_on_fails_for_what_was_asked() {
    let fails = |sides: [&str; 2], what: &str| {
        let expressions = ["--expr", sides[0], "--expr", sides[1], "--input", "1x28x28"];
        command(&expressions).args(["--fail-on", what]).run().status
    };
    let grown = ["C8->F10", "C8->C8->F10"];
    let shrunk = ["C16->F10", "C8->F10"];
    let act = ["C8->F10", "C8(act=tanh)->F10"];
    for (sides, what, status) in [
        (grown, "any", 1),
        (grown, "cost", 1),
        (grown, "cost=1000%", 0),
        (grown, "cost=100%", 1),
        (grown, "cost=10000000", 0),
        (grown, "memory", 1),
        (grown, "memory=1GiB", 0),
        (grown, "checkpoint", 0),
        (shrunk, "cost", 0),
        (shrunk, "memory,cost", 0),
        (shrunk, "checkpoint", 1),
        (shrunk, "checkpoint=99.999%", 0),
        (act, "any", 1),
        (act, "cost,memory,checkpoint", 0),
        (act, "cost,any", 1),
        (act, "costs", 2),
        (act, "any=3", 2),
        (act, "memory=lots", 2),
    ] {
        assert_eq!(fails(sides, what), status, "{sides:?} {what}");
    }
    let unknown = command(&["--expr", "C8->F2", "--expr", "C9->F2", "--fail-on", "cost"]).run();
    assert!(
        unknown.exits(2).stderr.contains("--input"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn ten_thousand_layers_are_compared_exactly() {
    let kinds = [
        "C16",
        "C16(kernel=5)",
        "N",
        "A",
        "C24(kernel=1)",
        "A(tanh)",
        "N(size=3)",
    ];
    let mut draw = Draw::new(1, 0);
    let mut old: Vec<String> = (0..9_900).map(|_| draw.one(&kinds).to_owned()).collect();
    old.push("F10".into());
    let mut new = old.clone();
    // From the end on, so that places stay; each its own.
    for at in (0..100).rev().map(|i| i * 98 + 7) {
        match at % 3 {
            0 => new[at] = "C32(kernel=7)".into(),
            1 => new.insert(at, "P(kernel=1)".into()),
            _ => drop(new.remove(at)),
        }
    }
    let difference = diff(&tree(&old.join(" -> ")), &tree(&new.join(" -> ")));
    assert_eq!(difference.script.edits.len(), 100);
    assert_eq!(tree(&applied(&difference)).chain.stages.len(), new.len());
    assert_eq!(layers(&applied(&difference)), layers(&new.join("->")));
}

// ---- train --from --------------------------------------------------------------------------------------------------

#[test]
fn training_begins_with_the_tensors_of_another_run_that_fit() {
    let first = tiny_training().run();
    first.exits(0);
    let run = first.path("run");
    let from = |network: &str| {
        tiny_training()
            .file("tiny.net", network)
            .args(["--from".into(), run.clone().into_os_string()])
            .set("optimizer.learning_rate", 0.0)
            .set("optimizer.weight_decay", 0.0)
            .set("train.epochs", 1)
            .run()
    };
    let tensors = |folder: &std::path::Path| {
        let bytes = std::fs::read(folder.join("final.safetensors")).expect("parameters");
        let found = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = found.tensors().into_iter();
        tensors
            .map(|(name, view)| (name, view.data().to_vec()))
            .collect::<BTreeMap<_, _>>()
    };
    let old = tensors(&run);
    // A layer before the others: their names shift, their values stay.
    let outcome = from("input 1x8x8\nC1(kernel=1) -> C4 -> P -> F3\n");
    outcome.exits(0);
    let new = tensors(&outcome.path("run"));
    assert_eq!(new["c2.weight"], old["c1.weight"]);
    assert_eq!(new["c2.bias"], old["c1.bias"]);
    assert_ne!(new["f1.weight"].len(), old["f1.weight"].len());
    for words in [
        "2 of 6 tensors loaded",
        "initialised: f1.weight, f1.bias, c1.weight, c1.bias",
    ] {
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
    // With nothing learned, the same network ends as it began.
    let outcome = from(TINY);
    outcome.exits(0);
    assert_eq!(tensors(&outcome.path("run")), old);
    assert!(
        outcome.stderr.contains("4 of 4 tensors loaded"),
        "{}",
        outcome.stderr
    );
    let outcome = tiny_training().args(["--from", "nowhere"]).run();
    outcome.fails("E0501", &["is no run"]);
}
