//! PostgreSQL: sessions in UTC, a server-side cursor for long reads, every parameter in the type the server infers.

use super::parameters::{Bound, Param};
use super::postgres_values::{Raw, Text, class, value};
use super::{Column, Fault, Purpose, Session, Table, Target};
use crate::config::Tls;
use async_trait::async_trait;
use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls};

/// A connection. Its other half runs in a task that ends with it.
pub struct PostgresSession {
    client: Client,
    task: tokio::task::JoinHandle<()>,
    limit: Duration,
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects and sets the session.
pub(super) async fn connect(target: &Target, purpose: &Purpose) -> Result<PostgresSession, Fault> {
    let mut config: Config = target.url.expose().parse().map_err(|_| {
        // The driver's words may repeat the URL.
        Fault::Login("the URL is none of the form `postgres://user@host:port/database`".into())
    })?;
    if let Some(password) = &target.password {
        config.password(password.expose());
    }
    if let Some(socket) = &target.socket {
        config = with_socket(&config, socket);
    }
    config
        .application_name("brani-sync")
        .connect_timeout(Duration::from_secs(10))
        .keepalives_idle(Duration::from_secs(60));
    let loopback = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => Target::host_is_loopback(name),
        Host::Unix(_) => true,
    });
    let socket = config
        .get_hosts()
        .iter()
        .all(|host| matches!(host, Host::Unix(_)));
    let away = |error: &tokio_postgres::Error| match fault(error) {
        Fault::Login(text) => Fault::Login(format!("connect to {}: {text}", target.place())),
        Fault::Tls(text) => Fault::Tls(format!("connect to {}: {text}", target.place())),
        other => Fault::Away(format!("connect to {}: {}", target.place(), other.message())),
    };
    let (client, task) = if target.verifies(loopback) && !(socket && target.tls != Some(Tls::Verify)) {
        config.ssl_mode(SslMode::Require);
        let mut store = rustls::RootCertStore::empty();
        store.add_parsable_certificates(super::roots(target)?);
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(store)
            .with_no_client_auth();
        let tls = tokio_postgres_rustls::MakeRustlsConnect::new(tls);
        let (client, connection) = config.connect(tls).await.map_err(|error| away(&error))?;
        (client, tokio::spawn(drive(connection)))
    } else {
        config.ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect(NoTls).await.map_err(|error| away(&error))?;
        (client, tokio::spawn(drive(connection)))
    };
    let mut session = PostgresSession {
        client,
        task,
        limit: purpose.limit() + Duration::from_secs(5),
    };
    let zone = match purpose {
        Purpose::Write { zone, .. } => zone.replace('\'', ""),
        _ => "UTC".into(),
    };
    let millis = purpose.limit().as_millis();
    session
        .run(&format!(
            "SET TIME ZONE '{zone}'; SET client_encoding = 'UTF8'; SET statement_timeout = {millis}; \
             SET lock_timeout = '10s'; SET cursor_tuple_fraction = 1; SET extra_float_digits = 1"
        ))
        .await?;
    Ok(session)
}

/// The same settings with a socket's folder in place of the hosts.
fn with_socket(config: &Config, socket: &std::path::Path) -> Config {
    let mut other = Config::new();
    other.host_path(socket);
    if let Some(port) = config.get_ports().first() {
        other.port(*port);
    }
    if let Some(user) = config.get_user() {
        other.user(user);
    }
    if let Some(database) = config.get_dbname() {
        other.dbname(database);
    }
    if let Some(password) = config.get_password() {
        other.password(password);
    }
    other
}

async fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // How it ended is told by the request that was under way.
    if let Err(error) = connection.await {
        tracing::debug!(
            event = "source.connection_ended",
            "The connection to PostgreSQL ended: {error}"
        );
    }
}

