//! Hyperparameters: the TOML of a training, resolved into plain typed fields.
//!
//! Owns: [`Config`] and its defaults, [`Config::load`] with all its errors (E0401 to E0405), `--set`, and
//! [`Config::to_toml`]. What keys there are, their ranges and their words for people stand in ONE table, [`KEYS`], from
//! which reading, writing, the schema and README's table follow. Deliberately knows nothing of networks, data files or
//! devices: whether a path exists or a batch fits is found where it is used.
//!
//! Resolved defaults where LANGUAGE.md shows an example instead: `data.resize` and `data.crop` are 0 (not given: images
//! of a folder are fitted to the network's input), `data.augment` is off, the schedule is constant, dropout is 0.0.

mod check;
mod defaults;
pub mod forms;
pub mod keys;
mod read;
pub mod schema;
mod unknown;
pub mod value;
pub mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

pub use forms::{Batch, Every, MemoryLimit, Select, Unit};
pub use keys::{Form, KEYS, Key, Kind};
pub use value::Value;
pub use words::{
    Best, Broken, Cache, MeanOf, OptimizerKind, Precision, Scale, ScheduleKind, Weights,
};

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::source::Source;

/// Names of the data sets inside the binary; a data path that equals one means it.
pub const BUNDLED: &[&str] = &["fashion-mini"];

/// Every hyperparameter of a training. Two are equal when all their settings are; where these were written does not
/// count.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[data]`.
    pub data: Data,
    /// `[train]`.
    pub train: Train,
    /// `[optimizer]`.
    pub optimizer: Optimizer,
    /// `[init]`.
    pub init: Init,
    /// `[regularization]`.
    pub regularization: Regularization,
    /// `[device]`.
    pub device: Device,
    /// `[output]`.
    pub output: Output,
    /// Where the settings that are not defaults were written.
    places: BTreeMap<&'static str, Place>,
}

/// `[data]`: which images, and what becomes of their pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// Training images: a bundled set's name, or an absolute path.
    pub train: String,
    /// Test images, likewise.
    pub test: String,
    /// Share of the training images held back, evenly over the classes.
    pub validation: f64,
    /// What becomes of 8-bit pixels.
    pub scale: Scale,
    /// What is subtracted from them.
    pub mean: MeanOf,
    /// Whether every mini-batch is drawn evenly over the classes.
    pub balance: bool,
    /// Shorter side to which the images of a folder are resized.
    pub resize: Option<usize>,
    /// Side of the square cut out of them.
    pub crop: Option<usize>,
    /// How training images are varied.
    pub augment: Augment,
    /// Whether decoded images stay in memory.
    pub cache: Cache,
    /// Decoding threads, 0 for as many as there are cores.
    pub workers: usize,
    /// What an image that cannot be read does.
    pub broken: Broken,
}

/// `data.augment`: how training images are varied.
#[derive(Clone, Debug, PartialEq)]
pub struct Augment {
    /// Mirrored left to right, half of them.
    pub flip: bool,
    /// Shifted by up to so many pixels in each direction.
    pub shift: usize,
    /// Brightness changed by up to this share.
    pub brightness: f64,
}

/// `[train]`: how long and in what portions.
#[derive(Clone, Debug, PartialEq)]
pub struct Train {
    /// Images of a mini-batch.
    pub batch: Batch,
    /// Epochs.
    pub epochs: u64,
    /// From which everything random follows.
    pub seed: u64,
    /// Mini-batches summed before a step.
    pub accumulate: u64,
    /// Largest gradient norm, 0 for no limit.
    pub clip: f64,
    /// Label smoothing.
    pub smoothing: f64,
    /// Epochs without a better test loss after which training ends, 0 for never.
    pub stop_after: u64,
    /// What makes a checkpoint the best one.
    pub best: Best,
    /// When checkpoints are written.
    pub checkpoint: Checkpoint,
    /// How much device memory training may take.
    pub memory_limit: MemoryLimit,
}

/// `train.checkpoint`: when checkpoints are written, and how many stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How often one is written.
    pub every: Every,
    /// How many numbered ones are kept beside the last and the best.
    pub keep: u64,
}

/// `[optimizer]`: how gradients change parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    /// The method.
    pub kind: OptimizerKind,
    /// Learning rate.
    pub learning_rate: f64,
    /// Momentum of sgd and nesterov.
    pub momentum: f64,
    /// First moment's decay of adam and adamw.
    pub beta1: f64,
    /// Second moment's decay of adam and adamw.
    pub beta2: f64,
    /// Added to adam's denominator.
    pub epsilon: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether biases decay too.
    pub decay_biases: bool,
    /// How the learning rate changes.
    pub schedule: Schedule,
}

