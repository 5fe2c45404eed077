//! `init`: writes a configuration from the shop itself. It asks, or takes flags; a password is asked for or read from a
//! file, kept as a secret, and never stands in an argument or in the configuration.

use super::{Failure, Shell, block_on, secret};
use crate::assemble;
use crate::brani::Service;
use crate::brani::client::Client;
use crate::brani::model::EshopInfo;
use crate::cli::Init;
use crate::clock::SystemClock;
use crate::config::secret::{Secret, SecretRef};
use crate::config::{Loaded, Scalar, Secrets, SourceKind};
use crate::database::parameters::Dialect;
use crate::database::{self, Purpose, Target};
use crate::init::text::{self, Found, Place};
use crate::init::{Facts, Shop, Tables, facts, files, recognise, tables};
use crate::mapping::Mapping;
use crate::mapping::dictionaries::Dictionaries;
use crate::source::sql::{SqlSettings, SqlSource};
use crate::source::{ListRow, Lists, Read, Record, Source, export, preset};
use crate::types::ShopStatus;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What the package and the documentation ship: replaced without asking.
const SHIPPED: [&str; 2] = [
    include_str!("../../systemd/pkg/brani-sync.toml"),
    include_str!("../../config/brani-sync.toml"),
];
const USUAL: &str = "https://api.brani.cz";

/// How the database is reached.
struct Access {
    place: Place,
    password: Option<Secret>,
    prefix: Option<String>,
}

pub(super) fn init(shell: &Shell, mut options: Init) -> Result<u8, Failure> {
    if let Some(name) = options
        .preset
        .as_mut()
        .filter(|name| name.contains('/') || name.ends_with(".toml"))
    {
        // In a configuration a path is relative to it; on the command line, to the folder one stands in.
        *name = std::path::absolute(&*name)?.display().to_string();
    }
    let output = options.output.clone().unwrap_or_else(|| shell.path());
    replaceable(&output, options.force)?;
    let writer = Writer {
        shell,
        output: &output,
        secrets: output.with_extension("secrets"),
    };
    if let Some(name) = &options.preset {
        let base = std::env::current_dir()?;
        let known = preset::load(name, &base).map_err(told)?;
        if matches!(
            known.head.kind,
            SourceKind::Xml | SourceKind::Csv | SourceKind::Json
        ) {
            return exported(&writer, &options, name);
        }
    }
    if options.url.is_none() && options.shop.is_none() && writer.asks(&options) {
        let answer = writer.ask(
            &options,
            "The shop's folder, or what holds its orders (mysql, postgres, sqlite, shoptet-xml, shoptet-csv)",
            "mysql",
        )?;
        match answer.as_str() {
            "mysql" | "mariadb" => {}
            "postgres" | "postgresql" | "sqlite" => options.url = Some(ask_url(&writer, &options, &answer)?),
            "shoptet-xml" | "shoptet-csv" => return exported(&writer, &options, &answer),
            folder if Path::new(folder).is_dir() => options.shop = Some(folder.into()),
            other => {
                return Err(
                    Failure::new(64, format!("`{other}` is neither a folder nor one of these"))
                        .hint("write e.g. /var/www/shop, or mysql; other exports: see docs/exports.md"),
                );
            }
        }
    }
    let access = access(&writer, &options)?;
    block_on(from_database(&writer, &options, access))
}

fn told(problem: preset::PresetProblem) -> Failure {
    let failure = Failure::new(64, problem.to_string());
    match problem.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// A configuration that somebody has worked on is not replaced.
fn replaceable(output: &Path, force: bool) -> Result<(), Failure> {
    let there = match std::fs::read_to_string(output) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(
                Failure::new(1, format!("cannot read `{}`: {error}", output.display()))
                    .hint("run as root, or write elsewhere with --output FILE"),
            );
        }
    };
    let shipped = SHIPPED.iter().any(|text| text.trim() == there.trim());
    if shipped || force || there.trim().is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        1,
        format!(
            "`{}` is there already and was changed; it is left as it is",
            output.display()
        ),
    )
    .hint("replace it with --force, or write elsewhere with --output FILE"))
}

