//! The form of the cursor column: a moment is bound as the column writes it, and read back the same way.
//!
//! A text column and a column of seconds accept a moment in the wrong form without a word and then find nothing,
//! or everything. So the form is found from the column and, where that does not say enough, from its newest value.
//! Pure functions: no database here.

use crate::config::Cursor;
use crate::database::Class;
use crate::database::parameters::{Dialect, Param};
use crate::source::Value;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// How a cursor column writes a moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// A date and time without a zone.
    Local,
    /// A moment.
    Moment,
    /// Unix seconds.
    Epoch,
    /// Unix milliseconds.
    EpochMs,
    /// Text in a strftime form; the zone is the one it is written in.
    Text(String, TimeZone),
    /// Digits as text: seconds, or milliseconds.
    Digits {
        /// Milliseconds.
        millis: bool,
    },
}

/// A form, and whether it rests on a value seen (else it is looked for again at the next read).
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The form.
    pub form: Form,
    /// False where there was no row to learn from.
    pub sure: bool,
}

/// From here on a number of seconds would be the year 5138, so it is milliseconds.
const MILLIS_FROM: i64 = 100_000_000_000;
/// From here on milliseconds would be as far away.
const MICROS_FROM: i64 = 100_000_000_000_000;

/// What the configuration alone says.
pub fn configured(cursor: &Cursor, zone: &TimeZone, dialect: Dialect) -> Option<Form> {
    match cursor {
        Cursor::Auto => None,
        // SQLite has no dates but text.
        Cursor::Datetime if dialect == Dialect::Sqlite => {
            Some(Form::Text("%Y-%m-%d %H:%M:%S".into(), zone.clone()))
        }
        Cursor::Datetime => Some(Form::Local),
        Cursor::Epoch => Some(Form::Epoch),
        Cursor::EpochMs => Some(Form::EpochMs),
        Cursor::Text(form) => Some(Form::Text(form.clone(), zone.clone())),
    }
}

/// Whether a value must be looked at to know the form.
pub fn needs_sample(class: &Class, dialect: Dialect) -> bool {
    dialect == Dialect::Sqlite || !matches!(class, Class::Local | Class::Moment)
}

/// The form of a column of a class, whose newest value is `sample`.
///
/// # Errors
/// One sentence on why the value cannot be a cursor.
pub fn find(
    class: &Class,
    sample: Option<&Value>,
    zone: &TimeZone,
    dialect: Dialect,
) -> Result<Found, String> {
    let sure = |form| Ok(Found { form, sure: true });
    match (class, sample) {
        (Class::Local, _) if dialect != Dialect::Sqlite => return sure(Form::Local),
        (Class::Moment, _) if dialect != Dialect::Sqlite => return sure(Form::Moment),
        _ => {}
    }
    match sample {
        Some(Value::Local(_)) => sure(Form::Local),
        Some(Value::Time(_)) => sure(Form::Moment),
        Some(Value::Int(number)) => sure(number_form(*number)?),
        Some(Value::Number(text)) => {
            let whole = text.split('.').next().unwrap_or(text);
            let number = whole
                .parse()
                .map_err(|_| format!("`{text}` is neither seconds nor milliseconds"))?;
            sure(number_form(number)?)
        }
        Some(Value::Text(text)) if !text.trim().is_empty() => sure(text_form(text, zone)?),
        Some(Value::Bool(_)) => Err("it holds true or false, not a date".into()),
        // Nothing to learn from: the form that the class makes likely, and another look next time.
        _ => Ok(Found {
            form: match class {
                Class::Integer | Class::Number => Form::Epoch,
                Class::Moment => Form::Moment,
                Class::Local if dialect != Dialect::Sqlite => Form::Local,
                _ => Form::Text("%Y-%m-%d %H:%M:%S".into(), zone.clone()),
            },
            sure: false,
        }),
    }
}

fn number_form(number: i64) -> Result<Form, String> {
    match number {
        n if n >= MICROS_FROM => Err(format!(
            "`{n}` is neither seconds nor milliseconds; divide it in the query"
        )),
        n if n >= MILLIS_FROM => Ok(Form::EpochMs),
        n if n >= 100_000_000 || n == 0 => Ok(Form::Epoch),
        n => Err(format!("`{n}` is neither seconds nor milliseconds since 1970")),
    }
}

