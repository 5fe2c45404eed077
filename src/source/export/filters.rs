//! What templates can do to a field: money, dates, countries, house numbers.
//!
//! Every filter takes the empty text for what is absent and gives the empty text back. An error never quotes
//! more of a value than a number or a code would be.

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};
use rust_decimal::Decimal;
use std::str::FromStr;

/// Makes the filters known to templates.
pub fn install(env: &mut Environment<'_>) {
    env.add_filter("money", money);
    env.add_filter("decimal", decimal);
    env.add_filter("date", date);
    env.add_filter("country", country);
    env.add_filter("house_number", |value: &Value| {
        split_house(&text(value)).map_or(String::new(), |(_, number)| number)
    });
    env.add_filter("street", |value: &Value| {
        let line = text(value);
        split_house(&line).map_or(line, |(street, _)| street)
    });
    env.add_filter("digits", |value: &Value| {
        text(value)
            .chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    });
    env.add_filter("slug", |value: &Value| slug(&text(value)));
    env.add_filter("ascii", |value: &Value| ascii(&text(value)));
    env.add_filter("grams", grams);
    env.add_filter("text", |value: &Value| text(value));
    env.add_filter("all", all);
}

/// A value as text; nothing for what is absent.
pub fn text(value: &Value) -> String {
    if value.is_undefined() || value.is_none() {
        return String::new();
    }
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}

/// The start of a detail that is ours and safe to show.
pub const OURS: &str = "filter ";

fn refuse(filter: &str, found: &str, rule: &str) -> Error {
    let like_a_number = found.len() <= 24
        && found.starts_with(|c: char| c.is_ascii_digit() || "-,.".contains(c))
        && found.chars().filter(|c| c.is_alphabetic()).count() <= 4;
    let shown = if like_a_number {
        format!("`{found}`")
    } else {
        "the value".to_owned()
    };
    Error::new(
        ErrorKind::InvalidOperation,
        format!("{OURS}`{filter}`: {shown} {rule}"),
    )
}

/// Reads a number as people write it: decimal comma or point, spaces or points for thousands, `%`.
fn number(raw: &str) -> Option<Decimal> {
    let mut plain: String = raw
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{202f}' | '\u{2009}' | '\''))
        .map(|c| if c == '\u{2212}' { '-' } else { c })
        .collect();
    if let Some(rest) = plain.strip_suffix('%') {
        plain = rest.to_owned();
    }
    let points = plain.matches('.').count();
    let commas = plain.matches(',').count();
    match (points, commas) {
        (_, 0) if points > 1 => plain = grouped(&plain, '.')?,
        (0, _) if commas > 1 => plain = grouped(&plain, ',')?,
        (0, 1) => plain = plain.replace(',', "."),
        (_, 0) => {}
        _ => {
            let decimal = if plain.rfind(',') > plain.rfind('.') {
                ','
            } else {
                '.'
            };
            let (whole, fraction) = plain.rsplit_once(decimal)?;
            let thousands = if decimal == ',' { '.' } else { ',' };
            plain = format!("{}.{fraction}", grouped(whole, thousands)?);
        }
    }
    let plain = plain.strip_suffix('.').unwrap_or(&plain);
    Decimal::from_str(plain).ok()
}

/// Removes separators of thousands, which stand before every third digit or are no such thing.
fn grouped(number: &str, separator: char) -> Option<String> {
    let mut parts = number.split(separator);
    let first = parts.next()?;
    let digits = first.trim_start_matches(['-', '+']).len();
    (1..=3).contains(&digits).then_some(())?;
    let mut plain = first.to_owned();
    for part in parts {
        (part.len() == 3).then_some(())?;
        plain.push_str(part);
    }
    Some(plain)
}

