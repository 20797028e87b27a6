//! Three-way merges of known edits, through the command.

use std::collections::HashSet;

use crate::edited_nets::{Draw, Edit, Item, Net, Place};
use crate::harness::{Netc, Outcome, layers, long, number_of};

fn merged(base: &str, ours: &str, theirs: &str) -> Outcome {
    Netc::new()
        .file("base.net", base)
        .file("ours.net", ours)
        .file("theirs.net", theirs)
        .args(["merge", "base.net", "ours.net", "theirs.net"])
        .run()
}

fn written(outcome: &Outcome) -> String {
    std::fs::read_to_string(outcome.path("ours.net")).expect("the merged file")
}

/// One to three edits of the items before or behind the middle of a network's own chain, which keeps its ends.
fn side(draw: &mut Draw, base: &Net, is_left: bool) -> (Vec<Edit>, Net) {
    let outer = base.outer();
    let middle = outer.len() / 2;
    let (own, other) = if is_left {
        (&outer[..middle], &outer[middle..])
    } else {
        (&outer[middle + 1..outer.len() - 1], &outer[..=middle])
    };
    let is_kept = |net: &Net| {
        let now = net.outer();
        let place = now.iter().position(|id| *id == other[0]);
        place.is_some_and(|at| now[at..].starts_with(other))
            && (!is_left || now.ends_with(other))
            && (is_left || now.starts_with(other) && now.last() == outer.last())
    };
    loop {
        let mut net = base.clone();
        let mut edits = Vec::new();
        let count = draw.size(1, 3);
        for _ in 0..60 {
            let id = draw.one(own);
            let id = draw.one(&base.within(id));
            let place = Place::Behind(draw.one(own));
            let Some(edit) = draw.edit_at(&net, id, place) else {
                continue;
            };
            if matches!(edit, Edit::Input(_) | Edit::Unroll(_)) {
                continue;
            }
            let Some(edited) = net.edited(&edit) else {
                continue;
            };
            if edited.is_right() && is_kept(&edited) {
                edits.push(edit);
                net = edited;
            }
            if edits.len() == count {
                return (edits, net);
            }
        }
    }
}

#[test]
fn independent_edits_of_both_sides_are_both_made() {
    let count = number_of("NETC_MERGES", if long() { 3_000 } else { 500 });
    let first = number_of("NETC_MERGE_SEED", 0);
    let mut refused = 0;
    for seed in first..first + count {
        let mut draw = Draw::new(seed, 0);
        let base = draw.net(8, 16);
        let is_left = draw.size(0, 1) == 0;
        let (ours, our_net) = side(&mut Draw::new(seed, 1_000), &base, is_left);
        let (theirs, their_net) = side(&mut Draw::new(seed, 2_000), &base, !is_left);
        let both = theirs
            .iter()
            .try_fold(our_net.clone(), |net, edit| net.edited(edit));
        let expected = both.expect("edits of different items");
        let one_line = draw.size(0, 1) == 0;
        let text = |net: &Net| if one_line { net.text() } else { net.lines() };
        let outcome = merged(&text(&base), &text(&our_net), &text(&their_net));
        let context = || {
            format!(
                "seed {seed}\n{ours:?}\n{theirs:?}\nbase     {}ours     {}theirs   {}expected {}got\n{}{}",
                base.text(),
                our_net.text(),
                their_net.text(),
                expected.text(),
                written(&outcome),
                outcome.stderr
            )
        };
        if !expected.is_right() {
            // Each side's is a network, and both together are none: refused.
            refused += 1;
            assert_eq!(outcome.status, 1, "{}", context());
            assert!(
                written(&outcome).contains("<<<<<<< ours\n"),
                "{}",
                context()
            );
            continue;
        }
        assert_eq!(outcome.status, 0, "{}", context());
        assert_eq!(
            layers(&written(&outcome)),
            layers(&expected.text()),
            "{}",
            context()
        );
    }
    assert!(
        refused * 10 < count,
        "{refused} of {count} were no networks"
    );
}

