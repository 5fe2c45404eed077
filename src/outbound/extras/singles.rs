//! What Brani takes for one order at a time: customs, carrier attributes, and remarks through the packing application.

use super::{Beside, Due, Outcome, Report, refusal};
use crate::brani::app::AppError;
use crate::brani::extras::Customs;
use crate::brani::{Error, Service};
use crate::clock::later;
use crate::context::{Context, PassError};
use crate::ledger::extras::{self, Extra};
use crate::mapping::extras::Kind;
use crate::types::OrderCode;
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

/// The packing application is left alone so long after something that its own pauses do not cover.
const APP_PAUSE: Duration = Duration::from_secs(300);

/// Names that a request told earlier: product codes, attribute codes.
fn memory(extra: &Extra) -> BTreeSet<String> {
    super::kept(extra.memory.as_deref())
}

fn written(names: &BTreeSet<String>) -> Option<String> {
    (!names.is_empty())
        .then(|| serde_json::to_string(names).ok())
        .flatten()
}

fn value(extra: &Extra) -> Value {
    super::kept(extra.value.as_deref())
}

impl Beside {
    /// One request (or a few) for each, several side by side.
    pub(super) async fn singles(
        &self,
        context: &Context,
        due: Vec<Due>,
        report: &mut Report,
    ) -> Result<(), PassError> {
        let width = context.rules.concurrency.max(1);
        // A few at a time, so that an outage is noticed soon.
        for due in due.chunks(width * 4) {
            let outcomes: Vec<Result<(Extra, Outcome), PassError>> = stream::iter(due.iter().cloned())
                .map(|due| async move {
                    let extra = due.extra;
                    let outcome = match extra.kind {
                        Kind::Customs => self.customs(context, &extra).await?,
                        Kind::Attributes => self.attributes(context, &extra).await?,
                        _ => self.remark(context, &extra).await,
                    };
                    Ok((extra, outcome))
                })
                .buffer_unordered(width)
                .collect()
                .await;
            let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
            self.mark(context, outcomes, report).await?;
            if self.weather().is_out() {
                break;
            }
        }
        Ok(())
    }

    /// What a request may put there is known before it leaves.
    async fn remember(
        &self,
        context: &Context,
        extra: &Extra,
        names: &BTreeSet<String>,
    ) -> Result<(), PassError> {
        let memory = written(names);
        if memory == extra.memory {
            return Ok(());
        }
        let (code, kind) = (extra.code.clone(), extra.kind);
        context
            .ledger
            .write(move |connection| {
                if let Some(mut extra) = extras::get(connection, &code, kind)? {
                    extra.memory = memory;
                    extras::put(connection, &extra)?;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    fn heard(&self, context: &Context, code: &OrderCode, result: &Result<(), Error>) {
        match result {
            Ok(()) => self.success(context),
            Err(error) => self.failure(context, code, error),
        }
    }

    /// Products that were told earlier and are not any more are told as empty.
    async fn customs(&self, context: &Context, extra: &Extra) -> Result<Outcome, PassError> {
        let mut list: Vec<Customs> = serde_json::from_value(value(extra)).unwrap_or_default();
        let now: BTreeSet<String> = list.iter().map(|one| one.product_code.clone()).collect();
        let before = memory(extra);
        self.remember(context, extra, &before.union(&now).cloned().collect())
            .await?;
        list.extend(before.difference(&now).map(|product| Customs {
            product_code: product.clone(),
            ..Customs::default()
        }));
        let result = self.service.set_customs(&extra.code, &list).await;
        self.heard(context, &extra.code, &result);
        Ok(match result {
            Ok(()) => Outcome::Told {
                memory: written(&now),
                note: None,
            },
            Err(error) => Outcome::Failed(error),
        })
    }

    /// Attributes that were told earlier and are not any more are told as null.
    async fn attributes(&self, context: &Context, extra: &Extra) -> Result<Outcome, PassError> {
        let wanted: Map<String, Value> = serde_json::from_value(value(extra)).unwrap_or_default();
        let now: BTreeSet<String> = wanted.keys().cloned().collect();
        let before = memory(extra);
        self.remember(context, extra, &before.union(&now).cloned().collect())
            .await?;
        let gone = before.difference(&now).map(|name| (name.clone(), Value::Null));
        for (name, value) in gone.chain(wanted) {
            let result = self.service.set_attribute(&extra.code, &name, &value).await;
            self.heard(context, &extra.code, &result);
            if let Err(error) = result {
                return Ok(Outcome::Failed(error));
            }
        }
        Ok(Outcome::Told {
            memory: written(&now),
            note: None,
        })
    }

    /// Brani's id of this e-shop, asked once.
    async fn eshop(&self, service: &dyn Service) -> Result<Option<i64>, Error> {
        if let Some(id) = *self.eshop_id.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Some(id));
        }
        let summary = service.eshop_info().await?.summary;
        let id = summary.and_then(|summary| summary.eshop_id);
        *self.eshop_id.lock().unwrap_or_else(PoisonError::into_inner) = id;
        Ok(id)
    }

    /// An order's remark. The packing application is another host: its troubles are not Brani's weather.
    async fn remark(&self, context: &Context, extra: &Extra) -> Outcome {
        let pause = |seconds: u64| Outcome::Later(later(context.now(), Duration::from_secs(seconds)));
        let Some(app) = &self.app else {
            return pause(APP_PAUSE.as_secs());
        };
        let id = match self.eshop(&*context.service).await {
            Ok(Some(id)) => id,
            Ok(None) => {
                let error = Error::Unavailable {
                    what: "Brani does not tell the e-shop's id, which a remark needs".into(),
                    retry_after: None,
                    maybe_applied: false,
                    server_error: false,
                };
                return Outcome::Failed(error);
            }
            Err(error) => {
                self.failure(context, &extra.code, &error);
                return Outcome::Failed(error);
            }
        };
        let text = value(extra);
        let told = app
            .set_remark(id, &extra.code, text.as_str().unwrap_or_default())
            .await;
        match told {
            Ok(()) => Outcome::Told {
                // There is something to be taken back.
                memory: text.is_string().then(|| "true".into()),
                note: None,
            },
            // The client has said so in the log, and does not hammer.
            Err(AppError::LoginRefused { pause_seconds, .. } | AppError::LoginPaused { pause_seconds }) => {
                pause(u64::try_from(pause_seconds).unwrap_or(60))
            }
            Err(AppError::Service(error @ Error::Unavailable { .. })) => Outcome::Failed(error),
            Err(AppError::Service(error)) => Outcome::Parked {
                problem: refusal(Kind::Remark, &error),
                memory: extra.memory.clone(),
            },
            Err(AppError::Path(_)) => pause(APP_PAUSE.as_secs()),
        }
    }
}
