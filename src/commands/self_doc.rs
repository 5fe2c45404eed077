//! `completions` and `man`: the program's own papers, for the packages.

use super::{Failure, Shell};
use crate::cli::Cli;
use clap::CommandFactory;

pub(super) fn completions(shell: &Shell, kind: clap_complete::Shell) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(kind, &mut Cli::command(), "brani-sync", &mut text);
    shell.out.text(String::from_utf8_lossy(&text).trim_end());
    Ok(0)
}

pub(super) fn man(shell: &Shell, page: &str) -> Result<u8, Failure> {
    let mut text = Vec::new();
    match page {
        "brani-sync.8" => {
            let command = Cli::command();
            clap_mangen::Man::new(command.clone())
                .section("8")
                .render(&mut text)?;
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                let man = clap_mangen::Man::new(sub.clone());
                text.extend_from_slice(format!(".SH \"COMMAND: {}\"\n", sub.get_name()).as_bytes());
                man.render_synopsis_section(&mut text)?;
                man.render_description_section(&mut text)?;
                man.render_options_section(&mut text)?;
            }
        }
        "brani-sync.toml.5" => text.extend_from_slice(settings_page().as_bytes()),
        other => {
            return Err(Failure::new(64, format!("there is no page `{other}`"))
                .hint("brani-sync.8 or brani-sync.toml.5"));
        }
    }
    shell.out.text(String::from_utf8_lossy(&text).trim_end());
    Ok(0)
}

/// Every key with its default, as the embedded file explains them.
fn settings_page() -> String {
    let mut page = String::from(
        ".TH brani-sync.toml 5\n.SH NAME\nbrani-sync.toml \\- settings of brani-sync\n.SH DESCRIPTION\n\
         Every key that has a default, with that default. The full list is in docs/configuration.md.\n.SH SETTINGS\n.nf\n",
    );
    for line in crate::config::DEFAULTS.lines() {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        page.push_str(guard);
        page.push_str(&line);
        page.push('\n');
    }
    page + ".fi\n"
}
