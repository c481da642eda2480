//! `chargegate forget`: erases one person's driver token.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use chargegate_storage::operate::{ForgetBatch, ForgetOutcome, ForgottenToken};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::operators::{OperatorArgs, OperatorCommandError, OperatorSession};
use crate::output::{error_line, json_line, line};

/// Longest wait for attempts in flight; longer than an attempt may take by default.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two searches.
const SEARCH_INTERVAL: Duration = Duration::from_millis(500);

/// Erase one person's driver token from decisions, callbacks and poison messages
#[derive(clap::Args)]
pub(crate) struct ForgetArgs {
    /// The driver token
    #[arg(
        long,
        env = "CHARGEGATE_FORGET_DRIVER_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        value_parser = clap::builder::NonEmptyStringValueParser::new()
    )]
    driver_token: String,
    /// Only at this station, in the case as received
    #[arg(long, value_name = "UUID")]
    station_id: Option<String>,
    #[command(flatten)]
    operator: OperatorArgs,
}

impl fmt::Debug for ForgetArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForgetArgs").finish_non_exhaustive()
    }
}

/// Erases the token; the exit status is a failure if an attempt in flight kept it, or if `stop` was cancelled before the end.
///
/// # Errors
/// [`OperatorCommandError`].
pub(crate) async fn run(args: ForgetArgs, stop: CancellationToken) -> Result<ExitCode, OperatorCommandError> {
    let ForgetArgs { driver_token, station_id, operator } = args;
    // The store cannot be read without its folder or database, which is reported before anything is changed.
    operator.view().await?;
    let token = ForgottenToken { driver_token: driver_token.into(), station_id };
    let session = operator.open().await?;
    let erased = erase(&token, &session, &stop).await;
    session.close().await;
    let ErasedToken { outcome, is_interrupted } = erased?;
    if operator.json {
        json_line(&outcome);
    } else {
        print(&outcome);
    }
    if is_interrupted {
        error_line("interrupted: run it again");
    }
    Ok(if outcome.in_flight == 0 && !is_interrupted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Totals of all batches.
struct ErasedToken {
    outcome: ForgetOutcome,
    is_interrupted: bool,
}

/// Searches until nothing is left, or until attempts in flight take too long.
async fn erase(
    token: &ForgottenToken,
    session: &OperatorSession,
    stop: &CancellationToken,
) -> Result<ErasedToken, OperatorCommandError> {
    let give_up_at = Instant::now() + IN_FLIGHT_TIMEOUT;
    let mut total = ForgetOutcome::default();
    let (mut cursor, mut decisions_only) = (None, false);
    loop {
        let batch = ForgetBatch { token: token.clone(), cursor, decisions_only, action_id: None };
        let progress = session.forget(batch).await?;
        total.add(progress.outcome);
        cursor = progress.next;
        if cursor.is_none() {
            if total.in_flight == 0 || Instant::now() >= give_up_at {
                return Ok(ErasedToken { outcome: total, is_interrupted: false });
            }
            if stop.run_until_cancelled(tokio::time::sleep(SEARCH_INTERVAL)).await.is_none() {
                return Ok(ErasedToken { outcome: total, is_interrupted: true });
            }
            // The next search counts them again.
            total.in_flight = 0;
            decisions_only = true;
        } else if stop.is_cancelled() {
            return Ok(ErasedToken { outcome: total, is_interrupted: true });
        }
    }
}

fn print(outcome: &ForgetOutcome) {
    let ForgetOutcome { decisions, callbacks_discarded, poison, in_flight } = outcome;
    line(format_args!("decisions            {decisions}"));
    line(format_args!("callbacks discarded  {callbacks_discarded}"));
    line(format_args!("poison messages      {poison}"));
    if *in_flight > 0 {
        line(format_args!(
            "NOT erased           {in_flight} decisions whose callback has an attempt in flight: run it again"
        ));
    }
}
