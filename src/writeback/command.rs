//! Telling the shop through a program: JSON on its standard input, its exit code for an answer.
//!
//! There is no shell in between. The program runs in a process group of its own, which is killed as a whole when
//! its time is over or the daemon stops waiting. What it prints may hold personal data: the log says where to look,
//! not what was said. What a program leaves running after it has ended is its own affair.

use super::parameters::{self, SettingError};
use super::{Call, Handler, Outcome, WritebackError};
use crate::config::CommandHandler;
use async_trait::async_trait;
use jiff::tz::TimeZone;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value};
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin};

/// "Temporary failure, try again later" of sysexits.h.
const EX_TEMPFAIL: i32 = 75;
/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);
/// The end of standard error that is kept for the debug log.
const STDERR_BYTES_MAX: usize = 4 * 1024;
/// What a program inherits of our environment.
const ENVIRONMENT: [&str; 3] = ["PATH", "LANG", "HOME"];

/// A program that is started again and again with other parameters.
#[derive(Debug)]
pub struct Program {
    setting: String,
    path: PathBuf,
    arguments: Vec<String>,
    timeout: Duration,
}

impl Program {
    /// Finds the program (in `$PATH` when it is a bare name; the caller has resolved a relative path).
    ///
    /// # Errors
    /// When there is none, or it may not be executed.
    pub fn new(setting: &str, command: &CommandHandler, timeout: Duration) -> Result<Self, SettingError> {
        let Some((program, arguments)) = command.0.split_first().filter(|(program, _)| !program.is_empty())
        else {
            return Err(SettingError::new(setting, "is empty; write the program's path"));
        };
        Ok(Self {
            setting: setting.to_owned(),
            path: find(setting, program)?,
            arguments: arguments.to_vec(),
            timeout,
        })
    }

    /// Runs it once.
    ///
    /// # Errors
    /// Unavailable: it cannot be started, or ended with 75 (EX_TEMPFAIL). Failed: another exit code, a signal, or its
    /// time was over.
    pub async fn run(&self, parameters: &Map<String, Value>) -> Result<(), WritebackError> {
        let (setting, path) = (&self.setting, self.path.display());
        let mut line = Value::Object(parameters.clone()).to_string().into_bytes();
        line.push(b'\n');
        let mut command = tokio::process::Command::new(&self.path);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(
                ENVIRONMENT
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            WritebackError::Unavailable(format!("`{setting}`: `{path}` cannot be started: {error}"))
        })?;
        let (input, errors) = (child.stdin.take(), child.stderr.take());
        let mut group = Group::of(&child);
        let end = {
            let work = async {
                tokio::select! {
                    end = child.wait() => end,
                    // Feeding and listening never decide: a program may read nothing, and what it left running may
                    // hold its standard error open.
                    () = async {
                        tokio::join!(feed(input, &line), self.listen(errors));
                        std::future::pending::<()>().await;
                    } => unreachable!("pending for ever"),
                }
            };
            tokio::time::timeout(self.timeout, work).await
        };
        let Ok(end) = end else {
            group.stop(&mut child).await;
            return Err(WritebackError::Failed(format!(
                "`{setting}`: `{path}` did not end within {:?} and was killed; make it faster or raise `writeback.timeout`",
                self.timeout
            )));
        };
        group.ended();
        let end = end
            .map_err(|error| WritebackError::Failed(format!("`{setting}`: waiting for `{path}`: {error}")))?;
        match (end.code(), end.signal()) {
            (Some(0), _) => Ok(()),
            (Some(EX_TEMPFAIL), _) => Err(WritebackError::Unavailable(format!(
                "`{setting}`: `{path}` asked to be tried later (exit code {EX_TEMPFAIL})"
            ))),
            (Some(code), _) => Err(WritebackError::Failed(format!(
                "`{setting}`: `{path}` ended with exit code {code}; see the command's own log"
            ))),
            (None, signal) => Err(WritebackError::Failed(format!(
                "`{setting}`: `{path}` was ended by signal {}; see the command's own log",
                signal.unwrap_or_default()
            ))),
        }
    }

    /// Reads standard error to its end, so that the program is not held up, and keeps the last of it.
    async fn listen(&self, errors: Option<ChildStderr>) {
        let Some(mut errors) = errors else { return };
        let mut kept = Vec::new();
        let mut chunk = [0; 1024];
        while let Ok(count @ 1..) = errors.read(&mut chunk).await {
            kept.extend_from_slice(&chunk[..count]);
            kept.drain(..kept.len().saturating_sub(STDERR_BYTES_MAX));
        }
        let text = String::from_utf8_lossy(&kept);
        if let Some(line) = text.lines().rev().find(|line| !line.trim().is_empty()) {
            tracing::debug!(
                event = "writeback.command.stderr",
                setting = self.setting,
                "The command said: {line:?}"
            );
        }
    }
}

/// Writes the parameters; a program that does not read them is free to.
async fn feed(input: Option<ChildStdin>, line: &[u8]) {
    if let Some(mut input) = input {
        let _ = input.write_all(line).await;
        let _ = input.shutdown().await;
    }
}

/// The process group of a child that was not waited for yet: as long as that holds, its number cannot be another's.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(
            child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw),
        )
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It fails only when nobody is left in the group.
            let _ = kill_process_group(group, signal);
        }
    }

    fn ended(&mut self) {
        self.0 = None;
    }

    /// Asks the group to end; then kills all of it, also what its first process left behind. The first process is
    /// not waited for before the kill, so that the group's number stays its own.
    async fn stop(&mut self, child: &mut Child) {
        self.signal(Signal::TERM);
        tokio::time::sleep(GRACE).await;
        self.signal(Signal::KILL);
        self.ended();
        let _ = child.wait().await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn find(setting: &str, program: &str) -> Result<PathBuf, SettingError> {
    let path = if program.contains('/') {
        PathBuf::from(program)
    } else {
        std::env::var_os("PATH")
            .as_deref()
            .map(std::env::split_paths)
            .into_iter()
            .flatten()
            .map(|folder| folder.join(program))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                SettingError::new(
                    setting,
                    format!("there is no program `{program}` in PATH; write its full path"),
                )
            })?
    };
    if !path.is_file() {
        return Err(SettingError::new(
            setting,
            format!("there is no program `{program}`"),
        ));
    }
    if !may_execute(path.as_os_str()) {
        return Err(SettingError::new(
            setting,
            format!("`{program}` may not be executed by this user; try `chmod +x {program}`"),
        ));
    }
    Ok(path)
}

fn may_execute(path: &OsStr) -> bool {
    rustix::fs::access(Path::new(path), rustix::fs::Access::EXEC_OK).is_ok()
}

/// The `command` handler.
#[derive(Debug)]
pub struct Command {
    program: Program,
    zone: TimeZone,
}

impl Command {
    /// A handler that writes times in `zone`.
    pub fn new(program: Program, zone: TimeZone) -> Self {
        Self { program, zone }
    }
}

#[async_trait]
impl Handler for Command {
    async fn tell(&self, call: &Call) -> Result<Outcome, WritebackError> {
        self.program.run(&parameters::of(call, &self.zone)).await?;
        Ok(Outcome::Done)
    }
}
