//! A merchant whose orders come from an export: the real program from the file to Brani.

use brani_sync::clock::{Clock, SystemClock};
use brani_sync::sandbox::{Options, Sandbox};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// An export, Brani, and the folder with the configuration.
struct Exporter {
    brani: Sandbox,
    folder: tempfile::TempDir,
}

const MAP: &str = r#"
[shop.source.map]
code = "{{ code }}"
creationTime = "{{ date }}"
_status = "{{ status }}"
"price.withVat" = "{{ total | money }}"
"price.currencyCode" = "CZK"
"deliveryAddress.fullName" = "Božena Příkladová"
"deliveryAddress.street" = "Příčná"
"deliveryAddress.city" = "Praha"
"deliveryAddress.zip" = "11000"
"deliveryAddress.countryCode" = "CZ"
"items.code" = "{{ code }}"
"items.name" = "Hrnek"
"items.amount" = "{{ amount | decimal }}"

[[eshop_info.statuses]]
shop = "new"
[[eshop_info.statuses]]
shop = "cancelled"
"#;

impl Exporter {
    /// `source` are keys of `[shop.source]`, `more` sections of their own.
    async fn new(source: &str, more: &str) -> Self {
        let brani = Sandbox::start(([127, 0, 0, 1], 0).into(), Options::default())
            .await
            .expect("a sandbox");
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("state")).expect("a folder");
        let here = folder.path().display();
        let text = format!(
            "[brani]\nbase_url = \"{}\"\ntoken = {{ file = \"{here}/token\" }}\nrate_limit = 1000\n\n\
             [ledger]\npath = \"{here}/state/ledger.db\"\n\n\
             [shop.source]\nsend_when = [\"new\"]\nsettle = \"0s\"\n{}\n{MAP}\n{more}\n",
            brani.base_url(),
            source.replace("HERE", &here.to_string()),
        );
        let exporter = Self { brani, folder };
        exporter.put("token", "sandbox\n");
        exporter.put("shop.toml", &text);
        exporter
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that looks as if nobody had touched it for a while.
    #[expect(
        clippy::disallowed_methods,
        reason = "a file's age is told by the machine's clock"
    )]
    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).expect("rights");
        let file = fs::File::options()
            .write(true)
            .open(self.path(name))
            .expect("the file");
        let age = std::time::Duration::from_secs(60);
        file.set_modified(std::time::SystemTime::now() - age)
            .expect("a time");
    }

    #[track_caller]
    fn tell(&self, arguments: &[&str], code: i32) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_brani-sync"))
            .arg("--config")
            .arg(self.path("shop.toml"))
            .args(arguments)
            .env_remove("JOURNAL_STREAM")
            .output()
            .expect("the binary starts");
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    /// The codes that stand at Brani.
    fn stand(&self) -> Vec<String> {
        let code = |order: &serde_json::Value| order["code"].as_str().unwrap_or_default().to_owned();
        let mut codes: Vec<String> = self.brani.orders().iter().map(code).collect();
        codes.sort();
        codes
    }

    fn upserts(&self) -> u64 {
        let counts = self.brani.counts().by_path;
        counts.get("POST /order/upsert").copied().unwrap_or(0)
    }

    /// What was missed for the first time was missed a day ago.
    fn a_day_later(&self) {
        let ledger = rusqlite::Connection::open(self.path("state/ledger.db")).expect("the ledger");
        let changed = ledger
            .execute("UPDATE orders SET missing_since = missing_since - 86400000", [])
            .expect("the time is changed");
        assert!(changed > 0);
    }
}

fn order(code: &str, status: &str) -> String {
    let date = (SystemClock.now() - jiff::SignedDuration::from_hours(2)).to_string();
    // the same at every call of one test: to the hour
    let date = format!("{}:00:00Z", &date[..13]);
    format!(
        r#"{{"code":"{code}","date":"{date}","status":"{status}","total":"99,50","items":[{{"code":"H1","amount":1}}]}}"#
    )
}

fn list(orders: &[&str]) -> String {
    let orders: Vec<String> = orders.iter().map(|code| order(code, "new")).collect();
    format!("[{}]\n", orders.join(",\n"))
}

