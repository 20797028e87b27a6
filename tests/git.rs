//! Networks in the machine's real git: external diff, textconv, merge driver, and their setup.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::harness::write;

const OLD: &str = "input 1x28x28\n\nC8 -> P -> F10\n";
const NEW: &str = "input 1x28x28\n\nC8(kernel=5) -> P -> F10\n";
/// What the difference between them says.
const EDIT: &str = "~ c1  kernel 3 -> 5";

/// A repository with a home folder of its own.
struct Repository {
    folder: TempDir,
}

impl Repository {
    /// A repository in which netc is set up, with a network committed.
    fn new() -> Self {
        let this = Self::bare();
        this.netc(&["git-setup"]);
        this.write("a.net", OLD);
        this.write("other.txt", "1\n");
        this.commit("first");
        this
    }

    fn bare() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(folder.path().join("work")).expect("a folder");
        let this = Self { folder };
        this.git(&["init", "-q", "-b", "main"]);
        for (key, value) in [
            ("user.name", "a"),
            ("user.email", "a@b"),
            ("core.autocrlf", "false"),
        ] {
            this.git(&["config", key, value]);
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("work").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.path(name), text.as_bytes());
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Output {
        let home = self.folder.path();
        let netc = Path::new(env!("CARGO_BIN_EXE_netc"));
        let folders = std::env::var("PATH").expect("a path");
        let folders = format!("{}:{folders}", netc.parent().expect("a folder").display());
        Command::new(program)
            .args(arguments)
            .current_dir(home.join("work"))
            .env("HOME", home)
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("PATH", folders)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_PAGER", "cat")
            .env("LC_ALL", "C")
            .env_remove("NO_COLOR")
            .env_remove("GIT_DIR")
            .env_remove("GIT_EXTERNAL_DIFF")
            .output()
            .expect("it starts")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> (i32, String) {
        let done = self.command(program, arguments);
        let text = String::from_utf8_lossy(&done.stdout).into_owned()
            + &String::from_utf8_lossy(&done.stderr);
        (done.status.code().expect("an exit code"), text)
    }

    /// Runs git, which must succeed.
    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        let (status, text) = self.run("git", arguments);
        assert_eq!(status, 0, "git {arguments:?}\n{text}");
        assert!(!text.contains("external diff died"), "{text}");
        text
    }

    #[track_caller]
    fn netc(&self, arguments: &[&str]) -> String {
        let (status, text) = self.run(env!("CARGO_BIN_EXE_netc"), arguments);
        assert_eq!(status, 0, "netc {arguments:?}\n{text}");
        text
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    /// Trusts the exit code of the external diff.
    fn trusting(self) -> Self {
        self.git(&["config", "diff.netc.trustExitCode", "true"]);
        self
    }
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }
}

#[test]
fn git_diff_speaks_of_layers() {
    let repository = Repository::new();
    repository.write("a.net", NEW);
    repository.write("other.txt", "2\n");
    let text = repository.git(&["diff"]);
    says(
        &text,
        &["a.net\n", EDIT, "re-initialised: c1.weight", "+2\n"],
    );
    says(&repository.git(&["diff", "HEAD"]), &[EDIT]);
    repository.git(&["add", "a.net"]);
    says(&repository.git(&["diff", "--cached"]), &[EDIT]);
    // Formatting is no change.
    repository.write("a.net", "input 1x28x28 # a comment\nC8(kernel=5)->P->F10");
    says(
        &repository.git(&["diff"]),
        &["the same network, written otherwise"],
    );
}

#[test]
fn colours_are_gits_own() {
    let repository = Repository::new();
    repository.write("a.net", NEW);
    assert!(!repository.git(&["diff"]).contains('\x1b'), "no terminal");
    says(
        &repository.git(&["-c", "color.diff=always", "diff"]),
        &["\x1b[33m  ~ c1"],
    );
}

#[test]
fn renames_are_told_with_what_changed() {
    let repository = Repository::new();
    repository.write("a.net", "");
    repository.git(&["rm", "-q", "-f", "a.net"]);
    repository.write("nets/b.net", NEW);
    repository.git(&["add", "-A"]);
    let text = repository.git(&["diff", "--cached", "-M10%"]);
    says(&text, &["a.net -> nets/b.net", "similarity index", EDIT]);
}

#[test]
fn added_and_deleted_networks_are_whole() {
    let repository = Repository::new();
    repository.write("b.net", NEW);
    repository.git(&["add", "b.net"]);
    let text = repository.git(&["diff", "--cached"]);
    says(
        &text,
        &[
            "b.net",
            "+ C8(kernel=5) -> P -> F10",
            "new network: 3 layers",
        ],
    );
    repository.commit("second");
    repository.git(&["rm", "-q", "b.net"]);
    says(
        &repository.git(&["diff", "--cached"]),
        &["- C8(kernel=5) -> P -> F10", "removed network: 3 layers"],
    );
}

