//! Dropout inside C and F, and the way back through a layer's own dropout and activation.
//!
//! `dst = keep ? src / (1 - p) : 0`, in training only (Krizhevsky et al. 2012, 4.2; scaled in training rather than in
//! testing). The mask is never stored: element `i` of `[batch, height, width, channels]` is kept where word `i` of the
//! generator's stream (seed; dropout, layer, step) is at least `round(p * 2^32)`, and both passes and both engines draw
//! the same word.

use rayon::prelude::*;

use super::activation::{Function, by_value, define_sizes};
use super::emit::{
    BufferId, Call, Define, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalar, Scalars,
    Site, Tensor, elements, elements_mut, take,
};
use super::real::Real;
use super::view::{D_DST, DST, View};
use crate::random::{Purpose, Stream};

/// A layer's dropout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The probability of dropping a value.
    pub probability: f64,
    /// A mask given from outside (a byte an element, 1 keeps) in place of the draw: how golden cases are run.
    pub mask: Option<BufferId>,
}

impl Dropout {
    /// Words below this drop.
    pub fn threshold(&self) -> u32 {
        (self.probability * 4_294_967_296.0)
            .round()
            .min(f64::from(u32::MAX)) as u32
    }

    /// What kept values are multiplied by.
    pub fn scale(&self) -> f64 {
        1.0 / (1.0 - self.probability)
    }

    fn define(&self, kernel: Kernel, layer: usize) -> Kernel {
        let kernel = kernel.define("DROPOUT", 1).define("SCALE", self.scale());
        if self.mask.is_some() {
            kernel.define("MASK_GIVEN", 1)
        } else {
            kernel
                .define("THRESHOLD", Define::Unsigned(self.threshold()))
                .define("LAYER", Define::Unsigned(layer as u32))
        }
    }

    fn arguments(&self, call: Call) -> Call {
        match self.mask {
            Some(mask) => call.read(mask),
            None => call
                .scalar(Scalar::Step)
                .scalar(Scalar::SeedLow)
                .scalar(Scalar::SeedHigh),
        }
    }

    /// Asks for the forward step, in place on the layer's output.
    pub fn forward(&self, site: &Site, machine: &Machine, ledger: &mut Ledger) {
        let dst = site.destination;
        let (dropout, layer, machine) = (*self, site.layer, *machine);
        let kernel = move || {
            let kernel =
                Kernel::new("activation", "dropout_forward", 1).define("DROPOUT_FORWARD", 1);
            let kernel = dst.view.define(dropout.define(kernel, layer), DST);
            define_sizes(kernel, &dst.view).places(by_value(&dst.view), &machine)
        };
        let host = Forward {
            dropout,
            layer: site.layer,
            dst: dst.view,
        };
        ledger.step(
            site.named("dropout"),
            Some(site.layer),
            self.arguments(Call::new(kernel, host).update(dst.buffer)),
        );
    }
}

/// Asks for the step that turns the gradient of a layer's output into that of its product's result, in place: back
/// through dropout and activation. Asks for nothing where the layer has neither.
pub fn output_backward(
    site: &Site,
    d_dst: Tensor,
    act: Function,
    dropout: Option<Dropout>,
    machine: &Machine,
    ledger: &mut Ledger,
) {
    if act == Function::None && dropout.is_none() {
        return;
    }
    let dst = site.destination;
    let (layer, machine) = (site.layer, *machine);
    let kernel = move || {
        let kernel = Kernel::new("activation", "output_backward", 1)
            .define("OUTPUT_BACKWARD", 1)
            .define("ACT", act.number());
        let kernel = d_dst.view.define(dst.view.define(kernel, DST), D_DST);
        let kernel = define_sizes(kernel, &dst.view).places(by_value(&dst.view), &machine);
        match &dropout {
            Some(dropout) => dropout.define(kernel, layer),
            None => kernel,
        }
    };
    let mut call = Call::new(
        kernel,
        OutputBackward {
            act,
            dropout,
            layer: site.layer,
            dst: dst.view,
            d_dst: d_dst.view,
        },
    );
    if act != Function::None {
        call = call.read(dst.buffer);
    }
    call = call.update(d_dst.buffer);
    if let Some(dropout) = &dropout {
        call = dropout.arguments(call);
    }
    ledger.step(site.named("backward.activation"), Some(site.layer), call);
}

