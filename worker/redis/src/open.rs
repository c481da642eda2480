//! Opening: whether the server can be trusted with messages, and the streams and their groups.

use std::collections::HashMap;

use chargegate_redis_layout::{STREAM_COUNT, STREAM_GROUP, stream_key};
use redis::cmd;

use super::RedisSettings;
use super::connection::{CommandError, RedisConnection};
use super::streams::StreamSet;
use super::warning::RedisWarning;

/// The oldest version that counts what was ever added to a stream, and claims no deleted entries.
const MIN_VERSION: (u32, u32) = (7, 0);

/// Obstacle to using a server.
#[derive(Debug, thiserror::Error)]
pub enum RedisOpenError {
    /// No connection can be opened.
    #[error("the server at {address} cannot be reached")]
    Unreachable {
        /// Expected address.
        address: String,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The user or the password is wrong, or missing.
    #[error("the server at {address} rejects the user or the password")]
    Credentials {
        /// Address of the server.
        address: String,
    },
    /// The user lacks permissions.
    #[error("the user lacks a permission at {address}, which says: {detail}")]
    NotPermitted {
        /// URL of the server.
        address: String,
        /// Prefix of the keys.
        prefix: String,
        /// Error text of the server.
        detail: String,
    },
    /// The server is of an older version than is supported.
    #[error("the server at {address} has version {found}, which is too old")]
    TooOld {
        /// Address of the server.
        address: String,
        /// Its version.
        found: String,
    },
    /// The server deletes keys when memory runs out.
    #[error(
        "the server at {address} would delete messages when memory runs out, since its maxmemory-policy is {policy}"
    )]
    Evicts {
        /// Address of the server.
        address: String,
        /// Its policy.
        policy: String,
    },
    /// The server is a replica.
    #[error("the server at {address} is a replica")]
    Replica {
        /// Address of the server.
        address: String,
    },
    /// The server is part of a cluster.
    #[error("the server at {address} is part of a cluster, which is not supported")]
    Cluster {
        /// Address of the server.
        address: String,
    },
    /// A key of ours is used for something else.
    #[error("the key {key} at {address} is a {found} and must be a {expected}")]
    WrongType {
        /// URL of the server.
        address: String,
        /// The key.
        key: String,
        /// Required value.
        expected: &'static str,
        /// Value found.
        found: String,
    },
    /// Others spread messages over another number of streams.
    #[error("the queue at {address} has {found} streams, and {given} were requested")]
    Streams {
        /// URL of the server.
        address: String,
        /// Prefix of the keys.
        prefix: String,
        /// Streams found.
        found: String,
        /// Streams configured.
        given: u16,
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

/// Turns what went wrong with a server into what to do about it.
pub(super) fn describe(settings: &RedisSettings) -> impl Fn(CommandError) -> RedisOpenError {
    move |error| {
        let address = settings.url.to_string();
        match error {
            CommandError::Refused { code, detail } => match code.as_str() {
                "NOAUTH" | "WRONGPASS" => RedisOpenError::Credentials { address },
                "NOPERM" => RedisOpenError::NotPermitted { address, prefix: settings.prefix.clone(), detail },
                "READONLY" => RedisOpenError::Replica { address },
                "MOVED" | "CROSSSLOT" | "CLUSTERDOWN" => RedisOpenError::Cluster { address },
                _ => RedisOpenError::Refused {
                    address,
                    source: Box::new(CommandError::Refused { code, detail }),
                },
            },
            CommandError::Unreadable => RedisOpenError::Refused { address, source: Box::new(error) },
            CommandError::Broken(_) | CommandError::TimedOut => {
                RedisOpenError::Unreachable { address, source: Box::new(error) }
            }
        }
    }
}

/// Looks whether the server can be trusted with messages.
pub(super) async fn check(
    link: &RedisConnection,
    settings: &RedisSettings,
) -> Result<Vec<RedisWarning>, RedisOpenError> {
    let failed = describe(settings);
    let info: String = link.run(&cmd("INFO")).await.map_err(&failed)?;
    let info = ServerInfo::read(&info);
    let address = settings.url.to_string();
    let version = info.get("redis_version");
    if !is_supported(version) {
        return Err(RedisOpenError::TooOld { address, found: version.to_owned() });
    }
    if info.get("redis_mode") == "cluster" {
        return Err(RedisOpenError::Cluster { address });
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
    // Hosted servers often forbid the question; they are not the ones that never sync.
    let synced: Result<Vec<String>, _> = link.run(cmd("CONFIG").arg("GET").arg("appendfsync")).await;
    match synced {
        Ok(setting) if setting.get(1).is_some_and(|when| when == "no") => Ok(vec![RedisWarning::NeverSynced]),
        _ => Ok(Vec::new()),
    }
}

/// Creates missing streams and groups.
pub(super) async fn prepare(
    link: &RedisConnection,
    settings: &RedisSettings,
    streams: &StreamSet,
) -> Result<(), RedisOpenError> {
    check_types(link, settings, streams).await?;
    check_count(link, settings, streams).await?;
    for stream in streams.keys() {
        create_group(link, stream).await.map_err(describe(settings))?;
    }
    let mut note = cmd("HSETNX");
    note.arg(streams.history_key()).arg(STREAM_COUNT).arg(settings.streams.get());
    match link.run::<()>(&note).await {
        Err(error) if !is_full(&error) => return Err(describe(settings)(error)),
        Ok(()) | Err(_) => {}
    }
    // Another may have been first.
    check_count(link, settings, streams).await
}

/// Returns whether the server is out of memory. Workers continue then, since they free memory.
pub(super) fn is_full(error: &CommandError) -> bool {
    error.is("OOM")
}

/// Checks the number of streams: messages in others would never be read.
pub(super) async fn check_count(
    link: &RedisConnection,
    settings: &RedisSettings,
    streams: &StreamSet,
) -> Result<(), RedisOpenError> {
    let given = settings.streams.get();
    let mut question = cmd("HGET");
    question.arg(streams.history_key()).arg(STREAM_COUNT);
    let noted: Option<String> = link.run(&question).await.map_err(describe(settings))?;
    let mut question = cmd("EXISTS");
    question.arg(stream_key(&settings.prefix, given));
    let more: bool = link.run(&question).await.map_err(describe(settings))?;
    let found = match noted {
        Some(count) if count != given.to_string() => count,
        _ if more => format!("more than {given}"),
        _ => return Ok(()),
    };
    let address = settings.url.to_string();
    Err(RedisOpenError::Streams { address, prefix: settings.prefix.clone(), found, given })
}

/// Looks whether each key that exists is of its type.
pub(super) async fn check_types(
    link: &RedisConnection,
    settings: &RedisSettings,
    streams: &StreamSet,
) -> Result<(), RedisOpenError> {
    let history = streams.history_key();
    let expected = streams.keys().iter().map(|stream| (stream, "stream")).chain([(&history, "hash")]);
    for (key, expected) in expected {
        let found: String = link.run(cmd("TYPE").arg(key)).await.map_err(describe(settings))?;
        if found != expected && found != "none" {
            let address = settings.url.to_string();
            return Err(RedisOpenError::WrongType { address, key: key.clone(), expected, found });
        }
    }
    Ok(())
}

/// Creates a stream and its group, where there is none. The group begins with the oldest entry: what was added before
/// it was there is delivered as well.
pub(super) async fn create_group(link: &RedisConnection, stream: &str) -> Result<(), CommandError> {
    // Where memory is full, the server refuses even to say that the group is there.
    let mut groups = cmd("XINFO");
    groups.arg("GROUPS").arg(stream);
    let there: Result<Vec<redis::Value>, _> = link.run(&groups).await;
    if there.is_ok_and(|groups| !groups.is_empty()) {
        return Ok(());
    }
    let mut command = cmd("XGROUP");
    command.arg("CREATE").arg(stream).arg(STREAM_GROUP).arg(0).arg("MKSTREAM");
    match link.run(&command).await {
        Err(error) if !error.is("BUSYGROUP") => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Facts that a server reports.
struct ServerInfo<'a>(HashMap<&'a str, &'a str>);

impl<'a> ServerInfo<'a> {
    fn read(text: &'a str) -> Self {
        Self(text.lines().filter_map(|line| line.split_once(':')).collect())
    }

    /// A value; empty where the server does not say.
    fn get(&self, name: &str) -> &'a str {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// Valkey says which Redis it equals.
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
