//! `demo`: the main job on embedded parts, on a fresh machine, in a few seconds.
//!
//! A small SQLite shop with Czech orders, a sandbox in place of Brani, the real daemon's loops between them: a full
//! pass, a change, a second pass, an invoice, the packing table, the way back, and the parcel's way. Everything lies in a temporary folder.

use super::{Failure, Shell, block_on};
use crate::assemble;
use crate::bell::Ended;
use crate::daemon::Loops;
use crate::ledger::{Ledger, orders};
use crate::sandbox::{Options, Sandbox};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SHOP: &str = include_str!("demo.sql");
const CONFIG: &str = include_str!("demo.toml");
/// A PDF of one empty page.
const INVOICE: &[u8] = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n";

/// A folder that goes when the demo ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("brani-sync-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn demo(shell: &Shell) -> Result<u8, Failure> {
    let folder = Folder::new()?;
    let result = block_on(play(shell, &folder.0));
    drop(folder);
    result
}

async fn play(shell: &Shell, folder: &Path) -> Result<u8, Failure> {
    let say = |text: &str| shell.out.text(text);
    let sandbox = Sandbox::start(([127, 0, 0, 1], 0).into(), Options::default()).await?;
    let shop_path = folder.join("shop.db");
    let shop = Connection::open(&shop_path).map_err(sqlite)?;
    shop.execute_batch(SHOP).map_err(sqlite)?;
    let config_path = folder.join("demo.toml");
    let config = CONFIG
        .replace("{base_url}", sandbox.base_url().as_str())
        .replace("{shop}", &shop_path.display().to_string())
        .replace("{ledger}", &folder.join("ledger.db").display().to_string());
    let invoices = folder.join("invoices");
    std::fs::create_dir(&invoices)?;
    let config = config.replace("{invoices}", &invoices.display().to_string());
    std::fs::write(&config_path, config)?;
    let loaded = shell.load_path(&config_path)?;
    say("A small shop (SQLite, 6 Czech orders), a sandbox in place of Brani, and brani-sync between them.\n");

    let ledger = Ledger::open(&loaded.ledger_path(), "demo")?;
    let loops = Loops::start(assemble::parts(&loaded, ledger, false, true)?);
    say("1. First pass");
    pass(&loops).await?;
    let info = sandbox.eshop_info().unwrap_or_default();
    say(&format!(
        "   e-shop info posted: {} statuses, {} shipping methods, {} payment methods",
        count(&info, "/orderStatuses/statuses"),
        count(&info, "/shippingMethods/retail/methods"),
        count(&info, "/paymentMethods/retail/methods")
    ));
    for order in sandbox.orders() {
        say(&format!("   sent    {}", summary(&order)));
    }
    for entry in loops
        .context()
        .ledger
        .read(|c| orders::select(c, "state = 'parked'", 10))
        .await?
    {
        for problem in &entry.problems {
            say(&format!(
                "   parked  {} · {problem}\n           hint: {}",
                entry.code, problem.hint
            ));
        }
    }
    say("   not sent: 2026-1005 is still unpaid (`send_when`), 2026-1006 is cancelled");

    say("\n2. The customer adds an item to 2026-1001, and somebody mends the weight in 2026-1004");
    shop.execute_batch(
        "INSERT INTO items (order_id, sku, name, qty, weight, price) VALUES (1, 'CAJ-02', 'Čaj z lípy', 1, '0.05', '89.00');
         UPDATE orders SET total = '1338.00', updated_at = datetime('now') WHERE id = 1;
         UPDATE items SET weight = '0.5' WHERE order_id = 4;
         UPDATE orders SET updated_at = datetime('now') WHERE id = 4;",
    )
    .map_err(sqlite)?;
    let before = upserts(&sandbox);
    pass(&loops).await?;
    for code in ["2026-1001", "2026-1004"] {
        if let Some(order) = sandbox.order(code) {
            say(&format!("   sent    {}", summary(&order)));
        }
    }
    say(&format!(
        "   {} requests; unchanged orders cost none",
        upserts(&sandbox) - before
    ));

    say("\n3. The accounting program writes the invoice of 2026-1001 into a folder");
    std::fs::write(invoices.join("2026-1001.pdf"), INVOICE)?;
    let mut invoice = Vec::new();
    for _ in 0..200 {
        pass(&loops).await?;
        invoice = sandbox.invoice("2026-1001").unwrap_or_default();
        if !invoice.is_empty() {
            break;
        }
        // A missing file is not looked at without a pause.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    say(&format!(
        "   invoice uploaded: {} bytes, for the packer to print; the other orders have none yet, and do not wait",
        invoice.len()
    ));

    say("\n4. The packing table: 2026-1001 is packed and gets a parcel number");
    sandbox.pack_as("2026-1001", "Z 1234 5678 90", -1);
    pass(&loops).await?;
    let (state, tracking): (String, String) = shop
        .query_row("SELECT state, tracking FROM orders WHERE id = 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(sqlite)?;
    say(&format!(
        "   the shop now says: 2026-1001 is `{state}`, parcel {tracking}"
    ));
    let before = upserts(&sandbox);
    pass(&loops).await?;
    say(&format!(
        "   next pass: {} requests for orders; our own write came back as no echo",
        upserts(&sandbox) - before
    ));

    say("\n5. The parcel arrives");
    sandbox.set_tracking("2026-1001", "Doručeno", 1.2);
    tokio::time::sleep(Duration::from_millis(5)).await;
    pass(&loops).await?;
    let parcel: String = shop
        .query_row(
            "SELECT coalesce(parcel, '') FROM orders WHERE id = 1",
            [],
            |row| row.get(0),
        )
        .map_err(sqlite)?;
    say(&format!(
        "   the shop now says: the parcel of 2026-1001 is `{parcel}`"
    ));
    let clean = !sandbox.in_flight_twice()
        && sandbox.refused().is_empty()
        && invoice == INVOICE
        && !parcel.is_empty();
    loops.stop().await;
    sandbox.stop().await;
    say("\nEverything was in a temporary folder and is gone. Next: docs/install.md");
    Ok(u8::from(!clean))
}

