//! The mistakes that are made in good networks, each with the codes and the places that fit it.

use netc::random::Stream;
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::layout::{Attribute, Layer, Layout};

/// Tokens from one to another, both included.
type Tokens = (usize, usize);

/// When a fault is one that is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Whatever else is wrong.
    Nothing,
    /// The shape there: nothing wrong before it.
    Shape,
    /// A chain that is read to its end: nothing wrong with the text.
    WholeText,
}

/// One mistake.
#[derive(Clone, Debug)]
pub struct Fault {
    pub name: &'static str,
    /// What stands in the place of a token.
    pub edits: Vec<(usize, Vec<String>)>,
    /// Tokens that no other mistake may share.
    pub footprint: Vec<Tokens>,
    /// Where it may be told of.
    pub places: Vec<Tokens>,
    /// Codes that say what it is.
    pub codes: &'static [&'static str],
    pub needs: Needs,
}

impl Fault {
    /// `tokens` replaced by `words`, told of there.
    fn replacing(tokens: Tokens, words: &[&str], codes: &'static [&'static str]) -> Self {
        let mut edits: Vec<(usize, Vec<String>)> =
            (tokens.0..=tokens.1).map(|at| (at, Vec::new())).collect();
        edits[0].1 = words.iter().map(|&word| word.into()).collect();
        Self {
            name: "",
            edits,
            footprint: vec![tokens],
            places: vec![tokens],
            codes,
            needs: Needs::Nothing,
        }
    }

    fn at(mut self, places: &[Tokens]) -> Self {
        self.places = places.to_vec();
        self
    }

    fn over(mut self, footprint: &[Tokens]) -> Self {
        self.footprint = footprint.to_vec();
        self
    }

    fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }
}

/// A network and the numbers that choose in it.
pub struct Site<'a> {
    pub layout: &'a Layout,
    pub random: &'a mut Stream,
}

impl<'a> Site<'a> {
    fn one<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.choose(self.random).copied()
    }

    fn word(&mut self, of: &[&'static str]) -> &'static str {
        of.choose(self.random).expect("words")
    }

    fn token(&self, at: usize) -> &'a str {
        &self.layout.tokens[at]
    }

    fn layer(&mut self, fits: impl Fn(&Layout, &Layer) -> bool) -> Option<&'a Layer> {
        let layout = self.layout;
        let fitting: Vec<&Layer> = layout
            .layers
            .iter()
            .filter(|layer| fits(layout, layer))
            .collect();
        self.one(&fitting)
    }

    /// A layer of one of these kinds.
    fn kind(&mut self, letters: &str) -> Option<&'a Layer> {
        self.layer(|layout, layer| layout.tokens[layer.word].starts_with(|c| letters.contains(c)))
    }

    fn attribute(
        &mut self,
        fits: impl Fn(&str, Option<&str>) -> bool,
    ) -> Option<(&'a Layer, Attribute)> {
        let layout = self.layout;
        let all: Vec<(&Layer, Attribute)> = layout
            .layers
            .iter()
            .flat_map(|layer| {
                layer
                    .attributes
                    .iter()
                    .map(move |attribute| (layer, *attribute))
            })
            .filter(|(_, attribute)| {
                let value = attribute.value.map(|at| layout.tokens[at].as_str());
                fits(&layout.tokens[attribute.key], value)
            })
            .collect();
        self.one(&all)
    }

    /// A layer's attribute list with one more attribute in it, told of there.
    fn extended(&mut self, layer: &Layer, words: &[&str], codes: &'static [&'static str]) -> Fault {
        let mut all = Vec::new();
        if let Some(open) = layer.open {
            // First in the list, so that the mistake is in the new one.
            all.push("(");
            all.extend(words);
            if !layer.attributes.is_empty() {
                all.push(",");
            }
            Fault::replacing((open, open), &all, codes)
        } else {
            all.extend([self.token(layer.word), "("]);
            all.extend(words);
            all.push(")");
            Fault::replacing((layer.word, layer.word), &all, codes)
        }
    }

    /// Stages put before an arrow, an arrow before them.
    fn inserted(arrow: usize, words: &[&str], codes: &'static [&'static str]) -> Fault {
        let mut all = vec!["->"];
        all.extend(words);
        all.push("->");
        Fault::replacing((arrow, arrow), &all, codes)
    }

    fn arrow(&mut self) -> Option<usize> {
        self.one(&self.layout.arrows)
    }

    /// An arrow outside all brackets.
    fn outer_arrow(&mut self) -> Option<usize> {
        let layout = self.layout;
        let outer: Vec<usize> = layout
            .arrows
            .iter()
            .copied()
            .filter(|&arrow| {
                !layout
                    .brackets
                    .iter()
                    .any(|b| b.open < arrow && arrow < b.close)
            })
            .collect();
        self.one(&outer)
    }
}

