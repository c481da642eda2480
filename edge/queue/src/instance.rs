//! The state of a component between requests, for as long as the host keeps the instance.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use chargegate_core::EnqueueError;
use futures_util::future::join_all;

use crate::engine::{QueueEngine, QueueEngineError};
use crate::settings::ComponentSettings;

/// The host of a queue component: its variables and its log.
pub trait ComponentHost {
    /// Returns the value of a variable, if it is defined.
    ///
    /// # Errors
    /// [`VariableError`]: variables may come from a server, which may be down.
    fn variable(&self, name: &'static str) -> impl Future<Output = Result<Option<String>, VariableError>>;

    /// Writes a line to the operator's log.
    fn log(&self, line: fmt::Arguments<'_>);
}

/// A variable that cannot be read at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariableError;

/// A queue engine with its settings.
pub struct QueueInstance<E: QueueEngine, H> {
    engine: E,
    host: H,
    settings: RefCell<Option<Rc<E::Settings>>>,
    /// The variables read so far, until they become settings: a cancelled request leaves them to the next.
    values: RefCell<Vec<(&'static str, Option<String>)>>,
    is_available: Cell<bool>,
}

impl<E: QueueEngine, H: ComponentHost> QueueInstance<E, H> {
    /// Creates an instance that has not read its settings yet.
    pub const fn new(engine: E, host: H) -> Self {
        Self {
            engine,
            host,
            settings: RefCell::new(None),
            values: RefCell::new(Vec::new()),
            is_available: Cell::new(true),
        }
    }

    /// Puts `message` on the queue, and logs the start of an outage.
    ///
    /// # Errors
    /// [`EnqueueError`]: the message was not confirmed.
    pub async fn enqueue(&self, message: &str) -> Result<(), EnqueueError> {
        let settings = self.settings().await.map_err(|reason| {
            self.log_outage(&reason);
            EnqueueError::Unavailable
        })?;
        let Err(error) = self.engine.enqueue(&settings, message).await else {
            self.is_available.set(true);
            return Ok(());
        };
        let kind = error.kind();
        match kind {
            EnqueueError::Full => self.is_available.set(true),
            EnqueueError::TooLarge => {}
            EnqueueError::TimedOut | EnqueueError::Unavailable => self.log_outage(&error),
        }
        if error.invalidates_settings() {
            self.discard_settings(&settings);
        }
        Err(kind)
    }

    /// Returns the settings, read once unless they are discarded. A failed read is repeated by the next request.
    async fn settings(&self) -> Result<Rc<E::Settings>, String> {
        if let Some(settings) = &*self.settings.borrow() {
            return Ok(Rc::clone(settings));
        }
        let variables = E::Settings::VARIABLES;
        let values = join_all(variables.iter().map(|name| self.value(name))).await;
        let values = values.into_iter().collect::<Result<Vec<_>, _>>();
        let values = values.map_err(|name| format!("the variable {name} cannot be read"))?;
        // Whether or not they make valid settings, the next settings have to be made of newly read values.
        self.values.take();
        let value = |name: &str| {
            let mut known = variables.iter().zip(&values);
            known.find(|(known, _)| **known == name).and_then(|(_, value)| value.clone())
        };
        let settings = Rc::new(E::Settings::read(value).map_err(|error| error.to_string())?);
        // A concurrent request may have read them too: both use the same.
        Ok(Rc::clone(self.settings.borrow_mut().get_or_insert(settings)))
    }

    /// Returns the value of a variable, read unless it is known already; the name of a variable that cannot be read.
    async fn value(&self, name: &'static str) -> Result<Option<String>, &'static str> {
        if let Some((_, value)) = self.values.borrow().iter().find(|(known, _)| *known == name) {
            return Ok(value.clone());
        }
        let value = self.host.variable(name).await.map_err(|VariableError| name)?;
        self.values.borrow_mut().push((name, value.clone()));
        Ok(value)
    }

    /// Has the settings read again, unless another request has replaced the `refused` ones already.
    fn discard_settings(&self, refused: &Rc<E::Settings>) {
        let mut settings = self.settings.borrow_mut();
        if settings.as_ref().is_some_and(|settings| Rc::ptr_eq(settings, refused)) {
            *settings = None;
            // A request that began to read before these settings were made may have left values as old as they are.
            self.values.take();
        }
    }

    /// Logs the reason of an outage, once per outage.
    fn log_outage(&self, reason: &dyn fmt::Display) {
        if self.is_available.replace(false) {
            self.host.log(format_args!("{}: queue unavailable: {reason}", E::NAME));
        }
    }
}

#[cfg(test)]
mod tests;
