//! How the daemon fares, read from the ledger alone: for `status`, the heartbeat line, the admin page and metrics.
//!
//! Functions on a connection, to be called inside `Ledger::read`. This room counts; it decides nothing, asks neither
//! the shop nor Brani, and holds no personal data: codes, fields, and values that the mapping may tell.

mod ready;
pub mod times;

pub use ready::{Expected, unready, unready_at};

use crate::config::DeleteMode;
use crate::context::Rules;
use crate::ledger::cursors::{self, name};
use crate::ledger::orders::{self, ParkedBy, State};
use crate::ledger::{LedgerError, extras, inbox, millis, moment};
use crate::mapping::{Owner, Problem};
use crate::types::{OrderCode, ShopKey};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Parked orders and claims that are told one by one; the rest are counted.
pub const LISTED_MAX: usize = 100;
/// The hours of a day's throughput.
pub const HOURS: i64 = 24;
/// The speed of sending is measured over this long.
const RECENT: SignedDuration = SignedDuration::from_mins(5);
/// Fewer sends than this tell no speed.
const RECENT_MIN: i64 = 10;
/// A row that the sweeps have missed for so long is gone.
const GONE_AFTER: SignedDuration = SignedDuration::from_hours(20);

/// Orders by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Orders {
    /// Something is wanted that Brani does not have.
    pub waiting: i64,
    /// Brani has them.
    pub sent: i64,
    /// They cannot be mapped, or Brani refused them.
    pub parked: i64,
    /// Deleted at Brani.
    pub deleted: i64,
}

/// Waiting orders by what goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lanes {
    /// Created since the daemon's start.
    pub new: i64,
    /// Brani has an older version.
    pub update: i64,
    /// Created earlier.
    pub backlog: i64,
    /// To be sent again because a mapping changed.
    pub resend: i64,
    /// Sent, and said once more in a few minutes: an earlier request was not answered and may land late.
    pub again: i64,
}

/// Who can mend something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// The order in the shop.
    Shop,
    /// brani-sync's configuration.
    Settings,
    /// Brani.
    Brani,
    /// A person said to leave it alone.
    Person,
}

impl From<Owner> for Whose {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Shop => Self::Shop,
            Owner::Settings => Self::Settings,
            Owner::Brani => Self::Brani,
        }
    }
}

/// One parked order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParkedLine {
    /// The order.
    pub code: OrderCode,
    /// When the order was created.
    pub created: Timestamp,
    /// Since when requests for it failed, where Brani refused it; the ledger keeps no other moment.
    pub since: Option<Timestamp>,
    /// Why.
    pub problems: Vec<Problem>,
    /// Brani has an older version, and the packer would pack it.
    pub at_brani: bool,
    /// Whose the first problem is.
    pub owner: Whose,
}

/// Parked orders: those that Brani has first, then the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parked {
    /// How many there are.
    pub total: i64,
    /// Of those, how many Brani has in an older version.
    pub at_brani: i64,
    /// The first [`LISTED_MAX`].
    pub first: Vec<ParkedLine>,
}

/// A second order that claims a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// The code.
    pub code: OrderCode,
    /// The claimant's key in the shop.
    pub key: ShopKey,
    /// When the claimant was created.
    pub created: Timestamp,
    /// When it was first met.
    pub seen: Timestamp,
}

/// Claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// How many there are.
    pub total: i64,
    /// The newest [`LISTED_MAX`].
    pub first: Vec<Claim>,
}

/// One hour of a day's throughput.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hour {
    /// Its beginning.
    pub from: Timestamp,
    /// Orders sent.
    pub sent: i64,
    /// Orders deleted at Brani.
    pub deleted: i64,
    /// Events that were new.
    pub events: i64,
    /// Events written into the shop.
    pub applied: i64,
}

/// What stands beside orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extras {
    /// To be told to Brani.
    pub waiting: i64,
    /// Brani has them.
    pub sent: i64,
    /// They cannot be read, or Brani refused them; their orders go on.
    pub parked: i64,
    /// Invoices that are not there yet.
    pub missing_invoices: i64,
    /// Parcels on their way.
    pub parcels: i64,
    /// The first parked ones, by order code.
    pub first: Vec<ParkedExtra>,
}

/// One parked extra.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParkedExtra {
    /// The order.
    pub code: OrderCode,
    /// `priority`, `tags`, `invoice` …
    pub kind: &'static str,
    /// Why.
    pub problem: Option<Problem>,
}

