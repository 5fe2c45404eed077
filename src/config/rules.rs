//! What a value must be besides its type: the rules that hold between settings.

use super::problem::Problem;
use super::secret::{Secret, SecretRef, is_secret_url};
use super::secrets::is_name;
use super::{
    CommandHandler, Config, DeleteMode, EVENTS, HandlerConfig, HttpHandler, Source, SourceKind, schedule,
    schema,
};
use crate::http::refuse_plain;
use std::collections::HashMap;
use std::time::Duration;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Report {
    fn wrong(
        &mut self,
        path: impl Into<String>,
        found: impl Into<Option<String>>,
        rule: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(Problem::new(path, found.into(), rule, hint));
    }

    fn warn(
        &mut self,
        path: impl Into<String>,
        found: impl Into<Option<String>>,
        rule: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.warnings.push(Problem::new(path, found.into(), rule, hint));
    }
}

/// Everything that is wrong between the lines.
pub(crate) fn problems(config: &Config) -> Report {
    let mut report = Report::default();
    brani(config, &mut report);
    shop(config, &mut report);
    source(&config.shop.source, &mut report);
    eshop_info(config, &mut report);
    webhooks(config, &mut report);
    writeback(config, &mut report);
    times(config, &mut report);
    rest(config, &mut report);
    report
}

/// Turns other words for a thing into the one word.
pub(crate) fn normalise(config: &mut Config) {
    for event in config.webhooks.events.iter_mut().flatten() {
        if event == "package_packed" {
            "balic_packed".clone_into(event);
        }
    }
    if let Some(events) = &mut config.webhooks.events {
        let mut seen = Vec::new();
        events.retain(|event| {
            let new = !seen.contains(event);
            seen.push(event.clone());
            new
        });
    }
    if let Some(id) = config.webhooks.ids.shift_remove("package_packed") {
        config.webhooks.ids.entry("balic_packed".to_owned()).or_insert(id);
    }
}

fn brani(config: &Config, report: &mut Report) {
    let brani = &config.brani;
    match &brani.token {
        None => report.wrong(
            "brani.token",
            None,
            "is required",
            "write token = { credential = \"brani-token\" } and store it: brani-sync secret set brani-token",
        ),
        Some(token) => secret_ref("brani.token", token, report),
    }
    https("brani.base_url", &brani.base_url, report);
    above_zero("brani.timeout", brani.timeout, report);
    if !(1..=64).contains(&brani.concurrency) {
        report.wrong(
            "brani.concurrency",
            brani.concurrency.to_string(),
            "must be between 1 and 64",
            "4 is the default",
        );
    }
    if !(brani.rate_limit > 0.0 && brani.rate_limit.is_finite()) {
        report.wrong(
            "brani.rate_limit",
            brani.rate_limit.to_string(),
            "must be greater than 0",
            "give requests per second; 10 is the default",
        );
    }
}

fn shop(config: &Config, report: &mut Report) {
    let shop = &config.shop;
    if let Some(name) = &shop.name
        && name.trim().is_empty()
    {
        report.wrong(
            "shop.name",
            None,
            "is empty",
            "write a short name, or leave it out",
        );
    }
    if shop.default_weight.is_sign_negative() && !shop.default_weight.is_zero() {
        report.wrong(
            "shop.default_weight",
            shop.default_weight.to_string(),
            "must not be negative",
            "give kilograms",
        );
    }
    if shop.max_weight <= shop.default_weight {
        report.wrong(
            "shop.max_weight",
            shop.max_weight.to_string(),
            format!(
                "must be greater than `shop.default_weight` ({})",
                shop.default_weight
            ),
            "give kilograms a piece; 100 is the default",
        );
    }
}

