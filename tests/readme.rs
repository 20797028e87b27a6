//! Documents say what is true: the table of networks, and the commands whose output README shows.

use std::fs;

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
fn checks_in_the_readme_print_what_it_shows() {
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
    let mut checked = 0;
    for (command, output) in commands {
        let starts = [
            "netc check ",
            "target/release/netc check ",
            "./target/release/netc check ",
            "cargo run --release -- check ",
        ];
        let Some(rest) = starts.iter().find_map(|start| command.strip_prefix(start)) else {
            continue;
        };
        let Some(arguments) = words(rest) else {
            continue;
        };
        let outcome = Netc::new()
            .current(root())
            .args(["check"])
            .args(arguments)
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
        checked += 1;
    }
    assert!(
        checked > 0,
        "README.md shows no `netc check` in a console block"
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
