//! The rows that the tests of TLS libraries print, as a table.
//!
//! In: lines of the tests' standard error. Out: aligned columns.

/// What such a line begins with, somewhere: the test's name may stand before it.
const ROW: &str = "TLS ROW | ";
const HEAD: [&str; 5] = [
    "library",
    "server seen/served",
    "client seen/made",
    "bound to sockets",
    "probe places",
];

/// See the module.
#[derive(Default)]
pub struct TlsTable {
    rows: Vec<Vec<String>>,
}

impl TlsTable {
    /// Takes a line if it is a row.
    pub fn hear(&mut self, line: &str) {
        let Some((_, row)) = line.split_once(ROW) else {
            return;
        };
        let cells: Vec<String> = row
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect();
        if cells.len() == HEAD.len() {
            self.rows.push(cells);
        }
    }

    /// The table; empty if no row was heard.
    pub fn text(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut rows = self.rows.clone();
        rows.sort();
        rows.insert(0, HEAD.map(str::to_owned).to_vec());
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(String::len).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        let mut text = String::new();
        for row in &rows {
            let cells = row.iter().zip(&widths);
            let line: String = cells
                .map(|(cell, width)| format!("{cell:<width$}  "))
                .collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::TlsTable;

    #[test]
    fn rows_are_taken_from_among_other_lines_and_aligned() {
        let mut table = TlsTable::default();
        assert_eq!(table.text(), "");
        table.hear("running 3 tests");
        table.hear(
            "test gnutls ... TLS ROW | gnutls 3.7.9 | a 4/4 | b 4/4 | 8 nested | 7 emulated ",
        );
        table.hear("TLS ROW | cut short");
        let text = table.text();
        assert_eq!(text.lines().count(), 2, "{text}");
        let columns: Vec<Option<usize>> = text
            .lines()
            .map(|line| line.find("server").or_else(|| line.find("a 4/4")))
            .collect();
        assert_eq!(columns[0], columns[1]);
    }
}
