//! A model shop: rows that people edit, a clock of its own, and the handlers that write into it.

use super::world::{Mutation, Shared, World};
use async_trait::async_trait;
use brani_sync::source::{Finding, Lists, Read, ReadEnd, Record, Row as Values, Source, SourceError, Value};
use brani_sync::types::{Made, OrderCode, ShopStatus, StatusId};
use brani_sync::writeback::{Call, Handler, Outcome, WritebackError};
use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// The shop's statuses and their ids at Brani.
pub const STATUSES: [(&str, i64); 7] = [
    ("new", 10),
    ("paid", 11),
    ("ready", 12),
    ("hold", 13),
    ("storno", 14),
    ("zabaleno", -1),
    ("expedice", -2),
];
/// Two shop values of one id: the raw value counts.
pub const TWIN: (&str, i64) = ("paid-card", 11);
/// What brings an order to Brani.
pub const SEND_WHEN: [&str; 3] = ["paid", "paid-card", "ready"];
/// What a merchant's cancelling is.
pub const STORNO: &str = "storno";
/// Behind the cursor.
pub const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

/// The id of a shop's status.
pub fn id(status: &str) -> StatusId {
    if status == TWIN.0 {
        return StatusId(TWIN.1);
    }
    StatusId(
        STATUSES
            .iter()
            .find(|(name, _)| *name == status)
            .map_or(0, |(_, id)| *id),
    )
}

/// One order of the shop.
#[derive(Clone, Debug)]
pub struct Row {
    /// The shop's id.
    pub key: String,
    /// When it was created, by the shop's clock.
    pub created: Timestamp,
    /// When it was changed, as the column says.
    pub changed: Timestamp,
    /// Its status.
    pub status: String,
    /// Its remark.
    pub note: u64,
    /// Its items' amounts.
    pub items: Vec<i64>,
    /// Parcels that were written back.
    pub tracking: Vec<String>,
    /// It cannot be mapped.
    pub unmappable: bool,
    /// It is in the trash.
    pub gone: bool,
    /// Every content it ever had, oldest first.
    pub contents: Vec<String>,
    /// The merchant changed its status after it was created: when last.
    pub merchant_status: Option<Timestamp>,
    /// Only a sweep can find what was changed last.
    pub hidden: bool,
    /// The newest event whose status was written.
    pub status_event: i64,
    /// Its handlers always fail.
    pub dead_handler: bool,
}

impl Row {
    /// What Brani should be told, in one line.
    pub fn content(&self) -> String {
        content(
            &format!("note {}", self.note),
            self.items.iter().map(ToString::to_string),
        )
    }
}

/// Content in one line.
pub fn content(remark: &str, items: impl Iterator<Item = String>) -> String {
    format!("{remark}: {}", items.collect::<Vec<_>>().join("+"))
}

/// An export.
pub struct Export {
    /// How the rows stood when its writing began.
    rows: BTreeMap<String, Row>,
    /// When that was.
    begun: Timestamp,
    /// When it was written to its end.
    made: Timestamp,
}

/// The shop.
#[derive(Default)]
pub struct Shop {
    /// Its orders.
    pub rows: BTreeMap<String, Row>,
    /// Rows that were removed, and when.
    pub removed: BTreeMap<String, (Row, Timestamp)>,
    /// The newest whole export.
    pub export: Option<Export>,
    /// The codes that the last read from a moment on has shown.
    pub window: Vec<String>,
    /// How far its clock is off.
    pub clock: SignedDuration,
    /// The latest its clock ever showed.
    pub latest: Option<Timestamp>,
    /// It is away.
    pub down: bool,
    /// Until then it cuts a read off after its first batch.
    pub weary_until: Option<Timestamp>,
    /// Orders it ever had.
    pub count: u64,
}

impl World {
    /// A row was changed and the change is committed now.
    pub fn commit(&mut self, code: &str, touched: Option<Timestamp>) {
        let now = self.shop_now();
        let latest = self.shop.latest.map_or(now, |latest| latest.max(now));
        self.shop.latest = Some(latest);
        let Some(row) = self.shop.rows.get_mut(code) else {
            return;
        };
        if let Some(touched) = touched {
            row.changed = touched;
            // Older than what any cursor steps back to: only a sweep finds it.
            row.hidden = touched < latest - OVERLAP + SignedDuration::from_secs(90);
        } else {
            row.hidden = true;
        }
        let content = row.content();
        if row.contents.last() != Some(&content) {
            row.contents.push(content);
        }
        let text = format!(
            "shop: `{code}` is {} {} {}{}",
            row.status,
            row.content(),
            if row.gone { "(trash) " } else { "" },
            if row.hidden { "(hidden)" } else { "" }
        );
        self.tell(|| text);
    }
}

