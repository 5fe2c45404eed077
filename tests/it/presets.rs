//! Presets against reduced schemas of real shops and invented orders, fact by fact, on a real MariaDB.

use brani_sync::config::{Config, SourceKind, Variant};
use brani_sync::source::preset::{self, choose, expand, grants, load};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Params, Row, Value};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

const BASE: &str = r#"
[brani]
base_url = "https://api.brani.cz"
timeout = "30s"
concurrency = 4
rate_limit = 10.0
[ledger]
keep_events = "90d"
[shop]
timezone = "Europe/Prague"
default_weight = "0"
max_weight = "100"
[eshop_info]
mode = "merge"
unknown = "hold"
[webhooks]
register = true
lookback = "3d"
hold_updates = "15m"
[writeback]
timeout = "20s"
attempts = 8
concurrency = 4
[schedule]
poll = "30s"
drain = "5m"
eshop_info = "1h"
sweep = "0 30 3 * * *"
[deletes]
mode = "off"
max_per_sweep = 50
max_share = 0.02
[resends]
max = 500
[log]
format = "auto"
level = "info"
[shop.source]
history = "30d"
sweep_back = "60d"
overlap = "10m"
settle = "10s"
cursor = "auto"
batch = 500
"#;

fn config(more: &str) -> Config {
    toml::from_str(&format!("{BASE}{more}")).unwrap()
}

fn expanded(name: &str, more: &str) -> Config {
    let mut config = config(more);
    let preset = load(name, Path::new(".")).unwrap();
    expand(&mut config, &preset).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    config
}

type Record = BTreeMap<String, Option<String>>;

/// A shop in a database of its own, dropped by [`Shop::close`].
struct Shop {
    conn: Conn,
    database: String,
}

impl Shop {
    async fn open(schema: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let database = format!(
            "presets_{}_{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let server = crate::support::mysql_server();
        let opts = OptsBuilder::default()
            .ip_or_hostname(server.host())
            .tcp_port(server.port())
            .user(Some(server.user()))
            .pass(server.password())
            .init(vec!["SET NAMES utf8mb4", "SET time_zone = '+00:00'"]);
        let mut conn = Conn::new(opts).await.unwrap();
        conn.query_drop(format!("CREATE DATABASE {database} CHARACTER SET utf8mb4"))
            .await
            .unwrap();
        conn.query_drop(format!("USE {database}")).await.unwrap();
        conn.query_drop("SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'")
            .await
            .unwrap();
        for file in [format!("{schema}.sql"), format!("{schema}-orders.sql")] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/schemas")
                .join(file);
            let text = std::fs::read_to_string(path).unwrap();
            for statement in text.split(";\n").filter(|text| !text.trim().is_empty()) {
                conn.query_drop(statement)
                    .await
                    .unwrap_or_else(|error| panic!("{error}: {statement}"));
            }
        }
        conn.query_drop("SET sql_mode = 'STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ENGINE_SUBSTITUTION'")
            .await
            .unwrap();
        Self { conn, database }
    }

    async fn close(mut self) {
        let drop = format!("DROP DATABASE {}", self.database);
        self.conn.query_drop(drop).await.unwrap();
        self.conn.disconnect().await.unwrap();
    }

    async fn run(&mut self, sql: &str) {
        self.conn.query_drop(sql).await.unwrap();
    }

    async fn ask(&mut self, sql: &str, binds: &[(&str, &[&str])]) -> Vec<Record> {
        let (text, values) = positional(sql, binds);
        let rows: Vec<Row> = self
            .conn
            .exec(text.as_str(), Params::Positional(values))
            .await
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        rows.into_iter()
            .map(|row| {
                let names: Vec<String> = row
                    .columns_ref()
                    .iter()
                    .map(|c| c.name_str().into_owned())
                    .collect();
                names
                    .into_iter()
                    .zip(row.unwrap().into_iter().map(written))
                    .collect()
            })
            .collect()
    }

    async fn one(&mut self, sql: &str) -> String {
        let rows = self.ask(sql, &[]).await;
        rows[0].values().next().unwrap().clone().unwrap_or_default()
    }

