//! Random networks over the whole language, all of them right: text for the tests of formatter, parser and checker.
//!
//! [`RandomNet::new`] draws one from a seed. [`RandomNet::plain`] writes it as people do, [`RandomNet::decorated`] with
//! comments and white space wherever the language has room for them. Every shape fits, for the input that
//! [`RandomNet::input`] gives: a network states it or not. Nothing here asks netc what is right.

use netc::random::{Purpose, Stream};
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};

/// How much of the language is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Chains and repeats, no joins, no batch normalization.
    Chains,
    /// Everything.
    Whole,
    /// Everything, with sizes over three decades: tensors of tens to millions of numbers in one network.
    Large,
}

/// A network, token by token.
#[derive(Clone, Debug)]
pub struct RandomNet {
    /// Channels, height and width that the network is right for.
    pub input: [usize; 3],
    /// Whether the text begins with `input`.
    pub states_input: bool,
    /// The tokens, in order: layer words, signs, keys, values.
    pub tokens: Vec<String>,
}

impl RandomNet {
    /// The network of a seed.
    pub fn new(seed: u64, scope: Scope) -> Self {
        let mut draw = Draw {
            random: Stream::new(seed, Purpose::Dropout, 0, 0),
            scope,
            labels: 0,
        };
        let input = match scope {
            Scope::Large => [draw.size(1, 4), draw.decades(6, 200), draw.decades(6, 200)],
            _ => [draw.size(1, 4), draw.size(6, 16), draw.size(6, 16)],
        };
        let states_input = draw.chance(3, 4);
        let items = draw.size(0, 8);
        let start = Shape::Image(input[0], input[1], input[2]);
        let (mut chain, _) = draw.chain(start, items, 0);
        let classes = draw.size(2, 12);
        let classifier = draw.fully(classes, true);
        chain.push(Item::Layer(classifier));
        let mut tokens = Vec::new();
        if states_input {
            let [channels, height, width] = input;
            tokens.extend(["input".to_owned(), format!("{channels}x{height}x{width}")]);
        }
        write_chain(&chain, &mut tokens);
        Self {
            input,
            states_input,
            tokens,
        }
    }

    /// The text as people write it: one space where one is usual, some lines broken before an arrow.
    pub fn plain(&self) -> String {
        let mut text = String::new();
        let mut width = 0;
        for (index, token) in self.tokens.iter().enumerate() {
            let before = index.checked_sub(1).map_or("", |at| &self.tokens[at]);
            let gap = if (index == 2 && self.states_input) || (token == "->" && width > 60) {
                "\n"
            } else if before.is_empty()
                || matches!(before, "(" | "[" | "=" | "*" | "+" | "&")
                || matches!(
                    token.as_str(),
                    "(" | ")" | "[" | "]" | "=" | "*" | "," | ":"
                )
            {
                ""
            } else {
                " "
            };
            width = if gap == "\n" { 0 } else { width + gap.len() } + token.len();
            text.push_str(gap);
            text.push_str(token);
        }
        text.push('\n');
        text
    }

    /// The text with random white space and comments between its tokens. Each comment begins with `# ` and a number of
    /// its own, counted from 0 in the order of the text.
    pub fn decorated(&self, seed: u64) -> String {
        let mut random = Stream::new(seed, Purpose::Dropout, 1, 0);
        // From hardly any comment to one in every second gap.
        let density = *[0, 2, 10, 50].choose(&mut random).expect("densities");
        let line_end = if random.random_range(0..4) == 0 {
            "\r\n"
        } else {
            "\n"
        };
        let mut comments = 0;
        let mut text = String::new();
        if random.random_range(0..8) == 0 {
            text.push('\u{feff}');
        }
        for (index, token) in self.tokens.iter().enumerate() {
            let start = text.len();
            let pieces = random.random_range(0..4);
            for _ in 0..pieces {
                if random.random_range(0..100) < density {
                    let words = COMMENTS.choose(&mut random).expect("comments");
                    text.push_str(&format!("# {comments} {words}{line_end}"));
                    comments += 1;
                } else {
                    let space = *[" ", "  ", "\t", line_end]
                        .choose(&mut random)
                        .expect("spaces");
                    text.push_str(space);
                }
            }
            let words_meet = self.states_input && matches!(index, 1 | 2);
            if words_meet && text.len() == start {
                text.push(' ');
            }
            text.push_str(token);
        }
        for _ in 0..random.random_range(0..3) {
            if random.random_range(0..100) < density {
                text.push_str(&format!(" # {comments} the end"));
                comments += 1;
            }
            text.push_str(line_end);
        }
        text
    }
}

