//! What stands beside the orders: what each row wants, what Brani has of it, when it is tried next.
//!
//! Functions on a connection, to be called inside `Ledger::write` or `Ledger::read`. A value is kept until Brani has
//! it, then only its hash; an invoice's place stays, for it is looked at again.

use super::{LedgerError, millis, moment};
use crate::mapping::Problem;
use crate::mapping::extras::{Kind, Want};
use crate::types::{OrderCode, ShopKey};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A hash of what is wanted or stands.
pub type Hash = [u8; 16];

/// Where an extra stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Brani is to hear something.
    Waiting,
    /// Brani has it.
    Sent,
    /// An invoice that is not there yet.
    Missing,
    /// It cannot be read, or Brani refused it.
    Parked,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Sent => "sent",
            State::Missing => "missing",
            State::Parked => "parked",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "sent" => State::Sent,
            "missing" => State::Missing,
            "parked" => State::Parked,
            _ => State::Waiting,
        }
    }
}

/// One extra of one order.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    /// The order.
    pub code: OrderCode,
    /// Of what kind.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// What the row wants; none: nothing any more.
    pub wanted: Option<Hash>,
    /// What is wanted, where Brani does not have it.
    pub value: Option<String>,
    /// What Brani has.
    pub sent: Option<Hash>,
    /// What must be known to take it back, or to see a change.
    pub memory: Option<String>,
    /// Not before; none: nothing is to be done.
    pub due: Option<Timestamp>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// Since when they fail.
    pub failing_since: Option<Timestamp>,
    /// Why it is parked.
    pub problem: Option<Problem>,
    /// Warnings of the last answer.
    pub note: Option<String>,
    /// First wanted.
    pub since: Timestamp,
    /// Last success.
    pub done: Option<Timestamp>,
}

const COLUMNS: &str = "e.code, e.kind, e.state, e.wanted, e.value, e.sent, e.memory, e.due, e.attempts, \
     e.failing_since, e.problem, e.note, e.since, e.done";

fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Hash>> {
    let bytes: Option<Vec<u8>> = row.get(column)?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(moment))
}

/// None for a kind that another version knew.
fn extra(row: &Row<'_>) -> rusqlite::Result<Option<Extra>> {
    let Some(kind) = Kind::parse(&row.get::<_, String>(1)?) else {
        return Ok(None);
    };
    Ok(Some(Extra {
        code: OrderCode(row.get(0)?),
        kind,
        state: State::parse(&row.get::<_, String>(2)?),
        wanted: bytes(row, 3)?,
        value: row.get(4)?,
        sent: bytes(row, 5)?,
        memory: row.get(6)?,
        due: time(row, 7)?,
        attempts: row.get(8)?,
        failing_since: time(row, 9)?,
        problem: row
            .get::<_, Option<String>>(10)?
            .and_then(|text| serde_json::from_str(&text).ok()),
        note: row.get(11)?,
        since: moment(row.get(12)?),
        done: time(row, 13)?,
    }))
}

fn all(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<Vec<Extra>, LedgerError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, extra)?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(rows.into_iter().flatten().collect())
}

/// The hash of a value in its canonical form.
pub fn hash(value: &str) -> Hash {
    xxhash_rust::xxh3::xxh3_128(value.as_bytes()).to_be_bytes()
}

/// One extra.
///
/// # Errors
/// SQLite's.
pub fn get(connection: &Connection, code: &OrderCode, kind: Kind) -> Result<Option<Extra>, LedgerError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM extras e WHERE e.code = ?1 AND e.kind = ?2"
    ))?;
    let found = statement
        .query_row([code.as_str(), kind.as_str()], extra)
        .optional()?;
    Ok(found.flatten())
}

