//! What the sandbox was asked, for whoever wants to know afterwards; bounded.

use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// One request as it was received.
#[derive(Clone, Debug, Serialize)]
pub struct ReceivedRequest {
    /// Counts from 1.
    pub number: u64,
    /// E.g. `POST`.
    pub method: String,
    /// E.g. `/order/upsert`.
    pub path: String,
    /// Without the `?`.
    pub query: String,
    /// The order it is about, if one.
    pub code: Option<String>,
    /// What was answered; nothing when the connection was cut or the client left.
    pub status: Option<u16>,
    /// The body, when bodies are kept.
    pub body: Option<String>,
    /// When it came.
    pub at: Timestamp,
    /// Another write of the same order was in flight.
    pub overlaps: bool,
    /// The fault it met, as its name in JSON.
    pub fault: Option<String>,
}

/// Sums that are kept whatever the length of the log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Requests in all, the sandbox's own doors left out.
    pub requests: u64,
    /// Requests by method and path, e.g. `POST /order/upsert`; ids in paths are left out.
    pub by_path: BTreeMap<String, u64>,
    /// Answers by status; 0 where none was given.
    pub by_status: BTreeMap<u16, u64>,
    /// Most requests in flight at one time.
    pub most_in_flight: u64,
}

#[derive(Default)]
pub(super) struct Log {
    pub kept: VecDeque<ReceivedRequest>,
    pub max: usize,
    pub counts: Counts,
    pub overlapped: bool,
    in_flight: u64,
    /// Writes in flight by code.
    writes: HashMap<String, u32>,
}

impl Log {
    pub fn new(max: usize) -> Self {
        Self {
            max,
            ..Self::default()
        }
    }

    /// A write of this order begins; whether another one is in flight.
    pub fn begin(&mut self, write_of: Option<&str>) -> bool {
        self.in_flight += 1;
        self.counts.most_in_flight = self.counts.most_in_flight.max(self.in_flight);
        let Some(code) = write_of else { return false };
        let writes = self.writes.entry(code.to_owned()).or_default();
        *writes += 1;
        let overlaps = *writes > 1;
        self.overlapped |= overlaps;
        overlaps
    }

    pub fn end(&mut self, write_of: Option<&str>, mut request: ReceivedRequest) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(code) = write_of
            && let Some(writes) = self.writes.get_mut(code)
        {
            *writes -= 1;
            if *writes == 0 {
                self.writes.remove(code);
            }
        }
        self.counts.requests += 1;
        request.number = self.counts.requests;
        let path = template(&request.path);
        *self
            .counts
            .by_path
            .entry(format!("{} {path}", request.method))
            .or_default() += 1;
        *self
            .counts
            .by_status
            .entry(request.status.unwrap_or(0))
            .or_default() += 1;
        if self.max == 0 {
            return;
        }
        while self.kept.len() >= self.max {
            self.kept.pop_front();
        }
        self.kept.push_back(request);
    }
}

/// The first two segments: what follows are ids and codes, and too many for a sum.
fn template(path: &str) -> String {
    path.split('/').take(3).collect::<Vec<_>>().join("/")
}
