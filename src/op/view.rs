//! How a tensor lies in its buffer.
//!
//! Images are stored `[batch, height, width, channels]`, channels fastest, with a halo of zero columns beside each row
//! where a consumer wants one: convolutions then need no bounds checks along a row (rows above and below the image
//! they skip, which also saves the products). The columns right of one row are those left of the next. Vectors are
//! rows. They, and images without a halo, are padded by 16 numbers where they would otherwise start a multiple of 4 KiB
//! apart (which costs a CPU its cache).

use super::emit::Kernel;
use super::shape::Shape;

/// A tensor's place in a buffer, in elements. Element `(n, c, y, x)` is at
/// `origin + n * image + y * row + x * pixel + c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// What lies there.
    pub shape: Shape,
    /// Images of the batch.
    pub batch: usize,
    /// Where image 0's pixel (0, 0) starts, after the halo.
    pub origin: usize,
    /// From one image to the next.
    pub image: usize,
    /// From one row to the next.
    pub row: usize,
    /// From one pixel to the next.
    pub pixel: usize,
    /// Columns of zeros left and right of every row.
    pub halo: usize,
}

impl View {
    /// The view of a tensor alone in its buffer, with `halo` columns of zeros on each side.
    pub fn packed(shape: Shape, batch: usize, halo: usize) -> Self {
        let [channels, height, width] = shape.dimensions();
        let pixel = channels;
        let row = pixel * (width + halo);
        let mut image = row * height + halo * pixel;
        if halo == 0 && image.is_multiple_of(1024) {
            image += 16;
        }
        Self {
            shape,
            batch,
            origin: halo * pixel,
            image,
            row,
            pixel,
            halo,
        }
    }

    /// The channels from `first` on, as many as `shape` has.
    #[must_use]
    pub fn part(&self, first: usize, shape: Shape) -> Self {
        Self {
            shape,
            origin: self.origin + first,
            ..*self
        }
    }

    /// Elements of the buffer that holds it.
    pub fn elements(&self) -> usize {
        self.image * self.batch
    }

    /// Whether one image's elements follow each other without a gap.
    pub fn is_dense(&self) -> bool {
        let [channels, height, width] = self.shape.dimensions();
        height * width == 1
            || self.pixel == channels && (height == 1 || self.row == width * channels)
    }

    /// Where an element lies.
    #[inline]
    pub fn at(&self, n: usize, c: usize, y: usize, x: usize) -> usize {
        self.origin + n * self.image + y * self.row + x * self.pixel + c
    }

    /// Defines `<PREFIX>_O`, `_N`, `_H`, `_W`: origin and strides, for a kernel's index arithmetic.
    pub fn define(&self, kernel: Kernel, names: [&'static str; 4]) -> Kernel {
        kernel
            .define(names[0], self.origin)
            .define(names[1], self.image)
            .define(names[2], self.row)
            .define(names[3], self.pixel)
    }

    /// Origin and strides, in the order of [`Self::define`], for kernels that take them as arguments.
    pub fn places(&self) -> [usize; 4] {
        [self.origin, self.image, self.row, self.pixel]
    }

    /// Copies logical values, `[batch, channels, height, width]` in C order, into the physical buffer.
    pub fn scatter<T: Copy>(&self, logical: &[T], physical: &mut [T]) {
        self.for_each(|from, to| physical[to] = logical[from]);
    }

    /// Copies the physical buffer's values out in logical order, `[batch, channels, height, width]`.
    pub fn gather<T: Copy + Default>(&self, physical: &[T]) -> Vec<T> {
        let mut logical = vec![T::default(); self.batch * self.shape.elements()];
        self.for_each(|from, to| logical[from] = physical[to]);
        logical
    }

    /// Calls `f(logical index, physical index)` for each element.
    fn for_each(&self, mut f: impl FnMut(usize, usize)) {
        let [channels, height, width] = self.shape.dimensions();
        let mut logical = 0;
        for n in 0..self.batch {
            for c in 0..channels {
                for y in 0..height {
                    for x in 0..width {
                        f(logical, self.at(n, c, y, x));
                        logical += 1;
                    }
                }
            }
        }
    }
}

/// The defines' names of a call's source view.
pub const SRC: [&str; 4] = ["SRC_O", "SRC_N", "SRC_H", "SRC_W"];
/// The defines' names of a call's destination view.
pub const DST: [&str; 4] = ["DST_O", "DST_N", "DST_H", "DST_W"];
/// The defines' names of the source gradient's view.
pub const D_SRC: [&str; 4] = ["D_SRC_O", "D_SRC_N", "D_SRC_H", "D_SRC_W"];
/// The defines' names of the destination gradient's view.
pub const D_DST: [&str; 4] = ["D_DST_O", "D_DST_N", "D_DST_H", "D_DST_W"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scatter_and_gather_are_inverse_and_leave_the_halo_alone() {
        let view = View::packed(Shape::image(2, 3, 4), 2, 2);
        let logical: Vec<i32> = (1..=48).collect();
        let mut physical = vec![0; view.elements()];
        view.scatter(&logical, &mut physical);
        assert_eq!(view.gather(&physical), logical);
        assert_eq!(physical.iter().filter(|&&v| v != 0).count(), 48);
        assert_eq!(physical[..view.origin].iter().sum::<i32>(), 0);
    }
}
