//! The merchant's queries, taken apart once, and what is known of their columns.

use super::cursor::{self, Form, Found};
use super::{SqlSettings, trouble};
use crate::config::Cursor;
use crate::database::parameters::{Bind, Binds, Bound, Dialect, Param, Template};
use crate::database::{BoxSession, Class, Column, Fault};
use crate::mapping::{ITEM_COLUMNS, ORDER_COLUMNS};
use crate::source::{SourceError, Value};
use crate::types::OrderCode;
use jiff::tz::TimeZone;

/// The queries of a source.
pub(crate) struct Plan {
    pub dialect: Dialect,
    pub zone: TimeZone,
    pub cursor: Cursor,
    pub orders: Template,
    pub items: Template,
    pub lookup: Option<Template>,
    pub extra: Option<Template>,
}

/// What the database says of the orders query.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The kind of `_cursor`.
    pub cursor: Class,
    /// The kind of `code`.
    pub code: Class,
    /// How `_cursor` writes a moment.
    pub form: Form,
    /// Whether the form rests on a value seen.
    pub sure: bool,
}

impl Plan {
    pub fn new(settings: &SqlSettings) -> Self {
        let dialect = settings.target.dialect;
        let parse = |sql: &String| Template::parse(sql, dialect);
        Self {
            dialect,
            zone: settings.zone(),
            cursor: settings.cursor.clone(),
            orders: parse(&settings.orders),
            items: parse(&settings.items),
            lookup: settings.lookup.as_ref().map(parse),
            extra: settings.extra.as_ref().map(parse),
        }
    }

    /// Looks at the columns of the orders query, and at its newest row where the columns do not say enough.
    pub async fn layout(
        &self,
        session: &mut BoxSession,
        known: Option<&Layout>,
    ) -> Result<Layout, SourceError> {
        let query = self.orders_since(Param::Smallest)?;
        let columns = session
            .describe(&query)
            .await
            .map_err(|fault| trouble(fault, "shop.source.orders"))?;
        check_columns(
            &columns,
            "shop.source.orders",
            ORDER_COLUMNS,
            &["_key", "_cursor", "code"],
        )?;
        let class = |name: &str| {
            columns
                .iter()
                .find(|column| column.name == name)
                .map_or(Class::Unknown, |column| column.class.clone())
        };
        let (cursor, code) = (class("_cursor"), class("code"));
        if let Some(form) = cursor::configured(&self.cursor, &self.zone, self.dialect) {
            return Ok(Layout {
                cursor,
                code,
                form,
                sure: true,
            });
        }
        if let Some(known) = known.filter(|known| known.sure && known.cursor == cursor) {
            return Ok(Layout {
                code,
                ..known.clone()
            });
        }
        let sample = match cursor::needs_sample(&cursor, self.dialect) {
            true => {
                let ever = cursor::smallest_of_class(&cursor, self.dialect);
                self.newest(session, ever, "q._cursor").await?
            }
            false => None,
        };
        let sample = sample.and_then(|row| row.into_iter().next());
        let Found { form, sure } =
            cursor::find(&cursor, sample.as_ref(), &self.zone, self.dialect).map_err(|message| {
                SourceError::Query {
                    query: "shop.source.orders".into(),
                    message: format!("column `_cursor`: {message}"),
                    hint: Some(
                        "set `shop.source.cursor` to datetime, epoch, epoch_ms or \"text:…\" with the form of the column"
                            .into(),
                    ),
                }
            })?;
        Ok(Layout {
            cursor,
            code,
            form,
            sure,
        })
    }

    /// The newest row by `_cursor` of those since then.
    pub async fn newest(
        &self,
        session: &mut BoxSession,
        since: Param,
        select: &str,
    ) -> Result<Option<Vec<Value>>, SourceError> {
        let binds = Binds::from([("since".to_owned(), Bind::One(since))]);
        let tail = "WHERE q._cursor IS NOT NULL ORDER BY q._cursor DESC LIMIT 1";
        let query = self
            .orders
            .wrap(select, &Template::parse(tail, self.dialect), &binds)
            .map_err(|name| unknown_parameter("shop.source.orders", &name, "since"))?;
        let table = session
            .query(&query)
            .await
            .map_err(|fault| trouble(fault, "shop.source.orders"))?;
        Ok(table.rows.into_iter().next())
    }

    /// The orders query with `:since` bound.
    pub fn orders_since(&self, since: Param) -> Result<Bound, SourceError> {
        if !self.orders.has("since") {
            return Err(SourceError::Names {
                query: "shop.source.orders".into(),
                message: "the query has no `:since`".into(),
                hint: "add `WHERE <the change time> >= :since`".into(),
            });
        }
        let binds = Binds::from([("since".to_owned(), Bind::One(since))]);
        self.orders
            .bind(&binds)
            .map_err(|name| unknown_parameter("shop.source.orders", &name, "since"))
    }

    /// A query with `:keys` bound.
    pub fn with_keys(query: &Template, name: &str, keys: Vec<Param>) -> Result<Bound, SourceError> {
        let binds = Binds::from([("keys".to_owned(), Bind::List(keys))]);
        query
            .bind(&binds)
            .map_err(|parameter| unknown_parameter(name, &parameter, "keys"))
    }

