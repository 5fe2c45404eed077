//! The settings, typed: what a merchant writes in one TOML file.
//!
//! After loading, nothing here is text that has to be checked again. The names of the keys are a promise; the
//! structures below are their list. This room opens no database and sends no request.

pub mod duration;
mod load;
mod place;
mod problem;
mod rules;
pub mod schedule;
pub mod schema;
pub mod secret;
mod secrets;
mod shape;

pub use load::{DEFAULTS, Loaded, load, path_of_name};
pub(crate) use load::{command, stem};
pub use problem::{ConfigErrors, Problem, render_warnings};
pub use secrets::{SecretError, Secrets};

use indexmap::IndexMap;
use secret::SecretRef;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that one configuration file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The service.
    pub brani: Brani,
    /// The ledger.
    pub ledger: Ledger,
    /// The shop.
    pub shop: Shop,
    /// What Brani must know of the shop.
    pub eshop_info: EshopInfo,
    /// What comes back.
    pub webhooks: Webhooks,
    /// How it is written into the shop.
    pub writeback: Writeback,
    /// When.
    pub schedule: Schedule,
    /// Deleting at Brani.
    pub deletes: Deletes,
    /// Sending again because a mapping changed.
    pub resends: Resends,
    /// The log.
    pub log: Log,
    /// Telling people who read no log.
    pub alert: Option<Alert>,
    /// The admin page.
    pub admin: Option<Admin>,
    /// The packing application's own interface.
    pub app: Option<App>,
    /// Invoices for the packer to print.
    pub invoices: Option<Invoices>,
    /// Where parcels are.
    pub tracking: Option<Tracking>,
}

/// `[brani]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brani {
    /// Where the service is; https, or http on loopback.
    pub base_url: url::Url,
    /// The e-shop's token.
    pub token: Option<SecretRef>,
    /// For one request, connection included.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Requests in flight.
    pub concurrency: usize,
    /// Requests per second.
    pub rate_limit: f64,
}

/// `[ledger]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The SQLite file. Left out: `$STATE_DIRECTORY/ledger.db` under systemd, else the user's state folder.
    pub path: Option<PathBuf>,
    /// How long applied events are kept (their texts go at once).
    #[serde(with = "duration")]
    pub keep_events: Duration,
}

/// `[shop]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shop {
    /// In metrics and logs; left out: the file's stem.
    pub name: Option<String>,
    /// IANA zone of the shop's wall clock.
    #[serde(deserialize_with = "zone")]
    pub timezone: jiff::tz::TimeZone,
    /// Kilograms, for goods that have no weight.
    pub default_weight: rust_decimal::Decimal,
    /// Kilograms a piece; more parks the order.
    pub max_weight: rust_decimal::Decimal,
    /// Where orders come from.
    pub source: Source,
}

/// The kinds of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
    /// An XML export.
    Xml,
    /// A CSV export.
    Csv,
    /// A JSON export.
    Json,
}

/// `tls`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// The certificate must be good.
    Verify,
    /// No encryption: loopback and sockets.
    Off,
}

impl std::str::FromStr for Tls {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "verify" => Ok(Tls::Verify),
            "off" => Ok(Tls::Off),
            _ => Err("write verify or off"),
        }
    }
}

/// `times`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Times {
    /// Columns without a zone are the shop's wall clock.
    Local,
    /// Columns without a zone are UTC.
    Utc,
}

