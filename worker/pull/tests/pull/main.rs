//! The queue suite on Amazon SQS and Cloudflare Queues, and what only these can suffer.
#![cfg(test)]

mod cloudflare;
mod queues;
mod sqs;
