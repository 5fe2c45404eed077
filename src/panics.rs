//! What may be told of a panic: where it happened, and its words where they stand in the program itself.
//!
//! Words that were put together at that moment may hold what was being worked at, a customer's name for one. This room
//! knows no work and no secret; it only keeps quiet.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use tokio::task::JoinError;

/// From now on a panic is an error in the log, or on standard error where there is no log yet.
#[expect(
    clippy::print_stderr,
    reason = "a panic before the log begins, and a backtrace that somebody asked for"
)]
pub fn install() {
    std::panic::set_hook(Box::new(|panic| {
        let words = words(panic.payload());
        let place = panic
            .location()
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        if tracing::dispatcher::has_been_set() {
            tracing::error!(event = "daemon.panicked", %place, "A fault of the program at {place}: {words}");
        } else {
            eprintln!("error: a fault of the program at {place}: {words}");
        }
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            eprintln!("{trace}");
        }
    }));
}

/// The words of a panic, if nobody put them together.
pub fn words(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("its words are left out, they may hold an order's data")
}

/// Why a task has no outcome.
pub fn task(error: &JoinError) -> &'static str {
    match error.is_panic() {
        true => "a task ended by a fault of the program; `daemon.panicked` in the log says where",
        false => "a task was cut off",
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// A name as an order has it; cutting it inside a letter is a fault whose words repeat it.
    const NAME: &str = "Jiřina Vymyšlená";

    fn cut(name: &str) -> usize {
        name[..std::hint::black_box(3)].len()
    }

    #[test]
    fn a_panic_tells_its_place_and_nobodys_name() {
        const CHILD: &str = "BRANI_SYNC_TEST_OF_A_PANIC";
        if let Some(how) = std::env::var_os(CHILD) {
            super::install();
            if how == "logged" {
                crate::log::start(crate::config::LogFormat::Text, "info", "test");
            }
            cut(NAME);
            return;
        }
        // The usual words do repeat it.
        let usual = std::panic::catch_unwind(|| cut(NAME)).unwrap_err();
        assert!(usual.downcast_ref::<String>().unwrap().contains("Vymyšlená"));
        for how in ["logged", "plain"] {
            let child = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "panics::tests::a_panic_tells_its_place_and_nobodys_name",
                    "--nocapture",
                ])
                .env(CHILD, how)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&[child.stdout, child.stderr].concat()).into_owned();
            assert!(!child.status.success(), "{said}");
            assert!(said.contains("src/panics.rs:"), "{how}: {said}");
            assert_eq!(said.contains("daemon.panicked"), how == "logged", "{said}");
            assert!(
                !said.contains("Vymyšlená") && !said.contains("Jiřina"),
                "{how}: {said}"
            );
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_tells_nobodys_name() {
        let error = tokio::spawn(async { cut(NAME) }).await.unwrap_err();
        assert!(error.to_string().contains("Vymyšlená"), "as tokio tells it");
        assert!(!super::task(&error).contains("Vymyšlená"));
    }
}
