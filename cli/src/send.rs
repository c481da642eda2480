//! `chargegate send`: a client and an open-loop load generator.
//!
//! Requests are sent at their planned times, independently of the responses, and latency counts from the planned time,
//! so a service that stalls is charged for every request it delays. Each request has its own callback path on a
//! receiver in this process, so a callback is attributed even if the response was lost.

mod args;
mod callback;
mod client;
mod ledger;
mod plan;
mod progress;
mod receiver;
mod report;
mod run;
mod single;
mod target;

use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub(crate) use self::args::SendArgs;
use self::plan::{SendLoad, SendPlan, SendPlanError};
use self::report::SendReport;
use self::run::SendRun;
use crate::serve::ListenError;
use crate::{output, system};

/// Sends the planned requests, waits for the callbacks and reports; `stop` ends the run early, with its report.
///
/// # Errors
/// The flags do not fit together, or the receiver cannot listen.
pub(crate) async fn run(args: SendArgs, stop: CancellationToken) -> Result<ExitCode, SendCommandError> {
    let json = args.json;
    let plan = SendPlan::try_from(args)?;
    let flag = "--callback-listen or CHARGEGATE_SEND_CALLBACK_LISTEN";
    let listener = crate::serve::listen(plan.callback_listen, flag).await?;
    let load = plan.load;
    let run = SendRun::start(plan, listener, system::random(), stop)?;
    let report = match load {
        SendLoad::Single => send_single(&run, json).await,
        SendLoad::Steady { .. } => {
            let _progress = progress::start(Arc::clone(run.ledger()));
            run.send_all().await;
            run.collect_report().await
        }
    };
    if json {
        output::line(report.json());
    } else if matches!(load, SendLoad::Steady { .. }) {
        output::line(report.table());
    }
    let nothing_accepted = matches!(load, SendLoad::Single) && report.accepted == 0;
    let failed = report.is_failure() || nothing_accepted;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn send_single(run: &SendRun, json: bool) -> SendReport {
    let response = run.send_one().await;
    if !json {
        single::show_response(run.ledger(), &response);
    }
    let report = run.collect_report().await;
    if !json {
        single::show_callback(run.ledger());
    }
    report
}

/// Error of `chargegate send`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendCommandError {
    /// The flags do not fit together.
    #[error(transparent)]
    Plan(#[from] SendPlanError),
    /// The callback address cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The callback listener failed.
    #[error("the callback listener failed")]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
