//! Tests of the whole of `parse`: what a text means, what is reported where, and what stays.

mod any_text;

use std::sync::Arc;

use super::tree::{Attribute, Chain, JoinKind, Stage, Tree, Value};
use super::{parse, source_from_bytes};
use crate::diagnostic::{Code, Diagnostics, MOST};
use crate::source::Source;

fn read(text: &str) -> (Tree, Diagnostics, Arc<Source>) {
    let source = Source::new("test.net", text);
    let (tree, diagnostics) = parse(&source);
    (tree, diagnostics, source)
}

/// The errors as `E0101 3..6 help`, one a line, help without its `write `.
fn errors(text: &str) -> String {
    let (_, diagnostics, _) = read(text);
    let lines: Vec<String> = diagnostics
        .iter()
        .map(|diagnostic| {
            let span = diagnostic.primary.as_ref().expect("a place").span;
            let help = diagnostic.help.as_deref().expect("a help");
            let help = help.strip_prefix("write ").unwrap_or(help);
            format!("{} {}..{} {help}", diagnostic.code, span.start, span.end)
        })
        .collect();
    lines.join("\n")
}

/// Codes and the text under each span.
fn places(text: &str) -> Vec<(Code, String)> {
    let (_, diagnostics, source) = read(text);
    diagnostics
        .iter()
        .map(|diagnostic| {
            (
                diagnostic.code,
                source
                    .slice(diagnostic.primary.as_ref().expect("a place").span)
                    .into(),
            )
        })
        .collect()
}

fn check(text: &str, expected: &[(Code, &str)]) {
    let expected: Vec<(Code, String)> = expected
        .iter()
        .map(|&(code, at)| (code, at.into()))
        .collect();
    assert_eq!(places(text), expected, "in {text:?}");
}

/// The chain in a compact form of its own: what the tree says, not what the text looked like.
fn show(chain: &Chain) -> String {
    let stages: Vec<String> = chain.stages.iter().map(show_stage).collect();
    stages.join(" ")
}

fn show_stage(stage: &Stage) -> String {
    match stage {
        Stage::Error(_) => "!".into(),
        Stage::Repeat(repeat) => format!("{}*[{}]", repeat.count.value, show(&repeat.chain)),
        Stage::Join(join) => {
            let branches: Vec<String> = join.branches.iter().map(show).collect();
            format!(
                "{}[{}]",
                if join.kind == JoinKind::Add { '+' } else { '&' },
                branches.join("|")
            )
        }
        Stage::Layer(layer) => {
            let label = layer
                .label
                .as_ref()
                .map_or(String::new(), |label| format!("{}:", label.value));
            let width = layer
                .width
                .as_ref()
                .map_or(String::new(), |width| format!("_{}", width.value));
            let attributes: String = layer.attributes.iter().map(show_attribute).collect();
            format!("<{label}{}{width}{attributes}>", layer.kind.value)
        }
    }
}

fn show_attribute(attribute: &Attribute) -> String {
    let key = &attribute.key.value;
    match attribute.value.as_ref().map(|value| &value.value) {
        None => format!(" {key}"),
        Some(Value::Number(number)) => format!(" {key}={number}"),
        Some(Value::Word(word)) => format!(" {key}={word:?}"),
        Some(Value::Size(parts)) => format!(" {key}={parts:?}"),
        Some(Value::Error) => format!(" {key}=!"),
    }
}

fn good(text: &str, expected: &str) -> Tree {
    let (tree, diagnostics, _) = read(text);
    let found: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(found, [""; 0], "in {text:?}");
    assert!(tree.complete);
    assert_eq!(show(&tree.chain), expected);
    tree
}

#[test]
fn reads_what_the_language_has() {
    good("C48->P->N->F10", "<C_48> <P> <N> <F_10>");
    good("Conv2d96 -> F10", "<Conv2d_96> <F_10>");
    good(
        "C8(kernel=5x3, pad=same,max , beta=-1.5e-4)\n-> a_1 : F2",
        "<C_8 kernel=[\"5\", \"3\"] pad=\"same\" max beta=-1.5e-4> <a_1:F_2>",
    );
    good("2*[C8 -> 3 * [P]] -> F2", "2*[<C_8> 3*[<P>]] <F_2>");
    good(
        "+[C8 | ] -> &[ | P | N] -> +[A] -> F2",
        "+[<C_8>|] &[|<P>|<N>] +[<A>] <F_2>",
    );
    good(
        "C8( # a comment ) here\r\n kernel = 3\r\n) # ] and here\n -> F2",
        "<C_8 kernel=3> <F_2>",
    );
    good("P() -> F2", "<P> <F_2>");
    good("input: C8 -> F2", "<input:C_8> <F_2>");
}

