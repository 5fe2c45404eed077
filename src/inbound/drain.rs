//! Brani's events into the inbox: each webhook's listing, oldest first, one transaction per page.
//!
//! Status first and package numbers last, so that a status never becomes visible here without the numbers that came
//! before it. The listing is read from the newest creation seen minus ten minutes, or minus two hours (an hour repeats
//! every October, and other events may come late); this machine's clock is never used for it. Nothing is handed to a handler here.

use super::register::{self, Step, Wanted};
use crate::brani::model::{GENERAL_EVENT_TYPES, Webhook};
use crate::brani::{Error, PageRequest, time};
use crate::context::{Context, PassError};
use crate::ledger::cursors::{self, name};
use crate::ledger::inbox::{self, Event};
use crate::ledger::orders;
use crate::trouble::Weight;
use crate::types::{EventId, WebhookId};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// What a page asks for; the service may answer fewer.
const PAGE_SIZE: u64 = 1000;
/// A bound on one listing: ten million events.
const PAGES_MAX: u64 = 10_000;
/// Behind the newest creation seen. A push and every order that changes ask for a drain: what it reads again is to be
/// little.
const STEP_BACK: SignedDuration = SignedDuration::from_mins(10);
/// Behind it while the newest creation lies in an hour that the clocks repeat, and every [`FAR_EVERY`].
const STEP_FAR_BACK: SignedDuration = SignedDuration::from_hours(2);
/// So often a listing is read from further back, whatever may have come late into it.
const FAR_EVERY: SignedDuration = SignedDuration::from_mins(15);
/// How far an event's creation may lie ahead of the service's own clock: its zone is an inference.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// A listing that loses events while it is read is read again this often.
const RESTARTS_MAX: u32 = 3;

/// What a drain did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Webhooks listed.
    pub webhooks: u64,
    /// Events that were new.
    pub new: u64,
    /// Of those, events whose push had not succeeded by the time they were found.
    pub not_pushed: u64,
}

/// The draining side's own memory.
#[derive(Debug)]
pub struct Drain {
    wanted: Wanted,
    register: bool,
    told_strangers: Mutex<BTreeSet<WebhookId>>,
    missing_pushes: Mutex<u32>,
    /// When a drain that read every listing from further back began.
    far: Mutex<Option<Timestamp>>,
}

/// How far behind the newest creation seen a listing is read again.
fn step_back(newest: &str, far: bool) -> SignedDuration {
    let is_repeated = time::readings(newest).len() > 1;
    if far || is_repeated {
        STEP_FAR_BACK
    } else {
        STEP_BACK
    }
}

impl Drain {
    /// Drains these event types; `register` keeps the registrations too.
    pub fn new(wanted: Wanted, register: bool) -> Self {
        Self {
            wanted,
            register,
            told_strangers: Mutex::default(),
            missing_pushes: Mutex::new(0),
            far: Mutex::default(),
        }
    }

