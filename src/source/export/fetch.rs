//! Exports behind an https URL: fetched no more often than allowed, kept until the next whole one is here.
//!
//! The URL is a password to customers' data (Shoptet's `hash`): only its host and the last part of its path are
//! ever shown. A download becomes the kept copy once it has been read to its proper end, not before.

use super::address::{request_url, shown, takes_since, wall};
use super::bytes::Fault;
use super::{Found, Handed, Setup, limits};
use crate::clock::SharedClock;
use crate::config::secret::Secret;
use crate::http;
use crate::source::{Read, SourceError};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt;

/// A server that says nothing for this long is away.
const STALL: Duration = Duration::from_secs(60);
/// How long a download may take, however little by little it comes.
const LONGEST: Duration = Duration::from_secs(2 * 3600);
/// How long a server may ask to be left alone.
const LEFT_ALONE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// How often a server may send us elsewhere.
const REDIRECTS: usize = 3;
/// What the times of headers are told to.
const SECOND: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);
/// Exports of changes that are kept beside the whole one.
const CHANGES: usize = 2_000;

/// An export behind a URL.
pub struct Fetch {
    url: Secret,
    /// Host and file, for messages.
    shown: String,
    headers: Vec<(header::HeaderName, Secret)>,
    client: reqwest::Client,
    clock: SharedClock,
    zone: TimeZone,
    min_interval: Option<Duration>,
    folder: PathBuf,
    csv: bool,
    kept: Mutex<Kept>,
    /// One download at a time.
    busy: tokio::sync::Mutex<()>,
}

/// What is kept beside the copies.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Kept {
    /// Of which URL, as a hash: another shop's copies are no use.
    url: String,
    /// The whole export.
    full: Option<Copy>,
    /// When a whole export was last asked for.
    full_at: Option<Timestamp>,
    /// When changes were last asked for, and the server's clock then.
    changes_at: Option<Timestamp>,
    changes_started: Option<Timestamp>,
    /// The last number given to a file of changes.
    changes: u64,
    /// The server asked to be left alone until then.
    #[serde(default)]
    not_before: Option<Timestamp>,
}

/// The kept whole export.
#[derive(Clone, Serialize, Deserialize)]
struct Copy {
    etag: Option<String>,
    last_modified: Option<String>,
    /// Its file is as old as the server said.
    #[serde(default)]
    told: bool,
    started: Timestamp,
    /// Changes with every download.
    mark: String,
}

/// A download that has not been read yet. Removed unless it is kept.
pub struct Incoming {
    path: PathBuf,
    full: bool,
    copy: Copy,
    /// Nothing but the end of the connection told that it is whole.
    pub open_ended: bool,
    /// Held as long as it is of use, so that what a killed process left behind is known as litter.
    _lock: std::fs::File,
}

impl Incoming {
    /// Gives it the time at which it was made.
    fn is_of(&self, made: Timestamp) -> std::io::Result<()> {
        std::fs::File::options()
            .write(true)
            .open(&self.path)?
            .set_modified(SystemTime::from(made))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // a kept download was renamed, so nothing is there; else it is of no use to anyone
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Fetch {
    /// An export behind a URL; what an earlier run kept is taken over.
    ///
    /// # Errors
    /// What in the URL or the headers cannot be used, or that the folder cannot be made.
    pub fn new(setup: &Setup, clock: SharedClock) -> Result<Self, Fault> {
        // with a moment put in, since `{since}` itself would be escaped
        let probe = request_url(setup.url.expose(), Some("2000-01-01%2000:00:00"));
        let parsed = url::Url::parse(&probe).map_err(|error| {
            Fault::hinted(
                format!("the export's URL cannot be read ({error})"),
                "write https://… or file:///path",
            )
        })?;
        http::refuse_plain(&parsed).map_err(Fault::bad)?;
        let mut headers = Vec::new();
        for (name, value) in &setup.headers {
            let known = header::HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Fault::bad(format!("`{name}` is not a header's name")))?;
            if header::HeaderValue::from_str(value.expose()).is_err() {
                return Err(Fault::bad(format!(
                    "the value of header `{name}` has characters that a header cannot carry"
                )));
            }
            headers.push((known, value.clone()));
        }
        let client = http::download_client(STALL)
            .map_err(|_| Fault::bad("the system's certificates cannot be read"))?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&setup.state)
            .map_err(|error| Fault::bad(format!("cannot make the folder for downloads: {error}")))?;
        let fetch = Self {
            shown: shown(&parsed),
            url: setup.url.clone(),
            headers,
            client,
            clock,
            zone: setup.shop_zone.clone(),
            min_interval: setup.records.min_interval,
            folder: setup.state.clone(),
            csv: setup.kind == crate::config::SourceKind::Csv,
            kept: Mutex::default(),
            busy: tokio::sync::Mutex::new(()),
        };
        fetch.restore();
        Ok(fetch)
    }

