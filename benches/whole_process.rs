//! The real program as a process of its own: wall time, processor time and peak memory of `once` on a large shop.
//!
//! `cargo bench --bench whole_process` (`-- sqlite 1000000`, `-- xml 300000`, `-- mariadb 50000` for one
//! shop and another size). It makes
//! its shop itself in a temporary folder; the sandbox runs in this process and is not counted.

#![allow(clippy::print_stdout, reason = "a bench speaks to the person who runs it")]

mod shop;

use brani_sync::sandbox::Sandbox;
use mysql_async::prelude::Queryable;
use rusqlite::Connection;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Pushes that are measured.
const PUSHED: usize = 200;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let kind = arguments.first().map_or("all", String::as_str);
    let orders = arguments.get(1).and_then(|count| count.parse().ok());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        if matches!(kind, "all" | "sqlite") {
            sqlite(orders.unwrap_or(100_000)).await;
        }
        if matches!(kind, "all" | "xml") {
            xml(orders.unwrap_or(100_000)).await;
        }
        if matches!(kind, "all" | "mariadb") {
            mariadb(orders.unwrap_or(20_000)).await;
        }
    });
}

/// A SQLite shop: everything new, nothing changed, one order in a hundred changed.
async fn sqlite(orders: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shop = folder.path().join("shop.db");
    shop::fill(&shop, orders);
    let sandbox = shop::quiet_sandbox().await;
    let config = shop::write_config(folder.path(), &shop, &sandbox);
    println!("SQLite shop, {orders} orders");
    once(&config, &[], orders, "everything is new").await;
    assert_eq!(sandbox.order_count(), orders);
    once(&config, &["--sweep"], orders, "nothing changed").await;
    let changed = Connection::open(&shop)
        .expect("the shop")
        .execute(
            "UPDATE orders SET note = 'Prosím zvonit', updated_at = datetime('now') WHERE id % 100 = 0",
            [],
        )
        .expect("changes");
    once(&config, &["--sweep"], orders, &format!("{changed} changed")).await;
}

/// An XML export by the preset: everything new (as far as a dry run goes), everything sent, nothing changed.
async fn xml(orders: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let export = folder.path().join("export.xml");
    let bytes = write_export(&export, orders).expect("the folder is writable");
    let sandbox = shop::quiet_sandbox().await;
    let config = folder.path().join("bench.toml");
    std::fs::write(&config, xml_config(folder.path(), &export, &sandbox)).expect("the folder is writable");
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let megabytes = bytes as f64 / 1e6;
    println!("XML export, {orders} orders, {megabytes:.0} MB");
    once(&config, &[], orders, "everything is new").await;
    assert_eq!(sandbox.order_count(), orders);
    let spent = once(&config, &["--sweep"], orders, "nothing changed").await;
    println!(
        "  {:.0} MB/s by the wall, {:.0} MB/s by the processor",
        megabytes / spent.wall.as_secs_f64(),
        megabytes / spent.cpu.as_secs_f64()
    );
}

fn xml_config(folder: &Path, export: &Path, sandbox: &Sandbox) -> String {
    format!(
        r#"[brani]
base_url = "{}"
token = "sandbox"
rate_limit = 1000000
concurrency = 16
[ledger]
path = "{}"
[shop]
name = "bench"
[shop.source]
preset = "shoptet-xml"
url = "file://{}"
history = "2020-01-01"
settle = "0s"
[[eshop_info.shipping]]
shop = "Zásilkovna"
[[eshop_info.payments]]
shop = "Platba kartou"
method = "card"
"#,
        sandbox.base_url(),
        folder.join("ledger.db").display(),
        export.display()
    )
}

