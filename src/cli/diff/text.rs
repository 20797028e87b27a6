//! A comparison for people: the edits, a table of what they do, the memory, the checkpoint.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use super::compared::{Compared, canonical};
use super::describe::{self, COLUMNS, Line, Sign};
use crate::cli::files;
use crate::cli::table::{Align, Table};
use crate::cli::text_diff::difference;
use crate::cli::{Output, grouped};
use crate::diagnostic::Diagnostic;
use crate::diff::outline::{Bracket, Item, Outliner, Reading};
use crate::ir::{self, summary::summary};
use crate::source::Source;
use crate::syntax;

/// Rows of layers and lines of tensors that are shown; `--json` has all of them.
const ROWS: usize = 40;

/// The whole comparison.
pub fn page(compared: &Compared, output: &Output) -> String {
    let [old, new] = &compared.sides;
    let heading = if old.name == new.name {
        new.name.clone()
    } else {
        format!("{} -> {}", old.name, new.name)
    };
    format!(
        "{}\n{}",
        bold(&heading, output.colour),
        body(compared, output)
    )
}

/// Text in bold, where there is colour.
pub fn bold(text: &str, colour: bool) -> String {
    if colour {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.into()
    }
}

/// What stands below the heading.
pub fn body(compared: &Compared, output: &Output) -> String {
    if !compared.is_sound() {
        return texts(compared, output.colour);
    }
    let Some((diff, consequences)) = &compared.difference else {
        return alone(compared, output.colour);
    };
    if diff.is_empty() {
        let [old, new] = compared.sides.each_ref().map(|side| side.source.as_ref());
        let same = old
            .zip(new)
            .is_some_and(|(old, new)| old.text() == new.text());
        return if same {
            "no difference\n"
        } else {
            "the same network, written otherwise\n"
        }
        .into();
    }
    let mut text = edits(&describe::lines(diff, &compared.sides), output);
    if !consequences.layers.is_empty() {
        let right = |(at, name): (usize, &&'static str)| {
            (*name, if at < 3 { Align::Left } else { Align::Right })
        };
        let columns: Vec<_> = COLUMNS.iter().enumerate().map(right).collect();
        let mut table = Table::new(&columns);
        for layer in consequences.layers.iter().take(ROWS) {
            table.row(describe::row(layer));
        }
        if let Some(more) = consequences
            .layers
            .len()
            .checked_sub(ROWS)
            .filter(|n| *n > 0)
        {
            table.row([String::new(), format!("and {more} more")]);
        }
        if let Some(totals) = describe::totals(consequences) {
            table.row(totals);
        }
        let _ = write!(text, "\n{}", table.render(output.colour));
    }
    if let Some(memory) = describe::memory(&compared.sides) {
        let _ = writeln!(text, "{memory}");
    }
    if let Some((first, tensors)) = describe::checkpoint(consequences) {
        let _ = writeln!(text, "{first}");
        for line in tensors.iter().take(ROWS) {
            let _ = writeln!(text, "  {line}");
        }
        if tensors.len() > ROWS {
            let _ = writeln!(text, "  and {} more", tensors.len() - ROWS);
        }
    } else {
        let _ = writeln!(
            text,
            "the input's shape is unknown, so costs and checkpoints are not compared: pass `--input 3x227x227`"
        );
    }
    text
}

/// The edits, a line each; long ones go on below, as wide as the screen is.
fn edits(lines: &[Line], output: &Output) -> String {
    let characters = |line: &Line| line.subject.chars().count();
    let subject = lines.iter().map(characters).max().unwrap_or(0).min(24);
    let indent = 2 + 2 + subject + 2;
    let room = output.width().saturating_sub(indent).max(24);
    let mut text = String::new();
    for line in lines {
        let code = match line.sign {
            Sign::Added => "32",
            Sign::Removed => "31",
            Sign::Moved => "36",
            Sign::Changed => "33",
        };
        let (start, end) = if output.colour {
            (format!("\x1b[{code}m"), "\x1b[0m")
        } else {
            (String::new(), "")
        };
        for (at, part) in wrapped(&line.words, room).iter().enumerate() {
            let head = match at {
                0 => format!("  {} {:subject$}  ", line.sign.character(), line.subject),
                _ => " ".repeat(indent),
            };
            let _ = writeln!(text, "{start}{head}{part}{end}");
        }
    }
    text
}

