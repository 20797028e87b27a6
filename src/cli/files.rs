//! Networks and configurations from files, standard input and the command line.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::Failure;
use crate::config::Config;
use crate::diagnostic::nearest::nearest;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::file;
use crate::ir::{self, Graph};
use crate::op::Recipe;
use crate::op::shape::Shape;
use crate::source::Source;
use crate::syntax::{self, Tree};

/// Where one network comes from.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct NetworkFile {
    /// The network's file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The network itself: `--expr 'C48->P->N->F10'`
    #[arg(long, value_name = "NETWORK", allow_hyphen_values = true)]
    expr: Option<String>,
}

/// A [`NetworkFile`] that a command can do without.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub struct MaybeNetwork {
    /// The network's file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The network itself: `--expr 'C48->P->N->F10'`
    #[arg(long, value_name = "NETWORK", allow_hyphen_values = true)]
    expr: Option<String>,
}

impl MaybeNetwork {
    /// The network, where one is given.
    pub fn given(&self) -> Option<NetworkFile> {
        let Self { file, expr } = self.clone();
        (file.is_some() || expr.is_some()).then_some(NetworkFile { file, expr })
    }
}

/// A network without an input statement, where a command needs its shapes.
pub const NO_INPUT: &str = "the network does not say what its input is: write `input 1x28x28` (channels, height, width) first, or pass `--input 1x28x28`";

impl NetworkFile {
    /// The network of a file, or else of a text: one of them is there.
    pub fn of(file: Option<PathBuf>, expr: Option<String>) -> Self {
        Self { file, expr }
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The file of the same name with another ending, where there is one.
    pub fn beside(&self, ending: &str) -> Option<PathBuf> {
        let path = self.path().filter(|path| *path != Path::new("-"))?;
        Some(path.with_extension(ending)).filter(|path| path.is_file())
    }

    /// Reads it.
    pub fn read(&self) -> Result<Network, Diagnostic> {
        match (&self.file, &self.expr) {
            (_, Some(text)) => Ok(Network::of_text(text)),
            (Some(file), None) => Network::read(file),
            (None, None) => unreachable!("internal error: clap demands one of them"),
        }
    }
}

/// A network's text, parsed.
#[derive(Debug)]
pub struct Network {
    /// `small` of `nets/small.net`.
    pub name: String,
    /// What was parsed.
    pub tree: Tree,
    /// What was wrong with the text.
    pub faults: Diagnostics,
}

impl Network {
    /// The network of `--expr`.
    pub fn of_text(text: &str) -> Self {
        Self::parse("expr".into(), &Source::new("<expr>", text))
    }

    /// The network of a file, or of standard input.
    pub fn read(path: &Path) -> Result<Self, Diagnostic> {
        let name = match path.file_stem() {
            _ if path == Path::new("-") => "stdin".into(),
            Some(stem) => stem.to_string_lossy().into_owned(),
            None => "net".into(),
        };
        Ok(Self::parse(name, &source(path)?))
    }

    /// The network of a source.
    pub fn parse(name: String, source: &Arc<Source>) -> Self {
        let (tree, faults) = syntax::parse(source);
        Self { name, tree, faults }
    }

    /// The input's shape, also of a network with errors elsewhere.
    pub fn input(&self, recipe: &Recipe, otherwise: Option<Shape>) -> Option<Shape> {
        let Some(input) = &self.tree.input else {
            return otherwise;
        };
        // The statement alone, before a layer that every input fits.
        let span = input.span;
        let text = self.tree.source.text().get(span.start..span.end)?;
        let alone = Self::parse(self.name.clone(), &Source::new("", format!("{text}\nF1")));
        alone.graph(recipe, None).0?.input
    }

    /// The graph, where there is no error; and everything that is wrong, the text's faults included.
    pub fn graph(&self, recipe: &Recipe, input: Option<Shape>) -> (Option<Graph>, Diagnostics) {
        let options = ir::Options {
            name: self.name.clone(),
            input,
            recipe: *recipe,
        };
        let (graph, found) = ir::build(&self.tree, &options);
        let mut all = self.faults.clone();
        all.append(found);
        let all = all.sorted();
        (graph.filter(|_| !all.has_errors()), all)
    }
}

/// The text of a file, or of standard input for `-`.
///
/// # Errors
/// E0501, E0901 it cannot be read; E0106 it is no UTF-8.
pub fn source(path: &Path) -> Result<Arc<Source>, Diagnostic> {
    if path != Path::new("-") {
        return syntax::source_from_bytes(&path.display().to_string(), read(path)?);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(|e| {
        Diagnostic::error(Code::E0901, format!("standard input cannot be read: {e}"))
    })?;
    syntax::source_from_bytes("<stdin>", bytes)
}

/// A file's bytes; where there is no such file, with the one that is probably meant.
fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    file::read(path).map_err(|fault| match beside(path) {
        Some(meant) if fault.code == Code::E0501 => {
            fault.help(format!("did you mean `{}`?", meant.display()))
        }
        _ => fault,
    })
}

/// The file in the same folder whose name is nearest, the ending being the same.
fn beside(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new(name).extension() == path.extension())
        .collect();
    names.sort();
    let name = path.file_name()?.to_str()?;
    nearest(name, names.iter().map(String::as_str)).map(|meant| path.with_file_name(meant))
}

/// The configuration of an optional file and assignments.
pub fn config(path: Option<&Path>, sets: &[String]) -> Result<(Config, Diagnostics), Diagnostic> {
    let Some(path) = path else {
        return Ok(Config::load(None, Path::new("."), sets));
    };
    let source = syntax::source_from_bytes(&path.display().to_string(), read(path)?)?;
    let base = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    Ok(Config::load(Some(&source), base, sets))
}

/// The shape of `--input CxHxW`.
pub fn input(text: Option<&str>) -> Result<Option<Shape>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let usage = || {
        Failure::Usage(format!(
            "invalid value '{text}' for '--input <CxHxW>': channels, height and width are needed, such as 3x227x227"
        ))
    };
    let sizes: Vec<usize> = text
        .split('x')
        .map(|part| part.parse().ok().filter(|n| *n > 0))
        .collect::<Option<_>>()
        .ok_or_else(usage)?;
    let [channels, height, width] = sizes[..] else {
        return Err(usage());
    };
    let shape = Shape::image(channels, height, width);
    shape
        .checked_elements()
        .map(|_| Some(shape))
        .ok_or_else(usage)
}
