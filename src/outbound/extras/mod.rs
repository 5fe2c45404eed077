//! What stands beside an order at Brani: told after the order, compared like it, and never in its way.
//!
//! What each row wants lies in the ledger; this flow closes the difference to what Brani has: priority, ordering, tags
//! (`batches`), customs, attributes and remarks (`singles`), invoices (`invoices`), and it asks where parcels are
//! (`tracking`). Brani's refusal parks the one extra. An outage is this flow's own and counts for nobody.

mod batches;
mod invoices;
mod singles;
mod tracking;

pub use batches::unknown_tags;
pub use invoices::{Place, Web, locate};
pub use tracking::Parcel;

use super::weather::{Forecast, Weather, backoff};
use crate::brani::Error;
use crate::brani::app::AppClient;
use crate::brani::extras::{Extras, Tag};
use crate::clock::later;
use crate::context::{Context, PassError};
use crate::ledger::LedgerError;
use crate::ledger::extras::{self, Extra, State};
use crate::mapping::extras::Kind;
use crate::mapping::{Owner, Problem};
use crate::trouble::Weight;
use crate::types::{OrderCode, ShopKey};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// Extras met in one go.
const CHUNK: usize = 500;
/// An extra that fails alone this long is parked.
const ALONE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Extras that Brani took.
    pub told: u64,
    /// Those that were parked.
    pub parked: u64,
    /// Requests that failed and are made again.
    pub failed: u64,
    /// Parcels whose state changed.
    pub parcels: u64,
    /// Not before: something waits until then.
    #[serde(skip)]
    pub again: Option<Timestamp>,
}

/// The flow's own memory. It outlives the passes, not the process.
pub struct Beside {
    service: Arc<dyn Extras>,
    app: Option<AppClient>,
    web: Web,
    weather: Mutex<Weather>,
    tags: Mutex<Option<Vec<Tag>>>,
    eshop_id: Mutex<Option<i64>>,
    begun: AtomicBool,
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beside").finish_non_exhaustive()
    }
}

/// One extra that is due, and the shop's own id of its order.
#[derive(Clone, Debug)]
struct Due {
    extra: Extra,
    key: ShopKey,
}

/// What became of one request.
#[derive(Debug)]
enum Outcome {
    /// Brani has what the extra wanted; this much must be remembered, and this was remarked.
    Told {
        memory: Option<String>,
        note: Option<String>,
    },
    /// Part of it stands; the rest is a problem.
    Parked {
        problem: Problem,
        memory: Option<String>,
    },
    /// The request failed.
    Failed(Error),
    /// Nothing was asked; not before this moment.
    Later(Timestamp),
}

