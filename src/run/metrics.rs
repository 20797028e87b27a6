//! A step's figures.

use serde::{Deserialize, Serialize};

/// One step's figures, and a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Steps done, this one included.
    pub step: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The loss, averaged over the images of the step, before its update.
    pub loss: f64,
    /// The share of them that was right.
    pub accuracy: f64,
    /// Images a second over this step, data included. Of a step whose way back the device still computes, the next one
    /// bears the rest.
    pub images_per_second: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// Seconds that the training has taken, all sittings together.
    pub seconds: f64,
    /// The loss on the test set, on the last step of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// The accuracy on the test set, on the last step of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
    /// The loss on the images held back, where there are such, on the last step of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// The accuracy on them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
}