/// What comments say: words, signs of the language, letters of more than one byte, spaces at the end.
const COMMENTS: &[&str] = &[
    "",
    "why this is so",
    "C8 -> [P | N] (kernel=3",
    "каждый слой — 畳み込み",
    "# twice",
    "ends with spaces   ",
    "a comment that says a great deal about very little, and so alone needs most of a line",
];

/// The data's shape at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Image(usize, usize, usize),
    Vector(usize),
}

/// An item of a chain.
#[derive(Clone, Debug)]
enum Item {
    Layer(Layer),
    Repeat(usize, Vec<Item>),
    Join(char, Vec<Vec<Item>>),
}

/// A layer: its words, and what it does to a shape.
#[derive(Clone, Debug)]
struct Layer {
    label: Option<String>,
    word: String,
    attributes: Vec<String>,
    rule: Rule,
}

/// A shape rule.
#[derive(Clone, Debug)]
enum Rule {
    /// A convolution (filters, groups) or a pooling (`None`).
    Windows(Window, Option<(usize, usize)>),
    /// The whole map becomes one cell.
    Global,
    /// Images keep their shape, vectors are refused.
    Image,
    /// Everything keeps its shape.
    Any,
    /// Units.
    Units(usize),
}

/// Sliding windows, height before width.
#[derive(Clone, Copy, Debug)]
struct Window {
    kernel: [usize; 2],
    stride: [usize; 2],
    pad: [usize; 2],
    ceil: bool,
}

impl Window {
    fn along(&self, axis: usize, size: usize) -> Option<usize> {
        let (stride, pad) = (self.stride[axis], self.pad[axis]);
        let room = (size + 2 * pad).checked_sub(self.kernel[axis])?;
        let overhangs = self.ceil && room % stride > 0 && (room / stride + 1) * stride < size + pad;
        Some(room / stride + 1 + usize::from(overhangs))
    }
}

/// The shape after a chain, where all of it fits.
fn after(chain: &[Item], shape: Shape) -> Option<Shape> {
    chain.iter().try_fold(shape, |shape, item| match item {
        Item::Layer(layer) => layer.rule.after(shape),
        Item::Repeat(times, chain) => (0..*times).try_fold(shape, |shape, _| after(chain, shape)),
        Item::Join(sign, branches) => {
            let mut shapes = branches
                .iter()
                .map(|branch| after(branch, shape))
                .collect::<Option<Vec<_>>>()?;
            if let [only] = shapes[..] {
                shapes = vec![shape, only];
            }
            let first = shapes[0];
            if *sign == '+' {
                return shapes.iter().all(|other| *other == first).then_some(first);
            }
            shapes
                .into_iter()
                .skip(1)
                .try_fold(first, |sum, next| match (sum, next) {
                    (Shape::Image(c, h, w), Shape::Image(more, h2, w2)) if (h, w) == (h2, w2) => {
                        Some(Shape::Image(c + more, h, w))
                    }
                    (Shape::Vector(n), Shape::Vector(more)) => Some(Shape::Vector(n + more)),
                    _ => None,
                })
        }
    })
}

impl Rule {
    fn after(&self, shape: Shape) -> Option<Shape> {
        match (self, shape) {
            (Self::Units(units), _) => Some(Shape::Vector(*units)),
            (Self::Any, shape) => Some(shape),
            (_, Shape::Vector(_)) => None,
            (Self::Image, shape) => Some(shape),
            (Self::Global, Shape::Image(c, ..)) => Some(Shape::Image(c, 1, 1)),
            (Self::Windows(window, product), Shape::Image(c, h, w)) => {
                let channels = match product {
                    Some((filters, groups)) if c % groups == 0 => *filters,
                    Some(_) => return None,
                    None => c,
                };
                Some(Shape::Image(
                    channels,
                    window.along(0, h)?,
                    window.along(1, w)?,
                ))
            }
        }
    }
}

