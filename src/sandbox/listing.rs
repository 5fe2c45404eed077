//! Webhooks: registration, and the listings of their events.

use super::contract::{Body as Shape, complaint, detail};
use super::service::{Asked, Reply};
use super::state::State;
use super::{Inner, lock};
use crate::brani::model::GENERAL_EVENT_TYPES;
use serde_json::{Value, json};

pub(super) fn answer(inner: &Inner, asked: &Asked, segments: &[&str]) -> Result<Reply, Reply> {
    match (asked.method.as_str(), segments) {
        ("GET", ["webhook"]) => {
            let state = lock(&inner.state);
            let hooks: Vec<Value> = state
                .webhooks
                .iter()
                .map(|hook| json!({ "id": hook.id, "event_type": hook.event_type, "webhook_url": hook.url }))
                .collect();
            Ok(Reply::ok(json!({ "webhook_urls": hooks })))
        }
        ("POST", ["webhook"]) => {
            let body = asked.body(Shape::Webhook)?;
            let text = |name: &str| body[name].as_str().unwrap_or_default();
            lock(&inner.state).register(text("event_type"), text("url"));
            Ok(Reply::saved())
        }
        ("PATCH", ["webhook", id]) => {
            let body = asked.body(Shape::WebhookUrl)?;
            let id = number("path", "webhook_id", id)?;
            let mut state = lock(&inner.state);
            let hook = state.webhooks.iter_mut().find(|hook| hook.id == id);
            let hook = hook.ok_or_else(|| Reply::detail(404, "Webhook not found"))?;
            hook.url = body["url"].as_str().unwrap_or_default().to_owned();
            Ok(Reply::saved())
        }
        ("DELETE", ["webhook", id]) => {
            let id = number("path", "webhook_id", id)?;
            let mut state = lock(&inner.state);
            let before = state.webhooks.len();
            state.webhooks.retain(|hook| hook.id != id);
            if state.webhooks.len() == before {
                return Err(Reply::detail(404, "Webhook not found"));
            }
            Ok(Reply::saved())
        }
        ("GET", ["webhook", "events", "general", id]) => events(inner, asked, id, true),
        ("GET", ["webhook", "events", id]) => events(inner, asked, id, false),
        _ => Err(Reply::detail(404, "Not Found")),
    }
}

fn number(place: &str, name: &str, text: &str) -> Result<i64, Reply> {
    text.parse().map_err(|_| {
        let msg = "Input should be a valid integer, unable to parse string as an integer";
        Reply::refused(detail(vec![complaint(
            &[place.into(), name.into()],
            msg,
            "int_parsing",
        )]))
    })
}

fn from_one(asked: &Asked, name: &str) -> Result<u64, Reply> {
    let number = number("query", name, asked.wanted(name)?)?;
    match u64::try_from(number) {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err(Reply::refused(detail(vec![complaint(
            &["query".into(), name.into()],
            "Input should be greater than or equal to 1",
            "greater_than_equal",
        )]))),
    }
}

fn flag(asked: &Asked, name: &str) -> Result<bool, Reply> {
    match asked.parameter(name) {
        None | Some("" | "false" | "False" | "0") => Ok(false),
        Some("true" | "True" | "1") => Ok(true),
        Some(_) => Err(Reply::refused(detail(vec![complaint(
            &["query".into(), name.into()],
            "Input should be a valid boolean, unable to interpret input",
            "bool_parsing",
        )]))),
    }
}

fn since(asked: &Asked) -> Result<&str, Reply> {
    let text = asked.parameter("from_date").unwrap_or("2001-01-01 01:01:01");
    let good = text.len() == 19 && jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).is_ok();
    good.then_some(text).ok_or_else(|| {
        Reply::refused(detail(vec![complaint(
            &["query".into(), "from_date".into()],
            "Input should be a date and time as YYYY-MM-DD HH:MM:SS",
            "value_error",
        )]))
    })
}

fn events(inner: &Inner, asked: &Asked, id: &str, general: bool) -> Result<Reply, Reply> {
    let id = number("path", "webhook_id", id)?;
    let page = from_one(asked, "page_number")?;
    let size = from_one(asked, "items_per_page")?.min(inner.options.page_size_max.max(1));
    let since = since(asked)?;
    let oldest_first = flag(asked, "inverted")?;
    let only_failed = flag(asked, "only_failed")?;
    let mut state = lock(&inner.state);
    let hook = state.webhooks.iter().find(|hook| hook.id == id);
    let is_general = hook.map(|hook| GENERAL_EVENT_TYPES.contains(&hook.event_type.as_str()));
    if is_general != Some(general) {
        return Err(Reply::detail(404, "Webhook not found"));
    }
    let found: Vec<&super::state::Event> = state
        .events
        .iter()
        .filter(|event| event.webhook_id == id)
        // the service compares its own local time, repeated hour and all
        .filter(|event| event.created.as_str() >= since)
        .filter(|event| !only_failed || (event.successful.is_none() && event.attempts > 0))
        .collect();
    let total = found.len() as u64;
    let first = (page - 1).saturating_mul(size);
    let past = first >= total;
    if past && (page > 1 || inner.options.empty_listing_status != 200) {
        let status = if page > 1 {
            406
        } else {
            inner.options.empty_listing_status
        };
        return Err(Reply::detail(status, "Page does not exist"));
    }
    let skip = usize::try_from(first).unwrap_or(usize::MAX);
    let take = usize::try_from(size).unwrap_or(usize::MAX);
    let listed: Vec<Value> = if oldest_first {
        found
            .iter()
            .skip(skip)
            .take(take)
            .map(|event| event.json())
            .collect()
    } else {
        found
            .iter()
            .rev()
            .skip(skip)
            .take(take)
            .map(|event| event.json())
            .collect()
    };
    shift(&mut state, id);
    Ok(Reply::ok(json!({
        "total_items": total,
        "items_per_page": size,
        "page": page,
        "items_on_current_page": listed.len(),
        "webhook_events": listed,
    })))
}

/// The listing loses its oldest event while it is read: what follows moves up by one.
fn shift(state: &mut State, id: i64) {
    if state.shifts == 0 {
        return;
    }
    state.shifts -= 1;
    if let Some(at) = state.events.iter().position(|event| event.webhook_id == id) {
        state.events.remove(at);
    }
}
