//! Record of one call, for an operator who sets up the client.

use std::error::Error;

use chargegate_core::DecisionStatus;

use super::{AclCallError, failure};

/// One call step by step. It contains the driver token only in its masked form, unless the service repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclCheckReport {
    /// Method and URL.
    pub request_line: String,
    /// Headers, without the value of the credential.
    pub headers: Vec<String>,
    /// Body, if there is one.
    pub body: Option<String>,
    /// The response, if one began.
    pub response: Option<AclCheckResponse>,
    /// Steps of the reading.
    pub steps: Vec<String>,
    /// Reason why there is no complete response.
    pub failure: Option<String>,
    /// Result of the call.
    pub result: Result<DecisionStatus, AclCallError>,
}

/// Head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclCheckResponse {
    /// Status.
    pub status: u16,
    /// Content type, as the service wrote it.
    pub media_type: String,
}

/// Record of a call while it runs.
#[derive(Debug, Default)]
pub(super) struct CallRecord {
    pub(super) response: Option<AclCheckResponse>,
    pub(super) steps: Vec<String>,
    pub(super) failure: Option<String>,
}

impl CallRecord {
    /// Records the head of a response.
    pub(super) fn responded(&mut self, status: u16, media_type: &str) {
        self.response = Some(AclCheckResponse { status, media_type: media_type.to_owned() });
    }

    /// Records a failure.
    pub(super) fn failed(&mut self, error: &(dyn Error + 'static)) {
        self.failure = Some(failure::root_cause(error));
    }
}
