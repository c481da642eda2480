//! Filling the queue with the messages that edges would enqueue.

use chargegate_core::{MessageToken, RequestId, SessionMessage, UnixMillis};
use chargegate_redis_layout::{STREAM_FIELD, stream_key};
use redis::aio::MultiplexedConnection;

use crate::error::LoadError;
use crate::ledger::{DRIVER_TOKEN, LoadLedger, SubmitOutcome, station};

/// Number of messages in a pipeline.
const PIPELINE_SIZE: u64 = 1_000;

/// Enqueues a message for each request of the ledger, accepted at `now`.
///
/// # Errors
/// Returns an error if the server refuses a message, or a message cannot be created.
pub(crate) async fn fill(
    redis: &mut MultiplexedConnection,
    prefix: &str,
    ledger: &LoadLedger,
    callback_url: &str,
    now: impl Fn() -> u64,
) -> Result<(), LoadError> {
    let key = stream_key(prefix);
    let mut number = 0;
    while number < ledger.requests() {
        let end = (number + PIPELINE_SIZE).min(ledger.requests());
        let mut batch = redis::pipe();
        for number in number..end {
            let text = message(number, callback_url, now()).ok_or(LoadError::Message)?.encode();
            batch.cmd("XADD").arg(&key).arg("*").arg(STREAM_FIELD).arg(text).ignore();
        }
        batch.query_async::<()>(redis).await?;
        for number in number..end {
            ledger.answered(number, SubmitOutcome::Accepted);
        }
        number = end;
    }
    Ok(())
}

/// Returns the message of a request that was accepted at `now`, or `None` if it cannot be created.
pub(crate) fn message(number: u64, callback_url: &str, now: u64) -> Option<SessionMessage> {
    let mut random = [0; 10];
    random.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    Some(SessionMessage {
        id: RequestId::v7(UnixMillis(now), random),
        station_id: station(number).parse().ok()?,
        driver_token: MessageToken::from(DRIVER_TOKEN),
        callback_url: format!("{callback_url}/{number}").parse().ok()?,
        accepted_at: UnixMillis(now),
        traceparent: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_equal_those_of_the_edge() {
        let made: Vec<_> = (0..3).map(|number| message(number, "http://127.0.0.1:1", 5).unwrap()).collect();
        for message in &made {
            assert_eq!(SessionMessage::decode(message.encode().as_bytes()).as_ref(), Ok(message));
            assert!(matches!(message.driver_token, MessageToken::Valid(_)));
        }
        assert!(made[0].id != made[1].id && made[1].id != made[2].id, "one request each");
    }
}
