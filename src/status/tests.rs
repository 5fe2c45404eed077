//! Histories of one order: a merchant, a packer, and a daemon that people interrupt and crashes cut off between
//! any two steps. They are right when in the end both sides agree, Brani has the newest content, nothing moves any
//! more, a cancelled order is cancelled on both sides, and where the merchant never touches the status the packer's
//! last word stands at Brani, whatever was lost. Each mutation breaks one rule; the histories must notice.

use super::{Agreed, Decision, Found, Said, Why, decide};
use crate::types::{EventId, Made, ShopStatus, StatusId};
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
                self.ledger
                    .agreed
                    .before_write(Some(&shop), self::shop(status), true);
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

/// A packer's status was written over `paid` at this second.
fn written(at: i64) -> Agreed {
    let mut agreed = Agreed {
        known: true,
        shop: Some("paid".into()),
        brani: Some(StatusId(1)),
        ..Agreed::default()
    };
    let before = agreed.shop.clone();
    agreed.before_write(before.as_ref(), "packed".into(), false);
    agreed.after_write(StatusId(-1), Some("packed".into()));
    agreed.outdates([before, None, Some("ready".into())], second(at));
    agreed
}

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

/// What an export says that was made at this second, and tells so, or came at this second.
fn said(status: &str, at: i64, told: bool) -> Said {
    Said {
        status: Some(status.into()),
        protected: status == "cancelled",
        made: Some(Made { by: second(at), told }),
    }
}

#[test]
fn nothing_that_an_export_from_before_our_write_says_of_the_status_counts_but_a_protected_one() {
    let mut agreed = written(1000);
    for status in ["paid", "ready", "hold", "packed"] {
        assert!(!agreed.hear(&said(status, 999, true)), "{status}");
        assert!(!agreed.hear(&said(status, 1000, false)), "{status}");
    }
    assert!(agreed.hear(&said("cancelled", 999, true)));
    // what was agreed then says nothing about those that come
    assert!(!agreed.hear(&said("paid", 1001, true)));
    // nor does a later send of the shop's own word change what the old one knows
    agreed.after_send(Some(StatusId(2)), Some(&"hold".into()), None, second(1100));
    assert!(!agreed.heeds(&said("paid", 999, true)));
}

#[test]
fn what_stood_before_our_write_counts_in_the_second_export_made_after_it() {
    let mut agreed = written(1000);
    assert!(!agreed.hear(&said("paid", 1005, true)), "begun before, perhaps");
    assert!(!agreed.hear(&said("paid", 1005, true)), "the same once more");
    assert!(
        agreed.hear(&said("paid", 1006, true)),
        "begun after the other was made"
    );
}

#[test]
fn what_did_not_stand_before_our_write_counts_in_the_first_export_after_it() {
    let mut agreed = written(1000);
    assert!(agreed.hear(&said("hold", 1001, true)));
    assert!(
        !agreed.hear(&said("ready", 1001, true)),
        "it was looked up before"
    );
}

#[test]
fn an_export_that_says_what_we_wrote_was_begun_after_it() {
    let mut agreed = written(1000);
    assert!(agreed.hear(&said("packed", 1001, true)));
    assert!(
        agreed.hear(&said("paid", 1002, true)),
        "the merchant went back to it"
    );
    let mut agreed = written(1000);
    assert!(agreed.hear(&said("packed", 1001, false)));
    assert!(agreed.hear(&said("paid", 1002, false)));
}

#[test]
fn of_exports_that_do_not_tell_their_age_none_is_the_second_before_a_day_has_passed() {
    let mut agreed = written(1000);
    for at in [1001, 1002, 1000 + 86_400] {
        assert!(!agreed.hear(&said("paid", at, false)), "{at}");
    }
    assert!(agreed.hear(&said("paid", 1001 + 86_400, false)));
}

#[test]
fn a_write_whose_end_nobody_knows_is_no_news_when_an_export_says_it_after_the_next_was_begun() {
    let paid = Some(ShopStatus::from("paid"));
    let mut agreed = Agreed {
        known: true,
        shop: paid.clone(),
        brani: Some(StatusId(1)),
        ..Agreed::default()
    };
    agreed.before_write(paid.as_ref(), "packed".into(), false);
    agreed.before_write(paid.as_ref(), "sent".into(), false);
    for status in ["packed", "sent", "paid"] {
        assert!(!agreed.is_shop_news(Some(&status.into())), "{status}");
    }
    assert!(agreed.is_shop_news(Some(&"hold".into())));
    agreed.after_write(StatusId(-2), Some("sent".into()));
    agreed.outdates([paid], second(1000));
    assert!(agreed.begun.is_empty());
    assert!(
        !agreed.hear(&said("packed", 1001, true)),
        "begun before the last write"
    );
}

#[test]
fn a_shop_that_is_asked_itself_always_counts() {
    let mut agreed = written(1000);
    let said = Said {
        made: None,
        ..said("paid", 0, false)
    };
    assert!(agreed.hear(&said));
}
