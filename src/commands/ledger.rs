//! `backup`, `forget`, `ledger accept`, `ledger restored`: the ledger as a file and as a promise.

use super::{Failure, Shell, block_on};
use crate::assemble;
use crate::brani::Service;
use crate::cli;
use crate::clock::{Clock, SystemClock};
use crate::config::Loaded;
use crate::ledger::cursors::{self, name};
use crate::ledger::{Ledger, orders};
use crate::types::OrderCode;
use std::path::Path;
use std::sync::Arc;

pub(super) fn backup(shell: &Shell, file: &Path) -> Result<u8, Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let loaded = shell.load_path(&shell.path())?;
    super::has_ledger(&loaded)?;
    if file.exists() {
        return Err(Failure::new(1, format!("`{}` exists already", file.display())).hint("choose a new name"));
    }
    // Made by us, so that nobody else can read it; and opened before root becomes the service's user, who may not
    // write where root may.
    let target = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(|error| Failure::new(1, format!("cannot write `{}`: {error}", file.display())))?;
    let copied = super::become_owner(&loaded).and_then(|()| copy(shell, &loaded, target));
    if let Err(mut failure) = copied {
        // Nor may that user take away what root made.
        if std::fs::remove_file(file).is_err() {
            let left = format!("`{}` is no copy: remove it", file.display());
            failure.hint = Some(match failure.hint.take() {
                Some(hint) => format!("{hint}; {left}"),
                None => left,
            });
        }
        return Err(failure);
    }
    shell.out.done(
        &format!("copied the ledger to `{}`", file.display()),
        &serde_json::json!({"copied": file}),
    );
    Ok(0)
}

/// A consistent copy, made beside the ledger and handed over whole.
fn copy(shell: &Shell, loaded: &Loaded, mut target: std::fs::File) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let connection = shell.reader(loaded)?;
    let beside = Beside(
        loaded
            .ledger_path()
            .with_extension(format!("copy-{}", std::process::id())),
    );
    let failed = |what: &str, error: &dyn std::fmt::Display| Failure::new(1, format!("{what}: {error}"));
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside.0)
        .map_err(|error| {
            failed(&format!("make `{}`", beside.0.display()), &error)
                .hint("the copy is made beside the ledger first: run as the service's user or as root")
        })?;
    // Whoever works with the copy one day must first learn what was done since.
    connection
        .execute("VACUUM INTO ?1", [beside.0.to_string_lossy()])
        .and_then(|_| rusqlite::Connection::open(&beside.0))
        .and_then(|copy| copy.execute("DELETE FROM meta WHERE name = ?1", [name::LEARNED]))
        .map_err(|error| failed("copy the ledger", &error))?;
    std::fs::File::open(&beside.0)
        .and_then(|mut from| std::io::copy(&mut from, &mut target))
        .and_then(|_| target.sync_all())
        .map_err(|error| failed("write the copy", &error))
}

/// A file that goes with its use.
struct Beside(std::path::PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(super) fn forget(shell: &Shell, code: &str, at_brani: bool) -> Result<u8, Failure> {
    let loaded = shell.load()?;
    let code = OrderCode::from(code);
    if at_brani {
        shell.check_secrets(&loaded)?;
        let client = assemble::client(&loaded, Arc::new(SystemClock))?;
        block_on(async { Ok(client.delete(&code).await?) })?;
    }
    let ledger = shell.ledger_beside(&loaded)?;
    let now = SystemClock.now();
    let known = block_on({
        let code = code.clone();
        async move {
            Ok(ledger
                .write(move |connection| {
                    let known = orders::get(connection, &code)?.is_some();
                    orders::remove(connection, &code)?;
                    connection.execute("DELETE FROM events WHERE code = ?1", [code.as_str()])?;
                    connection.execute("DELETE FROM claims WHERE code = ?1", [code.as_str()])?;
                    orders::bury(connection, &code, now)?;
                    Ok(known)
                })
                .await?)
        }
    })?;
    let what = if known { "is forgotten" } else { "was not known" };
    shell.out.done(
        &format!("order `{code}` {what}; a hashed mark keeps it from being sent again"),
        &serde_json::json!({"forgotten": code, "was_known": known, "deleted_at_brani": at_brani}),
    );
    Ok(0)
}

pub(super) fn ledger(shell: &Shell, command: cli::LedgerCommand) -> Result<u8, Failure> {
    let loaded = shell.load()?;
    if let cli::LedgerCommand::Restored = command {
        let ledger = Ledger::open(&loaded.ledger_path(), "ledger restored")?;
        block_on(async {
            Ok(ledger
                .write(|connection| cursors::unset(connection, name::LEARNED))
                .await?)
        })?;
        shell.out.done(
            "before anything is sent or written, the next run learns what was done since this ledger was copied",
            &serde_json::json!({"restored": true}),
        );
        return Ok(0);
    }
    // A daemon that runs still believes the old identity: it must be stopped.
    let ledger = Ledger::open(&loaded.ledger_path(), "ledger accept")?;
    let identity = assemble::identity(&loaded);
    let text = serde_json::to_string(&identity).map_err(|error| Failure::new(1, error.to_string()))?;
    block_on(async {
        Ok(ledger
            .write(move |connection| cursors::set(connection, name::IDENTITY, &text))
            .await?)
    })?;
    shell.out.done(
        &format!(
            "the ledger now belongs to {} read from {}",
            identity.base_url, identity.source
        ),
        &serde_json::json!({"base_url": identity.base_url, "source": identity.source}),
    );
    Ok(0)
}
