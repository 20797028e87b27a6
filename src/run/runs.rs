//! Runs that are there: where they are, and what each one's files say of it.
//!
//! Owns: finding runs, their natural order, [`Listed`]. Nothing of a run is ever changed, and tensors are not read: what a
//! checkpoint says stands in its header. Times come from files, whatever the clock said then.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::checkpoint;
use super::folder::{self, name};
use super::metrics::Metrics;
use super::state::{self, State, Test};
use crate::config::{Batch, Config};
use crate::data::mean::Origin;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::file::unreadable;
use crate::format;

/// Images a second are the median of so many steps, the last ones.
const LAST: usize = 50;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its last parameters are there.
    Finished,
    /// A process trains it.
    Training,
    /// It can go on from a checkpoint.
    Stopped,
    /// It ended before its first checkpoint.
    NoCheckpoint,
    /// A file of it cannot be read.
    Damaged,
}

/// The epoch of the best accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// The accuracy.
    pub accuracy: f64,
    /// The first epoch that had it.
    pub epoch: u64,
    /// Whether it is of images held back, not of the test images.
    pub is_validation: bool,
}

/// What a run's files say. What is not known is `None`.
#[derive(Debug)]
pub struct Listed {
    /// Where it is.
    pub path: PathBuf,
    /// The network's canonical text on one line.
    pub network: Option<String>,
    /// Its configuration.
    pub config: Option<Config>,
    /// How it stands.
    pub standing: Standing,
    /// Steps done: those that it would go on after, or the last one told of.
    pub step: u64,
    /// Steps of all its epochs.
    pub steps: Option<u64>,
    /// Epochs that are tested.
    pub epochs_done: u64,
    /// The best epoch.
    pub best: Option<Best>,
    /// The last test.
    pub test: Option<Test>,
    /// The last test on images held back.
    pub validation: Option<Test>,
    /// The loss of the last step.
    pub loss: Option<f64>,
    /// The median of the last steps.
    pub images_per_second: Option<f64>,
    /// How long it has trained.
    pub seconds: Option<f64>,
    /// Bytes of all its files, of several names of one file once.
    pub bytes: u64,
    /// When its figures, or else its settings, were last written.
    pub modified: Option<SystemTime>,
    /// What is wrong with its files: warnings.
    pub faults: Vec<Diagnostic>,
}

/// The runs at and below a folder, in natural order, and what could not be looked at. Links and hidden folders are not
/// followed, and nothing is looked for in a run.
///
/// # Errors
/// E0501 there is no such folder; E0901 it cannot be read.
pub fn find(folder: &Path) -> Result<(Vec<PathBuf>, Vec<Diagnostic>), Diagnostic> {
    fs::read_dir(folder).map_err(|e| unreadable(folder, &e))?;
    let (mut runs, mut faults, mut left) = (Vec::new(), Vec::new(), vec![folder.to_path_buf()]);
    while let Some(at) = left.pop() {
        if is_run(&at) {
            let plain = at.strip_prefix(".").unwrap_or(&at);
            let plain = if plain.as_os_str().is_empty() {
                &at
            } else {
                plain
            };
            runs.push(plain.to_path_buf());
            continue;
        }
        let entries = match fs::read_dir(&at) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => {
                faults.push(unreadable(&at, &e).as_warning());
                continue;
            }
        };
        let folders = entries.flatten().filter(|entry| {
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            !hidden && entry.file_type().is_ok_and(|kind| kind.is_dir())
        });
        left.extend(folders.map(|entry| entry.path()));
    }
    sort_by_name(&mut runs);
    Ok((runs, faults))
}

/// Whether a folder is a run; one that has lost one of its two texts counts while its checkpoints are there.
fn is_run(path: &Path) -> bool {
    let [network, config, checkpoints] =
        [name::NETWORK, name::CONFIG, name::CHECKPOINTS].map(|name| path.join(name).exists());
    network && config || (network || config) && checkpoints
}

