//! What can be proved about a database for `check`: that we get in, may read, need not fear a full scan at every
//! poll, and that a row's own `_cursor` finds that row.

use super::plan::{Layout, check_extra_names, check_item_names, check_names};
use super::{Plan, SqlSource, begin, clock, cursor, trouble};
use crate::clock::{Clock, SystemClock};
use crate::database::parameters::{Bind, Binds, Bound, Dialect, Param, Template};
use crate::database::{BoxSession, Purpose};
use crate::mapping::ORDER_COLUMNS;
use crate::source::{Finding, SourceError, Value};
use jiff::SignedDuration;

/// The newest order is looked for within this time first: of a shop without an index each older one costs.
const RECENT: SignedDuration = SignedDuration::from_hours(30 * 24);

fn good(text: impl Into<String>) -> Finding {
    Finding {
        ok: Some(true),
        text: text.into(),
        hint: None,
    }
}

fn warning(text: impl Into<String>, hint: &str) -> Finding {
    Finding {
        ok: None,
        text: text.into(),
        hint: Some(hint.to_owned()),
    }
}

fn bad(error: &SourceError) -> Finding {
    Finding {
        ok: Some(false),
        text: error.to_string(),
        hint: error.hint().map(str::to_owned),
    }
}

impl SqlSource {
    pub(super) async fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Err(error) = self.look_into(&mut findings).await {
            findings.push(bad(&error));
        }
        findings
    }

    async fn look_into(&self, findings: &mut Vec<Finding>) -> Result<(), SourceError> {
        let dialect = self.settings.target.dialect;
        let mut session = self.connect(&Purpose::Read).await?;
        let url = |fault| trouble(fault, "shop.source.url");
        let version = session.version().await.map_err(url)?;
        findings.push(good(format!(
            "connected to {version} at {}",
            self.settings.target.place()
        )));
        let now = clock(&mut session, dialect).await?;
        let apart = SystemClock.now().as_second() - now.as_second();
        if apart.abs() > 60 {
            findings.push(warning(
                format!("the database's clock is {apart} seconds from this machine's"),
                "set both clocks (NTP); the daemon goes by the database's",
            ));
        }
        findings.extend(rights(&mut session, dialect).await);
        let chosen = self.plans.choose(&mut session).await?;
        if let Some(detect) = &self.settings.detect {
            findings.push(good(match chosen.facts.as_slice() {
                [] => format!("the preset `{}` finds a plain shop", detect.preset),
                facts => format!("the preset `{}` finds: {}", detect.preset, facts.join(", ")),
            }));
        }
        let plan = &chosen.plan;
        let layout = self.layout(&mut session, &chosen, true).await?;
        queries(plan, &mut session, findings).await?;
        let since = cursor::since(&layout.form, Some(now), now, &plan.zone, dialect);
        let plain = plan.orders_since(since)?;
        findings.extend(scans(&mut session, dialect, &plain).await);
        begin(&mut session, dialect).await?;
        prove_cursor(plan, &mut session, &layout, now, findings).await?;
        session.run("COMMIT").await.map_err(url)
    }
}

/// The other queries prepare, and their columns are known.
async fn queries(
    plan: &Plan,
    session: &mut BoxSession,
    findings: &mut Vec<Finding>,
) -> Result<(), SourceError> {
    type Check = fn(&[&str]) -> Result<(), SourceError>;
    let lookup: Check = |names| check_names(names, "shop.source.lookup", ORDER_COLUMNS, &["_key", "code"]);
    let mut queries: Vec<(&str, &Template, Check)> =
        vec![("shop.source.items", &plan.items, check_item_names)];
    if let Some(query) = &plan.lookup {
        queries.push(("shop.source.lookup", query, lookup));
    }
    if let Some(query) = &plan.extra {
        queries.push(("shop.source.extra", query, check_extra_names));
    }
    let one = || Bind::List(vec![Param::Text("0".into())]);
    let binds = Binds::from([
        ("keys".to_owned(), one()),
        ("codes".to_owned(), one()),
        ("code".to_owned(), one()),
        ("since".to_owned(), Bind::One(Param::Smallest)),
    ]);
    for (name, query, check) in queries {
        let bound = query.bind(&binds).map_err(|parameter| SourceError::Names {
            query: name.to_owned(),
            message: format!("the parameter `:{parameter}` is not known here"),
            hint: "a query knows `:keys`; the look-up knows `:codes`".into(),
        })?;
        let columns = session
            .describe(&bound)
            .await
            .map_err(|fault| trouble(fault, name))?;
        check(
            &columns
                .iter()
                .map(|column| column.name.as_str())
                .collect::<Vec<_>>(),
        )?;
    }
    findings.push(good("the queries can be read and their columns are known"));
    Ok(())
}

