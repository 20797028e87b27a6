//! One layer: its kind, its name, its attributes, its shape.

use std::sync::Arc;

use super::Builder;
use crate::diagnostic::nearest::nearest;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::Node;
use crate::op::attribute::{Arguments, LARGEST_WHOLE};
use crate::op::shape::Shape;
use crate::op::{self, KINDS, Kind, Op};
use crate::source::{Source, Span};
use crate::syntax::tree::Layer;

impl<'a> Builder<'a> {
    pub(super) fn layer(&mut self, layer: &'a Layer, copy: &str, classifier: Option<Span>) {
        let Some(kind) = op::kind(&layer.kind.value) else {
            self.place.shape = None;
            return self.unknown_kind(layer);
        };
        let number = self.number(kind.letter);
        let name = match &layer.label {
            Some(label) => format!("{}{copy}", label.value),
            None => format!("{}{number}", kind.letter.to_lowercase()),
        };
        let Some(op) = self.read(kind, layer, classifier == Some(layer.span)) else {
            // The width of an F holds even where an attribute of it does not.
            let width = layer
                .width
                .as_ref()
                .and_then(|width| width.value.parse::<usize>().ok());
            self.place.shape = width
                .filter(|w| kind.letter == "F" && *w > 0 && *w as u64 <= LARGEST_WHOLE)
                .map(Shape::Vector);
            return;
        };
        let output = match self.place.shape.map(|input| op.output(&[input])) {
            None => op.output_of_unknown(),
            Some(Ok(shape)) => Some(shape),
            Some(Err(fault)) => {
                let source = self.source;
                self.fault(layer.span, || fault.at(source, layer.span));
                op.output_of_unknown()
            }
        };
        self.push(Node {
            name: name.into(),
            op,
            feeds: vec![self.place.feed],
            output,
            span: layer.span,
        });
    }

    /// Reports the kind, and what is wrong with the attributes whatever kind was meant; once for all copies.
    fn unknown_kind(&mut self, layer: &'a Layer) {
        if !self.faulty.insert(layer.span) {
            return;
        }
        let likely = likely_kind(&layer.kind.value);
        let source = self.source;
        self.sink.push_with(|| unknown_kind(source, layer, likely));
        let others = KINDS.iter().copied();
        let kinds = likely.into_iter().chain(others);
        self.sink
            .append(Arguments::of_unknown_kind(kinds, self.source, layer));
    }

    /// What a layer means; read once for all copies of it.
    fn read(
        &mut self,
        kind: &'static Kind,
        layer: &Layer,
        classifier: bool,
    ) -> Option<Arc<dyn Op>> {
        if let Some(known) = self.checked.get(&layer.span) {
            return known.clone();
        }
        let (arguments, right) =
            Arguments::read(kind, self.source, layer, classifier, &mut self.sink);
        let mut op = (kind.build)(&arguments, self.recipe, &mut self.sink);
        if classifier {
            for attribute in layer
                .attributes
                .iter()
                .filter(|a| a.key.value == "act" || a.key.value == "dropout")
            {
                let message = format!(
                    "the classifier has no {}: its output goes to the loss",
                    if attribute.key.value == "act" {
                        "activation"
                    } else {
                        "dropout"
                    }
                );
                let help = format!("leave out `{}`", self.source.slice(attribute.span));
                self.sink.push(
                    Diagnostic::error(Code::E0306, message)
                        .at(self.source, attribute.span)
                        .help(help),
                );
            }
        }
        if !right {
            self.faulty.insert(layer.span);
            op = None;
        }
        self.checked.insert(layer.span, op.clone());
        op
    }
}

/// The kind that a word of other programs, or a slip, most likely means.
fn likely_kind(word: &str) -> Option<&'static Kind> {
    let known: &[(&str, &str)] = &[
        ("conv", "C"),
        ("conv2d", "C"),
        ("convolution", "C"),
        ("pool", "P"),
        ("pooling", "P"),
        ("maxpool", "P"),
        ("maxpool2d", "P"),
        ("avgpool", "P"),
        ("norm", "N"),
        ("lrn", "N"),
        ("localresponsenorm", "N"),
        ("batchnorm", "N"),
        ("bn", "N"),
        ("fc", "F"),
        ("linear", "F"),
        ("dense", "F"),
        ("fully", "F"),
        ("innerproduct", "F"),
        ("relu", "A"),
        ("act", "A"),
        ("activation", "A"),
        ("c", "C"),
        ("p", "P"),
        ("n", "N"),
        ("f", "F"),
        ("a", "A"),
    ];
    let lower = word.to_lowercase();
    let near = known
        .iter()
        .find(|(name, _)| *name == lower)
        .map(|(_, letter)| *letter);
    let near = near.or_else(|| {
        nearest(word, known.iter().map(|(name, _)| *name))
            .and_then(|name| known.iter().find(|(known, _)| *known == name))
            .map(|(_, letter)| *letter)
    });
    near.and_then(op::kind)
}

/// E0201, with the likeliest kind.
fn unknown_kind(source: &Arc<Source>, layer: &Layer, likely: Option<&Kind>) -> Diagnostic {
    let word = layer.kind.value.as_str();
    let width = layer
        .width
        .as_ref()
        .map_or("", |width| width.value.as_str());
    let span = layer
        .width
        .as_ref()
        .map_or(layer.kind.span, |width| layer.kind.span.join(width.span));
    let diagnostic =
        Diagnostic::error(Code::E0201, format!("unknown layer kind `{word}`")).at(source, span);
    let kinds = KINDS
        .iter()
        .map(|kind| format!("`{}` ({})", kind.letter, kind.name))
        .collect::<Vec<_>>()
        .join(", ");
    match likely {
        Some(kind) => diagnostic.help(format!(
            "did you mean `{}{}`?",
            kind.letter,
            if kind.width.is_some() { width } else { "" }
        )),
        None => diagnostic.help(format!("the kinds are {kinds}")),
    }
}
