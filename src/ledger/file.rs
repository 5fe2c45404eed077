//! The file itself: lock, pragmas, migrations with a copy first.

use super::LedgerError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::cell::Cell;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The migrations, oldest first. Released ones are never changed.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];

/// Marks the file as a ledger of ours: "brSy".
const APPLICATION_ID: i64 = 0x6272_5379;

/// How long a statement waits for another connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A program that is being started by a holder that just ended has the lock until it runs: it is asked for again.
const LOCK_TRIES: u32 = 10;
/// The same where the holder that just ended was this process.
const LOCK_TRIES_OURS: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Who holds a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id; 0 where it could not be read.
    pub pid: u32,
    /// What it is, e.g. `run`.
    pub purpose: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            0 => write!(f, "another process"),
            pid => write!(f, "process {pid} (`brani-sync {}`)", self.purpose),
        }
    }
}

/// The lock beside the ledger, held as long as this value lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

impl Lock {
    /// Takes the lock or says who has it.
    ///
    /// # Errors
    /// [`LedgerError::Held`], [`LedgerError::Unwritable`].
    pub fn take(path: &Path, purpose: &str) -> Result<Self, LedgerError> {
        let unwritable = |error: std::io::Error| LedgerError::Unwritable {
            path: path.to_owned(),
            message: error.to_string(),
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(unwritable)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(lock_path(path))
            .map_err(unwritable)?;
        let mut tried = file.try_lock();
        let mut tries = 0;
        while matches!(tried, Err(TryLockError::WouldBlock)) {
            // Where this very process held it before, only a child of ours that is about to become another program can
            // have it still, and on a busy machine that takes its time.
            let ours = read_holder(&mut file).pid == std::process::id();
            if tries >= (if ours { LOCK_TRIES_OURS } else { LOCK_TRIES }) {
                break;
            }
            tries += 1;
            std::thread::sleep(LOCK_PAUSE);
            tried = file.try_lock();
        }
        match tried {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerError::Held {
                    path: path.to_owned(),
                    holder: read_holder(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        // Who holds it is a courtesy to the next one: on a full disk the lock holds without it.
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = writeln!(file, "{} {purpose}", std::process::id());
        Ok(Self { _file: file })
    }
}

/// Sees whether the file at the ledger's path is still the one that was opened: SQLite would go on for long in a file
/// that was cut, replaced or removed, and all it says would be lost.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// How long it was: a ledger only grows.
    length: Cell<u64>,
}

impl Watch {
    /// Of a file that was just opened.
    ///
    /// # Errors
    /// [`LedgerError::Unwritable`].
    pub fn of(path: &Path) -> Result<Self, LedgerError> {
        let found = std::fs::metadata(path).map_err(|error| LedgerError::Unwritable {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
            length: Cell::new(found.len()),
        })
    }

    /// Looks.
    ///
    /// # Errors
    /// [`LedgerError::Broken`] where it is another file or none, or is shorter than it was.
    pub fn look(&self) -> Result<(), LedgerError> {
        let what = match std::fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) != (self.device, self.inode) => "replaced",
            Ok(found) if found.len() < self.length.get() => "cut short",
            Ok(found) => {
                self.length.set(found.len());
                return Ok(());
            }
            Err(_) => "removed",
        };
        Err(LedgerError::Broken {
            path: self.path.clone(),
            message: format!("the file was {what} under the running program; nothing more is written to it"),
        })
    }
}

fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let (pid, purpose) = text.trim().split_once(' ').unwrap_or(("0", ""));
    Holder {
        pid: pid.parse().unwrap_or(0),
        purpose: purpose.to_owned(),
    }
}

/// Whether a ledger knows of no order: nothing in it can be older than what the shop says now.
pub fn knows_nothing(path: &Path) -> bool {
    open_reader(path)
        .and_then(|connection| {
            Ok(connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM orders)", [], |row| row.get(0))?)
        })
        .unwrap_or(false)
}

/// Who holds a ledger now, if anybody does.
pub fn holder(path: &Path) -> Option<Holder> {
    let mut file = File::open(lock_path(path)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(read_holder(&mut file)),
        _ => None,
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(128);
    // Plans do not depend on values: else SQLite prepares some cached statements anew whenever a value is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection
        .execute_batch("PRAGMA foreign_keys = ON; PRAGMA cache_size = -4000; PRAGMA temp_store = MEMORY;")
}

/// A read-only connection, for the commands that only look. It works while the daemon runs.
///
/// # Errors
/// [`LedgerError::Unwritable`] where there is no ledger yet, [`LedgerError::Newer`], [`LedgerError::Broken`].
pub fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags)?;
    match version(&connection, path)? {
        known if known == MIGRATIONS.len() as i64 => Ok(connection),
        found => Err(LedgerError::Newer {
            path: path.to_owned(),
            found,
            known: MIGRATIONS.len() as i64,
        }),
    }
}

