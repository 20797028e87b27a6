//! What a device tells while it makes a plan ready: kernels that have to be compiled take seconds.

use std::sync::Arc;

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiling<'a> {
    /// The compiler reads a program of so many kernels.
    Program {
        /// How many.
        kernels: usize,
    },
    /// A kernel is finished at its first launch.
    Kernel {
        /// Its function.
        name: &'a str,
        /// Which one, from 1.
        number: usize,
        /// Of how many.
        of: usize,
    },
    /// All of a plan's kernels are finished.
    Done,
}

/// Is told what is going on; nothing where nothing has to be compiled.
pub type Watcher = Arc<dyn Fn(Compiling<'_>) + Send + Sync>;
