//! The corpus of the fuzz targets, replayed: what once found its way to every corner ends in a value or an error.

#[path = "../fuzz/targets.rs"]
mod targets;

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use std::path::Path;
use std::time::{Duration, Instant};

/// Every file of a target's corpus, and every one of them cut off.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let mut count = 0;
    for file in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = file.unwrap().path();
        println!("{}", path.display());
        let data = std::fs::read(&path).unwrap();
        run(&data);
        run(&data[..data.len() / 2]);
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

/// Pieces that formats are made of, and numbers at their borders.
const PIECES: &[&[u8]] = &[
    b"<",
    b">",
    b"</",
    b"/>",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<!DOCTYPE x [",
    b"&",
    b"&#x",
    b";",
    b",",
    b"\"",
    b"'",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[",
    b":",
    b"::",
    b"\\u",
    b"\\ud800",
    b"null",
    b"-",
    b"--",
    b"/*",
    b"*/",
    b"$$",
    b"`",
    b"%",
    b"%00",
    b"../",
    b"\xff",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\x1f\x8b\x08",
    b"0",
    b"-0",
    b"1e999",
    b"9223372036854775808",
    b"18446744073709551616",
    b"NaN",
    b"9999-12-31 23:59:59",
    b"2026-10-25 02:30:00",
    b"chunked",
    b"content-length: ",
    b"transfer-encoding: ",
    "\u{202e}\u{1f339}".as_bytes(),
];

/// One input changed a little, or two cut together.
fn mutate(rng: &mut SmallRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[rng.random_range(0..corpus.len())].clone();
    for _ in 0..rng.random_range(1..8) {
        let at = rng.random_range(0..=data.len());
        let end = (at + rng.random_range(0..64)).min(data.len());
        match rng.random_range(0..7) {
            0 if at < data.len() => data[at] ^= 1 << rng.random_range(0..8),
            1 => drop(data.drain(at..end)),
            2 => {
                let part = data[at..end].to_vec();
                let times = rng.random_range(1..200);
                drop(data.splice(at..at, part.repeat(times)));
            }
            3 => {
                let other = &corpus[rng.random_range(0..corpus.len())];
                let from = rng.random_range(0..=other.len());
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            4 => drop(
                data.splice(
                    at..at,
                    (0..rng.random_range(1..9))
                        .map(|_| rng.random())
                        .collect::<Vec<u8>>(),
                ),
            ),
            _ => {
                let piece = PIECES[rng.random_range(0..PIECES.len())];
                drop(data.splice(at..end.min(at + piece.len()), piece.iter().copied()));
            }
        }
        data.truncate(64 * 1024);
    }
    data
}

/// The corpus with random changes, for `BRANI_SYNC_FUZZ_SECONDS` for each target that is named; what breaks is kept
/// beside the corpus, so that it is replayed from then on.
#[test]
#[ignore = "minutes; `BRANI_SYNC_FUZZ_TARGET` names one target"]
fn changed_at_random_it_ends_in_a_value_or_an_error_too() {
    let variable = |name: &str| std::env::var(name).ok();
    let only = variable("BRANI_SYNC_FUZZ_TARGET");
    let seconds = variable("BRANI_SYNC_FUZZ_SECONDS")
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    let mut broken = Vec::new();
    for (target, run) in targets::ALL {
        if only.as_ref().is_some_and(|only| only != target) {
            continue;
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz/corpus")
            .join(target);
        let corpus: Vec<Vec<u8>> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        let mut rng = SmallRng::seed_from_u64(rand::random());
        let began = Instant::now();
        let (mut count, mut slowest) = (0_u64, Duration::ZERO);
        while began.elapsed() < Duration::from_secs(seconds) {
            let data = mutate(&mut rng, &corpus);
            let started = Instant::now();
            if std::panic::catch_unwind(|| run(&data)).is_err() {
                let kept = folder.join(format!("found-{:016x}", xxhash_rust::xxh3::xxh3_64(&data)));
                std::fs::write(&kept, &data).unwrap();
                broken.push(kept);
                break;
            }
            slowest = slowest.max(started.elapsed());
            count += 1;
        }
        println!(
            "{target}: {count} inputs in {:?}, the slowest took {slowest:?}",
            began.elapsed()
        );
    }
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn any_configuration_is_read_or_refused_with_a_reason() {
    replay("config", targets::config);
}

#[test]
fn any_xml_is_read_or_refused() {
    replay("xml", targets::xml);
}

#[test]
fn any_csv_is_read_or_refused() {
    replay("csv", targets::csv);
}

#[test]
fn any_json_is_read_or_refused() {
    replay("json", targets::json);
}

#[test]
fn any_answer_of_the_service_is_understood_or_refused() {
    replay("answers", targets::answers);
}

#[test]
fn any_bytes_at_the_door_are_answered_or_shut_out_and_ring_only_with_the_secret() {
    replay("receiver", targets::receiver);
}

#[test]
fn any_statement_has_only_the_parameters_that_stand_in_it() {
    replay("sql", targets::sql);
}
