//! When the bells ring: a duration, or cron with seconds on the shop's clock.
//!
//! The cron scheduler only rings. Beside it stands a guard who knows each bell's next due time by itself, in the
//! shop's zone and across clock changes: a bell that was not rung within its grace he rings, and says so. So the
//! scheduler may skip a tick, double it or die. A tick too many costs one look.

use crate::bell::Bell;
use crate::clock::SharedClock;
use crate::config::duration;
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

const DAY: u64 = 86_400;
/// A duration that needs more cron expressions than this is not for a scheduler that looks at each twice a second.
const EXPRESSIONS_MAX: usize = 60;
/// The guard looks at least this often: the wall clock may be set meanwhile.
const LOOK: Duration = Duration::from_secs(30);
/// Grace: this and a tenth of the period, up to [`GRACE_MAX`].
const GRACE: SignedDuration = SignedDuration::from_secs(5);
const GRACE_MAX: SignedDuration = SignedDuration::from_secs(60);

/// When one bell rings.
#[derive(Clone, Debug)]
pub struct Schedule {
    due: Due,
    /// For the cron scheduler, six fields each; in the zone of `due`.
    expressions: Vec<String>,
}

#[derive(Clone, Debug)]
enum Due {
    /// Seconds; it divides a day, so its ticks are aligned to UTC and no clock change moves them.
    Every(i64),
    Cron(Box<Cron>, TimeZone),
}

impl Schedule {
    /// Reads `30s`, `5m`, `1h` (a duration that divides a minute, an hour or a day) or cron with seconds,
    /// `0 30 3 * * *`, in `zone`.
    ///
    /// # Errors
    /// One sentence that says what was found and what is expected.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self, String> {
        if let Ok(every) = duration::parse(text) {
            return Self::every(text, every);
        }
        let cron = parser().parse(text.trim()).map_err(|error| {
            format!(
                "`{text}` is neither a duration (\"30s\", \"5m\") nor cron with seconds (\"0 30 3 * * *\"): {error}"
            )
        })?;
        Ok(Self {
            due: Due::Cron(Box::new(cron), zone.clone()),
            expressions: vec![text.trim().to_owned()],
        })
    }

    fn every(text: &str, every: Duration) -> Result<Self, String> {
        let seconds = every.as_secs();
        let fits = seconds > 0 && every.subsec_nanos() == 0 && DAY.is_multiple_of(seconds);
        let expressions = if fits { expressions(seconds) } else { Vec::new() };
        if expressions.is_empty() || expressions.len() > EXPRESSIONS_MAX {
            return Err(format!(
                "`{text}` does not divide a minute, an hour or a day evenly; write e.g. \"30s\", \"5m\", \"1h\", or cron with seconds"
            ));
        }
        Ok(Self {
            due: Due::Every(i64::try_from(seconds).map_err(|_| format!("`{text}` is too long"))?),
            expressions,
        })
    }

    /// The first due time after `after`; none when there will be none.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.due {
            Due::Every(seconds) => {
                Timestamp::from_second((after.as_second().div_euclid(*seconds) + 1) * seconds).ok()
            }
            Due::Cron(cron, zone) => cron
                .find_next_occurrence(&after.to_zoned(zone.clone()), false)
                .ok()
                .map(|zoned| zoned.timestamp()),
        }
    }

    /// How late a ring may be before the guard steps in.
    fn grace(&self, due: Timestamp) -> SignedDuration {
        let period = self
            .next_after(due)
            .map_or(GRACE_MAX, |next| next.duration_since(due));
        (GRACE + period / 10).min(GRACE_MAX)
    }

    /// The offset that the cron scheduler has to assume now, in seconds east of UTC.
    fn offset(&self, now: Timestamp) -> i32 {
        match &self.due {
            Due::Every(_) => 0,
            Due::Cron(_, zone) => zone.to_offset(now).seconds(),
        }
    }
}

/// The same dialect that the cron scheduler reads.
fn parser() -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Required)
        .dom_and_dow(true)
        .build()
}

/// Cron for every multiple of `seconds` in a day.
fn expressions(seconds: u64) -> Vec<String> {
    match seconds {
        1..60 if 60 % seconds == 0 => vec![format!("*/{seconds} * * * * *")],
        60..3600 if seconds.is_multiple_of(60) && 3600 % seconds == 0 => {
            vec![format!("0 */{} * * * *", seconds / 60)]
        }
        3600..DAY if seconds.is_multiple_of(3600) => vec![format!("0 0 */{} * * *", seconds / 3600)],
        _ => {
            // The period of the pattern is not one field's: group its ticks by minute and second.
            let mut groups: BTreeMap<(u64, u64), Vec<String>> = BTreeMap::new();
            for tick in (0..DAY).step_by(usize::try_from(seconds).unwrap_or(usize::MAX)) {
                groups
                    .entry((tick / 60 % 60, tick % 60))
                    .or_default()
                    .push((tick / 3600).to_string());
            }
            groups
                .into_iter()
                .map(|((minute, second), hours)| format!("{second} {minute} {} * * *", hours.join(",")))
                .collect()
        }
    }
}

