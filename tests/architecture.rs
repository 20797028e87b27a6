//! The architecture, enforced: who may use whom, and what stays in its one place.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::root;

/// The flow of modules. Each may use those before it and nothing after it.
const ORDER: &[&str] = &[
    "source",
    "random",
    "diagnostic",
    "file",
    "memory",
    "syntax",
    "op",
    "ir",
    "format",
    "diff",
    "plan",
    "device",
    "config",
    "data",
    "analysis",
    "run",
    "cli",
];

/// Uses against the flow: file, module, reason. None so far; keep it so.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// A Rust file: its path below the root, and its lines without comments, numbered from 1.
struct File {
    name: String,
    lines: Vec<(usize, String)>,
}

impl File {
    /// `ir` of src/ir/build.rs.
    fn module(&self) -> &str {
        let rest = self.name.strip_prefix("src/").unwrap_or(&self.name);
        let first = rest.split('/').next().unwrap_or(rest);
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Whether one of the folders or files.
    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.name.starts_with(place))
    }
}

fn sources(below: &str) -> Vec<File> {
    fn walk(at: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(at).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(below), &mut paths);
    paths.sort();
    let file = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("Rust is text");
        let code = |line: &str| {
            let end = if line.trim_start().starts_with("//") {
                0
            } else {
                line.find(" // ").unwrap_or(line.len())
            };
            line[..end].to_owned()
        };
        let lines = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, code(line)))
            .filter(|(_, line)| !line.trim().is_empty());
        File {
            name: path
                .strip_prefix(root())
                .expect("below")
                .to_string_lossy()
                .into_owned(),
            lines: lines.collect(),
        }
    };
    let files: Vec<File> = paths.into_iter().map(file).collect();
    assert!(!files.is_empty(), "no Rust below {below}");
    files
}

/// Where a word stands as a word of its own.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}

/// The modules that a line names after `crate::` or, in a file right below the root, after `super::`.
fn used(file: &File, line: &str) -> Vec<String> {
    let depth = file.name.matches('/').count() - usize::from(file.name.ends_with("/mod.rs"));
    let to_root = "super::".repeat(depth);
    let mut found = Vec::new();
    for start in ["crate::", "netc::", to_root.as_str()] {
        for (at, _) in line.match_indices(start) {
            let before = &line[..at];
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
                || (start == to_root && before.ends_with("super::"))
            {
                continue;
            }
            let name: String = line[at + start.len()..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if start != to_root || ORDER.contains(&name.as_str()) {
                found.push(name);
            }
        }
    }
    found
}

#[test]
fn modules_use_only_what_stands_before_them() {
    let place = |module: &str| ORDER.iter().position(|known| *known == module);
    let mut against = Vec::new();
    let mut uses = 0;
    for file in sources("src")
        .iter()
        .filter(|file| !["lib", "main"].contains(&file.module()))
    {
        let own = place(file.module())
            .unwrap_or_else(|| panic!("{} is in no module of ORDER", file.name));
        for (number, line) in &file.lines {
            for module in used(file, line) {
                uses += 1;
                let at = format!("{}:{number}: {}", file.name, line.trim());
                match place(&module) {
                    None => against.push(format!(
                        "{at}\n    write one module a line: `{module}` is none"
                    )),
                    Some(other)
                        if other <= own
                            || EXCEPTIONS
                                .iter()
                                .any(|(name, known, _)| *name == file.name && *known == module) => {
                    }
                    Some(_) => against.push(format!(
                        "{at}\n    `{}` stands before `{module}`",
                        file.module()
                    )),
                }
            }
        }
    }
    assert!(uses > 100, "the uses are found: {uses}");
    assert!(against.is_empty(), "{}", against.join("\n"));
}

#[test]
fn every_module_is_declared_in_the_crate_and_in_the_flow() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut declared: Vec<&str> = library
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let mut order = ORDER.to_vec();
    declared.sort_unstable();
    order.sort_unstable();
    assert_eq!(declared, order);
}

/// Refuses a word outside some places, and demands that it is found in them.
#[track_caller]
fn only_in(words: &[&str], places: &[&str]) {
    let mut outside = Vec::new();
    let mut inside = 0;
    for file in sources("src") {
        for (number, line) in &file.lines {
            if !words.iter().any(|word| {
                if word.ends_with('!') {
                    line.contains(word)
                } else {
                    has_word(line, word)
                }
            }) {
                continue;
            }
            if file.is_in(places) {
                inside += 1;
            } else {
                outside.push(format!("{}:{number}: {}", file.name, line.trim()));
            }
        }
    }
    assert!(
        outside.is_empty(),
        "{words:?} outside {places:?}:\n{}",
        outside.join("\n")
    );
    assert!(
        inside > 0 || places == ["src/cli/"],
        "{words:?} are not even in {places:?}"
    );
}

#[test]
fn the_parser_generator_stays_in_the_parser() {
    only_in(&["pest", "pest_derive"], &["src/syntax/parser"]);
}

#[test]
fn opencl_stays_in_its_engine() {
    only_in(&["ocl", "cl_sys", "libloading"], &["src/device/opencl/"]);
}

#[test]
fn unsafe_code_stays_in_two_places() {
    // A C interface, and the matrix library's raw pointers.
    only_in(
        &["unsafe"],
        &["src/device/opencl/", "src/op/product/matrix.rs"],
    );
}

#[test]
fn only_the_command_line_prints() {
    only_in(
        &["println!", "eprintln!", "print!", "eprint!", "dbg!"],
        &["src/cli/"],
    );
    // The second process that finishes kernels has neither.
    only_in(
        &["stdout", "stderr"],
        &["src/cli/", "src/device/opencl/finisher.rs"],
    );
    only_in(&["clap", "indicatif"], &["src/cli/"]);
}

#[test]
fn no_test_is_left_out() {
    let word = concat!("#[ig", "nore");
    for file in sources("src").into_iter().chain(sources("tests")) {
        for (number, line) in &file.lines {
            assert!(!line.contains(word), "{}:{number}: {line}", file.name);
        }
    }
}

#[test]
fn the_checks_see_what_they_look_for() {
    let file = |name: &str| File {
        name: name.into(),
        lines: Vec::new(),
    };
    assert_eq!(
        used(
            &file("src/ir/build.rs"),
            "use crate::plan::Plan; use super::super::run::X;"
        ),
        ["plan", "run"]
    );
    assert_eq!(
        used(
            &file("src/ir/mod.rs"),
            "use super::device::Device; fn f(x: mycrate::y)"
        ),
        ["device"]
    );
    assert_eq!(
        used(
            &file("src/op/norm/local.rs"),
            "use super::super::conv::image_only;"
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        used(&file("src/op/pool.rs"), "use crate::{plan, run};"),
        [""]
    );
    assert!(has_word("unsafe { f() }", "unsafe") && !has_word("#![allow(unsafe_code)]", "unsafe"));
}
