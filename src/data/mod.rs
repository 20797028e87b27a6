//! Labelled images: where they come from, and what a training sees of them.
//!
//! Owns: [`open`], the interface of a form of storage ([`Images`]), the fit of classes to a classifier. One file a form:
//! `bundled`, `idx`, `cifar` (which hold their images `in_memory`), `folder`; each hands over its labels and something that
//! loads an image by index. [`Dataset`] is what they have in common, `survey` the one look at all images before the first
//! step, [`Loader`] the way of a batch from files to numbers. Knows nothing of networks but the input's shape, and nothing
//! of devices.
//!
//! An image is 8-bit pixels in the order channel, row, column, at the network's input size. IDX and CIFAR files are held
//! in memory from opening on. Folders are listed, and read as they are needed; `cache` keeps their decoded pictures where
//! all of them fit.

pub mod augment;
pub mod batch;
mod bundled;
pub mod cache;
mod cifar;
mod dataset;
mod folder;
mod idx;
mod in_memory;
mod jpeg;
pub mod loader;
pub mod mean;
pub mod picture;
mod png;
mod resize;
mod split;
mod survey;

use std::fmt::Debug;
use std::io;
use std::path::Path;

use sha2::Sha256;

pub use augment::Augmentation;
pub use batch::Order;
pub use dataset::Dataset;
pub use loader::{Loader, Preparation};
pub use mean::Mean;
pub use survey::Survey;

use crate::config::{BUNDLED, Data};
use crate::diagnostic::nearest::{nearest, one_of};
use crate::diagnostic::{Code, Diagnostic};
use crate::file::unreadable;
use crate::op::shape::Shape;
use picture::Scratch;

/// Which part of a set that has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The images learned from.
    Train,
    /// The images tested on.
    Test,
}

impl Part {
    /// `training` or `test`, before "images".
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Test => "test",
        }
    }
}

/// Where a set's pixels come from.
pub trait Images: Debug + Send + Sync {
    /// Writes image `index` into `pixels`, which holds exactly one image. `crop` are the random words that say where it is
    /// cut out of a larger picture; without them it is the centre.
    ///
    /// # Errors
    /// E0501, E0502 or E0901 a file that cannot be read, E0503 a picture that does not fit.
    fn load(
        &self,
        index: usize,
        crop: Option<[u32; 2]>,
        scratch: &mut Scratch,
        pixels: &mut [u8],
    ) -> Result<(), Diagnostic>;

    /// Looks whether image `index` can be read, as far as that is seen without decoding it.
    ///
    /// # Errors
    /// Those of [`Images::load`].
    fn look(&self, _index: usize) -> Result<(), Diagnostic> {
        Ok(())
    }

    /// The height and width that all images are stored in, where they have one size.
    fn stored(&self) -> Option<(usize, usize)> {
        None
    }

    /// Hashes what tells image `index` from another: of a file its name and its size, else the stored pixels. When a file was
    /// written is no matter, so that a copy of a set is the same set.
    ///
    /// # Errors
    /// E0501 or E0901 a file that is not there or tells nothing.
    fn identify(&self, index: usize, hash: &mut Sha256) -> Result<(), Diagnostic>;

    /// The file of image `index`, relative to the set's folder, with `/` between its parts; nothing where images have no
    /// files of their own.
    fn file(&self, _index: usize) -> Option<String> {
        None
    }
}

/// What makes a label mean a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// Its number alone (IDX files).
    Number,
    /// Its number, which has a known name (bundled sets).
    NumberAndName,
    /// Its name; the number comes from sorting (folders).
    Name,
}

/// Whether the classifier has a unit for each class.
///
/// # Errors
/// E0504 where it has fewer.
pub fn check_classes(set: &Dataset, units: usize) -> Result<(), Diagnostic> {
    let classes = set.classes().len();
    if classes <= units {
        return Ok(());
    }
    let units = match units {
        1 => "1 unit".to_owned(),
        units => format!("{units} units"),
    };
    let message = if set.is_numbered() {
        format!(
            "`{}` has label {}, but the classifier has {units}",
            set.name(),
            classes - 1
        )
    } else {
        format!(
            "`{}` has {classes} classes, but the classifier has {units}",
            set.name()
        )
    };
    Err(Diagnostic::error(Code::E0504, message).help(format!("end the network with `F{classes}`")))
}

