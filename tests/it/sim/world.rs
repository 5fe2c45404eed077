//! The world of one history: time, chance, both models, and what went wrong first.
//!
//! One generator drives everything, so that a seed is a whole history. Nobody holds the world over an await.

use super::brani::Brani;
use super::checks::Checks;
use super::shop::Shop;
use brani_sync::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// A deliberate fault of the daemon, injected from outside; the checks must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// None at all: the same history, to see that only the fault makes it wrong.
    Nothing,
    /// Reads do not step back behind the cursor.
    NoOverlap,
    /// The hash of what is wanted is taken for the hash of what was sent.
    NewestHashForSent,
    /// A protected status is like any other.
    NoProtect,
    /// A listing ends at its first page.
    ShortPage,
    /// Statuses are compared as Brani's ids and not as the shop's values.
    MappedStatuses,
    /// Package numbers are not listed before statuses are applied.
    NumbersLate,
    /// Events are not looked at before an update.
    NoDrain,
    /// Our own writes are forgotten.
    ForgetWriting,
    /// Brani is never told its own status again.
    ForgetOwed,
    /// A request that was not answered is taken for one that never left.
    ForgetUnanswered,
    /// The handler writes without looking at the row's status.
    Unlocked,
    /// An older status is applied once more after a newer one.
    OutOfOrder,
    /// A new ledger sends before it has learned what was packed.
    SendsUnlearned,
    /// What a window does not show is taken for gone.
    AbsenceIsGone,
    /// One order that fails holds up the whole flow.
    OneStopsAll,
    /// What Brani asks for with `Retry-After` is forgotten.
    NoRetryAfter,
    /// The cursor moves when a read begins, before what it hands over is kept.
    CursorFirst,
    /// The cursor moves though the read broke off.
    CursorOfBrokenRead,
    /// What an export says is taken for what the shop says now.
    ExportsAreNow,
    /// Every export is taken for one that was made when it was read.
    ExportsLookNew,
}

/// What kind of history a seed is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Orders at the start.
    pub orders: usize,
    /// Seconds between what people do, at most.
    pub pace: u64,
    /// Packers act while a request for their order is on its way.
    pub crossing: f64,
    /// Merchants act between our look at a row and our write.
    pub meddling: f64,
    /// Of requests without an answer, those that land late.
    pub late: f64,
    /// Of writes into the shop, those that stand and are not confirmed.
    pub lost_writes: f64,
    /// Orders in one batch.
    pub batch: usize,
    /// Requests in flight.
    pub concurrency: usize,
    /// The service's page size.
    pub page: u64,
    /// Of requests to Brani that go wrong.
    pub brani_faults: f64,
    /// Of calls to the shop that go wrong.
    pub shop_faults: f64,
    /// Crashes, on average, in an hour.
    pub crashes: f64,
    /// The ledger may be lost or come back old.
    pub loss: bool,
    /// Merchants touch statuses.
    pub statuses: bool,
    /// The shop's clock moves.
    pub clock_moves: bool,
    /// Rows change without a newer timestamp.
    pub hidden_edits: bool,
    /// Orders vanish.
    pub deletes: bool,
    /// Another program's webhooks are there, too.
    pub stranger: bool,
    /// Requests of ours make events.
    pub echoes: bool,
    /// The listing is sorted by the written time, which repeats in October.
    pub by_written_time: bool,
    /// The shop can be asked for a row as it stands; else it writes an export this often, in seconds.
    pub export: Option<u64>,
    /// How long it takes to write one, in seconds.
    pub export_takes: u64,
    /// It tells when it was made; else it is known only since when we have it.
    pub export_tells: bool,
    /// Events leave their listings from the beginning, also while they are read.
    pub purges: bool,
    /// Orders that stood in the shop for hours before the daemon's first run.
    pub backlog: usize,
    /// The shop now and then cuts long reads off after their first batch, for minutes.
    pub weary: bool,
    /// Whoever dies may stay away for longer than the overlap.
    pub long_outages: bool,
    /// The main part.
    pub length: Duration,
}

