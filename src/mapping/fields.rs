//! Reads one row field by field, and collects what is wrong with it.
//!
//! Knows the columns' raw values and how a problem is told; what a field means is known by its neighbours.

use super::{Owner, Problem, decimal};
use crate::source::{Row, Value};
use rust_decimal::Decimal;

/// Longer text is no field of an order but an accident.
const TEXT_MAX: usize = 64 * 1024;
/// Of a value found, this much is told.
const FOUND_MAX: usize = 100;

/// Whether a value may be repeated in a log or in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privacy {
    /// It may hold personal data.
    Personal,
    /// It cannot.
    Open,
}

/// One row being read.
pub(crate) struct Fields<'a> {
    row: &'a Row,
    /// `items[0].`, or empty for the order itself.
    prefix: String,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(row: &'a Row, prefix: String, problems: &'a mut Vec<Problem>) -> Self {
        Self {
            row,
            prefix,
            problems,
        }
    }

    /// The raw value, where there is one that is not empty.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a Value> {
        self.row.get(name).filter(|value| !value.is_empty())
    }

    /// Tells a problem of this row, whose mending is the shop's.
    pub(crate) fn problem(&mut self, name: &str, found: Option<&str>, rule: &str, hint: &str) {
        self.problem_of(Owner::Shop, name, found, rule, hint);
    }

    /// Tells a problem of this row.
    pub(crate) fn problem_of(
        &mut self,
        owner: Owner,
        name: &str,
        found: Option<&str>,
        rule: &str,
        hint: &str,
    ) {
        self.problems.push(Problem {
            field: format!("{}{name}", self.prefix),
            found: found.map(shortened),
            rule: rule.to_owned(),
            hint: hint.to_owned(),
            owner,
        });
    }

    /// One line of text: trimmed, control characters gone; `None` where nothing is left.
    pub(crate) fn line(&mut self, name: &str, privacy: Privacy) -> Option<String> {
        self.text(name, privacy, line)
    }

    /// Text of several lines.
    pub(crate) fn lines(&mut self, name: &str, privacy: Privacy) -> Option<String> {
        self.text(name, privacy, lines)
    }

    fn text(&mut self, name: &str, privacy: Privacy, clean: fn(&str) -> String) -> Option<String> {
        let raw = self.raw(name)?;
        let text = match raw {
            Value::Text(text) | Value::Number(text) => clean(text),
            other => other.to_text(),
        };
        if text.len() > TEXT_MAX {
            let found = (privacy == Privacy::Open).then_some(text.as_str());
            self.problem(
                name,
                found,
                "is longer than 64 KiB",
                "shorten it in the shop, or cut it in the query",
            );
            return None;
        }
        Some(text).filter(|text| !text.is_empty())
    }

    /// A decimal number.
    pub(crate) fn decimal(&mut self, name: &str, hint: &str) -> Option<Decimal> {
        let raw = self.row.get(name)?;
        decimal::parse(raw).unwrap_or_else(|_| {
            self.problem(name, Some(&raw.to_text()), "is not a decimal number", hint);
            None
        })
    }

    /// A decimal number brought into its final form; beyond any order it is a problem.
    pub(crate) fn rounded(
        &mut self,
        name: &str,
        hint: &str,
        round: fn(Decimal) -> Option<Decimal>,
    ) -> Option<Decimal> {
        let number = self.decimal(name, hint)?;
        let rounded = round(number);
        if rounded.is_none() {
            self.problem(name, Some(&number.to_string()), "is too large", hint);
        }
        rounded
    }

    /// A whole number.
    pub(crate) fn whole(&mut self, name: &str, hint: &str) -> Option<i64> {
        let raw = self.raw(name)?;
        let number = match raw {
            Value::Int(number) => Some(*number),
            Value::Text(_) | Value::Number(_) => decimal::parse(raw)
                .ok()
                .flatten()
                .filter(Decimal::is_integer)
                .and_then(|number| i64::try_from(number).ok()),
            _ => None,
        };
        if number.is_none() {
            self.problem(name, Some(&raw.to_text()), "is not a whole number", hint);
        }
        number
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        let raw = self.raw(name)?;
        let flag = match raw {
            Value::Bool(flag) => Some(*flag),
            other => match other.to_text().trim().to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "on" | "ano" => Some(true),
                "false" | "f" | "no" | "n" | "off" | "ne" => Some(false),
                _ => match decimal::parse(other) {
                    Ok(Some(number)) if number.is_zero() => Some(false),
                    Ok(Some(number)) if number == Decimal::ONE => Some(true),
                    _ => None,
                },
            },
        };
        if flag.is_none() {
            self.problem(
                name,
                Some(&raw.to_text()),
                "is neither true nor false",
                "give 1 or 0",
            );
        }
        flag
    }

    /// JSON text; `null` is nothing.
    pub(crate) fn json(&mut self, name: &str) -> Option<serde_json::Value> {
        let raw = self.raw(name)?;
        match serde_json::from_str(&raw.to_text()) {
            Ok(serde_json::Value::Null) => None,
            Ok(value) => Some(value),
            Err(_) => {
                self.problem(
                    name,
                    None,
                    "is not JSON",
                    "give a JSON text as the contract of Brani writes it, or NULL",
                );
                None
            }
        }
    }
}

/// The start of a value, for a message: on one line and not endless.
pub(crate) fn shortened(found: &str) -> String {
    let clean = line(found);
    match clean.char_indices().nth(FOUND_MAX) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

/// One line: line ends and tabs are spaces, other control characters are gone.
pub(crate) fn line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.trim().to_owned();
    }
    let spaced = text.replace("\r\n", " ");
    let kept = spaced.chars().filter_map(|c| match c {
        '\n' | '\r' | '\t' => Some(' '),
        c if c.is_control() => None,
        c => Some(c),
    });
    kept.collect::<String>().trim().to_owned()
}

/// Several lines: line ends are `\n`, tabs stay, other control characters are gone.
pub(crate) fn lines(text: &str) -> String {
    if !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
        return text.trim().to_owned();
    }
    let ended = text.replace("\r\n", "\n");
    let kept = ended.chars().filter_map(|c| match c {
        '\r' => Some('\n'),
        c if c.is_control() && c != '\n' && c != '\t' => None,
        c => Some(c),
    });
    kept.collect::<String>().trim().to_owned()
}
