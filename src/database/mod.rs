//! The merchant's database, whichever it is: connecting, binding and decoding, and nothing else.
//!
//! The rooms that read orders and that write results back meet their database here. This room knows no orders.

pub mod mysql;
pub mod parameters;
pub mod postgres;
mod postgres_values;
pub mod sqlite;

use crate::config::secret::Secret;
use crate::config::{SourceKind, Tls};
use crate::source::Value;
use async_trait::async_trait;
use parameters::{Bound, Dialect, Param};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where a database is and how to get in.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which one.
    pub dialect: Dialect,
    /// The URL, without a password.
    pub url: Secret,
    /// The password.
    pub password: Option<Secret>,
    /// Left out: verify; off on loopback and sockets.
    pub tls: Option<Tls>,
    /// A certificate authority of one's own, in place of the system's.
    pub tls_ca: Option<PathBuf>,
    /// A unix socket in place of host and port (PostgreSQL: its folder).
    pub socket: Option<PathBuf>,
}

/// What a session is for: rights, time limits and the zone follow from it.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// A long read.
    Read,
    /// A short look.
    Lookup,
    /// Writing, with the shop's zone for the database's own `NOW()`.
    Write {
        /// IANA name, or `UTC`.
        zone: String,
        /// Its offset at this moment, `+02:00`, where the database does not know the name.
        offset: String,
    },
}

impl Purpose {
    /// How long one statement may take.
    pub fn limit(&self) -> Duration {
        match self {
            Purpose::Read => Duration::from_secs(600),
            Purpose::Lookup => Duration::from_secs(30),
            Purpose::Write { .. } => Duration::from_secs(20),
        }
    }
}

/// What kind of values a column holds, as far as the database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// A date and time without a zone.
    Local,
    /// A moment.
    Moment,
    /// A whole number.
    Integer,
    /// Another number.
    Number,
    /// Text.
    Text,
    /// Something else, or not known before a row is seen.
    Unknown,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub class: Class,
}

/// Rows of a result.
#[derive(Clone, Debug)]
pub struct Table {
    /// The columns' names.
    pub names: Arc<[String]>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// Columns in which bytes were no text, or text held a NUL.
    pub damaged: Vec<String>,
}

impl Table {
    /// The place of a column.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// The first row's first value, as text.
    pub fn first(&self) -> Option<String> {
        self.rows.first()?.first().map(Value::to_text)
    }
}

/// What went wrong, by who can mend it and whether to try again. The text is the database's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The server cannot be reached, is going down, or the connection broke.
    #[error("{0}")]
    Away(String),
    /// A lock or a time limit: another time.
    #[error("{0}")]
    Busy(String),
    /// Two transactions met: at once again.
    #[error("{0}")]
    Conflict(String),
    /// The server does not let us in.
    #[error("{0}")]
    Login(String),
    /// Encryption cannot be agreed on: one side wants it and the other has none, or the certificate is not good.
    #[error("{0}")]
    Tls(String),
    /// A value cannot be written in the character set of the column it is compared with.
    #[error("{0}")]
    Charset(String),
    /// The statement is wrong, or a right is missing.
    #[error("{0}")]
    Statement(String),
}

impl Fault {
    /// The database's words.
    pub fn message(&self) -> &str {
        let (Fault::Away(text)
        | Fault::Busy(text)
        | Fault::Conflict(text)
        | Fault::Login(text)
        | Fault::Tls(text)
        | Fault::Charset(text)
        | Fault::Statement(text)) = self;
        text
    }
}

/// One connection. After an error inside a transaction it must be dropped or rolled back.
#[async_trait]
pub trait Session: Send {
    /// The columns of a query, without running it.
    async fn describe(&mut self, query: &Bound) -> Result<Vec<Column>, Fault>;

    /// All rows of a query.
    async fn query(&mut self, query: &Bound) -> Result<Table, Fault>;

    /// Runs a statement; the number of rows it touched.
    async fn execute(&mut self, statement: &Bound) -> Result<u64, Fault>;

