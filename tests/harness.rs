//! The fluent runner of the real binary, and small data sets made on the spot.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use netc::ir::{self, Graph};
use netc::op::shape::Shape;
use netc::source::Source;
use netc::syntax;
use tempfile::TempDir;

/// No command of these tests may take longer.
pub const DEADLINE: Duration = Duration::from_mins(4);

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository, as text.
pub fn text_of(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A number from the environment, for runs longer than usual.
pub fn number_of(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no whole number")),
        Err(_) => default,
    }
}

/// Where compiled kernels are kept between the tests: one folder for all, so that PoCL compiles once. run.sh names it
/// to the tests in this process too.
fn kernel_cache() -> PathBuf {
    std::env::var_os("NETC_CACHE_DIR").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel-cache"),
        PathBuf::from,
    )
}

/// One command line of netc in a temporary folder of its own.
pub struct Netc {
    folder: TempDir,
    current: Option<PathBuf>,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    input: Vec<u8>,
    /// A command that runs it.
    within: Vec<OsString>,
}

/// What became of a command. The folder lives as long as this does.
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    folder: TempDir,
}

impl Netc {
    pub fn new() -> Self {
        Self::in_folder(tempfile::tempdir().expect("a temporary folder"))
    }

    /// In a folder that another command has left.
    pub fn in_folder(folder: TempDir) -> Self {
        Self {
            folder,
            current: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            input: Vec::new(),
            within: Vec::new(),
        }
    }

    /// Runs with a disk of so many bytes as the folder `disk`; what is on it afterwards is in `kept`. The disk is a mount
    /// of this process and goes with it.
    pub fn on_disk(mut self, bytes: u64) -> Self {
        let script = format!(
            "mkdir -p disk && mount -t tmpfs -o size={bytes} tmpfs disk || exit 99
             \"$0\" \"$@\"; status=$?; cp -r disk kept; exit $status"
        );
        let words = ["unshare", "--map-root-user", "--mount", "sh", "-c", &script];
        self.within = words.map(OsString::from).to_vec();
        self
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds `--set key=value`.
    pub fn set(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.args(["--set".to_owned(), format!("{key}={value}")])
    }

    /// What it reads on standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Puts a file into its folder.
    pub fn file(self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        write(&self.folder.path().join(name), contents.as_ref());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs in another folder than its own.
    pub fn current(mut self, folder: &Path) -> Self {
        self.current = Some(folder.to_path_buf());
        self
    }

    /// The folder that it runs in.
    pub fn folder(&self) -> &Path {
        self.current.as_deref().unwrap_or(self.folder.path())
    }

    fn command(&self) -> Command {
        let binary = OsString::from(env!("CARGO_BIN_EXE_netc"));
        let mut words = self.within.iter().chain([&binary]);
        let mut command = Command::new(words.next().expect("netc itself at least"));
        command.args(words);
        command.current_dir(self.folder()).args(&self.arguments);
        // What the machine's user has set must not matter.
        command
            .env("NO_COLOR", "1")
            .env("NETC_CACHE_DIR", kernel_cache())
            .env("NETC_TUNING_DIR", self.folder.path().join("tuned"))
            .env_remove("NETC_OPENCL_LIBRARY");
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts it and does not wait.
    pub fn start(self) -> Running {
        let mut child = self.command().spawn().expect("netc starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = self.input.clone();
        std::thread::spawn(move || {
            // A command that does not read its input closes the pipe.
            let _ = stdin.write_all(&input);
        });
        let mut stdout = child.stdout.take().expect("a pipe");
        let (whole, out) = channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.read_to_end(&mut bytes);
            let _ = whole.send(String::from_utf8_lossy(&bytes).into_owned());
        });
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for part in stderr.split(b'\n').map_while(Result::ok) {
                let _ = line.send(String::from_utf8_lossy(&part).into_owned() + "\n");
            }
        });
        let deadline = Instant::now() + DEADLINE;
        Running {
            child,
            out,
            lines,
            stderr: String::new(),
            deadline,
            folder: Some(self.folder),
        }
    }

    /// Runs it to its end.
    pub fn run(self) -> Outcome {
        self.start().wait()
    }
}

/// A command that runs. Dropped, it is killed.
pub struct Running {
    child: Child,
    out: Receiver<String>,
    lines: Receiver<String>,
    stderr: String,
    deadline: Instant,
    folder: Option<TempDir>,
}

