//! Telling the shop by a file: one JSON line per event, appended and on disk before the event counts as told.
//!
//! The same event can stand in the file more than once (at least once is the promise; a crash may come between the
//! line and our note of it): a reader goes by `event_id` and `event`. A line torn by a crash is ended by the next
//! append, so a reader skips what is not JSON. The file is opened for each line, so it may be moved away at any time.

use super::parameters::{self, SettingError};
use super::{Call, Handler, Outcome, WritebackError};
use crate::panics;
use async_trait::async_trait;
use jiff::tz::TimeZone;
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The `jsonl` handler.
#[derive(Debug)]
pub struct Jsonl {
    setting: String,
    path: PathBuf,
    zone: TimeZone,
}

impl Jsonl {
    /// A handler that appends to `path` (the caller has resolved a relative one) and writes times in `zone`.
    ///
    /// # Errors
    /// When the folder is not there, or the path is something else than a file.
    pub fn new(setting: &str, path: &Path, zone: TimeZone) -> Result<Self, SettingError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(SettingError::new(
                setting,
                format!("there is no folder `{}`; make it", folder.display()),
            ));
        }
        if path.exists() && !path.is_file() {
            return Err(SettingError::new(
                setting,
                format!("`{}` is not a file", path.display()),
            ));
        }
        Ok(Self {
            setting: setting.to_owned(),
            path: path.to_owned(),
            zone,
        })
    }
}

#[async_trait]
impl Handler for Jsonl {
    async fn tell(&self, call: &Call) -> Result<Outcome, WritebackError> {
        let path = self.path.clone();
        let line = Value::Object(parameters::of(call, &self.zone)).to_string();
        let away = |problem: String| {
            WritebackError::Unavailable(format!(
                "`{}`: append to `{}`: {problem}",
                self.setting,
                self.path.display()
            ))
        };
        tokio::task::spawn_blocking(move || append(&path, &line))
            .await
            .map_err(|error| away(panics::task(&error).to_owned()))?
            .map_err(|error| away(error.to_string()))?;
        Ok(Outcome::Done)
    }
}

/// Appends one line and waits until the disk has it.
fn append(path: &Path, line: &str) -> std::io::Result<()> {
    if path.exists() && !path.is_file() {
        // Opening a pipe would wait for its reader.
        return Err(std::io::Error::other("it is not a file"));
    }
    let is_new = !path.exists();
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    // Several handlers may share the file; nobody else may be between our look at its end and our line.
    flock(&file, FlockOperation::LockExclusive)?;
    let mut bytes = Vec::with_capacity(line.len() + 2);
    if is_torn(&mut file)? {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    file.write_all(&bytes)?;
    file.sync_all()?;
    if is_new && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Whether the last line has no end.
fn is_torn(file: &mut File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
