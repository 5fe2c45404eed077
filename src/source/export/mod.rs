//! Orders from an export: XML, CSV or JSON, from a file, a glob or an https URL.
//!
//! Everything is read as a stream, one order in memory at a time. A file that is not whole is never taken for a
//! shorter list: the orders read so far are handed over, and the read fails. This room knows no ledger.

mod address;
mod bytes;
mod csv;
mod fetch;
mod filters;
mod json;
mod limits;
mod local;
mod seal;
mod template;
mod tree;
mod window;
mod xml;

use crate::clock::SharedClock;
use crate::config::secret::Secret;
use crate::config::{self, SourceKind};
use crate::source::{Finding, Known, Listed, Lists, Read, ReadEnd, Record, Source, SourceError};
use crate::types::{Made, OrderCode, RowHash};
use async_trait::async_trait;
use bytes::{Charset, Fault};
pub use filters::ascii;
use jiff::Timestamp;
use jiff::tz::TimeZone;
pub use seal::print;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use template::{Seen, Templates};
use tokio::sync::mpsc;
use tree::Tree;

/// One order of a file before it is mapped.
pub(crate) struct Raw {
    /// Its fields.
    tree: Arc<Tree>,
    /// Its lines.
    items: Vec<Arc<Tree>>,
    /// What keeps it from being read rightly.
    problem: Option<String>,
    /// The items are no part of the tree (the rows of a csv).
    items_stand_beside: bool,
}

impl Raw {
    fn new(tree: Arc<Tree>, mut items: Vec<Arc<Tree>>, mut problem: Option<String>) -> Self {
        if items.len() > limits::ITEMS {
            items.truncate(limits::ITEMS);
            problem.get_or_insert_with(|| format!("the order has more than {} items", limits::ITEMS));
        }
        Self {
            tree,
            items,
            problem,
            items_stand_beside: false,
        }
    }
}

/// One order of a file as it was met: it is looked into when somebody wants to know what it says.
pub(crate) enum Met {
    /// It is known what it says.
    Whole(Raw),
    /// Only its number was looked for.
    Written(Written),
}

/// An order as the file writes it.
pub(crate) struct Written {
    /// A tree that has the order's number and nothing else.
    head: Arc<Tree>,
    text: Box<[u8]>,
    parser: Arc<xml::Parser>,
}

impl Met {
    /// Looks into it.
    ///
    /// # Errors
    /// What is not well formed in it: the file cannot be used.
    fn whole(self) -> Result<Raw, Fault> {
        match self {
            Met::Whole(raw) => Ok(raw),
            Met::Written(written) => written.parser.parse(&written.text, false),
        }
    }
}

/// A file's records, one after the other.
trait Records {
    /// The next record; `None` at the file's proper end.
    fn next(&mut self) -> Result<Option<Met>, Fault>;

    /// After the end: whether the format itself shows that nothing is missing (a closed root, a closed list).
    fn proves_its_end(&self) -> bool;
}

/// What an export source is made of; every secret is resolved already.
pub struct Setup {
    /// `xml`, `csv` or `json`.
    pub kind: SourceKind,
    /// `https://…`, `file:///path` with globs; `{since}`. It may hold a password: never printed.
    pub url: Secret,
    /// HTTP headers.
    pub headers: Vec<(String, Secret)>,
    /// `[shop.source.records]`
    pub records: config::Records,
    /// `[shop.source.map]`
    pub map: indexmap::IndexMap<String, String>,
    /// `[shop.source.options]`, seen by templates as `options`.
    pub options: toml::Table,
    /// The form of a mapped `_cursor`.
    pub cursor: config::Cursor,
    /// The zone of times without one (UTC where `times = "utc"`).
    pub zone: TimeZone,
    /// The shop's zone, in which `{since}` is written.
    pub shop_zone: TimeZone,
    /// Orders in one batch.
    pub batch: usize,
    /// A folder of our own, where the last complete download is kept.
    pub state: PathBuf,
}

