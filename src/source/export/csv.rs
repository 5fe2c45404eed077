//! CSV exports: a row per item, the order's columns repeated.
//!
//! A reader of our own for rows, because a quote that is never closed must be known from a field that ends. The
//! file is read twice: first to see that it is whole, in which encoding it is, and which orders have rows that
//! do not stand together; only those are held in memory until their last row.

use super::bytes::{Charset, Fault, Input, UNDECODABLE, is_utf8, open};
use super::limits;
use super::tree::{Node, Tree};
use super::{Met, Raw, Records};
use crate::config;
use encoding_rs::Encoding;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::BufRead;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Reads orders of a CSV file.
pub struct Csv {
    rows: Rows,
    header: Vec<Arc<str>>,
    group: Option<usize>,
    /// A row that belongs to the next order.
    ahead: Option<Row>,
    /// Orders that come back later: how many of their blocks are still to come.
    scattered: HashMap<u64, u32>,
    held: HashMap<u64, Vec<Row>>,
    held_bytes: usize,
    ended: bool,
}

/// Looks at a header.
type Check<'a> = dyn Fn(&[Arc<str>]) -> Result<(), Fault> + 'a;

/// One row.
struct Row {
    tree: Arc<Tree>,
    bytes: usize,
    problem: Option<String>,
}

impl Csv {
    /// Opens a file: checks it is whole, finds encoding and separator, and lets `check` look at the header.
    pub fn open(
        file: &dyn Fn() -> Result<File, Fault>,
        charset: Option<&'static Encoding>,
        records: &config::Records,
        check: &Check<'_>,
    ) -> Result<Self, Fault> {
        let encoding = match charset {
            Some(encoding) => encoding,
            None if is_utf8(file()?)? => encoding_rs::UTF_8,
            None => encoding_rs::WINDOWS_1250,
        };
        let delimiter = match records.delimiter.as_deref() {
            None => None,
            Some("\\t" | "tab") => Some(b'\t'),
            Some(text) if text.len() == 1 => text.bytes().next(),
            Some(text) => {
                return Err(Fault::hinted(
                    format!("shop.source.records.delimiter is `{text}`"),
                    "write one character: \";\", \",\" or \"\\t\"",
                ));
            }
        };
        let start = || -> Result<(Rows, Vec<Arc<str>>), Fault> {
            let mut rows = Rows::new(open(file()?, Charset::Fixed(encoding))?, delimiter)?;
            if !rows.next()? {
                return Err(Fault::Torn("it is empty".into()));
            }
            let header: Vec<Arc<str>> = rows.fields().map(|name| name.trim().into()).collect();
            Ok((rows, header))
        };
        let (mut rows, header) = start()?;
        if header.len() > limits::COLUMNS {
            return Err(Fault::bad(format!(
                "it has more than {} columns",
                limits::COLUMNS
            )));
        }
        let group = match &records.group {
            None => None,
            Some(name) => Some(header.iter().position(|column| **column == **name).ok_or_else(|| {
                Fault::hinted(
                    format!(
                        "it has no column `{name}`, which shop.source.records.group names; its columns are {}",
                        listed(&header)
                    ),
                    "correct `group`, `delimiter` or the export's template",
                )
            })?),
        };
        check(&header)?;
        let mut scattered: HashMap<u64, u32> = HashMap::new();
        let (mut seen, mut current) = (HashSet::new(), None);
        while rows.next()? {
            if rows.ended && rows.ends.len() < header.len() {
                return Err(Fault::Torn("its last row breaks off".into()));
            }
            let Some(group) = group else { continue };
            let hash = xxh3_64(rows.field(group).trim().as_bytes());
            if current.replace(hash) != Some(hash) && !seen.insert(hash) {
                *scattered.entry(hash).or_insert(1) += 1;
            }
        }
        let (rows, header) = start()?;
        Ok(Self {
            rows,
            header,
            group,
            ahead: None,
            scattered,
            held: HashMap::new(),
            held_bytes: 0,
            ended: false,
        })
    }

