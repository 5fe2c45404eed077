//! XML exports, one order at a time.
//!
//! Read as events, so that memory holds one order whatever the size of the file. A document type is refused and
//! no entity is expanded beyond the five of XML and numbers, so nothing in a file can grow.
//!
//! Most orders of an export have not changed: of each only its number and its end are looked for, and once the number is
//! found the end is looked for as plain text where nothing else can look like it. An order is made into a tree, and seen
//! to be well formed, when somebody wants to know what stands in it.

use super::bytes::{Fault, Input, UNDECODABLE};
use super::limits;
use super::tree::{Node, Tree, find};
use super::window::Window;
use super::{Met, Raw, Records, Written};
use memchr::memmem::{self, Finder};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Reads the records at a path.
pub struct Xml {
    window: Window,
    path: Vec<String>,
    parser: Arc<Parser>,
    /// The element below a record in which its number stands, where that is all that the number is made of.
    number: Option<String>,
    /// Open elements outside of records, by name.
    open: Vec<String>,
    /// How many of them, from the root, are the path's.
    matched: usize,
    root: Root,
}

/// Makes trees of records.
pub struct Parser {
    items: Vec<String>,
    names: Mutex<HashSet<Arc<str>>>,
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

/// How the end of a record was found.
enum End {
    /// Here, counted from its beginning; and where its number stands.
    At(usize, Option<Range<usize>>),
    /// It is larger than an order may be, and was passed over.
    TooLarge(Raw),
}

/// The tags of a record, as text to look for.
struct Tag {
    opening: Finder<'static>,
    closing: Finder<'static>,
}

impl Tag {
    fn new(name: &str) -> Self {
        Self {
            opening: Finder::new(&format!("<{name}")).into_owned(),
            closing: Finder::new(&format!("</{name}")).into_owned(),
        }
    }

    /// Where the record ends that this text is in, directly below its start tag: after the first closing tag of its
    /// name. `None` where that may be another one's, or no tag at all, or is not in the text.
    ///
    /// In well-formed XML a `<` begins markup wherever it stands, but in what begins with `<!` or `<?`. That it is
    /// well formed is left to the parser.
    fn plain_end(&self, text: &[u8]) -> Option<usize> {
        let found = |tag: &Finder<'static>, text: &[u8]| {
            let length = tag.needle().len();
            tag.find_iter(text).find(|at| {
                let after = text.get(at + length);
                after.is_some_and(|byte| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace())
            })
        };
        let close = found(&self.closing, text)?;
        let inside = &text[..close];
        if memmem::find(inside, b"<!").is_some()
            || memmem::find(inside, b"<?").is_some()
            || found(&self.opening, inside).is_some()
        {
            return None;
        }
        Some(close + memchr::memchr(b'>', &text[close..])? + 1)
    }
}

/// What a piece of the file is to whoever looks for the end of something.
enum Step {
    In,
    Out,
    Whole,
    Beside,
}

impl Xml {
    /// Reads records at `path` (`ORDERS/ORDER`), each with its items at `items` below it. `number` is the element
    /// that alone makes an order's number.
    pub fn new(input: Input, path: Vec<String>, items: Vec<String>, number: Option<String>) -> Self {
        Self {
            window: Window::new(input),
            path,
            parser: Arc::new(Parser {
                items,
                names: Mutex::default(),
            }),
            number,
            open: Vec::new(),
            matched: 0,
            root: Root::Awaited,
        }
    }

