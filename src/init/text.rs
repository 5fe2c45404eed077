//! The configuration as it is written for a merchant: short, with what was found said in comments.

use super::{Column, Facts, Shop, Tables};
use crate::brani::model::EshopInfo;
use crate::config::Tls;
use crate::source::{ListRow, Lists};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

/// Where the database is, as it stands in the configuration.
#[derive(Clone, Debug)]
pub struct Place {
    /// The URL, without a password.
    pub url: String,
    /// A socket in place of host and port.
    pub socket: Option<PathBuf>,
    /// Whether there is a password, kept as the secret `shop-db`.
    pub password: bool,
    /// Whether the connection is encrypted, where that was said.
    pub tls: Option<Tls>,
    /// A certificate authority of one's own.
    pub tls_ca: Option<PathBuf>,
}

/// What the configuration is written from.
#[derive(Debug)]
pub struct Found<'a> {
    /// Where the database is.
    pub place: &'a Place,
    /// Brani's address, where it is not the usual one.
    pub base_url: Option<&'a url::Url>,
    /// The system.
    pub shop: &'a Shop,
    /// What it says of itself.
    pub facts: &'a Facts,
    /// Its lists.
    pub lists: &'a Lists,
    /// What Brani has.
    pub brani: Option<&'a EshopInfo>,
    /// The preset's `send_when`, `final` and `protect`.
    pub statuses: [Vec<String>; 3],
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned())
        .to_string()
        .replace('\n', " ")
}

/// A text in a comment: one line.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn head(out: &mut String, base_url: Option<&url::Url>) {
    out.push_str(
        "# brani-sync: the settings of one shop, written by `brani-sync init`. All keys: `man brani-sync.toml`.\n\
         # Secrets are kept beside this file: `brani-sync secret set brani-token`. Then: `brani-sync check`.\n\n[brani]\n",
    );
    if let Some(base_url) = base_url {
        let _ = writeln!(out, "base_url = {}", quoted(base_url.as_str()));
    }
    out.push_str("token = { credential = \"brani-token\" }\n\n");
}

fn place(out: &mut String, place: &Place) {
    let _ = writeln!(out, "url = {}", quoted(&place.url));
    if let Some(socket) = &place.socket {
        let _ = writeln!(out, "socket = {}", quoted(&socket.display().to_string()));
    }
    if place.password {
        out.push_str("password = { credential = \"shop-db\" }\n");
    }
    match place.tls {
        Some(Tls::Verify) => out.push_str("tls = \"verify\"\n"),
        Some(Tls::Off) => out.push_str("tls = \"off\"\n"),
        None => {}
    }
    if let Some(file) = &place.tls_ca {
        let _ = writeln!(out, "tls_ca = {}", quoted(&file.display().to_string()));
    }
}

/// Whether the zone is one that a configuration may name.
pub fn zone(text: &str) -> Option<&str> {
    jiff::tz::TimeZone::get(text).ok().map(|_| text)
}

