//! `chargegate acl check`: asks an authorization service once, and explains each step.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use chargegate_core::{
    DecisionStatus, DriverToken, DriverTokenError, StationId, StationIdError, Traceparent,
};
use chargegate_storage::Effects;
use chargegate_worker::{
    AclCallError, AclCheckReport, AclCheckResponse, AclUrl, AclUrlError, AuthorizationRequest,
};

use crate::duration;
use crate::output::{self, MaskedDriverToken, UntrustedText};
use crate::settings::{AclClientArgs, SettingError};

/// Ask an authorization service once as a worker does, and explain each step; exit code 0 for an answer
#[derive(clap::Args)]
pub(crate) struct AclCheckArgs {
    /// Base URL of the authorization service
    #[arg(long, env = "CHARGEGATE_ACL_URL", value_name = "URL")]
    acl_url: String,
    #[command(flatten)]
    acl: AclClientArgs,
    /// Time limit of one call to the authorization service
    #[arg(long, env = "CHARGEGATE_ACL_TIMEOUT", value_name = "TIME", default_value = "2s", value_parser = duration::parse_positive)]
    acl_timeout: Duration,
    /// Driver token to ask about; in the variable it stays out of the shell history
    #[arg(long, env = "CHARGEGATE_CHECK_DRIVER_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    driver_token: String,
    /// Station id to ask about
    #[arg(long, env = "CHARGEGATE_CHECK_STATION_ID", value_name = "UUID")]
    station_id: String,
}

impl fmt::Debug for AclCheckArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The driver token is a secret.
        f.debug_struct("AclCheckArgs").finish_non_exhaustive()
    }
}

/// Asks once and prints each step. The exit code is 0 for an answer and 1 otherwise.
///
/// # Errors
/// [`AclCheckError`]: a setting is unusable.
pub(crate) async fn run(args: AclCheckArgs) -> Result<ExitCode, AclCheckError> {
    let url: AclUrl = args.acl_url.parse().map_err(AclCheckError::Url)?;
    let driver_token: DriverToken = args.driver_token.parse().map_err(AclCheckError::DriverToken)?;
    let station_id: StationId = args.station_id.parse().map_err(AclCheckError::StationId)?;
    let effects = Effects::system();
    let random = &effects.random;
    let trace_id = (u128::from(random.bits()) << 64) | u128::from(random.bits());
    let traceparent = Traceparent::new(trace_id.to_be_bytes(), random.bits().to_be_bytes());
    let authorizer = args.acl.open(url, 1, effects).await?;

    let request = AuthorizationRequest { station_id: &station_id, driver_token: &driver_token, traceparent };
    let masked = MaskedDriverToken(driver_token.as_str()).to_string();
    let report = authorizer.check(request, &masked, args.acl_timeout).await;
    let health = authorizer.health().problems();
    let text = explain(&report, health.as_deref());
    // A service may repeat the token in its response.
    output::line(text.trim_end().replace(driver_token.as_str(), &masked));
    Ok(if report.result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the steps of a call, one a line.
fn explain(report: &AclCheckReport, problems: Option<&str>) -> String {
    let mut lines = Vec::new();
    lines.push(format!("request   {}", report.request_line));
    lines.extend(report.headers.iter().chain(&report.body).map(|line| format!("          {line}")));
    lines.push(match &report.response {
        Some(AclCheckResponse { status, media_type }) => {
            format!("response  {status}, content type {}", UntrustedText(media_type))
        }
        None => "response  none".to_owned(),
    });
    lines.extend(report.failure.iter().map(|reason| format!("          {}", UntrustedText(reason))));
    lines.extend(problems.map(|problems| format!("problem   {problems}")));
    let labels = std::iter::once("reading").chain(std::iter::repeat(""));
    lines.extend(report.steps.iter().zip(labels).map(|(step, label)| format!("{label:<10}{step}")));
    lines.push(format!("result    {}", Outcome(&report.result)));
    lines.join("\n")
}

/// The result of a call and what a worker makes of it.
struct Outcome<'a>(&'a Result<DecisionStatus, AclCallError>);

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(status) => f.write_str(status.as_str()),
            Err(error) => {
                write!(f, "no answer: {error}")?;
                if let AclCallError::Overloaded { retry_after: Some(wait), .. } = error {
                    write!(f, ", and asks for a wait of {} s", wait.as_secs())?;
                }
                f.write_str("; a worker asks again, and decides unknown when the time is up")
            }
        }
    }
}

/// Error of `chargegate acl check`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AclCheckError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The URL is unusable.
    #[error("--acl-url or CHARGEGATE_ACL_URL")]
    Url(#[source] AclUrlError),
    /// The driver token is malformed.
    #[error("--driver-token or CHARGEGATE_CHECK_DRIVER_TOKEN")]
    DriverToken(#[source] DriverTokenError),
    /// The station id is malformed.
    #[error("--station-id or CHARGEGATE_CHECK_STATION_ID")]
    StationId(#[source] StationIdError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_a_response_names_the_reason() {
        let report = AclCheckReport {
            request_line: "POST https://acl/v1/authorizations".to_owned(),
            headers: vec!["accept: application/json".to_owned()],
            body: Some("{}".to_owned()),
            response: None,
            steps: Vec::new(),
            failure: Some("invalid peer certificate: UnknownIssuer".to_owned()),
            result: Err(AclCallError::Unreachable),
        };
        assert_eq!(
            explain(&report, Some("TLS: invalid peer certificate: UnknownIssuer")),
            "request   POST https://acl/v1/authorizations\n          accept: application/json\n          {}\n\
             response  none\n          invalid peer certificate: UnknownIssuer\n\
             problem   TLS: invalid peer certificate: UnknownIssuer\n\
             result    no answer: the authorization service cannot be reached; a worker asks again, and decides \
             unknown when the time is up"
        );
    }

    #[test]
    fn the_steps_of_an_answer_are_listed() {
        let report = AclCheckReport {
            request_line: "GET http://acl/".to_owned(),
            headers: Vec::new(),
            body: None,
            response: Some(AclCheckResponse { status: 200, media_type: "application/json".to_owned() }),
            steps: vec!["first".to_owned(), "second".to_owned()],
            failure: None,
            result: Ok(DecisionStatus::NotAllowed),
        };
        assert_eq!(
            explain(&report, None),
            "request   GET http://acl/\nresponse  200, content type application/json\nreading   first\n\
             \u{20}         second\nresult    not_allowed"
        );
    }
}
