//! Histories of one order: a merchant, a packer, and a daemon that people interrupt and crashes cut off between
//! any two steps. They are right when in the end both sides agree, Brani has the newest content, nothing moves any
//! more, a cancelled order is cancelled on both sides, and where the merchant never touches the status the packer's
//! last word stands at Brani, whatever was lost. Each mutation breaks one rule; the histories must notice.

use super::{Agreed, Decision, Found, Why, decide};
use crate::types::{EventId, ShopStatus, StatusId};
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mutation {
    None,
    Unmarked,
    Unfinished,
    Unlocked,
    NoResend,
    ForgetOwed,
    Protect,
    NewLedger,
    IgnoreEvents,
}

const STATUSES: [&str; 6] = ["A", "B", "C", "P", "Q", "storno"];

fn id(shop: &str) -> StatusId {
    StatusId(
        STATUSES
            .iter()
            .position(|s| *s == shop)
            .expect("a status of the model") as i64,
    )
}

fn shop(id: StatusId) -> ShopStatus {
    ShopStatus::from(STATUSES[id.0 as usize])
}

/// What the ledger keeps besides the status.
#[derive(Clone, Default)]
struct Ledger {
    agreed: Agreed,
    content: Option<u32>,
    events_seen: usize,
}

/// Where the daemon stands between two steps.
enum Step {
    Idle,
    Drained {
        read: usize,
        event: Option<StatusId>,
    },
    LookedUp {
        read: usize,
        event: Option<StatusId>,
        shop: ShopStatus,
        content: u32,
    },
    Writing {
        read: usize,
        status: StatusId,
        was: ShopStatus,
        content: u32,
    },
    Written {
        read: usize,
        status: StatusId,
        content: u32,
    },
    Begun {
        read: usize,
        status: StatusId,
        intent: Option<ShopStatus>,
        content: u32,
    },
    Arrived {
        read: usize,
        status: StatusId,
        intent: Option<ShopStatus>,
        content: u32,
    },
}

struct World {
    rng: SmallRng,
    mutation: Mutation,
    api_events: bool,
    merchant_keeps_status: bool,
    time: i64,
    shop: ShopStatus,
    content: u32,
    brani: Option<StatusId>,
    brani_content: Option<u32>,
    events: Vec<(StatusId, Timestamp)>,
    ledger: Ledger,
    step: Step,
    cancelled: bool,
    lost: bool,
    packer_busy: bool,
    last_packer: Option<StatusId>,
    moves: usize,
}

