//! brani-sync keeps an e-shop and the packing service Brani Balič in step.
//!
//! The modules in the order the data flows; `docs/architecture.md` walks through them.

// the words, and what everybody may use
pub mod bell;
pub mod clock;
pub mod http;
pub mod listen;
pub mod locks;
pub mod panics;
pub mod types;
pub mod visible;

// what the merchant wrote
pub mod config;

// out: shop → Brani
pub mod brani;
pub mod database;
pub mod mapping;
pub mod outbound;
pub mod source;

// between the two flows
pub mod context;
pub mod eshop_info;
pub mod explain;
pub mod health;
pub mod ledger;
pub mod status;

// back: Brani → shop
pub mod inbound;
pub mod writeback;

// what puts it together and keeps it going
pub mod assemble;
pub mod cli;
pub mod commands;
pub mod daemon;
pub mod init;
pub mod log;

// who rings, who tells
pub mod admin;
pub mod alert;
pub mod schedule;
pub mod trouble;

// a Brani on localhost
pub mod sandbox;
