//! `explain CODE`: one order's whole story in plain words: what the ledger knows, and what the shop says now.

use super::{Failure, Shell, block_on};
use crate::assemble;
use crate::brani::extras::Extras;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Language, Loaded};
use crate::context::Rules;
use crate::explain::{self, Live, Picked};
use crate::ledger::cursors::{self, name};
use crate::ledger::orders::{self, Entry};
use crate::mapping::dictionaries::Dictionaries;
use crate::mapping::{self, Mapping};
use crate::outbound::poll;
use crate::source::Record;
use crate::types::OrderCode;
use crate::visible;
use rusqlite::Connection;
use std::borrow::Cow;
use std::sync::Arc;

pub(super) fn explain(shell: &Shell, code: &str, offline: bool, online: bool) -> Result<u8, Failure> {
    let loaded = shell.load()?;
    let connection = shell.reader(&loaded)?;
    let mut code = OrderCode::from(code);
    let entry = match orders::get(&connection, &code)? {
        Some(entry) => Some(entry),
        // People read the last digits from a label.
        None => match explain::find(&connection, code.as_str())?.as_slice() {
            [only] => {
                code = only.clone();
                orders::get(&connection, &code)?
            }
            _ => None,
        },
    };
    let zone = &loaded.config.shop.timezone;
    let mut told = explain::explain(&connection, &code, SystemClock.now(), zone)?;
    if !offline {
        told.live = Some(in_shop(shell, &loaded, &connection, &code, entry.as_ref())?);
    }
    if online {
        let client = assemble::client(&loaded, Arc::new(SystemClock))?;
        let picked = block_on(async { Ok(client.picked_items(&code).await) })?;
        told.picked = Some(match picked {
            Ok(items) => Picked::Items(items),
            Err(error) => Picked::Unknown(error.to_string()),
        });
    }
    let known = !told.is_unknown() || told.live.as_ref().is_some_and(|live| live.in_shop == Some(true));
    // The code is the one word of the story that others chose.
    let text = match visible::line(code.as_str()) {
        Cow::Borrowed(_) => told.text(language(&loaded.config)),
        Cow::Owned(shown) => told.text(language(&loaded.config)).replace(code.as_str(), &shown),
    };
    if shell.out.json {
        let mut json = serde_json::to_value(&told).unwrap_or_default();
        if let Some(fields) = json.as_object_mut() {
            // The order's own fields stand beside its code.
            if let Some(serde_json::Value::Object(story)) = fields.remove("order") {
                fields.extend(story);
            }
            fields.insert("known".into(), entry.is_some().into());
            fields.insert("story".into(), text.lines().collect::<Vec<_>>().into());
        }
        shell.out.json(&json);
    } else {
        shell.out.text(text.trim_end());
    }
    Ok(u8::from(!known))
}

/// The language that the shop's people chose for the admin page.
fn language(config: &Config) -> Language {
    config.admin.as_ref().map_or(Language::En, |admin| admin.language)
}

/// What the shop says now, and why an order is not sent.
fn in_shop(
    shell: &Shell,
    loaded: &Loaded,
    connection: &Connection,
    code: &OrderCode,
    entry: Option<&Entry>,
) -> Result<Live, Failure> {
    shell.check_secrets(loaded)?;
    let source = assemble::source(loaded, Arc::new(SystemClock))?;
    let asked = block_on(async {
        let lists = source.lists().await?;
        let records = source.lookup(std::slice::from_ref(code)).await?;
        Ok((lists, records))
    });
    let (lists, records) = match asked {
        Ok(asked) => asked,
        Err(failure) => {
            return Ok(Live {
                why_not_sent: Some(failure.text),
                ..Live::default()
            });
        }
    };
    let Some(record) = records.into_iter().next() else {
        return Ok(Live {
            in_shop: Some(false),
            ..Live::default()
        });
    };
    let dictionaries = Arc::new(Dictionaries::build(&loaded.config.eshop_info, &lists));
    let mapping = Mapping::new(assemble::mapping_settings(&loaded.config), dictionaries);
    let told = poll::Told::of(connection, &record.code)?;
    let mapped = poll::map(&mapping, &record, Some(&told));
    let at_brani = entry.is_some_and(Entry::maybe_at_brani);
    let why = match &mapped {
        _ if !at_brani && let Some(why) = kept_back(loaded, connection, &mapping, &record)? => Some(why),
        Err(problems) => {
            let problems: Vec<String> = problems
                .iter()
                .map(|problem| format!("{problem} ({})", problem.hint))
                .collect();
            Some(problems.join("; "))
        }
        Ok(_) => None,
    };
    let differing_fields = match (&mapped, entry) {
        (Ok(mapped), Some(entry)) if entry.sent.is_some_and(|sent| sent != mapped.content) => {
            match (&entry.fields, cursors::field_key(connection)?) {
                (Some(before), Some(key)) => {
                    mapping::fields_that_differ(before, &mapping::field_hashes(&mapped.order, &key))
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    };
    Ok(Live {
        in_shop: Some(true),
        why_not_sent: why,
        differing_fields,
    })
}

/// Why an order that Brani does not have is not sent for the first time.
fn kept_back(
    loaded: &Loaded,
    connection: &Connection,
    mapping: &Mapping,
    record: &Record,
) -> Result<Option<String>, Failure> {
    let rules = Rules::from_config(&loaded.config);
    if record.gone {
        return Ok(Some("it is withdrawn (`_gone`)".into()));
    }
    if !rules.brings(record.status.as_ref()) {
        let status = record
            .status
            .as_ref()
            .map_or("none".to_owned(), |status| format!("`{status}`"));
        let when: Vec<String> = rules
            .send_when
            .iter()
            .map(|status| format!("`{status}`"))
            .collect();
        return Ok(Some(format!(
            "its status is {status}, and only {} bring an order to Brani (`shop.source.send_when`)",
            when.join(", ")
        )));
    }
    let history = cursors::get_time(connection, name::HISTORY)?;
    if let (Some(created), Some(history)) = (mapping.created(record), history)
        && created < history
    {
        return Ok(Some(
            "it was created before `shop.source.history` of the first run".into(),
        ));
    }
    Ok(record.items.is_empty().then(|| "it has no items yet".into()))
}
