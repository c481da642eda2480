//! Problems with certificates and credentials, for readiness reports and logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{info, warn};

use super::files::{AclFile, AclFileError};

/// Last known problems with the certificates and the credential of the authorization service.
#[derive(Clone, Debug, Default)]
pub struct AclHealth(Arc<Mutex<AclProblems>>);

#[derive(Debug, Default)]
struct AclProblems {
    files: BTreeMap<AclFile, String>,
    tls: Option<String>,
    /// Status with which the service refused the credential.
    refused: Option<u16>,
}

impl AclHealth {
    /// Returns the problems in one line, or `None` if there are none.
    #[must_use]
    pub fn problems(&self) -> Option<String> {
        let problems = self.0.lock();
        let refused = problems.refused.map(refusal);
        let all: Vec<_> = problems.files.values().chain(&problems.tls).chain(&refused).cloned().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Notes that a file cannot be used; what it held before stays in use.
    pub(super) fn file_failed(&self, error: &AclFileError) {
        let text = error.to_string();
        let previous = self.0.lock().files.insert(error.file, text.clone());
        if previous.as_ref() != Some(&text) {
            let file = error.file;
            warn!(
                "the {file} of the authorization service cannot be read again, the old one stays in use: {text}"
            );
        }
    }

    /// Notes that files are usable.
    pub(super) fn files_work<const N: usize>(&self, files: [AclFile; N]) {
        for file in files {
            let previous = self.0.lock().files.remove(&file);
            if previous.is_some() {
                info!("the {file} of the authorization service can be read again");
            }
        }
    }

    /// Notes that TLS to the service failed.
    pub(crate) fn tls_failed(&self, reason: &str) {
        let text = format!("TLS: {reason}");
        let previous = self.0.lock().tls.replace(text.clone());
        if previous.as_ref() != Some(&text) {
            warn!("no secure connection to the authorization service: {reason}");
        }
    }

    /// Notes that the service refused the credential.
    pub(super) fn refused(&self, status: u16) {
        let previous = self.0.lock().refused.replace(status);
        if previous.is_none() {
            warn!("{}", refusal(status));
        }
    }

    /// Notes that a response was received; `accepted` unless the service refused the credential.
    pub(super) fn responded(&self, accepted: bool) {
        let mut problems = self.0.lock();
        problems.tls = None;
        if accepted {
            problems.refused = None;
        }
    }
}

fn refusal(status: u16) -> String {
    format!("the authorization service refuses the credential (status {status})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorizer::files::AclFileFault;

    #[test]
    fn problems_are_reported_until_they_are_solved() {
        let health = AclHealth::default();
        assert_eq!(health.problems(), None);
        health.file_failed(&AclFileFault::Empty.of(AclFile::Credential, "/run/token".as_ref()));
        health.tls_failed("unknown issuer");
        assert_eq!(health.problems().unwrap(), "/run/token: is empty; TLS: unknown issuer");
        health.responded(false);
        health.refused(401);
        health.files_work([AclFile::Credential]);
        assert!(health.problems().unwrap().ends_with("refuses the credential (status 401)"));
        health.responded(true);
        assert_eq!(health.problems(), None);
    }
}
