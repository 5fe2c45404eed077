//! Telling the shop by an HTTP request.
//!
//! A 2xx answer means told. Redirects are not followed: the setting shall name the place itself. The request
//! carries an idempotency key made of the event's id, for an answer may be lost and the event told again.

use super::parameters::{self, Escape, SettingError, Template};
use super::{Call, Handler, Outcome, WritebackError};
use crate::config::{self, secret::Secret};
use crate::http::{body, client, refuse_plain};
use async_trait::async_trait;
use jiff::tz::TimeZone;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};
use std::time::Duration;
use url::Url;

/// An answer's body says nothing to us; this much is read so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long reading it may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// Settings of one request whose secrets were found.
#[derive(Debug)]
pub struct Settings<'a> {
    /// The key's path, e.g. `writeback.balic_packed.http`.
    pub setting: &'a str,
    /// As written.
    pub http: &'a config::HttpHandler,
    /// The values of `http.headers`.
    pub headers: &'a [(String, Secret)],
    /// The value of `http.password`.
    pub password: Option<&'a Secret>,
    /// For the whole call.
    pub timeout: Duration,
    /// The parameters that its templates may name.
    pub names: &'a [&'a str],
}

/// A request that is made again and again with other parameters.
#[derive(Debug)]
pub struct Request {
    setting: String,
    client: reqwest::Client,
    method: Method,
    url: Template,
    headers: HeaderMap,
    basic: Option<(String, Option<Secret>)>,
    body: Option<Template>,
    json: bool,
    timeout: Duration,
}

impl Request {
    /// Compiles the templates and checks the rest.
    ///
    /// # Errors
    /// The first setting that does not do, by its path.
    pub fn new(settings: &Settings<'_>) -> Result<Self, SettingError> {
        let Settings { setting, http, .. } = *settings;
        let at = |key: &str| format!("{setting}.{key}");
        check_place(&at("url"), &http.url)?;
        let url = Template::new(&at("url"), &http.url, Escape::Url, settings.names)?;
        let name = http.method.as_deref().unwrap_or("POST");
        let method = match name.to_ascii_uppercase().as_str() {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "GET" => Method::GET,
            "DELETE" => Method::DELETE,
            "HEAD" => Method::HEAD,
            _ => {
                return Err(SettingError::new(
                    at("method"),
                    format!("`{name}` is not one of POST, PUT, PATCH, GET, DELETE, HEAD"),
                ));
            }
        };
        let mut headers = HeaderMap::new();
        for (name, value) in settings.headers {
            let setting = at(&format!("headers.{name}"));
            let header = HeaderName::try_from(name.as_str())
                .map_err(|_| SettingError::new(&setting, format!("`{name}` is not the name of a header")))?;
            // The value may be a secret: what is wrong with it is not shown.
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
                SettingError::new(&setting, "its value has characters that a header cannot carry")
            })?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        if http.user.is_none() && settings.password.is_some() {
            return Err(SettingError::new(
                at("user"),
                "is missing, though there is a password",
            ));
        }
        if http.user.is_some() && headers.contains_key(AUTHORIZATION) {
            return Err(SettingError::new(
                at("headers.authorization"),
                "stands beside `user`; keep one of them",
            ));
        }
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
        let escape = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .map_or(Escape::Plain, Escape::of_content_type);
        let body = match &http.body {
            Some(source) => Some(Template::new(&at("body"), source, escape, settings.names)?),
            None => None,
        };
        if body.is_none() && escape != Escape::Json {
            return Err(SettingError::new(
                at("body"),
                "is missing: without it the body is JSON, which is not this content type",
            ));
        }
        let client = client(settings.timeout).map_err(|error| {
            SettingError::new(
                setting,
                format!("the system's certificates cannot be read: {error}"),
            )
        })?;
        Ok(Self {
            setting: setting.to_owned(),
            client,
            method,
            url,
            headers,
            basic: http.user.clone().map(|user| (user, settings.password.cloned())),
            body,
            json: escape == Escape::Json,
            timeout: settings.timeout,
        })
    }

    /// Makes the request.
    ///
    /// # Errors
    /// Unavailable: the host is away (no connection, no answer in time, 408, 429, 502, 503, 504). Failed: anything else
    /// that is not 2xx. Neither shows the URL, which may hold a secret, nor what the host answered.
    pub async fn send(
        &self,
        parameters: &Map<String, Value>,
        idempotency_key: Option<&str>,
    ) -> Result<(), WritebackError> {
        let url = self.place(parameters)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut request = self
            .client
            .request(self.method.clone(), url)
            .headers(self.headers.clone());
        if let Some((user, password)) = &self.basic {
            request = request.basic_auth(user, password.as_ref().map(Secret::expose));
        }
        if let Some(key) = idempotency_key.and_then(|key| HeaderValue::from_str(key).ok()) {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = self.content(parameters)? {
            request = request.body(body);
        }
        let response = request.send().await.map_err(|error| self.away(&host, &error))?;
        let status = response.status();
        // The status has been said: a body that breaks off or never ends changes nothing.
        let _ = tokio::time::timeout(ANSWER_TIME_MAX, body(response, ANSWER_BYTES_MAX)).await;
        self.judge(&host, status)
    }

    fn place(&self, parameters: &Map<String, Value>) -> Result<Url, WritebackError> {
        let failed = |problem: String| WritebackError::Failed(format!("`{}.url`: {problem}", self.setting));
        let text = self.url.render(parameters).map_err(failed)?;
        let url =
            Url::parse(&text).map_err(|error| failed(format!("is not a URL when filled in: {error}")))?;
        refuse_plain(&url).map_err(failed)?;
        Ok(url)
    }

    fn content(&self, parameters: &Map<String, Value>) -> Result<Option<String>, WritebackError> {
        let failed = |problem: String| WritebackError::Failed(format!("`{}.body`: {problem}", self.setting));
        let Some(template) = &self.body else {
            let carries = !matches!(self.method, Method::GET | Method::HEAD | Method::DELETE);
            return Ok(carries.then(|| Value::Object(parameters.clone()).to_string()));
        };
        let body = template.render(parameters).map_err(failed)?;
        if self.json && serde_json::from_str::<serde::de::IgnoredAny>(&body).is_err() {
            return Err(failed(
                "is not JSON when filled in; write `{{ text | tojson }}` without quotes, or `\"{{ text }}\"`"
                    .into(),
            ));
        }
        Ok(Some(body))
    }

    fn away(&self, host: &str, error: &reqwest::Error) -> WritebackError {
        let setting = &self.setting;
        if error.is_builder() {
            return WritebackError::Failed(format!("`{setting}`: the request to `{host}` cannot be made"));
        }
        WritebackError::Unavailable(if error.is_timeout() {
            format!("`{setting}`: `{host}` did not answer within {:?}", self.timeout)
        } else if error.is_connect() {
            format!("`{setting}`: no connection to `{host}`: {}", root(error))
        } else {
            format!("`{setting}`: the connection to `{host}` broke: {}", root(error))
        })
    }

    fn judge(&self, host: &str, status: StatusCode) -> Result<(), WritebackError> {
        let setting = &self.setting;
        let code = status.as_u16();
        if status.is_success() {
            return Ok(());
        }
        Err(match code {
            408 | 429 | 502 | 503 | 504 => {
                WritebackError::Unavailable(format!("`{setting}`: `{host}` is not available (HTTP {code})"))
            }
            300..=399 => WritebackError::Failed(format!(
                "`{setting}`: `{host}` redirects (HTTP {code}), which is not followed; write the final address into `{setting}.url`"
            )),
            401 | 403 => WritebackError::Failed(format!(
                "`{setting}`: `{host}` refused the credentials (HTTP {code}); look at `{setting}.headers`, `user` and `password`"
            )),
            404 | 405 | 410 => WritebackError::Failed(format!(
                "`{setting}`: `{host}` has no such address (HTTP {code}); look at `{setting}.url` and `method`"
            )),
            _ => WritebackError::Failed(format!(
                "`{setting}`: `{host}` answered HTTP {code}; its log knows why"
            )),
        })
    }
}

