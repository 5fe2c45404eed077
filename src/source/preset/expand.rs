//! Lays a preset into the configuration: options checked, placeholders filled, the merchant's own keys kept.

use super::template::{Dialect, Meanings, OptionValue, render};
use super::{OptionSpec, OptionType, Preset, PresetProblem, checked_prefix};
use crate::config::{self, Config, Cursor, HandlerConfig, Queries, Query, SourceKind, Variant};
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// The option that every preset has: whether its handlers are taken over.
const WRITEBACK: &str = "writeback";

/// The handlers a preset may bring.
pub(super) const HANDLERS: [&str; 18] = [
    "balic_packed",
    "balic_picked",
    "package_number",
    "order_history",
    "status_change",
    "added_to_cart",
    "shipping_change",
    "movement_document_created",
    "movement_document_updated",
    "inventory_check_completed",
    "personal_pickup_stored",
    "personal_pickup_issued",
    "task_created",
    "task_assigned",
    "task_status_changed",
    "parked",
    "unparked",
    "delivery_state",
];

/// Lays a preset into the configuration. Afterwards what it brings stands there as if the merchant had written it;
/// what the merchant has written wins.
///
/// # Errors
/// Every problem of the merchant's prefix and options, and of the preset's own placeholders.
pub fn expand(config: &mut Config, preset: &Preset) -> Result<(), Vec<PresetProblem>> {
    let mut problems = Vec::new();
    if let Some(kind) = config.shop.source.kind
        && kind != preset.head.kind
    {
        problems.push(
            PresetProblem::new(
                "shop.source.kind",
                format!(
                    "`{}` does not fit the preset `{}`, which reads `{}`",
                    super::kind_word(kind),
                    preset.head.name,
                    super::kind_word(preset.head.kind)
                ),
            )
            .hint("leave `kind` out"),
        );
    }
    let brought = &preset.brings.shop.source;
    let prefix = config
        .shop
        .source
        .table_prefix
        .clone()
        .or_else(|| brought.table_prefix.clone())
        .unwrap_or_default();
    if let Err(problem) = checked_prefix(&prefix) {
        problems.push(problem);
    }
    let (options, with_handlers) = match options(&config.shop.source.options, preset) {
        Ok(options) => options,
        Err(more) => {
            problems.extend(more);
            return Err(problems);
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }

    let mut filler = Filler {
        preset,
        prefix: &prefix,
        options: &options,
        problems: Vec::new(),
    };
    let plain = filler.variant(&BTreeSet::new());
    let others: Vec<Variant> = if preset.head.facts.is_empty() {
        Vec::new()
    } else {
        subsets(&preset.head.facts)
            .iter()
            .map(|holding| filler.variant(holding))
            .collect()
    };
    let detect = preset
        .head
        .detect
        .as_deref()
        .map(|text| filler.fill("preset.detect", text, &BTreeSet::new(), false));
    let extra = brought
        .extra
        .as_ref()
        .map(|query| filler.query("shop.source.extra", query, &BTreeSet::new(), false));
    let map: IndexMap<String, String> = brought
        .map
        .iter()
        .map(|(field, text)| {
            let path = format!("shop.source.map.{field}");
            (field.clone(), filler.fill(&path, text, &BTreeSet::new(), false))
        })
        .collect();
    if !filler.problems.is_empty() {
        return Err(filler.problems);
    }

    lay_source(config, preset, prefix, plain.clone(), others, detect, extra, map);
    lay_info(config, preset, &plain.queries);
    lay_writeback(config, preset, plain.writeback, with_handlers);
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "each is one key of the section")]
fn lay_source(
    config: &mut Config,
    preset: &Preset,
    prefix: String,
    plain: Variant,
    mut variants: Vec<Variant>,
    detect: Option<String>,
    extra: Option<Query>,
    map: IndexMap<String, String>,
) {
    let brought = &preset.brings.shop.source;
    let source = &mut config.shop.source;
    source.kind = Some(preset.head.kind);
    source.table_prefix = Some(prefix);
    if source.send_when.is_none() {
        source.send_when.clone_from(&brought.send_when);
    }
    if source.r#final.is_none() {
        source.r#final.clone_from(&brought.r#final);
    }
    source.times = source.times.or(brought.times);
    if let (Cursor::Auto, Some(cursor)) = (&source.cursor, &brought.cursor) {
        source.cursor = cursor.clone();
    }
    for variant in &mut variants {
        if source.orders.is_some() {
            variant.orders.clone_from(&source.orders);
            // a lookup that belongs to another orders query would show other columns
            variant.lookup.clone_from(&source.lookup);
        }
        if source.items.is_some() {
            variant.items.clone_from(&source.items);
        }
        if source.lookup.is_some() {
            variant.lookup.clone_from(&source.lookup);
        }
        for (own, theirs) in [
            (&config.eshop_info.queries.statuses, &mut variant.queries.statuses),
            (&config.eshop_info.queries.shipping, &mut variant.queries.shipping),
            (&config.eshop_info.queries.payments, &mut variant.queries.payments),
        ] {
            if own.is_some() {
                theirs.clone_from(own);
            }
        }
        variant
            .writeback
            .retain(|event, _| config.writeback.handler(event).is_none());
    }
    if source.orders.is_none() {
        source.orders = plain.orders;
        if source.lookup.is_none() {
            source.lookup = plain.lookup;
        }
    }
    if source.items.is_none() {
        source.items = plain.items;
    }
    if source.extra.is_none() {
        source.extra = extra;
    }
    source.detect = detect;
    source.variants = variants;
    match (&mut source.records, &brought.records) {
        (none @ None, Some(records)) => *none = Some(records.clone()),
        (Some(own), Some(records)) => {
            let records = records.clone();
            own.order = own.order.take().or(records.order);
            own.item = own.item.take().or(records.item);
            own.group = own.group.take().or(records.group);
            own.encoding = own.encoding.take().or(records.encoding);
            own.delimiter = own.delimiter.take().or(records.delimiter);
            own.min_interval = own.min_interval.or(records.min_interval);
            for (name, value) in records.headers {
                own.headers.entry(name).or_insert(value);
            }
        }
        (_, None) => {}
    }
    for (field, template) in map {
        source.map.entry(field).or_insert(template);
    }
}

