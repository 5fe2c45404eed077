//! Orders that Brani has, or may have: what the packer did and what the row says now, before anything is decided.

use super::begin::{Ready, RowView, begin};
use super::{Report, Sender};
use crate::bell::Ended;
use crate::brani::model::Order;
use crate::clock::later;
use crate::context::{Context, PassError, some_codes};
use crate::ledger::extras::{self, Noted};
use crate::ledger::orders::{self, Due, State};
use crate::mapping::{self, Mapped, Problem};
use crate::outbound::{diff, poll};
use crate::source::Record;
use crate::trouble::Weight;
use crate::types::OrderCode;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

impl Sender {
    /// Orders that Brani has, or may have.
    pub(super) async fn settle(
        &self,
        context: &Context,
        due: Vec<Due>,
        put_off: &mut BTreeSet<OrderCode>,
        report: &mut Report,
        stop: &CancellationToken,
    ) -> Result<Vec<Ready>, PassError> {
        let mut guards = BTreeMap::new();
        let mut held: Vec<Due> = Vec::new();
        for entry in due {
            match context.locks.try_lock(&entry.code) {
                Some(guard) => {
                    guards.insert(entry.code.clone(), guard);
                    held.push(entry);
                }
                None => drop(put_off.insert(entry.code)),
            }
        }
        let drained = self.drain(context, stop).await;
        if !drained {
            // Without what the packer said meanwhile only a protected status goes out.
            held.retain(|entry| {
                let protected = entry
                    .row_status
                    .as_ref()
                    .is_some_and(|s| context.rules.protect.contains(s));
                if !protected {
                    put_off.insert(entry.code.clone());
                }
                protected
            });
        }
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let codes: Vec<OrderCode> = held.iter().map(|entry| entry.code.clone()).collect();
        let rows = match self.rows(context, &codes).await {
            Ok(rows) => rows,
            Err(PassError::Source(error)) => {
                let now = context.now();
                context.troubles.begin(
                    "shop.unreachable",
                    Weight::Warn,
                    &format!("The shop could not be asked about changed orders: {error}"),
                    error
                        .hint()
                        .unwrap_or("nothing to do if the database is being restarted"),
                    now,
                );
                put_off.extend(codes);
                report.again = Some(later(now, Duration::from_secs(10)));
                return Ok(Vec::new());
            }
            Err(other) => return Err(other),
        };
        let now = context.now();
        let mapping = context.mapping.get();
        let mut odd = Vec::new();
        let mut views = Vec::new();
        let mut missing = Vec::new();
        for entry in held {
            match rows.get(&entry.code) {
                None => missing.push(entry.code),
                Some(Row::Fresh(record, Ok(mapped))) if record.key == entry.key && !record.gone => {
                    let shop = record.status.clone();
                    let protected = shop
                        .as_ref()
                        .is_some_and(|shop| context.rules.protect.contains(shop));
                    let view = RowView {
                        order: mapped.order.clone(),
                        shop_id: mapped.status,
                        shop,
                        protected,
                    };
                    views.push((
                        entry.code,
                        view,
                        Some((
                            mapping.row_hash(record),
                            poll::fingerprint(&mapping),
                            mapping.wants(record),
                            diff::said(record, &context.rules),
                        )),
                    ));
                }
                Some(Row::Fresh(record, _)) => odd.push((**record).clone()),
                Some(Row::Kept(view)) => views.push((entry.code, (**view).clone(), None)),
            }
        }
        if !missing.is_empty() {
            self.row_is_missing(context, &missing, now).await?;
            put_off.extend(missing);
        }
        if !odd.is_empty() {
            // Unmappable, withdrawn or another's: the look decides and keeps it.
            put_off.extend(odd.iter().map(|record| record.code.clone()));
            let history = poll::history_start(context).await?;
            let when = diff::When {
                now,
                source_now: now,
                history,
                started: context.started,
            };
            let withdrawn: Vec<OrderCode> = odd
                .iter()
                .filter(|record| record.gone)
                .map(|record| record.code.clone())
                .collect();
            let mut met = poll::Report::default();
            poll::take(context, &mapping, odd, when, &mut met).await?;
            if !withdrawn.is_empty() {
                self.row_is_withdrawn(context, withdrawn, now).await?;
            }
            if met.withdrawn > 0 {
                // This look was the first: no poll will meet it as news.
                crate::outbound::sweep::plan_deletes(context, false).await?;
            }
        }
        let rules = context.rules.clone();
        let (begun, writes, noted) = context
            .ledger
            .write(move |connection| {
                let mut begun = Vec::new();
                let mut writes = Vec::new();
                let mut noted = Noted::default();
                for (code, mut view, seen) in views {
                    let Some(before) = orders::get(connection, &code)? else {
                        continue;
                    };
                    if before.state != State::Waiting {
                        continue;
                    }
                    let mut entry = before.clone();
                    if let Some((row_hash, fingerprint, wants, said)) = seen {
                        // This row counts as looked at: no poll will meet it.
                        extras::note(connection, &code, &wants, now, &mut noted)?;
                        entry.row_hash = Some(row_hash);
                        entry.fingerprint = Some(fingerprint);
                        if entry.agreed.hear(&said) {
                            entry.row_status = view.shop.clone();
                        } else {
                            entry.row_hash = None;
                            view.says(entry.row_status.clone(), &mapping, &rules);
                        }
                        entry.wanted = Some(mapping::content_hash(&view.order));
                    }
                    match begin(connection, &before, entry, view, &mapping, now)? {
                        Some(ready) => begun.push(ready),
                        None => {
                            if orders::get(connection, &code)?.is_some_and(|e| e.state == State::Waiting) {
                                writes.push(code);
                            }
                        }
                    }
                }
                Ok((begun, writes, noted))
            })
            .await?;
        for (code, kind, problem) in noted.parked {
            crate::outbound::extras::tell_parked(&code, kind, &problem.to_string());
        }
        if !writes.is_empty() {
            report.left_to_apply += writes.len() as u64;
            put_off.extend(writes);
        }
        Ok(begun
            .into_iter()
            .filter_map(|begun| guards.remove(&begun.code).map(|guard| begun.with(guard)))
            .collect())
    }

