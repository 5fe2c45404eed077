//! The corpus of the fuzz targets, replayed: what once found its way to every corner ends in a value or an error.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::path::Path;

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
