//! The long-running part: owns every task, the bells and the stopping.
//!
//! One loop per flow waits for its bell and answers it; nothing else does work. A loop that ends before it is told
//! to ends the daemon: systemd restarts a whole process better than we restart half of one. Order of stopping: who
//! rings first, then the loops, each finishing the request in flight, the ledger last.

use crate::assemble::Parts;
use crate::bell::{Bell, Ended};
use crate::clock::later;
use crate::config::{self, Config};
use crate::context::{Context, PassError};
use crate::inbound::receiver::Receiver;
use crate::ledger::orders;
use crate::ledger::{LedgerError, cursors, inbox};
use crate::outbound::{poll, sweep};
use crate::schedule::{self, Schedule};
use crate::trouble::Weight;
use crate::{admin, inbound, panics};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long the loops may finish what they are at.
const GRACE: Duration = Duration::from_secs(45);
/// A loop at work that made no progress this long is stuck.
const STUCK: Duration = Duration::from_secs(15 * 60);
/// Between two lines that say that all is well.
const HEARTBEAT: Duration = Duration::from_secs(3600);

/// Why the daemon ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The ledger cannot be relied upon: exit code 74.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger belongs elsewhere: exit code 78.
    #[error("{0}")]
    Foreign(String),
    /// The receiver's or the admin page's address cannot be listened on.
    #[error("{text}")]
    Listen {
        /// Which, and why.
        text: String,
        /// The machine may have the address in a moment: it starts, or its network does.
        may_come: bool,
    },
    /// A schedule that cannot be read.
    #[error("{0}")]
    Schedule(String),
    /// A task ended or panicked.
    #[error(
        "the task `{0}` ended unexpectedly; this is a fault of brani-sync, please report it with the log"
    )]
    Task(String),
}

/// What every loop is at: for the watchdog, `/healthz` and the status line.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<BTreeMap<&'static str, Bell>>>);

impl Pulse {
    fn busy(&self, name: &'static str, bell: &Bell) {
        bell.step();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, bell.clone());
    }

    fn waits(&self, name: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Whether no loop is stuck at its work.
    pub fn beats(&self) -> bool {
        let busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        busy.values().all(|bell| bell.stands_still() < STUCK)
    }
}

/// The last report of each flow, for `once` and its exit code.
#[derive(Clone, Debug, Default)]
pub struct Reports(Arc<Mutex<ReportsInner>>);

/// See [`Reports`].
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct ReportsInner {
    /// Of reading.
    pub poll: Option<poll::Report>,
    /// Of sending, summed up.
    pub send: crate::outbound::send::Report,
    /// Of draining, summed up.
    pub drain: inbound::drain::Report,
    /// Of applying, summed up.
    pub apply: inbound::apply::Report,
    /// A pass ended because the configuration is wrong.
    #[serde(skip)]
    pub settings: bool,
    /// Of what stands beside orders, summed up.
    pub extras: crate::outbound::extras::Report,
    /// Of e-shop info.
    pub eshop_info: Option<crate::eshop_info::refresh::Report>,
}

