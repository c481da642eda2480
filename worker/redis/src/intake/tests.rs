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

/// An intake whose readers all have connections.
fn intake(readers: usize) -> Arc<Intake> {
    let intake = Intake::new(readers);
    for reader in 0..readers {
        intake.up(reader);
    }
    Arc::new(intake)
}

type Leasing = tokio::task::JoinHandle<Result<Vec<LeasedMessage>, QueueError>>;

fn lease(intake: &Arc<Intake>, max: usize, wait: Duration) -> Leasing {
    let intake = Arc::clone(intake);
    tokio::spawn(async move { intake.lease(max, wait).await })
}

async fn count(leasing: Leasing) -> usize {
    leasing.await.unwrap().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_is_dealt_out_and_no_more() {
    let intake = intake(3);
    let leasing = lease(&intake, 8, LONG);
    let (one, two, three) = (intake.demand(0).await, intake.demand(1).await, intake.demand(2).await);
    assert_eq!([one.count, two.count, three.count], [3, 3, 2]);
    intake.bring(1, messages(3));
    assert_eq!(count(leasing).await, 3);
    // The next lease wants the remaining capacity, all of which is assigned already.
    let leasing = lease(&intake, 5, LONG);
    let nothing = tokio::time::timeout(LONG / 2, intake.demand(1)).await;
    assert!(nothing.is_err(), "{nothing:?} beside what the others are out for");
    intake.bring(0, messages(2));
    assert_eq!(count(leasing).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_back_with_nothing_is_dealt_the_rest_of_the_wait() {
    let intake = intake(1);
    let began = Instant::now();
    let leasing = lease(&intake, 4, LONG);
    assert_eq!(intake.demand(0).await, Demand { count: 4, until: began + LONG });
    tokio::time::advance(Duration::from_secs(1)).await;
    intake.bring(0, Vec::new());
    assert_eq!(intake.demand(0).await, Demand { count: 4, until: began + LONG });
    intake.bring(0, messages(4));
    assert_eq!(count(leasing).await, 4);
}

#[tokio::test(start_paused = true)]
async fn no_reader_of_several_sits_on_its_share() {
    let intake = intake(2);
    let _leasing = lease(&intake, 2, LONG);
    for reader in [0, 1] {
        let demand = intake.demand(reader).await;
        assert_eq!(demand, Demand { count: 1, until: Instant::now() + TURN });
    }
}

#[tokio::test(start_paused = true)]
async fn readers_take_turns_where_there_is_too_little_for_all() {
    let intake = intake(3);
    let _leasing = lease(&intake, 1, LONG);
    for reader in [0, 1, 2, 0, 1] {
        let demand = intake.demand(reader).await;
        assert_eq!(demand.count, 1);
        assert!(demand.until <= Instant::now() + GLANCE, "nobody sits on the only share");
        intake.bring(reader, Vec::new());
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_every_stream_is_looked_into_once() {
    let intake = intake(3);
    let leasing = lease(&intake, 1, Duration::ZERO);
    for reader in 0..3 {
        assert!(intake.demand(reader).await.until <= Instant::now());
        intake.bring(reader, Vec::new());
    }
    assert_eq!(count(leasing).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_soon_after_its_wait_even_when_no_reader_comes_back() {
    let intake = intake(1);
    let began = Instant::now();
    let leasing = lease(&intake, 1, LONG);
    intake.demand(0).await;
    assert_eq!(count(leasing).await, 0);
    assert_eq!(began.elapsed(), LONG + GRACE);
}

#[tokio::test(start_paused = true)]
async fn a_lease_fails_when_no_reader_has_a_connection() {
    let intake = intake(2);
    intake.down(0, broken());
    assert_eq!(intake.state.lock().unwrap().failure().map(drop), None, "the other one has");
    intake.down(1, broken());
    let began = Instant::now();
    let failed = lease(&intake, 1, LONG).await.unwrap();
    assert!(matches!(failed, Err(QueueError::Unavailable(_))));
    assert_eq!(began.elapsed(), LONG, "it may come back in time");

    let leasing = lease(&intake, 1, LONG);
    tokio::task::yield_now().await;
    intake.up(1);
    assert_eq!(intake.demand(1).await.count, 1);
    intake.bring(1, messages(1));
    assert_eq!(count(leasing).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_reader_keeps_no_demand() {
    let intake = intake(2);
    let leasing = lease(&intake, 2, LONG);
    assert_eq!([intake.demand(0).await.count, intake.demand(1).await.count], [1, 1]);
    intake.down(0, broken());
    intake.bring(1, Vec::new());
    assert_eq!(intake.demand(1).await.count, 2);
    intake.bring(1, messages(2));
    assert_eq!(count(leasing).await, 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_lease_wanted_goes_to_the_next() {
    let intake = intake(1);
    let dropped = lease(&intake, 3, LONG);
    assert_eq!(intake.demand(0).await.count, 3);
    dropped.abort();
    assert!(dropped.await.is_err());
    intake.bring(0, messages(3));
    assert_eq!(count(lease(&intake, 2, Duration::ZERO)).await, 2);
    let leasing = lease(&intake, 2, LONG);
    assert_eq!(count(leasing).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_comes_for_is_given_out_after_two_quiet_ticks() {
    let intake = intake(1);
    let dropped = lease(&intake, 3, LONG);
    intake.demand(0).await;
    dropped.abort();
    assert!(dropped.await.is_err());
    intake.bring(0, messages(3));
    let ticks = [intake.unclaimed().len(), intake.unclaimed().len(), intake.unclaimed().len()];
    assert_eq!(ticks, [0, 0, 3]);
    assert!(intake.unclaimed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_every_lease() {
    let intake = intake(1);
    let leasing = lease(&intake, 3, LONG);
    intake.demand(0).await;
    assert!(intake.close().is_empty());
    assert!(matches!(leasing.await.unwrap(), Err(QueueError::Closed)));
    assert!(matches!(lease(&intake, 1, LONG).await.unwrap(), Err(QueueError::Closed)));
}
