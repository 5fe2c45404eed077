//! The doors of Brani's public API: every request is logged, met by its fault, held against the contract, answered.

use super::connection::Cut;
use super::contract::{self, Body as Shape, complaint, detail};
use super::faults::Fault;
use super::log::ReceivedRequest;
use super::state::Event;
use super::{Inner, application, control, extras, listing};
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Bytes read of a request.
const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;

/// An answer before it is a response.
pub(super) struct Reply {
    pub status: StatusCode,
    pub body: Payload,
}

/// What an answer carries.
pub(super) enum Payload {
    Json(Value),
    Bytes(&'static str, Bytes),
}

impl Reply {
    pub fn json(status: u16, body: Value) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: Payload::Json(body),
        }
    }
    pub fn ok(body: Value) -> Self {
        Self::json(200, body)
    }
    pub fn saved() -> Self {
        Self::ok(json!({ "detail": "Uspesne ulozeno" }))
    }
    pub fn refused(complaints: Value) -> Self {
        Self::json(422, complaints)
    }
    pub fn detail(status: u16, text: &str) -> Self {
        Self::json(status, json!({ "detail": text }))
    }
}

/// A request that has been read.
pub(super) struct Asked {
    pub method: Method,
    pub path: String,
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    /// The body, when it is JSON.
    pub json: Option<Value>,
}

impl Asked {
    async fn read(request: Request) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, REQUEST_BYTES_MAX).await.ok()?;
        let path = parts.uri.path().to_owned();
        let segments = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(percent_decoded)
            .collect();
        let query = parts.uri.query().unwrap_or_default();
        let query = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let declared = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("application/json"));
        let json = if declared {
            serde_json::from_slice(&bytes).ok()
        } else {
            None
        };
        Some(Self {
            method: parts.method,
            path,
            segments,
            query,
            headers: parts.headers,
            bytes,
            json,
        })
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The one order that it is about.
    fn code(&self) -> Option<&str> {
        let body = self.json.as_ref();
        body.and_then(|body| body.get("data").and_then(|data| data.get("code")))
            .or_else(|| body.and_then(|body| body.get("order_code")))
            .and_then(Value::as_str)
            .or_else(|| self.parameter("order_code"))
            .or_else(|| match self.segments.as_slice() {
                [order, tags, code] if order == "order" && tags == "order-tags" => Some(code),
                [stock, order, code, _] if stock == "stock" && order == "order" => Some(code),
                _ => None,
            })
    }

    /// The JSON body, or the 422 for one that is none.
    pub fn body(&self, shape: Shape) -> Result<&Value, Reply> {
        let body = self.any_body()?;
        contract::body(shape, body).map_err(Reply::refused)?;
        Ok(body)
    }

    fn any_body(&self) -> Result<&Value, Reply> {
        self.json.as_ref().ok_or_else(|| {
            let complaint = complaint(&["body".into()], "JSON decode error", "json_invalid");
            Reply::refused(detail(vec![complaint]))
        })
    }

    /// A query parameter that must be there.
    pub fn wanted(&self, name: &str) -> Result<&str, Reply> {
        self.parameter(name).ok_or_else(|| {
            let complaint = complaint(&["query".into(), name.into()], "Field required", "missing");
            Reply::refused(detail(vec![complaint]))
        })
    }
}

