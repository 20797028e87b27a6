//! Any bytes: no panic, no text outside, no hang, no form but one.
//!
//! Inputs are the networks and configurations of the repository, changed byte by byte and word by word; one that leads
//! to codes which no input led to together before is changed further. The draw is seeded: the same number of inputs
//! is the same inputs. `NETC_FUZZ_SECONDS=600 cargo test --release --test all fuzz::` goes on for so long, then demands
//! that the process never held 1 GiB; `NETC_FUZZ_SEED` draws others.

pub mod checks;
mod mutate;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use netc::random::{Purpose, Stream};
use rand::RngExt;

use crate::harness::{number_of, root};
use checks::Codes;
use mutate::Mutator;

/// Inputs of a run that no time is given to: about three seconds in release.
const INPUTS: u64 = 6_000;
/// No input may take longer.
const LONGEST: Duration = Duration::from_secs(1);
/// One that takes so long will never end.
const NEVER: Duration = Duration::from_secs(30);
/// The input that is being tried, and since when.
static TRIED: Mutex<Option<(Instant, Vec<u8>)>> = Mutex::new(None);
/// Inputs kept of each kind.
const MOST_KEPT: usize = 4_096;
/// Steps of making an input that fails smaller.
const SHRINKS: usize = 400;

/// What is asked of an input: the codes it led to.
type Check = fn(&[u8]) -> Codes;

/// What went wrong, in words without the numbers of the one input.
fn failure(check: Check, input: &[u8]) -> Result<Codes, String> {
    let mut quickest = Duration::MAX;
    // A machine may be busy elsewhere: only an input that is slow each time is slow.
    for _ in 0..3 {
        let start = Instant::now();
        *TRIED.lock().expect("no panic under this lock") = Some((start, input.to_vec()));
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| check(input)));
        *TRIED.lock().expect("no panic under this lock") = None;
        quickest = quickest.min(start.elapsed());
        match outcome {
            Ok(codes) if quickest <= LONGEST => return Ok(codes),
            Ok(_) => (),
            Err(payload) => {
                let words = payload
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| payload.downcast_ref::<&str>().copied())
                    .unwrap_or("a panic without words");
                let first = words.lines().next().unwrap_or_default();
                return Err(first
                    .chars()
                    .filter(|c| !c.is_ascii_digit())
                    .take(60)
                    .collect());
            }
        }
    }
    Err("too slow".to_owned())
}

/// Ends the process, with the input's bytes, where one never ends.
fn watch() -> ! {
    loop {
        std::thread::sleep(NEVER / 10);
        let tried = TRIED.lock().expect("no panic under this lock");
        if let Some((_, input)) = tried.as_ref().filter(|(since, _)| since.elapsed() > NEVER) {
            eprintln!("never ends: \"{}\"", input.escape_ascii());
            std::process::abort();
        }
    }
}

/// A smaller input that fails in the same way: pieces are left out, large ones first, as long as it does.
fn shrink(check: Check, mut input: Vec<u8>, why: &str) -> Vec<u8> {
    let mut left = SHRINKS;
    let mut piece = input.len().div_ceil(2);
    while piece > 0 && left > 0 {
        let mut at = 0;
        while at < input.len() && left > 0 {
            let end = (at + piece).min(input.len());
            let shorter = [&input[..at], &input[end..]].concat();
            left -= 1;
            if failure(check, &shorter).is_err_and(|other| other == why) {
                input = shorter;
            } else {
                at = end;
            }
        }
        piece /= 2;
    }
    input
}

/// The files below a folder with this ending, in the order of their names.
fn files(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(root().join(folder))
        .expect("a folder of the repository")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("a file"))
        .collect()
}

/// One kind of input, and what was found with it.
struct Target {
    name: &'static str,
    check: Check,
    corpus: Vec<Vec<u8>>,
    seen: HashSet<Codes>,
    found: BTreeMap<String, Vec<u8>>,
}

impl Target {
    fn new(name: &'static str, check: Check, ending: &str, folders: &[&str]) -> Self {
        let corpus: Vec<_> = folders
            .iter()
            .flat_map(|folder| files(folder, ending))
            .collect();
        assert!(corpus.len() > 8, "{name}: {} files", corpus.len());
        let mut target = Self {
            name,
            check,
            corpus: Vec::new(),
            seen: HashSet::new(),
            found: BTreeMap::new(),
        };
        for input in corpus {
            target.take(&input);
            target.corpus.push(input);
        }
        target
    }

    /// Tries an input; says whether no other led to the same codes.
    fn take(&mut self, input: &[u8]) -> bool {
        match failure(self.check, input) {
            Ok(codes) => return self.seen.insert(codes),
            Err(why) if self.found.contains_key(&why) => (),
            Err(why) => {
                let least = shrink(self.check, input.to_vec(), &why);
                eprintln!("{}: {why}: \"{}\"", self.name, least.escape_ascii());
                self.found.insert(why, least);
            }
        }
        false
    }
}

/// The most memory that this process ever held, in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc/self/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[test]
fn any_bytes() {
    std::thread::spawn(|| watch());
    let nets: &[&str] = &["nets", "tests/cases/errors", "tests/cases/format"];
    let mut targets = [
        Target::new("network", checks::network, "net", nets),
        Target::new("toml", checks::toml, "toml", nets),
    ];
    let seconds = number_of("NETC_FUZZ_SECONDS", 0);
    let mut random = Stream::new(number_of("NETC_FUZZ_SEED", 1), Purpose::Dropout, 0, 0);
    let start = Instant::now();
    let mut inputs = 0;
    while if seconds == 0 {
        inputs < INPUTS
    } else {
        start.elapsed().as_secs() < seconds
    } {
        let target = &mut targets[usize::from(random.random_range(0..4) == 0)];
        let input = Mutator::new(&mut random, &target.corpus).input();
        if target.take(&input) && target.corpus.len() < MOST_KEPT {
            target.corpus.push(input);
        }
        inputs += 1;
    }
    let peak = peak_memory();
    eprintln!(
        "{inputs} inputs, {} s, {} kept, at most {} MiB",
        start.elapsed().as_secs(),
        targets
            .iter()
            .map(|target| target.corpus.len())
            .sum::<usize>(),
        peak.map_or("?".to_owned(), |bytes| (bytes >> 20).to_string()),
    );
    assert!(
        targets.iter().all(|target| target.seen.len() > 10),
        "hardly anything was tried"
    );
    assert!(
        targets.iter().all(|target| target.found.is_empty()),
        "see above"
    );
    // Other suites share the process, unless it runs for this one.
    assert!(
        seconds == 0 || peak.is_none_or(|bytes| bytes < 1 << 30),
        "{peak:?} bytes"
    );
}