    async fn variant(&mut self, config: &Config) -> Variant {
        let source = &config.shop.source;
        let answer = self.one(source.detect.as_deref().unwrap()).await;
        choose(&source.variants, &answer).unwrap().clone()
    }

    async fn orders(&mut self, variant: &Variant) -> HashMap<String, Record> {
        let since: &[&str] = &["2026-11-02 00:00:00"];
        let rows = self
            .ask(&variant.orders.as_ref().unwrap().query, &[("since", since)])
            .await;
        let count = rows.len();
        let orders: HashMap<_, _> = rows
            .into_iter()
            .map(|row| (row["code"].clone().unwrap(), row))
            .collect();
        assert_eq!(orders.len(), count, "one row per order");
        orders
    }

    async fn items(&mut self, variant: &Variant, keys: &[&str]) -> Vec<Record> {
        self.ask(&variant.items.as_ref().unwrap().query, &[("keys", keys)])
            .await
    }

    async fn found(&mut self, variant: &Variant, codes: &[&str]) -> Vec<String> {
        let rows = self
            .ask(&variant.lookup.as_ref().unwrap().query, &[("codes", codes)])
            .await;
        let mut found: Vec<String> = rows.iter().map(|row| row["code"].clone().unwrap()).collect();
        found.sort();
        found
    }

    async fn list(&mut self, query: &Option<String>) -> Vec<String> {
        let mut rows: Vec<String> = self
            .ask(query.as_ref().unwrap(), &[])
            .await
            .iter()
            .map(|row| {
                let part = |name: &str| row.get(name).cloned().flatten().unwrap_or_default();
                format!("{}|{}|{}", part("shop"), part("name"), part("method"))
            })
            .collect();
        rows.sort();
        rows
    }

    /// Runs a handler as the daemon does: in one transaction.
    async fn tell(&mut self, variant: &Variant, event: &str, key: &str, status: &str) {
        let binds: Vec<(&str, Vec<&str>)> = vec![
            ("key", vec![key]),
            ("status", vec![status]),
            ("now", vec!["2026-11-23 10:00:00"]),
            ("event_id", vec!["77"]),
            ("package_number", vec!["Z123"]),
            ("package_numbers", vec!["Z122, Z123"]),
        ];
        let binds: Vec<(&str, &[&str])> = binds
            .iter()
            .map(|(name, list)| (*name, list.as_slice()))
            .collect();
        self.run("START TRANSACTION").await;
        for statement in &variant.writeback[event] {
            self.ask(statement, &binds).await;
        }
        self.run("COMMIT").await;
    }
}

/// Names to places, literals left alone.
fn positional(sql: &str, binds: &[(&str, &[&str])]) -> (String, Vec<Value>) {
    let pattern = regex::Regex::new(r"'(?:[^'\\]|\\.|'')*'|:([a-z_]+)").unwrap();
    let mut values = Vec::new();
    let text = pattern.replace_all(sql, |found: &regex::Captures<'_>| match found.get(1) {
        None => found[0].to_owned(),
        Some(name) => {
            let list = binds
                .iter()
                .find(|(known, _)| *known == name.as_str())
                .unwrap_or_else(|| panic!("`:{}` is not bound", name.as_str()))
                .1;
            values.extend(list.iter().map(|text| Value::from(*text)));
            vec!["?"; list.len()].join(", ")
        }
    });
    (text.into_owned(), values)
}

fn written(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8(bytes).unwrap()),
        Value::Date(y, mo, d, h, mi, s, _) => Some(format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02}")),
        other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}

/// Compares the named columns; numbers by value, NULL and empty text alike.
#[track_caller]
fn says(row: &Record, facts: &[(&str, &str)]) {
    for (name, wanted) in facts {
        let found = row.get(*name).cloned().flatten().unwrap_or_default();
        let number = |text: &str| text.parse::<rust_decimal::Decimal>().ok().map(|n| n.normalize());
        let same = found == *wanted || (number(&found).is_some() && number(&found) == number(wanted));
        assert!(same, "{name}: found `{found}`, wanted `{wanted}`");
    }
}

