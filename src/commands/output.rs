//! What commands print: data to standard output, notes to standard error, JSON where it is asked for.

use crate::visible;
use std::io::{IsTerminal, Write};

/// Where a command's words go.
#[derive(Debug, Clone)]
pub(super) struct Output {
    /// JSON was asked for.
    pub json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// One line of data. A reader that went away (`| head`) is no failure.
    pub(super) fn line(&self, text: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{}", visible::paragraph(text));
    }

    /// Several lines of our own words.
    pub(super) fn text(&self, text: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{}", visible::lines(text));
    }

    /// A note beside the data.
    pub(super) fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{}", visible::paragraph(text));
    }

    /// Data as JSON.
    pub(super) fn json<T: serde::Serialize + ?Sized>(&self, value: &T) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.text(&text),
            Err(error) => self.note(&format!("error: {error}")),
        }
    }

    /// What a command did: a line for people, or the same as facts.
    pub(super) fn done(&self, text: &str, facts: &serde_json::Value) {
        match self.json {
            true => self.json(facts),
            false => self.text(text),
        }
    }

    /// A table: aligned on a terminal, tabs between the columns elsewhere.
    pub(super) fn table(&self, head: &[&str], mut rows: Vec<Vec<String>>) {
        for cell in rows.iter_mut().flatten() {
            *cell = visible::line(cell).into_owned();
        }
        if std::io::stdout().is_terminal() {
            let mut table = comfy_table::Table::new();
            table.load_style(comfy_table::presets::ASCII_HORIZONTAL_ONLY);
            table.set_header(head.to_vec());
            table.add_rows(rows);
            self.text(&table.to_string());
        } else {
            self.line(&head.join("\t"));
            for row in rows {
                self.line(&row.join("\t"));
            }
        }
    }
}
