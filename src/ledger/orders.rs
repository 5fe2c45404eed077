//! The orders of the ledger: what each is, what Brani has of it, what is wanted.
//!
//! Functions on a connection, to be called inside `Ledger::write` or `Ledger::read`.

use super::{LedgerError, millis, moment};
use crate::mapping::Problem;
use crate::status::{Agreed, Window};
use crate::types::{EventId, OrderCode, PayloadHash, RowHash, ShopKey, ShopStatus, StatusId};
use jiff::Timestamp;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use std::sync::LazyLock;

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Something is wanted that Brani does not have.
    Waiting,
    /// Brani has it.
    Sent,
    /// It cannot be mapped, or Brani refused it.
    Parked,
    /// Deleted at Brani.
    Deleted,
}

impl State {
    /// As the ledger writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Sent => "sent",
            State::Parked => "parked",
            State::Deleted => "deleted",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "waiting" => State::Waiting,
            "parked" => State::Parked,
            "deleted" => State::Deleted,
            _ => State::Sent,
        }
    }
}

/// What goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Created since the daemon's start.
    New = 0,
    /// Brani has an older one.
    Update = 1,
    /// Created earlier.
    Backlog = 2,
    /// Sent again because a mapping changed.
    Resend = 3,
}

impl Lane {
    fn parse(number: i64) -> Self {
        match number {
            0 => Lane::New,
            1 => Lane::Update,
            3 => Lane::Resend,
            _ => Lane::Backlog,
        }
    }
}

/// Who parked an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParkedBy {
    /// It could not be mapped.
    Mapping,
    /// Brani refused it.
    Brani,
    /// A person said to leave it alone.
    Person,
}

impl ParkedBy {
    fn as_str(self) -> &'static str {
        match self {
            ParkedBy::Mapping => "mapping",
            ParkedBy::Brani => "brani",
            ParkedBy::Person => "person",
        }
    }
}

/// One order of the ledger, without its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub code: OrderCode,
    /// The shop's id.
    pub key: ShopKey,
    /// When it was created; with the key: who owns the code.
    pub created: Timestamp,
    /// Where it stands.
    pub state: State,
    /// The row last looked at.
    pub row_hash: Option<RowHash>,
    /// The mapping it was looked at with.
    pub fingerprint: Option<i64>,
    /// Raw status last read.
    pub row_status: Option<ShopStatus>,
    /// Content Brani should have.
    pub wanted: Option<PayloadHash>,
    /// Content Brani has.
    pub sent: Option<PayloadHash>,
    /// Field hashes of what was sent.
    pub fields: Option<Vec<u8>>,
    /// Both sides' status.
    pub agreed: Agreed,
    /// The newest status event dealt with: its creation, and its id, which alone says what is newer.
    pub status_event: Option<(Timestamp, i64)>,
    /// Its lane.
    pub lane: Lane,
    /// Not before.
    pub due: Timestamp,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// Since when they fail.
    pub failing_since: Option<Timestamp>,
    /// A request of ours may still be on its way.
    pub unanswered: bool,
    /// A request of ours that was not answered may land until then: a success before it does not count for good.
    pub say_again: Option<Timestamp>,
    /// Why it is parked.
    pub problems: Vec<Problem>,
    /// Who parked it.
    pub parked_by: Option<ParkedBy>,
    /// First look-up that did not find its row.
    pub missing_since: Option<Timestamp>,
    /// The row says that it is withdrawn (trash).
    pub row_gone: bool,
    /// It is to be deleted at Brani.
    pub delete_wanted: bool,
    /// Last success.
    pub sent_at: Option<Timestamp>,
    /// Last answer in one line.
    pub answer: Option<String>,
    /// The handler `parked` was told.
    pub told_parked: bool,
}

impl Entry {
    /// A new order, of which Brani knows nothing.
    pub fn new(code: OrderCode, key: ShopKey, created: Timestamp) -> Self {
        Self {
            code,
            key,
            created,
            state: State::Waiting,
            row_hash: None,
            fingerprint: None,
            row_status: None,
            wanted: None,
            sent: None,
            fields: None,
            agreed: Agreed::default(),
            status_event: None,
            lane: Lane::Backlog,
            due: Timestamp::UNIX_EPOCH,
            attempts: 0,
            failing_since: None,
            unanswered: false,
            say_again: None,
            problems: Vec::new(),
            parked_by: None,
            missing_since: None,
            row_gone: false,
            delete_wanted: false,
            sent_at: None,
            answer: None,
            told_parked: false,
        }
    }

