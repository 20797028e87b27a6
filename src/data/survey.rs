//! The one look at all images before the first step.
//!
//! Owns: the mean over a set, which images are broken and what follows from it, and going through a set by several threads
//! so that the result does not depend on them: sums are whole numbers, and of several faults the first in the order of
//! files is the one that is told. Nothing of the set but what its cache has room for is kept.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::augment::Draw;
use super::mean::{self, Mean};
use super::picture::Scratch;
use super::{Dataset, loader};
use crate::config::{Data, MeanOf};
use crate::diagnostic::{Code, Diagnostic};

/// Images that a thread takes at once.
const TAKEN: usize = 16;

/// Broken images that a diagnostic lists; there may be a million.
const LISTED: usize = 20;

/// The diagnostic with a note for each of the first broken images, and how many more there are.
fn listing(about: Diagnostic, broken: &[&Diagnostic]) -> Diagnostic {
    let listed = broken.iter().take(LISTED);
    let about = listed.fold(about, |about, one| about.note(&one.message));
    match broken.len().saturating_sub(LISTED) {
        0 => about,
        more => about.note(format!("and {more} more")),
    }
}

/// How images are looked at.
pub struct Survey<'a> {
    /// Threads, 0 for as many as there are cores.
    pub workers: usize,
    /// Told, from any thread, how many images were looked at.
    pub seen: &'a (dyn Fn(usize) + Sync),
}

impl Survey<'_> {
    /// By as many threads as the configuration says, and told to nobody.
    pub fn of(data: &Data) -> Self {
        Self {
            workers: data.workers,
            seen: &|_| (),
        }
    }
}

/// An image that cannot be read, by its index.
type Fault = (usize, Diagnostic);

/// One thread's part of a look.
struct Look {
    sums: Vec<u64>,
    pixels: Vec<u8>,
    scratch: Scratch,
}

impl Dataset {
    /// Looks at every image of a training set once, before the order of the images is made: computes the mean, fills the
    /// cache, and finds broken pictures, which stop the command or are left out (`data.broken`). Where no mean is asked for
    /// and none may be left out they are not decoded, as in [`Dataset::check`].
    ///
    /// # Errors
    /// E0501, E0502, E0503 or E0901 for the first image in the order of files that stops the command; E0505 a class whose
    /// every picture is broken.
    pub fn survey(&mut self, of: MeanOf, survey: &Survey<'_>) -> Result<Mean, Diagnostic> {
        if of == MeanOf::None && !self.skips {
            return self.check(survey).map(|()| Mean::None);
        }
        let size = self.shape.elements();
        let start = || Look {
            sums: vec![0; if of == MeanOf::None { 0 } else { size }],
            pixels: vec![0; size],
            scratch: Scratch::default(),
        };
        let (looks, broken) = self.walk(survey, start, |look, index| {
            self.load_varied(index, &Draw::default(), &mut look.scratch, &mut look.pixels)?;
            mean::add(&mut look.sums, &look.pixels);
            Ok(())
        })?;
        self.without(broken)?;
        let mut sums = vec![0; size];
        for look in looks {
            for (sum, more) in sums.iter_mut().zip(look.sums) {
                *sum += more;
            }
        }
        Ok(Mean::of_sums(of, &sums, self.len(), self.shape))
    }

    /// Looks at every picture of a test set once, so that a broken one is found before the first step: decoded where broken
    /// ones are left out, otherwise as far as its header and its end. Sets in memory were looked at as they
    /// were opened.
    ///
    /// # Errors
    /// Those of [`Dataset::survey`].
    pub fn check(&mut self, survey: &Survey<'_>) -> Result<(), Diagnostic> {
        if self.images.file(0).is_none() {
            return Ok(());
        }
        if self.skips {
            return self.survey(MeanOf::None, survey).map(|_| ());
        }
        let look = |(): &mut (), index| self.images.look(self.place(index));
        self.walk(survey, || (), look).map(|_| ())
    }

    /// Leaves out the images of these files, named relative to the set's folder as [`Dataset::broken_files`] has them:
    /// a resumed training knows which were broken, and looks at none again. Names that the set has not are no matter.
    ///
    /// # Errors
    /// E0505 a class whose every picture is left out.
    pub fn leave_out(&mut self, files: &[String]) -> Result<(), Diagnostic> {
        let files: BTreeSet<&str> = files.iter().map(String::as_str).collect();
        if files.is_empty() {
            return Ok(());
        }
        let out = |index: &usize| {
            let file = self.images.file(self.place(*index));
            file.is_some_and(|file| files.contains(file.as_str()))
        };
        let out = (0..self.len()).filter(out);
        let fault = |index| {
            let file = self.images.file(self.place(index)).unwrap_or_default();
            let message = format!("`{}/{file}` was broken when the run began", self.name);
            (index, Diagnostic::error(Code::E0502, message))
        };
        let out = out.map(fault).collect();
        self.without(out)
    }

