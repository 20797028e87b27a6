//! What stands before an update: sums of gradients over mini-batches, and a limit of their norm.

use rayon::prelude::*;

use super::BLOCK;
use crate::op::emit::{
    BufferId, Call, Element, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalars, elements,
    elements_mut, take,
};
use crate::op::limits::Class;
use crate::op::name::Name;
use crate::op::real::Real;

/// Parts of the sum of squares of a parameter on devices where many work-items run at once.
const PARTS: usize = 1024;
/// Added to the gradient's norm before it divides, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPSILON: f64 = 1e-6;

/// Asks for a gradient to be added to the sum over mini-batches.
pub fn accumulate(
    name: Name,
    layer: Option<usize>,
    (sum, gradient, count): (BufferId, BufferId, usize),
    machine: &Machine,
    ledger: &mut Ledger,
) {
    let machine = *machine;
    let kernel = move || {
        Kernel::new("optimizer", "optimizer_accumulate", 1)
            .define("OPTIMIZER_ACCUMULATE", 1)
            .blocks(count, BLOCK, &machine)
    };
    let call = Call::new(kernel, Accumulate)
        .update(sum)
        .read(gradient)
        .size(count);
    ledger.step(name.word("accumulate"), layer, call);
}

#[derive(Debug)]
struct Accumulate;

impl RealRoutine for Accumulate {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [sum, gradient] = take(buffers);
        let (sum, gradient): (&mut [T], &[T]) = (elements_mut(sum), elements(gradient));
        sum.par_chunks_mut(BLOCK)
            .zip(gradient.par_chunks(BLOCK))
            .for_each(|(sum, gradient)| {
                for (sum, &g) in sum.iter_mut().zip(gradient) {
                    *sum += g;
                }
            });
    }
}

/// Parts that a parameter's sum of squares is made of, and the numbers of each: neighbours on a CPU, on other devices
/// every so many, so that work-items beside each other read numbers beside each other.
fn parts(count: usize, machine: &Machine) -> usize {
    match machine.limits.class {
        Class::Gpu => PARTS.min(count),
        Class::Cpu | Class::Host => count.div_ceil(BLOCK),
    }
}

/// Asks for the factor that brings the norm of all gradients together down to `limit`, 1 where it is no larger:
/// `min(1, limit / (norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_` has it. Gives the buffer of that one number.
pub fn clip(
    limit: f64,
    gradients: &[(Name, Option<usize>, BufferId, usize)],
    machine: &Machine,
    ledger: &mut Ledger,
) -> BufferId {
    let counts = gradients.iter().map(|&(.., count)| parts(count, machine));
    let total = counts.sum::<usize>().max(1);
    let squares = ledger.buffer("gradient.squares", Element::Real, total);
    let factor = ledger.buffer("gradient.factor", Element::Real, 1);
    let mut first = 0;
    for (name, layer, gradient, count) in gradients {
        let (items, count, at) = (parts(*count, machine), *count, first);
        first += items;
        let machine = *machine;
        let kernel = move || {
            let kernel =
                Kernel::new("optimizer", "optimizer_squares", items).define("OPTIMIZER_SQUARES", 1);
            match machine.limits.class {
                Class::Gpu => kernel.define("STRIDED", 1),
                Class::Cpu | Class::Host => kernel.define("BLOCK", BLOCK).single(),
            }
        };
        let host = Squares {
            items,
            at,
            strided: machine.limits.class == Class::Gpu,
        };
        let call = Call::new(kernel, host).read(*gradient);
        // The first makes the buffer, the others fill it.
        let call = match at {
            0 => call.write(squares),
            _ => call.update(squares),
        };
        let call = call.size(count).ints([at, items]);
        ledger.step(name.clone().word("squares"), *layer, call);
    }
    let kernel = move || {
        Kernel::new("optimizer", "optimizer_factor", 1)
            .define("OPTIMIZER_FACTOR", 1)
            .define("LIMIT", limit)
            .define("CLIP_EPSILON", CLIP_EPSILON)
            .single()
    };
    let call = Call::new(kernel, Factor { limit, total })
        .read(squares)
        .write(factor)
        .ints([total]);
    ledger.step("gradient.clip", None, call);
    factor
}

#[derive(Debug)]
struct Squares {
    items: usize,
    at: usize,
    strided: bool,
}

impl RealRoutine for Squares {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [gradient, squares] = take(buffers);
        let (gradient, squares): (&[T], &mut [T]) = (elements(gradient), elements_mut(squares));
        squares[self.at..self.at + self.items]
            .par_iter_mut()
            .enumerate()
            .for_each(|(item, sum)| {
                *sum = T::zero();
                let mut add = |&g: &T| *sum += g * g;
                if self.strided {
                    gradient
                        .iter()
                        .skip(item)
                        .step_by(self.items)
                        .for_each(&mut add);
                } else {
                    let first = item * BLOCK;
                    gradient[first..gradient.len().min(first + BLOCK)]
                        .iter()
                        .for_each(&mut add);
                }
            });
    }
}

#[derive(Debug)]
struct Factor {
    limit: f64,
    total: usize,
}

impl RealRoutine for Factor {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [squares, factor] = take(buffers);
        let (squares, factor): (&[T], &mut [T]) = (elements(squares), elements_mut(factor));
        let mut sum = T::zero();
        squares[..self.total]
            .iter()
            .for_each(|&square| sum += square);
        let bound = T::of(self.limit) / (sum.sqrt() + T::of(CLIP_EPSILON));
        // A norm that is no number makes the factor none either.
        factor[0] = if bound >= T::one() { T::one() } else { bound };
    }
}