impl Setup {
    /// Takes what concerns exports out of the configuration; `url` and `headers` are its secrets, found.
    pub fn new(
        shop: &config::Shop,
        kind: SourceKind,
        url: Secret,
        headers: Vec<(String, Secret)>,
        state: PathBuf,
    ) -> Self {
        let source = &shop.source;
        Self {
            kind,
            url,
            headers,
            records: source.records.clone().unwrap_or_default(),
            map: source.map.clone(),
            options: source.options.clone(),
            cursor: source.cursor.clone(),
            zone: match source.times {
                Some(config::Times::Utc) => TimeZone::UTC,
                _ => shop.timezone.clone(),
            },
            shop_zone: shop.timezone.clone(),
            batch: source.batch.max(1),
            state,
        }
    }
}

/// An export as a source of orders.
pub struct ExportSource {
    format: Arc<Format>,
    place: Place,
    clock: SharedClock,
    batch: usize,
    complete: bool,
    /// What was handed over to its end since the start, and for which `since`.
    handed: Mutex<Option<Handed>>,
}

/// A whole hand-over that this process has made.
#[derive(Clone)]
struct Handed {
    /// What the files looked like.
    mark: String,
    since: Option<Timestamp>,
    started: Timestamp,
}

enum Place {
    Local(local::Local),
    Http(Box<fetch::Fetch>),
}

/// How files are read and mapped: all that the blocking part needs.
struct Format {
    kind: SourceKind,
    records: config::Records,
    path: Vec<String>,
    items: Vec<String>,
    charset: Option<&'static encoding_rs::Encoding>,
    templates: Templates,
    /// Names that no record had and that were told already.
    told: Mutex<HashSet<(String, String)>>,
}

/// Files to be read.
struct Found {
    files: Vec<PathBuf>,
    /// Changes whenever the files do.
    mark: String,
    started: Timestamp,
    /// They are a whole export, not only what changed since a moment.
    full: bool,
    /// Nothing may be or need be read.
    unchanged: bool,
    /// The files are the newest first: what an order's newest file says stands.
    overlay: bool,
    /// The files' own times are those at which they were made, not those at which we had them.
    told: bool,
    /// A download that is kept once it was read to its end.
    incoming: Option<fetch::Incoming>,
}

/// What a read hands over.
struct Handing {
    sender: mpsc::Sender<Vec<Record>>,
    size: usize,
    batch: Vec<Record>,
    /// Orders that a file has told already which is newer than the last one; and which of the files.
    newer: HashMap<OrderCode, usize>,
    /// Who knows which records need not be handed over.
    known: Option<Arc<dyn Known>>,
    /// Records to ask about.
    sealed: Vec<(OrderCode, RowHash)>,
    mets: Vec<(Met, Made)>,
    /// Orders handed over of late, with the number of their batch: of them `known` may not have heard yet.
    late: HashMap<OrderCode, u64>,
    batches: u64,
    frame: Vec<u8>,
    /// Every order that was met, where the export is declared to list all.
    listed: Option<Listed>,
}

/// Records asked about at once.
const ASK: usize = 128;
/// Batches that may be on their way to whoever keeps them: the channel's, the one in work and the one in hand.
const LATE: u64 = 8;

impl Handing {
    fn new(sender: mpsc::Sender<Vec<Record>>, size: usize, known: Option<Arc<dyn Known>>) -> Self {
        Self {
            sender,
            size,
            batch: Vec::new(),
            newer: HashMap::new(),
            known,
            sealed: Vec::new(),
            mets: Vec::new(),
            late: HashMap::new(),
            batches: 0,
            frame: Vec::new(),
            listed: None,
        }
    }

    fn take(&mut self, format: &Format, code: OrderCode, met: Met, pass: &mut Pass) -> Result<(), Fault> {
        pass.records += 1;
        let seal = seal::seal(&met, &mut self.frame);
        self.sealed.push((code, seal));
        self.mets.push((met, pass.made));
        if self.mets.len() >= ASK {
            self.ask(format, pass)?;
        }
        Ok(())
    }

