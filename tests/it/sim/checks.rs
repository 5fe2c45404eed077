//! What must hold, whatever people, networks and crashes do: the invariants of the design, checked at every step.

use super::shop::{self, Row, STORNO};
use super::world::{Mutation, World};
use brani_sync::types::StatusId;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The latest request for an order.
#[derive(Clone, Debug)]
struct Last {
    content: String,
    status: Option<StatusId>,
    begun: Timestamp,
    answered: Option<Timestamp>,
}

/// What was sent of one order.
#[derive(Default)]
struct Sent {
    newest: usize,
    last: Option<Last>,
    /// When the last request that was answered with success began.
    stood: Option<Timestamp>,
    /// There was no request before the last one since the order was made or deleted.
    first: bool,
    /// Requests that may repeat what Brani has, because one was not answered.
    repeats: u8,
    /// The first success after it; what follows within five minutes does not count for good.
    said: Option<Timestamp>,
}

/// The memory of the checks.
#[derive(Default)]
pub struct Checks {
    sent: BTreeMap<String, Sent>,
    /// When each order was asked to be deleted of late.
    asked_to_delete: BTreeMap<String, Vec<Timestamp>>,
    /// Complete drains: begun, ended.
    drains: Vec<(Timestamp, Timestamp)>,
    /// When the ledger was last lost or replaced.
    pub lost: Option<Timestamp>,
    /// Requests and writes, to see that all becomes quiet.
    pub moves: u64,
    /// The ledger's file.
    pub ledger: PathBuf,
    /// A look into it, until the file is another one.
    pub looks: Option<rusqlite::Connection>,
}

/// Clocks and whole seconds.
const SLACK: SignedDuration = SignedDuration::from_secs(3);

impl World {
    /// A deliberate fault that shows in the ledger.
    pub fn tamper(&self) {
        let sql = match self.mutation {
            Some(Mutation::NewestHashForSent) => "UPDATE orders SET sent_hash = wanted_hash WHERE known = 1",
            Some(Mutation::ForgetWriting) => "UPDATE orders SET writing = NULL",
            Some(Mutation::ForgetOwed) => "UPDATE orders SET owed = 0",
            Some(Mutation::ForgetUnanswered) => {
                "UPDATE orders SET unanswered = 0, owed = 0, window_to = coalesce(window_to, window_from)"
            }
            Some(Mutation::OutOfOrder) => {
                "UPDATE orders SET status_event = NULL, status_event_id = NULL;
                 UPDATE events SET state = 'new' WHERE type = 'status_change' AND state IN ('applied', 'superseded')
                 AND id = (SELECT min(id) FROM events e WHERE e.code = events.code AND e.type = 'status_change')"
            }
            _ => return,
        };
        self.put(sql);
    }

    /// A fault's own statements.
    fn put(&self, sql: &str) {
        let _ = rusqlite::Connection::open(&self.checks.ledger)
            .and_then(|connection| connection.execute_batch(sql));
    }

    /// A ledger is said to have learned everything.
    pub fn set_learned(&self) {
        let now = self.now().as_millisecond();
        self.put(&format!(
            "INSERT OR IGNORE INTO meta (name, value) VALUES ('drain.learned', '{now}')"
        ));
    }

    /// The cursor is moved to where a read begins, and nothing of the read is kept yet.
    pub fn moves_cursor_first(&self, started: Timestamp) {
        if self.mutation == Some(Mutation::CursorFirst) {
            let name = brani_sync::ledger::cursors::name::CURSOR;
            self.put(&format!(
                "INSERT OR REPLACE INTO meta (name, value) VALUES ('{name}', '{}')",
                started.as_millisecond()
            ));
        }
    }

    /// What the last window did not show is said to be gone.
    pub fn take_absence_for_gone(&self) {
        let shown: Vec<String> = self.shop.window.iter().map(|code| format!("'{code}'")).collect();
        self.put(&format!(
            "UPDATE orders SET missing_since = 0 WHERE known = 1 AND code NOT IN ({})",
            shown.join(", ")
        ));
    }

    fn row(&self, code: &str) -> Option<&Row> {
        let removed = self.shop.removed.get(code).map(|(row, _)| row);
        self.shop.rows.get(code).or(removed)
    }

