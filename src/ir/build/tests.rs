use crate::diagnostic::{Code, Diagnostics};
use crate::ir::{self, Feed, Graph};
use crate::source::Source;
use crate::syntax;

fn build(text: &str) -> (Option<Graph>, Diagnostics) {
    let (tree, faults) = syntax::parse(&Source::new("test.net", text));
    assert!(faults.is_empty(), "{faults:?}");
    ir::build(&tree, &ir::Options::default())
}

fn graph(text: &str) -> Graph {
    let (graph, faults) = build(text);
    assert!(faults.is_empty(), "{faults:?}");
    graph.expect("no error, so a graph")
}

/// `name(feeds) output` of every node.
fn lines(graph: &Graph) -> Vec<String> {
    let name = |feed: &Feed| match feed {
        Feed::Input => "input",
        Feed::Node(i) => &graph.nodes[*i].name,
    };
    let line = |node: &ir::Node| {
        let feeds: Vec<&str> = node.feeds.iter().map(name).collect();
        let output = node.output.map_or("?".into(), |shape| shape.to_string());
        format!("{}({}) {output}", node.name, feeds.join(" "))
    };
    graph.nodes.iter().map(line).collect()
}

#[track_caller]
fn codes(text: &str, expected: &[Code]) {
    let (graph, faults) = build(text);
    assert!(graph.is_none(), "a graph with errors");
    let found: Vec<Code> = faults.iter().map(|fault| fault.code).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn branches_start_at_one_input_and_end_in_a_join() {
    let graph = graph("input 3x8x6 +[C4 | C5 -> C4(kernel=1)] -> &[C2 | | P(kernel=1)] -> F2");
    let expected = [
        "c1(input) 4x8x6",
        "c2(input) 5x8x6",
        "c3(c2) 4x8x6",
        "add1(c1 c3) 4x8x6",
        "c4(add1) 2x8x6",
        "p1(add1) 4x8x6",
        "cat1(c4 add1 p1) 10x8x6",
        "f1(cat1) 2",
    ];
    assert_eq!(lines(&graph), expected);
    let joins = graph.nodes.iter().filter(|n| n.name.starts_with(['a']));
    let kinds: Vec<&str> = joins.map(|node| node.op.kind().letter).collect();
    assert_eq!(kinds, ["+"]);
}

#[test]
fn one_branch_stands_beside_the_identity() {
    let sums = ["+[C3]", "+[C3 | ]", "+[ | C3]"];
    for text in sums {
        let graph = graph(&format!("input 3x4x4 {text} -> F2"));
        assert_eq!(lines(&graph)[1], "add1(c1 input) 3x4x4", "{text}");
    }
    for (text, feeds) in [
        ("&[C1]", "input c1"),
        ("&[ | C1]", "input c1"),
        ("&[C1 | ]", "c1 input"),
    ] {
        let graph = graph(&format!("input 3x4x4 {text} -> F2"));
        assert_eq!(lines(&graph)[1], format!("cat1({feeds}) 4x4x4"), "{text}");
    }
}

#[test]
fn joins_of_vectors_and_joins_in_repeats() {
    let graph = graph("input 1x4x4 F6 -> 2*[+[deep: F6] -> A] -> &[F3 | F4] -> F2");
    let expected = [
        "f1(input) 6",
        "deep.1(f1) 6",
        "add1(deep.1 f1) 6",
        "a1(add1) 6",
        "deep.2(a1) 6",
        "add2(deep.2 a1) 6",
        "a2(add2) 6",
        "f4(a2) 3",
        "f5(a2) 4",
        "cat1(f4 f5) 7",
        "f6(cat1) 2",
    ];
    assert_eq!(lines(&graph), expected);
}

#[test]
fn joins_are_numbered_where_their_brackets_begin() {
    let graph = graph("input 3x4x4 +[+[C3] -> &[C3] -> C3 | +[C3]] -> F2");
    let names: Vec<&str> = graph.nodes.iter().map(|n| &*n.name).collect();
    let expected = ["c1", "add2", "c2", "cat1", "c3", "c4", "add3", "add1", "f1"];
    assert_eq!(names, expected);
}

#[test]
fn branches_that_disagree_are_reported_once_with_all_their_shapes() {
    let (_, faults) = build("input 1x6x6 3*[+[C2 -> C3 | C4 | C3(stride=2)]] -> F4");
    let faults = faults.into_vec();
    assert_eq!(faults.len(), 1, "{faults:?}");
    let fault = &faults[0];
    assert_eq!(fault.code, Code::E0304);
    let place = fault.primary.as_ref().expect("it has a place");
    assert_eq!(
        place.source.slice(place.span),
        "+[C2 -> C3 | C4 | C3(stride=2)]"
    );
    let labels: Vec<(&str, &str)> = fault
        .labels
        .iter()
        .map(|l| (l.message.as_str(), l.place.source.slice(l.place.span)))
        .collect();
    let expected = [
        ("this branch: 3x6x6", "C2 -> C3"),
        ("this branch: 4x6x6", "C4"),
        ("this branch: 3x3x3", "C3(stride=2)"),
    ];
    assert_eq!(labels, expected);
    codes("input 1x6x6 &[C2 | P] -> F4", &[Code::E0304]);
    codes("input 1x6x6 &[C2 | F2] -> F4", &[Code::E0304]);
    codes("+[F2 | F3] -> F4", &[Code::E0304]);
}

#[test]
fn an_unknown_shape_silences_the_join_and_what_follows() {
    codes(
        "input 1x6x6 +[C2(krenel=3) | C2] -> C4(kernel=99) -> F4",
        &[Code::E0202],
    );
    codes(
        "input 1x6x6 +[C2 | C3] -> C4(kernel=99) -> F4",
        &[Code::E0304],
    );
    // Two branches that are known disagree whatever the third is.
    codes(
        "input 1x6x6 +[C2(krenel=3) | C2 | C3] -> F4",
        &[Code::E0202, Code::E0304],
    );
    let names = lines(&graph("+[C2 | ] -> F4"));
    assert_eq!(names, ["c1(input) ?", "add1(c1 input) ?", "f1(add1) 4"]);
}

#[test]
fn joins_count_as_layers() {
    assert_eq!(graph("input 1x2x2 99*[101*[C1]] -> F1").nodes.len(), 10_000);
    codes("input 1x2x2 5000*[+[C1]] -> F1", &[Code::E0308]);
    codes("input 1x2x2 2147483647*[+[C1]] -> F1", &[Code::E0308]);
    codes(
        "input 1x2x2 18446744073709551615*[+[C1]] -> F1",
        &[Code::E0205],
    );
}
