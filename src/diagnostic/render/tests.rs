//! Whole renderings, as a terminal without colours shows them.

use std::time::{Duration, Instant};

use super::*;
use crate::diagnostic::Code;
use crate::source::Span;

fn plain(diagnostic: &Diagnostic) -> String {
    human(diagnostic, Style::default())
}

fn span_of(source: &Source, words: &str) -> Span {
    let start = source
        .text()
        .find(words)
        .expect("the words stand in the text");
    Span::new(start, start + words.len())
}

fn check(diagnostic: &Diagnostic, expected: &str) {
    let drawn = plain(diagnostic);
    assert_eq!(
        drawn,
        expected.strip_prefix('\n').unwrap_or(expected),
        "drawn:\n{drawn}"
    );
}

#[test]
fn shows_message_place_label_notes_and_help() {
    let source = Source::new("small.net", "# Small.\nC8(krenel=3)\n-> F2\n");
    let diagnostic = Diagnostic::error(Code::E0202, "`C` has no attribute `krenel`")
        .at(&source, span_of(&source, "krenel=3"))
        .here("not known")
        .note("first line\nsecond line")
        .help("did you mean `kernel=3`?");
    check(
        &diagnostic,
        "
error[E0202]: `C` has no attribute `krenel`
   ╭─[small.net:2:4]
 1 │ # Small.
 2 │ C8(krenel=3)
   ·    ────┬───
   ·        ╰── not known
 3 │ -> F2
   ╰────
  note: first line
        second line
  help: did you mean `kernel=3`?
",
    );
}

#[test]
fn warnings_are_marked_and_need_no_place() {
    check(
        &Diagnostic::warning(Code::W0101, "the input shape is unknown"),
        "warning[W0101]: the input shape is unknown\n",
    );
}

#[test]
fn ascii_has_no_other_characters() {
    let source = Source::new("a.net", "C8 P -> F2");
    let diagnostic = Diagnostic::error(Code::E0104, "an arrow is missing")
        .at(&source, Span::new(3, 4))
        .here("before this");
    let drawn = human(
        &diagnostic,
        Style {
            unicode: false,
            ..Style::default()
        },
    );
    assert_eq!(
        drawn,
        "error[E0104]: an arrow is missing\n   ,-[a.net:1:4]\n 1 | C8 P -> F2\n   :    |\n   :    `-- before this\n   `----\n"
    );
}

#[test]
fn colours_only_add_escapes() {
    let source = Source::new("a.net", "C8 P -> F2");
    let diagnostic = Diagnostic::error(Code::E0104, "an arrow is missing")
        .at(&source, Span::new(3, 4))
        .help("write it");
    let coloured = human(
        &diagnostic,
        Style {
            colour: true,
            ..Style::default()
        },
    );
    assert!(coloured.contains("\u{1b}["));
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some(at) = rest.find("\u{1b}[") {
        stripped.push_str(&rest[..at]);
        let end = rest[at..].find('m').expect("an escape ends") + at;
        rest = &rest[end + 1..];
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain(&diagnostic));
}

#[test]
fn related_places_near_and_far_and_in_another_text() {
    let text = "a: C8\n-> P\n-> P\n-> P\n-> P\n-> a: C8\n-> F2\n";
    let net = Source::new("a.net", text);
    let toml = Source::new("a.toml", "[data]\ntrain = \"mnist\"\n");
    let diagnostic = Diagnostic::error(Code::E0206, "label `a` is used twice")
        .at(&net, Span::new(29, 30))
        .here("again here")
        .label("first used here", &net, Span::new(0, 1))
        .label(
            "the data set has 10 classes",
            &toml,
            span_of(&toml, "\"mnist\""),
        );
    check(
        &diagnostic,
        "
error[E0206]: label `a` is used twice
   ╭─[a.net:1:1]
 1 │ a: C8
   · ┬
   · ╰── first used here
 2 │ -> P
   ╰────
   ╭─[a.net:6:4]
 5 │ -> P
 6 │ -> a: C8
   ·    ┬
   ·    ╰── again here
 7 │ -> F2
   ╰────
note: the data set has 10 classes
   ╭─[a.toml:2:9]
 1 │ [data]
 2 │ train = \"mnist\"
   ·         ───────
   ╰────
",
    );
}

