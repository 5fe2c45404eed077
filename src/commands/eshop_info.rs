//! `eshop-info …`: what Brani knows of the e-shop, and what we would tell.

use super::{Failure, Shell, block_on};
use crate::assemble;
use crate::brani::Service;
use crate::cli;
use crate::clock::SystemClock;
use crate::eshop_info::{self, merge};
use crate::ledger::cursors::{self, name};
use crate::mapping::dictionaries::Dictionaries;
use std::sync::Arc;

pub(super) fn eshop_info(shell: &Shell, command: cli::EshopInfo) -> Result<u8, Failure> {
    let loaded = shell.load_with_secrets()?;
    let clock = Arc::new(SystemClock);
    let client = assemble::client(&loaded, clock.clone())?;
    if let cli::EshopInfo::Show = command {
        let answer = block_on(async { Ok(client.eshop_info().await?) })?;
        shell.out.json(&answer);
        return Ok(0);
    }
    let source = assemble::source(&loaded, clock)?;
    let (have, lists) = block_on(async { Ok((client.eshop_info().await?, source.lists().await?)) })?;
    let want = Dictionaries::build(&loaded.config.eshop_info, &lists).info();
    let post = merge(have.data.as_ref(), &want, loaded.config.eshop_info.mode);
    match command {
        cli::EshopInfo::Show => {}
        cli::EshopInfo::Diff => {
            let lines = eshop_info::drift(&have.data.unwrap_or_default(), &want);
            if shell.out.json {
                shell
                    .out
                    .json(&serde_json::json!({"post_needed": post.is_some(), "lines": lines}));
            } else {
                for line in &lines {
                    shell.out.line(&line.to_string());
                }
                let end = if post.is_some() {
                    "a post is needed"
                } else {
                    "nothing to post"
                };
                shell.out.line(end);
            }
        }
        cli::EshopInfo::Push => {
            let Some(post) = post else {
                shell.out.done(
                    "nothing to post: Brani knows all of it",
                    &serde_json::json!({"posted": false}),
                );
                return Ok(0);
            };
            block_on(async { Ok(client.post_eshop_info(&post).await?) })?;
            if let Ok(ledger) = shell.ledger_beside(&loaded) {
                block_on(async {
                    Ok(ledger
                        .write(|connection| cursors::unset(connection, name::UNDONE))
                        .await?)
                })?;
            }
            shell.out.done("posted", &serde_json::json!({"posted": true}));
        }
    }
    Ok(0)
}
