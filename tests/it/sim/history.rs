//! One history from beginning to end: people act, faults happen, the daemon dies and starts again; then the faults
//! stop, and both sides must come to agree and be quiet.

use super::daemon::Daemon;
use super::world::{Mutation, Shared};
use jiff::SignedDuration;
use rand::RngExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Runs the history of a seed.
///
/// # Errors
/// The first thing that did not hold.
pub fn run(seed: u64, mutation: Option<Mutation>, trace: bool) -> Result<(), String> {
    let shm = Path::new("/dev/shm");
    let folder = if shm.is_dir() {
        tempfile::tempdir_in(shm)
    } else {
        tempfile::tempdir()
    }
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut history = History::new(seed, mutation, trace, folder.path());
        let result = history.run().await;
        if let (Err(what), true) = (&result, trace) {
            history.show(what);
        }
        result
    })
}

struct History {
    shared: Shared,
    path: PathBuf,
    daemon: Option<Daemon>,
    restart: Option<Instant>,
    copy: bool,
}

impl History {
    fn new(seed: u64, mutation: Option<Mutation>, trace: bool, folder: &Path) -> Self {
        let shared = Shared::new(seed, mutation, trace);
        let path = folder.join("ledger.db");
        {
            let mut world = shared.get();
            world.checks.ledger.clone_from(&path);
            let plan = format!("{:?}", world.plan);
            world.tell(|| plan);
            if world.plan.stranger {
                for (id, kind) in [(1, "status_change"), (2, "package_number")] {
                    world.brani.webhooks.push(brani_sync::brani::model::Webhook {
                        id: brani_sync::types::WebhookId(id),
                        event_type: kind.into(),
                        webhook_url: "https://shop.example.cz/script.php".into(),
                    });
                }
            }
            for _ in 0..world.plan.orders {
                world.new_order(0);
            }
            for _ in 0..world.plan.backlog {
                let age = world.rng.random_range(600..20 * 3600);
                world.new_order(age);
            }
            // However old they are, the first read is to find them.
            for row in world.shop.rows.values_mut() {
                row.hidden = false;
            }
        }
        Self {
            shared,
            path,
            daemon: None,
            restart: None,
            copy: false,
        }
    }

    async fn run(&mut self) -> Result<(), String> {
        super::shop::export(&self.shared);
        self.start().await;
        let length = self.shared.get().plan.length;
        self.live(length).await?;
        self.calm();
        self.live(Duration::from_secs(16 * 60)).await?;
        self.agree(false)?;
        self.sweep().await?;
        self.agree(true)?;
        let moves = self.shared.get().checks.moves;
        self.shared.get().tell(|| "now all must be quiet".into());
        self.sweep().await?;
        if self.shared.get().checks.moves != moves {
            return Err("nobody does anything, and it is never quiet".into());
        }
        self.night().await?;
        self.stir().await
    }

    /// Rows that were removed are gone when two sweeps, far apart, do not find them; what an export lacks is not.
    async fn night(&mut self) -> Result<(), String> {
        let nothing = {
            let world = self.shared.get();
            world.shop.removed.is_empty() || world.plan.export.is_some()
        };
        if nothing {
            return Ok(());
        }
        self.shared.get().night = true;
        self.live(Duration::from_secs(21 * 3600)).await?;
        self.shared.get().night = false;
        self.sweep().await?;
        self.shared.get().none_is_left_behind();
        self.verdict()
    }

    /// Bad orders and dead handlers delay nobody else.
    async fn stir(&mut self) -> Result<(), String> {
        let good = self.shared.get().stir();
        let export = self.shared.get().plan.export_lag();
        self.live(Duration::from_secs(export)).await?;
        self.bells().poll.ring();
        self.live(Duration::from_secs(90)).await?;
        self.shared.get().none_was_delayed(&good);
        self.verdict()?;
        self.shared.get().pack_all();
        self.bells().drain.ring();
        self.live(Duration::from_secs(90 + export)).await?;
        self.shared.get().all_was_applied(&good);
        self.verdict()
    }

