use super::fake::{FakeReply, FakeServer};
use super::*;
use chargegate_storage::queue::{MessageKey, Queue as _};
use chargegate_storage::{Random, SystemClock};

#[tokio::test]
async fn whatever_call_fails_nothing_stays_held() {
    let refuse = "-ERR no\r\n";
    let server = FakeServer::start(|command| match command[0].as_str() {
        "EVALSHA" => FakeReply::Bytes(refuse.to_owned()),
        _ => FakeReply::Usual,
    })
    .await;
    let engine = server.open(2, Effects::system()).await;
    let (shared, id) = (&engine.shared, "5-1".parse().unwrap());
    let keys: Vec<MessageKey> =
        [0, 1].map(|stream| shared.streams.message_key(streams::EntryLocation { stream, id })).into();
    let hold = || (0..2).for_each(|stream| assert!(shared.in_flight.insert(stream, id, 1)));
    let counts = || [0, 1].map(|stream| shared.in_flight.count(stream));

    hold();
    engine.ack(keys.clone()).await.unwrap_err();
    assert_eq!(counts(), [0, 0]);
    hold();
    engine.release(keys).await.unwrap_err();
    assert_eq!(counts(), [0, 0]);
}

#[tokio::test]
async fn an_answer_that_is_none_leaves_no_body_in_the_error() {
    let answers = [
        "*1\r\n*2\r\n+s\r\n*1\r\n*2\r\n*1\r\n$6\r\nsecret\r\n*0\r\n",
        "*1\r\n$6\r\nsecret\r\n",
        "+secret\r\n",
        "?secret\r\n",
    ];
    for answer in answers {
        let server = FakeServer::start(move |command| match command[0].as_str() {
            "XREADGROUP" => FakeReply::Bytes(answer.to_owned()),
            _ => FakeReply::Usual,
        })
        .await;
        let engine = server.open(1, Effects::system()).await;
        let error = engine.lease(1, Duration::from_millis(200)).await.unwrap_err();
        let told = format!("{error} {} {error:?}", metric::cause(&error));
        assert!(told.contains("cannot be understood") && !told.contains("secret"), "{told}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_left_in_time() {
    let hangs = Arc::new(AtomicBool::new(false));
    let hanging = Arc::clone(&hangs);
    let server =
        FakeServer::start(
            move |_| if hanging.load(Ordering::SeqCst) { FakeReply::Never } else { FakeReply::Usual },
        )
        .await;
    let engine = server.open(8, Effects::system()).await;
    hangs.store(true, Ordering::SeqCst);
    let close = tokio::time::timeout(DEREGISTER_TIMEOUT + Duration::from_secs(1), engine.close());
    close.await.unwrap();
    engine.ended().await;
}

/// Random source that must not be used.
#[derive(Debug)]
struct NoJitter;

impl Random for NoJitter {
    fn bits(&self) -> u64 {
        7
    }

    fn jitter(&self) -> u32 {
        panic!("no jitter")
    }
}

#[tokio::test]
async fn the_fault_of_a_reader_is_noticed() {
    let server = FakeServer::start(|_| FakeReply::Usual).await;
    let effects = Effects { clock: Arc::new(SystemClock), random: Arc::new(NoJitter) };
    let engine = server.open(1, effects).await;
    let leasing = engine.clone();
    let lease = tokio::spawn(async move { leasing.lease(1, Duration::from_mins(1)).await });
    tokio::time::timeout(Duration::from_secs(10), engine.ended()).await.unwrap();
    lease.abort();
}
