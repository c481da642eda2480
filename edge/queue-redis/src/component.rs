//! The queue as a component on WASI 0.3, over `spin:redis` and `spin:variables`.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::time::Duration;

use spin_sdk::redis::{self, RedisParameter, RedisResult};
use spin_sdk::variables;
use spin_sdk::wasip3::clocks::monotonic_clock;

use crate::{Argument, Command, Connection, Queue, QueueError, Reply, Server, Settings};

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
        instance.enqueue(&message).await
    }
}

thread_local! {
    static INSTANCE: Rc<Instance> = Rc::new(Instance {
        queue: Queue::new(Spin),
        settings: OnceCell::new(),
        works: Cell::new(true),
    });
}

/// What outlives a request, as long as the host keeps the instance.
struct Instance {
    queue: Queue<Spin>,
    settings: OnceCell<Settings>,
    works: Cell<bool>,
}

impl Instance {
    async fn enqueue(&self, message: &str) -> Result<(), queue::Error> {
        let settings = match self.settings().await {
            Ok(settings) => settings,
            Err(reason) => {
                self.tell(&reason);
                return Err(queue::Error::Unavailable);
            }
        };
        let confirmed = self.queue.enqueue(settings, message).await;
        match &confirmed {
            Err(QueueError::Unavailable(cause)) => self.tell(&cause.to_string()),
            Err(QueueError::TimedOut) => self.tell("the server did not confirm in time"),
            Ok(()) | Err(QueueError::Full | QueueError::TooLarge) => self.works.set(true),
        }
        confirmed.map_err(|error| match error {
            QueueError::Full => queue::Error::Full,
            QueueError::TooLarge => queue::Error::TooLarge,
            QueueError::TimedOut => queue::Error::TimedOut,
            QueueError::Unavailable(_) => queue::Error::Unavailable,
        })
    }

    /// The settings, read once. What cannot be read is tried again, since variables may come from a server of their own.
    async fn settings(&self) -> Result<&Settings, String> {
        if let Some(settings) = self.settings.get() {
            return Ok(settings);
        }
        let mut values = Vec::with_capacity(Settings::VARIABLES.len());
        for name in Settings::VARIABLES {
            match variables::get(name).await {
                Ok(value) => values.push((name, value)),
                Err(variables::Error::Undefined(_)) => {}
                Err(_) => return Err(format!("the variable {name} cannot be read")),
            }
        }
        let value =
            |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let settings = Settings::read(value).map_err(|error| error.to_string())?;
        // Two requests may have read them at once.
        Ok(self.settings.get_or_init(|| settings))
    }

    /// Tells the operator why nothing is confirmed, once in an outage.
    fn tell(&self, reason: &str) {
        if self.works.replace(false) {
            eprintln!("queue-redis: nothing is confirmed: {reason}");
        }
    }
}

struct Spin;

impl Server for Spin {
    type Connection = redis::Connection;

    async fn connect(&self, url: &str) -> Result<redis::Connection, String> {
        redis::Connection::open(url).await.map_err(text)
    }

    async fn sleep(&self, duration: Duration) {
        monotonic_clock::wait_for(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)).await;
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