/// How the daemon fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// When this was read.
    pub at: Timestamp,
    /// Orders by state.
    pub orders: Orders,
    /// The waiting ones by lane.
    pub waiting_by_lane: Lanes,
    /// Of the waiting ones, those whose last attempt failed.
    pub failing: i64,
    /// The creation of the oldest waiting order that Brani never had.
    pub oldest_waiting: Option<Timestamp>,
    /// What is parked, and why.
    pub parked: Parked,
    /// Events by what became of them; `new` ones wait.
    pub events: BTreeMap<String, i64>,
    /// The creation of the oldest event that waits.
    pub oldest_event: Option<Timestamp>,
    /// Events that a handler refused too often.
    pub stuck: i64,
    /// The end of the last good poll.
    pub last_poll: Option<Timestamp>,
    /// The end of the last good drain.
    pub last_drain: Option<Timestamp>,
    /// The end of the last complete sweep.
    pub last_sweep: Option<Timestamp>,
    /// Brani's last success.
    pub last_sent: Option<Timestamp>,
    /// The source's clock at the start of the last complete read.
    pub cursor: Option<Timestamp>,
    /// The age of the last good poll; none before the first.
    pub lag_seconds: Option<i64>,
    /// Re-sends that wait for a person; known where the rules are.
    pub resends_held: i64,
    /// Deletes that wait for a person; known where the rules are.
    pub deletes_held: i64,
    /// Orders that Brani has and the shop does not any more, and that nobody deletes.
    pub gone: i64,
    /// Second orders that claim a code.
    pub claims: Claims,
    /// What stands beside orders.
    pub extras: Extras,
    /// The last [`HOURS`] hours, oldest first, quiet ones included.
    pub today: Vec<Hour>,
    /// Until what waits will have been sent; none where nothing waits or nothing moves.
    #[serde(rename = "estimate_seconds", serialize_with = "seconds")]
    pub estimate: Option<Duration>,
}

fn seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_some(&duration.as_secs()),
        None => serializer.serialize_none(),
    }
}

impl fmt::Display for Health {
    /// One line of totals, for the heartbeat.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Orders {
            waiting,
            sent,
            parked,
            deleted,
        } = self.orders;
        write!(
            f,
            "{waiting} orders wait, {sent} sent, {parked} parked, {deleted} deleted"
        )?;
        let new = self.events.get("new").copied().unwrap_or(0);
        write!(f, "; {new} events wait, {} stuck", self.stuck)?;
        match self.lag_seconds {
            Some(lag) => write!(f, "; last good poll {lag} s ago"),
            None => write!(f, "; no good poll yet"),
        }
    }
}

/// What the ledger tells without knowing the rules: nothing counts as held, and the estimate is made from what was
/// sent a moment ago.
///
/// # Errors
/// SQLite's.
pub fn report(connection: &Connection, now: Timestamp) -> Result<Health, LedgerError> {
    let [waiting, sent, parked, deleted] = orders::totals(connection)?;
    let lanes = lanes(connection, now)?;
    let events: BTreeMap<String, i64> = inbox::totals(connection)?.into_iter().collect();
    let last_poll = cursors::get_time(connection, name::LAST_POLL)?;
    let failing = orders::count(connection, "state = 'waiting' AND failing_since IS NOT NULL")?;
    Ok(Health {
        at: now,
        orders: Orders {
            waiting,
            sent,
            parked,
            deleted,
        },
        waiting_by_lane: lanes,
        failing,
        oldest_waiting: moment_of(
            connection,
            "SELECT min(created) FROM orders WHERE state = 'waiting' AND known = 0",
        )?,
        parked: parked_lines(connection, parked)?,
        stuck: events.get("stuck").copied().unwrap_or(0),
        oldest_event: moment_of(
            connection,
            "SELECT min(at) FROM events WHERE state IN ('new', 'stuck')",
        )?,
        events,
        last_poll,
        last_drain: cursors::get_time(connection, name::LAST_DRAIN)?,
        last_sweep: cursors::get_time(connection, name::LAST_SWEEP)?,
        last_sent: cursors::get_time(connection, name::LAST_SENT)?,
        cursor: cursors::get_time(connection, name::CURSOR)?,
        lag_seconds: last_poll.map(|at| now.duration_since(at).as_secs().max(0)),
        resends_held: 0,
        deletes_held: 0,
        gone: gone(connection, now)?,
        claims: claims(connection)?,
        extras: beside(connection)?,
        today: today(connection, now)?,
        estimate: estimate(connection, now, waiting - lanes.again)?,
    })
}