    /// What tells whether it needs a look.
    pub fn mark(&self) -> Mark {
        Mark {
            state: self.state,
            row_hash: self.row_hash,
            fingerprint: self.fingerprint,
            missing: self.missing_since.is_some(),
        }
    }

    /// Brani may have it: a request was answered, or left and was not.
    pub fn maybe_at_brani(&self) -> bool {
        self.agreed.known || self.agreed.window.is_some() || self.unanswered
    }

    /// A request of ours was not answered, or is on its way: what Brani has is not known.
    pub fn fate_unknown(&self) -> bool {
        self.unanswered || self.agreed.window.is_some_and(|window| window.to.is_none())
    }

    /// A status event that is not newer than the newest dealt with.
    pub fn has_dealt_with(&self, event: EventId) -> bool {
        self.status_event.is_some_and(|(_, id)| event.0 <= id)
    }

    /// A status event was dealt with; an older one changes nothing.
    pub fn deal_with(&mut self, created: Timestamp, event: EventId) {
        if !self.has_dealt_with(event) {
            self.status_event = Some((created, event.0));
        }
    }
}

/// What tells whether an order needs a look at all: few columns, for reads that meet every order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where the order stands.
    pub state: State,
    /// The row last looked at.
    pub row_hash: Option<RowHash>,
    /// The mapping it was looked at with.
    pub fingerprint: Option<i64>,
    /// A look-up did not find its row.
    pub missing: bool,
}

const COLUMNS: &str = "code, key, created, state, row_hash, fingerprint, row_status, wanted_hash, sent_hash, fields, \
     known, shop_status, brani_status, writing, unconfirmed, owed, window_status, window_from, window_to, \
     status_event, status_event_id, lane, due, attempts, failing_since, unanswered, problems, parked_by, \
     missing_since, delete_wanted, sent_at, answer, told_parked, row_gone, say_again, window_after, \
     stale, wrote, doubted, begun";

const COUNT: usize = 40;

static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| COLUMNS.split(", ").collect());

/// Made once: these run for every order.
static GET: LazyLock<String> = LazyLock::new(|| format!("SELECT {COLUMNS} FROM orders WHERE code = ?1"));
static PUT: LazyLock<String> = LazyLock::new(|| {
    let places: Vec<String> = (1..=COUNT).map(|place| format!("?{place}")).collect();
    let anew: Vec<String> = NAMES[1..]
        .iter()
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    // Never by REPLACE: a row that it overwrites goes without its triggers.
    format!(
        "INSERT INTO orders ({COLUMNS}) VALUES ({}) ON CONFLICT (code) DO UPDATE SET {}",
        places.join(", "),
        anew.join(", ")
    )
});

fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<[u8; 16]>> {
    let bytes: Option<Vec<u8>> = row.get(column)?;
    Ok(bytes.and_then(|bytes| bytes.try_into().ok()))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(moment))
}

