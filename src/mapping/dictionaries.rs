//! What the shop's statuses, shipping and payment methods are called at Brani.
//!
//! Built from the configuration and the shop's own lists (the configuration wins by shop value, `*` globs);
//! read by the mapping, by e-shop info and by the way back.

use crate::brani::model::{EshopInfo, Methods, Named, NamedStatus, RetailWholesale, Statuses};
use crate::config::{self, PaymentMethod};
use crate::source::{ListRow, Lists};
use crate::types::{ShopStatus, StatusId};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// Where derived GUIDs live. Never change it: every GUID that Brani was told would become another.
const NAMESPACE: Uuid = Uuid::from_u128(0x5b1e_60c2_93f4_4d0a_8a6e_1f27_c4d9_7b35);

/// One status of the shop and what it is at Brani.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusMeaning {
    /// The shop's value; `*` globs.
    pub shop: String,
    /// What Brani gets.
    pub id: StatusId,
    /// The name the packer sees.
    pub name: String,
    /// The one to write when several shop values share an id.
    pub write_back: bool,
}

/// One shipping or payment method.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodMeaning {
    /// The shop's value; `*` globs.
    pub shop: String,
    /// The name the packer sees.
    pub name: String,
    /// Always a full UUID here.
    pub guid: String,
    /// Listed for wholesale too.
    pub wholesale: bool,
    /// Payments: how the order is paid.
    pub method: Option<PaymentMethod>,
}

/// All three lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Dictionaries {
    /// Statuses, exact values before globs.
    pub statuses: Vec<StatusMeaning>,
    /// Shipping methods.
    pub shipping: Vec<MethodMeaning>,
    /// Payment methods.
    pub payments: Vec<MethodMeaning>,
    /// What an unknown value does.
    pub unknown: config::Unknown,
}

impl Dictionaries {
    /// Puts the configuration's rows and the shop's own lists together; the configuration wins by shop value.
    /// GUIDs left out are derived (UUIDv5 of kind and shop value), numeric ones left-padded as the service does.
    ///
    /// A configured row takes what it leaves out from the list row of the same shop value. A configured glob such
    /// as `flat_rate:*` also rules over the list rows it matches; the bare `*` does not: it is for what nobody lists.
    pub fn build(config: &config::EshopInfo, lists: &Lists) -> Self {
        let statuses = config.statuses.iter().map(|entry| Entry {
            shop: entry.shop.0.trim(),
            id: entry.id,
            name: entry.name.as_deref(),
            write_back: entry.write_back,
            ..Entry::default()
        });
        let shipping = config.shipping.iter().map(|entry| Entry {
            shop: entry.shop.0.trim(),
            name: entry.name.as_deref(),
            guid: entry.guid.as_deref(),
            wholesale: entry.wholesale,
            ..Entry::default()
        });
        let payments = config.payments.iter().map(|entry| Entry {
            shop: entry.shop.0.trim(),
            name: entry.name.as_deref(),
            guid: entry.guid.as_deref(),
            wholesale: entry.wholesale,
            method: entry.method,
            ..Entry::default()
        });
        Self {
            statuses: together(statuses, &lists.statuses)
                .iter()
                .map(Entry::status)
                .collect(),
            shipping: together(shipping, &lists.shipping)
                .iter()
                .map(|entry| entry.method("shipping"))
                .collect(),
            payments: together(payments, &lists.payments)
                .iter()
                .map(|entry| entry.method("payment"))
                .collect(),
            unknown: config.unknown,
        }
    }

    /// What a shop's status means; exact values win over globs, earlier globs over later ones.
    pub fn status(&self, shop: &ShopStatus) -> Option<&StatusMeaning> {
        find(&self.statuses, |entry| &entry.shop, shop.as_str())
    }

