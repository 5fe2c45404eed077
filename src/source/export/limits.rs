//! How large an export and its parts may be: generous for shops, small for attackers.

/// One file, once unpacked.
pub const FILE: u64 = 20 << 30;
/// How many times larger than its gzip a file may be …
pub const RATIO: u64 = 200;
/// … tested from this size on, since small files of repeated elements pack very well.
pub const RATIO_FROM: u64 = 64 << 20;
/// How deep elements may nest.
pub const DEPTH: usize = 64;
/// One field; a longer one is an error of its order.
pub const FIELD: usize = 1 << 20;
/// One token of the file; a longer one is an error of the file, because it cannot be passed over unread.
pub const TOKEN: usize = 16 << 20;
/// One order.
pub const ORDER: usize = 16 << 20;
/// Lines of one order.
pub const ITEMS: usize = 10_000;
/// Elements of one order.
pub const NODES: usize = 500_000;
/// Names of elements that are remembered.
pub const NAMES: usize = 10_000;
/// csv: orders whose rows do not stand together are held up to this many bytes.
pub const HELD: usize = 256 << 20;
/// csv: columns.
pub const COLUMNS: usize = 4_096;
