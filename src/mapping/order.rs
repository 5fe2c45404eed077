//! The order itself, from its row: addresses, money, time, and the shop's words turned into Brani's ids.

use super::dictionaries::{Dictionaries, MethodMeaning, canonical_guid};
use super::fields::{Fields, Privacy};
use super::{Owner, Problem, Settings, country, decimal, item, time};
use crate::brani::model::{Address, Notes, Order, Price, ShippingDetails};
use crate::config::{PaymentMethod, Unknown};
use crate::source::{Record, Value};
use crate::types::{ShopStatus, StatusId};
use jiff::Timestamp;
use rust_decimal::Decimal;

const CODE_MAX: usize = 255;
const MONEY_HINT: &str = "give a plain number with a dot, without spaces and currency";

/// A mapped order without its hash.
pub(crate) struct Parts {
    pub(crate) order: Order,
    pub(crate) created: Timestamp,
    pub(crate) status: Option<StatusId>,
}

/// Maps a record. `None` only where a problem was told; a problem may be told with `Some`, too.
pub(crate) fn map(
    record: &Record,
    settings: &Settings,
    dictionaries: &Dictionaries,
    problems: &mut Vec<Problem>,
) -> Option<Parts> {
    let mut fields = Fields::new(&record.order, String::new(), problems);
    let f = &mut fields;
    if let Some(problem) = f.raw("_problem") {
        // Its other columns are what could be read of it: what they lack is no news.
        let problem = problem.to_text();
        f.problem(
            "order",
            None,
            &problem,
            "mend the order in the shop, or the setting that reads it",
        );
        return None;
    }
    check_code(f, record.code.as_str());
    let created = creation_time(f, settings);
    let email = f.line("email", Privacy::Personal).unwrap_or_default();
    let phone = f.line("phone", Privacy::Personal).unwrap_or_default();
    let shipping_details = shipping_details(f);
    let payment = payment(f, dictionaries);
    let shipping_guid = shipping(f, dictionaries);
    let paid = paid(f, &payment);
    let numbers = Numbers::read(f, "");
    let billing_numbers = Numbers::read(f, "billingAddress.");
    let delivery = address(f, "deliveryAddress.");
    let billing = address(f, "billingAddress.");
    let addresses = addresses(f, delivery, billing);
    let cash_desk_order = f.flag("cashDeskOrder");
    let addresses_equal = f.flag("addressesEqual");
    let notes = Notes {
        tracking_number: f.line("notes.trackingNumber", Privacy::Personal),
        eshop_remark: f.lines("notes.eshopRemark", Privacy::Personal),
        customer_remark: f.lines("notes.customerRemark", Privacy::Personal),
    };
    let status = status(f, record, dictionaries);
    let price = price(f, paid);
    let admin_url = f.line("adminUrl", Privacy::Open);
    let vs = f.line("vs", Privacy::Open);
    let external_code = f.line("externalCode", Privacy::Open);
    let items = item::items(&record.items, settings, problems);

    let created = created?;
    let (delivery, mut billing, same) = addresses?;
    // The contract takes two forms: the numbers on the order, or inside a billing address that is complete.
    // On the order they always stand; inside, where that form holds.
    let on_order = numbers.or(&billing_numbers);
    if [
        &billing.street,
        &billing.city,
        &billing.zip,
        &billing.country_code,
    ]
    .iter()
    .all(|part| part.is_some())
    {
        let inside = billing_numbers.or(&numbers);
        billing.company_id = inside.company_id;
        billing.vat_id = inside.vat_id;
        billing.tax_id = inside.tax_id;
    }
    let order = Order {
        code: record.code.clone(),
        creation_time: time::written(created, &settings.zone),
        email,
        phone,
        shipping_details,
        billing_method_code: payment.code,
        payment_method_guid: payment.guid,
        shipping_guid,
        paid: Some(paid),
        company_id: on_order.company_id,
        vat_id: on_order.vat_id,
        tax_id: on_order.tax_id,
        delivery_address: delivery,
        cash_desk_order,
        addresses_equal: Some(addresses_equal.unwrap_or(same)),
        notes,
        status: None,
        billing_address: Some(billing),
        price: price?,
        admin_url,
        items,
        vs,
        external_code,
    };
    Some(Parts {
        order,
        created,
        status,
    })
}

