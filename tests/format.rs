//! `netc fmt`: the canonical form, case by case and for random networks; the command; the networks of the repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netc::format::{COLUMNS, format, of_tree, one_line};
use netc::source::{Source, Span};
use netc::syntax::tree::{Chain, Stage, Tree};
use netc::{ir, op, syntax};

use crate::fuzz::checks::layers as layers_of;
use crate::harness::{Netc, Outcome, files_below, long, root};
use crate::random_nets::{RandomNet, Scope};

// ---- Cases ---------------------------------------------------------------------------------------------------------

fn cases() -> Vec<PathBuf> {
    let folder = root().join("tests/cases/format");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    cases.retain(|path| path.extension().is_some_and(|ending| ending == "net"));
    cases.sort();
    cases
}

#[track_caller]
fn formatted(text: &str) -> String {
    of_tree(&parsed(text))
}

#[test]
fn cases_are_as_reviewed() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let text = fs::read_to_string(&case).unwrap();
        let form = formatted(&text);
        sound(&text, &form, None);
        let expected = case.with_extension("expected");
        if update {
            fs::write(&expected, &form).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != form {
            wrong.push(format!("{}:\n{form}", case.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} forms differ from their .expected:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let files = files_below(&root().join("tests/cases/format"));
    assert_eq!(
        files.len(),
        2 * cases().len(),
        "a form for each case, and no other"
    );
}

// ---- What always holds -----------------------------------------------------------------------------------------

fn parsed(text: &str) -> Tree {
    let (tree, found) = syntax::parse(&Source::new("a.net", text));
    assert!(found.is_empty(), "{found:?}\n{text}");
    tree
}

/// A network, layer by layer: name, meaning, what feeds it, shape.
fn network(tree: &Tree, input: Option<[usize; 3]>, recipe: op::Recipe) -> Vec<String> {
    let shape =
        input.map(|[channels, height, width]| op::shape::Shape::image(channels, height, width));
    let options = ir::Options {
        name: "a".into(),
        input: shape,
        recipe,
    };
    let (graph, found) = ir::build(tree, &options);
    let graph = graph.unwrap_or_else(|| panic!("{found:?}\n{}", tree.source.text()));
    layers_of(&graph)
}

/// The parentheses of all layers.
fn layers(chain: &Chain, found: &mut Vec<Span>) {
    for stage in &chain.stages {
        match stage {
            Stage::Layer(layer) => found.push(layer.span),
            Stage::Repeat(repeat) => layers(&repeat.chain, found),
            Stage::Join(join) => join
                .branches
                .iter()
                .for_each(|branch| layers(branch, found)),
            Stage::Error(_) => panic!("an error in a good tree"),
        }
    }
}

/// The comments in the order of the text. Those in one layer, which move with their attributes, are sorted.
fn comments(tree: &Tree, sort: bool) -> Vec<String> {
    let mut spans = Vec::new();
    layers(&tree.chain, &mut spans);
    let mut groups: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for comment in &tree.comments {
        let start = comment.span.start;
        let layer = spans
            .iter()
            .find(|span| span.start < start && start < span.end);
        let group = groups
            .entry(layer.map_or(start, |span| span.start))
            .or_default();
        group.push(comment.value.trim_end().to_owned());
        if sort {
            group.sort();
        }
    }
    groups.into_values().flatten().collect()
}

/// Whether two lists are the same but for the order within stretches that only the first text's layers explain.
fn same_comments(before: &Tree, after: &Tree) -> bool {
    let (sorted, mut left) = (comments(before, true), comments(after, false));
    let mut spans = Vec::new();
    layers(&before.chain, &mut spans);
    // The sizes of the groups of the first text, in order.
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for comment in &before.comments {
        let start = comment.span.start;
        let layer = spans
            .iter()
            .find(|span| span.start < start && start < span.end);
        *sizes
            .entry(layer.map_or(start, |span| span.start))
            .or_default() += 1;
    }
    let mut at = 0;
    for size in sizes.into_values() {
        let Some(group) = left.get_mut(at..at + size) else {
            return false;
        };
        group.sort();
        at += size;
    }
    left == sorted
}

/// Demands of a form all that holds for every text. Shapes are compared for the input that the text states, or for this.
#[track_caller]
fn sound(text: &str, form: &str, input: Option<[usize; 3]>) {
    let (before, after) = (parsed(text), parsed(form));
    assert_eq!(
        formatted(form),
        form,
        "formatting twice changes something:\n{text}"
    );
    assert!(
        same_comments(&before, &after),
        "comments:\n{text}\nbecome\n{form}"
    );
    let other = op::Recipe {
        init: op::InitRule::Xavier,
        std: 0.3,
        bias: 0.7,
        dropout: 0.4,
    };
    for recipe in [op::Recipe::default(), other] {
        assert_eq!(
            network(&before, input, recipe),
            network(&after, input, recipe),
            "another network:\n{text}\nbecomes\n{form}"
        );
    }
    tidy(&after, form);
}

/// Demands what the lines of every form have in common.
#[track_caller]
fn tidy(tree: &Tree, form: &str) {
    let text = form.replace("\r\n", "\n");
    assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{form}");
    assert!(
        !text.starts_with(['\n', '\u{feff}']) && !text.contains("\n\n\n"),
        "{form}"
    );
    assert!(!text.contains(['\r', '\t']), "{form}");
    let mut spans = Vec::new();
    layers(&tree.chain, &mut spans);
    let mut start = 0;
    for line in form.split_inclusive('\n') {
        let code = line.trim_end();
        assert!(
            code.len() + 2 >= line.len(),
            "white space at a line's end:\n{form}"
        );
        let comment = tree
            .comments
            .iter()
            .find(|comment| (start..start + line.len()).contains(&comment.span.start));
        let end = comment.map_or(start + code.len(), |comment| comment.span.start);
        let code = form[start..end].trim_end();
        // A layer is never broken, and one that is too long stands alone.
        let alone = code.trim_start().trim_start_matches(['-', '>', '|', ' ']);
        assert!(
            code.chars().count() <= COLUMNS
                || spans
                    .iter()
                    .any(|span| &form[span.start..span.end] == alone),
            "a long line: {code}\n{form}"
        );
        start += line.len();
    }
}

#[test]
fn on_one_line_a_network_is_what_it_was() {
    for case in cases() {
        let text = fs::read_to_string(&case).unwrap();
        let line = one_line(&Source::new("a.net", text.clone())).unwrap();
        assert!(!line.contains(['\n', '#']) && line.trim() == line, "{line}");
        let recipe = op::Recipe::default();
        let [before, after] = [&text, &line].map(|text| network(&parsed(text), None, recipe));
        assert_eq!(before, after, "{line}");
        let again = one_line(&Source::new("a.net", formatted(&line))).unwrap();
        assert_eq!(line, again);
    }
    assert!(one_line(&Source::new("a.net", "C8 ->")).is_err());
}

#[test]
fn random_networks_keep_what_they_are() {
    let seeds = if long() { 20_000 } else { 1_000 };
    for seed in 0..seeds {
        let scope = if seed % 2 == 0 {
            Scope::Whole
        } else {
            Scope::Chains
        };
        let net = RandomNet::new(seed, scope);
        let plain = formatted(&net.plain());
        sound(&net.plain(), &plain, Some(net.input));
        let text = net.decorated(seed);
        let form = formatted(&text);
        sound(&text, &form, Some(net.input));
        // Without comments, one network has one form.
        if !text.contains('#') {
            assert_eq!(form.replace("\r\n", "\n"), plain, "{text}");
        }
    }
}

#[test]
fn the_networks_of_the_repository_are_in_canonical_form() {
    let nets: Vec<String> = files_below(&root().join("nets"))
        .into_iter()
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|ending| ending == "net")
        })
        .map(|name| format!("nets/{name}"))
        .collect();
    assert!(nets.len() >= 4, "{nets:?}");
    let outcome = Netc::new()
        .current(root())
        .args(["fmt", "--check"])
        .args(nets)
        .run();
    assert_eq!(outcome.stdout, "");
    outcome.exits(0);
}

