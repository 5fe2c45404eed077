//! Orders out of PostgreSQL.

use crate::sql_stories::*;
use crate::support::{Db, Postgres, codes, postgres_server, psql, read};
use brani_sync::config::secret::Secret;
use brani_sync::source::sql::SqlSource;
use brani_sync::source::{Source, SourceError, Value};
use jiff::civil::date;

const LOCAL: [&str; 3] = [
    "'2026-07-15 12:00:00'",
    "'2026-07-15 13:00:00'",
    "'2026-07-15 14:00:00'",
];

fn with(cursor: &str, values: [&str; 3]) -> Db {
    let db = Postgres::create();
    shop(&db, cursor);
    three(&db, values);
    db
}

#[tokio::test]
async fn timestamp_is_the_shops_wall_clock() {
    the_cursor_finds_what_it_should(&with("timestamp", LOCAL)).await;
}

#[tokio::test]
async fn timestamptz_is_a_moment() {
    let moments = [
        "'2026-07-15 12:00:00+02'",
        "'2026-07-15 11:00:00+00'",
        "'2026-07-15 12:00:00+00'",
    ];
    the_cursor_finds_what_it_should(&with("timestamptz", moments)).await;
}

#[tokio::test]
async fn text_is_compared_as_text() {
    the_cursor_finds_what_it_should(&with("text", LOCAL)).await;
    let offsets = [
        "'2026-07-15T12:00:00+02:00'",
        "'2026-07-15T13:00:00+02:00'",
        "'2026-07-15T14:00:00+02:00'",
    ];
    the_cursor_finds_what_it_should(&with("varchar(40)", offsets)).await;
}

#[tokio::test]
async fn seconds_and_milliseconds() {
    the_cursor_finds_what_it_should(&with("integer", ["1784109600", "1784113200", "1784116800"])).await;
    let millis = ["1784109600000", "1784113200000", "1784116800000"];
    the_cursor_finds_what_it_should(&with("bigint", millis)).await;
    the_cursor_finds_what_it_should(&with("numeric", ["1784109600", "1784113200", "1784116800"])).await;
}

#[tokio::test]
async fn the_october_night_loses_no_row() {
    let db = with(
        "timestamp",
        [
            "'2025-10-26 02:40:00'",
            "'2025-10-26 02:10:00'",
            "'2025-10-26 04:00:00'",
        ],
    );
    let source = db.source(ORDERS, ITEMS);
    assert_eq!(codes(&source, "2025-10-26T00:50:00Z").await.len(), 3);
}

#[tokio::test]
async fn values_come_as_the_database_has_them() {
    let db = Postgres::create();
    db.sql("CREATE TYPE colour AS ENUM ('modrá'); CREATE DOMAIN amount AS numeric(12,4)");
    db.sql("CREATE TABLE orders (id uuid PRIMARY KEY, code integer, changed timestamptz, price amount, paid boolean, remark jsonb, created date, state colour, tags text[])");
    db.sql("CREATE TABLE items (order_id uuid, sku text, qty numeric, weight double precision, vat real)");
    db.sql("INSERT INTO orders VALUES ('6d33d5bc-0b65-4284-9c1a-dcd7a4f4d31c', 123, '2026-07-15 12:00:00+02', 1234567.0010, true, '{\"a\": \"ž\"}', '2026-07-15', 'modrá', '{a,b}')");
    db.sql("INSERT INTO items VALUES ('6d33d5bc-0b65-4284-9c1a-dcd7a4f4d31c', 'a', -0.00012, 0.1, 21)");
    let items = "SELECT order_id AS _key, sku AS code, qty AS amount, weight, vat AS \"vatRate\" FROM items WHERE order_id IN (:keys)";
    let query = "SELECT id AS _key, changed AS _cursor, code, price AS \"price.withVat\", paid, remark AS \"notes.customerRemark\", created AS \"creationTime\", state AS _status FROM orders WHERE changed >= :since";
    let source = db.source(query, items);
    let (_, records) = read(&source, None).await.unwrap();
    let record = &records[0];
    let get = |name: &str| record.order.get(name).unwrap().clone();
    assert_eq!(record.key.0, "6d33d5bc-0b65-4284-9c1a-dcd7a4f4d31c");
    assert_eq!(record.code.0, "123");
    assert_eq!(get("price.withVat"), Value::Number("1234567.0010".into()));
    assert_eq!(get("paid"), Value::Bool(true));
    assert_eq!(get("notes.customerRemark"), Value::Text("{\"a\": \"ž\"}".into()));
    assert_eq!(
        get("creationTime"),
        Value::Local(date(2026, 7, 15).at(0, 0, 0, 0))
    );
    assert_eq!(record.status.as_ref().unwrap().0, "modrá");
    let item = &record.items[0];
    assert_eq!(item.get("amount"), Some(&Value::Number("-0.00012".into())));
    assert_eq!(item.get("weight"), Some(&Value::Number("0.1".into())));
    assert_eq!(item.get("vatRate"), Some(&Value::Number("21".into())));
    // A code that is a number is found by its text.
    assert_eq!(source.lookup(&["123".into(), "x".into()]).await.unwrap().len(), 1);
    assert_eq!(source.lookup(&["0123".into()]).await.unwrap().len(), 0);
    let mut settings = db.settings(query, items);
    settings.lookup = Some("SELECT id AS _key, code FROM orders WHERE code IN (:codes)".into());
    let source = SqlSource::new(settings);
    let wanted = ["123".into(), "x".into(), "0123".into(), "'; DROP".into()];
    assert_eq!(source.lookup(&wanted).await.unwrap().len(), 1);
    let arrays = query.replace("remark AS", "tags AS");
    let error = read(&db.source(&arrays, items), None).await.unwrap_err();
    assert!(error.to_string().contains("`notes.customerRemark`"), "{error}");
}

