//! Orders out of a database: the merchant's own queries on MySQL, MariaDB, PostgreSQL and SQLite.
//!
//! The column names of the queries are the paths of the Brani order. What differs between databases lies in
//! `database/`; here is what they have in common: the cursor, the batches, the look-up by code.

mod check;
pub mod cursor;
mod plan;
mod plans;
mod records;

use super::{Finding, ListRow, Lists, Read, ReadEnd, Record, Source, SourceError, Value};
use crate::config::secret::Secret;
use crate::config::{self, Cursor, Times};
use crate::database::parameters::{Bound, Dialect};
use crate::database::{self, BoxSession, Fault, Purpose, Table, Target};
use crate::types::OrderCode;
use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
pub(crate) use plan::{Layout, Plan};
pub use plans::Detect;
pub(crate) use plans::{Chosen, Plans};
use records::{Assembly, assemble};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// What a source needs to know.
#[derive(Clone, Debug)]
pub struct SqlSettings {
    /// Where the database is.
    pub target: Target,
    /// The shop's zone.
    pub timezone: TimeZone,
    /// What columns without a zone are.
    pub times: Times,
    /// The form of the cursor column.
    pub cursor: Cursor,
    /// Orders in one batch.
    pub batch: usize,
    /// The orders query.
    pub orders: String,
    /// The items query.
    pub items: String,
    /// One row by code; left out: the orders query, wrapped.
    pub lookup: Option<String>,
    /// Laid over the orders' columns.
    pub extra: Option<String>,
    /// The shop's own lists.
    pub lists: config::Queries,
    /// A preset's question which of its variants the shop is; its queries stand in place of those above.
    pub detect: Option<Detect>,
}

impl SqlSettings {
    /// The settings of a `[shop.source]` whose kind is a database, with its secrets found.
    ///
    /// # Errors
    /// One sentence that names the setting which is missing.
    pub fn from_config(
        source: &config::Source,
        timezone: &TimeZone,
        lists: &config::Queries,
        url: Secret,
        password: Option<Secret>,
    ) -> Result<Self, String> {
        let dialect = source
            .kind
            .and_then(Target::dialect_of)
            .or_else(|| Target::dialect_of_url(url.expose()))
            .ok_or("`shop.source.kind` is no database; write mysql, postgres or sqlite")?;
        let query = |query: &Option<config::Query>, name: &str| match query {
            Some(query) => Ok(query.query.clone()),
            None => Err(format!(
                "`shop.source.{name}` has no `query`; write one or choose a `preset`"
            )),
        };
        Ok(Self {
            target: Target {
                dialect,
                url,
                password,
                tls: source.tls,
                tls_ca: source.tls_ca.clone(),
                socket: source.socket.clone(),
            },
            timezone: timezone.clone(),
            times: source.times.unwrap_or(Times::Local),
            cursor: source.cursor.clone(),
            batch: source.batch.max(1),
            orders: query(&source.orders, "orders")?,
            items: query(&source.items, "items")?,
            lookup: source.lookup.as_ref().map(|query| query.query.clone()),
            extra: source.extra.as_ref().map(|query| query.query.clone()),
            lists: lists.clone(),
            detect: source.detect.as_ref().map(|query| Detect {
                preset: source.preset.clone().unwrap_or_default(),
                query: query.clone(),
                variants: source.variants.clone(),
            }),
        })
    }

    /// The zone of columns without one.
    pub fn zone(&self) -> TimeZone {
        match self.times {
            Times::Local => self.timezone.clone(),
            Times::Utc => TimeZone::UTC,
        }
    }

    /// A socket in place of host and port.
    pub fn with_socket(mut self, socket: impl Into<PathBuf>) -> Self {
        self.target.socket = Some(socket.into());
        self
    }
}

/// A shop's database.
pub struct SqlSource {
    settings: SqlSettings,
    plans: Plans,
    /// Sessions between two look-ups.
    idle: Mutex<Vec<BoxSession>>,
}

/// Sessions that wait for the next look-up.
const IDLE_MAX: usize = 2;

impl SqlSource {
    /// A source. Nothing is connected before it is asked.
    pub fn new(settings: SqlSettings) -> Self {
        Self {
            plans: Plans::new(&settings),
            settings,
            idle: Mutex::default(),
        }
    }

    async fn connect(&self, purpose: &Purpose) -> Result<BoxSession, SourceError> {
        database::connect(&self.settings.target, purpose)
            .await
            .map_err(|fault| trouble(fault, "shop.source.url"))
    }

    /// A session that works: an idle one that answers, or a new one.
    async fn session(&self) -> Result<BoxSession, SourceError> {
        let idle = self.idle.lock().unwrap_or_else(|held| held.into_inner()).pop();
        if let Some(mut session) = idle {
            let answer = tokio::time::timeout(std::time::Duration::from_secs(5), session.run("SELECT 1"));
            if matches!(answer.await, Ok(Ok(()))) {
                return Ok(session);
            }
        }
        self.connect(&Purpose::Lookup).await
    }

    fn keep(&self, session: BoxSession) {
        let mut idle = self.idle.lock().unwrap_or_else(|held| held.into_inner());
        if idle.len() < IDLE_MAX {
            idle.push(session);
        }
    }

