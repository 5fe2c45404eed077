//! A merchant for the stories of the real binary: a shop in a database, a configuration in a folder, a sandbox.

use crate::support::{Db, MariaDb, Postgres, Sqlite};
use brani_sync::clock::{Clock, SystemClock};
use brani_sync::database::parameters::Dialect;
use brani_sync::sandbox::{Options, Sandbox};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const TOKEN: &str = "tajny-token-0123456789";
pub const SECRET: &str = "tajemstvi-webhooku-0123456789abcdef";
pub const BINARY: &str = env!("CARGO_BIN_EXE_brani-sync");

/// How the shop writes its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Text in the shop's zone.
    Text,
    /// A column without a zone, in the shop's zone.
    Local,
    /// A column that knows its zone.
    Zoned,
    /// Seconds.
    Epoch,
}

/// What differs between orders of the stories.
#[derive(Clone, Debug)]
pub struct Sale {
    pub id: u32,
    pub code: String,
    pub name: String,
    pub street: String,
    pub city: String,
    pub email: String,
    pub phone: String,
    pub note: String,
    pub goods: String,
    pub state: String,
    pub shipping: String,
}

/// Words of four scripts; personal data that must never be logged.
pub const PEOPLE: [(&str, &str, &str, &str, &str); 4] = [
    (
        "Žofie Příšerně-Žluťoučká",
        "Úpská 12/3 „U Koně“",
        "Třeboň",
        "Zvoňte 2×, prosím; l'été — děkuji",
        "Čaj z lípy ěščřžýáíé",
    ),
    (
        "Ľubomír Hŕbka",
        "Nábrežie Dŕžkov 7",
        "Ľubochňa",
        "Vrátnica: nechať u súseda, ôsme poschodie",
        "Šľahačka ŕĺôä",
    ),
    (
        "王小明",
        "南京东路一百号 3 单元",
        "上海市",
        "请勿按门铃,谢谢 \\ 100%",
        "绿茶 𠮷野家",
    ),
    (
        "Emoji 👩‍🚀 Nováková",
        "Ulice 🎈 5",
        "Brno 🏰",
        "🎁 dárek\nna dva řádky 'a' \"b\"; DROP TABLE orders; --",
        "Svíčka 🕯️🇨🇿",
    ),
];

impl Sale {
    pub fn new(id: u32) -> Self {
        let (name, street, city, note, goods) = PEOPLE[id as usize % 4];
        Self {
            id,
            code: format!("2026-{id:04}"),
            name: name.into(),
            street: street.into(),
            city: city.into(),
            email: format!("zakaznik{id}@soukromy.invalid"),
            phone: format!("+420 601 23{:04}", id % 10_000),
            note: note.into(),
            goods: goods.into(),
            state: "processing".into(),
            shipping: "zasilkovna".into(),
        }
    }

    pub fn code(mut self, code: &str) -> Self {
        self.code = code.into();
        self
    }

    pub fn state(mut self, state: &str) -> Self {
        self.state = state.into();
        self
    }

    pub fn shipping(mut self, shipping: &str) -> Self {
        self.shipping = shipping.into();
        self
    }
}

/// A shop that a merchant wrote himself.
pub struct Shop {
    pub db: Db,
    pub column: Column,
}

impl Shop {
    pub fn sqlite() -> Self {
        Self::new(Sqlite::create(), Column::Text)
    }

    pub fn mariadb() -> Self {
        Self::new(MariaDb::create(), Column::Local)
    }

    pub fn postgres() -> Self {
        Self::new(Postgres::create(), Column::Zoned)
    }