fn money(value: &Value) -> Result<String, Error> {
    let raw = text(value);
    let mut plain = raw.trim();
    for unit in [
        "Kč", "kč", "KČ", "CZK", "EUR", "€", "PLN", "zł", "HUF", "Ft", "USD", "$",
    ] {
        plain = plain.strip_suffix(unit).unwrap_or(plain);
        plain = plain.strip_prefix(unit).unwrap_or(plain);
    }
    let plain = plain.trim();
    let plain = plain.strip_suffix(",-").unwrap_or(plain);
    let plain = plain.strip_suffix(",–").unwrap_or(plain);
    if plain.is_empty() {
        return Ok(String::new());
    }
    number(plain)
        .map(|n| n.to_string())
        .ok_or_else(|| refuse("money", raw.trim(), "is not an amount of money"))
}

fn decimal(value: &Value) -> Result<String, Error> {
    let raw = text(value);
    if raw.trim().is_empty() {
        return Ok(String::new());
    }
    number(&raw)
        .map(|n| n.to_string())
        .ok_or_else(|| refuse("decimal", raw.trim(), "is not a number"))
}

fn grams(value: &Value) -> Result<String, Error> {
    let raw = text(value);
    let plain = raw.trim();
    let plain = plain.strip_suffix('g').unwrap_or(plain);
    if plain.trim().is_empty() {
        return Ok(String::new());
    }
    number(plain)
        .and_then(|n| n.checked_div(Decimal::ONE_THOUSAND))
        .map(|n| n.normalize().to_string())
        .ok_or_else(|| refuse("grams", raw.trim(), "is not a weight in grams"))
}

/// Forms of dates that exports write; the first that fits is taken.
const DATES: &[&str] = &[
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d. %m. %Y %H:%M:%S",
    "%d. %m. %Y %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y%m%d%H%M%S",
];

const DAYS: &[&str] = &["%Y-%m-%d", "%d.%m.%Y", "%d. %m. %Y", "%Y/%m/%d"];

/// A date and time in one form: the shop's wall clock (`2025-11-03 09:15:12`), or RFC 3339 where it has a zone.
fn date(value: &Value, form: Option<String>) -> Result<String, Error> {
    let raw = text(value);
    let raw = raw.trim();
    if raw.is_empty() || raw.starts_with("0000-00-00") {
        return Ok(String::new());
    }
    let wall = |time: jiff::civil::DateTime| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let wrong = |rule: &str| refuse("date", raw, rule);
    if let Some(form) = form {
        let parsed = jiff::fmt::strtime::parse(&form, raw)
            .map_err(|_| wrong(&format!("is not a date of the form `{form}`")))?;
        if let Ok(moment) = parsed.to_timestamp() {
            return Ok(moment.to_string());
        }
        return parsed
            .to_datetime()
            .or_else(|_| {
                parsed
                    .to_date()
                    .map(|day| day.to_datetime(jiff::civil::Time::midnight()))
            })
            .map(wall)
            .map_err(|_| wrong(&format!("is not a date of the form `{form}`")));
    }
    if let Ok(moment) = raw.parse::<jiff::Timestamp>() {
        return Ok(moment.to_string());
    }
    for form in DATES {
        if let Ok(time) = jiff::civil::DateTime::strptime(form, raw) {
            return Ok(wall(time));
        }
    }
    for form in DAYS {
        if let Ok(day) = jiff::civil::Date::strptime(form, raw) {
            return Ok(wall(day.to_datetime(jiff::civil::Time::midnight())));
        }
    }
    Err(wrong(
        "is not a date; give its form, e.g. `date(\"%d.%m.%Y %H:%M\")`",
    ))
}

