//! Reading a configuration: embedded defaults, included files, the file, the environment; then typed, with
//! every problem listed at once. What a value means is `rules.rs`'s business.

use super::place::{FileLayer, KeyPath, Place, Step, line_of, mask};
use super::problem::{ConfigErrors, Problem, Snippet};
use super::schema::{self, Node};
use super::secret::{SecretRef, is_secret_url};
use super::secrets::Secrets;
use super::shape::{check_shape, deserialize, has_password};
use super::{Config, rules};
use serde::Deserialize;
use serde_json::Value;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Every key that has a default, with that default.
pub const DEFAULTS: &str = include_str!("../../config/brani-sync.default.toml");

const PREFIX: &str = "BRANI_SYNC__";

/// Where the package's units look for configurations.
const SERVICES: &str = "/etc/brani-sync";

/// A configuration that was read, and found good.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// Its file.
    pub path: PathBuf,
    /// What should be looked at, and stops nothing.
    pub warnings: Vec<Problem>,
    /// `shop.name`, else the file's stem.
    pub name: String,
    /// Finds secrets.
    pub secrets: Secrets,
    references: Vec<(KeyPath, SecretRef)>,
    layers: Layers,
    environment: Vec<(String, String)>,
}

/// Where a configuration's values come from, weakest first.
pub(crate) struct Layers {
    files: Vec<FileLayer>,
    variables: Vec<(KeyPath, String, Value)>,
    main: PathBuf,
}

impl std::fmt::Debug for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the texts may hold secrets
        f.debug_struct("Layers")
            .field("main", &self.main)
            .finish_non_exhaustive()
    }
}

/// Reads a configuration. `env` gives the process's environment (a test's own, in a test).
///
/// Secrets are not looked up here, so that `secret set` works before they exist: see [`Loaded::check_secrets`].
///
/// # Errors
/// Every problem found.
pub fn load(path: &Path, env: &dyn Fn() -> Vec<(String, String)>) -> Result<Loaded, ConfigErrors> {
    let environment = env();
    let schema = schema::of::<Config>();
    let mut problems = Vec::new();
    let failed = |problems| ConfigErrors {
        path: path.to_owned(),
        problems,
    };

    let layers = match Layers::read(path, &environment, &schema, &mut problems) {
        Some(layers) => layers,
        None => return Err(failed(problems)),
    };
    let mut merged = match layers.merge(&schema) {
        Ok(merged) => merged,
        Err(message) => {
            let mut problem = Problem::new("", None, message, "mend the file");
            problem.file = Some(path.to_owned());
            problems.push(problem);
            return Err(failed(problems));
        }
    };

    let defaults = defaults();
    check_shape(&schema, &mut merged, &defaults, &schema, &mut problems);
    let config = deserialize(&mut merged, &defaults, &schema, &mut problems);
    let mut warnings = Vec::new();
    if let Some(config) = &config {
        let report = rules::problems(config);
        for problem in report.problems {
            // a value that was put in place of a wrong one breaks no further rule
            if !problems.iter().any(|known| related(&known.path, &problem.path)) {
                problems.push(problem);
            }
        }
        warnings = report.warnings;
    }
    for problem in problems.iter_mut().chain(&mut warnings) {
        layers.locate(problem);
    }
    let main = &layers.main;
    problems.sort_by_key(|problem| {
        (
            problem.variable.is_some(),
            problem.file.as_ref() == Some(main),
            problem.file.clone(),
            problem.line.unwrap_or(usize::MAX),
        )
    });
    let Some(mut config) = config.filter(|_| problems.is_empty()) else {
        return Err(failed(problems));
    };
    rules::normalise(&mut config);

    let mut references = Vec::new();
    collect_secrets(&schema, &merged, &KeyPath::default(), &mut references);
    warnings.extend(layers.readable_plain_secrets(&references));
    let secrets = Secrets::new(path, &environment);
    let name = config.shop.name.clone().unwrap_or_else(|| stem(path));
    anchor_paths(&mut config, path.parent().unwrap_or(Path::new("")));
    Ok(Loaded {
        config,
        path: path.to_owned(),
        warnings,
        name,
        secrets,
        references,
        layers,
        environment,
    })
}

