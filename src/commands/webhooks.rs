//! `webhooks …`: registrations at Brani.

use super::{Failure, Shell, block_on};
use crate::assemble;
use crate::brani::Service;
use crate::cli;
use crate::clock::SystemClock;
use crate::context::Rules;
use crate::inbound::register::{self, Step};
use crate::types::WebhookId;
use std::sync::Arc;

pub(super) fn webhooks(shell: &Shell, command: cli::Webhooks) -> Result<u8, Failure> {
    let loaded = shell.load_with_secrets()?;
    let client = assemble::client(&loaded, Arc::new(SystemClock))?;
    let wanted = assemble::wanted(&loaded, &Rules::from_config(&loaded.config))?;
    let have = block_on(async { Ok(client.webhooks().await?) })?;
    match command {
        cli::Webhooks::List => {
            if shell.out.json {
                let rows: Vec<_> = have
                    .iter()
                    .map(|webhook| {
                        serde_json::json!({
                            "id": webhook.id, "event_type": webhook.event_type,
                            "url": register::shown(&webhook.webhook_url), "ours": wanted.is_ours(webhook),
                        })
                    })
                    .collect();
                shell.out.json(&rows);
            } else {
                let rows = have
                    .iter()
                    .map(|webhook| {
                        let whose = if wanted.is_ours(webhook) {
                            "ours"
                        } else {
                            "another program's"
                        };
                        vec![
                            webhook.id.to_string(),
                            webhook.event_type.clone(),
                            register::shown(&webhook.webhook_url),
                            whose.to_owned(),
                        ]
                    })
                    .collect();
                shell.out.table(&["id", "type", "url", "whose"], rows);
            }
        }
        cli::Webhooks::Sync => {
            let steps = register::plan(&have, &wanted);
            let done = block_on(async { Ok(register::carry_out(&client, &steps, &wanted).await?) })?;
            let doubles = steps
                .iter()
                .filter(|step| matches!(step, Step::Remove(..)))
                .count();
            shell.out.done(
                &format!("{done} registrations created or moved"),
                &serde_json::json!({"created_or_moved": done, "doubles": doubles}),
            );
            if doubles > 0 && !shell.out.json {
                shell.out.line(&format!(
                    "{doubles} doubles of ours are removed by the daemon after their last drain"
                ));
            }
        }
        cli::Webhooks::Adopt { id } => {
            let webhook = have.iter().find(|webhook| webhook.id.0 == id).ok_or_else(|| {
                Failure::new(1, format!("Brani has no webhook {id}")).hint("see `brani-sync webhooks list`")
            })?;
            let url = wanted.url(&webhook.event_type);
            block_on(async { Ok(client.move_webhook(WebhookId(id), &url).await?) })?;
            shell.out.done(
                &format!("webhook {id} for `{}` is ours now", webhook.event_type),
                &serde_json::json!({"adopted": id, "event_type": webhook.event_type}),
            );
        }
        cli::Webhooks::Remove { id } => {
            block_on(async { Ok(client.remove_webhook(WebhookId(id)).await?) })?;
            shell.out.done(
                &format!("webhook {id} is removed"),
                &serde_json::json!({"removed": id}),
            );
        }
    }
    Ok(0)
}
