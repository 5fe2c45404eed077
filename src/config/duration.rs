//! Durations with units, as people write them: `30s`, `10m`, `1h30m`, `30d`.

use serde::{Deserialize, Deserializer, de};
use std::time::Duration;

/// Reads `30s`, `500ms`, `10m`, `2h`, `30d`, `1w` and sums of them (`1h30m`). A bare number is refused.
///
/// # Errors
/// One sentence that says what was found and what is expected.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a duration; write a number with a unit, e.g. \"30s\", \"10m\", \"30d\"");
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .filter(|&n| n > 0)
            .ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let millis: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(wrong)?;
        rest = rest[letters..].trim_start();
    }
    Ok(total)
}

/// For `#[serde(with = "duration")]`.
///
/// # Errors
/// As [`parse`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(de::Error::custom)
}

/// The default of `alert.after`.
pub fn fifteen_minutes() -> Duration {
    Duration::from_secs(15 * 60)
}

/// The default of `tracking.every`.
pub fn two_hours() -> Duration {
    Duration::from_secs(2 * 3600)
}

/// The default of `invoices.look_for`.
pub fn fortnight() -> Duration {
    Duration::from_secs(14 * 86_400)
}

/// The default of `tracking.give_up`.
pub fn month() -> Duration {
    Duration::from_secs(30 * 86_400)
}

/// For an optional duration.
pub mod option {
    use super::{Deserialize, Deserializer, Duration, de, parse};

    /// For `#[serde(with = "duration::option")]`.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| parse(&text).map_err(de::Error::custom))
            .transpose()
    }
}
