//! The `netc` binary: arguments in, exit code out. All else is the library's.

use std::process::ExitCode;

/// A network of 10,000 layers is many small values; the C library's allocator took a fifth of the time to check one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    netc::device::opencl::finisher::allow();
    ExitCode::from(netc::cli::run(std::env::args_os()))
}
