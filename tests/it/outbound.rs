//! Orders leave a shop's database and stand in Brani: the real binary, real databases, a strict Brani.

use crate::merchant::{Column, Merchant, Sale, Shop, until};
use crate::support::{MariaDb, Postgres, Sqlite};
use brani_sync::sandbox::{Fault, Matcher};
use serde_json::{Value, json};

/// What of an order must stand at Brani byte for byte.
#[track_caller]
fn stands(merchant: &Merchant, sale: &Sale) {
    let order = merchant
        .brani
        .order(&sale.code)
        .unwrap_or_else(|| panic!("`{}` does not stand:\n{}", sale.code, merchant.log()));
    let found = json!({
        "code": order["code"], "email": order["email"], "phone": order["phone"],
        "name": order["deliveryAddress"]["fullName"], "street": order["deliveryAddress"]["street"],
        "city": order["deliveryAddress"]["city"], "note": order["notes"]["customerRemark"],
        "goods": order["items"][0]["name"], "count": order["items"].as_array().map(Vec::len),
        "total": order["price"]["withVat"],
    });
    let wanted = json!({
        "code": sale.code, "email": sale.email, "phone": sale.phone, "name": sale.name, "street": sale.street,
        "city": sale.city, "note": sale.note, "goods": sale.goods, "count": 2, "total": "1249.90",
    });
    assert_eq!(found, wanted);
}

fn parked(merchant: &Merchant) -> Vec<String> {
    let list = merchant
        .tell(&["orders", "list", "--state", "parked", "--json"])
        .exits(0);
    let list = list.json();
    let codes = list.as_array().expect("a list").iter();
    codes
        .map(|order| order["code"].as_str().expect("a code").to_owned())
        .collect()
}