    /// Decides what an element outside of records is; true where a record begins.
    fn enter(&mut self, full_name: &str, name: &str) -> Result<bool, Fault> {
        let level = self.open.len();
        if level == 0 {
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
        let on_path =
            self.matched == level && self.path.get(level).is_some_and(|p| p.eq_ignore_ascii_case(name));
        if on_path && level + 1 == self.path.len() {
            return Ok(true);
        }
        self.open.push(full_name.to_owned());
        if on_path {
            self.matched += 1;
        }
        if self.open.len() > limits::DEPTH {
            return Err(too_deep());
        }
        Ok(false)
    }

    fn leave(&mut self) {
        self.open.pop();
        self.matched = self.matched.min(self.open.len());
        if self.open.is_empty() && self.root == Root::Open {
            self.root = Root::Closed;
        }
    }

    /// Reads on where the window ends in the middle of something.
    fn more(&mut self) -> Result<(), Fault> {
        if self.window.ended() {
            return Err(torn());
        }
        if self.window.rest().len() > limits::TOKEN {
            return Err(Fault::hinted(
                format!("a single value is longer than {} MiB", limits::TOKEN >> 20),
                "exports of that size or shape are not read; look at what produces the file",
            ));
        }
        self.window.more()
    }

    /// Looks for the end of the record at whose start tag the window stands, and for its number.
    fn end_of_record(&mut self, name: &str) -> Result<End, Fault> {
        let tag = Tag::new(name);
        let (mut at, mut depth) = (0, 0_usize);
        let mut number = (None, None);
        loop {
            let ended = self.window.ended();
            let rest = &self.window.rest()[at..];
            let mut reader = lenient(rest);
            let mut here = 0;
            let cut = loop {
                let event = reader.read_event();
                let after = rest.len() - reader.get_ref().len();
                let step = match event {
                    // cut off: what follows may belong to it
                    Ok(Event::Eof) => break true,
                    Ok(_) if after == rest.len() && !ended => break true,
                    Ok(Event::Start(start)) => {
                        if depth == 1 && number.0.is_none() && self.is_number(&start) {
                            number.0 = Some(at + here);
                        }
                        Step::In
                    }
                    Ok(Event::End(_)) => Step::Out,
                    Ok(Event::Empty(_)) => Step::Whole,
                    Ok(Event::DocType(_)) => return Err(doctype()),
                    Ok(_) => Step::Beside,
                    Err(quick_xml::Error::Syntax(_) | quick_xml::Error::Encoding(_)) if !ended => break true,
                    Err(error) => return Err(fault(&error, ended, self.open.len())),
                };
                here = after;
                match step {
                    Step::In => {
                        depth += 1;
                        if self.open.len() + depth > limits::DEPTH {
                            return Err(too_deep());
                        }
                    }
                    Step::Out => {
                        depth = depth.saturating_sub(1);
                        if let (1, (Some(from), None)) = (depth, number) {
                            number.1 = Some(at + here);
                            if let Some(length) = tag.plain_end(&rest[here..]) {
                                let end = at + here + length;
                                return Ok(End::At(end, Some(from..at + here)));
                            }
                        }
                    }
                    Step::Whole | Step::Beside => {}
                }
                if depth == 0 && matches!(step, Step::Out | Step::Whole) {
                    let number = number.0.zip(number.1).map(|(from, to)| from..to);
                    return Ok(End::At(at + here, number));
                }
            };
            at += here;
            if self.window.rest().len() > limits::ORDER {
                return self.pass_over(at, depth).map(End::TooLarge);
            }
            if cut && ended {
                // An element that nobody closes swallows all that follows: say that it is not closed.
                self.parser.parse(self.window.rest(), true)?;
                return Err(torn());
            }
            self.more()?;
        }
    }

    /// Passes over a record that is too large; what there is of it at the beginning says whose it is.
    fn pass_over(&mut self, mut at: usize, mut depth: usize) -> Result<Raw, Fault> {
        let mut raw = self.parser.parse(self.window.rest(), true)?;
        raw.problem = Some(format!("the order is larger than {} MiB", limits::ORDER >> 20));
        loop {
            self.window.pass(at);
            at = 0;
            let ended = self.window.ended();
            let rest = self.window.rest();
            let mut reader = lenient(rest);
            loop {
                let event = reader.read_event();
                let after = rest.len() - reader.get_ref().len();
                match event {
                    Ok(Event::Eof) => break,
                    Ok(_) if after == rest.len() && !ended => break,
                    Ok(Event::Start(_)) => depth += 1,
                    Ok(Event::End(_)) => depth -= 1,
                    Ok(Event::DocType(_)) => return Err(doctype()),
                    Ok(_) => {}
                    Err(quick_xml::Error::Syntax(_) | quick_xml::Error::Encoding(_)) if !ended => break,
                    Err(error) => return Err(fault(&error, ended, self.open.len())),
                }
                at = after;
                if depth == 0 {
                    self.window.pass(at);
                    return Ok(raw);
                }
            }
            if at == 0 {
                self.more()?;
            }
        }
    }

    fn is_number(&self, start: &BytesStart<'_>) -> bool {
        let name = start.local_name().into_inner();
        self.number
            .as_ref()
            .is_some_and(|number| number.eq_ignore_ascii_case(name))
    }

    /// The record at whose start tag the window stands.
    fn record(&mut self, name: &str) -> Result<Met, Fault> {
        let (end, number) = match self.end_of_record(name)? {
            End::At(end, number) => (end, number),
            End::TooLarge(raw) => return Ok(Met::Whole(raw)),
        };
        let text = &self.window.rest()[..end];
        let met = match number {
            Some(number) => {
                let number = self.parser.parse(&text[number], false)?.tree;
                let (name, node) = (self.number.as_deref().unwrap_or_default(), Node::Tree(number));
                Met::Written(Written {
                    head: Arc::new(Tree {
                        text: None,
                        fields: vec![(name.into(), node)],
                        exact: false,
                    }),
                    text: text.into(),
                    parser: Arc::clone(&self.parser),
                })
            }
            None => Met::Whole(self.parser.parse(text, false)?),
        };
        self.window.pass(end);
        Ok(met)
    }
}

/// A reader that looks for the ends of things, and leaves it to the parser whether all is well with them.
fn lenient(text: &[u8]) -> Reader<&[u8]> {
    let mut reader = Reader::from_reader(text);
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.allow_unmatched_ends = true;
    config.check_end_names = false;
    reader
}

impl Parser {
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

