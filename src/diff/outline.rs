//! A network as a sequence of items: layers, and the ends of brackets.
//!
//! Two texts of one network have one outline, however they are formatted: attributes stand in canonical form, a join's
//! implied identity is a branch of its own. A repeat is one bracket (folded), or as many copies as its count says
//! (unfolded, which is the graph, layer by layer).

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use crate::format::attribute::{Meanings, Written};
use crate::op::shape::Shape;
use crate::source::Span;
use crate::syntax::tree::{self, JoinKind, Stage, Tree};

/// A bracket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bracket {
    /// `+[ … ]`: branches, added.
    Add,
    /// `&[ … ]`: branches, concatenated.
    Concat,
    /// One branch of a join.
    Branch,
    /// `3*[ … ]`: a chain, several times.
    Repeat(u64),
}

/// A layer as it is written.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its label.
    pub label: Option<String>,
    /// Kind, width and attributes.
    pub written: Arc<Written>,
}

/// One item.
#[derive(Clone, Debug)]
pub enum Item {
    /// A layer.
    Layer(Layer),
    /// A bracket begins.
    Open(Bracket),
    /// A bracket ends.
    Close(Bracket),
}

/// One of the nodes that an item stands for in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Which copy it is, of each folded repeat around it, outermost first.
    pub copy: Vec<u64>,
    /// The node's index.
    pub node: usize,
}

/// A network's items.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// The input's shape, where the text says it.
    pub input: Option<Shape>,
    /// The items in order.
    pub items: Vec<Item>,
    /// For each item where it ends: a bracket's opening at its closing, anything else at itself.
    pub ends: Vec<usize>,
    /// The nodes of each item: of a layer, and of a join at its opening. Several where repeats are folded.
    pub instances: Vec<Vec<Instance>>,
    /// Where each item stands in the text: of brackets at their opening.
    pub spans: Vec<Span>,
}

/// Which repeats are unfolded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Folding {
    /// None.
    #[default]
    Folded,
    /// All.
    Unfolded,
    /// Those at these places.
    Some(HashSet<Span>),
}

/// How a text is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Which repeats are unfolded.
    pub folding: Folding,
    /// Whether identities stand in a sum where the text has them. Otherwise they stand last: `+[ | x]` is `+[x | ]`.
    pub as_written: bool,
}

impl Folding {
    fn unfolds(&self, repeat: &tree::Repeat) -> bool {
        match self {
            Self::Folded => false,
            Self::Unfolded => true,
            Self::Some(spans) => spans.contains(&repeat.span),
        }
    }
}

impl Layer {
    /// The layer as text.
    pub fn text(&self) -> String {
        match &self.label {
            Some(label) => format!("{label}: {}", self.written.text()),
            None => self.written.text(),
        }
    }
}

impl Item {
    /// The item as text.
    pub fn text(&self) -> String {
        match self {
            Self::Layer(layer) => layer.text(),
            Self::Open(Bracket::Add) => "+[".into(),
            Self::Open(Bracket::Concat) => "&[".into(),
            Self::Open(Bracket::Branch) => "|".into(),
            Self::Open(Bracket::Repeat(count)) => format!("{count}*["),
            Self::Close(Bracket::Branch) => String::new(),
            Self::Close(_) => "]".into(),
        }
    }

    /// What it is, as text that is equal where the item is: of a bracket its kind alone.
    pub fn identity(&self) -> String {
        match self {
            Self::Layer(Layer { label, written }) => {
                let label = label.as_deref().unwrap_or("");
                format!("{label}: {} {}", written.kind.letter, written.meaning())
            }
            bracket => format!("{bracket:?}"),
        }
    }

    /// The layer, where it is one.
    pub fn layer(&self) -> Option<&Layer> {
        match self {
            Self::Layer(layer) => Some(layer),
            _ => None,
        }
    }
}

/// Makes outlines; layers that are written alike share what they mean.
#[derive(Debug, Default)]
pub struct Outliner {
    meanings: Meanings,
}

