//! The real scheduler on the real clock: it rings, and it stops.

use brani_sync::bell::Bell;
use brani_sync::clock::SystemClock;
use brani_sync::schedule::{Schedule, run};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn bell_of_every_second_rings_again_and_again_until_stopped() {
    let zone = jiff::tz::TimeZone::get("Europe/Prague").unwrap();
    let (bell, stop) = (Bell::new("poll"), CancellationToken::new());
    let bells = vec![(Schedule::parse("* * * * * *", &zone).unwrap(), bell.clone())];
    let running = tokio::spawn(run(bells, Arc::new(SystemClock), stop.clone()));
    // The guard alone, who waits five seconds for each, would need more than forty.
    let rings = async {
        for _ in 0..8 {
            bell.rung().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(35), rings)
        .await
        .expect("rung by the scheduler");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(60), running)
        .await
        .expect("stopped")
        .unwrap();
}
