//! Classification of failed exchanges.

use std::error::Error;
use std::io;

use super::AclCallError;
use crate::exhaustion::is_exhaustion;

/// Returns the kind of a failed exchange.
pub(super) fn classify(error: &reqwest::Error) -> AclCallError {
    if !error.is_connect() && !error.is_builder() {
        AclCallError::Cut
    } else if causes(error).any(|cause| cause.downcast_ref().is_some_and(is_exhaustion)) {
        AclCallError::NotSent
    } else {
        AclCallError::Unreachable
    }
}

/// Returns whether the other side closed the connection before it answered.
pub(super) fn closed_before_answer(error: &reqwest::Error) -> bool {
    !error.is_connect() && !error.is_builder() && causes(error).any(is_closed)
}

/// Returns the reason of a failure in TLS.
pub(super) fn tls_reason(error: &(dyn Error + 'static)) -> Option<String> {
    causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()).map(ToString::to_string)
}

/// Returns the text of the innermost cause, without the URL that the outermost names.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn is_closed(cause: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};

    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        error.is_incomplete_message() || error.is_closed() || error.is_canceled()
    } else if let Some(error) = cause.downcast_ref::<io::Error>() {
        matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
        )
    } else {
        false
    }
}

/// Iterates over an error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

/// Returns the cause of an error; that inside of an [`io::Error`], which `source` leaves out, included.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exhaustion_of_this_process_is_distinguished() {
        let check = |code: i32, expected| {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(is_exhaustion(&error), expected, "{error}");
        };
        // ENFILE, EMFILE; EACCES, EPIPE.
        check(23, true);
        check(24, true);
        check(13, false);
        check(32, false);
        assert!(is_exhaustion(&io::ErrorKind::AddrNotAvailable.into()));
        assert!(!is_exhaustion(&io::ErrorKind::ConnectionRefused.into()));
        assert!(!is_exhaustion(&io::ErrorKind::TimedOut.into()));
    }

    #[test]
    fn the_cause_inside_of_an_io_error_is_found() {
        let inner = rustls::Error::General("unknown".to_owned());
        let outer = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        assert_eq!(tls_reason(&outer).as_deref(), Some("unexpected error: unknown"));
        assert_eq!(root_cause(&outer), "unexpected error: unknown");
        assert_eq!(tls_reason(&io::Error::from(io::ErrorKind::ConnectionReset)), None);
    }

    #[test]
    fn a_closed_connection_is_distinguished_from_other_failures() {
        assert!(is_closed(&io::Error::from(io::ErrorKind::ConnectionReset)));
        assert!(is_closed(&io::Error::from(io::ErrorKind::BrokenPipe)));
        assert!(!is_closed(&io::Error::from(io::ErrorKind::ConnectionRefused)));
        assert!(!is_closed(&io::Error::from(io::ErrorKind::InvalidData)));
    }
}