    /// The query for the rows of these codes, as the database compares text (collations match `abc` with `ABC`: the
    /// caller compares byte for byte), and the name of the setting it comes from.
    pub fn look_up(
        &self,
        layout: &Layout,
        codes: &[OrderCode],
    ) -> Result<(Bound, &'static str), SourceError> {
        let since = match layout.sure {
            true => cursor::smallest(&layout.form, self.dialect),
            false => cursor::smallest_of_class(&layout.cursor, self.dialect),
        };
        let mut list: Vec<Param> = codes.iter().map(|code| Param::Code(code.0.clone())).collect();
        if self.dialect == Dialect::Sqlite {
            // Without an affinity SQLite never finds a number equal to a text.
            list.extend(codes.iter().filter_map(|code| whole(&code.0)).map(Param::Int));
        }
        let binds = Binds::from([
            ("since".to_owned(), Bind::One(since)),
            ("codes".to_owned(), Bind::List(list.clone())),
            ("keys".to_owned(), Bind::List(list.clone())),
            // For a query written for one code.
            ("code".to_owned(), Bind::List(list)),
        ]);
        let (bound, name) = match &self.lookup {
            Some(lookup) => (lookup.bind(&binds), "shop.source.lookup"),
            None => {
                let tail = match (self.dialect, &layout.code) {
                    (Dialect::Postgres, class) if *class != Class::Text => {
                        "WHERE CAST(q.code AS text) IN (:codes)"
                    }
                    _ => "WHERE q.code IN (:codes)",
                };
                let tail = Template::parse(tail, self.dialect);
                (self.orders.wrap("*", &tail, &binds), "shop.source.orders")
            }
        };
        let bound = bound.map_err(|parameter| unknown_parameter(name, &parameter, "codes"))?;
        Ok((bound, name))
    }

    /// As much of the layout as a look-up needs, without looking at a row.
    pub async fn look_up_layout(&self, session: &mut BoxSession) -> Result<Layout, Fault> {
        let mut layout = Layout {
            cursor: Class::Unknown,
            code: Class::Text,
            form: Form::Local,
            sure: false,
        };
        if self.lookup.as_ref().is_none_or(|lookup| lookup.has("since")) {
            let binds = Binds::from([("since".to_owned(), Bind::One(Param::Smallest))]);
            let query = self.orders.bind(&binds).map_err(|name| {
                Fault::Statement(format!("shop.source.orders: `:{name}` is not known here"))
            })?;
            for column in session.describe(&query).await? {
                match column.name.as_str() {
                    "_cursor" => layout.cursor = column.class,
                    "code" => layout.code = column.class,
                    _ => {}
                }
            }
        }
        Ok(layout)
    }
}

/// A whole number exactly as it would be written again.
fn whole(text: &str) -> Option<i64> {
    text.parse::<i64>()
        .ok()
        .filter(|number| number.to_string() == text)
}

fn unknown_parameter(query: &str, name: &str, known: &str) -> SourceError {
    SourceError::Names {
        query: query.to_owned(),
        message: format!("the parameter `:{name}` is not known here"),
        hint: format!("this query knows `:{known}`"),
    }
}

/// Every column must be a path of the Brani order (or the daemon's own), and what is needed must be there.
pub(crate) fn check_columns(
    columns: &[Column],
    query: &str,
    known: &[&str],
    required: &[&str],
) -> Result<(), SourceError> {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    check_names(&names, query, known, required)
}

/// As [`check_columns`], by name.
pub(crate) fn check_names(
    names: &[&str],
    query: &str,
    known: &[&str],
    required: &[&str],
) -> Result<(), SourceError> {
    let wrong = |message: String, hint: String| SourceError::Names {
        query: query.to_owned(),
        message,
        hint,
    };
    for name in names {
        if known.is_empty() || known.contains(name) {
            continue;
        }
        let nearest = known.iter().max_by(|a, b| {
            let closeness = |word: &str| strsim::jaro_winkler(&word.to_lowercase(), &name.to_lowercase());
            closeness(a).total_cmp(&closeness(b))
        });
        let hint = match nearest {
            Some(nearest) if nearest.eq_ignore_ascii_case(name) => {
                format!(
                    "write it in quotes, AS \"{nearest}\": PostgreSQL writes names without quotes in small letters"
                )
            }
            Some(nearest) => {
                format!("did you mean `{nearest}`? Columns that are not for Brani must be left out")
            }
            None => "columns that are not for Brani must be left out".into(),
        };
        return Err(wrong(
            format!("the column `{name}` is no field of a Brani order"),
            hint,
        ));
    }
    for name in required {
        if !names.contains(name) {
            let hint = match *name {
                "_key" => "select the shop's own id AS _key; it joins items to their order",
                "_cursor" => "select the time of the last change AS _cursor",
                _ => "select the order number AS code",
            };
            return Err(wrong(format!("there is no column `{name}`"), hint.into()));
        }
    }
    let mut seen = std::collections::HashSet::new();
    match names.iter().find(|name| !seen.insert(**name)) {
        Some(twice) => Err(wrong(
            format!("the column `{twice}` stands there twice"),
            "leave one of them out".into(),
        )),
        None => Ok(()),
    }
}

/// The names of the items query.
pub(crate) fn check_item_names(names: &[&str]) -> Result<(), SourceError> {
    check_names(names, "shop.source.items", ITEM_COLUMNS, &["_key"])
}

/// The names of the extra query: what joins, finds and names an order is not its to replace.
pub(crate) fn check_extra_names(names: &[&str]) -> Result<(), SourceError> {
    check_names(names, "shop.source.extra", ORDER_COLUMNS, &["_key"])?;
    match names.iter().find(|name| ["code", "_cursor"].contains(*name)) {
        Some(name) => Err(SourceError::Names {
            query: "shop.source.extra".into(),
            message: format!("the column `{name}` cannot be laid over"),
            hint: "write an orders query of your own".into(),
        }),
        None => Ok(()),
    }
}
