//! `netc explain`: every code's entry is true. Its example raises the code and nothing else, its remedy raises nothing.

use netc::diagnostic::Code;
use netc::diagnostic::explain::{Explanation, Part, parts};
use serde_json::Value;

use crate::harness::{Netc, Outcome};

/// The codes that a check of a block finds, each once.
fn raised(language: &str, text: &str) -> Vec<String> {
    let check = Netc::new().args(["check", "--json", "a.net"]);
    let outcome = match language {
        "net" => check.file("a.net", text),
        "toml" => check
            .file("a.net", "input 1x28x28\nC4 -> F16 -> F10\n")
            .file("a.toml", text)
            .args(["--config", "a.toml"]),
        other => panic!("`{other}` is neither `net` nor `toml`"),
    }
    .run();
    let report: Value = outcome.json();
    let files = report["files"].as_array().expect("files");
    let mut codes: Vec<String> = files
        .iter()
        .flat_map(|file| file["diagnostics"].as_array().expect("diagnostics"))
        .map(|diagnostic| diagnostic["code"].as_str().expect("a code").to_owned())
        .collect();
    codes.sort();
    codes.dedup();
    codes
}

/// The blocks of a section that can be checked: language and text.
fn checkable(section: &str) -> Vec<(&str, &str)> {
    let block = |part| match part {
        Part::Block { language, text } if language != "console" => Some((language, text)),
        Part::Block { .. } | Part::Words(_) => None,
    };
    parts(section).into_iter().filter_map(block).collect()
}

#[test]
fn examples_raise_their_code_and_remedies_raise_nothing() {
    let mut wrong = Vec::new();
    for &code in Code::ALL {
        let entry = Explanation::of(code);
        let (examples, remedies) = (checkable(entry.example), checkable(entry.remedy));
        assert_eq!(
            examples.is_empty(),
            remedies.is_empty(),
            "{code}: an example that is checked needs a remedy that is checked"
        );
        for (language, text) in examples {
            let found = raised(language, text);
            if found != [code.name()] {
                wrong.push(format!("{code}: the example raises {found:?}"));
            }
        }
        for (language, text) in remedies {
            let found = raised(language, text);
            if !found.is_empty() {
                wrong.push(format!("{code}: the remedy raises {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn codes_of_text_and_toml_have_examples_that_are_checked() {
    // A Markdown file is UTF-8, and no TOML lacks a key.
    let without = [Code::E0106, Code::E0406];
    for &code in Code::ALL {
        let checked = ["E01", "E02", "E03", "E04", "W01"]
            .iter()
            .any(|family| code.name().starts_with(family));
        if checked && !without.contains(&code) {
            let entry = Explanation::of(code);
            assert!(!checkable(entry.example).is_empty(), "{code}");
        }
    }
}

fn explain(arguments: &[&str]) -> Outcome {
    Netc::new()
        .args(["explain"])
        .args(arguments.iter().copied())
        .run()
}

#[test]
fn codes_are_explained_in_either_case() {
    let upper = explain(&["E0301"]);
    upper
        .exits(0)
        .says("E0301: window larger than its padded input\n\nCause\n  A window")
        .says("\n\nExample\n      input 1x28x28\n")
        .says("\n\nRemedy\n  Pool less");
    assert!(!upper.stdout.contains("```"), "{}", upper.stdout);
    assert_eq!(explain(&["e0301"]).stdout, upper.stdout);
    explain(&["W0101"]).exits(0).says("W0101: the input shape");
    let coloured = explain(&["--color", "always", "E0301"]);
    coloured.exits(0).says("\u{1b}[1mCause\u{1b}[0m");
}

#[test]
fn codes_that_are_none_are_wrong_usage() {
    for (given, tip) in [
        ("E031", "did you mean 'E0301'?"),
        ("e0399", "did you mean 'E0"),
        ("window", "`netc explain --list` shows all codes"),
    ] {
        let outcome = explain(&[given]);
        outcome.exits(2);
        let message = format!("error: no diagnostic has the code '{given}'");
        assert!(outcome.stderr.contains(&message), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(tip), "{}", outcome.stderr);
        assert!(outcome.stdout.is_empty());
    }
    explain(&["--list", "E0301"]).exits(2);
}

#[test]
fn all_codes_are_listed() {
    let list = explain(&["--list"]);
    list.exits(0);
    assert_eq!(list.stdout, explain(&[]).stdout);
    let lines: Vec<&str> = list.stdout.lines().skip(1).collect();
    assert_eq!(lines.len(), Code::ALL.len());
    for (line, code) in lines.iter().zip(Code::ALL) {
        assert_eq!(*line, format!("{code}  {}", code.meaning()));
    }
}
