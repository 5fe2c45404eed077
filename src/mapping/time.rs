//! Moments as shops store them.
//!
//! A wall clock without a zone is read in the shop's zone: a time that the spring change skips is moved forward,
//! one that the autumn change repeats is the first of the two. Always the same reading, so an order keeps its time.

use super::decimal;
use crate::source::Value;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// From this magnitude on a number of the epoch is milliseconds: as seconds it would be the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Reads a value as a moment, whole seconds; `None` where it is no time a shop can have.
pub(crate) fn parse(value: &Value, zone: &TimeZone) -> Option<Timestamp> {
    let moment = match value {
        Value::Time(moment) => *moment,
        Value::Local(wall) => local(*wall, zone)?,
        Value::Int(number) => epoch(*number)?,
        Value::Number(number) => epoch(decimal::parse_text(number)?.trunc().try_into().ok()?)?,
        Value::Text(text) => parse_text(text.trim(), zone)?,
        Value::Null | Value::Bool(_) => return None,
    };
    let moment = Timestamp::from_second(moment.as_second()).ok()?;
    let year = moment.to_zoned(zone.clone()).year();
    (1970..=9998).contains(&year).then_some(moment)
}

/// As the contract's example writes it: `2017-12-12T22:08:01+0100`.
pub(crate) fn written(moment: Timestamp, zone: &TimeZone) -> String {
    let zoned: Zoned = moment.to_zoned(zone.clone());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%z").to_string()
}

/// The moment that [`written`] or any ISO text with an offset tells.
pub(crate) fn of_written(text: &str) -> Option<Timestamp> {
    let (wall, offset) = split_offset(text)?;
    offset?.to_timestamp(wall.parse::<DateTime>().ok()?).ok()
}

fn local(wall: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(wall).compatible().ok()
}

fn epoch(number: i64) -> Option<Timestamp> {
    if number <= 0 {
        return None; // zero is how integer columns say "never"
    }
    if number >= MILLISECONDS_FROM {
        Timestamp::from_millisecond(number).ok()
    } else {
        Timestamp::from_second(number).ok()
    }
}

fn parse_text(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if !text.is_ascii() {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.len() {
            8 => local(compact(text, "000000")?, zone),
            14 => local(compact(&text[..8], &text[8..])?, zone),
            1..=13 => epoch(text.parse().ok()?),
            _ => None,
        };
    }
    if let Some(wall) = czech(text) {
        return local(wall, zone);
    }
    // Only what begins like a date is given to the general parser, which knows many more forms.
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (wall, offset) = split_offset(text)?;
    let wall: DateTime = match wall.len() {
        10 => wall.parse::<Date>().ok()?.to_datetime(Time::midnight()),
        _ => wall.parse().ok()?,
    };
    match offset {
        Some(offset) => offset.to_timestamp(wall).ok(),
        None => local(wall, zone),
    }
}

fn compact(date: &str, time: &str) -> Option<DateTime> {
    DateTime::new(
        date[..4].parse().ok()?,
        date[4..6].parse().ok()?,
        date[6..].parse().ok()?,
        time[..2].parse().ok()?,
        time[2..4].parse().ok()?,
        time[4..].parse().ok()?,
        0,
    )
    .ok()
}

/// `3.11.2025 9:15:12`, `3. 11. 2025 9:15`, `3.11.2025`, as exports write it.
fn czech(text: &str) -> Option<DateTime> {
    let (day, rest) = text.split_once('.')?;
    let (month, rest) = rest.trim_start().split_once('.')?;
    let rest = rest.trim_start();
    let (year, clock) = rest.split_once(' ').unwrap_or((rest, "0:00"));
    if year.len() != 4 {
        return None;
    }
    let mut parts = clock.trim_start().split(':');
    let hour = parts.next()?.parse().ok()?;
    let minute = parts.next()?.parse().ok()?;
    let second = parts.next().map_or(Some(0), |second| second.parse().ok())?;
    if parts.next().is_some() {
        return None;
    }
    DateTime::new(
        year.parse().ok()?,
        month.trim().parse().ok()?,
        day.trim().parse().ok()?,
        hour,
        minute,
        second,
        0,
    )
    .ok()
}

