//! What an answer of Brani means: status first, then whether the body is Brani's at all.
//!
//! Pure reading, shared by the public API's client, its extras and the application API. It sends nothing.

use super::{Complaint, Error, PageRequest};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::warn;

/// The longest wait that a `Retry-After` can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Complaints kept of one 422; a body of a hundred thousand would only fill the ledger.
const COMPLAINTS_MAX: usize = 50;
/// Bytes read of a 422.
const COMPLAINT_BYTES_MAX: usize = 64 * 1024;

/// A 2xx whose body has been read, or found not to be readable.
#[derive(Debug)]
pub(super) struct Answer {
    body: Result<Value, String>,
}

/// A 2xx with a body that is Brani's.
#[derive(Debug)]
pub(super) struct Saved {
    /// The body; its content varies.
    pub body: Value,
}

impl Answer {
    /// The body, or the error for a 2xx that is not Brani's.
    pub fn saved(self) -> Result<Saved, Error> {
        match self.body {
            Ok(body) => Ok(Saved { body }),
            Err(why) => Err(not_branis(&why)),
        }
    }
}

/// A 2xx that somebody else may have given: a proxy, a login page. The request may have been applied all the same.
pub(super) fn not_branis(why: &str) -> Error {
    Error::Unavailable {
        what: format!("the answer is not Brani's: {why}"),
        retry_after: None,
        maybe_applied: true,
        server_error: false,
    }
}

/// A request that brought no answer.
pub(super) fn not_sent(error: &reqwest::Error) -> Error {
    // refused, no such host, TLS not agreed: nothing of the request has left
    let before = error.is_connect() || error.is_builder();
    let what = if before {
        format!("no connection: {}", chain(error))
    } else if error.is_timeout() {
        "no answer in time (`brani.timeout`)".to_owned()
    } else {
        format!("the connection broke: {}", chain(error))
    };
    Error::Unavailable {
        what,
        retry_after: None,
        maybe_applied: !before,
        server_error: false,
    }
}

/// The innermost cause in one line. The outer ones repeat the URL, which may hold an order code or more.
fn chain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.source().is_none() {
        return "the request was not made".into();
    }
    cause.to_string().replace(['\n', '\r'], " ")
}

/// The `Date` header.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    let zoned = rfc2822::DateTimeParser::new().parse_timestamp(text.trim());
    zoned.ok()
}

/// `Retry-After` as seconds or as an HTTP date, bounded.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // too many digits are too many seconds
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let at = http_date(text)?;
        // by the service's own clock, where it told it: ours may be wrong
        let now = date(headers).unwrap_or(now);
        Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Reads an answer: errors by status, a 2xx with its body as JSON.
pub(super) async fn read(response: reqwest::Response, limit: usize, now: Timestamp) -> Result<Answer, Error> {
    let status = response.status();
    let wait = retry_after(response.headers(), now);
    let number = status.as_u16();
    let unavailable = |maybe_applied, server_error| Error::Unavailable {
        what: format!("HTTP {number}"),
        retry_after: wait,
        maybe_applied,
        server_error,
    };
    match status {
        _ if status.is_success() => Ok(Answer {
            body: body(response, limit).await?,
        }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Error::Unauthorized { status: number }),
        StatusCode::NOT_FOUND => Err(Error::NotFound),
        StatusCode::UNPROCESSABLE_ENTITY => Err(Error::Rejected {
            complaints: complaints(response).await,
        }),
        // refused before it was looked at
        StatusCode::TOO_MANY_REQUESTS => Err(unavailable(false, false)),
        StatusCode::REQUEST_TIMEOUT => Err(unavailable(true, false)),
        // a maintenance page somewhere else; a permanent move is a wrong `brani.base_url`
        StatusCode::FOUND | StatusCode::SEE_OTHER | StatusCode::TEMPORARY_REDIRECT => {
            Err(unavailable(false, false))
        }
        _ if status.is_server_error() => Err(unavailable(true, true)),
        _ => Err(Error::Refused { status: number }),
    }
}