    fn bells(&self) -> &brani_sync::context::Bells {
        self.daemon.as_ref().expect("it runs").bells()
    }

    /// What the ledger says of the order that a verdict names, or of all that wait.
    fn show(&self, what: &str) {
        let code = what.split('`').nth(1).unwrap_or_default().to_owned();
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        for sql in [
            "SELECT * FROM orders WHERE code = ?1 OR (?1 = '' AND state = 'waiting')",
            "SELECT * FROM events WHERE code = ?1 OR (?1 = '' AND state = 'new')",
        ] {
            let mut statement = connection.prepare(sql).unwrap();
            let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let mut rows = statement.query([&code]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values =
                    names
                        .iter()
                        .enumerate()
                        .filter_map(|(place, name)| match row.get_ref(place).unwrap() {
                            rusqlite::types::ValueRef::Null => None,
                            rusqlite::types::ValueRef::Integer(n) => Some(format!("{name}={n}")),
                            rusqlite::types::ValueRef::Text(t) => {
                                Some(format!("{name}={}", String::from_utf8_lossy(t)))
                            }
                            other => Some(format!("{name}={:x?}", other.as_blob().map(|blob| blob[0]))),
                        });
                println!("  {}", values.collect::<Vec<_>>().join(" "));
            }
        }
    }

    async fn sweep(&mut self) -> Result<(), String> {
        self.shared.get().tell(|| "a sweep".into());
        self.bells().sweep.ring();
        self.live(Duration::from_secs(12 * 60)).await
    }

    /// Faults stop; whoever is dead comes back.
    fn calm(&mut self) {
        let mut world = self.shared.get();
        world.tell(|| "faults stop".into());
        world.calm = true;
        world.shop.down = false;
        world.shop.weary_until = None;
        world.brani.down_until = None;
        drop(world);
        if let Some(daemon) = &self.daemon {
            daemon.spare();
        }
        if self.restart.is_some() {
            self.restart = Some(Instant::now());
        }
    }

    fn agree(&self, swept: bool) -> Result<(), String> {
        self.shared.get().agreement(swept);
        self.verdict()
    }

    fn verdict(&self) -> Result<(), String> {
        self.shared.get().violation.clone().map_or(Ok(()), Err)
    }

