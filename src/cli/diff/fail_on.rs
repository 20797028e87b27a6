//! `--fail-on`: when a comparison fails a check.

use std::str::FromStr;

use super::compared::Compared;
use super::{FINE, PROBLEMS, TROUBLE};
use crate::cli::{Exit, bytes, grouped};
use crate::config::MemoryLimit;
use crate::diff::consequence::Fate;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Checkpoint,
    Cost,
    Memory,
    Any,
}

/// How much is too much.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Threshold {
    /// More than so much of the old figure, 0.1 for 10 %.
    Share(f64),
    /// More than so much in all.
    Amount(u64),
}

/// One `--fail-on`.
#[derive(Clone, Debug, PartialEq)]
pub struct FailOn {
    what: What,
    threshold: Threshold,
    text: String,
}

/// What came of one `--fail-on`.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// As it was asked for.
    pub what: String,
    /// The exit code that it asks for.
    pub exit: Exit,
    /// What happened, where something did.
    pub words: Option<String>,
}

impl FromStr for FailOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, threshold) = match text.split_once('=') {
            Some((word, threshold)) => (word, Some(threshold)),
            None => (text, None),
        };
        let what = match word {
            "checkpoint" => What::Checkpoint,
            "cost" => What::Cost,
            "memory" => What::Memory,
            "any" => What::Any,
            _ => return Err("`checkpoint`, `cost`, `memory` or `any` is needed".into()),
        };
        let threshold = match threshold {
            None => Threshold::Amount(0),
            Some(_) if what == What::Any => return Err("`any` has no threshold".into()),
            Some(text) => threshold_of(text, what == What::Memory).ok_or_else(|| {
                let amount = if what == What::Memory {
                    "`100MiB`"
                } else {
                    "`1000000`"
                };
                format!("a threshold such as `10%` or {amount} is needed")
            })?,
        };
        Ok(Self {
            what,
            threshold,
            text: text.into(),
        })
    }
}

fn threshold_of(text: &str, memory: bool) -> Option<Threshold> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().ok()?;
        let right = percent.is_finite() && percent >= 0.0;
        return right.then_some(Threshold::Share(percent / 100.0));
    }
    let amount = text.parse().ok().map(Threshold::Amount);
    amount.or_else(|| match text.parse() {
        Ok(MemoryLimit::Bytes(bytes)) if memory => Some(Threshold::Amount(bytes)),
        _ => None,
    })
}

impl Threshold {
    /// Whether a figure grew by more.
    fn is_passed(self, old: u64, new: u64) -> bool {
        match self {
            Self::Amount(amount) => new.saturating_sub(old) > amount,
            Self::Share(share) => new as f64 > old as f64 * (1.0 + share),
        }
    }
}

impl FailOn {
    /// Whether it happened.
    pub fn judge(&self, compared: &Compared) -> Verdict {
        let (exit, words) = match self.happened(compared) {
            None => (
                TROUBLE,
                Some("not known without the input's shape: pass `--input 3x227x227`".into()),
            ),
            Some(words) if words.is_empty() => (FINE, None),
            Some(words) => (PROBLEMS, Some(words.join("; "))),
        };
        Verdict {
            what: self.text.clone(),
            exit,
            words,
        }
    }

    /// What happened; `None` where it cannot be told.
    fn happened(&self, compared: &Compared) -> Option<Vec<String>> {
        let grew = |of: &str, old: u64, new: u64, show: fn(u64) -> String| {
            let passed = self.threshold.is_passed(old, new);
            passed.then(|| format!("{of} {} -> {}", show(old), show(new)))
        };
        match self.what {
            What::Any if compared.is_same() => Some(Vec::new()),
            What::Any => Some(vec!["the networks differ".into()]),
            What::Cost => {
                let (_, consequences) = compared.difference.as_ref()?;
                let [old, new] = consequences.totals;
                let ((p, m), (parameters, multiply_adds)) = (old?, new?);
                let grown = [
                    grew("parameters", p, parameters, grouped),
                    grew("multiply-adds", m, multiply_adds, grouped),
                ];
                Some(grown.into_iter().flatten().collect())
            }
            What::Memory => {
                let [old, new] = [0, 1].map(|side| compared.sides[side].memory);
                let (old, new) = (old?, new?);
                let grown = [
                    grew("training", old.training_bytes, new.training_bytes, bytes),
                    grew("inference", old.inference_bytes, new.inference_bytes, bytes),
                ];
                Some(grown.into_iter().flatten().collect())
            }
            What::Checkpoint => {
                let (_, consequences) = compared.difference.as_ref()?;
                let tensors = consequences.tensors.as_ref()?;
                let values = |lost: bool| {
                    let tensors = tensors.iter().filter(|t| !lost || t.fate != Fate::Fits);
                    let shapes = tensors.filter_map(|t| t.old.as_ref());
                    shapes
                        .map(|(_, shape)| shape.iter().product::<usize>() as u64)
                        .sum::<u64>()
                };
                let (lost, all) = (values(true), values(false));
                let passed = match self.threshold {
                    Threshold::Amount(amount) => lost > amount,
                    Threshold::Share(share) => lost as f64 > all as f64 * share,
                };
                let words =
                    || format!("{} of {} values no longer fit", grouped(lost), grouped(all));
                Some(passed.then(words).into_iter().collect())
            }
        }
    }
}
