//! Starting, stopping, being killed, being told to reload: the real binary and its exit codes.

use crate::merchant::{Merchant, Sale, Shop, free_port, until};
use brani_sync::sandbox::{Fault, Matcher};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// How long the shop lives while the daemon is killed.
const KILLING: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_sends_a_change_within_seconds_and_sigterm_stops_cleanly() {
    let merchant = Merchant::both_ways(Shop::mariadb()).await;
    merchant.shop.add(&Sale::new(1));
    let daemon = merchant.run();
    until("the first order stands", || merchant.brani.order_count() == 1);
    merchant.shop.change(1, "note = 'změna'");
    merchant.tell(&["sync"]).exits(0);
    until("the change stands", || {
        merchant
            .brani
            .order(&Sale::new(1).code)
            .is_some_and(|order| order["notes"]["customerRemark"] == "změna")
    });
    let (code, took) = daemon.stop();
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(40), "{took:?}");
    assert_eq!(merchant.told("daemon.stopped"), 1);
    merchant.tell(&["sync"]).exits(1);
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schedule_polls_by_itself_and_a_sweep_finds_what_was_not_touched() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    merchant.edit("poll = \"1h\"", "poll = \"1s\"");
    let daemon = merchant.run();
    merchant.shop.add(&Sale::new(1));
    until("found by the schedule", || merchant.brani.order_count() == 1);
    // An hour ago, and behind every overlap.
    let old = merchant.shop.moment(-3600);
    merchant
        .shop
        .db
        .sql(&format!("UPDATE orders SET updated_at = {old}"));
    merchant
        .shop
        .db
        .sql("UPDATE items SET name = 'Vyměněno' WHERE id = 2");
    merchant.tell(&["sync", "--sweep"]).exits(0);
    until("found by the sweep", || {
        merchant
            .brani
            .order(&Sale::new(1).code)
            .is_some_and(|order| order["items"][0]["name"] == "Vyměněno")
    });
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_is_told_who_holds_the_ledger() {
    let merchant = Merchant::new(Shop::sqlite()).await;
    let daemon = merchant.run();
    for command in ["once", "run", "adopt"] {
        let answer = merchant.tell(&[command]).exits(75);
        assert!(
            answer.err.contains(&format!("process {}", daemon.pid())),
            "{}",
            answer.err
        );
    }
    assert_eq!(daemon.stop().0, 0);
    merchant.once().exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_configuration_is_exit_78_with_its_line() {
    let merchant = Merchant::new(Shop::sqlite()).await;
    let text = fs::read_to_string(merchant.config()).expect("a configuration");
    for (broken, told) in [
        (text.replace("rate_limit", "rate_limt"), "rate_limit"),
        (text.replace("send_when = [", "send_when = "), "kvetiny.toml"),
        (
            text.replace("poll = \"1h\"", "poll = \"7 monkeys\""),
            "schedule.poll",
        ),
    ] {
        assert_ne!(broken, text);
        fs::write(merchant.config(), &broken).expect("a configuration");
        for command in ["run", "once", "check"] {
            let answer = merchant.tell(&[command]).exits(78);
            assert!(answer.err.contains(told), "{told}: {}", answer.err);
            assert!(answer.err.contains("kvetiny.toml"), "{told}: {}", answer.err);
        }
    }
    // A column's name is known once the query has run.
    fs::write(merchant.config(), text.replace("AS email", "AS mail")).expect("a configuration");
    for command in ["once", "check"] {
        let answer = merchant.tell(&[command]).exits(78);
        let told = answer.out + &answer.err;
        assert!(
            told.contains("`mail`") && told.contains("shop.source.orders"),
            "{told}"
        );
    }
    fs::write(merchant.config(), &text).expect("a configuration");
    fs::remove_file(merchant.path("token")).expect("it was there");
    for command in ["run", "once", "check"] {
        let answer = merchant.tell(&[command]).exits(78);
        let told = answer.out + &answer.err;
        assert!(told.contains("brani.token"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_cannot_be_written_is_exit_74() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    // Root writes everywhere; a file where a folder should be stops him too.
    fs::write(merchant.path("plain"), "a file").expect("a file");
    merchant.edit("state/ledger.db", "plain/ledger.db");
    for command in ["run", "once"] {
        let answer = merchant.tell(&[command]).exits(74);
        assert!(answer.err.contains("plain"), "{}", answer.err);
    }
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    fs::write(
        merchant.path("state/other.db"),
        "this is somebody's letter, and no ledger ".repeat(40),
    )
    .expect("a file");
    merchant.edit("state/ledger.db", "state/other.db");
    merchant.once().exits(74);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_brani_or_shop_is_not_written_to_before_somebody_accepts_it() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    merchant.shop.add(&Sale::new(1));
    merchant.once().exits(0);
    let other = Shop::sqlite();
    other.add(&Sale::new(2));
    merchant.secret("shop-url", &other.db.url);
    let answer = merchant.once().exits(78);
    let config = merchant.config();
    let command = format!("brani-sync --config {} ledger accept", config.display());
    assert!(answer.err.contains(&command), "{}", answer.err);
    let mut daemon = merchant.start(&["run"]);
    assert_eq!(daemon.ends(Duration::from_secs(30)), 78);
    assert_eq!(merchant.brani.order_count(), 1);
    merchant.tell(&["ledger", "accept"]).exits(0);
    merchant.shop = other;
    merchant.once().exits(0);
    assert_eq!(merchant.brani.order_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_would_make_the_ledger_anothers_is_refused() {
    let merchant = Merchant::new(Shop::sqlite()).await;
    merchant.shop.add(&Sale::new(1));
    let mut daemon = merchant.run();
    until("sent", || merchant.brani.order_count() == 1);
    let other = Shop::sqlite();
    let url = fs::read_to_string(merchant.path("shop-url")).expect("a secret");
    merchant.secret("shop-url", &other.db.url);
    let answer = merchant.tell(&["reload"]).exits(78);
    assert!(answer.err.contains("ledger accept"), "{}", answer.err);
    assert!(daemon.is_alive());
    merchant.secret("shop-url", &url);
    merchant.tell(&["reload"]).exits(0);
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_this_machine_does_not_have_yet_is_tried_again() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    // An address for documentation: nobody has it.
    merchant.add("[admin]\nlisten = \"192.0.2.1:9787\"\n");
    let answer = merchant.tell(&["run"]).exits(1);
    assert!(
        answer.err.contains("192.0.2.1:9787") && answer.err.contains("network"),
        "{}",
        answer.err
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_a_good_configuration_and_refuses_a_bad_one() {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.shop.add(&Sale::new(1).shipping("posel"));
    let mut daemon = merchant.run();
    until("parked", || merchant.told("order.parked") == 1);
    let good = fs::read_to_string(merchant.config()).expect("a configuration");
    fs::write(merchant.config(), good.replace("rate_limit", "rate_limt")).expect("a configuration");
    let answer = merchant.tell(&["reload"]).exits(78);
    assert!(answer.err.contains("rate_limt"), "{}", answer.err);
    // The command's check can be passed by: a bare SIGHUP does as well.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(daemon.pid().cast_signed()).expect("a pid"),
        rustix::process::Signal::HUP,
    )
    .expect("it can be told");
    until("refused by the daemon too", || {
        merchant.told("daemon.reload_refused") == 1
    });
    assert!(daemon.is_alive());
    // A port that somebody else has is found before the old door is shut.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("an address").port();
    fs::write(
        merchant.config(),
        good.replace(
            &format!("listen = \"127.0.0.1:{}\"", merchant.port),
            &format!("listen = \"127.0.0.1:{taken}\""),
        ),
    )
    .expect("a configuration");
    let answer = merchant.tell(&["reload"]).exits(78);
    assert!(answer.err.contains("webhooks.listen"), "{}", answer.err);
    assert!(daemon.is_alive(), "{}", merchant.log());

    merchant.add("[[eshop_info.shipping]]\nshop = \"posel\"\nname = \"Posel\"\n");
    let moved = free_port();
    merchant.port = moved;
    merchant.write();
    merchant.tell(&["reload"]).exits(0);
    until("unparked and sent", || merchant.brani.order_count() == 1);
    until("the door has moved", || {
        std::net::TcpStream::connect(("127.0.0.1", moved)).is_ok()
    });
    merchant.tell(&["reload"]).exits(0);
    assert!(daemon.is_alive());
    assert_eq!(merchant.told("daemon.reloaded"), 2);
    assert_eq!(daemon.stop().0, 0);
}

/// A small generator: the same run every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn faults() -> Vec<Fault> {
    let status = |status: u16| Fault::Status {
        status,
        retry_after: Some("0".into()),
    };
    vec![
        Fault::LostReply,
        Fault::LostReply,
        status(500),
        status(429),
        Fault::Latency { milliseconds: 120 },
        Fault::Cut,
    ]
}

/// How long the daemon is killed.
enum Killing {
    For(Duration),
    Times(u32),
}

/// Kills the daemon at random moments while the shop and the packing table work; at the end both sides agree.
async fn killed(shop: Shop, killing: Killing, seed: u64) {
    let merchant = Merchant::both_ways(shop).await;
    let mut dice = Dice(seed);
    let mut kills = 0;
    merchant
        .shop
        .add_all(&(1..=10).map(Sale::new).collect::<Vec<_>>());
    merchant.brani.fail_at_random(11, 0.25, faults());
    let began = Instant::now();
    let (mut next, mut round) = (11, 0);
    let mut notes = std::collections::BTreeMap::new();
    let mut packed = std::collections::BTreeSet::new();
    while match killing {
        Killing::For(time) => began.elapsed() < time,
        Killing::Times(times) => kills < times,
    } {
        let daemon = merchant.start(&["run"]);
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(80 + dice.roll(220))).await;
            let id = 1 + u32::try_from(dice.roll(u64::from(next) - 1)).expect("small");
            match dice.roll(3) {
                0 => {
                    merchant.shop.add(&Sale::new(next));
                    next += 1;
                }
                1 => {
                    round += 1;
                    let note = format!("kolo {round}");
                    merchant.shop.change(id, &format!("note = '{note}'"));
                    notes.insert(id, note);
                }
                _ if merchant.brani.order(&Sale::new(id).code).is_some() => {
                    merchant.brani.pack(&Sale::new(id).code, &format!("CZ{id}"));
                    packed.insert(id);
                }
                _ => {}
            }
            if daemon.told("daemon.started") > 0 {
                daemon.ring();
            }
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(500))).await;
        daemon.kill();
        kills += 1;
    }
    println!("killed {kills} times; {} orders, {round} changes", next - 1);
    merchant.brani.heal();
    let daemon = merchant.run();
    until("both sides agree", || {
        daemon.ring();
        let stands = (1..next).all(|id| {
            merchant.brani.order(&Sale::new(id).code).is_some_and(|order| {
                let note = notes.get(&id).cloned().unwrap_or(Sale::new(id).note);
                order["notes"]["customerRemark"] == note.as_str()
                    && (!packed.contains(&id) || order["status"]["id"] == -1)
            })
        });
        let written = merchant
            .shop
            .db
            .sql("SELECT id FROM orders WHERE state = 'packed' AND tracking IS NOT NULL ORDER BY id");
        let wanted: Vec<String> = packed.iter().map(ToString::to_string).collect();
        stands && written == wanted.join("\n")
    });
    assert_eq!(daemon.stop().0, 0);
    assert_eq!(merchant.brani.refused().len(), 0);
    assert!(!merchant.brani.in_flight_twice());
    let pushed: Vec<u32> = packed.iter().copied().collect();
    for id in pushed {
        assert_eq!(
            merchant.shop.get(id, "tracking").split(", ").next(),
            Some(format!("CZ{id}").as_str())
        );
    }
    assert_eq!(
        merchant.told("event.stuck") + merchant.told("ledger.failed"),
        0,
        "{}",
        merchant.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_nothing_is_lost_in_postgres() {
    killed(Shop::postgres(), Killing::For(KILLING), 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_nothing_is_lost_in_mariadb() {
    killed(Shop::mariadb(), Killing::For(KILLING), 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a thousand kills take some twenty minutes"]
async fn killed_a_thousand_times_nothing_is_lost() {
    tokio::join!(
        killed(Shop::mariadb(), Killing::Times(500), 1),
        killed(Shop::postgres(), Killing::Times(500), 2)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_that_everybody_may_read_are_warned_of() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    let file = format!("token = {{ file = \"{}\" }}", merchant.path("token").display());
    merchant.edit(&file, "token = \"tajny-token-0123456789\"");
    fs::set_permissions(merchant.config(), fs::Permissions::from_mode(0o644)).expect("rights");
    let answer = merchant.once().exits(0);
    assert!(answer.err.contains("warning"), "{}", answer.err);
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_whose_update_waits_for_a_drain_stops_all_the_same() {
    let merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.shop.add(&Sale::new(1));
    let daemon = merchant.run();
    until("the first order stands", || merchant.brani.order_count() == 1);
    until("the door is known", || merchant.told("webhook.registered") == 2);
    merchant.brani.fault(Fault::Hang, Matcher::path("/webhook"));
    merchant.shop.change(1, "note = 'čeká'");
    daemon.ring();
    until("it waits to be sent", || {
        merchant.tell(&["status", "--json"]).exits(0).json()["orders"]["waiting"] == 1
    });
    let (code, took) = daemon.stop();
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(40), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_what_is_in_flight_and_takes_back_what_has_not_left() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    merchant.edit("rate_limit = 1000", "rate_limit = 1000\nconcurrency = 1");
    merchant.shop.add_all(&(1..=8).map(Sale::new).collect::<Vec<_>>());
    let slow = Fault::Latency { milliseconds: 3000 };
    merchant.brani.fault(slow, Matcher::upserts());
    let daemon = merchant.run();
    until("several are begun", || merchant.open_requests() > 1);
    assert_eq!(daemon.stop().0, 0);
    let stand = merchant.brani.order_count();
    assert!((1..8).contains(&stand), "{stand}");
    assert_eq!(merchant.open_requests(), 0);
    merchant.brani.heal();
    merchant.once().exits(0);
    assert_eq!(merchant.brani.order_count(), 8);
    // None is in doubt, so none is said twice.
    let status = merchant.tell(&["status", "--json"]).exits(0).json();
    assert_eq!(status["orders"]["waiting"], 0, "{status}");
    assert_eq!(merchant.upserts(), 8);
}
