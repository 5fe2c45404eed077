//! The work that is done for each order, one kind at a time: hashes, the mapping, the ledger's look-ups and writes.
//!
//! `cargo bench --bench hot_paths`; compare lines of one run with each other, see `docs/performance.md`.

mod shop;

use brani_sync::ledger::Ledger;
use brani_sync::ledger::orders::{self, Entry};
use brani_sync::mapping::{self, Mapping};
use brani_sync::source::{Read, Record};
use brani_sync::types::{FieldKey, OrderCode, ShopKey};
use divan::{Bencher, black_box};
use jiff::Timestamp;
use shop::World;
use std::sync::{Arc, LazyLock};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const ORDERS: usize = 1_000;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static WORLD: LazyLock<World> = LazyLock::new(|| RUNTIME.block_on(World::sent(ORDERS)));
static RECORDS: LazyLock<Vec<Record>> = LazyLock::new(|| {
    RUNTIME.block_on(async {
        let (batches, mut inbox) = mpsc::channel(2);
        let reading = WORLD.parts.context.source.read(Read { since: None }, batches);
        let taking = async {
            let mut records = Vec::new();
            while let Some(batch) = inbox.recv().await {
                records.extend(batch);
            }
            records
        };
        let (end, records) = tokio::join!(reading, taking);
        end.expect("the shop is readable");
        records
    })
});

fn main() {
    divan::main();
}

fn mapping() -> Arc<Mapping> {
    WORLD.parts.context.mapping.get()
}

#[divan::bench]
fn row_hash(bencher: Bencher<'_, '_>) {
    let (mapping, record) = (mapping(), &RECORDS[0]);
    bencher.bench(|| mapping.row_hash(black_box(record)));
}

#[divan::bench]
fn map(bencher: Bencher<'_, '_>) {
    let (mapping, record) = (mapping(), &RECORDS[0]);
    bencher.bench(|| mapping.map(black_box(record)));
}

#[divan::bench]
fn content_hash(bencher: Bencher<'_, '_>) {
    let mapped = mapping().map(&RECORDS[0]).expect("it maps");
    bencher.bench(|| mapping::content_hash(black_box(&mapped.order)));
}

#[divan::bench]
fn field_hashes(bencher: Bencher<'_, '_>) {
    let mapped = mapping().map(&RECORDS[0]).expect("it maps");
    bencher.bench(|| mapping::field_hashes(black_box(&mapped.order), &FieldKey([7; 16])));
}

#[divan::bench]
fn payload_to_json(bencher: Bencher<'_, '_>) {
    let mapped = mapping().map(&RECORDS[0]).expect("it maps");
    bencher.bench(|| serde_json::to_vec(black_box(&mapped.order)));
}

/// The full entries of 1,000 known orders, in key order.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn ledger_get_1000(bencher: Bencher<'_, '_>) {
    let codes: Vec<OrderCode> = RECORDS.iter().map(|record| record.code.clone()).collect();
    let ledger = &WORLD.parts.context.ledger;
    bencher.with_inputs(|| codes.clone()).bench_values(|codes| {
        let read = ledger.read(move |connection| orders::get_many(connection, &codes));
        RUNTIME.block_on(read).expect("the ledger is readable")
    });
}

/// What a poll asks of the same orders: four columns, to see that nothing changed.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn ledger_marks_1000(bencher: Bencher<'_, '_>) {
    let codes: Vec<OrderCode> = RECORDS.iter().map(|record| record.code.clone()).collect();
    let ledger = &WORLD.parts.context.ledger;
    bencher.with_inputs(|| codes.clone()).bench_values(|codes| {
        let read = ledger.read(move |connection| orders::marks(connection, codes.iter()));
        RUNTIME.block_on(read).expect("the ledger is readable")
    });
}

/// The same full entries, each by a call of its own.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn ledger_get_1000_one_by_one(bencher: Bencher<'_, '_>) {
    let codes: Vec<OrderCode> = RECORDS.iter().map(|record| record.code.clone()).collect();
    let ledger = &WORLD.parts.context.ledger;
    bencher.with_inputs(|| codes.clone()).bench_values(|codes| {
        let read = ledger.read(move |connection| {
            let entries = codes.iter().map(|code| orders::get(connection, code));
            entries.collect::<Result<Vec<_>, _>>()
        });
        RUNTIME.block_on(read).expect("the ledger is readable")
    });
}

/// The copy of an order's items that a read makes only where an order comes twice.
#[divan::bench]
fn items_copied(bencher: Bencher<'_, '_>) {
    let record = &RECORDS[0];
    bencher.bench(|| black_box(record).items.clone());
}

/// 320 durable writes of one order each, by so many writers at once.
#[divan::bench(args = [1, 16], sample_count = 5, sample_size = 1)]
fn ledger_put_320_by_writers(bencher: Bencher<'_, '_>, writers: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::open(&folder.path().join("ledger.db"), "bench").expect("a ledger");
    bencher.bench(|| {
        RUNTIME.block_on(async {
            let tasks: Vec<_> = (0..writers)
                .map(|writer| tokio::spawn(write(ledger.clone(), writer, 320 / writers)))
                .collect();
            for task in tasks {
                task.await.expect("a writer ends well");
            }
        });
    });
}

async fn write(ledger: Ledger, writer: usize, count: usize) {
    for number in 0..count {
        let code = OrderCode(format!("{writer}-{number}"));
        let entry = Entry::new(code, ShopKey("1".into()), Timestamp::UNIX_EPOCH);
        ledger
            .write(move |connection| orders::put(connection, &entry))
            .await
            .expect("the ledger is writable");
    }
}
