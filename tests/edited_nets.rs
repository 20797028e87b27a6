//! Networks and known edits of them, drawn from a seed: for the tests of diff and merge.
//!
//! Every item has a number that stays with it, and an edit names what it edits by that number. So edits can be made one
//! after the other, on two sides, and together. netc is asked only whether what came of them is a network.

use netc::random::{Purpose, Stream};
use netc::source::Source;
use netc::{ir, syntax};
use rand::RngExt;
use rand::seq::IndexedRandom;

/// A layer or a bracket.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its number.
    pub id: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Layer {
        label: Option<String>,
        letter: char,
        width: usize,
        attributes: Vec<(String, String)>,
    },
    Repeat(usize, Vec<Item>),
    Join(char, Vec<Vec<Item>>),
}

impl Item {
    /// A convolution.
    pub fn convolution(id: usize, label: &str, width: usize) -> Self {
        let what = What::Layer {
            label: Some(label.into()),
            letter: 'C',
            width,
            attributes: Vec::new(),
        };
        Self { id, what }
    }

    /// Whether it is a bracket.
    pub fn is_bracket(&self) -> bool {
        !matches!(self.what, What::Layer { .. })
    }
}

/// A network.
#[derive(Clone, Debug)]
pub struct Net {
    input: Option<[usize; 3]>,
    chain: Vec<Item>,
}

/// Where an item comes to stand.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// First in a branch of a bracket; of the network's own chain where there is none.
    First(Option<usize>, usize),
    /// Behind an item.
    Behind(usize),
}

/// One known edit.
#[derive(Clone, Debug)]
pub enum Edit {
    /// A layer or a bracket comes.
    Add(Place, Item),
    /// A layer, or a bracket with everything in it, goes.
    Remove(usize),
    /// It goes elsewhere.
    Move(usize, Place),
    /// A layer has another width.
    Width(usize, usize),
    /// An attribute has another value, comes or goes.
    Attribute(usize, String, Option<String>),
    /// A label is another, comes or goes.
    Rename(usize, Option<String>),
    /// A layer of another kind stands there.
    Replace(usize, char),
    /// A repeat has another count.
    Count(usize, usize),
    /// `+` becomes `&`, or the other way around.
    Turn(usize),
    /// A bracket around an item and those behind it: its number, sign and how many.
    Wrap(usize, usize, char, usize),
    /// A bracket of one branch goes, and what is in it stays.
    Unwrap(usize),
    /// A join has one branch more, with this layer.
    Branch(usize, Item),
    /// The network has another input.
    Input([usize; 3]),
    /// A repeat is written out; no edit of the network.
    Unroll(usize),
}

impl Edit {
    /// The items that it names.
    pub fn names(&self) -> Vec<usize> {
        let place = |place: &Place| match place {
            Place::First(bracket, _) => bracket.iter().copied().collect(),
            Place::Behind(id) => vec![*id],
        };
        match self {
            Self::Add(at, item) => [place(at), vec![item.id]].concat(),
            Self::Move(id, at) => [place(at), vec![*id]].concat(),
            Self::Wrap(first, id, ..) => vec![*first, *id],
            Self::Branch(id, item) => vec![*id, item.id],
            Self::Remove(id)
            | Self::Width(id, _)
            | Self::Attribute(id, ..)
            | Self::Rename(id, _)
            | Self::Replace(id, _)
            | Self::Count(id, _)
            | Self::Turn(id)
            | Self::Unwrap(id)
            | Self::Unroll(id) => vec![*id],
            Self::Input(_) => Vec::new(),
        }
    }

    /// How many edits of the network it is.
    pub fn count(&self) -> usize {
        usize::from(!matches!(self, Self::Unroll(_)))
    }
}

impl Net {
    /// The text.
    pub fn text(&self) -> String {
        let input = self
            .input
            .map_or(String::new(), |[c, h, w]| format!("input {c}x{h}x{w}\n"));
        format!("{input}{}\n", write(&self.chain))
    }

    /// The same, with one item a line.
    pub fn lines(&self) -> String {
        let input = self
            .input
            .map_or(String::new(), |[c, h, w]| format!("input {c}x{h}x{w}\n"));
        let items: Vec<String> = self
            .chain
            .iter()
            .map(|item| write(std::slice::from_ref(item)))
            .collect();
        format!("{input}{}\n", items.join("\n-> "))
    }

    /// Whether it is a network without errors.
    pub fn is_right(&self) -> bool {
        let (tree, faults) = syntax::parse(&Source::new("a.net", self.text()));
        faults.is_empty() && ir::build(&tree, &ir::Options::default()).0.is_some()
    }

