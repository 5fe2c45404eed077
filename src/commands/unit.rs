//! What the service's unit forbids and this configuration needs: programs, files out of sight, folders to write in.
//!
//! The unit's files are read as systemd reads them, drop-ins laid over, so that it can be said before the first start and
//! without asking systemd. It must not know what the needs are for; it only knows whose setting names them.

use crate::config::{Loaded, secret::SecretRef};
use crate::source::Finding;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Where systemd looks for units of the system, the strongest first.
const UNIT_FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Where systemd's services look for programs.
const PROGRAM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
/// What `ProtectHome=` and `PrivateTmp=` hide.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// Where a package puts the drop-ins that are named.
const EXAMPLES: &str = "/usr/share/doc/brani-sync/examples";

/// What a configuration wants to do with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Read,
    Write,
    Execute,
}

/// The unit that runs a configuration, as far as it forbids things.
#[derive(Debug)]
struct Unit {
    name: String,
    /// The settings of `[Service]` in the order in which they count.
    settings: Vec<(String, String)>,
}

/// What the unit of this configuration forbids; nothing where no installed unit runs it.
pub(super) fn look(loaded: &Loaded) -> Vec<Finding> {
    let Some(unit) = Unit::of(loaded, &folders()) else {
        return Vec::new();
    };
    let mut findings: Vec<Finding> = needs(loaded)
        .into_iter()
        .filter_map(|((need, path), setting)| unit.refuses(&setting, need, &path))
        .collect();
    if findings.is_empty() {
        findings.push(Finding {
            ok: Some(true),
            text: format!("the unit `{}` allows what this configuration needs", unit.name),
            hint: None,
        });
    }
    findings
}

/// How a line gets into a unit.
pub(super) fn edit(unit: &str, line: &str, example: &str) -> String {
    format!(
        "`systemctl edit {unit}`, below [Service]: {line}; then `systemctl restart {unit}`. The example is {EXAMPLES}/{example}"
    )
}

/// The unit that runs this configuration, and what it sets in the daemon's environment under the first of these names.
/// Nothing where no installed unit runs it, or where the environment comes from elsewhere as well.
pub(super) fn variable(loaded: &Loaded, names: &[&str]) -> Option<(String, Option<String>)> {
    let unit = Unit::of(loaded, &folders())?;
    if !unit.last("EnvironmentFile").is_empty() || !unit.last("PassEnvironment").is_empty() {
        return None;
    }
    let set = unit.environment();
    let value = names.iter().find_map(|name| set.get(*name).cloned());
    Some((unit.name, value))
}

/// systemd's own variable comes first, as with systemd; ending in a colon it goes before the usual folders.
fn folders() -> Vec<PathBuf> {
    let usual = UNIT_FOLDERS.iter().map(PathBuf::from);
    match std::env::var("SYSTEMD_UNIT_PATH") {
        Ok(list) if !list.is_empty() => {
            let given = list
                .split(':')
                .filter(|folder| !folder.is_empty())
                .map(PathBuf::from);
            if list.ends_with(':') {
                given.chain(usual).collect()
            } else {
                given.collect()
            }
        }
        _ => usual.collect(),
    }
}

impl Unit {
    /// The plain unit or the template's instance, whichever starts the daemon with this file.
    fn of(loaded: &Loaded, folders: &[PathBuf]) -> Option<Self> {
        let stem = loaded.path.file_stem()?.to_string_lossy().into_owned();
        let config = std::path::absolute(&loaded.path).ok()?;
        let instance = format!("brani-sync@{stem}.service");
        [
            ("brani-sync.service", vec!["brani-sync.service"]),
            (&instance, vec![&instance, "brani-sync@.service"]),
        ]
        .into_iter()
        .filter_map(|(name, files)| Self::read(name, &files, &stem, folders))
        .find(|unit| unit.starts_with(&config))
    }

