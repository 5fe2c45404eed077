//! Whether Brani answers: one back-off for the whole flow, however many orders wait.
//!
//! An outage parks nothing. The next probe is a different code, so that one order that always gets a 500 backs off
//! alone and holds up nobody. What Brani asks for itself (`Retry-After`) holds for all, whatever else it answers.
//! Pure but for the jitter: the moments come from the caller.

use crate::brani::Error;
use crate::clock::later;
use crate::types::OrderCode;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(300);
const REFUSALS_MAX: u32 = 20;
/// So many different orders must have failed before all wait: until then another one is tried at once.
const SUSPECTS: usize = 3;
/// So many orders may fail while others get through; more of them are an outage.
const ALONE_MAX: usize = 20;
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
    /// Orders that failed, and others got through: what becomes of them says nothing of Brani.
    alone: BTreeSet<OrderCode>,
    /// When Brani said until when it wants no requests, and that moment.
    asked: Option<(Timestamp, Timestamp)>,
    refusals: u32,
    unauthorized: bool,
    last_success: Option<Timestamp>,
}

impl Weather {
    /// What to do now. A failure that lies ahead was there before the clock was set back: its wait is over.
    pub fn forecast(&self, now: Timestamp) -> Forecast {
        if let Some((said, until)) = self.asked
            && said <= now
            && until > now
        {
            return Forecast::Probe(until);
        }
        match self.until {
            Some((failed, _)) if failed > now => Forecast::Probe(now),
            Some(_) if !self.failed.is_empty() && self.failed.len() < SUSPECTS => Forecast::Probe(now),
            Some((_, until)) => Forecast::Probe(until),
            None => Forecast::Fair,
        }
    }

    /// Whether a request that is ready must not leave now.
    pub fn holds(&self, now: Timestamp) -> bool {
        matches!(self.forecast(now), Forecast::Probe(until) if until > now)
    }

    /// Whether the whole flow is held up.
    pub fn is_out(&self) -> bool {
        self.unauthorized || self.failed.len() >= 2 || self.failures >= 3 || self.refusals >= REFUSALS_MAX
    }

    /// Brani took this order, or something else. Returns the codes that suffered from an outage which is over, to be
    /// tried again now: not the code that fails alone.
    pub fn success(&mut self, code: Option<&OrderCode>, now: Timestamp) -> Vec<OrderCode> {
        let mut failed = std::mem::take(&mut self.failed);
        let mut alone = std::mem::take(&mut self.alone);
        match code {
            Some(code) => {
                failed.remove(code);
                alone.extend(failed.iter().cloned());
                alone.remove(code);
            }
            // Whose success it was is not known: it may have been theirs.
            None => alone.clear(),
        }
        if alone.len() > ALONE_MAX {
            alone.clear();
        }
        *self = Self {
            last_success: Some(now),
            alone,
            asked: self.asked,
            ..Self::default()
        };
        match failed.len() {
            0 | 1 => Vec::new(),
            _ => failed.into_iter().collect(),
        }
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
                if let Some(wait) = retry_after {
                    let until = later(now, *wait);
                    let until = self.asked.map_or(until, |(_, asked)| asked.max(until));
                    self.asked = Some((now, until));
                } else if self.alone.contains(code) {
                    return;
                }
                self.failed.insert(code.clone());
                self.failures += 1;
                self.until = Some((now, later(now, backoff(self.failures, jitter))));
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

    fn good() -> OrderCode {
        OrderCode::from("good")
    }

    #[test]
    fn one_order_that_always_fails_is_not_an_outage() {
        let mut weather = Weather::default();
        weather.failure(&OrderCode::from("bad"), &away(None), Timestamp::UNIX_EPOCH, 0.5);
        assert!(!weather.is_out());
        assert_eq!(weather.success(Some(&good()), Timestamp::UNIX_EPOCH), vec![]);
        assert_eq!(weather.forecast(Timestamp::UNIX_EPOCH), Forecast::Fair);
    }

    #[test]
    fn an_order_that_fails_alone_holds_up_no_other() {
        let (now, bad) = (Timestamp::UNIX_EPOCH, OrderCode::from("bad"));
        let mut weather = Weather::default();
        for _ in 0..9 {
            weather.failure(&bad, &away(None), now, 0.5);
        }
        assert!(!weather.holds(now), "another one is tried at once");
        weather.success(Some(&good()), now);
        weather.failure(&bad, &away(None), now, 0.5);
        assert_eq!(weather.forecast(now), Forecast::Fair, "others get through");
        weather.success(Some(&bad), now);
        weather.failure(&bad, &away(None), now, 0.5);
        assert_ne!(weather.forecast(now), Forecast::Fair, "it got through, too");
    }

    #[test]
    fn three_orders_that_fail_hold_up_all() {
        let now = Timestamp::UNIX_EPOCH;
        let mut weather = Weather::default();
        for code in ["a", "b", "c"] {
            assert!(!weather.holds(now));
            weather.failure(&OrderCode::from(code), &away(None), now, 0.5);
        }
        assert!(weather.holds(now));
    }

    #[test]
    fn a_success_that_was_on_its_way_does_not_end_what_brani_asked_for() {
        let now = Timestamp::UNIX_EPOCH;
        let mut weather = Weather::default();
        weather.success(Some(&good()), now);
        let wait = Duration::from_secs(77);
        weather.failure(&OrderCode::from("a"), &away(Some(wait)), now, 0.5);
        weather.success(Some(&good()), now);
        weather.failure(
            &OrderCode::from("b"),
            &away(Some(Duration::from_secs(5))),
            now,
            0.5,
        );
        assert_eq!(weather.forecast(now), Forecast::Probe(later(now, wait)));
        weather.success(Some(&good()), now);
        assert_eq!(weather.forecast(later(now, wait)), Forecast::Fair);
    }

    #[test]
    fn two_orders_that_fail_are_an_outage_and_both_are_freed_after_it() {
        let mut weather = Weather::default();
        for code in ["a", "b"] {
            weather.failure(&OrderCode::from(code), &away(None), Timestamp::UNIX_EPOCH, 0.5);
        }
        assert!(weather.is_out());
        assert_eq!(weather.success(Some(&good()), Timestamp::UNIX_EPOCH).len(), 2);
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