/// Which part is asked of a set, and how its images are to be.
#[derive(Clone, Copy)]
struct Asked<'a> {
    part: Part,
    data: &'a Data,
    /// The network's input, where it is known.
    input: Option<Shape>,
}

/// Opens one part of a set: `name` is a bundled set's name or a path, `input` the network's input where it is known.
///
/// A folder with MNIST's or CIFAR's file names gives its training or its test part; a path to an images file takes the
/// labels file beside it; any other folder holds a folder a class and is taken as it is for either part. Its pictures are
/// not looked at: [`Dataset::survey`] or [`Dataset::check`] does that.
///
/// # Errors
/// E0501 no such set, file or folder, or only half of it; E0502 broken data file; E0503 images of another shape than
/// the input; E0505 no images, or a class without any; E0901 unreadable file.
pub fn open(
    name: &str,
    part: Part,
    data: &Data,
    input: Option<Shape>,
) -> Result<Dataset, Diagnostic> {
    let asked = Asked { part, data, input };
    if BUNDLED.contains(&name) {
        return bundled::open(name, asked);
    }
    let path = Path::new(name);
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            if idx::is_folder(path) {
                idx::open_folder(path, asked)
            } else if cifar::is_folder(path) {
                cifar::open_folder(path, asked)
            } else {
                folder::open(path, data, input)
            }
        }
        // The end of a pipe would be waited for.
        Ok(found) if !found.is_file() => {
            let message = format!("`{name}` is neither a file nor a folder");
            Err(Diagnostic::error(Code::E0501, message).help("give the path of a file or a folder"))
        }
        Ok(_) if cifar::is_file(path) => cifar::open_file(path, asked),
        Ok(_) => idx::open_file(path, asked),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing(path)),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// E0501, with what is there instead.
fn missing(path: &Path) -> Diagnostic {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let siblings: Vec<String> = path
        .parent()
        .and_then(|parent| std::fs::read_dir(parent).ok())
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default();
    let help = if let Some(meant) = nearest(&name, BUNDLED.iter().copied()) {
        format!("did you mean the bundled set `{meant}`?")
    } else if let Some(meant) = nearest(&name, siblings.iter().map(String::as_str)) {
        format!("did you mean `{}`?", path.with_file_name(meant).display())
    } else {
        format!(
            "bundled sets: {}; a path is relative to the TOML's folder",
            one_of(BUNDLED.iter().copied())
        )
    };
    Diagnostic::error(
        Code::E0501,
        format!("no data set, file or folder `{}`", path.display()),
    )
    .help(help)
}

/// E0503 for images of one shape only.
///
/// # Errors
/// E0503 where `input` is another one.
fn check_shape(name: &str, shape: Shape, input: Option<Shape>) -> Result<(), Diagnostic> {
    match input {
        Some(input) if input.dimensions() != shape.dimensions() => {
            let message =
                format!("the images of `{name}` are {shape}, but the network's input is {input}");
            Err(Diagnostic::error(Code::E0503, message)
                .help(format!("write `input {shape}` in the network")))
        }
        _ => Ok(()),
    }
}

/// Whether every class has an image.
///
/// # Errors
/// E0505 the first class without; `file` is what the message calls the labels.
fn check_present(labels: &[u32], classes: usize, file: &str) -> Result<(), Diagnostic> {
    let mut present = vec![false; classes];
    for &label in labels {
        present[label as usize] = true;
    }
    let Some(absent) = present.iter().position(|present| !present) else {
        return Ok(());
    };
    let message = format!(
        "`{file}` has no image of class {absent}, but labels up to {}",
        classes - 1
    );
    Err(Diagnostic::error(Code::E0505, message).help("number the classes from 0 without gaps"))
}

#[cfg(test)]
mod tests;
