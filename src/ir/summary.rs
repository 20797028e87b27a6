//! The figures of a network: what `check` shows of each layer, and totals.

use crate::op::shape::Shape;

use super::Graph;

/// One layer's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its kind's letter.
    pub kind: &'static str,
    /// Its output's shape, where known.
    pub output: Option<Shape>,
    /// Learned values, where known.
    pub parameters: Option<u64>,
    /// Multiply-adds of one image, C and F only, where known.
    pub multiply_adds: Option<u64>,
}

/// A network's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// A row a layer.
    pub rows: Vec<Row>,
    /// Sums over the layers, where the input is known: parameters and multiply-adds.
    pub totals: Option<(u64, u64)>,
}

/// Takes the figures of a network.
pub fn summary(graph: &Graph) -> Summary {
    let mut totals = Some((0u64, 0u64));
    let mut shapes = graph.input;
    let mut rows = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let input = match node.feeds.first() {
            Some(super::Feed::Node(i)) => graph.nodes[*i].output,
            _ => shapes.take().or(graph.input),
        };
        let figures = input.zip(node.output).map(|(input, output)| {
            (
                node.op.parameter_count(input),
                node.op.multiply_adds(input, output),
            )
        });
        totals = totals
            .zip(figures)
            .map(|((p, m), (parameters, multiply_adds))| {
                (
                    p.saturating_add(parameters),
                    m.saturating_add(multiply_adds),
                )
            });
        rows.push(Row {
            name: node.name.to_string(),
            kind: node.op.kind().letter,
            output: node.output,
            parameters: figures.map(|f| f.0),
            multiply_adds: figures.map(|f| f.1),
        });
    }
    Summary { rows, totals }
}
