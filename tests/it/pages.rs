//! What the pages tell the reader to type: every command is one that the command line takes, every line of a shell block
//! runs, every TOML block is taken by the part of the program that reads it. What needs root and a running systemd is
//! held against the story of the booted machine (`tests/booted/story`).

use crate::merchant::{Answer, Merchant, Sale, Shop, until};
use brani_sync::assemble;
use brani_sync::cli::Cli;
use brani_sync::clock::SystemClock;
use brani_sync::config;
use brani_sync::source::preset;
use clap::Parser;
use clap::error::ErrorKind;
use regex::Regex;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a regular expression")
}

/// The pages that people read: their path and their text.
fn pages() -> Vec<(String, String)> {
    let found = ["README.md", "CHANGELOG.md", "docs/*.md", "docs/*/*.md"]
        .into_iter()
        .flat_map(|pattern| glob::glob(&root().join(pattern).display().to_string()).expect("a pattern"));
    let pages: Vec<(String, String)> = found
        .map(|path| {
            let path = path.expect("a page");
            let name = path
                .strip_prefix(root())
                .expect("below the root")
                .display()
                .to_string();
            (name, fs::read_to_string(&path).expect("text"))
        })
        .collect();
    assert!(pages.len() > 20, "only {} pages", pages.len());
    pages
}

/// The blocks of a page in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    regex(&format!(r"(?ms)^ *```{language}\n(.*?)^ *```"))
        .captures_iter(page)
        .map(|found| found[1].to_owned())
        .collect()
}

