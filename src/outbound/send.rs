//! Sending what is wanted and not sent: several at once, never two of one code, and the outcome recorded.
//!
//! An order that Brani does not have goes out as it is kept. An order that Brani already has is settled under its
//! own lock: a drain begun now, a look at its row, the decision of `status`, one act, the mark. What is to be
//! written into the shop is left to the way back, which is rung.

use super::diff;
use super::poll;
use super::weather::{Forecast, Weather, backoff};
use crate::bell::Ended;
use crate::brani::model::{Order, Status};
use crate::brani::{Error, time};
use crate::clock::later;
use crate::context::{Context, PassError, some_codes};
use crate::health::times;
use crate::ledger::LedgerError;
use crate::ledger::cursors::{self, name};
use crate::ledger::extras::{self, Noted};
use crate::ledger::inbox::{self, Event};
use crate::ledger::orders::{self, Entry, Lane, ParkedBy, State};
use crate::locks::Guard;
use crate::mapping::{self, Mapped, Owner, Problem};
use crate::source::Record;
use crate::status::{Decision, Found, Why, decide};
use crate::trouble::Weight;
use crate::types::{OrderCode, PayloadHash, ShopStatus, StatusId};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// After a success that followed an unanswered request, the order is said once more: the first one may land late.
const SAY_AGAIN: Duration = Duration::from_secs(300);
/// What could not be settled in one pass is looked at again after this long, if nobody rings before.
const PUT_OFF: Duration = Duration::from_secs(15);
/// An order that fails alone this long is parked.
const ALONE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// `creationTime` must be in the past, and clocks differ a little.
const PAST: SignedDuration = SignedDuration::from_secs(2);

/// What a send pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Orders that Brani took.
    pub sent: u64,
    /// Orders that Brani refused.
    pub parked: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Left to the way back.
    pub left_to_apply: u64,
    /// Orders deleted at Brani.
    pub deleted: u64,
    /// Not before: something waits until then.
    #[serde(skip)]
    pub again: Option<Timestamp>,
}

/// The sending side's own memory: how Brani answers. It outlives the passes, not the process.
#[derive(Debug, Default)]
pub struct Sender {
    weather: Mutex<Weather>,
    drains_fail_since: Mutex<Option<Timestamp>>,
}

/// One order, ready to go.
struct Ready {
    code: OrderCode,
    order: Box<Order>,
    hash: PayloadHash,
    status: Option<StatusId>,
    intent: Option<ShopStatus>,
    writing: Option<ShopStatus>,
    newest_event: Option<(Timestamp, i64)>,
    /// Events that this request answers (the shop's protected status against them).
    protected: Vec<i64>,
    why: Why,
    lane: Lane,
    _guard: Guard,
}