fn lay_info(config: &mut Config, preset: &Preset, queries: &Queries) {
    let info = &mut config.eshop_info;
    let brought = &preset.brings.eshop_info;
    for entry in &brought.statuses {
        if !info.statuses.iter().any(|own| own.shop == entry.shop) {
            info.statuses.push(entry.clone());
        }
    }
    for entry in &brought.shipping {
        if !info.shipping.iter().any(|own| own.shop == entry.shop) {
            info.shipping.push(entry.clone());
        }
    }
    for entry in &brought.payments {
        if !info.payments.iter().any(|own| own.shop == entry.shop) {
            info.payments.push(entry.clone());
        }
    }
    for (own, theirs) in [
        (&mut info.queries.statuses, &queries.statuses),
        (&mut info.queries.shipping, &queries.shipping),
        (&mut info.queries.payments, &queries.payments),
    ] {
        if own.is_none() {
            own.clone_from(theirs);
        }
    }
}

fn lay_writeback(
    config: &mut Config,
    preset: &Preset,
    handlers: IndexMap<String, Vec<String>>,
    with_handlers: bool,
) {
    let writeback = &mut config.writeback;
    if writeback.protect.is_none() {
        writeback.protect.clone_from(&preset.brings.writeback.protect);
    }
    if writeback.status_map.is_none() {
        writeback
            .status_map
            .clone_from(&preset.brings.writeback.status_map);
    }
    if !with_handlers {
        for variant in &mut config.shop.source.variants {
            variant.writeback.clear();
        }
        return;
    }
    for (event, sql) in handlers {
        let Some(place) = slot(writeback, &event) else {
            continue;
        };
        if place.is_none() {
            *place = Some(HandlerConfig {
                sql: Some(sql),
                http: None,
                command: None,
                jsonl: None,
            });
        }
    }
}

