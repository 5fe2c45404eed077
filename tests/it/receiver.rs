//! Pushes, honest and hostile.

use brani_sync::config::secret::Secret;
use brani_sync::inbound::receiver::Receiver;
use brani_sync::listen::Limits;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

const LIMITS: Limits = Limits {
    connections: 4,
    head: Duration::from_millis(300),
    whole: Duration::from_secs(2),
};

async fn open() -> (SocketAddr, UnboundedReceiver<String>, CancellationToken) {
    let receiver = Receiver::bind("127.0.0.1:0").await.unwrap().with_limits(LIMITS);
    let address = receiver.local_addr().unwrap();
    let (sender, rings) = unbounded_channel();
    let stop = CancellationToken::new();
    let serving = receiver.serve(
        Secret::new("s3/cret"),
        vec!["status_change".into()],
        move |event| drop(sender.send(event.to_owned())),
        stop.clone(),
    );
    tokio::spawn(serving);
    (address, rings, stop)
}

async fn say(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_string(&mut answer)).await;
    read.expect("the door answers or closes").unwrap();
    answer
}

async fn post(address: SocketAddr, path: &str) -> String {
    say(
        address,
        &format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}"),
    )
    .await
}

#[tokio::test]
async fn push_with_the_secret_rings_whatever_the_prefix() {
    let (address, mut rings, _stop) = open().await;
    for path in [
        "/status_change/s3%2Fcret",
        "/a/b/status_change/s3%2Fcret",
        "/status_change/s3%2fcret/?x=1",
    ] {
        assert!(post(address, path).await.starts_with("HTTP/1.1 200"), "{path}");
        assert_eq!(rings.try_recv().unwrap(), "status_change");
    }
}

#[tokio::test]
async fn wrong_secret_and_unknown_event_look_the_same_and_ring_nothing() {
    let (address, mut rings, _stop) = open().await;
    let without_date = |answer: String| -> Vec<String> {
        answer
            .lines()
            .filter(|l| !l.starts_with("date"))
            .map(str::to_owned)
            .collect()
    };
    let secret = without_date(post(address, "/status_change/wrong").await);
    let event = without_date(post(address, "/other/s3%2Fcret").await);
    assert!(secret[0].starts_with("HTTP/1.1 404"), "{secret:?}");
    assert_eq!(secret, event);
    assert!(post(address, "/").await.starts_with("HTTP/1.1 404"));
    let get = say(
        address,
        "GET /status_change/s3%2Fcret HTTP/1.1\r\nhost: x\r\n\r\n",
    )
    .await;
    assert!(get.starts_with("HTTP/1.1 405"), "{get}");
    assert!(rings.try_recv().is_err());
}

#[tokio::test]
async fn slow_clients_are_cut_and_do_not_keep_others_out() {
    let (address, mut rings, _stop) = open().await;
    let mut slow = Vec::new();
    for _ in 0..LIMITS.connections * 2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST /status_ch").await.unwrap();
        slow.push(stream);
    }
    assert!(
        post(address, "/status_change/s3%2Fcret")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert_eq!(rings.try_recv().unwrap(), "status_change");
}

#[tokio::test]
async fn ten_megabytes_ring_once_and_the_door_stays_open() {
    let (address, mut rings, _stop) = open().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"POST /status_change/s3%2Fcret HTTP/1.1\r\nhost: x\r\ncontent-length: 10485760\r\n\r\n")
        .await
        .unwrap();
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < 10 * 1024 * 1024 && stream.write_all(&chunk).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 10 * 1024 * 1024, "all of it was taken");
    assert_eq!(rings.recv().await.unwrap(), "status_change");
    assert!(rings.try_recv().is_err());
    assert!(
        post(address, "/status_change/s3%2Fcret")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn unix_socket_is_the_groups_replaces_a_stale_one_and_goes_with_us() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("door.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listen = format!("unix:{}", path.display());
    let receiver = Receiver::bind(&listen).await.unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );
    assert!(
        Receiver::bind(&listen)
            .await
            .unwrap_err()
            .to_string()
            .contains("another process")
    );
    drop(receiver);
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    assert!(Receiver::bind(&listen).await.is_err());
    assert!(path.exists());
}
