//! Where a key stands: the layers of a configuration (files, environment), paths into them, and lines.

use super::problem::{Problem, Snippet};
use super::schema::Node;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use toml_edit::{Document, Item};

/// One step into a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The way to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(pub Vec<Step>);

impl KeyPath {
    pub fn key(&self, name: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(name.to_owned()));
        Self(steps)
    }

    pub fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    pub fn parent(&self) -> Option<(Self, &Step)> {
        let (last, rest) = self.0.split_last()?;
        Some((Self(rest.to_vec()), last))
    }

    /// Reads back what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('"') {
                let end = after.find('"').unwrap_or(after.len());
                steps.push(Step::Key(after[..end].to_owned()));
                rest = after.get(end + 1..).unwrap_or("");
            } else if let Some(after) = rest.strip_prefix('[') {
                let end = after.find(']').unwrap_or(after.len());
                steps.push(Step::Index(after[..end].parse().unwrap_or(0)));
                rest = after.get(end + 1..).unwrap_or("");
            } else if let Some(after) = rest.strip_prefix('.') {
                rest = after;
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                steps.push(Step::Key(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
        Self(steps)
    }

    pub fn node<'a>(&self, schema: &'a Node) -> Option<&'a Node> {
        self.0.iter().try_fold(schema, |node, step| match (node, step) {
            (Node::Seq(inner), Step::Index(_)) => Some(inner.as_ref()),
            (Node::Seq(_), Step::Key(_)) | (_, Step::Index(_)) => None,
            (node, Step::Key(key)) => node.child(key),
        })
    }

    pub fn get<'a>(&self, value: &'a serde_json::Value) -> Option<&'a serde_json::Value> {
        self.0.iter().try_fold(value, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }

    pub fn get_mut<'a>(&self, value: &'a mut serde_json::Value) -> Option<&'a mut serde_json::Value> {
        self.0.iter().try_fold(value, |value, step| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(index) => value.get_mut(index),
        })
    }
}

impl From<&serde_path_to_error::Path> for KeyPath {
    fn from(path: &serde_path_to_error::Path) -> Self {
        use serde_path_to_error::Segment;
        Self(
            path.iter()
                .filter_map(|segment| match segment {
                    Segment::Seq { index } => Some(Step::Index(*index)),
                    Segment::Map { key } => Some(Step::Key(key.clone())),
                    Segment::Enum { .. } | Segment::Unknown => None,
                })
                .collect(),
        )
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) => {
                    if place > 0 {
                        f.write_str(".")?;
                    }
                    let bare = !key.is_empty()
                        && key
                            .chars()
                            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
                    if bare {
                        f.write_str(key)?
                    } else {
                        write!(f, "\"{key}\"")?
                    }
                }
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// One file of the configuration.
pub(crate) struct FileLayer {
    pub path: PathBuf,
    pub text: String,
    pub document: Document<String>,
    /// The text with stars in place of secrets, byte for byte as long.
    pub masked: Arc<str>,
    pub table: toml::Table,
}

impl FileLayer {
    /// The span of the deepest step of the way that stands in this file, and how many steps do.
    pub fn find(&self, path: &KeyPath) -> (Option<Range<usize>>, usize) {
        let mut place = Place::Table(self.document.as_table());
        let mut span = None;
        for (depth, step) in path.0.iter().enumerate() {
            let Some(next) = place.step(step) else {
                return (span, depth);
            };
            let key = match step {
                Step::Key(name) => place.key_span(name),
                Step::Index(_) => None,
            };
            span = match next {
                Place::Value(_) => next.span().or(key),
                _ => key.or_else(|| next.span()),
            }
            .or(span);
            place = next;
        }
        (span, path.0.len())
    }

    /// The span of the key itself.
    pub fn key_span(&self, path: &KeyPath) -> Option<Range<usize>> {
        let (parent, last) = path.parent()?;
        let Step::Key(name) = last else { return None };
        let mut place = Place::Table(self.document.as_table());
        for step in &parent.0 {
            place = place.step(step)?;
        }
        place.key_span(name)
    }

    /// Puts a problem into this file.
    pub fn place(&self, problem: &mut Problem, span: Option<Range<usize>>) {
        problem.file = Some(self.path.clone());
        problem.line = span.as_ref().map(|span| line_of(&self.text, span.start));
        problem.snippet = span.map(|span| Snippet {
            name: self.path.display().to_string(),
            text: Arc::clone(&self.masked),
            span: first_line(&self.text, span),
        });
    }
}

/// The line of a byte, from 1.
pub(crate) fn line_of(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
        + 1
}

/// A pointer at one line is enough, also for a query of forty.
pub(crate) fn first_line(text: &str, span: Range<usize>) -> Range<usize> {
    let start = span.start.min(text.len());
    let end = span.end.clamp(start, text.len());
    let short = text.as_bytes()[start..end]
        .iter()
        .position(|b| matches!(b, b'\n' | b'\r'));
    start..short.map_or(end, |length| start + length)
}

/// Replaces spans by as many stars.
pub(crate) fn mask(text: &str, spans: &[Range<usize>]) -> Arc<str> {
    let mut bytes = text.as_bytes().to_vec();
    for span in spans {
        let end = span.end.min(bytes.len());
        for byte in &mut bytes[span.start.min(end)..end] {
            if !matches!(*byte, b'\n' | b'\r') {
                *byte = b'*';
            }
        }
    }
    String::from_utf8_lossy(&bytes).into()
}

/// Anything of a document that can have something below it.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Table(&'a toml_edit::Table),
    Tables(&'a toml_edit::ArrayOfTables),
    Value(&'a toml_edit::Value),
}

impl<'a> Place<'a> {
    pub fn of(item: &'a Item) -> Option<Self> {
        match item {
            Item::None => None,
            Item::Value(value) => Some(Place::Value(value)),
            Item::Table(table) => Some(Place::Table(table)),
            Item::ArrayOfTables(tables) => Some(Place::Tables(tables)),
        }
    }

    pub fn step(self, step: &Step) -> Option<Place<'a>> {
        match (self, step) {
            (Place::Table(table), Step::Key(key)) => table.get(key).and_then(Place::of),
            (Place::Tables(tables), Step::Index(index)) => tables.get(*index).map(Place::Table),
            (Place::Value(toml_edit::Value::Array(array)), Step::Index(index)) => {
                array.get(*index).map(Place::Value)
            }
            (Place::Value(toml_edit::Value::InlineTable(table)), Step::Key(key)) => {
                table.get(key).map(Place::Value)
            }
            _ => None,
        }
    }

    pub fn key_span(self, name: &str) -> Option<Range<usize>> {
        match self {
            Place::Table(table) => table.key(name)?.span(),
            Place::Value(toml_edit::Value::InlineTable(table)) => table.key(name)?.span(),
            _ => None,
        }
    }

    pub fn span(self) -> Option<Range<usize>> {
        match self {
            Place::Table(table) => table.span(),
            Place::Tables(tables) => tables.span().or_else(|| tables.get(0)?.span()),
            Place::Value(value) => value.span(),
        }
    }
}
