//! The service: its HTTP interface and nothing else.
//!
//! This room alone knows Brani's paths, headers, JSON and status codes. It knows nothing of shops or the ledger.
//! Oddities of the interface end here: 406 past the last page is `None`, a deleted code that Brani does not have
//! is deleted.

mod answer;
pub mod app;
pub mod client;
pub mod error;
pub mod extras;
pub mod model;
pub mod time;

pub use error::{Complaint, Error};

use crate::types::{OrderCode, WebhookId};
use async_trait::async_trait;
use jiff::Timestamp;
use model::{EshopInfo, EshopInfoAnswer, EventsPage, GeneralPage, Order, Webhook};

/// Asks for one page of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Which webhook.
    pub webhook: WebhookId,
    /// From 1.
    pub page: u64,
    /// Asked for; the service may answer fewer.
    pub size: u64,
    /// Events created since, `YYYY-MM-DD HH:MM:SS` in the service's own time.
    pub from: Option<String>,
    /// Oldest first.
    pub oldest_first: bool,
}

/// Brani, as the flows need it. [`client::Client`] is the real one; a simulation brings its own.
#[async_trait]
pub trait Service: Send + Sync {
    /// `POST /order/upsert`.
    async fn upsert(&self, order: &Order) -> Result<(), Error>;
    /// `DELETE /order/delete`; a code that Brani does not have is fine.
    async fn delete(&self, code: &OrderCode) -> Result<(), Error>;
    /// `GET /eshop/info`.
    async fn eshop_info(&self) -> Result<EshopInfoAnswer, Error>;
    /// `POST /eshop/info`.
    async fn post_eshop_info(&self, info: &EshopInfo) -> Result<(), Error>;
    /// `GET /webhook`.
    async fn webhooks(&self) -> Result<Vec<Webhook>, Error>;
    /// `POST /webhook`; the answer carries no id, list again.
    async fn register_webhook(&self, event_type: &str, url: &str) -> Result<(), Error>;
    /// `PATCH /webhook/{id}`.
    async fn move_webhook(&self, id: WebhookId, url: &str) -> Result<(), Error>;
    /// `DELETE /webhook/{id}`.
    async fn remove_webhook(&self, id: WebhookId) -> Result<(), Error>;
    /// `GET /webhook/events/{id}`; `None` past the last page (406).
    async fn events(&self, page: &PageRequest) -> Result<Option<EventsPage>, Error>;
    /// `GET /webhook/events/general/{id}`; `None` past the last page (406).
    async fn general_events(&self, page: &PageRequest) -> Result<Option<GeneralPage>, Error>;
    /// The service's clock, from the `Date` header of its latest answer; `None` before the first.
    fn service_time(&self) -> Option<Timestamp>;
}
