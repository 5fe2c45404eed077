//! Strangers' values all the way through: codes and parcel numbers that are SQL, patterns or paths, answers that
//! unpack without end.

use crate::merchant::{Merchant, PATIENCE, Sale, Shop, until};
use crate::sandbox::clock;
use brani_sync::brani::client::Client;
use brani_sync::brani::{Error, Service};
use brani_sync::config::secret::Secret;
use brani_sync::database::parameters::Dialect;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Codes that would reach other orders, or none, were they pasted anywhere.
const CODES: [&str; 8] = [
    "x' OR '1'='1",
    "%",
    "2026-____",
    "../../eshop/info",
    "a\"b;-- ",
    "{{ 7 * 7 }}",
    ":code",
    "\\'; DROP TABLE orders; --",
];

async fn every_row_its_own(shop: Shop) {
    let merchant = Merchant::both_ways(shop).await;
    let mut sales: Vec<Sale> = (1..)
        .zip(CODES)
        .map(|(id, code)| Sale::new(id).code(code))
        .collect();
    let bystander = Sale::new(100);
    sales.push(bystander.clone());
    merchant.shop.add_all(&sales);
    let daemon = merchant.run();
    until("all orders stand", || merchant.brani.order_count() == sales.len());
    let number = |sale: &Sale| format!("{}'; DROP TABLE orders; -- :key", sale.id);
    for sale in sales.iter().filter(|sale| sale.id != bystander.id) {
        assert!(merchant.brani.order(&sale.code).is_some(), "`{}`", sale.code);
        merchant.brani.pack(&sale.code, &number(sale));
    }
    daemon.ring();
    until("every parcel's number is in its own row", || {
        daemon.ring();
        sales.iter().filter(|sale| sale.id != bystander.id).all(|sale| {
            merchant.shop.get(sale.id, "tracking") == number(sale)
                && merchant.shop.get(sale.id, "state") == "packed"
        })
    });
    assert_eq!(merchant.shop.get(bystander.id, "state"), bystander.state);
    let tracking = merchant.shop.get(bystander.id, "tracking");
    assert!(["NULL", ""].contains(&tracking.as_str()), "{tracking}");
    assert_eq!(daemon.stop().0, 0);
    assert_eq!(merchant.brani.refused().len(), 0);
    assert_eq!(merchant.told("event.stuck"), 0, "{}", merchant.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_and_numbers_that_are_sql_change_their_own_row_in_mariadb() {
    every_row_its_own(Shop::mariadb()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_and_numbers_that_are_sql_change_their_own_row_in_postgres() {
    every_row_its_own(Shop::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_and_numbers_that_are_sql_change_their_own_row_in_sqlite() {
    every_row_its_own(Shop::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_unpacks_without_end_is_given_up() {
    // A right answer but for its size: an empty list in a quarter of a gigabyte of blanks.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"[").expect("packed");
    let blank = vec![b' '; 1 << 20];
    for _ in 0..256 {
        packed.write_all(&blank).expect("packed");
    }
    packed.write_all(b"]").expect("packed");
    let packed = packed.finish().expect("packed");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 16384];
            let _ = stream.read(&mut request).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                packed.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&packed).await;
            let _ = stream.shutdown().await;
        }
    });
    let token = Secret::new("token");
    let client =
        Client::new(&url.parse().expect("a URL"), &token, PATIENCE, 1000.0, clock()).expect("a client");
    let error = client.webhooks().await.expect_err("it is too large");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let said = error.to_string();
    assert!(!said.contains("no answer in time"), "{said}");
    println!("{said}");
}

fn asking(url: &str) -> Client {
    let token = Secret::new("token-of-the-shop");
    let timeout = Duration::from_secs(4);
    Client::new(&url.parse().expect("a URL"), &token, timeout, 1000.0, clock()).expect("a client")
}

/// Says `head` to everybody, then `more` again and again, as long as somebody listens; counts what was taken.
async fn babbler(head: Vec<u8>, more: &'static [u8]) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (head, count) = (head.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let mut request = [0; 16384];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&head).await;
                while !more.is_empty() && stream.write_all(more).await.is_ok() {
                    count.fetch_add(more.len() as u64, SeqCst);
                }
                let _ = stream.shutdown().await;
            });
        }
    });
    (url, taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_babbles_is_heard_out_no_longer_than_a_bound() {
    const LINE: &[u8] = b"x-much: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n";
    const DIGITS: &[u8] = &[b'1'; 64 * 1024];
    let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes();
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let deep_object = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    let whole = |body: &str| ok(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    let answers: Vec<(&str, Vec<u8>, &'static [u8])> = vec![
        ("a head without end", ok(""), LINE),
        ("one header without end", ok("x-much: "), DIGITS),
        (
            "news without end",
            Vec::new(),
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
        ),
        ("a body without end", ok("\r\n["), DIGITS),
        (
            "chunks without end",
            ok("transfer-encoding: chunked\r\n\r\n"),
            b"8\r\n[1,1,1,1\r\n",
        ),
        (
            "a chunk larger than memory",
            ok("transfer-encoding: chunked\r\n\r\nfffffffffffffff\r\n"),
            DIGITS,
        ),
        (
            "more announced than sent",
            ok("content-length: 999999999999\r\n\r\n{}"),
            b"",
        ),
        (
            "more announced than can be",
            ok("content-length: 99999999999999999999999999\r\n\r\n{}"),
            b"",
        ),
        (
            "two lengths",
            ok("content-length: 2\r\ncontent-length: 40\r\n\r\n{}"),
            b"",
        ),
        (
            "less announced than sent",
            ok("content-length: 1\r\n\r\n{\"webhook_urls\":[]}"),
            b"",
        ),
        ("deep lists", whole(&deep), b""),
        ("deep objects", whole(&deep_object), b""),
        (
            "a list that is none",
            whole("{\"webhook_urls\": {\"a\": 1}}"),
            b"",
        ),
        (
            "no UTF-8",
            [ok("content-length: 4\r\n\r\n"), b"\"\xff\xfe\"".to_vec()].concat(),
            b"",
        ),
        (
            "half a character",
            [ok("content-length: 3\r\n\r\n"), b"\"\xe2\x82".to_vec()].concat(),
            b"",
        ),
        ("a page", whole("<!doctype html><title>Log in</title>"), b""),
        ("no HTTP", b"220 mail.example.cz ESMTP\r\n".to_vec(), b""),
        ("nothing", Vec::new(), b""),
    ];
    for (what, head, more) in answers {
        let (url, taken) = babbler(head, more).await;
        let client = asking(&url);
        let ended = tokio::time::timeout(PATIENCE, client.webhooks()).await;
        let error = ended.expect(what).expect_err(what);
        assert!(matches!(error, Error::Unavailable { .. }), "{what}: {error:?}");
        assert!(
            !format!("{error} {error:?}").contains("token-of"),
            "{what}: {error:?}"
        );
        // The bound on a listing is 16 MiB, and some more lies in the system's buffers.
        let taken = taken.load(SeqCst);
        assert!(taken < 64 << 20, "{what}: {taken} bytes were taken");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_redirect_takes_the_token_anywhere() {
    let (elsewhere, _) = babbler(
        b"HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n{\"webhook_urls\":[]}".to_vec(),
        b"",
    )
    .await;
    // That the other one would be understood is seen first.
    assert!(asking(&elsewhere).webhooks().await.expect("an answer").is_empty());
    for status in [301, 302, 303, 307, 308] {
        let head =
            format!("HTTP/1.1 {status} X\r\nlocation: {elsewhere}webhook\r\ncontent-length: 0\r\n\r\n");
        let (url, _) = babbler(head.into_bytes(), b"").await;
        let client = asking(&url);
        let listed = client.webhooks().await;
        assert!(listed.is_err(), "{status} was followed: {listed:?}");
        let deleted = client.delete(&"A1".into()).await;
        assert!(deleted.is_err(), "{status} was followed: {deleted:?}");
    }
}

/// A merchant's own texts at their worst; none is personal, so that what is told of them may be looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_at_their_worst_reach_brani_or_are_parked_and_delay_nobody() {
    let texts = [
        "{{ 7 * 7 }} {% for x in range(10) %}{{ x }}{% endfor %}",
        "'; DROP TABLE orders; -- \" ` \\",
        "</script><script>alert(1)</script>",
        "\u{202e}obráceně\u{2066}\u{feff}\u{200b}",
        "\u{1}\u{1b}[31m\r\n\t\u{7f}\u{85}x",
        "%00%0d%0aX-Header: 1",
        "\u{fffd}\u{10ffff}\u{e000}",
        "../../../etc/passwd",
    ];
    for shop in [Shop::mariadb(), Shop::postgres()] {
        let merchant = Merchant::both_ways(shop).await;
        let mut sales: Vec<Sale> = (1..)
            .zip(texts)
            .map(|(id, text)| Sale {
                name: text.into(),
                street: text.into(),
                city: text.into(),
                email: text.into(),
                phone: text.into(),
                note: text.into(),
                goods: text.into(),
                ..Sale::new(id)
            })
            .collect();
        let fair = sales.len();
        // More than a field may hold, and more than a request should.
        sales.push(Sale {
            note: "x".repeat(10 << 20),
            ..Sale::new(50)
        });
        sales.push(Sale {
            code: "y".repeat(190),
            ..Sale::new(51)
        });
        let wide = if merchant.shop.db.dialect == Dialect::Mysql {
            "ALTER TABLE orders MODIFY note LONGTEXT"
        } else {
            "SELECT 1"
        };
        merchant.shop.db.sql(wide);
        for sale in &sales {
            match sale.note.len() {
                // Made by the server: it is longer than a command line.
                length if length > 1 << 20 => {
                    merchant.shop.add(&Sale {
                        note: String::new(),
                        ..sale.clone()
                    });
                    merchant
                        .shop
                        .change(sale.id, &format!("note = repeat('x', {length})"));
                }
                _ => merchant.shop.add(sale),
            }
        }
        merchant.once().exits(2);
        assert_eq!(merchant.brani.order_count(), fair + 1);
        assert_eq!(merchant.brani.refused().len(), 0);
        assert_eq!(merchant.told("order.parked"), 1, "{}", merchant.log());
        let told = merchant.tell(&["explain", &Sale::new(50).code]);
        assert!(told.out.contains("64 KiB"), "{}", told.out);
        for sale in &sales[..fair] {
            let order = merchant.brani.order(&sale.code).expect("it stands");
            let name = order["deliveryAddress"]["fullName"].as_str().expect("a name");
            assert!(!name.chars().any(char::is_control), "{name:?}");
            let kept = |text: &str| -> String {
                text.chars()
                    .filter(|c| !c.is_control() && !c.is_whitespace())
                    .collect()
            };
            assert_eq!(kept(name), kept(&sale.name), "nothing else was changed");
        }
        let rows = merchant.shop.db.sql("SELECT count(*) FROM orders");
        assert_eq!(rows.trim(), sales.len().to_string());
    }
}
