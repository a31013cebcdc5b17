//! Aligned columns for people. It knows nothing of what the cells mean.

use std::io::{self, Write};

/// Rows under headings; columns of numbers are flush right.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells stay empty, cells beyond the headings are left out.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().take(self.headings.len()).collect());
    }

    /// Writes the table, two spaces between columns, nothing behind the last.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let columns: Vec<Column> = self
            .headings
            .iter()
            .enumerate()
            .map(|(at, name)| self.column(at, name))
            .collect();
        write_row(out, &columns, self.headings.iter().copied())?;
        for row in &self.rows {
            write_row(out, &columns, row.iter().map(String::as_str))?;
        }
        Ok(())
    }

    fn column(&self, at: usize, heading: &str) -> Column {
        let cells = || {
            self.rows
                .iter()
                .filter_map(|row| row.get(at))
                .map(String::as_str)
        };
        let width = cells()
            .chain([heading])
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0);
        let number = |cell: &str| cell == "-" || is_number(cell);
        Column {
            width,
            right: !self.rows.is_empty() && cells().all(number),
        }
    }
}

/// Whether a cell is a number, perhaps with a unit behind it.
fn is_number(cell: &str) -> bool {
    let number = cell.split(' ').next().unwrap_or(cell);
    number.parse::<f64>().is_ok()
}

struct Column {
    width: usize,
    right: bool,
}

fn write_row<'a>(
    out: &mut impl Write,
    columns: &[Column],
    cells: impl Iterator<Item = &'a str>,
) -> io::Result<()> {
    let mut line = String::new();
    for (cell, column) in cells.zip(columns) {
        let gap = " ".repeat(column.width.saturating_sub(cell.chars().count()));
        let (before, behind) = if column.right {
            (gap.as_str(), "")
        } else {
            ("", gap.as_str())
        };
        line.push_str(before);
        line.push_str(cell);
        line.push_str(behind);
        line.push_str("  ");
    }
    writeln!(out, "{}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_words_left() {
        let mut table = Table::new(&["TOPIC", "PARTITIONS", "CODEC"]);
        table.row(["orders".into(), "12".into(), "zstd".into()]);
        table.row(["a".into(), "1".into(), String::new()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "TOPIC   PARTITIONS  CODEC\norders          12  zstd\na                1\n"
        );
    }
}
