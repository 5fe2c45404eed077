//! The real service over HTTP: one client, one rate limiter, one reading of every answer.
//!
//! This file knows how a request leaves and what its answer means. It does not retry, it keeps no state but the
//! service's clock, and it never shows the token: not in `Debug`, not in an error.

use super::answer::{self, Answer, Saved};
use super::model::{
    EshopInfo, EshopInfoAnswer, EventsPage, GeneralEvent, GeneralPage, Order, OrderEvent, Webhook,
};
use super::{Error, PageRequest, Service};
use crate::clock::SharedClock;
use crate::config::secret::Secret;
use crate::types::{OrderCode, WebhookId};
use async_trait::async_trait;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// Bytes read of an answer to a save; Brani's are a line long.
const SAVE_BYTES_MAX: usize = 64 * 1024;
/// Bytes read of a listing.
pub(super) const LISTING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a client could not be made. Each is a fault of the settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The base URL cannot be used.
    #[error("`{setting}`: `{url}`: {why}")]
    BaseUrl {
        /// The setting that holds it.
        setting: &'static str,
        /// As it was found, without user and password.
        url: String,
        /// One sentence.
        why: String,
    },
    /// The token has characters that no HTTP header can carry.
    #[error(
        "`brani.token`: the token is empty or holds characters that an HTTP header cannot carry (a line break in the secret?)"
    )]
    Token,
    /// Not a positive number.
    #[error("`brani.rate_limit`: `{0}` is no number of requests per second; give one above 0")]
    RateLimit(f64),
    /// TLS cannot be set up on this machine.
    #[error("{}", crate::http::NO_AUTHORITIES)]
    Tls(#[from] reqwest::Error),
}

/// Brani itself.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    bearer: HeaderValue,
    limiter: DefaultDirectRateLimiter,
    clock: SharedClock,
    /// The `Date` of the latest answer, and when it was read.
    heard: Mutex<Option<(Timestamp, Instant)>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

/// The parts of a URL's path, each encoded on its own.
pub(super) fn address(base: &Url, segments: &[&str]) -> Result<Url, Error> {
    // a segment of dots would walk up the path, and no encoding hides it
    if segments.iter().any(|part| matches!(*part, "." | ".." | "")) {
        return Err(Error::Rejected {
            complaints: vec![super::Complaint {
                field: "code".into(),
                message: "cannot be part of an address".into(),
                kind: "not_addressable".into(),
            }],
        });
    }
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    Ok(url)
}