    pub fn new(db: Db, column: Column) -> Self {
        let time = match (db.dialect, column) {
            (Dialect::Mysql, Column::Text) => "VARCHAR(19)",
            (_, Column::Text) => "TEXT",
            (Dialect::Mysql, Column::Local) => "DATETIME",
            (Dialect::Mysql, Column::Zoned) => "TIMESTAMP NULL",
            (Dialect::Postgres, Column::Local) => "timestamp",
            (Dialect::Postgres, Column::Zoned) => "timestamptz",
            (Dialect::Sqlite, Column::Local | Column::Zoned) => "TEXT",
            (_, Column::Epoch) => "BIGINT",
        };
        let short = if db.dialect == Dialect::Mysql {
            "VARCHAR(200)"
        } else {
            "TEXT"
        };
        let id = match db.dialect {
            Dialect::Sqlite => "INTEGER PRIMARY KEY",
            _ => "BIGINT PRIMARY KEY",
        };
        let paid = if db.dialect == Dialect::Mysql {
            "TINYINT(1)"
        } else {
            "BOOLEAN"
        };
        db.sql(&format!(
            "CREATE TABLE orders (id {id}, code {short} NOT NULL UNIQUE, created_at {time}, updated_at {time},
               email {short}, phone {short}, state {short}, shipping {short}, payment {short}, paid {paid},
               total DECIMAL(10,2), name {short}, street {short}, city {short}, zip {short}, note TEXT, tracking TEXT);
             CREATE TABLE items (id {id}, order_id BIGINT, name {short}, qty INTEGER, weight DECIMAL(8,3), price DECIMAL(10,2));
             CREATE TABLE notes (order_id BIGINT, text TEXT);
             CREATE INDEX orders_updated ON orders (updated_at);"
        ));
        Self { db, column }
    }

    /// A moment as this shop writes it, seconds from now.
    pub fn moment(&self, seconds: i64) -> String {
        let at = SystemClock.now() + jiff::SignedDuration::from_secs(seconds);
        let epoch = at.as_second();
        let prague = at
            .in_tz("Europe/Prague")
            .expect("a zone")
            .strftime("%Y-%m-%d %H:%M:%S");
        match (self.db.dialect, self.column) {
            (_, Column::Epoch) => epoch.to_string(),
            (Dialect::Mysql, Column::Zoned) => format!("FROM_UNIXTIME({epoch})"),
            (Dialect::Postgres, Column::Zoned) => format!("to_timestamp({epoch})"),
            _ => format!("'{prague}'"),
        }
    }

    fn text(&self, text: &str) -> String {
        let text = text.replace('\'', "''");
        match self.db.dialect {
            Dialect::Mysql => format!("'{}'", text.replace('\\', "\\\\")),
            _ => format!("'{text}'"),
        }
    }

    /// Puts an order of yesterday, changed now.
    pub fn add(&self, sale: &Sale) {
        self.add_all(std::slice::from_ref(sale));
    }

    pub fn add_all(&self, sales: &[Sale]) {
        let mut sql = String::from("BEGIN;");
        for sale in sales {
            let id = sale.id;
            let t = |text: &str| self.text(text);
            let paid = if self.db.dialect == Dialect::Postgres {
                "true"
            } else {
                "1"
            };
            sql += &format!(
                "INSERT INTO orders VALUES ({id}, {}, {}, {}, {}, {}, {}, {}, 'card', {paid}, 1249.90, {}, {}, {}, '370 01', {}, NULL);
                 INSERT INTO items VALUES ({}, {id}, {}, 2, 0.25, 499.50);
                 INSERT INTO items VALUES ({}, {id}, 'Poštovné', 1, 0, 250.90);",
                t(&sale.code),
                self.moment(-86_400 - i64::from(id)),
                self.moment(0),
                t(&sale.email),
                t(&sale.phone),
                t(&sale.state),
                t(&sale.shipping),
                t(&sale.name),
                t(&sale.street),
                t(&sale.city),
                t(&sale.note),
                id * 2,
                t(&sale.goods),
                id * 2 + 1,
            );
        }
        self.db.sql(&(sql + "COMMIT;"));
    }

    /// Changes columns of an order and its time of change.
    pub fn change(&self, id: u32, set: &str) {
        self.db.sql(&format!(
            "UPDATE orders SET {set}, updated_at = {} WHERE id = {id}",
            self.moment(0)
        ));
    }

    /// One column of an order.
    pub fn get(&self, id: u32, column: &str) -> String {
        self.db
            .sql(&format!("SELECT {column} FROM orders WHERE id = {id}"))
    }

    /// The source section of the configuration.
    fn source(&self, file: &Path) -> String {
        let kind = match self.db.dialect {
            Dialect::Mysql => "mysql",
            Dialect::Postgres => "postgres",
            Dialect::Sqlite => "sqlite",
        };
        let cursor = match self.column {
            Column::Text => "cursor = \"text:%Y-%m-%d %H:%M:%S\"",
            Column::Epoch => "cursor = \"epoch\"",
            _ if self.db.dialect == Dialect::Sqlite => "cursor = \"text:%Y-%m-%d %H:%M:%S\"",
            _ => "",
        };
        format!(
            r#"
[shop.source]
kind = "{kind}"
url = {{ file = "{}" }}
{cursor}
send_when = ["processing"]
settle = "0s"

[shop.source.orders]
query = """
SELECT o.id AS _key, o.updated_at AS _cursor, o.code AS code, o.created_at AS "creationTime", o.email AS email,
       o.phone AS phone, o.state AS _status, o.shipping AS _shipping, o.payment AS _payment, o.paid AS paid,
       o.total AS "price.withVat", 'CZK' AS "price.currencyCode", o.name AS "deliveryAddress.fullName",
       o.street AS "deliveryAddress.street", o.city AS "deliveryAddress.city", o.zip AS "deliveryAddress.zip",
       'CZ' AS "deliveryAddress.countryCode", o.note AS "notes.customerRemark", o.tracking AS "notes.trackingNumber"
FROM orders o WHERE o.updated_at >= :since ORDER BY o.updated_at, o.id
"""
[shop.source.items]
query = """
SELECT i.order_id AS _key, i.id AS code, i.name AS name, i.qty AS amount, i.weight AS weight,
       i.price AS "itemPriceWithVat"
FROM items i WHERE i.order_id IN (:keys) ORDER BY i.order_id, i.id
"""
"#,
            file.display()
        )
    }
}

