//! `chargegate audit`: lists the actions of operators.

use std::process::ExitCode;

use chargegate_storage::inspect::PageCursor;
use chargegate_storage::operate::AuditPage;

use crate::operators::{OperatorArgs, OperatorCommandError};
use crate::output::{UntrustedText, json_line, line};
use crate::timestamp::UtcTimestamp;

/// List the actions of operators, newest first
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    /// Maximum number of actions
    #[arg(long, value_name = "COUNT", default_value = "50")]
    limit: u32,
    /// Cursor that the previous page printed
    #[arg(long, value_name = "CURSOR")]
    before: Option<String>,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Prints a page of the audit trail.
///
/// # Errors
/// [`OperatorCommandError`].
pub(crate) async fn run(args: AuditArgs) -> Result<ExitCode, OperatorCommandError> {
    let AuditArgs { limit, before, operator } = args;
    let before = before.map(PageCursor::from);
    let page = operator.view().await?.audit(limit, before.as_ref()).await?;
    if operator.json {
        json_line(&page);
    } else {
        print(&page);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(page: &AuditPage) {
    if page.actions.is_empty() {
        line("no actions");
        return;
    }
    line(format_args!(
        "{:<24}  {:<16}  {:<17}  {:>8}  SELECTION",
        "STARTED", "OPERATOR", "ACTION", "CHANGED"
    ));
    for action in &page.actions {
        line(format_args!(
            "{}  {:<16}  {:<17}  {:>8}  {}",
            UtcTimestamp(action.started_at),
            UntrustedText(&action.operator).to_string(),
            action.action,
            action.changed,
            UntrustedText(&action.selection),
        ));
    }
    if let Some(next) = &page.next {
        line(format_args!("older: --before {}", next.as_str()));
    }
}
