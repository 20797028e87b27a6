//! Reading configurations: files, assignments, defaults, and back to TOML.

mod faults;

use proptest::prelude::*;

use super::*;

fn read(toml: &str, sets: &[&str]) -> (Config, Diagnostics) {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    Config::load(
        Some(&Source::new("a.toml", toml)),
        Path::new("/base"),
        &sets,
    )
}

/// `code "text under the span": message (help)` for each problem.
fn problems(toml: &str, sets: &[&str]) -> Vec<String> {
    let (_, diagnostics) = read(toml, sets);
    let show = |problem: &Diagnostic| {
        let under = problem
            .primary
            .as_ref()
            .map_or("", |place| place.source.slice(place.span));
        format!(
            "{} {under:?}: {} ({})",
            problem.code,
            problem.message,
            problem.help.as_deref().unwrap_or("")
        )
    };
    diagnostics.iter().map(show).collect()
}

#[track_caller]
fn one_problem(toml: &str, sets: &[&str], start: &str, help: &str) {
    let problems = problems(toml, sets);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].starts_with(start) && problems[0].contains(help),
        "{problems:#?}"
    );
}

/// LANGUAGE.md's own example, but for what this version leaves out.
const EXAMPLE: &str = include_str!("example.toml");

#[test]
fn the_references_example_is_legal() {
    let (config, diagnostics) = read(EXAMPLE, &[]);
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    assert_eq!(config.data.train, "fashion-mini");
    assert_eq!(config.data.test, "/base/photos/test");
    assert_eq!(config.data.crop, Some(227));
    assert_eq!(config.optimizer.schedule.kind, ScheduleKind::Step);
    let place = config.place("data.crop").unwrap();
    assert_eq!(place.source.slice(place.span), "227");
    let given = KEYS
        .iter()
        .filter(|key| config.place(key.path).is_some())
        .count();
    assert_eq!(
        given,
        KEYS.len() - 2,
        "every key is there but `patience` and `warmup`"
    );
}

#[test]
fn what_is_written_reads_back() {
    let defaults = Config::default();
    assert_eq!(read(&defaults.to_toml(), &[]).0, defaults);
    let (config, _) = read(
        EXAMPLE,
        &[
            "train.batch=auto",
            "device.select=1:0",
            "train.clip=0.5",
            "data.train=a \"b\"",
        ],
    );
    let (again, _) = read(&config.to_toml(), &[]);
    assert_eq!(again, config);
    assert_ne!(again, defaults);
    assert_eq!(again.to_toml(), config.to_toml());
    for text in [defaults.to_toml(), EXAMPLE.into()] {
        assert!(
            problems(&text, &[]).is_empty(),
            "{:#?}",
            problems(&text, &[])
        );
    }
}

#[test]
fn no_file_at_all_is_the_defaults() {
    let (config, diagnostics) = Config::load(None, Path::new(""), &[]);
    assert!(diagnostics.is_empty());
    assert_eq!(config, Config::default());
    assert_eq!(config.data.mean, MeanOf::Pixel);
}

#[test]
fn assignments_reach_every_key_and_come_last() {
    let (config, diagnostics) = read(
        "[train]\nepochs = 7",
        &[
            "train.epochs = 9",
            "optimizer.schedule = {kind=\"step\", every=3}",
            "optimizer.schedule.factor=0.5",
            "device.select=0:1",
            "init.weights=xavier",
            "data.train=sets/a=b",
            "output.dir=x",
        ],
    );
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    assert_eq!(config.train.epochs, 9);
    assert_eq!(
        (
            config.optimizer.schedule.every,
            config.optimizer.schedule.factor
        ),
        (3, 0.5)
    );
    assert_eq!(config.device.select, Select::Device("0:1".into()));
    assert_eq!(config.init.weights, Weights::Xavier);
    assert!(Path::new(&config.data.train).is_absolute() && config.data.train.ends_with("sets/a=b"));
    for key in KEYS {
        let set = format!("{}={}", key.path, key.default());
        let (config, _) = read("", &[&set]);
        assert!(
            config.place(key.path).is_some() || key.only_if.is_some_and(|rule| rule.strict),
            "{set}"
        );
    }
}

/// Scraps of TOML, of keys and of what is neither.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        prop::sample::select(vec![
            "[",
            "]",
            "[[",
            "=",
            " ",
            "\n",
            "\"",
            "'",
            "{",
            "}",
            ",",
            ".",
            "#",
            "\u{feff}",
            "é",
            "train",
            "epochs",
            "data.crop",
            "5",
            "1e999",
            "-",
            "true",
            "1979-05-27",
            "optimizer",
            "schedule",
            "kind",
            "\"step\"",
            "every",
        ])
        .prop_map(String::from),
        any::<String>(),
    ];
    prop::collection::vec(scrap, 0..24).prop_map(|scraps| scraps.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_without_a_panic_and_every_span_lies_in_its_text(toml in scraps(), set in scraps()) {
        let (_, diagnostics) = read(&toml, &[&set]);
        for problem in &diagnostics {
            let place = problem.primary.as_ref().expect("a place");
            prop_assert!(place.source.text().get(place.span.start..place.span.end).is_some(), "{problem:?}");
        }
    }
}
