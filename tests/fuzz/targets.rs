//! What strangers may send, one function each: any bytes at all must end in a value or an error, soon and without a
//! panic.
//!
//! `tests/it/fuzz.rs` replays the corpus through them, `bin/any.rs` has libFuzzer feed them. They go in where
//! strangers do: through the file, the socket or the text, not past it.

use brani_sync::brani::client::Client;
use brani_sync::brani::{PageRequest, Service};
use brani_sync::clock::SystemClock;
use brani_sync::config::secret::Secret;
use brani_sync::config::{Cursor, Records, SourceKind};
use brani_sync::database::parameters::{Dialect, Template};
use brani_sync::inbound::receiver::Receiver;
use brani_sync::listen::Limits;
use brani_sync::source::export::{ExportSource, Setup};
use brani_sync::source::{Read, Record, Source};
use brani_sync::types::{OrderCode, WebhookId};
use jiff::tz::TimeZone;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What is done with an input.
pub type Target = fn(&[u8]);

/// Every target by its name, which is its corpus's, too.
pub const ALL: [(&str, Target); 7] = [
    ("config", config),
    ("xml", xml),
    ("csv", csv),
    ("json", json),
    ("answers", answers),
    ("receiver", receiver),
    ("sql", sql),
];

/// A panic in a task is only an error to those who wait for it: here it is a finding.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// The name of the threads whose panics count.
const THREAD: &str = "fuzzed";

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |what| {
        if std::thread::current().name() == Some(THREAD) {
            PANICS.fetch_add(1, SeqCst);
        }
        usual(what);
    }));
    tokio::runtime::Builder::new_multi_thread()
        .thread_name(THREAD)
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// Runs to the end, and sees that no task has panicked meanwhile.
fn finished<T>(future: impl Future<Output = T>) -> T {
    let before = PANICS.load(SeqCst);
    let value = RUNTIME.block_on(future);
    assert_eq!(PANICS.load(SeqCst), before, "a task panicked");
    value
}

/// Longer than anything may take; a hang is a finding.
const DEADLINE: Duration = Duration::from_secs(60);

fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// A configuration file.
pub fn config(data: &[u8]) {
    let folder = folder();
    let path = folder.path().join("brani-sync.toml");
    std::fs::write(&path, data).unwrap();
    match brani_sync::config::load(&path, &Vec::new) {
        Ok(loaded) => drop(format!("{:?}", loaded.config)),
        Err(errors) => assert!(!errors.problems.is_empty(), "refused without a reason"),
    }
}

/// An export in XML.
pub fn xml(data: &[u8]) {
    export(SourceKind::Xml, data);
}

/// An export in CSV.
pub fn csv(data: &[u8]) {
    export(SourceKind::Csv, data);
}

/// An export in JSON.
pub fn json(data: &[u8]) {
    export(SourceKind::Json, data);
}

fn export(kind: SourceKind, data: &[u8]) {
    let folder = folder();
    let file: PathBuf = folder.path().join("export");
    std::fs::write(&file, data).unwrap();
    // As if nobody had touched it for a while.
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    std::fs::File::options()
        .write(true)
        .open(&file)
        .and_then(|file| file.set_modified(long_ago))
        .unwrap();
    let text = |text: &str| Some(text.to_owned());
    let records = match kind {
        SourceKind::Xml => Records {
            order: text("ORDERS/ORDER"),
            item: text("ITEMS/ITEM"),
            ..Records::default()
        },
        SourceKind::Csv => Records {
            group: text("code"),
            ..Records::default()
        },
        _ => Records {
            item: text("items"),
            ..Records::default()
        },
    };
    let map = [
        ("code", "{{ code or CODE }}"),
        ("creationTime", "{{ (date or DATE) | date }}"),
        ("price.withVat", "{{ (total or TOTAL) | money }}"),
        ("deliveryAddress.fullName", "{{ name or NAME }}"),
        ("items.code", "{{ sku or SKU }}"),
        ("items.amount", "{{ (amount or AMOUNT) | decimal }}"),
    ];
    let zone = TimeZone::get("Europe/Prague").unwrap();
    let setup = Setup {
        kind,
        url: Secret::new(format!("file://{}", file.display())),
        headers: Vec::new(),
        records,
        map: map
            .into_iter()
            .map(|(key, template)| (key.to_owned(), template.to_owned()))
            .collect(),
        options: toml::Table::new(),
        cursor: Cursor::Auto,
        zone: zone.clone(),
        shop_zone: zone,
        batch: 7,
        state: folder.path().join("state"),
    };
    let source = ExportSource::new(setup, Arc::new(SystemClock)).unwrap();
    finished(async {
        let (sender, mut batches) = tokio::sync::mpsc::channel::<Vec<Record>>(2);
        let take = async {
            let mut count = 0;
            while let Some(batch) = batches.recv().await {
                count += batch.len() as u64;
            }
            count
        };
        let (read, count) = tokio::time::timeout(DEADLINE, async {
            tokio::join!(source.read(Read { since: None }, sender), take)
        })
        .await
        .expect("an export is read to its end, or refused, in time");
        if let Ok(end) = read {
            assert_eq!(end.records, count, "as many records as were handed over");
        }
    });
}