#[cfg(unix)]
#[test]
fn a_change_of_mode_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let repository = Repository::new();
    let path = repository.path("a.net");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
    says(
        &repository.git(&["diff"]),
        &["mode 100644 -> 100755", "no difference"],
    );
}

#[test]
fn log_and_show_have_networks_an_item_a_line() {
    let repository = Repository::new();
    repository.write("a.net", NEW);
    repository.commit("second");
    says(&repository.git(&["log", "-p", "--ext-diff", "-1"]), &[EDIT]);
    let text = repository.git(&["log", "-p", "-1"]);
    says(&text, &["-C8\n", "+C8(kernel=5)\n", " P\n"]);
    let text = repository.git(&["show"]);
    says(&text, &["-C8\n", "+C8(kernel=5)\n"]);
    says(&repository.git(&["show", "--ext-diff"]), &[EDIT]);
    // The patch for machines is of the text itself.
    let patch = repository.git(&["format-patch", "--stdout", "-1"]);
    says(&patch, &["-C8 -> P -> F10", "+C8(kernel=5) -> P -> F10"]);
}

#[test]
fn difftool_compares_two_files() {
    let repository = Repository::new();
    repository.write("a.net", NEW);
    let text = repository.git(&["difftool", "--no-prompt", "--tool", "netc"]);
    says(&text, &[EDIT]);
}

#[test]
fn quiet_diffs_have_the_exit_code() {
    let repository = Repository::new();
    assert_eq!(repository.run("git", &["diff", "--quiet"]).0, 0);
    repository.write("a.net", NEW);
    assert_eq!(repository.run("git", &["diff", "--quiet"]).0, 1);
    let (status, text) = repository.run("git", &["diff", "--exit-code"]);
    assert_eq!(status, 1, "{text}");
    says(&text, &[EDIT]);
}

#[test]
fn a_trusted_exit_code_tells_whether_the_network_differs() {
    let repository = Repository::new().trusting();
    let version = repository.git(&["version"]);
    let numbers: Vec<u32> = version
        .split_whitespace()
        .filter_map(|word| word.split_once('.'))
        .flat_map(|(major, rest)| [major, rest.split('.').next().unwrap_or("")])
        .filter_map(|number| number.parse().ok())
        .collect();
    let knows = numbers.as_slice() >= [2, 46].as_slice();
    repository.write("a.net", NEW);
    let (status, text) = repository.run("git", &["diff", "--exit-code"]);
    assert_eq!(status, 1, "{text}");
    says(&text, &[EDIT]);
    repository.write("a.net", "input 1x28x28\nC8->P->F10");
    let (status, text) = repository.run("git", &["diff", "--exit-code"]);
    assert_eq!(
        status,
        i32::from(!knows),
        "formatting alone, {version}{text}"
    );
    says(&text, &["the same network, written otherwise"]);
}

#[test]
fn a_path_with_spaces_and_line_ends_of_windows() {
    let repository = Repository::new();
    repository.write("my nets/b c.net", &OLD.replace('\n', "\r\n"));
    repository.commit("second");
    repository.write("my nets/b c.net", &NEW.replace('\n', "\r\n"));
    says(&repository.git(&["diff"]), &["my nets/b c.net\n", EDIT]);
    repository.write("my nets/b c.net", OLD);
    says(
        &repository.git(&["diff"]),
        &["the same network, written otherwise"],
    );
}

#[test]
fn what_is_no_network_is_told_and_compared_as_text() {
    let repository = Repository::new();
    repository.write("a.net", "input 1x28x28\n\nC8 -> Q -> F10\n");
    let text = repository.git(&["diff"]);
    says(
        &text,
        &[
            "error[E0201]",
            "[a.net:3:7]",
            "-C8 -> P -> F10",
            "+C8 -> Q -> F10",
        ],
    );
    fs::write(repository.path("a.net"), [b'C', 0xff, b'\n']).expect("a file");
    says(
        &repository.git(&["diff"]),
        &["error[E0106]", "cannot be read as text"],
    );
}

/// A repository whose branches `main` and `side` changed the network.
fn branched(ours: &str, theirs: &str) -> Repository {
    let repository = Repository::new();
    repository.git(&["checkout", "-q", "-b", "side"]);
    repository.write("a.net", theirs);
    repository.commit("theirs");
    repository.git(&["checkout", "-q", "main"]);
    repository.write("a.net", ours);
    repository.commit("ours");
    repository
}

#[test]
fn branches_merge_by_layer() {
    let repository = branched(NEW, "input 1x28x28\n\nC16 -> P -> N -> F10\n");
    repository.git(&["merge", "-q", "-m", "merged", "side"]);
    assert_eq!(
        repository.read("a.net"),
        "input 1x28x28\n\nC16(kernel=5) -> P -> N -> F10\n"
    );
}

