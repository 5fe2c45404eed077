//! Invoices: found by the configuration or a column, uploaded when they are there, again when their content changes.
//!
//! A file is opened only below its folder, whatever a code or a column says. It is looked at rarely and more rarely:
//! size and time of change first, the content only where they differ. A missing one is no error.

use super::{Beside, Due, Report, field, is_refusal, park, refusal};
use crate::brani::Error;
use crate::clock::later;
use crate::config::secret::Secret;
use crate::context::{Context, InvoiceRules, PassError};
use crate::ledger::extras::{self, Extra, Hash, State};
use crate::mapping::extras::Kind;
use crate::mapping::{Owner, Problem};
use crate::panics;
use crate::trouble::Weight;
use crate::types::{OrderCode, ShopKey};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// Bytes of an invoice where no `[invoices]` says otherwise.
const BYTES_MAX: u64 = 10 << 20;
/// The longest pause between two looks.
const PAUSE_MAX: SignedDuration = SignedDuration::from_hours(6);
/// Where nothing is configured, a column's invoice is looked for this long.
const LOOK_FOR: Duration = Duration::from_secs(14 * 86_400);

/// How invoices are fetched from the shop's web.
pub struct Web {
    http: Option<reqwest::Client>,
    headers: Vec<(String, Secret)>,
}

impl Web {
    /// With headers for `invoices.url`.
    pub fn new(timeout: Duration, headers: Vec<(String, Secret)>) -> Self {
        Self {
            // No TLS on this machine: the client of the service says so, too, and louder.
            http: crate::http::client(timeout).ok(),
            headers,
        }
    }
}

/// What the row says of its invoice.
#[derive(Debug, Deserialize)]
struct Wish {
    /// `_invoice`, where there is such a column.
    named: Option<String>,
}

/// What the ledger remembers of an invoice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// Size and time of change of the file last looked into.
    mark: String,
    /// The web's own mark of the content.
    etag: String,
    /// An upload was begun and its end is not known.
    begun: bool,
}

impl Memory {
    fn of(extra: &Extra) -> Self {
        super::kept(extra.memory.as_deref())
    }
}

/// Where an invoice is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file below a folder.
    File {
        /// The folder.
        folder: PathBuf,
        /// The file.
        path: PathBuf,
    },
    /// An address; `ours` where `invoices.url` names its host, so that the headers may go along.
    Web {
        /// The address.
        url: url::Url,
        /// The headers go along.
        ours: bool,
    },
}

fn wrong(found: &str, rule: &str, hint: &str) -> Problem {
    Problem {
        field: field(Kind::Invoice).into(),
        found: Some(found.chars().take(100).collect()),
        rule: rule.into(),
        hint: hint.into(),
        owner: Owner::Shop,
    }
}

/// Where the invoice of an order is to be looked for. Nothing is opened here.
///
/// # Errors
/// Why it is looked for nowhere.
pub fn locate(
    rules: Option<&InvoiceRules>,
    code: &OrderCode,
    key: &ShopKey,
    named: Option<&str>,
) -> Result<Place, Problem> {
    let template = |name: fn(&InvoiceRules) -> Option<&String>| rules.and_then(name);
    match named {
        Some(named) if named.starts_with("http://") || named.starts_with("https://") => {
            let url = url::Url::parse(named)
                .map_err(|_| wrong("", "is no address", "give a whole https address"))?;
            let host = template(|rules| rules.url.as_ref())
                .and_then(|url| url::Url::parse(url.split('{').next().unwrap_or("")).ok());
            let ours = host.is_some_and(|host| host.origin() == url.origin());
            web(url, ours)
        }
        Some(named) => below(rules, named),
        None => match (
            template(|rules| rules.path.as_ref()),
            template(|rules| rules.url.as_ref()),
        ) {
            (Some(path), _) => below(
                rules,
                &path
                    .replace("{code}", code.as_str())
                    .replace("{key}", key.as_str()),
            ),
            (None, Some(url)) => {
                let text = url
                    .replace("{code}", &encoded(code.as_str()))
                    .replace("{key}", &encoded(key.as_str()));
                if [code.as_str(), key.as_str()]
                    .iter()
                    .any(|part| matches!(*part, "." | ".."))
                {
                    return Err(wrong(
                        code.as_str(),
                        "would lead to another address",
                        "give the order another code",
                    ));
                }
                let url = url::Url::parse(&text).map_err(|_| {
                    wrong(
                        code.as_str(),
                        "makes no address of `invoices.url`",
                        "mend `invoices.url`",
                    )
                })?;
                web(url, true)
            }
            (None, None) => Err(wrong(
                "",
                "is looked for nowhere",
                "write `invoices.path`, `invoices.url`, or a column `_invoice`",
            )),
        },
    }
}

