//! `check`: the configuration, the shop, Brani and this machine; each line ✓ or ✗ with what to do.

use super::{Failure, Shell};
use crate::assemble;
use crate::brani::Service;
use crate::brani::extras::Extras;
use crate::clock::{Clock, SystemClock};
use crate::config::Loaded;
use crate::context::Rules;
use crate::eshop_info::{drift, merge};
use crate::inbound::register::{self, Step};
use crate::mapping::Mapping;
use crate::mapping::dictionaries::Dictionaries;
use crate::mapping::extras::Kind;
use crate::outbound::extras::unknown_tags;
use crate::source::{Finding, Lists, Read, Record, Source};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Orders that are read to say what a first run would do.
const READ_MAX: u64 = 200_000;
/// Clocks that differ more get creation times and echoes wrong.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(60);

/// What was found; and whether the configuration itself is wrong.
#[derive(Default)]
struct Findings(Vec<Finding>, bool);

impl Findings {
    fn good(&mut self, text: impl Into<String>) {
        self.0.push(Finding {
            ok: Some(true),
            text: text.into(),
            hint: None,
        });
    }
    fn bad(&mut self, text: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Finding {
            ok: Some(false),
            text: text.into(),
            hint: Some(hint.into()),
        });
    }
    fn warn(&mut self, text: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Finding {
            ok: None,
            text: text.into(),
            hint: Some(hint.into()),
        });
    }
}

pub(super) fn check(shell: &Shell, offline: bool) -> Result<u8, Failure> {
    let loaded = shell.load()?;
    let mut findings = Findings::default();
    findings.good(format!("configuration `{}`", loaded.path.display()));
    let (problems, warnings) = loaded.check_secrets();
    for warning in warnings.iter().chain(&loaded.warnings) {
        findings.warn(
            format!("{}: {}", warning.path, warning.rule),
            warning.hint.clone(),
        );
    }
    for problem in &problems {
        findings.bad(
            format!("{}: {}", problem.path, problem.rule),
            problem.hint.clone(),
        );
    }
    if problems.is_empty() {
        findings.good("every secret is there");
        match assemble::handlers(&loaded) {
            Ok(handlers) if handlers.is_empty() => {
                findings.warn(
                    "no `[writeback]` handler: packing results do not reach the shop",
                    "add one, or use a preset",
                );
            }
            Ok(handlers) => {
                let names: Vec<&str> = handlers.keys().map(String::as_str).collect();
                findings.good(format!("handlers: {}", names.join(", ")));
            }
            Err(error) => findings.bad(error.to_string(), "mend the setting"),
        }
        ledger(&loaded, &mut findings);
        beside(&loaded, &mut findings);
        findings.0.extend(super::unit::look(&loaded));
        findings.0.extend(super::reach::proxies(&loaded));
        super::block_on(async {
            doors(&loaded, &mut findings).await;
            if offline {
                return Ok(());
            }
            online(&loaded, &mut findings).await
        })?;
    }
    let failed = findings.0.iter().any(|finding| finding.ok == Some(false));
    if shell.out.json {
        shell.out.json(&findings.0);
    } else {
        for finding in &findings.0 {
            let mark = match finding.ok {
                Some(true) => "✓",
                Some(false) => "✗",
                None => "!",
            };
            shell.out.line(&format!("{mark} {}", finding.text));
            if let Some(hint) = &finding.hint {
                shell.out.line(&format!("  hint: {hint}"));
            }
        }
    }
    Ok(match (failed, problems.is_empty() && !findings.1) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => 78,
    })
}

/// The ledger's place can be written, and the disk has room.
fn ledger(loaded: &Loaded, findings: &mut Findings) {
    let path = loaded.ledger_path();
    let folder = path.parent().unwrap_or(std::path::Path::new("."));
    // The folder may be made by the first run.
    let existing = folder
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(std::path::Path::new("/"));
    match rustix::fs::statvfs(existing) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize) / (1 << 20);
            if free < 200 {
                findings.warn(
                    format!("the ledger's disk has {free} MiB left"),
                    "make room: a full disk holds everything up",
                );
            } else {
                findings.good(format!(
                    "ledger `{}`, {free} MiB free on its disk",
                    path.display()
                ));
            }
        }
        Err(error) => findings.bad(
            format!("the ledger's folder `{}`: {error}", folder.display()),
            "set `ledger.path`",
        ),
    }
    if rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_err() {
        findings.bad(
            format!("`{}` cannot be written by this user", existing.display()),
            "run as the service's user",
        );
    }
    if let Some(holder) = crate::ledger::holder(&path) {
        findings.good(format!("{holder} works with this ledger"));
    }
}