fn source(source: &Source, report: &mut Report) {
    let at = |key: &str| format!("shop.source.{key}");
    let sql = matches!(
        source.kind,
        Some(SourceKind::Mysql | SourceKind::Postgres | SourceKind::Sqlite)
    );
    match &source.preset {
        Some(preset) if preset.trim().is_empty() => report.wrong(
            at("preset"),
            None,
            "is empty",
            "write a preset's name (`brani-sync presets list`), or leave it out",
        ),
        Some(_) => {}
        None => {
            if source.kind.is_none() {
                report.wrong(
                    at("kind"),
                    None,
                    "is required",
                    "let `brani-sync init` write this file; or write mysql, postgres, sqlite, xml, csv or json, or choose a preset (`brani-sync presets list`)",
                );
            }
            if sql && source.orders.is_none() {
                report.wrong(
                    at("orders.query"),
                    None,
                    "is required",
                    "write the query that reads orders changed since :since, or choose a preset",
                );
            }
            if source.kind.is_some() && !sql {
                if source.map.is_empty() {
                    report.wrong(
                        at("map"),
                        None,
                        "is required",
                        "write a template for each field of the order, e.g. code = \"{{ CODE }}\", or choose a preset",
                    );
                }
                let records = source.records.as_ref();
                if source.kind == Some(SourceKind::Xml)
                    && records.is_none_or(|records| records.order.is_none())
                {
                    report.wrong(
                        at("records.order"),
                        None,
                        "is required",
                        "write the path of one order, e.g. \"ORDERS/ORDER\"",
                    );
                }
            }
        }
    }
    url(source, report);
    for (name, query) in [
        ("orders", &source.orders),
        ("items", &source.items),
        ("lookup", &source.lookup),
        ("extra", &source.extra),
    ] {
        let Some(query) = query else { continue };
        let path = at(&format!("{name}.query"));
        if query.query.trim().is_empty() {
            report.wrong(path, None, "is empty", "write the query");
            continue;
        }
        let (wanted, why): (&[&str], _) = match name {
            "orders" => (&[":since"], "every poll reads the whole table"),
            "lookup" => (&[":codes"], "it cannot look orders up by their codes"),
            _ => (
                &[":keys", ":key"],
                "it reads the lines of every order for each batch",
            ),
        };
        if !wanted.iter().any(|parameter| query.query.contains(parameter)) {
            report.warn(
                path,
                None,
                format!("does not contain `{}`: {why}", wanted[0]),
                format!("use {} in its WHERE", wanted[0]),
            );
        }
    }
    if !(1..=10_000).contains(&source.batch) {
        report.wrong(
            at("batch"),
            source.batch.to_string(),
            "must be between 1 and 10000",
            "500 is the default",
        );
    }
    above_zero(&at("sweep_back"), source.sweep_back, report);
    if let Some(password) = &source.password {
        secret_ref(&at("password"), password, report);
    }
    for (name, header) in source.records.iter().flat_map(|records| &records.headers) {
        secret_ref(&at(&format!("records.headers.{name}")), header, report);
    }
    if let Some(prefix) = &source.table_prefix
        && !prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        report.wrong(
            at("table_prefix"),
            prefix.clone(),
            "holds characters that no table prefix has",
            "use letters, digits and _ only, e.g. \"wp_\"",
        );
    }
}

fn url(source: &Source, report: &mut Report) {
    let path = "shop.source.url";
    let Some(reference) = &source.url else {
        if source.socket.is_none() {
            report.wrong(
                path,
                None,
                "is required",
                "write where the orders are, e.g. \"mysql://sync@db.example.cz/shop\" or \"https://…/export.xml\"",
            );
        }
        return;
    };
    secret_ref(path, reference, report);
    let SecretRef::Plain(text) = reference else { return };
    source_url(path, text.expose(), source.kind, report);
}