    /// What the orders query's columns are; looked at again at each read, as schemas change.
    async fn layout(
        &self,
        session: &mut BoxSession,
        chosen: &Chosen,
        fresh: bool,
    ) -> Result<Arc<Layout>, SourceError> {
        let known = chosen.known_layout();
        if let Some(layout) = known.clone().filter(|_| !fresh) {
            return Ok(layout);
        }
        let layout = Arc::new(chosen.plan.layout(session, known.as_deref()).await?);
        chosen.keep_layout(&layout);
        Ok(layout)
    }

    async fn read_all(
        &self,
        read: Read,
        batches: &mpsc::Sender<Vec<Record>>,
    ) -> Result<ReadEnd, SourceError> {
        let dialect = self.settings.target.dialect;
        let mut session = self.connect(&Purpose::Read).await?;
        let started = clock(&mut session, dialect).await?;
        begin(&mut session, dialect).await?;
        let chosen = self.plans.choose(&mut session).await?;
        let plan = &chosen.plan;
        let layout = self.layout(&mut session, &chosen, true).await?;
        let since = cursor::since(&layout.form, read.since, started, &plan.zone, dialect);
        let query = plan.orders_since(since)?;
        let orders = |fault| trouble(fault, "shop.source.orders");
        session.open(&query).await.map_err(orders)?;
        let mut second = match session.shares() {
            true => None,
            false => {
                let mut second = self.connect(&Purpose::Read).await?;
                second
                    .run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                    .await
                    .map_err(orders)?;
                second.run("START TRANSACTION READ ONLY").await.map_err(orders)?;
                Some(second)
            }
        };
        let mut warnings = Assembly::default();
        let mut records = 0;
        loop {
            let table = session.fetch(self.settings.batch).await.map_err(orders)?;
            if table.rows.is_empty() {
                break;
            }
            let rows = table.rows.len();
            let side = second.as_mut().unwrap_or(&mut session);
            let batch = assemble(plan, &layout, side, table, &mut warnings).await?;
            records += batch.len() as u64;
            if !batch.is_empty() && batches.send(batch).await.is_err() {
                return Err(SourceError::Stopped);
            }
            if rows < self.settings.batch {
                break;
            }
        }
        warnings.tell();
        Ok(ReadEnd {
            started,
            records,
            listed: None,
            unchanged: false,
        })
    }

    async fn look(&self, codes: &[OrderCode]) -> Result<Vec<Record>, SourceError> {
        let mut session = self.session().await?;
        begin(&mut session, self.settings.target.dialect).await?;
        let chosen = self.plans.choose(&mut session).await?;
        let plan = &chosen.plan;
        let layout = self.layout(&mut session, &chosen, false).await?;
        let (query, name) = plan.look_up(&layout, codes)?;
        let table = match session.query(&query).await {
            Err(Fault::Charset(_)) => Self::one_by_one(plan, &mut session, &layout, codes).await?,
            result => result.map_err(|fault| trouble(fault, name))?,
        };
        let mut warnings = Assembly::default();
        let found = assemble(plan, &layout, &mut session, table, &mut warnings).await?;
        warnings.tell();
        session
            .run("COMMIT")
            .await
            .map_err(|fault| trouble(fault, "shop.source.lookup"))?;
        self.keep(session);
        Ok(found
            .into_iter()
            .filter(|record| codes.contains(&record.code))
            .collect())
    }

    /// One of the codes cannot be written in the character set of the column, so no order has it: the others are
    /// asked for alone.
    async fn one_by_one(
        plan: &Plan,
        session: &mut BoxSession,
        layout: &Layout,
        codes: &[OrderCode],
    ) -> Result<Table, SourceError> {
        let mut all: Option<Table> = None;
        for code in codes {
            let (query, name) = plan.look_up(layout, std::slice::from_ref(code))?;
            match session.query(&query).await {
                Err(Fault::Charset(_)) => {}
                Err(fault) => return Err(trouble(fault, name)),
                Ok(table) => match &mut all {
                    Some(all) => all.rows.extend(table.rows),
                    None => all = Some(table),
                },
            }
        }
        Ok(all.unwrap_or_else(|| Table {
            names: ["_key", "code"].map(str::to_owned).into(),
            rows: Vec::new(),
            damaged: Vec::new(),
        }))
    }

