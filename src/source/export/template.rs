//! `shop.source.map`: from one record of an export to columns.
//!
//! A template that fails spoils its own order only, and says so in that order's `_problem`.

use super::bytes::Fault;
use super::tree::{Node, Scope, Tree};
use super::{Met, Raw, filters};
use crate::config::Cursor;
use crate::source::{Record, Row, Value};
use crate::types::{OrderCode, ShopKey, ShopStatus};
use indexmap::IndexMap;
use jiff::tz::TimeZone;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value as Jinja};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// Names that templates find beside a record's fields.
const OURS: &[&str] = &["order", "items", "item", "options"];

/// The compiled templates of one source.
pub struct Templates {
    env: Environment<'static>,
    order: Vec<Template>,
    items: Vec<Template>,
    /// `items._skip`: lines that are no goods.
    skips: Vec<Template>,
    order_names: Arc<[String]>,
    /// The columns of an order that could not be read.
    spoilt_names: Arc<[String]>,
    item_names: Arc<[String]>,
    options: Jinja,
    cursor: Cursor,
    zone: TimeZone,
}

/// One template of the map.
struct Template {
    /// The key in the map, e.g. `items.code`.
    key: String,
    /// The column it fills.
    column: String,
    plan: Plan,
    /// The bare names it uses.
    names: BTreeSet<String>,
}

/// Most templates only name a field; those need no engine.
enum Plan {
    Literal(String),
    Field(Vec<String>),
    Engine,
}

/// The bare names that the records of a file have had.
pub struct Seen {
    orders: HashSet<String>,
    items: HashSet<String>,
    /// The names of the last record and item.
    last: (Vec<Arc<str>>, Vec<Arc<str>>),
    /// Whether there was a record, an item at all.
    any: (bool, bool),
    /// Whether every record was looked into.
    all: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            orders: HashSet::new(),
            items: HashSet::new(),
            last: (Vec::new(), Vec::new()),
            any: (false, false),
            all: true,
        }
    }
}

impl Seen {
    /// `last` are the names of the record before, by place: most records have the same.
    fn note(known: &mut HashSet<String>, last: &mut Vec<Arc<str>>, tree: &Tree) {
        for (place, (name, _)) in tree.fields.iter().enumerate() {
            match last.get_mut(place) {
                Some(before) if Arc::ptr_eq(before, name) => continue,
                Some(before) => *before = Arc::clone(name),
                None => last.push(Arc::clone(name)),
            }
            if known.len() < super::limits::NAMES && !known.contains(&**name) {
                known.insert(name.to_string());
            }
        }
    }

    /// A record was passed over: what names it has is not known.
    pub fn passed_over(&mut self) {
        self.all = false;
    }

    /// Takes a record's names in.
    pub fn record(&mut self, raw: &Raw) {
        self.any.0 = true;
        Self::note(&mut self.orders, &mut self.last.0, &raw.tree);
        for item in &raw.items {
            self.any.1 = true;
            Self::note(&mut self.items, &mut self.last.1, item);
        }
    }
}