impl Loaded {
    /// Looks every secret up: missing ones are problems, files that others can read are warnings.
    pub fn check_secrets(&self) -> (Vec<Problem>, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        for (path, reference) in &self.references {
            let text = path.to_string();
            match self.secrets.resolve(reference) {
                Ok(secret) => {
                    if let Some(file) = self.secrets.readable_by_others(reference) {
                        warnings.push(Problem::new(
                            text.clone(),
                            None,
                            format!("its file `{}` can be read by others", file.display()),
                            format!("chmod 600 {}", file.display()),
                        ));
                    }
                    if text == "webhooks.secret" {
                        problems.extend(rules::webhook_secret(&secret));
                    }
                }
                Err(error) => problems.push(Problem::new(text, None, error.what(), error.hint())),
            }
        }
        for problem in problems.iter_mut().chain(&mut warnings) {
            self.layers.locate(problem);
        }
        (problems, warnings)
    }

    /// Reads every secret now and keeps it, before the process gives up the right to read them.
    pub fn remember_secrets(&self) {
        self.secrets
            .remember(self.references.iter().map(|(_, reference)| reference));
    }

    /// The ledger's file: `ledger.path`, else `$STATE_DIRECTORY/ledger.db`, else the service's folder for a
    /// configuration in `/etc/brani-sync`, else the user's state folder.
    pub fn ledger_path(&self) -> PathBuf {
        if let Some(path) = &self.config.ledger.path {
            return path.clone();
        }
        let variable = |name: &str| {
            self.environment
                .iter()
                .find(|(key, value)| key == name && !value.is_empty())
                .map(|(_, value)| value.as_str())
        };
        // systemd lists several folders with colons between them; the first is ours
        if let Some(folder) = variable("STATE_DIRECTORY").and_then(|list| list.split(':').next()) {
            return Path::new(folder).join("ledger.db");
        }
        // A command typed by a person means the ledger of the service whose configuration it reads.
        if self.path.parent() == Some(Path::new(SERVICES)) {
            return Path::new("/var/lib/brani-sync")
                .join(stem(&self.path))
                .join("ledger.db");
        }
        let state = match (variable("XDG_STATE_HOME"), variable("HOME")) {
            (Some(state), _) => PathBuf::from(state),
            (None, Some(home)) => Path::new(home).join(".local/state"),
            (None, None) => PathBuf::from("."),
        };
        state.join("brani-sync").join(&self.name).join("ledger.db")
    }
}

/// The file that `-n NAME` means.
pub fn path_of_name(name: &str) -> PathBuf {
    Path::new(SERVICES).join(format!("{name}.toml"))
}

/// How the command is typed that means this file.
pub(crate) fn command(path: &Path) -> String {
    let name = stem(path);
    if path != path_of_name(&name) {
        return format!("brani-sync --config {}", path.display());
    }
    match name.as_str() {
        "brani-sync" => name,
        _ => format!("brani-sync -n {name}"),
    }
}

/// A file's name without its ending.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(
        || "brani-sync".to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}

pub(crate) fn related(one: &str, other: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner == outer
            || inner
                .strip_prefix(outer)
                .is_some_and(|rest| outer.is_empty() || rest.starts_with(['.', '[']))
    };
    !one.is_empty() && !other.is_empty() && (within(one, other) || within(other, one))
}

fn defaults() -> Value {
    toml::from_str::<Value>(DEFAULTS).expect("the embedded defaults are TOML")
}