fn slot<'a>(writeback: &'a mut config::Writeback, event: &str) -> Option<&'a mut Option<HandlerConfig>> {
    Some(match event {
        "balic_packed" => &mut writeback.balic_packed,
        "balic_picked" => &mut writeback.balic_picked,
        "package_number" => &mut writeback.package_number,
        "order_history" => &mut writeback.order_history,
        "status_change" => &mut writeback.status_change,
        "added_to_cart" => &mut writeback.added_to_cart,
        "shipping_change" => &mut writeback.shipping_change,
        "movement_document_created" => &mut writeback.movement_document_created,
        "movement_document_updated" => &mut writeback.movement_document_updated,
        "inventory_check_completed" => &mut writeback.inventory_check_completed,
        "personal_pickup_stored" => &mut writeback.personal_pickup_stored,
        "personal_pickup_issued" => &mut writeback.personal_pickup_issued,
        "task_created" => &mut writeback.task_created,
        "task_assigned" => &mut writeback.task_assigned,
        "task_status_changed" => &mut writeback.task_status_changed,
        "parked" => &mut writeback.parked,
        "unparked" => &mut writeback.unparked,
        "delivery_state" => &mut writeback.delivery_state,
        _ => return None,
    })
}

/// Fills placeholders and collects what is wrong with them.
struct Filler<'a> {
    preset: &'a Preset,
    prefix: &'a str,
    options: &'a IndexMap<String, OptionValue>,
    problems: Vec<PresetProblem>,
}

impl Filler<'_> {
    fn fill(&mut self, path: &str, text: &str, holding: &BTreeSet<String>, lookup: bool) -> String {
        let meanings = Meanings {
            prefix: self.prefix,
            options: self.options,
            macros: &self.preset.head.macros,
            facts: &self.preset.head.facts,
            holding,
            lookup,
            dialect: match self.preset.head.kind {
                SourceKind::Mysql => Dialect::Mysql,
                SourceKind::Postgres | SourceKind::Sqlite => Dialect::Standard,
                SourceKind::Xml | SourceKind::Csv | SourceKind::Json => Dialect::Template,
            },
        };
        match render(text, &meanings) {
            Ok(text) => tidy(&text),
            Err(message) => {
                let problem =
                    PresetProblem::new(format!("preset `{}`: {path}", self.preset.head.name), message);
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                String::new()
            }
        }
    }

    fn query(&mut self, path: &str, query: &Query, holding: &BTreeSet<String>, lookup: bool) -> Query {
        Query {
            query: self.fill(path, &query.query, holding, lookup),
        }
    }

    fn variant(&mut self, holding: &BTreeSet<String>) -> Variant {
        let preset = self.preset;
        let source = &preset.brings.shop.source;
        let orders = source
            .orders
            .as_ref()
            .map(|query| self.query("shop.source.orders", query, holding, false));
        let items = source
            .items
            .as_ref()
            .map(|query| self.query("shop.source.items", query, holding, false));
        let lookup = match (&source.lookup, &source.orders) {
            (Some(query), _) => Some(self.query("shop.source.lookup", query, holding, true)),
            (None, Some(query))
                if query.query.contains("{if lookup}") || query.query.contains("{if not lookup}") =>
            {
                Some(self.query("shop.source.lookup", query, holding, true))
            }
            _ => None,
        };
        let lists = &preset.brings.eshop_info.queries;
        let mut list = |path: &str, text: &Option<String>| {
            text.as_ref()
                .map(|text| self.fill(&format!("eshop_info.queries.{path}"), text, holding, false))
        };
        let queries = Queries {
            statuses: list("statuses", &lists.statuses),
            shipping: list("shipping", &lists.shipping),
            payments: list("payments", &lists.payments),
        };
        let writeback = preset
            .brings
            .writeback
            .handlers
            .iter()
            .map(|(event, handler)| {
                let path = format!("writeback.{event}");
                let statements = handler
                    .sql
                    .iter()
                    .map(|text| self.fill(&path, text, holding, false))
                    // a statement that is wholly inside an `{if}` that does not hold is none
                    .filter(|text| !text.trim().is_empty())
                    .collect();
                (event.clone(), statements)
            })
            .collect();
        Variant {
            facts: preset
                .head
                .facts
                .iter()
                .filter(|fact| holding.contains(*fact))
                .cloned()
                .collect(),
            orders,
            items,
            lookup,
            queries,
            writeback,
        }
    }
}