// ---- The text as a file --------------------------------------------------------------------------------------------

#[test]
fn lines_end_as_the_first_line_does() {
    assert_eq!(formatted("C8\r\n->P->F2"), "C8 -> P -> F2\r\n");
    assert_eq!(formatted("C8 # a\r\n->F2\n"), "C8 # a\r\n-> F2\r\n");
    assert_eq!(formatted("C8 # a\n->F2\r\n"), "C8 # a\n-> F2\n");
}

#[test]
fn a_byte_order_mark_goes() {
    assert_eq!(formatted("\u{feff}C8 -> F2\n"), "C8 -> F2\n");
    assert_eq!(formatted("\u{feff}# c\nF2"), "# c\nF2\n");
}

#[test]
fn columns_are_characters() {
    let code = "C64(kernel=5) -> P(kernel=3, stride=2) -> N(size=7)";
    let comment = format!("# {}", "ж".repeat(COLUMNS - code.len() - " # ".len()));
    let text = format!("{code} {comment}\n-> F10\n");
    assert_eq!(formatted(&text), text);
    let broken = "C64(kernel=5) -> P(kernel=3, stride=2)\n    -> N(size=7)";
    assert_eq!(
        formatted(&format!("{code} {comment}ж\n-> F10\n")),
        format!("{broken} {comment}ж\n-> F10\n")
    );
}

