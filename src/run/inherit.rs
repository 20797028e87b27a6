//! Parameters from another run: what of its checkpoint fits another network, layer by layer.

use std::collections::HashMap;

use super::folder::OpenedRun;
use super::session::Tensor;
use crate::diagnostic::Diagnostics;
use crate::diff::consequence::{Consequences, Fate, TensorChange};
use crate::diff::diff;
use crate::ir::{self, Graph};
use crate::op::emit::Machine;
use crate::syntax::{self, Tree};

/// What a run gives to another network.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    /// The tensors that fit, under the new network's names.
    pub tensors: Vec<Tensor>,
    /// What became of every tensor of both networks.
    pub changes: Vec<TensorChange>,
}

/// Matches a run's network with another one, as `netc diff` does, and takes the tensors that fit.
///
/// # Errors
/// Those of the run's own network.
///
/// # Panics
/// Where a shape of the new graph is unknown.
pub fn inherit(
    run: &OpenedRun,
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
    let known: HashMap<&str, &Tensor> = run
        .checkpoint
        .tensors
        .iter()
        .map(|tensor| (&*tensor.name, tensor))
        .collect();
    let fits = |change: &TensorChange| {
        let (old, new) = (change.old.as_ref()?, change.new.as_ref()?);
        let tensor = known.get(&*old.0)?;
        (change.fate == Fate::Fits && tensor.shape == new.1).then(|| Tensor {
            name: new.0.clone(),
            ..(*tensor).clone()
        })
    };
    Ok(Inherited {
        tensors: changes.iter().filter_map(fits).collect(),
        changes,
    })
}