impl Reports {
    /// As they stand now.
    pub fn get(&self) -> ReportsInner {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with(&self, change: impl FnOnce(&mut ReportsInner)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The loops, running.
#[derive(Debug)]
pub struct Loops {
    parts: Arc<Parts>,
    tasks: JoinSet<&'static str>,
    stop: CancellationToken,
    /// What they are at.
    pub pulse: Pulse,
    /// What they did.
    pub reports: Reports,
    fatal: Arc<Mutex<Option<DaemonError>>>,
    failed: CancellationToken,
}

impl Loops {
    /// Starts one loop per flow. Nobody has rung yet.
    pub fn start(parts: Parts) -> Self {
        let parts = Arc::new(parts);
        let stop = CancellationToken::new();
        let mut loops = Self {
            parts: parts.clone(),
            tasks: JoinSet::new(),
            stop: stop.clone(),
            pulse: Pulse::default(),
            reports: Reports::default(),
            fatal: Arc::default(),
            failed: CancellationToken::new(),
        };
        let export: Arc<tokio::sync::Mutex<()>> = Arc::default();
        let turn = |loops: &Self| Turn {
            parts: parts.clone(),
            stop: stop.clone(),
            pulse: loops.pulse.clone(),
            reports: loops.reports.clone(),
            fatal: loops.fatal.clone(),
            failed: loops.failed.clone(),
            export: export.clone(),
        };
        let (poll, sweep, send, drain) = (turn(&loops), turn(&loops), turn(&loops), turn(&loops));
        let (apply, eshop_info, extras) = (turn(&loops), turn(&loops), turn(&loops));
        loops.tasks.spawn(poll.poll());
        loops.tasks.spawn(sweep.sweep());
        loops.tasks.spawn(send.send());
        loops.tasks.spawn(drain.drain());
        loops.tasks.spawn(apply.apply());
        loops.tasks.spawn(eshop_info.eshop_info());
        loops.tasks.spawn(extras.extras());
        loops
    }

    /// What the loops share.
    pub fn context(&self) -> &Context {
        &self.parts.context
    }

    /// The parts that run.
    pub fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// Adds a task that ends when the loops are stopped.
    pub fn add(
        &mut self,
        name: &'static str,
        task: impl FnOnce(CancellationToken) -> futures_util::future::BoxFuture<'static, ()>,
    ) {
        let task = task(self.stop.clone());
        self.tasks.spawn(async move {
            task.await;
            name
        });
    }

    /// Waits until something ends that should not have, and says what.
    pub async fn failure(&mut self) -> DaemonError {
        let ended = tokio::select! {
            () = self.failed.cancelled() => None,
            ended = self.tasks.join_next() => ended,
        };
        if let Some(fatal) = self.fatal.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return fatal;
        }
        match ended {
            Some(Ok(name)) => DaemonError::Task(name.to_owned()),
            Some(Err(error)) => DaemonError::Task(panics::task(&error).to_owned()),
            None => DaemonError::Task("all".into()),
        }
    }

    /// The failure that ended a loop, if one did.
    pub fn take_fatal(&self) -> Option<DaemonError> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Stops the loops and waits for them, within a grace. False where some did not end.
    pub async fn stop(mut self) -> bool {
        self.stop.cancel();
        let ended =
            tokio::time::timeout(GRACE, async { while self.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::error!(
                event = "daemon.stop_late",
                tasks = self.tasks.len(),
                "Some tasks did not end in time"
            );
            self.tasks.abort_all();
        }
        ended.is_ok()
    }
}

/// One loop's view of the whole.
struct Turn {
    parts: Arc<Parts>,
    stop: CancellationToken,
    pulse: Pulse,
    reports: Reports,
    fatal: Arc<Mutex<Option<DaemonError>>>,
    failed: CancellationToken,
    /// Held while an export is read.
    export: Arc<tokio::sync::Mutex<()>>,
}

impl Turn {
    fn context(&self) -> &Context {
        &self.parts.context
    }

    /// Waits for a ring or a moment; false when it is time to stop.
    async fn rung(&self, bell: &Bell, at: Option<Timestamp>) -> bool {
        let context = self.context();
        let wait = at.map(|at| {
            Duration::try_from(at.duration_since(context.now()))
                .unwrap_or_default()
                .max(Duration::from_millis(10))
        });
        let alarm = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = bell.rung() => true,
            () = alarm => true,
        }
    }

    /// Keeps and tells why a pass failed. `None`: it will mend itself.
    fn failed(&self, flow: &'static str, error: &PassError) {
        let context = self.context();
        let now = context.now();
        match error {
            PassError::Ledger(LedgerError::Full) => context.troubles.begin(
                "disk.full",
                Weight::Error,
                "The disk that holds the ledger is full; everything waits until there is room",
                "make room on that disk; nothing is lost, and it goes on by itself",
                now,
            ),
            PassError::Ledger(error) if error.is_fatal() => {
                self.fatal(DaemonError::Ledger(LedgerError::Broken {
                    path: context.ledger.path().to_owned(),
                    message: error.to_string(),
                }))
            }
            PassError::Ledger(error) => {
                context.troubles.begin_of(
                    flow,
                    "ledger.failed",
                    Weight::Error,
                    &format!("A statement of the ledger failed ({flow}): {error}"),
                    "nothing is lost, and it is tried again; if it lasts, report it with the log",
                    now,
                );
            }
            PassError::Source(error) => {
                if error.is_settings() {
                    self.reports.with(|reports| reports.settings = true);
                }
                let (name, weight, what) = match error {
                    crate::source::SourceError::Query { .. } | crate::source::SourceError::Names { .. } => {
                        ("shop.query_failed", Weight::Error, "The shop cannot be read")
                    }
                    _ => ("shop.unreachable", Weight::Warn, "The shop cannot be reached"),
                };
                let hint = error
                    .hint()
                    .unwrap_or("nothing to do if it is being restarted; reading goes on by itself");
                let flow = reads(flow);
                context
                    .troubles
                    .begin_of(flow, name, weight, &format!("{what}: {error}"), hint, now);
            }
            PassError::Brani(error) => {
                let (name, weight) = match error {
                    crate::brani::Error::Unauthorized { .. } => ("brani.unauthorized", Weight::Error),
                    _ => ("brani.unreachable", Weight::Warn),
                };
                context.troubles.begin_of(
                    flow,
                    name,
                    weight,
                    &format!("Brani cannot be asked ({flow}): {error}"),
                    error.hint(),
                    now,
                );
            }
            PassError::NotYet(why) => {
                if let Some(foreign) = self.parts.refresh.foreign() {
                    self.fatal(DaemonError::Foreign(foreign));
                }
                tracing::debug!(event = "pass.not_yet", flow, "The {flow} flow waits: {why}");
            }
        }
    }

    fn fatal(&self, error: DaemonError) {
        self.fatal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.failed.cancel();
    }

    fn went_well(&self, flow: &'static str) {
        let (troubles, now) = (&self.context().troubles, self.context().now());
        troubles.end_of(
            flow,
            "ledger.failed",
            "The ledger's statements succeed again",
            now,
        );
        self.context().troubles.end(
            "disk.full",
            "There is room on the disk again",
            self.context().now(),
        );
    }

    fn source_answers(&self, flow: &'static str) {
        let (troubles, now) = (&self.context().troubles, self.context().now());
        let flow = reads(flow);
        troubles.end_of(flow, "shop.unreachable", "The shop answers again", now);
        troubles.end_of(flow, "shop.query_failed", "The shop can be read again", now);
    }

    /// What this flow could not do, it can again; another flow's trouble stays.
    fn brani_answers(&self, flow: &'static str) {
        let (troubles, now) = (&self.context().troubles, self.context().now());
        troubles.end_of(flow, "brani.unauthorized", "Brani takes the token again", now);
        troubles.end_of(flow, "brani.unreachable", "Brani answers again", now);
    }

    async fn poll(self) -> &'static str {
        self.read("poll", false).await
    }

    /// A loop of its own: polls go on while everything is read again.
    async fn sweep(self) -> &'static str {
        self.read("sweep", true).await
    }