/// The code is the key on both sides: it is never trimmed or mended.
fn check_code(f: &mut Fields<'_>, code: &str) {
    let hint = "give the order number as the shop shows it";
    if code.trim().is_empty() {
        f.problem("code", Some(code), "is empty", hint);
    } else if code.len() > CODE_MAX {
        f.problem("code", Some(code), "is longer than 255 bytes", hint);
    } else if code.contains(char::is_control) {
        f.problem("code", Some(code), "contains control characters", hint);
    }
}

/// The creation time alone, where it can be read.
pub(crate) fn created(record: &Record, settings: &Settings) -> Option<Timestamp> {
    time::parse(record.order.get("creationTime")?, &settings.zone)
}

fn creation_time(f: &mut Fields<'_>, settings: &Settings) -> Option<Timestamp> {
    let hint = "give a date and time column, text like 2025-11-03 09:15:12, or seconds of the epoch";
    let Some(raw) = f.raw("creationTime") else {
        f.problem("creationTime", None, "is missing", hint);
        return None;
    };
    let moment = time::parse(raw, &settings.zone);
    if moment.is_none() {
        f.problem(
            "creationTime",
            Some(&raw.to_text()),
            "is not a date and time",
            hint,
        );
    }
    moment
}

fn shipping_details(f: &mut Fields<'_>) -> Option<ShippingDetails> {
    let details = ShippingDetails {
        branch_id: f.line("shippingDetails.branchId", Privacy::Open),
        carrier_id: f.line("shippingDetails.carrierId", Privacy::Open),
    };
    (details != ShippingDetails::default()).then_some(details)
}

/// How the order is paid, as far as it is known.
struct Payment {
    guid: Option<String>,
    code: Option<u8>,
}

fn payment(f: &mut Fields<'_>, dictionaries: &Dictionaries) -> Payment {
    let own_guid = direct_guid(f, "paymentMethodGuid");
    let own_code = f.whole(
        "billingMethodCode",
        "give 1 cash on delivery, 2 bank transfer, 3 cash, 4 card, or NULL",
    );
    let own_code = own_code.and_then(|code| match u8::try_from(code) {
        Ok(code @ 1..=4) => Some(code),
        _ => {
            f.problem(
                "billingMethodCode",
                Some(&code.to_string()),
                "is no way of paying",
                "give 1 cash on delivery, 2 bank transfer, 3 cash, 4 card, or NULL",
            );
            None
        }
    });
    let value = f.line("_payment", Privacy::Open);
    let meaning: Option<&MethodMeaning> = match (&value, &own_guid) {
        (Some(value), _) => dictionaries.payment(value),
        (None, Some(guid)) => dictionaries.payments.iter().find(|method| method.guid == *guid),
        (None, None) => None,
    };
    if let (Some(value), None, None) = (&value, meaning, &own_guid) {
        unknown(
            f,
            dictionaries,
            "paymentMethodGuid",
            value,
            "payment method",
            "payments",
        );
    }
    Payment {
        guid: own_guid.or_else(|| meaning.map(|method| method.guid.clone())),
        code: own_code.or_else(|| meaning.and_then(|method| method.method).map(PaymentMethod::code)),
    }
}

fn shipping(f: &mut Fields<'_>, dictionaries: &Dictionaries) -> Option<String> {
    if let Some(guid) = direct_guid(f, "shippingGuid") {
        return Some(guid);
    }
    let value = f.line("_shipping", Privacy::Open)?;
    let meaning = dictionaries.shipping(&value);
    if meaning.is_none() {
        unknown(
            f,
            dictionaries,
            "shippingGuid",
            &value,
            "shipping method",
            "shipping",
        );
    }
    meaning.map(|method| method.guid.clone())
}

