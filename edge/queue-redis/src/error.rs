//! What makes the queue unavailable.

use std::fmt;

/// What made the queue unavailable, as far as it can be told without telling a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No connection: what the host says.
    Connect(String),
    /// A command failed: the server's code for that, like `NOPERM`, or `None` where the connection broke.
    Command(Option<String>),
    /// The server answered with what is no answer to the command.
    Answer,
}

impl Cause {
    /// The cause behind the text of a failed command.
    ///
    /// Only a code is kept of it: servers repeat arguments in their errors, and the message is one.
    pub(crate) fn of_command(text: &str) -> Self {
        let is_code = |word: &&str| word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        Self::Command(words.find(is_code).map(|code| code.chars().take(20).collect()))
    }
}

impl chargegate_queue::Cause for Cause {
    fn lies_in_settings(&self) -> bool {
        match self {
            // Of a connection, hosts do not tell a wrong password from a server that is down.
            Self::Connect(_) => true,
            Self::Command(Some(code)) => matches!(&**code, "NOAUTH" | "NOPERM" | "STREAMS" | "WRONGPASS"),
            Self::Command(None) | Self::Answer => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(text) => write!(f, "no connection: {text}"),
            Self::Command(Some(code)) if code == "STREAMS" => {
                f.write_str("the workers have another number of streams: set queue_streams to theirs")
            }
            Self::Command(Some(code)) => write!(f, "a command failed: {code}"),
            Self::Command(None) => f.write_str("a command failed"),
            Self::Answer => f.write_str("the server's answer cannot be understood"),
        }
    }
}

#[cfg(test)]
mod tests {
    use chargegate_queue::Cause as _;

    use super::*;

    #[test]
    fn only_what_other_settings_may_mend_has_them_read_anew() {
        assert!(Cause::Connect("refused".into()).lies_in_settings());
        for code in ["NOAUTH", "NOPERM", "STREAMS", "WRONGPASS"] {
            assert!(Cause::Command(Some(code.into())).lies_in_settings(), "{code}");
        }
        for code in ["LOADING", "MISCONF", "READONLY", "BUSY", "ERR"] {
            assert!(!Cause::Command(Some(code.into())).lies_in_settings(), "{code}");
        }
        assert!(!Cause::Command(None).lies_in_settings());
        assert!(!Cause::Answer.lies_in_settings());
    }

    #[track_caller]
    fn check(text: &str, code: Option<&str>) {
        assert_eq!(Cause::of_command(text), Cause::Command(code.map(Into::into)), "{text}");
    }

    #[test]
    fn of_a_failed_command_only_the_code_is_told() {
        check("NOPERM: this user has no permissions to run the 'eval' command", Some("NOPERM"));
        check("An error was signalled by the server - LOADING: dataset in memory", Some("LOADING"));
        check("ERR unknown command", Some("ERR"));
        check("broken pipe", None);
        check("", None);
        check("unknown command, with args beginning with: 'a-driver-token' '{\"v\":1}'", None);
    }
}