    /// A look into the ledger.
    fn ask(&mut self, sql: &str, of: impl rusqlite::ToSql) -> Option<i64> {
        let checks = &mut self.checks;
        if checks.looks.is_none() {
            let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
            checks.looks = rusqlite::Connection::open_with_flags(&checks.ledger, flags).ok();
        }
        let mut statement = checks.looks.as_ref()?.prepare_cached(sql).ok()?;
        statement.query_row([of], |row| row.get(0)).ok()
    }

    /// A number that the ledger keeps of an order.
    fn kept(&mut self, column: &str, code: &str) -> Option<i64> {
        self.ask(&format!("SELECT {column} FROM orders WHERE code = ?1"), code)
    }

    /// Whether an event is in the ledger's inbox.
    pub fn has_event(&mut self, id: i64) -> bool {
        self.ask("SELECT 1 FROM events WHERE id = ?1 AND general = 0", id)
            .is_some()
    }

    /// When the request that leaves now was decided.
    fn decided(&mut self, code: &str) -> Timestamp {
        Timestamp::from_millisecond(self.kept("window_from", code).unwrap_or(0)).unwrap()
    }

    /// The newest complete drain begun before a moment.
    fn drain_before(&self, at: Timestamp) -> Option<Timestamp> {
        self.checks
            .drains
            .iter()
            .rev()
            .find(|(_, ended)| *ended <= at)
            .map(|(began, _)| *began)
    }

    /// Whoever says what our own request says, while it is open, cannot be told from its echo.
    pub fn like_an_echo(&self, code: &str, status: StatusId) -> bool {
        let Some(sent) = self.checks.sent.get(code) else {
            return false;
        };
        let Some(last) = &sent.last else { return false };
        let now = self.now();
        let open = match last.answered {
            Some(answered) if sent.repeats == 0 => now.duration_since(answered) < SLACK * 2,
            _ => now.duration_since(last.begun) < SignedDuration::from_mins(20),
        };
        last.status == Some(status) && open
    }

    /// A complete drain is over.
    pub fn drained(&mut self, began: Timestamp) {
        let now = self.now();
        self.checks.drains.push((began, now));
        let recent = self
            .checks
            .drains
            .iter()
            .rev()
            .take_while(|(began, _)| now.duration_since(*began).as_secs() < 60);
        if recent.count() > 60 {
            self.broken("the service is asked for events without end".into());
        }
    }

    /// An upsert leaves.
    pub fn request_leaves(&mut self, code: &str, content: &str, status: Option<StatusId>) {
        // What is refused is tried again at each sweep, and what breaks, for a day.
        if !self.brani.cursed.contains_key(code) {
            self.checks.moves += 1;
        }
        let now = self.now();
        if self.brani.in_flight.get(code).is_some_and(|count| *count > 0) {
            self.broken(format!("two requests in flight for `{code}`"));
        }
        if self.brani.quiet_until.is_some_and(|until| until > now) {
            self.broken(format!("`{code}` is sent before the time that Brani asked for"));
        }
        let Some(row) = self.row(code).cloned() else {
            return self.broken(format!("`{code}` is sent, and the shop never had it"));
        };
        let Some(place) = row.contents.iter().rposition(|other| other == content) else {
            return self.broken(format!("`{code}` is sent as {content}, and never was that"));
        };
        let newest = self.checks.sent.get(code).map_or(0, |sent| sent.newest);
        if place < newest {
            self.broken(format!(
                "`{code}` is sent as {content} after {}",
                row.contents[newest]
            ));
        }
        self.unchanged(code, content, status);
        self.stale(code, status, &row);
        let sent = self.checks.sent.entry(code.to_owned()).or_default();
        sent.newest = place;
        sent.first = sent.last.is_none();
        sent.last = Some(Last {
            content: content.into(),
            status,
            begun: now,
            answered: None,
        });
    }

