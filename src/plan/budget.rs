//! What a network takes on a device, known before the first byte: the figures of a plan, the largest batch that fits, and
//! what to recompute so that a batch fits.
//!
//! A session holds the plans of training and inference over the same parameters; their arenas are one, as large as the
//! larger.

use std::collections::{BTreeMap, BTreeSet};

use super::lower::recompute::Recomputation;
use super::lower::{Options, lower};
use super::{Buffer, ParameterBuffers, Placement, Plan, Step, arena};
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::Graph;
use crate::op::emit::{BufferId, Machine};
use crate::op::limits::Limits;
use crate::op::optimizer::Optimizer;
use crate::op::shape::Shape;

/// A plan's memory by what it is for, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The arena.
    pub arena: u64,
    /// The largest sum of buffers alive at one step.
    pub lower_bound: u64,
    /// What every layer's output would take alone, in training its gradient too.
    pub tensors: u64,
    /// Parameters and running statistics.
    pub parameters: u64,
    /// The optimizer's state.
    pub optimizer: u64,
    /// The most that is alive at one step of what only that layer touches, for itself: parts of sums, weights turned
    /// around, gradients on their way into a sum. A part of the arena.
    pub workspace: u64,
}

impl Figures {
    /// Everything on the device.
    pub fn total(&self) -> u64 {
        self.arena + self.parameters + self.optimizer
    }
}

impl Plan {
    /// The plan's memory.
    pub fn figures(&self) -> Figures {
        let kept = |p: &ParameterBuffers| p.state.iter().copied().chain(p.sum).collect::<Vec<_>>();
        let state: BTreeSet<BufferId> = self.parameters.iter().flat_map(kept).collect();
        let (mut parameters, mut optimizer) = (0, 0);
        for (id, buffer) in self.buffers.iter().enumerate() {
            if buffer.placement == Placement::Persistent {
                let of = state.contains(&BufferId(id));
                *(if of { &mut optimizer } else { &mut parameters }) += buffer.bytes;
            }
        }
        Figures {
            arena: self.arena_bytes,
            lower_bound: self.lower_bound_bytes,
            tensors: self.tensor_bytes,
            parameters,
            optimizer,
            workspace: self.workspace(),
        }
    }

    fn workspace(&self) -> u64 {
        // The layers that touch each buffer, and on which ways.
        let mut touched: Vec<Option<(Option<usize>, bool)>> = vec![None; self.buffers.len()];
        let mut own = vec![true; self.buffers.len()];
        for (at, step) in self.steps.iter().enumerate() {
            let here = (step.layer, at < self.forward_steps);
            for (id, _) in step.buffers() {
                let before = touched[id.0].get_or_insert(here);
                own[id.0] &= *before == here && here.0.is_some();
            }
        }
        let outside = [Some(self.input.0), Some(self.output.0), self.labels];
        for id in outside.into_iter().flatten() {
            own[id.0] = false;
        }
        let is_own =
            |i: usize, buffer: &Buffer| own[i] && buffer.placement != Placement::Persistent;
        let buffers = self.buffers.iter().enumerate();
        self.most_alive(
            buffers
                .filter(|(i, buffer)| is_own(*i, buffer))
                .map(|(_, b)| b),
        )
        .1
    }

    /// The step at which most bytes of the arena are alive, and how many.
    pub fn peak(&self) -> (usize, u64) {
        let arena = |buffer: &&Buffer| buffer.placement != Placement::Persistent;
        self.most_alive(self.buffers.iter().filter(arena))
    }

    fn most_alive<'a>(&self, buffers: impl Iterator<Item = &'a Buffer>) -> (usize, u64) {
        let buffers = buffers.map(|buffer| (buffer.bytes, &buffer.lifetime));
        arena::most_alive(buffers, self.steps.len())
    }
}

/// Bytes that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// In all.
    pub memory: u64,
    /// In one allocation.
    pub allocation: u64,
}

impl Room {
    /// A device's, or less where the user says so.
    pub fn new(limits: &Limits, most: Option<u64>) -> Self {
        Self {
            memory: limits.memory_bytes.min(most.unwrap_or(u64::MAX)),
            allocation: limits.allocation_bytes,
        }
    }

    /// The same, with at most so many bytes in all.
    #[must_use]
    pub fn within(&self, limit: Option<u64>) -> Self {
        Self {
            memory: self.memory.min(limit.unwrap_or(u64::MAX)),
            ..*self
        }
    }
}

/// The plans of a session.
#[derive(Clone, Debug)]
pub struct Plans {
    /// A training step, where there is training.
    pub training: Option<Plan>,
    /// A batch's logits.
    pub inference: Plan,
}

impl Plans {
    /// Everything on the device.
    pub fn total_bytes(&self) -> u64 {
        let training = self.training.as_ref().map_or(0, Plan::total_bytes);
        training.max(self.inference.total_bytes())
    }

    fn all(&self) -> impl Iterator<Item = &Plan> {
        self.training.iter().chain([&self.inference])
    }

