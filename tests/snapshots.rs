//! cases/errors: the whole rendering of what is wrong with a network's text, a case or more for every code.
//!
//! `UPDATE_EXPECT=1` rewrites the renderings; the diff is reviewed. The expected text is a file of its own, so that
//! errors at a file's end stay honest. A first line `# args: …` gives further arguments of `netc check`.

use std::fs;
use std::path::PathBuf;

use netc::diagnostic::Code;

use crate::harness::{Netc, root};

/// Codes of text that no text can cause in this version.
const NOT_YET: &[Code] = &[];

fn cases() -> Vec<PathBuf> {
    let folder = root().join("tests/cases/errors");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    cases.retain(|path| path.extension().is_some_and(|ending| ending == "net"));
    cases.sort();
    cases
}

/// The code that a case is named by.
fn code(case: &std::path::Path) -> String {
    case.file_name().expect("a name").to_string_lossy()[..5].to_owned()
}

#[test]
fn renderings_are_as_reviewed() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let text = String::from_utf8_lossy(&fs::read(&case).unwrap()).into_owned();
        let arguments = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# args: "))
            .unwrap_or("");
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let netc = Netc::new()
            .current(case.parent().unwrap())
            .args(["check", "--no-memory", name.as_str()])
            .args(arguments.split_whitespace());
        let outcome = netc.run();
        let code = code(&case);
        outcome.exits(if code.starts_with('W') { 0 } else { 1 });
        let first = outcome
            .stderr
            .lines()
            .find(|line| line.starts_with("error[") || line.starts_with("warning["))
            .unwrap_or_default();
        assert!(
            outcome.stderr.contains(&format!("[{code}]")),
            "{name} is no case of {code}: {first}"
        );
        let expected = case.with_extension("stderr");
        if update {
            fs::write(&expected, &outcome.stderr).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != outcome.stderr {
            wrong.push(format!("{name}:\n{}", outcome.stderr));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} renderings differ from their .stderr:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let endings = fs::read_dir(root().join("tests/cases/errors"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let renderings = endings
        .filter(|path| path.extension().is_some_and(|ending| ending == "stderr"))
        .count();
    assert_eq!(
        renderings,
        cases().len(),
        "a rendering for each case, and no other"
    );
}

#[test]
fn every_code_of_a_network_s_text_has_a_case() {
    let cases: Vec<String> = cases().iter().map(|case| code(case)).collect();
    let of_text = |code: &Code| {
        ["E01", "E02", "E03", "W01"]
            .iter()
            .any(|family| code.name().starts_with(family))
    };
    let missing: Vec<&str> = Code::ALL
        .iter()
        .filter(|code| of_text(code) && !NOT_YET.contains(code))
        .map(|code| code.name())
        .filter(|code| !cases.iter().any(|case| case == code))
        .collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
    for code in &cases {
        assert!(
            Code::ALL.iter().any(|known| known.name() == code),
            "{code} is no code"
        );
    }
}
