//! The command line: what is asked for, and what is printed. Only this module prints.
//!
//! One file a command, each with its arguments and one function. Exit codes: 0 fine, 1 problems found, 2 wrong usage,
//! 130 and 143 interrupted.

mod bench;
mod bench_data;
mod check;
mod completions;
mod devices;
mod diff;
mod eval;
mod explain;
mod files;
mod fmt;
mod git_setup;
mod github;
mod job;
mod json;
mod man;
mod merge;
mod plan;
mod plan_svg;
mod predict;
mod progress;
mod report;
mod runs;
mod sarif;
mod schema;
mod selftest;
mod table;
mod text_diff;
mod train;
mod tune;

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ColorChoice, Parser, Subcommand};
use serde::Serialize;

use crate::config::{self, Config, MemoryLimit};
use crate::device::opencl::finisher;
use crate::device::{self, Device};
use crate::diagnostic::render::{self, Style};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::op::emit::Machine;
use crate::op::limits::Limits;
use crate::op::real::Precision;
use crate::plan::budget::Room;
use crate::run::session;
use crate::run::tuned::Kept;

/// The device of plans for no device in particular ([`Limits::nominal`]).
const NOMINAL: &str = "the nominal device";

/// An exit code.
pub type Exit = u8;
/// All is well.
pub const FINE: Exit = 0;
/// Problems were found.
pub const PROBLEMS: Exit = 1;
/// Wrong usage.
pub const USAGE: Exit = 2;

/// Convolutional networks as compact text: checked, planned, trained and run through OpenCL.
#[derive(Debug, Parser)]
#[command(name = "netc", version, propagate_version = true)]
struct Cli {
    /// When to use colours: auto, always or never. NO_COLOR is honoured
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN")]
    color: ColorChoice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Parse and validate networks; show their layers, parameters, multiply-adds and memory
    Check(check::Check),
    /// Rewrite networks in canonical form, or show what that would change
    Fmt(fmt::Fmt),
    /// What changed between two networks, layer by layer, and what follows from it
    Diff(diff::Diff),
    /// Merge two versions of a network, layer by layer
    Merge(merge::Merge),
    /// Make git show and merge networks by layer
    GitSetup(git_setup::GitSetup),
    /// Show the execution plan: steps, kernels, buffers and memory
    Plan(plan::Plan),
    /// Train a network
    Train(train::Train),
    /// Run a run again and say where it first differs
    Repro(train::repro::Repro),
    /// Accuracy, top-5, loss and confusion matrix of a trained network
    Eval(eval::Eval),
    /// The most probable classes of images
    Predict(predict::Predict),
    /// List runs, how they stand, and their figures
    Runs(runs::Runs),
    /// Images a second, and the time of each layer; or of data alone
    Bench(bench::Bench),
    /// Measure kernel variants on this device, and keep the best
    Tune(tune::Tune),
    /// OpenCL devices, and the built-in host engine
    Devices(devices::Devices),
    /// Compare kernels with the host engine, or with golden cases
    Selftest(selftest::Selftest),
    /// What a diagnostic code means: cause, example, remedy
    Explain(explain::Explain),
    /// The JSON schema of the configuration, for editors
    Schema(schema::Schema),
    /// Completions for a shell
    Completions(completions::Completions),
    /// The manual page, of netc or of one command
    Man(man::Man),
    /// What another netc asks for, see `device::opencl::finisher`
    #[command(name = finisher::COMMAND, hide = true)]
    FinishKernels,
}

/// Options of every command that runs or plans.
#[derive(Clone, Debug, Default, Args)]
pub struct Running {
    /// Set a configuration key: `--set optimizer.learning_rate=0.02`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where to compute: auto, gpu, cpu, host, or platform:device
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// f32 or f64
    #[arg(long, value_name = "PRECISION")]
    precision: Option<String>,
    /// Images of a batch, or auto: the most that fit
    #[arg(long, value_name = "IMAGES")]
    batch: Option<String>,
    /// Use at most so much of the device's memory: bytes, or `2 GiB`
    #[arg(long, value_name = "BYTES", value_parser = memory)]
    max_memory: Option<u64>,
}