#[tokio::test]
async fn woocommerce_order_tables_are_read_net_and_complete() {
    let mut shop = Shop::open("woocommerce").await;
    let config = expanded("woocommerce", "");
    let variant = shop.variant(&config).await;
    assert_eq!(variant.facts, ["hpos", "packeta"]);
    let orders = shop.orders(&variant).await;
    let mut codes: Vec<_> = orders.keys().map(String::as_str).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        ["101", "102", "103", "106"],
        "no drafts, refunds, stale posts, anonymised orders"
    );
    says(
        &orders["101"],
        &[
            ("_status", "processing"),
            ("_gone", "0"),
            ("_cursor", "2026-11-02 09:00:00"),
            ("paid", "0"), // cash on delivery that looks paid
            ("price.withVat", "1089"),
            ("phone", "+420 700 000 001"),
            ("deliveryAddress.fullName", "Petr Novák"),
            ("billingAddress.company", "Květiny s.r.o."),
            ("companyId", "12345678"),
            ("vatId", "CZ12345678"),
            ("shippingDetails.branchId", "4321"),
            ("shippingDetails.carrierId", ""),
            ("notes.customerRemark", "Prosím 🎁 zabalit & poslat"),
            ("_shipping", "flat_rate:3"),
        ],
    );
    says(
        &orders["102"],
        &[
            ("price.currencyCode", "EUR"),
            ("deliveryAddress.fullName", "Ján Host"),
            ("deliveryAddress.countryCode", "SK"),
            ("shippingDetails.branchId", "SK-99"),
            ("shippingDetails.carrierId", "131"),
        ],
    );
    says(&orders["103"], &[("_gone", "1"), ("_status", "cancelled")]);
    says(&orders["106"], &[("_status", "balim"), ("paid", "1")]);
    let items = shop.items(&variant, &["101", "102"]).await;
    assert_eq!(
        items.len(),
        3,
        "fees, shipping and lines refunded whole are no goods"
    );
    says(
        &items[0],
        &[
            ("code", "TRI-XL"),
            ("name", "Tričko & ponožky"),
            ("variantName", "velikost: xl, barva: bílá"),
            ("amount", "2"),
            ("weight", "0.25"),
            ("vatRate", "21"),
            ("itemPriceWithVat", "242"),
            ("ean", "8590000000017"),
        ],
    );
    says(
        &items[1],
        &[("name", "Smazaný výrobek"), ("vatRate", "12"), ("weight", "")],
    );
    assert_eq!(shop.found(&variant, &["101", "106", "999"]).await, ["101", "106"]);
    assert_eq!(
        shop.list(&variant.queries.payments).await,
        [
            "bacs|Převod|bank_transfer",
            "cod|Dobírka|cash_on_delivery",
            "gopay|GoPay|card"
        ]
    );
    assert_eq!(
        shop.list(&variant.queries.shipping).await,
        [
            "flat_rate:3|Kurýr & spol|",
            "packeta_method_131:77|Zásilkovna stará|",
            "packeta_method_zpointcz:4|packeta_method_zpointcz|"
        ]
    );
    shop.close().await;
}

