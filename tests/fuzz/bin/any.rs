//! One of the fuzz targets under libFuzzer: `BRANI_SYNC_FUZZ_TARGET` says which.
#![no_main]

#[path = "../targets.rs"]
mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("BRANI_SYNC_FUZZ_TARGET").unwrap_or_default();
    let target = targets::ALL.iter().find(|(other, _)| *other == name);
    target
        .unwrap_or_else(|| panic!("BRANI_SYNC_FUZZ_TARGET: `{name}` is no target"))
        .1
});

fuzz_target!(|data: &[u8]| TARGET(data));
