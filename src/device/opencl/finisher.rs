//! A second process that finishes kernels before the first run of a plan wants them.
//!
//! PoCL compiles a kernel to machine code at its first launch, one at a time in a process however many threads launch,
//! and keeps the result on disk. So where a plan's program was just compiled, the program named by [`allow`] is started
//! once more: it loads that program, launches its kernels from the last one to the first, a work-item each on memory that
//! nobody reads, and ends. The plan's first run goes from the first to the last, and finds the later half done. Whatever
//! goes wrong with it, the plan only starts later.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::call::Failure;
use super::memory;
use super::platform;
use super::program::{self, Programs};
use super::queue::{Grid, Queue};
use super::step::Prepared;
use crate::op::emit::{Argument, Scalars};
use crate::op::real::Precision;
use crate::plan::Plan;

/// The hidden command that [`serve`]s.
pub const COMMAND: &str = "finish-kernels";
/// The platform whose kernels want it.
const PLATFORM: &str = "Portable Computing Language";
/// Fewer kernels are finished before it is there.
const FEWEST: usize = 6;
/// A dimension of more work-items may make another kernel of it, so it is left as it is.
const SMALL: usize = 1 << 12;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says which program has the command, which is this one: only `netc` itself knows that.
pub fn allow() {
    if let Ok(program) = std::env::current_exe() {
        let _ = PROGRAM.set(program);
    }
}

/// What the second process is to do; the program's binary follows behind the line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// The device, as `--device` takes it.
    selector: String,
    f64: bool,
    /// Bytes of the largest buffer.
    buffer_bytes: u64,
    launches: Vec<Launch>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Launch {
    function: String,
    global: [usize; 3],
    local: Option<[usize; 3]>,
    arguments: Vec<Argument>,
}

/// The second process. It ends with its work, or with this value.
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
        let program = PROGRAM.get()?;
        if queue.found.description.platform != PLATFORM || queue.found.limits.cores < 2 {
            return None;
        }
        let task = Task::new(queue, programs, plan);
        if task.launches.len() < FEWEST {
            return None;
        }
        let child = Command::new(program)
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut finisher = Self(child);
        let sent = finisher.0.stdin.take()?.write_all(&task.message(object));
        sent.is_ok().then_some(finisher)
    }
}

impl Task {
    /// The kernels of a plan that are in the program built last.
    pub(super) fn new(queue: &Queue, programs: &Programs, plan: &Plan) -> Self {
        let mut launches: Vec<Launch> = Vec::new();
        for step in &plan.steps {
            let kernel = step.call.kernel();
            let Some(function) = programs.newest_function(plan.precision, &kernel) else {
                continue;
            };
            let small = kernel.global.iter().all(|&items| items <= SMALL);
            let known = |other: &Launch| other.function == function && other.local == kernel.local;
            if launches.iter().any(known) {
                continue;
            }
            launches.push(Launch {
                function,
                global: match kernel.local {
                    Some([1, 1, 1]) if small => [1, 1, 1],
                    _ => kernel.global,
                },
                local: kernel.local,
                arguments: step.call.arguments.to_vec(),
            });
        }
        let buffers = plan.buffers.iter().map(|buffer| buffer.bytes);
        Self {
            selector: queue.found.description.selector.clone(),
            f64: plan.precision == Precision::F64,
            buffer_bytes: buffers.max().unwrap_or(1),
            launches,
        }
    }

    /// As [`serve`] reads it.
    pub(super) fn message(&self, object: &[u8]) -> Vec<u8> {
        let mut message = serde_json::to_vec(self).expect("internal error: a task is data");
        message.push(b'\n');
        message.extend_from_slice(object);
        message
    }
}

/// The second process's work, read from `input`. `None` where it could not be done, which is nobody's problem.
pub fn serve(mut input: impl Read) -> Option<()> {
    let mut all = Vec::new();
    input.read_to_end(&mut all).ok()?;
    let end = all.iter().position(|&byte| byte == b'\n')?;
    let task: Task = serde_json::from_slice(&all[..end]).ok()?;
    let devices = platform::devices();
    let found = devices
        .iter()
        .find(|found| found.description.selector == task.selector)?;
    let queue = Queue::open(found).ok()?;
    finish(&queue, &task, &all[end + 1..]).ok()
}

fn finish(queue: &Queue, task: &Task, object: &[u8]) -> Result<(), Failure> {
    let precision = if task.f64 {
        Precision::F64
    } else {
        Precision::F32
    };
    let program = program::loaded(queue, object)?;
    // The one buffer of all: nobody reads what is computed.
    let buffer = memory::create(queue, task.buffer_bytes)?;
    for launch in task.launches.iter().rev() {
        let kernel = program::kernel(&program, &launch.function)?;
        let grid = Grid::new(launch.global, launch.local);
        let mut prepared = Prepared::new(kernel, grid, &launch.arguments, |_| &buffer, precision)?;
        prepared.launch(queue, &Scalars::default())?;
        queue.finish()?;
    }
    Ok(())
}