/// The lines of a page's shell blocks, without remarks.
fn shell_lines(page: &str) -> Vec<String> {
    blocks(page, "sh")
        .iter()
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// The words of a line, as a shell parts them.
fn words(line: &str) -> Vec<String> {
    regex(r#"'([^']*)'|"([^"]*)"|(\S+)"#)
        .captures_iter(line)
        .map(|found| {
            let word = found.get(1).or(found.get(2)).or(found.get(3));
            word.map_or_else(String::new, |word| word.as_str().to_owned())
        })
        .collect()
}

/// Panics where the command line refuses a line for another reason than those.
#[track_caller]
fn parses(page: &str, line: &str, may: impl Fn(ErrorKind) -> bool) {
    if let Err(error) = Cli::try_parse_from(words(line)) {
        assert!(may(error.kind()), "{page}: `{line}`:\n{error}");
    }
}

#[test]
fn every_command_that_a_page_names_is_taken_by_the_command_line() {
    let inline = regex(r"`(brani-sync [^`]+)`");
    let mut seen = 0;
    for (page, text) in pages() {
        let typed = shell_lines(&text)
            .into_iter()
            .filter(|line| line.starts_with("brani-sync "));
        for line in typed {
            parses(&page, &line, |_| false);
            seen += 1;
        }
        for found in inline.captures_iter(&text) {
            // An id is a number; COMMAND, and what dots stand for, is any command; of [-n NAME | -c FILE] one is enough.
            let line = found[1].replace(" ID", " 7").replace(['…', '[', ']'], "");
            let line = line.replace("| -c FILE", "").replace("COMMAND", "status");
            // A sentence may name a command without what it takes.
            parses(&page, &line, |kind| {
                matches!(
                    kind,
                    ErrorKind::MissingRequiredArgument
                        | ErrorKind::MissingSubcommand
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                )
            });
            seen += 1;
        }
    }
    assert!(seen > 60, "only {seen} commands found");
}

#[test]
fn a_command_that_does_not_exist_would_be_noticed() {
    for line in [
        "brani-sync chek",
        "brani-sync orders retri 1",
        "brani-sync check --ofline",
        "brani-sync events skip x",
        "brani-sync explain",
    ] {
        assert!(Cli::try_parse_from(words(line)).is_err(), "{line}");
    }
}

/// Runs one typed line for a merchant whose configuration stands for `/etc/brani-sync/brani-sync.toml` and for that of
/// any named shop.
fn typed(merchant: &Merchant, line: &str) -> Answer {
    let mut words = words(line).split_off(1);
    if words.first().is_some_and(|word| word == "-n") {
        words.drain(..2);
    }
    for word in &mut words {
        // Folders of the reader's machine.
        if let Some(name) = word.strip_prefix("/srv/backup/") {
            *word = merchant.path(name).display().to_string();
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        // The reader ends it by Ctrl+C.
        ["run", ..] => {
            let daemon = merchant.start(&words);
            until("it runs", || daemon.told("daemon.started") == 1);
            Answer {
                code: daemon.stop().0,
                out: String::new(),
                err: String::new(),
            }
        }
        // A merchant's own database is like no shop that is known: `init` has stories of its own. Here, that it says so
        // and leaves the configuration alone.
        ["init", ..] => {
            let before = fs::read_to_string(merchant.config()).expect("a configuration");
            let answer = merchant.tell(&words);
            assert_ne!(answer.code, 0, "{answer:?}");
            assert_ne!(answer.code, 64, "{answer:?}");
            assert_eq!(
                fs::read_to_string(merchant.config()).expect("a configuration"),
                before
            );
            Answer { code: 0, ..answer }
        }
        ["secret", ..] => merchant.tell_with(&words, "tajemstvi-0123456789\n"),
        _ => merchant.tell(&words),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_that_a_page_tells_the_reader_to_type_runs() {
    let story = fs::read_to_string(root().join("tests/booted/story")).expect("the story");
    let merchant = Merchant::both_ways(Shop::mariadb()).await;
    merchant.shop.add(&Sale::new(412));
    merchant.once().exits(0);
    let mut seen = 0;
    for (page, text) in pages() {
        for line in shell_lines(&text) {
            seen += 1;
            let first = line.split(' ').next().unwrap_or_default();
            match first {
                "brani-sync" => {
                    let answer = typed(&merchant, &line);
                    assert_eq!(answer.code, 0, "{page}: `{line}`: {answer:?}");
                }
                // What only a system with systemd and dpkg can do is done there.
                "systemctl" => {
                    let verb = words(&line).into_iter().take(2).collect::<Vec<_>>().join(" ");
                    assert!(
                        story.contains(&verb),
                        "{page}: `{line}`: not in tests/booted/story"
                    );
                }
                "apt" => {
                    let verb = words(&line).into_iter().take(2).collect::<Vec<_>>().join(" ");
                    assert!(
                        story.contains(&verb),
                        "{page}: `{line}`: not in tests/booted/story"
                    );
                }
                "journalctl" => {
                    let field = words(&line).into_iter().find(|word| word.contains('='));
                    assert!(
                        field.is_none_or(|field| story.contains(&field)),
                        "{page}: `{line}`"
                    );
                }
                // The gate itself, and what a developer types: the gate runs it.
                "cargo" | "tests/run" | "tests/booted/run" | "systemd/pkg/build" => {}
                variable if variable.contains('=') && line.contains(" cargo ") => {}
                // A certificate for a database: `login` makes its own by these lines.
                "openssl" => {}
                "printf" if line.ends_with(" > names") => {}
                _ if line.starts_with("(umask 077; head -c 24 /dev/urandom") => {
                    let line = line.replace("/etc/brani-sync/brani-sync.secrets/webhook-secret", "webhook");
                    let status = Command::new("sh")
                        .args(["-c", &line])
                        .current_dir(merchant.folder.path())
                        .status()
                        .expect("a shell");
                    assert!(status.success(), "{page}: `{line}`");
                    // Long enough, fit for a URL, and nobody else's to read.
                    let answer = merchant.tell(&["check", "--offline"]).exits(0);
                    assert!(!answer.out.contains("webhooks.secret"), "{}", answer.out);
                }
                _ => panic!("{page}: `{line}`: who tries that?"),
            }
        }
    }
    assert!(seen > 30, "only {seen} lines found");
}

/// Lays one table over another.
fn lay(over: &toml::Table, base: &mut toml::Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay(above, below),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// A whole configuration for a part of one to be laid over.
fn base(of: &toml::Table) -> toml::Table {
    let source = of.get("shop").and_then(|shop| shop.get("source"));
    let export = source.is_some_and(|source| source.get("map").is_some() || source.get("records").is_some());
    let text = if export {
        "[brani]\ntoken = { credential = \"brani-token\" }\n[shop.source]\nkind = \"xml\"\nurl = \"https://shop.example.cz/orders.xml\"\n[shop.source.records]\norder = \"ORDERS/ORDER\"\nitem = \"ITEMS/ITEM\"\n".to_owned()
    } else {
        let readme = fs::read_to_string(root().join("README.md")).expect("the README");
        let mut complete = blocks(&readme, "toml")
            .into_iter()
            .filter(|block| block.starts_with("# complete"));
        complete.next().expect("the README has a configuration")
    };
    text.parse().expect("TOML")
}

fn takes(page: &str, table: &toml::Table) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("brani-sync.toml");
    let text = table.to_string();
    fs::write(&file, &text).expect("a configuration");
    let secrets = folder.path().join("brani-sync.secrets");
    fs::create_dir(&secrets).expect("a folder");
    for found in regex(r#"credential = "([^"]+)""#).captures_iter(&text) {
        // An export's secret is its whole address.
        let secret = format!("https://shop.example.cz/{}", "tajemstvi-".repeat(4));
        fs::write(secrets.join(&found[1]), secret).expect("a secret");
    }
    let mut loaded =
        config::load(&file, &Vec::new).unwrap_or_else(|errors| panic!("{page}:\n{}", errors.render(false)));
    if let Some(name) = loaded.config.shop.source.preset.clone() {
        let preset = preset::load(&name, folder.path()).unwrap_or_else(|problem| panic!("{page}: {problem}"));
        preset::expand(&mut loaded.config, &preset).unwrap_or_else(|problems| panic!("{page}: {problems:?}"));
    }
    let source = assemble::source(&loaded, Arc::new(SystemClock)).map(drop);
    source.unwrap_or_else(|error| panic!("{page}: {}\n{text}", error.0));
    assemble::handlers(&loaded).unwrap_or_else(|error| panic!("{page}: {}\n{text}", error.0));
}

#[test]
fn every_toml_block_of_the_pages_is_taken() {
    let mut seen = 0;
    for (page, text) in pages() {
        for block in blocks(&text, "toml") {
            seen += 1;
            let table: toml::Table = block
                .parse()
                .unwrap_or_else(|error| panic!("{page}: {error}\n{block}"));
            if table.contains_key("preset") {
                let folder = tempfile::tempdir().expect("a folder");
                fs::write(folder.path().join("myshop.toml"), &block).expect("a preset");
                preset::load("./myshop.toml", folder.path())
                    .unwrap_or_else(|problem| panic!("{page}: {problem}"));
                continue;
            }
            let mut whole = base(&table);
            if block.starts_with("# complete") {
                whole = table;
            } else {
                lay(&table, &mut whole);
            }
            takes(&page, &whole);
        }
    }
    assert!(seen >= 9, "only {seen} blocks found");
}

#[test]
fn every_yaml_block_of_the_pages_can_be_read() {
    let mut seen = 0;
    for (page, text) in pages() {
        for block in blocks(&text, "yaml") {
            seen += 1;
            let read = yaml_rust2::YamlLoader::load_from_str(&block);
            let documents = read.unwrap_or_else(|error| panic!("{page}: {error}\n{block}"));
            assert_eq!(documents.len(), 1, "{page}");
        }
    }
    assert!(seen >= 1, "no block found");
}
