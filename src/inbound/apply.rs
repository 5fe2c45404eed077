//! Events to their handlers: one order's in order, package numbers before the status, orders side by side.
//!
//! At least once: a handler may be told again after a crash. Of several waiting status events only the newest
//! counts. What is to be sent to Brani is left to the way out, which is rung. Marks and what both sides know of the
//! status are kept in one transaction.

use crate::brani::time;
use crate::context::{Context, PassError};
use crate::ledger::LedgerError;
use crate::ledger::cursors::{self, name};
use crate::ledger::inbox::{self, Event};
use crate::ledger::orders::{self, Entry, Lane, State};
use crate::status::{Decision, Found, decide};
use crate::trouble::Weight;
use crate::types::{EventId, OrderCode, ShopKey, ShopStatus, StatusId};
use crate::writeback::{Call, Handler, Outcome, WritebackError};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Orders looked up and handled in one go.
const CHUNK: usize = 200;
/// A row that moves under us is looked at again this often.
const LOOKS_MAX: u32 = 5;
/// Between attempts at a stuck event.
const STUCK_RETRY: Duration = Duration::from_secs(3600);
/// An order that a sweep missed no longer ago than this may still be under a person's hands.
const HIDDEN_FOR: Duration = Duration::from_secs(3600);

/// What an apply pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Events dealt with, by what became of them.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Calls that failed and are tried again.
    pub failed: u64,
    /// Not before: something waits until then.
    #[serde(skip)]
    pub again: Option<Timestamp>,
}

/// The applying side's own memory.
#[derive(Debug, Default)]
pub struct Apply {
    outages: Mutex<BTreeMap<String, Outage>>,
    told_unmapped: Mutex<BTreeSet<StatusId>>,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    failures: u32,
    since: Timestamp,
    until: Timestamp,
}

/// The order's row, as far as a handler needs it.
#[derive(Clone, Debug)]
struct Seen {
    key: ShopKey,
    status: Option<ShopStatus>,
    changed: Option<Timestamp>,
}

/// How far one order came.
enum Step {
    /// Go on with its next event.
    Next,
    /// Its later events wait.
    Blocked,
}

/// What the ledger has of one order when its turn comes.
#[derive(Debug, Default)]
struct Open {
    /// What is to be dealt with, in order.
    events: Vec<Event>,
    entry: Option<Entry>,
    /// Its parcels.
    numbers: Vec<String>,
    /// Several webhooks of one type told of it: each may bring the same happening.
    doubled: bool,
    /// What became of its events and is not kept yet: it goes with the next write about the order, for each commit costs a
    /// word of the disk. Lost with a crash before it, the handlers are told again.
    fates: Mutex<Vec<Fate>>,
}

/// What became of an event.
#[derive(Debug)]
struct Fate {
    event: EventId,
    general: bool,
    kind: String,
    code: Option<OrderCode>,
    state: &'static str,
    reason: Option<&'static str>,
}

impl Open {
    async fn of(context: &Context, code: &OrderCode) -> Result<Self, PassError> {
        let code = code.clone();
        let open = context.ledger.read(move |connection| {
            Ok(Self {
                events: inbox::released_of(connection, &code)?,
                entry: orders::get(connection, &code)?,
                numbers: inbox::package_numbers(connection, &code)?,
                doubled: inbox::is_doubled(connection, &code)?,
                fates: Mutex::default(),
            })
        });
        Ok(open.await?)
    }

    fn finish(&self, event: &Event, state: &'static str, reason: Option<&'static str>) {
        let fate = Fate {
            event: event.id,
            general: event.general,
            kind: event.kind.clone(),
            code: event.code.clone(),
            state,
            reason,
        };
        self.fates().push(fate);
    }

    fn fates(&self) -> MutexGuard<'_, Vec<Fate>> {
        self.fates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be kept with the write that follows.
    fn take(&self) -> Vec<Fate> {
        std::mem::take(&mut *self.fates())
    }

    /// Keeps what no other write has kept.
    async fn keep(&self, context: &Context, tally: &Tally) -> Result<(), PassError> {
        let fates = self.take();
        if fates.is_empty() {
            return Ok(());
        }
        let now = context.now();
        let kept = context.ledger.write(move |connection| {
            keep(connection, &fates, now)?;
            Ok(fates)
        });
        tell(&kept.await?, tally);
        Ok(())
    }
}

/// In one transaction with whatever else is written about the order.
fn keep(connection: &Connection, fates: &[Fate], now: Timestamp) -> Result<(), LedgerError> {
    for fate in fates {
        inbox::finish(connection, fate.event, fate.general, fate.state, fate.reason, now)?;
    }
    match fates.iter().filter(|fate| fate.state == "applied").count() {
        0 => Ok(()),
        applied => cursors::count(connection, now, "applied", applied as u64),
    }
}

