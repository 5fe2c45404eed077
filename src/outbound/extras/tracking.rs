//! Where parcels are: asked of Brani at a decent pace until there is nothing more to come.
//!
//! A change becomes an event of our own in the inbox; the way back hands it to `writeback.delivery_state` by the rules
//! of every other event.

use super::{Beside, Due, Report, is_refusal};
use crate::brani::extras::TrackingStep;
use crate::brani::{Error, time};
use crate::clock::later;
use crate::context::{Context, PassError, TrackingRules};
use crate::ledger::extras::{self, Extra, State};
use crate::ledger::inbox::{self, Event};
use crate::types::{EventId, OrderCode, WebhookId};
use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// The state that the ledger remembers of a parcel.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Parcel {
    /// The contract's code, e.g. `1.2`.
    pub state: String,
    /// Brani's word for it.
    pub name: String,
    /// Since when, as Brani wrote it.
    pub at: String,
}

impl Parcel {
    /// What the ledger remembers.
    pub fn of(extra: &Extra) -> Option<Self> {
        serde_json::from_str(extra.memory.as_deref()?).ok()
    }
}

/// The newest step whose code the contract lists. Whether the service tells the oldest first is not known: the date
/// decides, and of steps of one second the later one of the list.
fn newest(steps: &[TrackingStep]) -> Option<(&TrackingStep, crate::brani::extras::DeliveryState)> {
    steps
        .iter()
        .filter_map(|step| step.state.map(|state| (step, state)))
        .max_by(|(a, _), (b, _)| a.date.cmp(&b.date))
}

/// Asked again later; given up on at some time.
fn next(rules: &TrackingRules, extra: &Extra, now: Timestamp) -> Option<Timestamp> {
    let give_up = SignedDuration::try_from(rules.give_up).unwrap_or(SignedDuration::MAX);
    (now.duration_since(extra.since) < give_up).then(|| later(now, rules.every))
}

impl Beside {
    /// Asks for each parcel that is due.
    pub(super) async fn parcels(
        &self,
        context: &Context,
        due: Vec<Due>,
        report: &mut Report,
    ) -> Result<(), PassError> {
        let Some(rules) = context.rules.extras.tracking.clone() else {
            return Ok(());
        };
        let width = context.rules.concurrency.max(1);
        for due in due.chunks(width * 4) {
            let answers: Vec<(Extra, Result<Vec<TrackingStep>, Error>)> = stream::iter(due.iter().cloned())
                .map(|due| async move {
                    let answer = self.service.track_order(&due.extra.code).await;
                    match &answer {
                        Ok(_) => self.success(context),
                        // An order without a parcel may well be unknown to the carriers' side.
                        Err(error) if is_refusal(error) => {}
                        Err(error) => self.failure(context, &due.extra.code, error),
                    }
                    (due.extra, answer)
                })
                .buffer_unordered(width)
                .collect()
                .await;
            let (rules, now) = (rules.clone(), context.now());
            let failed = answers.iter().filter(|(_, answer)| answer.is_err()).count();
            report.failed += failed as u64;
            let changed = context
                .ledger
                .write(move |connection| {
                    let mut changed = Vec::new();
                    for (before, answer) in answers {
                        let Some(extra) = extras::get(connection, &before.code, before.kind)? else {
                            continue;
                        };
                        let (extra, event) = told(extra, answer, &rules, now);
                        if let Some(event) = event {
                            changed.push((extra.code.clone(), Parcel::of(&extra)));
                            inbox::insert_own(connection, event, now)?;
                        }
                        extras::put(connection, &extra)?;
                    }
                    Ok(changed)
                })
                .await?;
            if !changed.is_empty() {
                report.parcels += changed.len() as u64;
                context.bells.apply.ring();
            }
            for (code, parcel) in changed {
                let state = parcel.map(|parcel| parcel.state).unwrap_or_default();
                tracing::debug!(event = "extras.parcel", ORDER_CODE = %code, state, "The parcel of order `{code}` is in state {state}");
            }
            if self.weather().is_out() {
                break;
            }
        }
        Ok(())
    }
}

