//! Telling people who read no log: once when a trouble has lasted, once when it is over.
//!
//! Whoever notices a trouble says so as often as he likes; this room compares what is with what was told. Texts
//! must hold no personal data: they leave the machine. A telling that fails is repeated, and logged once.

use crate::config;
use crate::config::secret::Secret;
use crate::writeback::WritebackError;
use crate::writeback::command::Program;
use crate::writeback::http::{Request, Settings};
use crate::writeback::parameters::SettingError;
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The parameters of an alert: the shop's name, the kind of trouble, `trouble` or `over`, and a sentence.
pub const NAMES: &[&str] = &["shop", "kind", "state", "text"];

/// For one telling.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Until a telling that failed is repeated.
const AGAIN: Duration = Duration::from_secs(60);

/// The way an alert goes out.
#[async_trait]
pub trait Telling: Send + Sync {
    /// Tells somebody.
    ///
    /// # Errors
    /// As a handler's.
    async fn tell(&self, parameters: &Map<String, Value>) -> Result<(), WritebackError>;
}

#[async_trait]
impl Telling for Request {
    async fn tell(&self, parameters: &Map<String, Value>) -> Result<(), WritebackError> {
        self.send(parameters, None).await
    }
}

#[async_trait]
impl Telling for Program {
    async fn tell(&self, parameters: &Map<String, Value>) -> Result<(), WritebackError> {
        self.run(parameters).await
    }
}

/// What is known of one kind of trouble.
#[derive(Debug, Default)]
struct Trouble {
    /// Since when, and the latest words; none when it is over.
    lasts: Option<(Instant, String)>,
    told: bool,
    /// Not before; after a telling that failed.
    not_before: Option<Instant>,
    failure_logged: bool,
}

struct Shared {
    telling: Option<Box<dyn Telling>>,
    shop: String,
    after: Duration,
    troubles: Mutex<BTreeMap<String, Trouble>>,
    changed: Notify,
}

/// Alerts; clones are the same.
#[derive(Clone)]
pub struct Alert(Arc<Shared>);

impl std::fmt::Debug for Alert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alert").finish_non_exhaustive()
    }
}

impl Alert {
    /// As `[alert]` says; without that section nobody is told. `headers` and `password` are the secrets of its
    /// `http`, found.
    ///
    /// # Errors
    /// The setting that does not do.
    pub fn new(
        config: Option<&config::Alert>,
        headers: &[(String, Secret)],
        password: Option<&Secret>,
        shop: &str,
    ) -> Result<Self, SettingError> {
        let Some(config) = config else {
            return Ok(Self::with(None, Duration::ZERO, shop));
        };
        let telling: Box<dyn Telling> = match (&config.http, &config.command) {
            (Some(http), None) => Box::new(Request::new(&Settings {
                setting: "alert.http",
                http,
                headers,
                password,
                timeout: TIMEOUT,
                names: NAMES,
            })?),
            (None, Some(command)) => Box::new(Program::new("alert.command", command, TIMEOUT)?),
            _ => return Err(SettingError::new("alert", "has exactly one of `http`, `command`")),
        };
        Ok(Self::with(Some(telling), config.after, shop))
    }

