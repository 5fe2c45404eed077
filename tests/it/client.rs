//! The client against a sandbox that misbehaves, and against servers that are not Brani.

use super::sandbox::{client, clock, info, order, patient, start};
use brani_sync::brani::client::Client;
use brani_sync::brani::{Error, PageRequest, Service};
use brani_sync::config::secret::Secret;
use brani_sync::sandbox::{Fault, Matcher, Options, Sandbox};
use brani_sync::types::WebhookId;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

async fn ready() -> (Sandbox, Client) {
    let sandbox = start(Options::default()).await;
    let client = client(&sandbox);
    client.post_eshop_info(&info()).await.unwrap();
    (sandbox, client)
}

/// What an upsert that meets this fault ends with, and whether the order stands all the same.
async fn meet(fault: Fault) -> (Error, bool) {
    let (sandbox, _) = ready().await;
    let client = patient(&sandbox, Duration::from_secs(2));
    sandbox.fault_times(1, fault, Matcher::upserts());
    let error = client.upsert(&order("1")).await.unwrap_err();
    let stands = sandbox.order("1").is_some();
    (error, stands)
}

fn status(status: u16) -> Fault {
    Fault::Status {
        status,
        retry_after: None,
    }
}

/// Answers every connection with these bytes, then closes it.
pub async fn server(answer: &'static str) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 16384];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            // unread bytes would turn the close into a reset that may overtake the answer
            let _ = stream.shutdown().await;
            while matches!(stream.read(&mut request).await, Ok(1..)) {}
        }
    });
    url.parse().unwrap()
}

fn to(url: &Url) -> Client {
    Client::new(
        url,
        &Secret::new("tok-secret-1"),
        Duration::from_secs(5),
        1000.0,
        clock(),
    )
    .unwrap()
}

#[tokio::test]
async fn server_error_may_have_been_applied() {
    for number in [500, 502, 503, 504] {
        let (error, _) = meet(status(number)).await;
        assert!(
            matches!(
                error,
                Error::Unavailable {
                    server_error: true,
                    maybe_applied: true,
                    ..
                }
            ),
            "{number}: {error:?}"
        );
    }
}

