//! How MySQL 8 and 9 refuse whom they do not let in: scripted servers that say what those say, because the servers of
//! the tests may be MariaDB's, which refuse with other words and have no certificate.

use crate::support::read;
use brani_sync::config::secret::Secret;
use brani_sync::config::{Cursor, Queries, Times, Tls};
use brani_sync::database::Target;
use brani_sync::database::parameters::Dialect;
use brani_sync::source::SourceError;
use brani_sync::source::sql::{SqlSettings, SqlSource};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// What the server says to whoever wants in.
#[derive(Clone)]
enum Answer {
    /// Another plugin, please.
    Plugin(&'static str),
    /// An error by its number.
    Error(u16, &'static str),
}

/// A server with an answer, and a certificate where it offers encryption; its port.
fn serve(answer: Answer, tls: Option<Arc<ServerConfig>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away ends its own connection only.
            let _ = refuse(stream, &answer, tls.clone());
        }
    });
    port
}

fn refuse(mut stream: TcpStream, answer: &Answer, tls: Option<Arc<ServerConfig>>) -> Result<()> {
    const PLUGIN_AUTH: u32 = 0x8_0000;
    const SECURE_CONNECTION: u32 = 0x8000;
    const SSL: u32 = 0x800;
    const PROTOCOL_41: u32 = 0x200;
    const USUAL: u32 = 0x1 | 0x2 | 0x8 | 0x2000;
    let offered = USUAL | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | if tls.is_some() { SSL } else { 0 };
    let [one, two, three, four] = offered.to_le_bytes();
    let mut greeting = vec![10];
    greeting.extend(b"8.0.45\0\x08\0\0\0saltsalt\0");
    greeting.extend([one, two, 255, 2, 0, three, four, 21]);
    greeting.extend([0; 10]);
    greeting.extend(b"saltsaltsalt\0caching_sha2_password\0");
    write(&mut stream, 0, &greeting)?;
    let (number, wish) = next(&mut stream)?;
    match tls {
        // A short one asks for encryption first.
        Some(tls) if wish.len() == 32 => {
            let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
            let mut stream = StreamOwned::new(connection, stream);
            let (number, _) = next(&mut stream)?;
            say(&mut stream, number + 1, answer)
        }
        _ => say(&mut stream, number + 1, answer),
    }
}

fn say(stream: &mut (impl Read + Write), number: u8, answer: &Answer) -> Result<()> {
    let payload = match answer {
        Answer::Plugin(name) => [b"\xfe", name.as_bytes(), b"\0saltsaltsaltsaltsalt\0"].concat(),
        Answer::Error(code, text) => [b"\xff", &code.to_le_bytes()[..], b"#HY000", text.as_bytes()].concat(),
    };
    write(stream, number, &payload)?;
    // Until the other side has read it and goes.
    next(stream).map(drop)
}

fn write(stream: &mut impl Write, number: u8, payload: &[u8]) -> Result<()> {
    let [one, two, three, _] = u32::try_from(payload.len()).expect("it is short").to_le_bytes();
    stream.write_all(&[&[one, two, three, number], payload].concat())?;
    stream.flush()
}

fn next(stream: &mut impl Read) -> Result<(u8, Vec<u8>)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let mut payload = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
    stream.read_exact(&mut payload)?;
    Ok((head[3], payload))
}

/// What a read says: the setting, the message, the hint.
async fn told(port: u16, tls: Option<Tls>, tls_ca: Option<PathBuf>) -> (String, String, String) {
    let source = SqlSource::new(SqlSettings {
        target: Target {
            dialect: Dialect::Mysql,
            url: Secret::new(format!("mysql://sync@127.0.0.1:{port}/shop")),
            password: Some(Secret::new("tajne-heslo")),
            tls,
            tls_ca,
            socket: None,
        },
        timezone: jiff::tz::TimeZone::UTC,
        times: Times::Local,
        cursor: Cursor::Auto,
        batch: 500,
        orders: "SELECT 1".into(),
        items: "SELECT 1".into(),
        lookup: None,
        extra: None,
        lists: Queries::default(),
        detect: None,
    });
    match read(&source, None).await {
        Err(SourceError::Query {
            query,
            message,
            hint: Some(hint),
        }) => {
            assert!(message.contains(&format!("127.0.0.1:{port}")), "{message}");
            assert!(!message.contains("tajne-heslo"), "{message}");
            (query, message, hint)
        }
        other => panic!("{other:?}"),
    }
}