fn percent_decoded(part: &str) -> String {
    // a plus is a plus in a path
    let part = part.replace('+', "%2B");
    url::form_urlencoded::parse(format!("k={part}").replace('&', "%26").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// A request on its way through: whatever becomes of it, it is in the log.
struct Entry {
    inner: Arc<Inner>,
    write_of: Option<String>,
    request: Option<ReceivedRequest>,
}

impl Entry {
    fn new(inner: &Arc<Inner>, asked: &Asked) -> Self {
        let writes = matches!(asked.path.as_str(), "/order/upsert" | "/order/delete");
        let code = asked.code().map(str::to_owned);
        let write_of = code.clone().filter(|_| writes);
        let overlaps = super::lock(&inner.log).begin(write_of.as_deref());
        let text = String::from_utf8_lossy(&asked.bytes);
        let request = ReceivedRequest {
            number: 0,
            method: asked.method.to_string(),
            path: asked.path.clone(),
            query: url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&asked.query)
                .finish(),
            code,
            status: None,
            body: (inner.options.keep_bodies && inner.options.requests_max > 0).then(|| text.into_owned()),
            at: inner.clock.now(),
            overlaps,
            fault: None,
        };
        Self {
            inner: Arc::clone(inner),
            write_of,
            request: Some(request),
        }
    }

    fn note(&mut self, change: impl FnOnce(&mut ReceivedRequest)) {
        if let Some(request) = &mut self.request {
            change(request);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            super::lock(&self.inner.log).end(self.write_of.as_deref(), request);
        }
    }
}

/// Every request comes here.
pub(super) async fn serve(
    Shared(inner): Shared<Arc<Inner>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let Some(asked) = Asked::read(request).await else {
        return respond(&inner, Reply::detail(413, "Request body too large"));
    };
    if asked.segments.first().is_some_and(|first| first == "sandbox") {
        let reply = control::answer(&inner, &asked);
        return respond(&inner, reply);
    }
    let mut entry = Entry::new(&inner, &asked);
    let fault = super::lock(&inner.faults).strike(asked.method.as_str(), &asked.path, asked.code());
    if let Some(fault) = &fault {
        let name = serde_json::to_value(fault).unwrap_or_default();
        entry.note(|request| request.fault = name["fault"].as_str().map(str::to_owned));
    }
    let response = match fault {
        None => {
            let reply = answer(&inner, &asked);
            respond(&inner, reply)
        }
        Some(fault) => misbehave(&inner, asked, fault, &cut).await,
    };
    entry.note(|request| {
        request.status = (!cut.0.is_cancelled()).then(|| response.status().as_u16());
    });
    response
}

async fn misbehave(inner: &Arc<Inner>, asked: Asked, fault: Fault, cut: &Cut) -> Response {
    let html = "<!doctype html><html><body><h1>Welcome</h1></body></html>";
    match fault {
        Fault::Status { status, retry_after } => {
            let reply = Reply::detail(status, "The sandbox was told to answer so");
            let mut response = respond(inner, reply);
            if let Some(value) = retry_after.and_then(|text| HeaderValue::from_str(&text).ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            response
        }
        Fault::Latency { milliseconds } => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            let reply = answer(inner, &asked);
            respond(inner, reply)
        }
        // the connection's end drops this future
        Fault::Hang => std::future::pending().await,
        Fault::LostReply => {
            let reply = answer(inner, &asked);
            cut.0.cancel();
            respond(inner, reply)
        }
        Fault::Cut => {
            cut.0.cancel();
            respond(inner, Reply::saved())
        }
        Fault::Late { milliseconds } => {
            cut.0.cancel();
            let later = Arc::clone(inner);
            inner.spawn(async move {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                answer(&later, &asked);
            });
            respond(inner, Reply::saved())
        }
        Fault::Garbage => respond(
            inner,
            Reply {
                status: StatusCode::OK,
                body: Payload::Bytes("text/html; charset=utf-8", Bytes::from_static(html.as_bytes())),
            },
        ),
        Fault::EmptyBody => respond(
            inner,
            Reply {
                status: StatusCode::OK,
                body: Payload::Bytes("application/json", Bytes::new()),
            },
        ),
        Fault::Endless => {
            let endless = futures_util::stream::repeat_with(|| {
                Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b' '; 8192]))
            });
            let mut response = Response::new(Body::from_stream(endless));
            dress(inner, &mut response, "application/json");
            response
        }
    }
}

fn dress(inner: &Inner, response: &mut Response, content_type: &'static str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // the sandbox's own clock, not the machine's
    if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&inner.clock.now())
        && let Ok(value) = HeaderValue::from_str(&date)
    {
        headers.insert(header::DATE, value);
    }
}