fn fault(error: &tokio_postgres::Error) -> Fault {
    let Some(server) = error.as_db_error() else {
        if let Some(text) = super::certificate(error) {
            return Fault::Tls(text);
        }
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let words = inner.to_string();
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
            cause = inner.source();
        }
        // The server closes a connection that has the wrong password with a message, which is above.
        return match text {
            text if text.contains("server does not support TLS") => {
                Fault::Tls("the server offers no encryption (TLS)".into())
            }
            text if text.starts_with("error serializing") || text.starts_with("error deserializing") => {
                Fault::Statement(text)
            }
            text => Fault::Away(text),
        };
    };
    // The detail may hold a whole row: personal data.
    let text = match server.hint() {
        Some(hint) => format!("{} ({hint})", server.message()),
        None => server.message().to_owned(),
    };
    let code = server.code().code();
    // Errors of a value quote it; those of a character's encoding name the encoding.
    let text = match code {
        "22021" | "22P05" => text,
        _ if code.starts_with("22") => super::unquoted(&text, '"', ""),
        _ => text,
    };
    match code {
        "57014" | "55P03" => Fault::Busy(text),
        "40001" | "40P01" => Fault::Conflict(text),
        "3D000" => Fault::Login(text),
        _ if code.starts_with("28") => Fault::Login(text),
        _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("57P") => Fault::Away(text),
        // A session that idled in a transaction too long, and a server that is going down.
        "25P03" | "58000" | "58030" => Fault::Away(text),
        _ => Fault::Statement(text),
    }
}

impl PostgresSession {
    async fn within<T>(
        &self,
        exchange: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(self.limit, exchange).await {
            Ok(result) => result.map_err(|error| fault(&error)),
            Err(_) => Err(Fault::Busy(format!(
                "no answer within {} seconds",
                self.limit.as_secs()
            ))),
        }
    }

    async fn rows(&self, sql: &str, values: &[Param]) -> Result<Table, Fault> {
        let statement = self.within(self.client.prepare(sql)).await?;
        let values = places(values, statement.params().len())?;
        let rows = self
            .within(self.client.query(&statement, &references(&values)))
            .await?;
        let names: Arc<[String]> = statement
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect();
        let mut table = Table {
            names,
            rows: Vec::with_capacity(rows.len()),
            damaged: Vec::new(),
        };
        for row in rows {
            let mut cells = Vec::with_capacity(statement.columns().len());
            for (index, column) in statement.columns().iter().enumerate() {
                let raw: Raw<'_> = row.try_get(index).map_err(|error| fault(&error))?;
                let cell = value(raw.0, column.type_(), column.name(), &mut table.damaged);
                cells.push(cell.map_err(Fault::Statement)?);
            }
            table.rows.push(cells);
        }
        Ok(table)
    }
}

fn places(values: &[Param], wanted: usize) -> Result<Vec<Text<'_>>, Fault> {
    if values.len() != wanted {
        return Err(Fault::Statement(format!(
            "the statement has {wanted} parameters and {} of them have a value; write parameters as :name",
            values.len()
        )));
    }
    Ok(values.iter().map(Text).collect())
}

fn references<'a>(values: &'a [Text<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

#[async_trait]
impl Session for PostgresSession {
    async fn describe(&mut self, query: &Bound) -> Result<Vec<Column>, Fault> {
        let statement = self.within(self.client.prepare(&query.sql)).await?;
        Ok(statement
            .columns()
            .iter()
            .map(|column| Column {
                name: column.name().to_owned(),
                class: class(column.type_()),
            })
            .collect())
    }

    async fn query(&mut self, query: &Bound) -> Result<Table, Fault> {
        self.rows(&query.sql, &query.values).await
    }

    async fn execute(&mut self, statement: &Bound) -> Result<u64, Fault> {
        let prepared = self.within(self.client.prepare(&statement.sql)).await?;
        let values = places(&statement.values, prepared.params().len())?;
        self.within(self.client.execute(&prepared, &references(&values)))
            .await
    }

    async fn run(&mut self, sql: &str) -> Result<(), Fault> {
        self.within(self.client.batch_execute(sql)).await
    }

    async fn open(&mut self, query: &Bound) -> Result<(), Fault> {
        let declare = Bound {
            sql: format!("DECLARE brani_rows NO SCROLL CURSOR FOR {}", query.sql),
            values: query.values.clone(),
        };
        self.execute(&declare).await.map(|_| ())
    }

    async fn fetch(&mut self, rows: usize) -> Result<Table, Fault> {
        self.rows(&format!("FETCH FORWARD {rows} FROM brani_rows"), &[])
            .await
    }

    async fn version(&mut self) -> Result<String, Fault> {
        let table = self.rows("SHOW server_version", &[]).await?;
        Ok(format!("PostgreSQL {}", table.first().unwrap_or_default()))
    }
}
