//! From the balanced text to the tree, by the grammar in grammar/netc.pest.
//!
//! The only file that names pest: rules of the grammar end here, and what users read about them is worded in `fault`.
//! Owns what a grammar cannot say well: how a layer word splits, which label is legal, where `input` may stand, what an
//! empty slot is. Whether stages and arrows alternate is `chain`'s.

mod attribute;
mod stage;

use std::sync::Arc;

use pest::Parser as _;
use pest::iterators::{Pair, Pairs};

use super::balance::{self, Balanced};
use super::chain::Links;
use super::consequence;
use super::fault::{Fault, Report};
use super::tree::{Chain, Input, Join, JoinKind, Spanned, Stage, Tree};
use crate::source::{Source, Span};

#[derive(pest_derive::Parser)]
#[grammar = "../grammar/netc.pest"]
struct Grammar;

/// A rule that was read, with the rules inside it.
type Node<'a> = Pair<'a, Rule>;
/// Rules one after the other.
type Nodes<'a> = Pairs<'a, Rule>;

/// What a text says.
pub(super) struct Reading {
    pub tree: Tree,
    /// Everything that is wrong with it, unordered.
    pub reports: Vec<Report>,
    /// How much more is wrong with it.
    pub untold: usize,
    /// Whether only the beginning was read, since it is no network by any means.
    pub stopped: bool,
}

/// Texts longer than this are looked at first: this many bytes of them are read, and if these hold more than so many
/// problems, nothing but problems would come of the rest, a megabyte of which takes a second.
const LOOK_FIRST: usize = 16 * 1024;
const MOST_REPORTS: usize = 200;
const MOST_ODD: usize = 1000;
/// And a text with so many arrows has more layers than a network may have, twice over, whatever is in it: its beginning
/// is enough to say so.
const MOST_ARROWS: usize = 20_000;

/// Reads a text, whatever is in it.
pub(super) fn read(source: &Arc<Source>) -> Reading {
    let balanced = match balance::balance(source.text()) {
        Ok(balanced) => balanced,
        Err(report) => {
            return Reading {
                tree: super::empty_tree(source, &[]),
                reports: vec![report],
                untold: 0,
                stopped: false,
            };
        }
    };
    if balanced.text.len() > LOOK_FIRST {
        let (beginning, length) = balance::closed_beginning(&balanced.text, LOOK_FIRST);
        let (reading, odd) = read_balanced(source, &balanced, &beginning, length);
        let stopped = reading.reports.len() > MOST_REPORTS || odd > MOST_ODD;
        let too_long = balanced.arrows > MOST_ARROWS;
        if stopped || too_long {
            return Reading {
                stopped,
                tree: Tree {
                    complete: false,
                    unread: if stopped { 0 } else { balanced.arrows },
                    ..reading.tree
                },
                ..reading
            };
        }
    }
    read_balanced(source, &balanced, &balanced.text, balanced.text.len()).0
}

/// Reads the balanced text, or a beginning of it, `length` bytes, with closers added; also how much was odd, whether
/// reported or not.
fn read_balanced(
    source: &Arc<Source>,
    balanced: &Balanced<'_>,
    text: &str,
    length: usize,
) -> (Reading, usize) {
    let mut tree = super::empty_tree(source, &balanced.comments);
    let mut reader = Reader {
        source,
        balanced,
        length,
        reports: Vec::new(),
        input: None,
        input_at: None,
        odd: 0,
        value_missed: false,
    };
    match Grammar::parse(Rule::file, text) {
        Ok(mut pairs) => {
            let file = pairs
                .next()
                .expect("internal error: no file in a parsed file");
            let (chains, bar, whole) = reader.branches(file.into_inner(), Level::File);
            tree.complete = whole && !balanced.open_at_end && bar.is_none();
            tree.chain = reader.single(chains, bar);
        }
        Err(error) => {
            // The grammar accepts every balanced text; should it not, the user still learns where.
            let (pest::error::InputLocation::Pos(at) | pest::error::InputLocation::Span((at, _))) =
                error.location;
            let at = reader.origin(at);
            reader
                .reports
                .push(Report::new(Span::new(at, at), Fault::Junk));
        }
    }
    tree.input = reader.input.take();
    let odd = reader.odd + reader.reports.len();
    let mut reports = consequence::drop_consequences(reader.reports, balanced, source.text());
    let about_input = |report: &Report| {
        matches!(
            report.fault,
            Fault::InputSign | Fault::InputSize | Fault::InputMissing | Fault::InputTwice { .. }
        )
    };
    if tree.chain.stages.is_empty() && reports.iter().all(about_input) {
        reports.push(Report::new(
            Span::new(balanced.end, balanced.end),
            Fault::NoLayer,
        ));
    }
    tree.complete &= !tree.chain.stages.is_empty();
    (
        Reading {
            tree,
            reports,
            untold: balanced.untold,
            stopped: false,
        },
        odd,
    )
}