    /// A drain begun now, which serves all orders that wait for it. False where updates must wait for one.
    pub(super) async fn drain(&self, context: &Context, stop: &CancellationToken) -> bool {
        if !context.rules.hears_status() {
            return true;
        }
        let ended = tokio::select! {
            // The drain's loop may be gone already: nobody would answer the bell.
            () = stop.cancelled() => return false,
            ended = context.bells.drain.ring_and_wait() => ended,
        };
        let now = context.now();
        let mut since = self
            .drains_fail_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match ended {
            Ended::Well => {
                *since = None;
                context
                    .troubles
                    .end("drain.held_updates", "Updates wait for drains again", now);
                true
            }
            Ended::Badly(_) => {
                let began = *since.get_or_insert(now);
                let long = now.duration_since(began)
                    > SignedDuration::try_from(context.rules.hold_updates).unwrap_or(SignedDuration::MAX);
                if long {
                    context.troubles.begin(
                        "drain.held_updates",
                        Weight::Warn,
                        "Drains fail for long: updates go out without knowing what the packer did",
                        "see the lines about drains above; a packer's status may be overwritten until they work",
                        now,
                    );
                }
                long
            }
        }
    }

    /// The rows as they stand: asked of a live shop, else as the last complete read left them.
    async fn rows(
        &self,
        context: &Context,
        codes: &[OrderCode],
    ) -> Result<BTreeMap<OrderCode, Row>, PassError> {
        let mapping = context.mapping.get();
        let mut rows = BTreeMap::new();
        let mut ask: Vec<OrderCode> = codes.to_vec();
        if !context.source.is_live() {
            let wanted = codes.to_vec();
            let kept = context
                .ledger
                .read(move |connection| {
                    let mut kept = Vec::new();
                    for code in wanted {
                        if let (Some(entry), Some(payload)) = (
                            orders::get(connection, &code)?,
                            orders::payload(connection, &code)?,
                        ) {
                            kept.push((code, entry.row_status, payload));
                        }
                    }
                    Ok(kept)
                })
                .await?;
            for (code, shop, payload) in kept {
                let Ok(order) = serde_json::from_slice::<Order>(&payload) else {
                    continue;
                };
                ask.retain(|other| *other != code);
                let view = RowView::new(order, shop, &mapping, &context.rules);
                rows.insert(code, Row::Kept(Box::new(view)));
            }
        }
        for codes in ask.chunks(context.rules.batch.max(1)) {
            let records = context.source.lookup(codes).await?;
            let told = poll::told(context, records.iter()).await?;
            for record in records {
                let mapped = poll::map(&mapping, &record, told.get(&record.code));
                rows.insert(
                    record.code.clone(),
                    Row::Fresh(Box::new(record), mapped.map(Box::new)),
                );
            }
        }
        if !ask.is_empty() {
            context
                .troubles
                .end("shop.unreachable", "The shop answers again", context.now());
        }
        Ok(rows)
    }

    /// Nothing of a withdrawn order is sent; when it comes back, a look wants it anew.
    async fn row_is_withdrawn(
        &self,
        context: &Context,
        codes: Vec<OrderCode>,
        now: Timestamp,
    ) -> Result<(), PassError> {
        context
            .ledger
            .write(move |connection| {
                for code in &codes {
                    if let Some(mut entry) = orders::get(connection, code)? {
                        entry.due = later(now, Duration::from_secs(600));
                        orders::put(connection, &entry)?;
                    }
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// The row vanished from the shop: the sweep decides whether it is gone. That an export lists it no more says
    /// nothing.
    async fn row_is_missing(
        &self,
        context: &Context,
        codes: &[OrderCode],
        now: Timestamp,
    ) -> Result<(), PassError> {
        let missing = codes.to_vec();
        let is_live = context.source.is_live();
        context
            .ledger
            .write(move |connection| {
                for code in &missing {
                    if let Some(mut entry) = orders::get(connection, code)? {
                        entry.due = later(now, Duration::from_secs(600));
                        if is_live {
                            entry.missing_since.get_or_insert(now);
                        }
                        orders::put(connection, &entry)?;
                    }
                }
                Ok(())
            })
            .await?;
        tracing::warn!(
            event = "order.row_missing",
            orders = codes.len(),
            "Orders that Brani has are no longer in the shop and are not updated: {}",
            some_codes(codes)
        );
        Ok(())
    }
}

enum Row {
    Fresh(Box<Record>, Result<Box<Mapped>, Vec<Problem>>),
    Kept(Box<RowView>),
}