/// A part of a name. Derived order: numbers by their value, before words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    /// Digits without leading zeros, and how many: more digits are more.
    Number(usize, String),
    Word(String),
}

fn pieces(text: &str) -> Vec<Piece> {
    let is_digit = |c: char| c.is_ascii_digit();
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let digits = is_digit(first);
        let end = rest.find(|c| is_digit(c) != digits).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        pieces.push(if digits {
            let number = piece.trim_start_matches('0');
            Piece::Number(number.len(), number.to_owned())
        } else {
            Piece::Word(piece.to_owned())
        });
        rest = after;
    }
    pieces
}

/// In natural order, folder by folder: `small-2` before `small-10`.
pub fn sort_by_name(paths: &mut [PathBuf]) {
    paths.sort_by_cached_key(|path| {
        let parts = path.components();
        let parts = parts.map(|part| pieces(&part.as_os_str().to_string_lossy()));
        (parts.collect::<Vec<_>>(), path.clone())
    });
}

/// What `metrics.jsonl` says.
#[derive(Default)]
struct Figures {
    last: Option<Metrics>,
    /// The last one with a test.
    tested: Option<Metrics>,
    best: Option<Best>,
    /// Images a second of the last steps.
    rates: VecDeque<f64>,
}

impl Figures {
    /// Reads whole lines; one that is cut off at the end is still being written, or was when the process died.
    fn read(path: &Path) -> (Self, Option<Diagnostic>) {
        let mut figures = Self::default();
        let mut file = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(e) if e.kind() == ErrorKind::NotFound => return (figures, None),
            Err(e) => return (figures, Some(unreadable(path, &e))),
        };
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            match file.read_until(b'\n', &mut line) {
                Ok(_) if !line.ends_with(b"\n") => break,
                Ok(_) => {}
                Err(e) => return (figures, Some(unreadable(path, &e))),
            }
            match serde_json::from_slice(&line) {
                Ok(metrics) => figures.take(metrics),
                Err(e) => {
                    let message =
                        format!("line {number} of `{}` cannot be read: {e}", path.display());
                    let fault = Diagnostic::error(Code::E0901, message)
                        .note("its figures are those of the lines before");
                    return (figures, Some(fault));
                }
            }
        }
        (figures, None)
    }

    fn take(&mut self, metrics: Metrics) {
        if self.rates.len() == LAST {
            self.rates.pop_front();
        }
        self.rates.push_back(metrics.images_per_second);
        if let Some(accuracy) = metrics.validation_accuracy.or(metrics.test_accuracy) {
            if self.best.is_none_or(|best| accuracy > best.accuracy) {
                self.best = Some(Best {
                    accuracy,
                    epoch: metrics.epoch,
                    is_validation: metrics.validation_accuracy.is_some(),
                });
            }
            self.tested = Some(metrics.clone());
        }
        self.last = Some(metrics);
    }

    fn median_rate(&self) -> Option<f64> {
        let mut rates: Vec<f64> = self.rates.iter().copied().collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    }
}

/// The state of the newest checkpoint that training could go on from, and what is wrong with checkpoints.
fn kept(path: &Path) -> (Option<State>, Vec<Diagnostic>) {
    let (mut newest, mut faults) = (None, Vec::new());
    for (_, told) in folder::checkpoints(path) {
        match told {
            Ok(facts) => newest = newest.or_else(|| Some(state::read(&facts)?.0)),
            Err(fault) if fault.code == Code::E0501 => {}
            Err(fault) => faults.push(fault),
        }
    }
    (newest, faults)
}

/// The steps of all epochs.
fn steps(config: &Config, images: u64) -> Option<u64> {
    let Batch::Images(batch) = config.train.batch else {
        return None;
    };
    let each = config.train.accumulate.checked_mul(batch as u64)?;
    images.checked_div(each)?.checked_mul(config.train.epochs)
}

