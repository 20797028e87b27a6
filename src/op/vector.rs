//! Loops of the host engine, compiled for the vectors that the machine has.

#![expect(
    clippy::inline_always,
    reason = "what runs in `vectorized` must be part of it to use the machine's vectors"
)]

use pulp::{Arch, Simd, WithSimd};

/// Runs `work` with the machine's vectors: all that is inlined into it is compiled once for each kind of machine. Mark the
/// closure, and the functions that it calls, `#[inline(always)]`.
#[inline(always)]
pub fn vectorized(work: impl FnMut()) {
    // A closure that is called by value is called through a function of its own, which is not inlined: hence `FnMut`.
    struct Work<F>(F);
    impl<F: FnMut()> WithSimd for Work<F> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(mut self, _: S) {
            (self.0)();
        }
    }
    Arch::new().dispatch(Work(work));
}
