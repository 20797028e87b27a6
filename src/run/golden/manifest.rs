//! A directory of golden cases: `manifest.json` and the safetensors files that it names.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::diagnostic::{Code, Diagnostic};
use crate::file;

/// The whole manifest.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    /// `netc-golden 1`.
    pub format: String,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What it is a case of: `conv`, `maxpool`, `net` …
    pub op: String,
    /// The file that holds its tensors.
    pub file: String,
    /// Attributes, by op.
    pub attrs: serde_json::Value,
    /// What is given.
    pub inputs: BTreeMap<String, Reference>,
    /// What must come out.
    pub expected: BTreeMap<String, Reference>,
    /// What single precision in PyTorch deviates.
    #[serde(default)]
    pub torch_f32_err: BTreeMap<String, Deviation>,
}

/// A tensor in the case's file.
#[derive(Clone, Debug, Deserialize)]
pub struct Reference {
    /// Its name there.
    pub tensor: String,
    /// Its sizes.
    pub shape: Vec<usize>,
}

/// A deviation.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Deviation {
    /// Relative to the scale.
    pub max_rel: f64,
}

/// A tensor's values.
#[derive(Clone, Debug)]
pub struct Values {
    /// Sizes.
    pub shape: Vec<usize>,
    /// The values in C order.
    pub data: Vec<f64>,
}

/// An opened directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    files: HashMap<String, Vec<u8>>,
}

impl Directory {
    /// Opens a directory of cases.
    ///
    /// # Errors
    /// E0501 there is none; E0502 it is broken; E0901 a file cannot be read.
    pub fn open(path: &Path) -> Result<Self, Diagnostic> {
        let manifest = path.join("manifest.json");
        if !manifest.is_file() {
            return Err(Diagnostic::error(
                Code::E0501,
                format!(
                    "no golden cases in `{}`: `manifest.json` is missing",
                    path.display()
                ),
            ));
        }
        let text = file::read(&manifest)?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|e| broken(&manifest, &e.to_string()))?;
        if manifest.format != "netc-golden 1" {
            return Err(broken(
                path,
                &format!("the format is `{}`, not `netc-golden 1`", manifest.format),
            ));
        }
        let mut files = HashMap::new();
        for case in &manifest.cases {
            if !files.contains_key(&case.file) {
                let file = path.join(&case.file);
                files.insert(case.file.clone(), file::read(&file)?);
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            manifest,
            files,
        })
    }

    /// The values of a tensor of a case.
    ///
    /// # Errors
    /// E0502 it is not there, or not as the manifest says.
    pub fn values(&self, case: &Case, reference: &Reference) -> Result<Values, Diagnostic> {
        let path = self.path.join(&case.file);
        let fault = |what: String| broken(&path, &what);
        let file =
            SafeTensors::deserialize(&self.files[&case.file]).map_err(|e| fault(e.to_string()))?;
        let view = file
            .tensor(&reference.tensor)
            .map_err(|e| fault(e.to_string()))?;
        if view.shape() != reference.shape {
            return Err(fault(format!(
                "`{}` is {:?}, and the manifest says {:?}",
                reference.tensor,
                view.shape(),
                reference.shape
            )));
        }
        let bytes = view.data();
        let data: Vec<f64> = match view.dtype() {
            Dtype::F64 => bytes
                .chunks_exact(8)
                .map(|b| f64::from_le_bytes(b.try_into().unwrap_or_default()))
                .collect(),
            Dtype::F32 => bytes
                .chunks_exact(4)
                .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap_or_default())))
                .collect(),
            Dtype::I32 => bytes
                .chunks_exact(4)
                .map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap_or_default())))
                .collect(),
            Dtype::U8 => bytes.iter().map(|&b| f64::from(b)).collect(),
            other => {
                return Err(fault(format!(
                    "`{}` is of type {other:?}",
                    reference.tensor
                )));
            }
        };
        Ok(Values {
            shape: reference.shape.clone(),
            data,
        })
    }
}

fn broken(path: &Path, what: &str) -> Diagnostic {
    Diagnostic::error(
        Code::E0502,
        format!("`{}` is broken: {what}", path.display()),
    )
}
