//! `orders …`: listing them, and the few things a person may decide.
//!
//! A change is one transaction beside a running daemon, which is rung afterwards.

use super::ring::ring_if_running;
use super::{Failure, Shell, block_on};
use crate::cli;
use crate::clock::{Clock, SystemClock};
use crate::config::Loaded;
use crate::ledger::LedgerError;
use crate::ledger::cursors::{self, name};
use crate::ledger::extras;
use crate::ledger::orders::{self, Entry, Lane, ParkedBy, State};
use crate::types::OrderCode;
use crate::visible;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

pub(super) fn orders(shell: &Shell, command: cli::Orders) -> Result<u8, Failure> {
    let loaded = shell.load()?;
    match command {
        cli::Orders::List { state, limit } => list(shell, &loaded, state.as_deref(), limit),
        cli::Orders::Retry(which) if which.codes.is_empty() && !which.all => {
            Err(Failure::new(64, "say which orders").hint("give order codes, or --all for all parked orders"))
        }
        cli::Orders::Retry(which) => {
            let codes = match which.all {
                true => {
                    let reader = shell.reader(&loaded)?;
                    let mut codes = parked(&reader)?;
                    codes.extend(
                        extras::parked(&reader, 1_000_000)?
                            .into_iter()
                            .map(|extra| extra.code),
                    );
                    codes.sort();
                    codes.dedup();
                    codes
                }
                false => codes(which.codes),
            };
            change(shell, &loaded, codes, "looked at again", |entry, connection| {
                // What stands beside the order, too; should that fail, the sweep does it.
                let _ = extras::retry(connection, Some(&entry.code));
                // Without its hash the row is met as new at the next look.
                entry.row_hash = None;
                entry.attempts = 0;
                entry.failing_since = None;
                entry.due = Timestamp::UNIX_EPOCH;
                if entry.parked_by == Some(ParkedBy::Person) {
                    entry.parked_by = Some(ParkedBy::Mapping);
                }
                true
            })
        }
        cli::Orders::Resend { codes: list, yes } if list.is_empty() => {
            approve(shell, &loaded, yes, name::RESENDS, "orders resend --yes")
        }
        cli::Orders::Resend { codes: list, .. } => {
            change(shell, &loaded, codes(list), "sent again", |entry, _| {
                if !entry.agreed.known || entry.state == State::Deleted {
                    return false;
                }
                entry.state = State::Waiting;
                entry.lane = Lane::Update;
                entry.agreed.owed = true;
                entry.due = Timestamp::UNIX_EPOCH;
                entry.problems = Vec::new();
                entry.parked_by = None;
                true
            })
        }
        cli::Orders::Delete {
            codes: list,
            approve: yes,
        } if list.is_empty() => approve(shell, &loaded, yes, name::DELETES, "orders delete --approve"),
        cli::Orders::Delete { codes: list, .. } => {
            change(shell, &loaded, codes(list), "deleted at Brani", |entry, _| {
                entry.delete_wanted = entry.state != State::Deleted;
                // At once, whatever failed before.
                entry.attempts = 0;
                entry.delete_wanted
            })
        }
        cli::Orders::Ignore { codes: list } => {
            change(shell, &loaded, codes(list), "left alone", |entry, _| {
                entry.state = State::Parked;
                entry.parked_by = Some(ParkedBy::Person);
                entry.problems = Vec::new();
                true
            })
        }
        cli::Orders::Adopt { codes: list } => adopt(shell, &loaded, codes(list)),
    }
}

fn codes(list: Vec<String>) -> Vec<OrderCode> {
    list.into_iter().map(OrderCode).collect()
}

fn parked(connection: &Connection) -> Result<Vec<OrderCode>, Failure> {
    Ok(orders::select(connection, "state = 'parked'", 1_000_000)?
        .into_iter()
        .map(|entry| entry.code)
        .collect())
}

fn list(shell: &Shell, loaded: &Loaded, state: Option<&str>, limit: usize) -> Result<u8, Failure> {
    let condition = match state {
        None => "state IN ('waiting', 'parked') ORDER BY created DESC",
        Some("waiting") => "state = 'waiting' ORDER BY created DESC",
        Some("sent") => "state = 'sent' ORDER BY created DESC",
        Some("parked") => "state = 'parked' ORDER BY created DESC",
        Some("deleted") => "state = 'deleted' ORDER BY created DESC",
        Some("all") => "1 ORDER BY created DESC",
        Some(other) => {
            return Err(Failure::new(64, format!("`{other}` is no state"))
                .hint("one of waiting, sent, parked, deleted, all"));
        }
    };
    let entries = orders::select(&shell.reader(loaded)?, condition, limit)?;
    if shell.out.json {
        let rows: Vec<_> = entries.iter().map(json).collect();
        shell.out.json(&rows);
        return Ok(0);
    }
    let zone = &loaded.config.shop.timezone;
    let rows = entries
        .iter()
        .map(|entry| {
            let why: Vec<String> = entry.problems.iter().map(ToString::to_string).collect();
            vec![
                entry.code.to_string(),
                entry.state.as_str().to_owned(),
                entry
                    .created
                    .to_zoned(zone.clone())
                    .strftime("%Y-%m-%d %H:%M")
                    .to_string(),
                entry
                    .row_status
                    .as_ref()
                    .map_or(String::new(), ToString::to_string),
                entry.agreed.brani.map_or(String::new(), |id| id.to_string()),
                if why.is_empty() {
                    entry.answer.clone().unwrap_or_default()
                } else {
                    why.join("; ")
                },
            ]
        })
        .collect();
    shell.out.table(
        &["code", "state", "created", "shop status", "Brani status", "why"],
        rows,
    );
    Ok(0)
}

