//! The network as units, each with its comments: what is laid out, before it is known where lines break.
//!
//! Owns the canonical text of layers and brackets and what becomes of each comment.

use super::attribute::{self, Orders};
use super::comment::{Comments, Gap, Lead};
use crate::op;
use crate::source::Span;
use crate::syntax::tree::{self, JoinKind, Stage, Tree};

/// A whole file.
#[derive(Debug)]
pub(super) struct Document {
    /// `input`, where it stands.
    pub input: Option<Input>,
    /// The network.
    pub chain: Chain,
}

/// `input 3x227x227`.
#[derive(Debug)]
pub(super) struct Input {
    /// Comments above.
    pub lead: Lead,
    /// The statement.
    pub text: String,
    /// The comment behind.
    pub trailing: Option<String>,
}

/// Units one after the other.
#[derive(Debug)]
pub(super) struct Chain {
    /// The units; none in a branch that is the identity.
    pub units: Vec<Unit>,
    /// The comment behind the `|` of a branch that is the identity.
    pub opening: Option<String>,
    /// Comments below the last unit.
    pub end: Lead,
    /// Characters on one line, where no comment stands between its units.
    pub width: Option<usize>,
}

/// A layer or a bracket.
#[derive(Debug)]
pub(super) struct Unit {
    /// Comments above.
    pub lead: Lead,
    /// What it is.
    pub what: What,
    /// The comment behind.
    pub trailing: Option<String>,
    /// Whether it starts a line where its chain needs several.
    pub starts_line: bool,
    /// Characters on one line, where no comment stands in it.
    pub width: Option<usize>,
}

/// What a unit is.
#[derive(Debug)]
pub(super) enum What {
    /// A layer without comments in it.
    Layer(String),
    /// A layer with comments in its parentheses.
    Commented(Parentheses),
    /// A repeat or a join.
    Bracket(Bracket),
}

/// A layer with comments in its parentheses.
#[derive(Debug)]
pub(super) struct Parentheses {
    /// Label and layer word.
    pub head: String,
    /// The comment behind the opening parenthesis.
    pub opening: Option<String>,
    /// The attributes, at least one.
    pub items: Vec<Item>,
    /// Comments below the last attribute.
    pub end: Lead,
}

/// An attribute with its comments.
#[derive(Debug, Default)]
pub(super) struct Item {
    /// Comments above.
    pub lead: Lead,
    /// `kernel=3`.
    pub text: String,
    /// The comment behind.
    pub trailing: Option<String>,
}

impl Item {
    fn has_comment(&self) -> bool {
        self.trailing.is_some() || !self.lead.is_empty()
    }
}

/// A repeat or a join.
#[derive(Debug)]
pub(super) struct Bracket {
    /// `3*[`, `+[` or `&[`.
    pub head: String,
    /// The comment behind the head.
    pub opening: Option<String>,
    /// The branches; one of a repeat.
    pub branches: Vec<Chain>,
}

impl Document {
    /// The units of a network without errors.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut reader = Reader {
            tree,
            comments: Comments::of(tree),
            orders: Orders::default(),
        };
        let first = tree.chain.span.start;
        let mut anchor = None;
        let mut input = None;
        if let Some(statement) = &tree.input {
            let mut lead = reader.comments.gap(None, statement.span.start).lead;
            let Span { start, end } = statement.span;
            lead.append(reader.comments.within(start, end));
            let sizes = statement.sizes.each_ref();
            let [channels, height, width] = sizes.map(|size| tree.source.slice(size.span));
            input = Some(Input {
                lead,
                text: format!("input {channels}x{height}x{width}"),
                trailing: None,
            });
            anchor = Some(end);
        }
        let gap = reader.comments.gap(anchor, first);
        if let Some(input) = &mut input {
            input.trailing = gap.trailing;
        }
        let chain = reader.chain(&tree.chain, gap.lead, tree.source.text().len());
        Self { input, chain }
    }
}

struct Reader<'a> {
    tree: &'a Tree,
    comments: Comments<'a>,
    orders: Orders,
}

