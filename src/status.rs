//! Whose status wins: pure functions of values, no clock, no network.
//!
//! What each side last said of an order's status, who changed it, what to send, what to write. The two flows
//! both ask here; the steps in between (drain, look-up, request, write) are theirs. The tests at the end port the
//! histories of merchants, packers and crashes that these rules must survive.

use crate::types::{EventId, Made, ShopStatus, StatusId};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// The window of our latest request: an event with its status, created while it ran, is our own echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The status that was sent; none where the order has none.
    pub status: Option<StatusId>,
    /// When the request left.
    pub from: Timestamp,
    /// When its answer came; none while it runs, or when no answer came.
    pub to: Option<Timestamp>,
    /// The newest event of somebody else's that was known when it left: what the request may have been made from is
    /// no echo of it.
    pub after: Option<EventId>,
}

/// What the ledger keeps of one order's status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// Brani has the order: a request of ours was answered with success.
    pub known: bool,
    /// The shop's raw value as last agreed.
    pub shop: Option<ShopStatus>,
    /// Brani's id as last agreed.
    pub brani: Option<StatusId>,
    /// A write-back was begun with this value, and its mark is missing.
    pub writing: Option<ShopStatus>,
    /// A request left, and no drain begun after its answer has been read.
    pub unconfirmed: bool,
    /// Brani must hear its own status again.
    pub owed: bool,
    /// Our latest request.
    pub window: Option<Window>,
    /// Where the shop is read from exports: when our last write into it was done.
    pub wrote: Option<Timestamp>,
    /// What stood in the shop before it. An export that was begun before and made after it may say that still.
    pub stale: Vec<ShopStatus>,
    /// When the first export was made that said it still, and was made after our write.
    pub doubted: Option<Timestamp>,
    /// Begun before `writing` was, and nobody knows with what end: an export may say it and is not to be taken for news.
    pub begun: Vec<ShopStatus>,
}

/// What a row says of its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The raw value.
    pub status: Option<ShopStatus>,
    /// It is in `protect`.
    pub protected: bool,
    /// The export that says it; none where the shop was asked itself.
    pub made: Option<Made>,
}

/// An export that we came by so long after our write was not begun before it.
const BEGUN_BEFORE: SignedDuration = SignedDuration::from_hours(24);

/// By the ledger's milliseconds.
fn is_later(a: Timestamp, b: Timestamp) -> bool {
    a.as_millisecond() > b.as_millisecond()
}

/// How far the clocks of the two machines may differ before an echo is taken for news, and the resolution of
/// `event_creation`, which is a second.
pub const ECHO_SLACK: Duration = Duration::from_secs(2);

/// A request without an answer may land, and echo, this long after it left; not for ever: the packer may say the
/// same later.
pub const ECHO_OPEN: Duration = Duration::from_secs(15 * 60);

impl Agreed {
    /// Whether the shop's raw value is the merchant's news: neither what was agreed, nor what we are or were writing.
    pub fn is_shop_news(&self, shop: Option<&ShopStatus>) -> bool {
        shop != self.shop.as_ref()
            && (self.writing.is_none() || shop != self.writing.as_ref())
            && !shop.is_some_and(|shop| self.begun.contains(shop))
    }

    /// Whether what a row says of the status counts. It does not where the row is of an export that was made before our own
    /// write, or may have been begun before it: what stood there then is nobody's news. A protected status that did not
    /// stand there counts whatever its age: better to cancel twice than to pack what is cancelled.
    pub fn heeds(&self, said: &Said) -> bool {
        let (Some(wrote), Some(made)) = (self.wrote, said.made) else {
            return true;
        };
        let stood_before = said
            .status
            .as_ref()
            .is_some_and(|status| self.stale.contains(status));
        if !is_later(made.by, wrote) {
            return said.protected && !stood_before;
        }
        // Of two exports that were made after our write, the second was begun after it.
        let second = made.told && self.doubted.is_some_and(|first| is_later(made.by, first));
        !stood_before || second || made.by > wrote + BEGUN_BEFORE
    }