#[test]
fn dependent_edits_conflict() {
    let mut kinds = HashSet::new();
    for seed in 0..200 {
        let mut draw = Draw::new(seed, 0);
        let base = draw.net(6, 12);
        let id = draw.one(&base.outer()[1..]);
        let kind = draw.size(0, 4);
        // Of twins beside each other nobody can tell which was meant.
        let named = base.edited(&Edit::Rename(id, Some("target".into())));
        let base = named.unwrap_or(base);
        let (ours, theirs) = match kind {
            0 => (Edit::Width(id, 100), Edit::Width(id, 200)),
            1 => (
                Edit::Rename(id, Some("left".into())),
                Edit::Rename(id, Some("right".into())),
            ),
            2 => (Edit::Remove(id), Edit::Width(id, 200)),
            3 => (Edit::Count(id, 7), Edit::Count(id, 8)),
            _ => {
                let layer = |label: &str| Item::convolution(9_000, label, 40);
                (
                    Edit::Add(Place::Behind(id), layer("left")),
                    Edit::Add(Place::Behind(id), layer("right")),
                )
            }
        };
        let (Some(our_net), Some(their_net)) = (base.edited(&ours), base.edited(&theirs)) else {
            continue;
        };
        let texts = [&base, &our_net, &their_net].map(Net::text);
        let distinct: HashSet<&String> = texts.iter().collect();
        if distinct.len() < 3 || !our_net.is_right() || !their_net.is_right() {
            continue;
        }
        kinds.insert(kind);
        let outcome = merged(&texts[0], &texts[1], &texts[2]);
        let text = written(&outcome);
        assert_eq!(outcome.status, 1, "seed {seed}\n{texts:#?}\n{text}");
        for marker in ["<<<<<<< ours\n", "=======\n", ">>>>>>> theirs\n"] {
            assert!(text.contains(marker), "seed {seed}\n{text}");
        }
    }
    assert_eq!(kinds.len(), 5, "every kind of conflict was drawn");
}

#[test]
fn attributes_merge_one_by_one_and_comments_stay() {
    let base = "# a net\ninput 1x28x28\n\nC8(kernel=5) # first\n-> P\n# the head\n-> F10\n";
    let ours = "# a net\ninput 1x28x28\n\nC8(kernel=5, stride=2) # first\n-> P # ours\n# the head\n-> F10\n";
    let theirs = "# a net, theirs\ninput 1x28x28\n\nC16(kernel=5) # first\n-> P\n# the head\n-> F10\n# the end\n";
    let outcome = merged(base, ours, theirs);
    outcome.exits(0);
    let text = written(&outcome);
    assert_eq!(
        text,
        "# a net, theirs\ninput 1x28x28\n\nC16(kernel=5, stride=2) # first\n    -> P # ours\n# the head\n-> F10\n# the end\n"
    );
}

#[test]
fn one_attribute_in_conflict_leaves_markers_around_its_layer() {
    let base = "C8 -> P -> C16 -> F10\n";
    let ours = "C8 -> P(avg) -> C16(kernel=5) -> F10\n";
    let theirs = "C8 -> N -> P -> C16(kernel=7) -> F10\n";
    let outcome = merged(base, ours, theirs);
    outcome.exits(1);
    assert_eq!(
        written(&outcome),
        "C8\n-> N\n-> P(avg)\n<<<<<<< ours\n-> C16(kernel=5)\n=======\n-> C16(kernel=7)\n>>>>>>> theirs\n-> F10\n"
    );
    assert!(
        outcome
            .stderr
            .contains("`C16`: both sides changed its kernel"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn what_is_no_network_merges_as_text() {
    let outcome = merged(
        "C8\n-> F2\n# a\n# b\n# c\n",
        "C9\n-> F2\n# a\n# b\n# c\n",
        "C8\n-> F2\n# a\n# b\n-> ?\n",
    );
    outcome.exits(0);
    assert_eq!(written(&outcome), "C9\n-> F2\n# a\n# b\n-> ?\n");
    let outcome = merged("C8 -> F2\n", "C9 -> F?\n", "C7 -> F2\n");
    outcome.exits(1);
    assert_eq!(
        written(&outcome),
        "<<<<<<< ours\nC9 -> F?\n=======\nC7 -> F2\n>>>>>>> theirs\n"
    );
}

#[test]
fn a_network_that_does_not_check_is_refused() {
    // Each side halves the map once; both together leave less than a window.
    let outcome = merged(
        "input 1x4x4\nC8\n-> N\n-> C8\n-> N\n-> C8(kernel=2, pad=0)\n-> F2\n",
        "input 1x4x4\nC8(stride=2)\n-> N\n-> C8\n-> N\n-> C8(kernel=2, pad=0)\n-> F2\n",
        "input 1x4x4\nC8\n-> N\n-> C8(stride=2)\n-> N\n-> C8(kernel=2, pad=0)\n-> F2\n",
    );
    outcome.exits(1);
    assert!(
        outcome.stderr.contains("error[E0301]"),
        "{}",
        outcome.stderr
    );
    assert!(
        written(&outcome).contains("<<<<<<< ours\n"),
        "{}",
        written(&outcome)
    );
}
