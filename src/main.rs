//! The `netc` binary: arguments in, exit code out. All else is the library's.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(netc::cli::run(std::env::args_os()))
}
