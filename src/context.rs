//! What the flows share: the ledger between them, the shop, the service, the rules, the bells.
//!
//! Neither flow imports the other; they meet here and in the ledger. Nothing here decides anything.

use crate::bell::Bell;
use crate::brani::Service;
use crate::clock::SharedClock;
use crate::config::{self, Config, DeleteMode};
use crate::health::times::Times;
use crate::ledger::{Ledger, LedgerError};
use crate::locks::Locks;
use crate::mapping::Mapping;
use crate::source::Source;
use crate::trouble::Troubles;
use crate::types::{OrderCode, ShopStatus};
use crate::writeback::Handler;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The bells, one per loop.
#[derive(Clone, Debug)]
pub struct Bells {
    /// Read what changed in the shop.
    pub poll: Bell,
    /// Read everything within `sweep_back`.
    pub sweep: Bell,
    /// Send what waits.
    pub send: Bell,
    /// List Brani's events.
    pub drain: Bell,
    /// Hand events to their handlers.
    pub apply: Bell,
    /// Compare e-shop info.
    pub eshop_info: Bell,
    /// Tell what stands beside orders, and ask where parcels are.
    pub extras: Bell,
}

impl Default for Bells {
    fn default() -> Self {
        Self {
            poll: Bell::new("poll"),
            sweep: Bell::new("sweep"),
            send: Bell::new("send"),
            drain: Bell::new("drain"),
            apply: Bell::new("apply"),
            eshop_info: Bell::new("eshop_info"),
            extras: Bell::new("extras"),
        }
    }
}

/// The configuration as the flows need it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Statuses that bring an order to Brani the first time; empty: any.
    pub send_when: BTreeSet<ShopStatus>,
    /// Orders in these are not sent again because a mapping changed.
    pub final_statuses: BTreeSet<ShopStatus>,
    /// An event never overwrites these.
    pub protect: BTreeSet<ShopStatus>,
    /// From which creation on orders are sent, before the first run fixes it.
    pub history: config::History,
    /// The shop's zone.
    pub zone: jiff::tz::TimeZone,
    /// Behind the cursor.
    pub overlap: Duration,
    /// A new order waits until unchanged this long.
    pub settle: Duration,
    /// How far a sweep reads.
    pub sweep_back: Duration,
    /// Orders in one batch.
    pub batch: usize,
    /// Requests in flight.
    pub concurrency: usize,
    /// Requests per second.
    pub rate_limit: f64,
    /// For one request.
    pub timeout: Duration,
    /// Deleting at Brani.
    pub delete_mode: DeleteMode,
    /// For mode `status`.
    pub delete_statuses: BTreeSet<ShopStatus>,
    /// More delete nothing.
    pub deletes_max: u64,
    /// Of the known orders.
    pub deletes_share: f64,
    /// More re-sends wait for a person.
    pub resends_max: u64,
    /// The event types that are drained.
    pub events: Vec<String>,
    /// How far back the first drain applies.
    pub lookback: Duration,
    /// How long updates wait for a drain that fails.
    pub hold_updates: Duration,
    /// Brani id → shop value, where the merchant wrote it; empty ignores.
    pub status_map: Option<BTreeMap<i64, String>>,
    /// Before an event is stuck.
    pub attempts: u32,
    /// Handler calls side by side.
    pub apply_concurrency: usize,
    /// How long applied events are kept.
    pub keep_events: Duration,
    /// E-shop info: merge or replace.
    pub eshop_mode: config::Mode,
    /// What stands beside orders.
    pub extras: ExtraRules,
}

/// What stands beside orders, as far as the configuration says it; columns say the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraRules {
    /// How invoices are found, where there is a section for it.
    pub invoices: Option<InvoiceRules>,
    /// How parcels are asked for, where they are.
    pub tracking: Option<TrackingRules>,
}

impl ExtraRules {
    /// Something may change without a row that changes: files, parcels.
    pub fn watches(&self) -> bool {
        self.invoices.is_some() || self.tracking.is_some()
    }
}

