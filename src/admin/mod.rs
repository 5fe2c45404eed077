//! The admin page: how the daemon fares, for people and for monitoring, on a local door.
//!
//! It reads the ledger and nothing else, changes nothing, and tells no personal data. What is counted is decided in
//! `health`, what an order's story says in `explain`; here are the door, the routes and the look of it.

mod html;
mod metrics;
mod page;
mod plot;
mod sheet;

use self::sheet::Place;
use crate::clock::SharedClock;
use crate::config::{self, Language};
use crate::context::Rules;
use crate::explain::{self, Explanation};
use crate::health::times::Times;
use crate::health::{self, Expected, Health};
use crate::ledger::{Ledger, LedgerError};
use crate::listen::{Limits, ListenError, Listener};
use crate::schedule::Schedule;
use crate::trouble::Troubles;
use crate::types::OrderCode;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::{SignedDuration, Timestamp};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Everything is counted at most this often, however many ask us: with a million events it takes a moment.
const KEPT: Duration = Duration::from_secs(3);

/// So far ahead is looked for the longest gap of a schedule (a weekend may be one), and at so many ticks.
const WEEK: SignedDuration = SignedDuration::from_hours(8 * 24);
const TICKS_MAX: usize = 25_000;

/// Why there is no admin page.
#[derive(Debug, thiserror::Error)]
#[error("`admin.listen`: {0}")]
pub struct AdminError(#[from] pub ListenError);

/// An open door for people who look after the daemon.
#[derive(Debug)]
pub struct Admin {
    listener: Listener,
    language: Language,
    contact: Option<String>,
}

/// What the page tells of.
#[derive(Clone)]
pub struct AdminState {
    /// The shop's name.
    pub shop: String,
    /// The ledger.
    pub ledger: Ledger,
    /// The time of day.
    pub clock: SharedClock,
    /// The shop's zone, and what holds re-sends and deletes.
    pub rules: Arc<Rules>,
    /// What is wrong at the moment.
    pub troubles: Troubles,
    /// Whether the loops turn.
    pub turning: Arc<dyn Fn() -> bool + Send + Sync>,
    /// How often the passes are due.
    pub expected: Expected,
    /// When this process began.
    pub started: Timestamp,
    /// How long requests take.
    pub times: Times,
}

impl std::fmt::Debug for AdminState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminState")
            .field("shop", &self.shop)
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// Opens `admin.listen`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn bind(config: &config::Admin) -> Result<Self, AdminError> {
        Ok(Self {
            listener: Listener::bind(&config.listen).await?,
            language: config.language,
            contact: config.contact.clone(),
        })
    }

    /// The port that was opened; none for a socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`.
    pub async fn serve(self, state: AdminState, stop: CancellationToken) {
        let desk = Desk {
            state,
            language: self.language,
            contact: self.contact,
            kept: Mutex::new(None),
        };
        self.listener
            .serve(router(Arc::new(desk)), Limits::default(), stop)
            .await;
    }
}

/// The longest time between two passes of each flow within a week, by `[schedule]`; a drain is expected where event
/// types are drained.
pub fn expected(config: &config::Schedule, rules: &Rules, now: Timestamp) -> Expected {
    let poll = longest_gap(&config.poll, rules, now);
    let drain = (!rules.events.is_empty()).then(|| longest_gap(&config.drain, rules, now));
    Expected { poll, drain }
}

fn longest_gap(text: &str, rules: &Rules, now: Timestamp) -> Duration {
    // Of a schedule that cannot be read nobody gets here: the settings were refused.
    let Ok(schedule) = Schedule::parse(text, &rules.zone) else {
        return Duration::ZERO;
    };
    let end = now.checked_add(WEEK).unwrap_or(Timestamp::MAX);
    let (mut longest, mut last) = (SignedDuration::ZERO, schedule.next_after(now));
    for _ in 0..TICKS_MAX {
        let Some(at) = last else { break };
        let next = schedule.next_after(at);
        longest = longest.max(next.map_or(SignedDuration::ZERO, |next| next.duration_since(at)));
        last = next.filter(|next| *next < end);
    }
    Duration::try_from(longest).unwrap_or(Duration::MAX)
}

/// What every answer is made from.
pub(crate) struct Desk {
    pub(crate) state: AdminState,
    pub(crate) language: Language,
    pub(crate) contact: Option<String>,
    kept: Mutex<Option<(Instant, Arc<Health>)>>,
}

