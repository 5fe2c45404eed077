//! One file per command, and what they share: finding the configuration, opening the ledger, exit codes, printing.

mod adopt;
mod app;
mod check;
mod demo;
mod eshop_info;
mod events;
mod explain;
mod init;
mod ledger;
mod once;
mod orders;
mod output;
mod presets;
mod reach;
mod ring;
mod run;
mod sandbox;
mod secret;
mod self_doc;
mod status;
mod unit;
mod webhooks;

use crate::assemble::Unusable;
use crate::cli::{Cli, Command};
use crate::config::{self, ConfigErrors, Loaded};
use crate::ledger::{Ledger, LedgerError};
use crate::log;
use output::Output;
use std::fmt;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Why a command failed, and the exit code that says so.
#[derive(Debug)]
pub struct Failure {
    /// 1 failed, 64 usage, 74 state not writable, 75 another instance holds the ledger, 78 configuration.
    pub code: u8,
    /// What happened.
    pub text: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl Failure {
    fn new(code: u8, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let text = error.to_string();
        match error {
            LedgerError::Held { .. } => Failure::new(75, text).hint("stop it first, or ring it with `brani-sync sync`"),
            LedgerError::Newer { .. } => {
                Failure::new(78, text).hint("run the newer version of brani-sync, or restore the copy beside the ledger")
            }
            LedgerError::Broken { .. } => Failure::new(74, text).hint(
                "restore a backup, or move the file away: a new ledger first learns from Brani what was packed meanwhile",
            ),
            LedgerError::Unwritable { .. } => {
                Failure::new(74, text).hint("run as the service's user, and check `ledger.path` and its folder's rights")
            }
            _ => Failure::new(1, text),
        }
    }
}

impl From<Unusable> for Failure {
    fn from(error: Unusable) -> Self {
        Failure::new(78, error.0)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Failure::new(
            78,
            errors
                .render(std::io::stderr().is_terminal())
                .trim_end()
                .to_owned(),
        )
    }
}

impl From<crate::brani::Error> for Failure {
    fn from(error: crate::brani::Error) -> Self {
        Failure::new(1, format!("ask Brani: {error}")).hint(error.hint())
    }
}

impl From<crate::source::SourceError> for Failure {
    fn from(error: crate::source::SourceError) -> Self {
        let code = if error.is_settings() { 78 } else { 1 };
        let failure = Failure::new(code, format!("ask the shop: {error}"));
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<crate::context::PassError> for Failure {
    fn from(error: crate::context::PassError) -> Self {
        use crate::context::PassError;
        match error {
            PassError::Ledger(error) => error.into(),
            PassError::Source(error) => error.into(),
            PassError::Brani(error) => error.into(),
            PassError::NotYet(text) => Failure::new(1, text),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::new(1, error.to_string())
    }
}

/// Prints why a command failed.
#[expect(
    clippy::print_stderr,
    reason = "a command's last word goes to standard error, log or no log"
)]
pub fn print_error(failure: &Failure) {
    if failure.text.is_empty() {
        return;
    }
    // The journal reads how bad a line is from its beginning; without that it takes it for information.
    let mark = if log::under_systemd() { "<3>" } else { "" };
    for line in format!("error: {failure}").lines() {
        eprintln!("{mark}{line}");
    }
}

/// What every command is given.
struct Shell {
    config: Option<PathBuf>,
    name: Option<String>,
    out: Output,
}

impl Shell {
    /// The configuration's file: `--config`, `--name`, else the one of the package, else the one here.
    fn path(&self) -> PathBuf {
        match (&self.config, &self.name) {
            (Some(path), _) => path.clone(),
            (None, Some(name)) => config::path_of_name(name),
            (None, None) => config::path_of_name("brani-sync"),
        }
    }

    /// Reads the configuration, presets laid in, secrets not looked at.
    fn load(&self) -> Result<Loaded, Failure> {
        let loaded = self.load_path(&self.path())?;
        become_owner(&loaded)?;
        Ok(loaded)
    }

