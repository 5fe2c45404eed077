//! From a record to an order: the rules, and what holds for any record.

use brani_sync::config::{EshopInfo as EshopConfig, Mode};
use brani_sync::eshop_info::{self, Drift};
use brani_sync::mapping::dictionaries::{Dictionaries, canonical_guid};
use brani_sync::mapping::{
    ITEM_COLUMNS, Mapped, Mapping, ORDER_COLUMNS, Owner, Problem, Settings, content_hash, field_hashes,
    fields_that_differ,
};
use brani_sync::source::{ListRow, Lists, Record, Row, Value};
use brani_sync::types::{FieldKey, StatusId};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const LISTS: &str = r#"
mode = "merge"
unknown = "hold"
statuses = [{ shop = "new", id = 1, name = "Nová" }, { shop = "packed", id = -1, name = "Zabaleno", write_back = true },
            { shop = "ready", id = -1, name = "Hotovo" }]
shipping = [{ shop = "zasilkovna", name = "Zásilkovna", guid = "12345" }, { shop = "flat_rate:*", name = "PPL", wholesale = true }]
payments = [{ shop = "cod", name = "Dobírka", method = "cash_on_delivery" }, { shop = "card", name = "Karta", method = "card" }]
"#;

fn lists(text: &str) -> EshopConfig {
    toml::from_str(text).unwrap()
}

fn mapping_of(text: &str) -> Mapping {
    let settings = Settings {
        zone: jiff::tz::TimeZone::get("Europe/Prague").unwrap(),
        default_weight: "0.000".parse().unwrap(),
        max_weight: "100".parse().unwrap(),
        extras: Default::default(),
        source: 0,
    };
    Mapping::new(
        settings,
        Arc::new(Dictionaries::build(&lists(text), &Lists::default())),
    )
}

pub fn mapping() -> &'static Mapping {
    static MAPPING: std::sync::LazyLock<Mapping> = std::sync::LazyLock::new(|| mapping_of(LISTS));
    &MAPPING
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

type Columns = BTreeMap<&'static str, Value>;

fn row(columns: &Columns) -> Row {
    Row {
        names: columns.keys().map(|name| (*name).to_owned()).collect(),
        values: columns.values().cloned().collect(),
    }
}

fn order_columns() -> Columns {
    BTreeMap::from([
        ("_key", Value::Int(7)),
        ("_cursor", text("2025-11-03 10:00:00")),
        ("code", text("2025-104")),
        ("creationTime", text("2025-11-03 09:15:12")),
        ("email", text("jana@example.cz")),
        ("_status", text("new")),
        ("_shipping", text("zasilkovna")),
        ("_payment", text("card")),
        ("price.withVat", Value::Number("1234.5".into())),
        ("price.currencyCode", text("CZK")),
        ("deliveryAddress.fullName", text("Jana Nováková")),
        ("deliveryAddress.street", text("Příčná 12/3")),
        ("deliveryAddress.city", text("Brno")),
        ("deliveryAddress.zip", text("602 00")),
        ("deliveryAddress.countryCode", text("Česká republika")),
    ])
}

fn item_columns() -> Columns {
    BTreeMap::from([
        ("_key", Value::Int(7)),
        ("code", text("SKU-1")),
        ("name", text("Růže")),
        ("amount", Value::Number("2.000".into())),
        ("weight", Value::Number("0.4345".into())),
    ])
}

fn record(order: &Columns, items: &[Columns]) -> Record {
    let plain = |name: &str| order.get(name).map(Value::to_text);
    Record {
        key: "7".into(),
        code: plain("code").unwrap_or_default().into(),
        changed: None,
        status: plain("_status").map(Into::into),
        gone: false,
        order: row(order),
        items: items.iter().map(row).collect(),
        seal: None,
        made: None,
    }
}

pub fn any_record() -> Record {
    record(
        &order_columns(),
        &[item_columns(), item_columns(), item_columns()],
    )
}

pub fn any_mapped() -> Mapped {
    mapping().map(&any_record()).unwrap()
}

