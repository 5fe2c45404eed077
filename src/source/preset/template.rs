//! The placeholders of a preset's SQL: `{prefix}`, `{option:NAME}`, macros, `{if COND}…{else}…{end}`.
//!
//! Text in, text out. An option enters as a quoted literal and never as it is. Knows no configuration and no database.

use indexmap::IndexMap;
use std::collections::BTreeSet;

/// The value of an option after it has been checked against what the preset says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// One text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// One whole number.
    Integer(i64),
    /// A list of whole numbers.
    Integers(Vec<i64>),
    /// Yes or no.
    Boolean(bool),
}

impl OptionValue {
    /// Not empty, zero or false.
    fn holds(&self) -> bool {
        match self {
            OptionValue::Text(text) => !text.is_empty(),
            OptionValue::Texts(list) => !list.is_empty(),
            OptionValue::Integer(number) => *number != 0,
            OptionValue::Integers(list) => !list.is_empty(),
            OptionValue::Boolean(flag) => *flag,
        }
    }

    /// What `{if NAME=value}` compares with; lists compare with none.
    fn plain(&self) -> Option<String> {
        match self {
            OptionValue::Text(text) => Some(text.clone()),
            OptionValue::Integer(number) => Some(number.to_string()),
            OptionValue::Boolean(flag) => Some(flag.to_string()),
            OptionValue::Texts(_) | OptionValue::Integers(_) => None,
        }
    }
}

/// The language that literals are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL and MariaDB: a backslash escapes.
    Mysql,
    /// PostgreSQL and SQLite: it does not.
    Standard,
    /// The templates of exports.
    Template,
}

/// What placeholders stand for.
#[derive(Clone, Copy, Debug)]
pub struct Meanings<'a> {
    /// `{prefix}`, already validated.
    pub prefix: &'a str,
    /// `{option:NAME}`.
    pub options: &'a IndexMap<String, OptionValue>,
    /// `{NAME}` and `{NAME:argument}`.
    pub macros: &'a IndexMap<String, String>,
    /// The facts that the preset knows.
    pub facts: &'a [String],
    /// Those that hold.
    pub holding: &'a BTreeSet<String>,
    /// Whether this is the query by codes.
    pub lookup: bool,
    /// How literals are written.
    pub dialect: Dialect,
}

/// Macros within macros are allowed this deep.
const DEPTH: usize = 8;

/// Puts the meanings in.
///
/// # Errors
/// A sentence that says which placeholder cannot be understood.
pub fn render(text: &str, meanings: &Meanings<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len() * 2);
    Renderer {
        meanings,
        it: None,
        depth: 0,
    }
    .render(text, &mut out)?;
    Ok(out)
}

struct Renderer<'a> {
    meanings: &'a Meanings<'a>,
    it: Option<&'a str>,
    depth: usize,
}

/// One open `{if}`.
struct Branch {
    /// The branch being read is wanted (and all around it are).
    live: bool,
    /// The `{else}` branch will be wanted.
    otherwise: bool,
    /// `{else}` has been read.
    turned: bool,
}