impl Layers {
    fn read(
        path: &Path,
        environment: &[(String, String)],
        schema: &Node,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let main = read_file(path, schema, problems)?;
        let mut files = Vec::new();
        let folder = path.parent().unwrap_or(Path::new(""));
        let include = main.table.get("include").cloned();
        let names = match include {
            None => Vec::new(),
            Some(toml::Value::Array(names)) => names,
            Some(other) => vec![other],
        };
        for (index, name) in names.iter().enumerate() {
            let Some(name) = name.as_str() else {
                let mut problem = Problem::new(
                    "include",
                    None,
                    "is not a list of file names",
                    "write it like include = [\"common.toml\"]",
                );
                main.place(&mut problem, main.find(&KeyPath::parse("include")).0);
                problems.push(problem);
                continue;
            };
            let included = folder.join(name);
            let before = problems.len();
            match read_file(&included, schema, problems) {
                Some(layer) if layer.table.contains_key("include") => {
                    let mut problem = Problem::new(
                        "include",
                        None,
                        "an included file may not include others",
                        "list all files in the main file",
                    );
                    layer.place(&mut problem, layer.find(&KeyPath::parse("include")).0);
                    problems.push(problem);
                }
                Some(layer) => files.push(layer),
                None => {
                    for problem in &mut problems[before..] {
                        if problem.snippet.is_none() {
                            let at = KeyPath::parse("include").index(index);
                            let sentence = problem.sentence();
                            problem.rule = sentence;
                            problem.found = None;
                            problem.path = "include".to_owned();
                            main.place(problem, main.find(&at).0);
                        }
                    }
                }
            }
        }
        if !problems.is_empty() {
            return None;
        }
        files.push(main);
        let mut layers = Self {
            files,
            variables: Vec::new(),
            main: path.to_owned(),
        };
        layers.read_variables(environment, schema, problems);
        Some(layers)
    }

    fn read_variables(
        &mut self,
        environment: &[(String, String)],
        schema: &Node,
        problems: &mut Vec<Problem>,
    ) {
        let mut ours: Vec<&(String, String)> = environment
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        ours.sort();
        for (name, text) in ours {
            let mut path = KeyPath::default();
            let mut node = schema;
            let mut wrong = None;
            for part in name[PREFIX.len()..].split("__") {
                let part = part.to_lowercase();
                let Some(below) = node.child(&part).filter(|_| !matches!(node, Node::Seq(_))) else {
                    if matches!(node, Node::Secret) && ["credential", "file", "env"].contains(&&*part) {
                        path = path.key(&part);
                        node = &Node::Text;
                        continue;
                    }
                    let hint = match node {
                        Node::Struct(fields) => {
                            match schema::nearest(&part, fields.iter().map(|(name, _)| *name)) {
                                Some(near) => {
                                    let whole = path.key(near).to_string().replace('.', "__").to_uppercase();
                                    format!("did you mean `{PREFIX}{whole}`?")
                                }
                                None => "unset it".to_owned(),
                            }
                        }
                        _ => {
                            "only single values can be set by the environment; write lists in the file".into()
                        }
                    };
                    wrong = Some(Problem::new(
                        path.key(&part).to_string(),
                        None,
                        "is not a known setting",
                        hint,
                    ));
                    break;
                };
                path = path.key(&part);
                node = below;
            }
            if wrong.is_none() && matches!(node, Node::Struct(_) | Node::Map(_) | Node::Seq(_)) {
                wrong = Some(Problem::new(
                    path.to_string(),
                    None,
                    "is no single value",
                    "only single values can be set by the environment; write this one in the file",
                ));
            }
            if let Some(mut problem) = wrong {
                problem.variable = Some(name.clone());
                problems.push(problem);
                continue;
            }
            let text = text.trim();
            let value = match node {
                Node::Bool => text.parse().map(Value::Bool).ok(),
                Node::Integer => text.parse::<i64>().map(Value::from).ok(),
                Node::Float => text.parse::<f64>().map(Value::from).ok(),
                _ => None,
            };
            self.variables
                .push((path, name.clone(), value.unwrap_or_else(|| Value::from(text))));
        }
    }

