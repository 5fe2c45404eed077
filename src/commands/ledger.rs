//! `backup`, `forget`, `ledger accept`, `ledger restored`: the ledger as a file and as a promise.

use super::{Failure, Shell, block_on};
use crate::assemble;
use crate::brani::Service;
use crate::cli;
use crate::clock::{Clock, SystemClock};
use crate::ledger::cursors::{self, name};
use crate::ledger::{Ledger, orders};
use crate::types::OrderCode;
use std::path::Path;
use std::sync::Arc;

pub(super) fn backup(shell: &Shell, file: &Path) -> Result<u8, Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let loaded = shell.load()?;
    let connection = shell.reader(&loaded)?;
    if file.exists() {
        return Err(Failure::new(1, format!("`{}` exists already", file.display())).hint("choose a new name"));
    }
    // Made by us, so that nobody else can read it.
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(|error| Failure::new(1, format!("cannot write `{}`: {error}", file.display())))?;
    // Whoever works with the copy one day must first learn what was done since.
    let copied = connection
        .execute("VACUUM INTO ?1", [file.to_string_lossy()])
        .and_then(|_| rusqlite::Connection::open(file))
        .and_then(|copy| copy.execute("DELETE FROM meta WHERE name = ?1", [name::LEARNED]));
    if let Err(error) = copied {
        let _ = std::fs::remove_file(file);
        return Err(Failure::new(1, format!("copy the ledger: {error}")));
    }
    shell.out.done(
        &format!("copied the ledger to `{}`", file.display()),
        &serde_json::json!({"copied": file}),
    );
    Ok(0)
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
        shell
            .out
            .line("before anything is sent or written, the next run learns what was done since this ledger was copied");
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