fn tell(fates: &[Fate], tally: &Tally) {
    for Fate {
        event,
        kind,
        code,
        state,
        ..
    } in fates
    {
        count(tally, state);
        let code = code.as_ref().map_or("-", OrderCode::as_str);
        tracing::debug!(event = format!("event.{state}"), ORDER_CODE = code, EVENT_ID = event.0, %kind, "Event {event} ({kind}) of order `{code}`: {state}");
    }
}

type Tally = Mutex<Report>;

impl Apply {
    /// Deals with everything that is due.
    ///
    /// # Errors
    /// The ledger's and the shop's; handlers' failures are kept with their events.
    pub async fn pass(&self, context: &Context, stop: &CancellationToken) -> Result<Report, PassError> {
        let tally = Tally::default();
        let learned = context
            .ledger
            .read(|connection| cursors::get(connection, name::LEARNED))
            .await?;
        // Without events to be drained there is nothing to learn.
        let hears = !context.rules.events.is_empty();
        if context.dry_run || (hears && (learned.is_none() || !context.ready.drained())) {
            // Until every listing is in, an older status could be taken for the newest; the end of the drain rings.
            return Ok(Report::default());
        }
        let mut met: BTreeSet<OrderCode> = BTreeSet::new();
        while !stop.is_cancelled() {
            context.bells.apply.step();
            let now = context.now();
            let skip = met.clone();
            let codes = context
                .ledger
                .read(move |connection| {
                    let mut codes = inbox::codes_due(connection, now, CHUNK + skip.len())?;
                    let written = orders::select(connection, "writing IS NOT NULL", CHUNK + skip.len())?;
                    codes.extend(
                        written
                            .into_iter()
                            .filter(|entry| entry.agreed.known)
                            .map(|entry| entry.code),
                    );
                    let mut unique = BTreeSet::new();
                    codes.retain(|code| !skip.contains(code) && unique.insert(code.clone()));
                    codes.truncate(CHUNK);
                    Ok(codes)
                })
                .await?;
            if codes.is_empty() {
                break;
            }
            let rows = self.look_up(context, &codes).await?;
            let results: Vec<Result<(), PassError>> = stream::iter(codes.iter().cloned())
                .map(|code| {
                    let row = rows.get(&code).cloned();
                    let tally = &tally;
                    async move { self.order(context, code, row, tally).await }
                })
                .buffer_unordered(context.rules.apply_concurrency.max(1))
                .collect()
                .await;
            results.into_iter().collect::<Result<(), _>>()?;
            met.extend(codes);
        }
        self.general(context, &tally).await?;
        self.parked(context, &tally).await?;
        let mut report = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        let now = context.now();
        let next = context
            .ledger
            .read(move |connection| inbox::next_due(connection, now))
            .await?;
        report.again = match (report.again, next) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Ok(report)
    }

    /// The rows as they stand now. Of an export that is as the last complete read left them in the ledger, for the way out
    /// decides by that, too; what stands in a newer one is met by the next read.
    async fn look_up(
        &self,
        context: &Context,
        codes: &[OrderCode],
    ) -> Result<BTreeMap<OrderCode, Seen>, PassError> {
        let mut rows = BTreeMap::new();
        for codes in codes.chunks(context.rules.batch.max(1)) {
            for record in context.source.lookup(codes).await? {
                let seen = Seen {
                    key: record.key,
                    status: record.status,
                    changed: record.changed,
                };
                rows.insert(record.code, seen);
            }
        }
        if !context.source.is_live() {
            let codes = codes.to_vec();
            let known = context
                .ledger
                .read(move |connection| orders::get_many(connection, &codes))
                .await?;
            for entry in known.into_iter().flatten() {
                let seen = rows.entry(entry.code).or_insert_with(|| Seen {
                    key: entry.key,
                    status: None,
                    changed: None,
                });
                seen.status = entry.row_status;
            }
        }
        Ok(rows)
    }

    /// Everything that waits of one order, under its lock.
    async fn order(
        &self,
        context: &Context,
        code: OrderCode,
        row: Option<Seen>,
        tally: &Tally,
    ) -> Result<(), PassError> {
        let _guard = context.locks.lock(&code).await;
        let mut open = Open::of(context, &code).await?;
        if self
            .meet(context, &code, row.as_ref(), &open.events, tally)
            .await?
        {
            open = Open::of(context, &code).await?;
        }
        let turn = self.turn(context, &code, row, &mut open, tally).await;
        open.keep(context, tally).await?;
        turn
    }

