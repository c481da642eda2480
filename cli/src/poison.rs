//! `chargegate poison`: shows messages that could not be read, masked, and discards them.

use std::process::ExitCode;

use chargegate_storage::inspect::PageCursor;
use chargegate_storage::operate::{MAX_BATCH, PoisonEntry, PoisonPage};
use serde_json::json;

use crate::operators::{OperatorArgs, OperatorCommandError};
use crate::output::{UntrustedText, json_line, line};
use crate::timestamp::UtcTimestamp;

/// Show messages that could not be read, and discard them
#[derive(Debug, clap::Args)]
pub(crate) struct PoisonArgs {
    #[command(subcommand)]
    command: PoisonCommand,
    #[command(flatten)]
    operator: OperatorArgs,
}

#[derive(Debug, clap::Subcommand)]
enum PoisonCommand {
    /// List messages that could not be read, newest first
    List {
        /// Maximum number of messages
        #[arg(long, value_name = "COUNT", default_value = "50")]
        limit: u32,
        /// Cursor that the previous page printed
        #[arg(long, value_name = "CURSOR")]
        before: Option<String>,
    },
    /// Show one message; letters and digits are replaced, so that only its form is visible
    Show {
        /// Id, as listed
        id: String,
    },
    /// Delete messages; they stay counted
    Discard {
        /// Ids, as listed
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

/// Performs a command.
///
/// # Errors
/// [`OperatorCommandError`].
pub(crate) async fn run(args: PoisonArgs) -> Result<ExitCode, OperatorCommandError> {
    let PoisonArgs { command, operator } = args;
    match command {
        PoisonCommand::List { limit, before } => {
            let before = before.map(PageCursor::from);
            let page = operator.view().await?.poison(limit, before.as_ref()).await?;
            if operator.json { json_line(&page) } else { print_page(&page) }
        }
        PoisonCommand::Show { id } => {
            let unknown = "no poison message has this id: it was discarded, or its retention has ended";
            let entry = operator.view().await?.poison_message(&id).await?;
            let entry = entry.ok_or(OperatorCommandError::Unknown(unknown))?;
            if operator.json { json_line(&entry) } else { print_entry(&entry) }
        }
        PoisonCommand::Discard { ids } => {
            let session = operator.open().await?;
            let (mut changed, mut result) = (0, Ok(()));
            for chunk in ids.chunks(MAX_BATCH) {
                match session.discard_poison(chunk.to_vec()).await {
                    Ok(progress) => changed += progress.changed,
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            }
            session.close().await;
            result?;
            if operator.json {
                line(json!({ "matched": ids.len(), "changed": changed }));
            } else {
                line(format_args!("{changed} of {} messages discarded", ids.len()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_page(page: &PoisonPage) {
    if page.messages.is_empty() {
        line("no poison messages");
        return;
    }
    line(format_args!("{:<24}  {:<24}  {:>6}  ID", "FOUND", "REASON", "BYTES"));
    for entry in &page.messages {
        let id = UntrustedText(&entry.id);
        line(format_args!(
            "{}  {:<24}  {:>6}  {id}",
            UtcTimestamp(entry.found_at),
            entry.reason,
            entry.bytes
        ));
    }
    if let Some(next) = &page.next {
        line(format_args!("older: --before {}", next.as_str()));
    }
}

fn print_entry(entry: &PoisonEntry) {
    line(format_args!("id       {}", UntrustedText(&entry.id)));
    line(format_args!("message  {}", UntrustedText(&entry.message_key)));
    line(format_args!("found    {}", UtcTimestamp(entry.found_at)));
    line(format_args!("reason   {}", entry.reason));
    line(format_args!("bytes    {}", entry.bytes));
    line(format_args!("body     {}", entry.body));
}
