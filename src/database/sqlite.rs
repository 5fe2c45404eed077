//! SQLite files: one thread for each connection, because SQLite blocks.

use super::parameters::{Bound, Param};
use super::{
    Class, Column, Fault, Purpose, Session, Table, Target, float_value, local_text, text_value, utc,
};
use crate::source::Value;
use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, Value as Cell, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

type Reply<T> = oneshot::Sender<Result<T, Fault>>;

enum Order {
    Describe(Bound, Reply<Vec<Column>>),
    Query(Bound, Reply<Table>),
    Execute(Bound, Reply<u64>),
    Run(String, Reply<()>),
    Open(Bound, Reply<()>),
    Fetch(usize, Reply<Table>),
}

/// A connection, on a thread of its own.
pub struct SqliteSession {
    orders: mpsc::Sender<Order>,
    interrupt: rusqlite::InterruptHandle,
    limit: Duration,
}

/// The file of a `sqlite://` URL (or a plain path).
pub fn path(url: &str) -> PathBuf {
    let rest = url
        .strip_prefix("sqlite://")
        .or_else(|| url.strip_prefix("sqlite:"))
        .unwrap_or(url);
    PathBuf::from(rest.split('?').next().unwrap_or(rest))
}

/// Opens the file: reading only, unless the purpose is to write; it is never created.
pub(super) async fn connect(target: &Target, purpose: &Purpose) -> Result<SqliteSession, Fault> {
    let file = path(target.url.expose());
    let writes = matches!(purpose, Purpose::Write { .. });
    let limit = purpose.limit();
    let (orders, inbox) = mpsc::channel();
    let (opened, ready) = oneshot::channel();
    std::thread::Builder::new()
        .name("shop-sqlite".into())
        .spawn(move || match open(&file, writes) {
            Ok(connection) => {
                if opened.send(Ok(connection.get_interrupt_handle())).is_ok() {
                    serve(&connection, &inbox);
                }
            }
            Err(fault) => {
                let _ = opened.send(Err(fault));
            }
        })
        .map_err(|error| Fault::Away(format!("start a thread for SQLite: {error}")))?;
    let interrupt = ready
        .await
        .map_err(|_| Fault::Away("the thread of the SQLite file ended".into()))??;
    Ok(SqliteSession {
        orders,
        interrupt,
        limit,
    })
}

fn open(file: &std::path::Path, writes: bool) -> Result<Connection, Fault> {
    if !file.exists() {
        return Err(Fault::Away(format!("`{}` does not exist", file.display())));
    }
    let way = if writes {
        OpenFlags::SQLITE_OPEN_READ_WRITE
    } else {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    };
    let prepare = || {
        let connection = Connection::open_with_flags(file, way | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        if !writes {
            connection.pragma_update(None, "query_only", true)?;
        }
        // Shows now, and not at the first query, that this is no database or may not be read.
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        Ok(connection)
    };
    prepare().map_err(|error: rusqlite::Error| match fault(&error) {
        Fault::Statement(text) => Fault::Away(format!("open `{}`: {text}", file.display())),
        other => other,
    })
}

/// Answers orders until the session is dropped.
fn serve(connection: &Connection, inbox: &mpsc::Receiver<Order>) {
    while let Ok(order) = inbox.recv() {
        match order {
            Order::Open(query, reply) => serve_rows(connection, inbox, &query, reply),
            Order::Fetch(_, reply) => {
                let _ = reply.send(Err(Fault::Statement("no query is open".into())));
            }
            other => answer(connection, other),
        }
    }
}

/// Keeps one query open and answers other orders between its rows.
fn serve_rows(connection: &Connection, inbox: &mpsc::Receiver<Order>, query: &Bound, reply: Reply<()>) {
    let mut statement = match prepare(connection, query) {
        Ok(statement) => statement,
        Err(fault) => {
            let _ = reply.send(Err(fault));
            return;
        }
    };
    let names = names(&statement);
    let mut rows = statement.raw_query();
    let _ = reply.send(Ok(()));
    while let Ok(order) = inbox.recv() {
        match order {
            Order::Fetch(wanted, reply) => {
                let table = collect(&mut rows, &names, wanted);
                let over = table.as_ref().map_or(true, |table| table.rows.len() < wanted);
                let _ = reply.send(table);
                if over {
                    return;
                }
            }
            Order::Open(_, reply) => {
                let _ = reply.send(Err(Fault::Statement("a query is open already".into())));
            }
            other => answer(connection, other),
        }
    }
}

fn answer(connection: &Connection, order: Order) {
    match order {
        Order::Describe(query, reply) => {
            let _ = reply.send(describe(connection, &query));
        }
        Order::Query(query, reply) => {
            let result = prepare(connection, &query).and_then(|mut statement| {
                let names = names(&statement);
                collect(&mut statement.raw_query(), &names, usize::MAX)
            });
            let _ = reply.send(result);
        }
        Order::Execute(statement, reply) => {
            let result = prepare(connection, &statement).and_then(|mut prepared| {
                let before = connection.total_changes();
                let mut rows = prepared.raw_query();
                while rows.next().map_err(|error| fault(&error))?.is_some() {}
                Ok(connection.total_changes() - before)
            });
            let _ = reply.send(result);
        }
        Order::Run(sql, reply) => {
            let _ = reply.send(connection.execute_batch(&sql).map_err(|error| fault(&error)));
        }
        Order::Open(..) | Order::Fetch(..) => {}
    }
}

fn prepare<'c>(connection: &'c Connection, query: &Bound) -> Result<rusqlite::CachedStatement<'c>, Fault> {
    let mut statement = connection.prepare_cached(&query.sql).map_err(|e| fault(&e))?;
    let places = statement.parameter_count();
    if places != query.values.len() {
        return Err(Fault::Statement(format!(
            "the statement has {places} parameters and {} of them have a value; write parameters as :name",
            query.values.len()
        )));
    }
    for (index, value) in query.values.iter().enumerate() {
        statement
            .raw_bind_parameter(index + 1, Place(value))
            .map_err(|error| fault(&error))?;
    }
    Ok(statement)
}

