use super::fake_server::{FakeRedisServer, FakeReply};
use super::*;
use chargegate_pull::engine::{FailedReceipt, LeaseReceipt, PullService as _, ReceiptFailure};
use chargegate_storage::{Random, SystemClock};

const ENTRY: &str = "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nm\r\n$1\r\na\r\n";

#[tokio::test]
async fn a_message_whose_ack_failed_is_not_in_flight_any_more() {
    let server = FakeRedisServer::start(|command| match command[0].as_str() {
        // The only command that ends with the id is the ack.
        "EVALSHA" if command.last().is_some_and(|word| word == "5-1") => {
            FakeReply::Bytes("-ERR no\r\n".to_owned())
        }
        "XREADGROUP" => FakeReply::Bytes(ENTRY.to_owned()),
        _ => FakeReply::Default,
    })
    .await;
    let queue = server.open(Effects::system()).await;
    let leased = queue.lease(1, Duration::from_secs(5)).await.unwrap();
    let keys = || leased.iter().map(|message| message.key.clone()).collect();
    assert_eq!((leased.len(), queue.engine.in_flight().len()), (1, 1));
    queue.ack(keys()).await.unwrap_err();
    assert_eq!(queue.engine.in_flight().len(), 0);
}

#[tokio::test]
async fn a_failed_release_does_not_fail_the_acks_beside_it() {
    let server = FakeRedisServer::start(|command| match command[0].as_str() {
        // Only the release names the consumer of released entries.
        "EVALSHA" if command.iter().any(|word| word == "released") => {
            FakeReply::Bytes("-ERR no\r\n".to_owned())
        }
        _ => FakeReply::Default,
    })
    .await;
    let queue = server.open(Effects::system()).await;
    let [acked, released] = ["5-1/1/0", "5-2/1/1"].map(|text| LeaseReceipt::from(text.to_owned()));
    let service = queue.engine.service();
    let failed = service.ack_and_release(&[acked], std::slice::from_ref(&released)).await.unwrap();
    let reason = ReceiptFailure::Transient;
    assert_eq!(failed, [FailedReceipt { receipt: released.clone(), reason }]);
    service.ack_and_release(&[], &[released]).await.unwrap_err();
}

#[tokio::test]
async fn a_malformed_reply_leaves_no_body_in_the_error() {
    let replies = [
        "*1\r\n*2\r\n+s\r\n*1\r\n*2\r\n*1\r\n$6\r\nsecret\r\n*0\r\n",
        "*1\r\n$6\r\nsecret\r\n",
        "+secret\r\n",
        "?secret\r\n",
    ];
    for reply in replies {
        let server = FakeRedisServer::start(move |command| match command[0].as_str() {
            "XREADGROUP" => FakeReply::Bytes(reply.to_owned()),
            _ => FakeReply::Default,
        })
        .await;
        let queue = server.open(Effects::system()).await;
        let error = queue.lease(1, Duration::from_millis(200)).await.unwrap_err();
        let text = format!("{error} {} {error:?}", metric::cause(&error));
        assert!(text.contains("malformed") && !text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn closing_is_bounded_when_the_server_hangs() {
    let hangs = Arc::new(AtomicBool::new(false));
    let hanging = Arc::clone(&hangs);
    let server = FakeRedisServer::start(move |_| {
        if hanging.load(std::sync::atomic::Ordering::SeqCst) { FakeReply::Never } else { FakeReply::Default }
    })
    .await;
    let queue = server.open(Effects::system()).await;
    hangs.store(true, std::sync::atomic::Ordering::SeqCst);
    let close = tokio::time::timeout(DEREGISTER_TIMEOUT + Duration::from_secs(6), queue.close());
    close.await.unwrap();
    queue.ended().await;
}

/// Panics when jitter is drawn.
#[derive(Debug)]
struct PanickingJitter;

impl Random for PanickingJitter {
    fn bits(&self) -> u64 {
        7
    }

    fn jitter(&self) -> u32 {
        panic!("no jitter")
    }
}

#[tokio::test]
async fn a_panic_of_the_reading_task_is_noticed() {
    let server = FakeRedisServer::start(|_| FakeReply::Default).await;
    let effects = Effects { clock: Arc::new(SystemClock), random: Arc::new(PanickingJitter) };
    let queue = server.open(effects).await;
    let leasing = queue.clone();
    let lease = tokio::spawn(async move { leasing.lease(1, Duration::from_mins(1)).await });
    tokio::time::timeout(Duration::from_secs(10), queue.ended()).await.unwrap();
    lease.abort();
}