/// A URL's scheme must fit the kind of source. Never shows the URL: it may hold a password.
fn source_url(path: &str, text: &str, kind: Option<SourceKind>, report: &mut Report) {
    let Some((scheme, _)) = text.split_once("://") else {
        report.wrong(
            path,
            None,
            "is not a URL",
            "write one like \"mysql://sync@db.example.cz/shop\", \"sqlite:///srv/shop.db\" or \"https://…/export.xml\"",
        );
        return;
    };
    let allowed: &[&str] = match kind {
        Some(SourceKind::Mysql) => &["mysql", "mariadb"],
        Some(SourceKind::Postgres) => &["postgres", "postgresql"],
        Some(SourceKind::Sqlite) => &["sqlite"],
        Some(SourceKind::Xml | SourceKind::Csv | SourceKind::Json) => &["https", "http", "file"],
        None => &[
            "mysql",
            "mariadb",
            "postgres",
            "postgresql",
            "sqlite",
            "https",
            "http",
            "file",
        ],
    };
    if !allowed.contains(&scheme) {
        let rule = match kind {
            Some(kind) => format!("does not fit `kind = \"{}\"`", format!("{kind:?}").to_lowercase()),
            None => "is no scheme that orders can be read from".to_owned(),
        };
        report.wrong(
            path,
            format!("{scheme}://…"),
            rule,
            format!("the URL begins with {}://", allowed.join(":// or ")),
        );
    } else if scheme == "http"
        && let Ok(url) = url::Url::parse(text)
    {
        https(path, &url, report);
    } else if !matches!(scheme, "sqlite" | "file")
        && is_secret_url(text)
        && !matches!(scheme, "http" | "https")
    {
        report.warn(
            path,
            None,
            "holds a password",
            "keep it apart: password = { credential = \"shop-db\" }",
        );
    }
}

fn eshop_info(config: &Config, report: &mut Report) {
    let info = &config.eshop_info;
    let mut standard: HashMap<i64, usize> = HashMap::new();
    for (index, entry) in info.statuses.iter().enumerate() {
        let at = format!("eshop_info.statuses[{index}]");
        if let Some(id) = entry.id
            && entry.write_back
            && let Some(first) = standard.insert(id, index)
        {
            report.wrong(
                format!("{at}.write_back"),
                None,
                format!("is the second `write_back = true` of id {id} (the first is `eshop_info.statuses[{first}]`)"),
                "leave it at the one shop value that is to be written",
            );
        }
        if entry.write_back && entry.shop.0.contains('*') {
            report.wrong(
                format!("{at}.write_back"),
                None,
                "stands at a `shop` value with `*`, which cannot be written into a shop",
                "give the exact shop value",
            );
        }
    }
    doubles(
        "statuses",
        info.statuses.iter().map(|entry| &entry.shop.0),
        report,
    );
    doubles(
        "shipping",
        info.shipping.iter().map(|entry| &entry.shop.0),
        report,
    );
    doubles(
        "payments",
        info.payments.iter().map(|entry| &entry.shop.0),
        report,
    );
    let shipping = info.shipping.iter().map(|entry| ("shipping", &entry.guid));
    let payments = info.payments.iter().map(|entry| ("payments", &entry.guid));
    for (list, entries) in [
        ("shipping", shipping.collect::<Vec<_>>()),
        ("payments", payments.collect::<Vec<_>>()),
    ] {
        for (index, (_, guid)) in entries.into_iter().enumerate() {
            if let Some(guid) = guid
                && !is_guid(guid)
            {
                report.wrong(
                    format!("eshop_info.{list}[{index}].guid"),
                    guid.clone(),
                    "is neither a UUID nor a number",
                    "write one like \"6d33d5bc-0b65-4284-9c1a-dcd7a4f4d31c\", or leave it out and it is derived",
                );
            }
        }
    }
}

fn doubles<'a>(list: &str, values: impl Iterator<Item = &'a String>, report: &mut Report) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, value) in values.enumerate() {
        let path = format!("eshop_info.{list}[{index}].shop");
        if value.is_empty() {
            report.wrong(path, None, "is empty", "write the value found in orders");
        } else if let Some(first) = seen.insert(value, index) {
            report.wrong(
                path,
                value.clone(),
                format!("is listed already (`eshop_info.{list}[{first}]`)"),
                "each shop value has one entry",
            );
        }
    }
}

/// A UUID, or digits (which the service pads with zeros).
fn is_guid(text: &str) -> bool {
    let digits = !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_digit());
    let uuid = text.len() == 36 && uuid::Uuid::try_parse(text).is_ok();
    digits || uuid
}

