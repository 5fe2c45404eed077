//! The daemon of a history: the real flows on the real ledger, answered by loops as the daemon has them, and cut off
//! at any place where they wait.

use super::brani::{ModelService, TIMEOUT};
use super::shop::{self, ModelHandler, ModelSource, STATUSES, STORNO, TWIN};
use super::world::{Mutation, Shared, SimClock};
use brani_sync::bell::{Bell, Ended};
use brani_sync::config;
use brani_sync::context::{Bells, Context, Handlers, MappingCell, Rules};
use brani_sync::inbound::apply::{self, Apply};
use brani_sync::inbound::drain::Drain;
use brani_sync::inbound::register::Wanted;
use brani_sync::ledger::Ledger;
use brani_sync::locks::Locks;
use brani_sync::mapping::dictionaries::{Dictionaries, StatusMeaning};
use brani_sync::mapping::{Mapping, Settings};
use brani_sync::outbound::send::Sender;
use brani_sync::outbound::{poll, sweep};
use brani_sync::trouble::Troubles;
use brani_sync::types::StatusId;
use brani_sync::writeback::Handler;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The running daemon.
pub struct Daemon {
    tasks: JoinSet<()>,
    context: Context,
    fuse: Fuse,
}

/// Burns down with every step of any task; then nothing of the daemon moves any more.
#[derive(Clone)]
struct Fuse {
    left: Arc<AtomicI64>,
    burnt: Arc<Notify>,
}

impl Fuse {
    /// Runs a future until the fuse is burnt.
    async fn guard(self, future: impl Future<Output = ()>) {
        let mut future = Box::pin(future);
        std::future::poll_fn(move |cx| {
            if self.left.fetch_sub(1, SeqCst) <= 0 {
                self.burnt.notify_one();
                return Poll::Pending;
            }
            Pin::as_mut(&mut future).poll(cx)
        })
        .await;
    }
}

fn mapping() -> Mapping {
    let statuses = STATUSES
        .iter()
        .chain([&TWIN])
        .map(|(name, id)| StatusMeaning {
            shop: (*name).into(),
            id: StatusId(*id),
            name: (*name).into(),
            write_back: false,
        })
        .collect();
    let dictionaries = Dictionaries {
        statuses,
        shipping: Vec::new(),
        payments: Vec::new(),
        unknown: config::Unknown::Hold,
    };
    let settings = Settings {
        zone: jiff::tz::TimeZone::get("Europe/Prague").unwrap(),
        default_weight: "0.1".parse().unwrap(),
        max_weight: "50".parse().unwrap(),
        extras: Default::default(),
        source: 0,
    };
    Mapping::new(settings, Arc::new(dictionaries))
}

fn rules(shared: &Shared) -> Rules {
    let world = shared.get();
    let mutation = world.mutation;
    let overlap = match mutation {
        Some(Mutation::NoOverlap) => Duration::ZERO,
        _ => shop::OVERLAP.unsigned_abs(),
    };
    let protect = match mutation {
        Some(Mutation::NoProtect) => Vec::new(),
        _ => vec![STORNO],
    };
    Rules {
        send_when: shop::SEND_WHEN.iter().map(|status| (*status).into()).collect(),
        final_statuses: ["expedice".into()].into(),
        protect: protect.into_iter().map(Into::into).collect(),
        history: config::History::Span(Duration::from_secs(24 * 3600)),
        zone: jiff::tz::TimeZone::get("Europe/Prague").unwrap(),
        overlap,
        settle: Duration::from_secs(20),
        sweep_back: Duration::from_secs(30 * 24 * 3600),
        batch: world.plan.batch,
        concurrency: world.plan.concurrency,
        rate_limit: 1000.0,
        timeout: TIMEOUT,
        delete_mode: config::DeleteMode::Gone,
        delete_statuses: Default::default(),
        deletes_max: 100,
        deletes_share: 1.0,
        resends_max: 1000,
        events: vec!["status_change".into(), "package_number".into()],
        lookback: Duration::from_secs(6 * 3600),
        hold_updates: Duration::from_secs(24 * 3600),
        status_map: None,
        attempts: 12,
        apply_concurrency: world.plan.concurrency,
        keep_events: Duration::from_secs(90 * 24 * 3600),
        eshop_mode: config::Mode::Merge,
        extras: Default::default(),
    }
}