/// Codes, and names as Czech, Slovak and English shops write them, without case and diacritics.
const COUNTRIES: &[(&str, &str, &[&str])] = &[
    (
        "CZ",
        "CZE",
        &["ceska republika", "cesko", "czech republic", "czechia", "cr"],
    ),
    (
        "SK",
        "SVK",
        &[
            "slovenska republika",
            "slovensko",
            "slovakia",
            "slovak republic",
            "sr",
        ],
    ),
    ("DE", "DEU", &["nemecko", "germany", "deutschland"]),
    ("AT", "AUT", &["rakousko", "rakusko", "austria", "osterreich"]),
    ("PL", "POL", &["polsko", "poland", "polska"]),
    ("HU", "HUN", &["madarsko", "hungary", "magyarorszag"]),
    ("RO", "ROU", &["rumunsko", "romania"]),
    ("BG", "BGR", &["bulharsko", "bulgaria"]),
    ("HR", "HRV", &["chorvatsko", "croatia", "hrvatska"]),
    ("SI", "SVN", &["slovinsko", "slovenia", "slovenija"]),
    ("IT", "ITA", &["italie", "taliansko", "italy", "italia"]),
    ("FR", "FRA", &["francie", "francuzsko", "france"]),
    ("ES", "ESP", &["spanelsko", "spanielsko", "spain", "espana"]),
    ("PT", "PRT", &["portugalsko", "portugal"]),
    (
        "NL",
        "NLD",
        &[
            "nizozemsko",
            "nizozemi",
            "holandsko",
            "holandsko (nizozemsko)",
            "netherlands",
        ],
    ),
    ("BE", "BEL", &["belgie", "belgicko", "belgium"]),
    ("LU", "LUX", &["lucembursko", "luxembursko", "luxembourg"]),
    ("DK", "DNK", &["dansko", "denmark"]),
    ("SE", "SWE", &["svedsko", "sweden"]),
    ("FI", "FIN", &["finsko", "finland"]),
    ("NO", "NOR", &["norsko", "norway"]),
    ("IE", "IRL", &["irsko", "ireland"]),
    (
        "GB",
        "GBR",
        &[
            "velka britanie",
            "velka britania",
            "spojene kralovstvi",
            "united kingdom",
            "great britain",
            "uk",
        ],
    ),
    ("CH", "CHE", &["svycarsko", "svajciarsko", "switzerland"]),
    ("EE", "EST", &["estonsko", "estonia"]),
    ("LV", "LVA", &["lotyssko", "latvia"]),
    ("LT", "LTU", &["litva", "lithuania"]),
    ("GR", "GRC", &["recko", "grecko", "greece"]),
    ("CY", "CYP", &["kypr", "cyprus"]),
    ("MT", "MLT", &["malta"]),
    ("RS", "SRB", &["srbsko", "serbia"]),
    ("UA", "UKR", &["ukrajina", "ukraine"]),
    (
        "US",
        "USA",
        &["spojene staty", "spojene staty americke", "usa", "united states"],
    ),
];

fn country(value: &Value) -> Result<String, Error> {
    let raw = text(value);
    let name = raw.trim();
    if name.is_empty() {
        return Ok(String::new());
    }
    let plain = ascii(name).to_lowercase();
    let plain = plain.trim_end_matches('.');
    for (code, long, names) in COUNTRIES {
        if names.contains(&plain) || plain.eq_ignore_ascii_case(long) {
            return Ok((*code).to_owned());
        }
    }
    if name.len() == 2 && name.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Ok(name.to_ascii_uppercase());
    }
    // a country is no personal data
    let shown: String = name.chars().take(40).collect();
    Err(Error::new(
        ErrorKind::InvalidOperation,
        format!(
            "{OURS}`country`: `{shown}` is not a country that is known here; write its two letters in the template"
        ),
    ))
}

/// Splits `Příčná 12/3` into street and number; only where the pattern is plain, else the line stays whole.
pub fn split_house(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (street, number) = line.rsplit_once(char::is_whitespace)?;
    let street = street.trim();
    let plain = |part: &str, letter: bool| {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let rest = &part[digits..];
        (1..=5).contains(&digits)
            && (rest.is_empty() || letter && rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_alphabetic()))
    };
    let numbered = match number.split_once('/') {
        Some((first, second)) => plain(first, false) && plain(second, true),
        None => plain(number, true),
    };
    // `č.p. 15` is no street, and `Údolní 222/5, byt č. 8` ends in a flat
    let abbreviated = street.ends_with('.') || street.contains(',');
    let named = street.chars().filter(|c| c.is_alphabetic()).count() >= 2;
    let holds_digits = street.chars().any(|c| c.is_ascii_digit());
    (numbered && named && !abbreviated && !holds_digits).then(|| (street.to_owned(), number.to_owned()))
}