impl Plan {
    /// What came later is drawn apart, so that the seeds that failed once still mean what they meant.
    fn refine(&mut self, seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed ^ 0x5eed);
        self.export = rng.random_bool(0.15).then(|| rng.random_range(20..300));
        self.purges = rng.random_bool(0.2) && !self.loss;
        if rng.random_bool(0.2) {
            self.backlog = rng.random_range(3..12);
        }
        self.weary = rng.random_bool(0.15);
        self.long_outages = rng.random_bool(0.15);
        if rng.random_bool(0.6) {
            self.export_takes = rng.random_range(1..90);
        }
        self.export_tells = rng.random_bool(0.8);
    }

    /// How long it takes, in seconds, until an export surely says what the shop says now.
    pub fn export_lag(&self) -> u64 {
        self.export.map_or(0, |every| every + 2 * self.export_takes)
    }

    /// How long it takes until what a merchant says is heard whatever it is: of two exports the second counts.
    pub fn word_lag(&self) -> SignedDuration {
        let lag = self.export.map_or(0, |_| 2 * self.export_lag() + 120);
        SignedDuration::from_secs(lag.cast_signed())
    }

    fn of(rng: &mut SmallRng) -> Self {
        let rate = |rng: &mut SmallRng, rates: &[f64]| rates[rng.random_range(0..rates.len())];
        let echoes = rng.random_bool(0.2);
        let pace = [30, 30, 10, 4][rng.random_range(0..4)];
        let most = if rng.random_bool(0.5) { 3 } else { 12 };
        Self {
            orders: rng.random_range(1..most),
            pace,
            crossing: rate(rng, &[0.0, 0.0, 0.1, 0.5]),
            meddling: rate(rng, &[0.0, 0.0, 0.1, 0.5]),
            late: rate(rng, &[0.0, 0.3, 0.8]),
            lost_writes: rate(rng, &[0.0, 0.0, 0.05, 0.4]),
            batch: rng.random_range(1..6),
            concurrency: rng.random_range(1..5),
            page: if rng.random_bool(0.5) {
                rng.random_range(1..5)
            } else {
                1000
            },
            brani_faults: rate(rng, &[0.0, 0.02, 0.1, 0.3]),
            shop_faults: rate(rng, &[0.0, 0.0, 0.02, 0.1]),
            crashes: rate(rng, &[0.0, 1.0, 4.0, 12.0]),
            loss: rng.random_bool(0.2),
            statuses: rng.random_bool(0.5),
            clock_moves: rng.random_bool(0.2),
            hidden_edits: rng.random_bool(0.3),
            deletes: rng.random_bool(0.2),
            stranger: rng.random_bool(0.2),
            echoes,
            by_written_time: rng.random_bool(0.3),
            export: None,
            export_takes: 0,
            export_tells: true,
            purges: false,
            backlog: 0,
            weary: false,
            long_outages: false,
            // Some forty to a hundred acts.
            length: Duration::from_secs(rng.random_range(20..50) * pace),
        }
    }
}

/// Everything there is besides the daemon.
pub struct World {
    /// Chance.
    pub rng: SmallRng,
    /// The seed's temper.
    pub plan: Plan,
    /// What is deliberately wrong.
    pub mutation: Option<Mutation>,
    /// Faults have stopped.
    pub calm: bool,
    /// Nobody is there, and the schedule rings once an hour.
    pub night: bool,
    /// The model shop.
    pub shop: Shop,
    /// The model service.
    pub brani: Brani,
    /// What must hold.
    pub checks: Checks,
    /// The first thing that did not hold.
    pub violation: Option<String>,
    /// When it began, by the runtime's clock.
    started: Instant,
    epoch: Timestamp,
    trace: bool,
}

impl World {
    /// The true time.
    pub fn now(&self) -> Timestamp {
        self.epoch + SignedDuration::try_from(self.started.elapsed()).unwrap()
    }

    /// The shop's own clock.
    pub fn shop_now(&self) -> Timestamp {
        self.now() + self.shop.clock
    }

    /// Something happened.
    pub fn tell(&mut self, text: impl FnOnce() -> String) {
        if self.trace {
            let at = self.now();
            println!("{} {}", at.strftime("%d. %H:%M:%S%.3f"), text());
        }
    }

    /// Something does not hold.
    pub fn broken(&mut self, text: String) {
        self.tell(|| format!("!!! {text}"));
        self.violation.get_or_insert(text);
    }

    /// True this often, never when all is calm.
    pub fn chance(&mut self, rate: f64) -> bool {
        !self.calm && self.rng.random_bool(rate)
    }
}

/// The world, shared.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// A world of this seed.
    pub fn new(seed: u64, mutation: Option<Mutation>, trace: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut plan = Plan::of(&mut rng);
        plan.refine(seed);
        // A summer's day, or around the moment when the clocks are changed.
        let moments = [
            "2026-06-10T08:00:00Z",
            "2026-10-25T01:00:00Z",
            "2026-03-29T01:00:00Z",
        ];
        let moment: usize = [0, 0, 0, 1, 1, 2][rng.random_range(0..6)];
        let before = plan.length.as_secs().cast_signed();
        let epoch = moments[moment].parse::<Timestamp>().unwrap()
            - SignedDuration::from_secs(rng.random_range(0..before));
        if mutation.is_some() {
            // What is not to be judged is left out, so that the fault itself is what is noticed.
            plan.echoes = false;
        }
        let world = World {
            plan,
            mutation,
            calm: false,
            night: false,
            shop: Shop::default(),
            brani: Brani::default(),
            checks: Checks::default(),
            violation: None,
            started: Instant::now(),
            epoch,
            trace,
            rng,
        };
        Self(Arc::new(Mutex::new(world)))
    }

    /// The world, for a moment.
    pub fn get(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets a little time pass, as every call over a network does.
    pub async fn latency(&self) {
        let wait = {
            let mut world = self.get();
            let most = if world.rng.random_bool(0.02) { 4000 } else { 200 };
            world.rng.random_range(1..most)
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}

/// The daemon's clock.
pub struct SimClock(pub Shared);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        // The daemon's clock is right; the shop's need not be.
        self.0.get().now()
    }
}