/// Where a chain stands.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    File,
    Bracket,
    /// In a bracket that is never closed: how it begins is a consequence of that.
    UnclosedBracket,
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    balanced: &'a Balanced<'a>,
    /// So much of the text that is read is the balanced text; what follows closes it.
    length: usize,
    reports: Vec<Report>,
    input: Option<Input>,
    /// The first `input`, right or wrong.
    input_at: Option<Span>,
    odd: usize,
    /// Whether the last attribute read lacks its value.
    value_missed: bool,
}

impl<'a> Reader<'a> {
    fn report(&mut self, span: Span, fault: Fault) {
        self.reports.push(Report::new(span, fault));
    }

    /// The offset in the user's text of an offset in the text that is read.
    fn origin(&self, offset: usize) -> usize {
        self.balanced.origin(offset.min(self.length))
    }

    /// A pair's place in the user's text.
    fn span(&self, pair: &Node<'a>) -> Span {
        let span = pair.as_span();
        Span::new(self.origin(span.start()), self.origin(span.end()))
    }

    fn spanned(&self, pair: &Node<'a>) -> Spanned<String> {
        Spanned {
            value: pair.as_str().to_owned(),
            span: self.span(pair),
        }
    }

    // ---- Chains ----------------------------------------------------------------------------------------------------

    /// Chains with `|` between them; the first `|`, and whether the last chain is whole.
    fn branches(&mut self, pairs: Nodes<'a>, level: Level) -> (Vec<Chain>, Option<Span>, bool) {
        let (mut chains, mut bar, mut whole) = (Vec::new(), None, true);
        for pair in pairs {
            match pair.as_rule() {
                Rule::chain => {
                    let (chain, ends_well) = self.chain(pair, level);
                    chains.push(chain);
                    whole = ends_well;
                }
                Rule::bar => {
                    self.odd += usize::from(level == Level::File);
                    bar = bar.or_else(|| Some(self.span(&pair)));
                }
                _ => {}
            }
        }
        (chains, bar, whole)
    }

    /// One chain of what should be one; branches become a join that is checked as little as can be.
    fn single(&mut self, mut chains: Vec<Chain>, bar: Option<Span>) -> Chain {
        let Some(bar) = bar else {
            return chains
                .pop()
                .expect("internal error: a bracket without a chain");
        };
        self.report(bar, Fault::BranchesOutsideJoin);
        let span = chains
            .iter()
            .map(|chain| chain.span)
            .reduce(Span::join)
            .unwrap_or(bar);
        // What flows into the later ones, and what comes out of each, nobody knows.
        let unknown = |at| Stage::Error(Span::new(at, at));
        for (index, chain) in chains.iter_mut().enumerate() {
            if index > 0 {
                chain.stages.insert(0, unknown(chain.span.start));
            }
            chain.stages.push(unknown(chain.span.end));
        }
        let join = Stage::Join(Join {
            kind: JoinKind::Concat,
            branches: chains,
            span,
        });
        Chain {
            stages: vec![join, Stage::Error(Span::new(span.end, span.end))],
            span,
        }
    }