    /// An order's turn. What became of its events is kept at its end, if not before.
    async fn turn(
        &self,
        context: &Context,
        code: &OrderCode,
        row: Option<Seen>,
        open: &mut Open,
        tally: &Tally,
    ) -> Result<(), PassError> {
        let (numbers, rest): (Vec<Event>, Vec<Event>) = std::mem::take(&mut open.events)
            .into_iter()
            .partition(|event| event.kind == "package_number");
        for event in &numbers {
            if let Step::Blocked = self.plain(context, event, row.as_ref(), open, tally).await? {
                return Ok(());
            }
        }
        let statuses: Vec<Event> = rest
            .iter()
            .filter(|event| event.kind == "status_change")
            .cloned()
            .collect();
        let newest = statuses.last().map(|event| event.id);
        for event in &rest {
            let step = if event.kind != "status_change" {
                self.plain(context, event, row.as_ref(), open, tally).await?
            } else if Some(event.id) == newest {
                self.status(context, code, &statuses, open, row.clone(), tally)
                    .await?
            } else {
                Step::Next
            };
            if let Step::Blocked = step {
                return Ok(());
            }
        }
        let begun = open
            .entry
            .as_ref()
            .is_some_and(|entry| entry.agreed.writing.is_some());
        if newest.is_none() && begun {
            self.status(context, code, &[], open, row, tally).await?;
        }
        Ok(())
    }

    /// The first look at what a new ledger learned of an order: only what is newer than the row's last change goes
    /// into the shop. It is decided once, for our own writes change the row, too. True where there was such a look.
    async fn meet(
        &self,
        context: &Context,
        code: &OrderCode,
        row: Option<&Seen>,
        open: &[Event],
        tally: &Tally,
    ) -> Result<bool, PassError> {
        let Some(changed) = row.map(|row| row.changed) else {
            return Ok(false);
        };
        if !open.iter().any(|event| event.initial) {
            return Ok(false);
        }
        let (key, open, now) = (code.clone(), open.to_vec(), context.now());
        let stale = context
            .ledger
            .write(move |connection| {
                let mut stale = 0;
                // In the hour that October repeats an event may be as young as its second reading.
                let is_older = |event: &Event| {
                    let moments = time::moments(&event.creation, event.received);
                    let at = moments.last().copied().unwrap_or(event.at);
                    changed.is_some_and(|changed| changed > at)
                };
                for event in open.iter().filter(|event| event.initial) {
                    if is_older(event) {
                        let reason = Some("the shop's row is newer");
                        inbox::finish(connection, event.id, event.general, "seen", reason, now)?;
                        stale += 1;
                    } else {
                        inbox::met(connection, event.id, event.general)?;
                    }
                }
                let newest = open.iter().rfind(|event| event.kind == "status_change");
                if newest.is_some_and(|event| event.initial && is_older(event))
                    && let Some(mut entry) = orders::get(connection, &key)?
                {
                    // Its first request carried the status; the shop has the last word on its own side.
                    entry.agreed.writing = None;
                    orders::put(connection, &entry)?;
                }
                Ok(stale)
            })
            .await?;
        (0..stale).for_each(|_| count(tally, "seen"));
        Ok(true)
    }

    fn handler(&self, context: &Context, event: &str) -> Option<Arc<dyn Handler>> {
        context.handlers.get(event).cloned()
    }

    /// Until when a handler's host is away.
    fn outage(&self, event: &str, now: Timestamp) -> Option<Timestamp> {
        let outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        outages
            .get(event)
            // an outage that lies ahead was there before the clock was set back
            .filter(|outage| outage.since <= now && outage.until > now)
            .map(|outage| outage.until)
    }

    /// An event that carries no status.
    async fn plain(
        &self,
        context: &Context,
        event: &Event,
        row: Option<&Seen>,
        open: &Open,
        tally: &Tally,
    ) -> Result<Step, PassError> {
        let now = context.now();
        let Some(handler) = self.handler(context, &event.kind) else {
            open.finish(event, "seen", None);
            return Ok(Step::Next);
        };
        if !event.general {
            if row.is_none() {
                return self.missing(context, event, open, tally).await;
            }
            if open.doubled {
                open.keep(context, tally).await?;
                if self.is_double(context, event).await? {
                    open.finish(event, "superseded", Some("another webhook brought it"));
                    return Ok(Step::Next);
                }
            }
        }
        if event.due > now {
            return Ok(Step::Blocked);
        }
        if let Some(until) = self.outage(&event.kind, now) {
            again(tally, until);
            return Ok(Step::Blocked);
        }
        let call = call(context, event, row.map(|row| &row.key), &open.numbers);
        let result = handler.tell(&call).await;
        match result {
            Ok(Outcome::Unmatched) => {
                self.back(context, &event.kind);
                self.missing(context, event, open, tally).await
            }
            Ok(Outcome::Done | Outcome::Moved) => {
                self.back(context, &event.kind);
                open.finish(event, "applied", None);
                Ok(Step::Next)
            }
            Err(error) => self.failed(context, event, &error, tally).await,
        }
    }

