//! E-shop info, kept equal: the shop's lists are read, Brani's are compared, a post follows only when needed.
//!
//! The mapping is renewed with the lists: an order that was parked for an unknown value is looked at again at once.

use super::merge;
use crate::brani::model::EshopInfo;
use crate::config;
use crate::context::{Context, PassError};
use crate::ledger::LedgerError;
use crate::ledger::cursors::{self, name};
use crate::mapping::dictionaries::Dictionaries;
use crate::mapping::{Mapping, Settings};
use crate::outbound::poll;
use crate::source::Lists;
use crate::trouble::Weight;
use std::sync::{Arc, Mutex, PoisonError};

/// Another program may undo our post this often before we stop.
const UNDONE_MAX: u32 = 3;

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// E-shop info was posted.
    pub posted: bool,
    /// Orders could map differently from now on.
    pub mapping_changed: bool,
}

/// Where a ledger belongs: a staging copy must not write to production.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// `brani.base_url`.
    pub base_url: String,
    /// Brani's id of the e-shop, where it tells one.
    pub eshop_id: Option<i64>,
    /// The source, without its secrets.
    pub source: String,
}

/// The ledger belongs elsewhere: exit code 78.
#[derive(Debug, thiserror::Error)]
#[error("this ledger belongs to {was}, the configuration says {is}")]
pub struct Foreign {
    /// What the ledger says.
    pub was: String,
    /// What the configuration says.
    pub is: String,
}

/// The refreshing side.
#[derive(Debug)]
pub struct Refresh {
    config: config::EshopInfo,
    settings: Settings,
    identity: Identity,
    foreign: Mutex<Option<String>>,
}

impl Refresh {
    /// Refreshes by these settings.
    pub fn new(config: config::EshopInfo, settings: Settings, identity: Identity) -> Self {
        Self {
            config,
            settings,
            identity,
            foreign: Mutex::default(),
        }
    }

    /// The mapping before the shop's lists are known.
    pub fn first_mapping(&self) -> Mapping {
        self.mapping(&Lists::default())
    }

    fn mapping(&self, lists: &Lists) -> Mapping {
        Mapping::new(
            self.settings.clone(),
            Arc::new(Dictionaries::build(&self.config, lists)),
        )
    }