/// A way to go wrong, where a network has a place for it.
pub type Mistake = fn(&mut Site<'_>) -> Option<Fault>;

macro_rules! catalogue {
    ($($name:ident)*) => {
        /// All of them.
        pub const CATALOGUE: &[(&str, Mistake)] = &[$((stringify!($name), $name),)*];
    };
}

catalogue! {
    arrow_missing arrow_doubled arrow_misspelt arrow_at_the_end arrow_at_the_start arrow_after_opener
    layer_missing
    parenthesis_not_closed parenthesis_not_opened bracket_not_closed bracket_not_opened
    closer_doubled opener_doubled stray_closer round_repeat
    garbage_before_an_arrow garbage_after_an_arrow garbage_in_attributes empty_bracket
    comma_missing comma_doubled comma_trailing comma_leading semicolon_for_comma
    equals_missing equals_doubled colon_for_equals value_missing key_missing
    number_malformed size_of_three sizes_malformed
    repeat_without_brackets repeat_without_star repeat_count_malformed repeat_count_of_zero
    sign_missing label_malformed label_alone label_on_bracket
    kind_unknown kind_lower_case kind_spelt_out
    key_misspelt key_unknown flag_misspelt word_misspelt attribute_twice
    word_for_a_number number_for_a_word size_for_a_number fraction_for_a_whole flag_with_value key_without_value
    value_of_zero value_negative value_too_large dropout_of_one
    width_missing width_given width_of_zero width_too_large width_of_a_fraction
    label_twice label_generated
    reductions_contradict global_with_kernel same_with_even_kernel key_of_another_variant
    window_too_large groups_that_do_not_divide image_layer_after_f branches_disagree
    too_many_weights too_many_layers no_classifier classifier_with_activation classifier_with_dropout
}

// ---- Arrows --------------------------------------------------------------------------------------------------------

fn arrow_missing(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = site.arrow()?;
    // Without white space two words become one.
    let codes = &["E0104", "E0101", "E0201", "E0207"];
    // Not behind a parenthesis that lacks its end.
    let fault = Fault::replacing((arrow, arrow), &[], codes);
    Some(
        fault
            .at(&[(arrow - 1, arrow + 1)])
            .over(&[(arrow - 1, arrow)]),
    )
}

fn arrow_doubled(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = site.arrow()?;
    Some(Fault::replacing((arrow, arrow), &["->", "->"], &["E0104"]))
}

fn arrow_misspelt(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = site.arrow()?;
    let signs = [
        "-", ">", "=>", "-->", "→", ",", ";", "--", "->>", "=", "—", "~>", "<-", "- >",
    ];
    let sign = site.word(&signs);
    let fault = Fault::replacing((arrow, arrow), &[sign], &["E0101", "E0104", "E0103"]);
    Some(fault.at(&[(arrow - 1, arrow + 1)]))
}

fn arrow_at_the_end(site: &mut Site<'_>) -> Option<Fault> {
    let last = site.layout.tokens.len() - 1;
    let word = site.token(last);
    Some(Fault::replacing((last, last), &[word, "->"], &["E0104"]))
}

fn arrow_at_the_start(site: &mut Site<'_>) -> Option<Fault> {
    let first = site.layout.start();
    let word = site.token(first);
    Some(Fault::replacing((first, first), &["->", word], &["E0104"]))
}

fn arrow_after_opener(site: &mut Site<'_>) -> Option<Fault> {
    let bracket = site.layout.brackets.choose(site.random)?;
    // In an empty branch the arrow would have nothing after it either.
    let inner = site.token(bracket.open + 1);
    (inner != "|").then(|| Fault::replacing((bracket.open, bracket.open), &["[", "->"], &["E0104"]))
}

fn layer_missing(site: &mut Site<'_>) -> Option<Fault> {
    let layout = site.layout;
    let layer = site.layer(|layout, layer| {
        layer.first() > layout.start()
            && layout.tokens[layer.first() - 1] == "->"
            && layer.last() + 1 < layout.tokens.len()
    })?;
    let (first, last) = (layer.first(), layer.last());
    let fault = Fault::replacing((first, last), &[], &["E0104"]).at(&[(first - 1, last + 1)]);
    // Both arrows are part of it.
    let over = (
        first - 1,
        if layout.tokens[last + 1] == "->" {
            last + 1
        } else {
            last
        },
    );
    Some(fault.over(&[over]))
}

// ---- Brackets ------------------------------------------------------------------------------------------------------

fn parenthesis_not_closed(site: &mut Site<'_>) -> Option<Fault> {
    let layer = site.layer(|_, layer| layer.open.is_some())?;
    let (open, close) = (layer.open?, layer.close?);
    let fault = Fault::replacing((close, close), &[], &["E0102"]);
    Some(fault.at(&[(open, close)]).over(&[(open, close)]))
}

fn parenthesis_not_opened(site: &mut Site<'_>) -> Option<Fault> {
    let layer = site.layer(|_, layer| layer.open.is_some())?;
    let (open, close) = (layer.open?, layer.close?);
    let fault = Fault::replacing((open, open), &[], &["E0102", "E0101", "E0201"]);
    Some(
        fault
            .at(&[(layer.word, close)])
            .over(&[(layer.word, close)]),
    )
}

fn bracket_not_closed(site: &mut Site<'_>) -> Option<Fault> {
    let layout = site.layout;
    let bracket = layout.brackets.choose(site.random)?;
    // Which of several openers lacks its partner, nobody can tell.
    let mut places = vec![(bracket.head, bracket.open), (bracket.close, bracket.close)];
    for other in &layout.brackets {
        if other.open < bracket.open && bracket.close < other.close
            || bracket.open < other.open && other.close < bracket.close
        {
            places.push((other.head, other.open));
        }
    }
    let fault = Fault::replacing((bracket.close, bracket.close), &[], &["E0102"]);
    Some(
        fault
            .at(&places)
            .over(&[(bracket.open, bracket.open), (bracket.close, bracket.close)]),
    )
}

fn bracket_not_opened(site: &mut Site<'_>) -> Option<Fault> {
    let layout = site.layout;
    let bracket = layout.brackets.choose(site.random)?;
    let mut places = vec![(bracket.head, bracket.open), (bracket.close, bracket.close)];
    for other in &layout.brackets {
        if other.open < bracket.open && bracket.close < other.close {
            places.push((other.close, other.close));
        }
    }
    let fault = Fault::replacing((bracket.open, bracket.open), &[], &["E0102", "E0101"]);
    Some(
        fault
            .at(&places)
            .over(&[(bracket.head, bracket.open), (bracket.close, bracket.close)]),
    )
}

fn closer_doubled(site: &mut Site<'_>) -> Option<Fault> {
    let closers: Vec<usize> = (0..site.layout.tokens.len())
        .filter(|&at| matches!(site.token(at), ")" | "]"))
        .collect();
    let at = site.one(&closers)?;
    let closer = site.token(at);
    let mut places = vec![(at, at)];
    if closer == "]" {
        // The first of the two may as well belong to a bracket around this one.
        places.extend(
            site.layout
                .brackets
                .iter()
                .filter(|b| b.open < at && at < b.close)
                .map(|b| (b.close, b.close)),
        );
    }
    Some(Fault::replacing((at, at), &[closer, closer], &["E0102"]).at(&places))
}

fn opener_doubled(site: &mut Site<'_>) -> Option<Fault> {
    let layout = site.layout;
    let bracket = layout.brackets.choose(site.random)?;
    let fault = Fault::replacing(
        (bracket.open, bracket.open),
        &["[", "["],
        &["E0102", "E0101"],
    );
    Some(
        fault
            .at(&[(bracket.head, bracket.open)])
            .over(&[(bracket.head, bracket.open), (bracket.close, bracket.close)]),
    )
}

fn stray_closer(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = site.outer_arrow()?;
    let closer = site.word(&[")", "]"]);
    // Not where it would close what lacks its end.
    let fault = Fault::replacing((arrow, arrow), &[closer, "->"], &["E0102"]);
    Some(fault.over(&[(arrow - 1, arrow)]))
}

fn round_repeat(site: &mut Site<'_>) -> Option<Fault> {
    let bracket = site.layout.brackets.choose(site.random)?;
    let (head, open, close) = (bracket.head, bracket.open, bracket.close);
    let mut fault = Fault::replacing((open, open), &["("], &["E0101", "E0102"]);
    fault.edits.push((close, vec![")".into()]));
    Some(
        fault
            .at(&[(head, open), (close, close)])
            .over(&[(head, open), (close, close)]),
    )
}

// ---- Garbage -------------------------------------------------------------------------------------------------------

const GARBAGE: &[&str] = &[
    "@", "$$", "???", "%", "é", "`", "!", "\"x\"", "^", "~", "🙂", "<<", "\\", "{}", "conv",
];

fn garbage_before_an_arrow(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = site.arrow()?;
    let garbage = site.word(GARBAGE);
    let codes = &["E0101", "E0201"];
    // Not in a parenthesis that lacks its end.
    let fault = Fault::replacing((arrow, arrow), &[garbage, "->"], codes);
    Some(fault.at(&[(arrow - 1, arrow)]).over(&[(arrow - 1, arrow)]))
}

fn garbage_after_an_arrow(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = site.arrow()?;
    let garbage = site.word(GARBAGE);
    let codes = &["E0101", "E0201"];
    Some(Fault::replacing(
        (arrow, arrow),
        &["->", garbage, "->"],
        codes,
    ))
}

fn garbage_in_attributes(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|_, _| true)?;
    let garbage = site.word(GARBAGE);
    let word = site.token(attribute.key);
    let codes = &["E0101", "E0202", "E0204"];
    Some(
        Fault::replacing((attribute.key, attribute.key), &[garbage, ",", word], codes)
            .over(&[(attribute.key, attribute.last())]),
    )
}

