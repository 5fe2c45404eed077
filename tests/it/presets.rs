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
        let refusal = self.refusal(variant, event, key, status).await;
        assert_eq!(refusal, "", "{event} of {key}");
    }

    async fn tell_number(&mut self, variant: &Variant, key: &str, number: &str) {
        let refusal = self.write(variant, "package_number", key, "", number).await;
        assert_eq!(refusal, "", "package number of {key}");
    }

    /// Why a handler wrote nothing; empty where it did.
    async fn refusal(&mut self, variant: &Variant, event: &str, key: &str, status: &str) -> String {
        self.write(variant, event, key, status, "Z123").await
    }

    async fn write(
        &mut self,
        variant: &Variant,
        event: &str,
        key: &str,
        status: &str,
        number: &str,
    ) -> String {
        let binds: Vec<(&str, Vec<&str>)> = vec![
            ("key", vec![key]),
            ("status", vec![status]),
            ("now", vec!["2026-11-23 10:00:00"]),
            ("event_id", vec!["77"]),
            ("package_number", vec![number]),
            ("package_numbers", vec!["Z122, Z123"]),
        ];
        let binds: Vec<(&str, &[&str])> = binds
            .iter()
            .map(|(name, list)| (*name, list.as_slice()))
            .collect();
        self.run("START TRANSACTION").await;
        for statement in &variant.writeback[event] {
            let rows = self.ask(statement, &binds).await;
            let problem = rows
                .first()
                .and_then(|row| row.get("_problem").cloned().flatten());
            if let Some(problem) = problem {
                self.run("ROLLBACK").await;
                return problem;
            }
        }
        self.run("COMMIT").await;
        String::new()
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
            ("_cursor", "2026-11-02 09:00:00"),
            ("paid", "0"), // cash on delivery that looks paid
            ("price.withVat", "1089"),
            ("phone", "+420 700 000 001"),
            ("deliveryAddress.fullName", "Petr O'Neil"),
            ("deliveryAddress.street", "U \"Řeky\" 4"),
            ("billingAddress.company", "Květiny & dárky & spol."),
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
    // in the trash: Brani is told at once that it is cancelled, not when a sweep finds it gone
    says(&orders["103"], &[("_status", "cancelled")]);
    assert!(!orders["103"].contains_key("_gone"));
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
                ("deliveryAddress.fullName", "Žofie Šťastná & dcery"),
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
    assert_eq!(
        variant.facts,
        ["packeta", "packeta_payment", "note", "cart_rules", "rule_deleted"]
    );
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
    assert_eq!(variant.facts, ["packeta", "grid"]);
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

#[tokio::test]
async fn woocommerce_notes_bear_the_offset_of_a_shop_that_names_no_zone() {
    let mut shop = Shop::open("woocommerce").await;
    let config = expanded("woocommerce", "");
    shop.run("UPDATE wp_options SET option_value = '' WHERE option_name = 'timezone_string'")
        .await;
    shop.run("INSERT INTO wp_options (option_name, option_value) VALUES ('gmt_offset', '-3.5')")
        .await;
    let variant = shop.variant(&config).await;
    // `shop.timezone` may say another: the offset is what WordPress writes by
    shop.run("SET time_zone = '+01:00'").await;
    shop.tell(&variant, "package_number", "101", "").await;
    let apart = "SELECT TIMESTAMPDIFF(MINUTE, comment_date_gmt, comment_date) FROM wp_comments";
    assert_eq!(shop.one(apart).await, "-210");
    shop.close().await;
}

/// The three ways in which an order of the shop's may be read: the order tables, posts, and posts by the preset for them.
const WOOCOMMERCES: [(&str, &str, &str); 3] = [
    ("woocommerce", "yes", "102"),
    ("woocommerce", "no", "301"),
    ("woocommerce-legacy", "no", "301"),
];

impl Shop {
    /// Where a WooCommerce keeps its orders: `yes`, the order tables.
    async fn tables(&mut self, answer: &str) {
        self.run(&format!(
            "UPDATE wp_options SET option_value = '{answer}' WHERE option_name = 'woocommerce_custom_orders_table_enabled'"
        ))
        .await;
    }

    /// Meta of order 102 (order tables) and 301 (posts).
    async fn order_meta(&mut self, pairs: &[(&str, &str)]) {
        for (key, value) in pairs {
            self.run(&format!(
                "INSERT INTO wp_wc_orders_meta (order_id, meta_key, meta_value) VALUES (102, '{key}', '{value}')"
            ))
            .await;
            self.run(&format!(
                "INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (301, '{key}', '{value}')"
            ))
            .await;
        }
    }
}

#[tokio::test]
async fn woocommerce_tells_a_slovak_dic_from_the_number_for_vat() {
    let mut shop = Shop::open("woocommerce").await;
    shop.run(
        "UPDATE wp_postmeta SET meta_value = 'SK' WHERE post_id = 301 AND meta_key = '_billing_country'",
    )
    .await;
    shop.order_meta(&[("_billing_dic", "2020123456")]).await;
    let told = |vat: &'static str, tax: &'static str| [("vatId", vat), ("taxId", tax)];
    for (preset, tables, code) in WOOCOMMERCES {
        shop.tables(tables).await;
        let variant = shop.variant(&expanded(preset, "")).await;
        says(&shop.orders(&variant).await[code], &told("", "2020123456"));
    }
    // the number for VAT beside it, stored later
    shop.order_meta(&[("_billing_dic_dph", "SK2020123456")]).await;
    for (preset, tables, code) in WOOCOMMERCES {
        shop.tables(tables).await;
        let variant = shop.variant(&expanded(preset, "")).await;
        says(
            &shop.orders(&variant).await[code],
            &told("SK2020123456", "2020123456"),
        );
    }
    // with its letters it is the number for VAT, and elsewhere without them too
    shop.run("DELETE FROM wp_wc_orders_meta WHERE meta_key = '_billing_dic_dph'")
        .await;
    shop.run("UPDATE wp_wc_orders_meta SET meta_value = 'SK2020123456' WHERE order_id = 102 AND meta_key = '_billing_dic'")
        .await;
    shop.run("UPDATE wp_wc_orders_meta SET meta_value = '12345678' WHERE order_id = 101 AND meta_key = '_billing_dic'")
        .await;
    shop.tables("yes").await;
    let variant = shop.variant(&expanded("woocommerce", "")).await;
    let orders = shop.orders(&variant).await;
    says(&orders["102"], &told("SK2020123456", ""));
    says(&orders["101"], &told("12345678", ""));
    shop.close().await;
}

#[tokio::test]
async fn woocommerce_delivers_to_the_billing_address_where_the_shipping_one_is_a_name_only() {
    let mut shop = Shop::open("woocommerce").await;
    shop.run("UPDATE wp_wc_order_addresses SET first_name = 'Karel', last_name = 'Jiný', country = 'DE' WHERE order_id = 102 AND address_type = 'shipping'")
        .await;
    shop.order_meta(&[("_shipping_first_name", "Karel"), ("_shipping_last_name", "Jiný")])
        .await;
    for ((preset, tables, code), (street, country)) in
        WOOCOMMERCES
            .into_iter()
            .zip([("Hlavná 1", "SK"), ("č.p. 15", "CZ"), ("č.p. 15", "CZ")])
    {
        shop.tables(tables).await;
        let variant = shop.variant(&expanded(preset, "")).await;
        says(
            &shop.orders(&variant).await[code],
            &[
                ("deliveryAddress.fullName", "Karel Jiný"),
                ("deliveryAddress.street", street),
                ("deliveryAddress.countryCode", country),
            ],
        );
    }
    shop.close().await;
}

#[tokio::test]
async fn woocommerce_takes_what_an_order_lacks_from_the_shop_and_an_older_packeta() {
    let mut shop = Shop::open("woocommerce").await;
    shop.run("INSERT INTO wp_options (option_name, option_value) VALUES ('woocommerce_currency', 'PLN')")
        .await;
    shop.run("UPDATE wp_wc_orders SET currency = '' WHERE id = 102")
        .await;
    shop.run("DELETE FROM wp_postmeta WHERE post_id = 301 AND meta_key = '_order_currency'")
        .await;
    shop.run("DELETE FROM wp_packetery_order WHERE id = 102").await;
    shop.order_meta(&[("packetery_point_id", "EXT-1"), ("packetery_carrier_id", "4539")])
        .await;
    // a variation without a picture and a weight of its own
    shop.run("INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (12, '_thumbnail_id', '0')")
        .await;
    shop.run("UPDATE wp_postmeta SET meta_value = '0' WHERE post_id = 12 AND meta_key = '_weight'")
        .await;
    for (preset, tables, code) in WOOCOMMERCES {
        shop.tables(tables).await;
        let variant = shop.variant(&expanded(preset, "")).await;
        says(
            &shop.orders(&variant).await[code],
            &[
                ("price.currencyCode", "PLN"),
                ("shippingDetails.branchId", "EXT-1"),
                ("shippingDetails.carrierId", "4539"),
            ],
        );
        says(
            &shop.items(&variant, &["101"]).await[0],
            &[
                ("weight", "0.25"),
                (
                    "image",
                    "https://shop.example.cz/wp-content/uploads/2026/11/tricko.jpg",
                ),
            ],
        );
    }
    shop.close().await;
}

#[tokio::test]
async fn woocommerce_names_a_shipping_that_was_written_by_hand_and_keeps_a_zones_own_name() {
    let mut shop = Shop::open("woocommerce").await;
    shop.run("INSERT INTO wp_woocommerce_order_items (order_item_id, order_item_name, order_item_type, order_id) VALUES (70, 'Kurýr &amp; Novák', 'shipping', 301)")
        .await;
    shop.run(
        "UPDATE wp_woocommerce_order_items SET order_item_name = 'Kurýr &amp; Novák' WHERE order_item_id = 7",
    )
    .await;
    shop.run("UPDATE wp_woocommerce_order_itemmeta SET meta_value = '' WHERE order_item_id = 7 AND meta_key IN ('method_id', 'instance_id')")
        .await;
    // a plugin that writes the instance into the method, under a name that sorts first
    shop.run("UPDATE wp_woocommerce_order_items SET order_item_name = 'A jméno' WHERE order_item_id = 3")
        .await;
    shop.run("UPDATE wp_woocommerce_order_itemmeta SET meta_value = 'flat_rate:3' WHERE order_item_id = 3 AND meta_key = 'method_id'")
        .await;
    // as if everything had changed today: the lists ask for the last months
    shop.run("UPDATE wp_wc_orders SET date_updated_gmt = UTC_TIMESTAMP()")
        .await;
    shop.run("UPDATE wp_posts SET post_modified_gmt = UTC_TIMESTAMP() WHERE post_type = 'shop_order'")
        .await;
    for (preset, tables, code) in WOOCOMMERCES {
        shop.tables(tables).await;
        let variant = shop.variant(&expanded(preset, "")).await;
        says(
            &shop.orders(&variant).await[code],
            &[("_shipping", "Kurýr & Novák")],
        );
        let list = shop.list(&variant.queries.shipping).await;
        for row in ["Kurýr & Novák|Kurýr & Novák|", "flat_rate:3|Kurýr & spol|"] {
            assert!(list.contains(&row.to_owned()), "{preset} {row}: {list:?}");
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn woocommerce_leaves_its_own_words_and_our_own_number_out_of_the_notes() {
    let mut shop = Shop::open("woocommerce").await;
    shop.order_meta(&[("_tracking", "T0")]).await;
    for order in [102, 301] {
        // a change of status by hand bears the name of the person who made it
        shop.run(&format!(
            "INSERT INTO wp_comments (comment_post_ID, comment_author, comment_content, comment_type) VALUES \
             ({order}, 'Jana', 'Zabalit &amp; poslat', 'order_note'), \
             ({order}, 'Jana', 'Stav objednávky změněn z Čeká na platbu na Zpracovává se.', 'order_note'), \
             ({order}, 'Jana', 'Order status changed from On hold to Processing.', 'order_note')"
        ))
        .await;
    }
    let options = "[shop.source.options]\ntracking_meta = \"_tracking\"\n";
    for (preset, tables, code) in WOOCOMMERCES {
        shop.tables(tables).await;
        let variant = shop.variant(&expanded(preset, options)).await;
        says(
            &shop.orders(&variant).await[code],
            &[
                ("notes.eshopRemark", "Zabalit & poslat"),
                ("notes.trackingNumber", "T0"),
            ],
        );
    }
    for (preset, tables, code) in WOOCOMMERCES {
        shop.tables(tables).await;
        let variant = shop.variant(&expanded(preset, options)).await;
        shop.tell(&variant, "package_number", code, "").await;
        says(
            &shop.orders(&variant).await[code],
            &[
                ("notes.eshopRemark", "Zabalit & poslat"),
                ("notes.trackingNumber", ""),
            ],
        );
    }
    shop.close().await;
}

#[tokio::test]
async fn woocommerce_orders_without_a_date_of_their_own_keep_theirs_when_they_are_edited() {
    let mut shop = Shop::open("woocommerce").await;
    shop.run("UPDATE wp_wc_orders SET date_created_gmt = NULL WHERE id = 102")
        .await;
    shop.run("INSERT INTO wp_posts (ID, post_content, post_title, post_excerpt, to_ping, pinged, post_content_filtered, post_type, post_status, post_date, post_date_gmt) \
              VALUES (102, '', '', '', '', '', '', 'shop_order_placehold', 'draft', '2026-11-01 09:00:00', '2026-11-01 08:00:00')")
        .await;
    shop.run("UPDATE wp_posts SET post_date_gmt = 0 WHERE ID = 301")
        .await;
    for edited in ["2026-11-02 11:00:00", "2026-11-02 12:00:00"] {
        shop.run(&format!(
            "UPDATE wp_wc_orders SET date_updated_gmt = '{edited}' WHERE id = 102"
        ))
        .await;
        shop.run(&format!(
            "UPDATE wp_posts SET post_modified_gmt = '{edited}' WHERE ID = 301"
        ))
        .await;
        for ((preset, tables, code), born) in WOOCOMMERCES.into_iter().zip([
            "2026-11-01 08:00:00",
            "2026-11-01 09:00:00",
            "2026-11-01 09:00:00",
        ]) {
            shop.tables(tables).await;
            let variant = shop.variant(&expanded(preset, "")).await;
            says(&shop.orders(&variant).await[code], &[("creationTime", born)]);
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn woocommerce_packs_the_parts_of_a_bundle_and_not_the_bundle() {
    let mut shop = Shop::open("woocommerce").await;
    shop.run("UPDATE wp_woocommerce_order_items SET order_id = 101 WHERE order_item_id IN (1, 2)")
        .await;
    let links = |whole: &str, part: &str| {
        format!(
            "INSERT INTO wp_woocommerce_order_itemmeta (order_item_id, meta_key, meta_value) VALUES {whole}, {part}"
        )
    };
    let types = |items: &[Record]| {
        let part = |item: &Record, name: &str| item[name].clone().unwrap_or_default();
        items
            .iter()
            .map(|item| format!("{} {}", part(item, "itemType"), part(item, "itemPriceWithVat")))
            .collect::<Vec<_>>()
    };
    for (preset, tables, _) in WOOCOMMERCES {
        shop.tables(tables).await;
        let variant = shop.variant(&expanded(preset, "")).await;
        let whole = types(&shop.items(&variant, &["101"]).await);
        assert!(whole[0].starts_with("product "), "{whole:?}");
        for (one, other) in [
            ("(1, '_bundle_cart_key', 'k')", "(2, '_bundled_by', 'k')"),
            ("(1, '_composite_cart_key', 'k')", "(2, '_composite_parent', 'k')"),
            ("(1, '_woosb_ids', '9/1')", "(2, '_woosb_parent_id', '11')"),
        ] {
            shop.run(&links(one, other)).await;
            let items = shop.items(&variant, &["101"]).await;
            let found = types(&items);
            assert!(found[0].starts_with("service "), "{one}: {found:?}");
            assert!(found[1].starts_with("product "), "{one}: {found:?}");
            assert_eq!(found[0][8..], whole[0][8..], "its price stays");
            says(&items[0], &[("weight", "0")]);
            shop.run("DELETE FROM wp_woocommerce_order_itemmeta WHERE meta_key REGEXP '^_(bundle|composite|woosb)'")
                .await;
        }
        // assembled: its parts are in it
        shop.run(&links(
            "(1, '_bundle_cart_key', 'k')",
            "(2, '_bundled_by', 'k'), (2, '_bundled_item_needs_shipping', 'no')",
        ))
        .await;
        let found = types(&shop.items(&variant, &["101"]).await);
        assert!(found[0].starts_with("product "), "{found:?}");
        shop.run(
            "DELETE FROM wp_woocommerce_order_itemmeta WHERE meta_key REGEXP '^_(bundle|composite|woosb)'",
        )
        .await;
    }
    shop.close().await;
}

#[tokio::test]
async fn magento_leaves_its_own_words_and_our_own_number_out_of_the_notes() {
    let mut shop = Shop::open("magento").await;
    let variant = shop.variant(&expanded("magento", "")).await;
    shop.run("INSERT INTO sales_shipment (entity_id, order_id) VALUES (4, 1)")
        .await;
    shop.run("INSERT INTO sales_shipment_track (parent_id, order_id, track_number, title, carrier_code) VALUES (4, 1, 'DR7', 'PPL', 'custom')")
        .await;
    shop.run("INSERT INTO sales_order_status_history (parent_id, is_customer_notified, is_visible_on_front, comment, status, entity_name) VALUES (1, 0, 0, 'Křehké', 'processing', 'order'), (1, 2, 0, 'IPN \"Completed\"', 'processing', 'order')")
        .await;
    shop.tell(&variant, "package_number", "1", "").await;
    let orders = shop.orders(&variant).await;
    let order = orders
        .values()
        .find(|order| order["_key"].as_deref() == Some("1"));
    let order = order.unwrap();
    says(order, &[("notes.trackingNumber", "DR7")]);
    let remark = order["notes.eshopRemark"].clone().unwrap();
    assert!(
        remark.contains("Křehké") && !remark.contains("IPN") && !remark.contains("Z123"),
        "{remark}"
    );
    shop.close().await;
}

#[tokio::test]
async fn magento_takes_the_latest_point_of_a_packeta_table_with_another_collation() {
    let mut shop = Shop::open("magento").await;
    shop.run("ALTER TABLE sales_order MODIFY increment_id VARCHAR(50) CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci")
        .await;
    shop.run("ALTER TABLE packetery_order CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        .await;
    shop.run("DELETE FROM packetery_order").await;
    shop.run("UPDATE sales_order SET shipping_method = 'packetery_pickupPointDelivery'")
        .await;
    let number = shop
        .one("SELECT increment_id FROM sales_order WHERE entity_id = 1")
        .await;
    for point in ["11", "22"] {
        shop.run(&format!("INSERT INTO packetery_order (order_number, recipient_firstname, recipient_lastname, point_id, is_carrier) VALUES ('{number}', '', '', '{point}', 0)"))
            .await;
    }
    let variant = shop.variant(&expanded("magento", "")).await;
    let orders = shop.orders(&variant).await;
    says(&orders[&number], &[("shippingDetails.branchId", "22")]);
    assert!(
        orders
            .values()
            .filter(|order| order["code"].as_deref() != Some(number.as_str()))
            .all(|order| order["shippingDetails.branchId"].is_none())
    );
    assert_eq!(shop.found(&variant, &[&number]).await.join(" "), number);
    shop.close().await;
}

#[tokio::test]
async fn woocommerce_that_keeps_both_copies_is_written_in_both() {
    let mut shop = Shop::open("woocommerce").await;
    let config = expanded(
        "woocommerce",
        "[shop.source.options]\ntracking_meta = \"_tracking_number\"\n",
    );
    shop.run("INSERT INTO wp_options (option_name, option_value) VALUES ('woocommerce_custom_orders_table_data_sync_enabled', 'yes')")
        .await;
    shop.run("UPDATE wp_posts SET post_type = 'shop_order', post_status = 'wc-processing' WHERE ID = 101")
        .await;
    let variant = shop.variant(&config).await;
    assert_eq!(variant.facts, ["hpos", "sync", "packeta"]);
    for _ in 0..2 {
        shop.tell(&variant, "package_number", "101", "").await;
        shop.tell(&variant, "status_change", "101", "completed").await;
    }
    let both = "SELECT CONCAT_WS(' ', o.status, p.post_status, (SELECT GROUP_CONCAT(meta_value) FROM wp_wc_orders_meta WHERE order_id = o.id AND meta_key = '_tracking_number'), \
                (SELECT GROUP_CONCAT(meta_value) FROM wp_postmeta WHERE post_id = o.id AND meta_key = '_tracking_number'), \
                (SELECT COUNT(*) FROM wp_postmeta WHERE post_id = o.id AND meta_key IN ('_date_completed', '_completed_date'))) \
                FROM wp_wc_orders o JOIN wp_posts p ON p.ID = o.id WHERE o.id = 101";
    assert_eq!(
        shop.one(both).await,
        "wc-completed wc-completed Z122, Z123 Z122, Z123 2"
    );
    shop.close().await;
}

#[tokio::test]
async fn prestashop_sends_what_has_no_carrier_or_one_that_is_gone() {
    let mut shop = Shop::open("prestashop").await;
    let variant = shop.variant(&expanded("prestashop", "")).await;
    shop.run("UPDATE ps_orders SET id_carrier = 0 WHERE id_order = 10")
        .await;
    shop.run("UPDATE ps_orders SET id_carrier = 77, current_state = 99 WHERE id_order = 11")
        .await;
    let orders = shop.orders(&variant).await;
    says(&orders["ABCDEFGHI"], &[("_shipping", "")]);
    says(&orders["JKLMNOPQR#1"], &[("_shipping", "77"), ("_status", "99")]);
    assert_eq!(
        shop.list(&variant.queries.shipping).await,
        ["1|Květiny|", "4|PPL|", "77|Dopravce 77|"]
    );
    assert!(
        shop.list(&variant.queries.statuses)
            .await
            .contains(&"99|99|".to_owned()),
        "a state that was deleted and orders still have"
    );
    // references that are missing do not make one code of all
    shop.run("UPDATE ps_orders SET reference = '' WHERE id_cart = 71")
        .await;
    let orders = shop.orders(&variant).await;
    assert!(orders.contains_key("11") && orders.contains_key("12"));
    shop.close().await;
}

#[tokio::test]
async fn prestashop_weighs_in_the_unit_of_the_lines_shop() {
    let mut shop = Shop::open("prestashop").await;
    let variant = shop.variant(&expanded("prestashop", "")).await;
    shop.run("INSERT INTO ps_configuration (id_shop_group, id_shop, name, value, date_add, date_upd) VALUES (NULL, 3, 'PS_WEIGHT_UNIT', 'kg', NOW(), NOW()), (8, NULL, 'PS_WEIGHT_UNIT', 'lb', NOW(), NOW())")
        .await;
    shop.run("UPDATE ps_order_detail SET id_shop = 3, product_weight = 2 WHERE id_order_detail = 2")
        .await;
    shop.run("UPDATE ps_orders SET id_shop_group = 8 WHERE id_order = 11")
        .await;
    shop.run("UPDATE ps_order_detail SET id_shop = 4, product_weight = 1 WHERE id_order_detail = 4")
        .await;
    let items = shop.items(&variant, &["10", "11"]).await;
    let weights: Vec<_> = items
        .iter()
        .map(|row| row["weight"].clone().unwrap().parse::<f64>().unwrap())
        .collect();
    assert_eq!(
        weights,
        [0.25, 2.0, 0.453_592_37],
        "grams, its shop's, its group's"
    );
    shop.run(
        "INSERT INTO ps_product (id_product, is_virtual, date_add, date_upd) VALUES (7, 1, NOW(), NOW())",
    )
    .await;
    let items = shop.items(&variant, &["10"]).await;
    says(&items[0], &[("itemType", "service"), ("weight", "0")]);
    shop.run("UPDATE ps_product SET is_virtual = 0, `condition` = 'used'")
        .await;
    says(
        &shop.items(&variant, &["10"]).await[0],
        &[("itemType", "second-hand"), ("weight", "0.25")],
    );
    shop.close().await;
}

#[tokio::test]
async fn prestashop_gives_away_as_many_pieces_as_discounts_do() {
    let mut shop = Shop::open("prestashop").await;
    let variant = shop.variant(&expanded("prestashop", "")).await;
    shop.run("INSERT INTO ps_cart_rule (id_cart_rule, gift_product) VALUES (5, 9), (6, 9)")
        .await;
    shop.run("INSERT INTO ps_order_detail (id_order, id_shop, product_id, product_name, product_quantity, product_weight, tax_name, total_price_tax_incl, unit_price_tax_incl, unit_price_tax_excl) VALUES (11, 1, 9, 'Kniha: díl (1)', 1, 0, '', 25.5, 25.5, 25.5)")
        .await;
    shop.run("INSERT INTO ps_order_cart_rule (id_order, id_cart_rule, name, value, deleted) VALUES (11, 5, 'dárek', 25.5, 0), (11, 6, 'odebraný', 25.5, 1)")
        .await;
    let items = shop.items(&variant, &["11"]).await;
    says(
        &items[0],
        &[("itemType", "product"), ("itemPriceWithVat", "25.5")],
    );
    says(&items[1], &[("itemType", "gift"), ("itemPriceWithVat", "0")]);
    shop.close().await;
}

#[tokio::test]
async fn cash_on_delivery_is_never_paid_whatever_its_method_is_called() {
    let name = "Platba na DOBÍRKU (+39 Kč)";
    let cases = [
        (
            "prestashop",
            "UPDATE ps_orders SET module = 'own', payment = '{name}' WHERE id_order = 11",
            "JKLMNOPQR#1",
            "own",
        ),
        (
            "opencart3",
            "UPDATE oc_order SET payment_code = 'own', payment_method = '{name}' WHERE order_id = 2",
            "2",
            "own",
        ),
        (
            "opencart4",
            "UPDATE oc_order SET payment_method = '{\"name\":\"{name}\",\"code\":\"own.own\"}' WHERE order_id = 1",
            "1",
            "own.own",
        ),
    ];
    for (preset, change, code, method) in cases {
        let mut shop = Shop::open(preset).await;
        shop.run(&change.replace("{name}", name)).await;
        let variant = shop.variant(&expanded(preset, "")).await;
        says(&shop.orders(&variant).await[code], &[("paid", "0")]);
        let payments = shop.list(&variant.queries.payments).await;
        let wanted = format!("{method}|{name}|cash_on_delivery");
        assert!(payments.contains(&wanted), "{preset}: {payments:?}");
        let names_do_not_count = expanded(preset, "[shop.source.options]\ncod_words = []\n");
        let variant = shop.variant(&names_do_not_count).await;
        says(&shop.orders(&variant).await[code], &[("paid", "1")]);
        shop.close().await;
    }
}

#[tokio::test]
async fn opencart_takes_no_cash_for_paid_but_in_statuses_that_are_said_to_be() {
    for preset in ["opencart3", "opencart4"] {
        let mut shop = Shop::open(preset).await;
        let (code, method) = if preset == "opencart4" {
            let json = "UPDATE oc_order SET payment_method = '{\"name\":\"Hotově\",\"code\":\"desk.desk\"}'";
            shop.run(json).await;
            ("1", "desk.desk")
        } else {
            shop.run("UPDATE oc_order SET payment_code = 'desk'").await;
            ("2", "desk")
        };
        let cash = format!("[shop.source.options]\ncash_methods = ['{method}']\n");
        let variant = shop.variant(&expanded(preset, &cash)).await;
        says(&shop.orders(&variant).await[code], &[("paid", "0")]);
        let said = format!("{cash}paid_statuses = [2, 15]\n");
        let variant = shop.variant(&expanded(preset, &said)).await;
        says(&shop.orders(&variant).await[code], &[("paid", "1")]);
        shop.close().await;
    }
}

#[tokio::test]
async fn opencart_names_a_shipping_method_without_the_parcels_weight_and_tells_slovak_numbers_apart() {
    for preset in ["opencart3", "opencart4"] {
        let mut shop = Shop::open(preset).await;
        shop.run(if preset == "opencart4" {
            "UPDATE oc_order SET shipping_method = '{\"name\":\"Zóna ČR  (Hmotnost: 2.50kg)\",\"code\":\"weight.weight_5\"}', \
             payment_custom_field = '{\"3\":\"12345678\",\"4\":\"2020202020\",\"5\":\"SK2020202020\"}'"
        } else {
            "UPDATE oc_order SET shipping_method = 'Zóna ČR  (Hmotnost: 2.50kg)', shipping_code = 'weight.weight_5', \
             payment_custom_field = '{\"3\":\"12345678\",\"4\":\"2020202020\",\"5\":\"SK2020202020\"}'"
        })
        .await;
        shop.run("REPLACE INTO oc_custom_field_description (custom_field_id, language_id, name) VALUES (4, 2, 'DIČ'), (5, 2, 'IČ DPH')")
            .await;
        shop.run("UPDATE oc_product SET image = 'catalog/dva slova &amp; x.jpg'")
            .await;
        let variant = shop.variant(&expanded(preset, "")).await;
        assert_eq!(
            shop.list(&variant.queries.shipping).await,
            ["weight.weight_5|Zóna ČR|"]
        );
        let numbers = [
            ("companyId", "12345678"),
            ("vatId", "SK2020202020"),
            ("taxId", "2020202020"),
        ];
        says(&shop.orders(&variant).await["1"], &numbers);
        says(
            &shop.items(&variant, &["1"]).await[0],
            &[(
                "image",
                "https://shop.example.cz/image/catalog/dva%20slova%20&%20x.jpg",
            )],
        );
        // a Czech shop has no IČ DPH, or leaves it empty
        shop.run("UPDATE oc_order SET store_url = '', payment_custom_field = '{\"4\":\"CZ12345678\"}'")
            .await;
        says(
            &shop.orders(&variant).await["1"],
            &[("vatId", "CZ12345678"), ("taxId", "")],
        );
        says(&shop.items(&variant, &["1"]).await[0], &[("image", "")]);
        shop.close().await;
    }
}

#[tokio::test]
async fn opencart_weighs_in_kilograms_where_the_shop_knows_pounds_and_ounces_only() {
    for preset in ["opencart3", "opencart4"] {
        let mut shop = Shop::open(preset).await;
        let variant = shop.variant(&expanded(preset, "")).await;
        for (unit, value, weight) in [("lb", "1", "0.90718474"), ("oz", "16", "0.90718474")] {
            shop.run("DELETE FROM oc_weight_class").await;
            shop.run("DELETE FROM oc_weight_class_description").await;
            shop.run(&format!(
                "INSERT INTO oc_weight_class (weight_class_id, value) VALUES (1, {value})"
            ))
            .await;
            shop.run(&format!("INSERT INTO oc_weight_class_description (weight_class_id, language_id, title, unit) VALUES (1, 2, '', '{unit}')"))
                .await;
            shop.run(&format!(
                "UPDATE oc_product SET weight_class_id = 1, weight = 2 * {value}"
            ))
            .await;
            let found = shop.items(&variant, &["1"]).await[0]["weight"].clone().unwrap();
            let (found, wanted): (f64, f64) = (found.parse().unwrap(), weight.parse().unwrap());
            assert!((found - wanted).abs() < 0.0005, "{preset} {unit}: {found}");
        }
        shop.close().await;
    }
}

#[tokio::test]
async fn opencart_4_finds_the_payment_of_orders_that_an_upgrade_left_behind() {
    let mut shop = Shop::open("opencart4").await;
    let variant = shop.variant(&expanded("opencart4", "")).await;
    // OpenCart's upgrade to 4.0.2 writes name and code into another column than it reads
    shop.run("UPDATE oc_order SET payment_method = 'Převod', payment_custom_field = '{\"name\":\"Převod\",\"code\":\"bank_transfer\"}'")
        .await;
    says(
        &shop.orders(&variant).await["1"],
        &[("_payment", "bank_transfer"), ("paid", "0")],
    );
    assert_eq!(
        shop.list(&variant.queries.payments).await,
        ["bank_transfer|Převod|bank_transfer"]
    );
    shop.run("UPDATE oc_order SET payment_method = '{\"code\":null,\"name\":null}', shipping_method = 'null', payment_custom_field = ''")
        .await;
    says(
        &shop.orders(&variant).await["1"],
        &[("_payment", ""), ("_shipping", "")],
    );
    assert!(shop.list(&variant.queries.payments).await.is_empty());
    // 4.0.0 and 4.0.1 have columns; where a module writes JSON all the same, it is read
    shop.run("ALTER TABLE oc_order ADD payment_code varchar(128) NOT NULL DEFAULT '', ADD shipping_code varchar(128) NOT NULL DEFAULT ''")
        .await;
    shop.run("UPDATE oc_order SET payment_method = '{\"name\":\"Dobírka\",\"code\":\"cod.cod\"}', shipping_method = 'Kurýr', shipping_code = 'flat.flat'")
        .await;
    let variant = shop.variant(&expanded("opencart4", "")).await;
    assert_eq!(variant.facts, ["packeta", "codes"]);
    says(
        &shop.orders(&variant).await["1"],
        &[("_payment", "cod.cod"), ("_shipping", "flat.flat"), ("paid", "0")],
    );
    assert_eq!(
        shop.list(&variant.queries.payments).await,
        ["cod.cod|Dobírka|cash_on_delivery"]
    );
    shop.close().await;
}

#[tokio::test]
async fn prestashop_knows_packs_and_odd_units_and_loses_no_name() {
    let mut shop = Shop::open("prestashop").await;
    let variant = shop.variant(&expanded("prestashop", "")).await;
    shop.run("UPDATE ps_configuration SET value = ' dkg ' WHERE name = 'PS_WEIGHT_UNIT'")
        .await;
    shop.run(
        "INSERT INTO ps_product (id_product, cache_is_pack, date_add, date_upd) VALUES (7, 1, NOW(), NOW())",
    )
    .await;
    shop.run("UPDATE ps_order_detail SET product_name = 'Deska 10 : 20 - Rozměr : 10', product_weight = 25 WHERE id_order_detail = 1")
        .await;
    says(
        &shop.items(&variant, &["10"]).await[0],
        &[
            ("itemType", "product-set"),
            ("name", "Deska 10 : 20 - Rozměr : 10"),
            ("variantName", ""),
            ("weight", "0.25"),
        ],
    );
    shop.close().await;
}

#[tokio::test]
async fn prestashop_gives_back_no_more_than_was_paid() {
    let mut shop = Shop::open("prestashop").await;
    let variant = shop.variant(&expanded("prestashop", "")).await;
    // a discount of the whole order is not in the credit slip's products
    shop.run("UPDATE ps_orders SET total_paid = 100 WHERE id_order = 10")
        .await;
    says(
        &shop.orders(&variant).await["ABCDEFGHI"],
        &[("price.withVat", "0")],
    );
    shop.close().await;
}

#[tokio::test]
async fn prestashop_keeps_a_tracking_number_where_no_carrier_row_is_and_refuses_an_unknown_state() {
    let mut shop = Shop::open("prestashop").await;
    let variant = shop.variant(&expanded("prestashop", "")).await;
    for _ in 0..2 {
        shop.tell(&variant, "package_number", "11", "").await;
    }
    assert_eq!(
        shop.one("SELECT GROUP_CONCAT(CONCAT_WS(' ', id_carrier, tracking_number, date_add)) FROM ps_order_carrier WHERE id_order = 11").await,
        "9 Z122, Z123 2026-11-23 10:00:00"
    );
    let refusal = shop.refusal(&variant, "status_change", "11", "99").await;
    assert!(refusal.contains("no order state `99`"), "{refusal}");
    assert_eq!(shop.refusal(&variant, "status_change", "11", "14").await, "");
    shop.close().await;
}

#[tokio::test]
async fn opencart_takes_no_pickup_point_of_a_method_that_was_left_and_escapes_what_it_writes() {
    for (preset, schema) in [("opencart3", "opencart3"), ("opencart4", "opencart4")] {
        let mut shop = Shop::open(schema).await;
        let variant = shop.variant(&expanded(preset, "")).await;
        let other = if preset == "opencart4" {
            shop.run(
                "INSERT INTO oc_zasilkovna_orders (order_id, branch_id, is_carrier) VALUES (1, 4321, 0)",
            )
            .await;
            shop.run("UPDATE oc_order SET shipping_method = '{\"name\":\"Z\",\"code\":\"zasilkovna.cz\"}'")
                .await;
            "UPDATE oc_order SET shipping_method = '{\"name\":\"Jinak\",\"code\":\"flat.flat\"}'"
        } else {
            "UPDATE oc_order SET shipping_code = 'flat.flat'"
        };
        let orders = shop.orders(&variant).await;
        says(&orders["1"], &[("shippingDetails.branchId", "4321")]);
        shop.run(other).await;
        let orders = shop.orders(&variant).await;
        says(
            &orders["1"],
            &[("shippingDetails.branchId", ""), ("_shipping", "flat.flat")],
        );
        for _ in 0..2 {
            shop.tell_number(&variant, "1", "Z<b>&\"1\"").await;
        }
        assert_eq!(
            shop.one("SELECT GROUP_CONCAT(comment) FROM oc_order_history WHERE comment LIKE '%zásilky%'")
                .await,
            "Brani: číslo zásilky Z&lt;b&gt;&amp;&quot;1&quot;"
        );
        // a status that was deleted and an order still has
        shop.run("UPDATE oc_order SET order_status_id = 44 WHERE order_id = 1")
            .await;
        assert!(
            shop.list(&variant.queries.statuses)
                .await
                .contains(&"44|Stav 44|".to_owned())
        );
        shop.close().await;
    }
}

#[tokio::test]
async fn opencart_4_1_names_its_language_another_way() {
    let mut shop = Shop::open("opencart4").await;
    let variant = shop.variant(&expanded("opencart4", "")).await;
    shop.run("INSERT INTO oc_language (language_id, name, code, locale, extension, sort_order, status) VALUES (1, 'English', 'en-gb', '', '', 0, 1)").await;
    shop.run("INSERT INTO oc_order_status (order_status_id, language_id, name) VALUES (2, 1, 'Processing')")
        .await;
    shop.run("UPDATE oc_setting SET `key` = 'config_language_catalog' WHERE `key` = 'config_language'")
        .await;
    assert_eq!(
        shop.list(&variant.queries.statuses).await,
        ["2|Zpracovává se|", "5|Hotovo|"]
    );
    shop.close().await;
}

#[tokio::test]
async fn brands_are_told_where_the_shop_has_a_table_of_them() {
    let mut shop = Shop::open("woocommerce").await;
    for table in [
        "CREATE TABLE wp_terms (term_id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(200), slug VARCHAR(200))",
        "CREATE TABLE wp_term_taxonomy (term_taxonomy_id BIGINT UNSIGNED PRIMARY KEY, term_id BIGINT UNSIGNED, taxonomy VARCHAR(32))",
        "CREATE TABLE wp_term_relationships (object_id BIGINT UNSIGNED, term_taxonomy_id BIGINT UNSIGNED, PRIMARY KEY (object_id, term_taxonomy_id))",
        "INSERT INTO wp_terms VALUES (1, 'Pleteniny', 'pleteniny'), (2, 'Tkadlec &amp; syn', 'tkadlec')",
        "INSERT INTO wp_term_taxonomy VALUES (11, 1, 'product_cat'), (12, 2, 'product_brand')",
        "INSERT INTO wp_term_relationships VALUES (11, 11), (11, 12)",
    ] {
        shop.run(table).await;
    }
    for preset in ["woocommerce", "woocommerce-legacy"] {
        let variant = shop.variant(&expanded(preset, "")).await;
        let items = shop.items(&variant, &["101"]).await;
        says(&items[0], &[("brand", "Tkadlec & syn")]);
        says(&items[1], &[("brand", "")]);
    }
    shop.close().await;
    for preset in ["opencart3", "opencart4"] {
        let mut shop = Shop::open(preset).await;
        shop.run("CREATE TABLE oc_manufacturer (manufacturer_id INT PRIMARY KEY, name VARCHAR(64) NOT NULL)")
            .await;
        shop.run("INSERT INTO oc_manufacturer VALUES (3, 'Tkadlec &amp; syn')")
            .await;
        shop.run("UPDATE oc_product SET manufacturer_id = 3").await;
        let variant = shop.variant(&expanded(preset, "")).await;
        let items = shop.items(&variant, &["1"]).await;
        says(&items[0], &[("brand", "Tkadlec & syn")]);
        shop.close().await;
    }
}

#[tokio::test]
async fn magento_asks_for_what_is_left_to_pay() {
    let mut shop = Shop::open("magento").await;
    let variant = shop.variant(&expanded("magento", "")).await;
    let pays = |orders: &HashMap<String, Record>, code: &str, paid: &str, total: &str, left: &str| {
        says(
            &orders[code],
            &[("paid", paid), ("price.withVat", total), ("price.toPay", left)],
        );
    };
    let orders = shop.orders(&variant).await;
    pays(&orders, "000000101", "0", "40", "40"); // cash on delivery, invoiced when packed
    pays(&orders, "000000102", "1", "379", "0"); // refunded in part
    // a part is invoiced and paid
    shop.run("UPDATE sales_order SET total_paid = 200, total_refunded = NULL WHERE entity_id = 2")
        .await;
    pays(&shop.orders(&variant).await, "000000102", "0", "500", "300");
    // and the rest is cancelled
    shop.run("UPDATE sales_order SET total_canceled = 300 WHERE entity_id = 2")
        .await;
    pays(&shop.orders(&variant).await, "000000102", "1", "200", "0");
    shop.run("UPDATE sales_order SET total_refunded = 200 WHERE entity_id = 2")
        .await;
    pays(&shop.orders(&variant).await, "000000102", "1", "0", "0");
    shop.close().await;
}

#[tokio::test]
async fn magento_weighs_in_the_unit_of_the_store_view() {
    let mut shop = Shop::open("magento").await;
    let variant = shop.variant(&expanded("magento", "")).await;
    shop.run(
        "INSERT INTO store (store_id, code, website_id) VALUES (1, 'cz', 1), (2, 'us', 2), (3, 'uk', 2)",
    )
    .await;
    shop.run("INSERT INTO core_config_data (scope, scope_id, path, value) VALUES ('websites', 2, 'general/locale/weight_unit', 'lbs'), ('stores', 3, 'general/locale/weight_unit', 'kgs')").await;
    for (store, weight) in [
        ("1", "0.25"),
        ("2", "0.1133980925"),
        ("3", "0.25"),
        ("NULL", "0.25"),
    ] {
        shop.run(&format!(
            "UPDATE sales_order_item SET store_id = {store} WHERE order_id = 1"
        ))
        .await;
        says(&shop.items(&variant, &["1"]).await[0], &[("weight", weight)]);
    }
    shop.run("DELETE FROM core_config_data WHERE scope = 'default' AND path = 'general/locale/weight_unit'")
        .await;
    says(
        &shop.items(&variant, &["1"]).await[0],
        &[("weight", "0.1133980925")],
    );
    shop.close().await;
}

#[tokio::test]
async fn magento_cancels_the_parts_of_a_bundle_with_a_fixed_price_along_with_it() {
    let mut shop = Shop::open("magento").await;
    let variant = shop.variant(&expanded("magento", "")).await;
    shop.run("UPDATE sales_order_item SET qty_ordered = 3 * qty_ordered, row_total = 0, row_total_incl_tax = 0, tax_amount = 0 WHERE parent_item_id = 3").await;
    shop.run("UPDATE sales_order_item SET qty_ordered = 3, qty_canceled = 1, row_total = 300, row_total_incl_tax = 363, tax_amount = 63 WHERE item_id = 3").await;
    let items = shop.items(&variant, &["1"]).await;
    says(&items[1], &[("code", "S-1"), ("amount", "2"), ("vatRate", "21")]);
    says(&items[2], &[("code", "S-2"), ("amount", "4")]);
    let price = |row: &Record| {
        row["itemPriceWithVat"]
            .clone()
            .unwrap()
            .parse::<rust_decimal::Decimal>()
            .unwrap()
            .round_dp(2)
            .to_string()
    };
    assert_eq!(
        (price(&items[1]), price(&items[2])),
        ("80.67".into(), "161.33".into())
    );
    shop.close().await;
}

#[tokio::test]
async fn magento_refuses_a_status_of_another_state_and_says_so() {
    let mut shop = Shop::open("magento").await;
    let variant = shop.variant(&expanded("magento", "")).await;
    let refusal = shop.refusal(&variant, "status_change", "2", "complete").await;
    assert!(
        refusal.contains("`complete`") && refusal.contains("`processing`"),
        "{refusal}"
    );
    assert_eq!(shop.refusal(&variant, "status_change", "2", "packed").await, "");
    assert!(
        shop.list(&variant.queries.statuses)
            .await
            .iter()
            .any(|row| row == "packed|Zabaleno|")
    );
    shop.run("UPDATE sales_order SET status = 'zaniklý' WHERE entity_id = 3")
        .await;
    assert!(
        shop.list(&variant.queries.statuses)
            .await
            .contains(&"zaniklý|zaniklý|".to_owned())
    );
    shop.close().await;
}

#[tokio::test]
async fn magento_shows_a_status_in_the_grid_and_a_number_at_the_shipment() {
    let mut shop = Shop::open("magento").await;
    let variant = shop.variant(&expanded("magento", "")).await;
    shop.run("INSERT INTO sales_order_grid (entity_id, status) VALUES (1, 'processing'), (2, 'processing')")
        .await;
    shop.run("INSERT INTO sales_shipment (entity_id, order_id) VALUES (4, 1), (5, 1)")
        .await;
    for _ in 0..2 {
        for key in ["1", "2"] {
            shop.tell(&variant, "package_number", key, "").await;
        }
        shop.tell(&variant, "status_change", "1", "packed").await;
    }
    assert_eq!(
        shop.one("SELECT GROUP_CONCAT(CONCAT(g.status, g.updated_at <=> o.updated_at) ORDER BY entity_id) FROM sales_order_grid g JOIN sales_order o USING (entity_id)").await,
        "packed1,processing0"
    );
    assert_eq!(
        shop.one("SELECT GROUP_CONCAT(CONCAT_WS(' ', order_id, parent_id, track_number, carrier_code)) FROM sales_shipment_track").await,
        "1 5 Z123 custom",
        "at the latest shipment, once; an order without one has the comment alone"
    );
    assert_eq!(
        shop.one("SELECT COUNT(*) FROM sales_order_status_history WHERE comment LIKE '%Z123'")
            .await,
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
    assert_eq!(
        refused("table_prefix = \"p$_\"\n"),
        ["shop.source.table_prefix: `p$_` is not a table prefix"],
        "as the configuration refuses it"
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