impl World {
    /// What a reader of the shop gets to see: its rows, or its export.
    fn shown(&self) -> &BTreeMap<String, Row> {
        match &self.shop.export {
            Some(export) => &export.rows,
            None => &self.shop.rows,
        }
    }

    /// When what is shown stood so, by the shop's clock.
    fn shown_at(&self) -> Timestamp {
        match &self.shop.export {
            Some(export) => export.begun + self.shop.clock,
            None => self.shop_now(),
        }
    }

    /// When what is shown was made, as far as whoever reads it now can tell.
    fn made(&self) -> Option<Made> {
        let told = self.plan.export_tells;
        let export = self.shop.export.as_ref()?;
        let by = match self.mutation {
            Some(Mutation::ExportsAreNow) => return None,
            Some(Mutation::ExportsLookNew) => self.now(),
            _ if told => export.made,
            _ => self.now(),
        };
        Some(Made { by, told })
    }
}

/// Writes an export, again and again, where the shop has one; the first is there when this returns.
pub fn export(shared: &Shared) {
    let (every, takes) = {
        let mut world = shared.get();
        let Some(every) = world.plan.export else { return };
        let (rows, now) = (world.shop.rows.clone(), world.now());
        world.shop.export = Some(Export {
            rows,
            begun: now,
            made: now,
        });
        (every, world.plan.export_takes)
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(every)).await;
            let (rows, begun) = {
                let mut world = shared.get();
                world.tell(|| "shop: an export is begun".into());
                (world.shop.rows.clone(), world.now())
            };
            tokio::time::sleep(Duration::from_secs(takes)).await;
            let mut world = shared.get();
            world.tell(|| "shop: the export is written".into());
            let made = world.now();
            world.shop.export = Some(Export { rows, begun, made });
        }
    });
}

/// The shop as a source.
pub struct ModelSource {
    /// The world.
    pub shared: Shared,
    /// Orders in one batch.
    pub batch: usize,
    /// The export that was handed over to its end, and from which moment on it was asked for.
    pub handed: Mutex<Option<(Timestamp, Option<Timestamp>)>>,
}

fn names(list: &[&str]) -> Arc<[String]> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

impl ModelSource {
    fn away(&self) -> Result<(), SourceError> {
        let mut world = self.shared.get();
        let rate = world.plan.shop_faults;
        if world.shop.down || world.chance(rate) {
            return Err(SourceError::Unavailable {
                what: "the model shop is away".into(),
            });
        }
        Ok(())
    }

    /// A read goes on to its next batch, or breaks off.
    fn goes_on(&self) -> Result<(), SourceError> {
        let world = self.shared.get();
        if world.shop.weary_until.is_some_and(|until| until > world.now()) {
            return Err(SourceError::Unavailable {
                what: "the model shop cut the read off".into(),
            });
        }
        drop(world);
        self.away()
    }

    fn record(&self, world: &World, code: &str, row: &Row, made: Option<Made>) -> Record {
        let order = names(&[
            "_key",
            "code",
            "creationTime",
            "_status",
            "_cursor",
            "email",
            "phone",
            "deliveryAddress.fullName",
            "price.withVat",
            "price.toPay",
            "price.currencyCode",
            "notes.eshopRemark",
        ]);
        let text = |text: &str| Value::Text(text.to_owned());
        let currency = if row.unmappable { "koruna" } else { "CZK" };
        let mut status = row.status.clone();
        if world.mutation == Some(Mutation::MappedStatuses) && status == TWIN.0 {
            status = "paid".into();
        }
        let values = vec![
            text(&row.key),
            text(code),
            Value::Time(row.created),
            text(&status),
            Value::Time(row.changed),
            text("jana@example.cz"),
            text("+420600000000"),
            text("Jana Nováková"),
            Value::Number("100.00".into()),
            Value::Number("0".into()),
            text(currency),
            text(&format!("note {}", row.note)),
        ];
        let item = names(&["code", "name", "amount", "weight"]);
        let items = row.items.iter().map(|amount| Values {
            names: item.clone(),
            values: vec![
                text("SKU"),
                text("Hrnek"),
                Value::Int(*amount),
                Value::Number("0.3".into()),
            ],
        });
        Record {
            key: row.key.as_str().into(),
            code: code.into(),
            changed: Some(row.changed),
            status: Some(ShopStatus(status)),
            gone: row.gone,
            order: Values { names: order, values },
            items: items.collect(),
            seal: None,
            made,
        }
    }
}

