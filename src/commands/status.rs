//! `status`: how everything stands, from the ledger; the daemon need not run.

use super::{Failure, Shell};
use crate::clock::{Clock, SystemClock};
use crate::context::Rules;
use crate::health::{self, Health};
use crate::ledger::holder;
use crate::visible;
use jiff::{SignedDuration, Timestamp};

pub(super) fn status(shell: &Shell) -> Result<u8, Failure> {
    let loaded = shell.load()?;
    let connection = shell.reader(&loaded)?;
    let now = SystemClock.now();
    let health = health::report_by(&connection, now, &Rules::from_config(&loaded.config))?;
    let daemon = holder(&loaded.ledger_path());
    if shell.out.json {
        let mut json = serde_json::to_value(&health).unwrap_or_default();
        if let Some(fields) = json.as_object_mut() {
            fields.insert("shop".into(), loaded.name.clone().into());
            fields.insert(
                "daemon_pid".into(),
                daemon.as_ref().map(|holder| holder.pid).into(),
            );
            fields.insert(
                "parked".into(),
                serde_json::to_value(&health.parked.first).unwrap_or_default(),
            );
            fields.insert(
                "claims".into(),
                serde_json::to_value(&health.claims.first).unwrap_or_default(),
            );
        }
        shell.out.json(&json);
        return Ok(0);
    }
    match &daemon {
        Some(holder) => shell
            .out
            .line(&format!("shop `{}`: {holder} works with the ledger", loaded.name)),
        None => shell
            .out
            .line(&format!("shop `{}`: the daemon does not run", loaded.name)),
    }
    print(shell, &health, now);
    Ok(0)
}

fn print(shell: &Shell, health: &Health, now: Timestamp) {
    let out = &shell.out;
    let totals = health.orders;
    out.line(&format!(
        "orders: {} sent, {} waiting, {} parked, {} deleted",
        totals.sent, totals.waiting, totals.parked, totals.deleted
    ));
    let lanes = health.waiting_by_lane;
    let lanes: Vec<String> = [
        (lanes.new, "new"),
        (lanes.update, "updates"),
        (lanes.backlog, "backlog"),
        (lanes.resend, "sent again"),
        (lanes.again, "sent and said once more in a few minutes"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, lane)| format!("{count} {lane}"))
    .collect();
    if !lanes.is_empty() {
        let left = health
            .estimate
            .and_then(|left| SignedDuration::try_from(left).ok());
        let left = left
            .map(|left| format!("; done in about {}", words(left)))
            .unwrap_or_default();
        out.line(&format!("waiting: {}{left}", lanes.join(", ")));
    }
    if health.resends_held > 0 {
        out.line(&format!(
            "held: a changed mapping would send {} orders again; `brani-sync orders resend --yes` lets them go",
            health.resends_held
        ));
    }
    if health.deletes_held > 0 {
        out.line(&format!(
            "held: {} orders would be deleted at once; `brani-sync orders delete --approve` lets them go",
            health.deletes_held
        ));
    }
    let ago = |at: Option<Timestamp>| {
        at.map_or("never".to_owned(), |at| {
            format!("{} ago", words(now.duration_since(at)))
        })
    };
    out.line(&format!(
        "last good poll {}, drain {}, sweep {}; last order sent {}",
        ago(health.last_poll),
        ago(health.last_drain),
        ago(health.last_sweep),
        ago(health.last_sent)
    ));
    let events: Vec<String> = health
        .events
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    if !events.is_empty() {
        out.line(&format!("events: {}", events.join(", ")));
    }
    for line in &health.parked.first {
        for problem in &line.problems {
            out.line(&format!(
                "parked `{}`: {problem}\n  hint: {}",
                visible::line(line.code.as_str()),
                problem.hint
            ));
        }
    }
    let more = health.parked.total - i64::try_from(health.parked.first.len()).unwrap_or(0);
    if more > 0 {
        out.line(&format!(
            "and {more} more parked; `brani-sync orders list --state parked`"
        ));
    }
    let beside = &health.extras;
    if beside.waiting + beside.sent + beside.parked + beside.missing_invoices + beside.parcels > 0 {
        out.line(&format!(
            "beside orders: {} sent, {} waiting, {} parked, {} invoices missing; {} parcels on their way",
            beside.sent, beside.waiting, beside.parked, beside.missing_invoices, beside.parcels
        ));
    }
    for extra in &beside.first {
        if let Some(problem) = &extra.problem {
            out.line(&format!(
                "parked {} of `{}`: {problem}\n  hint: {}",
                extra.kind,
                visible::line(extra.code.as_str()),
                problem.hint
            ));
        }
    }
    for claim in &health.claims.first {
        out.line(&format!(
            "order code `{}` is claimed by a second order (key `{}`), which is not sent",
            visible::line(claim.code.as_str()),
            visible::line(claim.key.as_str())
        ));
    }
    if health.gone > 0 {
        out.line(&format!(
            "{} orders that Brani has are gone from the shop",
            health.gone
        ));
    }
    if health.stuck > 0 {
        out.line(&format!(
            "{} events are stuck; `brani-sync events list --stuck`",
            health.stuck
        ));
    }
}

/// A span in words.
fn words(span: SignedDuration) -> String {
    match span.as_secs().max(0) {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
