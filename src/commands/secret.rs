//! `secret set NAME`: stores a secret where the service finds it. It is read from standard input or asked for, never
//! taken as an argument, which others could see.

use super::{Failure, Shell};
use crate::cli;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(super) fn secret(shell: &Shell, command: cli::SecretCommand) -> Result<u8, Failure> {
    let cli::SecretCommand::Set { secret: name } = command;
    let plain = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !plain {
        return Err(Failure::new(64, format!("`{name}` is no name of a secret"))
            .hint("letters, digits, `-` and `_`, e.g. brani-token"));
    }
    let path = shell.path();
    let folder = path.with_extension("secrets");
    let value = read(&name)?;
    let value = value.trim_end_matches(['\n', '\r']);
    if value.is_empty() {
        return Err(Failure::new(1, "the secret is empty").hint("type it, or pass it on standard input"));
    }
    let target = store(&folder, &name, value)?;
    shell.out.done(
        &format!(
            "stored `{}`; a running service takes it over when it is restarted",
            target.display()
        ),
        &serde_json::json!({"stored": target}),
    );
    Ok(0)
}

/// Writes a secret into a configuration's folder of secrets, which only its owner may read.
pub(super) fn store(folder: &Path, name: &str, value: &str) -> Result<PathBuf, Failure> {
    if !folder.exists() {
        std::fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(folder)
            .map_err(|error| {
                Failure::new(1, format!("cannot make `{}`: {error}", folder.display()))
                    .hint("run as root, or choose the configuration with --config")
            })?;
    }
    // Written beside and renamed: a reader sees the old one or the new one.
    let (target, beside) = (folder.join(name), folder.join(format!(".{name}.new")));
    let _ = std::fs::remove_file(&beside);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(value.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, &target));
    written.map_err(|error| Failure::new(1, format!("cannot write `{}`: {error}", target.display())))?;
    Ok(target)
}

fn read(name: &str) -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password(format!("{name}: ")).map_err(Failure::from);
    }
    let mut text = String::new();
    std::io::stdin().lock().take(65_536).read_to_string(&mut text)?;
    Ok(text)
}
