//! The inbox: every event of Brani's once, and what became of it.
//!
//! One order's events are in the order of their ids, which grow: `event_creation` is a wall clock's time, and an hour of
//! it repeats every October.
//!
//! Functions on a connection, to be called inside `Ledger::write` or `Ledger::read`.

use super::{LedgerError, millis, moment};
use crate::types::{EventId, OrderCode, StatusId, WebhookId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Brani's id.
    pub id: EventId,
    /// It has no order code and comes from the general listing.
    pub general: bool,
    /// Its webhook.
    pub webhook: WebhookId,
    /// Its type.
    pub kind: String,
    /// Its order.
    pub code: Option<OrderCode>,
    /// As Brani wrote it.
    pub creation: String,
    /// Its first reading as a moment.
    pub at: Timestamp,
    /// When it was read.
    pub received: Timestamp,
    /// `status_change`.
    pub status: Option<StatusId>,
    /// `package_number`.
    pub package_number: Option<String>,
    /// `order_history`, or a general event's payload; gone once dealt with.
    pub text: Option<String>,
    /// What became of it.
    pub state: String,
    /// It came with the first drain of this ledger.
    pub initial: bool,
    /// Brani says its push succeeded.
    pub pushed: bool,
    /// Failed attempts.
    pub attempts: u32,
    /// Not before.
    pub due: Timestamp,
    /// Why it failed or was put aside.
    pub reason: Option<String>,
}

const COLUMNS: &str = "id, general, webhook_id, type, code, creation, at, status_id, package_number, text, state, \
     initial, pushed, attempts, due, reason, received";

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        id: EventId(row.get(0)?),
        general: row.get(1)?,
        webhook: WebhookId(row.get(2)?),
        kind: row.get(3)?,
        code: row.get::<_, Option<String>>(4)?.map(OrderCode),
        creation: row.get(5)?,
        at: moment(row.get(6)?),
        status: row.get::<_, Option<i64>>(7)?.map(StatusId),
        package_number: row.get(8)?,
        text: row.get(9)?,
        state: row.get(10)?,
        initial: row.get(11)?,
        pushed: row.get(12)?,
        attempts: row.get(13)?,
        due: moment(row.get(14)?),
        reason: row.get(15)?,
        received: moment(row.get(16)?),
    })
}

fn all(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<Vec<Event>, LedgerError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, event)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Takes an event in; false when it was known. It is held until [`release`]: other listings may bring what comes
/// before it.
///
/// # Errors
/// SQLite's.
pub fn insert(connection: &Connection, e: &Event, now: Timestamp) -> Result<bool, LedgerError> {
    let done = (e.state != "new").then(|| millis(now));
    let new = connection
        .prepare_cached(&format!(
            "INSERT INTO events ({COLUMNS}, done, held)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, 1)
             ON CONFLICT (general, id) DO NOTHING"
        ))?
        .execute(params![
            e.id.0,
            e.general,
            e.webhook.0,
            e.kind,
            e.code.as_ref().map(OrderCode::as_str),
            e.creation,
            millis(e.at),
            e.status.map(|id| id.0),
            e.package_number,
            e.text,
            e.state,
            e.initial,
            e.pushed,
            e.attempts,
            millis(e.due),
            e.reason,
            millis(e.received),
            done,
        ])?;
    Ok(new > 0)
}

