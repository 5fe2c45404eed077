//! JSON exports: an array of orders, an object with a path to one, or an object a line.
//!
//! A reader of our own, because orders must come one by one and numbers must stay the text that the file has
//! (a price never passes through a binary float).

use super::bytes::{Fault, Input, UNDECODABLE};
use super::limits;
use super::tree::{Node, Tree, find};
use super::{Met, Raw, Records};
use rust_decimal::Decimal;
use std::collections::HashSet;
use std::io::BufRead;
use std::sync::Arc;

/// Reads the records at a path.
pub struct Json {
    input: Input,
    path: Vec<String>,
    items: Vec<String>,
    names: HashSet<Arc<str>>,
    state: State,
    /// Objects on the path that are open.
    open: usize,
    last: u8,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Start,
    /// Inside the list; the next thing is a record or its end (true: the first one).
    List(bool),
    /// Objects one after the other.
    Lines,
    End(bool),
}

#[derive(Default)]
struct Watch {
    bytes: usize,
    nodes: usize,
    problem: Option<String>,
}

impl Watch {
    fn room(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.nodes += 1;
        let fits = self.bytes <= limits::ORDER && self.nodes <= limits::NODES;
        if !fits && self.problem.is_none() {
            self.problem = Some(format!(
                "the order is larger than {} MiB or {} values",
                limits::ORDER >> 20,
                limits::NODES
            ));
        }
        fits
    }
}

fn torn() -> Fault {
    Fault::Torn("it ends before its last value is closed".into())
}

