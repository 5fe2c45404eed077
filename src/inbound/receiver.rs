//! The doorbell: takes Brani's pushes, believes nothing in them, and rings.
//!
//! A push's body is undocumented and its sender unproven, so it is thrown away unread; what happened is read from
//! the events listing. The secret and the path that holds it never reach the log.

use crate::config::secret::Secret;
use crate::listen::{Limits, ListenError, Listener};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use subtle::{Choice, ConstantTimeEq};
use tokio_util::sync::CancellationToken;

/// So much of a body is swallowed, so that its sender hears the answer; on a longer one the door is shut.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long swallowing may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);

/// Why there is no receiver.
#[derive(Debug, thiserror::Error)]
#[error("`webhooks.listen`: {0}")]
pub struct ReceiverError(#[from] pub ListenError);

/// An open door for pushes.
#[derive(Debug)]
pub struct Receiver {
    listener: Listener,
    limits: Limits,
}

impl Receiver {
    /// Opens `host:port` or `unix:/path`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn bind(listen: &str) -> Result<Self, ReceiverError> {
        Ok(Self {
            listener: Listener::bind(listen).await?,
            limits: Limits::default(),
        })
    }

    /// Other limits than the default ones.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The port that was opened; none for a socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr()
    }

    /// Calls `on_push` with the event type of every push to `…/{event}/{secret}`, until `stop`. `on_push` must not
    /// wait: it rings.
    pub async fn serve(
        self,
        secret: Secret,
        events: Vec<String>,
        on_push: impl Fn(&str) + Send + Sync + 'static,
        stop: CancellationToken,
    ) {
        let door = Arc::new(Door {
            secret: digest(secret.expose().as_bytes()),
            events,
            on_push: Box::new(on_push),
            warned: AtomicBool::new(false),
        });
        let router = Router::new().fallback(answer).with_state(door);
        self.listener.serve(router, self.limits, stop).await;
    }
}

struct Door {
    secret: [u8; 32],
    events: Vec<String>,
    on_push: Box<dyn Fn(&str) + Send + Sync>,
    warned: AtomicBool,
}

impl Door {
    /// The event type that a path names, when its secret is right. It takes as long whichever of the two is wrong.
    fn known(&self, path: &str) -> Option<&str> {
        // A proxy may strip a prefix or keep it: the last two segments count.
        let mut segments = path.strip_suffix('/').unwrap_or(path).rsplit('/');
        let secret = percent_decode(segments.next().unwrap_or_default());
        let event = percent_decode(segments.next().unwrap_or_default());
        let mut found = None;
        for known in &self.events {
            if known.as_bytes() == event {
                found = Some(known.as_str());
            }
        }
        // Digests are compared: equally long, and what a comparison could betray of them helps nobody.
        let right = digest(&secret).ct_eq(&self.secret) & Choice::from(u8::from(found.is_some()));
        found.filter(|_| bool::from(right))
    }
}

async fn answer(State(door): State<Arc<Door>>, request: Request) -> Response {
    if request.method() != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response();
    }
    let (parts, body) = request.into_parts();
    let known = door.known(parts.uri.path());
    // It rings before the body is looked at: a push cut off half-way is a push.
    match known {
        Some(event) => {
            tracing::debug!(
                event = "receiver.push",
                event_type = event,
                "Push of `{event}`: rang"
            );
            (door.on_push)(event);
        }
        None if !door.warned.swap(true, Ordering::Relaxed) => {
            tracing::warn!(
                event = "receiver.refused",
                "A push with a wrong secret or an unknown event type was refused; further ones are not logged. \
                 Where Brani's own pushes are refused, run `brani-sync webhooks sync`"
            );
        }
        None => {}
    }
    swallow(body).await;
    let json = [(header::CONTENT_TYPE, "application/json")];
    match known {
        Some(_) => (StatusCode::OK, json, "{}").into_response(),
        None => (StatusCode::NOT_FOUND, json, "{}").into_response(),
    }
}

/// Reads a body to nowhere. Closing on a sender who still talks would take our answer from him.
async fn swallow(body: Body) {
    let mut chunks = body.into_data_stream();
    let mut count = 0;
    let read = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            count += chunk.len();
            if count > BODY_BYTES_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(BODY_TIME_MAX, read).await;
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A secret may hold characters that stand encoded in a URL.
fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let decoded = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|pair| {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
            });
        match decoded {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::percent_decode;

    #[test]
    fn percent_signs_that_encode_nothing_stay() {
        assert_eq!(percent_decode("a%2Fb%zz%2"), b"a/b%zz%2");
        assert_eq!(percent_decode("%+1"), b"%+1");
    }
}