/// Which of these events stand in the inbox. Those of one listing lie close together.
///
/// # Errors
/// SQLite's.
pub fn known(connection: &Connection, events: &[Event]) -> Result<BTreeSet<EventId>, LedgerError> {
    let ids = || events.iter().map(|event| event.id);
    let (Some(first), Some(from), Some(to)) = (events.first(), ids().min(), ids().max()) else {
        return Ok(BTreeSet::new());
    };
    let mut statement =
        connection.prepare_cached("SELECT id FROM events WHERE general = ?1 AND id BETWEEN ?2 AND ?3")?;
    let rows = statement
        .query_map(params![first.general, from.0, to.0], |row| {
            row.get(0).map(EventId)
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Takes in an event of our own making, which no listing brings. Its id is below zero and is given once.
///
/// # Errors
/// SQLite's.
pub fn insert_own(connection: &Connection, e: Event, now: Timestamp) -> Result<EventId, LedgerError> {
    let last: i64 = super::cursors::get(connection, super::cursors::name::OWN_EVENT)?
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let id = EventId(last - 1);
    super::cursors::set(connection, super::cursors::name::OWN_EVENT, &id.to_string())?;
    insert(connection, &Event { id, ..e }, now)?;
    connection
        .prepare_cached("UPDATE events SET held = 0 WHERE general = 0 AND id = ?1")?
        .execute([id.0])?;
    Ok(id)
}

/// Every listing is in: what was taken in may be dealt with.
///
/// # Errors
/// SQLite's.
pub fn release(connection: &Connection) -> Result<(), LedgerError> {
    connection
        .prepare_cached("UPDATE events INDEXED BY events_held SET held = 0 WHERE held = 1")?
        .execute([])?;
    Ok(())
}

/// Codes that have something to be dealt with now, oldest event first.
///
/// # Errors
/// SQLite's.
pub fn codes_due(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<OrderCode>, LedgerError> {
    // An order whose earliest event waits for its next attempt waits as a whole.
    let mut statement = connection.prepare_cached(
        "SELECT code FROM events INDEXED BY events_new WHERE state IN ('new', 'stuck') AND held = 0 AND code IS NOT NULL
         GROUP BY code HAVING max(due) <= ?1 ORDER BY min(id) LIMIT ?2",
    )?;
    let rows = statement
        .query_map(params![millis(now), limit as i64], |row| {
            row.get(0).map(OrderCode)
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// When the next event that waits for another attempt comes due. An order's events wait for the one that waits longest,
/// as in [`codes_due`].
///
/// # Errors
/// SQLite's.
pub fn next_due(connection: &Connection, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT min(due) FROM (
           SELECT max(due) AS due FROM events INDEXED BY events_new
             WHERE state IN ('new', 'stuck') AND held = 0 AND code IS NOT NULL GROUP BY code
           UNION ALL
           SELECT due FROM events INDEXED BY events_new WHERE state IN ('new', 'stuck') AND held = 0 AND code IS NULL)
         WHERE due > ?1",
    )?;
    Ok(statement
        .query_row([millis(now)], |row| row.get::<_, Option<i64>>(0))?
        .map(moment))
}

/// What is to be dealt with of one order, in order.
///
/// # Errors
/// SQLite's.
pub fn open_of(connection: &Connection, code: &OrderCode) -> Result<Vec<Event>, LedgerError> {
    all(
        connection,
        &format!("SELECT {COLUMNS} FROM events WHERE code = ?1 AND state IN ('new', 'stuck') ORDER BY id"),
        [code.as_str()],
    )
}

/// What may be dealt with of one order, in order: not what an incomplete drain brought.
///
/// # Errors
/// SQLite's.
pub fn released_of(connection: &Connection, code: &OrderCode) -> Result<Vec<Event>, LedgerError> {
    all(
        connection,
        &format!(
            "SELECT {COLUMNS} FROM events WHERE code = ?1 AND state IN ('new', 'stuck') AND held = 0 ORDER BY id"
        ),
        [code.as_str()],
    )
}

/// Every event of one order, in order.
///
/// # Errors
/// SQLite's.
pub fn of(connection: &Connection, code: &OrderCode) -> Result<Vec<Event>, LedgerError> {
    all(
        connection,
        &format!("SELECT {COLUMNS} FROM events WHERE code = ?1 ORDER BY id"),
        [code.as_str()],
    )
}

/// The newest status event of one order, whatever became of it: what a new ledger learned.
///
/// # Errors
/// SQLite's.
pub fn newest_status(connection: &Connection, code: &OrderCode) -> Result<Option<Event>, LedgerError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM events WHERE code = ?1 AND type = 'status_change' AND status_id IS NOT NULL
         ORDER BY id DESC LIMIT 1"
    ))?;
    Ok(statement.query_row([code.as_str()], event).optional()?)
}

/// General events to be dealt with, in id order.
///
/// # Errors
/// SQLite's.
pub fn open_general(connection: &Connection, limit: usize) -> Result<Vec<Event>, LedgerError> {
    all(
        connection,
        &format!(
            "SELECT {COLUMNS} FROM events WHERE general = 1 AND state IN ('new', 'stuck') AND held = 0 ORDER BY id LIMIT {limit}"
        ),
        [],
    )
}

/// Events that satisfy a condition of ours (never a stranger's text).
///
/// # Errors
/// SQLite's.
pub fn select(connection: &Connection, condition: &str, limit: usize) -> Result<Vec<Event>, LedgerError> {
    all(
        connection,
        &format!("SELECT {COLUMNS} FROM events WHERE {condition} LIMIT {limit}"),
        [],
    )
}

/// All parcels of an order, in order, without doubles.
///
/// # Errors
/// SQLite's.
pub fn package_numbers(connection: &Connection, code: &OrderCode) -> Result<Vec<String>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT package_number FROM events WHERE code = ?1 AND type = 'package_number'
         AND package_number IS NOT NULL AND state <> 'skipped' ORDER BY id",
    )?;
    let mut numbers: Vec<String> = Vec::new();
    let mut rows = statement.query([code.as_str()])?;
    while let Some(row) = rows.next()? {
        let number: String = row.get(0)?;
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// Whether several webhooks of one type told of an order.
///
/// # Errors
/// SQLite's.
pub fn is_doubled(connection: &Connection, code: &OrderCode) -> Result<bool, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM events WHERE code = ?1 GROUP BY type HAVING min(webhook_id) < max(webhook_id)",
    )?;
    Ok(statement.exists([code.as_str()])?)
}

/// Marks an event as dealt with; its text goes.
///
/// # Errors
/// SQLite's.
pub fn finish(
    connection: &Connection,
    id: EventId,
    general: bool,
    state: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE events SET state = ?3, reason = ?4, done = ?5, text = NULL WHERE general = ?1 AND id = ?2",
        )?
        .execute(params![general, id.0, state, reason, millis(now)])?;
    Ok(())
}