/// Everything but the unreserved characters of RFC 3986.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn web(url: url::Url, ours: bool) -> Result<Place, Problem> {
    match crate::http::refuse_plain(&url) {
        Ok(()) => Ok(Place::Web { url, ours }),
        Err(why) => Err(wrong(url.host_str().unwrap_or(""), "cannot be fetched", &why)),
    }
}

fn below(rules: Option<&InvoiceRules>, name: &str) -> Result<Place, Problem> {
    let Some(folder) = rules.and_then(|rules| rules.folder.clone()) else {
        return Err(wrong(
            name,
            "is a file, and no folder is named that files may be read from",
            "write `invoices.folder`",
        ));
    };
    let climbs = name.split('/').any(|part| part == "..") || name.contains('\0');
    let path = folder.join(name);
    if climbs || !path.starts_with(&folder) {
        return Err(wrong(
            name,
            "leads out of the invoices' folder",
            "keep invoices in `invoices.folder`, and `..` and foreign folders out of codes and names",
        ));
    }
    Ok(Place::File { folder, path })
}

/// What a look at an invoice found.
#[derive(Debug)]
enum Found {
    Missing,
    /// The folder itself, or the web, cannot be asked.
    Away(String),
    Bad {
        problem: Problem,
        memory: Memory,
    },
    /// As it was at the last look.
    Same,
    There {
        body: Body,
        length: u64,
        hash: Hash,
        memory: Memory,
    },
}

#[derive(Debug)]
enum Body {
    File(File),
    Bytes(Vec<u8>),
}

fn too_large(what: &str, bytes_max: u64) -> Problem {
    wrong(
        what,
        &format!("is larger than {} MiB", bytes_max >> 20),
        "make it smaller, or raise `invoices.max_mib`",
    )
}

fn no_pdf(what: &str) -> Problem {
    wrong(
        what,
        "is no PDF: it does not begin with `%PDF-`",
        "write the invoice there as a PDF file; it is looked at again when it changes",
    )
}

/// Looks at a file. Blocking.
fn look(folder: &Path, path: &Path, before: &Memory, bytes_max: u64) -> Found {
    let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let folder = match folder.canonicalize() {
        Ok(folder) => folder,
        Err(error) => return Found::Away(format!("the folder `{}`: {error}", folder.display())),
    };
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Found::Missing;
        }
        Err(error) => return unreadable(&name, &error),
    };
    let bad = |problem: Problem, mark: &str| Found::Bad {
        problem,
        memory: Memory {
            mark: mark.to_owned(),
            ..Memory::default()
        },
    };
    if !real.starts_with(&folder) {
        let problem = wrong(
            &name,
            "leads out of the invoices' folder",
            "a link must not lead elsewhere: put the file itself there",
        );
        return bad(problem, "out");
    }
    // Asked before it is opened: a pipe would never answer.
    match std::fs::metadata(&real) {
        Ok(data) if data.is_file() => {}
        Ok(_) => {
            return bad(
                wrong(&name, "is no file", "put the invoice there as a file"),
                "no file",
            );
        }
        Err(_) => return Found::Missing,
    }
    let mut file = match File::open(&real) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Found::Missing,
        Err(error) => return unreadable(&name, &error),
    };
    let Ok(data) = file.metadata() else {
        return Found::Missing;
    };
    let mark = format!(
        "{}:{}.{}:{}",
        data.len(),
        data.mtime(),
        data.mtime_nsec(),
        data.ino()
    );
    if mark == before.mark && !before.begun {
        return Found::Same;
    }
    if data.len() > bytes_max {
        return bad(too_large(&name, bytes_max), &mark);
    }
    match hashed(&mut file, bytes_max) {
        Ok((length, hash, true)) => Found::There {
            body: Body::File(file),
            length,
            hash,
            memory: Memory {
                mark,
                ..Memory::default()
            },
        },
        Ok((_, _, false)) => bad(no_pdf(&name), &mark),
        Err(error) => unreadable(&name, &error),
    }
}

/// One file that cannot be read is no trouble of the others.
fn unreadable(name: &str, error: &std::io::Error) -> Found {
    Found::Bad {
        problem: wrong(
            name,
            &format!("cannot be read: {}", error.kind()),
            "let the service's user read it",
        ),
        memory: Memory::default(),
    }
}

