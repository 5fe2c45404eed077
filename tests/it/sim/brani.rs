//! A model Brani: orders by code, a packing table where people work at any moment, and answers that get lost.

use super::shop;
use super::world::{Mutation, Shared, World};
use async_trait::async_trait;
use brani_sync::brani::model::{
    EshopInfo, EshopInfoAnswer, EventsPage, GeneralPage, Order, OrderEvent, Webhook,
};
use brani_sync::brani::{Complaint, Error, PageRequest, Service, time};
use brani_sync::types::{EventId, OrderCode, StatusId, WebhookId};
use jiff::Timestamp;
use rand::RngExt;
use std::collections::BTreeMap;
use std::time::Duration;

/// Before a request is given up.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// One order at Brani.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// What it is told to pack.
    pub content: String,
    /// Its status.
    pub status: Option<StatusId>,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Happening {
    /// Its id.
    pub id: i64,
    /// The webhook it belongs to.
    pub webhook: i64,
    /// Its type.
    pub kind: String,
    /// Its order.
    pub code: String,
    /// When.
    pub at: Timestamp,
    /// The same as the service writes it.
    pub written: String,
    /// The status.
    pub status: Option<StatusId>,
    /// The parcel.
    pub number: Option<String>,
    /// It has left the listing.
    pub purged: bool,
}

/// The service.
#[derive(Default)]
pub struct Brani {
    /// Its orders.
    pub orders: BTreeMap<String, Packed>,
    /// Everything that happened.
    pub events: Vec<Happening>,
    /// The registrations.
    pub webhooks: Vec<Webhook>,
    /// Orders that always fail: refused (422) or broken (500).
    pub cursed: BTreeMap<String, bool>,
    /// It is away until then.
    pub down_until: Option<Timestamp>,
    /// The packer's last word on each order.
    pub packer: BTreeMap<String, (StatusId, Timestamp)>,
    /// Requests that the service works on.
    pub in_flight: BTreeMap<String, u32>,
    /// When a request for an order last ended, one way or another.
    pub busy_until: BTreeMap<String, Timestamp>,
    /// Until then it asked, as far as the running daemon heard, that no order be sent.
    pub quiet_until: Option<Timestamp>,
    next_id: i64,
    parcels: u64,
}

impl World {
    fn happen(&mut self, code: &str, kind: &str, status: Option<StatusId>, number: Option<&str>) {
        let at = self.now();
        let hooks: Vec<i64> = self
            .brani
            .webhooks
            .iter()
            .filter(|webhook| webhook.event_type == kind)
            .map(|webhook| webhook.id.0)
            .collect();
        for webhook in hooks {
            self.brani.next_id += self.rng.random_range(1..4);
            let id = self.brani.next_id;
            self.brani.events.push(Happening {
                id,
                webhook,
                kind: kind.into(),
                code: code.into(),
                at,
                written: time::written(at),
                status,
                number: number.map(str::to_owned),
                purged: false,
            });
        }
    }

    /// The oldest events of a listing leave it, of those that the ledger has; somebody may pack meanwhile.
    fn purges(&mut self, webhook: i64) {
        if !self.plan.purges || !self.chance(0.1) {
            return;
        }
        let most = self.rng.random_range(1..4);
        for _ in 0..most {
            let oldest = self
                .brani
                .events
                .iter()
                .enumerate()
                .filter(|(_, event)| event.webhook == webhook && !event.purged)
                .map(|(place, event)| (place, event.id))
                .next();
            let Some((place, id)) = oldest else { break };
            if !self.has_event(id) {
                break;
            }
            self.brani.events[place].purged = true;
            self.tell(|| format!("brani: event {id} leaves the listing"));
            if self.rng.random_bool(0.5) {
                self.packer();
            }
        }
    }

    /// Somebody packs something.
    pub fn packer(&mut self) {
        let codes: Vec<String> = self.brani.orders.keys().cloned().collect();
        if codes.is_empty() {
            return;
        }
        let code = codes[self.rng.random_range(0..codes.len())].clone();
        self.packs(&code);
    }

