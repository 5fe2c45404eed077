//! From a configuration to the parts that work: the one place that knows every room's door.

use crate::alert::Alert;
use crate::brani::app::AppClient;
use crate::brani::client::Client;
use crate::clock::{SharedClock, SystemClock};
use crate::config::Loaded;
use crate::config::secret::{Secret, SecretRef};
use crate::config::{self, SourceKind, Times};
use crate::context::{Bells, Context, Handlers, MappingCell, Ready, Rules};
use crate::database::Target;
use crate::eshop_info::refresh::{Identity, Refresh};
use crate::inbound::apply::Apply;
use crate::inbound::drain::Drain;
use crate::inbound::register::Wanted;
use crate::ledger::Ledger;
use crate::locks::Locks;
use crate::mapping;
use crate::outbound::extras::{Beside, Web};
use crate::outbound::send::Sender;
use crate::source::Source;
use crate::source::export::{ExportSource, Setup};
use crate::source::sql::{SqlSettings, SqlSource};
use crate::trouble::Troubles;
use crate::writeback::command::{Command, Program};
use crate::writeback::http::{Http, Request, Settings as HttpSettings};
use crate::writeback::jsonl::Jsonl;
use crate::writeback::sql::{SqlHandler, SqlTarget};
use crate::writeback::{Handler, parameters};
use std::path::Path;
use std::sync::Arc;

/// The configuration cannot be put to work: exit code 78.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub String);

/// Everything the flows need, put together.
#[derive(Debug)]
pub struct Parts {
    /// What the flows share.
    pub context: Context,
    /// The sending side.
    pub sender: Sender,
    /// The draining side.
    pub drain: Drain,
    /// The applying side.
    pub apply: Apply,
    /// What stands beside orders.
    pub beside: Beside,
    /// The e-shop info side.
    pub refresh: Refresh,
    /// Who is told of what lasts.
    pub alert: Alert,
}

fn secret(loaded: &Loaded, reference: &SecretRef) -> Result<Secret, Unusable> {
    loaded.secrets.resolve(reference).map_err(|error| {
        Unusable(format!(
            "secret `{}` {}\nhint: {}",
            error.name,
            error.what(),
            error.hint()
        ))
    })
}

fn optional(loaded: &Loaded, reference: Option<&SecretRef>) -> Result<Option<Secret>, Unusable> {
    reference.map(|reference| secret(loaded, reference)).transpose()
}

/// The client of Brani.
///
/// # Errors
/// A secret that is missing, or a setting that does not do.
pub fn client(loaded: &Loaded, clock: SharedClock) -> Result<Client, Unusable> {
    let brani = &loaded.config.brani;
    let token = brani
        .token
        .as_ref()
        .ok_or_else(|| Unusable("`brani.token` is missing".into()))?;
    let token = secret(loaded, token)?;
    Client::new(&brani.base_url, &token, brani.timeout, brani.rate_limit, clock)
        .map_err(|e| Unusable(e.to_string()))
}

/// The settings of a shop's database; none for an export.
///
/// # Errors
/// A secret that is missing, or a setting that does not do.
pub fn sql_settings(loaded: &Loaded) -> Result<Option<SqlSettings>, Unusable> {
    let source = &loaded.config.shop.source;
    if matches!(
        source.kind,
        Some(SourceKind::Xml | SourceKind::Csv | SourceKind::Json)
    ) {
        return Ok(None);
    }
    let url = optional(loaded, source.url.as_ref())?.unwrap_or_else(|| Secret::new(""));
    let password = optional(loaded, source.password.as_ref())?;
    SqlSettings::from_config(
        source,
        &loaded.config.shop.timezone,
        &loaded.config.eshop_info.queries,
        url,
        password,
    )
    .map(Some)
    .map_err(Unusable)
}

/// The shop.
///
/// # Errors
/// A secret that is missing, or a setting that does not do.
pub fn source(loaded: &Loaded, clock: SharedClock) -> Result<Arc<dyn Source>, Unusable> {
    if let Some(settings) = sql_settings(loaded)? {
        return Ok(Arc::new(SqlSource::new(settings)));
    }
    let source = &loaded.config.shop.source;
    let kind = source.kind.unwrap_or(SourceKind::Xml);
    let url = source
        .url
        .as_ref()
        .ok_or_else(|| Unusable("`shop.source.url` is missing".into()))?;
    let records = source.records.clone().unwrap_or_default();
    let headers = headers(loaded, &records.headers)?;
    let state = loaded.ledger_path().parent().unwrap_or(Path::new(".")).to_owned();
    let setup = Setup::new(&loaded.config.shop, kind, secret(loaded, url)?, headers, state);
    let export = ExportSource::new(setup, clock).map_err(|error| Unusable(error.to_string()))?;
    Ok(Arc::new(export))
}