/// Length, hash, and whether it begins as a PDF does; the file stands at its beginning afterwards.
fn hashed(file: &mut File, bytes_max: u64) -> std::io::Result<(u64, Hash, bool)> {
    let mut hash = Xxh3::new();
    let mut start = Vec::new();
    let mut length = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 || length > bytes_max {
            break;
        }
        if start.len() < 5 {
            start.extend_from_slice(&buffer[..read.min(5)]);
        }
        hash.update(&buffer[..read]);
        length += read as u64;
    }
    file.rewind()?;
    Ok((
        length,
        hash.digest128().to_be_bytes(),
        start.starts_with(b"%PDF-"),
    ))
}

impl Web {
    /// Fetches an invoice; one that has not changed is not read.
    async fn look(&self, url: &url::Url, ours: bool, before: &Memory, bytes_max: u64) -> Found {
        let Some(http) = &self.http else {
            return Found::Away("TLS cannot be set up on this machine".into());
        };
        let mut request = http.get(url.clone());
        for (name, value) in self.headers.iter().filter(|_| ours) {
            request = request.header(name, value.expose());
        }
        if !before.etag.is_empty() && !before.begun {
            request = request.header(reqwest::header::IF_NONE_MATCH, &before.etag);
        }
        let host = url.host_str().unwrap_or("");
        let answer = match request.send().await {
            Ok(answer) => answer,
            // Its own words would repeat the address, which may hold a secret.
            Err(error) => {
                let what = if error.is_timeout() {
                    "no answer in time"
                } else {
                    "no connection"
                };
                return Found::Away(format!("{host}: {what}"));
            }
        };
        match answer.status().as_u16() {
            304 => return Found::Same,
            404 | 410 => return Found::Missing,
            200 => {}
            status => return Found::Away(format!("{host} answered HTTP {status}")),
        }
        let etag = answer
            .headers()
            .get(reqwest::header::ETAG)
            .and_then(|etag| etag.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let memory = Memory {
            etag,
            ..Memory::default()
        };
        let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        match crate::http::body(answer, limit).await {
            Ok(Some(bytes)) if bytes.starts_with(b"%PDF-") => Found::There {
                length: bytes.len() as u64,
                hash: xxhash_rust::xxh3::xxh3_128(&bytes).to_be_bytes(),
                body: Body::Bytes(bytes),
                memory,
            },
            Ok(Some(_)) => Found::Bad {
                problem: no_pdf(host),
                memory,
            },
            Ok(None) => Found::Bad {
                problem: too_large(host, bytes_max),
                memory,
            },
            Err(_) => Found::Away(format!("{host}: the connection broke")),
        }
    }
}

/// When to look again: the older the wish, the rarer; none once it is too old.
fn next_look(extra: &Extra, now: Timestamp, look_for: Duration, web: bool, there: bool) -> Option<Timestamp> {
    let age = now.duration_since(extra.since).max(SignedDuration::ZERO);
    if age > SignedDuration::try_from(look_for).unwrap_or(SignedDuration::MAX) {
        return None;
    }
    let least = match (web, there) {
        (true, true) => SignedDuration::from_hours(1),
        (true, false) => SignedDuration::from_secs(60),
        // More than nothing, so that one pass looks once.
        (false, _) => SignedDuration::from_millis(5),
    };
    let share = if web { 4 } else { 20 };
    let pause = SignedDuration::from_millis(i64::try_from(age.as_millis()).unwrap_or(i64::MAX) / share);
    now.checked_add(pause.clamp(least, PAUSE_MAX)).ok()
}

/// What a look and what followed from it say of an invoice.
enum Seen {
    Missing {
        removed: bool,
    },
    Away(String),
    Same,
    Bad {
        problem: Problem,
        memory: Memory,
    },
    Uploaded {
        hash: Hash,
        memory: Memory,
    },
    /// The content is what Brani has; only the file was touched.
    Touched {
        memory: Memory,
    },
    Failed {
        error: Error,
        memory: Memory,
    },
    /// Nobody wants it any more.
    Dropped,
}

impl Beside {
    /// Looks at the invoices that are due, and uploads what is new.
    pub(super) async fn invoices(
        &self,
        context: &Context,
        due: Vec<Due>,
        report: &mut Report,
    ) -> Result<(), PassError> {
        let width = context.rules.concurrency.max(1);
        let (mut away, mut answered) = (None, false);
        for due in due.chunks(width * 16) {
            let seen: Vec<(Extra, bool, Seen)> = stream::iter(due.iter().cloned())
                .map(|due| async move {
                    let (web, seen) = self.invoice(context, &due).await;
                    (due.extra, web, seen)
                })
                .buffer_unordered(width)
                .collect()
                .await;
            for (.., seen) in &seen {
                match seen {
                    Seen::Away(why) => away = Some(why.clone()),
                    Seen::Missing { .. } | Seen::Same | Seen::Uploaded { .. } | Seen::Touched { .. } => {
                        answered = true;
                    }
                    _ => {}
                }
            }
            self.keep(context, seen, report).await?;
            if self.weather().is_out() {
                break;
            }
        }
        // One address that fails is told in `explain`; it is a trouble when none answers.
        match away {
            Some(why) if !answered => context.troubles.begin(
                "invoices.away",
                Weight::Warn,
                &format!("Invoices cannot be read: {why}"),
                "check the folder and its rights for the service's user, or the shop's web; uploading goes on by itself",
                context.now(),
            ),
            _ if answered => {
                context
                    .troubles
                    .end("invoices.away", "Invoices can be read again", context.now());
            }
            _ => {}
        }
        Ok(())
    }

