//! Parameters' values by name, in memory or elsewhere.

use crate::diagnostic::Diagnostic;

/// A parameter's logical values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// `c1.weight`.
    pub name: String,
    /// PyTorch's sizes.
    pub shape: Vec<usize>,
    /// In C order.
    pub values: Vec<f64>,
}

/// Where tensors are taken from, by their names.
pub trait Tensors {
    /// The shape of one that is there.
    fn shape(&self, name: &str) -> Option<&[usize]>;

    /// The values of one that is there, in C order.
    ///
    /// # Errors
    /// E0901 they cannot be read.
    fn values(&self, name: &str) -> Result<Box<dyn Iterator<Item = f64> + '_>, Diagnostic>;
}

impl Tensors for Vec<Tensor> {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        let found = self.iter().find(|tensor| tensor.name == name)?;
        Some(&found.shape)
    }

    fn values(&self, name: &str) -> Result<Box<dyn Iterator<Item = f64> + '_>, Diagnostic> {
        let found = self.iter().find(|tensor| tensor.name == name);
        let found = found.expect("internal error: a tensor that is not there");
        Ok(Box::new(found.values.iter().copied()))
    }
}
