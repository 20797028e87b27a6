//! Documents say what is true: the table of networks, the tables of README that are generated, and the commands whose
//! output README shows. `UPDATE_EXPECT=1` rewrites the generated tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use netc::config::keys::Ready;
use netc::config::{KEYS, Kind};
use netc::diagnostic::Code;
use netc::op::KINDS;
use serde_json::Value;

use crate::harness::{Netc, root, text_of};

/// `62,378,344`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let (start, rest) = digits.split_at(digits.len() % 3);
    let parts = [start]
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(String::from);
    let triples = rest
        .as_bytes()
        .chunks(3)
        .map(|part| String::from_utf8_lossy(part).into_owned());
    parts.chain(triples).collect::<Vec<_>>().join(",")
}

#[test]
fn the_table_of_networks_is_true() {
    let table = text_of("nets/README.md");
    let mut seen = 0;
    for entry in fs::read_dir(root().join("nets")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".net") else {
            continue;
        };
        seen += 1;
        let report: Value = Netc::new()
            .current(root())
            .args(["check", &format!("nets/{name}"), "--json"])
            .run()
            .exits(0)
            .json();
        let file = &report["files"][0];
        let plain = |cell: &str| {
            cell.split(['[', ']', '`', '(', ')', ' ', '|'])
                .any(|word| word == stem || word == name)
        };
        let row = table.lines().find(|line| {
            line.starts_with('|') && plain(line.split('|').nth(1).unwrap_or_default())
        });
        let row = row.unwrap_or_else(|| panic!("no row for {name} in nets/README.md"));
        let cells: Vec<&str> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        for key in ["parameters", "multiply_adds"] {
            let number = grouped(file["totals"][key].as_u64().unwrap());
            assert!(
                cells.contains(&number.as_str()),
                "{name}: {key} are {number}, and the row says\n{row}"
            );
        }
        let input: Vec<String> = file["input"]
            .as_array()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            row.contains(&input.join("x")),
            "{name}: its input is {}, and the row says\n{row}",
            input.join("x")
        );
    }
    assert!(seen >= 4, "{seen} networks");
}

/// Demands that README has this text between the comments `<!-- NAME: generated -->` and `<!-- end -->`.
#[track_caller]
fn generated(name: &str, text: &str) {
    let readme = text_of("README.md");
    let (start, end) = (
        format!("<!-- {name}: generated -->\n\n"),
        "\n<!-- end -->\n",
    );
    let (before, rest) = readme
        .split_once(&start)
        .unwrap_or_else(|| panic!("no {start}"));
    let (present, after) = rest.split_once(end).expect("an end");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(
            root().join("README.md"),
            [before, &start, text, end, after].concat(),
        )
        .unwrap();
    } else {
        assert_eq!(present, text, "README's {name} are not up to date");
    }
}

#[test]
fn the_tables_of_codes_and_keys_are_generated() {
    let mut codes = "| code | means |\n|---|---|\n".to_owned();
    for code in Code::ALL {
        writeln!(codes, "| {code} | {} |", code.meaning()).unwrap();
    }
    generated("codes", &codes);
    let mut keys = "| key | default | values | meaning |\n|---|---|---|---|\n".to_owned();
    for key in KEYS {
        let words = |words: &[&str]| {
            let quoted: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            quoted.join(", ")
        };
        let values = match (key.ready, key.kind) {
            (Ready::No, _) => "in this version only the default".into(),
            (Ready::Words(ready), Kind::Words(_)) => words(ready),
            (_, Kind::Words(all)) => words(all),
            (Ready::Words([]), Kind::WholeOr(range, _)) | (_, Kind::Whole(range)) => {
                format!("whole, {range}")
            }
            (_, Kind::WholeOr(range, all)) => format!("whole, {range}, or {}", words(all)),
            (_, Kind::Number(range)) => range.to_string(),
            (_, Kind::Flag) => "`true`, `false`".into(),
            (_, Kind::Text | Kind::DataPath) => "text".into(),
            (_, Kind::Form(form)) => form.description.into(),
        };
        let (path, default) = (key.path, key.default());
        writeln!(keys, "| `{path}` | `{default}` | {values} | {} |", key.doc).unwrap();
    }
    generated("keys", &keys);
}