impl Reader<'_> {
    /// The units of a chain and all comments up to `until`, where something else begins. `lead` stands above the first.
    fn chain(&mut self, chain: &tree::Chain, lead: Lead, until: usize) -> Chain {
        let mut units: Vec<Unit> = Vec::with_capacity(chain.stages.len());
        let mut gap = Gap {
            trailing: None,
            lead,
        };
        if chain.stages.is_empty() {
            gap = self.comments.gap(Some(chain.span.start), until);
        }
        for (index, stage) in chain.stages.iter().enumerate() {
            let mut unit = self.unit(stage, gap.lead);
            let next = chain.stages.get(index + 1);
            let next = next.map_or(until, |stage| stage.span().start);
            gap = self.comments.gap(Some(stage.span().end), next);
            unit.trailing = gap.trailing.take();
            units.push(unit);
        }
        let mut width = Some(4 * units.len().saturating_sub(1));
        for (index, unit) in units.iter().enumerate() {
            let commented = index > 0 && !unit.lead.is_empty()
                || index + 1 < units.len() && unit.trailing.is_some();
            width = width.zip(unit.width).map(|(sum, width)| sum + width);
            width = width.filter(|_| !commented);
        }
        Chain {
            units,
            opening: gap.trailing,
            end: gap.lead,
            width,
        }
    }

    /// A unit; the comment behind it is not read yet.
    fn unit(&mut self, stage: &Stage, mut lead: Lead) -> Unit {
        let span = stage.span();
        let (what, starts_line, width) = match stage {
            Stage::Layer(layer) => {
                let word = layer
                    .width
                    .as_ref()
                    .map_or(layer.kind.span, |width| width.span);
                let opener = self.comments.find('(', Span::new(word.end, span.end));
                lead.append(self.comments.within(span.start, opener.unwrap_or(span.end)));
                let kind = op::kind(&layer.kind.value);
                let starts_line = kind.is_some_and(|kind| kind.width.is_some());
                let what = self.layer(layer, opener, &mut lead);
                let width = match &what {
                    What::Layer(text) => Some(text.len()),
                    _ => None,
                };
                (what, starts_line, width)
            }
            Stage::Repeat(repeat) => {
                let head = format!("{}*[", repeat.count.value);
                let chains = [&repeat.chain];
                let (bracket, width) = self.bracket(head, span, &chains, &mut lead);
                (What::Bracket(bracket), true, width)
            }
            Stage::Join(join) => {
                let sign = match join.kind {
                    JoinKind::Add => "+[",
                    JoinKind::Concat => "&[",
                };
                let chains = branches(join);
                let (bracket, width) = self.bracket(sign.into(), span, &chains, &mut lead);
                (What::Bracket(bracket), true, width)
            }
            Stage::Error(_) => unreachable!("internal error: an error in a network without errors"),
        };
        Unit {
            lead,
            what,
            trailing: None,
            starts_line,
            width,
        }
    }

    // ---- Layers ----------------------------------------------------------------------------------------------------

    /// A layer from its opening parenthesis on. Comments of parentheses that have nothing left in them go to its `lead`.
    fn layer(&mut self, layer: &tree::Layer, opener: Option<usize>, lead: &mut Lead) -> What {
        let mut head = String::new();
        if let Some(label) = &layer.label {
            head = format!("{}: ", label.value);
        }
        head.push_str(&layer.kind.value);
        head.push_str(layer.width.as_ref().map_or("", |width| &width.value));
        let Some(opener) = opener else {
            return What::Layer(head);
        };
        let kept = self.orders.of(&self.tree.source, layer);
        let (opening, items, mut end) = self.items(layer, opener, &kept);
        if items.is_empty() {
            opening.into_iter().for_each(|text| lead.push(text));
            end.blank = false;
            lead.append(end);
            return What::Layer(head);
        }
        if opening.is_some() || !end.is_empty() || items.iter().any(Item::has_comment) {
            return What::Commented(Parentheses {
                head,
                opening,
                items,
                end,
            });
        }
        let texts: Vec<String> = items.into_iter().map(|item| item.text).collect();
        What::Layer(format!("{head}({})", texts.join(", ")))
    }

    /// The attributes that are kept, in their order, between the comment behind the parenthesis and those below the last.
    fn items(
        &mut self,
        layer: &tree::Layer,
        opener: usize,
        kept: &[usize],
    ) -> (Option<String>, Vec<Item>, Lead) {
        let close = layer.span.end - 1;
        let mut opening = None;
        let mut items: Vec<Option<Item>> = Vec::with_capacity(layer.attributes.len());
        // Comments of attributes that go, for the next one that stays.
        let mut orphans = Lead::default();
        let mut last_kept = None;
        let mut anchor = opener + 1;
        for index in 0..=layer.attributes.len() {
            let attribute = layer.attributes.get(index);
            let start = attribute.map_or(close, |attribute| attribute.span.start);
            let Gap { trailing, lead } = self.comments.gap(Some(anchor), start);
            if let Some(text) = trailing {
                match (index.checked_sub(1), last_kept) {
                    (None, _) => opening = Some(text),
                    (Some(before), Some(kept)) if before == kept => {
                        let item: &mut Option<Item> = &mut items[kept];
                        item.as_mut().expect("internal error: it was kept").trailing = Some(text);
                    }
                    _ => orphans.push(text),
                }
            }
            orphans.append(lead);
            let Some(attribute) = attribute else { break };
            orphans.append(
                self.comments
                    .within(attribute.span.start, attribute.span.end),
            );
            items.push(kept.contains(&index).then(|| Item {
                lead: std::mem::take(&mut orphans),
                text: attribute::text(attribute),
                trailing: None,
            }));
            last_kept = kept.contains(&index).then_some(index).or(last_kept);
            anchor = attribute.span.end;
        }
        let items = kept.iter().filter_map(|&index| items[index].take());
        (opening, items.collect(), orphans)
    }

    // ---- Brackets --------------------------------------------------------------------------------------------------

    fn bracket(
        &mut self,
        head: String,
        span: Span,
        chains: &[&tree::Chain],
        lead: &mut Lead,
    ) -> (Bracket, Option<usize>) {
        let opener = self.comments.find('[', span);
        let opener = opener.expect("internal error: a bracket that is not opened");
        lead.append(self.comments.within(span.start, opener));
        let close = span.end - 1;
        let begin = |chain: &tree::Chain| {
            let first = chain.stages.first();
            first.map_or(chain.span.start, |stage| stage.span().start)
        };
        let mut gap = self.comments.gap(Some(opener + 1), begin(chains[0]));
        let mut opening = gap.trailing.take();
        let mut width = Some(head.len() + 1);
        let mut branches = Vec::with_capacity(chains.len());
        for (index, chain) in chains.iter().enumerate() {
            let until = chains.get(index + 1).map_or(close, |next| begin(next));
            let mut branch = self.chain(chain, std::mem::take(&mut gap.lead), until);
            if index == 0 && opening.is_none() {
                opening = branch.opening.take();
            }
            let own = branch.width.filter(|_| !has_comment_around(&branch));
            // ` |`, and a space beside the branch.
            let bar = if index > 0 { 2 } else { 0 };
            let space =
                usize::from(index > 0 && (index + 1 == chains.len() || !branch.units.is_empty()));
            width = width.zip(own).map(|(sum, own)| sum + bar + space + own);
            branches.push(branch);
        }
        let width = width.filter(|_| opening.is_none());
        let bracket = Bracket {
            head,
            opening,
            branches,
        };
        (bracket, width)
    }
}

/// The branches of a join as the canonical form has them: the identity beside one other branch is not written, since a
/// join of one branch has it first. A sum does not care which is first.
fn branches(join: &tree::Join) -> Vec<&tree::Chain> {
    let identity = |chain: &tree::Chain| chain.stages.is_empty();
    match join.branches.as_slice() {
        [first, other] if identity(first) => vec![other],
        [other, last] if identity(last) && join.kind == JoinKind::Add => vec![other],
        all => all.iter().collect(),
    }
}

/// Whether a comment stands above, behind or below a branch.
fn has_comment_around(branch: &Chain) -> bool {
    let first = branch
        .units
        .first()
        .is_some_and(|unit| !unit.lead.is_empty());
    let last = branch
        .units
        .last()
        .is_some_and(|unit| unit.trailing.is_some());
    first || last || branch.opening.is_some() || !branch.end.is_empty()
}
