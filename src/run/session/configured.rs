//! What a configuration says about a session: update rule, initial values, precision.

use crate::config::{self, Config, OptimizerKind};
use crate::device::Device;
use crate::diagnostic::{Code, Diagnostic};
use crate::op::emit::Machine;
use crate::op::optimizer::{Method, Optimizer};
use crate::op::real::Precision;
use crate::op::{InitRule, Recipe};

/// What the configuration says about layers that do not say it themselves.
pub fn recipe(config: &Config) -> Recipe {
    let init = match config.init.weights {
        config::Weights::He => InitRule::He,
        config::Weights::Xavier => InitRule::Xavier,
        config::Weights::Gaussian => InitRule::Gaussian(config.init.std),
    };
    Recipe {
        init,
        std: config.init.std,
        bias: config.init.bias,
        dropout: config.regularization.dropout,
    }
}

/// The update rule of the configuration.
pub fn optimizer(config: &Config) -> Optimizer {
    let chosen = &config.optimizer;
    let momentum = |nesterov| Method::Momentum {
        momentum: chosen.momentum,
        nesterov,
    };
    let adam = |decoupled| Method::Adam {
        beta1: chosen.beta1,
        beta2: chosen.beta2,
        epsilon: chosen.epsilon,
        decoupled,
    };
    Optimizer {
        method: match chosen.kind {
            OptimizerKind::Sgd => momentum(false),
            OptimizerKind::Nesterov => momentum(true),
            OptimizerKind::Adam => adam(false),
            OptimizerKind::AdamW => adam(true),
        },
        weight_decay: chosen.weight_decay,
        decay_biases: chosen.decay_biases,
        clip: config.train.clip,
        accumulate: config.train.accumulate as usize,
        smoothing: config.train.smoothing,
    }
}

/// The precision of the configuration, where the device has it.
///
/// # Errors
/// E0706 where it has not.
pub fn precision(config: &Config, device: &dyn Device) -> Result<Precision, Diagnostic> {
    let missing = |what: &str| {
        let name = &device.description().name;
        config.point(
            "device.precision",
            Diagnostic::error(Code::E0706, format!("`{name}` does not compute in {what}"))
                .help("write `precision = \"f32\"`"),
        )
    };
    match config.device.precision {
        config::Precision::F32 => Ok(Precision::F32),
        config::Precision::F64 if device.limits().double => Ok(Precision::F64),
        config::Precision::F64 => Err(missing("f64")),
        config::Precision::Tf32 => Err(missing("tf32")),
    }
}

/// What plans for the device have to know, as the configuration has it, with the built-in numbers of its class.
///
/// # Errors
/// E0706 the device does not compute in the precision.
pub fn machine(config: &Config, device: &dyn Device) -> Result<Machine, Diagnostic> {
    Ok(Machine {
        winograd: config.device.winograd,
        ..Machine::new(*device.limits(), precision(config, device)?)
    })
}