/// One merchant: the shop, Brani, and the folder with his configuration.
pub struct Merchant {
    pub shop: Shop,
    pub brani: Sandbox,
    pub folder: tempfile::TempDir,
    /// The port of the receiver.
    pub port: u16,
    /// Replaced in the configuration before it is written.
    edits: Vec<(String, String)>,
    /// Added to the configuration.
    more: String,
    webhooks: bool,
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn options() -> Options {
    Options {
        token: TOKEN.into(),
        ..Options::default()
    }
}

impl Merchant {
    pub async fn new(shop: Shop) -> Self {
        Self::with(shop, options()).await
    }

    /// With another Brani; the token is ours all the same.
    pub async fn with(shop: Shop, options: Options) -> Self {
        let options = Options {
            token: TOKEN.into(),
            ..options
        };
        let brani = Sandbox::start(([127, 0, 0, 1], 0).into(), options)
            .await
            .expect("a sandbox");
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("state")).expect("a folder");
        let merchant = Self {
            shop,
            brani,
            folder,
            port: free_port(),
            edits: Vec::new(),
            more: String::new(),
            webhooks: false,
        };
        merchant.secret("token", TOKEN);
        merchant.secret("webhook", SECRET);
        merchant.secret("shop-url", &merchant.shop.db.url);
        merchant.write();
        merchant
    }

    /// With the way back configured.
    pub async fn both_ways(shop: Shop) -> Self {
        let mut merchant = Self::new(shop).await;
        merchant.hear();
        merchant
    }

    /// Configures the way back.
    pub fn hear(&mut self) {
        self.webhooks = true;
        self.write();
    }

