//! Checkpoints: safetensors files, written whole or not at all, the same bytes for the same numbers.
//!
//! All facts stand as one JSON text under the metadata key `netc`, its keys sorted (the format's own metadata has no
//! order); among them the SHA-256 of the whole file with zeros in that place, which is verified on opening. No more than a
//! tensor is in memory at once, neither on writing nor on reading.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use crate::diagnostic::{Code, Diagnostic};
use crate::file;
use crate::op::real::Precision;

use super::tensor::Tensors;

/// The format's own limit.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// The form of the facts.
const FORM: &str = "2";

/// What is hashed where the checksum stands, which is as long.
const UNKNOWN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Bytes read at once.
const PIECE: usize = 1 << 16;

/// A checkpoint that is opened, whose checksum is right. The file is the one that was opened, also where another has taken
/// its name since.
#[derive(Debug)]
pub struct Checkpoint {
    /// Facts: `step`, `precision` and the like.
    pub facts: BTreeMap<String, String>,
    path: PathBuf,
    file: File,
    /// What stands before the tensors, and how long that is.
    header: Metadata,
    begin: u64,
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
    // The format's own order where all tensors are of one type.
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let failed = |error: io::Error| file::unwritable(path, &error);
    file::write_by(path, |file| {
        let mut out = BufWriter::with_capacity(PIECE, file);
        let header = |sum| header(&entries, facts, precision, sum);
        let unknown = header(UNKNOWN);
        out.write_all(&unknown).map_err(failed)?;
        let mut hash = Sha256::new();
        hash.update(&unknown);
        for Entry { shape, place, .. } in &entries {
            let mut left = shape.iter().product::<usize>() as u64 * precision.bytes();
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
    begin(path).map(|(_, _, header)| header)
}

/// A file, the JSON that stands before its tensors, and what that says.
fn begin(path: &Path) -> Result<(File, String, Metadata), Diagnostic> {
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
    let text = String::from_utf8(text).map_err(|e| damaged(path, e))?;
    let header: Metadata = serde_json::from_str(&text).map_err(|e| damaged(path, e))?;
    if header.data_len() as u64 != size - 8 - length {
        return Err(damaged(
            path,
            "it is longer or shorter than its header says",
        ));
    }
    Ok((file, text, header))
}

/// The facts of a checkpoint from its header alone; damage of its tensors other than that some are missing is not seen.
///
/// # Errors
/// Those of [`peek`]; E0601 netc did not write it.
pub fn facts(path: &Path) -> Result<BTreeMap<String, String>, Diagnostic> {
    told(path, &peek(path)?)
}

/// Opens a checkpoint and verifies its checksum.
///
/// # Errors
/// E0501 there is none; E0601 it is none, or damaged; E0901 it cannot be read.
pub fn open(path: &Path) -> Result<Checkpoint, Diagnostic> {
    let (mut file, text, header) = begin(path)?;
    let mut facts = told(path, &header)?;
    facts.remove("version");
    let stated = facts.remove("checksum").unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text.replacen(&stated, UNKNOWN, 1));
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => hash.update(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(file::unreadable(path, &error)),
        }
    }
    if file::hex(&hash.finalize()) != stated {
        return Err(damaged(path, "its checksum is another"));
    }
    let odd = |(_, info): &(String, &TensorInfo)| !matches!(info.dtype, Dtype::F32 | Dtype::F64);
    if let Some((name, info)) = header.tensors().into_iter().find(odd) {
        return Err(damaged(
            path,
            format!("`{name}` is of type {:?}", info.dtype),
        ));
    }
    Ok(Checkpoint {
        facts,
        path: path.to_path_buf(),
        file,
        header,
        begin: 8 + text.len() as u64,
    })
}

impl Checkpoint {
    /// Names and shapes of its tensors, in the order of the names.
    pub fn shapes(&self) -> BTreeMap<String, &[usize]> {
        let tensors = self.header.tensors().into_iter();
        tensors.map(|(name, info)| (name, &*info.shape)).collect()
    }

