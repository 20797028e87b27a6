//! GitHub workflow commands: a line a diagnostic, which GitHub Actions turns into an annotation at its place.
//!
//! Owns: the commands' form and escaping (GitHub Docs, "Workflow commands for GitHub Actions"; the runner's
//! `ActionCommand` undoes the escaping). Columns are left out where a span ends on another line than it starts, since
//! GitHub refuses them there.

use std::fmt::Write as _;

use super::report::{Findings, words};
use crate::diagnostic::{Diagnostic, Severity};

/// A command for every diagnostic.
pub fn commands(findings: &[Findings<'_>]) -> String {
    let mut text = String::new();
    for findings in findings {
        for diagnostic in findings.found {
            command(&mut text, findings.file, diagnostic);
        }
    }
    text
}

fn command(out: &mut String, file: &str, diagnostic: &Diagnostic) {
    let command = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = match &diagnostic.primary {
        None => format!("file={}", property(file)),
        Some(place) => {
            let from = place.source.line_column(place.span.start);
            let to = place.source.line_column(place.span.end);
            let file = property(place.source.name());
            if from.line == to.line {
                format!(
                    "file={file},line={},col={},endLine={},endColumn={}",
                    from.line, from.column, to.line, to.column
                )
            } else {
                format!("file={file},line={},endLine={}", from.line, to.line)
            }
        }
    };
    writeln!(
        out,
        "::{command} {place},title={}::{}",
        diagnostic.code,
        data(&words(diagnostic))
    )
    .expect("internal error: writing to a string failed");
}

/// What stands after the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The value of a property, which `,` and `:` would end.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Code, Diagnostics};
    use crate::source::{Source, Span};

    fn shown(diagnostic: Diagnostic) -> String {
        let found = Diagnostics::from(diagnostic);
        commands(&[Findings {
            file: "given.net",
            found: &found,
        }])
    }

    #[test]
    fn commands_name_place_and_code() {
        let source = Source::new("nets/a.net", "é -> Q8\n-> F2\n");
        let fault = |span| Diagnostic::error(Code::E0201, "unknown kind").at(&source, span);
        assert_eq!(
            shown(fault(Span::new(6, 8)).note("a fact").help("write `C8`")),
            "::error file=nets/a.net,line=1,col=6,endLine=1,endColumn=8,title=E0201\
             ::unknown kind%0Anote: a fact%0Ahelp: write `C8`\n"
        );
        assert_eq!(
            shown(fault(Span::new(6, 14))),
            "::error file=nets/a.net,line=1,endLine=2,title=E0201::unknown kind\n"
        );
        assert_eq!(
            shown(Diagnostic::warning(Code::W0101, "unknown")),
            "::warning file=given.net,title=W0101::unknown\n"
        );
    }

    #[test]
    fn what_would_end_a_field_is_escaped() {
        let source = Source::new("a,b:c%.net", "C8");
        let fault =
            Diagnostic::error(Code::E0101, "100 %: a, b\r\n::x").at(&source, Span::new(0, 2));
        assert_eq!(
            shown(fault),
            "::error file=a%2Cb%3Ac%25.net,line=1,col=1,endLine=1,endColumn=3,title=E0101\
             ::100 %25: a, b%0D%0A::x\n"
        );
    }
}
