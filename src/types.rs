//! The words of the house as types: what can be mixed up gets a type of its own.
//!
//! This room knows no shop, no service and no ledger. Every other room may use it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Declares a newtype around a string or a number that must not be mixed up with another.
macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident(String)) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);
        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident(i64)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl From<i64> for $name {
            fn from(number: i64) -> Self {
                Self(number)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident([u8; 16])) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub [u8; 16]);
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    };
}

newtype!(
    /// The merchant's order number, the key of Brani's upsert.
    OrderCode(String)
);
newtype!(
    /// The shop's own id of an order row (`_key`), as text: joins items, handed to handlers as `:key`.
    ShopKey(String)
);
newtype!(
    /// An order status as the shop stores it (`_status`), raw.
    ShopStatus(String)
);
newtype!(
    /// An order status id that e-shop info told Brani; negative ids are normal.
    StatusId(i64)
);
newtype!(
    /// Brani's id of one webhook event: unique and growing.
    EventId(i64)
);
newtype!(
    /// Brani's id of one webhook registration.
    WebhookId(i64)
);
newtype!(
    /// Hash of an order's raw columns and its items', seeded with the mapping's fingerprint.
    RowHash([u8; 16])
);
newtype!(
    /// Hash of a mapped order in canonical form, without its status: it alone decides what is sent.
    PayloadHash([u8; 16])
);

/// How old what an export says is, by this machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Nothing that happened later can be in it.
    pub by: Timestamp,
    /// The export tells that moment itself, and the next one will tell another; else it is when we had it.
    pub told: bool,
}

/// The key of the hashes per field, one per ledger. Never printed: with it short values could be guessed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldKey(pub [u8; 16]);

impl fmt::Debug for FieldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldKey(*****)")
    }
}
