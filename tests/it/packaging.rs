//! What a package would do to a machine, as far as it can be seen without building one: above all that nothing but a purge
//! takes a ledger, a secret or a setting away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use toml::{Table, Value};

const MAINTAINER_SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn metadata(of: &str) -> Table {
    let manifest: Table = fs::read_to_string(root().join("Cargo.toml"))
        .expect("read Cargo.toml")
        .parse()
        .expect("Cargo.toml is TOML");
    manifest["package"]["metadata"][of]
        .as_table()
        .expect("a table")
        .clone()
}

fn script(name: &str) -> PathBuf {
    root().join("systemd/pkg").join(name)
}

/// Runs a maintainer script on a machine that is only a folder.
fn run_script(machine: &Path, name: &str, arguments: &[&str]) {
    // What deletes or makes something outside that folder would do it to the machine that runs the test.
    let text = fs::read_to_string(script(name)).expect("read the script");
    let reaches = |line: &&str| line.contains("rm -") || line.contains("mkdir");
    for line in text.lines().filter(reaches) {
        assert!(
            line.contains("${DPKG_ROOT:-}") || line.contains("\"$secrets\""),
            "{name}: `{}`",
            line.trim()
        );
    }
    let status = Command::new("sh")
        .arg(script(name))
        .args(arguments)
        .env("DPKG_ROOT", machine)
        .status()
        .unwrap_or_else(|error| panic!("run `{name}`: {error}"));
    assert!(status.success(), "`{name} {arguments:?}` ended with {status}");
}

/// A machine on which the daemon has worked for a while, with one instance besides the plain unit.
fn lived_in_machine() -> tempfile::TempDir {
    let machine = tempfile::tempdir().expect("a temporary folder");
    for file in precious()
        .iter()
        .chain(&["etc/systemd/system/multi-user.target.wants/brani-sync@kvetiny.service"])
    {
        let path = machine.path().join(file);
        fs::create_dir_all(path.parent().expect("files have folders")).expect("make the folder");
        fs::write(path, "mine").expect("write the file");
    }
    machine
}

fn precious() -> [&'static str; 5] {
    [
        "etc/brani-sync/brani-sync.toml",
        "etc/brani-sync/kvetiny.secrets/brani-token",
        "var/lib/brani-sync/brani-sync/ledger.db",
        "var/lib/brani-sync/kvetiny/ledger.db",
        "var/lib/private/brani-sync/kvetiny/ledger.db",
    ]
}

#[test]
fn maintainer_scripts_are_clean_shell_and_leave_room_for_the_packaging_tools() {
    for name in MAINTAINER_SCRIPTS
        .iter()
        .chain(&["rpm-postinst", "rpm-prerm", "rpm-postrm"])
    {
        let status = Command::new("sh")
            .arg("-n")
            .arg(script(name))
            .status()
            .expect("run sh");
        assert!(status.success(), "{name}");
    }
    for name in MAINTAINER_SCRIPTS {
        let text = fs::read_to_string(script(name)).expect("read the script");
        assert!(text.starts_with("#!/bin/sh\n"), "{name}");
        assert_eq!(
            text.lines().filter(|line| *line == "#DEBHELPER#").count(),
            1,
            "{name}"
        );
        assert!(text.contains("\nset -e\n"), "{name}");
    }
}

#[test]
fn upgrade_and_removal_keep_every_ledger_secret_and_setting() {
    let machine = lived_in_machine();
    run_script(machine.path(), "prerm", &["upgrade", "0.2.0"]);
    run_script(machine.path(), "postrm", &["upgrade", "0.2.0"]);
    run_script(machine.path(), "postinst", &["configure", "0.1.0"]);
    run_script(machine.path(), "prerm", &["remove"]);
    run_script(machine.path(), "postrm", &["remove"]);
    for file in precious() {
        assert_eq!(fs::read_to_string(machine.path().join(file)).expect(file), "mine");
    }
}

#[test]
fn purge_leaves_nothing_behind() {
    let machine = lived_in_machine();
    run_script(machine.path(), "prerm", &["remove"]);
    run_script(machine.path(), "postrm", &["remove"]);
    run_script(machine.path(), "postrm", &["purge"]);
    for folder in [
        "etc/brani-sync",
        "var/lib/brani-sync",
        "var/lib/private/brani-sync",
    ] {
        assert!(!machine.path().join(folder).exists(), "`{folder}` is still there");
    }
    let links = machine.path().join("etc/systemd/system/multi-user.target.wants");
    assert_eq!(fs::read_dir(links).expect("the folder itself stays").count(), 0);
}

