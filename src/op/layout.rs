//! The zeros beside a tensor's rows.

use super::emit::{Call, HostBuffers, Kernel, Ledger, RealRoutine, Scalars, Tensor, elements_mut, take};
use super::real::Real;
use super::view::View;

/// Asks for the zeros beside the rows of a tensor, before anything is written to it. Nothing where it has no halo.
pub fn zero_halo(name: &str, layer: Option<usize>, tensor: Tensor, ledger: &mut Ledger) {
    let view = tensor.view;
    if view.halo == 0 {
        return;
    }
    let [_, height, _] = view.shape.dimensions();
    let kernel = Kernel::new("layout", "layout_zero_halo", 1)
        .define("IMAGE", view.image)
        .define("ROW", view.row)
        .define("HALO", view.halo * view.pixel)
        .global([height + 1, view.batch, 1]);
    ledger.step(format!("{name}.halo"), layer, Call::new(kernel, ZeroHalo { view }).write(tensor.buffer));
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
