//! A plan's step made ready: its kernel with the buffers set, and the scalars that change from run to run.

use std::ffi::c_void;

use ocl::core::ffi;
use ocl::core::{Kernel, Mem};

use super::call::{Failure, check};
use super::queue::{Grid, Queue, Timed};
use crate::op::emit::{Argument, BufferId, Scalar, Scalars};
use crate::op::real::Precision;

/// A step that can be launched.
#[derive(Debug)]
pub struct Prepared {
    kernel: Kernel,
    grid: Grid,
    /// The arguments that are set anew for each run, with their index.
    scalars: Vec<(ffi::cl_uint, Scalar)>,
    precision: Precision,
}

impl Prepared {
    /// Sets a new kernel's arguments; what `buffer` gives must outlive this value.
    ///
    /// # Errors
    /// The call that failed.
    pub fn new<'b>(
        kernel: Kernel,
        grid: Grid,
        arguments: &[Argument],
        buffer: impl Fn(BufferId) -> &'b Mem,
        precision: Precision,
    ) -> Result<Self, Failure> {
        let mut scalars = Vec::new();
        for (index, argument) in (0..).zip(arguments) {
            match argument {
                Argument::Buffer(id, _) => set(&kernel, index, &buffer(*id).as_ptr())?,
                Argument::Scalar(scalar) => scalars.push((index, *scalar)),
                Argument::Size(value) => set(&kernel, index, value)?,
                Argument::Int(value) => {
                    let value = i32::try_from(*value).expect("internal error: a size beyond `int`");
                    set(&kernel, index, &value)?;
                }
            }
        }
        Ok(Self {
            kernel,
            grid,
            scalars,
            precision,
        })
    }

    /// Sets the scalars and runs the kernel after all work so far.
    ///
    /// # Errors
    /// The call that failed.
    pub fn launch(&mut self, queue: &Queue, values: &Scalars) -> Result<(), Failure> {
        self.set(values)?;
        // SAFETY: the kernels are netc's own; the planner gives them buffers and work sizes that belong together, which
        // the self-test and the sentinels of the kernel tests check.
        unsafe { queue.launch(&self.kernel, &self.grid) }
    }

    /// As [`Self::launch`], and notes the time that it takes.
    ///
    /// # Errors
    /// The call that failed.
    pub fn launch_timed(&mut self, queue: &mut Timed, values: &Scalars) -> Result<(), Failure> {
        self.set(values)?;
        // SAFETY: as in `launch`.
        unsafe { queue.launch(&self.kernel, &self.grid) }
    }

    /// Sets the arguments that change from run to run.
    fn set(&self, values: &Scalars) -> Result<(), Failure> {
        for &(index, scalar) in &self.scalars {
            let real = |value: f64| match self.precision {
                Precision::F32 => set(&self.kernel, index, &(value as f32)),
                Precision::F64 => set(&self.kernel, index, &value),
            };
            match scalar {
                Scalar::LearningRate => real(values.learning_rate),
                Scalar::StepSize => real(values.step_size),
                Scalar::Correction => real(values.correction),
                Scalar::Step => set(&self.kernel, index, &values.step),
                Scalar::SeedLow => set(&self.kernel, index, &(values.seed as u32)),
                Scalar::SeedHigh => set(&self.kernel, index, &((values.seed >> 32) as u32)),
                Scalar::Images => set(&self.kernel, index, &values.images.cast_signed()),
            }?;
        }
        Ok(())
    }
}

/// Sets one argument: a number, or a buffer's handle.
fn set<T: Copy>(kernel: &Kernel, index: ffi::cl_uint, value: &T) -> Result<(), Failure> {
    let bytes: *const c_void = std::ptr::from_ref(value).cast();
    // SAFETY: the size is the value's own, and the call copies it; OpenCL refuses a size that is not the argument's.
    check("clSetKernelArg", unsafe {
        ffi::clSetKernelArg(kernel.as_ptr(), index, size_of::<T>(), bytes)
    })
}
