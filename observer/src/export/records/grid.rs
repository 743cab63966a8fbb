//! Rows in columns that line up and fit the terminal.

use super::{shown, time};
use crate::audit::{Field, Record};
use crate::export::terminal_text;

/// Heads of the columns of [`record_row`].
pub const RECORD_COLUMNS: [&str; 10] = [
    "TIME", "TYPE", "SERVICE", "CLIENT", "CALLER", "METHOD", "WHAT", "ST", "MS", "AUTH",
];

/// The cells of a record.
pub fn record_row(record: &Record<'_>) -> Vec<String> {
    let field = |field| shown(record, field);
    let kind = field(Field::Type);
    let what = match kind.as_str() {
        "finding" => record.message().unwrap_or_default().to_owned(),
        "agent" => match record.loss() {
            Some((records, reason)) => format!("{} {records} {reason}", field(Field::Event)),
            None => field(Field::Event),
        },
        _ => field(Field::Path),
    };
    let ms = field(Field::Duration)
        .parse::<u64>()
        .map(|ns| format!("{:.1}", ns as f64 / 1e6))
        .unwrap_or_default();
    // Time of day and date without the year's first digits say enough on a screen.
    let clock = time(record).replacen('T', " ", 1);
    vec![
        clock.get(5..23).unwrap_or_default().to_owned(),
        kind,
        field(Field::Service),
        field(Field::Client),
        field(Field::Identity),
        field(Field::Method),
        what,
        field(Field::Status),
        ms,
        match field(Field::Auth) {
            none if none == "none" => String::new(),
            outcome => outcome,
        },
    ]
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// A table with these heads.
    pub fn new(heads: &[&str]) -> Self {
        Self {
            rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()],
        }
    }

    /// Appends a row.
    pub fn push(&mut self, row: Vec<String>) {
        let row = row.iter().map(|cell| terminal_text(cell)).collect();
        self.rows.push(row);
    }

    /// The table as text, at most `width` columns wide if that can be: the widest columns are cut,
    /// and what is cut ends in `…`. Columns without a value are left out.
    pub fn render(&self, width: Option<usize>) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let cell =
            |row: &Vec<String>, at: usize| row.get(at).map_or(0, |text| text.chars().count());
        let mut widths: Vec<usize> = (0..columns)
            .map(|at| {
                let filled = self.rows.iter().skip(1).any(|row| cell(row, at) > 0);
                let widest = self.rows.iter().map(|row| cell(row, at)).max();
                if filled { widest.unwrap_or(0) } else { 0 }
            })
            .collect();
        if let Some(width) = width {
            /// Nothing can be read in less.
            const LEAST: usize = 6;
            loop {
                let all: usize = widths.iter().filter(|w| **w > 0).map(|w| w + 2).sum();
                let Some(widest) = widths.iter_mut().max().filter(|w| **w > LEAST) else {
                    break;
                };
                if all <= width + 2 {
                    break;
                }
                *widest -= 1;
            }
        }
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (text, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
                let length = text.chars().count();
                if length > *width {
                    line.extend(text.chars().take(width.saturating_sub(1)));
                    line.push('…');
                } else {
                    line.push_str(text);
                    line.extend(std::iter::repeat_n(' ', width - length));
                }
                line.push_str("  ");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Grid;

    #[test]
    fn columns_line_up_fit_and_show_no_escape() {
        let mut grid = Grid::new(&["A", "EMPTY", "B"]);
        grid.push(vec!["x".into(), String::new(), "long ".repeat(30)]);
        grid.push(vec!["yyy".into(), String::new(), "\u{1b}[31m".into()]);
        let text = grid.render(Some(40));
        assert!(
            text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
        assert!(!text.contains('\u{1b}') && !text.contains("EMPTY"));
        assert!(text.starts_with("A    B\nx    long"), "{text}");
        assert!(text.contains('…'));
        assert!(grid.render(None).contains(&"long ".repeat(29)));
    }
}
