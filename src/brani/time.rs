//! The service's wall clock: `YYYY-MM-DD HH:MM:SS` without a zone, Czech local time by inference.
//!
//! An hour repeats every October, so a written moment may have two readings.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// The form of `event_creation` and `from_date`.
const FORM: &str = "%Y-%m-%d %H:%M:%S";

/// How far the service's clock may be ahead of ours.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(10);

fn zone() -> TimeZone {
    TimeZone::get("Europe/Prague").unwrap_or(TimeZone::UTC)
}

fn civil(written: &str) -> Option<DateTime> {
    let head: String = written.chars().take(19).collect();
    DateTime::strptime(FORM, head.replace('T', " ")).ok()
}

/// Every moment that a written time may mean: one, or two in the repeated hour; none where it is no time.
pub fn readings(written: &str) -> Vec<Timestamp> {
    let Some(time) = civil(written) else {
        return Vec::new();
    };
    let ambiguous = zone().to_ambiguous_zoned(time);
    let offsets = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { offset } => vec![offset],
        AmbiguousOffset::Gap { before, .. } => vec![before],
        AmbiguousOffset::Fold { before, after } => vec![before, after],
    };
    offsets
        .into_iter()
        .filter_map(|offset| offset.to_timestamp(time).ok())
        .collect()
}

/// The first moment that a written time may mean; the epoch where it is no time.
pub fn first_reading(written: &str) -> Timestamp {
    readings(written)
        .first()
        .copied()
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What a written time may mean where it was read at a known moment: nothing is told before it happens, clocks that
/// differ a little apart. In the repeated hour this leaves the second reading out as long as it lies ahead.
pub fn moments(written: &str, read: Timestamp) -> Vec<Timestamp> {
    let mut moments = readings(written);
    if moments.len() > 1 {
        moments.retain(|at| *at <= read + CLOCKS_DIFFER);
    }
    moments
}

/// A written time some hours earlier on the same wall clock, for `from_date`.
pub fn earlier(written: &str, back: SignedDuration) -> Option<String> {
    let time = civil(written)?.checked_sub(back).ok()?;
    Some(time.strftime(FORM).to_string())
}

/// A moment as the service would write it.
pub fn written(at: Timestamp) -> String {
    at.to_zoned(zone()).strftime(FORM).to_string()
}

#[cfg(test)]
mod tests {
    use super::{earlier, first_reading, moments, readings, written};
    use jiff::SignedDuration;

    #[test]
    fn repeated_hour_has_two_readings() {
        let both = readings("2026-10-25 02:30:00");
        assert_eq!(both.len(), 2);
        assert_eq!(both[1].duration_since(both[0]), SignedDuration::from_hours(1));
        assert_eq!(first_reading("2026-10-25 02:30:00"), both[0]);
    }

    #[test]
    fn second_reading_that_lies_ahead_is_none() {
        let both = readings("2026-10-25 02:46:40");
        let soon = both[0] + SignedDuration::from_mins(1);
        assert_eq!(moments("2026-10-25 02:46:40", soon), both[..1]);
        assert_eq!(moments("2026-10-25 02:46:40", both[1]), both);
        // A single reading stands, whatever our clock says.
        assert_eq!(moments("2026-10-25 04:00:00", soon).len(), 1);
    }

    #[test]
    fn moment_comes_back_from_its_written_form() {
        let at = "2026-07-01T10:00:00Z".parse().unwrap();
        assert_eq!(written(at), "2026-07-01 12:00:00");
        assert_eq!(readings("2026-07-01 12:00:00"), [at]);
    }

    #[test]
    fn two_hours_earlier_is_on_the_same_wall_clock() {
        let back = SignedDuration::from_hours(2);
        assert_eq!(
            earlier("2026-10-25 03:10:00", back).as_deref(),
            Some("2026-10-25 01:10:00")
        );
        assert_eq!(earlier("nonsense", back), None);
    }

    #[test]
    fn nonsense_has_no_reading() {
        assert!(readings("yesterday").is_empty());
        assert!(readings("").is_empty());
    }
}
