//! Machine-readable output: the structures are a contract (`version` counts its changes), apart from those inside.

use serde::Serialize;

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
}

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

impl<'a> CheckedFile<'a> {
    /// One file's figures.
    pub fn new(
        file: &str,
        graph: Option<&Graph>,
        found: &'a Diagnostics,
        memory: Option<Memory>,
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
        let layers = summary.rows.into_iter().map(|row| LayerRow {
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
                memory,
            }),
        }
    }
}
