//! Looking at everything again, and what is gone.
//!
//! A sweep reads everything within `sweep_back`: late commits with old timestamps, items changed without touching
//! their order. Orders whose row is missing in the look-up twice, far apart, or that came back withdrawn, follow
//! `deletes.mode`, with guards: absence from a window or an export never means gone.

use super::poll::{self, Report};
use super::send::{SAY_AGAIN, Sender, jitter};
use super::weather::backoff;
use crate::clock::later;
use crate::config::DeleteMode;
use crate::context::{Context, PassError, some_codes};
use crate::ledger::cursors::{self, name};
use crate::ledger::inbox;
use crate::ledger::orders::{self, Entry, State};
use crate::source::Listed;
use crate::trouble::Weight;
use crate::types::OrderCode;
use jiff::SignedDuration;
use std::collections::BTreeSet;

/// Two look-ups that miss a row must be this far apart.
const APART: SignedDuration = SignedDuration::from_hours(20);

/// Reads everything again, looks for what is gone, and tries again what Brani refused.
///
/// # Errors
/// See [`PassError`].
pub async fn sweep(context: &Context) -> Result<Report, PassError> {
    let mut report = poll::read_all(context).await?;
    if context.dry_run {
        return Ok(report);
    }
    let parked = poll::parked_codes(context).await?;
    retry_refused(context).await?;
    let again = poll::look_again(context, &parked).await?;
    report.unparked += again.unparked;
    report.extras = true;
    let looked = look_for_gone(context, report.listed.take().as_ref()).await?;
    plan_deletes(context, looked).await?;
    let now = context.now();
    context
        .ledger
        .write(move |connection| cursors::set_time(connection, name::LAST_SWEEP, now))
        .await?;
    Ok(report)
}

/// What Brani refused is tried again at each sweep: the row's hash is forgotten, so that the look wants it again.
async fn retry_refused(context: &Context) -> Result<(), PassError> {
    context
        .ledger
        .write(|connection| {
            connection.execute(
                "UPDATE orders SET row_hash = NULL WHERE state = 'parked' AND parked_by IN ('brani', 'mapping')",
                [],
            )?;
            crate::ledger::extras::retry(connection, None)?;
            Ok(())
        })
        .await?;
    Ok(())
}

/// Looks for every known order, batch by batch: a live shop is asked for it, an export must have listed all it has.
/// False where nobody can tell.
async fn look_for_gone(context: &Context, listed: Option<&Listed>) -> Result<bool, PassError> {
    if !context.source.is_live() && listed.is_none() {
        return Ok(false);
    }
    let now = context.now();
    let back = now - SignedDuration::try_from(context.rules.sweep_back).unwrap_or_default();
    let mut after = OrderCode(String::new());
    loop {
        context.bells.sweep.step();
        let (from, limit) = (after.clone(), context.rules.batch.max(1));
        let entries: Vec<Entry> = context
            .ledger
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT code FROM orders WHERE code > ?1 AND state IN ('sent', 'waiting', 'parked')
                     AND created >= ?2 ORDER BY code LIMIT ?3",
                )?;
                let codes: Vec<OrderCode> = statement
                    .query_map(
                        rusqlite::params![from.as_str(), crate::ledger::millis(back), limit as i64],
                        |row| row.get(0).map(OrderCode),
                    )?
                    .collect::<Result<_, _>>()?;
                Ok(orders::get_many(connection, &codes)?
                    .into_iter()
                    .flatten()
                    .collect())
            })
            .await?;
        let Some(last) = entries.last() else {
            return Ok(true);
        };
        after = last.code.clone();
        let codes: Vec<OrderCode> = entries.iter().map(|entry| entry.code.clone()).collect();
        let missing: Vec<OrderCode> = match listed {
            Some(listed) => codes.into_iter().filter(|code| !listed.has(code)).collect(),
            None => {
                let found: BTreeSet<(OrderCode, String)> = context
                    .source
                    .lookup(&codes)
                    .await?
                    .into_iter()
                    .map(|record| (record.code, record.key.0))
                    .collect();
                entries
                    .iter()
                    .filter(|entry| !found.contains(&(entry.code.clone(), entry.key.0.clone())))
                    .map(|entry| entry.code.clone())
                    .collect()
            }
        };
        let back_again: Vec<OrderCode> = entries
            .iter()
            .filter(|entry| entry.missing_since.is_some() && !missing.contains(&entry.code))
            .map(|entry| entry.code.clone())
            .collect();
        let met_again = context
            .ledger
            .write(move |connection| {
                let mut met_again = 0;
                for code in &missing {
                    if let Some(mut entry) = orders::get(connection, code)? {
                        entry.missing_since.get_or_insert(now);
                        if !entry.maybe_at_brani()
                            && now.duration_since(entry.missing_since.unwrap_or(now)) >= APART
                        {
                            orders::remove(connection, code)?;
                            continue;
                        }
                        orders::put(connection, &entry)?;
                    }
                }
                for code in &back_again {
                    if let Some(mut entry) = orders::get(connection, code)? {
                        entry.missing_since = None;
                        entry.delete_wanted = false;
                        orders::put(connection, &entry)?;
                        met_again += inbox::meet_again(connection, code)?;
                    }
                }
                Ok(met_again)
            })
            .await?;
        if met_again > 0 {
            context.bells.apply.ring();
        }
        // Polls go between the batches.
        tokio::task::yield_now().await;
    }
}

