//! Orders out of MariaDB (and MySQL).

use crate::sql_stories::*;
use crate::support::{Db, MariaDb, codes, mysql, mysql_server, read};
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
    let db = MariaDb::create();
    shop(&db, cursor);
    three(&db, values);
    db
}

#[tokio::test]
async fn datetime_is_the_shops_wall_clock() {
    the_cursor_finds_what_it_should(&with("DATETIME", LOCAL)).await;
}

#[tokio::test]
async fn text_is_compared_as_text() {
    the_cursor_finds_what_it_should(&with("VARCHAR(40)", LOCAL)).await;
    let zoned = [
        "'2026-07-15T10:00:00Z'",
        "'2026-07-15T11:00:00Z'",
        "'2026-07-15T12:00:00Z'",
    ];
    the_cursor_finds_what_it_should(&with("VARCHAR(40)", zoned)).await;
}

#[tokio::test]
async fn seconds_and_milliseconds() {
    the_cursor_finds_what_it_should(&with("INT UNSIGNED", ["1784109600", "1784113200", "1784116800"])).await;
    let millis = ["1784109600000", "1784113200000", "1784116800000"];
    the_cursor_finds_what_it_should(&with("BIGINT", millis)).await;
    the_cursor_finds_what_it_should(&with(
        "VARCHAR(20)",
        ["'1784109600'", "'1784113200'", "'1784116800'"],
    ))
    .await;
}

#[tokio::test]
async fn timestamp_is_a_moment_whatever_the_servers_zone() {
    let moments = [
        "FROM_UNIXTIME(1784109600)",
        "FROM_UNIXTIME(1784113200)",
        "FROM_UNIXTIME(1784116800)",
    ];
    the_cursor_finds_what_it_should(&with("TIMESTAMP NULL", moments)).await;
}

#[tokio::test]
async fn the_october_night_loses_no_row() {
    // 02:40 of summer time, then the clock is put back, then 02:10 of winter time.
    let db = with(
        "DATETIME",
        [
            "'2025-10-26 02:40:00'",
            "'2025-10-26 02:10:00'",
            "'2025-10-26 04:00:00'",
        ],
    );
    let source = db.source(ORDERS_MYSQL, ITEMS);
    // Since 00:50 UTC (02:50 of summer time): the row at 02:10 of winter time came after that.
    assert_eq!(codes(&source, "2025-10-26T00:50:00Z").await.len(), 3);
}

