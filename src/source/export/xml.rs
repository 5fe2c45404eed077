//! XML exports, one order at a time.
//!
//! Read as events, so that memory holds one order whatever the size of the file. A document type is refused and
//! no entity is expanded beyond the five of XML and numbers, so nothing in a file can grow.

use super::bytes::{Fault, Input, UNDECODABLE};
use super::limits;
use super::tree::{Node, Tree, find};
use super::{Raw, Records};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::collections::HashSet;
use std::sync::Arc;

/// Reads the records at a path.
pub struct Xml {
    reader: Reader<Input>,
    buffer: Vec<u8>,
    path: Vec<String>,
    items: Vec<String>,
    names: HashSet<Arc<str>>,
    /// Open elements outside of records.
    level: usize,
    /// How many of them, from the root, are the path's.
    matched: usize,
    root: Root,
}

#[derive(Clone, Copy, PartialEq)]
enum Root {
    Awaited,
    Open,
    Closed,
    /// No root: records one after the other.
    Fragment,
}

/// An element that is not closed yet.
struct Open {
    name: Arc<str>,
    text: String,
    fields: Vec<(Arc<str>, Node)>,
}

/// What is wrong with a record, and how large it has become.
#[derive(Default)]
struct Watch {
    bytes: usize,
    nodes: usize,
    problem: Option<String>,
}

impl Watch {
    fn blame(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    /// Whether another so many bytes may be kept.
    fn room(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.nodes += 1;
        if self.bytes > limits::ORDER {
            self.blame(format!("the order is larger than {} MiB", limits::ORDER >> 20));
        } else if self.nodes > limits::NODES {
            self.blame(format!("the order has more than {} elements", limits::NODES));
        }
        self.bytes <= limits::ORDER && self.nodes <= limits::NODES
    }
}

impl Xml {
    /// Reads records at `path` (`ORDERS/ORDER`), each with its items at `items` below it.
    pub fn new(input: Input, path: Vec<String>, items: Vec<String>) -> Self {
        let mut reader = Reader::from_reader(input);
        let config = reader.config_mut();
        // a bare `&` in one customer's remark must not hold up everybody's orders
        config.allow_dangling_amp = true;
        config.check_end_names = true;
        Self {
            reader,
            buffer: Vec::new(),
            path,
            items,
            names: HashSet::new(),
            level: 0,
            matched: 0,
            root: Root::Awaited,
        }
    }

    /// Decides what an element outside of records is; true where a record begins.
    fn enter(&mut self, name: &str) -> Result<bool, Fault> {
        if self.level == 0 {
            match self.root {
                Root::Closed => return Err(Fault::bad("a second root element follows the first")),
                Root::Awaited if self.path.len() == 1 => self.root = Root::Fragment,
                Root::Awaited if name.eq_ignore_ascii_case(&self.path[0]) => self.root = Root::Open,
                Root::Awaited if self.path.last().is_some_and(|p| p.eq_ignore_ascii_case(name)) => {
                    self.path.drain(..self.path.len() - 1);
                    self.root = Root::Fragment;
                }
                Root::Awaited => {
                    return Err(Fault::hinted(
                        format!("its root element is `{name}`, not `{}`", self.path[0]),
                        format!(
                            "set shop.source.records.order to the path of one order (it is `{}`), or look at what \
                             the shop answered in place of an export",
                            self.path.join("/")
                        ),
                    ));
                }
                _ => {}
            }
        }
        let on_path = self.matched == self.level
            && self
                .path
                .get(self.level)
                .is_some_and(|p| p.eq_ignore_ascii_case(name));
        if on_path && self.level + 1 == self.path.len() {
            return Ok(true);
        }
        self.level += 1;
        if on_path {
            self.matched += 1;
        }
        if self.level > limits::DEPTH {
            return Err(too_deep());
        }
        Ok(false)
    }

    fn leave(&mut self) {
        self.level = self.level.saturating_sub(1);
        self.matched = self.matched.min(self.level);
        if self.level == 0 && self.root == Root::Open {
            self.root = Root::Closed;
        }
    }

