//! How many cells windows read: with padding counted, exactly.

use super::super::shape::{Shape, Window};

/// The pairs of a window and a cell inside the image that it reads, along one axis: over all windows.
fn reads(input: usize, output: usize, size: usize, stride: usize, pad: usize) -> f64 {
    let read = |o: usize| {
        let start = o * stride;
        (start + size)
            .min(input + pad)
            .saturating_sub(start.max(pad))
    };
    // Windows away from both edges read all of their cells.
    let first = pad.div_ceil(stride).min(output);
    let last = if input + pad >= size {
        ((input + pad - size) / stride + 1).clamp(first, output)
    } else {
        first
    };
    let edges: usize = (0..first).chain(last..output).map(read).sum();
    (edges + (last - first) * size) as f64
}

/// The pairs of a window and a cell inside the image, of one channel.
pub fn cells(window: &Window, input: Shape, output: Shape) -> f64 {
    let ([_, h, w], [_, oh, ow]) = (input.dimensions(), output.dimensions());
    reads(
        h,
        oh,
        window.size.height,
        window.stride.height,
        window.pad.height,
    ) * reads(
        w,
        ow,
        window.size.width,
        window.stride.width,
        window.pad.width,
    )
}

/// Pixels of a map.
pub fn area(shape: Shape) -> f64 {
    let [_, height, width] = shape.dimensions();
    height as f64 * width as f64
}

/// The stride of both axes as one number.
pub fn stride(window: &Window) -> f64 {
    (window.stride.height as f64 * window.stride.width as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::super::shape::Size;
    use super::*;

    #[test]
    fn cells_in_the_padding_are_not_counted() {
        for (size, step, pad, ceil) in [
            (3, 1, 1, false),
            (5, 2, 2, false),
            (3, 2, 1, true),
            (2, 2, 0, false),
            (11, 4, 5, false),
        ] {
            let window = Window {
                size: Size::square(size),
                stride: Size::square(step),
                pad: Size::square(pad),
                ceil,
            };
            for side in [7, 8, 12] {
                let (oh, ow) = window.output(side, side + 1).unwrap();
                let count = |o: usize, side: usize| {
                    (0..size)
                        .filter(|k| (pad..side + pad).contains(&(o * step + k)))
                        .count()
                };
                let slow: usize = (0..oh).map(|o| count(o, side)).sum::<usize>()
                    * (0..ow).map(|o| count(o, side + 1)).sum::<usize>();
                let fast = cells(
                    &window,
                    Shape::image(1, side, side + 1),
                    Shape::image(1, oh, ow),
                );
                assert!(
                    (fast - slow as f64).abs() < 0.5,
                    "{window:?} on {side}: {fast} for {slow}"
                );
            }
        }
    }
}
