//! The contract as tables, and the walk that holds a body against them.
//!
//! Complaints have FastAPI's shape. Nothing is coerced: a decimal is a string, a number is no string. What the
//! contract does not list is refused, so that a misspelt field cannot pass for an optional one that was left out.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Complaints told of one body.
const COMPLAINTS_MAX: usize = 100;

/// What orders may refer to: the ids of the e-shop info that stands.
#[derive(Debug, Default)]
pub(super) struct References {
    pub statuses: HashSet<i64>,
    pub shipping: HashSet<String>,
    pub payments: HashSet<String>,
}

/// One key of an object.
pub(super) struct Field {
    name: &'static str,
    required: bool,
    nullable: bool,
    kind: Kind,
}

enum Kind {
    Text,
    Integer,
    Range(i64, i64),
    Boolean,
    /// A decimal number as a string.
    Decimal,
    /// The same with exactly two places.
    Money,
    OneOf(&'static [&'static str]),
    Moment,
    Country,
    Currency,
    Guid,
    StatusId,
    ShippingGuid,
    PaymentGuid,
    Object(&'static [Field]),
    List(&'static [Field]),
    /// A text or a list of texts.
    Texts,
    AnyObject,
    Any,
}

const fn must(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        required: true,
        nullable: false,
        kind,
    }
}
/// A required key that may be null.
const fn key(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        required: true,
        nullable: true,
        kind,
    }
}
const fn may(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        required: false,
        nullable: true,
        kind,
    }
}

static SHIPPING_DETAILS: [Field; 2] = [may("branchId", Kind::Text), may("carrierId", Kind::Text)];

static DELIVERY: [Field; 10] = [
    must("fullName", Kind::Text),
    may("company", Kind::Text),
    may("street", Kind::Text),
    may("houseNumber", Kind::Text),
    may("city", Kind::Text),
    may("district", Kind::Text),
    may("additional", Kind::Text),
    may("zip", Kind::Text),
    may("countryCode", Kind::Country),
    may("regionName", Kind::Text),
];

static BILLING: [Field; 13] = [
    must("fullName", Kind::Text),
    may("company", Kind::Text),
    may("street", Kind::Text),
    may("houseNumber", Kind::Text),
    may("city", Kind::Text),
    may("district", Kind::Text),
    may("additional", Kind::Text),
    may("zip", Kind::Text),
    may("countryCode", Kind::Country),
    may("regionName", Kind::Text),
    may("companyId", Kind::Text),
    may("vatId", Kind::Text),
    may("taxId", Kind::Text),
];

static NOTES: [Field; 3] = [
    may("trackingNumber", Kind::Text),
    may("eshopRemark", Kind::Text),
    may("customerRemark", Kind::Text),
];

static ORDER_STATUS: [Field; 1] = [must("id", Kind::StatusId)];

static PRICE: [Field; 3] = [
    must("toPay", Kind::Money),
    must("withVat", Kind::Money),
    must("currencyCode", Kind::Currency),
];

static PARAMETER_NAME: [Field; 2] = [must("code", Kind::Any), must("name", Kind::Any)];
static PARAMETER_VALUE: [Field; 3] = [
    must("valueIndex", Kind::Any),
    must("description", Kind::Any),
    must("price", Kind::Any),
];
static SURCHARGE: [Field; 2] = [
    must("parameterName", Kind::Object(&PARAMETER_NAME)),
    must("parameterValue", Kind::Object(&PARAMETER_VALUE)),
];

static ITEM: [Field; 26] = [
    may("itemId", Kind::Integer),
    must(
        "itemType",
        Kind::OneOf(&["product", "second-hand", "service", "gift", "product-set"]),
    ),
    must("code", Kind::Text),
    must("name", Kind::Text),
    may("variantName", Kind::Text),
    key("productGuid", Kind::Text),
    must("amount", Kind::Decimal),
    must("amountUnit", Kind::Text),
    must("weight", Kind::Decimal),
    may("vatRate", Kind::Decimal),
    may("itemPriceWithVat", Kind::Decimal),
    may("ean", Kind::Text),
    may("brand", Kind::Text),
    may("supplierName", Kind::Text),
    may("stockLocation", Kind::Text),
    may("remark", Kind::Text),
    may("additionalField", Kind::Text),
    may("status", Kind::Object(&ORDER_STATUS)),
    may("image", Kind::Text),
    may("buyPrice", Kind::AnyObject),
    may("adminUrl", Kind::Text),
    may("surchargeParameters", Kind::List(&SURCHARGE)),
    may("content_name_en", Kind::Text),
    may("content_country", Kind::Text),
    may("content_customs_code", Kind::Text),
    may("content_description", Kind::Text),
];