    /// The numbers of all items, brackets before what is in them.
    pub fn ids(&self) -> Vec<usize> {
        fn walk(chain: &[Item], ids: &mut Vec<usize>) {
            for item in chain {
                ids.push(item.id);
                match &item.what {
                    What::Layer { .. } => {}
                    What::Repeat(_, chain) => walk(chain, ids),
                    What::Join(_, branches) => branches.iter().for_each(|b| walk(b, ids)),
                }
            }
        }
        let mut ids = Vec::new();
        walk(&self.chain, &mut ids);
        ids
    }

    /// Numbers of the items of the network's own chain.
    pub fn outer(&self) -> Vec<usize> {
        self.chain.iter().map(|item| item.id).collect()
    }

    /// The numbers of an item and of everything in it.
    pub fn within(&self, id: usize) -> Vec<usize> {
        let item = self.clone().take(id);
        let alone = |item| Self {
            input: None,
            chain: vec![item],
        };
        item.map_or_else(Vec::new, |item| alone(item).ids())
    }

    /// The chain that an item stands in, and where.
    fn locate(&mut self, id: usize) -> Option<(&mut Vec<Item>, usize)> {
        fn find(chain: &mut Vec<Item>, id: usize) -> Option<(&mut Vec<Item>, usize)> {
            if let Some(at) = chain.iter().position(|item| item.id == id) {
                return Some((chain, at));
            }
            chain.iter_mut().find_map(|item| match &mut item.what {
                What::Layer { .. } => None,
                What::Repeat(_, chain) => find(chain, id),
                What::Join(_, branches) => branches.iter_mut().find_map(|b| find(b, id)),
            })
        }
        find(&mut self.chain, id)
    }

    fn item(&mut self, id: usize) -> Option<&mut Item> {
        self.locate(id).map(|(chain, at)| &mut chain[at])
    }

    fn insert(&mut self, place: &Place, item: Item) -> Option<()> {
        match place {
            Place::First(None, _) => self.chain.insert(0, item),
            Place::First(Some(bracket), branch) => match &mut self.item(*bracket)?.what {
                What::Layer { .. } => return None,
                What::Repeat(_, chain) => chain.insert(0, item),
                What::Join(_, branches) => branches.get_mut(*branch)?.insert(0, item),
            },
            Place::Behind(id) => {
                let (chain, at) = self.locate(*id)?;
                chain.insert(at + 1, item);
            }
        }
        Some(())
    }

    fn take(&mut self, id: usize) -> Option<Item> {
        let (chain, at) = self.locate(id)?;
        Some(chain.remove(at))
    }

    /// Makes an edit; `None` where it cannot be made.
    pub fn edited(&self, edit: &Edit) -> Option<Self> {
        let mut net = self.clone();
        match edit {
            Edit::Add(place, item) => net.insert(place, item.clone())?,
            Edit::Remove(id) => drop(net.take(*id)?),
            Edit::Move(id, place) => {
                let item = net.take(*id)?;
                net.insert(place, item)?;
            }
            Edit::Width(id, to) => match &mut net.item(*id)?.what {
                What::Layer { width, .. } => *width = *to,
                _ => return None,
            },
            Edit::Attribute(id, key, value) => match &mut net.item(*id)?.what {
                What::Layer { attributes, .. } => {
                    attributes.retain(|(other, _)| other != key);
                    attributes.extend(value.clone().map(|value| (key.clone(), value)));
                }
                _ => return None,
            },
            Edit::Rename(id, to) => match &mut net.item(*id)?.what {
                What::Layer { label, .. } => label.clone_from(to),
                _ => return None,
            },
            Edit::Replace(id, to) => match &mut net.item(*id)?.what {
                What::Layer {
                    letter, attributes, ..
                } => {
                    *letter = *to;
                    attributes.clear();
                }
                _ => return None,
            },
            Edit::Count(id, to) => match &mut net.item(*id)?.what {
                What::Repeat(count, _) => *count = *to,
                _ => return None,
            },
            Edit::Turn(id) => match &mut net.item(*id)?.what {
                What::Join(sign, branches) if branches.len() > 1 => {
                    *sign = if *sign == '+' { '&' } else { '+' };
                }
                _ => return None,
            },
            Edit::Wrap(first, id, sign, count) => {
                let (chain, at) = net.locate(*first)?;
                if at + count > chain.len() {
                    return None;
                }
                let inside: Vec<Item> = chain.drain(at..at + count).collect();
                let what = match sign {
                    '*' => What::Repeat(2, inside),
                    sign => What::Join(*sign, vec![inside]),
                };
                chain.insert(at, Item { id: *id, what });
            }
            Edit::Unwrap(id) => {
                let (chain, at) = net.locate(*id)?;
                let inside = match &mut chain[at].what {
                    What::Repeat(_, inside) => std::mem::take(inside),
                    What::Join(_, branches) if branches.len() == 1 => branches.remove(0),
                    _ => return None,
                };
                chain.splice(at..=at, inside);
            }
            Edit::Branch(id, layer) => match &mut net.item(*id)?.what {
                // A second branch of `&[x]` also takes the identity away.
                What::Join(sign, branches) if *sign == '+' || branches.len() > 1 => {
                    branches.push(vec![layer.clone()]);
                }
                _ => return None,
            },
            Edit::Input(to) => *net.input.as_mut()? = *to,
            Edit::Unroll(id) => {
                let (chain, at) = net.locate(*id)?;
                let What::Repeat(count, inside) = &chain[at].what else {
                    return None;
                };
                if write(inside).contains(':') {
                    return None;
                }
                let inside: Vec<Item> = (0..*count).flat_map(|_| inside.clone()).collect();
                chain.splice(at..=at, inside);
            }
        }
        Some(net)
    }
}

