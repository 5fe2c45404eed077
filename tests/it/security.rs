//! docs/security.md: every sentence there names the tests that hold it, and these are the ones that had no room elsewhere.

use crate::merchant::{BINARY, Merchant, PEOPLE, SECRET, Sale, Shop, TOKEN, free_port, until};
use regex::Regex;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

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
    let mut words: Vec<String> = vec![
        TOKEN.into(),
        SECRET.into(),
        "soukromy.invalid".into(),
        "601 23".into(),
    ];
    for (name, street, city, note, goods) in PEOPLE {
        words.extend([name, street, city, note, goods].map(str::to_owned));
    }
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
    merchant.brani.add_event(brani_sync::sandbox::NewEvent {
        event_type: "order_history".into(),
        code: Some(Sale::new(1).code),
        ..brani_sync::sandbox::NewEvent::package(&Sale::new(1).code, "")
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