    /// The next row as a tree.
    fn row(&mut self) -> Result<Option<Row>, Fault> {
        if !self.rows.next()? {
            return Ok(None);
        }
        let mut problem = self.rows.problem.take();
        let (found, wanted) = (self.rows.ends.len(), self.header.len());
        let surplus = (wanted..found).any(|place| !self.rows.field(place).trim().is_empty());
        if found < wanted || surplus {
            problem.get_or_insert_with(|| {
                format!("a row has {found} fields where the header has {wanted} columns")
            });
        }
        let mut fields = Vec::with_capacity(wanted);
        for (name, value) in self.header.iter().zip(self.rows.fields()) {
            let text: Arc<str> = if value.contains(UNDECODABLE) {
                problem.get_or_insert_with(|| {
                    format!("column `{name}` holds bytes that are not in the file's encoding (shop.source.records.encoding)")
                });
                value.replace(UNDECODABLE, "\u{FFFD}").into()
            } else {
                value.into()
            };
            fields.push((Arc::clone(name), Node::Text(text)));
        }
        Ok(Some(Row {
            tree: Arc::new(Tree {
                text: None,
                fields,
                exact: true,
            }),
            bytes: self.rows.data.len() + 64 * wanted,
            problem,
        }))
    }

    fn key(&self, row: &Row) -> Option<u64> {
        let text = match row.tree.fields.get(self.group?)? {
            (_, Node::Text(text)) => text.trim(),
            _ => "",
        };
        Some(xxh3_64(text.as_bytes()))
    }
}

impl Records for Csv {
    fn next(&mut self) -> Result<Option<Met>, Fault> {
        loop {
            let first = match self.ahead.take() {
                Some(row) => row,
                None => match self.row()? {
                    Some(row) => row,
                    None => {
                        self.ended = true;
                        return Ok(None);
                    }
                },
            };
            let Some(key) = self.key(&first) else {
                return Ok(Some(Met::Whole(order(vec![first]))));
            };
            let mut bytes = first.bytes;
            let mut block = vec![first];
            let mut problem = None;
            while let Some(row) = self.row()? {
                if self.key(&row) != Some(key) {
                    self.ahead = Some(row);
                    break;
                }
                bytes += row.bytes;
                if block.len() <= limits::ITEMS && bytes <= limits::ORDER {
                    block.push(row);
                } else {
                    problem.get_or_insert_with(|| {
                        format!(
                            "the order has more than {} items or {} MiB",
                            limits::ITEMS,
                            limits::ORDER >> 20
                        )
                    });
                }
            }
            if let Some(row) = block.first_mut()
                && row.problem.is_none()
            {
                row.problem = problem;
            }
            let Some(blocks) = self.scattered.get_mut(&key) else {
                return Ok(Some(Met::Whole(order(block))));
            };
            *blocks = blocks.saturating_sub(1);
            let last = *blocks == 0;
            let mut held = self.held.remove(&key).unwrap_or_default();
            held.append(&mut block);
            if last {
                self.held_bytes = self
                    .held_bytes
                    .saturating_sub(held.iter().map(|row| row.bytes).sum());
                return Ok(Some(Met::Whole(order(held))));
            }
            self.held_bytes += bytes;
            if self.held_bytes > limits::HELD {
                return Err(Fault::hinted(
                    "the rows of too many orders do not stand together",
                    "have the export sorted by its order number",
                ));
            }
            self.held.insert(key, held);
        }
    }

    fn proves_its_end(&self) -> bool {
        self.ended && self.rows.last == self.rows.newline
    }
}

fn order(mut rows: Vec<Row>) -> Raw {
    let problem = rows.iter_mut().find_map(|row| row.problem.take());
    let items: Vec<Arc<Tree>> = rows.into_iter().map(|row| row.tree).collect();
    let first = items.first().cloned().unwrap_or_default();
    Raw {
        items_stand_beside: true,
        ..Raw::new(first, items, problem)
    }
}

fn listed(header: &[Arc<str>]) -> String {
    let mut text: Vec<String> = header.iter().take(12).map(|name| format!("`{name}`")).collect();
    if header.len() > 12 {
        text.push("…".into());
    }
    text.join(", ")
}

/// Rows of fields.
struct Rows {
    input: Input,
    delimiter: u8,
    newline: u8,
    /// The fields of the present row, one after the other, and where each ends.
    data: String,
    ends: Vec<usize>,
    problem: Option<String>,
    /// The file's last byte so far.
    last: u8,
    /// The present row ended with the file, not with a line.
    ended: bool,
    field: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// After a quote inside a quoted field: its end, or a doubled one.
    Quote,
}

impl Rows {
    fn new(mut input: Input, delimiter: Option<u8>) -> Result<Self, Fault> {
        let newline = newline(input.fill_buf()?);
        let named = named(input.fill_buf()?, newline);
        if let Some((_, length)) = named {
            input.consume(length);
        }
        let delimiter = match (delimiter, named) {
            (Some(delimiter), _) | (None, Some((delimiter, _))) => delimiter,
            (None, None) => found(input.fill_buf()?),
        };
        Ok(Self {
            input,
            delimiter,
            newline,
            data: String::new(),
            ends: Vec::new(),
            problem: None,
            last: 0,
            ended: false,
            field: Vec::new(),
        })
    }

