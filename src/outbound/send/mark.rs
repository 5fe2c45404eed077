//! One request, and what its answer means for the ledger.

use super::begin::Ready;
use super::{Flight, InFlight, Sender};
use crate::brani::Error;
use crate::brani::model::{Order, Status};
use crate::clock::later;
use crate::context::{Context, PassError};
use crate::health::times;
use crate::ledger::LedgerError;
use crate::ledger::cursors::{self, name};
use crate::ledger::inbox;
use crate::ledger::orders::{self, Entry, Lane, ParkedBy, State};
use crate::mapping::{self, Owner, Problem};
use crate::outbound::weather::backoff;
use crate::outbound::{diff, poll};
use crate::status::Why;
use crate::trouble::Weight;
use crate::types::{EventId, FieldKey, OrderCode};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// After a success that followed an unanswered request, the order is said once more: the first one may land late.
pub(in crate::outbound) const SAY_AGAIN: Duration = Duration::from_secs(300);
/// An order that fails alone this long is parked.
const ALONE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// What was decided about an order that Brani has counts so long. Where a request before it hangs, the packer goes on
/// meanwhile, and an older status must not go over his.
const DECIDED_FOR: Duration = Duration::from_secs(5);
/// `creationTime` must be in the past, and clocks differ a little.
const PAST: SignedDuration = SignedDuration::from_secs(2);
/// Marks that one transaction takes.
const MARKS_MAX: usize = 256;

/// An order that Brani took.
pub(super) struct Sent {
    pub ready: Ready,
    pub now: Timestamp,
    /// Orders that suffered from an outage which is over.
    pub freed: Vec<OrderCode>,
}

impl InFlight {
    fn fail(&mut self, error: PassError) {
        self.error.get_or_insert(error);
    }
}

impl Sender {
    /// One request. What Brani took is handed on to be marked; what it did not is recorded here. Once `stop` is asked
    /// for, or Brani is away or wants to be left alone, no request leaves any more; one that waited too long for its turn is
    /// decided anew.
    pub(super) async fn deliver(
        &self,
        context: &Context,
        mut ready: Ready,
        flight: &Flight,
        to_mark: &mpsc::UnboundedSender<Sent>,
        stop: &CancellationToken,
    ) {
        let is_news = matches!(ready.why, Why::First | Why::Protected);
        let is_old = !is_news && ready.decided.elapsed() > DECIDED_FOR;
        if is_old || stop.is_cancelled() || self.weather().holds(context.now()) {
            let code = ready.code.clone();
            let given_back = give_back(context, &code).await;
            flight.land([&code], |flown| {
                if let Err(error) = given_back {
                    flown.fail(error);
                }
            });
            return;
        }
        ready.order.status = ready.status.map(|id| Status { id });
        let unclamped = clamp(&mut ready.order, context.now());
        let asked = tokio::time::Instant::now();
        let result = context.service.upsert(&ready.order).await;
        context.bells.send.step();
        let ended = if result.is_ok() {
            times::Ended::Sent
        } else {
            times::Ended::Failed
        };
        context.times.observe(ended, asked.elapsed());
        let now = context.now();
        match result {
            Ok(()) => {
                let freed = self.weather().success(Some(&ready.code), now);
                for (event, text) in [
                    ("brani.unreachable", "Brani answers again"),
                    ("brani.unauthorized", "Brani takes the token again"),
                    ("brani.refuses", "Brani takes orders again"),
                ] {
                    context.troubles.end_of("send", event, text, now);
                }
                if let Some(time) = unclamped {
                    ready.order.creation_time = time;
                }
                let is_resend = ready.lane == Lane::Resend;
                // Nobody marks any more only when the whole pass is gone, and this with it.
                let _ = to_mark.send(Sent { ready, now, freed });
                if is_resend {
                    // Re-sends take half the rate: everything else goes before them.
                    let pause = Duration::from_secs_f64(1.0 / context.rules.rate_limit.max(0.1));
                    tokio::time::sleep(pause * u32::try_from(context.rules.concurrency).unwrap_or(1)).await;
                }
            }
            Err(error) => {
                let code = ready.code.clone();
                let outcome = self.mark_failed(context, ready, error, now).await;
                flight.land([&code], |flown| match outcome {
                    Ok(true) => flown.parked += 1,
                    Ok(false) => flown.failed += 1,
                    Err(error) => flown.fail(error),
                });
            }
        }
    }

    /// Marks what Brani took: all that has come since the last commit in one.
    pub(super) async fn mark_all(
        &self,
        context: &Context,
        flight: &Flight,
        taken: &mut mpsc::UnboundedReceiver<Sent>,
    ) {
        let mut sent = Vec::new();
        while taken.recv_many(&mut sent, MARKS_MAX).await > 0 {
            let batch = std::mem::take(&mut sent);
            let codes: Vec<OrderCode> = batch.iter().map(|sent| sent.ready.code.clone()).collect();
            let marked = self.mark_sent(context, batch).await;
            flight.land(&codes, |flown| match marked {
                Ok(()) => flown.sent += codes.len() as u64,
                Err(error) => flown.fail(error),
            });
        }
    }

