//! Writing packing results into the shop's database: a list of statements is one transaction, and before the first of
//! them the order is looked up in the same transaction.
//!
//! What a packing table says never becomes part of a statement: every value is bound.
//!
//! A `SELECT … AS _problem` among the statements may refuse: where it finds a row, its text is the reason, and nothing
//! is written.

use super::{Call, Handler, Outcome, WritebackError};
use crate::config::{Config, Times};
use crate::database::parameters::{Bind, Binds, Dialect, Param, Template};
use crate::database::{self, BoxSession, Fault, Purpose, Target, param_of};
use crate::source::sql::{Chosen, Layout, Plans, SqlSettings};
use crate::source::{SourceError, Value};
use crate::types::{OrderCode, ShopStatus};
use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The parameters that every event has (NULL where an event has no such thing).
pub const PARAMETERS: &[&str] = &[
    "key",
    "code",
    "event",
    "event_id",
    "created",
    "now",
    "status_id",
    "status",
    "package_number",
    "package_numbers",
    "text",
    "reason",
];

/// Further parameters of `delivery_state`.
const DELIVERY_PARAMETERS: &[&str] = &["state", "state_name", "at"];

/// How often a transaction that met another one is tried.
const TRIES: u32 = 5;

/// Sessions that wait for the next call: as many as `writeback.concurrency` may be.
const IDLE_MAX: usize = 64;

/// How long an idle session may take to open a transaction before it counts as broken.
const IDLE_ANSWERS: Duration = Duration::from_secs(5);

/// Where handlers write: one database, its sessions shared by all of them.
pub struct SqlTarget {
    target: Target,
    plans: Option<Plans>,
    timezone: TimeZone,
    times: Times,
    timeout: Duration,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    session: BoxSession,
    /// The offset that the session's zone was set to, if the server does not know names.
    offset: String,
}

impl SqlTarget {
    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        self.target.dialect
    }

    /// The database of a source (or a copy of it with other rights: put its `target` into the settings), in which
    /// orders can be looked up.
    pub fn of_source(settings: &SqlSettings, timeout: Duration) -> Self {
        Self {
            target: settings.target.clone(),
            plans: Some(Plans::new(settings)),
            timezone: settings.timezone.clone(),
            times: settings.times,
            timeout,
            idle: Mutex::default(),
        }
    }

    /// A database beside an export: there is no query that looks orders up.
    pub fn beside_export(target: Target, timezone: TimeZone, times: Times, timeout: Duration) -> Self {
        Self {
            target,
            plans: None,
            timezone,
            times,
            timeout,
            idle: Mutex::default(),
        }
    }

    /// The zone of `:now`.
    fn zone(&self) -> TimeZone {
        match self.times {
            Times::Local => self.timezone.clone(),
            Times::Utc => TimeZone::UTC,
        }
    }

    fn offset(&self, now: Timestamp) -> String {
        let seconds = self.zone().to_offset(now).seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.abs() / 60;
        format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }

    /// A session whose zone is right, with a transaction that is open: an idle one that answers, or a new one.
    async fn begin(&self, now: Timestamp) -> Result<Idle, Fault> {
        let begin = match self.target.dialect {
            // The session is SERIALIZABLE, where a plain SELECT locks what it reads.
            Dialect::Mysql => "START TRANSACTION",
            // A row that another has changed since the look-up ends it with 40001.
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            Dialect::Sqlite => "BEGIN IMMEDIATE",
        };
        let offset = self.offset(now);
        loop {
            let idle = self.idle.lock().unwrap_or_else(|held| held.into_inner()).pop();
            let Some(mut idle) = idle else { break };
            if idle.offset != offset {
                continue;
            }
            // Whether it still answers shows in its first word. A file does, and may be busy for longer.
            let patience = match self.target.dialect {
                Dialect::Sqlite => Duration::MAX,
                Dialect::Mysql | Dialect::Postgres => IDLE_ANSWERS,
            };
            match tokio::time::timeout(patience, idle.session.run(begin)).await {
                Ok(Ok(())) => return Ok(idle),
                Ok(Err(fault @ (Fault::Busy(_) | Fault::Conflict(_)))) => return Err(fault),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let mut idle = self.connect(offset).await?;
        idle.session.run(begin).await?;
        Ok(idle)
    }

    async fn connect(&self, offset: String) -> Result<Idle, Fault> {
        let zone = self.zone();
        let purpose = Purpose::Write {
            zone: zone
                .iana_name()
                .filter(|name| {
                    name.chars()
                        .all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c))
                })
                .unwrap_or("UTC")
                .to_owned(),
            offset: offset.clone(),
        };
        let session = database::connect(&self.target, &purpose).await?;
        Ok(Idle { session, offset })
    }

    fn keep(&self, idle: Idle) {
        let mut all = self.idle.lock().unwrap_or_else(|held| held.into_inner());
        if all.len() < IDLE_MAX {
            all.push(idle);
        }
    }

    /// What is used of the shop as it is in this transaction; none beside an export.
    async fn choose(&self, session: &mut BoxSession) -> Result<Option<Arc<Chosen>>, Trouble> {
        let Some(plans) = &self.plans else {
            return Ok(None);
        };
        let answer = plans.ask(session).await.map_err(|fault| match fault {
            Fault::Statement(text) => Trouble::Failed(format!("shop.source.preset: {text}")),
            other => Trouble::Fault(other),
        })?;
        let chosen = plans
            .of(answer.as_deref())
            .map_err(|error| Trouble::Failed(told(&error)))?;
        Ok(Some(chosen))
    }
}

