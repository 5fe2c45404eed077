//! Doorbells: every trigger only rings, one loop answers.
//!
//! Rings that come while a pass works fold into one more pass. Someone who needs a pass that *begins now* waits
//! for the end of the first pass that began after the ring; everyone who waits is served by the same pass.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How a pass ended, for those who waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It did all it was to do.
    Well,
    /// It could not; the reason in one line.
    Badly(String),
}

#[derive(Debug, Clone)]
struct Turns {
    begun: u64,
    ended: u64,
    last: Ended,
}

/// A bell; clones ring the same one.
#[derive(Clone, Debug)]
pub struct Bell {
    name: &'static str,
    rung: Arc<Notify>,
    turns: Arc<watch::Sender<Turns>>,
    stepped: Arc<Mutex<Instant>>,
}

impl Bell {
    /// A bell nobody has rung yet.
    pub fn new(name: &'static str) -> Self {
        let turns = Turns {
            begun: 0,
            ended: 0,
            last: Ended::Well,
        };
        Self {
            name,
            rung: Arc::new(Notify::new()),
            turns: Arc::new(watch::Sender::new(turns)),
            stepped: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Its name in the log.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Rings. Rings before the loop has come fold into one.
    pub fn ring(&self) {
        self.rung.notify_one();
    }

    /// The loop's side: waits for a ring.
    pub async fn rung(&self) {
        self.rung.notified().await;
    }

    /// The loop's side: a pass begins now and serves everybody who rang before.
    pub fn begin(&self) -> Pass<'_> {
        self.step();
        self.turns.send_modify(|turns| turns.begun += 1);
        Pass {
            bell: self,
            ended: false,
        }
    }

    /// How many passes have begun, and whether one is being worked at: what a pass of another bell runs beside.
    pub fn turns(&self) -> (u64, bool) {
        let turns = self.turns.borrow();
        (turns.begun, turns.ended < turns.begun)
    }

    /// The pass's side: it is further than before. A pass may take hours, and is stuck only when it stands still.
    pub fn step(&self) {
        *self.stepped.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago the last pass began, or was further than before.
    pub fn stands_still(&self) -> Duration {
        self.stepped
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }

    /// Rings, and waits for the end of the first pass that begins from now on.
    pub async fn ring_and_wait(&self) -> Ended {
        let mut turns = self.turns.subscribe();
        let wanted = turns.borrow_and_update().begun + 1;
        self.ring();
        loop {
            {
                let now = turns.borrow_and_update();
                if now.ended >= wanted {
                    return now.last.clone();
                }
            }
            if turns.changed().await.is_err() {
                return Ended::Badly("the loop is gone".into());
            }
        }
    }
}

/// A pass that has begun; dropped without [`Pass::end`], it ended badly.
#[derive(Debug)]
pub struct Pass<'a> {
    bell: &'a Bell,
    ended: bool,
}

impl Pass<'_> {
    /// The pass is over.
    pub fn end(mut self, how: Ended) {
        self.finish(how);
    }

    fn finish(&mut self, how: Ended) {
        self.ended = true;
        self.bell.turns.send_modify(|turns| {
            turns.ended = turns.begun;
            turns.last = how;
        });
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(Ended::Badly("the pass was cut off".into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bell, Ended};

    #[tokio::test]
    async fn waiting_ring_is_served_by_a_pass_begun_after_it() {
        let bell = Bell::new("test");
        let early = bell.begin();
        let waiter = tokio::spawn({
            let bell = bell.clone();
            async move { bell.ring_and_wait().await }
        });
        bell.rung().await;
        early.end(Ended::Badly("begun too early".into()));
        bell.begin().end(Ended::Well);
        assert_eq!(waiter.await.unwrap(), Ended::Well);
    }

    #[tokio::test]
    async fn rings_fold_into_one() {
        let bell = Bell::new("test");
        for _ in 0..5 {
            bell.ring();
        }
        bell.rung().await;
        let again = tokio::time::timeout(std::time::Duration::from_millis(20), bell.rung()).await;
        assert!(again.is_err(), "a second pass was rung for");
    }

    #[tokio::test]
    async fn dropped_pass_ends_badly() {
        let bell = Bell::new("test");
        let waiter = tokio::spawn({
            let bell = bell.clone();
            async move { bell.ring_and_wait().await }
        });
        bell.rung().await;
        drop(bell.begin());
        assert!(matches!(waiter.await.unwrap(), Ended::Badly(_)));
    }
}
