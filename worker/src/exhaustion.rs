//! Exhaustion of this process or machine, which is not the peer's failure.

use std::io;

/// `EMFILE` and `ENFILE` of Unix, `WSAEMFILE` of Windows: no more descriptors in the process or on the machine.
const NO_DESCRIPTORS: [i32; 3] = [24, 23, 10_024];

/// Returns whether this process ran out of descriptors or local ports.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error().is_some_and(|code| NO_DESCRIPTORS.contains(&code))
}