    /// Lays the layers over each other.
    fn merge(&self, schema: &Node) -> Result<Value, String> {
        let mut tables = vec![defaults()];
        for file in &self.files {
            let mut table = serde_json::to_value(&file.table).map_err(|error| error.to_string())?;
            plain_dates(&mut table);
            if let Some(table) = table.as_object_mut() {
                table.shift_remove("include");
            }
            tables.push(table);
        }
        let mut variables = Value::Object(serde_json::Map::new());
        for (path, _, value) in &self.variables {
            insert(&mut variables, &path.0, value.clone());
        }
        tables.push(variables);

        let mut builder = config::Config::builder();
        for place in 0..tables.len() {
            let (lower, upper) = tables.split_at_mut(place);
            for lower in lower {
                give_way(schema, lower, &upper[0]);
            }
        }
        for table in tables {
            builder = builder.add_source(Table(table));
        }
        builder
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| error.to_string())
    }

    /// Says where a problem's key stands.
    fn locate(&self, problem: &mut Problem) {
        if problem.variable.is_some() || problem.snippet.is_some() {
            return;
        }
        let path = KeyPath::parse(&problem.path);
        let variable = self.variables.iter().find(|(known, ..)| {
            path.0.starts_with(&known.0) || known.0.starts_with(&path.0) && known.0.len() == path.0.len() + 1
        });
        if let Some((_, name, _)) = variable {
            problem.variable = Some(name.clone());
            return;
        }
        // the last file that has the whole key; else the one that has most of it, the main file before others
        let best = self
            .files
            .iter()
            .rev()
            .map(|file| (file, file.find(&path)))
            .reduce(|best, next| if next.1.1 > best.1.1 { next } else { best });
        if let Some((file, (span, depth))) = best {
            let span = if depth == path.0.len() && problem.rule.starts_with("is not a known") {
                file.key_span(&path).or(span)
            } else {
                span
            };
            file.place(problem, span);
        }
    }

    /// Plain secrets in files that others can read.
    fn readable_plain_secrets(&self, references: &[(KeyPath, SecretRef)]) -> Vec<Problem> {
        let mut warnings = Vec::new();
        for file in &self.files {
            if !super::secrets::others_can_read(&file.path) {
                continue;
            }
            for (path, reference) in references {
                if reference.is_plain_secret() && file.find(path).1 == path.0.len() {
                    let mut warning = Problem::new(
                        path.to_string(),
                        None,
                        "stands in a file that others can read",
                        format!(
                            "chmod 600 {}, or keep it apart: {{ credential = \"name\" }} and `brani-sync secret set name`",
                            file.path.display()
                        ),
                    );
                    file.place(&mut warning, file.find(path).0);
                    warnings.push(warning);
                }
            }
        }
        warnings
    }
}

/// One layer, as the `config` crate wants it.
#[derive(Clone)]
struct Table(Value);

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the values may be secrets
        f.write_str("Table")
    }
}

impl config::Source for Table {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, config::Value>, config::ConfigError> {
        convert(&self.0).into_table()
    }
}

fn convert(value: &Value) -> config::Value {
    let kind = match value {
        Value::Null => config::ValueKind::Nil,
        Value::Bool(flag) => config::ValueKind::Boolean(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => config::ValueKind::I64(number),
            (_, Some(number)) => config::ValueKind::U64(number),
            _ => config::ValueKind::Float(number.as_f64().unwrap_or(0.0)),
        },
        Value::String(text) => config::ValueKind::String(text.clone()),
        Value::Array(values) => config::ValueKind::Array(values.iter().map(convert).collect()),
        Value::Object(fields) => config::ValueKind::Table(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), convert(value)))
                .collect(),
        ),
    };
    config::Value::new(None, kind)
}

/// `toml` gives a date to other formats as a table of its own; a date here is its text.
fn plain_dates(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let (1, Some(Value::String(date))) = (fields.len(), fields.get("$__toml_private_datetime")) {
                *value = Value::String(date.clone());
                return;
            }
            fields.values_mut().for_each(plain_dates);
        }
        Value::Array(values) => values.iter_mut().for_each(plain_dates),
        _ => {}
    }
}

fn insert(table: &mut Value, path: &[Step], value: Value) {
    let Some((Step::Key(first), rest)) = path.split_first() else {
        return;
    };
    if !table.is_object() {
        *table = Value::Object(serde_json::Map::new());
    }
    let Some(fields) = table.as_object_mut() else {
        return;
    };
    if rest.is_empty() {
        fields.insert(first.clone(), value);
    } else {
        insert(fields.entry(first.clone()).or_insert(Value::Null), rest, value);
    }
}

/// The keys of a handler that exclude each other.
const KINDS: [&str; 4] = ["sql", "http", "command", "jsonl"];

