//! What a person does by hand: every command of the real binary, with what it answers.

use crate::merchant::{BINARY, Merchant, Sale, Shop, TOKEN, until};
use brani_sync::sandbox::NewEvent;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn code(id: u32) -> String {
    Sale::new(id).code
}

async fn sent(shop: Shop, count: u32) -> Merchant {
    let merchant = Merchant::both_ways(shop).await;
    merchant
        .shop
        .add_all(&(1..=count).map(Sale::new).collect::<Vec<_>>());
    merchant.once().exits(0);
    assert_eq!(merchant.brani.order_count(), count as usize);
    merchant
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_set_up_passes_every_check() {
    for shop in [Shop::sqlite(), Shop::mariadb(), Shop::postgres()] {
        let merchant = sent(shop, 3).await;
        let daemon = merchant.run();
        until("registered", || daemon.told("webhook.registered") == 2);
        let answer = merchant.tell(&["check"]).exits(0);
        assert!(
            !answer.out.contains('✗') && answer.out.contains('✓'),
            "{}",
            answer.out
        );
        let warnings = answer.out.lines().filter(|line| line.starts_with("! "));
        // The tests' own user may do everything.
        let strange: Vec<&str> = warnings.filter(|line| !line.contains("may write")).collect();
        assert!(strange.is_empty(), "{strange:?}");
        let findings = merchant.tell(&["check", "--json"]).exits(0).json();
        assert!(
            findings.as_array().is_some_and(|list| list.len() > 8),
            "{findings}"
        );
        merchant.tell(&["check", "--offline"]).exits(0);
        assert_eq!(daemon.stop().0, 0);
        merchant.keeps_secrets();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_names_what_is_broken_and_what_to_do() {
    let mut merchant = sent(Shop::mariadb(), 1).await;
    let broken = |merchant: &Merchant, words: &[&str]| {
        let answer = merchant.tell(&["check"]).exits(1);
        let (_, from) = answer.out.split_once('✗').expect("a cross");
        for word in words {
            assert!(from.contains(word), "`{word}` in {}", answer.out);
        }
        assert!(from.contains("hint: "), "{}", answer.out);
        assert!(!answer.out.contains(TOKEN), "{}", answer.out);
    };
    merchant.secret("token", "spatny-token-9876543210");
    broken(&merchant, &["token"]);
    merchant.secret("token", TOKEN);
    merchant.secret("shop-url", "mysql://nikdo:tajne-heslo@127.0.0.1:1/shop");
    broken(&merchant, &["127.0.0.1:1"]);
    assert!(!merchant.tell(&["check"]).out.contains("tajne-heslo"));
    merchant.secret("shop-url", &merchant.shop.db.url);
    merchant
        .shop
        .db
        .sql("ALTER TABLE items CHANGE weight grams DECIMAL(8,3)");
    broken(&merchant, &["shop.source.items", "weight"]);
    merchant
        .shop
        .db
        .sql("ALTER TABLE items CHANGE grams weight DECIMAL(8,3)");
    merchant.shop.db.sql("UPDATE orders SET shipping = 'posel'");
    let answer = merchant.tell(&["check"]);
    assert!(
        answer.out.contains("posel") && answer.out.contains(&code(1)),
        "{}",
        answer.out
    );
    merchant.shop.db.sql("UPDATE orders SET shipping = 'zasilkovna'");
    merchant.brani.fault(
        brani_sync::sandbox::Fault::Cut,
        brani_sync::sandbox::Matcher::any(),
    );
    broken(&merchant, &["Brani"]);
    merchant.brani.heal();
    merchant.edit("updated_at = :now WHERE", "updated = :now WHERE");
    let answer = merchant.tell(&["check"]);
    assert!(
        answer.out.contains("writeback") || answer.code == 0,
        "{}",
        answer.out
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_missing_is_missing_for_root_too() {
    let merchant = sent(Shop::sqlite(), 1).await;
    if let Some(user) = nobody() {
        // A folder of root's, which the user that root becomes may not look into.
        give_ledger_to(user, &merchant);
        fs::set_permissions(merchant.folder.path(), fs::Permissions::from_mode(0o711)).expect("rights");
        fs::create_dir(merchant.path("secrets")).expect("a folder");
        fs::set_permissions(merchant.path("secrets"), fs::Permissions::from_mode(0o700)).expect("rights");
    }
    fs::remove_file(merchant.path("token")).expect("it goes");
    std::os::unix::fs::symlink("secrets/token", merchant.path("token")).expect("a link");
    let answer = merchant.tell(&["check", "--offline"]).exits(78);
    assert!(answer.out.contains("is missing"), "{}", answer.out);
    assert!(!answer.out.contains("ermission"), "{}", answer.out);
}

/// A proxy that lets nobody through.
fn closed_proxy() -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let _ = stream.read(&mut [0; 1024]);
            let _ =
                stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        }
    });
    format!("http://petr:tajne@{address}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_which_step_of_the_way_to_brani_cannot_be_taken() {
    let mut merchant = sent(Shop::sqlite(), 1).await;
    let right = merchant.brani.base_url().to_string();
    let mut check = |base: &str, proxy: &str, words: &[&str]| {
        merchant.edit(
            &format!("base_url = \"{right}\""),
            &format!("base_url = \"{base}\""),
        );
        let environment = [
            ("HTTPS_PROXY", proxy),
            ("https_proxy", ""),
            ("ALL_PROXY", ""),
            ("all_proxy", ""),
        ];
        let answer = merchant.tell_in(&["check"], &environment).exits(1);
        let (_, from) = answer.out.split_once("✗ Brani at ").expect("a cross");
        let lines: String = from.lines().take(2).collect::<Vec<_>>().join("\n");
        for word in words {
            assert!(lines.contains(word), "{base}: `{word}` in {lines}");
        }
        assert!(!answer.out.contains("tajne"), "{}", answer.out);
        merchant.edit(
            &format!("base_url = \"{base}\""),
            &format!("base_url = \"{right}\""),
        );
    };
    check(
        "https://neni.invalid/",
        "",
        &[
            "`neni.invalid:443`",
            "does not find the name",
            "getent hosts neni.invalid",
        ],
    );
    check(
        "https://127.0.0.1:1/",
        "",
        &["`127.0.0.1:1`", "no connection", "firewall", "HTTPS_PROXY"],
    );
    // What answers is no TLS.
    let plain = right.replace("http://", "https://");
    check(&plain, "", &["`127.0.0.1`", "TLS", "the port"]);
    check(
        "https://neni.invalid/",
        "http://127.0.0.1:1",
        &["the proxy `127.0.0.1:1`", "no connection", "HTTPS_PROXY"],
    );
    check(
        "https://neni.invalid/",
        "http://proxy.invalid:3128",
        &["the proxy `proxy.invalid:3128`", "does not find"],
    );
    check(
        "https://neni.invalid/",
        &closed_proxy(),
        &[
            "the proxy `127.0.0.1:",
            "does not let us through to `neni.invalid`",
            "USER:PASSWORD",
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_certificates_of_authorities_is_told_which_package_brings_them() {
    let merchant = sent(Shop::sqlite(), 1).await;
    let nowhere = merchant.path("neni").display().to_string();
    let environment = [
        ("SSL_CERT_FILE", nowhere.as_str()),
        ("SSL_CERT_DIR", nowhere.as_str()),
    ];
    for command in ["check", "once"] {
        let answer = merchant.tell_in(&[command], &environment);
        assert_eq!(answer.code, 78, "{answer:?}");
        assert!(answer.err.contains("ca-certificates"), "{command}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_why_our_own_public_url_cannot_be_reached() {
    let mut merchant = sent(Shop::sqlite(), 1).await;
    let here = format!("http://127.0.0.1:{}/brani", merchant.port);
    merchant.edit(&here, "https://neni.invalid/brani");
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    let direct = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, ""));
    let answer = merchant.tell_in(&["check"], &direct).exits(1);
    let (_, from) = answer
        .out
        .split_once("✗ https://neni.invalid/brani cannot be reached: ")
        .expect("a cross");
    for word in [
        "`neni.invalid:443`",
        "does not find the name",
        "getent hosts neni.invalid",
    ] {
        assert!(from.contains(word), "`{word}` in {}", answer.out);
    }
    assert_eq!(daemon.stop().0, 0);
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_reads_a_row_that_changed_long_ago_at_once() {
    let merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.shop.add(&Sale::new(1));
    merchant.brani.fail_code(&code(1), 422);
    merchant.once().exits(2);
    let old = merchant.shop.moment(-7200);
    merchant
        .shop
        .db
        .sql(&format!("UPDATE orders SET updated_at = {old}"));
    merchant.shop.add(&Sale::new(2).shipping("posel"));
    merchant.once().exits(2);
    merchant.shop.db.sql(&format!(
        "UPDATE orders SET shipping = 'zasilkovna', updated_at = {old} WHERE id = 2"
    ));
    merchant.brani.heal();
    merchant.tell(&["orders", "retry"]).exits(64);
    merchant.tell(&["orders", "retry", "neni"]).exits(1);
    let daemon = merchant.run();
    until("the first pass is over", || {
        merchant.tell(&["status", "--json"]).json()["last_poll"].is_string()
    });
    merchant.tell(&["orders", "retry", &code(1)]).exits(0);
    until("sent", || merchant.brani.order(&code(1)).is_some());
    merchant.tell(&["orders", "retry", "--all"]).exits(0);
    until("sent", || merchant.brani.order(&code(2)).is_some());
    assert_eq!(daemon.stop().0, 0);
    merchant.once().exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_resent_deleted_ignored_and_forgotten() {
    let merchant = sent(Shop::postgres(), 4).await;
    let upserts = merchant.upserts();
    merchant.tell(&["orders", "resend", &code(1)]).exits(0);
    merchant.once().exits(0);
    assert_eq!(merchant.upserts(), upserts + 1);
    merchant.tell(&["orders", "resend"]).exits(64);
    merchant.tell(&["orders", "resend", "--yes"]).exits(0);

    merchant.tell(&["orders", "delete", &code(2)]).exits(0);
    merchant.once().exits(0);
    assert_eq!(merchant.brani.deleted(), [code(2)]);
    merchant.once().exits(0);
    merchant.shop.change(2, "state = state");
    merchant.once().exits(0);
    assert_eq!(merchant.brani.order_count(), 3, "it stays deleted");
    let listed = merchant
        .tell(&["orders", "list", "--state", "deleted", "--json"])
        .exits(0)
        .json();
    assert_eq!(listed[0]["code"], code(2));

    merchant.shop.change(2, "note = 'přece jen ano'");
    merchant.once().exits(0);
    assert_eq!(
        merchant.brani.order_count(),
        4,
        "it says something new: it comes back"
    );
    merchant.tell(&["orders", "delete", &code(2)]).exits(0);
    merchant.once().exits(0);

    merchant.tell(&["orders", "ignore", &code(3)]).exits(0);
    merchant.shop.change(3, "note = 'nechte to'");
    let upserts = merchant.upserts();
    merchant.once();
    assert_eq!(merchant.upserts(), upserts, "left alone");
    merchant.tell(&["orders", "retry", &code(3)]).exits(0);
    merchant.once().exits(0);
    assert_eq!(merchant.upserts(), upserts + 1);

    merchant.tell(&["forget", &code(4), "--at-brani"]).exits(0);
    merchant.shop.change(4, "note = 'zapomeňte'");
    merchant.once().exits(0);
    assert_eq!(merchant.brani.order_count(), 2);
    let told = merchant.tell(&["explain", &code(4)]).exits(0);
    assert!(told.out.contains("was forgotten"), "{}", told.out);
    for order in [code(1), code(2)] {
        let told = merchant.tell(&["explain", &order]).exits(0);
        assert!(told.out.contains(&order), "{}", told.out);
    }
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_forgotten_order_no_event_is_taken_in_again() {
    let merchant = sent(Shop::sqlite(), 2).await;
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    assert_eq!(daemon.stop().0, 0);
    merchant.brani.add_event(NewEvent::status(&code(1), -1));
    merchant.brani.add_event(NewEvent::package(&code(1), "Z1"));
    merchant.once().exits(0);
    assert_eq!(merchant.shop.get(1, "state"), "packed");
    merchant.shop.change(1, "state = 'shipped', tracking = NULL");
    merchant.once().exits(0);

    merchant.tell(&["forget", &code(1)]).exits(0);
    // The listing is read from before its newest event on: it has those of the forgotten order, too.
    merchant.brani.add_event(NewEvent::package(&code(2), "Z2"));
    merchant.once().exits(0);
    assert_eq!(merchant.shop.get(2, "tracking"), "Z2");
    assert_eq!(merchant.shop.get(1, "state"), "shipped");
    assert_eq!(merchant.shop.get(1, "tracking"), "NULL");
    let listed = merchant
        .tell(&["events", "list", "--order", &code(1), "--json"])
        .exits(0)
        .json();
    assert_eq!(listed, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_event_is_shown_retried_and_dropped() {
    let mut merchant = sent(Shop::sqlite(), 3).await;
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    assert_eq!(daemon.stop().0, 0);
    merchant.edit("timeout = \"3s\"", "timeout = \"3s\"\nattempts = 1");
    merchant.shop.db.sql(
        "CREATE TRIGGER no BEFORE UPDATE OF tracking ON orders WHEN new.tracking LIKE 'BAD%'
         BEGIN SELECT raise(ABORT, 'this number is bad'); END",
    );
    merchant.brani.add_event(NewEvent::package(&code(1), "BAD1"));
    merchant.brani.add_event(NewEvent::package(&code(2), "BAD2"));
    merchant.brani.add_event(NewEvent::package(&code(3), "GOOD"));
    merchant.once().exits(2);
    assert_eq!(merchant.shop.get(3, "tracking"), "GOOD");
    let stuck = || {
        merchant
            .tell(&["events", "list", "--stuck", "--json"])
            .exits(0)
            .json()
    };
    let list = stuck();
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");
    assert!(
        list[0]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("this number is bad")),
        "{list}"
    );
    assert_eq!(merchant.told("event.stuck"), 2);
    let id = list[0]["id"].to_string();
    merchant.tell(&["events", "skip", &id]).exits(0);
    assert_eq!(stuck().as_array().map(Vec::len), Some(1));
    merchant.shop.db.sql("DROP TRIGGER no");
    merchant.tell(&["events", "retry"]).exits(0);
    merchant.once().exits(0);
    assert_eq!(merchant.shop.get(2, "tracking"), "BAD2");
    assert_eq!(merchant.shop.get(1, "tracking"), "NULL");
    merchant.tell(&["events", "skip", "999999"]).exits(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopt_takes_what_an_old_script_sent_and_sends_only_changes() {
    let merchant = Merchant::both_ways(Shop::mariadb()).await;
    merchant.shop.add_all(&(1..=3).map(Sale::new).collect::<Vec<_>>());
    let hook = merchant
        .brani
        .register("status_change", "http://127.0.0.1:9/stary.php");
    merchant.brani.set_status_at_packing_table(&code(1), -1);
    let answer = merchant.tell(&["adopt", "--dry-run", "--json"]).exits(0).json();
    assert_eq!(answer["orders"], 3, "{answer}");
    let answer = merchant.tell(&["adopt", "--json"]).exits(0).json();
    assert_eq!(
        (&answer["orders"], &answer["events"]),
        (&3.into(), &1.into()),
        "{answer}"
    );
    merchant.once().exits(0);
    assert_eq!(merchant.upserts(), 0);
    assert_eq!(
        merchant.shop.get(1, "state"),
        "processing",
        "what the old script saw is not written"
    );
    merchant.tell(&["webhooks", "adopt", &hook.to_string()]).exits(0);
    merchant.shop.change(2, "note = 'nová'");
    merchant.once().exits(0);
    assert_eq!(merchant.upserts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_and_eshop_info_are_shown_and_made_right_by_hand() {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    assert_eq!(
        merchant.tell(&["webhooks", "list", "--json"]).exits(0).json(),
        serde_json::json!([])
    );
    merchant.tell(&["webhooks", "sync"]).exits(0);
    merchant.tell(&["webhooks", "sync"]).exits(0);
    let list = merchant.tell(&["webhooks", "list", "--json"]).exits(0).json();
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");
    let stranger = merchant
        .brani
        .register("status_change", "http://127.0.0.1:9/stary.php");
    merchant
        .tell(&["webhooks", "remove", &stranger.to_string()])
        .exits(0);
    merchant.tell(&["webhooks", "adopt", "999999"]).exits(1);

    let diff = merchant.tell(&["eshop-info", "diff", "--json"]).exits(0).json();
    assert_eq!(diff["post_needed"], true);
    merchant.tell(&["eshop-info", "push"]).exits(0);
    let diff = merchant.tell(&["eshop-info", "diff", "--json"]).exits(0).json();
    assert_eq!(diff["post_needed"], false, "{diff}");
    merchant.edit("name = \"Zásilkovna\"", "name = \"Zásilkovna – výdejna\"");
    let diff = merchant.tell(&["eshop-info", "diff"]).exits(0);
    assert!(
        diff.out.contains("výdejna") && diff.out.contains("a post is needed"),
        "{}",
        diff.out
    );
    merchant.once().exits(0);
    assert_eq!(merchant.brani.eshop_info_posts(), 2);
    assert!(
        merchant
            .tell(&["eshop-info", "show"])
            .exits(0)
            .out
            .contains("výdejna")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_cycle_is_silent_when_all_is_well_and_speaks_when_something_is_parked() {
    let merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.shop.add(&Sale::new(1));
    let answer = merchant.tell(&["once", "--quiet"]).exits(0);
    assert_eq!((answer.out.as_str(), answer.err.as_str()), ("", ""));
    assert_eq!(merchant.brani.order_count(), 1);
    merchant.shop.add(&Sale::new(2).shipping("posel"));
    let answer = merchant.tell(&["once", "--quiet"]).exits(2);
    assert!(answer.out.contains("1 parked"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_stored_backups_made_and_papers_printed() {
    let merchant = sent(Shop::sqlite(), 1).await;
    merchant
        .tell_with(&["secret", "set", "brani-token"], "nové tajemství\n")
        .exits(0);
    let file = merchant.path("kvetiny.secrets/brani-token");
    assert_eq!(fs::read_to_string(&file).expect("it is stored"), "nové tajemství");
    assert_eq!(
        fs::metadata(&file).expect("it is stored").permissions().mode() & 0o777,
        0o600
    );
    merchant.tell_with(&["secret", "set", "../token"], "x").exits(64);
    merchant.tell_with(&["secret", "set", "brani-token"], "").exits(1);

    let daemon = merchant.run();
    let copy = merchant.path("copy.db");
    merchant
        .tell(&["backup", copy.to_str().expect("a path")])
        .exits(0);
    merchant
        .tell(&["backup", copy.to_str().expect("a path")])
        .exits(1);
    assert_eq!(
        fs::metadata(&copy).expect("a copy").permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(daemon.stop().0, 0);
    let orders: i64 = rusqlite::Connection::open(&copy)
        .and_then(|db| db.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)))
        .expect("a ledger");
    assert_eq!(orders, 1);

    for shell in ["bash", "zsh", "fish"] {
        assert!(
            merchant
                .tell(&["completions", shell])
                .exits(0)
                .out
                .contains("brani-sync")
        );
    }
    for page in ["brani-sync.8", "brani-sync.toml.5"] {
        assert!(
            merchant.tell(&["man", page]).exits(0).out.contains(".TH"),
            "{page}"
        );
    }
    merchant.tell(&["man", "jiny"]).exits(64);
    let bare = Command::new(BINARY).arg("nesmysl").output().expect("it starts");
    assert_eq!(bare.status.code(), Some(64));
    let version = Command::new(BINARY).arg("--version").output().expect("it starts");
    assert_eq!(version.status.code(), Some(0));
}

/// A user who is not root, where we are.
fn nobody() -> Option<u32> {
    let output = Command::new("id").args(["-u", "nobody"]).output().ok()?;
    let id = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    rustix::process::geteuid().is_root().then_some(id)
}

/// Makes the ledger somebody else's, as the service's ledger is on a real machine. Where the tests are not root's, it is
/// the folder of the copies that is closed to us, and what follows from that is the same.
fn give_ledger_to(user: u32, merchant: &Merchant) {
    let chown = |path: &Path| std::os::unix::fs::chown(path, Some(user), None).expect("we are root");
    fs::set_permissions(merchant.folder.path(), fs::Permissions::from_mode(0o755)).expect("rights");
    chown(&merchant.path("state"));
    for file in fs::read_dir(merchant.path("state")).expect("the ledger's folder") {
        chown(&file.expect("a file").path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_copies_the_ledger_to_where_the_services_user_may_not_write_and_leaves_no_half() {
    use std::os::unix::fs::MetadataExt;
    let merchant = sent(Shop::sqlite(), 1).await;
    let folder = merchant.path("copies");
    fs::create_dir(&folder).expect("a folder");
    let copy = folder.join("copy.db");
    let backup = ["backup", copy.to_str().expect("a path")];
    let entries = || fs::read_dir(&folder).expect("the folder").count();
    let Some(user) = nobody() else {
        // Without root there is nobody to become: the folder is refused with its name, and nothing is left in it.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).expect("rights");
        let answer = merchant.tell(&backup).exits(1);
        assert!(answer.err.contains(backup[1]), "{answer:?}");
        assert_eq!(entries(), 0);
        return;
    };
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("rights");
    give_ledger_to(user, &merchant);
    merchant.tell(&backup).exits(0);
    let made = fs::metadata(&copy).expect("a copy");
    assert_eq!((made.uid(), made.permissions().mode() & 0o777), (0, 0o600));
    let orders: i64 = rusqlite::Connection::open(&copy)
        .and_then(|db| db.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)))
        .expect("a ledger");
    assert_eq!(orders, 1);
    // Nothing of root's lies beside the ledger, nor what the copy was made of.
    for file in fs::read_dir(merchant.path("state")).expect("the ledger's folder") {
        let file = file.expect("a file");
        assert_eq!(file.metadata().expect("its owner").uid(), user, "{file:?}");
        assert!(!file.file_name().to_string_lossy().contains("copy"), "{file:?}");
    }
    // A ledger that is none, and none at all.
    fs::remove_file(&copy).expect("it goes");
    fs::write(
        merchant.ledger(),
        "no database at all, but long enough to be read as one",
    )
    .expect("a file");
    let answer = merchant.tell(&backup);
    assert_ne!(answer.code, 0, "{answer:?}");
    assert!(entries() == 0 || answer.err.contains("remove it"), "{answer:?}");
    let _ = fs::remove_file(&copy);
    for file in fs::read_dir(merchant.path("state")).expect("the ledger's folder") {
        fs::remove_file(file.expect("a file").path()).expect("it goes");
    }
    merchant.tell(&backup).exits(1);
    assert_eq!(entries(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_is_no_field_is_a_wrong_configuration_and_is_named() {
    let mut merchant = sent(Shop::postgres(), 1).await;
    merchant.edit("\"notes.customerRemark\"", "\"notes.customerRemrak\"");
    for command in ["once", "check"] {
        let answer = merchant.tell(&[command]).exits(78);
        let text = format!("{}{}", answer.out, answer.err);
        for word in ["shop.source.orders", "`notes.customerRemrak`", "hint: "] {
            assert!(text.contains(word), "{command}: `{word}` in {text}");
        }
    }
    merchant.edit("\"notes.customerRemrak\"", "\"notes.customerRemark\"");
    merchant.edit("o.updated_at >= :since", "o.updated_at >= :sinc");
    merchant.once().exits(78);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_answers_in_json_where_that_is_asked_for() {
    let merchant = sent(Shop::sqlite(), 2).await;
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    let copy = merchant.path("copy.db");
    let (copy, first) = (copy.to_str().expect("a path"), code(1));
    let says = |arguments: &[&str], key: &str| {
        let answer = merchant.tell(&[arguments, &["--json"]].concat());
        let told: serde_json::Value = serde_json::from_str(&answer.out)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {answer:?}"));
        assert!(key.is_empty() || !told[key].is_null(), "{arguments:?}: {told}");
    };
    says(&["sync"], "rung");
    says(&["reload"], "reloaded");
    says(&["status"], "orders");
    says(&["explain", &first], "state");
    says(&["orders", "list", "--state", "all"], "");
    says(&["orders", "retry", "--all"], "changed");
    says(&["orders", "resend", &first], "changed");
    says(&["orders", "resend", "--yes"], "approved_until");
    says(&["orders", "delete", "--approve"], "approved_until");
    says(&["orders", "ignore", &first], "changed");
    says(&["orders", "adopt", &first], "not_changed");
    says(&["events", "list"], "");
    says(&["events", "retry"], "changed");
    says(&["events", "skip", "999"], "changed");
    says(&["eshop-info", "show"], "data");
    says(&["eshop-info", "diff"], "post_needed");
    says(&["eshop-info", "push"], "posted");
    says(&["webhooks", "list"], "");
    says(&["webhooks", "sync"], "created_or_moved");
    says(&["presets", "list"], "");
    says(&["presets", "show", "woocommerce"], "text");
    says(&["presets", "grants", "woocommerce"], "sql");
    says(&["backup", copy], "copied");
    says(&["forget", &first], "forgotten");
    says(&["check", "--offline"], "");
    assert_eq!(daemon.stop().0, 0);
    says(&["once"], "reports");
    says(&["ledger", "accept"], "base_url");
    says(&["adopt", "--dry-run"], "orders");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_text_and_of_json_say_to_the_journal_how_bad_they_are() {
    use std::os::unix::fs::MetadataExt;
    for format in ["json", "text"] {
        let mut merchant = Merchant::new(Shop::sqlite()).await;
        merchant.edit("format = \"json\"", &format!("format = \"{format}\""));
        merchant.shop.add(&Sale::new(1));
        merchant.shop.add(&Sale::new(2).shipping("posel"));
        let log = fs::File::create(merchant.path("log")).expect("a log");
        let named = log.metadata().expect("its number");
        let stream = format!("{}:{}", named.dev(), named.ino());
        let daemon = merchant.start_in(&["run"], &[("JOURNAL_STREAM", &stream)]);
        until("one is sent, the other parked", || {
            let log = merchant.log();
            log.contains("send.pass") && log.contains("order.parked")
        });
        assert_eq!(daemon.stop().0, 0);
        let log = merchant.log();
        for line in log.lines() {
            let mark = match () {
                () if line.contains("order.parked") => "<4>",
                () if line.contains("daemon.st") || line.contains("send.pass") => "<6>",
                () => "<",
            };
            assert!(line.starts_with(mark), "{line}");
        }
    }
}

#[test]
fn what_a_command_complains_of_is_an_error_in_the_journal_too() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().expect("a folder");
    let journal = fs::File::create(folder.path().join("journal")).expect("a file");
    let named = journal.metadata().expect("its number");
    let run = |stream: String| {
        let status = Command::new(BINARY)
            .args(["reload", "--config", "/neni/tu.toml"])
            .env("JOURNAL_STREAM", stream)
            .stderr(journal.try_clone().expect("a handle"))
            .status()
            .expect("it starts");
        assert_eq!(status.code(), Some(78));
        let said = fs::read_to_string(folder.path().join("journal")).expect("text");
        fs::write(folder.path().join("journal"), "").expect("emptied");
        said
    };
    // Named by device and number, it is the journal, which takes each line for what stands before it.
    let said = run(format!("{}:{}", named.dev(), named.ino()));
    assert!(said.contains("/neni/tu.toml"), "{said}");
    assert!(
        said.trim_matches('\0')
            .lines()
            .all(|line| line.starts_with("<3>")),
        "{said}"
    );
    let said = run("1:1".to_owned());
    assert!(said.contains("/neni/tu.toml") && !said.contains("<3>"), "{said}");
}
