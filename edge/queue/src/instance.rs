//! What outlives a request, as long as the host keeps the instance.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::error::QueueError;
use crate::setting::SettingError;

/// A queue, as a component brings it.
pub trait Engine {
    /// The component's name, for operators.
    const NAME: &'static str;
    /// The variables that are read.
    const VARIABLES: &'static [&'static str];
    /// What they say.
    type Settings;
    /// What makes the queue unavailable.
    type Cause: fmt::Display;

    /// Reads the settings; `lookup` gives the value of a variable, if it is set.
    ///
    /// # Errors
    /// [`SettingError`], naming the first malformed variable.
    fn settings(lookup: impl Fn(&str) -> Option<String>) -> Result<Self::Settings, SettingError>;

    /// Puts `message` on the queue.
    ///
    /// # Errors
    /// [`QueueError`].
    fn enqueue(
        &self,
        settings: &Self::Settings,
        message: &str,
    ) -> impl Future<Output = Result<(), QueueError<Self::Cause>>>;
}

/// What an instance needs of its host.
pub trait Host {
    /// The value of a variable, if it is defined.
    ///
    /// # Errors
    /// [`Unreadable`]: variables may come from a server of their own.
    fn variable(&self, name: &'static str) -> impl Future<Output = Result<Option<String>, Unreadable>>;

    /// Tells the operator.
    fn tell(&self, line: fmt::Arguments<'_>);
}

/// A variable cannot be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// A queue with its settings.
#[derive(Debug)]
pub struct Instance<E: Engine, H> {
    engine: E,
    host: H,
    settings: RefCell<Option<Rc<E::Settings>>>,
    works: Cell<bool>,
}

impl<E: Engine, H: Host> Instance<E, H> {
    /// An instance that has read nothing yet.
    pub const fn new(engine: E, host: H) -> Self {
        Self { engine, host, settings: RefCell::new(None), works: Cell::new(true) }
    }

    /// Puts `message` on the queue.
    ///
    /// # Errors
    /// [`QueueError`], told to the operator already where that is of use.
    pub async fn enqueue(&self, message: &str) -> Result<(), QueueError<()>> {
        let settings = match self.settings().await {
            Ok(settings) => settings,
            Err(reason) => {
                self.tell(&reason);
                return Err(QueueError::Unavailable(()));
            }
        };
        self.engine.enqueue(&settings, message).await.inspect(|()| self.works.set(true)).map_err(|error| {
            match error {
                QueueError::Full => {
                    self.works.set(true);
                    QueueError::Full
                }
                QueueError::TooLarge => QueueError::TooLarge,
                QueueError::TimedOut => {
                    self.tell(&"the server did not confirm in time");
                    QueueError::TimedOut
                }
                QueueError::Unavailable(cause) => {
                    self.tell(&cause);
                    // A password or a key may have been replaced since.
                    self.settings.take();
                    QueueError::Unavailable(())
                }
            }
        })
    }

    /// The settings, read once while all goes well. What cannot be read is tried again.
    async fn settings(&self) -> Result<Rc<E::Settings>, String> {
        if let Some(settings) = &*self.settings.borrow() {
            return Ok(Rc::clone(settings));
        }
        let mut values = Vec::with_capacity(E::VARIABLES.len());
        for name in E::VARIABLES {
            match self.host.variable(name).await {
                Ok(value) => values.extend(value.map(|value| (*name, value))),
                Err(Unreadable) => return Err(format!("the variable {name} cannot be read")),
            }
        }
        let value =
            |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let settings = Rc::new(E::settings(value).map_err(|error| error.to_string())?);
        // Another request may have read them at once.
        self.settings.replace(Some(Rc::clone(&settings)));
        Ok(settings)
    }

    /// Tells the operator why nothing is confirmed, once in an outage.
    fn tell(&self, reason: &dyn fmt::Display) {
        if self.works.replace(false) {
            self.host.tell(format_args!("{}: nothing is confirmed: {reason}", E::NAME));
        }
    }
}

#[cfg(test)]
mod tests;
