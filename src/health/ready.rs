//! Whether both flows have passed lately.

use super::Health;
use crate::ledger::LedgerError;
use crate::ledger::cursors::{self, name};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use std::time::Duration;

/// A pass may be this old however often its bell rings.
const YOUNG: Duration = Duration::from_secs(10 * 60);

/// How often the passes are due.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The longest time between two polls.
    pub poll: Duration,
    /// The longest time between two drains; none where no webhooks are configured.
    pub drain: Option<Duration>,
}

/// Whether the last good pass of both flows is young: not older than three times its period, or ten minutes. Else
/// one line each that says why not.
pub fn unready(health: &Health, expected: &Expected) -> Vec<String> {
    why_unready(health.at, health.last_poll, health.last_drain, expected)
}

/// The same, asked of the ledger without counting anything else.
///
/// # Errors
/// SQLite's.
pub fn unready_at(
    connection: &Connection,
    now: Timestamp,
    expected: &Expected,
) -> Result<Vec<String>, LedgerError> {
    let last_poll = cursors::get_time(connection, name::LAST_POLL)?;
    let last_drain = cursors::get_time(connection, name::LAST_DRAIN)?;
    Ok(why_unready(now, last_poll, last_drain, expected))
}

fn why_unready(
    now: Timestamp,
    last_poll: Option<Timestamp>,
    last_drain: Option<Timestamp>,
    expected: &Expected,
) -> Vec<String> {
    let mut why = Vec::new();
    let mut look = |what: &str, last: Option<Timestamp>, period: Duration| {
        let limit = period.saturating_mul(3).max(YOUNG);
        let Some(last) = last else {
            why.push(format!("no {what} has succeeded yet"));
            return;
        };
        let age = now.duration_since(last);
        if age > SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX) {
            let (age, limit) = (age.as_secs(), limit.as_secs());
            why.push(format!(
                "the last good {what} is {age} s old, more than {limit} s"
            ));
        }
    };
    look("poll", last_poll, expected.poll);
    if let Some(period) = expected.drain {
        look("drain", last_drain, period);
    }
    why
}