fn status(f: &mut Fields<'_>, record: &Record, dictionaries: &Dictionaries) -> Option<StatusId> {
    if f.raw("status.id").is_some() {
        return f
            .whole(
                "status.id",
                "give the id of a status that Brani knows, or name the column `_status`",
            )
            .map(StatusId);
    }
    let status = match &record.status {
        Some(status) => status.clone(),
        None => ShopStatus(f.raw("_status")?.to_text()),
    };
    if status.as_str().trim().is_empty() {
        return None;
    }
    let meaning = dictionaries.status(&status);
    if meaning.is_none() {
        unknown(
            f,
            dictionaries,
            "status",
            status.as_str(),
            "order status",
            "statuses",
        );
    }
    meaning.map(|status| status.id)
}

fn direct_guid(f: &mut Fields<'_>, name: &str) -> Option<String> {
    let text = f.line(name, Privacy::Open)?;
    let guid = canonical_guid(&text);
    if guid.is_none() {
        let other = if name == "shippingGuid" {
            "_shipping"
        } else {
            "_payment"
        };
        let hint = format!("give a GUID that Brani knows, or name the column `{other}` and list its values");
        f.problem_of(
            Owner::Settings,
            name,
            Some(&text),
            "is neither a GUID nor a number",
            &hint,
        );
    }
    guid
}

fn unknown(
    f: &mut Fields<'_>,
    dictionaries: &Dictionaries,
    field: &str,
    value: &str,
    what: &str,
    section: &str,
) {
    if dictionaries.unknown == Unknown::Omit {
        return;
    }
    let rule = format!("is a {what} that is not listed").replace("a order", "an order");
    let more = if section == "statuses" { ", an id" } else { "" };
    let hint = format!(
        "add `[[eshop_info.{section}]]` with this value as `shop`{more} and a name, or set `eshop_info.unknown = \"omit\"`"
    );
    f.problem_of(Owner::Settings, field, Some(value), &rule, &hint);
}

/// Shops mark cash on delivery as paid when they make the invoice; it is not.
fn paid(f: &mut Fields<'_>, payment: &Payment) -> bool {
    let marked = f.flag("paid").unwrap_or(false);
    marked && payment.code != Some(PaymentMethod::CashOnDelivery.code())
}

fn price(f: &mut Fields<'_>, paid: bool) -> Option<Price> {
    let missing = f.row_lacks("price.withVat");
    let total = f.rounded("price.withVat", MONEY_HINT, decimal::money);
    if missing {
        f.problem(
            "price.withVat",
            None,
            "is missing",
            "give the order's total with VAT",
        );
    }
    if let Some(total) = total.filter(Decimal::is_sign_negative) {
        f.problem(
            "price.withVat",
            Some(&total.to_string()),
            "is negative",
            "leave credit notes out of the query, or give the total of what is sent",
        );
    }
    let to_pay_given = !f.row_lacks("price.toPay");
    let to_pay = f.rounded("price.toPay", MONEY_HINT, decimal::money);
    let currency_code = currency(f);
    let total = total?;
    let to_pay = match (to_pay_given, to_pay) {
        (true, None) => return None,
        (true, Some(to_pay)) if to_pay.is_sign_negative() => Decimal::new(0, 2), // overpaid: nothing is left
        (true, Some(to_pay)) => to_pay,
        (false, _) if paid => Decimal::new(0, 2),
        (false, _) => total,
    };
    Some(Price {
        to_pay,
        with_vat: total,
        currency_code: currency_code?,
    })
}

