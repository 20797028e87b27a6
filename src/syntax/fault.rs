//! What can be wrong with the text of a network, and how it is told.
//!
//! A [`Report`] is a place and a [`Fault`]; faults carry data only, so that a megabyte of mistakes costs no words. The
//! wording of every E01 diagnostic stands in [`Report::diagnostic`], the help beside its message where it needs no guess;
//! guesses are in `suggest`.

use std::sync::Arc;

use super::suggest;
use super::suggest::{quote, short, shorten};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Source, Span};

/// A kind of mistake, with what its message needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    // Brackets.
    Unclosed(char),
    Superfluous,
    Mistyped { opener: char, closer: usize },
    Stray(char),
    TooDeep,
    RoundBracket,
    EmptyBracket,
    BareBracket { times: Option<Span> },
    BranchesOutsideJoin,
    // Chains.
    NoLayer,
    Junk,
    JunkAfterStage,
    LeadingArrow { after_input: bool },
    DoubleArrow { first: Span },
    TrailingArrow,
    MissingArrow { before: Span, end: usize },
    WrongArrow,
    // Stages.
    Multiplied { times: Span },
    Unbracketed,
    Count,
    WidthApart { word: Span },
    BadWord,
    BadLabel,
    SecondLabel,
    LabelOnBracket,
    LonelyLabel,
    // `input`.
    InputLate,
    InputTwice { first: Span },
    InputSign,
    InputSize,
    InputMissing,
    // Attributes.
    AttributeHeap,
    EmptySlot,
    MissingComma { before: Span },
    AfterAttribute { before: Span },
    JunkAttribute,
    ColonAttribute,
    NoValue,
    JunkValue,
    BadNumber,
    BadSize,
}

/// A mistake and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub span: Span,
    pub fault: Fault,
}

impl Report {
    pub(super) fn new(span: Span, fault: Fault) -> Self {
        Self { span, fault }
    }

    /// The diagnostic: what is wrong, in words that people use, and what to write instead.
    pub(super) fn diagnostic(&self, source: &Arc<Source>) -> Diagnostic {
        let (code, message) = self.message(source);
        let diagnostic = Diagnostic::error(code, message)
            .at(source, self.span)
            .help(self.help(source));
        match self.fault {
            Fault::Mistyped { opener, closer } => {
                let missing = if opener == '(' {
                    "`)` is missing"
                } else {
                    "`]` is missing"
                };
                let closer = Span::new(closer, closer + 1);
                diagnostic
                    .here("opened here")
                    .label(missing, source, closer)
            }
            Fault::InputTwice { first } => {
                diagnostic
                    .here("given again here")
                    .label("first given here", source, first)
            }
            _ => diagnostic,
        }
    }

