//! What a row wants beside its order: priority, ordering, tags, customs, carrier attributes, an invoice, a remark.
//!
//! Pure: from a record to wishes. A wish that cannot be read is a problem of its own and spoils no order. What Brani
//! has of them, and when they are sent, is known elsewhere.

use super::{Owner, Problem};
use crate::source::{Record, Row, Value};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// A tag, an attribute or a product code is no longer than this; a longer one is an accident.
const TEXT_MAX: usize = 1000;
/// More of one kind on one order is an accident.
const MANY: usize = 500;

/// What stands beside an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `_priority`
    Priority,
    /// `_ordering`
    Ordering,
    /// `_tags`
    Tags,
    /// `_customs`
    Customs,
    /// `_attributes`
    Attributes,
    /// `_invoice`, `[invoices]`
    Invoice,
    /// `notes.eshopRemark`, by `app.remarks`
    Remark,
    /// `[tracking]`
    Tracking,
}

impl Kind {
    /// Every kind, in the order in which they are told.
    pub const ALL: [Self; 8] = [
        Self::Priority,
        Self::Ordering,
        Self::Tags,
        Self::Customs,
        Self::Attributes,
        Self::Invoice,
        Self::Remark,
        Self::Tracking,
    ];

    /// As the ledger and the log write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Priority => "priority",
            Self::Ordering => "ordering",
            Self::Tags => "tags",
            Self::Customs => "customs",
            Self::Attributes => "attributes",
            Self::Invoice => "invoice",
            Self::Remark => "remark",
            Self::Tracking => "tracking",
        }
    }

    /// Reads what [`Kind::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What the configuration asks for beside what columns say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `app.remarks`
    pub remarks: bool,
    /// `invoices.path` or `invoices.url`: every order may have one.
    pub invoices: bool,
    /// `tracking.statuses`: orders in these are on their way.
    pub shipped: Vec<String>,
}

/// One wish of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Want {
    /// Of what kind.
    pub kind: Kind,
    /// What is wanted, in a canonical form; none: nothing (any more). Or why it cannot be read.
    pub value: Result<Option<Json>, Problem>,
}

/// What a row wants. A column that the query does not have wants nothing, not even that something goes.
pub fn wants(record: &Record, asked: &Asked) -> Vec<Want> {
    let row = &record.order;
    let mut wants = Vec::new();
    let mut put = |kind, value| wants.push(Want { kind, value });
    if let Some(value) = row.get("_priority") {
        put(Kind::Priority, priority(value));
    }
    if let Some(value) = row.get("_ordering") {
        put(Kind::Ordering, ordering(value));
    }
    if let Some(value) = row.get("_tags") {
        put(Kind::Tags, tags(value));
    }
    if let Some(value) = customs(record).transpose() {
        put(Kind::Customs, value);
    }
    if let Some(value) = row.get("_attributes") {
        put(Kind::Attributes, attributes(value));
    }
    match row.get("_invoice") {
        Some(value) => put(Kind::Invoice, invoice(value)),
        None if asked.invoices => put(Kind::Invoice, Ok(Some(json!({ "key": record.key })))),
        None => {}
    }
    if asked.remarks
        && let Some(value) = row.get("notes.eshopRemark")
    {
        let text = value.to_text();
        let text = text.trim();
        put(Kind::Remark, Ok((!text.is_empty()).then(|| json!(text))));
    }
    if record
        .status
        .as_ref()
        .is_some_and(|status| asked.shipped.iter().any(|shipped| shipped == status.as_str()))
    {
        put(Kind::Tracking, Ok(Some(json!({}))));
    }
    wants
}

fn problem(field: &str, found: &str, rule: &str, hint: &str) -> Problem {
    Problem {
        field: field.to_owned(),
        found: Some(found.chars().take(100).collect()),
        rule: rule.to_owned(),
        hint: hint.to_owned(),
        owner: Owner::Shop,
    }
}

fn priority(value: &Value) -> Result<Option<Json>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    let text = value.to_text();
    let level = match text.trim().to_ascii_lowercase().as_str() {
        "0" | "none" => 0,
        "1" | "low" => 1,
        "2" | "medium" => 2,
        "3" | "high" => 3,
        _ => {
            return Err(problem(
                "_priority",
                &text,
                "is no priority",
                "give 0 to 3, or none, low, medium, high",
            ));
        }
    };
    Ok((level > 0).then(|| json!(level)))
}

