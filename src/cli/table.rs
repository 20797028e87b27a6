//! Tables for people: columns as wide as they must be, numbers to the right.

use std::fmt::Write;

/// Where a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table in the making.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns
                .iter()
                .map(|(name, align)| ((*name).to_owned(), *align))
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(
            cells.len(),
            self.columns.len(),
            "internal error: a row of another width"
        );
        self.rows.push(cells);
    }

    /// The table as text, its header in bold where there is colour.
    pub fn render(&self, colour: bool) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|c| {
                self.rows
                    .iter()
                    .map(|row| row[c].chars().count())
                    .chain([self.columns[c].0.chars().count()])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &String>| {
            let mut text = String::new();
            for ((cell, width), (_, align)) in cells.zip(&widths).zip(&self.columns) {
                let gap = " ".repeat(width - cell.chars().count());
                let _ = match align {
                    Align::Left => write!(text, "{cell}{gap}  "),
                    Align::Right => write!(text, "{gap}{cell}  "),
                };
            }
            text.trim_end().to_owned()
        };
        let header = line(&mut self.columns.iter().map(|(name, _)| name));
        let mut text = if colour {
            format!("\x1b[1m{header}\x1b[0m\n")
        } else {
            format!("{header}\n")
        };
        for row in &self.rows {
            text.push_str(&line(&mut row.iter()));
            text.push('\n');
        }
        text
    }
}
