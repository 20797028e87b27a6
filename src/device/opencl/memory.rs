//! Where the buffers of plans lie on the device.
//!
//! One allocation is the arena, shared by all plans that fit into it; each of a plan's buffers is a sub-buffer. Each
//! persistent buffer is an allocation of its own, shared by name between plans and zeroed once. [`Memory::allocate`]
//! is the only place that allocates, and the only one that counts.
//!
//! A buffer that is still a kernel's argument must not be released (PoCL aborts): who holds kernels drops them first.

use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;

use ocl::core::Mem;
use ocl::core::ffi::{self, cl_buffer_region};

use super::call::{Failure, created};
use super::platform::Found;
use super::queue::Queue;
use crate::diagnostic::{Code, Diagnostic};
use crate::op::name::Name;
use crate::op::real::Precision;
use crate::plan::{Buffer, Placement, Plan};

/// All memory that plans hold on a device.
#[derive(Debug, Default)]
pub struct Memory {
    /// The newest arena; older plans may keep older ones alive.
    arena: Option<Arc<Regions>>,
    persistent: HashMap<Name, Persistent>,
    /// Bytes of every allocation so far.
    pub allocated_bytes: u64,
}

/// One allocation.
#[derive(Debug)]
struct Region {
    memory: Mem,
    bytes: u64,
}

/// The allocations of an arena: one, or several where the device allows none so large.
type Regions = Vec<Region>;

fn bytes_of(regions: &Regions) -> u64 {
    regions.iter().map(|region| region.bytes).sum()
}

/// Whether these allocations serve a plan.
fn serve(regions: &Regions, plan: &Plan) -> bool {
    let sizes: Vec<u64> = plan.regions().collect();
    sizes.len() <= regions.len()
        && sizes
            .iter()
            .zip(regions)
            .all(|(&bytes, region)| bytes <= region.bytes)
}

/// A buffer that plans share by its name.
#[derive(Debug)]
struct Persistent {
    memory: Mem,
    bytes: u64,
    elements: usize,
    element_bytes: u64,
}

/// The buffers of one plan, in the plan's order.
#[derive(Debug)]
pub struct Buffers {
    /// Sub-buffers of the arena, and shared persistent buffers; nothing for buffers that no step touches.
    list: Vec<Option<Mem>>,
    /// Released after its sub-buffers: fields are dropped in this order.
    _arena: Option<Arc<Regions>>,
}

/// Newest first: NVIDIA's driver (580) crashes where sub-buffers are released in the order in which they were made.
impl Drop for Buffers {
    fn drop(&mut self) {
        while self.list.pop().is_some() {}
    }
}

impl Buffers {
    /// The buffer of this index.
    pub fn get(&self, index: usize) -> &Mem {
        self.list[index]
            .as_ref()
            .expect("internal error: a buffer that no step touches is used")
    }
}

impl Memory {
    /// Gives every buffer of a plan its place.
    ///
    /// # Errors
    /// E0703 the device's memory, or its largest allocation, is too small; E0704 the device failed.
    pub fn place(&mut self, queue: &Queue, plan: &Plan) -> Result<Buffers, Diagnostic> {
        self.check_size(queue, plan)?;
        let arena = self.arena_for(queue, plan)?;
        let mut list = Vec::with_capacity(plan.buffers.len());
        for buffer in &plan.buffers {
            list.push(match buffer.placement {
                _ if buffer.lifetime.is_empty() => None,
                Placement::Arena { offset } => {
                    let arena = arena
                        .as_ref()
                        .expect("internal error: a buffer in an arena of no bytes");
                    let region = &arena[(offset / plan.region_bytes) as usize];
                    let inside = offset % plan.region_bytes;
                    let part = part(region, inside, buffer).map_err(|failure| {
                        queue.failed(failure, format!("while `{}` was placed", buffer.name))
                    })?;
                    Some(part)
                }
                Placement::Persistent => Some(self.shared(queue, plan, buffer)?),
            });
        }
        Ok(Buffers {
            list,
            _arena: arena,
        })
    }

    /// The arena for a plan: the one there is where it is large enough, else a new one.
    fn arena_for(
        &mut self,
        queue: &Queue,
        plan: &Plan,
    ) -> Result<Option<Arc<Regions>>, Diagnostic> {
        if plan.arena_bytes == 0 {
            return Ok(None);
        }
        if let Some(arena) = self.arena.as_ref().filter(|arena| serve(arena, plan)) {
            return Ok(Some(Arc::clone(arena)));
        }
        // Where no plan uses the old one, it goes before the new one comes.
        if let Some(old) = self.arena.take().and_then(Arc::into_inner) {
            self.allocated_bytes -= bytes_of(&old);
        }
        // Sixteen zeros make drivers that allocate at the first use (NVIDIA's) do it now, where a lack can be told.
        let mut regions = Regions::new();
        for bytes in plan.regions() {
            match self.allocate(queue, plan, "the arena", bytes, bytes.min(16)) {
                Ok(memory) => regions.push(Region { memory, bytes }),
                Err(fault) => {
                    self.allocated_bytes -= bytes_of(&regions);
                    return Err(fault);
                }
            }
        }
        let arena = Arc::new(regions);
        self.arena = Some(Arc::clone(&arena));
        Ok(Some(arena))
    }

