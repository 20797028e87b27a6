//! Stages: layers, repeats and joins, and what was meant as one.
//!
//! Owns how a layer word splits and what of a stage with a mistake stays in the tree.

use super::{Level, Node, Reader, Rule};
use crate::source::Span;
use crate::syntax::chain::{Links, Looks};
use crate::syntax::fault::Fault;
use crate::syntax::suggest;
use crate::syntax::tree::{Chain, Join, JoinKind, Layer, Repeat, Spanned, Stage};

/// A count that says nothing of shapes: its range is still checked.
fn once(count: &mut Spanned<String>) {
    if count.value.parse::<u64>().is_ok_and(|times| times > 1) {
        count.value = "1".into();
    }
}

/// A chain of one stage.
fn alone(stage: Stage) -> Chain {
    Chain {
        span: stage.span(),
        stages: vec![stage],
    }
}

/// What a bracket holds.
struct Body {
    chains: Vec<Chain>,
    /// The first `|`.
    bar: Option<Span>,
    opener: usize,
}

impl Body {
    fn is_empty(&self) -> bool {
        self.chains.iter().all(|chain| chain.stages.is_empty())
    }
}

impl<'a> Reader<'a> {
    /// A stage; `span` includes its label.
    pub(super) fn stage(
        &mut self,
        pair: Node<'a>,
        span: Span,
        label: Option<Spanned<String>>,
        links: &mut Links<'_>,
    ) {
        let rule = pair.as_rule();
        let labelled = label.is_some();
        if !matches!(rule, Rule::layer | Rule::bad_layer)
            && let Some(label) = &label
        {
            self.report(label.span, Fault::LabelOnBracket);
        }
        match rule {
            Rule::layer => {
                let (layer, head) = self.layer(pair, span, label);
                let plain = layer.kind.value.starts_with(char::is_uppercase) || labelled;
                links.stage(
                    Stage::Layer(layer),
                    head,
                    if plain { Looks::Stage } else { Looks::Word },
                );
            }
            Rule::bad_layer if links.is_after_junk() => links.junk(span),
            Rule::bad_layer => {
                let (layer, head) = self.bad_layer(pair, span, label);
                if let Some(layer) = layer {
                    links.missing_arrow(head);
                    links.reported_stage(Stage::Layer(layer), head);
                    links.unsure();
                } else {
                    links.swallow(span);
                }
            }
            Rule::repeat => self.repeat(pair, span, links),
            // `C8 + C9`: the `+` is no join's.
            Rule::unbracketed
                if links.is_after_junk()
                    || links.is_after_stage() && self.source.slice(span).starts_with('+') =>
            {
                links.junk(span);
            }
            Rule::unbracketed => self.unbracketed(pair, span, links),
            Rule::join => match self.join(pair, span) {
                Ok((join, head)) => links.stage(Stage::Join(join), head, Looks::Stage),
                Err(()) => links.swallow(span),
            },
            Rule::group => self.group(pair, span, links),
            _ => links.junk(span),
        }
    }

    /// The chains in a bracket; `Err` where there is no layer at all, which is reported for `span`.
    fn body(&mut self, pair: Node<'a>, span: Span) -> Result<Body, ()> {
        let opener = self.origin(pair.as_span().start());
        let unclosed = self.balanced.is_unclosed(opener);
        let level = if unclosed {
            Level::UnclosedBracket
        } else {
            Level::Bracket
        };
        let (chains, bar, _) = self.branches(pair.into_inner(), level);
        let body = Body {
            chains,
            bar,
            opener,
        };
        if body.is_empty() {
            if !unclosed {
                self.report(span, Fault::EmptyBracket);
            }
            return Err(());
        }
        Ok(body)
    }

    /// `3*[C64]`, and what people write for it.
    fn repeat(&mut self, pair: Node<'a>, span: Span, links: &mut Links<'_>) {
        let mut parts = pair.into_inner().peekable();
        let mut counts = Vec::new();
        let mut sure = true;
        while let Some(part) = parts.next_if(|part| part.as_rule() == Rule::count) {
            let (count, good) = self.count(&part);
            counts.push(count);
            sure &= good;
        }
        let label = self.labels(&mut parts);
        let (Some(what), Some(count)) = (parts.next(), counts.pop()) else {
            return links.swallow(span);
        };
        if !counts.is_empty() || label.is_some() || what.as_rule() != Rule::body {
            counts.push(count);
            return self.multiplied(counts, label, what, span, links);
        }
        let mut count = count;
        let Ok(body) = self.body(what, span) else {
            return links.swallow(span);
        };
        if self.balanced.is_unclosed(body.opener) {
            once(&mut count);
        }
        let head = Span::new(span.start, body.opener + 1);
        let sure = sure && body.bar.is_none();
        let chain = self.single(body.chains, body.bar);
        links.stage(
            Stage::Repeat(Repeat { count, chain, span }),
            head,
            Looks::Stage,
        );
        if !sure {
            links.unsure();
        }
    }