#[tokio::test]
async fn woocommerce_follows_a_switch_to_posts() {
    let mut shop = Shop::open("woocommerce").await;
    let config = expanded("woocommerce", "");
    shop.run("UPDATE wp_options SET option_value = 'no' WHERE option_name = 'woocommerce_custom_orders_table_enabled'")
        .await;
    let variant = shop.variant(&config).await;
    assert_eq!(variant.facts, ["packeta"]);
    let legacy = expanded("woocommerce-legacy", "");
    let legacy = shop.variant(&legacy).await;
    for variant in [&variant, &legacy] {
        let orders = shop.orders(variant).await;
        assert_eq!(orders.keys().collect::<Vec<_>>(), ["301"]);
        says(
            &orders["301"],
            &[
                ("price.withVat", "242"),
                ("paid", "1"),
                ("deliveryAddress.fullName", "Žofie Šťastná"),
                ("deliveryAddress.street", "č.p. 15"),
                ("companyId", "12345678"),
                ("notes.customerRemark", "Zvonek nefunguje"),
            ],
        );
        let items = shop.items(variant, &["301"]).await;
        says(&items[0], &[("amount", "2"), ("itemPriceWithVat", "242")]);
        assert_eq!(shop.found(variant, &["301"]).await, ["301"]);
    }
    shop.tell(&variant, "status_change", "301", "completed").await;
    shop.tell(&variant, "status_change", "301", "completed").await;
    let state = "SELECT CONCAT(post_status, ' ', TIMESTAMPDIFF(MINUTE, post_modified_gmt, UTC_TIMESTAMP())) FROM wp_posts WHERE ID = 301";
    assert_eq!(shop.one(state).await, "wc-completed 0");
    let dates = "SELECT COUNT(*) FROM wp_postmeta WHERE post_id = 301 AND meta_key IN ('_date_completed', '_completed_date', '_date_paid', '_paid_date')";
    assert_eq!(shop.one(dates).await, "4");
    assert_eq!(shop.one("SELECT COUNT(*) FROM wp_comments").await, "1");
    assert_eq!(
        shop.one("SELECT COUNT(*) FROM wp_wc_orders WHERE status = 'wc-completed' AND type = 'shop_order'")
            .await,
        "0"
    );
    shop.close().await;
}

#[tokio::test]
async fn woocommerce_is_written_as_the_shop_writes_and_nothing_doubles() {
    let mut shop = Shop::open("woocommerce").await;
    let config = expanded(
        "woocommerce",
        "[shop.source.options]\ntracking_meta = \"_tracking_number\"\nnumber_meta = \"_order_number\"\n",
    );
    let variant = shop.variant(&config).await;
    assert_eq!(
        shop.found(&variant, &["2026-0101", "102"]).await,
        ["102", "2026-0101"]
    );
    for _ in 0..2 {
        shop.tell(&variant, "package_number", "101", "").await;
        shop.tell(&variant, "status_change", "101", "completed").await;
        shop.tell(&variant, "status_change", "103", "completed").await;
    }
    let state = "SELECT CONCAT(o.status, ' ', TIMESTAMPDIFF(MINUTE, o.date_updated_gmt, UTC_TIMESTAMP()), ' ', d.date_completed_gmt IS NOT NULL, ' ', d.date_paid_gmt) \
                 FROM wp_wc_orders o JOIN wp_wc_order_operational_data d ON d.order_id = o.id WHERE o.id = 101";
    assert_eq!(shop.one(state).await, "wc-completed 0 1 2026-11-01 08:00:05");
    assert_eq!(
        shop.one("SELECT COUNT(*) FROM wp_comments WHERE comment_post_ID = 101")
            .await,
        "2"
    );
    // Prague in November is an hour ahead; the session of this test stands in UTC
    let zones = "SELECT MIN(TIMESTAMPDIFF(MINUTE, comment_date_gmt, comment_date)) >= 60 FROM wp_comments";
    assert_eq!(shop.one(zones).await, "1");
    let meta = "SELECT GROUP_CONCAT(meta_value) FROM wp_wc_orders_meta WHERE order_id = 101 AND meta_key = '_tracking_number'";
    assert_eq!(shop.one(meta).await, "Z122, Z123");
    assert_eq!(
        shop.one("SELECT status FROM wp_wc_orders WHERE id = 103").await,
        "trash"
    );
    assert_eq!(
        shop.one("SELECT post_status FROM wp_posts WHERE ID = 101").await,
        "draft"
    );
    shop.close().await;
}

