//! What a device can do at best: multiply-adds out of registers, and copying. `netc bench` compares layers with it.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::emit::{
    BufferId, Call, HostBuffers, Kernel, Machine, RealRoutine, Scalars, elements, elements_mut,
    take,
};
use super::limits::Class;
use super::real::{Precision, Real};

/// Chains of multiply-adds that one work-item keeps in registers: enough to hide an addition's latency on any device,
/// few enough for a CPU of 16 vector registers.
const CHAINS: usize = 12;
/// Multiply-adds of one chain.
const STEPS: usize = 1 << 16;
/// Vectors that one work-item copies.
const BLOCK: usize = 256;

/// Numbers in a vector of the kernels' work-items.
fn lanes(machine: &Machine) -> usize {
    match machine.limits.class {
        Class::Gpu => 4,
        Class::Cpu | Class::Host => machine.limits.lanes(machine.precision),
    }
}

/// Work-items that keep the device busy.
pub fn items(machine: &Machine) -> usize {
    match machine.limits.class {
        Class::Gpu => 1024 * machine.limits.cores,
        Class::Cpu | Class::Host => 4 * machine.limits.cores,
    }
}

/// Multiply-adds out of registers, one result for each of the [`items`].
pub fn multiply_add(dst: BufferId, machine: &Machine) -> Call {
    let machine = *machine;
    let steps = match machine.limits.class {
        Class::Gpu => STEPS / 64,
        Class::Cpu | Class::Host => STEPS,
    };
    let kernel = move || {
        let kernel = Kernel::new("peak", "peak_multiply_add", items(&machine))
            .define("PEAK_MULTIPLY_ADD", 1)
            .define("VW", lanes(&machine))
            .define("CHAINS", CHAINS)
            .define("STEPS", steps);
        match machine.limits.class {
            Class::Gpu => kernel,
            Class::Cpu | Class::Host => kernel.single(),
        }
    };
    let count = match machine.limits.class {
        Class::Host => CHAINS * HOST_LANES * STEPS,
        Class::Cpu | Class::Gpu => CHAINS * lanes(&machine) * steps,
    };
    Call::new(kernel, MultiplyAdd)
        .write(dst)
        .multiply_adds((count * items(&machine)) as u64)
}

/// A copy of so many numbers, a multiple of [`copied`].
pub fn copy(src: BufferId, dst: BufferId, count: usize, machine: &Machine) -> Call {
    let machine = *machine;
    let kernel = move || {
        let gpu = machine.limits.class == Class::Gpu;
        let block = if gpu { 1 } else { BLOCK };
        let kernel = Kernel::new("peak", "peak_copy", count / (block * lanes(&machine)))
            .define("PEAK_COPY", 1)
            .define("VW", lanes(&machine))
            .define("BLOCK", block);
        if gpu { kernel } else { kernel.single() }
    };
    Call::new(kernel, Copy).read(src).write(dst)
}

/// What the count of a [`copy`] is a multiple of.
pub fn copied(machine: &Machine) -> usize {
    BLOCK * lanes(machine)
}

/// Numbers that the host counts as a vector.
const HOST_LANES: usize = 16;

#[derive(Debug)]
struct MultiplyAdd;

impl RealRoutine for MultiplyAdd {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [dst] = take(buffers);
        let dst: &mut [T] = elements_mut(dst);
        dst.par_iter_mut().enumerate().for_each(|(item, dst)| {
            let start = T::of(item as f64);
            let total = match T::PRECISION {
                Precision::F32 => Arch::new().dispatch(Chains32(start.wide() as f32)).into(),
                Precision::F64 => Arch::new().dispatch(Chains64(start.wide())),
            };
            *dst = T::of(total);
        });
    }
}

/// The work of one work-item, for the vectors that the machine has.
macro_rules! chains {
    ($name:ident, $real:ty, $splat:ident, $mul_add:ident, $add:ident, $sum:ident) => {
        struct $name($real);

        impl WithSimd for $name {
            type Output = $real;

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> $real {
                let factor = simd.$splat(0.999);
                let term = simd.$splat(0.25);
                // As many steps as give every machine the same number of multiply-adds.
                let lanes = size_of_val(&factor) / size_of::<$real>();
                let mut chain = [simd.$splat(self.0); CHAINS];
                for _ in 0..STEPS * HOST_LANES / lanes {
                    for chain in &mut chain {
                        *chain = simd.$mul_add(*chain, factor, term);
                    }
                }
                let mut total = chain[0];
                for chain in &chain[1..] {
                    total = simd.$add(total, *chain);
                }
                simd.$sum(total)
            }
        }
    };
}
chains!(
    Chains32,
    f32,
    splat_f32s,
    mul_add_e_f32s,
    add_f32s,
    reduce_sum_f32s
);
chains!(
    Chains64,
    f64,
    splat_f64s,
    mul_add_e_f64s,
    add_f64s,
    reduce_sum_f64s
);

#[derive(Debug)]
struct Copy;

impl RealRoutine for Copy {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, dst] = take(buffers);
        let (src, dst): (&[T], &mut [T]) = (elements(src), elements_mut(dst));
        let block = 1 << 16;
        dst.par_chunks_mut(block)
            .zip(src.par_chunks(block))
            .for_each(|(dst, src)| dst.copy_from_slice(src));
    }
}
