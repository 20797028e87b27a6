//! Machine-readable output: the structures are a contract (`version` counts its changes), apart from those inside.

use serde::Serialize;

use crate::analysis::Expected;
use crate::analysis::cost::{Dominant, Share};
use crate::diagnostic::Diagnostics;
use crate::diagnostic::render::Record;
use crate::ir::Graph;
use crate::ir::summary::summary;
use crate::op::shape::Shape;

/// `check --json`.
#[derive(Debug, Serialize)]
pub struct CheckReport<'a> {
    /// 1.
    pub version: u32,
    /// One a file.
    pub files: Vec<CheckedFile<'a>>,
}

/// One file of `check --json`.
#[derive(Debug, Serialize)]
pub struct CheckedFile<'a> {
    /// Its name.
    pub file: String,
    /// Whether it has no error.
    pub ok: bool,
    /// What is wrong.
    pub diagnostics: Vec<Record<'a>>,
    /// The input's shape, where known.
    pub input: Option<Vec<usize>>,
    /// The classifier's units.
    pub classes: Option<usize>,
    /// A row a layer.
    pub layers: Vec<LayerRow>,
    /// Sums, where the input is known.
    pub totals: Option<Totals>,
}

/// A layer of `check --json`.
#[derive(Debug, Serialize)]
pub struct LayerRow {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Its output's shape, where known.
    pub output: Option<Vec<usize>>,
    /// Learned values.
    pub parameters: Option<u64>,
    /// Multiply-adds of one image, C and F only.
    pub multiply_adds: Option<u64>,
    /// The output's expected root mean square at the initial values, where asked for; null where it is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Finite>,
    /// That of the gradient with respect to the output, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient: Option<Finite>,
}

/// A number, or null where it is none.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub struct Finite(Option<f64>);

/// Totals of `check --json`.
#[derive(Debug, Serialize)]
pub struct Totals {
    /// Learned values.
    pub parameters: u64,
    /// Multiply-adds of one image.
    pub multiply_adds: u64,
    /// Device memory, unless left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The layers that bear most of each.
    pub dominant: Most,
}

/// The layers that bear most: of `check --json`.
#[derive(Debug, Serialize)]
pub struct Most {
    /// Of the learned values.
    pub parameters: Option<MostOf>,
    /// Of the multiply-adds.
    pub multiply_adds: Option<MostOf>,
    /// Of the memory of training, unless left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MostOf>,
}

/// One layer and its share, 0 to 1.
#[derive(Debug, Serialize)]
pub struct MostOf {
    /// Its name.
    pub layer: String,
    /// Its part of the whole.
    pub share: f64,
}

impl Most {
    fn new(dominant: &Dominant) -> Self {
        let of = |share: &Option<Share>| {
            share.as_ref().map(|share| MostOf {
                layer: share.layer.clone(),
                share: share.share,
            })
        };
        Self {
            parameters: of(&dominant.parameters),
            multiply_adds: of(&dominant.multiply_adds),
            memory: of(&dominant.memory),
        }
    }
}

/// Memory of `check --json`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Images of a batch.
    pub batch: usize,
    /// Bytes of training: parameters, optimizer state, arena.
    pub training_bytes: u64,
    /// Bytes of inference: parameters, arena.
    pub inference_bytes: u64,
}

/// What is shown of a network beside its shapes.
#[derive(Debug, Default)]
pub struct Figures {
    /// Device memory.
    pub memory: Option<Memory>,
    /// Who bears most of the costs.
    pub dominant: Dominant,
    /// What is expected at the start, a layer each.
    pub expected: Option<Vec<Expected>>,
}

impl<'a> CheckedFile<'a> {
    /// One file's figures.
    pub fn new(
        file: &str,
        graph: Option<&Graph>,
        found: &'a Diagnostics,
        figures: &Figures,
        signal: bool,
    ) -> Self {
        let ok = !found.has_errors();
        let diagnostics = found.iter().map(Record::from).collect();
        let Some(graph) = graph else {
            return Self {
                file: file.into(),
                ok,
                diagnostics,
                input: None,
                classes: None,
                layers: Vec::new(),
                totals: None,
            };
        };
        let summary = summary(graph);
        let expected = figures.expected.as_deref().filter(|_| signal);
        let finite = |value: f64| Finite(value.is_finite().then_some(value));
        let rows = summary.rows.into_iter().enumerate();
        let layers = rows.map(|(i, row)| LayerRow {
            signal: expected.map(|expected| finite(expected[i].signal.rms())),
            gradient: expected.map(|expected| finite(expected[i].gradient.rms())),
            name: row.name,
            kind: row.kind,
            output: row.output.map(Shape::list),
            parameters: row.parameters,
            multiply_adds: row.multiply_adds,
        });
        Self {
            file: file.into(),
            ok,
            diagnostics,
            input: graph.input.map(Shape::list),
            classes: graph.classes(),
            layers: layers.collect(),
            totals: summary.totals.map(|(parameters, multiply_adds)| Totals {
                parameters,
                multiply_adds,
                memory: figures.memory,
                dominant: Most::new(&figures.dominant),
            }),
        }
    }
}
