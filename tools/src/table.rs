//! Lists: an aligned table for people, one JSON object per line for programs.

use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::exit::Output;

/// The widest a cell gets in a table; JSON has everything.
const CELL_CHARACTERS_MAX: usize = 80;

/// Rows under named columns.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Table {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: one value per column, in their order.
    pub(crate) fn row<const N: usize>(&mut self, values: [Value; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(values.into());
    }

    /// Writes the table as `output` wants it.
    pub(crate) fn write(&self, output: Output, out: &mut dyn Write) -> io::Result<()> {
        match output {
            Output::Text => self.write_text(out),
            Output::Json => self.write_json(out),
        }
    }

    /// Each row as a JSON object.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let object = |row: &Vec<Value>| {
            let names = self.columns.iter().map(|name| name.replace(' ', "_"));
            Value::Object(names.zip(row.iter().cloned()).collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }

    /// Writes the table as aligned text, numbers to the right.
    pub(crate) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let header: Vec<String> = self
            .columns
            .iter()
            .map(|name| name.to_uppercase())
            .collect();
        let cells: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(cell).collect())
            .collect();
        let width = |column: usize| {
            let all = std::iter::once(&header).chain(&cells);
            all.map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let right: Vec<bool> = (0..self.columns.len())
            .map(|column| self.is_numeric(column))
            .collect();
        for row in std::iter::once(&header).chain(&cells) {
            let mut line = String::new();
            for ((text, width), right) in row.iter().zip(&widths).zip(&right) {
                let padded = if *right {
                    format!("{text:>width$}")
                } else {
                    format!("{text:<width$}")
                };
                line.push_str(&padded);
                line.push_str("  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Writes each row as a JSON object on a line.
    pub(crate) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        self.objects()
            .iter()
            .try_for_each(|object| writeln!(out, "{object}"))
    }

    fn is_numeric(&self, column: usize) -> bool {
        let mut values = self.rows.iter().map(|row| &row[column]);
        values.all(|value| value.is_number() || value.is_null())
    }
}

/// A value on one line, without control characters that could move a terminal's cursor.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = plain.clone().take(CELL_CHARACTERS_MAX).collect();
    if plain.count() > CELL_CHARACTERS_MAX {
        short.pop();
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Table {
        let mut table = Table::new(&["position", "settled at", "error"]);
        table.row([json!(9), json!("now"), Value::Null]);
        table.row([json!(1000), json!("later"), json!("no\nroom \u{1b}[2J")]);
        table
    }

    fn written(write: impl Fn(&Table, &mut dyn Write) -> io::Result<()>, table: &Table) -> String {
        let mut out = Vec::new();
        write(table, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_aligned_and_cannot_move_the_cursor() {
        let text = written(Table::write_text, &sample());
        assert_eq!(
            text,
            "POSITION  SETTLED AT  ERROR\n       9  now\n    1000  later       no room  [2J\n"
        );
    }

    #[test]
    fn json_has_one_object_per_row_with_everything_in_it() {
        let text = written(Table::write_json, &sample());
        let rows: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            rows[0],
            json!({"position": 9, "settled_at": "now", "error": null})
        );
        assert_eq!(rows[1]["error"], "no\nroom \u{1b}[2J");
    }

    #[test]
    fn a_long_cell_is_cut_in_text_only() {
        let mut table = Table::new(&["error"]);
        table.row([json!("x".repeat(200))]);
        let text = written(Table::write_text, &table);
        assert_eq!(
            text.lines().nth(1).unwrap().chars().count(),
            CELL_CHARACTERS_MAX
        );
        assert!(written(Table::write_json, &table).contains(&"x".repeat(200)));
    }
}
