//! The rest of the service: what stands beside an order, and the packing application's own API.

use super::sandbox::{client, clock, info, order, start};
use brani_sync::brani::app::{AppClient, AppError};
use brani_sync::brani::client::Client;
use brani_sync::brani::extras::{Customs, DeliveryState, Extras};
use brani_sync::brani::{Error, Service};
use brani_sync::clock::{Clock, SharedClock};
use brani_sync::config::secret::Secret;
use brani_sync::sandbox::{Options, Sandbox};
use brani_sync::types::OrderCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

async fn with_orders(codes: &[&str]) -> (Sandbox, Client) {
    let sandbox = start(Options::default()).await;
    let client = client(&sandbox);
    client.post_eshop_info(&info()).await.unwrap();
    for code in codes {
        client.upsert(&order(code)).await.unwrap();
    }
    (sandbox, client)
}

#[tokio::test]
async fn priority_ordering_customs_and_attributes_stand_beside_the_order() {
    let (sandbox, client) = with_orders(&["1", "2"]).await;
    let (one, two) = (OrderCode::from("1"), OrderCode::from("2"));
    client.set_priority(&[one.clone(), two.clone()], 3).await.unwrap();
    client.set_priority(std::slice::from_ref(&two), 1).await.unwrap();
    client.set_ordering(&[(one.clone(), 7)]).await.unwrap();
    let customs = Customs {
        product_code: "SKU-1".into(),
        content_name_en: Some("rose".into()),
        ..Customs::default()
    };
    client.set_customs(&one, &[customs]).await.unwrap();
    client
        .set_attribute(&one, "insurance", &json!(true))
        .await
        .unwrap();
    let beside = sandbox.beside("1").unwrap();
    assert_eq!((&beside["priority"], &beside["ordering"]), (&json!(3), &json!(7)));
    assert_eq!(beside["customs"][0]["content_name_en"], "rose");
    assert_eq!(beside["attributes"]["insurance"], true);
    assert_eq!(sandbox.beside("2").unwrap()["priority"], 1);
    let error = client.set_priority(&[one], 4).await.unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
}

#[tokio::test]
async fn tags_are_added_and_removed_with_warnings() {
    let (_sandbox, client) = with_orders(&["a/b"]).await;
    let code = OrderCode::from("a/b");
    let known = client.org_tags().await.unwrap();
    assert_eq!(known[0].name, "Křehké");
    let missing = OrderCode::from("missing");
    let tagged = client
        .add_tag(&[code.clone(), missing], known[0].id)
        .await
        .unwrap();
    assert_eq!(tagged.order_codes, std::slice::from_ref(&code));
    assert_eq!(tagged.errors.len(), 1);
    assert_eq!(client.order_tags(&code).await.unwrap(), known[..1]);
    let again = client
        .add_tag(std::slice::from_ref(&code), known[0].id)
        .await
        .unwrap();
    assert_eq!(again.warnings.len(), 1);
    client
        .remove_tag(std::slice::from_ref(&code), known[0].id)
        .await
        .unwrap();
    assert_eq!(client.order_tags(&code).await.unwrap(), []);
}

#[tokio::test]
async fn code_of_dots_is_refused_before_it_climbs_the_path() {
    let (_sandbox, client) = with_orders(&[]).await;
    for code in [".", "..", ""] {
        let error = client.order_tags(&code.into()).await.unwrap_err();
        assert!(matches!(error, Error::Rejected { .. }), "{code}: {error:?}");
    }
}

#[tokio::test]
async fn invoice_arrives_byte_for_byte() {
    let (sandbox, client) = with_orders(&["1"]).await;
    let mut bytes = b"%PDF-1.7\r\n--x\r\n".to_vec();
    bytes.extend((0..200_000_u32).map(|n| n.to_le_bytes()[0]));
    bytes.extend(b"\r\n%%EOF\r\n");
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), &bytes).unwrap();
    let file = tokio::fs::File::open(path.path()).await.unwrap();
    client
        .upload_invoice(&"1".into(), file.into(), bytes.len() as u64)
        .await
        .unwrap();
    assert!(sandbox.invoice("1").as_deref() == Some(&bytes));
    client.delete_invoice(&"1".into()).await.unwrap();
    client.delete_invoice(&"1".into()).await.unwrap();
    assert_eq!(sandbox.invoice("1"), None);
}

#[tokio::test]
async fn parcel_is_tracked_until_it_is_delivered() {
    let (sandbox, client) = with_orders(&["1"]).await;
    let code = OrderCode::from("1");
    assert_eq!(client.track_order(&code).await.unwrap(), []);
    sandbox.pack("1", "Z1");
    sandbox.set_tracking("1", "Doručeno", 1.2);
    let steps = client.track_order(&code).await.unwrap();
    let states: Vec<_> = steps.iter().map(|step| step.state).collect();
    assert_eq!(
        states,
        [Some(DeliveryState::Collected), Some(DeliveryState::Delivered)]
    );
    assert!(DeliveryState::Delivered.is_final() && !DeliveryState::Returning.is_final());
    sandbox.set_picked_items("1", vec![json!({"position": "A-01"})]);
    assert_eq!(client.picked_items(&code).await.unwrap()[0]["position"], "A-01");
}

