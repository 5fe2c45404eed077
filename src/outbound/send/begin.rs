//! What goes next, and the note in the ledger that its request leaves.
//!
//! Everything here runs inside the ledger's transactions; it asks neither the shop nor Brani.

use super::Sender;
use crate::brani::model::Order;
use crate::brani::time;
use crate::clock::later;
use crate::context::{Context, PassError, Rules};
use crate::ledger::LedgerError;
use crate::ledger::inbox::{self, Event};
use crate::ledger::orders::{self, Due, Entry, Lane, State};
use crate::locks::Guard;
use crate::mapping;
use crate::status::{Decision, Found, Why, decide};
use crate::types::{EventId, OrderCode, PayloadHash, ShopStatus, StatusId};
use jiff::Timestamp;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One order, ready to go.
pub(super) struct Ready {
    pub code: OrderCode,
    pub order: Box<Order>,
    pub hash: PayloadHash,
    pub status: Option<StatusId>,
    pub intent: Option<ShopStatus>,
    pub writing: Option<ShopStatus>,
    pub newest_event: Option<(Timestamp, EventId)>,
    /// Events that this request answers (the shop's protected status against them).
    pub protected: Vec<i64>,
    pub why: Why,
    pub lane: Lane,
    /// When it was decided.
    pub decided: Instant,
    /// Nobody else works on this order until its outcome is recorded.
    pub _guard: Guard,
}

impl Sender {
    /// Orders that Brani does not have: begun in one transaction, with the status that events may dictate.
    pub(super) async fn first_sends(
        &self,
        context: &Context,
        due: Vec<Due>,
        put_off: &mut BTreeSet<OrderCode>,
        stop: &CancellationToken,
    ) -> Result<Vec<Ready>, PassError> {
        if due.is_empty() {
            return Ok(Vec::new());
        }
        // The ledger may be an old copy: what waits in it may have changed since, and Brani may have packed meanwhile
        // what it takes for new.
        let old = !context.ready.polled();
        if old {
            tracing::debug!(
                event = "pass.not_yet",
                flow = "send",
                orders = due.len(),
                "Orders that Brani does not have wait for the first complete read of the shop"
            );
        }
        if old || (!context.ready.drained() && !self.drain(context, stop).await) {
            put_off.extend(due.into_iter().map(|due| due.code));
            return Ok(Vec::new());
        }
        let mut guards = BTreeMap::new();
        for Due { code, .. } in due {
            match context.locks.try_lock(&code) {
                Some(guard) => drop(guards.insert(code, guard)),
                None => drop(put_off.insert(code)),
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
                    let row = RowView::new(order, entry.row_status.clone(), &mapping, &rules);
                    if let Some(ready) = begin(connection, &entry, entry.clone(), row, &mapping, now)? {
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
}

/// The shop's side of one order.
#[derive(Clone)]
pub(super) struct RowView {
    pub order: Order,
    pub shop: Option<ShopStatus>,
    pub shop_id: Option<StatusId>,
    pub protected: bool,
}

impl RowView {
    /// An order and the shop's raw status.
    pub fn new(order: Order, shop: Option<ShopStatus>, mapping: &mapping::Mapping, rules: &Rules) -> Self {
        let mut view = Self {
            order,
            shop: None,
            shop_id: None,
            protected: false,
        };
        view.says(shop, mapping, rules);
        view
    }

    /// The shop's raw status is this one.
    pub fn says(&mut self, shop: Option<ShopStatus>, mapping: &mapping::Mapping, rules: &Rules) {
        let meaning = shop.as_ref().and_then(|shop| mapping.dictionaries().status(shop));
        self.shop_id = meaning.map(|meaning| meaning.id);
        self.protected = shop.as_ref().is_some_and(|shop| rules.protect.contains(shop));
        self.shop = shop;
    }
}

/// A request that was begun in the ledger, before its lock is put to it.
pub(super) struct Begun {
    pub code: OrderCode,
    order: Order,
    hash: PayloadHash,
    status: Option<StatusId>,
    intent: Option<ShopStatus>,
    writing: Option<ShopStatus>,
    newest_event: Option<(Timestamp, EventId)>,
    protected: Vec<i64>,
    why: Why,
    lane: Lane,
}

impl Begun {
    pub fn with(self, guard: Guard) -> Ready {
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
            decided: Instant::now(),
            _guard: guard,
        }
    }
}

/// What goes next: by lane, newest first; re-sends only when they are not held.
pub(super) fn pick(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
    resends_held: bool,
    skip: &BTreeSet<OrderCode>,
) -> Result<Vec<Due>, LedgerError> {
    let mut picked = Vec::new();
    for lane in [Lane::New, Lane::Update, Lane::Backlog, Lane::Resend] {
        if picked.len() >= limit || (lane == Lane::Resend && resends_held) {
            break;
        }
        let due = orders::due(connection, now, lane, limit + skip.len())?;
        let room = limit - picked.len();
        picked.extend(due.into_iter().filter(|due| !skip.contains(&due.code)).take(room));
    }
    Ok(picked)
}

/// Decides about one order and, where it is to be sent, notes that a request leaves. `None`: nothing to send (the
/// entry then says whether something is left to the way back). `before` is the entry as the ledger has it.
pub(super) fn begin(
    connection: &Connection,
    before: &Entry,
    mut entry: Entry,
    row: RowView,
    mapping: &mapping::Mapping,
    now: Timestamp,
) -> Result<Option<Begun>, LedgerError> {
    let events = status_events(connection, &entry)?;
    let heard: Vec<&Event> = events
        .iter()
        .filter(|event| {
            !entry.agreed.is_echo(
                event.id,
                event.status,
                &time::moments(&event.creation, event.received),
            )
        })
        .collect();
    let newest = heard.last().copied();
    let heard_id = newest.map(|event| event.id);
    let hash = mapping::content_hash(&row.order);
    let found = Found {
        shop: row.shop.clone(),
        shop_id: row.shop_id,
        protected: row.protected,
        event: newest.and_then(|event| event.status),
        in_doubt: newest.is_some_and(|event| {
            entry
                .agreed
                .in_doubt(entry.unanswered, &time::moments(&event.creation, event.received))
        }),
        // Where the fate of a request is not known, neither is what Brani has.
        content_differs: entry.sent != Some(hash) || entry.fate_unknown(),
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
            entry.agreed.before_send(status, heard_id, now);
            orders::change(connection, before, &entry)?;
            let newest_event = events.last().map(|event| (event.at, event.id));
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
            orders::change(connection, before, &entry)?;
            Ok(None)
        }
        Decision::Nothing => {
            entry.agreed.confirmed();
            entry.state = State::Sent;
            orders::forget_payload(connection, &entry.code)?;
            orders::change(connection, before, &entry)?;
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
        && !entry.has_dealt_with(newest.id)
        && !events.iter().any(|event| event.id == newest.id)
    {
        events.push(newest);
        events.sort_by_key(|event| event.id);
    }
    Ok(events)
}
