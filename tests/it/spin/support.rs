//! A test stream, Redis commands, and assertions on refused requests.

use std::env;
use std::time::{Duration, Instant};

use chargegate_redis_layout::stream_key;
use redis::{Client as Redis, Commands as _, Connection, FromRedisValue};

use super::host::SpinHost;
pub(super) use crate::posts::{assert_accepted, assert_refused, post};

/// Asserts that a request is refused with `detail` within `limit`.
pub(super) async fn assert_refuses_in(spin: &SpinHost, limit: Duration, detail: &str) {
    let mut client = spin.connect().await;
    let start = Instant::now();
    assert_refused(&post(&mut client).await, detail);
    assert!(start.elapsed() < limit, "refused after {:?}", start.elapsed());
}

/// The stream of one test on a shared server; deleted on drop.
pub(super) struct TestStream {
    pub(super) url: String,
    pub(super) prefix: String,
    connection: Connection,
}

impl TestStream {
    /// Creates a stream on the shared server.
    pub(super) fn new() -> Self {
        let url = env::var("REDIS_URL").expect("REDIS_URL must name a server");
        let connection = Redis::open(&*url).unwrap().get_connection().unwrap();
        let prefix = format!("test-{:032x}", rand::random::<u128>());
        Self { url, prefix, connection }
    }

    /// Returns all messages, each the only field of its entry.
    pub(super) fn messages(&mut self) -> Vec<String> {
        let key = stream_key(&self.prefix);
        let entries: Vec<(String, Vec<(String, String)>)> = self.connection.xrange_all(key).unwrap();
        let fields = entries.into_iter().map(|(_, fields)| <[_; 1]>::try_from(fields).expect("one field"));
        fields
            .map(|[(name, message)]| {
                assert_eq!(name, "m");
                message
            })
            .collect()
    }

    /// Returns the number of messages.
    pub(super) fn depth(&mut self) -> usize {
        self.connection.xlen(stream_key(&self.prefix)).unwrap()
    }

    /// Deletes the stream.
    pub(super) fn clear(&mut self) {
        let _: () = self.connection.del(stream_key(&self.prefix)).unwrap();
    }

    /// Runs a command.
    pub(super) fn command<T: FromRedisValue>(&mut self, words: &str) -> T {
        command(&mut self.connection, words)
    }
}

impl Drop for TestStream {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Runs a command on a new connection.
pub(super) fn once<T: FromRedisValue>(url: &str, words: &str) -> T {
    command(&mut Redis::open(url).unwrap().get_connection().unwrap(), words)
}

fn command<T: FromRedisValue>(connection: &mut Connection, words: &str) -> T {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        command.arg(word);
    });
    command.query(connection).unwrap()
}

/// Returns a number from `INFO`.
pub(super) fn info(url: &str, section: &str, name: &str) -> Option<u64> {
    let text: String = once(url, &format!("INFO {section}"));
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let digits = line.trim_start_matches("calls=");
    digits.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}
