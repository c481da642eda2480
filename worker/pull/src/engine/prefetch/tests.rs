use super::super::fake_service::FAKE_SETTINGS;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_over_causes_no_further_blocking_read() {
    let idle = IdlePolicy::Block(Duration::from_secs(1));
    let prefetcher = Prefetcher::new(PullSettings { idle, linger: Duration::ZERO, ..FAKE_SETTINGS });
    let (begun, wait) = (Instant::now(), Duration::from_millis(500));
    let lease = DemandGuard::new(&prefetcher, 10, begun + wait);
    assert_eq!(prefetcher.next_step(0), PrefetchStep::Receive { count: 10, wait });
    tokio::time::advance(wait).await;
    prefetcher.deliver(10, 0, begun, Vec::new());
    assert_eq!(prefetcher.next_step(0), PrefetchStep::Sleep(None));

    drop(lease);
    let _next = DemandGuard::new(&prefetcher, 10, Instant::now());
    assert_eq!(prefetcher.next_step(0), PrefetchStep::Receive { count: 10, wait: Duration::ZERO });
}
