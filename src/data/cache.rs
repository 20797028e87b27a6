//! Decoded pictures kept in memory, where all of a set fit.
//!
//! Owns: [`Budget`], a share of the machine's memory that all sets take from, and [`Cache`], the pictures of one set. It is
//! all or nothing: which pictures came first would say little about which are needed next. Whether all fit is estimated
//! before the first is kept; where that was wrong, and the budget is used up, all are let go. Knows nothing of files.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::picture::Picture;
use crate::memory;

/// The share of the available memory that decoded pictures may take.
const SHARE: u64 = 4;

/// Memory for decoded pictures, shared by sets.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    taken: AtomicU64,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        let taken = AtomicU64::new(0);
        Arc::new(Self { limit, taken })
    }

    /// This process's: a quarter of the memory that was available when it was first asked for.
    pub fn of_machine() -> Arc<Self> {
        static BUDGET: OnceLock<Arc<Budget>> = OnceLock::new();
        let budget = BUDGET.get_or_init(|| match memory::available() {
            // The system does not say.
            u64::MAX => Self::new(0),
            available => Self::new(available / SHARE),
        });
        Arc::clone(budget)
    }

    fn take(&self, bytes: u64) -> bool {
        let more = |taken: u64| taken.checked_add(bytes).filter(|&all| all <= self.limit);
        let order = Ordering::Relaxed;
        self.taken.fetch_update(order, order, more).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The kept pictures of a set.
#[derive(Debug)]
pub struct Cache {
    budget: Arc<Budget>,
    kept: OnceLock<RwLock<Option<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    pictures: Vec<OnceLock<Stored>>,
    /// Bytes of pictures.
    used: AtomicU64,
    /// Bytes taken from the budget.
    taken: Mutex<u64>,
}

#[derive(Debug)]
struct Stored {
    sides: (u32, u32),
    pixels: Box<[u8]>,
}

impl Cache {
    /// An empty cache that may take from a budget.
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        let kept = OnceLock::new();
        Self { budget, kept }
    }

    /// A cache that keeps nothing.
    pub(super) fn off() -> Self {
        Self::new(Budget::new(0))
    }

    /// Decides, once, whether pictures are kept: `expected` are the bytes of all of them.
    pub(super) fn decide(&self, count: usize, expected: impl FnOnce() -> u64) {
        self.kept.get_or_init(|| {
            let bytes = if self.budget.limit == 0 {
                0
            } else {
                expected()
            };
            let fits = bytes > 0 && self.budget.take(bytes);
            RwLock::new(fits.then(|| Kept {
                pictures: std::iter::repeat_with(OnceLock::new).take(count).collect(),
                used: AtomicU64::new(0),
                taken: Mutex::new(bytes),
            }))
        });
    }

    /// Whether pictures are kept.
    pub(super) fn is_on(&self) -> bool {
        self.kept
            .get()
            .is_some_and(|kept| held(kept.read()).is_some())
    }

    /// Shows a kept picture to `see`; whether it was there.
    pub(super) fn show(&self, index: usize, see: impl FnOnce(&Picture<'_>)) -> bool {
        let Some(kept) = self.kept.get() else {
            return false;
        };
        let kept = held(kept.read());
        let Some(stored) = kept.as_ref().and_then(|kept| kept.pictures[index].get()) else {
            return false;
        };
        see(&Picture {
            height: stored.sides.0 as usize,
            width: stored.sides.1 as usize,
            pixels: &stored.pixels,
        });
        true
    }

    /// Keeps a picture, where pictures are kept and it fits.
    pub(super) fn keep(&self, index: usize, picture: &Picture<'_>) {
        let Some(kept) = self.kept.get() else {
            return;
        };
        let fits = match &*held(kept.read()) {
            None => return,
            Some(kept) => {
                let stored = Stored {
                    sides: (picture.height as u32, picture.width as u32),
                    pixels: picture.pixels.into(),
                };
                let bytes = picture.pixels.len() as u64;
                let new = kept.pictures[index].set(stored).is_ok();
                !new || self.grow(kept, bytes)
            }
        };
        if !fits && let Some(gone) = held(kept.write()).take() {
            self.budget.give_back(held(gone.taken.into_inner()));
        }
    }

    /// Counts a picture; whether the budget has room for it.
    fn grow(&self, kept: &Kept, bytes: u64) -> bool {
        let used = kept.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let mut taken = held(kept.taken.lock());
        if used > *taken {
            if !self.budget.take(used - *taken) {
                return false;
            }
            *taken = used;
        }
        true
    }
}

/// What a lock holds. A thread that panicked left nothing half-done: pictures are set whole.
fn held<T>(lock: Result<T, PoisonError<T>>) -> T {
    lock.unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Cache {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take().and_then(|kept| held(kept.into_inner())) {
            self.budget.give_back(held(kept.taken.into_inner()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(pixels: &[u8]) -> Picture<'_> {
        Picture {
            height: 1,
            width: pixels.len(),
            pixels,
        }
    }

    fn holds(cache: &Cache, index: usize) -> bool {
        cache.show(index, |_| ())
    }

    #[test]
    fn pictures_are_kept_where_all_fit() {
        let budget = Budget::new(100);
        let cache = Cache::new(Arc::clone(&budget));
        cache.decide(2, || 100);
        assert!(!holds(&cache, 0));
        cache.keep(0, &picture(&[7; 50]));
        let mut seen = 0;
        assert!(cache.show(0, |picture| seen = picture.pixels[49]) && seen == 7);
        let other = Cache::new(Arc::clone(&budget));
        other.decide(1, || 1);
        other.keep(0, &picture(&[1]));
        assert!(!holds(&other, 0), "the first set has taken all");
        drop(cache);
        let third = Cache::new(budget);
        third.decide(1, || 100);
        assert!(third.is_on(), "what it took is given back");
    }

    #[test]
    fn a_set_that_does_not_fit_is_not_kept_at_all() {
        let cache = Cache::new(Budget::new(100));
        cache.decide(3, || 101);
        cache.keep(0, &picture(&[7; 50]));
        assert!(!holds(&cache, 0) && !cache.is_on());
        // An estimate that was too low: all are let go, and what they took.
        let budget = Budget::new(100);
        let cache = Cache::new(Arc::clone(&budget));
        cache.decide(3, || 60);
        cache.keep(0, &picture(&[7; 50]));
        cache.keep(1, &picture(&[7; 50]));
        assert!(holds(&cache, 1), "it grows as far as there is room");
        cache.keep(2, &picture(&[7; 50]));
        assert!(!holds(&cache, 0) && !cache.is_on());
        assert_eq!(budget.taken.load(Ordering::Relaxed), 0);
    }
}