    /// What should be registered.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Lists everything new. `Ok` means that every listing was read to its end.
    ///
    /// # Errors
    /// See [`PassError`]; pages that were read stand.
    pub async fn pass(&self, context: &Context) -> Result<Report, PassError> {
        let mut report = Report::default();
        if self.wanted.events.is_empty() {
            context.ready.set_drained();
            return Ok(report);
        }
        let began = context.now();
        let learned = context
            .ledger
            .read(|connection| cursors::get(connection, name::LEARNED))
            .await?
            .is_some();
        let (webhooks, steps) = self.webhooks(context).await?;
        if self
            .wanted
            .events
            .iter()
            .any(|event| !webhooks.iter().any(|webhook| webhook.event_type == *event))
        {
            // Nobody is registered for a type (a dry run, or `register = false`): its events are not to be had.
            tracing::debug!(
                event = "drain.unregistered",
                "No webhook is registered for some of the event types"
            );
        }
        let far = self.is_far(began);
        for webhook in &webhooks {
            self.list(context, webhook, far, learned, &mut report).await?;
            report.webhooks += 1;
        }
        if far {
            *self.far.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
        }
        let now = context.now();
        if !context.dry_run {
            context
                .ledger
                .write(move |connection| {
                    cursors::set_time(connection, name::LAST_DRAIN, now)?;
                    inbox::release(connection)?;
                    if !learned {
                        cursors::set_time(connection, name::LEARNED, now)?;
                    }
                    // What was answered before this drain began, and got no other word, is confirmed.
                    connection.execute(
                        "UPDATE orders SET unconfirmed = 0 WHERE unconfirmed = 1 AND window_to IS NOT NULL
                         AND window_to < ?1 AND NOT EXISTS (SELECT 1 FROM events e WHERE e.code = orders.code
                             AND e.type = 'status_change' AND e.state IN ('new', 'stuck'))",
                        [crate::ledger::millis(began)],
                    )?;
                    Ok(())
                })
                .await?;
            if self.register {
                register::remove_doubles(&*context.service, &steps).await?;
                let removed: Vec<WebhookId> = steps
                    .iter()
                    .filter_map(|step| match step {
                        Step::Remove(id, _) => Some(*id),
                        _ => None,
                    })
                    .collect();
                if !removed.is_empty() {
                    context
                        .ledger
                        .write(move |connection| {
                            removed.iter().try_for_each(|id| inbox::unlist(connection, *id))
                        })
                        .await?;
                }
            }
        }
        context.ready.set_drained();
        self.watch_pushes(context, &report, now);
        Ok(report)
    }

    /// Every registration of our types, strangers' included: status first, package numbers last.
    async fn webhooks(&self, context: &Context) -> Result<(Vec<Webhook>, Vec<Step>), PassError> {
        let mut have = context.service.webhooks().await?;
        let mut steps = Vec::new();
        if self.register && !context.dry_run {
            steps = register::plan(&have, &self.wanted);
            if register::carry_out(&*context.service, &steps, &self.wanted).await? > 0 {
                have = context.service.webhooks().await?;
                steps.retain(|step| matches!(step, Step::Remove(..)));
            }
        }
        for stranger in register::strangers(&have, &self.wanted) {
            let first = self
                .told_strangers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(stranger.id);
            if first && !self.wanted.ids.values().any(|id| *id == stranger.id.0) {
                tracing::info!(
                    event = "webhook.foreign",
                    webhook = stranger.id.0,
                    kind = %stranger.event_type,
                    "Another program's webhook for `{}` at {} is drained too, and left alone",
                    stranger.event_type,
                    register::shown(&stranger.webhook_url)
                );
            }
        }
        if !context.dry_run {
            self.tell_removed(context, &have).await?;
        }
        for (event, id) in &self.wanted.ids {
            let missing = !have.iter().any(|webhook| webhook.id.0 == *id);
            if missing
                && self
                    .told_strangers
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(WebhookId(*id))
            {
                tracing::error!(event = "webhook.missing", webhook = id, kind = %event,
                    hint = "list them with `brani-sync webhooks list` and mend `webhooks.ids`",
                    "The webhook {id} for `{event}` that the configuration names does not exist at Brani");
            }
        }
        have.retain(|webhook| self.wanted.events.contains(&webhook.event_type));
        have.sort_by_key(|webhook| {
            let rank = match webhook.event_type.as_str() {
                "status_change" => 0,
                "package_number" => 2,
                _ => 1,
            };
            (rank, webhook.id)
        });
        Ok((have, steps))
    }

