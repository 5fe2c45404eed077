//! The shop's orders as flat records, wherever they come from.
//!
//! A record is paths of the Brani order to values, as the merchant's columns are named, plus the columns
//! that begin with `_`, which are the daemon's. Rooms behind this one know databases and export files;
//! none of them knows the ledger, the mapping or Brani.

pub mod export;
pub mod preset;
pub mod sql;

use crate::types::{Made, OrderCode, RowHash, ShopKey, ShopStatus};
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_64;

/// One value of a column, as the source gave it. Numbers with a fraction never pass through a binary float
/// once they are here: they are the text the database printed.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL, an absent element, a zero date.
    Null,
    /// Text, JSON included.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number with a fraction (or too large for `Int`), as decimal text.
    Number(String),
    /// A real boolean.
    Bool(bool),
    /// A date and time without a zone: the shop's wall clock, or UTC where `times = "utc"`.
    Local(jiff::civil::DateTime),
    /// A moment.
    Time(Timestamp),
}

impl Value {
    /// NULL and empty text mean the same in shop databases.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }

    /// The value as the text a person would write; empty text for NULL.
    pub fn to_text(&self) -> String {
        match self {
            Value::Null => String::new(),
            Value::Text(text) | Value::Number(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            Value::Bool(flag) => u8::from(*flag).to_string(),
            Value::Local(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            Value::Time(time) => time.to_string(),
        }
    }
}

/// One row: column names shared by all rows of a result, and this row's values.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The column names: paths of the Brani order (or of one item).
    pub names: Arc<[String]>,
    /// The values, as many as names.
    pub values: Vec<Value>,
}

impl Row {
    /// The value of a column; `None` where the query has no such column.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let place = self.names.iter().position(|n| n == name)?;
        self.values.get(place)
    }
}

/// One order as the shop tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// `_key`: the shop's own id, as text.
    pub key: ShopKey,
    /// `code`: the order number, as text, untrimmed by a single byte.
    pub code: OrderCode,
    /// `_cursor` as a moment, where it could be read; decides settling only.
    pub changed: Option<Timestamp>,
    /// `_status`, raw.
    pub status: Option<ShopStatus>,
    /// `_gone`: the order is withdrawn (trash).
    pub gone: bool,
    /// All columns of the order, `_`-columns included, `extra` laid over.
    pub order: Row,
    /// The items, in the order of the query.
    pub items: Vec<Row>,
    /// An export: the hash of the record as the file has it; it stands for the hash of the columns.
    pub seal: Option<RowHash>,
    /// An export: when it was made.
    pub made: Option<Made>,
}

/// Knows which records need not be handed over, because nothing of them changed since they were looked at.
pub trait Known: Send + Sync {
    /// For each record whether it is known. It may block: it is asked on threads for that.
    fn known(&self, sealed: &[(OrderCode, RowHash)]) -> Vec<bool>;
}

/// What one read asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Orders changed at or after this moment; `None` is everything. The source turns it into the column's own
    /// form and zone, and steps back an hour where the clock was put back in between.
    pub since: Option<Timestamp>,
}

/// Every order that a shop has, by the hash of its code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed(HashSet<u64>);

impl Listed {
    /// This one is there.
    pub fn add(&mut self, code: &OrderCode) {
        self.0.insert(xxh3_64(code.as_str().as_bytes()));
    }

    /// Whether it is there. Two codes of one hash are both there if one is.
    pub fn has(&self, code: &OrderCode) -> bool {
        self.0.contains(&xxh3_64(code.as_str().as_bytes()))
    }
}

/// What a complete read tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadEnd {
    /// The source's own clock at the start of the read: the next cursor.
    pub started: Timestamp,
    /// Records handed over.
    pub records: u64,
    /// The orders that were met, where they are proved to be all there are (a declared complete export): absence means
    /// gone.
    pub listed: Option<Listed>,
    /// Nothing was read because the export has not changed or may not be fetched yet.
    pub unchanged: bool,
}

