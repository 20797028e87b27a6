//! Moving between layouts: the zeros beside a tensor's rows, and copies from one layout to another.

use rayon::prelude::*;

use super::emit::{
    Call, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalars, Tensor, elements,
    elements_mut, take,
};
use super::limits::Class;
use super::name::Name;
use super::real::Real;
use super::view::View;

/// Asks for the zeros beside the rows of a tensor, before anything is written to it. Nothing where it has no halo.
pub fn zero_halo(
    name: impl Into<Name>,
    layer: Option<usize>,
    tensor: Tensor,
    machine: &Machine,
    ledger: &mut Ledger,
) {
    let view = tensor.view;
    if view.halo == 0 {
        return;
    }
    let [_, height, _] = view.shape.dimensions();
    let class = machine.limits.class;
    let kernel = move || {
        let kernel = Kernel::new("layout", "layout_zero_halo", 1).define("ZERO_HALO", 1);
        if class == Class::Cpu {
            kernel.global([1, view.batch, 1]).single()
        } else {
            kernel.global([height + 1, view.batch, 1])
        }
    };
    let call = Call::new(kernel, ZeroHalo { view })
        .write(tensor.buffer)
        .size(view.image)
        .size(height + 1)
        .size(view.row)
        .size(view.halo * view.pixel);
    ledger.step(name.into().word("halo"), layer, call);
}

/// Asks for a copy of a tensor into another layout.
pub fn copy(
    name: Name,
    layer: Option<usize>,
    src: Tensor,
    dst: Tensor,
    machine: &Machine,
    ledger: &mut Ledger,
) {
    copy_images(name, layer, (src, 0), (dst, 0), machine, ledger);
}

/// Asks for a copy of some images, each tensor's from one of its images on; as many as the smaller one has.
pub fn copy_images(
    name: Name,
    layer: Option<usize>,
    (src, from): (Tensor, usize),
    (dst, to): (Tensor, usize),
    machine: &Machine,
    ledger: &mut Ledger,
) {
    let images = src.view.batch.min(dst.view.batch);
    let [channels, height, width] = src.view.shape.dimensions();
    let on = *machine;
    let kernel = move || {
        let kernel = Kernel::new("layout", "layout_copy", 1).define("COPY", 1);
        kernel.places([width * channels, height, images], &on)
    };
    let host = Copy {
        src: src.view,
        dst: dst.view,
        from,
        to,
    };
    let call = Call::new(kernel, host)
        .read(src.buffer)
        .write(dst.buffer)
        .ints(src.view.places())
        .ints(dst.view.places())
        .ints([width, channels, from, to]);
    ledger.step(name.word("copy"), layer, call);
}

#[derive(Debug)]
struct Copy {
    src: View,
    dst: View,
    /// The first image of each that is copied.
    from: usize,
    to: usize,
}

impl RealRoutine for Copy {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, dst] = take(buffers);
        let (src, dst): (&[T], &mut [T]) = (elements(src), elements_mut(dst));
        let [channels, height, width] = self.src.shape.dimensions();
        let images = self.src.batch.min(self.dst.batch);
        // A row at a time where its pixels have no gaps.
        let gaps = self.src.pixel.max(self.dst.pixel) > channels;
        let run = if gaps { 1 } else { width };
        let dst = dst.par_chunks_mut(self.dst.image).skip(self.to);
        dst.take(images).enumerate().for_each(|(n, dst)| {
            for y in 0..height {
                for x in (0..width).step_by(run) {
                    let from = self.src.at(self.from + n, 0, y, x);
                    let to = self.dst.at(0, 0, y, x);
                    dst[to..to + run * channels].copy_from_slice(&src[from..from + run * channels]);
                }
            }
        });
    }
}

#[derive(Debug)]
struct ZeroHalo {
    view: View,
}

impl RealRoutine for ZeroHalo {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [dst] = take(buffers);
        let dst: &mut [T] = elements_mut(dst);
        let [_, height, _] = self.view.shape.dimensions();
        for image in dst.chunks_exact_mut(self.view.image) {
            for row in 0..=height {
                image[row * self.view.row..][..self.view.halo * self.view.pixel].fill(T::zero());
            }
        }
    }
}