    /// Whether an event is the echo of our own request: its status, created while it ran.
    pub fn is_echo(&self, event: EventId, status: Option<StatusId>, created: &[Timestamp]) -> bool {
        let Some(window) = self.window else { return false };
        if window.after.is_some_and(|after| event.0 <= after.0) {
            return false;
        }
        let to = window.to.map_or(window.from + ECHO_OPEN, |to| to + ECHO_SLACK);
        status.is_some()
            && status == window.status
            && created
                .iter()
                .any(|&at| at >= window.from - ECHO_SLACK && at <= to)
    }

    /// Whether a request with another status than the agreed one may have landed before an event was created.
    pub fn in_doubt(&self, unanswered: bool, created: &[Timestamp]) -> bool {
        let Some(window) = self.window else { return false };
        // An event's creation is cut off to whole seconds.
        let second = Duration::from_secs(1);
        (unanswered || window.to.is_none())
            && window.status != self.brani
            && created.iter().any(|&at| at + second > window.from)
    }
}

/// What was found: the shop's row after a drain, and what the drain brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The row's raw status.
    pub shop: Option<ShopStatus>,
    /// What it means to Brani.
    pub shop_id: Option<StatusId>,
    /// The row's status is in `protect`.
    pub protected: bool,
    /// The newest status event that is no echo, of those not yet dealt with.
    pub event: Option<StatusId>,
    /// That event came after a request of ours which was not answered and may have landed: even where it says what
    /// was agreed, it is news.
    pub in_doubt: bool,
    /// The content differs from what Brani has.
    pub content_differs: bool,
}

/// What to do. One act, then everything is looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send the order with this status.
    Send {
        /// The status that goes with it.
        status: Option<StatusId>,
        /// The shop's value that this request makes agreed; none where it does not carry the shop's news.
        intent: Option<ShopStatus>,
        /// Why.
        why: Why,
    },
    /// Bring this status of Brani's into the shop.
    Write {
        /// Brani's status.
        status: StatusId,
    },
    /// Nothing is to be done; what was unconfirmed is confirmed.
    Nothing,
}

/// Why an order is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Brani does not have it.
    First,
    /// Brani's events say more of its status than the shop does.
    FirstWithPackersStatus,
    /// A protected status of the shop's stands against anything.
    Protected,
    /// The shop's status changed.
    ShopNews,
    /// Other content.
    Content,
    /// Brani must hear its own status again.
    Owed,
}

/// Decides, by the table in `docs/architecture.md`.
pub fn decide(agreed: &Agreed, found: &Found) -> Decision {
    if !agreed.known {
        return match found.event {
            Some(event) if !found.protected => Decision::Send {
                status: Some(event),
                intent: found.shop.clone(),
                why: Why::FirstWithPackersStatus,
            },
            _ => Decision::Send {
                status: found.shop_id,
                intent: found.shop.clone(),
                why: Why::First,
            },
        };
    }
    let brani_news = found.event.is_some() && (found.event != agreed.brani || found.in_doubt);
    let begun = agreed.writing.is_some();
    let shop_news = agreed.is_shop_news(found.shop.as_ref());
    let unfinished = begun && !shop_news;
    if found.protected && (shop_news || brani_news) {
        return Decision::Send {
            status: found.shop_id,
            intent: found.shop.clone(),
            why: Why::Protected,
        };
    }
    if (brani_news || unfinished)
        && let Some(status) = found.event.or(agreed.brani)
    {
        return Decision::Write { status };
    }
    if shop_news {
        return Decision::Send {
            status: found.shop_id,
            intent: found.shop.clone(),
            why: Why::ShopNews,
        };
    }
    if found.content_differs || agreed.owed {
        let why = if found.content_differs {
            Why::Content
        } else {
            Why::Owed
        };
        return Decision::Send {
            status: agreed.brani,
            intent: None,
            why,
        };
    }
    Decision::Nothing
}

