//! Pushes: a POST to each webhook, three attempts, and everything that can go wrong with them on request.

use super::{Inner, lock};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How pushes go out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pushes {
    /// Off: events are to be had from the listing only.
    pub enabled: bool,
    /// Attempts in all until a 200.
    pub attempts: u32,
    /// Between attempts.
    pub pause_milliseconds: u64,
    /// How late each push is.
    pub delay_milliseconds: u64,
    /// Up to so much later again, at random: pushes overtake one another.
    pub shuffle_milliseconds: u64,
    /// Each push goes out so many times.
    pub copies: u32,
    /// Of the shuffle.
    pub seed: u64,
}

impl Default for Pushes {
    fn default() -> Self {
        Self {
            enabled: true,
            attempts: 3,
            pause_milliseconds: 1000,
            delay_milliseconds: 0,
            shuffle_milliseconds: 0,
            copies: 1,
            seed: 1,
        }
    }
}

pub(super) struct Switch {
    pub pushes: Pushes,
    rng: StdRng,
}

impl Switch {
    pub fn new(pushes: Pushes) -> Self {
        let rng = StdRng::seed_from_u64(pushes.seed);
        Self { pushes, rng }
    }

    fn delay(&mut self) -> Duration {
        let shuffle = match self.pushes.shuffle_milliseconds {
            0 => 0,
            most => self.rng.random_range(0..=most),
        };
        Duration::from_millis(self.pushes.delay_milliseconds + shuffle)
    }
}

impl Inner {
    /// Pushes stored events, side by side.
    pub(super) fn push(self: &Arc<Self>, ids: &[i64]) {
        for id in ids {
            let (pushes, delays) = {
                let mut switch = lock(&self.pushes);
                let copies = switch.pushes.copies;
                let delays: Vec<Duration> = (0..copies).map(|_| switch.delay()).collect();
                (switch.pushes.clone(), delays)
            };
            if !pushes.enabled {
                continue;
            }
            for delay in delays {
                let inner = Arc::clone(self);
                let pushes = pushes.clone();
                let id = *id;
                self.spawn(async move {
                    tokio::time::sleep(delay).await;
                    inner.deliver(id, &pushes).await;
                });
            }
        }
    }

    async fn deliver(&self, id: i64, pushes: &Pushes) {
        for attempt in 0..pushes.attempts {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(pushes.pause_milliseconds)).await;
            }
            let (url, body) = {
                let mut state = lock(&self.state);
                let Some(event) = state.event(id).cloned() else {
                    return;
                };
                let Some(hook) = state.webhooks.iter().find(|hook| hook.id == event.webhook_id) else {
                    return;
                };
                // the real body is undocumented: nobody may read it
                let body = json!({
                    "webhook_id": event.webhook_id,
                    "event_type": event.event_type,
                    "order_code": event.code,
                });
                (hook.url.clone(), body)
            };
            let answer = self.http.post(&url).json(&body).send().await;
            let now = self.clock.now();
            let mut state = lock(&self.state);
            let now = state.local(now);
            let Some(event) = state.event(id) else { return };
            event.attempts += 1;
            match answer {
                Ok(answer) if answer.status().as_u16() == 200 => {
                    event.successful.get_or_insert(now);
                    return;
                }
                Ok(answer) => {
                    event.last_failed = Some(now);
                    event.last_status = Some(answer.status().as_u16());
                    event.last_error = Some("the answer is not 200".into());
                }
                Err(_) => {
                    event.last_failed = Some(now);
                    event.last_status = None;
                    event.last_error = Some("no answer".into());
                }
            }
        }
    }
}