/// Letters without their diacritics.
pub fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        let replaced = match c {
            'á' | 'à' | 'â' | 'ä' | 'ã' | 'å' | 'ą' | 'ă' | 'ā' => "a",
            'Á' | 'À' | 'Â' | 'Ä' | 'Ã' | 'Å' | 'Ą' | 'Ă' | 'Ā' => "A",
            'č' | 'ç' | 'ć' => "c",
            'Č' | 'Ç' | 'Ć' => "C",
            'ď' | 'đ' => "d",
            'Ď' | 'Đ' => "D",
            'é' | 'ě' | 'è' | 'ê' | 'ë' | 'ę' | 'ē' | 'ė' => "e",
            'É' | 'Ě' | 'È' | 'Ê' | 'Ë' | 'Ę' | 'Ē' | 'Ė' => "E",
            'ğ' | 'ģ' => "g",
            'Ğ' | 'Ģ' => "G",
            'í' | 'ì' | 'î' | 'ï' | 'ī' | 'į' | 'ı' => "i",
            'Í' | 'Ì' | 'Î' | 'Ï' | 'Ī' | 'Į' | 'İ' => "I",
            'ķ' => "k",
            'Ķ' => "K",
            'ĺ' | 'ľ' | 'ł' | 'ļ' => "l",
            'Ĺ' | 'Ľ' | 'Ł' | 'Ļ' => "L",
            'ň' | 'ñ' | 'ń' | 'ņ' => "n",
            'Ň' | 'Ñ' | 'Ń' | 'Ņ' => "N",
            'ó' | 'ô' | 'ö' | 'ò' | 'õ' | 'ő' | 'ø' | 'ō' => "o",
            'Ó' | 'Ô' | 'Ö' | 'Ò' | 'Õ' | 'Ő' | 'Ø' | 'Ō' => "O",
            'ř' | 'ŕ' => "r",
            'Ř' | 'Ŕ' => "R",
            'š' | 'ś' | 'ş' | 'ș' => "s",
            'Š' | 'Ś' | 'Ş' | 'Ș' => "S",
            'ß' => "ss",
            'ť' | 'ţ' | 'ț' => "t",
            'Ť' | 'Ţ' | 'Ț' => "T",
            'ú' | 'ů' | 'ù' | 'û' | 'ü' | 'ű' | 'ū' | 'ų' => "u",
            'Ú' | 'Ů' | 'Ù' | 'Û' | 'Ü' | 'Ű' | 'Ū' | 'Ų' => "U",
            'ý' | 'ÿ' => "y",
            'Ý' | 'Ÿ' => "Y",
            'ž' | 'ź' | 'ż' => "z",
            'Ž' | 'Ź' | 'Ż' => "Z",
            'æ' => "ae",
            'Æ' => "AE",
            'œ' => "oe",
            'Œ' => "OE",
            '\u{a0}' | '\u{202f}' | '\u{2009}' => " ",
            '\u{300}'..='\u{36f}' => "",
            other => {
                plain.push(other);
                continue;
            }
        };
        plain.push_str(replaced);
    }
    plain
}