    async fn invoice(&self, context: &Context, due: &Due) -> (bool, Seen) {
        let rules = context.rules.extras.invoices.as_ref();
        let extra = &due.extra;
        let memory = Memory::of(extra);
        let removes = rules.is_some_and(|rules| rules.remove);
        let Some(wish) = extra
            .value
            .as_deref()
            .and_then(|text| serde_json::from_str::<Wish>(text).ok())
        else {
            if removes && extra.sent.is_some() && extra.wanted.is_none() {
                return (false, self.take_back(context, extra, Seen::Dropped).await);
            }
            return (false, Seen::Dropped);
        };
        let place = match locate(rules, &extra.code, &due.key, wish.named.as_deref()) {
            Ok(place) => place,
            Err(problem) => return (false, Seen::Bad { problem, memory }),
        };
        let web = matches!(place, Place::Web { .. });
        let bytes_max = rules.map_or(BYTES_MAX, |rules| rules.bytes_max);
        let before = memory.clone();
        let found = match place {
            Place::File { folder, path } => {
                let looked = tokio::task::spawn_blocking(move || look(&folder, &path, &before, bytes_max));
                looked
                    .await
                    .unwrap_or_else(|error| Found::Away(panics::task(&error).to_owned()))
            }
            Place::Web { url, ours } => self.web.look(&url, ours, &before, bytes_max).await,
        };
        let seen = match found {
            Found::Away(why) => Seen::Away(why),
            Found::Same => Seen::Same,
            Found::Bad { problem, memory } => Seen::Bad { problem, memory },
            Found::Missing if removes && extra.sent.is_some() => {
                self.take_back(context, extra, Seen::Missing { removed: true })
                    .await
            }
            Found::Missing => Seen::Missing { removed: false },
            Found::There { hash, memory, .. } if extra.sent == Some(hash) && !before_begun(extra) => {
                Seen::Touched { memory }
            }
            Found::There {
                body,
                length,
                hash,
                memory,
            } => self.upload(context, extra, body, length, hash, memory).await,
        };
        (web, seen)
    }

    async fn upload(
        &self,
        context: &Context,
        extra: &Extra,
        body: Body,
        length: u64,
        hash: Hash,
        memory: Memory,
    ) -> Seen {
        let body = match body {
            Body::File(file) => tokio::fs::File::from_std(file).into(),
            Body::Bytes(bytes) => bytes.into(),
        };
        match self.service.upload_invoice(&extra.code, body, length).await {
            Ok(()) => {
                self.success(context);
                Seen::Uploaded { hash, memory }
            }
            Err(error) => {
                self.failure(context, &extra.code, &error);
                Seen::Failed { error, memory }
            }
        }
    }

    async fn take_back(&self, context: &Context, extra: &Extra, then: Seen) -> Seen {
        match self.service.delete_invoice(&extra.code).await {
            Ok(()) => {
                self.success(context);
                then
            }
            Err(error) => {
                self.failure(context, &extra.code, &error);
                Seen::Failed {
                    error,
                    memory: Memory::of(extra),
                }
            }
        }
    }