/// An export: its address is a secret, and its methods are known by their names in orders alone.
fn exported(writer: &Writer<'_>, options: &Init, name: &str) -> Result<u8, Failure> {
    let url = match &options.url {
        Some(url) => url.clone(),
        None => writer.ask(options, "Address of the export", "")?,
    };
    if !["http://", "https://", "file://", "/"]
        .iter()
        .any(|start| url.starts_with(start))
    {
        return Err(Failure::new(64, "the address of the export is missing")
            .hint("give --url https://… (the permanent link of the export)"));
    }
    let url = Secret::new(url);
    let base_url = options.base_url.as_ref();
    let loaded = writer.load(&text::export(name, base_url, &Lists::default(), None))?;
    let (lists, brani) =
        block_on(async { Ok((export_lists(&loaded, &url).await, brani(writer, options).await)) })?;
    let lists = lists.unwrap_or_else(|error| {
        writer.shell.out.note(&format!(
            "warning: the export could not be read, so its shipping and payment methods are not listed: {error}; \
             list them as `brani-sync check` asks for them, or run init with --force again when it can be read"
        ));
        Lists::default()
    });
    let text = text::export(name, base_url, &lists, brani.as_ref());
    writer.write(&text, &[("shop-export", &url)])
}

/// A method that no order has had for so long is a shop's past, unless one of the five newest has it.
const PAST: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 365);

/// The statuses, shipping and payment methods of an export's orders that the configuration does not list.
async fn export_lists(loaded: &Loaded, url: &Secret) -> Result<Lists, String> {
    let config = &loaded.config;
    let kind = config.shop.source.kind.unwrap_or(SourceKind::Xml);
    // The download is kept where the daemon finds it, so that `check` need not ask for it again so soon.
    let folder = loaded.ledger_path().parent().unwrap_or(Path::new(".")).to_owned();
    let owner = std::fs::metadata(&folder).ok();
    let settings = export::Setup::new(&config.shop, kind, url.clone(), Vec::new(), folder.clone());
    let source =
        export::ExportSource::new(settings, Arc::new(SystemClock)).map_err(|error| error.to_string())?;
    let listed = Arc::new(Dictionaries::build(&config.eshop_info, &Lists::default()));
    let mapping = Mapping::new(assemble::mapping_settings(config), Arc::clone(&listed));
    let (batches, mut inbox) = mpsc::channel::<Vec<Record>>(2);
    let reading = source.read(Read { since: None }, batches);
    let taking = async {
        // by list and value, when it was met last
        let mut met: BTreeMap<(usize, String), Timestamp> = BTreeMap::new();
        let mut newest: Vec<Timestamp> = Vec::new();
        while let Some(batch) = inbox.recv().await {
            for record in batch {
                let created = mapping.created(&record).unwrap_or(Timestamp::UNIX_EPOCH);
                newest.push(created);
                for (list, column) in ["_status", "_shipping", "_payment"].into_iter().enumerate() {
                    let value = record.order.get(column).filter(|value| !value.is_empty());
                    if let Some(value) = value.filter(|_| met.len() < 1000) {
                        let last = met.entry((list, value.to_text())).or_insert(created);
                        *last = created.max(*last);
                    }
                }
            }
            newest.sort_by_key(|created| std::cmp::Reverse(*created));
            newest.truncate(5);
        }
        (met, newest)
    };
    let (end, (met, newest)) = tokio::join!(reading, taking);
    if let Some(owner) = owner.filter(|_| rustix::process::geteuid().is_root()) {
        // what root wrote there must stay writable for the service
        for file in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if file.metadata().is_ok_and(|file| file.uid() == 0) {
                let _ = std::os::unix::fs::chown(file.path(), Some(owner.uid()), Some(owner.gid()));
            }
        }
    }
    end.map_err(|error| error.to_string())?;
    let since = match newest.as_slice() {
        [first, .., fifth] if newest.len() == 5 => {
            first.checked_sub(PAST).map_or(*fifth, |past| past.min(*fifth))
        }
        _ => Timestamp::MIN,
    };
    let mut lists = Lists::default();
    for ((list, value), last) in met {
        if last < since {
            continue;
        }
        let row = ListRow {
            name: value.clone(),
            method: method(&value).filter(|_| list == 2).map(str::to_owned),
            shop: value,
            ..ListRow::default()
        };
        match list {
            0 if listed.status(&ShopStatus(row.shop.clone())).is_some() => {}
            0 => lists.statuses.push(row),
            1 => lists.shipping.push(row),
            _ => lists.payments.push(row),
        }
    }
    Ok(lists)
}