fn empty_bracket(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = site.arrow()?;
    let bracket = site.word(&["+[]", "2*[]", "&[ ]", "+[|]", "[]"]);
    Some(Site::inserted(arrow, &[bracket], &["E0101"]))
}

// ---- Attribute lists -----------------------------------------------------------------------------------------------

fn comma(site: &mut Site<'_>) -> Option<usize> {
    site.one(&site.layout.commas)
}

fn comma_missing(site: &mut Site<'_>) -> Option<Fault> {
    let comma = comma(site)?;
    let fault = Fault::replacing((comma, comma), &[], &["E0101", "E0103", "E0202", "E0204"]);
    Some(
        fault
            .at(&[(comma - 1, comma + 1)])
            .over(&[(comma - 1, comma + 1)]),
    )
}

fn comma_doubled(site: &mut Site<'_>) -> Option<Fault> {
    let comma = comma(site)?;
    Some(Fault::replacing((comma, comma), &[",", ","], &["E0101"]))
}

fn comma_trailing(site: &mut Site<'_>) -> Option<Fault> {
    let layer = site.layer(|_, layer| !layer.attributes.is_empty())?;
    let close = layer.close?;
    Some(Fault::replacing((close, close), &[",", ")"], &["E0101"]))
}

fn comma_leading(site: &mut Site<'_>) -> Option<Fault> {
    let layer = site.layer(|_, layer| !layer.attributes.is_empty())?;
    let open = layer.open?;
    Some(Fault::replacing((open, open), &["(", ","], &["E0101"]))
}