/// An order as the listings promise it.
fn json(entry: &Entry) -> serde_json::Value {
    serde_json::json!({
        "code": entry.code,
        "key": entry.key,
        "state": entry.state.as_str(),
        "created": entry.created,
        "at_brani": entry.agreed.known,
        "shop_status": entry.row_status,
        "brani_status": entry.agreed.brani,
        "sent_at": entry.sent_at,
        "answer": entry.answer,
        "attempts": entry.attempts,
        "next_attempt": (entry.state == State::Waiting && entry.due > Timestamp::UNIX_EPOCH).then_some(entry.due),
        "problems": entry.problems,
        "parked_by": entry.parked_by,
        "missing_since": entry.missing_since,
    })
}

/// Changes orders one by one in one transaction; codes that the ledger does not know are named.
fn change(
    shell: &Shell,
    loaded: &Loaded,
    codes: Vec<OrderCode>,
    done: &str,
    how: impl Fn(&mut Entry, &Connection) -> bool + Send + 'static,
) -> Result<u8, Failure> {
    let ledger = shell.ledger_beside(loaded)?;
    let asked = codes.clone();
    let changed: Vec<OrderCode> = block_on(async {
        Ok(ledger
            .write(move |connection| {
                let mut changed = Vec::new();
                for code in codes {
                    if let Some(mut entry) = orders::get(connection, &code)?
                        && how(&mut entry, connection)
                    {
                        orders::put(connection, &entry)?;
                        changed.push(code);
                    }
                }
                Ok(changed)
            })
            .await?)
    })?;
    // A daemon that runs does it now; a sweep meets rows that changed long ago.
    ring_if_running(loaded);
    let missing: Vec<_> = asked.iter().filter(|code| !changed.contains(code)).collect();
    if shell.out.json {
        shell
            .out
            .json(&serde_json::json!({"changed": changed, "not_changed": missing}));
    } else {
        for code in &changed {
            shell.out.line(&format!(
                "order `{}` is {done} at the next pass",
                visible::line(code.as_str())
            ));
        }
        for code in &missing {
            shell.out.note(&format!(
                "order `{}`: the ledger does not know it, or it is not in a state for this",
                visible::line(code.as_str())
            ));
        }
    }
    Ok(u8::from(!missing.is_empty()))
}

fn approve(
    shell: &Shell,
    loaded: &Loaded,
    yes: bool,
    fact: &'static str,
    command: &str,
) -> Result<u8, Failure> {
    if !yes {
        return Err(Failure::new(64, "give order codes, or approve what is held")
            .hint(format!("brani-sync {command}")));
    }
    let ledger = shell.ledger_beside(loaded)?;
    let until = SystemClock.now() + SignedDuration::from_hours(24);
    block_on(async {
        Ok(ledger
            .write(move |connection| cursors::set_time(connection, fact, until))
            .await?)
    })?;
    ring_if_running(loaded);
    shell.out.done(
        "approved for the next 24 hours",
        &serde_json::json!({"approved_until": until}),
    );
    Ok(0)
}

/// The second claimant of a code becomes its owner: the next look at its row begins anew.
fn adopt(shell: &Shell, loaded: &Loaded, codes: Vec<OrderCode>) -> Result<u8, Failure> {
    let ledger = shell.ledger_beside(loaded)?;
    let asked = codes.clone();
    let adopted: Vec<OrderCode> = block_on(async {
        Ok(ledger
            .write(move |connection| {
                let claims = orders::claims(connection)?;
                let mut adopted = Vec::new();
                for code in codes {
                    let newest = claims
                        .iter()
                        .filter(|(claimed, ..)| *claimed == code)
                        .max_by_key(|(.., at)| *at);
                    let (Some((_, key, created)), Some(mut entry)) =
                        (newest, orders::get(connection, &code)?)
                    else {
                        continue;
                    };
                    entry.key = key.clone();
                    entry.created = *created;
                    entry.row_hash = None;
                    entry.missing_since = None;
                    orders::put(connection, &entry)?;
                    connection
                        .execute("DELETE FROM claims WHERE code = ?1", [code.as_str()])
                        .map_err(LedgerError::from)?;
                    adopted.push(code);
                }
                Ok(adopted)
            })
            .await?)
    })?;
    ring_if_running(loaded);
    let unclaimed: Vec<_> = asked.iter().filter(|code| !adopted.contains(code)).collect();
    if shell.out.json {
        shell
            .out
            .json(&serde_json::json!({"changed": adopted, "not_changed": unclaimed}));
        return Ok(u8::from(!unclaimed.is_empty()));
    }
    for code in &adopted {
        shell.out.line(&format!("order code `{code}` belongs to the newcomer now; it is sent at the next sweep, or `brani-sync sync --sweep`"));
    }
    for code in &unclaimed {
        shell.out.note(&format!("nobody else claims order code `{code}`"));
    }
    Ok(u8::from(!unclaimed.is_empty()))
}
