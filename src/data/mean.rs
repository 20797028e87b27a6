//! The mean that is subtracted from images, and the step from pixels to the network's numbers.
//!
//! Owns: [`Mean`], computed exactly (sums of 8-bit pixels are whole numbers, so no order of summing changes them) and kept
//! as `f64` in a run's file too: training, a resumed training, `eval` and `predict` subtract the same bits. Knows nothing
//! of batches or of where images come from.

use std::collections::HashMap;

use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensors};

use crate::config::{MeanOf, Scale};
use crate::diagnostic::{Code, Diagnostic};
use crate::op::real::Real;
use crate::op::shape::Shape;

/// The tensor's name in a run's file.
const NAME: &str = "mean";

/// How many images of which size, among the metadata of a run's file: `2000 of 28x28`, or the number alone.
const IMAGES: &str = "images";

/// What a mean is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The shape of what the network sees.
    pub shape: Shape,
    /// How many images.
    pub images: usize,
    /// The height and width of what is stored, where that is the same for all.
    pub stored: Option<(usize, usize)>,
}

impl Origin {
    fn words(&self) -> String {
        match self.stored {
            Some((height, width)) => format!("{} of {height}x{width}", self.images),
            None => self.images.to_string(),
        }
    }

    /// What a run's file says: how many images, and of which size they are stored.
    pub fn read(about: &Metadata) -> Option<(u64, Option<(usize, usize)>)> {
        let words = about.metadata().as_ref()?.get(IMAGES)?;
        let Some((images, size)) = words.split_once(" of ") else {
            return Some((words.parse().ok()?, None));
        };
        let (height, width) = size.split_once('x')?;
        let stored = (height.parse().ok()?, width.parse().ok()?);
        Some((images.parse().ok()?, Some(stored)))
    }
}

/// What is subtracted from 8-bit pixels, in their units (0 to 255).
#[derive(Clone, Debug, PartialEq)]
pub enum Mean {
    /// The mean image, `[channels, height, width]`.
    Pixel(Vec<f64>),
    /// One value a channel, `[channels]`.
    Channel(Vec<f64>),
    /// Nothing.
    None,
}

impl Mean {
    /// The mean of `count` images of a shape, from the sum of each of their pixels.
    pub(super) fn of_sums(of: MeanOf, sums: &[u64], count: usize, shape: Shape) -> Self {
        let plane = plane(shape);
        match of {
            MeanOf::Pixel => Self::Pixel(divided(sums, count)),
            MeanOf::Channel => {
                let sums: Vec<u64> = sums.chunks(plane).map(|sums| sums.iter().sum()).collect();
                Self::Channel(divided(&sums, count * plane))
            }
            MeanOf::None => Self::None,
        }
    }

    /// Turns one image's pixels into the network's numbers: less the mean, then divided by 255 where `scale` says so;
    /// computed in f64, rounded once.
    pub fn apply<T: Real>(&self, scale: Scale, pixels: &[u8], out: &mut [T]) {
        let divisor = match scale {
            Scale::Unit => 255.0,
            Scale::None => 1.0,
        };
        let number = |pixel: u8, mean: f64| T::of((f64::from(pixel) - mean) / divisor);
        match self {
            Self::Pixel(means) => {
                assert_eq!(
                    means.len(),
                    pixels.len(),
                    "internal error: a mean image of another size"
                );
                for ((out, &pixel), &mean) in out.iter_mut().zip(pixels).zip(means) {
                    *out = number(pixel, mean);
                }
            }
            Self::Channel(means) => {
                let plane = pixels.len() / means.len();
                for ((out, pixels), &mean) in
                    out.chunks_mut(plane).zip(pixels.chunks(plane)).zip(means)
                {
                    for (out, &pixel) in out.iter_mut().zip(pixels) {
                        *out = number(pixel, mean);
                    }
                }
            }
            Self::None => {
                for (out, &pixel) in out.iter_mut().zip(pixels) {
                    *out = number(pixel, 0.0);
                }
            }
        }
    }

    /// The bytes of a run's file: safetensors with the tensor `mean`, f64, `[channels, height, width]`, a channel mean as
    /// `[channels, 1, 1]`, no tensor where nothing is subtracted; and as metadata of which images it is the mean. Equal
    /// means give equal bytes.
    pub fn save(&self, of: &Origin) -> Vec<u8> {
        let [channels, height, width] = of.shape.dimensions();
        let (values, shape) = match self {
            Self::Pixel(values) => (values.as_slice(), vec![channels, height, width]),
            Self::Channel(values) => (values.as_slice(), vec![channels, 1, 1]),
            Self::None => (&[][..], Vec::new()),
        };
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let view = |bytes| {
            TensorView::new(Dtype::F64, shape, bytes)
                .expect("internal error: a mean of another shape")
        };
        let tensors = if values.is_empty() {
            None
        } else {
            Some((NAME, view(&bytes)))
        };
        let about = HashMap::from([(IMAGES.to_owned(), of.words())]);
        safetensors::serialize(tensors, Some(about))
            .expect("internal error: a mean that cannot be written")
    }

    /// Reads [`Mean::save`]'s bytes for images of `shape`; `file` is what messages call them.
    ///
    /// # Errors
    /// E0601 not such a file, E0602 a mean of images of another shape.
    pub fn load(bytes: &[u8], shape: Shape, file: &str) -> Result<Self, Diagnostic> {
        let damaged = |words: &str| {
            Diagnostic::error(Code::E0601, format!("`{file}` holds no mean: {words}"))
        };
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|error| damaged(&error.to_string()))?;
        if tensors.is_empty() {
            return Ok(Self::None);
        }
        let tensor = tensors
            .tensor(NAME)
            .map_err(|error| damaged(&error.to_string()))?;
        if tensor.dtype() != Dtype::F64 {
            return Err(damaged(&format!(
                "its numbers are {:?}, expected F64",
                tensor.dtype()
            )));
        }
        let (numbers, _) = tensor.data().as_chunks();
        let values: Vec<f64> = numbers
            .iter()
            .map(|&bytes| f64::from_le_bytes(bytes))
            .collect();
        let [channels, height, width] = shape.dimensions();
        match *tensor.shape() {
            [c, 1, 1] if c == channels => Ok(Self::Channel(values)),
            [c, h, w] if (c, h, w) == (channels, height, width) => Ok(Self::Pixel(values)),
            ref found => {
                let found = found
                    .iter()
                    .map(usize::to_string)
                    .collect::<Vec<_>>()
                    .join("x");
                Err(Diagnostic::error(
                    Code::E0602,
                    format!("`{file}` is a mean of {found}, but images are {shape}"),
                ))
            }
        }
    }
}

/// Pixels of one channel.
fn plane(shape: Shape) -> usize {
    let [_, height, width] = shape.dimensions();
    height * width
}

/// The mean image of some images of `size` pixels, all zeros where there are none.
pub fn of_images<'a>(images: impl IntoIterator<Item = &'a [u8]>, size: usize) -> Vec<f64> {
    let mut sums = vec![0; size];
    let mut count = 0;
    for image in images {
        add(&mut sums, image);
        count += 1;
    }
    divided(&sums, count.max(1))
}

fn divided(sums: &[u64], count: usize) -> Vec<f64> {
    sums.iter().map(|&sum| sum as f64 / count as f64).collect()
}

/// Adds an image to the sum of each pixel. 2^56 images would fit.
pub(super) fn add(sums: &mut [u64], pixels: &[u8]) {
    for (sum, &pixel) in sums.iter_mut().zip(pixels) {
        *sum += u64::from(pixel);
    }
}
