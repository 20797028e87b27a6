//! One value against its key: type, words, range, and what to write instead.
//!
//! Owns: the wording of E0403 and E0404. Knows nothing of places; the walk in `read` adds them.

use std::fmt::Display;

use toml::de::DeValue;

use super::keys::{Key, Kind};
use super::value::Value;
use crate::diagnostic::nearest::nearest;
use crate::diagnostic::{Code, Diagnostic};

/// The value of a key, where it is of its kind and in its range; a form of its own is left to the field's type.
///
/// # Errors
/// E0403 wrong type or unknown word, E0404 out of range.
pub(super) fn check(key: &Key, value: &DeValue<'_>) -> Result<Value, Diagnostic> {
    match (key.kind, value) {
        (Kind::Text | Kind::DataPath, DeValue::String(text)) if text.is_empty() => Err(
            Diagnostic::error(Code::E0404, format!("`{}` is empty", key.path))
                .help(for_example(key)),
        ),
        (Kind::Text | Kind::DataPath | Kind::Form(_), DeValue::String(text)) => {
            Ok(Value::Text(text.to_string()))
        }
        (Kind::Words(words) | Kind::WholeOr(_, words), DeValue::String(text))
            if words.contains(&text.as_ref()) =>
        {
            Ok(Value::Text(text.to_string()))
        }
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
        (Kind::Whole(range) | Kind::WholeOr(range, _), DeValue::Integer(number)) => {
            match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(whole) if range.contains(whole) => Ok(Value::Whole(whole)),
                _ => Err(out_of_range(key, number, range)),
            }
        }
        // A whole number too large for 64 bits lies outside every range.
        (Kind::Number(range), DeValue::Integer(number)) => {
            match i64::from_str_radix(number.as_str(), number.radix()).map(|whole| whole as f64) {
                Ok(whole) if range.contains(whole) => Ok(Value::Number(whole)),
                _ => Err(out_of_range(key, number, range)),
            }
        }
        (Kind::Number(range), DeValue::Float(number)) => match number.as_str().parse() {
            Ok(parsed) if range.contains(parsed) => Ok(Value::Number(parsed)),
            _ => Err(out_of_range(key, number, range)),
        },
        (_, DeValue::String(text)) => Err(wrong_text(key, text)),
        _ => {
            let message = format!(
                "`{}` is {}, not {}",
                key.path,
                expected(key),
                describe(value)
            );
            Err(Diagnostic::error(Code::E0403, message).help(for_example(key)))
        }
    }
}

/// A string of which the key's own form (`"10min"`) has made nothing.
pub(super) fn wrong_form(key: &Key, value: &Value) -> Diagnostic {
    let message = format!("{value} is no value of `{}`", key.path);
    let list = format!("`{}` is {}", key.path, expected(key));
    let meant = match (key.kind, value) {
        (Kind::Form(form), Value::Text(text)) => nearest(text, form.words.iter().copied()),
        _ => None,
    };
    let help = match meant {
        Some(meant) => format!("did you mean \"{meant}\"? {list}"),
        None => list,
    };
    Diagnostic::error(Code::E0403, message).help(help)
}

/// A string where none belongs: an unknown word, a number in quotes, or neither.
fn wrong_text(key: &Key, text: &str) -> Diagnostic {
    let given = Value::Text(text.to_string());
    let bare = DeValue::parse(text)
        .ok()
        .filter(|bare| !matches!(bare.get_ref(), DeValue::String(_)));
    if let Some(Ok(value)) = bare.map(|bare| check(key, bare.get_ref())) {
        let message = format!(
            "`{}` is {}, not the string {given}",
            key.path,
            expected(key)
        );
        return Diagnostic::error(Code::E0403, message)
            .help(format!("write it without quotes: `{}`", line(key, &value)));
    }
    let (Kind::Words(words) | Kind::WholeOr(_, words)) = key.kind else {
        let message = format!(
            "`{}` is {}, not the string {given}",
            key.path,
            expected(key)
        );
        return Diagnostic::error(Code::E0403, message).help(for_example(key));
    };
    let list = format!("`{}` is {}", key.path, expected(key));
    let help = match nearest(text, words.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"? {list}"),
        None => list,
    };
    Diagnostic::error(
        Code::E0403,
        format!("{given} is no value of `{}`", key.path),
    )
    .help(help)
}

fn out_of_range(key: &Key, number: impl Display, range: impl Display) -> Diagnostic {
    let message = format!(
        "`{} = {number}` is out of range: it must be {range}",
        key.path
    );
    Diagnostic::error(Code::E0404, message)
        .help(format!("the default is `{}`", line(key, &key.default())))
}

/// The key's line with a value: `epochs = 5`.
pub(super) fn line(key: &Key, value: &Value) -> String {
    format!("{} = {value}", key.name())
}

fn for_example(key: &Key) -> String {
    format!("write for example `{}`", line(key, &key.default()))
}

/// A kind in words, for "is …".
fn expected(key: &Key) -> String {
    let quote = |words: &[&str]| {
        words
            .iter()
            .map(|word| format!("\"{word}\""))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match key.kind {
        Kind::Text | Kind::DataPath => "a string".into(),
        Kind::Flag => "true or false".into(),
        Kind::Whole(_) => "a whole number".into(),
        Kind::WholeOr(_, words) => format!("a whole number or {}", quote(words)),
        Kind::Number(_) => "a number".into(),
        Kind::Words(words) => format!("one of {}", quote(words)),
        Kind::Form(form) => form.description.into(),
    }
}

/// A value in words, for "not …".
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", Value::Text(text.to_string())),
        DeValue::Integer(number) => format!("the whole number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => format!("the date or time {date}"),
        DeValue::Array(_) => "an array".into(),
        DeValue::Table(_) => "a table".into(),
    }
}