fn webhooks(config: &Config, report: &mut Report) {
    let webhooks = &config.webhooks;
    for (index, event) in webhooks.events.iter().flatten().enumerate() {
        known_event(&format!("webhooks.events[{index}]"), event, report);
    }
    for event in webhooks.ids.keys() {
        known_event(&format!("webhooks.ids.{event}"), event, report);
    }
    if let Some(public) = &webhooks.public_url {
        https("webhooks.public_url", public, report);
        if public.query().is_some() || public.fragment().is_some() {
            report.wrong(
                "webhooks.public_url",
                None,
                "has a query string or a fragment",
                "end it with a path: /{event}/{secret} is put behind it",
            );
        }
        for (key, there) in [
            ("listen", webhooks.listen.is_some()),
            ("secret", webhooks.secret.is_some()),
        ] {
            if !there {
                report.wrong(
                    format!("webhooks.{key}"),
                    None,
                    "is required where `webhooks.public_url` is set",
                    if key == "listen" {
                        "write listen = \"127.0.0.1:8787\", or leave public_url out"
                    } else {
                        "write secret = { credential = \"webhook-secret\" }, or leave public_url out"
                    },
                );
            }
        }
    }
    if let Some(address) = &webhooks.listen {
        listen("webhooks.listen", address, report);
    }
    if let Some(reference) = &webhooks.secret {
        secret_ref("webhooks.secret", reference, report);
        if let SecretRef::Plain(secret) = reference {
            report.problems.extend(webhook_secret(secret));
        }
    }
    above_zero("webhooks.lookback", webhooks.lookback, report);
}

/// The secret is a segment of a URL.
pub(crate) fn webhook_secret(secret: &Secret) -> Option<Problem> {
    let text = secret.expose();
    let rule = if text.len() < 16 {
        "is shorter than 16 characters"
    } else if !text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c))
    {
        "holds characters that a URL does not take as they are"
    } else {
        return None;
    };
    Some(Problem::new(
        "webhooks.secret",
        None,
        rule,
        "use at least 16 letters, digits, - or _, e.g. from `openssl rand -hex 16`",
    ))
}

fn known_event(path: &str, event: &str, report: &mut Report) {
    if EVENTS.contains(&event) || event == "package_packed" {
        return;
    }
    let hint = match schema::nearest(event, EVENTS) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known: {}", EVENTS.join(", ")),
    };
    report.wrong(path, event.to_owned(), "is not an event of the service", hint);
}

fn writeback(config: &Config, report: &mut Report) {
    let writeback = &config.writeback;
    for (name, handler) in writeback.handlers() {
        handler_rules(&format!("writeback.{name}"), handler, report);
    }
    if !(1..=64).contains(&writeback.concurrency) {
        report.wrong(
            "writeback.concurrency",
            writeback.concurrency.to_string(),
            "must be between 1 and 64",
            "4 is the default",
        );
    }
    if !(1..=1000).contains(&writeback.attempts) {
        report.wrong(
            "writeback.attempts",
            writeback.attempts.to_string(),
            "must be between 1 and 1000",
            "8 is the default",
        );
    }
    above_zero("writeback.timeout", writeback.timeout, report);
    for key in writeback.status_map.iter().flat_map(|map| map.keys()) {
        if key.parse::<i64>().is_err() {
            report.wrong(
                super::place::KeyPath::parse("writeback.status_map")
                    .key(key)
                    .to_string(),
                key.clone(),
                "is not a status id of Brani",
                "the left side is Brani's id, the right side the shop's value: \"-1\" = \"completed\"",
            );
        }
    }
    if let Some(reference) = &writeback.url {
        secret_ref("writeback.url", reference, report);
        if let SecretRef::Plain(text) = reference {
            // orders may come from an export and results go into a database
            let kind = config.shop.source.kind.filter(|kind| {
                matches!(
                    kind,
                    SourceKind::Mysql | SourceKind::Postgres | SourceKind::Sqlite
                )
            });
            source_url("writeback.url", text.expose(), kind, report);
        }
    }
    if let Some(reference) = &writeback.password {
        secret_ref("writeback.password", reference, report);
    }
}