fn semicolon_for_comma(site: &mut Site<'_>) -> Option<Fault> {
    let comma = comma(site)?;
    let sign = site.word(&[";", ".", "|", "&"]);
    let codes = &["E0101", "E0103", "E0102"];
    let mut fault = Fault::replacing((comma, comma), &[sign], codes).at(&[(comma - 1, comma + 1)]);
    let layer = site
        .layout
        .layers
        .iter()
        .find(|layer| layer.open < Some(comma) && Some(comma) < layer.close)?;
    if sign == "|" {
        // As if the parenthesis ended there.
        fault = fault.at(&[(layer.open?, comma + 1)]);
    }
    Some(fault.over(&[(layer.word, layer.last())]))
}

fn equals_missing(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|_, value| value.is_some())?;
    let (key, value) = (attribute.key, attribute.value?);
    let codes = &["E0101", "E0204", "E0202", "E0103"];
    let fault = Fault::replacing((key + 1, key + 1), &[], codes);
    Some(fault.at(&[(key, value)]).over(&[(key, value)]))
}

fn equals_doubled(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|_, value| value.is_some())?;
    let (key, value) = (attribute.key, attribute.value?);
    let fault = Fault::replacing((key + 1, key + 1), &["=="], &["E0101"]);
    Some(fault.at(&[(key, value)]).over(&[(key, value)]))
}

fn colon_for_equals(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|_, value| value.is_some())?;
    let (key, value) = (attribute.key, attribute.value?);
    let sign = site.word(&[":", ":=", "->", "-", "~"]);
    let codes = &["E0101", "E0103", "E0102", "E0204", "E0202"];
    let layer = site
        .layout
        .layers
        .iter()
        .find(|layer| layer.open < Some(key) && Some(key) < layer.close)?;
    let fault = Fault::replacing((key + 1, key + 1), &[sign], codes);
    Some(if sign == "->" {
        fault
            .at(&[(layer.open?, layer.close?)])
            .over(&[(layer.word, layer.last())])
    } else {
        fault.at(&[(key, value)]).over(&[(key, value)])
    })
}

fn value_missing(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|_, value| value.is_some())?;
    let (key, value) = (attribute.key, attribute.value?);
    let fault = Fault::replacing((value, value), &[], &["E0101"]);
    Some(fault.at(&[(key, value)]).over(&[(key, value)]))
}

