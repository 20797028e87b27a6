//! Labelled images: where they come from, and what a training sees of them.
//!
//! Owns: [`Dataset`], [`open`], the fit of classes to a classifier. One file a form of storage: `bundled`, `idx`,
//! `folder`; each hands over its labels and something that loads an image by index ([`Images`]), so that folders that are
//! streamed and CIFAR's files fit in beside them. [`mean`] and [`batch`] know only this interface. Knows nothing of
//! networks but the input's shape, and nothing of devices.
//!
//! An image is 8-bit pixels in the order channel, row, column, at the network's input size. For now every set is held
//! decoded in memory from opening on: `images * channels * height * width` bytes.

pub mod batch;
mod bundled;
mod folder;
mod idx;
mod jpeg;
pub mod mean;
pub mod picture;

use std::fmt::Debug;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

pub use batch::{Order, gather};
pub use mean::Mean;

use crate::config::{BUNDLED, Data};
use crate::diagnostic::nearest::{nearest, one_of};
use crate::diagnostic::{Code, Diagnostic};
use crate::file::unreadable;
use crate::op::shape::Shape;

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
    /// Writes image `index` into `pixels`, which holds exactly one image.
    ///
    /// # Errors
    /// E0502 or E0901 where a file that was there at opening can no longer be read.
    fn load(&self, index: usize, pixels: &mut [u8]) -> Result<(), Diagnostic>;
}

/// Images decoded in memory, one after the other.
#[derive(Debug)]
struct Memory {
    pixels: Vec<u8>,
}

impl Images for Memory {
    fn load(&self, index: usize, pixels: &mut [u8]) -> Result<(), Diagnostic> {
        let start = index * pixels.len();
        pixels.copy_from_slice(&self.pixels[start..start + pixels.len()]);
        Ok(())
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

/// Labelled images of one shape.
#[derive(Debug)]
pub struct Dataset {
    name: String,
    classes: Vec<String>,
    naming: Naming,
    labels: Vec<u32>,
    shape: Shape,
    images: Box<dyn Images>,
    broken: Vec<Diagnostic>,
}

const SAME_CLASSES: &str = "train and test on sets with the same classes";

impl Dataset {
    /// What messages call the set: its name or path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The classes' names, by label.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Never true of an opened set (E0505).
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The shape of every image.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The label of each image, each below the number of classes.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The images that were left out because they cannot be read (`data.broken = "skip"`), each with its reason.
    pub fn broken(&self) -> &[Diagnostic] {
        &self.broken
    }

    /// Writes image `index` as 8-bit pixels `[channels, height, width]`. May be called from many threads at once.
    ///
    /// # Errors
    /// E0502 or E0901 where a file that was there at opening can no longer be read.
    pub fn load(&self, index: usize, pixels: &mut [u8]) -> Result<(), Diagnostic> {
        assert_eq!(
            pixels.len(),
            self.shape.elements(),
            "internal error: a buffer that does not hold one image"
        );
        self.images.load(index, pixels)
    }

    /// SHA-256 of what tells a set from others: its shape, classes, labels and pixels.
    ///
    /// # Errors
    /// Those of [`Self::load`].
    pub fn fingerprint(&self) -> Result<String, Diagnostic> {
        let mut hash = Sha256::new();
        hash.update(format!("{} images of {}\n", self.len(), self.shape));
        hash.update(self.classes.join("\n"));
        let mut pixels = vec![0; self.shape.elements()];
        for (index, label) in self.labels.iter().enumerate() {
            hash.update(label.to_le_bytes());
            self.load(index, &mut pixels)?;
            hash.update(&pixels);
        }
        Ok(crate::file::hex(&hash.finalize()))
    }

    /// Takes over the classes of the training set (or of a run), so that equal labels mean equal classes: a folder's
    /// labels follow the names, numbered sets get the names. Classes without images here are fine.
    ///
    /// # Errors
    /// E0504 a class, or a label, that the training set has not.
    pub fn align(&mut self, classes: &[String]) -> Result<(), Diagnostic> {
        let numbered = classes
            .iter()
            .enumerate()
            .all(|(label, class)| *class == label.to_string());
        let by_name = match self.naming {
            Naming::Number => false,
            Naming::NumberAndName => !numbered,
            Naming::Name => true,
        };
        if by_name {
            let labels = self.find_classes(classes)?;
            for label in &mut self.labels {
                *label = labels[*label as usize];
            }
        } else if self.classes.len() > classes.len() {
            let message = format!(
                "`{}` has label {}, but the training set has {} classes",
                self.name,
                self.classes.len() - 1,
                classes.len()
            );
            return Err(Diagnostic::error(Code::E0504, message).help(SAME_CLASSES));
        }
        self.classes = classes.to_vec();
        Ok(())
    }

    /// The place of each of the set's classes among others.
    fn find_classes(&self, classes: &[String]) -> Result<Vec<u32>, Diagnostic> {
        let find = |class: &String| {
            let place = classes.iter().position(|known| known == class);
            place.map(|label| label as u32).ok_or_else(|| {
                let message = format!(
                    "class `{class}` of `{}` is none of the training set's classes",
                    self.name
                );
                let help = match nearest(class, classes.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => SAME_CLASSES.into(),
                };
                Diagnostic::error(Code::E0504, message).help(help)
            })
        };
        self.classes.iter().map(find).collect()
    }
}

/// Whether the classifier has a unit for each class.
///
/// # Errors
/// E0504 where it has fewer.
pub fn check_classes(set: &Dataset, units: usize) -> Result<(), Diagnostic> {
    let classes = set.classes.len();
    if classes <= units {
        return Ok(());
    }
    let units = match units {
        1 => "1 unit".to_owned(),
        units => format!("{units} units"),
    };
    let message = if set.naming == Naming::Number {
        format!(
            "`{}` has label {}, but the classifier has {units}",
            set.name,
            classes - 1
        )
    } else {
        format!(
            "`{}` has {classes} classes, but the classifier has {units}",
            set.name
        )
    };
    Err(Diagnostic::error(Code::E0504, message).help(format!("end the network with `F{classes}`")))
}

/// Opens one part of a set: `name` is a bundled set's name or a path, `input` the network's input where it is known.
///
/// A folder with MNIST's file names gives its training or its test part; a path to an images file takes the labels file
/// beside it; any other folder holds a folder a class and is taken as it is for either part.
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
    if BUNDLED.contains(&name) {
        return bundled::open(name, part, input);
    }
    let path = Path::new(name);
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            if idx::is_folder(path) {
                idx::open_folder(path, part, input)
            } else {
                folder::open(path, data, input)
            }
        }
        Ok(_) => idx::open_file(path, part, input),
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

#[cfg(test)]
mod tests;
