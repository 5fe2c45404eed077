//! One order's whole story in plain words, English or Czech: for `explain CODE` and the admin page.
//!
//! Told from the ledger, with what a look into the shop found where somebody took one. No personal data: codes,
//! statuses, fields, parcel numbers, and values that the mapping may tell. How it is laid out is the caller's.

mod czech;
mod plain;
mod words;

use crate::health::{self, Claim, Whose};
use crate::ledger::cursors::{self, name};
use crate::ledger::extras::{self, Extra};
use crate::ledger::orders::{self, Entry, Lane, ParkedBy, State};
use crate::ledger::{LedgerError, inbox};
use crate::mapping::Problem;
use crate::mapping::extras::Kind;
use crate::outbound::extras::Parcel;
use crate::types::{OrderCode, ShopKey, ShopStatus, StatusId};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, params};
use serde::Serialize;

pub(crate) use plain::{distance, length, moment, pick, problem, whose};
pub use words::Section;

/// Events that are told one by one, the newest ones.
pub const EVENTS_MAX: usize = 200;
/// Codes that a search finds.
pub const FOUND_MAX: usize = 50;
/// The longest ending that is searched for, in bytes: no code is longer.
const ENDING_MAX: usize = 255;

/// One order's story.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The order.
    pub code: OrderCode,
    /// When this was read.
    pub at: Timestamp,
    /// What the ledger has of it.
    pub order: Option<Story>,
    /// A person told us to forget it.
    pub forgotten: bool,
    /// Orders created earlier are never sent first.
    pub history: Option<Timestamp>,
    /// Brani's events, in order; the newest [`EVENTS_MAX`].
    pub events: Vec<Told>,
    /// How many earlier events are not listed.
    pub events_left_out: usize,
    /// Other orders of the shop that claim the code.
    pub claims: Vec<Claim>,
    /// What stands beside the order.
    pub extras: Vec<Beside>,
    /// What a look into the shop found, where one was taken.
    pub live: Option<Live>,
    /// What Brani says was picked for it, where it was asked: undocumented inside.
    pub picked: Option<Picked>,
    /// The zone that its times are told in.
    #[serde(skip)]
    pub zone: TimeZone,
}

/// What the ledger has of an order.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// Where it stands.
    pub state: State,
    /// The shop's id.
    pub key: ShopKey,
    /// When it was created.
    pub created: Timestamp,
    /// Brani has it: a request was answered with success.
    pub at_brani: bool,
    /// Last success.
    pub sent_at: Option<Timestamp>,
    /// Last answer in one line.
    pub answer: Option<String>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// Since when they fail.
    pub failing_since: Option<Timestamp>,
    /// When it is tried next; none where it does not wait.
    pub next_attempt: Option<Timestamp>,
    /// What it waits behind: `new`, `update`, `backlog`, `resend`.
    pub lane: &'static str,
    /// A request of ours may still be on its way.
    pub unanswered: bool,
    /// Who parked it.
    pub parked_by: Option<ParkedBy>,
    /// Why it is parked.
    pub problems: Vec<Problem>,
    /// Whose that is to mend.
    pub owner: Option<Whose>,
    /// The shop's status as last read.
    pub row_status: Option<ShopStatus>,
    /// The shop's status as last agreed.
    pub shop_status: Option<ShopStatus>,
    /// Brani's status as last agreed.
    pub brani_status: Option<StatusId>,
    /// A write into the shop was begun with this status.
    pub writing: Option<ShopStatus>,
    /// Brani must hear its own status again.
    pub owed: bool,
    /// A request left, and no drain since has been read.
    pub unconfirmed: bool,
    /// First look-up that did not find its row.
    pub missing_since: Option<Timestamp>,
    /// The shop says that it is withdrawn.
    pub row_gone: bool,
    /// It is to be deleted at Brani.
    pub delete_wanted: bool,
}

/// One event and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// Brani's id.
    pub id: i64,
    /// Its type.
    pub kind: String,
    /// When Brani made it.
    pub at: Timestamp,
    /// `status_change`.
    pub status: Option<StatusId>,
    /// `package_number`.
    pub package_number: Option<String>,
    /// What became of it.
    pub state: String,
    /// Why.
    pub reason: Option<String>,
    /// Failed attempts.
    pub attempts: u32,
    /// When it is tried next, where it waits.
    pub next_attempt: Option<Timestamp>,
}

/// One thing beside the order.
#[derive(Clone, Debug, Serialize)]
pub struct Beside {
    /// `priority`, `ordering`, `tags`, `customs`, `attributes`, `invoice`, `remark`, `tracking`.
    pub kind: Kind,
    /// Where it stands.
    pub state: extras::State,
    /// Brani has something of it.
    pub at_brani: bool,
    /// Last success.
    pub done: Option<Timestamp>,
    /// When it is tried, looked at or asked for next.
    pub next: Option<Timestamp>,
    /// Failed attempts in a row.
    pub attempts: u32,
    /// Why it is parked.
    pub problem: Option<Problem>,
    /// Warnings of the last answer, or the last failure.
    pub note: Option<String>,
    /// Where the parcel is.
    pub parcel: Option<Parcel>,
}