fn headers(
    loaded: &Loaded,
    headers: &indexmap::IndexMap<String, SecretRef>,
) -> Result<Vec<(String, Secret)>, Unusable> {
    headers
        .iter()
        .map(|(name, value)| Ok((name.clone(), secret(loaded, value)?)))
        .collect()
}

/// The handlers, by event type.
///
/// # Errors
/// The first handler that cannot work.
pub fn handlers(loaded: &Loaded) -> Result<Handlers, Unusable> {
    let config = &loaded.config;
    let writeback = &config.writeback;
    let zone = match config.shop.source.times {
        Some(Times::Utc) => jiff::tz::TimeZone::UTC,
        _ => config.shop.timezone.clone(),
    };
    let unusable = |error: parameters::SettingError| Unusable(error.to_string());
    let mut target: Option<Arc<SqlTarget>> = None;
    let mut handlers = Handlers::new();
    for (event, handler) in writeback.handlers() {
        let setting = format!("writeback.{event}");
        let built: Arc<dyn Handler> = if let Some(statements) = &handler.sql {
            let target = match &target {
                Some(target) => target.clone(),
                None => target.insert(Arc::new(sql_target(loaded)?)).clone(),
            };
            let problems = crate::writeback::sql::problems(statements, event, target.dialect());
            if let Some(problem) = problems.first() {
                return Err(Unusable(format!("`{setting}.sql`: {problem}")));
            }
            Arc::new(SqlHandler::new(target, event, statements))
        } else if let Some(http) = &handler.http {
            let headers = headers(loaded, &http.headers)?;
            let password = optional(loaded, http.password.as_ref())?;
            let request = Request::new(&HttpSettings {
                setting: &format!("{setting}.http"),
                http,
                headers: &headers,
                password: password.as_ref(),
                timeout: writeback.timeout,
                names: parameters::NAMES,
            })
            .map_err(unusable)?;
            Arc::new(Http::new(request, zone.clone()))
        } else if let Some(command) = &handler.command {
            let program =
                Program::new(&format!("{setting}.command"), command, writeback.timeout).map_err(unusable)?;
            Arc::new(Command::new(program, zone.clone()))
        } else if let Some(path) = &handler.jsonl {
            Arc::new(Jsonl::new(&format!("{setting}.jsonl"), path, zone.clone()).map_err(unusable)?)
        } else {
            continue;
        };
        handlers.insert(event.to_owned(), built);
    }
    Ok(handlers)
}

fn sql_target(loaded: &Loaded) -> Result<SqlTarget, Unusable> {
    let writeback = &loaded.config.writeback;
    let url = optional(loaded, writeback.url.as_ref())?;
    let password = optional(loaded, writeback.password.as_ref())?;
    let shop = &loaded.config.shop;
    if let Some(mut settings) = sql_settings(loaded)? {
        if let Some(url) = url {
            settings.target.url = url;
            settings.target.socket = None;
        }
        if let Some(password) = password {
            settings.target.password = Some(password);
        }
        return Ok(SqlTarget::of_source(&settings, writeback.timeout));
    }
    let url = url.ok_or_else(|| {
        Unusable("a `sql` handler needs a database: write `writeback.url`, the source is an export".into())
    })?;
    let dialect = Target::dialect_of_url(url.expose()).ok_or_else(|| {
        Unusable("`writeback.url` is no database; write mysql://, postgres:// or sqlite://".into())
    })?;
    let target = Target {
        dialect,
        url,
        password,
        tls: shop.source.tls,
        tls_ca: shop.source.tls_ca.clone(),
        socket: None,
    };
    let times = shop.source.times.unwrap_or(Times::Local);
    Ok(SqlTarget::beside_export(
        target,
        shop.timezone.clone(),
        times,
        writeback.timeout,
    ))
}

/// The mapping's settings.
pub fn mapping_settings(config: &config::Config) -> mapping::Settings {
    mapping::Settings {
        zone: match config.shop.source.times {
            Some(Times::Utc) => jiff::tz::TimeZone::UTC,
            _ => config.shop.timezone.clone(),
        },
        default_weight: config.shop.default_weight,
        max_weight: config.shop.max_weight,
        extras: mapping::extras::Asked {
            remarks: config.app.as_ref().is_some_and(|app| app.remarks),
            invoices: config
                .invoices
                .as_ref()
                .is_some_and(|invoices| invoices.path.is_some() || invoices.url.is_some()),
            shipped: config
                .tracking
                .iter()
                .flat_map(|tracking| &tracking.statuses)
                .map(|status| status.0.clone())
                .collect(),
        },
        source: match config.shop.source.kind {
            Some(SourceKind::Xml | SourceKind::Csv | SourceKind::Json) => {
                crate::source::export::print(&config.shop.source)
            }
            _ => 0,
        },
    }
}