    fn interned(names: &mut HashSet<Arc<str>>, name: &str) -> Arc<str> {
        if let Some(known) = names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        if names.len() < limits::NAMES {
            names.insert(Arc::clone(&name));
        }
        name
    }

    fn open(names: &mut HashSet<Arc<str>>, start: &BytesStart<'_>, watch: &mut Watch) -> Open {
        let name = Self::interned(names, start.local_name().into_inner());
        let mut open = Open {
            name,
            text: String::new(),
            fields: Vec::new(),
        };
        if !watch.room(start.len()) || start.attributes_raw().trim().is_empty() {
            return open;
        }
        for attribute in start.attributes() {
            let Ok(attribute) = attribute else {
                watch.blame(format!("an attribute of `{}` is not well formed", open.name));
                break;
            };
            let key = attribute.key.into_inner();
            let raw: &str = &attribute.value;
            let value = quick_xml::escape::unescape(raw).unwrap_or_else(|_| {
                watch.blame(format!(
                    "attribute `{key}` of `{}` holds an unknown entity",
                    open.name
                ));
                raw.into()
            });
            if let Some(text) = clean(&value, &open.name, watch) {
                let key = Self::interned(names, &format!("@{key}"));
                open.fields.push((key, Node::Text(text)));
            }
        }
        open
    }

    /// Reads a record whose start tag has been read, up to its end tag.
    fn record(&mut self, first: Open, mut watch: Watch) -> Result<Raw, Fault> {
        let mut stack = vec![first];
        loop {
            self.buffer.clear();
            self.reader.get_mut().mark();
            let event = match self.reader.read_event_into(&mut self.buffer) {
                Ok(event) => event,
                Err(error) => return Err(fault(error, self.reader.get_ref().at_end(), self.level)),
            };
            let Some(top) = stack.last_mut() else {
                return Err(Fault::bad("an element is closed that was not open"));
            };
            match event {
                Event::Start(start) => {
                    if self.level + stack.len() >= limits::DEPTH {
                        return Err(too_deep());
                    }
                    stack.push(Self::open(&mut self.names, &start, &mut watch));
                }
                Event::Empty(start) => {
                    let open = Self::open(&mut self.names, &start, &mut watch);
                    close(open, &mut top.fields, &mut watch);
                }
                Event::End(_) => {
                    let Some(open) = stack.pop() else { continue };
                    if let Some(parent) = stack.last_mut() {
                        close(open, &mut parent.fields, &mut watch);
                        continue;
                    }
                    return Ok(finish(open, &self.items, watch));
                }
                Event::Text(text) => {
                    let text = text.xml10_content();
                    push(top, &text, &mut watch);
                }
                Event::CData(text) => {
                    let text = text.xml10_content();
                    push(top, &text, &mut watch);
                }
                Event::GeneralRef(entity) => match reference(&entity) {
                    Some(c) => push(top, c.encode_utf8(&mut [0; 4]), &mut watch),
                    None => watch.blame(format!("`{}` holds an entity that XML does not know", top.name)),
                },
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) => {}
                Event::DocType(_) => return Err(doctype()),
                Event::Eof => return Err(torn()),
            }
        }
    }
}

