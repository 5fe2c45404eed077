//! Packing results written into the shop's database, on all three kinds.

use crate::sql_stories::{ITEMS, orders, shop, three};
use crate::support::{Db, MariaDb, Postgres, Sqlite};
use brani_sync::database::parameters::Dialect;
use brani_sync::types::{EventId, StatusId};
use brani_sync::writeback::sql::{SqlHandler, SqlTarget};
use brani_sync::writeback::{Call, Handler, Outcome, WritebackError};
use std::sync::Arc;
use std::time::Duration;

const TIMES: [&str; 3] = [
    "'2026-07-15 12:00:00'",
    "'2026-07-15 13:00:00'",
    "'2026-07-15 14:00:00'",
];

const SET: &str = "UPDATE orders SET state = :status, changed = :now WHERE id = :key";
const NOTE: &str = "INSERT INTO history (order_id, text, number) VALUES (:key, :text, :event_id)";

fn shops() -> Vec<Db> {
    [
        (Sqlite::create(), "TEXT"),
        (MariaDb::create(), "DATETIME"),
        (Postgres::create(), "timestamp"),
    ]
    .into_iter()
    .map(|(db, cursor)| {
        shop(&db, cursor);
        three(&db, TIMES);
        db.sql("CREATE TABLE history (order_id INTEGER, text VARCHAR(40), number BIGINT)");
        db
    })
    .collect()
}

fn target(db: &Db) -> Arc<SqlTarget> {
    Arc::new(SqlTarget::of_source(
        &db.settings(orders(db), ITEMS),
        Duration::from_secs(20),
    ))
}

fn handler(db: &Db, statements: &[&str]) -> SqlHandler {
    let statements: Vec<String> = statements.iter().map(|sql| (*sql).to_owned()).collect();
    SqlHandler::new(target(db), "status_change", &statements)
}

fn call(code: &str, status: &str) -> Call {
    Call {
        event: "status_change".into(),
        event_id: Some(EventId(7)),
        code: Some(code.into()),
        key: None,
        created: Some("2026-07-20T10:00:00+02:00".into()),
        now: "2026-07-20T08:30:00.9Z".parse().unwrap(),
        status_id: Some(StatusId(-3)),
        status: Some(status.into()),
        same_status: Vec::new(),
        package_number: None,
        package_numbers: None,
        text: Some("Zabaleno 🌷 'ok'".into()),
        reason: None,
        more: serde_json::Map::new(),
        expected: None,
    }
}

fn row(db: &Db, code: &str) -> String {
    let text = match db.dialect {
        Dialect::Mysql => "CONCAT(state, ' ', changed)",
        _ => "state || ' ' || changed",
    };
    db.sql(&format!("SELECT {text} FROM orders WHERE code = '{code}'"))
}

fn notes(db: &Db) -> String {
    db.sql("SELECT order_id, text, number FROM history")
}

#[tokio::test]
async fn all_statements_of_an_event_are_written_in_the_shops_zone() {
    for db in shops() {
        let outcome = handler(&db, &[SET, NOTE]).tell(&call("002", "packed")).await;
        assert_eq!(outcome.unwrap(), Outcome::Done);
        assert_eq!(row(&db, "002"), "packed 2026-07-20 10:30:00", "{:?}", db.dialect);
        assert_eq!(row(&db, "001"), "new 2026-07-15 12:00:00");
        assert_eq!(notes(&db), "2\tZabaleno 🌷 'ok'\t7");
    }
}

#[tokio::test]
async fn a_status_that_stands_already_writes_nothing() {
    for db in shops() {
        let handler = handler(&db, &[SET, NOTE]);
        assert_eq!(handler.tell(&call("001", "new")).await.unwrap(), Outcome::Done);
        let mut other = call("001", "packed");
        other.same_status = vec!["new".into()];
        assert_eq!(handler.tell(&other).await.unwrap(), Outcome::Done);
        assert_eq!(row(&db, "001"), "new 2026-07-15 12:00:00");
        assert_eq!(notes(&db), "");
    }
}

#[tokio::test]
async fn a_statement_that_finds_a_problem_refuses_the_event_with_its_words() {
    const ASK: &str = "select 'the order is `new`' AS _problem FROM orders WHERE id = :key AND state = 'new'";
    for db in shops() {
        let handler = handler(&db, &[NOTE, ASK, SET]);
        let error = handler.tell(&call("001", "packed")).await.unwrap_err();
        assert!(
            matches!(&error, WritebackError::Failed(reason) if reason == "the order is `new`"),
            "{error:?}"
        );
        assert_eq!(row(&db, "001"), "new 2026-07-15 12:00:00", "{:?}", db.dialect);
        assert_eq!(notes(&db), "", "what was written before is taken back");
        db.sql("UPDATE orders SET state = 'paid' WHERE code = '001'");
        assert_eq!(handler.tell(&call("001", "packed")).await.unwrap(), Outcome::Done);
        assert_eq!(row(&db, "001"), "packed 2026-07-20 10:30:00", "{:?}", db.dialect);
        assert_eq!(notes(&db), "1\tZabaleno 🌷 'ok'\t7");
    }
}

