//! What stands beside an order, through the real binary: told after it, again when it changes, and never in its way.

use crate::merchant::{Merchant, Sale, Shop, until};
use brani_sync::sandbox::{Fault, Matcher};
use serde_json::{Value, json};
use std::fs;

/// A merchant whose queries have a column for everything that can stand beside an order.
async fn merchant() -> Merchant {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    merchant.shop.db.sql(
        "CREATE TABLE beside (id INTEGER PRIMARY KEY, priority TEXT, ordering TEXT, tags TEXT, attributes TEXT, customs TEXT, invoice TEXT)",
    );
    let column = |name: &str| format!("(SELECT b.{name} FROM beside b WHERE b.id = o.id) AS _{name}");
    let columns = ["priority", "ordering", "tags", "attributes"]
        .map(column)
        .join(", ");
    merchant.edit(
        "o.note AS \"notes.customerRemark\"",
        &format!("o.note AS \"notes.customerRemark\", {columns}"),
    );
    merchant.edit(
        "i.price AS \"itemPriceWithVat\"",
        "i.price AS \"itemPriceWithVat\", (SELECT b.customs FROM beside b WHERE b.id = i.order_id) AS _customs",
    );
    merchant
}

fn beside(merchant: &Merchant, id: u32, set: &str) {
    merchant.shop.db.sql(&format!(
        "INSERT INTO beside (id) VALUES ({id}) ON CONFLICT DO NOTHING; UPDATE beside SET {set} WHERE id = {id}"
    ));
    merchant.shop.change(id, "state = state");
}

fn stands(merchant: &Merchant, code: &str, what: &str) -> Value {
    merchant
        .brani
        .beside(code)
        .unwrap_or_else(|| panic!("`{code}` does not stand:\n{}", merchant.log()))[what]
        .clone()
}

fn asked(merchant: &Merchant, path: &str) -> u64 {
    let counts = merchant.brani.counts().by_path;
    counts.get(path).copied().unwrap_or(0)
}

