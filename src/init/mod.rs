//! What can be learnt of a shop before there is a configuration: which system it is, its prefix, zone and lists.
//!
//! This room reads; it writes no file and asks nobody. `commands/init` does that.

pub mod files;
pub mod text;

use crate::database::BoxSession;
use crate::database::parameters::{Bound, Dialect};
use std::collections::{BTreeMap, BTreeSet};

/// Tables by name, each with its columns in their order.
pub type Tables = BTreeMap<String, Vec<Column>>;

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, in the database's words.
    pub kind: String,
}

/// A shop system found in a database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shop {
    /// The preset that reads it.
    pub preset: String,
    /// The prefix of its tables.
    pub prefix: String,
}

/// What a shop says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its version.
    pub version: Option<String>,
    /// Its zone, as it is written there.
    pub zone: Option<String>,
    /// Its weight unit.
    pub weight: Option<String>,
    /// Its languages.
    pub languages: Vec<String>,
}

/// The tables of the database.
///
/// # Errors
/// The database's words.
pub async fn tables(session: &mut BoxSession, dialect: Dialect) -> Result<Tables, crate::database::Fault> {
    let sql = match dialect {
        Dialect::Mysql => {
            "SELECT table_name AS t, column_name AS c, column_type AS k FROM information_schema.columns \
             WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
        }
        Dialect::Postgres => {
            "SELECT table_name::text AS t, column_name::text AS c, data_type::text AS k FROM information_schema.columns \
             WHERE table_schema = ANY (current_schemas(false)) ORDER BY table_name, ordinal_position"
        }
        Dialect::Sqlite => {
            "SELECT m.name AS t, i.name AS c, i.type AS k FROM sqlite_master m, pragma_table_info(m.name) i \
             WHERE m.type IN ('table', 'view') ORDER BY m.name, i.cid"
        }
    };
    let mut tables = Tables::new();
    for row in session.query(&Bound::plain(sql)).await?.rows {
        if let [table, name, kind] = row.as_slice() {
            tables.entry(table.to_text()).or_default().push(Column {
                name: name.to_text(),
                kind: kind.to_text().to_lowercase(),
            });
        }
    }
    Ok(tables)
}

/// The shop systems whose tables stand here, under any prefix.
pub fn recognise(tables: &Tables) -> Vec<Shop> {
    /// The table whose name tells the prefix, and what else must stand beside it.
    const MARKS: &[(&str, &str, &[&str])] = &[
        (
            "woocommerce",
            "woocommerce_order_items",
            &["options", "posts", "postmeta", "woocommerce_order_itemmeta"],
        ),
        (
            "prestashop",
            "order_detail",
            &["orders", "order_state", "configuration", "order_carrier"],
        ),
        (
            "opencart",
            "order_product",
            &["order", "order_status", "setting", "order_history"],
        ),
        (
            "magento",
            "sales_order_item",
            &["sales_order", "sales_order_address", "core_config_data"],
        ),
    ];
    let mut found = BTreeSet::new();
    for (system, mark, others) in MARKS {
        for table in tables.keys() {
            let Some(prefix) = table.strip_suffix(mark) else {
                continue;
            };
            let of = |name: &str| tables.get(&format!("{prefix}{name}"));
            if !others.iter().all(|other| of(other).is_some()) {
                continue;
            }
            let has =
                |name: &str, column: &str| of(name).is_some_and(|all| all.iter().any(|c| c.name == column));
            let preset = match *system {
                "woocommerce" if of("wc_orders").is_none() => "woocommerce-legacy",
                // 4.0.0 and 4.0.1 still have the columns of 3
                "opencart" if has("order", "payment_code") && !has("order_product", "master_id") => {
                    "opencart3"
                }
                "opencart" => "opencart4",
                other => other,
            };
            found.insert(Shop {
                preset: preset.to_owned(),
                prefix: prefix.to_owned(),
            });
        }
    }
    found.into_iter().collect()
}