/// `optimizer.schedule`: how the learning rate changes. Fields that the kind does not use hold their defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The rule.
    pub kind: ScheduleKind,
    /// Epochs between two steps (`step`).
    pub every: u64,
    /// What the rate is multiplied by (`step`, `plateau`).
    pub factor: f64,
    /// Epochs without a better test loss before the rate falls (`plateau`).
    pub patience: u64,
    /// Epochs over which the rate rises from 0, with any kind.
    pub warmup: u64,
}

/// `[init]`: initial values of layers that do not say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Init {
    /// How weights are drawn.
    pub weights: Weights,
    /// Deviation of `gaussian`.
    pub std: f64,
    /// Biases.
    pub bias: f64,
}

/// `[regularization]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Regularization {
    /// Dropout of hidden `F` layers that do not say otherwise.
    pub dropout: f64,
}

/// `[device]`: what computes, and in which numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Which device.
    pub select: Select,
    /// What the numbers are.
    pub precision: Precision,
    /// Whether convolutions may go through Winograd's transform.
    pub winograd: bool,
}

/// `[output]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The run folder; `{net}` is the network's name, `{n}` the next free number. Relative to the current folder.
    pub dir: String,
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        KEYS.iter().all(|key| key.value(self) == key.value(other))
    }
}

impl Config {
    /// The defaults, changed by a TOML file, then by `--set` assignments in their order.
    ///
    /// Data paths of the file are relative to `base`, those of an assignment to the current folder; both become
    /// absolute. `source` is `None` where there is no file. Settings with errors keep their defaults.
    ///
    /// # Errors
    /// Among the diagnostics: E0401 not TOML, E0402 unknown table or key, E0403 wrong type, unknown word, or a setting
    /// that this version does not implement, E0404 out of range, E0405 keys that contradict each other.
    pub fn load(source: Option<&Arc<Source>>, base: &Path, sets: &[String]) -> (Self, Diagnostics) {
        read::load(source, base, sets)
    }

    /// The whole resolved configuration as TOML, always in the same order; it reads back as the same configuration.
    /// Keys that the schedule's kind does not have are left out.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut table = "";
        let mut keys = KEYS
            .iter()
            .filter(|key| {
                key.only_if
                    .is_none_or(|rule| !rule.strict || (rule.holds)(self))
            })
            .peekable();
        while let Some(key) = keys.next() {
            let (head, rest) = key.split();
            if head != table {
                let gap = if table.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{head}]");
                table = head;
            }
            let Some((inline, name)) = rest.split_once('.') else {
                let _ = writeln!(text, "{rest} = {}", key.value(self));
                continue;
            };
            let _ = write!(text, "{inline} = {{ {name} = {}", key.value(self));
            let prefix = format!("{head}.{inline}.");
            while let Some(next) = keys.next_if(|next| next.path.starts_with(&prefix)) {
                let _ = write!(
                    text,
                    ", {} = {}",
                    &next.path[prefix.len()..],
                    next.value(self)
                );
            }
            text.push_str(" }\n");
        }
        text
    }

    /// The settings that differ from their defaults and that this version of the trainer does not implement: key, and
    /// words for a message.
    pub fn unsupported(&self) -> Vec<(&'static str, String)> {
        let default = Self::default();
        KEYS.iter()
            .filter(|key| {
                key.value(self) != key.value(&default) && !key.is_implemented(&key.value(self))
            })
            .map(|key| {
                (
                    key.path,
                    format!(
                        "`{} = {}` is not implemented in this version",
                        key.path,
                        key.value(self)
                    ),
                )
            })
            .collect()
    }

    /// Where a setting was written, if it was: the value's place in the TOML or in the `--set` assignment.
    pub fn place(&self, key: &str) -> Option<&Place> {
        self.places.get(key)
    }

    /// Lets a diagnostic point at the place where a setting was written, if it was, and if it does not point yet.
    pub fn point(&self, key: &str, mut diagnostic: Diagnostic) -> Diagnostic {
        if diagnostic.primary.is_none() {
            diagnostic.primary = self.place(key).cloned();
        }
        diagnostic
    }
}

#[cfg(test)]
mod tests;
