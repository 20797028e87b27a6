//! From TOML text and `--set` assignments to a configuration, with every error of a run in it.
//!
//! Owns: the walk over the parsed TOML, the checks against [`KEYS`], paths relative to the right folder, contradictions.
//! The TOML is read into `toml`'s spanned tree rather than through a derived `Deserialize`, whose first error is its last.
//! Knows nothing of single keys but `data.resize` and `data.crop`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::{check, line, wrong_form};
use super::keys::{KEYS, Key, Kind};
use super::unknown::{is_table, no_table, unknown, unknown_path};
use super::value::Value;
use super::{BUNDLED, Config};
use crate::diagnostic::nearest::one_of;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Place};
use crate::source::{Source, Span};

/// See [`Config::load`].
pub(super) fn load(
    source: Option<&Arc<Source>>,
    base: &Path,
    sets: &[String],
) -> (Config, Diagnostics) {
    let mut reader = Reader::default();
    if let Some(source) = source {
        reader.file(source, base);
    }
    for (index, set) in sets.iter().enumerate() {
        reader.assignment(set, index + 1);
    }
    reader.contradictions();
    reader.not_implemented();
    reader.finish()
}

/// A text that values come from.
#[derive(Clone, Copy)]
struct Text<'a> {
    source: &'a Arc<Source>,
    /// Where the parsed part starts in the source.
    shift: usize,
    /// The folder that data paths are relative to.
    base: &'a Path,
    /// Its turn: 0 the file, then the assignments.
    rank: usize,
    /// Lines that are not TOML: what the parser made of them to go on is no setting of the user's.
    broken_lines: &'a BTreeSet<usize>,
}

fn span_of(source: &Source, range: ops::Range<usize>, shift: usize) -> Span {
    let end = source.text().len();
    Span::new((range.start + shift).min(end), (range.end + shift).min(end))
}

impl Text<'_> {
    fn span(&self, range: ops::Range<usize>) -> Span {
        span_of(self.source, range, self.shift)
    }

    fn place(&self, range: ops::Range<usize>) -> Place {
        Place::new(self.source, self.span(range))
    }
}

/// Where a setting was last given.
struct Given {
    name: Place,
    value: Place,
    rank: usize,
}

#[derive(Default)]
struct Reader {
    config: Config,
    given: BTreeMap<&'static str, Given>,
    /// Keys whose last value had an error: nothing is concluded from their defaults.
    failed: BTreeSet<&'static str>,
    /// Problems, each with the turn of its text.
    problems: Vec<(usize, Diagnostic)>,
}

impl Reader {
    fn file(&mut self, source: &Arc<Source>, base: &Path) {
        let (table, errors) = DeTable::parse_recoverable(source.text());
        let mut broken_lines: BTreeSet<usize> = errors
            .iter()
            .filter(|error| error.message() != DUPLICATE)
            .map(|error| line_of(source, error))
            .collect();
        // Under a broken header nobody knows whose the keys are.
        let mut lost = false;
        for (index, line) in source.text().lines().enumerate() {
            let broken = broken_lines.contains(&(index + 1));
            lost = if line.trim_start().starts_with('[') {
                broken
            } else {
                lost
            };
            if lost {
                broken_lines.insert(index + 1);
            }
        }
        let mut reported = BTreeSet::new();
        for error in &errors {
            let line = line_of(source, error);
            // What follows on the same line is the parser finding its way back.
            let follows = error.message() == DUPLICATE && broken_lines.contains(&line);
            if !follows && reported.insert(line) {
                let problem = not_toml(source, error, table.get_ref());
                self.problems.push((0, problem));
            }
        }
        let text = Text {
            source,
            shift: 0,
            base,
            rank: 0,
            broken_lines: &broken_lines,
        };
        self.table("", table.get_ref(), text);
    }

    /// One `--set key=value`.
    fn assignment(&mut self, set: &str, rank: usize) {
        let source = Source::new("--set", set);
        let Some((path, value)) = set.split_once('=') else {
            let problem = Diagnostic::error(Code::E0401, format!("`--set {set}` gives no value"))
                .at(&source, Span::new(0, set.len()))
                .help("write `--set key=value`, for example `--set train.epochs=5`");
            self.problems.push((rank, problem));
            return;
        };
        let name = Span::new(0, path.trim_end().len());
        let shift = set.len() - value.trim_start().len();
        let text = Text {
            source: &source,
            shift,
            base: Path::new(""),
            rank,
            broken_lines: &BTreeSet::new(),
        };
        let (path, value) = (path.trim(), value.trim());
        let value = DeValue::parse(value).unwrap_or_else(|_| {
            Spanned::new(0..value.len(), DeValue::String(Cow::Borrowed(value)))
        });
        if let Some(key) = Key::find(path) {
            self.leaf(key, Place::new(&source, name), &value, text);
        } else if is_table(path) {
            if let DeValue::Table(table) = value.get_ref() {
                self.replace(path);
                self.table(path, table, text);
            } else {
                self.problems.push((
                    rank,
                    no_table(path, value.get_ref()).at(&source, text.span(value.span())),
                ));
            }
        } else {
            self.problems
                .push((rank, unknown_path(path).at(&source, name)));
        }
    }