/// A certificate for a server, made as the page on troubleshooting says, with this machine's name or without any; and
/// the authority that signed it.
fn certificate(folder: &Path, named: bool) -> (Arc<ServerConfig>, PathBuf) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let recipe = page
        .split("```sh\n")
        .find(|block| block.starts_with("openssl req"))
        .and_then(|block| block.split("```").next())
        .expect("the page tells how");
    let (names, wanted) = (
        "subjectAltName=DNS:db.example.cz,IP:192.0.2.7\\n",
        "IP:127.0.0.1\\n",
    );
    assert!(recipe.contains(names), "{recipe}");
    let wanted = match named {
        true => format!("subjectAltName=DNS:db.example.cz,{wanted}"),
        false => String::new(),
    };
    let output = Command::new("sh")
        .args(["-ec", &recipe.replace(names, &wanted)])
        .current_dir(folder)
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "this test makes a certificate (apt-get install openssl): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let certificate = CertificateDer::from_pem_file(folder.join("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the usual versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("key and certificate fit");
    (Arc::new(config), folder.join("ca.pem"))
}

#[tokio::test]
async fn a_plugin_that_is_not_known_here_is_a_matter_of_the_user() {
    // So MySQL also greets every third or so of the users that it does not have.
    let port = serve(Answer::Plugin("sha256_password"), None);
    let (setting, message, hint) = told(port, None, None).await;
    assert_eq!(setting, "shop.source.url");
    assert!(
        message.contains("`sha256_password`") && message.contains("user that it does not have"),
        "{message}"
    );
    assert!(
        hint.contains("the user") && hint.contains("`shop.source.tls`"),
        "{hint}"
    );
}

#[tokio::test]
async fn a_plugin_that_the_server_has_not_loaded_is_a_matter_of_the_user() {
    let port = serve(
        Answer::Error(1524, "Plugin 'mysql_native_password' is not loaded"),
        None,
    );
    let (setting, message, _) = told(port, None, None).await;
    assert_eq!(setting, "shop.source.url");
    assert!(message.contains("'mysql_native_password'"), "{message}");
}

#[tokio::test]
async fn a_server_that_takes_no_one_without_encryption_is_a_matter_of_tls() {
    let words = "Connections using insecure transport are prohibited while --require_secure_transport=ON.";
    let port = serve(Answer::Error(3159, words), None);
    let (setting, message, hint) = told(port, None, None).await;
    assert_eq!(setting, "shop.source.tls");
    assert!(message.contains(words), "{message}");
    assert!(hint.contains("`shop.source.tls`"), "{hint}");
}

#[tokio::test]
async fn a_certificate_of_no_trusted_authority_or_without_the_hosts_name_is_told_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, authority) = certificate(folder.path(), false);
    let port = serve(Answer::Error(1045, "Access denied"), Some(config));
    let (setting, message, hint) = told(port, Some(Tls::Verify), None).await;
    assert_eq!(setting, "shop.source.tls");
    assert!(message.contains("no authority that is trusted here"), "{message}");
    assert!(hint.contains("`shop.source.tls_ca`"), "{hint}");
    let (setting, message, _) = told(port, Some(Tls::Verify), Some(authority)).await;
    assert_eq!(setting, "shop.source.tls");
    assert!(message.contains("does not bear the host's name"), "{message}");
}

#[tokio::test]
async fn a_certificate_of_ones_own_authority_with_the_hosts_name_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, authority) = certificate(folder.path(), true);
    let port = serve(Answer::Error(1045, "Access denied"), Some(config));
    let (setting, message, _) = told(port, Some(Tls::Verify), Some(authority)).await;
    assert_eq!(setting, "shop.source.url");
    assert!(message.contains("Access denied"), "{message}");
}
