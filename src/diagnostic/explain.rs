//! What a code means at length: cause, example, remedy.
//!
//! Owns: the entries, one Markdown file a code in the folder `explain`, and taking them apart. An entry has the three
//! headings `## Cause`, `## Example` and `## Remedy`, in this order. A block marked `net` or `toml` under Example raises
//! the code when it is checked, and one under Remedy does not; a test runs them. Blocks marked `console` show what needs
//! files or devices. How entries are shown is not known here.

use super::Code;

/// A code's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whose entry it is.
    pub code: Code,
    /// The three sections, without their headings.
    pub cause: &'static str,
    /// What raises it.
    pub example: &'static str,
    /// What to write instead.
    pub remedy: &'static str,
}

/// A part of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Words: one or more lines between blocks.
    Words(&'a str),
    /// A block of code.
    Block {
        /// `net`, `toml` or `console`.
        language: &'a str,
        /// Its lines, each with its line end.
        text: &'a str,
    },
}

impl Explanation {
    /// The entry of a code.
    pub fn of(code: Code) -> Self {
        let sections = |entry: &'static str| {
            let (before, rest) = entry.split_once("## Cause\n")?;
            let (cause, rest) = rest.split_once("\n## Example\n")?;
            let (example, remedy) = rest.split_once("\n## Remedy\n")?;
            before.is_empty().then(|| Self {
                code,
                cause: cause.trim(),
                example: example.trim(),
                remedy: remedy.trim(),
            })
        };
        sections(code.entry()).expect("internal error: an entry lacks one of its three headings")
    }

    /// The sections with their headings.
    pub fn sections(&self) -> [(&'static str, &'static str); 3] {
        [
            ("Cause", self.cause),
            ("Example", self.example),
            ("Remedy", self.remedy),
        ]
    }

    /// The whole entry as Markdown, without the code itself.
    pub fn markdown(&self) -> &'static str {
        self.code.entry()
    }
}

/// A section's words and blocks, in order.
pub fn parts(section: &str) -> Vec<Part<'_>> {
    const FENCE: &str = "```";
    let mut parts = Vec::new();
    let mut rest = section;
    let words = |text| Some(Part::Words(text)).filter(|_| !str::trim(text).is_empty());
    while let Some((before, after)) = rest.split_once(FENCE) {
        parts.extend(words(before.trim()));
        let (language, after) = after.split_once('\n').unwrap_or((after, ""));
        let (text, after) = after.split_once(FENCE).unwrap_or((after, ""));
        parts.push(Part::Block { language, text });
        rest = after;
    }
    parts.extend(words(rest.trim()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_three_sections_with_something_in_each() {
        for &code in Code::ALL {
            let entry = Explanation::of(code);
            for (heading, text) in entry.sections() {
                assert!(!text.is_empty(), "{code}: {heading} is empty");
                assert!(
                    !text.contains("## "),
                    "{code}: {heading} holds another heading"
                );
                assert!(
                    text.lines().all(|line| line.chars().count() <= 100),
                    "{code}: a line of {heading} is long"
                );
            }
            let example = parts(entry.example);
            let shown = |part: &Part<'_>| matches!(part, Part::Block { language, .. } if ["net", "toml", "console"].contains(language));
            assert!(example.iter().any(shown), "{code}: no block in the example");
        }
    }

    #[test]
    fn words_and_blocks_come_apart() {
        assert_eq!(
            parts("One.\n\n```net\nC8\n-> F2\n```\n\nTwo\nlines."),
            [
                Part::Words("One."),
                Part::Block {
                    language: "net",
                    text: "C8\n-> F2\n"
                },
                Part::Words("Two\nlines."),
            ]
        );
        assert_eq!(
            parts("```toml\n```"),
            [Part::Block {
                language: "toml",
                text: ""
            }]
        );
    }
}