#[async_trait]
impl Source for ModelSource {
    async fn read(&self, read: Read, batches: mpsc::Sender<Vec<Record>>) -> Result<ReadEnd, SourceError> {
        self.shared.latency().await;
        self.away()?;
        let (started, rows, written, made) = {
            let mut world = self.shared.get();
            let whole = world.plan.export.is_some();
            let rows: Vec<(String, Row)> = world
                .shown()
                .iter()
                .filter(|(_, row)| whole || read.since.is_none_or(|since| row.changed >= since))
                .map(|(code, row)| (code.clone(), row.clone()))
                .collect();
            if read.since.is_some() {
                world.shop.window = rows.iter().map(|(code, _)| code.clone()).collect();
            }
            let written = world.shop.export.as_ref().map(|export| export.made);
            (world.shown_at(), rows, written, world.made())
        };
        self.shared.get().moves_cursor_first(started);
        let handed = *self.handed.lock().unwrap();
        if let (Some(written), Some((before, since))) = (written, handed)
            && before == written
            && read.since != since
        {
            return Ok(ReadEnd {
                started,
                records: 0,
                listed: None,
                unchanged: true,
            });
        }
        let mut records = 0;
        for rows in rows.chunks(self.batch) {
            let batch: Vec<Record> = {
                let world = self.shared.get();
                let live = world.plan.export.is_none();
                rows.iter()
                    .filter_map(|(code, row)| {
                        // Rows of a database are read as they are when their batch comes.
                        let row = if live { world.shop.rows.get(code)? } else { row };
                        Some(self.record(&world, code, row, made))
                    })
                    .collect()
            };
            records += batch.len() as u64;
            batches.send(batch).await.map_err(|_| SourceError::Stopped)?;
            self.shared.latency().await;
            let broken = self.goes_on();
            if broken.is_err() && self.shared.get().mutation == Some(Mutation::CursorOfBrokenRead) {
                break;
            }
            broken?;
        }
        *self.handed.lock().unwrap() = written.map(|written| (written, read.since));
        Ok(ReadEnd {
            started,
            records,
            listed: None,
            unchanged: false,
        })
    }

    async fn lookup(&self, codes: &[OrderCode]) -> Result<Vec<Record>, SourceError> {
        self.shared.latency().await;
        self.away()?;
        let records = {
            let world = self.shared.get();
            let shown = world.shown();
            codes
                .iter()
                .filter_map(|code| {
                    let row = shown.get(code.as_str())?;
                    Some(self.record(&world, code.as_str(), row, world.made()))
                })
                .collect()
        };
        self.shared.latency().await;
        Ok(records)
    }

    async fn lists(&self) -> Result<Lists, SourceError> {
        Ok(Lists::default())
    }

    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }

    fn is_live(&self) -> bool {
        self.shared.get().plan.export.is_none()
    }
}

/// The shop as a handler of one type of event.
pub struct ModelHandler {
    /// The world.
    pub shared: Shared,
}

