//! `netc predict`: the most probable classes of images.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::eval::{Ready, ready};
use super::{Exit, FINE, Failure, Output, Running};
use crate::data::picture::{self, Fit};
use crate::diagnostic::Diagnostics;
use crate::op::real::{Precision, Real};
use crate::run::session::softmax;

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct Predict {
    /// The run's folder
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// JPEG or PNG images of any size
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// `predict --json`.
#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    run: String,
    images: Vec<Answer>,
}

#[derive(Debug, Serialize)]
struct Answer {
    image: String,
    classes: Vec<Class>,
}

#[derive(Debug, Serialize)]
struct Class {
    #[serde(rename = "class")]
    name: String,
    label: usize,
    probability: f64,
}

/// Classes shown.
const SHOWN: usize = 5;

impl Predict {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut ready = ready(
            &self.run,
            &self.running,
            self.running
                .batch
                .is_none()
                .then(|| self.images.len().min(32)),
            output,
            self.json,
        )?;
        let (data, input) = (&ready.config.data, ready.input);
        let fit = match ready.opened.stored()? {
            Some(stored) => Fit::to_stored(data, input, stored)?,
            None => Fit::new(data, input)?,
        };
        let mean = ready.opened.mean(ready.input)?;
        let size = ready.input.elements();
        let mut faults = Diagnostics::new();
        let mut pixels = vec![0u8; self.images.len() * size];
        for (image, pixels) in self.images.iter().zip(pixels.chunks_exact_mut(size)) {
            if let Err(fault) = picture::read(image, &fit, pixels) {
                faults.push(fault);
            }
        }
        if faults.has_errors() {
            return Err(faults.into());
        }
        let scale = ready.config.data.scale;
        let logits = match ready.session.precision {
            Precision::F32 => logits::<f32>(&mut ready, &pixels, |pixels, out| {
                mean.apply(scale, pixels, out);
            })?,
            Precision::F64 => logits::<f64>(&mut ready, &pixels, |pixels, out| {
                mean.apply(scale, pixels, out);
            })?,
        };
        let classes = &ready.opened.classes;
        let answers: Vec<Answer> = self
            .images
            .iter()
            .zip(logits)
            .map(|(image, logits)| {
                let probabilities = softmax(&logits);
                let mut order: Vec<usize> = (0..probabilities.len()).collect();
                order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
                let class = |label: usize| {
                    classes
                        .get(label)
                        .cloned()
                        .unwrap_or_else(|| format!("unit {label}"))
                };
                let classes = order.into_iter().take(SHOWN).map(|label| Class {
                    name: class(label),
                    label,
                    probability: probabilities[label],
                });
                Answer {
                    image: image.display().to_string(),
                    classes: classes.collect(),
                }
            })
            .collect();
        if self.json {
            let report = Report {
                version: 1,
                run: self.run.display().to_string(),
                images: answers,
            };
            output.print(
                &(serde_json::to_string_pretty(&report).expect("internal error: a report is data")
                    + "\n"),
            );
        } else {
            let mut text = String::new();
            for answer in answers {
                let _ = writeln!(text, "{}", answer.image);
                for class in answer.classes {
                    let _ = writeln!(
                        text,
                        "  {:7.3} %  {}",
                        100.0 * class.probability,
                        class.name
                    );
                }
            }
            output.print(&text);
        }
        Ok(FINE)
    }
}

/// The logits of each image.
fn logits<T: Real>(
    ready: &mut Ready,
    pixels: &[u8],
    apply: impl Fn(&[u8], &mut [T]),
) -> Result<Vec<Vec<f64>>, Failure> {
    let (size, batch) = (ready.input.elements(), ready.session.batch);
    let units = ready.session.graph.classes().unwrap_or(1);
    let mut all = Vec::new();
    for pixels in pixels.chunks(batch * size) {
        let mut images = vec![T::zero(); pixels.len()];
        for (pixels, out) in pixels.chunks_exact(size).zip(images.chunks_exact_mut(size)) {
            apply(pixels, out);
        }
        all.extend(
            ready
                .session
                .logits(&images)?
                .chunks_exact(units)
                .map(<[f64]>::to_vec),
        );
    }
    Ok(all)
}
