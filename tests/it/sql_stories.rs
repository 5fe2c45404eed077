//! What must hold on every database alike; the files `source_*.rs` tell each story with their own column types.

use crate::support::{Db, codes, read};
use brani_sync::source::{Source, SourceError, Value};
use brani_sync::types::OrderCode;

pub const ITEMS: &str = "SELECT order_id AS _key, sku AS code, name AS name, qty AS amount FROM items WHERE order_id IN (:keys) ORDER BY id";

/// The orders query over a table `orders` whose cursor is `changed`.
pub const ORDERS: &str = "SELECT o.id AS _key, o.changed AS _cursor, o.code AS code, o.state AS _status, o.name AS \
     \"deliveryAddress.fullName\" FROM orders o WHERE o.changed >= :since -- not :this\n ORDER BY o.changed, o.id;";

pub const ORDERS_MYSQL: &str = "SELECT o.id AS _key, o.changed AS _cursor, o.code AS code, o.state AS _status, o.name AS \
     `deliveryAddress.fullName` FROM orders o WHERE o.changed >= :since -- not :this\n ORDER BY o.changed, o.id;";

pub fn orders(db: &Db) -> &'static str {
    match db.dialect {
        brani_sync::database::parameters::Dialect::Mysql => ORDERS_MYSQL,
        _ => ORDERS,
    }
}

/// Tables whose cursor column has this type.
pub fn shop(db: &Db, cursor: &str) {
    db.sql(&format!(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, code VARCHAR(60), state VARCHAR(30), name VARCHAR(100), changed {cursor})"
    ));
    db.sql("CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER, sku VARCHAR(30), name VARCHAR(100), qty DECIMAL(10,3))");
    db.sql("CREATE INDEX orders_changed ON orders (changed)");
}

/// Three orders, at these three values of the cursor.
pub fn three(db: &Db, values: [&str; 3]) {
    for (index, (value, name)) in values
        .iter()
        .zip(["Žofie Příkladná", "Ľubomír Ukážka", "张伟 🌷"])
        .enumerate()
    {
        let id = index + 1;
        db.sql(&format!(
            "INSERT INTO orders (id, code, state, name, changed) VALUES ({id}, '00{id}', 'new', '{name}', {value})"
        ));
        db.sql(&format!(
            "INSERT INTO items (id, order_id, sku, name, qty) VALUES ({id}, {id}, 'ruze', 'Růže', 1.500)"
        ));
    }
}

/// The three stand at 10:00, 11:00 and 12:00 UTC of 15 July 2026; each moment finds what it should.
pub async fn the_cursor_finds_what_it_should(db: &Db) {
    let source = db.source(orders(db), ITEMS);
    let (end, all) = read(&source, None).await.unwrap();
    assert_eq!(end.records, 3);
    assert_eq!(
        all.iter().map(|r| r.code.0.as_str()).collect::<Vec<_>>(),
        ["001", "002", "003"]
    );
    assert_eq!(
        all[2].order.get("deliveryAddress.fullName"),
        Some(&Value::Text("张伟 🌷".into()))
    );
    assert_eq!(all[1].items.len(), 1);
    assert_eq!(all[1].items[0].get("name"), Some(&Value::Text("Růže".into())));
    assert_eq!(
        all.iter()
            .map(|r| r.changed.unwrap().to_string())
            .collect::<Vec<_>>(),
        [
            "2026-07-15T10:00:00Z",
            "2026-07-15T11:00:00Z",
            "2026-07-15T12:00:00Z"
        ]
    );
    assert_eq!(
        codes(&source, "2026-07-15T09:59:59Z").await,
        ["001", "002", "003"]
    );
    assert_eq!(
        codes(&source, "2026-07-15T10:00:00Z").await,
        ["001", "002", "003"]
    );
    assert_eq!(codes(&source, "2026-07-15T10:00:01Z").await, ["002", "003"]);
    assert_eq!(codes(&source, "2026-07-15T12:00:00.5Z").await, ["003"]);
    assert_eq!(codes(&source, "2026-07-15T12:00:01Z").await, Vec::<String>::new());
    let apart =
        brani_sync::clock::Clock::now(&brani_sync::clock::SystemClock).as_second() - end.started.as_second();
    assert!(apart.abs() < 60, "the database's clock is {apart} s off");
    for finding in source.check().await {
        assert_ne!(finding.ok, Some(false), "{finding:?}");
    }
}

