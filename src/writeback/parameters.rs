//! What a call says, by the names that templates, programs and files see, and the templates themselves.
//!
//! This room knows the names and how a value is written into a URL or a body. It sends nothing and opens nothing.

use super::Call;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value as Jinja};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// The parameters that a handler's template may name.
pub const NAMES: &[&str] = &[
    "key",
    "code",
    "event",
    "event_id",
    "created",
    "now",
    "status_id",
    "status",
    "package_number",
    "package_numbers",
    "text",
    "reason",
    "state",
    "state_name",
    "at",
    "more",
];

/// Those of [`NAMES`] that a call carries in [`Call::more`].
const IN_MORE: [&str; 3] = ["state", "state_name", "at"];

/// Functions of the template language; they are no parameters.
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];

/// A handler that cannot be built from its settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{setting}`: {problem}")]
pub struct SettingError {
    /// The key's path, e.g. `writeback.balic_packed.http.url`.
    pub setting: String,
    /// What is wrong with it and what to do.
    pub problem: String,
}

impl SettingError {
    /// A problem of one setting.
    pub fn new(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            problem: problem.into(),
        }
    }
}

/// A moment on the shop's wall clock (or UTC where `times = "utc"`), as `:now` is written.
pub fn wall_clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// Every parameter of a call by its name; `null` where the event has none, so that a name is always there.
pub fn of(call: &Call, zone: &TimeZone) -> Map<String, Value> {
    let text = |value: Option<&str>| value.map_or(Value::Null, |text| Value::String(text.to_owned()));
    let number = |value: Option<i64>| value.map_or(Value::Null, Value::from);
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("key", text(call.key.as_ref().map(|key| key.as_str())));
    put("code", text(call.code.as_ref().map(|code| code.as_str())));
    put("event", Value::String(call.event.clone()));
    put("event_id", number(call.event_id.map(|id| id.0)));
    put("created", text(call.created.as_deref()));
    put("now", Value::String(wall_clock(call.now, zone)));
    put("status_id", number(call.status_id.map(|id| id.0)));
    put("status", text(call.status.as_ref().map(|status| status.as_str())));
    put("package_number", text(call.package_number.as_deref()));
    put("package_numbers", text(call.package_numbers.as_deref()));
    put("text", text(call.text.as_deref()));
    put("reason", text(call.reason.as_deref()));
    for name in IN_MORE {
        put(name, call.more.get(name).cloned().unwrap_or(Value::Null));
    }
    put("more", Value::Object(call.more.clone()));
    all
}

/// How a value is written where a template names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Percent-encoded; an absent value is an error, for an address without it is another address.
    Url,
    /// As the inside of a JSON string; the `tojson` filter writes a whole JSON value.
    Json,
    /// Percent-encoded form field.
    Form,
    /// With XML's entities.
    Xml,
    /// As it is.
    Plain,
}

impl Escape {
    /// The one that fits a body of this content type.
    pub fn of_content_type(content_type: &str) -> Self {
        let kind = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match kind.as_str() {
            "application/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            "text/html" | "text/xml" | "application/xml" => Self::Xml,
            kind if kind.ends_with("+json") => Self::Json,
            kind if kind.ends_with("+xml") => Self::Xml,
            _ => Self::Plain,
        }
    }
}

/// A template that was compiled once and names known parameters only.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    escape: Escape,
}

