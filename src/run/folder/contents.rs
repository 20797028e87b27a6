//! What stands in a run's folder from before the first step on.

use super::name;
use crate::config::Config;
use crate::data::Mean;
use crate::data::mean::Origin;

/// Everything that is written before the first step.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The network's text.
    pub network: &'a str,
    /// The resolved configuration.
    pub config: &'a Config,
    /// The classes' names in the order of the labels.
    pub classes: &'a [String],
    /// The mean, and what it is of.
    pub mean: (&'a Mean, Origin),
    /// The images that cannot be read and are left out: of those learned from, held back, tested on.
    pub left_out: [&'a [String]; 3],
}

/// What is written before the first step, file by file; the configuration is the last one.
#[derive(Clone, Debug)]
pub struct Files(pub(super) Vec<(&'static str, Vec<u8>)>);

/// How `left-out.txt` names the three sets.
pub(super) const PARTS: [&str; 3] = ["train", "validation", "test"];

impl Contents<'_> {
    /// The files that say it.
    pub fn files(&self) -> Files {
        let (mean, of) = &self.mean;
        let mut files = vec![
            (name::NETWORK, self.network.into()),
            (name::CLASSES, (self.classes.join("\n") + "\n").into()),
            (name::MEAN, mean.save(of)),
        ];
        let lines = PARTS.iter().zip(self.left_out).flat_map(|(part, files)| {
            let line = move |file: &String| format!("{part} {file}\n");
            files.iter().map(line)
        });
        let lines: String = lines.collect();
        if !lines.is_empty() {
            files.push((name::LEFT_OUT, lines.into()));
        }
        files.push((name::CONFIG, self.config.to_toml().into()));
        Files(files)
    }
}
