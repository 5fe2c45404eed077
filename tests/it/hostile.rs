//! Strangers' values all the way through: codes and parcel numbers that are SQL, patterns or paths, answers that
//! unpack without end.

use crate::merchant::{Merchant, PATIENCE, Sale, Shop, until};
use crate::sandbox::clock;
use brani_sync::brani::client::Client;
use brani_sync::brani::{Error, Service};
use brani_sync::config::secret::Secret;
use std::io::Write;
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
    assert_eq!(merchant.shop.get(bystander.id, "tracking"), "NULL");
    assert_eq!(daemon.stop().0, 0);
    assert_eq!(merchant.brani.refused().len(), 0);
    assert_eq!(merchant.told("event.stuck"), 0, "{}", merchant.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_and_numbers_that_are_sql_change_their_own_row_in_mariadb() {
    every_row_its_own(Shop::mariadb()).await;
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