/// The same, and what the rules hold back until a person says so.
///
/// # Errors
/// SQLite's.
pub fn report_by(connection: &Connection, now: Timestamp, rules: &Rules) -> Result<Health, LedgerError> {
    let mut health = report(connection, now)?;
    health.resends_held = resends_held(connection, now, rules, health.waiting_by_lane.resend)?;
    health.deletes_held = deletes_held(connection, now, rules, health.gone)?;
    if rules.delete_mode == DeleteMode::Gone {
        // They are deleted by the next sweep, or counted as held.
        health.gone = 0;
    }
    let moving = health.orders.waiting - health.resends_held - health.waiting_by_lane.again;
    if moving <= 0 {
        health.estimate = None;
    } else if health.estimate.is_none() && health.failing == 0 {
        #[expect(clippy::cast_precision_loss, reason = "a count of orders")]
        let seconds = moving as f64 / rules.rate_limit.max(0.1);
        health.estimate = Duration::try_from_secs_f64(seconds).ok();
    }
    Ok(health)
}

fn moment_of(connection: &Connection, sql: &str) -> Result<Option<Timestamp>, LedgerError> {
    let at: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(at.map(moment))
}

fn lanes(connection: &Connection, now: Timestamp) -> Result<Lanes, LedgerError> {
    let mut lanes = Lanes::default();
    let mut statement = connection.prepare_cached(
        "SELECT CASE WHEN say_again IS NOT NULL AND due > ?1 THEN -1 ELSE lane END, count(*)
         FROM orders WHERE state = 'waiting' GROUP BY 1",
    )?;
    let mut rows = statement.query([millis(now)])?;
    while let Some(row) = rows.next()? {
        let count = row.get(1)?;
        match row.get::<_, i64>(0)? {
            -1 => lanes.again = count,
            0 => lanes.new = count,
            1 => lanes.update = count,
            3 => lanes.resend = count,
            _ => lanes.backlog += count,
        }
    }
    Ok(lanes)
}

fn parked_lines(connection: &Connection, total: i64) -> Result<Parked, LedgerError> {
    let first = orders::select(
        connection,
        "state = 'parked' ORDER BY known DESC, created DESC, code",
        LISTED_MAX,
    )?;
    let first = first
        .into_iter()
        .map(|entry| ParkedLine {
            owner: whose(entry.parked_by, &entry.problems),
            at_brani: entry.agreed.known,
            code: entry.code,
            created: entry.created,
            since: entry.failing_since,
            problems: entry.problems,
        })
        .collect();
    Ok(Parked {
        total,
        at_brani: orders::count(connection, "state = 'parked' AND known = 1")?,
        first,
    })
}

/// Whose a parked order is to mend.
pub fn whose(parked_by: Option<ParkedBy>, problems: &[Problem]) -> Whose {
    match (parked_by, problems.first()) {
        (Some(ParkedBy::Person), _) => Whose::Person,
        (_, Some(problem)) => problem.owner.into(),
        (Some(ParkedBy::Brani), None) => Whose::Brani,
        _ => Whose::Shop,
    }
}

fn beside(connection: &Connection) -> Result<Extras, LedgerError> {
    let mut found = Extras::default();
    for (kind, state, count) in extras::totals(connection)? {
        match (kind.as_str(), state.as_str()) {
            ("tracking", "waiting") => found.parcels = count,
            ("tracking", _) => {}
            (_, "waiting") => found.waiting += count,
            (_, "missing") => found.missing_invoices += count,
            (_, "parked") => found.parked += count,
            _ => found.sent += count,
        }
    }
    if found.parked > 0 {
        found.first = extras::parked(connection, LISTED_MAX)?
            .into_iter()
            .map(|extra| ParkedExtra {
                code: extra.code,
                kind: extra.kind.as_str(),
                problem: extra.problem,
            })
            .collect();
    }
    Ok(found)
}

fn claims(connection: &Connection) -> Result<Claims, LedgerError> {
    let total = connection.query_row("SELECT count(*) FROM claims", [], |row| row.get(0))?;
    let first = claims_where(connection, None)?;
    Ok(Claims { total, first })
}

/// The claims of one code, newest first.
///
/// # Errors
/// SQLite's.
pub fn claims_of(connection: &Connection, code: &OrderCode) -> Result<Vec<Claim>, LedgerError> {
    claims_where(connection, Some(code.as_str()))
}

