//! The built-in host engine: runs a plan's steps in plain Rust, on machines without OpenCL and as the yardstick of the
//! OpenCL engine.
//!
//! It allocates what the plan says, an arena and the persistent buffers, and gives each step's routine its buffers as
//! disjoint slices. What a step computes stands with its op.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::diagnostic::Diagnostic;
use crate::memory;
use crate::op::emit::{BufferId, Scalars};
use crate::op::limits::Limits;
use crate::op::name::Name;
use crate::plan::{Placement, Plan};

use super::{Description, Device, Loaded};

/// Backing memory in 8-byte words, so that any element type is aligned.
type Words = Vec<u64>;

/// The host engine.
#[derive(Debug)]
pub struct Host {
    description: Description,
    limits: Limits,
    plans: Vec<Arc<Plan>>,
    /// As large as the largest plan's: plans run one after another.
    arena: Words,
    persistent: HashMap<Name, Words>,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// The engine, with nothing loaded.
    pub fn new() -> Self {
        let description = Description {
            platform: "built-in".into(),
            name: "host engine".into(),
            driver: env!("CARGO_PKG_VERSION").into(),
            kind: "host",
            selector: "host".into(),
        };
        Self {
            description,
            limits: Limits {
                memory_bytes: memory::available(),
                ..Limits::host()
            },
            plans: Vec::new(),
            arena: Words::new(),
            persistent: HashMap::new(),
        }
    }

    fn bytes(&mut self, plan: Loaded, buffer: BufferId) -> &mut [u8] {
        let plan = &self.plans[plan.0];
        let facts = plan.buffer(buffer);
        let length = facts.elements * facts.element.bytes(plan.precision) as usize;
        let (words, offset) = match facts.placement {
            Placement::Arena { offset } => (&mut self.arena, offset as usize),
            Placement::Persistent => (
                self.persistent
                    .get_mut(&facts.name)
                    .expect("internal error: a persistent buffer is gone"),
                0,
            ),
        };
        &mut bytemuck::cast_slice_mut(words)[offset..offset + length]
    }
}

fn words_in(bytes: u64) -> usize {
    bytes.div_ceil(8) as usize
}

fn words(bytes: u64) -> Words {
    vec![0; words_in(bytes)]
}

impl Device for Host {
    fn description(&self) -> &Description {
        &self.description
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn load(&mut self, plan: &Arc<Plan>) -> Result<Loaded, Diagnostic> {
        for buffer in &plan.buffers {
            if buffer.placement == Placement::Persistent {
                self.persistent
                    .entry(buffer.name.clone())
                    .or_insert_with(|| words(buffer.bytes));
            }
        }
        if words_in(plan.arena_bytes) > self.arena.len() {
            // Nothing in it outlives a run.
            self.arena = Words::new();
            self.arena = words(plan.arena_bytes);
        }
        self.plans.push(Arc::clone(plan));
        Ok(Loaded(self.plans.len() - 1))
    }

    fn write(&mut self, plan: Loaded, buffer: BufferId, data: &[u8]) -> Result<(), Diagnostic> {
        self.bytes(plan, buffer)[..data.len()].copy_from_slice(data);
        Ok(())
    }

    fn read(&mut self, plan: Loaded, buffer: BufferId, data: &mut [u8]) -> Result<(), Diagnostic> {
        data.copy_from_slice(&self.bytes(plan, buffer)[..data.len()]);
        Ok(())
    }

    fn run(
        &mut self,
        plan: Loaded,
        steps: Range<usize>,
        scalars: &Scalars,
    ) -> Result<(), Diagnostic> {
        let plan = &self.plans[plan.0];
        let (arena, persistent) = (&mut self.arena, &mut self.persistent);
        // On one of the pool's threads, so that the others are woken once and not for each step.
        rayon::scope(|_| {
            for step in &plan.steps[steps] {
                run_step(plan, &step.call, arena, persistent, scalars);
            }
        });
        Ok(())
    }

    fn profile(
        &mut self,
        plan: Loaded,
        steps: Range<usize>,
        scalars: &Scalars,
    ) -> Result<Vec<Duration>, Diagnostic> {
        steps
            .map(|step| {
                let start = Instant::now();
                self.run(plan, step..step + 1, scalars)?;
                Ok(start.elapsed())
            })
            .collect()
    }

    fn finish(&mut self) -> Result<(), Diagnostic> {
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Diagnostic> {
        self.plans.clear();
        self.arena = Words::new();
        self.persistent.clear();
        Ok(())
    }

    fn allocated_bytes(&self) -> u64 {
        let persistent: usize = self.persistent.values().map(Vec::len).sum();
        8 * (self.arena.len() + persistent) as u64
    }
}

/// Runs one call: takes its persistent buffers out of the map and its arena buffers apart, and puts them back.
fn run_step(
    plan: &Plan,
    call: &crate::op::emit::Call,
    arena: &mut Words,
    persistent: &mut HashMap<Name, Words>,
    scalars: &Scalars,
) {
    // (argument's position, length in bytes, place)
    let facts: Vec<_> = call
        .buffers()
        .map(|(id, _)| plan.buffer(id))
        .enumerate()
        .map(|(at, b)| (at, b.elements * b.element.bytes(plan.precision) as usize, b))
        .collect();
    let mut taken: Vec<(usize, usize, &Name, Words)> = Vec::new();
    let mut placed: Vec<(u64, usize, usize)> = Vec::new();
    for (at, length, buffer) in &facts {
        match buffer.placement {
            Placement::Arena { offset } => placed.push((offset, *at, *length)),
            Placement::Persistent => {
                let words = persistent
                    .get_mut(&buffer.name)
                    .map(std::mem::take)
                    .expect("internal error: a persistent buffer is gone");
                taken.push((*at, *length, &buffer.name, words));
            }
        }
    }
    placed.sort_unstable();
    let mut slices: Vec<(usize, &mut [u8])> = Vec::with_capacity(facts.len());
    let mut rest: &mut [u8] = bytemuck::cast_slice_mut(arena);
    let mut position = 0;
    for (offset, at, length) in placed {
        let (_, tail) = rest.split_at_mut(offset as usize - position);
        let (slice, tail) = tail.split_at_mut(length);
        position = offset as usize + length;
        slices.push((at, slice));
        rest = tail;
    }
    for (at, length, _, words) in &mut taken {
        slices.push((
            *at,
            &mut bytemuck::cast_slice_mut::<u64, u8>(words)[..*length],
        ));
    }
    slices.sort_unstable_by_key(|(at, _)| *at);
    let mut buffers: Vec<&mut [u8]> = slices.into_iter().map(|(_, slice)| slice).collect();
    call.host().run(plan.precision, &mut buffers, scalars);
    drop(buffers);
    for (_, _, name, words) in taken {
        if let Some(slot) = persistent.get_mut(name) {
            *slot = words;
        }
    }
}