/// A MariaDB shop: everything new, nothing changed, and the way back: half of the orders packed while nobody listened.
async fn mariadb(orders: usize) {
    let server =
        std::env::var("BRANI_SYNC_TEST_MYSQL_URL").unwrap_or_else(|_| "mysql://root@127.0.0.1:3306".into());
    let database = format!("brani_bench_{}", std::process::id());
    let pool = mysql_async::Pool::from_url(&server).expect("a URL");
    let mut connection = pool.get_conn().await.expect("a MariaDB to measure with");
    let shop = format!(
        "CREATE DATABASE {database} CHARACTER SET utf8mb4;
         USE {database};
         CREATE TABLE orders (id BIGINT PRIMARY KEY, code VARCHAR(40) NOT NULL UNIQUE, created_at DATETIME,
           updated_at DATETIME, email VARCHAR(190), phone VARCHAR(40), state VARCHAR(40), shipping VARCHAR(40),
           payment VARCHAR(40), paid TINYINT, total DECIMAL(10,2), currency VARCHAR(3), name VARCHAR(190),
           street VARCHAR(190), city VARCHAR(190), zip VARCHAR(10), country VARCHAR(2), note TEXT, tracking TEXT);
         CREATE INDEX orders_updated ON orders (updated_at);
         CREATE TABLE items (id BIGINT PRIMARY KEY AUTO_INCREMENT, order_id BIGINT, sku VARCHAR(40), name VARCHAR(190),
           qty INT, weight DECIMAL(8,3), price DECIMAL(10,2), INDEX (order_id));
         INSERT INTO orders SELECT seq, CONCAT('2026-', LPAD(seq, 7, '0')), UTC_TIMESTAMP() - INTERVAL 3600 + seq SECOND,
           UTC_TIMESTAMP() - INTERVAL 3600 + seq SECOND, CONCAT('zakaznik', seq, '@example.invalid'), '+420 601 000 001',
           'processing', 'zasilkovna', 'card', 1, 500.50 + seq MOD 1000, 'CZK', 'Božena Příkladová',
           CONCAT('Příčná ', seq, '/3'), 'Žďár nad Sázavou', '591 01', 'CZ', 'Prosím zabalit jako dárek', NULL
           FROM seq_1_to_{orders};
         INSERT INTO items (order_id, sku, name, qty, weight, price)
           SELECT o.seq, CONCAT('ZBOZI-', o.seq MOD 4000), 'Hrnek s kočkou', i.seq, 0.35, 129.90
           FROM seq_1_to_{orders} o, seq_1_to_3 i;"
    );
    connection.query_drop(shop).await.expect("a shop");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = shop::quiet_sandbox().await;
    let config = shop::write_config(folder.path(), Path::new("shop"), &sandbox);
    let text = std::fs::read_to_string(&config)
        .expect("it was written")
        .replace("kind = \"sqlite\"", "kind = \"mysql\"")
        .replace("sqlite://shop", &format!("{server}/{database}"));
    let text = format!(
        r#"{text}
[webhooks]
public_url = "http://127.0.0.1:18099/brani"
listen = "127.0.0.1:18099"
secret = "0123456789abcdef0123456789abcdef"
[writeback]
concurrency = 16
[writeback.status_change]
sql = ["UPDATE orders SET state = :status, updated_at = :now WHERE id = :key"]
[writeback.package_number]
sql = ["UPDATE orders SET tracking = :package_numbers WHERE id = :key"]
"#
    );
    std::fs::write(&config, text).expect("the folder is writable");
    println!("MariaDB shop, {orders} orders");
    once(&config, &[], orders, "everything is new").await;
    assert_eq!(sandbox.order_count(), orders);
    once(&config, &["--sweep"], orders, "nothing changed").await;
    register(&sandbox).await;
    // Before the flood: a drain reads the events of the last minutes once more.
    pushed(&config, &sandbox, &mut connection, orders).await;
    let quiet = brani_sync::sandbox::Pushes {
        enabled: false,
        ..brani_sync::sandbox::Pushes::default()
    };
    sandbox.set_pushes(quiet);
    let mut events = 0;
    for id in 1..=orders / 2 {
        events += sandbox.pack(&format!("2026-{id:07}"), &format!("Z{id}")).len();
    }
    let spent = once(&config, &[], events, &format!("{events} events waited")).await;
    println!(
        "  {:.0} events a second",
        events as f64 / spent.wall.as_secs_f64()
    );
    let packed: Option<usize> = connection
        .query_first("SELECT COUNT(*) FROM orders WHERE state = 'packed' AND tracking IS NOT NULL")
        .await
        .expect("an answer");
    assert_eq!(packed, Some(orders / 2 + PUSHED + 1));
    connection
        .query_drop(format!("DROP DATABASE {database}"))
        .await
        .expect("it is dropped");
    drop(connection);
    pool.disconnect().await.expect("it ends");
}

