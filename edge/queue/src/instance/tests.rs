use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use super::*;

/// Does what its setting says.
struct Told;

/// A cause: whether it lies in the settings.
#[derive(Debug)]
struct Reason(bool);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cause")
    }
}

impl Cause for Reason {
    fn lies_in_settings(&self) -> bool {
        self.0
    }
}

impl Engine for Told {
    const NAME: &'static str = "queue-told";
    const VARIABLES: &'static [&'static str] = &["queue_does", "queue_other"];
    type Settings = String;
    type Cause = Reason;

    fn settings(lookup: impl Fn(&str) -> Option<String>) -> Result<String, SettingError> {
        assert_eq!(lookup("queue_other"), None);
        lookup("queue_does").ok_or(SettingError("queue_does is not set"))
    }

    async fn enqueue(&self, settings: &String, _: &str) -> Result<(), QueueError<Reason>> {
        match &**settings {
            "confirm" => Ok(()),
            "fill" => Err(QueueError::Full),
            "grow" => Err(QueueError::TooLarge),
            "hang" => Err(QueueError::TimedOut),
            "fail" => Err(QueueError::Unavailable(Reason(false))),
            _ => {
                tokio::task::yield_now().await;
                Err(QueueError::Unavailable(Reason(true)))
            }
        }
    }
}

/// What becomes of reading `queue_does`.
#[derive(Clone, Copy, Default)]
enum Does {
    #[default]
    Unset,
    Unreadable,
    Is(&'static str),
}

#[derive(Default)]
struct Operator {
    does: Cell<Does>,
    /// The variables whose reading takes for ever.
    slow: Cell<&'static [&'static str]>,
    reads: RefCell<Vec<&'static str>>,
    lines: RefCell<Vec<String>>,
}

impl Host for Rc<Operator> {
    async fn variable(&self, name: &'static str) -> Result<Option<String>, Unreadable> {
        self.reads.borrow_mut().push(name);
        poll_fn(|_| if self.slow.get().contains(&name) { Poll::Pending } else { Poll::Ready(()) }).await;
        match self.does.get() {
            Does::Unreadable if name == "queue_does" => Err(Unreadable),
            Does::Is(value) if name == "queue_does" => Ok(Some(value.to_owned())),
            _ => Ok(None),
        }
    }

    fn tell(&self, line: fmt::Arguments<'_>) {
        self.lines.borrow_mut().push(line.to_string());
    }
}