    fn read(name: &str, files: &[&str], instance: &str, folders: &[PathBuf]) -> Option<Self> {
        let text = files
            .iter()
            .flat_map(|file| folders.iter().map(move |folder| folder.join(file)))
            .find_map(|path| fs::read_to_string(path).ok())?;
        let mut settings = parse(&text);
        // By name, whatever their folder; of two with the same name the stronger folder's counts.
        let mut drop_ins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
        for folder in folders {
            for beside in files
                .iter()
                .map(|file| format!("{file}.d"))
                .chain(["service.d".into()])
            {
                let entries = fs::read_dir(folder.join(beside)).into_iter().flatten().flatten();
                for path in entries.map(|entry| entry.path()) {
                    if path.extension().is_some_and(|ending| ending == "conf")
                        && let Some(file) = path.file_name()
                    {
                        drop_ins.entry(file.to_owned()).or_insert(path);
                    }
                }
            }
        }
        for path in drop_ins.values() {
            settings.extend(parse(&fs::read_to_string(path).unwrap_or_default()));
        }
        for (_, value) in &mut settings {
            *value = value.replace("%i", instance).replace("%I", instance);
        }
        Some(Self {
            name: name.to_owned(),
            settings,
        })
    }

    fn starts_with(&self, config: &Path) -> bool {
        self.last("ExecStart")
            .split_whitespace()
            .any(|word| Path::new(word.trim_matches('"')) == config)
    }

    /// A setting that counts once: the last one.
    fn last(&self, key: &str) -> &str {
        self.settings
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map_or("", |(_, value)| value)
    }

    fn is_on(&self, key: &str) -> bool {
        matches!(self.last(key), "yes" | "true" | "on" | "1")
    }

    /// A setting that adds up; an empty one begins anew.
    fn paths(&self, key: &str) -> Vec<PathBuf> {
        let mut words = Vec::new();
        for (_, value) in self.settings.iter().filter(|(name, _)| name == key) {
            if value.is_empty() {
                words.clear();
            }
            words.extend(value.split_whitespace());
        }
        words
            .into_iter()
            .map(|word| word.trim_start_matches(['-', '+']))
            // BindPaths=SOURCE:DESTINATION:OPTIONS
            .map(|word| PathBuf::from(word.split(':').nth(1).unwrap_or(word)))
            .collect()
    }

    /// What `Environment=` adds up to; an assignment stands in quotes where it has spaces.
    fn environment(&self) -> BTreeMap<String, String> {
        let mut set = BTreeMap::new();
        for (_, value) in self.settings.iter().filter(|(name, _)| name == "Environment") {
            if value.is_empty() {
                set.clear();
            }
            let mut rest = value.trim_start();
            while let Some(first) = rest.chars().next() {
                let end = if matches!(first, '"' | '\'') { first } else { ' ' };
                let word = rest.strip_prefix(end).unwrap_or(rest);
                let (word, behind) = word.split_once(end).unwrap_or((word, ""));
                if let Some((name, value)) = word.split_once('=') {
                    set.insert(name.to_owned(), value.to_owned());
                }
                rest = behind.trim_start();
            }
        }
        set
    }

    /// Folders that the unit brings and lets the daemon write in.
    fn own_folders(&self) -> Vec<PathBuf> {
        [
            ("StateDirectory", "/var/lib"),
            ("RuntimeDirectory", "/run"),
            ("CacheDirectory", "/var/cache"),
            ("LogsDirectory", "/var/log"),
        ]
        .into_iter()
        .flat_map(|(key, base)| self.paths(key).into_iter().map(|path| Path::new(base).join(path)))
        .collect()
    }

    fn hides(&self, path: &Path) -> bool {
        let shown: Vec<PathBuf> = ["BindPaths", "BindReadOnlyPaths"]
            .into_iter()
            .flat_map(|key| self.paths(key))
            .collect();
        if covers(&shown, path).is_some() {
            return false;
        }
        let home = self.is_on("ProtectHome") || self.last("ProtectHome") == "tmpfs";
        (home && HOMES.iter().any(|folder| path.starts_with(folder)))
            || (self.is_on("PrivateTmp") && TEMPORARY.iter().any(|folder| path.starts_with(folder)))
    }