/// Everything beside one order.
///
/// # Errors
/// SQLite's.
pub fn of(connection: &Connection, code: &OrderCode) -> Result<Vec<Extra>, LedgerError> {
    let mut found = all(
        connection,
        &format!("SELECT {COLUMNS} FROM extras e WHERE e.code = ?1"),
        [code.as_str()],
    )?;
    found.sort_by_key(|extra| extra.kind);
    Ok(found)
}

/// Writes an extra as it now is.
///
/// # Errors
/// SQLite's.
pub fn put(connection: &Connection, e: &Extra) -> Result<(), LedgerError> {
    let problem = e
        .problem
        .as_ref()
        .and_then(|problem| serde_json::to_string(problem).ok());
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO extras (code, kind, state, wanted, value, sent, memory, due, attempts, failing_since,
             problem, note, since, done) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            e.code.as_str(),
            e.kind.as_str(),
            e.state.as_str(),
            e.wanted,
            e.value,
            e.sent,
            e.memory,
            e.due.map(millis),
            e.attempts,
            e.failing_since.map(millis),
            problem,
            e.note,
            millis(e.since),
            e.done.map(millis),
        ])?;
    Ok(())
}

/// Forgets one extra.
///
/// # Errors
/// SQLite's.
pub fn remove(connection: &Connection, code: &OrderCode, kind: Kind) -> Result<(), LedgerError> {
    connection
        .prepare_cached("DELETE FROM extras WHERE code = ?1 AND kind = ?2")?
        .execute([code.as_str(), kind.as_str()])?;
    Ok(())
}

/// Forgets everything beside an order: Brani has the order no longer, or we are to forget it.
///
/// # Errors
/// SQLite's.
pub fn remove_all(connection: &Connection, code: &OrderCode) -> Result<(), LedgerError> {
    connection
        .prepare_cached("DELETE FROM extras WHERE code = ?1")?
        .execute([code.as_str()])?;
    Ok(())
}

/// What notes of a look left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Noted {
    /// Something is to be told.
    pub wanted: bool,
    /// Wishes that cannot be read, newly met.
    pub parked: Vec<(OrderCode, Kind, Problem)>,
}

/// Notes what a row wants. What Brani has already is not wanted again; what Brani has and nobody wants any more is to
/// be taken back.
///
/// # Errors
/// SQLite's.
pub fn note(
    connection: &Connection,
    code: &OrderCode,
    wants: &[Want],
    now: Timestamp,
    noted: &mut Noted,
) -> Result<(), LedgerError> {
    for want in wants {
        let known = get(connection, code, want.kind)?;
        match &want.value {
            Ok(value) => {
                let value = value.as_ref().map(ToString::to_string);
                noted.wanted |= wish(connection, code, want.kind, known, value, now)?;
            }
            Err(problem) => {
                if refuse(connection, code, want.kind, known, problem, now)? {
                    noted.parked.push((code.clone(), want.kind, problem.clone()));
                }
            }
        }
    }
    Ok(())
}

fn new(code: &OrderCode, kind: Kind, now: Timestamp) -> Extra {
    Extra {
        code: code.clone(),
        kind,
        state: State::Waiting,
        wanted: None,
        value: None,
        sent: None,
        memory: None,
        due: None,
        attempts: 0,
        failing_since: None,
        problem: None,
        note: None,
        since: now,
        done: None,
    }
}

/// True where something is to be told that was not before.
fn wish(
    connection: &Connection,
    code: &OrderCode,
    kind: Kind,
    known: Option<Extra>,
    value: Option<String>,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let wanted = value.as_deref().map(hash);
    let mut extra = match known {
        Some(known) if known.wanted == wanted => return Ok(false),
        Some(known) => known,
        None if wanted.is_none() => return Ok(false),
        None => new(code, kind, now),
    };
    let stands = kind != Kind::Invoice && wanted.is_some() && extra.sent == wanted;
    if extra.sent.is_none() && extra.memory.is_none() && wanted.is_none() {
        remove(connection, code, kind)?;
        return Ok(false);
    }
    extra.wanted = wanted;
    extra.value = value.filter(|_| !stands);
    extra.state = if stands { State::Sent } else { State::Waiting };
    // A newer wish is tried at once, whatever became of the older one.
    extra.due = (!stands).then_some(Timestamp::UNIX_EPOCH);
    extra.attempts = 0;
    extra.failing_since = None;
    extra.problem = None;
    extra.since = now;
    put(connection, &extra)?;
    Ok(!stands)
}