    /// A webhook that was listed before and is gone: what happened between its last listing and its successor's
    /// registration may stand in no listing. Told once.
    async fn tell_removed(&self, context: &Context, have: &[Webhook]) -> Result<(), PassError> {
        for (id, kind, newest) in context.ledger.read(inbox::listed).await? {
            if have.iter().any(|webhook| webhook.id == id) {
                continue;
            }
            tracing::warn!(
                event = "webhook.gone",
                webhook = id.0,
                kind = %kind,
                hint = "compare the packing table with the shop for the time since then",
                "The webhook {id} for `{kind}` was deleted at Brani; events after {newest} and before a new one was registered may be missing"
            );
            context
                .ledger
                .write(move |connection| inbox::unlist(connection, id))
                .await?;
        }
        Ok(())
    }

    /// Whether it is time to read the listings from further back; also where this machine's clock was set back.
    fn is_far(&self, now: Timestamp) -> bool {
        let last = *self.far.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| last > now || now.duration_since(last) >= FAR_EVERY)
    }

    /// Reads one listing to its end.
    async fn list(
        &self,
        context: &Context,
        webhook: &Webhook,
        far: bool,
        learned: bool,
        report: &mut Report,
    ) -> Result<(), PassError> {
        let id = webhook.id;
        let newest = context
            .ledger
            .read(move |connection| inbox::newest_seen(connection, id))
            .await?;
        let latest = latest(context);
        let from = match &newest {
            Some(newest) if time::first_reading(newest) <= latest => {
                time::earlier(newest, step_back(newest, far))
            }
            _ => Some(self.first_from(context).await?),
        };
        for attempt in 0..=RESTARTS_MAX {
            let whole = self
                .list_from(context, webhook, from.as_deref(), learned, report)
                .await?;
            if whole {
                return Ok(());
            }
            tracing::debug!(
                event = "drain.shifted",
                webhook = id.0,
                attempt,
                "A listing lost events while it was read"
            );
        }
        Err(PassError::NotYet(format!(
            "the events of webhook {id} kept moving while they were read"
        )))
    }

    /// Where a webhook that was never listed begins: the service's clock minus `history` and a day.
    async fn first_from(&self, context: &Context) -> Result<String, PassError> {
        let history = context
            .ledger
            .read(|connection| cursors::get_time(connection, name::HISTORY))
            .await?
            .unwrap_or_else(|| context.now());
        let ours_ahead = match context.service.service_time() {
            Some(service) => context.now().duration_since(service),
            None => SignedDuration::ZERO,
        };
        let day = SignedDuration::from_hours(24);
        Ok(time::written(history - ours_ahead - day))
    }

    /// One reading of a listing; false where it lost events meanwhile and must be read again.
    async fn list_from(
        &self,
        context: &Context,
        webhook: &Webhook,
        from: Option<&str>,
        learned: bool,
        report: &mut Report,
    ) -> Result<bool, PassError> {
        let general = GENERAL_EVENT_TYPES.contains(&webhook.event_type.as_str());
        let mut total_at_first = None;
        let mut first_of_all = None;
        for page in 1..=PAGES_MAX {
            context.bells.drain.step();
            let request = PageRequest {
                webhook: webhook.id,
                page,
                size: PAGE_SIZE,
                from: from.map(str::to_owned),
                oldest_first: true,
            };
            let answer = self.page(context, webhook, general, &request).await?;
            let Some((events, total, size)) = answer.filter(|(events, ..)| !events.is_empty()) else {
                return self.stood(context, webhook, general, request, first_of_all).await;
            };
            let first_of_all = *first_of_all.get_or_insert(events[0].id);
            if total_at_first.is_some_and(|first| total < first) {
                // Events left the listing from its beginning: later ones moved to pages already read.
                return Ok(false);
            }
            total_at_first = Some(total);
            let last = size > 0 && page.saturating_mul(size) >= total;
            self.take(context, webhook, events, learned, report).await?;
            if last {
                return self
                    .stood(context, webhook, general, request, Some(first_of_all))
                    .await;
            }
        }
        Err(PassError::NotYet(format!(
            "the listing of webhook {} does not end",
            webhook.id
        )))
    }

    /// Whether a listing of several pages still begins as it did: else events left it while it was read, and later ones
    /// moved to pages already read, however many came at its end.
    async fn stood(
        &self,
        context: &Context,
        webhook: &Webhook,
        general: bool,
        last: PageRequest,
        first: Option<EventId>,
    ) -> Result<bool, PassError> {
        let Some(first) = first.filter(|_| last.page > 1) else {
            return Ok(true);
        };
        let request = PageRequest { page: 1, ..last };
        let answer = self.page(context, webhook, general, &request).await?;
        Ok(answer.is_some_and(|(events, ..)| events.first().is_some_and(|event| event.id == first)))
    }

    async fn page(
        &self,
        context: &Context,
        webhook: &Webhook,
        general: bool,
        request: &PageRequest,
    ) -> Result<Option<(Vec<Event>, u64, u64)>, Error> {
        let kind = &webhook.event_type;
        let received = context.now();
        if general {
            let Some(page) = context.service.general_events(request).await? else {
                return Ok(None);
            };
            let events = page.webhook_events.into_iter().map(|event| Event {
                id: event.id,
                general: true,
                webhook: webhook.id,
                kind: kind.clone(),
                code: None,
                at: time::first_reading(&event.created_at),
                received,
                creation: event.created_at,
                status: None,
                package_number: None,
                text: serde_json::to_string(&event.payload).ok(),
                state: "new".into(),
                initial: false,
                pushed: true,
                attempts: 0,
                due: Timestamp::UNIX_EPOCH,
                reason: None,
            });
            return Ok(Some((events.collect(), page.total_items, page.items_per_page)));
        }
        let Some(page) = context.service.events(request).await? else {
            return Ok(None);
        };
        let events = page.webhook_events.into_iter().map(|event| Event {
            id: event.id,
            general: false,
            webhook: webhook.id,
            kind: kind.clone(),
            code: Some(event.order_code),
            at: time::first_reading(&event.event_creation),
            received,
            creation: event.event_creation,
            status: event.event_status_id.filter(|_| kind == "status_change"),
            package_number: event
                .event_package_number
                .filter(|number| !number.trim().is_empty()),
            text: event.event_order_history,
            state: "new".into(),
            initial: false,
            pushed: event.date_successful.is_some(),
            attempts: 0,
            due: Timestamp::UNIX_EPOCH,
            reason: None,
        });
        Ok(Some((events.collect(), page.total_items, page.items_per_page)))
    }

    /// One page into the inbox: its events and how far the listing has been read, in one transaction.
    async fn take(
        &self,
        context: &Context,
        webhook: &Webhook,
        events: Vec<Event>,
        learned: bool,
        report: &mut Report,
    ) -> Result<(), PassError> {
        let now = context.now();
        let latest = latest(context);
        let lookback = now - SignedDuration::try_from(context.rules.lookback).unwrap_or_default();
        let handled: BTreeSet<String> = context.handlers.keys().cloned().collect();
        let (id, kind) = (webhook.id, webhook.event_type.clone());
        let tracks = context.rules.extras.tracking.is_some();
        if context.dry_run {
            report.new += events.len() as u64;
            return Ok(());
        }
        // Were the listing read from a time to come, nothing that happens until then would be seen.
        let newest = events
            .iter()
            .filter(|event| event.at <= latest && !time::readings(&event.creation).is_empty())
            .map(|event| &event.creation)
            .max()
            .cloned();
        let newest_of_page = newest.clone();
        // Most of a page stands in the inbox already: the listing is read from before the newest event.
        let (news, is_further) = context
            .ledger
            .read(move |connection| {
                let known = inbox::known(connection, &events)?;
                let is_further = newest_of_page > inbox::newest_seen(connection, id)?;
                let news: Vec<Event> = events
                    .into_iter()
                    .filter(|event| !known.contains(&event.id))
                    .collect();
                Ok((news, is_further))
            })
            .await?;
        if news.is_empty() && !is_further {
            return Ok(());
        }
        let (new, not_pushed) = context
            .ledger
            .write(move |connection| {
                let (mut new, mut not_pushed) = (0, 0);
                for mut event in news {
                    event.initial = !learned;
                    // What was packed before this ledger began is learned, not written again; and a type that
                    // nobody handles is only learned from.
                    let nobody = !handled.contains(&event.kind) && event.kind != "status_change";
                    if nobody || (!learned && event.at < lookback) {
                        event.state = "seen".into();
                        event.text = None;
                    }
                    // The listing goes back before the newest event: of a forgotten order nothing is taken in again.
                    let forgotten = match &event.code {
                        Some(code) => orders::is_buried(connection, code)?,
                        None => false,
                    };
                    let ahead = event.at > latest;
                    if !forgotten && inbox::insert(connection, &event, now)? {
                        new += 1;
                        if ahead {
                            tell_ahead(&event);
                        }
                        if tracks
                            && matches!(event.kind.as_str(), "package_number" | "balic_packed")
                            && let Some(code) = &event.code
                        {
                            crate::ledger::extras::track(connection, code, now)?;
                        }
                        not_pushed += u64::from(!event.pushed && !event.initial);
                    }
                }
                if let Some(newest) = newest {
                    inbox::set_newest_seen(connection, id, &kind, &newest)?;
                }
                cursors::count(connection, now, "events", new)?;
                Ok((new, not_pushed))
            })
            .await?;
        report.new += new;
        report.not_pushed += not_pushed;
        Ok(())
    }

    /// Pushes that should come and do not: events are found by drain only.
    fn watch_pushes(&self, context: &Context, report: &Report, now: Timestamp) {
        if self.wanted.public_url.is_none() || report.new == 0 {
            return;
        }
        let mut missing = self.missing_pushes.lock().unwrap_or_else(PoisonError::into_inner);
        if report.not_pushed < report.new {
            *missing = 0;
            context.troubles.end("push.missing", "Pushes arrive again", now);
            return;
        }
        *missing += 1;
        if *missing >= 3 {
            context.troubles.begin(
                "push.missing",
                Weight::Warn,
                "Brani's pushes do not arrive: events are found by the scheduled drain only",
                "check that `webhooks.public_url` reaches this machine from outside (proxy, DNS, certificate): `brani-sync check`",
                now,
            );
        }
    }
}

