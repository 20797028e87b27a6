//! One loaded plan, driven in logical values: tensors as `[batch, channels, height, width]` and parameters in PyTorch's
//! shapes, whatever their layout and precision on the device.

use std::ops::Range;
use std::sync::Arc;

use crate::device::{Device, Loaded};
use crate::diagnostic::{Code, Diagnostic};
use crate::op::emit::{BufferId, Element, Scalars};
use crate::op::parameter::Parameter;
use crate::op::real::{Precision, Real};
use crate::op::view::View;
use crate::plan::Plan;

use super::checkpoint::Sink;

/// A plan on a device.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The device's name for it.
    pub loaded: Loaded,
}

impl Runner {
    /// Loads a plan.
    ///
    /// # Errors
    /// As [`Device::load`].
    pub fn load(device: &mut dyn Device, plan: Plan) -> Result<Self, Diagnostic> {
        Self::of(device, Arc::new(plan))
    }

    /// Loads a plan that others know as well.
    ///
    /// # Errors
    /// As [`Device::load`].
    pub fn of(device: &mut dyn Device, plan: Arc<Plan>) -> Result<Self, Diagnostic> {
        let loaded = device.load(&plan)?;
        Ok(Self { plan, loaded })
    }

    /// Writes a tensor, halo included.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn write_tensor(
        &self,
        device: &mut dyn Device,
        at: (BufferId, View),
        logical: &[f64],
    ) -> Result<(), Diagnostic> {
        fn physical<T: Real>(view: &View, logical: &[f64]) -> Vec<u8> {
            let mut physical = vec![T::zero(); view.elements()];
            let logical: Vec<T> = logical.iter().map(|&value| T::of(value)).collect();
            view.scatter(&logical, &mut physical);
            bytemuck::cast_slice(&physical).to_vec()
        }
        let bytes = match self.plan.precision {
            Precision::F32 => physical::<f32>(&at.1, logical),
            Precision::F64 => physical::<f64>(&at.1, logical),
        };
        device.write(self.loaded, at.0, &bytes)
    }

    /// Reads a tensor.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn read_tensor(
        &self,
        device: &mut dyn Device,
        at: (BufferId, View),
    ) -> Result<Vec<f64>, Diagnostic> {
        let physical = self.read_reals(device, at.0, at.1.elements())?;
        Ok(at.1.gather(&physical))
    }

    /// Reads the first numbers of a buffer.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn read_reals(
        &self,
        device: &mut dyn Device,
        buffer: BufferId,
        count: usize,
    ) -> Result<Vec<f64>, Diagnostic> {
        let mut bytes = vec![
            0u64;
            count
                .div_ceil(2)
                .max(if self.plan.precision == Precision::F64 {
                    count
                } else {
                    0
                })
        ];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut bytes);
        let bytes = &mut bytes[..count * self.plan.precision.bytes() as usize];
        device.read(self.loaded, buffer, bytes)?;
        Ok(match self.plan.precision {
            Precision::F32 => bytemuck::cast_slice::<u8, f32>(bytes)
                .iter()
                .map(|&v| f64::from(v))
                .collect(),
            Precision::F64 => bytemuck::cast_slice::<u8, f64>(bytes).to_vec(),
        })
    }

    /// Writes 32-bit integers: labels.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn write_ints(
        &self,
        device: &mut dyn Device,
        buffer: BufferId,
        values: &[i32],
    ) -> Result<(), Diagnostic> {
        device.write(self.loaded, buffer, bytemuck::cast_slice(values))
    }

    /// Reads 32-bit integers.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn read_ints(
        &self,
        device: &mut dyn Device,
        buffer: BufferId,
    ) -> Result<Vec<i32>, Diagnostic> {
        let facts = self.plan.buffer(buffer);
        debug_assert!(
            facts.element == Element::Int,
            "internal error: `{}` holds no integers",
            facts.name
        );
        let mut values = vec![0i32; facts.elements];
        device.read(self.loaded, buffer, bytemuck::cast_slice_mut(&mut values))?;
        Ok(values)
    }

    /// Writes a parameter's logical values into a buffer of its layout (values, velocity).
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn write_parameter(
        &self,
        device: &mut dyn Device,
        parameter: &Parameter,
        buffer: BufferId,
        logical: &[f64],
    ) -> Result<(), Diagnostic> {
        self.write_values(device, parameter, buffer, logical.iter().copied())
    }

    /// As [`Self::write_parameter`], of values that come one by one: a large layer's are in memory only once.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn write_values(
        &self,
        device: &mut dyn Device,
        parameter: &Parameter,
        buffer: BufferId,
        logical: impl Iterator<Item = f64>,
    ) -> Result<(), Diagnostic> {
        let layout = &parameter.layout;
        match self.plan.precision {
            Precision::F32 => {
                let packed = layout.pack(logical.map(|value| value as f32));
                device.write(self.loaded, buffer, bytemuck::cast_slice(&packed))
            }
            Precision::F64 => {
                let packed = layout.pack(logical);
                device.write(self.loaded, buffer, bytemuck::cast_slice(&packed))
            }
        }
    }

    /// Reads a parameter's logical values from a buffer of its layout (values, gradient, velocity).
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn read_parameter(
        &self,
        device: &mut dyn Device,
        parameter: &Parameter,
        buffer: BufferId,
    ) -> Result<Vec<f64>, Diagnostic> {
        let packed = self.read_reals(device, buffer, parameter.layout.elements())?;
        Ok(parameter.layout.unpack(&packed, parameter.count()))
    }

    /// Gives a parameter's logical values to a sink, from a buffer of its layout (values, velocity).
    ///
    /// # Errors
    /// E0704 the device failed; E0801 a value is not finite; those of the sink.
    pub fn save_parameter(
        &self,
        device: &mut dyn Device,
        parameter: &Parameter,
        buffer: BufferId,
        sink: &mut Sink<'_>,
    ) -> Result<(), Diagnostic> {
        match self.plan.precision {
            Precision::F32 => self.save::<f32>(device, parameter, buffer, sink),
            Precision::F64 => self.save::<f64>(device, parameter, buffer, sink),
        }
    }

    fn save<T: Real>(
        &self,
        device: &mut dyn Device,
        parameter: &Parameter,
        buffer: BufferId,
        sink: &mut Sink<'_>,
    ) -> Result<(), Diagnostic> {
        let mut packed = vec![T::zero(); parameter.layout.elements()];
        device.read(self.loaded, buffer, bytemuck::cast_slice_mut(&mut packed))?;
        let logical = parameter.layout.unpack(&packed, parameter.count());
        drop(packed);
        for piece in logical.chunks(1 << 13) {
            if !piece.iter().all(|value| value.is_finite()) {
                let message = format!("`{}` is no longer finite", self.plan.buffer(buffer).name);
                return Err(Diagnostic::error(Code::E0801, message));
            }
            if cfg!(target_endian = "little") {
                sink(bytemuck::cast_slice(piece))?;
                continue;
            }
            let mut bytes = bytemuck::cast_slice::<T, u8>(piece).to_vec();
            bytes
                .chunks_exact_mut(size_of::<T>())
                .for_each(<[u8]>::reverse);
            sink(&bytes)?;
        }
        Ok(())
    }

    /// Runs some of the steps.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn run(
        &self,
        device: &mut dyn Device,
        steps: Range<usize>,
        scalars: &Scalars,
    ) -> Result<(), Diagnostic> {
        device.run(self.loaded, steps, scalars)
    }

    /// Runs all steps.
    ///
    /// # Errors
    /// E0704 the device failed.
    pub fn run_all(&self, device: &mut dyn Device, scalars: &Scalars) -> Result<(), Diagnostic> {
        self.run(device, 0..self.plan.steps.len(), scalars)
    }
}