fn statuses(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<ShopStatus>> {
    let text: Option<String> = row.get(column)?;
    Ok(text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let window = time(row, 17)?;
    let status_event = time(row, 19)?;
    Ok(Entry {
        code: OrderCode(row.get(0)?),
        key: ShopKey(row.get(1)?),
        created: moment(row.get(2)?),
        state: State::parse(&row.get::<_, String>(3)?),
        row_hash: hash(row, 4)?.map(RowHash),
        fingerprint: row.get(5)?,
        row_status: row.get::<_, Option<String>>(6)?.map(ShopStatus),
        wanted: hash(row, 7)?.map(PayloadHash),
        sent: hash(row, 8)?.map(PayloadHash),
        fields: row.get(9)?,
        agreed: Agreed {
            known: row.get(10)?,
            shop: row.get::<_, Option<String>>(11)?.map(ShopStatus),
            brani: row.get::<_, Option<i64>>(12)?.map(StatusId),
            writing: row.get::<_, Option<String>>(13)?.map(ShopStatus),
            unconfirmed: row.get(14)?,
            owed: row.get(15)?,
            window: match window {
                Some(from) => Some(Window {
                    status: row.get::<_, Option<i64>>(16)?.map(StatusId),
                    from,
                    to: time(row, 18)?,
                    after: row.get::<_, Option<i64>>(35)?.map(EventId),
                }),
                None => None,
            },
            stale: statuses(row, 36)?,
            wrote: time(row, 37)?,
            doubted: time(row, 38)?,
            begun: statuses(row, 39)?,
        },
        status_event: match status_event {
            Some(at) => Some((at, row.get(20)?)),
            None => None,
        },
        lane: Lane::parse(row.get(21)?),
        due: moment(row.get(22)?),
        attempts: row.get(23)?,
        failing_since: time(row, 24)?,
        unanswered: row.get(25)?,
        problems: row
            .get::<_, Option<String>>(26)?
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
        parked_by: row.get::<_, Option<String>>(27)?.map(|by| match by.as_str() {
            "brani" => ParkedBy::Brani,
            "person" => ParkedBy::Person,
            _ => ParkedBy::Mapping,
        }),
        missing_since: time(row, 28)?,
        delete_wanted: row.get(29)?,
        sent_at: time(row, 30)?,
        answer: row.get(31)?,
        told_parked: row.get(32)?,
        row_gone: row.get(33)?,
        say_again: time(row, 34)?,
    })
}

/// One order by code.
///
/// # Errors
/// SQLite's.
pub fn get(connection: &Connection, code: &OrderCode) -> Result<Option<Entry>, LedgerError> {
    let mut statement = connection.prepare_cached(&GET)?;
    Ok(statement.query_row([code.as_str()], entry).optional()?)
}

/// Several orders by code; look them up in key order, it is faster.
///
/// # Errors
/// SQLite's.
pub fn get_many(connection: &Connection, codes: &[OrderCode]) -> Result<Vec<Option<Entry>>, LedgerError> {
    let mut statement = connection.prepare_cached(&GET)?;
    let entries = codes
        .iter()
        .map(|code| statement.query_row([code.as_str()], entry).optional());
    Ok(entries.collect::<Result<_, _>>()?)
}

/// The marks of several orders by code, in their order; look them up in key order, it is faster.
///
/// # Errors
/// SQLite's.
pub fn marks<'a>(
    connection: &Connection,
    codes: impl Iterator<Item = &'a OrderCode>,
) -> Result<Vec<Option<Mark>>, LedgerError> {
    let mut statement = connection
        .prepare_cached("SELECT state, row_hash, fingerprint, missing_since FROM orders WHERE code = ?1")?;
    let mut marks = Vec::with_capacity(codes.size_hint().0);
    for code in codes {
        let mark = statement.query_row([code.as_str()], |row| {
            let state = row.get_ref(0)?.as_str().map(State::parse)?;
            let row_hash = row.get_ref(1)?.as_blob_or_null()?;
            Ok(Mark {
                state,
                row_hash: row_hash.and_then(|bytes| bytes.try_into().ok()).map(RowHash),
                fingerprint: row.get(2)?,
                missing: row.get::<_, Option<i64>>(3)?.is_some(),
            })
        });
        marks.push(mark.optional()?);
    }
    Ok(marks)
}

/// Orders that satisfy a condition of ours (never a stranger's text), in key order.
///
/// # Errors
/// SQLite's.
pub fn select(connection: &Connection, condition: &str, limit: usize) -> Result<Vec<Entry>, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM orders WHERE {condition} LIMIT {limit}");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], entry)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Orders that are to be deleted at Brani, and those that are to be deleted once more by now; one whose request failed not
/// before it is due.
///
/// # Errors
/// SQLite's.
pub fn to_delete(connection: &Connection, now: Timestamp, limit: usize) -> Result<Vec<Entry>, LedgerError> {
    let now = millis(now);
    let condition = format!(
        "delete_wanted = 1 AND (state <> 'deleted' OR say_again <= {now}) AND (attempts = 0 OR due <= {now})"
    );
    select(connection, &condition, limit)
}

/// Meets the orders that satisfy a condition of ours one by one: memory does not grow with them.
///
/// # Errors
/// SQLite's.
pub fn for_each(
    connection: &Connection,
    condition: &str,
    mut each: impl FnMut(Entry),
) -> Result<(), LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM orders WHERE {condition}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(entry(row)?);
    }
    Ok(())
}

