//! Reading the shop: what changed since the cursor, batch by batch, into the ledger.
//!
//! Rows whose hash is known are dropped; each other row is mapped and compared; what is wanted is written to the
//! ledger, and when the whole read is in, the cursor. Nothing is sent here.

use super::diff::{self, Look, News, Verdict, Wait, When};
use crate::context::{Context, PassError};
use crate::ledger::cursors::{self, name};
use crate::ledger::extras::{self, Noted};
use crate::ledger::inbox;
use crate::ledger::orders::{self, Entry, State};
use crate::ledger::{Ledger, LedgerError, millis};
use crate::mapping::extras::Want;
use crate::mapping::{self, Mapped, Mapping, Owner, Problem};
use crate::source::{Known, Listed, Read, Record};
use crate::status::Said;
use crate::trouble::Weight;
use crate::types::{OrderCode, PayloadHash, RowHash};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What a read did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Records read.
    pub read: u64,
    /// Orders newly wanted.
    pub wanted: u64,
    /// Orders newly parked.
    pub parked: u64,
    /// Parked no longer.
    pub unparked: u64,
    /// Brani has them, and they are withdrawn.
    pub withdrawn: u64,
    /// Not sent yet, by reason.
    pub waits: BTreeMap<&'static str, u64>,
    /// New orders that changed a moment ago.
    pub settling: u64,
    /// The oldest change among them, by the shop's clock: the cursor stays where it is read again.
    #[serde(skip)]
    pub oldest_settling: Option<Timestamp>,
    /// Something beside an order is newly wanted.
    pub extras: bool,
    /// A status, shipping or payment value that nobody knows was met.
    pub unknown_values: bool,
    /// The export had not changed.
    pub unchanged: bool,
    /// All orders there are, where the source proves that.
    #[serde(skip)]
    pub listed: Option<Listed>,
}

impl Report {
    /// Two reads of one cycle: what was done is summed up; rows and what waits are met by each read anew.
    #[must_use]
    pub fn and_then(mut self, later: Report) -> Report {
        for (why, count) in later.waits {
            let waits = self.waits.entry(why).or_default();
            *waits = count.max(*waits);
        }
        Report {
            read: self.read.max(later.read),
            wanted: self.wanted + later.wanted,
            parked: self.parked + later.parked,
            unparked: self.unparked + later.unparked,
            withdrawn: self.withdrawn + later.withdrawn,
            extras: self.extras || later.extras,
            waits: self.waits,
            settling: later.settling,
            oldest_settling: later.oldest_settling,
            unknown_values: self.unknown_values || later.unknown_values,
            unchanged: self.unchanged && later.unchanged,
            listed: None,
        }
    }
}

/// From which creation on orders are sent: fixed at the first run.
///
/// # Errors
/// The ledger's.
pub async fn history_start(context: &Context) -> Result<Timestamp, PassError> {
    let now = context.now();
    let start = context.rules.history.start(now, &context.rules.zone);
    if context.dry_run {
        let fixed = context
            .ledger
            .read(|connection| cursors::get_time(connection, name::HISTORY))
            .await?;
        return Ok(fixed.unwrap_or(start));
    }
    let fixed = context
        .ledger
        .write(
            move |connection| match cursors::get_time(connection, name::HISTORY)? {
                Some(fixed) => Ok(fixed),
                None => {
                    cursors::set_time(connection, name::HISTORY, start)?;
                    Ok(start)
                }
            },
        )
        .await?;
    Ok(fixed)
}

/// A clock that was set back would have things wait until it comes there again.
async fn mind_clock(context: &Context) -> Result<(), PassError> {
    if context.dry_run {
        return Ok(());
    }
    let now = context.now();
    let Some(back) = context
        .ledger
        .read(move |connection| cursors::clock_set_back(connection, now))
        .await?
    else {
        return Ok(());
    };
    context
        .ledger
        .write(move |connection| cursors::wait_no_longer(connection, now))
        .await?;
    tracing::warn!(
        event = "clock.set_back",
        seconds = back.as_secs(),
        hint = "nothing to do if it was wrong before; keep it right with systemd-timesyncd or chrony",
        "This machine's clock was set back by {} s; what waited for a later time goes now",
        back.as_secs()
    );
    for bell in [&context.bells.send, &context.bells.apply, &context.bells.extras] {
        bell.ring();
    }
    Ok(())
}