/// As much of the layout as a look-up needs.
async fn layout(chosen: &Chosen, session: &mut BoxSession) -> Result<Arc<Layout>, Fault> {
    if let Some(layout) = chosen.known_layout() {
        return Ok(layout);
    }
    let layout = Arc::new(chosen.plan.look_up_layout(session).await?);
    chosen.keep_layout(&layout);
    Ok(layout)
}

/// One event's statements.
pub struct SqlHandler {
    target: Arc<SqlTarget>,
    event: String,
    statements: Vec<Template>,
}

impl SqlHandler {
    /// A handler of an event type. What [`problems`] finds is told at the first call.
    pub fn new(target: Arc<SqlTarget>, event: &str, statements: &[String]) -> Self {
        let dialect = target.target.dialect;
        Self {
            target,
            event: event.to_owned(),
            statements: statements
                .iter()
                .map(|sql| Template::parse(sql, dialect))
                .collect(),
        }
    }
}

/// What is wrong with an event's statements, for `check`: parameters that the event does not have.
pub fn problems(statements: &[String], event: &str, dialect: Dialect) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, sql) in statements.iter().enumerate() {
        let template = Template::parse(sql, dialect);
        if template
            .bind(&Binds::new())
            .is_ok_and(|bound| bound.sql.trim().is_empty())
        {
            problems.push(format!("writeback.{event}.sql[{index}]: the statement is empty"));
        }
        for name in template.names() {
            let known = PARAMETERS.contains(&name)
                || is_general(event)
                || (event == "delivery_state" && DELIVERY_PARAMETERS.contains(&name));
            if !known {
                problems.push(format!(
                    "writeback.{event}.sql[{index}]: {}",
                    unknown(name, event)
                ));
            }
        }
    }
    problems
}

/// What is wrong with the statements of a whole configuration whose source is a database, its preset laid in: of the
/// handlers that stand in it, and of those that depend on what the preset's `detect` finds.
pub fn config_problems(config: &Config) -> Vec<String> {
    let source = &config.shop.source;
    let Some(dialect) = source.kind.and_then(Target::dialect_of) else {
        return Vec::new();
    };
    let handlers = config
        .writeback
        .handlers()
        .filter_map(|(event, handler)| Some((event, handler.sql.as_ref()?)));
    let variants = source
        .variants
        .iter()
        .flat_map(|variant| variant.writeback.iter().map(|(event, sql)| (event.as_str(), sql)));
    let mut found: Vec<String> = Vec::new();
    for problem in handlers
        .chain(variants)
        .flat_map(|(event, sql)| problems(sql, event, dialect))
    {
        if !found.contains(&problem) {
            found.push(problem);
        }
    }
    found
}