static ORDER: [Field; 23] = [
    must("code", Kind::Text),
    must("creationTime", Kind::Moment),
    must("email", Kind::Text),
    must("phone", Kind::Text),
    may("shippingDetails", Kind::Object(&SHIPPING_DETAILS)),
    may("billingMethodCode", Kind::Range(1, 4)),
    may("paymentMethodGuid", Kind::PaymentGuid),
    may("shippingGuid", Kind::ShippingGuid),
    may("paid", Kind::Boolean),
    may("companyId", Kind::Text),
    may("vatId", Kind::Text),
    may("taxId", Kind::Text),
    must("deliveryAddress", Kind::Object(&DELIVERY)),
    may("cashDeskOrder", Kind::Boolean),
    may("addressesEqual", Kind::Boolean),
    must("notes", Kind::Object(&NOTES)),
    may("status", Kind::Object(&ORDER_STATUS)),
    key("billingAddress", Kind::Object(&BILLING)),
    must("price", Kind::Object(&PRICE)),
    may("adminUrl", Kind::Text),
    must("items", Kind::List(&ITEM)),
    may("vs", Kind::Text),
    may("externalCode", Kind::Text),
];

static NAMED_STATUS: [Field; 2] = [must("id", Kind::Integer), must("name", Kind::Text)];
static STATUSES: [Field; 1] = [must("statuses", Kind::List(&NAMED_STATUS))];
static NAMED: [Field; 2] = [must("guid", Kind::Guid), must("name", Kind::Text)];
static METHODS: [Field; 1] = [must("methods", Kind::List(&NAMED))];
static RETAIL_WHOLESALE: [Field; 2] = [
    must("retail", Kind::Object(&METHODS)),
    must("wholesale", Kind::Object(&METHODS)),
];
static ESHOP_INFO: [Field; 3] = [
    must("orderStatuses", Kind::Object(&STATUSES)),
    must("shippingMethods", Kind::Object(&RETAIL_WHOLESALE)),
    must("paymentMethods", Kind::Object(&RETAIL_WHOLESALE)),
];
static ESHOP_INFO_REQUEST: [Field; 1] = [must("data", Kind::Object(&ESHOP_INFO))];

static CUSTOMS_DATA: [Field; 5] = [
    must("product_code", Kind::Text),
    may("content_name_en", Kind::Text),
    may("content_country", Kind::Text),
    may("content_customs_code", Kind::Text),
    may("content_description", Kind::Text),
];
static CUSTOMS: [Field; 2] = [
    must("order_code", Kind::Text),
    must("customs", Kind::List(&CUSTOMS_DATA)),
];
static PRIORITY: [Field; 2] = [
    must("order_code", Kind::Texts),
    must("priority", Kind::Range(0, 3)),
];
static ORDERING_ONE: [Field; 2] = [
    must("order_code", Kind::Text),
    must("ordering_number", Kind::Integer),
];
static ORDERING: [Field; 1] = [must("orders", Kind::List(&ORDERING_ONE))];
static TAGS: [Field; 2] = [must("order_code", Kind::Texts), must("tag_id", Kind::Integer)];
static WEBHOOK: [Field; 2] = [
    must(
        "event_type",
        Kind::OneOf(&[
            "balic_packed",
            "balic_picked",
            "package_number",
            "order_history",
            "status_change",
            "added_to_cart",
            "shipping_change",
            "movement_document_created",
            "movement_document_updated",
            "inventory_check_completed",
            "personal_pickup_stored",
            "personal_pickup_issued",
            "task_created",
            "task_assigned",
            "task_status_changed",
        ]),
    ),
    must("url", Kind::Text),
];
static WEBHOOK_URL: [Field; 1] = [must("url", Kind::Text)];
static TRACK: [Field; 1] = [must("order_code", Kind::Text)];
static ATTRIBUTES: [Field; 3] = [
    must("order_code", Kind::Text),
    must("attribute_code", Kind::Text),
    may("value", Kind::Any),
];
static REMARK: [Field; 4] = [
    must("eshop_id", Kind::Integer),
    must("is_multieshop_request", Kind::Boolean),
    must("order_code", Kind::Text),
    must("remark", Kind::Text),
];