/// One cycle of the loops, as the daemon's schedule would ring them.
async fn pass(loops: &Loops) -> Result<(), Failure> {
    let bells = &loops.context().bells;
    for bell in [
        &bells.eshop_info,
        &bells.drain,
        &bells.apply,
        &bells.poll,
        &bells.send,
        &bells.extras,
        &bells.apply,
    ] {
        if let Ended::Badly(why) = bell.ring_and_wait().await {
            return Err(Failure::new(1, format!("{}: {why}", bell.name())));
        }
    }
    Ok(())
}

fn sqlite(error: rusqlite::Error) -> Failure {
    Failure::new(1, format!("the demo's shop: {error}"))
}

fn count(info: &serde_json::Value, pointer: &str) -> usize {
    info.pointer(pointer)
        .and_then(|list| list.as_array())
        .map_or(0, Vec::len)
}

/// One order in a line.
fn summary(order: &serde_json::Value) -> String {
    let text = |pointer: &str| {
        order
            .pointer(pointer)
            .and_then(|value| value.as_str())
            .unwrap_or("")
            .to_owned()
    };
    let items = order
        .pointer("/items")
        .and_then(|items| items.as_array())
        .map_or(0, Vec::len);
    let status = order
        .pointer("/status/id")
        .map_or("none".to_owned(), ToString::to_string);
    format!(
        "{} · {} items · {} {} (to pay {}) · {} {} · status {status}",
        text("/code"),
        items,
        text("/price/withVat"),
        text("/price/currencyCode"),
        text("/price/toPay"),
        text("/deliveryAddress/zip"),
        text("/deliveryAddress/city"),
    )
}

fn upserts(sandbox: &Sandbox) -> u64 {
    sandbox
        .counts()
        .by_path
        .get("POST /order/upsert")
        .copied()
        .unwrap_or(0)
}