fn claims_where(connection: &Connection, code: Option<&str>) -> Result<Vec<Claim>, LedgerError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT code, key, created, seen FROM claims WHERE ?1 IS NULL OR code = ?1 ORDER BY seen DESC, code, key LIMIT {LISTED_MAX}"
    ))?;
    let rows = statement
        .query_map([code], |row| {
            Ok(Claim {
                code: OrderCode(row.get(0)?),
                key: ShopKey(row.get(1)?),
                created: moment(row.get(2)?),
                seen: moment(row.get(3)?),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The hours of the last day, quiet ones included.
fn today(connection: &Connection, now: Timestamp) -> Result<Vec<Hour>, LedgerError> {
    let last = now.as_second().div_euclid(3600);
    let first = last - (HOURS - 1);
    let mut hours: Vec<Hour> = (first..=last)
        .map(|hour| Hour {
            from: moment(hour.saturating_mul(3_600_000)),
            sent: 0,
            deleted: 0,
            events: 0,
            applied: 0,
        })
        .collect();
    let since = moment(first.saturating_mul(3_600_000));
    for (hour, name, count) in cursors::counts(connection, since)? {
        let Some(found) = usize::try_from(hour - first)
            .ok()
            .and_then(|at| hours.get_mut(at))
        else {
            continue;
        };
        match name.as_str() {
            "sent" => found.sent = count,
            "deleted" => found.deleted = count,
            "events" => found.events = count,
            "applied" => found.applied = count,
            _ => {}
        }
    }
    Ok(hours)
}

/// From the speed of the last minutes.
fn estimate(connection: &Connection, now: Timestamp, waiting: i64) -> Result<Option<Duration>, LedgerError> {
    if waiting <= 0 {
        return Ok(None);
    }
    let (sent, first): (i64, Option<i64>) = connection
        .prepare_cached("SELECT count(*), min(sent_at) FROM orders WHERE sent_at >= ?1")?
        .query_row([millis(now - RECENT)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some(first) = first.filter(|_| sent >= RECENT_MIN) else {
        return Ok(None);
    };
    let took = u64::try_from(millis(now) - first).unwrap_or(0).max(1000);
    let millis = u128::from(took) * u128::from(waiting.unsigned_abs()) / u128::from(sent.unsigned_abs());
    Ok(Some(Duration::from_millis(
        u64::try_from(millis).unwrap_or(u64::MAX),
    )))
}

/// Brani has them, the shop has not, and nothing is under way about it. Two questions, each with an index of its own.
fn gone(connection: &Connection, now: Timestamp) -> Result<i64, LedgerError> {
    const AT_BRANI: &str =
        "state <> 'deleted' AND delete_wanted = 0 AND (known = 1 OR window_from IS NOT NULL)";
    let withdrawn = orders::count(connection, &format!("row_gone = 1 AND {AT_BRANI}"))?;
    let missing: i64 = connection
        .prepare_cached(&format!(
            "SELECT count(*) FROM orders INDEXED BY orders_missing
             WHERE missing_since IS NOT NULL AND missing_since <= ?1 AND row_gone = 0 AND {AT_BRANI}"
        ))?
        .query_row([millis(now - GONE_AFTER)], |row| row.get(0))?;
    Ok(withdrawn + missing)
}

fn resends_held(
    connection: &Connection,
    now: Timestamp,
    rules: &Rules,
    waiting: i64,
) -> Result<i64, LedgerError> {
    let too_many = waiting > i64::try_from(rules.resends_max).unwrap_or(i64::MAX);
    let approved = cursors::get_time(connection, name::RESENDS)?.is_some_and(|until| until >= now);
    Ok(if too_many && !approved { waiting } else { 0 })
}

fn deletes_held(
    connection: &Connection,
    now: Timestamp,
    rules: &Rules,
    gone: i64,
) -> Result<i64, LedgerError> {
    let candidates = match rules.delete_mode {
        DeleteMode::Off => return Ok(0),
        DeleteMode::Gone => gone,
        DeleteMode::Status => {
            let statuses = serde_json::to_string(&rules.delete_statuses).unwrap_or_else(|_| "[]".to_owned());
            connection.query_row(
                "SELECT count(*) FROM orders WHERE known = 1 AND state <> 'deleted' AND delete_wanted = 0
                 AND row_status IN (SELECT value FROM json_each(?1))",
                params![statuses],
                |row| row.get(0),
            )?
        }
    };
    let known = orders::count(connection, "known = 1 AND state <> 'deleted'")?;
    #[expect(clippy::cast_precision_loss, reason = "a share of a count of orders")]
    let share = known >= 100 && candidates as f64 > known as f64 * rules.deletes_share;
    let too_many = candidates > i64::try_from(rules.deletes_max).unwrap_or(i64::MAX);
    let approved = cursors::get_time(connection, name::DELETES)?.is_some_and(|until| until >= now);
    Ok(if (too_many || share) && !approved {
        candidates
    } else {
        0
    })
}

/// The state's name as the ledger writes it, with its count: for metrics.
pub fn by_state(orders: &Orders) -> [(&'static str, i64); 4] {
    [
        (State::Waiting.as_str(), orders.waiting),
        (State::Sent.as_str(), orders.sent),
        (State::Parked.as_str(), orders.parked),
        (State::Deleted.as_str(), orders.deleted),
    ]
}
