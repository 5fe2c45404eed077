//! What several stories need: databases of their own that are dropped at the end.

use brani_sync::config::secret::Secret;
use brani_sync::config::{Cursor, Queries, Times};
use brani_sync::database::Target;
use brani_sync::database::parameters::Dialect;
use brani_sync::source::sql::{SqlSettings, SqlSource};
use brani_sync::source::{Read, ReadEnd, Record, Source, SourceError};
use jiff::Timestamp;
use std::process::Command;
use tokio::sync::mpsc;

/// A database of a test's own, dropped with it.
pub struct Db {
    pub dialect: Dialect,
    pub name: String,
    pub url: String,
    /// The server, where it is not the tests' common one.
    server: Option<Server>,
    /// Keeps a SQLite file's folder.
    folder: Option<tempfile::TempDir>,
}

/// A MariaDB database of one's own.
pub struct MariaDb;

/// A PostgreSQL database of one's own.
pub struct Postgres;

/// A SQLite file of one's own.
pub struct Sqlite;

/// A database server of the tests, as the environment names it, or one of a test's own.
#[derive(Clone)]
pub struct Server(url::Url);

/// MariaDB: `BRANI_SYNC_TEST_MYSQL_URL`.
pub fn mysql_server() -> Server {
    Server::of("BRANI_SYNC_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306")
}

/// PostgreSQL: `BRANI_SYNC_TEST_POSTGRES_URL`.
pub fn postgres_server() -> Server {
    Server::of(
        "BRANI_SYNC_TEST_POSTGRES_URL",
        "postgres://postgres@127.0.0.1:5432",
    )
}

impl Server {
    /// A test's own one, on this machine.
    pub fn own(dialect: Dialect, port: u16) -> Self {
        let url = match dialect {
            Dialect::Mysql => format!("mysql://root@127.0.0.1:{port}"),
            _ => format!("postgres://postgres@127.0.0.1:{port}"),
        };
        Self(url.parse().expect("a URL"))
    }

