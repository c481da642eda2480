use std::io;

use redis::RedisError;

use super::*;
use chargegate_storage::queue::MessageKey;

const LONG: Duration = Duration::from_mins(1);

fn message(name: &str) -> LeasedMessage {
    LeasedMessage {
        key: MessageKey::from(name.to_owned()),
        body: Vec::new(),
        enqueued_at: None,
        deliveries: 1,
    }
}

fn messages(count: usize) -> Vec<LeasedMessage> {
    (0..count).map(|n| message(&n.to_string())).collect()
}

fn broken() -> Arc<CommandError> {
    Arc::new(CommandError::Broken(RedisError::from(io::Error::from(io::ErrorKind::ConnectionReset))))
}

/// An prefetch whose readers all have connections.
fn prefetch(readers: usize) -> Arc<Prefetcher> {
    let prefetch = Prefetcher::new(readers);
    for reader in 0..readers {
        prefetch.up(reader);
    }
    Arc::new(prefetch)
}

type Leasing = tokio::task::JoinHandle<Result<Vec<LeasedMessage>, QueueError>>;

fn lease(prefetch: &Arc<Prefetcher>, max: usize, wait: Duration) -> Leasing {
    let prefetch = Arc::clone(prefetch);
    tokio::spawn(async move { prefetch.lease(max, wait).await })
}

async fn count(leasing: Leasing) -> usize {
    leasing.await.unwrap().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_is_dealt_out_and_no_more() {
    let prefetch = prefetch(3);
    let leasing = lease(&prefetch, 8, LONG);
    let (one, two, three) = (prefetch.demand(0).await, prefetch.demand(1).await, prefetch.demand(2).await);
    assert_eq!([one.count, two.count, three.count], [3, 3, 2]);
    prefetch.deliver(1, messages(3));
    assert_eq!(count(leasing).await, 3);
    // The next lease wants the remaining capacity, all of which is assigned already.
    let leasing = lease(&prefetch, 5, LONG);
    let nothing = tokio::time::timeout(LONG / 2, prefetch.demand(1)).await;
    assert!(nothing.is_err(), "{nothing:?} beside what the others are out for");
    prefetch.deliver(0, messages(2));
    assert_eq!(count(leasing).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_back_with_nothing_is_dealt_the_rest_of_the_wait() {
    let prefetch = prefetch(1);
    let began = Instant::now();
    let leasing = lease(&prefetch, 4, LONG);
    assert_eq!(prefetch.demand(0).await, ReadDemand { count: 4, until: began + LONG });
    tokio::time::advance(Duration::from_secs(1)).await;
    prefetch.deliver(0, Vec::new());
    assert_eq!(prefetch.demand(0).await, ReadDemand { count: 4, until: began + LONG });
    prefetch.deliver(0, messages(4));
    assert_eq!(count(leasing).await, 4);
}

#[tokio::test(start_paused = true)]
async fn no_reader_of_several_sits_on_its_share() {
    let prefetch = prefetch(2);
    let _leasing = lease(&prefetch, 2, LONG);
    for reader in [0, 1] {
        let demand = prefetch.demand(reader).await;
        assert_eq!(demand, ReadDemand { count: 1, until: Instant::now() + SHARED_READ_WAIT });
    }
}

#[tokio::test(start_paused = true)]
async fn readers_take_turns_where_there_is_too_little_for_all() {
    let prefetch = prefetch(3);
    let _leasing = lease(&prefetch, 1, LONG);
    for reader in [0, 1, 2, 0, 1] {
        let demand = prefetch.demand(reader).await;
        assert_eq!(demand.count, 1);
        assert!(demand.until <= Instant::now() + SHORT_READ_WAIT, "nobody sits on the only share");
        prefetch.deliver(reader, Vec::new());
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_every_stream_is_looked_into_once() {
    let prefetch = prefetch(3);
    let leasing = lease(&prefetch, 1, Duration::ZERO);
    for reader in 0..3 {
        assert!(prefetch.demand(reader).await.until <= Instant::now());
        prefetch.deliver(reader, Vec::new());
    }
    assert_eq!(count(leasing).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_soon_after_its_wait_even_when_no_reader_comes_back() {
    let prefetch = prefetch(1);
    let began = Instant::now();
    let leasing = lease(&prefetch, 1, LONG);
    prefetch.demand(0).await;
    assert_eq!(count(leasing).await, 0);
    assert_eq!(began.elapsed(), LONG + RECONNECT_GRACE);
}

#[tokio::test(start_paused = true)]
async fn a_lease_fails_when_no_reader_has_a_connection() {
    let prefetch = prefetch(2);
    prefetch.down(0, broken());
    assert_eq!(prefetch.state.lock().unwrap().failure().map(drop), None, "the other one has");
    prefetch.down(1, broken());
    let began = Instant::now();
    let failed = lease(&prefetch, 1, LONG).await.unwrap();
    assert!(matches!(failed, Err(QueueError::Unavailable(_))));
    assert_eq!(began.elapsed(), LONG, "it may come back in time");

    let leasing = lease(&prefetch, 1, LONG);
    tokio::task::yield_now().await;
    prefetch.up(1);
    assert_eq!(prefetch.demand(1).await.count, 1);
    prefetch.deliver(1, messages(1));
    assert_eq!(count(leasing).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_reader_keeps_no_demand() {
    let prefetch = prefetch(2);
    let leasing = lease(&prefetch, 2, LONG);
    assert_eq!([prefetch.demand(0).await.count, prefetch.demand(1).await.count], [1, 1]);
    prefetch.down(0, broken());
    prefetch.deliver(1, Vec::new());
    assert_eq!(prefetch.demand(1).await.count, 2);
    prefetch.deliver(1, messages(2));
    assert_eq!(count(leasing).await, 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_lease_wanted_goes_to_the_next() {
    let prefetch = prefetch(1);
    let dropped = lease(&prefetch, 3, LONG);
    assert_eq!(prefetch.demand(0).await.count, 3);
    dropped.abort();
    assert!(dropped.await.is_err());
    prefetch.deliver(0, messages(3));
    assert_eq!(count(lease(&prefetch, 2, Duration::ZERO)).await, 2);
    let leasing = lease(&prefetch, 2, LONG);
    assert_eq!(count(leasing).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_comes_for_is_given_out_after_two_quiet_ticks() {
    let prefetch = prefetch(1);
    let dropped = lease(&prefetch, 3, LONG);
    prefetch.demand(0).await;
    dropped.abort();
    assert!(dropped.await.is_err());
    prefetch.deliver(0, messages(3));
    let ticks = [prefetch.unclaimed().len(), prefetch.unclaimed().len(), prefetch.unclaimed().len()];
    assert_eq!(ticks, [0, 0, 3]);
    assert!(prefetch.unclaimed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_lease() {
    let prefetch = prefetch(1);
    let leasing = lease(&prefetch, 3, LONG);
    prefetch.demand(0).await;
    assert!(prefetch.close().is_empty());
    assert!(matches!(leasing.await.unwrap(), Err(QueueError::Closed)));
    assert!(matches!(lease(&prefetch, 1, LONG).await.unwrap(), Err(QueueError::Closed)));
}