/// Reads what changed since the cursor.
///
/// # Errors
/// See [`PassError`]; what was read before stands, the cursor does not move.
pub async fn poll(context: &Context) -> Result<Report, PassError> {
    mind_clock(context).await?;
    let history = history_start(context).await?;
    let cursor = context
        .ledger
        .read(|connection| cursors::get_time(connection, name::CURSOR))
        .await?;
    let overlap = SignedDuration::try_from(context.rules.overlap).unwrap_or_default();
    let since = cursor.map_or(history, |cursor| cursor - overlap);
    let mut report = read(context, since, history, false).await?;
    let retried = retried_codes(context).await?;
    if !retried.is_empty() && !context.dry_run {
        let again = look_again(context, &retried).await?;
        report.extras |= again.extras;
        report.read += again.read;
        report.wanted += again.wanted;
        report.parked += again.parked;
        report.unparked += again.unparked;
    }
    Ok(report)
}

/// Orders whose rows are to be read again, whenever they changed last: parked ones that a person wants to be looked at
/// (`orders retry`), and waiting ones whose payload could not be used.
async fn retried_codes(context: &Context) -> Result<Vec<OrderCode>, PassError> {
    let retried = context
        .ledger
        .read(|connection| {
            let mut retried = orders::codes(
                connection,
                "state = 'parked' AND row_hash IS NULL AND missing_since IS NULL
                 AND parked_by IN ('mapping', 'brani')",
                100_000,
            )?;
            retried.extend(orders::codes(
                connection,
                "state = 'waiting' AND row_hash IS NULL AND missing_since IS NULL",
                1000,
            )?);
            Ok(retried)
        })
        .await?;
    Ok(retried)
}

/// Reads everything within `sweep_back` again. Polls may run beside it: the cursor is set to where this read began, so
/// that a row which it hands over late, and older than a poll saw it, is read once more.
///
/// # Errors
/// See [`PassError`].
pub async fn read_all(context: &Context) -> Result<Report, PassError> {
    let history = history_start(context).await?;
    let back = SignedDuration::try_from(context.rules.sweep_back).unwrap_or_default();
    let since = (context.now() - back).min(history);
    read(context, since, history, true).await
}

async fn read(
    context: &Context,
    since: Timestamp,
    history: Timestamp,
    whole: bool,
) -> Result<Report, PassError> {
    if !context.ready.lists() {
        context.bells.eshop_info.ring();
        return Err(PassError::NotYet(
            "the shop's own lists have not been read yet".into(),
        ));
    }
    let began = context.now();
    let sweeps = context.bells.sweep.turns();
    let mapping = context.mapping.get();
    let fingerprint = fingerprint(&mapping);
    let (batches, inbox) = mpsc::channel::<Vec<Record>>(2);
    let known = InLedger {
        ledger: context.ledger.clone(),
        fingerprint,
        runtime: tokio::runtime::Handle::current(),
    };
    // An export is one file, and everything of it may be older than what its last changes tell.
    let everything = whole && !context.source.is_live();
    let asked = Read {
        since: (!everything).then_some(since),
    };
    let reading = context.source.read_unknown(asked, Arc::new(known), batches);
    let taking = async {
        // Gone with this block: a reader that still has a batch in hand learns that nobody takes it.
        let mut inbox = inbox;
        let mut report = Report::default();
        while let Some(batch) = inbox.recv().await {
            match whole {
                true => context.bells.sweep.step(),
                false => context.bells.poll.step(),
            }
            let when = When {
                now: began,
                source_now: context.now(),
                history,
                started: context.started,
            };
            take(context, &mapping, batch, when, &mut report).await?;
        }
        Ok::<_, PassError>(report)
    };
    let (read, taken) = tokio::join!(reading, taking);
    let mut report = taken?;
    let end = read?;
    report.read = end.records;
    report.unchanged = end.unchanged;
    report.listed = end.listed;
    if context.dry_run {
        return Ok(report);
    }
    let now = context.now();
    // Settling is timed by our clock, and the shop's may run ahead: what settles must be read again.
    let overlap = SignedDuration::try_from(context.rules.overlap).unwrap_or_default();
    let cursor = match report.oldest_settling {
        Some(oldest) => end.started.min(oldest + overlap),
        None => end.started,
    };
    // A sweep beside this poll may yet hand over a row as it was before: what changed since the sweep began is read
    // again, until a poll has the shop to itself.
    let alone = whole || (!sweeps.1 && context.bells.sweep.turns() == sweeps);
    context
        .ledger
        .write(move |connection| {
            if alone {
                cursors::set_time(connection, name::CURSOR, cursor)?;
            }
            cursors::set_time(connection, name::LAST_POLL, now)?;
            if whole {
                cursors::set(connection, name::FINGERPRINT, &fingerprint.to_string())?;
            }
            Ok(())
        })
        .await?;
    if context.ready.set_polled() {
        context.bells.send.ring();
    }
    Ok(report)
}