/// The form of a text such as `2026-10-25 02:30:00`, with `T`, a fraction, `Z` or an offset; or of digits.
fn text_form(text: &str, zone: &TimeZone) -> Result<Form, String> {
    let text = text.trim();
    let wrong = || {
        format!(
            "`{text}` is no form of date known; set `cursor = \"text:…\"` with its strftime form, or select it as a date"
        )
    };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse().map_err(|_| wrong())?;
        // `20261025023000` has as many digits as microseconds would have.
        if text.len() == 14 && Timestamp::from_second(0).is_ok() && compact(text).is_some() {
            return Ok(Form::Text("%Y%m%d%H%M%S".into(), zone.clone()));
        }
        return Ok(Form::Digits {
            millis: number_form(number)? == Form::EpochMs,
        });
    }
    let shape = |from: usize, len: usize| text.get(from..from + len);
    let dated = shape(0, 10).and_then(|day| day.parse::<jiff::civil::Date>().ok());
    let Some(_) = dated else { return Err(wrong()) };
    if text.len() == 10 {
        return Ok(Form::Text("%Y-%m-%d".into(), zone.clone()));
    }
    let mark = match shape(10, 1) {
        Some(" ") => " ",
        Some("T") => "T",
        _ => return Err(wrong()),
    };
    let (clock, mut rest) = match text.get(11..) {
        Some(rest) if rest.len() >= 8 && rest.is_char_boundary(8) && rest.as_bytes()[5] == b':' => {
            ("%H:%M:%S", &rest[8..])
        }
        Some(rest) if rest.len() >= 5 && rest.is_char_boundary(5) => ("%H:%M", &rest[5..]),
        _ => return Err(wrong()),
    };
    let mut form = format!("%Y-%m-%d{mark}{clock}");
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 9 {
            return Err(wrong());
        }
        rest = &fraction[digits..];
        // Before a `Z` a value with a fraction sorts before one without; alone, the shorter text sorts first.
        if !rest.is_empty() {
            form.push_str(&format!("%.{digits}f"));
        }
    }
    match rest {
        "" => Ok(Form::Text(form, zone.clone())),
        "Z" | "z" => Ok(Form::Text(format!("{form}{rest}"), TimeZone::UTC)),
        _ => {
            let (gap, bare) = match rest.strip_prefix(' ') {
                Some(bare) => (" ", bare),
                None => ("", rest),
            };
            let (directive, seconds) = offset(bare).ok_or_else(wrong)?;
            let offset = jiff::tz::Offset::from_seconds(seconds).map_err(|_| wrong())?;
            // The shop's own offset changes with its clock; another one is taken as it stands.
            let written = DateTime::strptime("%Y-%m-%d %H:%M", format!("{} {}", &text[..10], &text[11..16]))
                .map_err(|_| wrong())?;
            let moment = offset.to_timestamp(written).map_err(|_| wrong())?;
            let owner = if zone.to_offset(moment) == offset {
                zone.clone()
            } else {
                TimeZone::fixed(offset)
            };
            Ok(Form::Text(format!("{form}{gap}{directive}"), owner))
        }
    }
}

fn compact(text: &str) -> Option<DateTime> {
    DateTime::strptime("%Y%m%d%H%M%S", text)
        .ok()
        .filter(|time| (1990..2100).contains(&time.year()))
}

/// `+02:00`, `+0200` or `+02`: the strftime directive that writes it, and its seconds.
fn offset(text: &str) -> Option<(&'static str, i32)> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let rest = &text[1..];
    let (directive, hours, minutes) = match rest.len() {
        5 if rest.as_bytes()[2] == b':' => ("%:z", rest.get(..2)?, rest.get(3..)?),
        4 => ("%z", rest.get(..2)?, rest.get(2..)?),
        // PostgreSQL writes whole hours so; jiff has no directive for it, and a longer text sorts after it.
        2 => ("%z", rest, "0"),
        _ => return None,
    };
    let hours: i32 = hours.parse().ok()?;
    let minutes: i32 = minutes.parse().ok()?;
    Some((directive, sign * (hours * 3600 + minutes * 60)))
}

/// The smallest wall clock that a clock in this zone showed between two moments. Where the clock was put back in
/// between, that is the hour it was put back to, and not the hour before.
pub fn smallest_wall(since: Timestamp, now: Timestamp, zone: &TimeZone) -> DateTime {
    let mut smallest = zone.to_datetime(since);
    for change in zone.following(since) {
        if change.timestamp() > now {
            break;
        }
        smallest = smallest.min(zone.to_datetime(change.timestamp()));
    }
    smallest
}