    /// Whether they fit.
    pub fn fit(&self, room: &Room) -> bool {
        let largest = self.all().map(Plan::largest_allocation).max().unwrap_or(0);
        self.total_bytes() <= room.memory && largest <= room.allocation && self.is_addressable()
    }

    /// Whether the kernels' indices, which are `int`, reach every number of every buffer.
    fn is_addressable(&self) -> bool {
        let buffers = self.all().flat_map(|plan| &plan.buffers);
        let used = buffers.filter(|buffer| !buffer.lifetime.is_empty());
        let largest = used.map(|buffer| buffer.elements).max();
        i32::try_from(largest.unwrap_or(0)).is_ok()
    }
}

/// What is to be planned.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// The network; its shapes are known.
    pub graph: &'a Graph,
    /// The update rule; `None` for inference alone.
    pub optimizer: Option<Optimizer>,
    /// The device and the precision.
    pub machine: Machine,
    /// The device's name, for messages.
    pub device: &'a str,
}

/// More numbers in one tensor of a batch than any device holds: no plan is made to find that out.
const ABSURD: u128 = 1 << 48;

impl Job<'_> {
    /// The plans for a batch, with nothing recomputed.
    pub fn plans(&self, batch: usize) -> Plans {
        Plans {
            training: self.training(batch, &BTreeSet::new()),
            inference: lower(self.graph, &Options::inference(batch), &self.machine),
        }
    }

    /// The plan of training, where there is training.
    fn training(&self, batch: usize, recompute: &BTreeSet<usize>) -> Option<Plan> {
        let options = Options {
            recompute: recompute.clone(),
            ..Options::training(batch, self.optimizer?)
        };
        Some(lower(self.graph, &options, &self.machine))
    }

    /// Whether a batch fits, with nothing recomputed.
    pub fn fits(&self, batch: usize, room: &Room) -> bool {
        let shapes = self.graph.nodes.iter().filter_map(|node| node.output);
        let shapes = shapes.chain(self.graph.input);
        let largest = shapes.map(Shape::elements).max().unwrap_or(0);
        largest as u128 * (batch as u128) < ABSURD && self.plans(batch).fit(room)
    }

    /// The largest batch that fits, of `most` at most: one more does not. `None` where not one image fits.
    pub fn largest_batch(&self, room: &Room, most: usize) -> Option<usize> {
        let fits = |batch: usize| batch <= most && self.fits(batch, room);
        if !fits(1) {
            return None;
        }
        // Between one that fits and one that does not.
        let (mut low, mut high) = (1, 2);
        while fits(high) {
            (low, high) = (high, high.saturating_mul(2));
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        // Memory grows with the batch but for the rounding of a few sizes.
        while fits(low + 1) {
            low += 1;
        }
        Some(low)
    }

    /// The plans for a batch in this room. Where `limit` is given and the plain plans take more, outputs are recomputed
    /// instead of kept, as few and as cheap ones as are found; the results are the same to the bit.
    ///
    /// # Errors
    /// E0703 it does not fit; the largest batch that does is named.
    pub fn fitting(
        &self,
        batch: usize,
        room: &Room,
        limit: Option<u64>,
    ) -> Result<Plans, Diagnostic> {
        let room = room.within(limit);
        let plans = self.plans(batch);
        if plans.fit(&room) {
            return Ok(plans);
        }
        let shrunk = self.shrink(batch, &room, &plans);
        let (needed, note) = match (shrunk, limit) {
            (Ok(plans), Some(_)) => return Ok(plans),
            (Ok(_), None) => (
                plans.total_bytes(),
                Some(format!(
                    "with `train.memory_limit = \"{} B\"` it fits: outputs are then computed again instead of kept",
                    room.memory
                )),
            ),
            (Err(least), Some(_)) => (
                least,
                Some("outputs are computed again already where that saves memory".into()),
            ),
            (Err(_), None) => (plans.total_bytes(), None),
        };
        let device = self.device;
        let what = if self.optimizer.is_some() {
            "training"
        } else {
            "inference"
        };
        let message = if needed > room.memory {
            format!(
                "not enough memory on {device}: {what} with a batch of {batch} needs {needed} bytes, {} are available",
                room.memory
            )
        } else if !plans.is_addressable() {
            format!(
                "{what} with a batch of {batch} needs a tensor of more than the {} numbers that a kernel can reach",
                i32::MAX
            )
        } else {
            format!(
                "not enough memory on {device}: {what} with a batch of {batch} needs more than the {} bytes that one allocation may have",
                room.allocation
            )
        };
        let mut diagnostic = Diagnostic::error(Code::E0703, message);
        if let Some(note) = note {
            diagnostic = diagnostic.note(note);
        }
        Err(match self.largest_batch(&room, batch) {
            Some(largest) => diagnostic.help(format!(
                "the largest batch that fits is {largest}: `--batch {largest}`"
            )),
            None => diagnostic.help("not one image fits: use a smaller network, or another device"),
        })
    }

    /// The plans with as much recomputed as it takes to fit; else the fewest bytes that were reached.
    fn shrink(&self, batch: usize, room: &Room, plain: &Plans) -> Result<Plans, u64> {
        let Some(training) = &plain.training else {
            return Err(plain.total_bytes());
        };
        let forward = &training.steps[..training.forward_steps];
        let is_persistent = |id| training.buffer(id).placement == Placement::Persistent;
        let recomputation = Recomputation::new(forward, is_persistent);
        let cost = |unit: usize| -> u64 {
            let steps = recomputation.steps(unit).iter();
            let layers: BTreeSet<usize> = steps.filter_map(|&at| forward[at].layer).collect();
            layers.into_iter().map(|layer| self.cost(layer)).sum()
        };
        let mut chosen: BTreeSet<usize> = BTreeSet::new();
        let mut refused: BTreeSet<usize> = BTreeSet::new();
        let (mut now, mut least) = (plain.clone(), plain.total_bytes());
        // In large networks several layers at a time, so that the number of plans stays small.
        let at_once = (self.graph.nodes.len() / 64).max(1);
        while let Some(plan) = &now.training {
            let mut candidates = candidates(plan, forward, &recomputation, cost);
            candidates.retain(|candidate| {
                !refused.contains(&candidate.unit) && !chosen.contains(&candidate.unit)
            });
            if candidates.is_empty() {
                break;
            }
            candidates.sort_by(|a, b| b.worth.total_cmp(&a.worth).then(a.unit.cmp(&b.unit)));
            candidates.truncate(at_once);
            let mut more = chosen.clone();
            more.extend(candidates.iter().flat_map(|candidate| &candidate.units));
            let next = self.training(batch, &more);
            let grows = next
                .as_ref()
                .is_some_and(|next| next.arena_bytes > plan.arena_bytes);
            if grows || more.len() == chosen.len() {
                refused.extend(candidates.iter().map(|candidate| candidate.unit));
                continue;
            }
            (now.training, chosen) = (next, more);
            least = least.min(now.total_bytes());
            if now.fit(room) {
                return Ok(self.spare(batch, room, cost, chosen, now));
            }
        }
        Err(least)
    }

    /// Takes back what was chosen in vain: the dearest first.
    fn spare(
        &self,
        batch: usize,
        room: &Room,
        cost: impl Fn(usize) -> u64,
        mut chosen: BTreeSet<usize>,
        mut plans: Plans,
    ) -> Plans {
        let mut order: Vec<usize> = chosen.iter().copied().collect();
        order.sort_by_key(|unit| std::cmp::Reverse(cost(*unit)));
        for unit in order.into_iter().take(256) {
            chosen.remove(&unit);
            let fewer = self.training(batch, &chosen);
            let before = std::mem::replace(&mut plans.training, fewer);
            if !plans.fit(room) {
                plans.training = before;
                chosen.insert(unit);
            }
        }
        plans
    }

    /// What a layer's forward steps cost: multiply-adds, and numbers written.
    fn cost(&self, layer: usize) -> u64 {
        let node = &self.graph.nodes[layer];
        let (inputs, output) = (
            self.graph.input_shapes(layer),
            self.graph.output_shape(layer),
        );
        let products = inputs
            .first()
            .map_or(0, |&input| node.op.multiply_adds(input, output));
        products + 8 * output.elements() as u64
    }
}

