//! The rest of the public API: what stands beside an order.

use super::contract::{Body as Shape, complaint, detail};
use super::service::{Asked, Payload, Reply};
use super::state::{Beside, State};
use super::{Inner, lock};
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use serde_json::{Value, json};

fn unknown_order() -> Reply {
    Reply::detail(404, "Objednavka nenalezena")
}

fn of<'s>(state: &'s mut State, code: &str) -> Result<&'s mut Beside, Reply> {
    let order = state.orders.get_mut(code).ok_or_else(unknown_order)?;
    Ok(order.beside())
}

/// One code or a list of them.
fn codes(body: &Value) -> Vec<String> {
    match &body["order_code"] {
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        one => one.as_str().map(str::to_owned).into_iter().collect(),
    }
}

pub(super) fn answer(inner: &Inner, asked: &Asked, segments: &[&str]) -> Result<Reply, Reply> {
    let mut state = lock(&inner.state);
    match (asked.method.as_str(), segments) {
        ("POST", ["order", "customs"]) => {
            let body = asked.body(Shape::Customs)?;
            let beside = of(&mut state, body["order_code"].as_str().unwrap_or_default())?;
            beside.customs = body["customs"].as_array().cloned().unwrap_or_default();
            Ok(Reply::saved())
        }
        ("POST", ["order", "priority"]) => {
            let body = asked.body(Shape::Priority)?;
            for code in codes(body) {
                of(&mut state, &code)?.priority = body["priority"].as_i64().unwrap_or_default();
            }
            Ok(Reply::saved())
        }
        ("POST", ["order", "ordering"]) => {
            let body = asked.body(Shape::Ordering)?;
            for order in body["orders"].as_array().into_iter().flatten() {
                let beside = of(&mut state, order["order_code"].as_str().unwrap_or_default())?;
                beside.ordering = order["ordering_number"].as_i64().unwrap_or_default();
            }
            Ok(Reply::saved())
        }
        ("GET", ["order", "org-tags"]) => Ok(Reply::ok(json!({ "tags": state.tags }))),
        ("GET", ["order", "order-tags", code]) => {
            let ids = of(&mut state, code)?.tags.clone();
            let mut tags = state.tags.clone();
            tags.retain(|tag| tag["id"].as_i64().is_some_and(|id| ids.contains(&id)));
            Ok(Reply::ok(json!({ "tags": tags })))
        }
        ("POST", ["order", "order-tags"]) => tag(&mut state, asked, true),
        ("DELETE", ["order", "order-tags"]) => tag(&mut state, asked, false),
        (_, ["order", "invoice"]) => invoice(&mut state, asked),
        ("POST", ["carriers", "track-order"]) => {
            let body = asked.body(Shape::Track)?;
            let beside = of(&mut state, body["order_code"].as_str().unwrap_or_default())?;
            Ok(Reply::ok(
                json!({ "brani_tracking": beside.tracking, "carrier_tracking": [] }),
            ))
        }
        ("POST", ["carriers", "order-attributes"]) => {
            let body = asked.body(Shape::Attributes)?;
            let beside = of(&mut state, body["order_code"].as_str().unwrap_or_default())?;
            let name = body["attribute_code"].as_str().unwrap_or_default();
            beside
                .attributes
                .insert(name.to_owned(), body.get("value").cloned().unwrap_or_default());
            Ok(Reply::ok(json!({ "status": "ok", "message": "Uspesne ulozeno" })))
        }
        ("GET", ["stock", "order", code, "picked-items"]) => {
            Ok(Reply::ok(of(&mut state, code)?.picked.clone().into()))
        }
        _ => Err(Reply::detail(404, "Not Found")),
    }
}

fn tag(state: &mut State, asked: &Asked, add: bool) -> Result<Reply, Reply> {
    let body = asked.body(Shape::Tags)?;
    let id = body["tag_id"].as_i64().unwrap_or_default();
    let mut warnings = Vec::new();
    let mut errors = Vec::new();
    let mut done = Vec::new();
    let exists = state.tags.iter().any(|tag| tag["id"].as_i64() == Some(id));
    if !exists {
        errors.push(json!(format!("tag {id} does not exist")));
    }
    for code in codes(body).into_iter().filter(|_| exists) {
        match state.orders.get_mut(&code) {
            None => errors.push(json!(format!("order {code} does not exist"))),
            Some(order) => {
                let tags = &mut order.beside().tags;
                let changed = if add { tags.insert(id) } else { tags.remove(&id) };
                if !changed {
                    warnings.push(json!(format!("order {code}: nothing to do")));
                }
                done.push(code);
            }
        }
    }
    let key = if add {
        "added_order_tags"
    } else {
        "removed_order_tags"
    };
    let list = |list: Vec<Value>| if list.is_empty() { Value::Null } else { list.into() };
    Ok(Reply::ok(json!({
        key: { "order_codes": done, "tag_id": id },
        "warnings": list(warnings),
        "errors": list(errors),
    })))
}

fn invoice(state: &mut State, asked: &Asked) -> Result<Reply, Reply> {
    let code = asked.wanted("order_code")?;
    let beside = of(state, code)?;
    match asked.method.as_str() {
        "GET" => {
            let invoice = beside.invoice.clone();
            let bytes = invoice.ok_or_else(|| Reply::detail(404, "Faktura nenalezena"))?;
            Ok(Reply {
                status: StatusCode::OK,
                body: Payload::Bytes("application/pdf", bytes),
            })
        }
        "POST" => {
            let missing = || {
                let complaint = complaint(&["body".into(), "invoice".into()], "Field required", "missing");
                Reply::refused(detail(vec![complaint]))
            };
            beside.invoice = Some(part(asked, "invoice").ok_or_else(missing)?);
            Ok(Reply::saved())
        }
        "DELETE" => {
            let gone = beside.invoice.take();
            gone.ok_or_else(|| Reply::detail(404, "Faktura nenalezena"))?;
            Ok(Reply::saved())
        }
        _ => Err(Reply::detail(405, "Method Not Allowed")),
    }
}

/// One file of a multipart body. The body is already in memory, so a search for the boundary does.
fn part(asked: &Asked, name: &str) -> Option<Bytes> {
    let declared = asked.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (kind, boundary) = declared.split_once("boundary=")?;
    if !kind.trim_start().starts_with("multipart/form-data") {
        return None;
    }
    let boundary = boundary.split(';').next()?.trim().trim_matches('"');
    let delimiter = format!("\r\n--{boundary}");
    let opening = format!("--{boundary}\r\n");
    let body = &asked.bytes;
    let mut at = find(body, opening.as_bytes(), 0)? + opening.len();
    loop {
        let head_end = find(body, b"\r\n\r\n", at)?;
        let head = String::from_utf8_lossy(&body[at..head_end]).to_string();
        let start = head_end + 4;
        // an empty part's delimiter begins with the blank line's own end
        let end = find(body, delimiter.as_bytes(), start.saturating_sub(2))?;
        let is_file = head.contains(&format!("name=\"{name}\"")) && head.contains("filename=");
        if is_file {
            return Some(body.slice(start..end.max(start)));
        }
        at = end + delimiter.len() + 2;
    }
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    haystack
        .get(from..)?
        .windows(needle.len())
        .position(|window| window == needle)
        .map(|position| from + position)
}