    /// Nothing unchanged is sent.
    fn unchanged(&mut self, code: &str, content: &str, status: Option<StatusId>) {
        let Some(sent) = self.checks.sent.get(code) else {
            return;
        };
        let Some(last) = sent.last.clone() else { return };
        let Some(answered) = last.answered else { return };
        let stands = self
            .brani
            .orders
            .get(code)
            .is_some_and(|order| order.content == content && order.status == status);
        if !stands || last.content != content || sent.repeats > 0 {
            return;
        }
        // What was sent before a loss is not known, and a first request after it may have carried the packer's word.
        if self.checks.lost.is_some_and(|lost| {
            let now = self.now();
            lost >= last.begun
                || self.brani.packer.contains_key(code)
                || now.duration_since(lost).as_secs() < 900
        }) {
            return;
        }
        // The first request after a delete carried the packer's word, and the shop was told it while that was unconfirmed.
        if sent.first
            && self
                .brani
                .events
                .iter()
                .any(|event| event.code == code && event.status == status)
        {
            return;
        }
        // Another word of the shop's for the same status is news of the shop's all the same, whenever we come to read it.
        let lag = self.plan.word_lag();
        if self
            .row(code)
            .and_then(|row| row.merchant_status)
            .is_some_and(|at| at >= last.begun - SLACK * 20 - lag)
        {
            return;
        }
        // An event may have crossed the last request: then Brani hears its own status again.
        let since = self.drain_before(last.begun).unwrap_or(Timestamp::UNIX_EPOCH) - SLACK;
        let until = self
            .checks
            .drains
            .iter()
            .find(|(began, _)| *began > answered)
            .map_or(Timestamp::MAX, |(_, ended)| *ended);
        // While an older event still waits, no drain confirms the request.
        let until = match self.kept("owed", code) {
            Some(1) => Timestamp::MAX,
            _ => until,
        };
        let owed = self.brani.events.iter().any(|event| {
            event.code == code && event.kind == "status_change" && event.at >= since && event.at <= until
        });
        if !owed {
            self.broken(format!(
                "`{code}` is sent again unchanged: {content}, status {status:?}"
            ));
        }
    }

    /// No older status over the packer's, no cancelled order revived.
    fn stale(&mut self, code: &str, status: Option<StatusId>, row: &Row) {
        let Some(order) = self.brani.orders.get(code).cloned() else {
            return;
        };
        let storno = Some(shop::id(STORNO));
        if order.status == storno && row.status == STORNO && status != storno {
            self.broken(format!(
                "`{code}` is cancelled and is sent with status {status:?}"
            ));
        }
        let Some((packers, at)) = self.brani.packer.get(code).copied() else {
            return;
        };
        if order.status != Some(packers) || status == Some(packers) || status == storno {
            return;
        }
        if row.merchant_status.is_some_and(|merchant| merchant >= at) {
            return;
        }
        // The merchant changed what was agreed, which an export may not have told yet; the packer went away from it and back.
        let lag = self.plan.word_lag();
        let stood = self.checks.sent.get(code).and_then(|sent| sent.stood);
        if stood.is_some_and(|begun| {
            row.merchant_status
                .is_some_and(|merchant| merchant >= begun - lag)
        }) {
            return;
        }
        // An old copy of the ledger takes what we wrote after it for the merchant's.
        if self.checks.lost.is_some()
            && row.merchant_status.is_none()
            && status == Some(shop::id(&row.status))
        {
            return;
        }
        // An old copy of the ledger had agreed on this very status: the packer came back to it, and nothing tells.
        let told_before = self.brani.events.iter().any(|event| {
            event.code == code
                && event.kind == "status_change"
                && event.status == Some(packers)
                && event.at < at
        });
        if self.checks.lost.is_some() && told_before {
            return;
        }
        let decided = self.decided(code);
        if self.drain_before(decided).is_some_and(|began| at < began) {
            self.broken(format!(
                "`{code}` is sent with status {status:?} over the packer's {packers}"
            ));
        }
    }

    /// A request was answered with success.
    pub fn answered(&mut self, code: &str, content: &str, status: Option<StatusId>) {
        let now = self.now();
        let text = format!("answered: `{code}` {content}");
        self.tell(|| text);
        if let Some(sent) = self.checks.sent.get_mut(code) {
            let said = *sent.said.get_or_insert(now);
            if sent.repeats == 2 || now.duration_since(said) >= SignedDuration::from_mins(5) {
                sent.repeats = sent.repeats.saturating_sub(1);
            }
            if let Some(last) = &mut sent.last {
                last.answered = Some(now);
                sent.stood = Some(last.begun);
                last.status = status;
            }
        }
    }

    /// A request got no answer, or none that was kept.
    pub fn left_unanswered(&mut self, code: &str) {
        let sent = self.checks.sent.entry(code.to_owned()).or_default();
        sent.repeats = 2;
        sent.said = None;
    }

    /// A request to delete leaves.
    pub fn delete_leaves(&mut self, code: &str) {
        let now = self.now();
        let asked = self.checks.asked_to_delete.entry(code.to_owned()).or_default();
        asked.retain(|at| now.duration_since(*at).as_secs() < 60);
        asked.push(now);
        if asked.len() > 15 {
            self.broken(format!("the service is asked to delete `{code}` without end"));
        }
    }

