//! The packing application's own API: a login of its own, and any path.
//!
//! The token lives in memory only. It is renewed before it ends, where it tells when, and once after a 401. Logins
//! that are refused are paused longer and longer, for accounts lock. Use a user made for this purpose: what is done
//! here stands in Brani's change log under its name.

use super::client::{LISTING_BYTES_MAX, SetupError, usable};
use super::{Error, answer};
use crate::clock::SharedClock;
use crate::config::secret::Secret;
use crate::types::OrderCode;
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use tokio::sync::Mutex;
use tracing::{info, warn};
use url::Url;

/// The first pause after a refused login; each further one is twice as long.
const PAUSE_SECONDS: i64 = 60;
/// The longest pause.
const PAUSE_SECONDS_MAX: i64 = 3600;
/// A token is renewed so long before it ends, or at half its life if that is later.
const RENEW_SECONDS: i64 = 30;

/// Why the application API did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The auth service does not take user and password.
    #[error(
        "the login of `{username}` was refused (HTTP {status}); the next try is allowed in {pause_seconds} s"
    )]
    LoginRefused {
        /// `app.username`.
        username: String,
        /// What it answered.
        status: u16,
        /// How long nothing is tried.
        pause_seconds: i64,
    },
    /// An earlier login was refused: nothing was sent.
    #[error(
        "no login was tried: an earlier one was refused, and accounts lock; the next try is allowed in {pause_seconds} s"
    )]
    LoginPaused {
        /// How long nothing is tried.
        pause_seconds: i64,
    },
    /// The path is none.
    #[error("`{0}` is no path of the application; it begins with one `/`, e.g. `/api/settings/`")]
    Path(String),
    /// As with the public API.
    #[error(transparent)]
    Service(#[from] Error),
}

impl AppError {
    /// What to do, for the person who can mend it.
    pub fn hint(&self) -> &'static str {
        match self {
            AppError::LoginRefused { .. } | AppError::LoginPaused { .. } => {
                "check `app.username` and the password where `app.password` says; log in by hand once to see whether the account is locked"
            }
            AppError::Path(_) => "give the path as the packing application's own front end calls it",
            AppError::Service(Error::Unauthorized { .. }) => {
                "the login was taken but the request was not: does this user have the right in the packing application?"
            }
            AppError::Service(Error::NotFound | Error::Refused { .. }) => "check the path and `app.base_url`",
            AppError::Service(error) => error.hint(),
        }
    }
}

/// A token in hand.
struct Token {
    bearer: Secret,
    /// When to fetch another one, if it tells.
    renew: Option<Timestamp>,
}

#[derive(Default)]
struct Session {
    token: Option<Token>,
    refused: u32,
    not_before: Option<Timestamp>,
}

/// The packing application.
pub struct AppClient {
    http: reqwest::Client,
    auth: Url,
    base: Url,
    username: String,
    password: Secret,
    clock: SharedClock,
    session: Mutex<Session>,
}

