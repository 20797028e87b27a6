//! Two networks, read and compared.

use std::path::Path;
use std::sync::Arc;

use super::sides::Named;
use crate::cli::files::{self, Network};
use crate::cli::json::Memory;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::diff::consequence::Consequences;
use crate::diff::{self, Diff};
use crate::ir::Graph;
use crate::op::Recipe;
use crate::op::emit::Machine;
use crate::op::optimizer::Optimizer;
use crate::op::shape::Shape;
use crate::plan::lower::{Options, lower};
use crate::source::Source;
use crate::syntax::{self, Tree};

/// One side as it was read.
pub struct Side {
    /// What it is called.
    pub name: String,
    /// Its text; `None` where there is no such file, as for a network that is new (`/dev/null`).
    pub source: Option<Arc<Source>>,
    /// The network's name.
    stem: String,
    /// Why it could not be read.
    fault: Option<Diagnostic>,
}

/// What networks are compared for.
pub struct Against {
    /// Initial values and dropout where layers do not say.
    pub recipe: Recipe,
    /// The input's shape where a text has none.
    pub input: Option<Shape>,
    /// The machine of the plans.
    pub machine: Machine,
    /// The update rule of training.
    pub optimizer: Optimizer,
    /// Images of a batch.
    pub batch: usize,
    /// Whether the memory is asked for.
    pub memory: bool,
}

/// A side and what became of it.
pub struct Read {
    /// What it is called.
    pub name: String,
    /// Its text.
    pub source: Option<Arc<Source>>,
    /// Its network, where it has no error.
    pub graph: Option<Graph>,
    /// What is wrong with it.
    pub found: Diagnostics,
    /// Memory of its plans, where asked for and the input is known.
    pub memory: Option<Memory>,
}

/// Two networks, compared.
pub struct Compared {
    /// The old one and the new one.
    pub sides: [Read; 2],
    /// What differs; `None` where one has errors or is not there.
    pub difference: Option<(Diff, Consequences)>,
}

impl Side {
    /// Reads a side.
    pub fn read(named: Named) -> Self {
        match named {
            Named::Expr(text) => Self {
                name: "<expr>".into(),
                source: Some(Source::new("<expr>", text)),
                stem: "expr".into(),
                fault: None,
            },
            Named::File(path) if path == Path::new("-") => Self::file(&path, "<stdin>"),
            Named::File(path) => Self::file(&path, &path.display().to_string()),
        }
    }

    /// Reads a file that is called otherwise: git's temporary files.
    pub fn file(path: &Path, name: &str) -> Self {
        let absent = path == Path::new("/dev/null");
        let source = (!absent).then(|| files::source(path)).transpose();
        let (source, fault) = match source {
            Ok(source) => (source, None),
            Err(fault) => (None, Some(fault)),
        };
        // Diagnostics name the file as the user does.
        let source = source.map(|source| {
            if source.name() == name {
                source
            } else {
                Source::new(name, source.text())
            }
        });
        let stem = Path::new(name).file_stem();
        Self {
            name: name.into(),
            source,
            stem: stem.map_or_else(|| "net".into(), |stem| stem.to_string_lossy().into_owned()),
            fault,
        }
    }
}

impl Side {
    /// The side as a network, and its tree.
    fn parsed(self, against: &Against) -> (Read, Option<Tree>) {
        let mut read = Read {
            name: self.name,
            source: self.source,
            graph: None,
            found: self.fault.map(Diagnostics::from).unwrap_or_default(),
            memory: None,
        };
        let Some(source) = &read.source else {
            return (read, None);
        };
        let network = Network::parse(self.stem, source);
        (read.graph, read.found) = network.graph(&against.recipe, against.input);
        (read, Some(network.tree))
    }
}

impl Compared {
    /// Compares two sides.
    pub fn new(sides: [Side; 2], against: &Against) -> Self {
        let [old, new] = sides;
        let ((old, old_tree), (new, new_tree)) =
            rayon::join(|| old.parsed(against), || new.parsed(against));
        let mut sides = [old, new];
        let difference = || match (&sides[0].graph, &sides[1].graph, &old_tree, &new_tree) {
            (Some(old), Some(new), Some(old_tree), Some(new_tree)) => {
                let diff = diff::diff(old_tree, new_tree);
                let consequences = Consequences::of(&diff, old, new, &against.machine);
                Some((diff, consequences))
            }
            _ => None,
        };
        let memory = || {
            let memory = |side: &Read| against.memory_of(side.graph.as_ref()?);
            rayon::join(|| memory(&sides[0]), || memory(&sides[1]))
        };
        let (difference, (old, new)) = rayon::join(difference, memory);
        sides[0].memory = old;
        sides[1].memory = new;
        Self { sides, difference }
    }

    /// Whether both sides are networks without errors, or are not there.
    pub fn is_sound(&self) -> bool {
        self.sides.iter().all(|side| !side.found.has_errors())
    }

    /// Whether the networks are one.
    pub fn is_same(&self) -> bool {
        match &self.difference {
            Some((diff, _)) => diff.is_empty(),
            None => self.is_sound() && self.sides.iter().all(|side| side.source.is_none()),
        }
    }

    /// What is wrong with the sides.
    pub fn found(&self) -> impl Iterator<Item = &Diagnostics> {
        self.sides
            .iter()
            .map(|side| &side.found)
            .filter(|found| !found.is_empty())
    }
}

impl Against {
    /// The memory of a network's plans, where it is asked for and the shapes are known.
    fn memory_of(&self, graph: &Graph) -> Option<Memory> {
        if !self.memory || !graph.is_shaped() {
            return None;
        }
        // One plan after the other: those of a large network take a lot of memory.
        let total = |options: &Options| lower(graph, options, &self.machine).total_bytes();
        Some(Memory {
            batch: self.batch,
            training_bytes: total(&Options::training(self.batch, self.optimizer)),
            inference_bytes: total(&Options::inference(self.batch)),
        })
    }
}

/// The canonical form of a side's network.
pub fn canonical(source: &Arc<Source>) -> String {
    crate::format::of_tree(&syntax::parse(source).0)
}
