//! Texts that nobody writes by hand: very long, very deep, very wide, or no text at all. netc says what is wrong, in few
//! words and short time, and does not fall over.

use netc::diagnostic::{Diagnostics, MOST};
use netc::source::Source;
use netc::{ir, op, syntax};

use crate::harness::Netc;

/// What is wrong with a text; its diagnostics point into it and can be shown.
fn check(text: &str) -> Diagnostics {
    let source = Source::new("hostile.net", text);
    let (tree, mut found) = syntax::parse(&source);
    let input = Some(op::shape::Shape::image(3, 32, 32));
    let options = ir::Options {
        input,
        ..ir::Options::default()
    };
    found.append(ir::build(&tree, &options).1);
    for place in found
        .iter()
        .filter_map(|diagnostic| diagnostic.primary.as_ref())
    {
        assert!(text.get(place.span.start..place.span.end).is_some());
    }
    found.told()
}

fn codes(text: &str) -> Vec<&'static str> {
    check(text)
        .iter()
        .map(|diagnostic| diagnostic.code.name())
        .collect()
}

/// The codes of a text, each once.
fn kinds_of(text: &str) -> Vec<&'static str> {
    let mut codes = codes(text);
    codes.dedup();
    codes
}

fn chain(layer: &str, times: usize) -> String {
    vec![layer; times].join(" -> ")
}

#[test]
fn as_many_layers_as_there_may_be() {
    let most = ir::build::MOST_LAYERS as usize;
    assert_eq!(codes(&format!("{} -> F2", chain("C8", most - 1))), [""; 0]);
    assert_eq!(codes(&format!("{}*[C8] -> F2", most - 1)), [""; 0]);
    assert_eq!(codes(&format!("{} -> F2", chain("C8", most))), ["E0308"]);
    assert_eq!(codes(&format!("{most}*[C8] -> F2")), ["E0308"]);
}

/// Of a text that is far too long the beginning is read: what is wrong there, and that it is too long.
#[test]
fn a_million_layers() {
    let long = |layer: &str| check(&format!("{} -> F2", chain(layer, 1_000_000)));
    let found = long("C8");
    let problems: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        ["E0308: at least 1000000 layers after expansion: a network has at most 10000"]
    );
    let told: Vec<&str> = long("Q8").iter().map(|one| one.code.name()).collect();
    assert_eq!(told.len(), MOST);
    assert!(
        told.contains(&"E0201") && told.contains(&"E0308"),
        "{told:?}"
    );
    // Arrows in comments are none.
    assert_eq!(
        codes(&format!("C8 # {}\n-> F2", "-> ".repeat(100_000))),
        [""; 0]
    );
}

#[test]
fn repeats_whose_product_is_beyond_all_numbers() {
    for (count, depth) in [("2", 63), ("2147483647", 3), ("65536", 64)] {
        let text = format!(
            "{}C8{} -> F2",
            format!("{count}*[").repeat(depth),
            "]".repeat(depth)
        );
        assert_eq!(codes(&text), ["E0308"], "{text}");
    }
    assert_eq!(codes("99999999999999999999999*[C8] -> F2").len(), 1);
}

#[test]
fn brackets_of_any_depth() {
    for opener in ["[", "+[", "&[", "3*[", "(", "C8(", "3*(", "+(", "[("] {
        for closer in ["", "]", ")"] {
            let text = format!("{}C8{}", opener.repeat(100_000), closer.repeat(100_000));
            let found = check(&text);
            assert!(found.has_errors() && found.len() <= MOST);
            if opener.ends_with('[') {
                assert_eq!(kinds_of(&text), ["E0107"], "{opener}{closer}");
            }
        }
    }
    assert!(check(&"]".repeat(100_000)).len() <= MOST);
}

#[test]
fn a_megabyte_of_garbage_in_a_line() {
    for bit in [
        "@",
        "C8 ",
        "->",
        "é",
        "(",
        "]",
        "x=",
        "a:",
        "3*",
        "@ -> ",
        "\0",
        "C8(kernel=",
        "+[|",
        "Q8 -> ",
    ] {
        let text = bit.repeat(1_000_000 / bit.len());
        let found = check(&text);
        assert!(found.has_errors(), "{bit:?}");
        assert!(found.len() <= MOST, "{bit:?}: {}", found.len());
    }
    let found = check(&"C8 ".repeat(300_000));
    let notes = found.iter().flat_map(|diagnostic| &diagnostic.notes);
    assert!(notes.into_iter().any(|note| note.contains("more problems")));
}

