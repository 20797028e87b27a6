//! Recomputation: outputs that are not kept for the way back but made again where it wants them (Griewank 1992; Chen et
//! al. 2016). The steps are the forward steps once more, on the same values, so the results are the same to the bit.
//!
//! It works on steps and buffers, so no layer knows of it. What is made again is a unit: buffers that some forward step
//! writes together, with every forward step that writes one of them. A normalization whose output an activation has
//! written over is one unit, a maximum with its places another. Units that write what lasts (running statistics) are kept;
//! the statistics of a batch are such a unit, the normalization that reads them is not.

use std::collections::{BTreeMap, BTreeSet};

use super::Lowering;
use crate::op::emit::{Access, Argument, BufferId, Ledger, Step};

/// Buffers that are made together.
struct Unit {
    /// The forward steps that write them, in order.
    steps: Vec<usize>,
    buffers: BTreeSet<BufferId>,
}

/// What the forward steps say about making buffers again. The same forward steps give the same units, by number.
pub(in crate::plan) struct Recomputation {
    units: Vec<Unit>,
    /// The unit of each buffer that may be made again.
    of: BTreeMap<BufferId, usize>,
}

/// What a step writes.
fn written(step: &Step) -> impl Iterator<Item = BufferId> + '_ {
    let written = step.buffers().filter(|(_, access)| *access != Access::Read);
    written.map(|(id, _)| id)
}

impl Recomputation {
    /// Looks at the forward steps.
    pub(in crate::plan) fn new(steps: &[Step], is_persistent: impl Fn(BufferId) -> bool) -> Self {
        let mut of: BTreeMap<BufferId, usize> = BTreeMap::new();
        let mut units: Vec<Unit> = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            let known: BTreeSet<usize> = written(step)
                .filter_map(|id| of.get(&id).copied())
                .collect();
            let unit = known.first().copied().unwrap_or_else(|| {
                units.push(Unit {
                    steps: Vec::new(),
                    buffers: BTreeSet::new(),
                });
                units.len() - 1
            });
            // What was apart until now is one.
            for &other in known.iter().skip(1) {
                let taken = std::mem::take(&mut units[other].steps);
                units[unit].steps.extend(taken);
                let taken = std::mem::take(&mut units[other].buffers);
                units[unit].buffers.extend(taken);
            }
            units[unit].steps.push(at);
            units[unit].buffers.extend(written(step));
            for &id in &units[unit].buffers {
                of.insert(id, unit);
            }
        }
        for unit in &mut units {
            unit.steps.sort_unstable();
        }
        of.retain(|_, unit| !units[*unit].buffers.iter().any(|id| is_persistent(*id)));
        Self { units, of }
    }

    /// The unit that makes a buffer.
    pub(in crate::plan) fn unit(&self, buffer: BufferId) -> Option<usize> {
        self.of.get(&buffer).copied()
    }

    /// The forward steps of a unit.
    pub(in crate::plan) fn steps(&self, unit: usize) -> &[usize] {
        &self.units[unit].steps
    }

    /// The buffers that the steps of a unit read, and the units that make those; without its own.
    pub(in crate::plan) fn sources<'s>(
        &'s self,
        steps: &'s [Step],
        unit: usize,
    ) -> impl Iterator<Item = (usize, BufferId)> + 's {
        let all = self.units[unit].steps.iter();
        let read = all
            .flat_map(|&at| steps[at].buffers())
            .filter(|(_, access)| *access != Access::Write);
        let of = move |(id, _)| Some((self.unit(id)?, id));
        read.filter_map(of).filter(move |(other, _)| *other != unit)
    }
}

/// The way back with forward steps among it.
struct Again<'a> {
    recomputation: &'a Recomputation,
    chosen: &'a BTreeSet<usize>,
    forward: &'a [Step],
    /// The new buffers of the old ones.
    renamed: BTreeMap<BufferId, BufferId>,
    done: BTreeSet<usize>,
    steps: Vec<Step>,
}

impl Again<'_> {
    /// Takes a step over, after whatever it reads was made again.
    fn take(&mut self, step: Step, ledger: &mut Ledger) {
        // Its units, and those that they read: all their steps in the order in which they ran.
        let mut steps: BTreeSet<usize> = BTreeSet::new();
        let unit = |id| self.recomputation.unit(id);
        let mut wanted: Vec<usize> = step.buffers().filter_map(|(id, _)| unit(id)).collect();
        while let Some(unit) = wanted.pop() {
            if self.chosen.contains(&unit) && self.done.insert(unit) {
                steps.extend(self.recomputation.steps(unit));
                let sources = self.recomputation.sources(self.forward, unit);
                wanted.extend(sources.map(|(other, _)| other));
            }
        }
        for id in steps.iter().flat_map(|&at| written(&self.forward[at])) {
            self.renamed.entry(id).or_insert_with(|| {
                let old = ledger.buffers[id.0].clone();
                ledger.buffer(old.name.word("again"), old.element, old.elements)
            });
        }
        for at in steps {
            let mut step = self.forward[at].clone();
            step.name = step.name.word("again");
            self.put(step);
        }
        self.put(step);
    }

    /// Adds a step, on the new buffers.
    fn put(&mut self, mut step: Step) {
        for argument in &mut step.call.arguments {
            if let Argument::Buffer(id, _) = argument {
                *id = self.renamed.get(id).copied().unwrap_or(*id);
            }
        }
        self.steps.push(step);
    }
}

impl Lowering<'_> {
    /// Puts the forward steps of the chosen units once more where the way back first wants what they write.
    pub(super) fn recompute(&mut self, forward_steps: usize) {
        let chosen = &self.options.recompute;
        if chosen.is_empty() {
            return;
        }
        let back = self.ledger.steps.split_off(forward_steps);
        let forward = std::mem::take(&mut self.ledger.steps);
        let persistent = &self.persistent;
        let recomputation = Recomputation::new(&forward, |id| persistent.contains(&id));
        let mut again = Again {
            recomputation: &recomputation,
            chosen,
            forward: &forward,
            renamed: BTreeMap::new(),
            done: BTreeSet::new(),
            steps: Vec::with_capacity(back.len()),
        };
        for step in back {
            again.take(step, &mut self.ledger);
        }
        let more = again.steps;
        self.ledger.steps = forward;
        self.ledger.steps.extend(more);
    }
}
