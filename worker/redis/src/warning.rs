//! Non-fatal configuration risks.

use std::fmt;

/// A configuration of the server that risks messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisWarning {
    /// The server does not write an append-only file.
    NoAppendOnlyFile,
    /// The server leaves the sync of its append-only file to the operating system.
    NeverSynced,
}

impl fmt::Display for RedisWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAppendOnlyFile => {
                "the server has persistence off: accepted requests are lost when it stops; set appendonly to yes"
            }
            Self::NeverSynced => {
                "the server does not sync its append-only file: a power failure loses requests accepted in about the last half minute; set appendfsync to everysec or always"
            }
        })
    }
}