/// The innermost reason, which unlike the outer ones does not repeat the URL.
fn root(error: &reqwest::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    if std::ptr::addr_eq(reason, std::ptr::from_ref::<dyn std::error::Error>(error)) {
        return "no reason given".into();
    }
    reason.to_string()
}

/// Scheme, host and port are plain text, so that no event can choose whom we talk to.
fn check_place(setting: &str, source: &str) -> Result<(), SettingError> {
    let wrong = |problem: &str| SettingError::new(setting, problem);
    let (scheme, rest) = source
        .split_once("://")
        .ok_or_else(|| wrong("is not a URL; write https://…"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if [scheme, authority]
        .iter()
        .any(|part| part.contains('{') || part.contains('}'))
    {
        return Err(wrong(
            "the host must be plain text; parameters may stand after it",
        ));
    }
    let url = Url::parse(&format!("{scheme}://{authority}/"))
        .map_err(|error| SettingError::new(setting, format!("is not a URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a user; write `user` and `password` beside it"));
    }
    refuse_plain(&url).map_err(|problem| SettingError::new(setting, problem))
}

/// The `http` handler.
#[derive(Debug)]
pub struct Http {
    request: Request,
    zone: TimeZone,
}

impl Http {
    /// A handler that writes times in `zone`.
    pub fn new(request: Request, zone: TimeZone) -> Self {
        Self { request, zone }
    }
}

#[async_trait]
impl Handler for Http {
    async fn tell(&self, call: &Call) -> Result<Outcome, WritebackError> {
        let parameters = parameters::of(call, &self.zone);
        let key = call.event_id.map(|id| format!("brani-sync-{id}-{}", call.event));
        self.request.send(&parameters, key.as_deref()).await?;
        Ok(Outcome::Done)
    }
}