    fn message(&self, source: &Source) -> (Code, String) {
        let here = source.slice(self.span);
        let it = quote(here);
        let e0101 = |message: String| (Code::E0101, message);
        let e0102 = |message: String| (Code::E0102, message);
        let e0103 = |message: String| (Code::E0103, message);
        let e0104 = |message: String| (Code::E0104, message);
        match self.fault {
            Fault::Unclosed('(') => e0102("this parenthesis is never closed".into()),
            Fault::Unclosed(_) | Fault::Superfluous => e0102("this bracket is never closed".into()),
            Fault::Mistyped { opener: '(', .. } => {
                e0102("this parenthesis is never closed: a `]` stands where it could end".into())
            }
            Fault::Mistyped { .. } => {
                e0102("this bracket is never closed: a `)` stands where it could end".into())
            }
            Fault::Stray(')') => e0102("`)` closes a parenthesis that was never opened".into()),
            Fault::Stray(_) => e0102("`]` closes a bracket that was never opened".into()),
            Fault::TooDeep => (
                Code::E0107,
                "brackets are nested deeper than 64 here".into(),
            ),
            Fault::RoundBracket => {
                e0101("a chain stands in square brackets, not in parentheses".into())
            }
            Fault::EmptyBracket => e0101(format!("no layer stands in the bracket {it}")),
            Fault::BareBracket { times: Some(_) } => {
                e0101("a repeat has a `*` between its count and its bracket".into())
            }
            Fault::BareBracket { times: None } => {
                e0101("this bracket does not say what it is for".into())
            }
            Fault::BranchesOutsideJoin => {
                e0101("`|` separates branches, and branches stand in `+[…]` or `&[…]` only".into())
            }
            Fault::NoLayer => (Code::E0105, "no layer stands in the file".into()),
            Fault::Junk => e0101(format!("a layer or a bracket must stand here, not {it}")),
            Fault::JunkAfterStage | Fault::WrongArrow => {
                e0101(format!("an arrow or the end must stand here, not {it}"))
            }
            Fault::LeadingArrow { after_input: true } => {
                e0104("this arrow has no layer before it: `input` is a statement of its own".into())
            }
            Fault::LeadingArrow { .. } => e0104("this arrow has no layer before it".into()),
            Fault::DoubleArrow { .. } => {
                e0104("no layer stands between this arrow and the one before it".into())
            }
            Fault::TrailingArrow => e0104("this arrow has no layer after it".into()),
            Fault::MissingArrow { .. } => e0104(format!("an arrow is missing before {it}")),
            Fault::Multiplied { .. } => e0101("what is repeated must stand in brackets".into()),
            Fault::Unbracketed => e0101(format!(
                "the branches after `{}` must stand in brackets",
                &here[..1]
            )),
            Fault::Count => e0103(format!("{it} is no repeat count")),
            Fault::WidthApart { word } => e0101(format!(
                "{it} stands apart from its layer {}",
                quote(source.slice(word))
            )),
            Fault::BadWord if suggest::is_bad_width(here) => {
                e0103(format!("{it} is no layer with a whole number after it"))
            }
            Fault::BadWord => e0101(format!("a layer must stand here, not {it}")),
            Fault::BadLabel => e0101(format!(
                "{it} is no label: labels are made of `a` to `z`, digits and `_`, a letter first"
            )),
            Fault::SecondLabel => e0101(format!("the layer has a second label {it}")),
            Fault::LabelOnBracket => e0101(format!(
                "the label {it} stands before a bracket, and only layers have labels"
            )),
            Fault::LonelyLabel => e0101(format!("no layer follows the label {it}")),
            Fault::InputLate => e0101("`input` stands before all layers".into()),
            Fault::InputTwice { .. } => e0101("`input` is given twice".into()),
            Fault::InputSign => e0101(format!("sizes must follow `input`, not {it}")),
            Fault::InputSize => e0103(format!(
                "{it} is no input shape: three whole numbers, `x` between them and no space"
            )),
            Fault::InputMissing => e0103("`input` has no sizes".into()),
            Fault::AttributeHeap => {
                e0101("too many attributes: what follows in this parenthesis was not read".into())
            }
            Fault::EmptySlot => e0101("an attribute is missing beside this comma".into()),
            Fault::MissingComma { .. } => e0101(format!("a comma is missing before {it}")),
            Fault::AfterAttribute { before } => {
                let before = quote(source.slice(before));
                e0101(format!(
                    "a comma or `)` must stand after {before}, not {it}"
                ))
            }
            Fault::JunkAttribute => e0101(format!("an attribute must stand here, not {it}")),
            Fault::ColonAttribute => {
                e0101(format!("an attribute is written `key=value`, not {it}"))
            }
            Fault::NoValue => e0101(format!("a number, a size or a word must stand after {it}")),
            Fault::JunkValue => e0101(format!(
                "a number, a size or a word must stand here, not {it}"
            )),
            Fault::BadNumber => e0103(format!("{it} is no number and no size")),
            Fault::BadSize => e0103(format!(
                "{it} is no size: two whole numbers, height x width, with no space"
            )),
        }
    }

