//! The JSON schema of the TOML, for editors that complete and check it.
//!
//! Owns: the translation of [`KEYS`] to JSON Schema. It is draft-07, which every editor's TOML plug-in reads. A value fits
//! the schema where [`Config::load`](super::Config::load) has no E0402, E0403 or E0404 for it, settings that this version
//! does not implement included. What the schema cannot say: whether a path exists, and keys that contradict each other.

use serde_json::{Map, Value as Json, json};

use super::keys::{KEYS, Key, Kind, Range, Ready};
use super::value::Value;

/// The schema of a whole configuration.
pub fn schema() -> Json {
    let mut schema = table("");
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("netc configuration");
    schema["description"] =
        json!("Hyperparameters of a training with netc. Every key has a default.");
    schema
}

/// A table's schema; `path` ends with a point, or is empty for the whole file.
fn table(path: &str) -> Json {
    let mut properties = Map::new();
    for key in KEYS {
        let Some(rest) = key.path.strip_prefix(path) else {
            continue;
        };
        match rest.split_once('.') {
            None => {
                properties.insert(rest.into(), of_key(key));
            }
            Some((name, _)) if !properties.contains_key(name) => {
                properties.insert(name.into(), table(&format!("{path}{name}.")));
            }
            Some(_) => {}
        }
    }
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn of_key(key: &Key) -> Json {
    let mut schema = match (key.ready, key.kind) {
        (Ready::No, _) => json!({"enum": [of_value(&key.default())]}),
        (Ready::Words(words), Kind::Words(_)) | (_, Kind::Words(words)) => {
            json!({"type": "string", "enum": words})
        }
        (Ready::Words(words), Kind::WholeOr(range, _)) | (_, Kind::WholeOr(range, words)) => {
            let whole = within(json!({"type": "integer"}), range, Json::from);
            if words.is_empty() {
                whole
            } else {
                json!({"anyOf": [whole, {"type": "string", "enum": words}]})
            }
        }
        (_, Kind::Text | Kind::DataPath) => json!({"type": "string", "minLength": 1}),
        (_, Kind::Flag) => json!({"type": "boolean"}),
        (_, Kind::Whole(range)) => within(json!({"type": "integer"}), range, Json::from),
        (_, Kind::Number(range)) => within(json!({"type": "number"}), range, Json::from),
        (_, Kind::Form(form)) => {
            let pattern = json!({"type": "string", "pattern": form.pattern});
            if form.words.is_empty() {
                pattern
            } else {
                json!({"anyOf": [{"type": "string", "enum": form.words}, pattern]})
            }
        }
    };
    let only = if key.ready == Ready::No {
        " (only the default in this version)"
    } else {
        ""
    };
    schema["description"] = json!(format!("{}{only}", key.doc));
    schema["default"] = of_value(&key.default());
    schema
}

fn within<T: Copy>(mut schema: Json, range: Range<T>, json: impl Fn(T) -> Json) -> Json {
    let (least, most) = match (range.above, range.below) {
        (false, false) => ("minimum", "maximum"),
        (false, true) => ("minimum", "exclusiveMaximum"),
        (true, false) => ("exclusiveMinimum", "maximum"),
        (true, true) => ("exclusiveMinimum", "exclusiveMaximum"),
    };
    schema[least] = json(range.least);
    schema[most] = json(range.most);
    schema
}

fn of_value(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Flag(flag) => json!(flag),
        Value::Whole(number) => json!(number),
        Value::Number(number) => json!(number),
    }
}
