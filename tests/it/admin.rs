//! The admin page, against a ledger filled by hand: what it tells, to whom, and what it must never let through.

use brani_sync::admin::{self, Admin, AdminState};
use brani_sync::clock::Clock;
use brani_sync::config::{self, DeleteMode, Language};
use brani_sync::context::Rules;
use brani_sync::explain::{self, Explanation, Live};
use brani_sync::health::times::{Ended, Times};
use brani_sync::health::{self, Expected, Health, Whose};
use brani_sync::ledger::cursors::{self, name};
use brani_sync::ledger::inbox::{self, Event};
use brani_sync::ledger::orders::{self, Entry, Lane, ParkedBy, State};
use brani_sync::ledger::{Ledger, LedgerError};
use brani_sync::mapping::{Owner, Problem};
use brani_sync::trouble::{Troubles, Weight};
use brani_sync::types::{EventId, OrderCode, ShopKey, ShopStatus, StatusId, WebhookId};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const NOW: &str = "2026-03-05T10:20:00Z";

struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

fn zone() -> TimeZone {
    TimeZone::get("Europe/Prague").unwrap()
}

fn rules() -> Rules {
    Rules {
        send_when: BTreeSet::new(),
        final_statuses: BTreeSet::new(),
        protect: BTreeSet::new(),
        history: config::History::Span(Duration::from_secs(30 * 86_400)),
        zone: zone(),
        overlap: Duration::from_secs(600),
        settle: Duration::from_secs(10),
        sweep_back: Duration::from_secs(60 * 86_400),
        batch: 500,
        concurrency: 4,
        rate_limit: 10.0,
        timeout: Duration::from_secs(30),
        delete_mode: DeleteMode::Off,
        delete_statuses: BTreeSet::new(),
        deletes_max: 2,
        deletes_share: 0.02,
        resends_max: 2,
        events: vec!["status_change".into()],
        lookback: Duration::from_secs(3 * 86_400),
        hold_updates: Duration::from_secs(900),
        status_map: None,
        attempts: 8,
        apply_concurrency: 4,
        keep_events: Duration::from_secs(90 * 86_400),
        eshop_mode: config::Mode::Merge,
        extras: Default::default(),
    }
}

/// A ledger in a folder of its own, and the door in front of it.
struct House {
    _folder: tempfile::TempDir,
    ledger: Ledger,
    troubles: Troubles,
    times: Times,
    turning: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open_inline(&folder.path().join("ledger.db")).unwrap();
        Self {
            _folder: folder,
            ledger,
            troubles: Troubles::new(None),
            times: Times::default(),
            turning: Arc::new(AtomicBool::new(true)),
            stop: CancellationToken::new(),
        }
    }

    async fn write<F>(&self, work: F)
    where
        F: FnOnce(&Connection) -> Result<(), LedgerError> + Send + 'static,
    {
        self.ledger.write(work).await.unwrap();
    }

    async fn put(&self, entries: Vec<Entry>) {
        self.write(move |connection| {
            entries
                .iter()
                .try_for_each(|entry| orders::put(connection, entry))
        })
        .await;
    }

    async fn tell(&self, events: Vec<Event>) {
        self.write(move |connection| {
            events
                .iter()
                .try_for_each(|event| inbox::insert(connection, event, now()).map(drop))
        })
        .await;
    }

    async fn set(&self, name: &'static str, at: Timestamp) {
        self.write(move |connection| cursors::set_time(connection, name, at))
            .await;
    }

    async fn health(&self) -> Health {
        self.ledger
            .read(|connection| health::report(connection, now()))
            .await
            .unwrap()
    }

    async fn health_by(&self, rules: Rules) -> Health {
        self.ledger
            .read(move |connection| health::report_by(connection, now(), &rules))
            .await
            .unwrap()
    }

    async fn explain(&self, code: &str) -> Explanation {
        let code = OrderCode::from(code);
        self.ledger
            .read(move |connection| explain::explain(connection, &code, now(), &zone()))
            .await
            .unwrap()
    }

    async fn find(&self, ending: &str) -> Vec<String> {
        let ending = ending.to_owned();
        let found = self
            .ledger
            .read(move |connection| explain::find(connection, &ending))
            .await
            .unwrap();
        found.into_iter().map(|code| code.0).collect()
    }

    async fn open(&self, language: Language) -> Door {
        self.open_expecting(language, Some(Duration::from_secs(300)))
            .await
    }

    async fn open_expecting(&self, language: Language, drain: Option<Duration>) -> Door {
        let config = config::Admin {
            listen: "127.0.0.1:0".into(),
            language,
            contact: Some("Petr & <Jana>, linka 12".into()),
        };
        let admin = Admin::bind(&config).await.unwrap();
        let address = admin.local_addr().unwrap();
        let turning = Arc::clone(&self.turning);
        let state = AdminState {
            shop: "květiny \"U <Mostu>\"".into(),
            ledger: self.ledger.clone(),
            clock: Arc::new(Still(now())),
            rules: Arc::new(rules()),
            troubles: self.troubles.clone(),
            turning: Arc::new(move || turning.load(Ordering::Relaxed)),
            expected: Expected {
                poll: Duration::from_secs(30),
                drain,
            },
            started: ago(7200),
            times: self.times.clone(),
        };
        tokio::spawn(admin.serve(state, self.stop.clone()));
        Door(address)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Door(SocketAddr);

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Door {
    async fn ask(&self, method: &str, path: &str) -> Answer {
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: admin\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes)).await;
        read.expect("the door answers").unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }

    /// A page: well-formed, and with the headers that keep strangers out.
    async fn page(&self, path: &str) -> Answer {
        let answer = self.get(path).await;
        well_formed(&answer.body);
        let nonce = answer
            .body
            .split("<style nonce=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap();
        let policy = format!("content-security-policy: default-src 'none'; style-src 'nonce-{nonce}'");
        assert!(answer.head.contains(&policy), "{}", answer.head);
        assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
        assert!(!answer.body.contains("<script"), "no script");
        assert!(
            !answer.body.contains("http://") && !answer.body.contains("https://"),
            "nothing from elsewhere"
        );
        answer
    }
}

