//! What stands in a layer's parentheses.
//!
//! Owns slots (what stands between two commas) and the form of values; what a key or a word means is for src/op.

use super::{Node, Reader, Rule};
use crate::source::Span;
use crate::syntax::fault::Fault;
use crate::syntax::tree::{Attribute, Spanned, Value};

impl<'a> Reader<'a> {
    pub(super) fn attributes(&mut self, pair: Node<'a>) -> Vec<Attribute> {
        self.value_missed = false;
        if pair.as_rule() == Rule::tidy {
            return self.tidy(pair);
        }
        let mut attributes = Vec::new();
        let parts: Vec<_> = pair.into_inner().collect();
        let mut blamed = None;
        for (index, part) in parts.iter().enumerate() {
            if part.as_rule() != Rule::slot {
                continue;
            }
            let before = attributes.len();
            // `kernel=,3`: the 3 is the value that is missed already.
            let excused = std::mem::take(&mut self.value_missed);
            let filled =
                self.slot(part.clone(), excused, &mut attributes) || attributes.len() > before;
            // `()` is an empty list. Elsewhere an empty slot has a comma beside it, which is reported once.
            if !filled && parts.len() > 1 {
                let comma = parts
                    .get(index + 1)
                    .unwrap_or(&parts[index.saturating_sub(1)]);
                let at = self.span(comma);
                if blamed != Some(at) {
                    self.report(at, Fault::EmptySlot);
                }
                blamed = Some(at);
            }
        }
        attributes
    }

    /// Attributes in which nothing is wrong.
    fn tidy(&self, pair: Node<'a>) -> Vec<Attribute> {
        let mut attributes: Vec<Attribute> = Vec::new();
        for part in pair.into_inner() {
            let span = self.span(&part);
            match (part.as_rule(), attributes.last_mut()) {
                (Rule::tidy_number | Rule::tidy_word, Some(attribute)) => {
                    let text = part.as_str().to_owned();
                    let value = if part.as_rule() == Rule::tidy_word {
                        Value::Word(text)
                    } else {
                        Value::Number(text)
                    };
                    attribute.value = Some(Spanned { value, span });
                    attribute.span.end = span.end;
                }
                _ => attributes.push(Attribute {
                    key: self.spanned(&part),
                    value: None,
                    span,
                }),
            }
        }
        attributes
    }

    /// What stands between two commas; false where nothing does. Junk alone is no new mistake where it is `excused`.
    fn slot(&mut self, pair: Node<'a>, excused: bool, attributes: &mut Vec<Attribute>) -> bool {
        let mut before: Option<Span> = None;
        let mut junk = false;
        for item in pair.into_inner() {
            self.odd += usize::from(before.is_some());
            let mut span = self.span(&item);
            if item.as_rule() == Rule::junk_attribute {
                span.end = span.start + self.source.slice(span).trim_end().len();
                // `kernel=3.5x=3`: the rest of a value that is reported already.
                let rest = attributes.last().is_some_and(|last| {
                    before.is_some() && matches!(&last.value, Some(v) if v.value == Value::Error && v.span.end == span.start)
                });
                let excused = excused && !self.source.slice(span).starts_with('=');
                if !junk && !rest && (before.is_some() || !excused) {
                    let fault = before.map_or(Fault::JunkAttribute, |before| {
                        Fault::AfterAttribute { before }
                    });
                    self.report(span, fault);
                }
                junk = true;
                forgive(attributes, before);
                attributes.push(damaged(span));
            } else {
                let attribute = self.attribute(item, span);
                let bare = attribute.value.is_none();
                match before {
                    Some(before) if !junk && bare => {
                        self.report(span, Fault::AfterAttribute { before });
                    }
                    // `kernel=2; stride=2`: the comma is what is wrong with the value.
                    Some(before)
                        if self
                            .source
                            .slice(before)
                            .ends_with(|c: char| c.is_ascii_punctuation()) => {}
                    Some(before) if !junk => self.report(span, Fault::MissingComma { before }),
                    _ => {}
                }
                if before.is_some() && bare {
                    junk = true;
                    forgive(attributes, before);
                    attributes.push(damaged(span));
                } else {
                    attributes.push(attribute);
                }
            }
            before = Some(span);
        }
        before.is_some()
    }

    fn attribute(&mut self, pair: Node<'a>, span: Span) -> Attribute {
        let mut key = Spanned {
            value: String::new(),
            span,
        };
        let (mut equals, mut value) = (false, None);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::key => key = self.spanned(&part),
                Rule::equals => equals = true,
                Rule::colon => self.report(span, Fault::ColonAttribute),
                _ => value = Some(self.value(&part)),
            }
        }
        if equals && value.is_none() {
            self.report(span, Fault::NoValue);
            self.value_missed = true;
            value = Some(Spanned {
                value: Value::Error,
                span: Span::new(span.end, span.end),
            });
        }
        Attribute { key, value, span }
    }

    fn value(&mut self, pair: &Node<'a>) -> Spanned<Value> {
        let text = pair.as_str();
        let mut span = self.span(pair);
        let value = match pair.as_rule() {
            Rule::number => Value::Number(text.to_owned()),
            Rule::value_word => Value::Word(text.to_owned()),
            Rule::size => {
                let parts: Vec<String> = text.split('x').map(str::to_owned).collect();
                if parts.len() == 2 && !text.contains([' ', '\t']) {
                    Value::Size(parts)
                } else {
                    self.report(span, Fault::BadSize);
                    Value::Error
                }
            }
            Rule::bad_number => {
                self.report(span, Fault::BadNumber);
                Value::Error
            }
            _ => {
                span.end = span.start + self.source.slice(span).trim_end().len();
                self.report(span, Fault::JunkValue);
                Value::Error
            }
        };
        Spanned { value, span }
    }
}

/// `kernel 3`, `act relu`: that the first word has no value is what was reported after it.
fn forgive(attributes: &mut [Attribute], before: Option<Span>) {
    if let Some(last) = attributes.last_mut()
        && Some(last.span) == before
        && last.value.is_none()
    {
        last.value = Some(Spanned {
            value: Value::Error,
            span: Span::new(last.span.end, last.span.end),
        });
    }
}

/// Stands for something in a layer's parentheses that was reported and is no attribute.
fn damaged(span: Span) -> Attribute {
    Attribute {
        key: Spanned {
            value: String::new(),
            span,
        },
        value: Some(Spanned {
            value: Value::Error,
            span,
        }),
        span,
    }
}
