//! The ledger: the one SQLite file that holds all state. The only user of rusqlite's connections to it.
//!
//! What must outlive a crash is written here in one transaction at the moment it becomes true. One writer thread
//! folds the writes that wait into one commit (each in a savepoint of its own), so that many flows share one fsync;
//! a reader thread answers questions beside it. This room knows what is kept, never why: the decisions are made in
//! the flows.

pub mod cursors;
mod executor;
pub mod extras;
mod file;
pub mod inbox;
pub mod orders;

pub use executor::Ledger;
pub use file::{Holder, holder, knows_nothing, open_reader};

use jiff::Timestamp;
use std::path::PathBuf;

/// What can go wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another instance holds it.
    #[error("the ledger `{}` is held by {holder}", path.display())]
    Held {
        /// The file.
        path: PathBuf,
        /// Who, as the holder wrote it.
        holder: Holder,
    },
    /// It was written by a newer version.
    #[error("the ledger `{}` has version {found}, this program knows {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file is no ledger, or is damaged.
    #[error("the ledger `{}` is damaged: {message}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        message: String,
    },
    /// It cannot be created, opened or written.
    #[error("the ledger `{}` cannot be written: {message}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// The disk is full: the flows hold and go on by themselves.
    #[error("the disk that holds the ledger is full")]
    Full,
    /// The ledger was closed while something waited for it.
    #[error("the ledger is closed")]
    Closed,
    /// A statement failed.
    #[error("ledger: {0}")]
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => LedgerError::Full,
            // A full disk shows as an I/O error where the write-ahead log cannot grow.
            Some(rusqlite::ErrorCode::SystemIoFailure) if error.to_string().contains("full") => {
                LedgerError::Full
            }
            _ => LedgerError::Sql(error),
        }
    }
}

impl LedgerError {
    /// True where the file itself cannot be relied upon: the daemon stops with exit code 74.
    pub fn is_fatal(&self) -> bool {
        match self {
            LedgerError::Full | LedgerError::Held { .. } | LedgerError::Newer { .. } => false,
            LedgerError::Broken { .. } | LedgerError::Unwritable { .. } | LedgerError::Closed => true,
            LedgerError::Sql(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    rusqlite::ErrorCode::DatabaseCorrupt
                        | rusqlite::ErrorCode::NotADatabase
                        | rusqlite::ErrorCode::ReadOnly
                        | rusqlite::ErrorCode::SystemIoFailure
                        | rusqlite::ErrorCode::CannotOpen
                )
            ),
        }
    }
}

/// A moment as the ledger keeps it.
pub fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// A moment from the ledger; nonsense becomes the epoch.
pub fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}