    fn may_write(&self, path: &Path) -> bool {
        if self.last("ProtectSystem") != "strict" {
            return true;
        }
        let mut open = self.own_folders();
        open.extend(
            ["ReadWritePaths", "BindPaths"]
                .into_iter()
                .flat_map(|key| self.paths(key)),
        );
        covers(&open, path).is_some()
    }

    /// The longest path that is named decides, as with systemd's mounts.
    fn may_execute(&self, path: &Path) -> bool {
        let no = covers(&self.paths("NoExecPaths"), path);
        let yes = covers(&self.paths("ExecPaths"), path);
        no.is_none() || yes >= no
    }

    /// What to say where the unit does not allow this.
    fn refuses(&self, setting: &str, need: Need, path: &Path) -> Option<Finding> {
        let unit = &self.name;
        let shown = path.display();
        let folder = path.parent().unwrap_or(path).display();
        let (text, line, example) = if self.hides(path) {
            let (key, what) = match need {
                Need::Write => ("BindPaths", folder.to_string()),
                Need::Read | Need::Execute => ("BindReadOnlyPaths", shown.to_string()),
            };
            let tmpfs = if HOMES.iter().any(|home| path.starts_with(home)) {
                "ProtectHome=tmpfs, "
            } else {
                ""
            };
            (
                format!("{setting}: the unit `{unit}` hides `{shown}` from the daemon"),
                format!("{tmpfs}{key}={what}"),
                "files-in-home.conf",
            )
        } else {
            match need {
                Need::Read => return None,
                Need::Write if self.may_write(path) => return None,
                Need::Execute if self.may_execute(path) => return None,
                Need::Write => (
                    format!("{setting}: the unit `{unit}` lets nothing be written in `{folder}`"),
                    format!("ReadWritePaths={folder}"),
                    "writable-folders.conf",
                ),
                Need::Execute => (
                    format!("{setting}: the unit `{unit}` does not let `{shown}` be executed"),
                    format!("ExecPaths={shown}"),
                    "command-handlers.conf",
                ),
            }
        };
        Some(Finding {
            ok: Some(false),
            text,
            hint: Some(edit(unit, &line, example)),
        })
    }
}

/// The settings of `[Service]`, lines that end in a backslash joined.
fn parse(text: &str) -> Vec<(String, String)> {
    let text = text.replace("\\\n", " ");
    let mut section = "";
    let mut settings = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if section == "Service"
            && !line.starts_with(['#', ';'])
            && let Some((key, value)) = line.split_once('=')
        {
            settings.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    settings
}

/// How long the longest of these paths is that the path lies in, if any. Links are followed, as systemd follows them.
fn covers(folders: &[PathBuf], path: &Path) -> Option<usize> {
    let real = real(path);
    folders
        .iter()
        .flat_map(|folder| [folder.clone(), self::real(folder)])
        .filter(|folder| path.starts_with(folder) || real.starts_with(folder))
        .map(|folder| folder.components().count())
        .max()
}

/// The path behind links, as far as it exists and may be looked at.
fn real(path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|existing| {
            let found = existing.canonicalize().ok()?;
            Some(match path.strip_prefix(existing) {
                Ok(rest) if !rest.as_os_str().is_empty() => found.join(rest),
                _ => found,
            })
        })
        .unwrap_or_else(|| path.to_owned())
}

