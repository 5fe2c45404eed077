//! What a test, the demo or the control doors can ask of a sandbox and do to it.

use super::faults::{Fault, Matcher};
use super::log::{Counts, ReceivedRequest};
use super::push::Pushes;
use super::state::Event;
use super::{Inner, Sandbox, lock};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// An event to be added by hand.
#[derive(Clone, Debug, Default)]
pub struct NewEvent {
    /// One of the fifteen types.
    pub event_type: String,
    /// The order; left out for the general types.
    pub code: Option<String>,
    /// `status_change`.
    pub status_id: Option<i64>,
    /// `package_number`.
    pub package_number: Option<String>,
    /// `order_history`.
    pub history: Option<String>,
    /// General types only.
    pub payload: Map<String, Value>,
    /// When it was created; now, when left out.
    pub created: Option<Timestamp>,
}

impl NewEvent {
    /// A `status_change`.
    pub fn status(code: &str, id: i64) -> Self {
        Self {
            event_type: "status_change".into(),
            code: Some(code.into()),
            status_id: Some(id),
            ..Self::default()
        }
    }

    /// A `package_number`.
    pub fn package(code: &str, number: &str) -> Self {
        Self {
            event_type: "package_number".into(),
            code: Some(code.into()),
            package_number: Some(number.into()),
            ..Self::default()
        }
    }

    /// An `order_history`.
    pub fn history(code: &str, text: &str) -> Self {
        Self {
            event_type: "order_history".into(),
            code: Some(code.into()),
            history: Some(text.into()),
            ..Self::default()
        }
    }

    /// A type that carries only the order.
    pub fn plain(event_type: &str, code: &str) -> Self {
        Self {
            event_type: event_type.into(),
            code: Some(code.into()),
            ..Self::default()
        }
    }

    /// A general type, without an order.
    pub fn general(event_type: &str, payload: Map<String, Value>) -> Self {
        Self {
            event_type: event_type.into(),
            payload,
            ..Self::default()
        }
    }

    /// The same, created at another time.
    #[must_use]
    pub fn created(self, at: Timestamp) -> Self {
        Self {
            created: Some(at),
            ..self
        }
    }
}

impl Inner {
    pub(super) fn add_event(self: &Arc<Self>, event: NewEvent) -> Vec<i64> {
        let ids = {
            let mut state = lock(&self.state);
            let created = state.local(event.created.unwrap_or_else(|| self.clock.now()));
            if let (Some(code), Some(status)) = (&event.code, event.status_id)
                && let Some(order) = state.orders.get_mut(code)
            {
                order.status = Some(status);
            }
            state.add_event(&Event {
                event_type: event.event_type,
                created,
                code: event.code,
                status_id: event.status_id,
                package_number: event.package_number,
                history: event.history,
                payload: event.payload,
                ..Event::default()
            })
        };
        self.push(&ids);
        ids
    }

    pub(super) fn pack(self: &Arc<Self>, code: &str, package_number: &str, status_id: i64) -> Vec<i64> {
        let events = [
            NewEvent::plain("balic_packed", code),
            NewEvent::package(code, package_number),
            NewEvent::status(code, status_id),
            NewEvent::history(code, &format!("Zabaleno, balík {package_number}")),
        ];
        {
            let mut state = lock(&self.state);
            let name = state
                .info
                .as_ref()
                .and_then(|info| info["orderStatuses"]["statuses"].as_array())
                .into_iter()
                .flatten()
                .find(|status| status["id"].as_i64() == Some(status_id))
                .and_then(|status| status["name"].as_str())
                .unwrap_or("Zabaleno")
                .to_owned();
            let at = self.clock.now();
            let at = state.local(at);
            if let Some(order) = state.orders.get_mut(code) {
                order.beside().tracking.push(json!({
                    "name": name,
                    "date": at,
                    "status_id": 2,
                    "status_id_v2": 2.1,
                }));
            }
        }
        events
            .into_iter()
            .flat_map(|event| self.add_event(event))
            .collect()
    }

    pub(super) fn orders(&self) -> Vec<Value> {
        // copied out first: a hundred thousand are parsed without holding the lock
        let standing: Vec<_> = lock(&self.state).orders.values().cloned().collect();
        standing.iter().map(super::state::Standing::json).collect()
    }

    pub(super) fn order(&self, code: &str) -> Option<Value> {
        let order = lock(&self.state).orders.get(code).cloned();
        order.map(|order| order.json())
    }

    pub(super) fn beside(&self, code: &str) -> Option<Value> {
        let state = lock(&self.state);
        let order = state.orders.get(code)?;
        let beside = order.extras.clone().unwrap_or_default();
        Some(json!({
            "upserts": order.upserts,
            "priority": beside.priority,
            "ordering": beside.ordering,
            "tags": beside.tags,
            "customs": beside.customs,
            "attributes": beside.attributes,
            "invoice_bytes": beside.invoice.map(|bytes| bytes.len()),
            "remark": beside.remark,
            "tracking": beside.tracking,
        }))
    }
}

impl Sandbox {
    /// Every order that stands, as the service's JSON, with the status that stands.
    pub fn orders(&self) -> Vec<Value> {
        self.inner.orders()
    }

    /// How many orders stand.
    pub fn order_count(&self) -> usize {
        lock(&self.inner.state).orders.len()
    }

    /// One order.
    pub fn order(&self, code: &str) -> Option<Value> {
        self.inner.order(code)
    }

    /// What stands beside an order: priority, ordering, tags, customs, attributes, invoice, remark, tracking.
    pub fn beside(&self, code: &str) -> Option<Value> {
        self.inner.beside(code)
    }