#[test]
fn keeps_input_and_comments_with_their_places() {
    let tree = good(
        "\u{FEFF}# one\r\ninput 3x227x99999999999999999999 C8 # two",
        "<C_8>",
    );
    let input = tree.input.expect("an input");
    assert_eq!(
        input.sizes.clone().map(|size| size.value),
        [3, 227, u64::MAX]
    );
    assert_eq!(
        (
            input.span.start,
            input.sizes[1].span.start,
            input.sizes[1].span.end
        ),
        (10, 18, 21)
    );
    let comments: Vec<_> = tree
        .comments
        .iter()
        .map(|c| (c.value.as_str(), c.span.start, c.span.end))
        .collect();
    assert_eq!(comments, [("# one", 3, 8), ("# two", 46, 51)]);
}

#[test]
fn spans_of_a_layer_are_exact() {
    let text = " a: C96 (kernel=11 , max)\n-> F2";
    let (tree, _, source) = read(text);
    let Stage::Layer(layer) = &tree.chain.stages[0] else {
        panic!("a layer")
    };
    let at = |span| source.slice(span);
    assert_eq!(at(layer.span), "a: C96 (kernel=11 , max)");
    assert_eq!(at(layer.kind.span), "C");
    assert_eq!(layer.width.as_ref().map(|width| at(width.span)), Some("96"));
    assert_eq!(at(layer.attributes[0].span), "kernel=11");
    assert_eq!(at(layer.attributes[1].span), "max");
    assert_eq!(at(tree.chain.span), text.trim());
}

#[test]
fn help_can_be_pasted() {
    for (text, expected) in [
        ("3*C64 -> F2", "E0101 0..5 `3*[C64]`"),
        ("+C64 -> F2", "E0101 0..4 `+[C64]`"),
        ("3*a: C64(pad=1) -> F2", "E0101 0..15 `3*[a: C64(pad=1)]`"),
        ("C48 P -> F2", "E0104 4..5 `C48 -> P`"),
        (
            "C8(kernel=3x) -> F2",
            "E0103 10..12 `3x3`, or `3` for a square",
        ),
        ("C8(kernel=3 x 5) -> F2", "E0103 10..15 `3x5`"),
        ("C8(kernel=5X3) -> F2", "E0103 10..13 `5x3`"),
        ("C8(kernel=(5,3)) -> F2", "E0101 10..15 `5x3`"),
        ("C8(act=\"relu\") -> F2", "E0101 7..13 `relu`"),
        ("C8(beta=.5) -> F2", "E0103 8..10 `0.5`"),
        (
            "C8(3x3) -> F2",
            "E0101 3..6 say what it is for, as in `kernel=3x3`",
        ),
        ("C8(kernel:3) -> F2", "E0101 3..11 `kernel=3`"),
        ("C8(bias-init=1) -> F2", "E0101 3..14 `bias_init=1`"),
        ("C8(pad=1 stride=2) -> F2", "E0101 9..17 `pad=1, stride=2`"),
        ("My-Conv: C8 -> F2", "E0101 0..7 `my_conv:`"),
        ("C 8 -> F2", "E0101 2..3 `C8`"),
        ("C8-P -> F2", "E0101 0..4 `C8 -> P`"),
        ("3[C8] -> F2", "E0101 0..2 `3*[`"),
        ("input 3X32X32 C8", "E0103 6..13 `input 3x32x32`"),
    ] {
        assert_eq!(errors(text), expected, "in {text:?}");
    }
}

