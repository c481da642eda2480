//! Opening a queue: checks of the server, and creation of the stream and its group.

use std::collections::HashMap;

use chargegate_redis_layout::STREAM_GROUP;
use redis::cmd;

use super::RedisSettings;
use super::connection::{CommandError, RedisConnection};
use super::keys::RedisKeys;
use super::warning::RedisWarning;

/// Oldest version that counts the entries ever added to a stream, and does not claim deleted entries.
const MIN_VERSION: (u32, u32) = (7, 0);

/// Reason for which a server cannot serve as a queue.
#[derive(Debug, thiserror::Error)]
pub enum RedisOpenError {
    /// The server cannot be reached.
    #[error("the server at {address} cannot be reached")]
    Unreachable {
        /// Address of the server.
        address: String,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// User or password is wrong or missing.
    #[error("the server at {address} rejects the user or the password")]
    Credentials {
        /// Address of the server.
        address: String,
    },
    /// The user lacks a permission.
    #[error("the user lacks a permission at {address}, which says: {detail}")]
    NotPermitted {
        /// Address of the server.
        address: String,
        /// Prefix of the keys.
        prefix: String,
        /// Error of the server.
        detail: String,
    },
    /// The version of the server is not supported.
    #[error("the server at {address} has version {found}, which is too old")]
    TooOld {
        /// Address of the server.
        address: String,
        /// Version of the server.
        found: String,
    },
    /// The server evicts keys when memory runs out.
    #[error(
        "the server at {address} would delete messages when memory runs out, since its maxmemory-policy is {policy}"
    )]
    Evicts {
        /// Address of the server.
        address: String,
        /// Eviction policy of the server.
        policy: String,
    },
    /// The server is a replica.
    #[error("the server at {address} is a replica")]
    Replica {
        /// Address of the server.
        address: String,
    },
    /// The server is a cluster node that does not own the hash slot of the queue's keys.
    #[error(
        "the server at {address} is a node of a cluster and does not serve the keys {{{prefix}}}:*: {detail}"
    )]
    OtherNode {
        /// Address of the server.
        address: String,
        /// Prefix of the keys.
        prefix: String,
        /// Error of the server.
        detail: String,
    },
    /// A key of the queue has another type.
    #[error("the key {key} at {address} is a {found} and must be a {expected}")]
    WrongType {
        /// Address of the server.
        address: String,
        /// Key.
        key: String,
        /// Type that the key must have.
        expected: &'static str,
        /// Type that the key has.
        found: String,
    },
    /// The server refused for another reason.
    #[error("the server at {address} cannot serve as a queue")]
    Refused {
        /// Address of the server.
        address: String,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Turns the failure of a command into the error of opening.
pub(super) fn describe(settings: &RedisSettings) -> impl Fn(CommandError) -> RedisOpenError {
    move |error| {
        let address = settings.url.to_string();
        match error {
            CommandError::Refused { code, detail } => match code.as_str() {
                "NOAUTH" | "WRONGPASS" => RedisOpenError::Credentials { address },
                "NOPERM" => RedisOpenError::NotPermitted { address, prefix: settings.prefix.clone(), detail },
                "READONLY" => RedisOpenError::Replica { address },
                "CROSSSLOT" | "CLUSTERDOWN" => RedisOpenError::OtherNode {
                    address,
                    prefix: settings.prefix.clone(),
                    detail: format!("{code} {detail}"),
                },
                _ => RedisOpenError::Refused {
                    address,
                    source: Box::new(CommandError::Refused { code, detail }),
                },
            },
            CommandError::Redirected { target } => {
                RedisOpenError::OtherNode { address, prefix: settings.prefix.clone(), detail: target }
            }
            CommandError::Unreadable => RedisOpenError::Refused { address, source: Box::new(error) },
            CommandError::Broken(_) | CommandError::TimedOut => {
                RedisOpenError::Unreachable { address, source: Box::new(error) }
            }
        }
    }
}

/// Checks that the server can be trusted with messages.
pub(super) async fn check(
    connection: &RedisConnection,
    settings: &RedisSettings,
) -> Result<Vec<RedisWarning>, RedisOpenError> {
    let failed = describe(settings);
    let info: String = connection.run(&cmd("INFO")).await.map_err(&failed)?;
    let info = ServerInfo::read(&info);
    let address = settings.url.to_string();
    let version = info.get("redis_version");
    if !is_supported(version) {
        return Err(RedisOpenError::TooOld { address, found: version.to_owned() });
    }
    if info.get("role") == "slave" {
        return Err(RedisOpenError::Replica { address });
    }
    let policy = info.get("maxmemory_policy");
    if info.get("maxmemory") != "0" && policy != "noeviction" {
        return Err(RedisOpenError::Evicts { address, policy: policy.to_owned() });
    }
    if info.get("aof_enabled") == "0" {
        return Ok(vec![RedisWarning::NoAppendOnlyFile]);
    }
    // Hosted servers often forbid CONFIG; they are not the ones that never sync.
    let synced: Result<Vec<String>, _> = connection.run(cmd("CONFIG").arg("GET").arg("appendfsync")).await;
    match synced {
        Ok(setting) if setting.get(1).is_some_and(|when| when == "no") => Ok(vec![RedisWarning::NeverSynced]),
        _ => Ok(Vec::new()),
    }
}

/// Creates the stream and its group if they are missing.
pub(super) async fn prepare(
    connection: &RedisConnection,
    settings: &RedisSettings,
    keys: &RedisKeys,
) -> Result<(), RedisOpenError> {
    check_types(connection, settings, keys).await?;
    create_group(connection, &keys.stream).await.map_err(describe(settings))
}

/// Returns whether the server has no memory left. Workers continue then: their acks free memory.
pub(super) fn is_full(error: &CommandError) -> bool {
    error.is("OOM")
}

/// Checks the types of the keys that exist.
pub(super) async fn check_types(
    connection: &RedisConnection,
    settings: &RedisSettings,
    keys: &RedisKeys,
) -> Result<(), RedisOpenError> {
    for (key, expected) in [(&keys.stream, "stream"), (&keys.history, "hash")] {
        let found: String = connection.run(cmd("TYPE").arg(key)).await.map_err(describe(settings))?;
        if found != expected && found != "none" {
            let address = settings.url.to_string();
            return Err(RedisOpenError::WrongType { address, key: key.clone(), expected, found });
        }
    }
    Ok(())
}

/// Creates the stream and its group if they are missing. The group begins with the oldest entry: entries added before
/// its creation are delivered as well.
pub(super) async fn create_group(connection: &RedisConnection, stream: &str) -> Result<(), CommandError> {
    // Where memory is full, the server refuses XGROUP even if the group exists.
    let mut groups = cmd("XINFO");
    groups.arg("GROUPS").arg(stream);
    let exists: Result<Vec<redis::Value>, _> = connection.run(&groups).await;
    if exists.is_ok_and(|groups| !groups.is_empty()) {
        return Ok(());
    }
    let mut command = cmd("XGROUP");
    command.arg("CREATE").arg(stream).arg(STREAM_GROUP).arg(0).arg("MKSTREAM");
    match connection.run(&command).await {
        Err(error) if !error.is("BUSYGROUP") => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Properties of a server.
struct ServerInfo<'a>(HashMap<&'a str, &'a str>);

impl<'a> ServerInfo<'a> {
    fn read(text: &'a str) -> Self {
        Self(text.lines().filter_map(|line| line.split_once(':')).collect())
    }

    /// Returns a value; empty if the server does not report it.
    fn get(&self, name: &str) -> &'a str {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// Returns whether a version is supported; Valkey reports the Redis version it is compatible with.
fn is_supported(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) >= MIN_VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for version in ["7.0.0", "7.0.15", "7.2.4", "8.0.1", "10.1"] {
            assert!(is_supported(version), "{version}");
        }
        for version in ["", "6.2.14", "6.99", "five"] {
            assert!(!is_supported(version), "{version}");
        }
    }
}
