//! Parameters from another run: what of its checkpoint fits another network, layer by layer.

use std::collections::BTreeMap;

use super::checkpoint::Checkpoint;
use super::folder::OpenedRun;
use super::tensor::Tensors;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::diff::consequence::{Consequences, Fate, TensorChange};
use crate::diff::diff;
use crate::ir::{self, Graph};
use crate::op::emit::Machine;
use crate::syntax::{self, Tree};

/// What a run gives to another network: the tensors that fit, under that network's names.
#[derive(Debug)]
pub struct Inherited {
    checkpoint: Checkpoint,
    /// From the new names of the tensors that fit to their old ones.
    pub names: BTreeMap<String, String>,
    /// What became of every tensor of both networks.
    pub changes: Vec<TensorChange>,
}

impl Tensors for Inherited {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.checkpoint.shape(self.names.get(name)?)
    }

    fn values(&self, name: &str) -> Result<Box<dyn Iterator<Item = f64> + '_>, Diagnostic> {
        self.checkpoint.values(&self.names[name])
    }
}

/// Matches a run's network with another one, as `netc diff` does, and takes the tensors that fit.
///
/// # Errors
/// Those of the run's own network.
///
/// # Panics
/// Where a shape of the new graph is unknown.
pub fn inherit(
    run: OpenedRun,
    tree: &Tree,
    graph: &Graph,
    machine: &Machine,
) -> Result<Inherited, Diagnostics> {
    let (old_tree, mut found) = syntax::parse(&run.network);
    let (old, more) = ir::build(&old_tree, &ir::Options::default());
    found.append(more);
    let Some(old) = old.filter(|_| !found.has_errors()) else {
        return Err(found.sorted());
    };
    let difference = diff(&old_tree, tree);
    let changes = Consequences::of(&difference, &old, graph, machine).tensors;
    let changes = changes.unwrap_or_default();
    let fits = |change: &TensorChange| {
        let ((old, _), (new, shape)) = (change.old.as_ref()?, change.new.as_ref()?);
        let kept = run.checkpoint.shape(old)?;
        (change.fate == Fate::Fits && kept == shape).then(|| (new.clone(), old.clone()))
    };
    Ok(Inherited {
        names: changes.iter().filter_map(fits).collect(),
        checkpoint: run.checkpoint,
        changes,
    })
}
