//! The machine-readable forms of `check`: field names and order of JSON, SARIF against its rules, GitHub's commands.

use boon::{Compiler, Schemas};
use netc::diagnostic::Code;
use serde_json::{Value, json};

use crate::harness::{Netc, Outcome};

/// One file without a fault, one with two places for one fault, one without an input, one that is not there.
fn check(arguments: &[&str]) -> Outcome {
    Netc::new()
        .file("good.net", "input 1x8x8\nC8 -> P -> F2\n")
        .file(
            "nets/twice é.net",
            "input 1x8x8\nstem: C8 ->\nstem: Q -> F2\n",
        )
        .file("open.net", "C8 -> P -> F2\n")
        .args([
            "check",
            "--no-memory",
            "good.net",
            "nets/twice é.net",
            "open.net",
            "nowhere.net",
        ])
        .args(arguments.iter().copied())
        .run()
}

#[test]
fn json_has_the_contract_s_fields_in_its_order() {
    let outcome = Netc::new()
        .file("a.net", "input 1x8x8 # é\nC8 -> Q -> F2\n")
        .args(["check", "--json", "--no-memory", "a.net"])
        .run();
    outcome.exits(1);
    let expected = r#"{
  "version": 1,
  "files": [
    {
      "file": "a.net",
      "ok": false,
      "diagnostics": [
        {
          "code": "E0201",
          "severity": "error",
          "message": "unknown layer kind `Q`",
          "help": "HELP",
          "file": "a.net",
          "span": {
            "start": 23,
            "end": 24,
            "line": 2,
            "column": 7,
            "end_line": 2,
            "end_column": 8
          },
          "labels": []
        }
      ],
      "input": null,
      "classes": null,
      "layers": [],
      "totals": null
    }
  ]
}
"#;
    let help = outcome.json()["files"][0]["diagnostics"][0]["help"].to_string();
    assert_eq!(outcome.stdout.replace(&help, "\"HELP\""), expected);
}

#[test]
fn json_has_an_entry_for_each_file_and_expression() {
    let outcome = check(&["--format", "json", "--expr", "C8 -> Q", "--expr", "F2"]);
    outcome.exits(1);
    assert_eq!(
        outcome.stdout,
        check(&["--json", "--expr", "C8 -> Q", "--expr", "F2"]).stdout
    );
    assert!(outcome.stderr.is_empty(), "{}", outcome.stderr);
    let report = outcome.json();
    let files: Vec<(&str, bool)> = report["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            (
                file["file"].as_str().unwrap(),
                file["ok"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        files,
        [
            ("good.net", true),
            ("nets/twice é.net", false),
            ("open.net", true),
            ("nowhere.net", false),
            ("<expr>", false),
            ("<expr>", true),
        ]
    );
    let twice = report["files"][1]["diagnostics"].as_array().unwrap();
    let label = twice
        .iter()
        .find(|one| one["code"] == "E0206")
        .expect("E0206");
    assert_eq!(label["span"]["line"], 3);
    assert_eq!(label["labels"][0]["message"], "first used here");
    assert_eq!(label["labels"][0]["span"]["line"], 2);
    // Neither has a place in a text.
    for file in [2, 3] {
        let diagnostic = &report["files"][file]["diagnostics"][0];
        assert_eq!(
            (&diagnostic["file"], &diagnostic["span"]),
            (&Value::Null, &Value::Null)
        );
        assert!(diagnostic["message"].is_string());
    }
    let stdin = Netc::new()
        .stdin("C8 -> Q -> F2")
        .args(["check", "-", "--json", "--no-memory"])
        .run();
    assert_eq!(stdin.json()["files"][0]["file"], "<stdin>");
    assert_eq!(
        stdin.json()["files"][0]["diagnostics"][0]["file"],
        "<stdin>"
    );
    Netc::new()
        .args(["check", "--json", "--format", "text", "--expr", "F2"])
        .run()
        .exits(2);
}

/// What a SARIF log of netc looks like, closed: no property beside these. Names and types are the standard's.
fn sarif_schema() -> Value {
    let object = |required: &[&str], properties: Value| json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties});
    let text = || json!({"type": "string", "minLength": 1});
    let list = |items: Value| json!({"type": "array", "items": items});
    let message = || object(&["text"], json!({"text": text()}));
    let count = |least: u32| json!({"type": "integer", "minimum": least});
    let artifact = object(
        &["uri"],
        json!({"uri": {"type": "string", "format": "uri-reference"}}),
    );
    let region = object(
        &["startLine", "startColumn", "endLine", "endColumn"],
        json!({"startLine": count(1), "startColumn": count(1), "endLine": count(1), "endColumn": count(1)}),
    );
    let physical = object(
        &["artifactLocation"],
        json!({"artifactLocation": artifact, "region": region}),
    );
    let location = object(&["physicalLocation"], json!({"physicalLocation": physical}));
    let related = object(
        &["id", "message", "physicalLocation"],
        json!({"id": count(0), "message": message(), "physicalLocation": physical}),
    );
    let level = json!({"enum": ["warning", "error"]});
    let rule = object(
        &[
            "id",
            "shortDescription",
            "fullDescription",
            "help",
            "defaultConfiguration",
        ],
        json!({
            "id": {"type": "string", "pattern": "^[EW][0-9]{4}$"},
            "shortDescription": message(),
            "fullDescription": message(),
            "help": object(&["text", "markdown"], json!({"text": text(), "markdown": text()})),
            "defaultConfiguration": object(&["level"], json!({"level": level})),
        }),
    );
    let driver = object(
        &[
            "name",
            "version",
            "semanticVersion",
            "shortDescription",
            "rules",
        ],
        json!({
            "name": {"const": "netc"},
            "version": text(),
            "semanticVersion": {"type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+"},
            "shortDescription": message(),
            "rules": list(rule),
        }),
    );
    let result = object(
        &["ruleId", "ruleIndex", "level", "message", "locations"],
        json!({
            "ruleId": text(),
            "ruleIndex": count(0),
            "level": level,
            "message": message(),
            "locations": {"type": "array", "minItems": 1, "maxItems": 1, "items": location},
            "relatedLocations": list(related),
        }),
    );
    let run = object(
        &["tool", "invocations", "columnKind", "results"],
        json!({
            "tool": object(&["driver"], json!({"driver": driver})),
            "invocations": list(object(&["executionSuccessful"], json!({"executionSuccessful": {"const": true}}))),
            "columnKind": {"const": "unicodeCodePoints"},
            "results": list(result),
        }),
    );
    let mut schema = object(
        &["$schema", "version", "runs"],
        json!({
            "$schema": {"type": "string", "format": "uri"},
            "version": {"const": "2.1.0"},
            "runs": {"type": "array", "minItems": 1, "maxItems": 1, "items": run},
        }),
    );
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema
}

