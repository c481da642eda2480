//! The interface between a component's engine and [`QueueInstance`](crate::QueueInstance).

use std::fmt;

use chargegate_core::EnqueueError;

use crate::settings::ComponentSettings;

/// A queue that a component puts messages on.
pub trait QueueEngine {
    /// The component's name, for operators.
    const NAME: &'static str;
    /// The settings of the engine.
    type Settings: ComponentSettings;
    /// The engine's own reasons for not confirming a message.
    type Error: QueueEngineError;

    /// Puts `message` on the queue; ready once the server has confirmed it.
    ///
    /// # Errors
    /// [`Self::Error`]: the message was not confirmed.
    fn enqueue(
        &self,
        settings: &Self::Settings,
        message: &str,
    ) -> impl Future<Output = Result<(), Self::Error>>;
}

/// An engine's reason for not confirming a message, displayed to operators.
pub trait QueueEngineError: fmt::Display {
    /// Returns the reason as the edge knows it.
    fn kind(&self) -> EnqueueError;

    /// Returns whether other settings may resolve the error, such as a renewed key. The settings are then read again.
    fn invalidates_settings(&self) -> bool;
}