/// Every element is closed in order, attributes are quoted, and nothing else begins with `<`.
fn well_formed(page: &str) {
    let void = ["meta", "link", "input", "br"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").expect("a doctype");
    while let Some((before, after)) = rest.split_once('<') {
        if open.last() != Some(&"style") {
            assert!(!before.contains('>'), "a stray `>` in {before:?}");
        }
        let (tag, after) = after.split_once('>').expect("a tag ends");
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes of {tag:?}");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closing order near {tag:?}");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap();
        assert!(
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()),
            "a tag named {name:?}"
        );
        if !void.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    let ids: Vec<&str> = page
        .split(" id=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let unique: BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "ids are unique: {ids:?}");
}

fn entry(code: &str, state: State) -> Entry {
    let mut entry = Entry::new(OrderCode::from(code), ShopKey::from("77"), ago(3600));
    entry.state = state;
    entry.agreed.known = state == State::Sent;
    entry
}

fn problem(field: &str, found: Option<&str>, owner: Owner) -> Problem {
    Problem {
        field: field.into(),
        found: found.map(str::to_owned),
        rule: "is not a decimal number".into(),
        hint: "give kilograms with a dot and no unit".into(),
        owner,
    }
}

fn parked(code: &str, found: &str, owner: Owner) -> Entry {
    let mut entry = entry(code, State::Parked);
    entry.parked_by = Some(ParkedBy::Mapping);
    entry.problems = vec![problem("items[1].weight", Some(found), owner)];
    entry
}

fn event(id: i64, code: &str, state: &str) -> Event {
    Event {
        id: EventId(id),
        general: false,
        webhook: WebhookId(251),
        kind: "status_change".into(),
        code: Some(OrderCode::from(code)),
        creation: "2026-03-05 10:00:00".into(),
        at: ago(1000 - id),
        received: ago(1000 - id),
        status: Some(StatusId(-3)),
        package_number: None,
        text: Some("Jana Nováková, +420 777 123 456".into()),
        state: state.into(),
        initial: false,
        pushed: true,
        attempts: 0,
        due: Timestamp::UNIX_EPOCH,
        reason: None,
    }
}

// ---- health --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn empty_ledger_has_a_report() {
    let health = House::new().health().await;
    assert_eq!(
        health.orders.waiting + health.orders.sent + health.orders.parked + health.orders.deleted,
        0
    );
    assert_eq!(
        (health.lag_seconds, health.estimate, health.oldest_waiting),
        (None, None, None)
    );
    assert_eq!(health.today.len(), 24);
    serde_json::to_string(&health).unwrap();
}

