//! Joins: `+[x | y]`, the sum of branches, and `&[x | y]`, their channels one after another. No parameters, no
//! multiply-adds. Formulas stand in `kernels/join.cl`.
//!
//! A join is no layer kind: it is written as a bracket, so it has no attributes and no line in [`super::KINDS`].

use std::fmt::Write;
use std::sync::Arc;

use rayon::prelude::*;

use super::activation::define_sizes;
use super::emit::{
    Back, BufferId, Call, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalars, Site, Tensor,
    elements, elements_mut, take,
};
use super::layout::copy;
use super::name::Name;
use super::real::Real;
use super::shape::Shape;
use super::signal::{Flow, Gradient, Signal};
use super::view::{DST, SRC, View};
use super::{Fault, InPlace, Kind, Op};
use crate::diagnostic::Code;

/// `+[x | y]`.
pub static SUM: Kind = Kind {
    letter: "+",
    name: "sum of branches",
    width: None,
    attributes: &[],
    build: |_, _, _| Some(Arc::new(Sum)),
};

/// `&[x | y]`.
pub static CONCATENATION: Kind = Kind {
    letter: "&",
    name: "concatenation of branches",
    width: None,
    attributes: &[],
    build: |_, _, _| Some(Arc::new(Concatenation)),
};

/// The sum of its inputs, element by element.
///
/// Shape rule: all inputs have one shape, which is the output's (E0304).
#[derive(Clone, Copy, Debug)]
pub struct Sum;

/// The channels of its inputs one after another; of vectors, their elements.
///
/// Shape rule: inputs agree in height and width, or are all vectors (E0304); channels add up (E0307 beyond 2^40
/// elements).
#[derive(Clone, Copy, Debug)]
pub struct Concatenation;

/// `8x28x28, 16x28x28 and 12`.
fn listed(shapes: &[Shape]) -> String {
    let mut words = String::new();
    for (i, shape) in shapes.iter().enumerate() {
        let gap = match i {
            0 => "",
            _ if i + 1 == shapes.len() => " and ",
            _ => ", ",
        };
        let _ = write!(words, "{gap}{shape}");
    }
    words
}

/// Whether two inputs lie on maps of one size, or are both vectors.
fn same_map(a: Shape, b: Shape) -> bool {
    matches!((a, b), (Shape::Vector(_), Shape::Vector(_)))
        || matches!((a, b), (Shape::Image { .. }, Shape::Image { .. }))
            && a.dimensions()[1..] == b.dimensions()[1..]
}

/// What helps where branches lie on different maps.
fn map_help(shapes: &[Shape]) -> &'static str {
    if shapes.iter().any(|shape| matches!(shape, Shape::Vector(_))) {
        "end every branch in an `F`, or none of them"
    } else {
        "use the same strides, padding and pooling in every branch"
    }
}

impl Op for Sum {
    fn kind(&self) -> &'static Kind {
        &SUM
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, Fault> {
        let first = inputs[0];
        if inputs.iter().all(|&shape| shape == first) {
            return Ok(first);
        }
        let fault = Fault::new(
            Code::E0304,
            format!(
                "`+` adds branches of one shape, and these are {}",
                listed(inputs)
            ),
        );
        Err(if !inputs.iter().all(|&shape| same_map(shape, first)) {
            fault.help(map_help(inputs))
        } else if let Shape::Vector(n) = first {
            fault.help(format!(
                "give every branch the same width: end each in `F{n}`"
            ))
        } else {
            let channels = first.channels();
            fault.help(format!(
                "give every branch the same number of channels: end each in {channels} channels, or put `C{channels}(kernel=1)` into the others"
            ))
        })
    }