impl World {
    fn new(seed: u64, mutation: Mutation, api_events: bool) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            mutation,
            api_events,
            merchant_keeps_status: seed % 2 == 1,
            time: 0,
            shop: ShopStatus::from("A"),
            content: 0,
            brani: None,
            brani_content: None,
            events: Vec::new(),
            ledger: Ledger::default(),
            step: Step::Idle,
            cancelled: false,
            lost: false,
            packer_busy: false,
            last_packer: None,
            moves: 0,
        }
    }

    /// Moments far enough apart that the echo's slack does not blur them.
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(self.time * 60)
    }

    fn merchant(&mut self) {
        self.time += 1;
        self.moves += 1;
        if self.merchant_keeps_status || self.rng.random_bool(0.5) {
            self.content += 1;
        } else {
            let choices: &[&str] = if self.rng.random_bool(0.1) {
                &["storno"]
            } else {
                &["A", "B", "C"]
            };
            self.shop = ShopStatus::from(choices[self.rng.random_range(0..choices.len())]);
            self.cancelled = self.shop.as_str() == "storno";
        }
    }

    fn packer(&mut self) {
        self.time += 1;
        // Twice within one request cannot be told apart from an echo, where our requests create events.
        if self.brani.is_none() || (self.api_events && self.packer_busy) {
            return;
        }
        let status = id(if self.rng.random_bool(0.5) { "P" } else { "Q" });
        if self.brani != Some(status) {
            self.moves += 1;
            self.brani = Some(status);
            self.last_packer = Some(status);
            self.packer_busy = self
                .ledger
                .agreed
                .window
                .is_some_and(|window| window.to.is_none());
            self.events.push((status, self.now()));
        }
    }

    fn crash(&mut self) {
        self.step = Step::Idle;
    }

    fn lose(&mut self) {
        self.step = Step::Idle;
        self.lost = true;
        self.ledger = Ledger::default();
    }

    fn found(&self, shop: &ShopStatus, event: Option<StatusId>, content: u32) -> Found {
        Found {
            shop: Some(shop.clone()),
            shop_id: Some(id(shop.as_str())),
            protected: shop.as_str() == "storno" && self.mutation != Mutation::Protect,
            event: match self.mutation {
                Mutation::IgnoreEvents if self.ledger.agreed.known => None,
                Mutation::NewLedger if !self.ledger.agreed.known => None,
                _ => event,
            },
            in_doubt: false,
            content_differs: self.ledger.content != Some(content),
        }
    }

    /// One step of the daemon: between any two of them people act, or it dies.
    fn daemon(&mut self) {
        self.time += 1;
        let step = std::mem::replace(&mut self.step, Step::Idle);
        self.step = match step {
            Step::Idle => {
                let read = self.events.len();
                let event = (self.ledger.events_seen..read)
                    .rev()
                    .map(|place| (place, self.events[place]))
                    .find(|(place, (status, at))| {
                        let id = EventId(i64::try_from(*place).expect("few events"));
                        !(self.api_events && self.ledger.agreed.is_echo(id, Some(*status), &[*at]))
                    })
                    .map(|(_, (status, _))| status);
                Step::Drained { read, event }
            }
            Step::Drained { read, event } => Step::LookedUp {
                read,
                event,
                shop: self.shop.clone(),
                content: self.content,
            },
            Step::LookedUp {
                read,
                event,
                shop,
                content,
            } => self.decided(read, event, shop, content),
            Step::Writing {
                read,
                status,
                was,
                content,
            } => {
                if self.shop != was && self.mutation != Mutation::Unlocked {
                    Step::Idle
                } else {
                    self.moves += 1;
                    self.shop = self::shop(status);
                    Step::Written {
                        read,
                        status,
                        content,
                    }
                }
            }
            Step::Written {
                read,
                status,
                content,
            } => {
                let agreed = &mut self.ledger.agreed;
                let owed = agreed.owed;
                agreed.after_write(status, Some(self::shop(status)));
                match self.mutation {
                    Mutation::NoResend => agreed.owed = owed,
                    Mutation::ForgetOwed => agreed.owed = false,
                    _ => {}
                }
                self.ledger.events_seen = read;
                let _ = content;
                Step::Idle
            }
            Step::Begun {
                read,
                status,
                intent,
                content,
            } => {
                if self.brani != Some(status) && self.api_events {
                    self.events.push((status, self.now()));
                }
                self.brani = Some(status);
                self.brani_content = Some(content);
                self.packer_busy = false;
                self.moves += 1;
                Step::Arrived {
                    read,
                    status,
                    intent,
                    content,
                }
            }
            Step::Arrived {
                read,
                status,
                intent,
                content,
            } => {
                let writing = intent
                    .as_ref()
                    .filter(|intent| **intent != self::shop(status))
                    .map(|_| self::shop(status));
                let now = self.now();
                self.ledger
                    .agreed
                    .after_send(Some(status), intent.as_ref(), writing, now);
                self.ledger.content = Some(content);
                self.ledger.events_seen = self.ledger.events_seen.max(read);
                Step::Idle
            }
        };
    }

    fn decided(&mut self, read: usize, event: Option<StatusId>, shop: ShopStatus, content: u32) -> Step {
        let found = self.found(&shop, event, content);
        let mut view = self.ledger.agreed.clone();
        if self.mutation == Mutation::Unmarked {
            view.writing = None;
        }
        let mut decision = decide(&view, &found);
        let brani_news = found.event.is_some() && found.event != view.brani;
        if self.mutation == Mutation::Unfinished && !brani_news && matches!(decision, Decision::Write { .. })
        {
            // A write that was begun is taken for done.
            decision = if found.content_differs || view.owed {
                Decision::Send {
                    status: view.brani,
                    intent: None,
                    why: Why::Owed,
                }
            } else {
                Decision::Nothing
            };
        }
        match decision {
            Decision::Send { status, intent, why } => {
                assert!(why != Why::First || !self.ledger.agreed.known);
                let status = status.expect("every status of the model means something to Brani");
                let now = self.now();
                self.ledger.agreed.before_send(Some(status), None, now);
                Step::Begun {
                    read,
                    status,
                    intent,
                    content,
                }
            }
            Decision::Write { status } => {
                if self.shop != shop && self.mutation != Mutation::Unlocked {
                    return Step::Idle;
                }
                self.ledger.agreed.before_write(Some(&shop), self::shop(status));
                Step::Writing {
                    read,
                    status,
                    was: shop,
                    content,
                }
            }
            Decision::Nothing => {
                self.ledger.events_seen = read;
                self.ledger.agreed.confirmed();
                Step::Idle
            }
        }
    }

    /// What is wrong in the end, if anything.
    fn verdict(&mut self) -> Option<String> {
        let storno = id("storno");
        if self.cancelled && (self.shop.as_str() != "storno" || self.brani != Some(storno)) {
            return Some(format!(
                "a cancelled order lives: shop {} brani {:?}",
                self.shop, self.brani
            ));
        }
        if self.merchant_keeps_status && self.last_packer.is_some() && self.brani != self.last_packer {
            return Some(format!(
                "stale over the packer: {:?} instead of {:?}",
                self.brani, self.last_packer
            ));
        }
        if self.brani != Some(id(self.shop.as_str())) && !self.lost {
            return Some(format!(
                "disagree: shop {} brani {:?} {:?}",
                self.shop, self.brani, self.ledger.agreed
            ));
        }
        if self.brani_content != Some(self.content) {
            return Some("stale content".into());
        }
        let moves = self.moves;
        for _ in 0..60 {
            self.daemon();
        }
        (self.moves != moves).then(|| "never quiet".into())
    }
}

