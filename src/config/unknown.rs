//! Names that are no keys, and tables where none belong.
//!
//! Owns: which tables there are (they follow from [`KEYS`]), and the wording of E0402. Knows nothing of places; the walk
//! in `read` adds them.

use toml::de::DeValue;

use super::check::describe;
use super::keys::{KEYS, Key, Kind};
use super::value::Value;
use crate::diagnostic::nearest::{nearest, one_of};
use crate::diagnostic::{Code, Diagnostic};

/// Whether a dotted path is a table's.
pub(super) fn is_table(path: &str) -> bool {
    KEYS.iter().any(|key| {
        key.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The next parts of all paths under a table's.
fn members(path: &str) -> Vec<&'static str> {
    let inside = |key: &'static Key| {
        if path.is_empty() {
            Some(key.path)
        } else {
            key.path
                .strip_prefix(path)
                .and_then(|rest| rest.strip_prefix('.'))
        }
    };
    let mut members: Vec<&str> = KEYS
        .iter()
        .filter_map(inside)
        .filter_map(|rest| rest.split('.').next())
        .collect();
    members.dedup();
    members
}

/// The paths of the keys with a certain last part.
fn elsewhere(name: &str) -> Vec<&'static str> {
    KEYS.iter()
        .map(|key| key.path)
        .filter(|path| path.rsplit('.').next() == Some(name))
        .collect()
}

/// E0402 for `name` in the table `path` ("" outside any); `table` says whether it is itself a table.
pub(super) fn unknown(path: &str, name: &str, table: bool) -> Diagnostic {
    let members = members(path);
    let message = match (path, table) {
        ("", true) => format!("unknown table `[{name}]`"),
        ("", false) => format!("unknown key `{name}` outside any table"),
        _ => format!("unknown key `{name}` in `[{path}]`"),
    };
    let homes: Vec<String> = elsewhere(name)
        .into_iter()
        .filter_map(|path| path.rsplit_once('.'))
        .map(|(table, _)| format!("[{table}]"))
        .collect();
    let help = if !homes.is_empty() {
        let homes = one_of(homes.iter().map(String::as_str));
        format!("`{name}` belongs to {homes}")
    } else if let Some(meant) = nearest(name, members.iter().copied()) {
        if path.is_empty() && table {
            format!("did you mean `[{meant}]`?")
        } else {
            format!("did you mean `{meant}`?")
        }
    } else if path.is_empty() {
        format!("the tables are {}", one_of(members))
    } else {
        format!("the keys of `[{path}]` are {}", one_of(members))
    };
    Diagnostic::error(Code::E0402, message).help(help)
}

/// E0402 for the whole path of an assignment.
pub(super) fn unknown_path(path: &str) -> Diagnostic {
    let last = path.rsplit('.').next().unwrap_or(path);
    let meant = match nearest(path, KEYS.iter().map(|key| key.path)) {
        Some(meant) => vec![meant],
        None => elsewhere(last),
    };
    let help = if meant.is_empty() {
        "keys are written with their table, for example `train.epochs`".into()
    } else {
        format!("did you mean {}?", one_of(meant))
    };
    Diagnostic::error(Code::E0402, format!("unknown key `{path}`")).help(help)
}

/// E0403 for a table's name with a value of another kind.
pub(super) fn no_table(path: &str, value: &DeValue<'_>) -> Diagnostic {
    let message = format!("`{path}` is a table of keys, not {}", describe(value));
    let prefix = format!("{path}.");
    let mut members = KEYS.iter().filter(|key| key.path.starts_with(&prefix));
    let name = |key: &Key| key.path[prefix.len()..].to_owned();
    // `schedule = "step"` means the schedule of that kind.
    let meant = match value {
        DeValue::String(text) => members
            .clone()
            .find(|key| matches!(key.kind, Kind::Words(words) if words.contains(&text.as_ref()))),
        _ => None,
    };
    let example = match (meant, value, members.next()) {
        (Some(key), DeValue::String(text), _) => {
            format!("{} = {}", name(key), Value::Text(text.to_string()))
        }
        (_, _, Some(key)) => format!("{} = {}", name(key), key.default()),
        _ => String::new(),
    };
    let help = match path.rsplit_once('.') {
        Some((_, name)) => format!("write `{name} = {{ {example} }}`"),
        None => {
            format!("write `[{path}]` on a line of its own and its keys below, such as `{example}`")
        }
    };
    Diagnostic::error(Code::E0403, message).help(help)
}
