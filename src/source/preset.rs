//! Presets: what is known of a shop system, as one TOML file in the form of a configuration.
//!
//! A preset is data. This room loads it, checks the merchant's prefix and options, puts them into its SQL and lays the
//! result into the configuration as if the merchant had written it. It opens no database and sends no request; which
//! of a preset's variants a shop is now, the source asks with `detect`.

mod expand;
mod grants;
mod template;

pub use expand::expand;
pub use grants::grants;
pub use template::OptionValue;

use crate::config::{self, Cursor, Records, Scalar, SourceKind, Times, Variant};
use indexmap::IndexMap;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// The presets in the binary: name and text.
const EMBEDDED: &[(&str, &str)] = &[
    (
        "woocommerce",
        include_str!("../../config/presets/woocommerce.toml"),
    ),
    (
        "woocommerce-legacy",
        include_str!("../../config/presets/woocommerce-legacy.toml"),
    ),
    ("prestashop", include_str!("../../config/presets/prestashop.toml")),
    ("opencart3", include_str!("../../config/presets/opencart3.toml")),
    ("opencart4", include_str!("../../config/presets/opencart4.toml")),
    ("magento", include_str!("../../config/presets/magento.toml")),
    (
        "shoptet-xml",
        include_str!("../../config/presets/shoptet-xml.toml"),
    ),
    (
        "shoptet-csv",
        include_str!("../../config/presets/shoptet-csv.toml"),
    ),
];

/// More facts than this would make more variants than anybody can look through.
const MAX_FACTS: usize = 6;

/// One thing that keeps a preset from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresetProblem {
    /// The setting, e.g. `shop.source.options.code`, or the place in the preset.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl PresetProblem {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for PresetProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// One preset in the binary, for the list.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// One line.
    pub description: String,
    /// What it reads.
    pub kind: String,
}

/// A loaded preset.
#[derive(Clone, Debug)]
pub struct Preset {
    /// The `[preset]` table.
    pub head: Head,
    brings: Brings,
}

/// `[preset]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its name.
    pub name: String,
    /// One line, for the list.
    pub description: String,
    /// What it reads.
    pub kind: SourceKind,
    /// What the merchant should know.
    #[serde(default)]
    pub notes: String,
    /// Tables that are read, without prefix.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Tables that are read where they exist.
    #[serde(default)]
    pub reads_if_there: Vec<String>,
    /// Rights for write-back, by table.
    #[serde(default)]
    pub writes: IndexMap<String, String>,
    /// What `detect` may find.
    #[serde(default)]
    pub facts: Vec<String>,
    /// The query that finds it.
    pub detect: Option<String>,
    /// What the merchant may choose.
    #[serde(default)]
    pub options: IndexMap<String, OptionSpec>,
    /// Pieces of SQL used more than once.
    #[serde(default)]
    pub macros: IndexMap<String, String>,
}

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptionType {
    /// One text.
    Text,
    /// A list of texts.
    Texts,
    /// One whole number.
    Integer,
    /// A list of whole numbers.
    Integers,
    /// Yes or no.
    Boolean,
}

/// `[preset.options.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionSpec {
    /// Its type.
    pub r#type: OptionType,
    /// What it is when the merchant does not say.
    pub default: toml::Value,
    /// What it does, one line.
    pub description: String,
    /// Text: only these.
    #[serde(default)]
    pub choices: Vec<String>,
}