/// The codes of the orders that satisfy a condition of ours, in key order.
///
/// # Errors
/// SQLite's.
pub fn codes(connection: &Connection, condition: &str, limit: usize) -> Result<Vec<OrderCode>, LedgerError> {
    let sql = format!("SELECT code FROM orders WHERE {condition} ORDER BY code LIMIT {limit}");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement
        .query_map([], |row| row.get(0).map(OrderCode))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// An order's columns, in the order of [`COLUMNS`].
fn row<'e>(e: &'e Entry, lists: &'e Lists) -> [ValueRef<'e>; COUNT] {
    fn whole(number: impl Into<i64>) -> ValueRef<'static> {
        ValueRef::Integer(number.into())
    }
    fn text(text: &str) -> ValueRef<'_> {
        ValueRef::Text(text.as_bytes())
    }
    fn status(status: Option<&ShopStatus>) -> ValueRef<'_> {
        status.map_or(ValueRef::Null, |status| text(status.as_str()))
    }
    fn time(time: Option<Timestamp>) -> ValueRef<'static> {
        time.map_or(ValueRef::Null, |time| whole(millis(time)))
    }
    fn hash(hash: Option<&[u8; 16]>) -> ValueRef<'_> {
        hash.map_or(ValueRef::Null, |hash| ValueRef::Blob(hash))
    }
    let window = e.agreed.window;
    [
        text(e.code.as_str()),
        text(e.key.as_str()),
        whole(millis(e.created)),
        text(e.state.as_str()),
        hash(e.row_hash.as_ref().map(|hash| &hash.0)),
        e.fingerprint.map_or(ValueRef::Null, whole),
        status(e.row_status.as_ref()),
        hash(e.wanted.as_ref().map(|hash| &hash.0)),
        hash(e.sent.as_ref().map(|hash| &hash.0)),
        e.fields.as_deref().map_or(ValueRef::Null, ValueRef::Blob),
        whole(e.agreed.known),
        status(e.agreed.shop.as_ref()),
        e.agreed.brani.map_or(ValueRef::Null, |id| whole(id.0)),
        status(e.agreed.writing.as_ref()),
        whole(e.agreed.unconfirmed),
        whole(e.agreed.owed),
        window
            .and_then(|window| window.status)
            .map_or(ValueRef::Null, |id| whole(id.0)),
        time(window.map(|window| window.from)),
        time(window.and_then(|window| window.to)),
        time(e.status_event.map(|(at, _)| at)),
        e.status_event.map_or(ValueRef::Null, |(_, id)| whole(id)),
        whole(e.lane as i64),
        whole(millis(e.due)),
        whole(e.attempts),
        time(e.failing_since),
        whole(e.unanswered),
        lists.problems.as_deref().map_or(ValueRef::Null, text),
        e.parked_by.map_or(ValueRef::Null, |by| text(by.as_str())),
        time(e.missing_since),
        whole(e.delete_wanted),
        time(e.sent_at),
        e.answer.as_deref().map_or(ValueRef::Null, text),
        whole(e.told_parked),
        whole(e.row_gone),
        time(e.say_again),
        window
            .and_then(|window| window.after)
            .map_or(ValueRef::Null, |id| whole(id.0)),
        lists.stale.as_deref().map_or(ValueRef::Null, text),
        time(e.agreed.wrote),
        time(e.agreed.doubted),
        lists.begun.as_deref().map_or(ValueRef::Null, text),
    ]
}

/// What of an entry is kept as JSON; nothing for an empty list.
struct Lists {
    problems: Option<String>,
    stale: Option<String>,
    begun: Option<String>,
}

