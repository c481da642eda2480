use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::settings::ComponentSettingsError;

/// An engine whose outcome is its setting.
struct ScriptedEngine;

/// An outcome other than a confirmation.
struct ScriptedError {
    kind: EnqueueError,
    invalidates_settings: bool,
}

impl fmt::Display for ScriptedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reason")
    }
}

impl QueueEngineError for ScriptedError {
    fn kind(&self) -> EnqueueError {
        self.kind
    }

    fn invalidates_settings(&self) -> bool {
        self.invalidates_settings
    }
}

struct ScriptedSettings(String);

impl ComponentSettings for ScriptedSettings {
    const VARIABLES: &'static [&'static str] = &["queue_outcome", "queue_other"];

    fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ComponentSettingsError> {
        assert_eq!(lookup("queue_other"), None);
        lookup("queue_outcome").map(Self).ok_or(ComponentSettingsError("queue_outcome is not set"))
    }
}

impl QueueEngine for ScriptedEngine {
    const NAME: &'static str = "queue-scripted";
    type Settings = ScriptedSettings;
    type Error = ScriptedError;

    async fn enqueue(&self, settings: &ScriptedSettings, _: &str) -> Result<(), ScriptedError> {
        let fail = |kind| Err(ScriptedError { kind, invalidates_settings: false });
        match &*settings.0 {
            "confirm" => Ok(()),
            "full" => fail(EnqueueError::Full),
            "too-large" => fail(EnqueueError::TooLarge),
            "timed-out" => fail(EnqueueError::TimedOut),
            "unavailable" => fail(EnqueueError::Unavailable),
            _ => {
                tokio::task::yield_now().await;
                Err(ScriptedError { kind: EnqueueError::Unavailable, invalidates_settings: true })
            }
        }
    }
}

/// The result of reading `queue_outcome`.
#[derive(Clone, Copy, Default)]
enum OutcomeVariable {
    #[default]
    Unset,
    Unreadable,
    Set(&'static str),
}

#[derive(Default)]
struct RecordingHost {
    outcome: Cell<OutcomeVariable>,
    /// The variables whose reading never ends.
    slow: Cell<&'static [&'static str]>,
    reads: RefCell<Vec<&'static str>>,
    lines: RefCell<Vec<String>>,
}

impl ComponentHost for Rc<RecordingHost> {
    async fn variable(&self, name: &'static str) -> Result<Option<String>, VariableError> {
        self.reads.borrow_mut().push(name);
        poll_fn(|_| if self.slow.get().contains(&name) { Poll::Pending } else { Poll::Ready(()) }).await;
        match self.outcome.get() {
            OutcomeVariable::Unreadable if name == "queue_outcome" => Err(VariableError),
            OutcomeVariable::Set(value) if name == "queue_outcome" => Ok(Some(value.to_owned())),
            _ => Ok(None),
        }
    }

    fn log(&self, line: fmt::Arguments<'_>) {
        self.lines.borrow_mut().push(line.to_string());
    }
}

