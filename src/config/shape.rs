//! From merged values to the typed structure: unknown keys, wrong kinds, what does not parse. A wrong value is
//! noted and replaced by a harmless one, so that reading goes on and finds the next. Knows no files.

use super::Config;
use super::load::related;
use super::place::{KeyPath, Step};
use super::problem::Problem;
use super::schema::{self, Node};
use super::secret::is_secret_url;
use serde_json::Value;

/// Unknown keys and values of the wrong kind, all of them; what is wrong is taken out.
pub(crate) fn check_shape(
    root: &Node,
    merged: &mut Value,
    defaults: &Value,
    schema: &Node,
    problems: &mut Vec<Problem>,
) {
    let mut bad = Vec::new();
    let all = schema.paths();
    shape(root, merged, &KeyPath::default(), &all, &mut bad);
    // from the back, so that nothing moves under a path that is still to come
    for (path, problem) in bad.into_iter().rev() {
        if problem.rule == UNKNOWN {
            remove(merged, &path);
        } else {
            repair(merged, &path, 0, defaults, schema);
        }
        problems.push(problem);
    }
}

const UNKNOWN: &str = "is not a known setting";

fn shape(node: &Node, value: &Value, path: &KeyPath, all: &[String], bad: &mut Vec<(KeyPath, Problem)>) {
    let wrong = |found: Option<String>, rule: &str, hint: &str| {
        (path.clone(), Problem::new(path.to_string(), found, rule, hint))
    };
    let shown = || plain(value);
    match (node, value) {
        (Node::Struct(fields), Value::Object(table)) => {
            for (key, value) in table {
                match fields.iter().find(|(name, _)| name == key) {
                    Some((_, node)) => shape(node, value, &path.key(key), all, bad),
                    None => {
                        let path = path.key(key);
                        let hint = unknown_hint(key, &path, fields, all);
                        bad.push((path.clone(), Problem::new(path.to_string(), None, UNKNOWN, hint)));
                    }
                }
            }
        }
        (Node::Map(inner), Value::Object(table)) => {
            for (key, value) in table {
                shape(inner, value, &path.key(key), all, bad);
            }
        }
        (Node::Struct(_) | Node::Map(_), _) => {
            bad.push(wrong(
                None,
                "is not a table",
                "write it as [table] or { key = value }",
            ));
        }
        (Node::Seq(inner), Value::Array(values)) => {
            for (index, value) in values.iter().enumerate() {
                shape(inner, value, &path.index(index), all, bad);
            }
        }
        (Node::Seq(_), _) => bad.push(wrong(shown(), "is not a list", "put it in [ ]")),
        (Node::Bool, Value::Bool(_)) | (Node::Float, Value::Number(_)) | (Node::Text, Value::String(_)) => {}
        (Node::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => {}
        (Node::Choice(words), Value::String(word)) if words.contains(&word.as_str()) => {}
        (Node::Bool, _) => bad.push(wrong(
            shown(),
            "is neither true nor false",
            "write true or false, without quotes",
        )),
        (Node::Integer, _) => {
            bad.push(wrong(
                shown(),
                "is not a whole number",
                "write a whole number, without quotes",
            ));
        }
        (Node::Float, _) => bad.push(wrong(
            shown(),
            "is not a number",
            "write a number, without quotes",
        )),
        (Node::Text, _) => bad.push(wrong(shown(), "is not text", "put it in quotes")),
        (Node::Choice(words), found) => {
            let hint = match found
                .as_str()
                .and_then(|word| schema::nearest(word, words.iter().copied()))
            {
                Some(near) => format!("did you mean \"{near}\"? possible: {}", words.join(", ")),
                None => format!("write one of {}", words.join(", ")),
            };
            bad.push(wrong(shown(), "is not one of the possible words", &hint));
        }
        (Node::Secret, Value::String(_)) => {}
        (Node::Secret, Value::Object(table)) => {
            let known = ["credential", "file", "env"];
            for (key, value) in table {
                if !known.contains(&key.as_str()) {
                    let path = path.key(key);
                    let hint = match schema::nearest(key, known) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "a secret has one of credential, file, env".to_owned(),
                    };
                    bad.push((path.clone(), Problem::new(path.to_string(), None, UNKNOWN, hint)));
                } else if !value.is_string() {
                    let path = path.key(key);
                    bad.push((
                        path.clone(),
                        Problem::new(path.to_string(), None, "is not text", "put it in quotes"),
                    ));
                }
            }
            let usable = table.keys().filter(|key| known.contains(&key.as_str())).count();
            if usable > 1 || (usable == 0 && table.is_empty()) {
                bad.push(wrong(
                    None,
                    "has not exactly one of `credential`, `file`, `env`",
                    "say one place where the secret is found",
                ));
            }
        }
        (Node::Secret, _) => bad.push(wrong(
            None,
            "is no secret",
            "write { credential = \"name\" }, { file = \"path\" }, { env = \"NAME\" } or text in quotes",
        )),
        (Node::Any(_), _) => {}
    }
}