/// What the configuration needs of the machine's files, and whose setting says so.
fn needs(loaded: &Loaded) -> BTreeMap<(Need, PathBuf), String> {
    let config = &loaded.config;
    let mut needs = BTreeMap::new();
    let mut add = |need: Need, path: PathBuf, setting: &str| {
        if path.is_absolute() {
            needs.entry((need, path)).or_insert_with(|| setting.to_owned());
        }
    };
    let mut programs = Vec::new();
    let mut told_by_sql = false;
    for (event, handler) in config.writeback.handlers() {
        if let Some(command) = &handler.command {
            programs.push((format!("writeback.{event}.command"), command));
        }
        if let Some(file) = &handler.jsonl {
            add(Need::Write, file.clone(), &format!("writeback.{event}.jsonl"));
        }
        told_by_sql |= handler.sql.is_some();
    }
    if let Some(command) = config.alert.as_ref().and_then(|alert| alert.command.as_ref()) {
        programs.push(("alert.command".into(), command));
    }
    for (setting, command) in programs {
        let Some(program) = command.0.first().and_then(|program| program_path(program)) else {
            continue;
        };
        for interpreter in interpreters(&program) {
            add(Need::Execute, interpreter, &setting);
        }
        add(Need::Execute, program, &setting);
    }
    add(Need::Write, loaded.ledger_path(), "ledger.path");
    let source = &config.shop.source;
    if let Some(path) = local_file(loaded, source.url.as_ref()) {
        let writes = told_by_sql && config.writeback.url.is_none() || keeps_a_log_beside(&path);
        add(
            if writes { Need::Write } else { Need::Read },
            path,
            "shop.source.url",
        );
    }
    if let Some(path) = local_file(loaded, config.writeback.url.as_ref()) {
        add(Need::Write, path, "writeback.url");
    }
    for (path, setting) in [
        (&source.tls_ca, "shop.source.tls_ca"),
        (&source.socket, "shop.source.socket"),
    ] {
        if let Some(path) = path {
            add(Need::Read, path.clone(), setting);
        }
    }
    let receiver = config
        .webhooks
        .public_url
        .as_ref()
        .and(config.webhooks.listen.as_ref());
    let admin = config.admin.as_ref().map(|admin| &admin.listen);
    for (listen, setting) in [(receiver, "webhooks.listen"), (admin, "admin.listen")] {
        if let Some(socket) = listen.and_then(|listen| listen.strip_prefix("unix:")) {
            add(Need::Write, PathBuf::from(socket), setting);
        }
    }
    needs
}

/// The file behind a URL of this machine; of a pattern, the folder that it begins with.
fn local_file(loaded: &Loaded, url: Option<&SecretRef>) -> Option<PathBuf> {
    let secret = loaded.secrets.resolve(url?).ok()?;
    let url = secret.expose();
    let path = match url.split_once("://") {
        Some(("sqlite" | "file", path)) => path,
        Some(_) => return None,
        None => url.strip_prefix("sqlite:").unwrap_or(url),
    };
    let plain = path.find(['*', '?', '[', '{']).map_or(path, |place| {
        let before = &path[..place];
        before.rfind('/').map_or(before, |slash| &before[..slash])
    });
    Some(PathBuf::from(plain))
}

/// A SQLite file in WAL mode cannot even be read where nothing can be written beside it.
fn keeps_a_log_beside(path: &Path) -> bool {
    let mut head = [0; 20];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head.starts_with(b"SQLite format 3\0") && head[18] == 2
}

/// A bare name is looked for where the service would.
fn program_path(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    PROGRAM_FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
}

/// What a script names in its first line is executed as well: the interpreter, and what `env` looks for.
fn interpreters(program: &Path) -> Vec<PathBuf> {
    let mut head = Vec::new();
    let read = fs::File::open(program).and_then(|file| file.take(256).read_to_end(&mut head));
    let Some(line) = read
        .ok()
        .and_then(|_| head.strip_prefix(b"#!"))
        .and_then(|rest| rest.split(|byte| *byte == b'\n').next())
    else {
        return Vec::new();
    };
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.split_whitespace();
    let Some(first) = words.next().map(PathBuf::from) else {
        return Vec::new();
    };
    let looked_for = first
        .file_name()
        .is_some_and(|name| name == "env")
        .then(|| words.find(|word| !word.starts_with('-')).and_then(program_path))
        .flatten();
    std::iter::once(first).chain(looked_for).collect()
}