fn write_chain(chain: &[Item], tokens: &mut Vec<String>) {
    for (index, item) in chain.iter().enumerate() {
        if index > 0 {
            tokens.push("->".into());
        }
        match item {
            Item::Layer(layer) => write_layer(layer, tokens),
            Item::Repeat(times, chain) => {
                tokens.extend([times.to_string(), "*".into(), "[".into()]);
                write_chain(chain, tokens);
                tokens.push("]".into());
            }
            Item::Join(sign, branches) => {
                tokens.extend([sign.to_string(), "[".into()]);
                for (index, branch) in branches.iter().enumerate() {
                    if index > 0 {
                        tokens.push("|".into());
                    }
                    write_chain(branch, tokens);
                }
                tokens.push("]".into());
            }
        }
    }
}

fn write_layer(layer: &Layer, tokens: &mut Vec<String>) {
    if let Some(label) = &layer.label {
        tokens.extend([label.clone(), ":".into()]);
    }
    tokens.push(layer.word.clone());
    if layer.attributes.is_empty() {
        return;
    }
    tokens.push("(".into());
    for (index, attribute) in layer.attributes.iter().enumerate() {
        if index > 0 {
            tokens.push(",".into());
        }
        match attribute.split_once('=') {
            Some((key, value)) => tokens.extend([key.to_owned(), "=".into(), value.to_owned()]),
            None => tokens.push(attribute.clone()),
        }
    }
    tokens.push(")".into());
}

/// Draws the parts of a network.
struct Draw {
    random: Stream,
    scope: Scope,
    /// Labels given so far, so that each is new.
    labels: usize,
}

/// How deep brackets nest.
const DEPTH: usize = 3;

impl Draw {
    // ---- Numbers and words -----------------------------------------------------------------------------------------

    /// A whole number, both bounds included.
    fn size(&mut self, least: usize, most: usize) -> usize {
        self.random.random_range(least..=most)
    }

    /// A whole number, every decade as likely as another.
    fn decades(&mut self, least: usize, most: usize) -> usize {
        let (low, high) = ((least as f64).ln(), (most as f64).ln());
        let at: f64 = self.random.random_range(low..=high);
        (at.exp().round() as usize).clamp(least, most)
    }

    fn filters(&mut self) -> usize {
        match self.scope {
            Scope::Large => self.decades(1, 1000),
            _ => self.size(1, 4) * 4,
        }
    }

    fn units(&mut self) -> usize {
        match self.scope {
            Scope::Large => self.decades(1, 2000),
            _ => self.size(1, 20),
        }
    }

