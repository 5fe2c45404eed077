//! What the unit forbids and a configuration needs: `check` says it before the first start, names the drop-in, and is
//! content once that is in place. The unit is the one that is shipped, in a folder where systemd would look for it.

use crate::merchant::{Answer, Merchant, Shop};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where the stories' units lie, below the merchant's folder.
const UNITS: &str = "units";

fn shipped(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read `{}`: {error}", path.display()))
}

/// A merchant whose configuration the template's instance runs. Everything of his lies in a temporary folder, which the
/// unit hides; so that not every line is about that, /tmp is the machine's in this unit.
async fn merchant(shop: Shop) -> Merchant {
    let merchant = Merchant::both_ways(shop).await;
    fs::create_dir(merchant.path(UNITS)).expect("a folder");
    install(&merchant, |unit| unit.replace("PrivateTmp=yes", "PrivateTmp=no"));
    merchant
}

fn install(merchant: &Merchant, change: impl Fn(String) -> String) {
    let config = merchant.config().display().to_string();
    let unit = change(shipped("brani-sync@.service")).replace("/etc/brani-sync/%i.toml", &config);
    fs::write(merchant.path(UNITS).join("brani-sync@.service"), unit).expect("a unit");
}

/// A drop-in of the instance.
fn drop_in(merchant: &Merchant, name: &str, text: &str) {
    let folder = merchant.path(UNITS).join("brani-sync@kvetiny.service.d");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), text).expect("a drop-in");
}

fn check(merchant: &Merchant) -> Answer {
    let units = merchant.path(UNITS).display().to_string();
    merchant.tell_in(&["check", "--offline"], &[("SYSTEMD_UNIT_PATH", &units)])
}

/// The finding that names all of these, with its hint.
#[track_caller]
fn cross(answer: &Answer, words: &[&str]) -> String {
    let lines: Vec<&str> = answer.out.lines().collect();
    let found = lines
        .windows(2)
        .find(|pair| pair[0].starts_with('✗') && words.iter().all(|word| pair[0].contains(word)));
    let pair = found.unwrap_or_else(|| panic!("no ✗ with {words:?} in\n{}", answer.out));
    format!("{}\n{}", pair[0], pair[1])
}