    /// Maps what is not known.
    fn ask(&mut self, format: &Format, pass: &mut Pass) -> Result<(), Fault> {
        let known = match &self.known {
            Some(known) => known.known(&self.sealed),
            None => Vec::new(),
        };
        let mut met: HashMap<&OrderCode, usize> = HashMap::with_capacity(self.sealed.len());
        for (code, _) in &self.sealed {
            *met.entry(code).or_default() += 1;
        }
        let passed_over: Vec<bool> = self
            .sealed
            .iter()
            .enumerate()
            // of an order that comes twice each record counts, in the file's order
            .map(|(place, (code, _))| {
                known.get(place).is_some_and(|known| *known)
                    && met[code] == 1
                    && !self.late.contains_key(code)
            })
            .collect();
        let sealed = std::mem::take(&mut self.sealed);
        let mets = std::mem::take(&mut self.mets);
        for (((code, seal), (met, made)), passed_over) in sealed.into_iter().zip(mets).zip(passed_over) {
            if passed_over {
                pass.seen.passed_over();
                continue;
            }
            let raw = met.whole()?;
            pass.seen.record(&raw);
            match format.templates.record(&raw) {
                Ok(mut record) => {
                    record.seal = Some(seal);
                    record.made = Some(made);
                    tell_problem(&record);
                    self.late.insert(code, self.batches);
                    self.batch.push(record);
                }
                Err(problem) => {
                    pass.records -= 1;
                    pass.leave_out(&problem);
                }
            }
            if self.batch.len() >= self.size {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), Fault> {
        if !self.batch.is_empty() {
            self.batches += 1;
            let after = self.batches.saturating_sub(LATE);
            self.late.retain(|_, batch| *batch >= after);
            let full = std::mem::take(&mut self.batch);
            self.sender.blocking_send(full).map_err(|_| Fault::Stopped)?;
        }
        Ok(())
    }
}

/// What reading files came to.
struct Pass {
    records: u64,
    skipped: u64,
    /// Which of the files is being read.
    file: usize,
    /// When that file was made.
    made: Made,
    proven: bool,
    seen: Seen,
}

impl Pass {
    fn new() -> Self {
        Self {
            records: 0,
            skipped: 0,
            file: 0,
            made: Made {
                by: Timestamp::MAX,
                told: false,
            },
            proven: true,
            seen: Seen::default(),
        }
    }

    fn leave_out(&mut self, problem: &str) {
        self.skipped += 1;
        let number = self.records + self.skipped;
        tracing::warn!(
            event = "export.order_without_code",
            number,
            "Record {number} of the export has no order number and is left out: {problem}"
        );
    }
}

impl ExportSource {
    /// An export source; nothing is read yet.
    ///
    /// # Errors
    /// What in the configuration cannot be used.
    pub fn new(setup: Setup, clock: SharedClock) -> Result<Self, SourceError> {
        let wrong = |key: &str, fault: Fault| named(&format!("shop.source.{key}"), fault);
        let split = |path: &Option<String>| -> Vec<String> {
            let separator = if setup.kind == SourceKind::Json { '.' } else { '/' };
            path.as_deref()
                .unwrap_or_default()
                .split(separator)
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let (path, items) = (split(&setup.records.order), split(&setup.records.item));
        if setup.kind == SourceKind::Xml && path.is_empty() {
            return Err(wrong(
                "records.order",
                Fault::hinted(
                    "an xml export needs the path of one order",
                    "write e.g. order = \"ORDERS/ORDER\" into shop.source.records",
                ),
            ));
        }
        let charset = match &setup.records.encoding {
            None => None,
            Some(name) => Some(bytes::encoding(name).ok_or_else(|| {
                wrong(
                    "records.encoding",
                    Fault::hinted(
                        format!("`{name}` is not an encoding"),
                        "write utf-8, windows-1250, windows-1252 or iso-8859-2",
                    ),
                )
            })?),
        };
        let templates = Templates::new(
            &setup.map,
            &setup.options,
            setup.cursor.clone(),
            setup.zone.clone(),
        )
        .map_err(|fault| wrong("map", fault))?;
        if !templates.has_items() {
            return Err(wrong(
                "map",
                Fault::hinted(
                    "no template fills an item column",
                    "write e.g. \"items.code\" = \"{{ CODE }}\" into shop.source.map",
                ),
            ));
        }
        let place = if local::is_local(setup.url.expose()) {
            Place::Local(local::Local::new(setup.url.expose()).map_err(|fault| wrong("url", fault))?)
        } else {
            let fetch = fetch::Fetch::new(&setup, Arc::clone(&clock)).map_err(|fault| wrong("url", fault))?;
            Place::Http(Box::new(fetch))
        };
        Ok(Self {
            place,
            clock,
            batch: setup.batch.max(1),
            complete: setup.records.complete,
            format: Arc::new(Format {
                kind: setup.kind,
                path,
                items,
                charset,
                templates,
                told: Mutex::default(),
                records: setup.records,
            }),
            handed: Mutex::default(),
        })
    }

    fn handed(&self) -> Option<Handed> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn find(&self, read: Read) -> Result<Found, SourceError> {
        match &self.place {
            Place::Local(local) => local.find(&*self.clock).await,
            Place::Http(fetch) => fetch.find(read, self.handed().as_ref()).await,
        }
    }

    /// Reads the files on a thread of its own; what `each` says of a record decides whether it goes on. After the
    /// last one it is called with none.
    async fn pass<T: Send + 'static>(
        &self,
        files: Vec<PathBuf>,
        told: bool,
        mut state: T,
        mut each: impl FnMut(&mut T, &Format, Option<Met>, &mut Pass) -> Result<(), Fault> + Send + 'static,
    ) -> Result<(T, Pass), SourceError> {
        let format = Arc::clone(&self.format);
        // how we call our copy says nothing to anybody
        let address = match &self.place {
            Place::Local(_) => None,
            Place::Http(fetch) => Some(fetch.shown().to_owned()),
        };
        let done = tokio::task::spawn_blocking(move || {
            let mut pass = Pass::new();
            pass.made.told = told;
            for (number, file) in files.iter().enumerate() {
                pass.file = number;
                format
                    .file(file, &mut pass, &mut |met, pass| {
                        each(&mut state, &format, Some(met), pass)
                    })
                    // what was read before the fault is handed over, too
                    .or_else(|fault| {
                        each(&mut state, &format, None, &mut pass)?;
                        Err(fault)
                    })
                    .map_err(|fault| match &address {
                        Some(address) => named(address, fault),
                        None => named(&label(file), fault),
                    })?;
            }
            each(&mut state, &format, None, &mut pass).map_err(|fault| named("the export", fault))?;
            Ok((state, pass))
        });
        done.await.map_err(|_| SourceError::Stopped)?
    }
}

impl Format {
    /// Reads one file to its end, or says why it is not whole.
    fn file(
        &self,
        path: &Path,
        pass: &mut Pass,
        each: &mut dyn FnMut(Met, &mut Pass) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let file = local::Watched::open(path)?;
        pass.made.by = file.made();
        let mut records: Box<dyn Records> = match self.kind {
            SourceKind::Xml => {
                let input = bytes::open(file.reader()?, self.charset())?;
                let number = self.templates.number().map(str::to_owned);
                Box::new(xml::Xml::new(
                    input,
                    self.path.clone(),
                    self.items.clone(),
                    number,
                ))
            }
            SourceKind::Csv => Box::new(csv::Csv::open(
                &|| file.reader(),
                self.charset,
                &self.records,
                &|columns| self.templates.names_must_be(columns),
            )?),
            SourceKind::Json => {
                let input = bytes::open(file.reader()?, self.charset())?;
                Box::new(json::Json::new(input, self.path.clone(), self.items.clone()))
            }
            _ => return Err(Fault::bad("it is a database, not an export")),
        };
        loop {
            let next = records.next();
            // what a writer does to the file while we read looks like damage: say what it is
            let Some(met) = next.map_err(|fault| file.explain(fault))? else {
                break;
            };
            each(met, pass).map_err(|fault| file.explain(fault))?;
        }
        pass.proven &= records.proves_its_end();
        file.still_the_same()
    }

    fn charset(&self) -> Charset {
        self.charset.map_or(Charset::Declared, Charset::Fixed)
    }

    /// Tells once of each name that a template uses and no record had.
    fn tell_unknown(&self, seen: &Seen) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (template, name) in self.templates.unknown(seen) {
            if told.insert((template.clone(), name.clone())) {
                tracing::warn!(
                    event = "export.unknown_name",
                    template,
                    name,
                    "Template `{template}` names `{name}`, which no order of the export has; write `order.{name}` (in \
                     an item `item.{name}`) if it may be missing"
                );
            }
        }
    }
}

/// A file's name without its folder.
fn label(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| "the export".into(), |name| name.to_string_lossy().into_owned())
}

