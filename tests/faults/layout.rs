//! What stands where in the tokens of a good network, and how a text is put together from tokens that were changed.

use std::collections::BTreeMap;
use std::ops::Range;

use netc::random::Stream;
use rand::RngExt;

/// A layer's tokens.
#[derive(Clone, Debug)]
pub struct Layer {
    pub label: Option<usize>,
    pub word: usize,
    pub open: Option<usize>,
    pub close: Option<usize>,
    pub attributes: Vec<Attribute>,
}

impl Layer {
    pub fn first(&self) -> usize {
        self.label.unwrap_or(self.word)
    }

    pub fn last(&self) -> usize {
        self.close.unwrap_or(self.word)
    }
}

/// An attribute's tokens; `=` stands between key and value.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    pub key: usize,
    pub value: Option<usize>,
}

impl Attribute {
    pub fn last(&self) -> usize {
        self.value.unwrap_or(self.key)
    }
}

/// The tokens of a repeat or join.
#[derive(Clone, Debug)]
pub struct Bracket {
    /// The count or sign.
    pub head: usize,
    pub open: usize,
    pub close: usize,
}

/// A good network, token by token.
#[derive(Debug)]
pub struct Layout {
    pub tokens: Vec<String>,
    /// The token of `3x32x32`.
    pub sizes: Option<usize>,
    pub layers: Vec<Layer>,
    pub brackets: Vec<Bracket>,
    pub arrows: Vec<usize>,
    pub commas: Vec<usize>,
}

impl Layout {
    pub fn new(tokens: &[String], states_input: bool) -> Self {
        let mut layout = Self {
            tokens: tokens.to_vec(),
            sizes: states_input.then_some(1),
            layers: Vec::new(),
            brackets: Vec::new(),
            arrows: Vec::new(),
            commas: Vec::new(),
        };
        let (mut open, mut label, mut at) = (Vec::new(), None, layout.start());
        let next = |at: usize| tokens.get(at + 1).map_or("", String::as_str);
        while at < tokens.len() {
            match tokens[at].as_str() {
                "->" => layout.arrows.push(at),
                "[" => {
                    let head = at - if tokens[at - 1] == "*" { 2 } else { 1 };
                    open.push(layout.brackets.len());
                    layout.brackets.push(Bracket {
                        head,
                        open: at,
                        close: at,
                    });
                }
                "]" => layout.brackets[open.pop().expect("an opener")].close = at,
                "|" | "*" | "+" | "&" => {}
                _ if next(at) == "*" => {}
                _ if next(at) == ":" => {
                    label = Some(at);
                    at += 1;
                }
                _ => {
                    let mut layer = Layer {
                        label: label.take(),
                        word: at,
                        open: None,
                        close: None,
                        attributes: Vec::new(),
                    };
                    if next(at) == "(" {
                        at = layout.attributes(&mut layer);
                    }
                    layout.layers.push(layer);
                }
            }
            at += 1;
        }
        layout
    }

    /// Reads the parentheses after a layer's word; the place of the closing one.
    fn attributes(&mut self, layer: &mut Layer) -> usize {
        let mut at = layer.word + 1;
        layer.open = Some(at);
        loop {
            at += 1;
            match self.tokens[at].as_str() {
                ")" => break,
                "," => self.commas.push(at),
                _ => {
                    let value = (self.tokens[at + 1] == "=").then_some(at + 2);
                    layer.attributes.push(Attribute { key: at, value });
                    at = value.unwrap_or(at);
                }
            }
        }
        layer.close = Some(at);
        at
    }

    /// The first token of the chain.
    pub fn start(&self) -> usize {
        self.sizes.map_or(0, |sizes| sizes + 1)
    }

    pub fn classifier(&self) -> &Layer {
        self.layers.last().expect("a network has a layer")
    }
}

/// How a text is laid out.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    /// No white space but where words would meet.
    Tight,
    /// As people write it.
    Plain,
    /// White space, line ends and comments anywhere.
    Loose,
}

/// A text, and where the tokens of the good network stand in it; what replaced a token stands in its place.
pub struct Rendered {
    pub text: String,
    spans: Vec<Range<usize>>,
}

impl Rendered {
    pub fn new(
        layout: &Layout,
        edits: &BTreeMap<usize, Vec<String>>,
        style: Style,
        random: &mut Stream,
    ) -> Self {
        let (mut text, mut spans) = (String::new(), Vec::new());
        let mut before = String::new();
        for (index, token) in layout.tokens.iter().enumerate() {
            let own = [token.clone()];
            let pieces = edits.get(&index).map_or(&own[..], Vec::as_slice);
            let mut place: Option<Range<usize>> = None;
            for piece in pieces {
                let after_input = layout.sizes.is_some() && index == layout.start();
                text.push_str(&gap(
                    &before,
                    piece,
                    style,
                    after_input && place.is_none(),
                    random,
                ));
                let start = text.len();
                text.push_str(piece);
                place = Some(place.map_or(start, |place| place.start)..text.len());
                before.clone_from(piece);
            }
            spans.push(place.unwrap_or(text.len()..text.len()));
        }
        text.push('\n');
        Self { text, spans }
    }

    /// Where some tokens stand, first and last included.
    pub fn place(&self, (first, last): (usize, usize)) -> Range<usize> {
        self.spans[first].start..self.spans[last].end
    }
}

/// What stands between two tokens.
fn gap(before: &str, token: &str, style: Style, after_input: bool, random: &mut Stream) -> String {
    let wordy = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let words_meet = before.ends_with(wordy) && token.starts_with(wordy);
    if before.is_empty() {
        return String::new();
    }
    match style {
        Style::Tight if before == "input" || words_meet || after_input => " ".into(),
        Style::Tight => String::new(),
        Style::Plain if after_input => "\n".into(),
        Style::Plain => {
            let tight = matches!(before, "(" | "[" | "=" | "*" | "+" | "&")
                || matches!(token, "(" | ")" | "[" | "]" | "=" | "*" | "," | ":");
            if token == "->" && random.random_range(0..4) == 0 {
                "\n".into()
            } else if tight && !words_meet {
                String::new()
            } else {
                " ".into()
            }
        }
        Style::Loose => {
            let pieces = ["", " ", "  ", "\t", "\n", " # why\n", "\r\n"];
            let mut gap = pieces[random.random_range(0..pieces.len())].to_owned();
            if gap.is_empty() && (words_meet || after_input || before == "input") {
                gap.push(' ');
            }
            gap
        }
    }
}
