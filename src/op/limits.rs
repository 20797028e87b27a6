//! What a plan has to know of a device: numbers, not the device itself.

use super::real::Precision;

/// Which family of kernel variants suits a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The built-in host engine.
    Host,
    /// An OpenCL device that is a CPU: one work-item is one register tile.
    Cpu,
    /// Any other OpenCL device: many small work-items.
    Gpu,
}

/// A device's numbers, as far as they shape a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Which kernel variants.
    pub class: Class,
    /// Compute units (cores of a CPU).
    pub cores: usize,
    /// Bytes of the widest vector register; 16, 32 or 64. Only CPUs use it.
    pub vector_bytes: usize,
    /// All of the device's memory, in bytes.
    pub memory_bytes: u64,
    /// Its largest single allocation, in bytes.
    pub allocation_bytes: u64,
    /// Every buffer of an arena starts at a multiple of this many bytes (a power of two, at least 64).
    pub alignment_bytes: u64,
    /// Whether it computes in double precision.
    pub double: bool,
}

impl Limits {
    /// The built-in host engine's, for plans made without asking any device.
    pub fn host() -> Self {
        Self {
            class: Class::Host,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            vector_bytes: 32,
            memory_bytes: u64::MAX,
            allocation_bytes: u64::MAX,
            alignment_bytes: 128,
            double: true,
        }
    }

    /// An OpenCL CPU with 256-bit vectors: what `check` and `plan` assume where no device is named, so that their
    /// figures are the same on every machine.
    pub fn nominal() -> Self {
        Self {
            class: Class::Cpu,
            cores: 2,
            ..Self::host()
        }
    }

    /// Numbers in one vector register.
    pub fn lanes(&self, precision: Precision) -> usize {
        (self.vector_bytes / precision.bytes() as usize).max(2)
    }
}