    /// The tree of one element, which stands here from its first character to its last; `cut` where its end may be
    /// missing.
    ///
    /// # Errors
    /// What is not well formed in it.
    pub fn parse(&self, text: &[u8], cut: bool) -> Result<Raw, Fault> {
        let names = &mut *self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = Reader::from_reader(text);
        let config = reader.config_mut();
        // a bare `&` in one customer's remark must not hold up everybody's orders
        config.allow_dangling_amp = true;
        config.check_end_names = true;
        let mut watch = Watch::default();
        let mut stack: Vec<Open> = Vec::new();
        loop {
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(quick_xml::Error::Syntax(_) | quick_xml::Error::Encoding(_)) if cut => Event::Eof,
                Err(error) => return Err(fault(&error, false, stack.len())),
            };
            let closed = match event {
                Event::Start(start) => {
                    stack.push(Self::open(names, &start, &mut watch));
                    if stack.len() > limits::DEPTH {
                        return Err(too_deep());
                    }
                    continue;
                }
                Event::Empty(start) => Self::open(names, &start, &mut watch),
                Event::End(_) => match stack.pop() {
                    Some(open) => open,
                    None => return Err(Fault::bad("an element is closed that was not open")),
                },
                Event::DocType(_) => return Err(doctype()),
                Event::Eof if !cut => return Err(torn()),
                // its elements are closed one by one where it is cut
                Event::Eof => match stack.pop() {
                    Some(open) => open,
                    None => return Err(torn()),
                },
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) => continue,
                Event::Text(text) => {
                    push(stack.last_mut(), &text.xml10_content(), &mut watch);
                    continue;
                }
                Event::CData(text) => {
                    push(stack.last_mut(), &text.xml10_content(), &mut watch);
                    continue;
                }
                Event::GeneralRef(entity) => {
                    match reference(&entity) {
                        Some(c) => push(stack.last_mut(), c.encode_utf8(&mut [0; 4]), &mut watch),
                        None => {
                            let name = stack.last().map_or("", |open| &open.name);
                            watch.blame(format!("`{name}` holds an entity that XML does not know"));
                        }
                    }
                    continue;
                }
            };
            match stack.last_mut() {
                Some(parent) => close(closed, &mut parent.fields, &mut watch),
                None => return Ok(finish(closed, &self.items, watch)),
            }
        }
    }
}

impl Records for Xml {
    fn next(&mut self) -> Result<Option<Met>, Fault> {
        loop {
            let ended = self.window.ended();
            let rest = self.window.rest();
            let mut reader = lenient(rest);
            let event = reader.read_event();
            let after = rest.len() - reader.get_ref().len();
            if after == rest.len() && !ended {
                self.more()?;
                continue;
            }
            match event {
                Ok(Event::Start(start)) => {
                    let (full, name) = (start.name().into_inner().to_owned(), start.local_name());
                    let name = name.into_inner().to_owned();
                    if self.enter(&full, &name)? {
                        return self.record(&full).map(Some);
                    }
                }
                Ok(Event::Empty(start)) => {
                    let (full, name) = (start.name().into_inner().to_owned(), start.local_name());
                    let name = name.into_inner().to_owned();
                    if self.enter(&full, &name)? {
                        return self.record(&full).map(Some);
                    }
                    self.leave();
                }
                Ok(Event::End(end)) => {
                    if self
                        .open
                        .last()
                        .is_none_or(|open| *open != end.name().into_inner())
                    {
                        return Err(not_open(self.open.len()));
                    }
                    self.leave();
                }
                Ok(Event::DocType(_)) => return Err(doctype()),
                Ok(Event::Text(text)) => {
                    let outside = self.open.is_empty() && !text.xml10_content().trim().is_empty();
                    if outside {
                        return Err(if ended && after == rest.len() && self.root != Root::Awaited {
                            torn()
                        } else {
                            Fault::bad("text stands outside of its elements; this is no XML export")
                        });
                    }
                }
                Ok(Event::Eof) => {
                    return match self.root {
                        Root::Awaited | Root::Open => Err(torn()),
                        Root::Fragment if !self.open.is_empty() => Err(torn()),
                        Root::Closed | Root::Fragment => Ok(None),
                    };
                }
                Ok(_) => {}
                Err(quick_xml::Error::Syntax(_) | quick_xml::Error::Encoding(_)) if !ended => {
                    self.more()?;
                    continue;
                }
                Err(error) => return Err(fault(&error, ended, self.open.len())),
            }
            self.window.pass(after);
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

fn push(open: Option<&mut Open>, text: &str, watch: &mut Watch) {
    let Some(open) = open else { return };
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
            "`{name}` holds bytes that are not in the file's encoding (shop.source.records.encoding)"
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

fn not_open(level: usize) -> Fault {
    Fault::bad(format!(
        "an element is closed that was not open (in element level {level})"
    ))
}

/// `at_end`: the file's last character was read.
fn fault(error: &quick_xml::Error, at_end: bool, level: usize) -> Fault {
    match error {
        quick_xml::Error::Syntax(_) if at_end => torn(),
        // the parser's own words could quote the file's text
        quick_xml::Error::IllFormed(_) => not_open(level),
        quick_xml::Error::Encoding(_) => Fault::bad("it is not valid UTF-8"),
        _ => Fault::bad("it is not well-formed XML"),
    }
}
