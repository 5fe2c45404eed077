//! `events …`: Brani's events, and the two things a person may decide about one.

use super::ring::ring_if_running;
use super::{Failure, Shell, block_on};
use crate::cli;
use crate::clock::{Clock, SystemClock};
use crate::ledger::inbox::{self, Event};
use crate::types::{EventId, OrderCode};
use jiff::Timestamp;

pub(super) fn events(shell: &Shell, command: cli::Events) -> Result<u8, Failure> {
    let loaded = shell.load()?;
    match command {
        cli::Events::List { stuck, order, limit } => {
            let connection = shell.reader(&loaded)?;
            let events = match (order, stuck) {
                (Some(code), stuck) => inbox::of(&connection, &OrderCode(code))?
                    .into_iter()
                    .filter(|event| !stuck || event.state == "stuck")
                    .take(limit)
                    .collect(),
                (None, true) => inbox::select(&connection, "state = 'stuck' ORDER BY id", limit)?,
                (None, false) => inbox::select(&connection, "1 ORDER BY id DESC", limit)?,
            };
            list(shell, &events);
            Ok(0)
        }
        cli::Events::Retry { ids } => {
            let ledger = shell.ledger_beside(&loaded)?;
            let asked = ids.len();
            let changed = block_on(async {
                Ok(ledger
                    .write(move |connection| {
                        let mut changed = 0;
                        for event in inbox::select(connection, "state IN ('stuck', 'new')", 1_000_000)? {
                            let wanted = if ids.is_empty() {
                                event.state == "stuck"
                            } else {
                                ids.contains(&event.id.0)
                            };
                            if wanted {
                                inbox::postpone(
                                    connection,
                                    &event,
                                    "new",
                                    0,
                                    Timestamp::UNIX_EPOCH,
                                    "tried again by hand",
                                )?;
                                changed += 1;
                            }
                        }
                        Ok(changed)
                    })
                    .await?)
            })?;
            ring_if_running(&loaded);
            shell.out.done(
                &format!("{changed} events are tried again at the next pass"),
                &serde_json::json!({"changed": changed}),
            );
            Ok(u8::from(changed < asked))
        }
        cli::Events::Skip { ids } => {
            let ledger = shell.ledger_beside(&loaded)?;
            let now = SystemClock.now();
            let asked = ids.len();
            let changed = block_on(async {
                Ok(ledger
                    .write(move |connection| {
                        let mut changed = 0;
                        for event in inbox::select(connection, "state IN ('stuck', 'new')", 1_000_000)? {
                            if ids.contains(&event.id.0) {
                                let id = EventId(event.id.0);
                                inbox::finish(
                                    connection,
                                    id,
                                    event.general,
                                    "skipped",
                                    Some("dropped by hand"),
                                    now,
                                )?;
                                changed += 1;
                            }
                        }
                        Ok(changed)
                    })
                    .await?)
            })?;
            ring_if_running(&loaded);
            shell.out.done(
                &format!("{changed} of {asked} events are dropped"),
                &serde_json::json!({"changed": changed, "asked": asked}),
            );
            Ok(u8::from(changed != asked))
        }
    }
}

fn list(shell: &Shell, events: &[Event]) {
    if shell.out.json {
        let rows: Vec<_> = events
            .iter()
            .map(|event| {
                serde_json::json!({
                    "id": event.id, "type": event.kind, "code": event.code, "created": event.creation,
                    "status_id": event.status, "state": event.state, "attempts": event.attempts,
                    "reason": event.reason, "webhook_id": event.webhook,
                })
            })
            .collect();
        shell.out.json(&rows);
        return;
    }
    let rows = events
        .iter()
        .map(|event| {
            vec![
                event.id.to_string(),
                event.creation.clone(),
                event.kind.clone(),
                event.code.as_ref().map_or(String::new(), ToString::to_string),
                event.status.map_or(String::new(), |id| id.to_string()),
                event.state.clone(),
                event.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    shell.out.table(
        &["id", "created", "type", "order", "status", "state", "why"],
        rows,
    );
}
