//! `netc fmt`: rewrites networks in canonical form, or shows what that would change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::text_diff::difference;
use super::{Exit, FINE, Failure, Output, PROBLEMS, files};
use crate::diagnostic::Diagnostics;
use crate::file;
use crate::format::format;
use crate::source::Source;

/// Arguments of `fmt`.
#[derive(Debug, Args)]
pub struct Fmt {
    /// Networks to rewrite; `-` reads standard input and prints
    #[arg(value_name = "FILE", required_unless_present = "expr")]
    files: Vec<PathBuf>,
    /// A network itself, which is printed: `--expr 'C48->P->N->F10'`
    #[arg(long, value_name = "NETWORK", allow_hyphen_values = true)]
    expr: Vec<String>,
    /// Write nothing; show what would change, and exit with 1 if anything would
    #[arg(long)]
    check: bool,
}

/// What became of one network.
enum Change {
    /// It was in canonical form already.
    None,
    /// It was rewritten or printed, or would be.
    Some,
}

impl Fmt {
    /// Runs it. Each network is done on its own, whatever is wrong with the others.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut exit = FINE;
        let files = self.files.iter().map(|file| {
            let target = Some(file.as_path()).filter(|file| *file != Path::new("-"));
            files::source(file).map(|source| (source, target))
        });
        let expressions = self
            .expr
            .iter()
            .map(|text| Ok((Source::new("<expr>", text.as_str()), None)));
        for network in files.chain(expressions) {
            let done = network
                .map_err(Diagnostics::from)
                .and_then(|(source, file)| self.one(&source, file, output));
            match done {
                Ok(Change::Some) if self.check => exit = PROBLEMS,
                Ok(_) => {}
                Err(found) => {
                    output.diagnostics(&found);
                    exit = PROBLEMS;
                }
            }
        }
        Ok(exit)
    }

    /// Formats one network: rewrites the file, or prints where there is none.
    fn one(
        &self,
        source: &Arc<Source>,
        file: Option<&Path>,
        output: &Output,
    ) -> Result<Change, Diagnostics> {
        let text = format(source)?;
        let same = text == source.text();
        match file {
            _ if self.check => {
                if !same {
                    let name = source.name();
                    let formatted = format!("{name} (formatted)");
                    let (old, new) = ((name, source.text()), (&*formatted, &*text));
                    output.print(&difference(old, new, output.colour));
                }
            }
            Some(path) if !same => file::rewrite(path, text.as_bytes())?,
            Some(_) => {}
            None => output.print(&text),
        }
        Ok(if same { Change::None } else { Change::Some })
    }
}