/// The bytes of `--max-memory`.
fn memory(text: &str) -> Result<u64, String> {
    let bytes = text.parse().ok().or(match text.parse() {
        Ok(MemoryLimit::Bytes(bytes)) => Some(bytes),
        _ => None,
    });
    bytes
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| "bytes are needed, such as 2147483648 or `2 GiB`".into())
}

impl Running {
    /// The memory that may be used of a device.
    fn room(&self, limits: &Limits) -> Room {
        Room::new(limits, self.max_memory)
    }

    /// The options as assignments to configuration keys, in the order in which they count.
    fn assignments(&self) -> Vec<String> {
        let named = [
            ("device.select", &self.device),
            ("device.precision", &self.precision),
            ("train.batch", &self.batch),
        ];
        let named = named
            .into_iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| format!("{key}={value}")));
        self.set.iter().cloned().chain(named).collect()
    }
}

/// Where words for people and data go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Of diagnostics.
    style: Style,
    /// Whether the output's tables use colour.
    colour: bool,
    /// Whether the user, not the terminal, has decided on colours.
    decided: bool,
}

impl Output {
    fn new(choice: ColorChoice) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let wanted = |terminal: bool| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !plain,
        };
        let style = Style {
            colour: wanted(std::io::stderr().is_terminal()),
            ..Style::default()
        };
        Self {
            style,
            colour: wanted(std::io::stdout().is_terminal()),
            decided: plain || choice != ColorChoice::Auto,
        }
    }

    /// The style of diagnostics on stderr.
    fn style(&self) -> Style {
        self.style
    }

    /// Whether the user has said whether to use colours.
    fn is_decided(&self) -> bool {
        self.decided
    }

    /// The same, with colours in the output or without.
    fn recoloured(self, colour: bool) -> Self {
        Self { colour, ..self }
    }

    /// The style of diagnostics that are part of the output.
    fn coloured_style(&self) -> Style {
        Style {
            colour: self.colour,
            ..self.style
        }
    }

    /// Columns of the screen that the output goes to.
    #[expect(
        clippy::unused_self,
        reason = "what is known of the output is asked of it"
    )]
    fn width(&self) -> usize {
        let stated = std::env::var("COLUMNS")
            .ok()
            .and_then(|text| text.parse().ok());
        let screen = || terminal_size::terminal_size().map(|(width, _)| width.0.into());
        stated
            .filter(|width| *width > 0)
            .or_else(screen)
            .unwrap_or(100)
    }

    /// Tells something on stderr.
    #[expect(
        clippy::unused_self,
        reason = "printing goes through the output, as colours do"
    )]
    fn warn(&self, words: &str) {
        let _ = writeln!(std::io::stderr(), "{words}");
    }

    /// Shows problems on stderr.
    fn diagnostics(&self, diagnostics: &Diagnostics) {
        for diagnostic in &diagnostics.clone().told() {
            self.diagnostic(diagnostic);
        }
    }

    /// Shows one problem on stderr.
    fn diagnostic(&self, diagnostic: &Diagnostic) {
        // A closed stderr is nobody's problem.
        let _ = writeln!(
            std::io::stderr(),
            "{}",
            render::human(diagnostic, self.style).trim_end()
        );
    }

    /// Prints data as JSON.
    fn json(&self, data: &impl Serialize) {
        let text = serde_json::to_string_pretty(data).expect("internal error: a report is data");
        self.print(&(text + "\n"));
    }

    /// Prints to stdout; a closed pipe ends the output, not the program. A full disk is told, and the command fails.
    fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error)
                if error.kind() != ErrorKind::BrokenPipe
                    && !UNPRINTED.swap(true, Ordering::Relaxed) =>
            {
                let message = format!("the output cannot be written: {error}");
                self.diagnostic(&Diagnostic::error(Code::E0901, message));
            }
            _ => {}
        }
    }
}

/// Whether something could not be printed to stdout, of which a process has one.
static UNPRINTED: AtomicBool = AtomicBool::new(false);