impl Running {
    /// Waits for a line on stderr that holds these words; `false` where it ends before.
    pub fn reaches(&mut self, words: &str) -> bool {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.stderr.push_str(&line);
                    if line.contains(words) {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(error) => panic!("no `{words}` on stderr ({error}):\n{}", self.stderr),
            }
        }
    }

    /// Waits for a line on stderr that holds these words.
    pub fn wait_for(&mut self, words: &str) {
        loop {
            match self
                .lines
                .recv_timeout(self.deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.stderr.push_str(&line);
                    if line.contains(words) {
                        return;
                    }
                }
                Err(error) => panic!("no `{words}` on stderr ({error}):\n{}", self.stderr),
            }
        }
    }

    /// The last step that it has told of.
    pub fn last_step(&mut self) -> u64 {
        self.stderr.extend(self.lines.try_iter());
        let told = self.stderr.rsplit("step ").next();
        let number = told.and_then(|rest| rest.split('/').next()?.parse().ok());
        number.expect("a step")
    }

    /// Sends a signal: `INT`, `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .expect("kill is there");
        assert!(sent.success(), "kill -{name}");
    }

    /// Kills it, as a power cut would.
    pub fn kill(self) -> TempDir {
        self.kill_if_alive().0
    }

    /// Kills it; whether it was still at work then.
    pub fn kill_if_alive(mut self) -> (TempDir, bool) {
        self.child.kill().expect("it can be killed");
        let status = self.child.wait().expect("it ends");
        let folder = self.folder.take().expect("its folder");
        (folder, status.signal() == Some(9))
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Outcome {
        loop {
            match self
                .lines
                .recv_timeout(self.deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.stderr.push_str(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("netc does not end:\n{}", self.stderr),
            }
        }
        let stdout = self
            .out
            .recv_timeout(self.deadline.saturating_duration_since(Instant::now()))
            .expect("netc ends");
        let status = self.child.wait().expect("netc ends");
        let folder = self.folder.take().expect("its folder");
        let outcome = Outcome {
            status: code(status),
            stdout,
            stderr: std::mem::take(&mut self.stderr),
            folder,
        };
        assert_ne!(outcome.status, 101, "a panic is a bug:\n{}", outcome.stderr);
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| panic!("netc was ended by a signal: {status}"))
}

impl Outcome {
    /// Demands an exit code.
    #[track_caller]
    pub fn exits(&self, status: i32) -> &Self {
        assert_eq!(
            self.status, status,
            "exit code\nstdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Demands exit code 1 and this diagnostic, and words in it, on stderr.
    #[track_caller]
    pub fn fails(&self, diagnostic: &str, words: &[&str]) -> &Self {
        self.exits(1);
        assert!(
            self.stderr.contains(&format!("error[{diagnostic}]")),
            "no {diagnostic}:\n{}",
            self.stderr
        );
        for words in words {
            assert!(
                self.stderr.contains(words),
                "no `{words}`:\n{}",
                self.stderr
            );
        }
        self
    }

    /// Demands that stderr holds these words.
    #[track_caller]
    pub fn tells(&self, words: &str) -> &Self {
        assert!(
            self.stderr.contains(words),
            "no `{words}`:\n{}",
            self.stderr
        );
        self
    }

    /// Demands words on stdout.
    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(
            self.stdout.contains(words),
            "no `{words}`:\n{}",
            self.stdout
        );
        self
    }

    /// Demands that its diagnostics look as tests/cases/files/CASE.stderr has them. The folder's path is written as
    /// `[FOLDER]`.
    #[track_caller]
    pub fn renders(&self, case: &str) -> &Self {
        self.renders_as(case, |text| text)
    }

    /// The same, after `mask` has replaced what differs from machine to machine.
    #[track_caller]
    pub fn renders_as(&self, case: &str, mask: impl Fn(String) -> String) -> &Self {
        // Progress of the command stands before its diagnostics.
        let starts = ["error[", "warning["].iter();
        let at = starts.filter_map(|start| self.stderr.find(start)).min();
        let folder = self.folder.path().to_string_lossy();
        let text = self.stderr[at.unwrap_or(self.stderr.len())..].replace(&*folder, "[FOLDER]");
        let text = mask(text);
        assert!(
            text.contains(&format!("[{}]", &case[..5])),
            "{case}:\n{}",
            self.stderr
        );
        if let Err(difference) = expect(&format!("files/{case}.stderr"), &text) {
            panic!("{difference}");
        }
        self
    }

    /// Its stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e}:\n{}\nstderr:\n{}", self.stdout, self.stderr))
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Compares a text with the one expected in tests/cases, or writes that where `UPDATE_EXPECT` is set.
///
/// # Errors
/// The text, where it differs.
pub fn expect(case: &str, text: &str) -> Result<(), String> {
    let path = root().join("tests/cases").join(case);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, text).expect("the case is written");
        return Ok(());
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected == text {
        Ok(())
    } else {
        Err(format!("{case}:\n{text}\nand expected was:\n{expected}"))
    }
}

/// Writes a file, its folders included.
pub fn write(path: &Path, contents: &[u8]) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, contents).expect("a file");
}