#[test]
fn every_mistake_is_one_error_at_its_place() {
    use Code::{E0101, E0102, E0103, E0104, E0105, E0107};
    check("", &[(E0105, "")]);
    check("# nothing\ninput 3x2x2\n", &[(E0105, "")]);
    for text in [
        "C8 ->-> P -> F2",
        "->C8 -> F2",
        "C8 -> F2 ->",
        "input 3x2x2 -> C8 -> F2",
    ] {
        check(text, &[(E0104, "->")]);
    }
    check("->", &[(E0104, "->")]);
    check("C8 -> P N\nA -> F2", &[(E0104, "N"), (E0104, "A")]);
    check("+[C8 -> | P] -> F2", &[(E0104, "->")]);
    check("input 3x227 C8", &[(E0103, "3x227")]);
    check("input C8", &[(E0103, "input")]);
    check(
        "C8(kernel=1.2.3, pad=1x2x3)",
        &[(E0103, "1.2.3"), (E0103, "1x2x3")],
    );
    check("C9.6 -> 1.5*[P] -> F2", &[(E0103, "C9.6"), (E0103, "1.5")]);
    check("C8 -> input 3x3x3 -> P", &[(E0101, "input 3x3x3")]);
    check("input 3x3x3 input 3x3x3 C8", &[(E0101, "input 3x3x3")]);
    check(
        "[] -> +[ | ] -> 3*[]",
        &[(E0101, "[]"), (E0101, "+[ | ]"), (E0101, "3*[]")],
    );
    check(
        "a: 3*[C8] -> b: c: P -> d: -> F2",
        &[(E0101, "a"), (E0101, "c"), (E0101, "d")],
    );
    check(
        "C8(,) -> P(a=1,,b=2) -> P(a=1,)",
        &[(E0101, ","), (E0101, ","), (E0101, ",")],
    );
    check(
        "C8(a=) -> P(=3) -> P(a=1 @ b c)",
        &[(E0101, "a="), (E0101, "=3"), (E0101, "@ b c")],
    );
    check(
        "C8, P; N => F2",
        &[(E0101, ","), (E0101, ";"), (E0101, "=>")],
    );
    check(
        "C8 - > P --> N ->> F2",
        &[(E0101, "- >"), (E0101, "-->"), (E0101, "->>")],
    );
    check(
        "C8 -> @@ P -> %\n& -> F2",
        &[(E0101, "@@ P"), (E0101, "%"), (E0101, "&")],
    );
    check("C8 some words, and more -> F2", &[(E0101, "some")]);
    check("C8 <- P -> F2", &[(E0101, "<-")]);
    // What is wrong behind a bracket that was forgotten is told, too.
    check(
        "3*C8 P -> +A(a=) -> &2*[P] => 2*2*[N] -> F2",
        &[
            (E0101, "3*C8"),
            (E0104, "P"),
            (E0101, "+A(a=)"),
            (E0101, "a="),
            (E0101, "&2*[P]"),
            (E0101, "=>"),
            (E0101, "2*2*[N]"),
        ],
    );
    check("C8 + C9 -> F2", &[(E0101, "+ C9")]);
    check("C8[kernel=3] -> F2", &[(E0101, "[kernel=3]")]);
    check("[C8] -> 3*[C8 | P] -> F2", &[(E0101, "["), (E0101, "|")]);
    check("C8 | F2", &[(E0101, "|")]);
    check("3*(C8 -> P) -> F2", &[(E0101, "(")]);
    check(
        "🙂 -> C8(é=🙂, 🙂) -> F2",
        &[(E0101, "🙂"), (E0101, "🙂"), (E0101, "🙂")],
    );
    check(
        &format!("{}C8{}", "3*[".repeat(65), "]".repeat(65)),
        &[(E0107, "[")],
    );
    check(&format!("{}C8{}", "3*[".repeat(64), "]".repeat(64)), &[]);
    check("C8)", &[(E0102, ")")]);
}

#[test]
fn brackets_that_do_not_pair_explain_what_follows_from_them() {
    use Code::{E0102, E0103};
    for (text, at) in [
        ("C48(kernel=3 -> P -> F2", 3),
        ("C48((kernel=3) -> P -> F2", 3),
        ("C48(kernel=3] -> P -> F2", 3),
        ("C48(kernel=3)) -> P -> F2", 13),
        ("C48kernel=3, pad=1) -> P -> F2", 18),
        ("C48(kernel=3), pad=1) -> P -> F2", 20),
        ("C8 -> (P -> F2", 6),
        ("+[P(kernel=2 | C8] -> F2", 3),
        ("3*[C64 -> C64 -> F2", 2),
        ("3*[C64 -> C64) -> F2", 2),
        ("3*C64 -> C64] -> F2", 12),
        ("+C8 | C8] -> F2", 8),
        ("+[3*[C8 -> C8 | C8] -> F2", 4),
        ("C8 -> [ P -> F2", 6),
        ("C8] -> F2", 2),
    ] {
        let (_, diagnostics, _) = read(text);
        let found: Vec<_> = diagnostics
            .iter()
            .map(|d| (d.code, d.primary.as_ref().map(|p| p.span.start)))
            .collect();
        assert_eq!(found, [(E0102, Some(at))], "in {text:?}");
    }
    check("C48(kernel=3x -> P -> F2", &[(E0102, "("), (E0103, "3x")]);
}