/// What the shop says of itself. What it does not say is left out: nothing here is needed.
pub async fn facts(session: &mut BoxSession, shop: &Shop) -> Facts {
    let p = &shop.prefix;
    let one = |table: &str, value: &str, key: &str, name: &str| {
        format!("SELECT {value} FROM `{p}{table}` WHERE {key} = '{name}' AND {value} <> '' LIMIT 1")
    };
    let [version, zone, weight, languages] = match shop.preset.as_str() {
        "woocommerce" | "woocommerce-legacy" => {
            let option = |name: &str| one("options", "option_value", "option_name", name);
            [
                option("woocommerce_version"),
                option("timezone_string"),
                option("woocommerce_weight_unit"),
                option("WPLANG"),
            ]
        }
        "prestashop" => {
            let setting = |name: &str| one("configuration", "value", "name", name);
            [
                setting("PS_VERSION_DB"),
                setting("PS_TIMEZONE"),
                setting("PS_WEIGHT_UNIT"),
                format!("SELECT iso_code FROM `{p}lang` WHERE active = 1"),
            ]
        }
        "magento" => {
            let setting = |path: &str| one("core_config_data", "value", "path", path);
            [
                String::new(),
                setting("general/locale/timezone"),
                setting("general/locale/weight_unit"),
                setting("general/locale/code"),
            ]
        }
        _ => {
            let setting = |name: &str| one("setting", "`value`", "`key`", name);
            [
                String::new(),
                setting("config_timezone"),
                format!(
                    "SELECT d.unit FROM `{p}setting` s JOIN `{p}weight_class_description` d \
                     ON d.weight_class_id = s.`value` WHERE s.`key` = 'config_weight_class_id' LIMIT 1"
                ),
                format!("SELECT code FROM `{p}language` WHERE status = 1"),
            ]
        }
    };
    let version = list(session, &version).await.into_iter().next();
    Facts {
        version: version.or_else(|| {
            Some(match shop.preset.as_str() {
                "opencart3" => "3".to_owned(),
                "opencart4" => "4".to_owned(),
                "magento" => "2".to_owned(),
                _ => return None,
            })
        }),
        zone: list(session, &zone).await.into_iter().next(),
        weight: list(session, &weight).await.into_iter().next(),
        languages: list(session, &languages).await,
    }
}

async fn list(session: &mut BoxSession, sql: &str) -> Vec<String> {
    if sql.is_empty() {
        return Vec::new();
    }
    let Ok(table) = session.query(&Bound::plain(sql)).await else {
        return Vec::new();
    };
    table
        .rows
        .iter()
        .filter_map(|row| row.first())
        .map(|value| value.to_text().trim().to_owned())
        .filter(|text| !text.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(names: &[&str], columns: &[&str]) -> Tables {
        let columns: Vec<Column> = columns
            .iter()
            .map(|name| Column {
                name: (*name).to_owned(),
                kind: "int".to_owned(),
            })
            .collect();
        names
            .iter()
            .map(|name| ((*name).to_owned(), columns.clone()))
            .collect()
    }

    fn found(names: &[&str], columns: &[&str]) -> Vec<(String, String)> {
        recognise(&database(names, columns))
            .into_iter()
            .map(|shop| (shop.preset, shop.prefix))
            .collect()
    }

    fn one(preset: &str, prefix: &str) -> Vec<(String, String)> {
        vec![(preset.to_owned(), prefix.to_owned())]
    }

    #[test]
    fn systems_are_told_by_their_tables_under_any_prefix() {
        let woo = [
            "x1_options",
            "x1_posts",
            "x1_postmeta",
            "x1_woocommerce_order_items",
            "x1_woocommerce_order_itemmeta",
        ];
        assert_eq!(found(&woo, &[]), one("woocommerce-legacy", "x1_"));
        let with: Vec<&str> = woo.iter().copied().chain(["x1_wc_orders"]).collect();
        assert_eq!(found(&with, &[]), one("woocommerce", "x1_"));
        let cart = [
            "order",
            "order_product",
            "order_status",
            "setting",
            "order_history",
        ];
        assert_eq!(found(&cart, &["payment_code"]), one("opencart3", ""));
        assert_eq!(found(&cart, &["payment_method"]), one("opencart4", ""));
        assert_eq!(found(&cart, &["payment_code", "master_id"]), one("opencart4", ""));
        let magento = [
            "m_sales_order",
            "m_sales_order_item",
            "m_sales_order_address",
            "m_core_config_data",
        ];
        assert_eq!(found(&magento, &[]), one("magento", "m_"));
        assert!(found(&["orders", "order_items"], &[]).is_empty());
    }
}
