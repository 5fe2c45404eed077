//! The log: text for people, native journal fields under systemd, JSON on request.
//!
//! Every line has a stable `event=` name (`docs/log-events.md`). Under systemd no time is printed: the journal has
//! one, and it knows how bad each line is. Nothing here decides what is said.

use crate::config::LogFormat;
use crate::visible;
use std::io::{IsTerminal, Write};
use tracing::{Level, Metadata};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Whether standard error is the journal's.
pub fn under_systemd() -> bool {
    // systemd names the device and the inode; a child with its errors elsewhere inherits the variable all the same.
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|found| named == format!("{}:{}", found.st_dev, found.st_ino))
}

/// Starts the log of a shop; a second start is ignored (a test starts none).
pub fn start(format: LogFormat, level: &str, shop: &str) {
    let filter = if level.contains('=') || level.contains(',') {
        EnvFilter::try_new(level)
    } else {
        // Libraries speak up only when something is wrong with them.
        EnvFilter::try_new(format!("warn,brani_sync={level},tokio_cron_scheduler=error"))
    };
    let registry = tracing_subscriber::registry().with(filter.unwrap_or_else(|_| EnvFilter::new("info")));
    let systemd = under_systemd();
    let shown = match format {
        LogFormat::Json => Shown::Json,
        _ if !systemd && std::io::stderr().is_terminal() => Shown::Coloured,
        _ => Shown::Plain,
    };
    let plain = || {
        tracing_subscriber::fmt::layer()
            .with_writer(Stderr {
                marked: systemd,
                shown,
            })
            .with_target(false)
            .with_ansi(shown == Shown::Coloured)
    };
    let _ = match format {
        LogFormat::Json => registry.with(plain().json().flatten_event(true)).try_init(),
        LogFormat::Auto if systemd => match tracing_journald::layer() {
            Ok(journal) => registry
                .with(
                    journal
                        .with_field_prefix(None)
                        .with_custom_fields([("SHOP", shop)])
                        .with_priority_mappings(PriorityMappings {
                            info: Priority::Informational,
                            debug: Priority::Debug,
                            ..PriorityMappings::new()
                        }),
                )
                .try_init(),
            Err(_) => registry.with(plain().without_time()).try_init(),
        },
        _ if systemd => registry.with(plain().without_time()).try_init(),
        _ => registry.with(plain()).try_init(),
    };
}

/// Standard error; marked, each line says how bad it is as the journal reads it.
struct Stderr {
    marked: bool,
    shown: Shown,
}

/// What a line is written as: strangers' text in it is kept from being obeyed accordingly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Json,
    Plain,
    Coloured,
}

impl MakeWriter<'_> for Stderr {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line {
            mark: "",
            shown: self.shown,
        }
    }

    fn make_writer_for(&self, meta: &Metadata<'_>) -> Line {
        let mark = match *meta.level() {
            _ if !self.marked => "",
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            _ => "<7>",
        };
        Line {
            mark,
            shown: self.shown,
        }
    }
}

struct Line {
    mark: &'static str,
    shown: Shown,
}

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let whole = String::from_utf8_lossy(text);
        let shown = match self.shown {
            Shown::Json => visible::json(&whole),
            shown => visible::log_line(&whole, shown == Shown::Coloured),
        };
        let mut marked = Vec::with_capacity(shown.len() + 8);
        for line in shown.split_inclusive('\n') {
            marked.extend_from_slice(self.mark.as_bytes());
            marked.extend_from_slice(line.as_bytes());
        }
        std::io::stderr().lock().write_all(&marked)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().lock().flush()
    }
}
