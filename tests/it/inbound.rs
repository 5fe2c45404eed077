//! What the packing table did reaches the shop: the real binary, real databases, pushes and missing pushes.

use crate::merchant::{Merchant, SECRET, Sale, Shop, until};
use brani_sync::brani::time;
use brani_sync::clock::{Clock, SystemClock};
use brani_sync::sandbox::{Fault, Matcher, NewEvent, Options, Pushes};
use serde_json::{Map, Value, json};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

fn no_pushes() -> Pushes {
    Pushes {
        enabled: false,
        ..Pushes::default()
    }
}

fn code(id: u32) -> String {
    Sale::new(id).code
}

/// A shop with these orders sent, by a first `once`.
async fn sent(shop: Shop, count: u32) -> Merchant {
    let merchant = Merchant::both_ways(shop).await;
    let sales: Vec<Sale> = (1..=count).map(Sale::new).collect();
    merchant.shop.add_all(&sales);
    merchant.once().exits(0);
    assert_eq!(merchant.brani.order_count(), count as usize);
    merchant
}

async fn story(shop: Shop) {
    let merchant = sent(shop, 3).await;
    let daemon = merchant.run();
    let hooks = || merchant.tell(&["webhooks", "list", "--json"]).exits(0).json();
    until("both types are registered", || {
        hooks().as_array().is_some_and(|hooks| hooks.len() == 2)
    });
    let requests = merchant.brani.requests();
    let urls: Vec<String> = requests
        .iter()
        .filter(|request| request.method == "POST" && request.path.starts_with("/webhook"))
        .filter_map(|request| request.body.clone())
        .collect();
    for event in ["status_change", "package_number"] {
        let url = format!("http://127.0.0.1:{}/brani/{event}/{SECRET}", merchant.port);
        assert_eq!(
            urls.iter().filter(|body| body.contains(&url)).count(),
            1,
            "{urls:?}"
        );
    }
    until("the first pass is over", || {
        daemon.told("poll.pass") + merchant.upserts() as usize >= 3
    });

    merchant.brani.pack(&code(1), "Z 1234 5678 90");
    until("a push changes the row", || {
        merchant.shop.get(1, "state") == "packed"
    });
    assert_eq!(merchant.shop.get(1, "tracking"), "Z 1234 5678 90");

    let before = merchant.upserts();
    daemon.ring();
    merchant.shop.change(2, "note = 'ohlas'");
    daemon.ring();
    until("another order's change is sent", || merchant.upserts() > before);
    daemon.ring();
    merchant.shop.change(3, "note = 'ohlas 2'");
    daemon.ring();
    until("and another's", || {
        merchant
            .brani
            .order(&code(3))
            .is_some_and(|order| order["notes"]["customerRemark"] == "ohlas 2")
    });
    assert_eq!(
        merchant.upserts(),
        before + 2,
        "our own write comes back as no echo"
    );
    assert_eq!(
        merchant.brani.order(&code(1)).expect("it stands")["status"]["id"],
        -1
    );

    assert_eq!(daemon.stop().0, 0);
    assert_eq!(merchant.brani.refused().len(), 0);
    assert!(!merchant.brani.in_flight_twice());
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_changes_the_row_in_sqlite() {
    story(Shop::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_changes_the_row_in_mariadb() {
    story(Shop::mariadb()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_changes_the_row_in_postgres() {
    story(Shop::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_pushes_the_scheduled_drain_finds_it_and_writes_the_number_before_the_status() {
    let mut merchant = sent(Shop::sqlite(), 1).await;
    merchant.brani.set_pushes(no_pushes());
    merchant.edit("drain = \"1h\"", "drain = \"1s\"");
    merchant.shop.db.sql(
        "CREATE TRIGGER told AFTER UPDATE OF state ON orders WHEN old.state <> new.state
         BEGIN INSERT INTO notes VALUES (new.id, new.state || ' ' || coalesce(new.tracking, 'none')); END",
    );
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    merchant.brani.pack(&code(1), "DR0001");
    merchant.brani.add_event(NewEvent::package(&code(1), "DR0002"));
    until("the drain finds it", || merchant.shop.get(1, "state") == "packed");
    until("both numbers", || {
        merchant.shop.get(1, "tracking") == "DR0001, DR0002"
    });
    let notes = merchant.shop.db.sql("SELECT text FROM notes");
    assert!(notes.starts_with("packed DR0001"), "{notes}");
    assert_eq!(daemon.stop().0, 0);
}

/// From which creations on the listings were asked for.
fn asked_from(merchant: &Merchant) -> Vec<String> {
    let requests = merchant.brani.requests();
    let listings = requests
        .iter()
        .filter(|request| request.path.starts_with("/webhook/events/"));
    listings
        .filter_map(|request| {
            let query = url::form_urlencoded::parse(request.query.as_bytes());
            let from = query.into_owned().find(|(name, _)| name == "from_date");
            from.map(|(_, from)| from)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_reads_ten_minutes_again_and_the_first_drain_two_hours() {
    let merchant = sent(Shop::sqlite(), 1).await;
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    // Not in an hour that is repeated.
    let hours = |hours| SystemClock.now() - jiff::SignedDuration::from_hours(hours);
    let at = [hours(3), hours(6)]
        .into_iter()
        .find(|at| time::readings(&time::written(*at)).len() == 1)
        .unwrap();
    let told = |number: &str| {
        merchant
            .brani
            .add_event(NewEvent::package(&code(1), number).created(at))
    };
    told("DR1");
    until("the first number", || merchant.shop.get(1, "tracking") == "DR1");
    assert_eq!(daemon.stop().0, 0);
    let daemon = merchant.run();
    let seen = time::written(at);
    let back = |minutes| time::earlier(&seen, jiff::SignedDuration::from_mins(minutes)).unwrap();
    until("a start reads from further back", || {
        asked_from(&merchant).contains(&back(120))
    });
    told("DR2");
    until("both numbers", || merchant.shop.get(1, "tracking") == "DR1, DR2");
    assert!(asked_from(&merchant).contains(&back(10)));
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_waited_behind_a_slow_one_goes_not_over_what_the_packer_did_meanwhile() {
    let mut merchant = sent(Shop::sqlite(), 2).await;
    merchant.edit("timeout = \"5s\"", "timeout = \"60s\"\nconcurrency = 1");
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    let slow = Fault::Latency { milliseconds: 9000 };
    merchant.brani.fault_times(1, slow, Matcher::upserts());
    merchant.shop.change(1, "note = 'jiná adresa'");
    merchant.shop.change(2, "note = 'jiná adresa'");
    daemon.ring();
    until("both are decided, and one is on its way", || {
        merchant.open_requests() == 2
    });
    for id in [1, 2] {
        merchant.brani.set_status_at_packing_table(&code(id), -1);
    }
    until("both changes stand", || {
        [1, 2].into_iter().all(|id| {
            let order = merchant.brani.order(&code(id));
            order.is_some_and(|order| order["notes"]["customerRemark"] == "jiná adresa")
        })
    });
    let requests = merchant.brani.requests();
    let updates: Vec<_> = requests
        .iter()
        .filter(|request| request.path == "/order/upsert")
        .skip(2)
        .collect();
    let waited: Vec<Value> = updates
        .iter()
        .filter(|request| request.code != updates[0].code)
        .filter_map(|request| serde_json::from_str(request.body.as_deref()?).ok())
        .collect();
    assert!(!waited.is_empty());
    for body in waited {
        assert_eq!(body["data"]["status"]["id"], -1, "{body}");
    }
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_statuses_alternately_pushed_and_not_the_last_one_stands() {
    let merchant = sent(Shop::mariadb(), 2).await;
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    for number in 0..20 {
        let pushed = number % 2 == 0;
        merchant.brani.set_pushes(Pushes {
            enabled: pushed,
            ..Pushes::default()
        });
        let status = if number % 4 < 2 { -1 } else { 1 };
        merchant.brani.set_status_at_packing_table(&code(1), status);
        tokio::time::sleep(Duration::from_millis(37 * (number % 3))).await;
    }
    merchant.brani.set_status_at_packing_table(&code(1), 2);
    daemon.ring();
    until("the last one stands", || {
        merchant.shop.get(1, "state") == "shipped"
    });
    daemon.ring();
    let open = || merchant.tell(&["status", "--json"]).exits(0).json()["events"]["new"].clone();
    until("no event waits", || open().is_null() || open() == 0);
    assert_eq!(merchant.shop.get(1, "state"), "shipped");
    // A request of ours may have crossed the packer's last change; then Brani is told its own status again.
    until("both sides agree", || {
        merchant
            .brani
            .order(&code(1))
            .is_some_and(|order| order["status"]["id"] == 2)
    });
    assert_eq!(merchant.shop.get(1, "state"), "shipped");
    assert_eq!(daemon.stop().0, 0);
    let events = merchant
        .tell(&["events", "list", "--order", &code(1), "--json"])
        .exits(0)
        .json();
    assert_eq!(events.as_array().map(Vec::len), Some(21));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_order_stays_cancelled_and_brani_learns_it() {
    let merchant = sent(Shop::postgres(), 2).await;
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    merchant.shop.change(1, "state = 'cancelled'");
    merchant.brani.pack(&code(1), "CZ1");
    until("Brani learns it", || {
        merchant
            .brani
            .order(&code(1))
            .is_some_and(|order| order["status"]["id"] == -4)
    });
    daemon.ring();
    until("the event is dealt with", || {
        let told = merchant
            .tell(&["events", "list", "--order", &code(1), "--json"])
            .exits(0)
            .json();
        let told = told.as_array().expect("a list");
        told.iter()
            .any(|event| event["type"] == "status_change" && event["state"] != "new")
    });
    assert_eq!(merchant.shop.get(1, "state"), "cancelled");
    assert_eq!(daemon.stop().0, 0);
    merchant.once().exits(0);
    assert_eq!(merchant.shop.get(1, "state"), "cancelled");
    assert_eq!(
        merchant.brani.order(&code(1)).expect("it stands")["status"]["id"],
        -4
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_ledger_learns_what_was_packed_and_overwrites_nothing() {
    for shop in [Shop::sqlite(), Shop::mariadb()] {
        let merchant = sent(shop, 3).await;
        let daemon = merchant.run();
        until("registered", || daemon.told("webhook.registered") == 2);
        assert_eq!(daemon.stop().0, 0);
        // The clock of the shop's column and of the events counts seconds.
        tokio::time::sleep(Duration::from_millis(2100)).await;
        merchant.brani.set_pushes(no_pushes());
        merchant.brani.pack(&code(1), "CZ1");
        for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let _ = std::fs::remove_file(merchant.path("state").join(file));
        }
        merchant.once().exits(0);
        assert_eq!(
            merchant.brani.order(&code(1)).expect("it stands")["status"]["id"],
            -1
        );
        assert_eq!(merchant.shop.get(1, "state"), "packed");
        assert_eq!(merchant.shop.get(1, "tracking"), "CZ1");
        assert_eq!(
            merchant.brani.order(&code(2)).expect("it stands")["status"]["id"],
            1
        );
        // The row that was written while it was first read is said once more, at most.
        let before = merchant.upserts();
        merchant.once().exits(0);
        assert!(merchant.upserts() <= before + 1, "{}", merchant.log());
        let before = merchant.upserts();
        merchant.once().exits(0);
        assert_eq!(merchant.upserts(), before, "{}", merchant.log());
        assert_eq!(
            merchant.brani.order(&code(1)).expect("it stands")["status"]["id"],
            -1
        );
        assert_eq!(merchant.shop.get(1, "state"), "packed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_hangs_delays_nobody_else() {
    let mut merchant = sent(Shop::sqlite(), 3).await;
    // Takes connections and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            kept.push(stream);
        }
    });
    merchant.add(&format!(
        "[writeback.balic_packed]\nhttp = {{ url = \"http://127.0.0.1:{port}/packed\" }}\n"
    ));
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 3);
    merchant
        .brani
        .add_event(NewEvent::plain("balic_packed", &code(1)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    merchant.brani.pack(&code(2), "CZ2");
    merchant.brani.set_status_at_packing_table(&code(3), 2);
    until("order 3 does not wait", || {
        merchant.shop.get(3, "state") == "shipped"
    });
    merchant.shop.change(1, "note = 'nezdržovat'");
    daemon.ring();
    until("the way out does not wait", || {
        merchant
            .brani
            .order(&code(1))
            .is_some_and(|order| order["notes"]["customerRemark"] == "nezdržovat")
    });
    assert_eq!(
        merchant.told("writeback.balic_packed.away") + merchant.told("event.failed"),
        1,
        "told once"
    );
    let (code, took) = daemon.stop();
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(40), "stopping took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_events_have_an_outcome_each_and_hold_up_nothing() {
    for shop in [Shop::mariadb(), Shop::postgres()] {
        let merchant = sent(shop, 3).await;
        let daemon = merchant.run();
        until("registered", || daemon.told("webhook.registered") == 2);
        let evil = "x'; UPDATE orders SET state = 'owned'; -- \\";
        merchant.brani.add_event(NewEvent::status(evil, -1));
        merchant.brani.add_event(NewEvent::status(&code(1), 987_654));
        let long = "9".repeat(10_000);
        merchant.brani.add_event(NewEvent::package(&code(2), &long));
        merchant.brani.pack(&code(3), "'); DROP TABLE orders; --");
        until("order 3 is packed", || merchant.shop.get(3, "state") == "packed");
        assert_eq!(merchant.shop.get(3, "tracking"), "'); DROP TABLE orders; --");
        let outcome = |order: &str| {
            let list = merchant
                .tell(&["events", "list", "--order", order, "--json"])
                .exits(0)
                .json();
            list[0]["state"].as_str().unwrap_or("none").to_owned()
        };
        until("the unknown code", || outcome(evil) == "unmatched");
        until("the unknown status", || outcome(&code(1)) == "unmapped");
        until("the long number", || {
            ["applied", "stuck"].contains(&outcome(&code(2)).as_str())
        });
        assert_eq!(merchant.shop.get(1, "state"), "processing");
        assert_eq!(merchant.told("event.unmapped"), 1);
        assert_eq!(daemon.stop().0, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_its_shop_hides_for_a_moment_is_written_when_it_is_back() {
    // As OpenCart does while an order is being edited.
    let merchant = sent(Shop::mariadb(), 2).await;
    merchant
        .shop
        .db
        .sql("CREATE TABLE aside AS SELECT * FROM orders WHERE id = 1; DELETE FROM orders WHERE id = 1");
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    merchant.brani.pack(&code(1), "Z 1");
    until("tried in vain", || {
        merchant
            .tell(&["events", "list", "--order", &code(1)])
            .exits(0)
            .out
            .contains("does not show the order at this moment")
    });
    merchant
        .shop
        .db
        .sql("INSERT INTO orders SELECT * FROM aside; DROP TABLE aside");
    until("the number", || merchant.shop.get(1, "tracking") == "Z 1");
    until("the status", || merchant.shop.get(1, "state") == "packed");
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_two_webhooks_tell_is_written_once_and_a_strangers_webhook_is_left_alone() {
    let merchant = sent(Shop::sqlite(), 1).await;
    merchant.shop.db.sql(
        "CREATE TRIGGER told AFTER UPDATE ON orders BEGIN INSERT INTO notes VALUES (new.id, new.state); END",
    );
    let stranger = merchant
        .brani
        .register("status_change", "http://127.0.0.1:9/stary-skript.php?klic=tajny");
    let other = merchant
        .brani
        .register("package_number", "http://127.0.0.1:9/stary-skript.php?klic=tajny");
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    merchant.brani.set_status_at_packing_table(&code(1), -1);
    merchant.brani.add_event(NewEvent::package(&code(1), "CZ1"));
    until("packed", || {
        merchant.shop.get(1, "state") == "packed" && merchant.shop.get(1, "tracking") == "CZ1"
    });
    daemon.ring();
    let open = || merchant.tell(&["status", "--json"]).exits(0).json()["events"].clone();
    until("no event waits", || {
        open()["new"].is_null() && open().as_object().is_some()
    });
    assert_eq!(daemon.stop().0, 0);
    let writes = merchant.shop.db.sql("SELECT count(*) FROM notes");
    assert_eq!(writes, "2", "one write for the status, one for the number");
    let hooks = merchant.tell(&["webhooks", "list", "--json"]).exits(0).json();
    let ids: Vec<i64> = hooks
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|hook| hook["id"].as_i64())
        .collect();
    assert!(ids.contains(&stranger) && ids.contains(&other), "{hooks}");
    assert_eq!(merchant.told("webhook.foreign"), 2);
    assert!(!merchant.log().contains("klic=tajny"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_caps_its_pages_is_read_to_its_end() {
    let options = Options {
        page_size_max: 3,
        empty_listing_status: 200,
        pushes: no_pushes(),
        ..Options::default()
    };
    let mut merchant = Merchant::with(Shop::sqlite(), options).await;
    merchant.hear();
    let sales: Vec<Sale> = (1..=10).map(Sale::new).collect();
    merchant.shop.add_all(&sales);
    let daemon = merchant.run();
    until("all stand", || merchant.brani.order_count() == 10);
    until("registered", || daemon.told("webhook.registered") == 2);
    for sale in &sales {
        merchant.brani.pack(&sale.code, "CZ");
    }
    daemon.ring();
    let packed = "SELECT count(*) FROM orders WHERE state = 'packed' AND tracking = 'CZ'";
    until("all are packed", || merchant.shop.db.sql(packed) == "10");
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_push_costs_a_look_and_nothing_else() {
    let merchant = sent(Shop::sqlite(), 1).await;
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    let say = |path: &str| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", merchant.port)).expect("it listens");
        let body = json!({"order_code": code(1), "status_id": 2}).to_string();
        let text = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).expect("it takes it");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert!(say("/brani/status_change/hadej").starts_with("HTTP/1.1 404"));
    let asked = || -> u64 {
        let counts = merchant.brani.counts().by_path;
        let listings = counts
            .iter()
            .filter(|(path, _)| path.starts_with("GET /webhook/events"));
        listings.map(|(_, count)| count).sum()
    };
    let before = asked();
    let slow = Fault::Latency { milliseconds: 700 };
    merchant.brani.fault(slow, Matcher::path("/webhook"));
    let began = Instant::now();
    // Replayed a hundred times while one look is under way.
    for _ in 0..100 {
        assert!(say(&format!("/brani/status_change/{SECRET}")).starts_with("HTTP/1.1 200"));
    }
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(30),
        "no answer waits for the drain: {took:?}"
    );
    until("somebody looked", || asked() > before + 2);
    merchant.brani.heal();
    // Once nobody looks any more: each look lists two webhooks, and took three slow answers.
    let mut looks = asked();
    loop {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        match asked() {
            same if same == looks => break,
            more => looks = more,
        }
    }
    let (looks, most) = (looks - before, 2 * (3 + took.as_secs() / 2));
    assert!(looks <= most, "{looks} listings for 100 pushes in {took:?}");
    assert_eq!(
        merchant.shop.get(1, "state"),
        "processing",
        "what a push says is not believed"
    );
    merchant.brani.set_status_at_packing_table(&code(1), -1);
    until("the true event counts", || {
        merchant.shop.get(1, "state") == "packed"
    });
    assert_eq!(daemon.stop().0, 0);
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_general_event_reaches_its_handler_and_an_order_history_its_file() {
    let mut merchant = sent(Shop::sqlite(), 1).await;
    let file = merchant.path("events.jsonl");
    merchant.add(&format!(
        "[writeback.task_created]\njsonl = \"{0}\"\n[writeback.order_history]\njsonl = \"{0}\"\n",
        file.display()
    ));
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 4);
    let payload: Map<String, Value> = Map::from_iter([("task_id".to_owned(), json!(7))]);
    merchant
        .brani
        .add_event(NewEvent::general("task_created", payload));
    merchant
        .brani
        .add_event(NewEvent::history(&code(1), "Zabaleno, Žofie"));
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    until("both are told", || read().lines().count() == 2);
    assert!(
        read().contains("Zabaleno, Žofie") && read().contains("task_created"),
        "{}",
        read()
    );
    assert_eq!(daemon.stop().0, 0);
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shops_people_read_in_the_shop_what_is_parked_and_what_no_longer_is() {
    for shop in [Shop::mariadb(), Shop::postgres()] {
        let mut merchant = Merchant::both_ways(shop).await;
        merchant.add(
            "[writeback.parked]\nsql = [\"INSERT INTO notes (order_id, text) VALUES (:key, :reason)\"]\n\
             [writeback.unparked]\nsql = [\"INSERT INTO notes (order_id, text) VALUES (:key, 'sent')\"]\n",
        );
        merchant
            .shop
            .add_all(&[Sale::new(1), Sale::new(2).shipping("posel")]);
        let daemon = merchant.run();
        let notes = || merchant.shop.db.sql("SELECT order_id, text FROM notes");
        until("told in the shop", || notes().contains("posel"));
        daemon.ring();
        merchant.shop.change(1, "note = 'dál'");
        daemon.ring();
        until("others go on", || {
            merchant
                .brani
                .order(&code(1))
                .is_some_and(|order| order["notes"]["customerRemark"] == "dál")
        });
        assert_eq!(notes().lines().count(), 1, "told once: {}", notes());
        merchant.shop.change(2, "shipping = 'zasilkovna'");
        daemon.ring();
        until("told that it is over", || notes().ends_with("2\tsent"));
        assert_eq!(daemon.stop().0, 0);
        assert_eq!(notes().lines().count(), 2, "{}", notes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn even_a_talkative_log_gives_nobody_away() {
    for shop in [Shop::sqlite(), Shop::mariadb(), Shop::postgres()] {
        let mut merchant = Merchant::both_ways(shop).await;
        merchant.edit("level = \"info\"", "level = \"trace\"");
        merchant.shop.add_all(&(1..=4).map(Sale::new).collect::<Vec<_>>());
        merchant.shop.add(&Sale::new(5).shipping("posel"));
        // A field that is no number of its own, and one that is longer than Brani takes.
        merchant
            .shop
            .change(3, "email = 'zakaznik3@soukromy.invalid, tajny@soukromy.invalid'");
        merchant
            .shop
            .change(4, &format!("phone = '+420 601 23{}'", "9".repeat(150)));
        merchant.brani.fail_code(&code(2), 422);
        let daemon = merchant.run();
        until("one stands", || merchant.brani.order(&code(1)).is_some());
        until("registered", || daemon.told("webhook.registered") == 2);
        merchant.brani.pack(&code(1), "CZ1");
        until("packed", || merchant.shop.get(1, "state") == "packed");
        merchant.brani.heal();
        merchant.tell(&["orders", "retry", "--all"]);
        until("the refused one stands", || {
            merchant.brani.order(&code(2)).is_some()
        });
        merchant.tell(&["status"]).exits(0);
        merchant.tell(&["check"]);
        assert_eq!(daemon.stop().0, 0);
        merchant.keeps_secrets();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_deleted_at_brani_is_registered_again_and_the_gap_is_told_once() {
    let merchant = sent(Shop::sqlite(), 2).await;
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    merchant.brani.pack(&code(1), "DR0001");
    until("packed", || merchant.shop.get(1, "state") == "packed");

    let hooks = merchant.tell(&["webhooks", "list", "--json"]).exits(0).json();
    for hook in hooks.as_array().unwrap() {
        merchant.brani.remove_webhook(hook["id"].as_i64().unwrap());
    }
    daemon.ring();
    until("registered again", || daemon.told("webhook.registered") == 4);
    until("the gap is told", || daemon.told("webhook.gone") == 2);
    merchant.brani.pack(&code(2), "DR0002");
    until("the new ones work", || merchant.shop.get(2, "state") == "packed");
    assert_eq!(daemon.told("webhook.gone"), 2, "told once each");
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_dated_ahead_hides_none_that_come_after_it() {
    let mut merchant = sent(Shop::sqlite(), 2).await;
    merchant.brani.set_pushes(no_pushes());
    merchant.edit("drain = \"1h\"", "drain = \"1s\"");
    let daemon = merchant.run();
    until("registered", || daemon.told("webhook.registered") == 2);
    for event in [NewEvent::status(&code(2), -1), NewEvent::package(&code(2), "Z2")] {
        merchant.brani.add_event(NewEvent {
            created: Some("9998-06-01T10:00:00Z".parse().expect("a time")),
            ..event
        });
    }
    until("it is told", || daemon.told("drain.event_ahead") == 2);
    until("it is written all the same", || {
        merchant.shop.get(2, "tracking") == "Z2"
    });
    merchant.brani.pack(&code(1), "Z1");
    until("what comes later is found", || {
        merchant.shop.get(1, "state") == "packed" && merchant.shop.get(1, "tracking") == "Z1"
    });
    assert_eq!(daemon.told("drain.event_ahead"), 2, "told once each");
    assert_eq!(daemon.stop().0, 0);
}