/// `:since` in a form. Never later than what a row changed at `since` or after it has in its column.
pub fn since(
    form: &Form,
    since: Option<Timestamp>,
    now: Timestamp,
    zone: &TimeZone,
    dialect: Dialect,
) -> Param {
    let Some(since) = since else {
        return smallest(form, dialect);
    };
    // Down to whole seconds: columns without a fraction were cut or rounded.
    let since = Timestamp::from_second(since.as_second()).unwrap_or(since);
    match form {
        // PostgreSQL says of each place whether it wants a wall clock or a moment.
        Form::Local | Form::Moment if dialect == Dialect::Postgres => {
            Param::Wall(since, smallest_wall(since, now, zone))
        }
        Form::Local => Param::Local(smallest_wall(since, now, zone)),
        Form::Moment => Param::Moment(since),
        Form::Epoch => Param::Int(since.as_second()),
        Form::EpochMs => Param::Int(since.as_millisecond()),
        Form::Digits { millis: false } => Param::Text(since.as_second().to_string()),
        Form::Digits { millis: true } => Param::Text(since.as_millisecond().to_string()),
        Form::Text(form, written_in) => {
            let wall = smallest_wall(since, now, written_in);
            // The earlier of two readings: as a moment too it is not later than `since`.
            let zoned = written_in
                .to_ambiguous_zoned(wall)
                .earlier()
                .unwrap_or_else(|_| since.to_zoned(written_in.clone()));
            Param::Text(zoned.strftime(form).to_string())
        }
    }
}

/// The smallest value of a form: everything.
pub fn smallest(form: &Form, dialect: Dialect) -> Param {
    match (dialect, form) {
        (Dialect::Sqlite, _) => Param::Smallest,
        (_, Form::Local | Form::Moment) => Param::Smallest,
        (_, Form::Epoch | Form::EpochMs) => Param::Int(0),
        // A date, because MySQL refuses to compare its dates with an empty text.
        (Dialect::Mysql, Form::Text(..)) => Param::Text("1000-01-01 00:00:00".into()),
        (_, Form::Digits { .. }) => Param::Text("0".into()),
        (_, Form::Text(..)) => Param::Text(String::new()),
    }
}

/// The smallest value while the form is not known yet.
pub fn smallest_of_class(class: &Class, dialect: Dialect) -> Param {
    match class {
        Class::Integer | Class::Number if dialect != Dialect::Sqlite => Param::Int(0),
        Class::Text if dialect == Dialect::Mysql => Param::Text("1000-01-01 00:00:00".into()),
        Class::Text if dialect == Dialect::Postgres => Param::Text(String::new()),
        _ => Param::Smallest,
    }
}

/// A value of the cursor column as a moment.
pub fn moment(value: &Value, form: &Form, zone: &TimeZone) -> Option<Timestamp> {
    let of_wall = |wall: DateTime, zone: &TimeZone| {
        zone.to_ambiguous_zoned(wall)
            .compatible()
            .ok()
            .map(|zoned| zoned.timestamp())
    };
    let of_number = |number: i64, millis: bool| {
        if millis {
            Timestamp::from_millisecond(number).ok()
        } else {
            Timestamp::from_second(number).ok()
        }
    };
    match (value, form) {
        (Value::Null | Value::Bool(_), _) => None,
        (Value::Time(moment), _) => Some(*moment),
        (Value::Local(wall), _) => of_wall(*wall, zone),
        (Value::Int(number), form) => of_number(*number, *form == Form::EpochMs),
        (Value::Number(text), form) => {
            let whole = text.split('.').next()?.parse().ok()?;
            of_number(whole, *form == Form::EpochMs)
        }
        (Value::Text(text), Form::Digits { millis }) => of_number(text.trim().parse().ok()?, *millis),
        (Value::Text(text), Form::Text(form, written_in)) => {
            let text = text.trim();
            if let Ok(moment) = text.parse::<Timestamp>() {
                return Some(moment);
            }
            if let Ok(wall) = text.parse::<DateTime>() {
                return of_wall(wall, written_in);
            }
            let parsed = jiff::fmt::strtime::parse(form, text).ok()?;
            parsed.to_timestamp().ok().or_else(|| {
                let wall = parsed
                    .to_datetime()
                    .or_else(|_| {
                        parsed
                            .to_date()
                            .map(|date| date.to_datetime(jiff::civil::Time::midnight()))
                    })
                    .ok()?;
                of_wall(wall, written_in)
            })
        }
        (Value::Text(text), _) => text.trim().parse().ok(),
    }
}

