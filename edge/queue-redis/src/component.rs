//! The component on WASI 0.3, over `spin:redis` and `spin:variables`.

use std::rc::Rc;
use std::time::Duration;

use chargegate_queue::{QueueInstance, SpinComponentHost, bindings};
use spin_sdk::redis::{self, RedisParameter, RedisResult};

use crate::{RedisArgument, RedisCommand, RedisConnection, RedisConnector, RedisReply, RedisStreamQueue};

struct RedisComponent;

impl bindings::Guest for RedisComponent {
    async fn enqueue(message: String) -> Result<(), bindings::Error> {
        let instance = INSTANCE.with(Rc::clone);
        Ok(instance.enqueue(&message).await?)
    }
}

bindings::export!(RedisComponent with_types_in bindings);

thread_local! {
    static INSTANCE: Rc<QueueInstance<RedisStreamQueue<SpinRedis>, SpinComponentHost>> =
        Rc::new(QueueInstance::new(RedisStreamQueue::new(SpinRedis), SpinComponentHost));
}

/// Redis, as far as the host allows connections to it.
struct SpinRedis;

impl RedisConnector for SpinRedis {
    type Connection = redis::Connection;

    async fn connect(&self, url: &str) -> Result<redis::Connection, String> {
        redis::Connection::open(url).await.map_err(error_text)
    }

    async fn sleep(&self, duration: Duration) {
        SpinComponentHost.sleep(duration).await;
    }
}

impl RedisConnection for redis::Connection {
    async fn execute(&self, command: RedisCommand) -> Result<Vec<RedisReply>, String> {
        let arguments = command.arguments.into_iter().map(|argument| match argument {
            RedisArgument::Number(number) => RedisParameter::Int64(number),
            RedisArgument::Bytes(bytes) => RedisParameter::Binary(bytes),
        });
        let results = redis::Connection::execute(self, command.name, arguments).await.map_err(error_text)?;
        let replies = results.into_iter().map(|result| match result {
            RedisResult::Nil => RedisReply::Nil,
            RedisResult::Status(text) => RedisReply::Bytes(text.into_bytes()),
            RedisResult::Int64(number) => RedisReply::Number(number),
            RedisResult::Binary(bytes) => RedisReply::Bytes(bytes),
        });
        Ok(replies.collect())
    }
}

fn error_text(error: redis::Error) -> String {
    match error {
        redis::Error::InvalidAddress => "the address is invalid, or not allowed".into(),
        redis::Error::TooManyConnections => "too many connections are open".into(),
        redis::Error::TypeError => "the reply has an unexpected type".into(),
        redis::Error::Other(text) => text,
    }
}
