//! What is different: pure functions of a record, its mapping and what the ledger knows. No clock, no network.

use crate::context::Rules;
use crate::ledger::orders::{Entry, Lane, Mark, ParkedBy, State};
use crate::mapping::{Mapped, Problem};
use crate::source::{Record, Value};
use crate::status::Said;
use crate::types::{PayloadHash, RowHash, ShopStatus};
use jiff::{SignedDuration, Timestamp};

/// One record with everything that was found out about it.
#[derive(Debug)]
pub struct Look<'a> {
    /// The record.
    pub record: &'a Record,
    /// Its creation time, where it could be read at all.
    pub created: Option<Timestamp>,
    /// The order it maps to, or why it does not.
    pub mapped: Result<Mapped, Vec<Problem>>,
    /// Its raw hash.
    pub row_hash: RowHash,
    /// The mapping's fingerprint.
    pub fingerprint: i64,
    /// Brani has told events of it, although this ledger never sent it.
    pub heard_of: bool,
}

/// The moment of the look.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// This machine's time.
    pub now: Timestamp,
    /// The source's own time, for settling.
    pub source_now: Timestamp,
    /// Orders created earlier are never sent first.
    pub history: Timestamp,
    /// Orders created since go first.
    pub started: Timestamp,
}

/// Why an order that Brani does not have is not sent (yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Created before the first run's history.
    TooOld,
    /// Its status is not in `send_when`.
    Status,
    /// It has no items (shops write orders in pieces).
    NoItems,
    /// It changed a moment ago.
    Settling,
    /// It is withdrawn.
    Gone,
}

/// What follows from a look.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "made and taken apart at once, one a row"
)]
pub enum Verdict {
    /// Nothing to do with it; where the ledger knew it as waiting or parked, it is dropped.
    Wait(Wait),
    /// The code belongs to another order.
    Claimed,
    /// The ledger keeps this.
    Keep {
        /// The order as it now is.
        entry: Box<Entry>,
        /// What is wanted, to be kept; none leaves what is kept.
        payload: Option<Mapped>,
        /// What happened, for counts and log.
        news: News,
    },
}

/// What happened to an order at a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing Brani should hear of.
    Unchanged,
    /// Something is wanted that Brani does not have.
    Wanted,
    /// It cannot be mapped.
    Parked,
    /// It is withdrawn, and Brani has it.
    Withdrawn,
}

/// Whether a row needs no look: nothing of it has changed since the last one.
pub fn is_known(mark: &Mark, row_hash: RowHash, fingerprint: i64) -> bool {
    mark.row_hash == Some(row_hash)
        && mark.fingerprint == Some(fingerprint)
        && !mark.missing
        && mark.state != State::Deleted
}

/// Whether a new order is settled: unchanged for a while by the source's own clock. A row dated in the future
/// cannot be waited for.
fn is_settled(record: &Record, rules: &Rules, when: &When) -> bool {
    let Ok(settle) = SignedDuration::try_from(rules.settle) else {
        return true;
    };
    match record.changed {
        Some(changed) => {
            changed <= when.source_now - settle || changed > when.source_now + SignedDuration::from_secs(60)
        }
        None => true,
    }
}

/// Decides what follows from a look at a record.
pub fn look(known: Option<Entry>, look: Look<'_>, rules: &Rules, when: &When) -> Verdict {
    match known {
        Some(known) if known.maybe_at_brani() || known.state == State::Deleted => {
            at_brani(known, look, rules, when)
        }
        known => first(known, look, rules, when),
    }
}

/// Brani does not have it (as far as we know).
fn first(known: Option<Entry>, look: Look<'_>, rules: &Rules, when: &When) -> Verdict {
    let record = look.record;
    if let (Some(known), Some(created)) = (&known, look.created)
        && is_foreign(known, &look, created)
    {
        return Verdict::Claimed;
    }
    if record.gone {
        return Verdict::Wait(Wait::Gone);
    }
    if !rules.brings(record.status.as_ref()) && !look.heard_of {
        return Verdict::Wait(Wait::Status);
    }
    // What has no readable creation time is parked below, not taken for old.
    if look.created.is_some_and(|created| created < when.history) {
        return Verdict::Wait(Wait::TooOld);
    }
    // Of what cannot be read it is not known that it has none.
    if record.items.is_empty() && record.order.get("_problem").is_none_or(Value::is_empty) {
        return Verdict::Wait(Wait::NoItems);
    }
    if !is_settled(record, rules, when) {
        return Verdict::Wait(Wait::Settling);
    }
    let created = look.created.unwrap_or(when.now);
    let mut entry = known.unwrap_or_else(|| Entry::new(record.code.clone(), record.key.clone(), created));
    entry.created = created;
    seen(&mut entry, &look);
    match look.mapped {
        Ok(mapped) => {
            want(
                &mut entry,
                &mapped,
                if created >= when.started {
                    Lane::New
                } else {
                    Lane::Backlog
                },
            );
            Verdict::Keep {
                entry: Box::new(entry),
                payload: Some(mapped),
                news: News::Wanted,
            }
        }
        Err(problems) => {
            park(&mut entry, problems);
            Verdict::Keep {
                entry: Box::new(entry),
                payload: None,
                news: News::Parked,
            }
        }
    }
}

/// A code belongs to one key and creation time. The same key read with another mapping (another zone) is the same
/// order.
fn is_foreign(known: &Entry, look: &Look<'_>, created: Timestamp) -> bool {
    known.key != look.record.key
        || (known.created != created
            && known.fingerprint == Some(look.fingerprint)
            && known.row_hash.is_some())
}

