//! Presets in the running program's own rooms: the source, the mapping, the client against a sandbox, the handler.

use crate::sandbox::{client, start};
use crate::support::{Db, MariaDb, read};
use brani_sync::brani::Service;
use brani_sync::config::secret::Secret;
use brani_sync::config::{Config, Variant, load};
use brani_sync::mapping::dictionaries::Dictionaries;
use brani_sync::mapping::{Mapping, Problem, Settings};
use brani_sync::sandbox::Options;
use brani_sync::source::sql::{Detect, SqlSettings, SqlSource};
use brani_sync::source::{Source, SourceError, preset};
use brani_sync::types::{EventId, OrderCode, StatusId};
use brani_sync::writeback::sql::{SqlHandler, SqlTarget, config_problems};
use brani_sync::writeback::{Call, Handler, Outcome};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A database with a shop's reduced schema and its invented orders.
fn shop(schema: &str) -> Db {
    made(schema, |text| text)
}

/// The same; every other table has another collation, as in shops that were moved between servers: MySQL 8 gives tables
/// that name none utf8mb4_0900_ai_ci, MariaDB others.
fn mixed(schema: &str, turn: usize) -> Db {
    made(schema, |text| {
        let mut tables = text.split("CHARSET=utf8mb4;");
        let mut mixed = tables.next().unwrap_or_default().to_owned();
        for (number, rest) in tables.enumerate() {
            let collation = ["general_ci", "unicode_520_ci"][(number + turn) % 2];
            mixed.push_str(&format!("CHARSET=utf8mb4 COLLATE=utf8mb4_{collation};{rest}"));
        }
        mixed
    })
}

fn made(schema: &str, change: impl Fn(String) -> String) -> Db {
    let db = MariaDb::create();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas");
    for file in [format!("{schema}.sql"), format!("{schema}-orders.sql")] {
        let text = change(std::fs::read_to_string(folder.join(file)).unwrap());
        db.sql(&format!(
            "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';\n{text}"
        ));
    }
    db
}

/// The configuration that a merchant with this preset writes, the preset laid in.
fn config(db: &Db, name: &str, more: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.toml");
    let text = format!(
        "[brani]\ntoken = {{ credential = \"brani-token\" }}\n[shop.source]\npreset = \"{name}\"\nurl = \"{}\"\n{more}",
        db.url
    );
    std::fs::write(&path, text).unwrap();
    let mut config = load(&path, &Vec::new).unwrap().config;
    let preset = preset::load(name, folder.path()).unwrap();
    preset::expand(&mut config, &preset).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    config
}

fn settings(db: &Db, config: &Config) -> SqlSettings {
    SqlSettings::from_config(
        &config.shop.source,
        &config.shop.timezone,
        &config.eshop_info.queries,
        Secret::new(db.url.clone()),
        None,
    )
    .unwrap()
}

async fn mapping(config: &Config, source: &SqlSource) -> Mapping {
    let lists = source.lists().await.unwrap();
    let zone = match config.shop.source.times {
        Some(brani_sync::config::Times::Utc) => jiff::tz::TimeZone::UTC,
        _ => config.shop.timezone.clone(),
    };
    let settings = Settings {
        zone,
        default_weight: config.shop.default_weight,
        max_weight: config.shop.max_weight,
        extras: Default::default(),
        source: 0,
    };
    Mapping::new(
        settings,
        Arc::new(Dictionaries::build(&config.eshop_info, &lists)),
    )
}

type Fields = BTreeMap<String, Vec<String>>;

/// Reads everything since the evening before the invented orders changed, sends what maps to a sandbox that validates
/// by the contract, and tells which fields keep the others back. What is gone from the shop is left out.
async fn send_all(config: &Config, source: &SqlSource) -> (Vec<serde_json::Value>, Fields) {
    let sandbox = start(Options::default()).await;
    let client = client(&sandbox);
    let mapping = mapping(config, source).await;
    client
        .post_eshop_info(&mapping.dictionaries().info())
        .await
        .unwrap();
    let since = "2026-11-01T23:00:00Z".parse().unwrap();
    let (_, records) = read(source, Some(since)).await.unwrap();
    let mut kept = Fields::new();
    for record in records.iter().filter(|record| !record.gone) {
        match mapping.map(record) {
            Ok(mapped) => client.upsert(&mapped.order).await.unwrap(),
            Err(problems) => {
                let fields = problems.iter().map(|problem: &Problem| problem.field.clone());
                kept.insert(record.code.0.clone(), fields.collect());
            }
        }
    }
    (sandbox.orders(), kept)
}

fn codes(orders: &[serde_json::Value]) -> Vec<String> {
    let mut codes: Vec<String> = orders
        .iter()
        .map(|order| order["code"].as_str().unwrap().to_owned())
        .collect();
    codes.sort();
    codes
}

fn handler(db: &Db, config: &Config, event: &str) -> SqlHandler {
    let target = Arc::new(SqlTarget::of_source(
        &settings(db, config),
        Duration::from_secs(20),
    ));
    let statements = config.writeback.handler(event).unwrap().sql.clone().unwrap();
    SqlHandler::new(target, event, &statements)
}