fn unknown_hint(key: &str, path: &KeyPath, fields: &[(&'static str, Node)], all: &[String]) -> String {
    if let Some(near) = schema::nearest(key, fields.iter().map(|(name, _)| *name)) {
        return format!("did you mean `{near}`?");
    }
    if let Some(elsewhere) = all.iter().find(|known| known.rsplit('.').next() == Some(key)) {
        return format!("the key of that name is `{elsewhere}`");
    }
    if let Some(near) = schema::nearest(&path.to_string(), all.iter().map(String::as_str)) {
        return format!("did you mean `{near}`? else take it out");
    }
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    format!("take it out; known here: {}", names.join(", "))
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.len() <= 80 && !has_password(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Reads the structure; what does not parse is noted, replaced by something that does, and read again.
pub(crate) fn deserialize(
    merged: &mut Value,
    defaults: &Value,
    schema: &Node,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    let mut tried: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for _ in 0..500 {
        let error = match serde_path_to_error::deserialize::<_, Config>(&*merged) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let mut path = KeyPath::from(error.path());
        let message = error.inner().to_string();
        let missing = message
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next());
        if let Some(field) = missing {
            path = path.key(field);
        }
        let text = path.to_string();
        let times = tried.entry(text.clone()).or_default();
        if *times == 0 && !problems.iter().any(|known| related(&known.path, &text)) {
            problems.push(if missing.is_some() {
                Problem::new(text, None, "is required", "write it")
            } else {
                let found = path.get(merged).and_then(plain);
                let found = found.filter(|_| !matches!(path.node(schema), Some(Node::Secret)));
                explain(&path, found, &message)
            });
        }
        let attempt = *times + usize::from(missing.is_some());
        *times += 1;
        repair(merged, &path, attempt, defaults, schema);
    }
    if problems.is_empty() {
        problems.push(Problem::new(
            "",
            None,
            "the configuration cannot be read",
            "compare it with the documentation",
        ));
    }
    None
}

/// Turns serde's words into rule and hint.
fn explain(path: &KeyPath, found: Option<String>, message: &str) -> Problem {
    let text = path.to_string();
    let (rule, hint) = if message.contains("Decimal") {
        (
            "is not a decimal number".to_owned(),
            "write it with a dot and no unit, e.g. \"0.250\"".to_owned(),
        )
    } else if text.ends_with("url") {
        (
            "is not a URL".to_owned(),
            "write a whole URL, e.g. \"https://shop.example.cz/brani\"".to_owned(),
        )
    } else if let (Some(value), true) = (&found, message.starts_with('`')) {
        let rest = message.strip_prefix(&format!("`{value}` ")).unwrap_or(message);
        match rest.split_once("; ") {
            Some((rule, hint)) => (rule.to_owned(), hint.to_owned()),
            None => (rest.to_owned(), "write one of these".to_owned()),
        }
    } else if let Some((_, expected)) = message.rsplit_once("expected ") {
        (
            "is not what belongs here".to_owned(),
            format!("expected: {expected}"),
        )
    } else {
        ("cannot be used".to_owned(), message.to_owned())
    };
    Problem::new(text, found, rule, hint)
}

fn remove(value: &mut Value, path: &KeyPath) {
    let Some((parent, last)) = path.parent() else {
        return;
    };
    match (parent.get_mut(value), last) {
        (Some(Value::Object(table)), Step::Key(key)) => {
            table.shift_remove(key);
        }
        (Some(Value::Array(values)), Step::Index(index)) if *index < values.len() => {
            values.remove(*index);
        }
        _ => {}
    }
}

/// Puts something harmless in place of a wrong value, so that reading can go on and find the next problem.
fn repair(merged: &mut Value, path: &KeyPath, attempt: usize, defaults: &Value, schema: &Node) {
    let Some((parent, last)) = path.parent() else {
        return;
    };
    let substitute = match attempt {
        0 => match (path.get(defaults), last) {
            (Some(default), _) => Some(default.clone()),
            (None, Step::Key(_)) => {
                remove(merged, path);
                return;
            }
            (None, Step::Index(_)) => path.node(schema).map(|node| dummy(node, 0)),
        },
        attempt if attempt < 5 => path.node(schema).map(|node| dummy(node, attempt)),
        _ => None,
    };
    match (substitute, parent.get_mut(merged), last) {
        (Some(value), Some(Value::Object(table)), Step::Key(key)) => {
            table.insert(key.clone(), value);
        }
        (Some(value), Some(Value::Array(values)), Step::Index(index)) if *index < values.len() => {
            values[*index] = value;
        }
        _ => match parent.parent() {
            // beyond mending: without the whole table, the rest can still be read
            Some(_) => match parent.get(defaults) {
                Some(default) => {
                    if let Some(place) = parent.get_mut(merged) {
                        *place = default.clone();
                    }
                }
                None => remove(merged, &parent),
            },
            None => remove(merged, path),
        },
    }
}

fn dummy(node: &Node, attempt: usize) -> Value {
    match node {
        Node::Struct(_) | Node::Map(_) => Value::Object(serde_json::Map::new()),
        Node::Seq(_) => Value::Array(Vec::new()),
        Node::Bool => Value::Bool(false),
        Node::Integer | Node::Float => Value::from(1),
        Node::Choice(words) => words.first().map_or(Value::Null, |word| Value::from(*word)),
        Node::Text | Node::Secret | Node::Any(_) => {
            Value::from(["1s", "https://repaired.invalid/", "1", "UTC", "1h"][attempt.min(4)])
        }
    }
}

pub(crate) fn has_password(text: &str) -> bool {
    text.contains("://") && text.contains('@') && is_secret_url(text)
}
