//! Comments, each with the item that it belongs to: what stands above it, and what stands behind it.

use super::outline::{Bracket, Item, Outline};
use crate::syntax::tree::Tree;

/// The comments of one item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// On lines of their own above it.
    pub above: Vec<String>,
    /// Behind it, on its line.
    pub behind: Option<String>,
}

/// All comments of a text.
#[derive(Clone, Debug, Default)]
pub struct Comments {
    /// Of the `input` statement.
    pub input: Notes,
    /// Of each item of a folded outline.
    pub items: Vec<Notes>,
    /// Below the last item.
    pub end: Vec<String>,
}

impl Comments {
    /// The comments of a text, by the items of its folded outline.
    pub fn of(tree: &Tree, outline: &Outline) -> Self {
        let mut comments = Self {
            items: vec![Notes::default(); outline.items.len()],
            ..Self::default()
        };
        // Where items begin: those with words of their own in the text, in its order.
        let mut begins: Vec<(usize, usize)> = Vec::new();
        for (at, item) in outline.items.iter().enumerate() {
            match item {
                Item::Layer(_) => begins.push((outline.spans[at].start, at)),
                Item::Open(bracket) if *bracket != Bracket::Branch => {
                    begins.push((outline.spans[at].start, at));
                    begins.push((outline.spans[at].end - 1, outline.ends[at]));
                }
                _ => {}
            }
        }
        begins.sort_unstable();
        let text = tree.source.text();
        let input = tree.input.as_ref().map(|input| input.span);
        for comment in &tree.comments {
            let start = comment.span.start;
            let words = comment.value.trim_end().to_owned();
            let line = &text[text[..start].rfind('\n').map_or(0, |at| at + 1)..start];
            let next = begins.partition_point(|(begin, _)| *begin < start);
            if let Some(input) = input
                && (start < input.start || next == 0 && text[input.end..start].find('\n').is_none())
            {
                if start < input.end || line.trim().is_empty() {
                    comments.input.above.push(words);
                } else {
                    comments.input.behind = Some(words);
                }
                continue;
            }
            let before = next.checked_sub(1).map(|at| begins[at].1);
            match before {
                Some(item) if !line.trim().is_empty() && comments.items[item].behind.is_none() => {
                    comments.items[item].behind = Some(words);
                }
                _ => match begins.get(next) {
                    Some((_, item)) => comments.items[*item].above.push(words),
                    None => comments.end.push(words),
                },
            }
        }
        comments
    }
}

impl Notes {
    /// The comments of both sides: of the one that changed them; where both did, all of them.
    pub fn merged(base: Option<&Self>, ours: Option<&Self>, theirs: Option<&Self>) -> Self {
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return ours.or(theirs).cloned().unwrap_or_default();
        };
        match base {
            Some(base) if base == ours => return theirs.clone(),
            Some(base) if base == theirs => return ours.clone(),
            _ => {}
        }
        let mut notes = ours.clone();
        let known = |notes: &Self, words: &String| {
            notes.above.contains(words) || notes.behind.as_ref() == Some(words)
        };
        for words in theirs.above.iter().chain(&theirs.behind) {
            if !known(&notes, words) {
                notes.above.push(words.clone());
            }
        }
        notes
    }
}