impl Records for Xml {
    fn next(&mut self) -> Result<Option<Raw>, Fault> {
        loop {
            self.buffer.clear();
            self.reader.get_mut().mark();
            let event = match self.reader.read_event_into(&mut self.buffer) {
                Ok(event) => event,
                Err(error) => return Err(fault(error, self.reader.get_ref().at_end(), self.level)),
            };
            match event {
                Event::Start(start) => {
                    let start = start.into_owned();
                    if self.enter(start.local_name().into_inner())? {
                        let mut watch = Watch::default();
                        let open = Self::open(&mut self.names, &start, &mut watch);
                        return self.record(open, watch).map(Some);
                    }
                }
                Event::Empty(start) => {
                    let start = start.into_owned();
                    if self.enter(start.local_name().into_inner())? {
                        let mut watch = Watch::default();
                        let open = Self::open(&mut self.names, &start, &mut watch);
                        return Ok(Some(finish(open, &self.items, watch)));
                    }
                    self.leave();
                }
                Event::End(_) => self.leave(),
                Event::DocType(_) => return Err(doctype()),
                Event::Text(text) => {
                    let outside = self.level == 0 && !text.xml10_content().trim().is_empty();
                    if outside {
                        return Err(if self.reader.get_ref().at_end() {
                            torn()
                        } else {
                            Fault::bad("text stands outside of its elements; this is no XML export")
                        });
                    }
                }
                Event::Eof => {
                    return match self.root {
                        Root::Awaited | Root::Open => Err(torn()),
                        Root::Fragment if self.level > 0 => Err(torn()),
                        Root::Closed | Root::Fragment => Ok(None),
                    };
                }
                _ => {}
            }
        }
    }

    fn proves_its_end(&self) -> bool {
        self.root == Root::Closed
    }
}

/// A general reference: the five of XML, or a number.
fn reference(entity: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if entity.is_char_ref() {
        return entity.resolve_char_ref().ok().flatten();
    }
    match &**entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

fn push(open: &mut Open, text: &str, watch: &mut Watch) {
    if open.text.len() + text.len() > limits::FIELD {
        watch.blame(format!(
            "`{}` is longer than {} MiB",
            open.name,
            limits::FIELD >> 20
        ));
    } else if watch.room(text.len()) {
        open.text.push_str(text);
    }
}

/// Text without the stand-ins of what could not be decoded.
fn clean(text: &str, name: &str, watch: &mut Watch) -> Option<Arc<str>> {
    if !watch.room(0) {
        return None;
    }
    Some(if text.contains(UNDECODABLE) {
        watch.blame(format!(
            "`{name}` holds bytes that are not in the file's encoding"
        ));
        text.replace(UNDECODABLE, "\u{FFFD}").into()
    } else {
        text.into()
    })
}

fn close(open: Open, fields: &mut Vec<(Arc<str>, Node)>, watch: &mut Watch) {
    let node = if open.fields.is_empty() {
        match clean(&open.text, &open.name, watch) {
            Some(text) => Node::Text(text),
            None => return,
        }
    } else {
        let text = clean(open.text.trim(), &open.name, watch).filter(|text| !text.is_empty());
        Node::Tree(Arc::new(Tree {
            text,
            fields: open.fields,
            exact: false,
        }))
    };
    fields.push((open.name, node));
}

fn finish(open: Open, path: &[String], mut watch: Watch) -> Raw {
    let tree = Arc::new(Tree {
        text: clean(open.text.trim(), &open.name, &mut watch).filter(|text| !text.is_empty()),
        fields: open.fields,
        exact: false,
    });
    let mut items = Vec::new();
    if !path.is_empty() {
        find(&tree, path, &mut items);
    }
    Raw::new(tree, items, watch.problem)
}

fn too_deep() -> Fault {
    Fault::bad(format!("its elements nest deeper than {}", limits::DEPTH))
}

fn doctype() -> Fault {
    Fault::hinted(
        "it declares a document type (DOCTYPE), which is refused",
        "have the export made without a DOCTYPE",
    )
}

fn torn() -> Fault {
    Fault::Torn("it ends before its last element is closed".into())
}

fn fault(error: quick_xml::Error, at_end: bool, level: usize) -> Fault {
    match error {
        quick_xml::Error::Io(error) => match Arc::try_unwrap(error) {
            Ok(error) => error.into(),
            Err(error) => Fault::Torn(format!("reading it failed: {error}")),
        },
        _ if at_end => torn(),
        // the parser's own words could quote the file's text
        quick_xml::Error::IllFormed(_) => Fault::bad(format!(
            "an element is closed that was not open (in element level {level})"
        )),
        quick_xml::Error::Encoding(_) => Fault::bad("it is not valid UTF-8"),
        _ => Fault::bad("it is not well-formed XML"),
    }
}