/// Event types without an order; their payload's fields are parameters, and only Brani knows their names.
fn is_general(event: &str) -> bool {
    matches!(
        event,
        "movement_document_created"
            | "movement_document_updated"
            | "inventory_check_completed"
            | "task_created"
            | "task_assigned"
            | "task_status_changed"
    )
}

fn unknown(name: &str, event: &str) -> String {
    let nearest = PARAMETERS
        .iter()
        .chain(DELIVERY_PARAMETERS.iter().filter(|_| event == "delivery_state"))
        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)))
        .unwrap_or(&"key");
    format!("`:{name}` is not a parameter of `{event}`; did you mean `:{nearest}`?")
}

/// Whether a statement only asks, and may refuse.
fn asks(sql: &str) -> bool {
    let start = sql.trim_start().as_bytes();
    start.len() > 6 && start[..6].eq_ignore_ascii_case(b"SELECT") && !start[6].is_ascii_alphanumeric()
}

/// Why one attempt did not end well.
enum Trouble {
    Fault(Fault),
    Failed(String),
    /// A statement said why nothing may be written; the connection is in order.
    Refused(String),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Trouble::Fault(fault)
    }
}

/// What the look-up says.
enum Look {
    /// Go on, with this `:key`.
    Go(Option<Param>),
    /// Nothing is to be written.
    Stop(Outcome),
}

impl SqlHandler {
    async fn once(&self, call: &Call) -> Result<Outcome, Trouble> {
        let mut idle = self.target.begin(call.now).await?;
        let session = &mut idle.session;
        let chosen = self.target.choose(session).await?;
        let statements = chosen
            .as_deref()
            .and_then(|chosen| chosen.statements(&self.event))
            .unwrap_or(&self.statements);
        let look = match statements.is_empty() {
            // A preset that has nothing to write in a shop of this kind.
            true => Look::Stop(Outcome::Done),
            false => look(chosen.as_deref(), session, call).await?,
        };
        let outcome = match look {
            Look::Stop(outcome) => {
                session.run("ROLLBACK").await?;
                outcome
            }
            Look::Go(key) => match self.write(session, statements, call, key).await {
                Ok(()) => {
                    session.run("COMMIT").await?;
                    Outcome::Done
                }
                Err(refused @ Trouble::Refused(_)) => {
                    session.run("ROLLBACK").await?;
                    self.target.keep(idle);
                    return Err(refused);
                }
                Err(other) => return Err(other),
            },
        };
        self.target.keep(idle);
        Ok(outcome)
    }

    async fn write(
        &self,
        session: &mut BoxSession,
        statements: &[Template],
        call: &Call,
        key: Option<Param>,
    ) -> Result<(), Trouble> {
        let binds = self.binds(call, key);
        for (index, statement) in statements.iter().enumerate() {
            let place = format!("writeback.{}.sql[{index}]", self.event);
            let bound = statement
                .bind(&binds)
                .map_err(|name| Trouble::Failed(format!("{place}: {}", unknown(&name, &call.event))))?;
            let failed = |fault| match fault {
                Fault::Statement(text) | Fault::Charset(text) => {
                    Trouble::Failed(format!("{place}: {}", without_values(&text, &bound.values)))
                }
                other => Trouble::Fault(other),
            };
            if asks(&bound.sql) {
                let table = session.query(&bound).await.map_err(failed)?;
                let problem = table.place("_problem").and_then(|place| {
                    table
                        .rows
                        .iter()
                        .map(|row| row[place].to_text())
                        .find(|text| !text.trim().is_empty())
                });
                if let Some(problem) = problem {
                    return Err(Trouble::Refused(problem.trim().to_owned()));
                }
                continue;
            }
            let touched = session.execute(&bound).await.map_err(failed)?;
            tracing::debug!(
                event = "writeback.statement",
                rows = touched,
                "Ran `{place}` on {touched} rows"
            );
        }
        Ok(())
    }