/// Our own doors can be opened; those of a daemon that runs are open already.
async fn doors(loaded: &Loaded, findings: &mut Findings) {
    if crate::ledger::holder(&loaded.ledger_path()).is_some_and(|holder| holder.purpose == "run") {
        return;
    }
    let webhooks = &loaded.config.webhooks;
    let receiver = webhooks.public_url.as_ref().and(webhooks.listen.as_deref());
    let admin = loaded.config.admin.as_ref().map(|admin| admin.listen.as_str());
    for (setting, listen) in [("webhooks.listen", receiver), ("admin.listen", admin)] {
        let Some(listen) = listen else { continue };
        // systemd makes the service's folder in /run when it starts it.
        let to_come = listen
            .strip_prefix("unix:")
            .and_then(|path| std::path::Path::new(path).parent())
            .is_some_and(|folder| folder == std::path::Path::new("/run/brani-sync") && !folder.exists());
        if to_come {
            continue;
        }
        match crate::listen::Listener::bind(listen).await {
            Ok(_) => findings.good(format!("`{setting}`: `{listen}` is free")),
            Err(error) => findings.bad(
                format!("`{setting}`: {error}"),
                "choose a free address (ports below 1024 are root's alone), or a socket in a folder that the service may write in",
            ),
        }
    }
}

/// What is configured beside orders.
fn beside(loaded: &Loaded, findings: &mut Findings) {
    let rules = Rules::from_config(&loaded.config).extras;
    if let Some(invoices) = &rules.invoices {
        if let Some(folder) = &invoices.folder {
            match std::fs::read_dir(folder) {
                Ok(files) => findings.good(format!(
                    "invoices are read from `{}` ({} entries)",
                    folder.display(),
                    files.count()
                )),
                Err(error) => findings.bad(
                    format!("invoices: the folder `{}`: {error}", folder.display()),
                    "make it, or let the service's user read it",
                ),
            }
        }
        if let Some(url) = &invoices.url {
            findings.good(format!(
                "invoices are fetched from {}",
                url.split('{').next().unwrap_or("")
            ));
        }
    }
    if let Some(tracking) = &rules.tracking {
        let told = match loaded.config.writeback.delivery_state {
            Some(_) => "the shop is told each change",
            None => "nobody is told",
        };
        findings.good(format!(
            "parcels are asked for every {} s; {told}",
            tracking.every.as_secs_f64()
        ));
    }
    if loaded.config.app.as_ref().is_some_and(|app| app.remarks) {
        findings.good("remarks go through the packing application");
    }
}

async fn online(loaded: &Loaded, findings: &mut Findings) -> Result<(), Failure> {
    let clock = Arc::new(SystemClock);
    let source = assemble::source(loaded, clock.clone())?;
    findings.0.extend(source.check().await);
    let lists = match source.lists().await {
        Ok(lists) => lists,
        Err(error) => {
            findings.1 |= error.is_settings();
            findings.bad(
                format!("the shop's lists: {error}"),
                error.hint().unwrap_or("see the message"),
            );
            Lists::default()
        }
    };
    let dictionaries = Arc::new(Dictionaries::build(&loaded.config.eshop_info, &lists));
    let mapping = Mapping::new(assemble::mapping_settings(&loaded.config), dictionaries.clone());
    let tags = orders(loaded, &*source, &mapping, findings).await;
    brani(loaded, &dictionaries, tags.as_deref(), findings).await?;
    public_url(loaded, findings).await;
    Ok(())
}

