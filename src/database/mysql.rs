//! MySQL and MariaDB: sessions in UTC and utf8mb4, values as they are, zero dates as NULL.

use super::parameters::{Bound, Param};
use super::{Class, Column, Fault, Purpose, Session, Table, Target, float_value, text_value, utc};
use crate::source::Value;
use async_trait::async_trait;
use jiff::civil::DateTime;
use mysql_async::consts::ColumnType;
use mysql_async::prelude::{Query, Queryable, WithParams};
use mysql_async::{
    BinaryProtocol, Conn, DriverError, Error, IoError, OptsBuilder, Params, QueryResult, SslOpts,
    Value as Cell,
};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A connection.
pub struct MysqlSession {
    conn: Option<Conn>,
    rows: Option<Rows>,
    limit: Duration,
}

/// An opened query; it keeps the connection for itself.
struct Rows {
    result: QueryResult<'static, 'static, BinaryProtocol>,
    columns: Arc<[mysql_async::Column]>,
}

/// Connects and sets the session.
pub(super) async fn connect(target: &Target, purpose: &Purpose) -> Result<MysqlSession, Fault> {
    let url = target.url.expose().replacen("mariadb://", "mysql://", 1);
    let url = url.strip_prefix("mysql:").unwrap_or(&url);
    let opts = mysql_async::Opts::from_url(&format!("mysql:{url}"))
        // The driver's words may repeat the URL.
        .map_err(|_| Fault::Login("the URL is none of the form `mysql://user@host:port/database`".into()))?;
    let host = opts.ip_or_hostname().to_owned();
    let mut builder = OptsBuilder::from_opts(opts)
        .prefer_socket(false)
        .tcp_keepalive(Some(Duration::from_secs(60)))
        .client_found_rows(true)
        .stmt_cache_size(32);
    if let Some(password) = &target.password {
        builder = builder.pass(Some(password.expose()));
    }
    if let Some(socket) = &target.socket {
        builder = builder.socket(Some(socket.display().to_string()));
    }
    let loopback = target.socket.is_some() || Target::host_is_loopback(&host);
    if target.verifies(loopback) && target.socket.is_none() {
        builder = builder.ssl_opts(Some(tls(target)?));
    }
    let mut conn = Conn::new(builder)
        .await
        .map_err(|error| prefixed(&format!("connect to {}", target.place()), fault(&error)))?;
    for statement in settings(purpose) {
        set(&mut conn, &statement).await?;
    }
    // MariaDB and MySQL each know one of these; neither knowing them is no trouble.
    let seconds = match purpose {
        // The time until the last row is fetched counts too.
        Purpose::Read => 3_600,
        _ => purpose.limit().as_secs(),
    };
    for statement in [
        format!("SET SESSION max_statement_time={seconds}"),
        format!("SET SESSION max_execution_time={}", seconds * 1000),
    ] {
        match set(&mut conn, &statement).await {
            Ok(()) | Err(Fault::Statement(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
    if let Purpose::Write { zone, offset } = purpose {
        // The names are known only where the administrator has loaded them.
        if set(&mut conn, &format!("SET SESSION time_zone='{zone}'"))
            .await
            .is_err()
        {
            set(&mut conn, &format!("SET SESSION time_zone='{offset}'")).await?;
        }
    }
    Ok(MysqlSession {
        conn: Some(conn),
        rows: None,
        limit: purpose.limit() + Duration::from_secs(5),
    })
}

fn settings(purpose: &Purpose) -> Vec<String> {
    let mut settings = vec!["SET NAMES utf8mb4".to_owned()];
    match purpose {
        Purpose::Read | Purpose::Lookup => settings.extend([
            "SET SESSION time_zone='+00:00'".to_owned(),
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned(),
            // A `\'` in a query is a quote, whatever the server thinks of backslashes.
            "SET SESSION sql_mode=REPLACE(@@SESSION.sql_mode, 'NO_BACKSLASH_ESCAPES', '')".to_owned(),
            // A slow reader must not be cut off between two batches.
            "SET SESSION net_write_timeout=600".to_owned(),
            // A list joined by GROUP_CONCAT is cut off at this length without a word; the default is 1 KiB.
            "SET SESSION group_concat_max_len=1048576".to_owned(),
        ]),
        Purpose::Write { .. } => settings.extend([
            "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'"
                .to_owned(),
            "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE".to_owned(),
            "SET SESSION innodb_lock_wait_timeout=4".to_owned(),
        ]),
    }
    settings
}

async fn set(conn: &mut Conn, statement: &str) -> Result<(), Fault> {
    conn.query_drop(statement).await.map_err(|error| fault(&error))
}

fn tls(target: &Target) -> Result<SslOpts, Fault> {
    let roots = super::roots(target)?;
    Ok(SslOpts::default()
        .with_disable_built_in_roots(true)
        .with_root_certs(
            roots
                .into_iter()
                .map(|certificate| certificate.to_vec().into())
                .collect(),
        ))
}

fn prefixed(what: &str, fault: Fault) -> Fault {
    match fault {
        Fault::Away(text) => Fault::Away(format!("{what}: {text}")),
        Fault::Login(text) => Fault::Login(format!("{what}: {text}")),
        Fault::Tls(text) => Fault::Tls(format!("{what}: {text}")),
        other => Fault::Away(format!("{what}: {}", other.message())),
    }
}

fn fault(error: &Error) -> Fault {
    match error {
        Error::Server(server) => {
            let text = match server.code {
                // They quote the value: a key that stands already, a text that is no number or time.
                1062 | 1292 | 1366 | 1367 | 1411 | 1525 | 1586 | 1690 => {
                    super::unquoted(&server.message, '\'', " for ")
                }
                _ => server.message.clone(),
            };
            match server.code {
                // It takes no writes: a replica, or another server is about to take over.
                1290 if text.contains("read") => Fault::Away(text),
                // 1461: as many statements are prepared as it allows.
                1040
                | 1053
                | 1077
                | 1079
                | 1129
                | 1152
                | 1158..=1161
                | 1203
                | 1226
                | 1461
                | 1836
                | 1927
                | 2006
                | 2013
                | 3169
                | 4031 => Fault::Away(text),
                // 1615: the server has forgotten how a statement reads, for want of room.
                1205 | 1317 | 1615 | 1969 | 3024 | 3572 => Fault::Busy(text),
                // 1467: two met while a counter gave out the next number.
                1020 | 1213 | 1467 => Fault::Conflict(text),
                // 1524: the user's plugin is not loaded, as `mysql_native_password` in MySQL 8.4.
                1044 | 1045 | 1049 | 1130 | 1251 | 1524 | 1698 | 1820 | 1862 | 3118 | 3955 | 4151 => {
                    Fault::Login(text)
                }
                3159 => Fault::Tls(text),
                1267 | 1270 | 1271 | 3854 | 3988 => Fault::Charset(text),
                _ => Fault::Statement(text),
            }
        }
        Error::Driver(
            error @ (DriverError::StmtParamsMismatch { .. }
            | DriverError::StmtParamsNumberExceedsLimit { .. }
            | DriverError::MixedParams
            | DriverError::Params(_)),
        ) => Fault::Statement(format!("{error} Write parameters as :name")),
        Error::Driver(DriverError::UnknownAuthPlugin { name }) => Fault::Login(format!(
            "the server wants a password by `{name}`, which cannot be given here: give the user \
             `caching_sha2_password`. MySQL also asks so for a user that it does not have"
        )),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            Fault::Tls("the server offers no encryption (TLS)".into())
        }
        Error::Driver(DriverError::PacketTooLarge) => Fault::Statement("the packet is too large".into()),
        Error::Url(_) => Fault::Login("the URL is none of the form `mysql://user@host:port/database`".into()),
        Error::Io(cause) => match (super::certificate(cause), cause) {
            (Some(text), _) => Fault::Tls(text),
            (None, IoError::Io(cause)) => Fault::Away(cause.to_string()),
            (None, IoError::Tls(cause)) => Fault::Tls(cause.to_string()),
        },
        other => Fault::Away(other.to_string()),
    }
}

fn cell(value: &Param) -> Cell {
    let date = |time: DateTime| {
        Cell::Date(
            time.year().unsigned_abs(),
            time.month().unsigned_abs(),
            time.day().unsigned_abs(),
            time.hour().unsigned_abs(),
            time.minute().unsigned_abs(),
            time.second().unsigned_abs(),
            time.subsec_nanosecond().unsigned_abs() / 1_000,
        )
    };
    match value {
        Param::Null => Cell::NULL,
        Param::Text(text) | Param::Code(text) | Param::Number(text) => Cell::Bytes(text.clone().into_bytes()),
        Param::Int(number) => Cell::Int(*number),
        Param::Local(time) => date(*time),
        // As text it fits text columns too.
        Param::Wall(_, time) => Cell::Bytes(super::local_text(*time).into_bytes()),
        Param::Moment(moment) => date(utc(*moment)),
        Param::Smallest => Cell::Date(0, 0, 0, 0, 0, 0, 0),
    }
}

fn params(bound: &Bound) -> Params {
    match bound.values.is_empty() {
        true => Params::Empty,
        false => Params::Positional(bound.values.iter().map(cell).collect()),
    }
}

fn class(kind: ColumnType) -> Class {
    use ColumnType::*;
    match kind {
        MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2 | MYSQL_TYPE_DATE | MYSQL_TYPE_NEWDATE => Class::Local,
        MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2 => Class::Moment,
        MYSQL_TYPE_TINY | MYSQL_TYPE_SHORT | MYSQL_TYPE_INT24 | MYSQL_TYPE_LONG | MYSQL_TYPE_LONGLONG
        | MYSQL_TYPE_YEAR => Class::Integer,
        MYSQL_TYPE_DECIMAL | MYSQL_TYPE_NEWDECIMAL | MYSQL_TYPE_FLOAT | MYSQL_TYPE_DOUBLE => Class::Number,
        MYSQL_TYPE_VARCHAR
        | MYSQL_TYPE_VAR_STRING
        | MYSQL_TYPE_STRING
        | MYSQL_TYPE_BLOB
        | MYSQL_TYPE_TINY_BLOB
        | MYSQL_TYPE_MEDIUM_BLOB
        | MYSQL_TYPE_LONG_BLOB
        | MYSQL_TYPE_ENUM
        | MYSQL_TYPE_SET => Class::Text,
        _ => Class::Unknown,
    }
}

fn names(columns: &[mysql_async::Column]) -> Arc<[String]> {
    columns
        .iter()
        .map(|column| column.name_str().into_owned())
        .collect()
}

fn value(cell: Cell, kind: ColumnType, name: &str, damaged: &mut Vec<String>) -> Value {
    match cell {
        Cell::NULL => Value::Null,
        Cell::Int(number) => Value::Int(number),
        Cell::UInt(number) => i64::try_from(number).map_or(Value::Number(number.to_string()), Value::Int),
        Cell::Float(number) => float_value(f64::from(number), number.to_string()),
        Cell::Double(number) => float_value(number, number.to_string()),
        Cell::Date(year, month, day, hour, minute, second, micros) => {
            let small = |number: u8| i8::try_from(number).unwrap_or(-1);
            let built = DateTime::new(
                i16::try_from(year).unwrap_or(-1),
                small(month),
                small(day),
                small(hour),
                small(minute),
                small(second),
                i32::try_from(micros).unwrap_or(0) * 1_000,
            );
            match built {
                // `0000-00-00` and `2026-00-00` are how shops write "never".
                Err(_) => Value::Null,
                Ok(time) if class(kind) == Class::Moment => jiff::tz::Offset::UTC
                    .to_timestamp(time)
                    .map_or(Value::Null, Value::Time),
                Ok(time) => Value::Local(time),
            }
        }
        Cell::Time(negative, days, hours, minutes, seconds, _) => Value::Text(format!(
            "{}{:02}:{minutes:02}:{seconds:02}",
            if negative { "-" } else { "" },
            days * 24 + u32::from(hours)
        )),
        Cell::Bytes(bytes) => match kind {
            ColumnType::MYSQL_TYPE_NEWDECIMAL | ColumnType::MYSQL_TYPE_DECIMAL => {
                Value::Number(String::from_utf8_lossy(&bytes).into_owned())
            }
            ColumnType::MYSQL_TYPE_BIT if bytes.len() <= 8 => {
                let number = bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
                i64::try_from(number).map_or(Value::Number(number.to_string()), Value::Int)
            }
            _ => text_value(&bytes, name, damaged),
        },
    }
}

fn add(table: &mut Table, columns: &[mysql_async::Column], row: mysql_async::Row) {
    let values = row
        .unwrap()
        .into_iter()
        .zip(columns)
        .enumerate()
        .map(|(index, (cell, column))| {
            value(
                cell,
                column.column_type(),
                &table.names[index],
                &mut table.damaged,
            )
        })
        .collect();
    table.rows.push(values);
}

impl MysqlSession {
    /// Runs one exchange with the server. After a break or a time limit the connection is of no use any more.
    async fn with<T, F>(&mut self, exchange: impl FnOnce(Conn) -> F) -> Result<T, Fault>
    where
        F: Future<Output = (Conn, Result<T, Error>)>,
    {
        let conn = self
            .conn
            .take()
            .ok_or_else(|| Fault::Away("the connection is closed".into()))?;
        match tokio::time::timeout(self.limit, exchange(conn)).await {
            Err(_) => Err(Fault::Busy(format!(
                "no answer within {} seconds",
                self.limit.as_secs()
            ))),
            Ok((conn, Ok(value))) => {
                self.conn = Some(conn);
                Ok(value)
            }
            Ok((conn, Err(error))) => {
                if !error.is_fatal() {
                    self.conn = Some(conn);
                }
                Err(fault(&error))
            }
        }
    }
}

#[async_trait]
impl Session for MysqlSession {
    async fn describe(&mut self, query: &Bound) -> Result<Vec<Column>, Fault> {
        let sql = query.sql.clone();
        self.with(|mut conn| async move {
            let result = async {
                let statement = conn.prep(sql.as_str()).await?;
                let columns = statement
                    .columns()
                    .iter()
                    .map(|column| Column {
                        name: column.name_str().into_owned(),
                        class: class(column.column_type()),
                    })
                    .collect();
                Ok(columns)
            }
            .await;
            (conn, result)
        })
        .await
    }

    async fn query(&mut self, query: &Bound) -> Result<Table, Fault> {
        let (sql, params) = (query.sql.clone(), params(query));
        self.with(|mut conn| async move {
            let result = async {
                let mut result = conn.exec_iter(sql.as_str(), params).await?;
                let columns = result.columns().unwrap_or_else(|| Arc::from([]));
                let mut table = Table {
                    names: names(&columns),
                    rows: Vec::new(),
                    damaged: Vec::new(),
                };
                while let Some(row) = result.next().await? {
                    add(&mut table, &columns, row);
                }
                result.drop_result().await?;
                Ok(table)
            }
            .await;
            (conn, result)
        })
        .await
    }

    async fn execute(&mut self, statement: &Bound) -> Result<u64, Fault> {
        let (sql, params) = (statement.sql.clone(), params(statement));
        self.with(|mut conn| async move {
            let result = async {
                let result = conn.exec_iter(sql.as_str(), params).await?;
                let touched = result.affected_rows();
                result.drop_result().await?;
                Ok(touched)
            }
            .await;
            (conn, result)
        })
        .await
    }

    async fn run(&mut self, sql: &str) -> Result<(), Fault> {
        let sql = sql.to_owned();
        self.with(|mut conn| async move {
            let result = conn.query_drop(sql).await;
            (conn, result)
        })
        .await
    }

    async fn open(&mut self, query: &Bound) -> Result<(), Fault> {
        let conn = self
            .conn
            .take()
            .ok_or_else(|| Fault::Away("the connection is closed".into()))?;
        let opening = query.sql.clone().with(params(query)).run(conn);
        let result = tokio::time::timeout(self.limit, opening)
            .await
            .map_err(|_| Fault::Busy(format!("no answer within {} seconds", self.limit.as_secs())))?
            .map_err(|error| fault(&error))?;
        let columns = result.columns().unwrap_or_else(|| Arc::from([]));
        self.rows = Some(Rows { result, columns });
        Ok(())
    }

    async fn fetch(&mut self, wanted: usize) -> Result<Table, Fault> {
        let rows = self
            .rows
            .as_mut()
            .ok_or_else(|| Fault::Statement("no query is open".into()))?;
        let mut table = Table {
            names: names(&rows.columns),
            rows: Vec::new(),
            damaged: Vec::new(),
        };
        while table.rows.len() < wanted {
            let row = tokio::time::timeout(self.limit, rows.result.next())
                .await
                .map_err(|_| Fault::Busy(format!("no row within {} seconds", self.limit.as_secs())))?
                .map_err(|error| fault(&error))?;
            match row {
                Some(row) => add(&mut table, &rows.columns, row),
                None => break,
            }
        }
        Ok(table)
    }

    fn shares(&self) -> bool {
        false
    }

    async fn version(&mut self) -> Result<String, Fault> {
        let version = self
            .query(&Bound::plain("SELECT VERSION()"))
            .await?
            .first()
            .unwrap_or_default();
        Ok(match version.contains("MariaDB") {
            true => format!("MariaDB {version}"),
            false => format!("MySQL {version}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: u16, words: &str) -> Fault {
        fault(&Error::Server(mysql_async::ServerError {
            code,
            message: words.into(),
            state: "HY000".into(),
        }))
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_a_person_must_mend() {
        type Kind = fn(String) -> Fault;
        let read_only =
            "The MySQL server is running with the --read-only option so it cannot execute this statement";
        for (code, words, kind) in [
            (1290, read_only, Fault::Away as Kind),
            (1836, "Running in read-only mode", Fault::Away),
            (
                1461,
                "Can't create more than max_prepared_stmt_count statements",
                Fault::Away,
            ),
            (1615, "Prepared statement needs to be re-prepared", Fault::Busy),
            (1045, "Access denied for user", Fault::Login),
            (1524, "Plugin 'mysql_native_password' is not loaded", Fault::Login),
            (3955, "Access denied for user. Account is blocked", Fault::Login),
            (
                3159,
                "Connections using insecure transport are prohibited",
                Fault::Tls,
            ),
            (
                1290,
                "The MySQL server is running with the --skip-grant-tables option",
                Fault::Statement,
            ),
            (1064, "You have an error in your SQL syntax", Fault::Statement),
            (1146, "Table 'shop.orders' doesn't exist", Fault::Statement),
        ] {
            assert_eq!(told(code, words), kind(words.to_owned()), "{code}");
        }
    }
}
