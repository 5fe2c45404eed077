//! From a record to a Brani order: pure functions of values. No clock, no network, no database.
//!
//! Every field is validated against the contract before anything is sent; what cannot be mapped is a list of
//! problems that speak to the person who can mend them.

mod columns;
mod country;
mod decimal;
pub mod dictionaries;
pub mod extras;
mod fields;
mod hash;
mod item;
mod order;
mod time;

pub use columns::{ITEM_COLUMNS, ORDER_COLUMNS};

use crate::brani::model::Order;
use crate::source::Record;
use crate::types::{FieldKey, PayloadHash, RowHash, StatusId};
use dictionaries::Dictionaries;
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;

/// Raised whenever the rules of this room change what a record maps to, so that every row is looked at again.
const VERSION: u64 = 1;

/// Who can mend a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The order in the shop.
    Shop,
    /// brani-sync's configuration.
    Settings,
    /// Brani.
    Brani,
}

/// One thing that keeps an order from being sent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// Path of the Brani order, e.g. `items[1].weight`.
    pub field: String,
    /// The value found; `None` for fields that hold personal data, which never reach log or ledger.
    pub found: Option<String>,
    /// What is wrong with it, e.g. `is not a decimal number`.
    pub rule: String,
    /// What to do.
    pub hint: String,
    /// Whose it is.
    pub owner: Owner,
}

impl fmt::Display for Problem {
    /// ``items[1].weight: `0,5 kg` is not a decimal number``; the hint is told apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{}: `{found}` {}", self.field, self.rule),
            None => write!(f, "{}: {}", self.field, self.rule),
        }
    }
}

/// What the mapping depends on besides the record.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The zone of columns without one (the shop's, or UTC where `times = "utc"`).
    pub zone: jiff::tz::TimeZone,
    /// Kilograms, for goods that have no weight.
    pub default_weight: rust_decimal::Decimal,
    /// Kilograms a piece.
    pub max_weight: rust_decimal::Decimal,
    /// What is asked for beside the order.
    pub extras: extras::Asked,
    /// A hash of what else the columns depend on (an export's templates).
    pub source: u64,
}

/// A mapped order.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapped {
    /// The order, without status, its creation time as the shop has it (perhaps in the future).
    pub order: Order,
    /// The creation time.
    pub created: Timestamp,
    /// What the shop's status means to Brani.
    pub status: Option<StatusId>,
    /// The content hash.
    pub content: PayloadHash,
}

/// Maps records.
#[derive(Clone, Debug)]
pub struct Mapping {
    settings: Settings,
    dictionaries: Arc<Dictionaries>,
    fingerprint: u64,
}

impl Mapping {
    /// A mapping under these settings. Its fingerprint covers the mapping's own version, the settings and what the
    /// dictionaries say (names excepted): a change looks at every row again.
    pub fn new(settings: Settings, dictionaries: Arc<Dictionaries>) -> Self {
        let fingerprint = fingerprint(&settings, &dictionaries);
        Self {
            settings,
            dictionaries,
            fingerprint,
        }
    }

    /// Changes whenever the same record could map to another order.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The dictionaries it maps with.
    pub fn dictionaries(&self) -> &Arc<Dictionaries> {
        &self.dictionaries
    }

    /// The hash of a record's raw columns (all but `_cursor`) and its items'; of an export's record its seal. The ledger keeps it beside the
    /// fingerprint, so that a row that changed can be told from a mapping that changed.
    pub fn row_hash(&self, record: &Record) -> RowHash {
        record.seal.unwrap_or_else(|| hash::row_hash(record))
    }

    /// When a record's order was created, where that much can be read of it.
    pub fn created(&self, record: &Record) -> Option<Timestamp> {
        order::created(record, &self.settings)
    }

    /// What a record wants beside its order.
    pub fn wants(&self, record: &Record) -> Vec<extras::Want> {
        extras::wants(record, &self.settings.extras)
    }

    /// Maps a record and validates the order against the contract.
    ///
    /// # Errors
    /// Every problem found, in the order of the fields; never empty.
    pub fn map(&self, record: &Record) -> Result<Mapped, Vec<Problem>> {
        let mut problems = Vec::new();
        match order::map(record, &self.settings, &self.dictionaries, &mut problems) {
            Some(parts) if problems.is_empty() => Ok(Mapped {
                content: hash::content_hash(&parts.order),
                order: parts.order,
                created: parts.created,
                status: parts.status,
            }),
            _ => Err(problems),
        }
    }
}

/// Covers all that a record's order depends on besides the record.
fn fingerprint(settings: &Settings, dictionaries: &Dictionaries) -> u64 {
    let zone = settings
        .zone
        .iana_name()
        .map_or_else(|| format!("{:?}", settings.zone), str::to_owned);
    let weights = [settings.default_weight, settings.max_weight].map(|weight| weight.normalize().to_string());
    let statuses: Vec<_> = dictionaries
        .statuses
        .iter()
        .map(|entry| (&entry.shop, entry.id))
        .collect();
    let methods = |entries: &[dictionaries::MethodMeaning]| -> Vec<_> {
        entries
            .iter()
            .map(|entry| {
                (
                    entry.shop.clone(),
                    entry.guid.clone(),
                    entry.method.map(|method| method.code()),
                )
            })
            .collect()
    };
    // JSON frames the parts; it is written once at each start.
    let parts = serde_json::json!([
        VERSION,
        settings.source,
        zone,
        weights,
        dictionaries.unknown == crate::config::Unknown::Omit,
        statuses,
        methods(&dictionaries.shipping),
        methods(&dictionaries.payments),
        // Whoever asks for more must meet every row again.
        settings.extras.remarks,
        settings.extras.invoices,
        settings.extras.shipped,
    ]);
    hash::short(parts.to_string().as_bytes())
}

/// The hash of an order in canonical form (no `status`): the same meaning has the same hash.
pub fn content_hash(order: &Order) -> PayloadHash {
    hash::content_hash(order)
}

/// A short keyed hash per field, so that `explain` can name the fields that differ without keeping a value.
/// Compact: for the ledger.
pub fn field_hashes(order: &Order, key: &FieldKey) -> Vec<u8> {
    hash::field_hashes(order, key)
}

/// The paths of the fields in which two orders differ, from their [`field_hashes`]; an item that only one of them
/// has is `items[2] (added)` or `items[2] (removed)`. Empty where one of them cannot be read.
pub fn fields_that_differ(before: &[u8], after: &[u8]) -> Vec<String> {
    hash::fields_that_differ(before, after)
}