#[test]
fn bytes_that_do_not_show() {
    // Lone carriage returns are white space, and end no comment.
    assert_eq!(codes("C8\r->\rF2"), [""; 0]);
    assert_eq!(codes("# C8\r-> @ \nF2"), [""; 0]);
    assert_eq!(codes("\u{FEFF}C8 -> F2"), [""; 0]);
    assert_eq!(codes("\u{FEFF}"), ["E0105"]);
    assert_eq!(codes(""), ["E0105"]);
    assert_eq!(codes("C8 -> \u{FEFF} -> F2"), ["E0101"]);
    assert_eq!(codes("C8 \0-> F2"), ["E0101"]);
    assert_eq!(codes("C8(kernel=\0) -> F2"), ["E0101"]);
    assert_eq!(codes("C8 -> \u{202E}F2"), ["E0101"]);
    let outcome = Netc::new()
        .args(["check", "-"])
        .stdin([0, 0xFF, 0xFE])
        .run();
    outcome.fails("E0106", &["byte 1 is 0xFF"]);
}

#[test]
fn words_and_numbers_of_any_length() {
    let (word, digits) = ("x".repeat(1_000_000), "9".repeat(1_000_000));
    assert_eq!(codes(&format!("{word} -> F2")), ["E0201"]);
    assert_eq!(codes(&format!("C{digits} -> F2")), ["E0205"]);
    assert_eq!(codes(&format!("C8(kernel={digits}) -> F2")), ["E0205"]);
    assert_eq!(codes(&format!("C8(dropout={digits}) -> F2")), ["E0205"]);
    assert_eq!(codes(&format!("C8(dropout=0.{digits}) -> F2")), ["E0205"]);
    assert_eq!(codes(&format!("C8({word}=3) -> F2")), ["E0202"]);
    assert_eq!(codes(&format!("C8(act={word}) -> F2")), ["E0204"]);
    assert_eq!(codes(&format!("{word}: C8 -> F2")), [""; 0]);
    assert_eq!(codes(&format!("input 3x{digits}x3 C8 -> F2")), ["E0205"]);
    assert_eq!(codes(&format!("# {word}\nC8 -> F2")), [""; 0]);
    // The longest of them is shown in a bounded number of bytes.
    let outcome = Netc::new()
        .args(["check", "-"])
        .stdin(format!("C8({word}=3) -> F2"))
        .run();
    assert!(
        outcome.stderr.len() < 10_000,
        "{} bytes",
        outcome.stderr.len()
    );
}

#[test]
fn many_labels_and_attributes() {
    let labels: Vec<String> = (0..9_999).map(|n| format!("layer_{n}_: C8")).collect();
    assert_eq!(codes(&format!("{} -> F2", labels.join(" -> "))), [""; 0]);
    let twice = format!("{} -> F2", chain("same: A", 5_000));
    assert_eq!(kinds_of(&twice), ["E0206"]);
    let attributes = vec!["kernel=3"; 5_000].join(", ");
    assert_eq!(kinds_of(&format!("C8({attributes}) -> F2")), ["E0203"]);
    let unknown: Vec<String> = (0..5_000).map(|n| format!("key_{n}=3")).collect();
    assert_eq!(
        kinds_of(&format!("C8({}) -> F2", unknown.join(", "))),
        ["E0202"]
    );
}

/// The first of them, and how many more there are.
#[test]
fn as_many_problems_as_layers() {
    for (layer, code) in [
        ("Q8", "E0201"),
        ("C8(kernle=3)", "E0202"),
        ("C0", "E0205"),
        ("P(max, avg)", "E0208"),
    ] {
        let found = check(&format!("{} -> F2", chain(layer, 2_000)));
        let codes: Vec<_> = found.iter().map(|one| one.code.name()).collect();
        assert_eq!(codes, vec![code; MOST], "{layer}");
        let last = found.iter().next_back().expect("problems");
        assert_eq!(last.notes, ["and 1950 more problems"], "{layer}");
    }
}
