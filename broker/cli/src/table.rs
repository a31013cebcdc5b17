//! Aligned columns for people. It knows nothing of what the cells mean.

use std::io::{self, Write};

/// What stands between columns.
const GAP: &str = "  ";

/// Words are not shortened below so many letters.
const WORD_MIN: usize = 12;

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

    /// Whether there is no row.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the table, two spaces between columns, nothing behind the last. Where it is wider than
    /// `room` letters, words are shortened in their middle, never numbers.
    pub(crate) fn write(&self, room: Option<usize>, out: &mut impl Write) -> io::Result<()> {
        let columns = self.headings.iter().enumerate();
        let mut columns: Vec<Column> = columns.map(|(at, name)| self.column(at, name)).collect();
        if let Some(room) = room {
            fit(&mut columns, room);
        }
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

/// Takes letters from the widest columns of words until all have room, or none can give any more.
fn fit(columns: &mut [Column], room: usize) {
    let gaps = GAP.len() * columns.len().saturating_sub(1);
    loop {
        let wide: usize = columns.iter().map(|column| column.width).sum();
        let words = columns.iter_mut();
        let words = words.filter(|column| !column.right && column.width > WORD_MIN);
        match words.max_by_key(|column| column.width) {
            Some(widest) if wide + gaps > room => widest.width -= 1,
            _ => return,
        }
    }
}

/// A cell in at most so many letters: its beginning and its end.
fn cut(cell: &str, width: usize) -> String {
    let letters: Vec<char> = cell.chars().collect();
    if letters.len() <= width {
        return cell.to_owned();
    }
    let behind = width.saturating_sub(1) / 2;
    let before = width.saturating_sub(1) - behind;
    let end = letters.len() - behind;
    let (first, last) = (letters.get(..before), letters.get(end..));
    let text = |letters: Option<&[char]>| letters.into_iter().flatten().collect::<String>();
    format!("{}…{}", text(first), text(last))
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
        let cell = cut(cell, column.width);
        let gap = " ".repeat(column.width.saturating_sub(cell.chars().count()));
        let (before, behind) = if column.right {
            (gap.as_str(), "")
        } else {
            ("", gap.as_str())
        };
        line.push_str(before);
        line.push_str(&cell);
        line.push_str(behind);
        line.push_str(GAP);
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
        table.write(None, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "TOPIC   PARTITIONS  CODEC\norders          12  zstd\na                1\n"
        );
    }
    #[test]
    fn words_are_shortened_to_the_room_there_is() {
        let mut table = Table::new(&["GROUP", "LAG"]);
        table.row([
            "a-group-with-a-very-long-name-1".into(),
            "1234567890123".into(),
        ]);
        table.row(["größer-als-das-fenster-es-erlaubt".into(), "2".into()]);
        let text = |room| {
            let mut out = Vec::new();
            table.write(room, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let narrow = text(Some(30));
        assert_eq!(
            narrow,
            "GROUP                      LAG\na-group…-name-1  1234567890123\n\
             größer-…erlaubt              2\n"
        );
        let least = text(Some(3));
        assert!(least.contains("a-grou…ame-1  1234567890123\n"), "{least}");
        assert_eq!(text(Some(200)), text(None));
    }
}
