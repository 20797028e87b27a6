//! What is said about faulty configurations, and where it points.

use super::*;

#[test]
fn all_errors_of_a_run_are_shown_in_order() {
    let text = "[train]\nepochs = 0\nbatsh = 3\n[optimiser]\nkind = \"sgd\"\n[device]\nprecision = \"f16\"\n";
    let problems = problems(text, &["train.seed=x", "train.clip=-1"]);
    let codes: Vec<&str> = problems.iter().map(|p| &p[..5]).collect();
    assert_eq!(
        codes,
        ["E0404", "E0402", "E0402", "E0403", "E0403", "E0404"],
        "{problems:#?}"
    );
}

#[test]
fn not_toml() {
    one_problem("[train]\nepochs = = 3\n", &[], "E0401", "");
    one_problem("[train\nepochs = 3\n", &[], "E0401", "");
    one_problem("[train]\nepochs = five\n", &[], "E0401", "");
    one_problem(
        "[train]\nepochs = 5\nepochs = 6\n",
        &[],
        "E0401 \"epochs\": not TOML: duplicate key",
        "",
    );
    one_problem(
        "",
        &["train.epochs"],
        "E0401 \"train.epochs\"",
        "--set train.epochs=5",
    );
    one_problem(
        "[train\nepochs = 3\n[train]\nepochs = 5\n",
        &[],
        "E0401",
        "close the table's name: `[train]`",
    );
    assert!(
        problems("\u{feff}[train]\nepochs = 5\n", &[]).is_empty(),
        "a byte order mark is ignored"
    );
    let (config, _) = read("[train]\nepochs = 7\nbatch = = 3\n", &[]);
    assert_eq!(
        (config.train.epochs, config.train.batch),
        (7, Batch::Images(128))
    );
}

#[test]
fn unknown_tables_and_keys() {
    one_problem(
        "[trian]\nepochs = 3",
        &[],
        "E0402 \"trian\": unknown table `[trian]`",
        "did you mean `[train]`?",
    );
    one_problem(
        "[train]\nepoch = 3",
        &[],
        "E0402 \"epoch\"",
        "did you mean `epochs`?",
    );
    one_problem(
        "[train]\nmomentum = 0.5",
        &[],
        "E0402 \"momentum\"",
        "belongs to `[optimizer]`",
    );
    one_problem(
        "batch = 3",
        &[],
        "E0402 \"batch\": unknown key `batch` outside any table",
        "belongs to `[train]`",
    );
    one_problem(
        "[data]\naugment = { flop = true }",
        &[],
        "E0402 \"flop\"",
        "`flip`",
    );
    one_problem("[wrong]\na = 1\nb = 2", &[], "E0402 \"wrong\"", "`data`");
    one_problem(
        "",
        &["optimizer.lerning_rate=1"],
        "E0402 \"optimizer.lerning_rate\"",
        "`optimizer.learning_rate`",
    );
    one_problem("", &["epochs=1"], "E0402 \"epochs\"", "`train.epochs`");
    one_problem("\"train.epochs\" = 3", &[], "E0402", "");
}