impl From<Extra> for Beside {
    fn from(extra: Extra) -> Self {
        Self {
            parcel: (extra.kind == Kind::Tracking)
                .then(|| Parcel::of(&extra))
                .flatten(),
            kind: extra.kind,
            state: extra.state,
            at_brani: extra.sent.is_some(),
            done: extra.done,
            next: extra.due,
            attempts: extra.attempts,
            problem: extra.problem,
            note: extra.note,
        }
    }
}

/// What was picked, or why that is not known.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Picked {
    /// As Brani tells it.
    Items(Vec<serde_json::Value>),
    /// Why Brani could not be asked.
    Unknown(String),
}

/// What a look into the shop found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Live {
    /// The order is in the shop; none where the shop could not be asked.
    pub in_shop: Option<bool>,
    /// Why it is not sent, in one sentence.
    pub why_not_sent: Option<String>,
    /// Fields whose value differs from what was sent.
    pub differing_fields: Vec<String>,
}

impl From<&Entry> for Story {
    fn from(entry: &Entry) -> Self {
        Self {
            state: entry.state,
            key: entry.key.clone(),
            created: entry.created,
            at_brani: entry.agreed.known,
            sent_at: entry.sent_at,
            answer: entry.answer.clone(),
            attempts: entry.attempts,
            failing_since: entry.failing_since,
            next_attempt: (entry.state == State::Waiting).then_some(entry.due),
            lane: match entry.lane {
                Lane::New => "new",
                Lane::Update => "update",
                Lane::Backlog => "backlog",
                Lane::Resend => "resend",
            },
            unanswered: entry.unanswered,
            parked_by: entry.parked_by,
            problems: entry.problems.clone(),
            owner: (entry.state == State::Parked).then(|| health::whose(entry.parked_by, &entry.problems)),
            row_status: entry.row_status.clone(),
            shop_status: entry.agreed.shop.clone(),
            brani_status: entry.agreed.brani,
            writing: entry.agreed.writing.clone(),
            owed: entry.agreed.owed,
            unconfirmed: entry.agreed.unconfirmed,
            missing_since: entry.missing_since,
            row_gone: entry.row_gone,
            delete_wanted: entry.delete_wanted,
        }
    }
}

/// Everything that the ledger knows of one order.
///
/// # Errors
/// SQLite's.
pub fn explain(
    connection: &Connection,
    code: &OrderCode,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Explanation, LedgerError> {
    let order = orders::get(connection, code)?;
    let mut events = inbox::of(connection, code)?;
    let events_left_out = events.len().saturating_sub(EVENTS_MAX);
    events.drain(..events_left_out);
    let events = events
        .into_iter()
        .map(|event| Told {
            id: event.id.0,
            next_attempt: matches!(event.state.as_str(), "new" | "stuck").then_some(event.due),
            kind: event.kind,
            at: event.at,
            status: event.status,
            package_number: event.package_number,
            state: event.state,
            reason: event.reason,
            attempts: event.attempts,
        })
        .collect();
    Ok(Explanation {
        code: code.clone(),
        at: now,
        order: order.as_ref().map(Story::from),
        forgotten: orders::is_buried(connection, code)?,
        history: cursors::get_time(connection, name::HISTORY)?,
        events,
        events_left_out,
        claims: health::claims_of(connection, code)?,
        extras: extras::of(connection, code)?
            .into_iter()
            .map(Beside::from)
            .collect(),
        live: None,
        picked: None,
        zone: zone.clone(),
    })
}

impl Explanation {
    /// Nothing at all is known of such a code.
    pub fn is_unknown(&self) -> bool {
        self.order.is_none() && self.events.is_empty() && self.claims.is_empty() && !self.forgotten
    }
}

/// Codes that end so: the code itself first, then the newest. At most [`FOUND_MAX`].
///
/// # Errors
/// SQLite's.
pub fn find(connection: &Connection, ending: &str) -> Result<Vec<OrderCode>, LedgerError> {
    let ending = ending.trim();
    if ending.is_empty() || ending.len() > ENDING_MAX {
        return Ok(Vec::new());
    }
    let mut pattern = String::from("%");
    for letter in ending.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    // An event of an order that the ledger does not hold tells of its code too.
    let mut statement = connection.prepare_cached(
        "SELECT code FROM (
             SELECT code, created AS at FROM orders WHERE code LIKE ?1 ESCAPE '\\'
             UNION ALL
             SELECT code, max(at) FROM events WHERE code LIKE ?1 ESCAPE '\\'
                 AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.code = events.code) GROUP BY code
         ) ORDER BY code = ?2 DESC, at DESC, code LIMIT ?3",
    )?;
    let limit = i64::try_from(FOUND_MAX).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![pattern, ending, limit], |row| row.get(0).map(OrderCode))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}