impl Renderer<'_> {
    fn render(&self, text: &str, out: &mut String) -> Result<(), String> {
        let mut branches: Vec<Branch> = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let live = branches.last().is_none_or(|branch| branch.live);
            if live {
                out.push_str(&rest[..start]);
            }
            let after = &rest[start..];
            let Some(inside) = placeholder(after) else {
                // a brace of the SQL or the template itself; a doubled one goes over as it stands
                let width = if after.starts_with("{{") { 2 } else { 1 };
                if live {
                    out.push_str(&after[..width]);
                }
                rest = &after[width..];
                continue;
            };
            rest = &after[inside.len() + 2..];
            if let Some(condition) = inside.strip_prefix("if ") {
                let (this, other) = if live {
                    let holds = self.condition(condition.trim())?;
                    (holds, !holds)
                } else {
                    (false, false)
                };
                branches.push(Branch {
                    live: this,
                    otherwise: other,
                    turned: false,
                });
            } else if inside == "else" {
                match branches.last_mut() {
                    Some(branch) if !branch.turned => {
                        branch.live = branch.otherwise;
                        branch.turned = true;
                    }
                    _ => return Err("`{else}` stands outside of an `{if}`".to_owned()),
                }
            } else if inside == "end" {
                if branches.pop().is_none() {
                    return Err("`{end}` has no `{if}`".to_owned());
                }
            } else if live {
                self.place(inside, out)?;
            }
        }
        out.push_str(rest);
        if branches.is_empty() {
            Ok(())
        } else {
            Err("an `{if}` has no `{end}`".to_owned())
        }
    }

    fn condition(&self, text: &str) -> Result<bool, String> {
        if let Some(rest) = text.strip_prefix("not ") {
            return self.condition(rest.trim()).map(|holds| !holds);
        }
        if text == "lookup" {
            return Ok(self.meanings.lookup);
        }
        if self.meanings.facts.iter().any(|fact| fact == text) {
            return Ok(self.meanings.holding.contains(text));
        }
        let (name, wanted) = match text.split_once('=') {
            Some((name, wanted)) => (name.trim(), Some(wanted.trim())),
            None => (text, None),
        };
        let Some(value) = self.meanings.options.get(name) else {
            return Err(format!(
                "`{{if {text}}}`: `{name}` is neither a fact nor an option"
            ));
        };
        match wanted {
            None => Ok(value.holds()),
            Some(wanted) => match value.plain() {
                Some(found) => Ok(found == wanted),
                None => Err(format!("`{{if {text}}}`: the option `{name}` is a list")),
            },
        }
    }

    fn place(&self, inside: &str, out: &mut String) -> Result<(), String> {
        if inside == "prefix" {
            out.push_str(self.meanings.prefix);
            return Ok(());
        }
        if inside == "it" {
            return match self.it {
                Some(argument) => {
                    out.push_str(argument);
                    Ok(())
                }
                None => Err("`{it}` stands outside of a macro with an argument".to_owned()),
            };
        }
        if let Some(name) = inside.strip_prefix("option:") {
            return match self.meanings.options.get(name) {
                Some(value) => {
                    out.push_str(&literal(value, self.meanings.dialect));
                    Ok(())
                }
                None => Err(format!("`{{option:{name}}}`: there is no such option")),
            };
        }
        let (name, argument) = match inside.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (inside, None),
        };
        let Some(body) = self.meanings.macros.get(name) else {
            return Err(format!("`{{{inside}}}` is no placeholder"));
        };
        if self.depth >= DEPTH {
            return Err(format!("the macro `{name}` uses itself"));
        }
        let argument = match argument {
            Some(argument) => {
                let mut text = String::new();
                self.render(argument, &mut text)?;
                Some(text)
            }
            None => None,
        };
        Renderer {
            meanings: self.meanings,
            it: argument.as_deref(),
            depth: self.depth + 1,
        }
        .render(body, out)
    }
}

/// The inside of the placeholder at the start of a text that begins with `{`; braces within count. None where it is
/// a brace of another language.
fn placeholder(text: &str) -> Option<&str> {
    let first = text.as_bytes().get(1)?;
    if !first.is_ascii_lowercase() {
        return None;
    }
    let mut depth = 0usize;
    for (place, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(&text[1..place]);
                }
            }
            _ => {}
        }
    }
    None
}

/// A value as a literal that nothing can break out of.
pub fn literal(value: &OptionValue, dialect: Dialect) -> String {
    let list = |parts: Vec<String>| match dialect {
        Dialect::Template => format!("[{}]", parts.join(", ")),
        _ if parts.is_empty() => "NULL".to_owned(),
        _ => parts.join(", "),
    };
    match value {
        OptionValue::Text(text) => quote(text, dialect),
        OptionValue::Texts(texts) => list(texts.iter().map(|text| quote(text, dialect)).collect()),
        OptionValue::Integer(number) => number.to_string(),
        OptionValue::Integers(numbers) => list(numbers.iter().map(i64::to_string).collect()),
        OptionValue::Boolean(flag) => match dialect {
            Dialect::Template => flag.to_string(),
            _ => flag.to_string().to_uppercase(),
        },
    }
}