/// The latest moment that an event's creation is believed: by the service's clock, where it was heard.
fn latest(context: &Context) -> Timestamp {
    let now = context.service.service_time().unwrap_or_else(|| context.now());
    now.checked_add(AHEAD).unwrap_or(Timestamp::MAX)
}

fn tell_ahead(event: &Event) {
    let code = event.code.as_ref().map_or("-", |code| code.as_str());
    tracing::warn!(
        event = "drain.event_ahead",
        ORDER_CODE = code,
        EVENT_ID = event.id.0,
        hint =
            "ask Brani's support; a status that is dated ahead counts as the newest of its order until then",
        "Event {} of order `{code}` is dated ahead of Brani's own clock; the listing is read on as if it were not there",
        event.id
    );
}

#[cfg(test)]
mod tests {
    use super::{STEP_BACK, STEP_FAR_BACK, step_back};

    #[test]
    fn what_may_have_happened_in_the_second_two_oclock_of_october_is_read_again() {
        for (newest, back) in [
            ("2026-10-25 01:59:59", STEP_BACK),
            ("2026-10-25 02:00:00", STEP_FAR_BACK),
            ("2026-10-25 02:59:59", STEP_FAR_BACK),
            ("2026-10-25 03:00:00", STEP_BACK),
            ("2026-03-29 03:00:00", STEP_BACK),
        ] {
            assert_eq!(step_back(newest, false), back, "{newest}");
            assert_eq!(step_back(newest, true), STEP_FAR_BACK, "{newest}");
        }
    }
}