/// What follows from an answer about a parcel.
fn told(
    mut extra: Extra,
    answer: Result<Vec<TrackingStep>, Error>,
    rules: &TrackingRules,
    now: Timestamp,
) -> (Extra, Option<Event>) {
    let steps = match answer {
        Ok(steps) => steps,
        Err(error) => {
            extra.note = Some(error.to_string());
            extra.due = next(rules, &extra, now);
            if !is_refusal(&error) {
                extra.attempts = extra.attempts.saturating_add(1);
                let soon = later(
                    now,
                    super::backoff(extra.attempts, super::jitter(&extra.code, now)),
                );
                extra.due = extra.due.map(|due| due.min(soon));
            }
            return (extra, None);
        }
    };
    extra.attempts = 0;
    extra.note = None;
    extra.done = Some(now);
    extra.due = next(rules, &extra, now);
    let Some((step, state)) = newest(&steps) else {
        return (extra, None);
    };
    if state.is_final() {
        extra.due = None;
        extra.state = State::Sent;
        extra.value = None;
    }
    let parcel = Parcel {
        state: state.code().into(),
        name: step.name.clone(),
        at: step.date.clone(),
    };
    let before = Parcel::of(&extra);
    if before.is_some_and(|before| before.state == parcel.state) {
        return (extra, None);
    }
    let text = json!({ "state": parcel.state, "state_name": parcel.name, "at": parcel.at });
    extra.memory = serde_json::to_string(&parcel).ok();
    let event = delivery(extra.code.clone(), text.to_string(), now);
    (extra, Some(event))
}

fn delivery(code: OrderCode, text: String, now: Timestamp) -> Event {
    Event {
        id: EventId(0),
        general: false,
        webhook: WebhookId(0),
        kind: "delivery_state".into(),
        code: Some(code),
        creation: time::written(now),
        at: now,
        status: None,
        package_number: None,
        text: Some(text),
        state: "new".into(),
        initial: false,
        pushed: true,
        attempts: 0,
        due: Timestamp::UNIX_EPOCH,
        reason: None,
        received: now,
    }
}

#[cfg(test)]
mod tests {
    use super::{newest, next, told};
    use crate::brani::Error;
    use crate::brani::extras::{DeliveryState, TrackingStep};
    use crate::context::TrackingRules;
    use crate::ledger::extras::{Extra, State};
    use crate::mapping::extras::Kind;
    use jiff::Timestamp;
    use std::time::Duration;

    fn step(date: &str, state: Option<DeliveryState>) -> TrackingStep {
        TrackingStep {
            name: format!("{state:?}"),
            date: date.into(),
            state,
        }
    }

    fn extra() -> Extra {
        Extra {
            code: "A".into(),
            kind: Kind::Tracking,
            state: State::Waiting,
            wanted: None,
            value: None,
            sent: None,
            memory: None,
            due: Some(Timestamp::UNIX_EPOCH),
            attempts: 0,
            failing_since: None,
            problem: None,
            note: None,
            since: Timestamp::UNIX_EPOCH,
            done: None,
        }
    }

    fn rules() -> TrackingRules {
        TrackingRules {
            every: Duration::from_secs(100),
            give_up: Duration::from_secs(1000),
        }
    }

    #[test]
    fn the_newest_known_step_counts_whatever_the_order_of_the_list() {
        let mut steps = vec![
            step("2026-06-01 10:00:00", Some(DeliveryState::Collected)),
            step("2026-06-03 10:00:00", None),
            step("2026-06-02 10:00:00", Some(DeliveryState::Delivered)),
        ];
        for _ in 0..2 {
            assert_eq!(
                newest(&steps).map(|(_, state)| state),
                Some(DeliveryState::Delivered)
            );
            steps.reverse();
        }
        assert_eq!(newest(&steps[..0]).map(|(_, state)| state), None);
    }

    #[test]
    fn a_state_is_told_once_and_a_final_one_ends_the_asking() {
        let now = Timestamp::from_second(10).unwrap();
        let on_its_way = || Ok(vec![step("2026-06-01 10:00:00", Some(DeliveryState::InTransit))]);
        let (extra, event) = told(extra(), on_its_way(), &rules(), now);
        assert!(event.is_some() && extra.due == Some(Timestamp::from_second(110).unwrap()));
        let (extra, event) = told(extra, on_its_way(), &rules(), now);
        assert!(event.is_none());
        let arrived = Ok(vec![step("2026-06-02 10:00:00", Some(DeliveryState::Delivered))]);
        let (extra, event) = told(extra, arrived, &rules(), now);
        assert!(event.is_some() && extra.due.is_none() && extra.state == State::Sent);
    }

    #[test]
    fn a_parcel_that_never_arrives_is_given_up_and_a_refusal_is_no_end() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(next(&rules(), &extra(), at(999)), Some(at(1099)));
        assert_eq!(next(&rules(), &extra(), at(1000)), None);
        let (extra, event) = told(extra(), Err(Error::NotFound), &rules(), at(5));
        assert!(event.is_none() && extra.due == Some(at(105)) && extra.state == State::Waiting);
    }
}