    fn binds(&self, call: &Call, key: Option<Param>) -> Binds {
        let text = |value: Option<&str>| value.map_or(Param::Null, |value| Param::Text(value.to_owned()));
        // The shop's columns have whole seconds.
        let now = Timestamp::from_second(call.now.as_second()).unwrap_or(call.now);
        let wall = Param::Wall(now, self.target.zone().to_datetime(now));
        let mut binds: Binds = call
            .more
            .iter()
            .map(|(name, value)| (name.clone(), Bind::One(of_json(value))))
            .collect();
        binds.extend(
            [
                ("key", key.unwrap_or(Param::Null)),
                ("code", text(call.code.as_ref().map(OrderCode::as_str))),
                ("event", text(Some(&call.event))),
                (
                    "event_id",
                    call.event_id.map_or(Param::Null, |id| Param::Int(id.0)),
                ),
                ("created", text(call.created.as_deref())),
                ("now", wall),
                (
                    "status_id",
                    call.status_id.map_or(Param::Null, |id| Param::Int(id.0)),
                ),
                ("status", text(call.status.as_ref().map(ShopStatus::as_str))),
                ("package_number", text(call.package_number.as_deref())),
                ("package_numbers", text(call.package_numbers.as_deref())),
                ("text", text(call.text.as_deref())),
                ("reason", text(call.reason.as_deref())),
            ]
            .map(|(name, value)| (name.to_owned(), Bind::One(value))),
        );
        binds
    }

    async fn until_written(&self, call: &Call) -> Result<Outcome, WritebackError> {
        let mut tries = 1;
        loop {
            match self.once(call).await {
                Ok(outcome) => return Ok(outcome),
                Err(Trouble::Failed(text) | Trouble::Refused(text)) => {
                    return Err(WritebackError::Failed(text));
                }
                Err(Trouble::Fault(Fault::Away(text) | Fault::Login(text) | Fault::Tls(text))) => {
                    return Err(WritebackError::Unavailable(text));
                }
                Err(Trouble::Fault(Fault::Statement(text) | Fault::Charset(text))) => {
                    return Err(WritebackError::Failed(text));
                }
                Err(Trouble::Fault(Fault::Conflict(text) | Fault::Busy(text))) if tries >= TRIES => {
                    return Err(WritebackError::Failed(format!("{text} (tried {tries} times)")));
                }
                Err(Trouble::Fault(Fault::Conflict(_) | Fault::Busy(_))) => {
                    // Apart from whoever we met, so that we do not meet again.
                    let pause = (20 << tries) + rand::random_range(0..30);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    tries += 1;
                }
            }
        }
    }
}

/// Looks the order up, as the statements that follow will see it.
async fn look(chosen: Option<&Chosen>, session: &mut BoxSession, call: &Call) -> Result<Look, Trouble> {
    let given = call.key.as_ref().map(|key| Param::Text(key.0.clone()));
    let (Some(code), Some(chosen)) = (&call.code, chosen) else {
        return Ok(Look::Go(given));
    };
    let layout = layout(chosen, session).await?;
    let (query, name) = chosen
        .plan
        .look_up(&layout, std::slice::from_ref(code))
        .map_err(|error| Trouble::Failed(told(&error)))?;
    let table = match session.query(&query).await {
        Ok(table) => table,
        // The column's character set cannot write the code, so no order has it.
        Err(Fault::Charset(_)) => return Ok(Look::Stop(Outcome::Unmatched)),
        Err(Fault::Statement(text)) => return Err(Trouble::Failed(format!("{name}: {text}"))),
        Err(other) => return Err(Trouble::Fault(other)),
    };
    let (Some(key_at), Some(code_at)) = (table.place("_key"), table.place("code")) else {
        return Err(Trouble::Failed(format!(
            "{name}: there is no column `_key` or `code`"
        )));
    };
    let mut rows: Vec<&Vec<Value>> = table
        .rows
        .iter()
        .filter(|row| OrderCode(row[code_at].to_text()) == *code)
        .collect();
    if rows.is_empty() {
        return Ok(Look::Stop(Outcome::Unmatched));
    }
    if let Some(key) = &call.key {
        rows.retain(|row| row[key_at].to_text() == key.0);
    }
    let row = match rows.as_slice() {
        // The code has passed to another order since the decision.
        [] => return Ok(Look::Stop(Outcome::Moved)),
        [row] => *row,
        more => {
            return Err(Trouble::Failed(format!(
                "{} orders of the shop have the code `{code}`; none was written",
                more.len()
            )));
        }
    };
    let key = Some(param_of(&row[key_at]));
    if matches!(call.event.as_str(), "parked" | "unparked") {
        return Ok(Look::Go(key));
    }
    if let Some(status_at) = table.place("_status") {
        let status = ShopStatus(row[status_at].to_text());
        // It stands already, by a write whose answer was lost, or by the merchant's own hand: nothing else is expected then,
        // and an export would go on saying so.
        if let Some(wanted) = &call.status
            && (*wanted == status || call.same_status.contains(&status))
        {
            return Ok(Look::Stop(Outcome::Done));
        }
        if call.expected.as_ref().is_some_and(|expected| *expected != status) {
            return Ok(Look::Stop(Outcome::Moved));
        }
    }
    Ok(Look::Go(key))
}

