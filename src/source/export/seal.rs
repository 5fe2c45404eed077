//! The hash of a record as the file has it, before any template: what has not changed need not be mapped to columns.
//!
//! It knows no templates. That these changed is told by the mapping's fingerprint ([`print()`]), as any other setting.

use super::tree::{Node, Tree};
use super::{Met, Raw};
use crate::config;
use crate::types::RowHash;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The hash of a record; `frame` is used and left behind, so that a read fills one buffer only.
pub fn seal(met: &Met, frame: &mut Vec<u8>) -> RowHash {
    match met {
        Met::Whole(raw) => of_tree(raw, frame),
        // As it is written: a tree of it would say the same.
        Met::Written(written) => RowHash(xxh3_128(&written.text).to_be_bytes()),
    }
}

fn of_tree(raw: &Raw, frame: &mut Vec<u8>) -> RowHash {
    frame.clear();
    put_tree(&raw.tree, frame);
    // In a csv the items are rows beside the order; in a tree they are below it, and are met twice.
    put_length(raw.items.len(), frame);
    if raw.items_stand_beside {
        raw.items.iter().for_each(|item| put_tree(item, frame));
    }
    if let Some(problem) = &raw.problem {
        put_text(problem, frame);
    }
    RowHash(xxh3_128(frame).to_be_bytes())
}

fn put_length(length: usize, frame: &mut Vec<u8>) {
    frame.extend_from_slice(&(length as u64).to_le_bytes());
}

fn put_text(text: &str, frame: &mut Vec<u8>) {
    put_length(text.len(), frame);
    frame.extend_from_slice(text.as_bytes());
}

fn put_tree(tree: &Tree, frame: &mut Vec<u8>) {
    match &tree.text {
        Some(text) => {
            frame.push(1);
            put_text(text, frame);
        }
        None => frame.push(0),
    }
    put_length(tree.fields.len(), frame);
    for (name, node) in &tree.fields {
        put_text(name, frame);
        put_node(node, frame);
    }
}

fn put_node(node: &Node, frame: &mut Vec<u8>) {
    match node {
        Node::Text(text) => {
            frame.push(2);
            put_text(text, frame);
        }
        Node::Int(number) => {
            frame.push(3);
            frame.extend_from_slice(&number.to_le_bytes());
        }
        Node::Bool(flag) => frame.extend_from_slice(&[4, u8::from(*flag)]),
        Node::Null => frame.push(5),
        Node::Tree(tree) => {
            frame.push(6);
            put_tree(tree, frame);
        }
        Node::List(nodes) => {
            frame.push(7);
            put_length(nodes.len(), frame);
            nodes.iter().for_each(|node| put_node(node, frame));
        }
    }
}

/// All that the columns of an export's records depend on besides the records: a new version's filters, too.
pub fn print(source: &config::Source) -> u64 {
    let parts = format!(
        "{} {:?} {:?} {:?} {:?}",
        env!("CARGO_PKG_VERSION"),
        source.map,
        source.options,
        source.cursor,
        source.records,
    );
    xxh3_64(parts.as_bytes())
}