/// Words in lines of at most so many characters, where they can be broken at all.
fn wrapped(words: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut width = 0;
    for word in words.split(' ') {
        let count = word.chars().count();
        if width > 0 && width + 1 + count > room {
            lines.push(String::new());
            width = 0;
        }
        let line = lines.last_mut().expect("there is a line");
        if width > 0 {
            line.push(' ');
            width += 1;
        }
        line.push_str(word);
        width += count;
    }
    lines
}

/// A network that has nothing on the other side: its text, and its figures.
fn alone(compared: &Compared, colour: bool) -> String {
    let (sign, code, side) = match compared.sides.each_ref() {
        [old, new] if new.source.is_none() => ('-', "31", old),
        [_, new] => ('+', "32", new),
    };
    let (Some(source), Some(graph)) = (&side.source, &side.graph) else {
        return "no difference\n".into();
    };
    let mut text = String::new();
    for line in canonical(source).lines() {
        let line = format!("{sign} {line}");
        let line = line.trim_end();
        let _ = if colour {
            writeln!(text, "\x1b[{code}m{line}\x1b[0m")
        } else {
            writeln!(text, "{line}")
        };
    }
    let word = if sign == '-' { "removed" } else { "new" };
    let _ = write!(text, "{word} network: {} layers", graph.nodes.len());
    if let Some((parameters, multiply_adds)) = summary(graph).totals {
        let (parameters, multiply_adds) = (grouped(parameters), grouped(multiply_adds));
        let _ = write!(
            text,
            ", {parameters} parameters, {multiply_adds} multiply-adds"
        );
    }
    text.push('\n');
    text
}

/// The difference of the texts, where one is no network.
fn texts(compared: &Compared, colour: bool) -> String {
    let [old, new] = &compared.sides;
    let text = |source: &Option<Arc<Source>>| source.as_ref().map_or("", |s| s.text()).to_owned();
    let unreadable =
        |side: &super::compared::Read| side.source.is_none() && side.found.has_errors();
    if unreadable(old) || unreadable(new) {
        return "one side cannot be read as text: no comparison\n".into();
    }
    let (a, b) = (text(&old.source), text(&new.source));
    if a == b {
        return "the texts are the same\n".into();
    }
    difference((&old.name, &a), (&new.name, &b), colour)
}

/// One network for textual comparison, an item a line. A text that is no network stays as it is.
pub fn textconv(file: &Path) -> Result<String, Diagnostic> {
    let Ok(source) = files::source(file) else {
        // What is no text is shown as what it is.
        return Ok(String::from_utf8_lossy(&crate::file::read(file)?).into_owned());
    };
    let (tree, mut found) = syntax::parse(&source);
    found.append(ir::build(&tree, &ir::Options::default()).1);
    if found.has_errors() {
        return Ok(source.text().to_owned());
    }
    let outline = Outliner::default().outline(&tree, &Reading::default());
    let mut text = outline
        .input
        .map_or_else(String::new, |input| format!("input {input}\n"));
    let mut depth: usize = 0;
    for (at, item) in outline.items.iter().enumerate() {
        match item {
            Item::Close(Bracket::Branch) => continue,
            Item::Open(Bracket::Branch) if matches!(outline.items[at - 1], Item::Open(_)) => {
                continue;
            }
            Item::Open(Bracket::Branch) => {
                let _ = writeln!(text, "{}|", "    ".repeat(depth - 1));
                continue;
            }
            Item::Close(_) => depth -= 1,
            _ => {}
        }
        let _ = writeln!(text, "{}{}", "    ".repeat(depth), item.text());
        depth += usize::from(matches!(item, Item::Open(_)));
    }
    Ok(text)
}