/// The configuration of a known system.
pub fn known(found: &Found<'_>) -> String {
    let (shop, facts) = (found.shop, found.facts);
    let mut out = String::new();
    head(&mut out, found.base_url);
    out.push_str("[shop]\n");
    match &facts.zone {
        Some(text) if zone(text).is_some() => {
            let _ = writeln!(
                out,
                "timezone = {}                # as the shop says",
                quoted(text)
            );
        }
        other => {
            let said = other
                .as_deref()
                .map_or_else(|| "none".to_owned(), |text| format!("`{}`", plain(text)));
            let _ = writeln!(
                out,
                "timezone = \"Europe/Prague\"    # the shop names {said}: look whether this is right"
            );
        }
    }
    out.push_str("# default_weight = \"0.500\"      # kg, for goods that have none\n\n[shop.source]\n");
    if let Some(version) = &facts.version {
        let _ = writeln!(out, "# version: {}", plain(version));
    }
    if let Some(weight) = &facts.weight {
        let _ = writeln!(
            out,
            "# weights in the shop: {} (the preset turns them into kg)",
            plain(weight)
        );
    }
    if !facts.languages.is_empty() {
        let _ = writeln!(out, "# languages: {}", plain(&facts.languages.join(", ")));
    }
    let _ = writeln!(
        out,
        "preset = {}    # `brani-sync presets show {}` prints it",
        quoted(&shop.preset),
        shop.preset
    );
    let _ = writeln!(
        out,
        "# The user should be one of brani-sync's own, not the shop's: `brani-sync presets grants {}` prints how to make it",
        shop.preset
    );
    place(&mut out, found.place);
    let _ = writeln!(out, "table_prefix = {}", quoted(&shop.prefix));
    let named = |values: &[String]| {
        let names: Vec<String> = values
            .iter()
            .map(|value| {
                let name = found.lists.statuses.iter().find(|row| row.shop == *value);
                name.filter(|row| row.name != *value)
                    .map_or_else(|| value.clone(), |row| format!("{value} {}", row.name))
            })
            .collect();
        plain(&names.join(", "))
    };
    let listed = |values: &[String]| {
        values
            .iter()
            .map(|value| quoted(value))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let [send_when, done, protect] = &found.statuses;
    let _ = writeln!(
        out,
        "\n# Statuses that bring an order to Brani the first time; the preset's are: {}\n# send_when = [{}]",
        named(send_when),
        listed(send_when)
    );
    let _ = writeln!(
        out,
        "# Statuses whose orders are never sent again because a setting changed: {}\n# final = [{}]",
        named(done),
        listed(done)
    );
    out.push_str(
        "\n# What the packing table writes back is on by the preset. Off: writeback = false\n[shop.source.options]\n",
    );
    lists(&mut out, found);
    let _ = writeln!(
        out,
        "\n# Statuses that the packing table never overwrites: {}\n# [writeback]\n# protect = [{}]",
        named(protect),
        listed(protect)
    );
    out.push_str(
        "\n# [webhooks]\n# public_url = \"https://shop.example.cz/brani\"   # left out: Brani's events are fetched every few minutes\n",
    );
    out
}

fn lists(out: &mut String, found: &Found<'_>) {
    out.push_str(
        "\n# The shop's own lists are read from its database. A row here goes before the row of the same `shop`.\n",
    );
    let known = known_ids(found.lists, found.brani);
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (list, rows) in [
        ("statuses", &found.lists.statuses),
        ("shipping", &found.lists.shipping),
        ("payments", &found.lists.payments),
    ] {
        for row in rows {
            if seen.insert((list, &row.shop)) {
                entry(out, list, row, known.get(&(list, row.shop.as_str())).cloned());
            }
        }
    }
}

/// The ids and GUIDs that Brani has under the names of rows, as lines, by list and shop value.
fn known_ids<'l>(lists: &'l Lists, brani: Option<&EshopInfo>) -> BTreeMap<(&'static str, &'l str), String> {
    let mut lines = BTreeMap::new();
    let mut ids: Vec<i64> = Vec::new();
    for row in &lists.statuses {
        if lines.contains_key(&("statuses", row.shop.as_str())) {
            continue;
        }
        let known = brani
            .into_iter()
            .flat_map(|info| &info.order_statuses.statuses)
            .find(|status| same(&status.name, &row.name))
            .map(|status| status.id.0)
            .filter(|id| !ids.contains(id));
        ids.extend(known);
        if let Some(id) = known {
            lines.insert(("statuses", row.shop.as_str()), format!("id = {id}"));
        }
    }
    let methods = |pick: fn(&EshopInfo) -> &crate::brani::model::RetailWholesale, name: &str| {
        let lists = brani.map(pick)?;
        lists
            .retail
            .methods
            .iter()
            .chain(&lists.wholesale.methods)
            .find(|method| same(&method.name, name))
            .map(|method| format!("guid = {}", quoted(&method.guid)))
    };
    for row in &lists.shipping {
        if let Some(line) = methods(|info| &info.shipping_methods, &row.name) {
            lines.entry(("shipping", row.shop.as_str())).or_insert(line);
        }
    }
    for row in &lists.payments {
        if let Some(line) = methods(|info| &info.payment_methods, &row.name) {
            lines.entry(("payments", row.shop.as_str())).or_insert(line);
        }
    }
    lines
}

fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// A row of a list: in force where Brani has it already, else as a comment.
fn entry(out: &mut String, list: &str, row: &ListRow, known: Option<String>) {
    let mark = if known.is_some() { "" } else { "# " };
    written(out, list, row, known, mark);
}

fn written(out: &mut String, list: &str, row: &ListRow, known: Option<String>, mark: &str) {
    let mut lines = vec![
        format!("[[eshop_info.{list}]]"),
        format!("shop = {}", quoted(&row.shop)),
        format!("name = {}", quoted(&row.name)),
    ];
    if let (Some(method), "payments") = (&row.method, list) {
        lines.push(format!("method = {}", quoted(method)));
    }
    if let Some(known) = known {
        lines.push(format!("{known}    # Brani has it under this name"));
    }
    for line in lines {
        let _ = writeln!(out, "{mark}{line}");
    }
}

/// The configuration of an export: the URL is kept as a secret. `lists` are the values that its orders hold and the
/// preset does not list.
pub fn export(preset: &str, base_url: Option<&url::Url>, lists: &Lists, brani: Option<&EshopInfo>) -> String {
    let mut out = String::new();
    head(&mut out, base_url);
    let _ = writeln!(
        out,
        "[shop.source]\npreset = {}    # `brani-sync presets show {preset}` prints it and says what the export must hold\n\
         url = {{ credential = \"shop-export\" }}",
        quoted(preset)
    );
    if !lists.statuses.is_empty() {
        out.push_str(
            "# Statuses of your own stand below: name here all that bring an order to Brani.\n\
             # send_when = [\"Nevyřízená\", \"Vyřizuje se\"]\n",
        );
    }
    if *lists != Lists::default() {
        out.push_str(
            "\n# Found in the export: `shop` is the name there (`*` stands for any text), `name` is what Brani shows.\n",
        );
    }
    let known = known_ids(lists, brani);
    for (list, rows) in [
        ("statuses", &lists.statuses),
        ("shipping", &lists.shipping),
        ("payments", &lists.payments),
    ] {
        for row in rows {
            let known = known.get(&(list, row.shop.as_str())).cloned();
            written(&mut out, list, row, known, "");
        }
    }
    out
}