/// From the packing table's word, pushed to a daemon that has nothing else to do, to the row in the shop.
async fn pushed(config: &Path, sandbox: &Sandbox, shop: &mut mysql_async::Conn, orders: usize) {
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_brani-sync"))
        .arg("--config")
        .arg(config)
        .arg("run")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    sandbox.set_pushes(brani_sync::sandbox::Pushes::default());
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut waits = Vec::new();
    // The first one also waits for the start, and is not counted.
    for id in (orders / 2 + 1..=orders).take(PUSHED + 1) {
        let began = Instant::now();
        sandbox.pack(&format!("2026-{id:07}"), &format!("Z{id}"));
        loop {
            let packed: Option<bool> = shop
                .query_first(format!(
                    "SELECT state = 'packed' AND tracking IS NOT NULL FROM orders WHERE id = {id}"
                ))
                .await
                .expect("an answer");
            if packed == Some(true) {
                break;
            }
            assert!(Instant::now() < deadline, "the row of order {id} never changed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        waits.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = daemon.kill();
    let _ = daemon.wait();
    waits.remove(0);
    waits.sort();
    let at = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "  pushed, to the row in the shop: {:.0} ms in the middle, 99 of 100 within {:.0} ms",
        at(50),
        at(99)
    );
}

/// Orders of three goods, as Shoptet writes them: about 2.6 kB each.
fn write_export(path: &Path, orders: usize) -> std::io::Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<ORDERS>\n".as_bytes())?;
    let mut text = String::new();
    for id in 1..=orders {
        text.clear();
        let address = format!(
            "<NAME>Božena Příkladová</NAME><COMPANY></COMPANY><STREET>Příčná</STREET><HOUSENUMBER>{id}/3</HOUSENUMBER>\
             <CITY>Žďár nad Sázavou</CITY><ZIP>591 01</ZIP><COUNTRY>Česká republika</COUNTRY>"
        );
        let (day, hour) = (1 + id % 28, id % 24);
        let _ = write!(
            text,
            "<ORDER>\n<ORDER_ID>{id}</ORDER_ID><CODE>2026{id:07}</CODE><DATE>2026-01-{day:02} {hour:02}:15:12</DATE>\n\
             <STATUS>Vyřizuje se</STATUS>\n<CURRENCY><CODE>CZK</CODE><EXCHANGE_RATE>1</EXCHANGE_RATE></CURRENCY>\n\
             <CUSTOMER><EMAIL>zakaznik{id}@example.invalid</EMAIL><PHONE>+420601000001</PHONE>\n<BILLING_ADDRESS>{address}\
             <COMPANY_ID></COMPANY_ID><VAT_ID></VAT_ID></BILLING_ADDRESS>\n<SHIPPING_ADDRESS>{address}</SHIPPING_ADDRESS>\
             </CUSTOMER>\n<REMARK>Prosím zabalit jako dárek</REMARK><SHOP_REMARK></SHOP_REMARK><PACKAGE_NUMBER></PACKAGE_NUMBER>\n\
             <TOTAL_PRICE><WITH_VAT>{total}.50</WITH_VAT><WITHOUT_VAT>{total}</WITHOUT_VAT><PAID>1</PAID>\
             <PRICE_TO_PAY>{total}.50</PRICE_TO_PAY></TOTAL_PRICE>\n<ORDER_ITEMS>\n",
            total = 500 + id % 1000
        );
        let goods = (0..3).map(|place| {
            (
                "product",
                format!("ZBOZI-{:04}", (id * 3 + place) % 4000),
                "Hrnek s kočkou",
            )
        });
        let fees = [
            ("shipping", String::new(), "Zásilkovna"),
            ("billing", String::new(), "Platba kartou"),
        ];
        for (kind, code, name) in goods.chain(fees) {
            let _ = writeln!(
                text,
                "<ITEM><TYPE>{kind}</TYPE><CODE>{code}</CODE><NAME>{name}</NAME><VARIANT_NAME></VARIANT_NAME><AMOUNT>1.000</AMOUNT>\
                 <UNIT>ks</UNIT><WEIGHT>0.350</WEIGHT><EAN></EAN><MANUFACTURER></MANUFACTURER><SUPPLIER></SUPPLIER>\
                 <UNIT_PRICE><WITH_VAT>129.90</WITH_VAT><WITHOUT_VAT>107.36</WITHOUT_VAT><VAT_RATE>21</VAT_RATE></UNIT_PRICE>\
                 <TOTAL_PRICE><WITH_VAT>129.90</WITH_VAT><WITHOUT_VAT>107.36</WITHOUT_VAT><VAT_RATE>21</VAT_RATE></TOTAL_PRICE></ITEM>"
            );
        }
        text.push_str("</ORDER_ITEMS>\n</ORDER>\n");
        file.write_all(text.as_bytes())?;
    }
    file.write_all(b"</ORDERS>\n")?;
    file.flush()?;
    Ok(std::fs::metadata(path)?.len())
}

/// Webhooks as `run` would register them, so that there is something to list.
async fn register(sandbox: &Sandbox) {
    let client = brani_sync::http::client(Duration::from_secs(30)).expect("a client");
    let secret = "0123456789abcdef0123456789abcdef";
    for event in ["status_change", "package_number"] {
        let url = format!("http://127.0.0.1:18099/brani/{event}/{secret}");
        let answer = client
            .post(sandbox.base_url().join("webhook").expect("a URL"))
            .bearer_auth("sandbox")
            .json(&serde_json::json!({ "event_type": event, "url": url }))
            .send()
            .await
            .expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}

/// What a process took.
struct Spent {
    wall: Duration,
    cpu: Duration,
}

/// Runs the program to its end and prints what it took.
async fn once(config: &Path, more: &[&str], orders: usize, what: &str) -> Spent {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_brani-sync"))
        .arg("--config")
        .arg(config)
        .args(["once", "--quiet"])
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut peak = 0;
    // Until it has ended and is not collected yet: its times stand there still, its memory no more.
    let mut stat = shop::stat(child.id());
    while !stat.ended {
        peak = peak.max(shop::peak_kib(child.id()));
        tokio::time::sleep(Duration::from_millis(5)).await;
        stat = shop::stat(child.id());
    }
    let wall = began.elapsed();
    let code = child.wait().expect("it ended").code();
    assert_eq!(code, Some(0), "{what}");
    println!(
        "  {what}: {:.2} s, {:.2} s of processor ({:.1} µs an order), peak {:.1} MB",
        wall.as_secs_f64(),
        stat.cpu.as_secs_f64(),
        stat.cpu.as_secs_f64() * 1e6 / orders as f64,
        peak as f64 * 1024.0 / 1e6
    );
    Spent { wall, cpu: stat.cpu }
}