#[test]
fn a_conflict_has_ordinary_markers_and_is_unmerged() {
    let repository = branched(NEW, "input 1x28x28\n\nC8(kernel=7) -> P -> N -> F10\n");
    let (status, text) = repository.run("git", &["merge", "side"]);
    assert_eq!(status, 1, "{text}");
    says(
        &text,
        &[
            "CONFLICT",
            "a.net: conflict: `C8`: both sides changed its kernel",
        ],
    );
    let text = repository.read("a.net");
    says(
        &text,
        &["<<<<<<< ours\nC8(kernel=5)\n=======\nC8(kernel=7)\n>>>>>>> theirs\n-> P\n-> N\n"],
    );
    says(&repository.git(&["status", "--short"]), &["UU a.net"]);
    // git says of an unmerged path that it is, and calls for the rest.
    repository.git(&["diff"]);
    repository.write("a.net", NEW);
    repository.git(&["add", "a.net"]);
    repository.git(&["commit", "-q", "-m", "merged"]);
}

#[test]
fn stashes_come_back_by_layer() {
    let repository = Repository::new();
    repository.write("a.net", NEW);
    says(&repository.git(&["stash"]), &["Saved"]);
    repository.write("a.net", "input 1x28x28\n\nC8 -> P -> N -> F10\n");
    repository.commit("meanwhile");
    says(
        &repository.git(&["stash", "show", "-p", "--ext-diff"]),
        &[EDIT],
    );
    repository.git(&["stash", "pop"]);
    assert_eq!(
        repository.read("a.net"),
        "input 1x28x28\n\nC8(kernel=5) -> P -> N -> F10\n"
    );
}

#[test]
fn rebase_and_cherry_pick_use_the_driver() {
    let repository = branched(NEW, "input 1x28x28\n\nC8 -> P -> N -> F10\n");
    repository.git(&["cherry-pick", "side"]);
    assert_eq!(
        repository.read("a.net"),
        "input 1x28x28\n\nC8(kernel=5) -> P -> N -> F10\n"
    );
    let repository = branched(NEW, "input 1x28x28\n\nC8 -> P -> N -> F10\n");
    repository.git(&["checkout", "-q", "side"]);
    repository.git(&["rebase", "-q", "main"]);
    assert_eq!(
        repository.read("a.net"),
        "input 1x28x28\n\nC8(kernel=5) -> P -> N -> F10\n"
    );
}

#[test]
fn setup_is_idempotent_and_is_undone_to_the_byte() {
    for scope in ["--local", "--global"] {
        let repository = Repository::bare();
        let home = repository.folder.path();
        let (config, attributes) = if scope == "--local" {
            (
                repository.path(".git/config"),
                repository.path(".gitattributes"),
            )
        } else {
            (home.join(".gitconfig"), home.join("config/git/attributes"))
        };
        if scope == "--global" {
            repository.git(&["config", "--global", "core.abbrev", "9"]);
        }
        write(&attributes, b"*.rs text\n*.net text eol=lf");
        let before = (
            fs::read(&config).expect("a file"),
            fs::read(&attributes).expect("a file"),
        );
        says(
            &repository.netc(&["git-setup", scope]),
            &["set diff.netc.command"],
        );
        let after = (
            fs::read(&config).expect("a file"),
            fs::read(&attributes).expect("a file"),
        );
        assert_ne!(before, after);
        says(&repository.netc(&["git-setup", scope]), &["set up already"]);
        let again = (
            fs::read(&config).expect("a file"),
            fs::read(&attributes).expect("a file"),
        );
        assert_eq!(after, again);
        repository.write("a.net", OLD);
        repository.commit("first");
        repository.write("a.net", NEW);
        says(&repository.git(&["diff"]), &[EDIT]);
        // Attributes of others hold.
        says(
            &repository.git(&["check-attr", "eol", "diff", "--", "a.net"]),
            &["eol: lf", "diff: netc"],
        );
        says(
            &repository.netc(&["git-setup", scope, "--remove"]),
            &["removed diff.netc.command"],
        );
        let end = (
            fs::read(&config).expect("a file"),
            fs::read(&attributes).expect("a file"),
        );
        assert_eq!(before, end, "{scope}");
        says(
            &repository.netc(&["git-setup", scope, "--remove"]),
            &["nothing of netc"],
        );
        says(&repository.git(&["diff"]), &["-C8 -> P -> F10"]);
    }
}

#[test]
fn setup_outside_a_repository_is_wrong_usage() {
    let folder = tempfile::tempdir().expect("a folder");
    let done = Command::new(env!("CARGO_BIN_EXE_netc"))
        .arg("git-setup")
        .current_dir(folder.path())
        .env(
            "GIT_CEILING_DIRECTORIES",
            folder.path().parent().expect("a folder"),
        )
        .output()
        .expect("it starts");
    assert_eq!(done.status.code(), Some(2));
    says(&String::from_utf8_lossy(&done.stderr), &["use `--global`"]);
}