fn call(code: &str, status: &str) -> Call {
    Call {
        event: "status_change".into(),
        event_id: Some(EventId(77)),
        code: Some(code.into()),
        key: None,
        created: None,
        now: "2026-11-23T09:00:00Z".parse().unwrap(),
        status_id: Some(StatusId(-3)),
        status: Some(status.into()),
        same_status: Vec::new(),
        package_number: Some("Z123".into()),
        package_numbers: Some("Z123".into()),
        text: None,
        reason: None,
        more: serde_json::Map::new(),
        expected: None,
    }
}

#[tokio::test]
async fn tables_of_different_collations_are_read_and_written_together() {
    for (schema, preset) in [
        ("woocommerce", "woocommerce"),
        ("woocommerce", "woocommerce-legacy"),
        ("prestashop", "prestashop"),
        ("opencart3", "opencart3"),
        ("opencart4", "opencart4"),
        ("magento", "magento"),
    ] {
        for turn in 0..2 {
            let db = mixed(schema, turn);
            let config = config(&db, preset, "");
            let source = SqlSource::new(settings(&db, &config));
            let lists = source.lists().await;
            let lists = lists.unwrap_or_else(|error| panic!("{preset} {turn}: {error}"));
            let (_, records) = read(&source, None)
                .await
                .unwrap_or_else(|error| panic!("{preset} {turn}: {error}"));
            let codes: Vec<OrderCode> = records.iter().map(|record| record.code.clone()).collect();
            let found = source.lookup(&codes).await;
            let found = found.unwrap_or_else(|error| panic!("{preset} {turn}: {error}"));
            assert!(!found.is_empty(), "{preset} {turn}");
            for event in ["status_change", "package_number"] {
                let handler = handler(&db, &config, event);
                for (code, status) in codes.iter().zip(lists.statuses.iter().cycle()) {
                    let mut call = call(&code.0, &status.shop);
                    call.event = event.into();
                    // A status that does not fit an order is refused with the shop's reason.
                    let told = handler.tell(&call).await.err().map(|error| error.to_string());
                    assert!(
                        !told.iter().any(|told| told.contains("collation")),
                        "{preset} {turn} {event}: {told:?}"
                    );
                }
            }
        }
    }
}

const ORDERS_IN_TABLES: &str = "UPDATE wp_options SET option_value = 'yes' WHERE option_name = 'woocommerce_custom_orders_table_enabled'";
const ORDERS_IN_POSTS: &str =
    "UPDATE wp_options SET option_value = 'no' WHERE option_name = 'woocommerce_custom_orders_table_enabled'";

#[tokio::test]
async fn a_woocommerce_that_is_switched_over_between_two_reads_is_read_where_its_orders_are() {
    let db = shop("woocommerce");
    let config = config(&db, "woocommerce", "");
    let source = SqlSource::new(settings(&db, &config));

    let (orders, kept) = send_all(&config, &source).await;
    assert_eq!(codes(&orders), ["101", "102"]);
    assert_eq!(
        kept.keys().collect::<Vec<_>>(),
        ["103", "106"],
        "they have no address"
    );
    let order = orders.iter().find(|order| order["code"] == "101").unwrap();
    assert_eq!(order["price"]["withVat"], "1089.00");
    assert_eq!(order["items"][0]["name"], "Tričko & ponožky");

    db.sql(ORDERS_IN_POSTS);
    let (orders, kept) = send_all(&config, &source).await;
    assert_eq!(codes(&orders), ["301"], "{kept:?}");
    assert_eq!(orders[0]["items"][0]["itemPriceWithVat"], "242.00");
    let look = |code: &str| vec![OrderCode(code.to_owned())];
    assert_eq!(source.lookup(&look("301")).await.unwrap().len(), 1);
    assert!(source.lookup(&look("102")).await.unwrap().is_empty());

    db.sql(ORDERS_IN_TABLES);
    let (orders, _) = send_all(&config, &source).await;
    assert_eq!(codes(&orders), ["101", "102"]);
    assert_eq!(source.lookup(&look("102")).await.unwrap().len(), 1);
    assert!(
        source
            .check()
            .await
            .iter()
            .all(|finding| finding.ok != Some(false))
    );
}