#[test]
fn many_layers_are_formatted() {
    let text = "# c\nC8(stride=1, kernel=5) -> P(max) # d\n-> ".repeat(2000) + "F2";
    let form = formatted(&text);
    assert_eq!(form.lines().count(), 4001);
    sound(&text, &form, None);
}

// ---- Errors --------------------------------------------------------------------------------------------------------

#[test]
fn a_text_with_an_error_has_no_canonical_form() {
    for (text, code) in [
        ("", "E0105"),
        ("# only a comment\n", "E0105"),
        ("input 1x8x8\n", "E0105"),
        ("C8 -> -> F2", "E0104"),
        ("X8 -> F2", "E0201"),
        ("C8 -> P", "E0305"),
        ("input 1x4x4 C8(kernel=7, pad=0) -> F2", "E0301"),
        ("C8(kernel=2) -> F2", "E0208"),
    ] {
        let source: Arc<Source> = Source::new("a.net", text);
        let found = format(&source).expect_err(text);
        let codes: Vec<&str> = found.iter().map(|problem| problem.code.name()).collect();
        assert_eq!(codes, [code], "{text}");
    }
}

// ---- The command ---------------------------------------------------------------------------------------------------

fn text(outcome: &Outcome, name: &str) -> String {
    fs::read_to_string(outcome.path(name)).unwrap()
}

