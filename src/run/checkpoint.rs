//! Checkpoints: safetensors files, written whole or not at all, the same bytes for the same numbers.
//!
//! All facts stand as one JSON text under the metadata key `netc`, its keys sorted (the format's own metadata has no
//! order); among them the SHA-256 of all tensors, which is verified on reading.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, Write as _};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::diagnostic::{Code, Diagnostic};
use crate::file;
use crate::op::real::Precision;

use super::session::Tensor;

/// The format's own limit.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// The form of the facts.
const FORM: &str = "1";

/// A checkpoint's contents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Parameters and, in checkpoints that training goes on from, the optimizer's state.
    pub tensors: Vec<Tensor>,
    /// Facts: `step`, `precision` and the like.
    pub facts: BTreeMap<String, String>,
}

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<K> {
    /// `c1.weight`.
    pub name: String,
    /// PyTorch's sizes.
    pub shape: Vec<usize>,
    /// Where its values are.
    pub place: K,
}

/// Takes a tensor's values piece by piece, as little-endian bytes.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Diagnostic> + 'a;

/// Writes a checkpoint, one tensor after the other: `values` gives each to the sink, and no two are in memory at once.
///
/// # Errors
/// Those of `values`; E0901 the file cannot be written. An older one is still there.
pub fn write<K>(
    path: &Path,
    mut entries: Vec<Entry<K>>,
    facts: &BTreeMap<String, String>,
    precision: Precision,
    mut values: impl FnMut(&K, &mut Sink<'_>) -> Result<(), Diagnostic>,
) -> Result<(), Diagnostic> {
    // The order of the checksum, which is the format's own where all tensors are of one type.
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let failed = |error: io::Error| file::unwritable(path, &error);
    file::write_by(path, |file| {
        let mut out = BufWriter::with_capacity(1 << 16, file);
        let unknown = "0".repeat(64);
        let header = |sum| header(&entries, facts, precision, sum);
        out.write_all(&header(&unknown)).map_err(failed)?;
        let mut hash = Sha256::new();
        for Entry { name, shape, place } in &entries {
            let bytes = shape.iter().product::<usize>() as u64 * precision.bytes();
            announce(&mut hash, name, bytes);
            let mut left = bytes;
            values(place, &mut |piece| {
                left = left.saturating_sub(piece.len() as u64);
                hash.update(piece);
                out.write_all(piece).map_err(failed)
            })?;
            assert_eq!(
                left, 0,
                "internal error: a tensor's shape and data disagree"
            );
        }
        // The checksum is as long as what stands in its place.
        out.rewind().map_err(failed)?;
        out.write_all(&header(&file::hex(&hash.finalize())))
            .map_err(failed)?;
        out.flush().map_err(failed)
    })
}

/// What stands before the tensors: its length, and names, places and facts as JSON.
fn header<K>(
    entries: &[Entry<K>],
    facts: &BTreeMap<String, String>,
    precision: Precision,
    checksum: &str,
) -> Vec<u8> {
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F64 => Dtype::F64,
    };
    let mut facts = facts.clone();
    facts.insert("checksum".into(), checksum.into());
    facts.insert("version".into(), FORM.into());
    let text = serde_json::to_string(&facts).expect("internal error: facts are text");
    let mut end = 0;
    let tensors = entries.iter().map(|entry| {
        let start = end;
        end += entry.shape.iter().product::<usize>() * precision.bytes() as usize;
        let info = TensorInfo {
            dtype,
            shape: entry.shape.clone(),
            data_offsets: (start, end),
        };
        (entry.name.clone(), info)
    });
    let about = HashMap::from([("netc".to_owned(), text)]);
    let about = Metadata::new(Some(about), tensors.collect())
        .expect("internal error: tensors follow each other");
    let mut json = serde_json::to_vec(&about).expect("internal error: a header is data");
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    header
}

/// What the checksum has of a tensor before its data, of so many bytes.
fn announce(hash: &mut Sha256, name: &str, bytes: u64) {
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name);
    hash.update(bytes.to_le_bytes());
}

/// SHA-256 over names and data, in the order of the names.
fn checksum<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let sorted: BTreeMap<&str, &[u8]> = tensors.collect();
    let mut hash = Sha256::new();
    for (name, data) in sorted {
        announce(&mut hash, name, data.len() as u64);
        hash.update(data);
    }
    file::hex(&hash.finalize())
}