    fn help(&self, source: &Source) -> String {
        let here = source.slice(self.span);
        let words = |span: Span| source.slice(span);
        match self.fault {
            Fault::Unclosed('(') => "write `)` after the layer's last attribute".into(),
            Fault::Unclosed(_) => "write `]` after the last layer that belongs into it".into(),
            Fault::Superfluous => {
                "remove it, or write `3*[`, `+[` or `&[` and the `]` that closes it".into()
            }
            Fault::Mistyped { opener: '(', .. } => "write `)` for the `]`".into(),
            Fault::Mistyped { .. } => "write `]` for the `)`".into(),
            Fault::Stray(closer) => format!("remove the `{closer}`"),
            Fault::TooDeep => "lay brackets one after the other: `3*[C8] -> 3*[C16]`".into(),
            Fault::RoundBracket => "write `3*[C64 -> C64]`, `+[x | y]` or `&[x | y]`".into(),
            Fault::EmptyBracket => {
                "write at least one layer, as in `3*[C64]` or `+[C64]`, or remove the bracket"
                    .into()
            }
            Fault::BareBracket { times: Some(times) } => {
                let digits = words(times).chars().take_while(char::is_ascii_digit);
                format!("write `{}*[`", digits.take(12).collect::<String>())
            }
            Fault::BareBracket { times: None } => {
                "write `3*[` to repeat a chain, `+[` to add branches or `&[` to concatenate them"
                    .into()
            }
            Fault::BranchesOutsideJoin => {
                "write `+[x | y]` to add branches, `&[x | y]` to concatenate them, `->` in a chain"
                    .into()
            }
            Fault::NoLayer => "write a chain of layers, as in `C48 -> P -> N -> F10`".into(),
            Fault::Junk | Fault::JunkAfterStage => suggest::junk(here).into(),
            Fault::LeadingArrow { after_input: true } => "remove the arrow".into(),
            Fault::LeadingArrow { .. } => "remove the arrow, or write a layer before it".into(),
            Fault::DoubleArrow { .. } => {
                "remove one arrow, or write a layer between the two".into()
            }
            Fault::TrailingArrow => "remove the arrow, or write a layer after it".into(),
            Fault::MissingArrow { before, .. } if short(words(before)) && short(here) => {
                format!("write `{} -> {here}`", words(before))
            }
            Fault::MissingArrow { .. } => format!("write `-> {}`", shorten(here)),
            Fault::WrongArrow => "write `->` between two layers, and nothing after the last".into(),
            Fault::Multiplied { times } => {
                let times = words(times);
                match here.split_once('*') {
                    Some((_, what)) if short(here) => {
                        format!("write `{times}*[{}]`", what.trim_start())
                    }
                    _ => format!("write `{times}*[` before it and `]` after it"),
                }
            }
            Fault::Unbracketed if short(here) => {
                let (sign, layer) = here.split_at(1);
                format!("write `{sign}[{}]`", layer.trim_start())
            }
            Fault::Unbracketed => format!("write `{}[` before it and `]` after it", &here[..1]),
            Fault::Count => "write a whole number, as in `3*[C64]`".into(),
            Fault::WidthApart { word } if words(word).ends_with(|c: char| c.is_ascii_digit()) => {
                format!("remove the `{}`", shorten(here))
            }
            Fault::WidthApart { word } => {
                format!("write `{}{}`", shorten(words(word)), shorten(here))
            }
            Fault::BadWord => suggest::word(here),
            Fault::BadLabel => format!("write `{}:`", suggest::label(here)),
            Fault::SecondLabel => "keep one label".into(),
            Fault::LabelOnBracket => "remove the label, or label a layer in the bracket".into(),
            Fault::LonelyLabel => format!(
                "write a layer after it, as in `{}: C64`",
                suggest::label(here)
            ),
            Fault::InputLate => "move it to the start of the file".into(),
            Fault::InputTwice { .. } => "keep one of the two".into(),
            Fault::InputSign | Fault::InputMissing => {
                "write `input 3x227x227`: channels, height, width".into()
            }
            Fault::InputSize => suggest::input(here),
            Fault::AttributeHeap => "write each attribute of a layer once".into(),
            Fault::EmptySlot => "remove the comma".into(),
            Fault::MissingComma { before } => {
                format!("write `{}, {}`", shorten(words(before)), shorten(here))
            }
            Fault::AfterAttribute { .. } => suggest::ATTRIBUTES.into(),
            Fault::JunkAttribute => suggest::attribute(here),
            Fault::ColonAttribute => {
                let tight: String = here.split_whitespace().collect();
                let slip = |c: char| matches!(c, ':' | '=' | '>');
                let (key, rest) = tight.split_once(slip).unwrap_or((&tight, ""));
                let right = format!("{key}={}", rest.trim_start_matches(slip));
                format!("write `{}`", shorten(&right))
            }
            Fault::NoValue => format!("write `{}3`, with the value that you mean", shorten(here)),
            Fault::JunkValue => suggest::value(here),
            Fault::BadNumber => suggest::number(here),
            Fault::BadSize => suggest::size(here),
        }
    }
}
