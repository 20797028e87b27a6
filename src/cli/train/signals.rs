//! Ctrl-C and SIGTERM. Before the first step they end the process, from then on they ask the training to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown, register_usize};

/// What has been asked for by signals.
pub struct Signals {
    /// The last signal's number, 0 before the first.
    asked: Arc<AtomicUsize>,
    /// Whether a signal ends the process at once.
    leaves: Arc<AtomicBool>,
    /// Whether Ctrl-C does.
    again: Arc<AtomicBool>,
}

impl Signals {
    /// Sets the handlers; a signal ends the process with 130 or 143.
    ///
    /// To be called before a device is opened. A compiler in a driver (LLVM in `PoCL`) sets handlers too, which give way to
    /// those that they found and raise the signal again: those must be ours, or the process dies.
    pub fn watch() -> Self {
        let signals = Self {
            asked: Arc::default(),
            leaves: Arc::new(AtomicBool::new(true)),
            again: Arc::default(),
        };
        for signal in [SIGINT, SIGTERM] {
            let leaves = Arc::clone(&signals.leaves);
            // Where a handler cannot be set, signals end the process as they always did.
            let _ = register_conditional_shutdown(signal, 128 + signal, leaves);
            let _ = register_usize(signal, Arc::clone(&signals.asked), signal as usize);
        }
        // In this order: the first Ctrl-C must not see itself.
        let _ = register_conditional_shutdown(SIGINT, 128 + SIGINT, Arc::clone(&signals.again));
        let _ = register(SIGINT, Arc::clone(&signals.again));
        signals
    }

    /// From now on a signal only asks; a second Ctrl-C leaves at once. The number of the last signal, 0 before the first.
    pub fn ask(&self) -> &AtomicUsize {
        self.leaves.store(false, Ordering::SeqCst);
        &self.asked
    }
}
