//! The value of every key that nobody gives.
//!
//! Owns: the defaults, once; the table of keys, the schema and `to_toml` look them up here.

use super::{
    Augment, BUNDLED, Batch, Best, Broken, Cache, Checkpoint, Data, Device, Every, Init, MeanOf,
    MemoryLimit, Optimizer, OptimizerKind, Output, Precision, Regularization, Scale, Schedule,
    ScheduleKind, Select, Train, Unit, Weights,
};

impl Default for Data {
    fn default() -> Self {
        Self {
            train: BUNDLED[0].into(),
            test: BUNDLED[0].into(),
            validation: 0.0,
            scale: Scale::Unit,
            mean: MeanOf::Pixel,
            balance: true,
            resize: None,
            crop: None,
            augment: Augment {
                flip: false,
                shift: 0,
                brightness: 0.0,
            },
            cache: Cache::Auto,
            workers: 0,
            broken: Broken::Stop,
        }
    }
}

impl Default for Train {
    fn default() -> Self {
        Self {
            batch: Batch::Images(128),
            epochs: 5,
            seed: 1,
            accumulate: 1,
            clip: 0.0,
            smoothing: 0.0,
            stop_after: 0,
            best: Best::Accuracy,
            checkpoint: Checkpoint {
                every: Every {
                    count: 10,
                    unit: Unit::Minutes,
                },
                keep: 3,
            },
            memory_limit: MemoryLimit::None,
        }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Sgd,
            learning_rate: 0.01,
            momentum: 0.9,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0005,
            decay_biases: false,
            schedule: Schedule {
                kind: ScheduleKind::Constant,
                every: 20,
                factor: 0.1,
                patience: 3,
                warmup: 0,
            },
        }
    }
}

impl Default for Init {
    fn default() -> Self {
        Self {
            weights: Weights::He,
            std: 0.01,
            bias: 0.0,
        }
    }
}

impl Default for Regularization {
    fn default() -> Self {
        Self { dropout: 0.0 }
    }
}

impl Default for Device {
    fn default() -> Self {
        Self {
            select: Select::Auto,
            precision: Precision::F32,
            winograd: true,
        }
    }
}

impl Default for Output {
    fn default() -> Self {
        Self {
            dir: "runs/{net}-{n}".into(),
        }
    }
}