    /// A persistent buffer: the one of this name, or a new one full of zeros.
    fn shared(&mut self, queue: &Queue, plan: &Plan, buffer: &Buffer) -> Result<Mem, Diagnostic> {
        let element_bytes = buffer.element.bytes(plan.precision);
        if let Some(known) = self.persistent.get(&buffer.name) {
            assert!(
                known.elements == buffer.elements
                    && known.element_bytes == element_bytes
                    && known.bytes >= buffer.bytes,
                "internal error: `{}` has {} elements of {element_bytes} bytes ({} bytes) in one plan and {} of {} ({}) in another",
                buffer.name,
                buffer.elements,
                buffer.bytes,
                known.elements,
                known.element_bytes,
                known.bytes,
            );
            return Ok(known.memory.clone());
        }
        let memory = self.allocate(
            queue,
            plan,
            &buffer.name.to_string(),
            buffer.bytes,
            buffer.bytes,
        )?;
        let shared = memory.clone();
        let (bytes, elements) = (buffer.bytes, buffer.elements);
        self.persistent.insert(
            buffer.name.clone(),
            Persistent {
                memory,
                bytes,
                elements,
                element_bytes,
            },
        );
        Ok(shared)
    }

    /// Allocates, zeroes the first bytes, and counts.
    fn allocate(
        &mut self,
        queue: &Queue,
        plan: &Plan,
        name: &str,
        bytes: u64,
        zeros: u64,
    ) -> Result<Mem, Diagnostic> {
        let made = create(queue, bytes)
            .and_then(|memory| queue.zero(&memory, zeros as usize).map(|()| memory));
        match made {
            Ok(memory) => {
                self.allocated_bytes += bytes;
                Ok(memory)
            }
            Err(failure) if failure.is_memory() => {
                let free = queue
                    .found
                    .limits
                    .memory_bytes
                    .saturating_sub(self.allocated_bytes);
                Err(self
                    .too_small(queue, plan, bytes, free)
                    .note(format!("for `{name}`: {failure}")))
            }
            Err(failure) => {
                Err(queue.failed(failure, format!("while memory for `{name}` was allocated")))
            }
        }
    }

    /// Refuses a plan that cannot fit, before anything is allocated: some drivers accept more than there is.
    fn check_size(&self, queue: &Queue, plan: &Plan) -> Result<(), Diagnostic> {
        let limits = &queue.found.limits;
        let known = self.arena.as_ref().is_some_and(|arena| serve(arena, plan));
        let arena = if known { 0 } else { plan.arena_bytes };
        let new = || {
            let known = |buffer: &&Buffer| self.persistent.contains_key(&buffer.name);
            plan.buffers
                .iter()
                .filter(|b| b.placement == Placement::Persistent)
                .filter(move |b| !known(b))
        };
        let needed = arena + new().map(|buffer| buffer.bytes).sum::<u64>();
        let free = limits.memory_bytes.saturating_sub(self.allocated_bytes);
        if needed > free {
            return Err(self.too_small(queue, plan, needed, free));
        }
        let largest = plan.largest_allocation();
        if largest > limits.allocation_bytes {
            return Err(self
                .too_small(queue, plan, largest, limits.allocation_bytes)
                .note("that is the most that one allocation may have on this device"));
        }
        Ok(())
    }

    /// E0703.
    fn too_small(&self, queue: &Queue, plan: &Plan, needed: u64, available: u64) -> Diagnostic {
        let Found {
            limits,
            description,
            ..
        } = &queue.found;
        let (batch, name) = (plan.batch, &description.name);
        let message = format!(
            "not enough memory on {name}: a batch of {batch} needs {needed} bytes more, {available} bytes are available"
        );
        // The arena grows with the batch, the rest does not. Where the numbers say that it fits, the driver knew better.
        let room = limits
            .memory_bytes
            .saturating_sub(self.allocated_bytes + plan.persistent_bytes());
        let room = u128::from(room.min(limits.allocation_bytes));
        let fitting = room * batch as u128 / u128::from(plan.arena_bytes.max(1));
        let fitting = if fitting < batch as u128 {
            fitting
        } else {
            batch as u128 / 2
        };
        Diagnostic::error(Code::E0703, message).help(match fitting {
            0 => "use a smaller network, or `--device host`".to_string(),
            fitting => format!("try `--batch {fitting}`"),
        })
    }
}

/// A buffer that holds anything.
///
/// # Errors
/// The call that failed.
pub fn create(queue: &Queue, bytes: u64) -> Result<Mem, Failure> {
    let handle = created("clCreateBuffer", |status| {
        // SAFETY: the context is valid; no host memory is given.
        unsafe {
            ffi::clCreateBuffer(
                queue.context.as_ptr(),
                ffi::CL_MEM_READ_WRITE,
                bytes as usize,
                ptr::null_mut(),
                status,
            )
        }
    })?;
    // SAFETY: a new buffer, which now belongs to this value.
    Ok(unsafe { Mem::from_raw_create_ptr(handle) })
}

/// A buffer's part of the arena.
fn part(arena: &Region, offset: u64, buffer: &Buffer) -> Result<Mem, Failure> {
    let region = cl_buffer_region {
        origin: offset as usize,
        size: buffer.bytes as usize,
    };
    let handle = created("clCreateSubBuffer", |status| {
        // SAFETY: the region's kind is told right; OpenCL refuses one outside the arena or not aligned.
        unsafe {
            ffi::clCreateSubBuffer(
                arena.memory.as_ptr(),
                ffi::CL_MEM_READ_WRITE,
                ffi::CL_BUFFER_CREATE_TYPE_REGION,
                (&raw const region).cast(),
                status,
            )
        }
    })?;
    // SAFETY: a new sub-buffer, which now belongs to this value.
    Ok(unsafe { Mem::from_raw_create_ptr(handle) })
}

/// Bytes of a buffer that may be copied in and out: its elements, without the slack.
pub fn copied_bytes(buffer: &Buffer, precision: Precision) -> usize {
    buffer.elements * buffer.element.bytes(precision) as usize
}