/// The configuration of a shop that nobody knows: two queries to be mended, and what they can be made from.
pub fn skeleton(place_at: &Place, kind: &str, tables: &Tables, base_url: Option<&url::Url>) -> String {
    let mut out = String::new();
    head(&mut out, base_url);
    let _ = writeln!(
        out,
        "# No known shop system was found. The two queries below are a guess to be finished; the columns are named after\n\
         # the fields of a Brani order (docs/configuration.md lists them). `brani-sync check` proves them.\n[shop]\n\
         timezone = \"Europe/Prague\"\n\n[shop.source]\nkind = {}",
        quoted(kind)
    );
    place(&mut out, place_at);
    let orders = best(
        tables,
        &["order", "objedn", "zakaz"],
        &["item", "polozk", "detail", "product", "histor"],
    );
    let items = best(tables, &["item", "polozk", "detail", "order_product"], &[]);
    let pick = |table: Option<&String>, words: &[&str], kinds: &[&str]| -> Option<String> {
        let columns = tables.get(table?)?;
        let fits = |column: &&Column| kinds.is_empty() || kinds.iter().any(|kind| column.kind.contains(kind));
        words.iter().find_map(|word| {
            columns
                .iter()
                .filter(fits)
                .find(|column| column.name.to_lowercase().contains(word))
                .map(|column| column.name.clone())
        })
    };
    let first = |table: Option<&String>| Some(tables.get(table?)?.first()?.name.clone());
    let or = |name: Option<String>, other: &str| name.unwrap_or_else(|| other.to_owned());
    let key = or(first(orders), "id");
    let code = or(pick(orders, &["number", "code", "cislo", "reference"], &[]), &key);
    let changed = or(
        pick(
            orders,
            &["upd", "modif", "chang", "zmen", "created", "date"],
            &["date", "time", "int"],
        ),
        "updated_at",
    );
    let created = or(
        pick(
            orders,
            &["creat", "vytvo", "date", "dat"],
            &["date", "time", "int"],
        ),
        &changed,
    );
    let status = pick(orders, &["status", "state", "stav"], &[]);
    let as_name = |path: &str| match kind {
        "mysql" => format!("`{path}`"),
        _ => format!("\"{path}\""),
    };
    let from = match or(orders.cloned(), "orders") {
        // a word of SQL itself
        word if word.eq_ignore_ascii_case("order") => as_name(&word),
        name => name,
    };
    let _ = writeln!(out, "\n[shop.source.orders]\nquery = '''");
    let _ = writeln!(
        out,
        "SELECT o.{key} AS _key, o.{changed} AS _cursor, o.{code} AS code,"
    );
    if let Some(status) = status {
        let _ = writeln!(out, "       o.{status} AS _status,");
    }
    let _ = writeln!(
        out,
        "       -- also: email, phone, paid, _shipping, _payment, {}, {}, {} …",
        as_name("price.withVat"),
        as_name("deliveryAddress.fullName"),
        as_name("deliveryAddress.street")
    );
    let _ = writeln!(
        out,
        "       o.{created} AS {}\nFROM {from} o\nWHERE o.{changed} >= :since'''",
        as_name("creationTime")
    );
    let table = or(items.cloned(), "order_items");
    let joins = or(pick(items, &["order", "objedn", "zakaz"], &[]), "order_id");
    let item_code = or(pick(items, &["sku", "code", "kod", "product"], &[]), "product_id");
    let name = or(pick(items, &["name", "title", "nazev"], &[]), &item_code);
    let amount = or(
        pick(items, &["quantity", "amount", "qty", "mnoz", "pocet"], &[]),
        "1",
    );
    let _ = writeln!(
        out,
        "\n[shop.source.items]\nquery = '''\nSELECT i.{joins} AS _key, i.{item_code} AS code, i.{name} AS name, {} AS amount\n\
         FROM {table} i\nWHERE i.{joins} IN (:keys)'''",
        if amount == "1" {
            amount
        } else {
            format!("i.{amount}")
        }
    );
    out.push_str("\n# Tables that look as if they had to do with orders:\n");
    for (table, columns) in tables.iter().filter(|(name, _)| looks(name)).take(40) {
        let columns: Vec<String> = columns
            .iter()
            .take(80)
            .map(|column| format!("{} {}", column.name, column.kind))
            .collect();
        let _ = writeln!(out, "#   {}: {}", plain(table), plain(&columns.join(", ")));
    }
    out
}

fn looks(name: &str) -> bool {
    let name = name.to_lowercase();
    [
        "order", "objedn", "zakaz", "item", "polozk", "address", "adres", "customer", "zakazn", "shipping",
        "doprav", "payment", "platb", "status", "stav",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// The table whose name says most: holds a word, none of the others, and is the shortest.
fn best<'a>(tables: &'a Tables, words: &[&str], not: &[&str]) -> Option<&'a String> {
    tables
        .keys()
        .filter(|name| {
            let name = name.to_lowercase();
            // it is put into a query unquoted
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && words.iter().any(|word| name.contains(word))
                && !not.iter().any(|word| name.contains(word))
        })
        .min_by_key(|name| (name.len(), (*name).clone()))
}
