//! A plan's launches as data, so that a second process can do them: on memory that nobody reads.

use std::collections::BTreeSet;

use ocl::core::Program;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::build;
use super::call::Failure;
use super::memory;
use super::queue::{Grid, Queue};
use super::step::Prepared;
use crate::op::emit::{Argument, BufferId, Element, Kernel, Scalars};
use crate::op::real::Precision;
use crate::plan::Plan;

/// A dimension of more work-items makes another kernel of it (PoCL 3.1: from 65,535 on), so it is left as it is.
const SMALL: usize = (1 << 16) - 2;

/// Data as a line, and bytes behind it.
pub fn with_bytes(data: &impl Serialize, bytes: &[u8]) -> Vec<u8> {
    let mut all = serde_json::to_vec(data).expect("internal error: what is sent is data");
    all.push(b'\n');
    all.extend_from_slice(bytes);
    all
}

/// What [`with_bytes`] put together.
pub fn parted<T: DeserializeOwned>(all: &[u8]) -> Option<(T, &[u8])> {
    let end = all.iter().position(|&byte| byte == b'\n')?;
    Some((serde_json::from_slice(&all[..end]).ok()?, &all[end + 1..]))
}

/// One launch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The kernel's name in its program.
    pub function: String,
    /// Work-items: one where that finishes the same kernel.
    pub global: [usize; 3],
    /// Of a group.
    pub local: Option<[usize; 3]>,
    /// What the kernel is given.
    pub arguments: Vec<Argument>,
}

impl Launch {
    /// A step's.
    pub fn new(function: String, kernel: &Kernel, arguments: &[Argument]) -> Self {
        let small = kernel.global.iter().all(|&items| items <= SMALL);
        Self {
            function,
            global: match kernel.local {
                Some([1, 1, 1]) if small => [1, 1, 1],
                _ => kernel.global,
            },
            local: kernel.local,
            arguments: arguments.to_vec(),
        }
    }
}

/// Launches to do, of one program.
#[derive(Debug, Serialize, Deserialize)]
pub struct Launches {
    /// In the order in which they are done.
    pub list: Vec<Launch>,
    f64: bool,
    /// Bytes of the largest buffer of real numbers.
    reals: u64,
    /// Bytes of the largest of all others, and which those are: kernels find places by what they hold.
    others: (u64, BTreeSet<usize>),
}

impl Launches {
    /// Of a plan.
    pub fn new(plan: &Plan, list: Vec<Launch>) -> Self {
        let largest = |real: bool| {
            let buffers = plan.buffers.iter();
            let buffers = buffers.filter(|buffer| (buffer.element == Element::Real) == real);
            buffers.map(|buffer| buffer.bytes).max().unwrap_or(16)
        };
        let other = |id: &usize| plan.buffers[*id].element != Element::Real;
        Self {
            list,
            f64: plan.precision == Precision::F64,
            reals: largest(true),
            others: (
                largest(false),
                (0..plan.buffers.len()).filter(other).collect(),
            ),
        }
    }

    /// What their numbers are.
    pub fn precision(&self) -> Precision {
        if self.f64 {
            Precision::F64
        } else {
            Precision::F32
        }
    }

    /// Does them one after the other.
    ///
    /// # Errors
    /// The call that failed.
    pub fn run(&self, queue: &Queue, program: &Program) -> Result<(), Failure> {
        // One buffer for all numbers: nobody reads what is computed. Labels and places in windows start as zeros.
        let (bytes, ids) = &self.others;
        let (reals, others) = (
            memory::create(queue, self.reals)?,
            memory::create(queue, *bytes)?,
        );
        queue.zero(&others, *bytes as usize)?;
        let buffer = |id: BufferId| if ids.contains(&id.0) { &others } else { &reals };
        for launch in &self.list {
            let kernel = build::kernel(program, &launch.function)?;
            let grid = Grid::new(launch.global, launch.local);
            let (arguments, precision) = (&launch.arguments, self.precision());
            let mut prepared = Prepared::new(kernel, grid, arguments, buffer, precision)?;
            prepared.launch(queue, &Scalars::default())?;
            queue.finish()?;
        }
        Ok(())
    }
}