    /// The invoice's bytes.
    pub fn invoice(&self, code: &str) -> Option<Vec<u8>> {
        let state = lock(&self.inner.state);
        let beside = state.orders.get(code)?.extras.as_ref()?;
        beside.invoice.as_ref().map(|bytes| bytes.to_vec())
    }

    /// Codes that were deleted, in order.
    pub fn deleted(&self) -> Vec<String> {
        lock(&self.inner.state).deleted.clone()
    }

    /// The e-shop info that stands.
    pub fn eshop_info(&self) -> Option<Value> {
        lock(&self.inner.state).info.clone()
    }

    /// How often e-shop info was posted.
    pub fn eshop_info_posts(&self) -> u64 {
        lock(&self.inner.state).info_posts
    }

    /// Puts an e-shop info in place, as another program would.
    pub fn set_eshop_info(&self, data: Value) {
        lock(&self.inner.state).take_info(data);
    }

    /// The requests received, oldest first, as far as the log reaches.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        lock(&self.inner.log).kept.iter().cloned().collect()
    }

    /// Forgets the requests received, counts included.
    pub fn clear_requests(&self) {
        let mut log = lock(&self.inner.log);
        log.kept.clear();
        log.counts = Counts::default();
        log.overlapped = false;
    }

    /// Sums of the requests received.
    pub fn counts(&self) -> Counts {
        lock(&self.inner.log).counts.clone()
    }

    /// Whether two writes of one code were ever in flight at the same time.
    pub fn in_flight_twice(&self) -> bool {
        lock(&self.inner.log).overlapped
    }

    /// The requests that the contract refused.
    pub fn refused(&self) -> Vec<ReceivedRequest> {
        let mut requests = self.requests();
        requests.retain(|request| request.status == Some(422));
        requests
    }

    /// Registers a webhook as another program would; answers its id.
    pub fn register(&self, event_type: &str, url: &str) -> i64 {
        lock(&self.inner.state).register(event_type, url)
    }

    /// Removes a webhook as another program would.
    pub fn remove_webhook(&self, id: i64) {
        lock(&self.inner.state).webhooks.retain(|hook| hook.id != id);
    }

    /// The packer sets a status by hand: one `status_change`.
    pub fn set_status_at_packing_table(&self, code: &str, id: i64) -> Vec<i64> {
        self.inner.add_event(NewEvent::status(code, id))
    }

    /// The packer packs: `balic_packed`, `package_number`, `status_change` to -1, `order_history`.
    pub fn pack(&self, code: &str, package_number: &str) -> Vec<i64> {
        self.inner.pack(code, package_number, -1)
    }

    /// The same with another status.
    pub fn pack_as(&self, code: &str, package_number: &str, status_id: i64) -> Vec<i64> {
        self.inner.pack(code, package_number, status_id)
    }

    /// Adds an event, once for each webhook of its type; answers the ids.
    pub fn add_event(&self, event: NewEvent) -> Vec<i64> {
        self.inner.add_event(event)
    }

    /// The stored events as the listing shows them, oldest first.
    pub fn events(&self) -> Vec<Value> {
        lock(&self.inner.state).events.iter().map(Event::json).collect()
    }

    /// Pushes stored events again.
    pub fn push_again(&self, ids: &[i64]) {
        self.inner.push(ids);
    }

    /// From now on pushes go out so.
    pub fn set_pushes(&self, pushes: Pushes) {
        *lock(&self.inner.pushes) = super::push::Switch::new(pushes);
    }

    /// After each of the next pages the listing loses its oldest event.
    pub fn shift_pages(&self, pages: u64) {
        lock(&self.inner.state).shifts = pages;
    }

    /// The next requests fail so.
    pub fn fail_next(&self, times: u64, fault: Fault) {
        lock(&self.inner.faults).add(Matcher::any(), fault, Some(times));
    }

    /// Every such request fails so, until [`Sandbox::heal`].
    pub fn fault(&self, fault: Fault, matcher: Matcher) {
        lock(&self.inner.faults).add(matcher, fault, None);
    }

    /// The next such requests fail so.
    pub fn fault_times(&self, times: u64, fault: Fault, matcher: Matcher) {
        lock(&self.inner.faults).add(matcher, fault, Some(times));
    }

    /// Requests about this order get this status.
    pub fn fail_code(&self, code: &str, status: u16) {
        let fault = Fault::Status {
            status,
            retry_after: None,
        };
        self.fault(fault, Matcher::code(code));
    }

    /// A share (0 to 1) of all requests fails in ways drawn from a seed; no faults named: the usual ones.
    pub fn fail_at_random(&self, seed: u64, share: f64, faults: Vec<Fault>) {
        lock(&self.inner.faults).mix(seed, share, faults);
    }

    /// No more faults.
    pub fn heal(&self) {
        lock(&self.inner.faults).clear();
    }

    /// What the carrier says of an order's parcel next.
    pub fn set_tracking(&self, code: &str, name: &str, status_id_v2: f64) {
        let at = self.inner.clock.now();
        let mut state = lock(&self.inner.state);
        let at = state.local(at);
        if let Some(order) = state.orders.get_mut(code) {
            order
                .beside()
                .tracking
                .push(json!({"name": name, "date": at, "status_id": null, "status_id_v2": status_id_v2}));
        }
    }

    /// What was picked for an order.
    pub fn set_picked_items(&self, code: &str, picked: Vec<Value>) {
        if let Some(order) = lock(&self.inner.state).orders.get_mut(code) {
            order.beside().picked = picked;
        }
    }

    /// Every token of the application API is void from now on.
    pub fn expire_app_tokens(&self) {
        lock(&self.inner.logins).tokens.clear();
    }

    /// Logins tried, and how many of them failed.
    pub fn app_logins(&self) -> (u64, u64) {
        let logins = lock(&self.inner.logins);
        (logins.tried, logins.failed)
    }
}
