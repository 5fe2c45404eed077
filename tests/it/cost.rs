//! What the hot paths cost, counted and not timed: allocations, and the steps that SQLite takes.

use crate::mapping::{any_mapped, any_record, mapping};
use brani_sync::ledger::inbox::{self, Event};
use brani_sync::ledger::orders::{self, Entry, Lane, State};
use brani_sync::ledger::{Ledger, cursors, open_reader};
use brani_sync::mapping as rules;
use brani_sync::types::{EventId, FieldKey, OrderCode, PayloadHash, RowHash, ShopKey, WebhookId};
use jiff::Timestamp;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[path = "../../benches/shop/mod.rs"]
mod shop;

#[test]
fn the_shop_of_the_benches_fits_the_tables_of_the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    shop::fill(&file, 3);
    let items: i64 = Connection::open(&file)
        .unwrap()
        .query_row(
            "SELECT count(*) FROM items JOIN orders ON orders.id = order_id",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(items, 9);
}

fn allocations<T>(work: impl FnOnce() -> T) -> u64 {
    let mut made = None;
    let counted = allocation_counter::measure(|| made = Some(work()));
    drop(made);
    counted.count_total
}

#[test]
fn the_hashes_of_an_order_need_a_buffer_and_no_copies_of_its_fields() {
    let record = any_record();
    let mapped = any_mapped();
    let key = FieldKey([7; 16]);
    let row = allocations(|| mapping().row_hash(&record));
    assert!(row <= 2, "{row} allocations for a row's hash");
    let content = allocations(|| rules::content_hash(&mapped.order));
    assert!(content <= 4, "{content} allocations for a content hash");
    let fields = allocations(|| rules::field_hashes(&mapped.order, &key));
    assert!(fields <= 8, "{fields} allocations for the hashes per field");
}

fn code(number: usize) -> OrderCode {
    OrderCode(format!("2026-{number:07}"))
}

async fn ledger_of(file: &Path, orders: usize) {
    let ledger = Ledger::open_inline(file).unwrap();
    let fill = move |connection: &Connection| {
        for number in 0..orders {
            let mut entry = Entry::new(code(number), ShopKey(number.to_string()), Timestamp::UNIX_EPOCH);
            entry.state = State::Sent;
            entry.row_hash = Some(RowHash([1; 16]));
            entry.fingerprint = Some(1);
            entry.wanted = Some(PayloadHash([2; 16]));
            entry.sent = Some(PayloadHash([2; 16]));
            entry.agreed.known = true;
            orders::put(connection, &entry)?;
        }
        Ok(())
    };
    ledger.write(fill).await.unwrap();
}

/// Instructions of SQLite's machine that some work takes.
fn steps(file: &Path, work: impl Fn(&Connection)) -> u64 {
    let mut connection = open_reader(file).unwrap();
    // Preparing the statements is not what is counted.
    work(&connection);
    let count = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&count);
    let handler = move || {
        counting.fetch_add(1, Ordering::Relaxed);
        false
    };
    connection.progress_handler(1, Some(handler)).unwrap();
    work(&connection);
    count.load(Ordering::Relaxed)
}

/// What a poll and a send pass ask of the ledger when nothing changed.
fn ask_all(connection: &Connection) {
    let now = Timestamp::UNIX_EPOCH;
    cursors::get_time(connection, cursors::name::CURSOR).unwrap();
    let overlap: Vec<OrderCode> = (40..60).map(code).collect();
    let marks = orders::marks(connection, overlap.iter()).unwrap();
    assert!(marks.iter().all(Option::is_some));
    let retried = "state = 'parked' AND row_hash IS NULL AND missing_since IS NULL";
    assert!(orders::codes(connection, retried, 100).unwrap().is_empty());
    assert_eq!(
        orders::count(connection, "state = 'waiting' AND lane = 3").unwrap(),
        0
    );
    assert!(
        orders::select(connection, "delete_wanted = 1", 100)
            .unwrap()
            .is_empty()
    );
    for lane in [Lane::New, Lane::Update, Lane::Backlog, Lane::Resend] {
        assert!(orders::due(connection, now, lane, 128).unwrap().is_empty());
    }
    assert_eq!(orders::due_after(connection, now).unwrap(), None);
    assert!(inbox::open_of(connection, &code(50)).unwrap().is_empty());
    assert!(inbox::newest_status(connection, &code(50)).unwrap().is_none());
    // The heartbeat's.
    assert!(orders::totals(connection).unwrap()[State::Sent as usize] >= 100);
    assert!(inbox::totals(connection).unwrap().is_empty());
}

#[tokio::test]
async fn a_pass_in_which_nothing_changed_costs_the_same_with_fifty_times_the_orders() {
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (folder.path().join("small.db"), folder.path().join("large.db"));
    ledger_of(&small, 100).await;
    ledger_of(&large, 5_000).await;
    let few = steps(&small, ask_all);
    let many = steps(&large, ask_all);
    assert!(few > 100, "{few} steps: nothing was counted");
    assert!(
        many <= few + few / 10,
        "{few} steps with 100 orders, {many} with 5,000"
    );
}

