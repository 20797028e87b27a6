//! `netc devices`: what can compute here.

use clap::Args;
use serde::Serialize;

use super::table::{Align, Table};
use super::{Exit, FINE, Failure, Output, bytes};
use crate::device;
use crate::run::tuned::Kept;

/// Arguments of `devices`.
#[derive(Debug, Args)]
pub struct Devices {
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// `devices --json`.
#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    devices: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    device: String,
    kind: &'static str,
    platform: String,
    name: String,
    driver: String,
    cores: usize,
    memory_bytes: Option<u64>,
    double: bool,
    /// Whether `tune` has kept numbers for it.
    tuned: bool,
}

impl Devices {
    /// Runs it.
    pub fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let rows: Vec<Row> = device::list()
            .into_iter()
            .map(|(description, limits)| Row {
                tuned: Kept::of_user(&description).is_there(),
                device: description.selector,
                kind: description.kind,
                platform: description.platform,
                name: description.name,
                driver: description.driver,
                cores: limits.cores,
                memory_bytes: (limits.memory_bytes != u64::MAX).then_some(limits.memory_bytes),
                double: limits.double,
            })
            .collect();
        if self.json {
            let report = Report {
                version: 1,
                devices: rows,
            };
            output.print(
                &(serde_json::to_string_pretty(&report).expect("internal error: a report is data")
                    + "\n"),
            );
            return Ok(FINE);
        }
        let left = |name| (name, Align::Left);
        let mut table = Table::new(&[
            left("device"),
            left("kind"),
            left("name"),
            left("platform"),
            left("driver"),
            ("units", Align::Right),
            ("memory", Align::Right),
            left("f64"),
            left("tuned"),
        ]);
        for row in rows {
            let memory = row.memory_bytes.map_or_else(String::new, bytes);
            table.row(vec![
                row.device,
                row.kind.into(),
                row.name,
                row.platform,
                row.driver,
                row.cores.to_string(),
                memory,
                if row.double { "yes" } else { "no" }.into(),
                if row.tuned { "yes" } else { "no" }.into(),
            ]);
        }
        output.print(&table.render(output.colour));
        Ok(FINE)
    }
}
