//! What works and should not stay so.

use std::fmt;

/// Something about a server that an operator should know before trusting it with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The server writes no append-only file.
    NoAppendOnlyFile,
    /// The server leaves it to the operating system when its append-only file reaches the disk.
    NeverSynced,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAppendOnlyFile => {
                "the server of QUEUE_URL (--queue-url) has persistence off: requests that were accepted are lost when it stops; set appendonly to yes there"
            }
            Self::NeverSynced => {
                "the server of QUEUE_URL (--queue-url) does not sync its append-only file: a power cut loses requests accepted in the last half minute or so; set appendfsync to everysec or always there"
            }
        })
    }
}