/// Reads what a first run would read: counts by status, and the five newest mapped. The names of their tags, where
/// there is such a column.
async fn orders(
    loaded: &Loaded,
    source: &dyn Source,
    mapping: &Mapping,
    findings: &mut Findings,
) -> Option<Vec<String>> {
    let rules = Rules::from_config(&loaded.config);
    let now = SystemClock.now();
    let history = rules.history.start(now, &rules.zone);
    let (batches, mut inbox) = mpsc::channel::<Vec<Record>>(2);
    let reading = source.read(Read { since: Some(history) }, batches);
    let taking = async {
        let mut by_status: BTreeMap<String, u64> = BTreeMap::new();
        let mut newest: Vec<(Timestamp, Record)> = Vec::new();
        let mut read = 0;
        while let Some(batch) = inbox.recv().await {
            for record in batch {
                read += 1;
                let created = mapping.created(&record).unwrap_or(Timestamp::UNIX_EPOCH);
                if rules.brings(record.status.as_ref()) && created >= history && !record.gone {
                    let status = record
                        .status
                        .as_ref()
                        .map_or("(none)".to_owned(), ToString::to_string);
                    *by_status.entry(status).or_default() += 1;
                }
                newest.push((created, record));
            }
            newest.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
            newest.truncate(5);
            if read >= READ_MAX {
                break;
            }
        }
        inbox.close();
        (by_status, newest, read)
    };
    let (end, (by_status, newest, read)) = tokio::join!(reading, taking);
    if let Err(error) = end
        && read < READ_MAX
    {
        findings.1 |= error.is_settings();
        findings.bad(
            format!("orders: {error}"),
            error.hint().unwrap_or("see the message").to_owned(),
        );
        return None;
    }
    let mut tags: Option<Vec<String>> = None;
    let total: u64 = by_status.values().sum();
    let parts: Vec<String> = by_status
        .iter()
        .map(|(status, count)| format!("{count} in `{status}`"))
        .collect();
    if total == 0 {
        findings.warn(
            format!("a first run would send no order ({read} read)"),
            "look at `shop.source.send_when` and `history`",
        );
    } else {
        findings.good(format!(
            "a first run would send {total} orders: {}",
            parts.join(", ")
        ));
    }
    for (_, record) in newest {
        for want in mapping.wants(&record) {
            if want.kind == Kind::Tags {
                let tags = tags.get_or_insert_default();
                let names = want.value.as_ref().ok().and_then(|names| names.as_ref());
                let names = names.and_then(|names| names.as_array());
                tags.extend(
                    names
                        .into_iter()
                        .flatten()
                        .filter_map(|name| name.as_str().map(str::to_owned)),
                );
            }
            if let Err(problem) = want.value {
                findings.warn(
                    format!("beside order `{}`: {problem}", record.code),
                    problem.hint.clone(),
                );
            }
        }
        match mapping.map(&record) {
            Ok(mapped) => {
                let order = &mapped.order;
                let status = mapped.status.map_or("none".to_owned(), |id| id.to_string());
                findings.good(format!(
                    "order `{}`: {} items, {} {} ({} to pay), status {status}, created {}",
                    order.code,
                    order.items.len(),
                    order.price.with_vat,
                    order.price.currency_code,
                    order.price.to_pay,
                    order.creation_time
                ));
            }
            Err(problems) => {
                for problem in problems {
                    findings.bad(
                        format!("order `{}`: {problem}", record.code),
                        problem.hint.clone(),
                    );
                }
            }
        }
    }
    tags
}

/// The names of tags that orders use are known at Brani.
async fn org_tags(client: &dyn Extras, names: &[String], findings: &mut Findings) {
    match client.org_tags().await {
        Ok(known) => {
            let mut unknown = unknown_tags(names, &known);
            unknown.dedup();
            if unknown.is_empty() {
                findings.good(format!(
                    "Brani knows {} tags, and those of the newest orders",
                    known.len()
                ));
            }
            for problem in unknown {
                findings.warn(problem.to_string(), problem.hint.clone());
            }
        }
        Err(error) => findings.bad(format!("tags: {error}"), error.hint()),
    }
}