    /// What to read: a new download, or the kept copies where nothing new is to be had.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn find(&self, read: Read, handed: Option<&Handed>) -> Result<Found, SourceError> {
        let _one = self.busy.lock().await;
        let incremental = takes_since(self.url.expose());
        let since = read.since.filter(|_| incremental);
        let kept = self.state();
        let now = self.clock.now();
        let last = if since.is_some() {
            kept.changes_at
        } else {
            kept.full_at
        };
        if let (Some(last), Some(least)) = (last, self.min_interval) {
            let due = last
                .checked_add(jiff::SignedDuration::try_from(least).unwrap_or(jiff::SignedDuration::MAX))
                .unwrap_or(Timestamp::MAX);
            // a clock that was put back must not stop us for as long as it was wrong
            if last <= now && now < due {
                return self.not_yet(since.is_some(), handed, due);
            }
        }
        if let Some(until) = kept.not_before.filter(|until| {
            // a clock that was put back must not stop us for as long as it was wrong
            now < *until && until.duration_since(now) <= LEFT_ALONE
        }) {
            return Err(self.away(&format!(
                "the server asked to be left alone until {until} (Retry-After)"
            )));
        }
        self.download(since, &kept).await
    }

    /// Nothing may be fetched now.
    fn not_yet(&self, changes: bool, handed: Option<&Handed>, due: Timestamp) -> Result<Found, SourceError> {
        let kept = self.state();
        if changes && let Some(handed) = handed {
            return Ok(Found {
                files: Vec::new(),
                mark: handed.mark.clone(),
                started: handed.started,
                full: false,
                unchanged: true,
                overlay: true,
                told: false,
                incoming: None,
            });
        }
        let files = self.files(&kept);
        if files.is_empty() {
            return Err(SourceError::Unavailable {
                what: format!(
                    "export {} has not been read whole yet and may not be fetched again before {due} \
                     (shop.source.records.min_interval)",
                    self.shown
                ),
            });
        }
        let copy = kept.full.as_ref();
        let started = if changes {
            kept.changes_started.or(copy.map(|copy| copy.started))
        } else {
            copy.map(|copy| copy.started).or(kept.changes_started)
        };
        Ok(Found {
            overlay: true,
            told: self.tells(&kept, &files),
            full: copy.is_some() && files.len() == 1,
            mark: self.mark(&kept),
            started: started.unwrap_or_else(|| self.clock.now()),
            files,
            unchanged: false,
            incoming: None,
        })
    }

    fn mark(&self, kept: &Kept) -> String {
        let copy = kept.full.as_ref().map_or("", |copy| copy.mark.as_str());
        format!("{copy}+{}", kept.changes)
    }

    async fn download(&self, since: Option<Timestamp>, kept: &Kept) -> Result<Found, SourceError> {
        let moment = since.map(|since| wall(since, &self.zone));
        let address = request_url(self.url.expose(), moment.as_deref());
        let mut target = url::Url::parse(&address).map_err(|_| self.away("its URL cannot be read"))?;
        let origin = target.origin();
        let condition = kept
            .full
            .as_ref()
            .filter(|_| since.is_none() && self.full_path().is_file());
        let asked = self.clock.now();
        let waited = tokio::time::Instant::now();
        let mut response = None;
        for _ in 0..=REDIRECTS {
            let mut request = self
                .client
                .get(target.clone())
                .header(header::ACCEPT_ENCODING, "gzip");
            if target.origin() == origin {
                for (name, value) in &self.headers {
                    request = request.header(name, value.expose());
                }
            }
            if let Some(copy) = condition {
                if let Some(etag) = &copy.etag {
                    request = request.header(header::IF_NONE_MATCH, etag);
                }
                if let Some(time) = &copy.last_modified {
                    request = request.header(header::IF_MODIFIED_SINCE, time);
                }
            }
            let answer = request.send().await.map_err(|error| self.broken(error))?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                response = Some(answer);
                break;
            }
            let place = answer
                .headers()
                .get(header::LOCATION)
                .and_then(|place| place.to_str().ok())
                .and_then(|place| target.join(place).ok())
                .ok_or_else(|| self.away("the server sends us elsewhere without saying where"))?;
            http::refuse_plain(&place).map_err(|why| {
                self.away(&format!("the server sends us to a place that is not used: {why}"))
            })?;
            target = place;
        }
        let Some(mut response) = response else {
            return Err(self.away(&format!(
                "the server sends us elsewhere more than {REDIRECTS} times"
            )));
        };
        let made = made(response.headers(), self.clock.now());
        // the server's clock when it began: what it says now, less what we waited for the first word
        let started = date(response.headers())
            .and_then(|now| {
                now.checked_sub(jiff::SignedDuration::try_from(waited.elapsed()).ok()?)
                    .ok()
            })
            .unwrap_or(asked);
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if condition.is_some() => {
                let state = self.change(|kept| {
                    kept.full_at = Some(asked);
                });
                let files = self.files(&state);
                return Ok(Found {
                    overlay: true,
                    told: self.tells(&state, &files),
                    full: files.len() == 1,
                    files,
                    mark: self.mark(&state),
                    started,
                    unchanged: false,
                    incoming: None,
                });
            }
            status => {
                if let Some(until) = retry_after(response.headers(), asked) {
                    self.change(|kept| kept.not_before = Some(until));
                }
                return Err(self.refused(status));
            }
        }
        self.change(|kept| {
            kept.not_before = None;
            match since {
                Some(_) => kept.changes_at = Some(asked),
                None => kept.full_at = Some(asked),
            }
        });
        let text = |name: header::HeaderName| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let open_ended = response.version() < reqwest::Version::HTTP_2
            && response.content_length().is_none()
            && !response.headers().contains_key(header::TRANSFER_ENCODING);
        let number: u64 = rand::random();
        let path = self.folder.join(format!("incoming-{number:016x}"));
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| {
                rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
                Ok((file.try_clone()?, file))
            });
        let (file, lock) = file.map_err(|error| self.away(&format!("cannot write the download: {error}")))?;
        let incoming = Incoming {
            path,
            full: since.is_none(),
            copy: Copy {
                etag: text(header::ETAG),
                last_modified: text(header::LAST_MODIFIED),
                told: made.is_some(),
                started,
                mark: format!("{number:016x}"),
            },
            open_ended,
            _lock: lock,
        };
        self.save(&mut response, file, open_ended).await?;
        // Our copy is as old as what is in it, whenever we came by it.
        let had = self.clock.now();
        let by = made.map_or(had, |made| made.min(had));
        incoming
            .is_of(by)
            .map_err(|error| self.away(&format!("cannot write the download: {error}")))?;
        Ok(Found {
            told: made.is_some(),
            files: vec![incoming.path.clone()],
            mark: incoming.copy.mark.clone(),
            started,
            full: since.is_none(),
            unchanged: false,
            overlay: false,
            incoming: Some(incoming),
        })
    }

    /// Writes a body into a file of our own, all of it or an error.
    async fn save(
        &self,
        response: &mut reqwest::Response,
        file: std::fs::File,
        open_ended: bool,
    ) -> Result<(), SourceError> {
        let full = |error: std::io::Error| self.away(&format!("cannot write the download: {error}"));
        let began = tokio::time::Instant::now();
        let (mut packed, mut last) = (None, b'\n');
        let mut file = tokio::io::BufWriter::with_capacity(256 << 10, tokio::fs::File::from_std(file));
        let announced = response.content_length();
        let mut length = 0u64;
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error))? {
            length += chunk.len() as u64;
            packed.get_or_insert(chunk.starts_with(&[0x1f, 0x8b]));
            last = chunk.last().copied().unwrap_or(last);
            if began.elapsed() > LONGEST {
                return Err(self.away(&format!(
                    "the download was not done after {} hours",
                    LONGEST.as_secs() / 3600
                )));
            }
            if length > limits::FILE {
                return Err(self.away(&format!("it is larger than {} GiB", limits::FILE >> 30)));
            }
            file.write_all(&chunk).await.map_err(full)?;
        }
        if announced.is_some_and(|announced| announced != length) {
            return Err(self.away(&format!(
                "the download broke off after {length} of {} bytes",
                announced.unwrap_or_default()
            )));
        }
        // Nothing else tells whether the last field of a csv is whole.
        if open_ended && self.csv && packed == Some(false) && !matches!(last, b'\n' | b'\r') {
            return Err(self.away(
                "the server does not say how long it is, and its last line is not ended: it may have broken off",
            ));
        }
        file.flush().await.map_err(full)?;
        file.get_ref().sync_all().await.map_err(full)
    }

    /// The download was read to its proper end: it is the copy from now on. Returns its mark.
    ///
    /// # Errors
    /// When it cannot be put in its place.
    pub fn keep(&self, incoming: &Incoming, records: u64) -> Result<String, SourceError> {
        let failed = |error: std::io::Error| self.away(&format!("cannot keep the download: {error}"));
        if incoming.full {
            std::fs::rename(&incoming.path, self.full_path()).map_err(failed)?;
            for file in self.change_files() {
                let _ = std::fs::remove_file(file);
            }
        } else if records > 0 {
            let number = self.state().changes + 1;
            std::fs::rename(&incoming.path, self.folder.join(format!("changes-{number:012}")))
                .map_err(failed)?;
            // a nightly sweep fetches the whole export and begins anew; without one, the oldest are given up
            let files = self.change_files();
            for file in files.iter().take(files.len().saturating_sub(CHANGES)) {
                let _ = std::fs::remove_file(file);
            }
        }
        if let Ok(folder) = std::fs::File::open(&self.folder) {
            folder.sync_all().map_err(failed)?;
        }
        let kept = self.change(|kept| {
            if incoming.full {
                kept.full = Some(incoming.copy.clone());
            } else {
                kept.changes += u64::from(records > 0);
                kept.changes_started = Some(incoming.copy.started);
            }
        });
        Ok(self.mark(&kept))
    }

    /// The copies that look-ups read, the newest first; and whether their times are those at which they were made.
    ///
    /// # Errors
    /// When no export has been read whole yet.
    pub fn copies(&self) -> Result<(Vec<PathBuf>, bool), SourceError> {
        let kept = self.state();
        let files = self.files(&kept);
        if files.is_empty() {
            return Err(self.away("it has not been read whole yet, so no order can be looked up in it"));
        }
        let told = self.tells(&kept, &files);
        Ok((files, told))
    }

    /// Whether these copies are as old as the server said: of changes it says nothing that counts.
    fn tells(&self, kept: &Kept, files: &[PathBuf]) -> bool {
        kept.full.as_ref().is_some_and(|copy| copy.told) && *files == [self.full_path()]
    }

    /// Host and file, for messages.
    pub fn shown(&self) -> &str {
        self.shown.trim_matches('`')
    }

    fn full_path(&self) -> PathBuf {
        self.folder.join("full")
    }

    /// Files of changes, the oldest first.
    fn change_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| super::label(path).starts_with("changes-"))
            .collect();
        files.sort();
        files
    }

    fn files(&self, kept: &Kept) -> Vec<PathBuf> {
        let mut files = self.change_files();
        files.reverse();
        if kept.full.is_some() && self.full_path().is_file() {
            files.push(self.full_path());
        }
        files
    }

    fn state(&self) -> Kept {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is kept, in memory and in its file.
    fn change(&self, change: impl FnOnce(&mut Kept)) -> Kept {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut kept);
        let written = serde_json::to_vec(&*kept)
            .map_err(std::io::Error::from)
            .and_then(|text| {
                let path = self.folder.join("kept.json.new");
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&path)?;
                std::io::Write::write_all(&mut file, &text)?;
                file.sync_all()?;
                std::fs::rename(path, self.folder.join("kept.json"))
            });
        if let Err(error) = written {
            tracing::warn!(
                event = "export.not_kept",
                "What is known of the kept export cannot be written down, so it will be fetched again after a start: \
                 {error}"
            );
        }
        kept.clone()
    }

    /// Takes over what an earlier run kept, if it is of the same URL; removes what it left behind.
    fn restore(&self) {
        let url = format!(
            "{:032x}",
            xxhash_rust::xxh3::xxh3_128(self.url.expose().as_bytes())
        );
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if !super::label(&entry.path()).starts_with("incoming-") {
                continue;
            }
            // another process (`check`) may be downloading: it holds its file
            let litter = std::fs::File::open(entry.path()).is_ok_and(|file| {
                rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
            });
            if litter {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let known = std::fs::read(self.folder.join("kept.json"))
            .ok()
            .and_then(|text| serde_json::from_slice::<Kept>(&text).ok())
            .filter(|kept| kept.url == url);
        let fresh = known.is_none();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = known.unwrap_or(Kept {
            url,
            ..Kept::default()
        });
        if fresh {
            for file in self.change_files().into_iter().chain([self.full_path()]) {
                let _ = std::fs::remove_file(file);
            }
        }
    }

    fn away(&self, what: &str) -> SourceError {
        SourceError::Unavailable {
            what: format!("export {}: {what}", self.shown),
        }
    }

    /// A request that failed; the error's own text would hold the URL.
    fn broken(&self, error: reqwest::Error) -> SourceError {
        let error = error.without_url();
        let mut what = if error.is_timeout() {
            format!("the server said nothing for {} s", STALL.as_secs())
        } else if error.is_connect() {
            "cannot connect".to_owned()
        } else {
            "the download broke off".to_owned()
        };
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            if inner.source().is_none() {
                what = format!("{what} ({inner})");
            }
            cause = inner.source();
        }
        self.away(&what)
    }

    fn refused(&self, status: StatusCode) -> SourceError {
        match status.as_u16() {
            401 | 403 | 404 | 410 => SourceError::Query {
                query: "shop.source.url".into(),
                message: format!("export {}: the server answers {status}", self.shown),
                hint: Some(
                    "make the export's permanent link again in the shop, and look whether it is limited to another \
                     IP address"
                        .into(),
                ),
            },
            _ => self.away(&format!("the server answers {status}")),
        }
    }
}

/// Until when a server asks to be left alone: seconds, or a moment by its own clock.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u32>() {
        Ok(seconds) => jiff::SignedDuration::from_secs(seconds.into()),
        Err(_) => {
            let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            until.duration_since(date(headers).unwrap_or(now))
        }
    };
    now.checked_add(wait.clamp(jiff::SignedDuration::ZERO, LEFT_ALONE))
        .ok()
}

/// When the server says that the export was made, by our clock: `Date` tells how far its own is off.
fn made(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let made = moment(headers, header::LAST_MODIFIED)?;
    let age = date(headers)?.duration_since(made);
    // both are cut off to whole seconds
    now.checked_sub(age).ok()?.checked_add(SECOND).ok()
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    moment(headers, header::DATE)
}

fn moment(headers: &HeaderMap, name: header::HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|time| time.timestamp())
}
