//! Facts about reading a configuration, written as a merchant would.

use brani_sync::config::{Config, ConfigErrors, DEFAULTS, Loaded, Problem, load, schema};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with configuration files in it.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    fn load(&self, text: &str) -> Result<Loaded, ConfigErrors> {
        self.load_with(text, &[])
    }

    fn load_with(&self, text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
        read(&self.write("shop.toml", text), env)
    }
}

fn read(path: &Path, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let env: Vec<(String, String)> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    load(path, &|| env.clone())
}

const GOOD: &str = r#"
[brani]
token = { credential = "brani-token" }
[shop.source]
kind = "sqlite"
url = "sqlite:///srv/shop.db"
[shop.source.orders]
query = "SELECT id AS _key FROM orders WHERE changed >= :since"
"#;

fn good() -> Config {
    Desk::new().load(GOOD).unwrap().config
}

fn problems(text: &str) -> Vec<Problem> {
    Desk::new().load(text).unwrap_err().problems
}

/// The one problem of a configuration that is GOOD but for these lines.
#[track_caller]
fn only_problem(more: &str) -> Problem {
    let mut found = problems(&format!("{GOOD}{more}"));
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

#[test]
fn a_short_file_is_filled_up_with_defaults() {
    let config = good();
    assert_eq!(config.brani.base_url.as_str(), "https://api.brani.cz/");
    assert_eq!(config.schedule.sweep, "0 30 3 * * *");
    assert_eq!(config.shop.max_weight.to_string(), "100");
}

#[test]
fn a_misspelt_setting_is_refused_with_its_line_and_the_nearest_name() {
    let problem = only_problem("[log]\nlevle = \"info\"\n");
    assert_eq!(problem.path, "log.levle");
    assert_eq!(problem.line, Some(10));
    assert!(problem.hint.contains("`level`"), "{}", problem.hint);
}

#[test]
fn all_problems_are_listed_at_once() {
    let found = problems(
        "[brani]\ntimeout = \"soon\"\nrate_limit = 0\n[shop]\ntimezone = \"Europe/Prag\"\nmax_weight = \"lots\"\n[shop.source]\nkind = \"oracle\"\nhistory = \"x\"\nbatch = \"many\"\n",
    );
    let paths: Vec<_> = found.iter().map(|problem| problem.path.as_str()).collect();
    for path in [
        "brani.timeout",
        "brani.rate_limit",
        "brani.token",
        "shop.timezone",
        "shop.max_weight",
        "shop.source.kind",
        "shop.source.history",
        "shop.source.batch",
        "shop.source.url",
    ] {
        assert!(paths.contains(&path), "{path} in {paths:?}");
    }
    let errors = Desk::new()
        .load("[brani]\ntimeout = \"soon\"\n")
        .unwrap_err()
        .to_string();
    assert!(errors.contains("timeout = \"soon\""), "{errors}");
    println!("{errors}");
}

#[test]
fn every_default_is_a_known_setting() {
    let schema = schema::of::<Config>();
    let paths = schema.paths();
    assert!(paths.len() > 80, "{paths:#?}");
    let defaults: toml::Table = toml::from_str(DEFAULTS).unwrap();
    assert!(defaults.contains_key("brani"));
}

#[test]
fn the_page_about_settings_names_every_one() {
    let page = include_str!("../../docs/configuration.md");
    for path in schema::of::<Config>().paths() {
        let parts: Vec<&str> = path.splitn(3, '.').collect();
        let told = match parts.as_slice() {
            ["writeback", event, kind] => {
                page.contains(&format!("`writeback.{event}`")) && page.contains(&format!("`{kind}`"))
            }
            ["alert", "http", _] => page.contains("`alert.http`"),
            _ => page.contains(&format!("`{path}`")),
        };
        assert!(told, "docs/configuration.md does not tell of `{path}`");
    }
}

#[test]
fn the_shipped_file_is_accepted() {
    let loaded = Desk::new()
        .load(include_str!("../../config/brani-sync.toml"))
        .unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

const EVERYTHING: &str = r#"
[brani]
base_url = "https://api.brani.cz"
token = { credential = "brani-token" }
timeout = "30s"
concurrency = 4
rate_limit = 10
[ledger]
path = "/var/lib/brani-sync/x/ledger.db"
keep_events = "90d"
[shop]
name = "kvetiny"
timezone = "Europe/Prague"
default_weight = "0.000"
max_weight = "100"
[shop.source]
kind = "mysql"
url = "mysql://sync@db.example.cz/shop"
password = { credential = "shop-db" }
tls = "verify"
tls_ca = "ca.pem"
socket = "/run/mysqld/mysqld.sock"
preset = "woocommerce"
table_prefix = "wp_"
send_when = ["processing", 3]
final = ["completed"]
history = "30d"
sweep_back = "60d"
overlap = "10m"
settle = "10s"
times = "local"
cursor = "auto"
batch = 500
options = { language = 1, cod_methods = ["cod"] }
orders.query = "SELECT 1 WHERE t >= :since"
items.query = "SELECT 1 WHERE id IN (:keys)"
lookup.query = "SELECT 1 WHERE code IN (:codes)"
extra.query = "SELECT 1 WHERE id IN (:keys)"
[shop.source.records]
order = "ORDERS/ORDER"
item = "ITEMS/ITEM"
group = "code"
encoding = "windows-1250"
delimiter = ";"
min_interval = "15m"
complete = false
headers = { authorization = { credential = "export" } }
[shop.source.map]
code = "{{ CODE }}"
"deliveryAddress.fullName" = "{{ NAME }}"
[eshop_info]
mode = "merge"
unknown = "hold"
[[eshop_info.statuses]]
shop = "processing"
id = 1
name = "Vyřizuje se"
write_back = true
[[eshop_info.shipping]]
shop = "zasilkovna"
name = "Zásilkovna"
guid = "6d33d5bc-0b65-4284-9c1a-dcd7a4f4d31c"
wholesale = false
[[eshop_info.payments]]
shop = "cod"
name = "Dobírka"
method = "cash_on_delivery"
[eshop_info.queries]
statuses = "SELECT 1"
shipping = "SELECT 1"
payments = "SELECT 1"
[webhooks]
events = ["package_packed", "package_number"]
register = true
public_url = "https://shop.example.cz/brani"
listen = "127.0.0.1:8787"
secret = { credential = "webhook-secret" }
ids = { status_change = 251 }
lookback = "3d"
hold_updates = "15m"
[writeback]
protect = ["cancelled"]
url = "mysql://w@db/shop"
password = { credential = "w" }
timeout = "20s"
attempts = 8
concurrency = 4
status_map = { "-1" = "completed", "-3" = "" }
[writeback.status_change]
sql = ["UPDATE orders SET state = :status"]
[writeback.balic_packed]
http = { url = "https://shop.example.cz/hooks", headers = { authorization = { credential = "hook" } } }
[writeback.order_history]
jsonl = "history.jsonl"
[writeback.parked]
command = ["/usr/bin/true", "x"]
[schedule]
poll = "30s"
drain = "5m"
eshop_info = "1h"
sweep = "0 30 3 * * *"
[deletes]
mode = "off"
statuses = []
max_per_sweep = 50
max_share = 0.02
[resends]
max = 500
[log]
format = "auto"
level = "info"
[alert]
http = { url = "https://hc.example.cz/ping" }
after = "15m"
[admin]
listen = "127.0.0.1:9787"
language = "cs"
contact = "Petr"
[app]
auth_url = "https://auth.brani.cz"
base_url = "https://balic.brani.cz"
username = "sync"
password = { credential = "app" }
"#;

#[test]
fn every_key_of_the_reference_is_accepted() {
    let loaded = Desk::new().load(EVERYTHING).unwrap();
    assert_eq!(loaded.name, "kvetiny");
    let events = loaded.config.webhooks.events.unwrap();
    assert_eq!(events, ["balic_packed", "package_number"]);
    let fields: Vec<_> = loaded.config.shop.source.map.keys().collect();
    assert_eq!(fields, ["code", "deliveryAddress.fullName"]);
}

#[test]
fn the_environment_wins_and_a_wrong_variable_is_named() {
    let desk = Desk::new();
    let loaded = desk
        .load_with(
            GOOD,
            &[
                ("BRANI_SYNC__BRANI__BASE_URL", "http://127.0.0.1:9/"),
                ("BRANI_SYNC__BRANI__CONCURRENCY", "7"),
            ],
        )
        .unwrap();
    assert_eq!(loaded.config.brani.base_url.port(), Some(9));
    assert_eq!(loaded.config.brani.concurrency, 7);
    let wrong = desk
        .load_with(GOOD, &[("BRANI_SYNC__BRANI__TIMEOUT", "soon")])
        .unwrap_err();
    assert_eq!(
        wrong.problems[0].variable.as_deref(),
        Some("BRANI_SYNC__BRANI__TIMEOUT")
    );
    let wrong = desk
        .load_with(GOOD, &[("BRANI_SYNC__BRANI__TIMOUT", "1s")])
        .unwrap_err();
    assert!(
        wrong.to_string().contains("BRANI_SYNC__BRANI__TIMEOUT"),
        "{wrong}"
    );
}

#[test]
fn an_included_file_is_overridden_and_its_problems_show_it() {
    let desk = Desk::new();
    desk.write(
        "common.toml",
        "[brani]\nconcurrency = 9\nrate_limit = 3\ntoken = { env = \"T\" }\n",
    );
    let loaded = desk
        .load(&format!(
            "include = [\"common.toml\"]\n{GOOD}\n[log]\nlevel = \"debug\"\n"
        ))
        .unwrap();
    assert_eq!(loaded.config.brani.concurrency, 9);
    desk.write("common.toml", "[brani]\nconcurrency = 99\n");
    let errors = desk
        .load(&format!("include = [\"common.toml\"]\n{GOOD}"))
        .unwrap_err();
    assert!(errors.problems[0].file.as_ref().unwrap().ends_with("common.toml"));
    assert_eq!(errors.problems[0].line, Some(2));
}

#[test]
fn no_error_shows_a_secret() {
    for more in [
        "[webhooks]\nsecret = \"topsecret\"\n",
        "[webhooks]\nsecrt = \"topsecret\"\n",
        "[webhooks]\nsecret = \"topsecret\n",
        "[webhooks]\nsecret = [\"topsecret\"]\n",
        "[writeback]\nurl = \"oracle://a:topsecret@b/c\"\n",
        "[app]\npasswrd = \"topsecret\"\n",
    ] {
        let errors = Desk::new().load(&format!("{GOOD}{more}")).unwrap_err();
        assert!(!errors.to_string().contains("topsecret"), "{errors}");
        assert!(!format!("{errors:?}").contains("topsecret"), "{errors:?}");
    }
}

#[test]
fn secrets_are_found_and_missing_ones_name_the_command() {
    let desk = Desk::new();
    let loaded = desk.load(GOOD).unwrap();
    let (problems, _) = loaded.check_secrets();
    assert_eq!(
        problems[0].hint,
        format!(
            "store it: brani-sync --config {} secret set brani-token",
            loaded.path.display()
        )
    );
    let file = desk.write("shop.secrets/brani-token", "abc\n");
    assert!(loaded.check_secrets().0.is_empty());
    let found = loaded
        .secrets
        .resolve(loaded.config.brani.token.as_ref().unwrap())
        .unwrap();
    assert_eq!(found.expose(), "abc");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(loaded.check_secrets().1.len(), 1);
    desk.write("creds/secret_brani-token", "def\n");
    let folder = desk.0.path().join("creds");
    let loaded = desk
        .load_with(GOOD, &[("CREDENTIALS_DIRECTORY", folder.to_str().unwrap())])
        .unwrap();
    let found = loaded
        .secrets
        .resolve(loaded.config.brani.token.as_ref().unwrap())
        .unwrap();
    assert_eq!(found.expose(), "def");
}

#[test]
fn a_plain_secret_in_a_readable_file_is_a_warning() {
    let desk = Desk::new();
    let path = desk.write(
        "shop.toml",
        &GOOD.replace("{ credential = \"brani-token\" }", "\"plain-token\""),
    );
    assert!(read(&path, &[]).unwrap().warnings.is_empty());
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let warnings = read(&path, &[]).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        (warnings[0].path.as_str(), warnings[0].line),
        ("brani.token", Some(3))
    );
}

#[test]
fn each_rule_names_its_setting() {
    for (more, path) in [
        ("[brani2]\nx = 1\n", "brani2"),
        ("[deletes]\nmode = \"status\"\n", "deletes.statuses"),
        ("[deletes]\nmax_share = 2\n", "deletes.max_share"),
        ("[schedule]\npoll = \"7s\"\n", "schedule.poll"),
        ("[schedule]\nsweep = \"30 3 * * *\"\n", "schedule.sweep"),
        ("[ledger]\nkeep_events = \"1h\"\n", "ledger.keep_events"),
        ("[webhooks]\nevents = [\"status_chnge\"]\n", "webhooks.events[0]"),
        ("[alert]\nafter = \"1m\"\n", "alert"),
        ("[admin]\nlisten = \"nowhere\"\n", "admin.listen"),
        ("[writeback.parked]\nsql = []\n", "writeback.parked.sql"),
        (
            "[writeback.parked]\nsql = [\"x\"]\njsonl = \"y\"\n",
            "writeback.parked",
        ),
        (
            "[writeback.parked]\nhttp = { url = \"http://shop.example.cz\" }\n",
            "writeback.parked.http.url",
        ),
        (
            "[[eshop_info.shipping]]\nshop = \"a\"\nguid = \"zz\"\n",
            "eshop_info.shipping[0].guid",
        ),
        (
            "[[eshop_info.statuses]]\nshop = \"a\"\nid = 1\nwrite_back = true\n[[eshop_info.statuses]]\nshop = \"b\"\nid = 1\nwrite_back = true\n",
            "eshop_info.statuses[1].write_back",
        ),
        ("[log]\nformat = \"jsn\"\n", "log.format"),
        ("[[eshop_info.statuses]]\nid = 1\n", "eshop_info.statuses[0].shop"),
    ] {
        assert_eq!(only_problem(more).path, path);
    }
}
