//! What outlives a request, as long as the host keeps the instance.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::error::QueueError;
use crate::setting::SettingError;
use crate::together::together;

/// A queue, as a component brings it.
pub trait Engine {
    /// The component's name, for operators.
    const NAME: &'static str;
    /// The variables that are read.
    const VARIABLES: &'static [&'static str];
    /// What they say.
    type Settings;
    /// What makes the queue unavailable.
    type Cause: Cause;

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

/// What makes a queue unavailable, in words for operators.
pub trait Cause: fmt::Display {
    /// Whether other settings may mend it, like another key: then they are read anew.
    fn lies_in_settings(&self) -> bool;
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
pub struct Instance<E: Engine, H> {
    engine: E,
    host: H,
    settings: RefCell<Option<Rc<E::Settings>>>,
    /// What is known of the variables until they make settings: a request that is given up leaves them to the next.
    values: RefCell<Vec<(&'static str, Option<String>)>>,
    works: Cell<bool>,
}

impl<E: Engine, H: Host> Instance<E, H> {
    /// An instance that has read nothing yet.
    pub const fn new(engine: E, host: H) -> Self {
        Self {
            engine,
            host,
            settings: RefCell::new(None),
            values: RefCell::new(Vec::new()),
            works: Cell::new(true),
        }
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
                    if cause.lies_in_settings() {
                        self.forget(&settings);
                    }
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
        let values = together(E::VARIABLES.iter().map(|name| self.value(name))).await;
        let values = values.into_iter().collect::<Result<Vec<_>, _>>();
        let values = values.map_err(|name| format!("the variable {name} cannot be read"))?;
        // They become settings, or cannot: in either case the next settings are to be made of new ones.
        self.values.take();
        let value = |name: &str| {
            let mut known = E::VARIABLES.iter().zip(&values);
            known.find(|(known, _)| **known == name).and_then(|(_, value)| value.clone())
        };
        let settings = Rc::new(E::settings(value).map_err(|error| error.to_string())?);
        // Another request may have read them at once: both go by the same.
        Ok(Rc::clone(self.settings.borrow_mut().get_or_insert(settings)))
    }

    /// The value of a variable, read unless it is known; else its name.
    async fn value(&self, name: &'static str) -> Result<Option<String>, &'static str> {
        if let Some((_, value)) = self.values.borrow().iter().find(|(known, _)| *known == name) {
            return Ok(value.clone());
        }
        let value = self.host.variable(name).await.map_err(|Unreadable| name)?;
        self.values.borrow_mut().push((name, value.clone()));
        Ok(value)
    }

    /// Has the settings read anew, unless others have replaced those that were `refused`.
    fn forget(&self, refused: &Rc<E::Settings>) {
        let mut settings = self.settings.borrow_mut();
        if settings.as_ref().is_some_and(|settings| Rc::ptr_eq(settings, refused)) {
            *settings = None;
            // A request that began to read before they were made may have left values as old.
            self.values.take();
        }
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