    /// An order is deleted at Brani.
    pub fn deletes(&mut self, code: &str) {
        self.checks.moves += 1;
        if self
            .shop
            .rows
            .get(code)
            .is_some_and(|row| !row.gone && row.status != STORNO)
            && !self.recent_return(code)
        {
            self.broken(format!("`{code}` is deleted at Brani, and the shop has it"));
        }
        let now = self.now();
        // What was in the trash was withdrawn before it was removed.
        if let Some((row, removed)) = self.shop.removed.get(code)
            && !row.gone
            && now.duration_since(*removed) < SignedDuration::from_hours(20)
        {
            self.broken(format!(
                "`{code}` is deleted at Brani, and was missing for a moment only"
            ));
        }
        self.brani.packer.remove(code);
        self.checks.sent.remove(code);
    }

    /// Orders that stand in nobody's way.
    fn is_good(&self, code: &str, row: &Row) -> bool {
        !(row.unmappable || row.dead_handler || row.gone || self.brani.cursed.contains_key(code))
            && row.status != STORNO
    }

    /// Every order that always fails moves, and so do those that do not; returns these.
    pub fn stir(&mut self) -> Vec<String> {
        self.tell(|| "good orders and bad ones change at once".into());
        let now = self.shop_now();
        let codes: Vec<String> = self.shop.rows.keys().cloned().collect();
        let mut good = Vec::new();
        for code in codes {
            let row = self.shop.rows[&code].clone();
            let fine = self.is_good(&code, &row);
            if fine && !(self.known(&code) && self.brani.orders.contains_key(&code)) {
                continue;
            }
            if !row.gone {
                self.shop.rows.get_mut(&code).expect("it is there").note += 1;
                self.commit(&code, Some(now));
            }
            if fine {
                good.push(code);
            }
        }
        good
    }

    /// What the good ones became is at Brani a moment later, however the bad ones fare.
    pub fn none_was_delayed(&mut self, good: &[String]) {
        for code in good {
            let row = &self.shop.rows[code];
            let content = row.content();
            let at_brani = self.brani.orders.get(code).map(|order| order.content.clone());
            if at_brani.as_ref() != Some(&content) {
                self.broken(format!(
                    "`{code}` waits, and nothing is wrong with it: {at_brani:?} at Brani, {content} in the shop"
                ));
            }
        }
    }

    /// Good orders and bad ones are packed at once.
    pub fn pack_all(&mut self) {
        let codes: Vec<String> = self.brani.orders.keys().cloned().collect();
        for code in codes {
            if self.shop.rows.contains_key(&code) {
                self.packs(&code);
            }
        }
    }

    /// What was packed is in the shop a moment later, whatever becomes of the handlers of others.
    pub fn all_was_applied(&mut self, good: &[String]) {
        // An export that does not tell its age may say for a day what stood there before our write.
        let ageless = self.plan.export.is_some() && !self.plan.export_tells;
        if self.checks.lost.is_some() || ageless {
            return;
        }
        for code in good {
            let row = self.shop.rows[code].clone();
            let status = self.brani.orders.get(code).and_then(|order| order.status);
            if status != Some(shop::id(&row.status)) {
                self.broken(format!(
                    "`{code}` waits to hear from Brani, and nothing is wrong with it: {status:?} there, {} in the shop",
                    row.status
                ));
            }
            self.parcels(code, &row);
        }
    }

    /// Removed rows whose order Brani still has, after two sweeps that were far apart.
    pub fn none_is_left_behind(&mut self) {
        if self.checks.lost.is_some() || self.plan.export.is_some() {
            return;
        }
        let codes: Vec<String> = self.shop.removed.keys().cloned().collect();
        for code in codes {
            if self.brani.orders.contains_key(&code) {
                self.broken(format!("`{code}` was removed from the shop, and Brani has it"));
            }
        }
    }

    /// The row came out of the trash a moment ago.
    fn recent_return(&self, code: &str) -> bool {
        let now = self.shop_now();
        self.shop
            .rows
            .get(code)
            .is_some_and(|row| now.duration_since(row.changed).as_secs() < 900)
    }