/// What ends a command early: problems to show, or wrong usage.
#[derive(Debug)]
enum Failure {
    /// Exit code 1.
    Problems(Diagnostics),
    /// Exit code 2.
    Usage(String),
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Problems(diagnostics)
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Problems(diagnostic.into())
    }
}

/// Runs the program on arguments, the program's name first, and returns its exit code. May be called repeatedly.
pub fn run<I>(arguments: I) -> Exit
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { USAGE } else { FINE };
        }
    };
    let output = Output::new(cli.color);
    let result = match &cli.command {
        Command::Check(command) => command.run(&output),
        Command::Fmt(command) => command.run(&output),
        Command::Diff(command) => command.run(&output),
        Command::Merge(command) => command.run(&output),
        Command::GitSetup(command) => command.run(&output),
        Command::Plan(command) => command.run(&output),
        Command::Train(command) => command.run(&output),
        Command::Repro(command) => command.run(&output),
        Command::Eval(command) => command.run(&output),
        Command::Predict(command) => command.run(&output),
        Command::Runs(command) => command.run(&output),
        Command::Bench(command) => command.run(&output),
        Command::Tune(command) => command.run(&output),
        Command::Devices(command) => command.run(&output),
        Command::Selftest(command) => command.run(&output),
        Command::Explain(command) => command.run(&output),
        Command::Schema(command) => Ok(command.run(&output)),
        Command::Completions(command) => Ok(command.run(&output)),
        Command::Man(command) => command.run(&output),
        Command::FinishKernels => {
            let done = finisher::serve(std::io::stdin().lock(), std::io::stdout());
            Ok(done.map_or(PROBLEMS, |()| FINE))
        }
    };
    match result {
        Ok(FINE) if UNPRINTED.load(Ordering::Relaxed) => PROBLEMS,
        Ok(exit) => exit,
        Err(Failure::Problems(diagnostics)) => {
            output.diagnostics(&diagnostics);
            PROBLEMS
        }
        Err(Failure::Usage(message)) => {
            let _ = writeln!(
                std::io::stderr(),
                "error: {message}\n\nFor more information, try '--help'."
            );
            USAGE
        }
    }
}

/// The machine of plans for no device in particular, in the configuration's precision.
fn nominal(config: &Config) -> Machine {
    let precision = match config.device.precision {
        config::Precision::F64 => Precision::F64,
        config::Precision::F32 | config::Precision::Tf32 => Precision::F32,
    };
    Machine {
        winograd: config.device.winograd,
        ..Machine::new(Limits::nominal(), precision)
    }
}

/// What plans for an opened device have to know, with the numbers that `tune` has kept for it. Where those cannot be used,
/// that is said.
fn machine(config: &Config, device: &dyn Device, output: &Output) -> Result<Machine, Diagnostic> {
    let machine = session::machine(config, device)?;
    let (tuning, fault) = Kept::of_user(device.description()).tuning(device.limits());
    if let Some(fault) = fault {
        output.diagnostic(&fault);
    }
    Ok(Machine { tuning, ..machine })
}

/// Opens the configured device; errors point at the setting.
fn open_device(config: &Config) -> Result<Box<dyn Device>, Diagnostic> {
    device::open(&config.device.select.to_string())
        .map_err(|fault| config.point("device.select", fault))
}

/// A number for people: `62,378,344`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes for people: `1.25 GiB`.
fn bytes(number: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{number} bytes")
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_bytes_have_units() {
        assert_eq!(grouped(62_378_344), "62,378,344");
        assert_eq!(grouped(999), "999");
        assert_eq!(bytes(512), "512 bytes");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
    }

    #[test]
    fn the_program_runs_twice_in_one_process() {
        let arguments = || {
            [
                "netc", "check", "--expr", "C8->F2", "--input", "1x8x8", "--json",
            ]
        };
        assert_eq!(run(arguments()), FINE);
        assert_eq!(run(arguments()), FINE);
        assert_eq!(run(["netc", "chekc"]), USAGE);
    }
}