fn key_missing(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|_, value| value.is_some())?;
    let (key, value) = (attribute.key, attribute.value?);
    let fault = Fault::replacing((key, key), &[], &["E0101"]);
    Some(fault.at(&[(key, value)]).over(&[(key, value)]))
}

fn number_malformed(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site
        .attribute(|_, value| value.is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit())))?;
    let value = attribute.value?;
    let number = site.word(&[
        "3x", ".5", "1.2.3", "1e", "3..", "0x1F", "1_000", "5%", "3a", "--3", "2 x 2",
    ]);
    let fault = Fault::replacing((value, value), &[number], &["E0103", "E0101"]);
    Some(
        fault
            .at(&[(attribute.key, value)])
            .over(&[(attribute.key, value)]),
    )
}

fn size_of_three(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|key, _| matches!(key, "kernel" | "stride" | "pad"))?;
    let value = attribute.value?;
    let fault = Fault::replacing((value, value), &["3x3x3"], &["E0103"]);
    Some(
        fault
            .at(&[(attribute.key, value)])
            .over(&[(attribute.key, value)]),
    )
}

fn sizes_malformed(site: &mut Site<'_>) -> Option<Fault> {
    let sizes = site.layout.sizes?;
    let words = [
        "3x32",
        "3x32x",
        "3x32x32x3",
        "32",
        "axbxc",
        "3.5x8x8",
        "3X8X8",
        "-1x8x8",
        "0x8x8",
        "3x8x99999999999",
    ];
    let words = site.word(&words);
    Some(Fault::replacing((sizes, sizes), &[words], &["E0103", "E0205", "E0101"]).at(&[(0, sizes)]))
}

// ---- Repeats, joins, labels ----------------------------------------------------------------------------------------

fn repeat_without_brackets(site: &mut Site<'_>) -> Option<Fault> {
    let layer = site.kind("CPNA")?;
    let first = layer.first();
    let word = site.token(first);
    Some(
        Fault::replacing((first, first), &["3", "*", word], &["E0101"])
            .over(&[(first, layer.word)]),
    )
}

fn repeat_without_star(site: &mut Site<'_>) -> Option<Fault> {
    let repeats: Vec<_> = site
        .layout
        .brackets
        .iter()
        .filter(|b| b.head + 2 == b.open)
        .collect();
    let bracket = site.one(&repeats)?;
    let star = bracket.head + 1;
    let sign = site.word(&["", "x", "X", "**"]);
    let words: &[&str] = if sign.is_empty() { &[] } else { &[sign] };
    let fault = Fault::replacing((star, star), words, &["E0101", "E0103"])
        .at(&[(bracket.head, bracket.open)]);
    Some(fault.over(&[(bracket.head, bracket.open), (bracket.close, bracket.close)]))
}

fn repeat_head(
    site: &mut Site<'_>,
    words: &[&'static str],
    codes: &'static [&'static str],
) -> Option<Fault> {
    let repeats: Vec<usize> = site
        .layout
        .brackets
        .iter()
        .filter(|b| b.head + 2 == b.open)
        .map(|b| b.head)
        .collect();
    let head = site.one(&repeats)?;
    let word = site.word(words);
    Some(Fault::replacing((head, head), &[word], codes).over(&[(head, head + 2)]))
}

fn repeat_count_malformed(site: &mut Site<'_>) -> Option<Fault> {
    repeat_head(site, &["1.5", "n", "3x", "two"], &["E0103", "E0101"])
}

fn repeat_count_of_zero(site: &mut Site<'_>) -> Option<Fault> {
    repeat_head(
        site,
        &["0", "-1", "99999999999999999999"],
        &["E0205", "E0103", "E0101", "E0308"],
    )
}

fn sign_missing(site: &mut Site<'_>) -> Option<Fault> {
    let joins: Vec<_> = site
        .layout
        .brackets
        .iter()
        .filter(|b| b.head + 1 == b.open)
        .collect();
    let bracket = site.one(&joins)?;
    let (head, open, close) = (bracket.head, bracket.open, bracket.close);
    let sign = site.word(&["", "*", "@", "&&", "++"]);
    let words: &[&str] = if sign.is_empty() { &[] } else { &[sign] };
    Some(
        Fault::replacing((head, head), words, &["E0101"])
            .at(&[(head, open)])
            .over(&[(head, open), (close, close)]),
    )
}

fn label_malformed(site: &mut Site<'_>) -> Option<Fault> {
    let layer = site.layer(|_, layer| layer.label.is_none())?;
    let label = site.word(&["Foo", "my-layer", "a.1", "_x", "1st", "É"]);
    let word = site.token(layer.word);
    Some(Fault::replacing(
        (layer.word, layer.word),
        &[label, ":", word],
        &["E0101"],
    ))
}