/// The packing application, where there is a section for it.
///
/// # Errors
/// A secret that is missing, a setting that cannot be used.
pub fn app(loaded: &Loaded, clock: SharedClock) -> Result<Option<AppClient>, Unusable> {
    let Some(app) = &loaded.config.app else {
        return Ok(None);
    };
    let password = secret(loaded, &app.password)?;
    AppClient::new(
        &app.auth_url,
        &app.base_url,
        &app.username,
        password,
        loaded.config.brani.timeout,
        clock,
    )
    .map(Some)
    .map_err(|error| Unusable(error.to_string()))
}

/// Where the ledger belongs.
pub fn identity(loaded: &Loaded) -> Identity {
    let url = loaded
        .config
        .shop
        .source
        .url
        .as_ref()
        .and_then(|url| loaded.secrets.resolve(url).ok())
        .and_then(|url| url::Url::parse(url.expose()).ok());
    // Host and database name: neither the user nor a password, nor an export's secret query.
    let source = match url {
        Some(url) => format!(
            "{}://{}{}",
            url.scheme(),
            url.host_str().unwrap_or(""),
            url.path()
        ),
        None => "a socket".into(),
    };
    Identity {
        base_url: loaded.config.brani.base_url.to_string(),
        eshop_id: None,
        source,
    }
}

/// What should be registered at Brani.
///
/// # Errors
/// A secret that is missing.
pub fn wanted(loaded: &Loaded, rules: &Rules) -> Result<Wanted, Unusable> {
    let webhooks = &loaded.config.webhooks;
    Ok(Wanted {
        events: rules.events.clone(),
        public_url: webhooks.public_url.clone(),
        secret: optional(loaded, webhooks.secret.as_ref())?,
        ids: webhooks
            .ids
            .iter()
            .map(|(event, id)| (event.clone(), *id))
            .collect(),
    })
}

/// Puts everything together. Nothing is connected yet.
///
/// # Errors
/// What in the configuration cannot be put to work.
pub fn parts(loaded: &Loaded, ledger: Ledger, dry_run: bool, register: bool) -> Result<Parts, Unusable> {
    let clock: SharedClock = Arc::new(SystemClock);
    let config = &loaded.config;
    let rules = Rules::from_config(config);
    let client = client(loaded, clock.clone())?;
    let source = source(loaded, clock.clone())?;
    let handlers = handlers(loaded)?;
    let (alert_headers, alert_password) = match config.alert.as_ref().and_then(|alert| alert.http.as_ref()) {
        Some(http) => (
            headers(loaded, &http.headers)?,
            optional(loaded, http.password.as_ref())?,
        ),
        None => (Vec::new(), None),
    };
    let alert = Alert::new(
        config.alert.as_ref(),
        &alert_headers,
        alert_password.as_ref(),
        &loaded.name,
    )
    .map_err(|error| Unusable(error.to_string()))?;
    let refresh = Refresh::new(
        config.eshop_info.clone(),
        mapping_settings(config),
        identity(loaded),
    );
    let app = match &config.app {
        Some(section) if section.remarks => app(loaded, clock.clone())?,
        _ => None,
    };
    let invoice_headers = match &config.invoices {
        Some(invoices) => headers(loaded, &invoices.headers)?,
        None => Vec::new(),
    };
    let client = Arc::new(client);
    let beside = Beside::new(
        client.clone(),
        app,
        Web::new(config.brani.timeout, invoice_headers),
    );
    let drain = Drain::new(wanted(loaded, &rules)?, register && config.webhooks.register);
    let ready = Ready::default();
    if crate::ledger::knows_nothing(ledger.path()) {
        ready.set_polled();
    }
    let context = Context {
        ledger,
        started: clock.now(),
        clock,
        source,
        service: client,
        mapping: MappingCell::new(refresh.first_mapping()),
        rules: Arc::new(rules),
        bells: Bells::default(),
        locks: Locks::new(),
        troubles: Troubles::new(Some(alert.clone())),
        handlers: Arc::new(handlers),
        ready,
        times: crate::health::times::Times::default(),
        dry_run,
    };
    Ok(Parts {
        context,
        sender: Sender::default(),
        drain,
        apply: Apply::default(),
        beside,
        refresh,
        alert,
    })
}