/// An event that a new ledger learned is to be dealt with like any other.
///
/// # Errors
/// SQLite's.
pub fn met(connection: &Connection, id: EventId, general: bool) -> Result<(), LedgerError> {
    connection
        .prepare_cached("UPDATE events SET initial = 0 WHERE general = ?1 AND id = ?2")?
        .execute(params![general, id.0])?;
    Ok(())
}

/// A row that was away is back: what came for it meanwhile has yet to reach the shop. Returns how many events wait again;
/// a text is forgotten already.
///
/// # Errors
/// SQLite's.
pub fn meet_again(connection: &Connection, code: &OrderCode) -> Result<usize, LedgerError> {
    let sql = "UPDATE events SET state = 'new', attempts = 0, due = 0, reason = NULL, done = NULL
               WHERE code = ?1 AND state = 'unmatched' AND type <> 'order_history'";
    Ok(connection.prepare_cached(sql)?.execute([code.as_str()])?)
}

/// Puts an event off to its next attempt.
///
/// # Errors
/// SQLite's.
pub fn postpone(
    connection: &Connection,
    event: &Event,
    state: &str,
    attempts: u32,
    due: Timestamp,
    reason: &str,
) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "UPDATE events SET state = ?3, attempts = ?4, due = ?5, reason = ?6 WHERE general = ?1 AND id = ?2",
        )?
        .execute(params![event.general, event.id.0, state, attempts, millis(due), reason])?;
    Ok(())
}

