//! Small facts that outlive a crash: cursors, identity, guards, counters.

use super::{LedgerError, millis, moment};
use crate::types::FieldKey;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension};

/// The names of the facts.
pub mod name {
    /// The source's clock at the start of the last complete read.
    pub const CURSOR: &str = "poll.cursor";
    /// When this ledger ran for the first time, and from which creation on orders are sent.
    pub const HISTORY: &str = "history";
    /// The mapping's fingerprint at the last complete look at every row.
    pub const FINGERPRINT: &str = "mapping.fingerprint";
    /// Where the ledger belongs.
    pub const IDENTITY: &str = "identity";
    /// The first complete drain is done: what was packed meanwhile is known.
    pub const LEARNED: &str = "drain.learned";
    /// The end of the last good poll.
    pub const LAST_POLL: &str = "poll.last";
    /// The end of the last good drain.
    pub const LAST_DRAIN: &str = "drain.last";
    /// The end of the last complete sweep.
    pub const LAST_SWEEP: &str = "sweep.last";
    /// Brani's last success.
    pub const LAST_SENT: &str = "send.last";
    /// Hash of the e-shop info last posted.
    pub const POSTED: &str = "eshop_info.posted";
    /// How often another program undid our post.
    pub const UNDONE: &str = "eshop_info.undone";
    /// Held re-sends were approved up to this moment.
    pub const RESENDS: &str = "resends.approved";
    /// Held deletes were approved up to this moment.
    pub const DELETES: &str = "deletes.approved";
    /// The id of the latest event of our own making.
    pub const OWN_EVENT: &str = "events.own";
    /// The key of the field hashes.
    pub const FIELD_KEY: &str = "fields.key";
}

/// A fact as text.
///
/// # Errors
/// SQLite's.
pub fn get(connection: &Connection, name: &str) -> Result<Option<String>, LedgerError> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

/// Keeps a fact.
///
/// # Errors
/// SQLite's.
pub fn set(connection: &Connection, name: &str, value: &str) -> Result<(), LedgerError> {
    let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute([name, value])?;
    Ok(())
}

/// Forgets a fact.
///
/// # Errors
/// SQLite's.
pub fn unset(connection: &Connection, name: &str) -> Result<(), LedgerError> {
    connection.execute("DELETE FROM meta WHERE name = ?1", [name])?;
    Ok(())
}

/// The key of the hashes per field, if it was made already.
///
/// # Errors
/// SQLite's.
pub fn field_key(connection: &Connection) -> Result<Option<FieldKey>, LedgerError> {
    let text = get(connection, name::FIELD_KEY)?;
    let key = text.and_then(|text| uuid::Uuid::try_parse(text.get(..32)?).ok());
    Ok(key.map(|key| FieldKey(key.into_bytes())))
}

/// The key of the hashes per field, made at the first call.
///
/// # Errors
/// SQLite's.
pub fn make_field_key(connection: &Connection) -> Result<FieldKey, LedgerError> {
    if let Some(key) = field_key(connection)? {
        return Ok(key);
    }
    let key = uuid::Uuid::new_v4();
    set(connection, name::FIELD_KEY, &key.simple().to_string())?;
    Ok(FieldKey(key.into_bytes()))
}

/// The longest that anything of ours waits by itself, and how much a clock may be set back without a word.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(10);
const UNTOLD: SignedDuration = SignedDuration::from_mins(1);

/// The ends of the passes.
const PASSES: [&str; 4] = [
    name::LAST_POLL,
    name::LAST_DRAIN,
    name::LAST_SWEEP,
    name::LAST_SENT,
];

/// By how much this machine's clock was set back since the last pass, where it was.
///
/// # Errors
/// SQLite's.
pub fn clock_set_back(
    connection: &Connection,
    now: Timestamp,
) -> Result<Option<SignedDuration>, LedgerError> {
    let mut latest = now;
    for pass in PASSES {
        latest = get_time(connection, pass)?.map_or(latest, |at| at.max(latest));
    }
    Ok(Some(latest.duration_since(now)).filter(|back| *back > UNTOLD))
}

/// What is dated ahead of a clock that was set back is done now, and does not wait until the clock comes there again.
///
/// # Errors
/// SQLite's.
pub fn wait_no_longer(connection: &Connection, now: Timestamp) -> Result<(), LedgerError> {
    for pass in PASSES {
        if get_time(connection, pass)?.is_some_and(|at| at > now) {
            set_time(connection, pass, now)?;
        }
    }
    let (now, ahead) = (millis(now), millis(now + LONGEST_WAIT));
    for sql in [
        "UPDATE orders SET due = ?1 WHERE state = 'waiting' AND due > ?2",
        "UPDATE orders SET say_again = ?2 WHERE say_again > ?2",
        "UPDATE orders SET missing_since = ?1 WHERE missing_since > ?1",
        "UPDATE orders SET wrote = ?1, doubted = NULL WHERE wrote > ?1",
        "UPDATE events SET due = ?1 WHERE state IN ('new', 'stuck') AND due > ?2",
        "UPDATE extras SET due = ?1 WHERE due > ?2",
    ] {
        let parameters: &[i64] = if sql.contains("?2") { &[now, ahead] } else { &[now] };
        connection.execute(sql, rusqlite::params_from_iter(parameters))?;
    }
    Ok(())
}

/// A fact that is a moment.
///
/// # Errors
/// SQLite's.
pub fn get_time(connection: &Connection, name: &str) -> Result<Option<Timestamp>, LedgerError> {
    Ok(get(connection, name)?
        .and_then(|text| text.parse().ok())
        .map(moment))
}

/// Keeps a moment.
///
/// # Errors
/// SQLite's.
pub fn set_time(connection: &Connection, name: &str, at: Timestamp) -> Result<(), LedgerError> {
    set(connection, name, &millis(at).to_string())
}

/// Counts something for a day's throughput; hours older than a fortnight go.
///
/// # Errors
/// SQLite's.
pub fn count(connection: &Connection, now: Timestamp, name: &str, by: u64) -> Result<(), LedgerError> {
    let hour = now.as_second().div_euclid(3600);
    connection
        .prepare_cached(
            "INSERT INTO counts (hour, name, count) VALUES (?1, ?2, ?3)
             ON CONFLICT (hour, name) DO UPDATE SET count = count + excluded.count",
        )?
        .execute(rusqlite::params![
            hour,
            name,
            i64::try_from(by).unwrap_or(i64::MAX)
        ])?;
    Ok(())
}

/// The counts of the hours since a moment: (hour, name, count).
///
/// # Errors
/// SQLite's.
pub fn counts(connection: &Connection, since: Timestamp) -> Result<Vec<(i64, String, i64)>, LedgerError> {
    let mut statement = connection
        .prepare_cached("SELECT hour, name, count FROM counts WHERE hour >= ?1 ORDER BY hour, name")?;
    let rows = statement
        .query_map([since.as_second().div_euclid(3600)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}