fn label_alone(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = site.arrow()?;
    Some(Site::inserted(arrow, &["stem", ":"], &["E0101"]))
}

fn label_on_bracket(site: &mut Site<'_>) -> Option<Fault> {
    let bracket = site.layout.brackets.choose(site.random)?;
    let head = bracket.head;
    let word = site.token(head);
    Some(
        Fault::replacing((head, head), &["block", ":", word], &["E0101"])
            .over(&[(head, bracket.open)]),
    )
}

// ---- Words and values ----------------------------------------------------------------------------------------------

fn kind_unknown(site: &mut Site<'_>) -> Option<Fault> {
    let word = site.layer(|_, _| true)?.word;
    let kind = site.word(&[
        "Q8", "X", "Z64", "D", "G1", "CC48", "CP8", "Softmax", "F_10",
    ]);
    Some(Fault::replacing((word, word), &[kind], &["E0201"]))
}

fn kind_lower_case(site: &mut Site<'_>) -> Option<Fault> {
    let word = site.layer(|_, _| true)?.word;
    let lower = site.token(word).to_lowercase();
    Some(Fault::replacing((word, word), &[&lower], &["E0201"]))
}

fn kind_spelt_out(site: &mut Site<'_>) -> Option<Fault> {
    let word = site.layer(|_, _| true)?.word;
    let kind = site.word(&[
        "Conv48",
        "Conv2d96",
        "conv64",
        "Pool",
        "MaxPool2",
        "maxpool",
        "FC10",
        "Linear10",
        "ReLU",
        "relu",
        "BatchNorm",
        "Dense",
    ]);
    Some(Fault::replacing((word, word), &[kind], &["E0201"]))
}

/// A word with one letter doubled, dropped, changed or swapped with its neighbour.
fn slip(site: &mut Site<'_>, word: &str) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let at = site.random.random_range(0..letters.len());
    match site.random.random_range(0..4) {
        0 if letters.len() > 2 => drop(letters.remove(at)),
        1 if at > 0 && letters[at - 1] != letters[at] => letters.swap(at - 1, at),
        2 => letters[at] = if letters[at] == 'q' { 'w' } else { 'q' },
        _ => letters.insert(at, letters[at]),
    }
    letters.into_iter().collect()
}

fn key_misspelt(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|_, value| value.is_some())?;
    let word = slip(site, site.token(attribute.key));
    // `std` without its t is nothing; `k` with a q is no key.
    let fault = Fault::replacing((attribute.key, attribute.key), &[&word], &["E0202"]);
    Some(
        fault
            .at(&[(attribute.key, attribute.last())])
            .over(&[(attribute.key, attribute.last())]),
    )
}

fn key_unknown(site: &mut Site<'_>) -> Option<Fault> {
    let layer = site.layer(|_, _| true)?;
    let key = site.word(&[
        "dilation", "lr", "padding", "Kernel", "filters", "name", "x1",
    ]);
    Some(site.extended(layer, &[key, "=", "1"], &["E0202"]))
}

fn flag_misspelt(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|_, value| value.is_none())?;
    let word = slip(site, site.token(attribute.key));
    Some(Fault::replacing(
        (attribute.key, attribute.key),
        &[&word],
        &["E0204", "E0202"],
    ))
}

fn word_misspelt(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|key, _| matches!(key, "act" | "init" | "bias"))?;
    let value = attribute.value?;
    let word = slip(site, site.token(value));
    let fault = Fault::replacing((value, value), &[&word], &["E0204"]);
    Some(
        fault
            .at(&[(attribute.key, value)])
            .over(&[(attribute.key, value)]),
    )
}

fn attribute_twice(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|_, _| true)?;
    let (key, last) = (attribute.key, attribute.last());
    let mut words: Vec<&str> = (key..=last).map(|at| site.token(at)).collect();
    words.insert(0, ",");
    words.insert(0, site.token(last));
    Some(Fault::replacing((last, last), &words, &["E0203"]).over(&[(key, last)]))
}

fn new_value(
    site: &mut Site<'_>,
    keys: &[&str],
    values: &[&'static str],
    codes: &'static [&'static str],
) -> Option<Fault> {
    let (_, attribute) = site.attribute(|key, _| keys.contains(&key))?;
    let value = attribute.value?;
    let word = site.word(values);
    let fault = Fault::replacing((value, value), &[word], codes);
    Some(
        fault
            .at(&[(attribute.key, value)])
            .over(&[(attribute.key, value)]),
    )
}