/// `[shop.source]`. After loading, what a preset brings stands here as if the merchant had written it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Left out where the preset says it.
    pub kind: Option<SourceKind>,
    /// A database URL without a password, or the export's URL with globs and `{since}`.
    pub url: Option<SecretRef>,
    /// Apart from the URL, so that a moved server is no change of a secret.
    pub password: Option<SecretRef>,
    /// Default: verify; off on loopback and sockets.
    pub tls: Option<Tls>,
    /// A certificate authority of one's own.
    pub tls_ca: Option<PathBuf>,
    /// A unix socket in place of host and port.
    pub socket: Option<PathBuf>,
    /// A shop system's name, or a path to a preset of one's own.
    pub preset: Option<String>,
    /// Presets: validated before it enters a query.
    pub table_prefix: Option<String>,
    /// Statuses that bring an order to Brani the first time; empty: any.
    pub send_when: Option<Vec<Scalar>>,
    /// Statuses whose orders are never sent again because a mapping changed.
    pub r#final: Option<Vec<Scalar>>,
    /// Orders created earlier than this before the first run are never sent first.
    pub history: History,
    /// How far back a sweep reads.
    #[serde(with = "duration")]
    pub sweep_back: Duration,
    /// How far a read steps back behind the cursor.
    #[serde(with = "duration")]
    pub overlap: Duration,
    /// A new order waits until unchanged this long.
    #[serde(with = "duration")]
    pub settle: Duration,
    /// Of columns without a zone; default local.
    pub times: Option<Times>,
    /// The form of the cursor column.
    pub cursor: Cursor,
    /// Orders in one batch.
    pub batch: usize,
    /// What a preset lets one choose.
    #[serde(default)]
    pub options: toml::Table,
    /// The orders query.
    pub orders: Option<Query>,
    /// The items query.
    pub items: Option<Query>,
    /// One row by code; left out: the orders query, wrapped.
    pub lookup: Option<Query>,
    /// Laid over a preset's columns.
    pub extra: Option<Query>,
    /// Exports: where the records are.
    pub records: Option<Records>,
    /// Exports: a template for each field.
    #[serde(default)]
    pub map: IndexMap<String, String>,
    /// A preset's: the query whose one value lists the facts that hold now (see [`Variant`]); nobody writes it.
    #[serde(skip)]
    pub detect: Option<String>,
    /// A preset's: what to use for which facts; empty where there is no `detect`.
    #[serde(skip)]
    pub variants: Vec<Variant>,
}

/// What a preset reads and writes in a shop of which these facts hold. Keys that the merchant has written stand in
/// every variant; `source::preset::choose` picks one.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// The facts, in the preset's order.
    pub facts: Vec<String>,
    /// In place of `shop.source.orders`.
    pub orders: Option<Query>,
    /// In place of `shop.source.items`.
    pub items: Option<Query>,
    /// In place of `shop.source.lookup`.
    pub lookup: Option<Query>,
    /// In place of `eshop_info.queries`.
    pub queries: Queries,
    /// The statements of the preset's own handlers, by event; a handler that is not here stands in `writeback`.
    pub writeback: IndexMap<String, Vec<String>>,
}

/// A query of the merchant's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The SQL.
    pub query: String,
}

/// `[shop.source.records]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    /// Path of one order, `ORDERS/ORDER`; csv: none.
    pub order: Option<String>,
    /// Path of one item below an order, `ORDER_ITEMS/ITEM`.
    pub item: Option<String>,
    /// csv: the column whose repeated rows are one order.
    pub group: Option<String>,
    /// Default: what the file declares, else UTF-8.
    pub encoding: Option<String>,
    /// csv; left out: found from the header.
    pub delimiter: Option<String>,
    /// Never fetched more often.
    #[serde(with = "duration::option")]
    pub min_interval: Option<Duration>,
    /// The export always lists every order, so a missing one is gone.
    pub complete: bool,
    /// HTTP headers.
    pub headers: IndexMap<String, SecretRef>,
}

/// `history`: a span before the first run, or a date.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum History {
    /// Before the first run.
    Span(Duration),
    /// From this day on, in the shop's zone.
    Since(jiff::civil::Date),
}

impl History {
    /// From which creation on orders count, where the first run is now.
    pub fn start(self, now: jiff::Timestamp, zone: &jiff::tz::TimeZone) -> jiff::Timestamp {
        match self {
            History::Span(span) => now - jiff::SignedDuration::try_from(span).unwrap_or_default(),
            History::Since(day) => day
                .to_zoned(zone.clone())
                .map_or(now, |midnight| midnight.timestamp()),
        }
    }
}

/// `cursor`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// Found from the column.
    Auto,
    /// A date and time column.
    Datetime,
    /// Unix seconds.
    Epoch,
    /// Unix milliseconds.
    EpochMs,
    /// Text in this strftime form.
    Text(String),
}

/// A status as a merchant writes it: text or a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scalar(pub String);

/// `mode` of e-shop info.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// What Brani has and we do not list stays.
    Merge,
    /// Our lists replace Brani's.
    Replace,
}

/// `unknown`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// Park the order.
    Hold,
    /// Leave the field out.
    Omit,
}

/// `[eshop_info]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EshopInfo {
    /// Merge or replace.
    pub mode: Mode,
    /// What an unknown shop value does.
    pub unknown: Unknown,
    /// Order statuses.
    #[serde(default)]
    pub statuses: Vec<StatusEntry>,
    /// Shipping methods.
    #[serde(default)]
    pub shipping: Vec<ShippingEntry>,
    /// Payment methods.
    #[serde(default)]
    pub payments: Vec<PaymentEntry>,
    /// The shop's own lists.
    #[serde(default)]
    pub queries: Queries,
}

