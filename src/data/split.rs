//! Training images that are held back, to validate on.
//!
//! Owns: [`Dataset::split`]. Which images are held back follows from the seed and the labels alone.

use rand::seq::SliceRandom;

use super::Dataset;
use crate::diagnostic::{Code, Diagnostic};
use crate::random::{Purpose, Stream};

impl Dataset {
    /// So many images of the set, evenly over the classes, the first of each; all where there are no more.
    ///
    /// # Errors
    /// E0505 where none is asked for.
    pub fn evenly(&self, count: usize) -> Result<Self, Diagnostic> {
        if count == 0 {
            return Err(Diagnostic::error(Code::E0505, "0 images are no data set")
                .help("ask for at least one image"));
        }
        let mut ranks = vec![0u32; self.classes().len()];
        let rank = |&label: &u32| {
            ranks[label as usize] += 1;
            ranks[label as usize]
        };
        let mut all: Vec<(u32, u32)> = self.labels().iter().map(rank).zip(0..).collect();
        all.sort_unstable();
        let mut chosen: Vec<u32> = all
            .into_iter()
            .take(count)
            .map(|(_, index)| index)
            .collect();
        chosen.sort_unstable();
        Ok(self.only(&chosen))
    }

    /// The set in two parts that share its images: the rest, and what is held back of it, evenly over the classes. A class of
    /// `n` images gives `round(share * n)`, at least one where it has two; one that has a single image keeps it. Each class
    /// is shuffled by a stream of [`Purpose::Split`], and gives its first. Both parts keep the order of the set.
    ///
    /// Split before [`Dataset::survey`] or [`Dataset::leave_out`], and call these for each part: then a resumed training
    /// holds back the same images, and the mean is that of the images learned from.
    ///
    /// # Errors
    /// E0505 where a class would be left without images, or nothing would be held back.
    pub fn split(&self, share: f64, seed: u64) -> Result<(Self, Self), Diagnostic> {
        let mut members = vec![Vec::new(); self.classes().len()];
        for (index, &label) in self.labels().iter().enumerate() {
            members[label as usize].push(index as u32);
        }
        let mut held = vec![false; self.len()];
        for (class, mut images) in members.into_iter().enumerate() {
            let count = match (share * images.len() as f64).round() as usize {
                0 if share > 0.0 && images.len() > 1 => 1,
                count => count,
            };
            if count > 0 && count >= images.len() {
                let message = format!(
                    "holding back {share} of the training images leaves class `{}` of `{}`, which has {}, without any",
                    self.classes()[class],
                    self.name(),
                    images.len()
                );
                return Err(Diagnostic::error(Code::E0505, message)
                    .help("hold back a smaller share, or add images to the class"));
            }
            images.shuffle(&mut Stream::new(seed, Purpose::Split, class as u32, 0));
            for &index in &images[..count] {
                held[index as usize] = true;
            }
        }
        let part = |which: bool| -> Vec<u32> {
            let all = 0..self.len() as u32;
            all.filter(|&index| held[index as usize] == which).collect()
        };
        let back = part(true);
        if back.is_empty() {
            let message = format!(
                "holding back {share} of `{}` holds back no image",
                self.name()
            );
            return Err(Diagnostic::error(Code::E0505, message)
                .help("add images: a class of two or more gives at least one"));
        }
        Ok((self.only(&part(false)), self.only(&back)))
    }
}