/// True where the problem is new.
fn refuse(
    connection: &Connection,
    code: &OrderCode,
    kind: Kind,
    known: Option<Extra>,
    problem: &Problem,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let mut extra = known.unwrap_or_else(|| new(code, kind, now));
    if extra.state == State::Parked && extra.problem.as_ref() == Some(problem) {
        return Ok(false);
    }
    // No value has this hash: whatever is wanted next is another wish.
    extra.wanted = Some([0; 16]);
    extra.value = None;
    extra.due = None;
    extra.state = State::Parked;
    extra.problem = Some(problem.clone());
    put(connection, &extra)?;
    Ok(true)
}

/// An order is on its way: its parcel is to be asked for, unless that is known already.
///
/// # Errors
/// SQLite's.
pub fn track(connection: &Connection, code: &OrderCode, now: Timestamp) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO extras (code, kind, state, wanted, value, due, since)
             VALUES (?1, 'tracking', 'waiting', ?2, '{}', 0, ?3)",
        )?
        .execute(params![code.as_str(), hash("{}"), millis(now)])?;
    Ok(())
}

/// Orders of which Brani told a parcel since a moment, and whose parcels nobody asked for yet.
///
/// # Errors
/// SQLite's.
pub fn track_told(connection: &Connection, since: Timestamp, now: Timestamp) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO extras (code, kind, state, wanted, value, due, since)
             SELECT code, 'tracking', 'waiting', ?1, '{}', 0, ?2 FROM events
             WHERE type IN ('package_number', 'balic_packed') AND code IS NOT NULL AND at >= ?3 GROUP BY code",
        )?
        .execute(params![hash("{}"), millis(now), millis(since)])?;
    Ok(())
}

/// Those of a kind rest while nothing is configured for it, and go on when it is again.
///
/// # Errors
/// SQLite's.
pub fn rest(connection: &Connection, kind: Kind, rests: bool) -> Result<(), LedgerError> {
    let sql = if rests {
        "UPDATE extras SET due = NULL WHERE kind = ?1 AND due IS NOT NULL"
    } else {
        "UPDATE extras SET due = 0 WHERE kind = ?1 AND due IS NULL AND state = 'waiting'"
    };
    connection.prepare_cached(sql)?.execute([kind.as_str()])?;
    Ok(())
}

/// What is due of orders that Brani has as they are wanted, the longest due first; with the shop's own ids.
///
/// # Errors
/// SQLite's.
pub fn due(
    connection: &Connection,
    at: Timestamp,
    limit: usize,
) -> Result<Vec<(Extra, ShopKey)>, LedgerError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, o.key FROM extras e INDEXED BY extras_due JOIN orders o ON o.code = e.code
         WHERE e.due IS NOT NULL AND e.due <= ?1 AND o.state = 'sent' AND o.known = 1 ORDER BY e.due LIMIT ?2"
    ))?;
    let rows = statement
        .query_map(params![millis(at), limit as i64], |row| {
            Ok((extra(row)?, ShopKey(row.get(14)?)))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(rows
        .into_iter()
        .filter_map(|(extra, key)| extra.map(|extra| (extra, key)))
        .collect())
}

/// When the next one comes due that waits for another attempt, or a parcel that is to be asked for, after `now`.
///
/// # Errors
/// SQLite's.
pub fn due_after(connection: &Connection, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT min(due) FROM extras INDEXED BY extras_due WHERE due IS NOT NULL AND due > ?1
         AND (attempts > 0 OR kind = 'tracking')",
    )?;
    Ok(statement
        .query_row([millis(now)], |row| row.get::<_, Option<i64>>(0))?
        .map(moment))
}

