//! Plain aligned tables.

/// A table: a header, and rows of as many cells. Columns of numbers are set flush right.
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows.
    pub fn new(header: &[&'static str]) -> Self {
        Table {
            header: header.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Appends a row, which has a cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.header.len());
        self.rows.push(cells);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, every line ended.
    pub fn render(&self) -> String {
        let columns: Vec<Column> = (0..self.header.len())
            .map(|index| self.column(index))
            .collect();
        let header: Vec<String> = self.header.iter().map(|name| (*name).to_owned()).collect();
        std::iter::once(&header)
            .chain(&self.rows)
            .map(|cells| line(&columns, cells))
            .collect()
    }

    fn column(&self, index: usize) -> Column {
        let cells = || self.rows.iter().map(|row| row[index].as_str());
        let width = cells()
            .chain([self.header[index]])
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0);
        Column {
            width,
            right: cells().all(is_number),
        }
    }
}

struct Column {
    width: usize,
    right: bool,
}

fn line(columns: &[Column], cells: &[String]) -> String {
    let cell = |(column, cell): (&Column, &String)| {
        let width = column.width;
        if column.right {
            format!("{cell:>width$}")
        } else {
            format!("{cell:<width$}")
        }
    };
    let cells: Vec<String> = columns.iter().zip(cells).map(cell).collect();
    cells.join("  ").trim_end().to_owned() + "\n"
}

/// Digits, separators, a sign, or `-` for "not known".
fn is_number(cell: &str) -> bool {
    cell.chars()
        .all(|c| c.is_ascii_digit() || ",.-".contains(c))
        || cell == "NaN"
        || cell == "inf"
}

/// A count with its thousands set apart: `7,340,032`.
pub fn count(value: impl Into<u64>) -> String {
    let digits = value.into().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_right_words_left() {
        let mut table = Table::new(&["name", "bytes", "file"]);
        table.row(vec!["p1".into(), count(1_234_567u64), "a.ptx".into()]);
        table.row(vec!["longer".into(), count(12u64), "b.ptx".into()]);
        table.row(vec!["?".into(), "-".into(), String::new()]);
        let expected = "\
name        bytes  file
p1      1,234,567  a.ptx
longer         12  b.ptx
?               -
";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn thousands() {
        assert_eq!(
            [0u64, 7, 999, 1000, 1_000_000].map(count),
            ["0", "7", "999", "1,000", "1,000,000"]
        );
    }
}