struct Place<'a>(&'a Param);

impl rusqlite::ToSql for Place<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let cell = match self.0 {
            Param::Null => Cell::Null,
            Param::Text(text) | Param::Code(text) => {
                return Ok(ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())));
            }
            // A column without an affinity compares by storage class.
            Param::Number(text) => match text.parse::<f64>() {
                Ok(number) => Cell::Real(number),
                Err(_) => Cell::Text(text.clone()),
            },
            Param::Int(number) => Cell::Integer(*number),
            Param::Local(time) | Param::Wall(_, time) => Cell::Text(local_text(*time)),
            Param::Moment(time) => Cell::Text(local_text(utc(*time))),
            // A number sorts before every text, and zero before every date that is a number.
            Param::Smallest => Cell::Integer(0),
        };
        Ok(ToSqlOutput::Owned(cell))
    }
}

fn names(statement: &rusqlite::Statement<'_>) -> Arc<[String]> {
    statement.column_names().map(str::to_owned).collect()
}

fn describe(connection: &Connection, query: &Bound) -> Result<Vec<Column>, Fault> {
    let statement = prepare(connection, query)?;
    Ok(statement
        .columns()
        .map(|column| {
            let declared = column.decl_type().unwrap_or("").to_ascii_lowercase();
            let class = if declared.contains("int") {
                Class::Integer
            } else if declared.contains("char") || declared.contains("text") || declared.contains("clob") {
                Class::Text
            } else if declared.contains("real") || declared.contains("floa") || declared.contains("doub") {
                Class::Number
            } else {
                Class::Unknown
            };
            Column {
                name: column.name().to_owned(),
                class,
            }
        })
        .collect())
}

fn collect(rows: &mut rusqlite::Rows<'_>, names: &Arc<[String]>, wanted: usize) -> Result<Table, Fault> {
    let mut table = Table {
        names: Arc::clone(names),
        rows: Vec::new(),
        damaged: Vec::new(),
    };
    while table.rows.len() < wanted {
        let Some(row) = rows.next().map_err(|error| fault(&error))? else {
            break;
        };
        let mut values = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let cell = row.get_ref(index).map_err(|error| fault(&error))?;
            values.push(match cell {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Real(number) => float_value(number, number.to_string()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => text_value(bytes, name, &mut table.damaged),
            });
        }
        table.rows.push(values);
    }
    Ok(table)
}

fn fault(error: &rusqlite::Error) -> Fault {
    // The statement itself, which some errors repeat, stays out of the text.
    let text = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationInterrupted) => {
            Fault::Busy(text)
        }
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::SystemIoFailure
            | ErrorCode::DiskFull
            | ErrorCode::NotADatabase
            | ErrorCode::DatabaseCorrupt,
        ) => Fault::Away(text),
        _ => Fault::Statement(text),
    }
}

impl SqliteSession {
    async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Order) -> Result<T, Fault> {
        let gone = || Fault::Away("the thread of the SQLite file ended".into());
        let (reply, answer) = oneshot::channel();
        self.orders.send(make(reply)).map_err(|_| gone())?;
        match tokio::time::timeout(self.limit, answer).await {
            Ok(answer) => answer.map_err(|_| gone())?,
            Err(_) => {
                self.interrupt.interrupt();
                Err(Fault::Busy(format!(
                    "no answer within {} seconds",
                    self.limit.as_secs()
                )))
            }
        }
    }
}

#[async_trait]
impl Session for SqliteSession {
    async fn describe(&mut self, query: &Bound) -> Result<Vec<Column>, Fault> {
        let query = query.clone();
        self.ask(|reply| Order::Describe(query, reply)).await
    }

    async fn query(&mut self, query: &Bound) -> Result<Table, Fault> {
        let query = query.clone();
        self.ask(|reply| Order::Query(query, reply)).await
    }

    async fn execute(&mut self, statement: &Bound) -> Result<u64, Fault> {
        let statement = statement.clone();
        self.ask(|reply| Order::Execute(statement, reply)).await
    }

    async fn run(&mut self, sql: &str) -> Result<(), Fault> {
        let sql = sql.to_owned();
        self.ask(|reply| Order::Run(sql, reply)).await
    }

    async fn open(&mut self, query: &Bound) -> Result<(), Fault> {
        let query = query.clone();
        self.ask(|reply| Order::Open(query, reply)).await
    }

    async fn fetch(&mut self, rows: usize) -> Result<Table, Fault> {
        self.ask(|reply| Order::Fetch(rows, reply)).await
    }

    async fn version(&mut self) -> Result<String, Fault> {
        Ok(format!("SQLite {}", rusqlite::version()))
    }
}

impl Drop for SqliteSession {
    fn drop(&mut self) {
        self.interrupt.interrupt();
    }
}