#[test]
fn sarif_logs_are_as_the_standard_has_them() {
    let outcome = check(&["--format", "sarif", "--expr", "C8 ->\n-> Q(kernel=0 -> F2"]);
    outcome.exits(1);
    assert!(outcome.stderr.is_empty(), "{}", outcome.stderr);
    let log = outcome.json();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("sarif.json", sarif_schema()).unwrap();
    let schema = compiler.compile("sarif.json", &mut schemas).unwrap();
    if let Err(error) = schemas.validate(&log, schema) {
        panic!("{error}\n{}", outcome.stdout);
    }
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    for result in results {
        let rule = &rules[result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        assert_eq!(rule["defaultConfiguration"]["level"], result["level"]);
    }
    for rule in rules {
        let code: Code = rule["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(rule["shortDescription"]["text"], code.meaning());
        assert!(
            results.iter().any(|result| result["ruleId"] == rule["id"]),
            "{code} is not needed"
        );
    }
    let find = |code: &str| {
        results
            .iter()
            .find(|result| result["ruleId"] == code)
            .unwrap()
    };
    let label = find("E0206");
    let place = |location: &Value| location["physicalLocation"].clone();
    assert_eq!(
        place(&label["locations"][0]),
        json!({
            "artifactLocation": {"uri": "nets/twice%20%C3%A9.net"},
            "region": {"startLine": 3, "startColumn": 1, "endLine": 3, "endColumn": 5},
        })
    );
    assert_eq!(
        label["relatedLocations"][0]["message"]["text"],
        "first used here"
    );
    assert_eq!(
        place(&label["relatedLocations"][0])["region"]["startLine"],
        2
    );
    // Without a place in the text, the file is the place.
    assert_eq!(
        place(&find("W0101")["locations"][0]),
        json!({"artifactLocation": {"uri": "open.net"}})
    );
    assert_eq!(
        place(&find("E0501")["locations"][0]),
        json!({"artifactLocation": {"uri": "nowhere.net"}})
    );
    let message = find("E0201")["message"]["text"].as_str().unwrap();
    assert!(
        message.starts_with("unknown layer kind `Q`\nhelp: "),
        "{message}"
    );
}

#[test]
fn a_sarif_log_of_nothing_wrong_has_no_results() {
    let outcome = Netc::new()
        .args(["check", "--format", "sarif", "--expr", "input 1x8x8 F2"])
        .run();
    outcome.exits(0);
    assert_eq!(outcome.json()["runs"][0]["results"], json!([]));
}

#[test]
fn github_s_commands_stand_a_line_each() {
    let outcome = check(&["--format", "github"]);
    outcome.exits(1);
    assert!(outcome.stderr.is_empty(), "{}", outcome.stderr);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("::error ") || line.starts_with("::warning "))
    );
    let starts = [
        "::error file=nets/twice é.net,line=3,col=1,endLine=3,endColumn=5,title=E0206::the label `stem` is used twice",
        "::error file=nets/twice é.net,line=3,col=7,endLine=3,endColumn=8,title=E0201::unknown layer kind `Q`%0Ahelp: ",
        "::warning file=open.net,title=W0101::the input's shape is unknown",
        "::error file=nowhere.net,title=E0501::`nowhere.net` cannot be read",
    ];
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\nand not\n{start}");
    }
    assert_eq!(lines.len(), starts.len());
}

#[test]
fn faults_of_the_configuration_are_reported_in_every_form() {
    let netc = |format: &str| {
        Netc::new()
            .file("a.toml", "[train]\nepoch = 2\n")
            .args([
                "check",
                "--expr",
                "input 1x28x28 F10",
                "--config",
                "a.toml",
                "--format",
                format,
            ])
            .run()
    };
    let json = netc("json");
    assert_eq!(json.exits(1).json()["files"][0]["file"], "a.toml");
    let sarif = netc("sarif").json();
    let location = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], "a.toml");
    assert!(
        netc("github")
            .stdout
            .starts_with("::error file=a.toml,line=2,col=1,")
    );
}
