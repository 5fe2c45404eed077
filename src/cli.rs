//! The command line's types. Nothing runs here.

use crate::config::Tls;
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Keeps an e-shop and the packing service Brani Balič in step.
#[derive(Debug, Parser)]
#[command(
    name = "brani-sync",
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub struct Cli {
    /// The configuration file
    #[arg(short, long, global = true, value_name = "FILE", env = "BRANI_SYNC_CONFIG")]
    pub config: Option<PathBuf>,
    /// A shop: /etc/brani-sync/NAME.toml
    #[arg(short, long, global = true, value_name = "NAME", conflicts_with = "config")]
    pub name: Option<String>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    Run {
        /// Read and compare, but send, post, register and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// One full cycle, then exit (2 when something is parked or stuck)
    Once {
        /// Read and compare, but send, post, register and write nothing
        #[arg(long)]
        dry_run: bool,
        /// Read everything within `sweep_back`
        #[arg(long)]
        sweep: bool,
        /// Print nothing when all is well
        #[arg(short, long)]
        quiet: bool,
    },
    /// Ring the running daemon: look now
    Sync {
        /// Read everything within `sweep_back`
        #[arg(long)]
        sweep: bool,
    },
    /// Check the configuration and let the running daemon take it over
    Reload {
        /// The daemon's process id; left out: who holds the ledger
        #[arg(long)]
        pid: Option<u32>,
    },
    /// Check the configuration, the shop, Brani and this machine
    Check {
        /// The configuration alone: nothing is connected
        #[arg(long)]
        offline: bool,
    },
    /// How everything stands
    Status,
    /// One order's whole story
    Explain {
        /// The order's code
        code: String,
        /// Do not ask the shop
        #[arg(long)]
        offline: bool,
        /// Ask Brani, too: what was picked, with positions and batches
        #[arg(long, conflicts_with = "offline")]
        online: bool,
    },
    /// The orders of the ledger
    #[command(subcommand)]
    Orders(Orders),
    /// Brani's events and what became of them
    #[command(subcommand)]
    Events(Events),
    /// Statuses, shipping and payment methods
    #[command(subcommand, name = "eshop-info")]
    EshopInfo(EshopInfo),
    /// Registrations at Brani
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Take over from an old script: the shop's present state counts as sent, present events as seen
    Adopt {
        /// Say what would be taken over
        #[arg(long)]
        dry_run: bool,
    },
    /// Write a configuration from the shop itself: its database tells which system it is
    Init(Init),
    /// Presets for common shop systems
    #[command(subcommand)]
    Presets(Presets),
    /// Secrets of the service
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Copy the ledger, online and consistent
    Backup {
        /// Where to; must not exist
        file: PathBuf,
    },
    /// Forget everything the ledger knows of an order
    Forget {
        /// The order's code
        code: String,
        /// Delete it at Brani first
        #[arg(long)]
        at_brani: bool,
    },
    /// The ledger itself
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// The main job on embedded parts: a small shop, a sandbox, a full pass
    Demo,
    /// A Brani on localhost that validates like the contract and misbehaves on request
    Sandbox {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:8780")]
        listen: SocketAddr,
        /// The token it takes
        #[arg(long, default_value = "sandbox")]
        token: String,
    },
    /// The packing application's own interface
    #[command(subcommand)]
    App(App),
    /// Shell completions
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Man pages
    #[command(hide = true)]
    Man {
        /// `brani-sync.8` or `brani-sync.toml.5`
        page: String,
    },
}

/// `orders …`
#[derive(Debug, Subcommand)]
pub enum Orders {
    /// List orders by state
    List {
        /// waiting, sent, parked or deleted; left out: waiting and parked
        #[arg(long)]
        state: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Look at parked orders again, now
    Retry(Which),
    /// Send orders again, whatever Brani has; without codes: approve re-sends that are held
    Resend {
        /// Order codes
        codes: Vec<String>,
        /// Approve held re-sends
        #[arg(long)]
        yes: bool,
    },
    /// Delete orders at Brani
    Delete {
        /// Order codes
        codes: Vec<String>,
        /// Approve deletes that are held
        #[arg(long)]
        approve: bool,
    },
    /// Leave orders alone until `orders retry`
    Ignore {
        /// Order codes
        #[arg(required = true)]
        codes: Vec<String>,
    },
    /// Give a code to the order that claims it now
    Adopt {
        /// Order codes
        #[arg(required = true)]
        codes: Vec<String>,
    },
}

/// Codes, or all.
#[derive(Debug, Args)]
pub struct Which {
    /// Order codes
    pub codes: Vec<String>,
    /// All parked orders
    #[arg(long, conflicts_with = "codes")]
    pub all: bool,
}

/// `events …`
#[derive(Debug, Subcommand)]
pub enum Events {
    /// List events
    List {
        /// Only those that cannot be written
        #[arg(long)]
        stuck: bool,
        /// Only this order's
        #[arg(long, value_name = "CODE")]
        order: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Try events again, now
    Retry {
        /// Event ids; left out: all stuck ones
        #[arg(allow_negative_numbers = true)]
        ids: Vec<i64>,
    },
    /// Drop events
    Skip {
        /// Event ids
        #[arg(required = true, allow_negative_numbers = true)]
        ids: Vec<i64>,
    },
}

/// `eshop-info …`
#[derive(Debug, Subcommand)]
pub enum EshopInfo {
    /// What Brani knows
    Show,
    /// What differs from what we would tell
    Diff,
    /// Tell Brani now
    Push,
}

/// `webhooks …`
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// List registrations
    List,
    /// Make them equal to the configuration
    Sync,
    /// Point an old script's registration at us
    Adopt {
        /// Its id
        id: i64,
    },
    /// Remove a registration
    Remove {
        /// Its id
        id: i64,
    },
}

/// `init`
#[derive(Debug, Args)]
pub struct Init {
    /// The shop's database, without a password: mysql://user@host/database; of an export: its address
    #[arg(long, conflicts_with = "shop")]
    pub url: Option<String>,
    /// The preset; left out: the tables tell
    #[arg(long)]
    pub preset: Option<String>,
    /// The prefix of the tables, where several shops share a database
    #[arg(long)]
    pub prefix: Option<String>,
    /// The shop's own folder, e.g. /var/www/shop: its configuration file says where the database is
    #[arg(long, value_name = "DIR")]
    pub shop: Option<PathBuf>,
    /// A file with the database's password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Whether the connection to the database is encrypted; left out: it is, but on this machine
    #[arg(long, value_name = "verify|off")]
    pub tls: Option<Tls>,
    /// A file with the authority that signed the database's certificate
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Where to write; left out: the service's configuration
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Brani's address, where it is not the usual one
    #[arg(long, value_name = "URL")]
    pub base_url: Option<url::Url>,
    /// Ask nothing
    #[arg(short, long)]
    pub yes: bool,
    /// Replace a configuration that was changed
    #[arg(long)]
    pub force: bool,
}

/// `presets …`
#[derive(Debug, Subcommand)]
pub enum Presets {
    /// List the presets
    List,
    /// Print a preset, to be copied and changed
    Show {
        /// Its name
        preset: String,
    },
    /// Print the CREATE USER and GRANT statements it needs
    Grants {
        /// Its name
        preset: String,
        /// The table prefix; left out: the preset's own
        #[arg(long)]
        prefix: Option<String>,
        /// The database
        #[arg(long, default_value = "shop")]
        database: String,
        /// The user to make
        #[arg(long, default_value = "brani-sync")]
        user: String,
    },
}

/// `secret …`
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Store a secret, read from standard input or asked for
    Set {
        /// Its name, e.g. brani-token
        secret: String,
    },
}

/// `ledger …`
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Accept that the ledger now belongs to this configuration
    Accept,
    /// Say that the ledger is a copy of some time ago: it learns first what was done since
    Restored,
}

/// `app …`
#[derive(Debug, Subcommand)]
pub enum App {
    /// GET a path
    Get {
        /// The path, /api/…
        path: String,
        /// Query parameters, name=value
        #[arg(long, value_name = "NAME=VALUE")]
        query: Vec<String>,
    },
    /// POST JSON to a path
    Post {
        /// The path, /api/…
        path: String,
        /// `@file`, `-` for standard input, or JSON itself
        #[arg(long)]
        data: String,
    },
    /// The packer's settings
    Settings,
    /// Set an order's remark
    Remark {
        /// The order's code
        code: String,
        /// The remark
        text: String,
        /// Brani's id of the e-shop; left out: asked of Brani
        #[arg(long)]
        eshop_id: Option<i64>,
    },
}