impl Outliner {
    /// The outline of a network without errors.
    ///
    /// # Panics
    /// Where the tree has an error in it.
    pub fn outline(&mut self, tree: &Tree, reading: &Reading) -> Outline {
        let mut reader = Reader {
            tree,
            reading,
            meanings: &mut self.meanings,
            outline: Outline {
                input: tree.input.as_ref().map(|input| {
                    let [c, h, w] = [0, 1, 2].map(|i| input.sizes[i].value as usize);
                    Shape::image(c, h, w)
                }),
                ..Outline::default()
            },
            known: HashMap::new(),
            nodes: 0,
        };
        reader.chain(&tree.chain, "", &[], true);
        reader.outline
    }
}

struct Reader<'a> {
    tree: &'a Tree,
    reading: &'a Reading,
    meanings: &'a mut Meanings,
    outline: Outline,
    /// The items of what stands in a folded repeat, for its further copies: by place, and copy of unfolded repeats.
    known: HashMap<(Span, String), usize>,
    /// Nodes of the graph so far.
    nodes: usize,
}

impl Reader<'_> {
    fn push(&mut self, item: Item, span: Span) -> usize {
        let at = self.outline.items.len();
        self.outline.items.push(item);
        self.outline.ends.push(at);
        self.outline.instances.push(Vec::new());
        self.outline.spans.push(span);
        at
    }

    fn open(&mut self, bracket: Bracket, span: Span) -> usize {
        self.push(Item::Open(bracket), span)
    }

    fn close(&mut self, open: usize, bracket: Bracket) {
        let at = self.push(Item::Close(bracket), self.outline.spans[open]);
        self.outline.ends[open] = at;
    }

    fn node(&mut self, item: usize, copy: &[u64]) {
        let node = self.nodes;
        self.nodes += 1;
        let copy = copy.to_vec();
        self.outline.instances[item].push(Instance { copy, node });
    }

    /// Reads a chain. `suffix` goes to the labels in it; `copy` says which copy of each folded repeat around it this is,
    /// and `first` whether its items are still to be made.
    fn chain(&mut self, chain: &tree::Chain, suffix: &str, copy: &[u64], first: bool) {
        for stage in &chain.stages {
            match stage {
                Stage::Layer(layer) => {
                    let item = if first {
                        let label = layer.label.as_ref();
                        let label = label.map(|label| format!("{}{suffix}", label.value));
                        let written = self.meanings.of(&self.tree.source, layer);
                        let item = Item::Layer(Layer { label, written });
                        self.push(item, layer.span)
                    } else {
                        self.known[&(layer.span, suffix.to_owned())]
                    };
                    if !copy.is_empty() {
                        self.known.insert((layer.span, suffix.to_owned()), item);
                    }
                    self.node(item, copy);
                }
                Stage::Repeat(repeat) => self.repeat(repeat, suffix, copy, first),
                Stage::Join(join) => self.join(join, suffix, copy, first),
                Stage::Error(_) => {
                    unreachable!("internal error: an error in a network without errors")
                }
            }
        }
    }

    fn repeat(&mut self, repeat: &tree::Repeat, suffix: &str, copy: &[u64], first: bool) {
        let count: u64 = repeat
            .count
            .value
            .parse()
            .expect("internal error: a repeat count that is none");
        if self.reading.folding.unfolds(repeat) {
            for time in 1..=count {
                self.chain(&repeat.chain, &format!("{suffix}.{time}"), copy, first);
            }
            return;
        }
        let bracket = Bracket::Repeat(count);
        let open = first.then(|| self.open(bracket, repeat.span));
        for time in 1..=count {
            let copy = [copy, &[time]].concat();
            self.chain(&repeat.chain, suffix, &copy, first && time == 1);
            if let (Some(open), 1) = (open, time) {
                self.close(open, bracket);
            }
        }
    }

    fn join(&mut self, join: &tree::Join, suffix: &str, copy: &[u64], first: bool) {
        let bracket = match join.kind {
            JoinKind::Add => Bracket::Add,
            JoinKind::Concat => Bracket::Concat,
        };
        let open = if first {
            self.open(bracket, join.span)
        } else {
            self.known[&(join.span, suffix.to_owned())]
        };
        if !copy.is_empty() {
            self.known.insert((join.span, suffix.to_owned()), open);
        }
        for branch in branches(join, self.reading.as_written) {
            let span = branch.map_or(join.span, |branch| branch.span);
            let begin = first.then(|| self.open(Bracket::Branch, span));
            if let Some(branch) = branch {
                self.chain(branch, suffix, copy, first);
            }
            if let Some(begin) = begin {
                self.close(begin, Bracket::Branch);
            }
        }
        if first {
            self.close(open, bracket);
        }
        self.node(open, copy);
    }
}

