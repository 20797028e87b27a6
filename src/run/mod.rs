//! Running: a network on a device, its training, its evaluation, its files, and the checks of a device.

pub mod bench;
pub mod checkpoint;
pub mod evaluate;
pub mod folder;
pub mod golden;
pub mod inherit;
pub mod learner;
pub mod metrics;
pub mod not_finite;
pub mod runner;
pub mod runs;
pub mod schedule;
pub mod selftest;
pub mod session;
pub mod state;
pub mod tensor;
pub mod train;
pub mod tune;
pub mod tuned;