fn ordering(value: &Value) -> Result<Option<Json>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    let text = value.to_text();
    match text.trim().parse::<i64>() {
        Ok(number) => Ok((number != 0).then(|| json!(number))),
        Err(_) => Err(problem(
            "_ordering",
            &text,
            "is not a whole number",
            "give a whole number; a lower one is packed earlier, 0 is unset",
        )),
    }
}

/// JSON, where the text claims to be some.
fn as_json(field: &str, text: &str) -> Result<Option<Json>, Problem> {
    let text = text.trim();
    if !text.starts_with(['[', '{']) {
        return Ok(None);
    }
    serde_json::from_str(text)
        .map(Some)
        .map_err(|_| problem(field, text, "is not JSON", "mend the JSON in the query"))
}

fn tags(value: &Value) -> Result<Option<Json>, Problem> {
    let text = value.to_text();
    let names: Vec<String> = match as_json("_tags", &text)? {
        Some(Json::Array(list)) if list.iter().all(Json::is_string) => {
            list.iter().filter_map(Json::as_str).map(str::to_owned).collect()
        }
        Some(_) => {
            return Err(problem(
                "_tags",
                &text,
                "is not a list of names",
                "give names with commas between them, or a JSON list of names",
            ));
        }
        None => text.split([',', ';', '\n']).map(str::to_owned).collect(),
    };
    let mut names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    if names.len() > MANY || names.iter().any(|name| name.len() > TEXT_MAX) {
        return Err(problem(
            "_tags",
            &text,
            "is too long",
            "give the few tags of the order",
        ));
    }
    Ok((!names.is_empty()).then(|| json!(names)))
}

/// The contract's fields of a product's customs data.
const CUSTOMS_FIELDS: [&str; 4] = [
    "content_name_en",
    "content_country",
    "content_customs_code",
    "content_description",
];

/// The same as columns of an item.
const CUSTOMS_COLUMNS: [&str; 4] = [
    "_customs.content_name_en",
    "_customs.content_country",
    "_customs.content_customs_code",
    "_customs.content_description",
];

/// Customs data of the items and of the order; none where no column of the kind is there at all.
fn customs(record: &Record) -> Result<Option<Option<Json>>, Problem> {
    let mut asked = false;
    let mut all: BTreeMap<String, BTreeMap<&'static str, String>> = BTreeMap::new();
    if let Some(value) = record.order.get("_customs") {
        asked = true;
        of_order(value, &mut all)?;
    }
    for (place, item) in record.items.iter().enumerate() {
        if let Some((product, fields)) = of_item(item, place, &mut asked)? {
            // Two lines of one product: what one leaves open, the other may say.
            all.entry(product).or_default().extend(fields);
        }
    }
    if !asked {
        return Ok(None);
    }
    let list: Vec<Json> = all
        .into_iter()
        .filter(|(_, fields)| !fields.is_empty())
        .map(|(product, fields)| {
            let mut one = serde_json::Map::new();
            one.insert("product_code".into(), json!(product));
            one.extend(
                fields
                    .into_iter()
                    .map(|(name, text)| (name.to_owned(), json!(text))),
            );
            Json::Object(one)
        })
        .collect();
    Ok(Some((!list.is_empty()).then(|| Json::Array(list))))
}

type Fields = BTreeMap<&'static str, String>;

fn field_of(name: &str, known: &Json) -> Option<(&'static str, String)> {
    let name = CUSTOMS_FIELDS.into_iter().find(|field| *field == name)?;
    let text = match known {
        Json::String(text) => text.trim().to_owned(),
        Json::Number(number) => number.to_string(),
        _ => String::new(),
    };
    (!text.is_empty()).then_some((name, text))
}

fn object(place: &str, object: &serde_json::Map<String, Json>) -> Result<Fields, Problem> {
    let known = |name: &str| name == "product_code" || CUSTOMS_FIELDS.contains(&name);
    if let Some(unknown) = object.keys().find(|name| !known(name)) {
        return Err(problem(
            place,
            unknown,
            "is no field of customs data",
            "use product_code, content_name_en, content_country, content_customs_code, content_description",
        ));
    }
    Ok(object
        .iter()
        .filter_map(|(name, value)| field_of(name, value))
        .collect())
}

