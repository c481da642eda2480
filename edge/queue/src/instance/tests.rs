use super::*;

/// Does what its setting says.
struct Told;

impl Engine for Told {
    const NAME: &'static str = "queue-told";
    const VARIABLES: &'static [&'static str] = &["queue_does", "queue_other"];
    type Settings = String;
    type Cause = &'static str;

    fn settings(lookup: impl Fn(&str) -> Option<String>) -> Result<String, SettingError> {
        assert_eq!(lookup("queue_other"), None);
        lookup("queue_does").ok_or(SettingError("queue_does is not set"))
    }

    async fn enqueue(&self, settings: &String, _: &str) -> Result<(), QueueError<&'static str>> {
        match &**settings {
            "confirm" => Ok(()),
            "fill" => Err(QueueError::Full),
            "grow" => Err(QueueError::TooLarge),
            "hang" => Err(QueueError::TimedOut),
            _ => Err(QueueError::Unavailable("a cause")),
        }
    }
}

#[derive(Default)]
struct Operator {
    /// `None` cannot be read.
    does: RefCell<Option<Option<&'static str>>>,
    reads: Cell<usize>,
    lines: RefCell<Vec<String>>,
}

impl Host for Rc<Operator> {
    async fn variable(&self, name: &'static str) -> Result<Option<String>, Unreadable> {
        if name != "queue_does" {
            return Ok(None);
        }
        self.reads.set(self.reads.get() + 1);
        self.does.borrow().map(|does| does.map(Into::into)).ok_or(Unreadable)
    }

    fn tell(&self, line: fmt::Arguments<'_>) {
        self.lines.borrow_mut().push(line.to_string());
    }
}

fn instance(does: &'static str) -> (Rc<Operator>, Instance<Told, Rc<Operator>>) {
    let operator = Rc::new(Operator::default());
    operator.does.replace(Some(Some(does)));
    (Rc::clone(&operator), Instance::new(Told, operator))
}

#[tokio::test]
async fn settings_are_read_once_while_all_goes_well() {
    let (operator, instance) = instance("confirm");
    for _ in 0..3 {
        assert_eq!(instance.enqueue("m").await, Ok(()));
    }
    assert_eq!((operator.reads.get(), &**operator.lines.borrow()), (1, &[] as &[String]));
}

#[tokio::test]
async fn settings_are_read_anew_when_the_queue_is_unavailable() {
    let (operator, instance) = instance("refuse");
    assert_eq!(instance.enqueue("m").await, Err(QueueError::Unavailable(())));
    operator.does.replace(Some(Some("confirm")));
    assert_eq!(instance.enqueue("m").await, Ok(()));
}

#[tokio::test]
async fn an_outage_is_told_once_and_the_next_one_again() {
    let (operator, instance) = instance("refuse");
    for does in ["refuse", "refuse", "confirm", "refuse"] {
        operator.does.replace(Some(Some(does)));
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
        [(None, "the variable queue_does cannot be read"), (Some(None), "queue_does is not set")]
    {
        operator.does.replace(does);
        assert_eq!(instance.enqueue("m").await, Err(QueueError::Unavailable(())));
        assert_eq!(operator.lines.take(), [format!("queue-told: nothing is confirmed: {reason}")]);
        operator.does.replace(Some(Some("confirm")));
        assert_eq!(instance.enqueue("m").await, Ok(()));
        instance.settings.take();
    }
}
