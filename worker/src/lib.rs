//! The worker: takes accepted requests from a queue, asks the authorization service at a pace it can bear,
//! records each decision, and calls back until the callback arrives.

mod authorizer;
mod bounded;
mod callback;
#[cfg(test)]
mod fake_acl;
mod metric;
mod ops;
mod persist;
mod pipeline;
mod retry_after;
mod worker;

pub use authorizer::{AclUrl, AclUrlError, Authorizer, HttpAuthorizer, NoAnswer, Question};
pub use callback::{CallbackClient, CallbackClientError, DeliverySettings, Resolve, SystemResolver};
pub use ops::{MetricsError, Ops, install_metrics};
pub use pipeline::{Parts, PipelineSettings};
pub use worker::{Worker, WorkerSettings};