    fn chain(&mut self, pair: Node<'a>, level: Level) -> (Chain, bool) {
        let start = self.origin(pair.as_span().start());
        let mut links = Links::new(self.source.text());
        if level == Level::UnclosedBracket {
            links.excuse();
        }
        let mut items = pair.into_inner().peekable();
        links.reserve(items.len() / 2 + 1);
        while let Some(item) = items.next() {
            let mut span = self.span(&item);
            // Those of a plain word; the attributes of other layers are inside their rules.
            let attributes =
                items.next_if(|next| matches!(next.as_rule(), Rule::tidy | Rule::attributes));
            if let Some(attributes) = &attributes {
                span.end = self.span(attributes).end;
            }
            if self.balanced.is_ruined(span) && item.as_rule() != Rule::input {
                links.ruined(span);
                continue;
            }
            match item.as_rule() {
                Rule::arrow => links.arrow(span),
                Rule::not_arrow => links.not_arrow(span),
                Rule::junk | Rule::square_attributes => {
                    let end = span.start + self.source.slice(span).trim_end().len();
                    links.junk(Span::new(span.start, end));
                }
                Rule::input => self.input(item, span, level, &mut links),
                Rule::labelled => self.labelled(item, span, &mut links),
                Rule::plain_word => self.plain(&item, attributes, span, &mut links),
                _ => self.stage(item, span, None, &mut links),
            }
        }
        let mut linked = links.finish(start);
        self.reports.append(&mut linked.reports);
        self.odd += linked.odd;
        (linked.chain, linked.whole)
    }

    fn labelled(&mut self, pair: Node<'a>, span: Span, links: &mut Links<'_>) {
        let mut parts = pair.into_inner().peekable();
        let label = self.labels(&mut parts);
        if let Some(part) = parts.next() {
            return self.stage(part, span, label, links);
        }
        if let Some(label) = label {
            self.report(label.span, Fault::LonelyLabel);
        }
        links.swallow(span);
    }

    /// The label in front of a layer, whether or not it is a legal one.
    fn labels(&mut self, parts: &mut std::iter::Peekable<Nodes<'a>>) -> Option<Spanned<String>> {
        let mut first: Option<Spanned<String>> = None;
        while let Some(pair) = parts.next_if(|pair| pair.as_rule() == Rule::label) {
            let Some(text) = pair.into_inner().next() else {
                continue;
            };
            let label = self.spanned(&text);
            if first.is_some() {
                self.report(label.span, Fault::SecondLabel);
            } else {
                first = Some(label);
            }
        }
        first
    }

    /// The label if it is legal.
    fn legal(&mut self, label: Option<Spanned<String>>) -> Option<Spanned<String>> {
        let label = label?;
        let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if label.value.starts_with(|c: char| c.is_ascii_lowercase())
            && label.value.bytes().all(rest)
        {
            return Some(label);
        }
        self.report(label.span, Fault::BadLabel);
        None
    }

    // ---- `input` ---------------------------------------------------------------------------------------------------

    fn input(&mut self, pair: Node<'a>, span: Span, level: Level, links: &mut Links<'_>) {
        if let Some(first) = self.input_at {
            self.report(span, Fault::InputTwice { first });
            return links.separate();
        }
        if level != Level::File || !links.is_untouched() {
            self.report(span, Fault::InputLate);
            return links.separate();
        }
        self.input_at = Some(span);
        links.input();
        let mut sizes = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::punct => {
                    let at = self.span(&part);
                    self.report(at, Fault::InputSign);
                }
                Rule::size | Rule::bad_number | Rule::no_sizes => sizes = Some(part),
                _ => {}
            }
        }
        let Some(sizes) = sizes else {
            return self.report(span, Fault::InputMissing);
        };
        let at = self.span(&sizes);
        match three_sizes(sizes.as_str(), at.start) {
            Some(sizes) => self.input = Some(Input { sizes, span }),
            None => self.report(at, Fault::InputSize),
        }
    }
}

/// `3x227x227` at an offset; a number that is too large stays too large.
fn three_sizes(text: &str, start: usize) -> Option<[Spanned<u64>; 3]> {
    let mut at = start;
    let mut sizes = Vec::with_capacity(3);
    for part in text.split('x') {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        sizes.push(Spanned {
            value: part.parse().unwrap_or(u64::MAX),
            span: Span::new(at, at + part.len()),
        });
        at += part.len() + 1;
    }
    sizes.try_into().ok()
}