/// What a record says of the status.
pub fn said(record: &Record, rules: &Rules) -> Said {
    Said {
        status: record.status.clone(),
        protected: record
            .status
            .as_ref()
            .is_some_and(|status| rules.protect.contains(status)),
        made: record.made,
    }
}

fn seen(entry: &mut Entry, look: &Look<'_>) {
    entry.row_hash = Some(look.row_hash);
    entry.fingerprint = Some(look.fingerprint);
    entry.row_status = look.record.status.clone();
    entry.missing_since = None;
    entry.row_gone = look.record.gone;
}

fn park(entry: &mut Entry, problems: Vec<Problem>) {
    entry.state = State::Parked;
    entry.parked_by = Some(ParkedBy::Mapping);
    entry.problems = problems;
    entry.attempts = 0;
    entry.failing_since = None;
}

fn unpark(entry: &mut Entry) {
    entry.problems = Vec::new();
    entry.parked_by = None;
}

fn want(entry: &mut Entry, mapped: &Mapped, lane: Lane) {
    if entry.state != State::Waiting || entry.wanted != Some(mapped.content) {
        // A newer payload is tried at once, whatever became of the older one.
        entry.due = Timestamp::UNIX_EPOCH;
        entry.attempts = 0;
        entry.failing_since = None;
        entry.lane = lane;
    }
    unpark(entry);
    entry.state = State::Waiting;
    entry.wanted = Some(mapped.content);
}

/// Whether the shop's status is news: neither what was agreed nor what we are writing.
pub fn is_shop_news(entry: &Entry, status: Option<&ShopStatus>) -> bool {
    entry.agreed.is_shop_news(status)
}

/// Brani has it, or may have it.
fn at_brani(known: Entry, look: Look<'_>, rules: &Rules, when: &When) -> Verdict {
    let record = look.record;
    if look
        .created
        .is_some_and(|created| is_foreign(&known, &look, created))
    {
        return Verdict::Claimed;
    }
    let mut entry = known;
    if entry.parked_by == Some(ParkedBy::Person) {
        return Verdict::Keep {
            entry: Box::new(entry),
            payload: None,
            news: News::Unchanged,
        };
    }
    // A row read by the same eyes and found the same: what differs is the mapping.
    let same_row = entry.row_hash == Some(look.row_hash);
    // A deleted order comes back when its row was away, or says something new: one that a person deleted, and whose
    // row stands as it stood, stays deleted.
    let was_away = entry.missing_since.is_some() || entry.row_gone;
    let comes_back = entry.state == State::Deleted && !record.gone && (was_away || !same_row);
    let status_before = entry.row_status.clone();
    let heeds = entry.agreed.heeds(&said(record, rules));
    if let Some(created) = look.created {
        entry.created = created;
    }
    seen(&mut entry, &look);
    if !heeds {
        entry.row_status.clone_from(&status_before);
    }
    if record.gone {
        let news = if entry.state == State::Deleted {
            News::Unchanged
        } else {
            News::Withdrawn
        };
        return Verdict::Keep {
            entry: Box::new(entry),
            payload: None,
            news,
        };
    }
    if entry.state == State::Deleted && !comes_back {
        // Perhaps to be deleted once more: that stays.
        return Verdict::Keep {
            entry: Box::new(entry),
            payload: None,
            news: News::Unchanged,
        };
    }
    let mapped = match look.mapped {
        Ok(mapped) => mapped,
        Err(problems) => {
            entry.delete_wanted = false;
            park(&mut entry, problems);
            return Verdict::Keep {
                entry: Box::new(entry),
                payload: None,
                news: News::Parked,
            };
        }
    };
    if comes_back {
        let says_the_same = entry.wanted == Some(mapped.content) && status_before == record.status;
        if !rules.brings(record.status.as_ref()) || (says_the_same && !was_away) {
            return Verdict::Keep {
                entry: Box::new(entry),
                payload: None,
                news: News::Unchanged,
            };
        }
        entry.delete_wanted = false;
        entry.sent = None;
        entry.agreed = crate::status::Agreed::default();
        want(
            &mut entry,
            &mapped,
            if mapped.created >= when.started {
                Lane::New
            } else {
                Lane::Backlog
            },
        );
        return Verdict::Keep {
            entry: Box::new(entry),
            payload: Some(mapped),
            news: News::Wanted,
        };
    }
    entry.delete_wanted = false;
    let differs = entry.sent != Some(mapped.content);
    let status_news = is_shop_news(&entry, entry.row_status.as_ref());
    let mapping_only = same_row && differs && !status_news && entry.state == State::Sent;
    if mapping_only
        && record
            .status
            .as_ref()
            .is_some_and(|status| rules.final_statuses.contains(status))
    {
        return Verdict::Keep {
            entry: Box::new(entry),
            payload: None,
            news: News::Unchanged,
        };
    }
    if differs || status_news || entry.agreed.owed || entry.fate_unknown() {
        want(
            &mut entry,
            &mapped,
            if mapping_only { Lane::Resend } else { Lane::Update },
        );
        return Verdict::Keep {
            entry: Box::new(entry),
            payload: Some(mapped),
            news: News::Wanted,
        };
    }
    // Back to what Brani has.
    unpark(&mut entry);
    entry.state = State::Sent;
    entry.wanted = Some(mapped.content);
    Verdict::Keep {
        entry: Box::new(entry),
        payload: None,
        news: News::Unchanged,
    }
}

/// The content that is wanted is what was just sent.
pub fn is_settled_by(entry: &Entry, sent: PayloadHash) -> bool {
    entry.wanted.is_none_or(|wanted| wanted == sent)
}
