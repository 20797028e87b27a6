//! Values between TOML and the typed fields of a configuration.
//!
//! Owns: [`Value`], what a key may hold; [`Setting`], how a field's type reads and writes one. Knows nothing of keys or
//! spans; types with a written form of their own are in [`forms`](super::forms) and [`words`](super::words).

use std::fmt;

/// A TOML value of the kinds that keys take.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// A number with a fraction or an exponent.
    Number(f64),
}

/// As TOML writes it: strings quoted, numbers in the shortest form that reads back the same.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", toml::Value::from(text.as_str())),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Whole(number) => write!(f, "{number}"),
            // `{:?}` keeps the point or the exponent that makes it a TOML float.
            Self::Number(number) => write!(f, "{number:?}"),
        }
    }
}

/// A field's type: how it comes from a value and goes back. A value that a key's kind has let through and that `read`
/// still refuses is one of a form of its own (`"10min"`).
pub trait Setting: Sized {
    /// The field's value, if the value is of its form.
    fn read(value: &Value) -> Option<Self>;
    /// The value that reads back as this.
    fn write(&self) -> Value;
}

impl Setting for String {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl Setting for bool {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        Value::Flag(*self)
    }
}

impl Setting for f64 {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(*number),
            Value::Whole(number) => Some(*number as Self),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        Value::Number(*self)
    }
}

impl Setting for u64 {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Whole(number) => Self::try_from(*number).ok(),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        Value::Whole(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl Setting for usize {
    fn read(value: &Value) -> Option<Self> {
        u64::read(value).and_then(|number| Self::try_from(number).ok())
    }

    fn write(&self) -> Value {
        (*self as u64).write()
    }
}

/// 0 is "not given".
impl Setting for Option<usize> {
    fn read(value: &Value) -> Option<Self> {
        usize::read(value).map(|number| Some(number).filter(|&n| n > 0))
    }

    fn write(&self) -> Value {
        self.unwrap_or(0).write()
    }
}

/// Lets a type that parses from a string and displays as one be a field's type.
macro_rules! text_setting {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            fn read(value: &Value) -> Option<Self> {
                match value {
                    Value::Text(text) => text.parse().ok(),
                    _ => None,
                }
            }

            fn write(&self) -> Value {
                Value::Text(self.to_string())
            }
        }
    )*};
}
pub(super) use text_setting;

/// Why a text is not of a form; the caller knows the key and says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_toml_floats() {
        for (number, text) in [
            (0.01, "0.01"),
            (1.0, "1.0"),
            (1e-8, "1e-8"),
            (1e300, "1e300"),
        ] {
            assert_eq!(Value::Number(number).to_string(), text);
            assert_eq!(
                format!("x = {text}").parse::<toml::Table>().unwrap()["x"].as_float(),
                Some(number)
            );
        }
        assert_eq!(
            Value::Text("a\"b\\".into()).to_string().len(),
            6,
            "quoted so that it reads back"
        );
    }
}
