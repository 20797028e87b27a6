//! What holds for any bytes, as text of a network and as TOML. `fuzz/` demands the same of what libFuzzer finds.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use netc::config::Config;
use netc::diagnostic::render::{self, Style};
use netc::diagnostic::{Diagnostics, MOST, Place};
use netc::op::shape::Shape;
use netc::source::Source;
use netc::{format, ir, syntax};

/// How many diagnostics of an input are drawn: drawing is what takes the time.
const DRAWN: usize = 60;

/// The codes that an input led to: what makes one input unlike another.
pub type Codes = BTreeSet<&'static str>;

/// Reads a network, builds its graph, shows what is wrong with it, and formats it where nothing is.
///
/// # Panics
/// Where a span lies outside the text or cuts a character, where there are too many syntax errors, where formatting
/// twice differs from formatting once, or where the form is another network.
pub fn network(bytes: &[u8]) -> Codes {
    let source = match syntax::source_from_bytes("fuzz.net", bytes.to_vec()) {
        Ok(source) => source,
        Err(diagnostic) => return sound(&diagnostic.into()),
    };
    let (tree, mut found) = syntax::parse(&source);
    assert!(found.len() <= MOST, "{}", found.len());
    assert!(tree.complete || found.has_errors(), "incomplete and right");
    let input = bytes
        .len()
        .is_multiple_of(2)
        .then(|| Shape::image(3, 32, 32));
    let options = ir::Options {
        input,
        ..ir::Options::default()
    };
    let (graph, more) = ir::build(&tree, &options);
    assert!(graph.is_none() || !more.has_errors(), "{more:?}");
    found.append(more);
    assert!(
        graph.is_some() || found.has_errors(),
        "nothing is wrong, but there is no graph"
    );
    if let Some(graph) = graph.as_ref().filter(|_| !found.has_errors()) {
        let form = Source::new("fuzz.net", format::of_tree(&tree));
        let (again, wrong) = syntax::parse(&form);
        assert!(wrong.is_empty(), "the form has errors:\n{}", form.text());
        assert_eq!(format::of_tree(&again), form.text(), "formatted twice");
        let (other, _) = ir::build(&again, &options);
        let other = other.expect("the form is a network too");
        assert_eq!(layers(graph), layers(&other), "another network");
    }
    sound(&found)
}

/// Reads a configuration, and what it was resolved to where nothing is wrong.
///
/// # Panics
/// Where a span lies outside the text or cuts a character, or where the resolved text is another configuration.
pub fn toml(bytes: &[u8]) -> Codes {
    let Ok(source) = syntax::source_from_bytes("fuzz.toml", bytes.to_vec()) else {
        return Codes::new();
    };
    let (config, found) = Config::load(Some(&source), Path::new("/"), &[]);
    if !found.has_errors() {
        let resolved = Source::new("resolved.toml", config.to_toml());
        let (again, wrong) = Config::load(Some(&resolved), Path::new("/"), &[]);
        assert!(!wrong.has_errors(), "{wrong:?}\n{}", resolved.text());
        assert!(again == config, "resolved:\n{}", resolved.text());
    }
    sound(&found)
}

/// Each layer's name, meaning, inputs and shape. A sum of two does not care which is the first.
pub fn layers(graph: &ir::Graph) -> Vec<String> {
    let layer = |node: &ir::Node| {
        let mut feeds: Vec<String> = node.feeds.iter().map(|feed| format!("{feed:?}")).collect();
        if node.name.starts_with("add") && feeds.len() == 2 {
            feeds.sort();
        }
        format!("{} {:?} {feeds:?} {:?}", node.name, node.op, node.output)
    };
    graph.nodes.iter().map(layer).collect()
}

/// Demands that diagnostics point into their texts and can be drawn.
fn sound(found: &Diagnostics) -> Codes {
    let inside = |place: &Place| {
        let source: &Arc<Source> = &place.source;
        let (start, end) = (place.span.start, place.span.end);
        assert!(
            source.text().get(start..end).is_some(),
            "{start}..{end} is no part of the text"
        );
    };
    for diagnostic in found {
        diagnostic.primary.iter().for_each(inside);
        diagnostic
            .labels
            .iter()
            .for_each(|label| inside(&label.place));
        assert!(!diagnostic.message.is_empty());
    }
    for diagnostic in found.iter().take(DRAWN) {
        assert!(render::human(diagnostic, Style::default()).ends_with('\n'));
    }
    found
        .iter()
        .map(|diagnostic| diagnostic.code.name())
        .collect()
}
