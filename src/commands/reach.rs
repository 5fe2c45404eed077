//! Why an address of the web cannot be reached from this machine: the proxy, the name, the connection, the certificate,
//! in the order in which a request meets them, each with what to do.
//!
//! It must not know what is asked there, and it sends no secret: it only knocks.

use super::unit;
use crate::config::Loaded;
use crate::source::Finding;
use hyper_util::client::proxy::matcher::Matcher;
use std::time::Duration;
use url::Url;

/// What names the proxy, in the order in which it counts.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// One step of the way may take this long.
const STEP_MAX: Duration = Duration::from_secs(10);

/// What stands in the way, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub text: String,
    pub hint: String,
}

/// The first step on the way to an address that cannot be taken; `None` where an answer comes back, whatever it says.
pub(super) async fn obstacle(url: &Url) -> Option<Obstacle> {
    let proxy = proxy_to(url);
    let towards = proxy.as_ref().unwrap_or(url);
    let (host, port) = (towards.host_str()?, towards.port_or_known_default()?);
    let name = host.trim_matches(['[', ']']);
    let who = match proxy {
        Some(_) => format!("the proxy `{host}:{port}`"),
        None => format!("`{host}:{port}`"),
    };
    let found = within(tokio::net::lookup_host((name, port))).await;
    let addresses: Vec<std::net::SocketAddr> = match found {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Some(Obstacle {
                text: format!("{who}: this machine does not find the name: {error}"),
                hint: format!(
                    "`getent hosts {name}` must answer: mend the address, or this machine's DNS (/etc/resolv.conf){}",
                    if proxy.is_none() {
                        "; where a proxy alone gets out, name it in HTTPS_PROXY (docs/proxy.md)"
                    } else {
                        ""
                    }
                ),
            });
        }
    };
    if let Err(error) = within(tokio::net::TcpStream::connect(&addresses[..])).await {
        return Some(Obstacle {
            text: format!("{who}: no connection: {error}"),
            hint: if proxy.is_some() {
                "mend the address in HTTPS_PROXY, or start the proxy".into()
            } else {
                format!(
                    "let outgoing TCP to port {port} through the firewall; where a proxy alone gets out, name it in HTTPS_PROXY (docs/proxy.md)"
                )
            },
        });
    }
    let client = crate::http::client(STEP_MAX).ok()?;
    let mut knock = url.clone();
    knock.set_path("/");
    let error = client.get(knock).send().await.err()?;
    match tls(&error) {
        Some(tls) => Some(Obstacle {
            text: format!("`{}`: {tls}", url.host_str().unwrap_or_default()),
            hint: tls_hint(tls).into(),
        }),
        None if proxy.is_some() && error.is_connect() => Some(Obstacle {
            text: format!("{who} does not let us through to `{}`", url.host_str().unwrap_or_default()),
            hint: "allow it there; a proxy that wants a user is named as HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
                .into(),
        }),
        None => None,
    }
}

async fn within<T>(step: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    tokio::time::timeout(STEP_MAX, step).await.unwrap_or_else(|_| {
        Err(std::io::Error::other(format!(
            "no answer in {} s",
            STEP_MAX.as_secs()
        )))
    })
}

/// What TLS complained of, wherever in the error it is.
fn tls<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let wrapped = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(tls) = wrapped.and_then(|inner| tls(inner)) {
            return Some(tls);
        }
        cause = error.source();
    }
    None
}

fn tls_hint(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Certificate;
    match error {
        rustls::Error::InvalidCertificate(
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. },
        ) => "set this machine's clock (`timedatectl`); where it is right, the certificate has to be renewed",
        rustls::Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => "the certificate is another name's: mend the address",
        rustls::Error::InvalidCertificate(_) => {
            "install `ca-certificates`; where a proxy of this network opens TLS, put its certificate into /usr/local/share/ca-certificates and run `update-ca-certificates`"
        }
        _ => "what answers there does not speak TLS as it should: mend the address or the port",
    }
}

/// The proxy that a request to this address takes, as the environment says.
fn proxy_to(url: &Url) -> Option<Url> {
    let uri: hyper::Uri = url.as_str().parse().ok()?;
    let proxy = Matcher::from_env().intercept(&uri)?;
    Url::parse(&proxy.uri().to_string()).ok()
}

/// An address as it may be shown: without user and password.
fn shown(address: &str) -> String {
    match Url::parse(address) {
        Ok(mut url) if url.has_host() => {
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.as_str().trim_end_matches('/').to_owned()
        }
        // Without `http://` the user's name looks like one.
        _ => address.rsplit('@').next().unwrap_or_default().to_owned(),
    }
}

/// The proxy of this command and that of the daemon, which has an environment of its own.
pub(super) fn proxies(loaded: &Loaded) -> Vec<Finding> {
    let here = VARIABLES
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let finding = |ok, text, hint| vec![Finding { ok, text, hint }];
    match (here, unit::variable(loaded, &VARIABLES)) {
        (Some(here), Some((unit, None))) => finding(
            None,
            format!(
                "this check goes by the proxy {}; the unit `{unit}` names none, so the daemon goes without",
                shown(&here)
            ),
            Some(unit::edit(
                &unit,
                &format!("Environment=HTTPS_PROXY={}", shown(&here)),
                "proxy.conf",
            )),
        ),
        (None, Some((unit, Some(there)))) => finding(
            None,
            format!(
                "the unit `{unit}` goes by the proxy {}; this check goes without",
                shown(&there)
            ),
            Some(format!(
                "to check what the daemon meets: HTTPS_PROXY={} brani-sync check",
                shown(&there)
            )),
        ),
        (Some(here), _) => finding(
            Some(true),
            format!("requests go by the proxy {}", shown(&here)),
            None,
        ),
        (None, _) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{shown, tls, tls_hint};

    #[test]
    fn a_complaint_of_tls_is_found_wherever_it_is_and_says_what_to_do() {
        use rustls::{CertificateError, Error};
        for (complaint, word) in [
            (CertificateError::Expired, "clock"),
            (CertificateError::UnknownIssuer, "ca-certificates"),
            (CertificateError::NotValidForName, "address"),
        ] {
            let inner = std::io::Error::other(Error::InvalidCertificate(complaint));
            let outer = std::io::Error::other(inner);
            let found = tls(&outer).expect("it is there");
            assert!(tls_hint(found).contains(word), "{found}");
        }
        assert_eq!(tls(&std::io::Error::other("something else")), None);
    }

    #[test]
    fn a_proxy_is_shown_without_its_password() {
        assert_eq!(
            shown("http://petr:tajne@proxy.example.cz:3128"),
            "http://proxy.example.cz:3128"
        );
        assert_eq!(shown("petr:tajne@proxy.example.cz:3128"), "proxy.example.cz:3128");
    }
}
