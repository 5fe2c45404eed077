//! The sandbox against the contract: what it takes, what it refuses, what it answers, how it misbehaves.

use brani_sync::brani::client::Client;
use brani_sync::brani::model::{
    Address, EshopInfo, Item, ItemType, Methods, Named, NamedStatus, Notes, Order, Price, RetailWholesale,
    ShippingDetails, Status, Statuses,
};
use brani_sync::brani::{PageRequest, Service};
use brani_sync::clock::{SharedClock, SystemClock};
use brani_sync::config::secret::Secret;
use brani_sync::sandbox::{NewEvent, Options, Pushes, Sandbox};
use brani_sync::types::{OrderCode, StatusId, WebhookId};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub const SHIPPING: &str = "6d33d5bc-0b65-4284-9c1a-dcd7a4f4d31c";
pub const PAYMENT: &str = "12345";

pub fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

pub async fn start(options: Options) -> Sandbox {
    Sandbox::start(([127, 0, 0, 1], 0).into(), options).await.unwrap()
}

pub fn client(sandbox: &Sandbox) -> Client {
    patient(sandbox, Duration::from_secs(20))
}

pub fn patient(sandbox: &Sandbox, timeout: Duration) -> Client {
    let token = Secret::new("sandbox");
    Client::new(&sandbox.base_url(), &token, timeout, 1000.0, clock()).unwrap()
}

pub fn info() -> EshopInfo {
    let named = |guid: &str, name: &str| Named {
        guid: guid.into(),
        name: name.into(),
    };
    let both = |guid: &str, name: &str| RetailWholesale {
        retail: Methods {
            methods: vec![named(guid, name)],
        },
        wholesale: Methods::default(),
    };
    let status = |id: i64, name: &str| NamedStatus {
        id: StatusId(id),
        name: name.into(),
    };
    EshopInfo {
        order_statuses: Statuses {
            statuses: vec![status(1, "Vyřizuje se"), status(-1, "Zabaleno")],
        },
        shipping_methods: both(SHIPPING, "Zásilkovna"),
        payment_methods: both(PAYMENT, "Dobírka"),
    }
}

pub fn order(code: &str) -> Order {
    let address = Address {
        full_name: "Žofie Příkladná".into(),
        street: Some("Dlouhá 1".into()),
        city: Some("Ústí nad Labem".into()),
        zip: Some("400 01".into()),
        country_code: Some("CZ".into()),
        ..Address::default()
    };
    let item = |id: i64| Item {
        item_id: Some(id),
        item_type: ItemType::Product,
        code: format!("SKU-{id}"),
        name: "Růže 玫瑰 🌹".into(),
        variant_name: Some("rudá".into()),
        product_guid: None,
        amount: Decimal::new(2000, 3),
        amount_unit: "ks".into(),
        weight: Decimal::new(434, 3),
        vat_rate: Some(Decimal::new(21, 0)),
        item_price_with_vat: Some(Decimal::new(10090, 2)),
        ean: Some("8590000000001".into()),
        brand: None,
        supplier_name: None,
        stock_location: Some("A-01".into()),
        remark: None,
        additional_field: None,
        status: Some(Status { id: StatusId(1) }),
        image: Some("https://shop.example.cz/1.jpg".into()),
        buy_price: Some(json!({})),
        admin_url: None,
        surcharge_parameters: None,
        content_name_en: Some("rose".into()),
        content_country: Some("CZ".into()),
        content_customs_code: Some("0603".into()),
        content_description: None,
    };
    Order {
        code: OrderCode::from(code),
        creation_time: "2017-12-12T22:08:01+0100".into(),
        email: "zofie@example.invalid".into(),
        phone: String::new(),
        shipping_details: Some(ShippingDetails {
            branch_id: Some("79".into()),
            carrier_id: None,
        }),
        billing_method_code: Some(1),
        payment_method_guid: Some(PAYMENT.into()),
        shipping_guid: Some(SHIPPING.into()),
        paid: Some(false),
        company_id: None,
        vat_id: None,
        tax_id: None,
        delivery_address: address.clone(),
        cash_desk_order: Some(false),
        addresses_equal: Some(true),
        notes: Notes::default(),
        status: Some(Status { id: StatusId(1) }),
        billing_address: Some(Address {
            company_id: Some("12345678".into()),
            ..address
        }),
        price: Price {
            to_pay: Decimal::new(10090, 2),
            with_vat: Decimal::new(10090, 2),
            currency_code: "CZK".into(),
        },
        admin_url: None,
        items: vec![item(1), item(2)],
        vs: Some("2026001".into()),
        external_code: None,
    }
}