fn handler_rules(path: &str, handler: &HandlerConfig, report: &mut Report) {
    let kinds = [
        handler.sql.is_some(),
        handler.http.is_some(),
        handler.command.is_some(),
        handler.jsonl.is_some(),
    ];
    if kinds.iter().filter(|there| **there).count() != 1 {
        report.wrong(
            path,
            None,
            "has not exactly one of `sql`, `http`, `command`, `jsonl`",
            "keep one of them; a program of your own can do several things",
        );
    }
    if let Some(statements) = &handler.sql {
        if statements.is_empty() {
            report.wrong(
                format!("{path}.sql"),
                None,
                "is empty",
                "write at least one statement",
            );
        }
        for (index, statement) in statements.iter().enumerate() {
            if statement.trim().is_empty() {
                report.wrong(
                    format!("{path}.sql[{index}]"),
                    None,
                    "is empty",
                    "write the statement or take it out",
                );
            }
        }
    }
    if let Some(http) = &handler.http {
        http_rules(&format!("{path}.http"), http, report);
    }
    if let Some(command) = &handler.command {
        command_rules(&format!("{path}.command"), command, report);
    }
    if let Some(file) = &handler.jsonl
        && file.as_os_str().is_empty()
    {
        report.wrong(format!("{path}.jsonl"), None, "is empty", "write a file's path");
    }
}

fn http_rules(path: &str, http: &HttpHandler, report: &mut Report) {
    // the URL is a template: what is put in later cannot change scheme or host
    let at = format!("{path}.url");
    let scheme_and_host = http.url.split("{{").next().unwrap_or("");
    match url::Url::parse(scheme_and_host) {
        Ok(url) => https(&at, &url, report),
        Err(_) => report.wrong(
            at,
            None,
            "is not a URL",
            "write a whole URL whose scheme and host are no template, e.g. \"https://shop.example.cz/hook\"",
        ),
    }
    if let Some(method) = &http.method
        && !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.to_ascii_uppercase().as_str())
    {
        report.wrong(
            format!("{path}.method"),
            method.clone(),
            "is not a method that a handler sends",
            "write POST, PUT, PATCH, DELETE or GET",
        );
    }
    for (name, header) in &http.headers {
        let at = format!("{path}.headers.{name}");
        if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
            report.wrong(
                at.clone(),
                None,
                "is not a header's name",
                "use letters, digits and -",
            );
        }
        secret_ref(&at, header, report);
    }
    if http.user.is_none() != http.password.is_none() {
        let missing = if http.user.is_none() { "user" } else { "password" };
        report.wrong(
            format!("{path}.{missing}"),
            None,
            "is required: `user` and `password` go together",
            "write both or neither",
        );
    }
    if let Some(password) = &http.password {
        secret_ref(&format!("{path}.password"), password, report);
    }
}

fn command_rules(path: &str, command: &CommandHandler, report: &mut Report) {
    if command.0.first().is_none_or(|program| program.trim().is_empty()) {
        report.wrong(
            path,
            None,
            "names no program",
            "write [\"/path/program\", \"argument\"]",
        );
    }
}

fn times(config: &Config, report: &mut Report) {
    let times = &config.schedule;
    for (key, text) in [
        ("poll", &times.poll),
        ("drain", &times.drain),
        ("eshop_info", &times.eshop_info),
        ("sweep", &times.sweep),
    ] {
        if let Err((rule, hint)) = schedule::parse(text) {
            report.wrong(format!("schedule.{key}"), text.clone(), rule, hint);
        }
    }
    if config.ledger.keep_events < Duration::from_secs(86_400) {
        report.wrong(
            "ledger.keep_events",
            None,
            "is less than a day",
            "keep events for at least \"1d\"; 90d is the default",
        );
    }
}