impl ModelHandler {
    fn away(&self, code: &str) -> Result<(), WritebackError> {
        let mut world = self.shared.get();
        let rate = world.plan.shop_faults;
        if world.shop.down || world.chance(rate) {
            return Err(WritebackError::Unavailable("the model shop is away".into()));
        }
        if world.chance(rate) || world.shop.rows.get(code).is_some_and(|row| row.dead_handler) {
            return Err(WritebackError::Failed("deadlock".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for ModelHandler {
    async fn tell(&self, call: &Call) -> Result<Outcome, WritebackError> {
        let code = call.code.as_ref().map_or("", OrderCode::as_str).to_owned();
        self.shared.latency().await;
        self.away(&code)?;
        {
            let mut world = self.shared.get();
            world.meddling(&code);
            let now = world.shop_now();
            let unlocked = world.mutation == Some(Mutation::Unlocked);
            let Some(row) = world.shop.rows.get_mut(&code) else {
                return Ok(Outcome::Unmatched);
            };
            match call.event.as_str() {
                "package_number" => {
                    let number = call.package_number.clone().unwrap_or_default();
                    if !row.tracking.contains(&number) {
                        row.tracking.push(number.clone());
                        world.tell(|| format!("back: parcel {number} into `{code}`"));
                        world.commit(&code, Some(now));
                        world.number_written(&code, &number);
                    }
                }
                "status_change" => {
                    let wanted = call.status.clone().map(|status| status.0).unwrap_or_default();
                    let same = call.same_status.iter().any(|same| same.0 == row.status);
                    let moves = wanted != row.status && !same;
                    if moves
                        && call
                            .expected
                            .as_ref()
                            .is_some_and(|expected| expected.0 != row.status)
                        && !unlocked
                    {
                        return Ok(Outcome::Moved);
                    }
                    let was = row.status.clone();
                    if moves {
                        row.status.clone_from(&wanted);
                    }
                    let event = call.event_id.map(|event| event.0);
                    world.status_written(&code, &was, event, moves);
                    if moves {
                        world.tell(|| {
                            format!("back: status {wanted} into `{code}` (was {was}, event {event:?})")
                        });
                        world.commit(&code, Some(now));
                    }
                }
                _ => {}
            }
        }
        // The write stands; the answer may never come.
        self.shared.latency().await;
        let lost = {
            let mut world = self.shared.get();
            let rate = world.plan.lost_writes;
            world.chance(rate)
        };
        if lost {
            tokio::time::sleep(Duration::from_millis(500)).await;
            return Err(WritebackError::Unavailable("the connection broke".into()));
        }
        Ok(Outcome::Done)
    }
}

/// What the merchant and his shop do of their own accord.
impl World {
    /// A new order, of so many seconds ago.
    pub fn new_order(&mut self, age: i64) {
        self.shop.count += 1;
        let count = self.shop.count;
        let code = format!("A{count}");
        let now = self.shop_now();
        let created = now - SignedDuration::from_secs(age);
        let statuses = ["paid", "paid-card", "ready", "new", "hold"];
        let status = if self.plan.statuses {
            statuses[self.rng.random_range(0..5)]
        } else {
            "paid"
        };
        let items = (0..self.rng.random_range(1..3))
            .map(|_| self.rng.random_range(1..9))
            .collect();
        let row = Row {
            key: count.to_string(),
            created,
            changed: created,
            status: status.into(),
            note: 0,
            items,
            tracking: Vec::new(),
            unmappable: self.rng.random_bool(0.04),
            gone: false,
            contents: Vec::new(),
            merchant_status: None,
            hidden: false,
            status_event: 0,
            dead_handler: self.rng.random_bool(0.03),
        };
        self.shop.rows.insert(code.clone(), row);
        if self.rng.random_bool(0.04) {
            let refuse = self.rng.random_bool(0.5);
            self.brani.cursed.insert(code.clone(), refuse);
        }
        self.commit(&code, Some(created));
    }

    /// Long reads may become too much for the shop for a while.
    pub fn wearies(&mut self) {
        if self.plan.weary && self.chance(0.06) {
            let until = self.now() + SignedDuration::from_secs(self.rng.random_range(60..1200));
            self.shop.weary_until = Some(until);
            self.tell(|| format!("the shop cuts long reads off until {until}"));
        }
    }

    /// Somebody works in the shop's administration.
    pub fn merchant(&mut self) {
        let codes: Vec<String> = self.shop.rows.keys().cloned().collect();
        if codes.is_empty() {
            return;
        }
        let code = codes[self.rng.random_range(0..codes.len())].clone();
        self.works(&code);
        if self.plan.deletes && !self.shop.removed.is_empty() && self.rng.random_bool(0.1) {
            let (code, (row, _)) = self.shop.removed.pop_first().expect("one is there");
            self.shop.rows.insert(code.clone(), row);
            self.commit(&code, None);
        }
    }

    /// Somebody edits this order between our look at it and our write.
    fn meddling(&mut self, code: &str) {
        let rate = self.plan.meddling;
        if self.shop.rows.contains_key(code) && self.chance(rate) {
            self.works(code);
        }
    }

    /// Somebody edits this order.
    fn works(&mut self, code: &str) {
        let code = code.to_owned();
        let now = self.shop_now();
        let true_now = self.now();
        let act = self.rng.random_range(0..100);
        let touched = {
            let plan = self.plan.clone();
            let amount = self.rng.random_range(1..9);
            let status = {
                let choice: &[&str] = if self.rng.random_bool(0.15) {
                    &[STORNO]
                } else {
                    &["paid", "paid-card", "ready", "hold"]
                };
                choice[self.rng.random_range(0..choice.len())]
            };
            let late = self.rng.random_range(0..180);
            let Some(row) = self.shop.rows.get_mut(&code) else {
                return;
            };
            match act {
                0..40 => {
                    row.note += 1;
                    Some(now)
                }
                40..50 => {
                    // A slow transaction: committed now, dated earlier.
                    row.note += 1;
                    Some((now - SignedDuration::from_secs(late)).max(row.changed))
                }
                50..60 => Some(now),
                60..70 if plan.hidden_edits => {
                    row.items[0] = amount;
                    None
                }
                70..97 if plan.statuses && row.status != STORNO => {
                    if row.status != status {
                        row.status = status.into();
                        row.merchant_status = Some(true_now);
                    }
                    Some(now)
                }
                97 if plan.deletes => {
                    // No trash: the row is no more, and may be brought back, as it was.
                    let row = self.shop.rows.remove(&code).expect("it was there");
                    self.tell(|| format!("shop: `{code}` is removed"));
                    self.shop.removed.insert(code, (row, true_now));
                    return;
                }
                98..100 if plan.deletes => {
                    row.gone = !row.gone;
                    Some(now)
                }
                _ => return,
            }
        };
        self.commit(&code, touched);
    }
}