fn quote(text: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Mysql => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
        Dialect::Standard => format!("'{}'", text.replace('\'', "''")),
        Dialect::Template => serde_json::Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, holding: &[&str], lookup: bool) -> Result<String, String> {
        let options: IndexMap<String, OptionValue> = [
            (
                "cod".to_owned(),
                OptionValue::Texts(vec!["cod".to_owned(), "it's \\ '; DROP TABLE x; -- ".to_owned()]),
            ),
            ("none".to_owned(), OptionValue::Texts(Vec::new())),
            ("ids".to_owned(), OptionValue::Integers(vec![3, -1])),
            ("code".to_owned(), OptionValue::Text("id".to_owned())),
            ("yes".to_owned(), OptionValue::Boolean(true)),
        ]
        .into_iter()
        .collect();
        let macros: IndexMap<String, String> = [
            ("plain".to_owned(), "TRIM({it})".to_owned()),
            ("twice".to_owned(), "{plain:{it}}, {plain:{it}}".to_owned()),
            ("round".to_owned(), "{round}".to_owned()),
        ]
        .into_iter()
        .collect();
        let facts = ["new".to_owned(), "points".to_owned()];
        let holding: BTreeSet<String> = holding.iter().map(|fact| (*fact).to_owned()).collect();
        render(
            text,
            &Meanings {
                prefix: "wp_",
                options: &options,
                macros: &macros,
                facts: &facts,
                holding: &holding,
                lookup,
                dialect: Dialect::Mysql,
            },
        )
    }

    #[test]
    fn options_become_literals_that_nothing_can_break_out_of() {
        assert_eq!(
            rendered("x IN ({option:cod})", &[], false).unwrap(),
            "x IN ('cod', 'it''s \\\\ ''; DROP TABLE x; -- ')"
        );
        assert_eq!(rendered("{option:none}", &[], false).unwrap(), "NULL");
        assert_eq!(
            rendered("{option:ids} {option:yes}", &[], false).unwrap(),
            "3, -1 TRUE"
        );
        let text = OptionValue::Text("a\"b'c\\".to_owned());
        assert_eq!(literal(&text, Dialect::Standard), "'a\"b''c\\'");
        assert_eq!(literal(&text, Dialect::Template), r#""a\"b'c\\""#);
        assert_eq!(
            literal(&OptionValue::Texts(vec!["a".to_owned()]), Dialect::Template),
            r#"["a"]"#
        );
    }

    #[test]
    fn branches_follow_facts_options_and_lookup() {
        let text = "{if new}N{if points}P{else}p{end}{else}O{end}{if not new}!{end}{if code=id}#{end}{if lookup}L{end}";
        assert_eq!(rendered(text, &[], false).unwrap(), "O!#");
        assert_eq!(rendered(text, &["new"], true).unwrap(), "Np#L");
        assert_eq!(rendered(text, &["new", "points"], false).unwrap(), "NP#");
        assert_eq!(rendered("{if none}a{else}b{end}", &[], false).unwrap(), "b");
    }

    #[test]
    fn macros_take_arguments_with_placeholders() {
        assert_eq!(
            rendered("{twice:{prefix}o.name}", &[], false).unwrap(),
            "TRIM(wp_o.name), TRIM(wp_o.name)"
        );
        assert!(
            rendered("{round}", &[], false)
                .unwrap_err()
                .contains("uses itself")
        );
    }

    #[test]
    fn braces_of_other_languages_are_left_alone() {
        let text = "{{ CODE }} '{\"a\": {\"b\": 1}}' {% if X %}";
        assert_eq!(rendered(text, &[], false).unwrap(), text);
    }

    #[test]
    fn what_is_no_placeholder_is_named() {
        for (text, says) in [
            ("{prefx}", "`{prefx}` is no placeholder"),
            ("{option:nobody}", "`{option:nobody}`: there is no such option"),
            ("{if nobody}{end}", "`nobody` is neither a fact nor an option"),
            ("{if new}", "has no `{end}`"),
            ("{end}", "has no `{if}`"),
            ("{if new}{else}{else}{end}", "outside of an `{if}`"),
            ("{it}", "outside of a macro"),
        ] {
            assert!(
                rendered(text, &["new"], false).unwrap_err().contains(says),
                "{text}"
            );
        }
    }
}