    fn field(&self, place: usize) -> &str {
        let start = match place {
            0 => 0,
            _ => self.ends.get(place - 1).copied().unwrap_or(self.data.len()),
        };
        let end = self.ends.get(place).copied().unwrap_or(start);
        &self.data[start..end]
    }

    fn fields(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|place| self.field(place))
    }

    fn finish(&mut self, was_quoted: bool) {
        if !was_quoted && self.field.ends_with(b"\r") {
            self.field.pop();
        }
        if self.field.len() > limits::FIELD {
            self.problem
                .get_or_insert_with(|| format!("a field is longer than {} MiB", limits::FIELD >> 20));
            self.field.clear();
        }
        self.data.push_str(&String::from_utf8_lossy(&self.field));
        self.field.clear();
        if self.ends.len() <= limits::COLUMNS {
            self.ends.push(self.data.len());
        }
    }

    /// Reads the next row that is not blank; false at the end.
    fn next(&mut self) -> Result<bool, Fault> {
        loop {
            self.data.clear();
            self.ends.clear();
            self.problem = None;
            if !self.line()? {
                return Ok(false);
            }
            if self.ends.len() > 1 || !self.data.trim().is_empty() {
                return Ok(true);
            }
            if self.ended {
                return Ok(false);
            }
        }
    }

    fn line(&mut self) -> Result<bool, Fault> {
        self.input.mark();
        self.field.clear();
        let mut at = At::Start;
        let mut any = false;
        loop {
            let bytes = self.input.fill_buf()?;
            if bytes.is_empty() {
                self.ended = true;
                if at == At::Quoted {
                    return Err(Fault::Torn("it ends inside of a quoted field".into()));
                }
                if !any {
                    return Ok(false);
                }
                self.finish(at == At::Quote);
                return Ok(true);
            }
            let mut used = 0;
            let mut stop = None;
            for &byte in bytes {
                used += 1;
                match at {
                    At::Quoted => {
                        if byte == b'"' {
                            at = At::Quote;
                        } else {
                            self.field.push(byte);
                        }
                        continue;
                    }
                    At::Quote if byte == b'"' => {
                        self.field.push(byte);
                        at = At::Quoted;
                        continue;
                    }
                    At::Start if byte == b'"' => {
                        at = At::Quoted;
                        continue;
                    }
                    _ => {}
                }
                if byte == self.delimiter || byte == self.newline {
                    stop = Some(byte);
                    break;
                }
                // a carriage return behind a closing quote belongs to the line's end
                if !(at == At::Quote && byte == b'\r') {
                    self.field.push(byte);
                }
                if at == At::Start {
                    at = At::Plain;
                }
            }
            any = true;
            self.last = bytes[used - 1];
            self.input.consume(used);
            if let Some(byte) = stop {
                self.finish(at == At::Quote);
                at = At::Start;
                if byte == self.newline {
                    return Ok(true);
                }
            }
        }
    }
}

/// What ends a line: a carriage return where there is nothing else (old programs).
fn newline(head: &[u8]) -> u8 {
    let mut quoted = false;
    let mut returns = 0;
    for &byte in head {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => return b'\n',
            b'\r' if !quoted => returns += 1,
            _ => {}
        }
    }
    if returns > 0 { b'\r' } else { b'\n' }
}

/// A first line `sep=;`, as Excel writes it: the separator, and how long the line is.
fn named(head: &[u8], newline: u8) -> Option<(u8, usize)> {
    let (word, rest) = head.split_at_checked(4)?;
    let (&separator, rest) = rest.split_first()?;
    let end = rest.iter().position(|byte| *byte == newline)?;
    (word.eq_ignore_ascii_case(b"sep=") && rest[..end].trim_ascii().is_empty())
        .then_some((separator, 5 + end + 1))
}

/// The separator that the header uses most.
fn found(head: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [0usize; 4];
    let separators = [b';', b',', b'\t', b'|'];
    for &byte in head {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            _ => {
                if let Some(place) = separators.iter().position(|s| *s == byte) {
                    counts[place] += 1;
                }
            }
        }
    }
    let best = counts.iter().copied().max().unwrap_or_default();
    let place = counts.iter().position(|count| *count == best).unwrap_or_default();
    separators[place]
}
