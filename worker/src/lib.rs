//! The worker: takes accepted requests from a queue, asks the authorization service at a pace it can bear,
//! records each decision, and calls back until the callback arrives.

mod authorizer;
mod bounded;
mod callback;
pub mod cloudflare;
mod effects;
mod error;
#[cfg(test)]
mod fakes;
mod gather;
mod history;
pub mod inspect;
mod metric;
mod ops;
mod outage;
mod persist;
mod pipeline;
mod polled;
pub mod postgres;
pub mod queue;
mod reconcile;
pub mod redis;
mod retry_after;
pub mod sqlite;
pub mod sqs;
pub mod store;
mod watched;
mod worker;

pub use authorizer::{AclUrl, AclUrlError, Authorizer, HttpAuthorizer, NoAnswer, Question};
pub use callback::{CallbackClient, CallbackClientError, DeliverySettings, Resolve, SystemResolver};
pub use effects::{Clock, Effects, Random, SystemClock, SystemRandom};
pub use error::{EngineError, Fate};
pub use history::{Advance, HistoryWatch, Observation, Observe, Remember, Watermark};
pub use ops::{MetricsError, Ops, install_metrics};
pub use pipeline::{Parts, PipelineSettings};
pub use reconcile::{Reconciliation, SequenceRange, reconcile, reconcile_uncounted};
pub use worker::{Worker, WorkerSettings};
