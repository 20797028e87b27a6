//! Moving between layouts: the zeros beside a tensor's rows, and copies from one layout to another.

use super::activation::define_sizes;
use super::emit::{
    Call, HostBuffers, Kernel, Ledger, Machine, RealRoutine, Scalars, Tensor, elements,
    elements_mut, take,
};
use super::limits::Class;
use super::real::Real;
use super::view::{DST, SRC, View};

/// Asks for the zeros beside the rows of a tensor, before anything is written to it. Nothing where it has no halo.
pub fn zero_halo(
    name: &str,
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
    let kernel = Kernel::new("layout", "layout_zero_halo", 1).define("ZERO_HALO", 1);
    let kernel = if machine.limits.class == Class::Cpu {
        kernel.global([1, view.batch, 1]).single()
    } else {
        kernel.global([height + 1, view.batch, 1])
    };
    let call = Call::new(kernel, ZeroHalo { view })
        .write(tensor.buffer)
        .size(view.image)
        .size(height + 1)
        .size(view.row)
        .size(view.halo * view.pixel);
    ledger.step(format!("{name}.halo"), layer, call);
}

/// Asks for a copy of a tensor into another layout.
pub fn copy(name: &str, layer: Option<usize>, src: Tensor, dst: Tensor, ledger: &mut Ledger) {
    let kernel = Kernel::new("layout", "layout_copy", 1).define("COPY", 1);
    let kernel = define_sizes(
        dst.view.define(src.view.define(kernel, SRC), DST),
        &src.view,
    );
    let call = Call::new(
        kernel,
        Copy {
            src: src.view,
            dst: dst.view,
        },
    )
    .read(src.buffer)
    .write(dst.buffer);
    ledger.step(format!("{name}.copy"), layer, call);
}

#[derive(Debug)]
struct Copy {
    src: View,
    dst: View,
}

impl RealRoutine for Copy {
    fn run_real<T: Real>(&self, buffers: HostBuffers<'_, '_>, _: &Scalars) {
        let [src, dst] = take(buffers);
        let (src, dst): (&[T], &mut [T]) = (elements(src), elements_mut(dst));
        let [channels, height, width] = self.src.shape.dimensions();
        for n in 0..self.src.batch {
            for y in 0..height {
                for x in 0..width {
                    let (from, to) = (self.src.at(n, 0, y, x), self.dst.at(n, 0, y, x));
                    dst[to..to + channels].copy_from_slice(&src[from..from + channels]);
                }
            }
        }
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
