//! Writing packing results into the shop: by SQL, an HTTP request, a command, or a line in a file.
//!
//! A handler is told one event and what the order looked like a moment ago. It knows nothing of the ledger or
//! of Brani; whether and when to call it is decided in `inbound/`.

pub mod command;
pub mod http;
pub mod jsonl;
pub mod parameters;
pub mod sql;

use crate::types::{EventId, OrderCode, ShopKey, ShopStatus, StatusId};
use async_trait::async_trait;
use jiff::Timestamp;

/// What a handler is told. Its fields are the parameters `:key :code :event :event_id :created :now :status_id
/// :status :package_number :package_numbers :text :reason :state :state_name :at`.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `:event`: `status_change`, `package_number`, `balic_packed`, `order_history`, …, `parked`, `unparked`.
    pub event: String,
    /// `:event_id`: the base of the idempotency key; none for `parked` and `unparked`.
    pub event_id: Option<EventId>,
    /// `:code`; none for general events.
    pub code: Option<OrderCode>,
    /// `:key`, from the look-up.
    pub key: Option<ShopKey>,
    /// `:created`: the event's creation as Brani wrote it.
    pub created: Option<String>,
    /// `:now`; written in the shop's zone (or UTC where `times = "utc"`) as `YYYY-MM-DD HH:MM:SS`.
    pub now: Timestamp,
    /// `:status_id`.
    pub status_id: Option<StatusId>,
    /// `:status`: the shop's value for it.
    pub status: Option<ShopStatus>,
    /// Other shop values of the same id: an order already in one of them stays.
    pub same_status: Vec<ShopStatus>,
    /// `:package_number`: this parcel.
    pub package_number: Option<String>,
    /// `:package_numbers`: all of them, joined with `, `.
    pub package_numbers: Option<String>,
    /// `:text` of `order_history`.
    pub text: Option<String>,
    /// `:reason` of `parked`.
    pub reason: Option<String>,
    /// A general event's payload, as JSON; and further parameters by name (`state`, `state_name`, `at`).
    pub more: serde_json::Map<String, serde_json::Value>,
    /// The raw status the decision was made on. Where the handler can see the row in its own transaction and the
    /// status is another by now, neither this one nor the one to be written, it writes nothing and answers
    /// [`Outcome::Moved`].
    pub expected: Option<ShopStatus>,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Written (or already standing).
    Done,
    /// The row's status is no longer the one the decision was made on: start again.
    Moved,
    /// There is no such order in the shop (its code must equal the event's byte for byte).
    Unmatched,
}

/// Why a handler failed.
#[derive(Debug, thiserror::Error)]
pub enum WritebackError {
    /// The database or host is away: the handler's outage; nobody's attempts count.
    #[error("{0}")]
    Unavailable(String),
    /// This call failed; another may work.
    #[error("{0}")]
    Failed(String),
}

/// One configured way to tell the shop one kind of event.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Tells the shop.
    ///
    /// # Errors
    /// See [`WritebackError`]. After an error the write may or may not stand; it will be told again.
    async fn tell(&self, call: &Call) -> Result<Outcome, WritebackError>;
}