/// Bytes of the files below a folder.
fn size(folder: &Path) -> u64 {
    let (mut bytes, mut left) = (0, vec![folder.to_path_buf()]);
    #[cfg(unix)]
    let mut seen = std::collections::HashSet::new();
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(at).into_iter().flatten().flatten() {
            // Of a link itself, not of what it points to.
            let Ok(about) = entry.metadata() else {
                continue;
            };
            if about.is_dir() {
                left.push(entry.path());
                continue;
            }
            #[cfg(unix)]
            {
                use std::os::unix::fs::MetadataExt as _;
                if about.nlink() > 1 && !seen.insert((about.dev(), about.ino())) {
                    continue;
                }
            }
            bytes += about.len();
        }
    }
    bytes
}

impl Listed {
    /// Reads a run.
    pub fn read(path: &Path) -> Self {
        let mut faults = Vec::new();
        // First, since a training that ends meanwhile leaves whole files behind.
        let is_training = folder::is_training(path).unwrap_or_else(|fault| {
            faults.push(fault);
            false
        });
        let settings = folder::settings(path, &[]);
        let settings = settings.map_err(|found| faults.extend(found.into_vec()));
        let (network, config) = settings.map_or((None, None), |settings| {
            let network = format::one_line(&settings.network);
            let network = network.map_err(|found| faults.extend(found.into_vec()));
            (network.ok(), Some(settings.config))
        });
        let place = path.join(name::METRICS);
        let (figures, fault) = Figures::read(&place);
        faults.extend(fault);
        let (state, damaged) = kept(path);
        faults.extend(damaged);
        let mut images = None;
        for file in [name::FINAL, name::MEAN] {
            match checkpoint::peek(&path.join(file)) {
                Ok(header) if file == name::MEAN => {
                    images = Origin::read(&header).map(|(images, _)| images);
                }
                Ok(_) => {}
                Err(fault) if fault.code == Code::E0501 => {}
                Err(fault) => faults.push(fault),
            }
        }
        faults.retain(|fault| fault.severity == Severity::Error);
        // It may have been begun to be trained further.
        let finish = folder::finish(path);
        let is_end = finish.is_some_and(|finish| {
            let config = config.as_ref();
            config.is_none_or(|config| finish.is_end(config))
        });
        let standing = if is_training {
            Standing::Training
        } else if !faults.is_empty() {
            Standing::Damaged
        } else if is_end {
            Standing::Finished
        } else if state.is_some() {
            Standing::Stopped
        } else {
            Standing::NoCheckpoint
        };
        let told = figures.last.as_ref().map(|metrics| metrics.step);
        let resumed = state.as_ref().map(|state| state.step);
        let step = match standing {
            Standing::Stopped | Standing::Damaged => resumed.or(told),
            Standing::NoCheckpoint => None,
            Standing::Training | Standing::Finished => told.or(resumed),
        };
        let test = |loss: Option<f64>, accuracy: Option<f64>| {
            let (loss, accuracy) = loss.zip(accuracy)?;
            Some(Test { accuracy, loss })
        };
        let tested = figures.tested.as_ref();
        let modified = |place: &Path| fs::metadata(place).and_then(|about| about.modified()).ok();
        Self {
            network,
            standing,
            step: step.unwrap_or(0),
            steps: config
                .as_ref()
                .zip(images)
                .and_then(|(config, images)| steps(config, images)),
            epochs_done: tested
                .map(|metrics| metrics.epoch)
                .or(state.as_ref().map(|state| state.tested))
                .unwrap_or(0),
            best: figures.best,
            test: tested
                .and_then(|metrics| test(metrics.test_loss, metrics.test_accuracy))
                .or(state.and_then(|state| state.test)),
            validation: tested
                .and_then(|metrics| test(metrics.validation_loss, metrics.validation_accuracy)),
            loss: figures.last.as_ref().map(|metrics| metrics.loss),
            images_per_second: figures.median_rate(),
            seconds: figures.last.as_ref().map(|metrics| metrics.seconds),
            bytes: size(path),
            modified: modified(&place).or_else(|| modified(&path.join(name::CONFIG))),
            faults: faults.into_iter().map(Diagnostic::as_warning).collect(),
            path: path.to_path_buf(),
            config,
        }
    }
}

