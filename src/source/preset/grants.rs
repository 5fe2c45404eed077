//! The database users that a preset needs, as statements for the administrator.
//!
//! Text only: nothing is executed here.

use super::{Preset, PresetProblem, checked_prefix};
use crate::config::SourceKind;
use std::fmt::Write;
use std::path::Path;

/// `CREATE USER` and `GRANT` statements for a preset: one user that may only read, and one that may also write what
/// write-back writes.
///
/// # Errors
/// The preset is unknown or reads no database, or a name cannot stand in a statement.
pub fn grants(name: &str, prefix: Option<&str>, database: &str, user: &str) -> Result<String, PresetProblem> {
    let preset = super::load(name, Path::new("."))?;
    let own = preset.brings.shop.source.table_prefix.clone().unwrap_or_default();
    let prefix = prefix.unwrap_or(&own);
    checked_prefix(prefix)?;
    for (what, value) in [("database", database), ("user", user)] {
        if value.is_empty() || value.len() > 64 || value.chars().any(|c| c.is_control()) {
            return Err(PresetProblem::new(
                what,
                format!("`{}` is not a name", value.escape_debug()),
            ));
        }
    }
    match preset.head.kind {
        SourceKind::Mysql => Ok(mysql(&preset, prefix, database, user)),
        SourceKind::Postgres => Ok(postgres(&preset, prefix, database, user)),
        _ => Err(PresetProblem::new(
            name,
            format!("the preset `{name}` reads no database server, so it needs no user"),
        )),
    }
}

fn mysql(preset: &Preset, prefix: &str, database: &str, user: &str) -> String {
    let name = |text: &str| format!("`{}`", text.replace('`', "``"));
    let account = |user: &str| format!("'{}'@'localhost'", user.replace('\\', "\\\\").replace('\'', "''"));
    let reader = account(user);
    let mut out = format!(
        "-- Reading. Put the host brani-sync connects from in the place of localhost (127.0.0.1 where the server looks\n\
         -- up no names), and a password of your own.\n\
         CREATE USER {reader} IDENTIFIED BY 'CHANGE-ME';\n"
    );
    let database = name(database);
    let tables = |out: &mut String, account: &str| {
        for table in &preset.head.reads {
            let _ = writeln!(
                out,
                "GRANT SELECT ON {database}.{} TO {account};",
                name(&format!("{prefix}{table}"))
            );
        }
        if !preset.head.reads_if_there.is_empty() {
            out.push_str(
                "-- Only tables that your shop has (a missing one is refused; leave its line out):\n",
            );
        }
        for table in &preset.head.reads_if_there {
            let _ = writeln!(
                out,
                "GRANT SELECT ON {database}.{} TO {account};",
                name(&format!("{prefix}{table}"))
            );
        }
    };
    tables(&mut out, &reader);
    if !preset.head.writes.is_empty() {
        let writer = account(&format!("{user}-write"));
        let _ = write!(
            out,
            "\n-- Write-back: `writeback.url` and `writeback.password` (or give these rights to the user above).\n\
             CREATE USER {writer} IDENTIFIED BY 'CHANGE-ME-TOO';\n"
        );
        tables(&mut out, &writer);
        out.push_str("-- Writing (a table that your shop does not have: leave its line out):\n");
        for (table, rights) in &preset.head.writes {
            let _ = writeln!(
                out,
                "GRANT {rights} ON {database}.{} TO {writer};",
                name(&format!("{prefix}{table}"))
            );
        }
        let _ = writeln!(
            out,
            "-- The order is locked while it is written (SELECT … FOR UPDATE):\nGRANT LOCK TABLES ON {database}.* TO {writer};"
        );
    }
    out
}

fn postgres(preset: &Preset, prefix: &str, database: &str, user: &str) -> String {
    let name = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut out = format!(
        "-- Reading. Put a password of your own.\nCREATE ROLE {0} LOGIN PASSWORD 'CHANGE-ME';\nGRANT CONNECT ON DATABASE {1} TO {0};\n",
        name(user),
        name(database)
    );
    let tables = |out: &mut String, role: &str| {
        for table in preset.head.reads.iter().chain(&preset.head.reads_if_there) {
            let _ = writeln!(
                out,
                "GRANT SELECT ON {} TO {};",
                name(&format!("{prefix}{table}")),
                name(role)
            );
        }
    };
    tables(&mut out, user);
    if !preset.head.writes.is_empty() {
        let writer = format!("{user}-write");
        let _ = write!(
            out,
            "\n-- Write-back.\nCREATE ROLE {0} LOGIN PASSWORD 'CHANGE-ME-TOO';\nGRANT CONNECT ON DATABASE {1} TO {0};\n",
            name(&writer),
            name(database)
        );
        tables(&mut out, &writer);
        for (table, rights) in &preset.head.writes {
            let _ = writeln!(
                out,
                "GRANT {rights} ON {} TO {};",
                name(&format!("{prefix}{table}")),
                name(&writer)
            );
        }
    }
    out
}