/// What the ledger keeps as JSON; what another version wrote, or nothing, is the default.
fn kept<T: serde::de::DeserializeOwned + Default>(text: Option<&str>) -> T {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

impl Beside {
    /// The flow; `app` is there where remarks are pushed.
    pub fn new(service: Arc<dyn Extras>, app: Option<AppClient>, web: Web) -> Self {
        Self {
            service,
            app,
            web,
            weather: Mutex::default(),
            tags: Mutex::default(),
            eshop_id: Mutex::default(),
            begun: AtomicBool::new(false),
        }
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what is due, until nothing is, Brani is away, or `stop` is asked for.
    ///
    /// # Errors
    /// The ledger's, and what must come first.
    pub async fn pass(&self, context: &Context, stop: &CancellationToken) -> Result<Report, PassError> {
        let mut report = Report::default();
        if context.dry_run {
            return Ok(report);
        }
        if !context.ready.posted() {
            // Also the proof that this ledger belongs here.
            return Err(PassError::NotYet("e-shop info has not been compared yet".into()));
        }
        // What is met in this pass comes due later than this.
        let began = context.now();
        self.begin(context, began).await?;
        while !stop.is_cancelled() {
            let limit = match self.weather().forecast(context.now()) {
                Forecast::Fair => CHUNK,
                Forecast::Probe(until) if until > context.now() => {
                    report.again = Some(until);
                    return Ok(report);
                }
                Forecast::Probe(_) => 1,
            };
            let due = context
                .ledger
                .read(move |connection| extras::due(connection, began, limit))
                .await?;
            if due.is_empty() {
                break;
            }
            let mut kinds: BTreeMap<Kind, Vec<Due>> = BTreeMap::new();
            for (extra, key) in due {
                kinds.entry(extra.kind).or_default().push(Due { extra, key });
            }
            for (kind, due) in kinds {
                context.bells.extras.step();
                if self.weather().forecast(context.now()) != Forecast::Fair && limit > 1 {
                    break;
                }
                match kind {
                    Kind::Priority | Kind::Ordering => self.levels(context, kind, due, &mut report).await?,
                    Kind::Tags => self.tags(context, due, &mut report).await?,
                    Kind::Customs | Kind::Attributes | Kind::Remark => {
                        self.singles(context, due, &mut report).await?;
                    }
                    Kind::Invoice => self.invoices(context, due, &mut report).await?,
                    Kind::Tracking => self.parcels(context, due, &mut report).await?,
                }
            }
        }
        let now = context.now();
        report.again = context
            .ledger
            .read(move |connection| extras::due_after(connection, now))
            .await?;
        Ok(report)
    }

    /// Once a process: kinds that nothing is configured for rest, others go on.
    async fn begin(&self, context: &Context, now: Timestamp) -> Result<(), PassError> {
        if self.begun.load(Ordering::SeqCst) {
            return Ok(());
        }
        let remarks = self.app.is_some();
        let tracking = context.rules.extras.tracking.clone();
        let numbered = context
            .rules
            .events
            .iter()
            .any(|event| event == "package_number" || event == "balic_packed");
        context
            .ledger
            .write(move |connection| {
                extras::rest(connection, Kind::Remark, !remarks)?;
                extras::rest(connection, Kind::Tracking, tracking.is_none())?;
                if let Some(tracking) = tracking.filter(|_| numbered) {
                    let back = SignedDuration::try_from(tracking.give_up).unwrap_or_default();
                    let since = now.checked_sub(back).unwrap_or(Timestamp::UNIX_EPOCH);
                    extras::track_told(connection, since, now)?;
                }
                Ok(())
            })
            .await?;
        self.begun.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Brani answered with success.
    fn success(&self, context: &Context) {
        let now = context.now();
        self.weather().success(None, now);
        for (event, text) in [
            ("brani.unreachable", "Brani answers again"),
            ("brani.unauthorized", "Brani takes the token again"),
            ("brani.refuses", "Brani takes what stands beside orders again"),
        ] {
            context.troubles.end_of("extras", event, text, now);
        }
    }

    /// A request failed: once for all the extras that it was about.
    fn failure(&self, context: &Context, code: &OrderCode, error: &Error) {
        let now = context.now();
        let out = {
            let mut weather = self.weather();
            weather.failure(code, error, now, jitter(code, now));
            weather.is_out()
        };
        let (name, weight) = match error {
            Error::Unauthorized { .. } => ("brani.unauthorized", Weight::Error),
            Error::Unavailable { .. } if out => ("brani.unreachable", Weight::Warn),
            Error::Refused { .. } | Error::NotFound if out => ("brani.refuses", Weight::Error),
            _ => return,
        };
        context.troubles.begin_of(
            "extras",
            name,
            weight,
            &format!("Brani does not take what stands beside orders: {error}"),
            error.hint(),
            now,
        );
    }

    /// Marks what became of some extras, in one transaction. The weather knows already.
    async fn mark(
        &self,
        context: &Context,
        outcomes: Vec<(Extra, Outcome)>,
        report: &mut Report,
    ) -> Result<(), PassError> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let now = context.now();
        let (out, others) = {
            let weather = self.weather();
            (weather.is_out(), weather.others_succeed(now))
        };
        let mut said = Vec::new();
        for (extra, outcome) in &outcomes {
            match outcome {
                Outcome::Told { note, .. } => {
                    report.told += 1;
                    if note.is_some() {
                        warned(&extra.code, extra.kind);
                    }
                }
                Outcome::Failed(_) => report.failed += 1,
                Outcome::Parked { .. } | Outcome::Later(_) => {}
            }
        }
        let parked = context
            .ledger
            .write(move |connection| {
                for (before, outcome) in outcomes {
                    let Some(extra) = extras::get(connection, &before.code, before.kind)? else {
                        continue;
                    };
                    if let Some(log) = settle(connection, &before, extra, outcome, now, out, others)? {
                        said.push((before.code, before.kind, log));
                    }
                }
                Ok(said)
            })
            .await?;
        report.parked += parked.len() as u64;
        for (code, kind, why) in parked {
            tell_parked(&code, kind, &why);
        }
        Ok(())
    }
}

/// One extra after a request about it. What the row wants by now stands; why it is parked now, for the log.
fn settle(
    connection: &rusqlite::Connection,
    before: &Extra,
    mut extra: Extra,
    outcome: Outcome,
    now: Timestamp,
    out: bool,
    others: bool,
) -> Result<Option<String>, LedgerError> {
    let same = extra.wanted == before.wanted;
    let mut parked = None;
    match outcome {
        Outcome::Told { memory, note } => {
            extra.sent = before.wanted;
            extra.memory = memory;
            extra.note = note;
            extra.done = Some(now);
            extra.attempts = 0;
            extra.failing_since = None;
            if same && extra.wanted.is_none() {
                extras::remove(connection, &extra.code, extra.kind)?;
                return Ok(None);
            }
            if same {
                extra.value = None;
                extra.due = None;
                extra.problem = None;
                extra.state = State::Sent;
            }
        }
        Outcome::Parked { problem, memory } => {
            extra.memory = memory;
            if same {
                parked = Some(format!("{}: {}", problem.field, problem.hint));
                park(&mut extra, problem);
            }
        }
        Outcome::Failed(error) => {
            extra.attempts = extra.attempts.saturating_add(1);
            let since = *extra.failing_since.get_or_insert(now);
            let refused = match &error {
                Error::Rejected { .. } => true,
                Error::Refused { .. } | Error::NotFound => others,
                Error::Unavailable { .. } => !out && others && now.duration_since(since) > ALONE_MAX,
                Error::Unauthorized { .. } => false,
            };
            if refused && same {
                parked = Some(error.to_string());
                let problem = refusal(extra.kind, &error);
                park(&mut extra, problem);
            } else {
                extra.note = Some(error.to_string());
                let wait = backoff(extra.attempts, jitter(&extra.code, now));
                extra.due = Some(later(now, wait));
            }
        }
        Outcome::Later(at) => extra.due = Some(at),
    }
    extras::put(connection, &extra)?;
    Ok(parked)
}

fn park(extra: &mut Extra, problem: Problem) {
    extra.state = State::Parked;
    extra.problem = Some(problem);
    extra.due = None;
    extra.attempts = 0;
    extra.failing_since = None;
}

/// The column or section that a kind comes from.
fn field(kind: Kind) -> &'static str {
    match kind {
        Kind::Priority => "_priority",
        Kind::Ordering => "_ordering",
        Kind::Tags => "_tags",
        Kind::Customs => "_customs",
        Kind::Attributes => "_attributes",
        Kind::Invoice => "invoice",
        Kind::Remark => "notes.eshopRemark",
        Kind::Tracking => "tracking",
    }
}

/// Brani's refusal in Brani's own words; those about a remark may repeat it, so of them only the type is kept.
fn refusal(kind: Kind, error: &Error) -> Problem {
    let words = match error {
        Error::Rejected { complaints } => complaints
            .iter()
            .map(|complaint| match kind {
                Kind::Remark => format!("{} ({})", complaint.field, complaint.kind),
                _ => format!("{}: {} ({})", complaint.field, complaint.message, complaint.kind),
            })
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    };
    Problem {
        field: field(kind).into(),
        found: None,
        rule: format!("was refused by Brani: {words}"),
        hint: "mend it in the shop or in its query; it is tried again when it changes, at each sweep, and by `brani-sync orders retry`"
            .into(),
        owner: Owner::Brani,
    }
}

/// Says that an extra is parked, without a value that Brani's words might repeat.
pub fn tell_parked(code: &OrderCode, kind: Kind, why: &str) {
    let kind = kind.as_str();
    tracing::warn!(event = "extras.parked", ORDER_CODE = %code, kind,
        hint = format!("`brani-sync explain {code}` has the whole answer; the order itself goes on"),
        "Parked the {kind} of order `{code}`: {why}");
}

fn warned(code: &OrderCode, kind: Kind) {
    let kind = kind.as_str();
    tracing::warn!(event = "extras.warned", ORDER_CODE = %code, kind,
        "Brani took the {kind} of order `{code}` with a warning; `brani-sync explain {code}` shows it");
}

/// Between 0 and 1, from the order and the moment.
fn jitter(code: &OrderCode, now: Timestamp) -> f64 {
    let seed = u64::from_ne_bytes(now.as_millisecond().to_ne_bytes());
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(code.as_str().as_bytes(), seed);
    f64::from(u32::try_from(hash >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// Whether an error is about what was asked, and not about Brani as a whole.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::Rejected { .. } | Error::Refused { .. } | Error::NotFound
    )
}
