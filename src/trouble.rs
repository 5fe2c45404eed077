//! The same trouble is told once, then every so often, then once when it is over.
//!
//! A trouble has a name (an `event=` name of the log); people who read no log are told through `[alert]`.

use crate::alert::Alert;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It will mend itself; look if it lasts.
    Warn,
    /// A person is needed.
    Error,
}

/// Between two lines about the same trouble.
const REPEAT: Duration = Duration::from_secs(30 * 60);

#[derive(Debug)]
struct Open {
    since: Timestamp,
    told: Timestamp,
    text: String,
    weight: Weight,
    /// The flows that have it: it is over when none has it any more.
    flows: BTreeSet<&'static str>,
}

/// What is wrong at the moment; clones share it.
#[derive(Clone, Default)]
pub struct Troubles {
    open: Arc<Mutex<BTreeMap<String, Open>>>,
    alert: Option<Alert>,
}

impl std::fmt::Debug for Troubles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Troubles")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl Troubles {
    /// Nothing is wrong; `alert` hears of what lasts.
    pub fn new(alert: Option<Alert>) -> Self {
        Self {
            open: Arc::default(),
            alert,
        }
    }

    /// Something is wrong. `text` is one sentence without personal data; `hint` says what to do.
    pub fn begin(&self, event: &str, weight: Weight, text: &str, hint: &str, now: Timestamp) {
        self.begin_of("", event, weight, text, hint, now);
    }

    /// Something is wrong that several flows may meet: it is told once, and is over when it is over for all of them.
    pub fn begin_of(
        &self,
        flow: &'static str,
        event: &str,
        weight: Weight,
        text: &str,
        hint: &str,
        now: Timestamp,
    ) {
        let say = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            match open.get_mut(event) {
                Some(trouble) => {
                    trouble.flows.insert(flow);
                    let due = now.duration_since(trouble.told)
                        >= jiff::SignedDuration::try_from(REPEAT).unwrap_or_default();
                    let other = trouble.weight != weight;
                    trouble.text = text.to_owned();
                    trouble.weight = weight;
                    if due || other {
                        trouble.told = now;
                    }
                    due || other
                }
                None => {
                    let trouble = Open {
                        since: now,
                        told: now,
                        text: text.to_owned(),
                        weight,
                        flows: BTreeSet::from([flow]),
                    };
                    open.insert(event.to_owned(), trouble);
                    true
                }
            }
        };
        if say {
            // The sentence alone is what the journal shows: it says what to do as well.
            let and = if hint.is_empty() { "" } else { "; " };
            match weight {
                Weight::Warn => tracing::warn!(event, "{text}{and}{hint}"),
                Weight::Error => tracing::error!(event, "{text}{and}{hint}"),
            }
        }
        if let Some(alert) = &self.alert {
            alert.trouble(event, text);
        }
    }

    /// It is over, if it was.
    pub fn end(&self, event: &str, text: &str, now: Timestamp) {
        self.end_of("", event, text, now);
    }

    /// It is over for this flow, if it had it.
    pub fn end_of(&self, flow: &'static str, event: &str, text: &str, now: Timestamp) {
        let was = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let over = open.get_mut(event).is_some_and(|trouble| {
                trouble.flows.remove(flow);
                trouble.flows.is_empty()
            });
            over.then(|| open.remove(event)).flatten()
        };
        if let Some(was) = was {
            let lasted_s = now.duration_since(was.since).as_secs();
            tracing::info!(event = format!("{event}.over"), lasted_s, "{text}");
            if let Some(alert) = &self.alert {
                alert.over(event);
            }
        }
    }

    /// What is wrong now: name, sentence, since when.
    pub fn list(&self) -> Vec<(String, String, Timestamp)> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter()
            .map(|(event, trouble)| (event.clone(), trouble.text.clone(), trouble.since))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Troubles, Weight};
    use jiff::Timestamp;

    #[test]
    fn a_trouble_of_two_flows_is_over_when_it_is_over_for_both() {
        let (troubles, now) = (Troubles::default(), Timestamp::UNIX_EPOCH);
        for flow in ["send", "drain"] {
            troubles.begin_of(flow, "brani.unreachable", Weight::Warn, "away", "", now);
        }
        troubles.end_of("drain", "brani.unreachable", "back", now);
        assert_eq!(troubles.list().len(), 1);
        troubles.end_of("send", "brani.unreachable", "back", now);
        assert_eq!(troubles.list().len(), 0);
    }
}
