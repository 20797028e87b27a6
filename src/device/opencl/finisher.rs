//! A second process beside this one, for what PoCL does one at a time in a process however many threads ask.
//!
//! **Compiling and finishing.** PoCL compiles a program's text, and each of its kernels to machine code at the first
//! launch, which it keeps on disk. So where a plan's kernels are new, their later half is a program of its own: the
//! program named by [`allow`] is started once more, compiles that half, keeps it in the cache, says so, and launches its
//! kernels from the last one to the first, a work-item each. The plan's first run goes from the first to the last, and
//! finds those done (`nets/small.net`: 7 -> 6 s until the first step, 2026-11-29).
//!
//! **Trying.** What a later start would load instead of the programs ([`super::ready`]) is launched once in a process of
//! its own before it is kept, because PoCL ends the process where something is missing.
//!
//! Whatever goes wrong with the second process, a plan only starts later.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::build::Build;
use super::cache::{Cache, Key};
use super::launch::{Launch, Launches, parted, with_bytes};
use super::platform;
use super::queue::Queue;
use super::ready::{self, PLATFORM};
use crate::plan::Plan;

/// The hidden command that [`serve`]s.
pub const COMMAND: &str = "finish-kernels";
/// Fewer kernels are done before it is there.
const FEWEST: usize = 6;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says which program has the command, which is this one: only `netc` itself knows that.
pub fn allow() {
    if let Ok(program) = std::env::current_exe() {
        let _ = PROGRAM.set(program);
    }
}

/// What the second process is to do; a text or a binary follows behind the line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// The device, as `--device` takes it.
    selector: String,
    work: Work,
    launches: Launches,
}

/// The program to launch kernels of.
#[derive(Debug, Serialize, Deserialize)]
enum Work {
    /// To be compiled from the text.
    Compile {
        /// The compiler's.
        options: String,
    },
    /// To be loaded from the binary, and kept under this key if it works.
    Try(Key),
}

/// The second process that compiles and finishes kernels. It ends with its work, or with this value.
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

    /// Whether a second process gains time for so many new kernels, and works.
    pub fn helps(queue: &Queue, kernels: usize) -> bool {
        let found = &queue.found;
        let gains = found.description.platform == PLATFORM && found.limits.cores > 1;
        gains && kernels >= FEWEST && PROGRAM.get().is_some()
    }

    /// Starts it with a text that has the kernels of these steps, and the compiler's options.
    pub fn start(
        queue: &Queue,
        plan: &Plan,
        steps: &[usize],
        (text, options): &(String, &str),
    ) -> Option<Self> {
        let task = Task::compiling(queue, plan, steps, options);
        process(&task.message(text.as_bytes())).map(Self)
    }

    /// Waits until its program is in the cache, or it has given up.
    pub fn await_program(&mut self) {
        if let Some(mut said) = self.0.stdout.take() {
            // Nothing is said where it failed, and the program is then compiled here.
            let _ = said.read(&mut [0]);
        }
    }
}

/// Starts a process that tries what a later start may load, and keeps it under the key if it works.
pub fn try_ready(queue: &Queue, launches: Launches, key: Key, record: &[u8]) -> Option<Child> {
    let task = Task {
        selector: queue.found.description.selector.clone(),
        work: Work::Try(key),
        launches,
    };
    process(&task.message(record))
}

/// The second process with its task.
fn process(message: &[u8]) -> Option<Child> {
    let mut child = Command::new(PROGRAM.get()?)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
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
    /// To compile the kernels of these steps, and to finish them from the last one to the first.
    pub(super) fn compiling(queue: &Queue, plan: &Plan, steps: &[usize], options: &str) -> Self {
        let launch = |&step: &usize| {
            let call = &plan.steps[step].call;
            let kernel = call.kernel();
            let function = ready::function(&kernel, plan.precision);
            Launch::new(function, &kernel, &call.arguments)
        };
        Self {
            selector: queue.found.description.selector.clone(),
            work: Work::Compile {
                options: options.to_owned(),
            },
            launches: Launches::new(plan, steps.iter().rev().map(launch).collect()),
        }
    }

    /// As [`serve`] reads it.
    pub(super) fn message(&self, binary: &[u8]) -> Vec<u8> {
        with_bytes(self, binary)
    }
}

/// The second process's work, read from `input`; a byte to `told` says that the program is in the cache. `None` where it
/// could not be done, which is nobody's problem.
pub fn serve(mut input: impl Read, mut told: impl Write) -> Option<()> {
    let mut all = Vec::new();
    input.read_to_end(&mut all).ok()?;
    let (task, given) = parted::<Task>(&all)?;
    let devices = platform::devices();
    let found = devices
        .iter()
        .find(|found| found.description.selector == task.selector)?;
    let (queue, cache) = (Queue::open(found).ok()?, Cache::of_user());
    match task.work {
        Work::Compile { options } => {
            let build = Build {
                queue: &queue,
                cache: &cache,
                text: std::str::from_utf8(given).ok()?,
                options: &options,
            };
            let (object, _) = build.object().ok()?;
            told.write_all(b"\n").ok()?;
            told.flush().ok()?;
            let program = build.link(&object).ok()?;
            task.launches.run(&queue, &program).ok()
        }
        Work::Try(key) => {
            let program = ready::program(&queue, given)?;
            task.launches.run(&queue, &program).ok()?;
            cache.entry(&key)?.keep(given);
            Some(())
        }
    }
}