    async fn read(self, flow: &'static str, whole: bool) -> &'static str {
        let context = self.context().clone();
        let bells = &context.bells;
        let bell = if whole { &bells.sweep } else { &bells.poll };
        let mut failures = 0_u32;
        loop {
            let retry =
                (failures > 0).then(|| later(context.now(), Duration::from_secs(10 << failures.min(5))));
            if !self.rung(bell, retry).await {
                return flow;
            }
            let alone = async {
                match context.source.is_live() {
                    true => None,
                    // An export is fetched and kept as a whole: one read of it at a time.
                    false => Some(self.export.lock().await),
                }
            };
            let _alone = tokio::select! {
                () = self.stop.cancelled() => return flow,
                alone = alone => alone,
            };
            self.pulse.busy(flow, bell);
            let began = Instant::now();
            let pass = bell.begin();
            let reading = async {
                if whole {
                    sweep::sweep(&context).await
                } else {
                    poll::poll(&context).await
                }
            };
            let result = tokio::select! {
                // What was read is in the ledger; the cursor did not move: the next start reads it again.
                () = self.stop.cancelled() => return flow,
                result = reading => result,
            };
            match result {
                Ok(report) => {
                    failures = 0;
                    self.went_well(flow);
                    self.source_answers(flow);
                    tell_poll(&report, whole, began.elapsed(), context.dry_run);
                    if report.unknown_values {
                        bells.eshop_info.ring();
                    }
                    if report.wanted + report.withdrawn > 0 {
                        bells.send.ring();
                    }
                    if report.extras || context.rules.extras.watches() {
                        bells.extras.ring();
                    }
                    if report.parked + report.unparked > 0 {
                        bells.apply.ring();
                    }
                    if report.withdrawn > 0
                        && !context.dry_run
                        && let Err(error) = sweep::plan_deletes(&context, false).await
                    {
                        self.failed(flow, &error);
                    }
                    if whole && let Err(error) = inbound::apply::prune(&context).await {
                        self.failed(flow, &error);
                    }
                    self.reports.with(|reports| {
                        reports.poll = Some(match reports.poll.take() {
                            // A dry run moves no cursor: each read is the whole.
                            Some(before) if !context.dry_run => before.and_then(report),
                            _ => report,
                        });
                    });
                    pass.end(Ended::Well);
                }
                Err(error) => {
                    // Also where something must come first: it is rung again as soon as that has come.
                    failures = match error {
                        PassError::NotYet(_) => failures.max(1),
                        _ => failures + 1,
                    };
                    self.failed(flow, &error);
                    pass.end(Ended::Badly(error.to_string()));
                }
            }
            self.pulse.waits(flow);
        }
    }

    async fn send(self) -> &'static str {
        let context = self.context().clone();
        let mut at = None;
        while self.rung(&context.bells.send, at).await {
            self.pulse.busy("send", &context.bells.send);
            let began = Instant::now();
            let pass = context.bells.send.begin();
            match self.parts.sender.pass(&context, &self.stop).await {
                Ok(report) => {
                    self.went_well("send");
                    if report.left_to_apply > 0 {
                        context.bells.apply.ring();
                    }
                    if report.sent + report.parked + report.deleted > 0 {
                        tracing::info!(
                            event = "send.pass",
                            sent = report.sent,
                            parked = report.parked,
                            failed = report.failed,
                            deleted = report.deleted,
                            duration_ms = millis(began),
                            "Sent {} orders to Brani in {}",
                            report.sent,
                            words(began.elapsed())
                        );
                    }
                    if report.parked > 0 {
                        context.bells.apply.ring();
                    }
                    if report.sent > 0 {
                        context.bells.extras.ring();
                    }
                    at = report.again.or_else(|| {
                        (report.left_to_apply > 0).then(|| later(context.now(), Duration::from_secs(5)))
                    });
                    self.reports.with(|all| {
                        all.send.sent += report.sent;
                        all.send.parked += report.parked;
                        all.send.failed += report.failed;
                        all.send.deleted += report.deleted;
                        all.send.again = report.again;
                    });
                    pass.end(Ended::Well);
                }
                Err(error) => {
                    at = Some(later(context.now(), Duration::from_secs(5)));
                    self.failed("send", &error);
                    pass.end(Ended::Badly(error.to_string()));
                }
            }
            self.pulse.waits("send");
        }
        "send"
    }