/// Waits until the fact holds.
pub async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let waiting = async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(waited.is_ok(), "never came true: {what}");
}

fn http() -> reqwest::Client {
    brani_sync::http::client(Duration::from_secs(20)).unwrap()
}

/// A request without our client, so that any body can be sent.
async fn raw(sandbox: &Sandbox, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    ask(&http(), sandbox, method, path, body).await
}

async fn ask(
    http: &reqwest::Client,
    sandbox: &Sandbox,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> (u16, Value) {
    let url = sandbox.base_url().join(path).unwrap();
    let mut request = http.request(method.parse().unwrap(), url).bearer_auth("sandbox");
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

#[tokio::test]
async fn good_order_is_taken_and_stands() {
    let sandbox = start(Options::default()).await;
    let client = client(&sandbox);
    client.post_eshop_info(&info()).await.unwrap();
    client.upsert(&order("2026-1")).await.unwrap();
    let stands = sandbox.order("2026-1").unwrap();
    assert_eq!(stands, serde_json::to_value(order("2026-1")).unwrap());
    client.upsert(&order("2026-1")).await.unwrap();
    assert_eq!(sandbox.order_count(), 1);
    client.delete(&"2026-1".into()).await.unwrap();
    client.delete(&"2026-1".into()).await.unwrap();
    assert_eq!(sandbox.deleted(), ["2026-1"]);
    assert!(!sandbox.in_flight_twice());
    sandbox.stop().await;
}

/// Sets, or with `None` removes, what a dotted path points at.
fn mutate(order: &mut Value, path: &str, value: Option<Value>) {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = order;
    for part in parents.split('.').filter(|part| !part.is_empty()) {
        at = match part.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[part],
        };
    }
    match value {
        Some(value) => at[last] = value,
        None => {
            at.as_object_mut().unwrap().shift_remove(last).unwrap();
        }
    }
}

#[tokio::test]
async fn each_broken_field_is_refused_where_it_is() {
    let sandbox = start(Options::default()).await;
    client(&sandbox).post_eshop_info(&info()).await.unwrap();
    let mut cases: Vec<(String, Option<Value>, &str)> = Vec::new();
    let mut case = |path: &str, value: Option<Value>, kind: &'static str| {
        cases.push((path.to_owned(), value, kind));
    };
    for required in [
        "code",
        "creationTime",
        "email",
        "phone",
        "deliveryAddress",
        "notes",
        "billingAddress",
        "price",
        "items",
        "deliveryAddress.fullName",
        "billingAddress.fullName",
        "billingAddress.street",
        "billingAddress.city",
        "billingAddress.zip",
        "billingAddress.countryCode",
        "price.toPay",
        "price.withVat",
        "price.currencyCode",
        "items.1.itemType",
        "items.1.code",
        "items.1.name",
        "items.1.productGuid",
        "items.1.amount",
        "items.1.amountUnit",
        "items.1.weight",
        "status.id",
        "items.0.status.id",
    ] {
        case(required, None, "missing");
    }
    for text in [
        "code",
        "creationTime",
        "email",
        "phone",
        "shippingGuid",
        "paymentMethodGuid",
        "companyId",
        "vatId",
        "taxId",
        "adminUrl",
        "vs",
        "externalCode",
        "shippingDetails.branchId",
        "shippingDetails.carrierId",
        "deliveryAddress.fullName",
        "deliveryAddress.company",
        "deliveryAddress.street",
        "deliveryAddress.houseNumber",
        "deliveryAddress.city",
        "deliveryAddress.district",
        "deliveryAddress.additional",
        "deliveryAddress.zip",
        "deliveryAddress.countryCode",
        "deliveryAddress.regionName",
        "billingAddress.companyId",
        "billingAddress.vatId",
        "billingAddress.taxId",
        "notes.trackingNumber",
        "notes.eshopRemark",
        "notes.customerRemark",
        "price.toPay",
        "price.withVat",
        "price.currencyCode",
        "items.0.itemType",
        "items.0.code",
        "items.0.name",
        "items.0.variantName",
        "items.0.productGuid",
        "items.0.amount",
        "items.0.amountUnit",
        "items.0.weight",
        "items.0.vatRate",
        "items.0.itemPriceWithVat",
        "items.0.ean",
        "items.0.brand",
        "items.0.supplierName",
        "items.0.stockLocation",
        "items.0.remark",
        "items.0.additionalField",
        "items.0.image",
        "items.0.adminUrl",
        "items.0.content_name_en",
        "items.0.content_country",
        "items.0.content_customs_code",
        "items.0.content_description",
    ] {
        case(text, Some(json!(400)), "string_type");
    }
    for not_null in [
        "code",
        "email",
        "phone",
        "price.toPay",
        "items.0.name",
        "deliveryAddress.fullName",
    ] {
        case(not_null, Some(Value::Null), "string_type");
    }
    for unknown in [
        "colour",
        "deliveryAddress.companyId",
        "notes.x",
        "price.vat",
        "items.0.vat",
        "status.name",
    ] {
        case(unknown, Some(json!("x")), "extra_forbidden");
    }
    for decimal in [
        "items.0.amount",
        "items.0.weight",
        "items.0.vatRate",
        "items.0.itemPriceWithVat",
        "price.toPay",
    ] {
        for wrong in ["", "1,5", "1e3", "NaN", " 1.00", "0.5 kg"] {
            case(decimal, Some(json!(wrong)), "decimal_parsing");
        }
    }
    case("price.toPay", Some(json!("100.900")), "decimal_places");
    case("price.withVat", Some(json!("100")), "decimal_places");
    for wrong in ["2099-01-01T00:00:00+00:00", "9999-12-30T00:00:00Z"] {
        case("creationTime", Some(json!(wrong)), "datetime_past");
    }
    for wrong in ["2017-12-12T22:08:01", "2017-12-12 22:08:01", "12.12.2017", ""] {
        case("creationTime", Some(json!(wrong)), "datetime_parsing");
    }
    for boolean in ["paid", "cashDeskOrder", "addressesEqual"] {
        case(boolean, Some(json!(1)), "bool_type");
    }
    case("code", Some(json!("")), "string_too_short");
    case("status.id", Some(json!("1")), "int_type");
    case("status.id", Some(json!(77)), "value_error");
    case("items.0.status.id", Some(json!(77)), "value_error");
    case("items.0.itemId", Some(json!("1")), "int_type");
    case("items.0.itemId", Some(json!(1.5)), "int_type");
    case("items.1.itemId", Some(json!(1)), "value_error");
    case("items.0.itemType", Some(json!("goods")), "literal_error");
    case("billingMethodCode", Some(json!(5)), "literal_error");
    case("billingMethodCode", Some(json!("1")), "int_type");
    case(
        "shippingGuid",
        Some(json!("00000000-0000-0000-0000-000000000001")),
        "value_error",
    );
    case("paymentMethodGuid", Some(json!(SHIPPING)), "value_error");
    case(
        "deliveryAddress.countryCode",
        Some(json!("cz")),
        "string_pattern_mismatch",
    );
    case("price.currencyCode", Some(json!("Kč")), "string_pattern_mismatch");
    case("items", Some(json!({})), "list_type");
    case("items.0", Some(json!("x")), "dict_type");
    case("deliveryAddress", Some(Value::Null), "dict_type");
    case("notes", Some(json!([])), "dict_type");
    case("items.0.buyPrice", Some(json!(1)), "dict_type");
    case("items.0.surchargeParameters", Some(json!({})), "list_type");
    let good = serde_json::to_value(order("2026-1")).unwrap();
    let http = http();
    for (path, value, kind) in cases {
        let mut data = good.clone();
        match path.as_str() {
            "items.0" => data["items"][0] = value.clone().unwrap(),
            path => mutate(&mut data, path, value.clone()),
        }
        let (status, answer) = ask(
            &http,
            &sandbox,
            "POST",
            "order/upsert",
            Some(&json!({ "data": data })),
        )
        .await;
        assert_eq!(status, 422, "{path} = {value:?} was taken");
        let mut loc = vec![json!("body"), json!("data")];
        loc.extend(path.split('.').map(|part| match part.parse::<u64>() {
            Ok(index) => json!(index),
            Err(_) => json!(part),
        }));
        let told = answer["detail"].as_array().unwrap();
        let found = told
            .iter()
            .any(|one| one["loc"] == json!(loc) && one["type"] == kind);
        assert!(found, "{path} = {value:?}: {answer}");
    }
    assert_eq!(sandbox.order_count(), 0);
    let (status, _) = ask(
        &http,
        &sandbox,
        "POST",
        "order/upsert",
        Some(&json!({ "data": good })),
    )
    .await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn envelope_is_held_against_the_contract() {
    let sandbox = start(Options::default()).await;
    for body in [json!({}), json!([]), json!({"data": []}), json!(null)] {
        let (status, _) = raw(&sandbox, "POST", "order/upsert", Some(&body)).await;
        assert_eq!(status, 422, "{body}");
    }
    let good = serde_json::to_value(order("1")).unwrap();
    let body = json!({"data": good, "extra": 1});
    let (_, answer) = raw(&sandbox, "POST", "order/upsert", Some(&body)).await;
    assert!(
        answer["detail"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["loc"] == json!(["body", "extra"]))
    );
}

#[tokio::test]
async fn null_is_taken_where_the_contract_says_so() {
    let sandbox = start(Options::default()).await;
    client(&sandbox).post_eshop_info(&info()).await.unwrap();
    let mut data = serde_json::to_value(order("1")).unwrap();
    for path in [
        "billingAddress",
        "shippingDetails",
        "billingMethodCode",
        "paymentMethodGuid",
        "shippingGuid",
        "paid",
        "status",
        "companyId",
        "deliveryAddress.street",
        "notes.customerRemark",
        "items.0.itemId",
        "items.0.ean",
        "items.0.surchargeParameters",
    ] {
        mutate(&mut data, path, Some(Value::Null));
    }
    let (status, answer) = raw(&sandbox, "POST", "order/upsert", Some(&json!({ "data": data }))).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn token_is_asked_for() {
    let sandbox = start(Options::default()).await;
    let http = brani_sync::http::client(Duration::from_secs(20)).unwrap();
    let url = sandbox.base_url().join("eshop/info").unwrap();
    let none = http.get(url.clone()).send().await.unwrap();
    assert_eq!(none.status().as_u16(), 403);
    assert_eq!(
        none.json::<Value>().await.unwrap(),
        json!({"detail": "Not authenticated"})
    );
    let wrong = http.get(url).bearer_auth("other").send().await.unwrap();
    assert_eq!(wrong.status().as_u16(), 401);
}

#[tokio::test]
async fn eshop_info_is_null_at_first_and_its_guids_are_padded() {
    let sandbox = start(Options::default()).await;
    let client = client(&sandbox);
    let first = client.eshop_info().await.unwrap();
    assert_eq!(first.data, None);
    assert_eq!(first.summary.unwrap().eshop_id, Some(4711));
    client.post_eshop_info(&info()).await.unwrap();
    let stands = client.eshop_info().await.unwrap().data.unwrap();
    assert_eq!(
        stands.payment_methods.retail.methods[0].guid,
        "00000000-0000-0000-0000-000000012345"
    );
    let mut wrong = serde_json::to_value(info()).unwrap();
    wrong["shippingMethods"]["retail"]["methods"][0]["guid"] = json!("zasilkovna");
    let (status, _) = raw(&sandbox, "POST", "eshop/info", Some(&json!({ "data": wrong }))).await;
    assert_eq!(status, 422);
}

fn page(webhook: i64, page: u64, size: u64) -> PageRequest {
    PageRequest {
        webhook: WebhookId(webhook),
        page,
        size,
        from: None,
        oldest_first: true,
    }
}

#[tokio::test]
async fn packing_makes_events_that_the_listing_tells_until_406() {
    let sandbox = start(Options {
        page_size_max: 2,
        pushes: Pushes {
            enabled: false,
            ..Pushes::default()
        },
        ..Options::default()
    })
    .await;
    let client = client(&sandbox);
    client.post_eshop_info(&info()).await.unwrap();
    client.upsert(&order("2026-1")).await.unwrap();
    for kind in ["balic_packed", "package_number", "status_change", "order_history"] {
        client
            .register_webhook(kind, "http://127.0.0.1:9/x")
            .await
            .unwrap();
    }
    let hooks = client.webhooks().await.unwrap();
    let statuses = hooks
        .iter()
        .find(|hook| hook.event_type == "status_change")
        .unwrap()
        .id
        .0;
    assert_eq!(client.events(&page(statuses, 1, 1000)).await.unwrap(), None);
    assert_eq!(sandbox.pack("2026-1", "Z123").len(), 4);
    sandbox.set_status_at_packing_table("2026-1", 1);
    sandbox.set_status_at_packing_table("2026-1", -1);
    let first = client.events(&page(statuses, 1, 1000)).await.unwrap().unwrap();
    assert_eq!((first.items_per_page, first.total_items), (2, 3));
    let ids: Vec<i64> = first.webhook_events.iter().map(|event| event.id.0).collect();
    assert!(ids.is_sorted());
    assert_eq!(first.webhook_events[0].event_status_id, Some(StatusId(-1)));
    assert_eq!(
        client
            .events(&page(statuses, 2, 1000))
            .await
            .unwrap()
            .unwrap()
            .webhook_events
            .len(),
        1
    );
    assert_eq!(client.events(&page(statuses, 3, 1000)).await.unwrap(), None);
    assert_eq!(sandbox.order("2026-1").unwrap()["status"]["id"], -1);
    client
        .move_webhook(WebhookId(statuses), "http://127.0.0.1:9/y")
        .await
        .unwrap();
    client.remove_webhook(WebhookId(statuses)).await.unwrap();
    assert_eq!(client.webhooks().await.unwrap().len(), 3);
}

#[tokio::test]
async fn event_time_is_the_services_local_time() {
    let sandbox = start(Options::default()).await;
    let id = sandbox.register("status_change", "http://127.0.0.1:9/x");
    for at in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
        sandbox.add_event(NewEvent::status("1", 1).created(at.parse().unwrap()));
    }
    let events = client(&sandbox)
        .events(&page(id, 1, 10))
        .await
        .unwrap()
        .unwrap()
        .webhook_events;
    // an hour repeats in October
    assert_eq!(events[0].event_creation, "2026-10-25 02:30:00");
    assert_eq!(events[1].event_creation, "2026-10-25 02:30:00");
}

#[tokio::test]
async fn general_events_have_a_listing_of_their_own() {
    let sandbox = start(Options::default()).await;
    let id = sandbox.register("task_created", "http://127.0.0.1:9/x");
    let payload = json!({"task": 1}).as_object().unwrap().clone();
    sandbox.add_event(NewEvent::general("task_created", payload));
    let client = client(&sandbox);
    let found = client.general_events(&page(id, 1, 10)).await.unwrap().unwrap();
    assert_eq!(found.webhook_events[0].payload["task"], 1);
    assert!(client.events(&page(id, 1, 10)).await.is_err());
}

#[tokio::test]
async fn push_is_tried_three_times_and_then_only_listed() {
    let receiver = start(Options::default()).await;
    let sandbox = start(Options {
        pushes: Pushes {
            pause_milliseconds: 1,
            ..Pushes::default()
        },
        ..Options::default()
    })
    .await;
    // a second sandbox refuses the post: anything but a 200 is a failure
    let url = receiver.base_url().join("hook").unwrap();
    sandbox.register("status_change", url.as_str());
    sandbox.set_status_at_packing_table("1", 1);
    until("three attempts", || receiver.counts().requests == 3).await;
    until("failure noted", || sandbox.events()[0]["fail_counter"] == 3).await;
    assert_eq!(sandbox.events()[0]["date_successful"], Value::Null);
    sandbox.stop().await;
    assert_eq!(receiver.counts().requests, 3);
}

#[tokio::test]
async fn control_doors_answer_a_person() {
    let sandbox = start(Options::default()).await;
    let client = client(&sandbox);
    client.post_eshop_info(&info()).await.unwrap();
    client.upsert(&order("a/b")).await.unwrap();
    sandbox.register("package_number", "http://127.0.0.1:9/x");
    let (status, one) = raw(&sandbox, "GET", "sandbox/orders/a%2Fb", None).await;
    assert_eq!((status, &one["order"]["code"]), (200, &json!("a/b")));
    let pack = json!({"code": "a/b", "package_number": "Z1"});
    let (status, packed) = raw(&sandbox, "POST", "sandbox/pack", Some(&pack)).await;
    assert_eq!((status, packed["events"].as_array().unwrap().len()), (200, 1));
    let fault = json!({"fault": {"fault": "status", "status": 503}, "times": 1});
    assert_eq!(raw(&sandbox, "POST", "sandbox/faults", Some(&fault)).await.0, 200);
    assert!(client.upsert(&order("a/b")).await.is_err());
    client.upsert(&order("a/b")).await.unwrap();
    let wrong = json!({"fault": {"fault": "explode"}});
    assert_eq!(raw(&sandbox, "POST", "sandbox/faults", Some(&wrong)).await.0, 400);
    let (_, requests) = raw(&sandbox, "GET", "sandbox/requests", None).await;
    assert_eq!(requests["counts"]["by_status"]["503"], 1);
    assert_eq!(raw(&sandbox, "GET", "sandbox/nothing", None).await.0, 404);
}

#[tokio::test]
async fn two_writes_of_one_code_in_flight_are_noticed() {
    let sandbox = start(Options::default()).await;
    let client = client(&sandbox);
    client.post_eshop_info(&info()).await.unwrap();
    let slow = brani_sync::sandbox::Fault::Latency { milliseconds: 200 };
    sandbox.fault(slow, brani_sync::sandbox::Matcher::upserts());
    let (one, two) = (order("1"), order("2"));
    let (a, b) = tokio::join!(client.upsert(&one), client.upsert(&two));
    assert!(a.is_ok() && b.is_ok() && !sandbox.in_flight_twice());
    let (a, b) = tokio::join!(client.upsert(&one), client.upsert(&one));
    assert!(a.is_ok() && b.is_ok() && sandbox.in_flight_twice());
}

#[tokio::test]
async fn stopped_sandbox_frees_its_address_even_from_a_hanging_request() {
    let sandbox = start(Options::default()).await;
    let client = patient(&sandbox, Duration::from_secs(60));
    sandbox.fail_next(1, brani_sync::sandbox::Fault::Hang);
    let address = sandbox.address();
    let hanging = tokio::spawn(async move { client.eshop_info().await });
    until("the request hangs", || sandbox.counts().most_in_flight == 1).await;
    sandbox.stop().await;
    assert!(hanging.await.unwrap().is_err());
    let again = Sandbox::start(address, Options::default()).await.unwrap();
    again.stop().await;
}

#[tokio::test]
async fn request_log_is_bounded_while_its_sums_go_on() {
    let sandbox = start(Options {
        requests_max: 10,
        ..Options::default()
    })
    .await;
    let client = client(&sandbox);
    client.post_eshop_info(&info()).await.unwrap();
    for number in 0..50 {
        client.upsert(&order(&number.to_string())).await.unwrap();
    }
    assert_eq!(sandbox.order_count(), 50);
    assert_eq!(sandbox.requests().len(), 10);
    assert_eq!(sandbox.counts().by_path["POST /order/upsert"], 50);
}

#[tokio::test]
async fn push_that_gets_a_200_is_successful() {
    let receiver =
        super::client::server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let sandbox = start(Options {
        pushes: Pushes {
            copies: 2,
            shuffle_milliseconds: 20,
            ..Pushes::default()
        },
        ..Options::default()
    })
    .await;
    let id = sandbox.register("status_change", receiver.as_str());
    sandbox.set_status_at_packing_table("1", 1);
    until("a copy came", || {
        sandbox.events()[0]["date_successful"].is_string()
    })
    .await;
    let path = format!("webhook/events/{id}?page_number=1&items_per_page=10&only_failed=true");
    assert_eq!(raw(&sandbox, "GET", &path, None).await.0, 406);
}

#[tokio::test]
async fn listing_that_shifts_loses_its_oldest_event_between_pages() {
    let sandbox = start(Options::default()).await;
    let id = sandbox.register("status_change", "http://127.0.0.1:9/x");
    for _ in 0..4 {
        sandbox.set_status_at_packing_table("1", 1);
    }
    sandbox.shift_pages(1);
    let client = client(&sandbox);
    let first = client.events(&page(id, 1, 2)).await.unwrap().unwrap();
    let second = client.events(&page(id, 2, 2)).await.unwrap().unwrap();
    let ids = |page: &brani_sync::brani::model::EventsPage| -> Vec<i64> {
        page.webhook_events.iter().map(|event| event.id.0).collect()
    };
    assert_eq!((ids(&first), ids(&second)), (vec![1, 2], vec![4]));
}

#[tokio::test]
async fn listing_is_held_against_the_contract_too() {
    let sandbox = start(Options::default()).await;
    let id = sandbox.register("status_change", "http://127.0.0.1:9/x");
    sandbox.set_status_at_packing_table("1", 1);
    for wrong in [
        "",
        "page_number=0&items_per_page=10",
        "page_number=1",
        "page_number=x&items_per_page=10",
        "page_number=1&items_per_page=10&from_date=2026-01-01",
        "page_number=1&items_per_page=10&inverted=perhaps",
    ] {
        let (status, _) = raw(&sandbox, "GET", &format!("webhook/events/{id}?{wrong}"), None).await;
        assert_eq!(status, 422, "{wrong}");
    }
    let good = format!("webhook/events/{id}?page_number=1&items_per_page=10");
    assert_eq!(raw(&sandbox, "GET", &good, None).await.0, 200);
    let later = format!("{good}&from_date=2099-01-01%2000:00:00");
    assert_eq!(raw(&sandbox, "GET", &later, None).await.0, 406);
    let register = json!({"event_type": "package_packed", "url": "http://127.0.0.1:9/"});
    assert_eq!(raw(&sandbox, "POST", "webhook", Some(&register)).await.0, 422);
}

#[tokio::test]
async fn random_faults_are_the_same_for_the_same_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let sandbox = start(Options::default()).await;
        let client = client(&sandbox);
        client.post_eshop_info(&info()).await.unwrap();
        let faults = vec![brani_sync::sandbox::Fault::EmptyBody];
        sandbox.fail_at_random(7, 0.5, faults);
        let mut run = Vec::new();
        for number in 0..20 {
            run.push(client.upsert(&order(&number.to_string())).await.is_ok());
        }
        sandbox.heal();
        client.upsert(&order("healed")).await.unwrap();
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].contains(&true) && runs[0].contains(&false));
}

#[tokio::test]
async fn own_upsert_makes_an_event_only_when_told_to() {
    for makes in [false, true] {
        let sandbox = start(Options {
            upserts_make_events: makes,
            ..Options::default()
        })
        .await;
        let client = client(&sandbox);
        client.post_eshop_info(&info()).await.unwrap();
        sandbox.register("status_change", "http://127.0.0.1:9/x");
        client.upsert(&order("1")).await.unwrap();
        client.upsert(&order("1")).await.unwrap();
        assert_eq!(sandbox.events().len(), usize::from(makes));
    }
}

#[tokio::test]
async fn one_failing_code_leaves_the_others_alone() {
    let sandbox = start(Options::default()).await;
    let client = client(&sandbox);
    client.post_eshop_info(&info()).await.unwrap();
    sandbox.fail_code("bad", 500);
    assert!(client.upsert(&order("bad")).await.is_err());
    client.upsert(&order("good")).await.unwrap();
    assert!(client.upsert(&order("bad")).await.is_err());
}