async fn body(response: reqwest::Response, limit: usize) -> Result<Result<Value, String>, Error> {
    let bytes = match crate::http::body(response, limit).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Err(format!("it is longer than {} KiB", limit / 1024))),
        // it broke off or hung after the status: applied or not, nobody knows
        Err(error) => return Err(not_sent(&error)),
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Err("it is empty".into()));
    }
    // the parser's message would quote the body
    Ok(serde_json::from_slice(&bytes).map_err(|_| "it is not JSON".to_owned()))
}

/// A 422's complaints; the status counts even where its body cannot be read.
async fn complaints(response: reqwest::Response) -> Vec<Complaint> {
    let bytes = match crate::http::body(response, COMPLAINT_BYTES_MAX).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) | Err(_) => Vec::new(),
    };
    let parsed: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let mut complaints: Vec<Complaint> = Vec::new();
    for entry in parsed["detail"].as_array().into_iter().flatten() {
        let complaint = Complaint {
            field: field(&entry["loc"]),
            message: short(entry["msg"].as_str().unwrap_or_default(), 500),
            kind: kind(entry["type"].as_str().unwrap_or_default()),
        };
        // two order forms are accepted, so a fault may be told once for each
        if !complaints.contains(&complaint) && complaints.len() < COMPLAINTS_MAX {
            complaints.push(complaint);
        }
    }
    if complaints.is_empty() {
        let message = match &parsed["detail"] {
            Value::String(text) => short(text, 500),
            _ => short(&String::from_utf8_lossy(&bytes), 500),
        };
        complaints.push(Complaint {
            field: "order".into(),
            message,
            kind: "unknown".into(),
        });
    }
    complaints
}

/// `["body","data","items",0,"amount"]` → `items[0].amount`.
fn field(loc: &Value) -> String {
    let mut path = String::new();
    let parts = loc.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut envelope = true;
    for part in parts.iter().take(20) {
        match part {
            Value::Number(index) => {
                envelope = false;
                path.push_str(&format!("[{index}]"));
            }
            Value::String(name) => {
                // the envelope, and the name of the order form that was tried
                if envelope && matches!(name.as_str(), "body" | "data" | "Data" | "Data2") {
                    continue;
                }
                envelope = false;
                if !path.is_empty() {
                    path.push('.');
                }
                // a name that is none of ours may be the customer's text
                path.extend(name.chars().filter(|c| !c.is_control()).take(80));
            }
            _ => {}
        }
    }
    if path.is_empty() { "order".into() } else { path }
}

/// FastAPI's types are words with underscores; anything else is not safe for the log.
fn kind(text: &str) -> String {
    let safe = !text.is_empty()
        && text.len() <= 60
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if safe { text.to_owned() } else { "unknown".into() }
}