/// Decides what is deleted at Brani, within the guards. `looked`: what is missing was looked for a moment ago, and what
/// was missing before and is there again is not missing any more.
///
/// # Errors
/// The ledger's.
pub async fn plan_deletes(context: &Context, looked: bool) -> Result<(), PassError> {
    let mode = context.rules.delete_mode;
    let now = context.now();
    let statuses = context.rules.delete_statuses.clone();
    let (codes, unlooked, known, approved) = context
        .ledger
        .read(move |connection| {
            let known = orders::count(connection, "known = 1 AND state <> 'deleted'")?;
            let approved = cursors::get_time(connection, name::DELETES)?;
            let condition = match mode {
                DeleteMode::Off => "missing_since IS NOT NULL AND state <> 'deleted'",
                DeleteMode::Gone => "(missing_since IS NOT NULL OR row_gone = 1) AND state <> 'deleted'",
                DeleteMode::Status => "known = 1 AND state <> 'deleted'",
            };
            let mut codes: Vec<OrderCode> = Vec::new();
            // missing when it was last looked for, and that was some time ago
            let mut unlooked = 0_u64;
            // One by one: there may be a million, and few of them are gone.
            orders::for_each(connection, condition, |entry| {
                let gone = match mode {
                    DeleteMode::Status => entry
                        .row_status
                        .as_ref()
                        .is_some_and(|status| statuses.contains(status)),
                    _ => {
                        let missing = entry
                            .missing_since
                            .is_some_and(|since| now.duration_since(since) >= APART);
                        unlooked += u64::from(missing && !looked);
                        entry.row_gone || missing && looked
                    }
                };
                if gone && entry.maybe_at_brani() {
                    codes.push(entry.code);
                }
            })?;
            Ok((codes, unlooked, known, approved))
        })
        .await?;
    if codes.is_empty() {
        if unlooked == 0 {
            context
                .troubles
                .end("delete.held", "No deletes are held any more", now);
        }
        return Ok(());
    }
    if mode == DeleteMode::Off {
        tracing::error!(
            event = "order.gone",
            orders = codes.len(),
            hint = "delete them with `brani-sync orders delete CODE`, or set `deletes.mode`",
            "Orders that Brani has are gone from the shop, and the packer would pack them: {}",
            some_codes(&codes)
        );
        return Ok(());
    }
    let count = u64::try_from(codes.len()).unwrap_or(u64::MAX);
    #[expect(clippy::cast_precision_loss, reason = "a share of a count of orders")]
    let share = known >= 100 && count as f64 > known as f64 * context.rules.deletes_share;
    let approved = approved.is_some_and(|until| until >= now);
    if (count > context.rules.deletes_max || share) && !approved {
        context.troubles.begin(
            "delete.held",
            Weight::Error,
            &format!("{count} of {known} orders would be deleted at Brani at once; none is"),
            "if that is right: `brani-sync orders delete --approve`; if not, look at the orders query",
            now,
        );
        return Ok(());
    }
    if unlooked == 0 {
        context.troubles.end("delete.held", "Deletes go on", now);
    }
    context
        .ledger
        .write(move |connection| {
            for code in &codes {
                if let Some(mut entry) = orders::get(connection, code)?.filter(|entry| !entry.delete_wanted) {
                    entry.delete_wanted = true;
                    // What failed before was another request.
                    entry.attempts = 0;
                    orders::put(connection, &entry)?;
                }
            }
            Ok(())
        })
        .await?;
    context.bells.send.ring();
    Ok(())
}