    /// The shop values that stand for a status id: the one to write first, then the others (no globs).
    pub fn shop_statuses(&self, id: StatusId) -> Vec<ShopStatus> {
        let named = || {
            self.statuses
                .iter()
                .filter(|entry| entry.id == id && !is_glob(&entry.shop))
        };
        let first = named().filter(|entry| entry.write_back);
        let others = named().filter(|entry| !entry.write_back);
        first
            .chain(others)
            .map(|entry| ShopStatus(entry.shop.clone()))
            .collect()
    }

    /// What a shop's shipping value means.
    pub fn shipping(&self, shop: &str) -> Option<&MethodMeaning> {
        find(&self.shipping, |entry| &entry.shop, shop)
    }

    /// What a shop's payment value means.
    pub fn payment(&self, shop: &str) -> Option<&MethodMeaning> {
        find(&self.payments, |entry| &entry.shop, shop)
    }

    /// What Brani must know: the wanted e-shop info, without doubles.
    /// Where several shop values share a status id, the one that is written back gives the name, else the first.
    pub fn info(&self) -> EshopInfo {
        let mut statuses: Vec<NamedStatus> = Vec::new();
        let (first, others): (Vec<_>, Vec<_>) = self.statuses.iter().partition(|entry| entry.write_back);
        let names: Vec<&StatusMeaning> = first.into_iter().chain(others).collect();
        for entry in &self.statuses {
            if statuses.iter().any(|known| known.id == entry.id) {
                continue;
            }
            let named = names
                .iter()
                .find(|other| other.id == entry.id)
                .map_or(entry, |other| *other);
            statuses.push(NamedStatus {
                id: entry.id,
                name: named.name.clone(),
            });
        }
        EshopInfo {
            order_statuses: Statuses { statuses },
            shipping_methods: retail_and_wholesale(&self.shipping),
            payment_methods: retail_and_wholesale(&self.payments),
        }
    }
}

/// The GUID that Brani and we compare: a UUID in lower case; a number is left-padded into one, as the service does
/// (`12345` is `00000000-0000-0000-0000-000000012345`). `None` for anything else.
pub fn canonical_guid(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_digit()) {
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
    Uuid::try_parse(text)
        .ok()
        .map(|uuid| uuid.hyphenated().to_string())
}

/// A GUID that is always the same for the same kind and value.
pub(crate) fn derived_guid(kind: &str, value: &str) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{kind}:{value}").as_bytes()).to_string()
}

/// The id of a status for which nobody chose one (shops whose statuses are words): a positive number of 31 bits that
/// depends on the shop's value alone, so it is the same after every start and on every machine.
fn derived_status_id(shop: &str) -> StatusId {
    let hash = xxh3_64(format!("status:{shop}").as_bytes()) & 0x7fff_ffff;
    StatusId(i64::try_from(hash.max(1)).unwrap_or(1))
}

/// A row of the configuration or of the shop's own list, before anything is derived.
#[derive(Clone, Copy, Default)]
struct Entry<'a> {
    shop: &'a str,
    /// What an id or GUID is derived from; empty: the shop value.
    derived_from: &'a str,
    id: Option<i64>,
    name: Option<&'a str>,
    guid: Option<&'a str>,
    wholesale: bool,
    write_back: bool,
    method: Option<PaymentMethod>,
}

impl<'a> Entry<'a> {
    fn of_list(row: &'a ListRow) -> Self {
        Self {
            shop: row.shop.trim(),
            id: row.id,
            name: Some(&row.name),
            guid: row.guid.as_deref(),
            method: row.method.as_deref().and_then(method_of),
            ..Self::default()
        }
    }

    /// This row with what it leaves out taken from another.
    fn filled_from(self, other: &Self) -> Self {
        let name = |entry: &Self| entry.name.filter(|name| !name.trim().is_empty());
        Self {
            id: self.id.or(other.id),
            name: name(&self).or(name(other)),
            guid: self.guid.or(other.guid),
            method: self.method.or(other.method),
            ..self
        }
    }

