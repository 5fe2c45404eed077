//! What is different: the row hash, the content hash, and a short keyed hash per field.
//!
//! The row hash is fast and says "perhaps"; the content hash is slow and decides. Both are xxh3-128: nobody chooses
//! both of two orders, so it need not withstand an attacker. The hashes per field are kept for long and must not
//! give away a short value, hence a key and SipHash, which was made for short texts under a key.

use super::columns::{self, ITEM_COLUMNS, ORDER_COLUMNS};
use super::time;
use crate::brani::model::{Address, Item, Notes, Order, Price, ShippingDetails};
use crate::source::{Record, Row, Value};
use crate::types::{FieldKey, PayloadHash, RowHash};
use rust_decimal::Decimal;
use serde_json::Value as Json;
use siphasher::sip::SipHasher24;
use std::hash::Hasher;
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

/// A field in canonical form: what means the same is the same.
enum Plain<'a> {
    Text(&'a str),
    Whole(i64),
    Flag(bool),
    /// Without trailing zeros.
    Number(Decimal),
    /// What the contract leaves open.
    Json(&'a Json),
}

impl<'a> Plain<'a> {
    fn text(text: &'a str) -> Option<Self> {
        Some(Plain::Text(text))
    }

    fn maybe(text: &'a Option<String>) -> Option<Self> {
        text.as_deref().map(Plain::Text)
    }

    fn number(number: Decimal) -> Option<Self> {
        Some(Plain::Number(number.normalize()))
    }

    fn json(json: &'a Option<Json>) -> Option<Self> {
        json.as_ref().filter(|json| !json.is_null()).map(Plain::Json)
    }

    /// Its type, then its bytes.
    fn put(&self, frame: &mut Vec<u8>) {
        match self {
            Plain::Text(text) => {
                frame.push(1);
                frame.extend_from_slice(text.as_bytes());
            }
            Plain::Whole(number) => {
                frame.push(2);
                frame.extend_from_slice(&number.to_le_bytes());
            }
            Plain::Flag(flag) => frame.extend_from_slice(&[3, u8::from(*flag)]),
            Plain::Number(number) => {
                frame.push(4);
                frame.extend_from_slice(&number.serialize());
            }
            Plain::Json(json) => {
                let mut text = String::new();
                write_sorted(json, &mut text);
                frame.push(5);
                frame.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// Walks the fields of an order by their bits, those of [`ORDER_FIELDS`]: no status, nothing that is null or the
/// contract's default, numbers without trailing zeros, the creation time as a moment. It names every field of the
/// structures, so that one more is not forgotten here.
fn order_fields(order: &Order, mut each: impl FnMut(usize, Plain<'_>)) {
    let Order {
        code,
        creation_time,
        email,
        phone,
        shipping_details,
        billing_method_code,
        payment_method_guid,
        shipping_guid,
        paid,
        company_id,
        vat_id,
        tax_id,
        delivery_address,
        cash_desk_order,
        addresses_equal,
        notes,
        status: _,
        billing_address,
        price,
        admin_url,
        items: _,
        vs,
        external_code,
    } = order;
    let Notes {
        tracking_number,
        eshop_remark,
        customer_remark,
    } = notes;
    let Price {
        to_pay,
        with_vat,
        currency_code,
    } = price;
    let ShippingDetails {
        branch_id,
        carrier_id,
    } = match shipping_details {
        Some(details) => details,
        None => &NO_DETAILS,
    };
    let created = match time::of_written(creation_time) {
        Some(moment) => Plain::Whole(moment.as_second()),
        None => Plain::Text(creation_time),
    };
    let on = |flag: &Option<bool>| flag.filter(|flag| *flag).map(Plain::Flag);
    let fields = [
        Plain::text(code.as_str()),
        Some(created),
        Plain::text(email),
        Plain::text(phone),
        Plain::maybe(branch_id),
        Plain::maybe(carrier_id),
        billing_method_code.map(|code| Plain::Whole(i64::from(code))),
        Plain::maybe(payment_method_guid),
        Plain::maybe(shipping_guid),
        on(paid),
        Plain::maybe(company_id),
        Plain::maybe(vat_id),
        Plain::maybe(tax_id),
        on(cash_desk_order),
        addresses_equal.map(Plain::Flag),
        Plain::maybe(tracking_number),
        Plain::maybe(eshop_remark),
        Plain::maybe(customer_remark),
        None, // `status.id`
        Plain::number(*to_pay),
        Plain::number(*with_vat),
        Plain::text(currency_code),
        Plain::maybe(admin_url),
        Plain::maybe(vs),
        Plain::maybe(external_code),
    ];
    let mut bit = 0;
    let mut put = |field: Option<Plain<'_>>| {
        if let Some(field) = field {
            each(bit, field);
        }
        bit += 1;
    };
    fields.into_iter().for_each(&mut put);
    // Those of a billing address are the delivery address's and three more, which only it can have.
    address_fields(Some(delivery_address))
        .into_iter()
        .take(10)
        .for_each(&mut put);
    address_fields(billing_address.as_ref())
        .into_iter()
        .for_each(&mut put);
}

const NO_DETAILS: ShippingDetails = ShippingDetails {
    branch_id: None,
    carrier_id: None,
};

fn address_fields(address: Option<&Address>) -> [Option<Plain<'_>>; 13] {
    let Some(address) = address else {
        return [const { None }; 13];
    };
    let Address {
        full_name,
        company,
        street,
        house_number,
        city,
        district,
        additional,
        zip,
        country_code,
        region_name,
        company_id,
        vat_id,
        tax_id,
    } = address;
    [
        Plain::text(full_name),
        Plain::maybe(company),
        Plain::maybe(street),
        Plain::maybe(house_number),
        Plain::maybe(city),
        Plain::maybe(district),
        Plain::maybe(additional),
        Plain::maybe(zip),
        Plain::maybe(country_code),
        Plain::maybe(region_name),
        Plain::maybe(company_id),
        Plain::maybe(vat_id),
        Plain::maybe(tax_id),
    ]
}

/// The same for an item and [`ITEM_FIELDS`].
fn item_fields(item: &Item, mut each: impl FnMut(usize, Plain<'_>)) {
    let Item {
        item_id,
        item_type,
        code,
        name,
        variant_name,
        product_guid,
        amount,
        amount_unit,
        weight,
        vat_rate,
        item_price_with_vat,
        ean,
        brand,
        supplier_name,
        stock_location,
        remark,
        additional_field,
        status,
        image,
        buy_price,
        admin_url,
        surcharge_parameters,
        content_name_en,
        content_country,
        content_customs_code,
        content_description,
    } = item;
    let fields = [
        item_id.map(Plain::Whole),
        Plain::text(item_type.as_str()),
        Plain::text(code),
        Plain::text(name),
        Plain::maybe(variant_name),
        Plain::maybe(product_guid),
        Plain::number(*amount),
        Plain::text(amount_unit),
        Plain::number(*weight),
        vat_rate.and_then(Plain::number),
        item_price_with_vat.and_then(Plain::number),
        Plain::maybe(ean),
        Plain::maybe(brand),
        Plain::maybe(supplier_name),
        Plain::maybe(stock_location),
        Plain::maybe(remark),
        Plain::maybe(additional_field),
        status.map(|status| Plain::Whole(status.id.0)),
        Plain::maybe(image),
        Plain::json(buy_price),
        Plain::maybe(admin_url),
        Plain::json(surcharge_parameters),
        Plain::maybe(content_name_en),
        Plain::maybe(content_country),
        Plain::maybe(content_customs_code),
        Plain::maybe(content_description),
    ];
    for (bit, field) in fields.into_iter().enumerate() {
        if let Some(field) = field {
            each(bit, field);
        }
    }
}

/// Ends the fields of the order and of each item; no field has this bit.
const END: u8 = 0xff;

/// The hash of the canonical form: each field that is there with its bit and its length.
pub(crate) fn content_hash(order: &Order) -> PayloadHash {
    let mut frame = Vec::with_capacity(2048);
    let put = |frame: &mut Vec<u8>, bit: usize, field: Plain<'_>| {
        frame.push(bit as u8);
        let start = frame.len();
        put_length(frame, 0);
        field.put(frame);
        let length = (frame.len() - start - 8) as u64;
        frame[start..start + 8].copy_from_slice(&length.to_le_bytes());
    };
    order_fields(order, |bit, field| put(&mut frame, bit, field));
    for item in &order.items {
        frame.push(END);
        item_fields(item, |bit, field| put(&mut frame, bit, field));
    }
    PayloadHash(xxh3_128(&frame).to_be_bytes())
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
const FIELDS_FORM: u8 = 2;
/// Bytes kept of each field's hash: one in 16 million changes goes unnamed.
const KEPT: usize = 3;

/// The order's fields, each with its bit. Only ever add at the end, or raise [`FIELDS_FORM`].
const ORDER_FIELDS: &[&str] = columns::fields(ORDER_COLUMNS);

/// An item's fields, each with its bit; the same rule.
const ITEM_FIELDS: &[&str] = columns::fields(ITEM_COLUMNS);

// A bit each, and none is END.
const _: () = assert!(ORDER_FIELDS.len() <= 64 && ITEM_FIELDS.len() <= 64);

/// One byte for the form; for the order and then for each item: eight bytes that say which fields are there,
/// and three bytes of each of those.
pub(crate) fn field_hashes(order: &Order, key: &FieldKey) -> Vec<u8> {
    let mut hashes = Vec::with_capacity(256);
    hashes.push(FIELDS_FORM);
    // Zero is the order itself, the items count from one.
    put_fields(&mut hashes, key, 0, |each| order_fields(order, each));
    for (place, item) in order.items.iter().enumerate() {
        put_fields(&mut hashes, key, place + 1, |each| item_fields(item, each));
    }
    hashes
}

fn put_fields(
    hashes: &mut Vec<u8>,
    key: &FieldKey,
    block: usize,
    walk: impl FnOnce(&mut dyn FnMut(usize, Plain<'_>)),
) {
    let start = hashes.len();
    hashes.extend_from_slice(&[0; 8]);
    let mut present = 0_u64;
    let mut frame = Vec::with_capacity(64);
    walk(&mut |bit, field| {
        present |= 1 << bit;
        frame.clear();
        put_length(&mut frame, block);
        frame.push(bit as u8);
        field.put(&mut frame);
        let mut keyed = SipHasher24::new_with_key(&key.0);
        keyed.write(&frame);
        hashes.extend_from_slice(&keyed.finish().to_le_bytes()[..KEPT]);
    });
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
            (Some(old), Some(new)) if place == 0 => name_differing(&mut differ, "", ORDER_FIELDS, old, new),
            (Some(old), Some(new)) => {
                let prefix = format!("items[{}].", place - 1);
                name_differing(&mut differ, &prefix, ITEM_FIELDS, old, new);
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
