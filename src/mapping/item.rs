//! One line of an order, from its row.

use super::fields::{Fields, Privacy, shortened};
use super::{Problem, Settings, country, decimal, dictionaries};
use crate::brani::model::{Item, ItemType, Status};
use crate::source::Row;
use crate::types::StatusId;
use rust_decimal::Decimal;
use serde_json::Value as Json;
use std::collections::HashSet;

const WEIGHT_HINT: &str = "give kilograms with a dot and no unit";
const MONEY_HINT: &str = "give a plain number with a dot, without spaces and currency";
/// A code made of a name is no longer than this.
const SLUG_MAX: usize = 40;

/// Maps the items of an order. What comes back counts only where no problem was told.
pub(crate) fn items(rows: &[Row], settings: &Settings, problems: &mut Vec<Problem>) -> Vec<Item> {
    let mut ids = HashSet::new();
    let mut items = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let mut fields = Fields::new(row, format!("items[{index}]."), problems);
        if let Some(item) = item(&mut fields, index, &mut ids, settings) {
            items.push(item);
        }
    }
    items
}

fn item(fields: &mut Fields<'_>, index: usize, ids: &mut HashSet<i64>, settings: &Settings) -> Option<Item> {
    let item_id = fields.whole(
        "itemId",
        "give a whole number that is unique inside the order, or leave the column out",
    );
    if let Some(id) = item_id.filter(|id| !ids.insert(*id)) {
        fields.problem(
            "itemId",
            Some(&id.to_string()),
            "is used twice in this order",
            "give each line an id of its own, or leave the column out",
        );
    }
    let item_type = item_type(fields);
    let own_code = fields.line("code", Privacy::Open);
    let own_name = fields.line("name", Privacy::Personal);
    // A deleted product has no code any more, and its parcel must go all the same.
    let code = own_code
        .clone()
        .or_else(|| item_id.map(|id| id.to_string()))
        .or_else(|| own_name.as_deref().map(|name| slug(name, index)));
    let name = own_name.or_else(|| code.clone());
    if name.is_none() {
        fields.problem(
            "name",
            None,
            "is empty, and so are the code and the id",
            "give the line a name or a code",
        );
    }
    let product_guid = match fields.line("productGuid", Privacy::Open) {
        Some(guid) => Some(dictionaries::canonical_guid(&guid).unwrap_or(guid)),
        None => own_code
            .as_deref()
            .map(|code| dictionaries::derived_guid("product", code)),
    };
    let amount = amount(fields);
    let weight = weight(fields, settings);
    let vat_rate = fields.rounded(
        "vatRate",
        "give per cent as a plain number, e.g. 21",
        decimal::plain,
    );
    if let Some(rate) = vat_rate.filter(Decimal::is_sign_negative) {
        fields.problem(
            "vatRate",
            Some(&rate.to_string()),
            "is negative",
            "give per cent as a plain number, e.g. 21",
        );
    }
    Some(Item {
        item_id,
        item_type: item_type.unwrap_or(ItemType::Product),
        variant_name: fields.line("variantName", Privacy::Personal),
        product_guid,
        amount_unit: fields
            .line("amountUnit", Privacy::Open)
            .unwrap_or_else(|| "ks".to_owned()),
        vat_rate,
        item_price_with_vat: fields.rounded("itemPriceWithVat", MONEY_HINT, decimal::money),
        ean: fields.line("ean", Privacy::Open),
        brand: fields.line("brand", Privacy::Open),
        supplier_name: fields.line("supplierName", Privacy::Personal),
        stock_location: fields.line("stockLocation", Privacy::Open),
        remark: fields.lines("remark", Privacy::Personal),
        additional_field: fields.lines("additionalField", Privacy::Personal),
        status: fields
            .whole("status.id", "give the id of a status that Brani knows, or NULL")
            .map(|id| Status { id: StatusId(id) }),
        image: fields.line("image", Privacy::Open),
        buy_price: buy_price(fields),
        admin_url: fields.line("adminUrl", Privacy::Open),
        surcharge_parameters: surcharges(fields),
        content_name_en: fields.line("content_name_en", Privacy::Open),
        content_country: fields.line("content_country", Privacy::Open),
        content_customs_code: fields.line("content_customs_code", Privacy::Open),
        content_description: fields.line("content_description", Privacy::Open),
        code: code?,
        name: name?,
        amount: amount?,
        weight: weight?,
    })
}