    async fn mark_sent(&self, context: &Context, batch: Vec<Sent>) -> Result<(), PassError> {
        let batch = context
            .ledger
            .write(move |connection| {
                let key = cursors::make_field_key(connection)?;
                for sent in &batch {
                    mark_one(connection, sent, &key)?;
                }
                if let Some(last) = batch.last() {
                    cursors::set_time(connection, name::LAST_SENT, last.now)?;
                    cursors::count(connection, last.now, "sent", batch.len() as u64)?;
                }
                Ok(batch)
            })
            .await?;
        for Sent { ready, .. } in batch {
            let (code, why, status) = (&ready.code, ready.why, ready.status);
            tracing::debug!(event = "order.sent", ORDER_CODE = %code, why = ?why, status = ?status, "Sent order `{code}`");
            if why == Why::Protected {
                tracing::info!(event = "order.protected", ORDER_CODE = %code,
                    "Order `{code}` has a protected status in the shop; Brani was told, the packer's status was not kept");
            }
            if ready.writing.is_some() {
                context.bells.apply.ring();
            }
        }
        Ok(())
    }

    /// Records that a request failed; true where the order is parked for it.
    async fn mark_failed(
        &self,
        context: &Context,
        ready: Ready,
        error: Error,
        now: Timestamp,
    ) -> Result<bool, PassError> {
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
                    does_not_stand(&mut entry, now);
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
                Ok(true)
            }
            None => {
                tracing::debug!(event = "order.not_sent", ORDER_CODE = %code, %error, "Order `{code}` was not sent");
                Ok(false)
            }
        }
    }

    /// Tells the weather about a request that another room made for the flow (a delete).
    pub(in crate::outbound) fn observe(
        &self,
        context: &Context,
        code: &OrderCode,
        result: &Result<(), Error>,
    ) {
        let now = context.now();
        match result {
            Ok(()) => drop(self.weather().success(Some(code), now)),
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

/// What a success means for an order.
fn mark_one(connection: &Connection, sent: &Sent, key: &FieldKey) -> Result<(), LedgerError> {
    let Sent { ready, now, freed } = sent;
    let (now, hash) = (*now, ready.hash);
    for code in freed {
        if let Some(other) = orders::get(connection, code)?.filter(|e| e.state == State::Waiting) {
            let mut freed = other.clone();
            freed.due = Timestamp::UNIX_EPOCH;
            freed.attempts = 0;
            freed.failing_since = None;
            orders::change(connection, &other, &freed)?;
        }
    }
    for id in &ready.protected {
        inbox::finish(connection, EventId(*id), false, "protected", None, now)?;
    }
    let Some(before) = orders::get(connection, &ready.code)? else {
        return Ok(());
    };
    let mut entry = before.clone();
    entry
        .agreed
        .after_send(ready.status, ready.intent.as_ref(), ready.writing.clone(), now);
    if let Some((created, event)) = ready.newest_event {
        entry.deal_with(created, event);
    }
    entry.sent = Some(hash);
    entry.fields = Some(mapping::field_hashes(&ready.order, key));
    entry.sent_at = Some(now);
    entry.answer = Some("accepted".into());
    entry.attempts = 0;
    entry.failing_since = None;
    entry.say_again = entry.say_again.filter(|at| now < *at);
    let newer_wanted =
        !diff::is_settled_by(&entry, hash) || diff::is_shop_news(&entry, entry.row_status.as_ref());
    if entry.unanswered {
        entry.unanswered = false;
        entry.say_again = Some(later(now, SAY_AGAIN));
    }
    if let Some(at) = entry.say_again {
        // An earlier request may still land behind this one: say it once more, not before it must have landed,
        // whatever else is said meanwhile.
        entry.agreed.owed = true;
        entry.due = if newer_wanted { now } else { at };
        entry.state = State::Waiting;
        entry.lane = Lane::Update;
    } else if newer_wanted && entry.state == State::Waiting {
        entry.due = Timestamp::UNIX_EPOCH;
        entry.lane = Lane::Update;
    } else if entry.state == State::Waiting {
        entry.state = State::Sent;
    }
    if !newer_wanted {
        orders::forget_payload(connection, &ready.code)?;
    }
    orders::change(connection, &before, &entry)
}

/// A request that surely does not stand: the window closes, nothing is unconfirmed on its account, and no event can be
/// its echo.
fn does_not_stand(entry: &mut Entry, now: Timestamp) {
    if let Some(window) = &mut entry.agreed.window {
        window.to = Some(now);
        window.status = None;
    }
    if !entry.agreed.known && !entry.unanswered {
        entry.agreed.window = None;
        entry.agreed.unconfirmed = false;
    }
}

/// An order that was begun and whose request never left.
async fn give_back(context: &Context, code: &OrderCode) -> Result<(), PassError> {
    let (code, now) = (code.clone(), context.now());
    context
        .ledger
        .write(move |connection| {
            let Some(before) = orders::get(connection, &code)? else {
                return Ok(());
            };
            let mut entry = before.clone();
            does_not_stand(&mut entry, now);
            orders::change(connection, &before, &entry)
        })
        .await?;
    Ok(())
}

/// Between 0 and 1, from the order and the moment: spread like chance, and a history can be played again.
pub(in crate::outbound) fn jitter(code: &OrderCode, now: Timestamp) -> f64 {
    let seed = u64::from_ne_bytes(now.as_millisecond().to_ne_bytes());
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(code.as_str().as_bytes(), seed);
    f64::from(u32::try_from(hash >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// `creationTime` must be in the past; a shop whose clock runs ahead writes the future. Returns what stood there.
fn clamp(order: &mut Order, now: Timestamp) -> Option<String> {
    let latest = now - PAST;
    let parsed = jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%z", &order.creation_time)
        .and_then(|parsed| parsed.to_timestamp());
    if parsed.is_ok_and(|created| created > latest) {
        let clamped = latest.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string();
        return Some(std::mem::replace(&mut order.creation_time, clamped));
    }
    None
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
