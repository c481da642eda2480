//! `cargo xtask services`: disposable servers for development and tests.

use std::env;
use std::fmt;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::channel;

use chargegate_servers::{MotoServer, PostgresServer, RedisServer};

use crate::programs::{self, LocatedProgram};
use crate::step::{XtaskError, say};

/// Default port of Redis, used if it is free: `spin up` connects to it.
const REDIS_PORT: u16 = 6379;
/// Settings of the PostgreSQL for development and tests: many tests share one server.
const DEVELOPMENT_SETTINGS: [&str; 1] = ["max_connections=300"];
/// Settings of the PostgreSQL for load tests: memory for the hot tables, and checkpoints by time instead of by volume.
const LOAD_SETTINGS: [&str; 3] = ["shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=15min"];

/// Running servers and the environment variables that name them; the servers stop when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct LocalServices {
    redis: Vec<RedisServer>,
    postgres: Vec<PostgresServer>,
    moto: Vec<MotoServer>,
    variables: Vec<(&'static str, String)>,
}

/// Runs a Redis and a PostgreSQL until interrupted.
///
/// # Errors
/// Returns an error if a server cannot be installed or does not start.
pub(crate) fn run() -> Result<(), XtaskError> {
    let (interrupted, interrupt) = channel();
    ctrlc::set_handler(move || {
        let _ = interrupted.send(());
    })
    .map_err(|error| XtaskError::new(format!("interrupts cannot be caught: {error}")))?;
    let services = for_development()?;
    let _ = writeln!(std::io::stdout(), "{services}");
    say("servers are running; interrupt to stop them and delete their data");
    let _ = interrupt.recv();
    Ok(())
}

/// Starts the servers for development, unless `REDIS_URL` and `DATABASE_URL` name running ones.
///
/// # Errors
/// Returns an error if a server cannot be installed or does not start.
pub(crate) fn for_development() -> Result<LocalServices, XtaskError> {
    let mut services = LocalServices::default();
    services.redis("REDIS_URL", programs::redis, &[])?;
    services.postgres("DATABASE_URL", programs::postgres, &DEVELOPMENT_SETTINGS)?;
    Ok(services)
}

/// Starts the servers for development with a Cloudflare queue: see [`for_development`].
///
/// # Errors
/// See [`for_development`].
pub(crate) fn for_cloudflare() -> Result<LocalServices, XtaskError> {
    let mut services = LocalServices::default();
    services.postgres("DATABASE_URL", programs::postgres, &DEVELOPMENT_SETTINGS)?;
    Ok(services)
}

/// Starts the servers for a load test: Redis with the given `appendfsync`, and PostgreSQL with an operator's settings for
/// production.
///
/// # Errors
/// See [`for_development`].
pub(crate) fn for_load(appendfsync: &str) -> Result<LocalServices, XtaskError> {
    let mut services = LocalServices::default();
    services.redis("REDIS_URL", programs::redis, &["--appendfsync", appendfsync])?;
    services.postgres("DATABASE_URL", programs::postgres, &LOAD_SETTINGS)?;
    Ok(services)
}

/// Starts the servers for the tests: the oldest supported and a recent version of each.
///
/// # Errors
/// See [`for_development`].
pub(crate) fn for_tests() -> Result<LocalServices, XtaskError> {
    let mut services = LocalServices::default();
    services.redis("REDIS_URL", programs::redis, &[])?;
    services.redis("VALKEY_URL", programs::valkey, &[])?;
    services.postgres("DATABASE_URL", programs::postgres, &DEVELOPMENT_SETTINGS)?;
    services.postgres("DATABASE_NEXT_URL", programs::postgres_next, &DEVELOPMENT_SETTINGS)?;
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
        programs::standard_webhooks()?,
    ] {
        services.variables.push((found.variable, found.path.display().to_string()));
    }
    Ok(services)
}

impl LocalServices {
    /// Returns the environment variables that name the servers.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Returns a URL by its variable.
    pub(crate) fn url(&self, variable: &str) -> Option<&str> {
        self.variables().find(|(name, _)| *name == variable).map(|(_, value)| value)
    }

    fn redis(
        &mut self,
        variable: &'static str,
        find: impl FnOnce() -> Result<LocatedProgram, XtaskError>,
        options: &[&str],
    ) -> Result<(), XtaskError> {
        if self.is_provided(variable) {
            return Ok(());
        }
        let program = find()?.path;
        let default_port_free =
            TcpListener::bind((Ipv4Addr::LOCALHOST, REDIS_PORT)).is_ok() && self.redis.is_empty();
        let started = if default_port_free {
            RedisServer::start_on(REDIS_PORT, &program, options)
        } else {
            RedisServer::start(&program, options)
        };
        let server = started.map_err(|error| XtaskError::new(format!("{}: {error}", program.display())))?;
        self.variables.push((variable, server.url()));
        self.redis.push(server);
        Ok(())
    }

    fn postgres(
        &mut self,
        variable: &'static str,
        find: impl FnOnce() -> Result<LocatedProgram, XtaskError>,
        options: &[&str],
    ) -> Result<(), XtaskError> {
        if self.is_provided(variable) {
            return Ok(());
        }
        let bin = find()?.path;
        let started = PostgresServer::start(&bin, options);
        let server = started.map_err(|error| XtaskError::new(format!("{}: {error}", bin.display())))?;
        self.variables.push((variable, server.url()));
        self.postgres.push(server);
        Ok(())
    }

    fn moto(&mut self, variable: &'static str) -> Result<(), XtaskError> {
        if self.is_provided(variable) {
            return Ok(());
        }
        let program = programs::moto()?.path;
        let started = MotoServer::start(&program);
        let server = started.map_err(|error| XtaskError::new(format!("{}: {error}", program.display())))?;
        self.variables.push((variable, server.url()));
        self.moto.push(server);
        Ok(())
    }

    /// Returns whether the caller provides a server in `variable`.
    fn is_provided(&mut self, variable: &'static str) -> bool {
        let Ok(url) = env::var(variable) else { return false };
        say(format_args!("using the server in {variable}"));
        self.variables.push((variable, url));
        true
    }
}

impl fmt::Display for LocalServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.variables();
        if let Some((name, value)) = lines.next() {
            write!(f, "export {name}={value}")?;
        }
        lines.try_for_each(|(name, value)| write!(f, "\nexport {name}={value}"))
    }
}