    /// Somebody packs this order.
    pub fn packs(&mut self, code: &str) {
        let code = code.to_owned();
        let now = self.now();
        if self.plan.echoes {
            // Who acts around one of our requests that makes events cannot be told from its echo.
            let flies = self.brani.in_flight.get(&code).is_some_and(|n| *n > 0);
            let just = self
                .brani
                .busy_until
                .get(&code)
                .is_some_and(|at| now.duration_since(*at).as_secs() < 400);
            if flies || just {
                return;
            }
        }
        if self.rng.random_bool(0.5) {
            self.brani.parcels += 1;
            let number = format!("P{}", self.brani.parcels);
            self.tell(|| format!("packer: parcel {number} of `{code}`"));
            self.happen(&code, "package_number", None, Some(&number));
        }
        let status = StatusId(if self.rng.random_bool(0.5) { -1 } else { -2 });
        if self.like_an_echo(&code, status) {
            return;
        }
        let Some(order) = self.brani.orders.get_mut(&code) else {
            return;
        };
        if order.status == Some(status) {
            return;
        }
        order.status = Some(status);
        self.brani.packer.insert(code.clone(), (status, now));
        self.tell(|| format!("packer: `{code}` is {status}"));
        self.happen(&code, "status_change", Some(status), None);
    }

    /// Somebody packs this order while a request of ours is on its way.
    fn crossing(&mut self, code: &str) {
        let rate = self.plan.crossing;
        if self.brani.orders.contains_key(code) && self.chance(rate) {
            self.packs(code);
        }
    }

    /// A request of ours arrives, perhaps long after it left.
    fn arrives(&mut self, code: &str, says: &Says) {
        match says {
            Says::Order { content, status } => self.arrive(code, content, *status),
            Says::Delete => {
                self.deletes(code);
                self.brani.orders.remove(code);
                self.tell(|| format!("brani: `{code}` is deleted"));
            }
        }
    }

    fn arrive(&mut self, code: &str, content: &str, status: Option<StatusId>) {
        let before = self.brani.orders.get(code).cloned();
        let now_status = status.or_else(|| before.as_ref().and_then(|order| order.status));
        self.brani.orders.insert(
            code.into(),
            Packed {
                content: content.into(),
                status: now_status,
            },
        );
        self.tell(|| format!("brani: `{code}` is {content}, status {now_status:?}"));
        let changed = before.is_some_and(|order| order.status != now_status);
        if changed && self.plan.echoes {
            self.happen(code, "status_change", now_status, None);
        }
    }
}

/// What becomes of a request.
enum Fate {
    Good,
    Away { applied: bool, server: bool },
    TooMany(u64),
    NoConnection,
    Hang,
}

/// The service as the flows see it.
pub struct ModelService {
    /// The world.
    pub shared: Shared,
}

impl ModelService {
    fn fate(&self) -> Fate {
        let mut world = self.shared.get();
        let now = world.now();
        let rate = world.plan.brani_faults;
        if !world.calm && world.brani.down_until.is_some_and(|until| until > now) {
            return if world.rng.random_bool(0.5) {
                Fate::NoConnection
            } else {
                Fate::Away {
                    applied: false,
                    server: true,
                }
            };
        }
        if !world.chance(rate) {
            return Fate::Good;
        }
        match world.rng.random_range(0..6) {
            0 => Fate::TooMany(world.rng.random_range(1..60)),
            1 => Fate::NoConnection,
            2 => Fate::Away {
                applied: false,
                server: true,
            },
            3 => Fate::Away {
                applied: true,
                server: world.rng.random_bool(0.5),
            },
            _ => Fate::Hang,
        }
    }

    /// A question: it changes nothing at Brani.
    async fn ask(&self) -> Result<(), Error> {
        self.shared.latency().await;
        match self.fate() {
            Fate::Good => Ok(()),
            Fate::Hang => {
                tokio::time::sleep(TIMEOUT).await;
                Err(unavailable("no answer in time", None, true, false))
            }
            Fate::TooMany(wait) => Err(unavailable("HTTP 429", Some(wait), false, false)),
            Fate::NoConnection => Err(unavailable("no connection", None, false, false)),
            Fate::Away { server, .. } => Err(unavailable("HTTP 503", None, true, server)),
        }
    }
}

fn unavailable(what: &str, retry_after: Option<u64>, maybe_applied: bool, server_error: bool) -> Error {
    Error::Unavailable {
        what: what.into(),
        retry_after: retry_after.map(Duration::from_secs),
        maybe_applied,
        server_error,
    }
}

/// What a request asks for.
#[derive(Clone)]
enum Says {
    Order {
        content: String,
        status: Option<StatusId>,
    },
    Delete,
}

/// A request that left. Dropped without an answer, it may have arrived, may yet, or never will.
struct Flight {
    shared: Shared,
    code: String,
    says: Says,
    applied: bool,
    answered: bool,
}

impl Flight {
    fn apply(&mut self) {
        self.applied = true;
        self.shared.get().arrives(&self.code, &self.says);
    }