/// A row of the shop's own lists, for e-shop info.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRow {
    /// The value found in orders.
    pub shop: String,
    /// Statuses: the id Brani gets; left out, it is derived.
    pub id: Option<i64>,
    /// The name shown.
    pub name: String,
    /// Shipping and payments: the GUID; left out, it is derived.
    pub guid: Option<String>,
    /// Payments: `cash_on_delivery`, `bank_transfer`, `cash`, `card`.
    pub method: Option<String>,
}

/// The shop's own lists of statuses, shipping methods and payment methods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Order statuses.
    pub statuses: Vec<ListRow>,
    /// Shipping methods.
    pub shipping: Vec<ListRow>,
    /// Payment methods.
    pub payments: Vec<ListRow>,
}

/// One line of `check`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// `Some(true)` ✓, `Some(false)` ✗, `None` a warning.
    pub ok: Option<bool>,
    /// What was looked at and found, one line.
    pub text: String,
    /// What to do, where something is to be done.
    pub hint: Option<String>,
}

/// Why the shop could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The database or host is away, or refuses us for now: it mends itself or an administrator does.
    #[error("{what}")]
    Unavailable {
        /// What was attempted and what the other side said; never a password.
        what: String,
    },
    /// A query or an export cannot be used as it is: the merchant must change it.
    #[error("{query}: {message}")]
    Query {
        /// The query's or file's name in the configuration, e.g. `shop.source.orders.query`.
        query: String,
        /// The database's own message.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A query names what the configuration does not know: a column that is no field of an order, a parameter.
    #[error("{query}: {message}")]
    Names {
        /// The query's name in the configuration.
        query: String,
        /// Which name, and what is wrong with it.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The reader was told to stop.
    #[error("the read was stopped")]
    Stopped,
}

impl SourceError {
    /// Whether the configuration itself is wrong, whatever the database says.
    pub fn is_settings(&self) -> bool {
        matches!(self, SourceError::Names { .. })
    }

    /// What the person who can mend it should do.
    pub fn hint(&self) -> Option<&str> {
        match self {
            SourceError::Query { hint, .. } => hint.as_deref(),
            SourceError::Names { hint, .. } => Some(hint),
            _ => None,
        }
    }
}

/// A shop that can be read.
#[async_trait]
pub trait Source: Send + Sync {
    /// Streams orders changed since a moment, in batches of `batch`, each batch with its items.
    ///
    /// # Errors
    /// See [`SourceError`]. After an error nothing may be concluded from what was handed over, except the records.
    async fn read(&self, read: Read, batches: mpsc::Sender<Vec<Record>>) -> Result<ReadEnd, SourceError>;

    /// The same, but a source that can tell cheaply may leave out what `known` knows. It counts as handed over.
    ///
    /// # Errors
    /// As [`Source::read`].
    async fn read_unknown(
        &self,
        read: Read,
        known: Arc<dyn Known>,
        batches: mpsc::Sender<Vec<Record>>,
    ) -> Result<ReadEnd, SourceError> {
        drop(known);
        self.read(read, batches).await
    }

    /// Looks orders up by code, as they stand now (an export: in its last complete read). At most `batch` codes.
    /// Orders that are not there are simply absent from the answer.
    ///
    /// # Errors
    /// See [`SourceError`].
    async fn lookup(&self, codes: &[OrderCode]) -> Result<Vec<Record>, SourceError>;

    /// The shop's own lists, from `eshop_info.queries`; empty where there are none.
    ///
    /// # Errors
    /// See [`SourceError`].
    async fn lists(&self) -> Result<Lists, SourceError>;

    /// Proves what can be proved about the source for `check`: connection, rights, index, that a row's own
    /// `_cursor` finds that row.
    async fn check(&self) -> Vec<Finding>;

    /// True where [`Source::lookup`] reads the shop as it is this moment.
    fn is_live(&self) -> bool {
        true
    }
}