const COMPLETE: &str = r#"kind = "json"
url = "file://HERE/orders.json"
[shop.source.records]
item = "items"
complete = true"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_two_complete_exports_lack_is_deleted_and_no_broken_or_empty_one_counts() {
    let shop = Exporter::new(COMPLETE, "[deletes]\nmode = \"gone\"\n").await;
    shop.put("orders.json", &list(&["1", "2", "3"]));
    shop.tell(&["once"], 0);
    assert_eq!(shop.stand(), ["1", "2", "3"]);
    // an empty list, and one without the number of an order, prove nothing
    for nothing in ["[]".to_owned(), list(&["1", "", "3"])] {
        shop.put("orders.json", &nothing);
        shop.tell(&["once", "--sweep"], 0);
        let story = shop.tell(&["explain", "2"], 0);
        assert!(!story.contains("missing"), "{story}");
    }
    shop.put("orders.json", &list(&["1", "3"]));
    shop.tell(&["once", "--sweep"], 0);
    let story = shop.tell(&["explain", "2"], 0);
    assert!(story.contains("missing in the shop since"), "{story}");
    shop.a_day_later();
    // the time alone does not do it, nor does a file that breaks off or is empty
    shop.tell(&["once"], 0);
    shop.put("orders.json", "[]");
    shop.tell(&["once", "--sweep"], 0);
    shop.put("orders.json", &list(&["1", "3"])[..200]);
    shop.tell(&["once", "--sweep"], 1);
    assert_eq!(shop.stand(), ["1", "2", "3"]);
    shop.put("orders.json", &list(&["1", "3"]));
    shop.tell(&["once", "--sweep"], 0);
    assert_eq!(shop.stand(), ["1", "3"]);
    // it comes back
    shop.put("orders.json", &list(&["1", "2", "3"]));
    shop.tell(&["once"], 0);
    assert_eq!(shop.stand(), ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_breaks_off_moves_no_cursor() {
    let shop = Exporter::new(COMPLETE, "").await;
    let cursor = || -> Option<i64> {
        let ledger = rusqlite::Connection::open(shop.path("state/ledger.db")).expect("the ledger");
        let asked = ledger.query_row("SELECT value FROM meta WHERE name = 'poll.cursor'", [], |row| {
            row.get::<_, String>(0)
        });
        asked.ok().map(|value| value.parse().expect("a moment"))
    };
    let whole = list(&["1", "2"]);
    shop.put("orders.json", &whole[..whole.len() - 20]);
    shop.tell(&["once"], 1);
    assert_eq!(cursor(), None);
    shop.put("orders.json", &whole);
    shop.tell(&["once"], 0);
    let first = cursor().expect("a whole read");
    shop.put("orders.json", &list(&["1", "2", "3"])[..whole.len() + 20]);
    shop.tell(&["once"], 1);
    assert_eq!(cursor(), Some(first));
    shop.put("orders.json", &list(&["1", "2", "3"]));
    shop.tell(&["once"], 0);
    assert!(cursor() > Some(first));
    assert_eq!(shop.stand(), ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_in_the_next_complete_export_again_was_never_gone() {
    let shop = Exporter::new(COMPLETE, "[deletes]\nmode = \"gone\"\n").await;
    shop.put("orders.json", &list(&["1", "2"]));
    shop.tell(&["once"], 0);
    shop.put("orders.json", &list(&["1"]));
    shop.tell(&["once", "--sweep"], 0);
    shop.a_day_later();
    shop.put("orders.json", &list(&["1", "2"]));
    shop.tell(&["once", "--sweep"], 0);
    assert_eq!(shop.stand(), ["1", "2"]);
    let story = shop.tell(&["explain", "2"], 0);
    assert!(!story.contains("missing"), "{story}");
    assert_eq!(shop.upserts(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absence_from_an_export_that_is_not_declared_complete_means_nothing() {
    let shop = Exporter::new(
        &COMPLETE.replace("complete = true", ""),
        "[deletes]\nmode = \"gone\"\n",
    )
    .await;
    shop.put("orders.json", &list(&["1", "2"]));
    shop.tell(&["once"], 0);
    shop.put("orders.json", &list(&["1"]));
    shop.tell(&["once", "--sweep"], 0);
    let story = shop.tell(&["explain", "2"], 0);
    assert!(!story.contains("missing"), "{story}");
}

/// A web server of the shop: answers everything with what is in it, and remembers what was asked.
#[derive(Clone, Default)]
struct Web {
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    /// It listens until the test ends.
    fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let web = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut reader = BufReader::new(stream.try_clone().expect("the connection"));
                let mut asked = String::new();
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line.trim() != "" {
                    asked += &line;
                    line.clear();
                }
                let first = asked.lines().next().unwrap_or_default().to_owned();
                web.asked.lock().unwrap().push(first);
                let answer = web.answer.lock().unwrap().clone();
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        format!("http://{address}")
    }

    fn says(&self, head: &str, body: &str) {
        *self.answer.lock().unwrap() = format!(
            "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_ask_for_changes_and_a_sweep_for_everything() {
    let web = Web::default();
    let source = r#"kind = "json"
url = { file = "HERE/url" }
[shop.source.records]
item = "items""#;
    let shop = Exporter::new(source, "").await;
    shop.put(
        "url",
        &format!("{}/orders.json?hash=x&since={{since}}", web.start()),
    );
    web.says("200 OK", &list(&["1"]));
    shop.tell(&["once"], 0);
    let asked = web.asked();
    assert!(asked[0].contains("&since=20"), "{asked:?}");
    shop.tell(&["once", "--sweep"], 0);
    let asked = web.asked();
    assert!(
        asked
            .iter()
            .any(|line| line == "GET /orders.json?hash=x HTTP/1.1"),
        "{asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_cannot_be_read_is_parked_though_it_shows_no_items() {
    let shop = Exporter::new(&COMPLETE.replace("complete = true", ""), "").await;
    let whole = order("1", "new");
    let spoilt = order("2", "new").replace(
        r#""items":[{"code":"H1","amount":1}]"#,
        &format!("\"remark\":\"{}\"", "x".repeat((1 << 20) + 1)),
    );
    shop.put("orders.json", &format!("[{whole},{spoilt}]"));
    shop.tell(&["once"], 2);
    assert_eq!(shop.stand(), ["1"]);
    let story = shop.tell(&["explain", "2"], 0);
    assert!(story.contains("longer than 1 MiB"), "{story}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_file_says_of_an_order_is_never_sent_again() {
    let source = r#"kind = "json"
url = "file://HERE/*.json"
batch = 1
[shop.source.records]
item = "items""#;
    let shop = Exporter::new(source, "").await;
    shop.put("1-monday.json", &list(&["1", "2", "3"]));
    let changed = order("1", "new").replace("99,50", "200");
    for read in 0..4 {
        let tuesday = format!("[{changed},{}]{}", order("4", "new"), " ".repeat(read));
        shop.put("2-tuesday.json", &tuesday);
        shop.tell(&["once"], 0);
    }
    assert_eq!(shop.stand(), ["1", "2", "3", "4"]);
    assert_eq!(shop.upserts(), 4, "each once");
}