impl fmt::Debug for AppClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppClient")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl AppClient {
    /// A client for one user.
    ///
    /// # Errors
    /// When a setting cannot be used, or TLS not be set up.
    pub fn new(
        auth_url: &Url,
        base_url: &Url,
        username: &str,
        password: Secret,
        timeout: Duration,
        clock: SharedClock,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            http: crate::http::client(timeout)?,
            auth: usable("app.auth_url", auth_url)?,
            base: usable("app.base_url", base_url)?,
            username: username.to_owned(),
            password,
            clock,
            session: Mutex::default(),
        })
    }

    /// `GET` any path of the application.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn get(&self, path: &str, query: &[(String, String)]) -> Result<Value, AppError> {
        let url = self.address(path)?;
        self.ask(|http| http.request(Method::GET, url.clone()).query(query))
            .await
    }

    /// `POST` JSON to any path of the application.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, AppError> {
        let url = self.address(path)?;
        self.ask(|http| http.request(Method::POST, url.clone()).json(body))
            .await
    }

    /// The packer's settings.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn settings(&self) -> Result<Value, AppError> {
        self.get("/api/settings/", &[("calculate_filters".into(), "true".into())])
            .await
    }

    /// Sets the e-shop's remark of an order, as the packer sees it.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn set_remark(&self, eshop_id: i64, code: &OrderCode, text: &str) -> Result<(), AppError> {
        let body = json!({
            "eshop_id": eshop_id,
            "is_multieshop_request": false,
            "order_code": code,
            "remark": text,
        });
        self.post("/api/packing/set_remark/", &body).await?;
        Ok(())
    }

    /// A path below the base URL, with its query, never another host: the token goes along.
    fn address(&self, path: &str) -> Result<Url, AppError> {
        let refuse = || AppError::Path(path.chars().take(200).collect());
        if !path.starts_with('/') || path.starts_with("//") || path.contains(['\\', '#']) {
            return Err(refuse());
        }
        let (path_only, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let mut url = self.base.clone();
        let full = format!("{}{path_only}", self.base.path().trim_end_matches('/'));
        url.set_path(&full);
        url.set_query(query);
        Ok(url)
    }

    async fn ask(&self, request: impl Fn(&reqwest::Client) -> RequestBuilder) -> Result<Value, AppError> {
        // one at a time: many requests after the token's end must not log in many times
        let mut session = self.session.lock().await;
        let mut fresh = false;
        loop {
            if session
                .token
                .as_ref()
                .is_none_or(|token| token.renew.is_some_and(|renew| renew <= self.clock.now()))
            {
                self.login(&mut session).await?;
                fresh = true;
            }
            let Some(token) = &session.token else {
                return Err(Error::Unauthorized { status: 401 }.into());
            };
            let sent = request(&self.http)
                .bearer_auth(token.bearer.expose())
                .send()
                .await;
            let response = sent.map_err(|error| answer::not_sent(&error))?;
            let answered = answer::read(response, LISTING_BYTES_MAX, self.clock.now()).await;
            match answered {
                Err(Error::Unauthorized { status: 401 }) => {
                    session.token = None;
                    if fresh {
                        // a token just given is not taken: further logins would not mend it
                        self.pause(&mut session);
                        return Err(Error::Unauthorized { status: 401 }.into());
                    }
                }
                answered => {
                    let body = answered?.saved()?.body;
                    session.refused = 0;
                    return Ok(body);
                }
            }
        }
    }

    /// The next login is put off; for how long.
    fn pause(&self, session: &mut Session) -> i64 {
        session.refused = session.refused.saturating_add(1);
        let doublings = (session.refused - 1).min(10);
        let pause_seconds = (PAUSE_SECONDS << doublings).min(PAUSE_SECONDS_MAX);
        let until = self
            .clock
            .now()
            .checked_add(SignedDuration::from_secs(pause_seconds));
        session.not_before = until.ok();
        pause_seconds
    }

    async fn login(&self, session: &mut Session) -> Result<(), AppError> {
        session.token = None;
        let now = self.clock.now();
        if let Some(not_before) = session.not_before
            && now < not_before
        {
            let pause_seconds = not_before.duration_since(now).as_secs().max(1);
            return Err(AppError::LoginPaused { pause_seconds });
        }
        let mut url = self.auth.clone();
        url.set_path(&format!("{}/api/login/", self.auth.path().trim_end_matches('/')));
        let form = [
            ("username", self.username.as_str()),
            ("password", self.password.expose()),
        ];
        let sent = self.http.post(url).form(&form).send().await;
        let response = sent.map_err(|error| answer::not_sent(&error))?;
        let status = response.status();
        if matches!(status.as_u16(), 400 | 401 | 403 | 422 | 423) {
            let pause_seconds = self.pause(session);
            warn!(
                event = "app.login_refused",
                http.status = status.as_u16(),
                pause_seconds,
                "The packing application refused the login; nothing is tried for {pause_seconds} s"
            );
            return Err(AppError::LoginRefused {
                username: self.username.clone(),
                status: status.as_u16(),
                pause_seconds,
            });
        }
        let body = answer::read(response, 64 * 1024, now).await?.saved()?.body;
        let token = body["access_token"].as_str().filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| answer::not_branis("the login has no `access_token` in it"))?;
        session.token = Some(Token {
            renew: renewal(token, now),
            bearer: Secret::new(token),
        });
        session.not_before = None;
        info!(event = "app.logged_in", "Logged in to the packing application");
        Ok(())
    }
}

/// When to renew a token that is a JWT and tells its end.
fn renewal(token: &str, now: Timestamp) -> Option<Timestamp> {
    let claims = base64url(token.split('.').nth(1)?)?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "seconds")]
    let exp = claims["exp"]
        .as_i64()
        .or_else(|| claims["exp"].as_f64().map(|exp| exp as i64))?;
    let life = exp.saturating_sub(now.as_second());
    if life <= 0 {
        // one of the two clocks is wrong: wait for the 401
        return None;
    }
    Timestamp::from_second(exp - RENEW_SECONDS.min(life / 2)).ok()
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut word, mut bits) = (0_u32, 0_u32);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        word = (word << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits).to_be_bytes()[3]);
            word &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{base64url, renewal};
    use jiff::Timestamp;

    #[test]
    fn jwt_is_renewed_before_its_end_and_no_jwt_is_left_alone() {
        // {"exp":1000}
        let token = "e30.eyJleHAiOjEwMDB9.x";
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(renewal(token, at(0)), Some(at(970)));
        assert_eq!(renewal(token, at(980)), Some(at(990)));
        assert_eq!(renewal(token, at(2000)), None);
        assert_eq!(renewal("opaque", at(0)), None);
        assert_eq!(renewal("a.!.c", at(0)), None);
    }

    #[test]
    fn base64url_is_read_with_and_without_padding() {
        assert_eq!(base64url("eyJ9").as_deref(), Some(b"{\"}".as_slice()));
        assert_eq!(base64url("YQ==").as_deref(), Some(b"a".as_slice()));
        assert_eq!(base64url("-_8").as_deref(), Some([0xfb, 0xff].as_slice()));
    }
}