#[tokio::test]
async fn numbers_keep_every_digit() {
    let db = Postgres::create();
    let numbers = [
        "0",
        "0.00",
        "1",
        "-1",
        "10000",
        "100000000",
        "0.0001",
        "0.00010",
        "12345678901234567890.123456789",
        "9999.9999",
        "-0.5",
        "1000000000000000000000",
        "0.1000",
        "123000.00",
    ];
    for number in numbers {
        let source = db.source(
            &format!("SELECT 1 AS _key, now() AS _cursor, 'a' AS code, {number}::numeric AS \"price.withVat\" WHERE now() >= :since"),
            "SELECT 1 AS _key WHERE 1 IN (:keys)",
        );
        let (_, records) = read(&source, None).await.unwrap();
        assert_eq!(
            records[0].order.get("price.withVat"),
            Some(&Value::Number(number.into()))
        );
    }
}

#[tokio::test]
async fn a_killed_session_is_replaced() {
    let db = with("timestamp", LOCAL);
    let source = db.source(ORDERS, ITEMS);
    assert_eq!(source.lookup(&["001".into()]).await.unwrap().len(), 1);
    let killed = psql(
        "postgres",
        &format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}'",
            db.name
        ),
    );
    assert_eq!(killed, "1");
    assert_eq!(source.lookup(&["001".into()]).await.unwrap().len(), 1);
    assert_eq!(read(&source, None).await.unwrap().0.records, 3);
}

#[tokio::test]
async fn a_user_with_select_only_suffices() {
    let db = with("timestamp", LOCAL);
    let user = format!("u{}", &db.name[db.name.len() - 12..]);
    db.sql(&format!(
        "CREATE USER {user}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}"
    ));
    let mut settings = db.settings(ORDERS, ITEMS);
    settings.target.url = Secret::new(postgres_server().url_as(&user, &db.name));
    let source = SqlSource::new(settings);
    let end = read(&source, None).await;
    let findings = source.check().await;
    db.sql(&format!("DROP OWNED BY {user}; DROP USER {user}"));
    assert_eq!(end.unwrap().0.records, 3);
    assert!(
        findings.iter().all(|finding| finding.ok == Some(true)),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_dead_server_is_unavailable_and_a_wrong_database_is_told() {
    let db = with("timestamp", LOCAL);
    let mut settings = db.settings(ORDERS, ITEMS);
    settings.target.url = Secret::new("postgres://postgres@127.0.0.1:1/x");
    assert!(matches!(
        read(&SqlSource::new(settings.clone()), None).await,
        Err(SourceError::Unavailable { .. })
    ));
    settings.target.url = Secret::new(postgres_server().url("no_such_database"));
    match read(&SqlSource::new(settings), None).await {
        Err(SourceError::Query { query, .. }) => assert_eq!(query, "shop.source.url"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_signed_is_refused_where_tls_is_verified() {
    let db = with("timestamp", LOCAL);
    let mut settings = db.settings(ORDERS, ITEMS);
    settings.target.tls = Some(brani_sync::config::Tls::Verify);
    match read(&SqlSource::new(settings), None).await {
        Err(SourceError::Query { query, message, .. }) => {
            assert_eq!(query, "shop.source.tls");
            assert!(message.contains(&postgres_server().address()), "{message}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_stories_of_all_databases() {
    let db = with("timestamp", LOCAL);
    a_broken_query_is_named(&db).await;
    a_dropped_receiver_ends_the_read(&db).await;
    unusable_rows_are_skipped(&db).await;
    orders_are_looked_up_by_code(&db).await;
}

#[tokio::test]
async fn twenty_thousand_rows() {
    let db = Postgres::create();
    shop(&db, "timestamp");
    many_rows_come_in_bounded_batches(
        &db,
        [
            "INSERT INTO orders SELECT n, 'c' || n, 'new', 'x', '2026-07-15 12:00:00' FROM generate_series(1, 20000) n",
            "INSERT INTO items SELECT id, id, 'a', 'b', 1 FROM orders",
        ],
    )
    .await;
}
