//! A Brani on localhost, written from the contract: for newcomers, the demo and the tests alike.
//!
//! It holds every request against the contract, misbehaves on request, and can be asked what it received. It
//! shares no code with the client, so that a fault of one is not the other's. It knows no ledger and no shop.

mod application;
mod connection;
mod contract;
mod control;
mod extras;
mod faults;
mod handle;
mod listing;
mod log;
mod push;
mod service;
mod state;

pub use faults::{Fault, Matcher};
pub use handle::NewEvent;
pub use log::{Counts, ReceivedRequest};
pub use push::Pushes;

use crate::clock::{SharedClock, SystemClock};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How a sandbox is to behave.
#[derive(Clone)]
pub struct Options {
    /// The token of the public API.
    pub token: String,
    /// Told in e-shop info's summary.
    pub eshop_id: i64,
    /// Told in e-shop info's summary.
    pub eshop_name: String,
    /// Requests kept in the log; 0 keeps only counts.
    pub requests_max: usize,
    /// Whether the log keeps bodies.
    pub keep_bodies: bool,
    /// A page of a listing is never longer.
    pub page_size_max: u64,
    /// What page 1 of an empty listing answers: 406, or 200 with no events. (Nobody has seen it.)
    pub empty_listing_status: u16,
    /// What deleting an unknown code answers. (Nobody has seen it.)
    pub unknown_delete_status: u16,
    /// Whether an upsert that changes the status makes an event of it. (Nobody has seen it.)
    pub upserts_make_events: bool,
    /// How pushes go out.
    pub pushes: Pushes,
    /// The application API's user.
    pub app_username: String,
    /// Its password.
    pub app_password: String,
    /// How long one of its tokens is good for.
    pub app_token_life: Duration,
    /// Whether its tokens are JWTs that tell when they end.
    pub app_token_is_jwt: bool,
    /// The time of day.
    pub clock: SharedClock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: "sandbox".into(),
            eshop_id: 4711,
            eshop_name: "Sandbox".into(),
            requests_max: 10_000,
            keep_bodies: true,
            page_size_max: 1000,
            empty_listing_status: 406,
            unknown_delete_status: 404,
            upserts_make_events: false,
            pushes: Pushes::default(),
            app_username: "sync@shop.example.cz".into(),
            app_password: "sandbox".into(),
            app_token_life: Duration::from_secs(600),
            app_token_is_jwt: true,
            clock: Arc::new(SystemClock),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("eshop_id", &self.eshop_id)
            .field("requests_max", &self.requests_max)
            .field("page_size_max", &self.page_size_max)
            .finish_non_exhaustive()
    }
}

/// What every task of a sandbox shares.
pub(crate) struct Inner {
    options: Options,
    clock: SharedClock,
    state: Mutex<state::State>,
    faults: Mutex<faults::Plan>,
    log: Mutex<log::Log>,
    logins: Mutex<application::Logins>,
    pushes: Mutex<push::Switch>,
    stop: CancellationToken,
    tasks: TaskTracker,
    http: reqwest::Client,
}

/// No lock is held across anything that can panic and leave a half-written state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// A task that ends with the sandbox.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let _ = stop.run_until_cancelled(task).await;
        });
    }
}

/// A running sandbox. It ends with [`Sandbox::stop`], or when it is dropped.
pub struct Sandbox {
    inner: Arc<Inner>,
    address: SocketAddr,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Listens; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound, or TLS (for pushes) not be set up.
    pub async fn start(address: SocketAddr, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let http = crate::http::client(Duration::from_secs(10))
            .map_err(|_| io::Error::other(crate::http::NO_AUTHORITIES))?;
        let stop = CancellationToken::new();
        let inner = Arc::new(Inner {
            clock: Arc::clone(&options.clock),
            state: Mutex::new(state::State::new()),
            faults: Mutex::default(),
            log: Mutex::new(log::Log::new(options.requests_max)),
            logins: Mutex::default(),
            pushes: Mutex::new(push::Switch::new(options.pushes.clone())),
            stop: stop.clone(),
            tasks: TaskTracker::new(),
            http,
            options,
        });
        let router = axum::Router::new()
            .fallback(service::serve)
            .with_state(Arc::clone(&inner))
            .into_make_service_with_connect_info::<connection::Cut>();
        let door = connection::Door {
            listener,
            stop: stop.clone(),
        };
        inner.tasks.spawn(async move {
            let served = axum::serve(door, router)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(event = "sandbox.ended", %error, "The sandbox no longer listens: {error}");
            }
        });
        Ok(Self { inner, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to write into `brani.base_url`.
    pub fn base_url(&self) -> url::Url {
        let text = format!("http://{}/", self.address);
        #[expect(clippy::expect_used, reason = "a socket address is a URL's host")]
        text.parse().expect("a socket address makes a URL")
    }

    /// Cuts every connection and waits until every task has ended.
    pub async fn stop(self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
    }
}
