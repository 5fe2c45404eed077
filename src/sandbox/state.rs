//! What the sandbox's Brani knows: e-shop info, orders, webhooks and their events. Memory only.

use super::contract::{References, guid};
use axum::body::Bytes;
use indexmap::IndexMap;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::collections::HashSet;
use std::sync::Arc;

/// An order as it stands.
#[derive(Clone, Default)]
pub(super) struct Standing {
    /// The body of the latest upsert, `{"data": …}`.
    pub body: Bytes,
    /// What the packing table or the latest upsert that told one says.
    pub status: Option<i64>,
    /// Upserts taken.
    pub upserts: u64,
    /// Beside the order; most have none.
    pub extras: Option<Box<Beside>>,
}

/// What is told of an order beside the order.
#[derive(Clone, Default)]
pub(super) struct Beside {
    pub priority: i64,
    pub ordering: i64,
    pub tags: BTreeSet<i64>,
    pub customs: Vec<Value>,
    pub attributes: Map<String, Value>,
    pub invoice: Option<Bytes>,
    pub remark: Option<String>,
    pub tracking: Vec<Value>,
    pub picked: Vec<Value>,
}

impl Standing {
    /// The order's JSON with the status that stands.
    pub fn json(&self) -> Value {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let mut data = body.get_mut("data").map(Value::take).unwrap_or_default();
        if let (Value::Object(data), Some(id)) = (&mut data, self.status) {
            data.insert("status".into(), json!({ "id": id }));
        }
        data
    }

    pub fn beside(&mut self) -> &mut Beside {
        self.extras.get_or_insert_default()
    }
}

/// One registered webhook.
#[derive(Clone)]
pub(super) struct Hook {
    pub id: i64,
    pub event_type: String,
    pub url: String,
}

/// One stored event, of either kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Event {
    pub id: i64,
    pub webhook_id: i64,
    pub event_type: String,
    pub created: String,
    /// `None`: a general event.
    pub code: Option<String>,
    pub status_id: Option<i64>,
    pub package_number: Option<String>,
    pub history: Option<String>,
    pub payload: Map<String, Value>,
    pub successful: Option<String>,
    pub last_failed: Option<String>,
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
    pub attempts: u64,
}

impl Event {
    pub fn json(&self) -> Value {
        match &self.code {
            Some(code) => json!({
                "id": self.id,
                "webhook_id": self.webhook_id,
                "event_creation": self.created,
                "order_code": code,
                "event_status_id": self.status_id,
                "event_package_number": self.package_number,
                "event_order_history": self.history,
                "date_successful": self.successful,
                "date_last_failed": self.last_failed,
                "last_errors": self.last_error.as_ref().map(|message| json!({
                    "message": message,
                    "status_code": self.last_status,
                })),
                "fail_counter": if self.successful.is_some() { 0 } else { self.attempts },
                "processed": i32::from(self.successful.is_some()),
            }),
            None => json!({
                "id": self.id,
                "webhook_id": self.webhook_id,
                "created_at": self.created,
                "event_type": self.event_type,
                "status": match (&self.successful, self.attempts) {
                    (Some(_), _) => "delivered",
                    (None, 0) => "pending",
                    (None, _) => "failed",
                },
                "attempt_count": self.attempts,
                "last_status_code": self.last_status,
                "last_error": self.last_error,
                "delivered_at": self.successful,
                "last_attempt_at": self.last_failed,
                "next_attempt_at": null,
                "payload": self.payload,
            }),
        }
    }
}

/// Everything.
pub(super) struct State {
    pub info: Option<Value>,
    pub info_posts: u64,
    pub references: Arc<References>,
    pub orders: IndexMap<String, Standing>,
    pub deleted: Vec<String>,
    pub webhooks: Vec<Hook>,
    pub events: Vec<Event>,
    pub next_event: i64,
    pub next_webhook: i64,
    pub tags: Vec<Value>,
    /// After each of so many answered pages the webhook's oldest event disappears.
    pub shifts: u64,
    pub zone: TimeZone,
}

impl State {
    pub fn new() -> Self {
        Self {
            info: None,
            info_posts: 0,
            references: Arc::default(),
            orders: IndexMap::new(),
            deleted: Vec::new(),
            webhooks: Vec::new(),
            events: Vec::new(),
            next_event: 1,
            next_webhook: 251,
            tags: vec![
                json!({"id": 1, "name": "Křehké", "color": "#c0392b"}),
                json!({"id": 2, "name": "Dárkové balení", "color": null}),
                json!({"id": 3, "name": "VIP", "color": "#f1c40f"}),
            ],
            shifts: 0,
            // a machine without zone data gets UTC: the listing stays consistent in itself
            zone: TimeZone::get("Europe/Prague").unwrap_or(TimeZone::UTC),
        }
    }

    /// The service's local time, as it writes it.
    pub fn local(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string()
    }

    /// Takes an e-shop info that has been held against the contract.
    pub fn take_info(&mut self, mut data: Value) {
        let mut references = References::default();
        for status in data["orderStatuses"]["statuses"].as_array().into_iter().flatten() {
            references.statuses.extend(status["id"].as_i64());
        }
        let mut methods = |section: &str| {
            let mut guids = HashSet::new();
            for kind in ["retail", "wholesale"] {
                let list = data.get_mut(section).and_then(|both| both.get_mut(kind));
                let list = list.and_then(|kind| kind.get_mut("methods"));
                for method in list.and_then(Value::as_array_mut).into_iter().flatten() {
                    if let Some(padded) = method["guid"].as_str().and_then(guid) {
                        method["guid"] = padded.as_str().into();
                        guids.insert(padded);
                    }
                }
            }
            guids
        };
        references.shipping = methods("shippingMethods");
        references.payments = methods("paymentMethods");
        self.references = Arc::new(references);
        self.info = Some(data);
        self.info_posts += 1;
    }

    /// Registers a webhook; the same type twice is possible.
    pub fn register(&mut self, event_type: &str, url: &str) -> i64 {
        let id = self.next_webhook;
        self.next_webhook += 1;
        self.webhooks.push(Hook {
            id,
            event_type: event_type.to_owned(),
            url: url.to_owned(),
        });
        id
    }

    /// Stores an event once for each webhook of its type; answers the ids.
    pub fn add_event(&mut self, event: &Event) -> Vec<i64> {
        let hooks: Vec<i64> = self
            .webhooks
            .iter()
            .filter(|hook| hook.event_type == event.event_type)
            .map(|hook| hook.id)
            .collect();
        hooks
            .into_iter()
            .map(|webhook_id| {
                let id = self.next_event;
                self.next_event += 1;
                self.events.push(Event {
                    id,
                    webhook_id,
                    ..event.clone()
                });
                id
            })
            .collect()
    }

    /// Ids grow, so the list is sorted.
    pub fn event(&mut self, id: i64) -> Option<&mut Event> {
        let at = self.events.binary_search_by_key(&id, |event| event.id).ok()?;
        self.events.get_mut(at)
    }
}
