//! Tables for people: columns as wide as they must be, numbers to the right.

use std::fmt::{Display, Write};

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
    columns: Vec<Align>,
    /// All cells one after the other, the header's first.
    text: String,
    /// Where each cell ends.
    ends: Vec<usize>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let mut table = Self {
            columns: columns.iter().map(|(_, align)| *align).collect(),
            text: String::new(),
            ends: Vec::new(),
        };
        table.row(columns.iter().map(|(name, _)| *name));
        table
    }

    /// Adds a row; cells that it lacks at its end are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Display>) {
        debug_assert!(
            self.ends.len().is_multiple_of(self.columns.len()),
            "internal error: the row before has another width"
        );
        for cell in cells {
            let _ = write!(self.text, "{cell}");
            self.ends.push(self.text.len());
        }
        let width = self.ends.len().next_multiple_of(self.columns.len());
        self.ends.resize(width, self.text.len());
    }

    /// The table as text, its header in bold where there is colour.
    pub fn render(&self, colour: bool) -> String {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let cells: Vec<&str> = starts
            .zip(&self.ends)
            .map(|(start, end)| &self.text[start..*end])
            .collect();
        let rows = || cells.chunks(self.columns.len());
        let characters = |cell: &str| cell.chars().count();
        let width = |column: usize| rows().map(|row| characters(row[column])).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::with_capacity(rows().len() * (widths.iter().sum::<usize>() + 9));
        for (index, row) in rows().enumerate() {
            let bold = colour && index == 0;
            text.push_str(if bold { "\x1b[1m" } else { "" });
            let start = text.len();
            for ((cell, width), align) in row.iter().zip(&widths).zip(&self.columns) {
                let gap = std::iter::repeat_n(' ', width - characters(cell));
                match align {
                    Align::Left => {
                        text.push_str(cell);
                        text.extend(gap);
                    }
                    Align::Right => {
                        text.extend(gap);
                        text.push_str(cell);
                    }
                }
                text.push_str("  ");
            }
            text.truncate(text.trim_end().len().max(start));
            text.push_str(if bold { "\x1b[0m\n" } else { "\n" });
        }
        text
    }
}
