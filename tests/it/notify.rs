//! What the daemon tells systemd, heard on a socket of our own: ready, well, alive, reloading, stopping.

use crate::merchant::{Merchant, PATIENCE, Sale, Shop, until};
use brani_sync::sandbox::{Fault, Matcher};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

/// Reads as it comes, as systemd does: whoever tells an ear that does not listen has to wait.
struct Ear(Arc<Mutex<Vec<String>>>);

impl Ear {
    fn new(merchant: &Merchant) -> Self {
        let socket = UnixDatagram::bind(merchant.path("notify")).expect("a socket");
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::downgrade(&heard);
        let pause = std::time::Duration::from_millis(100);
        socket.set_read_timeout(Some(pause)).expect("it can");
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Some(heard) = told.upgrade() {
                if let Ok(length) = socket.recv(&mut buffer) {
                    let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    heard.lock().expect("no panic").push(message);
                }
            }
        });
        Self(heard)
    }

    fn heard(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }

    /// How many messages so far hold a line that begins so.
    fn count(&self, line: &str) -> usize {
        let says = |message: &&String| message.lines().any(|found| found.starts_with(line));
        self.heard().iter().filter(says).count()
    }

    #[track_caller]
    fn hears(&self, line: &str, times: usize) {
        until(line, || self.count(line) >= times);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hears_when_it_is_ready_alive_reloading_and_stopping() {
    let merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.shop.add(&Sale::new(1));
    let ear = Ear::new(&merchant);
    let socket = merchant.path("notify").display().to_string();
    let daemon = merchant.start_in(
        &["run"],
        &[("NOTIFY_SOCKET", &socket), ("WATCHDOG_USEC", "1500000")],
    );
    ear.hears("READY=1", 1);
    ear.hears("WATCHDOG=1", 2);
    until("sent", || merchant.brani.order_count() == 1);
    ear.hears("STATUS=last good poll", 2);
    until("its state tells of the order", || {
        ear.heard().iter().any(|message| message.contains(" 1 sent, "))
    });

    merchant.tell(&["reload"]).exits(0);
    ear.hears("RELOADING=1", 1);
    ear.hears("READY=1", 2);
    // Refused, it is ready all the same: with the old settings.
    let good = std::fs::read_to_string(merchant.config()).expect("a configuration");
    std::fs::write(merchant.config(), good.replace("rate_limit", "rate_limt")).expect("a configuration");
    daemon.hang_up();
    ear.hears("RELOADING=1", 2);
    ear.hears("READY=1", 3);
    for message in ear.heard() {
        let reloading = message.lines().any(|line| line == "RELOADING=1");
        assert_eq!(reloading, message.contains("MONOTONIC_USEC="), "{message}");
    }
    assert_eq!(ear.count("STOPPING=1"), 0);
    assert_eq!(daemon.stop().0, 0);
    ear.hears("STOPPING=1", 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watchdog_is_fed_while_a_reload_or_a_stop_waits_for_a_request() {
    let merchant = Merchant::new(Shop::sqlite()).await;
    let ear = Ear::new(&merchant);
    let socket = merchant.path("notify").display().to_string();
    let daemon = merchant.start_in(
        &["run"],
        &[("NOTIFY_SOCKET", &socket), ("WATCHDOG_USEC", "300000")],
    );
    ear.hears("READY=1", 1);
    let slow = Fault::Latency { milliseconds: 3000 };
    merchant.brani.fault(slow, Matcher::upserts());
    let under_way = |id: u32| {
        merchant.shop.add(&Sale::new(id));
        daemon.ring();
        until("a request is under way", || merchant.open_requests() > 0);
        ear.count("WATCHDOG=1")
    };
    let fed = under_way(1);
    daemon.hang_up();
    ear.hears("READY=1", 2);
    let meanwhile = ear.count("WATCHDOG=1") - fed;
    assert!(meanwhile >= 5, "fed {meanwhile} times in three seconds");

    let fed = under_way(2);
    assert_eq!(daemon.stop().0, 0);
    let meanwhile = ear.count("WATCHDOG=1") - fed;
    assert!(meanwhile >= 5, "fed {meanwhile} times in three seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_to_stop_while_it_reloads_stops() {
    let mut merchant = Merchant::both_ways(Shop::sqlite()).await;
    merchant.edit("timeout = \"5s\"", "timeout = \"30s\"");
    let slow = Fault::Latency { milliseconds: 10_000 };
    merchant.brani.fault(slow, Matcher::upserts());
    merchant.shop.add(&Sale::new(1));
    let daemon = merchant.run();
    until("a request is under way", || merchant.open_requests() > 0);
    daemon.hang_up();
    // The old settings' loops end, and the request is waited for.
    until("the old door is shut", || {
        std::net::TcpStream::connect(("127.0.0.1", merchant.port)).is_err()
    });
    assert_eq!(daemon.stop().0, 0);
    assert_eq!(merchant.told("daemon.reloaded"), 0, "{}", merchant.log());
    assert_eq!(merchant.brani.order_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_line_says_what_is_wrong_and_no_longer_when_it_is_over() {
    let merchant = Merchant::new(Shop::sqlite()).await;
    merchant.brani.fault(Fault::Cut, Matcher::any());
    merchant.shop.add(&Sale::new(1));
    let ear = Ear::new(&merchant);
    let socket = merchant.path("notify").display().to_string();
    let daemon = merchant.start_in(
        &["run"],
        &[("NOTIFY_SOCKET", &socket), ("WATCHDOG_USEC", "1500000")],
    );
    let last = || {
        ear.heard()
            .into_iter()
            .rev()
            .find(|message| message.contains("STATUS="))
    };
    until("it says that Brani is away", || {
        last().is_some_and(|status| status.contains("stuck; Brani"))
    });
    merchant.brani.heal();
    until("it is over", || {
        last().is_some_and(|status| status.trim_end().ends_with(" 1 sent, 0 parked, 0 stuck"))
    });
    assert_eq!(daemon.stop().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_whose_door_is_taken_never_says_that_it_is_ready() {
    let merchant = Merchant::both_ways(Shop::sqlite()).await;
    let _taken = std::net::TcpListener::bind(("127.0.0.1", merchant.port)).expect("the port");
    let ear = Ear::new(&merchant);
    let socket = merchant.path("notify").display().to_string();
    let mut daemon = merchant.start_in(&["run"], &[("NOTIFY_SOCKET", &socket)]);
    assert_eq!(daemon.ends(PATIENCE), 78);
    assert_eq!(ear.count("READY=1"), 0, "{:?}", ear.heard());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_cannot_start_never_says_that_it_is_ready() {
    let merchant = Merchant::both_ways(Shop::sqlite()).await;
    std::fs::remove_file(merchant.path("token")).expect("the secret goes");
    let ear = Ear::new(&merchant);
    let socket = merchant.path("notify").display().to_string();
    let mut daemon = merchant.start_in(&["run"], &[("NOTIFY_SOCKET", &socket)]);
    assert_eq!(daemon.ends(PATIENCE), 78);
    assert_eq!(ear.count("READY=1"), 0, "{:?}", ear.heard());
}