    fn load_path(&self, path: &std::path::Path) -> Result<Loaded, Failure> {
        let environment = || {
            std::env::vars_os()
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect()
        };
        let mut loaded = config::load(path, &environment)?;
        if let Some(name) = loaded.config.shop.source.preset.clone() {
            let base = path.parent().unwrap_or(std::path::Path::new("."));
            let problems = match crate::source::preset::load(&name, base) {
                Ok(preset) => crate::source::preset::expand(&mut loaded.config, &preset)
                    .err()
                    .unwrap_or_default(),
                Err(problem) => vec![problem],
            };
            if !problems.is_empty() {
                let lines: Vec<String> = problems
                    .iter()
                    .map(|problem| match &problem.hint {
                        Some(hint) => format!("{problem}\n  hint: {hint}"),
                        None => problem.to_string(),
                    })
                    .collect();
                return Err(Failure::new(78, lines.join("\n")));
            }
        }
        let problems = crate::writeback::sql::config_problems(&loaded.config);
        if !problems.is_empty() {
            return Err(Failure::new(78, problems.join("\n")).hint(format!(
                "a statement knows {}",
                crate::writeback::sql::PARAMETERS
                    .iter()
                    .map(|name| format!("`:{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
        Ok(loaded)
    }

    /// The configuration with every secret found: for the commands that connect.
    fn load_with_secrets(&self) -> Result<Loaded, Failure> {
        let loaded = self.load()?;
        self.check_secrets(&loaded)?;
        Ok(loaded)
    }

    fn check_secrets(&self, loaded: &Loaded) -> Result<(), Failure> {
        let (problems, warnings) = loaded.check_secrets();
        for warning in warnings.iter().chain(&loaded.warnings) {
            self.out.note(&format!(
                "warning: {}: {}\n  hint: {}",
                warning.path, warning.rule, warning.hint
            ));
        }
        if problems.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {}\n  hint: {}", problem.path, problem.rule, problem.hint))
            .collect();
        Err(Failure::new(78, lines.join("\n")))
    }

    /// The ledger for one administrative change, beside a running daemon, which is rung afterwards.
    fn ledger_beside(&self, loaded: &Loaded) -> Result<Ledger, Failure> {
        has_ledger(loaded)?;
        Ok(Ledger::open_beside(&loaded.ledger_path())?)
    }

    /// The ledger to look at.
    fn reader(&self, loaded: &Loaded) -> Result<rusqlite::Connection, Failure> {
        has_ledger(loaded)?;
        Ok(crate::ledger::open_reader(&loaded.ledger_path())?)
    }
}

/// There is a ledger, whatever is in it.
fn has_ledger(loaded: &Loaded) -> Result<(), Failure> {
    let path = loaded.ledger_path();
    if path.exists() {
        return Ok(());
    }
    Err(
        Failure::new(1, format!("there is no ledger at `{}` yet", path.display()))
            .hint("it is made by the first `brani-sync run` or `brani-sync once`"),
    )
}

/// Root becomes the user who owns the ledger's folder, once it has read the secrets: what it writes there must stay
/// writable for the service. To be called before any thread is started.
fn become_owner(loaded: &Loaded) -> Result<(), Failure> {
    use rustix::process::{Gid, Uid, geteuid};
    use std::os::unix::fs::MetadataExt;
    if !geteuid().is_root() {
        return Ok(());
    }
    let path = loaded.ledger_path();
    let Some(owner) = path.parent().and_then(|folder| std::fs::metadata(folder).ok()) else {
        return Ok(());
    };
    if owner.uid() == 0 {
        return Ok(());
    }
    loaded.remember_secrets();
    let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    rustix::thread::set_thread_groups(&[group])
        .and_then(|()| rustix::thread::set_thread_res_gid(group, group, group))
        .and_then(|()| rustix::thread::set_thread_res_uid(user, user, user))
        .map_err(|error| {
            Failure::new(1, format!("become the owner of `{}`: {error}", path.display()))
                .hint("run the command as the service's user: runuser -u brani-sync -- brani-sync …")
        })
}

/// Runs a future on this thread: for the short commands.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}

/// Runs the command that was asked for.
///
/// # Errors
/// Why it failed, with the exit code.
pub fn dispatch(cli: Cli) -> Result<u8, Failure> {
    let shell = Shell {
        config: cli.config,
        name: cli.name,
        out: Output::new(cli.json),
    };
    match cli.command {
        Command::Run { dry_run } => run::run(&shell, dry_run),
        Command::Once {
            dry_run,
            sweep,
            quiet,
        } => once::once(&shell, dry_run, sweep, quiet),
        Command::Sync { sweep } => ring::sync(&shell, sweep),
        Command::Reload { pid } => ring::reload(&shell, pid),
        Command::Check { offline } => check::check(&shell, offline),
        Command::Status => status::status(&shell),
        Command::Explain {
            code,
            offline,
            online,
        } => explain::explain(&shell, &code, offline, online),
        Command::Orders(command) => orders::orders(&shell, command),
        Command::Events(command) => events::events(&shell, command),
        Command::EshopInfo(command) => eshop_info::eshop_info(&shell, command),
        Command::Webhooks(command) => webhooks::webhooks(&shell, command),
        Command::Adopt { dry_run } => adopt::adopt(&shell, dry_run),
        Command::Init(options) => init::init(&shell, options),
        Command::Presets(command) => presets::presets(&shell, command),
        Command::Secret(command) => secret::secret(&shell, command),
        Command::Backup { file } => ledger::backup(&shell, &file),
        Command::Forget { code, at_brani } => ledger::forget(&shell, &code, at_brani),
        Command::Ledger(command) => ledger::ledger(&shell, command),
        Command::Demo => demo::demo(&shell),
        Command::Sandbox { listen, token } => sandbox::sandbox(&shell, listen, token),
        Command::App(command) => app::app(&shell, command),
        Command::Completions { shell: kind } => self_doc::completions(&shell, kind),
        Command::Man { page } => self_doc::man(&shell, &page),
    }
}

/// Starts the log as the configuration says.
fn start_log(loaded: &Loaded) {
    log::start(loaded.config.log.format, &loaded.config.log.level, &loaded.name);
}
