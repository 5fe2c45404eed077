//! Doors for a person or another process, under `/sandbox`: what stands, what came, what is to go wrong.

use super::faults::{Fault, Matcher};
use super::service::{Asked, Payload, Reply};
use super::{Inner, lock};
use axum::body::Bytes;
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::sync::Arc;

const INDEX: &str = "\
A sandbox of Brani. The public API answers at this address, the application API under /api/.

GET    /sandbox                      this page
GET    /sandbox/orders               every order that stands
GET    /sandbox/orders/CODE          one order, and what stands beside it
GET    /sandbox/requests             the latest requests, sums, and whether one code was in flight twice
POST   /sandbox/pack                 {\"code\", \"package_number\", \"status_id\" (-1)}: the packer packs
POST   /sandbox/status               {\"code\", \"status_id\"}: the packer sets a status
GET    /sandbox/events               every stored event
POST   /sandbox/tracking             {\"code\", \"name\", \"status_id_v2\"}: the carrier's next word
POST   /sandbox/pushes               {\"enabled\", \"attempts\", \"pause_milliseconds\", \"copies\", \"delay_milliseconds\", \"shuffle_milliseconds\"}
POST   /sandbox/faults               {\"fault\": {\"fault\": NAME, …}, \"times\" (ever), \"match\": {\"method\", \"path\", \"code\"}}
                                     or {\"seed\", \"share\" (0 to 1)} for the random mix
DELETE /sandbox/faults               no more faults

faults: status {status, retry_after} · latency {milliseconds} · hang · lost_reply · cut · late {milliseconds}
        garbage · endless · empty_body

example: curl -X POST localhost:PORT/sandbox/faults -d '{\"fault\":{\"fault\":\"status\",\"status\":503},\"times\":3}'
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pack {
    code: String,
    package_number: String,
    #[serde(default = "packed")]
    status_id: i64,
}

fn packed() -> i64 {
    -1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetStatus {
    code: String,
    status_id: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Track {
    code: String,
    name: String,
    status_id_v2: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trouble {
    fault: Option<Fault>,
    times: Option<u64>,
    #[serde(default, rename = "match")]
    matcher: Matcher,
    seed: Option<u64>,
    share: Option<f64>,
}

/// `curl -d` does not say that it sends JSON, so the bytes are read.
fn parse<T: DeserializeOwned>(asked: &Asked) -> Result<T, Reply> {
    serde_json::from_slice(&asked.bytes)
        .map_err(|error| Reply::json(400, json!({ "error": error.to_string(), "help": "GET /sandbox" })))
}

pub(super) fn answer(inner: &Arc<Inner>, asked: &Asked) -> Reply {
    let segments: Vec<&str> = asked.segments.iter().map(String::as_str).collect();
    act(inner, asked, &segments[1..]).unwrap_or_else(|refusal| refusal)
}

fn known(inner: &Inner, code: &str) -> Result<(), Reply> {
    let known = lock(&inner.state).orders.contains_key(code);
    known
        .then_some(())
        .ok_or_else(|| Reply::json(404, json!({ "error": "no such order", "code": code })))
}

fn act(inner: &Arc<Inner>, asked: &Asked, segments: &[&str]) -> Result<Reply, Reply> {
    match (asked.method.as_str(), segments) {
        ("GET", []) => Ok(Reply {
            status: StatusCode::OK,
            body: Payload::Bytes("text/plain; charset=utf-8", Bytes::from_static(INDEX.as_bytes())),
        }),
        ("GET", ["orders"]) => Ok(Reply::ok(inner.orders().into())),
        ("GET", ["orders", code]) => {
            known(inner, code)?;
            Ok(Reply::ok(
                json!({ "order": inner.order(code), "beside": inner.beside(code) }),
            ))
        }
        ("GET", ["requests"]) => {
            let log = lock(&inner.log);
            Ok(Reply::ok(json!({
                "in_flight_twice": log.overlapped,
                "counts": log.counts,
                "requests": log.kept,
            })))
        }
        ("GET", ["events"]) => {
            let events: Vec<_> = lock(&inner.state)
                .events
                .iter()
                .map(|event| event.json())
                .collect();
            Ok(Reply::ok(events.into()))
        }
        ("POST", ["pack"]) => {
            let pack: Pack = parse(asked)?;
            known(inner, &pack.code)?;
            let ids = inner.pack(&pack.code, &pack.package_number, pack.status_id);
            Ok(Reply::ok(json!({ "events": ids })))
        }
        ("POST", ["status"]) => {
            let set: SetStatus = parse(asked)?;
            known(inner, &set.code)?;
            let ids = inner.add_event(super::NewEvent::status(&set.code, set.status_id));
            Ok(Reply::ok(json!({ "events": ids })))
        }
        ("POST", ["tracking"]) => {
            let track: Track = parse(asked)?;
            known(inner, &track.code)?;
            let now = inner.clock.now();
            let mut state = lock(&inner.state);
            let at = state.local(now);
            if let Some(order) = state.orders.get_mut(&track.code) {
                order.beside().tracking.push(
                    json!({"name": track.name, "date": at, "status_id": null, "status_id_v2": track.status_id_v2}),
                );
            }
            Ok(Reply::ok(json!({})))
        }
        ("POST", ["pushes"]) => {
            *lock(&inner.pushes) = super::push::Switch::new(parse(asked)?);
            Ok(Reply::ok(json!({})))
        }
        ("POST", ["faults"]) => {
            let trouble: Trouble = parse(asked)?;
            let mut faults = lock(&inner.faults);
            if let Some(share) = trouble.share {
                faults.mix(
                    trouble.seed.unwrap_or(1),
                    share,
                    trouble.fault.into_iter().collect(),
                );
            } else if let Some(fault) = trouble.fault {
                faults.add(trouble.matcher, fault, trouble.times);
            } else {
                return Err(Reply::json(
                    400,
                    json!({ "error": "give `fault` or `share`", "help": "GET /sandbox" }),
                ));
            }
            Ok(Reply::ok(json!({})))
        }
        ("DELETE", ["faults"]) => {
            lock(&inner.faults).clear();
            Ok(Reply::ok(json!({})))
        }
        _ => Err(Reply::json(
            404,
            json!({ "error": "no such door", "help": "GET /sandbox" }),
        )),
    }
}