    /// A repeat count as written, or 1 where it is none, and whether it is one. Its range is checked later.
    fn count(&mut self, pair: &Node<'a>) -> (Spanned<String>, bool) {
        let mut count = self.spanned(pair);
        let digits = count.value.strip_prefix(['+', '-']).unwrap_or(&count.value);
        let sure = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if !sure {
            self.report(count.span, Fault::Count);
            count.value = "1".into();
        }
        (count, sure)
    }

    /// `3*C64`, `3*3*[C64]`.
    fn multiplied(
        &mut self,
        counts: Vec<Spanned<String>>,
        label: Option<Spanned<String>>,
        what: Node<'a>,
        span: Span,
        links: &mut Links<'_>,
    ) {
        let times = counts.first().map_or(span, |count| count.span);
        let inner = self.span(&what);
        let chain = match what.as_rule() {
            Rule::layer => Ok(alone(self.labelled_layer(what, label))),
            Rule::body => self
                .body(what, inner)
                .map(|body| self.single(body.chains, body.bar)),
            _ => self
                .join(what, inner)
                .map(|(join, _)| alone(Stage::Join(join))),
        };
        let Ok(mut chain) = chain else {
            return links.swallow(span);
        };
        self.report(
            Span::new(times.start, span.end),
            Fault::Multiplied { times },
        );
        for mut count in counts.into_iter().rev() {
            once(&mut count);
            let span = count.span.join(chain.span);
            chain = alone(Stage::Repeat(Repeat { count, chain, span }));
        }
        links.reported_stage(chain.stages.remove(0), times);
        links.unsure();
    }

    /// `+C64 | C64]`: the first layer of a bracket that was never opened.
    fn unbracketed(&mut self, pair: Node<'a>, span: Span, links: &mut Links<'_>) {
        let mut parts = pair.into_inner().peekable();
        let sign = parts.next().map(|sign| self.span(&sign));
        let label = self.labels(&mut parts);
        let (Some(sign), Some(what)) = (sign, parts.next()) else {
            return links.swallow(span);
        };
        self.report(Span::new(sign.start, span.end), Fault::Unbracketed);
        links.missing_arrow(sign);
        let span = self.span(&what);
        links.separate();
        match what.as_rule() {
            Rule::layer => links.reported_stage(self.labelled_layer(what, label), sign),
            Rule::join => {
                let Ok((mut join, head)) = self.join(what, span) else {
                    return links.swallow(span);
                };
                // `&+[x | y]`: which of the two signs is meant, so whether the branches agree, nobody knows.
                for branch in &mut join.branches {
                    let end = branch.span.end;
                    branch.stages.push(Stage::Error(Span::new(end, end)));
                }
                links.reported_stage(Stage::Join(join), head);
            }
            _ => self.stage(what, span, label, links),
        }
        links.unsure();
    }

    /// A layer with the label that was read before it.
    fn labelled_layer(&mut self, pair: Node<'a>, label: Option<Spanned<String>>) -> Stage {
        let mut span = self.span(&pair);
        if let Some(label) = &label {
            span = span.join(label.span);
        }
        Stage::Layer(self.layer(pair, span, label).0)
    }

    fn join(&mut self, pair: Node<'a>, span: Span) -> Result<(Join, Span), ()> {
        let mut parts = pair.into_inner();
        let (Some(sign), Some(body)) = (parts.next(), parts.next()) else {
            return Err(());
        };
        let kind = if sign.as_str() == "+" {
            JoinKind::Add
        } else {
            JoinKind::Concat
        };
        let own = Span::new(self.span(&sign).start, span.end);
        let mut body = self.body(body, own)?;
        let head = Span::new(own.start, body.opener + 1);
        if self.balanced.is_unclosed(body.opener)
            && let Some(last) = body.chains.last_mut()
        {
            // Where its last branch ends, and the chain after it begins, nobody knows: what flows there is unknown.
            let (start, end) = (last.span.start, last.span.end);
            last.stages.insert(0, Stage::Error(Span::new(start, start)));
            last.stages.push(Stage::Error(Span::new(end, end)));
        }
        Ok((
            Join {
                kind,
                branches: body.chains,
                span: own,
            },
            head,
        ))
    }