fn explained(merchant: &Merchant, code: &str) -> String {
    merchant.tell(&["explain", code, "--offline"]).exits(0).out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_told_after_the_order_once_and_again_when_they_change() {
    let merchant = merchant().await;
    let sales: Vec<Sale> = (1..=3).map(Sale::new).collect();
    merchant.shop.add_all(&sales);
    for id in 1..=3 {
        beside(&merchant, id, "priority = 'high', ordering = '7'");
    }
    beside(
        &merchant,
        1,
        "tags = 'VIP, křehké', attributes = 'insurance=1000;fragile=yes', customs = '0603'",
    );
    merchant.once().exits(0);
    let code = sales[0].code.as_str();
    assert_eq!(stands(&merchant, code, "priority"), 3);
    assert_eq!(stands(&merchant, code, "ordering"), 7);
    assert_eq!(stands(&merchant, code, "tags"), json!([1, 3]));
    assert_eq!(
        stands(&merchant, code, "attributes"),
        json!({"fragile": "yes", "insurance": "1000"})
    );
    let customs = stands(&merchant, code, "customs");
    assert_eq!(customs[0]["content_customs_code"], "0603", "{customs}");
    let requests = merchant.brani.requests();
    let first = requests
        .iter()
        .position(|request| request.path == "/order/priority");
    let last = requests
        .iter()
        .rposition(|request| request.path == "/order/upsert");
    assert!(last < first, "orders go first");

    // Read in one go, they are told in one list.
    let lists = |path: &str| asked(&merchant, path);
    let before = (lists("POST /order/priority"), lists("POST /order/ordering"));
    for id in 1..=3 {
        beside(&merchant, id, "priority = 'medium', ordering = '8'");
    }
    merchant.once().exits(0);
    let after = (lists("POST /order/priority"), lists("POST /order/ordering"));
    assert_eq!(after, (before.0 + 1, before.1 + 1), "one list for three orders");
    assert_eq!(stands(&merchant, code, "priority"), 2);

    let before = merchant.brani.counts().requests;
    merchant.once().exits(0);
    let quiet = merchant.brani.counts().requests - before;
    beside(
        &merchant,
        1,
        "priority = '1', tags = 'VIP', attributes = 'fragile=yes', customs = NULL",
    );
    merchant.once().exits(0);
    assert!(quiet <= 2, "an unchanged shop costs {quiet} requests");
    assert_eq!(
        merchant.upserts(),
        3,
        "what stands beside an order sends no order"
    );
    assert_eq!(stands(&merchant, code, "priority"), 1);
    assert_eq!(
        stands(&merchant, code, "tags"),
        json!([3]),
        "a tag goes when its name goes"
    );
    assert_eq!(
        stands(&merchant, code, "attributes"),
        json!({"fragile": "yes", "insurance": null})
    );
    assert_eq!(
        stands(&merchant, code, "customs")[0]["content_customs_code"],
        Value::Null
    );
    assert_eq!(stands(&merchant, &sales[1].code, "priority"), 2);

    beside(&merchant, 1, "priority = NULL, ordering = '', tags = NULL");
    merchant.once().exits(0);
    assert_eq!(stands(&merchant, code, "priority"), 0);
    assert_eq!(stands(&merchant, code, "ordering"), 0);
    assert_eq!(stands(&merchant, code, "tags"), json!([]));
    assert_eq!(merchant.upserts(), 3);
    assert_eq!(
        merchant.brani.refused().len(),
        0,
        "{:?}",
        merchant.brani.refused()
    );
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_extra_is_parked_alone_with_branis_words() {
    let merchant = merchant().await;
    let sales: Vec<Sale> = (1..=3).map(Sale::new).collect();
    merchant.shop.add_all(&sales);
    merchant.once().exits(0);
    for id in 1..=3 {
        beside(&merchant, id, "priority = '2'");
    }
    beside(&merchant, 1, "tags = 'Není, VIP'");
    beside(&merchant, 3, "ordering = 'brzy'");
    let refuse = Fault::Status {
        status: 422,
        retry_after: None,
    };
    // The list is refused, then the second order alone.
    let mut matcher = Matcher::code(&sales[1].code);
    matcher.path = Some("/order/priority".into());
    merchant.brani.fault(refuse.clone(), matcher);
    let list = Matcher {
        path: Some("/order/priority".into()),
        ..Matcher::any()
    };
    merchant.brani.fault_times(1, refuse, list);
    merchant.once().exits(2);
    assert_eq!(merchant.upserts(), 3, "no order is held up");
    assert_eq!(stands(&merchant, &sales[0].code, "priority"), 2);
    assert_eq!(stands(&merchant, &sales[2].code, "priority"), 2);
    assert_eq!(stands(&merchant, &sales[1].code, "priority"), 0);
    assert_eq!(
        stands(&merchant, &sales[0].code, "tags"),
        json!([3]),
        "the tag that is known stands"
    );
    let status = merchant.tell(&["status", "--json"]).exits(0).json();
    assert_eq!(status["extras"]["parked"], 3, "{status}");
    assert_eq!(status["orders"]["sent"], 3);
    let told = explained(&merchant, &sales[1].code);
    assert!(told.contains("refused by Brani"), "{told}");
    let told = explained(&merchant, &sales[0].code);
    assert!(told.contains("`Není`") && told.contains("Křehké"), "{told}");
    let told = explained(&merchant, &sales[2].code);
    assert!(told.contains("`brzy` is not a whole number"), "{told}");
    assert_eq!(merchant.told("extras.parked"), 3, "{}", merchant.log());

    let before = asked(&merchant, "POST /order/priority");
    merchant.once().exits(2);
    assert_eq!(
        asked(&merchant, "POST /order/priority"),
        before,
        "it is not tried again by itself"
    );
    assert_eq!(merchant.told("extras.parked"), 3, "nor told again");
    merchant.brani.heal();
    beside(&merchant, 3, "ordering = '5'");
    beside(&merchant, 1, "tags = 'VIP'");
    merchant.tell(&["orders", "retry", &sales[1].code]).exits(0);
    merchant.once().exits(0);
    assert_eq!(stands(&merchant, &sales[1].code, "priority"), 2);
    assert_eq!(stands(&merchant, &sales[2].code, "ordering"), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outage_parks_nothing_and_what_waited_goes_by_itself() {
    let merchant = merchant().await;
    let sale = Sale::new(1);
    merchant.shop.add(&sale);
    beside(&merchant, 1, "priority = '3', attributes = 'a=1'");
    let away = |path: &str| Matcher {
        path: Some(path.into()),
        ..Matcher::any()
    };
    for path in ["/order/priority", "/carriers/order-attributes"] {
        merchant.brani.fault(
            Fault::Status {
                status: 503,
                retry_after: None,
            },
            away(path),
        );
    }
    let daemon = merchant.run();
    until("the order is sent and its extras are tried", || {
        merchant.upserts() == 1
            && asked(&merchant, "POST /order/priority") + asked(&merchant, "POST /carriers/order-attributes")
                > 1
    });
    merchant.brani.heal();
    until("they stand", || {
        stands(&merchant, &sale.code, "priority") == 3
            && stands(&merchant, &sale.code, "attributes")["a"] == "1"
    });
    assert_eq!(daemon.told("extras.parked"), 0);
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extras_of_a_deleted_order_are_told_anew_when_it_comes_back() {
    let merchant = merchant().await;
    let sale = Sale::new(1);
    merchant.shop.add(&sale);
    beside(&merchant, 1, "priority = '3'");
    merchant.once().exits(0);
    merchant.tell(&["orders", "delete", &sale.code]).exits(0);
    merchant.once().exits(0);
    assert_eq!(merchant.brani.order(&sale.code), None);
    merchant.shop.change(1, "note = 'znovu'");
    merchant.once().exits(0);
    assert_eq!(stands(&merchant, &sale.code, "priority"), 3);
}

const PDF: &[u8] = b"%PDF-1.7\nfaktura\n%%EOF\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invoice_is_uploaded_when_it_is_there_and_again_when_it_changes() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    let folder = merchant.path("faktury");
    fs::create_dir(&folder).unwrap();
    merchant.add("\n[invoices]\npath = \"faktury/{code}.pdf\"\nremove = true\n");
    let sales: Vec<Sale> = (1..=2).map(Sale::new).collect();
    merchant.shop.add_all(&sales);
    let file = |sale: &Sale| folder.join(format!("{}.pdf", sale.code));
    fs::write(file(&sales[0]), PDF).unwrap();
    merchant.once().exits(0);
    assert_eq!(merchant.brani.invoice(&sales[0].code).as_deref(), Some(PDF));
    assert_eq!(merchant.brani.invoice(&sales[1].code), None);
    let told = explained(&merchant, &sales[1].code);
    assert!(told.contains("invoice: not there yet"), "{told}");
    let status = merchant.tell(&["status", "--json"]).exits(0).json();
    assert_eq!(status["extras"]["missing_invoices"], 1);

    let upload = "POST /order/invoice";
    let uploads = asked(&merchant, upload);
    merchant.once().exits(0);
    assert_eq!(
        asked(&merchant, upload),
        uploads,
        "an unchanged one is not uploaded"
    );
    let longer = [PDF, b"oprava"].concat();
    fs::write(file(&sales[0]), &longer).unwrap();
    fs::write(file(&sales[1]), PDF).unwrap();
    until("both stand", || {
        merchant.once().exits(0);
        merchant.brani.invoice(&sales[0].code).as_ref() == Some(&longer)
            && merchant.brani.invoice(&sales[1].code).as_deref() == Some(PDF)
    });
    fs::remove_file(file(&sales[1])).unwrap();
    until("it is removed", || {
        merchant.once().exits(0);
        merchant.brani.invoice(&sales[1].code).is_none()
    });
    assert_eq!(merchant.upserts(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invoice_outside_its_folder_and_what_is_no_pdf_are_refused() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    let folder = merchant.path("faktury");
    fs::create_dir(&folder).unwrap();
    fs::write(merchant.path("secret.pdf"), PDF).unwrap();
    merchant.add("\n[invoices]\npath = \"faktury/{code}.pdf\"\nmax_mib = 1\n");
    let climbs = Sale::new(1).code("../secret");
    let links = Sale::new(2);
    let text = Sale::new(3);
    let large = Sale::new(4);
    let deep = Sale::new(5).code("2026/5");
    merchant.shop.add_all(&[
        climbs.clone(),
        links.clone(),
        text.clone(),
        large.clone(),
        deep.clone(),
    ]);
    let file = |sale: &Sale| folder.join(format!("{}.pdf", sale.code));
    std::os::unix::fs::symlink(merchant.path("secret.pdf"), file(&links)).unwrap();
    fs::write(file(&text), "faktura").unwrap();
    fs::write(file(&large), [PDF, &vec![b' '; 1 << 20]].concat()).unwrap();
    fs::create_dir(folder.join("2026")).unwrap();
    fs::write(file(&deep), PDF).unwrap();
    merchant.once().exits(2);
    assert_eq!(merchant.upserts(), 5);
    assert_eq!(asked(&merchant, "POST /order/invoice"), 1);
    assert_eq!(merchant.brani.invoice(&deep.code).as_deref(), Some(PDF));
    for (sale, why) in [
        (&climbs, "leads out of the invoices' folder"),
        (&links, "leads out of the invoices' folder"),
        (&text, "is no PDF"),
        (&large, "is larger than 1 MiB"),
    ] {
        let told = explained(&merchant, &sale.code);
        assert!(told.contains(why), "{why}: {told}");
    }
    fs::write(file(&text), PDF).unwrap();
    until("mended, it goes", || {
        merchant.once();
        merchant.brani.invoice(&text.code).as_deref() == Some(PDF)
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invoice_comes_from_the_web_and_from_a_column() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    let folder = merchant.path("faktury");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("F-1.pdf"), PDF).unwrap();
    // A shop's web that asks for a key, and answers for one order.
    let web = {
        use axum::http::HeaderMap;
        use axum::routing::get;
        let answer = |path: axum::extract::Path<String>, headers: HeaderMap| async move {
            let key = headers.get("x-key").and_then(|key| key.to_str().ok());
            match (path.as_str(), key) {
                ("2026-0002", Some("klic")) => (axum::http::StatusCode::OK, PDF),
                (_, None) => (axum::http::StatusCode::FORBIDDEN, &b""[..]),
                _ => (axum::http::StatusCode::NOT_FOUND, &b""[..]),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().route("/faktura/{code}", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    };
    merchant.add(&format!(
        "\n[invoices]\nurl = \"http://{web}/faktura/{{code}}\"\nfolder = \"faktury\"\nheaders = {{ x-key = \"klic\" }}\n"
    ));
    let sales: Vec<Sale> = (2..=3).map(Sale::new).collect();
    merchant.shop.add_all(&sales);
    merchant.once().exits(0);
    assert_eq!(merchant.brani.invoice(&sales[0].code).as_deref(), Some(PDF));
    assert_eq!(merchant.brani.invoice(&sales[1].code), None, "not made yet");
    merchant.edit(
        "o.note AS \"notes.customerRemark\"",
        "o.note AS \"notes.customerRemark\", CASE o.id WHEN 3 THEN 'F-1.pdf' END AS _invoice",
    );
    merchant.shop.change(3, "state = state");
    merchant.once().exits(0);
    assert_eq!(merchant.brani.invoice(&sales[1].code).as_deref(), Some(PDF));
    assert_eq!(merchant.upserts(), 2);
}

/// What the handler wrote, line by line.
fn lines(merchant: &Merchant, file: &str) -> Vec<Value> {
    fs::read_to_string(merchant.path(file))
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parcels_are_asked_for_until_they_arrive_and_the_shop_hears_each_state_once() {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.add(
        "\n[tracking]\nevery = \"100ms\"\n[writeback.delivery_state]\nsql = [\"INSERT INTO notes VALUES (:key, :state || '|' || :state_name || '|' || :at || '|' || :code)\"]\n",
    );
    let sales: Vec<Sale> = (1..=2).map(Sale::new).collect();
    merchant.shop.add_all(&sales);
    let daemon = merchant.run();
    until("they are sent", || merchant.upserts() == 2);
    assert_eq!(
        asked(&merchant, "POST /carriers/track-order"),
        0,
        "nothing is on its way"
    );
    merchant.brani.pack(&sales[0].code, "Z1");
    let notes = || merchant.shop.db.sql("SELECT text FROM notes ORDER BY rowid");
    until("the first state is told", || notes().contains("2.1|"));
    merchant.brani.set_tracking(&sales[0].code, "Doručeno", 1.2);
    until("the parcel is delivered", || notes().contains("1.2|Doručeno|20"));
    assert!(notes().contains(&format!("|{}", sales[0].code)), "{}", notes());
    assert_eq!(notes().lines().count(), 2, "{}", notes());
    let told = explained(&merchant, &sales[0].code);
    assert!(told.contains("parcel: delivered"), "{told}");
    assert_eq!(daemon.stop().0, 0);
    let after = asked(&merchant, "POST /carriers/track-order");
    merchant.once().exits(0);
    assert_eq!(
        asked(&merchant, "POST /carriers/track-order"),
        after,
        "it is not asked for any more"
    );
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delivery_state_that_cannot_be_written_is_stuck_and_goes_by_hand() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    merchant.add(
        "\n[tracking]\nstatuses = [\"shipped\"]\n[writeback]\nattempts = 1\n[writeback.delivery_state]\ncommand = [\"./handler\"]\n",
    );
    let handler = |text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = merchant.path("handler");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    handler("#!/bin/sh\nexit 1\n");
    let sale = Sale::new(1);
    merchant.shop.add(&sale);
    merchant.once().exits(0);
    merchant.brani.set_tracking(&sale.code, "Na cestě", 2.2);
    merchant.shop.change(1, "state = 'shipped'");
    merchant.once().exits(2);
    assert_eq!(merchant.told("event.stuck"), 1, "{}", merchant.log());
    let list = merchant
        .tell(&["events", "list", "--stuck", "--json"])
        .exits(0)
        .json();
    assert_eq!(list[0]["type"], "delivery_state");
    let id = list[0]["id"].as_i64().unwrap();
    assert!(id < 0, "an id of our own");
    let out = merchant.path("told.jsonl");
    handler(&format!(
        "#!/bin/sh\ncat >> {}; echo >> {}\n",
        out.display(),
        out.display()
    ));
    merchant.tell(&["events", "retry", &id.to_string()]).exits(0);
    merchant.once().exits(0);
    let told = lines(&merchant, "told.jsonl");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["state"], "2.2");
    assert_eq!(told[0]["state_name"], "Na cestě");
    assert_eq!(told[0]["code"], sale.code.as_str());
    assert_eq!(told[0]["key"], "1");
}

/// A merchant whose remarks go through the packing application, with this password.
async fn with_application(password: &str) -> Merchant {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    merchant.secret("app", password);
    let url = merchant.brani.base_url();
    let secret = merchant.path("app");
    merchant.add(&format!(
        "\n[app]\nauth_url = \"{url}\"\nbase_url = \"{url}\"\nusername = \"sync@shop.example.cz\"\npassword = {{ file = \"{}\" }}\nremarks = true\n",
        secret.display()
    ));
    merchant.edit("AS \"notes.customerRemark\"", "AS \"notes.eshopRemark\"");
    merchant
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remark_goes_through_the_packing_application_and_is_forgotten() {
    let merchant = with_application("sandbox").await;
    let sale = Sale::new(1);
    merchant.shop.add(&sale);
    merchant.once().exits(0);
    assert_eq!(stands(&merchant, &sale.code, "remark"), sale.note.trim());
    merchant.once().exits(0);
    let requests = merchant.brani.requests();
    let remarks = requests
        .iter()
        .filter(|request| request.path.contains("set_remark"));
    assert_eq!(remarks.count(), 1);
    merchant.shop.change(1, "note = ''");
    merchant.once().exits(0);
    assert_eq!(stands(&merchant, &sale.code, "remark"), "");
    merchant.keeps_secrets();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_login_of_the_application_holds_up_no_order_and_is_not_hammered() {
    let merchant = with_application("spatne-heslo").await;
    merchant.shop.add_all(&(1..=5).map(Sale::new).collect::<Vec<_>>());
    merchant.once().exits(0);
    assert_eq!(merchant.upserts(), 5);
    assert_eq!(merchant.brani.app_logins(), (1, 1));
    assert!(!merchant.log().contains("spatne-heslo"));
}

#[test]
fn demo_shows_an_invoice_uploaded_and_a_parcel_delivered() {
    let demo = std::process::Command::new(crate::merchant::BINARY)
        .arg("demo")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&demo.stdout);
    assert!(
        demo.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&demo.stderr)
    );
    assert!(told.contains("invoice uploaded: "), "{told}");
    assert!(told.contains("the parcel of 2026-1001 is `Doručeno`"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn picked_items_are_told_with_positions_and_batches_when_asked_for() {
    let merchant = Merchant::new(Shop::sqlite()).await;
    let sale = Sale::new(1);
    merchant.shop.add(&sale);
    merchant.once().exits(0);
    merchant.brani.set_picked_items(
        &sale.code,
        vec![json!({"product_code": "CAJ", "positions": [{"position": "A-01", "batch": "L77", "amount": 2}], "note": null})],
    );
    let told = merchant.tell(&["explain", &sale.code, "--online"]).exits(0).out;
    assert!(
        told.contains("product_code CAJ, positions [position A-01, batch L77, amount 2]"),
        "{told}"
    );
    let before = merchant.brani.counts().requests;
    merchant.tell(&["explain", &sale.code]).exits(0);
    assert_eq!(
        merchant.brani.counts().requests,
        before,
        "Brani is asked only when told to"
    );
    merchant.brani.fault(
        Fault::Status {
            status: 503,
            retry_after: None,
        },
        Matcher::any(),
    );
    let told = merchant.tell(&["explain", &sale.code, "--online"]).exits(0).out;
    assert!(told.contains("Brani could not be asked: HTTP 503"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tells_what_of_it_works() {
    let mut merchant = merchant().await;
    merchant.shop.add(&Sale::new(1));
    beside(&merchant, 1, "priority = '9', tags = 'VIP,Není'");
    merchant.add("\n[invoices]\npath = \"faktury/{code}.pdf\"\n");
    let told = merchant.tell(&["check"]).exits(1).out;
    assert!(told.contains("✗ invoices: the folder"), "{told}");
    assert!(
        told.contains("! beside order `2026-0001`: _priority: `9` is no priority"),
        "{told}"
    );
    assert!(
        told.contains("! _tags: `Není` is no tag that Brani knows"),
        "{told}"
    );
    fs::create_dir(merchant.path("faktury")).unwrap();
    beside(&merchant, 1, "priority = '3', tags = 'VIP'");
    let told = merchant.tell(&["check"]).exits(0).out;
    assert!(told.contains("✓ invoices are read from"), "{told}");
    assert!(
        told.contains("✓ Brani knows 3 tags, and those of the newest orders"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_cannot_work_are_refused_with_what_to_do() {
    for (section, why) in [
        (
            "[invoices]\nremove = true",
            "has not exactly one of `path`, `url`",
        ),
        (
            "[invoices]\npath = \"/srv/invoice.pdf\"",
            "is the same for every order",
        ),
        (
            "[invoices]\npath = \"/srv/../{code}.pdf\"",
            "climbs out of its folder",
        ),
        ("[invoices]\npath = \"/srv/{number}/{code}.pdf\"", "holds braces"),
        (
            "[invoices]\nurl = \"http://shop.example.cz/{code}\"",
            "cannot be used",
        ),
        ("[invoices]\nurl = \"{code}\"", "is not a URL"),
        (
            "[invoices]\nfolder = \"/srv\"\nmax_mib = 0",
            "must be between 1 and 100",
        ),
        ("[tracking]\n", "cannot know which orders are on their way"),
        (
            "[tracking]\nstatuses = [\"shipped\"]\nevery = \"0s\"",
            "must be longer than nothing",
        ),
    ] {
        let mut merchant = Merchant::new(Shop::sqlite()).await;
        merchant.add(&format!("\n{section}\n"));
        let told = merchant.tell(&["check", "--offline"]).exits(78).err;
        assert!(told.contains(why), "{section}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_that_is_not_mounted_removes_no_invoice() {
    let mut merchant = Merchant::new(Shop::sqlite()).await;
    let folder = merchant.path("faktury");
    fs::create_dir(&folder).unwrap();
    merchant.add("\n[invoices]\npath = \"faktury/{code}.pdf\"\nremove = true\n");
    let sale = Sale::new(1);
    merchant.shop.add(&sale);
    fs::write(folder.join(format!("{}.pdf", sale.code)), PDF).unwrap();
    merchant.once().exits(0);
    fs::rename(&folder, merchant.path("jinde")).unwrap();
    until("the folder is missed", || {
        merchant.once().exits(0);
        merchant.told("invoices.away") > 0
    });
    assert_eq!(merchant.brani.invoice(&sale.code).as_deref(), Some(PDF));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_orders_own_look_finds_beside_it_is_told_without_another_poll() {
    let mut merchant = merchant().await;
    merchant.hear();
    let sale = Sale::new(1);
    merchant.shop.add(&sale);
    let daemon = merchant.run();
    until("the order is sent", || merchant.upserts() == 1);
    let events = Matcher::path("/webhook/events");
    merchant.brani.fault(
        Fault::Status {
            status: 503,
            retry_after: None,
        },
        events,
    );
    merchant.shop.change(1, "note = 'Jiná poznámka'");
    daemon.ring();
    until("the change waits for a drain", || {
        let status = merchant.tell(&["status", "--json"]).exits(0).json();
        status["orders"]["waiting"] == 1
    });
    // No poll reads this row: the order is looked up when it is settled, and counts as looked at from then on.
    beside(&merchant, 1, "priority = 'high'");
    merchant.brani.heal();
    until("it is told all the same", || {
        merchant.upserts() == 2 && stands(&merchant, &sale.code, "priority") == 3
    });
    assert_eq!(daemon.stop().0, 0);
}