#[tokio::test]
async fn a_moved_status_or_a_foreign_key_writes_nothing() {
    for db in shops() {
        let handler = handler(&db, &[SET]);
        let mut moved = call("001", "packed");
        moved.expected = Some("paid".into());
        assert_eq!(handler.tell(&moved).await.unwrap(), Outcome::Moved);
        let mut passed = call("001", "packed");
        passed.key = Some("3".into());
        assert_eq!(handler.tell(&passed).await.unwrap(), Outcome::Moved);
        assert_eq!(row(&db, "001"), "new 2026-07-15 12:00:00");
        moved.expected = Some("new".into());
        moved.key = Some("1".into());
        assert_eq!(handler.tell(&moved).await.unwrap(), Outcome::Done);
        assert_eq!(row(&db, "001"), "packed 2026-07-20 10:30:00");
    }
}

#[tokio::test]
async fn codes_match_byte_for_byte_and_hostile_ones_match_nothing() {
    for db in shops() {
        db.sql("INSERT INTO orders (id, code, state, name, changed) SELECT 9, 'AbC', 'new', 'x', changed FROM orders WHERE id = 1");
        let handler = handler(&db, &[SET]);
        for code in [
            "abc",
            "AbC ",
            "2",
            "'; DROP TABLE orders; --",
            "' OR '1'='1",
            "a\0b",
            "%",
            "",
        ] {
            assert_eq!(
                handler.tell(&call(code, "packed")).await.unwrap(),
                Outcome::Unmatched,
                "{code:?} {:?}",
                db.dialect
            );
        }
        assert_eq!(db.sql("SELECT count(*) FROM orders WHERE state = 'new'"), "4");
        assert_eq!(handler.tell(&call("AbC", "packed")).await.unwrap(), Outcome::Done);
    }
}