/// What a payment method's name says of it.
fn method(name: &str) -> Option<&'static str> {
    let plain = export::ascii(name).to_lowercase();
    [
        ("dobirk", "cash_on_delivery"),
        ("prevod", "bank_transfer"),
        ("kart", "card"),
        ("hotov", "cash"),
    ]
    .into_iter()
    .find(|(word, _)| plain.contains(word))
    .map(|(_, method)| method)
}

/// The address of a database of this kind.
fn ask_url(writer: &Writer<'_>, options: &Init, kind: &str) -> Result<String, Failure> {
    if kind == "sqlite" {
        let file = std::path::absolute(writer.ask(options, "File of the database", "")?)?;
        return Ok(format!("sqlite://{}", file.display()));
    }
    let host = writer.ask(options, "Database server", "localhost")?;
    let name = writer.ask(options, "Database", "")?;
    let user = writer.ask(options, "User", "sync")?;
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().ok()),
        _ => (host.as_str(), None),
    };
    let url = url(host, port, &name, &user)?;
    Ok(match kind {
        "mysql" => url,
        _ => url.replacen("mysql:", "postgres:", 1),
    })
}

fn access(writer: &Writer<'_>, options: &Init) -> Result<Access, Failure> {
    if let Some(folder) = &options.shop {
        let found = files::read(folder).map_err(|error| {
            Failure::new(1, error).hint("give the shop's own folder, or --url mysql://user@host/database")
        })?;
        let url = url(&found.host, found.port, &found.database, &found.user)?;
        writer
            .shell
            .out
            .note(&format!("The database is named in `{}`", found.file.display()));
        let password = match password_file(options)? {
            None => found.password,
            own => own,
        };
        return Ok(Access {
            place: Place {
                url,
                socket: found.socket,
                password: password.is_some(),
                tls: options.tls,
                tls_ca: authority(options)?,
            },
            password,
            prefix: Some(options.prefix.clone().unwrap_or(found.prefix)),
        });
    }
    let url = match &options.url {
        Some(url) => url.clone(),
        None => ask_url(writer, options, "mysql")?,
    };
    if crate::config::secret::is_secret_url(&url) {
        return Err(
            Failure::new(64, "a password in the URL is refused: others can see arguments")
                .hint("leave it out of the URL; it is asked for, or read with --password-file FILE"),
        );
    }
    let dialect = dialect(&url)?;
    let password = match password_file(options)? {
        Some(password) => Some(password),
        None => match stored(writer) {
            Some(password) => Some(password),
            None if dialect == Dialect::Sqlite || options.yes || !std::io::stdin().is_terminal() => None,
            None => Some(Secret::new(rpassword::prompt_password(
                "Password of the database (nothing: none): ",
            )?))
            .filter(|password| !password.expose().is_empty()),
        },
    };
    Ok(Access {
        place: Place {
            url,
            socket: None,
            password: password.is_some(),
            tls: options.tls,
            tls_ca: authority(options)?,
        },
        password,
        prefix: options.prefix.clone(),
    })
}

/// A password that `secret set shop-db` has stored already.
fn stored(writer: &Writer<'_>) -> Option<Secret> {
    Secrets::new(writer.output, &[])
        .resolve(&SecretRef::Credential("shop-db".into()))
        .ok()
}