#[test]
fn what_is_good_stays_in_the_tree() {
    let shown = |text| {
        let (tree, ..) = read(text);
        (show(&tree.chain), tree.complete)
    };
    assert_eq!(shown("C8 -> @ -> P F2"), ("<C_8> ! <P> <F_2>".into(), true));
    assert_eq!(
        shown("C8(kernel=3x, pad=1, ?) -> F2"),
        ("<C_8 kernel=! pad=1 =!> <F_2>".into(), true)
    );
    assert_eq!(shown("3*C64 -> F2"), ("1*[<C_64>] ! <F_2>".into(), true));
    assert_eq!(shown("C8(pad=1 -> F2"), ("<C_8 pad=1> <F_2>".into(), true));
    assert_eq!(shown("C8 -> F2 ->"), ("<C_8> <F_2> !".into(), false));
    assert_eq!(shown("3*[C8 -> F2"), ("1*[<C_8> <F_2>]".into(), false));
    assert_eq!(shown("C8 -> F2 @"), ("<C_8> <F_2> !".into(), false));
    assert_eq!(shown("C 8 -> Foo: F2"), ("<C_8> <F_2>".into(), true));
}

#[test]
fn many_problems_are_counted_and_not_told() {
    let (_, diagnostics, _) = read(&"C8 ".repeat(100));
    assert_eq!((diagnostics.len(), diagnostics.untold()), (MOST, 49));
    let told = diagnostics.told();
    let last = told.iter().next_back().expect("diagnostics");
    assert_eq!(last.notes, ["and 49 more problems"]);
}

#[test]
fn of_a_heap_of_attributes_the_first_are_read() {
    let heap = "a=1, ".repeat(999);
    let text = format!("C8({heap}(,), [,] b=2) -> F10(act=relu)");
    let (tree, diagnostics, source) = read(&text);
    let [heap] = &*diagnostics.iter().collect::<Vec<_>>() else {
        panic!("one error, not {diagnostics:?}");
    };
    let span = heap.primary.as_ref().expect("a place").span;
    assert_eq!((heap.code, source.slice(span)), (Code::E0101, ","));
    let [Stage::Layer(first), Stage::Layer(second)] = &tree.chain.stages[..] else {
        panic!("two layers, not {:?}", tree.chain.stages);
    };
    assert_eq!(first.attributes.len(), 64);
    assert_eq!(span.start, first.attributes[63].span.end);
    assert_eq!(
        source.slice(first.span).len(),
        text.find(" ->").expect("an arrow")
    );
    assert_eq!(source.slice(second.attributes[0].span), "act=relu");
    // 64 are no heap.
    check(&format!("C8({}b) -> F10", "a, ".repeat(63)), &[]);
}

#[test]
fn long_comments_are_no_part_of_what_stands_beside_them() {
    let comment = format!("# {} ]) é -> C8(\u{2192} \r", "long ".repeat(999));
    let text = format!("C8 ?? {comment}\n-> C9(kernel {comment}\n=3) {comment}\n-> F10 {comment}");
    let (tree, _, source) = read(&text);
    check(&text, &[(Code::E0101, "??")]);
    assert_eq!(
        show(&tree.chain),
        show(&read(&text.replace(&comment, "")).0.chain)
    );
    assert_eq!(tree.comments.len(), 4);
    for kept in &tree.comments {
        assert_eq!(kept.value, comment.trim_end_matches('\r'));
        assert_eq!(source.slice(kept.span), kept.value);
    }
}

#[test]
fn bytes_that_are_no_text_are_told_by_offset() {
    let error = source_from_bytes("a.net", b"C8 -> \xFF".to_vec()).expect_err("no text");
    assert_eq!(
        error.to_string(),
        "E0106: the file is not UTF-8 text: byte 6 is 0xFF"
    );
    assert_eq!(
        error
            .primary
            .map(|place| (place.span.start, place.span.end)),
        Some((6, 9))
    );
    assert!(source_from_bytes("a.net", "é".into()).is_ok());
}