impl Template {
    /// Compiles `source`, the value of `setting`.
    ///
    /// # Errors
    /// When it is no template, or names a parameter that is not in `names`.
    pub fn new(setting: &str, source: &str, escape: Escape, names: &[&str]) -> Result<Self, SettingError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_keep_trailing_newline(true);
        environment.add_filter("tojson", |value: &Jinja| {
            to_json(value).map(Jinja::from_safe_string)
        });
        environment.set_formatter(move |out, _, value| {
            let mut written = String::new();
            write(&mut written, value, escape)?;
            out.write_str(&written).map_err(minijinja::Error::from)
        });
        environment
            .add_template_owned("it", source.to_owned())
            .map_err(|error| SettingError::new(setting, format!("is not a template: {}", plain(&error))))?;
        let this = Self { environment, escape };
        let mut unknown: Vec<String> = this
            .template()
            .map_err(|error| SettingError::new(setting, plain(&error)))?
            .undeclared_variables(false)
            .into_iter()
            .filter(|name| !names.contains(&name.as_str()) && !FUNCTIONS.contains(&name.as_str()))
            .collect();
        unknown.sort();
        match unknown.first() {
            Some(name) => Err(SettingError::new(
                setting,
                format!(
                    "there is no parameter `{name}`; use one of {}{}",
                    names.join(", "),
                    if names.contains(&"more") {
                        " (a general event's own fields are `more.name`)"
                    } else {
                        ""
                    }
                ),
            )),
            None => Ok(this),
        }
    }

    /// Fills it in.
    ///
    /// # Errors
    /// One sentence; it holds names of parameters, never their values.
    pub fn render(&self, parameters: &Map<String, Value>) -> Result<String, String> {
        // In an address an absent value must not become an empty segment, so there it is undefined, and strictness
        // speaks up (`{{ text | default("") }}` is the way to allow it).
        let context: Map<String, Value> = if self.escape == Escape::Url {
            parameters
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        } else {
            parameters.clone()
        };
        self.template()
            .and_then(|template| template.render(Jinja::from_serialize(&context)))
            .map_err(|error| match error.kind() {
                ErrorKind::UndefinedError => {
                    "it names a parameter that this event does not have; give one that it has, or write `| default(\"\")`"
                        .to_owned()
                }
                _ => plain(&error),
            })
    }

    fn template(&self) -> Result<minijinja::Template<'_, '_>, minijinja::Error> {
        self.environment.get_template("it")
    }
}

/// An error of the template language in one line and without the values it met.
fn plain(error: &minijinja::Error) -> String {
    let line = error
        .line()
        .map(|line| format!(" (line {line})"))
        .unwrap_or_default();
    match error.kind() {
        // Their details name syntax, a filter or a test, and our own words: nothing of the event.
        ErrorKind::SyntaxError | ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::BadEscape => {
            format!("{}{line}", error.detail().unwrap_or("bad syntax"))
        }
        kind => format!("{kind}{line}"),
    }
}

fn to_json(value: &Jinja) -> Result<String, minijinja::Error> {
    serde_json::to_string(value).map_err(|_| {
        minijinja::Error::new(
            ErrorKind::BadSerialization,
            "this value cannot be written as JSON",
        )
    })
}

