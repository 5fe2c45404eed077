//! Orders out of SQLite.

use crate::sql_stories::*;
use crate::support::{Sqlite, codes, read};
use brani_sync::source::{Source, SourceError, Value};

const MOMENTS: [&str; 3] = [
    "'2026-07-15 12:00:00'",
    "'2026-07-15 13:00:00'",
    "'2026-07-15 14:00:00'",
];

#[tokio::test]
async fn text_in_the_shops_zone() {
    for kind in ["TEXT", "DATETIME", "TIMESTAMP", ""] {
        let db = Sqlite::create();
        shop(&db, kind);
        three(&db, MOMENTS);
        the_cursor_finds_what_it_should(&db).await;
    }
}

#[tokio::test]
async fn text_with_a_t_a_fraction_and_a_zone() {
    for form in [
        [
            "'2026-07-15T12:00:00'",
            "'2026-07-15T13:00:00'",
            "'2026-07-15T14:00:00.9'",
        ],
        [
            "'2026-07-15T10:00:00Z'",
            "'2026-07-15T11:00:00Z'",
            "'2026-07-15T12:00:00Z'",
        ],
        [
            "'2026-07-15T12:00:00+02:00'",
            "'2026-07-15T13:00:00+02:00'",
            "'2026-07-15T14:00:00+02:00'",
        ],
        [
            "'2026-07-15 10:00:00+0000'",
            "'2026-07-15 11:00:00+0000'",
            "'2026-07-15 12:00:00+0000'",
        ],
        ["'1784109600'", "'1784113200'", "'1784116800'"],
        ["'1784109600000'", "'1784113200000'", "'1784116800000'"],
    ] {
        let db = Sqlite::create();
        shop(&db, "TEXT");
        three(&db, form);
        let source = db.source(ORDERS, ITEMS);
        assert_eq!(
            codes(&source, "2026-07-15T09:59:59Z").await,
            ["001", "002", "003"],
            "{form:?}"
        );
        assert_eq!(
            codes(&source, "2026-07-15T10:00:00Z").await,
            ["001", "002", "003"],
            "{form:?}"
        );
        assert_eq!(
            codes(&source, "2026-07-15T10:00:01Z").await,
            ["002", "003"],
            "{form:?}"
        );
        let (_, records) = read(&source, None).await.unwrap();
        assert_eq!(
            records[0].changed.unwrap().to_string(),
            "2026-07-15T10:00:00Z",
            "{form:?}"
        );
    }
}

#[tokio::test]
async fn seconds_and_milliseconds() {
    for (kind, values) in [
        ("INTEGER", ["1784109600", "1784113200", "1784116800"]),
        ("INTEGER", ["1784109600000", "1784113200000", "1784116800000"]),
        ("", ["1784109600", "1784113200", "1784116800"]),
        ("DATETIME", ["1784109600", "1784113200", "1784116800"]),
    ] {
        let db = Sqlite::create();
        shop(&db, kind);
        three(&db, values);
        the_cursor_finds_what_it_should(&db).await;
    }
}

#[tokio::test]
async fn an_empty_shop_is_looked_at_again() {
    let db = Sqlite::create();
    shop(&db, "INTEGER");
    let source = db.source(ORDERS, ITEMS);
    assert_eq!(read(&source, None).await.unwrap().0.records, 0);
    three(&db, ["1784109600000", "1784113200000", "1784116800000"]);
    assert_eq!(codes(&source, "2026-07-15T11:00:00Z").await, ["002", "003"]);
}

#[tokio::test]
async fn the_stories_of_all_databases() {
    let db = Sqlite::create();
    shop(&db, "TEXT");
    three(&db, MOMENTS);
    a_broken_query_is_named(&db).await;
    a_dropped_receiver_ends_the_read(&db).await;
    unusable_rows_are_skipped(&db).await;
    orders_are_looked_up_by_code(&db).await;
}

#[tokio::test]
async fn twenty_thousand_rows() {
    let db = Sqlite::create();
    shop(&db, "TEXT");
    many_rows_come_in_bounded_batches(
        &db,
        [
            "INSERT INTO orders WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
             SELECT i, 'c' || i, 'new', 'x', '2026-07-15 12:00:00' FROM n",
            "INSERT INTO items SELECT id, id, 'a', 'b', 1 FROM orders",
        ],
    )
    .await;
}

#[tokio::test]
async fn numbers_as_codes_keep_their_digits_and_are_found() {
    let db = Sqlite::create();
    db.sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, number INTEGER, changed TEXT, price REAL)");
    db.sql("CREATE TABLE items (id INTEGER, order_id INTEGER, sku TEXT, name TEXT, qty REAL)");
    db.sql("INSERT INTO orders VALUES (1, 1001, '2026-07-15 12:00:00', 0.1)");
    for code in ["number", "number + 0"] {
        let source = db.source(
            &format!("SELECT id AS _key, changed AS _cursor, {code} AS code, price AS \"price.withVat\" FROM orders WHERE changed >= :since"),
            ITEMS,
        );
        let found = source.lookup(&["1001".into()]).await.unwrap();
        assert_eq!(found.len(), 1, "{code}");
        assert_eq!(found[0].code.0, "1001");
        assert_eq!(
            found[0].order.get("price.withVat"),
            Some(&Value::Number("0.1".into()))
        );
    }
}

#[tokio::test]
async fn a_missing_file_is_unavailable_and_not_created() {
    let db = Sqlite::create();
    let mut settings = db.settings(ORDERS, ITEMS);
    let missing = format!("{}.missing", db.name);
    settings.target.url = brani_sync::config::secret::Secret::new(format!("sqlite://{missing}"));
    let source = brani_sync::source::sql::SqlSource::new(settings);
    assert!(matches!(
        read(&source, None).await,
        Err(SourceError::Unavailable { .. })
    ));
    assert!(!std::path::Path::new(&missing).exists());
}