fn rest(config: &Config, report: &mut Report) {
    let deletes = &config.deletes;
    if deletes.mode == DeleteMode::Status && deletes.statuses.is_empty() {
        report.wrong(
            "deletes.statuses",
            None,
            "is empty, and `deletes.mode = \"status\"` deletes by it",
            "list the shop statuses whose orders are deleted at Brani, or write mode = \"off\"",
        );
    }
    if !(0.0..=1.0).contains(&deletes.max_share) {
        report.wrong(
            "deletes.max_share",
            deletes.max_share.to_string(),
            "must be between 0 and 1",
            "0.02 is two of a hundred orders, and the default",
        );
    }
    if config.log.level.parse::<tracing_subscriber::EnvFilter>().is_err()
        || config.log.level.trim().is_empty()
    {
        report.wrong(
            "log.level",
            config.log.level.clone(),
            "is not a level",
            "write error, warn, info, debug, trace, or a filter like \"info,brani_sync::source=debug\"",
        );
    }
    if let Some(alert) = &config.alert {
        if alert.http.is_some() == alert.command.is_some() {
            report.wrong(
                "alert",
                None,
                "has not exactly one of `http`, `command`",
                "keep one of them",
            );
        }
        if let Some(http) = &alert.http {
            http_rules("alert.http", http, report);
        }
        if let Some(command) = &alert.command {
            command_rules("alert.command", command, report);
        }
    }
    if let Some(admin) = &config.admin {
        listen("admin.listen", &admin.listen, report);
        if config.webhooks.listen.as_ref() == Some(&admin.listen) {
            report.wrong(
                "admin.listen",
                admin.listen.clone(),
                "is the address of `webhooks.listen` too",
                "give each its own port",
            );
        }
    }
    extras(config, report);
    if let Some(app) = &config.app {
        https("app.auth_url", &app.auth_url, report);
        https("app.base_url", &app.base_url, report);
        secret_ref("app.password", &app.password, report);
        if app.username.trim().is_empty() {
            report.wrong("app.username", None, "is empty", "write the user's name");
        }
    }
}

/// What stands beside orders.
fn extras(config: &Config, report: &mut Report) {
    if let Some(invoices) = &config.invoices {
        let places = [
            invoices.path.is_some(),
            invoices.url.is_some(),
            invoices.folder.is_some(),
        ];
        if !places.contains(&true) || (invoices.path.is_some() && invoices.url.is_some()) {
            report.wrong(
                "invoices",
                None,
                "has not exactly one of `path`, `url` (or a `folder` alone, for a column `_invoice`)",
                "write path = \"/srv/invoices/{code}.pdf\" or url = \"https://shop.example.cz/invoice/{code}\"",
            );
        }
        for (key, template) in [("path", &invoices.path), ("url", &invoices.url)] {
            let Some(template) = template else { continue };
            let at = format!("invoices.{key}");
            if !template.contains("{code}") && !template.contains("{key}") {
                report.wrong(
                    at.clone(),
                    template.clone(),
                    "is the same for every order",
                    "write {code} (the order's code) or {key} (the shop's id) where it differs",
                );
            }
            let rest = template.replace("{code}", "").replace("{key}", "");
            if rest.contains(['{', '}']) {
                report.wrong(
                    at,
                    template.clone(),
                    "holds braces that are neither {code} nor {key}",
                    "only these two are filled in",
                );
            }
        }
        if let Some(path) = &invoices.path
            && path.split(['/', '\\']).any(|part| part == "..")
        {
            report.wrong(
                "invoices.path",
                path.clone(),
                "climbs out of its folder",
                "write the folder itself",
            );
        }
        if let Some(template) = &invoices.url {
            let scheme_and_host = template.split('{').next().unwrap_or("");
            match url::Url::parse(scheme_and_host) {
                Ok(url) => https("invoices.url", &url, report),
                Err(_) => report.wrong(
                    "invoices.url",
                    None,
                    "is not a URL",
                    "write a whole URL whose scheme and host are the same for every order",
                ),
            }
        }
        for (name, header) in &invoices.headers {
            secret_ref(&format!("invoices.headers.{name}"), header, report);
        }
        if !(1..=100).contains(&invoices.max_mib) {
            report.wrong(
                "invoices.max_mib",
                invoices.max_mib.to_string(),
                "must be between 1 and 100",
                "10 is the default",
            );
        }
        above_zero("invoices.look_for", invoices.look_for, report);
    }
    if let Some(tracking) = &config.tracking {
        above_zero("tracking.every", tracking.every, report);
        above_zero("tracking.give_up", tracking.give_up, report);
        let hears = |event: &str| match &config.webhooks.events {
            Some(events) => events.iter().any(|one| one == event),
            None => config.writeback.handler(event).is_some(),
        };
        // A preset may bring the handlers: what it brings is not known here.
        if tracking.statuses.is_empty()
            && config.shop.source.preset.is_none()
            && !hears("package_number")
            && !hears("balic_packed")
        {
            report.wrong(
                "tracking",
                None,
                "cannot know which orders are on their way",
                "add `package_number` to `webhooks.events` or a handler `writeback.package_number`, or list shop statuses in `tracking.statuses`",
            );
        }
        if config.writeback.delivery_state.is_none() {
            report.warn(
                "tracking",
                None,
                "has no handler: the shop is not told where parcels are",
                "write `[writeback.delivery_state]`, or read it in `brani-sync explain CODE`",
            );
        }
    } else if config.writeback.delivery_state.is_some() {
        report.warn(
            "writeback.delivery_state",
            None,
            "is told nothing without `[tracking]`",
            "write a section `[tracking]`",
        );
    }
}

