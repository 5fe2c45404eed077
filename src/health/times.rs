//! How long requests take: counted into buckets as Prometheus wants them.
//!
//! Kept in memory from the process's start; whoever sends observes, the metrics read. No order code comes here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets; above the last is everything.
pub const BOUNDS: [Duration; 9] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// What a request ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Brani took it.
    Sent,
    /// It was refused, or no good answer came.
    Failed,
}

impl Ended {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sent, Self::Failed];

    /// For a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// The requests of this process; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Times(Arc<[Counts; 2]>);

/// What was observed of one ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// How many took no longer than each of [`BOUNDS`]: every bucket counts those before it.
    pub within: [u64; BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// How long they took together.
    pub sum: Duration,
}

impl Times {
    fn of(&self, ended: Ended) -> &Counts {
        &self.0[ended as usize]
    }

    /// A request ended.
    pub fn observe(&self, ended: Ended, took: Duration) {
        let counts = self.of(ended);
        let bucket = BOUNDS
            .iter()
            .position(|bound| took <= *bound)
            .unwrap_or(BOUNDS.len());
        counts.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counts.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was observed so far.
    pub fn observed(&self, ended: Ended) -> Observed {
        let counts = self.of(ended);
        let mut sum = 0;
        let mut within = [0; BOUNDS.len()];
        for (within, bucket) in within.iter_mut().zip(&counts.buckets) {
            sum += bucket.load(Ordering::Relaxed);
            *within = sum;
        }
        Observed {
            within,
            count: sum + counts.buckets[BOUNDS.len()].load(Ordering::Relaxed),
            sum: Duration::from_micros(counts.micros.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, Ended, Times};
    use std::time::Duration;

    #[test]
    fn every_bucket_counts_those_before_it() {
        let times = Times::default();
        for millis in [50, 51, 700, 60_000] {
            times.observe(Ended::Sent, Duration::from_millis(millis));
        }
        let observed = times.observed(Ended::Sent);
        assert_eq!(observed.within, [1, 2, 2, 2, 3, 3, 3, 3, 3]);
        assert_eq!(observed.count, 4);
        assert_eq!(observed.sum, Duration::from_millis(60_801));
        assert_eq!(times.clone().observed(Ended::Failed).within, [0; BOUNDS.len()]);
    }
}