    /// A table given whole takes the place of the one given before.
    fn replace(&mut self, path: &str) {
        let prefix = format!("{path}.");
        for key in KEYS.iter().filter(|key| key.path.starts_with(&prefix)) {
            self.reset(key);
        }
    }

    fn reset(&mut self, key: &Key) {
        key.assign(&mut self.config, &key.default());
        self.given.remove(key.path);
        self.failed.remove(key.path);
    }

    /// A table's keys, `path` being its own ("" for the whole file).
    fn table(&mut self, path: &str, table: &DeTable<'_>, text: Text<'_>) {
        for (name, value) in table {
            let line = text.source.line_column(text.span(name.span()).start).line;
            if text.broken_lines.contains(&line) {
                continue;
            }
            let full = if path.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{path}.{}", name.get_ref())
            };
            // A name with a point of its own ("a.b" in quotes) is no path.
            let plain = !name.get_ref().contains('.');
            if let Some(key) = Key::find(&full).filter(|_| plain) {
                self.leaf(key, text.place(name.span()), value, text);
            } else if plain && is_table(&full) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.table(&full, inner, text),
                    other => {
                        let problem =
                            no_table(&full, other).at(text.source, text.span(value.span()));
                        self.problems.push((text.rank, problem));
                    }
                }
            } else {
                let is_table = matches!(value.get_ref(), DeValue::Table(_));
                let problem =
                    unknown(path, name.get_ref(), is_table).at(text.source, text.span(name.span()));
                self.problems.push((text.rank, problem));
            }
        }
    }

    /// One key's value.
    fn leaf(
        &mut self,
        key: &'static Key,
        name: Place,
        value: &Spanned<DeValue<'_>>,
        text: Text<'_>,
    ) {
        let checked = check(key, value.get_ref()).and_then(|value| {
            let value = match value {
                Value::Text(path) if key.kind == Kind::DataPath => {
                    Value::Text(resolve(&path, text.base))
                }
                other => other,
            };
            if key.assign(&mut self.config, &value) {
                Ok(())
            } else {
                Err(wrong_form(key, &value))
            }
        });
        self.failed.remove(key.path);
        if let Err(problem) = checked {
            self.reset(key);
            self.failed.insert(key.path);
            self.problems
                .push((text.rank, problem.at(text.source, text.span(value.span()))));
            return;
        }
        self.given.insert(
            key.path,
            Given {
                name,
                value: text.place(value.span()),
                rank: text.rank,
            },
        );
    }

    /// Keys that mean nothing beside the others (E0405).
    fn contradictions(&mut self) {
        for key in KEYS {
            let (Some(rule), Some(given)) = (key.only_if, self.given.get(key.path)) else {
                continue;
            };
            let harmless = !rule.strict && key.value(&self.config) == key.default();
            if harmless || (rule.holds)(&self.config) || self.failed.contains(rule.key) {
                continue;
            }
            let decider = self.given.get(rule.key);
            // `--set optimizer.schedule.kind=constant` switches the file's `every` off; it does not fight it.
            if decider.is_none_or(|decider| decider.rank <= given.rank) {
                let now = Key::find(rule.key)
                    .map_or_else(String::new, |key| key.value(&self.config).to_string());
                let message = format!("`{}` has no effect with `{} = {now}`", key.path, rule.key);
                let mut problem = Diagnostic::error(Code::E0405, message)
                    .at(&given.name.source, given.name.span)
                    .help(format!(
                        "leave `{}` out, or write {}",
                        key.name(),
                        one_of(rule.lines().iter().map(String::as_str))
                    ));
                if let Some(decider) = decider {
                    problem =
                        problem.label("given here", &decider.value.source, decider.value.span);
                }
                self.problems.push((given.rank, problem));
            }
            self.reset(key);
        }
        if let (Some(resize), Some(crop)) = (self.config.data.resize, self.config.data.crop)
            && crop > resize
            && let Some(given) = self.given.get("data.crop")
        {
            let message = format!("`data.crop = {crop}` is larger than `data.resize = {resize}`");
            let mut problem = Diagnostic::error(Code::E0405, message)
                .at(&given.value.source, given.value.span)
                .help(format!(
                    "write `crop = {resize}` or less, or a `resize` of at least {crop}"
                ));
            if let Some(resize) = self.given.get("data.resize") {
                problem = problem.label(
                    "images are resized to this",
                    &resize.value.source,
                    resize.value.span,
                );
            }
            self.problems.push((given.rank, problem));
        }
    }

    /// Settings of later versions (E0403).
    fn not_implemented(&mut self) {
        for (path, words) in self.config.unsupported() {
            let Some((key, given)) = Key::find(path).zip(self.given.get(path)) else {
                continue;
            };
            let done: Vec<&str> = match key.kind {
                Kind::Words(all) => all
                    .iter()
                    .copied()
                    .filter(|word| key.is_implemented(&Value::Text((*word).into())))
                    .collect(),
                _ => Vec::new(),
            };
            let help = if done.len() > 1 {
                let lines: Vec<String> = done
                    .into_iter()
                    .map(|word| line(key, &Value::Text(word.into())))
                    .collect();
                format!("write {}", one_of(lines.iter().map(String::as_str)))
            } else {
                format!("leave it out, or write `{}`", line(key, &key.default()))
            };
            let problem = Diagnostic::error(Code::E0403, words)
                .at(&given.value.source, given.value.span)
                .help(help);
            self.problems.push((given.rank, problem));
        }
    }

    fn finish(mut self) -> (Config, Diagnostics) {
        self.problems.sort_by_key(|(rank, problem)| {
            (
                *rank,
                problem
                    .primary
                    .as_ref()
                    .map_or((0, 0), |place| (place.span.start, place.span.end)),
            )
        });
        let mut diagnostics = Diagnostics::new();
        for (_, problem) in self.problems {
            diagnostics.push(problem);
        }
        self.config.places = self
            .given
            .into_iter()
            .map(|(path, given)| (path, given.value))
            .collect();
        (self.config, diagnostics)
    }
}

