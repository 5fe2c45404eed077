//! Whether Brani answers: one back-off for the whole flow, however many orders wait.
//!
//! An outage parks nothing. The next probe is a different code, so that one order that always gets a 500 backs off
//! alone. Pure but for the jitter: the moments come from the caller.

use crate::brani::Error;
use crate::clock::later;
use crate::types::OrderCode;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(300);
const REFUSALS_MAX: u32 = 20;
/// A success this long ago still says that other codes get through.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// What the flow does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forecast {
    /// Requests side by side.
    Fair,
    /// One probe at a time, not before this moment.
    Probe(Timestamp),
}

/// How the last answers were.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    failures: u32,
    /// When it last failed, and until when to wait.
    until: Option<(Timestamp, Timestamp)>,
    failed: BTreeSet<OrderCode>,
    refusals: u32,
    unauthorized: bool,
    last_success: Option<Timestamp>,
}

impl Weather {
    /// What to do now. A failure that lies ahead was there before the clock was set back: its wait is over.
    pub fn forecast(&self, now: Timestamp) -> Forecast {
        match self.until {
            Some((failed, _)) if failed > now => Forecast::Probe(now),
            Some((_, until)) => Forecast::Probe(until),
            None => Forecast::Fair,
        }
    }

    /// Whether the whole flow is held up.
    pub fn is_out(&self) -> bool {
        self.unauthorized || self.failed.len() >= 2 || self.failures >= 3 || self.refusals >= REFUSALS_MAX
    }

    /// Brani answered with success. Returns the codes that suffered from an outage which is over, to be tried again
    /// now: not the code that fails alone.
    pub fn success(&mut self, now: Timestamp) -> Vec<OrderCode> {
        let failed = std::mem::take(&mut self.failed);
        let freed = if failed.len() >= 2 {
            failed.into_iter().collect()
        } else {
            Vec::new()
        };
        *self = Self {
            last_success: Some(now),
            ..Self::default()
        };
        freed
    }

    /// Brani took the request in and disliked the order: it is there.
    pub fn answered(&mut self) {
        self.failures = 0;
        self.until = None;
    }

    /// The codes that failed since the last success: a probe takes another one.
    pub fn failed(&self) -> impl Iterator<Item = &OrderCode> {
        self.failed.iter()
    }

    /// Whether other codes get through, so that a refused one may be parked.
    pub fn others_succeed(&self, now: Timestamp) -> bool {
        self.refusals < REFUSALS_MAX && self.last_success.is_some_and(|at| now.duration_since(at) < FRESH)
    }

    /// A request failed; `jitter` is between 0 and 1.
    pub fn failure(&mut self, code: &OrderCode, error: &Error, now: Timestamp, jitter: f64) {
        match error {
            Error::Unauthorized { .. } => {
                self.unauthorized = true;
                self.until = Some((now, later(now, LONGEST)));
            }
            Error::Refused { .. } | Error::NotFound => {
                self.refusals += 1;
                if self.refusals >= REFUSALS_MAX {
                    self.until = Some((now, later(now, LONGEST)));
                }
            }
            Error::Unavailable { retry_after, .. } => {
                self.failed.insert(code.clone());
                self.failures += 1;
                let wait = retry_after.unwrap_or_else(|| backoff(self.failures, jitter));
                self.until = Some((now, later(now, wait)));
            }
            Error::Rejected { .. } => self.answered(),
        }
    }
}

/// Exponential from one second, jittered by a half, at most five minutes.
pub fn backoff(failures: u32, jitter: f64) -> Duration {
    let whole = Duration::from_secs(1 << failures.saturating_sub(1).min(9)).min(LONGEST);
    whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::{Forecast, Weather, backoff, later};
    use crate::brani::Error;
    use crate::types::OrderCode;
    use jiff::Timestamp;
    use std::time::Duration;

    fn away(retry_after: Option<Duration>) -> Error {
        Error::Unavailable {
            what: "HTTP 503".into(),
            retry_after,
            maybe_applied: true,
            server_error: true,
        }
    }

    #[test]
    fn one_order_that_always_fails_is_not_an_outage() {
        let mut weather = Weather::default();
        weather.failure(&OrderCode::from("bad"), &away(None), Timestamp::UNIX_EPOCH, 0.5);
        assert!(!weather.is_out());
        assert_eq!(weather.success(Timestamp::UNIX_EPOCH), vec![]);
        assert_eq!(weather.forecast(Timestamp::UNIX_EPOCH), Forecast::Fair);
    }

    #[test]
    fn two_orders_that_fail_are_an_outage_and_both_are_freed_after_it() {
        let mut weather = Weather::default();
        for code in ["a", "b"] {
            weather.failure(&OrderCode::from(code), &away(None), Timestamp::UNIX_EPOCH, 0.5);
        }
        assert!(weather.is_out());
        assert_eq!(weather.success(Timestamp::UNIX_EPOCH).len(), 2);
        assert!(!weather.is_out());
    }

    #[test]
    fn retry_after_is_obeyed() {
        let mut weather = Weather::default();
        let wait = Duration::from_secs(77);
        weather.failure(
            &OrderCode::from("a"),
            &away(Some(wait)),
            Timestamp::UNIX_EPOCH,
            0.0,
        );
        assert_eq!(
            weather.forecast(Timestamp::UNIX_EPOCH),
            Forecast::Probe(later(Timestamp::UNIX_EPOCH, wait))
        );
        let before = Timestamp::UNIX_EPOCH - jiff::SignedDuration::from_secs(1);
        assert_eq!(
            weather.forecast(before),
            Forecast::Probe(before),
            "the clock was set back"
        );
    }

    #[test]
    fn waiting_grows_to_five_minutes_and_no_further() {
        assert!(backoff(1, 1.0) <= Duration::from_secs(1));
        assert!(backoff(4, 0.0) >= Duration::from_secs(4));
        assert_eq!(backoff(40, 1.0), Duration::from_secs(300));
    }
}