    fn chance(&mut self, times: u32, of: u32) -> bool {
        self.random.random_range(0..of) < times
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.random)
            .expect("something to choose from")
    }

    /// `key=value` now and then.
    fn maybe(&mut self, attributes: &mut Vec<String>, key: &str, values: &[&str]) {
        if self.chance(1, 6) {
            let value = self.one(values);
            attributes.push(format!("{key}={value}"));
        }
    }

    /// A size as one writes it; left out now and then where it is the default.
    fn write_size(
        &mut self,
        attributes: &mut Vec<String>,
        key: &str,
        size: [usize; 2],
        default: Option<[usize; 2]>,
    ) {
        if default == Some(size) && self.chance(4, 5) {
            return;
        }
        let [height, width] = size;
        attributes.push(if height == width && self.chance(4, 5) {
            format!("{key}={height}")
        } else {
            format!("{key}={height}x{width}")
        });
    }

    fn layer(&mut self, word: String, mut attributes: Vec<String>, rule: Rule) -> Layer {
        attributes.shuffle(&mut self.random);
        let label = self.chance(1, 6).then(|| {
            self.labels += 1;
            let word = self.one(&["stem", "conv", "a", "block_2x", "head"]);
            format!("{word}_{}", self.labels)
        });
        Layer {
            label,
            word,
            attributes,
            rule,
        }
    }

    // ---- Layers ----------------------------------------------------------------------------------------------------

    /// The attributes that C and F share.
    fn learned(&mut self, classifier: bool) -> Vec<String> {
        let mut attributes = Vec::new();
        if !classifier {
            let words = ["relu", "leaky", "sigmoid", "tanh", "none"];
            self.maybe(&mut attributes, "act", &words);
            let drops = ["0", "0.0", "0.5", "2.5e-1"];
            self.maybe(&mut attributes, "dropout", &drops);
        }
        match self.size(0, 9) {
            0 => attributes.extend(["init=gaussian".into(), "std=0.01".into()]),
            1 => attributes.push("std=1e-2".into()),
            2 => {
                let word = self.one(&["he", "xavier", "gaussian"]);
                attributes.push(format!("init={word}"));
            }
            _ => {}
        }
        self.maybe(&mut attributes, "bias_init", &["1", "0", "-0.5", "+1e-1"]);
        self.maybe(&mut attributes, "bias", &["yes", "none"]);
        attributes
    }

    fn fully(&mut self, units: usize, classifier: bool) -> Layer {
        let attributes = self.learned(classifier);
        self.layer(format!("F{units}"), attributes, Rule::Units(units))
    }

    /// A window that fits an image of this size; `keep` keeps the size.
    fn window(&mut self, height: usize, width: usize, keep: bool) -> Window {
        let mut window = Window {
            kernel: [1; 2],
            stride: [1; 2],
            pad: [0; 2],
            ceil: false,
        };
        let square = self.chance(3, 4);
        for (axis, size) in [height, width].into_iter().enumerate() {
            if axis == 1 && square && size >= window.kernel[0] {
                window.kernel[1] = window.kernel[0];
                window.stride[1] = window.stride[0];
                window.pad[1] = window.pad[0];
                continue;
            }
            if keep {
                window.kernel[axis] = self.one(&[1, 3, 3, 3, 5]);
                window.pad[axis] = window.kernel[axis] / 2;
            } else {
                let kernel = self.one(&[1, 2, 2, 3, 3, 4, 5]).min(size);
                window.kernel[axis] = kernel;
                window.stride[axis] = self.size(1, 3);
                window.pad[axis] = self.size(0, kernel / 2).min(kernel - 1);
            }
        }
        window
    }

    fn convolution(&mut self, channels: usize, filters: usize, window: Window) -> Layer {
        let mut attributes = self.learned(false);
        self.write_size(&mut attributes, "kernel", window.kernel, Some([3; 2]));
        self.write_size(&mut attributes, "stride", window.stride, Some([1; 2]));
        let odd = window.kernel.iter().all(|side| side % 2 == 1);
        let same = odd && window.pad == window.kernel.map(|side| side / 2);
        match (same, self.size(0, 9)) {
            (true, 0) => attributes.push("pad=same".into()),
            (true, 2..) => {}
            _ => self.write_size(&mut attributes, "pad", window.pad, None),
        }
        let divisors: Vec<usize> = (1..=channels)
            .filter(|groups| channels.is_multiple_of(*groups) && filters.is_multiple_of(*groups))
            .collect();
        let groups = if self.chance(1, 4) {
            self.one(&divisors)
        } else {
            1
        };
        if groups > 1 || self.chance(1, 10) {
            attributes.push(format!("groups={groups}"));
        }
        let rule = Rule::Windows(window, Some((filters, groups)));
        self.layer(format!("C{filters}"), attributes, rule)
    }

    /// A pooling, with `ceil` now and then where it `may_ceil`.
    fn pooling(&mut self, mut window: Window, may_ceil: bool) -> Layer {
        let mut attributes = Vec::new();
        if self.chance(1, 4) {
            attributes.push(self.one(&["max", "avg"]).to_owned());
        }
        if may_ceil && self.chance(1, 5) {
            window.ceil = true;
            attributes.push("ceil".into());
        }
        self.write_size(&mut attributes, "kernel", window.kernel, Some([2; 2]));
        self.write_size(
            &mut attributes,
            "stride",
            window.stride,
            Some(window.kernel),
        );
        self.write_size(&mut attributes, "pad", window.pad, Some([0; 2]));
        self.layer("P".into(), attributes, Rule::Windows(window, None))
    }

    fn global(&mut self) -> Layer {
        let mut attributes = vec!["global".to_owned()];
        if self.chance(2, 3) {
            attributes.push(self.one(&["max", "avg"]).to_owned());
        }
        self.layer("P".into(), attributes, Rule::Global)
    }

    fn batch_norm(&mut self) -> Layer {
        let mut attributes = vec!["batch".to_owned()];
        self.maybe(&mut attributes, "eps", &["1e-5", "0.00001", "1e-3"]);
        self.maybe(&mut attributes, "momentum", &["0.1", "0.01", "1e-1"]);
        if self.chance(1, 3) {
            attributes.push("affine".into());
        }
        self.layer("N".into(), attributes, Rule::Any)
    }

    fn norm(&mut self) -> Layer {
        let mut attributes = Vec::new();
        match self.size(0, 3) {
            0 if self.scope != Scope::Chains => return self.batch_norm(),
            1 => {
                attributes.push("meanvar".to_owned());
                self.maybe(&mut attributes, "eps", &["1e-5", "1e-4"]);
            }
            variant => {
                if variant == 2 {
                    attributes.push("local".to_owned());
                }
                self.maybe(&mut attributes, "size", &["5", "3", "+5", "1"]);
                self.maybe(
                    &mut attributes,
                    "alpha",
                    &["1e-4", "0.0001", "0.001", "1E-3"],
                );
                self.maybe(&mut attributes, "beta", &["0.75", "7.5e-1", "0.5", "1"]);
                self.maybe(&mut attributes, "k", &["2", "2.0", "1"]);
            }
        }
        self.layer("N".into(), attributes, Rule::Image)
    }

    fn activation(&mut self) -> Layer {
        let attributes = if self.chance(1, 2) {
            Vec::new()
        } else {
            vec![self.one(&["relu", "leaky", "sigmoid", "tanh"]).to_owned()]
        };
        self.layer("A".into(), attributes, Rule::Any)
    }

    // ---- Chains ----------------------------------------------------------------------------------------------------

    /// So many items, and the shape after them.
    fn chain(&mut self, start: Shape, items: usize, depth: usize) -> (Vec<Item>, Shape) {
        let (mut chain, mut shape) = (Vec::new(), start);
        for _ in 0..items {
            let item = self.item(shape, depth);
            shape = after(std::slice::from_ref(&item), shape)
                .expect("the item was drawn for this shape");
            chain.push(item);
        }
        (chain, shape)
    }

    fn item(&mut self, shape: Shape, depth: usize) -> Item {
        if depth < DEPTH && self.chance(1, 8) {
            let items = self.size(1, 3);
            let chain = self.chain(shape, items, depth + 1).0;
            return self.repeat(chain, shape);
        }
        if depth < DEPTH && self.scope != Scope::Chains && self.chance(1, 5) {
            return self.join(shape, depth + 1);
        }
        Item::Layer(match shape {
            Shape::Vector(_) => match self.size(0, 3) {
                0 => self.activation(),
                1 if self.scope != Scope::Chains => self.batch_norm(),
                _ => {
                    let units = self.units();
                    self.fully(units, false)
                }
            },
            Shape::Image(channels, height, width) => match self.size(0, 19) {
                0..8 => {
                    let (filters, keep) = (self.filters(), self.chance(1, 2));
                    let window = self.window(height, width, keep);
                    self.convolution(channels, filters, window)
                }
                8..12 => {
                    let window = self.window(height, width, false);
                    self.pooling(window, true)
                }
                12..16 => self.norm(),
                16 | 17 => self.activation(),
                18 if depth == 0 => self.global(),
                _ if depth == 0 => {
                    let units = self.units();
                    self.fully(units, false)
                }
                _ => self.activation(),
            },
        })
    }

    /// A chain so often as its shapes allow, once at least.
    fn repeat(&mut self, chain: Vec<Item>, shape: Shape) -> Item {
        let mut times = self.size(1, 3);
        while times > 1 && after(&[Item::Repeat(times, chain.clone())], shape).is_none() {
            times -= 1;
        }
        Item::Repeat(times, chain)
    }

    // ---- Joins -----------------------------------------------------------------------------------------------------

    fn join(&mut self, shape: Shape, depth: usize) -> Item {
        let sign = self.one(&['+', '&']);
        let reduce = self.chance(1, 3);
        let branches = match shape {
            Shape::Image(channels, height, width) if reduce => {
                let window = self.window(height, width, false);
                let filters = self.filters();
                (0..self.size(2, 3))
                    .map(|_| self.reducing(channels, window, filters, sign == '+'))
                    .collect()
            }
            Shape::Image(channels, ..) if self.chance(5, 6) => {
                let target = (sign == '+').then_some(channels);
                self.beside_identity(|draw| draw.keeping(shape, target, depth))
            }
            Shape::Vector(units) if !reduce => {
                let target = if sign == '+' { units } else { self.size(1, 9) };
                self.beside_identity(|draw| vec![Item::Layer(draw.fully(target, false))])
            }
            _ => {
                let units = self.units();
                let branch = |draw: &mut Self| {
                    let items = draw.size(0, 1);
                    let mut chain = draw.chain(shape, items, DEPTH).0;
                    chain.push(Item::Layer(draw.fully(units, false)));
                    chain
                };
                (0..self.size(2, 3)).map(|_| branch(self)).collect()
            }
        };
        Item::Join(sign, branches)
    }

    /// One branch, whose identity beside it is not written; or several, the identity perhaps among them.
    fn beside_identity(
        &mut self,
        mut branch: impl FnMut(&mut Self) -> Vec<Item>,
    ) -> Vec<Vec<Item>> {
        let mut branches: Vec<Vec<Item>> = (0..self.one(&[1, 1, 1, 2, 2, 3]))
            .map(|_| branch(self))
            .collect();
        if self.chance(1, 3) {
            let at = self.size(0, branches.len());
            branches.insert(at, Vec::new());
        }
        branches
    }

    /// A branch that keeps height and width, and comes out with so many channels where that is asked for.
    fn keeping(&mut self, start: Shape, target: Option<usize>, depth: usize) -> Vec<Item> {
        let (mut chain, mut shape) = (Vec::new(), start);
        for _ in 0..self.size(0, 2) {
            let Shape::Image(channels, height, width) = shape else {
                break;
            };
            let item = match self.size(0, 5) {
                0 | 1 => {
                    let (filters, window) = (self.filters(), self.window(height, width, true));
                    Item::Layer(self.convolution(channels, filters, window))
                }
                3 => Item::Layer(self.activation()),
                4 if depth < DEPTH => {
                    let chain = self.keeping(shape, None, depth + 1);
                    self.repeat(chain, shape)
                }
                5 if depth < DEPTH => {
                    let sign = self.one(&['+', '&']);
                    let target = (sign == '+').then_some(channels);
                    let branches =
                        self.beside_identity(|draw| draw.keeping(shape, target, depth + 1));
                    Item::Join(sign, branches)
                }
                _ => Item::Layer(self.norm()),
            };
            shape = after(std::slice::from_ref(&item), shape)
                .expect("the item was drawn for this shape");
            chain.push(item);
        }
        if let Shape::Image(channels, height, width) = shape
            && (chain.is_empty() || target.is_some_and(|target| target != channels))
        {
            let filters = target.unwrap_or(4);
            let window = self.window(height, width, true);
            chain.push(Item::Layer(self.convolution(channels, filters, window)));
        }
        chain
    }

    /// A branch with one layer of this window; `exact` makes its channels come out as `filters`.
    fn reducing(
        &mut self,
        channels: usize,
        window: Window,
        filters: usize,
        exact: bool,
    ) -> Vec<Item> {
        if self.chance(1, 2) {
            return vec![Item::Layer(self.convolution(channels, filters, window))];
        }
        let mut chain = vec![Item::Layer(self.pooling(window, false))];
        if exact && channels != filters {
            let one = Window {
                kernel: [1; 2],
                stride: [1; 2],
                pad: [0; 2],
                ceil: false,
            };
            chain.push(Item::Layer(self.convolution(channels, filters, one)));
        }
        chain
    }
}

