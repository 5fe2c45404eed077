//! What is different: the row hash, the content hash, and a short keyed hash per field.
//!
//! The row hash is fast and says "perhaps"; the content hash is slow and decides. Both are xxh3-128: nobody chooses
//! both of two orders, so it need not withstand an attacker. The hashes per field are kept for long and must not
//! give away a short value, hence a key and HMAC.

use super::time;
use crate::brani::model::Order;
use crate::source::{Record, Row, Value};
use crate::types::{PayloadHash, RowHash};
use hmac::{Hmac, KeyInit, Mac};
use rust_decimal::Decimal;
use serde_json::{Map, Value as Json};
use sha2::Sha256;
use xxhash_rust::xxh3::xxh3_128;

/// The raw columns of a record and its items, framed so that no two records share the bytes: every text is
/// preceded by its length, every value by its type.
pub(crate) fn row_hash(record: &Record) -> RowHash {
    // One buffer a record: filling it is cheaper than feeding a hash in small pieces.
    let mut frame = Vec::with_capacity(4096);
    put_text(&mut frame, record.key.as_str());
    put_text(&mut frame, record.code.as_str());
    match &record.status {
        Some(status) => put_text(&mut frame, status.as_str()),
        None => frame.push(0xff),
    }
    frame.push(u8::from(record.gone));
    put_names(&mut frame, &record.order);
    put_values(&mut frame, &record.order);
    put_length(&mut frame, record.items.len());
    let mut before: Option<&Row> = None;
    for item in &record.items {
        // All items of a query have the same names; they are written once.
        let same = before
            .is_some_and(|row| std::sync::Arc::ptr_eq(&row.names, &item.names) || row.names == item.names);
        frame.push(u8::from(same));
        if !same {
            put_names(&mut frame, item);
        }
        put_values(&mut frame, item);
        before = Some(item);
    }
    RowHash(xxh3_128(&frame).to_be_bytes())
}

fn put_length(frame: &mut Vec<u8>, length: usize) {
    frame.extend_from_slice(&(length as u64).to_le_bytes());
}

fn put_text(frame: &mut Vec<u8>, text: &str) {
    put_length(frame, text.len());
    frame.extend_from_slice(text.as_bytes());
}

fn put_names(frame: &mut Vec<u8>, row: &Row) {
    put_length(frame, row.names.len());
    row.names.iter().for_each(|name| put_text(frame, name));
}

/// A row that was touched and not changed keeps its hash: the cursor is left out.
fn put_values(frame: &mut Vec<u8>, row: &Row) {
    put_length(frame, row.values.len());
    for (place, value) in row.values.iter().enumerate() {
        if row.names.get(place).is_some_and(|name| name == "_cursor") {
            continue;
        }
        put_value(frame, value);
    }
}

fn put_value(frame: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => frame.push(0),
        Value::Text(text) => {
            frame.push(1);
            put_text(frame, text);
        }
        Value::Int(number) => {
            frame.push(2);
            frame.extend_from_slice(&number.to_le_bytes());
        }
        Value::Number(text) => {
            frame.push(3);
            put_text(frame, text);
        }
        Value::Bool(flag) => frame.extend_from_slice(&[4, u8::from(*flag)]),
        Value::Local(wall) => {
            frame.push(5);
            frame.extend_from_slice(&wall.year().to_le_bytes());
            let parts = [
                wall.month(),
                wall.day(),
                wall.hour(),
                wall.minute(),
                wall.second(),
            ];
            parts
                .iter()
                .for_each(|part| frame.extend_from_slice(&part.to_le_bytes()));
            frame.extend_from_slice(&wall.subsec_nanosecond().to_le_bytes());
        }
        Value::Time(moment) => {
            frame.push(6);
            frame.extend_from_slice(&moment.as_nanosecond().to_le_bytes());
        }
    }
}

/// A hash of anything that is framed by the caller.
pub(crate) fn short(frame: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(frame)
}

/// The hash of the canonical form.
pub(crate) fn content_hash(order: &Order) -> PayloadHash {
    let mut text = String::with_capacity(2048);
    write_sorted(&canonical(order), &mut text);
    PayloadHash(xxh3_128(text.as_bytes()).to_be_bytes())
}

