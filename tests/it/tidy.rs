//! What must not go stale or creep in: the rules of the house read off the source, and the pages beside it.

use crate::support::MariaDb;
use brani_sync::assemble;
use brani_sync::cli::Cli;
use brani_sync::clock::SystemClock;
use brani_sync::config;
use brani_sync::mapping::Mapping;
use brani_sync::mapping::dictionaries::Dictionaries;
use brani_sync::mapping::{ITEM_COLUMNS, ORDER_COLUMNS};
use brani_sync::source::{Lists, Read, preset};
use clap::CommandFactory;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder with this ending: its path from the root, and its text.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                let text = fs::read_to_string(&path).expect("text");
                let name = path.strip_prefix(root()).expect("below the root");
                found.push((name.display().to_string(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{ending} in {folder}");
    found
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a regular expression")
}

/// A file of the program without the tests at its end and without comments.
fn code(text: &str) -> String {
    let whole = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    whole
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn program() -> Vec<(String, String)> {
    files("src", "rs")
        .into_iter()
        .filter(|(path, _)| !path.ends_with("/tests.rs"))
        .map(|(path, text)| (path, code(&text)))
        .collect()
}

/// The pages that people read.
fn pages() -> Vec<(String, String)> {
    let mut pages = files("docs", "md");
    for page in ["README.md", "CHANGELOG.md"] {
        pages.push((page.into(), text(page)));
    }
    pages
}

// ---- the log -----------------------------------------------------------------------------------------------------------

/// Every `event=` name of the program, with the levels it is told at where the code says so on the spot.
fn events_in_code() -> BTreeMap<String, BTreeSet<String>> {
    let told = regex(
        r#"\b(trace|debug|info|warn|error)!\(\s*event = (?:"([^"]+)"|format!\("([^"]+)"\)|([a-z_]+)\b)"#,
    );
    let trouble = regex(
        r#"(?:\.begin\(|\.begin_of\(\s*(?:"[a-z_]*"|[a-z]+)\s*,)\s*(?:"([^"]+)"|&format!\("([^"]+)"\)|(name))\s*,\s*(?:Weight::(Warn|Error)|[a-z]+\s*,)"#,
    );
    let dotted = regex(r#""([a-z_]+(?:\.[a-z_]+)+)""#);
    let mut events: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, code) in program() {
        // A name in a variable is one of the literals of the statement that binds it.
        let bound = |variable: &str, at: usize| -> Vec<String> {
            let before = &code[..at];
            let start = [format!("let {variable} ="), format!("let ({variable},")]
                .iter()
                .filter_map(|binding| before.rfind(binding.as_str()))
                .max()
                .unwrap_or_else(|| panic!("{path}: where does the event name `{variable}` come from?"));
            let statement = before[start..].split(";\n").next().unwrap_or_default();
            let names: Vec<String> = dotted
                .captures_iter(statement)
                .map(|found| found[1].to_owned())
                .collect();
            assert!(!names.is_empty(), "{path}: no event name in `{statement}`");
            names
        };
        for found in told.captures_iter(&code) {
            let level = found[1].to_uppercase();
            let at = found.get(0).expect("the match").start();
            let names = match (found.get(2).or(found.get(3)), found.get(4)) {
                (Some(name), _) => vec![name.as_str().to_owned()],
                (None, Some(variable)) => bound(variable.as_str(), at),
                (None, None) => panic!("{path}: an event without a name"),
            };
            for name in names {
                events.entry(name).or_default().insert(level.clone());
            }
        }
        for found in trouble.captures_iter(&code) {
            let at = found.get(0).expect("the match").start();
            let names = match (found.get(1).or(found.get(2)), found.get(3)) {
                (Some(name), _) => vec![name.as_str().to_owned()],
                (None, Some(variable)) => bound(variable.as_str(), at),
                (None, None) => panic!("{path}: a trouble without a name"),
            };
            for name in names {
                let levels = events.entry(name).or_default();
                levels.extend(found.get(4).map(|weight| weight.as_str().to_uppercase()));
            }
        }
    }
    events
}

/// The first two columns of the tables in `docs/log-events.md`.
fn events_in_docs() -> BTreeMap<String, String> {
    let row = regex(r"(?m)^\| `([^`]+)`( †)? \| ([A-Z, ]+) \|");
    row.captures_iter(&text("docs/log-events.md"))
        .map(|found| (found[1].to_owned(), found[3].to_owned()))
        .collect()
}

#[test]
fn every_event_of_the_log_is_described_and_every_described_event_exists() {
    let (code, docs) = (events_in_code(), events_in_docs());
    let code_names: BTreeSet<&String> = code.keys().collect();
    let docs_names: BTreeSet<&String> = docs.keys().collect();
    let missing: Vec<_> = code_names.difference(&docs_names).collect();
    let stale: Vec<_> = docs_names.difference(&code_names).collect();
    assert!(missing.is_empty(), "add to docs/log-events.md: {missing:?}");
    assert!(stale.is_empty(), "no longer in the code: {stale:?}");
    for (name, levels) in &code {
        for level in levels {
            let told = docs[name].split(", ").any(|told| told == level);
            assert!(
                told,
                "`{name}` is told at {level}, docs/log-events.md says {}",
                docs[name]
            );
        }
    }
}

#[test]
fn every_line_of_the_log_has_an_event_name() {
    let line = regex(r"\btracing::(trace|debug|info|warn|error)!\(\s*(.{0,12})");
    // `trouble.rs` hands the name on under its own name.
    let named = |start: &str| start.starts_with("event = ") || start.starts_with("event, ");
    for (path, code) in program() {
        for found in line.captures_iter(&code) {
            assert!(
                named(&found[2]),
                "{path}: `{}` begins without `event = `",
                &found[0]
            );
        }
    }
}

#[test]
fn troubles_end_under_a_name_they_began_with() {
    let end =
        regex(r#"(?:troubles|^)\s*\.end(?:_of)?\(\s*(?:(?:"[a-z_]*"|[a-z]+)\s*,\s*)?"([a-z_]+\.[^"]+)""#);
    let begun = events_in_code();
    for (path, code) in program() {
        for found in end.captures_iter(&code) {
            assert!(
                begun.contains_key(&found[1]),
                "{path}: `{}` never begins",
                &found[1]
            );
        }
    }
}

// ---- the source --------------------------------------------------------------------------------------------------------

#[test]
fn every_file_says_first_what_it_is_for() {
    for folder in ["src", "tests"] {
        for (path, text) in files(folder, "rs") {
            assert!(
                text.starts_with("//! ") && text.lines().next().is_some_and(|line| line.len() > 15),
                "{path} does not open with `//!`"
            );
        }
    }
}

#[test]
fn rooms_import_only_what_they_may_know() {
    let flows = ["inbound", "outbound"];
    let beyond_records = [
        "ledger", "inbound", "outbound", "context", "daemon", "commands", "status",
    ];
    let rules: [(&str, Vec<&str>); 10] = [
        ("src/outbound/", vec!["inbound"]),
        ("src/inbound/", vec!["outbound"]),
        (
            "src/brani/",
            [
                &beyond_records[..],
                &["source", "mapping", "writeback", "database", "eshop_info"],
            ]
            .concat(),
        ),
        (
            "src/source/",
            [&beyond_records[..], &["brani", "writeback"]].concat(),
        ),
        (
            "src/mapping/",
            [&beyond_records[..], &["writeback", "clock", "database"]].concat(),
        ),
        (
            "src/writeback/",
            [&beyond_records[..], &["brani", "mapping"]].concat(),
        ),
        (
            "src/database/",
            [&beyond_records[..], &["brani", "mapping", "writeback"]].concat(),
        ),
        (
            "src/status.rs",
            [
                &flows[..],
                &[
                    "clock", "ledger", "brani", "source", "context", "database", "http",
                ],
            ]
            .concat(),
        ),
        (
            "src/outbound/diff.rs",
            vec!["clock", "brani", "database", "http", "writeback"],
        ),
        (
            "src/ledger/",
            [
                &flows[..],
                &[
                    "source",
                    "brani",
                    "writeback",
                    "context",
                    "config",
                    "http",
                    "commands",
                ],
            ]
            .concat(),
        ),
    ];
    let import = regex(r"\bcrate::\{?([a-z_]+)");
    for (room, forbidden) in rules {
        let mut seen = false;
        for (path, code) in program() {
            if !path.starts_with(room) {
                continue;
            }
            seen = true;
            for found in import.captures_iter(&code) {
                assert!(
                    !forbidden.contains(&&found[1]),
                    "{path} must not know `{}`",
                    &found[1]
                );
            }
        }
        assert!(seen, "there is no `{room}` any more: mend this list");
    }
}

#[test]
fn sqlite_is_used_where_the_architecture_says_so() {
    // docs/architecture.md, "What must not be there"
    let may = [
        "src/ledger/",
        "src/database/sqlite.rs",
        "src/outbound/",
        "src/inbound/",
        "src/eshop_info/",
        "src/commands/",
        "src/health",
        "src/explain",
        "src/admin/",
    ];
    for (path, code) in program() {
        assert!(
            !code.contains("rusqlite") || may.iter().any(|room| path.starts_with(room)),
            "{path} uses rusqlite"
        );
        let opens = path.starts_with("src/outbound/") || path.starts_with("src/inbound/");
        assert!(
            !(opens && code.contains("Connection::open")),
            "{path} opens a database of its own"
        );
    }
}

#[test]
fn nothing_is_left_to_be_done() {
    let stub = regex(r"\b(todo|unimplemented|dbg)!");
    for folder in ["src", "tests"] {
        for (path, text) in files(folder, "rs") {
            let found = stub.find(&text).map(|found| found.as_str().to_owned());
            assert_eq!(found, None, "{path}");
        }
    }
}

#[test]
fn the_migrations_make_a_ledger_and_released_ones_stay_as_they_are() {
    /// Released migrations: file and the hash of its bytes. One is added with each release that brings one.
    const RELEASED: &[(&str, u64)] = &[];
    for (path, hash) in RELEASED {
        assert_eq!(
            xxhash_rust::xxh3::xxh3_64(text(path).as_bytes()),
            *hash,
            "{path} was released: write a new migration instead"
        );
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in files("src/ledger", "sql") {
        assert!(text.starts_with("-- "), "{path} does not say what it is");
    }
    let path = folder.path().join("ledger.db");
    let ledger = brani_sync::ledger::Ledger::open(&path, "a test");
    assert_eq!(ledger.err().map(|error| error.to_string()), None);
}

// ---- the pages ---------------------------------------------------------------------------------------------------------

/// What a link in a page leads to inside the project.
fn links(page: &str) -> Vec<String> {
    let link = regex(r"\]\(([^)\s]+)\)");
    let in_fence = page.split("```").step_by(2).collect::<Vec<_>>().join("\n");
    link.captures_iter(&in_fence)
        .map(|found| found[1].to_owned())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let heading = regex(r"(?m)^#+ (.+)$");
    let anchor = |heading: &str| -> String {
        heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    for (path, page) in pages() {
        for target in links(&page) {
            let (file, part) = target.split_once('#').unwrap_or((&target, ""));
            let place = if file.is_empty() {
                root().join(&path)
            } else {
                root().join(&path).parent().unwrap_or(Path::new("")).join(file)
            };
            assert!(place.exists(), "{path}: the link to `{target}` leads nowhere");
            if !part.is_empty() {
                let text = fs::read_to_string(&place).expect("a page");
                let there = heading
                    .captures_iter(&text)
                    .any(|found| anchor(&found[1]) == part);
                assert!(there, "{path}: no heading for `{target}`");
            }
        }
    }
}

#[test]
fn every_page_is_reached_from_the_readme() {
    let mut reached = BTreeSet::from([root().join("README.md")]);
    let mut left = vec![root().join("README.md")];
    while let Some(page) = left.pop() {
        let text = fs::read_to_string(&page).expect("a page");
        for target in links(&text) {
            let file = target.split('#').next().unwrap_or_default();
            let Ok(place) = page.parent().unwrap_or(Path::new("")).join(file).canonicalize() else {
                continue;
            };
            if place.extension().is_some_and(|ending| ending == "md") && reached.insert(place.clone()) {
                left.push(place);
            }
        }
    }
    for (path, _) in pages() {
        let place = root().join(&path).canonicalize().expect("a page");
        assert!(
            reached.contains(&place),
            "{path}: no way leads there from README.md"
        );
    }
}

#[test]
fn every_command_and_flag_is_in_the_page_about_the_command_line() {
    fn walk(command: &clap::Command, name: &str, page: &str, missing: &mut Vec<String>) {
        for argument in command.get_arguments() {
            if let Some(long) = argument.get_long() {
                let known = ["help", "version"].contains(&long) || page.contains(&format!("--{long}"));
                if !known {
                    missing.push(format!("{name} --{long}"));
                }
            }
        }
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let name = format!("{name} {}", sub.get_name());
            let shown = name.trim_start_matches("brani-sync ").to_owned();
            if !page.contains(&format!("`{shown}")) {
                missing.push(shown);
            }
            walk(sub, &name, page, missing);
        }
    }
    let mut missing = Vec::new();
    walk(&Cli::command(), "brani-sync", &text("docs/cli.md"), &mut missing);
    assert!(missing.is_empty(), "add to docs/cli.md: {missing:?}");
}

#[test]
fn metrics_that_pages_name_are_told() {
    let named = regex(r"brani_sync_([a-z_]+)");
    let told = text("src/admin/metrics.rs");
    for (path, page) in pages() {
        for found in named.captures_iter(&page) {
            let known = told.contains(&format!("\"{}\"", &found[1]));
            assert!(known, "{path}: there is no metric `{}`", &found[0]);
        }
    }
}

#[test]
fn every_column_is_in_the_page_about_shops_of_ones_own() {
    let page = text("docs/shops/custom.md");
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    for column in ORDER_COLUMNS.iter().chain(ITEM_COLUMNS) {
        assert!(
            named.contains(column),
            "docs/shops/custom.md does not name `{column}`"
        );
    }
}

/// The examples of a page that claim to be whole configurations.
fn complete_examples(page: &str) -> Vec<String> {
    let block = regex(r"(?s)```toml\n(# complete\n.*?)```");
    block
        .captures_iter(page)
        .map(|found| found[1].to_owned())
        .collect()
}

#[test]
fn complete_examples_of_the_pages_are_good_configurations() {
    let mut examples = 0;
    for (path, page) in pages() {
        for example in complete_examples(&page) {
            examples += 1;
            let folder = tempfile::tempdir().expect("a temporary folder");
            let file = folder.path().join("brani-sync.toml");
            fs::write(&file, &example).expect("write the example");
            let mut loaded = config::load(&file, &Vec::new)
                .unwrap_or_else(|errors| panic!("{path}:\n{}", errors.render(false)));
            assert!(loaded.warnings.is_empty(), "{path}: {:?}", loaded.warnings);
            if let Some(name) = loaded.config.shop.source.preset.clone() {
                let preset =
                    preset::load(&name, folder.path()).unwrap_or_else(|problem| panic!("{path}: {problem}"));
                preset::expand(&mut loaded.config, &preset)
                    .unwrap_or_else(|problems| panic!("{path}: {problems:?}"));
            }
            let problems = brani_sync::writeback::sql::config_problems(&loaded.config);
            assert!(problems.is_empty(), "{path}: {problems:?}");
        }
    }
    let readme = complete_examples(&text("README.md"));
    assert_eq!(readme.len(), 1, "the README has one configuration");
    assert!(examples > 1, "the pages have examples");
}

#[tokio::test]
async fn the_example_of_a_shop_of_ones_own_reads_and_maps_an_order() {
    let db = MariaDb::create();
    db.sql(
        "CREATE TABLE orders (id INT PRIMARY KEY, number VARCHAR(32), state VARCHAR(16), carrier VARCHAR(32), payment VARCHAR(16),
             created_at DATETIME, changed_at DATETIME, email VARCHAR(64), phone VARCHAR(32), is_paid TINYINT(1),
             total DECIMAL(10,2), currency CHAR(3), pickup_point VARCHAR(32), note TEXT, ship_name VARCHAR(64),
             ship_company VARCHAR(64), ship_street VARCHAR(64), ship_city VARCHAR(64), ship_zip VARCHAR(16),
             ship_country VARCHAR(32), tracking VARCHAR(64), KEY (changed_at))",
    );
    db.sql(
        "CREATE TABLE order_items (id INT PRIMARY KEY, order_id INT, sku VARCHAR(32), name VARCHAR(64), quantity INT,
             ean VARCHAR(16), grams INT, price DECIMAL(10,2), vat DECIMAL(5,2))",
    );
    db.sql(
        "INSERT INTO orders VALUES (7, '2026-0412', 'cod', 'ppl-home', 'cod', '2026-02-01 08:00:00', '2026-02-01 08:05:00',
             'zofie@example.cz', '+420 600 000 000', 1, '398.00', 'CZK', NULL, '', 'Žofie Příkladná', NULL, 'Úzká 1',
             'Třeboň', '379 01', 'Česká republika', NULL)",
    );
    db.sql("INSERT INTO order_items VALUES (1, 7, 'CAJ-01', 'Čaj', 2, NULL, 250, '199.00', '12.00')");
    let page = text("docs/shops/custom.md");
    let example = complete_examples(&page)
        .pop()
        .expect("the page has an example")
        .replace("mysql://sync@localhost/shop", &db.url)
        .replace("password = { credential = \"shop-db\" }\n", "");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("brani-sync.toml");
    fs::write(&file, example).expect("write the example");
    let loaded = config::load(&file, &Vec::new).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let source = assemble::source(&loaded, Arc::new(SystemClock)).expect("a source");
    let (batches, mut inbox) = mpsc::channel(8);
    source.read(Read { since: None }, batches).await.expect("a read");
    let records = inbox.recv().await.expect("a batch");
    let dictionaries = Dictionaries::build(&loaded.config.eshop_info, &Lists::default());
    let mapping = Mapping::new(assemble::mapping_settings(&loaded.config), Arc::new(dictionaries));
    let mapped = mapping.map(&records[0]).expect("an order");
    assert_eq!(mapped.order.code.as_str(), "2026-0412");
    // Cash on delivery is never paid, whatever the shop marks; the line's price is the line's total.
    assert_eq!(mapped.order.price.to_pay.to_string(), "398.00");
    assert_eq!(mapped.order.items[0].weight.to_string(), "0.250");
    assert_eq!(
        mapped.order.items[0]
            .item_price_with_vat
            .map(|price| price.to_string()),
        Some("398.00".into())
    );
    for finding in source.check().await {
        assert_ne!(finding.ok, Some(false), "{}", finding.text);
    }
}