impl Agreed {
    /// To be kept before a request leaves; `heard` is the newest event that is somebody else's.
    pub fn before_send(&mut self, status: Option<StatusId>, heard: Option<EventId>, now: Timestamp) {
        self.unconfirmed = true;
        self.window = Some(Window {
            status,
            from: now,
            to: None,
            after: heard,
        });
    }

    /// To be kept when the request was answered with success. `writing` is the shop value for `status`, where the
    /// shop has yet to hear it.
    pub fn after_send(
        &mut self,
        status: Option<StatusId>,
        intent: Option<&ShopStatus>,
        writing: Option<ShopStatus>,
        now: Timestamp,
    ) {
        self.known = true;
        self.brani = status;
        self.unconfirmed = true;
        self.owed = false;
        if let Some(window) = &mut self.window {
            window.to = Some(now);
        }
        if let Some(intent) = intent {
            self.stale.clear();
            self.begun.clear();
            self.doubted = None;
            self.shop = Some(intent.clone());
            self.writing = writing;
        }
    }

    /// To be kept before a status is written into a row whose status is `shop`, so that a crash does not make our
    /// own write look like the merchant's. `live` where the row was asked for: a write begun earlier that does not stand
    /// there came to nothing, while an export may be older than it.
    pub fn before_write(&mut self, shop: Option<&ShopStatus>, writing: ShopStatus, live: bool) {
        let earlier = self.writing.replace(writing);
        if earlier.is_some() && earlier.as_ref() == shop {
            self.shop = shop.cloned();
        } else if let Some(earlier) =
            earlier.filter(|earlier| !live && Some(earlier) != self.writing.as_ref())
            && !self.begun.contains(&earlier)
        {
            self.begun.push(earlier);
        }
    }

    /// To be kept when the write stands: both sides agree. Where a request was unconfirmed, the event may have
    /// crossed it, and Brani must hear its own status again.
    pub fn after_write(&mut self, status: StatusId, shop: Option<ShopStatus>) {
        self.shop = shop;
        self.writing = None;
        self.brani = Some(status);
        self.owed = self.owed || self.unconfirmed;
        self.unconfirmed = false;
    }

    /// To be kept with [`Agreed::after_write`] where the shop is read from exports: what stood there `before`, as far as
    /// anybody knows, may be said once more.
    pub fn outdates(&mut self, before: impl IntoIterator<Item = Option<ShopStatus>>, now: Timestamp) {
        self.wrote = Some(now);
        self.doubted = None;
        let begun = std::mem::take(&mut self.begun);
        for before in before.into_iter().flatten().chain(begun) {
            if !self.stale.contains(&before) {
                self.stale.push(before);
            }
        }
        let shop = self.shop.as_ref();
        self.stale.retain(|before| Some(before) != shop);
    }

    /// To be kept when a row was read: [`Agreed::heeds`], and what follows for the next one.
    pub fn hear(&mut self, said: &Said) -> bool {
        let heeds = self.heeds(said);
        if let (Some(wrote), Some(made)) = (self.wrote, said.made)
            && is_later(made.by, wrote)
        {
            if heeds && said.status == self.shop {
                // This one was begun after our write, and so is every later one; a read of an earlier one, which still goes
                // on beside the look that met this one, says nothing new.
                self.stale.clear();
                self.doubted = None;
                self.wrote = Some(wrote.max(made.by - SignedDuration::from_millis(1)));
            } else if !heeds && made.told && self.doubted.is_none() {
                self.doubted = Some(made.by);
            }
        }
        heeds
    }

    /// To be kept when a drain begun after the answer brought nothing else.
    pub fn confirmed(&mut self) {
        self.unconfirmed = false;
    }
}

#[cfg(test)]
mod tests;