/// What the ledger knows of the rows of this mapping.
struct InLedger {
    ledger: Ledger,
    fingerprint: i64,
    runtime: tokio::runtime::Handle,
}

impl Known for InLedger {
    fn known(&self, sealed: &[(OrderCode, RowHash)]) -> Vec<bool> {
        let mut asked: Vec<(OrderCode, RowHash, usize)> = sealed
            .iter()
            .enumerate()
            .map(|(place, (code, seal))| (code.clone(), *seal, place))
            .collect();
        // In key order the ledger's pages are met one after the other.
        asked.sort_by(|a, b| a.0.cmp(&b.0));
        let (count, fingerprint) = (asked.len(), self.fingerprint);
        let answer = self.ledger.read(move |connection| {
            let marks = orders::marks(connection, asked.iter().map(|(code, ..)| code))?;
            let mut known = vec![false; count];
            for ((_, seal, place), mark) in asked.iter().zip(marks) {
                known[*place] = mark.is_some_and(|mark| diff::is_known(&mark, *seal, fingerprint));
            }
            Ok(known)
        });
        // What the ledger does not answer is handed over: it is asked again when it is kept.
        self.runtime.block_on(answer).unwrap_or_default()
    }
}

/// The mapping's fingerprint as the ledger keeps it.
pub fn fingerprint(mapping: &Mapping) -> i64 {
    i64::from_ne_bytes(mapping.fingerprint().to_ne_bytes())
}

