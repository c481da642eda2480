//! The error of an engine that cannot be opened.

use std::error::Error;
use std::fmt;

/// An engine cannot be opened. Displays the reason and the remedy.
#[derive(Debug)]
pub(crate) struct EngineOpenError {
    reason: Box<dyn Error + Send + Sync>,
    remedy: String,
}

impl EngineOpenError {
    /// Adds a remedy to the reason of an engine.
    pub(crate) fn new(reason: impl Error + Send + Sync + 'static, remedy: impl Into<String>) -> Self {
        Self { reason: Box::new(reason), remedy: remedy.into() }
    }
}

impl fmt::Display for EngineOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, ": {}", self.remedy) }
    }
}

impl Error for EngineOpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}