fn write(chain: &[Item]) -> String {
    let items = chain.iter().map(|item| match &item.what {
        What::Layer {
            label,
            letter,
            width,
            attributes,
        } => {
            let label = label
                .as_ref()
                .map_or(String::new(), |label| format!("{label}: "));
            let width = if "CF".contains(*letter) {
                width.to_string()
            } else {
                String::new()
            };
            let attributes: Vec<String> = attributes
                .iter()
                .map(|(key, value)| match value.as_str() {
                    "" => key.clone(),
                    value => format!("{key}={value}"),
                })
                .collect();
            let attributes = match attributes.as_slice() {
                [] => String::new(),
                all => format!("({})", all.join(", ")),
            };
            format!("{label}{letter}{width}{attributes}")
        }
        What::Repeat(count, chain) => format!("{count}*[{}]", write(chain)),
        What::Join(sign, branches) => {
            let branches: Vec<String> = branches.iter().map(|branch| write(branch)).collect();
            format!("{sign}[{}]", branches.join(" | "))
        }
    });
    items.collect::<Vec<_>>().join(" -> ")
}

/// Draws networks and edits.
pub struct Draw {
    random: Stream,
    next: usize,
}

/// The attributes that edits change: letter, key, values.
const ATTRIBUTES: &[(char, &str, &[&str])] = &[
    ('C', "kernel", &["1", "5", "7", "3x5"]),
    ('C', "stride", &["2", "2x1"]),
    ('C', "act", &["leaky", "none", "tanh"]),
    ('C', "dropout", &["0.1", "0.25"]),
    ('C', "bias", &["none"]),
    ('C', "std", &["0.02", "1e-3"]),
    ('F', "act", &["sigmoid", "none"]),
    ('F', "dropout", &["0.5", "0.3"]),
    ('F', "bias_init", &["1", "-0.5"]),
    ('P', "kernel", &["3", "4"]),
    ('P', "stride", &["1", "3"]),
    ('P', "avg", &[""]),
    ('N', "size", &["3", "7"]),
    ('N', "alpha", &["1e-3"]),
    ('A', "tanh", &[""]),
];

impl Draw {
    /// From a seed; items are numbered from `first` on.
    pub fn new(seed: u64, first: usize) -> Self {
        Self {
            random: Stream::new(seed, Purpose::Dropout, first as u32, 7),
            next: first,
        }
    }

    /// One of some numbers, both bounds included.
    pub fn size(&mut self, least: usize, most: usize) -> usize {
        self.random.random_range(least..=most)
    }

    fn chance(&mut self, of: u32) -> bool {
        self.random.random_range(0..of) == 0
    }

