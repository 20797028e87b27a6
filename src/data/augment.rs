//! How training images are varied, so that a network does not learn them by heart (Krizhevsky 2012, 4.1).
//!
//! Owns: what is drawn for an image, a pure function of seed, step and the image's place in the batch, so that a resumed
//! training goes on with the same images to the bit; and what becomes of its pixels. Knows nothing of files; a crop is cut
//! where the picture is still whole.
//!
//! The stream of [`Purpose::Augment`] with the place as its object and the training step as its step gives an image
//!
//! | word | draws | from |
//! |---|---|---|
//! | 0, 1 | the crop's first row and column | all places where it fits |
//! | 2 | mirrored left to right | highest bit 1: yes |
//! | 3, 4 | the shift downwards and to the right | `-shift ..= shift` |
//! | 5 | the factor of brightness | `1 - brightness + word / 2^32 * 2 * brightness` |
//!
//! A word `w` picks number `floor(w * n / 2^32)` of `n`. Words have their places whatever else is varied, so that switching
//! one variation on leaves the others as they were. They are applied in the order of the table, to 8-bit pixels: what a shift
//! moves in repeats the edge, brightness rounds and stops at 0 and 255.

use crate::config::Data;
use crate::op::shape::Shape;
use crate::random::{Purpose, Stream};

/// What is varied, and how far.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    seed: u64,
    crop: bool,
    flip: bool,
    shift: usize,
    brightness: f64,
}

/// What was drawn for one image. The default varies nothing and cuts out the centre.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draw {
    /// Words that pick the crop's first row and column.
    pub crop: Option<[u32; 2]>,
    /// Mirrored left to right.
    pub flip: bool,
    /// Pixels downwards and to the right.
    pub shift: [isize; 2],
    /// The factor of brightness.
    pub brightness: Option<f64>,
}

/// One of `count` numbers from 0, by a random word.
pub(super) fn pick(word: u32, count: usize) -> usize {
    ((u128::from(word) * count as u128) >> 32) as usize
}

impl Augmentation {
    /// What the configuration asks for. Crops are random where `data.crop` is given; where pictures are merely fitted to
    /// the input, nothing is cut away at random.
    pub fn of(data: &Data, seed: u64) -> Self {
        Self {
            seed,
            crop: data.crop.is_some(),
            flip: data.augment.flip,
            shift: data.augment.shift,
            brightness: data.augment.brightness,
        }
    }

    /// What is drawn for the image at a place of a step's batch.
    pub fn draw(&self, step: u64, place: usize) -> Draw {
        let stream = Stream::new(self.seed, Purpose::Augment, place as u32, step as u32);
        let shift = |index| {
            let drawn = pick(stream.word(index), 2 * self.shift + 1);
            drawn as isize - self.shift as isize
        };
        let factor = || {
            let share = f64::from(stream.word(5)) / f64::from(1u32 << 31) * self.brightness;
            1.0 - self.brightness + share
        };
        Draw {
            crop: self.crop.then(|| [stream.word(0), stream.word(1)]),
            flip: self.flip && stream.word(2) >> 31 == 1,
            shift: [shift(3), shift(4)],
            brightness: (self.brightness > 0.0).then(factor),
        }
    }
}

impl Draw {
    /// Varies an image's pixels, `[channels, height, width]`; the crop is already cut. `spare` is room for a copy.
    pub fn apply(&self, shape: Shape, pixels: &mut [u8], spare: &mut Vec<u8>) {
        if self.flip || self.shift != [0, 0] {
            spare.clear();
            spare.extend_from_slice(pixels);
            self.moved(shape, spare, pixels);
        }
        if let Some(factor) = self.brightness {
            let table: [u8; 256] =
                std::array::from_fn(|value| (value as f64 * factor).round() as u8);
            for pixel in pixels {
                *pixel = table[usize::from(*pixel)];
            }
        }
    }