fn currency(f: &mut Fields<'_>) -> Option<String> {
    let hint = "give the three letters of the currency, e.g. CZK";
    let Some(text) = f.line("price.currencyCode", Privacy::Open) else {
        f.problem("price.currencyCode", None, "is missing", hint);
        return None;
    };
    let code = match text.to_lowercase().as_str() {
        "kč" | "kc" | "kčs" => "CZK".to_owned(),
        "€" => "EUR".to_owned(),
        "£" => "GBP".to_owned(),
        "$" => "USD".to_owned(),
        "zł" | "zl" => "PLN".to_owned(),
        "ft" => "HUF".to_owned(),
        _ if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            text.to_ascii_uppercase()
        }
        _ => {
            f.problem("price.currencyCode", Some(&text), "is not a currency code", hint);
            return None;
        }
    };
    Some(code)
}

/// IČO, DIČ and the Slovak DIČ.
struct Numbers {
    company_id: Option<String>,
    vat_id: Option<String>,
    tax_id: Option<String>,
}

impl Numbers {
    fn read(f: &mut Fields<'_>, prefix: &str) -> Self {
        let mut number = |name: &str| f.line(&format!("{prefix}{name}"), Privacy::Personal);
        Self {
            company_id: number("companyId"),
            vat_id: number("vatId"),
            tax_id: number("taxId"),
        }
    }

    fn or(&self, other: &Self) -> Self {
        let either = |own: &Option<String>, other: &Option<String>| own.clone().or_else(|| other.clone());
        Self {
            company_id: either(&self.company_id, &other.company_id),
            vat_id: either(&self.vat_id, &other.vat_id),
            tax_id: either(&self.tax_id, &other.tax_id),
        }
    }
}

/// An address without the three numbers.
fn address(f: &mut Fields<'_>, prefix: &str) -> Address {
    let mut part = |name: &str| f.line(&format!("{prefix}{name}"), Privacy::Personal);
    let mut address = Address {
        full_name: part("fullName").unwrap_or_default(),
        company: part("company"),
        street: part("street"),
        house_number: part("houseNumber"),
        city: part("city"),
        district: part("district"),
        additional: part("additional"),
        zip: part("zip"),
        country_code: part("countryCode"),
        region_name: part("regionName"),
        ..Address::default()
    };
    if let Some(name) = address.country_code.take() {
        address.country_code = country::code(&name).map(str::to_owned);
        if address.country_code.is_none() {
            f.problem(
                &format!("{prefix}countryCode"),
                Some(&name),
                "is no country",
                "give the two letters of the country, e.g. CZ",
            );
        }
    }
    address
}

/// An address of which only the country is known is none: shops put their own country everywhere.
fn is_blank(address: &Address) -> bool {
    address.full_name.is_empty()
        && [
            &address.company,
            &address.street,
            &address.house_number,
            &address.city,
            &address.district,
            &address.additional,
            &address.zip,
        ]
        .iter()
        .all(|part| part.is_none())
}

/// Delivery, billing, and whether they are the same. Each stands in for the other where that one is blank.
fn addresses(
    f: &mut Fields<'_>,
    mut delivery: Address,
    mut billing: Address,
) -> Option<(Address, Address, bool)> {
    match (is_blank(&delivery), is_blank(&billing)) {
        (true, true) => {}
        (true, false) => delivery = billing.clone(),
        (false, true) => billing = delivery.clone(),
        (false, false) => {}
    }
    let named = |own: &Address, other: &Address| {
        let names = [
            Some(&own.full_name),
            own.company.as_ref(),
            Some(&other.full_name),
            other.company.as_ref(),
        ];
        names.into_iter().flatten().find(|name| !name.is_empty()).cloned()
    };
    let (Some(to), Some(of)) = (named(&delivery, &billing), named(&billing, &delivery)) else {
        f.problem(
            "deliveryAddress.fullName",
            None,
            "is empty",
            "give the name of the person or the company the parcel goes to",
        );
        return None;
    };
    delivery.full_name = to;
    billing.full_name = of;
    let same = delivery == billing;
    Some((delivery, billing, same))
}

impl Fields<'_> {
    fn row_lacks(&self, name: &str) -> bool {
        self.raw(name).is_none_or(|value| matches!(value, Value::Null))
    }
}
