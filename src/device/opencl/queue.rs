//! An opened device: its context and its one queue, which does all work in order.
//!
//! Owns: opening, copying, launching, waiting, and the diagnostic of a call that failed in the middle of work. Kernels
//! follow each other without waiting; only reading, long writes and [`Queue::finish`] wait.

use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ocl::core::ffi;
use ocl::core::{CommandQueue, Context, Event, Kernel, Mem};

use super::call::{Failure, check, created};
use super::platform::Found;
use crate::diagnostic::{Code, Diagnostic};

/// The work-items of a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// In each dimension.
    pub global: [usize; 3],
    /// Of a group; `None` where the driver may choose.
    pub local: Option<[usize; 3]>,
    /// Dimensions given to OpenCL: without the last ones that hold one item. Drivers choose better groups that way.
    dimensions: ffi::cl_uint,
}

impl Grid {
    /// The grid of these items and groups.
    pub fn new(global: [usize; 3], local: Option<[usize; 3]>) -> Self {
        let dimensions = (1..3)
            .rev()
            .find(|&d| global[d] > 1)
            .map_or(1, |d| d as ffi::cl_uint + 1);
        Self {
            global,
            local,
            dimensions,
        }
    }
}

/// Context and queue of one device.
#[derive(Debug)]
pub struct Queue {
    /// The device.
    pub found: Found,
    /// Released after the queue: fields are dropped in this order.
    handle: CommandQueue,
    /// The context of the device alone.
    pub context: Context,
    /// What the device may still be reading: short writes that nobody has waited for.
    staged: Mutex<Vec<Vec<u8>>>,
}

/// Bytes up to which a write is not waited for: a copy of them takes less time than a thread that has to wake up.
const SHORT: usize = 1 << 19;
/// Short writes that are not waited for, at most.
const MOST_STAGED: usize = 8;

impl Queue {
    /// Opens a device.
    ///
    /// # Errors
    /// E0704 the driver does not give a context or a queue.
    pub fn open(found: &Found) -> Result<Self, Diagnostic> {
        let failed = |failure| failed(found, failure, "while the device was opened");
        let properties = [
            ffi::CL_CONTEXT_PLATFORM.cast_signed() as ffi::cl_context_properties,
            found.platform.as_ptr() as ffi::cl_context_properties,
            0,
        ];
        let device = found.device.as_raw();
        let context = created("clCreateContext", |status| {
            // SAFETY: the properties end with 0, and there is one device.
            unsafe {
                ffi::clCreateContext(
                    properties.as_ptr(),
                    1,
                    &raw const device,
                    None,
                    ptr::null_mut(),
                    status,
                )
            }
        })
        .map_err(failed)?;
        // SAFETY: a new context, which now belongs to this value.
        let context = unsafe { Context::from_raw_create_ptr(context) };
        // No property: in order, no profiling (events cost time).
        let handle = command_queue(&context, found, 0).map_err(failed)?;
        Ok(Self {
            found: found.clone(),
            handle,
            context,
            staged: Mutex::default(),
        })
    }

    /// E0704: a call failed while `work` was going on.
    pub fn failed(&self, failure: Failure, work: impl Into<String>) -> Diagnostic {
        failed(&self.found, failure, work)
    }

    /// Copies `data` to the buffer's start, before all work that follows; the device is waited for where there is much of it.
    pub fn write(&self, buffer: &Mem, data: &[u8]) -> Result<(), Failure> {
        if data.is_empty() {
            return Ok(());
        }
        let mut staged = self.staged();
        if data.len() > SHORT || staged.len() == MOST_STAGED {
            // SAFETY: the call blocks until `data` was read.
            unsafe { self.copy_in(buffer, data, ffi::CL_TRUE) }?;
            // In order: what was asked for before is done.
            staged.clear();
            return Ok(());
        }
        staged.push(data.to_vec());
        let copy = staged.last().map_or(&[][..], Vec::as_slice);
        // SAFETY: the copy stays where it is until a call has waited for the device.
        unsafe { self.copy_in(buffer, copy, ffi::CL_FALSE) }
    }

