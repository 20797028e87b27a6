//! Random numbers that can be computed alone: the counter-based generator Philox4x32-10.
//!
//! Owns: the bijection [`philox`], the [`Stream`]s drawn from it, and the list of what they are drawn for. Source:
//! Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"; checked against the known answers
//! of their library Random123. Knows nothing of layers, images or distributions.
//!
//! # Layout
//!
//! Word `i` of a stream, `i` from 0, is word `i % 4` of `philox(counter, key)` with
//!
//! | | word 0 | word 1 | word 2 | word 3 |
//! |---|---|---|---|---|
//! | `key` | seed, low 32 bits | seed, high 32 bits | | |
//! | `counter` | block `b = i / 4`, low 32 bits | purpose `+ (b >> 32) * 256` | object | step |
//!
//! so below 2^34 elements, which is every tensor that a kernel draws for, the counter is `[i / 4, purpose, object, step]`.
//! The kernels draw dropout from exactly this: purpose [`Purpose::Dropout`], object the layer's index, step the training
//! step, `i` the element's index in the batch. What [`Purpose`]s the objects and steps of other streams are stands there.

use rand::TryRng;
use rand::rand_core::Infallible;
use rand::rand_core::utils::{fill_bytes_via_next_word, next_u64_via_u32};

/// Multipliers of the two halves (Salmon 2011, table 2, `M4x32`).
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Weyl steps of the key: the golden ratio and the root of 3 less 1, in 32 bits.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
/// The recommended number of rounds, with a safety margin over the seven that pass Crush.
const ROUNDS: u32 = 10;

/// Philox4x32-10: four random words for each pair of counter and key.
#[inline]
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let (high0, low0) = wide_product(MULTIPLIERS[0], counter[0]);
        let (high1, low1) = wide_product(MULTIPLIERS[1], counter[2]);
        counter = [
            high1 ^ counter[1] ^ key[0],
            low1,
            high0 ^ counter[3] ^ key[1],
            low0,
        ];
    }
    counter
}

/// The high and the low word of a product (`mul_hi` and `*` in OpenCL C).
#[inline]
fn wide_product(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    ((product >> 32) as u32, product as u32)
}

/// What a stream is drawn for: streams of different purposes never meet, whatever their objects and steps. The numbers
/// are part of what a seed means, so they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Purpose {
    /// Initial values; object: the parameter's index, step: 0.
    Init = 1,
    /// Dropout; object: the layer's index, step: the training step. The kernels draw the same words.
    Dropout = 2,
    /// The order of the images of a class; object: the class, step: the cycle through its images.
    Shuffle = 3,
    /// How a training image is varied; object: its place in the batch, step: the training step. Which word is for what
    /// stands in `data::augment`.
    Augment = 4,
    /// The order in which balanced batches go round the classes; object: 0, step: the round.
    Classes = 5,
    /// Which images of a class are held back for validation; object: the class, step: 0.
    Split = 6,
}

/// A stream of random words, each of which can also be had alone: see the layout above.
///
/// As a generator of the crate rand it hands out word 0, 1, 2, … as `u32`; a `u64` is two words, low word first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    purpose: Purpose,
    object: u32,
    step: u32,
    /// Index of the next word.
    next: u64,
    /// The words of the block of `next`, once drawn from it.
    block: [u32; 4],
}

impl Stream {
    /// The stream of `seed` for one purpose, object and step, at its word 0.
    pub fn new(seed: u64, purpose: Purpose, object: u32, step: u32) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            purpose,
            object,
            step,
            next: 0,
            block: [0; 4],
        }
    }

    /// The key, `[seed low, seed high]`, as a kernel takes it.
    pub fn key(&self) -> [u32; 2] {
        self.key
    }

    /// Word `index`, computed alone; where the stream stands does not matter, nor does it move.
    #[inline]
    pub fn word(&self, index: u64) -> u32 {
        self.block(index / 4)[(index % 4) as usize]
    }

    /// The four words `4 * number ..`.
    #[inline]
    pub fn block(&self, number: u64) -> [u32; 4] {
        assert!(
            number < 1 << 56,
            "internal error: a random stream is longer than 2^58 words"
        );
        let purpose = self.purpose as u32 | ((number >> 32) as u32) << 8;
        philox([number as u32, purpose, self.object, self.step], self.key)
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let within = (self.next % 4) as usize;
        if within == 0 {
            self.block = self.block(self.next / 4);
        }
        self.next += 1;
        Ok(self.block[within])
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        next_u64_via_u32(self)
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        fill_bytes_via_next_word(dst, || self.try_next_u32())
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt};

    use super::*;

    #[test]
    fn philox_gives_the_known_answers_of_random123() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn words_lie_where_the_layout_says() {
        let stream = Stream::new(0x0123_4567_89ab_cdef, Purpose::Dropout, 7, 41);
        let key = [0x89ab_cdef, 0x0123_4567];
        assert_eq!(stream.key(), key);
        assert_eq!(stream.word(9), philox([2, 2, 7, 41], key)[1]);
        // Beyond 2^34 words the block number's high bits stand above the purpose.
        assert_eq!(
            stream.word((1 << 34) + 3),
            philox([0, 2 + 256, 7, 41], key)[3]
        );
    }

    #[test]
    fn the_generator_hands_out_the_words_in_order() {
        let mut stream = Stream::new(5, Purpose::Init, 0, 0);
        let alone: Vec<u32> = (0..11).map(|i| stream.word(i)).collect();
        let drawn: Vec<u32> = (0..11).map(|_| stream.next_u32()).collect();
        assert_eq!(drawn, alone);
        assert_eq!(
            stream.word(0),
            alone[0],
            "a word alone does not depend on where the stream stands"
        );

        let mut wide = Stream::new(5, Purpose::Init, 0, 0);
        assert_eq!(
            wide.next_u64(),
            u64::from(alone[0]) | u64::from(alone[1]) << 32
        );
        let mut bytes = [0; 6];
        wide.fill_bytes(&mut bytes);
        assert_eq!(bytes[..4], alone[2].to_le_bytes());
        assert_eq!(bytes[4..], alone[3].to_le_bytes()[..2]);
    }

    #[test]
    fn streams_differ_by_seed_purpose_object_and_step() {
        let streams = [
            Stream::new(1, Purpose::Init, 0, 0),
            Stream::new(2, Purpose::Init, 0, 0),
            Stream::new(1 << 32, Purpose::Init, 0, 0),
            Stream::new(1, Purpose::Dropout, 0, 0),
            Stream::new(1, Purpose::Init, 1, 0),
            Stream::new(1, Purpose::Init, 0, 1),
        ];
        for (i, a) in streams.iter().enumerate() {
            for b in &streams[..i] {
                assert_ne!(a.block(0), b.block(0));
            }
        }
    }

    #[test]
    fn draws_are_uniform() {
        let mut stream = Stream::new(1, Purpose::Augment, 0, 0);
        let mean = (0..10_000).map(|_| stream.random::<f64>()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
