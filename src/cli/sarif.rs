//! SARIF 2.1.0 logs: the form that code scanning services and editors read.
//!
//! Owns: the translation of diagnostics to results and of explanations to rules (OASIS, Static Analysis Results
//! Interchange Format 2.1.0, plus errata 01). Columns are Unicode code points and ends are excluded, as netc's own are,
//! and the log says so. Only the rules that a run needs stand in its log.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::report::{Findings, words};
use crate::diagnostic::explain::{Explanation, Part, parts};
use crate::diagnostic::{Code, Diagnostic, Place, Severity};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The log of one run over several files.
pub fn log(findings: &[Findings<'_>]) -> Value {
    let all = || findings.iter().flat_map(|findings| findings.found);
    let used = |code: &Code| all().any(|diagnostic| diagnostic.code == *code);
    let rules: Vec<Code> = Code::ALL.iter().copied().filter(used).collect();
    let results: Vec<Value> = findings
        .iter()
        .flat_map(|findings| {
            findings
                .found
                .iter()
                .map(|diagnostic| result(findings.file, diagnostic, &rules))
        })
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "shortDescription": {"text": env!("CARGO_PKG_DESCRIPTION")},
                "rules": rules.iter().map(|code| rule(*code)).collect::<Vec<_>>(),
            }},
            // The run succeeded, whatever it found.
            "invocations": [{"executionSuccessful": true}],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A code as a rule.
fn rule(code: Code) -> Value {
    let explanation = Explanation::of(code);
    json!({
        "id": code.name(),
        "shortDescription": {"text": code.meaning()},
        "fullDescription": {"text": plain(explanation.cause)},
        "help": {"text": help(&explanation), "markdown": explanation.markdown()},
        "defaultConfiguration": {"level": if code.name().starts_with('W') { "warning" } else { "error" }},
    })
}

/// A section without Markdown: a line a paragraph, blocks as they are.
fn plain(section: &str) -> String {
    let parts = parts(section);
    let text = parts.iter().map(|part| match part {
        Part::Words(words) => words
            .split("\n\n")
            .map(|paragraph| paragraph.replace('\n', " "))
            .collect::<Vec<_>>()
            .join("\n\n"),
        Part::Block { text, .. } => text.trim_end().to_owned(),
    });
    text.collect::<Vec<_>>().join("\n\n")
}

fn help(explanation: &Explanation) -> String {
    explanation
        .sections()
        .map(|(heading, text)| format!("{heading}\n\n{}", plain(text)))
        .join("\n\n")
}

fn result(file: &str, diagnostic: &Diagnostic, rules: &[Code]) -> Value {
    let location = match &diagnostic.primary {
        Some(place) => located(place),
        None => json!({"physicalLocation": {"artifactLocation": {"uri": uri(file)}}}),
    };
    let mut result = json!({
        "ruleId": diagnostic.code.name(),
        "ruleIndex": rules.iter().position(|code| *code == diagnostic.code),
        "level": match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "message": {"text": words(diagnostic)},
        "locations": [location],
    });
    let related: Vec<Value> = diagnostic
        .labels
        .iter()
        .enumerate()
        .map(|(id, label)| {
            let mut location = located(&label.place);
            location["id"] = json!(id);
            location["message"] = json!({"text": label.message});
            location
        })
        .collect();
    if !related.is_empty() {
        result["relatedLocations"] = Value::from(related);
    }
    result
}

fn located(place: &Place) -> Value {
    let from = place.source.line_column(place.span.start);
    let to = place.source.line_column(place.span.end);
    json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(place.source.name())},
        "region": {
            "startLine": from.line,
            "startColumn": from.column,
            "endLine": to.line,
            "endColumn": to.column,
        },
    }})
}

/// A path as a URI reference (RFC 3986): relative where the path is, `file:` where it is absolute. What is no path
/// (`<expr>`) is percent-encoded like one.
fn uri(name: &str) -> String {
    let mut uri = String::new();
    if Path::new(name).is_absolute() {
        uri.push_str(if name.starts_with('/') {
            "file://"
        } else {
            "file:///"
        });
    }
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(byte as char);
            }
            b'\\' if cfg!(windows) => uri.push('/'),
            byte => write!(uri, "%{byte:02X}").expect("internal error: writing to a string failed"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_uri_references() {
        assert_eq!(uri("nets/alexnet.net"), "nets/alexnet.net");
        assert_eq!(uri("/tmp/a b.net"), "file:///tmp/a%20b.net");
        assert_eq!(uri("<expr>"), "%3Cexpr%3E");
        assert_eq!(uri("a:b#é.net"), "a%3Ab%23%C3%A9.net");
    }

    #[test]
    fn rules_are_described_in_plain_text_and_in_markdown() {
        let rule = rule(Code::E0301);
        assert_eq!(rule["id"], "E0301");
        let text = rule["help"]["text"].as_str().unwrap();
        assert!(text.starts_with("Cause\n\nA window") && text.contains("\n\nRemedy\n\n"));
        assert!(!text.contains("```"), "{text}");
        assert!(
            rule["help"]["markdown"]
                .as_str()
                .unwrap()
                .contains("```net\n")
        );
        assert!(
            !rule["fullDescription"]["text"]
                .as_str()
                .unwrap()
                .contains('\n')
        );
    }
}
