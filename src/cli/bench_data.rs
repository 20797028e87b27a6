//! `netc bench --data`: how fast images become batches, without a network that learns from them.
//!
//! Owns: the measurement and its report. What is measured is the way of a training: the same loader, crops, mean and
//! variations, nothing kept between two readings of a file.

use std::time::Instant;

use rand::seq::SliceRandom;
use serde::Serialize;

use super::job::MOST_AT_ONCE;
use super::{Exit, FINE, Failure, Output, bytes, grouped};
use crate::config::{Batch, Broken, Cache, Config};
use crate::data::{self, Augmentation, Loader, Mean, Part, Preparation, Survey, loader};
use crate::memory;
use crate::op::shape::Shape;
use crate::random::{Purpose, Stream};

/// Images of one pass at most: enough for any figure.
const MOST: usize = 20_000;

/// `bench --data --json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    version: u32,
    mode: &'static str,
    data: &'a str,
    /// Of the set.
    set_images: usize,
    /// `[channels, height, width]`
    shape: [usize; 3],
    batch: usize,
    workers: usize,
    /// Loaded.
    images: u64,
    seconds: f64,
    images_per_second: f64,
    /// Null where the system does not say.
    peak_resident_bytes: Option<u64>,
}

/// Loads a set's images in a random order, once or as often as `seconds` take.
pub fn run(
    name: &str,
    config: &Config,
    input: Option<Shape>,
    seconds: f64,
    json: bool,
    output: &Output,
) -> Result<Exit, Failure> {
    let mut data = config.data.clone();
    data.cache = Cache::Never;
    let mut set = data::open(name, Part::Train, &data, input)?;
    if data.broken == Broken::Skip {
        // As before a training, and not measured.
        set.check(&Survey::of(&data))?;
        if let Some(fault) = set.left_out("images") {
            output.diagnostic(&fault.help("repair or remove them"));
        }
    }
    let batch = match config.train.batch {
        Batch::Images(images) => images.min(set.len()),
        Batch::Auto => MOST_AT_ONCE.min(set.len()),
    };
    let mut order: Vec<u32> = (0..set.len() as u32).collect();
    order.shuffle(&mut Stream::new(config.train.seed, Purpose::Shuffle, 0, 0));
    order.truncate(MOST);
    // As much work as with the mean image, which nobody has computed.
    let mean = Mean::Pixel(vec![127.5; set.shape().elements()]);
    let augmentation = Augmentation::of(&data, config.train.seed);
    let preparation = Preparation {
        set: &set,
        mean: &mean,
        scale: data.scale,
        augmentation: Some(&augmentation),
        parts: 1,
        workers: data.workers,
    };
    let pass = order.len().div_ceil(batch);
    let plan = |step: u64| {
        let first = step as usize % pass * batch;
        order[first..order.len().min(first + batch)].to_vec()
    };
    let start = Instant::now();
    let mut images = 0;
    let mut loader = Loader::<f32>::new(&preparation, batch, 0..u64::MAX, plan);
    while images < order.len() as u64 || start.elapsed().as_secs_f64() < seconds {
        for _ in 0..pass {
            images += loader.next_batch()?.labels.len() as u64;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let report = Report {
        version: 1,
        mode: "data",
        data: set.name(),
        set_images: set.len(),
        shape: set.shape().dimensions(),
        batch,
        workers: loader::threads(data.workers),
        images,
        seconds,
        images_per_second: images as f64 / seconds.max(1e-9),
        peak_resident_bytes: memory::peak(),
    };
    if json {
        output.json(&report);
        return Ok(FINE);
    }
    let mut text = format!(
        "data of {}: {} images/s, {} images of {} in batches of {batch} by {} workers\n",
        report.data,
        grouped(report.images_per_second.round() as u64),
        grouped(images),
        set.shape(),
        report.workers,
    );
    if let Some(peak) = report.peak_resident_bytes {
        text += &format!("peak resident memory: {}\n", bytes(peak));
    }
    output.print(&text);
    Ok(FINE)
}
