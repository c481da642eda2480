use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use chargegate_queue::ComponentSettings as _;

use super::*;

/// A service that plays a script, one step per request.
#[derive(Default)]
struct ScriptedSqs {
    steps: RefCell<VecDeque<SqsStep>>,
    requests: RefCell<Vec<SqsRequest>>,
    now: Cell<UnixMillis>,
}

enum SqsStep {
    Respond(u16, &'static str),
    Fail(SqsTransportError),
    Hang,
}

use SqsStep::{Fail, Hang, Respond};

impl SqsTransport for Rc<ScriptedSqs> {
    async fn post(&self, request: SqsRequest) -> Result<SqsResponse, SqsTransportError> {
        self.requests.borrow_mut().push(request);
        let step = self.steps.borrow_mut().pop_front();
        tokio::task::yield_now().await;
        match step.expect("the script has a step for every request") {
            Respond(status, body) => Ok(SqsResponse { status, date: None, body: body.into() }),
            Fail(error) => Err(error),
            Hang => std::future::pending().await,
        }
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn now(&self) -> UnixMillis {
        self.now.replace(self.now.get().plus(Duration::from_secs(1)))
    }
}

const CONFIRMATION: &str = r#"{"MessageId":"5fea7756"}"#;

/// Enqueues a message while the service plays all of `steps`, and returns the requests.
async fn check(steps: Vec<SqsStep>, expected: Result<(), SqsEnqueueError>) -> Vec<SqsRequest> {
    let service = Rc::new(ScriptedSqs::default());
    service.steps.replace(steps.into());
    let settings = SqsQueueSettings::read(|name| {
        let value = match name {
            "queue_url" => "http://h",
            "queue_path" => "/1/q",
            "aws_region" => "r",
            "aws_access_key_id" | "aws_secret_access_key" => "k",
            _ => return None,
        };
        Some(value.to_owned())
    });
    let queue = SqsQueue::new(Rc::clone(&service));
    assert_eq!(queue.enqueue(&settings.unwrap(), "message").await, expected);
    assert!(service.steps.borrow().is_empty(), "the script has steps left");
    service.requests.take()
}

fn no_response(reason: &'static str) -> Result<(), SqsEnqueueError> {
    Err(SqsEnqueueError::NoResponse(reason))
}

#[tokio::test]
async fn a_message_is_confirmed_by_one_request() {
    let requests = check(vec![Respond(200, CONFIRMATION)], Ok(())).await;
    assert_eq!(requests.len(), 1);
}

#[tokio::test]
async fn a_broken_connection_is_replaced_once() {
    let requests = check(vec![Fail(SqsTransportError::Broken), Respond(200, CONFIRMATION)], Ok(())).await;
    let [first, second] = &*requests else { panic!("two requests") };
    assert_eq!(first.body, second.body);
    assert_ne!(first.headers, second.headers, "each request is signed for its own time");
    check(
        vec![Fail(SqsTransportError::Broken), Fail(SqsTransportError::Broken)],
        no_response("the connection broke"),
    )
    .await;
}

#[tokio::test]
async fn nothing_else_is_retried() {
    check(vec![Fail(SqsTransportError::Failed("gone"))], no_response("gone")).await;
    check(vec![Fail(SqsTransportError::TimedOut)], Err(SqsEnqueueError::TimedOut)).await;
    let refused = SqsEnqueueError::Refused { status: 500, code: None };
    check(vec![Respond(500, "")], Err(refused)).await;
}

#[tokio::test(start_paused = true)]
async fn a_hanging_exchange_times_out() {
    for steps in [vec![Hang], vec![Fail(SqsTransportError::Broken), Hang]] {
        let start = tokio::time::Instant::now();
        check(steps, Err(SqsEnqueueError::TimedOut)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(1_500));
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_not_sent() {
    let service = Rc::new(ScriptedSqs::default());
    let settings = SqsQueueSettings::read(|name| match name {
        "queue_url" => Some("http://h".into()),
        "queue_path" => Some("/1/q".into()),
        "queue_timeout_ms" => None,
        _ => Some("k".into()),
    });
    let message = "x".repeat(MAX_MESSAGE_BYTES + 1);
    let queue = SqsQueue::new(Rc::clone(&service));
    let settings = settings.unwrap();
    assert_eq!(queue.enqueue(&settings, &message).await, Err(SqsEnqueueError::TooLarge));
    assert!(service.requests.take().is_empty());
}