impl Sender {
    fn weather(&self) -> std::sync::MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends until nothing is due, Brani is away, or `stop` is asked for.
    ///
    /// # Errors
    /// The ledger's, and what must come first.
    pub async fn pass(&self, context: &Context, stop: &CancellationToken) -> Result<Report, PassError> {
        let mut report = Report::default();
        if context.dry_run {
            return Ok(report);
        }
        if !context.ready.posted() {
            context.bells.eshop_info.ring();
            return Err(PassError::NotYet("e-shop info has not been compared yet".into()));
        }
        if !context.rules.events.is_empty() {
            let learned = context.ledger.read(|c| cursors::get(c, name::LEARNED)).await?;
            if learned.is_none() {
                context.bells.drain.ring();
                return Err(PassError::NotYet(
                    "a new ledger sends nothing before its first complete drain".into(),
                ));
            }
        }
        let held = poll::guard_resends(context).await?;
        // Orders met in this pass that could not be settled now: not again before the next one.
        let mut put_off: BTreeSet<OrderCode> = BTreeSet::new();
        while !stop.is_cancelled() {
            let now = context.now();
            let (limit, probe) = match self.weather().forecast() {
                Forecast::Fair => (context.rules.concurrency.max(1) * 8, false),
                Forecast::Probe(until) if until > now => {
                    report.again = Some(until);
                    return Ok(report);
                }
                Forecast::Probe(_) => (1, true),
            };
            if !super::sweep::delete_wanted(context, self, limit, &mut report).await? {
                continue;
            }
            let mut skip = put_off.clone();
            if probe {
                skip.extend(self.weather().failed().cloned());
            }
            let mut picked = context
                .ledger
                .read(move |c| pick(c, now, limit, held, &skip))
                .await?;
            if picked.is_empty() && probe {
                // Nothing else to try it with.
                let skip = put_off.clone();
                picked = context
                    .ledger
                    .read(move |c| pick(c, now, limit, held, &skip))
                    .await?;
            }
            if picked.is_empty() {
                break;
            }
            let (firsts, others): (Vec<_>, Vec<_>) =
                picked.into_iter().partition(|entry| !entry.maybe_at_brani());
            let mut ready = self.first_sends(context, firsts, &mut put_off, stop).await?;
            if !others.is_empty() {
                ready.extend(
                    self.settle(context, others, &mut put_off, &mut report, stop)
                        .await?,
                );
            }
            let width = if probe {
                1
            } else {
                context.rules.concurrency.max(1)
            };
            let outcomes: Vec<Result<Outcome, PassError>> = stream::iter(ready)
                .map(|ready| self.deliver(context, ready))
                .buffer_unordered(width)
                .collect()
                .await;
            for outcome in outcomes {
                match outcome? {
                    Outcome::Sent => report.sent += 1,
                    Outcome::Parked => report.parked += 1,
                    Outcome::Failed => report.failed += 1,
                }
            }
        }
        let now = context.now();
        let next = context.ledger.read(move |c| orders::due_after(c, now)).await?;
        // What was put off is due already: it waits for a ring, or a little.
        let next = match next {
            Some(next) if put_off.is_empty() => Some(next),
            None if put_off.is_empty() => None,
            next => Some(next.map_or(Timestamp::MAX, |next| next).min(later(now, PUT_OFF))),
        };
        report.again = match (report.again, next) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Ok(report)
    }

