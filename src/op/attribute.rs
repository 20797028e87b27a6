//! Attribute tables: what a kind's attributes are called, what they may hold, what they mean.
//!
//! A kind declares its attributes as data; everything that a table can say (unknown words, wrong types, ranges, things
//! given twice, keys of another variant) is checked in [`read`](self::read), once, for every kind; `value` turns what
//! stands after an `=` into what the table asks for.

mod read;
mod value;

pub use read::Arguments;

use super::shape::Size;

/// Whole numbers go this far (E0205 beyond).
pub const LARGEST_WHOLE: u64 = (1 << 31) - 1;

/// What an attribute's value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// No value: the bare word.
    Flag,
    /// A whole number from `min` on.
    Whole {
        /// The least.
        min: u64,
    },
    /// A size, `5x3` or `5`, each part from `min` on; or the word, where there is one.
    Size {
        /// The least of each part.
        min: u64,
        /// A word that may stand instead.
        word: Option<&'static str>,
    },
    /// A number from `min` to `max`.
    Real {
        /// The least.
        min: f64,
        /// The largest, or what it must stay below.
        max: f64,
        /// Whether `max` itself is too large.
        below: bool,
    },
    /// One of some words.
    Word(&'static [&'static str]),
}

/// Any number that is at least zero.
pub const POSITIVE_REAL: Type = Type::Real {
    min: 0.0,
    max: f64::MAX,
    below: false,
};
/// Any number at all.
pub const ANY_REAL: Type = Type::Real {
    min: f64::MIN,
    max: f64::MAX,
    below: false,
};

/// One attribute of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// The key or flag.
    pub key: &'static str,
    /// What its value may be.
    pub value: Type,
    /// What it is where it is not given, as one would write it; empty where that depends.
    pub default: &'static str,
    /// What it means, for tables.
    pub doc: &'static str,
    /// The variant flags that it belongs to; empty: all.
    pub variants: &'static [&'static str],
    /// For a flag that chooses the kind's variant.
    pub chooses: bool,
}

impl Attribute {
    /// An attribute with a value.
    pub const fn key(
        key: &'static str,
        value: Type,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self {
            key,
            value,
            default,
            doc,
            variants: &[],
            chooses: false,
        }
    }

    /// A flag.
    pub const fn flag(key: &'static str, doc: &'static str) -> Self {
        Self {
            key,
            value: Type::Flag,
            default: "",
            doc,
            variants: &[],
            chooses: false,
        }
    }

    /// A flag that chooses the variant.
    pub const fn variant(key: &'static str, doc: &'static str) -> Self {
        Self {
            key,
            value: Type::Flag,
            default: "",
            doc,
            variants: &[],
            chooses: true,
        }
    }

    /// The same, for some variants only.
    #[must_use]
    pub const fn of(mut self, variants: &'static [&'static str]) -> Self {
        self.variants = variants;
        self
    }
}

/// A value that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Given {
    /// A flag stands there.
    Flag,
    /// A whole number.
    Whole(usize),
    /// A size.
    Size(Size),
    /// A number.
    Real(f64),
    /// One of the words that the table lists.
    Word(&'static str),
}
