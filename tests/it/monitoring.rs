//! The files for watching and for rolling out (`docs/monitoring/`, `docs/ansible/`): they can be read, hang together, and
//! name no metric and no label that a running daemon does not tell.

use crate::merchant::{Merchant, Sale, Shop, free_port, until};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use yaml_rust2::{Yaml, YamlLoader};

const GRAFANA: &str = "docs/monitoring/grafana-dashboard.json";
const ZABBIX: &str = "docs/monitoring/zabbix-template.yaml";
const ALERTS: &str = "docs/monitoring/prometheus-alerts.yaml";
const ANSIBLE: &str = "docs/ansible/shops.yaml";

fn text(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a regular expression")
}

fn yaml(path: &str) -> Yaml {
    let mut documents =
        YamlLoader::load_from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

fn list<'y>(yaml: &'y Yaml, what: &str) -> &'y [Yaml] {
    yaml.as_vec()
        .unwrap_or_else(|| panic!("{what} is no list: {yaml:?}"))
}

fn word<'y>(yaml: &'y Yaml, key: &str) -> &'y str {
    yaml[key]
        .as_str()
        .unwrap_or_else(|| panic!("no `{key}` in {yaml:?}"))
}

/// What a daemon tells: for each metric the labels of its samples.
type Told = BTreeMap<String, Vec<BTreeMap<String, String>>>;