fn of_order(value: &Value, all: &mut BTreeMap<String, Fields>) -> Result<(), Problem> {
    if value.is_empty() {
        return Ok(());
    }
    let text = value.to_text();
    let wrong = || {
        problem(
            "_customs",
            &text,
            "is not a list of customs data",
            "give a JSON list of objects with product_code and what is known of it",
        )
    };
    let Some(Json::Array(list)) = as_json("_customs", &text)? else {
        return Err(wrong());
    };
    for one in &list {
        let fields = one.as_object().ok_or_else(wrong)?;
        let product = fields.get("product_code").and_then(Json::as_str).unwrap_or("");
        if product.trim().is_empty() {
            return Err(wrong());
        }
        all.entry(product.to_owned())
            .or_default()
            .extend(object("_customs", fields)?);
    }
    Ok(())
}

/// One item's: `_customs` is a tariff code or a JSON object, and each field has a column of its own.
fn of_item(item: &Row, place: usize, asked: &mut bool) -> Result<Option<(String, Fields)>, Problem> {
    let mut fields = Fields::new();
    let at = format!("items[{place}]._customs");
    let mut product = item
        .get("code")
        .map(|code| code.to_text().trim().to_owned())
        .unwrap_or_default();
    if let Some(value) = item.get("_customs") {
        *asked = true;
        let text = value.to_text();
        match as_json(&at, &text)? {
            Some(Json::Object(given)) => {
                if let Some(code) = given.get("product_code").and_then(Json::as_str) {
                    code.clone_into(&mut product);
                }
                fields.extend(object(&at, &given)?);
            }
            Some(_) => {
                return Err(problem(
                    &at,
                    &text,
                    "is not an object of customs data",
                    "give a tariff code, or a JSON object",
                ));
            }
            None if text.trim().is_empty() => {}
            None => {
                fields.insert("content_customs_code", text.trim().to_owned());
            }
        }
    }
    for (column, name) in CUSTOMS_COLUMNS.into_iter().zip(CUSTOMS_FIELDS) {
        let Some(value) = item.get(column) else {
            continue;
        };
        *asked = true;
        let text = value.to_text();
        if !text.trim().is_empty() {
            fields.insert(name, text.trim().to_owned());
        }
    }
    if fields.is_empty() {
        return Ok(None);
    }
    if product.is_empty() {
        return Err(problem(
            &at,
            "",
            "belongs to an item without a code",
            "give the item a code: customs data are told by it",
        ));
    }
    Ok(Some((product, fields)))
}

fn attributes(value: &Value) -> Result<Option<Json>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    let text = value.to_text();
    let wrong = || {
        problem(
            "_attributes",
            &text,
            "is no list of attributes",
            "give code=value with semicolons between them, or a JSON object",
        )
    };
    let mut all: BTreeMap<String, Json> = BTreeMap::new();
    match as_json("_attributes", &text)? {
        Some(Json::Object(object)) => all.extend(object.into_iter().filter(|(_, value)| !value.is_null())),
        Some(_) => return Err(wrong()),
        None => {
            for pair in text
                .split([';', '\n'])
                .map(str::trim)
                .filter(|pair| !pair.is_empty())
            {
                let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
                all.insert(name.trim().to_owned(), json!(value.trim()));
            }
        }
    }
    if all.len() > MANY || all.keys().any(|name| name.is_empty() || name.len() > TEXT_MAX) {
        return Err(wrong());
    }
    Ok((!all.is_empty()).then(|| json!(all)))
}

fn invoice(value: &Value) -> Result<Option<Json>, Problem> {
    let text = value.to_text();
    let text = text.trim();
    if text.len() > 4 * TEXT_MAX || text.contains('\0') {
        return Err(problem(
            "_invoice",
            text,
            "is no path and no address",
            "give the invoice's path or its https address",
        ));
    }
    Ok((!text.is_empty()).then(|| json!({ "named": text })))
}

#[cfg(test)]
mod tests {
    use super::{Asked, Kind, wants};
    use crate::source::{Record, Row, Value};
    use serde_json::{Value as Json, json};
    use std::sync::Arc;

