//! The handlers against a real server, real programs and a real file.

use brani_sync::config::{CommandHandler, HttpHandler, secret::Secret};
use brani_sync::types::EventId;
use brani_sync::writeback::command::{Command, Program};
use brani_sync::writeback::http::{Http, Request, Settings};
use brani_sync::writeback::jsonl::Jsonl;
use brani_sync::writeback::parameters::NAMES;
use brani_sync::writeback::{Call, Handler, Outcome, WritebackError};
use jiff::tz::TimeZone;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

fn call() -> Call {
    Call {
        event: "balic_packed".into(),
        event_id: Some(EventId(42)),
        code: Some("2026/1".into()),
        key: Some("7".into()),
        created: None,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        status_id: None,
        status: None,
        same_status: Vec::new(),
        package_number: None,
        package_numbers: None,
        text: Some("a \"b\"".into()),
        reason: None,
        more: serde_json::Map::new(),
        expected: None,
    }
}

/// Answers one request with `answer` and hands out what came.
async fn server(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut text, mut chunk) = (String::new(), [0; 4096]);
        while !text.ends_with('}') {
            let count = stream.read(&mut chunk).await.unwrap();
            assert!(count > 0);
            text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        text
    });
    (url, heard)
}

fn http(url: &str) -> Http {
    let http = HttpHandler {
        url: url.to_owned(),
        method: None,
        headers: indexmap::IndexMap::new(),
        body: None,
        user: Some("shop".into()),
        password: None,
    };
    let request = Request::new(&Settings {
        setting: "writeback.balic_packed.http",
        http: &http,
        headers: &[("x-key".into(), Secret::new("k"))],
        password: Some(&Secret::new("p")),
        timeout: Duration::from_millis(500),
        names: NAMES,
    });
    Http::new(request.unwrap(), TimeZone::get("Europe/Prague").unwrap())
}

#[tokio::test]
async fn http_sends_every_parameter_with_an_idempotency_key() {
    let (url, heard) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    let told = http(&format!("{url}/o/{{{{ code }}}}")).tell(&call()).await;
    assert_eq!(told.unwrap(), Outcome::Done);
    let heard = heard.await.unwrap();
    assert!(heard.starts_with("POST /o/2026%2F1 HTTP/1.1"), "{heard}");
    for header in [
        "idempotency-key: brani-sync-42-balic_packed",
        "x-key: k",
        "authorization: Basic c2hvcDpw",
    ] {
        assert!(heard.contains(header), "{heard}");
    }
    let body: serde_json::Value = serde_json::from_str(heard.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["text"], "a \"b\"");
    assert_eq!(body["now"], "2026-01-01 01:00:00");
}

#[tokio::test]
async fn http_tells_an_outage_from_a_failing_event() {
    for (answer, is_outage) in [
        ("HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 429 x\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 422 x\r\ncontent-length: 0\r\n\r\n", false),
        (
            "HTTP/1.1 302 x\r\nlocation: /secret\r\ncontent-length: 0\r\n\r\n",
            false,
        ),
    ] {
        let (url, _heard) = server(answer).await;
        let error = http(&format!("{url}/hush")).tell(&call()).await.unwrap_err();
        assert_eq!(
            matches!(error, WritebackError::Unavailable(_)),
            is_outage,
            "{error}"
        );
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    let error = http("http://127.0.0.1:1/hush").tell(&call()).await.unwrap_err();
    assert!(matches!(error, WritebackError::Unavailable(_)), "{error}");
    assert!(!error.to_string().contains("hush"), "{error}");
}

#[tokio::test]
async fn http_handler_that_hangs_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let error = http(&url).tell(&call()).await.unwrap_err();
    assert!(matches!(error, WritebackError::Unavailable(_)), "{error}");
}

fn command(script: &str, timeout: Duration) -> Command {
    let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let program = Program::new("writeback.balic_packed.command", &CommandHandler(words), timeout);
    Command::new(program.unwrap(), TimeZone::UTC)
}

#[tokio::test]
async fn command_hears_json_and_its_exit_code_is_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let heard = folder.path().join("heard");
    let told = command(&format!("cat > {}", heard.display()), Duration::from_secs(10))
        .tell(&call())
        .await;
    assert_eq!(told.unwrap(), Outcome::Done);
    let text = std::fs::read_to_string(&heard).unwrap();
    assert!(text.ends_with("}\n"));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["event_id"],
        42
    );
    let error = command("exit 75", Duration::from_secs(10))
        .tell(&call())
        .await
        .unwrap_err();
    assert!(matches!(error, WritebackError::Unavailable(_)), "{error}");
    let error = command("echo Jana >&2; exit 3", Duration::from_secs(10))
        .tell(&call())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, WritebackError::Failed(text) if text.contains("exit code 3") && !text.contains("Jana"))
    );
}

#[tokio::test]
async fn command_that_forks_and_ignores_sigterm_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let script = format!(
        "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > {}; sleep 60; sleep 60' & wait; sleep 60",
        pid.display()
    );
    let begun = Instant::now();
    let error = command(&script, Duration::from_millis(500))
        .tell(&call())
        .await
        .unwrap_err();
    assert!(matches!(error, WritebackError::Failed(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(50));
    let child: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    let gone = async {
        while std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .expect("the child is gone");
}

#[test]
fn missing_program_is_refused_by_name() {
    let words = CommandHandler(vec!["/no/such".into()]);
    let error = Program::new("writeback.parked.command", &words, Duration::from_secs(1))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("writeback.parked.command") && error.contains("/no/such"),
        "{error}"
    );
}

#[tokio::test]
async fn jsonl_ends_a_torn_line_first_and_its_file_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let handler = Jsonl::new("writeback.order_history.jsonl", &path, TimeZone::UTC).unwrap();
    handler.tell(&call()).await.unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"torn");
    std::fs::write(&path, text).unwrap();
    handler.tell(&call()).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let whole = text
        .lines()
        .filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
    assert_eq!((text.lines().count(), whole.count()), (3, 2));
    assert!(text.ends_with('\n'));
}