    /// Runs a statement without parameters and result (`BEGIN`, `SET`).
    async fn run(&mut self, sql: &str) -> Result<(), Fault>;

    /// Begins a query whose rows are fetched in parts. Where [`Session::shares`] is false, nothing else may be
    /// asked of this session until the rows are over.
    async fn open(&mut self, query: &Bound) -> Result<(), Fault>;

    /// The next rows of the opened query; none at its end.
    async fn fetch(&mut self, rows: usize) -> Result<Table, Fault>;

    /// Whether other queries can be asked while one is open.
    fn shares(&self) -> bool {
        true
    }

    /// The server's name and version.
    async fn version(&mut self) -> Result<String, Fault>;
}

/// A session of whichever database.
pub type BoxSession = Box<dyn Session>;

/// Connects, within ten seconds.
///
/// # Errors
/// [`Fault::Away`], [`Fault::Login`], or [`Fault::Statement`] for a URL that cannot be used.
pub async fn connect(target: &Target, purpose: &Purpose) -> Result<BoxSession, Fault> {
    crate::http::install_tls();
    let connecting = async {
        let session: BoxSession = match target.dialect {
            Dialect::Mysql => Box::new(mysql::connect(target, purpose).await?),
            Dialect::Postgres => Box::new(postgres::connect(target, purpose).await?),
            Dialect::Sqlite => Box::new(sqlite::connect(target, purpose).await?),
        };
        Ok(session)
    };
    match tokio::time::timeout(Duration::from_secs(10), connecting).await {
        Ok(result) => result,
        Err(_) => Err(Fault::Away(format!(
            "connect to {}: no answer within 10 seconds",
            target.place()
        ))),
    }
}

impl Target {
    /// The dialect of a source kind; none for exports.
    pub fn dialect_of(kind: SourceKind) -> Option<Dialect> {
        match kind {
            SourceKind::Mysql => Some(Dialect::Mysql),
            SourceKind::Postgres => Some(Dialect::Postgres),
            SourceKind::Sqlite => Some(Dialect::Sqlite),
            _ => None,
        }
    }

    /// The dialect that a URL's scheme names, for a write-back beside an export.
    pub fn dialect_of_url(url: &str) -> Option<Dialect> {
        match url.split(':').next()? {
            "mysql" | "mariadb" => Some(Dialect::Mysql),
            "postgres" | "postgresql" => Some(Dialect::Postgres),
            "sqlite" => Some(Dialect::Sqlite),
            _ => None,
        }
    }

    /// The server as a person would name it, without user and password.
    pub fn place(&self) -> String {
        if self.dialect == Dialect::Sqlite {
            return sqlite::path(self.url.expose()).display().to_string();
        }
        if let Some(socket) = &self.socket {
            return socket.display().to_string();
        }
        let default = if self.dialect == Dialect::Mysql {
            3306
        } else {
            5432
        };
        match url::Url::parse(self.url.expose()) {
            Ok(url) => format!(
                "{}:{}",
                url.host_str()
                    .filter(|host| !host.is_empty())
                    .unwrap_or("localhost"),
                url.port().unwrap_or(default)
            ),
            Err(_) => "the database".into(),
        }
    }

    /// Whether the connection is encrypted and the certificate looked at.
    fn verifies(&self, loopback: bool) -> bool {
        match self.tls {
            Some(Tls::Verify) => true,
            Some(Tls::Off) => false,
            None => !loopback,
        }
    }