/// Deletes at Brani what is to be deleted. False where the flow must be asked again first.
///
/// An order whose request may still be on its way is deleted once more when that must have landed: it would stand there
/// again, and be packed.
pub(super) async fn delete_wanted(
    context: &Context,
    sender: &Sender,
    limit: usize,
    report: &mut super::send::Report,
) -> Result<bool, PassError> {
    let now = context.now();
    let entries = context
        .ledger
        .read(move |connection| orders::to_delete(connection, now, limit))
        .await?;
    for entry in entries {
        let Some(_guard) = context.locks.try_lock(&entry.code) else {
            continue;
        };
        // Kept before it leaves, as with every request: whatever comes, this order is not taken for one that stands there.
        let open_before = entry.fate_unknown();
        let code = entry.code.clone();
        let still_wanted = context
            .ledger
            .write(move |connection| {
                let Some(mut entry) = orders::get(connection, &code)?.filter(|entry| entry.delete_wanted)
                else {
                    return Ok(false);
                };
                entry.unanswered = true;
                orders::put(connection, &entry)?;
                Ok(true)
            })
            .await?;
        if !still_wanted {
            continue;
        }
        let result = context.service.delete(&entry.code).await;
        sender.observe(context, &entry.code, &result);
        let now = context.now();
        let failed = result.is_err();
        let refused = match &result {
            Err(
                error @ (crate::brani::Error::Rejected { .. }
                | crate::brani::Error::Refused { .. }
                | crate::brani::Error::NotFound),
            ) => Some(error.to_string()),
            _ => None,
        };
        let code = entry.code.clone();
        context
            .ledger
            .write(move |connection| {
                let Some(mut entry) = orders::get(connection, &code)? else {
                    return Ok(());
                };
                match result {
                    Ok(()) => {
                        entry.unanswered = false;
                        entry.say_again = if open_before {
                            Some(later(now, SAY_AGAIN))
                        } else {
                            entry.say_again.filter(|at| now < *at)
                        };
                        entry.delete_wanted = entry.say_again.is_some();
                        if entry.state != State::Deleted {
                            cursors::count(connection, now, "deleted", 1)?;
                        }
                        entry.state = State::Deleted;
                        entry.agreed = crate::status::Agreed::default();
                        entry.sent = None;
                        entry.attempts = 0;
                        entry.answer = Some("deleted".into());
                        orders::forget_payload(connection, &code)?;
                        // Should the order come back, everything beside it is told anew.
                        crate::ledger::extras::remove_all(connection, &code)?;
                    }
                    Err(error) => {
                        entry.unanswered = open_before || error.maybe_applied();
                        entry.answer = Some(format!("delete: {error}"));
                        // What Brani refuses to delete is not asked again by itself; an outage is waited out.
                        entry.delete_wanted = matches!(
                            error,
                            crate::brani::Error::Unavailable { .. }
                                | crate::brani::Error::Unauthorized { .. }
                        );
                        // One that fails alone waits alone, as one that is sent does.
                        entry.attempts = entry.attempts.saturating_add(1);
                        entry.due = later(now, backoff(entry.attempts, jitter(&code, now)));
                    }
                }
                orders::put(connection, &entry)
            })
            .await?;
        if let Some(why) = refused {
            tracing::error!(event = "order.delete_refused", ORDER_CODE = %entry.code,
                hint = "delete it in Brani by hand",
                "Brani refuses to delete order `{}`: {why}", entry.code);
            continue;
        }
        if failed {
            return Ok(false);
        }
        report.deleted += 1;
        tracing::info!(event = "order.deleted", ORDER_CODE = %entry.code, "Deleted order `{}` at Brani", entry.code);
    }
    Ok(true)
}
