//! The one place that makes HTTP clients: with timeouts, a body cap, and no plain http to strangers.

use std::time::Duration;

/// What it means when no client can be made: there is nobody whose word for a certificate could be taken.
pub const NO_AUTHORITIES: &str = "TLS cannot be set up: this machine has no certificates of authorities; install the package `ca-certificates`";

/// Picks the TLS implementation for the whole process; calling it again is harmless.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client whose every request ends within `timeout`, connecting included.
///
/// # Errors
/// When the system's certificates cannot be read.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place where clients are made"
)]
pub fn client(timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    install_tls();
    reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout.min(Duration::from_secs(10)))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("brani-sync/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Plain http is for loopback only: anything else would show tokens and customers to the network.
///
/// # Errors
/// One sentence for the person who wrote the URL.
pub fn refuse_plain(url: &url::Url) -> Result<(), String> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        "http" => Err(
            "plain http would show secrets to the network; use https (http is allowed to this machine only)"
                .into(),
        ),
        other => Err(format!("`{other}://` is not supported; use https")),
    }
}

/// Whether a URL's host is this machine.
pub fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Reads a body up to `limit` bytes.
///
/// # Errors
/// `Ok(None)` when it is longer; the request's error when it breaks off.
pub async fn body(mut response: reqwest::Response, limit: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// A client for long downloads: no bound on the whole, but none on silence either way past `stall`. It asks for
/// no encoding and unpacks nothing, so that a body's length can be compared with what was announced.
///
/// # Errors
/// When the system's certificates cannot be read.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place where clients are made"
)]
pub fn download_client(stall: Duration) -> Result<reqwest::Client, reqwest::Error> {
    install_tls();
    reqwest::Client::builder()
        .read_timeout(stall)
        .connect_timeout(stall.min(Duration::from_secs(10)))
        .redirect(reqwest::redirect::Policy::none())
        .no_gzip()
        .user_agent(concat!("brani-sync/", env!("CARGO_PKG_VERSION")))
        .build()
}
