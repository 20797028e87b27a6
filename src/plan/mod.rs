//! The plan: a network lowered to steps on buffers with known places, before anything runs.
//!
//! Invariant: planning is pure. It asks [`Limits`] (data), never a device, so every test of it runs without OpenCL.
//! Owns: steps, buffers, lifetimes, the arena. Does not know how a step is run.

pub mod arena;
pub mod budget;

pub mod lower;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

pub use crate::op::emit::Step;
pub use crate::op::limits::{Class, Limits};

use crate::op::emit::{BufferId, Element, Ledger, Machine, Request};
use crate::op::name::Name;
use crate::op::parameter::Parameter;
use crate::op::real::Precision;
use crate::op::view::View;

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Forward only; dropout off.
    Inference,
    /// Forward, backward and update.
    Training,
}

impl Mode {
    /// `inference`, `training`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Training => "training",
        }
    }
}

/// Where a buffer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the arena, at this offset in bytes; its bytes are other buffers' outside its lifetime.
    Arena {
        /// From the arena's start, a multiple of the alignment.
        offset: u64,
    },
    /// On its own for as long as the device has any plan loaded, shared by name between plans: parameters and
    /// optimizer state.
    Persistent,
}

/// One buffer of a plan.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// `c1.dst`, `c1.weight`, `c1.weight.gradient`, `input`, `labels`.
    pub name: Name,
    /// What an element is.
    pub element: Element,
    /// How many elements, halo included.
    pub elements: usize,
    /// Bytes that the buffer takes on the device: its elements and, after them, slack that vector loads may read
    /// past the end (never write).
    pub bytes: u64,
    /// Where it lives.
    pub placement: Placement,
    /// The steps `[first, last)` that it is alive for; all of them where it is persistent.
    pub lifetime: Range<usize>,
}

/// A parameter's buffers in a plan.
#[derive(Clone, Debug)]
pub struct ParameterBuffers {
    /// What it is: name, logical shape, packed layout, initial values.
    pub parameter: Parameter,
    /// Its values, packed. Persistent.
    pub value: BufferId,
    /// Its gradient, packed like the values; only in training plans.
    pub gradient: Option<BufferId>,
    /// What the optimizer keeps, packed like the values, each by its name (`c1.weight.velocity`); only in training plans.
    /// Persistent.
    pub state: SmallVec<[BufferId; 2]>,
    /// The sum of the gradients of several mini-batches, where a step is made of such; zeros between steps. Persistent.
    pub sum: Option<BufferId>,
}

/// An execution plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The network's name.
    pub name: String,
    /// Training or inference.
    pub mode: Mode,
    /// Images of a batch.
    pub batch: usize,
    /// What the numbers are.
    pub precision: Precision,
    /// In the order of execution.
    pub steps: Vec<Step>,
    /// How many of the steps are forward steps, loss included; the rest is backward and update.
    pub forward_steps: usize,
    /// How many of the steps come before the first update.
    pub gradient_steps: usize,
    /// Every buffer; [`BufferId`] is the index.
    pub buffers: Vec<Buffer>,
    /// Size of the arena in bytes.
    pub arena_bytes: u64,
    /// The most that one allocation of it may have: a larger arena is several, each of so many bytes but the last. A
    /// buffer lies in the one at its offset divided by this.
    pub region_bytes: u64,
    /// The largest sum of bytes alive at one step: no arena can be smaller.
    pub lower_bound_bytes: u64,
    /// What the outputs of all layers would take alone, in training their gradients too: no slack, nothing shared.
    pub tensor_bytes: u64,
    /// Parameters in the order of the network.
    pub parameters: Vec<ParameterBuffers>,
    /// The batch of images, and its layout.
    pub input: (BufferId, View),
    /// The labels of the batch, one `int` an image; where the plan computes a loss.
    pub labels: Option<BufferId>,
    /// The last layer's output, and its layout.
    pub output: (BufferId, View),
    /// Each image's loss (a real an image) and whether the largest logit was the label's (an `int` an image).
    pub loss: Option<(BufferId, BufferId)>,
    /// Every layer's output by layer index, while its buffer lives.
    pub outputs: Vec<(BufferId, View)>,
    /// The upstream gradient of the last layer, given from outside where the plan has no loss but is for training.
    pub output_gradient: Option<(BufferId, View)>,
    /// The gradient of the input, where it was asked for.
    pub input_gradient: Option<(BufferId, View)>,
}

impl Plan {
    /// Steps that are no network's, with an input that is written from outside and an output that is read.
    pub fn bare(
        name: &str,
        input: (BufferId, View),
        output: (BufferId, View),
        parts: Parts,
        machine: &Machine,
    ) -> Self {
        let steps = parts.ledger.steps.len();
        let plan = Self {
            name: name.into(),
            mode: Mode::Inference,
            batch: 1,
            precision: machine.precision,
            steps: Vec::new(),
            forward_steps: steps,
            gradient_steps: steps,
            buffers: Vec::new(),
            arena_bytes: 0,
            region_bytes: 0,
            lower_bound_bytes: 0,
            tensor_bytes: 0,
            parameters: Vec::new(),
            input,
            labels: None,
            output,
            loss: None,
            outputs: Vec::new(),
            output_gradient: None,
            input_gradient: None,
        };
        assemble(plan, parts, &machine.limits)
    }

