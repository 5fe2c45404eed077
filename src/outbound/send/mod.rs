//! Sending what is wanted and not sent: several at once, never two of one code, and the outcome recorded.
//!
//! An order that Brani does not have goes out as it is kept. An order that Brani already has is settled under its
//! own lock: a drain begun now, a look at its row, the decision of `status`, one act, the mark. What is to be
//! written into the shop is left to the way back, which is rung.
//!
//! Three hands work side by side in one pass: one begins orders in the ledger (`begin`, `settle`), one has their
//! requests made, one marks what Brani took (`mark`). A request waits for no mark of another order, so that one
//! commit takes as many marks as have come since the one before.

mod begin;
mod mark;
mod settle;

use super::poll;
use super::weather::{Forecast, Weather};
use crate::clock::later;
use crate::context::{Context, PassError};
use crate::ledger::cursors::{self, name};
use crate::ledger::orders;
use begin::{Ready, pick};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use mark::Sent;
pub(super) use mark::{SAY_AGAIN, jitter};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::types::OrderCode;

/// What could not be settled in one pass is looked at again after this long, if nobody rings before.
const PUT_OFF: Duration = Duration::from_secs(15);
/// How often what stands beside orders is told during a long pass.
const RING_EXTRAS: Duration = Duration::from_secs(5);
/// Orders among which a probe of a failing Brani is chosen.
const PROBES: usize = 64;
/// Orders begun in one transaction, for each request in flight; as many may be begun when more are.
const AHEAD: usize = 8;

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

/// What the hands of one pass tell each other.
#[derive(Default)]
struct Flight {
    now: Mutex<InFlight>,
    landed: Notify,
}

#[derive(Default)]
struct InFlight {
    /// Orders begun, whose outcome is not recorded yet.
    begun: BTreeSet<OrderCode>,
    sent: u64,
    parked: u64,
    failed: u64,
    /// The ledger failed: nothing more is begun, what is in flight comes down.
    error: Option<PassError>,
}

impl Flight {
    fn now(&self) -> MutexGuard<'_, InFlight> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Orders whose outcome is recorded, or cannot be.
    fn land<'c>(&self, codes: impl IntoIterator<Item = &'c OrderCode>, count: impl FnOnce(&mut InFlight)) {
        let mut now = self.now();
        for code in codes {
            now.begun.remove(code);
        }
        count(&mut now);
        drop(now);
        self.landed.notify_one();
    }

    /// Waits until no more than so many orders are begun and not recorded.
    async fn room(&self, at_most: usize) {
        while self.now().begun.len() > at_most {
            self.landed.notified().await;
        }
    }
}

impl Sender {
    fn weather(&self) -> MutexGuard<'_, Weather> {
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
        // Orders met in this pass that could not be settled now: not again before the next one.
        let mut put_off: BTreeSet<OrderCode> = BTreeSet::new();
        let flight = Flight::default();
        let (to_send, mut begun) = mpsc::unbounded_channel::<Ready>();
        let (to_mark, mut taken) = mpsc::unbounded_channel::<Sent>();
        let flight_of = &flight;
        let beginning = async {
            let (report, put_off, to_send) = (&mut report, &mut put_off, to_send);
            self.begin_all(context, stop, flight_of, &to_send, put_off, report)
                .await
        };
        let delivering = async {
            let to_mark = to_mark;
            stream::poll_fn(|cx| begun.poll_recv(cx))
                .map(|ready| self.deliver(context, ready, flight_of, &to_mark, stop))
                .buffer_unordered(context.rules.concurrency.max(1))
                .for_each(|()| async {})
                .await;
        };
        let marking = self.mark_all(context, flight_of, &mut taken);
        let (began, (), ()) = tokio::join!(beginning, delivering, marking);
        let mut flown = flight.now.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.sent = flown.sent;
        report.parked = flown.parked;
        report.failed = flown.failed;
        if let Some(error) = flown.error.take() {
            return Err(error);
        }
        if !began? {
            return Ok(report);
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

    /// Begins orders, a batch whenever the last one is nearly sent, until nothing is due. False where Brani is away.
    async fn begin_all(
        &self,
        context: &Context,
        stop: &CancellationToken,
        flight: &Flight,
        to_send: &mpsc::UnboundedSender<Ready>,
        put_off: &mut BTreeSet<OrderCode>,
        report: &mut Report,
    ) -> Result<bool, PassError> {
        let held = poll::guard_resends(context).await?;
        let batch = context.rules.concurrency.max(1) * AHEAD;
        let mut rung = (0, tokio::time::Instant::now());
        loop {
            flight.room(batch).await;
            context.bells.send.step();
            let sent = flight.now().sent;
            if sent > rung.0 && rung.1.elapsed() >= RING_EXTRAS {
                // What stands beside an order need not wait for a whole backlog.
                rung = (sent, tokio::time::Instant::now());
                context.bells.extras.ring();
            }
            if stop.is_cancelled() || flight.now().error.is_some() {
                return Ok(true);
            }
            let now = context.now();
            let forecast = self.weather().forecast(now);
            let in_flight = !flight.now().begun.is_empty();
            let (limit, probe) = match forecast {
                Forecast::Fair => (batch, false),
                Forecast::Probe(_) if in_flight => {
                    // What is in flight comes down first, and may say otherwise.
                    flight.room(0).await;
                    continue;
                }
                Forecast::Probe(until) if until > now => {
                    report.again = Some(until);
                    return Ok(false);
                }
                Forecast::Probe(_) => (1, true),
            };
            if !super::sweep::delete_wanted(context, self, limit, report).await? {
                continue;
            }
            // Those that are begun wait in the ledger, too.
            let in_flight = !flight.now().begun.is_empty();
            let mut skip = put_off.clone();
            skip.extend(flight.now().begun.iter().cloned());
            let all_but_these = skip.clone();
            if probe {
                skip.extend(self.weather().failed().cloned());
            }
            let mut picked = context
                .ledger
                .read(move |c| pick(c, now, limit, held, &skip))
                .await?;
            if picked.is_empty() && probe {
                // Nothing else to try it with: what was tried longest ago, or one that always fails would keep the
                // others waiting for ever.
                picked = context
                    .ledger
                    .read(move |c| pick(c, now, PROBES, held, &all_but_these))
                    .await?;
                picked.sort_by_key(|due| due.due);
                picked.truncate(limit);
            }
            if picked.is_empty() {
                if !in_flight {
                    return Ok(true);
                }
                // What comes down may be due again: it was changed meanwhile.
                flight.room(0).await;
                continue;
            }
            let (others, firsts): (Vec<_>, Vec<_>) = picked.into_iter().partition(|due| due.maybe_at_brani);
            let mut ready = self.first_sends(context, firsts, put_off, stop).await?;
            if !others.is_empty() {
                ready.extend(self.settle(context, others, put_off, report, stop).await?);
            }
            for ready in ready {
                flight.now().begun.insert(ready.code.clone());
                if to_send.send(ready).is_err() {
                    return Ok(true);
                }
            }
        }
    }
}
