//! The queue of a service behind an HTTP API, which leases messages in batches; Amazon SQS and Cloudflare Queues are
//! such services.

mod bounded;
#[cfg(feature = "cloudflare")]
pub mod cloudflare;
mod engine;
mod retry_after;
#[cfg(feature = "sqs")]
pub mod sqs;
