//! From rows to records: items joined, extra columns laid over, unusable rows counted.

use super::plan::{Layout, Plan, check_extra_names, check_item_names, check_names};
use super::{cursor, trouble};
use crate::database::parameters::Param;
use crate::database::{BoxSession, Table, param_of};
use crate::mapping::ORDER_COLUMNS;
use crate::source::{Record, Row, SourceError, Value};
use crate::types::{OrderCode, ShopKey, ShopStatus};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What was odd in one read, to be told once.
#[derive(Default)]
pub(super) struct Assembly {
    unusable: u64,
    keys: Vec<String>,
    damaged: BTreeSet<String>,
}

impl Assembly {
    fn skip(&mut self, key: Option<String>) {
        self.unusable += 1;
        if let Some(key) = key.filter(|_| self.keys.len() < 5) {
            self.keys.push(key);
        }
    }

    fn damage(&mut self, query: &str, columns: Vec<String>) {
        self.damaged
            .extend(columns.into_iter().map(|column| format!("{query} {column}")));
    }

    /// Writes the log lines, if there is anything to tell.
    pub fn tell(self) {
        if self.unusable > 0 {
            tracing::warn!(
                event = "source.row_unusable",
                rows = self.unusable,
                keys = self.keys.join(", "),
                "Skipped {} rows of the orders query that have no `_key` or no `code` (keys: `{}`)",
                self.unusable,
                self.keys.join(", ")
            );
        }
        if !self.damaged.is_empty() {
            let columns = self.damaged.into_iter().collect::<Vec<_>>().join(", ");
            tracing::warn!(
                event = "source.text_damaged",
                columns,
                "Replaced bytes that are no UTF-8 text, in the columns `{columns}`"
            );
        }
    }
}

/// Keys in one `IN (…)`: databases bound the number of parameters.
const KEYS_MAX: usize = 5_000;

/// Makes records of one batch of orders, asking for its items and extra columns.
pub(super) async fn assemble(
    plan: &Plan,
    layout: &Layout,
    session: &mut BoxSession,
    table: Table,
    warnings: &mut Assembly,
) -> Result<Vec<Record>, SourceError> {
    let names: Vec<&str> = table.names.iter().map(String::as_str).collect();
    let source = match plan.lookup {
        Some(_) => "shop.source.lookup",
        None => "shop.source.orders",
    };
    check_names(&names, source, ORDER_COLUMNS, &["_key", "code"])?;
    warnings.damage("shop.source.orders", table.damaged.clone());
    let (key_at, code_at) = match (table.place("_key"), table.place("code")) {
        (Some(key), Some(code)) => (key, code),
        _ => return Ok(Vec::new()),
    };
    let mut rows = Vec::with_capacity(table.rows.len());
    let mut seen = HashSet::with_capacity(table.rows.len());
    // A join may give an order twice: then each row gets the items.
    let mut repeats = false;
    let mut keys: Vec<Param> = Vec::with_capacity(table.rows.len());
    for row in table.rows {
        if row[key_at].is_empty() || row[code_at].is_empty() {
            let key = Some(row[key_at].to_text()).filter(|key| !key.is_empty());
            warnings.skip(key);
            continue;
        }
        keys.push(param_of(&row[key_at]));
        let key = row[key_at].to_text();
        repeats |= !seen.insert(key.clone());
        rows.push((key, row));
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut items: HashMap<String, Vec<Row>> = HashMap::new();
    let mut extra: HashMap<String, Vec<Value>> = HashMap::new();
    let mut extra_names: Arc<[String]> = Arc::from([]);
    for some in keys.chunks(KEYS_MAX) {
        let query = Plan::with_keys(&plan.items, "shop.source.items", some.to_vec())?;
        let table = session
            .query(&query)
            .await
            .map_err(|fault| trouble(fault, "shop.source.items"))?;
        check_item_names(&table.names.iter().map(String::as_str).collect::<Vec<_>>())?;
        warnings.damage("shop.source.items", table.damaged.clone());
        let place = table.place("_key").unwrap_or(0);
        for values in table.rows {
            items.entry(values[place].to_text()).or_default().push(Row {
                names: Arc::clone(&table.names),
                values,
            });
        }
        if let Some(query) = &plan.extra {
            let query = Plan::with_keys(query, "shop.source.extra", some.to_vec())?;
            let table = session
                .query(&query)
                .await
                .map_err(|fault| trouble(fault, "shop.source.extra"))?;
            check_extra_names(&table.names.iter().map(String::as_str).collect::<Vec<_>>())?;
            warnings.damage("shop.source.extra", table.damaged.clone());
            let place = table.place("_key").unwrap_or(0);
            extra_names = Arc::clone(&table.names);
            for values in table.rows {
                extra.insert(values[place].to_text(), values);
            }
        }
    }
    let (names, places) = overlay(&table.names, &extra_names);
    let mut records = Vec::with_capacity(rows.len());
    for (key, mut values) in rows {
        let items = match repeats {
            true => items.get(&key).cloned(),
            false => items.remove(&key),
        };
        values.resize(names.len(), Value::Null);
        if let Some(over) = extra.get(&key) {
            for (place, value) in places.iter().zip(over) {
                values[*place] = value.clone();
            }
        }
        let order = Row {
            names: Arc::clone(&names),
            values,
        };
        records.push(Record {
            code: OrderCode(order.values[code_at].to_text()),
            changed: order
                .get("_cursor")
                .and_then(|value| cursor::moment(value, &layout.form, &plan.zone)),
            status: order
                .get("_status")
                .filter(|value| !value.is_empty())
                .map(|value| ShopStatus(value.to_text())),
            gone: order.get("_gone").is_some_and(is_true),
            items: items.unwrap_or_default(),
            key: ShopKey(key),
            order,
            seal: None,
            made: None,
        });
    }
    Ok(records)
}

/// The columns of both, and where each column of the second lies among them.
fn overlay(orders: &Arc<[String]>, extra: &Arc<[String]>) -> (Arc<[String]>, Vec<usize>) {
    if extra.is_empty() {
        return (Arc::clone(orders), Vec::new());
    }
    let mut names: Vec<String> = orders.to_vec();
    let places = extra
        .iter()
        .map(|name| {
            names.iter().position(|n| n == name).unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            })
        })
        .collect();
    (names.into(), places)
}

/// `_gone`: a flag in any of the ways shops write one, or the time of the deletion.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Int(number) => *number != 0,
        Value::Number(text) => text.chars().any(|c| ('1'..='9').contains(&c)),
        Value::Text(text) => !matches!(
            text.trim().to_ascii_lowercase().as_str(),
            "" | "0" | "f" | "false" | "n" | "no" | "\0"
        ),
        Value::Local(_) | Value::Time(_) => true,
    }
}