    /// Writes a secret's file.
    pub fn secret(&self, name: &str, value: &str) {
        let path = self.path(name);
        fs::write(&path, format!("{value}\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("rights");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn ledger(&self) -> PathBuf {
        self.path("state/ledger.db")
    }

    /// Requests that the ledger says have left, or are about to, and that nobody knows the end of.
    pub fn open_requests(&self) -> u32 {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        rusqlite::Connection::open_with_flags(self.ledger(), flags)
            .and_then(|ledger| {
                let sql = "SELECT count(*) FROM orders WHERE window_from IS NOT NULL AND window_to IS NULL";
                ledger.query_row(sql, [], |row| row.get(0))
            })
            .unwrap_or(0)
    }

    pub fn config(&self) -> PathBuf {
        self.path("kvetiny.toml")
    }

    /// Changes the configuration from now on.
    pub fn edit(&mut self, from: &str, to: &str) {
        assert!(self.text().contains(from), "`{from}` is not in the configuration");
        self.edits.push((from.into(), to.into()));
        self.write();
    }

    /// Adds to the configuration.
    pub fn add(&mut self, more: &str) {
        self.more += more;
        self.write();
    }

    pub fn write(&self) {
        fs::write(self.config(), self.text()).expect("a configuration");
    }

    fn text(&self) -> String {
        let now = match (self.shop.db.dialect, self.shop.column) {
            (Dialect::Sqlite, Column::Epoch) => "unixepoch()",
            (Dialect::Mysql, Column::Epoch) => "UNIX_TIMESTAMP()",
            (Dialect::Postgres, Column::Epoch) => "extract(epoch from now())::bigint",
            _ => ":now",
        };
        let mut text = format!(
            r#"[brani]
base_url = "{}"
token = {{ file = "{}" }}
rate_limit = 1000
timeout = "5s"

[ledger]
path = "{}"

[shop]
name = "kvetiny"
{}
[schedule]
poll = "1h"
drain = "1h"

[log]
format = "json"
level = "info"

[[eshop_info.statuses]]
shop = "processing"
id = 1
name = "Vyřizuje se"
[[eshop_info.statuses]]
shop = "packed"
id = -1
name = "Zabaleno"
[[eshop_info.statuses]]
shop = "shipped"
id = 2
name = "Odesláno"
[[eshop_info.statuses]]
shop = "cancelled"
id = -4
name = "Stornováno"
[[eshop_info.statuses]]
shop = "waiting"
id = 5
name = "Čeká na platbu"
[[eshop_info.shipping]]
shop = "zasilkovna"
name = "Zásilkovna"
[[eshop_info.payments]]
shop = "card"
name = "Platba kartou"
method = "card"
"#,
            self.brani.base_url(),
            self.path("token").display(),
            self.ledger().display(),
            self.shop.source(&self.path("shop-url")),
        );
        if self.webhooks {
            text += &format!(
                r#"
[webhooks]
public_url = "http://127.0.0.1:{}/brani"
listen = "127.0.0.1:{}"
secret = {{ file = "{}" }}

[writeback]
protect = ["cancelled"]
timeout = "3s"
[writeback.status_change]
sql = ["UPDATE orders SET state = :status, updated_at = {now} WHERE id = :key"]
[writeback.package_number]
sql = ["UPDATE orders SET tracking = :package_numbers WHERE id = :key"]
"#,
                self.port,
                self.port,
                self.path("webhook").display(),
            );
        }
        text += &self.more;
        for (from, to) in &self.edits {
            text = text.replace(from, to);
        }
        text
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg("--config")
            .arg(self.config())
            .current_dir(self.folder.path())
            .env_remove("JOURNAL_STREAM")
            .env_remove("BRANI_SYNC_CONFIG")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end. What it logged is kept with the daemon's log.
    pub fn tell(&self, arguments: &[&str]) -> Answer {
        self.tell_with(arguments, "")
    }

    /// The same with something on standard input.
    pub fn tell_with(&self, arguments: &[&str], input: &str) -> Answer {
        self.tell_all(arguments, input, &[])
    }

    /// The same in an environment of its own.
    pub fn tell_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Answer {
        self.tell_all(arguments, "", environment)
    }

    fn tell_all(&self, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Answer {
        use std::io::Write;
        let mut child = self
            .command()
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("standard input");
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        // A command that goes on for ever is a fault, and must not hold up everything else.
        let pid = rustix::process::Pid::from_child(&child);
        let (ended, wait) = std::sync::mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let output = child.wait_with_output().expect("the binary ends");
        drop(ended);
        let _ = watch.join();
        let answer = Answer {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a log");
        log.write_all(answer.err.as_bytes()).expect("the log is written");
        answer
    }

    #[track_caller]
    pub fn once(&self) -> Answer {
        self.tell(&["once"])
    }

    /// How many orders were sent so far, refused ones included.
    pub fn upserts(&self) -> u64 {
        let counts = self.brani.counts().by_path;
        counts.get("POST /order/upsert").copied().unwrap_or(0)
    }

    /// Starts the daemon and waits until it is up.
    #[track_caller]
    pub fn run(&self) -> Daemon {
        let daemon = self.start(&["run"]);
        let began = Instant::now();
        while !daemon
            .new_lines()
            .iter()
            .any(|line| line["event"] == "daemon.started")
        {
            assert!(
                began.elapsed() < PATIENCE,
                "the daemon does not start:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    /// Starts the binary and leaves it running.
    pub fn start(&self, arguments: &[&str]) -> Daemon {
        self.start_in(arguments, &[])
    }

    /// The same in an environment of its own.
    pub fn start_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Daemon {
        let mut command = self.command();
        command.args(arguments).envs(environment.iter().copied());
        self.start_by(command)
    }

    /// The same, by a shell script that at its end executes `"$@"`, in another world of mounts.
    pub fn start_in_world(&self, world: &[&str], script: &str, arguments: &[&str]) -> Daemon {
        let own = self.command();
        let mut command = Command::new(world[0]);
        command
            .args(&world[1..])
            .args(["sh", "-c", script, "sh"])
            .arg(own.get_program())
            .args(own.get_args())
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("JOURNAL_STREAM")
            .env_remove("BRANI_SYNC_CONFIG")
            .stdin(Stdio::null());
        self.start_by(command)
    }

    fn start_by(&self, mut command: Command) -> Daemon {
        let log = self.path("log");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log");
        let from = file.metadata().expect("its size").len();
        let child = command
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the binary starts");
        Daemon { child, log, from }
    }

    /// Everything that was logged and printed to standard error so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }

    /// The log's lines.
    pub fn lines(&self) -> Vec<Value> {
        lines(&self.log())
    }

    /// How many lines tell this event.
    pub fn told(&self, event: &str) -> usize {
        self.lines().iter().filter(|line| line["event"] == event).count()
    }

    /// Secrets, and the people of the stories by all that could tell them.
    pub fn private() -> Vec<String> {
        let mut words: Vec<String> = vec![
            TOKEN.into(),
            SECRET.into(),
            "soukromy.invalid".into(),
            "601 23".into(),
        ];
        for (name, street, city, note, goods) in PEOPLE {
            words.extend([name, street, city, note, goods].map(str::to_owned));
            words.extend(name.split(' ').map(str::to_owned));
            words.extend([note.chars().take(8).collect(), street.chars().take(7).collect()]);
        }
        words
    }

    /// What a file gives away, byte by byte.
    pub fn given_away(file: &Path) -> Option<String> {
        let bytes = fs::read(file).unwrap_or_default();
        Self::private()
            .into_iter()
            .find(|word| memchr::memmem::find(&bytes, word.as_bytes()).is_some())
    }

    /// The ledger and whatever lies beside it: its log and index, its lock, copies.
    pub fn ledger_files(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.path("state")).expect("the ledger's folder");
        let paths = folder.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.is_file()).collect()
    }

    /// Neither log nor ledger gives anything away.
    #[track_caller]
    pub fn keeps_secrets(&self) {
        let log = self.log();
        for word in Self::private() {
            assert!(!log.contains(word.as_str()), "the log holds `{word}`:\n{log}");
        }
        for file in self.ledger_files() {
            if let Some(word) = Self::given_away(&file) {
                panic!("{} holds `{word}`", file.display());
            }
        }
    }
}

fn lines(log: &str) -> Vec<Value> {
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// A running daemon; it dies with the test.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    from: u64,
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged since it was started.
    pub fn new_lines(&self) -> Vec<Value> {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let from = usize::try_from(self.from).expect("a small log").min(bytes.len());
        lines(&String::from_utf8_lossy(&bytes[from..]))
    }

    /// How many of its lines tell this event.
    pub fn told(&self, event: &str) -> usize {
        let lines = self.new_lines();
        lines.iter().filter(|line| line["event"] == event).count()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it can be told");
    }

    /// SIGUSR1, as `sync` does.
    pub fn ring(&self) {
        self.signal(rustix::process::Signal::USR1);
    }

    /// SIGHUP, without the check that `reload` does first.
    pub fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    /// SIGTERM; how it ended and how long that took.
    pub fn stop(mut self) -> (i32, Duration) {
        let began = Instant::now();
        self.signal(rustix::process::Signal::TERM);
        let code = self.ends(PATIENCE);
        if code != 0 {
            println!(
                "{}",
                String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default())
            );
        }
        (code, began.elapsed())
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn ends(&mut self, patience: Duration) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return status.code().unwrap_or(-1);
            }
            assert!(began.elapsed() < patience, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Long enough for a machine that has much else to do: it costs time only where the code is wrong.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for a fact.
#[track_caller]
pub fn until(what: &str, mut fact: impl FnMut() -> bool) {
    within(PATIENCE, what, &mut fact);
}

/// Waits so long for a fact.
#[track_caller]
fn within(patience: Duration, what: &str, mut fact: impl FnMut() -> bool) {
    let began = Instant::now();
    while !fact() {
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