    /// A status is written into the shop.
    pub fn status_written(&mut self, code: &str, was: &str, event: Option<i64>, moves: bool) {
        if moves {
            self.checks.moves += 1;
            if was == STORNO {
                self.broken(format!("`{code}` was cancelled in the shop and is overwritten"));
            }
        }
        let Some(event) = event else { return };
        let Some(row) = self.shop.rows.get_mut(code) else {
            return;
        };
        let newest = row.status_event;
        row.status_event = newest.max(event);
        let tracking = row.tracking.clone();
        if event < newest && moves {
            self.broken(format!("`{code}`: event {event} is applied after {newest}"));
        }
        if self.checks.lost.is_some() || self.plan.deletes {
            return; // a new ledger writes nothing that is older than the row
        }
        let missing = self
            .brani
            .events
            .iter()
            .filter(|other| other.code == code && other.id < event)
            .filter_map(|other| other.number.clone())
            .find(|number| !tracking.contains(number));
        if let Some(number) = missing {
            self.broken(format!(
                "`{code}`: event {event} is applied before parcel {number}"
            ));
        }
    }

    /// A parcel's number is written into the shop.
    pub fn number_written(&mut self, code: &str, _number: &str) {
        self.checks.moves += 1;
        let Some(row) = self.shop.rows.get(code) else {
            return;
        };
        let mut order: Vec<&String> = Vec::new();
        for event in self.brani.events.iter().filter(|event| event.code == code) {
            if let Some(number) = event.number.as_ref().filter(|number| !order.contains(number)) {
                order.push(number);
            }
        }
        let places: Vec<usize> = row
            .tracking
            .iter()
            .filter_map(|number| order.iter().position(|other| *other == number))
            .collect();
        if !places.is_sorted() && self.checks.lost.is_none() {
            let text = format!("`{code}`: parcels out of order: {:?}", row.tracking);
            self.broken(text);
        }
    }

    /// Both sides agree; what only a sweep can find counts after one.
    pub fn agreement(&mut self, swept: bool) {
        let rows = self.shop.rows.clone();
        for (code, row) in rows {
            if row.gone && swept && self.checks.lost.is_none() && self.brani.orders.contains_key(&code) {
                self.broken(format!("`{code}` is gone from the shop, and Brani has it"));
            }
            if row.unmappable || row.dead_handler || row.gone || self.brani.cursed.contains_key(&code) {
                continue;
            }
            if row.hidden && !swept {
                continue;
            }
            let brings = shop::SEND_WHEN.contains(&row.status.as_str());
            let Some(order) = self.brani.orders.get(&code).cloned() else {
                if brings {
                    self.broken(format!("`{code}` ({}) never came to Brani", row.status));
                }
                continue;
            };
            // A new ledger does not know an order that it would not bring.
            if self.checks.lost.is_some() && !brings && !self.known(&code) {
                continue;
            }
            if order.content != row.content() {
                self.broken(format!(
                    "`{code}` is {} at Brani and {} in the shop",
                    order.content,
                    row.content()
                ));
            }
            // Of exports that do not tell their age none but one that says what we wrote says more, for a day.
            if self.plan.export.is_some()
                && !self.plan.export_tells
                && self.kept("stale IS NOT NULL", &code) == Some(1)
            {
                continue;
            }
            let packers = self.brani.packer.get(&code).copied();
            // A new ledger writes nothing into a row that was changed after the event.
            if self.checks.lost.is_some() && packers.is_some() {
                continue;
            }
            if order.status != Some(shop::id(&row.status)) {
                self.broken(format!(
                    "`{code}` is {:?} at Brani and {} in the shop",
                    order.status, row.status
                ));
            }
            let packers = packers.map(|(status, _)| status);
            if row.merchant_status.is_none() && packers.is_some_and(|status| order.status != Some(status)) {
                self.broken(format!(
                    "`{code}` is {:?} at Brani, the packer said {packers:?}",
                    order.status
                ));
            }
            self.parcels(&code, &row);
        }
    }

    fn parcels(&mut self, code: &str, row: &Row) {
        if self.checks.lost.is_some() || self.plan.deletes {
            return;
        }
        let missing = self
            .brani
            .events
            .iter()
            .filter(|event| event.code == code)
            .filter_map(|event| event.number.clone())
            .find(|number| !row.tracking.contains(number));
        if let Some(number) = missing {
            self.broken(format!("parcel {number} of `{code}` never came to the shop"));
        }
    }

    fn known(&mut self, code: &str) -> bool {
        self.kept("known", code) == Some(1)
    }
}