    /// The shop shows no such order. One that it has shown before may be under a person's hands, and some shops hide
    /// it meanwhile: its event is tried again for a while.
    async fn missing(
        &self,
        context: &Context,
        event: &Event,
        open: &Open,
        tally: &Tally,
    ) -> Result<Step, PassError> {
        let entry = open.entry.as_ref();
        let shown_before = entry.is_some_and(|entry| {
            let lately = |since| crate::clock::later(since, HIDDEN_FOR) > context.now();
            // The ledger has no order of which it was not shown a row once.
            entry.missing_since.is_none_or(lately)
        });
        let attempts = event.attempts + 1;
        if !shown_before || attempts >= context.rules.attempts {
            open.finish(event, "unmatched", Some("the shop has no such order"));
            if let Some(entry) = entry.filter(|entry| entry.missing_since.is_none()) {
                // Should the row come back, the shop has yet to hear of it.
                let (code, now) = (entry.code.clone(), context.now());
                context
                    .ledger
                    .write(move |connection| {
                        if let Some(mut entry) = orders::get(connection, &code)? {
                            entry.missing_since.get_or_insert(now);
                            orders::put(connection, &entry)?;
                        }
                        Ok(())
                    })
                    .await?;
            }
            return Ok(Step::Next);
        }
        if event.due <= context.now() {
            let due = crate::clock::later(context.now(), wait(attempts));
            let kept = event.clone();
            context
                .ledger
                .write(move |connection| {
                    let reason = "the shop does not show the order at this moment";
                    inbox::postpone(connection, &kept, "new", attempts, due, reason)
                })
                .await?;
            again(tally, due);
        }
        Ok(Step::Blocked)
    }

