//! docs/security.md: every sentence there names the tests that hold it, and these are the ones that had no room elsewhere.

use crate::merchant::{BINARY, Merchant, Sale, Shop, free_port, until};
use crate::support::Certificate;
use brani_sync::database::parameters::Dialect;
use brani_sync::sandbox::NewEvent;
use regex::Regex;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every function of the tests.
fn tests() -> BTreeSet<String> {
    let named = Regex::new(r"(?m)^\s*(?:async )?fn ([a-z0-9_]+)\(\)").expect("a pattern");
    let mut found = BTreeSet::new();
    for pattern in ["tests/it/**/*.rs", "src/**/*.rs"] {
        let pattern = Path::new(env!("CARGO_MANIFEST_DIR")).join(pattern);
        for path in glob::glob(&pattern.display().to_string()).expect("a pattern") {
            let text = fs::read_to_string(path.expect("a file")).expect("text");
            found.extend(named.captures_iter(&text).map(|name| name[1].to_owned()));
        }
    }
    found
}

/// The rows of the tables below a heading.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = page
        .split_once(heading)
        .unwrap_or_else(|| panic!("no heading `{heading}`"));
    let section = below.split("\n## ").next().unwrap_or_default();
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(cells)
        .collect()
}

#[test]
fn every_promise_names_tests_that_exist() {
    let page = text("docs/security.md");
    let known = tests();
    let promised: Vec<String> = rows(&page, "# Security")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let held = rows(&page, "## Held by");
    let mut named = 0;
    for row in &held {
        for test in row[1].split('`').skip(1).step_by(2) {
            assert!(
                known.contains(test),
                "docs/security.md: there is no test `{test}`"
            );
            named += 1;
        }
    }
    for promise in &promised {
        assert!(
            held.iter().any(|row| &row[0] == promise && row[1].contains('`')),
            "docs/security.md: no test for `{promise}`"
        );
    }
    assert!(
        promised.len() >= 11 && named > 30,
        "{} promises, {named} tests",
        promised.len()
    );
}