/// Looks at one batch and keeps what follows from it.
///
/// # Errors
/// The ledger's.
pub async fn take(
    context: &Context,
    mapping: &Mapping,
    mut batch: Vec<Record>,
    when: When,
    report: &mut Report,
) -> Result<(), PassError> {
    // In key order the ledger's pages are met one after the other.
    batch.sort_by(|a, b| a.code.cmp(&b.code));
    let fingerprint = fingerprint(mapping);
    let hashed: Vec<(OrderCode, RowHash)> = batch
        .iter()
        .map(|record| (record.code.clone(), mapping.row_hash(record)))
        .collect();
    let (hashed, met) = context
        .ledger
        .read(move |connection| {
            let met = meet(connection, &hashed, fingerprint)?;
            Ok((hashed, met))
        })
        .await?;
    let heard_of = heard_of(context, &batch, &met).await?;
    let changed = batch
        .iter()
        .zip(&met)
        .filter(|(_, met)| !matches!(met, Met::Known));
    let told = told(context, changed.map(|(record, _)| record)).await?;
    let mut changes = Changes::default();
    let mut within: BTreeMap<OrderCode, Entry> = BTreeMap::new();
    for ((record, (_, row_hash)), met) in batch.iter().zip(hashed).zip(met) {
        // Two rows with one code in one batch: the second is compared with what the first made.
        let known = match (within.get(&record.code), met) {
            (Some(made), _) => Some(made.clone()),
            (None, Met::Known) => continue,
            (None, Met::New) => None,
            (None, Met::Other(entry)) => Some(*entry),
        };
        if known
            .as_ref()
            .is_some_and(|entry| diff::is_known(&entry.mark(), row_hash, fingerprint))
        {
            continue;
        }
        let mapped = map(mapping, record, told.get(&record.code));
        let created = match &mapped {
            Ok(mapped) => Some(mapped.created),
            Err(_) => mapping.created(record),
        };
        let before = known.as_ref().map(|entry| entry.state);
        let dropped = known.clone();
        let look = Look {
            record,
            created,
            mapped,
            row_hash,
            fingerprint,
            heard_of: heard_of.contains(&record.code),
        };
        match diff::look(known, look, &context.rules, &when) {
            Verdict::Wait(why) => {
                if why == Wait::Settling
                    && let Some(changed) = record.changed
                {
                    let oldest = report
                        .oldest_settling
                        .map_or(changed, |oldest| oldest.min(changed));
                    report.oldest_settling = Some(oldest);
                }
                *report.waits.entry(wait_name(why)).or_default() += 1;
                report.settling += u64::from(why == Wait::Settling);
                // What waited or was parked and must not go (any more) is forgotten; a settling order is not.
                if let Some(entry) = dropped.filter(|_| !matches!(why, Wait::Settling | Wait::NoItems)) {
                    changes.unpark(&entry, report);
                    changes.removed.push(entry.code);
                }
            }
            Verdict::Claimed => {
                let created = created.unwrap_or(when.now);
                changes
                    .claims
                    .push((record.code.clone(), record.key.clone(), created));
            }
            Verdict::Keep { entry, payload, news } => {
                within.insert(record.code.clone(), (*entry).clone());
                let wants = if entry.state == State::Deleted {
                    Vec::new()
                } else {
                    mapping.wants(record)
                };
                let said = diff::said(record, &context.rules);
                let kept = Kept {
                    entry: *entry,
                    payload,
                    wants,
                    said,
                };
                changes.keep(kept, news, before, report);
            }
        }
    }
    if !context.dry_run && !changes.is_empty() {
        let wanted = changes.kept.iter().any(|kept| kept.entry.state == State::Waiting);
        report.extras |= write(context, changes, when.now).await?;
        if wanted {
            // Whatever becomes of the rest of the read, this much is to be sent.
            context.bells.send.ring();
        }
    }
    Ok(())
}

/// Orders unknown to this ledger, in a protected status, of which Brani has told events: a ledger was lost, Brani has
/// them, and a cancelled order must not be packed.
async fn heard_of(
    context: &Context,
    batch: &[Record],
    met: &[Met],
) -> Result<BTreeSet<OrderCode>, PassError> {
    let codes: Vec<OrderCode> = batch
        .iter()
        .zip(met)
        .filter(|(record, met)| {
            let status = record.status.as_ref();
            let at_brani = match met {
                Met::Known => true,
                Met::New => false,
                Met::Other(entry) => entry.maybe_at_brani(),
            };
            !at_brani
                && !context.rules.brings(status)
                && status.is_some_and(|status| context.rules.protect.contains(status))
        })
        .map(|(record, _)| record.code.clone())
        .collect();
    if codes.is_empty() || context.rules.events.is_empty() {
        return Ok(BTreeSet::new());
    }
    let heard = context
        .ledger
        .read(move |connection| {
            let mut heard = BTreeSet::new();
            for code in codes {
                if !inbox::of(connection, &code)?.is_empty() {
                    heard.insert(code);
                }
            }
            Ok(heard)
        })
        .await?;
    Ok(heard)
}

/// The parcels' numbers that Brani told of an order, and what Brani was sent of it.
pub struct Told {
    numbers: Vec<String>,
    sent: Option<PayloadHash>,
}

