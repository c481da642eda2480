use std::collections::VecDeque;
use std::rc::Rc;

use super::*;
use crate::Argument;

/// A server that answers as it is told, one step for each call.
#[derive(Default)]
struct Told {
    steps: RefCell<VecDeque<Step>>,
    calls: RefCell<Vec<String>>,
}

enum Step {
    Connects,
    Answers(Vec<Reply>),
    Fails(&'static str),
    Hangs,
}

use Step::{Answers, Connects, Fails, Hangs};

impl Told {
    async fn step(&self, call: String) -> Result<Vec<Reply>, String> {
        self.calls.borrow_mut().push(call);
        let step = self.steps.borrow_mut().pop_front();
        tokio::task::yield_now().await;
        match step.expect("no such call was foreseen") {
            Connects => Ok(Vec::new()),
            Answers(answer) => Ok(answer),
            Fails(text) => Err(text.into()),
            Hangs => std::future::pending().await,
        }
    }
}

struct Dialled(Rc<Told>);

impl Server for Rc<Told> {
    type Connection = Dialled;

    async fn connect(&self, url: &str) -> Result<Dialled, String> {
        self.step(url.to_owned()).await.map(|_| Dialled(Rc::clone(self)))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Connection for Dialled {
    async fn execute(&self, command: Command) -> Result<Vec<Reply>, String> {
        self.0.step(command.name.to_owned()).await
    }
}

impl Drop for Dialled {
    fn drop(&mut self) {
        self.0.calls.borrow_mut().push("closed".into());
    }
}

struct Case {
    server: Rc<Told>,
    queue: Queue<Rc<Told>>,
    settings: Settings,
}

impl Case {
    fn new(waitaof: &str) -> Self {
        let server = Rc::new(Told::default());
        let settings = Settings::read(|name| match name {
            "queue_url" => Some("redis://h".into()),
            "queue_waitaof_ms" => Some(waitaof.into()),
            _ => None,
        });
        Self { queue: Queue::new(Rc::clone(&server)), server, settings: settings.unwrap() }
    }

    /// Enqueues; the server does `steps`, and is called as in `calls`.
    async fn check(&self, steps: Vec<Step>, expected: Result<(), QueueError>, calls: &[&str]) {
        self.server.steps.replace(steps.into());
        assert_eq!(self.queue.enqueue(&self.settings, "message").await, expected);
        assert!(self.server.steps.borrow().is_empty(), "a foreseen call was not made");
        assert_eq!(self.server.calls.take(), calls);
    }
}

const SERVER: &str = "redis://h/0";

fn appended() -> Step {
    Answers(vec![Reply::Number(1)])
}

fn full() -> Step {
    Answers(vec![Reply::Number(0)])
}

fn synced(files: i64) -> Step {
    Answers(vec![Reply::Number(files), Reply::Number(0)])
}

fn failed(code: Option<&str>) -> Result<(), QueueError> {
    Err(QueueError::Unavailable(Cause::Command(code.map(Into::into))))
}

#[tokio::test]
async fn a_connection_is_kept() {
    let case = Case::new("0");
    case.check(vec![Connects, appended()], Ok(()), &[SERVER, "EVAL"]).await;
    case.check(vec![appended()], Ok(()), &["EVAL"]).await;
    case.check(vec![full()], Err(QueueError::Full), &["EVAL"]).await;
    case.check(vec![appended()], Ok(()), &["EVAL"]).await;
}

#[tokio::test]
async fn a_kept_connection_that_fails_is_replaced_once() {
    let case = Case::new("0");
    case.check(vec![Connects, appended()], Ok(()), &[SERVER, "EVAL"]).await;
    case.check(vec![Fails("broken pipe"), Connects, appended()], Ok(()), &["EVAL", "closed", SERVER, "EVAL"])
        .await;
    case.check(
        vec![Answers(vec![Reply::Bytes(b"READONLY".into())]), Connects, Fails("LOADING: wait")],
        failed(Some("LOADING")),
        &["EVAL", "closed", SERVER, "EVAL", "closed"],
    )
    .await;
    case.check(vec![Connects, Fails("broken pipe")], failed(None), &[SERVER, "EVAL", "closed"]).await;
    let refused = Err(QueueError::Unavailable(Cause::Connect("refused".into())));
    case.check(vec![Fails("refused")], refused, &[SERVER]).await;
}

#[tokio::test]
async fn messages_beside_each_other_have_connections_of_their_own_and_lose_them_together() {
    let case = Case::new("0");
    case.server.steps.replace([Connects, Connects, appended(), appended()].into());
    let both = tokio::join!(
        case.queue.enqueue(&case.settings, "one"),
        case.queue.enqueue(&case.settings, "another")
    );
    assert_eq!(both, (Ok(()), Ok(())));
    assert_eq!(case.queue.idle.borrow().len(), 2);
    case.server.calls.take();
    case.check(
        vec![Fails("broken pipe"), Connects, appended()],
        Ok(()),
        &["EVAL", "closed", "closed", SERVER, "EVAL"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn whatever_hangs_is_given_up_in_time_and_its_connection_closed() {
    let case = Case::new("0");
    case.check(vec![Hangs], Err(QueueError::TimedOut), &[SERVER]).await;
    let start = tokio::time::Instant::now();
    case.check(vec![Connects, Hangs], Err(QueueError::TimedOut), &[SERVER, "EVAL", "closed"]).await;
    assert_eq!(start.elapsed(), Duration::from_millis(1_500));
    // A new connection gets no time of its own.
    case.check(vec![Connects, appended()], Ok(()), &[SERVER, "EVAL"]).await;
    let start = tokio::time::Instant::now();
    let calls = ["EVAL", "closed", SERVER, "EVAL", "closed"];
    case.check(vec![Fails("x"), Connects, Hangs], Err(QueueError::TimedOut), &calls).await;
    assert_eq!(start.elapsed(), Duration::from_millis(1_500));
}

#[tokio::test]
async fn a_sync_is_waited_for_on_the_connection_that_wrote() {
    let case = Case::new("500");
    case.check(vec![Connects, appended(), synced(1)], Ok(()), &[SERVER, "EVAL", "WAITAOF"]).await;
    case.check(vec![appended(), synced(0)], Err(QueueError::TimedOut), &["EVAL", "WAITAOF"]).await;
    case.check(vec![full()], Err(QueueError::Full), &["EVAL"]).await;
    // Repeating would wait no better, and append twice.
    case.check(vec![appended(), Fails("x")], failed(None), &["EVAL", "WAITAOF", "closed"]).await;
}

#[tokio::test]
async fn nothing_is_asked_for_a_message_that_is_too_large() {
    let case = Case::new("0");
    let message = "x".repeat(chargegate_core::MAX_MESSAGE_BYTES + 1);
    assert_eq!(case.queue.enqueue(&case.settings, &message).await, Err(QueueError::TooLarge));
    assert!(case.server.calls.take().is_empty());
}

#[test]
fn the_patience_for_a_sync_goes_to_the_server() {
    let command = Command::wait_for_sync(Duration::from_millis(700));
    assert_eq!(command.arguments, [Argument::Number(1), Argument::Number(0), Argument::Number(700)]);
}
