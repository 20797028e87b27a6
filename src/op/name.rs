//! Names of steps, buffers and parameters: who owns it, and up to three words of what it is, `c1.weight.gradient`.
//!
//! A plan of 10,000 layers has some 300,000 of them, so none is a text of its own; all are written out where people see
//! them.

use std::fmt;
use std::sync::Arc;

/// `c1.weight.gradient`, `input`, `sum1.forward.copy.2`.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    owner: Option<Arc<str>>,
    words: [&'static str; 3],
    /// Which of several that are alike, from 1; 0 where there is one.
    number: u32,
}

impl Name {
    /// What belongs to a layer.
    pub fn of(owner: &Arc<str>) -> Self {
        Self {
            owner: Some(Arc::clone(owner)),
            ..Self::default()
        }
    }

    /// Adds a word.
    ///
    /// # Panics
    /// Where there are three already.
    #[must_use]
    pub fn word(mut self, word: &'static str) -> Self {
        let free = self.words.iter_mut().find(|word| word.is_empty());
        *free.expect("internal error: a name has three words at most") = word;
        self
    }

    /// Tells it from others that are alike, by a number from 1.
    #[must_use]
    pub fn number(mut self, number: usize) -> Self {
        self.number = number as u32;
        self
    }

    /// The same of another owner.
    #[must_use]
    pub fn owned_by(mut self, owner: &Arc<str>) -> Self {
        self.owner = Some(Arc::clone(owner));
        self
    }

    /// The layer, where it belongs to one.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The first word.
    pub fn first_word(&self) -> &'static str {
        self.words[0]
    }
}

impl From<&'static str> for Name {
    fn from(word: &'static str) -> Self {
        Self::default().word(word)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words.iter().filter(|word| !word.is_empty());
        for (at, part) in self.owner().into_iter().chain(words.copied()).enumerate() {
            f.write_str(if at > 0 { "." } else { "" })?;
            f.write_str(part)?;
        }
        if self.number > 0 {
            write!(f, ".{}", self.number)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_by_dots() {
        let layer: Arc<str> = "c1".into();
        let name = Name::of(&layer).word("weight");
        assert_eq!(name.to_string(), "c1.weight");
        assert_eq!(
            name.clone().word("gradient").to_string(),
            "c1.weight.gradient"
        );
        assert_eq!(name.number(2).to_string(), "c1.weight.2");
        assert_eq!(Name::from("input").to_string(), "input");
        assert_eq!(Name::from("bias").owned_by(&layer).to_string(), "c1.bias");
    }
}
