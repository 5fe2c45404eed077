//! The flow out: what the shop says is compared with what the ledger says Brani has, and the difference is closed.
//!
//! `poll` reads → `diff` decides → the ledger keeps what is wanted → `send` sends it. `sweep` looks at everything
//! again and notices what is gone; `extras` tells what stands beside the orders. This corridor never imports the way back.

pub mod diff;
pub mod extras;
pub mod poll;
pub mod send;
pub mod sweep;
pub mod weather;
