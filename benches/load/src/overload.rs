//! The load test at twice the capacity of the authorization service: `cargo xtask bench overload`.

mod args;
mod feed;
mod figures;
mod fleet;
mod outcomes;
mod report;
mod run;
mod service;

use std::process::ExitCode;

pub(crate) use self::args::{OverloadArgs, OverloadPlanError};
use self::report::OverloadReport;
use crate::error::LoadError;
use crate::run::LoadClock;

/// Performs the runs one after the other, prints their report, and returns whether all succeeded.
///
/// # Errors
/// Returns an error if flags contradict each other, a process or a server fails, or a run cannot be measured.
pub(crate) async fn run(args: &OverloadArgs, clock: LoadClock) -> Result<ExitCode, LoadError> {
    let plan = args.plan()?;
    let mut report = OverloadReport::new(&plan);
    if !args.json {
        crate::print(&report.header());
    }
    for setting in &plan.runs {
        let run = run::perform(&plan, *setting, clock).await?;
        if !args.json {
            crate::print(&run);
        }
        report.runs.push(run);
    }
    if args.json {
        crate::print(&report.json());
    }
    let failed = report.runs.iter().any(|run| run.is_failure() || (args.assert && !run.misses.is_empty()));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
