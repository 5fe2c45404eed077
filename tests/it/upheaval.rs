//! The ground under the daemon moves: its database servers die, its disk fills up, its ledger's file is cut or replaced.

use crate::merchant::Column;
use crate::merchant::{Daemon, Merchant, PATIENCE, Sale, Shop, free_port, until};
use crate::sql_stories;
use crate::support::{Certificate, Server, read};
use brani_sync::clock::{Clock, SystemClock};
use brani_sync::config::Tls;
use brani_sync::config::secret::Secret;
use brani_sync::database::parameters::{Bound, Dialect};
use brani_sync::database::{self, Purpose};
use brani_sync::source::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A database server of this test's own, in a temporary folder.
struct OwnServer {
    dialect: Dialect,
    port: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
    /// With which it speaks TLS.
    certificate: Option<Certificate>,
}

/// A program of a server, which lives where an ordinary user's PATH does not look.
fn program(name: &str, package: &str) -> PathBuf {
    let mut places: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    places.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    places
        .into_iter()
        .map(|place| place.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("this test needs `{name}`: apt-get install {package}"))
}

/// Who should run a server where we are root: none where we are not.
fn somebody(name: &str) -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let id = |flag: &str, name: &str| -> Option<u32> {
        let output = Command::new("id").args([flag, name]).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    let of = |name: &str| Some((id("-u", name)?, id("-g", name)?));
    of(name).or_else(|| of("nobody"))
}

impl OwnServer {
    fn start(dialect: Dialect) -> Self {
        Self::start_with(dialect, None)
    }