    /// The same happening told by another webhook.
    async fn is_double(&self, context: &Context, event: &Event) -> Result<bool, PassError> {
        let event = event.clone();
        let double = context
            .ledger
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT 1 FROM events WHERE code = ?1 AND type = ?2 AND creation = ?3 AND status_id IS ?4
                     AND package_number IS ?5 AND webhook_id <> ?6 AND state = 'applied'",
                )?;
                Ok(statement.exists(rusqlite::params![
                    event.code.as_ref().map(OrderCode::as_str),
                    event.kind,
                    event.creation,
                    event.status.map(|id| id.0),
                    event.package_number,
                    event.webhook.0,
                ])?)
            })
            .await?;
        Ok(double)
    }

    /// The shop values for a status id, the one to write first; `None` where the merchant says to ignore it.
    fn values(&self, context: &Context, id: StatusId) -> Option<Vec<ShopStatus>> {
        if let Some(value) = context.rules.status_map.as_ref().and_then(|map| map.get(&id.0)) {
            return (!value.is_empty()).then(|| vec![ShopStatus(value.clone())]);
        }
        Some(context.mapping.get().dictionaries().shop_statuses(id))
    }

    /// The status of one order: decide, act, mark.
    async fn status(
        &self,
        context: &Context,
        code: &OrderCode,
        events: &[Event],
        open: &Open,
        mut row: Option<Seen>,
        tally: &Tally,
    ) -> Result<Step, PassError> {
        let entry = open.entry.as_ref();
        let agreed = entry.map(|entry| &entry.agreed);
        let mut heard = Vec::new();
        for event in events {
            let echo = agreed.is_some_and(|agreed| {
                agreed.is_echo(
                    event.id,
                    event.status,
                    &time::moments(&event.creation, event.received),
                )
            });
            if event.status.is_none() {
                open.finish(event, "unmapped", Some("it names no status"));
            } else if echo {
                open.finish(event, "echo", None);
            } else if entry.is_some_and(|entry| entry.has_dealt_with(event.id)) {
                open.finish(event, "superseded", Some("a newer one was dealt with"));
            } else {
                heard.push(event.clone());
            }
        }
        let newest = heard.pop();
        for older in &heard {
            open.finish(older, "superseded", Some("a newer one waits"));
        }
        let begun = agreed.is_some_and(|agreed| agreed.writing.is_some());
        if newest.is_none() && !begun {
            return Ok(Step::Next);
        }
        if newest.as_ref().is_some_and(|event| event.due > context.now()) {
            return Ok(Step::Blocked);
        }
        // An order that is about to go out the first time takes its status along.
        if let Some(entry) = entry.filter(|entry| !entry.agreed.known && entry.state == State::Waiting) {
            tracing::debug!(event = "event.left_to_send", ORDER_CODE = %entry.code, "Its first request carries the status");
            if entry.due <= context.now() {
                context.bells.send.ring();
            }
            return Ok(Step::Blocked);
        }
        for _ in 0..LOOKS_MAX {
            let Some(seen) = row.clone() else {
                return match &newest {
                    Some(event) => self.missing(context, event, open, tally).await,
                    None => Ok(Step::Next),
                };
            };
            let decision = self.decide(context, entry, newest.as_ref(), &seen);
            let status = match decision {
                Decision::Write { status } => status,
                Decision::Send { .. } => {
                    return self.leave_to_send(context, code, open, newest).await;
                }
                Decision::Nothing => {
                    if let Some(event) = &newest {
                        open.finish(event, "superseded", Some("both sides say so already"));
                    }
                    return Ok(Step::Next);
                }
            };
            let target = match self.target(context, &seen, status) {
                Ok(values) => values,
                Err((state, reason)) => {
                    self.accept(
                        context,
                        code,
                        status,
                        newest.as_ref(),
                        (state, reason),
                        open,
                        tally,
                    )
                    .await?;
                    return Ok(Step::Next);
                }
            };
            let now = context.now();
            if let Some(until) = self.outage("status_change", now) {
                again(tally, until);
                return Ok(Step::Blocked);
            }
            let Some(handler) = self.handler(context, "status_change") else {
                return Ok(Step::Next);
            };
            let writing = match &seen.status {
                Some(status) if target.contains(status) => status.clone(),
                _ => target
                    .first()
                    .cloned()
                    .unwrap_or_else(|| ShopStatus(String::new())),
            };
            self.begin_write(context, code, &seen, &writing, open, tally)
                .await?;
            let base = newest.clone().unwrap_or_else(|| unfinished(code, status, now));
            let mut call = call(context, &base, Some(&seen.key), &open.numbers);
            call.event_id = newest.as_ref().map(|event| event.id);
            call.status_id = Some(status);
            call.status = Some(writing.clone());
            call.same_status = target.into_iter().filter(|value| *value != writing).collect();
            call.expected.clone_from(&seen.status);
            match handler.tell(&call).await {
                Ok(Outcome::Done) => {
                    self.back(context, "status_change");
                    self.written(
                        context,
                        code,
                        (status, writing),
                        seen.status,
                        newest.as_ref(),
                        open,
                        tally,
                    )
                    .await?;
                    return Ok(Step::Next);
                }
                Ok(Outcome::Unmatched) => {
                    self.back(context, "status_change");
                    row = None;
                }
                // The next export says how it stands.
                Ok(Outcome::Moved) if !context.source.is_live() => break,
                Ok(Outcome::Moved) => {
                    tracing::debug!(event = "event.row_moved", ORDER_CODE = %code, "The row moved under the write; it is looked at again");
                    row = self
                        .look_up(context, std::slice::from_ref(code))
                        .await?
                        .remove(code);
                }
                Err(error) => match &newest {
                    Some(event) => return self.failed(context, event, &error, tally).await,
                    None => {
                        self.away_or_later(context, &error, tally);
                        return Ok(Step::Blocked);
                    }
                },
            }
        }
        again(tally, crate::clock::later(context.now(), Duration::from_secs(30)));
        Ok(Step::Blocked)
    }

    fn decide(
        &self,
        context: &Context,
        entry: Option<&Entry>,
        newest: Option<&Event>,
        seen: &Seen,
    ) -> Decision {
        let protected = seen
            .status
            .as_ref()
            .is_some_and(|status| context.rules.protect.contains(status));
        match entry.filter(|entry| entry.agreed.known) {
            Some(entry) => {
                let mapping = context.mapping.get();
                let found = Found {
                    shop: seen.status.clone(),
                    shop_id: seen
                        .status
                        .as_ref()
                        .and_then(|status| mapping.dictionaries().status(status))
                        .map(|meaning| meaning.id),
                    protected,
                    event: newest.and_then(|event| event.status),
                    in_doubt: newest.is_some_and(|event| {
                        entry
                            .agreed
                            .in_doubt(entry.unanswered, &time::moments(&event.creation, event.received))
                    }),
                    content_differs: false,
                };
                decide(&entry.agreed, &found)
            }
            // Brani has it from somebody else: its word is brought into the shop, and nothing is sent.
            None => match newest.and_then(|event| event.status) {
                Some(status) => Decision::Write { status },
                None => Decision::Nothing,
            },
        }
    }

    /// The shop values to write, or what becomes of the event without a write.
    fn target(
        &self,
        context: &Context,
        seen: &Seen,
        status: StatusId,
    ) -> Result<Vec<ShopStatus>, (&'static str, &'static str)> {
        if self.handler(context, "status_change").is_none() {
            return Err(("seen", "no handler is configured"));
        }
        let Some(values) = self.values(context, status) else {
            return Err(("seen", "the configuration ignores this status"));
        };
        if values.is_empty() {
            let first = self
                .told_unmapped
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(status);
            if first {
                tracing::warn!(
                    event = "event.unmapped",
                    status = status.0,
                    hint = "add the id to `writeback.status_map` (an empty value ignores it) or to `[[eshop_info.statuses]]`",
                    "Brani's status {status} has no value in the shop; such events change nothing there"
                );
            }
            return Err(("unmapped", "the status has no value in the shop"));
        }
        // An order that this ledger does not know, in a protected status, is left as it is.
        if seen
            .status
            .as_ref()
            .is_some_and(|status| context.rules.protect.contains(status))
        {
            return Err(("protected", "the shop's status is protected"));
        }
        Ok(values)
    }

    /// The way out says it: the order waits, and the event stays until Brani has heard.
    async fn leave_to_send(
        &self,
        context: &Context,
        code: &OrderCode,
        open: &Open,
        newest: Option<Event>,
    ) -> Result<Step, PassError> {
        let entry = open.entry.as_ref();
        if entry.is_some_and(|entry| entry.state == State::Parked) {
            if let Some(event) = &newest {
                open.finish(event, "protected", Some("the order is parked"));
            }
            return Ok(Step::Next);
        }
        let key = code.clone();
        if entry.is_some_and(|entry| entry.row_gone) {
            // Sending it is no answer; should the row come back, Brani hears the shop's word then.
            context
                .ledger
                .write(move |connection| {
                    if let Some(mut entry) = orders::get(connection, &key)? {
                        entry.agreed.owed = true;
                        orders::put(connection, &entry)?;
                    }
                    Ok(())
                })
                .await?;
            if let Some(event) = &newest {
                let reason = Some("the shop has withdrawn the order");
                open.finish(event, "protected", reason);
            }
            return Ok(Step::Next);
        }
        let now = context.now();
        let due = context
            .ledger
            .write(move |connection| {
                let Some(mut entry) = orders::get(connection, &key)?
                    .filter(|entry| matches!(entry.state, State::Sent | State::Waiting))
                else {
                    return Ok(true);
                };
                // One that was tried and failed goes when its time has come.
                if entry.state == State::Sent || entry.attempts == 0 {
                    entry.due = Timestamp::UNIX_EPOCH;
                }
                entry.state = State::Waiting;
                entry.lane = Lane::Update;
                orders::put(connection, &entry)?;
                Ok(entry.due <= now)
            })
            .await?;
        if due {
            context.bells.send.ring();
        }
        Ok(Step::Blocked)
    }

    /// Brani's word is agreed without a write into the shop.
    #[expect(clippy::too_many_arguments, reason = "one transaction marks all of it")]
    async fn accept(
        &self,
        context: &Context,
        code: &OrderCode,
        status: StatusId,
        newest: Option<&Event>,
        (state, reason): (&'static str, &'static str),
        open: &Open,
        tally: &Tally,
    ) -> Result<(), PassError> {
        if let Some(event) = newest {
            open.finish(event, state, Some(reason));
        }
        let (key, event, now) = (code.clone(), newest.cloned(), context.now());
        let fates = open.take();
        let (ring, fates) = context
            .ledger
            .write(move |connection| {
                let mut ring = false;
                if let Some(mut entry) = orders::get(connection, &key)?.filter(|entry| entry.agreed.known) {
                    let shop = entry.agreed.shop.clone();
                    entry.agreed.after_write(status, shop);
                    ring = mark(&mut entry, event.as_ref());
                    orders::put(connection, &entry)?;
                }
                keep(connection, &fates, now)?;
                Ok((ring, fates))
            })
            .await?;
        tell(&fates, tally);
        if ring {
            context.bells.send.ring();
        }
        Ok(())
    }

    async fn begin_write(
        &self,
        context: &Context,
        code: &OrderCode,
        seen: &Seen,
        writing: &ShopStatus,
        open: &Open,
        tally: &Tally,
    ) -> Result<(), PassError> {
        let (key, shop, writing) = (code.clone(), seen.status.clone(), writing.clone());
        let (fates, now) = (open.take(), context.now());
        let is_live = context.source.is_live();
        let fates = context
            .ledger
            .write(move |connection| {
                if let Some(mut entry) = orders::get(connection, &key)?.filter(|entry| entry.agreed.known) {
                    entry.agreed.before_write(shop.as_ref(), writing, is_live);
                    orders::put(connection, &entry)?;
                }
                keep(connection, &fates, now)?;
                Ok(fates)
            })
            .await?;
        tell(&fates, tally);
        Ok(())
    }

    /// The status stands in the shop: both sides agree, in the transaction that marks the event. `stood` is what was found
    /// there before.
    #[expect(clippy::too_many_arguments, reason = "one transaction marks all of it")]
    async fn written(
        &self,
        context: &Context,
        code: &OrderCode,
        (status, writing): (StatusId, ShopStatus),
        stood: Option<ShopStatus>,
        newest: Option<&Event>,
        open: &Open,
        tally: &Tally,
    ) -> Result<(), PassError> {
        if let Some(event) = newest {
            open.finish(event, "applied", None);
        }
        let fates = open.take();
        let (key, event, now) = (code.clone(), newest.cloned(), context.now());
        let shop = writing.clone();
        let is_live = context.source.is_live();
        let (ring, fates) = context
            .ledger
            .write(move |connection| {
                let mut ring = false;
                if let Some(mut entry) = orders::get(connection, &key)?.filter(|entry| entry.agreed.known) {
                    let agreed = entry.agreed.shop.clone();
                    entry.agreed.after_write(status, Some(shop.clone()));
                    let read = entry.row_status.replace(shop);
                    if !is_live {
                        entry.agreed.outdates([agreed, read, stood], now);
                    }
                    // A merchant who puts the old status back makes the row that was looked at before.
                    entry.row_hash = None;
                    ring = mark(&mut entry, event.as_ref());
                    orders::put(connection, &entry)?;
                }
                keep(connection, &fates, now)?;
                Ok((ring, fates))
            })
            .await?;
        tell(&fates, tally);
        tracing::debug!(event = "event.written", ORDER_CODE = %code, status = status.0, "Wrote status {status} as `{writing}` into the shop");
        if ring {
            context.bells.send.ring();
        }
        Ok(())
    }

    /// The handler works (again).
    fn back(&self, context: &Context, kind: &str) {
        let was = self
            .outages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(kind);
        if was.is_some() {
            let text = format!("The handler `writeback.{kind}` works again");
            context
                .troubles
                .end(&format!("writeback.{kind}.away"), &text, context.now());
        }
    }

    /// An outage is the handler's and counts no attempts; anything else is not.
    fn away_or_later(&self, context: &Context, error: &WritebackError, tally: &Tally) {
        self.away(context, "status_change", error, tally);
    }

    fn away(&self, context: &Context, kind: &str, error: &WritebackError, tally: &Tally) {
        let now = context.now();
        let until = {
            let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
            let outage = outages.entry(kind.to_owned()).or_insert(Outage {
                failures: 0,
                since: now,
                until: now,
            });
            outage.failures += 1;
            outage.since = now;
            outage.until = crate::clock::later(now, wait(outage.failures));
            outage.until
        };
        again(tally, until);
        context.troubles.begin(
            &format!("writeback.{kind}.away"),
            Weight::Warn,
            &format!("The handler `writeback.{kind}` cannot reach its database or host: {error}"),
            "nothing to do if it is being restarted; events wait and go by themselves",
            now,
        );
    }

    async fn failed(
        &self,
        context: &Context,
        event: &Event,
        error: &WritebackError,
        tally: &Tally,
    ) -> Result<Step, PassError> {
        tally.lock().unwrap_or_else(PoisonError::into_inner).failed += 1;
        if let WritebackError::Unavailable(_) = error {
            self.away(context, &event.kind, error, tally);
            return Ok(Step::Blocked);
        }
        let attempts = event.attempts + 1;
        let stuck = attempts >= context.rules.attempts;
        let pause = if stuck { STUCK_RETRY } else { wait(attempts) };
        let due = crate::clock::later(context.now(), pause);
        let first_stuck = stuck && event.state != "stuck";
        let (kept, reason) = (event.clone(), error.to_string());
        context
            .ledger
            .write(move |connection| {
                let state = if stuck { "stuck" } else { "new" };
                inbox::postpone(connection, &kept, state, attempts, due, &reason)
            })
            .await?;
        again(tally, due);
        let code = event.code.as_ref().map_or("-", OrderCode::as_str);
        let (id, kind) = (event.id, &event.kind);
        if first_stuck {
            tracing::error!(
                event = "event.stuck",
                ORDER_CODE = code,
                EVENT_ID = id.0,
                attempts,
                hint = format!(
                    "mend the cause, then `brani-sync events retry {id}`, or drop it with `brani-sync events skip {id}`"
                ),
                "Event {id} ({kind}) of order `{code}` cannot be written into the shop: {error}"
            );
        } else if attempts == 1 {
            tracing::warn!(
                event = "event.failed",
                ORDER_CODE = code,
                EVENT_ID = id.0,
                attempts,
                "Event {id} ({kind}) of order `{code}` was not written and is tried again: {error}"
            );
        }
        // A stuck event holds up its order's later events, and nobody else's.
        Ok(Step::Blocked)
    }

    /// Events without an order, in id order; one that fails holds up its own type.
    async fn general(&self, context: &Context, tally: &Tally) -> Result<(), PassError> {
        let events = context
            .ledger
            .read(|connection| inbox::open_general(connection, 10_000))
            .await?;
        let mut blocked: BTreeSet<String> = BTreeSet::new();
        let of_no_order = Open::default();
        for event in events {
            if blocked.contains(&event.kind) {
                continue;
            }
            let step = self.plain(context, &event, None, &of_no_order, tally).await?;
            of_no_order.keep(context, tally).await?;
            if let Step::Blocked = step {
                blocked.insert(event.kind);
            }
        }
        Ok(())
    }

    /// Tells the shop's people, in the shop, what is parked and what is no longer.
    async fn parked(&self, context: &Context, tally: &Tally) -> Result<(), PassError> {
        for (kind, condition) in [
            (
                "parked",
                "state = 'parked' AND parked_by IN ('mapping', 'brani') AND told_parked = 0",
            ),
            ("unparked", "told_parked = 1 AND state <> 'parked'"),
        ] {
            let Some(handler) = self.handler(context, kind) else {
                continue;
            };
            if let Some(until) = self.outage(kind, context.now()) {
                again(tally, until);
                continue;
            }
            let entries = context
                .ledger
                .read(move |connection| orders::select(connection, condition, 1000))
                .await?;
            for entry in entries {
                let reason: Vec<String> = entry.problems.iter().map(|problem| problem.to_string()).collect();
                let call = Call {
                    event: kind.into(),
                    event_id: None,
                    code: Some(entry.code.clone()),
                    key: Some(entry.key.clone()),
                    created: None,
                    now: context.now(),
                    status_id: None,
                    status: None,
                    same_status: Vec::new(),
                    package_number: None,
                    package_numbers: None,
                    text: None,
                    reason: Some(reason.join("; ")),
                    more: serde_json::Map::new(),
                    expected: None,
                };
                match handler.tell(&call).await {
                    Ok(_) => {
                        self.back(context, kind);
                        let code = entry.code.clone();
                        let told = kind == "parked";
                        context
                            .ledger
                            .write(move |connection| {
                                if let Some(mut entry) = orders::get(connection, &code)? {
                                    entry.told_parked = told;
                                    orders::put(connection, &entry)?;
                                }
                                Ok(())
                            })
                            .await?;
                    }
                    Err(error) => {
                        self.away(context, kind, &error, tally);
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a handler is told of an event.
fn call(context: &Context, event: &Event, key: Option<&ShopKey>, numbers: &[String]) -> Call {
    let mut more = serde_json::Map::new();
    if event.general {
        let payload = event
            .text
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        more.insert("payload".into(), payload.unwrap_or(serde_json::Value::Null));
    }
    // Our own: what is told of the parcel's state stands in its text.
    let delivery = event.kind == "delivery_state";
    if delivery
        && let Some(serde_json::Value::Object(told)) = event
            .text
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok())
    {
        more.extend(told);
    }
    Call {
        event: event.kind.clone(),
        event_id: Some(event.id),
        code: event.code.clone(),
        key: key.cloned(),
        created: Some(event.creation.clone()),
        now: context.now(),
        status_id: None,
        status: None,
        same_status: Vec::new(),
        package_number: event.package_number.clone(),
        package_numbers: (!numbers.is_empty()).then(|| numbers.join(", ")),
        text: event.text.clone().filter(|_| !event.general && !delivery),
        reason: None,
        more,
        expected: None,
    }
}

/// Notes which event was dealt with; true where Brani must hear something now.
fn mark(entry: &mut Entry, event: Option<&Event>) -> bool {
    if let Some(event) = event {
        entry.deal_with(event.at, event.id);
    }
    if entry.agreed.owed && matches!(entry.state, State::Sent | State::Waiting) {
        entry.state = State::Waiting;
        entry.lane = Lane::Update;
        entry.due = Timestamp::UNIX_EPOCH;
    }
    entry.state == State::Waiting
}

/// A write that was begun and never marked has no event of its own any more.
fn unfinished(code: &OrderCode, status: StatusId, now: Timestamp) -> Event {
    Event {
        id: EventId(0),
        general: false,
        webhook: crate::types::WebhookId(0),
        kind: "status_change".into(),
        code: Some(code.clone()),
        creation: time::written(now),
        at: now,
        received: now,
        status: Some(status),
        package_number: None,
        text: None,
        state: "new".into(),
        initial: false,
        pushed: false,
        attempts: 0,
        due: Timestamp::UNIX_EPOCH,
        reason: None,
    }
}

fn wait(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(8))
}

fn count(tally: &Tally, state: &'static str) {
    *tally
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .outcomes
        .entry(state)
        .or_default() += 1;
}

fn again(tally: &Tally, at: Timestamp) {
    let mut report = tally.lock().unwrap_or_else(PoisonError::into_inner);
    report.again = Some(report.again.map_or(at, |before| before.min(at)));
}

/// How long events are kept that were dealt with.
pub async fn prune(context: &Context) -> Result<usize, PassError> {
    let now = context.now();
    let keep = SignedDuration::try_from(context.rules.keep_events).unwrap_or(SignedDuration::MAX);
    let before = now.checked_sub(keep).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(context
        .ledger
        .write(move |connection| inbox::prune(connection, before, before))
        .await?)
}
