use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::*;

/// A service that answers as it is told, one step for each request.
#[derive(Default)]
struct Told {
    steps: RefCell<VecDeque<Step>>,
    posts: RefCell<Vec<Post>>,
    now: Cell<UnixMillis>,
}

enum Step {
    Answers(u16, &'static str),
    Fails(NoAnswer),
    Hangs,
}

use Step::{Answers, Fails, Hangs};

impl Service for Rc<Told> {
    async fn post(&self, request: Post) -> Result<Answer, NoAnswer> {
        self.posts.borrow_mut().push(request);
        let step = self.steps.borrow_mut().pop_front();
        tokio::task::yield_now().await;
        match step.expect("no such request was foreseen") {
            Answers(status, body) => Ok(Answer { status, date: None, body: body.into() }),
            Fails(error) => Err(error),
            Hangs => std::future::pending().await,
        }
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn now(&self) -> UnixMillis {
        self.now.replace(self.now.get().plus(Duration::from_secs(1)))
    }
}

const TAKEN: &str = r#"{"MessageId":"5fea7756"}"#;

/// Enqueues; the service does `steps`, all of them.
async fn check(steps: Vec<Step>, expected: Result<(), QueueError>) -> Vec<Post> {
    let service = Rc::new(Told::default());
    service.steps.replace(steps.into());
    let settings = Settings::read(|name| {
        let value = match name {
            "queue_url" => "http://h",
            "queue_path" => "/1/q",
            "aws_region" => "r",
            "aws_access_key_id" | "aws_secret_access_key" => "k",
            _ => return None,
        };
        Some(value.to_owned())
    });
    let queue = Queue::new(Rc::clone(&service));
    assert_eq!(queue.enqueue(&settings.unwrap(), "message").await, expected);
    assert!(service.steps.borrow().is_empty(), "a foreseen request was not made");
    service.posts.take()
}

fn no_answer(text: &'static str) -> Result<(), QueueError> {
    Err(QueueError::Unavailable(Cause::NoAnswer(text)))
}

#[tokio::test]
async fn a_message_is_confirmed_by_one_request() {
    let posts = check(vec![Answers(200, TAKEN)], Ok(())).await;
    assert_eq!(posts.len(), 1);
}

#[tokio::test]
async fn a_broken_connection_is_made_good_for_once() {
    let posts = check(vec![Fails(NoAnswer::Broken), Answers(200, TAKEN)], Ok(())).await;
    let [first, second] = &*posts else { panic!("two requests") };
    assert_eq!(first.body, second.body);
    assert_ne!(first.headers, second.headers, "each is signed for its own moment");
    check(vec![Fails(NoAnswer::Broken), Fails(NoAnswer::Broken)], no_answer("it breaks off")).await;
}

#[tokio::test]
async fn nothing_else_is_tried_again() {
    check(vec![Fails(NoAnswer::Failed("gone"))], no_answer("gone")).await;
    check(vec![Fails(NoAnswer::TimedOut)], Err(QueueError::TimedOut)).await;
    let refused = Cause::Refused { status: 500, code: None };
    check(vec![Answers(500, "")], Err(QueueError::Unavailable(refused))).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_hangs_is_given_up_in_time() {
    for steps in [vec![Hangs], vec![Fails(NoAnswer::Broken), Hangs]] {
        let start = tokio::time::Instant::now();
        check(steps, Err(QueueError::TimedOut)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(1_500));
    }
}

#[tokio::test]
async fn nothing_is_asked_for_a_message_that_is_too_large() {
    let service = Rc::new(Told::default());
    let settings = Settings::read(|name| match name {
        "queue_url" => Some("http://h".into()),
        "queue_path" => Some("/1/q".into()),
        "queue_timeout_ms" => None,
        _ => Some("k".into()),
    });
    let message = "x".repeat(MAX_MESSAGE_BYTES + 1);
    let queue = Queue::new(Rc::clone(&service));
    let settings = settings.unwrap();
    assert_eq!(queue.enqueue(&settings, &message).await, Err(QueueError::TooLarge));
    assert!(service.posts.take().is_empty());
}
