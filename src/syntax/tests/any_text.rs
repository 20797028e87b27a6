//! Whatever the text: no panic, spans inside the text, no long time.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::read;
use rand::RngExt;

use crate::diagnostic::MOST;
use crate::random::{Purpose, Stream};
use crate::syntax::tree::{Chain, Stage};

/// Texts that a careless grammar needs quadratic time, exponential time or much stack for.
#[test]
fn time_is_linear_in_the_worst_of_texts() {
    let bits = [
        "@",
        "x",
        "->",
        "C8 ",
        "C8->",
        "- ",
        "[",
        "3*[",
        "(",
        "]",
        ")",
        "|",
        ",",
        "C8(",
        "C8(a=1)->",
        "C8()",
        "( ) ",
        "a:",
        "3*",
        "{",
        "[=",
        "C8[",
        "[]",
        "+[",
        "é",
        "🙂",
        "\u{301}",
        "\n",
        "#",
        "# x\n",
        ",,a",
        "a b ",
        "3 ",
        "1.",
        "-1",
        "(a ",
        "((a)",
        "C8([",
        "C8(,,",
        "input ",
        "3 x ",
        "3 3 x[",
        "C8.",
        "a=",
        "==",
        "(\n",
        "C8({",
        "3x",
        "|]",
        "(]",
        "[)",
        "+[|]",
        "C8(k=[3,3]",
        "—",
        "a.b-c",
        "(#\n",
    ];
    for bit in bits {
        for (before, after) in [
            ("", ""),
            ("C8(k=", ""),
            ("C8(", ") -> F2"),
            ("+[", "] -> F2"),
        ] {
            let text = format!("{before}{}{after}", bit.repeat(100_000 / bit.len()));
            let start = Instant::now();
            let (_, diagnostics, _) = read(&text);
            let time = start.elapsed();
            assert!(diagnostics.len() <= MOST);
            // Ten times what a busy machine needed.
            assert!(
                time < Duration::from_secs(2),
                "{before:?} {bit:?} took {time:?}"
            );
        }
    }
}

/// A bracket that fails to be read after all of its content was would be read twice at each level: 2^20 times here. The
/// first text was found by fuzzing.
#[test]
fn brackets_that_do_not_pair_are_read_once() {
    read("] - F>4*N(b*[&[&[*[&[N(ba*[&[*[&[4*[&[N*[&[*[&[N(]F[C");
    let pieces = [
        "1*[", "&[", "*[", "[", "N(", "C8(a ", "(", ")", "]", "] ", "#", "# (\n", "\n", "|", "->",
        ",", "F", "b*[",
    ];
    let mut random = Stream::new(1, Purpose::Dropout, 0, 0);
    for _ in 0..20_000 {
        let length = random.random_range(20..70);
        let opening = random.random_range(1..pieces.len());
        let mut text = String::new();
        for _ in 0..length {
            // Openers come first, so that it goes deep.
            let end = if random.random_range(0..3) > 0 {
                opening
            } else {
                pieces.len()
            };
            text += pieces[random.random_range(0..end)];
        }
        read(&text);
    }
}

const PIECES: &[&str] = &[
    "C8",
    "P",
    "F10",
    "->",
    "->",
    "->",
    "(",
    ")",
    "[",
    "]",
    "+[",
    "&[",
    "3*[",
    "|",
    ",",
    "kernel=3",
    "max",
    "=",
    "5x3",
    "1.5",
    "3x",
    "input 3x8x8",
    "a:",
    "Foo:",
    ":",
    "#",
    "\n",
    "\r\n",
    " ",
    "é",
    "🙂",
    "\u{FEFF}",
    "@",
    "{",
    "}",
    "*",
    "-",
    ">",
    ".",
    "\t",
    "0",
    "x",
];

const GOOD: &str = "# A net.\ninput 3x32x32\n2*[c: C8(kernel=3x5, act=tanh) -> P] -> +[C8 | ] # add\n-> F10(dropout=0.5)\n";

fn sane(text: &str) {
    let (tree, diagnostics, source) = read(text);
    assert!(diagnostics.len() <= MOST);
    assert!(tree.complete || diagnostics.has_errors());
    for diagnostic in &diagnostics {
        let places = diagnostic
            .primary
            .iter()
            .chain(diagnostic.labels.iter().map(|label| &label.place));
        for place in places {
            assert!(
                source
                    .text()
                    .get(place.span.start..place.span.end)
                    .is_some(),
                "{diagnostic:?}"
            );
        }
        assert!(!diagnostic.message.is_empty() && diagnostic.help.is_some());
    }
    sane_chain(&tree.chain, source.text());
}

/// Of a long text that is no network the beginning is read, wherever that may cut it.
#[test]
fn a_beginning_ends_where_the_text_allows() {
    for shift in 0..24 {
        for bit in ["éé,", "🙂=🙂\n -> 🙂| "] {
            let space = " ".repeat(shift);
            sane(&format!("{space}12*[2*[+[F64({}", bit.repeat(9_000)));
        }
    }
}

fn sane_chain(chain: &Chain, text: &str) {
    assert!(
        text.get(chain.span.start..chain.span.end).is_some(),
        "{chain:?}"
    );
    for stage in &chain.stages {
        let span = stage.span();
        assert!(text.get(span.start..span.end).is_some(), "{stage:?}");
        match stage {
            Stage::Repeat(repeat) => sane_chain(&repeat.chain, text),
            Stage::Join(join) => join
                .branches
                .iter()
                .for_each(|branch| sane_chain(branch, text)),
            Stage::Layer(layer) => {
                assert_eq!(
                    text.get(layer.kind.span.start..layer.kind.span.end),
                    Some(layer.kind.value.as_str())
                );
            }
            Stage::Error(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_text_is_read(text in any::<String>()) {
        sane(&text);
    }

    #[test]
    fn any_row_of_tokens_is_read(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        sane(&pieces.concat());
    }

    #[test]
    fn any_change_of_a_good_net_is_read(
        at in 0..GOOD.len(), length in 0usize..6, pieces in prop::collection::vec(prop::sample::select(PIECES), 0..3),
    ) {
        let end = (at + length).min(GOOD.len());
        sane(&format!("{}{}{}", &GOOD[..at], pieces.concat(), &GOOD[end..]));
    }
}