#[tokio::test]
async fn prestashop_is_read_and_written() {
    let mut shop = Shop::open("prestashop").await;
    let config = expanded("prestashop", "");
    let variant = shop.variant(&config).await;
    assert_eq!(variant.facts, ["packeta", "packeta_payment", "note"]);
    let orders = shop.orders(&variant).await;
    let mut codes: Vec<_> = orders.keys().map(String::as_str).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["ABCDEFGHI", "JKLMNOPQR#1", "JKLMNOPQR#2"]);
    says(
        &orders["ABCDEFGHI"],
        &[
            ("_status", "3"),
            ("_shipping", "4"), // a carrier that was edited keeps its reference
            ("paid", "0"),
            ("price.withVat", "379"),
            ("phone", "777"),
            ("deliveryAddress.countryCode", "SK"),
            ("billingAddress.fullName", "Žofie Šťastná"), // an address marked deleted
            ("companyId", "12345678"),
            ("vatId", "CZ12345678"),
            ("shippingDetails.branchId", "4321"),
            ("notes.customerRemark", "Zvonek & pes"),
            ("notes.eshopRemark", "Dárkové balení. Vše \"nej\""),
        ],
    );
    says(
        &orders["JKLMNOPQR#1"],
        &[
            ("paid", "1"),
            ("price.withVat", "25.5"),
            ("price.currencyCode", "EUR"),
            ("shippingDetails.branchId", "SK-99"),
            ("shippingDetails.carrierId", "131"),
        ],
    );
    let items = shop.items(&variant, &["10", "11"]).await;
    assert_eq!(items.len(), 3);
    says(
        &items[0],
        &[
            ("name", "Tričko (bio)"),
            ("variantName", "Velikost: XL - Barva: bílá (sněhová)"),
            ("amount", "2"),
            ("weight", "0.25"),
            ("vatRate", "21"),
            ("itemPriceWithVat", "242"),
        ],
    );
    says(
        &items[1],
        &[
            ("name", "Kalhoty"),
            ("variantName", "Velikost : M, Barva : modrá"),
            ("vatRate", "12"),
        ],
    );
    says(&items[2], &[("name", "Kniha: díl (1)"), ("variantName", "")]);
    assert_eq!(
        shop.found(&variant, &["ABCDEFGHI", "JKLMNOPQR#2"]).await,
        ["ABCDEFGHI", "JKLMNOPQR#1", "JKLMNOPQR#2"],
        "the reader keeps what was asked for"
    );
    assert_eq!(
        shop.list(&variant.queries.shipping).await,
        ["1|Květiny|", "4|PPL|"]
    );
    assert!(
        shop.list(&variant.queries.statuses)
            .await
            .contains(&"3|Připravuje se 📦|".to_owned())
    );
    for _ in 0..2 {
        shop.tell(&variant, "package_number", "10", "").await;
        shop.tell(&variant, "status_change", "10", "14").await;
    }
    assert_eq!(
        shop.one("SELECT CONCAT_WS(' ', current_state, valid, date_upd) FROM ps_orders WHERE id_order = 10")
            .await,
        "14 1 2026-11-23 10:00:00"
    );
    assert_eq!(
        shop.one("SELECT COUNT(*) FROM ps_order_history WHERE id_order = 10 AND id_order_state = 14")
            .await,
        "1"
    );
    assert_eq!(
        shop.one("SELECT GROUP_CONCAT(COALESCE(tracking_number, '-') ORDER BY id_order_carrier) FROM ps_order_carrier").await,
        "Z122, Z123,-"
    );
    shop.close().await;
}

#[tokio::test]
async fn opencart_3_is_read_and_written() {
    let mut shop = Shop::open("opencart3").await;
    let config = expanded("opencart3", "");
    let variant = shop.variant(&config).await;
    let orders = shop.orders(&variant).await;
    assert_eq!(orders.len(), 3, "an order that was never finished is none");
    says(
        &orders["1"],
        &[
            ("price.withVat", "40"),
            ("price.currencyCode", "EUR"),
            ("paid", "0"),
            ("billingAddress.company", "A &quot; B"), // unescaped once
            ("deliveryAddress.countryCode", "SK"),
            ("notes.customerRemark", "<3 🎁"),
            ("companyId", "12345678"),
            ("vatId", "CZ12345678"),
            ("shippingDetails.branchId", "4321"),
        ],
    );
    says(&orders["2"], &[("paid", "1"), ("deliveryAddress.city", "Praha")]);
    says(&orders["4"], &[("paid", "0")]);
    let items = shop.items(&variant, &["1", "2"]).await;
    says(
        &items[0],
        &[
            ("code", "TRI & XL"),
            ("name", "Tričko & <b>"),
            ("variantName", "Velikost: XL, Barva: bílá & modrá"),
            ("weight", "0.25"),
            ("vatRate", "21"),
            ("itemPriceWithVat", "36.3"),
        ],
    );
    says(&items[1], &[("code", "M99"), ("weight", "")]);
    for _ in 0..2 {
        shop.tell(&variant, "package_number", "1", "").await;
        shop.tell(&variant, "status_change", "1", "5").await;
    }
    assert_eq!(
        shop.one(
            "SELECT CONCAT_WS(' ', order_status_id, date_modified, tracking) FROM oc_order WHERE order_id = 1"
        )
        .await,
        "5 2026-11-23 10:00:00 "
    );
    assert_eq!(
        shop.one("SELECT GROUP_CONCAT(CONCAT(order_status_id, comment) ORDER BY order_history_id SEPARATOR '; ') FROM oc_order_history").await,
        "2; 2Brani: číslo zásilky Z123; 5"
    );
    shop.close().await;
}

