use super::fake::{Answer, Fake};
use super::*;
use crate::queue::{MessageKey, Queue as _};

#[tokio::test]
async fn whatever_call_fails_nothing_stays_held() {
    let refuse = "-ERR no\r\n";
    let server = Fake::start(|command| match command[0].as_str() {
        "EVALSHA" => Answer::Bytes(refuse.to_owned()),
        _ => Answer::Usual,
    })
    .await;
    let engine = server.open(2, Effects::system()).await;
    let (shared, id) = (&engine.shared, "5-1".parse().unwrap());
    let keys: Vec<MessageKey> =
        [0, 1].map(|stream| shared.streams.message_key(streams::Place { stream, id })).into();
    let hold = || (0..2).for_each(|stream| assert!(shared.held.insert(stream, id, 1)));
    let held = || [0, 1].map(|stream| shared.held.count(stream));

    hold();
    engine.acknowledge(keys.clone()).await.unwrap_err();
    assert_eq!(held(), [0, 0]);
    hold();
    engine.release(keys).await.unwrap_err();
    assert_eq!(held(), [0, 0]);
}