/// What the parser says of a key that is there already.
const DUPLICATE: &str = "duplicate key";

fn line_of(source: &Source, error: &toml::de::Error) -> usize {
    let start = error.span().map_or(0, |span| span.start);
    source.line_column(start).line
}

/// E0401 in the parser's words; `table` is what could be read.
fn not_toml(source: &Arc<Source>, error: &toml::de::Error, table: &DeTable<'_>) -> Diagnostic {
    let span = span_of(source, error.span().unwrap_or(0..0), 0);
    let under = source.slice(span);
    let before = &source.text()[..span.start];
    let header = before.rsplit('\n').next().unwrap_or(before).trim_start();
    let problem =
        Diagnostic::error(Code::E0401, format!("not TOML: {}", error.message())).at(source, span);
    if error.message() == DUPLICATE {
        let problem = problem.help(format!("keep one of the two `{under}`"));
        return match earlier(table, under, span.start) {
            Some(first) => problem.label("first given here", source, span_of(source, first, 0)),
            None => problem,
        };
    }
    problem.help(
        if under.is_empty() && header.starts_with('[') && !header.contains(']') {
            format!("close the table's name: `{}]`", header.trim_end())
        } else if under.starts_with(|c: char| c.is_alphabetic()) {
            format!("text stands in quotes: `\"{under}\"`")
        } else {
            "a line is `[table]` or `key = value`, and text stands in quotes".into()
        },
    )
}

/// Where a key of this name stands last before an offset.
fn earlier(table: &DeTable<'_>, name: &str, offset: usize) -> Option<ops::Range<usize>> {
    let places = table.iter().filter_map(|(key, value)| {
        let own = Some(key.span()).filter(|span| key.get_ref() == name && span.start < offset);
        let inside = match value.get_ref() {
            DeValue::Table(inner) => earlier(inner, name, offset),
            _ => None,
        };
        own.into_iter().chain(inside).max_by_key(|span| span.start)
    });
    places.max_by_key(|span| span.start)
}

/// A bundled set's name stays; a path becomes absolute, so that the resolved file means the same from any folder.
fn resolve(path: &str, base: &Path) -> String {
    if BUNDLED.contains(&path) {
        return path.into();
    }
    let absolute = std::path::absolute(base.join(path));
    absolute
        .ok()
        .and_then(|path| path.to_str().map(String::from))
        .unwrap_or_else(|| path.into())
}
