//! Lease queues over services that hand out messages in batches: the generic [`engine`], and Amazon SQS and Cloudflare
//! Queues on it.

#[cfg(feature = "cloudflare")]
pub mod cloudflare;
pub mod engine;
#[cfg(feature = "http-client")]
mod http_client;
#[cfg(feature = "sqs")]
pub mod sqs;
