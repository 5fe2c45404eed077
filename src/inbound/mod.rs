//! The way back: Brani's events reach the shop.
//!
//! `register` keeps Brani's webhooks equal to the configuration; `receiver` hears pushes and only rings; `drain`
//! lists events into the ledger's inbox; `apply` hands them to the handlers. This corridor never imports the way
//! out.

pub mod apply;
pub mod drain;
pub mod receiver;
pub mod register;
