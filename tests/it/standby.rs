//! A second machine: what a ledger of some time ago does, and the lock that lets one machine alone work for a shop.

use crate::merchant::{Merchant, Sale, Shop, until};
use crate::support::{mysql_server, postgres_server};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn code(id: u32) -> String {
    Sale::new(id).code
}

/// Status and parcel number of an order in the shop.
fn row(merchant: &Merchant, id: u32) -> (String, String) {
    (merchant.shop.get(id, "state"), merchant.shop.get(id, "tracking"))
}

/// Deletes the ledger, and puts a copy of it in its place.
fn restore(merchant: &Merchant, copy: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(merchant.path(&format!("state/ledger.db{ending}")));
    }
    fs::copy(copy, merchant.ledger()).expect("the ledger is restored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_of_some_time_ago_catches_up_and_undoes_nothing() {
    for (shop, by_hand) in [
        (Shop::sqlite(), false),
        (Shop::mariadb(), false),
        (Shop::postgres(), true),
    ] {
        let merchant = Merchant::both_ways(shop).await;
        merchant.shop.add_all(&[1, 2, 3].map(Sale::new));
        merchant.tell(&["webhooks", "sync"]).exits(0);
        merchant.once().exits(0);
        let copy = merchant.path("copy.db");
        if by_hand {
            // Another tool's copy: nobody works with the ledger, so its file is whole.
            fs::copy(merchant.ledger(), &copy).expect("a copy");
        } else {
            merchant
                .tell(&["backup", copy.to_str().expect("a path")])
                .exits(0);
        }

        // Life goes on: one is packed, one is packed and then sent off by the merchant, one is edited, one is new.
        merchant.brani.pack(&code(1), "Z 1");
        merchant.brani.pack(&code(2), "Z 2");
        merchant.once().exits(0);
        // A shop's times have seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        merchant.shop.change(2, "state = 'shipped'");
        merchant.shop.change(3, "note = 'jinak'");
        merchant.shop.add(&Sale::new(4));
        merchant.once().exits(0);
        let rows = [1, 2, 3, 4].map(|id| row(&merchant, id));
        assert_eq!(rows[0], ("packed".into(), "Z 1".into()));
        assert_eq!(rows[1], ("shipped".into(), "Z 2".into()));
        let orders = [1, 2, 3, 4].map(|id| merchant.brani.order(&code(id)));

        // The first machine burns down, and the second has the copy.
        restore(&merchant, &copy);
        if by_hand {
            merchant.tell(&["ledger", "restored"]).exits(0);
        }
        // Packed while nobody listened: that is still to be written.
        merchant.brani.pack(&code(3), "Z 3");
        merchant.once().exits(0);
        merchant.once().exits(0);
        assert_eq!(row(&merchant, 3), ("packed".into(), "Z 3".into()));
        for id in [1, 2, 4] {
            assert_eq!(row(&merchant, id), rows[id as usize - 1], "the shop's {id}");
            assert_eq!(
                merchant.brani.order(&code(id)),
                orders[id as usize - 1],
                "Brani's {id}"
            );
        }
        let upserts = merchant.upserts();
        merchant.once().exits(0);
        assert_eq!(merchant.upserts(), upserts, "it has come to rest");
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("systemd/examples")
        .join(name)
}

/// `hold-lock` of one machine.
struct Machine(Child);

impl Machine {
    fn starts(name: &str, kind: &str) -> Self {
        let server = if kind == "mysql" {
            mysql_server()
        } else {
            postgres_server()
        };
        let port = server.port().to_string();
        let mut command = Command::new(example("hold-lock"));
        command.arg(name).arg(kind);
        if kind == "mysql" {
            command.args(["-h", &server.host(), "-P", &port, "-u", &server.user()]);
            command.envs(server.password().map(|password| ("MYSQL_PWD", password)));
        } else {
            command.args([
                "-h",
                &server.host(),
                "-p",
                &port,
                "-U",
                &server.user(),
                "postgres",
            ]);
            command.envs(server.password().map(|password| ("PGPASSWORD", password)));
        }
        let child = command
            .env_remove("NOTIFY_SOCKET")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the script starts");
        Self(child)
    }

    /// Whether it got the lock: its first line, or its end.
    fn works(&mut self) -> bool {
        let mut line = String::new();
        let output = self.0.stdout.take().expect("its output");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("a line, or the end");
        line.contains("this machine works")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn of_two_machines_one_alone_gets_the_lock_and_the_other_when_the_first_is_gone() {
    for kind in ["mysql", "postgres"] {
        let shop = format!("kvetiny-{}", uuid::Uuid::new_v4().simple());
        let mut first = Machine::starts(&shop, kind);
        assert!(first.works(), "{kind}");
        let mut second = Machine::starts(&shop, kind);
        assert!(!second.works(), "{kind}");
        assert_eq!(second.0.wait().expect("its end").code(), Some(1), "{kind}");
        // Another shop's lock is another.
        assert!(Machine::starts(&format!("{shop}-2"), kind).works(), "{kind}");
        // The first dies without a word.
        drop(first);
        until("the second gets the lock", || {
            Machine::starts(&shop, kind).works()
        });
    }
}
