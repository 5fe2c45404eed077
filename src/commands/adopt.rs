//! `adopt`: for a shop that moves from an old script. The shop's present state counts as sent, present events as
//! seen; from now on only what changes is sent.

use super::{Failure, Shell, start_log};
use crate::assemble::{self, Parts};
use crate::config::DeleteMode;
use crate::context::Context;
use crate::ledger::Ledger;
use crate::ledger::cursors::{self, name};
use crate::ledger::inbox;
use crate::ledger::orders::{self, Entry, State};
use crate::outbound::poll;
use crate::source::{Read, Record};
use crate::status::Agreed;
use jiff::Timestamp;
use tokio::sync::mpsc;

#[derive(Debug, Default, serde::Serialize)]
struct Taken {
    orders: u64,
    unmappable: u64,
    events: u64,
}

pub(super) fn adopt(shell: &Shell, dry_run: bool) -> Result<u8, Failure> {
    let loaded = shell.load_with_secrets()?;
    start_log(&loaded);
    let ledger = Ledger::open(&loaded.ledger_path(), "adopt")?;
    let parts = assemble::parts(&loaded, ledger, dry_run, false)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let taken = runtime.block_on(take_over(&parts))?;
    if shell.out.json {
        shell.out.json(&taken);
    } else {
        let would = if dry_run { "would be " } else { "" };
        shell.out.line(&format!(
            "{} orders {would}taken as sent, {} events {would}taken as seen",
            taken.orders, taken.events
        ));
        if taken.unmappable > 0 {
            shell.out.line(&format!(
                "{} orders cannot be mapped and are not taken; `brani-sync check` shows why",
                taken.unmappable
            ));
        }
    }
    Ok(0)
}

async fn take_over(parts: &Parts) -> Result<Taken, Failure> {
    let context = &parts.context;
    parts.refresh.lists(context).await?;
    let mut taken = Taken::default();
    if !context.rules.events.is_empty() {
        taken.events = parts.drain.pass(context).await?.new;
    }
    let history = poll::history_start(context).await?;
    let (batches, inbox) = mpsc::channel::<Vec<Record>>(2);
    let reading = context.source.read(Read { since: Some(history) }, batches);
    let taking = async {
        let mut inbox = inbox;
        while let Some(batch) = inbox.recv().await {
            take(context, batch, history, &mut taken).await?;
        }
        Ok::<_, Failure>(())
    };
    let (end, taking) = tokio::join!(reading, taking);
    taking?;
    let end = end?;
    if !context.dry_run {
        let now = context.now();
        let fingerprint = poll::fingerprint(&context.mapping.get());
        context
            .ledger
            .write(move |connection| {
                for event in inbox::select(connection, "state = 'new'", 10_000_000)? {
                    inbox::finish(
                        connection,
                        event.id,
                        event.general,
                        "seen",
                        Some("taken over"),
                        now,
                    )?;
                }
                cursors::set_time(connection, name::CURSOR, end.started)?;
                cursors::set_time(connection, name::LEARNED, now)?;
                cursors::set(connection, name::FINGERPRINT, &fingerprint.to_string())
            })
            .await?;
    }
    Ok(taken)
}

async fn take(
    context: &Context,
    batch: Vec<Record>,
    history: Timestamp,
    taken: &mut Taken,
) -> Result<(), Failure> {
    let mapping = context.mapping.get();
    let mut entries = Vec::new();
    let told = poll::told(context, batch.iter()).await?;
    for record in batch {
        if record.gone && context.rules.delete_mode == DeleteMode::Gone {
            continue;
        }
        let Ok(mapped) = poll::map(&mapping, &record, told.get(&record.code)) else {
            taken.unmappable += 1;
            continue;
        };
        if mapped.created < history
            || record.items.is_empty()
            || !context.rules.brings(record.status.as_ref())
        {
            continue;
        }
        let mut entry = Entry::new(record.code.clone(), record.key.clone(), mapped.created);
        entry.state = State::Sent;
        entry.row_hash = Some(mapping.row_hash(&record));
        entry.fingerprint = Some(poll::fingerprint(&mapping));
        entry.row_status = record.status.clone();
        entry.wanted = Some(mapped.content);
        entry.sent = entry.wanted;
        entry.agreed = Agreed {
            known: true,
            shop: record.status,
            brani: mapped.status,
            ..Agreed::default()
        };
        entry.answer = Some("taken over from another program".into());
        entries.push(entry);
    }
    taken.orders += entries.len() as u64;
    if !context.dry_run {
        context
            .ledger
            .write(move |connection| {
                for mut entry in entries {
                    if orders::get(connection, &entry.code)?.is_some() {
                        continue;
                    }
                    // What the packer said last is what Brani has.
                    if let Some(event) = inbox::newest_status(connection, &entry.code)? {
                        entry.agreed.brani = event.status;
                        entry.deal_with(event.at, event.id);
                    }
                    orders::put(connection, &entry)?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}