    /// One of several.
    pub fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of.choose(&mut self.random)
            .expect("something to choose from")
            .clone()
    }

    fn id(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    fn label(&mut self) -> String {
        let word = self.one(&["stem", "body", "head", "block"]);
        format!("{word}_{}", self.id())
    }

    fn attribute(&mut self, letter: char) -> Option<(String, String)> {
        let known: Vec<_> = ATTRIBUTES.iter().filter(|(of, ..)| *of == letter).collect();
        let (_, key, values) = *known.choose(&mut self.random)?;
        Some(((*key).to_owned(), self.one(values).to_owned()))
    }

    fn layer(&mut self, letter: char) -> Item {
        let id = self.id();
        let attributes = if self.chance(3) {
            self.attribute(letter)
        } else {
            None
        };
        let label = self.chance(4).then(|| self.label());
        Item {
            id,
            what: What::Layer {
                label,
                letter,
                width: 8 * self.size(1, 3),
                attributes: attributes.into_iter().collect(),
            },
        }
    }

    /// An image layer that keeps the map's size, or halves it.
    fn any(&mut self) -> Item {
        let letter = self.one(&['C', 'C', 'C', 'P', 'N', 'N', 'A']);
        self.layer(letter)
    }

    fn bracket(&mut self, depth: usize) -> Item {
        let id = self.id();
        let chain = |draw: &mut Self| {
            let count = draw.size(1, 3);
            (0..count).map(|_| draw.item(depth + 1)).collect::<Vec<_>>()
        };
        let what = match self.size(0, 4) {
            0 | 1 => What::Repeat(self.size(2, 3), chain(self)),
            2 => What::Join('&', vec![chain(self)]),
            3 => What::Join('+', vec![chain(self), chain(self)]),
            _ => What::Join('+', vec![chain(self)]),
        };
        Item { id, what }
    }

    fn item(&mut self, depth: usize) -> Item {
        if depth < 2 && self.chance(5) {
            self.bracket(depth)
        } else {
            self.any()
        }
    }

    /// A network.
    pub fn net(&mut self, least: usize, most: usize) -> Net {
        loop {
            let count = self.size(least, most);
            let mut chain: Vec<Item> = (0..count).map(|_| self.item(0)).collect();
            for _ in 0..self.size(0, 2) {
                chain.push(self.layer('F'));
            }
            let id = self.id();
            let last = What::Layer {
                label: None,
                letter: 'F',
                width: 10,
                attributes: Vec::new(),
            };
            chain.push(Item { id, what: last });
            // Shapes are known in some; where they are, few drawn brackets fit.
            let input = self.chance(3).then_some([3, 64, 64]);
            let net = Net { input, chain };
            if net.is_right() {
                return net;
            }
        }
    }

    fn place(&mut self, net: &Net) -> Place {
        let ids = net.ids();
        let id = self.one(&ids);
        match &net.clone().item(id).expect("it is there").what {
            What::Repeat(..) | What::Join(..) if self.chance(2) => Place::First(Some(id), 0),
            _ if self.chance(8) => Place::First(None, 0),
            _ => Place::Behind(id),
        }
    }

    /// An edit of a network that gives another network.
    pub fn edit(&mut self, net: &Net) -> (Edit, Net) {
        loop {
            let id = self.one(&net.ids());
            let place = self.place(net);
            let edit = self.edit_at(net, id, place);
            let Some(edited) = edit.as_ref().and_then(|edit| net.edited(edit)) else {
                continue;
            };
            if edited.is_right() {
                return (edit.expect("it was made"), edited);
            }
        }
    }

    /// An edit of this item, or at this place; it may turn out not to fit.
    pub fn edit_at(&mut self, net: &Net, id: usize, place: Place) -> Option<Edit> {
        let item = net.clone().item(id)?.clone();
        Some(match (self.size(0, 15), item.what) {
            (0 | 1, _) => Edit::Add(place, self.any()),
            (2, _) => Edit::Add(place, self.bracket(1)),
            (3 | 4, _) => Edit::Remove(id),
            (5, _) => Edit::Move(id, place),
            (6, What::Layer { letter, .. }) => {
                let others: Vec<char> = "CPNA".chars().filter(|other| *other != letter).collect();
                Edit::Replace(id, self.one(&others))
            }
            (7, What::Layer { .. } | What::Join(..)) => {
                let sign = self.one(&['+', '&', '*']);
                Edit::Wrap(id, self.id(), sign, self.size(1, 3))
            }
            (8, What::Layer { label, .. }) => {
                let gone = label.is_some() && self.chance(2);
                Edit::Rename(id, (!gone).then(|| self.label()))
            }
            (9, _) if net.input.is_some() => Edit::Input([self.size(1, 3), 64, 64]),
            (
                _,
                What::Layer {
                    letter, attributes, ..
                },
            ) => {
                if "CF".contains(letter) && self.chance(3) {
                    return Some(Edit::Width(id, 8 * self.size(4, 9)));
                }
                match attributes.first() {
                    Some((key, _)) if self.chance(3) => Edit::Attribute(id, key.clone(), None),
                    _ => {
                        let (key, value) = self.attribute(letter)?;
                        if attributes.contains(&(key.clone(), value.clone())) {
                            return None;
                        }
                        Edit::Attribute(id, key, Some(value))
                    }
                }
            }
            (10, What::Repeat(..)) => Edit::Unroll(id),
            (10 | 11, What::Join(..)) => Edit::Branch(id, self.any()),
            (12 | 13, What::Repeat(count, _)) => Edit::Count(id, count + 1),
            (14, What::Join(..)) => Edit::Turn(id),
            _ => Edit::Unwrap(id),
        })
    }
}
