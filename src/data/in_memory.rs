//! Images that are held in memory whole: those of IDX and CIFAR files.
//!
//! Owns: [`Memory`], and what `data.crop` makes of its images. `data.resize` is for pictures, which have many sizes.

use sha2::{Digest, Sha256};

use super::picture::{self, Scratch, place};
use super::{Asked, Images, check_shape};
use crate::diagnostic::Diagnostic;
use crate::op::shape::Shape;

/// Images one after the other, `[channels, height, width]` each.
#[derive(Debug)]
pub(super) struct Memory {
    pub pixels: Vec<u8>,
    /// Of an image as it is held.
    pub held: Shape,
    /// Of what is cut out of it.
    pub shape: Shape,
}

impl Memory {
    fn image(&self, index: usize) -> &[u8] {
        let size = self.held.elements();
        &self.pixels[index * size..][..size]
    }
}

impl Images for Memory {
    fn load(
        &self,
        index: usize,
        crop: Option<[u32; 2]>,
        _scratch: &mut Scratch,
        pixels: &mut [u8],
    ) -> Result<(), Diagnostic> {
        let [_, tall, wide] = self.held.dimensions();
        let [_, height, width] = self.shape.dimensions();
        let (top, left) = place((tall, wide), (height, width), crop);
        let planes = self.image(index).chunks_exact(tall * wide);
        for (plane, out) in planes.zip(pixels.chunks_exact_mut(height * width)) {
            let rows = plane.chunks_exact(wide).skip(top);
            for (row, out) in rows.zip(out.chunks_exact_mut(width)) {
                out.copy_from_slice(&row[left..][..width]);
            }
        }
        Ok(())
    }

    fn stored(&self) -> Option<(usize, usize)> {
        let [_, height, width] = self.held.dimensions();
        Some((height, width))
    }

    fn identify(&self, index: usize, hash: &mut Sha256) -> Result<(), Diagnostic> {
        hash.update(self.image(index));
        Ok(())
    }
}

/// The shape of what is cut out of the images of a set, which are held in another one. Images that are smaller than
/// `data.crop` stay whole, and none are resized: a configuration may serve pictures and these.
///
/// # Errors
/// E0503 where the network's input is of another shape.
pub(super) fn shape(name: &str, held: Shape, asked: Asked<'_>) -> Result<Shape, Diagnostic> {
    let [channels, height, width] = held.dimensions();
    let mut shape = held;
    if let Some(crop) = asked.data.crop
        && crop <= height.min(width)
    {
        if let Some(input) = asked.input {
            picture::check_crop(crop, input)?;
        }
        shape = Shape::image(channels, crop, crop);
    }
    check_shape(name, shape, asked.input)?;
    Ok(shape)
}
