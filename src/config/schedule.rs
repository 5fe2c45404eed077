//! When: a duration that divides a minute, an hour or a day, or cron with seconds.

use super::duration;
use std::time::Duration;

/// A parsed value of `[schedule]`.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Every so often.
    Every(Duration),
    /// A cron expression of six fields, seconds first, in the shop's zone.
    Cron(Box<croner::Cron>),
}

/// Reads a value of `[schedule]`.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn parse(text: &str) -> Result<When, (String, String)> {
    let text = text.trim();
    let fields = text.split_whitespace().count();
    if text.starts_with('@') || fields > 1 && !text.chars().any(|c| c.is_ascii_lowercase()) {
        if fields != 6 {
            return Err((
                format!("is cron with {fields} fields"),
                "cron has six fields here, seconds first, e.g. \"0 30 3 * * *\"".to_owned(),
            ));
        }
        return croner::parser::CronParser::builder()
            .seconds(croner::parser::Seconds::Required)
            .year(croner::parser::Year::Disallowed)
            .build()
            .parse(text)
            .map(|cron| When::Cron(Box::new(cron)))
            .map_err(|error| {
                (
                    format!("is not a cron expression: {error}"),
                    "write six fields, seconds first, e.g. \"0 30 3 * * *\"".to_owned(),
                )
            });
    }
    let every = duration::parse(text).map_err(|_| {
        (
            "is neither a duration nor a cron expression".to_owned(),
            "write e.g. \"30s\", \"5m\", \"1h\" or \"0 30 3 * * *\"".to_owned(),
        )
    })?;
    let seconds = every.as_secs();
    let whole = every.subsec_nanos() == 0 && seconds > 0;
    let divides = whole
        && match seconds {
            0..=60 => 60 % seconds == 0,
            61..=3600 => 3600 % seconds == 0,
            _ => 86_400 % seconds == 0,
        };
    if divides {
        return Ok(When::Every(every));
    }
    Err((
        "does not divide a minute, an hour or a day".to_owned(),
        "choose e.g. 10s, 15s, 30s, 1m, 5m, 10m, 15m, 30m, 1h, 6h, 12h or 1d".to_owned(),
    ))
}