    /// Mirrors, then shifts.
    fn moved(&self, shape: Shape, src: &[u8], dst: &mut [u8]) {
        let [_, height, width] = shape.dimensions();
        let from = |at: usize, shift: isize, len: usize| {
            (at as isize)
                .saturating_sub(shift)
                .clamp(0, len as isize - 1) as usize
        };
        let column = |x: usize| {
            let x = from(x, self.shift[1], width);
            if self.flip { width - 1 - x } else { x }
        };
        let columns: Vec<usize> = (0..width).map(column).collect();
        let plane = height * width;
        for (dst, src) in dst.chunks_exact_mut(plane).zip(src.chunks_exact(plane)) {
            for (y, row) in dst.chunks_exact_mut(width).enumerate() {
                let src = &src[from(y, self.shift[0], height) * width..][..width];
                for (pixel, &x) in row.iter_mut().zip(&columns) {
                    *pixel = src[x];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Augment;

    fn augmentation(flip: bool, shift: usize, brightness: f64) -> Augmentation {
        let augment = Augment {
            flip,
            shift,
            brightness,
        };
        let data = Data {
            augment,
            ..Data::default()
        };
        Augmentation::of(&data, 7)
    }

    fn applied(draw: &Draw, shape: Shape, pixels: &[u8]) -> Vec<u8> {
        let mut pixels = pixels.to_vec();
        draw.apply(shape, &mut pixels, &mut Vec::new());
        pixels
    }

    #[test]
    fn nothing_asked_for_is_nothing_drawn() {
        assert_eq!(augmentation(false, 0, 0.0).draw(3, 5), Draw::default());
    }

    #[test]
    fn draws_follow_seed_step_and_place() {
        let all = Augmentation {
            crop: true,
            ..augmentation(true, 4, 0.5)
        };
        assert_eq!(all.draw(3, 5), all.draw(3, 5));
        assert_ne!(all.draw(3, 5), all.draw(4, 5));
        assert_ne!(all.draw(3, 5), all.draw(3, 6));
        assert_ne!(
            all.draw(3, 5),
            Augmentation {
                seed: 8,
                ..all.clone()
            }
            .draw(3, 5)
        );
        // One variation alone draws what it draws beside the others.
        assert_eq!(
            augmentation(false, 4, 0.0).draw(3, 5).shift,
            all.draw(3, 5).shift
        );
        let stream = Stream::new(7, Purpose::Augment, 5, 3);
        assert_eq!(all.draw(3, 5).crop, Some([stream.word(0), stream.word(1)]));
    }

    #[test]
    fn draws_are_spread_evenly() {
        let all = augmentation(true, 2, 0.25);
        let draws: Vec<Draw> = (0..4000)
            .map(|i| all.draw(i / 100, i as usize % 100))
            .collect();
        let flipped = draws.iter().filter(|draw| draw.flip).count();
        assert!((1850..2150).contains(&flipped), "{flipped}");
        for axis in [0, 1] {
            for shift in -2..=2 {
                let count = draws
                    .iter()
                    .filter(|draw| draw.shift[axis] == shift)
                    .count();
                assert!((700..900).contains(&count), "{shift}: {count}");
            }
        }
        let factors: Vec<f64> = draws.iter().filter_map(|draw| draw.brightness).collect();
        assert!(factors.iter().all(|factor| (0.75..=1.25).contains(factor)));
        let mean = factors.iter().sum::<f64>() / 4000.0;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        let mut places = [0; 30];
        for word in 0..3000u32 {
            places[pick(word.wrapping_mul(1_431_655), 30)] += 1;
        }
        assert!(
            places.iter().all(|count| (80..120).contains(count)),
            "{places:?}"
        );
        assert_eq!((pick(0, 30), pick(u32::MAX, 30)), (0, 29));
    }

    #[test]
    fn a_shift_repeats_the_edge_and_a_flip_mirrors() {
        let shape = Shape::image(2, 2, 3);
        let pixels = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16];
        let shifted = |shift, flip| {
            let draw = Draw {
                flip,
                shift,
                ..Draw::default()
            };
            applied(&draw, shape, &pixels)
        };
        assert_eq!(shifted([0, 0], true)[..6], [3, 2, 1, 6, 5, 4]);
        assert_eq!(shifted([0, 0], true)[6..], [13, 12, 11, 16, 15, 14]);
        assert_eq!(shifted([1, 0], false)[..6], [1, 2, 3, 1, 2, 3]);
        assert_eq!(shifted([0, 1], false)[..6], [1, 1, 2, 4, 4, 5]);
        assert_eq!(shifted([0, -2], false)[..6], [3, 3, 3, 6, 6, 6]);
        assert_eq!(
            shifted([-9, 9], false)[6..],
            [14; 6],
            "larger than the image"
        );
        assert_eq!(
            shifted([0, 1], true)[..3],
            [3, 3, 2],
            "mirrored, then shifted"
        );
    }

    #[test]
    fn brightness_rounds_and_stops_at_the_ends() {
        let bright = |factor| {
            let draw = Draw {
                brightness: Some(factor),
                ..Draw::default()
            };
            applied(&draw, Shape::image(1, 1, 4), &[0, 3, 100, 250])
        };
        assert_eq!(bright(1.5), [0, 5, 150, 255]);
        assert_eq!(bright(0.5), [0, 2, 50, 125]);
        assert_eq!(bright(1.0), [0, 3, 100, 250]);
        assert_eq!(bright(0.0), [0; 4]);
    }
}