fn instance(outcome: &'static str) -> (Rc<RecordingHost>, QueueInstance<ScriptedEngine, Rc<RecordingHost>>) {
    let host = Rc::new(RecordingHost::default());
    host.outcome.set(OutcomeVariable::Set(outcome));
    (Rc::clone(&host), QueueInstance::new(ScriptedEngine, host))
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

const VARIABLES: &[&str] = ScriptedSettings::VARIABLES;
const UNAVAILABLE: Result<(), EnqueueError> = Err(EnqueueError::Unavailable);

#[tokio::test]
async fn settings_are_read_once_while_messages_are_confirmed() {
    let (host, instance) = instance("confirm");
    for _ in 0..3 {
        assert_eq!(instance.enqueue("m").await, Ok(()));
    }
    assert_eq!(*host.reads.borrow(), VARIABLES);
    assert_eq!(host.lines.borrow().len(), 0);
}

#[test]
fn all_variables_are_read_concurrently() {
    let (host, instance) = instance("confirm");
    host.slow.set(&["queue_outcome"]);
    let mut enqueue = pin!(instance.enqueue("m"));
    assert_eq!(poll(enqueue.as_mut()), Poll::Pending);
    assert_eq!(*host.reads.borrow(), VARIABLES);
    host.slow.take();
    assert_eq!(poll(enqueue), Poll::Ready(Ok(())));
}

#[tokio::test]
async fn variables_read_by_a_cancelled_request_are_kept_for_the_next() {
    let (host, instance) = instance("confirm");
    host.slow.set(&["queue_other"]);
    assert_eq!(poll(pin!(instance.enqueue("m"))), Poll::Pending);
    host.slow.take();
    host.reads.take();
    assert_eq!(instance.enqueue("m").await, Ok(()));
    assert_eq!(*host.reads.borrow(), ["queue_other"]);
}

#[tokio::test]
async fn settings_are_read_again_after_an_error_that_invalidates_them() {
    let (host, instance) = instance("refused");
    assert_eq!(instance.enqueue("m").await, UNAVAILABLE);
    host.outcome.set(OutcomeVariable::Set("confirm"));
    assert_eq!(instance.enqueue("m").await, Ok(()));
}

#[tokio::test]
async fn settings_are_kept_in_an_outage() {
    for outcome in ["unavailable", "timed-out", "full"] {
        let (host, instance) = instance(outcome);
        for _ in 0..3 {
            assert!(instance.enqueue("m").await.is_err());
        }
        assert_eq!(*host.reads.borrow(), VARIABLES, "{outcome}");
    }
}

#[test]
fn concurrent_refusals_have_the_settings_read_again_once() {
    let (host, instance) = instance("refused");
    let (mut one, mut another) = (pin!(instance.enqueue("m")), pin!(instance.enqueue("m")));
    assert!(poll(one.as_mut()).is_pending() && poll(another.as_mut()).is_pending());
    host.reads.take();
    host.outcome.set(OutcomeVariable::Set("confirm"));
    assert_eq!(poll(one), Poll::Ready(UNAVAILABLE));
    assert_eq!(poll(pin!(instance.enqueue("m"))), Poll::Ready(Ok(())));
    assert_eq!(poll(another), Poll::Ready(UNAVAILABLE));
    assert_eq!(poll(pin!(instance.enqueue("m"))), Poll::Ready(Ok(())));
    assert_eq!(*host.reads.borrow(), VARIABLES);
}

#[test]
fn concurrent_reads_share_one_settings_value() {
    let (host, instance) = instance("refused");
    host.slow.set(&["queue_other"]);
    let (mut one, mut another) = (pin!(instance.enqueue("m")), pin!(instance.enqueue("m")));
    assert!(poll(one.as_mut()).is_pending() && poll(another.as_mut()).is_pending());
    host.slow.take();
    assert!(poll(one.as_mut()).is_pending() && poll(another.as_mut()).is_pending());
    host.outcome.set(OutcomeVariable::Set("confirm"));
    assert_eq!(poll(one), Poll::Ready(UNAVAILABLE));
    assert_eq!(poll(pin!(instance.enqueue("m"))), Poll::Ready(Ok(())));
}

#[test]
fn variables_read_alongside_refused_settings_are_read_again_too() {
    let (host, instance) = instance("refused");
    host.slow.set(VARIABLES);
    let mut another = Box::pin(instance.enqueue("m"));
    assert!(poll(another.as_mut()).is_pending());
    host.slow.take();
    let mut one = pin!(instance.enqueue("m"));
    assert!(poll(one.as_mut()).is_pending());
    host.slow.set(&["queue_other"]);
    assert!(poll(another.as_mut()).is_pending());
    drop(another);
    host.slow.take();
    host.outcome.set(OutcomeVariable::Set("confirm"));
    assert_eq!(poll(one), Poll::Ready(UNAVAILABLE));
    assert_eq!(poll(pin!(instance.enqueue("m"))), Poll::Ready(Ok(())));
}

#[tokio::test]
async fn an_outage_is_logged_once_and_the_next_one_again() {
    let (host, instance) = instance("refused");
    for outcome in ["refused", "refused", "confirm", "refused"] {
        host.outcome.set(OutcomeVariable::Set(outcome));
        instance.settings.take();
        let _ = instance.enqueue("m").await;
    }
    let line = "queue-scripted: queue unavailable: a reason";
    assert_eq!(*host.lines.borrow(), [line, line]);
}

#[tokio::test]
async fn only_outages_are_logged() {
    for (outcome, expected) in [("full", EnqueueError::Full), ("too-large", EnqueueError::TooLarge)] {
        let (host, instance) = instance(outcome);
        assert_eq!(instance.enqueue("m").await, Err(expected));
        assert_eq!(host.lines.borrow().len(), 0);
    }
    let (host, instance) = instance("timed-out");
    assert_eq!(instance.enqueue("m").await, Err(EnqueueError::TimedOut));
    assert_eq!(host.lines.borrow().len(), 1);
}

#[tokio::test]
async fn invalid_settings_are_logged_and_read_again() {
    let (host, instance) = instance("");
    for (variable, reason) in [
        (OutcomeVariable::Unreadable, "the variable queue_outcome cannot be read"),
        (OutcomeVariable::Unset, "queue_outcome is not set"),
    ] {
        host.outcome.set(variable);
        assert_eq!(instance.enqueue("m").await, Err(EnqueueError::Unavailable));
        assert_eq!(host.lines.take(), [format!("queue-scripted: queue unavailable: {reason}")]);
        host.outcome.set(OutcomeVariable::Set("confirm"));
        assert_eq!(instance.enqueue("m").await, Ok(()));
        instance.settings.take();
    }
}
