//! The number types that plans compute in.

use std::fmt;
use std::iter::Sum;

use num_traits::{Float, FromPrimitive, NumAssign};

/// What a plan's numbers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// IEEE binary32.
    #[default]
    F32,
    /// IEEE binary64.
    F64,
}

impl Precision {
    /// Bytes of one number.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The word of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// The type's name in OpenCL C.
    pub fn opencl(self) -> &'static str {
        match self {
            Self::F32 => "float",
            Self::F64 => "double",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `f32` or `f64`: every formula of the host engine is written once, over this trait.
pub trait Real:
    Float
    + FromPrimitive
    + NumAssign
    + Sum
    + Default
    + bytemuck::Pod
    + Send
    + Sync
    + fmt::Debug
    + fmt::Display
    + 'static
{
    /// Which one it is.
    const PRECISION: Precision;

    /// The nearest value of this type.
    fn of(value: f64) -> Self;

    /// The value as `f64`, exact.
    fn wide(self) -> f64;
}

impl Real for f32 {
    const PRECISION: Precision = Precision::F32;

    fn of(value: f64) -> Self {
        value as Self
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    const PRECISION: Precision = Precision::F64;

    fn of(value: f64) -> Self {
        value
    }

    fn wide(self) -> f64 {
        self
    }
}