fn item_type(fields: &mut Fields<'_>) -> Option<ItemType> {
    let text = fields.line("itemType", Privacy::Open)?;
    let known = match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "product" => Some(ItemType::Product),
        "second-hand" => Some(ItemType::SecondHand),
        "service" => Some(ItemType::Service),
        "gift" => Some(ItemType::Gift),
        "product-set" => Some(ItemType::ProductSet),
        _ => None,
    };
    if known.is_none() {
        fields.problem(
            "itemType",
            Some(&text),
            "is no type of item",
            "give one of product, second-hand, service, gift, product-set, or NULL for product",
        );
    }
    known
}

fn amount(fields: &mut Fields<'_>) -> Option<Decimal> {
    let hint = "give how many pieces, a number above zero";
    if fields.raw("amount").is_none() {
        fields.problem("amount", None, "is missing", hint);
        return None;
    }
    let amount = fields.rounded("amount", hint, decimal::plain)?;
    if amount <= Decimal::ZERO {
        fields.problem("amount", Some(&amount.to_string()), "is not above zero", hint);
    }
    Some(amount)
}

fn weight(fields: &mut Fields<'_>, settings: &Settings) -> Option<Decimal> {
    if fields.raw("weight").is_none() {
        return decimal::weight(settings.default_weight);
    }
    let weight = fields.rounded("weight", WEIGHT_HINT, decimal::weight)?;
    if weight.is_sign_negative() {
        fields.problem("weight", Some(&weight.to_string()), "is negative", WEIGHT_HINT);
    } else if weight > settings.max_weight {
        let rule = format!("is more than {} kilograms a piece", settings.max_weight);
        fields.problem(
            "weight",
            Some(&weight.to_string()),
            &rule,
            "give kilograms, not grams (divide by 1000 in the query), or raise `shop.max_weight`",
        );
    }
    Some(weight)
}

fn buy_price(fields: &mut Fields<'_>) -> Option<Json> {
    let json = fields.json("buyPrice")?;
    if !json.is_object() {
        fields.problem(
            "buyPrice",
            None,
            "is not a JSON object",
            "give a JSON object or NULL",
        );
    }
    Some(json)
}

fn surcharges(fields: &mut Fields<'_>) -> Option<Json> {
    let json = fields.json("surchargeParameters")?;
    let has = |object: &Json, part: &str, keys: &[&str]| {
        object
            .get(part)
            .is_some_and(|part| part.is_object() && keys.iter().all(|key| part.get(key).is_some()))
    };
    let right = json.as_array().is_some_and(|list| {
        list.iter().all(|entry| {
            has(entry, "parameterName", &["code", "name"])
                && has(entry, "parameterValue", &["valueIndex", "description", "price"])
        })
    });
    if !right {
        fields.problem(
            "surchargeParameters",
            None,
            "is not a list of surcharges",
            "give a JSON list of objects with `parameterName` (code, name) and `parameterValue` (valueIndex, description, price), or NULL",
        );
    }
    Some(json)
}

/// A code for a line that has nothing but a name: its first letters and digits in ASCII.
fn slug(name: &str, index: usize) -> String {
    let mut slug = String::new();
    for word in name.split_whitespace() {
        let word: String = country::folded(word)
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        if word.is_empty() {
            continue;
        }
        if slug.len() + word.len() + 1 > SLUG_MAX {
            if slug.is_empty() {
                slug.push_str(&word[..SLUG_MAX]);
            }
            break;
        }
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.push_str(&word);
    }
    // A name in another script: the place in the order must do.
    if slug.is_empty() {
        format!("item-{}", index + 1)
    } else {
        shortened(&slug)
    }
}
