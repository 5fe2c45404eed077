//! The log: text for people, native journal fields under systemd, JSON on request.
//!
//! Every line has a stable `event=` name (`docs/log-events.md`). Under systemd no time is printed: the journal has
//! one. Nothing here decides what is said.

use crate::config::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Whether standard error is the journal's.
pub fn under_systemd() -> bool {
    // systemd names the device and the inode; a child with its errors elsewhere inherits the variable all the same.
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|found| named == format!("{}:{}", found.st_dev, found.st_ino))
}

/// Starts the log; a second start is ignored (a test starts none).
pub fn start(format: LogFormat, level: &str) {
    let filter = if level.contains('=') || level.contains(',') {
        EnvFilter::try_new(level)
    } else {
        // Libraries speak up only when something is wrong with them.
        EnvFilter::try_new(format!("warn,brani_sync={level},tokio_cron_scheduler=error"))
    };
    let registry = tracing_subscriber::registry().with(filter.unwrap_or_else(|_| EnvFilter::new("info")));
    let plain = || {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
    };
    let _ = match format {
        LogFormat::Json => registry.with(plain().json().flatten_event(true)).try_init(),
        LogFormat::Auto if under_systemd() => match tracing_journald::layer() {
            Ok(journal) => registry.with(journal.with_field_prefix(None)).try_init(),
            Err(_) => registry.with(plain().with_ansi(false).without_time()).try_init(),
        },
        _ if under_systemd() => registry.with(plain().with_ansi(false).without_time()).try_init(),
        _ => registry
            .with(plain().with_ansi(std::io::stderr().is_terminal()))
            .try_init(),
    };
}
