//! netc's integration tests: ONE binary, so that it links once and every suite shares the harness.
//!
//! README.md beside this file says how to run, update and add. No test needs a network or a GPU; those of the OpenCL
//! engine need some OpenCL CPU device (PoCL) and fail without one.

mod analysis;
mod architecture;
mod bad_input;
mod cli;
mod data;
mod diff;
mod edited_nets;
mod explanations;
mod faults;
mod faulty_device;
mod format;
mod formats;
mod fuzz;
mod git;
mod golden;
mod harness;
mod hostile;
mod learning;
mod memory;
mod merge;
mod plan;
mod random_nets;
mod readme;
mod resume;
mod runs;
mod schema;
mod shapes;
mod snapshots;
mod steps;
mod tune;
