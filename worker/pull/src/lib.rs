//! Lease queues over services that hand out messages in batches: the generic [`engine`], and Amazon SQS and Cloudflare
//! Queues on it.

#[cfg(feature = "cloudflare")]
pub mod cloudflare;
pub mod engine;
#[cfg(feature = "sqs")]
pub mod sqs;
