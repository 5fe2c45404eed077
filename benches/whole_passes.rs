//! Whole passes against the least work that any program would have to do, measured by turns in one run.
//!
//! `cargo bench --bench whole_passes`; what is printed are medians of ratios, see `docs/performance.md`. Divan
//! measures one thing after the other; on a machine that does something else besides, only turns are comparable.

#![allow(clippy::print_stdout, reason = "a bench speaks to the person who runs it")]

mod shop;

use brani_sync::ledger::{Ledger, LedgerError};
use brani_sync::outbound::poll;
use brani_sync::sandbox::{Fault, Matcher};
use futures_util::{StreamExt, stream};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use shop::{Spent, Watch, World};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|want| name.contains(want.as_str()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        if is_wanted("compare") {
            compare(10_000, 9).await;
        }
        if is_wanted("push") {
            push(2_000, 5, None).await;
        }
        if is_wanted("slow") {
            push(2_000, 3, Some(20)).await;
        }
        if is_wanted("idle") {
            idle(9).await;
        }
    });
}

/// Unchanged orders: read, hashed and found in the ledger, against read and joined only.
async fn compare(orders: usize, rounds: usize) {
    let world = World::sent(orders).await;
    let mut turns = Turns::default();
    for _ in 0..rounds {
        let watch = Watch::start();
        let joined = read_and_join(&world.shop);
        let floor = watch.stop();
        assert_eq!(joined, orders);
        let watch = Watch::start();
        let report = poll::read_all(&world.parts.context).await.expect("a read");
        let ours = watch.stop();
        assert_eq!((report.read, report.wanted), (orders as u64, 0));
        turns.add(floor, ours);
    }
    turns.tell("compare unchanged orders / read and join only", orders);
}

const BATCH: usize = 500;

/// The same queries in the same batches; the rows are owned and joined, and nothing else happens.
fn read_and_join(file: &Path) -> usize {
    let shop = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the shop");
    shop.execute_batch("BEGIN").expect("a transaction");
    let mut orders = shop
        .prepare(
            "SELECT id, updated_at, code, created_at, email, phone, state, shipping, payment, paid, total, currency,
                    name, street, city, zip, country, note
             FROM orders WHERE updated_at >= '2026-01-01 00:00:00' ORDER BY updated_at, id",
        )
        .expect("the orders");
    let marks = vec!["?"; BATCH].join(", ");
    let mut items = shop
        .prepare(&format!(
            "SELECT order_id, sku, name, qty, weight, price FROM items WHERE order_id IN ({marks}) ORDER BY order_id, id"
        ))
        .expect("the items");
    let mut rows = orders.query([]).expect("the orders");
    let mut joined = 0;
    loop {
        let mut batch: Vec<Vec<Value>> = Vec::with_capacity(BATCH);
        while batch.len() < BATCH {
            let Some(row) = rows.next().expect("a row") else {
                break;
            };
            batch.push((0..18).map(|place| row.get(place).expect("a value")).collect());
        }
        if batch.is_empty() {
            return joined;
        }
        let keys = batch.iter().map(|order| order[0].clone());
        let keys = keys.chain(std::iter::repeat(Value::Null)).take(BATCH);
        let mut of: HashMap<i64, Vec<Vec<Value>>> = HashMap::new();
        let mut rows = items.query(params_from_iter(keys)).expect("the items");
        while let Some(row) = rows.next().expect("a row") {
            let item = (0..6).map(|place| row.get(place).expect("a value")).collect();
            of.entry(row.get(0).expect("a key")).or_default().push(item);
        }
        for order in &batch {
            let Value::Integer(key) = order[0] else { continue };
            joined += usize::from(of.get(&key).is_some_and(|items| items.len() == 3));
        }
    }
}