/// What the tables themselves say.
fn counted(connection: &Connection, table: &str) -> Vec<(String, i64)> {
    let sql = format!("SELECT state, count(*) FROM {table} GROUP BY state ORDER BY state");
    let mut statement = connection.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn the_totals_are_what_a_count_would_say_whatever_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    ledger_of(&file, 40).await;
    let ledger = Ledger::open_inline(&file).unwrap();
    let now = Timestamp::UNIX_EPOCH;
    let work = move |connection: &Connection| {
        let states = [State::Waiting, State::Sent, State::Parked, State::Deleted];
        for number in 0..200 {
            let before = orders::get(connection, &code(number % 40))?;
            let mut entry = before
                .clone()
                .unwrap_or_else(|| Entry::new(code(number % 40), ShopKey("1".into()), Timestamp::UNIX_EPOCH));
            entry.state = states[number * 7 % 4];
            entry.attempts += 1;
            match (number % 5, &before) {
                (0, _) => orders::remove(connection, &entry.code)?,
                (1, Some(before)) => orders::change(connection, before, &entry)?,
                _ => orders::put(connection, &entry)?,
            }
        }
        for id in 0..50 {
            let event = Event {
                id: EventId(id % 40),
                general: false,
                webhook: WebhookId(1),
                kind: "package_number".into(),
                code: Some(code(3)),
                creation: "2026-07-01 12:00:00".into(),
                at: now,
                received: now,
                status: None,
                package_number: Some("Z1".into()),
                text: None,
                state: "new".into(),
                initial: false,
                pushed: false,
                attempts: 0,
                due: now,
                reason: None,
            };
            inbox::insert(connection, &event, now)?;
            if id % 3 == 0 {
                inbox::finish(connection, event.id, false, "applied", None, now)?;
            }
            if id % 7 == 0 {
                inbox::postpone(connection, &event, "stuck", 12, now, "no")?;
            }
        }
        let later = Timestamp::from_second(1).unwrap();
        assert!(inbox::prune(connection, later, later)? > 0);
        let totals = orders::totals(connection)?;
        let all: Vec<(String, i64)> = states
            .iter()
            .map(|state| (state.as_str().to_owned(), totals[*state as usize]))
            .filter(|(_, count)| *count > 0)
            .collect();
        let mut counted_orders = counted(connection, "orders");
        counted_orders.sort_by_key(|(name, _)| states.iter().position(|state| state.as_str() == name));
        assert_eq!(all, counted_orders);
        assert!(all.len() >= 3, "{all:?}");
        assert_eq!(inbox::totals(connection)?, counted(connection, "events"));
        assert!(counted(connection, "events").len() >= 2);
        Ok(())
    };
    ledger.write(work).await.unwrap();
}

#[tokio::test]
async fn an_order_that_is_known_costs_few_steps_and_allocations() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    ledger_of(&file, 1_000).await;
    let codes: Vec<OrderCode> = (0..1_000).map(code).collect();
    let look = |connection: &Connection| {
        assert_eq!(orders::marks(connection, codes.iter()).unwrap().len(), 1_000);
    };
    let steps = steps(&file, look);
    assert!(steps <= 1_000 * 30, "{steps} steps for 1,000 look-ups");
    let connection = open_reader(&file).unwrap();
    look(&connection);
    let made = allocations(|| look(&connection));
    assert!(made <= 1_000, "{made} allocations for 1,000 look-ups");
}

#[tokio::test]
async fn a_change_writes_what_the_entry_says_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    ledger_of(&file, 3).await;
    let ledger = Ledger::open_inline(&file).unwrap();
    let (before, after, other) = ledger
        .write(|connection| {
            let before = orders::get(connection, &code(1))?.unwrap();
            let mut wanted = before.clone();
            wanted.state = State::Waiting;
            wanted.fields = Some(vec![1, 2, 3]);
            wanted.agreed.shop = Some("packed".into());
            wanted.agreed.owed = true;
            wanted.status_event = Some((Timestamp::UNIX_EPOCH, 7));
            wanted.answer = Some("accepted".into());
            wanted.attempts = 3;
            orders::change(connection, &before, &wanted)?;
            orders::change(connection, &wanted, &wanted)?;
            assert_eq!(orders::get(connection, &code(1))?.as_ref(), Some(&wanted));
            orders::change(connection, &wanted, &before)?;
            Ok((
                before,
                orders::get(connection, &code(1))?.unwrap(),
                orders::get(connection, &code(2))?.unwrap(),
            ))
        })
        .await
        .unwrap();
    assert_eq!(before, after);
    assert_eq!(other.state, State::Sent);
}