/// Lower case letters and digits with dashes between: always the same for the same name.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in ascii(text).to_lowercase().chars() {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// Every child of that name, where an element is repeated.
fn all(value: &Value, name: &str) -> Value {
    let Some(object) = value.as_object() else {
        return Value::from(Vec::<Value>::new());
    };
    match object.downcast_ref::<super::tree::Tree>() {
        Some(tree) => tree.all(name).map(super::tree::Node::value).collect(),
        None => Value::from(Vec::<Value>::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(filter: &str, text: &str) -> Result<String, Error> {
        let mut env = Environment::new();
        install(&mut env);
        env.render_str(
            &format!("{{{{ value | {filter} }}}}"),
            minijinja::context! { value => text },
        )
    }

    #[test]
    fn money_is_read_as_people_write_it() {
        for (written, meant) in [
            ("1 234,50", "1234.50"),
            ("1\u{a0}234,50 Kč", "1234.50"),
            ("1\u{202f}234.5", "1234.5"),
            ("1.234,50", "1234.50"),
            ("1,234.50", "1234.50"),
            ("1.500", "1.500"),
            ("1.234.567", "1234567"),
            ("-15,00", "-15.00"),
            ("25.", "25"),
            ("21 %", "21"),
            ("21%", "21"),
            ("250,-", "250"),
            ("€ 9.90", "9.90"),
            ("", ""),
            ("  ", ""),
        ] {
            assert_eq!(run("money", written).unwrap(), meant, "{written}");
        }
        for wrong in ["zdarma", "1,2,3", "1.2.3", "12 kg", "--5"] {
            assert!(run("money", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_refused_value_is_quoted_only_where_it_looks_like_a_number() {
        let detail = |text| {
            run("money", text)
                .unwrap_err()
                .detail()
                .unwrap_or_default()
                .to_owned()
        };
        assert!(detail("0,5 kg").contains("`0,5 kg`"));
        assert!(!detail("Jana Nováková").contains("Jana"));
        assert!(!detail("12/3 Příčná").contains("Příčná"));
        assert!(!detail("+420 777 x").contains("777"));
    }

    #[test]
    fn dates_come_out_in_one_form() {
        for (written, meant) in [
            ("2025-11-03 09:15:12", "2025-11-03 09:15:12"),
            ("2025-11-03T09:15:12", "2025-11-03 09:15:12"),
            ("2025-11-03T09:15:12+01:00", "2025-11-03T08:15:12Z"),
            ("3.11.2025 9:15", "2025-11-03 09:15:00"),
            ("3. 11. 2025", "2025-11-03 00:00:00"),
            ("0000-00-00 00:00:00", ""),
            ("", ""),
        ] {
            assert_eq!(run("date", written).unwrap(), meant, "{written}");
        }
        assert_eq!(
            run("date('%d/%m/%Y %H:%M')", "03/11/2025 09:15").unwrap(),
            "2025-11-03 09:15:00"
        );
        assert!(run("date", "yesterday").is_err());
    }

    #[test]
    fn countries_are_known_by_name_and_code() {
        for (written, meant) in [
            ("Česká republika", "CZ"),
            ("Slovensko", "SK"),
            ("sk", "SK"),
            ("CZE", "CZ"),
            ("Rakousko", "AT"),
            ("UK", "GB"),
            ("", ""),
        ] {
            assert_eq!(run("country", written).unwrap(), meant, "{written}");
        }
        assert!(run("country", "Atlantida").is_err());
    }

    #[test]
    fn house_numbers_are_split_only_where_the_pattern_is_plain() {
        for (line, street, number) in [
            ("Příčná 12/3", "Příčná", "12/3"),
            ("U Řeky 4", "U Řeky", "4"),
            ("Na Kopci 15a", "Na Kopci", "15a"),
            ("č.p. 15", "č.p. 15", ""),
            ("Údolní 222/5, byt č. 8", "Údolní 222/5, byt č. 8", ""),
            ("Dlouhá", "Dlouhá", ""),
            ("15", "15", ""),
            ("28. října 15", "28. října 15", ""),
        ] {
            assert_eq!(run("street", line).unwrap(), street, "{line}");
            assert_eq!(run("house_number", line).unwrap(), number, "{line}");
        }
    }

    #[test]
    fn slugs_and_plain_letters() {
        assert_eq!(
            run("slug", "Zásilkovna – výdejní místo (ČR)").unwrap(),
            "zasilkovna-vydejni-misto-cr"
        );
        assert_eq!(run("ascii", "Dobírka žluťoučká").unwrap(), "Dobirka zlutoucka");
        assert_eq!(run("digits", "+420 777 123 456").unwrap(), "420777123456");
        assert_eq!(run("grams", "1 250").unwrap(), "1.25");
        assert_eq!(run("grams", "250 g").unwrap(), "0.25");
    }
}