fn get(port: u16, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it takes it");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_for_the_warehouse_gives_nobody_away() {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    let port = free_port();
    merchant.add(&format!("[admin]\nlisten = \"127.0.0.1:{port}\"\n"));
    merchant.shop.add_all(&(1..=4).map(Sale::new).collect::<Vec<_>>());
    merchant.shop.add(&Sale::new(5).shipping("posel"));
    merchant.brani.fail_code(&Sale::new(2).code, 422);
    let daemon = merchant.run();
    until("sent and parked", || {
        merchant.told("order.parked") >= 2 && merchant.brani.order_count() == 3
    });
    let words = Merchant::private();
    let mut pages: Vec<String> = ["/", "/metrics", "/readyz", "/healthz"].map(String::from).into();
    pages.extend((1..=5).map(|id| format!("/order/{}", Sale::new(id).code)));
    for page in pages {
        let answer = get(port, &page);
        assert!(answer.starts_with("HTTP/1.1 200"), "{page}: {answer}");
        for word in &words {
            assert!(!answer.contains(word.as_str()), "{page} shows `{word}`");
        }
    }
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_and_its_copies_are_the_daemons_alone_whatever_the_umask() {
    let merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.shop.add(&Sale::new(1));
    // A careless shell's.
    let careless = |arguments: &[&str]| {
        let status = Command::new("sh")
            .args(["-c", "umask 000; exec \"$0\" \"$@\"", BINARY, "--config"])
            .arg(merchant.config())
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .expect("the binary starts");
        assert!(status.success(), "{arguments:?}");
    };
    let copy = merchant.path("copy.db");
    careless(&["once"]);
    careless(&["backup", copy.to_str().expect("a path")]);
    // While the daemon runs, the ledger's log and index lie beside it.
    let daemon = merchant.run();
    let mut seen = 0;
    let state = fs::read_dir(merchant.path("state")).expect("the ledger's folder");
    for path in state.map(|entry| entry.expect("an entry").path()).chain([copy]) {
        let mode = fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 4, "ledger, its log and index, lock, copy: {seen}");
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_rights_in_the_database_are_a_warning() {
    for shop in [Shop::mariadb(), Shop::postgres()] {
        let merchant = Merchant::both_ways(shop).await;
        let answer = merchant.tell(&["check"]);
        assert!(
            answer
                .out
                .lines()
                .any(|line| line.starts_with("! ") && line.contains("may write")),
            "{}",
            answer.out
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_run_without_a_shell_and_without_our_environment() {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    let hook = merchant.path("hook");
    let told = merchant.path("told");
    fs::write(
        &hook,
        format!(
            "#!/bin/sh\n{{ env; printf '%s\\n' \"$@\"; }} >'{}'\n",
            told.display()
        ),
    )
    .expect("a program");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("rights");
    merchant.add(&format!(
        "[writeback.order_history]\ncommand = [\"{}\", \"$(id); `id` && id\"]\n",
        hook.display()
    ));
    merchant.shop.add(&Sale::new(1));
    merchant.tell(&["webhooks", "sync"]).exits(0);
    merchant.once().exits(0);
    merchant.brani.add_event(NewEvent {
        event_type: "order_history".into(),
        code: Some(Sale::new(1).code),
        ..NewEvent::package(&Sale::new(1).code, "")
    });
    merchant
        .tell_in(&["once"], &[("BRANI_SYNC_TAJNE", "tajemstvi-prostredi")])
        .exits(0);
    let said = fs::read_to_string(&told).unwrap_or_else(|error| panic!("{error}\n{}", merchant.log()));
    assert!(said.contains("$(id); `id` && id"), "{said}");
    assert!(!said.contains("tajemstvi-prostredi"), "{said}");
}

#[test]
fn nothing_leaves_this_machine_unencrypted_unless_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shop.toml");
    let base = "[brani]\ntoken = \"x\"\nbase_url = \"BASE\"\n[shop.source]\npreset = \"woocommerce\"\nurl = \"mysql://sync@localhost/shop\"\n";
    for (base_url, good) in [
        ("https://api.example.cz", true),
        ("http://127.0.0.1:8780", true),
        ("http://localhost:8780", true),
        ("http://api.example.cz", false),
        ("http://127.0.0.1.example.cz", false),
        ("http://localhost@api.example.cz", false),
    ] {
        fs::write(&file, base.replace("BASE", base_url)).expect("a configuration");
        let loaded = brani_sync::config::load(&file, &Vec::new);
        assert_eq!(loaded.is_ok(), good, "{base_url}");
        if let Err(errors) = loaded {
            assert!(errors.render(false).contains("brani.base_url"), "{base_url}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_in_no_file_of_a_busy_ledger_and_in_no_copy() {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    // It writes each second that it looked: a daemon that never rests.
    merchant.edit("poll = \"1h\"", "poll = \"1s\"");
    merchant.edit("drain = \"1h\"", "drain = \"1s\"");
    merchant
        .shop
        .add_all(&(1..=40).map(Sale::new).collect::<Vec<_>>());
    let daemon = merchant.run();
    until("all orders stand", || merchant.brani.order_count() == 40);
    until("no file holds what was sent", || {
        merchant
            .ledger_files()
            .iter()
            .all(|file| Merchant::given_away(file).is_none())
    });
    let files = merchant.ledger_files().len();
    assert!(files >= 4, "ledger, its log and index, lock: {files}");
    let copy = merchant.path("copy.db");
    merchant
        .tell(&["backup", copy.to_str().expect("a path")])
        .exits(0);
    assert_eq!(Merchant::given_away(&copy), None);
    assert_eq!(daemon.stop().0, 0);
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_database_complains_of_gives_nobody_away() {
    for shop in [Shop::mariadb(), Shop::postgres()] {
        let mut merchant = Merchant::both_ways(shop).await;
        // A statement that takes a name for a number: the servers' words repeat the name.
        merchant.edit(
            "sql = [\"UPDATE orders SET tracking",
            "sql = [\"UPDATE items SET qty = (SELECT CAST(name AS DECIMAL(9,2)) FROM orders WHERE id = :key) WHERE order_id = :key\", \"UPDATE orders SET tracking",
        );
        merchant.shop.add_all(&[Sale::new(1), Sale::new(2)]);
        let daemon = merchant.run();
        until("both stand", || merchant.brani.order_count() == 2);
        until("registered", || daemon.told("webhook.registered") == 2);
        merchant.brani.pack(&Sale::new(1).code, "CZ1");
        until("told", || daemon.told("event.failed") > 0);
        let lines = merchant.lines();
        let told = lines.iter().find(|line| line["event"] == "event.failed");
        let words = told.expect("it was told")["message"].as_str().unwrap_or_default();
        assert!(
            words.to_lowercase().contains("value") || words.contains("syntax"),
            "{words}"
        );
        assert!(words.contains('…'), "the rest of the words stays: {words}");
        assert_eq!(daemon.stop().0, 0);
        merchant.keeps_secrets();
        // The same from a query; MariaDB only warns there.
        if merchant.shop.db.dialect == Dialect::Postgres {
            merchant.edit("o.zip AS", "CAST(o.name AS DECIMAL(9,2)) AS");
            merchant.once().exits(1);
            merchant.tell(&["check"]).exits(1);
            merchant.keeps_secrets();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_text_forges_no_line_and_moves_no_cursor() {
    let evil = "2026-1\n1999-01-01T00:00:00.000000Z ERROR disk full\u{1b}[2J\u{9b}1A\u{202e}\r\u{2028}\0";
    let code = evil.replace('\0', "");
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.edit("format = \"json\"", "format = \"text\"");
    merchant.shop.add_all(&[
        Sale::new(1).code(&code),
        Sale::new(2),
        Sale::new(3).shipping(&code),
        Sale::new(4).state(&code),
    ]);
    let daemon = merchant.start(&["run"]);
    until("the others are parked", || {
        merchant.log().matches("order.parked").count() >= 2 && merchant.brani.order_count() == 1
    });
    merchant.brani.add_event(NewEvent::status(evil, -1));
    merchant
        .brani
        .add_event(NewEvent::status(&Sale::new(2).code, 987_654));
    merchant.brani.add_event(NewEvent::package(&code, evil));
    daemon.ring();
    until("the events are told", || {
        let listed = merchant.tell(&["events", "list"]).out;
        merchant.log().contains("event.unmapped") && listed.contains("unmatched")
    });
    for arguments in [
        &["orders", "list", "--state", "all"][..],
        &["orders", "list"],
        &["events", "list"],
        &["status"],
        &["check"],
        &["explain", &code],
        &["orders", "retry", &code],
    ] {
        let answer = merchant.tell(arguments);
        for said in [&answer.out, &answer.err] {
            let obeyed = said
                .find(|c: char| (c.is_control() && c != '\n' && c != '\t') || "\u{202e}\u{2028}".contains(c));
            assert_eq!(obeyed, None, "{arguments:?}: {said:?}");
            assert!(
                !said.lines().any(|line| line.starts_with("1999")),
                "{arguments:?}: {said}"
            );
        }
    }
    assert_eq!(daemon.stop().0, 0);
    let log = merchant.log();
    assert!(log.contains("1999-01-01"), "{log}");
    for line in log.lines() {
        assert!(!line.starts_with("1999"), "{log}");
    }
    assert!(
        !log.contains(['\u{1b}', '\u{9b}', '\r', '\u{202e}', '\u{2028}', '\0']),
        "{log:?}"
    );
}

/// TLS before Brani, with this certificate; counts those who believed it.
async fn encrypted(certificate: &Certificate, to: std::net::SocketAddr) -> (u16, Arc<AtomicUsize>) {
    let chain = CertificateDer::from_pem_slice(certificate.certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).expect("a key");
    brani_sync::http::install_tls();
    let settings = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("they belong together");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(settings));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let believed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&believed);
    tokio::spawn(async move {
        while let Ok((visitor, _)) = listener.accept().await {
            let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let Ok(mut visitor) = acceptor.accept(visitor).await else {
                    return;
                };
                count.fetch_add(1, SeqCst);
                if let Ok(mut brani) = tokio::net::TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut visitor, &mut brani).await;
                }
            });
        }
    });
    (port, believed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brani_whose_certificate_is_not_right_is_told_nothing() {
    for (certificate, signed, good) in [
        (Certificate::of("localhost"), true, true),
        (Certificate::of("localhost"), false, false),
        (Certificate::of("api.elsewhere.invalid"), true, false),
        (Certificate::until("localhost", 2001), true, false),
    ] {
        let mut merchant = Merchant::new(Shop::sqlite()).await;
        let (port, believed) = encrypted(&certificate, merchant.brani.address()).await;
        let plain = merchant.brani.base_url();
        merchant.edit(plain.as_str(), &format!("https://localhost:{port}/"));
        merchant.shop.add(&Sale::new(1));
        // Who may sign is the system's to say: here, this certificate or another one.
        let authority = merchant.path("authority.pem");
        match signed {
            true => certificate.write(&authority),
            false => Certificate::of("localhost").write(&authority),
        }
        let trusted = [
            ("SSL_CERT_FILE", authority.to_str().expect("a path")),
            ("SSL_CERT_DIR", ""),
        ];
        let answer = merchant.tell_in(&["once"], &trusted);
        assert_eq!(answer.code == 0, good, "{}", answer.err);
        assert_eq!(believed.load(SeqCst) > 0, good);
        assert_eq!(merchant.brani.order_count(), usize::from(good));
        if !good {
            assert_eq!(merchant.brani.counts().requests, 0);
            assert!(answer.err.contains("certificate"), "{}", answer.err);
        }
    }
}