#[test]
fn files_are_rewritten() {
    let outcome = Netc::new()
        .file("a.net", "C8->F2")
        .file("b.net", "C8 -> F2\n")
        .args(["fmt", "a.net", "b.net"])
        .run();
    outcome.exits(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    assert_eq!(text(&outcome, "a.net"), "C8 -> F2\n");
    assert_eq!(text(&outcome, "b.net"), "C8 -> F2\n");
    assert_eq!(files_below(&outcome.path(".")), ["a.net", "b.net"]);
}

#[test]
fn a_file_that_need_not_change_is_not_touched() {
    let netc = Netc::new()
        .file("a.net", "C8 -> F2\n")
        .args(["fmt", "a.net"]);
    let path = netc.folder().join("a.net");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let outcome = netc.run();
    outcome.exits(0);
    let modified = fs::metadata(outcome.path("a.net"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(modified, long_ago);
}

#[test]
fn a_file_with_errors_stays_and_the_others_are_done() {
    let outcome = Netc::new()
        .file("a.net", "C8->F2")
        .file("bad.net", "C8(krenel=3)->X->F2")
        .file("c.net", "C9->F2")
        .args(["fmt", "a.net", "bad.net", "none.net", "c.net"])
        .run();
    outcome.fails("E0202", &["bad.net:1:4", "did you mean `kernel=3`?"]);
    outcome.fails("E0201", &["bad.net:1:15"]);
    outcome.fails("E0501", &["none.net"]);
    assert_eq!(text(&outcome, "a.net"), "C8 -> F2\n");
    assert_eq!(text(&outcome, "bad.net"), "C8(krenel=3)->X->F2");
    assert_eq!(text(&outcome, "c.net"), "C9 -> F2\n");
}

#[test]
fn check_shows_the_difference_and_writes_nothing() {
    let outcome = Netc::new()
        .file("a.net", "input 1x8x8\n\nC8->F2 # two")
        .file("b.net", "C8 -> F2\n")
        .args(["fmt", "--check", "a.net", "b.net"])
        .run();
    outcome.exits(1);
    assert_eq!(
        outcome.stdout,
        "--- a.net\n+++ a.net (formatted)\n@@ -1,3 +1,3 @@\n input 1x8x8\n \n-C8->F2 # two\n\\ No newline at end of file\n+C8 -> F2 # two\n"
    );
    assert_eq!(outcome.stderr, "");
    assert_eq!(text(&outcome, "a.net"), "input 1x8x8\n\nC8->F2 # two");
    let outcome = Netc::new()
        .file("b.net", "C8 -> F2\n")
        .args(["fmt", "--check", "b.net"])
        .run();
    outcome.exits(0);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn the_difference_is_coloured_where_that_is_asked_for() {
    let outcome = Netc::new()
        .file("a.net", "C8->F2\n")
        .args(["fmt", "--check", "--color", "always", "a.net"])
        .run();
    outcome.exits(1);
    assert_eq!(
        outcome.stdout,
        "\x1b[1m--- a.net\x1b[0m\n\x1b[1m+++ a.net (formatted)\x1b[0m\n\x1b[36m@@ -1 +1 @@\x1b[0m\n\x1b[31m-C8->F2\x1b[0m\n\x1b[32m+C8 -> F2\x1b[0m\n"
    );
}

#[test]
fn standard_input_and_expressions_are_printed() {
    let outcome = Netc::new().stdin("C8->F2").args(["fmt", "-"]).run();
    outcome.exits(0);
    assert_eq!(outcome.stdout, "C8 -> F2\n");
    let outcome = Netc::new()
        .args(["fmt", "--expr", "C8->N(local)->F2"])
        .run();
    outcome.exits(0);
    assert_eq!(outcome.stdout, "C8 -> N -> F2\n");
    let outcome = Netc::new()
        .stdin("C8->F2\n")
        .args(["fmt", "--check", "-"])
        .run();
    outcome
        .exits(1)
        .says("--- <stdin>\n+++ <stdin> (formatted)\n");
    let outcome = Netc::new().stdin("C8->P").args(["fmt", "-"]).run();
    outcome.fails("E0305", &["<stdin>:1:5"]);
    assert_eq!(outcome.stdout, "");
    Netc::new().args(["fmt"]).run().exits(2);
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let outcome = Netc::new()
        .file("a.net", b"C8 \xff")
        .args(["fmt", "a.net"])
        .run();
    outcome.fails("E0106", &["byte 3 is 0xFF"]);
    assert_eq!(fs::read(outcome.path("a.net")).unwrap(), b"C8 \xff");
}

#[cfg(unix)]
#[test]
fn permissions_and_links_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let netc = Netc::new()
        .file("nets/a.net", "C8->F2")
        .file("read-only.net", "C8->F2")
        .args(["fmt", "link.net", "read-only.net"]);
    let at = |name: &str| netc.folder().join(name);
    symlink("nets/a.net", at("link.net")).unwrap();
    let mode = |path: PathBuf, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(at("nets/a.net"), 0o640);
    mode(at("read-only.net"), 0o444);
    let outcome = netc.run();
    outcome.fails(
        "E0901",
        &["`read-only.net` cannot be written: it is read-only"],
    );
    assert!(
        fs::symlink_metadata(outcome.path("link.net"))
            .unwrap()
            .is_symlink()
    );
    let permissions = fs::metadata(outcome.path("nets/a.net"))
        .unwrap()
        .permissions();
    assert_eq!(permissions.mode() & 0o777, 0o640);
    assert_eq!(text(&outcome, "nets/a.net"), "C8 -> F2\n");
    assert_eq!(text(&outcome, "read-only.net"), "C8->F2");
}