fn map(
    changes: &[(&'static str, Value)],
    item_changes: &[(&'static str, Value)],
) -> Result<Mapped, Vec<Problem>> {
    let mut order = order_columns();
    order.extend(changes.iter().cloned());
    let mut item = item_columns();
    item.extend(item_changes.iter().cloned());
    mapping().map(&record(&order, &[item]))
}

fn problem(changes: &[(&'static str, Value)], item_changes: &[(&'static str, Value)]) -> Problem {
    let mut problems = map(changes, item_changes).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn plain_order_maps_with_defaults() {
    let mapped = map(&[], &[]).unwrap();
    let json = serde_json::to_value(&mapped.order).unwrap();
    assert_eq!(json["creationTime"], "2025-11-03T09:15:12+0100");
    assert_eq!(json["phone"], "");
    assert_eq!(
        json["price"],
        serde_json::json!({"toPay": "1234.50", "withVat": "1234.50", "currencyCode": "CZK"})
    );
    assert_eq!(json["deliveryAddress"]["countryCode"], "CZ");
    assert_eq!(json["billingAddress"], json["deliveryAddress"]);
    assert_eq!(json["addressesEqual"], true);
    assert_eq!(json["notes"], serde_json::json!({}));
    assert_eq!(json["shippingGuid"], "00000000-0000-0000-0000-000000012345");
    assert_eq!(json["billingMethodCode"], 4);
    assert_eq!(json["items"][0]["amount"], "2");
    assert_eq!(json["items"][0]["weight"], "0.435");
    assert_eq!(json["items"][0]["amountUnit"], "ks");
    assert_eq!(json["items"][0]["itemType"], "product");
    assert!(json["items"][0]["productGuid"].is_string());
    assert_eq!(json.get("status"), None);
    assert_eq!(mapped.status, Some(StatusId(1)));
}

#[test]
fn bad_fields_are_told_with_value_and_advice() {
    let weight = problem(&[], &[("weight", text("0,5 kg"))]);
    assert_eq!(
        weight.to_string(),
        "items[0].weight: `0,5 kg` is not a decimal number"
    );
    assert_eq!(weight.hint, "give kilograms with a dot and no unit");
    for (column, value, field) in [
        ("price.withVat", text("1 234,50"), "price.withVat"),
        ("price.withVat", Value::Null, "price.withVat"),
        ("price.withVat", text("-1"), "price.withVat"),
        ("price.currencyCode", text("koruna"), "price.currencyCode"),
        ("creationTime", text("0000-00-00 00:00:00"), "creationTime"),
        ("creationTime", Value::Null, "creationTime"),
        (
            "deliveryAddress.countryCode",
            text("Atlantida"),
            "deliveryAddress.countryCode",
        ),
        (
            "deliveryAddress.city",
            text(&"x".repeat(70_000)),
            "deliveryAddress.city",
        ),
        ("paid", text("snad"), "paid"),
        ("billingMethodCode", Value::Int(5), "billingMethodCode"),
        ("shippingGuid", text("ppl"), "shippingGuid"),
        ("code", text("a\u{7}b"), "code"),
        ("code", text(" "), "code"),
    ] {
        assert_eq!(problem(&[(column, value)], &[]).field, field);
    }
    for (column, value) in [
        ("amount", Value::Int(0)),
        ("amount", Value::Null),
        ("weight", Value::Int(450)),
        ("weight", Value::Int(-1)),
        ("itemType", text("thing")),
        ("itemId", text("abc")),
        ("buyPrice", text("[1]")),
        ("surchargeParameters", text("{")),
        ("vatRate", text("21 %")),
    ] {
        assert_eq!(
            problem(&[], &[(column, value)]).field,
            format!("items[0].{column}")
        );
    }
}

#[test]
fn all_problems_are_told_at_once_and_none_tells_personal_data() {
    let problems = map(
        &[
            ("creationTime", Value::Null),
            ("email", text(&"e".repeat(70_000))),
            ("_status", text("?")),
        ],
        &[("weight", text("x"))],
    )
    .unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["creationTime", "email", "status", "items[0].weight"]);
    assert_eq!(problems[1].found, None);
    assert_eq!(problems[2].owner, Owner::Settings);
    assert!(problems[2].hint.contains("[[eshop_info.statuses]]"));
}

#[test]
fn unknown_values_are_held_or_omitted_as_the_settings_say() {
    let mut order = order_columns();
    order.extend([
        ("_shipping", text("drone")),
        ("_payment", text("shells")),
        ("_status", text("?")),
    ]);
    let record = record(&order, &[]);
    assert_eq!(mapping().map(&record).unwrap_err().len(), 3);
    let mapped = mapping_of(&LISTS.replace("hold", "omit")).map(&record).unwrap();
    assert_eq!(
        (
            mapped.status,
            mapped.order.shipping_guid,
            mapped.order.payment_method_guid
        ),
        (None, None, None)
    );
}

#[test]
fn cash_on_delivery_is_never_paid() {
    let order = map(&[("_payment", text("cod")), ("paid", Value::Bool(true))], &[])
        .unwrap()
        .order;
    assert_eq!(
        (order.paid, order.price.to_pay.to_string().as_str()),
        (Some(false), "1234.50")
    );
    let order = map(&[("paid", Value::Int(1))], &[]).unwrap().order;
    assert_eq!(
        (order.paid, order.price.to_pay.to_string().as_str()),
        (Some(true), "0.00")
    );
    let order = map(
        &[("_payment", text("cod")), ("price.toPay", text("100.905"))],
        &[],
    )
    .unwrap()
    .order;
    assert_eq!(order.price.to_pay.to_string(), "100.91");
}

#[test]
fn company_numbers_stand_on_the_order_and_in_a_complete_billing_address() {
    let order = map(&[("billingAddress.companyId", text("27082440"))], &[])
        .unwrap()
        .order;
    assert_eq!(order.company_id.as_deref(), Some("27082440"));
    assert_eq!(
        order.billing_address.unwrap().company_id.as_deref(),
        Some("27082440")
    );
    let order = map(
        &[
            ("vatId", text("CZ27082440")),
            ("deliveryAddress.zip", Value::Null),
        ],
        &[],
    )
    .unwrap()
    .order;
    assert_eq!(order.vat_id.as_deref(), Some("CZ27082440"));
    assert_eq!(order.billing_address.unwrap().vat_id, None);
}

#[test]
fn item_without_code_takes_its_id_else_its_name() {
    let code = |changes: &[(&'static str, Value)]| map(&[], changes).unwrap().order.items[0].code.clone();
    assert_eq!(code(&[("code", Value::Null), ("itemId", Value::Int(31))]), "31");
    assert_eq!(
        code(&[("code", text("")), ("name", text("Růže červená, 60 cm"))]),
        "ruze-cervena-60-cm"
    );
    assert_eq!(code(&[("code", text("")), ("name", text("玫瑰"))]), "item-1");
    let item = map(&[], &[("code", Value::Null)]).unwrap().order.items.remove(0);
    assert_eq!(item.product_guid, None);
}

#[test]
fn item_id_used_twice_is_a_problem() {
    let mut item = item_columns();
    item.insert("itemId", Value::Int(1));
    let problems = mapping()
        .map(&record(&order_columns(), &[item.clone(), item]))
        .unwrap_err();
    assert_eq!(problems[0].field, "items[1].itemId");
}

#[test]
fn exact_values_win_over_globs_and_configuration_over_lists() {
    let shop_lists = Lists {
        statuses: vec![ListRow {
            shop: "on-hold".into(),
            name: "Čeká".into(),
            ..ListRow::default()
        }],
        shipping: vec![ListRow {
            shop: "flat_rate:3".into(),
            name: "Flat rate".into(),
            ..ListRow::default()
        }],
        ..Lists::default()
    };
    let known = Dictionaries::build(&lists(LISTS), &shop_lists);
    assert_eq!(known.shipping("flat_rate:3").unwrap().name, "PPL");
    assert_eq!(
        known.shipping("flat_rate:3").unwrap().guid,
        known.shipping("flat_rate:9").unwrap().guid
    );
    assert!(known.shipping("other").is_none());
    let derived = known.status(&"on-hold".into()).unwrap().id;
    assert!(derived.0 > 0 && derived.0 < 1 << 31);
    assert_eq!(
        known.shop_statuses(StatusId(-1)),
        ["packed".into(), "ready".into()]
    );
    let info = known.info();
    assert_eq!(info.shipping_methods.retail.methods.len(), 2);
    assert_eq!(info.shipping_methods.wholesale.methods.len(), 1);
    assert_eq!(
        info.order_statuses
            .statuses
            .iter()
            .filter(|status| status.id == StatusId(-1))
            .count(),
        1
    );
}

#[test]
fn merge_posts_only_what_is_missing_or_renamed() {
    let want = mapping().dictionaries().info();
    assert_eq!(eshop_info::merge(None, &want, Mode::Merge), Some(want.clone()));
    let mut have = want.clone();
    have.shipping_methods.retail.methods[0].guid = "12345".into();
    have.order_statuses
        .statuses
        .push(brani_sync::brani::model::NamedStatus {
            id: StatusId(99),
            name: "Cizí".into(),
        });
    assert_eq!(eshop_info::merge(Some(&have), &want, Mode::Merge), None);
    assert_eq!(
        eshop_info::merge(Some(&have), &want, Mode::Replace),
        Some(want.clone())
    );
    have.order_statuses.statuses[0].name = "Jinak".into();
    let merged = eshop_info::merge(Some(&have), &want, Mode::Merge).unwrap();
    assert_eq!(
        merged.order_statuses.statuses.len(),
        want.order_statuses.statuses.len() + 1
    );
    assert_eq!(eshop_info::merge(Some(&merged), &want, Mode::Merge), None);
    let what: Vec<Drift> = eshop_info::drift(&have, &want)
        .iter()
        .map(|line| line.what)
        .collect();
    assert_eq!(what, [Drift::Renamed, Drift::OnlyAtBrani]);
}

#[test]
fn touched_row_keeps_its_hash_and_new_mapping_changes_the_fingerprint() {
    let mut order = order_columns();
    let before = record(&order, &[item_columns()]);
    order.insert("_cursor", text("2025-12-24 00:00:00"));
    let touched = record(&order, &[item_columns()]);
    assert_eq!(mapping().row_hash(&before), mapping().row_hash(&touched));
    let other = mapping_of(&LISTS.replace("12345", "12346"));
    assert_ne!(mapping().fingerprint(), other.fingerprint());
    // The raw hash is the row's own: the ledger keeps the fingerprint beside it.
    assert_eq!(mapping().row_hash(&before), other.row_hash(&before));
    assert_eq!(
        mapping().fingerprint(),
        mapping_of(&LISTS.replace("Zásilkovna", "Packeta")).fingerprint()
    );
    order.insert("phone", Value::Null);
    assert_ne!(
        mapping().row_hash(&before),
        mapping().row_hash(&record(&order, &[item_columns()]))
    );
}

#[test]
fn same_meaning_has_the_same_content() {
    let plain = map(&[], &[]).unwrap();
    for (column, value) in [
        ("creationTime", text("2025-11-03T08:15:12Z")),
        ("price.withVat", text("1234.500")),
        ("deliveryAddress.countryCode", text("cz")),
        ("phone", text("  ")),
        ("paid", Value::Int(0)),
        ("_status", text("packed")),
    ] {
        assert_eq!(
            map(&[(column, value)], &[]).unwrap().content,
            plain.content,
            "{column}"
        );
    }
    let mut order = plain.order.clone();
    order.creation_time = "2025-11-03T08:15:12+0000".into();
    order.price.with_vat = "1234.5".parse().unwrap();
    order.status = Some(brani_sync::brani::model::Status { id: StatusId(5) });
    assert_eq!(content_hash(&order), plain.content);
}

#[test]
fn any_other_field_is_other_content_and_is_named() {
    let key = FieldKey([7; 16]);
    let plain = map(&[], &[]).unwrap();
    let before = field_hashes(&plain.order, &key);
    for column in ORDER_COLUMNS.iter().filter(|name| !name.starts_with('_')) {
        let value = match *column {
            "status.id" | "code" => continue,
            "creationTime" => text("2025-11-04"),
            "price.toPay" | "price.withVat" => text("1.00"),
            "price.currencyCode" => text("EUR"),
            "paid" | "cashDeskOrder" => Value::Bool(true),
            "addressesEqual" => Value::Bool(false),
            "billingMethodCode" => Value::Int(3),
            "paymentMethodGuid" | "shippingGuid" => text("99"),
            name if name.ends_with("countryCode") => text("SK"),
            _ => text("jinak"),
        };
        let changed = if column.starts_with("billingAddress.") {
            map(&[(column, value), ("billingAddress.street", text("Jiná 1"))], &[]).unwrap()
        } else {
            map(&[(column, value)], &[]).unwrap()
        };
        assert_ne!(changed.content, plain.content, "{column}");
        let after = field_hashes(&changed.order, &key);
        assert!(!fields_that_differ(&before, &after).is_empty(), "{column}");
    }
    for column in ITEM_COLUMNS.iter().filter(|name| !name.starts_with('_')) {
        let value = match *column {
            "itemId" | "status.id" | "amount" | "weight" | "vatRate" | "itemPriceWithVat" => Value::Int(5),
            "itemType" => text("gift"),
            "buyPrice" => text(r#"{"a":1}"#),
            "surchargeParameters" => text("[]"),
            _ => text("jinak"),
        };
        let changed = map(&[], &[(column, value)]).unwrap();
        assert_ne!(changed.content, plain.content, "{column}");
        let named = fields_that_differ(&before, &field_hashes(&changed.order, &key));
        assert!(
            named.contains(&format!("items[0].{column}")),
            "{column}: {named:?}"
        );
    }
    let mut two = plain.order.clone();
    two.items.push(two.items[0].clone());
    let after = field_hashes(&two, &key);
    assert_eq!(fields_that_differ(&before, &after), ["items[1] (added)"]);
    assert_eq!(fields_that_differ(&after, &before), ["items[1] (removed)"]);
    assert!(before.len() < 200, "{}", before.len());
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<String>().prop_map(Value::Text),
        any::<i64>().prop_map(Value::Int),
        "-?[0-9]{1,9}(\\.[0-9]{0,9})?".prop_map(Value::Number),
        "[A-Za-z]{2}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
    ]
}

fn assert_valid(mapped: &Mapped) {
    let json = serde_json::to_value(&mapped.order).unwrap();
    for key in [
        "creationTime",
        "email",
        "code",
        "phone",
        "deliveryAddress",
        "notes",
        "billingAddress",
        "price",
        "items",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    let decimal =
        |value: &serde_json::Value| value.as_str().unwrap().parse::<rust_decimal::Decimal>().unwrap();
    assert!(!decimal(&json["price"]["toPay"]).is_sign_negative());
    assert_eq!(decimal(&json["price"]["withVat"]).scale(), 2);
    assert!(!json["deliveryAddress"]["fullName"].as_str().unwrap().is_empty());
    for item in json["items"].as_array().unwrap() {
        for key in [
            "itemType",
            "code",
            "name",
            "productGuid",
            "amount",
            "amountUnit",
            "weight",
        ] {
            assert!(item.get(key).is_some(), "{key}");
        }
        assert!(!item["code"].as_str().unwrap().is_empty() && !item["name"].as_str().unwrap().is_empty());
        assert_eq!(decimal(&item["weight"]).scale(), 3);
        assert!(decimal(&item["amount"]) > rust_decimal::Decimal::ZERO);
    }
    let again: brani_sync::brani::model::Order = serde_json::from_value(json).unwrap();
    assert_eq!(content_hash(&again), mapped.content);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    #[test]
    fn any_record_maps_or_tells_why(
        order in proptest::collection::vec((proptest::sample::select(ORDER_COLUMNS), value()), 0..6),
        item in proptest::collection::vec((proptest::sample::select(ITEM_COLUMNS), value()), 0..4),
    ) {
        match map(&order, &item) {
            Ok(mapped) => assert_valid(&mapped),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn any_text_of_personal_fields_maps(name in "\\PC{1,40}", note in any::<String>(), city in any::<String>()) {
        prop_assume!(!name.trim().is_empty());
        let mapped = map(&[("deliveryAddress.fullName", text(&name)), ("notes.customerRemark", text(&note)), ("deliveryAddress.city", text(&city))], &[]);
        assert_valid(&mapped.unwrap());
    }

    #[test]
    fn framing_keeps_neighbours_apart(a in "[a-c]{0,3}", b in "[a-c]{0,3}", c in "[a-c]{0,3}", d in "[a-c]{0,3}") {
        let hash = |first: &str, second: &str| {
            let mut order = order_columns();
            order.extend([("notes.customerRemark", text(first)), ("notes.eshopRemark", text(second))]);
            mapping().row_hash(&record(&order, &[]))
        };
        prop_assert_eq!(hash(&a, &b) == hash(&c, &d), (&a, &b) == (&c, &d));
    }

    #[test]
    fn numbers_are_padded_into_guids(number in 0_u64..1_000_000_000_000) {
        let guid = canonical_guid(&number.to_string()).unwrap();
        prop_assert_eq!(guid.clone(), format!("00000000-0000-0000-0000-{number:012}"));
        prop_assert_eq!(canonical_guid(&guid.to_uppercase()), Some(guid));
    }

    #[test]
    fn money_of_any_cents_is_written_exactly(cents in 0_i64..100_000_000_000) {
        let given = rust_decimal::Decimal::new(cents, 2);
        let order = map(&[("price.withVat", Value::Number(given.to_string()))], &[]).unwrap().order;
        prop_assert_eq!(order.price.with_vat.to_string(), format!("{}.{:02}", cents / 100, cents % 100));
    }
}

/// A decimal number of so many ten-thousandths, written one way or another.
fn written_number(tenthousandths: i64, form: usize) -> Value {
    let number = rust_decimal::Decimal::new(tenthousandths, 4);
    match form % 6 {
        0 => Value::Number(number.to_string()),
        1 => text(&number.normalize().to_string()),
        2 => text(&format!("  +{number}00\n")),
        3 => text(&format!("{tenthousandths}e-4")),
        4 => text(&format!("{}E+1", rust_decimal::Decimal::new(tenthousandths, 5))),
        _ if number.is_integer() => Value::Int(tenthousandths / 10_000),
        _ => text(&format!("000{number}")),
    }
}

/// A moment written one way or another; as a wall clock only where that means one moment.
fn written_moment(seconds: i64, form: usize) -> Value {
    let moment = jiff::Timestamp::from_second(seconds).unwrap();
    let zoned = moment.in_tz("Europe/Prague").unwrap();
    let wall = zoned.datetime();
    let once = zoned
        .time_zone()
        .to_ambiguous_timestamp(wall)
        .unambiguous()
        .is_ok();
    let print = |form: &str| text(&zoned.strftime(form).to_string());
    match form % 11 {
        0 => Value::Time(moment),
        1 => Value::Int(seconds),
        2 => Value::Int(seconds * 1000 + 999),
        3 => text(&format!(" {seconds} ")),
        4 => text(&moment.to_string()),
        5 => print("%Y-%m-%dT%H:%M:%S%z"),
        6 => print("%Y-%m-%d %H:%M:%S.123 %:z"),
        7 if once => Value::Local(wall),
        8 if once => print("%Y-%m-%d %H:%M:%S"),
        9 if once => print("%-d. %-m. %Y %-H:%M:%S"),
        10 if once => print("%Y%m%d%H%M%S"),
        _ => Value::Number(format!("{seconds}.0")),
    }
}

/// What an order means, apart from how it is written.
#[derive(Clone, Debug, PartialEq)]
struct Meaning {
    money: i64,
    weight: i64,
    amount: i64,
    seconds: i64,
    country: usize,
    paid: bool,
    remark: String,
    customs: (i64, i64),
}

/// The same country in each column.
const COUNTRIES: [[&str; 4]; 3] = [
    ["CZ", " cz", "CZE", "ČESKÁ REPUBLIKA"],
    ["SK", "svk", "Slovensko", "slovenska republika"],
    ["DE", "de ", "Německo", "Deutschland"],
];

fn meaning() -> impl Strategy<Value = Meaning> {
    (
        0..100_000_000_i64,
        0..990_000_i64,
        1..50_000_i64,
        // More than a century, and the nights in which the clock is changed.
        prop_oneof![
            100_000_000..4_000_000_000_i64,
            (1_761_433_200..1_761_447_600_i64),
            (1_774_738_800..1_774_753_200_i64)
        ],
        0..COUNTRIES.len(),
        any::<bool>(),
        "[a-zA-Zž🌹][a-z \n]{0,8}[a-z]",
        (0..9_i64, 0..9_i64),
    )
        .prop_map(
            |(money, weight, amount, seconds, country, paid, remark, customs)| Meaning {
                money: money / 100 * 100,
                weight: weight / 10 * 10,
                amount: amount / 100 * 100 + 100,
                seconds,
                country,
                paid,
                remark,
                customs,
            },
        )
}

fn written(meaning: &Meaning, form: &[usize; 8]) -> Mapped {
    let yes = [Value::Bool(true), Value::Int(1), text("ano"), text("TRUE")];
    let no = [Value::Bool(false), Value::Int(0), text("ne"), Value::Null];
    let paid = if meaning.paid { &yes } else { &no };
    let remark = match form[6] % 3 {
        0 => meaning.remark.clone(),
        1 => format!("  {}\r\n", meaning.remark.replace('\n', "\r\n")),
        _ => format!("{}\0\u{7}", meaning.remark.replace('\n', "\r")),
    };
    let (one, two) = meaning.customs;
    let json = match form[7] % 2 {
        0 => format!("{{\"one\":{one},\"two\":[{{\"x\":{two},\"y\":null}}]}}"),
        _ => format!(" {{ \"two\": [ {{ \"y\": null, \"x\": {two} }} ],\n\"one\": {one} }}"),
    };
    map(
        &[
            ("price.withVat", written_number(meaning.money, form[0])),
            ("creationTime", written_moment(meaning.seconds, form[3])),
            (
                "deliveryAddress.countryCode",
                text(COUNTRIES[meaning.country][form[4] % 4]),
            ),
            ("paid", paid[form[5] % 4].clone()),
            ("notes.customerRemark", text(&remark)),
        ],
        &[
            ("weight", written_number(meaning.weight, form[1])),
            ("amount", written_number(meaning.amount, form[2])),
            ("buyPrice", text(&json)),
        ],
    )
    .unwrap_or_else(|problems| panic!("{meaning:?} as {form:?}: {problems:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn orders_are_the_same_where_and_only_where_they_mean_the_same(
        meant in meaning(),
        other in meaning(),
        kept in any::<[bool; 8]>(),
        one in any::<[usize; 8]>(),
        two in any::<[usize; 8]>(),
    ) {
        let first = written(&meant, &one);
        let again = written(&meant, &two);
        prop_assert_eq!(first.content, again.content, "{:?}: {:?}, {:?}", meant, one, two);
        prop_assert_eq!(content_hash(&again.order), again.content);
        let mixed = Meaning {
            money: if kept[0] { meant.money } else { other.money },
            weight: if kept[1] { meant.weight } else { other.weight },
            amount: if kept[2] { meant.amount } else { other.amount },
            seconds: if kept[3] { meant.seconds } else { other.seconds },
            country: if kept[4] { meant.country } else { other.country },
            paid: if kept[5] { meant.paid } else { other.paid },
            remark: if kept[6] { meant.remark.clone() } else { other.remark.clone() },
            customs: if kept[7] { meant.customs } else { other.customs },
        };
        let differs = written(&mixed, &two);
        prop_assert_eq!(differs.content == first.content, mixed == meant, "{:?}, {:?}", meant, mixed);
    }

    #[test]
    fn a_moment_is_told_exactly_however_it_is_written(seconds in 100_000_000..4_000_000_000_i64, form in any::<usize>()) {
        let order = map(&[("creationTime", written_moment(seconds, form))], &[]).unwrap().order;
        let told = jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%z", &order.creation_time).unwrap();
        prop_assert_eq!(told.to_timestamp().unwrap().as_second(), seconds, "{}", order.creation_time);
    }

    #[test]
    fn money_and_weight_are_rounded_half_up_once(tenthousandths in 0..990_000_i64, form in any::<usize>()) {
        let price = Value::Number(rust_decimal::Decimal::new(tenthousandths, 4).to_string());
        let mapped = map(&[("price.withVat", price)], &[("weight", written_number(tenthousandths, form))]).unwrap();
        let cents = (tenthousandths + 50) / 100;
        prop_assert_eq!(mapped.order.price.with_vat.to_string(), format!("{}.{:02}", cents / 100, cents % 100));
        let grams = (tenthousandths + 5) / 10;
        prop_assert_eq!(mapped.order.items[0].weight.to_string(), format!("{}.{:03}", grams / 1000, grams % 1000));
    }

    #[test]
    fn any_text_is_a_guid_in_its_one_form_or_none(
        any in any::<String>(),
        like in "[ {]?[0-9a-fA-F-]{0,40}[} ]?",
        guid in " ?[{]?[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}[}]? ?",
        digits in "[0-9a-fA-F]{32}",
    ) {
        prop_assert!(canonical_guid(&digits).is_some());
        for given in [any, like, guid, digits] {
            let Some(guid) = canonical_guid(&given) else { continue };
            prop_assert_eq!(uuid::Uuid::parse_str(&guid).unwrap().hyphenated().to_string(), guid.clone(), "{}", given);
            prop_assert_eq!(canonical_guid(&guid), Some(guid));
        }
    }
}

#[test]
fn an_order_that_could_not_be_read_is_parked_with_that_reason_alone() {
    let mut columns = order_columns();
    columns.insert("_problem", text("line 12: column `STATUS` is missing"));
    columns.remove("price.withVat");
    let mut record = record(&columns, &[item_columns()]);
    let problems = mapping().map(&record).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(
        problems[0].to_string(),
        "order: line 12: column `STATUS` is missing"
    );
    assert_eq!(problems[0].owner, Owner::Shop);
    columns = order_columns();
    columns.insert("_problem", Value::Null);
    record.order = row(&columns);
    assert!(mapping().map(&record).is_ok());
}

/// Orders as no shop would write them, ten thousand of them, through the client to a service that holds every one
/// against the contract.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_orders_of_any_text_are_taken_by_the_service() {
    use brani_sync::brani::{Service, client::Client};
    use futures_util::{StreamExt, stream};
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    const COUNT: usize = 10_000;
    let options = brani_sync::sandbox::Options {
        requests_max: 0,
        ..Default::default()
    };
    let sandbox = super::sandbox::start(options).await;
    let token = brani_sync::config::secret::Secret::new("sandbox");
    let patience = std::time::Duration::from_secs(60);
    let client = Client::new(
        &sandbox.base_url(),
        &token,
        patience,
        1e6,
        super::sandbox::clock(),
    )
    .unwrap();
    client
        .post_eshop_info(&mapping().dictionaries().info())
        .await
        .unwrap();

    // The same orders at every run: a failure can be looked into.
    let mut runner = TestRunner::deterministic();
    // A shop that names Brani's own ids itself must name ones that Brani has.
    let own = |column: &&&str| !["shippingGuid", "paymentMethodGuid", "status.id"].contains(*column);
    let order_columns: Vec<&str> = ORDER_COLUMNS.iter().filter(own).copied().collect();
    let item_columns: Vec<&str> = ITEM_COLUMNS.iter().filter(own).copied().collect();
    let strategy = (
        proptest::collection::vec((proptest::sample::select(order_columns), value()), 0..4),
        proptest::collection::vec((proptest::sample::select(item_columns), value()), 0..3),
        ("\\PC{1,40}", any::<String>(), any::<String>(), any::<String>()),
    );
    let mut orders = Vec::new();
    let mut refused = 0;
    while orders.len() < COUNT {
        let (mut order, mut item, (name, note, city, product)) =
            strategy.new_tree(&mut runner).unwrap().current();
        order.extend([
            ("deliveryAddress.fullName", text(&name)),
            ("notes.customerRemark", text(&note)),
            ("deliveryAddress.city", text(&city)),
        ]);
        item.push(("name", text(&product)));
        match map(&order, &item) {
            Ok(mapped) => {
                let mut order = mapped.order;
                order.status = mapped.status.map(|id| brani_sync::brani::model::Status { id });
                orders.push(order);
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                refused += 1;
            }
        }
        assert!(
            refused < 100 * COUNT,
            "hardly anything maps any more: {} of {refused}",
            orders.len()
        );
    }
    let client = &client;
    let complaints: Vec<String> = stream::iter(orders)
        .map(|order| async move {
            let error = client.upsert(&order).await.err()?;
            Some(format!("{error:?}: {}", serde_json::to_string(&order).unwrap()))
        })
        .buffer_unordered(16)
        .filter_map(|complaint| async { complaint })
        .collect()
        .await;
    assert!(
        complaints.is_empty(),
        "{} of {COUNT} are refused, e.g. {}",
        complaints.len(),
        complaints[0]
    );
}