/// What Brani, or whoever is between, answers: the first byte chooses the question and the status, the rest is the
/// body.
pub fn answers(data: &[u8]) {
    static SAID: LazyLock<(Client, Arc<Mutex<Vec<u8>>>)> = LazyLock::new(|| {
        let said = Arc::new(Mutex::new(Vec::new()));
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        RUNTIME.spawn(serve(listener, Arc::clone(&said)));
        let client = Client::new(
            &base.parse().unwrap(),
            &Secret::new("token"),
            DEADLINE,
            1e6,
            Arc::new(SystemClock),
        );
        (client.unwrap(), said)
    });
    let Some((choice, body)) = data.split_first() else {
        return;
    };
    let (client, said) = &*SAID;
    let status = [
        200, 200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 406, 422, 429, 500, 503,
    ];
    let head = format!(
        "HTTP/1.1 {} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        status[usize::from(choice % 16)],
        body.len()
    );
    *said.lock().unwrap() = [head.as_bytes(), body].concat();
    let page = PageRequest {
        webhook: WebhookId(1),
        page: 1,
        size: 1000,
        from: None,
        oldest_first: true,
    };
    finished(async {
        let asked = async {
            match choice / 16 % 6 {
                0 => {
                    if let Ok(Some(page)) = client.events(&page).await {
                        for event in &page.webhook_events {
                            drop(brani_sync::brani::time::readings(&event.event_creation));
                            drop(brani_sync::brani::time::earlier(
                                &event.event_creation,
                                jiff::SignedDuration::from_hours(2),
                            ));
                        }
                    }
                }
                1 => drop(client.general_events(&page).await),
                2 => drop(client.webhooks().await),
                3 => drop(client.eshop_info().await),
                4 => drop(client.delete(&OrderCode::from("A1")).await),
                _ => drop(
                    client
                        .register_webhook("status_change", "https://shop.invalid/")
                        .await,
                ),
            }
        };
        tokio::time::timeout(DEADLINE, asked)
            .await
            .expect("an answer is understood, or refused, in time");
    });
}

/// Says the same to whoever asks, and hangs up.
async fn serve(listener: TcpListener, said: Arc<Mutex<Vec<u8>>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = said.lock().unwrap().clone();
        tokio::spawn(async move {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        });
    }
}

/// Long enough that no chance finds it.
const SECRET: &str = "5f3b8c1e-only-brani-knows-this";

/// What anybody may send to the door for pushes.
pub fn receiver(data: &[u8]) {
    static RINGS: AtomicUsize = AtomicUsize::new(0);
    static DOOR: LazyLock<SocketAddr> = LazyLock::new(|| {
        RUNTIME.block_on(async {
            let limits = Limits {
                head: Duration::from_millis(50),
                ..Limits::default()
            };
            let receiver = Receiver::bind("127.0.0.1:0").await.unwrap().with_limits(limits);
            let address = receiver.local_addr().unwrap();
            let events = vec!["status_change".to_owned(), "package_number".to_owned()];
            let ring = |_: &str| {
                RINGS.fetch_add(1, SeqCst);
            };
            tokio::spawn(receiver.serve(Secret::new(SECRET), events, ring, CancellationToken::new()));
            address
        })
    });
    let knows = data.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())
        // It may stand there percent-encoded, too.
        || data.contains(&b'%');
    let door = *DOOR;
    let before = RINGS.load(SeqCst);
    finished(async {
        let said = async {
            let mut stream = TcpStream::connect(door).await.unwrap();
            let _ = stream.write_all(data).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        let answer = tokio::time::timeout(DEADLINE, said)
            .await
            .expect("the door answers or closes");
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1."),
            "the door says something that is no HTTP"
        );
    });
    assert!(
        knows || RINGS.load(SeqCst) == before,
        "it rang without the secret"
    );
}

/// A statement of the merchant's, whose `:parameters` are found.
pub fn sql(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for dialect in [Dialect::Mysql, Dialect::Postgres, Dialect::Sqlite] {
        let template = Template::parse(text, dialect);
        for name in template.names() {
            assert!(text.contains(&format!(":{name}")), "`:{name}` stands nowhere");
        }
    }
}
