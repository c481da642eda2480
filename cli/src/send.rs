//! `chargegate send`: a client, and an open-loop load generator.
//!
//! Requests leave at their planned times whatever the answers do, and latency counts from the planned time: a
//! service that stalls is charged for every request it kept waiting. Each request has a callback path of its
//! own on a receiver that this process hosts, so that a callback is attributed even when the answer was lost.

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

/// Sends what `args` plan, waits for the callbacks and reports; `stop` ends it early, with the report.
///
/// # Errors
/// The plan makes no sense, or there is no place to receive callbacks.
pub(crate) async fn run(args: SendArgs, stop: CancellationToken) -> Result<ExitCode, SendCommandError> {
    let json = args.json;
    let plan = SendPlan::try_from(args)?;
    let flag = "--callback-listen or CHARGEGATE_SEND_CALLBACK_LISTEN";
    let listener = crate::serve::listen(plan.callback_listen, flag).await?;
    let load = plan.load;
    let run = SendRun::start(plan, listener, system::random(), stop)?;
    let report = match load {
        SendLoad::One => one(&run, json).await,
        SendLoad::Open { .. } => {
            let _progress = progress::show(Arc::clone(run.ledger()));
            run.send_all().await;
            run.settle().await
        }
    };
    if json {
        output::line(report.json());
    } else if matches!(load, SendLoad::Open { .. }) {
        output::line(report.table());
    }
    let nothing_accepted = matches!(load, SendLoad::One) && report.accepted == 0;
    let failed = report.is_failure() || nothing_accepted;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn one(run: &SendRun, json: bool) -> SendReport {
    let answer = run.send_one().await;
    if !json {
        single::show_answer(run.ledger(), &answer);
    }
    let report = run.settle().await;
    if !json {
        single::show_callback(run.ledger());
    }
    report
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendCommandError {
    /// A flag does not fit.
    #[error(transparent)]
    Plan(#[from] SendPlanError),
    /// The callback address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The callback listener failed.
    #[error("the callback listener failed")]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
