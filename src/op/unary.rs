//! The steps of layers with one input and no parameters: one forward, one backward.

use super::emit::{Call, Kernel, Ledger, Routine, Site, Tensor};
use super::view::{D_DST, D_SRC, DST, SRC};

/// Asks for the step that reads the input and writes the output; both views are defined for `kernel`.
pub fn forward(
    site: &Site,
    kernel: impl Fn() -> Kernel + Send + Sync + 'static,
    host: impl Routine + 'static,
    ledger: &mut Ledger,
) {
    let (src, dst) = (site.source(), site.destination);
    let kernel = move || dst.view.define(src.view.define(kernel(), SRC), DST);
    let call = Call::new(kernel, host).read(src.buffer).write(dst.buffer);
    ledger.step(site.named("forward"), Some(site.layer), call);
}

/// Asks for the step that reads a kept tensor and the output's gradient and writes the input's; the kept tensor's view
/// is defined by `names`.
pub fn backward(
    site: &Site,
    (kept, names): (Tensor, [&'static str; 4]),
    [d_dst, d_src]: [Tensor; 2],
    kernel: impl Fn() -> Kernel + Send + Sync + 'static,
    host: impl Routine + 'static,
    ledger: &mut Ledger,
) {
    let kernel = move || {
        let kernel = d_dst.view.define(kept.view.define(kernel(), names), D_DST);
        d_src.view.define(kernel, D_SRC)
    };
    let call = Call::new(kernel, host)
        .read(kept.buffer)
        .read(d_dst.buffer)
        .write(d_src.buffer);
    ledger.step(site.named("backward"), Some(site.layer), call);
}