const WHOLES: &[&str] = &["kernel", "stride", "pad", "groups", "size"];
const NUMBERS: &[&str] = &[
    "kernel",
    "stride",
    "pad",
    "groups",
    "size",
    "dropout",
    "std",
    "bias_init",
    "eps",
    "alpha",
    "beta",
    "k",
    "momentum",
];

fn word_for_a_number(site: &mut Site<'_>) -> Option<Fault> {
    new_value(site, NUMBERS, &["relu", "three", "yes", "big"], &["E0204"])
}

fn number_for_a_word(site: &mut Site<'_>) -> Option<Fault> {
    new_value(
        site,
        &["act", "init", "bias"],
        &["3", "0.5", "-1", "3x3"],
        &["E0204"],
    )
}

fn size_for_a_number(site: &mut Site<'_>) -> Option<Fault> {
    new_value(
        site,
        &["groups", "size", "dropout", "std", "eps", "alpha"],
        &["3x3", "2x1"],
        &["E0204", "E0103"],
    )
}

fn fraction_for_a_whole(site: &mut Site<'_>) -> Option<Fault> {
    new_value(site, WHOLES, &["1.5", "3.0", "1e2"], &["E0204"])
}

fn flag_with_value(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|_, value| value.is_none())?;
    let word = site.token(attribute.key);
    Some(Fault::replacing(
        (attribute.key, attribute.key),
        &[word, "=", "1"],
        &["E0204", "E0202"],
    ))
}

fn key_without_value(site: &mut Site<'_>) -> Option<Fault> {
    let (_, attribute) = site.attribute(|_, value| value.is_some())?;
    let (key, value) = (attribute.key, attribute.value?);
    let word = site.token(key);
    Some(Fault::replacing((key, value), &[word], &["E0204", "E0202"]))
}

fn value_of_zero(site: &mut Site<'_>) -> Option<Fault> {
    new_value(
        site,
        &["kernel", "stride", "groups", "size"],
        &["0"],
        &["E0205"],
    )
}

fn value_negative(site: &mut Site<'_>) -> Option<Fault> {
    new_value(
        site,
        &[
            "kernel", "stride", "pad", "groups", "size", "dropout", "std", "eps",
        ],
        &["-1", "-3"],
        &["E0205"],
    )
}

fn value_too_large(site: &mut Site<'_>) -> Option<Fault> {
    new_value(
        site,
        WHOLES,
        &["2147483648", "99999999999999999999"],
        &["E0205"],
    )
}

fn dropout_of_one(site: &mut Site<'_>) -> Option<Fault> {
    new_value(site, &["dropout"], &["1", "1.0", "1.5", "50"], &["E0205"])
}

fn width_missing(site: &mut Site<'_>) -> Option<Fault> {
    let word = site.kind("CF")?.word;
    let letter = &site.token(word)[..1];
    Some(Fault::replacing((word, word), &[letter], &["E0207"]))
}

fn width_given(site: &mut Site<'_>) -> Option<Fault> {
    let word = site.kind("PNA")?.word;
    let wide = format!("{}3", site.token(word));
    Some(Fault::replacing((word, word), &[&wide], &["E0207"]))
}

fn width(site: &mut Site<'_>, width: &str, codes: &'static [&'static str]) -> Option<Fault> {
    let word = site.kind("CF")?.word;
    let wide = format!("{}{width}", &site.token(word)[..1]);
    Some(Fault::replacing((word, word), &[&wide], codes))
}

fn width_of_zero(site: &mut Site<'_>) -> Option<Fault> {
    width(site, "0", &["E0205"])
}

fn width_too_large(site: &mut Site<'_>) -> Option<Fault> {
    width(site, "99999999999", &["E0205"])
}

fn width_of_a_fraction(site: &mut Site<'_>) -> Option<Fault> {
    width(site, "9.5", &["E0103", "E0101"])
}

fn label_twice(site: &mut Site<'_>) -> Option<Fault> {
    let first = site.layer(|_, layer| layer.label.is_some())?;
    let second = site.layer(|_, layer| layer.label.is_none() && layer.word > first.word)?;
    let (label, word) = (site.token(first.label?), site.token(second.word));
    let fault = Fault::replacing((second.word, second.word), &[label, ":", word], &["E0206"]);
    Some(fault.over(&[(second.word, second.word), (first.first(), first.word)]))
}

fn label_generated(site: &mut Site<'_>) -> Option<Fault> {
    let word = site.layer(|_, layer| layer.label.is_none())?.word;
    let label = site.word(&["c2", "f1", "a3", "add1", "cat12", "p0", "n77"]);
    let token = site.token(word);
    Some(Fault::replacing(
        (word, word),
        &[label, ":", token],
        &["E0206"],
    ))
}

// ---- Contradictions and shapes -------------------------------------------------------------------------------------

/// A layer that has none of these attributes.
fn without<'a>(site: &mut Site<'a>, letter: &str, keys: &[&str]) -> Option<&'a Layer> {
    site.layer(|layout, layer| {
        layout.tokens[layer.word].starts_with(letter)
            && !layer
                .attributes
                .iter()
                .any(|a| keys.contains(&layout.tokens[a.key].as_str()))
    })
}

