//! Help lines: what the user most likely meant, made from what stands in the text.
//!
//! Owns guesses only; `fault` says what is wrong. A guess is never longer than a line, and nothing of the user's text
//! reaches the terminal but in [`shorten`]'s form.

use std::fmt::Write as _;

/// Help where no better guess can be made about attributes.
pub(super) const ATTRIBUTES: &str =
    "write attributes as `key=value` or a word, with commas between them";

/// For what stands where a stage or an arrow should.
pub(super) fn junk(here: &str) -> &'static str {
    match here.as_bytes().first() {
        Some(b'(') => {
            "write attributes right after their layer, in one pair of parentheses: `C64(kernel=5)`"
        }
        Some(b'{' | b'[') => "write attributes in parentheses: `C64(kernel=5)`",
        Some(b'*') => "write a repeat as `3*[C64]`",
        Some(b'+' | b'&') => "write `+[x | y]` to add branches, `&[x | y]` to concatenate them",
        Some(b':') => "write a label before the colon, as in `first: C64`",
        Some(b'/') => "write `#` before a comment",
        Some(byte) if byte.is_ascii_digit() => {
            "a layer is a kind and its width, as in `C64`; a repeat is `3*[C64]`"
        }
        _ => "write a layer such as `C64`, `P` or `F10`, and `->` between two layers",
    }
}

/// For `C9.6` or `C8-P`: a width that is no whole number, or two words.
pub(super) fn word(here: &str) -> String {
    if is_bad_width(here) {
        let kind: String = here
            .chars()
            .take_while(|c| !matches!(c, '.' | '+' | '-'))
            .collect();
        let kind = kind.trim_end_matches(|c: char| c.is_ascii_digit());
        return format!(
            "write the width as a whole number, as in `{}64`",
            shorten(kind)
        );
    }
    let parts: Vec<&str> = here.split(['.', '-']).take(3).collect();
    match parts[..] {
        [left, right] if short(here) && right.starts_with(char::is_uppercase) => {
            format!("write `{left} -> {right}`")
        }
        _ => "a layer is written with letters, digits and `_` only".into(),
    }
}

/// Whether a word with dots or dashes in it looks like a kind and a number.
pub(super) fn is_bad_width(here: &str) -> bool {
    let rest = here.trim_start_matches(char::is_alphabetic);
    rest.len() < here.len()
        && rest
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-'))
}

/// For what stands where an attribute should.
pub(super) fn attribute(here: &str) -> String {
    if here.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("say what it is for, as in `kernel={}`", shorten(here));
    }
    match here.split_once('=') {
        Some((key, value)) if key.contains('-') && short(here) => {
            format!("write `{}={value}`", key.replace('-', "_"))
        }
        _ => ATTRIBUTES.into(),
    }
}

/// For what stands where a value should: `(5,3)`, `"relu"`.
pub(super) fn value(here: &str) -> String {
    let inner = here.trim_matches(['(', ')', '[', ']', '"', '\'', '=', ' ']);
    let parts: Vec<&str> = inner
        .split([',', ' '])
        .filter(|part| !part.is_empty())
        .collect();
    let plain = |part: &&str| {
        part.chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
    };
    if !short(here) || parts.is_empty() || !parts.iter().all(plain) {
        return "write a number such as `3` or `0.5`, a size such as `5x3`, or a word such as `relu`".into();
    }
    format!("write `{}`", parts.join("x"))
}

/// For a malformed number or size: `3x`, `.5`, `1_000`.
pub(super) fn number(here: &str) -> String {
    let general = "write a number such as `3`, `0.5` or `1e-4`, or a size such as `5x3`";
    if !short(here) {
        return general.into();
    }
    let rest = here.strip_prefix(['+', '-']).unwrap_or(here);
    let sign = &here[..here.len() - rest.len()];
    let lower = rest.to_lowercase().replace('×', "x");
    let plain = rest.replace('_', "");
    match lower.strip_suffix('x') {
        Some(one) if digits(one) => {
            format!("write `{sign}{one}x{one}`, or `{sign}{one}` for a square")
        }
        _ if lower.split('x').all(digits) => format!("write `{sign}{lower}`"),
        _ if rest.strip_prefix('.').is_some_and(digits) => format!("write `{sign}0{rest}`"),
        _ if rest.strip_suffix('.').is_some_and(digits) => format!("write `{sign}{rest}0`"),
        _ if digits(&plain) => format!("write `{sign}{plain}`"),
        _ if rest.ends_with('%') => "write a share of one: `0.5` for 50 %".into(),
        _ => general.into(),
    }
}

/// For a size with the wrong number of parts, or with white space in it.
pub(super) fn size(here: &str) -> String {
    let mut parts = here.split('x').map(str::trim);
    let (height, width) = (parts.next().unwrap_or("5"), parts.next().unwrap_or("3"));
    let size = format!("`{}x{}`", shorten(height), shorten(width));
    if parts.next().is_some() {
        format!("write height and width only: {size}")
    } else {
        format!("write {size}")
    }
}

/// For a malformed input shape.
pub(super) fn input(here: &str) -> String {
    let text: String = here.split_whitespace().collect();
    let text = text.to_lowercase().replace('×', "x");
    let parts: Vec<&str> = text.split('x').collect();
    let plain = short(here) && parts.iter().all(|part| digits(part));
    match parts[..] {
        [_, _, _] if plain => format!("write `input {text}`"),
        [height, width] if plain => format!(
            "write the channels first: `input 3x{height}x{width}` (colour), `input 1x{height}x{width}` (grey)"
        ),
        _ => "write channels, height and width, as in `input 3x227x227`".into(),
    }
}

/// The label that comes nearest to a malformed one.
pub(super) fn label(text: &str) -> String {
    let tidy = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let label: String = text.chars().take(40).map(tidy).collect();
    let label = label.trim_start_matches('_');
    if label.starts_with(|c: char| c.is_ascii_lowercase()) {
        label.into()
    } else {
        format!("layer_{label}")
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a text may be repeated whole in a help line.
pub(super) fn short(text: &str) -> bool {
    text.len() <= 60 && !text.contains('#') && !text.chars().any(is_unprintable)
}

/// At most the first forty characters, on one line and without anything that a terminal would obey.
pub(super) fn shorten(text: &str) -> String {
    let mut words = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == 40 => {
                words.push('…');
                break;
            }
            '\n' => {
                words.push('…');
                break;
            }
            '\t' => words.push(' '),
            '\r' => {}
            c if is_unprintable(c) => {
                write!(words, "U+{:04X}", u32::from(c)).expect("internal error: a string is full");
            }
            c => words.push(c),
        }
    }
    words
}

/// Control characters, white space that looks like a blank or like nothing, and marks of writing direction.
fn is_unprintable(c: char) -> bool {
    let invisible = [
        '\u{FEFF}', '\u{200B}', '\u{200C}', '\u{200D}', '\u{200E}', '\u{200F}',
    ];
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || invisible.contains(&c)
        || ('\u{202A}'..='\u{202E}').contains(&c)
        || ('\u{2060}'..='\u{2069}').contains(&c)
}

/// [`shorten`]ed, in the quotes of messages.
pub(super) fn quote(text: &str) -> String {
    format!("`{}`", shorten(text))
}
