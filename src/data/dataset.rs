//! What sets of all forms have in common: labels, classes, and one image by its index.
//!
//! Owns: [`Dataset`], the meaning of labels beside another set's ([`Dataset::align`]), which of the stored images belong
//! to the set, and what identifies it. Knows nothing of files but their names.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::augment::Draw;
use super::in_memory::Memory;
use super::mean::Origin;
use super::picture::Scratch;
use super::{Images, Naming};
use crate::diagnostic::nearest::nearest;
use crate::diagnostic::{Code, Diagnostic};
use crate::file::hex;
use crate::op::shape::Shape;

/// Labelled images of one shape. A copy shares the images.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub(super) name: String,
    pub(super) classes: Vec<String>,
    pub(super) naming: Naming,
    pub(super) labels: Arc<[u32]>,
    pub(super) shape: Shape,
    pub(super) images: Arc<dyn Images>,
    /// Which of the stored images these are, where they are not all of them.
    pub(super) chosen: Option<Arc<[u32]>>,
    /// Whether images that cannot be read are left out.
    pub(super) skips: bool,
    /// Whether a training has begun with these images.
    pub(super) begun: bool,
    pub(super) broken: Vec<Diagnostic>,
    pub(super) broken_files: Vec<String>,
}

const SAME_CLASSES: &str = "train and test on sets with the same classes";

impl Dataset {
    /// A set over stored images, all of them.
    pub(super) fn new(
        name: &str,
        classes: Vec<String>,
        naming: Naming,
        labels: Vec<u32>,
        shape: Shape,
        images: Arc<dyn Images>,
    ) -> Self {
        Self {
            name: name.into(),
            classes,
            naming,
            labels: labels.into(),
            shape,
            images,
            chosen: None,
            skips: false,
            begun: false,
            broken: Vec::new(),
            broken_files: Vec::new(),
        }
    }

    /// A set whose decoded images lie one after the other.
    pub(super) fn in_memory(
        name: &str,
        classes: Vec<String>,
        naming: Naming,
        labels: Vec<u32>,
        images: Memory,
    ) -> Self {
        let shape = images.shape;
        Self::new(name, classes, naming, labels, shape, Arc::new(images))
    }

    /// The same set with labels that mean a class in another way.
    pub(super) fn named(self, naming: Naming) -> Self {
        Self { naming, ..self }
    }

    /// Whether labels are numbers without names.
    pub(super) fn is_numbered(&self) -> bool {
        self.naming == Naming::Number
    }

    /// Where an image is stored.
    pub(super) fn place(&self, index: usize) -> usize {
        let chosen = self.chosen.as_ref();
        chosen.map_or(index, |chosen| chosen[index] as usize)
    }

    /// These of the set's images alone.
    pub(super) fn only(&self, kept: &[u32]) -> Self {
        let labels = kept.iter().map(|&index| self.labels[index as usize]);
        let chosen = kept.iter().map(|&index| self.place(index as usize) as u32);
        Self {
            labels: labels.collect(),
            chosen: Some(chosen.collect()),
            ..self.clone()
        }
    }

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

    /// What a mean of its images is of.
    pub fn origin(&self) -> Origin {
        Origin {
            shape: self.shape,
            images: self.len(),
            stored: self.images.stored(),
        }
    }

    /// The label of each image, each below the number of classes.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The images that were left out because they cannot be read (`data.broken = "skip"`), each with its reason, in the
    /// order of files. Empty before [`Dataset::survey`] or [`Dataset::check`].
    pub fn broken(&self) -> &[Diagnostic] {
        &self.broken
    }

    /// Their files, relative to the set's folder, as [`Dataset::leave_out`] takes them.
    pub fn broken_files(&self) -> &[String] {
        &self.broken_files
    }

    /// From now on the images are those of a training: one that can no longer be read has to be put back, for it can neither
    /// be removed nor be left out any more.
    pub fn begin(&mut self) {
        self.begun = true;
    }

    /// Writes image `index` as 8-bit pixels `[channels, height, width]`. May be called from many threads at once.
    ///
    /// # Errors
    /// E0501, E0502 or E0901 a file that cannot be read, E0503 a picture that does not fit.
    pub fn load(&self, index: usize, pixels: &mut [u8]) -> Result<(), Diagnostic> {
        self.load_varied(index, &Draw::default(), &mut Scratch::default(), pixels)
    }

    /// [`Dataset::load`], the image varied as drawn.
    ///
    /// # Errors
    /// Those of [`Dataset::load`].
    pub fn load_varied(
        &self,
        index: usize,
        draw: &Draw,
        scratch: &mut Scratch,
        pixels: &mut [u8],
    ) -> Result<(), Diagnostic> {
        assert_eq!(
            pixels.len(),
            self.shape.elements(),
            "internal error: a buffer that does not hold one image"
        );
        let place = self.place(index);
        self.images.load(place, draw.crop, scratch, pixels)?;
        draw.apply(self.shape, pixels, &mut scratch.spare);
        Ok(())
    }

    /// SHA-256, as hexadecimal digits, of what makes the set: the number of its images, their shape, the classes' names,
    /// the labels, and of a folder the names and sizes of the files, of other sets the pixels. A run keeps it, so that its
    /// continuation can tell whether the images are those that it was trained on.
    ///
    /// # Errors
    /// E0501 or E0901 a file that is not there or tells nothing.
    pub fn fingerprint(&self) -> Result<String, Diagnostic> {
        let mut hash = Sha256::new();
        let mut words = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        words(&format!("{} images of {}", self.len(), self.shape));
        self.classes.iter().for_each(|class| words(class));
        for (index, label) in self.labels.iter().enumerate() {
            hash.update(label.to_le_bytes());
            self.images.identify(self.place(index), &mut hash)?;
        }
        Ok(hex(&hash.finalize()))
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
            self.labels = self.labels.iter().map(|&l| labels[l as usize]).collect();
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
