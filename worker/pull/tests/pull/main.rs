//! The queue suite on Amazon SQS and Cloudflare Queues, and faults specific to them.
#![cfg(test)]

mod cloudflare;
mod queues;
mod sqs;
