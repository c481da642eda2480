//! `cargo xtask services`: throw-away servers for development and tests.

use std::env;
use std::fmt;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::channel;

use chargegate_servers::{MotoServer, PostgresServer, RedisServer};

use crate::programs::{self, Found};
use crate::step::{Failure, say};

/// Redis keeps its usual port where that is free: it is where `spin up` looks.
const REDIS_PORT: u16 = 6379;
/// Many tests share a PostgreSQL.
const DEVELOPMENT: [&str; 1] = ["max_connections=300"];
/// Room for the hot tables, and checkpoints by the clock and not by the volume of a load.
const WORK: [&str; 3] = ["shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=15min"];

/// Running servers and what tells others of them; the servers end when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Services {
    redis: Vec<RedisServer>,
    postgres: Vec<PostgresServer>,
    moto: Vec<MotoServer>,
    variables: Vec<(&'static str, String)>,
}

/// Runs a Redis and a PostgreSQL until interrupted.
///
/// # Errors
/// A server is missing and cannot be installed, or does not start.
pub(crate) fn run() -> Result<(), Failure> {
    let (interrupted, interrupt) = channel();
    ctrlc::set_handler(move || {
        let _ = interrupted.send(());
    })
    .map_err(|error| Failure::new(format!("interrupts cannot be caught: {error}")))?;
    let services = for_development()?;
    let _ = writeln!(std::io::stdout(), "{services}");
    say("servers are up; interrupt to end them, with all they hold");
    let _ = interrupt.recv();
    Ok(())
}

/// Starts what development needs. `REDIS_URL` and `DATABASE_URL` use servers that run already.
///
/// # Errors
/// A server is missing and cannot be installed, or does not start.
pub(crate) fn for_development() -> Result<Services, Failure> {
    let mut services = Services::default();
    services.redis("REDIS_URL", programs::redis, &[])?;
    services.postgres("DATABASE_URL", programs::postgres, &DEVELOPMENT)?;
    Ok(services)
}

/// Starts what development needs where the queue is Cloudflare's: see [`for_development`].
///
/// # Errors
/// See [`for_development`].
pub(crate) fn for_cloudflare() -> Result<Services, Failure> {
    let mut services = Services::default();
    services.postgres("DATABASE_URL", programs::postgres, &DEVELOPMENT)?;
    Ok(services)
}

/// Starts what a load is run on: Redis syncing its file as told, and PostgreSQL as for development but with what an
/// operator sets for work.
///
/// # Errors
/// See [`for_development`].
pub(crate) fn for_load(appendfsync: &str) -> Result<Services, Failure> {
    let mut services = Services::default();
    services.redis("REDIS_URL", programs::redis, &["--appendfsync", appendfsync])?;
    services.postgres("DATABASE_URL", programs::postgres, &WORK)?;
    Ok(services)
}

/// Starts what the tests need: the oldest and a recent server of each kind.
///
/// # Errors
/// See [`for_development`].
pub(crate) fn for_tests() -> Result<Services, Failure> {
    let mut services = Services::default();
    services.redis("REDIS_URL", programs::redis, &[])?;
    services.redis("VALKEY_URL", programs::valkey, &[])?;
    services.postgres("DATABASE_URL", programs::postgres, &DEVELOPMENT)?;
    services.postgres("DATABASE_NEXT_URL", programs::postgres_next, &DEVELOPMENT)?;
    services.moto("CHARGEGATE_SQS_ENDPOINT")?;
    // Tests that disturb a server start their own.
    for found in [
        programs::redis()?,
        programs::valkey()?,
        programs::postgres()?,
        programs::postgres_next()?,
        programs::moto()?,
        programs::cloudflare_sdk()?,
        programs::workerd()?,
    ] {
        services.variables.push((found.variable, found.path.display().to_string()));
    }
    Ok(services)
}

impl Services {
    /// What the servers' users are told.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// A URL by its variable.
    pub(crate) fn url(&self, variable: &str) -> Option<&str> {
        self.variables().find(|(name, _)| *name == variable).map(|(_, value)| value)
    }

    fn redis(
        &mut self,
        variable: &'static str,
        find: impl FnOnce() -> Result<Found, Failure>,
        options: &[&str],
    ) -> Result<(), Failure> {
        if self.is_given(variable) {
            return Ok(());
        }
        let program = find()?.path;
        let usual = TcpListener::bind((Ipv4Addr::LOCALHOST, REDIS_PORT)).is_ok() && self.redis.is_empty();
        let started = if usual {
            RedisServer::start_on(REDIS_PORT, &program, options)
        } else {
            RedisServer::start(&program, options)
        };
        let server = started.map_err(|error| Failure::new(format!("{}: {error}", program.display())))?;
        self.variables.push((variable, server.url()));
        self.redis.push(server);
        Ok(())
    }

    fn postgres(
        &mut self,
        variable: &'static str,
        find: impl FnOnce() -> Result<Found, Failure>,
        options: &[&str],
    ) -> Result<(), Failure> {
        if self.is_given(variable) {
            return Ok(());
        }
        let bin = find()?.path;
        let started = PostgresServer::start(&bin, options);
        let server = started.map_err(|error| Failure::new(format!("{}: {error}", bin.display())))?;
        self.variables.push((variable, server.url()));
        self.postgres.push(server);
        Ok(())
    }

    fn moto(&mut self, variable: &'static str) -> Result<(), Failure> {
        if self.is_given(variable) {
            return Ok(());
        }
        let program = programs::moto()?.path;
        let started = MotoServer::start(&program);
        let server = started.map_err(|error| Failure::new(format!("{}: {error}", program.display())))?;
        self.variables.push((variable, server.url()));
        self.moto.push(server);
        Ok(())
    }

    /// Whether the caller has told of a server of its own.
    fn is_given(&mut self, variable: &'static str) -> bool {
        let Ok(url) = env::var(variable) else { return false };
        say(format_args!("using the server of {variable}"));
        self.variables.push((variable, url));
        true
    }
}

impl fmt::Display for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.variables();
        if let Some((name, value)) = lines.next() {
            write!(f, "export {name}={value}")?;
        }
        lines.try_for_each(|(name, value)| write!(f, "\nexport {name}={value}"))
    }
}
