//! Brani away, the shop's database away, a wrong token: told once, mended by itself.

use crate::merchant::{Merchant, Sale, Shop, TOKEN, until};
use crate::support::{mysql, psql};
use brani_sync::database::parameters::Dialect;
use brani_sync::sandbox::{Fault, Matcher};
use std::time::Duration;

fn weighty(merchant: &Merchant, level: &str) -> Vec<serde_json::Value> {
    let mut lines = merchant.lines();
    lines.retain(|line| line["level"] == level);
    lines
}

fn status(status: u16) -> Fault {
    Fault::Status {
        status,
        retry_after: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_is_one_error_that_names_the_secret_and_no_hammering() {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.edit("poll = \"1h\"", "poll = \"1s\"");
    merchant.edit("drain = \"1h\"", "drain = \"1s\"");
    merchant.secret("token", "spatny-token-9876543210");
    merchant
        .shop
        .add_all(&(1..=20).map(Sale::new).collect::<Vec<_>>());
    let daemon = merchant.run();
    until("told", || !weighty(&merchant, "ERROR").is_empty());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let errors = weighty(&merchant, "ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0]["message"]
            .as_str()
            .is_some_and(|told| told.contains("brani.token")),
        "{errors:?}"
    );
    let requests = merchant.brani.counts().requests;
    assert!(requests < 20, "{requests} requests with a wrong token");
    let answer = merchant.tell(&["check"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    merchant.secret("token", TOKEN);
    merchant.tell(&["reload"]).exits(0);
    until("all orders stand", || merchant.brani.order_count() == 20);
    assert_eq!(daemon.stop().0, 0);
    assert!(!merchant.log().contains("spatny-token"));
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brani_away_is_told_once_parks_nothing_and_is_caught_up_with() {
    let mut merchant = Merchant::both_ways(Shop::mariadb()).await;
    merchant.edit("poll = \"1h\"", "poll = \"1s\"");
    merchant.edit("drain = \"1h\"", "drain = \"1s\"");
    merchant.shop.add_all(&(1..=3).map(Sale::new).collect::<Vec<_>>());
    let daemon = merchant.run();
    until("the first orders stand", || merchant.brani.order_count() == 3);
    for fault in [status(503), Fault::Cut] {
        let from = merchant.told("brani.unreachable");
        let over = merchant.told("brani.unreachable.over");
        let before = merchant.brani.order_count();
        merchant.brani.fault(fault, Matcher::any());
        let ids: Vec<u32> = (1..=5)
            .map(|n| u32::try_from(before).expect("small") + n)
            .collect();
        merchant
            .shop
            .add_all(&ids.iter().copied().map(Sale::new).collect::<Vec<_>>());
        until("told", || merchant.told("brani.unreachable") > from);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(merchant.told("brani.unreachable"), from + 1, "told once");
        merchant.brani.heal();
        until("caught up", || merchant.brani.order_count() == before + 5);
        until("told that it is over", || {
            merchant.told("brani.unreachable.over") == over + 1
        });
    }
    assert_eq!(weighty(&merchant, "ERROR").len(), 0, "{}", merchant.log());
    assert_eq!(daemon.stop().0, 0);
    let parked = merchant.tell(&["status", "--json"]).exits(0).json();
    assert_eq!(parked["orders"]["parked"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_orders_fail_it_is_told_once_although_drains_succeed() {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.edit("drain = \"1h\"", "drain = \"1s\"");
    merchant.brani.fault(status(500), Matcher::upserts());
    merchant.shop.add_all(&(1..=6).map(Sale::new).collect::<Vec<_>>());
    let daemon = merchant.run();
    until("told", || merchant.told("brani.unreachable") == 1);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(merchant.told("brani.unreachable"), 1, "{}", merchant.log());
    assert_eq!(merchant.told("brani.unreachable.over"), 0, "{}", merchant.log());
    merchant.brani.heal();
    until("caught up", || merchant.brani.order_count() == 6);
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brani_away_at_the_start_is_waited_for() {
    let merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.shop.add(&Sale::new(1));
    merchant.brani.fault(Fault::Cut, Matcher::any());
    let answer = merchant.once().exits(1);
    assert!(answer.err.contains("Brani"), "{}", answer.err);
    let daemon = merchant.run();
    until("told", || daemon.told("brani.unreachable") == 1);
    merchant.brani.heal();
    until("sent by itself", || merchant.brani.order_count() == 1);
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_brani_refuses_is_parked_and_the_others_go_on() {
    let merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.shop.add_all(&(1..=5).map(Sale::new).collect::<Vec<_>>());
    merchant.brani.fail_code(&Sale::new(3).code, 500);
    merchant.brani.fail_code(&Sale::new(4).code, 422);
    let daemon = merchant.run();
    until("the others stand", || merchant.brani.order_count() == 3);
    until("the refused one is parked", || merchant.told("order.parked") == 1);
    merchant.shop.add(&Sale::new(6));
    daemon.ring();
    until("later ones too", || merchant.brani.order_count() == 4);
    merchant.brani.heal();
    merchant.tell(&["orders", "retry", &Sale::new(4).code]).exits(0);
    until("all stand", || merchant.brani.order_count() == 6);
    assert_eq!(daemon.stop().0, 0);
}

/// Cuts every session of the shop's database and lets nobody in for a while.
async fn shop_away(shop: Shop) {
    let mut merchant = Merchant::both_ways(shop).await;
    merchant.edit("poll = \"1h\"", "poll = \"1s\"");
    merchant.shop.add(&Sale::new(1));
    let daemon = merchant.run();
    until("the first order stands", || merchant.brani.order_count() == 1);
    let name = merchant.shop.db.name.clone();
    let cut = || match merchant.shop.db.dialect {
        Dialect::Mysql => {
            let ids = mysql(
                "mysql",
                &format!("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{name}'"),
            );
            for id in ids.lines() {
                let _ = std::panic::catch_unwind(|| mysql("mysql", &format!("KILL {id}")));
            }
        }
        _ => drop(psql(
            "postgres",
            &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
        )),
    };
    for round in 0..5 {
        cut();
        merchant.shop.change(1, &format!("note = 'po odpojení {round}'"));
        merchant.brani.add_event(brani_sync::sandbox::NewEvent::package(
            &Sale::new(1).code,
            &format!("CZ{round}"),
        ));
    }
    cut();
    until("the last change stands", || {
        merchant
            .brani
            .order(&Sale::new(1).code)
            .is_some_and(|order| order["notes"]["customerRemark"] == "po odpojení 4")
    });
    until("the numbers are written", || {
        merchant.shop.get(1, "tracking") == "CZ0, CZ1, CZ2, CZ3, CZ4"
    });
    if merchant.shop.db.dialect == Dialect::Postgres {
        let count = |over: &str| {
            ["shop.unreachable", "shop.query_failed"]
                .iter()
                .map(|name| merchant.told(&format!("{name}{over}")))
                .sum::<usize>()
        };
        // A cut may have met a poll, too.
        until("what the cuts did is over", || count("") == count(".over"));
        let before = count("");
        psql(
            "postgres",
            &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        );
        cut();
        merchant.brani.set_status_at_packing_table(&Sale::new(1).code, -1);
        until("told", || count("") > before);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(count(""), before + 1, "{}", merchant.log());
        psql(
            "postgres",
            &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
        );
        until("written", || merchant.shop.get(1, "state") == "packed");
    }
    assert_eq!(daemon.stop().0, 0);
    assert_eq!(merchant.told("event.stuck"), 0);
    assert!(!merchant.brani.in_flight_twice());
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_sessions_of_mariadb_are_mended() {
    shop_away(Shop::mariadb()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_sessions_of_postgres_are_mended_and_a_closed_database_is_waited_for() {
    shop_away(Shop::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_query_is_told_with_its_name_and_mended_by_a_reload() {
    let mut merchant = Merchant::new(Shop::mariadb()).await;
    merchant.shop.add(&Sale::new(1));
    merchant.shop.db.sql("ALTER TABLE orders CHANGE note remark TEXT");
    let answer = merchant.once().exits(1);
    assert!(
        answer.err.contains("shop.source.orders") && answer.err.contains("note"),
        "{}",
        answer.err
    );
    let daemon = merchant.run();
    until("told", || daemon.told("shop.query_failed") == 1);
    merchant.edit("o.note AS", "o.remark AS");
    merchant.tell(&["reload"]).exits(0);
    until("sent", || merchant.brani.order_count() == 1);
    assert_eq!(daemon.stop().0, 0);
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_deleted_once_more_when_a_late_request_may_have_brought_it_back() {
    let merchant = Merchant::new(Shop::sqlite()).await;
    let sales: Vec<Sale> = (1..=2).map(Sale::new).collect();
    merchant.shop.add_all(&sales);
    merchant.once().exits(0);
    assert_eq!(merchant.brani.order_count(), 2);
    let code = sales[0].code.as_str();
    let of_this_one = Matcher {
        method: Some("POST".into()),
        code: Some(code.into()),
        ..Matcher::default()
    };
    merchant
        .brani
        .fault_times(1, Fault::Late { milliseconds: 8_000 }, of_this_one.clone());
    merchant.brani.fault(status(503), of_this_one);
    merchant.shop.change(1, "note = 'volat předem'");
    merchant.once();
    merchant.brani.heal();
    merchant
        .tell(&["orders", "delete", code, &sales[1].code])
        .exits(0);
    merchant.once().exits(0);
    assert_eq!(merchant.brani.order_count(), 0, "both are deleted");
    until("the late request has landed", || {
        merchant.brani.order(code).is_some()
    });
    let ledger = rusqlite::Connection::open(merchant.ledger()).unwrap();
    let five_minutes_pass = "UPDATE orders SET say_again = say_again - 300000";
    assert_eq!(ledger.execute(five_minutes_pass, []).unwrap(), 2);
    merchant.once().exits(0);
    assert_eq!(merchant.brani.order_count(), 0, "it does not stand there again");
    merchant.once().exits(0);
    let mut deleted = merchant.brani.deleted();
    deleted.sort();
    assert_eq!(
        deleted,
        [code, code, &sales[1].code],
        "once more, and the other one not"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_only_said_once_more_is_told_apart_from_what_waits() {
    let merchant = Merchant::new(Shop::sqlite()).await;
    let sale = Sale::new(1);
    merchant.shop.add(&sale);
    merchant.once().exits(0);
    let upserts = Matcher {
        method: Some("POST".into()),
        code: Some(sale.code),
        ..Matcher::default()
    };
    merchant.brani.fault_times(1, Fault::LostReply, upserts);
    merchant.shop.change(1, "note = 'volat předem'");
    until("it was sent again", || {
        merchant.once();
        merchant.upserts() == 3
    });
    let lanes = merchant.tell(&["status", "--json"]).exits(0).json()["waiting_by_lane"].clone();
    assert_eq!(
        lanes,
        serde_json::json!({"new": 0, "update": 0, "backlog": 0, "resend": 0, "again": 1})
    );
    let told = merchant.tell(&["status"]).exits(0).out;
    assert!(
        told.contains("waiting: 1 sent and said once more in a few minutes\n"),
        "{told}"
    );
}