    /// Marks what was seen, in one transaction.
    async fn keep(
        &self,
        context: &Context,
        seen: Vec<(Extra, bool, Seen)>,
        report: &mut Report,
    ) -> Result<(), PassError> {
        let now = context.now();
        let look_for = context
            .rules
            .extras
            .invoices
            .as_ref()
            .map_or(LOOK_FOR, |rules| rules.look_for);
        let others = self.weather().others_succeed(now);
        for (extra, _, seen) in &seen {
            match seen {
                Seen::Uploaded { .. } => {
                    report.told += 1;
                    tracing::debug!(event = "extras.invoice", ORDER_CODE = %extra.code, "Uploaded the invoice of order `{}`", extra.code);
                }
                Seen::Missing { removed: true } => {
                    report.told += 1;
                    tracing::info!(event = "extras.invoice_removed", ORDER_CODE = %extra.code,
                        "Removed the invoice of order `{}` at Brani: its file is gone", extra.code);
                }
                Seen::Failed { .. } => report.failed += 1,
                _ => {}
            }
        }
        let parked = context
            .ledger
            .write(move |connection| {
                let mut parked = Vec::new();
                for (before, web, seen) in seen {
                    let Some(mut extra) = extras::get(connection, &before.code, Kind::Invoice)? else {
                        continue;
                    };
                    let other = extra.wanted != before.wanted;
                    let was = extra.problem.clone();
                    let there = !matches!(seen, Seen::Missing { .. } | Seen::Bad { .. });
                    let next = next_look(&extra, now, look_for, web, there);
                    if !step(&mut extra, seen, next, now, others) {
                        extras::remove(connection, &extra.code, Kind::Invoice)?;
                        continue;
                    }
                    if other {
                        // The row names another invoice by now: it is looked at anew.
                        extra.state = State::Waiting;
                        extra.memory = None;
                        extra.problem = None;
                        extra.due = Some(Timestamp::UNIX_EPOCH);
                    } else if extra.due.is_none() && extra.state == State::Sent {
                        // Nobody looks at it any more: its place need not be known.
                        extra.value = None;
                    }
                    if let Some(problem) = extra
                        .problem
                        .clone()
                        .filter(|problem| was.as_ref() != Some(problem))
                    {
                        let why = match problem.owner {
                            Owner::Brani => "Brani refused it".to_owned(),
                            _ => problem.to_string(),
                        };
                        parked.push((extra.code.clone(), why));
                    }
                    extras::put(connection, &extra)?;
                }
                Ok(parked)
            })
            .await?;
        report.parked += parked.len() as u64;
        for (code, why) in parked {
            super::tell_parked(&code, Kind::Invoice, &why);
        }
        Ok(())
    }
}

fn before_begun(extra: &Extra) -> bool {
    Memory::of(extra).begun
}

/// The invoice after a look; false where nothing is to be kept of it.
fn step(extra: &mut Extra, seen: Seen, next: Option<Timestamp>, now: Timestamp, others: bool) -> bool {
    let written = |memory: &Memory| serde_json::to_string(memory).ok();
    let fine = |extra: &mut Extra| {
        extra.problem = None;
        extra.note = None;
        extra.attempts = 0;
        extra.failing_since = None;
        extra.due = next;
    };
    match seen {
        Seen::Dropped if extra.wanted.is_none() => return false,
        Seen::Dropped => extra.due = None,
        Seen::Missing { removed } => {
            fine(extra);
            extra.state = State::Missing;
            if removed {
                extra.sent = None;
                extra.memory = None;
            }
        }
        Seen::Away(why) => {
            extra.attempts = extra.attempts.saturating_add(1);
            extra.failing_since.get_or_insert(now);
            extra.note = Some(why);
            let wait = Duration::from_secs(60 * u64::from(extra.attempts.min(10)));
            extra.due = Some(later(now, wait));
        }
        Seen::Same => {
            extra.attempts = 0;
            extra.failing_since = None;
            extra.note = None;
            extra.due = next;
        }
        Seen::Touched { memory } => {
            fine(extra);
            extra.state = State::Sent;
            extra.memory = written(&memory);
        }
        Seen::Uploaded { hash, memory } => {
            fine(extra);
            extra.state = State::Sent;
            extra.sent = Some(hash);
            extra.memory = written(&memory);
            extra.done = Some(now);
        }
        Seen::Bad { problem, memory } => {
            extra.memory = written(&memory);
            park(extra, problem);
            extra.due = next;
        }
        Seen::Failed { error, mut memory } => {
            let refused = match &error {
                Error::Rejected { .. } => true,
                error => is_refusal(error) && others,
            };
            if refused {
                extra.memory = written(&memory);
                park(extra, refusal(Kind::Invoice, &error));
                extra.due = next;
            } else {
                // What stands at Brani now is not known: the next look uploads again.
                memory.begun = true;
                extra.memory = written(&memory);
                extra.attempts = extra.attempts.saturating_add(1);
                extra.failing_since.get_or_insert(now);
                extra.note = Some(error.to_string());
                let wait = super::backoff(extra.attempts, super::jitter(&extra.code, now));
                extra.due = Some(later(now, wait));
            }
        }
    }
    true
}