#[tokio::test]
async fn retry_after_of_a_429_is_handed_on() {
    let fault = Fault::Status {
        status: 429,
        retry_after: Some("7".into()),
    };
    let (error, _) = meet(fault).await;
    let Error::Unavailable {
        retry_after,
        maybe_applied,
        server_error,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
    assert!(!maybe_applied && !server_error);
}

#[tokio::test]
async fn wrong_token_is_unauthorized_whichever_way_brani_says_it() {
    for number in [401, 403] {
        let (error, _) = meet(status(number)).await;
        assert!(matches!(error, Error::Unauthorized { status } if status == number));
    }
}

#[tokio::test]
async fn other_refusals_keep_their_status() {
    for number in [400, 405, 409, 413, 301, 308] {
        let (error, _) = meet(status(number)).await;
        assert!(
            matches!(error, Error::Refused { status } if status == number),
            "{error:?}"
        );
    }
    assert!(matches!(meet(status(404)).await.0, Error::NotFound));
    assert!(matches!(
        meet(status(302)).await.0,
        Error::Unavailable {
            maybe_applied: false,
            ..
        }
    ));
    assert!(matches!(
        meet(status(408)).await.0,
        Error::Unavailable {
            maybe_applied: true,
            ..
        }
    ));
}

#[tokio::test]
async fn lost_reply_is_maybe_applied_and_indeed_applied() {
    let (error, stands) = meet(Fault::LostReply).await;
    assert!(error.maybe_applied(), "{error:?}");
    assert!(stands);
}

#[tokio::test]
async fn cut_connection_is_maybe_applied_for_nobody_can_know() {
    let (error, stands) = meet(Fault::Cut).await;
    assert!(error.maybe_applied(), "{error:?}");
    assert!(!stands);
}

#[tokio::test]
async fn hanging_service_ends_with_the_timeout() {
    let begun = std::time::Instant::now();
    let (error, _) = meet(Fault::Hang).await;
    assert!(error.maybe_applied(), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn slow_answer_is_waited_for() {
    let (sandbox, client) = ready().await;
    sandbox.fail_next(1, Fault::Latency { milliseconds: 100 });
    client.upsert(&order("1")).await.unwrap();
}

#[tokio::test]
async fn late_first_request_lands_after_the_second() {
    let (sandbox, client) = ready().await;
    sandbox.fail_next(1, Fault::Late { milliseconds: 300 });
    let mut first = order("1");
    first.phone = "1".into();
    assert!(client.upsert(&first).await.unwrap_err().maybe_applied());
    client.upsert(&order("1")).await.unwrap();
    super::sandbox::until("the late one lands", || {
        sandbox.order("1").is_some_and(|order| order["phone"] == "1")
    })
    .await;
}

#[tokio::test]
async fn success_that_is_not_branis_is_none() {
    for fault in [Fault::Garbage, Fault::EmptyBody, Fault::Endless] {
        let (error, stands) = meet(fault.clone()).await;
        let Error::Unavailable { what, .. } = &error else {
            panic!("{fault:?}: {error:?}");
        };
        assert!(what.contains("not Brani's"), "{fault:?}: {what}");
        assert!(!stands);
    }
}

#[tokio::test]
async fn refused_connection_was_never_applied() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(listener);
    let error = to(&url).upsert(&order("1")).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable { maybe_applied: false, what, .. } if what.starts_with("no connection"))
    );
    let nowhere: Url = "https://nowhere.invalid/".parse().unwrap();
    let error = to(&nowhere).upsert(&order("1")).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unavailable {
                maybe_applied: false,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn tls_that_cannot_be_agreed_was_never_applied() {
    let mut url = server("this is no TLS\r\n\r\n").await;
    url.set_scheme("https").unwrap();
    let error = to(&url).upsert(&order("1")).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unavailable {
                maybe_applied: false,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn complaint_names_the_orders_field() {
    let (sandbox, client) = ready().await;
    let mut wrong = order("1");
    wrong.items[1].item_id = Some(1);
    wrong.price.currency_code = "Kč".into();
    let error = client.upsert(&wrong).await.unwrap_err();
    let Error::Rejected { complaints } = &error else {
        panic!("{error:?}")
    };
    let fields: Vec<&str> = complaints.iter().map(|one| one.field.as_str()).collect();
    assert!(fields.contains(&"price.currencyCode"), "{fields:?}");
    assert!(fields.contains(&"items[1].itemId"), "{fields:?}");
    assert_eq!(sandbox.refused().len(), 1);
}

#[tokio::test]
async fn unreadable_422_still_rejects_with_one_complaint() {
    let url = server("HTTP/1.1 422 X\r\ncontent-length: 4\r\nconnection: close\r\n\r\noops").await;
    let error = to(&url).upsert(&order("1")).await.unwrap_err();
    let Error::Rejected { complaints } = error else {
        panic!("{error:?}")
    };
    assert_eq!(complaints.len(), 1);
    assert_eq!(complaints[0].message, "oops");
}

#[tokio::test]
async fn code_cannot_leave_its_place_in_the_address() {
    let (sandbox, client) = ready().await;
    for code in [
        "a&order_code=b",
        "a/b?c#d",
        "../../eshop/info",
        "a\r\nX: y",
        "růže 🌹 100%",
        "a+b",
    ] {
        client.upsert(&order(code)).await.unwrap();
        client.delete(&code.into()).await.unwrap();
        assert_eq!(sandbox.deleted().last().map(String::as_str), Some(code));
    }
}

#[tokio::test]
async fn token_is_in_no_debug_and_no_error() {
    let url = server("HTTP/1.1 500 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let client = to(&url);
    let error = client.upsert(&order("1")).await.unwrap_err();
    for text in [format!("{client:?}"), format!("{error:?} {error}")] {
        assert!(!text.contains("tok-secret"), "{text}");
    }
    let broken = Client::new(
        &url,
        &Secret::new("tok-secret\n2"),
        Duration::from_secs(1),
        1.0,
        clock(),
    );
    assert!(!format!("{:?} ", broken.unwrap_err()).contains("tok-secret"));
}

#[tokio::test]
async fn unusable_settings_are_refused_with_their_name() {
    let make = |url: &str, rate| {
        let url: Url = url.parse().unwrap();
        Client::new(&url, &Secret::new("t"), Duration::from_secs(1), rate, clock())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(make("http://api.example.cz/", 1.0).contains("brani.base_url"));
    assert!(!make("http://user:hidden@api.example.cz/", 1.0).contains("hidden"));
    assert!(make("https://api.example.cz/", 0.0).contains("brani.rate_limit"));
    assert!(make("https://api.example.cz/", f64::NAN).contains("brani.rate_limit"));
}

#[tokio::test]
async fn service_time_is_the_latest_date_header_and_goes_on() {
    let url = server(
        "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
    )
    .await;
    let client = to(&url);
    assert_eq!(client.service_time(), None);
    client.upsert(&order("1")).await.unwrap();
    let date = "1994-11-06T08:49:37Z".parse().unwrap();
    let now = client.service_time().unwrap();
    assert!(now >= date && now.duration_since(date).as_secs() < 60, "{now}");
}

#[tokio::test]
async fn one_broken_event_does_not_lose_the_page() {
    let body = r#"{"webhook_events":[
        {"id":1,"webhook_id":5,"event_creation":"2026-01-01 00:00:00","order_code":"a","new_field":{"x":1}},
        {"id":2,"webhook_id":5,"event_creation":null,"order_code":"b"},
        {"id":3,"webhook_id":5,"event_creation":"2026-01-01 00:00:01","order_code":77,"event_package_number":123}],
        "items_per_page":1000,"page":1}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let url = server(answer.leak()).await;
    let page = PageRequest {
        webhook: WebhookId(5),
        page: 1,
        size: 1000,
        from: Some("2026-01-01 00:00:00".into()),
        oldest_first: true,
    };
    let found = to(&url).events(&page).await.unwrap().unwrap();
    let ids: Vec<i64> = found.webhook_events.iter().map(|event| event.id.0).collect();
    assert_eq!(ids, [1, 3]);
    assert_eq!(
        found.webhook_events[1].event_package_number.as_deref(),
        Some("123")
    );
    // without a total only an empty page ends the listing
    assert_eq!(found.total_items, u64::MAX);
}

#[tokio::test]
async fn rate_limit_holds() {
    let sandbox = start(Options::default()).await;
    let client = Client::new(
        &sandbox.base_url(),
        &Secret::new("sandbox"),
        Duration::from_secs(20),
        20.0,
        clock(),
    )
    .unwrap();
    let begun = std::time::Instant::now();
    for _ in 0..14 {
        client.eshop_info().await.unwrap();
    }
    // a burst of four, then twenty a second
    assert!(
        begun.elapsed() >= Duration::from_millis(450),
        "{:?}",
        begun.elapsed()
    );
}
