//! The reasons for which Redis does not confirm a message.

use std::fmt;

use chargegate_core::EnqueueError;
use chargegate_queue::QueueEngineError;

/// The reason why a message was not confirmed, without any part of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisEnqueueError {
    /// The stream is at the depth limit, or the server is at its memory limit.
    Full,
    /// The message is longer than any that a worker decodes.
    TooLarge,
    /// The server did not confirm in time.
    TimedOut,
    /// The connection could not be opened; the text is the host's.
    Connect(String),
    /// Another node of the cluster has the key: its hash slot and the address of the node.
    Redirected(String),
    /// A command failed: the server's error code, such as `NOPERM`, or `None` if the connection broke.
    Command(Option<String>),
    /// The reply does not fit the command.
    UnexpectedReply,
}

impl RedisEnqueueError {
    /// Returns the error for the text of a failed command.
    ///
    /// Only the code of the text is kept: servers repeat arguments in their errors, and the message is one.
    pub(crate) fn from_command_text(text: &str) -> Self {
        // Hosts repeat the server's `MOVED 866 host:port`, or write it as `Moved: 866 host:port` after a text of their own.
        if let Some((_, target)) =
            ["MOVED ", "Moved: ", "ASK ", "Ask: "].iter().find_map(|code| text.split_once(code))
        {
            return Self::Redirected(target.chars().take(80).collect());
        }
        let is_code = |word: &&str| word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        Self::Command(words.find(is_code).map(|code| code.chars().take(20).collect()))
    }
}

impl QueueEngineError for RedisEnqueueError {
    fn kind(&self) -> EnqueueError {
        match self {
            Self::Full => EnqueueError::Full,
            Self::TooLarge => EnqueueError::TooLarge,
            Self::TimedOut => EnqueueError::TimedOut,
            Self::Connect(_) | Self::Redirected(_) | Self::Command(_) | Self::UnexpectedReply => {
                EnqueueError::Unavailable
            }
        }
    }

    fn invalidates_settings(&self) -> bool {
        match self {
            // When a connection fails, hosts do not distinguish a wrong password from a server that is down.
            Self::Connect(_) | Self::Redirected(_) => true,
            Self::Command(Some(code)) => matches!(&**code, "NOAUTH" | "NOPERM" | "WRONGPASS"),
            Self::Command(None) | Self::UnexpectedReply | Self::Full | Self::TooLarge | Self::TimedOut => {
                false
            }
        }
    }
}

impl fmt::Display for RedisEnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the queue is full"),
            Self::TooLarge => f.write_str("the message is too large"),
            Self::TimedOut => f.write_str("the server did not confirm in time"),
            Self::Connect(text) => write!(f, "cannot connect: {text}"),
            Self::Redirected(target) => {
                write!(f, "another node of the cluster has the queue's keys ({target}): set queue_url to it")
            }
            Self::Command(Some(code)) => write!(f, "a command failed: {code}"),
            Self::Command(None) => f.write_str("a command failed"),
            Self::UnexpectedReply => f.write_str("the server's reply is not understood"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_other_settings_may_resolve_invalidate_them() {
        assert!(RedisEnqueueError::Connect("refused".into()).invalidates_settings());
        assert!(RedisEnqueueError::Redirected("866 other:6379".into()).invalidates_settings());
        for code in ["NOAUTH", "NOPERM", "WRONGPASS"] {
            assert!(RedisEnqueueError::Command(Some(code.into())).invalidates_settings(), "{code}");
        }
        for code in ["LOADING", "MISCONF", "READONLY", "BUSY", "ERR"] {
            assert!(!RedisEnqueueError::Command(Some(code.into())).invalidates_settings(), "{code}");
        }
        for error in [
            RedisEnqueueError::Full,
            RedisEnqueueError::TooLarge,
            RedisEnqueueError::TimedOut,
            RedisEnqueueError::Command(None),
            RedisEnqueueError::UnexpectedReply,
        ] {
            assert!(!error.invalidates_settings(), "{error}");
        }
    }

    #[track_caller]
    fn check(text: &str, code: Option<&str>) {
        let expected = RedisEnqueueError::Command(code.map(Into::into));
        assert_eq!(RedisEnqueueError::from_command_text(text), expected, "{text}");
    }

    #[test]
    fn a_redirect_names_the_other_node() {
        for text in [
            "MOVED 866 10.0.0.2:6379",
            "An error was signalled by the server - Moved: 866 10.0.0.2:6379",
            "An error was signalled by the server - Ask: 866 10.0.0.2:6379",
        ] {
            let expected = RedisEnqueueError::Redirected("866 10.0.0.2:6379".into());
            assert_eq!(RedisEnqueueError::from_command_text(text), expected, "{text}");
        }
    }

    #[test]
    fn only_the_code_of_a_failed_command_is_kept() {
        check("NOPERM: this user has no permissions to run the 'eval' command", Some("NOPERM"));
        check("An error was signalled by the server - LOADING: dataset in memory", Some("LOADING"));
        check("ERR unknown command", Some("ERR"));
        check("broken pipe", None);
        check("", None);
        check("unknown command, with args beginning with: 'a-driver-token' '{\"v\":1}'", None);
    }
}