    async fn drain(self) -> &'static str {
        let context = self.context().clone();
        let mut failures = 0_u32;
        let mut at = None;
        while self.rung(&context.bells.drain, at).await {
            self.pulse.busy("drain", &context.bells.drain);
            let began = Instant::now();
            let pass = context.bells.drain.begin();
            let result = tokio::select! {
                () = self.stop.cancelled() => return "drain",
                result = self.parts.drain.pass(&context) => result,
            };
            match result {
                Ok(report) => {
                    failures = 0;
                    at = None;
                    self.went_well("drain");
                    self.brani_answers("drain");
                    if report.new > 0 {
                        tracing::info!(
                            event = "drain.pass",
                            new = report.new,
                            webhooks = report.webhooks,
                            duration_ms = millis(began),
                            "Found {} new events at Brani",
                            report.new
                        );
                    }
                    self.reports.with(|all| {
                        all.drain.new += report.new;
                        all.drain.webhooks = report.webhooks;
                    });
                    pass.end(Ended::Well);
                    context.bells.apply.ring();
                }
                Err(error) => {
                    failures += 1;
                    let pause = crate::outbound::weather::backoff(failures + 2, 0.5);
                    at = Some(later(context.now(), pause));
                    self.failed("drain", &error);
                    pass.end(Ended::Badly(error.to_string()));
                }
            }
            self.pulse.waits("drain");
        }
        "drain"
    }

    async fn apply(self) -> &'static str {
        let context = self.context().clone();
        let mut at = None;
        while self.rung(&context.bells.apply, at).await {
            self.pulse.busy("apply", &context.bells.apply);
            let began = Instant::now();
            let pass = context.bells.apply.begin();
            match self.parts.apply.pass(&context, &self.stop).await {
                Ok(report) => {
                    self.went_well("apply");
                    at = report.again;
                    let done: u64 = report.outcomes.values().sum();
                    if done > 0 {
                        let what: Vec<String> = report
                            .outcomes
                            .iter()
                            .map(|(state, count)| format!("{count} {state}"))
                            .collect();
                        tracing::info!(
                            event = "apply.pass",
                            events = done,
                            failed = report.failed,
                            duration_ms = millis(began),
                            "Dealt with {done} events: {}",
                            what.join(", ")
                        );
                    }
                    self.reports.with(|all| {
                        for (state, count) in &report.outcomes {
                            *all.apply.outcomes.entry(state).or_default() += count;
                        }
                        all.apply.failed += report.failed;
                        all.apply.again = report.again;
                    });
                    pass.end(Ended::Well);
                }
                Err(error) => {
                    at = Some(later(context.now(), Duration::from_secs(10)));
                    self.failed("apply", &error);
                    pass.end(Ended::Badly(error.to_string()));
                }
            }
            self.pulse.waits("apply");
        }
        "apply"
    }

    async fn extras(self) -> &'static str {
        let context = self.context().clone();
        let mut at = None;
        while self.rung(&context.bells.extras, at).await {
            self.pulse.busy("extras", &context.bells.extras);
            let began = Instant::now();
            let pass = context.bells.extras.begin();
            match self.parts.beside.pass(&context, &self.stop).await {
                Ok(report) => {
                    self.went_well("extras");
                    at = report.again;
                    if report.told + report.parked + report.parcels > 0 {
                        tracing::info!(
                            event = "extras.pass",
                            told = report.told,
                            parked = report.parked,
                            failed = report.failed,
                            parcels = report.parcels,
                            duration_ms = millis(began),
                            "Told Brani {} things beside orders in {}; {} parcels changed",
                            report.told,
                            words(began.elapsed()),
                            report.parcels
                        );
                    }
                    self.reports.with(|all| {
                        all.extras.told += report.told;
                        all.extras.parked += report.parked;
                        all.extras.failed += report.failed;
                        all.extras.parcels += report.parcels;
                        all.extras.again = report.again;
                    });
                    pass.end(Ended::Well);
                }
                Err(error) => {
                    // What must come first rings when it has come.
                    at = Some(later(context.now(), Duration::from_secs(10)));
                    self.failed("extras", &error);
                    pass.end(Ended::Badly(error.to_string()));
                }
            }
            self.pulse.waits("extras");
        }
        "extras"
    }

    async fn eshop_info(self) -> &'static str {
        let context = self.context().clone();
        let mut failures = 0_u32;
        let mut at = None;
        while self.rung(&context.bells.eshop_info, at).await {
            self.pulse.busy("eshop_info", &context.bells.eshop_info);
            let pass = context.bells.eshop_info.begin();
            let had_lists = context.ready.lists();
            let result = tokio::select! {
                () = self.stop.cancelled() => return "eshop_info",
                result = self.parts.refresh.pass(&context) => result,
            };
            if !had_lists && context.ready.lists() {
                context.bells.poll.ring();
            }
            match result {
                Ok(report) => {
                    failures = 0;
                    at = None;
                    self.went_well("eshop_info");
                    self.brani_answers("eshop_info");
                    context.bells.send.ring();
                    context.bells.extras.ring();
                    self.reports.with(|all| all.eshop_info = Some(report));
                    pass.end(Ended::Well);
                }
                Err(error) => {
                    failures += 1;
                    at = Some(later(
                        context.now(),
                        crate::outbound::weather::backoff(failures + 1, 0.5),
                    ));
                    self.failed("eshop_info", &error);
                    pass.end(Ended::Badly(error.to_string()));
                }
            }
            self.pulse.waits("eshop_info");
        }
        "eshop_info"
    }
}

