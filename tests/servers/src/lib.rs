//! Throw-away Redis, Valkey, PostgreSQL, Moto and workerd servers for development and tests: a folder and a free port of
//! their own, never as root, and gone when dropped.
//!
//! What is on this machine is told by variables, which `cargo xtask` sets after installing what is missing:
//! `CHARGEGATE_REDIS_SERVER`, `CHARGEGATE_VALKEY_SERVER`, `CHARGEGATE_MOTO` and `CHARGEGATE_WORKERD` are programs,
//! `CHARGEGATE_POSTGRES_BIN` and `CHARGEGATE_POSTGRES_NEXT_BIN` folders of programs.

mod moto;
mod postgres;
mod process;
mod redis;
pub mod sqs;
mod workerd;

pub use moto::Moto;
pub use postgres::Postgres;
pub use redis::Redis;
pub use workerd::{Binding, Broker, Worker, Workerd};

use std::env;
use std::path::PathBuf;

/// The oldest Redis that is supported.
///
/// # Panics
/// Without its variable.
#[must_use]
pub fn redis_server() -> PathBuf {
    told("CHARGEGATE_REDIS_SERVER")
}

/// A recent Valkey.
///
/// # Panics
/// Without its variable.
#[must_use]
pub fn valkey_server() -> PathBuf {
    told("CHARGEGATE_VALKEY_SERVER")
}

/// The oldest PostgreSQL that is supported.
///
/// # Panics
/// Without its variable.
#[must_use]
pub fn postgres_bin() -> PathBuf {
    told("CHARGEGATE_POSTGRES_BIN")
}

/// A recent PostgreSQL.
///
/// # Panics
/// Without its variable.
#[must_use]
pub fn postgres_next_bin() -> PathBuf {
    told("CHARGEGATE_POSTGRES_NEXT_BIN")
}

/// Moto's server.
///
/// # Panics
/// Without its variable.
#[must_use]
pub fn moto() -> PathBuf {
    told("CHARGEGATE_MOTO")
}

/// The runtime of Cloudflare Workers.
///
/// # Panics
/// Without its variable.
#[must_use]
pub fn workerd() -> PathBuf {
    told("CHARGEGATE_WORKERD")
}

#[expect(clippy::panic, reason = "a test without its servers cannot go on")]
fn told(variable: &str) -> PathBuf {
    match env::var_os(variable) {
        Some(path) => path.into(),
        None => panic!("{variable} is not set: run by `cargo xtask test`, which sets it"),
    }
}