#[tokio::test]
async fn opencart_4_reads_methods_out_of_json() {
    let mut shop = Shop::open("opencart4").await;
    let config = expanded("opencart4", "");
    let variant = shop.variant(&config).await;
    assert_eq!(variant.facts, ["packeta"]);
    let orders = shop.orders(&variant).await;
    says(
        &orders["1"],
        &[
            ("_payment", "cod.cod"),
            ("_shipping", "flat.flat"),
            ("paid", "0"),
            ("deliveryAddress.company", "A & B"),
            ("billingAddress.fullName", "Žofie Šťastná"),
            ("billingAddress.city", "Brno"),
            ("companyId", "12345678"),
        ],
    );
    says(
        &shop.items(&variant, &["1"]).await[0],
        &[
            ("code", "TRI-XL"),
            ("weight", "0.5"),
            ("itemPriceWithVat", "121"),
            ("vatRate", "21"),
        ],
    );
    assert_eq!(
        shop.list(&variant.queries.payments).await,
        ["cod.cod|Dobírka|cash_on_delivery"]
    );
    assert_eq!(shop.list(&variant.queries.shipping).await, ["flat.flat|Kurýr|"]);
    shop.close().await;
}

#[tokio::test]
async fn magento_sends_one_line_of_a_configurable_and_the_parts_of_a_bundle() {
    let mut shop = Shop::open("magento").await;
    let config = expanded("magento", "");
    let variant = shop.variant(&config).await;
    assert_eq!(variant.facts, ["packeta"]);
    let orders = shop.orders(&variant).await;
    says(
        &orders["000000101"],
        &[
            ("paid", "0"), // invoiced when packed
            ("price.withVat", "40"),
            ("price.currencyCode", "EUR"),
            ("deliveryAddress.street", "U Řeky 4"),
            ("deliveryAddress.additional", "2. patro"),
            ("phone", "700"),
            ("vatId", "CZ99"),
            ("shippingDetails.branchId", "SK-99"),
            ("shippingDetails.carrierId", "131"),
        ],
    );
    says(
        &orders["000000102"],
        &[("paid", "1"), ("price.withVat", "379"), ("vatId", "CZ12345678")],
    );
    let items = shop.items(&variant, &["1", "2"]).await;
    let codes: Vec<_> = items.iter().map(|row| row["code"].clone().unwrap()).collect();
    assert_eq!(codes, ["TRI-XL", "S-1", "S-2", "LATKA", "PDF"]);
    says(
        &items[0],
        &[
            ("amount", "2"),
            ("weight", "0.25"),
            ("itemPriceWithVat", "21.36"),
            ("variantName", "Velikost: XL, Barva: bílá"),
        ],
    );
    says(&items[3], &[("amount", "2.5"), ("itemPriceWithVat", "302.5")]);
    says(&items[4], &[("itemType", "service")]);
    assert_eq!(shop.found(&variant, &["000000101", "102"]).await, ["000000101"]);
    for _ in 0..2 {
        shop.tell(&variant, "package_number", "1", "").await;
        shop.tell(&variant, "status_change", "1", "packed").await;
    }
    // `complete` does not belong to the state `processing`
    shop.tell(&variant, "status_change", "2", "complete").await;
    assert_eq!(
        shop.one("SELECT GROUP_CONCAT(CONCAT(state, ' ', status) ORDER BY entity_id) FROM sales_order")
            .await,
        "processing packed,processing processing,canceled canceled"
    );
    assert_eq!(
        shop.one("SELECT COUNT(*) FROM sales_order_status_history").await,
        "2"
    );
    shop.close().await;
}

