//! Who runs the ledger's statements: a writer thread with group commit and a reader thread, or, for a simulation
//! under paused time, the caller itself.

use super::LedgerError;
use super::file;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A job runs inside a savepoint and hands back what to do once the commit is known.
type Done = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;
type Job = Box<dyn FnOnce(&Connection) -> Done + Send>;

/// Writes that one commit may hold.
const GROUP_MAX: usize = 512;

/// After the last write the log beside the file is emptied: what was deleted (personal data) stands in it still.
const TIDY_AFTER: Duration = Duration::from_secs(2);
/// Where writes never pause so long, it is emptied all the same.
const TIDY_AT_LATEST: Duration = Duration::from_secs(10);

/// A thread that works as long as somebody may send it jobs.
struct Worker {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Worker {
    fn send(&self, job: Job) -> Result<(), LedgerError> {
        let jobs = self.jobs.as_ref().ok_or(LedgerError::Closed)?;
        jobs.send(job).map_err(|_| LedgerError::Closed)
    }
}

impl Drop for Worker {
    /// Waits for what was asked, and for the tidying: a process that ends at once would leave it undone.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

enum Executor {
    /// The reader goes first, so that nobody is in the writer's way when it tidies up.
    Threads {
        reader: Worker,
        writer: Worker,
    },
    Inline(Mutex<Connection>),
}

/// A handle to the ledger; clones share it. The file stays locked until the last one is gone.
#[derive(Clone)]
pub struct Ledger {
    executor: Arc<Executor>,
    path: PathBuf,
    _lock: Option<Arc<file::Lock>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens (or makes) the ledger, locks it against a second instance and migrates it.
    ///
    /// # Errors
    /// [`LedgerError::Held`], [`LedgerError::Newer`], [`LedgerError::Broken`], [`LedgerError::Unwritable`].
    pub fn open(path: &Path, purpose: &str) -> Result<Self, LedgerError> {
        let lock = file::Lock::take(path, purpose)?;
        let writer = file::open_writer(path)?;
        let reader = file::open_reader(path)?;
        let watch = file::Watch::of(path)?;
        let executor = Executor::Threads {
            writer: spawn(
                "ledger-writer",
                writer,
                move |connection, job, jobs| match watch.look() {
                    Ok(()) => write_group(connection, job, jobs),
                    Err(error) => refuse(connection, job, error),
                },
            ),
            reader: spawn("ledger-reader", reader, read_one),
        };
        Ok(Self {
            executor: Arc::new(executor),
            path: path.to_owned(),
            _lock: Some(Arc::new(lock)),
        })
    }

    /// The same, with every statement run by the caller: for a simulation, whose paused time must not run on while
    /// a thread works.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_inline(path: &Path) -> Result<Self, LedgerError> {
        let lock = file::Lock::take(path, "simulation")?;
        let connection = file::open_writer(path)?;
        let executor = Executor::Inline(Mutex::new(connection));
        Ok(Self {
            executor: Arc::new(executor),
            path: path.to_owned(),
            _lock: Some(Arc::new(lock)),
        })
    }

