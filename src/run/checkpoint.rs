//! Checkpoints: safetensors files, written whole or not at all, the same bytes for the same numbers.
//!
//! All facts stand as one JSON text under the metadata key `netc`, its keys sorted (the format's own metadata has no
//! order); among them the SHA-256 of all tensors, which is verified on reading.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::diagnostic::{Code, Diagnostic};
use crate::file;
use crate::op::real::Precision;

use super::session::Tensor;

/// A checkpoint's contents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Parameters and, in checkpoints that training goes on from, the optimizer's state.
    pub tensors: Vec<Tensor>,
    /// Facts: `step`, `precision` and the like.
    pub facts: BTreeMap<String, String>,
}

/// The checkpoint as a file's bytes.
pub fn to_bytes(checkpoint: &Checkpoint, precision: Precision) -> Vec<u8> {
    let data: Vec<Vec<u8>> = checkpoint
        .tensors
        .iter()
        .map(|tensor| narrow(&tensor.values, precision))
        .collect();
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F64 => Dtype::F64,
    };
    let mut facts = checkpoint.facts.clone();
    facts.insert(
        "checksum".into(),
        checksum(
            checkpoint
                .tensors
                .iter()
                .map(|t| t.name.as_str())
                .zip(data.iter().map(Vec::as_slice)),
        ),
    );
    facts.insert("version".into(), "1".into());
    let views = checkpoint.tensors.iter().zip(&data).map(|(tensor, data)| {
        let view = TensorView::new(dtype, tensor.shape.clone(), data)
            .expect("internal error: a tensor's shape and data disagree");
        (tensor.name.clone(), view)
    });
    let text = serde_json::to_string(&facts).expect("internal error: facts are text");
    let metadata = HashMap::from([("netc".to_owned(), text)]);
    safetensors::serialize(views, Some(metadata)).expect("internal error: tensors serialize")
}

fn narrow(values: &[f64], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => values
            .iter()
            .flat_map(|&v| (v as f32).to_le_bytes())
            .collect(),
        Precision::F64 => values.iter().flat_map(|&v| v.to_le_bytes()).collect(),
    }
}

/// SHA-256 over names and data, in the order of the names.
fn checksum<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let sorted: BTreeMap<&str, &[u8]> = tensors.collect();
    let mut hash = Sha256::new();
    for (name, data) in sorted {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((data.len() as u64).to_le_bytes());
        hash.update(data);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Reads a checkpoint.
///
/// # Errors
/// E0501 there is none; E0601 it is none, or damaged; E0901 it cannot be read.
pub fn read(path: &Path) -> Result<Checkpoint, Diagnostic> {
    let bytes = file::read(path)?;
    let damaged = |what: String| {
        Diagnostic::error(
            Code::E0601,
            format!(
                "`{}` is not a checkpoint, or a damaged one: {what}",
                path.display()
            ),
        )
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
    let found = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
    let text = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get("netc"))
        .ok_or_else(|| damaged("netc did not write it".into()))?;
    let mut facts: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
    let found = found.tensors();
    let sum = checksum(
        found
            .iter()
            .map(|(name, view)| (name.as_str(), view.data())),
    );
    if facts.remove("checksum").as_deref() != Some(&sum) {
        return Err(damaged("the checksum of its tensors is another".into()));
    }
    facts.remove("version");
    let mut tensors = Vec::new();
    for (name, view) in &found {
        let values = match view.dtype() {
            Dtype::F32 => view
                .data()
                .chunks_exact(4)
                .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap_or_default())))
                .collect(),
            Dtype::F64 => view
                .data()
                .chunks_exact(8)
                .map(|b| f64::from_le_bytes(b.try_into().unwrap_or_default()))
                .collect(),
            other => return Err(damaged(format!("`{name}` is of type {other:?}"))),
        };
        tensors.push(Tensor {
            name: name.clone(),
            shape: view.shape().to_vec(),
            values,
        });
    }
    Ok(Checkpoint { tensors, facts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let tensors = vec![
            Tensor {
                name: "f1.weight".into(),
                shape: vec![2, 2],
                values: vec![1.0, -2.5, 0.1, 1e-30],
            },
            Tensor {
                name: "f1.bias".into(),
                shape: vec![2],
                values: vec![0.0, 3.0],
            },
        ];
        Checkpoint {
            tensors,
            facts: BTreeMap::from([("step".into(), "7".into()), ("epoch".into(), "1".into())]),
        }
    }

    #[test]
    fn a_checkpoint_reads_back_and_a_flipped_bit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        let bytes = to_bytes(&sample(), Precision::F64);
        assert_eq!(
            bytes,
            to_bytes(&sample(), Precision::F64),
            "the same bytes for the same numbers"
        );
        file::write(&path, &bytes).unwrap();
        let mut back = read(&path).unwrap();
        back.tensors.sort_by(|a, b| b.name.cmp(&a.name));
        assert_eq!(back, sample());
        for at in [20, bytes.len() - 3] {
            let mut broken = bytes.clone();
            broken[at] ^= 4;
            std::fs::write(&path, broken).unwrap();
            assert_eq!(read(&path).unwrap_err().code, Code::E0601, "byte {at}");
        }
        assert_eq!(
            read(&folder.path().join("no")).unwrap_err().code,
            Code::E0501
        );
    }
}