    async fn list(
        &self,
        session: &mut BoxSession,
        query: &Option<String>,
        name: &str,
    ) -> Result<Vec<ListRow>, SourceError> {
        let Some(query) = query else {
            return Ok(Vec::new());
        };
        let path = format!("eshop_info.queries.{name}");
        let table = session
            .query(&Bound::plain(query.trim().trim_end_matches(';')))
            .await
            .map_err(|fault| trouble(fault, &path))?;
        for column in table.names.iter() {
            if !["shop", "id", "name", "guid", "method"].contains(&column.as_str()) {
                return Err(SourceError::Names {
                    query: path,
                    message: format!("the column `{column}` is not known here"),
                    hint: "name the columns shop, id, name, guid and method".into(),
                });
            }
        }
        let Some(shop) = table.place("shop") else {
            return Err(SourceError::Names {
                query: path,
                message: "there is no column `shop`".into(),
                hint: "select the value found in the orders AS shop".into(),
            });
        };
        let places = ["id", "name", "guid", "method"].map(|column| table.place(column));
        let mut list = Vec::new();
        for row in &table.rows {
            let text = |place: Option<usize>| {
                place
                    .and_then(|place| row.get(place))
                    .filter(|value| !value.is_empty())
                    .map(Value::to_text)
            };
            let Some(shop) = text(Some(shop)) else { continue };
            let id = match text(places[0]) {
                None => None,
                Some(id) => Some(id.parse().map_err(|_| SourceError::Query {
                    query: path.clone(),
                    message: format!("the id `{id}` of `{shop}` is not a whole number"),
                    hint: Some("leave the column `id` out, and ids are derived".into()),
                })?),
            };
            list.push(ListRow {
                name: text(places[1]).unwrap_or_else(|| shop.clone()),
                shop,
                id,
                guid: text(places[2]),
                method: text(places[3]),
            });
        }
        Ok(list)
    }

    async fn all_lists(&self) -> Result<Lists, SourceError> {
        let none = |queries: &config::Queries| {
            queries.statuses.is_none() && queries.shipping.is_none() && queries.payments.is_none()
        };
        if none(&self.settings.lists) && self.settings.detect.is_none() {
            return Ok(Lists::default());
        }
        let mut session = self.session().await?;
        let chosen = self.plans.choose(&mut session).await?;
        let queries = &chosen.lists;
        let lists = Lists {
            statuses: self.list(&mut session, &queries.statuses, "statuses").await?,
            shipping: self.list(&mut session, &queries.shipping, "shipping").await?,
            payments: self.list(&mut session, &queries.payments, "payments").await?,
        };
        self.keep(session);
        Ok(lists)
    }
}

/// The database's own clock.
async fn clock(session: &mut BoxSession, dialect: Dialect) -> Result<Timestamp, SourceError> {
    let sql = match dialect {
        Dialect::Mysql => "SELECT DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ')",
        Dialect::Postgres => {
            r#"SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#
        }
        Dialect::Sqlite => "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    };
    let text = session
        .query(&Bound::plain(sql))
        .await
        .map_err(|fault| trouble(fault, "shop.source.url"))?
        .first()
        .unwrap_or_default();
    text.parse().map_err(|_| SourceError::Unavailable {
        what: format!("ask the database for its clock: `{text}` is no time"),
    })
}

/// Begins a transaction that reads one state of the database.
async fn begin(session: &mut BoxSession, dialect: Dialect) -> Result<(), SourceError> {
    let sql = match dialect {
        Dialect::Mysql => "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        Dialect::Sqlite => "BEGIN",
    };
    session
        .run(sql)
        .await
        .map_err(|fault| trouble(fault, "shop.source.url"))
}

/// A fault while a setting's query ran.
pub(crate) fn trouble(fault: Fault, query: &str) -> SourceError {
    match fault {
        Fault::Away(text) | Fault::Busy(text) | Fault::Conflict(text) => SourceError::Unavailable {
            what: match query {
                "shop.source.url" => text,
                _ => format!("{query}: {text}"),
            },
        },
        Fault::Login(message) => SourceError::Query {
            query: "shop.source.url".into(),
            message,
            hint: Some(
                "look at the user and the database in `shop.source.url`, at `shop.source.password`, at the rights the user has, and at `shop.source.tls` where the user must come encrypted".into(),
            ),
        },
        Fault::Tls(message) => SourceError::Query {
            query: "shop.source.tls".into(),
            message,
            hint: Some(
                "`shop.source.tls_ca` names the file of an authority of your own, `shop.source.tls` says whether the connection is encrypted; docs/troubleshooting.md shows how to make a certificate".into(),
            ),
        },
        Fault::Statement(message) | Fault::Charset(message) => SourceError::Query {
            query: query.to_owned(),
            message,
            hint: Some(format!("mend the query of `{query}`, or give the user SELECT on what it reads")),
        },
    }
}

#[async_trait]
impl Source for SqlSource {
    async fn read(&self, read: Read, batches: mpsc::Sender<Vec<Record>>) -> Result<ReadEnd, SourceError> {
        tokio::select! {
            biased;
            result = self.read_all(read, &batches) => result,
            () = batches.closed() => Err(SourceError::Stopped),
        }
    }

    async fn lookup(&self, codes: &[OrderCode]) -> Result<Vec<Record>, SourceError> {
        if codes.is_empty() {
            return Ok(Vec::new());
        }
        match self.look(codes).await {
            // The connection may have broken under the query: once more, on a new one.
            Err(SourceError::Unavailable { .. }) => {
                self.idle.lock().unwrap_or_else(|held| held.into_inner()).clear();
                self.look(codes).await
            }
            result => result,
        }
    }

    async fn lists(&self) -> Result<Lists, SourceError> {
        self.all_lists().await
    }

    async fn check(&self) -> Vec<Finding> {
        self.findings().await
    }
}