/// The authority's file, as a configuration elsewhere can name it.
fn authority(options: &Init) -> Result<Option<PathBuf>, Failure> {
    Ok(options.tls_ca.as_ref().map(std::path::absolute).transpose()?)
}

fn password_file(options: &Init) -> Result<Option<Secret>, Failure> {
    let Some(path) = &options.password_file else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(1, format!("cannot read `{}`: {error}", path.display())))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(
            Failure::new(1, format!("`{}` is empty", path.display())).hint("write the password into it")
        );
    }
    Ok(Some(Secret::new(text)))
}

fn dialect(url: &str) -> Result<Dialect, Failure> {
    Target::dialect_of_url(url).ok_or_else(|| {
        Failure::new(64, "the URL is none of a database").hint(
            "write mysql://user@host/database, postgres://… or sqlite:///…; for an export give --preset, too",
        )
    })
}

fn url(host: &str, port: Option<u16>, name: &str, user: &str) -> Result<String, Failure> {
    let wrong = || {
        Failure::new(1, format!("`{host}` is no name of a server"))
            .hint("give --url mysql://user@host/database")
    };
    let mut url = url::Url::parse("mysql://localhost").map_err(|_| wrong())?;
    url.set_host(Some(host)).map_err(|_| wrong())?;
    url.set_port(port).map_err(|()| wrong())?;
    url.set_username(user).map_err(|()| wrong())?;
    url.path_segments_mut().map_err(|()| wrong())?.push(name);
    Ok(url.to_string())
}

