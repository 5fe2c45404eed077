//! One lock per order, so that an order is settled by one task at a time while others go on.
//!
//! This room knows codes only. A lock exists as long as somebody holds it or waits for it.

use crate::types::OrderCode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedMutexGuard;

type Slot = Arc<tokio::sync::Mutex<()>>;

/// The locks; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    slots: Arc<Mutex<HashMap<OrderCode, Slot>>>,
}

impl Locks {
    /// No lock is held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for the lock of an order; who came first gets it first. Giving up the wait leaves nothing behind.
    pub async fn lock(&self, code: &OrderCode) -> Guard {
        let place = self.place(code);
        let held = Arc::clone(&place.slot).lock_owned().await;
        Guard {
            _held: held,
            _place: place,
        }
    }

    /// The lock of an order, if nobody holds it at the moment.
    pub fn try_lock(&self, code: &OrderCode) -> Option<Guard> {
        let place = self.place(code);
        let held = Arc::clone(&place.slot).try_lock_owned().ok()?;
        Some(Guard {
            _held: held,
            _place: place,
        })
    }

    /// How many orders are locked or waited for.
    pub fn len(&self) -> usize {
        self.slots().len()
    }

    /// Whether no order is locked or waited for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn place(&self, code: &OrderCode) -> Place {
        let slot = Arc::clone(self.slots().entry(code.clone()).or_default());
        Place {
            locks: self.clone(),
            code: code.clone(),
            slot,
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<OrderCode, Slot>> {
        // Nothing that could panic is done while it is held: a poisoned map is a whole map.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds an order's lock until dropped.
#[derive(Debug)]
pub struct Guard {
    // The order of the fields counts: the lock is given on before the place is given up.
    _held: OwnedMutexGuard<()>,
    _place: Place,
}

/// A place in the queue for one lock, held or waiting. The last one to leave takes the lock away.
#[derive(Debug)]
struct Place {
    locks: Locks,
    code: OrderCode,
    slot: Slot,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = self.locks.slots();
        // Clones are made under this lock only: the map's and ours means that nobody else is there.
        if Arc::strong_count(&self.slot) == 2 {
            slots.remove(&self.code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Locks;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_order_has_one_holder() {
        let (locks, inside, worst) = (
            Locks::new(),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
        );
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let (locks, inside, worst) = (locks.clone(), inside.clone(), worst.clone());
            tasks.spawn(async move {
                let _guard = locks.lock(&"A".into()).await;
                worst.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, SeqCst);
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        assert_eq!(worst.load(SeqCst), 1);
        assert!(locks.is_empty());
    }

    #[tokio::test]
    async fn another_order_is_not_held_up() {
        let locks = Locks::new();
        let _a = locks.lock(&"A".into()).await;
        tokio::time::timeout(Duration::from_secs(1), locks.lock(&"B".into()))
            .await
            .expect("B is free");
    }

    #[tokio::test]
    async fn memory_does_not_grow_even_when_waiting_is_given_up() {
        let locks = Locks::new();
        for n in 0..1000 {
            let code = format!("{n}").into();
            let guard = locks.lock(&code).await;
            let waits = tokio::time::timeout(Duration::ZERO, locks.lock(&code)).await;
            assert!(waits.is_err());
            drop(guard);
        }
        assert_eq!(locks.len(), 0);
    }

    #[tokio::test]
    async fn a_waiter_dropped_after_the_lock_came_free_leaves_nothing() {
        let locks = Locks::new();
        let code = "A".into();
        let guard = locks.lock(&code).await;
        {
            let mut waiting = Box::pin(locks.lock(&code));
            assert!(futures_util::poll!(waiting.as_mut()).is_pending());
            drop(guard);
        }
        assert_eq!(locks.len(), 0);
    }
}