/// A source's error as a handler tells it.
fn told(error: &SourceError) -> String {
    match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

fn of_json(value: &serde_json::Value) -> Param {
    use serde_json::Value as Json;
    match value {
        Json::Null => Param::Null,
        Json::Bool(flag) => Param::Int(i64::from(*flag)),
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| Param::Number(number.to_string()), Param::Int),
        Json::String(text) => Param::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => Param::Text(value.to_string()),
    }
}

/// A database's message without the values that were to be written: they may be a customer's.
fn without_values(message: &str, values: &[Param]) -> String {
    let mut message = message.to_owned();
    for value in values {
        let Param::Text(text) = value else { continue };
        if text.chars().count() < 2 {
            continue;
        }
        message = message.replace(text.as_str(), "…");
        // Databases cut long values in their messages.
        let start: String = text.chars().take(30).collect();
        while let Some(at) = message.find(&start).filter(|_| start.len() < text.len()) {
            let rest = &message[at + start.len()..];
            let end = rest.find(['\'', '"']).unwrap_or(rest.len());
            let tail = rest[end..].to_owned();
            message.truncate(at);
            message.push('…');
            message.push_str(&tail);
        }
    }
    message
}

#[async_trait]
impl Handler for SqlHandler {
    async fn tell(&self, call: &Call) -> Result<Outcome, WritebackError> {
        let limit = self.target.timeout;
        match tokio::time::timeout(limit, self.until_written(call)).await {
            Ok(result) => result,
            Err(_) => Err(WritebackError::Failed(format!(
                "writeback.{}: not written within {} seconds",
                self.event,
                limit.as_secs()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameters_are_found_with_the_nearest_known_one() {
        let statements = ["UPDATE o SET s = :statuss WHERE id = :key".to_owned()];
        let found = problems(&statements, "status_change", Dialect::Mysql);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("`:statuss`") && found[0].contains("`:status`"),
            "{}",
            found[0]
        );
        let statements = ["UPDATE o SET s = :state WHERE id = :key".to_owned()];
        assert!(problems(&statements, "delivery_state", Dialect::Mysql).is_empty());
        assert_eq!(problems(&statements, "parked", Dialect::Mysql).len(), 1);
        assert!(problems(&statements, "task_created", Dialect::Mysql).is_empty());
    }

    #[test]
    fn values_do_not_reach_messages() {
        let long = "x".repeat(200);
        let values = [Param::Text("Novák".into()), Param::Text(long.clone())];
        assert_eq!(
            without_values("Incorrect value 'Novák' for column 'a'", &values),
            "Incorrect value '…' for column 'a'"
        );
        let cut = format!("Incorrect value '{}...' for column 'a'", &long[..64]);
        assert_eq!(
            without_values(&cut, &values),
            "Incorrect value '…' for column 'a'"
        );
    }
}
