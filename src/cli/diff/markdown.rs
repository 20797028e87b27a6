//! A comparison as Markdown, for the comment of a pull request.

use std::fmt::Write;

use super::compared::{Compared, canonical};
use super::describe::{self, COLUMNS, Sign};
use crate::cli::report::words;
use crate::cli::text_diff::difference;

/// Rows that stand in the open; the rest is folded.
const OPEN: usize = 12;
/// Rows of a table at most.
const ROWS: usize = 200;

/// Text in which nothing is markup.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\`*_[]<|~&".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Text as code, in a table too.
fn code(text: &str) -> String {
    format!(
        "`{}`",
        text.replace('`', "'")
            .replace('|', "\\|")
            .replace('\n', " ")
    )
}

/// The whole comparison.
pub fn page(compared: &Compared) -> String {
    let [old, new] = &compared.sides;
    let heading = if old.name == new.name {
        code(&new.name)
    } else {
        format!("{} → {}", code(&old.name), code(&new.name))
    };
    let mut page = format!("### {heading}\n\n");
    if !compared.is_sound() {
        for diagnostic in compared.found().flat_map(|found| found.iter()) {
            let _ = writeln!(
                page,
                "- **{}** {}",
                diagnostic.code,
                plain(&words(diagnostic).replace('\n', "; "))
            );
        }
        let text = |side: &super::compared::Read| {
            side.source
                .as_ref()
                .map_or_else(String::new, |s| s.text().to_owned())
        };
        let texts = difference((&old.name, &text(old)), (&new.name, &text(new)), false);
        let fence = "`".repeat(longest_run(&texts).max(2) + 1);
        let _ = write!(page, "\n{fence}diff\n{texts}{fence}\n");
        return page;
    }
    let Some((diff, consequences)) = &compared.difference else {
        let side = compared.sides.iter().find_map(|side| side.source.as_ref());
        let word = if new.source.is_some() {
            "New"
        } else {
            "Removed"
        };
        let text = side.map_or_else(String::new, canonical);
        let fence = "`".repeat(longest_run(&text).max(2) + 1);
        let _ = write!(page, "{word} network:\n\n{fence}\n{text}{fence}\n");
        return page;
    };
    if diff.is_empty() {
        return page + "The same network.\n";
    }
    for line in describe::lines(diff, &compared.sides) {
        let word = match line.sign {
            Sign::Added => "added",
            Sign::Removed => "removed",
            Sign::Moved => "moved",
            Sign::Changed => "changed",
        };
        let _ = writeln!(
            page,
            "- **{word}** {}: {}",
            code(&line.subject),
            plain(&line.words)
        );
    }
    let rows = consequences.layers.iter().take(ROWS).map(describe::row);
    let mut rows: Vec<[String; 5]> = rows.collect();
    rows.extend(describe::totals(consequences));
    if !rows.is_empty() {
        let folded = rows.len() > OPEN;
        page.push_str(if folded {
            "\n<details><summary>By layer</summary>\n\n"
        } else {
            "\n"
        });
        let _ = writeln!(page, "| {} |\n|---|---|---|---:|---:|", COLUMNS.join(" | "));
        for row in &rows {
            let cells = row.clone().map(|cell| plain(&cell));
            let _ = writeln!(page, "| {} |", cells.join(" | "));
        }
        page.push_str(if folded { "\n</details>\n" } else { "" });
    }
    if let Some(memory) = describe::memory(&compared.sides) {
        let _ = writeln!(page, "\n{}", plain(&memory));
    }
    if let Some((first, tensors)) = describe::checkpoint(consequences) {
        let _ = writeln!(page, "\n{}", plain(&first));
        for line in tensors.iter().take(ROWS) {
            let _ = writeln!(page, "- {}", plain(line));
        }
    } else {
        page.push_str(
            "\nThe input's shape is unknown, so costs and checkpoints are not compared.\n",
        );
    }
    page
}

/// The longest run of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}