/// The newest row must be found from its own `_cursor`, and must not be found from the far future.
async fn prove_cursor(
    plan: &Plan,
    session: &mut BoxSession,
    layout: &Layout,
    now: jiff::Timestamp,
    findings: &mut Vec<Finding>,
) -> Result<(), SourceError> {
    // Most shops have a recent order, and then the years before it need not be read.
    let recent = cursor::since(&layout.form, Some(now - RECENT), now, &plan.zone, plan.dialect);
    let select = "q._cursor, q._key";
    let newest = match plan.newest(session, recent, select).await? {
        Some(row) => Some(row),
        None => {
            let ever = cursor::smallest_of_class(&layout.cursor, plan.dialect);
            plan.newest(session, ever, select).await?
        }
    };
    let Some([value, key]) = newest.and_then(|row| <[Value; 2]>::try_from(row).ok()) else {
        findings.push(warning(
            "there is no order yet, so the cursor could not be proved",
            "run `check` again when there is one",
        ));
        return Ok(());
    };
    let wrong = |message: String| {
        SourceError::Query {
        query: "shop.source.orders".into(),
        message,
        hint: Some(
            "`shop.source.cursor` or `shop.source.times` does not fit the column `_cursor`, or the query does not compare that column with `:since`"
                .into(),
        ),
    }
    };
    let Some(moment) = cursor::moment(&value, &layout.form, &plan.zone) else {
        return Err(wrong(format!(
            "the newest `_cursor` is `{}`, which is no time in the form expected",
            value.to_text()
        )));
    };
    if !finds(plan, session, layout, Some(moment), now, &key).await? {
        return Err(wrong(format!(
            "the row with the newest `_cursor` (`{}`) is not found from its own `_cursor`",
            value.to_text()
        )));
    }
    let future = cursor::far_future(now.max(moment));
    if finds(plan, session, layout, Some(future), now, &key).await? {
        return Err(wrong(format!(
            "the row with the newest `_cursor` (`{}`) is found from a moment years ahead",
            value.to_text()
        )));
    }
    findings.push(good("a row's own `_cursor` finds that row"));
    if moment.as_second() > now.as_second() + 3_900 {
        findings.push(warning(
            format!("the newest `_cursor` (`{}`) lies in the future", value.to_text()),
            "look at `shop.timezone` and `shop.source.times`",
        ));
    }
    Ok(())
}

async fn finds(
    plan: &Plan,
    session: &mut BoxSession,
    layout: &Layout,
    since: Option<jiff::Timestamp>,
    now: jiff::Timestamp,
    key: &Value,
) -> Result<bool, SourceError> {
    let dialect = plan.dialect;
    let since = cursor::since(&layout.form, since, now, &plan.zone, dialect);
    let binds = Binds::from([
        ("since".to_owned(), Bind::One(since)),
        ("key".to_owned(), Bind::One(crate::database::param_of(key))),
    ]);
    let tail = Template::parse("WHERE q._key = :key LIMIT 1", dialect);
    let query = plan
        .orders
        .wrap("q._key", &tail, &binds)
        .map_err(|name| SourceError::Names {
            query: "shop.source.orders".into(),
            message: format!("the parameter `:{name}` is not known here"),
            hint: "this query knows `:since`".into(),
        })?;
    let table = session
        .query(&query)
        .await
        .map_err(|fault| trouble(fault, "shop.source.orders"))?;
    Ok(!table.rows.is_empty())
}