#[test]
fn first_installation_makes_a_secrets_folder_for_root_alone_and_a_later_one_leaves_it_alone() {
    let machine = tempfile::tempdir().expect("a temporary folder");
    run_script(machine.path(), "postinst", &["configure"]);
    let secrets = machine.path().join("etc/brani-sync/brani-sync.secrets");
    let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o7777;
    assert_eq!(mode(&secrets), 0o700);
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o750)).expect("set the mode");
    run_script(machine.path(), "postinst", &["configure", "0.1.0"]);
    assert_eq!(mode(&secrets), 0o750);
}

#[test]
fn shipped_settings_are_a_conffile_in_both_packages() {
    let deb = metadata("deb");
    let conffiles: Vec<&str> = deb["conf-files"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(conffiles, ["/etc/brani-sync/brani-sync.toml"]);
    let rpm = metadata("generate-rpm");
    let settings: Vec<&Value> = rpm["assets"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|asset| {
            asset["dest"]
                .as_str()
                .is_some_and(|dest| dest.starts_with("/etc/"))
        })
        .collect();
    assert_eq!(settings.len(), 1);
    assert_eq!(settings[0]["config"].as_str(), Some("noreplace"));
}

#[test]
fn package_neither_enables_nor_starts_a_service_that_has_no_secrets_yet() {
    let units = metadata("deb")["systemd-units"].clone();
    assert_eq!(units["enable"].as_bool(), Some(false));
    assert_eq!(units["start"].as_bool(), Some(false));
}

#[test]
fn every_packaged_file_exists_or_is_made_by_the_build_script() {
    let build = fs::read_to_string(script("build")).expect("read the build script");
    let deb = metadata("deb");
    let rpm = metadata("generate-rpm");
    let of_deb = deb["assets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|asset| asset[0].clone());
    let of_rpm = rpm["assets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|asset| asset["source"].clone());
    for source in of_deb.chain(of_rpm) {
        let source = source.as_str().expect("a path").to_owned();
        if let Some(made) = source.strip_prefix("target/package/") {
            let made = made.trim_end_matches(".gz");
            assert!(
                build.contains(&format!("$made/{made}\"")),
                "`{source}` is made by nobody"
            );
        } else if !source.starts_with("target/") {
            let pattern = root().join(&source).display().to_string();
            assert!(
                glob::glob(&pattern).expect("a pattern").next().is_some(),
                "`{source}` matches no file"
            );
        }
    }
}

#[test]
fn presets_are_shipped_as_documentation() {
    for package in ["deb", "generate-rpm"] {
        let text = metadata(package)["assets"].to_string();
        assert!(text.contains("config/presets/*.toml"), "{package}");
        assert!(text.contains("usr/share/doc/brani-sync/presets/"), "{package}");
    }
}

#[test]
fn both_packages_bring_the_same_files() {
    let (deb, rpm) = (metadata("deb"), metadata("generate-rpm"));
    // What Debian alone wants; its tool finds the units by itself.
    let debian = ["target/package/changelog.gz"];
    let of_deb: Vec<String> = deb["assets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|asset| asset[0].as_str().expect("a path").to_owned())
        .filter(|source| !debian.contains(&source.as_str()))
        .collect();
    let of_rpm: Vec<String> = rpm["assets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|asset| asset["source"].as_str().expect("a path").to_owned())
        .collect();
    for source in &of_deb {
        assert!(of_rpm.contains(source), "the .rpm lacks `{source}`");
    }
    for source in of_rpm {
        let unit = source.starts_with("systemd/brani-sync");
        assert!(unit || of_deb.contains(&source), "the .deb lacks `{source}`");
    }
}

#[test]
fn files_that_pages_lead_to_are_shipped_beside_them() {
    for package in ["deb", "generate-rpm"] {
        let text = metadata(package)["assets"].to_string();
        for folder in ["monitoring", "ansible"] {
            assert!(text.contains(&format!("docs/{folder}/*")), "{package}");
            let place = format!("usr/share/doc/brani-sync/docs/{folder}/");
            assert!(text.contains(&place), "{package}");
        }
    }
}
