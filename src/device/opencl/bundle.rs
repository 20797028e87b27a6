//! Many kernel files with their defines as one text, so that the compiler reads OpenCL's own header once.
//!
//! PoCL spends 0.23 s on that header for every program, however small (PoCL 3.1, 2026-11-24: 16 register-tile kernels
//! build in 4.6 s as 16 programs, in 0.45 s as one). In a bundle every unit is followed by an `#undef` of every macro
//! that it could have defined, and its names at file scope get a suffix of their own through macros, so that no unit
//! sees another. What this simple reading of the text misses ends as a compiler error (a name defined twice), never as
//! another meaning; the caller then builds the units one by one.
//!
//! Knows C only as far as lines go. Knows no OpenCL call.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::op::emit::Define;

/// One unit of a bundle.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The unit's text, prelude included.
    pub text: &'a str,
    /// Its build-time constants.
    pub defines: &'a [(&'static str, Define)],
    /// What its names at file scope end with.
    pub suffix: &'a str,
}

/// All parts as one text.
pub fn bundle(parts: &[Part<'_>]) -> String {
    let mut all = String::new();
    for part in parts {
        let suffix = part.suffix;
        let macros: BTreeSet<&str> = part.text.lines().filter_map(defined_macro).collect();
        let names: BTreeSet<&str> = part
            .text
            .lines()
            .filter_map(defined_name)
            .filter(|name| !macros.contains(name))
            .collect();
        // Writing to a string cannot fail.
        for (name, value) in part.defines {
            let _ = writeln!(all, "#define {name} {value}");
        }
        for name in &names {
            let _ = writeln!(all, "#define {name} {name}{suffix}");
        }
        let _ = writeln!(all, "{}", part.text);
        let given = part.defines.iter().map(|(name, _)| *name).collect();
        for name in macros.union(&given).chain(&names) {
            let _ = writeln!(all, "#undef {name}");
        }
    }
    all
}

/// The macro that a line defines.
fn defined_macro(line: &str) -> Option<&str> {
    let rest = line
        .trim_start()
        .strip_prefix('#')?
        .trim_start()
        .strip_prefix("define")?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|name| !name.is_empty())
}

/// The function or type that a line at file scope defines: the word before the first parenthesis, or the last word of a
/// `typedef`.
fn defined_name(line: &str) -> Option<&str> {
    if !line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return None;
    }
    let end = if line.starts_with("typedef ") {
        line.rfind(';')?
    } else {
        line.find('(')?
    };
    let before = line[..end].trim_end();
    let start = before.rfind(|c| !is_word(c)).map_or(0, |at| at + 1);
    // A word alone is a macro's use, one with two underscores the language's own (`__attribute__`).
    Some(&before[start..]).filter(|name| start > 0 && !name.is_empty() && !name.starts_with("__"))
}

/// Whether a character can be part of a name.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_what_they_define() {
        assert_eq!(defined_macro("#define A 1"), Some("A"));
        assert_eq!(
            defined_macro("  # define PLACE_IN(T) (T##_O)"),
            Some("PLACE_IN")
        );
        assert_eq!(defined_macro("#undef A"), None);
        assert_eq!(
            defined_name("inline uint philox_word(uint index, uint purpose)"),
            Some("philox_word")
        );
        assert_eq!(
            defined_name("__kernel void conv_forward("),
            Some("conv_forward")
        );
        assert_eq!(defined_name("typedef JOIN(REAL, VW) REALV;"), Some("REALV"));
        assert_eq!(defined_name("    call(x);"), None);
        assert_eq!(defined_name("DECLARE(x)"), None);
        assert_eq!(defined_name("// one (two)"), None);
    }

    #[test]
    fn units_do_not_see_each_other() {
        let text = "#define TWICE(x) ((x) + (x))\nstatic float f(float x)\n{\n    return TWICE(x) * A;\n}\n";
        let defines = [("A", Define::Whole(3))];
        let all = bundle(&[
            Part {
                text,
                defines: &defines,
                suffix: "_u0",
            },
            Part {
                text,
                defines: &[],
                suffix: "_u1",
            },
        ]);
        let expected = format!(
            "#define A 3\n#define f f_u0\n{text}\n#undef A\n#undef TWICE\n#undef f\n#define f f_u1\n{text}\n#undef TWICE\n#undef f\n"
        );
        assert_eq!(all, expected);
    }
}