/// `[[eshop_info.statuses]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusEntry {
    /// The value found in the order; `*` globs.
    pub shop: Scalar,
    /// What Brani gets. Left out (rows of the shop's own lists): derived.
    pub id: Option<i64>,
    /// The name shown; left out: the shop value.
    pub name: Option<String>,
    /// The one to write when several shop values share an id.
    #[serde(default)]
    pub write_back: bool,
}

/// `[[eshop_info.shipping]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShippingEntry {
    /// The value found in the order; `*` globs.
    pub shop: Scalar,
    /// The name shown.
    pub name: Option<String>,
    /// Left out: derived from kind and shop value, always the same.
    pub guid: Option<String>,
    /// Listed for wholesale.
    #[serde(default)]
    pub wholesale: bool,
}

/// `[[eshop_info.payments]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentEntry {
    /// The value found in the order; `*` globs.
    pub shop: Scalar,
    /// The name shown.
    pub name: Option<String>,
    /// Left out: derived.
    pub guid: Option<String>,
    /// Listed for wholesale.
    #[serde(default)]
    pub wholesale: bool,
    /// How the order is paid.
    pub method: Option<PaymentMethod>,
}

/// `method` of a payment: Brani's `billingMethodCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// 1
    CashOnDelivery,
    /// 2
    BankTransfer,
    /// 3
    Cash,
    /// 4
    Card,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Scalar;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text or a number")
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for CommandHandler {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = CommandHandler;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a program's path, or a list of the program and its arguments")
            }
            fn visit_str<E>(self, text: &str) -> Result<CommandHandler, E> {
                Ok(CommandHandler(vec![text.to_owned()]))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<CommandHandler, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element()? {
                    words.push(word);
                }
                Ok(CommandHandler(words))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Ok(day) = text.parse::<jiff::civil::Date>() {
            return Ok(History::Since(day));
        }
        duration::parse(&text).map(History::Span).map_err(|_| {
            serde::de::Error::custom(format!(
                "`{text}` is neither a duration (\"30d\") nor a date (\"2026-01-31\")"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "auto" => Cursor::Auto,
            "datetime" => Cursor::Datetime,
            "epoch" => Cursor::Epoch,
            "epoch_ms" => Cursor::EpochMs,
            other => match other.strip_prefix("text:") {
                Some(form) => Cursor::Text(form.to_owned()),
                None => {
                    return Err(serde::de::Error::custom(format!(
                        "`{other}` is not one of auto, datetime, epoch, epoch_ms, \"text:%Y-%m-%d %H:%M:%S\""
                    )));
                }
            },
        })
    }
}

fn zone<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<jiff::tz::TimeZone, D::Error> {
    let name = String::deserialize(deserializer)?;
    jiff::tz::TimeZone::get(&name).map_err(|_| {
        serde::de::Error::custom(format!(
            "`{name}` is not a time zone; write one like \"Europe/Prague\"; where it is one, install the package `tzdata`"
        ))
    })
}

impl PaymentMethod {
    /// Brani's `billingMethodCode`.
    pub fn code(self) -> u8 {
        match self {
            PaymentMethod::CashOnDelivery => 1,
            PaymentMethod::BankTransfer => 2,
            PaymentMethod::Cash => 3,
            PaymentMethod::Card => 4,
        }
    }
}

/// `[eshop_info.queries]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queries {
    /// `SELECT … AS shop, … AS id, … AS name`
    pub statuses: Option<String>,
    /// `SELECT … AS shop, … AS name [, … AS guid]`
    pub shipping: Option<String>,
    /// `SELECT … AS shop, … AS name [, … AS guid, … AS method]`
    pub payments: Option<String>,
}

/// `[webhooks]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// Left out: those that have a handler. `package_packed` is read as `balic_packed`.
    pub events: Option<Vec<String>>,
    /// Keep Brani's registration equal to this section.
    pub register: bool,
    /// Registered as `{public_url}/{event}/{secret}`; left out: drain only.
    pub public_url: Option<url::Url>,
    /// `host:port` or `unix:/path`; none without `public_url`.
    pub listen: Option<String>,
    /// The last segment of the registered URL.
    pub secret: Option<SecretRef>,
    /// Registrations that exist already, by event type: drained, never changed.
    #[serde(default)]
    pub ids: IndexMap<String, i64>,
    /// How far back the first drain of a new ledger applies.
    #[serde(with = "duration")]
    pub lookback: Duration,
    /// How long updates wait for a drain that fails.
    #[serde(with = "duration")]
    pub hold_updates: Duration,
}