/// Look-ups by code: exact, many, hostile, none.
pub async fn orders_are_looked_up_by_code(db: &Db) {
    let hostile = "'; DROP TABLE orders; --";
    db.sql(&format!(
        "INSERT INTO orders (id, code, state, name, changed) SELECT 10, '{}', 'new', 'x', changed FROM orders WHERE id = 1",
        hostile.replace('\'', "''")
    ));
    db.sql("INSERT INTO orders (id, code, state, name, changed) SELECT 11, 'AbC', 'new', 'x', changed FROM orders WHERE id = 1");
    let source = db.source(orders(db), ITEMS);
    let find = async |wanted: &[&str]| {
        let wanted: Vec<OrderCode> = wanted.iter().map(|code| OrderCode::from(*code)).collect();
        let mut found: Vec<String> = source
            .lookup(&wanted)
            .await
            .unwrap()
            .into_iter()
            .map(|record| record.code.0)
            .collect();
        found.sort();
        found
    };
    assert_eq!(find(&["002"]).await, ["002"]);
    assert_eq!(find(&["002", "003", "999"]).await, ["002", "003"]);
    assert_eq!(find(&[hostile]).await, [hostile]);
    assert_eq!(find(&["abc"]).await, Vec::<String>::new());
    assert_eq!(find(&["2"]).await, Vec::<String>::new());
    assert_eq!(find(&["002 "]).await, Vec::<String>::new());
    assert_eq!(find(&["a\0b"]).await, Vec::<String>::new());
    assert_eq!(find(&[]).await, Vec::<String>::new());
    let one = source.lookup(&["002".into()]).await.unwrap();
    assert_eq!(one[0].items.len(), 1);
    assert_eq!(one[0].status.as_ref().unwrap().0, "new");
}

/// A query that names what is not there is the merchant's to mend, with the database's words.
pub async fn a_broken_query_is_named(db: &Db) {
    let source = db.source(
        "SELECT nothing AS _key FROM orders WHERE changed >= :since",
        ITEMS,
    );
    match read(&source, None).await {
        Err(SourceError::Query { query, message, hint }) => {
            assert_eq!(query, "shop.source.orders");
            assert!(message.contains("nothing"), "{message}");
            assert!(hint.is_some());
        }
        other => panic!("{other:?}"),
    }
    let source = db.source(
        "SELECT id AS _key, changed AS _cursor FROM orders WHERE changed >= :since",
        ITEMS,
    );
    let error = read(&source, None).await.unwrap_err();
    assert!(error.to_string().contains("`code`"), "{error}");
    let source = db.source(
        orders(db),
        "SELECT order_id AS _key FROM no_items WHERE order_id IN (:keys)",
    );
    match read(&source, None).await {
        Err(SourceError::Query { query, .. }) => assert_eq!(query, "shop.source.items"),
        other => panic!("{other:?}"),
    }
    let source = db.source("SELECT id AS _key, changed AS _cursor, code FROM orders", ITEMS);
    let error = read(&source, None).await.unwrap_err();
    assert!(error.to_string().contains(":since"), "{error}");
}

/// A receiver that goes away ends the read.
pub async fn a_dropped_receiver_ends_the_read(db: &Db) {
    let mut settings = db.settings(orders(db), ITEMS);
    settings.batch = 1;
    let source = brani_sync::source::sql::SqlSource::new(settings);
    let (batches, mut inbox) = tokio::sync::mpsc::channel(1);
    let reading = source.read(brani_sync::source::Read { since: None }, batches);
    let leaving = async {
        let first = inbox.recv().await;
        drop(inbox);
        first
    };
    let (end, first) = tokio::join!(reading, leaving);
    assert_eq!(first.unwrap().len(), 1);
    assert!(matches!(end, Err(SourceError::Stopped)), "{end:?}");
}

/// Twenty thousand rows come in batches no larger than asked for, each with its items.
pub async fn many_rows_come_in_bounded_batches(db: &Db, fill: [&str; 2]) {
    for sql in fill {
        db.sql(sql);
    }
    let source = db.source(orders(db), ITEMS);
    let (batches, mut inbox) = tokio::sync::mpsc::channel(1);
    let reading = source.read(brani_sync::source::Read { since: None }, batches);
    let counting = async {
        let mut seen = std::collections::HashSet::new();
        while let Some(batch) = inbox.recv().await {
            assert!(batch.len() <= 500);
            for record in batch {
                assert_eq!(record.items.len(), 1, "{}", record.code);
                assert_eq!(record.items[0].get("_key").unwrap().to_text(), record.key.0);
                assert!(seen.insert(record.code));
            }
        }
        seen.len()
    };
    let (end, count) = tokio::join!(reading, counting);
    assert_eq!(end.unwrap().records, 20_000);
    assert_eq!(count, 20_000);
}

/// Rows without a key or a code are left out, and the others come.
pub async fn unusable_rows_are_skipped(db: &Db) {
    db.sql("INSERT INTO orders (id, code, state, name, changed) SELECT 20, NULL, 'new', 'x', changed FROM orders WHERE id = 1");
    db.sql("INSERT INTO orders (id, code, state, name, changed) SELECT 21, ' ', 'new', 'x', changed FROM orders WHERE id = 1");
    let source = db.source(orders(db), ITEMS);
    let (end, records) = read(&source, None).await.unwrap();
    assert_eq!((end.records, records.len()), (3, 3));
}