    fn start_with(dialect: Dialect, certificate: Option<Certificate>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("rights");
        let mut own = Self {
            dialect,
            port: free_port(),
            folder,
            child: None,
            certificate,
        };
        let data = own.data();
        fs::create_dir(&data).expect("a folder");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("rights");
        if let Some((user, group)) = own.user() {
            std::os::unix::fs::chown(&data, Some(user), Some(group)).expect("rights");
        }
        let mut first = match dialect {
            Dialect::Mysql => {
                let mut command = own.command(&program("mariadb-install-db", "mariadb-server-core"));
                command.args([
                    "--no-defaults",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ]);
                command.arg(format!("--datadir={}", data.join("db").display()));
                command
            }
            _ => {
                let mut command = own.command(&program("initdb", "postgresql"));
                command.args([
                    "--username=postgres",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-sync",
                ]);
                command.arg(format!("--pgdata={}", data.join("db").display()));
                command
            }
        };
        let output = first.output().expect("it runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        if let Some(certificate) = &own.certificate {
            for (name, text) in [
                ("cert.pem", &certificate.certificate),
                ("key.pem", &certificate.key),
            ] {
                let file = data.join(name);
                fs::write(&file, text).expect("a file");
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("rights");
                if let Some((user, group)) = own.user() {
                    std::os::unix::fs::chown(&file, Some(user), Some(group)).expect("rights");
                }
            }
        }
        own.rise();
        own
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn user(&self) -> Option<(u32, u32)> {
        somebody(if self.dialect == Dialect::Mysql {
            "nobody"
        } else {
            "postgres"
        })
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.user() {
            command.uid(user).gid(group);
        }
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    fn server(&self) -> Server {
        Server::own(self.dialect, self.port)
    }

    /// Starts it and waits until it answers.
    fn rise(&mut self) {
        let data = self.data();
        let port = self.port;
        let mut command = match self.dialect {
            Dialect::Mysql => {
                let mut command = self.command(&program("mariadbd", "mariadb-server-core"));
                command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-log-bin"]);
                command.arg(format!("--datadir={}", data.join("db").display()));
                command.arg(format!("--socket={}", data.join("socket").display()));
                command.arg(format!("--pid-file={}", data.join("pid").display()));
                command.arg(format!("--port={port}"));
                if self.certificate.is_some() {
                    command.arg(format!("--ssl-cert={}", data.join("cert.pem").display()));
                    command.arg(format!("--ssl-key={}", data.join("key.pem").display()));
                }
                command
            }
            _ => {
                // What a killed server leaves behind would keep the next one out while its last child ends.
                let mut command = self.command(&program("postgres", "postgresql"));
                command.arg("-D").arg(data.join("db"));
                command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
                command
                    .arg("-c")
                    .arg(format!("unix_socket_directories={}", data.display()));
                if self.certificate.is_some() {
                    command.args(["-c", "ssl=on"]);
                    command
                        .arg("-c")
                        .arg(format!("ssl_cert_file={}", data.join("cert.pem").display()));
                    command
                        .arg("-c")
                        .arg(format!("ssl_key_file={}", data.join("key.pem").display()));
                }
                command
            }
        };
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("it starts"));
        let usual = if self.dialect == Dialect::Mysql {
            "mysql"
        } else {
            "postgres"
        };
        let server = self.server();
        until("the database's own server answers", || {
            let ended = self
                .child
                .as_mut()
                .is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
            if ended {
                // The port may still be taken, or the files: again.
                let again = command.spawn();
                self.child = Some(again.expect("it starts"));
            }
            server.try_sql(usual, "SELECT 1").is_some()
        });
    }

    /// SIGKILL.
    fn fall(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.fall();
    }
}

/// The server dies while the shop and the packing table work, and comes back.
async fn server_dies(dialect: Dialect, column: Column) {
    let mut own = OwnServer::start(dialect);
    let shop = Shop::new(own.server().create(dialect), column);
    let mut merchant = Merchant::both_ways(shop).await;
    merchant.edit("poll = \"1h\"", "poll = \"1s\"");
    merchant.edit("drain = \"1h\"", "drain = \"1s\"");
    merchant.shop.add_all(&[Sale::new(1), Sale::new(2)]);
    let daemon = merchant.run();
    until("the first orders stand", || merchant.brani.order_count() == 2);

    merchant.shop.change(1, "note = 'těsně před pádem'");
    own.fall();
    merchant.brani.pack(&Sale::new(2).code, "CZ2");
    until("it is told that the shop is away", || {
        merchant.told("shop.unreachable") + merchant.told("handler.unreachable") > 0
    });
    own.rise();
    until("the change reaches Brani", || {
        merchant
            .brani
            .order(&Sale::new(1).code)
            .is_some_and(|order| order["notes"]["customerRemark"] == "těsně před pádem")
    });
    until("the parcel reaches the shop", || {
        merchant.shop.get(2, "state") == "packed" && merchant.shop.get(2, "tracking") == "CZ2"
    });
    assert_eq!(daemon.stop().0, 0);
    assert_eq!(merchant.told("event.stuck"), 0, "{}", merchant.log());
    assert_eq!(merchant.told("order.parked"), 0, "{}", merchant.log());
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_that_is_killed_and_started_again_costs_delay_and_nothing_else() {
    server_dies(Dialect::Mysql, Column::Local).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_is_killed_and_started_again_costs_delay_and_nothing_else() {
    server_dies(Dialect::Postgres, Column::Zoned).await;
}

#[tokio::test]
async fn a_backslash_before_a_quote_means_the_same_on_every_mysql() {
    let own = OwnServer::start(Dialect::Mysql);
    let db = own.server().create(Dialect::Mysql);
    db.sql("SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES'");
    sql_stories::shop(&db, "DATETIME");
    db.sql("INSERT INTO orders VALUES (1, '001', 'new', 'x', '2026-07-15 12:00:00')");
    let query = "SELECT id AS _key, changed AS _cursor, code, 'it\\'s :code' AS `notes.customerRemark` FROM orders WHERE \
                 changed >= :since";
    let (_, records) = read(&db.source(query, sql_stories::ITEMS), None)
        .await
        .expect("it is read");
    let remark = records[0].order.get("notes.customerRemark").map(Value::to_text);
    assert_eq!(remark.as_deref(), Some("it's :code"));
}

/// Only a certificate for the very name, signed by somebody we were told to trust, is believed.
async fn certificates_are_looked_at(dialect: Dialect) {
    let certificate = Certificate::of("localhost");
    let folder = tempfile::tempdir().expect("a folder");
    let (right, other) = (folder.path().join("right.pem"), folder.path().join("other.pem"));
    certificate.write(&right);
    Certificate::of("localhost").write(&other);
    let own = OwnServer::start_with(dialect, Some(certificate));
    let usual = own.server().create(dialect);
    for (authority, host, good) in [
        (Some(&right), "localhost", true),
        (Some(&right), "127.0.0.1", false),
        (Some(&other), "localhost", false),
        (None, "localhost", false),
    ] {
        let mut target = usual.target();
        target.url = Secret::new(usual.url.replace("127.0.0.1", host));
        target.tls = Some(Tls::Verify);
        target.tls_ca = authority.cloned();
        let answer = async {
            let mut session = database::connect(&target, &Purpose::Lookup).await?;
            session.query(&Bound::plain("SELECT 1")).await
        };
        match answer.await {
            Ok(table) => assert!(
                good && table.first().as_deref() == Some("1"),
                "{host}, {authority:?}"
            ),
            Err(fault) => {
                assert!(!good, "{host}: {fault}");
                assert!(fault.message().to_lowercase().contains("certificate"), "{fault}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_whose_certificate_is_not_right_is_told_nothing() {
    certificates_are_looked_at(Dialect::Mysql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_whose_certificate_is_not_right_is_told_nothing() {
    certificates_are_looked_at(Dialect::Postgres).await;
}

/// A door before Brani that can be shut: whoever is inside is thrown out, and nobody is let in until it opens again.
struct Gate {
    port: u16,
    to: std::net::SocketAddr,
    open: Option<tokio::task::JoinHandle<()>>,
}

impl Gate {
    async fn before(to: std::net::SocketAddr) -> Self {
        let mut gate = Self {
            port: free_port(),
            to,
            open: None,
        };
        gate.open().await;
        gate
    }

    async fn open(&mut self) {
        let listener = tokio::net::TcpSocket::new_v4().expect("a socket");
        listener
            .set_reuseaddr(true)
            .expect("a port may be taken again at once");
        listener
            .bind(([127, 0, 0, 1], self.port).into())
            .expect("the port");
        let (listener, to) = (listener.listen(128).expect("it listens"), self.to);
        self.open = Some(tokio::spawn(async move {
            let mut inside = tokio::task::JoinSet::new();
            while let Ok((mut visitor, _)) = listener.accept().await {
                inside.spawn(async move {
                    if let Ok(mut brani) = tokio::net::TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut visitor, &mut brani).await;
                    }
                });
            }
        }));
    }

    async fn shut(&mut self) {
        if let Some(open) = self.open.take() {
            open.abort();
            let _ = open.await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brani_that_goes_down_under_load_and_comes_back_costs_delay_and_nothing_else() {
    const ORDERS: u32 = 120;
    let mut merchant = Merchant::both_ways(Shop::postgres()).await;
    let mut gate = Gate::before(merchant.brani.address()).await;
    merchant.edit(
        merchant.brani.base_url().as_str(),
        &format!("http://127.0.0.1:{}/", gate.port),
    );
    merchant.edit("poll = \"1h\"", "poll = \"1s\"");
    merchant.edit("drain = \"1h\"", "drain = \"1s\"");
    merchant.brani.fault(
        brani_sync::sandbox::Fault::Latency { milliseconds: 60 },
        brani_sync::sandbox::Matcher::upserts(),
    );
    merchant
        .shop
        .add_all(&(1..=ORDERS).map(Sale::new).collect::<Vec<_>>());
    let daemon = merchant.run();
    for part in [1, 2] {
        let some = (ORDERS * part / 4) as usize;
        until("some orders stand", || merchant.brani.order_count() >= some);
        gate.shut().await;
        assert!(
            merchant.brani.order_count() < ORDERS as usize,
            "it goes down under load"
        );
        merchant.shop.change(part, "note = 'při výpadku'");
        merchant
            .brani
            .pack(&Sale::new(standing(&merchant)).code, &format!("CZ{part}"));
        until("it is told", || daemon.told("brani.unreachable") >= part as usize);
        gate.open().await;
        until("it is told that it is over", || {
            daemon.told("brani.unreachable.over") >= part as usize
        });
    }
    until("all orders stand, with their changes", || {
        merchant.brani.order_count() == ORDERS as usize
            && [1, 2].into_iter().all(|id| {
                merchant
                    .brani
                    .order(&Sale::new(id).code)
                    .is_some_and(|order| order["notes"]["customerRemark"] == "při výpadku")
            })
    });
    until("both parcels reach the shop", || {
        merchant
            .shop
            .db
            .sql("SELECT count(*) FROM orders WHERE state = 'packed' AND tracking LIKE 'CZ%'")
            == "2"
    });
    assert_eq!(daemon.stop().0, 0);
    assert_eq!(merchant.brani.refused().len(), 0);
    assert!(!merchant.brani.in_flight_twice());
    assert_eq!(merchant.told("order.parked"), 0, "{}", merchant.log());
    merchant.keeps_secrets();
}

/// An order that stands at Brani and is not packed yet.
fn standing(merchant: &Merchant) -> u32 {
    (1..)
        .find(|id| {
            let order = merchant.brani.order(&Sale::new(*id).code);
            order.is_some_and(|order| order["status"]["id"] != -1)
        })
        .expect("some stand")
}

/// Does something to the ledger's file under a running daemon, which then must stop and say so.
async fn ledger_spoilt(spoil: impl Fn(&Path), told: &str) {
    let merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.shop.add(&Sale::new(1));
    let mut daemon = merchant.run();
    until("the first order stands", || merchant.brani.order_count() == 1);
    spoil(&merchant.ledger());
    merchant.shop.change(1, "note = 'potom'");
    daemon.ring();
    assert_eq!(daemon.ends(PATIENCE), 74, "{}", merchant.log());
    let log = merchant.log();
    assert!(
        log.contains("ledger.db` is damaged") && log.contains(told),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_cut_short_under_the_daemon_ends_it_with_74() {
    ledger_spoilt(
        |path| {
            let file = fs::File::options().write(true).open(path).expect("the ledger");
            let length = file.metadata().expect("its size").len();
            file.set_len(length / 2).expect("it is cut");
        },
        "",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_replaced_under_the_daemon_ends_it_with_74() {
    ledger_spoilt(
        |path| {
            let other = path.with_extension("other");
            fs::copy(path, &other).expect("a copy");
            fs::rename(&other, path).expect("it is replaced");
        },
        "replaced under the running program",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_removed_under_the_daemon_ends_it_with_74() {
    ledger_spoilt(
        |path| fs::remove_file(path).expect("it was there"),
        "removed under the running program",
    )
    .await;
}

/// How this machine lets us mount a small disk for one process.
fn world() -> Vec<&'static str> {
    let ways: [&[&str]; 2] = [
        &["unshare", "--map-root-user", "--mount"],
        &["unshare", "--mount"],
    ];
    let can = |way: &&[&str]| {
        Command::new(way[0])
            .args(&way[1..])
            .args(["sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    ways.into_iter()
        .find(can)
        .unwrap_or_else(|| {
            panic!(
                "this test mounts a small disk: it needs root, or namespaces for ordinary users \
                 (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
            )
        })
        .to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_everything_waits_and_goes_on_by_itself() {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.edit("poll = \"1h\"", "poll = \"1s\"");
    merchant.edit("drain = \"1h\"", "drain = \"1s\"");
    merchant.shop.add(&Sale::new(1));
    let script = "mount -t tmpfs -o size=8m tmpfs state && exec \"$@\"";
    let mut daemon: Daemon = merchant.start_in_world(&world(), script, &["run"]);
    until("the first order stands", || merchant.brani.order_count() == 1);

    // The disk is seen from outside through the daemon's own root.
    let filler = PathBuf::from(format!("/proc/{}/root", daemon.pid()))
        .join(merchant.path("state").strip_prefix("/").expect("a whole path"))
        .join("filler");
    let fill = || {
        use std::io::Write;
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(&filler)
            .expect("a file");
        while file.write_all(&[0; 512]).is_ok() {}
    };
    fill();
    merchant
        .shop
        .add_all(&(2..=60).map(Sale::new).collect::<Vec<_>>());
    until("it is told", || {
        fill();
        daemon.told("disk.full") > 0
    });
    assert!(daemon.is_alive(), "{}", merchant.log());
    fs::remove_file(&filler).expect("room again");
    until("all orders stand", || merchant.brani.order_count() == 60);
    until("it is told that it is over", || {
        daemon.told("disk.full.over") == 1
    });
    assert_eq!(daemon.told("disk.full"), 1, "told once: {}", merchant.log());
    assert_eq!(merchant.brani.refused().len(), 0);
    assert_eq!(daemon.stop().0, 0);
}

/// A clock for one process that can be set: seconds beside this machine's.
struct SetClock(PathBuf);

impl SetClock {
    fn new(merchant: &Merchant) -> Self {
        let clock = Self(merchant.path("clock"));
        clock.set(0);
        clock
    }

    fn set(&self, seconds: i64) {
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).expect("the merchant's folder is writable");
        fs::rename(new, &self.0).expect("the merchant's folder is writable");
    }

    fn start(&self, merchant: &Merchant) -> Daemon {
        let library = ["/usr/lib", "/usr/lib/*", "/usr/lib64"]
            .iter()
            .flat_map(|folder| {
                glob::glob(&format!("{folder}/faketime/libfaketimeMT.so.1")).expect("a pattern")
            })
            .flatten()
            .next()
            .expect("this test sets a clock: apt-get install faketime");
        let environment = [
            ("LD_PRELOAD", library.to_str().expect("a plain path")),
            ("FAKETIME_TIMESTAMP_FILE", self.0.to_str().expect("a plain path")),
            ("FAKETIME_NO_CACHE", "1"),
            // what waits and what measures goes by another clock, which nobody sets
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        merchant.start_in(&["run"], &environment)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_forward_and_back_delays_nothing_for_long() {
    let mut merchant = Merchant::both_ways(Shop::mariadb()).await;
    merchant.edit("poll = \"1h\"", "poll = \"1s\"");
    merchant.edit("drain = \"1h\"", "drain = \"1s\"");
    let clock = SetClock::new(&merchant);
    let daemon = clock.start(&merchant);
    for (id, seconds) in [(1, 0), (2, 2 * 3600), (3, -2 * 3600), (4, 40 * 86_400), (5, 0)] {
        clock.set(seconds);
        let sale = Sale::new(id);
        merchant.shop.add(&sale);
        until(
            &format!("order {id} stands, {seconds} s beside the truth"),
            || merchant.brani.order(&sale.code).is_some(),
        );
        merchant.shop.change(id, "note = 'volat předem'");
        until(&format!("its change, {seconds} s beside the truth"), || {
            merchant
                .brani
                .order(&sale.code)
                .is_some_and(|order| order["notes"]["customerRemark"] == "volat předem")
        });
        merchant.brani.pack(&sale.code, &format!("CZ{id}"));
        until(
            &format!("parcel {id} is written, {seconds} s beside the truth"),
            || merchant.shop.get(id, "tracking").starts_with(&format!("CZ{id}")),
        );
    }
    let ask = |sql: &str| -> i64 {
        let ledger = rusqlite::Connection::open(merchant.ledger()).expect("the ledger");
        ledger
            .query_row(sql, [], |row| row.get::<_, Option<i64>>(0))
            .expect("a number")
            .unwrap_or(0)
    };
    let in_thirty_days = SystemClock.now().as_millisecond() + 30 * 86_400_000;
    assert!(
        ask("SELECT max(sent_at) FROM orders") > in_thirty_days,
        "the daemon sees another clock than this one"
    );
    // What failed while the clock ran ahead need not wait until its time has come.
    clock.set(40 * 86_400);
    merchant.brani.fault(
        brani_sync::sandbox::Fault::Cut,
        brani_sync::sandbox::Matcher {
            method: Some("POST".into()),
            ..Default::default()
        },
    );
    merchant.shop.add(&Sale::new(6));
    until("its next attempt is dated ahead", || {
        ask("SELECT max(due) FROM orders WHERE state = 'waiting'") > in_thirty_days
    });
    clock.set(0);
    merchant.brani.heal();
    until("it goes all the same", || {
        merchant.brani.order(&Sale::new(6).code).is_some()
    });
    assert!(merchant.told("clock.set_back") >= 2, "{}", merchant.log());
    assert_eq!(merchant.brani.refused().len(), 0);
    assert_eq!(daemon.stop().0, 0);
}
