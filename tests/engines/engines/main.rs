//! The engines on real servers: one suite for every queue, one for every store, and what only one engine can suffer.
//! `cargo xtask test` starts the servers.
#![cfg(test)]

mod cloudflare;
mod database;
mod postgres;
mod queues;
mod redis;
mod sqs;
mod stores;
