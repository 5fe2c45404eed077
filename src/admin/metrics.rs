//! The metrics in Prometheus's text form. Labels are the shop and words of ours, never an order code.

use super::Desk;
use crate::health::times::{BOUNDS, Ended};
use crate::health::{self, Health};
use std::fmt::Write as _;

/// What can become of an event; every state is told, so that a graph has no gaps.
const EVENT_STATES: [&str; 10] = [
    "new",
    "applied",
    "superseded",
    "echo",
    "unmatched",
    "unmapped",
    "protected",
    "stuck",
    "skipped",
    "seen",
];

struct Text {
    out: String,
    shop: String,
}

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.out,
            "# HELP brani_sync_{name} {help}\n# TYPE brani_sync_{name} {kind}"
        );
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.out, "brani_sync_{name}{{shop=\"{}\"", self.shop);
        for (label, text) in labels {
            let _ = write!(self.out, ",{label}=\"{}\"", label_value(text));
        }
        let _ = writeln!(self.out, "}} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, "gauge", help);
        self.sample(name, &[], value);
    }
}

fn label_value(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

pub(super) fn text(desk: &Desk, health: &Health) -> String {
    let mut t = Text {
        out: String::with_capacity(8 * 1024),
        shop: label_value(&desk.state.shop),
    };
    t.head("build_info", "gauge", "The running version; always 1.");
    t.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    t.head(
        "start_time_seconds",
        "gauge",
        "When this process began, seconds since 1970.",
    );
    t.sample("start_time_seconds", &[], desk.state.started.as_second());
    t.gauge(
        "turning",
        "1 while the loops turn.",
        u8::from((desk.state.turning)()),
    );
    let ready = health::unready(health, &desk.state.expected).is_empty();
    t.gauge(
        "ready",
        "1 while the last good pass of both flows is young.",
        u8::from(ready),
    );

    t.head("orders", "gauge", "Orders of the ledger by state.");
    for (state, count) in health::by_state(&health.orders) {
        t.sample("orders", &[("state", state)], count);
    }
    t.head(
        "orders_waiting",
        "gauge",
        "Orders that wait to be sent, by what goes first.",
    );
    let lanes = &health.waiting_by_lane;
    for (lane, count) in [
        ("new", lanes.new),
        ("update", lanes.update),
        ("backlog", lanes.backlog),
        ("resend", lanes.resend),
        ("again", lanes.again),
    ] {
        t.sample("orders_waiting", &[("lane", lane)], count);
    }
    t.gauge(
        "orders_failing",
        "Waiting orders whose last attempt failed.",
        health.failing,
    );
    t.gauge(
        "orders_parked_at_brani",
        "Parked orders that Brani has in an older version.",
        health.parked.at_brani,
    );
    t.gauge(
        "orders_gone",
        "Orders that Brani has and the shop does not, and nobody deletes.",
        health.gone,
    );
    t.gauge(
        "resends_held",
        "Re-sends that wait for a person.",
        health.resends_held,
    );
    t.gauge(
        "deletes_held",
        "Deletes that wait for a person.",
        health.deletes_held,
    );
    t.gauge("claims", "Second orders that claim a code.", health.claims.total);
    t.head(
        "extras",
        "gauge",
        "What stands beside orders, by state; parcels on their way are a state of their own.",
    );
    let beside = &health.extras;
    for (state, count) in [
        ("waiting", beside.waiting),
        ("sent", beside.sent),
        ("parked", beside.parked),
        ("missing_invoice", beside.missing_invoices),
        ("parcel", beside.parcels),
    ] {
        t.sample("extras", &[("state", state)], count);
    }
    t.head("events", "gauge", "Events of the ledger by what became of them.");
    for state in EVENT_STATES {
        t.sample(
            "events",
            &[("state", state)],
            health.events.get(state).copied().unwrap_or(0),
        );
    }
    t.gauge(
        "troubles",
        "What is wrong at the moment, as the log tells it.",
        desk.state.troubles.list().len(),
    );

    // Before the first poll the lag is counted from the start: one that never comes must be seen, too.
    let since_start = || health.at.duration_since(desk.state.started).as_secs().max(0);
    let lag = health.lag_seconds.unwrap_or_else(since_start);
    t.gauge(
        "lag_seconds",
        "The age of the last good poll, or of this process before the first.",
        lag,
    );
    t.head(
        "last_success_timestamp_seconds",
        "gauge",
        "The end of the last good pass, seconds since 1970; 0 before the first.",
    );
    for (pass, at) in [
        ("poll", health.last_poll),
        ("send", health.last_sent),
        ("drain", health.last_drain),
        ("sweep", health.last_sweep),
    ] {
        t.sample(
            "last_success_timestamp_seconds",
            &[("pass", pass)],
            at.map_or(0, |at| at.as_second()),
        );
    }
    send_times(&mut t, desk);
    t.out
}

fn send_times(t: &mut Text, desk: &Desk) {
    t.head(
        "send_seconds",
        "histogram",
        "How long requests that send an order take, by their end.",
    );
    for ended in Ended::ALL {
        let observed = desk.state.times.observed(ended);
        let outcome = ended.as_str();
        for (bound, count) in BOUNDS.iter().zip(observed.within) {
            let bound = bound.as_secs_f64().to_string();
            t.sample(
                "send_seconds_bucket",
                &[("outcome", outcome), ("le", &bound)],
                count,
            );
        }
        t.sample(
            "send_seconds_bucket",
            &[("outcome", outcome), ("le", "+Inf")],
            observed.count,
        );
        t.sample(
            "send_seconds_sum",
            &[("outcome", outcome)],
            observed.sum.as_secs_f64(),
        );
        t.sample("send_seconds_count", &[("outcome", outcome)], observed.count);
    }
}