    /// A warning that says how many images were left out and, of the first ones, why; nothing where none was. `what` is
    /// what they are called (`training images`).
    pub fn left_out(&self, what: &str) -> Option<Diagnostic> {
        let broken: Vec<&Diagnostic> = self.broken.iter().collect();
        if broken.is_empty() {
            return None;
        }
        let (count, all) = (broken.len(), self.len() + broken.len());
        let verb = if count == 1 { "is" } else { "are" };
        let message = format!(
            "{count} of {all} {what} {verb} left out: what cannot be read is skipped (`data.broken`)"
        );
        Some(listing(Diagnostic::warning(Code::E0502, message), &broken))
    }

    /// Leaves out broken images, by their indices.
    fn without(&mut self, broken: Vec<Fault>) -> Result<(), Diagnostic> {
        if broken.is_empty() {
            return Ok(());
        }
        let mut left = vec![0usize; self.classes.len()];
        let mut lost = vec![0usize; self.classes.len()];
        let mut kept = Vec::with_capacity(self.len());
        let mut out = broken.iter().map(|(index, _)| *index).peekable();
        for (index, &label) in self.labels.iter().enumerate() {
            if out.next_if_eq(&index).is_some() {
                lost[label as usize] += 1;
            } else {
                left[label as usize] += 1;
                kept.push(index as u32);
            }
        }
        if let Some(empty) = (0..left.len()).find(|&class| left[class] == 0 && lost[class] > 0) {
            let message = format!(
                "every picture of class `{}` in `{}` is broken",
                self.classes[empty], self.name
            );
            let of_class = broken
                .iter()
                .filter(|(index, _)| self.labels[*index] as usize == empty);
            let of_class: Vec<&Diagnostic> = of_class.map(|(_, one)| one).collect();
            return Err(listing(Diagnostic::error(Code::E0505, message), &of_class));
        }
        for (index, fault) in broken {
            self.broken_files
                .extend(self.images.file(self.place(index)));
            self.broken.push(fault);
        }
        *self = self.only(&kept);
        Ok(())
    }

    /// Whether an image with this fault is left out.
    fn may_skip(&self, fault: &Diagnostic) -> bool {
        self.skips && matches!(fault.code, Code::E0501 | Code::E0502 | Code::E0901)
    }

    /// Visits all images by several threads, each with a state of its own. Gives the states, and the images that are to be
    /// left out, in order.
    fn walk<S: Send>(
        &self,
        survey: &Survey<'_>,
        start: impl Fn() -> S + Sync,
        visit: impl Fn(&mut S, usize) -> Result<(), Diagnostic> + Sync,
    ) -> Result<(Vec<S>, Vec<Fault>), Diagnostic> {
        let count = self.len();
        let next = AtomicUsize::new(0);
        let seen = AtomicUsize::new(0);
        // The first image that stops the command. All before it are still visited: images are taken in order.
        let first = AtomicUsize::new(usize::MAX);
        let faults = Mutex::new(Vec::new());
        let worker = || {
            let mut state = start();
            loop {
                let from = next.fetch_add(TAKEN, Ordering::Relaxed);
                if from >= count.min(first.load(Ordering::Relaxed)) {
                    return state;
                }
                let end = (from + TAKEN).min(count);
                for index in from..end {
                    let Err(fault) = visit(&mut state, index) else {
                        continue;
                    };
                    let stops = !self.may_skip(&fault);
                    faults
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((index, fault));
                    if stops {
                        first.fetch_min(index, Ordering::Relaxed);
                        break;
                    }
                }
                (survey.seen)(seen.fetch_add(end - from, Ordering::Relaxed) + end - from);
            }
        };
        let threads = loader::threads(survey.workers).min(count.div_ceil(TAKEN));
        let states = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
            let mut states = vec![worker()];
            for other in others {
                match other.join() {
                    Ok(state) => states.push(state),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            states
        });
        let mut faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
        faults.sort_by_key(|(index, _)| *index);
        match faults
            .iter()
            .position(|(index, _)| *index == first.load(Ordering::Relaxed))
        {
            Some(stops) => Err(faults.swap_remove(stops).1),
            None => Ok((states, faults)),
        }
    }
}
