//! The plans of a source: one, or one for each variant of a preset that asks the shop which it is.
//!
//! A shop may be switched over on any day, so `detect` is asked on the very session (and in the transaction) that then
//! uses the answer. What was made for an answer is kept: a switch back costs nothing.

use super::{Layout, Plan, SqlSettings, trouble};
use crate::config::{self, Variant};
use crate::database::parameters::{Bound, Dialect, Template};
use crate::database::{BoxSession, Fault};
use crate::source::{SourceError, preset};
use indexmap::IndexMap;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a preset asks the shop, and what it uses for which answer.
#[derive(Clone, Debug)]
pub struct Detect {
    /// The preset's name, for messages.
    pub preset: String,
    /// The query whose one value lists the facts that hold.
    pub query: String,
    /// What to use for which facts.
    pub variants: Vec<Variant>,
}

/// What is used of a shop as it is now.
pub(crate) struct Chosen {
    pub plan: Plan,
    pub lists: config::Queries,
    /// The facts that hold.
    pub facts: Vec<String>,
    /// The statements of the preset's own handlers.
    writeback: IndexMap<String, Vec<Template>>,
    /// What is known of the orders query, once it has been looked at.
    pub layout: Mutex<Option<Arc<Layout>>>,
}

impl Chosen {
    fn new(settings: &SqlSettings, variant: Option<&Variant>) -> Self {
        let mut settings = settings.clone();
        if let Some(variant) = variant {
            if let Some(orders) = &variant.orders {
                settings.orders.clone_from(&orders.query);
            }
            if let Some(items) = &variant.items {
                settings.items.clone_from(&items.query);
            }
            settings.lookup = variant.lookup.as_ref().map(|lookup| lookup.query.clone());
            settings.lists = variant.queries.clone();
        }
        let dialect: Dialect = settings.target.dialect;
        let writeback = variant
            .iter()
            .flat_map(|variant| &variant.writeback)
            .map(|(event, statements)| {
                let statements = statements
                    .iter()
                    .map(|sql| Template::parse(sql, dialect))
                    .collect();
                (event.clone(), statements)
            })
            .collect();
        Self {
            plan: Plan::new(&settings),
            lists: settings.lists,
            facts: variant.map(|variant| variant.facts.clone()).unwrap_or_default(),
            writeback,
            layout: Mutex::default(),
        }
    }

    /// The statements of the preset's handler of an event, where it has one that depends on the facts.
    pub fn statements(&self, event: &str) -> Option<&[Template]> {
        self.writeback.get(event).map(Vec::as_slice)
    }

    /// The layout, if the query has been looked at.
    pub fn known_layout(&self) -> Option<Arc<Layout>> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a layout.
    pub fn keep_layout(&self, layout: &Arc<Layout>) {
        *self.layout.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(layout));
    }
}

/// All plans of one source.
pub(crate) struct Plans {
    settings: SqlSettings,
    plain: Arc<Chosen>,
    made: Mutex<BTreeMap<Vec<String>, Arc<Chosen>>>,
}

impl Plans {
    pub fn new(settings: &SqlSettings) -> Self {
        Self {
            plain: Arc::new(Chosen::new(settings, None)),
            settings: settings.clone(),
            made: Mutex::default(),
        }
    }

    /// What the shop says of itself; nothing where nothing is asked.
    pub async fn ask(&self, session: &mut BoxSession) -> Result<Option<String>, Fault> {
        let Some(detect) = &self.settings.detect else {
            return Ok(None);
        };
        let table = session
            .query(&Bound::plain(detect.query.trim().trim_end_matches(';')))
            .await?;
        Ok(Some(table.first().unwrap_or_default()))
    }

    /// What is used for an answer of [`Plans::ask`].
    pub fn of(&self, answer: Option<&str>) -> Result<Arc<Chosen>, SourceError> {
        let (Some(detect), Some(answer)) = (&self.settings.detect, answer) else {
            return Ok(Arc::clone(&self.plain));
        };
        let Some(variant) = preset::choose(&detect.variants, answer) else {
            return Err(SourceError::Query {
                query: "shop.source.preset".into(),
                message: format!(
                    "the preset `{}` does not know what its `detect` answered: `{}`",
                    detect.preset,
                    answer.escape_debug()
                ),
                hint: Some("`detect` must answer with words of the preset's `facts` only".into()),
            });
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = made
            .entry(variant.facts.clone())
            .or_insert_with(|| Arc::new(Chosen::new(&self.settings, Some(variant))));
        Ok(Arc::clone(chosen))
    }

    /// Asks the shop and chooses.
    pub async fn choose(&self, session: &mut BoxSession) -> Result<Arc<Chosen>, SourceError> {
        let answer = self
            .ask(session)
            .await
            .map_err(|fault| trouble(fault, "shop.source.preset"))?;
        self.of(answer.as_deref())
    }
}