/// The order with everything equal that means the same: no status, nothing that is null or the contract's default,
/// numbers without trailing zeros, the creation time as a moment. Keys are sorted when it is written.
fn canonical(order: &Order) -> Json {
    let Ok(Json::Object(mut fields)) = serde_json::to_value(order) else {
        return Json::Null; // text and decimals always serialise
    };
    fields.remove("status");
    if let Some(moment) = time::of_written(&order.creation_time) {
        fields.insert("creationTime".to_owned(), Json::from(moment.as_second()));
    }
    for flag in ["paid", "cashDeskOrder"] {
        if fields.get(flag) == Some(&Json::Bool(false)) {
            fields.remove(flag);
        }
    }
    if let Some(Json::Object(price)) = fields.get_mut("price") {
        set_number(price, "toPay", Some(order.price.to_pay));
        set_number(price, "withVat", Some(order.price.with_vat));
    }
    if let Some(Json::Array(items)) = fields.get_mut("items") {
        for (json, item) in items.iter_mut().zip(&order.items) {
            let Json::Object(json) = json else { continue };
            set_number(json, "amount", Some(item.amount));
            set_number(json, "weight", Some(item.weight));
            set_number(json, "vatRate", item.vat_rate);
            set_number(json, "itemPriceWithVat", item.item_price_with_vat);
        }
    }
    fields.retain(|_, value| !value.is_null() && !value.as_object().is_some_and(Map::is_empty));
    Json::Object(fields)
}

fn set_number(fields: &mut Map<String, Json>, name: &str, number: Option<Decimal>) {
    if let Some(number) = number {
        fields.insert(name.to_owned(), Json::String(number.normalize().to_string()));
    }
}

