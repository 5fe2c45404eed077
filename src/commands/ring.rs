//! `sync` and `reload`: ringing the running daemon.

use super::run::RELOAD;
use super::{Failure, Shell};
use crate::config::Loaded;
use crate::ledger::{cursors, holder};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

/// How long a reload may take.
const RELOAD_MAX: Duration = Duration::from_secs(90);

/// The daemon that holds the ledger, if one runs.
fn daemon(loaded: &Loaded) -> Option<Pid> {
    let holder = holder(&loaded.ledger_path())?;
    if holder.purpose != "run" {
        return None;
    }
    Pid::from_raw(i32::try_from(holder.pid).ok()?)
}

/// Rings a running daemon after an administrative change; silent where none runs.
pub(super) fn ring_if_running(loaded: &Loaded) {
    if let Some(pid) = daemon(loaded) {
        let _ = kill_process(pid, Signal::USR1);
    }
}

fn running(loaded: &Loaded) -> Result<Pid, Failure> {
    daemon(loaded).ok_or_else(|| {
        Failure::new(1, format!("no daemon runs for shop `{}`", loaded.name))
            .hint("start it (`systemctl start brani-sync`), or do one cycle here with `brani-sync once`")
    })
}

pub(super) fn sync(shell: &Shell, sweep: bool) -> Result<u8, Failure> {
    let loaded = shell.load()?;
    let pid = running(&loaded)?;
    let signal = if sweep { Signal::USR2 } else { Signal::USR1 };
    kill_process(pid, signal).map_err(|error| {
        Failure::new(1, format!("process {pid:?} cannot be rung: {error}"))
            .hint("run as the service's user or as root")
    })?;
    if shell.out.json {
        shell
            .out
            .json(&serde_json::json!({"rung": if sweep { "sweep" } else { "poll" }}));
    }
    shell.out.note("rung; see the log or `brani-sync status`");
    Ok(0)
}

pub(super) fn reload(shell: &Shell, pid: Option<u32>) -> Result<u8, Failure> {
    // Bad settings are told here, and the daemon is left in peace.
    let loaded = shell.load()?;
    let pid = match pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
        Some(pid) => pid,
        None => running(&loaded)?,
    };
    let answer = || -> Result<Option<String>, Failure> { Ok(cursors::get(&shell.reader(&loaded)?, RELOAD)?) };
    let before = answer()?;
    kill_process(pid, Signal::HUP)
        .map_err(|error| Failure::new(1, format!("process {pid:?} cannot be reached: {error}")))?;
    let asked = Instant::now();
    while asked.elapsed() < RELOAD_MAX {
        if let Some(now) = answer()?.filter(|now| Some(now) != before.as_ref()) {
            let words = now.split_once(' ').map_or("", |(_, words)| words);
            return match words.strip_prefix("refused ") {
                Some(why) => Err(Failure::new(78, why.to_owned())),
                None => {
                    if shell.out.json {
                        shell.out.json(&serde_json::json!({"reloaded": true}));
                    }
                    shell.out.note("the new configuration is in use");
                    Ok(0)
                }
            };
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(Failure::new(1, "the daemon did not answer in time").hint("see its log"))
}