    fn signal(&self, inputs: &[Flow<'_>], _: Shape) -> Signal {
        let parts: Vec<&Signal> = inputs.iter().map(|input| input.signal).collect();
        Signal::sum(&parts)
    }

    fn gradient(&self, inputs: &[Flow<'_>], _: Shape, d_dst: Gradient) -> Vec<Gradient> {
        vec![Gradient::of(d_dst.square); inputs.len()]
    }

    fn in_place(&self) -> InPlace {
        InPlace::Over
    }

    fn forward(&self, site: &Site, machine: &Machine, ledger: &mut Ledger) -> Vec<BufferId> {
        let dst = site.destination;
        let (layer, sources) = (Some(site.layer), site.sources.as_slice());
        let over = sources
            .iter()
            .position(|source| source.buffer == dst.buffer);
        if let Some(over) = over {
            // The others are added to what is there.
            for (_, &source) in sources.iter().enumerate().filter(|(i, _)| *i != over) {
                accumulate(site.named("forward"), layer, source, dst, ledger);
            }
            return Vec::new();
        }
        let rest = match *sources {
            [a, b, ref rest @ ..] if a.buffer != b.buffer => {
                let kernel = move || {
                    let kernel = Kernel::new("join", "join_sum", 1).define("SUM", 1);
                    let kernel = a.view.define(b.view.define(kernel, OTHER), SRC);
                    define_sizes(dst.view.define(kernel, DST), &dst.view)
                };
                let host = Add {
                    sources: [a.view, b.view],
                    dst: dst.view,
                };
                let call = Call::new(kernel, host).read(a.buffer).read(b.buffer);
                ledger.step(site.named("forward"), layer, call.write(dst.buffer));
                rest
            }
            [a, ref rest @ ..] => {
                copy(site.named("forward"), layer, a, dst, machine, ledger);
                rest
            }
            [] => unreachable!("internal error: a join has inputs"),
        };
        for &source in rest {
            accumulate(site.named("forward"), layer, source, dst, ledger);
        }
        Vec::new()
    }

    fn backward(&self, site: &Site, back: &Back, machine: &Machine, ledger: &mut Ledger) {
        for (branch, &d_src) in back.d_src.iter().enumerate() {
            if let Some(d_src) = d_src.filter(|d_src| d_src.buffer != back.d_dst.buffer) {
                let name = site.named("backward").number(branch + 1);
                copy(name, Some(site.layer), back.d_dst, d_src, machine, ledger);
            }
        }
    }
}

impl Op for Concatenation {
    fn kind(&self) -> &'static Kind {
        &CONCATENATION
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, Fault> {
        let first = inputs[0];
        if !inputs.iter().all(|&shape| same_map(shape, first)) {
            let message = format!(
                "`&` joins branches of one height and width, and these are {}",
                listed(inputs)
            );
            return Err(Fault::new(Code::E0304, message).help(map_help(inputs)));
        }
        let channels = inputs
            .iter()
            .fold(0usize, |sum, shape| sum.saturating_add(shape.channels()));
        let [_, height, width] = first.dimensions();
        let output = match first {
            Shape::Image { .. } => Shape::image(channels, height, width),
            Shape::Vector(_) => Shape::Vector(channels),
        };
        if output.checked_elements().is_none() {
            let message = format!("branches of {channels} channels have more than 2^40 elements");
            return Err(Fault::new(Code::E0307, message).help("use fewer channels or branches"));
        }
        Ok(output)
    }

    fn signal(&self, inputs: &[Flow<'_>], _: Shape) -> Signal {
        let channels = |input: &Flow<'_>| input.shape.channels();
        let parts: Vec<(usize, &Signal)> = inputs
            .iter()
            .map(|input| (channels(input), input.signal))
            .collect();
        Signal::beside(&parts)
    }

    fn gradient(&self, inputs: &[Flow<'_>], _: Shape, d_dst: Gradient) -> Vec<Gradient> {
        vec![Gradient::of(d_dst.square); inputs.len()]
    }

    fn in_place(&self) -> InPlace {
        InPlace::Parts
    }

    fn forward(&self, site: &Site, machine: &Machine, ledger: &mut Ledger) -> Vec<BufferId> {
        let parts = parts(site.destination, &site.sources);
        for (branch, (&source, part)) in site.sources.iter().zip(parts).enumerate() {
            // Written where it belongs.
            if source == part {
                continue;
            }
            let name = site.named("forward").number(branch + 1);
            copy(name, Some(site.layer), source, part, machine, ledger);
        }
        Vec::new()
    }

    fn backward(&self, site: &Site, back: &Back, machine: &Machine, ledger: &mut Ledger) {
        let parts = parts(back.d_dst, &site.sources);
        for (branch, (&d_src, part)) in back.d_src.iter().zip(parts).enumerate() {
            if let Some(d_src) = d_src {
                let name = site.named("backward").number(branch + 1);
                copy(name, Some(site.layer), part, d_src, machine, ledger);
            }
        }
    }
}

/// Each source's channels within the joined tensor.
fn parts(joined: Tensor, sources: &[Tensor]) -> Vec<Tensor> {
    let mut offset = 0;
    let mut part = |source: &Tensor| {
        let view = joined.view.part(offset, source.view.shape);
        offset += source.view.shape.channels();
        Tensor { view, ..joined }
    };
    sources.iter().map(&mut part).collect()
}

/// Asks for `dst += src`. The two lie in different buffers.
pub fn accumulate(name: Name, layer: Option<usize>, src: Tensor, dst: Tensor, ledger: &mut Ledger) {
    let kernel = move || {
        let kernel = Kernel::new("join", "join_accumulate", 1).define("ACCUMULATE", 1);
        let kernel = dst.view.define(src.view.define(kernel, SRC), DST);
        define_sizes(kernel, &dst.view)
    };
    let host = Accumulate {
        src: src.view,
        dst: dst.view,
    };
    let call = Call::new(kernel, host);
    ledger.step(
        name.word("accumulate"),
        layer,
        call.read(src.buffer).update(dst.buffer),
    );
}

/// The defines' names of the second summand's view.
const OTHER: [&str; 4] = ["OTHER_O", "OTHER_N", "OTHER_H", "OTHER_W"];

#[derive(Debug)]
struct Add {
    sources: [View; 2],
    dst: View,
}

#[derive(Debug)]
struct Accumulate {
    src: View,
    dst: View,
}

impl RealRoutine for Add {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [a, b, dst] = take(buffers);
        let (a, b, dst): (&[T], &[T], &mut [T]) = (elements(a), elements(b), elements_mut(dst));
        let views = &self.sources;
        for_pixels(&self.dst, dst, |[n, y, x], dst| {
            let [a, b] = [&a[views[0].at(n, 0, y, x)..], &b[views[1].at(n, 0, y, x)..]];
            let sums = dst.iter_mut().zip(a).zip(b);
            sums.for_each(|((dst, &a), &b)| *dst = a + b);
        });
    }
}

impl RealRoutine for Accumulate {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, dst] = take(buffers);
        let (src, dst): (&[T], &mut [T]) = (elements(src), elements_mut(dst));
        for_pixels(&self.dst, dst, |[n, y, x], dst| {
            let src = &src[self.src.at(n, 0, y, x)..];
            dst.iter_mut().zip(src).for_each(|(dst, &src)| *dst += src);
        });
    }
}

/// Calls `f` with each pixel's place (image, row, column) and its channels in `dst`.
fn for_pixels<T: Real>(view: &View, dst: &mut [T], f: impl Fn([usize; 3], &mut [T]) + Sync) {
    let [channels, height, width] = view.shape.dimensions();
    dst.par_chunks_mut(view.image)
        .enumerate()
        .for_each(|(n, image)| {
            for y in 0..height {
                for x in 0..width {
                    f([n, y, x], &mut image[view.at(0, 0, y, x)..][..channels]);
                }
            }
        });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_need_one_shape_and_concatenations_one_map() {
        let (a, b) = (Shape::image(8, 7, 5), Shape::image(3, 7, 5));
        assert_eq!(Sum.output(&[a, a, a]), Ok(a));
        assert_eq!(Concatenation.output(&[a, b]), Ok(Shape::image(11, 7, 5)));
        let vectors = [Shape::Vector(4), Shape::Vector(6)];
        assert_eq!(Concatenation.output(&vectors), Ok(Shape::Vector(10)));
        let fault = Sum.output(&[a, b]).unwrap_err();
        assert_eq!(fault.code, Code::E0304);
        assert!(fault.message.ends_with("8x7x5 and 3x7x5"), "{fault:?}");
        assert!(fault.help.unwrap().contains("C8(kernel=1)"));
        let one = Shape::image(4, 1, 1);
        for shapes in [[a, Shape::image(8, 5, 7)], [one, Shape::Vector(4)]] {
            assert_eq!(Sum.output(&shapes).unwrap_err().code, Code::E0304);
            assert_eq!(Concatenation.output(&shapes).unwrap_err().code, Code::E0304);
        }
        let huge = Shape::image(1 << 30, 1 << 10, 1);
        let fault = Concatenation.output(&[huge, huge]).unwrap_err();
        assert_eq!(fault.code, Code::E0307);
    }
}