#[tokio::test]
async fn a_code_outside_the_columns_character_set_matches_nothing() {
    let db = MariaDb::create();
    shop(&db, "DATETIME");
    three(&db, TIMES);
    db.sql("ALTER TABLE orders MODIFY code VARCHAR(60) CHARACTER SET latin1");
    let outcome = handler(&db, &[SET]).tell(&call("张🌷", "packed")).await;
    assert_eq!(outcome.unwrap(), Outcome::Unmatched);
    let source = db.source(orders(&db), ITEMS);
    let wanted = ["001".into(), "张🌷".into(), "003".into()];
    let found = brani_sync::source::Source::lookup(&source, &wanted)
        .await
        .unwrap();
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn a_failing_statement_undoes_the_ones_before_it() {
    for db in shops() {
        let handler = handler(&db, &[SET, "INSERT INTO nowhere VALUES (:key)"]);
        match handler.tell(&call("001", "packed")).await {
            Err(WritebackError::Failed(text)) => {
                assert!(
                    text.contains("writeback.status_change.sql[1]") && text.contains("nowhere"),
                    "{text}"
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(row(&db, "001"), "new 2026-07-15 12:00:00");
    }
}

#[tokio::test]
async fn a_package_number_that_is_too_long_fails_and_is_not_repeated() {
    for db in shops() {
        if db.dialect == Dialect::Sqlite {
            // SQLite keeps texts of any length.
            continue;
        }
        let mut long = call("001", "packed");
        long.package_number = Some("9".repeat(10_240));
        let handler = handler(&db, &["UPDATE orders SET name = :package_number WHERE id = :key"]);
        match handler.tell(&long).await {
            Err(WritebackError::Failed(text)) => {
                assert!(text.len() < 300 && !text.contains("99999"), "{text}")
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(db.sql("SELECT name FROM orders WHERE id = 1"), "Žofie Příkladná");
    }
}

#[tokio::test]
async fn parked_looks_the_key_up_and_minds_no_status() {
    for db in shops() {
        let mut parked = call("003", "new");
        parked.event = "parked".into();
        parked.expected = Some("whatever".into());
        parked.reason = Some("položka bez ceny".into());
        let sql = "INSERT INTO history (order_id, text) VALUES (:key, :reason)".to_owned();
        let handler = SqlHandler::new(target(&db), "parked", &[sql]);
        assert_eq!(handler.tell(&parked).await.unwrap(), Outcome::Done);
        assert_eq!(
            db.sql("SELECT text FROM history WHERE order_id = 3"),
            "položka bez ceny"
        );
    }
}

#[tokio::test]
async fn an_unknown_parameter_is_named_and_general_events_need_no_order() {
    for db in shops() {
        let wrong = handler(&db, &["UPDATE orders SET state = :stauts WHERE id = :key"]);
        match wrong.tell(&call("001", "packed")).await {
            Err(WritebackError::Failed(text)) => assert!(text.contains("`:stauts`"), "{text}"),
            other => panic!("{other:?}"),
        }
        let mut general = call("", "");
        general.event = "task_created".into();
        general.code = None;
        general.status = None;
        general.more.insert("task".into(), serde_json::json!({"id": 5}));
        general.more.insert("number".into(), serde_json::json!(5));
        let sql = "INSERT INTO history (text, number) VALUES (:task, :number)".to_owned();
        let handler = SqlHandler::new(target(&db), "task_created", &[sql]);
        assert_eq!(handler.tell(&general).await.unwrap(), Outcome::Done);
        assert_eq!(db.sql("SELECT text, number FROM history"), "{\"id\":5}\t5");
    }
}

#[tokio::test]
async fn postgres_gets_each_value_in_the_type_it_asks_for() {
    let db = Postgres::create();
    shop(&db, "timestamp");
    three(&db, TIMES);
    db.sql("CREATE TYPE colour AS ENUM ('red', 'blue'); CREATE TABLE typed (key bigint, at timestamptz, wall timestamp, day date, words text, number integer, money numeric, kind colour, secs bigint)");
    let sql =
        "INSERT INTO typed VALUES (:key, :now, :now, :now, :now, :status_id, :package_number, :status, :now)";
    let mut typed = call("001", "blue");
    typed.package_number = Some("12.50".into());
    assert_eq!(handler(&db, &[sql]).tell(&typed).await.unwrap(), Outcome::Done);
    assert_eq!(
        db.sql("SELECT key, at AT TIME ZONE 'UTC', wall, day, words, number, money, kind, secs FROM typed"),
        "1\t2026-07-20 08:30:00\t2026-07-20 10:30:00\t2026-07-20\t2026-07-20 10:30:00\t-3\t12.50\tblue\t1784536200"
    );
    typed.package_number = Some("mnoho".into());
    match handler(&db, &[sql]).tell(&typed).await {
        Err(WritebackError::Failed(text)) => {
            assert!(text.contains("numeric") && !text.contains("mnoho"), "{text}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_writers_of_one_order_both_end_and_a_moved_row_is_seen() {
    for db in shops() {
        let target = target(&db);
        let statements = [SET.to_owned(), NOTE.to_owned()];
        let handlers: Vec<SqlHandler> = (0..4)
            .map(|_| SqlHandler::new(Arc::clone(&target), "status_change", &statements))
            .collect();
        let calls = ["a", "b", "c", "d"].map(|status| {
            let mut call = call("001", status);
            call.expected = Some("new".into());
            call
        });
        let (a, b, c, d) = tokio::join!(
            handlers[0].tell(&calls[0]),
            handlers[1].tell(&calls[1]),
            handlers[2].tell(&calls[2]),
            handlers[3].tell(&calls[3]),
        );
        let done = [a, b, c, d]
            .into_iter()
            .filter(|outcome| match outcome {
                Ok(Outcome::Done) => true,
                Ok(Outcome::Moved) => false,
                other => panic!("{other:?} {:?}", db.dialect),
            })
            .count();
        assert_eq!(done, 1, "{:?}", db.dialect);
        assert_eq!(db.sql("SELECT count(*) FROM history"), "1");
    }
}

#[tokio::test]
async fn a_dead_database_is_unavailable_and_a_broken_session_is_replaced() {
    let db = MariaDb::create();
    shop(&db, "DATETIME");
    three(&db, TIMES);
    let handler = handler(&db, &[SET]);
    handler.tell(&call("001", "packed")).await.unwrap();
    for id in db
        .sql(&format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{}' AND ID <> CONNECTION_ID()",
            db.name
        ))
        .lines()
    {
        db.sql(&format!("KILL {id}"));
    }
    assert_eq!(handler.tell(&call("002", "packed")).await.unwrap(), Outcome::Done);
    let mut settings = db.settings(orders(&db), ITEMS);
    settings.target.url = brani_sync::config::secret::Secret::new("mysql://root@127.0.0.1:1/x");
    let dead = Arc::new(SqlTarget::of_source(&settings, Duration::from_secs(20)));
    let handler = SqlHandler::new(dead, "status_change", &[SET.to_owned()]);
    assert!(matches!(
        handler.tell(&call("001", "packed")).await,
        Err(WritebackError::Unavailable(_))
    ));
}
