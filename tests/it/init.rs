//! `init` as a merchant runs it: the binary, a MariaDB with a shop's reduced schema, a folder for the configuration.

use crate::merchant::until;
use crate::sandbox::{client, info, start};
use crate::support::{Db, MariaDb, Postgres, Sqlite, mysql, mysql_server};
use brani_sync::brani::Service;
use brani_sync::sandbox::Options;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// A folder in which a configuration is to be.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("shop.toml")
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.0.path().join("shop.secrets").join(name)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.config()).unwrap()
    }

    fn token(&self, token: &str) {
        std::fs::create_dir_all(self.0.path().join("shop.secrets")).unwrap();
        std::fs::write(self.secret("brani-token"), token).unwrap();
        std::fs::set_permissions(self.secret("brani-token"), PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_brani-sync"))
            .args(arguments)
            .env("HOME", self.0.path())
            .env_remove("CREDENTIALS_DIRECTORY")
            .env_remove("STATE_DIRECTORY")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn init(&self, arguments: &[&str]) -> Output {
        let config = self.config();
        let mut all = vec!["init", "--yes", "--output", config.to_str().unwrap()];
        all.extend(arguments);
        self.run(&all)
    }

    #[track_caller]
    fn inits(&self, arguments: &[&str]) {
        let output = self.init(arguments);
        assert!(output.status.success(), "{}", said(&output));
    }

    /// `check --offline` is content with the file.
    #[track_caller]
    fn checks(&self) {
        self.token("tok-1");
        let output = self.run(&["--config", self.config().to_str().unwrap(), "check", "--offline"]);
        assert!(output.status.success(), "{}\n{}", said(&output), self.text());
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn fill(db: &Db, schema: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas");
    for file in [format!("{schema}.sql"), format!("{schema}-orders.sql")] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        db.sql(&format!("SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';\n{text}"));
    }
}

fn shop(schema: &str) -> Db {
    let db = MariaDb::create();
    fill(&db, schema);
    db
}

#[test]
fn each_shop_system_is_recognised_and_its_configuration_checks() {
    for (schema, preset, prefix) in [
        ("woocommerce", "woocommerce", "wp_"),
        ("prestashop", "prestashop", "ps_"),
        ("opencart3", "opencart3", "oc_"),
        ("opencart4", "opencart4", "oc_"),
        ("magento", "magento", ""),
    ] {
        let (db, desk) = (shop(schema), Desk::new());
        desk.inits(&["--url", &db.url]);
        let text = desk.text();
        assert!(
            text.contains(&format!("\npreset = \"{preset}\"")),
            "{schema}: {text}"
        );
        assert!(
            text.contains(&format!("\ntable_prefix = \"{prefix}\"")),
            "{schema}: {text}"
        );
        assert!(
            !text.contains("password ="),
            "{schema}: there is none to be named"
        );
        assert!(!desk.secret("shop-db").exists());
        assert!(
            text.contains("# [[eshop_info.payments]]"),
            "{schema}: the lists are shown\n{text}"
        );
        desk.checks();
    }
}

#[test]
fn zone_unit_and_names_are_the_shops_own() {
    let (db, desk) = (shop("woocommerce"), Desk::new());
    db.sql("UPDATE wp_options SET option_value = 'Europe/Bratislava' WHERE option_name = 'timezone_string'");
    desk.inits(&["--url", &db.url]);
    let text = desk.text();
    for part in [
        "timezone = \"Europe/Bratislava\"",
        "weights in the shop: g ",
        "# shop = \"flat_rate:3\"\n# name = \"Kurýr & spol\"",
        "# shop = \"cod\"\n# name = \"Dobírka\"\n# method = \"cash_on_delivery\"",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    db.sql("UPDATE wp_options SET option_value = '+01:00 or so' WHERE option_name = 'timezone_string'");
    desk.inits(&["--url", &db.url, "--force"]);
    assert!(desk.text().contains("timezone = \"Europe/Prague\""));
    assert!(desk.text().contains("the shop names `+01:00 or so`"));
}

#[test]
fn the_shops_own_file_tells_everything_and_its_password_is_kept_as_a_secret() {
    let (db, desk) = (shop("woocommerce"), Desk::new());
    let user = format!("u{}", &db.name[db.name.len() - 12..]);
    mysql(
        "mysql",
        &format!(
            "CREATE USER '{user}'@'%' IDENTIFIED BY 'it''s #1'; GRANT SELECT ON {}.* TO '{user}'@'%'",
            db.name
        ),
    );
    let folder = desk.0.path().join("www");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("wp-config.php"),
        format!(
            "<?php\ndefine('DB_NAME', '{}');\ndefine('DB_USER', '{user}');\ndefine('DB_PASSWORD', 'it\\'s #1');\ndefine('DB_HOST', '{}');\n$table_prefix = 'wp_';\n",
            db.name,
            mysql_server().address()
        ),
    )
    .unwrap();
    let output = desk.init(&["--shop", folder.to_str().unwrap()]);
    mysql("mysql", &format!("DROP USER '{user}'@'%'"));
    assert!(output.status.success(), "{}", said(&output));
    let text = desk.text();
    assert!(
        text.contains("password = { credential = \"shop-db\" }") && text.contains("preset = \"woocommerce\""),
        "{text}"
    );
    assert!(!text.contains("it's #1") && !said(&output).contains("it's #1"));
    assert_eq!(
        std::fs::read_to_string(desk.secret("shop-db")).unwrap(),
        "it's #1"
    );
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&desk.secret("shop-db")), 0o600);
    assert_eq!(mode(desk.secret("shop-db").parent().unwrap()), 0o700);
    desk.checks();
}