/// Parked ones are tried again, of one order or of all: what Brani refused, not what cannot be read.
///
/// # Errors
/// SQLite's.
pub fn retry(connection: &Connection, code: Option<&OrderCode>) -> Result<usize, LedgerError> {
    let changed = connection.execute(
        "UPDATE extras SET due = 0, attempts = 0, failing_since = NULL,
             state = CASE kind WHEN 'invoice' THEN 'parked' ELSE 'waiting' END,
             memory = CASE kind WHEN 'invoice' THEN NULL ELSE memory END
         WHERE state = 'parked' AND (?1 IS NULL OR code = ?1) AND wanted IS NOT zeroblob(16)",
        [code.map(OrderCode::as_str)],
    )?;
    Ok(changed)
}

/// How many there are of each kind and state.
///
/// # Errors
/// SQLite's.
pub fn totals(connection: &Connection) -> Result<Vec<(String, String, i64)>, LedgerError> {
    let mut statement =
        connection.prepare_cached("SELECT kind, state, count(*) FROM extras GROUP BY kind, state")?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The parked ones, in key order.
///
/// # Errors
/// SQLite's.
pub fn parked(connection: &Connection, limit: usize) -> Result<Vec<Extra>, LedgerError> {
    all(
        connection,
        &format!(
            "SELECT {COLUMNS} FROM extras e INDEXED BY extras_parked WHERE e.state = 'parked' ORDER BY e.code LIMIT {limit}"
        ),
        [],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ledger() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema.sql")).unwrap();
        connection
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn look(connection: &Connection, value: Option<i64>) -> bool {
        let want = Want {
            kind: Kind::Priority,
            value: Ok(value.map(|value| json!(value))),
        };
        let mut noted = Noted::default();
        note(connection, &"A".into(), &[want], at(1), &mut noted).unwrap();
        noted.wanted
    }

    #[test]
    fn a_wish_is_told_once_and_again_only_when_it_changes() {
        let connection = ledger();
        let code = OrderCode::from("A");
        let row = |connection: &Connection| get(connection, &code, Kind::Priority).unwrap();
        assert!(!look(&connection, None), "nothing was there to be taken back");
        assert_eq!(row(&connection), None);
        assert!(look(&connection, Some(3)));
        assert!(!look(&connection, Some(3)));
        let mut extra = row(&connection).unwrap();
        extra.state = State::Sent;
        extra.sent = extra.wanted;
        extra.value = None;
        extra.due = None;
        put(&connection, &extra).unwrap();
        assert!(!look(&connection, Some(3)));
        assert!(look(&connection, Some(1)));
        assert!(!look(&connection, Some(3)), "back to what Brani has");
        assert_eq!(row(&connection).unwrap(), extra);
        assert!(look(&connection, None), "it is to be taken back");
    }

    #[test]
    fn a_wish_that_cannot_be_read_is_parked_and_told_once() {
        let connection = ledger();
        let problem = Problem {
            field: "_priority".into(),
            found: Some("x".into()),
            rule: "is no priority".into(),
            hint: "".into(),
            owner: crate::mapping::Owner::Shop,
        };
        let want = Want {
            kind: Kind::Priority,
            value: Err(problem),
        };
        for times in [1, 0] {
            let mut noted = Noted::default();
            note(
                &connection,
                &"A".into(),
                std::slice::from_ref(&want),
                at(1),
                &mut noted,
            )
            .unwrap();
            assert_eq!((noted.wanted, noted.parked.len()), (false, times));
        }
        assert_eq!(parked(&connection, 10).unwrap().len(), 1);
        assert_eq!(retry(&connection, None).unwrap(), 0);
        assert!(look(&connection, Some(2)), "mended, it goes");
        assert_eq!(parked(&connection, 10).unwrap(), []);
    }
}