    /// The ledger beside a running daemon, for one administrative change: the flows read it anew inside each of
    /// their transactions, so that a change made between them is seen.
    ///
    /// # Errors
    /// As [`Ledger::open`], [`LedgerError::Held`] excepted.
    pub fn open_beside(path: &Path) -> Result<Self, LedgerError> {
        let connection = file::open_writer(path)?;
        let executor = Executor::Inline(Mutex::new(connection));
        Ok(Self {
            executor: Arc::new(executor),
            path: path.to_owned(),
            _lock: None,
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs statements as one unit and returns when they are durable. When `work` fails, none of them stands.
    ///
    /// # Errors
    /// What `work` returns, or why the commit failed.
    pub async fn write<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        match &*self.executor {
            Executor::Threads { writer, .. } => {
                let (answer, result) = oneshot::channel();
                let job: Job = Box::new(move |connection| {
                    let outcome = in_savepoint(connection, work);
                    Box::new(move |commit| {
                        // Nobody may wait any more: the write stands all the same.
                        let _ = answer.send(commit.and(outcome));
                    })
                });
                writer.send(job)?;
                result.await.map_err(|_| LedgerError::Closed)?
            }
            Executor::Inline(connection) => {
                // As with the threads, others go on before and after, and the caller may be dropped in both places.
                tokio::task::yield_now().await;
                let outcome = {
                    let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                    alone(&connection, work)
                };
                tokio::task::yield_now().await;
                outcome
            }
        }
    }

    /// Answers a question.
    ///
    /// # Errors
    /// What `work` returns.
    pub async fn read<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        match &*self.executor {
            Executor::Threads { reader, .. } => {
                let (answer, result) = oneshot::channel();
                let job: Job = Box::new(move |connection| {
                    let _ = answer.send(work(connection));
                    Box::new(|_| {})
                });
                reader.send(job)?;
                result.await.map_err(|_| LedgerError::Closed)?
            }
            Executor::Inline(connection) => {
                tokio::task::yield_now().await;
                let answer = work(&connection.lock().unwrap_or_else(PoisonError::into_inner));
                tokio::task::yield_now().await;
                answer
            }
        }
    }
}

fn spawn(
    name: &str,
    connection: Connection,
    turn: impl Fn(&Connection, Job, &mpsc::Receiver<Job>) + Send + 'static,
) -> Worker {
    let (sender, jobs) = mpsc::channel::<Job>();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let mut untidy: Option<Instant> = None;
        loop {
            let job = match untidy {
                Some(_) => jobs.recv_timeout(TIDY_AFTER),
                None => jobs.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            };
            let since = match job {
                Ok(job) => {
                    turn(&connection, job, &jobs);
                    *untidy.get_or_insert_with(Instant::now)
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    untidy = (!tidy(&connection)).then(Instant::now);
                    continue;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            };
            if since.elapsed() >= TIDY_AT_LATEST {
                untidy = (!tidy(&connection)).then(Instant::now);
            }
        }
        // The last handle is gone: leave a small file behind.
        let _ = connection.execute_batch("PRAGMA optimize");
        let _ = tidy(&connection);
    });
    let thread = match thread {
        Ok(thread) => Some(thread),
        Err(error) => {
            tracing::error!(event = "ledger.no_thread", %error, "The ledger's thread could not be started");
            None
        }
    };
    Worker {
        jobs: Some(sender),
        thread,
    }
}

/// Empties the log beside the file; false where somebody reads, and it is to be tried again.
fn tidy(connection: &Connection) -> bool {
    if connection.is_readonly("main").unwrap_or(true) {
        return true;
    }
    let _ = connection.busy_timeout(Duration::ZERO);
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    let _ = connection.busy_timeout(file::PATIENCE);
    matches!(busy, Ok(0))
}

fn read_one(connection: &Connection, job: Job, _jobs: &mpsc::Receiver<Job>) {
    job(connection)(Ok(()));
}

/// Runs this job and those that wait, in one transaction.
fn write_group(connection: &Connection, first: Job, jobs: &mpsc::Receiver<Job>) {
    let mut done = Vec::new();
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        // Without a transaction nothing may run; every job learns why.
        refuse(connection, first, error.into());
        return;
    }
    done.push(first(connection));
    while done.len() < GROUP_MAX {
        match jobs.try_recv() {
            Ok(job) => done.push(job(connection)),
            Err(_) => break,
        }
    }
    let commit = connection.execute_batch("COMMIT");
    if commit.is_err() && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    for tell in done {
        tell(match &commit {
            Ok(()) => Ok(()),
            Err(error) => Err(copy(error).into()),
        });
    }
}

/// Lets a job learn that its transaction could not begin: it runs in one that is rolled back at once, where that
/// is possible, and is told the failure.
fn refuse(connection: &Connection, job: Job, error: LedgerError) {
    let _ = connection.execute_batch("SAVEPOINT refused");
    let tell = job(connection);
    let _ = connection.execute_batch("ROLLBACK TO refused; RELEASE refused");
    tell(Err(error));
}

/// rusqlite's errors cannot be cloned; the code and the words are what matters.
fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, words) => rusqlite::Error::SqliteFailure(*code, words.clone()),
        other => rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(other.sqlite_error().map_or(1, |e| e.extended_code)),
            Some(other.to_string()),
        ),
    }
}

/// One piece of work, in a transaction of its own.
fn alone<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let outcome = work(connection);
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.prepare_cached(end).and_then(|mut end| end.execute([]));
    if ended.is_err() && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    let value = outcome?;
    ended?;
    Ok(value)
}

fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    connection.execute_batch("SAVEPOINT job")?;
    match work(connection) {
        Ok(value) => {
            connection.execute_batch("RELEASE job")?;
            Ok(value)
        }
        Err(error) => {
            // A full disk may have rolled everything back already.
            let _ = connection.execute_batch("ROLLBACK TO job; RELEASE job");
            Err(error)
        }
    }
}
