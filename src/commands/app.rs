//! `app …`: the packing application's own interface.

use super::{Failure, Shell, block_on};
use crate::assemble;
use crate::brani::Service;
use crate::cli;
use crate::clock::SystemClock;
use crate::types::OrderCode;
use std::io::Read;
use std::sync::Arc;

pub(super) fn app(shell: &Shell, command: cli::App) -> Result<u8, Failure> {
    let loaded = shell.load()?;
    let clock = Arc::new(SystemClock);
    let Some(client) = assemble::app(&loaded, clock.clone())? else {
        return Err(Failure::new(78, "there is no `[app]` section").hint(
            "add it with a user made for this purpose only: Brani's change log shows its name for what it does",
        ));
    };
    let failed = |error: crate::brani::app::AppError| Failure::new(1, error.to_string()).hint(error.hint());
    let answer = block_on(async {
        match command {
            cli::App::Get { path, query } => {
                let query = pairs(query)?;
                client.get(&path, &query).await.map_err(failed)
            }
            cli::App::Post { path, data } => client.post(&path, &body(&data)?).await.map_err(failed),
            cli::App::Settings => client.settings().await.map_err(failed),
            cli::App::Remark { code, text, eshop_id } => {
                let id = match eshop_id {
                    Some(id) => id,
                    None => {
                        let brani = assemble::client(&loaded, clock)?;
                        let summary = brani
                            .eshop_info()
                            .await?
                            .summary
                            .and_then(|summary| summary.eshop_id);
                        summary.ok_or_else(|| {
                            Failure::new(1, "Brani does not tell the e-shop's id")
                                .hint("give it with --eshop-id")
                        })?
                    }
                };
                client
                    .set_remark(id, &OrderCode(code), &text)
                    .await
                    .map_err(failed)?;
                Ok(serde_json::json!({"done": true}))
            }
        }
    })?;
    shell.out.json(&answer);
    Ok(0)
}

fn pairs(query: Vec<String>) -> Result<Vec<(String, String)>, Failure> {
    query
        .into_iter()
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(Failure::new(64, format!("`{pair}` is no NAME=VALUE"))),
        })
        .collect()
}

fn body(data: &str) -> Result<serde_json::Value, Failure> {
    let text = match data.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::new(1, format!("read `{path}`: {error}")))?,
        None if data == "-" => {
            let mut text = String::new();
            std::io::stdin().lock().take(16 << 20).read_to_string(&mut text)?;
            text
        }
        None => data.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| Failure::new(64, format!("the data is not JSON: {error}")))
}