/// A bell with its schedule, and when it was last rung from here.
struct Rope {
    schedule: Schedule,
    bell: Bell,
    rung: Arc<AtomicI64>,
    /// What the guard waits for.
    due: Option<Timestamp>,
}

fn pull(bell: &Bell, rung: &AtomicI64, clock: &SharedClock) {
    rung.store(clock.now().as_second(), Ordering::SeqCst);
    bell.ring();
}

/// Rings the bells until `stop`.
pub async fn run(bells: Vec<(Schedule, Bell)>, clock: SharedClock, stop: CancellationToken) {
    let mut ropes = ropes(bells, &clock);
    let mut scheduler: Option<(JobScheduler, Vec<i32>)> = None;
    loop {
        // The scheduler keeps the offset it began with, so a clock change is a new scheduler.
        let offsets: Vec<i32> = ropes
            .iter()
            .map(|rope| rope.schedule.offset(clock.now()))
            .collect();
        if scheduler.as_ref().is_none_or(|(_, known)| *known != offsets) {
            if let Some((old, _)) = &mut scheduler {
                let _ = old.shutdown().await;
            }
            scheduler = match begin(&ropes, &offsets, &clock).await {
                Ok(new) => Some((new, offsets)),
                Err(error) => {
                    tracing::warn!(
                        event = "schedule.failed",
                        %error,
                        "The cron scheduler did not start; the guard rings every bell, some seconds late"
                    );
                    None
                }
            };
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause(&ropes, clock.now())) => look(&mut ropes, &clock),
        }
    }
    if let Some((mut last, _)) = scheduler {
        let _ = last.shutdown().await;
    }
}

fn ropes(bells: Vec<(Schedule, Bell)>, clock: &SharedClock) -> Vec<Rope> {
    let now = clock.now();
    bells
        .into_iter()
        .map(|(schedule, bell)| Rope {
            due: schedule.next_after(now),
            rung: Arc::new(AtomicI64::new(i64::MIN)),
            schedule,
            bell,
        })
        .collect()
}

async fn begin(
    ropes: &[Rope],
    offsets: &[i32],
    clock: &SharedClock,
) -> Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    for (rope, offset) in ropes.iter().zip(offsets) {
        let zone = chrono::FixedOffset::east_opt(*offset).ok_or(JobSchedulerError::ParseSchedule)?;
        for expression in &rope.schedule.expressions {
            let (bell, rung, clock) = (rope.bell.clone(), Arc::clone(&rope.rung), Arc::clone(clock));
            let job = Job::new_tz(expression.as_str(), zone, move |_, _| pull(&bell, &rung, &clock))?;
            scheduler.add(job).await?;
        }
    }
    scheduler.start().await?;
    Ok(scheduler)
}

/// How long the guard may rest.
fn pause(ropes: &[Rope], now: Timestamp) -> Duration {
    ropes
        .iter()
        .filter_map(|rope| rope.due.map(|due| due + rope.schedule.grace(due)))
        .min()
        .and_then(|at| Duration::try_from(at.duration_since(now)).ok())
        .map_or(LOOK, |rest| rest.min(LOOK))
        .max(Duration::from_millis(100))
}

