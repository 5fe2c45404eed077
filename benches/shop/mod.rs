//! A shop to measure with: the demo's tables in SQLite, filled with invented orders of three items, and the real
//! parts put together for it. It measures nothing itself.

#![allow(dead_code, reason = "each bench uses its share")]

use brani_sync::assemble::{self, Parts};
use brani_sync::config;
use brani_sync::ledger::{Ledger, LedgerError};
use brani_sync::outbound::poll;
use brani_sync::sandbox::{Options, Sandbox};
use rusqlite::{Connection, params};

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const TABLES: &str = include_str!("../../src/commands/demo.sql");
const CONFIG: &str = include_str!("../../src/commands/demo.toml");

/// A folder with a shop in it, the daemon's parts, and a sandbox for them.
pub struct World {
    pub parts: Parts,
    pub sandbox: Sandbox,
    pub shop: PathBuf,
    pub folder: tempfile::TempDir,
}

impl World {
    /// A shop with this many orders and an empty ledger; e-shop info is posted, nothing is read yet.
    pub async fn new(orders: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let shop = folder.path().join("shop.db");
        fill(&shop, orders);
        let sandbox = quiet_sandbox().await;
        let parts = parts(folder.path(), &shop, &sandbox);
        parts
            .refresh
            .pass(&parts.context)
            .await
            .expect("e-shop info is posted");
        Self {
            parts,
            sandbox,
            shop,
            folder,
        }
    }

    /// The same, with every order read into the ledger.
    pub async fn waiting(orders: usize) -> Self {
        let world = Self::new(orders).await;
        let report = poll::poll(&world.parts.context).await.expect("the first read");
        assert_eq!(report.wanted, orders as u64, "{report:?}");
        world
    }

    /// The same, with every order marked as one that Brani took.
    pub async fn sent(orders: usize) -> Self {
        let world = Self::waiting(orders).await;
        world
            .parts
            .context
            .ledger
            .write(mark_sent)
            .await
            .expect("the ledger is writable");
        world
    }
}

/// A sandbox that remembers as little as it can.
pub async fn quiet_sandbox() -> Sandbox {
    let quiet = Options {
        requests_max: 0,
        keep_bodies: false,
        ..Options::default()
    };
    Sandbox::start(([127, 0, 0, 1], 0).into(), quiet)
        .await
        .expect("a free port")
}

fn mark_sent(connection: &Connection) -> Result<(), LedgerError> {
    connection.execute_batch(
        "UPDATE orders SET state = 'sent', sent_hash = wanted_hash, known = 1, shop_status = row_status,
                brani_status = 1, window_status = 1, window_from = created, window_to = created + 90,
                fields = randomblob(160), sent_at = created + 90, answer = 'sent';
         DELETE FROM payloads;",
    )?;
    Ok(())
}

/// The parts for this shop, as `run` puts them together, without a way back.
fn parts(folder: &Path, shop: &Path, sandbox: &Sandbox) -> Parts {
    let path = write_config(folder, shop, sandbox);
    let loaded = config::load(&path, &Vec::new).unwrap_or_else(|e| panic!("{:?}", e.problems));
    let ledger = Ledger::open(&loaded.ledger_path(), "bench").expect("a new ledger");
    assemble::parts(&loaded, ledger, false, false).expect("the configuration is right")
}

/// The demo's configuration for this shop, without a way back.
pub fn write_config(folder: &Path, shop: &Path, sandbox: &Sandbox) -> PathBuf {
    let path = folder.join("bench.toml");
    let text = CONFIG.split("[writeback]").next().unwrap_or_default();
    let text = text
        .replace("rate_limit = 1000", "rate_limit = 1000000\nconcurrency = 16")
        .replace("{base_url}", sandbox.base_url().as_str())
        .replace("{shop}", &shop.display().to_string())
        .replace("{ledger}", &folder.join("ledger.db").display().to_string());
    std::fs::write(&path, text).expect("the folder is writable");
    path
}

/// Orders one minute apart, the newest an hour old.
pub fn fill(file: &Path, orders: usize) {
    let mut shop = Connection::open(file).expect("a new file");
    shop.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")
        .expect("pragmas");
    shop.execute_batch(TABLES).expect("the demo's tables");
    shop.execute_batch(
        "DELETE FROM orders; DELETE FROM items; CREATE INDEX items_order ON items (order_id);",
    )
    .expect("an empty shop");
    let all = shop.transaction().expect("a transaction");
    {
        let mut order = all
            .prepare(
                "INSERT INTO orders (id, code, created_at, updated_at, email, phone, state, shipping, payment, paid, total,
                   currency, name, street, city, zip, country, note)
                 VALUES (?1, ?2, datetime('now', ?3), datetime('now', ?3), ?4, '+420 601 000 001',
                 'processing', 'zasilkovna', 'card', 1, ?5, 'CZK', 'Božena Příkladová', ?6, 'Žďár nad Sázavou',
                 '591 01', 'CZ', 'Prosím zabalit jako dárek')",
            )
            .expect("a statement");
        let mut item = all
            .prepare("INSERT INTO items (order_id, sku, name, qty, weight, price) VALUES (?1, ?2, ?3, ?4, '0.35', ?5)")
            .expect("a statement");
        for id in 1..=orders {
            let ago = format!("-{} seconds", 3_600 + (orders - id) * 60);
            order
                .execute(params![
                    id as i64,
                    format!("2026-{id:07}"),
                    ago,
                    format!("zakaznik{id}@example.invalid"),
                    format!("{}.50", 500 + id % 1000),
                    format!("Příčná {id}/3")
                ])
                .expect("an order");
            for place in 0..3 {
                item.execute(params![
                    id as i64,
                    format!("ZBOZI-{:04}", (id * 3 + place) % 4000),
                    format!("Hrnek s kočkou č. {place}"),
                    (1 + place).to_string(),
                    format!("{}.90", 100 + (id + place) % 700)
                ])
                .expect("an item");
            }
        }
    }
    all.commit().expect("a commit");
}

/// Wall time and the whole process's time on a processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    pub wall: Duration,
    pub cpu: Duration,
}

/// A watch that runs.
pub struct Watch(Instant, Duration);

impl Watch {
    pub fn start() -> Self {
        Self(Instant::now(), cpu())
    }

    pub fn stop(self) -> Spent {
        Spent {
            wall: self.0.elapsed(),
            cpu: cpu().saturating_sub(self.1),
        }
    }
}

/// User and system time of this process, in ticks of 10 ms: measure seconds with it.
fn cpu() -> Duration {
    stat(std::process::id()).cpu
}

/// What `/proc` says of a process.
pub struct Stat {
    /// User and system time, in ticks of 10 ms.
    pub cpu: Duration,
    /// It has ended and waits to be collected.
    pub ended: bool,
}

/// Looks at a process.
pub fn stat(process: u32) -> Stat {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux");
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ended = fields.next() == Some("Z");
    let ticks: u64 = fields
        .skip(10)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum();
    Stat {
        cpu: Duration::from_millis(ticks * 10),
        ended,
    }
}

/// The most memory that a process had at once, in KiB; 0 when it has ended.
pub fn peak_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}