async fn from_database(writer: &Writer<'_>, options: &Init, access: Access) -> Result<u8, Failure> {
    let out = &writer.shell.out;
    let dialect = dialect(&access.place.url)?;
    let target = Target {
        dialect,
        url: Secret::new(access.place.url.clone()),
        password: access.password.clone(),
        tls: access.place.tls,
        tls_ca: access.place.tls_ca.clone(),
        socket: access.place.socket.clone(),
    };
    let fault = |fault: database::Fault| {
        Failure::new(1, format!("ask the shop's database: {}", fault.message())).hint(match fault {
            database::Fault::Tls(_) => {
                "--tls-ca FILE names an authority of your own, --tls verify or off says whether the connection is \
                 encrypted; docs/troubleshooting.md shows how to make a certificate"
            }
            _ => "look at the URL, the user, the password and the user's rights",
        })
    };
    let mut session = database::connect(&target, &Purpose::Lookup)
        .await
        .map_err(fault)?;
    let tables = tables(&mut session, dialect).await.map_err(fault)?;
    let secrets: Vec<(&str, &Secret)> = access
        .password
        .iter()
        .map(|password| ("shop-db", password))
        .collect();
    let Some(shop) = choose(writer, options, &access, &tables, dialect)? else {
        let kind = match dialect {
            Dialect::Mysql => "mysql",
            Dialect::Postgres => "postgres",
            Dialect::Sqlite => "sqlite",
        };
        out.note(
            "No known shop system was found: the queries in the configuration are a guess to be finished",
        );
        let text = text::skeleton(&access.place, kind, &tables, options.base_url.as_ref());
        return writer.write(&text, &secrets);
    };
    let facts: Facts = facts(&mut session, &shop).await;
    drop(session);
    out.note(&format!(
        "Found {}{} with the prefix `{}`",
        shop.preset,
        facts
            .version
            .as_deref()
            .map_or_else(String::new, |version| format!(" (version {version})")),
        shop.prefix
    ));
    let brani = brani(writer, options).await;
    let mut found = Found {
        place: &access.place,
        base_url: options.base_url.as_ref(),
        shop: &shop,
        facts: &facts,
        lists: &Lists::default(),
        brani: brani.as_ref(),
        statuses: Default::default(),
    };
    // The preset's own queries read the lists; for that a first configuration must stand.
    let first = writer.load(&text::known(&found))?;
    let config = &first.config;
    let names = |list: Option<&Vec<Scalar>>| -> Vec<String> {
        list.into_iter()
            .flatten()
            .map(|scalar| scalar.0.clone())
            .collect()
    };
    found.statuses = [
        names(config.shop.source.send_when.as_ref()),
        names(config.shop.source.r#final.as_ref()),
        names(config.writeback.protect.as_ref()),
    ];
    let settings = SqlSettings::from_config(
        &config.shop.source,
        &config.shop.timezone,
        &config.eshop_info.queries,
        target.url.clone(),
        access.password.clone(),
    )
    .map_err(|error| Failure::new(78, error))?;
    let lists = match SqlSource::new(settings).lists().await {
        Ok(lists) => lists,
        Err(error) => {
            out.note(&format!("warning: the shop's lists could not be read: {error}"));
            Lists::default()
        }
    };
    found.lists = &lists;
    writer.write(&text::known(&found), &secrets)
}

/// The shop among the tables: what the flags say, else the only one, else the one that is chosen.
fn choose(
    writer: &Writer<'_>,
    options: &Init,
    access: &Access,
    tables: &Tables,
    dialect: Dialect,
) -> Result<Option<Shop>, Failure> {
    let shops: Vec<Shop> = match dialect {
        Dialect::Mysql => recognise(tables),
        Dialect::Postgres | Dialect::Sqlite => Vec::new(),
    };
    let family = |name: &str| {
        name.trim_end_matches("-legacy")
            .trim_end_matches(['3', '4'])
            .to_owned()
    };
    let fitting: Vec<&Shop> = shops
        .iter()
        .filter(|shop| access.prefix.as_ref().is_none_or(|prefix| *prefix == shop.prefix))
        .filter(|shop| {
            options
                .preset
                .as_ref()
                .is_none_or(|name| family(name) == family(&shop.preset) || name.contains(['/', '.']))
        })
        .collect();
    let described: Vec<String> = shops
        .iter()
        .map(|shop| format!("{} with the prefix `{}`", shop.preset, shop.prefix))
        .collect();
    let found = match fitting.as_slice() {
        [] if options.preset.is_none() && access.prefix.is_none() => return Ok(None),
        [] if options.preset.is_none() && shops.is_empty() => return Ok(None),
        [] => {
            let what = match described.as_slice() {
                [] => "no known shop".to_owned(),
                some => some.join(", "),
            };
            return Err(Failure::new(
                1,
                format!("the database does not hold what was asked for: it holds {what}"),
            )
            .hint("look at --preset, --prefix and the database's name"));
        }
        [one] => (*one).clone(),
        several => {
            let prefixes: Vec<&str> = several.iter().map(|shop| shop.prefix.as_str()).collect();
            writer
                .shell
                .out
                .note(&format!("The database holds {}", described.join(", ")));
            let prefix = writer.ask(options, "Prefix of the shop's tables", prefixes[0])?;
            match several.iter().find(|shop| shop.prefix == prefix) {
                Some(shop) if writer.asks(options) => (*shop).clone(),
                _ => {
                    return Err(Failure::new(1, "the database holds several shops")
                        .hint(format!("choose with --prefix: {}", prefixes.join(", "))));
                }
            }
        }
    };
    Ok(Some(Shop {
        preset: options.preset.clone().unwrap_or(found.preset),
        prefix: found.prefix,
    }))
}

/// What Brani has, where a token is at hand. Nothing of it is needed.
async fn brani(writer: &Writer<'_>, options: &Init) -> Option<EshopInfo> {
    let token = Secrets::new(writer.output, &[])
        .resolve(&SecretRef::Credential("brani-token".into()))
        .ok()?;
    let usual = url::Url::parse(USUAL).ok()?;
    let base_url = options.base_url.as_ref().unwrap_or(&usual);
    let client = Client::new(
        base_url,
        &token,
        Duration::from_secs(20),
        5.0,
        Arc::new(SystemClock),
    );
    let answer = match client {
        Ok(client) => client.eshop_info().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match answer {
        Ok(answer) => answer.data,
        Err(error) => {
            writer.shell.out.note(&format!(
                "warning: ids and GUIDs could not be asked of Brani: {error}"
            ));
            None
        }
    }
}

/// Writes what was found.
struct Writer<'a> {
    shell: &'a Shell,
    output: &'a Path,
    secrets: PathBuf,
}

impl Writer<'_> {
    fn asks(&self, options: &Init) -> bool {
        !options.yes && std::io::stdin().is_terminal()
    }

    /// Asks on a terminal; elsewhere the usual answer is taken.
    fn ask(&self, options: &Init, what: &str, usual: &str) -> Result<String, Failure> {
        while self.asks(options) {
            let mut terminal = std::io::stderr().lock();
            let _ = match usual {
                "" => write!(terminal, "{what}: "),
                usual => write!(terminal, "{what} [{usual}]: "),
            };
            let _ = terminal.flush();
            let mut line = String::new();
            let read = std::io::stdin().read_line(&mut line)?;
            if !line.trim().is_empty() {
                return Ok(line.trim().to_owned());
            }
            if read == 0 || !usual.is_empty() {
                break;
            }
        }
        match usual {
            "" => Err(Failure::new(64, format!("{} is missing", what.to_lowercase()))
                .hint("give --url mysql://user@host/database or --shop DIR")),
            usual => Ok(usual.to_owned()),
        }
    }

    fn beside(&self) -> PathBuf {
        let name = self.output.file_name().unwrap_or_default().to_string_lossy();
        self.output.with_file_name(format!(".{name}.new"))
    }

    /// Reads a text as a configuration in the place where it will stand.
    fn load(&self, text: &str) -> Result<crate::config::Loaded, Failure> {
        let beside = Beside::write(&self.beside(), text)?;
        self.shell.load_path(&beside.0)
    }

    /// Writes the configuration and the secrets, once it has been read without an error.
    fn write(&self, text: &str, secrets: &[(&str, &Secret)]) -> Result<u8, Failure> {
        let out = &self.shell.out;
        let beside = Beside::write(&self.beside(), text)?;
        self.shell.load_path(&beside.0)?;
        for (name, value) in secrets {
            let target = secret::store(&self.secrets, name, value.expose())?;
            out.note(&format!("Stored the secret `{}`", target.display()));
        }
        self.rights(&beside.0);
        std::fs::rename(&beside.0, self.output)
            .map_err(|error| Failure::new(1, format!("cannot write `{}`: {error}", self.output.display())))?;
        out.done(
            &format!("Wrote `{}`", self.output.display()),
            &serde_json::json!({"wrote": self.output}),
        );
        let command = crate::config::command(self.output);
        out.note(&format!(
            "Next: read it, then `{command} secret set brani-token` and `{command} check`"
        ));
        Ok(0)
    }

    /// The service's user may read the new file as the old one; where there was none, root's is readable like the one of
    /// the package: it holds no secret, and the service is somebody else.
    fn rights(&self, beside: &Path) {
        let folder = self
            .output
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let old = std::fs::metadata(self.output);
        let (mode, group) = match (&old, folder.map(std::fs::metadata)) {
            (Ok(old), _) => (old.mode() & 0o777, Some(old.gid())),
            (Err(_), _) if rustix::process::geteuid().is_root() => (0o644, None),
            (Err(_), Some(Ok(folder))) => (0o640, Some(folder.gid())),
            (Err(_), _) => (0o640, None),
        };
        // Only root may give a file away; for everybody else it is theirs already.
        let _ = std::os::unix::fs::chown(beside, old.ok().map(|old| old.uid()), group);
        let _ = std::fs::set_permissions(beside, std::fs::Permissions::from_mode(mode));
    }
}

/// A file beside the configuration, gone unless it takes its place.
struct Beside(PathBuf);

impl Beside {
    fn write(path: &Path, text: &str) -> Result<Self, Failure> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| Failure::new(1, format!("cannot make `{}`: {error}", folder.display())))?;
        }
        let _ = std::fs::remove_file(path);
        let file = Self(path.to_owned());
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(|error| {
                Failure::new(1, format!("cannot write `{}`: {error}", path.display()))
                    .hint("run as root, or write elsewhere with --output FILE")
            })?;
        Ok(file)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