    /// By a way of one's own.
    pub fn with(telling: Option<Box<dyn Telling>>, after: Duration, shop: &str) -> Self {
        Self(Arc::new(Shared {
            telling,
            shop: shop.to_owned(),
            after,
            troubles: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// There is trouble of this kind; said again, only the words change.
    pub fn trouble(&self, kind: &str, text: &str) {
        if self.0.telling.is_none() {
            return;
        }
        {
            let mut troubles = self.troubles();
            let trouble = troubles.entry(kind.to_owned()).or_default();
            match &mut trouble.lasts {
                Some((_, words)) => text.clone_into(words),
                None => trouble.lasts = Some((Instant::now(), text.to_owned())),
            }
        }
        self.0.changed.notify_one();
    }

    /// There is none of this kind any more; saying so without one is harmless.
    pub fn over(&self, kind: &str) {
        {
            let mut troubles = self.troubles();
            let Some(trouble) = troubles.get_mut(kind) else {
                return;
            };
            trouble.lasts = None;
            if !trouble.told {
                troubles.remove(kind);
            }
        }
        self.0.changed.notify_one();
    }

    /// Tells what is to be told, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let Some(telling) = self.0.telling.as_deref() else {
            return stop.cancelled().await;
        };
        let work = async {
            loop {
                let (due, next) = self.look(Instant::now());
                for (kind, text) in due {
                    self.tell(telling, &kind, text).await;
                }
                match next {
                    Some(at) => tokio::select! {
                        () = tokio::time::sleep_until(at) => {}
                        () = self.0.changed.notified() => {}
                    },
                    None => self.0.changed.notified().await,
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// What is to be told now (no text: it is over), and when to look again.
    fn look(&self, now: Instant) -> (Vec<(String, Option<String>)>, Option<Instant>) {
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for (kind, trouble) in self.troubles().iter() {
            let (at, text) = match &trouble.lasts {
                Some((since, text)) if !trouble.told => (*since + self.0.after, Some(text.clone())),
                None if trouble.told => (now, None),
                _ => continue,
            };
            let at = trouble.not_before.map_or(at, |earliest| at.max(earliest));
            if at <= now {
                due.push((kind.clone(), text));
                // A telling that fails is due again then.
                next = Some(next.map_or(now + AGAIN, |next| next.min(now + AGAIN)));
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        (due, next)
    }

    async fn tell(&self, telling: &dyn Telling, kind: &str, text: Option<String>) {
        let is_trouble = text.is_some();
        let mut parameters = Map::new();
        parameters.insert("shop".into(), self.0.shop.clone().into());
        parameters.insert("kind".into(), kind.into());
        parameters.insert("state".into(), if is_trouble { "trouble" } else { "over" }.into());
        parameters.insert("text".into(), text.unwrap_or_else(|| "It is over".into()).into());
        let told = telling.tell(&parameters).await;
        let mut troubles = self.troubles();
        let trouble = troubles.entry(kind.to_owned()).or_default();
        match told {
            Ok(()) => {
                trouble.told = is_trouble;
                trouble.not_before = None;
                trouble.failure_logged = false;
            }
            Err(error) => {
                trouble.not_before = Some(Instant::now() + AGAIN);
                if !std::mem::replace(&mut trouble.failure_logged, true) {
                    tracing::error!(
                        event = "alert.failed",
                        kind,
                        "An alert could not be told; it is tried again every minute: {error}"
                    );
                }
            }
        }
        if trouble.lasts.is_none() && !trouble.told {
            troubles.remove(kind);
        }
    }

    fn troubles(&self) -> MutexGuard<'_, BTreeMap<String, Trouble>> {
        self.0.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails so many times first; keeps `kind state`.
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<(usize, usize, Vec<String>)>>);

    #[async_trait]
    impl Telling for Heard {
        async fn tell(&self, parameters: &Map<String, Value>) -> Result<(), WritebackError> {
            let mut heard = self.0.lock().unwrap();
            heard.1 += 1;
            if heard.0 > 0 {
                heard.0 -= 1;
                return Err(WritebackError::Unavailable("away".into()));
            }
            let word = |name: &str| parameters[name].as_str().unwrap().to_owned();
            heard.2.push(format!("{} {}", word("kind"), word("state")));
            Ok(())
        }
    }

    impl Heard {
        fn words(&self) -> Vec<String> {
            self.0.lock().unwrap().2.clone()
        }
    }

    fn start(failures: usize) -> (Alert, Heard) {
        let heard = Heard::default();
        heard.0.lock().unwrap().0 = failures;
        let alert = Alert::with(Some(Box::new(heard.clone())), Duration::from_secs(900), "kvetiny");
        let running = alert.clone();
        tokio::spawn(async move { running.run(CancellationToken::new()).await });
        (alert, heard)
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_lasts_is_told_once_and_its_end_once() {
        let (alert, heard) = start(0);
        alert.trouble("send", "Brani does not answer");
        pass(890).await;
        alert.trouble("send", "Brani still does not answer");
        assert!(heard.words().is_empty());
        pass(20).await;
        assert_eq!(heard.words(), ["send trouble"]);
        alert.trouble("send", "Brani still does not answer");
        pass(10_000).await;
        alert.over("send");
        alert.over("send");
        pass(1000).await;
        assert_eq!(heard.words(), ["send trouble", "send over"]);
    }

    #[tokio::test(start_paused = true)]
    async fn short_trouble_is_not_told() {
        let (alert, heard) = start(0);
        alert.trouble("send", "x");
        pass(800).await;
        alert.over("send");
        alert.trouble("send", "x");
        pass(800).await;
        assert!(heard.words().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn telling_that_fails_is_repeated_each_minute_until_heard() {
        let (alert, heard) = start(3);
        alert.trouble("send", "x");
        pass(900 + 4 * 60 + 5).await;
        assert_eq!(heard.words(), ["send trouble"]);
        assert_eq!(heard.0.lock().unwrap().1, 4);
    }
}