#[test]
fn every_preset_expands_and_is_listed() {
    for summary in preset::presets() {
        let config = expanded(&summary.name, "");
        assert!(config.shop.source.kind.is_some());
        assert!(preset::show(&summary.name).unwrap().contains("[preset]"));
        if config.shop.source.kind == Some(SourceKind::Mysql) {
            assert!(config.shop.source.lookup.is_some(), "{}", summary.name);
            assert!(config.writeback.handler("status_change").is_some());
        }
    }
    let names: Vec<String> = preset::presets().into_iter().map(|preset| preset.name).collect();
    for name in [
        "woocommerce",
        "woocommerce-legacy",
        "prestashop",
        "opencart3",
        "opencart4",
        "magento",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
}

#[test]
fn what_the_merchant_writes_wins() {
    let config = expanded(
        "woocommerce",
        r#"
send_when = ["on-hold"]
[shop.source.items]
query = "SELECT 1"
[[eshop_info.statuses]]
shop = "completed"
id = 99
[writeback.status_change]
sql = ["UPDATE x SET y = :status"]
"#,
    );
    let source = &config.shop.source;
    assert_eq!(source.send_when.as_ref().unwrap()[0].0, "on-hold");
    assert!(
        source
            .variants
            .iter()
            .all(|variant| variant.items.as_ref().unwrap().query == "SELECT 1")
    );
    assert!(
        source
            .variants
            .iter()
            .all(|variant| !variant.writeback.contains_key("status_change"))
    );
    let handler = config.writeback.handler("status_change").unwrap();
    assert_eq!(handler.sql.as_ref().unwrap()[0], "UPDATE x SET y = :status");
    let completed: Vec<_> = config
        .eshop_info
        .statuses
        .iter()
        .filter(|entry| entry.shop.0 == "completed")
        .collect();
    assert_eq!((completed.len(), completed[0].id), (1, Some(99)));
    let none = expanded("woocommerce", "[shop.source.options]\nwriteback = false\n");
    assert!(none.writeback.handler("status_change").is_none());
    assert!(
        none.shop
            .source
            .variants
            .iter()
            .all(|variant| variant.writeback.is_empty())
    );
}

#[test]
fn bad_prefixes_and_options_are_refused_with_their_paths() {
    let refused = |more: &str| {
        let mut config = config(more);
        let preset = load("prestashop", Path::new(".")).unwrap();
        expand(&mut config, &preset)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        refused("table_prefix = \"ps_; DROP TABLE x\"\n"),
        ["shop.source.table_prefix: `ps_; DROP TABLE x` is not a table prefix"]
    );
    let problems = refused(
        "[shop.source.options]\ncode = \"both\"\nlanguage = \"x'\"\ncod_method = []\nwriteback = 1\n",
    );
    for path in [
        "options.code:",
        "options.language:",
        "options.cod_method:",
        "options.writeback:",
    ] {
        assert!(
            problems.iter().any(|text| text.contains(path)),
            "{path} in {problems:?}"
        );
    }
    assert!(
        load("woocomerce", Path::new("."))
            .unwrap_err()
            .hint
            .unwrap()
            .contains("woocommerce")
    );
}

#[test]
fn grants_name_the_tables_and_quote_the_names() {
    let text = grants("prestashop", Some("ps_"), "shop", "sync").unwrap();
    assert!(text.contains("CREATE USER 'sync'@'localhost'"));
    assert!(text.contains("GRANT SELECT ON `shop`.`ps_orders` TO 'sync'@'localhost';"));
    assert!(text.contains("GRANT INSERT ON `shop`.`ps_order_history` TO 'sync-write'@'localhost';"));
    assert!(grants("prestashop", Some("a`b"), "shop", "sync").is_err());
    assert!(
        grants("prestashop", Some("ps_"), "sh`op", "sy'nc")
            .unwrap()
            .contains("`sh``op`")
    );
}