/// `[writeback]`: settings, and one table per event with a handler.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writeback {
    /// Shop statuses that an event never overwrites.
    pub protect: Option<Vec<Scalar>>,
    /// Left out: the source's.
    pub url: Option<SecretRef>,
    /// Left out: the source's.
    pub password: Option<SecretRef>,
    /// For one call.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Before an event is stuck.
    pub attempts: u32,
    /// Calls side by side.
    pub concurrency: usize,
    /// Brani id → shop value; empty ignores.
    pub status_map: Option<IndexMap<String, String>>,
    /// One handler per event type.
    pub balic_packed: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub balic_picked: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub package_number: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub order_history: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub status_change: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub added_to_cart: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub shipping_change: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub movement_document_created: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub movement_document_updated: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub inventory_check_completed: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub personal_pickup_stored: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub personal_pickup_issued: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub task_created: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub task_assigned: Option<HandlerConfig>,
    /// See [`Writeback::balic_packed`].
    pub task_status_changed: Option<HandlerConfig>,
    /// Told when an order is parked.
    pub parked: Option<HandlerConfig>,
    /// Told when it is parked no longer.
    pub unparked: Option<HandlerConfig>,
    /// Told when a parcel's state changes.
    pub delivery_state: Option<HandlerConfig>,
}

impl Writeback {
    /// The handler of an event type (or of `parked`, `unparked`, `delivery_state`).
    pub fn handler(&self, event: &str) -> Option<&HandlerConfig> {
        match event {
            "balic_packed" => self.balic_packed.as_ref(),
            "balic_picked" => self.balic_picked.as_ref(),
            "package_number" => self.package_number.as_ref(),
            "order_history" => self.order_history.as_ref(),
            "status_change" => self.status_change.as_ref(),
            "added_to_cart" => self.added_to_cart.as_ref(),
            "shipping_change" => self.shipping_change.as_ref(),
            "movement_document_created" => self.movement_document_created.as_ref(),
            "movement_document_updated" => self.movement_document_updated.as_ref(),
            "inventory_check_completed" => self.inventory_check_completed.as_ref(),
            "personal_pickup_stored" => self.personal_pickup_stored.as_ref(),
            "personal_pickup_issued" => self.personal_pickup_issued.as_ref(),
            "task_created" => self.task_created.as_ref(),
            "task_assigned" => self.task_assigned.as_ref(),
            "task_status_changed" => self.task_status_changed.as_ref(),
            "parked" => self.parked.as_ref(),
            "unparked" => self.unparked.as_ref(),
            "delivery_state" => self.delivery_state.as_ref(),
            _ => None,
        }
    }
}

/// The event types of the service.
pub const EVENTS: [&str; 15] = [
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
];

impl Writeback {
    /// All handlers that are written, with their names.
    pub fn handlers(&self) -> impl Iterator<Item = (&'static str, &HandlerConfig)> {
        EVENTS
            .into_iter()
            .chain(["parked", "unparked", "delivery_state"])
            .filter_map(|name| self.handler(name).map(|handler| (name, handler)))
    }

    fn handlers_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut HandlerConfig)> {
        [
            ("balic_packed", &mut self.balic_packed),
            ("balic_picked", &mut self.balic_picked),
            ("package_number", &mut self.package_number),
            ("order_history", &mut self.order_history),
            ("status_change", &mut self.status_change),
            ("added_to_cart", &mut self.added_to_cart),
            ("shipping_change", &mut self.shipping_change),
            ("movement_document_created", &mut self.movement_document_created),
            ("movement_document_updated", &mut self.movement_document_updated),
            ("inventory_check_completed", &mut self.inventory_check_completed),
            ("personal_pickup_stored", &mut self.personal_pickup_stored),
            ("personal_pickup_issued", &mut self.personal_pickup_issued),
            ("task_created", &mut self.task_created),
            ("task_assigned", &mut self.task_assigned),
            ("task_status_changed", &mut self.task_status_changed),
            ("parked", &mut self.parked),
            ("unparked", &mut self.unparked),
            ("delivery_state", &mut self.delivery_state),
        ]
        .into_iter()
        .filter_map(|(name, handler)| handler.as_mut().map(|handler| (name, handler)))
    }
}