/// The mask of one image: whether each element is kept.
struct Mask<'a> {
    given: Option<&'a [u8]>,
    stream: Stream,
    threshold: u32,
}

impl<'a> Mask<'a> {
    fn new(dropout: &Dropout, layer: usize, given: Option<&'a [u8]>, scalars: &Scalars) -> Self {
        let stream = Stream::new(scalars.seed, Purpose::Dropout, layer as u32, scalars.step);
        Self {
            given,
            stream,
            threshold: dropout.threshold(),
        }
    }

    fn keeps(&self, element: usize) -> bool {
        match self.given {
            Some(mask) => mask[element] != 0,
            None => self.stream.word(element as u64) >= self.threshold,
        }
    }
}

#[derive(Debug)]
struct Forward {
    dropout: Dropout,
    layer: usize,
    dst: View,
}

#[derive(Debug)]
struct OutputBackward {
    act: Function,
    dropout: Option<Dropout>,
    layer: usize,
    dst: View,
    d_dst: View,
}

impl RealRoutine for Forward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, scalars: &Scalars) {
        let (dst, given): (&mut [T], Option<&[u8]>) = if self.dropout.mask.is_some() {
            let [dst, mask] = take(buffers);
            (elements_mut(dst), Some(mask))
        } else {
            let [dst] = take(buffers);
            (elements_mut(dst), None)
        };
        let mask = Mask::new(&self.dropout, self.layer, given, scalars);
        let scale = T::of(self.dropout.scale());
        let [channels, height, width] = self.dst.shape.dimensions();
        dst.par_chunks_mut(self.dst.image)
            .enumerate()
            .for_each(|(n, dst)| {
                for y in 0..height {
                    for x in 0..width {
                        let (at, element) = (
                            self.dst.at(0, 0, y, x),
                            ((n * height + y) * width + x) * channels,
                        );
                        for c in 0..channels {
                            let value = &mut dst[at + c];
                            *value = if mask.keeps(element + c) {
                                *value * scale
                            } else {
                                T::zero()
                            };
                        }
                    }
                }
            });
    }
}

impl RealRoutine for OutputBackward {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, scalars: &Scalars) {
        let (first, rest) = buffers.split_at_mut(usize::from(self.act != Function::None));
        let dst: &[T] = first.first().map_or(&[], |dst| elements(dst));
        let (d_dst, rest) = rest
            .split_first_mut()
            .expect("internal error: a gradient is always given");
        let d_dst: &mut [T] = elements_mut(d_dst);
        let mask = self.dropout.map(|dropout| {
            Mask::new(
                &dropout,
                self.layer,
                rest.first().map(|mask| &**mask),
                scalars,
            )
        });
        let scale = T::of(self.dropout.map_or(1.0, |dropout| dropout.scale()));
        let [channels, height, width] = self.dst.shape.dimensions();
        d_dst
            .par_chunks_mut(self.d_dst.image)
            .enumerate()
            .for_each(|(n, d_dst)| {
                for y in 0..height {
                    for x in 0..width {
                        let (at, to, element) = (
                            self.dst.at(n, 0, y, x),
                            self.d_dst.at(0, 0, y, x),
                            ((n * height + y) * width + x) * channels,
                        );
                        for c in 0..channels {
                            let mut factor = match &mask {
                                Some(mask) if mask.keeps(element + c) => scale,
                                Some(_) => T::zero(),
                                None => T::one(),
                            };
                            if self.act != Function::None {
                                factor *= self.act.derivative(dst[at + c] / scale);
                            }
                            d_dst[to + c] *= factor;
                        }
                    }
                }
            });
    }
}