/// Drops lines that conditions left empty.
fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("\n")
}

fn subsets(facts: &[String]) -> Vec<BTreeSet<String>> {
    (0u32..1 << facts.len())
        .map(|bits| {
            facts
                .iter()
                .enumerate()
                .filter(|(place, _)| bits & (1 << place) != 0)
                .map(|(_, fact)| fact.clone())
                .collect()
        })
        .collect()
}

type Options = (IndexMap<String, OptionValue>, bool);

/// The options with the merchant's values, and whether handlers are wanted.
fn options(own: &toml::Table, preset: &Preset) -> Result<Options, Vec<PresetProblem>> {
    let mut problems = Vec::new();
    let mut with_handlers = true;
    for (name, value) in own {
        let path = format!("shop.source.options.{name}");
        if name == WRITEBACK {
            match value.as_bool() {
                Some(flag) => with_handlers = flag,
                None => problems.push(PresetProblem::new(
                    path,
                    format!("`{value}` is not true or false"),
                )),
            }
        } else if !preset.head.options.contains_key(name) {
            let known: Vec<&str> = preset
                .head
                .options
                .keys()
                .map(String::as_str)
                .chain([WRITEBACK])
                .collect();
            let near = known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(known, name), *known))
                .min()
                .filter(|(distance, _)| *distance <= 3);
            problems.push(
                PresetProblem::new(
                    path,
                    format!("the preset `{}` has no such option", preset.head.name),
                )
                .hint(match near {
                    Some((_, near)) => format!("did you mean `{near}`?"),
                    None => format!("its options are {}", known.join(", ")),
                }),
            );
        }
    }
    let mut options = IndexMap::new();
    for (name, spec) in &preset.head.options {
        let (path, value) = match own.get(name) {
            Some(value) => (format!("shop.source.options.{name}"), value),
            None => (
                format!("preset `{}`: options.{name}.default", preset.head.name),
                &spec.default,
            ),
        };
        match checked_option(&path, value, spec) {
            Ok(value) => {
                options.insert(name.clone(), value);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok((options, with_handlers))
    } else {
        Err(problems)
    }
}

fn checked_option(path: &str, value: &toml::Value, spec: &OptionSpec) -> Result<OptionValue, PresetProblem> {
    let wrong = |what: &str| {
        PresetProblem::new(path, format!("`{value}` is not {what}")).hint(spec.description.clone())
    };
    let text = |value: &toml::Value| -> Option<String> {
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            _ => return None,
        };
        (text.len() <= 1000 && !text.chars().any(char::is_control)).then_some(text)
    };
    let integer = |value: &toml::Value| -> Option<i64> {
        match value {
            toml::Value::Integer(number) => Some(*number),
            toml::Value::String(text) => text.parse().ok(),
            _ => None,
        }
    };
    let list = |value: &toml::Value| match value {
        toml::Value::Array(values) => values.clone(),
        one => vec![one.clone()],
    };
    match spec.r#type {
        OptionType::Text => {
            let text = text(value).ok_or_else(|| wrong("a text of one line"))?;
            if spec.choices.is_empty() || spec.choices.contains(&text) {
                Ok(OptionValue::Text(text))
            } else {
                Err(wrong(&format!("one of {}", spec.choices.join(", "))))
            }
        }
        OptionType::Texts => list(value)
            .iter()
            .map(text)
            .collect::<Option<Vec<_>>>()
            .map(OptionValue::Texts)
            .ok_or_else(|| wrong("a list of texts of one line each")),
        OptionType::Integer => integer(value)
            .map(OptionValue::Integer)
            .ok_or_else(|| wrong("a whole number")),
        OptionType::Integers => list(value)
            .iter()
            .map(integer)
            .collect::<Option<Vec<_>>>()
            .map(OptionValue::Integers)
            .ok_or_else(|| wrong("a list of whole numbers")),
        OptionType::Boolean => value
            .as_bool()
            .map(OptionValue::Boolean)
            .ok_or_else(|| wrong("true or false")),
    }
}