    fn row(columns: &[(&str, &str)]) -> Row {
        Row {
            names: columns
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect::<Arc<[String]>>(),
            values: columns
                .iter()
                .map(|(_, value)| Value::Text((*value).to_owned()))
                .collect(),
        }
    }

    fn record(order: &[(&str, &str)], items: &[&[(&str, &str)]]) -> Record {
        Record {
            key: "7".into(),
            code: "A".into(),
            changed: None,
            status: Some("shipped".into()),
            gone: false,
            order: row(order),
            items: items.iter().map(|item| row(item)).collect(),
            seal: Default::default(),
            made: Default::default(),
        }
    }

    fn one(column: &str, value: &str) -> Result<Option<Json>, String> {
        let found = wants(&record(&[(column, value)], &[]), &Asked::default());
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].value.clone().map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_column_that_is_not_there_wants_nothing() {
        assert_eq!(
            wants(&record(&[("code", "A")], &[&[("code", "S")]]), &Asked::default()),
            []
        );
    }

    #[test]
    fn values_are_brought_into_one_form() {
        assert_eq!(one("_priority", " High "), Ok(Some(json!(3))));
        assert_eq!(one("_priority", "0"), Ok(None));
        assert_eq!(one("_ordering", "-5"), Ok(Some(json!(-5))));
        assert_eq!(
            one("_tags", "VIP, Křehké;VIP,"),
            Ok(Some(json!(["Křehké", "VIP"])))
        );
        assert_eq!(one("_tags", r#"["VIP","Křehké"]"#), one("_tags", "Křehké,VIP"));
        assert_eq!(one("_tags", " , "), Ok(None));
        assert_eq!(
            one("_attributes", "b=2; a=1=1"),
            Ok(Some(json!({"a": "1=1", "b": "2"})))
        );
        assert_eq!(
            one("_attributes", r#"{"b":true,"a":null}"#),
            Ok(Some(json!({"b": true})))
        );
        assert_eq!(one("_invoice", " a.pdf "), Ok(Some(json!({"named": "a.pdf"}))));
    }

    #[test]
    fn what_cannot_be_read_says_which_column_and_what_to_do() {
        for (column, value) in [
            ("_priority", "4"),
            ("_ordering", "first"),
            ("_tags", "{\"a\":1}"),
            ("_tags", "[1]"),
            ("_attributes", "insurance"),
            ("_attributes", "=1"),
            ("_attributes", "{x"),
            ("_customs", "0602"),
            ("_customs", r#"[{"product_code":"A","weight":1}]"#),
        ] {
            let error = one(column, value).unwrap_err();
            assert!(error.starts_with(column), "{column} {value}: {error}");
        }
    }

    #[test]
    fn customs_of_items_are_told_by_product() {
        let found = wants(
            &record(
                &[("code", "A")],
                &[
                    &[
                        ("code", "ROSE"),
                        ("_customs", "0602"),
                        ("_customs.content_country", "NL"),
                    ],
                    &[
                        ("code", "POT"),
                        ("_customs", ""),
                        ("_customs.content_country", ""),
                    ],
                    &[
                        ("code", "BOX"),
                        ("_customs", r#"{"content_name_en":"box"}"#),
                        ("_customs.content_country", ""),
                    ],
                ],
            ),
            &Asked::default(),
        );
        assert_eq!(
            found[0].value,
            Ok(Some(json!([
                {"product_code": "BOX", "content_name_en": "box"},
                {"product_code": "ROSE", "content_country": "NL", "content_customs_code": "0602"},
            ])))
        );
        let none = wants(
            &record(&[], &[&[("code", "A"), ("_customs", "")]]),
            &Asked::default(),
        );
        assert_eq!((none[0].kind, &none[0].value), (Kind::Customs, &Ok(None)));
    }

    #[test]
    fn configuration_asks_for_remarks_invoices_and_parcels() {
        let asked = Asked {
            remarks: true,
            invoices: true,
            shipped: vec!["shipped".into()],
        };
        let found = wants(&record(&[("notes.eshopRemark", " pozor ")], &[]), &asked);
        let kinds: Vec<Kind> = found.iter().map(|want| want.kind).collect();
        assert_eq!(kinds, [Kind::Invoice, Kind::Remark, Kind::Tracking]);
        assert_eq!(found[1].value, Ok(Some(json!("pozor"))));
    }
}