#[test]
fn the_end_of_a_file_can_be_pointed_at() {
    for (text, expected) in [
        ("", "   ╭─[a.net:1:1]\n 1 │\n   · ▲\n   ╰────\n"),
        ("C8", "   ╭─[a.net:1:3]\n 1 │ C8\n   ·   ▲\n   ╰────\n"),
        (
            "C8\n",
            "   ╭─[a.net:2:1]\n 1 │ C8\n 2 │\n   · ▲\n   ╰────\n",
        ),
    ] {
        let source = Source::new("a.net", text);
        let end = text.len();
        let drawn =
            plain(&Diagnostic::error(Code::E0105, "no layer").at(&source, Span::new(end, end)));
        assert_eq!(drawn, format!("error[E0105]: no layer\n{expected}"));
    }
}

#[test]
fn tabs_line_ends_and_control_characters_do_no_harm() {
    let source = Source::new("a.net", "\u{FEFF}C8\t->\u{1b}[31m é P\r\n-> F2\r\n");
    check(
        &Diagnostic::error(Code::E0201, "unknown").at(&source, span_of(&source, "P")),
        "
error[E0201]: unknown
   ╭─[a.net:1:14]
 1 │ C8  ->\u{FFFD}[31m é P
   ·               ─
 2 │ -> F2
   ╰────
",
    );
}

#[test]
fn a_span_of_many_lines_is_shown_at_its_start() {
    let source = Source::new(
        "a.net",
        format!("C8\n-> +[\n{}| P] -> F2", "P ->\n".repeat(20)),
    );
    let long = Diagnostic::error(Code::E0304, "branches disagree")
        .at(&source, Span::new(6, source.text().len() - 6));
    check(
        &long,
        "
error[E0304]: branches disagree
   ╭─[a.net:2:4]
 1 │ C8
 2 │ -> +[
   ·    ──
 3 │ P ->
   ╰────
",
    );
}

#[test]
fn a_long_line_is_cut_to_what_matters() {
    let line = format!(
        "{}C8(krenel=3) -> {}",
        "P -> ".repeat(200_000),
        "N -> ".repeat(200_000)
    );
    let source = Source::new("a.net", line);
    let place = span_of(&source, "krenel=3");
    let far = Span::new(0, 1);
    let diagnostic = Diagnostic::error(Code::E0202, "no such attribute")
        .at(&source, place)
        .label(
            "elsewhere",
            &source,
            Span::new(source.text().len() - 3, source.text().len() - 1),
        );
    let start = Instant::now();
    let drawn = plain(&diagnostic);
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
    assert!(
        drawn.lines().all(|line| line.chars().count() <= 110),
        "{drawn}"
    );
    check(
        &Diagnostic::error(Code::E0202, "no such attribute").at(&source, place),
        "
error[E0202]: no such attribute
   ╭─[a.net:1:1000004]
 1 │ …-> P -> P -> P -> P -> P -> C8(krenel=3) -> N -> N -> N -> N -> N -> N -> N -> N -> N -> N…
   ·                                 ────────
   ╰────
",
    );
    assert!(plain(&Diagnostic::error(Code::E0202, "x").at(&source, far)).contains("│ P -> P"));
    assert!(drawn.contains("elsewhere"));
}

#[test]
fn records_have_offsets_lines_and_characters() {
    let source = Source::new("a.net", "é -> Q8\n-> F2\n");
    let diagnostic = Diagnostic::error(Code::E0201, "unknown layer kind `Q`")
        .at(&source, span_of(&source, "Q8\n-> F2"))
        .label("see", &source, Span::new(0, 2))
        .help("write `C8`");
    let json = |diagnostic: &Diagnostic| serde_json::to_string(&Record::from(diagnostic)).unwrap();
    assert_eq!(
        json(&diagnostic),
        [
            r#"{"code":"E0201","severity":"error","message":"unknown layer kind `Q`","help":"write `C8`","#,
            r#""file":"a.net","span":{"start":6,"end":14,"line":1,"column":6,"end_line":2,"end_column":6},"#,
            r#""labels":[{"message":"see","file":"a.net","#,
            r#""span":{"start":0,"end":2,"line":1,"column":1,"end_line":1,"end_column":2}}]}"#,
        ]
        .concat()
    );
    assert_eq!(
        json(&Diagnostic::warning(Code::W0101, "unknown").note("a fact")),
        [
            r#"{"code":"W0101","severity":"warning","message":"unknown","help":null,"file":null,"span":null,"#,
            r#""labels":[],"notes":["a fact"]}"#,
        ]
        .concat()
    );
}
