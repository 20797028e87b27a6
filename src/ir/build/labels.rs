//! Labels: each used once, none of the shape of a name that netc makes.

use super::Builder;
use crate::diagnostic::{Code, Diagnostic};
use crate::op::KINDS;
use crate::syntax::tree::{Chain, Layer, Stage};

impl<'a> Builder<'a> {
    /// Checks every label of the text, once each.
    pub(super) fn labels(&mut self, chain: &'a Chain) {
        for stage in &chain.stages {
            match stage {
                Stage::Layer(Layer {
                    label: Some(label), ..
                }) => {
                    let fault = |message: String| {
                        Diagnostic::error(Code::E0206, message).at(self.source, label.span)
                    };
                    if let Some(first) = self.labels.get(label.value.as_str()) {
                        self.sink.push(
                            fault(format!("the label `{}` is used twice", label.value))
                                .label("first used here", self.source, *first)
                                .help(format!("write another label, such as `{}_2`", label.value)),
                        );
                        continue;
                    }
                    if is_generated(&label.value) {
                        let help = format!(
                            "write another word, such as `{}_` or `my_{}`",
                            label.value, label.value
                        );
                        self.sink.push(
                            fault(format!(
                                "`{}` has the shape of a generated name",
                                label.value
                            ))
                            .help(help),
                        );
                    }
                    self.labels.insert(&label.value, label.span);
                }
                Stage::Repeat(repeat) => self.labels(&repeat.chain),
                Stage::Join(join) => join.branches.iter().for_each(|branch| self.labels(branch)),
                _ => {}
            }
        }
    }
}

/// Whether a label looks like a name that netc makes: a kind's letter, `add` or `cat`, and digits.
fn is_generated(label: &str) -> bool {
    let word = label.trim_end_matches(|c: char| c.is_ascii_digit());
    word.len() < label.len()
        && (word == "add"
            || word == "cat"
            || KINDS.iter().any(|kind| kind.letter.to_lowercase() == word))
}