impl Lists {
    fn of(e: &Entry) -> Self {
        fn list<T: serde::Serialize>(list: &[T]) -> Option<String> {
            (!list.is_empty())
                .then(|| serde_json::to_string(list).ok())
                .flatten()
        }
        Self {
            problems: list(&e.problems),
            stale: list(&e.agreed.stale),
            begun: list(&e.agreed.begun),
        }
    }
}

/// Writes an order as it now is.
///
/// # Errors
/// SQLite's.
pub fn put(connection: &Connection, entry: &Entry) -> Result<(), LedgerError> {
    let lists = Lists::of(entry);
    let row = row(entry, &lists).map(ToSqlOutput::Borrowed);
    connection.prepare_cached(&PUT)?.execute(params_from_iter(row))?;
    Ok(())
}

/// The same for an order that was read in this transaction: only the columns that changed are written, and only
/// the indexes with one of them are touched.
///
/// # Errors
/// SQLite's.
pub fn change(connection: &Connection, before: &Entry, entry: &Entry) -> Result<(), LedgerError> {
    if before.code != entry.code {
        return put(connection, entry);
    }
    let (old, new) = (Lists::of(before), Lists::of(entry));
    let (old, new) = (row(before, &old), row(entry, &new));
    let mut sql = String::with_capacity(256);
    let mut values = vec![ToSqlOutput::Borrowed(new[0])];
    for (name, (old, new)) in NAMES.iter().zip(old.into_iter().zip(new)) {
        if old != new {
            let place = values.len() + 1;
            sql.push_str(if sql.is_empty() {
                "UPDATE orders SET "
            } else {
                ", "
            });
            sql.push_str(&format!("{name} = ?{place}"));
            values.push(ToSqlOutput::Borrowed(new));
        }
    }
    if sql.is_empty() {
        return Ok(());
    }
    sql.push_str(" WHERE code = ?1");
    connection
        .prepare_cached(&sql)?
        .execute(params_from_iter(values))?;
    Ok(())
}

/// Removes an order (one that never reached Brani, or one to be forgotten).
///
/// # Errors
/// SQLite's.
pub fn remove(connection: &Connection, code: &OrderCode) -> Result<(), LedgerError> {
    connection
        .prepare_cached("DELETE FROM orders WHERE code = ?1")?
        .execute([code.as_str()])?;
    super::extras::remove_all(connection, code)?;
    forget_payload(connection, code)
}

/// The payload that is wanted.
///
/// # Errors
/// SQLite's.
pub fn payload(connection: &Connection, code: &OrderCode) -> Result<Option<Vec<u8>>, LedgerError> {
    let mut statement = connection.prepare_cached("SELECT payload FROM payloads WHERE code = ?1")?;
    Ok(statement
        .query_row([code.as_str()], |row| row.get(0))
        .optional()?)
}

/// Keeps the payload that is wanted.
///
/// # Errors
/// SQLite's.
pub fn put_payload(connection: &Connection, code: &OrderCode, payload: &[u8]) -> Result<(), LedgerError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO payloads (code, payload) VALUES (?1, ?2)")?
        .execute(params![code.as_str(), payload])?;
    Ok(())
}

/// Forgets the payload: personal data leaves the ledger.
///
/// # Errors
/// SQLite's.
pub fn forget_payload(connection: &Connection, code: &OrderCode) -> Result<(), LedgerError> {
    connection
        .prepare_cached("DELETE FROM payloads WHERE code = ?1")?
        .execute([code.as_str()])?;
    Ok(())
}

/// An order that is due, with what tells how it is sent.
#[derive(Clone, Debug)]
pub struct Due {
    /// Its code.
    pub code: OrderCode,
    /// The shop's id.
    pub key: ShopKey,
    /// Raw status last read.
    pub row_status: Option<ShopStatus>,
    /// See [`Entry::maybe_at_brani`].
    pub maybe_at_brani: bool,
    /// Since when.
    pub due: Timestamp,
}