/// The guard's round.
fn look(ropes: &mut [Rope], clock: &SharedClock) {
    let now = clock.now();
    for rope in ropes {
        // A wall clock that was set back would leave the bell silent until the old time comes again.
        let next = rope.schedule.next_after(now);
        if rope.rung.load(Ordering::SeqCst) > now.as_second() {
            rope.rung.store(i64::MIN, Ordering::SeqCst);
        }
        if rope.due.is_none() || next.is_some_and(|next| Some(next) < rope.due) {
            rope.due = next;
        }
        let Some(due) = rope.due else { continue };
        if rope.rung.load(Ordering::SeqCst) >= due.as_second() {
            rope.due = next;
        } else if now >= due + rope.schedule.grace(due) {
            tracing::warn!(
                event = "schedule.overdue",
                bell = rope.bell.name(),
                due = %due,
                "Bell `{}` was due at {due} and nobody rang it; the guard did",
                rope.bell.name()
            );
            pull(&rope.bell, &rope.rung, clock);
            rope.due = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use tokio::time::Instant;

    /// Goes with tokio's paused time.
    struct Turned(Timestamp, Instant);

    impl Clock for Turned {
        fn now(&self) -> Timestamp {
            self.0 + SignedDuration::try_from(self.1.elapsed()).unwrap()
        }
    }

    fn prague() -> TimeZone {
        TimeZone::get("Europe/Prague").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_duration_that_divides_a_day_has_the_cron_that_the_guard_expects() {
        for text in ["1s", "30s", "1m", "90s", "5m", "45m", "1h", "6h", "1d"] {
            let schedule = Schedule::parse(text, &prague()).unwrap();
            let crons: Vec<Cron> = schedule
                .expressions
                .iter()
                .map(|e| parser().parse(e).unwrap())
                .collect();
            let mut now = at("2026-03-28T22:59:59Z");
            for _ in 0..50 {
                let due = schedule.next_after(now).unwrap();
                let by_cron = crons
                    .iter()
                    .map(|cron| {
                        cron.find_next_occurrence(&now.to_zoned(TimeZone::UTC), false)
                            .unwrap()
                            .timestamp()
                    })
                    .min();
                assert_eq!(Some(due), by_cron, "{text} after {now}");
                now = due;
            }
        }
    }

    #[test]
    fn uneven_durations_and_nonsense_are_refused_with_the_text() {
        for text in ["7m", "500ms", "0s", "2d", "often", "* * * * *", "61 * * * * *"] {
            let error = Schedule::parse(text, &prague()).unwrap_err();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn nightly_cron_keeps_the_shops_clock_across_both_changes() {
        let nightly = Schedule::parse("0 30 3 * * *", &prague()).unwrap();
        let due = |text: &str| nightly.next_after(at(text)).unwrap();
        assert_eq!(due("2026-03-28T12:00:00Z"), at("2026-03-29T01:30:00Z"));
        assert_eq!(due("2026-10-24T12:00:00Z"), at("2026-10-25T02:30:00Z"));
        assert_ne!(
            nightly.offset(at("2026-03-28T12:00:00Z")),
            nightly.offset(at("2026-03-30T12:00:00Z"))
        );
    }

    fn rope(text: &str, clock: &SharedClock) -> Vec<Rope> {
        ropes(
            vec![(Schedule::parse(text, &prague()).unwrap(), Bell::new("test"))],
            clock,
        )
    }

    async fn is_rung(bell: &Bell) -> bool {
        tokio::time::timeout(Duration::from_millis(1), bell.rung())
            .await
            .is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn guard_rings_a_bell_that_nobody_rang_and_only_after_its_grace() {
        let clock: SharedClock = Arc::new(Turned(at("2026-01-01T00:00:10Z"), Instant::now()));
        let mut ropes = rope("30s", &clock);
        tokio::time::advance(Duration::from_secs(27)).await;
        look(&mut ropes, &clock);
        assert!(!is_rung(&ropes[0].bell).await);
        tokio::time::advance(Duration::from_secs(2)).await;
        look(&mut ropes, &clock);
        assert!(is_rung(&ropes[0].bell).await);
        assert_eq!(ropes[0].due, Some(at("2026-01-01T00:01:00Z")));
    }

    #[tokio::test(start_paused = true)]
    async fn guard_leaves_a_bell_alone_that_was_rung_in_time() {
        let clock: SharedClock = Arc::new(Turned(at("2026-01-01T00:00:10Z"), Instant::now()));
        let mut ropes = rope("30s", &clock);
        tokio::time::advance(Duration::from_secs(21)).await;
        ropes[0].rung.store(clock.now().as_second(), Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(20)).await;
        look(&mut ropes, &clock);
        assert!(!is_rung(&ropes[0].bell).await);
    }

    #[tokio::test(start_paused = true)]
    async fn clock_set_back_does_not_silence_a_bell() {
        let clock: SharedClock = Arc::new(Turned(at("2026-01-01T12:00:10Z"), Instant::now()));
        let mut ropes = rope("30s", &clock);
        ropes[0].rung.store(clock.now().as_second(), Ordering::SeqCst);
        let back: SharedClock = Arc::new(Turned(at("2026-01-01T09:00:10Z"), Instant::now()));
        look(&mut ropes, &back);
        tokio::time::advance(Duration::from_secs(30)).await;
        look(&mut ropes, &back);
        assert!(is_rung(&ropes[0].bell).await);
    }
}