    /// The buffer's facts.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0]
    }

    /// Bytes of all persistent buffers: parameters and optimizer state.
    pub fn persistent_bytes(&self) -> u64 {
        self.buffers
            .iter()
            .filter(|b| b.placement == Placement::Persistent)
            .map(|b| b.bytes)
            .sum()
    }

    /// The largest of its allocations: the arena, in several where one may not be so large, and each persistent buffer.
    pub fn largest_allocation(&self) -> u64 {
        let used = self.buffers.iter().filter(|b| !b.lifetime.is_empty());
        let largest = used.map(|buffer| buffer.bytes).max().unwrap_or(0);
        largest.max(self.arena_bytes.min(self.region_bytes))
    }

    /// The sizes of the arena's allocations.
    pub fn regions(&self) -> impl Iterator<Item = u64> + '_ {
        let region = self.region_bytes.max(1);
        (0..self.arena_bytes.div_ceil(region))
            .map(move |index| region.min(self.arena_bytes - index * region))
    }

    /// All bytes that the plan takes on a device.
    pub fn total_bytes(&self) -> u64 {
        self.arena_bytes + self.persistent_bytes()
    }
}

/// Plans are shared between the session and the device.
pub type SharedPlan = Arc<Plan>;

/// What a plan is assembled from.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Buffers and steps.
    pub ledger: Ledger,
    /// Buffers that live outside the arena.
    pub persistent: BTreeSet<BufferId>,
    /// Buffers that are written from outside before the first step.
    pub before: Vec<BufferId>,
    /// Buffers that are read from outside after the last step.
    pub after: Vec<BufferId>,
}

/// Bytes after a buffer's elements that vector loads may read: four vectors of 64 bytes, the widest tile.
const SLACK_BYTES: u64 = 256;

/// The lifetime of a buffer that no step touches.
const NEVER: Range<usize> = Range {
    start: usize::MAX,
    end: 0,
};

/// Gives every buffer its lifetime and its place. `plan` brings all that is known beside steps and buffers.
pub fn assemble(mut plan: Plan, parts: Parts, limits: &Limits) -> Plan {
    let count = parts.ledger.steps.len();
    let mut lifetimes = vec![NEVER; parts.ledger.buffers.len()];
    let mut touch = |id: BufferId, step: usize| {
        let lifetime: &mut Range<usize> = &mut lifetimes[id.0];
        lifetime.start = lifetime.start.min(step);
        lifetime.end = lifetime.end.max(step + 1);
    };
    for (step, emitted) in parts.ledger.steps.iter().enumerate() {
        for (id, _) in emitted.buffers() {
            touch(id, step);
        }
    }
    let last = count.saturating_sub(1);
    parts.before.iter().for_each(|id| touch(*id, 0));
    parts.after.iter().for_each(|id| touch(*id, last));
    for lifetime in &mut lifetimes {
        if lifetime.start > lifetime.end {
            *lifetime = 0..0;
        }
    }

    let bytes = |request: &Request| {
        let elements = request.elements as u64 * request.element.bytes(plan.precision);
        (elements + SLACK_BYTES).next_multiple_of(limits.alignment_bytes)
    };
    let in_arena: Vec<usize> = (0..lifetimes.len())
        .filter(|i| !parts.persistent.contains(&BufferId(*i)) && !lifetimes[*i].is_empty())
        .collect();
    let items: Vec<arena::Item> = in_arena
        .iter()
        .map(|&i| arena::Item {
            bytes: bytes(&parts.ledger.buffers[i]),
            lifetime: lifetimes[i].clone(),
        })
        .collect();
    let region = limits.allocation_bytes / limits.alignment_bytes * limits.alignment_bytes;
    let (offsets, size) = arena::place(&items, region.max(limits.alignment_bytes));
    plan.region_bytes = region;
    plan.arena_bytes = size;
    plan.lower_bound_bytes = arena::lower_bound(&items);
    let mut placements = vec![Placement::Arena { offset: 0 }; lifetimes.len()];
    for (&i, offset) in in_arena.iter().zip(offsets) {
        placements[i] = Placement::Arena { offset };
    }
    for id in &parts.persistent {
        placements[id.0] = Placement::Persistent;
        lifetimes[id.0] = 0..count;
    }
    let facts = parts
        .ledger
        .buffers
        .into_iter()
        .zip(placements)
        .zip(lifetimes);
    plan.buffers = facts
        .map(|((request, placement), lifetime)| Buffer {
            bytes: bytes(&request),
            name: request.name,
            element: request.element,
            elements: request.elements,
            placement,
            lifetime,
        })
        .collect();
    plan.steps = parts.ledger.steps;
    plan
}