    /// Runs SQL there; none while it does not answer.
    pub fn try_sql(&self, database: &str, sql: &str) -> Option<String> {
        let mut client = self.client();
        if self.0.scheme() == "mysql" {
            client.args([database, "-e", sql]);
        } else {
            client.args(["-d", database, "-c", sql]);
        }
        let output = client.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// An empty database there, which ends with the server.
    pub fn create(&self, dialect: Dialect) -> Db {
        let name = unique();
        let (usual, characters) = match dialect {
            Dialect::Mysql => ("mysql", " CHARACTER SET utf8mb4"),
            _ => ("postgres", ""),
        };
        self.try_sql(usual, &format!("CREATE DATABASE {name}{characters}"))
            .expect("a new database");
        Db {
            dialect,
            url: self.url(&name),
            name,
            server: Some(self.clone()),
            folder: None,
        }
    }

    fn of(variable: &str, default: &str) -> Self {
        let text = std::env::var(variable).unwrap_or_else(|_| default.into());
        let mut url: url::Url = text
            .parse()
            .unwrap_or_else(|error| panic!("{variable} is no URL: {error}"));
        url.set_path("");
        Self(url)
    }

    /// The host's name or address.
    pub fn host(&self) -> String {
        self.0.host_str().unwrap_or("127.0.0.1").to_owned()
    }

    /// The port; MariaDB's or PostgreSQL's own where none is named.
    pub fn port(&self) -> u16 {
        let usual = if self.0.scheme() == "mysql" { 3306 } else { 5432 };
        self.0.port().unwrap_or(usual)
    }

    /// Host and port, as errors name them.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }

    /// The user with all rights.
    pub fn user(&self) -> String {
        self.0.username().to_owned()
    }

    /// Its password.
    pub fn password(&self) -> Option<String> {
        self.0.password().map(str::to_owned)
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        let mut url = self.0.clone();
        url.set_path(database);
        url.to_string()
    }

    /// The same for another user, without a password.
    pub fn url_as(&self, user: &str, database: &str) -> String {
        format!("{}://{user}@{}/{database}", self.0.scheme(), self.address())
    }

    /// The server's own client, logged in.
    fn client(&self) -> Command {
        let mysql = self.0.scheme() == "mysql";
        let mut command = Command::new(if mysql { "mysql" } else { "psql" });
        let port = self.port().to_string();
        if mysql {
            command.args(["-h", &self.host(), "-P", &port, "-u", &self.user()]);
            command.args(["-N", "--default-character-set=utf8mb4"]);
        } else {
            command.args(["-h", &self.host(), "-p", &port, "-U", &self.user()]);
            command.args(["-v", "ON_ERROR_STOP=1", "-qAt", "-F", "\t"]);
        }
        if let Some(password) = self.password() {
            command.env(if mysql { "MYSQL_PWD" } else { "PGPASSWORD" }, password);
        }
        command
    }
}

fn unique() -> String {
    format!("brani_it_{}", uuid::Uuid::new_v4().simple())
}

impl MariaDb {
    pub fn create() -> Db {
        let name = unique();
        mysql("mysql", &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        Db {
            dialect: Dialect::Mysql,
            url: mysql_server().url(&name),
            name,
            server: None,
            folder: None,
        }
    }
}

impl Postgres {
    pub fn create() -> Db {
        let name = unique();
        psql("postgres", &format!("CREATE DATABASE {name}"));
        Db {
            dialect: Dialect::Postgres,
            url: postgres_server().url(&name),
            name,
            server: None,
            folder: None,
        }
    }
}

impl Sqlite {
    pub fn create() -> Db {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("shop.db");
        rusqlite::Connection::open(&file)
            .and_then(|db| db.execute_batch("PRAGMA journal_mode = WAL"))
            .expect("a new SQLite file");
        Db {
            dialect: Dialect::Sqlite,
            url: format!("sqlite://{}", file.display()),
            name: file.display().to_string(),
            server: None,
            folder: Some(folder),
        }
    }
}

/// Runs SQL as root; the answer as text, columns separated by tabs.
pub fn mysql(database: &str, sql: &str) -> String {
    answer(
        mysql_server().client().args([database, "-e", sql]),
        "MariaDB at 127.0.0.1:3306, user root without a password (apt-get install mariadb-server; service mariadb \
         start), or where BRANI_SYNC_TEST_MYSQL_URL says",
    )
}

/// Runs SQL as the superuser.
pub fn psql(database: &str, sql: &str) -> String {
    answer(
        postgres_server().client().args(["-d", database, "-c", sql]),
        "PostgreSQL at 127.0.0.1:5432, user postgres trusted (apt-get install postgresql; service postgresql \
         start), or where BRANI_SYNC_TEST_POSTGRES_URL says",
    )
}

fn answer(command: &mut Command, needed: &str) -> String {
    let mut run = || {
        command
            .output()
            .unwrap_or_else(|error| panic!("this test needs a client and {needed}: {error}"))
    };
    let mut output = run();
    // Whoever loses a deadlock against the daemon tries again, as a shop does.
    for _ in 0..20 {
        let told = String::from_utf8_lossy(&output.stderr).to_ascii_lowercase();
        if output.status.success() || !told.contains("deadlock") {
            break;
        }
        output = run();
    }
    assert!(
        output.status.success(),
        "this test needs {needed}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

impl Db {
    /// Runs SQL with all rights; the answer as text.
    pub fn sql(&self, sql: &str) -> String {
        if let Some(server) = &self.server {
            return server.try_sql(&self.name, sql).expect("the SQL runs");
        }
        match self.dialect {
            Dialect::Mysql => mysql(&self.name, sql),
            Dialect::Postgres => psql(&self.name, sql),
            Dialect::Sqlite => {
                let db = rusqlite::Connection::open(&self.name).expect("the SQLite file opens");
                db.busy_timeout(std::time::Duration::from_secs(60))
                    .expect("a timeout");
                if !sql.trim_start().to_ascii_lowercase().starts_with("select") {
                    db.execute_batch(sql).expect("the SQL runs");
                    return String::new();
                }
                let mut statement = db.prepare(sql).expect("the SQL is right");
                let columns = statement.column_count();
                let mut rows = statement.query([]).expect("the SQL runs");
                let mut lines = Vec::new();
                while let Some(row) = rows.next().expect("a row") {
                    let cells: Vec<String> = (0..columns)
                        .map(|place| match row.get_ref(place).expect("a cell") {
                            rusqlite::types::ValueRef::Null => "NULL".into(),
                            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                            rusqlite::types::ValueRef::Real(number) => number.to_string(),
                            rusqlite::types::ValueRef::Text(text) | rusqlite::types::ValueRef::Blob(text) => {
                                String::from_utf8_lossy(text).into_owned()
                            }
                        })
                        .collect();
                    lines.push(cells.join("\t"));
                }
                lines.join("\n")
            }
        }
    }

    pub fn target(&self) -> Target {
        Target {
            dialect: self.dialect,
            url: Secret::new(self.url.clone()),
            password: None,
            tls: None,
            tls_ca: None,
            socket: None,
        }
    }

    /// Settings with these queries; Prague, local times.
    pub fn settings(&self, orders: &str, items: &str) -> SqlSettings {
        SqlSettings {
            target: self.target(),
            timezone: jiff::tz::TimeZone::get("Europe/Prague").expect("a zone"),
            times: Times::Local,
            cursor: Cursor::Auto,
            batch: 500,
            orders: orders.to_owned(),
            items: items.to_owned(),
            lookup: None,
            extra: None,
            lists: Queries::default(),
            detect: None,
        }
    }

    pub fn source(&self, orders: &str, items: &str) -> SqlSource {
        SqlSource::new(self.settings(orders, items))
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if self.server.is_some() {
            return;
        }
        // Without a panic of its own: it also runs while a test panics.
        let _ = match self.dialect {
            Dialect::Mysql => {
                // A session that is being closed may still hold a transaction, which the drop would wait for.
                let run = |sql: &str| mysql_server().client().args(["-e", sql]).output();
                let sessions = run(&format!(
                    "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{}'",
                    self.name
                ));
                for id in String::from_utf8_lossy(&sessions.map(|o| o.stdout).unwrap_or_default()).lines() {
                    let _ = run(&format!("KILL {id}"));
                }
                run(&format!("DROP DATABASE IF EXISTS {}", self.name))
            }
            Dialect::Postgres => postgres_server()
                .client()
                .args(["-d", "postgres", "-c"])
                .arg(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name))
                .output(),
            Dialect::Sqlite => {
                self.folder.take();
                return;
            }
        };
    }
}

/// Reads everything since a moment.
pub async fn read(
    source: &SqlSource,
    since: Option<Timestamp>,
) -> Result<(ReadEnd, Vec<Record>), SourceError> {
    let (batches, mut inbox) = mpsc::channel(1);
    let reading = source.read(Read { since }, batches);
    let collecting = async {
        let mut records = Vec::new();
        while let Some(batch) = inbox.recv().await {
            records.extend(batch);
        }
        records
    };
    let (end, records) = tokio::join!(reading, collecting);
    end.map(|end| (end, records))
}

/// The codes of a read, sorted.
pub async fn codes(source: &SqlSource, since: &str) -> Vec<String> {
    let since = since.parse().expect("a moment");
    let (_, records) = read(source, Some(since)).await.expect("the read works");
    let mut codes: Vec<String> = records.into_iter().map(|record| record.code.0).collect();
    codes.sort();
    codes
}

/// A certificate for a name, and its key, which nobody else has signed; as PEM.
pub struct Certificate {
    pub certificate: String,
    pub key: String,
}

impl Certificate {
    pub fn of(name: &str) -> Self {
        Self::until(name, 4000)
    }

    /// One that ends with a year.
    pub fn until(name: &str, year: i32) -> Self {
        let mut wanted = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
        wanted.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = wanted.self_signed(&key).expect("a certificate");
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes it to a file that everybody may read.
    pub fn write(&self, path: &std::path::Path) {
        std::fs::write(path, &self.certificate).expect("a file");
    }
}