/// A fault with the file's or the setting's name.
fn named(name: &str, fault: Fault) -> SourceError {
    match fault {
        Fault::Torn(what) => SourceError::Unavailable {
            what: format!("export `{name}` is not whole: {what}"),
        },
        Fault::Bad { message, hint } => SourceError::Query {
            query: name.to_owned(),
            message,
            hint: hint.or_else(|| {
                Some("look at the file, and at what makes it: it stays unread until it is another".into())
            }),
        },
        Fault::Stopped => SourceError::Stopped,
    }
}

impl ExportSource {
    async fn hand_over(
        &self,
        read: Read,
        known_rows: Option<Arc<dyn Known>>,
        batches: mpsc::Sender<Vec<Record>>,
    ) -> Result<ReadEnd, SourceError> {
        let found = self.find(read).await?;
        // an export that was handed over to its end and whose cursor was taken on (the next read asks for another
        // moment) need not be read again; a sweep (no moment) always reads
        let known = self.handed().is_some_and(|handed| {
            handed.mark == found.mark && read.since.is_some() && handed.since != read.since
        });
        if found.unchanged || known {
            return Ok(ReadEnd {
                started: found.started,
                records: 0,
                listed: None,
                unchanged: true,
            });
        }
        let overlay = found.overlay;
        let last_file = found.files.len().saturating_sub(1);
        let mut start = Handing::new(batches, self.batch, known_rows);
        start.listed = (self.complete && found.full).then(Listed::default);
        let (handing, pass) = self
            .pass(
                found.files,
                found.told,
                start,
                move |handing, format, met, pass| {
                    let Some(met) = met else {
                        handing.ask(format, pass)?;
                        return handing.hand_over();
                    };
                    let Some(code) = format.templates.code(&met) else {
                        let raw = met.whole()?;
                        pass.seen.record(&raw);
                        let problem = format.templates.record(&raw).err();
                        pass.leave_out(problem.as_deref().unwrap_or("its order number cannot be read"));
                        return Ok(());
                    };
                    if let Some(listed) = &mut handing.listed {
                        listed.add(&code);
                        // whose number cannot be read stands there all the same
                        pass.proven &= !code.as_str().contains('\u{FFFD}');
                    }
                    if overlay && handing.newer.get(&code).is_some_and(|file| *file < pass.file) {
                        return Ok(());
                    }
                    if overlay && pass.file < last_file {
                        handing.newer.entry(code.clone()).or_insert(pass.file);
                    }
                    handing.take(format, code, met, pass)
                },
            )
            .await?;
        self.format.tell_unknown(&pass.seen);
        let mark = match (&self.place, &found.incoming) {
            (Place::Http(fetch), Some(incoming)) => fetch.keep(incoming, pass.records + pass.skipped)?,
            _ => found.mark,
        };
        *self.handed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Handed {
            mark,
            since: read.since,
            started: found.started,
        });
        Ok(ReadEnd {
            started: found.started,
            records: pass.records,
            // an export without a single order is a mistake somewhere before it is the end of a shop
            listed: handing
                .listed
                .filter(|_| pass.proven && pass.skipped == 0 && pass.records > 0)
                .filter(|_| {
                    found
                        .incoming
                        .as_ref()
                        .is_none_or(|incoming| !incoming.open_ended)
                }),
            unchanged: false,
        })
    }
}