/// A moment that no row has: for the proof that the query looks at `:since` at all. Twenty years ahead, but where it
/// can be before the end of what 32 bits of seconds hold.
pub fn far_future(now: Timestamp) -> Timestamp {
    let far = now.as_second().saturating_add(20 * 365 * 86_400);
    let end = i64::from(i32::MAX);
    let near = now.as_second().saturating_add(365 * 86_400);
    let second = if near < end { far.min(end) } else { far };
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prague() -> TimeZone {
        TimeZone::get("Europe/Prague").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn text(form: &Form, moment: &str) -> String {
        let now = at("2026-12-01T00:00:00Z");
        match since(form, Some(at(moment)), now, &prague(), Dialect::Mysql) {
            Param::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    fn found(sample: &str) -> Form {
        let sample = Value::Text(sample.into());
        find(&Class::Text, Some(&sample), &prague(), Dialect::Mysql)
            .unwrap()
            .form
    }

    #[test]
    fn texts_are_bound_as_the_newest_row_writes_them() {
        for (sample, expected) in [
            ("2026-07-15 12:00:00", "2026-07-15 12:00:00"),
            ("2026-07-15T12:00:00", "2026-07-15T12:00:00"),
            ("2026-07-15 12:00:00.123", "2026-07-15 12:00:00"),
            ("2026-07-15T10:00:00Z", "2026-07-15T10:00:00Z"),
            ("2026-07-15T10:00:00.123Z", "2026-07-15T10:00:00.000Z"),
            ("2026-07-15T12:00:00+02:00", "2026-07-15T12:00:00+02:00"),
            ("2026-07-15T12:00:00+0200", "2026-07-15T12:00:00+0200"),
            ("2026-07-15T10:00:00+00:00", "2026-07-15T10:00:00+00:00"),
            ("2026-07-15 12:00", "2026-07-15 12:00"),
            ("2026-07-15", "2026-07-15"),
            ("20260715120000", "20260715120000"),
            ("1784109600", "1784109600"),
            ("1784109600000", "1784109600000"),
        ] {
            assert_eq!(text(&found(sample), "2026-07-15T10:00:00Z"), expected, "{sample}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for sample in [
            "15.7.2026 12:00",
            "yesterday",
            "12",
            "2026-07-15 x",
            "99999999999999999",
        ] {
            let value = Value::Text(sample.into());
            assert!(
                find(&Class::Text, Some(&value), &prague(), Dialect::Mysql).is_err(),
                "{sample}"
            );
        }
    }

    #[test]
    fn a_clock_put_back_takes_since_back_to_the_smallest_wall_clock() {
        let wall = |since: &str, now: &str| smallest_wall(at(since), at(now), &prague()).to_string();
        // 02:50 of summer time; at 01:00 UTC the clock is put back to 02:00.
        assert_eq!(
            wall("2025-10-26T00:50:00Z", "2025-10-26T00:55:00Z"),
            "2025-10-26T02:50:00"
        );
        assert_eq!(
            wall("2025-10-26T00:50:00Z", "2025-10-26T01:05:00Z"),
            "2025-10-26T02:00:00"
        );
        assert_eq!(
            wall("2025-10-25T23:30:00Z", "2025-10-26T01:05:00Z"),
            "2025-10-26T01:30:00"
        );
        assert_eq!(
            wall("2025-10-26T01:05:00Z", "2025-10-26T03:00:00Z"),
            "2025-10-26T02:05:00"
        );
        assert_eq!(
            wall("2026-03-29T00:50:00Z", "2026-03-29T01:10:00Z"),
            "2026-03-29T01:50:00"
        );
    }

    proptest! {
        #[test]
        fn a_row_written_after_since_is_never_before_it(since_at in 1_700_000_000i64..1_900_000_000, later in 0i64..200_000, more in 0i64..200_000) {
            let zone = prague();
            let (start, row) = (Timestamp::from_second(since_at).unwrap(), Timestamp::from_second(since_at + later).unwrap());
            let now = Timestamp::from_second(since_at + later + more).unwrap();
            prop_assert!(smallest_wall(start, now, &zone) <= zone.to_datetime(row));
            for sample in ["2026-07-15T12:00:00+02:00", "2026-07-15 12:00:00", "2026-07-15T10:00:00.5Z", "1784109600"] {
                let form = found(sample);
                let written = match &form {
                    Form::Text(form, zone) => row.to_zoned(zone.clone()).strftime(form).to_string(),
                    _ => row.as_second().to_string(),
                };
                let Param::Text(bound) = since(&form, Some(start), now, &zone, Dialect::Mysql) else { panic!() };
                prop_assert!(bound <= written, "{} {}", bound, written);
            }
        }
    }
}