/// Whether a sum has an identity before another branch.
pub fn has_early_identity(chain: &tree::Chain) -> bool {
    chain.stages.iter().any(|stage| match stage {
        Stage::Layer(_) | Stage::Error(_) => false,
        Stage::Repeat(repeat) => has_early_identity(&repeat.chain),
        Stage::Join(join) => {
            let before_last = join.branches.split_last().map_or(&[][..], |(_, rest)| rest);
            join.kind == JoinKind::Add && before_last.iter().any(|b| b.stages.is_empty())
                || join.branches.iter().any(has_early_identity)
        }
    })
}

/// The branches of a join: an implied identity is `None`. Unless they stand as written, a sum's identities are last.
fn branches(join: &tree::Join, as_written: bool) -> Vec<Option<&tree::Chain>> {
    let identity = |chain: &&tree::Chain| chain.stages.is_empty();
    let written = join.branches.iter();
    match (join.kind, join.branches.len()) {
        (JoinKind::Concat, 1) => [None].into_iter().chain(written.map(Some)).collect(),
        (JoinKind::Concat, _) => written.map(Some).collect(),
        (JoinKind::Add, 2..) if as_written => written.map(Some).collect(),
        (JoinKind::Add, count) => {
            let (identities, others): (Vec<_>, Vec<_>) = written.partition(identity);
            let implied = (count == 1).then_some(None);
            let all = others.into_iter().chain(identities).map(Some);
            all.chain(implied).collect()
        }
    }
}

impl Outline {
    /// An item with everything in it.
    pub fn whole(&self, item: usize) -> Range<usize> {
        item..self.ends[item] + 1
    }

    /// Where the bracket opens that an item closes; the item itself where it closes none.
    pub fn opening(&self, item: usize) -> usize {
        let before = (0..item).rev();
        before
            .into_iter()
            .find(|&open| self.ends[open] == item)
            .unwrap_or(item)
    }

    /// The items that are one bracket without its contents: its ends, and those of its branches.
    pub fn frame(&self, open: usize) -> Vec<usize> {
        let end = self.ends[open];
        let mut frame = vec![open];
        if matches!(self.items[open], Item::Open(Bracket::Add | Bracket::Concat)) {
            let mut at = open + 1;
            while at < end {
                frame.extend([at, self.ends[at]]);
                at = self.ends[at] + 1;
            }
        }
        frame.push(end);
        frame
    }

    /// Layers within an item, itself included.
    pub fn layers(&self, item: usize) -> usize {
        let items = &self.items[self.whole(item)];
        items.iter().filter(|item| item.layer().is_some()).count()
    }

    /// The network as text.
    pub fn text(&self) -> String {
        let mut text = self
            .input
            .map_or_else(String::new, |input| format!("input {input}\n"));
        text.push_str(&text_of(&self.items));
        text.push('\n');
        text
    }
}

/// Items as text, on one line.
pub fn text_of(items: &[Item]) -> String {
    let mut text = String::new();
    // What stands before: nothing that an arrow may follow, or something.
    let mut arrow = false;
    for (at, item) in items.iter().enumerate() {
        match item {
            Item::Open(Bracket::Branch) => {
                let opened = at
                    .checked_sub(1)
                    .is_some_and(|at| matches!(items[at], Item::Open(_)));
                text.push_str(if opened || at == 0 { "" } else { " | " });
                arrow = false;
            }
            Item::Close(Bracket::Branch) => {}
            Item::Close(_) => {
                text.push(']');
                arrow = true;
            }
            Item::Open(_) | Item::Layer(_) => {
                text.push_str(if arrow { " -> " } else { "" });
                let _ = write!(text, "{}", item.text());
                arrow = matches!(item, Item::Layer(_));
            }
        }
    }
    text
}