/// What runs are sorted by, beside their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The best accuracy, the highest first.
    Accuracy,
    /// The last test loss, the lowest first.
    Loss,
    /// When the figures were last written, the newest last.
    Time,
}

/// Sorts runs; those that are equal stay in their order, those without such a figure come last.
pub fn sort(runs: &mut [Listed], order: Order) {
    fn known_first<T>(
        a: Option<T>,
        b: Option<T>,
        compare: impl Fn(&T, &T) -> Ordering,
    ) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) => compare(&a, &b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }
    runs.sort_by(|a, b| match order {
        Order::Accuracy => {
            let of = |run: &Listed| run.best.map(|best| best.accuracy);
            known_first(of(a), of(b), |a, b| b.total_cmp(a))
        }
        Order::Loss => {
            let of = |run: &Listed| run.test.map(|test| test.loss);
            known_first(of(a), of(b), f64::total_cmp)
        }
        // No time is older than every time.
        Order::Time => a.modified.cmp(&b.modified),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_natural_order() {
        let sorted = [
            "a",
            "a/b",
            "a/c",
            "a-1",
            "b/7",
            "b/007x",
            "small-1",
            "small-02",
            "small-2",
            "small-10",
            "small-99999999999999999999999",
            "small-x",
        ];
        let mut paths: Vec<PathBuf> = sorted.iter().rev().map(PathBuf::from).collect();
        sort_by_name(&mut paths);
        let names: Vec<&str> = paths.iter().filter_map(|path| path.to_str()).collect();
        assert_eq!(names, sorted);
    }

    #[test]
    fn figures_are_those_of_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let line = |step: u64, rate: f64, test: &str| {
            format!(
                r#"{{"step":{step},"epoch":{step},"loss":0.5,"accuracy":0.5,"images_per_second":{rate},"learning_rate":0.1,"seconds":1.5{test}}}"#
            ) + "\n"
        };
        let tested = |accuracy: f64| format!(r#","test_loss":1.0,"test_accuracy":{accuracy}"#);
        let lines = [
            line(1, 10.0, &tested(0.75)),
            line(2, 1000.0, &tested(0.75)),
            line(3, 20.0, ""),
        ];
        fs::write(&path, lines.concat() + &lines[0][..30]).unwrap();
        let (figures, fault) = Figures::read(&path);
        assert_eq!(fault, None);
        assert_eq!(figures.last.as_ref().map(|metrics| metrics.step), Some(3));
        assert_eq!(
            figures.best.map(|best| best.epoch),
            Some(1),
            "the first of equals"
        );
        assert_eq!(figures.median_rate(), Some(20.0));
        fs::write(&path, lines[..2].concat() + "{}\n" + &lines[2]).unwrap();
        let (figures, fault) = Figures::read(&path);
        assert_eq!(figures.last.map(|metrics| metrics.step), Some(2));
        assert!(fault.unwrap().message.starts_with("line 3 of"));
        assert_eq!(Figures::default().median_rate(), None);
    }

    #[test]
    fn sorting_bears_a_clock_that_was_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let run = |name: &str, modified| Listed {
            modified,
            ..Listed::read(&folder.path().join(name))
        };
        let long_ago = SystemTime::UNIX_EPOCH.checked_sub(std::time::Duration::from_hours(1));
        let mut runs = [
            run("now", Some(SystemTime::now())),
            run("old", long_ago),
            run("none", None),
        ];
        sort(&mut runs, Order::Time);
        let names: Vec<_> = runs.iter().filter_map(|run| run.path.file_name()).collect();
        assert_eq!(names, ["none", "old", "now"]);
    }
}
