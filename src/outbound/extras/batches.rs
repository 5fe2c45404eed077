//! What Brani takes for many orders at once: priority, ordering, tags.
//!
//! A list that Brani refuses is told order by order, so that the one that spoils it is found and the others go.

use super::{Beside, Due, Outcome, Report, field, is_refusal};
use crate::brani::Error;
use crate::brani::extras::{Tag, Tagged};
use crate::context::{Context, PassError};
use crate::ledger::extras::{self, Extra};
use crate::mapping::extras::Kind;
use crate::mapping::{Owner, Problem};
use crate::types::OrderCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

/// Orders in one request.
const BATCH: usize = 100;

/// What is asked for a list of orders.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Priority(u8),
    Ordering,
    Tag { id: i64, add: bool },
}

/// What the ledger remembers of an order's tags: those that we put there, and those that a request may have put.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Memory {
    has: BTreeSet<i64>,
    may: BTreeSet<i64>,
}

impl Memory {
    fn of(extra: &Extra) -> Self {
        super::kept(extra.memory.as_deref())
    }

    fn text(&self) -> Option<String> {
        (*self != Self::default())
            .then(|| serde_json::to_string(self).ok())
            .flatten()
    }
}

fn number(extra: &Extra) -> i64 {
    let value = extra.value.as_deref();
    value.and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Beside {
    async fn ask(&self, ask: Ask, extras: &[&Extra]) -> Result<Tagged, Error> {
        let codes: Vec<OrderCode> = extras.iter().map(|extra| extra.code.clone()).collect();
        let all = |codes: Vec<OrderCode>| Tagged {
            order_codes: codes,
            ..Tagged::default()
        };
        match ask {
            Ask::Priority(level) => self
                .service
                .set_priority(&codes, level)
                .await
                .map(|()| all(codes)),
            Ask::Ordering => {
                let orders: Vec<(OrderCode, i64)> = extras
                    .iter()
                    .map(|extra| (extra.code.clone(), number(extra)))
                    .collect();
                self.service.set_ordering(&orders).await.map(|()| all(codes))
            }
            Ask::Tag { id, add: true } => self.service.add_tag(&codes, id).await,
            Ask::Tag { id, add: false } => self.service.remove_tag(&codes, id).await,
        }
    }

    /// Asks for a list; where it is refused as a whole, for each alone. Whoever is not answered for failed.
    async fn ask_all(
        &self,
        context: &Context,
        ask: Ask,
        extras: &[&Extra],
    ) -> Vec<(OrderCode, Result<Tagged, Error>)> {
        let mut answers = Vec::new();
        for batch in extras.chunks(BATCH) {
            let first = &batch[0].code;
            let asked = self.ask(ask, batch).await;
            match asked {
                Ok(answer) => {
                    self.success(context);
                    answers.extend(batch.iter().map(|extra| (extra.code.clone(), Ok(answer.clone()))));
                }
                Err(error) if is_refusal(&error) && batch.len() > 1 => {
                    for extra in batch {
                        let answer = self.ask(ask, std::slice::from_ref(extra)).await;
                        match &answer {
                            Ok(_) => self.success(context),
                            Err(error) => self.failure(context, &extra.code, error),
                        }
                        let away = answer.as_ref().is_err_and(|error| !is_refusal(error));
                        answers.push((extra.code.clone(), answer));
                        if away {
                            return answers;
                        }
                    }
                }
                Err(error) => {
                    self.failure(context, first, &error);
                    let away = !is_refusal(&error);
                    answers.extend(batch.iter().map(|extra| (extra.code.clone(), Err(same(&error)))));
                    if away {
                        return answers;
                    }
                }
            }
        }
        answers
    }

    /// Priorities by level, ordering numbers in one list.
    pub(super) async fn levels(
        &self,
        context: &Context,
        kind: Kind,
        due: Vec<Due>,
        report: &mut Report,
    ) -> Result<(), PassError> {
        let mut lists: BTreeMap<i64, Vec<&Extra>> = BTreeMap::new();
        for due in &due {
            let level = if kind == Kind::Priority {
                number(&due.extra)
            } else {
                0
            };
            lists.entry(level).or_default().push(&due.extra);
        }
        for (level, extras) in lists {
            let ask = match kind {
                Kind::Priority => Ask::Priority(u8::try_from(level).unwrap_or(0)),
                _ => Ask::Ordering,
            };
            let answers: BTreeMap<_, _> = self.ask_all(context, ask, &extras).await.into_iter().collect();
            let outcomes = extras.into_iter().filter_map(|extra| {
                let outcome = match answers.get(&extra.code)? {
                    Ok(_) => Outcome::Told {
                        memory: None,
                        note: None,
                    },
                    Err(error) => Outcome::Failed(same(error)),
                };
                Some((extra.clone(), outcome))
            });
            self.mark(context, outcomes.collect(), report).await?;
        }
        Ok(())
    }

    /// The organisation's tags; asked again where `anew`.
    async fn known_tags(&self, context: &Context, anew: bool) -> Result<Vec<Tag>, Error> {
        let kept = self.tags.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(tags) = kept.filter(|_| !anew) {
            return Ok(tags);
        }
        let tags = self.service.org_tags().await?;
        self.success(context);
        *self.tags.lock().unwrap_or_else(PoisonError::into_inner) = Some(tags.clone());
        Ok(tags)
    }

    /// Tags: what we put and nobody wants any more goes, what is wanted and not there is added.
    pub(super) async fn tags(
        &self,
        context: &Context,
        due: Vec<Due>,
        report: &mut Report,
    ) -> Result<(), PassError> {
        let names: Vec<Vec<String>> = due
            .iter()
            .map(|due| super::kept(due.extra.value.as_deref()))
            .collect();
        let wanted = names.iter().any(|names| !names.is_empty());
        let mut known = Vec::new();
        if wanted {
            for anew in [false, true] {
                known = match self.known_tags(context, anew).await {
                    Ok(known) => known,
                    Err(error) => {
                        self.failure(context, &due[0].extra.code, &error);
                        let outcomes = due
                            .into_iter()
                            .map(|due| (due.extra, Outcome::Failed(same(&error))));
                        // A listing that is refused says nothing about the orders.
                        let outcomes = outcomes.map(|(extra, outcome)| match outcome {
                            Outcome::Failed(error) if is_refusal(&error) => {
                                let again = crate::clock::later(
                                    context.now(),
                                    super::super::weather::backoff(9, 1.0),
                                );
                                (extra, Outcome::Later(again))
                            }
                            outcome => (extra, outcome),
                        });
                        return self.mark(context, outcomes.collect(), report).await;
                    }
                };
                if names.iter().flatten().all(|name| find(&known, name).is_some()) {
                    break;
                }
            }
        }
        let mut plans = Vec::new();
        for (due, names) in due.into_iter().zip(names) {
            let ids: BTreeSet<i64> = names.iter().filter_map(|name| find(&known, name)).collect();
            let unknown: Vec<String> = names
                .into_iter()
                .filter(|name| find(&known, name).is_none())
                .collect();
            plans.push((due.extra, ids, unknown));
        }
        // What a request may put there is known before it leaves, so that it can be taken back after a crash.
        let begun: Vec<(OrderCode, Option<String>)> = plans
            .iter_mut()
            .filter_map(|(extra, ids, _)| {
                let mut memory = Memory::of(extra);
                memory.may.extend(memory.has.iter().copied());
                memory.may.extend(ids.iter().copied());
                let text = memory.text();
                let grew = text != extra.memory;
                extra.memory.clone_from(&text);
                grew.then(|| (extra.code.clone(), text))
            })
            .collect();
        context
            .ledger
            .write(move |connection| {
                for (code, memory) in begun {
                    if let Some(mut extra) = extras::get(connection, &code, Kind::Tags)? {
                        extra.memory = memory;
                        extras::put(connection, &extra)?;
                    }
                }
                Ok(())
            })
            .await?;
        let mut steps: BTreeMap<(bool, i64), Vec<&Extra>> = BTreeMap::new();
        for (extra, ids, _) in &plans {
            let memory = Memory::of(extra);
            for id in memory.may.difference(ids) {
                steps.entry((false, *id)).or_default().push(extra);
            }
            for id in ids.difference(&memory.has) {
                steps.entry((true, *id)).or_default().push(extra);
            }
        }
        let mut failed: BTreeMap<OrderCode, Error> = BTreeMap::new();
        let mut refused: BTreeMap<OrderCode, String> = BTreeMap::new();
        let mut notes: BTreeMap<OrderCode, Vec<String>> = BTreeMap::new();
        for ((add, id), extras) in steps {
            let mut left: BTreeSet<OrderCode> = extras.iter().map(|extra| extra.code.clone()).collect();
            for (code, answer) in self.ask_all(context, Ask::Tag { id, add }, &extras).await {
                left.remove(&code);
                match answer {
                    Ok(answer) => {
                        let done = answer.order_codes.contains(&code);
                        if !done && !answer.errors.is_empty() {
                            let words = about(&answer.errors, &code, extras.len());
                            refused.insert(code.clone(), words.unwrap_or_else(|| answer.errors.join("; ")));
                        }
                        if let Some(words) = about(&answer.warnings, &code, extras.len()) {
                            notes.entry(code).or_default().push(words);
                        }
                    }
                    Err(error) => drop(failed.insert(code, error)),
                }
            }
            // Brani went away before they were asked for.
            for code in left {
                failed.entry(code).or_insert_with(|| Error::Unavailable {
                    what: "not asked: Brani went away".into(),
                    retry_after: None,
                    maybe_applied: false,
                    server_error: false,
                });
            }
        }
        let outcomes = plans.into_iter().map(|(extra, ids, unknown)| {
            let memory = Memory {
                has: ids.clone(),
                may: ids,
            };
            let (memory, code) = (memory.text(), &extra.code);
            let outcome = if let Some(error) = failed.remove(code) {
                Outcome::Failed(error)
            } else if let Some(words) = refused.remove(code) {
                Outcome::Parked {
                    problem: Problem {
                        field: field(Kind::Tags).into(),
                        found: None,
                        rule: format!("was refused by Brani: {words}"),
                        hint: "mend the tags in Brani or in the query; it is tried again at each sweep"
                            .into(),
                        owner: Owner::Brani,
                    },
                    memory: extra.memory.clone(),
                }
            } else if let Some(name) = unknown.first() {
                Outcome::Parked {
                    problem: unknown_tag(name, &known),
                    memory,
                }
            } else {
                let note = notes.remove(code).map(|words| words.join("; "));
                Outcome::Told { memory, note }
            };
            (extra, outcome)
        });
        let outcomes = outcomes.collect();
        self.mark(context, outcomes, report).await
    }
}

/// The id of a tag by its name: as it is written, else without regard to case where only one fits.
fn find(known: &[Tag], name: &str) -> Option<i64> {
    if let Some(tag) = known.iter().find(|tag| tag.name.trim() == name) {
        return Some(tag.id);
    }
    let lower = name.to_lowercase();
    let mut near = known.iter().filter(|tag| tag.name.trim().to_lowercase() == lower);
    let found = near.next()?;
    near.next().is_none().then_some(found.id)
}

/// A tag that Brani does not have.
pub(crate) fn unknown_tag(name: &str, known: &[Tag]) -> Problem {
    let names: Vec<&str> = known.iter().take(20).map(|tag| tag.name.as_str()).collect();
    Problem {
        field: field(Kind::Tags).into(),
        found: Some(name.chars().take(100).collect()),
        rule: "is no tag that Brani knows".into(),
        hint: format!(
            "make the tag in Brani, or use one of: {}; it is tried again at each sweep",
            names.join(", ")
        ),
        owner: Owner::Shop,
    }
}

/// Names that Brani does not know, of some that are wanted.
pub fn unknown_tags(names: &[String], known: &[Tag]) -> Vec<Problem> {
    names
        .iter()
        .filter(|name| find(known, name).is_none())
        .map(|name| unknown_tag(name, known))
        .collect()
}

/// What Brani said of one order among several. The texts name codes in a form that the contract does not tell: one
/// that holds the code is about it, and one that was said of a single order too.
fn about(texts: &[String], code: &OrderCode, orders: usize) -> Option<String> {
    let ours: Vec<&str> = texts
        .iter()
        .filter(|text| orders == 1 || text.contains(code.as_str()))
        .map(String::as_str)
        .collect();
    (!ours.is_empty()).then(|| ours.join("; "))
}

/// The same failure for another order.
fn same(error: &Error) -> Error {
    match error {
        Error::Unauthorized { status } => Error::Unauthorized { status: *status },
        Error::Rejected { complaints } => Error::Rejected {
            complaints: complaints.clone(),
        },
        Error::Refused { status } => Error::Refused { status: *status },
        Error::NotFound => Error::NotFound,
        Error::Unavailable {
            what,
            retry_after,
            maybe_applied,
            server_error,
        } => Error::Unavailable {
            what: what.clone(),
            retry_after: *retry_after,
            maybe_applied: *maybe_applied,
            server_error: *server_error,
        },
    }
}