/// More rights than reading needs, where the database tells.
async fn rights(session: &mut BoxSession, dialect: Dialect) -> Option<Finding> {
    let writes = match dialect {
        Dialect::Mysql => {
            let grants = session.query(&Bound::plain("SHOW GRANTS")).await.ok()?;
            grants
                .rows
                .iter()
                .filter_map(|row| row.first())
                .any(|grant| writes_by_grant(&grant.to_text()))
        }
        Dialect::Postgres => {
            let sql = "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR EXISTS (SELECT 1 \
                       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') \
                       AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
                       AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE'))";
            let table = session.query(&Bound::plain(sql)).await.ok()?;
            matches!(table.rows.first()?.first()?, Value::Bool(true))
        }
        Dialect::Sqlite => return None,
    };
    Some(match writes {
        true => warning(
            "the database user may write, and reading orders needs SELECT only",
            "make a user with SELECT only for `shop.source`, and another for `writeback`",
        ),
        false => good("the database user may read only"),
    })
}

/// Whether a line of `SHOW GRANTS` gives more than reading.
fn writes_by_grant(grant: &str) -> bool {
    let upper = grant.to_ascii_uppercase();
    let rights = upper
        .strip_prefix("GRANT ")
        .and_then(|rest| rest.split(" ON ").next())
        .unwrap_or("");
    [
        "ALL", "INSERT", "UPDATE", "DELETE", "DROP", "ALTER", "CREATE", "SUPER",
    ]
    .iter()
    .any(|right| {
        rights
            .split(',')
            .any(|given| given.trim().split([' ', '(']).next() == Some(right))
    })
}

/// Tables that every poll would read from end to end.
async fn scans(session: &mut BoxSession, dialect: Dialect, query: &Bound) -> Vec<Finding> {
    let verb = match dialect {
        Dialect::Sqlite => "EXPLAIN QUERY PLAN ",
        // Newer servers of MySQL tell a tree where no format is asked for.
        Dialect::Mysql => "EXPLAIN FORMAT=TRADITIONAL ",
        Dialect::Postgres => "EXPLAIN ",
    };
    let explain = Bound {
        sql: format!("{verb}{}", query.sql),
        values: query.values.clone(),
    };
    let Ok(table) = session.query(&explain).await else {
        return Vec::new();
    };
    let mut scanned: Vec<String> = Vec::new();
    let places = [table.place("table"), table.place("type"), table.place("rows")];
    for row in &table.rows {
        let text = |place: Option<usize>| place.map(|place| row[place].to_text()).unwrap_or_default();
        match dialect {
            Dialect::Mysql => {
                let rows: u64 = text(places[2]).parse().unwrap_or(0);
                if text(places[1]) == "ALL" && rows > 1_000 {
                    let table = text(places[0]);
                    // `<derived15>` is what a part of the query found, and no name that anybody knows.
                    scanned.push(match table.starts_with('<') {
                        true => "the orders".to_owned(),
                        false => table,
                    });
                }
            }
            Dialect::Postgres => {
                let line = text(Some(0));
                if let Some(rest) = line.split("Seq Scan on ").nth(1) {
                    let rows = rest.split("rows=").nth(1).and_then(|r| r.split(' ').next());
                    let many = rows.and_then(|r| r.parse::<f64>().ok()).unwrap_or(0.0) > 1_000.0;
                    if many {
                        scanned.extend(rest.split(' ').next().map(str::to_owned));
                    }
                }
            }
            Dialect::Sqlite => {
                let line = row.last().map(Value::to_text).unwrap_or_default();
                if line.starts_with("SCAN ") && !line.contains("USING") {
                    scanned.extend(line.split(' ').nth(1).map(str::to_owned));
                }
            }
        }
    }
    scanned.sort();
    scanned.dedup();
    match scanned.is_empty() {
        true => vec![good(
            "the search for changed orders reads no large table from end to end",
        )],
        false => vec![warning(
            format!(
                "every poll reads the whole of `{}`: no index serves the condition on `_cursor`",
                scanned.join("`, `")
            ),
            "add an index on the column that is compared with `:since`",
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_that_write_are_told_from_grants_that_read() {
        assert!(!writes_by_grant("GRANT USAGE ON *.* TO `sync`@`%`"));
        assert!(!writes_by_grant(
            "GRANT SELECT, SHOW VIEW ON `shop`.* TO `sync`@`%`"
        ));
        assert!(writes_by_grant(
            "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost`"
        ));
        assert!(writes_by_grant(
            "GRANT SELECT, UPDATE (`state`) ON `shop`.`orders` TO `x`@`%`"
        ));
    }
}
