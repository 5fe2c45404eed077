//! `presets …`: what is in the binary for common shop systems.

use super::{Failure, Shell};
use crate::cli;
use crate::source::preset;

pub(super) fn presets(shell: &Shell, command: cli::Presets) -> Result<u8, Failure> {
    let unknown = |problem: preset::PresetProblem| Failure::new(1, problem.to_string());
    match command {
        cli::Presets::List => {
            let presets = preset::presets();
            if shell.out.json {
                shell.out.json(&presets);
            } else {
                let rows = presets
                    .into_iter()
                    .map(|preset| vec![preset.name, preset.kind, preset.description])
                    .collect();
                shell.out.table(&["name", "kind", "description"], rows);
            }
        }
        cli::Presets::Show { preset } => {
            let text = preset::show(&preset).map_err(unknown)?;
            shell.out.done(
                text.trim_end(),
                &serde_json::json!({"preset": preset, "text": text}),
            );
        }
        cli::Presets::Grants {
            preset,
            prefix,
            database,
            user,
        } => {
            let text = preset::grants(&preset, prefix.as_deref(), &database, &user).map_err(unknown)?;
            shell.out.done(
                text.trim_end(),
                &serde_json::json!({"preset": preset, "sql": text}),
            );
        }
    }
    Ok(0)
}