impl Json {
    /// Reads records at `path` (empty: the file itself is the list), each with its items at `items`.
    pub fn new(input: Input, path: Vec<String>, items: Vec<String>) -> Self {
        Self {
            input,
            path,
            items,
            names: HashSet::new(),
            state: State::Start,
            open: 0,
            last: 0,
            scratch: Vec::new(),
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, Fault> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    fn bump(&mut self) {
        self.input.consume(1);
    }

    /// The next byte that is not white space.
    fn token(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            self.input.mark();
            let bytes = self.input.fill_buf()?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let blank = bytes.iter().take_while(|b| b.is_ascii_whitespace()).count();
            let next = bytes.get(blank).copied();
            if let Some(last) = blank.checked_sub(1) {
                self.last = bytes[last];
            }
            self.input.consume(blank);
            if next.is_some() {
                return Ok(next);
            }
        }
    }

    fn must(&mut self) -> Result<u8, Fault> {
        self.token()?.ok_or_else(torn)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Fault> {
        let found = self.must()?;
        if found != wanted {
            return Err(wrong(found, &format!("`{}`", wanted as char)));
        }
        self.bump();
        self.last = found;
        Ok(())
    }

    /// Reads a string into the scratch; true where it fits.
    fn string(&mut self) -> Result<bool, Fault> {
        self.expect(b'"')?;
        self.input.mark();
        self.scratch.clear();
        let mut fits = true;
        loop {
            let bytes = self.input.fill_buf()?;
            if bytes.is_empty() {
                return Err(torn());
            }
            let plain = bytes
                .iter()
                .position(|b| matches!(b, b'"' | b'\\'))
                .unwrap_or(bytes.len());
            if self.scratch.len() + plain <= limits::FIELD {
                self.scratch.extend_from_slice(&bytes[..plain]);
            } else {
                fits = false;
            }
            let stop = bytes.get(plain).copied();
            self.input.consume(plain + usize::from(stop.is_some()));
            match stop {
                None => {}
                Some(b'"') => {
                    self.last = b'"';
                    return Ok(fits);
                }
                Some(_) => {
                    let c = self.escape()?;
                    self.scratch
                        .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let kind = self.peek()?.ok_or_else(torn)?;
        self.bump();
        Ok(match kind {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'/' => kind as char,
            b'u' => {
                let first = self.hex()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return Ok(char::from_u32(first).unwrap_or('\u{fffd}'));
                }
                if self.peek()?.ok_or_else(torn)? != b'\\' {
                    return Ok('\u{fffd}');
                }
                self.bump();
                if self.peek()?.ok_or_else(torn)? != b'u' {
                    // an escape of another kind after half a pair: both are read, the half is lost
                    return self.escape();
                }
                self.bump();
                let second = self.hex()?;
                if !(0xdc00..0xe000).contains(&second) {
                    // not the other half: the first is lost, as above
                    return Ok(char::from_u32(second).unwrap_or('\u{fffd}'));
                }
                let whole = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                char::from_u32(whole).unwrap_or('\u{fffd}')
            }
            other => return Err(wrong(other, "an escape")),
        })
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let mut number = 0;
        for _ in 0..4 {
            let digit = self.peek()?.ok_or_else(torn)?;
            let value = (digit as char)
                .to_digit(16)
                .ok_or_else(|| wrong(digit, "a hexadecimal digit"))?;
            number = number * 16 + value;
            self.bump();
        }
        Ok(number)
    }

    /// The scratch as a name.
    fn name(&mut self) -> Arc<str> {
        let name = String::from_utf8_lossy(&self.scratch);
        if let Some(known) = self.names.get(&*name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        if self.names.len() < limits::NAMES {
            self.names.insert(Arc::clone(&name));
        }
        name
    }

    /// The scratch as text.
    fn text(&mut self, fits: bool, watch: &mut Watch) -> Node {
        let text = String::from_utf8_lossy(&self.scratch);
        if !fits {
            watch
                .problem
                .get_or_insert_with(|| format!("a value is longer than {} MiB", limits::FIELD >> 20));
        }
        if text.contains(UNDECODABLE) {
            watch.problem.get_or_insert_with(|| {
                "a value holds bytes that are not in the file's encoding (shop.source.records.encoding)"
                    .into()
            });
            return Node::Text(text.replace(UNDECODABLE, "\u{FFFD}").into());
        }
        Node::Text(text.into())
    }

    fn word(&mut self) -> Result<Node, Fault> {
        self.input.mark();
        self.scratch.clear();
        while let Some(byte) = self.peek()? {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
                break;
            }
            self.scratch.push(byte);
            self.last = byte;
            self.bump();
            if self.scratch.len() > 400 {
                return Err(Fault::bad("it holds a number of more than 400 characters"));
            }
        }
        let at_end = self.peek()?.is_none();
        let word = std::str::from_utf8(&self.scratch).unwrap_or_default();
        match word {
            "true" => return Ok(Node::Bool(true)),
            "false" => return Ok(Node::Bool(false)),
            "null" => return Ok(Node::Null),
            // no JSON, but Python writes it; a template that wants a number refuses it for its own order
            "NaN" | "Infinity" | "-Infinity" => return Ok(Node::Text(word.into())),
            _ => {}
        }
        let digits = word.strip_prefix('-').unwrap_or(word);
        let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if number
            && (digits.len() == 1 || !digits.starts_with('0'))
            && let Ok(whole) = word.parse::<i64>()
        {
            return Ok(Node::Int(whole));
        }
        if number && !(digits.len() > 1 && digits.starts_with('0')) {
            return Ok(Node::Text(word.into()));
        }
        let plain = word.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        if plain
            && word.contains(['e', 'E'])
            && let Ok(decimal) = Decimal::from_scientific(word)
        {
            return Ok(Node::Text(decimal.to_string().into()));
        }
        // too large for any number of ours: the template that wants one refuses it
        let digits_only = !word.contains(|c: char| c.is_alphabetic() && !matches!(c, 'e' | 'E'));
        if plain && digits_only && word.parse::<f64>().is_ok() && !word.ends_with('.') {
            return Ok(Node::Text(word.into()));
        }
        if at_end {
            return Err(torn());
        }
        Err(Fault::bad("it holds a word that is no JSON value"))
    }

    /// Reads a value; `None` where it is passed over.
    fn value(&mut self, depth: usize, keep: bool, watch: &mut Watch) -> Result<Option<Node>, Fault> {
        if depth > limits::DEPTH {
            return Err(Fault::bad(format!(
                "its values nest deeper than {}",
                limits::DEPTH
            )));
        }
        match self.must()? {
            b'"' => {
                let fits = self.string()?;
                let room = keep && watch.room(self.scratch.len());
                Ok(room.then(|| self.text(fits, watch)))
            }
            b'{' => {
                let mut fields = Vec::new();
                self.members(|json| {
                    let name = json.name();
                    let room = keep && watch.room(name.len());
                    if let Some(node) = json.value(depth + 1, room, watch)? {
                        fields.push((name, node));
                    }
                    Ok(())
                })?;
                last_of_each(&mut fields);
                Ok(keep.then(|| {
                    Node::Tree(Arc::new(Tree {
                        text: None,
                        fields,
                        exact: true,
                    }))
                }))
            }
            b'[' => {
                self.bump();
                let mut nodes = Vec::new();
                if self.must()? == b']' {
                    self.bump();
                    self.last = b']';
                    return Ok(keep.then(|| Node::List(Arc::from([]))));
                }
                loop {
                    let room = keep && watch.room(0);
                    if let Some(node) = self.value(depth + 1, room, watch)? {
                        nodes.push(node);
                    }
                    if !self.more(b']')? {
                        return Ok(keep.then(|| Node::List(nodes.into())));
                    }
                }
            }
            _ => {
                let node = self.word()?;
                Ok((keep && watch.room(8)).then_some(node))
            }
        }
    }

    /// After a value: a comma, or the closing bracket.
    fn more(&mut self, closing: u8) -> Result<bool, Fault> {
        let found = self.must()?;
        if found != b',' && found != closing {
            return Err(wrong(found, "a comma"));
        }
        self.bump();
        self.last = found;
        Ok(found == b',')
    }

    /// Walks an object; `each` finds a member's name in the scratch and reads its value.
    fn members(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.expect(b'{')?;
        if self.must()? == b'}' {
            return self.expect(b'}');
        }
        loop {
            self.key()?;
            each(self)?;
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }

    fn key(&mut self) -> Result<(), Fault> {
        if self.must()? != b'"' {
            return Err(Fault::bad("a member of an object has no name"));
        }
        if !self.string()? {
            return Err(Fault::bad("a member's name is too long"));
        }
        // the scratch must outlive the colon
        self.expect(b':')
    }

    /// Goes down the path to the list.
    fn descend(&mut self) -> Result<State, Fault> {
        if self.path.is_empty() {
            return match self.must()? {
                b'[' => {
                    self.bump();
                    Ok(State::List(true))
                }
                b'{' => Ok(State::Lines),
                other => Err(wrong(other, "a list or an object")),
            };
        }
        self.expect(b'{')?;
        self.open = 1;
        if self.must()? == b'}' {
            return Err(self.no_such_path());
        }
        loop {
            self.key()?;
            if self.scratch != self.path[self.open - 1].as_bytes() {
                self.value(1, false, &mut Watch::default())?;
                if !self.more(b'}')? {
                    return Err(self.no_such_path());
                }
                continue;
            }
            let last = self.open == self.path.len();
            match self.must()? {
                b'[' if last => {
                    self.bump();
                    return Ok(State::List(true));
                }
                b'{' if !last => {
                    self.bump();
                    self.open += 1;
                    if self.must()? == b'}' {
                        return Err(self.no_such_path());
                    }
                }
                other => {
                    return Err(wrong(
                        other,
                        if last { "the list of orders" } else { "an object" },
                    ));
                }
            }
        }
    }

    fn no_such_path(&self) -> Fault {
        Fault::hinted(
            format!("it has no list `{}`", self.path.join(".")),
            "set shop.source.records.order to the path of the list, or look at what the shop answered in place of an \
             export",
        )
    }

    /// After the list: what stands behind it is read too, so that a torn file is noticed.
    fn close(&mut self) -> Result<(), Fault> {
        while self.open > 0 {
            self.open -= 1;
            while self.more(b'}')? {
                self.key()?;
                self.value(1, false, &mut Watch::default())?;
            }
        }
        match self.token()? {
            None => Ok(()),
            Some(_) => Err(Fault::bad("something follows after its end")),
        }
    }

    fn record(&mut self) -> Result<Raw, Fault> {
        let mut watch = Watch::default();
        let found = self.must()?;
        if found != b'{' {
            return Err(wrong(found, "an order, which is an object"));
        }
        let Some(Node::Tree(tree)) = self.value(1, true, &mut watch)? else {
            return Err(Fault::bad("an order is not an object"));
        };
        let mut items = Vec::new();
        if !self.items.is_empty() {
            find(&tree, &self.items, &mut items);
        }
        Ok(Raw::new(tree, items, watch.problem))
    }
}

impl Records for Json {
    fn next(&mut self) -> Result<Option<Met>, Fault> {
        loop {
            match self.state {
                State::Start => self.state = self.descend()?,
                State::List(first) => {
                    if first {
                        if self.must()? == b']' {
                            self.bump();
                            self.close()?;
                            self.state = State::End(true);
                            continue;
                        }
                    } else if !self.more(b']')? {
                        self.close()?;
                        self.state = State::End(true);
                        continue;
                    }
                    self.state = State::List(false);
                    return self.record().map(|raw| Some(Met::Whole(raw)));
                }
                State::Lines => {
                    if self.token()?.is_none() {
                        self.state = State::End(self.last == b'\n');
                        continue;
                    }
                    return self.record().map(|raw| Some(Met::Whole(raw)));
                }
                State::End(_) => return Ok(None),
            }
        }
    }

    fn proves_its_end(&self) -> bool {
        self.state == State::End(true)
    }
}

/// Of members with the same name the last one stands, as every reader of JSON has it.
fn last_of_each(fields: &mut Vec<(Arc<str>, Node)>) {
    let unlike = |(place, (name, _)): (usize, &(Arc<str>, Node))| {
        fields[..place].iter().all(|(other, _)| other != name)
    };
    if fields.len() <= 32 && fields.iter().enumerate().all(unlike) {
        return;
    }
    let mut met = HashSet::with_capacity(fields.len());
    fields.reverse();
    fields.retain(|(name, _)| met.insert(Arc::clone(name)));
    fields.reverse();
}

fn wrong(found: u8, wanted: &str) -> Fault {
    let found = if found.is_ascii_graphic() {
        format!("`{}`", found as char)
    } else {
        "another character".into()
    };
    Fault::hinted(
        format!("it is not the JSON that is expected: {found} stands where {wanted} should"),
        "set shop.source.records.order to the path of the list of orders (e.g. \"data.orders\"; left out: the file is \
         the list, or has an order a line)",
    )
}