/// A base URL that may be asked with a secret.
pub(super) fn usable(setting: &'static str, url: &Url) -> Result<Url, SetupError> {
    let refuse = |why: String| {
        let mut shown = url.clone();
        let _ = shown.set_password(None);
        let _ = shown.set_username("");
        SetupError::BaseUrl {
            setting,
            url: shown.to_string(),
            why,
        }
    };
    crate::http::refuse_plain(url).map_err(refuse)?;
    if url.cannot_be_a_base() {
        return Err(refuse("it has no host".into()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it must end with the path".into()));
    }
    Ok(url.clone())
}

/// One request every `1 / rate` seconds, and a small burst so that a slow timer does not slow the flow.
fn limiter(rate: f64) -> Result<DefaultDirectRateLimiter, SetupError> {
    if !rate.is_finite() || rate <= 0.0 {
        return Err(SetupError::RateLimit(rate));
    }
    let period = Duration::from_secs_f64((1.0 / rate).clamp(1e-9, 86_400.0));
    // timers are a millisecond or two late: a burst of a fiftieth of a second keeps fast rates true
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let burst = (rate / 50.0).clamp(rate.clamp(1.0, 4.0), 100_000.0) as u32;
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(period).ok_or(SetupError::RateLimit(rate))?;
    Ok(RateLimiter::direct(quota.allow_burst(burst)))
}

impl Client {
    /// A client for one e-shop. `timeout` is for one request in all, `rate_limit` requests per second.
    ///
    /// # Errors
    /// When a setting cannot be used, or TLS not be set up.
    pub fn new(
        base_url: &Url,
        token: &Secret,
        timeout: Duration,
        rate_limit: f64,
        clock: SharedClock,
    ) -> Result<Self, SetupError> {
        let base = usable("brani.base_url", base_url)?;
        if token.expose().trim().is_empty() {
            return Err(SetupError::Token);
        }
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| SetupError::Token)?;
        bearer.set_sensitive(true);
        Ok(Self {
            http: crate::http::client(timeout)?,
            base,
            bearer,
            limiter: limiter(rate_limit)?,
            clock,
            heard: Mutex::new(None),
        })
    }

    /// A request to one of Brani's paths, with the token.
    pub(super) fn request(&self, method: Method, segments: &[&str]) -> Result<RequestBuilder, Error> {
        let url = address(&self.base, segments)?;
        Ok(self
            .http
            .request(method, url)
            .header(AUTHORIZATION, self.bearer.clone()))
    }

    /// The same with a JSON body.
    pub(super) fn json<T: Serialize + ?Sized>(
        &self,
        method: Method,
        segments: &[&str],
        body: &T,
    ) -> Result<RequestBuilder, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Unavailable {
            what: format!("the request cannot be written as JSON: {error}"),
            retry_after: None,
            maybe_applied: false,
            server_error: false,
        })?;
        Ok(self
            .request(method, segments)?
            .header(CONTENT_TYPE, "application/json")
            .body(body))
    }

    /// Waits for its turn, sends, and reads the answer as Brani's: a status other than 2xx is an error.
    pub(super) async fn ask(&self, request: RequestBuilder, limit: usize) -> Result<Answer, Error> {
        self.limiter.until_ready().await;
        let response = request.send().await.map_err(|error| answer::not_sent(&error))?;
        if let Some(date) = answer::date(response.headers()) {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            *heard = Some((date, Instant::now()));
        }
        answer::read(response, limit, self.clock.now()).await
    }

    /// Sends what only has to be accepted.
    pub(super) async fn save(&self, request: RequestBuilder) -> Result<Saved, Error> {
        self.ask(request, SAVE_BYTES_MAX).await?.saved()
    }

    /// Asks for something to read.
    pub(super) async fn read(&self, request: RequestBuilder) -> Result<Value, Error> {
        Ok(self.ask(request, LISTING_BYTES_MAX).await?.saved()?.body)
    }

    /// One page of a listing, or `None` past the end.
    async fn page(&self, path: &[&str], page: &PageRequest) -> Result<Option<Value>, Error> {
        let id = page.webhook.to_string();
        let segments: Vec<&str> = path.iter().copied().chain([id.as_str()]).collect();
        let mut query = vec![
            ("page_number", page.page.to_string()),
            ("items_per_page", page.size.to_string()),
        ];
        if let Some(from) = &page.from {
            query.push(("from_date", from.clone()));
        }
        if page.oldest_first {
            query.push(("inverted", "true".into()));
        }
        let request = self.request(Method::GET, &segments)?.query(&query);
        match self.read(request).await {
            Ok(body) => Ok(Some(body)),
            // a page past the last one: the end of the listing, not an error
            Err(Error::Refused { status: 406 }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Service for Client {
    async fn upsert(&self, order: &Order) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            data: &'a Order,
        }
        let body = Body { data: order };
        self.save(self.json(Method::POST, &["order", "upsert"], &body)?)
            .await?;
        Ok(())
    }

    async fn delete(&self, code: &OrderCode) -> Result<(), Error> {
        let request = self
            .request(Method::DELETE, &["order", "delete"])?
            .query(&[("order_code", code.as_str())]);
        match self.save(request).await {
            // what Brani does not have is deleted
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn eshop_info(&self) -> Result<EshopInfoAnswer, Error> {
        let body = self.read(self.request(Method::GET, &["eshop", "info"])?).await?;
        if !body.is_object() {
            return Err(answer::not_branis("e-shop info is no object"));
        }
        serde_json::from_value(body)
            .map_err(|error| answer::not_branis(&format!("e-shop info cannot be read: {error}")))
    }

    async fn post_eshop_info(&self, info: &EshopInfo) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            data: &'a EshopInfo,
        }
        let body = Body { data: info };
        self.save(self.json(Method::POST, &["eshop", "info"], &body)?)
            .await?;
        Ok(())
    }

    async fn webhooks(&self) -> Result<Vec<Webhook>, Error> {
        let mut body = self.read(self.request(Method::GET, &["webhook"])?).await?;
        Ok(answer::elements(&mut body, "webhook_urls", "webhook")?)
    }

    async fn register_webhook(&self, event_type: &str, url: &str) -> Result<(), Error> {
        let body = json!({ "event_type": event_type, "url": url });
        self.save(self.json(Method::POST, &["webhook"], &body)?).await?;
        Ok(())
    }

    async fn move_webhook(&self, id: WebhookId, url: &str) -> Result<(), Error> {
        let body = json!({ "url": url });
        let id = id.to_string();
        self.save(self.json(Method::PATCH, &["webhook", &id], &body)?)
            .await?;
        Ok(())
    }

    async fn remove_webhook(&self, id: WebhookId) -> Result<(), Error> {
        let id = id.to_string();
        match self.save(self.request(Method::DELETE, &["webhook", &id])?).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn events(&self, page: &PageRequest) -> Result<Option<EventsPage>, Error> {
        let Some(mut body) = self.page(&["webhook", "events"], page).await? else {
            return Ok(None);
        };
        let webhook_events: Vec<OrderEvent> = answer::elements(&mut body, "webhook_events", "event")?;
        let counts = answer::counts(&body, page, webhook_events.len());
        Ok(Some(EventsPage {
            webhook_events,
            total_items: counts.total_items,
            items_per_page: counts.items_per_page,
            page: counts.page,
            items_on_current_page: counts.items_on_current_page,
        }))
    }

    async fn general_events(&self, page: &PageRequest) -> Result<Option<GeneralPage>, Error> {
        let Some(mut body) = self.page(&["webhook", "events", "general"], page).await? else {
            return Ok(None);
        };
        let webhook_events: Vec<GeneralEvent> = answer::elements(&mut body, "webhook_events", "event")?;
        let counts = answer::counts(&body, page, webhook_events.len());
        Ok(Some(GeneralPage {
            webhook_events,
            total_items: counts.total_items,
            items_per_page: counts.items_per_page,
            page: counts.page,
            items_on_current_page: counts.items_on_current_page,
        }))
    }

    fn service_time(&self) -> Option<Timestamp> {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let (date, then) = heard?;
        date.checked_add(jiff::SignedDuration::try_from(then.elapsed()).ok()?)
            .ok()
    }
}