/// A unit that might be recomputed.
struct Candidate {
    unit: usize,
    /// It, and those before it whose buffers are not kept either.
    units: BTreeSet<usize>,
    /// Bytes that it frees where memory is scarcest, by its cost.
    worth: f64,
}

/// The units whose buffers are only waiting for the way back at the step where most is alive.
fn candidates(
    plan: &Plan,
    forward: &[Step],
    recomputation: &Recomputation,
    cost: impl Fn(usize) -> u64,
) -> Vec<Candidate> {
    let (peak, _) = plan.peak();
    let waits = |id: BufferId| plan.buffer(id).lifetime.end > plan.forward_steps;
    let mut freed: BTreeMap<usize, u64> = BTreeMap::new();
    for id in (0..plan.buffers.len()).map(BufferId) {
        let buffer = plan.buffer(id);
        let is_alive = buffer.lifetime.contains(&peak) && waits(id);
        if let Some(unit) = recomputation.unit(id).filter(|_| is_alive) {
            *freed.entry(unit).or_default() += buffer.bytes;
        }
    }
    let candidate = |(unit, bytes): (usize, u64)| {
        let mut units = BTreeSet::from([unit]);
        let mut open = vec![unit];
        while let Some(unit) = open.pop() {
            let sources = recomputation.sources(forward, unit);
            for (other, _) in sources.filter(|(_, id)| !waits(*id)) {
                if units.insert(other) {
                    open.push(other);
                }
            }
        }
        let cost: u64 = units.iter().map(|&unit| cost(unit)).sum();
        Candidate {
            unit,
            units,
            worth: bytes as f64 / cost.max(1) as f64,
        }
    };
    freed.into_iter().map(candidate).collect()
}
