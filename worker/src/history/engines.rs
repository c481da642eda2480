//! The engines that keep and remember a history.

use async_trait::async_trait;

use super::{Observation, Observe, Remember, Watermark};
use crate::error::EngineError;
use crate::{postgres, redis};

#[async_trait]
impl Observe for redis::Engine {
    async fn observe(&self, known_beat: u64) -> Result<Observation, EngineError> {
        self.observe(known_beat).await
    }
}

#[async_trait]
impl Remember for postgres::Engine {
    async fn watermark(&self) -> Result<Watermark, EngineError> {
        self.watermark().await
    }

    async fn note(&self, was: Watermark, now: Watermark) -> Result<bool, EngineError> {
        self.note(was, now).await
    }
}