#[tokio::test]
async fn a_woocommerce_status_is_written_where_its_orders_are_at_that_moment() {
    let db = shop("woocommerce");
    let config = config(&db, "woocommerce", "");
    let handler = handler(&db, &config, "status_change");
    let status = |table: &str, column: &str, id: u32| {
        db.sql(&format!(
            "SELECT {column} FROM {table} WHERE {} = {id}",
            if table == "wp_posts" { "ID" } else { "id" }
        ))
    };

    assert_eq!(
        handler.tell(&call("102", "completed")).await.unwrap(),
        Outcome::Done
    );
    assert_eq!(status("wp_wc_orders", "status", 102), "wc-completed");
    assert_eq!(
        handler.tell(&call("301", "completed")).await.unwrap(),
        Outcome::Unmatched
    );
    assert_eq!(status("wp_posts", "post_status", 301), "wc-processing");

    db.sql(ORDERS_IN_POSTS);
    assert_eq!(
        handler.tell(&call("301", "completed")).await.unwrap(),
        Outcome::Done
    );
    assert_eq!(status("wp_posts", "post_status", 301), "wc-completed");
    assert_eq!(
        handler.tell(&call("101", "completed")).await.unwrap(),
        Outcome::Unmatched
    );
    assert_eq!(status("wp_wc_orders", "status", 101), "wc-processing");
}

#[tokio::test]
async fn a_prestashop_is_read_sent_and_written() {
    let db = shop("prestashop");
    let config = config(&db, "prestashop", "");
    let source = SqlSource::new(settings(&db, &config));
    let (orders, kept) = send_all(&config, &source).await;
    assert!(codes(&orders).contains(&"ABCDEFGHI".to_owned()), "{kept:?}");
    let order = orders.iter().find(|order| order["code"] == "ABCDEFGHI").unwrap();
    assert_eq!(order["deliveryAddress"]["countryCode"], "SK");
    assert_eq!(order["items"][0]["amount"], "2");

    let handler = handler(&db, &config, "status_change");
    assert_eq!(
        handler.tell(&call("ABCDEFGHI", "14")).await.unwrap(),
        Outcome::Done
    );
    assert_eq!(
        db.sql("SELECT CONCAT_WS(' ', current_state, date_upd) FROM ps_orders WHERE id_order = 10"),
        "14 2026-11-23 10:00:00"
    );
    let found = source.lookup(&[OrderCode("ABCDEFGHI".into())]).await.unwrap();
    assert_eq!(found[0].status.as_ref().map(|status| status.as_str()), Some("14"));
}

#[tokio::test]
async fn what_detect_answers_is_named_where_no_variant_fits() {
    let db = shop("woocommerce");
    let config = config(&db, "woocommerce", "");
    let mut settings = settings(&db, &config);
    settings.detect = Some(Detect {
        preset: "woocommerce".into(),
        query: "SELECT 'hpos novelty'".into(),
        variants: config.shop.source.variants.clone(),
    });
    let handler = SqlHandler::new(
        Arc::new(SqlTarget::of_source(&settings, Duration::from_secs(20))),
        "status_change",
        &["UPDATE wp_options SET option_value = 'x'".to_owned()],
    );
    let source = SqlSource::new(settings);
    let error = read(&source, None).await.unwrap_err();
    assert!(matches!(error, SourceError::Query { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("`woocommerce`") && text.contains("`hpos novelty`"),
        "{text}"
    );
    assert!(source.lookup(&["101".into()]).await.is_err());
    assert!(source.lists().await.is_err());
    let error = handler
        .tell(&call("101", "completed"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("`hpos novelty`"), "{error}");
}

#[tokio::test]
async fn a_variant_without_statements_has_nothing_to_do() {
    let db = shop("woocommerce");
    let config = config(&db, "woocommerce", "");
    let mut settings = settings(&db, &config);
    let plain = settings.detect.as_ref().unwrap().variants[0].clone();
    settings.detect = Some(Detect {
        preset: "mine".into(),
        query: "SELECT NULL".into(),
        variants: vec![Variant {
            facts: Vec::new(),
            writeback: [("status_change".to_owned(), Vec::new())].into_iter().collect(),
            ..plain
        }],
    });
    let handler = SqlHandler::new(
        Arc::new(SqlTarget::of_source(&settings, Duration::from_secs(20))),
        "status_change",
        &["UPDATE wp_posts SET post_status = 'broken'".to_owned()],
    );
    assert_eq!(
        handler.tell(&call("301", "completed")).await.unwrap(),
        Outcome::Done
    );
    assert_eq!(
        db.sql("SELECT post_status FROM wp_posts WHERE ID = 301"),
        "wc-processing"
    );
}

#[test]
fn no_preset_writes_a_parameter_that_its_event_does_not_have() {
    let db = MariaDb::create();
    for summary in preset::presets() {
        let own = if summary.name.starts_with("shoptet") {
            "records = { min_interval = \"20m\" }\n[shop.source.map]\n\"items._skip\" = \"{{ 0 }}\"\n"
        } else {
            ""
        };
        let config = config(&db, &summary.name, own);
        assert_eq!(config_problems(&config), Vec::<String>::new(), "{}", summary.name);
    }
}

#[test]
fn a_wrong_parameter_in_one_variant_only_is_found() {
    let db = MariaDb::create();
    let mut config = config(&db, "woocommerce", "");
    config.shop.source.variants[3].writeback.insert(
        "package_number".into(),
        vec!["UPDATE t SET a = :packagenumber".into()],
    );
    let problems = config_problems(&config);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].contains("`:packagenumber`") && problems[0].contains("`:package_number`"),
        "{problems:?}"
    );
}