/// `[invoices]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceRules {
    /// A file for each order.
    pub path: Option<String>,
    /// An address for each order.
    pub url: Option<String>,
    /// Files are read from nowhere else.
    pub folder: Option<std::path::PathBuf>,
    /// An invoice whose file is gone is removed at Brani.
    pub remove: bool,
    /// A larger one is not uploaded.
    pub bytes_max: u64,
    /// How long a missing or changed file is looked for.
    pub look_for: Duration,
}

/// `[tracking]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackingRules {
    /// Between two questions about one parcel.
    pub every: Duration,
    /// A parcel that has not arrived by then is not asked for any more.
    pub give_up: Duration,
}

impl ExtraRules {
    /// Takes the rules from the configuration.
    pub fn from_config(config: &Config) -> Self {
        let invoices = config.invoices.as_ref().map(|invoices| InvoiceRules {
            folder: invoices.folder.clone().or_else(|| {
                // What the template begins with, up to the last slash before the first brace.
                let path = invoices.path.as_deref()?;
                let fixed = path.split('{').next().unwrap_or(path);
                Some(fixed.rsplit_once('/').map_or(".", |(folder, _)| folder).into())
            }),
            path: invoices.path.clone(),
            url: invoices.url.clone(),
            remove: invoices.remove,
            bytes_max: invoices.max_mib << 20,
            look_for: invoices.look_for,
        });
        Self {
            invoices,
            tracking: config.tracking.as_ref().map(|tracking| TrackingRules {
                every: tracking.every,
                give_up: tracking.give_up,
            }),
        }
    }
}

fn statuses(list: Option<&Vec<config::Scalar>>) -> BTreeSet<ShopStatus> {
    list.into_iter()
        .flatten()
        .map(|status| ShopStatus(status.0.clone()))
        .collect()
}

impl Rules {
    /// Takes the rules from the configuration.
    pub fn from_config(config: &Config) -> Self {
        let source = &config.shop.source;
        let events = match &config.webhooks.events {
            Some(events) => events.clone(),
            None => config
                .writeback
                .handlers()
                .map(|(event, _)| event.to_owned())
                .filter(|event| crate::brani::model::is_event_type(event))
                .collect(),
        };
        let events = events
            .into_iter()
            // The service's translated guide calls it so.
            .map(|event| {
                if event == "package_packed" {
                    "balic_packed".to_owned()
                } else {
                    event
                }
            })
            .collect();
        Self {
            send_when: statuses(source.send_when.as_ref()),
            final_statuses: statuses(source.r#final.as_ref()),
            protect: statuses(config.writeback.protect.as_ref()),
            history: source.history,
            zone: config.shop.timezone.clone(),
            overlap: source.overlap,
            settle: source.settle,
            sweep_back: source.sweep_back,
            batch: source.batch,
            concurrency: config.brani.concurrency,
            rate_limit: config.brani.rate_limit,
            timeout: config.brani.timeout,
            delete_mode: config.deletes.mode,
            delete_statuses: statuses(Some(&config.deletes.statuses)),
            deletes_max: config.deletes.max_per_sweep,
            deletes_share: config.deletes.max_share,
            resends_max: config.resends.max,
            events,
            lookback: config.webhooks.lookback,
            hold_updates: config.webhooks.hold_updates,
            status_map: config.writeback.status_map.as_ref().map(|map| {
                map.iter()
                    .filter_map(|(id, shop)| Some((id.parse().ok()?, shop.clone())))
                    .collect()
            }),
            attempts: config.writeback.attempts,
            apply_concurrency: config.writeback.concurrency,
            keep_events: config.ledger.keep_events,
            eshop_mode: config.eshop_info.mode,
            extras: ExtraRules::from_config(config),
        }
    }

    /// Whether events tell Brani's side of a status.
    pub fn hears_status(&self) -> bool {
        self.events.iter().any(|event| event == "status_change")
    }

    /// Whether an order in this status comes to Brani the first time.
    pub fn brings(&self, status: Option<&ShopStatus>) -> bool {
        self.send_when.is_empty() || status.is_some_and(|status| self.send_when.contains(status))
    }
}

/// How the shop is told, by event type.
pub type Handlers = BTreeMap<String, Arc<dyn Handler>>;

/// Everything a flow works with; clones share it.
#[derive(Clone)]
pub struct Context {
    /// The ledger.
    pub ledger: Ledger,
    /// The time of day.
    pub clock: SharedClock,
    /// The shop.
    pub source: Arc<dyn Source>,
    /// Brani.
    pub service: Arc<dyn Service>,
    /// The mapping of the moment; e-shop info renews it.
    pub mapping: MappingCell,
    /// The configuration.
    pub rules: Arc<Rules>,
    /// The bells.
    pub bells: Bells,
    /// One lock per order.
    pub locks: Locks,
    /// What is wrong at the moment, told once.
    pub troubles: Troubles,
    /// How the shop is told, by event type.
    pub handlers: Arc<Handlers>,
    /// When this process began: orders created since go first.
    pub started: Timestamp,
    /// What must come first has happened.
    pub ready: Ready,
    /// How long requests take, for the metrics.
    pub times: Times,
    /// Nothing is sent, posted, registered or written.
    pub dry_run: bool,
}

/// What must come first; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<(AtomicBool, AtomicBool, AtomicBool, AtomicBool)>);

impl Ready {
    /// For those who need not wait.
    pub fn all() -> Self {
        let ready = Self::default();
        ready.set_lists();
        ready.set_posted();
        ready
    }

