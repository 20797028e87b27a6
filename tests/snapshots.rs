//! cases/: the whole rendering of every diagnostic that text, TOML, files and devices can cause.
//!
//! cases/errors holds networks and configurations: `CASE.net`, `CASE.toml` or both, checked together, and `CASE.stderr`,
//! what `netc check` says. A first line `# args: …` of the network gives further arguments. cases/files holds what
//! commands on faulty files and devices say; the commands stand in bad_input.rs and faulty_device.rs. `UPDATE_EXPECT=1`
//! rewrites the renderings; the diff is reviewed. An expected text is a file of its own, so that errors at a file's end
//! stay honest.

use std::collections::BTreeSet;
use std::fs;

use netc::diagnostic::Code;

use crate::harness::{Netc, expect, root, text_of};

/// The codes that no text, TOML, file or device of these tests can cause, and why.
const WITHOUT_A_CASE: &[(Code, &str)] = &[(
    Code::E0406,
    "every key of this version has a default, so none can be missing",
)];

/// The case names in a folder: files with one of these endings, without it.
fn cases(folder: &str, endings: &[&str]) -> BTreeSet<String> {
    let files = fs::read_dir(root().join("tests/cases").join(folder)).expect("the cases");
    files
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| endings.iter().any(|known| ending == *known))
        })
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn renderings_are_as_reviewed() {
    let folder = root().join("tests/cases/errors");
    let mut wrong = Vec::new();
    for case in cases("errors", &["net", "toml"]) {
        let file = |ending: &str| format!("{case}.{ending}");
        let mut netc = Netc::new().current(&folder).args(["check", "--no-memory"]);
        match fs::read(folder.join(file("net"))) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let first = text.lines().next().unwrap_or_default();
                let arguments = first.strip_prefix("# args: ").unwrap_or_default();
                netc = netc.args([file("net")]).args(arguments.split_whitespace());
            }
            Err(_) => netc = netc.args(["--expr", "input 1x28x28 F16 -> F10"]),
        }
        if folder.join(file("toml")).exists() {
            netc = netc.args(["--config".to_owned(), file("toml")]);
        }
        let outcome = netc.run();
        let code = &case[..5];
        outcome.exits(i32::from(!code.starts_with('W')));
        assert!(
            outcome.stderr.contains(&format!("[{code}]")),
            "{case} is no case of {code}:\n{}",
            outcome.stderr
        );
        let text = outcome.stderr.replace(&*root().to_string_lossy(), "[ROOT]");
        wrong.extend(expect(&format!("errors/{case}.stderr"), &text).err());
    }
    assert!(
        wrong.is_empty(),
        "{} renderings differ from their .stderr:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(
        cases("errors", &["stderr"]),
        cases("errors", &["net", "toml"]),
        "a rendering for each case, and no other"
    );
}

#[test]
fn every_code_has_a_case() {
    let mut seen: BTreeSet<String> = cases("errors", &["stderr"]);
    seen.extend(cases("files", &["stderr"]));
    for case in &seen {
        let code: Result<Code, _> = case[..5].parse();
        assert!(code.is_ok(), "{case} is named by no code");
    }
    for &code in Code::ALL {
        let found = seen.iter().any(|case| case.starts_with(code.name()));
        let reason = WITHOUT_A_CASE.iter().find(|(without, _)| *without == code);
        match reason {
            None => assert!(found, "no case for {code}: {}", code.meaning()),
            Some((_, reason)) => assert!(!found, "{code} has a case, although {reason}"),
        }
    }
}

#[test]
fn every_rendering_of_files_belongs_to_a_command() {
    let commands = ["bad_input", "faulty_device", "resume", "tune"]
        .map(|name| text_of(&format!("tests/{name}.rs")))
        .concat();
    for case in cases("files", &["stderr"]) {
        assert!(
            commands.contains(&format!("\"{case}\"")),
            "no command makes {case}"
        );
    }
}
