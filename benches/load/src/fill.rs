//! Filling the queue as edges would, without edges.

use std::num::NonZeroU16;

use chargegate_core::{MessageToken, RequestId, SessionMessage, UnixMillis};
use chargegate_redis_layout::{STREAM_FIELD, stream_for, stream_key};
use redis::aio::MultiplexedConnection;

use crate::book::{Answer, Book, DRIVER_TOKEN, station};
use crate::failure::Failure;

/// Messages sent to the server at once.
const BATCH: u64 = 1_000;

/// The streams to fill.
#[derive(Debug)]
pub(crate) struct Streams<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) count: NonZeroU16,
}

/// Puts a message for each request of the book into the queue, accepted at `now`.
///
/// # Errors
/// The server refuses, or a message cannot be made.
pub(crate) async fn fill(
    redis: &mut MultiplexedConnection,
    streams: &Streams<'_>,
    book: &Book,
    callback_url: &str,
    now: impl Fn() -> u64,
) -> Result<(), Failure> {
    let keys: Vec<String> =
        (0..streams.count.get()).map(|number| stream_key(streams.prefix, number)).collect();
    let mut number = 0;
    while number < book.requests() {
        let end = (number + BATCH).min(book.requests());
        let mut batch = redis::pipe();
        for number in number..end {
            let text = message(number, callback_url, now()).ok_or(Failure::Message)?.encode();
            let key = keys.get(usize::from(stream_for(&text, streams.count))).ok_or(Failure::Message)?;
            batch.cmd("XADD").arg(key).arg("*").arg(STREAM_FIELD).arg(text).ignore();
        }
        batch.query_async::<()>(redis).await?;
        for number in number..end {
            book.answered(number, Answer::Accepted);
        }
        number = end;
    }
    Ok(())
}

fn message(number: u64, callback_url: &str, now: u64) -> Option<SessionMessage> {
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
    fn messages_are_as_the_edge_makes_them() {
        let made: Vec<_> = (0..3).map(|number| message(number, "http://127.0.0.1:1", 5).unwrap()).collect();
        for message in &made {
            assert_eq!(SessionMessage::decode(message.encode().as_bytes()).as_ref(), Ok(message));
            assert!(matches!(message.driver_token, MessageToken::Valid(_)));
        }
        assert!(made[0].id != made[1].id && made[1].id != made[2].id, "one request each");
    }
}