fn https(path: &str, url: &url::Url, report: &mut Report) {
    if let Err(rule) = refuse_plain(url) {
        let (rule, hint) = rule.split_once("; ").unwrap_or((&rule, "use https"));
        let host = url.host_str().unwrap_or("");
        report.wrong(
            path,
            format!("{}://{host}", url.scheme()),
            format!("cannot be used: {rule}"),
            hint,
        );
    }
    if url.password().is_some() || !url.username().is_empty() {
        report.wrong(path, None, "holds a user or a password", "take it out of the URL");
    }
}

fn above_zero(path: &str, time: Duration, report: &mut Report) {
    if time.is_zero() {
        report.wrong(path, None, "must be longer than nothing", "write e.g. \"30s\"");
    }
}

fn secret_ref(path: &str, reference: &SecretRef, report: &mut Report) {
    match reference {
        SecretRef::Plain(secret) if secret.expose().trim().is_empty() => report.wrong(
            path,
            None,
            "is empty",
            "write { credential = \"name\" } and store it: brani-sync secret set name",
        ),
        SecretRef::Credential(name) if !is_name(name) => report.wrong(
            path,
            None,
            "is not a credential's name",
            "use letters, digits, - and _ only, e.g. { credential = \"brani-token\" }",
        ),
        SecretRef::Env(name) if name.is_empty() => {
            report.wrong(path, None, "names no variable", "write { env = \"NAME\" }");
        }
        SecretRef::File(file) if file.as_os_str().is_empty() => {
            report.wrong(path, None, "names no file", "write { file = \"path\" }");
        }
        _ => {}
    }
}

/// `host:port` or `unix:/path`.
fn listen(path: &str, text: &str, report: &mut Report) {
    let good = match text.strip_prefix("unix:") {
        Some(socket) => socket.starts_with('/'),
        None => text.rsplit_once(':').is_some_and(|(host, port)| {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            port.parse::<u16>().is_ok_and(|port| port > 0)
                && !host.is_empty()
                && !host.contains('/')
                && url::Host::parse(if bare.contains(':') { host } else { bare }).is_ok()
        }),
    };
    if !good {
        report.wrong(
            path,
            text.to_owned(),
            "is not an address to listen at",
            "write \"127.0.0.1:8787\" or \"unix:/run/brani-sync/NAME.sock\"",
        );
    }
}