#[tokio::test]
async fn zero_dates_are_null_and_do_not_end_a_read() {
    let db = with("DATETIME NULL", LOCAL);
    db.sql("SET sql_mode=''; INSERT INTO orders (id, code, state, name, changed) VALUES (9, '009', 'new', 'x', '0000-00-00 00:00:00')");
    let source = db.source(ORDERS_MYSQL, ITEMS);
    let (_, records) = read(&source, None).await.unwrap();
    assert_eq!(records.len(), 4);
    let zero = records.iter().find(|record| record.code.0 == "009").unwrap();
    assert_eq!(zero.order.get("_cursor"), Some(&Value::Null));
    assert_eq!(zero.changed, None);
    assert_eq!(source.lookup(&["009".into()]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn values_come_as_the_database_has_them() {
    let db = MariaDb::create();
    db.sql("CREATE TABLE orders (id BIGINT UNSIGNED PRIMARY KEY, code CHAR(9), changed DATETIME(6), dec_ DECIMAL(20,6), dbl DOUBLE, flt FLOAT, flag TINYINT(1), big BIGINT UNSIGNED, bits BIT(4), js JSON, day DATE, ts TIMESTAMP NULL, tm TIME, en ENUM('a','ž'), bin BLOB)");
    db.sql("CREATE TABLE items (id INT, order_id BIGINT, sku TEXT, name TEXT, qty DOUBLE)");
    db.sql("SET time_zone='+00:00'; INSERT INTO orders VALUES (18446744073709551615, '000123', '2026-07-15 12:00:00.250000', 0.1, 0.1, 1.5, 1, 18446744073709551615, b'101', '{\"a\": \"ž\"}', '2026-07-15', '2026-07-15 10:00:00', '12:30:00', 'ž', 'a\\0b')");
    // Any known column will do to carry a value.
    let source = db.source(
        "SELECT id AS _key, changed AS _cursor, code, dec_ AS `price.withVat`, dbl AS `price.toPay`, flt AS phone, flag AS paid, big AS externalCode, bits AS vs, js AS `notes.customerRemark`, day AS creationTime, ts AS companyId, tm AS vatId, en AS taxId, bin AS adminUrl FROM orders WHERE changed >= :since",
        ITEMS,
    );
    let (_, records) = read(&source, None).await.unwrap();
    let record = &records[0];
    assert_eq!(record.key.0, "18446744073709551615");
    assert_eq!(record.code.0, "000123");
    for (name, value) in [
        ("price.withVat", Value::Number("0.100000".into())),
        ("price.toPay", Value::Number("0.1".into())),
        ("phone", Value::Number("1.5".into())),
        ("paid", Value::Int(1)),
        ("externalCode", Value::Number("18446744073709551615".into())),
        ("vs", Value::Int(5)),
        ("notes.customerRemark", Value::Text("{\"a\": \"ž\"}".into())),
        ("creationTime", Value::Local(date(2026, 7, 15).at(0, 0, 0, 0))),
        ("companyId", Value::Time("2026-07-15T10:00:00Z".parse().unwrap())),
        ("vatId", Value::Text("12:30:00".into())),
        ("taxId", Value::Text("ž".into())),
        ("adminUrl", Value::Text("a\u{fffd}b".into())),
    ] {
        assert_eq!(record.order.get(name), Some(&value), "{name}");
    }
}

#[tokio::test]
async fn a_killed_session_is_replaced() {
    let db = with("DATETIME", LOCAL);
    let source = db.source(ORDERS_MYSQL, ITEMS);
    assert_eq!(source.lookup(&["001".into()]).await.unwrap().len(), 1);
    let killed = db.sql(&format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{}' AND ID <> CONNECTION_ID()",
        db.name
    ));
    assert!(!killed.is_empty());
    for id in killed.lines() {
        mysql("mysql", &format!("KILL {id}"));
    }
    assert_eq!(source.lookup(&["001".into()]).await.unwrap().len(), 1);
    assert_eq!(read(&source, None).await.unwrap().0.records, 3);
}

#[tokio::test]
async fn a_user_with_select_only_suffices_and_a_wrong_one_is_told() {
    let db = with("DATETIME", LOCAL);
    let user = format!("u{}", &db.name[db.name.len() - 12..]);
    db.sql(&format!(
        "CREATE USER {user}@'%' IDENTIFIED BY 'tajne-heslo'; GRANT SELECT ON {}.* TO {user}@'%'",
        db.name
    ));
    let mut settings = db.settings(ORDERS_MYSQL, ITEMS);
    settings.target.url = Secret::new(mysql_server().url_as(&user, &db.name));
    settings.target.password = Some(Secret::new("tajne-heslo"));
    let source = SqlSource::new(settings.clone());
    let read_by_it = read(&source, None).await;
    let findings = source.check().await;
    settings.target.password = Some(Secret::new("jine-heslo"));
    let refused = read(&SqlSource::new(settings), None).await;
    db.sql(&format!("DROP USER {user}@'%'"));
    assert_eq!(read_by_it.unwrap().0.records, 3);
    assert!(
        findings.iter().all(|finding| finding.ok == Some(true)),
        "{findings:?}"
    );
    match refused {
        Err(SourceError::Query { query, message, .. }) => {
            assert_eq!(query, "shop.source.url");
            assert!(!message.contains("jine-heslo"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_dead_server_is_unavailable() {
    let db = with("DATETIME", LOCAL);
    let mut settings = db.settings(ORDERS_MYSQL, ITEMS);
    settings.target.url = Secret::new("mysql://root@127.0.0.1:1/x");
    assert!(matches!(
        read(&SqlSource::new(settings), None).await,
        Err(SourceError::Unavailable { .. })
    ));
}

#[tokio::test]
async fn a_server_without_encryption_is_refused_where_tls_is_verified() {
    let db = with("DATETIME", LOCAL);
    let mut settings = db.settings(ORDERS_MYSQL, ITEMS);
    settings.target.tls = Some(brani_sync::config::Tls::Verify);
    match read(&SqlSource::new(settings), None).await {
        Err(SourceError::Query { query, message, .. }) => {
            assert_eq!(query, "shop.source.tls");
            assert!(message.contains(&mysql_server().address()), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_unix_socket_is_used_where_it_is_set() {
    let db = with("DATETIME", LOCAL);
    let socket = mysql("mysql", "SELECT @@socket");
    let settings = db.settings(ORDERS_MYSQL, ITEMS).with_socket(&socket);
    assert_eq!(read(&SqlSource::new(settings), None).await.unwrap().0.records, 3);
}

#[tokio::test]
async fn the_extra_query_is_laid_over_and_lists_are_read() {
    let db = with("DATETIME", LOCAL);
    let mut settings = db.settings(ORDERS_MYSQL, ITEMS);
    settings.extra = Some("SELECT id AS _key, CONCAT('CZ', id) AS `notes.customerRemark`, 'Jiná' AS `deliveryAddress.fullName` FROM orders WHERE id IN (:keys) AND id < 3".into());
    settings.lookup = Some(
        "SELECT id AS _key, changed AS _cursor, code, state AS _status FROM orders WHERE code IN (:codes)"
            .into(),
    );
    settings.lists.statuses =
        Some("SELECT state AS shop, -5 AS id, 'Nová' AS name FROM orders LIMIT 1;".into());
    let source = SqlSource::new(settings);
    let (_, records) = read(&source, None).await.unwrap();
    let value = |index: usize, name: &str| records[index].order.get(name).unwrap().to_text();
    assert_eq!(value(0, "notes.customerRemark"), "CZ1");
    assert_eq!(value(0, "deliveryAddress.fullName"), "Jiná");
    assert_eq!(value(2, "notes.customerRemark"), "");
    assert_eq!(value(2, "deliveryAddress.fullName"), "张伟 🌷");
    let found = source.lookup(&["002".into()]).await.unwrap();
    assert_eq!(
        found[0].order.get("notes.customerRemark").unwrap().to_text(),
        "CZ2"
    );
    let lists = source.lists().await.unwrap();
    assert_eq!(
        (lists.statuses[0].id, lists.statuses[0].name.as_str()),
        (Some(-5), "Nová")
    );
}

#[tokio::test]
async fn a_wrong_zone_or_a_blind_query_is_found_by_check() {
    let db = with("DATETIME", LOCAL);
    let blind = "SELECT id AS _key, changed AS _cursor, code FROM orders WHERE :since IS NOT NULL";
    let findings = db.source(blind, ITEMS).check().await;
    assert!(
        findings
            .iter()
            .any(|f| f.ok == Some(false) && f.text.contains("years ahead")),
        "{findings:?}"
    );
    let mut settings = db.settings(ORDERS_MYSQL, ITEMS);
    settings.cursor = brani_sync::config::Cursor::Epoch;
    let findings = SqlSource::new(settings).check().await;
    assert!(findings.iter().any(|f| f.ok == Some(false)), "{findings:?}");
}

#[tokio::test]
async fn check_reads_no_order_of_former_years_where_there_is_a_recent_one() {
    let db = with(
        "DATETIME",
        ["'2019-07-15 12:00:00'", "'2019-07-15 13:00:00'", "NOW()"],
    );
    db.sql("DROP INDEX orders_changed ON orders");
    // breaks as soon as it is asked of an old order
    let query = "SELECT o.id AS _key, o.changed AS _cursor, o.code FROM orders o WHERE o.changed >= :since \
                 AND IF(o.changed < '2020-01-01', (SELECT o.id UNION SELECT -o.id), 1) <> 0";
    let findings = db.source(query, ITEMS).check().await;
    assert!(
        findings
            .iter()
            .any(|f| f.ok == Some(true) && f.text.contains("finds that row")),
        "{findings:?}"
    );
}

#[tokio::test]
async fn the_stories_of_all_databases() {
    let db = with("DATETIME", LOCAL);
    a_broken_query_is_named(&db).await;
    a_dropped_receiver_ends_the_read(&db).await;
    unusable_rows_are_skipped(&db).await;
    orders_are_looked_up_by_code(&db).await;
}

#[tokio::test]
async fn twenty_thousand_rows() {
    let db = MariaDb::create();
    shop(&db, "DATETIME");
    many_rows_come_in_bounded_batches(
        &db,
        [
            // MySQL has no sequence to select from
            "INSERT INTO orders WITH d(n) AS (SELECT 0 UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 \
             UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9), numbers(n) AS (SELECT a.n \
             + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 1 FROM d a, d b, d c, d, d e WHERE e.n < 2) \
             SELECT n, CONCAT('c', n), 'new', 'x', '2026-07-15 12:00:00' FROM numbers",
            "INSERT INTO items SELECT id, id, 'a', 'b', 1 FROM orders",
        ],
    )
    .await;
}
