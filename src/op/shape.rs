//! Shapes and windows: the arithmetic that every layer's shape rule uses, checked once, here.

use std::fmt;

/// A tensor may have at most this many elements (E0307).
pub const LARGEST_TENSOR: u64 = 1 << 40;

/// One image's shape at a place in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Channels, height, width.
    Image {
        /// Channels.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A vector, after an `F`.
    Vector(usize),
}

impl Shape {
    /// An image shape.
    pub fn image(channels: usize, height: usize, width: usize) -> Self {
        Self::Image {
            channels,
            height,
            width,
        }
    }

    /// Channels, height and width; a vector is `n x 1 x 1`.
    pub fn dimensions(self) -> [usize; 3] {
        match self {
            Self::Image {
                channels,
                height,
                width,
            } => [channels, height, width],
            Self::Vector(n) => [n, 1, 1],
        }
    }

    /// Channels, or the vector's width.
    pub fn channels(self) -> usize {
        self.dimensions()[0]
    }

    /// Elements of one image.
    pub fn elements(self) -> usize {
        self.dimensions().iter().product()
    }

    /// Elements, where they are no more than a tensor may have (E0307 otherwise).
    pub fn checked_elements(self) -> Option<u64> {
        self.dimensions()
            .iter()
            .try_fold(1u64, |product, &size| product.checked_mul(size as u64))
            .filter(|&elements| elements <= LARGEST_TENSOR)
    }

    /// As JSON shows it: `[96, 55, 55]` or `[1000]`.
    pub fn list(self) -> Vec<usize> {
        match self {
            Self::Image {
                channels,
                height,
                width,
            } => vec![channels, height, width],
            Self::Vector(n) => vec![n],
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image {
                channels,
                height,
                width,
            } => write!(f, "{channels}x{height}x{width}"),
            Self::Vector(n) => write!(f, "{n}"),
        }
    }
}

/// Height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    /// A square.
    pub const fn square(side: usize) -> Self {
        Self {
            height: side,
            width: side,
        }
    }

    /// Cells.
    pub fn area(self) -> usize {
        self.height * self.width
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.height == self.width {
            write!(f, "{}", self.height)
        } else {
            write!(f, "{}x{}", self.height, self.width)
        }
    }
}

/// A sliding window: filter or pooling geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The window itself.
    pub size: Size,
    /// The step between windows.
    pub stride: Size,
    /// Padding on each side.
    pub pad: Size,
    /// Whether windows that overhang the far edge are kept (and cut) instead of dropped.
    pub ceil: bool,
}

impl Window {
    /// Where the windows fall: `floor((H + 2*pad - size) / stride) + 1` rows and columns alike, or `None` where the
    /// window is larger than the padded input. With `ceil` the division rounds up, but a window that would start in
    /// the far padding is dropped (PyTorch's and Caffe's rule).
    pub fn output(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let axis = |input: usize, size: usize, stride: usize, pad: usize| {
            let room = (input + 2 * pad).checked_sub(size)?;
            let mut count = room / stride + 1;
            if self.ceil && room % stride != 0 && count * stride < input + pad {
                count += 1;
            }
            Some(count)
        };
        Some((
            axis(
                height,
                self.size.height,
                self.stride.height,
                self.pad.height,
            )?,
            axis(width, self.size.width, self.stride.width, self.pad.width)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(size: usize, stride: usize, pad: usize, ceil: bool) -> Window {
        Window {
            size: Size::square(size),
            stride: Size::square(stride),
            pad: Size::square(pad),
            ceil,
        }
    }

    #[test]
    fn windows_drop_or_keep_what_does_not_fit() {
        assert_eq!(window(11, 4, 0, false).output(227, 227), Some((55, 55)));
        assert_eq!(window(3, 2, 0, false).output(56, 55), Some((27, 27)));
        assert_eq!(window(3, 2, 0, true).output(56, 55), Some((28, 27)));
        // torch.nn.MaxPool2d(2, 2, padding=1, ceil_mode=True) on 4: a fourth window would start in the padding.
        assert_eq!(window(2, 2, 1, true).output(4, 4), Some((3, 3)));
        assert_eq!(window(5, 1, 1, false).output(2, 9), None);
    }

    #[test]
    fn products_that_are_too_large_are_refused() {
        assert_eq!(
            Shape::image(1 << 20, 1 << 20, 1).checked_elements(),
            Some(LARGEST_TENSOR)
        );
        assert_eq!(Shape::image(1 << 20, 1 << 20, 2).checked_elements(), None);
        assert_eq!(
            Shape::image(usize::MAX, usize::MAX, usize::MAX).checked_elements(),
            None
        );
    }
}