#[tokio::test]
async fn report_counts_orders_lanes_events_and_hours() {
    let house = House::new();
    let mut update = entry("w2", State::Waiting);
    update.agreed.known = true;
    update.lane = Lane::Update;
    update.created = ago(999_999);
    let mut failing = entry("w3", State::Waiting);
    failing.failing_since = Some(ago(60));
    failing.lane = Lane::New;
    failing.created = ago(500);
    house
        .put(vec![
            entry("w1", State::Waiting),
            update,
            failing,
            entry("s1", State::Sent),
            entry("d1", State::Deleted),
            parked("p1", "0,5 kg", Owner::Shop),
        ])
        .await;
    house
        .tell(vec![
            event(1, "s1", "applied"),
            event(2, "s1", "stuck"),
            event(3, "s1", "new"),
        ])
        .await;
    house.set(name::LAST_POLL, ago(42)).await;
    house.set(name::LAST_SENT, ago(7)).await;
    house
        .write(|connection| {
            cursors::count(connection, now(), "sent", 5)?;
            cursors::count(connection, ago(3600), "applied", 3)?;
            cursors::count(connection, ago(25 * 3600), "sent", 1000)
        })
        .await;
    let health = house.health().await;
    assert_eq!(
        [
            health.orders.waiting,
            health.orders.sent,
            health.orders.parked,
            health.orders.deleted
        ],
        [3, 1, 1, 1]
    );
    let lanes = health.waiting_by_lane;
    assert_eq!(
        [lanes.new, lanes.update, lanes.backlog, lanes.resend],
        [1, 1, 1, 0]
    );
    assert_eq!(health.failing, 1);
    assert_eq!(
        health.oldest_waiting,
        Some(ago(3600)),
        "an old order's change is no old order"
    );
    assert_eq!(
        (health.stuck, health.events["applied"], health.events["new"]),
        (1, 1, 1)
    );
    assert_eq!(health.oldest_event, Some(ago(998)));
    assert_eq!(
        (health.lag_seconds, health.last_sent, health.last_drain),
        (Some(42), Some(ago(7)), None)
    );
    assert_eq!(
        health.to_string(),
        "3 orders wait, 1 sent, 1 parked, 1 deleted; 1 events wait, 1 stuck; last good poll 42 s ago"
    );
    assert_eq!((health.today[23].sent, health.today[22].applied), (5, 3));
    assert_eq!(
        health.today.iter().map(|hour| hour.sent).sum::<i64>(),
        5,
        "only the last day counts"
    );
}

#[tokio::test]
async fn parked_orders_that_brani_has_come_first_and_the_list_is_bounded() {
    let house = House::new();
    let mut entries: Vec<Entry> = (0..health::LISTED_MAX + 20)
        .map(|n| parked(&format!("p{n}"), "x", Owner::Settings))
        .collect();
    entries[90].agreed.known = true;
    entries[91].parked_by = Some(ParkedBy::Person);
    entries[91].agreed.known = true;
    house.put(entries).await;
    let parked = house.health().await.parked;
    assert_eq!(
        (parked.total, parked.at_brani, parked.first.len()),
        (120, 2, health::LISTED_MAX)
    );
    assert_eq!(
        (parked.first[0].code.as_str(), parked.first[0].owner),
        ("p90", Whose::Settings)
    );
    assert_eq!(
        (parked.first[1].code.as_str(), parked.first[1].owner),
        ("p91", Whose::Person)
    );
    assert!(parked.first[1].at_brani && !parked.first[2].at_brani);
}

#[tokio::test]
async fn estimate_follows_what_was_sent_a_moment_ago() {
    let house = House::new();
    let sent = (0..20).map(|n| {
        let mut entry = entry(&format!("s{n}"), State::Sent);
        entry.sent_at = Some(ago(10));
        entry
    });
    let waiting = (0..40).map(|n| entry(&format!("w{n}"), State::Waiting));
    house.put(sent.chain(waiting).collect()).await;
    assert_eq!(
        house.health().await.estimate,
        Some(Duration::from_secs(20)),
        "20 in 10 s, 40 wait"
    );
}

#[tokio::test]
async fn estimate_follows_the_rate_limit_until_something_was_sent_and_is_none_while_it_fails() {
    let house = House::new();
    house
        .put((0..40).map(|n| entry(&format!("w{n}"), State::Waiting)).collect())
        .await;
    assert_eq!(house.health().await.estimate, None);
    assert_eq!(
        house.health_by(rules()).await.estimate,
        Some(Duration::from_secs(4))
    );
    let mut failing = entry("w1", State::Waiting);
    failing.failing_since = Some(ago(60));
    house.put(vec![failing]).await;
    assert_eq!(house.health_by(rules()).await.estimate, None);
}

#[tokio::test]
async fn resends_are_held_until_approved() {
    let house = House::new();
    let resend = |n: i32| {
        let mut entry = entry(&format!("r{n}"), State::Waiting);
        entry.lane = Lane::Resend;
        entry
    };
    house.put(vec![resend(1), resend(2)]).await;
    assert_eq!(house.health_by(rules()).await.resends_held, 0, "two may go");
    house.put(vec![resend(3)]).await;
    let health = house.health_by(rules()).await;
    assert_eq!((health.resends_held, health.estimate), (3, None));
    house.set(name::RESENDS, ago(-60)).await;
    assert_eq!(house.health_by(rules()).await.resends_held, 0);
}

