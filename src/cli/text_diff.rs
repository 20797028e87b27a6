//! The difference between two texts, line by line.

use std::time::Duration;

use similar::TextDiff;

/// What differs, in unified form: an old and a new text, each with its name.
pub fn difference(old: (&str, &str), new: (&str, &str), colour: bool) -> String {
    // Where two large files have nothing in common, the shortest difference is not worth more than this.
    let diff = TextDiff::configure()
        .timeout(Duration::from_secs(1))
        .diff_lines(old.1, new.1);
    let unified = diff
        .unified_diff()
        .context_radius(3)
        .header(old.0, new.0)
        .to_string();
    if !colour {
        return unified;
    }
    let paint = |(index, line): (usize, &str)| {
        let code = match line.as_bytes().first() {
            _ if index < 2 => "1",
            Some(b'-') => "31",
            Some(b'+') => "32",
            Some(b'@') => "36",
            _ => return line.to_owned(),
        };
        let bare = line.trim_end_matches(['\r', '\n']);
        format!("\x1b[{code}m{bare}\x1b[0m{}", &line[bare.len()..])
    };
    unified
        .split_inclusive('\n')
        .enumerate()
        .map(paint)
        .collect()
}