/// New orders sent and durably marked, against the same bodies posted and forgotten.
async fn push(orders: usize, rounds: usize, milliseconds: Option<u64>) {
    let mut turns = Turns::default();
    for _ in 0..rounds {
        let world = World::waiting(orders).await;
        let context = &world.parts.context;
        let bodies = context.ledger.read(bodies).await.expect("the payloads");
        // Another sandbox: both meet every order for the first time.
        let other = World::new(0).await;
        for sandbox in [&world.sandbox, &other.sandbox] {
            if let Some(milliseconds) = milliseconds {
                sandbox.fault(Fault::Latency { milliseconds }, Matcher::upserts());
            }
        }
        let url = other.sandbox.base_url().join("order/upsert").expect("a URL");
        let client = brani_sync::http::client(Duration::from_secs(30)).expect("a client");
        let watch = Watch::start();
        stream::iter(bodies)
            .for_each_concurrent(16, |body| {
                let request = client
                    .post(url.clone())
                    .bearer_auth("sandbox")
                    .header("Content-Type", "application/json")
                    .body(body);
                async {
                    let answer = request.send().await.expect("an answer");
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.expect("a body");
                }
            })
            .await;
        let floor = watch.stop();
        assert_eq!(other.sandbox.order_count(), orders);
        let watch = Watch::start();
        let stop = CancellationToken::new();
        let report = world.parts.sender.pass(context, &stop).await.expect("a pass");
        let ours = watch.stop();
        assert_eq!(report.sent, orders as u64, "{report:?}");
        turns.add(floor, ours);
        world.sandbox.stop().await;
        other.sandbox.stop().await;
    }
    let after = milliseconds.map_or(String::new(), |n| format!(", each answered after {n} ms"));
    turns.tell(&format!("send new orders / post the same bodies{after}"), orders);
}

fn bodies(connection: &Connection) -> Result<Vec<Vec<u8>>, LedgerError> {
    let mut statement = connection.prepare("SELECT payload FROM payloads")?;
    let payloads = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    let mut bodies = Vec::new();
    for payload in payloads {
        let order: serde_json::Value = serde_json::from_slice(&payload?).expect("JSON");
        bodies.push(serde_json::json!({ "data": order }).to_string().into_bytes());
    }
    Ok(bodies)
}

/// Passes in which nothing changed, with a large ledger against a small one.
async fn idle(rounds: usize) {
    const PASSES: usize = 100;
    let small = World::sent(1_000).await;
    let large = World::sent(1_000).await;
    grow(&large.parts.context.ledger, 99_000).await;
    let mut turns = Turns::default();
    for _ in 0..rounds {
        let mut spent = [Spent::default(); 2];
        for (spent, world) in spent.iter_mut().zip([&small, &large]) {
            let (context, stop) = (&world.parts.context, CancellationToken::new());
            let watch = Watch::start();
            for _ in 0..PASSES {
                let report = poll::poll(context).await.expect("a poll");
                assert_eq!(report.wanted, 0);
                world.parts.sender.pass(context, &stop).await.expect("a pass");
            }
            *spent = watch.stop();
        }
        turns.add(spent[0], spent[1]);
    }
    turns.tell(
        "poll and send when nothing changed, 100,000 / 1,000 orders in the ledger",
        PASSES,
    );
}

/// Copies an order under new codes.
async fn grow(ledger: &Ledger, by: usize) {
    let work = move |connection: &Connection| {
        connection.execute_batch(&format!(
            "CREATE TEMP TABLE one AS SELECT * FROM orders LIMIT 1;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {by})
             INSERT INTO orders SELECT 'old-' || i, 'old-' || i, created, state, row_hash, fingerprint, row_status,
               wanted_hash, sent_hash, fields, known, shop_status, brani_status, writing, unconfirmed, owed,
               window_status, window_from, window_to, status_event, status_event_id, lane, due, attempts,
               failing_since, unanswered, problems, parked_by, missing_since, row_gone, delete_wanted, sent_at,
               answer, told_parked FROM n, one;"
        ))?;
        Ok(())
    };
    ledger.write(work).await.expect("the ledger is writable");
}

/// What two things cost, by turns.
#[derive(Default)]
struct Turns(Vec<(Spent, Spent)>);

impl Turns {
    fn add(&mut self, floor: Spent, ours: Spent) {
        self.0.push((floor, ours));
    }

    fn tell(&self, what: &str, count: usize) {
        let sum = |of: fn(&(Spent, Spent)) -> Duration| self.0.iter().map(of).sum::<Duration>().as_secs_f64();
        let mut walls: Vec<f64> = self
            .0
            .iter()
            .map(|(floor, ours)| ours.wall.as_secs_f64() / floor.wall.as_secs_f64())
            .collect();
        walls.sort_by(f64::total_cmp);
        let (floor, ours) = (sum(|turn| turn.0.cpu), sum(|turn| turn.1.cpu));
        let each = 1e6 / (count * self.0.len()) as f64;
        println!(
            "{what}\n  wall {:.2} ({:.2} to {:.2}), processor {:.2} ({:.1} / {:.1} µs each), {} turns of {count}",
            walls[walls.len() / 2],
            walls[0],
            walls[walls.len() - 1],
            ours / floor,
            ours * each,
            floor * each,
            self.0.len()
        );
    }
}