#[async_trait]
impl Source for ExportSource {
    async fn read(&self, read: Read, batches: mpsc::Sender<Vec<Record>>) -> Result<ReadEnd, SourceError> {
        self.hand_over(read, None, batches).await
    }

    async fn read_unknown(
        &self,
        read: Read,
        known: Arc<dyn Known>,
        batches: mpsc::Sender<Vec<Record>>,
    ) -> Result<ReadEnd, SourceError> {
        self.hand_over(read, Some(known), batches).await
    }

    async fn lookup(&self, codes: &[OrderCode]) -> Result<Vec<Record>, SourceError> {
        if codes.is_empty() {
            return Ok(Vec::new());
        }
        let (files, told) = match &self.place {
            Place::Local(local) => (local.find(&*self.clock).await?.files, true),
            Place::Http(fetch) => fetch.copies()?,
        };
        let asked: HashMap<OrderCode, usize> = codes
            .iter()
            .cloned()
            .enumerate()
            .map(|(place, code)| (code, place))
            .collect();
        let start: Vec<Option<(usize, Record)>> = vec![None; codes.len()];
        let (found, _) = self
            .pass(files, told, start, move |found, format, met, pass| {
                let Some(met) = met else { return Ok(()) };
                let Some(&place) = format.templates.code(&met).and_then(|code| asked.get(&code)) else {
                    return Ok(());
                };
                // what a read hands over last is what stands: the last mention, of the newest file
                let older = matches!(&found[place], Some((file, _)) if *file != pass.file);
                if !older {
                    let seal = seal::seal(&met, &mut Vec::new());
                    found[place] = format.templates.record(&met.whole()?).ok().map(|mut record| {
                        record.seal = Some(seal);
                        record.made = Some(pass.made);
                        (pass.file, record)
                    });
                }
                Ok(())
            })
            .await?;
        Ok(found.into_iter().flatten().map(|(_, record)| record).collect())
    }