/// Takes out of a lower layer what a higher one says in its place: half of one secret and half of another, or two
/// kinds of one handler, would be nobody's wish.
fn give_way(node: &Node, lower: &mut Value, upper: &Value) {
    let (Some(lower), Some(upper)) = (lower.as_object_mut(), upper.as_object()) else {
        return;
    };
    if node.child("command").is_some() && KINDS.iter().any(|kind| upper.contains_key(*kind)) {
        lower.retain(|key, _| upper.contains_key(key) || !KINDS.contains(&key.as_str()));
    }
    for (key, above) in upper {
        match node.child(key) {
            Some(Node::Secret) => {
                lower.shift_remove(key);
            }
            Some(below) => {
                if let Some(value) = lower.get_mut(key) {
                    give_way(below, value, above);
                }
            }
            None => {}
        }
    }
}

fn read_file(path: &Path, schema: &Node, problems: &mut Vec<Problem>) -> Option<FileLayer> {
    let text = match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let line = line_of(&String::from_utf8_lossy(&error.as_bytes()[..valid]), valid);
                let mut problem = Problem::new("", None, "the file is not UTF-8 text", "save it as UTF-8");
                problem.file = Some(path.to_owned());
                problem.line = Some(line);
                problems.push(problem);
                return None;
            }
        },
        Err(error) => {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "name the file with --config FILE or -n NAME, or make one with `brani-sync init`"
                }
                std::io::ErrorKind::PermissionDenied => "run as the service's user, or as root",
                _ => "give the path of a readable file",
            };
            let mut problem = Problem::new(
                "",
                None,
                format!("the file `{}` cannot be read: {error}", path.display()),
                hint,
            );
            problem.file = Some(path.to_owned());
            problems.push(problem);
            return None;
        }
    };
    let parsed = toml_edit::Document::parse(text.clone());
    let table = toml::from_str::<toml::Table>(&text);
    match (parsed, table) {
        (Ok(document), Ok(table)) => {
            let mut spans = Vec::new();
            mask_secrets(Some(schema), Place::Table(document.as_table()), &mut spans);
            let masked = mask(&text, &spans);
            Some(FileLayer {
                path: path.to_owned(),
                document,
                masked,
                text,
                table,
            })
        }
        (Err(error), _) => {
            problems.push(syntax(path, &text, error.message(), error.span()));
            None
        }
        (_, Err(error)) => {
            problems.push(syntax(path, &text, error.message(), error.span()));
            None
        }
    }
}

/// A file that is no TOML. Nobody knows what its lines mean, so what may be a secret is hidden by its key.
fn syntax(path: &Path, text: &str, message: &str, span: Option<Range<usize>>) -> Problem {
    let mut problem = Problem::new(
        "",
        None,
        format!(
            "this is not TOML: {}",
            message.lines().collect::<Vec<_>>().join("; ")
        ),
        "text stands in quotes, a list in [ ], a table's name in [ ] on a line of its own",
    );
    problem.file = Some(path.to_owned());
    if let Some(span) = span {
        let start = span.start.min(text.len());
        problem.line = Some(line_of(text, start));
        let mut hidden = Vec::new();
        let mut at = 0;
        let mut secret = false;
        for line in text.split_inclusive('\n') {
            let (key, from) = match line.find('=') {
                Some(equals) => (line[..equals].to_lowercase(), equals + 1),
                None => (line.to_lowercase(), 0),
            };
            if line.contains('=') {
                secret = [
                    "token",
                    "password",
                    "secret",
                    "authorization",
                    "url",
                    "key",
                    "env",
                    "body",
                ]
                .iter()
                .any(|word| key.contains(word));
            } else if line.trim_start().starts_with('[') {
                secret = false;
            }
            if secret || line.contains("://") {
                for (place, character) in line.char_indices().skip_while(|(place, _)| *place < from) {
                    if character.is_alphanumeric() || "-_./:@?&%+".contains(character) {
                        hidden.push(at + place..at + place + character.len_utf8());
                    }
                }
            }
            at += line.len();
        }
        problem.snippet = Some(Snippet {
            name: path.display().to_string(),
            text: mask(text, &hidden),
            span: super::place::first_line(text, start..span.end.max(start)),
        });
    }
    problem
}

