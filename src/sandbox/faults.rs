//! How the sandbox misbehaves, and to which requests.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// One way to misbehave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Answers this status; nothing is applied.
    Status {
        /// The status.
        status: u16,
        /// The `Retry-After` header, as it is to be sent.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// Waits, then does as asked.
    Latency {
        /// How long.
        milliseconds: u64,
    },
    /// Never answers; nothing is applied.
    Hang,
    /// Applies the request, then cuts the connection without an answer.
    LostReply,
    /// Cuts the connection without an answer; nothing is applied.
    Cut,
    /// Cuts the connection at once and applies the request later: a late first request.
    Late {
        /// How much later.
        milliseconds: u64,
    },
    /// 200 with an HTML page of somebody else; nothing is applied.
    Garbage,
    /// 200 with a body that never ends; nothing is applied.
    Endless,
    /// 200 with an empty body; nothing is applied.
    EmptyBody,
}

/// Which requests. Every field that is given must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matcher {
    /// The method, e.g. `POST`.
    #[serde(default)]
    pub method: Option<String>,
    /// What the path begins with, e.g. `/order/`.
    #[serde(default)]
    pub path: Option<String>,
    /// The order code.
    #[serde(default)]
    pub code: Option<String>,
}

impl Matcher {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Upserts only.
    pub fn upserts() -> Self {
        Self::path("/order/upsert")
    }

    /// Requests whose path begins so.
    pub fn path(path: &str) -> Self {
        Self {
            path: Some(path.to_owned()),
            ..Self::default()
        }
    }

    /// Requests about one order.
    pub fn code(code: &str) -> Self {
        Self {
            code: Some(code.to_owned()),
            ..Self::default()
        }
    }

    fn fits(&self, method: &str, path: &str, code: Option<&str>) -> bool {
        self.method
            .as_deref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.path.as_deref().is_none_or(|wanted| path.starts_with(wanted))
            && self.code.as_deref().is_none_or(|wanted| Some(wanted) == code)
    }
}

struct Rule {
    matcher: Matcher,
    fault: Fault,
    /// How often it still strikes; `None`: always.
    left: Option<u64>,
}

struct Mix {
    rng: StdRng,
    share: f64,
    faults: Vec<Fault>,
}

/// What is to go wrong.
#[derive(Default)]
pub(super) struct Plan {
    rules: Vec<Rule>,
    mix: Option<Mix>,
}

impl Plan {
    pub fn add(&mut self, matcher: Matcher, fault: Fault, times: Option<u64>) {
        self.rules.push(Rule {
            matcher,
            fault,
            left: times,
        });
    }

    pub fn mix(&mut self, seed: u64, share: f64, faults: Vec<Fault>) {
        let faults = if faults.is_empty() { usual() } else { faults };
        self.mix = Some(Mix {
            rng: StdRng::seed_from_u64(seed),
            share: share.clamp(0.0, 1.0),
            faults,
        });
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The fault of this request, if any. A counted rule is used up by it.
    pub fn strike(&mut self, method: &str, path: &str, code: Option<&str>) -> Option<Fault> {
        let position = self
            .rules
            .iter()
            .position(|rule| rule.matcher.fits(method, path, code));
        if let Some(position) = position {
            let rule = &mut self.rules[position];
            let fault = rule.fault.clone();
            if let Some(left) = &mut rule.left {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.rules.remove(position);
                }
            }
            return Some(fault);
        }
        let mix = self.mix.as_mut()?;
        if mix.rng.random::<f64>() >= mix.share {
            return None;
        }
        let pick = mix.rng.random_range(0..mix.faults.len());
        mix.faults.get(pick).cloned()
    }
}

/// The random mix when none is named: nothing that outlasts a client's patience.
fn usual() -> Vec<Fault> {
    let status = |status: u16, retry_after: Option<&str>| Fault::Status {
        status,
        retry_after: retry_after.map(str::to_owned),
    };
    vec![
        status(500, None),
        status(502, None),
        status(503, Some("1")),
        status(429, Some("1")),
        Fault::LostReply,
        Fault::Cut,
        Fault::Garbage,
        Fault::EmptyBody,
        Fault::Latency { milliseconds: 100 },
        Fault::Late { milliseconds: 200 },
    ]
}