fn damaged(path: &Path, what: impl Display) -> Diagnostic {
    Diagnostic::error(
        Code::E0601,
        format!(
            "`{}` is not a checkpoint, or a damaged one: {what}",
            path.display()
        ),
    )
    .help("restore it from a copy, or train again")
}

/// What a header says beside tensors, the checksum included.
fn told(path: &Path, header: &Metadata) -> Result<BTreeMap<String, String>, Diagnostic> {
    let text = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get("netc"))
        .ok_or_else(|| damaged(path, "netc did not write it"))?;
    let facts: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|e| damaged(path, e))?;
    match facts.get("version").map(String::as_str) {
        Some(FORM) => Ok(facts),
        Some(other) => {
            let what = format!("it has form {other}, this netc reads form {FORM}");
            Err(damaged(path, what))
        }
        None => Err(damaged(path, "it does not say its form")),
    }
}

/// What stands before the tensors of a safetensors file, which are not read: only whether they are all there.
///
/// # Errors
/// E0501 there is none; E0601 it is none, or cut off; E0901 it cannot be read.
pub fn peek(path: &Path) -> Result<Metadata, Diagnostic> {
    let failed = |error: io::Error| file::unreadable(path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut length = [0; 8];
    if size < length.len() as u64 {
        return Err(damaged(path, "it is too short"));
    }
    file.read_exact(&mut length).map_err(failed)?;
    let length = u64::from_le_bytes(length);
    let most = MOST_HEADER_BYTES.min(size - 8);
    if length > most {
        return Err(damaged(path, "its header is cut off"));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(failed)?;
    let header: Metadata = serde_json::from_slice(&text).map_err(|e| damaged(path, e))?;
    if header.data_len() as u64 != size - 8 - length {
        return Err(damaged(
            path,
            "it is longer or shorter than its header says",
        ));
    }
    Ok(header)
}

/// The facts of a checkpoint from its header alone; damage of its tensors other than that some are missing is not seen.
///
/// # Errors
/// Those of [`peek`]; E0601 netc did not write it.
pub fn facts(path: &Path) -> Result<BTreeMap<String, String>, Diagnostic> {
    told(path, &peek(path)?)
}

/// Reads a checkpoint.
///
/// # Errors
/// E0501 there is none; E0601 it is none, or damaged; E0901 it cannot be read.
pub fn read(path: &Path) -> Result<Checkpoint, Diagnostic> {
    let bytes = file::read(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(path, e))?;
    let found = SafeTensors::deserialize(&bytes).map_err(|e| damaged(path, e))?;
    let mut facts = told(path, &header)?;
    let found = found.tensors();
    let sum = checksum(
        found
            .iter()
            .map(|(name, view)| (name.as_str(), view.data())),
    );
    facts.remove("version");
    if facts.remove("checksum").as_deref() != Some(&sum) {
        return Err(damaged(path, "the checksum of its tensors is another"));
    }
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
            other => return Err(damaged(path, format!("`{name}` is of type {other:?}"))),
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

    /// Writes doubles, a piece a number.
    fn written(path: &Path, checkpoint: &Checkpoint) -> Vec<u8> {
        let entries = checkpoint.tensors.iter().map(|tensor| Entry {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            place: &tensor.values,
        });
        let (entries, facts) = (entries.collect(), &checkpoint.facts);
        write(path, entries, facts, Precision::F64, |values, sink| {
            values.iter().try_for_each(|v| sink(&v.to_le_bytes()))
        })
        .unwrap();
        std::fs::read(path).unwrap()
    }

    /// The same file from the format's own library.
    fn as_the_format_has_it(bytes: &[u8]) -> Vec<u8> {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        safetensors::serialize(tensors.tensors(), header.metadata().clone()).unwrap()
    }

    #[test]
    fn a_checkpoint_reads_back_and_a_flipped_bit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        let bytes = written(&path, &sample());
        let again = written(&folder.path().join("again"), &sample());
        assert!(bytes == again, "the same bytes for the same numbers");
        assert_eq!(
            bytes,
            as_the_format_has_it(&bytes),
            "as another writer has it"
        );
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