/// The bodies that the service takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    EshopInfo,
    Customs,
    Priority,
    Ordering,
    Tags,
    Webhook,
    WebhookUrl,
    Track,
    Attributes,
    Remark,
}

impl Body {
    fn table(self) -> &'static [Field] {
        match self {
            Body::EshopInfo => &ESHOP_INFO_REQUEST,
            Body::Customs => &CUSTOMS,
            Body::Priority => &PRIORITY,
            Body::Ordering => &ORDERING,
            Body::Tags => &TAGS,
            Body::Webhook => &WEBHOOK,
            Body::WebhookUrl => &WEBHOOK_URL,
            Body::Track => &TRACK,
            Body::Attributes => &ATTRIBUTES,
            Body::Remark => &REMARK,
        }
    }
}

/// One complaint in FastAPI's shape.
pub(super) fn complaint(loc: &[Value], msg: &str, kind: &str) -> Value {
    json!({ "loc": loc, "msg": msg, "type": kind })
}

/// The 422 of complaints.
pub(super) fn detail(complaints: Vec<Value>) -> Value {
    json!({ "detail": complaints })
}

/// A guid as the service keeps it: a UUID, or a number left-padded into one.
pub(super) fn guid(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if (1..=32).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit) {
        let digits = format!("{text:0>32}");
        return Some(format!(
            "{}-{}-{}-{}-{}",
            &digits[..8],
            &digits[8..12],
            &digits[12..16],
            &digits[16..20],
            &digits[20..]
        ));
    }
    let uuid = bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    uuid.then(|| text.to_ascii_lowercase())
}

/// Holds an upsert's body against the contract.
pub(super) fn order(body: &Value, references: &References, now: Timestamp) -> Result<(), Value> {
    let mut walk = Walk::new(references, now);
    match body {
        Value::Object(map) => {
            for (name, value) in map {
                walk.at(name, |walk| match (name.as_str(), value) {
                    ("data", Value::Object(data)) => walk.order(data),
                    ("data", _) => walk.complain("Input should be a valid dictionary", "dict_type"),
                    _ => walk.extra(),
                });
            }
            if !map.contains_key("data") {
                walk.missing("data");
            }
        }
        _ => walk.complain("Input should be a valid dictionary", "dict_type"),
    }
    walk.end()
}

/// Holds another body against the contract.
pub(super) fn body(kind: Body, body: &Value) -> Result<(), Value> {
    let none = References::default();
    let mut walk = Walk::new(&none, Timestamp::UNIX_EPOCH);
    match body {
        Value::Object(map) => walk.fields(map, kind.table()),
        _ => walk.complain("Input should be a valid dictionary", "dict_type"),
    }
    walk.end()
}

enum Step<'v> {
    Name(&'v str),
    Index(usize),
}

struct Walk<'v, 'r> {
    references: &'r References,
    now: Timestamp,
    path: Vec<Step<'v>>,
    complaints: Vec<Value>,
}

impl<'v, 'r> Walk<'v, 'r> {
    fn new(references: &'r References, now: Timestamp) -> Self {
        Self {
            references,
            now,
            path: vec![Step::Name("body")],
            complaints: Vec::new(),
        }
    }

    fn end(self) -> Result<(), Value> {
        if self.complaints.is_empty() {
            Ok(())
        } else {
            Err(detail(self.complaints))
        }
    }

    fn complain(&mut self, msg: &str, kind: &str) {
        if self.complaints.len() >= COMPLAINTS_MAX {
            return;
        }
        let loc: Vec<Value> = self
            .path
            .iter()
            .map(|step| match step {
                Step::Name(name) => Value::from(*name),
                Step::Index(index) => Value::from(*index),
            })
            .collect();
        self.complaints.push(complaint(&loc, msg, kind));
    }

    fn extra(&mut self) {
        self.complain("Extra inputs are not permitted", "extra_forbidden");
    }

    fn missing(&mut self, name: &'v str) {
        self.at(name, |walk| walk.complain("Field required", "missing"));
    }

    fn at(&mut self, name: &'v str, look: impl FnOnce(&mut Self)) {
        self.path.push(Step::Name(name));
        look(self);
        self.path.pop();
    }