/// Orders that are due, by lane and newest first.
///
/// # Errors
/// SQLite's.
pub fn due(
    connection: &Connection,
    now: Timestamp,
    lane: Lane,
    limit: usize,
) -> Result<Vec<Due>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT code, key, row_status, known = 1 OR window_from IS NOT NULL OR unanswered = 1, due
         FROM orders INDEXED BY orders_due
         WHERE state = 'waiting' AND lane = ?1 AND due <= ?2 ORDER BY created DESC LIMIT ?3",
    )?;
    let rows = statement
        .query_map(params![lane as i64, millis(now), limit as i64], |row| {
            Ok(Due {
                code: OrderCode(row.get(0)?),
                key: ShopKey(row.get(1)?),
                row_status: row.get::<_, Option<String>>(2)?.map(ShopStatus),
                maybe_at_brani: row.get(3)?,
                due: moment(row.get(4)?),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// When the earliest waiting order is due, perhaps long ago.
///
/// # Errors
/// SQLite's.
pub fn next_due(connection: &Connection) -> Result<Option<Timestamp>, LedgerError> {
    due_after(connection, Timestamp::MIN)
}

/// When the next waiting order comes due, or the next one is to be deleted once more, after `now`.
///
/// # Errors
/// SQLite's.
pub fn due_after(connection: &Connection, now: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
    let mut statement =
        connection.prepare_cached(
            "SELECT min(at) FROM (SELECT min(due) AS at FROM orders WHERE state = 'waiting' AND due > ?1
             UNION ALL SELECT min(say_again) FROM orders WHERE delete_wanted = 1 AND state = 'deleted' AND say_again > ?1
             UNION ALL SELECT min(due) FROM orders WHERE delete_wanted = 1 AND attempts > 0 AND due > ?1)",
        )?;
    Ok(statement
        .query_row([millis(now)], |row| row.get::<_, Option<i64>>(0))?
        .map(moment))
}

/// How many orders are in each state: waiting, sent, parked, deleted.
///
/// # Errors
/// SQLite's.
pub fn totals(connection: &Connection) -> Result<[i64; 4], LedgerError> {
    let mut totals = [0; 4];
    let mut statement = connection.prepare_cached("SELECT state, count FROM totals WHERE what = 'orders'")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let state = State::parse(&row.get::<_, String>(0)?);
        totals[state as usize] = row.get(1)?;
    }
    Ok(totals)
}

/// Counts orders that satisfy a condition of ours.
///
/// # Errors
/// SQLite's.
pub fn count(connection: &Connection, condition: &str) -> Result<i64, LedgerError> {
    Ok(connection.query_row(
        &format!("SELECT count(*) FROM orders WHERE {condition}"),
        [],
        |row| row.get(0),
    )?)
}

/// Notes that a second order claims a code; true when it was not known.
///
/// # Errors
/// SQLite's.
pub fn claim(
    connection: &Connection,
    code: &OrderCode,
    key: &ShopKey,
    created: Timestamp,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let new = connection
        .prepare_cached("INSERT OR IGNORE INTO claims (code, key, created, seen) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![code.as_str(), key.as_str(), millis(created), millis(now)])?;
    Ok(new > 0)
}

/// Those who claim codes that belong to another: (code, key, created).
///
/// # Errors
/// SQLite's.
pub fn claims(connection: &Connection) -> Result<Vec<(OrderCode, ShopKey, Timestamp)>, LedgerError> {
    let mut statement = connection.prepare_cached("SELECT code, key, created FROM claims ORDER BY code")?;
    let rows = statement
        .query_map([], |row| {
            Ok((OrderCode(row.get(0)?), ShopKey(row.get(1)?), moment(row.get(2)?)))
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The hash under which a forgotten code is remembered.
pub fn tombstone_hash(code: &OrderCode) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(code.as_str().as_bytes()).into()
}

/// Remembers, hashed, that a code was forgotten, so that the next sweep does not send it again.
///
/// # Errors
/// SQLite's.
pub fn bury(connection: &Connection, code: &OrderCode, now: Timestamp) -> Result<(), LedgerError> {
    connection.execute(
        "INSERT OR REPLACE INTO tombstones (hash, at) VALUES (?1, ?2)",
        params![tombstone_hash(code), millis(now)],
    )?;
    Ok(())
}

/// Whether a code was forgotten.
///
/// # Errors
/// SQLite's.
pub fn is_buried(connection: &Connection, code: &OrderCode) -> Result<bool, LedgerError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM tombstones WHERE hash = ?1")?;
    Ok(statement.exists([tombstone_hash(code)])?)
}