/// Every webhook whose listing was read: id, type, newest creation seen.
///
/// # Errors
/// SQLite's.
pub fn listed(connection: &Connection) -> Result<Vec<(WebhookId, String, String)>, LedgerError> {
    let mut statement = connection.prepare_cached("SELECT webhook_id, type, newest FROM listings")?;
    let rows = statement
        .query_map([], |row| Ok((WebhookId(row.get(0)?), row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Forgets a webhook that is no more.
///
/// # Errors
/// SQLite's.
pub fn unlist(connection: &Connection, webhook: WebhookId) -> Result<(), LedgerError> {
    connection.execute("DELETE FROM listings WHERE webhook_id = ?1", [webhook.0])?;
    Ok(())
}

/// How far a webhook's listing has been read.
///
/// # Errors
/// SQLite's.
pub fn newest_seen(connection: &Connection, webhook: WebhookId) -> Result<Option<String>, LedgerError> {
    let mut statement = connection.prepare_cached("SELECT newest FROM listings WHERE webhook_id = ?1")?;
    Ok(statement.query_row([webhook.0], |row| row.get(0)).optional()?)
}

/// Keeps how far a webhook's listing has been read; never steps back.
///
/// # Errors
/// SQLite's.
pub fn set_newest_seen(
    connection: &Connection,
    webhook: WebhookId,
    kind: &str,
    newest: &str,
) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT INTO listings (webhook_id, type, newest) VALUES (?1, ?2, ?3)
             ON CONFLICT (webhook_id) DO UPDATE SET newest = max(newest, excluded.newest), type = excluded.type",
        )?
        .execute(params![webhook.0, kind, newest])?;
    Ok(())
}

/// How many events are in each state.
///
/// # Errors
/// SQLite's.
pub fn totals(connection: &Connection) -> Result<Vec<(String, i64)>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT state, count FROM totals WHERE what = 'events' AND count > 0 ORDER BY state",
    )?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Forgets events dealt with before a moment, except the newest status event of each order and every parcel's
/// number of an order that still gets events: those are needed to know them again.
///
/// # Errors
/// SQLite's.
pub fn prune(
    connection: &Connection,
    before: Timestamp,
    listed_since: Timestamp,
) -> Result<usize, LedgerError> {
    let gone = connection.execute(
        "DELETE FROM events WHERE done IS NOT NULL AND done < ?1 AND at < ?2
         AND NOT (type = 'status_change' AND id = (SELECT e.id FROM events e WHERE e.code = events.code
                  AND e.type = 'status_change' ORDER BY e.id DESC LIMIT 1))",
        params![millis(before), millis(listed_since)],
    )?;
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::{Event, insert, newest_status, of, open_of, package_numbers, release, released_of};
    use crate::brani::time;
    use crate::ledger::file;
    use crate::types::{EventId, OrderCode, StatusId, WebhookId};
    use jiff::Timestamp;

    fn told(id: i64, creation: &str, status: Option<i64>, number: Option<&str>) -> Event {
        let kind = if number.is_some() {
            "package_number"
        } else {
            "status_change"
        };
        Event {
            id: EventId(id),
            general: false,
            webhook: WebhookId(1),
            kind: kind.into(),
            code: Some("A1".into()),
            creation: creation.into(),
            at: time::first_reading(creation),
            received: "2026-10-25T02:00:00Z".parse().unwrap(),
            status: status.map(StatusId),
            package_number: number.map(str::to_owned),
            text: None,
            state: "new".into(),
            initial: false,
            pushed: true,
            attempts: 0,
            due: Timestamp::UNIX_EPOCH,
            reason: None,
        }
    }

    #[test]
    fn in_the_hour_that_repeats_the_growing_id_says_what_is_newer() {
        let folder = tempfile::tempdir().unwrap();
        let connection = file::open_writer(&folder.path().join("ledger.db")).unwrap();
        let code = OrderCode::from("A1");
        let now = "2026-10-25T02:00:00Z".parse().unwrap();
        // Half past two in summer time, then ten past two in winter time: forty minutes later.
        for event in [
            told(1, "2026-10-25 02:30:00", None, Some("P1")),
            told(2, "2026-10-25 02:30:00", Some(-1), None),
            told(3, "2026-10-25 02:10:00", None, Some("P2")),
            told(4, "2026-10-25 02:10:00", Some(-2), None),
        ] {
            assert!(insert(&connection, &event, now).unwrap());
        }
        release(&connection).unwrap();
        let ids = |events: Vec<Event>| events.iter().map(|event| event.id.0).collect::<Vec<_>>();
        assert_eq!(ids(open_of(&connection, &code).unwrap()), [1, 2, 3, 4]);
        assert_eq!(ids(released_of(&connection, &code).unwrap()), [1, 2, 3, 4]);
        assert_eq!(ids(of(&connection, &code).unwrap()), [1, 2, 3, 4]);
        assert_eq!(
            newest_status(&connection, &code).unwrap().unwrap().status,
            Some(StatusId(-2))
        );
        assert_eq!(package_numbers(&connection, &code).unwrap(), ["P1", "P2"]);
    }
}
