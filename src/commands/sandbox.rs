//! `sandbox`: a Brani on localhost, until Ctrl-C.

use super::{Failure, Shell, block_on};
use crate::sandbox::{Options, Sandbox};
use std::net::SocketAddr;

pub(super) fn sandbox(shell: &Shell, listen: SocketAddr, token: String) -> Result<u8, Failure> {
    if !listen.ip().is_loopback() {
        return Err(
            Failure::new(64, format!("`{listen}` is not this machine's loopback address"))
                .hint("the sandbox shows every order it got to anybody who asks; use 127.0.0.1"),
        );
    }
    block_on(async {
        let options = Options {
            token,
            ..Options::default()
        };
        let sandbox = Sandbox::start(listen, options).await.map_err(|error| {
            Failure::new(1, format!("listen on {listen}: {error}")).hint("choose another with --listen")
        })?;
        let url = sandbox.base_url();
        shell.out.done(
            &format!(
                "a Brani to try things on listens at {url}\nwhat it got and how to make it misbehave: {url}sandbox"
            ),
            &serde_json::json!({"base_url": url, "control": format!("{url}sandbox")}),
        );
        tokio::signal::ctrl_c().await?;
        sandbox.stop().await;
        Ok(0)
    })
}
