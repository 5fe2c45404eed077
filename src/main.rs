//! Arguments, logging, exit code; nothing else.

use brani_sync::cli::Cli;
use brani_sync::commands;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    brani_sync::panics::install();
    brani_sync::http::install_tls();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no mistakes; anything else is EX_USAGE.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match commands::dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            commands::print_error(&error);
            ExitCode::from(error.code)
        }
    }
}