#[tokio::test]
async fn deletes_are_held_by_each_mode_own_rule() {
    let house = House::new();
    let gone = |n: i32, missing: i64| {
        let mut entry = entry(&format!("g{n}"), State::Sent);
        entry.missing_since = Some(ago(missing));
        entry.row_status = Some(ShopStatus::from("trash"));
        entry
    };
    let day = 86_400;
    house
        .put(vec![gone(1, day), gone(2, day), gone(3, day), gone(4, 3600)])
        .await;
    let mut under_way = gone(5, day);
    under_way.delete_wanted = true;
    let mut withdrawn = gone(6, day);
    withdrawn.row_gone = true;
    withdrawn.row_status = None;
    house.put(vec![under_way, withdrawn]).await;
    let off = house.health_by(rules()).await;
    assert_eq!(
        (off.gone, off.deletes_held),
        (4, 0),
        "nobody deletes, and one was missed only once"
    );
    let mode = |delete_mode| Rules {
        delete_mode,
        ..rules()
    };
    let held = house.health_by(mode(DeleteMode::Gone)).await;
    assert_eq!((held.gone, held.deletes_held), (0, 4));
    let by_status = Rules {
        delete_statuses: [ShopStatus::from("trash")].into(),
        ..mode(DeleteMode::Status)
    };
    assert_eq!(house.health_by(by_status).await.deletes_held, 4);
    house.set(name::DELETES, ago(-60)).await;
    assert_eq!(house.health_by(mode(DeleteMode::Gone)).await.deletes_held, 0);
}

// ---- explain -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn codes_are_found_by_their_ending_and_wildcards_are_letters() {
    let house = House::new();
    let mut newer = entry("2025-104", State::Sent);
    newer.created = ago(10);
    house
        .put(vec![
            entry("2024-104", State::Sent),
            newer,
            entry("104", State::Sent),
            entry("100%", State::Sent),
            entry("a_c", State::Sent),
            entry("abc", State::Sent),
            entry("back\\slash", State::Sent),
        ])
        .await;
    house
        .tell(vec![event(1, "9104", "unmatched"), event(2, "9104", "unmatched")])
        .await;
    assert_eq!(house.find(" 104 ").await, ["104", "2025-104", "9104", "2024-104"]);
    assert_eq!(house.find("%").await, ["100%"]);
    assert_eq!(house.find("_c").await, ["a_c"]);
    assert_eq!(house.find("\\slash").await, ["back\\slash"]);
    assert!(house.find("").await.is_empty() && house.find(&"1".repeat(300)).await.is_empty());
    house
        .put(
            (0..200)
                .map(|n| entry(&format!("{n:04}-x"), State::Sent))
                .collect(),
        )
        .await;
    assert_eq!(house.find("-x").await.len(), explain::FOUND_MAX);
}

#[tokio::test]
async fn story_of_a_waiting_order_tells_attempts_and_the_next_one() {
    let house = House::new();
    let mut order = entry("2025-104", State::Waiting);
    order.agreed.known = true;
    order.lane = Lane::Update;
    order.sent_at = Some(ago(7200));
    order.answer = Some("HTTP 503".into());
    order.attempts = 3;
    order.failing_since = Some(ago(300));
    order.due = ago(-90);
    order.unanswered = true;
    order.row_status = Some(ShopStatus::from("processing"));
    order.agreed.shop = Some(ShopStatus::from("on-hold"));
    order.agreed.brani = Some(StatusId(-1));
    order.agreed.writing = Some(ShopStatus::from("completed"));
    order.agreed.owed = true;
    order.agreed.unconfirmed = true;
    order.missing_since = Some(ago(400));
    order.delete_wanted = true;
    house.put(vec![order]).await;
    let told = house.explain("2025-104").await;
    let english = told.text(Language::En);
    for words in [
        "Brani has order `2025-104`; something newer about it waits to be sent.",
        "Created 2026-03-05 10:20:00 (60 min ago); its id in the shop is `77`.",
        "Last sent 2026-03-05 09:20:00 (2 h ago).",
        "Last answer: HTTP 503.",
        "Failed attempts in a row: 3, since 2026-03-05 11:15:00 (5 min ago).",
        "Next attempt 2026-03-05 11:21:30 (in 90 s), among changes.",
        "A request went unanswered",
        "In the shop, as last read: `processing`.",
        "Last agreed: `on-hold` in the shop, `-1` at Brani.",
        "`completed` is being written into the shop.",
        "Brani must hear its own status again.",
        "have not been read since the last request",
        "Its row has been missing in the shop since 2026-03-05 11:13:20",
        "about to be deleted",
    ] {
        assert!(english.contains(words), "{words:?} in\n{english}");
    }
    let czech = told.text(Language::Cs);
    for words in [
        "čeká na odeslání něco novějšího",
        "Založena 5. 3. 2026 10:20:00 (před 60 min)",
        "(za 90 s)",
    ] {
        assert!(czech.contains(words), "{words:?} in\n{czech}");
    }
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(
        (&json["order"]["state"], &json["order"]["lane"]),
        (&"waiting".into(), &"update".into())
    );
}

