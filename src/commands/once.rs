//! `once`: a full cycle, then exit.
//!
//! The same loops as the daemon's, rung one after the other and once more for what the first round left.

use super::{Failure, Shell, start_log};
use crate::assemble;
use crate::bell::Ended;
use crate::clock::later;
use crate::config::Loaded;
use crate::daemon::{Loops, ReportsInner};
use crate::ledger::{Ledger, extras, inbox, orders};
use std::io::IsTerminal;
use std::time::Duration;

/// Rounds of sending and applying that one cycle may take.
const ROUNDS_MAX: u32 = 50;

pub(super) fn once(shell: &Shell, dry_run: bool, sweep: bool, quiet: bool) -> Result<u8, Failure> {
    let loaded = shell.load()?;
    if quiet {
        // Cron makes a mail of every line.
        crate::log::start(loaded.config.log.format, "warn", &loaded.name);
    } else {
        start_log(&loaded);
    }
    shell.check_secrets(&loaded)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(cycle(shell, &loaded, dry_run, sweep, quiet));
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

async fn cycle(
    shell: &Shell,
    loaded: &Loaded,
    dry_run: bool,
    sweep: bool,
    quiet: bool,
) -> Result<u8, Failure> {
    let ledger = Ledger::open(&loaded.ledger_path(), "once")?;
    let parts = assemble::parts(loaded, ledger.clone(), dry_run, false)?;
    let loops = Loops::start(parts);
    let result = rounds(&loops, sweep, shell, quiet).await;
    let reports = loops.reports.get();
    if let Some(fatal) = loops.take_fatal() {
        loops.stop().await;
        return Err(super::run::failure(loaded, fatal));
    }
    loops.stop().await;
    let [waiting, sent, parked, _] = ledger.read(orders::totals).await?;
    let stuck = ledger
        .read(inbox::totals)
        .await?
        .into_iter()
        .find(|(state, _)| state == "stuck")
        .map_or(0, |(_, n)| n);
    let beside: i64 = ledger
        .read(extras::totals)
        .await?
        .into_iter()
        .filter(|(_, state, _)| state == "parked")
        .map(|(.., count)| count)
        .sum();
    if shell.out.json {
        shell.out.json(&serde_json::json!({
            "reports": reports, "waiting": waiting, "sent": sent, "parked": parked, "stuck": stuck,
            "extras_parked": beside, "problem": result.as_ref().err(),
        }));
    } else if !(quiet && result.is_ok() && parked + stuck + beside == 0) {
        shell.out.text(&account(
            &reports,
            dry_run,
            [waiting, sent, parked, stuck, beside],
        ));
    }
    match result {
        Err(problem) if reports.settings => {
            Err(Failure::new(78, problem).hint("`brani-sync check` says more; nothing is lost"))
        }
        Err(problem) => Err(Failure::new(1, problem).hint("nothing is lost: the next run goes on from here")),
        Ok(()) if parked + stuck + beside > 0 => Ok(2),
        Ok(()) => Ok(0),
    }
}

fn account(
    reports: &ReportsInner,
    dry_run: bool,
    [waiting, sent, parked, stuck, beside]: [i64; 5],
) -> String {
    let poll = reports.poll.clone().unwrap_or_default();
    let mut text = format!("read {} orders of the shop, ", poll.read);
    if dry_run {
        text += &format!(
            "{} would be sent, {} would be parked (dry run: nothing was done)",
            poll.wanted, poll.parked
        );
    } else {
        let applied = reports.apply.outcomes.get("applied").copied().unwrap_or(0);
        text += &format!(
            "sent {} to Brani, wrote {applied} events into the shop",
            reports.send.sent
        );
    }
    for (why, count) in &poll.waits {
        let words = match *why {
            "too_old" => "older than `shop.source.history`",
            "status" => "in a status that is not in `send_when`",
            "no_items" => "without items yet",
            "settling" => "changed a moment ago",
            _ => "withdrawn",
        };
        text += &format!("\nnot sent: {count} {words}");
    }
    let extras = &reports.extras;
    if extras.told + extras.parcels > 0 {
        text += &format!(
            "\nbeside orders: {} told, {} parcels in another state",
            extras.told, extras.parcels
        );
    }
    if beside > 0 {
        text += &format!("\nbeside orders: {beside} parked; `brani-sync status` lists them");
    }
    text + &format!("\nnow: {sent} sent, {waiting} waiting, {parked} parked, {stuck} stuck")
}

/// Rings one loop and waits for its pass.
async fn ring(loops: &Loops, bell: &crate::bell::Bell) -> Result<(), String> {
    match bell.ring_and_wait().await {
        Ended::Well => Ok(()),
        Ended::Badly(why) => Err(loops
            .context()
            .troubles
            .list()
            .first()
            .map_or(why, |(_, text, _)| text.clone())),
    }
}

async fn rounds(loops: &Loops, sweep: bool, shell: &Shell, quiet: bool) -> Result<(), String> {
    let context = loops.context().clone();
    let bells = &context.bells;
    ring(loops, &bells.eshop_info).await?;
    if !context.rules.events.is_empty() {
        ring(loops, &bells.drain).await?;
        ring(loops, &bells.apply).await?;
    }
    let reading = if sweep { &bells.sweep } else { &bells.poll };
    ring(loops, reading).await?;
    if context.dry_run {
        return Ok(());
    }
    let settling = loops.reports.get().poll.map_or(0, |report| report.settling);
    let _watching = (!quiet && !shell.out.json && std::io::stderr().is_terminal())
        .then(|| Watching::start(context.clone()));
    send_all(loops).await?;
    ring(loops, &bells.extras).await?;
    if settling > 0 {
        // Orders written a moment ago are sent by this cycle, too.
        tokio::time::sleep(context.rules.settle).await;
        ring(loops, &bells.poll).await?;
        send_all(loops).await?;
        ring(loops, &bells.extras).await?;
    }
    if loops.reports.get().extras.parcels > 0 {
        ring(loops, &bells.apply).await?;
    }
    Ok(())
}

/// Sends and applies until nothing is left that can be done now or in a moment.
async fn send_all(loops: &Loops) -> Result<(), String> {
    let context = loops.context().clone();
    let patience = later(context.now(), context.rules.timeout.min(Duration::from_secs(15)));
    for _ in 0..ROUNDS_MAX {
        ring(loops, &context.bells.send).await?;
        ring(loops, &context.bells.apply).await?;
        let now = context.now();
        let waits = context
            .ledger
            .read(move |connection| {
                let due = orders::next_due(connection)?;
                let writing = orders::count(connection, "writing IS NOT NULL AND known = 1")?;
                Ok((due, writing))
            })
            .await
            .map_err(|error| error.to_string())?;
        let held = context.troubles.list().into_iter().find(|(name, ..)| {
            ["brani.unauthorized", "brani.unreachable", "brani.refuses"].contains(&name.as_str())
        });
        match waits {
            (None, _) => return Ok(()),
            (Some(at), _) if at > patience => {
                return match held {
                    Some((_, text, _)) => Err(text),
                    None => Ok(()),
                };
            }
            (Some(at), _) => {
                if let Some((_, text, _)) = held.filter(|_| now > patience) {
                    return Err(text);
                }
                let pause = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                tokio::time::sleep(pause.clamp(Duration::from_millis(50), Duration::from_secs(2))).await;
            }
        }
    }
    Ok(())
}

/// A progress bar while a first big push goes out and a terminal watches.
struct Watching(tokio::task::JoinHandle<()>);

impl Watching {
    fn start(context: crate::context::Context) -> Self {
        Self(tokio::spawn(async move {
            let Ok([waiting, sent, ..]) = context.ledger.read(orders::totals).await else {
                return;
            };
            let total = u64::try_from(waiting).unwrap_or(0);
            if total < 200 {
                return;
            }
            let bar = indicatif::ProgressBar::new(total);
            if let Ok(style) =
                indicatif::ProgressStyle::with_template("{bar:40} {pos}/{len} orders, {per_sec}, {eta} left")
            {
                bar.set_style(style);
            }
            loop {
                tokio::time::sleep(Duration::from_millis(250)).await;
                let Ok([_, now, ..]) = context.ledger.read(orders::totals).await else {
                    return;
                };
                bar.set_position(u64::try_from(now - sent).unwrap_or(0));
            }
        }))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}
