//! What a request to Brani can end with, named after what the caller can do about it.

use std::time::Duration;

/// One complaint of a 422.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Complaint {
    /// Where, e.g. `items[0].amount`.
    pub field: String,
    /// Brani's own words. They may repeat the customer's data: for `explain`, never for the log.
    pub message: String,
    /// FastAPI's error type, safe for the log.
    pub kind: String,
}

/// Why a request was not answered with success.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 401 or 403: the token is wrong or missing. Stop the flow and say so; try again slowly.
    #[error("Brani refused the token (HTTP {status})")]
    Unauthorized {
        /// 401 or 403.
        status: u16,
    },
    /// 422: Brani does not take this body. Park it.
    #[error("Brani refused the data: {}", complaints.iter().map(|c| format!("{} ({})", c.field, c.kind)).collect::<Vec<_>>().join(", "))]
    Rejected {
        /// What it complains of.
        complaints: Vec<Complaint>,
    },
    /// Another 4xx. It parks only while other codes succeed.
    #[error("Brani answered HTTP {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// 404 on a delete, 406 past the last page are no errors; a 404 elsewhere is.
    #[error("Brani does not know it (HTTP 404)")]
    NotFound,
    /// 408, 429, 5xx, the network, a body that is not Brani's: wait and try again.
    #[error("{what}")]
    Unavailable {
        /// One line: what happened, e.g. `HTTP 503`, `no connection: …`, `the answer is not JSON`.
        what: String,
        /// `Retry-After`, bounded to an hour.
        retry_after: Option<Duration>,
        /// The request may have been applied: it left, and no answer came. Never true for a refused connection.
        maybe_applied: bool,
        /// The answer was a 5xx to this very request: the next probe is a different code.
        server_error: bool,
    },
}

impl Error {
    /// Whether the request may stand at Brani although it failed here.
    pub fn maybe_applied(&self) -> bool {
        matches!(
            self,
            Error::Unavailable {
                maybe_applied: true,
                ..
            }
        )
    }

    /// What to do, for the person who can mend it.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::Unauthorized { .. } => {
                "put the e-shop's API token where `brani.token` says (`brani-sync secret set brani-token`), then restart"
            }
            Error::Rejected { .. } => "mend the named field in the shop or in its query",
            Error::Refused { .. } | Error::NotFound => {
                "check `brani.base_url`; if it is right, ask Brani's support"
            }
            Error::Unavailable { .. } => "nothing to do: it is tried again by itself",
        }
    }
}