fn labels(text: &str) -> BTreeMap<String, String> {
    let label = regex(r#"([a-z_]+)="([^"]*)""#);
    let pairs = label.captures_iter(text);
    pairs
        .map(|found| (found[1].to_owned(), found[2].to_owned()))
        .collect()
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The metrics of a real daemon that has sent an order.
async fn told() -> Told {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    let port = free_port();
    merchant.add(&format!("\n[admin]\nlisten = \"127.0.0.1:{port}\"\n"));
    merchant.shop.add(&Sale::new(1));
    let daemon = merchant.run();
    until("it is sent", || merchant.brani.order_count() == 1);
    until("the page is there", || {
        get(port, "/metrics").is_some_and(|answer| answer.contains("brani_sync_ready"))
    });
    let answer = get(port, "/metrics").expect("metrics");
    assert_eq!(daemon.stop().0, 0);
    let sample = regex(r"(?m)^(brani_sync_[a-z_]+)\{([^}]*)\} ");
    let mut told = Told::new();
    for found in sample.captures_iter(&answer) {
        told.entry(found[1].to_owned())
            .or_default()
            .push(labels(&found[2]));
    }
    assert!(told.len() > 15, "{answer}");
    told
}

/// Every selector of a text whose metric or labels are not told.
fn untold(text: &str, told: &Told) -> Vec<String> {
    let selector = regex(r"\b(brani_sync_[a-z_]+)(?:\{([^}]*)\})?");
    let matcher = regex(r#"([a-z_]+)(=~|!=|=)"([^"]*)""#);
    let mut wrong = Vec::new();
    for found in selector.captures_iter(text) {
        let Some(samples) = told.get(&found[1]) else {
            wrong.push(found[0].to_owned());
            continue;
        };
        let wanted = found.get(2).map_or("", |labels| labels.as_str());
        for wanted in matcher.captures_iter(wanted) {
            // A variable of Grafana's stands for any shop.
            let any = wanted[3].starts_with('$');
            let known = |value: &str| {
                samples
                    .iter()
                    .any(|sample| sample.get(&wanted[1]).is_some_and(|told| any || told == value))
            };
            if !wanted[3].split('|').all(known) {
                wrong.push(found[0].to_owned());
            }
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_for_watching_name_nothing_that_a_daemon_does_not_tell() {
    let told = told().await;
    for (path, at_least) in [(GRAFANA, 20), (ZABBIX, 20), (ALERTS, 8)] {
        // JSON writes quotes with a backslash; keys of Zabbix's own have a dot.
        let text = text(path).replace("\\\"", "\"");
        assert_eq!(untold(&text, &told), Vec::<String>::new(), "{path}");
        let named = regex(r"brani_sync_[a-z_]+").find_iter(&text).count();
        assert!(named >= at_least, "{path}: only {named} metrics named");
    }
    // That a wrong one would be noticed.
    for wrong in [
        "brani_sync_readi",
        "brani_sync_orders{state=\"parkd\"}",
        "brani_sync_orders{stat=\"parked\"}",
        "brani_sync_events{state=~\"new|stuckk\"}",
        "brani_sync_send_seconds",
    ] {
        assert_eq!(untold(wrong, &told).len(), 1, "{wrong}");
    }
}

#[test]
fn the_dashboard_has_a_place_and_a_question_for_each_panel() {
    let dashboard: serde_json::Value = serde_json::from_str(&text(GRAFANA)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}");
        let place = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(place("x") + place("w") <= 24, "{title}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let expression = target["expr"].as_str().expect("an expression");
            assert!(expression.contains("brani_sync_"), "{title}: {expression}");
            assert!(
                expression.contains("$shop"),
                "{title} asks for every shop: {expression}"
            );
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let (open, close) = (expression.matches('(').count(), expression.matches(')').count());
            assert_eq!(open, close, "{title}: {expression}");
        }
    }
    assert!(panels.len() > 10, "only {} panels", panels.len());
}

#[test]
fn the_zabbix_template_hangs_together() {
    let yaml = yaml(ZABBIX);
    let export = &yaml["zabbix_export"];
    let template = &list(&export["templates"], "templates")[0];
    let name = word(template, "template");
    let items = list(&template["items"], "items");
    let mut keys = BTreeSet::new();
    for item in items {
        assert!(keys.insert(word(item, "key")), "twice: {item:?}");
    }
    let mut triggers = 0;
    for item in items {
        let master = &item["master_item"]["key"];
        if word(item, "type") == "DEPENDENT" {
            let master = master.as_str().expect("a master");
            assert!(keys.contains(master), "{item:?}");
            let step = &list(&item["preprocessing"], "preprocessing")[0];
            assert_eq!(word(step, "type"), "PROMETHEUS_PATTERN");
            assert_eq!(list(&step["parameters"], "parameters").len(), 3, "{item:?}");
        }
        for trigger in item["triggers"].as_vec().into_iter().flatten() {
            triggers += 1;
            let expression = word(trigger, "expression");
            let asked = regex(&format!("/{}/([a-z_.]+)", regex::escape(name)));
            let mut asked = asked.captures_iter(expression).peekable();
            assert!(asked.peek().is_some(), "{expression}");
            for found in asked {
                assert!(keys.contains(&found[1]), "{expression}");
            }
            assert!(!word(trigger, "description").is_empty(), "{expression}");
        }
    }
    assert!(triggers > 8, "only {triggers} triggers");
    // What Zabbix knows things by: each of its own, and of the kind that it takes.
    let text = text(ZABBIX);
    let id = regex(r"(?m)uuid: '?([^'\s]+)'?$");
    let ids: Vec<&str> = id
        .captures_iter(&text)
        .map(|found| found.get(1).expect("an id").as_str())
        .collect();
    let kind = regex("^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$");
    for id in &ids {
        assert!(kind.is_match(id), "{id}");
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    // Every macro that is used is explained.
    let known: BTreeSet<&str> = list(&template["macros"], "macros")
        .iter()
        .map(|known| word(known, "macro"))
        .collect();
    for found in regex(r"\{\$[A-Z_.]+\}").find_iter(&text) {
        assert!(known.contains(found.as_str()), "{}", found.as_str());
    }
}

#[test]
fn every_alert_says_what_it_is_and_what_to_do() {
    let yaml = yaml(ALERTS);
    let mut names = BTreeSet::new();
    for group in list(&yaml["groups"], "groups") {
        for rule in list(&group["rules"], "rules") {
            let name = word(rule, "alert");
            assert!(names.insert(name), "{name} is there twice");
            assert!(!word(rule, "expr").is_empty(), "{name}");
            assert!(word(rule, "for").ends_with('m'), "{name}");
            assert!(word(&rule["labels"], "severity").len() > 3, "{name}");
            assert!(
                word(&rule["annotations"], "summary").contains("$labels"),
                "{name}"
            );
            assert!(
                word(&rule["annotations"], "description").contains("brani-sync"),
                "{name}"
            );
        }
    }
    assert!(names.len() >= 8, "{names:?}");
}

#[test]
fn the_playbook_is_a_list_of_tasks_with_one_module_each_and_every_handler_is_there() {
    let yaml = yaml(ANSIBLE);
    for play in list(&yaml, "the playbook") {
        assert!(!word(play, "name").is_empty() && !word(play, "hosts").is_empty());
        let handlers: BTreeSet<&str> = list(&play["handlers"], "handlers")
            .iter()
            .map(|handler| word(handler, "name"))
            .collect();
        let mut notified = BTreeSet::new();
        let tasks = list(&play["tasks"], "tasks").iter();
        for task in tasks.chain(list(&play["handlers"], "handlers")) {
            let name = word(task, "name");
            let keys = task.as_hash().expect("a task").keys();
            let modules = keys.filter(|key| key.as_str().is_some_and(|key| key.starts_with("ansible.")));
            assert_eq!(modules.count(), 1, "{name}");
            notified.extend(task["notify"].as_str());
            // A secret must not be told on the console.
            let told = format!("{task:?}");
            assert!(
                !told.contains(".value }}") || task["no_log"].as_bool() == Some(true),
                "{name}"
            );
        }
        assert_eq!(notified, handlers);
    }
}