    fn origin(&self) -> &'a str {
        if self.derived_from.is_empty() {
            self.shop
        } else {
            self.derived_from
        }
    }

    fn named(&self) -> String {
        let name = self.name.map(str::trim).filter(|name| !name.is_empty());
        name.unwrap_or(self.shop).to_owned()
    }

    fn status(&self) -> StatusMeaning {
        StatusMeaning {
            shop: self.shop.to_owned(),
            id: self.id.map_or_else(|| derived_status_id(self.origin()), StatusId),
            name: self.named(),
            write_back: self.write_back,
        }
    }

    fn method(&self, kind: &str) -> MethodMeaning {
        MethodMeaning {
            shop: self.shop.to_owned(),
            name: self.named(),
            guid: self
                .guid
                .and_then(canonical_guid)
                .unwrap_or_else(|| derived_guid(kind, self.origin())),
            wholesale: self.wholesale,
            method: self.method,
        }
    }
}

/// The configuration's rows and the list's, exact values before globs.
fn together<'a>(config: impl Iterator<Item = Entry<'a>>, list: &'a [ListRow]) -> Vec<Entry<'a>> {
    let list: Vec<Entry<'a>> = list
        .iter()
        .map(Entry::of_list)
        .filter(|row| !row.shop.is_empty())
        .collect();
    let mut rows: Vec<Entry<'a>> = Vec::new();
    let mut globs: Vec<Entry<'a>> = Vec::new();
    for entry in config {
        let place = if is_glob(entry.shop) {
            &mut globs
        } else {
            &mut rows
        };
        if !place.iter().any(|known| known.shop == entry.shop) {
            let same = list.iter().find(|row| row.shop == entry.shop);
            place.push(same.map_or(entry, |row| entry.filled_from(row)));
        }
    }
    for row in list {
        if rows.iter().chain(&globs).any(|known| known.shop == row.shop) {
            continue;
        }
        if is_glob(row.shop) {
            globs.push(row);
            continue;
        }
        let ruled = globs
            .iter()
            .find(|glob| glob.shop != "*" && matches(glob.shop, row.shop));
        rows.push(match ruled {
            // One meaning for all that the glob matches, as if the row were found through it.
            Some(glob) => Entry {
                shop: row.shop,
                derived_from: glob.shop,
                name: glob.name.or(row.name),
                method: glob.method.or(row.method),
                ..*glob
            },
            None => row,
        });
    }
    rows.extend(globs);
    rows
}

fn method_of(text: &str) -> Option<PaymentMethod> {
    match text.trim() {
        "cash_on_delivery" | "1" => Some(PaymentMethod::CashOnDelivery),
        "bank_transfer" | "2" => Some(PaymentMethod::BankTransfer),
        "cash" | "3" => Some(PaymentMethod::Cash),
        "card" | "4" => Some(PaymentMethod::Card),
        _ => None,
    }
}

fn is_glob(shop: &str) -> bool {
    shop.contains('*')
}

fn find<'a, T>(entries: &'a [T], shop_of: impl Fn(&T) -> &str, value: &str) -> Option<&'a T> {
    let value = value.trim();
    let exact = entries.iter().find(|entry| shop_of(entry) == value);
    exact.or_else(|| {
        entries
            .iter()
            .find(|entry| is_glob(shop_of(entry)) && matches(shop_of(entry), value))
    })
}

/// Whether a pattern with `*` (any text, also none) matches a whole value.
fn matches(pattern: &str, value: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| value.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(place) = rest.find(part) else {
            return false;
        };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

fn retail_and_wholesale(methods: &[MethodMeaning]) -> RetailWholesale {
    let list = |wanted: &dyn Fn(&MethodMeaning) -> bool| {
        let mut listed: Vec<Named> = Vec::new();
        for method in methods.iter().filter(|method| wanted(method)) {
            if !listed.iter().any(|known| known.guid == method.guid) {
                listed.push(Named {
                    guid: method.guid.clone(),
                    name: method.name.clone(),
                });
            }
        }
        Methods { methods: listed }
    };
    RetailWholesale {
        retail: list(&|_| true),
        wholesale: list(&|method| method.wholesale),
    }
}