/// The writing connection: made, checked and migrated.
///
/// # Errors
/// See [`super::Ledger::open`].
pub fn open_writer(path: &Path) -> Result<Connection, LedgerError> {
    let fresh = !path.exists() || std::fs::metadata(path).is_ok_and(|meta| meta.len() == 0);
    if fresh {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| LedgerError::Unwritable {
                path: path.to_owned(),
                message: error.to_string(),
            })?;
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
             PRAGMA wal_autocheckpoint = 4000;
             PRAGMA journal_size_limit = 67108864;",
        )
        .map_err(|error| broken(path, error))?;
    migrate(&connection, path)?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, LedgerError> {
    let connection = Connection::open_with_flags(path, flags).map_err(|error| LedgerError::Unwritable {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    configure(&connection).map_err(|error| broken(path, error))?;
    Ok(connection)
}

fn broken(path: &Path, error: rusqlite::Error) -> LedgerError {
    match LedgerError::from(error) {
        LedgerError::Full => LedgerError::Unwritable {
            path: path.to_owned(),
            message: "the disk is full".into(),
        },
        LedgerError::Sql(error) => match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => {
                LedgerError::Unwritable {
                    path: path.to_owned(),
                    message: error.to_string(),
                }
            }
            _ => LedgerError::Broken {
                path: path.to_owned(),
                message: error.to_string(),
            },
        },
        other => other,
    }
}

fn pragma(connection: &Connection, name: &str, path: &Path) -> Result<i64, LedgerError> {
    connection
        .pragma_query_value(None, name, |row| row.get(0))
        .map_err(|error| broken(path, error))
}

fn version(connection: &Connection, path: &Path) -> Result<i64, LedgerError> {
    let found = pragma(connection, "user_version", path)?;
    let id = pragma(connection, "application_id", path)?;
    if found != 0 && id != APPLICATION_ID {
        let message = "it is an SQLite file of another program".to_owned();
        return Err(LedgerError::Broken {
            path: path.to_owned(),
            message,
        });
    }
    Ok(found)
}

fn migrate(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    let known = MIGRATIONS.len() as i64;
    let found = version(connection, path)?;
    if found > known {
        return Err(LedgerError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    if found == 0 {
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(|error| broken(path, error))?;
        if tables > 0 {
            let message = "it is an SQLite file of another program".to_owned();
            return Err(LedgerError::Broken {
                path: path.to_owned(),
                message,
            });
        }
    }
    if found > 0 && found < known {
        let copy = path.with_extension(format!("v{found}.bak"));
        let _ = std::fs::remove_file(&copy);
        connection
            .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
            .map_err(|error| broken(path, error))?;
        tracing::info!(event = "ledger.copied", copy = %copy.display(), "Copied the ledger before migrating it");
    }
    for (index, sql) in MIGRATIONS
        .iter()
        .enumerate()
        .skip(usize::try_from(found).unwrap_or(0))
    {
        let step = format!(
            "BEGIN EXCLUSIVE; {sql} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}; COMMIT;",
            index + 1
        );
        if let Err(error) = connection.execute_batch(&step) {
            let _ = connection.execute_batch("ROLLBACK");
            return Err(broken(path, error));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Ledger, LedgerError};
    use super::holder;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn second_instance_is_told_who_holds_the_ledger() {
        let folder = folder();
        let path = folder.path().join("ledger.db");
        let first = Ledger::open(&path, "run").unwrap();
        let error = Ledger::open(&path, "once").unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("process {} (`brani-sync run`)", std::process::id())),
            "{error}"
        );
        assert_eq!(holder(&path).unwrap().pid, std::process::id());
        drop(first);
        assert_eq!(holder(&path), None);
        Ledger::open(&path, "once").unwrap();
    }

    #[test]
    fn ledger_of_a_newer_version_is_refused() {
        let folder = folder();
        let path = folder.path().join("ledger.db");
        drop(Ledger::open_inline(&path).unwrap());
        rusqlite::Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        assert!(matches!(
            Ledger::open_inline(&path),
            Err(LedgerError::Newer { found: 99, .. })
        ));
    }

    #[test]
    fn damaged_ledger_is_refused_and_left_as_it_is() {
        let folder = folder();
        let path = folder.path().join("ledger.db");
        std::fs::write(
            &path,
            "this is no database, but somebody's letter; it is long enough to be read ".repeat(20),
        )
        .unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(
            Ledger::open_inline(&path),
            Err(LedgerError::Broken { .. })
        ));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn database_of_another_program_is_refused() {
        let folder = folder();
        let path = folder.path().join("ledger.db");
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE customers (name TEXT)")
            .unwrap();
        assert!(matches!(
            Ledger::open_inline(&path),
            Err(LedgerError::Broken { .. })
        ));
    }

    #[test]
    fn ledger_is_readable_by_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder();
        let path = folder.path().join("ledger.db");
        let _ledger = Ledger::open_inline(&path).unwrap();
        for name in ["ledger.db", "ledger.db-wal", "ledger.db.lock"] {
            let mode = std::fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
        }
    }

    #[tokio::test]
    async fn failed_write_leaves_nothing_behind_and_does_not_hurt_its_neighbours() {
        let folder = folder();
        let ledger = Ledger::open(&folder.path().join("ledger.db"), "test").unwrap();
        let (good, bad) = tokio::join!(
            ledger.write(|c| Ok(c.execute("INSERT INTO meta VALUES ('good', '1')", [])?)),
            ledger.write(|c| {
                c.execute("INSERT INTO meta VALUES ('bad', '1')", [])?;
                Err::<(), _>(LedgerError::Closed)
            }),
        );
        assert_eq!(good.unwrap(), 1);
        assert!(bad.is_err());
        let names: Vec<String> = ledger
            .read(|c| {
                let mut rows = c.prepare("SELECT name FROM meta")?;
                let names = rows.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
                Ok(names)
            })
            .await
            .unwrap();
        assert_eq!(names, ["good"]);
    }
}