impl Templates {
    /// Compiles a map.
    ///
    /// # Errors
    /// The template that cannot be read, by its key, with what is wrong.
    pub fn new(
        map: &IndexMap<String, String>,
        options: &toml::Table,
        cursor: Cursor,
        zone: TimeZone,
    ) -> Result<Self, Fault> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Chainable);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_recursion_limit(64);
        filters::install(&mut env);
        let globals: HashSet<String> = env.globals().map(|(name, _)| name.to_owned()).collect();
        let (mut order, mut items, mut skips) = (Vec::new(), Vec::new(), Vec::new());
        for (key, source) in map {
            env.add_template_owned(key.clone(), source.clone())
                .map_err(|error| unusable(key, &error))?;
            let compiled = env.get_template(key).map_err(|error| unusable(key, &error))?;
            let names = compiled
                .undeclared_variables(false)
                .into_iter()
                .filter(|name| !OURS.contains(&name.as_str()) && !globals.contains(name))
                .collect();
            let column = key.strip_prefix("items.");
            let template = Template {
                key: key.clone(),
                column: column.unwrap_or(key).to_owned(),
                plan: plan(source),
                names,
            };
            match column {
                Some("_skip") => skips.push(template),
                Some(_) => items.push(template),
                None => order.push(template),
            }
        }
        if !order.iter().any(|template| template.column == "code") {
            return Err(Fault::hinted(
                "the map has no template for `code`",
                "write e.g. code = \"{{ CODE }}\" into shop.source.map",
            ));
        }
        let columns = |templates: &[Template], more: &[&str]| -> Arc<[String]> {
            let mut names: Vec<String> = templates.iter().map(|t| t.column.clone()).collect();
            for name in more {
                if !names.iter().any(|known| known == name) {
                    names.push((*name).to_owned());
                }
            }
            names.into()
        };
        let templates = Self {
            order_names: columns(&order, &[]),
            spoilt_names: columns(&order, &["_problem", "price.withVat"]),
            item_names: columns(&items, &[]),
            order,
            items,
            skips,
            options: Jinja::from_serialize(options),
            cursor,
            zone,
            env,
        };
        templates.rehearse()?;
        Ok(templates)
    }

    /// Renders every template once with nothing: unknown filters, tests and functions come out at the start.
    fn rehearse(&self) -> Result<(), Fault> {
        let empty = Arc::new(Tree::default());
        let scope = self.scope(&empty, &[]);
        for template in self.order.iter().chain(&self.items).chain(&self.skips) {
            if !matches!(template.plan, Plan::Engine) {
                continue;
            }
            let answer = self
                .env
                .get_template(&template.key)
                .and_then(|t| t.render(scope.clone()));
            if let Err(error) = answer
                && matches!(
                    error.kind(),
                    ErrorKind::UnknownFilter
                        | ErrorKind::UnknownTest
                        | ErrorKind::UnknownFunction
                        | ErrorKind::UnknownMethod
                        | ErrorKind::TooManyArguments
                        | ErrorKind::MissingArgument
                )
            {
                return Err(unusable(&template.key, &error));
            }
        }
        Ok(())
    }

    /// Whether any item column is mapped.
    pub fn has_items(&self) -> bool {
        !self.items.is_empty()
    }

    fn scope(&self, tree: &Arc<Tree>, items: &[Arc<Tree>]) -> Jinja {
        Jinja::from_object(Scope {
            fields: Arc::clone(tree),
            ours: vec![
                ("order", Jinja::from_dyn_object(Arc::clone(tree))),
                ("items", listed(items)),
                ("options", self.options.clone()),
            ],
        })
    }

    fn item_scope(&self, order: &Arc<Tree>, items: &Jinja, item: &Arc<Tree>) -> Jinja {
        Jinja::from_object(Scope {
            fields: Arc::clone(item),
            ours: vec![
                ("order", Jinja::from_dyn_object(Arc::clone(order))),
                ("items", items.clone()),
                ("item", Jinja::from_dyn_object(Arc::clone(item))),
                ("options", self.options.clone()),
            ],
        })
    }

    fn render(
        &self,
        template: &Template,
        tree: &Arc<Tree>,
        scope: &mut dyn FnMut() -> Jinja,
    ) -> Result<String, String> {
        match &template.plan {
            Plan::Literal(text) => Ok(text.clone()),
            Plan::Field(path) => Ok(tree
                .get(&path[0])
                .and_then(|node| node.at(&path[1..]))
                .map(Node::text)
                .unwrap_or_default()),
            Plan::Engine => self
                .env
                .get_template(&template.key)
                .and_then(|t| t.render(scope()))
                .map_err(|error| told(&template.key, &error)),
        }
    }

    fn code_template(&self) -> Option<&Template> {
        self.order.iter().find(|template| template.column == "code")
    }

    /// The one field below a record that alone makes its order number, where that is so.
    pub fn number(&self) -> Option<&str> {
        match &self.code_template()?.plan {
            Plan::Field(path) if path.len() == 1 => path.first().map(String::as_str),
            _ => None,
        }
    }

    /// Only the order number of a record; `None` where it has none.
    pub fn code(&self, met: &Met) -> Option<OrderCode> {
        let template = self.code_template()?;
        let (tree, items) = match met {
            Met::Whole(raw) => (&raw.tree, raw.items.as_slice()),
            Met::Written(written) => (&written.head, [].as_slice()),
        };
        self.render(template, tree, &mut || self.scope(tree, items))
            .ok()
            .filter(|code| !code.trim().is_empty())
            .map(OrderCode)
    }

    /// Maps a record. `Err` where it has no order number, so that nothing can be said of it but that it exists.
    pub fn record(&self, raw: &Raw) -> Result<Record, String> {
        let mut problems: Vec<String> = raw.problem.iter().cloned().collect();
        let mut scope: Option<Jinja> = None;
        let mut scoped = || {
            scope
                .get_or_insert_with(|| self.scope(&raw.tree, &raw.items))
                .clone()
        };
        let mut values = vec![Value::Null; self.order_names.len()];
        for (place, template) in self.order.iter().enumerate() {
            match self.render(template, &raw.tree, &mut scoped) {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => values[place] = Value::Text(text),
                Err(problem) => problems.push(problem),
            }
        }
        let mut items = Vec::new();
        if self.has_items() {
            let all = listed(&raw.items);
            for (number, item) in raw.items.iter().enumerate() {
                if let Some(row) = self.item(raw, &all, item, number, &mut problems) {
                    items.push(row);
                }
            }
        }
        let mut order = Row {
            names: Arc::clone(&self.order_names),
            values,
        };
        let text = |order: &Row, name: &str| {
            order
                .get(name)
                .filter(|value| !value.is_empty())
                .map(Value::to_text)
        };
        let Some(code) = text(&order, "code") else {
            return Err(problems
                .into_iter()
                .next()
                .unwrap_or_else(|| "its order number (`code`) is empty".into()));
        };
        let changed = match text(&order, "_cursor") {
            None => None,
            Some(cursor) => moment(&cursor, &self.cursor, &self.zone),
        };
        if !problems.is_empty() {
            let problem = problems.join("; ");
            order.values.resize(self.spoilt_names.len(), Value::Null);
            order.names = Arc::clone(&self.spoilt_names);
            // nothing that could be read wrongly is sent: an amount that is no number parks the order, and the
            // reason stands where the person who mends it looks
            set(&mut order, "_problem", Value::Text(problem.clone()));
            set(
                &mut order,
                "price.withVat",
                Value::Text(format!("unreadable in the export: {problem}")),
            );
        }
        Ok(Record {
            key: ShopKey(text(&order, "_key").unwrap_or_else(|| code.clone())),
            status: text(&order, "_status").map(ShopStatus),
            gone: text(&order, "_gone").is_some_and(|flag| truth(&flag)),
            code: OrderCode(code),
            changed,
            order,
            items,
            seal: None,
            made: None,
        })
    }

    fn item(
        &self,
        raw: &Raw,
        all: &Jinja,
        item: &Arc<Tree>,
        number: usize,
        problems: &mut Vec<String>,
    ) -> Option<Row> {
        let mut scope: Option<Jinja> = None;
        let mut scoped = || {
            scope
                .get_or_insert_with(|| self.item_scope(&raw.tree, all, item))
                .clone()
        };
        // `_skip` first: a line that is left out may be anything inside
        for template in &self.skips {
            match self.render(template, item, &mut scoped) {
                Ok(flag) if truth(&flag) => return None,
                Ok(_) => {}
                Err(problem) => problems.push(format!("item {}: {problem}", number + 1)),
            }
        }
        let mut values = Vec::with_capacity(self.items.len());
        for template in &self.items {
            values.push(match self.render(template, item, &mut scoped) {
                Ok(text) if text.trim().is_empty() => Value::Null,
                Ok(text) => Value::Text(text),
                Err(problem) => {
                    problems.push(format!("item {}: {problem}", number + 1));
                    Value::Null
                }
            });
        }
        Some(Row {
            names: Arc::clone(&self.item_names),
            values,
        })
    }

    /// The templates that use a bare name that no record had: `(key, name)`.
    pub fn unknown(&self, seen: &Seen) -> Vec<(String, String)> {
        let mut unknown = Vec::new();
        if !seen.all {
            // An order that is known already may have it: it was told when that one was new.
            return unknown;
        }
        let mut look = |templates: &[Template], known: &HashSet<String>, any: bool| {
            for template in templates.iter().filter(|_| any) {
                for name in &template.names {
                    if !known.iter().any(|k| k.eq_ignore_ascii_case(name)) {
                        unknown.push((template.key.clone(), name.clone()));
                    }
                }
            }
        };
        look(&self.order, &seen.orders, seen.any.0);
        look(&self.items, &seen.items, seen.any.1);
        look(&self.skips, &seen.items, seen.any.1);
        unknown
    }

    /// A file that names its fields beforehand (csv): every bare name must be one of them.
    ///
    /// # Errors
    /// The template, the name, and the nearest that exists.
    pub fn names_must_be(&self, columns: &[Arc<str>]) -> Result<(), Fault> {
        for template in self.order.iter().chain(&self.items).chain(&self.skips) {
            for name in &template.names {
                match columns.iter().filter(|column| ***column == **name).count() {
                    0 => {}
                    1 => continue,
                    count => {
                        let whose = match template.key.starts_with("items.") {
                            true => "item",
                            false => "order",
                        };
                        return Err(Fault::hinted(
                            format!(
                                "template shop.source.map.\"{}\" names `{name}`, and {count} columns of the file have \
                                 that name",
                                template.key
                            ),
                            format!(
                                "give one of the columns another name in the export, or write `{whose}.{name}` where \
                                 the first of them is meant"
                            ),
                        ));
                    }
                }
                let nearest = columns
                    .iter()
                    .map(|column| (strsim::jaro_winkler(column, name), column))
                    .max_by(|a, b| a.0.total_cmp(&b.0))
                    .map(|(_, column)| format!("; the nearest is `{column}`"))
                    .unwrap_or_default();
                return Err(Fault::hinted(
                    format!(
                        "template shop.source.map.\"{}\" names `{name}`, which is not a column of the file{nearest}",
                        template.key
                    ),
                    if template.key.starts_with("items.") {
                        format!(
                            "an export needs item columns (in Shoptet: export individual items); correct the template, \
                             or write `item.{name}` where the column may be missing"
                        )
                    } else {
                        format!(
                            "correct the template, add the column to the export, or write `order.{name}` where the \
                             column may be missing"
                        )
                    },
                ));
            }
        }
        Ok(())
    }
}