/// The rest of a preset: keys of a configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Brings {
    shop: BringsShop,
    eshop_info: BringsInfo,
    writeback: BringsWriteback,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BringsShop {
    source: BringsSource,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BringsSource {
    table_prefix: Option<String>,
    send_when: Option<Vec<Scalar>>,
    r#final: Option<Vec<Scalar>>,
    times: Option<Times>,
    cursor: Option<Cursor>,
    orders: Option<config::Query>,
    items: Option<config::Query>,
    lookup: Option<config::Query>,
    extra: Option<config::Query>,
    records: Option<Records>,
    map: IndexMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BringsInfo {
    statuses: Vec<config::StatusEntry>,
    shipping: Vec<config::ShippingEntry>,
    payments: Vec<config::PaymentEntry>,
    queries: config::Queries,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct BringsWriteback {
    protect: Option<Vec<Scalar>>,
    status_map: Option<IndexMap<String, String>>,
    #[serde(flatten)]
    handlers: IndexMap<String, BringsHandler>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BringsHandler {
    sql: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    preset: Head,
    #[serde(default)]
    shop: BringsShop,
    #[serde(default)]
    eshop_info: BringsInfo,
    #[serde(default)]
    writeback: BringsWriteback,
}

/// The presets in the binary.
pub fn presets() -> Vec<Summary> {
    EMBEDDED
        .iter()
        .filter_map(|(name, text)| parse(name, text).ok())
        .map(|preset| Summary {
            name: preset.head.name,
            description: preset.head.description,
            kind: kind_word(preset.head.kind).to_owned(),
        })
        .collect()
}

/// The text of a preset in the binary, as it can be copied and changed.
///
/// # Errors
/// No preset has this name.
pub fn show(name: &str) -> Result<&'static str, PresetProblem> {
    EMBEDDED
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
        .ok_or_else(|| unknown(name))
}

/// Loads a preset of the binary by its name, or one of the merchant's own by its path (relative to `base`, the folder
/// of the configuration). What has a slash or ends in `.toml` is a path.
///
/// # Errors
/// There is none, or it is not in the form of a preset.
pub fn load(name: &str, base: &Path) -> Result<Preset, PresetProblem> {
    if !name.contains('/') && !name.ends_with(".toml") {
        return parse(name, show(name)?);
    }
    let path: PathBuf = base.join(name);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        PresetProblem::new(
            "shop.source.preset",
            format!("cannot read `{}`: {error}", path.display()),
        )
        .hint("give the path of a preset file, or one of the names in `brani-sync presets list`")
    })?;
    parse(name, &text)
}

fn parse(name: &str, text: &str) -> Result<Preset, PresetProblem> {
    let wrong = |message: String| {
        PresetProblem::new(format!("preset `{name}`"), message)
            .hint("`docs/presets.md` describes the form of a preset")
    };
    let reader =
        toml::Deserializer::parse(text).map_err(|error| wrong(error.to_string().trim().to_owned()))?;
    let file: File = serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        wrong(format!("`{path}`: {}", error.into_inner().message()))
    })?;
    if file.preset.facts.len() > MAX_FACTS {
        return Err(wrong(format!(
            "{} facts are more than {MAX_FACTS}",
            file.preset.facts.len()
        )));
    }
    if file.preset.facts.is_empty() == file.preset.detect.is_some() {
        return Err(wrong("`facts` and `detect` go together".to_owned()));
    }
    for event in file.writeback.handlers.keys() {
        if !expand::HANDLERS.contains(&event.as_str()) {
            return Err(wrong(format!("`writeback.{event}` is no handler")));
        }
    }
    Ok(Preset {
        head: file.preset,
        brings: Brings {
            shop: file.shop,
            eshop_info: file.eshop_info,
            writeback: file.writeback,
        },
    })
}

/// The variant of a shop whose `detect` answered this; none where the answer holds an unknown word.
pub fn choose<'a>(variants: &'a [Variant], answer: &str) -> Option<&'a Variant> {
    let found: BTreeSet<&str> = answer.split_whitespace().collect();
    variants
        .iter()
        .find(|variant| variant.facts.iter().map(String::as_str).collect::<BTreeSet<_>>() == found)
}

fn unknown(name: &str) -> PresetProblem {
    let names: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
    let near = names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, name), *known))
        .min()
        .filter(|(distance, _)| *distance <= 4);
    PresetProblem::new("shop.source.preset", format!("there is no preset `{name}`")).hint(match near {
        Some((_, near)) => format!("did you mean `{near}`?"),
        None => format!("one of {}, or the path of a preset file", names.join(", ")),
    })
}

fn kind_word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Mysql => "mysql",
        SourceKind::Postgres => "postgres",
        SourceKind::Sqlite => "sqlite",
        SourceKind::Xml => "xml",
        SourceKind::Csv => "csv",
        SourceKind::Json => "json",
    }
}

/// A prefix is put into SQL as it is, so it may hold nothing that SQL could read.
fn checked_prefix(prefix: &str) -> Result<(), PresetProblem> {
    let fine = prefix.len() <= 64
        && prefix
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fine {
        return Ok(());
    }
    Err(PresetProblem::new(
        "shop.source.table_prefix",
        format!("`{}` is not a table prefix", prefix.escape_debug()),
    )
    .hint("letters, digits and `_`, at most 64"))
}