fn instance(does: &'static str) -> (Rc<Operator>, Instance<Told, Rc<Operator>>) {
    let operator = Rc::new(Operator::default());
    operator.does.set(Does::Is(does));
    (Rc::clone(&operator), Instance::new(Told, operator))
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

const UNAVAILABLE: Result<(), QueueError<()>> = Err(QueueError::Unavailable(()));

#[tokio::test]
async fn settings_are_read_once_while_all_goes_well() {
    let (operator, instance) = instance("confirm");
    for _ in 0..3 {
        assert_eq!(instance.enqueue("m").await, Ok(()));
    }
    assert_eq!(*operator.reads.borrow(), Told::VARIABLES);
    assert_eq!(operator.lines.borrow().len(), 0);
}

#[test]
fn all_variables_are_asked_for_before_the_first_is_there() {
    let (operator, instance) = instance("confirm");
    operator.slow.set(&["queue_does"]);
    let mut enqueue = pin!(instance.enqueue("m"));
    assert_eq!(poll(enqueue.as_mut()), Poll::Pending);
    assert_eq!(*operator.reads.borrow(), Told::VARIABLES);
    operator.slow.take();
    assert_eq!(poll(enqueue), Poll::Ready(Ok(())));
}

#[tokio::test]
async fn what_a_request_has_read_before_it_was_given_up_is_known_to_the_next() {
    let (operator, instance) = instance("confirm");
    operator.slow.set(&["queue_other"]);
    assert_eq!(poll(pin!(instance.enqueue("m"))), Poll::Pending);
    operator.slow.take();
    operator.reads.take();
    assert_eq!(instance.enqueue("m").await, Ok(()));
    assert_eq!(*operator.reads.borrow(), ["queue_other"]);
}

#[tokio::test]
async fn settings_are_read_anew_when_the_cause_lies_in_them() {
    let (operator, instance) = instance("refuse");
    assert_eq!(instance.enqueue("m").await, UNAVAILABLE);
    operator.does.set(Does::Is("confirm"));
    assert_eq!(instance.enqueue("m").await, Ok(()));
}

#[tokio::test]
async fn settings_are_kept_in_an_outage() {
    for does in ["fail", "hang", "fill"] {
        let (operator, instance) = instance(does);
        for _ in 0..3 {
            assert!(instance.enqueue("m").await.is_err());
        }
        assert_eq!(*operator.reads.borrow(), Told::VARIABLES, "{does}");
    }
}

#[test]
fn requests_that_are_refused_together_have_the_settings_read_anew_once() {
    let (operator, instance) = instance("refuse");
    let (mut one, mut another) = (pin!(instance.enqueue("m")), pin!(instance.enqueue("m")));
    assert!(poll(one.as_mut()).is_pending() && poll(another.as_mut()).is_pending());
    operator.reads.take();
    operator.does.set(Does::Is("confirm"));
    assert_eq!(poll(one), Poll::Ready(UNAVAILABLE));
    assert_eq!(poll(pin!(instance.enqueue("m"))), Poll::Ready(Ok(())));
    assert_eq!(poll(another), Poll::Ready(UNAVAILABLE));
    assert_eq!(poll(pin!(instance.enqueue("m"))), Poll::Ready(Ok(())));
    assert_eq!(*operator.reads.borrow(), Told::VARIABLES);
}

#[test]
fn requests_that_read_at_once_go_by_the_same_settings() {
    let (operator, instance) = instance("refuse");
    operator.slow.set(&["queue_other"]);
    let (mut one, mut another) = (pin!(instance.enqueue("m")), pin!(instance.enqueue("m")));
    assert!(poll(one.as_mut()).is_pending() && poll(another.as_mut()).is_pending());
    operator.slow.take();
    assert!(poll(one.as_mut()).is_pending() && poll(another.as_mut()).is_pending());
    operator.does.set(Does::Is("confirm"));
    assert_eq!(poll(one), Poll::Ready(UNAVAILABLE));
    assert_eq!(poll(pin!(instance.enqueue("m"))), Poll::Ready(Ok(())));
}

#[test]
fn what_was_read_beside_refused_settings_is_read_anew_too() {
    let (operator, instance) = instance("refuse");
    operator.slow.set(Told::VARIABLES);
    let mut another = Box::pin(instance.enqueue("m"));
    assert!(poll(another.as_mut()).is_pending());
    operator.slow.take();
    let mut one = pin!(instance.enqueue("m"));
    assert!(poll(one.as_mut()).is_pending());
    operator.slow.set(&["queue_other"]);
    assert!(poll(another.as_mut()).is_pending());
    drop(another);
    operator.slow.take();
    operator.does.set(Does::Is("confirm"));
    assert_eq!(poll(one), Poll::Ready(UNAVAILABLE));
    assert_eq!(poll(pin!(instance.enqueue("m"))), Poll::Ready(Ok(())));
}

#[tokio::test]
async fn an_outage_is_told_once_and_the_next_one_again() {
    let (operator, instance) = instance("refuse");
    for does in ["refuse", "refuse", "confirm", "refuse"] {
        operator.does.set(Does::Is(does));
        instance.settings.take();
        let _ = instance.enqueue("m").await;
    }
    let line = "queue-told: nothing is confirmed: a cause";
    assert_eq!(*operator.lines.borrow(), [line, line]);
}

#[tokio::test]
async fn what_is_no_outage_is_not_told() {
    for (does, expected) in [("fill", QueueError::Full), ("grow", QueueError::TooLarge)] {
        let (operator, instance) = instance(does);
        assert_eq!(instance.enqueue("m").await, Err(expected));
        assert_eq!(operator.lines.borrow().len(), 0);
    }
    let (operator, instance) = instance("hang");
    assert_eq!(instance.enqueue("m").await, Err(QueueError::TimedOut));
    assert_eq!(operator.lines.borrow().len(), 1);
}

#[tokio::test]
async fn settings_that_cannot_be_are_told_and_read_again() {
    let (operator, instance) = instance("");
    for (does, reason) in
        [(Does::Unreadable, "the variable queue_does cannot be read"), (Does::Unset, "queue_does is not set")]
    {
        operator.does.set(does);
        assert_eq!(instance.enqueue("m").await, Err(QueueError::Unavailable(())));
        assert_eq!(operator.lines.take(), [format!("queue-told: nothing is confirmed: {reason}")]);
        operator.does.set(Does::Is("confirm"));
        assert_eq!(instance.enqueue("m").await, Ok(()));
        instance.settings.take();
    }
}
