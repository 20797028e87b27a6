//! `netc schema`: the JSON schema of the configuration.

use clap::Args;

use super::{Exit, FINE, Output};
use crate::config::schema::schema;

/// Arguments of `schema`: none.
#[derive(Debug, Args)]
pub struct Schema {}

impl Schema {
    /// Runs it.
    #[expect(clippy::unused_self, reason = "commands are alike")]
    pub fn run(&self, output: &Output) -> Exit {
        output.json(&schema());
        FINE
    }
}
