//! Batches prepared ahead: the same bits by any number of threads, faults in their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::config::{Augment, Scale};
use crate::data::loader::Batch;
use crate::data::picture::Scratch;

/// Images that make trouble as they are told, and count how often they are asked for.
#[derive(Debug, Default)]
struct Faulty {
    broken: Vec<usize>,
    panics: Option<usize>,
    loaded: AtomicUsize,
}

impl Images for Faulty {
    fn load(
        &self,
        index: usize,
        _crop: Option<[u32; 2]>,
        _scratch: &mut Scratch,
        pixels: &mut [u8],
    ) -> Result<(), Diagnostic> {
        self.loaded.fetch_add(1, Ordering::Relaxed);
        assert!(self.panics != Some(index), "a bug");
        if self.broken.contains(&index) {
            return Err(Diagnostic::error(Code::E0502, format!("image {index}")));
        }
        pixels.fill(index as u8);
        Ok(())
    }

    fn identify(&self, _index: usize, _hash: &mut Sha256) -> Result<(), Diagnostic> {
        Ok(())
    }
}

fn faulty(images: Faulty) -> (Dataset, Arc<Faulty>) {
    let images = Arc::new(images);
    let labels = (0..100).collect();
    let shape = Shape::image(1, 2, 2);
    let shared: Arc<dyn Images> = Arc::clone(&images) as _;
    (
        Dataset::new("faulty", Vec::new(), Naming::Number, labels, shape, shared),
        images,
    )
}

fn preparation(set: &Dataset, workers: usize) -> Preparation<'_> {
    Preparation {
        set,
        mean: &Mean::None,
        scale: Scale::None,
        augmentation: None,
        parts: 1,
        workers,
    }
}

/// Images `4 * step ..`, around.
fn fours(step: u64) -> Vec<u32> {
    (0..4).map(|i| (4 * step as u32 + i) % 100).collect()
}

#[test]
fn batches_have_the_same_bits_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..30u32 {
        let form = if n % 2 == 0 {
            ("png", ImageFormat::Png)
        } else {
            ("jpg", ImageFormat::Jpeg)
        };
        let bytes = encoded(&gradient(20 + n, 30 - n / 2), form.1);
        write(
            folder.path(),
            &format!("{}/{n:02}.{}", n % 3, form.0),
            &bytes,
        );
    }
    let augment = Augment {
        flip: true,
        shift: 2,
        brightness: 0.3,
    };
    let data = Data {
        augment,
        resize: Some(16),
        crop: Some(12),
        ..Data::default()
    };
    let path = folder.path().to_string_lossy().into_owned();
    let mut set = open(&path, Part::Train, &data, None).unwrap();
    let mean = set.survey(data.mean, &Survey::of(&data)).unwrap();
    let augmentation = Augmentation::of(&data, 5);
    let steps = |workers: usize, from: u64, batch: usize| -> Vec<Batch<f32>> {
        let mut order = Order::new(set.labels(), (batch, 1), true, 5).unwrap();
        let preparation = Preparation {
            set: &set,
            mean: &mean,
            scale: data.scale,
            augmentation: Some(&augmentation),
            parts: 1,
            workers,
        };
        let mut loader = Loader::new(&preparation, batch, from..12, |step| order.batch(step));
        (from..12)
            .map(|_| loader.next_batch().unwrap().clone())
            .collect()
    };
    let one = steps(1, 0, 7);
    for batch in &one {
        assert_eq!(batch.images.len(), 7 * 3 * 12 * 12);
        for (&label, &index) in batch.labels.iter().zip(&batch.indices) {
            assert_eq!(label, set.labels()[index as usize] as i32);
        }
    }
    for workers in [2, 3, 8] {
        assert!(steps(workers, 0, 7) == one, "{workers} threads");
    }
    assert!(steps(2, 5, 7) == one[5..], "from the middle of a training");
    assert!(steps(8, 0, 1).len() == 12, "more threads than images");
    // The same image varies from step to step.
    let first = one[0].indices[0];
    let again = one.iter().skip(1).find_map(|batch| {
        let place = batch.indices.iter().position(|&index| index == first)?;
        Some(&batch.images[place * 432..][..432])
    });
    assert!(again.unwrap() != &one[0].images[..432]);
}

#[test]
fn the_last_batch_may_be_short() {
    let (set, _) = faulty(Faulty::default());
    let plan = |step: u64| (40 * step as u32..(40 * step as u32 + 40).min(100)).collect();
    let mut loader = Loader::<f64>::new(&preparation(&set, 2), 40, 0..3, plan);
    let sizes: Vec<usize> = (0..3)
        .map(|_| loader.next_batch().unwrap().labels.len())
        .collect();
    assert_eq!(sizes, [40, 40, 20]);
    let (set, _) = faulty(Faulty::default());
    let mut loader = Loader::<f64>::new(&preparation(&set, 2), 40, 2..3, plan);
    assert_eq!(
        loader.next_batch().unwrap().images,
        (80..100)
            .flat_map(|n| [f64::from(n); 4])
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_fault_comes_at_its_step_and_is_the_first_of_the_batch() {
    for workers in [1, 2, 8] {
        let (set, _) = faulty(Faulty {
            broken: vec![23, 21, 60],
            ..Faulty::default()
        });
        let mut loader = Loader::<f32>::new(&preparation(&set, workers), 4, 0..25, fours);
        for step in 0..5 {
            assert_eq!(loader.next_batch().unwrap().indices, fours(step));
        }
        let fault = loader.next_batch().unwrap_err();
        assert_eq!(fault.message, "image 21");
        // The rest still comes.
        assert_eq!(loader.next_batch().unwrap().indices, fours(6));
    }
    let (mut set, _) = faulty(Faulty {
        broken: vec![0],
        ..Faulty::default()
    });
    set.begin();
    let mut loader = Loader::<f32>::new(&preparation(&set, 1), 4, 0..25, fours);
    let help = loader.next_batch().unwrap_err().help.unwrap();
    assert!(help.contains("would change the order"), "{help}");
}

#[test]
fn a_panic_reaches_the_consumer() {
    let (set, _) = faulty(Faulty {
        panics: Some(9),
        ..Faulty::default()
    });
    let mut loader = Loader::<f32>::new(&preparation(&set, 2), 4, 0..25, fours);
    assert!(loader.next_batch().is_ok() && loader.next_batch().is_ok());
    let caught =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| loader.next_batch().is_ok()));
    let panic = caught.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"a bug"));
}

#[test]
fn only_a_few_batches_are_prepared_ahead_and_a_dropped_loader_ends() {
    let (set, images) = faulty(Faulty::default());
    let mut loader = Loader::<f32>::new(&preparation(&set, 2), 4, 0..1_000_000, fours);
    for _ in 0..10 {
        loader.next_batch().unwrap();
    }
    drop(loader);
    assert!(images.loaded.load(Ordering::Relaxed) <= (10 + 3) * 4);
    // The threads let go of the images. Nothing tells when, so it is waited for; a thread that stayed would hang this.
    drop(set);
    while Arc::strong_count(&images) > 1 {
        std::thread::yield_now();
    }
}