/// Parts the wall clock from the offset: `Z`, `+01`, `+0100`, `+01:00`, or none.
fn split_offset(text: &str) -> Option<(&str, Option<Offset>)> {
    if let Some(wall) = text.strip_suffix(['Z', 'z']) {
        return Some((wall.trim_end(), Some(Offset::UTC)));
    }
    if let Some(wall) = text.strip_suffix("UTC") {
        return Some((wall.trim_end(), Some(Offset::UTC)));
    }
    let Some(place) = text
        .char_indices()
        .skip(11)
        .find(|(_, c)| matches!(c, '+' | '-'))
        .map(|(i, _)| i)
    else {
        return Some((text, None));
    };
    let (wall, offset) = text.split_at(place);
    let digits = match &offset[1..] {
        parted if parted.len() == 5 => parted.replacen(':', "", 1),
        whole => whole.to_owned(),
    };
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 = if digits.len() == 4 {
        digits[2..].parse().ok()?
    } else {
        0
    };
    let seconds = (hours * 60 + minutes) * 60;
    let signed = if offset.starts_with('-') {
        -seconds
    } else {
        seconds
    };
    Some((wall.trim_end(), Some(Offset::from_seconds(signed).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prague() -> TimeZone {
        TimeZone::get("Europe/Prague").unwrap()
    }

    fn read(value: Value) -> Option<String> {
        parse(&value, &prague()).map(|moment| written(moment, &prague()))
    }

    #[test]
    fn usual_forms_are_read() {
        for (given, expected) in [
            ("2025-11-03 09:15:12", "2025-11-03T09:15:12+0100"),
            ("2025-07-03T09:15:12", "2025-07-03T09:15:12+0200"),
            ("2025-11-03 09:15", "2025-11-03T09:15:00+0100"),
            ("2025-11-03 09:15:12.987", "2025-11-03T09:15:12+0100"),
            ("2025-11-03T08:15:12Z", "2025-11-03T09:15:12+0100"),
            ("2025-11-03T09:15:12+01:00", "2025-11-03T09:15:12+0100"),
            ("2025-11-03T09:15:12+0100", "2025-11-03T09:15:12+0100"),
            ("2025-11-03 03:15:12-05", "2025-11-03T09:15:12+0100"),
            ("2025-11-03", "2025-11-03T00:00:00+0100"),
            ("20251103", "2025-11-03T00:00:00+0100"),
            ("20251103091512", "2025-11-03T09:15:12+0100"),
            ("3.11.2025 9:15:12", "2025-11-03T09:15:12+0100"),
            ("3. 11. 2025 9:15", "2025-11-03T09:15:00+0100"),
            ("1762157712", "2025-11-03T09:15:12+0100"),
            ("1762157712000", "2025-11-03T09:15:12+0100"),
        ] {
            assert_eq!(
                read(Value::Text(given.into())).as_deref(),
                Some(expected),
                "{given}"
            );
        }
        for value in [
            Value::Int(1_762_157_712),
            Value::Int(1_762_157_712_345),
            Value::Number("1762157712.5".into()),
            Value::Time(Timestamp::from_second(1_762_157_712).unwrap()),
            Value::Local("2025-11-03 09:15:12".parse().unwrap()),
        ] {
            assert_eq!(
                read(value.clone()).as_deref(),
                Some("2025-11-03T09:15:12+0100"),
                "{value:?}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for given in [
            "",
            "0",
            "0000-00-00 00:00:00",
            "2025-13-01",
            "2025-02-30 10:00:00",
            "včera",
            "10:15",
            "2025-11-03 09:15:12 +1:0",
            "1.2",
            "0001-01-01",
        ] {
            assert_eq!(read(Value::Text(given.into())), None, "{given}");
        }
        assert_eq!(read(Value::Int(0)), None);
        assert_eq!(read(Value::Null), None);
    }

    #[test]
    fn skipped_hour_is_moved_forward() {
        assert_eq!(
            read(Value::Text("2025-03-30 02:30:00".into())).as_deref(),
            Some("2025-03-30T03:30:00+0200")
        );
    }

    #[test]
    fn repeated_hour_is_the_first_of_the_two() {
        assert_eq!(
            read(Value::Text("2025-10-26 02:30:00".into())).as_deref(),
            Some("2025-10-26T02:30:00+0200")
        );
    }

    #[test]
    fn what_is_written_reads_back_to_the_same_moment() {
        let moment = Timestamp::from_second(1_762_157_712).unwrap();
        assert_eq!(of_written(&written(moment, &prague())), Some(moment));
        assert_eq!(of_written("2025-11-03T08:15:12Z"), Some(moment));
    }
}
