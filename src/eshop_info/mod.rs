//! E-shop info: what Brani knows of the shop's statuses and methods against what it should know.
//!
//! Pure functions of two lists; who asks Brani and when is not known here.

pub mod refresh;

use crate::brani::model::{EshopInfo, Methods, Named, RetailWholesale};
use crate::config::Mode;
use crate::mapping::dictionaries::canonical_guid;
use serde::Serialize;

/// Which list a line of the drift is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Order statuses.
    Status,
    /// Shipping methods for consumers.
    Shipping,
    /// Shipping methods for wholesale.
    ShippingWholesale,
    /// Payment methods for consumers.
    Payment,
    /// Payment methods for wholesale.
    PaymentWholesale,
}

/// How an entry differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// Brani does not have it.
    Missing,
    /// Brani calls it otherwise.
    Renamed,
    /// We do not list it.
    OnlyAtBrani,
}

/// One difference between what Brani has and what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DriftLine {
    /// The list.
    pub kind: Kind,
    /// The status id or the GUID.
    pub id: String,
    /// The name at Brani.
    pub at_brani: Option<String>,
    /// The name wanted.
    pub wanted: Option<String>,
    /// How it differs.
    pub what: Drift,
}

impl std::fmt::Display for DriftLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Status => "status",
            Kind::Shipping => "shipping",
            Kind::Payment => "payment",
            _ => "wholesale method",
        };
        let (id, none) = (&self.id, String::new());
        let (theirs, ours) = (
            self.at_brani.as_ref().unwrap_or(&none),
            self.wanted.as_ref().unwrap_or(&none),
        );
        match self.what {
            Drift::Missing => write!(f, "{kind} {id}: `{ours}` is missing at Brani"),
            Drift::Renamed => write!(f, "{kind} {id}: `{theirs}` at Brani, `{ours}` here"),
            Drift::OnlyAtBrani => write!(f, "{kind} {id}: `{theirs}` only at Brani"),
        }
    }
}

/// What is to be posted; `None` where Brani has what it needs.
///
/// Merge: ours that is missing is added and ours that is called otherwise is renamed; what else Brani has stays as it
/// is. Replace: our lists, where they are not the same already (their order says nothing).
pub fn merge(have: Option<&EshopInfo>, want: &EshopInfo, mode: Mode) -> Option<EshopInfo> {
    let nothing = EshopInfo::default();
    let found = drift(have.unwrap_or(&nothing), want);
    match mode {
        Mode::Replace => (!found.is_empty()).then(|| want.clone()),
        Mode::Merge => {
            if found.iter().all(|line| line.what == Drift::OnlyAtBrani) {
                return None;
            }
            let mut merged = have.cloned().unwrap_or_default();
            for wanted in &want.order_statuses.statuses {
                let statuses = &mut merged.order_statuses.statuses;
                if !statuses.iter().any(|known| known.id == wanted.id) {
                    statuses.push(wanted.clone());
                }
                for known in statuses.iter_mut().filter(|known| known.id == wanted.id) {
                    known.name.clone_from(&wanted.name);
                }
            }
            merge_methods(&mut merged.shipping_methods, &want.shipping_methods);
            merge_methods(&mut merged.payment_methods, &want.payment_methods);
            Some(merged)
        }
    }
}

fn merge_methods(merged: &mut RetailWholesale, want: &RetailWholesale) {
    for (merged, want) in [
        (&mut merged.retail, &want.retail),
        (&mut merged.wholesale, &want.wholesale),
    ] {
        for wanted in &want.methods {
            let same = |known: &Named| comparable(&known.guid) == comparable(&wanted.guid);
            if !merged.methods.iter().any(same) {
                merged.methods.push(wanted.clone());
            }
            for known in merged.methods.iter_mut().filter(|known| same(known)) {
                known.name.clone_from(&wanted.name);
            }
        }
    }
}

/// The differences, list by list: what is missing or called otherwise, then what only Brani has.
pub fn drift(have: &EshopInfo, want: &EshopInfo) -> Vec<DriftLine> {
    let statuses = |info: &EshopInfo| -> Vec<(String, String)> {
        let list = info.order_statuses.statuses.iter();
        list.map(|status| (status.id.to_string(), status.name.clone()))
            .collect()
    };
    let methods = |methods: &Methods| -> Vec<(String, String)> {
        let list = methods.methods.iter();
        list.map(|method| (comparable(&method.guid), method.name.clone()))
            .collect()
    };
    let mut lines = Vec::new();
    compare(&mut lines, Kind::Status, &statuses(have), &statuses(want));
    for (kind, have, want) in [
        (
            Kind::Shipping,
            &have.shipping_methods.retail,
            &want.shipping_methods.retail,
        ),
        (
            Kind::ShippingWholesale,
            &have.shipping_methods.wholesale,
            &want.shipping_methods.wholesale,
        ),
        (
            Kind::Payment,
            &have.payment_methods.retail,
            &want.payment_methods.retail,
        ),
        (
            Kind::PaymentWholesale,
            &have.payment_methods.wholesale,
            &want.payment_methods.wholesale,
        ),
    ] {
        compare(&mut lines, kind, &methods(have), &methods(want));
    }
    lines
}

fn compare(lines: &mut Vec<DriftLine>, kind: Kind, have: &[(String, String)], want: &[(String, String)]) {
    let mut line = |id: &str, at_brani: Option<&str>, wanted: Option<&str>, what: Drift| {
        lines.push(DriftLine {
            kind,
            id: id.to_owned(),
            at_brani: at_brani.map(str::to_owned),
            wanted: wanted.map(str::to_owned),
            what,
        });
    };
    for (id, name) in want {
        let mut known = have.iter().filter(|(known, _)| known == id).peekable();
        if known.peek().is_none() {
            line(id, None, Some(name), Drift::Missing);
        } else if let Some((_, other)) = known.find(|(_, known)| known != name) {
            line(id, Some(other), Some(name), Drift::Renamed);
        }
    }
    for (id, name) in have {
        if !want.iter().any(|(wanted, _)| wanted == id) {
            line(id, Some(name), None, Drift::OnlyAtBrani);
        }
    }
}

/// GUIDs are the same in any case and with or without the service's padding.
fn comparable(guid: &str) -> String {
    canonical_guid(guid).unwrap_or_else(|| guid.trim().to_lowercase())
}