    fn order(&mut self, data: &'v Map<String, Value>) {
        self.fields(data, &ORDER);
        if data.get("code").and_then(Value::as_str) == Some("") {
            self.at("code", |walk| {
                walk.complain("String should have at least 1 character", "string_too_short");
            });
        }
        // the newer form keeps the numbers inside the billing address and wants the whole address there
        if let Some(Value::Object(billing)) = data.get("billingAddress") {
            let newer = ["companyId", "vatId", "taxId"]
                .iter()
                .any(|name| billing.get(*name).is_some_and(|value| !value.is_null()));
            if newer {
                for name in ["street", "city", "zip", "countryCode"] {
                    if billing.get(name).is_none_or(Value::is_null) {
                        self.at("billingAddress", |walk| walk.missing(name));
                    }
                }
            }
        }
        if let Some(Value::Array(items)) = data.get("items") {
            let mut seen = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let Some(id) = item.get("itemId").and_then(Value::as_i64) else {
                    continue;
                };
                if !seen.insert(id) {
                    self.at("items", |walk| {
                        walk.path.push(Step::Index(index));
                        walk.at("itemId", |walk| {
                            walk.complain("Value error, itemId is not unique in the order", "value_error");
                        });
                        walk.path.pop();
                    });
                }
            }
        }
    }

    fn fields(&mut self, map: &'v Map<String, Value>, table: &'static [Field]) {
        for (name, value) in map {
            self.path.push(Step::Name(name));
            match table.iter().find(|field| field.name == name) {
                Some(field) if value.is_null() && field.nullable => {}
                Some(field) => self.value(value, &field.kind),
                None => self.extra(),
            }
            self.path.pop();
        }
        for field in table {
            if field.required && !map.contains_key(field.name) {
                self.missing(field.name);
            }
        }
    }

    fn text(&mut self, value: &'v Value) -> Option<&'v str> {
        let text = value.as_str();
        if text.is_none() {
            self.complain("Input should be a valid string", "string_type");
        }
        text
    }

    fn integer(&mut self, value: &Value) -> Option<i64> {
        let number = value.as_i64();
        if number.is_none() {
            self.complain("Input should be a valid integer", "int_type");
        }
        number
    }

    fn check(&mut self, good: bool, msg: &str, kind: &str) {
        if !good {
            self.complain(msg, kind);
        }
    }

    fn reference(&mut self, value: &'v Value, among: &HashSet<String>, msg: &str) {
        let Some(text) = self.text(value) else { return };
        let known = guid(text).is_some_and(|guid| among.contains(&guid));
        self.check(known, msg, "value_error");
    }

    fn value(&mut self, value: &'v Value, kind: &'static Kind) {
        match kind {
            Kind::Text => {
                self.text(value);
            }
            Kind::Integer => {
                self.integer(value);
            }
            Kind::Range(low, high) => {
                if let Some(number) = self.integer(value) {
                    let good = (*low..=*high).contains(&number);
                    self.check(good, &format!("Input should be {low} to {high}"), "literal_error");
                }
            }
            Kind::Boolean => self.check(value.is_boolean(), "Input should be a valid boolean", "bool_type"),
            Kind::Decimal => {
                if let Some(text) = self.text(value) {
                    let good = places(text).is_some();
                    self.check(good, "Input should be a valid decimal", "decimal_parsing");
                }
            }
            Kind::Money => {
                if let Some(text) = self.text(value) {
                    match places(text) {
                        None => self.complain("Input should be a valid decimal", "decimal_parsing"),
                        Some(2) => {}
                        Some(_) => {
                            self.complain("Decimal input should have two decimal places", "decimal_places");
                        }
                    }
                }
            }
            Kind::OneOf(names) => {
                if let Some(text) = self.text(value) {
                    let good = names.contains(&text);
                    self.check(
                        good,
                        &format!("Input should be one of {names:?}"),
                        "literal_error",
                    );
                }
            }
            Kind::Moment => {
                if let Some(text) = self.text(value) {
                    match moment(text) {
                        None => self.complain(
                            "Input should be a valid datetime with an offset",
                            "datetime_parsing",
                        ),
                        Some(at) => {
                            self.check(at <= self.now, "Input should be in the past", "datetime_past");
                        }
                    }
                }
            }
            Kind::Country => self.capitals(value, 2, "Input should be an ISO 3166-1 alpha-2 code"),
            Kind::Currency => self.capitals(value, 3, "Input should be an ISO 4217 code"),
            Kind::Guid => {
                if let Some(text) = self.text(value) {
                    self.check(
                        guid(text).is_some(),
                        "Input should be a valid UUID",
                        "uuid_parsing",
                    );
                }
            }
            Kind::StatusId => {
                if let Some(id) = self.integer(value) {
                    let known = self.references.statuses.contains(&id);
                    self.check(known, "Value error, unknown order status", "value_error");
                }
            }
            Kind::ShippingGuid => {
                self.reference(
                    value,
                    &self.references.shipping,
                    "Value error, unknown shipping method",
                );
            }
            Kind::PaymentGuid => {
                self.reference(
                    value,
                    &self.references.payments,
                    "Value error, unknown payment method",
                );
            }
            Kind::Object(table) => match value {
                Value::Object(map) => self.fields(map, table),
                _ => self.complain("Input should be a valid dictionary", "dict_type"),
            },
            Kind::List(table) => match value {
                Value::Array(list) => {
                    for (index, element) in list.iter().enumerate() {
                        self.path.push(Step::Index(index));
                        match element {
                            Value::Object(map) => self.fields(map, table),
                            _ => self.complain("Input should be a valid dictionary", "dict_type"),
                        }
                        self.path.pop();
                    }
                }
                _ => self.complain("Input should be a valid list", "list_type"),
            },
            Kind::Texts => match value {
                Value::String(_) => {}
                Value::Array(list) => {
                    for (index, element) in list.iter().enumerate() {
                        self.path.push(Step::Index(index));
                        self.text(element);
                        self.path.pop();
                    }
                }
                _ => self.complain("Input should be a valid string", "string_type"),
            },
            Kind::AnyObject => {
                self.check(
                    value.is_object(),
                    "Input should be a valid dictionary",
                    "dict_type",
                );
            }
            Kind::Any => {}
        }
    }

    fn capitals(&mut self, value: &'v Value, length: usize, msg: &str) {
        if let Some(text) = self.text(value) {
            let good = text.len() == length && text.bytes().all(|byte| byte.is_ascii_uppercase());
            self.check(good, msg, "string_pattern_mismatch");
        }
    }
}