    /// Orders that Brani does not have: begun in one transaction, with the status that events may dictate.
    async fn first_sends(
        &self,
        context: &Context,
        entries: Vec<Entry>,
        put_off: &mut BTreeSet<OrderCode>,
        stop: &CancellationToken,
    ) -> Result<Vec<Ready>, PassError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        // The ledger may be an old copy: what waits in it may have changed since, and Brani may have packed meanwhile
        // what it takes for new. A ledger that never saw a complete read has nothing old.
        let old = !context.ready.polled()
            && context
                .ledger
                .read(|connection| Ok(cursors::get(connection, name::CURSOR)?.is_some()))
                .await?;
        if old {
            tracing::debug!(
                event = "pass.not_yet",
                flow = "send",
                orders = entries.len(),
                "Orders that Brani does not have wait for the first complete read of the shop"
            );
        }
        if old || (!context.ready.drained() && !self.drain(context, stop).await) {
            put_off.extend(entries.into_iter().map(|entry| entry.code));
            return Ok(Vec::new());
        }
        let mut guards = BTreeMap::new();
        for entry in entries {
            match context.locks.try_lock(&entry.code) {
                Some(guard) => drop(guards.insert(entry.code, guard)),
                None => drop(put_off.insert(entry.code)),
            }
        }
        let codes: Vec<OrderCode> = guards.keys().cloned().collect();
        let now = context.now();
        let rules = context.rules.clone();
        let mapping = context.mapping.get();
        let begun = context
            .ledger
            .write(move |connection| {
                let mut begun = Vec::new();
                for code in codes {
                    let Some(entry) = orders::get(connection, &code)?.filter(|e| e.state == State::Waiting)
                    else {
                        continue;
                    };
                    let kept = orders::payload(connection, &code)?;
                    let Some(order) = kept.and_then(|kept| serde_json::from_slice::<Order>(&kept).ok())
                    else {
                        // Kept by another version, or lost: the next look at its row wants it anew.
                        want_anew(connection, entry, now)?;
                        continue;
                    };
                    let shop = entry.row_status.clone();
                    let shop_id = shop
                        .as_ref()
                        .and_then(|shop| mapping.dictionaries().status(shop))
                        .map(|s| s.id);
                    let protected = shop.as_ref().is_some_and(|shop| rules.protect.contains(shop));
                    let row = RowView {
                        order,
                        shop,
                        shop_id,
                        protected,
                    };
                    if let Some(ready) = begin(connection, entry, row, &mapping, now)? {
                        begun.push(ready);
                    }
                }
                Ok(begun)
            })
            .await?;
        let ready = begun
            .into_iter()
            .filter_map(|begun| guards.remove(&begun.code).map(|guard| begun.with(guard)))
            .collect();
        // What could not be begun is not picked again and again.
        put_off.extend(guards.into_keys());
        Ok(ready)
    }

    /// Orders that Brani has, or may have.
    async fn settle(
        &self,
        context: &Context,
        entries: Vec<Entry>,
        put_off: &mut BTreeSet<OrderCode>,
        report: &mut Report,
        stop: &CancellationToken,
    ) -> Result<Vec<Ready>, PassError> {
        let mut guards = BTreeMap::new();
        let mut held: Vec<Entry> = Vec::new();
        for entry in entries {
            match context.locks.try_lock(&entry.code) {
                Some(guard) => {
                    guards.insert(entry.code.clone(), guard);
                    held.push(entry);
                }
                None => drop(put_off.insert(entry.code)),
            }
        }
        let drained = self.drain(context, stop).await;
        if !drained {
            // Without what the packer said meanwhile only a protected status goes out.
            held.retain(|entry| {
                let protected = entry
                    .row_status
                    .as_ref()
                    .is_some_and(|s| context.rules.protect.contains(s));
                if !protected {
                    put_off.insert(entry.code.clone());
                }
                protected
            });
        }
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let codes: Vec<OrderCode> = held.iter().map(|entry| entry.code.clone()).collect();
        let rows = match self.rows(context, &codes).await {
            Ok(rows) => rows,
            Err(PassError::Source(error)) => {
                let now = context.now();
                context.troubles.begin(
                    "shop.unreachable",
                    Weight::Warn,
                    &format!("The shop could not be asked about changed orders: {error}"),
                    error
                        .hint()
                        .unwrap_or("nothing to do if the database is being restarted"),
                    now,
                );
                put_off.extend(codes);
                report.again = Some(later(now, Duration::from_secs(10)));
                return Ok(Vec::new());
            }
            Err(other) => return Err(other),
        };
        let now = context.now();
        let mapping = context.mapping.get();
        let mut odd = Vec::new();
        let mut views = Vec::new();
        let mut missing = Vec::new();
        for entry in held {
            match rows.get(&entry.code) {
                None => missing.push(entry.code),
                Some(Row::Fresh(record, Ok(mapped))) if record.key == entry.key && !record.gone => {
                    let shop = record.status.clone();
                    let protected = shop
                        .as_ref()
                        .is_some_and(|shop| context.rules.protect.contains(shop));
                    let view = RowView {
                        order: mapped.order.clone(),
                        shop_id: mapped.status,
                        shop,
                        protected,
                    };
                    let seen = (
                        mapping.row_hash(record),
                        poll::fingerprint(&mapping),
                        mapping.wants(record),
                    );
                    views.push((entry.code, view, Some(seen)));
                }
                Some(Row::Fresh(record, _)) => odd.push((**record).clone()),
                Some(Row::Kept(view)) => views.push((entry.code, (**view).clone(), None)),
            }
        }
        if !missing.is_empty() {
            self.row_is_missing(context, &missing, now).await?;
            put_off.extend(missing);
        }
        if !odd.is_empty() {
            // Unmappable, withdrawn or another's: the look decides and keeps it.
            put_off.extend(odd.iter().map(|record| record.code.clone()));
            let history = poll::history_start(context).await?;
            let when = diff::When {
                now,
                source_now: now,
                history,
                started: context.started,
            };
            poll::take(context, &mapping, odd, when, &mut poll::Report::default()).await?;
        }
        let (begun, writes, noted) = context
            .ledger
            .write(move |connection| {
                let mut begun = Vec::new();
                let mut writes = Vec::new();
                let mut noted = Noted::default();
                for (code, view, seen) in views {
                    let Some(mut entry) = orders::get(connection, &code)? else {
                        continue;
                    };
                    if entry.state != State::Waiting {
                        continue;
                    }
                    if let Some((row_hash, fingerprint, wants)) = seen {
                        // This row counts as looked at: no poll will meet it.
                        extras::note(connection, &code, &wants, now, &mut noted)?;
                        entry.row_hash = Some(row_hash);
                        entry.fingerprint = Some(fingerprint);
                        entry.row_status = view.shop.clone();
                        entry.wanted = Some(mapping::content_hash(&view.order));
                    }
                    match begin(connection, entry, view, &mapping, now)? {
                        Some(ready) => begun.push(ready),
                        None => {
                            if orders::get(connection, &code)?.is_some_and(|e| e.state == State::Waiting) {
                                writes.push(code);
                            }
                        }
                    }
                }
                Ok((begun, writes, noted))
            })
            .await?;
        for (code, kind, problem) in noted.parked {
            super::extras::tell_parked(&code, kind, &problem.to_string());
        }
        if !writes.is_empty() {
            report.left_to_apply += writes.len() as u64;
            put_off.extend(writes);
        }
        Ok(begun
            .into_iter()
            .filter_map(|begun| guards.remove(&begun.code).map(|guard| begun.with(guard)))
            .collect())
    }

    /// A drain begun now, which serves all orders that wait for it. False where updates must wait for one.
    async fn drain(&self, context: &Context, stop: &CancellationToken) -> bool {
        if !context.rules.hears_status() {
            return true;
        }
        let ended = tokio::select! {
            // The drain's loop may be gone already: nobody would answer the bell.
            () = stop.cancelled() => return false,
            ended = context.bells.drain.ring_and_wait() => ended,
        };
        let now = context.now();
        let mut since = self
            .drains_fail_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match ended {
            Ended::Well => {
                *since = None;
                context
                    .troubles
                    .end("drain.held_updates", "Updates wait for drains again", now);
                true
            }
            Ended::Badly(_) => {
                let began = *since.get_or_insert(now);
                let long = now.duration_since(began)
                    > SignedDuration::try_from(context.rules.hold_updates).unwrap_or(SignedDuration::MAX);
                if long {
                    context.troubles.begin(
                        "drain.held_updates",
                        Weight::Warn,
                        "Drains fail for long: updates go out without knowing what the packer did",
                        "see the lines about drains above; a packer's status may be overwritten until they work",
                        now,
                    );
                }
                long
            }
        }
    }

    /// The rows as they stand: asked of a live shop, else as the last complete read left them.
    async fn rows(
        &self,
        context: &Context,
        codes: &[OrderCode],
    ) -> Result<BTreeMap<OrderCode, Row>, PassError> {
        let mapping = context.mapping.get();
        let mut rows = BTreeMap::new();
        let mut ask: Vec<OrderCode> = codes.to_vec();
        if !context.source.is_live() {
            let wanted = codes.to_vec();
            let kept = context
                .ledger
                .read(move |connection| {
                    let mut kept = Vec::new();
                    for code in wanted {
                        if let (Some(entry), Some(payload)) = (
                            orders::get(connection, &code)?,
                            orders::payload(connection, &code)?,
                        ) {
                            kept.push((code, entry.row_status, payload));
                        }
                    }
                    Ok(kept)
                })
                .await?;
            for (code, shop, payload) in kept {
                let Ok(order) = serde_json::from_slice::<Order>(&payload) else {
                    continue;
                };
                let shop_id = shop
                    .as_ref()
                    .and_then(|shop| mapping.dictionaries().status(shop))
                    .map(|s| s.id);
                let protected = shop
                    .as_ref()
                    .is_some_and(|shop| context.rules.protect.contains(shop));
                ask.retain(|other| *other != code);
                let view = RowView {
                    order,
                    shop,
                    shop_id,
                    protected,
                };
                rows.insert(code, Row::Kept(Box::new(view)));
            }
        }
        for codes in ask.chunks(context.rules.batch.max(1)) {
            for record in context.source.lookup(codes).await? {
                let mapped = mapping.map(&record);
                rows.insert(
                    record.code.clone(),
                    Row::Fresh(Box::new(record), mapped.map(Box::new)),
                );
            }
        }
        if !ask.is_empty() {
            context
                .troubles
                .end("shop.unreachable", "The shop answers again", context.now());
        }
        Ok(rows)
    }

    /// The row vanished from the shop: the sweep decides whether it is gone.
    async fn row_is_missing(
        &self,
        context: &Context,
        codes: &[OrderCode],
        now: Timestamp,
    ) -> Result<(), PassError> {
        let missing = codes.to_vec();
        context
            .ledger
            .write(move |connection| {
                for code in &missing {
                    if let Some(mut entry) = orders::get(connection, code)? {
                        entry.due = later(now, Duration::from_secs(600));
                        entry.missing_since.get_or_insert(now);
                        orders::put(connection, &entry)?;
                    }
                }
                Ok(())
            })
            .await?;
        tracing::warn!(
            event = "order.row_missing",
            orders = codes.len(),
            "Orders that Brani has are no longer in the shop and are not updated: {}",
            some_codes(codes)
        );
        Ok(())
    }

    /// One request and its mark.
    async fn deliver(&self, context: &Context, ready: Ready) -> Result<Outcome, PassError> {
        let mut order = *ready.order.clone();
        order.status = ready.status.map(|id| Status { id });
        clamp(&mut order, context.now());
        let asked = tokio::time::Instant::now();
        let result = context.service.upsert(&order).await;
        let ended = if result.is_ok() {
            times::Ended::Sent
        } else {
            times::Ended::Failed
        };
        context.times.observe(ended, asked.elapsed());
        let now = context.now();
        match result {
            Ok(()) => {
                let freed = self.weather().success(now);
                for (event, text) in [
                    ("brani.unreachable", "Brani answers again"),
                    ("brani.unauthorized", "Brani takes the token again"),
                    ("brani.refuses", "Brani takes orders again"),
                ] {
                    context.troubles.end_of("send", event, text, now);
                }
                self.mark_sent(context, ready, now, freed).await?;
                Ok(Outcome::Sent)
            }
            Err(error) => self.mark_failed(context, ready, error, now).await,
        }
    }

    async fn mark_sent(
        &self,
        context: &Context,
        ready: Ready,
        now: Timestamp,
        freed: Vec<OrderCode>,
    ) -> Result<(), PassError> {
        let why = ready.why;
        let code = ready.code.clone();
        let lane = ready.lane;
        let Ready {
            code: key,
            order,
            hash,
            status,
            intent,
            writing,
            newest_event,
            protected,
            _guard,
            ..
        } = ready;
        let writes_back = writing.is_some();
        context
            .ledger
            .write(move |connection| {
                for code in freed {
                    if let Some(mut other) =
                        orders::get(connection, &code)?.filter(|e| e.state == State::Waiting)
                    {
                        other.due = Timestamp::UNIX_EPOCH;
                        other.attempts = 0;
                        other.failing_since = None;
                        orders::put(connection, &other)?;
                    }
                }
                for id in &protected {
                    inbox::finish(
                        connection,
                        crate::types::EventId(*id),
                        false,
                        "protected",
                        None,
                        now,
                    )?;
                }
                let field_key = field_key(connection)?;
                let Some(mut entry) = orders::get(connection, &key)? else {
                    return Ok(());
                };
                entry.agreed.after_send(status, intent.as_ref(), writing, now);
                entry.status_event = entry.status_event.max(newest_event);
                entry.sent = Some(hash);
                entry.fields = Some(mapping::field_hashes(&order, &field_key));
                entry.sent_at = Some(now);
                entry.answer = Some("accepted".into());
                entry.attempts = 0;
                entry.failing_since = None;
                let newer_wanted = !diff::is_settled_by(&entry, hash)
                    || diff::is_shop_news(&entry, entry.row_status.clone().as_ref());
                if entry.unanswered {
                    // An earlier request may still land behind this one: say it once more.
                    entry.unanswered = false;
                    entry.agreed.owed = true;
                    entry.due = if newer_wanted { now } else { later(now, SAY_AGAIN) };
                    entry.state = State::Waiting;
                    entry.lane = Lane::Update;
                } else if newer_wanted && entry.state == State::Waiting {
                    entry.due = Timestamp::UNIX_EPOCH;
                    entry.lane = Lane::Update;
                } else if entry.state == State::Waiting {
                    entry.state = State::Sent;
                }
                if !newer_wanted {
                    orders::forget_payload(connection, &key)?;
                }
                orders::put(connection, &entry)?;
                cursors::set_time(connection, name::LAST_SENT, now)?;
                cursors::count(connection, now, "sent", 1)
            })
            .await?;
        tracing::debug!(event = "order.sent", ORDER_CODE = %code, why = ?why, status = ?status, "Sent order `{code}`");
        if why == Why::Protected {
            tracing::info!(event = "order.protected", ORDER_CODE = %code,
                "Order `{code}` has a protected status in the shop; Brani was told, the packer's status was not kept");
        }
        if writes_back {
            context.bells.apply.ring();
        }
        if lane == Lane::Resend {
            // Re-sends take half the rate: everything else goes before them.
            let pause = Duration::from_secs_f64(1.0 / context.rules.rate_limit.max(0.1));
            tokio::time::sleep(pause * u32::try_from(context.rules.concurrency).unwrap_or(1)).await;
        }
        Ok(())
    }

    async fn mark_failed(
        &self,
        context: &Context,
        ready: Ready,
        error: Error,
        now: Timestamp,
    ) -> Result<Outcome, PassError> {
        let jitter = jitter(&ready.code, now);
        let (out, others) = {
            let mut weather = self.weather();
            weather.failure(&ready.code, &error, now, jitter);
            (weather.is_out(), weather.others_succeed(now))
        };
        tell(context, &error, &ready.code, out, now);
        let code = ready.code.clone();
        let answer = error.to_string();
        let maybe_applied = error.maybe_applied();
        let park = match &error {
            Error::Rejected { .. } => true,
            Error::Refused { .. } | Error::NotFound => others,
            _ => false,
        };
        let problems = problems(&error);
        let unavailable = matches!(error, Error::Unavailable { .. });
        let parked = context
            .ledger
            .write(move |connection| {
                let Some(mut entry) = orders::get(connection, &ready.code)? else {
                    return Ok(None);
                };
                entry.answer = Some(answer.clone());
                entry.unanswered |= maybe_applied;
                if !maybe_applied {
                    // It surely does not stand: the window closes, and nothing is unconfirmed on its account.
                    if let Some(window) = &mut entry.agreed.window {
                        window.to = Some(now);
                    }
                    if !entry.agreed.known && !entry.unanswered {
                        entry.agreed.window = None;
                        entry.agreed.unconfirmed = false;
                    }
                }
                entry.attempts = entry.attempts.saturating_add(1);
                let since = *entry.failing_since.get_or_insert(now);
                // One that fails alone while others get through is parked after a day.
                let alone_too_long = unavailable && !out && others && now.duration_since(since) > ALONE_MAX;
                let newer = entry.wanted.is_some_and(|wanted| wanted != ready.hash);
                if (park || alone_too_long) && !newer {
                    entry.state = State::Parked;
                    entry.parked_by = Some(ParkedBy::Brani);
                    entry.problems = if park {
                        problems
                    } else {
                        vec![Problem {
                            field: "order".into(),
                            found: None,
                            rule: format!("has failed for a day while others get through: {answer}"),
                            hint: "ask Brani's support about this order, then `brani-sync orders retry`"
                                .into(),
                            owner: Owner::Brani,
                        }]
                    };
                    orders::put(connection, &entry)?;
                    return Ok(Some(entry));
                }
                let wait = if newer {
                    Duration::ZERO
                } else {
                    backoff(entry.attempts, jitter)
                };
                entry.due = later(now, wait);
                orders::put(connection, &entry)?;
                Ok(None)
            })
            .await?;
        match parked {
            Some(entry) => {
                poll::tell_parked(&entry);
                Ok(Outcome::Parked)
            }
            None => {
                tracing::debug!(event = "order.not_sent", ORDER_CODE = %code, %error, "Order `{code}` was not sent");
                Ok(Outcome::Failed)
            }
        }
    }

    /// Tells the weather about a request that another room made for the flow (a delete).
    pub(super) fn observe(&self, context: &Context, code: &OrderCode, result: &Result<(), Error>) {
        let now = context.now();
        match result {
            Ok(()) => drop(self.weather().success(now)),
            Err(error) => {
                let out = {
                    let mut weather = self.weather();
                    weather.failure(code, error, now, jitter(code, now));
                    weather.is_out()
                };
                tell(context, error, code, out, now);
            }
        }
    }
}