#[tokio::test]
async fn story_tells_events_in_order_and_what_became_of_each_but_not_their_texts() {
    let house = House::new();
    let mut waiting = event(3, "a", "new");
    waiting.attempts = 2;
    waiting.due = ago(-60);
    waiting.reason = Some("the handler answered HTTP 500".into());
    let mut parcel = event(4, "a", "applied");
    parcel.kind = "package_number".into();
    parcel.package_number = Some("Z 123 ".repeat(2000));
    house
        .tell(vec![
            parcel,
            waiting,
            event(2, "a", "echo"),
            event(1, "a", "superseded"),
        ])
        .await;
    let told = house.explain("a").await;
    assert_eq!(
        told.events.iter().map(|event| event.id).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    let text = told.text(Language::En);
    let places: Vec<usize> = [
        "status -3 — not written: a newer word counts",
        "our own change coming back",
        "2 attempts failed (the handler answered HTTP 500), next 2026-03-05 11:21:00 (in 60 s)",
        "parcel number Z 123 ",
    ]
    .iter()
    .map(|words| text.find(words).unwrap_or_else(|| panic!("{words:?} in\n{text}")))
    .collect();
    assert!(places.is_sorted());
    assert!(
        text.len() < 3000,
        "a long parcel number is cut: {} bytes",
        text.len()
    );
    assert!(!text.contains("Nováková"));
    assert!(!serde_json::to_string(&told).unwrap().contains("Nováková"));
    assert!(told.text(Language::Cs).contains("číslo zásilky Z 123"));
}

#[tokio::test]
async fn story_lists_the_newest_events_only() {
    let house = House::new();
    house
        .tell((0..250).map(|id| event(id, "a", "seen")).collect())
        .await;
    let told = house.explain("a").await;
    assert_eq!(
        (told.events.len(), told.events_left_out, told.events[0].id),
        (explain::EVENTS_MAX, 50, 50)
    );
    assert!(
        told.text(Language::En)
            .contains("50 earlier events are not listed.")
    );
}

#[tokio::test]
async fn parked_order_says_whose_it_is_and_what_to_do() {
    let house = House::new();
    let mut at_brani = parked("p", "0,5 kg", Owner::Shop);
    at_brani.agreed.known = true;
    at_brani
        .problems
        .push(problem("shippingGuid", None, Owner::Settings));
    house.put(vec![at_brani]).await;
    house
        .write(|connection| orders::claim(connection, &"p".into(), &"78".into(), ago(50), ago(40)).map(drop))
        .await;
    let text = house.explain("p").await.text(Language::En);
    for words in [
        "the packer would pack that one",
        "items[1].weight: `0,5 kg` is not a decimal number",
        "→ the order in the shop: give kilograms with a dot and no unit",
        "shippingGuid: is not a decimal number",
        "→ brani-sync's configuration: ",
        "with id `78`, created 2026-03-05 11:19:10 (50 s ago), claims this code",
    ] {
        assert!(text.contains(words), "{words:?} in\n{text}");
    }
}

#[tokio::test]
async fn unknown_order_is_told_apart_from_a_forgotten_one_and_a_look_into_the_shop_says_more() {
    let house = House::new();
    house.set(name::HISTORY, ago(30 * 86_400)).await;
    let mut told = house.explain("x").await;
    assert!(told.is_unknown());
    assert!(told.text(Language::En).contains("Nothing is known of order `x`"));
    assert!(
        told.text(Language::En)
            .contains("Orders created before 2026-02-03 11:20:00 are never sent first.")
    );
    told.live = Some(Live {
        in_shop: Some(true),
        why_not_sent: Some("its status `draft` is not in `send_when`".into()),
        differing_fields: vec!["email".into(), "items[0].amount".into()],
    });
    let text = told.text(Language::En);
    assert!(
        text.contains("It is not sent: its status `draft` is not in `send_when`")
            && !text.contains("may not be")
    );
    assert!(
        text.contains("Fields that differ from what Brani has: `email`, `items[0].amount`."),
        "{text}"
    );
    house
        .write(|connection| orders::bury(connection, &"x".into(), now()))
        .await;
    let told = house.explain("x").await;
    assert!(!told.is_unknown() && told.text(Language::Cs).contains("na přání člověka zapomenuta"));
}

#[tokio::test]
async fn passes_are_expected_by_the_longest_gap_of_their_schedule() {
    let schedule = |poll: &str, drain: &str| config::Schedule {
        poll: poll.into(),
        drain: drain.into(),
        eshop_info: "1h".into(),
        sweep: "0 30 3 * * *".into(),
    };
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let often = admin::expected(&schedule("30s", "5m"), &rules(), now());
    assert_eq!(
        (often.poll, often.drain),
        (Duration::from_secs(30), Some(Duration::from_secs(300)))
    );
    let nights_off = admin::expected(&schedule("0 */5 6-21 * * *", "0 0 8 * * 1-5"), &rules(), now());
    assert_eq!(
        (nights_off.poll, nights_off.drain),
        (hours(8) + Duration::from_secs(300), Some(hours(72)))
    );
    let silent = Rules {
        events: Vec::new(),
        ..rules()
    };
    assert_eq!(
        admin::expected(&schedule("30s", "5m"), &silent, now()).drain,
        None
    );
}

#[tokio::test]
async fn parked_order_is_told_in_czech_too() {
    let house = House::new();
    house.put(vec![parked("p", "0,5 kg", Owner::Shop)]).await;
    let text = house.explain("p").await.text(Language::Cs);
    assert!(
        text.contains("items[1].weight: `0,5 kg` není desetinné číslo"),
        "{text}"
    );
    assert!(
        text.contains("→ objednávka v e-shopu: uveďte kilogramy s desetinnou tečkou"),
        "{text}"
    );
}

// ---- the page ------------------------------------------------------------------------------------------------

const HOSTILE: &str = "<script>alert(1)</script>";

/// A bit of everything, some of it hostile.
async fn busy() -> House {
    let house = House::new();
    let mut known = parked("2025-104", "0,5 kg", Owner::Shop);
    known.agreed.known = true;
    known.problems[0].field = HOSTILE.into();
    let mut refused = parked(HOSTILE, "\"><img src=x onerror=alert(1)>", Owner::Brani);
    refused.problems[0].hint = "`<b>`".into();
    refused.parked_by = Some(ParkedBy::Brani);
    house
        .put(vec![
            known,
            refused,
            entry("2025-105", State::Waiting),
            entry("žluťoučký-kůň-1", State::Sent),
            entry("2024-105", State::Sent),
            entry("a/b", State::Sent),
            entry("..", State::Sent),
        ])
        .await;
    let mut stuck = event(5, "2025-105", "stuck");
    stuck.reason = Some(HOSTILE.into());
    house.tell(vec![event(1, "2025-104", "applied"), stuck]).await;
    house.set(name::LAST_POLL, ago(20)).await;
    house.set(name::LAST_DRAIN, ago(100)).await;
    house.set(name::LAST_SENT, ago(15)).await;
    house
        .write(|connection| {
            orders::claim(connection, &"2025-105".into(), &HOSTILE.into(), ago(50), ago(40))?;
            for hour in 0..24 {
                cursors::count(connection, ago(hour * 3600), "sent", (hour as u64 * 7) % 40)?;
                cursors::count(connection, ago(hour * 3600), "applied", (hour as u64 * 5) % 23)?;
            }
            Ok(())
        })
        .await;
    house.troubles.begin(
        "brani.unreachable",
        Weight::Warn,
        &format!("Brani {HOSTILE}"),
        "wait",
        ago(60),
    );
    house
}

#[tokio::test]
async fn page_tells_what_waits_what_is_parked_and_whose_it_is() {
    let house = busy().await;
    let door = house.open(Language::En).await;
    let page = door.page("/").await;
    assert_eq!(page.status, 200);
    for words in [
        "A person is needed.",
        "parked while Brani has an older version: 1",
        "events stuck: 1",
        "Parked, and whose it is to mend (2)",
        "the order in the shop",
        "<a class=\"code\" href=\"order/2025-104\">",
        "<code>0,5 kg</code> is not a decimal number",
        "give kilograms with a dot",
        "Older orders",
        "2026-03-05 11:19:40 (20 s ago)",
        "Everything compared",
        "<svg viewBox=",
        "brani.unreachable",
        "Petr &amp; &lt;Jana&gt;, linka 12",
        "květiny &quot;U &lt;Mostu&gt;&quot;",
        "<html lang=\"en\">",
    ] {
        assert!(page.body.contains(words), "{words:?} in\n{}", page.body);
    }
    assert!(
        !page.body.contains("Nováková") && !page.body.contains("<img"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn page_speaks_czech() {
    let house = busy().await;
    let door = house.open(Language::Cs).await;
    let page = door.page("/").await;
    for words in [
        "<html lang=\"cs\">",
        "Je potřeba člověk.",
        "Odstavené, a kdo to opraví (2)",
        "objednávka v e-shopu",
        "Posledních 24 hodin",
        "5. 3. 2026 11:19:40 (před 20 s)",
        "Když je potřeba člověk",
    ] {
        assert!(page.body.contains(words), "{words:?} in\n{}", page.body);
    }
    let order = door.page("/order/2025-105").await;
    assert!(
        order.body.contains("čeká na první odeslání do Brani"),
        "{}",
        order.body
    );
}

#[tokio::test]
async fn quiet_house_says_so() {
    let house = House::new();
    house.set(name::LAST_POLL, ago(20)).await;
    house.set(name::LAST_DRAIN, ago(20)).await;
    let page = house.open(Language::En).await.page("/").await;
    assert!(page.body.contains("All is well.") && page.body.contains("Nothing: Brani has everything."));
    assert!(!page.body.contains("Parked"));
}

#[tokio::test]
async fn order_is_found_by_code_and_by_ending() {
    let house = busy().await;
    let door = house.open(Language::En).await;
    let location = |answer: &Answer| {
        let line = answer
            .head
            .lines()
            .find_map(|line| line.strip_prefix("location: "))
            .map(str::to_owned);
        (answer.status, line.unwrap_or_default())
    };
    assert_eq!(
        location(&door.get("/order?code=2025-104").await),
        (303, "order/2025-104".into())
    );
    assert_eq!(
        location(&door.get("/order?code=+104+").await),
        (303, "order/2025-104".into())
    );
    assert_eq!(
        location(&door.get("/order/104").await),
        (303, "../order/2025-104".into())
    );
    assert_eq!(
        location(&door.get("/order?code=a%2Fb").await),
        (303, "order/a%2fb".into())
    );
    assert_eq!(location(&door.get("/order?code=").await), (303, "./".into()));
    assert_eq!(location(&door.get("/order").await), (303, "./".into()));
    let several = door.page("/order?code=105").await;
    assert_eq!(several.status, 200);
    assert!(
        several.body.contains("href=\"order/2025-105\"") && several.body.contains("href=\"order/2024-105\""),
        "{}",
        several.body
    );
    let story = door.page("/order/2025-104").await;
    assert!(
        story.body.contains("is parked, and Brani has an older version"),
        "{}",
        story.body
    );
    assert!(story.body.contains("<a href=\"../\">"), "{}", story.body);
    for path in [
        "/order/a%2Fb",
        "/order/a/b",
        "/order?code=..",
        "/order/%C5%BElu%C5%A5ou%C4%8Dk%C3%BD-k%C5%AF%C5%88-1",
    ] {
        let story = door.page(path).await;
        assert_eq!(story.status, 200, "{path}");
        assert!(story.body.contains("Brani has order"), "{path}: {}", story.body);
    }
    assert!(door.page("/order/a/b").await.body.contains("<a href=\"../../\">"));
}

#[tokio::test]
async fn hostile_code_is_text_everywhere() {
    let house = busy().await;
    let door = house.open(Language::En).await;
    let story = door.page("/order/%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert_eq!(story.status, 200);
    assert!(story.body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    let unknown = door
        .page("/order?code=%22%3E%3Cscript%3E%0d%0aset-cookie:x%00")
        .await;
    assert_eq!(unknown.status, 404);
    assert!(!unknown.head.contains("set-cookie"), "{}", unknown.head);
    assert!(unknown.body.contains("Nothing is known of order"));
    assert!(door.page("/order/2025-105").await.body.contains("&lt;script&gt;"));
    assert_eq!(door.get("/order/%FF").await.status, 400, "no text at all");
}

#[tokio::test]
async fn nothing_can_be_changed_through_the_door() {
    let house = busy().await;
    let door = house.open(Language::En).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in [
            "/",
            "/order",
            "/order/2025-104",
            "/metrics",
            "/healthz",
            "/readyz",
        ] {
            assert_eq!(door.ask(method, path).await.status, 405, "{method} {path}");
        }
    }
    // Nor does it let the script of another page read it.
    for path in ["/", "/metrics", "/readyz"] {
        let head = door.get(path).await.head.to_ascii_lowercase();
        assert!(!head.contains("access-control-"), "{head}");
    }
    assert_eq!(door.get("/elsewhere").await.status, 404);
}

#[tokio::test]
async fn health_follows_the_loops() {
    let house = House::new();
    let door = house.open(Language::En).await;
    assert_eq!(door.get("/healthz").await.status, 200);
    house.turning.store(false, Ordering::Relaxed);
    assert_eq!(door.get("/healthz").await.status, 503);
}

#[tokio::test]
async fn readiness_wants_young_passes_of_both_flows() {
    let five_minutes = Some(Duration::from_secs(300));
    for (poll, drain, drained_every, expected) in [
        (
            None,
            None,
            five_minutes,
            "not ready: no poll has succeeded yet; no drain has succeeded yet\n",
        ),
        (Some(30), None, None, "ready\n"),
        (
            Some(30),
            None,
            five_minutes,
            "not ready: no drain has succeeded yet\n",
        ),
        (Some(600), Some(900), five_minutes, "ready\n"),
        (
            Some(601),
            Some(900),
            five_minutes,
            "not ready: the last good poll is 601 s old, more than 600 s\n",
        ),
        (
            Some(30),
            Some(901),
            five_minutes,
            "not ready: the last good drain is 901 s old, more than 900 s\n",
        ),
        (Some(-3600), Some(10), five_minutes, "ready\n"),
    ] {
        let house = House::new();
        if let Some(poll) = poll {
            house.set(name::LAST_POLL, ago(poll)).await;
        }
        if let Some(drain) = drain {
            house.set(name::LAST_DRAIN, ago(drain)).await;
        }
        let answer = house
            .open_expecting(Language::En, drained_every)
            .await
            .get("/readyz")
            .await;
        let status = if expected == "ready\n" { 200 } else { 503 };
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, expected),
            "{poll:?} {drain:?}"
        );
    }
}

#[tokio::test]
async fn metrics_are_prometheus_text_without_a_code() {
    let house = busy().await;
    house.times.observe(Ended::Sent, Duration::from_millis(80));
    house.times.observe(Ended::Failed, Duration::from_secs(40));
    let answer = house.open(Language::En).await.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    let shop = "shop=\"květiny \\\"U <Mostu>\\\"\"";
    for sample in [
        "orders{SHOP,state=\"parked\"} 2",
        "orders{SHOP,state=\"sent\"} 4",
        "orders_waiting{SHOP,lane=\"backlog\"} 1",
        "orders_parked_at_brani{SHOP} 1",
        "events{SHOP,state=\"stuck\"} 1",
        "events{SHOP,state=\"echo\"} 0",
        "lag_seconds{SHOP} 20",
        "ready{SHOP} 1",
        "turning{SHOP} 1",
        "troubles{SHOP} 1",
        "claims{SHOP} 1",
        "last_success_timestamp_seconds{SHOP,pass=\"poll\"} 1772705980",
        "last_success_timestamp_seconds{SHOP,pass=\"sweep\"} 0",
        "send_seconds_bucket{SHOP,outcome=\"sent\",le=\"0.05\"} 0",
        "send_seconds_bucket{SHOP,outcome=\"sent\",le=\"0.1\"} 1",
        "send_seconds_bucket{SHOP,outcome=\"failed\",le=\"30\"} 0",
        "send_seconds_bucket{SHOP,outcome=\"failed\",le=\"+Inf\"} 1",
        "send_seconds_sum{SHOP,outcome=\"failed\"} 40",
        "build_info{SHOP,version=\"0.1.0\"} 1",
    ] {
        let line = format!("brani_sync_{}\n", sample.replace("SHOP", shop));
        assert!(answer.body.contains(&line), "{line} in\n{}", answer.body);
    }
    assert!(
        !answer.body.contains("-105") && !answer.body.contains("script"),
        "{}",
        answer.body
    );
    let mut typed = BTreeSet::new();
    for line in answer.body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(
                typed.insert(rest.split(' ').next().unwrap().to_owned()),
                "{line} twice"
            );
        } else if !line.starts_with("# HELP ") {
            let (name, value) = (line.split('{').next().unwrap(), line.rsplit(' ').next().unwrap());
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            assert!(
                typed.contains(family) || typed.contains(name),
                "{line} has no type"
            );
            value.parse::<f64>().unwrap();
        }
    }
}

#[tokio::test]
async fn lag_is_counted_from_the_start_before_the_first_poll() {
    let house = House::new();
    let metrics = house.open(Language::En).await.get("/metrics").await.body;
    assert!(
        metrics
            .lines()
            .any(|line| line.starts_with("brani_sync_lag_seconds{") && line.ends_with("} 7200")),
        "{metrics}"
    );
}