#[test]
fn wrong_types_and_words() {
    one_problem(
        "[train]\nepochs = \"5\"",
        &[],
        "E0403 \"\\\"5\\\"\"",
        "without quotes: `epochs = 5`",
    );
    one_problem(
        "[train]\nepochs = 5.0",
        &[],
        "E0403 \"5.0\": `train.epochs` is a whole number, not the number 5.0",
        "",
    );
    one_problem(
        "[train]\nbatch = \"fit\"",
        &[],
        "E0403",
        "a whole number or \"auto\"",
    );
    one_problem("[data]\nbalance = 1", &[], "E0403 \"1\"", "balance = true");
    one_problem(
        "[optimizer]\nkind = \"sdg\"",
        &[],
        "E0403",
        "did you mean \"sgd\"?",
    );
    one_problem(
        "[data]\nmean = \"image\"",
        &[],
        "E0403",
        "\"pixel\", \"channel\", \"none\"",
    );
    one_problem(
        "[train]\ncheckpoint = \"10min\"",
        &[],
        "E0403",
        "`checkpoint = { every = \"10min\" }`",
    );
    one_problem(
        "[train]\ncheckpoint = { every = \"10 parsecs\" }",
        &[],
        "E0403",
        "\"N steps\"",
    );
    one_problem(
        "train = 3",
        &[],
        "E0403 \"3\"",
        "`[train]` on a line of its own",
    );
    one_problem("[train]\nepochs = { a = 1 }", &[], "E0403", "");
    one_problem("[[train]]\nepochs = 1", &[], "E0403", "");
    one_problem("", &["train=3"], "E0403 \"3\"", "");
    one_problem(
        "",
        &["device.select=best"],
        "E0403 \"best\"",
        "platform:device",
    );
}

#[test]
fn out_of_range() {
    one_problem(
        "[train]\nbatch = 0",
        &[],
        "E0404 \"0\"",
        "from 1 to 2147483647",
    );
    one_problem("[train]\nseed = -1", &[], "E0404 \"-1\"", "");
    one_problem("[train]\nseed = 99999999999999999999", &[], "E0404", "");
    one_problem("[optimizer]\nlearning_rate = nan", &[], "E0404 \"nan\"", "");
    one_problem(
        "[optimizer]\nlearning_rate = -0.1",
        &[],
        "E0404 \"-0.1\"",
        "from 0 to 1000000",
    );
    one_problem(
        "[regularization]\ndropout = 1",
        &[],
        "E0404 \"1\"",
        "at least 0 and below 1",
    );
    one_problem("[output]\ndir = \"\"", &[], "E0404", "is empty");
    one_problem("", &["regularization.dropout=inf"], "E0404 \"inf\"", "");
}

#[test]
fn contradictions() {
    one_problem(
        "[data]\nresize = 200\ncrop = 227",
        &[],
        "E0405 \"227\"",
        "`resize` of at least 227",
    );
    one_problem(
        "[init]\nstd = 0.05",
        &[],
        "E0405 \"std\": `init.std` has no effect with `init.weights = \"he\"`",
        "gaussian",
    );
    let schedule = "[optimizer]\nschedule = { kind = \"constant\", every = 20 }";
    one_problem(
        schedule,
        &[],
        "E0405 \"every\"",
        "leave `every` out, or write `kind = \"step\"`",
    );
    // The word is the error; what follows from the default in its place is not.
    one_problem(
        "[optimizer]\nschedule = { kind = \"stop\", every = 20 }",
        &[],
        "E0403",
        "did you mean \"step\"?",
    );
    // An assignment switches the file's choice off.
    let step = "[optimizer]\nschedule = { kind = \"step\", every = 5 }\n[init]\nweights = \"gaussian\"\nstd = 0.05";
    let (config, diagnostics) = read(
        step,
        &["optimizer.schedule.kind=constant", "init.weights=he"],
    );
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    assert_eq!(
        (config.optimizer.schedule.every, config.init.std),
        (20, 0.01)
    );
}

#[test]
fn what_is_not_implemented_is_refused() {
    one_problem(
        "[device]\nprecision = \"tf32\"",
        &[],
        "E0403 \"\\\"tf32\\\"\": `device.precision = \"tf32\"` is not implemented in this version",
        "write `precision = \"f32\"` or `precision = \"f64\"`",
    );
    one_problem(
        "",
        &["device.precision=tf32"],
        "E0403",
        "write `device.precision = \"f32\"` or `device.precision = \"f64\"`",
    );
    let (config, _) = read("", &["device.precision=tf32"]);
    assert_eq!(config.device.precision, Precision::Tf32);
    assert_eq!(config.unsupported().len(), 1);
}