/// Between 0 and 1, from the order and the moment: spread like chance, and a history can be played again.
fn jitter(code: &OrderCode, now: Timestamp) -> f64 {
    let seed = u64::from_ne_bytes(now.as_millisecond().to_ne_bytes());
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(code.as_str().as_bytes(), seed);
    f64::from(u32::try_from(hash >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

enum Outcome {
    Sent,
    Parked,
    Failed,
}

enum Row {
    Fresh(Box<Record>, Result<Box<Mapped>, Vec<Problem>>),
    Kept(Box<RowView>),
}

/// The shop's side of one order.
#[derive(Clone)]
struct RowView {
    order: Order,
    shop: Option<ShopStatus>,
    shop_id: Option<StatusId>,
    protected: bool,
}

/// A request that was begun in the ledger, before its lock is put to it.
struct Begun {
    code: OrderCode,
    order: Order,
    hash: PayloadHash,
    status: Option<StatusId>,
    intent: Option<ShopStatus>,
    writing: Option<ShopStatus>,
    newest_event: Option<(Timestamp, i64)>,
    protected: Vec<i64>,
    why: Why,
    lane: Lane,
}

impl Begun {
    fn with(self, guard: Guard) -> Ready {
        Ready {
            code: self.code,
            order: Box::new(self.order),
            hash: self.hash,
            status: self.status,
            intent: self.intent,
            writing: self.writing,
            newest_event: self.newest_event,
            protected: self.protected,
            why: self.why,
            lane: self.lane,
            _guard: guard,
        }
    }
}

/// What goes next: by lane, newest first; re-sends only when they are not held.
fn pick(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
    resends_held: bool,
    skip: &BTreeSet<OrderCode>,
) -> Result<Vec<Entry>, LedgerError> {
    let mut picked = Vec::new();
    for lane in [Lane::New, Lane::Update, Lane::Backlog, Lane::Resend] {
        if picked.len() >= limit || (lane == Lane::Resend && resends_held) {
            break;
        }
        for code in orders::due(connection, now, lane, limit + skip.len())? {
            if picked.len() >= limit {
                break;
            }
            if !skip.contains(&code) {
                picked.extend(orders::get(connection, &code)?);
            }
        }
    }
    Ok(picked)
}

/// Decides about one order and, where it is to be sent, notes that a request leaves. `None`: nothing to send (the
/// entry then says whether something is left to the way back).
fn begin(
    connection: &Connection,
    mut entry: Entry,
    row: RowView,
    mapping: &mapping::Mapping,
    now: Timestamp,
) -> Result<Option<Begun>, LedgerError> {
    let events = status_events(connection, &entry)?;
    let heard: Vec<&Event> = events
        .iter()
        .filter(|event| {
            !entry
                .agreed
                .is_echo(event.status, &time::readings(&event.creation))
        })
        .collect();
    let newest = heard.last().copied();
    let hash = mapping::content_hash(&row.order);
    let found = Found {
        shop: row.shop.clone(),
        shop_id: row.shop_id,
        protected: row.protected,
        event: newest.and_then(|event| event.status),
        in_doubt: newest.is_some_and(|event| {
            entry
                .agreed
                .in_doubt(entry.unanswered, &time::readings(&event.creation))
        }),
        content_differs: entry.sent != Some(hash),
    };
    match decide(&entry.agreed, &found) {
        Decision::Send { status, intent, why } => {
            // The shop has yet to hear a status that it did not say itself. What is older than the look back is not
            // written any more.
            let writing = match (&intent, why, newest) {
                (Some(shop), Why::FirstWithPackersStatus, Some(event)) if event.state == "new" => status
                    .map(|id| mapping.dictionaries().shop_statuses(id))
                    .filter(|values| !values.contains(shop))
                    .and_then(|values| values.into_iter().next()),
                _ => None,
            };
            let protected = if why == Why::Protected {
                events
                    .iter()
                    .filter(|event| event.state != "seen")
                    .map(|event| event.id.0)
                    .collect()
            } else {
                Vec::new()
            };
            // A request of ours is still open: it may have been applied, or may yet be.
            entry.unanswered |= entry.agreed.window.is_some_and(|window| window.to.is_none());
            let lane = entry.lane;
            entry.agreed.before_send(status, now);
            orders::put(connection, &entry)?;
            let newest_event = events.last().map(|event| (event.at, event.id.0));
            Ok(Some(Begun {
                code: entry.code,
                order: row.order,
                hash,
                status,
                intent,
                writing,
                newest_event: if why == Why::FirstWithPackersStatus {
                    None
                } else {
                    newest_event
                },
                protected,
                why,
                lane,
            }))
        }
        Decision::Write { .. } => {
            // The way back writes it; then this order is rung for again.
            orders::put(connection, &entry)?;
            Ok(None)
        }
        Decision::Nothing => {
            entry.agreed.confirmed();
            entry.state = State::Sent;
            orders::forget_payload(connection, &entry.code)?;
            orders::put(connection, &entry)?;
            Ok(None)
        }
    }
}

/// An order whose payload cannot be used: its row is met as new at the next sweep or change.
fn want_anew(connection: &Connection, mut entry: Entry, now: Timestamp) -> Result<(), LedgerError> {
    tracing::warn!(event = "order.payload_unusable", ORDER_CODE = %entry.code,
        "What was kept of order `{}` cannot be used; its row is read again", entry.code);
    entry.row_hash = None;
    entry.due = later(now, Duration::from_secs(60));
    orders::put(connection, &entry)
}

/// Status events that are not dealt with: those that wait, and, for an order that this ledger never sent, the
/// newest that it learned.
fn status_events(connection: &Connection, entry: &Entry) -> Result<Vec<Event>, LedgerError> {
    let mut events: Vec<Event> = inbox::open_of(connection, &entry.code)?
        .into_iter()
        .filter(|event| event.kind == "status_change" && event.status.is_some())
        .collect();
    if !entry.agreed.known
        && let Some(newest) = inbox::newest_status(connection, &entry.code)?
    {
        let dealt_with = entry
            .status_event
            .is_some_and(|mark| (newest.at, newest.id.0) <= mark);
        if !dealt_with && !events.iter().any(|event| event.id == newest.id) {
            events.push(newest);
            events.sort_by_key(|event| (event.at, event.id));
        }
    }
    Ok(events)
}

/// The key of the field hashes, made once.
fn field_key(connection: &Connection) -> Result<[u8; 32], LedgerError> {
    let text = match cursors::get(connection, name::FIELD_KEY)? {
        Some(text) => text,
        None => {
            let text = format!(
                "{}{}",
                uuid::Uuid::new_v4().simple(),
                uuid::Uuid::new_v4().simple()
            );
            cursors::set(connection, name::FIELD_KEY, &text)?;
            text
        }
    };
    let mut key = [0; 32];
    key.iter_mut()
        .zip(text.as_bytes())
        .for_each(|(to, from)| *to = *from);
    Ok(key)
}

/// `creationTime` must be in the past; a shop whose clock runs ahead writes the future.
fn clamp(order: &mut Order, now: Timestamp) {
    let latest = now - PAST;
    let parsed = jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%z", &order.creation_time)
        .and_then(|parsed| parsed.to_timestamp());
    if parsed.is_ok_and(|created| created > latest) {
        order.creation_time = latest.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string();
    }
}

fn problems(error: &Error) -> Vec<Problem> {
    match error {
        Error::Rejected { complaints } => complaints
            .iter()
            .map(|complaint| Problem {
                field: complaint.field.clone(),
                found: None,
                // Brani's own words may repeat the customer's data; the type cannot.
                rule: format!("was refused by Brani ({})", complaint.kind),
                hint: "mend the field in the shop or in its query; it is tried again when its row changes and at each sweep"
                    .into(),
                owner: Owner::Brani,
            })
            .collect(),
        other => vec![Problem {
            field: "order".into(),
            found: None,
            rule: format!("was refused: {other}"),
            hint: other.hint().into(),
            owner: Owner::Brani,
        }],
    }
}

fn tell(context: &Context, error: &Error, code: &OrderCode, out: bool, now: Timestamp) {
    match error {
        Error::Unauthorized { .. } => context.troubles.begin_of(
            "send",
            "brani.unauthorized",
            Weight::Error,
            &format!("{error}; nothing is sent until it is right"),
            error.hint(),
            now,
        ),
        Error::Unavailable { .. } if out => context.troubles.begin_of(
            "send",
            "brani.unreachable",
            Weight::Warn,
            &format!("Brani does not take orders: {error}; they wait and go by themselves"),
            error.hint(),
            now,
        ),
        Error::Refused { .. } | Error::NotFound if out => context.troubles.begin_of(
            "send",
            "brani.refuses",
            Weight::Error,
            &format!("Brani refuses every order: {error}"),
            error.hint(),
            now,
        ),
        _ => {
            tracing::debug!(event = "order.failed", ORDER_CODE = %code, %error, "A request for `{code}` failed")
        }
    }
}
