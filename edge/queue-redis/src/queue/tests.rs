use std::collections::VecDeque;
use std::rc::Rc;

use chargegate_queue::ComponentSettings as _;

use super::*;
use crate::RedisArgument;

/// A server that plays a script, one step per call.
#[derive(Default)]
struct ScriptedRedis {
    steps: RefCell<VecDeque<RedisStep>>,
    calls: RefCell<Vec<String>>,
}

enum RedisStep {
    Connect,
    Reply(Vec<RedisReply>),
    Fail(&'static str),
    Hang,
}

use RedisStep::{Connect, Fail, Hang, Reply};

impl ScriptedRedis {
    async fn step(&self, call: String) -> Result<Vec<RedisReply>, String> {
        self.calls.borrow_mut().push(call);
        let step = self.steps.borrow_mut().pop_front();
        tokio::task::yield_now().await;
        match step.expect("the script has a step for every call") {
            Connect => Ok(Vec::new()),
            Reply(reply) => Ok(reply),
            Fail(text) => Err(text.into()),
            Hang => std::future::pending().await,
        }
    }
}

struct ScriptedConnection(Rc<ScriptedRedis>);

impl RedisConnector for Rc<ScriptedRedis> {
    type Connection = ScriptedConnection;

    async fn connect(&self, url: &str) -> Result<ScriptedConnection, String> {
        self.step(url.to_owned()).await.map(|_| ScriptedConnection(Rc::clone(self)))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl RedisConnection for ScriptedConnection {
    async fn execute(&self, command: RedisCommand) -> Result<Vec<RedisReply>, String> {
        self.0.step(command.name.to_owned()).await
    }
}

impl Drop for ScriptedConnection {
    fn drop(&mut self) {
        self.0.calls.borrow_mut().push("closed".into());
    }
}

struct RedisQueueCase {
    server: Rc<ScriptedRedis>,
    queue: RedisStreamQueue<Rc<ScriptedRedis>>,
    settings: RedisQueueSettings,
}

impl RedisQueueCase {
    fn new(waitaof: &str) -> Self {
        let server = Rc::new(ScriptedRedis::default());
        let settings = RedisQueueSettings::read(|name| match name {
            "queue_url" => Some("redis://h".into()),
            "queue_waitaof_ms" => Some(waitaof.into()),
            _ => None,
        });
        Self { queue: RedisStreamQueue::new(Rc::clone(&server)), server, settings: settings.unwrap() }
    }

    /// Enqueues a message while the server plays `steps`, and compares the `calls` it received.
    async fn check(&self, steps: Vec<RedisStep>, expected: Result<(), RedisEnqueueError>, calls: &[&str]) {
        self.server.steps.replace(steps.into());
        assert_eq!(self.queue.enqueue(&self.settings, "message").await, expected);
        assert!(self.server.steps.borrow().is_empty(), "the script has steps left");
        assert_eq!(self.server.calls.take(), calls);
    }
}

const SERVER: &str = "redis://h/0";

fn appended() -> RedisStep {
    Reply(vec![RedisReply::Number(1)])
}

fn full() -> RedisStep {
    Reply(vec![RedisReply::Number(0)])
}

fn synced(files: i64) -> RedisStep {
    Reply(vec![RedisReply::Number(files), RedisReply::Number(0)])
}

fn failed(code: Option<&str>) -> Result<(), RedisEnqueueError> {
    Err(RedisEnqueueError::Command(code.map(Into::into)))
}

#[tokio::test]
async fn a_connection_is_kept() {
    let case = RedisQueueCase::new("0");
    case.check(vec![Connect, appended()], Ok(()), &[SERVER, "EVAL"]).await;
    case.check(vec![appended()], Ok(()), &["EVAL"]).await;
    case.check(vec![full()], Err(RedisEnqueueError::Full), &["EVAL"]).await;
    case.check(vec![appended()], Ok(()), &["EVAL"]).await;
}

#[tokio::test]
async fn a_kept_connection_that_fails_is_replaced_once() {
    let case = RedisQueueCase::new("0");
    case.check(vec![Connect, appended()], Ok(()), &[SERVER, "EVAL"]).await;
    case.check(vec![Fail("broken pipe"), Connect, appended()], Ok(()), &["EVAL", "closed", SERVER, "EVAL"])
        .await;
    case.check(
        vec![Reply(vec![RedisReply::Bytes(b"READONLY".into())]), Connect, Fail("LOADING: wait")],
        failed(Some("LOADING")),
        &["EVAL", "closed", SERVER, "EVAL", "closed"],
    )
    .await;
    case.check(vec![Connect, Fail("broken pipe")], failed(None), &[SERVER, "EVAL", "closed"]).await;
    let refused = Err(RedisEnqueueError::Connect("refused".into()));
    case.check(vec![Fail("refused")], refused, &[SERVER]).await;
}

#[tokio::test]
async fn concurrent_messages_use_separate_connections_and_a_failure_closes_all() {
    let case = RedisQueueCase::new("0");
    case.server.steps.replace([Connect, Connect, appended(), appended()].into());
    let both = tokio::join!(
        case.queue.enqueue(&case.settings, "one"),
        case.queue.enqueue(&case.settings, "another")
    );
    assert_eq!(both, (Ok(()), Ok(())));
    assert_eq!(case.queue.idle.borrow().len(), 2);
    case.server.calls.take();
    case.check(
        vec![Fail("broken pipe"), Connect, appended()],
        Ok(()),
        &["EVAL", "closed", "closed", SERVER, "EVAL"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hanging_exchange_times_out_and_its_connection_is_closed() {
    let case = RedisQueueCase::new("0");
    case.check(vec![Hang], Err(RedisEnqueueError::TimedOut), &[SERVER]).await;
    let start = tokio::time::Instant::now();
    case.check(vec![Connect, Hang], Err(RedisEnqueueError::TimedOut), &[SERVER, "EVAL", "closed"]).await;
    assert_eq!(start.elapsed(), Duration::from_millis(1_500));
    // A replacement connection does not extend the time limit.
    case.check(vec![Connect, appended()], Ok(()), &[SERVER, "EVAL"]).await;
    let start = tokio::time::Instant::now();
    let calls = ["EVAL", "closed", SERVER, "EVAL", "closed"];
    case.check(vec![Fail("x"), Connect, Hang], Err(RedisEnqueueError::TimedOut), &calls).await;
    assert_eq!(start.elapsed(), Duration::from_millis(1_500));
}

#[tokio::test]
async fn a_sync_is_waited_for_on_the_connection_that_wrote() {
    let case = RedisQueueCase::new("500");
    case.check(vec![Connect, appended(), synced(1)], Ok(()), &[SERVER, "EVAL", "WAITAOF"]).await;
    case.check(vec![appended(), synced(0)], Err(RedisEnqueueError::TimedOut), &["EVAL", "WAITAOF"]).await;
    case.check(vec![full()], Err(RedisEnqueueError::Full), &["EVAL"]).await;
    // A retry would not sync any sooner, and would append twice.
    case.check(vec![appended(), Fail("x")], failed(None), &["EVAL", "WAITAOF", "closed"]).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_not_sent() {
    let case = RedisQueueCase::new("0");
    let message = "x".repeat(chargegate_core::MAX_MESSAGE_BYTES + 1);
    assert_eq!(case.queue.enqueue(&case.settings, &message).await, Err(RedisEnqueueError::TooLarge));
    assert!(case.server.calls.take().is_empty());
}

#[test]
fn the_sync_timeout_is_sent_to_the_server() {
    let command = RedisCommand::wait_for_sync(Duration::from_millis(700));
    assert_eq!(
        command.arguments,
        [RedisArgument::Number(1), RedisArgument::Number(0), RedisArgument::Number(700)]
    );
}