fn history(seed: u64, mutation: Mutation, api_events: bool, loss: bool) -> Option<String> {
    let mut world = World::new(seed, mutation, api_events);
    for _ in 0..200 {
        let dice: f64 = world.rng.random();
        match dice {
            x if x < 0.06 => world.merchant(),
            x if x < 0.14 => world.packer(),
            x if x < 0.16 => world.crash(),
            x if x < 0.168 && loss => world.lose(),
            _ => world.daemon(),
        }
    }
    for _ in 0..160 {
        world.daemon();
    }
    world.verdict()
}

fn first_bad(seeds: u64, mutation: Mutation, api_events: bool, loss: bool) -> Option<(u64, String)> {
    (0..seeds).find_map(|seed| history(seed, mutation, api_events, loss).map(|what| (seed, what)))
}

#[test]
fn rules_survive_every_history_with_crashes() {
    assert_eq!(first_bad(6_000, Mutation::None, false, false), None);
}

#[test]
fn rules_survive_a_lost_ledger() {
    assert_eq!(first_bad(6_000, Mutation::None, false, true), None);
}

#[test]
fn own_echoes_mislead_in_few_histories_at_most() {
    let bad = (0..3_000)
        .filter(|&seed| history(seed, Mutation::None, true, false).is_some())
        .count();
    assert!(bad <= 30, "{bad} of 3000 histories went wrong");
}

#[test]
fn every_broken_rule_is_noticed() {
    let unnoticed: Vec<_> = [
        (Mutation::Unmarked, false),
        (Mutation::Unfinished, false),
        (Mutation::Unlocked, false),
        (Mutation::NoResend, false),
        (Mutation::ForgetOwed, false),
        (Mutation::Protect, false),
        (Mutation::NewLedger, true),
        (Mutation::IgnoreEvents, false),
    ]
    .into_iter()
    .filter(|&(mutation, loss)| first_bad(6_000, mutation, false, loss).is_none())
    .collect();
    assert_eq!(unnoticed, vec![]);
}

#[test]
fn what_an_export_from_before_our_write_says_is_no_news_until_one_says_what_we_wrote() {
    let (paid, packed, cancelled) = (
        ShopStatus::from("paid"),
        ShopStatus::from("packed"),
        ShopStatus::from("cancelled"),
    );
    let mut agreed = Agreed {
        known: true,
        shop: Some(paid.clone()),
        brani: Some(StatusId(1)),
        ..Agreed::default()
    };
    agreed.before_write(Some(&paid), packed.clone());
    agreed.after_write(StatusId(-1), Some(packed.clone()));
    agreed.outdates(Some(paid.clone()), Some(paid.clone()));
    agreed.read(Some(&paid));
    assert!(!agreed.is_shop_news(Some(&paid)), "an older export says it");
    assert!(!agreed.is_shop_news(Some(&packed)));
    assert!(agreed.is_shop_news(Some(&cancelled)), "nobody said that before");
    agreed.read(Some(&packed));
    assert!(agreed.is_shop_news(Some(&paid)), "the merchant went back to it");
}