/// The whole layer is at fault.
fn whole(fault: Fault, layer: &Layer) -> Fault {
    let tokens = (layer.first(), layer.last());
    fault.at(&[tokens]).over(&[tokens])
}

fn reductions_contradict(site: &mut Site<'_>) -> Option<Fault> {
    let layer = without(site, "P", &["max", "avg"])?;
    let fault = site.extended(layer, &["max", ",", "avg"], &["E0208"]);
    Some(whole(fault, layer))
}

fn global_with_kernel(site: &mut Site<'_>) -> Option<Fault> {
    let layer = without(site, "P", &["global", "kernel", "stride", "pad", "ceil"])?;
    let fault = site.extended(layer, &["global", ",", "kernel", "=", "2"], &["E0208"]);
    Some(whole(fault, layer))
}

fn same_with_even_kernel(site: &mut Site<'_>) -> Option<Fault> {
    let layer = without(site, "C", &["kernel", "pad"])?;
    let fault = site.extended(
        layer,
        &["pad", "=", "same", ",", "kernel", "=", "4"],
        &["E0208"],
    );
    Some(whole(fault, layer))
}

fn key_of_another_variant(site: &mut Site<'_>) -> Option<Fault> {
    let layer = site.layer(|layout, layer| {
        layer
            .attributes
            .iter()
            .any(|a| layout.tokens[a.key] == "meanvar")
    })?;
    let fault = site.extended(layer, &["beta", "=", "0.5"], &["E0202"]);
    Some(whole(fault, layer))
}

fn window_too_large(site: &mut Site<'_>) -> Option<Fault> {
    let layer = without(site, "P", &["global", "kernel", "ceil"])?;
    let fault = site.extended(layer, &["kernel", "=", "999"], &["E0301"]);
    Some(whole(fault, layer).needs(Needs::Shape))
}

fn groups_that_do_not_divide(site: &mut Site<'_>) -> Option<Fault> {
    let layer = without(site, "C", &["groups"])?;
    let fault = site.extended(layer, &["groups", "=", "7"], &["E0302"]);
    Some(whole(fault, layer).needs(Needs::Shape))
}

fn image_layer_after_f(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = site.outer_arrow()?;
    let layer = site.word(&["C8", "P", "N", "N(meanvar)"]);
    // The F before it makes its input known, whatever is wrong before that.
    Some(Site::inserted(arrow, &["F5", "->", layer], &["E0303"]))
}

fn branches_disagree(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = site.outer_arrow()?;
    let join = site.word(&["+[F3 | F4]", "+[F3]", "+[F7 | F7 | F8]"]);
    Some(Site::inserted(arrow, &["F5", "->", join], &["E0304"]))
}

fn too_many_weights(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = *site.layout.arrows.last()?;
    Some(Site::inserted(
        arrow,
        &["F1", "->", "F2147483647", "->", "F2147483647"],
        &["E0307"],
    ))
}

fn too_many_layers(site: &mut Site<'_>) -> Option<Fault> {
    let arrow = site.outer_arrow()?;
    let repeat = site.word(&["20000*[A]", "200*[200*[A]]", "2147483647*[A -> A]"]);
    Some(
        Site::inserted(arrow, &[repeat], &["E0308"])
            .at(&[(site.layout.start(), site.layout.tokens.len() - 1)]),
    )
}

fn no_classifier(site: &mut Site<'_>) -> Option<Fault> {
    let last = site.layout.tokens.len() - 1;
    let word = site.token(last);
    let fault = Fault::replacing((last, last), &[word, "->", "A"], &["E0305"]);
    let layer = site.layout.classifier();
    Some(fault.over(&[(layer.first(), last)]).needs(Needs::WholeText))
}

fn on_the_classifier(site: &mut Site<'_>, words: &[&str]) -> Fault {
    let layer = site.layout.classifier();
    let fault = site.extended(layer, words, &["E0306"]);
    fault
        .over(&[(layer.first(), layer.last())])
        .needs(Needs::WholeText)
}

fn classifier_with_activation(site: &mut Site<'_>) -> Option<Fault> {
    Some(on_the_classifier(site, &["act", "=", "tanh"]))
}

fn classifier_with_dropout(site: &mut Site<'_>) -> Option<Fault> {
    Some(on_the_classifier(site, &["dropout", "=", "0.5"]))
}