impl Daemon {
    /// Starts it on a ledger, to stop after so many steps.
    pub async fn start(shared: &Shared, ledger: &Path, steps: i64) -> Self {
        let path = ledger;
        let ledger = Ledger::open_inline(path).expect("the ledger opens after any crash");
        let nothing_known = brani_sync::ledger::knows_nothing(path);
        let mutation = shared.get().mutation;
        let rules = rules(shared);
        let mut handlers = Handlers::new();
        for event in &rules.events {
            let handler: Arc<dyn Handler> = Arc::new(ModelHandler {
                shared: shared.clone(),
            });
            handlers.insert(event.clone(), handler);
        }
        let clock = Arc::new(SimClock(shared.clone()));
        let source = Arc::new(ModelSource {
            shared: shared.clone(),
            batch: rules.batch,
            handed: Mutex::default(),
        });
        let wanted = Wanted {
            events: rules.events.clone(),
            public_url: None,
            secret: None,
            ids: BTreeMap::new(),
        };
        let ready = brani_sync::context::Ready::all();
        if nothing_known {
            ready.set_polled();
        }
        if mutation == Some(Mutation::SendsUnlearned) {
            ready.set_drained();
            shared.get().set_learned();
        }
        // What Brani asked of the one before, this one did not hear.
        shared.get().brani.quiet_until = None;
        let exports = shared.get().plan.export.map(|_| Arc::default());
        let context = Context {
            ledger,
            started: shared.get().now(),
            clock,
            source,
            service: Arc::new(ModelService {
                shared: shared.clone(),
            }),
            mapping: MappingCell::new(mapping()),
            rules: Arc::new(rules),
            bells: Bells::default(),
            locks: Locks::new(),
            troubles: Troubles::default(),
            handlers: Arc::new(handlers),
            ready,
            times: brani_sync::health::times::Times::default(),
            dry_run: false,
        };
        let fuse = Fuse {
            left: Arc::new(AtomicI64::new(steps)),
            burnt: Arc::new(Notify::new()),
        };
        let mut tasks = JoinSet::new();
        let drain = Drain::new(wanted, true);
        for whole in [false, true] {
            let reads = read_loop(context.clone(), shared.clone(), whole, exports.clone());
            tasks.spawn(fuse.clone().guard(reads));
        }
        tasks.spawn(fuse.clone().guard(send_loop(context.clone(), shared.clone())));
        tasks.spawn(
            fuse.clone()
                .guard(drain_loop(context.clone(), drain, shared.clone())),
        );
        tasks.spawn(fuse.clone().guard(apply_loop(context.clone(), shared.clone())));
        tasks.spawn(fuse.clone().guard(schedule(context.clone(), shared.clone())));
        Self { tasks, context, fuse }
    }

    /// Waits until it dies.
    pub async fn died(&self) {
        self.fuse.burnt.notified().await;
    }

    /// It dies no more by itself.
    pub fn spare(&self) {
        self.fuse.left.store(i64::MAX, SeqCst);
    }

    /// What people and pushes may ring.
    pub fn bells(&self) -> &Bells {
        &self.context.bells
    }

