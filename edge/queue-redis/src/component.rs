//! The queue as a component on WASI 0.3, over `spin:redis` and `spin:variables`.

use std::rc::Rc;
use std::time::Duration;

use chargegate_queue::{Instance, QueueError, Spin};
use spin_sdk::redis::{self, RedisParameter, RedisResult};

use crate::{Argument, Command, Connection, Queue, Reply, Server};

#[expect(clippy::same_length_and_capacity, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        world: "queue-engine",
        path: "../../wit",
        generate_all,
    });

    export!(Component);

    use super::Component;
}

use bindings::exports::chargegate::edge::queue;

struct Component;

impl queue::Guest for Component {
    async fn enqueue(message: String) -> Result<(), queue::Error> {
        let instance = INSTANCE.with(Rc::clone);
        instance.enqueue(&message).await.map_err(|error| match error {
            QueueError::Full => queue::Error::Full,
            QueueError::TooLarge => queue::Error::TooLarge,
            QueueError::TimedOut => queue::Error::TimedOut,
            QueueError::Unavailable(()) => queue::Error::Unavailable,
        })
    }
}

thread_local! {
    static INSTANCE: Rc<Instance<Queue<Redis>, Spin>> = Rc::new(Instance::new(Queue::new(Redis), Spin));
}

/// What the host lets be reached.
struct Redis;

impl Server for Redis {
    type Connection = redis::Connection;

    async fn connect(&self, url: &str) -> Result<redis::Connection, String> {
        redis::Connection::open(url).await.map_err(text)
    }

    async fn sleep(&self, duration: Duration) {
        Spin.sleep(duration).await;
    }
}

impl Connection for redis::Connection {
    async fn execute(&self, command: Command) -> Result<Vec<Reply>, String> {
        let arguments = command.arguments.into_iter().map(|argument| match argument {
            Argument::Number(number) => RedisParameter::Int64(number),
            Argument::Bytes(bytes) => RedisParameter::Binary(bytes),
        });
        let answer = redis::Connection::execute(self, command.name, arguments).await.map_err(text)?;
        let replies = answer.into_iter().map(|part| match part {
            RedisResult::Nil => Reply::Nil,
            RedisResult::Status(text) => Reply::Bytes(text.into_bytes()),
            RedisResult::Int64(number) => Reply::Number(number),
            RedisResult::Binary(bytes) => Reply::Bytes(bytes),
        });
        Ok(replies.collect())
    }
}

fn text(error: redis::Error) -> String {
    match error {
        redis::Error::InvalidAddress => "the address is invalid, or not allowed".into(),
        redis::Error::TooManyConnections => "too many connections are open".into(),
        redis::Error::TypeError => "an answer of another type".into(),
        redis::Error::Other(text) => text,
    }
}