impl Told {
    /// As the ledger has it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn of(connection: &Connection, code: &OrderCode) -> Result<Self, LedgerError> {
        Ok(Self {
            numbers: inbox::package_numbers(connection, code)?,
            sent: orders::get(connection, code)?.and_then(|entry| entry.sent),
        })
    }

    /// Leaves the parcel's number out where the shop only repeats what Brani told: it is no news, and an order that is
    /// packed is not to be sent for it. What Brani was sent with its number stays as it is.
    fn leave_out(&self, mapped: &mut Mapped) {
        let number = mapped.order.notes.tracking_number.as_deref();
        let is_told = number.is_some_and(|number| {
            let mut parts = number.split(',').map(str::trim);
            parts.all(|part| self.numbers.iter().any(|told| told == part))
        });
        if is_told && self.sent != Some(mapped.content) {
            mapped.order.notes.tracking_number = None;
            mapped.content = mapping::content_hash(&mapped.order);
        }
    }
}

/// What a row wants of Brani, as far as it is not what Brani `told` itself.
///
/// # Errors
/// See [`Mapping::map`].
pub fn map(mapping: &Mapping, record: &Record, told: Option<&Told>) -> Result<Mapped, Vec<Problem>> {
    let mut mapped = mapping.map(record)?;
    if let Some(told) = told {
        told.leave_out(&mut mapped);
    }
    Ok(mapped)
}

/// What Brani told of those orders in whose rows a parcel's number stands.
///
/// # Errors
/// The ledger's.
pub async fn told(
    context: &Context,
    records: impl Iterator<Item = &Record>,
) -> Result<BTreeMap<OrderCode, Told>, PassError> {
    let codes: Vec<OrderCode> = records
        .filter(|record| {
            let number = record.order.get("notes.trackingNumber");
            number.is_some_and(|number| !number.is_empty())
        })
        .map(|record| record.code.clone())
        .collect();
    if codes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let told = context
        .ledger
        .read(move |connection| {
            codes
                .into_iter()
                .map(|code| Told::of(connection, &code).map(|told| (code, told)))
                .collect()
        })
        .await?;
    Ok(told)
}

/// What the ledger says of a row.
enum Met {
    /// Nothing of it has changed since the last look.
    Known,
    /// The ledger knows another row of the order.
    Other(Box<Entry>),
    /// The ledger does not know the order.
    New,
}

/// Most rows are known: full entries are read for the others only.
fn meet(
    connection: &rusqlite::Connection,
    hashed: &[(OrderCode, RowHash)],
    fingerprint: i64,
) -> Result<Vec<Met>, LedgerError> {
    let marks = orders::marks(connection, hashed.iter().map(|(code, _)| code))?;
    let met = |((code, row_hash), mark): (&(OrderCode, RowHash), Option<orders::Mark>)| match mark {
        Some(mark) if diff::is_known(&mark, *row_hash, fingerprint) => Ok(Met::Known),
        // It may have come or gone since: what is read now counts.
        _ => Ok(orders::get(connection, code)?.map_or(Met::New, |entry| Met::Other(Box::new(entry)))),
    };
    hashed.iter().zip(marks).map(met).collect()
}

fn wait_name(wait: Wait) -> &'static str {
    match wait {
        Wait::TooOld => "too_old",
        Wait::Status => "status",
        Wait::NoItems => "no_items",
        Wait::Settling => "settling",
        Wait::Gone => "gone",
    }
}

/// What a look at one row comes to.
struct Kept {
    entry: Entry,
    payload: Option<Mapped>,
    wants: Vec<Want>,
    said: Said,
}

#[derive(Default)]
struct Changes {
    kept: Vec<Kept>,
    removed: Vec<OrderCode>,
    claims: Vec<(OrderCode, crate::types::ShopKey, Timestamp)>,
    parked: Vec<Entry>,
    unparked: Vec<OrderCode>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.removed.is_empty() && self.claims.is_empty()
    }

    fn unpark(&mut self, entry: &Entry, report: &mut Report) {
        if entry.state == State::Parked {
            self.unparked.push(entry.code.clone());
            report.unparked += 1;
        }
    }

    fn keep(&mut self, kept: Kept, news: News, before: Option<State>, report: &mut Report) {
        let entry = &kept.entry;
        match news {
            News::Wanted => report.wanted += 1,
            News::Withdrawn => report.withdrawn += 1,
            News::Parked => {
                report.parked += u64::from(before != Some(State::Parked));
                report.unknown_values |= entry
                    .problems
                    .iter()
                    .any(|problem| problem.owner == Owner::Settings);
                self.parked.push(entry.clone());
            }
            News::Unchanged => {}
        }
        if before == Some(State::Parked) && entry.state != State::Parked {
            self.unparked.push(entry.code.clone());
            report.unparked += 1;
        }
        self.kept.push(kept);
    }
}