    /// Drops everything where it stands.
    pub async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Scheduled rings.
async fn schedule(context: Context, shared: Shared) {
    let bells = &context.bells;
    bells.drain.ring();
    bells.poll.ring();
    bells.apply.ring();
    bells.send.ring();
    let mut drain = context.now();
    loop {
        // When all is calm it need not look so often.
        let (calm, night) = {
            let world = shared.get();
            (world.calm, world.night)
        };
        let pause = match (calm, night) {
            (_, true) => 3600,
            (true, _) => 120,
            _ => 30,
        };
        tokio::time::sleep(Duration::from_secs(pause)).await;
        bells.poll.ring();
        if context.now().duration_since(drain).as_secs() >= 300 {
            drain = context.now();
            bells.drain.ring();
        }
    }
}

async fn rung(context: &Context, bell: &Bell, at: Option<Timestamp>) {
    let wait = at.map(|at| {
        Duration::try_from(at.duration_since(context.now()))
            .unwrap_or_default()
            .max(Duration::from_millis(10))
    });
    tokio::select! {
        biased;
        () = bell.rung() => {}
        () = async { match wait { Some(wait) => tokio::time::sleep(wait).await, None => std::future::pending().await } } => {}
    }
}

/// The poll's loop, or the sweep's: they run side by side, as the daemon's do, or, for an export, one at a time.
async fn read_loop(
    context: Context,
    shared: Shared,
    whole: bool,
    exports: Option<Arc<tokio::sync::Mutex<()>>>,
) {
    let bells = &context.bells;
    let bell = if whole { &bells.sweep } else { &bells.poll };
    loop {
        bell.rung().await;
        let _alone = match &exports {
            Some(exports) => Some(exports.lock().await),
            None => None,
        };
        let pass = bell.begin();
        let result = if whole {
            sweep::sweep(&context).await
        } else {
            poll::poll(&context).await
        };
        match result {
            Ok(report) => {
                if report.wanted + report.withdrawn > 0 {
                    bells.send.ring();
                }
                if report.parked + report.unparked > 0 {
                    bells.apply.ring();
                }
                if report.withdrawn > 0 {
                    let _ = sweep::plan_deletes(&context, false).await;
                }
                if whole {
                    let _ = apply::prune(&context).await;
                } else if shared.get().mutation == Some(Mutation::AbsenceIsGone) {
                    shared.get().take_absence_for_gone();
                    let _ = sweep::plan_deletes(&context, true).await;
                }
                pass.end(Ended::Well);
            }
            Err(error) => {
                pass.end(Ended::Badly(error.to_string()));
                if whole {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    bells.sweep.ring();
                }
            }
        }
    }
}

async fn send_loop(context: Context, shared: Shared) {
    let bells = &context.bells;
    let sender = Sender::default();
    let stop = CancellationToken::new();
    let mut at = None;
    loop {
        rung(&context, &bells.send, at).await;
        shared.get().tamper();
        let pass = bells.send.begin();
        match sender.pass(&context, &stop).await {
            Ok(report) => {
                if report.left_to_apply + report.parked > 0 {
                    bells.apply.ring();
                }
                at = report.again;
                pass.end(Ended::Well);
                if report.failed > 0 && shared.get().mutation == Some(Mutation::OneStopsAll) {
                    tokio::time::sleep(Duration::from_secs(300)).await;
                }
            }
            Err(error) => {
                at = Some(brani_sync::clock::later(context.now(), Duration::from_secs(5)));
                pass.end(Ended::Badly(error.to_string()));
            }
        }
    }
}

async fn drain_loop(context: Context, drain: Drain, shared: Shared) {
    let bells = &context.bells;
    let mut failures = 0;
    let mut at = None;
    loop {
        rung(&context, &bells.drain, at).await;
        let pass = bells.drain.begin();
        let began = context.now();
        let skip = shared.get().mutation == Some(Mutation::NoDrain);
        let result = if skip {
            Ok(Default::default())
        } else {
            drain.pass(&context).await
        };
        match result {
            Ok(_) => {
                failures = 0;
                at = None;
                shared.get().drained(began);
                pass.end(Ended::Well);
                bells.apply.ring();
            }
            Err(error) => {
                failures += 1;
                let pause = brani_sync::outbound::weather::backoff(failures + 2, 0.5);
                at = Some(brani_sync::clock::later(context.now(), pause));
                pass.end(Ended::Badly(error.to_string()));
            }
        }
    }
}

async fn apply_loop(context: Context, shared: Shared) {
    let bells = &context.bells;
    let apply = Apply::default();
    let stop = CancellationToken::new();
    let mut at = None;
    loop {
        rung(&context, &bells.apply, at).await;
        shared.get().tamper();
        let pass = bells.apply.begin();
        match apply.pass(&context, &stop).await {
            Ok(report) => {
                at = report.again;
                pass.end(Ended::Well);
            }
            Err(error) => {
                at = Some(brani_sync::clock::later(context.now(), Duration::from_secs(10)));
                pass.end(Ended::Badly(error.to_string()));
            }
        }
    }
}