impl Desk {
    async fn health(&self) -> Result<Arc<Health>, LedgerError> {
        // Held over the reading: those who come meanwhile share it.
        let mut kept = self.kept.lock().await;
        if let Some((_, health)) = kept.as_ref().filter(|(at, _)| at.elapsed() < KEPT) {
            return Ok(Arc::clone(health));
        }
        let (now, rules) = (self.state.clock.now(), Arc::clone(&self.state.rules));
        let health = self
            .state
            .ledger
            .read(move |connection| health::report_by(connection, now, &rules))
            .await?;
        let health = Arc::new(health);
        *kept = Some((Instant::now(), Arc::clone(&health)));
        Ok(health)
    }

    /// The story of a code, and the codes that end like it.
    async fn story(&self, code: &str) -> Result<(Explanation, Vec<OrderCode>), LedgerError> {
        let (code, now, zone) = (
            OrderCode::from(code),
            self.state.clock.now(),
            self.state.rules.zone.clone(),
        );
        self.state
            .ledger
            .read(move |connection| {
                let story = explain::explain(connection, &code, now, &zone)?;
                let mut others = explain::find(connection, code.as_str())?;
                others.retain(|other| *other != code);
                Ok((story, others))
            })
            .await
    }
}

type Shared = State<Arc<Desk>>;

fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/order", get(search))
        .route("/order/{*code}", get(order))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(desk)
}

async fn home(State(desk): Shared) -> Response {
    match desk.health().await {
        Ok(health) => html::answer(StatusCode::OK, page::home(&desk, &health)),
        Err(error) => unreadable(&error),
    }
}

#[derive(serde::Deserialize)]
struct Search {
    #[serde(default)]
    code: String,
}

async fn search(State(desk): Shared, Query(search): Query<Search>) -> Response {
    let code = search.code.trim();
    if code.is_empty() {
        return redirect("./");
    }
    answer_order(&desk, code, Place::Search).await
}

async fn order(State(desk): Shared, Path(code): Path<String>, uri: Uri) -> Response {
    // A proxy may have decoded a slash of the code: then the page lies deeper.
    let depth = uri.path().matches('/').count().saturating_sub(1);
    answer_order(&desk, &code, Place::Order(depth)).await
}

async fn answer_order(desk: &Desk, code: &str, place: Place) -> Response {
    let (story, others) = match desk.story(code).await {
        Ok(found) => found,
        Err(error) => return unreadable(&error),
    };
    if !story.is_unknown() {
        return match place {
            Place::Search if !html::is_dots(code) => redirect(&html::order_link(place, code)),
            _ => html::answer(StatusCode::OK, page::order(desk, place, &story, &others)),
        };
    }
    match others.as_slice() {
        [] => html::answer(StatusCode::NOT_FOUND, page::order(desk, place, &story, &others)),
        [one] => redirect(&html::order_link(place, one.as_str())),
        _ => html::answer(StatusCode::OK, page::found(desk, place, code, &others)),
    }
}

async fn healthz(State(desk): Shared) -> Response {
    if (desk.state.turning)() {
        plain(StatusCode::OK, "ok\n".to_owned())
    } else {
        plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "a loop stands still\n".to_owned(),
        )
    }
}

async fn readyz(State(desk): Shared) -> Response {
    // Asked often, and of a busy machine: it counts nothing.
    let (now, expected) = (desk.state.clock.now(), desk.state.expected);
    let read = desk
        .state
        .ledger
        .read(move |connection| health::unready_at(connection, now, &expected));
    match read.await {
        Ok(why) if why.is_empty() => plain(StatusCode::OK, "ready\n".to_owned()),
        Ok(why) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {}\n", why.join("; ")),
        ),
        Err(error) => unreadable(&error),
    }
}

async fn metrics(State(desk): Shared) -> Response {
    match desk.health().await {
        Ok(health) => {
            let form = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (form, metrics::text(&desk, &health)).into_response()
        }
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &LedgerError) -> Response {
    tracing::warn!(event = "admin.ledger", %error, "The admin page could not read the ledger");
    plain(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("the ledger cannot be read: {error}\n"),
    )
}

fn plain(status: StatusCode, text: String) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text).into_response()
}

fn redirect(to: &str) -> Response {
    let headers = [
        (header::LOCATION, to.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}