fn respond(inner: &Inner, reply: Reply) -> Response {
    let (content_type, body) = match reply.body {
        Payload::Json(value) => ("application/json", Body::from(value.to_string())),
        Payload::Bytes(content_type, bytes) => (content_type, Body::from(bytes)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    dress(inner, &mut response, content_type);
    response
}

/// What Brani would answer.
fn answer(inner: &Arc<Inner>, asked: &Asked) -> Reply {
    if asked.segments.first().is_some_and(|first| first == "api") {
        return application::answer(inner, asked);
    }
    if let Err(reply) = admitted(&asked.headers, &inner.options.token) {
        return reply;
    }
    let segments: Vec<&str> = asked.segments.iter().map(String::as_str).collect();
    let reply = match (asked.method.as_str(), segments.as_slice()) {
        ("POST", ["order", "upsert"]) => upsert(inner, asked),
        ("DELETE", ["order", "delete"]) => delete(inner, asked),
        ("GET", ["eshop", "info"]) => Ok(eshop_info(inner)),
        ("POST", ["eshop", "info"]) => take_eshop_info(inner, asked),
        (_, ["webhook", ..]) => listing::answer(inner, asked, &segments),
        _ => extras::answer(inner, asked, &segments),
    };
    reply.unwrap_or_else(|refusal| refusal)
}

/// The token, or the refusal: 403 where there is none, 401 where it is another one.
fn admitted(headers: &HeaderMap, token: &str) -> Result<(), Reply> {
    match bearer(headers) {
        None => Err(Reply::detail(403, "Not authenticated")),
        Some(found) if found == token => Ok(()),
        Some(_) => Err(Reply::detail(401, "Unauthorized")),
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

fn upsert(inner: &Arc<Inner>, asked: &Asked) -> Result<Reply, Reply> {
    let body = asked.any_body()?;
    let references = Arc::clone(&super::lock(&inner.state).references);
    contract::order(body, &references, inner.clock.now()).map_err(Reply::refused)?;
    let data = &body["data"];
    let code = data["code"].as_str().unwrap_or_default();
    let status = data["status"]["id"].as_i64();
    let mut state = super::lock(&inner.state);
    let order = state.orders.entry(code.to_owned()).or_default();
    order.body = asked.bytes.clone();
    order.upserts += 1;
    let before = order.status;
    order.status = status.or(before);
    let echoes = inner.options.upserts_make_events && status.is_some() && status != before;
    if echoes {
        let event = Event {
            event_type: "status_change".into(),
            created: state.local(inner.clock.now()),
            code: Some(code.to_owned()),
            status_id: status,
            ..Event::default()
        };
        let ids = state.add_event(&event);
        drop(state);
        inner.push(&ids);
    }
    Ok(Reply::saved())
}

fn delete(inner: &Arc<Inner>, asked: &Asked) -> Result<Reply, Reply> {
    let code = asked.wanted("order_code")?;
    let mut state = super::lock(&inner.state);
    if state.orders.swap_remove(code).is_none() {
        return Ok(Reply::detail(
            inner.options.unknown_delete_status,
            "Objednavka nenalezena",
        ));
    }
    state.deleted.push(code.to_owned());
    Ok(Reply::saved())
}

fn eshop_info(inner: &Inner) -> Reply {
    let state = super::lock(&inner.state);
    Reply::ok(json!({
        "data": state.info,
        "summary": {
            "eshop_id": inner.options.eshop_id,
            "eshop_name": inner.options.eshop_name,
            "eshop_url": "https://shop.example.cz",
            "enabled": true,
            "multieshop_id": null,
            "is_shoptet": false,
            "warehouse": null,
        },
    }))
}

fn take_eshop_info(inner: &Inner, asked: &Asked) -> Result<Reply, Reply> {
    let body = asked.body(Shape::EshopInfo)?;
    super::lock(&inner.state).take_info(body["data"].clone());
    Ok(Reply::ok(json!({
        "status_code": 200,
        "detail": "Uspesne ulozeno",
        "headers": null,
    })))
}
