//! From files to batches of numbers, ahead of the device that computes on them.
//!
//! Owns: [`Loader`]. While its consumer works on one batch, threads read, decode and vary the images of the next ones, into
//! buffers that are used again. Batches come in the order of steps, with the same bits whatever the number of threads: each
//! image is a piece of work of its own, a pure function of its index, its step and its place. Knows nothing of devices or
//! of what a batch is for.

use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::augment::{Augmentation, Draw};
use super::picture::Scratch;
use super::{Dataset, Mean};
use crate::config::{Data, Scale};
use crate::diagnostic::Diagnostic;
use crate::op::real::Real;

/// Batches prepared at once, the one in the consumer's hands included; more where batches are too small to give every
/// thread two images.
const AHEAD: usize = 3;

/// What becomes of the images of a set.
#[derive(Clone, Copy, Debug)]
pub struct Preparation<'a> {
    /// Where they are.
    pub set: &'a Dataset,
    /// Subtracted from them.
    pub mean: &'a Mean,
    /// What they are divided by.
    pub scale: Scale,
    /// How they are varied, in training.
    pub augmentation: Option<&'a Augmentation>,
    /// Batches that one training step is made of: they are varied as the one larger batch would be.
    pub parts: u64,
    /// Threads, 0 for as many as there are cores.
    pub workers: usize,
}

impl<'a> Preparation<'a> {
    /// For testing: nothing is varied.
    pub fn of_test(set: &'a Dataset, mean: &'a Mean, data: &Data) -> Self {
        Self {
            set,
            mean,
            scale: data.scale,
            augmentation: None,
            parts: 1,
            workers: data.workers,
        }
    }
}

/// The number of threads for `data.workers`.
pub fn threads(workers: usize) -> usize {
    if workers > 0 {
        return workers;
    }
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// The images of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch<T> {
    /// `[images, channels, height, width]`.
    pub images: Vec<T>,
    /// The label of each image.
    pub labels: Vec<i32>,
    /// The index of each image in the set.
    pub indices: Vec<u32>,
}

/// What the threads share.
struct Work {
    set: Dataset,
    mean: Mean,
    scale: Scale,
    augmentation: Option<Augmentation>,
    parts: u64,
    /// Nobody waits for what is not yet done.
    stopped: AtomicBool,
    scratch: Mutex<Vec<(Scratch, Vec<u8>)>>,
}

/// What became of a batch: done, at fault, or a thread's panic.
type Outcome<T> = Result<Result<Batch<T>, Diagnostic>, Box<dyn Any + Send>>;

/// Batches of consecutive steps (or of their parts), prepared ahead.
pub struct Loader<'a, T: Real> {
    work: Arc<Work>,
    pool: ThreadPool,
    plan: Box<dyn FnMut(u64) -> Vec<u32> + 'a>,
    /// Steps that are not begun.
    steps: Range<u64>,
    /// The step that comes next.
    wanted: u64,
    sender: Sender<(u64, Outcome<T>)>,
    receiver: Receiver<(u64, Outcome<T>)>,
    /// What came before its turn.
    early: BTreeMap<u64, Outcome<T>>,
    current: Batch<T>,
    waited: Duration,
}

impl<'a, T: Real> Loader<'a, T> {
    /// Begins to prepare the batches of `steps`; `plan` gives the indices of a step's images, of which a batch has at most
    /// `batch`.
    pub fn new(
        of: &Preparation<'_>,
        batch: usize,
        steps: Range<u64>,
        plan: impl FnMut(u64) -> Vec<u32> + 'a,
    ) -> Self {
        let threads = threads(of.workers);
        let build = |threads: usize| {
            let name = |thread| format!("data-{thread}");
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(name)
                .build()
        };
        // One thread is enough to go on, where the machine gives no more.
        let pool = build(threads).or_else(|_| build(1));
        let work = Work {
            set: of.set.clone(),
            mean: of.mean.clone(),
            scale: of.scale,
            augmentation: of.augmentation.cloned(),
            parts: of.parts,
            stopped: AtomicBool::new(false),
            scratch: Mutex::new(Vec::new()),
        };
        let (sender, receiver) = channel();
        let mut loader = Self {
            work: Arc::new(work),
            pool: pool.expect("internal error: not one thread for the data"),
            plan: Box::new(plan),
            wanted: steps.start,
            steps,
            sender,
            receiver,
            early: BTreeMap::new(),
            current: Batch::default(),
            waited: Duration::ZERO,
        };
        for _ in 0..AHEAD.max(1 + (2 * threads).div_ceil(batch.max(1))) {
            loader.begin(Batch::default());
        }
        loader
    }