/// Whose trouble it is when the shop cannot be read: a poll that succeeds ends that of all who look, not the sweep's,
/// whose queries reach further back.
fn reads(flow: &'static str) -> &'static str {
    match flow {
        "sweep" => "sweep",
        _ => "",
    }
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn words(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

fn tell_poll(report: &poll::Report, whole: bool, took: Duration, dry_run: bool) {
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let name = if whole { "sweep.pass" } else { "poll.pass" };
    let would = if dry_run { "would be " } else { "" };
    if report.wanted + report.parked + report.withdrawn + report.unparked > 0 || whole {
        tracing::info!(
            event = name,
            read = report.read,
            wanted = report.wanted,
            parked = report.parked,
            unparked = report.unparked,
            withdrawn = report.withdrawn,
            duration_ms,
            "Read {} orders of the shop: {} {would}to send, {} {would}parked",
            report.read,
            report.wanted,
            report.parked
        );
    } else {
        tracing::debug!(
            event = name,
            read = report.read,
            duration_ms,
            "Read {} orders: nothing new",
            report.read
        );
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// It was told to stop.
    Stopped,
    /// The configuration is to be read anew.
    Reload,
}

/// What a person or the system asks of a running daemon.
#[derive(Debug)]
pub struct Asks {
    /// SIGTERM, SIGINT.
    pub stop: CancellationToken,
    /// SIGHUP, once the new configuration was found good.
    pub reload: CancellationToken,
}

/// Runs until told to stop or to reload; `ready` is called when the doors are open and the loops run.
///
/// # Errors
/// See [`DaemonError`].
pub async fn run(
    parts: Parts,
    shop: &str,
    config: &Config,
    asks: &Asks,
    watchdog: Option<Duration>,
    ready: impl FnOnce(),
) -> Result<End, DaemonError> {
    let receiver = bind_receiver(config).await?;
    let admin = bind_admin(config).await?;
    let schedules = schedules(config, &parts.context)?;
    let mut loops = Loops::start(parts);
    let context = loops.context().clone();
    if let Some(receiver) = receiver {
        let secret = loops.parts().drain.wanted().secret.clone();
        let events = context.rules.events.clone();
        let bell = context.bells.drain.clone();
        if let Some(secret) = secret {
            loops.add("receiver", move |stop| {
                Box::pin(receiver.serve(secret, events, move |_| bell.ring(), stop))
            });
        }
    }
    if let Some(admin) = admin {
        let pulse = loops.pulse.clone();
        let state = admin::AdminState {
            shop: shop.to_owned(),
            ledger: context.ledger.clone(),
            clock: context.clock.clone(),
            rules: context.rules.clone(),
            troubles: context.troubles.clone(),
            turning: Arc::new(move || pulse.beats()),
            expected: admin::expected(&config.schedule, &context.rules, context.now()),
            started: context.started,
            times: context.times.clone(),
        };
        loops.add("admin", move |stop| Box::pin(admin.serve(state, stop)));
    }
    let clock = context.clock.clone();
    loops.add("schedule", move |stop| {
        Box::pin(schedule::run(schedules, clock, stop))
    });
    let alert = loops.parts().alert.clone();
    loops.add("alert", move |stop| {
        Box::pin(async move { alert.run(stop).await })
    });
    let heart = heartbeat(context.clone(), loops.pulse.clone(), watchdog);
    // A missed trigger costs delay: everything is looked at once at the start.
    for bell in [
        &context.bells.eshop_info,
        &context.bells.drain,
        &context.bells.poll,
        &context.bells.send,
    ] {
        bell.ring();
    }
    context.bells.apply.ring();
    ready();
    let life = async {
        let ended = tokio::select! {
            () = asks.stop.cancelled() => Ok(End::Stopped),
            () = asks.reload.cancelled() => Ok(End::Reload),
            error = loops.failure() => Err(error),
        };
        let clean = loops.stop().await;
        match ended {
            // Who is told to stop while the old settings' loops end does not begin with the new ones.
            Ok(_) if asks.stop.is_cancelled() => match clean {
                true => Ok(End::Stopped),
                false => Err(DaemonError::Task("stopping".into())),
            },
            ended => ended,
        }
    };
    // It beats until the last loop has ended: requests in flight may take their time, at a reload, too.
    tokio::select! {
        ended = life => ended,
        never = heart => match never {},
    }
}

/// Whether the doors of a new configuration can be opened beside those of the old one.
///
/// # Errors
/// [`DaemonError::Listen`], where an address cannot be listened on.
pub async fn try_doors(old: &Config, new: &Config) -> Result<(), DaemonError> {
    let moved = old.webhooks.public_url.is_none() || old.webhooks.listen != new.webhooks.listen;
    if moved {
        drop(bind_receiver(new).await?);
    }
    let admin = |config: &Config| config.admin.as_ref().map(|admin| admin.listen.clone());
    if admin(old) != admin(new) {
        drop(bind_admin(new).await?);
    }
    Ok(())
}

async fn bind_receiver(config: &Config) -> Result<Option<Receiver>, DaemonError> {
    let (Some(_), Some(listen)) = (&config.webhooks.public_url, &config.webhooks.listen) else {
        return Ok(None);
    };
    let receiver = Receiver::bind(listen)
        .await
        .map_err(|error| DaemonError::Listen {
            text: error.to_string(),
            may_come: error.0.may_come(),
        })?;
    Ok(Some(receiver))
}

async fn bind_admin(config: &Config) -> Result<Option<admin::Admin>, DaemonError> {
    let Some(config) = &config.admin else {
        return Ok(None);
    };
    let admin = admin::Admin::bind(config).await;
    Ok(Some(admin.map_err(|error| DaemonError::Listen {
        text: error.to_string(),
        may_come: error.0.may_come(),
    })?))
}

fn schedules(config: &Config, context: &Context) -> Result<Vec<(Schedule, Bell)>, DaemonError> {
    let zone = &config.shop.timezone;
    let config::Schedule {
        poll,
        drain,
        eshop_info,
        sweep,
    } = &config.schedule;
    let mut schedules = Vec::new();
    for (key, text, bell) in [
        ("poll", poll, &context.bells.poll),
        ("drain", drain, &context.bells.drain),
        ("eshop_info", eshop_info, &context.bells.eshop_info),
        ("sweep", sweep, &context.bells.sweep),
    ] {
        if key == "drain" && context.rules.events.is_empty() {
            continue;
        }
        let schedule = Schedule::parse(text, zone)
            .map_err(|error| DaemonError::Schedule(format!("`schedule.{key}`: {error}")))?;
        schedules.push((schedule, bell.clone()));
    }
    Ok(schedules)
}

/// Says once an hour that all is well, feeds the watchdog while the loops turn, and keeps systemd's status line.
async fn heartbeat(context: Context, pulse: Pulse, watchdog: Option<Duration>) -> std::convert::Infallible {
    let step = watchdog.map_or(Duration::from_secs(20), |limit| {
        (limit / 3).min(Duration::from_secs(20))
    });
    let mut told = Instant::now();
    loop {
        if pulse.beats() {
            notify(|| sd_notify::notify(&[sd_notify::NotifyState::Watchdog])).await;
        }
        if let Ok(facts) = facts(&context).await {
            let (line, age) = facts.line(context.now());
            let status = with_trouble(&line, &context.troubles.list());
            notify(move || sd_notify::notify(&[sd_notify::NotifyState::Status(&status)])).await;
            if told.elapsed() >= HEARTBEAT {
                told = Instant::now();
                let Facts {
                    totals: [waiting, sent, parked, _],
                    stuck,
                    ..
                } = facts;
                tracing::info!(
                    event = "heartbeat",
                    waiting,
                    sent,
                    parked,
                    stuck,
                    poll_age_s = age,
                    "All loops turn: {line}"
                );
            }
        }
        tokio::time::sleep(step).await;
    }
}

/// Tells systemd; where nobody reads, this blocks, and must block no loop.
async fn notify<E: Send + 'static>(tell: impl FnOnce() -> Result<(), E> + Send + 'static) {
    let _ = tokio::task::spawn_blocking(tell).await;
}

/// What one line says of how it is.
struct Facts {
    totals: [i64; 4],
    stuck: i64,
    polled: Option<Timestamp>,
}

impl Facts {
    /// The line, and how many seconds ago the last good poll was.
    fn line(&self, now: Timestamp) -> (String, i64) {
        let [waiting, sent, parked, _] = self.totals;
        let age = self
            .polled
            .map_or(SignedDuration::ZERO, |at| now.duration_since(at))
            .as_secs();
        let last = match self.polled {
            Some(_) => format!("last good poll {age} s ago"),
            None => "no good poll yet".to_owned(),
        };
        let stuck = self.stuck;
        let line = format!("{last}; {waiting} waiting, {sent} sent, {parked} parked, {stuck} stuck");
        (line, age)
    }
}

/// The line, and what has been wrong the longest.
fn with_trouble(line: &str, troubles: &[(String, String, Timestamp)]) -> String {
    let Some((_, text, _)) = troubles.iter().min_by_key(|(_, _, since)| *since) else {
        return line.to_owned();
    };
    let text: String = text
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect();
    let more = match troubles.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    format!("{line}; {text}{more}")
}

async fn facts(context: &Context) -> Result<Facts, LedgerError> {
    context
        .ledger
        .read(|connection| {
            let stuck = inbox::totals(connection)?
                .into_iter()
                .find(|(state, _)| state == "stuck")
                .map_or(0, |(_, count)| count);
            Ok(Facts {
                totals: orders::totals(connection)?,
                stuck,
                polled: cursors::get_time(connection, cursors::name::LAST_POLL)?,
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::{Pulse, STUCK};
    use crate::bell::Bell;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_pass_of_hours_beats_as_long_as_it_gets_on_and_one_that_stands_still_does_not() {
        let (pulse, bell, other) = (Pulse::default(), Bell::new("send"), Bell::new("poll"));
        assert!(pulse.beats(), "nobody works");
        pulse.busy("send", &bell);
        for _ in 0..12 {
            tokio::time::advance(STUCK / 2).await;
            bell.step();
            assert!(pulse.beats(), "it gets on");
        }
        pulse.busy("poll", &other);
        tokio::time::advance(STUCK - Duration::from_secs(1)).await;
        bell.step();
        assert!(pulse.beats());
        tokio::time::advance(Duration::from_secs(1)).await;
        bell.step();
        assert!(!pulse.beats(), "the other stands still, whoever else gets on");
        pulse.waits("poll");
        assert!(pulse.beats(), "to wait is not to stand still");
    }
}
