//! `netc explain`: every code's entry is true. Its example raises the code and nothing else, its remedy raises nothing.

use netc::diagnostic::Code;
use netc::diagnostic::explain::{Explanation, Part, parts};
use serde_json::Value;

use crate::harness::{Netc, Outcome};

/// A section's network and configuration.
#[derive(Default)]
struct Checkable<'a> {
    net: Option<&'a str>,
    toml: Option<&'a str>,
}

impl<'a> Checkable<'a> {
    fn of(section: &'a str) -> Self {
        let mut found = Self::default();
        for part in parts(section) {
            match part {
                Part::Block {
                    language: "net",
                    text,
                } => found.net = Some(text),
                Part::Block {
                    language: "toml",
                    text,
                } => found.toml = Some(text),
                Part::Block { .. } | Part::Words(_) => {}
            }
        }
        found
    }

    fn is_there(&self) -> bool {
        self.net.is_some() || self.toml.is_some()
    }

    /// The codes that a check of both finds, each once.
    fn raised(&self) -> Vec<String> {
        let net = self.net.unwrap_or("input 1x28x28\nC4 -> F16 -> F10\n");
        let mut check = Netc::new()
            .file("a.net", net)
            .args(["check", "--json", "a.net"]);
        if let Some(toml) = self.toml {
            check = check.file("a.toml", toml).args(["--config", "a.toml"]);
        }
        let report: Value = check.run().json();
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
}

#[test]
fn examples_raise_their_code_and_remedies_raise_nothing() {
    let mut wrong = Vec::new();
    for &code in Code::ALL {
        let entry = Explanation::of(code);
        let (example, remedy) = (Checkable::of(entry.example), Checkable::of(entry.remedy));
        assert_eq!(
            example.is_there(),
            remedy.is_there(),
            "{code}: an example that is checked needs a remedy that is checked"
        );
        if !example.is_there() {
            continue;
        }
        let found = example.raised();
        if found != [code.name()] {
            wrong.push(format!("{code}: the example raises {found:?}"));
        }
        let found = remedy.raised();
        if !found.is_empty() {
            wrong.push(format!("{code}: the remedy raises {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn codes_of_text_and_toml_have_examples_that_are_checked() {
    // A Markdown file is UTF-8, no TOML lacks a key, and `check` asks no device.
    let without = [Code::E0106, Code::E0406, Code::W0402];
    for &code in Code::ALL {
        let checked = ["E01", "E02", "E03", "E04", "W0"]
            .iter()
            .any(|family| code.name().starts_with(family));
        if checked && !without.contains(&code) {
            let entry = Explanation::of(code);
            assert!(Checkable::of(entry.example).is_there(), "{code}");
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
        ("e03001", "did you mean 'E0301'?"),
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