    /// Lets the threads prepare one step more.
    fn begin(&mut self, mut batch: Batch<T>) {
        let Some(step) = self.steps.next() else {
            return;
        };
        batch.indices = (self.plan)(step);
        let work = Arc::clone(&self.work);
        let sender = self.sender.clone();
        self.pool.spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| work.prepare(step, batch)));
            // A consumer that is gone does not miss it.
            let _ = sender.send((step, outcome));
        });
    }

    /// The next step's batch. The one before goes back to be filled again.
    ///
    /// # Errors
    /// E0501, E0502 or E0901 for the first image of the step's that can no longer be read, after all earlier steps.
    pub fn next_batch(&mut self) -> Result<&Batch<T>, Diagnostic> {
        let step = self.wanted;
        self.wanted += 1;
        let used = std::mem::take(&mut self.current);
        if used.images.capacity() > 0 {
            self.begin(used);
        }
        let start = Instant::now();
        let outcome = loop {
            if let Some(outcome) = self.early.remove(&step) {
                break outcome;
            }
            let (done, outcome) = self
                .receiver
                .recv()
                .expect("internal error: this end sends too");
            assert!(done >= step, "internal error: a step after the last");
            self.early.insert(done, outcome);
        };
        self.waited += start.elapsed();
        match outcome {
            Ok(batch) => self.current = batch?,
            Err(panic) => resume_unwind(panic),
        }
        Ok(&self.current)
    }

    /// How long [`Loader::next_batch`] has waited for data, all in all.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<T: Real> Drop for Loader<'_, T> {
    fn drop(&mut self) {
        self.work.stopped.store(true, Ordering::Relaxed);
    }
}

impl Work {
    /// Fills a batch that has its indices. Of several faults the first image's is told.
    fn prepare<T: Real>(&self, step: u64, mut batch: Batch<T>) -> Result<Batch<T>, Diagnostic> {
        let size = self.set.shape().elements();
        let labels = batch
            .indices
            .iter()
            .map(|&i| self.set.labels()[i as usize] as i32);
        batch.labels.clear();
        batch.labels.extend(labels);
        batch.images.resize(batch.indices.len() * size, T::zero());
        let images = batch.images.par_chunks_exact_mut(size).with_max_len(1);
        let (whole, part) = (step / self.parts, (step % self.parts) as usize);
        let first = part * batch.indices.len();
        let fault = images
            .zip(&batch.indices)
            .enumerate()
            .filter_map(|(place, (out, &index))| {
                let done = self.image(whole, first + place, index as usize, out);
                done.err().map(|fault| (place, fault))
            })
            .min_by_key(|(place, _)| *place);
        match fault {
            None => Ok(batch),
            Some((_, fault)) if self.set.begun => Err(fault.help(
                "repair it, or put it back as it was when the training began: then `netc train --resume RUN` goes on; leaving it out now would change the order of the images",
            )),
            Some((_, fault)) => Err(fault),
        }
    }

    /// Writes one image as numbers.
    fn image<T: Real>(
        &self,
        step: u64,
        place: usize,
        index: usize,
        out: &mut [T],
    ) -> Result<(), Diagnostic> {
        if self.stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
        let spare = || self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut scratch, mut pixels) = spare().pop().unwrap_or_default();
        pixels.resize(out.len(), 0);
        let draw = match &self.augmentation {
            Some(augmentation) => augmentation.draw(step, place),
            None => Draw::default(),
        };
        let loaded = self
            .set
            .load_varied(index, &draw, &mut scratch, &mut pixels);
        if loaded.is_ok() {
            self.mean.apply(self.scale, &pixels, out);
        }
        spare().push((scratch, pixels));
        loaded
    }
}
