//! The data sets inside the binary, so that the first command needs no download.
//!
//! Owns: their bytes and class names. Their licences stand beside the files.

use super::{Asked, Dataset, Naming, Part, idx};
use crate::diagnostic::{Code, Diagnostic};

/// Fashion-MNIST's classes (Xiao 2017, table 2), by label.
const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// A bundled set's part.
///
/// # Errors
/// E0501 no such set; those of [`in_memory::shape`](super::in_memory::shape).
pub(super) fn open(name: &str, asked: Asked<'_>) -> Result<Dataset, Diagnostic> {
    let (images, labels): (&[u8], &[u8]) = match (name, asked.part) {
        ("fashion-mini", Part::Train) => (
            include_bytes!("fashion-mini/train-images-idx3-ubyte.gz"),
            include_bytes!("fashion-mini/train-labels-idx1-ubyte.gz"),
        ),
        ("fashion-mini", Part::Test) => (
            include_bytes!("fashion-mini/t10k-images-idx3-ubyte.gz"),
            include_bytes!("fashion-mini/t10k-labels-idx1-ubyte.gz"),
        ),
        _ => {
            return Err(Diagnostic::error(
                Code::E0501,
                format!("no bundled data set `{name}`"),
            ));
        }
    };
    let mut set = idx::read(
        idx::Pair {
            name,
            images: (name, images),
            labels: (name, labels),
        },
        asked,
    )?;
    set.align(&FASHION.map(String::from))?;
    Ok(set.named(Naming::NumberAndName))
}