fn short(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// The list in `body[key]`, element by element: a broken one must not lose the others.
///
/// # Errors
/// When there is no list.
pub(super) fn elements<T: DeserializeOwned>(
    body: &mut Value,
    key: &str,
    noun: &'static str,
) -> Result<Vec<T>, Error> {
    let Some(Value::Array(list)) = body.get_mut(key).map(Value::take) else {
        return Err(not_branis(&format!("there is no list `{key}` in it")));
    };
    let mut broken: Vec<Option<i64>> = Vec::new();
    let mut good = Vec::with_capacity(list.len());
    for mut element in list {
        let id = element.get("id").and_then(Value::as_i64);
        soften(&mut element);
        match serde_json::from_value(element) {
            Ok(one) => good.push(one),
            Err(_) => broken.push(id),
        }
    }
    if !broken.is_empty() {
        tell_broken(noun, &broken);
    }
    Ok(good)
}

/// The same page is read again and again: the same broken elements are told once in half an hour.
fn tell_broken(noun: &'static str, ids: &[Option<i64>]) {
    const REPEAT: Duration = Duration::from_secs(30 * 60);
    /// By noun: which ones, and when.
    type Told = BTreeMap<&'static str, (Vec<Option<i64>>, Instant)>;
    static TOLD: Mutex<Told> = Mutex::new(BTreeMap::new());
    {
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        if told
            .get(noun)
            .is_some_and(|(before, at)| before == ids && at.elapsed() < REPEAT)
        {
            return;
        }
        told.insert(noun, (ids.to_vec(), Instant::now()));
    }
    let shown: Vec<String> = ids
        .iter()
        .take(5)
        .map(|id| id.map_or_else(|| "one without an id".into(), |id| format!("`{id}`")))
        .collect();
    let more = if ids.len() > 5 { ", …" } else { "" };
    let broken = ids.len();
    warn!(
        event = "brani.element_broken",
        noun,
        broken,
        "Left out {broken} {noun}(s) of a listing, not as the contract writes them: {}{more}",
        shown.join(", ")
    );
}

/// Texts that a service may write as numbers, and numbers that it may write as texts.
fn soften(element: &mut Value) {
    let Value::Object(fields) = element else { return };
    for name in ["order_code", "event_package_number", "event_order_history"] {
        if let Some(value @ Value::Number(_)) = fields.get_mut(name) {
            *value = Value::String(value.to_string());
        }
    }
    for name in ["id", "webhook_id", "event_status_id"] {
        if let Some(Value::String(text)) = fields.get(name)
            && let Ok(number) = text.trim().parse::<i64>()
        {
            fields.insert(name.to_owned(), number.into());
        }
    }
    if let Some(payload @ Value::Null) = fields.get_mut("payload") {
        *payload = Value::Object(serde_json::Map::new());
    }
}

/// The figures beside a page's events.
#[derive(Debug)]
pub(super) struct Counts {
    pub total_items: u64,
    pub items_per_page: u64,
    pub page: u64,
    pub items_on_current_page: u64,
}

/// Missing figures must not end a listing early: without a total only an empty page or a 406 does.
pub(super) fn counts(body: &Value, asked: &PageRequest, found: usize) -> Counts {
    let figure = |name: &str| body.get(name).and_then(Value::as_u64);
    Counts {
        total_items: figure("total_items").unwrap_or(u64::MAX),
        items_per_page: figure("items_per_page").filter(|n| *n > 0).unwrap_or(asked.size),
        page: figure("page").unwrap_or(asked.page),
        items_on_current_page: figure("items_on_current_page").unwrap_or(found as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::{RETRY_AFTER_MAX, field, kind, retry_after};
    use jiff::Timestamp;
    use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
    use serde_json::json;
    use std::time::Duration;

    fn wait(value: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        }
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        retry_after(&headers, now)
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date_and_is_bounded() {
        assert_eq!(wait("7", None), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999999999999999999999", None), Some(RETRY_AFTER_MAX));
        assert_eq!(
            wait("Mon, 23 Nov 2026 10:00:30 GMT", None),
            Some(Duration::from_secs(30))
        );
        assert_eq!(wait("Mon, 23 Nov 2026 09:00:30 GMT", None), Some(Duration::ZERO));
        assert_eq!(wait("Tue, 24 Nov 2026 09:00:30 GMT", None), Some(RETRY_AFTER_MAX));
        assert_eq!(wait("soon", None), None);
        assert_eq!(wait("-3", None), None);
    }

    #[test]
    fn retry_after_date_counts_from_the_services_own_clock() {
        let date = Some("Mon, 23 Nov 2026 11:00:00 GMT");
        assert_eq!(
            wait("Mon, 23 Nov 2026 11:00:10 GMT", date),
            Some(Duration::from_secs(10))
        );
    }

    #[test]
    fn complaint_is_told_by_the_orders_own_path() {
        assert_eq!(
            field(&json!(["body", "data", "items", 0, "amount"])),
            "items[0].amount"
        );
        assert_eq!(
            field(&json!(["body", "data", "Data2", "price", "toPay"])),
            "price.toPay"
        );
        assert_eq!(field(&json!(["body"])), "order");
        assert_eq!(field(&json!("nonsense")), "order");
    }

    #[test]
    fn kind_that_is_no_word_does_not_reach_the_log() {
        assert_eq!(kind("string_type"), "string_type");
        assert_eq!(kind("Jan Novák is no number"), "unknown");
    }
}