/// Every file below a folder, relative and sorted.
pub fn files_below(folder: &Path) -> Vec<String> {
    fn walk(at: &Path, base: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(at).unwrap_or_else(|e| panic!("{}: {e}", at.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, base, found);
            } else {
                found.push(
                    path.strip_prefix(base)
                        .expect("below")
                        .to_string_lossy()
                        .into_owned(),
                );
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// A network for [`idx_set`].
pub const TINY: &str = "input 1x8x8\nC4 -> P -> F2\n";

/// A training of [`TINY`] on [`idx_set`]s beside it: run folder `run`, on the host.
pub fn tiny_training() -> Netc {
    let mut netc = Netc::new()
        .file("tiny.net", TINY)
        .args(["train", "tiny.net"])
        .set("device.select", "host");
    for (part, count) in [("train", 40), ("t10k", 20)] {
        let (images, labels) = idx_set(count, 2);
        netc = netc
            .file(&format!("data/{part}-images-idx3-ubyte"), images)
            .file(&format!("data/{part}-labels-idx1-ubyte"), labels);
    }
    netc.set("data.train", "data")
        .set("data.test", "data")
        .set("train.batch", 10)
        .set("train.epochs", 2)
        .set("output.dir", "run")
}

/// An IDX pair of 8x8 images: class `c`'s are bright in row `c`, all different.
pub fn idx_set(count: usize, classes: usize) -> (Vec<u8>, Vec<u8>) {
    let mut images = vec![0, 0, 8, 3];
    for size in [count, 8, 8] {
        images.extend((size as u32).to_be_bytes());
    }
    let mut labels = vec![0, 0, 8, 1];
    labels.extend((count as u32).to_be_bytes());
    for n in 0..count {
        let class = n % classes;
        images.extend((0..64).map(|i| {
            if i / 8 == class {
                200
            } else {
                ((i * 7 + n * 13) % 50) as u8
            }
        }));
        labels.push(class as u8);
    }
    (images, labels)
}

/// An 8x8 grey picture in the form of its name's ending.
pub fn picture(name: &str, seed: u8) -> Vec<u8> {
    let pixels =
        image::GrayImage::from_fn(8, 8, |x, y| image::Luma([(x * 20 + y * 9) as u8 ^ seed]));
    let form = if name.ends_with("png") {
        image::ImageFormat::Png
    } else {
        image::ImageFormat::Jpeg
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::DynamicImage::from(pixels)
        .write_to(&mut bytes, form)
        .expect("a picture");
    bytes.into_inner()
}

/// Whether the long proofs run too (`tests/run.sh --long`).
pub fn long() -> bool {
    std::env::var_os("NETC_LONG").is_some_and(|value| value == "1")
}

/// The graph of a good text; `input` is the input's shape where the text has none.
#[track_caller]
pub fn graph(text: &str, input: Option<[usize; 3]>) -> Graph {
    let (tree, faults) = syntax::parse(&Source::new("a.net", text));
    assert!(faults.is_empty(), "{faults:?}\n{text}");
    let options = ir::Options {
        input: input.map(|[channels, height, width]| Shape::image(channels, height, width)),
        ..ir::Options::default()
    };
    let (graph, faults) = ir::build(&tree, &options);
    graph.unwrap_or_else(|| panic!("{faults:?}\n{text}"))
}

/// A graph, layer by layer: name, meaning, feeds, shape.
#[track_caller]
pub fn layers(text: &str) -> Vec<String> {
    let graph = graph(text, None);
    let nodes = graph.nodes.iter();
    nodes
        .map(|node| {
            format!(
                "{} {:?} {:?} {:?}",
                node.name, node.op, node.feeds, node.output
            )
        })
        .collect()
}