/// The whole main job on one database and one way of writing times.
async fn story(shop: Shop) {
    let mut merchant = Merchant::new(shop).await;
    let mut sales: Vec<Sale> = (1..=8).map(Sale::new).collect();
    sales[4] = Sale::new(5).code("Č-5/ž 🎁");
    merchant.shop.add_all(&sales);
    let unpaid = Sale::new(20).state("waiting");
    let odd = Sale::new(21).shipping("posel");
    merchant.shop.add_all(&[unpaid.clone(), odd.clone()]);

    let account = merchant.once().exits(2).out;
    assert!(
        account.contains("read 10 orders of the shop, sent 8 to Brani"),
        "{account}"
    );
    for sale in &sales {
        stands(&merchant, sale);
    }
    assert_eq!(merchant.brani.order_count(), 8, "unpaid and odd ones stay");
    assert_eq!(merchant.upserts(), 8);
    assert_eq!(
        merchant.brani.refused().len(),
        0,
        "{:?}",
        merchant.brani.refused()
    );
    let requests = merchant.brani.requests();
    let place = |path: &str| requests.iter().position(|r| r.method == "POST" && r.path == path);
    let info = requests
        .iter()
        .position(|r| r.method == "POST" && r.path != "/order/upsert");
    assert!(info < place("/order/upsert"), "e-shop info goes first");
    assert_eq!(merchant.brani.eshop_info_posts(), 1);

    assert_eq!(parked(&merchant), [odd.code.as_str()]);
    let told = merchant.tell(&["explain", &odd.code, "--json"]).exits(0).json();
    assert_eq!(told["state"], "parked");
    assert_eq!(told["problems"][0]["found"], "posel", "{told}");
    let status = merchant.tell(&["status", "--json"]).exits(0).json();
    assert_eq!(status["orders"]["sent"], 8);
    assert_eq!(status["parked"][0]["code"], odd.code.as_str());

    merchant.once().exits(2);
    assert_eq!(merchant.upserts(), 8, "unchanged orders cost nothing");

    merchant.shop.change(1, "state = state");
    merchant.once().exits(2);
    assert_eq!(merchant.upserts(), 8, "a touched but equal order costs nothing");

    merchant.shop.change(2, "note = 'Jiná poznámka 🌷'");
    merchant.once().exits(2);
    assert_eq!(merchant.upserts(), 9, "one change, one request");
    let order = merchant.brani.order(&sales[1].code).expect("it stands");
    assert_eq!(order["notes"]["customerRemark"], "Jiná poznámka 🌷");

    merchant.add("[[eshop_info.shipping]]\nshop = \"posel\"\nname = \"Posel\"\n");
    merchant.once().exits(0);
    stands(&merchant, &odd);
    assert_eq!(merchant.brani.eshop_info_posts(), 2);

    merchant.shop.change(20, "state = 'processing'");
    merchant.once().exits(0);
    stands(&merchant, &unpaid);
    assert_eq!(merchant.upserts(), 11);
    assert_eq!(merchant.brani.refused().len(), 0);
    assert!(!merchant.brani.in_flight_twice());
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_with_text_times() {
    story(Shop::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_with_epoch_times() {
    story(Shop::new(Sqlite::create(), Column::Epoch)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_with_datetime() {
    story(Shop::mariadb()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_with_timestamp() {
    story(Shop::new(MariaDb::create(), Column::Zoned)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_with_text_times() {
    story(Shop::new(MariaDb::create(), Column::Text)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_with_epoch_times() {
    story(Shop::new(MariaDb::create(), Column::Epoch)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_with_timestamp() {
    story(Shop::new(Postgres::create(), Column::Local)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_with_timestamptz() {
    story(Shop::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_with_text_times() {
    story(Shop::new(Postgres::create(), Column::Text)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_with_epoch_times() {
    story(Shop::new(Postgres::create(), Column::Epoch)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_mended_in_the_shop_is_unparked_by_the_next_poll() {
    let merchant = Merchant::new(Shop::mariadb()).await;
    merchant
        .shop
        .add_all(&[Sale::new(1).shipping("posel"), Sale::new(2)]);
    merchant.once().exits(2);
    assert_eq!(merchant.brani.order_count(), 1);
    merchant.shop.change(1, "shipping = 'zasilkovna'");
    merchant.once().exits(0);
    stands(&merchant, &Sale::new(1));
    assert_eq!(merchant.upserts(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_sends_nothing_and_keeps_nothing() {
    let merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant
        .shop
        .add_all(&[Sale::new(1), Sale::new(2).shipping("posel")]);
    merchant.tell(&["once", "--dry-run"]).exits(0);
    let writes: Vec<_> = merchant
        .brani
        .requests()
        .into_iter()
        .filter(|r| r.method != "GET")
        .collect();
    assert_eq!(writes.len(), 0, "{writes:?}");
    let status = merchant.tell(&["status", "--json"]).exits(0).json();
    assert_eq!(
        status["orders"],
        json!({"waiting": 0, "sent": 0, "parked": 0, "deleted": 0})
    );
    let daemon = merchant.start(&["run", "--dry-run"]);
    until("the dry daemon has read the shop", || {
        daemon.told("poll.pass") > 0
    });
    assert_eq!(daemon.stop().0, 0);
    let writes: Vec<_> = merchant
        .brani
        .requests()
        .into_iter()
        .filter(|r| r.method != "GET")
        .collect();
    assert_eq!(writes.len(), 0, "{writes:?}");
    let listed: Value = merchant
        .tell(&["orders", "list", "--state", "all", "--json"])
        .exits(0)
        .json();
    assert_eq!(listed, json!([]));
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_goes_out_while_everything_is_read_again() {
    let mut merchant = Merchant::new(Shop::mariadb()).await;
    merchant.shop.add_all(&[Sale::new(1), Sale::new(2)]);
    // The first order's row makes a read of everything slow; polls and look-ups do not come across it.
    merchant
        .shop
        .db
        .sql("CREATE TABLE pace (seconds INT); INSERT INTO pace VALUES (0)");
    merchant.edit(
        "FROM orders o WHERE o.updated_at >= :since ORDER",
        "FROM orders o WHERE o.updated_at >= :since AND (o.id <> 1 OR SLEEP((SELECT seconds FROM pace)) = 0) ORDER",
    );
    let orders = "SELECT o.id AS _key, o.updated_at AS _cursor, o.code AS code, o.created_at AS \"creationTime\", \
                  o.email AS email, o.phone AS phone, o.state AS _status, o.shipping AS _shipping, o.payment AS _payment, \
                  o.paid AS paid, o.total AS \"price.withVat\", 'CZK' AS \"price.currencyCode\", \
                  o.name AS \"deliveryAddress.fullName\", o.street AS \"deliveryAddress.street\", \
                  o.city AS \"deliveryAddress.city\", o.zip AS \"deliveryAddress.zip\", \
                  'CZ' AS \"deliveryAddress.countryCode\", o.note AS \"notes.customerRemark\" FROM orders o";
    merchant.add(&format!(
        "[shop.source.lookup]\nquery = '''{orders} WHERE o.code IN (:codes)'''\n"
    ));
    merchant.once().exits(0);
    assert_eq!(merchant.upserts(), 2);
    merchant.shop.db.sql(&format!(
        "UPDATE orders SET updated_at = {} WHERE id = 1",
        merchant.shop.moment(-86_400)
    ));
    let daemon = merchant.run();
    until("the first poll is over", || {
        merchant.tell(&["status", "--json"]).exits(0).json()["orders"]["sent"] == 2
    });
    merchant.shop.db.sql("UPDATE pace SET seconds = 600");
    merchant.tell(&["sync", "--sweep"]).exits(0);
    until("everything is being read", || {
        let sessions = merchant.shop.db.sql(
            "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND state = 'User sleep'",
        );
        sessions == "1"
    });
    merchant.shop.change(2, "note = 'mezitím'");
    daemon.ring();
    until("the change stands", || {
        merchant
            .brani
            .order(&Sale::new(2).code)
            .is_some_and(|order| order["notes"]["customerRemark"] == "mezitím")
    });
    assert_eq!(daemon.told("sweep.pass"), 0, "it is still read");
    assert_eq!(daemon.stop().0, 0, "a read under way is given up");
    // It moved no cursor: the next poll sends what changed since, once.
    merchant.shop.db.sql("UPDATE pace SET seconds = 0");
    merchant.shop.change(1, "note = 'potom'");
    merchant.once().exits(0);
    assert_eq!(merchant.upserts(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_an_old_copy_of_the_ledger_goes_out_as_the_shop_has_it_now() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    merchant.edit("level = \"info\"", "level = \"debug\"");
    merchant.shop.add(&Sale::new(1));
    merchant.once().exits(0);
    merchant.shop.add(&Sale::new(2));
    // Brani is away: nothing is even tried.
    merchant.brani.fault(Fault::Cut, Matcher::any());
    let daemon = merchant.run();
    until("the second order waits", || {
        merchant.tell(&["status", "--json"]).exits(0).json()["orders"]["waiting"] == 1
    });
    daemon.kill();
    let before = merchant.upserts();
    merchant.brani.heal();
    // Since the copy was made the order was changed; and at the start the shop cannot be read.
    merchant.shop.change(2, "note = 'novější'");
    merchant.shop.db.sql("ALTER TABLE orders RENAME TO away");
    let daemon = merchant.run();
    until("the shop cannot be read", || {
        daemon.told("shop.query_failed") == 1
    });
    daemon.ring();
    until("a pass of sending came by", || {
        let waits = |line: &Value| line["event"] == "pass.not_yet" && line["orders"] == 1;
        daemon.new_lines().iter().any(waits)
    });
    assert_eq!(merchant.upserts(), before);
    merchant.shop.db.sql("ALTER TABLE away RENAME TO orders");
    daemon.ring();
    until("the order stands", || merchant.brani.order_count() == 2);
    assert_eq!(merchant.upserts(), before + 1);
    let order = merchant.brani.order(&Sale::new(2).code).expect("it stands");
    assert_eq!(order["notes"]["customerRemark"], "novější");
    assert_eq!(daemon.stop().0, 0);
}