/// The words in backticks in a cell of a table.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_table_of_attributes_is_complete() {
    let readme = text_of("README.md");
    let rows: Vec<Vec<&str>> = readme
        .lines()
        .skip_while(|line| !line.starts_with("| kind | attribute |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    // Cells: nothing, kinds with variants in backticks, keys, default, meaning.
    let is_of = |row: &[&str], letter: &str| row[1].split([',', ' ']).any(|word| word == letter);
    for kind in KINDS {
        for attribute in kind.attributes {
            let of_key: Vec<&Vec<&str>> = rows
                .iter()
                .filter(|row| is_of(row, kind.letter) && quoted(row[2]).contains(&attribute.key))
                .collect();
            let (letter, key) = (kind.letter, attribute.key);
            assert!(!of_key.is_empty(), "no row for `{key}` of {letter}");
            for variant in attribute.variants {
                let found = of_key.iter().any(|row| quoted(row[1]).contains(variant));
                assert!(found, "no row for `{key}` of {letter}({variant})");
            }
            let found = of_key.iter().any(|row| row[3].contains(attribute.default));
            assert!(
                found,
                "`{key}` of {letter} is `{}` by default",
                attribute.default
            );
        }
    }
    for row in &rows {
        for key in quoted(row[2]) {
            for kind in KINDS.iter().filter(|kind| is_of(row, kind.letter)) {
                let known = kind.attributes.iter().any(|attribute| attribute.key == key);
                assert!(known, "{} has no attribute `{key}`", kind.letter);
            }
        }
    }
}

/// Words of a command line as a shell would split them; `None` where it does more than run netc.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, '|' | '>' | '<' | '&' | ';' | '$' | '\\') => return None,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[test]
fn sessions_in_the_readme_print_what_they_show() {
    let readme = text_of("README.md");
    let mut inside = false;
    let mut commands: Vec<(String, Vec<&str>)> = Vec::new();
    for line in readme.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside {
            match line.strip_prefix("$ ") {
                Some(command) => commands.push((command.to_owned(), Vec::new())),
                None => {
                    if let Some((_, output)) = commands.last_mut() {
                        output.push(line);
                    }
                }
            }
        }
    }
    let mut checked = BTreeSet::new();
    for (command, output) in commands {
        // `echo 'text' | netc fmt -` is its only pipe.
        let (input, netc) = match command.split_once(" | netc ") {
            Some((echo, netc)) => (words(echo), Some(netc)),
            None => (None, command.strip_prefix("netc ")),
        };
        let Some(arguments) = netc.and_then(words) else {
            continue;
        };
        if !matches!(arguments[0].as_str(), "check" | "diff" | "fmt" | "plan") {
            continue;
        }
        let text = input.map_or(String::new(), |echo| echo[1].clone() + "\n");
        let outcome = Netc::new()
            .current(root())
            .args(&arguments)
            .stdin(text)
            .run();
        assert!(outcome.status < 2, "{command}: {}", outcome.stderr);
        let printed: Vec<&str> = outcome
            .stderr
            .lines()
            .chain(outcome.stdout.lines())
            .map(str::trim_end)
            .collect();
        for line in output
            .into_iter()
            .map(str::trim_end)
            .filter(|line| !line.is_empty() && !matches!(line.trim(), "…" | "..."))
        {
            assert!(
                printed.contains(&line),
                "`{command}` does not print\n{line}\nbut\n{}",
                printed.join("\n")
            );
        }
        checked.insert(arguments[0].clone());
    }
    let commands: Vec<&str> = checked.iter().map(String::as_str).collect();
    assert_eq!(
        commands,
        ["check", "diff", "fmt", "plan"],
        "commands that README.md shows"
    );
}

#[test]
fn command_lines_are_split_as_a_shell_does() {
    assert_eq!(
        words("--expr 'C8 -> F2' a.net # why").unwrap(),
        ["--expr", "C8 -> F2", "a.net"]
    );
    assert_eq!(words("a.net | head"), None);
    assert_eq!(grouped(1_135_256_096), "1,135,256,096");
    assert_eq!(grouped(999), "999");
}