    /// A bracket that does not say what it is for: its layers are kept, what comes out of it is unknown.
    fn group(&mut self, pair: Node<'a>, span: Span, links: &mut Links<'_>) {
        let mut parts = pair.into_inner();
        let mut times = None;
        let Some(mut part) = parts.next() else {
            return links.swallow(span);
        };
        if part.as_rule() == Rule::head {
            times = Some(self.span(&part)).filter(|span| {
                self.source
                    .slice(*span)
                    .starts_with(|c: char| c.is_ascii_digit())
            });
            let Some(body) = parts.next() else {
                return links.swallow(span);
            };
            part = body;
        }
        let Ok(body) = self.body(part, span) else {
            return links.swallow(span);
        };
        let head = Span::new(span.start, body.opener + 1);
        if !self.balanced.is_unclosed(body.opener) && !links.is_after_junk() {
            self.report(head, Fault::BareBracket { times });
        }
        let stage = if body.bar.is_some() {
            Stage::Join(Join {
                kind: JoinKind::Concat,
                branches: body.chains,
                span,
            })
        } else {
            let count = Spanned {
                value: "1".into(),
                span: head,
            };
            Stage::Repeat(Repeat {
                count,
                chain: self.single(body.chains, None),
                span,
            })
        };
        links.reported_stage(stage, head);
        links.unsure();
    }

    /// `C9.6(…)`: a layer whose width was reported, so that its kind and attributes are still checked; `C8-P` is none.
    fn bad_layer(
        &mut self,
        pair: Node<'a>,
        span: Span,
        label: Option<Spanned<String>>,
    ) -> (Option<Layer>, Span) {
        let (mut word, mut attributes) = (span, Vec::new());
        for part in pair.into_inner() {
            if part.as_rule() == Rule::bad_word {
                word = self.span(&part);
                self.report(word, Fault::BadWord);
            } else {
                attributes = self.attributes(part);
            }
        }
        let text = self.source.slice(word);
        let letters = text.len() - text.trim_start_matches(char::is_alphabetic).len();
        if letters == 0 || !suggest::is_bad_width(text) {
            return (None, word);
        }
        let kind = Spanned {
            value: text[..letters].to_owned(),
            span: Span::new(word.start, word.start + letters),
        };
        let width = Some(Spanned {
            value: String::new(),
            span: Span::new(word.start + letters, word.end),
        });
        let layer = Layer {
            label: self.legal(label),
            kind,
            width,
            attributes,
            span,
        };
        (Some(layer), word)
    }

    /// The layer of a tidy network.
    pub(super) fn plain(
        &mut self,
        word: &Node<'a>,
        attributes: Option<Node<'a>>,
        span: Span,
        links: &mut Links<'_>,
    ) {
        let head = self.span(word);
        let (kind, width) = split(word.as_str(), head);
        let layer = Layer {
            label: None,
            kind,
            width,
            attributes: attributes.map_or_else(Vec::new, |pair| self.attributes(pair)),
            span,
        };
        links.stage(Stage::Layer(layer), head, Looks::Stage);
    }

    /// A layer, and the part of it that messages show: label and word.
    fn layer(
        &mut self,
        pair: Node<'a>,
        span: Span,
        label: Option<Spanned<String>>,
    ) -> (Layer, Span) {
        let mut head = span;
        let mut kind = Spanned {
            value: String::new(),
            span,
        };
        let mut width = None;
        let mut attributes = Vec::new();
        for part in pair.into_inner() {
            let at = self.span(&part);
            match part.as_rule() {
                Rule::word => {
                    (kind, width) = split(part.as_str(), at);
                    head.end = at.end;
                }
                Rule::stray_width => {
                    let word = Span::new(kind.span.start, head.end);
                    self.report(at, Fault::WidthApart { word });
                    width = width.or_else(|| Some(self.spanned(&part)));
                }
                _ => attributes = self.attributes(part),
            }
        }
        let label = self.legal(label);
        (
            Layer {
                label,
                kind,
                width,
                attributes,
                span,
            },
            head,
        )
    }
}

/// A layer word's letters and its trailing digits, where it has any.
fn split(word: &str, at: Span) -> (Spanned<String>, Option<Spanned<String>>) {
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let middle = at.start + letters;
    let (name, digits) = word.split_at(letters);
    let kind = Spanned {
        value: name.to_owned(),
        span: Span::new(at.start, middle),
    };
    let width = (!digits.is_empty()).then(|| Spanned {
        value: digits.to_owned(),
        span: Span::new(middle, at.end),
    });
    (kind, width)
}