    /// It arrives after a while; less than five minutes after any later answer.
    fn apply_late(&mut self) {
        self.applied = true;
        let (shared, code, says) = (self.shared.clone(), self.code.clone(), self.says.clone());
        let wait = Duration::from_secs(shared.get().rng.random_range(1..240));
        let left = shared.get().now();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            // What a ledger knew of a request that is still on its way is lost with it: no other can tell.
            if shared.get().checks.lost.is_some_and(|lost| lost >= left) {
                return;
            }
            shared
                .get()
                .tell(|| format!("brani: a late request for `{code}` lands"));
            shared.get().arrives(&code, &says);
        });
    }

    /// It did not go well; whether it is applied all the same is Brani's to know.
    async fn fails(&mut self, fate: Fate) -> Result<(), Error> {
        let code = &self.code;
        match fate {
            Fate::Good => Ok(()),
            Fate::TooMany(wait) => {
                self.answered = true;
                let mut world = self.shared.get();
                world.tell(|| format!("brani: 429 for `{code}`, wait {wait} s"));
                let until = world.now() + jiff::SignedDuration::from_secs(wait.cast_signed());
                world.brani.quiet_until = world.brani.quiet_until.max(Some(until));
                if world.mutation == Some(Mutation::NoRetryAfter) {
                    return Err(unavailable("HTTP 429", None, false, false));
                }
                Err(unavailable("HTTP 429", Some(wait), false, false))
            }
            Fate::NoConnection => {
                self.answered = true;
                self.shared
                    .get()
                    .tell(|| format!("brani: no connection for `{code}`"));
                Err(unavailable("no connection", None, false, false))
            }
            Fate::Away { applied, server } => {
                self.shared
                    .get()
                    .tell(|| format!("brani: 503 for `{code}`, applied: {applied}"));
                if applied {
                    self.apply();
                } else {
                    self.applied = true; // it never is
                }
                self.shared.latency().await;
                Err(unavailable("HTTP 503", None, true, server))
            }
            Fate::Hang => {
                self.shared.get().tell(|| format!("brani: hangs over `{code}`"));
                tokio::time::sleep(TIMEOUT).await;
                self.unanswered();
                self.applied = true;
                Err(unavailable("no answer in time", None, true, false))
            }
        }
    }

    fn unanswered(&mut self) {
        if self.applied {
            return;
        }
        let (late, now) = {
            let mut world = self.shared.get();
            let echoes = world.plan.echoes;
            (
                !echoes && !world.calm && {
                    let late = world.plan.late;
                    world.rng.random_bool(late)
                },
                world.rng.random_bool(0.5),
            )
        };
        if late {
            self.apply_late();
        } else if now {
            self.apply();
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.answered {
            self.unanswered();
        }
        let mut world = self.shared.get();
        let now = world.now();
        if let Some(count) = world.brani.in_flight.get_mut(&self.code) {
            *count = count.saturating_sub(1);
        }
        world.brani.busy_until.insert(self.code.clone(), now);
        if !self.answered && matches!(self.says, Says::Order { .. }) {
            let code = self.code.clone();
            world.left_unanswered(&code);
        }
    }
}

#[async_trait]
impl Service for ModelService {
    async fn upsert(&self, order: &Order) -> Result<(), Error> {
        let code = order.code.as_str().to_owned();
        let remark = order.notes.eshop_remark.clone().unwrap_or_default();
        let content = shop::content(
            &remark,
            order.items.iter().map(|item| item.amount.normalize().to_string()),
        );
        let status = order.status.map(|status| status.id);
        let mut flight = {
            let mut world = self.shared.get();
            world.tell(|| format!("send: `{code}` {content}, status {status:?}"));
            world.request_leaves(&code, &content, status);
            *world.brani.in_flight.entry(code.clone()).or_default() += 1;
            Flight {
                shared: self.shared.clone(),
                code: code.clone(),
                says: Says::Order {
                    content: content.clone(),
                    status,
                },
                applied: false,
                answered: false,
            }
        };
        self.shared.latency().await;
        self.shared.get().crossing(&code);
        let cursed = self.shared.get().brani.cursed.get(&code).copied();
        let fate = self.fate();
        match (cursed, &fate) {
            (Some(true), Fate::Good) => {
                flight.answered = true;
                self.shared.get().tell(|| format!("brani: refuses `{code}`"));
                let complaint = Complaint {
                    field: "price".into(),
                    message: "no".into(),
                    kind: "value_error".into(),
                };
                return Err(Error::Rejected {
                    complaints: vec![complaint],
                });
            }
            (Some(false), Fate::Good) => {
                self.shared.get().tell(|| format!("brani: breaks over `{code}`"));
                flight.applied = true; // it never is
                return Err(unavailable("HTTP 500", None, true, true));
            }
            _ => {}
        }
        match fate {
            Fate::Good => {
                flight.apply();
                self.shared.latency().await;
                self.shared.get().crossing(&code);
                flight.answered = true;
                let mut world = self.shared.get();
                world.answered(&code, &content, status);
                Ok(())
            }
            fate => flight.fails(fate).await,
        }
    }

