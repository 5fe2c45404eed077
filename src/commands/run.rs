//! `run`: the daemon, its signals, and its conversation with systemd.

use super::{Failure, Shell, start_log};
use crate::assemble;
use crate::config::{self, Loaded, LogFormat};
use crate::daemon::{self, Asks, DaemonError, End};
use crate::eshop_info::refresh::belongs_elsewhere;
use crate::ledger::Ledger;
use crate::ledger::cursors;
use crate::log;
use sd_notify::NotifyState;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The name under which the answer to a reload is kept.
pub(super) const RELOAD: &str = "reload.answer";

pub(super) fn run(shell: &Shell, dry_run: bool) -> Result<u8, Failure> {
    let mut result = work(shell, dry_run);
    if let Err(failure) = &mut result {
        let journal = log::under_systemd();
        if journal {
            // Where the configuration could not be read nobody has started the log yet.
            log::start(LogFormat::Auto, "info", &config::stem(&shell.path()));
        }
        tracing::error!(event = "daemon.failed", code = failure.code, "{failure}");
        if journal {
            // Said once is enough.
            failure.text.clear();
        }
    }
    result
}

fn work(shell: &Shell, dry_run: bool) -> Result<u8, Failure> {
    let loaded = shell.load()?;
    start_log(&loaded);
    shell.check_secrets(&loaded)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(live(shell, loaded, dry_run));
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

async fn live(shell: &Shell, mut loaded: Loaded, dry_run: bool) -> Result<u8, Failure> {
    let path = loaded.ledger_path();
    let ledger = Ledger::open(&path, "run")?;
    let watchdog = sd_notify::watchdog_enabled();
    let mut signals = Signals::new()?;
    let mut first = true;
    if !dry_run {
        belongs(&loaded, &ledger).await?;
    }
    loop {
        let parts = assemble::parts(&loaded, ledger.clone(), dry_run, true)?;
        let bells = parts.context.bells.clone();
        let asks = Asks {
            stop: CancellationToken::new(),
            reload: CancellationToken::new(),
        };
        let mut new_config = None;
        let (config, shop_name) = (loaded.config.clone(), loaded.name.clone());
        let ready = || {
            let _ = sd_notify::notify(&[NotifyState::Ready]);
            if std::mem::take(&mut first) {
                tracing::info!(
                    event = "daemon.started",
                    version = env!("CARGO_PKG_VERSION"),
                    shop = %shop_name,
                    ledger = %path.display(),
                    dry_run,
                    "brani-sync runs for shop `{shop_name}`"
                );
            }
        };
        let running = daemon::run(parts, &shop_name, &config, &asks, watchdog, ready);
        tokio::pin!(running);
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                asked = signals.next() => match asked {
                    Asked::Stop => {
                        tracing::info!(event = "daemon.stopping", "Stopping; requests in flight are finished");
                        let _ = sd_notify::notify(&[NotifyState::Stopping]);
                        asks.stop.cancel();
                    }
                    Asked::Look => [&bells.eshop_info, &bells.drain, &bells.poll, &bells.send, &bells.apply, &bells.extras]
                        .into_iter()
                        .for_each(crate::bell::Bell::ring),
                    Asked::Sweep => bells.sweep.ring(),
                    Asked::Reload => {
                        // systemd tells by the time whether this answers its own request.
                        let began = NotifyState::monotonic_usec_now();
                        let states: Vec<_> = [NotifyState::Reloading].into_iter().chain(began).collect();
                        let _ = sd_notify::notify(&states);
                        match reread(shell, &loaded, &ledger, dry_run).await {
                            Ok(new) => {
                                new_config = Some(new);
                                asks.reload.cancel();
                            }
                            Err(failure) => {
                                tracing::error!(event = "daemon.reload_refused", "The new configuration is not taken over, the old one stays: {failure}");
                                answer(&ledger, &format!("refused {failure}")).await;
                                let _ = sd_notify::notify(&[NotifyState::Ready]);
                            }
                        }
                    }
                },
            }
        };
        match ended {
            Ok(End::Stopped) => {
                tracing::info!(event = "daemon.stopped", "Stopped");
                return Ok(0);
            }
            Ok(End::Reload) => {
                if let Some(new) = new_config {
                    loaded = new;
                }
                tracing::info!(event = "daemon.reloaded", "The new configuration is in use");
                answer(&ledger, "taken").await;
            }
            Err(error) => return Err(failure(&loaded, error)),
        }
    }
}

pub(super) fn failure(loaded: &Loaded, error: DaemonError) -> Failure {
    let text = error.to_string();
    match error {
        DaemonError::Ledger(error) => error.into(),
        DaemonError::Foreign(_) => Failure::new(78, text).hint(format!(
            "if that is meant, run `{} ledger accept`",
            config::command(&loaded.path)
        )),
        // systemd tries that again: a machine may start before its network.
        DaemonError::Listen { may_come: true, .. } => Failure::new(1, text).hint(
            "this machine has no such address now (`ip address`): bring its network up, or choose another in `webhooks.listen` or `admin.listen`",
        ),
        DaemonError::Listen { .. } => {
            Failure::new(78, text).hint("choose a free address in `webhooks.listen` or `admin.listen`")
        }
        DaemonError::Schedule(_) => Failure::new(78, text),
        DaemonError::Task(_) => Failure::new(1, text),
    }
}

/// A ledger that is known to be another shop's is not worked with.
async fn belongs(loaded: &Loaded, ledger: &Ledger) -> Result<(), Failure> {
    let mine = assemble::identity(loaded);
    match ledger
        .read(move |connection| belongs_elsewhere(connection, &mine))
        .await?
    {
        Some(foreign) => Err(failure(loaded, DaemonError::Foreign(foreign))),
        None => Ok(()),
    }
}

/// The configuration anew, good enough to be put to work.
async fn reread(shell: &Shell, old: &Loaded, ledger: &Ledger, dry_run: bool) -> Result<Loaded, Failure> {
    let path: &Path = &old.path;
    let new = shell.load_path(path)?;
    shell.check_secrets(&new)?;
    if new.ledger_path() != old.ledger_path() {
        return Err(
            Failure::new(78, "`ledger.path` changed").hint("restart the service to use another ledger")
        );
    }
    assemble::parts(&new, ledger.clone(), dry_run, true)?;
    // A door that does not open would end the daemon once the old one is shut.
    daemon::try_doors(&old.config, &new.config)
        .await
        .map_err(|error| failure(&new, error))?;
    if !dry_run {
        belongs(&new, ledger).await?;
    }
    Ok(new)
}

async fn answer(ledger: &Ledger, words: &str) {
    let words = format!("{} {words}", uuid::Uuid::new_v4());
    let kept = ledger
        .write(move |connection| cursors::set(connection, RELOAD, &words))
        .await;
    if let Err(error) = kept {
        tracing::warn!(event = "daemon.reload_unanswered", %error, "The answer to the reload could not be kept");
    }
}

enum Asked {
    Stop,
    Look,
    Sweep,
    Reload,
}

struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
    usr1: tokio::signal::unix::Signal,
    usr2: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.term.recv() => Asked::Stop,
            _ = self.int.recv() => Asked::Stop,
            _ = self.hup.recv() => Asked::Reload,
            _ = self.usr1.recv() => Asked::Look,
            _ = self.usr2.recv() => Asked::Sweep,
        }
    }
}