    /// Why this ledger must not be used, once that has been found out.
    pub fn foreign(&self) -> Option<String> {
        self.foreign
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads the shop's lists and renews the mapping.
    ///
    /// # Errors
    /// The shop's.
    pub async fn lists(&self, context: &Context) -> Result<bool, PassError> {
        let lists = context.source.lists().await?;
        let before = context.mapping.get();
        let mapping = self.mapping(&lists);
        let lost = lost(&before.dictionaries().info(), &mapping.dictionaries().info());
        if let Some(lost) = lost.filter(|_| context.ready.lists()) {
            context.troubles.begin(
                "eshop_info.lists_shrank",
                Weight::Error,
                &format!("The shop's own lists lost {lost} at once; the lists read before stay in use"),
                "look at `eshop_info.queries`; if the lists are right, restart the service",
                context.now(),
            );
            return Ok(false);
        }
        context.troubles.end(
            "eshop_info.lists_shrank",
            "The shop's lists are whole again",
            context.now(),
        );
        if mapping.fingerprint() != before.fingerprint() {
            // Orders may refer to something new from now on: nothing is sent before Brani knows it.
            context.ready.clear_posted();
        }
        let changed = context.mapping.set(mapping);
        context.ready.set_lists();
        Ok(changed)
    }

    /// One pass.
    ///
    /// # Errors
    /// See [`PassError`].
    pub async fn pass(&self, context: &Context) -> Result<Report, PassError> {
        let mut report = Report {
            mapping_changed: self.lists(context).await?,
            ..Report::default()
        };
        let have = context.service.eshop_info().await?;
        let eshop_id = have.summary.as_ref().and_then(|summary| summary.eshop_id);
        self.check_identity(context, eshop_id).await?;
        let want = context.mapping.get().dictionaries().info();
        match merge(have.data.as_ref(), &want, self.config.mode) {
            None => {
                context.troubles.end(
                    "eshop_info.undone",
                    "E-shop info is as it should be",
                    context.now(),
                );
                context.ready.set_posted();
            }
            Some(_) if context.dry_run => {
                tracing::info!(
                    event = "eshop_info.differs",
                    "E-shop info differs and would be posted"
                );
                context.ready.set_posted();
            }
            Some(post) => {
                if self.may_post(context, &post).await? {
                    context.service.post_eshop_info(&post).await?;
                    report.posted = true;
                    context.ready.set_posted();
                    tracing::info!(
                        event = "eshop_info.posted",
                        statuses = post.order_statuses.statuses.len(),
                        shipping = post.shipping_methods.retail.methods.len(),
                        payments = post.payment_methods.retail.methods.len(),
                        "Told Brani the e-shop's statuses, shipping and payment methods"
                    );
                }
            }
        }
        self.after(context, report.mapping_changed).await?;
        Ok(report)
    }

    /// Parked orders are looked at again when the mapping changed; every row is, when it is new to this ledger.
    async fn after(&self, context: &Context, changed: bool) -> Result<(), PassError> {
        let fingerprint = poll::fingerprint(&context.mapping.get()).to_string();
        let known = context
            .ledger
            .read(|connection| cursors::get(connection, name::FINGERPRINT))
            .await?;
        if known.is_some_and(|known| known != fingerprint) || (changed && !context.dry_run) {
            let parked = poll::parked_codes(context).await?;
            if !parked.is_empty() {
                poll::look_again(context, &parked).await?;
            }
            context.bells.sweep.ring();
            context.bells.send.ring();
        }
        Ok(())
    }

    async fn check_identity(&self, context: &Context, eshop_id: Option<i64>) -> Result<(), PassError> {
        let mine = Identity {
            eshop_id,
            ..self.identity.clone()
        };
        if context.dry_run {
            return Ok(());
        }
        let was = {
            let mine = mine.clone();
            context
                .ledger
                .write(move |connection| {
                    let was = cursors::get(connection, name::IDENTITY)?
                        .and_then(|text| serde_json::from_str::<Identity>(&text).ok());
                    if was.is_none() || was.as_ref().is_some_and(|was| was.eshop_id.is_none()) {
                        let text = serde_json::to_string(&mine).unwrap_or_default();
                        if was.as_ref().is_none_or(|was| same(was, &mine)) {
                            cursors::set(connection, name::IDENTITY, &text)?;
                        }
                    }
                    Ok(was)
                })
                .await?
        };
        let Some(foreign) = was.and_then(|was| difference(&was, &mine)) else {
            return Ok(());
        };
        *self.foreign.lock().unwrap_or_else(PoisonError::into_inner) = Some(foreign.clone());
        Err(PassError::NotYet(foreign))
    }

    /// Another program that undoes our post is not fought for ever.
    async fn may_post(&self, context: &Context, post: &EshopInfo) -> Result<bool, PassError> {
        let text = serde_json::to_string(post).unwrap_or_default();
        let hash = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()));
        let undone = context
            .ledger
            .write(move |connection| {
                let again = cursors::get(connection, name::POSTED)?.is_some_and(|posted| posted == hash);
                let before: u32 = cursors::get(connection, name::UNDONE)?
                    .and_then(|count| count.parse().ok())
                    .unwrap_or(0);
                let undone = if again { before + 1 } else { 0 };
                cursors::set(connection, name::POSTED, &hash)?;
                cursors::set(connection, name::UNDONE, &undone.to_string())?;
                Ok(undone)
            })
            .await?;
        if undone > UNDONE_MAX {
            context.troubles.begin(
                "eshop_info.undone",
                Weight::Error,
                "Another program keeps undoing the e-shop info that we post; it is not posted any more",
                "find the other program (`brani-sync eshop-info diff`), stop it, then `brani-sync eshop-info push`",
                context.now(),
            );
            return Ok(false);
        }
        Ok(true)
    }
}

/// What to say where a ledger belongs to somebody else than this identity.
///
/// # Errors
/// SQLite's.
pub fn belongs_elsewhere(
    connection: &rusqlite::Connection,
    mine: &Identity,
) -> Result<Option<String>, LedgerError> {
    let was = cursors::get(connection, name::IDENTITY)?
        .and_then(|text| serde_json::from_str::<Identity>(&text).ok());
    Ok(was.and_then(|was| difference(&was, mine)))
}

fn difference(was: &Identity, is: &Identity) -> Option<String> {
    let foreign = Foreign {
        was: shown(was),
        is: shown(is),
    };
    (!same(was, is)).then(|| foreign.to_string())
}

fn same(a: &Identity, b: &Identity) -> bool {
    a.base_url == b.base_url
        && a.source == b.source
        && (a.eshop_id == b.eshop_id || a.eshop_id.is_none() || b.eshop_id.is_none())
}

fn shown(identity: &Identity) -> String {
    let eshop = identity
        .eshop_id
        .map_or_else(|| "an e-shop".to_owned(), |id| format!("e-shop {id}"));
    format!("{eshop} at {} read from {}", identity.base_url, identity.source)
}

/// What a new reading of the lists lost so suddenly that it is rather a fault.
fn lost(before: &EshopInfo, now: &EshopInfo) -> Option<&'static str> {
    let counts = |info: &EshopInfo| {
        [
            (info.order_statuses.statuses.len(), "statuses"),
            (info.shipping_methods.retail.methods.len(), "shipping methods"),
            (info.payment_methods.retail.methods.len(), "payment methods"),
        ]
    };
    counts(before)
        .into_iter()
        .zip(counts(now))
        .find(|((had, _), (has, _))| *had >= 2 && has * 2 < *had)
        .map(|((_, what), _)| what)
}