fn write(out: &mut String, value: &Jinja, escape: Escape) -> Result<(), minijinja::Error> {
    let text = match value.kind() {
        ValueKind::Undefined => return Err(ErrorKind::UndefinedError.into()),
        ValueKind::None => String::new(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => to_json(value)?,
        _ => match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        },
    };
    // The template's author asked for it as it is (`| safe`, `| tojson`); an address takes nothing unencoded that
    // came from an event, so there only the encoding of its own text counts.
    if value.is_safe() && escape != Escape::Url {
        out.push_str(&text);
        return Ok(());
    }
    match escape {
        Escape::Url if text == "." || text == ".." => {
            return Err(minijinja::Error::new(
                ErrorKind::BadEscape,
                "a value is `.` or `..`, which would lead to another address",
            ));
        }
        Escape::Url | Escape::Form => percent_encode(out, &text),
        Escape::Json => {
            let quoted = serde_json::Value::String(text).to_string();
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
        Escape::Xml => {
            for c in text.chars() {
                match c {
                    '&' => out.push_str("&amp;"),
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '"' => out.push_str("&quot;"),
                    '\'' => out.push_str("&#39;"),
                    c => out.push(c),
                }
            }
        }
        Escape::Plain => out.push_str(&text),
    }
    Ok(())
}

/// Everything but the unreserved characters of RFC 3986.
fn percent_encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(pairs: Value) -> Map<String, Value> {
        pairs.as_object().unwrap().clone()
    }

    fn render(source: &str, escape: Escape, pairs: Value) -> Result<String, String> {
        Template::new("s", source, escape, NAMES)
            .unwrap()
            .render(&with(pairs))
    }

    #[test]
    fn unknown_parameter_is_refused_with_setting_and_name() {
        let error = Template::new(
            "writeback.balic_packed.http.url",
            "https://x/{{ cod }}",
            Escape::Url,
            NAMES,
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("`writeback.balic_packed.http.url`"), "{error}");
        assert!(error.contains("`cod`"), "{error}");
    }

    #[test]
    fn broken_template_is_refused_with_its_setting() {
        let error = Template::new("a.b", "{{ code", Escape::Json, NAMES).unwrap_err();
        assert_eq!(error.setting, "a.b");
    }

    #[test]
    fn url_values_are_percent_encoded_even_when_called_safe() {
        let url = render(
            "/o/{{ code }}?t={{ text|safe }}",
            Escape::Url,
            json!({"code": "a/b?č ", "text": "x&y=1"}),
        );
        assert_eq!(url.unwrap(), "/o/a%2Fb%3F%C4%8D%20?t=x%26y%3D1");
    }

    #[test]
    fn url_with_an_absent_value_is_refused_unless_a_default_is_given() {
        assert!(render("/o/{{ code }}", Escape::Url, json!({"code": null})).is_err());
        assert_eq!(
            render("/o/{{ code|default('-') }}", Escape::Url, json!({"code": null})).unwrap(),
            "/o/-"
        );
    }

    #[test]
    fn url_value_cannot_climb() {
        assert!(render("/o/{{ code }}/x", Escape::Url, json!({"code": ".."})).is_err());
    }

    #[test]
    fn json_body_cannot_be_broken_by_a_value() {
        let evil = "x\",\"admin\":\"1\n";
        let body = render(
            r#"{"text":"{{ text }}","id":{{ event_id }}}"#,
            Escape::Json,
            json!({"text": evil, "event_id": 7}),
        );
        let back: Value = serde_json::from_str(&body.unwrap()).unwrap();
        assert_eq!(back, json!({"text": evil, "id": 7}));
        let body = render(
            r#"{"text":{{ text|tojson }},"all":{{ more|tojson }},"none":{{ code|tojson }}}"#,
            Escape::Json,
            json!({"text": evil, "more": {"a": [1, null]}, "code": null}),
        );
        let back: Value = serde_json::from_str(&body.unwrap()).unwrap();
        assert_eq!(back, json!({"text": evil, "all": {"a": [1, null]}, "none": null}));
    }

    #[test]
    fn errors_of_rendering_do_not_show_values() {
        let error = render("{{ text + 1 }}", Escape::Plain, json!({"text": "Jana Vymyšlená"})).unwrap_err();
        assert!(!error.contains("Jana"), "{error}");
    }

    #[test]
    fn escape_follows_the_content_type() {
        assert_eq!(
            Escape::of_content_type("Application/JSON; charset=utf-8"),
            Escape::Json
        );
        assert_eq!(
            Escape::of_content_type("application/x-www-form-urlencoded"),
            Escape::Form
        );
        assert_eq!(Escape::of_content_type("text/xml"), Escape::Xml);
        assert_eq!(Escape::of_content_type("text/plain"), Escape::Plain);
        assert_eq!(
            render("a={{ text }}", Escape::Form, json!({"text": "1&b=2"})).unwrap(),
            "a=1%26b%3D2"
        );
        assert_eq!(
            render("<a>{{ text }}</a>", Escape::Xml, json!({"text": "<&"})).unwrap(),
            "<a>&lt;&amp;</a>"
        );
    }
}