async fn brani(
    loaded: &Loaded,
    dictionaries: &Dictionaries,
    tags: Option<&[String]>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let client = assemble::client(loaded, Arc::new(SystemClock))?;
    let info = match client.eshop_info().await {
        Ok(info) => info,
        Err(error) => {
            let base = &loaded.config.brani.base_url;
            let obstacle = match &error {
                crate::brani::Error::Unavailable { .. } => super::reach::obstacle(base).await,
                _ => None,
            };
            match obstacle {
                Some(obstacle) => findings.bad(format!("Brani at {base}: {}", obstacle.text), obstacle.hint),
                None => findings.bad(format!("Brani at {base}: {error}"), error.hint()),
            }
            return Ok(());
        }
    };
    let shop = info
        .summary
        .as_ref()
        .and_then(|summary| summary.eshop_name.clone())
        .unwrap_or_else(|| "(no name told)".into());
    findings.good(format!("Brani takes the token; the e-shop is `{shop}`"));
    if let Some(service) = client.service_time() {
        let skew = SystemClock.now().duration_since(service).abs();
        if skew > SKEW_MAX {
            findings.bad(
                format!(
                    "this machine's clock differs from Brani's by {} s",
                    skew.as_secs()
                ),
                "set the clock (timedatectl, chrony)",
            );
        } else {
            findings.good("this machine's clock agrees with Brani's");
        }
    }
    if let Some(names) = tags {
        org_tags(&client, names, findings).await;
    }
    let want = dictionaries.info();
    match merge(info.data.as_ref(), &want, loaded.config.eshop_info.mode) {
        None => findings.good("e-shop info: Brani knows all of it"),
        Some(_) => {
            let lines = drift(&info.data.unwrap_or_default(), &want);
            findings.warn(
                format!("e-shop info: {} entries differ and will be posted", lines.len()),
                "`brani-sync eshop-info diff` lists them",
            );
        }
    }
    let rules = Rules::from_config(&loaded.config);
    if rules.events.is_empty() {
        return Ok(());
    }
    let wanted = assemble::wanted(loaded, &rules)?;
    match client.webhooks().await {
        Ok(have) => {
            for step in register::plan(&have, &wanted) {
                match step {
                    Step::Create(event) => findings.warn(
                        format!("webhook for `{event}` is not registered"),
                        "`brani-sync run` registers it",
                    ),
                    Step::Move(id, event) => findings.warn(
                        format!("webhook {id} for `{event}` points elsewhere"),
                        "`brani-sync run` moves it",
                    ),
                    Step::Remove(id, event) => findings.warn(
                        format!("webhook {id} for `{event}` is our double"),
                        "`brani-sync run` removes it",
                    ),
                }
            }
            for stranger in register::strangers(&have, &wanted) {
                findings.warn(
                    format!("webhook {} for `{}` at {} is another program's", stranger.id, stranger.event_type, register::shown(&stranger.webhook_url)),
                    "if it is an old script of yours, stop it, or take it over with `brani-sync webhooks adopt ID`",
                );
            }
            findings.good(format!("{} webhooks are registered", have.len()));
        }
        Err(error) => findings.bad(format!("webhooks: {error}"), error.hint()),
    }
    Ok(())
}

/// Our own public URL answers: 404 to a wrong secret, from outside as Brani would ask.
async fn public_url(loaded: &Loaded, findings: &mut Findings) {
    let webhooks = &loaded.config.webhooks;
    let (Some(base), Some(secret)) = (&webhooks.public_url, &webhooks.secret) else {
        return;
    };
    let Ok(secret) = loaded.secrets.resolve(secret) else {
        return;
    };
    let event = "status_change";
    let url = format!(
        "{}/{event}/{}",
        base.as_str().trim_end_matches('/'),
        secret.expose()
    );
    let Ok(client) = crate::http::client(Duration::from_secs(10)) else {
        return;
    };
    let running = crate::ledger::holder(&loaded.ledger_path()).is_some_and(|holder| holder.purpose == "run");
    match client.post(url).body("{}").send().await {
        Ok(answer) if answer.status().is_success() => findings.good(format!("{base} reaches this daemon")),
        Ok(answer) => findings.bad(
            format!("{base} answers HTTP {}", answer.status().as_u16()),
            if running {
                "the proxy does not hand the path on, or another program answers: see docs/proxy.md"
            } else {
                "start the daemon, then check again"
            },
        ),
        Err(_) if !running => findings.warn(
            format!("{base} does not answer; the daemon does not run"),
            "start the daemon, then check again",
        ),
        Err(error) => {
            let (text, hint) = match super::reach::obstacle(base).await {
                Some(obstacle) => (obstacle.text, obstacle.hint),
                None if error.is_timeout() => (
                    "no answer in 10 s".into(),
                    "check the proxy and the firewall".into(),
                ),
                None => (
                    "no answer".to_owned(),
                    "check the proxy and the firewall".to_owned(),
                ),
            };
            findings.bad(
                format!("{base} cannot be reached: {text}"),
                format!("{hint}; events are found by drain alone until then"),
            );
        }
    }
}