    /// Lets things happen for a while.
    async fn live(&mut self, length: Duration) -> Result<(), String> {
        let end = Instant::now() + length;
        let mut act = self.next_act();
        while Instant::now() < end {
            let wake = [Some(end), Some(act), self.restart]
                .into_iter()
                .flatten()
                .min()
                .unwrap();
            let died = {
                let daemon = &self.daemon;
                let died = async {
                    match daemon {
                        Some(daemon) => daemon.died().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = died => true,
                    () = tokio::time::sleep_until(wake) => false,
                }
            };
            if died {
                self.crash().await;
            }
            if self.restart.is_some_and(|at| at <= Instant::now()) {
                self.start().await;
            }
            if act <= Instant::now() {
                self.act().await;
                act = self.next_act();
            }
            self.verdict()?;
        }
        Ok(())
    }

    fn next_act(&self) -> Instant {
        let mut world = self.shared.get();
        if world.calm {
            return Instant::now() + Duration::from_secs(3600);
        }
        let pace = world.plan.pace * 1000;
        Instant::now() + Duration::from_millis(world.rng.random_range(10..pace))
    }

    async fn start(&mut self) {
        self.restart = None;
        let steps = {
            let mut world = self.shared.get();
            let crashes = world.plan.crashes;
            world.tell(|| "the daemon starts".into());
            if crashes > 0.0 && !world.calm {
                // A step is a poll of a task; an hour has about this many.
                let most = (40_000.0 / crashes) as i64;
                world.rng.random_range(1..most)
            } else {
                i64::MAX
            }
        };
        self.daemon = Some(Daemon::start(&self.shared, &self.path, steps).await);
    }

    async fn crash(&mut self) {
        let Some(daemon) = self.daemon.take() else { return };
        self.shared.get().tell(|| "the daemon dies".into());
        daemon.kill().await;
        self.open_windows();
        let (wait, fate) = {
            let mut world = self.shared.get();
            // Whoever looks on would keep the file from being moved and copied.
            world.checks.looks = None;
            let wait = if world.rng.random_bool(0.7) {
                5
            } else if world.plan.long_outages {
                world.rng.random_range(300..1500)
            } else {
                world.rng.random_range(1..400)
            };
            let loss = world.plan.loss && !world.calm;
            (wait, if loss { world.rng.random_range(0..4) } else { 9 })
        };
        match fate {
            0 => {
                self.shared.get().tell(|| "the ledger is lost".into());
                for end in ["", "-wal", "-shm"] {
                    let _ = std::fs::remove_file(self.beside(end));
                }
                self.lost();
            }
            1 if self.copy => {
                self.shared.get().tell(|| "the ledger is an old copy".into());
                for end in ["-wal", "-shm"] {
                    let _ = std::fs::remove_file(self.beside(end));
                }
                std::fs::copy(self.beside(".copy"), &self.path).unwrap();
                self.lost();
            }
            2 if !self.copy => {
                let connection = rusqlite::Connection::open(&self.path).unwrap();
                let copy = self.beside(".copy");
                connection
                    .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
                    .unwrap();
                self.copy = true;
            }
            _ => {}
        }
        self.restart = Some(Instant::now() + Duration::from_secs(wait));
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    }

    fn lost(&self) {
        let mut world = self.shared.get();
        world.checks.lost = Some(world.now());
    }

    /// Requests whose answer was not kept may be repeated.
    fn open_windows(&self) {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        let mut open = connection
            .prepare("SELECT code FROM orders WHERE window_from IS NOT NULL AND window_to IS NULL")
            .unwrap();
        let codes: Vec<String> = open
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for code in codes {
            self.shared.get().left_unanswered(&code);
        }
    }

    /// Somebody does something, or something breaks.
    async fn act(&mut self) {
        self.shared.get().tamper();
        if self.shared.get().calm {
            return;
        }
        let (dice, push) = {
            let mut world = self.shared.get();
            (world.rng.random_range(0..100), world.rng.random_range(0..4))
        };
        self.shared.get().wearies();
        match dice {
            0..45 => self.shared.get().merchant(),
            45..55 => {
                let mut world = self.shared.get();
                let late = world.rng.random_bool(0.3);
                let age = if late { world.rng.random_range(1..200) } else { 0 };
                world.new_order(age);
            }
            55..80 => {
                self.shared.get().packer();
                // A push: never, late (below), once, or twice; it only rings.
                for _ in 1..push {
                    self.push();
                }
            }
            80..84 => {
                let mut world = self.shared.get();
                if world.plan.shop_faults > 0.0 {
                    world.shop.down = !world.shop.down;
                    let down = world.shop.down;
                    world.tell(|| format!("the shop is {}", if down { "away" } else { "there" }));
                }
            }
            84..86 => {
                let mut world = self.shared.get();
                if world.plan.brani_faults > 0.0 {
                    let until = world.now() + SignedDuration::from_secs(world.rng.random_range(10..400));
                    world.brani.down_until = Some(until);
                    world.tell(|| format!("brani is away until {until}"));
                }
            }
            86..88 => {
                let mut world = self.shared.get();
                if world.plan.clock_moves {
                    let by = SignedDuration::from_secs(world.rng.random_range(-1200..1200));
                    world.shop.clock = by;
                    world.tell(|| format!("the shop's clock is off by {by:?}"));
                }
            }
            88..90 => {
                if let Some(daemon) = &self.daemon {
                    daemon.bells().sweep.ring();
                }
            }
            90..94 => {
                let lively = self.shared.get().plan.crashes > 0.0;
                if lively {
                    self.crash().await;
                }
            }
            // A push that comes late, out of order, or from somebody else.
            _ => self.push(),
        }
    }

    fn push(&self) {
        if let Some(daemon) = &self.daemon {
            daemon.bells().drain.ring();
        }
    }
}
