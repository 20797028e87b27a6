//! Inputs made of others: bytes and words changed, left out, repeated, moved, and taken from elsewhere.

use netc::random::Stream;
use rand::RngExt;
use rand::seq::IndexedRandom;

/// Inputs are cut to so many bytes.
const MOST_BYTES: usize = 1 << 15;

/// Words of both languages, and bytes that look like nothing.
const WORDS: &[&str] = &[
    "C8",
    "C",
    "P",
    "N",
    "F10",
    "A",
    "Q7",
    " -> ",
    "->",
    "+[",
    "&[",
    "3*[",
    "[",
    "]",
    "(",
    ")",
    "|",
    ",",
    ", ",
    "=",
    ":",
    "*",
    "a: ",
    "c1: ",
    "input 3x32x32 ",
    "input ",
    "kernel=",
    "kernel=5x3",
    "stride=2",
    "pad=same",
    "pad=0",
    "groups=2",
    "act=leaky",
    "act=",
    "dropout=0.5",
    "init=he",
    "std=0.1",
    "bias=none",
    "bias_init=1",
    "max",
    "avg",
    "ceil",
    "global",
    "local",
    "meanvar",
    "batch",
    "affine",
    "size=5",
    "alpha=",
    "eps=",
    "momentum=",
    "#",
    "# x\n",
    "\n",
    "\r\n",
    "\r",
    "\t",
    " ",
    "\0",
    "é",
    "🙂",
    "\u{301}",
    "\u{FEFF}",
    "\u{202E}",
    "—",
    "x",
    "_",
    ".",
    "-",
    "+",
    "0",
    "1",
    "2",
    "64",
    "65",
    "9999",
    "10000",
    "2147483647",
    "2147483648",
    "18446744073709551616",
    "1e-5",
    "1e999",
    "-1",
    "0.0",
    "1.0",
    "nan",
    "3x3",
    "3x3x3",
    "[data]\n",
    "[train]\n",
    "[optimizer]\n",
    "[[",
    "]]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "\\u",
    "true",
    "false",
    "inf",
    "1979-05-27",
    "0x1F",
    "batch = ",
    "kind = \"adam\"\n",
    "epochs = 3\n",
    "schedule = { kind = \"step\" }\n",
    "mean = \"none\"\n",
    "every = \"3 steps\"",
    "a.b.c = ",
    "train = \"~/x\"\n",
];

/// Makes one input after the other of a corpus.
pub struct Mutator<'a> {
    random: &'a mut Stream,
    corpus: &'a [Vec<u8>],
}

impl<'a> Mutator<'a> {
    /// A mutator of these inputs, which are not empty together.
    pub fn new(random: &'a mut Stream, corpus: &'a [Vec<u8>]) -> Self {
        Self { random, corpus }
    }

    /// An input with one to eight changes.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.other().to_vec();
        for _ in 0..self.random.random_range(1..=8) {
            self.change(&mut input);
            input.truncate(MOST_BYTES);
        }
        input
    }

    fn other(&mut self) -> &'a [u8] {
        self.corpus.choose(self.random).expect("a corpus")
    }

    fn word(&mut self) -> &'static [u8] {
        WORDS.choose(self.random).expect("words").as_bytes()
    }

    /// A range of an input, mostly a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let most = if self.random.random_range(0..4) == 0 {
            length
        } else {
            length.min(12)
        };
        let size = self.random.random_range(0..=most);
        let start = self.random.random_range(0..=length - size);
        start..start + size
    }

    /// The range of a word or of one sign, where there is any at a place drawn.
    fn token(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let at = self.random.random_range(0..=input.len());
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let before = input[..at]
            .iter()
            .rev()
            .take_while(|byte| is_word(byte))
            .count();
        let after = input[at..].iter().take_while(|byte| is_word(byte)).count();
        let end = if before + after == 0 {
            (at + 1).min(input.len())
        } else {
            at + after
        };
        at - before..end
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.random_range(0..=input.len());
        match self.random.random_range(0..12) {
            0 if at < input.len() => input[at] = self.random.random_range(0..=255),
            1 => input.insert(at, self.random.random_range(0..128)),
            2 => {
                let range = self.range(input.len());
                input.drain(range);
            }
            3 => {
                let range = self.range(input.len());
                let piece = input[range].to_vec();
                input.splice(at..at, piece);
            }
            4 => {
                let range = self.range(input.len());
                let times = 1 << self.random.random_range(1..10);
                let piece = input[range].repeat(times);
                input.splice(at..at, piece);
            }
            5 => {
                let range = self.token(input);
                input.drain(range);
            }
            6 | 7 => {
                let range = self.token(input);
                let word = self.word();
                input.splice(range, word.iter().copied());
            }
            8 => {
                let other = self.other();
                let range = self.range(other.len());
                input.splice(at..at, other[range].iter().copied());
            }
            9 => {
                let other = self.other();
                let range = self.token(other);
                let here = self.token(input);
                input.splice(here, other[range].iter().copied());
            }
            10 => {
                let other = self.other();
                let from = self.random.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let word = self.word();
                input.splice(at..at, word.iter().copied());
            }
        }
    }
}