    /// Goes to a tensor; its bytes.
    fn seek(&self, info: &TensorInfo) -> Result<usize, Diagnostic> {
        let (start, end) = info.data_offsets;
        (&self.file)
            .seek(SeekFrom::Start(self.begin + start as u64))
            .map_err(|e| file::unreadable(&self.path, &e))?;
        Ok(end - start)
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), Diagnostic> {
        (&self.file)
            .read_exact(bytes)
            .map_err(|e| file::unreadable(&self.path, &e))
    }
}

impl Tensors for Checkpoint {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|info| &*info.shape)
    }

    fn values(&self, name: &str) -> Result<Box<dyn Iterator<Item = f64> + '_>, Diagnostic> {
        let info = self.header.info(name);
        let info = info.expect("internal error: a tensor that the checkpoint has not");
        let mut bytes = vec![0; self.seek(info)?];
        self.fill(&mut bytes)?;
        let width = info.dtype.bitsize() / 8;
        Ok(Box::new((0..bytes.len() / width).map(move |at| {
            let number = &bytes[at * width..][..width];
            match (number.first_chunk(), number.first_chunk()) {
                (_, Some(&double)) => f64::from_le_bytes(double),
                (Some(&single), None) => f64::from(f32::from_le_bytes(single)),
                (None, None) => unreachable!("internal error: its types are looked at on opening"),
            }
        })))
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;
    use crate::run::tensor::Tensor;

    fn sample() -> Vec<Tensor> {
        vec![
            Tensor {
                name: "f1.bias".into(),
                shape: vec![2],
                values: vec![0.0, 3.0],
            },
            Tensor {
                name: "f1.weight".into(),
                shape: vec![2, 2],
                values: vec![1.0, -2.5, 0.1, 1e-30],
            },
        ]
    }

    fn facts() -> BTreeMap<String, String> {
        BTreeMap::from([("step".into(), "7".into()), ("epoch".into(), "1".into())])
    }

    /// Writes doubles, a piece a number, the last tensor first.
    fn written(path: &Path, tensors: &[Tensor], precision: Precision) -> Vec<u8> {
        let entries = tensors.iter().rev().map(|tensor| Entry {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            place: &tensor.values,
        });
        write(
            path,
            entries.collect(),
            &facts(),
            precision,
            |values, sink| {
                values.iter().try_for_each(|v| match precision {
                    Precision::F32 => sink(&(*v as f32).to_le_bytes()),
                    Precision::F64 => sink(&v.to_le_bytes()),
                })
            },
        )
        .unwrap();
        std::fs::read(path).unwrap()
    }

    /// The same file from the format's own library.
    fn as_the_format_has_it(bytes: &[u8]) -> Vec<u8> {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        safetensors::serialize(tensors.tensors(), header.metadata().clone()).unwrap()
    }

    fn tensors(checkpoint: &Checkpoint) -> Vec<Tensor> {
        let shapes = checkpoint.shapes().into_iter();
        let tensors = shapes.map(|(name, shape)| Tensor {
            shape: shape.to_vec(),
            values: checkpoint.values(&name).unwrap().collect(),
            name,
        });
        tensors.collect()
    }

    #[test]
    fn a_checkpoint_reads_back_and_a_flipped_bit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        let bytes = written(&path, &sample(), Precision::F64);
        let again = written(&folder.path().join("again"), &sample(), Precision::F64);
        assert!(bytes == again, "the same bytes for the same numbers");
        assert_eq!(
            bytes,
            as_the_format_has_it(&bytes),
            "as another writer has it"
        );
        let back = open(&path).unwrap();
        assert_eq!((tensors(&back), &back.facts), (sample(), &facts()));
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            std::fs::write(&path, broken).unwrap();
            assert_eq!(open(&path).unwrap_err().code, Code::E0601, "byte {at}");
        }
        let no = folder.path().join("no");
        assert_eq!(open(&no).unwrap_err().code, Code::E0501);
    }

    #[test]
    fn singles_longer_than_a_piece_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        let long = Tensor {
            name: "f1.weight".into(),
            shape: vec![3, 7001],
            values: (0..21_003).map(|i| f64::from(i) / 8.0).collect(),
        };
        assert!(long.values.len() * 4 > PIECE);
        written(&path, std::slice::from_ref(&long), Precision::F32);
        assert_eq!(tensors(&open(&path).unwrap()), [long]);
    }
}
