//! Where a training stands: what a checkpoint holds beside tensors, so that training can go on from it to the bit.
//!
//! Owns: [`State`], [`Circumstances`], and their form as a checkpoint's facts. Data order, augmentation, dropout and rates
//! are functions of the seed, the step and the test losses so far, so no generator's state is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::metrics::Metrics;
use super::schedule::Course;
use crate::config::Config;
use crate::device::Description;
use crate::file;
use crate::plan::Plan;

/// What final parameters say of themselves.
const FINISH: &str = "finish";

/// Where a training stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Epochs that are tested.
    pub tested: u64,
    /// The best figure of an epoch so far, larger being better.
    pub best: Option<f64>,
    /// What the test losses have led to.
    pub course: Course,
    /// Seconds that it has taken so far.
    pub seconds: f64,
    /// The last step's figures, where its epoch is still to be tested.
    pub untested: Option<Metrics>,
    /// The last test.
    pub test: Option<Test>,
    /// Whether it has ended before its last epoch.
    pub ended: bool,
}

/// Where the training stood whose final parameters a file holds. Equal runs have equal ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finish {
    /// Steps done.
    pub step: u64,
    /// Epochs done.
    pub epochs: u64,
    /// What the test losses had led to.
    pub course: Course,
    /// SHA-256 of the mean's file.
    pub mean: String,
}

impl Finish {
    /// Whether that is the end, also where epochs were added since then.
    pub fn is_end(&self, config: &Config) -> bool {
        self.epochs >= config.train.epochs || self.course.ends(config)
    }

    /// The facts of the file.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let text = serde_json::to_string(self).expect("internal error: a state is data");
        BTreeMap::from([(FINISH.to_owned(), text)])
    }

    /// What [`Self::facts`] has written.
    pub fn read(facts: &BTreeMap<String, String>) -> Option<Self> {
        serde_json::from_str(facts.get(FINISH)?).ok()
    }
}

impl State {
    /// The steps whose lines are written: all but one whose epoch is still to be tested.
    pub fn lines(&self) -> u64 {
        self.step - u64::from(self.untested.is_some())
    }
}

/// What a test gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// The share of images that was right.
    pub accuracy: f64,
    /// The mean loss.
    pub loss: f64,
}

/// What a training's numbers depend on beside its own settings and images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// The device, its platform and its driver.
    pub device: String,
    /// netc's version.
    pub version: String,
    /// SHA-256 of the plan's steps: which kernels, in what order, of which sizes.
    pub plan: String,
    /// SHA-256 of the training images, or of what tells them from others.
    pub images: String,
    /// The same of the test images, by which the best epoch, the rate and the end may be chosen.
    pub tests: String,
    /// SHA-256 of the mean's file.
    pub mean: String,
}

impl Circumstances {
    /// Those of a training.
    pub fn of(device: &Description, plan: &Plan, [images, tests, mean]: [String; 3]) -> Self {
        let mut hash = Sha256::new();
        for step in &plan.steps {
            let kernel = step.call.kernel();
            hash.update(format!(
                "{} {} {:?} {:?} {:?}\n",
                step.name, kernel.function, kernel.defines, kernel.global, kernel.local
            ));
        }
        Self {
            device: format!("{} ({}, {})", device.name, device.platform, device.driver),
            version: env!("CARGO_PKG_VERSION").into(),
            plan: file::hex(&hash.finalize()),
            images,
            tests,
            mean,
        }
    }

    /// Why a training that began under `before` does not go on to the bit under these; `None` where it does.
    pub fn departs(&self, before: &Self) -> Option<String> {
        if self.device != before.device {
            Some(format!(
                "the device is {}, it was {}",
                self.device, before.device
            ))
        } else if self.version != before.version {
            Some(format!(
                "this is netc {}, it was {}",
                self.version, before.version
            ))
        } else if self.plan != before.plan {
            Some("the plan of a step is another: `netc tune`, or the memory that may be used, has changed it".into())
        } else if self.tests != before.tests {
            Some("the test images are other ones".into())
        } else {
            None
        }
    }
}

/// The facts of a checkpoint that training goes on from.
pub fn facts(state: &State, seed: u64, about: &Circumstances) -> BTreeMap<String, String> {
    let json = |value: Result<String, _>| value.expect("internal error: a state is data");
    BTreeMap::from([
        ("step".to_owned(), state.step.to_string()),
        ("seed".to_owned(), seed.to_string()),
        ("state".to_owned(), json(serde_json::to_string(state))),
        (
            "circumstances".to_owned(),
            json(serde_json::to_string(about)),
        ),
    ])
}

/// What [`facts`] has written; `None` where a checkpoint holds parameters alone.
pub fn read(facts: &BTreeMap<String, String>) -> Option<(State, Circumstances)> {
    let state = serde_json::from_str(facts.get("state")?).ok()?;
    let about = serde_json::from_str(facts.get("circumstances")?).ok()?;
    Some((state, about))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_to_the_bit() {
        let state = State {
            step: 41,
            tested: 2,
            best: Some(0.1 + 0.2),
            course: Course {
                lowest: Some(1.0 / 3.0),
                stale: 2,
                waiting: 1,
                falls: 3,
            },
            seconds: 12.25,
            untested: None,
            test: Some(Test {
                accuracy: 0.7,
                loss: f64::MIN_POSITIVE,
            }),
            ended: false,
        };
        let about = Circumstances {
            device: "a".into(),
            ..Circumstances::default()
        };
        assert_eq!(state.lines(), 41);
        let facts = facts(&state, 7, &about);
        assert_eq!(read(&facts), Some((state, about)));
        assert_eq!(read(&BTreeMap::new()), None);
    }
}
