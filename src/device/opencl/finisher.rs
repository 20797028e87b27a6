//! A second process that launches a plan's kernels on memory that nobody reads.
//!
//! **Finishing.** PoCL compiles a kernel to machine code at its first launch, one at a time in a process however many
//! threads launch, and keeps the result on disk. So where a plan's program was just compiled, the program named by
//! [`allow`] is started once more: it loads that program, launches its kernels from the last one to the first, a work-item
//! each, and ends. The plan's first run goes from the first to the last, and finds the later half done.
//!
//! **Trying.** What a later start would load instead of the program ([`super::ready`]) is launched once in a process of its
//! own before it is kept, because PoCL ends the process where something is missing.
//!
//! Whatever goes wrong with the second process, a plan only starts later.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::build;
use super::cache::{Cache, Key};
use super::launch::{Launch, Launches, parted, with_bytes};
use super::platform;
use super::program::Programs;
use super::queue::Queue;
use super::ready::{self, PLATFORM};
use crate::plan::Plan;

/// The hidden command that [`serve`]s.
pub const COMMAND: &str = "finish-kernels";
/// Fewer kernels are finished before it is there.
const FEWEST: usize = 6;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says which program has the command, which is this one: only `netc` itself knows that.
pub fn allow() {
    if let Ok(program) = std::env::current_exe() {
        let _ = PROGRAM.set(program);
    }
}

/// What the second process is to do; a binary follows behind the line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// The device, as `--device` takes it.
    selector: String,
    launches: Launches,
    /// Under which key the binary is kept if it works; `None` where the kernels are to be finished.
    keep: Option<Key>,
}

/// The second process that finishes kernels. It ends with its work, or with this value.
#[derive(Debug)]
pub struct Finisher(Child);

impl Drop for Finisher {
    fn drop(&mut self) {
        // It may be through already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Finisher {
    /// Whether it is still at work.
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Starts it for a plan whose program was just compiled to `object`; `None` where that gains nothing or does not
    /// work.
    pub fn start(queue: &Queue, programs: &Programs, plan: &Plan, object: &[u8]) -> Option<Self> {
        if queue.found.description.platform != PLATFORM || queue.found.limits.cores < 2 {
            return None;
        }
        let task = Task::finishing(queue, programs, plan);
        if task.launches.list.len() < FEWEST {
            return None;
        }
        process(&task.message(object)).map(Self)
    }
}

/// Starts a process that tries what a later start may load, and keeps it under the key if it works.
pub fn try_ready(queue: &Queue, launches: Launches, key: Key, record: &[u8]) -> Option<Child> {
    let task = Task {
        selector: queue.found.description.selector.clone(),
        launches,
        keep: Some(key),
    };
    process(&task.message(record))
}

/// The second process with its task.
fn process(message: &[u8]) -> Option<Child> {
    let mut child = Command::new(PROGRAM.get()?)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let sent = child.stdin.take()?.write_all(message);
    if sent.is_err() {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    Some(child)
}

impl Task {
    /// To finish the kernels of a plan that are in the program built last, from the last one to the first.
    pub(super) fn finishing(queue: &Queue, programs: &Programs, plan: &Plan) -> Self {
        let mut list: Vec<Launch> = Vec::new();
        for step in &plan.steps {
            let kernel = step.call.kernel();
            let Some(function) = programs.newest_function(plan.precision, &kernel) else {
                continue;
            };
            let known = |other: &Launch| other.function == function && other.local == kernel.local;
            if !list.iter().any(known) {
                list.push(Launch::new(function, &kernel, &step.call.arguments));
            }
        }
        list.reverse();
        Self {
            selector: queue.found.description.selector.clone(),
            launches: Launches::new(plan, list),
            keep: None,
        }
    }

    /// As [`serve`] reads it.
    pub(super) fn message(&self, binary: &[u8]) -> Vec<u8> {
        with_bytes(self, binary)
    }
}

/// The second process's work, read from `input`. `None` where it could not be done, which is nobody's problem.
pub fn serve(mut input: impl Read) -> Option<()> {
    let mut all = Vec::new();
    input.read_to_end(&mut all).ok()?;
    let (task, binary) = parted::<Task>(&all)?;
    let devices = platform::devices();
    let found = devices
        .iter()
        .find(|found| found.description.selector == task.selector)?;
    let queue = Queue::open(found).ok()?;
    let program = match task.keep {
        Some(_) => ready::program(&queue, binary)?,
        None => build::loaded(&queue, binary).ok()?,
    };
    task.launches.run(&queue, &program).ok()?;
    if let Some(key) = task.keep {
        Cache::of_user().entry(&key)?.keep(binary);
    }
    Some(())
}