    async fn lists(&self) -> Result<Lists, SourceError> {
        Ok(Lists::default())
    }

    async fn check(&self) -> Vec<Finding> {
        let found = match self.find(Read { since: None }).await {
            Ok(found) => found,
            Err(error) => return vec![failed(&error)],
        };
        let count = found.files.len();
        let (_, pass) = match self
            .pass(found.files, found.told, (), |(), format, met, pass| {
                let Some(met) = met else { return Ok(()) };
                let raw = met.whole()?;
                pass.seen.record(&raw);
                match format.templates.record(&raw) {
                    Ok(record) if record.order.get("_problem").is_none() => pass.records += 1,
                    _ => pass.skipped += 1,
                }
                Ok(())
            })
            .await
        {
            Ok(done) => done,
            Err(error) => return vec![failed(&error)],
        };
        if let (Place::Http(fetch), Some(incoming)) = (&self.place, &found.incoming)
            && let Err(error) = fetch.keep(incoming, pass.records + pass.skipped)
        {
            return vec![failed(&error)];
        }
        let mut findings = vec![Finding {
            ok: (pass.records > 0).then_some(true),
            text: format!(
                "the export is whole: {} orders in {count} {}",
                pass.records,
                if count == 1 { "file" } else { "files" }
            ),
            hint: (pass.records == 0).then(|| {
                "an export without orders is fine for a new shop; else look at shop.source.records".into()
            }),
        }];
        if pass.skipped > 0 {
            findings.push(Finding {
                ok: Some(false),
                text: format!("{} orders of the export cannot be read", pass.skipped),
                hint: Some("the log of `brani-sync once --dry-run` names each with its template".into()),
            });
        }
        for (template, name) in self.format.templates.unknown(&pass.seen) {
            findings.push(Finding {
                ok: None,
                text: format!("template `{template}` names `{name}`, which no order of the export has"),
                hint: Some(format!(
                    "correct the name, or write `order.{name}` (in an item `item.{name}`) if it may be missing"
                )),
            });
        }
        findings
    }

    fn is_live(&self) -> bool {
        false
    }
}

/// Says that an order will be parked, and why.
fn tell_problem(record: &Record) {
    if let Some(problem) = record.order.get("_problem") {
        let (code, problem) = (record.code.as_str(), problem.to_text());
        tracing::warn!(
            event = "export.order_unreadable",
            code,
            "Order `{code}` cannot be read from the export and will be parked: {problem}"
        );
    }
}

fn failed(error: &SourceError) -> Finding {
    Finding {
        ok: Some(false),
        text: error.to_string(),
        hint: error.hint().map(str::to_owned),
    }
}