/// Compact JSON with sorted keys and without nulls in objects.
fn write_sorted(json: &Json, text: &mut String) {
    match json {
        Json::Object(fields) => {
            let mut present: Vec<_> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
            present.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (place, (name, value)) in present.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&Json::from(name.as_str()).to_string());
                text.push(':');
                write_sorted(value, text);
            }
            text.push('}');
        }
        Json::Array(list) => {
            text.push('[');
            for (place, value) in list.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_sorted(value, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

/// The form of [`field_hashes`]; another one compares with nothing.
const FIELDS_FORM: u8 = 1;
/// Bytes kept of each field's hash: one in 16 million changes goes unnamed.
const KEPT: usize = 3;

/// The order's fields, each with its bit. Only ever add at the end, or raise [`FIELDS_FORM`].
const ORDER_FIELDS: [&str; 47] = [
    "code",
    "creationTime",
    "email",
    "phone",
    "shippingDetails.branchId",
    "shippingDetails.carrierId",
    "billingMethodCode",
    "paymentMethodGuid",
    "shippingGuid",
    "paid",
    "companyId",
    "vatId",
    "taxId",
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
    "cashDeskOrder",
    "addressesEqual",
    "notes.trackingNumber",
    "notes.eshopRemark",
    "notes.customerRemark",
    "billingAddress.fullName",
    "billingAddress.company",
    "billingAddress.street",
    "billingAddress.houseNumber",
    "billingAddress.city",
    "billingAddress.district",
    "billingAddress.additional",
    "billingAddress.zip",
    "billingAddress.countryCode",
    "billingAddress.regionName",
    "billingAddress.companyId",
    "billingAddress.vatId",
    "billingAddress.taxId",
    "price.toPay",
    "price.withVat",
    "price.currencyCode",
    "adminUrl",
    "vs",
    "externalCode",
];

/// An item's fields, each with its bit; the same rule.
const ITEM_FIELDS: [&str; 26] = [
    "itemId",
    "itemType",
    "code",
    "name",
    "variantName",
    "productGuid",
    "amount",
    "amountUnit",
    "weight",
    "vatRate",
    "itemPriceWithVat",
    "ean",
    "brand",
    "supplierName",
    "stockLocation",
    "remark",
    "additionalField",
    "status.id",
    "image",
    "buyPrice",
    "adminUrl",
    "surchargeParameters",
    "content_name_en",
    "content_country",
    "content_customs_code",
    "content_description",
];

/// One byte for the form; for the order and then for each item: eight bytes that say which fields are there,
/// and three bytes of each of those.
pub(crate) fn field_hashes(order: &Order, key: &[u8; 32]) -> Vec<u8> {
    let canonical = canonical(order);
    let keyed = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(keyed) => keyed,
        Err(_) => return Vec::new(), // HMAC takes a key of any length
    };
    let mut hashes = vec![FIELDS_FORM];
    put_fields(&mut hashes, &keyed, &canonical, "", &ORDER_FIELDS);
    let items = canonical.get("items").and_then(Json::as_array);
    for (index, item) in items.into_iter().flatten().enumerate() {
        put_fields(
            &mut hashes,
            &keyed,
            item,
            &format!("items[{index}]."),
            &ITEM_FIELDS,
        );
    }
    hashes
}

fn put_fields(hashes: &mut Vec<u8>, keyed: &Hmac<Sha256>, object: &Json, prefix: &str, fields: &[&str]) {
    let start = hashes.len();
    hashes.extend_from_slice(&[0; 8]);
    let mut present = 0_u64;
    let mut text = String::new();
    for (bit, field) in fields.iter().enumerate() {
        let value = field.split('.').try_fold(object, |within, part| within.get(part));
        let Some(value) = value.filter(|value| !value.is_null()) else {
            continue;
        };
        present |= 1 << bit;
        text.clear();
        write_sorted(value, &mut text);
        let mut mac = keyed.clone();
        mac.update(prefix.as_bytes());
        mac.update(field.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        hashes.extend_from_slice(&mac.finalize().into_bytes()[..KEPT]);
    }
    hashes[start..start + 8].copy_from_slice(&present.to_le_bytes());
}

/// The order's fields first, then items by place. Empty where one side has another form or was never kept.
pub(crate) fn fields_that_differ(before: &[u8], after: &[u8]) -> Vec<String> {
    let (Some(before), Some(after)) = (blocks(before), blocks(after)) else {
        return Vec::new();
    };
    let mut differ = Vec::new();
    for place in 0..before.len().max(after.len()) {
        match (before.get(place), after.get(place)) {
            (Some(old), Some(new)) if place == 0 => name_differing(&mut differ, "", &ORDER_FIELDS, old, new),
            (Some(old), Some(new)) => {
                let prefix = format!("items[{}].", place - 1);
                name_differing(&mut differ, &prefix, &ITEM_FIELDS, old, new);
            }
            (None, Some(_)) => differ.push(format!("items[{}] (added)", place - 1)),
            (Some(_), None) => differ.push(format!("items[{}] (removed)", place - 1)),
            (None, None) => {}
        }
    }
    differ
}

/// Which fields are there, and their hashes.
type Block<'a> = (u64, &'a [u8]);

fn blocks(bytes: &[u8]) -> Option<Vec<Block<'_>>> {
    let (&form, mut rest) = bytes.split_first()?;
    if form != FIELDS_FORM {
        return None;
    }
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let (present, behind) = rest.split_first_chunk::<8>()?;
        let present = u64::from_le_bytes(*present);
        let (hashes, behind) = behind.split_at_checked(present.count_ones() as usize * KEPT)?;
        blocks.push((present, hashes));
        rest = behind;
    }
    (!blocks.is_empty()).then_some(blocks)
}

fn name_differing(differ: &mut Vec<String>, prefix: &str, fields: &[&str], old: &Block<'_>, new: &Block<'_>) {
    let hash = |block: &Block<'_>, bit: usize| -> Option<[u8; KEPT]> {
        if block.0 & (1 << bit) == 0 {
            return None;
        }
        let place = (block.0 & ((1 << bit) - 1)).count_ones() as usize * KEPT;
        block.1.get(place..place + KEPT)?.try_into().ok()
    };
    for (bit, field) in fields.iter().enumerate() {
        if hash(old, bit) != hash(new, bit) {
            differ.push(format!("{prefix}{field}"));
        }
    }
}
