//! A merged network as text.

use super::Merged;
use crate::diff::notes::Notes;
use crate::diff::outline::{Bracket, Item};

impl Merged {
    /// The merged network as text, a stage of its own chain a line; `format` makes the canonical form of it.
    pub fn text(&self) -> String {
        let mut writer = Writer::default();
        if let Some(input) = self.input.0 {
            writer.above(&self.input.1);
            writer.word(&format!("input {input}"));
            writer.behind(&self.input.1);
            writer.line();
        }
        let mut depth = 0;
        // Whether an arrow stands before what comes.
        let mut arrow = false;
        for (at, (item, notes)) in self.items.iter().enumerate() {
            let opened = at > 0 && matches!(self.items[at - 1].0, Item::Open(_));
            match item {
                Item::Open(Bracket::Branch) => {
                    writer.word(if opened { "" } else { " | " });
                    arrow = false;
                    continue;
                }
                Item::Close(Bracket::Branch) => {
                    arrow = true;
                    continue;
                }
                Item::Close(_) => depth -= 1,
                _ => {}
            }
            let is_close = matches!(item, Item::Close(_));
            if depth == 0 && !is_close {
                writer.line();
            }
            writer.above(notes);
            if arrow && !is_close {
                writer.word(if depth == 0 { "-> " } else { " -> " });
            }
            writer.word(&item.text());
            writer.behind(notes);
            arrow = !matches!(item, Item::Open(_));
            depth += usize::from(matches!(item, Item::Open(_)));
        }
        writer.line();
        for words in &self.end {
            writer.word(words);
            writer.line();
        }
        writer.text
    }
}

#[derive(Default)]
struct Writer {
    text: String,
}

impl Writer {
    fn word(&mut self, word: &str) {
        self.text.push_str(word);
    }

    fn line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    fn above(&mut self, notes: &Notes) {
        for words in &notes.above {
            self.line();
            self.word(words);
            self.line();
        }
    }

    fn behind(&mut self, notes: &Notes) {
        if let Some(words) = &notes.behind {
            self.word(" ");
            self.word(words);
            self.line();
        }
    }
}