#[test]
fn a_password_in_the_url_is_refused_and_not_repeated() {
    let desk = Desk::new();
    let output = desk.init(&["--url", "mysql://sync:geheim@127.0.0.1/shop"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(!said(&output).contains("geheim"));
    assert!(said(&output).contains("--password-file"));
    assert!(!desk.config().exists());
}

#[test]
fn only_a_shipped_configuration_is_replaced_unasked() {
    let (db, desk) = (shop("prestashop"), Desk::new());
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/pkg/brani-sync.toml");
    std::fs::copy(shipped, desk.config()).unwrap();
    std::fs::set_permissions(desk.config(), PermissionsExt::from_mode(0o640)).unwrap();
    desk.inits(&["--url", &db.url]);
    let mode = std::fs::metadata(desk.config()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o640, "as the file it replaces");

    std::fs::write(desk.config(), "# mine\n").unwrap();
    let output = desk.init(&["--url", &db.url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--force"), "{}", said(&output));
    assert_eq!(desk.text(), "# mine\n");
    desk.inits(&["--url", &db.url, "--force"]);
    assert!(desk.text().contains("preset = \"prestashop\""));
    let left: Vec<_> = std::fs::read_dir(desk.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["shop.toml"], "nothing is left beside it");
}

#[test]
fn what_root_configures_anew_the_services_user_can_read() {
    let (db, desk) = (shop("prestashop"), Desk::new());
    desk.inits(&["--url", &db.url]);
    let mode = std::fs::metadata(desk.config()).unwrap().permissions().mode() & 0o777;
    let root = rustix::process::geteuid().is_root();
    // Everybody else runs the daemon himself.
    assert_eq!(mode, if root { 0o644 } else { 0o640 });
}

#[test]
fn several_shops_in_one_database_are_told_apart_by_their_prefix() {
    let (db, desk) = (shop("prestashop"), Desk::new());
    fill(&db, "opencart3");
    let output = desk.init(&["--url", &db.url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--prefix: oc_, ps_"), "{}", said(&output));
    assert!(!desk.config().exists());
    desk.inits(&["--url", &db.url, "--prefix", "ps_"]);
    assert!(desk.text().contains("preset = \"prestashop\""));
    desk.inits(&["--url", &db.url, "--preset", "opencart3", "--force"]);
    assert!(desk.text().contains("preset = \"opencart3\""));
}

#[test]
fn an_unknown_shop_gets_queries_to_be_finished() {
    let (db, desk) = (MariaDb::create(), Desk::new());
    db.sql(
        "CREATE TABLE objednavky (id INT PRIMARY KEY, cislo VARCHAR(20), stav INT, vytvoreno DATETIME, zmeneno DATETIME, jmeno TEXT); \
         CREATE TABLE objednavky_polozky (id INT PRIMARY KEY, objednavka_id INT, kod VARCHAR(20), nazev TEXT, mnozstvi INT); \
         CREATE TABLE log (id INT)",
    );
    desk.inits(&["--url", &db.url]);
    let text = desk.text();
    for part in [
        "o.id AS _key, o.zmeneno AS _cursor, o.cislo AS code",
        "o.vytvoreno AS `creationTime`",
        "FROM objednavky o",
        "i.objednavka_id AS _key, i.kod AS code, i.nazev AS name, i.mnozstvi AS amount",
        "jmeno text",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("#   log:"));
    desk.checks();
}

#[test]
fn a_table_whose_name_is_a_word_of_sql_is_quoted() {
    let (db, desk) = (MariaDb::create(), Desk::new());
    db.sql("CREATE TABLE `order` (id INT PRIMARY KEY, code VARCHAR(20), created DATETIME, updated DATETIME)");
    desk.inits(&["--url", &db.url]);
    assert!(desk.text().contains("FROM `order` o"), "{}", desk.text());
}

#[test]
fn what_is_said_of_encryption_is_written_down() {
    let (db, desk) = (shop("woocommerce"), Desk::new());
    desk.inits(&["--url", &db.url, "--tls", "off"]);
    assert!(desk.text().contains("tls = \"off\""), "{}", desk.text());
    desk.checks();
    let output = desk.init(&[
        "--url",
        &db.url,
        "--force",
        "--tls",
        "verify",
        "--tls-ca",
        "/none.pem",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("`/none.pem`"), "{}", said(&output));
    // MariaDB of the tests offers none, MySQL one that nobody signed.
    let output = desk.init(&["--url", &db.url, "--force", "--tls", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--tls-ca FILE"), "{}", said(&output));
    let output = desk.init(&["--url", &db.url, "--tls", "perhaps"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).contains("write verify or off"), "{}", said(&output));
}

#[tokio::test]
async fn what_brani_has_under_the_same_name_keeps_its_guid() {
    let (db, desk) = (shop("woocommerce"), Desk::new());
    let sandbox = start(Options::default()).await;
    let mut known = info();
    let guid = "11111111-2222-4333-8444-555555555555";
    known.payment_methods.retail.methods[0].name = "dobírka".into();
    known.payment_methods.retail.methods[0].guid = guid.into();
    client(&sandbox).post_eshop_info(&known).await.unwrap();
    desk.token("sandbox");
    let base_url = sandbox.base_url().to_string();
    let (desk, url) = tokio::task::spawn_blocking({
        let url = db.url.clone();
        move || {
            desk.inits(&["--url", &url, "--base-url", &base_url]);
            (desk, base_url)
        }
    })
    .await
    .unwrap();
    let text = desk.text();
    assert!(
        text.contains(&format!(
            "\n[[eshop_info.payments]]\nshop = \"cod\"\nname = \"Dobírka\"\nmethod = \"cash_on_delivery\"\nguid = \"{guid}\""
        )),
        "{text}"
    );
    assert!(text.contains(&format!("base_url = \"{url}\"")), "{text}");
    desk.checks();
}

#[test]
fn an_exports_address_is_kept_as_a_secret() {
    let desk = Desk::new();
    let url = "https://shop.example.cz/export/orders.xml?hash=s3cr3t";
    desk.inits(&["--preset", "shoptet-xml", "--url", url]);
    assert!(!desk.text().contains("s3cr3t"));
    assert_eq!(std::fs::read_to_string(desk.secret("shop-export")).unwrap(), url);
    desk.checks();
}

#[tokio::test]
async fn the_methods_and_statuses_of_an_exports_orders_are_listed_and_its_configuration_checks() {
    let desk = Desk::new();
    let export = desk.0.path().join("orders.xml");
    let order = |code: &str, date: &str, status: &str, shipping: &str, payment: &str| {
        let line = |kind: &str, name: &str| {
            format!("<ITEM><TYPE>{kind}</TYPE><CODE>x</CODE><NAME>{name}</NAME><AMOUNT>1</AMOUNT></ITEM>")
        };
        format!(
            "<ORDER><CODE>{code}</CODE><DATE>{date}</DATE><STATUS>{status}</STATUS><CURRENCY><CODE>CZK</CODE></CURRENCY><CUSTOMER>\
             <EMAIL>a@example.invalid</EMAIL><PHONE>+420777000111</PHONE><BILLING_ADDRESS><NAME>Božena Příkladová</NAME><STREET>Příčná 1</STREET>\
             <CITY>Praha</CITY><ZIP>11000</ZIP></BILLING_ADDRESS></CUSTOMER><TOTAL_PRICE><WITH_VAT>10</WITH_VAT><PRICE_TO_PAY>10</PRICE_TO_PAY>\
             <PAID>0</PAID></TOTAL_PRICE><ORDER_ITEMS>{}{}{}</ORDER_ITEMS></ORDER>",
            line("product", "Hrnek"),
            line("shipping", shipping),
            line("billing", payment),
        )
    };
    std::fs::write(
        &export,
        format!(
            "<ORDERS>{}{}{}{}</ORDERS>",
            order("1", "2026-03-01 10:00:00", "Nevyřízená", "Zásilkovna", "Dobírkou"),
            order("2", "2026-03-02 10:00:00", "Balí se", "PPL \"domů\"", "Kartou"),
            ["4", "5", "6"]
                .map(|code| order(code, "2026-03-01 09:00:00", "Nevyřízená", "Zásilkovna", "Kartou"))
                .concat(),
            order("3", "2024-03-02 10:00:00", "Stará", "Dávno zrušená", "Složenkou"),
        ),
    )
    .unwrap();
    let sandbox = start(Options::default()).await;
    let mut known = info();
    let guid = "11111111-2222-4333-8444-555555555555";
    known.shipping_methods.retail.methods[0].name = "zásilkovna".into();
    known.shipping_methods.retail.methods[0].guid = guid.into();
    client(&sandbox).post_eshop_info(&known).await.unwrap();
    desk.token("sandbox");
    let base_url = sandbox.base_url().to_string();
    let desk = tokio::task::spawn_blocking(move || {
        let url = format!("file://{}", export.display());
        desk.inits(&["--preset", "shoptet-xml", "--url", &url, "--base-url", &base_url]);
        desk
    })
    .await
    .unwrap();
    let text = desk.text();
    for part in [
        "\n[[eshop_info.statuses]]\nshop = \"Balí se\"",
        &format!(
            "\n[[eshop_info.shipping]]\nshop = \"Zásilkovna\"\nname = \"Zásilkovna\"\nguid = \"{guid}\""
        ),
        "PPL \"domů\"",
        "\nshop = \"Dobírkou\"\nname = \"Dobírkou\"\nmethod = \"cash_on_delivery\"",
        "\nshop = \"Kartou\"\nname = \"Kartou\"\nmethod = \"card\"",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    for not in ["Nevyřízená\"\nname", "Stará", "Dávno", "Složenkou"] {
        assert!(!text.contains(not), "{not}\n{text}");
    }
    desk.checks();
    // online, too: every order of the export maps
    let desk = tokio::task::spawn_blocking(move || {
        desk.token("sandbox");
        let output = desk.run(&["--config", desk.config().to_str().unwrap(), "check"]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("✓ order `2`"), "{}", said(&output));
        desk
    })
    .await
    .unwrap();
    drop(desk);
}

#[test]
fn an_unknown_shop_in_postgres_or_sqlite_gets_queries_to_be_finished_too() {
    for (db, kind) in [(Postgres::create(), "postgres"), (Sqlite::create(), "sqlite")] {
        let desk = Desk::new();
        db.sql(
            "CREATE TABLE objednavky (id INTEGER PRIMARY KEY, cislo TEXT, stav INT, vytvoreno TIMESTAMP, zmeneno TIMESTAMP, jmeno TEXT); \
             CREATE TABLE objednavky_polozky (id INTEGER PRIMARY KEY, objednavka_id INT, kod TEXT, nazev TEXT, mnozstvi INT)",
        );
        desk.inits(&["--url", &db.url]);
        let text = desk.text();
        for part in [
            &format!("kind = \"{kind}\""),
            "o.id AS _key, o.zmeneno AS _cursor, o.cislo AS code",
            "o.vytvoreno AS \"creationTime\"",
            "FROM objednavky o",
            "i.objednavka_id AS _key, i.kod AS code, i.nazev AS name, i.mnozstvi AS amount",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        desk.checks();
    }
}

/// `init` on a terminal, answered as a person would.
struct Terminal {
    child: Child,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    fn init(desk: &Desk) -> Self {
        let command = format!(
            "{} init --output {}",
            env!("CARGO_BIN_EXE_brani-sync"),
            desk.config().display()
        );
        let mut child = Command::new("script")
            .args([
                "--quiet",
                "--flush",
                "--return",
                "--command",
                &command,
                "/dev/null",
            ])
            .env("HOME", desk.0.path())
            .env_remove("CREDENTIALS_DIRECTORY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` gives a terminal: apt-get install bsdutils");
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut output, seen) = (child.stdout.take().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                seen.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { child, screen }
    }

    /// Waits until the screen ends with this question, and answers it.
    #[track_caller]
    fn answer(&mut self, question: &str, answer: &str) {
        until(&format!("it asks `{question}`"), || {
            self.screen.lock().unwrap().trim_end().ends_with(question)
        });
        self.screen.lock().unwrap().push('\n');
        writeln!(self.child.stdin.as_mut().unwrap(), "{answer}").unwrap();
    }

    #[track_caller]
    fn ends_well(mut self) -> String {
        let status = self.child.wait().unwrap();
        let screen = self.screen.lock().unwrap().clone();
        assert!(status.success(), "{screen}");
        screen
    }
}

const WHAT: &str = "The shop's folder, or what holds its orders (mysql, postgres, sqlite, shoptet-xml, shoptet-csv) [mysql]:";

#[test]
fn on_a_terminal_it_asks_for_the_database_and_does_not_show_the_password() {
    let (db, desk) = (shop("woocommerce"), Desk::new());
    let url = url::Url::parse(&db.url).unwrap();
    let name = url.path().trim_start_matches('/');
    let (user, password) = (
        format!("u_{}", &name[name.len().saturating_sub(24)..]),
        "heslo-jen-pro-cteni",
    );
    db.sql(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'"));
    db.sql(&format!("GRANT SELECT ON `{name}`.* TO '{user}'@'%'"));
    let mut terminal = Terminal::init(&desk);
    terminal.answer(WHAT, "");
    let server = format!("127.0.0.1:{}", url.port().unwrap_or(3306));
    terminal.answer("Database server [localhost]:", &server);
    terminal.answer("Database:", "");
    terminal.answer("Database:", name);
    terminal.answer("User [sync]:", &user);
    terminal.answer("Password of the database (nothing: none):", password);
    let screen = terminal.ends_well();
    db.sql(&format!("DROP USER '{user}'@'%'"));
    assert!(screen.contains("Found woocommerce"), "{screen}");
    assert!(!screen.contains(password), "{screen}");
    assert!(desk.text().contains("preset = \"woocommerce\""));
    assert!(!desk.text().contains(password));
    assert_eq!(
        std::fs::read_to_string(desk.secret("shop-db")).unwrap().trim(),
        password
    );
    desk.checks();
}

#[test]
fn on_a_terminal_a_file_and_an_export_are_asked_for_by_their_own_names() {
    let (db, desk) = (Sqlite::create(), Desk::new());
    db.sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, code TEXT, created_at TEXT, updated_at TEXT)");
    let mut terminal = Terminal::init(&desk);
    terminal.answer(WHAT, "sqlite");
    terminal.answer("File of the database:", db.url.trim_start_matches("sqlite://"));
    terminal.ends_well();
    assert!(desk.text().contains("kind = \"sqlite\""), "{}", desk.text());

    let desk = Desk::new();
    let mut terminal = Terminal::init(&desk);
    terminal.answer(WHAT, "shoptet-xml");
    terminal.answer(
        "Address of the export:",
        "https://shop.example.cz/export/orders.xml?hash=abc",
    );
    terminal.ends_well();
    assert!(
        desk.text().contains("preset = \"shoptet-xml\""),
        "{}",
        desk.text()
    );
    assert!(!desk.text().contains("hash=abc"), "{}", desk.text());
    desk.checks();
}