    /// The shop's own lists are read: orders can be mapped.
    pub fn lists(&self) -> bool {
        self.0.0.load(Ordering::SeqCst)
    }

    /// See [`Ready::lists`].
    pub fn set_lists(&self) {
        self.0.0.store(true, Ordering::SeqCst);
    }

    /// Brani knows the e-shop info that orders refer to.
    pub fn posted(&self) -> bool {
        self.0.1.load(Ordering::SeqCst)
    }

    /// E-shop info must be compared again before anything is sent.
    pub fn clear_posted(&self) {
        self.0.1.store(false, Ordering::SeqCst);
    }

    /// See [`Ready::posted`].
    pub fn set_posted(&self) {
        self.0.1.store(true, Ordering::SeqCst);
    }

    /// A drain was complete since this process began: the ledger may be an old copy.
    pub fn drained(&self) -> bool {
        self.0.2.load(Ordering::SeqCst)
    }

    /// See [`Ready::drained`].
    pub fn set_drained(&self) {
        self.0.2.store(true, Ordering::SeqCst);
    }

    /// A read of the shop was complete since this process began, or the ledger was empty then: what it waits to send is
    /// no older than that.
    pub fn polled(&self) -> bool {
        self.0.3.load(Ordering::SeqCst)
    }

    /// See [`Ready::polled`]. True where it was not so before.
    pub fn set_polled(&self) -> bool {
        !self.0.3.swap(true, Ordering::SeqCst)
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The mapping of the moment.
#[derive(Clone, Debug)]
pub struct MappingCell(Arc<RwLock<Arc<Mapping>>>);

impl MappingCell {
    /// Begins with this mapping.
    pub fn new(mapping: Mapping) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(mapping))))
    }

    /// The mapping as it is now.
    pub fn get(&self) -> Arc<Mapping> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it; true when orders could map differently from now on.
    pub fn set(&self, mapping: Mapping) -> bool {
        let mut cell = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = cell.fingerprint() != mapping.fingerprint();
        *cell = Arc::new(mapping);
        changed
    }
}

/// Why a pass could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The shop.
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    /// Brani.
    #[error(transparent)]
    Brani(#[from] crate::brani::Error),
    /// Something that must come first has not happened yet.
    #[error("{0}")]
    NotYet(String),
}

/// Shortens a list of codes for one line.
pub fn some_codes(codes: &[OrderCode]) -> String {
    let shown: Vec<_> = codes.iter().take(5).map(|code| format!("`{code}`")).collect();
    match codes.len() {
        0..=5 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), more - 5),
    }
}