/// How many places a decimal string has; `None` when it is none.
fn places(text: &str) -> Option<usize> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    match text.split_once('.') {
        Some((whole, part)) => (digits(whole) && digits(part)).then_some(part.len()),
        None => digits(text).then_some(0),
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.f]` with `Z`, `+HH:MM` or `+HHMM`, and nothing else that a lenient parser would take.
fn moment(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 || bytes[10] != b'T' {
        return None;
    }
    let shape = bytes[..19].iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        10 => *byte == b'T',
        13 | 16 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
    let mut tail = &bytes[19..];
    if tail[0] == b'.' {
        let fraction = tail[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if fraction == 0 {
            return None;
        }
        tail = &tail[1 + fraction..];
    }
    let offset = match tail {
        [b'Z'] => true,
        [b'+' | b'-', rest @ ..] if rest.len() == 4 => digits(rest),
        [b'+' | b'-', rest @ ..] if rest.len() == 5 => {
            rest[2] == b':' && digits(&rest[..2]) && digits(&rest[3..])
        }
        _ => false,
    };
    (shape && offset).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{guid, moment, places};

    #[test]
    fn number_is_padded_into_a_guid() {
        assert_eq!(
            guid("12345").as_deref(),
            Some("00000000-0000-0000-0000-000000012345")
        );
        assert_eq!(guid("x"), None);
        assert_eq!(guid(""), None);
    }

    #[test]
    fn only_plain_decimal_strings_are_decimals() {
        assert_eq!(places("100.90"), Some(2));
        assert_eq!(places("-1"), Some(0));
        for wrong in ["", "1,5", "1.", ".5", "+1", "1e3", " 1", "NaN", "1 000", "--1"] {
            assert_eq!(places(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn moment_needs_an_offset() {
        for good in [
            "2017-12-12T22:08:01+0100",
            "2017-12-12T22:08:01+01:00",
            "2017-12-12T22:08:01.5Z",
        ] {
            assert!(moment(good).is_some(), "{good}");
        }
        for wrong in [
            "2017-12-12T22:08:01",
            "2017-12-12 22:08:01+01:00",
            "2017-13-12T22:08:01Z",
            "2017-12-12T22:08:01+01",
            "1513112881",
            "2017-12-12",
            "2017-12-12T22:08:01+01:00[Europe/Prague]",
        ] {
            assert!(moment(wrong).is_none(), "{wrong}");
        }
    }
}