fn listed(items: &[Arc<Tree>]) -> Jinja {
    items
        .iter()
        .map(|item| Jinja::from_dyn_object(Arc::clone(item)))
        .collect()
}

fn set(row: &mut Row, name: &str, value: Value) {
    if let Some(place) = row.names.iter().position(|n| n == name) {
        row.values[place] = value;
    }
}

/// What a template writes for yes.
fn truth(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "1" | "true" | "yes" | "y" | "ano" | "on"
    )
}

/// Recognises `{{ A.B }}` and plain text.
fn plan(source: &str) -> Plan {
    if !source.contains('{') {
        return Plan::Literal(source.to_owned());
    }
    let Some(inner) = source.strip_prefix("{{").and_then(|s| s.strip_suffix("}}")) else {
        return Plan::Engine;
    };
    let path: Vec<String> = inner.trim().split('.').map(str::to_owned).collect();
    let plain = path.iter().all(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    let reserved = ["true", "false", "none", "True", "False", "None", "loop", "self"];
    if plain && !OURS.contains(&path[0].as_str()) && !reserved.contains(&path[0].as_str()) {
        Plan::Field(path)
    } else {
        Plan::Engine
    }
}

/// A cursor as a moment.
fn moment(text: &str, form: &Cursor, zone: &TimeZone) -> Option<jiff::Timestamp> {
    let text = text.trim();
    let wall = |time: jiff::civil::DateTime| zone.to_timestamp(time).ok();
    match form {
        Cursor::Epoch => jiff::Timestamp::from_second(text.parse().ok()?).ok(),
        Cursor::EpochMs => jiff::Timestamp::from_millisecond(text.parse().ok()?).ok(),
        Cursor::Text(form) => wall(jiff::civil::DateTime::strptime(form, text).ok()?),
        Cursor::Auto | Cursor::Datetime => text
            .parse::<jiff::Timestamp>()
            .ok()
            .or_else(|| wall(text.parse().ok()?)),
    }
}

/// A template's failure in words that hold nothing of the record.
fn told(key: &str, error: &minijinja::Error) -> String {
    let detail = error
        .detail()
        .filter(|detail| detail.starts_with(filters::OURS))
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    format!("template shop.source.map.\"{key}\": {detail}")
}

/// A template that can never work.
fn unusable(key: &str, error: &minijinja::Error) -> Fault {
    let line = error
        .line()
        .filter(|&line| line > 1)
        .map(|line| format!(" in line {line}"))
        .unwrap_or_default();
    let detail = error
        .detail()
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    Fault::hinted(
        format!(
            "template shop.source.map.\"{key}\"{line} cannot be used: {}{detail}",
            error.kind()
        ),
        "see docs/exports.md for what a template may use",
    )
}