    async fn delete(&self, code: &OrderCode) -> Result<(), Error> {
        let code = code.as_str().to_owned();
        let mut flight = {
            let mut world = self.shared.get();
            world.tell(|| format!("delete: `{code}`"));
            world.delete_leaves(&code);
            *world.brani.in_flight.entry(code.clone()).or_default() += 1;
            Flight {
                shared: self.shared.clone(),
                code: code.clone(),
                says: Says::Delete,
                applied: false,
                answered: false,
            }
        };
        self.shared.latency().await;
        let fate = self.fate();
        if matches!(fate, Fate::Good) {
            flight.apply();
            self.shared.latency().await;
            flight.answered = true;
            return Ok(());
        }
        flight.fails(fate).await
    }

    async fn eshop_info(&self) -> Result<EshopInfoAnswer, Error> {
        Ok(EshopInfoAnswer::default())
    }

    async fn post_eshop_info(&self, _info: &EshopInfo) -> Result<(), Error> {
        Ok(())
    }

    async fn webhooks(&self) -> Result<Vec<Webhook>, Error> {
        self.ask().await?;
        Ok(self.shared.get().brani.webhooks.clone())
    }

    async fn register_webhook(&self, event_type: &str, url: &str) -> Result<(), Error> {
        self.ask().await?;
        let mut world = self.shared.get();
        let id = WebhookId(world.brani.webhooks.len() as i64 + 1);
        world.brani.webhooks.push(Webhook {
            id,
            event_type: event_type.into(),
            webhook_url: url.into(),
        });
        Ok(())
    }

    async fn move_webhook(&self, id: WebhookId, url: &str) -> Result<(), Error> {
        self.ask().await?;
        let mut world = self.shared.get();
        if let Some(webhook) = world.brani.webhooks.iter_mut().find(|webhook| webhook.id == id) {
            webhook.webhook_url = url.into();
        }
        Ok(())
    }

    async fn remove_webhook(&self, id: WebhookId) -> Result<(), Error> {
        self.ask().await?;
        self.shared
            .get()
            .brani
            .webhooks
            .retain(|webhook| webhook.id != id);
        Ok(())
    }

    async fn events(&self, page: &PageRequest) -> Result<Option<EventsPage>, Error> {
        self.ask().await?;
        let answer = {
            let mut world = self.shared.get();
            if page.page > 1 {
                world.purges(page.webhook.0);
            }
            let mut events: Vec<(String, &Happening)> = world
                .brani
                .events
                .iter()
                .filter(|event| event.webhook == page.webhook.0 && !event.purged)
                .map(|event| (event.written.clone(), event))
                .filter(|(written, _)| page.from.as_ref().is_none_or(|from| written >= from))
                .collect();
            if world.plan.by_written_time {
                events.sort_by(|a, b| (&a.0, a.1.id).cmp(&(&b.0, b.1.id)));
            }
            if world.mutation == Some(Mutation::NumbersLate) {
                let late = world.now() - jiff::SignedDuration::from_secs(240);
                events.retain(|(_, event)| event.kind != "package_number" || event.at < late);
            }
            let size = page.size.min(world.plan.page);
            let short = world.mutation == Some(Mutation::ShortPage);
            let total = events.len() as u64;
            let from = (page.page - 1) * size;
            let here: Vec<OrderEvent> = events
                .into_iter()
                .skip(usize::try_from(from).unwrap())
                .take(usize::try_from(size).unwrap())
                .map(|(written, event)| OrderEvent {
                    id: EventId(event.id),
                    webhook_id: WebhookId(event.webhook),
                    event_creation: written,
                    order_code: event.code.as_str().into(),
                    event_status_id: event.status,
                    event_package_number: event.number.clone(),
                    event_order_history: None,
                    date_successful: None,
                })
                .collect();
            (!here.is_empty()).then(|| EventsPage {
                total_items: if short { size.min(total) } else { total },
                items_per_page: size,
                page: page.page,
                items_on_current_page: here.len() as u64,
                webhook_events: here,
            })
        };
        self.shared.latency().await;
        Ok(answer)
    }

    async fn general_events(&self, _page: &PageRequest) -> Result<Option<GeneralPage>, Error> {
        Ok(None)
    }

    fn service_time(&self) -> Option<Timestamp> {
        Some(self.shared.get().now())
    }
}
