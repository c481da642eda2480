//! `chargegate callbacks`: lists callbacks, and retries or discards them.

mod filter;

use std::process::ExitCode;
use std::time::Duration;

use chargegate_core::RequestId;
use chargegate_storage::inspect::{Inspect, PageCursor};
use chargegate_storage::operate::{
    BulkAction, CallbackBatch, CallbackFilter, CallbackPage, MAX_BATCH, find_callbacks,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::filter::CallbackFilterArgs;
use crate::decisions::{print_detail, request_id};
use crate::operators::{OperatorArgs, OperatorCommandError, OperatorSession};
use crate::output::{UntrustedText, json_line, line};
use crate::timestamp::UtcTimestamp;

/// Time between two batches, in which workers have the store to themselves.
const BATCH_INTERVAL: Duration = Duration::from_millis(200);
/// Number of callbacks that a dry run shows.
const SAMPLE: usize = 10;

/// List callbacks, retry or discard them
#[derive(Debug, clap::Args)]
pub(crate) struct CallbacksArgs {
    #[command(subcommand)]
    command: CallbacksCommand,
    #[command(flatten)]
    operator: OperatorArgs,
}

#[derive(Debug, clap::Subcommand)]
enum CallbacksCommand {
    /// List callbacks in one state, newest first
    List {
        #[command(flatten)]
        filter: CallbackFilterArgs,
        /// Maximum number of callbacks
        #[arg(long, value_name = "COUNT", default_value = "50")]
        limit: usize,
        /// Cursor that the previous page printed
        #[arg(long, value_name = "CURSOR")]
        before: Option<String>,
    },
    /// Show one callback with its attempts
    Show {
        /// Request id, as in the header `webhook-id`
        #[arg(value_name = "REQUEST_ID", value_parser = request_id)]
        id: RequestId,
    },
    /// Send callbacks again now, with the same decision and `webhook-id`, in a new round of attempts
    Retry(BulkArgs),
    /// Give up pending callbacks, and mark dead letters as handled
    Discard(BulkArgs),
}

/// Selection of callbacks for an action.
#[derive(Debug, clap::Args)]
struct BulkArgs {
    /// Request ids, as in the header `webhook-id`
    #[arg(value_name = "REQUEST_ID", value_parser = request_id)]
    ids: Vec<RequestId>,
    #[command(flatten)]
    filter: CallbackFilterArgs,
    /// Select every callback in the state
    #[arg(long)]
    all: bool,
    /// Only print the number of the callbacks and a sample
    #[arg(long)]
    dry_run: bool,
    /// Maximum number of callbacks
    #[arg(long, value_name = "COUNT", default_value = "10000")]
    limit: u64,
    /// Cursor at which an earlier run stopped
    #[arg(long, value_name = "CURSOR")]
    before: Option<String>,
}

/// Performs a command. An action ends between two batches when `stop` is cancelled; the exit status is a failure then.
///
/// # Errors
/// [`OperatorCommandError`].
pub(crate) async fn run(
    args: CallbacksArgs,
    stop: CancellationToken,
) -> Result<ExitCode, OperatorCommandError> {
    let CallbacksArgs { command, operator } = args;
    match command {
        CallbacksCommand::List { filter, limit, before } => {
            let view = operator.view().await?;
            let page = list(&*view, &filter.filter(), limit, before.map(PageCursor::from)).await?;
            if operator.json { json_line(&page) } else { print_page(&page) }
        }
        CallbacksCommand::Show { id } => {
            let unknown =
                "no decision has this id: the request is not decided yet, or its retention has ended";
            let detail = operator.view().await?.decision(&id).await?;
            let detail = detail.ok_or(OperatorCommandError::Unknown(unknown))?;
            if operator.json { json_line(&detail) } else { print_detail(&detail) }
        }
        CallbacksCommand::Retry(bulk) => return change(BulkAction::Retry, bulk, &operator, &stop).await,
        CallbacksCommand::Discard(bulk) => return change(BulkAction::Discard, bulk, &operator, &stop).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads callbacks until `limit` are found.
async fn list(
    view: &dyn Inspect,
    filter: &CallbackFilter,
    limit: usize,
    cursor: Option<PageCursor>,
) -> Result<CallbackPage, OperatorCommandError> {
    let mut found = CallbackPage { callbacks: Vec::new(), next: cursor };
    loop {
        let left = limit.saturating_sub(found.callbacks.len());
        let page = find_callbacks(view, filter, left, found.next).await?;
        found.callbacks.extend(page.callbacks);
        found.next = page.next;
        if found.next.is_none() || found.callbacks.len() >= limit {
            return Ok(found);
        }
    }
}

/// Counts an action's callbacks, or performs it in batches.
async fn change(
    action: BulkAction,
    bulk: BulkArgs,
    operator: &OperatorArgs,
    stop: &CancellationToken,
) -> Result<ExitCode, OperatorCommandError> {
    let BulkArgs { ids, filter, all, dry_run, limit, before } = bulk;
    let by_filter = all || !filter.is_empty();
    if ids.is_empty() != by_filter {
        return Err(OperatorCommandError::Selection);
    }
    let before = before.map(PageCursor::from);
    if dry_run {
        if by_filter {
            count(&filter.filter(), before, operator).await?;
        } else {
            let mut known = 0_usize;
            let view = operator.view().await?;
            for id in &ids {
                known += usize::from(view.decision(id).await?.is_some());
            }
            print_count(known, operator);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let session = operator.open().await?;
    let result = if by_filter {
        change_filtered(action, &filter.filter(), limit, before, &session, stop).await
    } else {
        change_named(action, &ids, &session).await
    };
    session.close().await;
    let BulkSummary { matched, changed, next, is_interrupted } = result?;
    let next = next.as_ref().map(PageCursor::as_str);
    let code = if is_interrupted { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if operator.json {
        line(json!({ "matched": matched, "changed": changed, "next": next }));
        return Ok(code);
    }
    let done = match action {
        BulkAction::Retry => "due again",
        BulkAction::Discard => "discarded",
    };
    line(format_args!("{changed} of {matched} callbacks {done}"));
    if changed < matched {
        line(
            "the others have an attempt in flight, are in that state already, have no driver token any more, or are unknown",
        );
    }
    if let Some(next) = next {
        let found = if is_interrupted { "interrupted; continue with" } else { "more:" };
        line(format_args!("{found} --before {next}"));
    }
    Ok(code)
}

/// Totals of all batches.
#[derive(Default)]
struct BulkSummary {
    matched: u64,
    changed: u64,
    next: Option<PageCursor>,
    is_interrupted: bool,
}

async fn change_named(
    action: BulkAction,
    ids: &[RequestId],
    session: &OperatorSession,
) -> Result<BulkSummary, OperatorCommandError> {
    let mut total = BulkSummary::default();
    for chunk in ids.chunks(MAX_BATCH) {
        let batch = CallbackBatch { ids: chunk.to_vec(), ..CallbackBatch::default() };
        let progress = session.change_callbacks(action, batch).await?;
        total.matched += progress.matched;
        total.changed += progress.changed;
    }
    Ok(total)
}

/// Changes at most `limit` callbacks in paced batches. After a failure the cursor of the last batch is printed.
async fn change_filtered(
    action: BulkAction,
    filter: &CallbackFilter,
    limit: u64,
    before: Option<PageCursor>,
    session: &OperatorSession,
    stop: &CancellationToken,
) -> Result<BulkSummary, OperatorCommandError> {
    let mut total = BulkSummary { next: before, ..BulkSummary::default() };
    loop {
        let left = usize::try_from(limit.saturating_sub(total.matched)).unwrap_or(MAX_BATCH);
        let batch = CallbackBatch {
            filter: Some(filter.clone()),
            cursor: total.next.clone(),
            limit: Some(left.min(MAX_BATCH)),
            ..CallbackBatch::default()
        };
        let progress = session.change_callbacks(action, batch).await.inspect_err(|_| {
            if let Some(cursor) = &total.next {
                crate::output::error_line(format_args!(
                    "changed {}; continue with --before {}",
                    total.changed,
                    cursor.as_str()
                ));
            }
        })?;
        total.matched += progress.matched;
        total.changed += progress.changed;
        total.next = progress.next;
        if total.next.is_none() || total.matched >= limit {
            return Ok(total);
        }
        if stop.run_until_cancelled(tokio::time::sleep(BATCH_INTERVAL)).await.is_none() {
            return Ok(BulkSummary { is_interrupted: true, ..total });
        }
    }
}

/// Prints the number of the callbacks that a filter selects, and a sample.
async fn count(
    filter: &CallbackFilter,
    before: Option<PageCursor>,
    operator: &OperatorArgs,
) -> Result<(), OperatorCommandError> {
    let view = operator.view().await?;
    let (mut matched, mut cursor) = (0, before);
    let mut sample = CallbackPage { callbacks: Vec::new(), next: None };
    loop {
        let page = find_callbacks(&*view, filter, MAX_BATCH, cursor).await?;
        matched += page.callbacks.len();
        let missing = SAMPLE.saturating_sub(sample.callbacks.len());
        sample.callbacks.extend(page.callbacks.into_iter().take(missing));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if operator.json {
        line(json!({ "matched": matched, "sample": sample.callbacks }));
    } else {
        print_count(matched, operator);
        print_page(&sample);
    }
    Ok(())
}

fn print_count(matched: usize, operator: &OperatorArgs) {
    if operator.json {
        line(json!({ "matched": matched }));
    } else {
        line(format_args!("{matched} callbacks selected; nothing was changed"));
    }
}

fn print_page(page: &CallbackPage) {
    if page.callbacks.is_empty() {
        line("no callbacks");
    } else {
        line(format_args!(
            "{:<24}  {:<36}  {:<11}  {:<30}  {:>8}  STATE",
            "DECIDED", "REQUEST", "STATUS", "HOST", "ATTEMPTS"
        ));
    }
    for listed in &page.callbacks {
        let decision = &listed.decision;
        let callback = &decision.callback;
        let give_up = callback.give_up.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
        line(format_args!(
            "{}  {}  {:<11}  {:<30}  {:>8}  {}{give_up}",
            UtcTimestamp(decision.decided_at),
            decision.request_id,
            decision.status,
            UntrustedText(&callback.host).to_string(),
            callback.attempts,
            callback.state,
        ));
    }
    if let Some(next) = &page.next {
        line(format_args!("older: --before {}", next.as_str()));
    }
}