fn program(path: &Path, first_line: &str) -> PathBuf {
    fs::write(path, format!("{first_line}\nexit 0\n")).expect("a program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("rights");
    path.canonicalize().expect("it exists")
}

fn allow_state_and_shop(merchant: &Merchant) {
    drop_in(
        merchant,
        "10-place.conf",
        &format!("[Service]\nReadWritePaths={}\n", merchant.folder.path().display()),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_the_unit_does_not_execute_is_named_with_its_interpreter_and_drop_in() {
    let mut merchant = merchant(Shop::mariadb()).await;
    allow_state_and_shop(&merchant);
    check(&merchant).exits(0);
    let hook = program(&merchant.path("packed-hook"), "#!/usr/bin/env sh");
    merchant.add(&format!(
        "[writeback.order_history]\ncommand = [\"{}\"]\n",
        hook.display()
    ));
    let answer = check(&merchant).exits(1);
    let said = cross(&answer, &["writeback.order_history.command", "packed-hook"]);
    for word in [
        "brani-sync@kvetiny.service",
        "systemctl edit",
        "ExecPaths=",
        "command-handlers.conf",
    ] {
        assert!(said.contains(word), "`{word}` in {said}");
    }
    cross(&answer, &["writeback.order_history.command", "`/usr/bin/env`"]);
    cross(&answer, &["writeback.order_history.command", "/sh`"]);

    drop_in(
        &merchant,
        "20-commands.conf",
        &format!("[Service]\nExecPaths={} \\\n  /usr/bin\n", hook.display()),
    );
    let answer = check(&merchant).exits(0);
    assert!(
        answer.out.contains("allows what this configuration needs"),
        "{}",
        answer.out
    );
    // The list begins anew.
    drop_in(
        &merchant,
        "30-none.conf",
        "[Service]\nExecPaths=\nExecPaths=/usr/lib\n",
    );
    cross(&check(&merchant).exits(1), &["packed-hook"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_home_are_named_with_their_drop_in() {
    let mut merchant = merchant(Shop::mariadb()).await;
    allow_state_and_shop(&merchant);
    merchant.edit("[shop.source]", "[shop.source]\ntls_ca = \"/home/shop/ca.pem\"\n");
    let said = cross(
        &check(&merchant).exits(1),
        &["shop.source.tls_ca", "hides", "/home/shop/ca.pem"],
    );
    assert!(
        said.contains("BindReadOnlyPaths=/home/shop/ca.pem") && said.contains("files-in-home.conf"),
        "{said}"
    );
    drop_in(
        &merchant,
        "20-home.conf",
        "[Service]\nProtectHome=tmpfs\nBindReadOnlyPaths=/home/shop\n",
    );
    check(&merchant).exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_that_the_daemon_may_not_write_in_are_named_with_their_drop_in() {
    let mut merchant = merchant(Shop::sqlite()).await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let folder = elsewhere.path().display();
    merchant.add(&format!(
        "[writeback.order_history]\njsonl = \"{folder}/events.jsonl\"\n[admin]\nlisten = \"unix:{folder}/page.sock\"\n"
    ));
    let answer = check(&merchant).exits(1);
    // The ledger is not in the unit's own folder, and the shop is a file that write-back changes.
    cross(&answer, &["ledger.path", "nothing be written"]);
    cross(&answer, &["shop.source.url", "nothing be written"]);
    let folder = folder.to_string();
    cross(&answer, &["admin.listen", "nothing be written", &folder]);
    let said = cross(&answer, &["writeback.order_history.jsonl", &folder]);
    assert!(
        said.contains(&format!("ReadWritePaths={folder}")) && said.contains("writable-folders.conf"),
        "{said}"
    );
    install(&merchant, |unit| unit);
    let answer = check(&merchant).exits(1);
    cross(&answer, &["shop.source.url", "hides"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_of_a_unit_that_runs_another_configuration() {
    let merchant = merchant(Shop::sqlite()).await;
    cross(&check(&merchant).exits(1), &["ledger.path"]);
    install(&merchant, |unit| unit.replace("%i.toml", "jiny.toml"));
    let answer = check(&merchant).exits(0);
    assert!(!answer.out.contains("the unit"), "{}", answer.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_another_process_holds_is_told_by_check_and_refused_by_a_reload() {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    let there = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = there.local_addr().expect("an address").port();
    let daemon = merchant.run();
    merchant.add(&format!("[admin]\nlisten = \"127.0.0.1:{taken}\"\n"));
    let refused = merchant.tell(&["reload"]).exits(78);
    assert!(refused.err.contains("admin.listen"), "{}", refused.err);
    // The old one goes on.
    merchant.tell(&["sync"]).exits(0);
    assert_eq!(daemon.stop().0, 0);
    let answer = merchant.tell(&["check", "--offline"]).exits(1);
    cross(&answer, &["admin.listen", &taken.to_string()]);
    drop(there);
    merchant.tell(&["check", "--offline"]).exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_the_shell_names_and_the_unit_does_not_is_named_with_its_drop_in() {
    let merchant = merchant(Shop::sqlite()).await;
    let units = merchant.path(UNITS).display().to_string();
    let proxy = "http://petr:tajne@proxy.example.cz:3128";
    let check = |proxy: &str| {
        let environment = [
            ("SYSTEMD_UNIT_PATH", units.as_str()),
            ("HTTPS_PROXY", proxy),
            ("https_proxy", ""),
            ("ALL_PROXY", ""),
            ("all_proxy", ""),
        ];
        merchant.tell_in(&["check", "--offline"], &environment)
    };
    let answer = check(proxy);
    for word in [
        "! this check goes by the proxy http://proxy.example.cz:3128; the unit `brani-sync@kvetiny.service` names none",
        "Environment=HTTPS_PROXY=http://proxy.example.cz:3128",
        "proxy.conf",
    ] {
        assert!(answer.out.contains(word), "`{word}` in {}", answer.out);
    }
    assert!(!answer.out.contains("tajne"), "{}", answer.out);
    drop_in(
        &merchant,
        "proxy.conf",
        "[Service]\nEnvironment=\"NO_PROXY=localhost, .example.cz\" HTTPS_PROXY=http://proxy.example.cz:3128\n",
    );
    let answer = check(proxy);
    assert!(
        answer
            .out
            .contains("✓ requests go by the proxy http://proxy.example.cz:3128"),
        "{}",
        answer.out
    );
    let answer = check("");
    assert!(
        answer
            .out
            .contains("HTTPS_PROXY=http://proxy.example.cz:3128 brani-sync check"),
        "{}",
        answer.out
    );
}