#[test]
fn delivery_codes_are_read_as_numbers_and_as_texts() {
    for code in [
        "-1", "0.1", "0.2", "0.3", "1.1", "1.2", "2.1", "2.2", "2.3", "2.4", "2.5", "3.1", "3.2", "3.3", "4",
        "5",
    ] {
        let state = DeliveryState::from_code(&json!(code)).unwrap();
        assert_eq!(state.code(), code);
        let number: f64 = code.parse().unwrap();
        assert_eq!(DeliveryState::from_code(&json!(number)), Some(state));
    }
    assert_eq!(DeliveryState::from_code(&json!(9)), None);
    assert_eq!(DeliveryState::from_code(&Value::Null), None);
}

/// A clock that a test turns.
struct Turned(Mutex<Timestamp>);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

impl Turned {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new("2026-06-01T10:00:00Z".parse().unwrap())))
    }
    fn turn(&self, seconds: i64) {
        *self.0.lock().unwrap() += SignedDuration::from_secs(seconds);
    }
}

fn app(sandbox: &Sandbox, password: &str, clock: SharedClock) -> AppClient {
    let url = sandbox.base_url();
    let password = Secret::new(password);
    AppClient::new(
        &url,
        &url,
        "sync@shop.example.cz",
        password,
        Duration::from_secs(20),
        clock,
    )
    .unwrap()
}

#[tokio::test]
async fn application_is_logged_in_to_once_and_takes_remarks() {
    let (sandbox, _client) = with_orders(&["1"]).await;
    let app = app(&sandbox, "sandbox", clock());
    assert_eq!(app.settings().await.unwrap()["filters"], json!([]));
    app.set_remark(4711, &"1".into(), "Pozor, křehké").await.unwrap();
    assert_eq!(sandbox.beside("1").unwrap()["remark"], "Pozor, křehké");
    assert_eq!(sandbox.app_logins(), (1, 0));
    let missing = app.get("/api/nothing/", &[]).await.unwrap_err();
    assert!(
        matches!(missing, AppError::Service(Error::NotFound)),
        "{missing:?}"
    );
}

#[tokio::test]
async fn token_is_renewed_before_it_ends() {
    let turned = Turned::new();
    let sandbox = start(Options {
        clock: turned.clone(),
        ..Options::default()
    })
    .await;
    let app = app(&sandbox, "sandbox", turned.clone());
    app.settings().await.unwrap();
    turned.turn(500);
    app.settings().await.unwrap();
    assert_eq!(sandbox.app_logins().0, 1);
    turned.turn(80);
    app.settings().await.unwrap();
    assert_eq!(sandbox.app_logins().0, 2);
    // no request of an ended token was needed for it
    assert_eq!(sandbox.counts().by_status.get(&401), None);
}

#[tokio::test]
async fn void_token_is_replaced_once() {
    let sandbox = start(Options {
        app_token_is_jwt: false,
        ..Options::default()
    })
    .await;
    let app = app(&sandbox, "sandbox", clock());
    app.settings().await.unwrap();
    sandbox.expire_app_tokens();
    app.settings().await.unwrap();
    assert_eq!(sandbox.app_logins(), (2, 0));
}

#[tokio::test]
async fn refused_login_is_paused_longer_and_longer() {
    let turned = Turned::new();
    let sandbox = start(Options::default()).await;
    let app = app(&sandbox, "tajné-heslo", turned.clone());
    let first = app.settings().await.unwrap_err();
    assert!(
        matches!(
            first,
            AppError::LoginRefused {
                pause_seconds: 60,
                ..
            }
        ),
        "{first:?}"
    );
    assert!(!format!("{first:?} {first} {app:?}").contains("tajné"));
    for _ in 0..5 {
        let next = app.settings().await.unwrap_err();
        assert!(matches!(next, AppError::LoginPaused { .. }), "{next:?}");
    }
    assert_eq!(sandbox.app_logins(), (1, 1));
    turned.turn(61);
    let second = app.settings().await.unwrap_err();
    assert!(
        matches!(
            second,
            AppError::LoginRefused {
                pause_seconds: 120,
                ..
            }
        ),
        "{second:?}"
    );
    assert_eq!(sandbox.app_logins(), (2, 2));
}

#[tokio::test]
async fn path_cannot_carry_the_token_to_another_host() {
    let sandbox = start(Options::default()).await;
    let app = app(&sandbox, "sandbox", clock());
    for path in [
        "//evil.example.cz/x",
        "https://evil.example.cz/",
        "api/settings",
        "/\\evil.example.cz/",
        "",
    ] {
        let error = app.get(path, &[]).await.unwrap_err();
        assert!(matches!(error, AppError::Path(_)), "{path}: {error:?}");
    }
    assert_eq!(sandbox.counts().requests, 0);
}