/// Writes the entries of a look, unless the order moved on since it was read. True where something beside an order is
/// newly wanted.
async fn write(context: &Context, changes: Changes, now: Timestamp) -> Result<bool, PassError> {
    let Changes {
        kept,
        removed,
        claims,
        parked,
        unparked,
    } = changes;
    let (new_claims, noted, met_again) = context
        .ledger
        .write(move |connection| {
            let mut noted = Noted::default();
            let mut met_again = 0;
            for kept in kept {
                let Kept {
                    entry,
                    payload,
                    wants,
                    said,
                } = kept;
                let code = entry.code.clone();
                let stands = orders::get(connection, &code)?;
                let was_away =
                    |before: &Entry| before.missing_since.is_some() && before.state != State::Deleted;
                if entry.missing_since.is_none() && stands.as_ref().is_some_and(was_away) {
                    met_again += inbox::meet_again(connection, &code)?;
                }
                if keep(connection, entry, payload.as_ref(), &said, stands)? {
                    extras::note(connection, &code, &wants, now, &mut noted)?;
                }
            }
            for code in removed {
                // A request may have left since it was read: then Brani may have it, and the next poll decides.
                if orders::get(connection, &code)?.is_some_and(|entry| !entry.maybe_at_brani()) {
                    orders::remove(connection, &code)?;
                }
            }
            let mut new = Vec::new();
            for (code, key, created) in claims {
                if orders::claim(connection, &code, &key, created, now)? {
                    new.push((code, key));
                }
            }
            Ok((new, noted, met_again))
        })
        .await?;
    if met_again > 0 {
        context.bells.apply.ring();
    }
    for (code, kind, problem) in noted.parked {
        super::extras::tell_parked(&code, kind, &problem.to_string());
    }
    for (code, key) in new_claims {
        tracing::error!(
            event = "order.claimed",
            ORDER_CODE = %code,
            hint = "give one of the two orders another code, or let the newcomer have it with `brani-sync orders adopt`",
            "Order code `{code}` belongs to another order of the shop; the one with key `{key}` is not sent"
        );
    }
    for entry in parked {
        tell_parked(&entry);
    }
    for code in unparked {
        tracing::info!(event = "order.unparked", ORDER_CODE = %code, "Order `{code}` is no longer parked");
    }
    Ok(noted.wanted)
}

