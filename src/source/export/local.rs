//! Export files on this machine: found by path or glob, and never trusted while somebody writes them.

use super::Found;
use super::bytes::Fault;
use crate::clock::Clock;
use crate::source::SourceError;
use jiff::Timestamp;
use std::fs::{File, Metadata};
use std::hash::Hasher;
use std::io::{ErrorKind, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A file younger than this may still be written.
const YOUNG: Duration = Duration::from_secs(2);

/// What to do about a file that we may not read.
const RIGHTS: &str = "let the service's user read the file and enter its folder (chgrp, chmod; a file below /home also needs \
     a drop-in for the unit, see docs/install.md)";

/// A path or a glob.
pub struct Local {
    pattern: String,
}

/// Whether a URL means files of this machine.
pub fn is_local(url: &str) -> bool {
    url.starts_with('/')
        || url
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"))
}

impl Local {
    /// Takes `file:///path`, `/path`, with globs.
    ///
    /// # Errors
    /// When it is not an absolute path or a glob that cannot be read.
    pub fn new(url: &str) -> Result<Self, Fault> {
        let path = if url.starts_with('/') { url } else { &url[5..] };
        let path = path
            .strip_prefix("//localhost")
            .or_else(|| path.strip_prefix("//"))
            .unwrap_or(path);
        if !path.starts_with('/') {
            return Err(Fault::hinted(
                "the export's path is not absolute",
                "write three slashes and the whole path: file:///srv/export/orders.xml",
            ));
        }
        if path.contains("{since}") {
            return Err(Fault::hinted(
                "`{since}` means something in https URLs only",
                "leave it out of the path of a file",
            ));
        }
        glob::Pattern::new(path)
            .map_err(|error| Fault::bad(format!("the path's pattern is wrong: {}", error.msg)))?;
        Ok(Self {
            pattern: path.to_owned(),
        })
    }

    /// The files as they stand, once nobody writes them.
    ///
    /// # Errors
    /// When there is none, or one is still being written.
    pub async fn find(&self, clock: &dyn Clock) -> Result<Found, SourceError> {
        let started = clock.now();
        let mut marks = self.look()?;
        let now = SystemTime::from(started);
        let youngest = marks
            .iter()
            .filter_map(|(_, meta)| now.duration_since(meta.modified().ok()?).ok())
            .min();
        if let Some(wait) = youngest.and_then(|age| YOUNG.checked_sub(age)) {
            tokio::time::sleep(wait).await;
            let again = self.look()?;
            if mark(&again) != mark(&marks) {
                return Err(SourceError::Unavailable {
                    what: format!("export `{}` is still being written", self.shown()),
                });
            }
            marks = again;
        }
        Ok(Found {
            mark: mark(&marks),
            // the last one holds: it is read first, and what it says of an order is not said otherwise after it
            files: marks.into_iter().rev().map(|(path, _)| path).collect(),
            started,
            full: true,
            unchanged: false,
            overlay: true,
            told: true,
            incoming: None,
        })
    }

    /// The last part of the pattern.
    fn shown(&self) -> &str {
        self.pattern.rsplit('/').next().unwrap_or(&self.pattern)
    }

    fn look(&self) -> Result<Vec<(PathBuf, Metadata)>, SourceError> {
        let away = |what: String| SourceError::Unavailable { what };
        // a path that exists as it is written is no pattern, whatever characters it has
        let plain = Path::new(&self.pattern);
        if let Err(error) = plain.metadata()
            && error.kind() == ErrorKind::PermissionDenied
        {
            return Err(away(format!(
                "export `{}` stands in a folder that this user may not enter; {RIGHTS}",
                self.shown()
            )));
        }
        let paths: Vec<PathBuf> = if plain.is_file() {
            vec![plain.to_owned()]
        } else {
            let found =
                glob::glob(&self.pattern).map_err(|_| away("the export's pattern is wrong".into()))?;
            found
                .collect::<Result<_, _>>()
                .map_err(|error| away(format!("cannot read the export's folder: {}", error.error())))?
        };
        let mut files = Vec::new();
        for path in paths {
            let meta = match std::fs::metadata(&path) {
                Ok(meta) => meta,
                // it went away since it was listed, or is a link to nowhere: no file
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(away(format!(
                        "cannot read export `{}`: {error}",
                        super::label(&path)
                    )));
                }
            };
            if meta.is_file() {
                files.push((path, meta));
            }
        }
        if files.is_empty() {
            return Err(away(format!(
                "there is no export `{}`; put the file there or correct shop.source.url",
                self.shown()
            )));
        }
        Ok(files)
    }
}

/// Changes whenever a file does.
fn mark(files: &[(PathBuf, Metadata)]) -> String {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for (path, meta) in files {
        hash.write(path.as_os_str().as_encoded_bytes());
        for part in state(meta) {
            hash.write(&part.to_le_bytes());
        }
    }
    format!("{:032x}", hash.digest128())
}

fn state(meta: &Metadata) -> [i64; 4] {
    [
        i64::try_from(meta.ino()).unwrap_or_default(),
        i64::try_from(meta.size()).unwrap_or_default(),
        meta.mtime(),
        meta.mtime_nsec(),
    ]
}

/// An open file that is watched for changes while it is read.
pub struct Watched {
    file: File,
    before: [i64; 4],
}

impl Watched {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => Fault::hinted("it may not be read by this user", RIGHTS),
            _ => Fault::Torn(format!("it cannot be opened: {error}")),
        })?;
        let before = state(&file.metadata()?);
        Ok(Self { file, before })
    }

    /// A reader from the beginning, of the very file that was opened; the one before it is used no more.
    ///
    /// # Errors
    /// When the file cannot be rewound.
    pub fn reader(&self) -> Result<File, Fault> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }

    /// When it was written last.
    pub fn made(&self) -> Timestamp {
        let [_, _, seconds, nanoseconds] = self.before;
        let nanoseconds = i32::try_from(nanoseconds).unwrap_or_default();
        // what has no time that can be told may have been made just now
        Timestamp::new(seconds, nanoseconds).unwrap_or(Timestamp::MAX)
    }

    fn changed(&self) -> bool {
        self.file.metadata().map(|meta| state(&meta)).ok() != Some(self.before)
    }

    /// Why reading failed, if it is that the file changed.
    pub fn explain(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Bad { .. } if self.changed() => Fault::Torn("it changed while it was read".into()),
            other => other,
        }
    }

    /// After the end: nobody wrote to it meanwhile.
    ///
    /// # Errors
    /// When somebody did.
    pub fn still_the_same(&self) -> Result<(), Fault> {
        if self.changed() {
            return Err(Fault::Torn("it changed while it was read".into()));
        }
        Ok(())
    }
}
