//! A door of our own: a TCP port or a unix socket that serves a router and lets nobody hold it up.
//!
//! Each connection carries one request and has an end in time, and there are only so many at once (more wait in the
//! kernel's queue). Which addresses are wise, and what is served, is decided elsewhere.

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Who may open a socket of ours: its owner and its group (the web server's).
const SOCKET_MODE: u32 = 0o660;
/// How long open connections may go on when the daemon stops.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// A request's head is no larger.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How much one visitor may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Until the request's head is in.
    pub head: Duration,
    /// For the whole connection.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: Duration::from_secs(5),
            whole: Duration::from_secs(10),
        }
    }
}

/// A door that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The setting is no address.
    #[error(
        "`{0}` is not an address to listen on; write \"127.0.0.1:8787\" or \"unix:/run/brani-sync/NAME.sock\""
    )]
    Address(String),
    /// Somebody is there already.
    #[error("listen on `{listen}`: another process listens there; stop it or choose another address")]
    InUse {
        /// The setting.
        listen: String,
    },
    /// The path of the socket is something else.
    #[error("listen on `{listen}`: there is something else than a socket at that path; move it away")]
    NotASocket {
        /// The setting.
        listen: String,
    },
    /// The system refuses.
    #[error("listen on `{listen}`: {source}")]
    Refused {
        /// The setting.
        listen: String,
        /// Its reason.
        source: std::io::Error,
    },
}

impl ListenError {
    /// The address is none of this machine's yet: it may be in a moment, when the network is up.
    pub fn may_come(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.kind() == std::io::ErrorKind::AddrNotAvailable)
    }
}

/// An open door.
#[derive(Debug)]
pub struct Listener {
    inner: Inner,
    /// Taken away with the listener.
    _socket: Option<Socket>,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A socket's path, removed when we go.
#[derive(Debug)]
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Opens `host:port` or `unix:/path`; a socket that nobody answers on any more is replaced.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn bind(listen: &str) -> Result<Self, ListenError> {
        let refused = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AddrInUse => ListenError::InUse {
                listen: listen.to_owned(),
            },
            _ => ListenError::Refused {
                listen: listen.to_owned(),
                source,
            },
        };
        let (inner, socket) = if let Some(path) = listen.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(ListenError::Address(listen.to_owned()));
            }
            let path = Path::new(path);
            remove_stale(listen, path).await?;
            let listener = UnixListener::bind(path).map_err(refused)?;
            let socket = Socket(path.to_owned());
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE)).map_err(refused)?;
            (Inner::Unix(listener), Some(socket))
        } else {
            let is_address = listen
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !is_address {
                return Err(ListenError::Address(listen.to_owned()));
            }
            (
                Inner::Tcp(TcpListener::bind(listen).await.map_err(refused)?),
                None,
            )
        };
        Ok(Self {
            inner,
            _socket: socket,
        })
    }

    /// The port that was opened; none for a socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.inner {
            Inner::Tcp(listener) => listener.local_addr().ok(),
            Inner::Unix(_) => None,
        }
    }

    /// Serves until `stop`, then lets the requests in hand end.
    pub async fn serve(self, router: axum::Router, limits: Limits, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(limits.connections));
        let mut open = JoinSet::new();
        while let Some(visitor) = self.visitor(&places, &mut open, &stop).await {
            let (stream, place) = visitor;
            let (router, stop) = (router.clone(), stop.clone());
            open.spawn(async move {
                converse(stream, router, limits, stop).await;
                drop(place);
            });
        }
        // The door closes before the last visitors leave.
        drop(self);
        let _ = tokio::time::timeout(STOP_GRACE, async { while open.join_next().await.is_some() {} }).await;
    }

    /// The next one who comes in, when there is a place; none when it is time to stop.
    async fn visitor(
        &self,
        places: &Arc<Semaphore>,
        open: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Option<(Box<dyn Stream>, tokio::sync::OwnedSemaphorePermit)> {
        loop {
            let place = tokio::select! {
                () = stop.cancelled() => return None,
                place = Arc::clone(places).acquire_owned() => place.ok()?,
            };
            while open.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = stop.cancelled() => return None,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok(stream) => return Some((stream, place)),
                Err(error) => {
                    // Out of file descriptors, mostly: trying again at once would only burn the processor.
                    tracing::warn!(event = "listen.accept", %error, "A connection could not be taken in");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn accept(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match &self.inner {
            Inner::Tcp(listener) => Box::new(listener.accept().await?.0),
            Inner::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn converse(stream: Box<dyn Stream>, router: axum::Router, limits: Limits, stop: CancellationToken) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let talk = async {
        tokio::select! {
            end = connection.as_mut() => end,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    match tokio::time::timeout(limits.whole, talk).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(event = "listen.broken", %error, "A connection broke off"),
        Err(_) => tracing::debug!(event = "listen.slow", "A connection took too long and was cut"),
    }
}

async fn remove_stale(listen: &str, path: &Path) -> Result<(), ListenError> {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(ListenError::NotASocket {
            listen: listen.to_owned(),
        });
    }
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return Err(ListenError::InUse {
            listen: listen.to_owned(),
        });
    }
    std::fs::remove_file(path).map_err(|source| ListenError::Refused {
        listen: listen.to_owned(),
        source,
    })
}
