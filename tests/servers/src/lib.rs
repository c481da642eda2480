//! Disposable Redis, Valkey, PostgreSQL, Moto and workerd servers for development and tests.
//!
//! Each server has its own folder and a free port, never runs as root, and is removed when dropped. Environment
//! variables name the installed programs; `cargo xtask` sets them after installing missing ones:
//! `CHARGEGATE_REDIS_SERVER`, `CHARGEGATE_VALKEY_SERVER`, `CHARGEGATE_MOTO` and `CHARGEGATE_WORKERD` are programs,
//! `CHARGEGATE_POSTGRES_BIN` and `CHARGEGATE_POSTGRES_NEXT_BIN` folders of programs.

mod moto;
mod postgres;
mod process;
mod redis;
pub mod sqs;
mod workerd;

pub use moto::MotoServer;
pub use postgres::PostgresServer;
pub use redis::RedisServer;
pub use workerd::{QueueBroker, WorkerBinding, WorkerdScript, WorkerdServer};

use std::env;
use std::path::PathBuf;

/// Returns the program of the oldest supported Redis.
///
/// # Panics
/// Panics if its variable is not set.
#[must_use]
pub fn redis_server() -> PathBuf {
    required_env("CHARGEGATE_REDIS_SERVER")
}

/// Returns the program of a recent Valkey.
///
/// # Panics
/// Panics if its variable is not set.
#[must_use]
pub fn valkey_server() -> PathBuf {
    required_env("CHARGEGATE_VALKEY_SERVER")
}

/// Returns the folder of programs of the oldest supported PostgreSQL.
///
/// # Panics
/// Panics if its variable is not set.
#[must_use]
pub fn postgres_bin() -> PathBuf {
    required_env("CHARGEGATE_POSTGRES_BIN")
}

/// Returns the folder of programs of a recent PostgreSQL.
///
/// # Panics
/// Panics if its variable is not set.
#[must_use]
pub fn postgres_next_bin() -> PathBuf {
    required_env("CHARGEGATE_POSTGRES_NEXT_BIN")
}

/// Returns the program that runs Moto's server.
///
/// # Panics
/// Panics if its variable is not set.
#[must_use]
pub fn moto() -> PathBuf {
    required_env("CHARGEGATE_MOTO")
}

/// Returns the program of workerd, the runtime of Cloudflare Workers.
///
/// # Panics
/// Panics if its variable is not set.
#[must_use]
pub fn workerd() -> PathBuf {
    required_env("CHARGEGATE_WORKERD")
}

#[expect(clippy::panic, reason = "a test without its servers cannot run")]
fn required_env(variable: &str) -> PathBuf {
    match env::var_os(variable) {
        Some(path) => path.into(),
        None => panic!("{variable} is not set: run by `cargo xtask test`, which sets it"),
    }
}
