//! Risky settings of a server.

use std::fmt;

/// Something about a server that an operator should know before trusting it with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisWarning {
    /// The server writes no append-only file.
    NoAppendOnlyFile,
    /// The server leaves it to the operating system when its append-only file reaches the disk.
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
