//! The units as systemd reads them: they load without a complaint, stay as closed as they were, and the template is the
//! plain unit under another name. Nothing here needs a running systemd, only its `systemd-analyze`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Anything above is a regression: the most closed service of those we learned from has 1.2.
const EXPOSURE_MAX_TENTHS: u32 = 12;

fn systemd_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn read(name: &str) -> String {
    let path = systemd_folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read `{}`: {error}", path.display()))
}

fn systemd_analyze(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new("systemd-analyze")
        .args(arguments)
        .envs(environment.iter().copied())
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| {
            panic!("run `systemd-analyze` ({error}); install it: apt-get install systemd")
        })
}

/// What systemd says about a unit that lies in a folder of its own; empty when it has nothing to say. The binary need not
/// be installed for that, so another stands in for it.
fn complaints(unit: &str, text: &str, drop_in: Option<&str>, user: bool) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runnable = |text: &str| {
        text.replace("/usr/bin/brani-sync ", "/bin/true ")
            .replace("%h/.local/bin/brani-sync ", "/bin/true ")
            .replace("/usr/local/lib/brani-sync/hold-lock ", "/bin/true ")
    };
    for beside in example_units() {
        let text = runnable(&read(&format!("examples/{beside}")));
        fs::write(folder.path().join(beside), text).expect("write the unit beside");
    }
    for ours in ["brani-sync.service", "brani-sync@.service"] {
        fs::write(folder.path().join(ours), runnable(&read(ours))).expect("write the unit beside");
    }
    fs::write(folder.path().join(unit), runnable(text)).expect("write the unit");
    if let Some(drop_in) = drop_in {
        let beside = folder.path().join(format!("{unit}.d"));
        fs::create_dir(&beside).expect("make the drop-in's folder");
        fs::write(beside.join("example.conf"), runnable(drop_in)).expect("write the drop-in");
    }
    // An instance is what runs; the template itself is only a pattern.
    let name = unit.replace("@.", "@kvetiny.");
    let unit_path = format!("{}:", folder.path().display());
    let runtime = folder.path().display().to_string();
    let mut arguments = vec!["verify", "--man=no"];
    if user {
        arguments.insert(0, "--user");
    }
    arguments.push(&name);
    let output = systemd_analyze(
        &arguments,
        &[("SYSTEMD_UNIT_PATH", &unit_path), ("XDG_RUNTIME_DIR", &runtime)],
    );
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    // Units of the machine that ours refer to may have troubles of their own.
    let about_us: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("brani-sync") || line.contains("example.conf"))
        .collect();
    if !about_us.is_empty() {
        return about_us.join("\n");
    }
    if output.status.success() {
        String::new()
    } else {
        said
    }
}

/// The units among the examples.
fn example_units() -> Vec<String> {
    let entries = fs::read_dir(systemd_folder().join("examples")).expect("the examples' folder");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".service") || name.ends_with(".timer"))
        .collect();
    names.sort();
    names
}

fn exposure_tenths(unit: &str) -> u32 {
    let path = systemd_folder().join(unit);
    let output = systemd_analyze(
        &[
            "security",
            "--offline=true",
            "--no-pager",
            &path.display().to_string(),
        ],
        &[],
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let overall = text
        .lines()
        .find_map(|line| {
            line.split_once("Overall exposure level for ")
                .map(|(_, rest)| rest)
        })
        .unwrap_or_else(|| panic!("no score in: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let score = overall
        .split(": ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("`UNIT: SCORE WORD`");
    score
        .replace('.', "")
        .parse()
        .unwrap_or_else(|error| panic!("`{score}` is no score: {error}"))
}

fn settings(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

#[test]
fn template_and_plain_unit_differ_in_the_name_of_the_instance_only() {
    let template = read("brani-sync@.service");
    let plain = read("brani-sync.service");
    assert!(template.contains("%i"));
    assert!(!plain.contains("%i"));
    // What the template says of its instance, the plain unit says of the instance `brani-sync`.
    assert_eq!(template.replace("%i", "brani-sync"), plain);
}

#[test]
fn units_load_without_a_complaint() {
    for (unit, file, user) in [
        ("brani-sync.service", "brani-sync.service", false),
        ("brani-sync@.service", "brani-sync@.service", false),
        ("brani-sync.service", "user/brani-sync.service", true),
    ] {
        assert_eq!(complaints(unit, &read(file), None, user), "", "{file}");
    }
}

#[test]
fn every_example_drop_in_loads_without_a_complaint() {
    let mut seen = 0;
    for entry in fs::read_dir(systemd_folder().join("examples")).expect("the examples' folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "conf") {
            continue;
        }
        let drop_in = fs::read_to_string(&path).expect("read the drop-in");
        for unit in ["brani-sync.service", "brani-sync@.service"] {
            if unit == "brani-sync.service" && drop_in.contains("%i") {
                continue;
            }
            assert_eq!(
                complaints(unit, &read(unit), Some(&drop_in), false),
                "",
                "{} on {unit}",
                path.display()
            );
        }
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} drop-ins found");
}

#[test]
fn every_example_unit_loads_without_a_complaint() {
    let units = example_units();
    assert!(units.len() >= 3, "{units:?}");
    for unit in units {
        let text = read(&format!("examples/{unit}"));
        assert_eq!(complaints(&unit, &text, None, false), "", "{unit}");
    }
}

#[test]
fn a_misspelt_setting_is_noticed() {
    let misspelt = read("brani-sync.service").replace("ProtectHome=", "ProtectHomes=");
    assert_ne!(complaints("brani-sync.service", &misspelt, None, false), "");
}

#[test]
fn sandbox_is_no_more_open_than_the_best_of_the_anchors() {
    for unit in ["brani-sync.service", "brani-sync@.service"] {
        let tenths = exposure_tenths(unit);
        assert!(
            tenths <= EXPOSURE_MAX_TENTHS,
            "{unit}: {tenths} tenths, at most {EXPOSURE_MAX_TENTHS} allowed"
        );
    }
}

#[test]
fn what_cannot_mend_itself_is_not_restarted_and_all_else_is_for_ever() {
    for file in [
        "brani-sync.service",
        "brani-sync@.service",
        "user/brani-sync.service",
    ] {
        let text = read(file);
        let settings = settings(&text);
        for wanted in [
            "Type=notify",
            "Restart=always",
            "RestartPreventExitStatus=78 243",
            "StartLimitIntervalSec=0",
            "LimitCORE=0",
            "UMask=0077",
        ] {
            assert!(settings.contains(&wanted), "{file}: `{wanted}` is missing");
        }
        // A failing ExecStartPre restarts for ever whatever its code: the daemon checks its settings itself.
        assert!(
            !settings.iter().any(|line| line.starts_with("ExecStartPre")),
            "{file}"
        );
    }
}