/// One handler: exactly one of the four.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandlerConfig {
    /// Statements of one transaction.
    pub sql: Option<Vec<String>>,
    /// A request.
    pub http: Option<HttpHandler>,
    /// A program, told JSON on standard input; no shell.
    pub command: Option<CommandHandler>,
    /// A file that gets one JSON line per event.
    pub jsonl: Option<PathBuf>,
}

/// `http = { … }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpHandler {
    /// Where; a template. https, or http on loopback.
    pub url: String,
    /// Default POST.
    pub method: Option<String>,
    /// Further headers.
    #[serde(default)]
    pub headers: IndexMap<String, SecretRef>,
    /// A template; left out: the parameters as JSON.
    pub body: Option<String>,
    /// Basic authentication.
    pub user: Option<String>,
    /// Basic authentication.
    pub password: Option<SecretRef>,
}

/// `command = ["program", "argument"]` or `"program"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandHandler(pub Vec<String>);

/// `[schedule]`: durations or cron with seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Reading the shop.
    pub poll: String,
    /// Draining events.
    pub drain: String,
    /// Comparing e-shop info.
    pub eshop_info: String,
    /// Reading everything again.
    pub sweep: String,
}

/// `mode` of deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteMode {
    /// Nothing is deleted.
    Off,
    /// What is gone from the shop.
    Gone,
    /// What is in one of `statuses`.
    Status,
}

/// `[deletes]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletes {
    /// What is deleted.
    pub mode: DeleteMode,
    /// For mode `status`.
    #[serde(default)]
    pub statuses: Vec<Scalar>,
    /// More than this: delete nothing.
    pub max_per_sweep: u64,
    /// Of the known orders, from 100 orders up.
    pub max_share: f64,
}

/// `[resends]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resends {
    /// More wait for `orders resend --yes`.
    pub max: u64,
}

/// `format` of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Journal fields under systemd, coloured text on a terminal.
    Auto,
    /// Text.
    Text,
    /// JSON lines.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How.
    pub format: LogFormat,
    /// How much: `error`, `warn`, `info`, `debug`, `trace`, or a filter of `tracing`.
    pub level: String,
}

/// `[alert]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// A request.
    pub http: Option<HttpHandler>,
    /// A program.
    pub command: Option<CommandHandler>,
    /// How long a trouble lasts before it is told.
    #[serde(with = "duration", default = "duration::fifteen_minutes")]
    pub after: Duration,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// `host:port` or `unix:/path`.
    pub listen: String,
    /// `en` or `cs`.
    #[serde(default)]
    pub language: Language,
    /// Shown where a person is needed.
    pub contact: Option<String>,
}

/// `language` of the admin page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Czech.
    Cs,
}

/// `[app]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The login service.
    pub auth_url: url::Url,
    /// The packing application.
    pub base_url: url::Url,
    /// A user made for this purpose only.
    pub username: String,
    /// Its password.
    pub password: SecretRef,
    /// Push an order's e-shop remark through it.
    #[serde(default)]
    pub remarks: bool,
}

/// `[invoices]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invoices {
    /// A file for each order, `/srv/invoices/{code}.pdf`; `{key}` is the shop's own id.
    pub path: Option<String>,
    /// An address for each order, `https://…/{code}`.
    pub url: Option<String>,
    /// Files are read from nowhere else. Left out: what `path` begins with.
    pub folder: Option<PathBuf>,
    /// HTTP headers for `url`.
    #[serde(default)]
    pub headers: IndexMap<String, SecretRef>,
    /// An invoice whose file is gone is removed at Brani.
    #[serde(default)]
    pub remove: bool,
    /// A larger one is not uploaded.
    #[serde(default = "ten")]
    pub max_mib: u64,
    /// How long a missing or changed file is looked for.
    #[serde(with = "duration", default = "duration::fortnight")]
    pub look_for: Duration,
}

fn ten() -> u64 {
    10
}

/// `[tracking]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracking {
    /// Orders in these shop statuses are on their way, beside those that have a parcel number.
    #[serde(default)]
    pub statuses: Vec<Scalar>,
    /// Between two questions about one parcel.
    #[serde(with = "duration", default = "duration::two_hours")]
    pub every: Duration,
    /// A parcel that has not arrived by then is not asked for any more.
    #[serde(with = "duration", default = "duration::month")]
    pub give_up: Duration,
}