mod tests {
    use netc::source::Source;
    use netc::{ir, op, syntax};

    use super::*;

    /// The problems of a text, as lines.
    fn problems(net: &RandomNet, text: &str) -> String {
        let source = Source::new("random.net", text);
        let (tree, mut found) = syntax::parse(&source);
        let [channels, height, width] = net.input;
        let options = ir::Options {
            name: "random".into(),
            input: Some(op::shape::Shape::image(channels, height, width)),
            ..ir::Options::default()
        };
        let (graph, more) = ir::build(&tree, &options);
        found.append(more);
        assert_eq!(graph.is_some(), !found.has_errors(), "{text}");
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn random_nets_are_right() {
        for seed in 0..500 {
            let net = RandomNet::new(seed, Scope::Chains);
            for text in [net.plain(), net.decorated(seed)] {
                assert_eq!(problems(&net, &text), "", "seed {seed}:\n{text}");
            }
        }
    }

    #[test]
    fn random_nets_of_the_whole_language_parse() {
        let mut joins = 0;
        for seed in 0..500 {
            let net = RandomNet::new(seed, Scope::Whole);
            joins += usize::from(net.tokens.iter().any(|token| token == "|"));
            for text in [net.plain(), net.decorated(seed)] {
                let (_, found) = syntax::parse(&Source::new("random.net", text.as_str()));
                assert!(found.is_empty(), "seed {seed}: {found:?}\n{text}");
            }
        }
        assert!(joins > 50, "{joins} of 500 networks have branches");
    }
}
