//! The two sides of a comparison, in the order of the command line: files, `-`, `--expr`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};

/// One side as it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A file; `-` is standard input.
    File(PathBuf),
    /// `--expr`.
    Expr(String),
}

/// All that was named.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    named: Vec<Named>,
}

impl Sides {
    /// The old and the new side, where these two are named.
    pub fn two(&self) -> Option<[Named; 2]> {
        let sides: [Named; 2] = self.named.clone().try_into().ok()?;
        let stdin = Named::File("-".into());
        (sides != [stdin.clone(), stdin]).then_some(sides)
    }

    /// The arguments, where all of them are files: as git calls.
    pub fn files(&self) -> Option<Vec<OsString>> {
        let file = |named: &Named| match named {
            Named::File(path) => Some(path.clone().into_os_string()),
            Named::Expr(_) => None,
        };
        self.named.iter().map(file).collect()
    }

    /// What is wrong where there are no two sides.
    pub fn wrong(&self) -> String {
        match self.named.len() {
            2 => "standard input cannot be both sides".into(),
            count => format!(
                "two networks are compared, and {count} {} named: `netc diff OLD NEW`, with `-` for standard input or `--expr` for a network itself",
                if count == 1 { "is" } else { "are" }
            ),
        }
    }
}

impl FromArgMatches for Sides {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut named = Vec::new();
        let indices = |id| matches.indices_of(id).into_iter().flatten();
        let files = matches.get_many::<PathBuf>("file").into_iter().flatten();
        named.extend(indices("file").zip(files.cloned().map(Named::File)));
        let networks = matches.get_many::<String>("expr").into_iter().flatten();
        named.extend(indices("expr").zip(networks.cloned().map(Named::Expr)));
        named.sort_by_key(|(index, _)| *index);
        Ok(Self {
            named: named.into_iter().map(|(_, named)| named).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Sides {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                Arg::new("file")
                    .value_name("OLD NEW")
                    .num_args(0..=9)
                    .value_parser(value_parser!(PathBuf))
                    .help("The old and the new network; `-` reads standard input. Also git's 7 or 9 arguments"),
            )
            .arg(
                Arg::new("expr")
                    .long("expr")
                    .value_name("NETWORK")
                    .action(ArgAction::Append)
                    .allow_hyphen_values(true)
                    .help("A network itself, in place of a file: `--expr 'C48->P->N->F10'`"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
