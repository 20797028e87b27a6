//! What is generated from the table of keys and from the command line's definitions: `netc schema`, `completions`, `man`.

use std::fs;
use std::path::Path;

use boon::{Compiler, Schemas};
use netc::config::{Config, KEYS, Kind, Value};
use netc::diagnostic::Code;
use netc::source::Source;
use serde_json::Value as Json;

use crate::harness::{Netc, root, text_of};

fn schema() -> Json {
    Netc::new().args(["schema"]).run().exits(0).json()
}

/// Whether each TOML fits the schema.
fn fits(documents: &[String]) -> Vec<bool> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("netc.json", schema()).unwrap();
    let index = compiler.compile("netc.json", &mut schemas).unwrap();
    let fit = |text: &String| {
        let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
        schemas
            .validate(&serde_json::to_value(table).unwrap(), index)
            .is_ok()
    };
    documents.iter().map(fit).collect()
}

/// Whether netc finds nothing wrong; `None` where keys contradict each other, of which a schema knows nothing.
fn accepted(text: &str) -> Option<bool> {
    let (_, found) = Config::load(Some(&Source::new("a.toml", text)), Path::new("."), &[]);
    let contradict = found.iter().any(|one| one.code == Code::E0405);
    (!contradict).then(|| found.is_empty())
}

/// `[table]` and a key's line, with inline tables written out.
fn document(path: &str, value: &str) -> String {
    let (table, key) = path.rsplit_once('.').expect("a key stands in a table");
    format!("[{table}]\n{key} = {value}\n")
}

#[test]
fn schema_and_netc_agree_on_every_key() {
    let mut documents = Vec::new();
    for key in KEYS {
        let mut values: Vec<String> = [
            "true",
            "-1",
            "0",
            "1",
            "0.5",
            "70000",
            "2147483648",
            "\"\"",
            "\"x\"",
            "[]",
            "{}",
        ]
        .map(String::from)
        .to_vec();
        // To JSON Schema 1.0 is a whole number, to TOML it is none.
        if matches!(key.kind, Kind::Number(_)) {
            values.extend(["1.0", "1e7"].map(String::from));
        }
        values.push(key.default().to_string());
        match key.kind {
            Kind::Words(words) | Kind::WholeOr(_, words) => {
                values.extend(words.iter().map(|word| format!("\"{word}\"")));
            }
            Kind::Form(form) => {
                values.extend(form.words.iter().map(|word| format!("\"{word}\"")));
                values.extend(
                    ["\"0:1\"", "\"nvidia:h100\"", "\"10 minutes\"", "\"0 s\""].map(String::from),
                );
            }
            Kind::Number(range) => {
                values.extend([range.least, range.most].map(|end| Value::Number(end).to_string()));
            }
            Kind::Whole(range) => {
                let ends = [
                    Some(range.least),
                    range.least.checked_sub(1),
                    Some(range.most),
                    range.most.checked_add(1),
                ];
                values.extend(ends.into_iter().flatten().map(|end| end.to_string()));
            }
            Kind::Text | Kind::DataPath | Kind::Flag => {}
        }
        documents.extend(values.iter().map(|value| document(key.path, value)));
    }
    let mut refused = 0;
    let mut accepted_too = 0;
    for (text, fits) in documents.iter().zip(fits(&documents)) {
        let Some(accepted) = accepted(text) else {
            continue;
        };
        assert_eq!(fits, accepted, "schema {fits}, netc {accepted}:\n{text}");
        *(if fits {
            &mut accepted_too
        } else {
            &mut refused
        }) += 1;
    }
    assert!(refused > KEYS.len() && accepted_too > KEYS.len());
}

#[test]
fn configurations_of_the_repository_fit_the_schema() {
    let mut documents = vec![Config::default().to_toml()];
    for entry in fs::read_dir(root().join("nets")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            documents.push(fs::read_to_string(path).unwrap());
        }
    }
    assert!(documents.len() > 4);
    for (text, fits) in documents.iter().zip(fits(&documents)) {
        assert!(fits, "{text}");
    }
    let bad = [
        "[trian]\nepochs = 1\n",
        "[train]\nepoch = 1\n",
        "epochs = 1\n",
        "[data.augment]\nflop = true\n",
        "[optimizer]\nschedule = \"step\"\n",
    ]
    .map(String::from);
    assert_eq!(fits(&bad), [false; 5]);
}

#[test]
fn every_key_has_a_description_and_a_default() {
    let schema = schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    for key in KEYS {
        let mut at = &schema;
        for part in key.path.split('.') {
            assert_eq!(at["additionalProperties"], false, "{}", key.path);
            at = &at["properties"][part];
        }
        assert!(
            at["description"].as_str().unwrap().starts_with(key.doc),
            "{}",
            key.path
        );
        assert!(!at["default"].is_null(), "{}", key.path);
    }
}

/// The commands that `netc --help` lists.
fn commands() -> Vec<String> {
    let help = Netc::new().args(["--help"]).run();
    let commands = help
        .exits(0)
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1);
    let commands: Vec<String> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next().map(String::from))
        .collect();
    assert!(commands.len() > 8, "{commands:?}");
    commands
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Netc::new().args(["completions", shell]).run();
        script.exits(0);
        for command in commands() {
            assert!(script.stdout.contains(&command), "{shell}: {command}");
        }
        script.says("format");
    }
    for shell in ["bash", "zsh", "fish"] {
        Netc::new().args(["completions", shell]).run().says("sarif");
    }
    let outcome = Netc::new().args(["completions", "bsh"]).run();
    outcome.exits(2);
    assert!(outcome.stderr.contains("'bash'"), "{}", outcome.stderr);
}

#[test]
fn manual_pages_cover_the_program_and_every_command() {
    let whole = Netc::new().args(["man"]).run();
    whole
        .exits(0)
        .says(".TH netc 1")
        .says(".SH \"EXIT STATUS\"")
        .says("NETC_CACHE_DIR")
        .says("NETC_TUNING_DIR");
    for code in Code::ALL {
        whole.says(code.name());
    }
    for command in commands() {
        let page = Netc::new().args(["man", &command]).run();
        page.exits(0)
            .says(&format!(".TH netc-{command} 1"))
            .says("EXIT STATUS");
    }
    let outcome = Netc::new().args(["man", "chekc"]).run();
    outcome.exits(2);
    assert!(
        outcome.stderr.contains("a similar command exists: 'check'"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn misspelt_commands_and_options_are_recognised() {
    for (arguments, meant) in [
        (["chek", "a.net"], "'check'"),
        (["explian", "E0301"], "'explain'"),
        (["check", "--confg"], "'--config'"),
    ] {
        let outcome = Netc::new().args(arguments).run();
        outcome.exits(2);
        assert!(outcome.stderr.contains(meant), "{}", outcome.stderr);
    }
}

#[test]
fn the_readme_sets_an_editor_up_with_the_schema() {
    assert!(text_of("README.md").contains("#:schema netc.schema.json"));
}