/// Finds what must not be shown: plain secrets, values of unknown keys, URLs with a password.
fn mask_secrets(node: Option<&Node>, place: Place<'_>, spans: &mut Vec<Range<usize>>) {
    let below = |name: &str, next: Place<'_>, spans: &mut Vec<Range<usize>>| {
        let known = node.and_then(|node| match node {
            // the parts of a secret's table say where it is, not what it is
            Node::Secret if ["credential", "file", "env"].contains(&name) => Some(&Node::Bool),
            node => node.child(name),
        });
        let include = name == "include" && matches!(node, Some(Node::Struct(_)));
        mask_secrets(if include { Some(&Node::Bool) } else { known }, next, spans);
    };
    match place {
        Place::Table(table) => {
            for (name, item) in table {
                if let Some(next) = Place::of(item) {
                    below(name, next, spans);
                }
            }
        }
        Place::Tables(tables) => {
            for table in tables {
                below("", Place::Table(table), spans);
            }
        }
        Place::Value(toml_edit::Value::InlineTable(table)) => {
            for (name, value) in table {
                below(name, Place::Value(value), spans);
            }
        }
        Place::Value(toml_edit::Value::Array(array)) if !matches!(node, None | Some(Node::Secret)) => {
            for value in array {
                match node {
                    Some(Node::Seq(_)) => below("", Place::Value(value), spans),
                    _ => mask_secrets(node, Place::Value(value), spans),
                }
            }
        }
        Place::Value(value) => {
            let hide = match node {
                None => true,
                Some(Node::Secret) => value.as_str().is_none_or(|text| !is_open_url(text)),
                Some(_) => value.as_str().is_some_and(has_password),
            };
            if hide && let Some(span) = value.span() {
                spans.push(span);
            }
        }
    }
}

fn is_open_url(text: &str) -> bool {
    text.contains("://") && !is_secret_url(text)
}

fn collect_secrets(node: &Node, value: &Value, path: &KeyPath, references: &mut Vec<(KeyPath, SecretRef)>) {
    match (node, value) {
        (Node::Secret, value) => {
            if let Ok(reference) = SecretRef::deserialize(value) {
                references.push((path.clone(), reference));
            }
        }
        (Node::Struct(_) | Node::Map(_), Value::Object(table)) => {
            for (key, value) in table {
                if let Some(below) = node.child(key) {
                    collect_secrets(below, value, &path.key(key), references);
                }
            }
        }
        (Node::Seq(inner), Value::Array(values)) => {
            for (index, value) in values.iter().enumerate() {
                collect_secrets(inner, value, &path.index(index), references);
            }
        }
        _ => {}
    }
}

/// Relative paths are meant from the configuration's folder.
fn anchor_paths(config: &mut Config, folder: &Path) {
    let source = &mut config.shop.source;
    let paths = [&mut config.ledger.path, &mut source.tls_ca, &mut source.socket];
    for path in paths.into_iter().flatten() {
        *path = folder.join(&*path);
    }
    // a preset of one's own is told from a name by its ending or a slash
    if let Some(preset) = &mut source.preset
        && (preset.contains('/') || preset.ends_with(".toml"))
    {
        *preset = folder.join(&*preset).to_string_lossy().into_owned();
    }
    if let Some(invoices) = &mut config.invoices {
        if let Some(path) = &mut invoices.path {
            *path = folder.join(&*path).to_string_lossy().into_owned();
        }
        if let Some(path) = &mut invoices.folder {
            *path = folder.join(&*path);
        }
    }
    for (_, handler) in config.writeback.handlers_mut() {
        if let Some(path) = &mut handler.jsonl {
            *path = folder.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::command;
    use std::path::Path;

    #[test]
    fn a_command_is_named_as_it_is_typed_for_that_shop() {
        for (path, typed) in [
            ("/etc/brani-sync/brani-sync.toml", "brani-sync"),
            ("/etc/brani-sync/kvetiny.toml", "brani-sync -n kvetiny"),
            ("shop.toml", "brani-sync --config shop.toml"),
        ] {
            assert_eq!(command(Path::new(path)), typed);
        }
    }
}