    fn host_is_loopback(host: &str) -> bool {
        host.is_empty()
            || host == "localhost"
            || host.starts_with('/')
            || host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

/// A server's words without the value that it quotes, which may be a customer's: what stands between the first mark
/// and the last one that is followed by `then`, or else the very last.
fn unquoted(words: &str, mark: char, then: &str) -> String {
    let Some(start) = words.find(mark).map(|at| at + mark.len_utf8()) else {
        return words.to_owned();
    };
    let rest = &words[start..];
    let end = rest.rfind(&format!("{mark}{then}")).or_else(|| rest.rfind(mark));
    format!("{}…{}", &words[..start], end.map_or("", |end| &rest[end..]))
}

/// A text as a value: a NUL cannot go to Brani, and bytes that are no text are shown as `�`.
fn text_value(bytes: &[u8], name: &str, damaged: &mut Vec<String>) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let broken = matches!(text, std::borrow::Cow::Owned(_)) || text.contains('\0');
    if broken && !damaged.iter().any(|n| n == name) {
        damaged.push(name.to_owned());
    }
    if text.contains('\0') {
        Value::Text(text.replace('\0', "\u{fffd}"))
    } else {
        Value::Text(text.into_owned())
    }
}

/// The shortest decimal text of a float, without an exponent; what is no number is NULL.
fn float_value(number: f64, text: String) -> Value {
    if number.is_finite() {
        Value::Number(text)
    } else {
        Value::Null
    }
}

/// A value as a parameter of the next query (`:keys`).
pub fn param_of(value: &Value) -> Param {
    match value {
        Value::Null => Param::Null,
        Value::Int(number) => Param::Int(*number),
        Value::Number(text) => Param::Number(text.clone()),
        Value::Local(time) => Param::Local(*time),
        Value::Time(time) => Param::Moment(*time),
        Value::Text(_) | Value::Bool(_) => Param::Text(value.to_text()),
    }
}

/// A wall clock as databases write it: the fraction only where there is one.
fn local_text(time: jiff::civil::DateTime) -> String {
    if time.subsec_nanosecond() == 0 {
        time.strftime("%Y-%m-%d %H:%M:%S").to_string()
    } else {
        time.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
    }
}

/// A moment as UTC wall clock.
fn utc(moment: jiff::Timestamp) -> jiff::civil::DateTime {
    jiff::tz::Offset::UTC.to_datetime(moment)
}

/// What is wrong with a server's certificate, where that is the cause of an error.
fn certificate(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    use rustls::{CertificateError, Error};
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(Error::InvalidCertificate(reason)) = error.downcast_ref() {
            return Some(match reason {
                CertificateError::UnknownIssuer => {
                    "the server's certificate is signed by no authority that is trusted here".to_owned()
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "the server's certificate does not bear the host's name that stands in the URL".to_owned()
                }
                other => format!("the server's certificate is not good: {other}"),
            });
        }
        // `source` of such an error passes over the one it was made of.
        let made_of = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        cause = match made_of {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The certificates that a server's is checked against: the system's, or the merchant's own.
fn roots(target: &Target) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, Fault> {
    use rustls::pki_types::pem::PemObject;
    let Some(file) = &target.tls_ca else {
        // One that rustls cannot read would make the driver refuse them all.
        let readable = |certificate: &rustls::pki_types::CertificateDer<'static>| {
            rustls::RootCertStore::empty().add(certificate.clone()).is_ok()
        };
        let mut certificates = rustls_native_certs::load_native_certs().certs;
        certificates.retain(readable);
        return Ok(certificates);
    };
    let unusable = |what: String| {
        Fault::Login(format!(
            "`{}` (`tls_ca`) holds no certificate: {what}",
            file.display()
        ))
    };
    let certificates: Vec<_> = rustls::pki_types::CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(error.to_string()))?;
    match certificates.is_empty() {
        true => Err(unusable("it is empty".into())),
        false => Ok(certificates),
    }
}

#[cfg(test)]
mod tests {
    use super::unquoted;

    #[test]
    fn a_servers_words_lose_the_value_and_keep_the_column() {
        for (words, cut) in [
            (
                "Duplicate entry 'O'Brien' for key 'x' for key 'email'",
                "Duplicate entry '…' for key 'email'",
            ),
            (
                "Truncated incorrect DOUBLE value: 'Jana'",
                "Truncated incorrect DOUBLE value: '…'",
            ),
            ("Incorrect value: 'cut off", "Incorrect value: '…"),
            ("Out of range", "Out of range"),
        ] {
            assert_eq!(unquoted(words, '\'', " for "), cut);
        }
    }
}