    fn staged(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Safety
    /// `data` must stay valid until the device has read it: until the call returns, where `blocking` is `CL_TRUE`.
    unsafe fn copy_in(
        &self,
        buffer: &Mem,
        data: &[u8],
        blocking: ffi::cl_bool,
    ) -> Result<(), Failure> {
        // SAFETY: the caller's promise; OpenCL refuses what goes past the buffer's end.
        let status = unsafe {
            ffi::clEnqueueWriteBuffer(
                self.handle.as_ptr(),
                buffer.as_ptr(),
                blocking,
                0,
                data.len(),
                data.as_ptr().cast(),
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        check("clEnqueueWriteBuffer", status)
    }

    /// Copies the buffer's first bytes out, after all work so far.
    pub fn read(&self, buffer: &Mem, data: &mut [u8]) -> Result<(), Failure> {
        if data.is_empty() {
            return Ok(());
        }
        // SAFETY: the call blocks until `data` was written; OpenCL refuses what goes past the buffer's end.
        let status = unsafe {
            ffi::clEnqueueReadBuffer(
                self.handle.as_ptr(),
                buffer.as_ptr(),
                ffi::CL_TRUE,
                0,
                data.len(),
                data.as_mut_ptr().cast(),
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        check("clEnqueueReadBuffer", status)?;
        self.staged().clear();
        Ok(())
    }

    /// Writes zeros to the buffer's first bytes.
    pub fn zero(&self, buffer: &Mem, bytes: usize) -> Result<(), Failure> {
        // The pattern's size must divide the length; long patterns fill faster.
        let pattern = [0_u8; 16];
        let size = [16, 4]
            .into_iter()
            .find(|size| bytes.is_multiple_of(*size))
            .unwrap_or(1);
        // SAFETY: the pattern is copied before the call returns; OpenCL refuses what goes past the buffer's end.
        let status = unsafe {
            ffi::clEnqueueFillBuffer(
                self.handle.as_ptr(),
                buffer.as_ptr(),
                pattern.as_ptr().cast(),
                size,
                0,
                bytes,
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        check("clEnqueueFillBuffer", status)
    }

    /// Runs a kernel, whose arguments are set, after all work so far.
    ///
    /// # Safety
    /// The kernel must stay inside its buffers.
    pub unsafe fn launch(&self, kernel: &Kernel, grid: &Grid) -> Result<(), Failure> {
        // SAFETY: the caller's promise.
        unsafe { enqueue(&self.handle, kernel, grid, ptr::null_mut()) }
    }

    /// A second queue of the device, which times what it runs.
    ///
    /// # Errors
    /// The call that failed.
    pub fn timed(&self) -> Result<Timed, Failure> {
        let handle = command_queue(&self.context, &self.found, ffi::CL_QUEUE_PROFILING_ENABLE)?;
        Ok(Timed {
            handle,
            events: Vec::new(),
        })
    }

    /// Sees to it that what was asked for begins.
    pub fn flush(&self) -> Result<(), Failure> {
        // SAFETY: the queue is valid.
        check("clFlush", unsafe { ffi::clFlush(self.handle.as_ptr()) })
    }

    /// Waits until all work so far is done.
    pub fn finish(&self) -> Result<(), Failure> {
        // SAFETY: the queue is valid.
        check("clFinish", unsafe { ffi::clFinish(self.handle.as_ptr()) })?;
        self.staged().clear();
        Ok(())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let read = self.staged().is_empty();
        if !read && self.finish().is_err() {
            // The device may still read it.
            std::mem::forget(std::mem::take(&mut *self.staged()));
        }
    }
}

/// A queue that times each kernel by the device's own clock.
#[derive(Debug)]
pub struct Timed {
    handle: CommandQueue,
    /// One a kernel, in order.
    events: Vec<Event>,
}

impl Timed {
    /// Runs a kernel, whose arguments are set, after all work so far.
    ///
    /// # Safety
    /// The kernel must stay inside its buffers.
    pub unsafe fn launch(&mut self, kernel: &Kernel, grid: &Grid) -> Result<(), Failure> {
        let mut event = ptr::null_mut();
        // SAFETY: the caller's promise.
        unsafe { enqueue(&self.handle, kernel, grid, &raw mut event) }?;
        // SAFETY: a new event, which now belongs to this value.
        self.events
            .push(unsafe { Event::from_raw_create_ptr(event) });
        Ok(())
    }

    /// Waits until all is done, and gives the time that each kernel took from its start to its end.
    ///
    /// # Errors
    /// The call that failed.
    pub fn times(&self) -> Result<Vec<Duration>, Failure> {
        // SAFETY: the queue is valid.
        check("clFinish", unsafe { ffi::clFinish(self.handle.as_ptr()) })?;
        let time = |event: &Event, what: ffi::cl_profiling_info| {
            let mut nanoseconds: ffi::cl_ulong = 0;
            // SAFETY: the space is as large as is said.
            let status = unsafe {
                ffi::clGetEventProfilingInfo(
                    *event.as_ptr_ref(),
                    what,
                    size_of::<ffi::cl_ulong>(),
                    (&raw mut nanoseconds).cast(),
                    ptr::null_mut(),
                )
            };
            check("clGetEventProfilingInfo", status).map(|()| nanoseconds)
        };
        let taken = |event: &Event| {
            let start = time(event, ffi::CL_PROFILING_COMMAND_START)?;
            let end = time(event, ffi::CL_PROFILING_COMMAND_END)?;
            Ok(Duration::from_nanos(end.saturating_sub(start)))
        };
        self.events.iter().map(taken).collect()
    }
}

/// A new queue of the device, in order.
fn command_queue(
    context: &Context,
    found: &Found,
    properties: ffi::cl_command_queue_properties,
) -> Result<CommandQueue, Failure> {
    let device = found.device.as_raw();
    let queue = created("clCreateCommandQueue", |status| {
        // SAFETY: context and device are valid.
        unsafe { ffi::clCreateCommandQueue(context.as_ptr(), device, properties, status) }
    })?;
    // SAFETY: a new queue, which now belongs to this value.
    Ok(unsafe { CommandQueue::from_raw_create_ptr(queue) })
}

/// Runs a kernel after all work of the queue so far; `event`, where it is not null, gets an event of it.
///
/// # Safety
/// The kernel must stay inside its buffers, and `event` must be null or valid.
unsafe fn enqueue(
    queue: &CommandQueue,
    kernel: &Kernel,
    grid: &Grid,
    event: *mut ffi::cl_event,
) -> Result<(), Failure> {
    let local = grid
        .local
        .as_ref()
        .map_or(ptr::null(), |local| local.as_ptr());
    // SAFETY: the sizes are three numbers long, `dimensions` is at most 3; the rest is the caller's promise.
    let status = unsafe {
        ffi::clEnqueueNDRangeKernel(
            queue.as_ptr(),
            kernel.as_ptr(),
            grid.dimensions,
            ptr::null(),
            grid.global.as_ptr(),
            local,
            0,
            ptr::null(),
            event,
        )
    };
    check("clEnqueueNDRangeKernel", status)
}

/// E0704.
fn failed(found: &Found, failure: Failure, work: impl Into<String>) -> Diagnostic {
    let name = &found.description.name;
    Diagnostic::error(Code::E0704, format!("the device {name} failed: {failure}"))
        .note(work)
        .help("`netc selftest` shows which kernels work on this device; `--device host` does without it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_drop_dimensions_of_one_item() {
        assert_eq!(Grid::new([5, 1, 1], None).dimensions, 1);
        assert_eq!(Grid::new([5, 2, 1], None).dimensions, 2);
        assert_eq!(Grid::new([1, 1, 3], None).dimensions, 3);
        assert_eq!(Grid::new([1, 1, 1], Some([1, 1, 1])).dimensions, 1);
    }
}
