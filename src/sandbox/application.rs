//! The packing application's own API: login with tokens that end, settings, remarks. Same port, under `/api/`.

use super::contract::Body as Shape;
use super::service::{Asked, Reply, bearer};
use super::{Inner, lock};
use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Tokens given, and the logins that were tried.
#[derive(Default)]
pub(super) struct Logins {
    pub tokens: HashMap<String, Timestamp>,
    pub tried: u64,
    pub failed: u64,
}

pub(super) fn answer(inner: &Inner, asked: &Asked) -> Reply {
    let segments: Vec<&str> = asked.segments.iter().map(String::as_str).collect();
    if (asked.method.as_str(), segments.as_slice()) == ("POST", &["api", "login"]) {
        return login(inner, asked);
    }
    let now = inner.clock.now();
    match bearer(&asked.headers) {
        None => return Reply::detail(403, "Not authenticated"),
        Some(token) => {
            let ends = lock(&inner.logins).tokens.get(token).copied();
            if ends.is_none_or(|ends| ends <= now) {
                return Reply::detail(401, "Could not validate credentials");
            }
        }
    }
    match (asked.method.as_str(), segments.as_slice()) {
        ("GET", ["api", "settings"]) => Reply::ok(json!({
            "settings": { "language": "cs" },
            "filters": asked.parameter("calculate_filters").map(|_| json!([])),
        })),
        ("POST", ["api", "packing", "set_remark"]) => remark(inner, asked).unwrap_or_else(|refusal| refusal),
        _ => Reply::detail(404, "Not Found"),
    }
}

fn remark(inner: &Inner, asked: &Asked) -> Result<Reply, Reply> {
    let body = asked.body(Shape::Remark)?;
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    if body["eshop_id"].as_i64() != Some(inner.options.eshop_id) {
        return Err(Reply::detail(404, "Eshop not found"));
    }
    let mut state = lock(&inner.state);
    let order = state.orders.get_mut(text("order_code"));
    let order = order.ok_or_else(|| Reply::detail(404, "Order not found"))?;
    order.beside().remark = Some(text("remark").to_owned());
    Ok(Reply::json(201, json!({ "detail": "ok" })))
}

fn login(inner: &Inner, asked: &Asked) -> Reply {
    let form: HashMap<String, String> = url::form_urlencoded::parse(&asked.bytes).into_owned().collect();
    let good = form.get("username") == Some(&inner.options.app_username)
        && form.get("password") == Some(&inner.options.app_password);
    let mut logins = lock(&inner.logins);
    logins.tried += 1;
    if !good {
        logins.failed += 1;
        return Reply::detail(401, "Incorrect username or password");
    }
    let life = SignedDuration::try_from(inner.options.app_token_life).unwrap_or(SignedDuration::MAX);
    let now = inner.clock.now();
    let ends = now.checked_add(life).unwrap_or(Timestamp::MAX);
    let token = if inner.options.app_token_is_jwt {
        jwt(&json!({ "sub": "sandbox", "exp": ends.as_second() }))
    } else {
        noise()
    };
    logins.tokens.retain(|_, ends| *ends > now);
    logins.tokens.insert(token.clone(), ends);
    Reply::ok(json!({ "access_token": token, "token_type": "bearer" }))
}

/// Shaped like a JWT; the signature is noise, for only the sandbox looks at it, and by its list.
fn jwt(claims: &Value) -> String {
    let head = json!({ "alg": "HS256", "typ": "JWT" });
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}.{}", part(&head), part(claims), noise())
}

fn noise() -> String {
    let bytes: [u8; 24] = rand::rng().random();
    base64url(&bytes)
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut word = [0_u8; 3];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes([0, word[0], word[1], word[2]]);
        for at in 0..=chunk.len() {
            let index = (word >> (18 - 6 * at)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}
