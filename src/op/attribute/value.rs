//! An attribute's value: from what stands in the text to what the table asks for, or what is wrong with it.

use crate::diagnostic::Code;
use crate::diagnostic::nearest::{nearest, one_of};
use crate::syntax::tree::{self, Spanned};

use super::super::shape::Size;
use super::{Attribute, Given, LARGEST_WHOLE, Type};

/// A whole number without sign, fraction or exponent; too large ones saturate.
pub(super) fn whole(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().unwrap_or(u64::MAX))
}

/// A type fault: code, message, help. `None` where the parser has reported it already.
pub(super) type TypeFault = Option<(Code, String, Option<String>)>;

/// Reads a value as the attribute's type.
///
/// # Errors
/// E0103, E0204 or E0205; `None` where the parser has told of it.
pub(super) fn typed(known: &Attribute, value: &Spanned<tree::Value>) -> Result<Given, TypeFault> {
    let key = known.key;
    let wrong = |what: &str| {
        let example = if known.default.is_empty() || known.default.starts_with('=') {
            None
        } else {
            Some(format!("write `{key}={}`", known.default))
        };
        Err(Some((
            Code::E0204,
            format!("`{key}` takes {what}"),
            example,
        )))
    };
    let range = |message: String| Err(Some((Code::E0205, message, Some(within(known)))));
    let whole_part = |text: &str, min: u64| -> Result<Option<usize>, TypeFault> {
        match whole(text) {
            Some(number) if number > LARGEST_WHOLE => Err(Some((
                Code::E0205,
                format!("`{text}` is too large: whole numbers go to {LARGEST_WHOLE}"),
                Some(within(known)),
            ))),
            Some(number) if number < min => Err(Some((
                Code::E0205,
                format!("`{key}` must be at least {min}"),
                Some(within(known)),
            ))),
            Some(number) => Ok(Some(number as usize)),
            None if text.starts_with('-') && whole(&text[1..]).is_some() => Err(Some((
                Code::E0205,
                format!("`{key}` must be at least {min}"),
                Some(within(known)),
            ))),
            None => Ok(None),
        }
    };
    match (known.value, &value.value) {
        (_, tree::Value::Error) => Err(None),
        (Type::Flag, _) => Err(Some((
            Code::E0204,
            format!("`{key}` is a flag and takes no value"),
            Some(format!("write `{key}`")),
        ))),
        (Type::Whole { min }, tree::Value::Number(text)) => match whole_part(text, min)? {
            Some(number) => Ok(Given::Whole(number)),
            None => wrong("a whole number"),
        },
        (Type::Whole { .. }, _) => wrong("a whole number"),
        (Type::Size { min, word }, tree::Value::Number(text)) => match whole_part(text, min)? {
            Some(side) => Ok(Given::Size(Size::square(side))),
            None => wrong(size_words(word)),
        },
        (Type::Size { min, word }, tree::Value::Size(parts)) => match parts.as_slice() {
            [height, width] => match (whole_part(height, min)?, whole_part(width, min)?) {
                (Some(height), Some(width)) => Ok(Given::Size(Size { height, width })),
                _ => wrong(size_words(word)),
            },
            _ => Err(Some((
                Code::E0103,
                format!("`{key}` takes a size of two parts, height x width"),
                Some(format!("write `{key}=5x3` or `{key}=3`")),
            ))),
        },
        (
            Type::Size {
                word: Some(word), ..
            },
            tree::Value::Word(given),
        ) if given == word => Ok(Given::Word(word)),
        (Type::Size { word, .. }, _) => wrong(size_words(word)),
        (Type::Real { min, max, below }, tree::Value::Number(text)) => {
            let Some(number) = text.parse::<f64>().ok().filter(|n| n.is_finite()) else {
                return range(format!("`{text}` is too large for a number"));
            };
            if number < min || number > max || (below && number >= max) {
                return range(match (min, max) {
                    (min, f64::MAX) => format!("`{key}` must be at least {min}"),
                    (min, max) if below => {
                        format!("`{key}` must be at least {min} and below {max}")
                    }
                    (min, max) => format!("`{key}` must be from {min} to {max}"),
                });
            }
            Ok(Given::Real(number))
        }
        (Type::Real { .. }, _) => wrong("a number"),
        (Type::Word(words), tree::Value::Word(given)) => {
            match words.iter().find(|word| *word == given) {
                Some(word) => Ok(Given::Word(word)),
                None => Err(Some((
                    Code::E0204,
                    format!("`{key}` cannot be `{given}`"),
                    Some(match nearest(given, words.iter().copied()) {
                        Some(near) => format!("did you mean `{key}={near}`?"),
                        None => format!("it is one of {}", one_of(words.iter().copied())),
                    }),
                ))),
            }
        }
        (Type::Word(words), _) => Err(Some((
            Code::E0204,
            format!("`{key}` takes a word"),
            Some(format!("it is one of {}", one_of(words.iter().copied()))),
        ))),
    }
}

/// What to write instead of a value out of range.
fn within(known: &Attribute) -> String {
    let key = known.key;
    match known.value {
        _ if !known.default.is_empty() => format!("the default is `{key}={}`", known.default),
        Type::Whole { min } | Type::Size { min, .. } => format!("write `{key}={min}` or more"),
        Type::Real {
            min,
            max,
            below: true,
        } => format!(
            "write a number from {min} to just below {max}, such as `{key}={}`",
            f64::midpoint(min, max)
        ),
        _ => format!("leave `{key}` out, or write a number within its range"),
    }
}

fn size_words(word: Option<&str>) -> &'static str {
    match word {
        Some("same") => "a size such as `3` or `5x3`, or the word `same`",
        _ => "a size such as `3` or `5x3`",
    }
}