/// Keeps what the row says; what a request did in the meantime stands (`stands`: as the ledger has the order in this
/// transaction). False where nothing is kept of the order.
fn keep(
    connection: &rusqlite::Connection,
    mut entry: Entry,
    payload: Option<&Mapped>,
    said: &Said,
    stands: Option<Entry>,
) -> Result<bool, LedgerError> {
    if orders::is_buried(connection, &entry.code)? {
        return Ok(false);
    }
    if let Some(stands) = &stands {
        entry.told_parked = stands.told_parked;
        let moved = stands.agreed != entry.agreed || stands.sent != entry.sent;
        if moved {
            entry.agreed = stands.agreed.clone();
            entry.sent = stands.sent;
            entry.fields = stands.fields.clone();
            entry.status_event = stands.status_event;
            entry.unanswered = stands.unanswered;
            entry.say_again = stands.say_again;
            entry.sent_at = stands.sent_at;
            entry.answer = stands.answer.clone();
        }
        if !entry.agreed.hear(said) {
            entry.row_status = stands.row_status.clone();
            // The same words in the next export may count.
            if entry.state != State::Parked {
                entry.row_hash = None;
            }
        }
        if moved {
            let agreed = !diff::is_shop_news(&entry, entry.row_status.clone().as_ref())
                && !entry.agreed.owed
                && !entry.fate_unknown();
            if entry.state == State::Waiting && entry.wanted == entry.sent && entry.wanted.is_some() && agreed
            {
                entry.state = State::Sent;
            }
        }
    }
    match (entry.state, payload) {
        (State::Waiting, Some(mapped)) => {
            let payload = serde_json::to_vec(&mapped.order).map_err(|error| {
                LedgerError::Sql(rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
            })?;
            orders::put_payload(connection, &entry.code, &payload)?;
        }
        (State::Sent | State::Deleted | State::Parked, _) => orders::forget_payload(connection, &entry.code)?,
        (State::Waiting, None) => {}
    }
    match &stands {
        Some(before) => orders::change(connection, before, &entry)?,
        None => orders::put(connection, &entry)?,
    }
    Ok(true)
}

/// Says why an order is parked: codes, fields, values that are not personal, and what to do.
pub fn tell_parked(entry: &Entry) {
    let Some(problem) = entry.problems.first() else {
        return;
    };
    let code = &entry.code;
    let found = problem
        .found
        .as_ref()
        .map(|found| format!(": `{found}`"))
        .unwrap_or_default();
    let more = match entry.problems.len() {
        0 | 1 => String::new(),
        more => format!(" (and {} more, see `brani-sync explain {code}`)", more - 1),
    };
    let text = format!(
        "Parked order `{code}`: {}{found} {}{more}",
        problem.field, problem.rule
    );
    let hint = problem.hint.as_str();
    if entry.agreed.known {
        tracing::error!(event = "order.parked", ORDER_CODE = %code, hint, at_brani = true,
            "{text}; Brani has an older version, and the packer would pack it");
    } else {
        tracing::warn!(event = "order.parked", ORDER_CODE = %code, hint, "{text}");
    }
}

/// Reads parked orders again that the mapping parked: the configuration or e-shop info changed.
///
/// # Errors
/// See [`PassError`].
pub async fn look_again(context: &Context, codes: &[OrderCode]) -> Result<Report, PassError> {
    let history = history_start(context).await?;
    let mapping = context.mapping.get();
    let mut report = Report::default();
    for codes in codes.chunks(context.rules.batch.max(1)) {
        let records = context.source.lookup(codes).await?;
        let now = context.now();
        let when = When {
            now,
            source_now: now,
            history,
            started: context.started,
        };
        report.read += records.len() as u64;
        take(context, &mapping, records, when, &mut report).await?;
    }
    Ok(report)
}

/// The codes of the parked orders that a look may free.
///
/// # Errors
/// The ledger's.
pub async fn parked_codes(context: &Context) -> Result<Vec<OrderCode>, PassError> {
    let parked = context
        .ledger
        .read(|connection| {
            orders::codes(
                connection,
                "state = 'parked' AND parked_by IN ('mapping', 'brani')",
                100_000,
            )
        })
        .await?;
    Ok(parked)
}

/// Holds re-sends that a new mapping wants, when there are more than a person would expect.
///
/// # Errors
/// The ledger's.
pub async fn guard_resends(context: &Context) -> Result<bool, PassError> {
    let (waiting, approved) = context
        .ledger
        .read(|connection| {
            Ok((
                orders::count(connection, "state = 'waiting' AND lane = 3")?,
                cursors::get_time(connection, name::RESENDS)?,
            ))
        })
        .await?;
    let now = context.now();
    let held = waiting > i64::try_from(context.rules.resends_max).unwrap_or(i64::MAX)
        && approved.is_none_or(|until| millis(until) < millis(now));
    if held {
        context.troubles.begin(
            "resend.held",
            Weight::Warn,
            &format!("A changed mapping would send {waiting} orders again; they wait"),
            "look at what changed, then `brani-sync orders resend --yes`",
            now,
        );
    } else {
        context
            .troubles
            .end("resend.held", "Orders that a changed mapping sends again go", now);
    }
    Ok(held)
}
