//! `chargegate decisions`: shows decisions and the state of their callbacks. It only reads, and works whether or not a
//! process is running; driver tokens are masked.

mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chargegate_core::{DecisionReason, DecisionStatus, RequestId};
use chargegate_storage::StoreError;
use chargegate_storage::inspect::{DecisionFilter, PageCursor};
use clap::builder::PossibleValuesParser;

pub(crate) use self::show::print_detail;
use crate::engines::{EngineOpenError, inspect_folder, store_connector};
use crate::settings::{DatabaseArgs, SettingError};
use crate::timestamp::unix_millis;
use crate::{duration, output, system};

/// List decisions, or show one with its delivery attempts
#[derive(clap::Args)]
pub(crate) struct DecisionsArgs {
    #[command(subcommand)]
    command: DecisionsCommand,
    /// Data folder, used if no database URL is set
    #[arg(
        long,
        global = true,
        env = "CHARGEGATE_DATA_DIR",
        value_name = "PATH",
        default_value = ".chargegate"
    )]
    data_dir: PathBuf,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Print one JSON object
    #[arg(long, global = true, env = "CHARGEGATE_JSON")]
    json: bool,
}

#[derive(clap::Subcommand)]
enum DecisionsCommand {
    /// List decisions, newest first
    List(Box<ListDecisionsArgs>),
    /// Show one decision
    Show {
        /// Request id, as in the header `x-request-id`
        #[arg(value_name = "REQUEST_ID", value_parser = request_id)]
        id: RequestId,
    },
}

#[derive(clap::Args)]
struct ListDecisionsArgs {
    /// Only of this station (case-sensitive)
    #[arg(long, env = "CHARGEGATE_LIST_STATION_ID", value_name = "UUID")]
    station_id: Option<String>,
    /// Only of exactly this driver token
    #[arg(long, env = "CHARGEGATE_LIST_DRIVER_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    driver_token: Option<String>,
    /// Only with this status
    #[arg(long, env = "CHARGEGATE_LIST_STATUS", value_name = "STATUS", value_parser = PossibleValuesParser::new(DecisionStatus::ALL.map(DecisionStatus::as_str)))]
    status: Option<String>,
    /// Only with this reason
    #[arg(long, env = "CHARGEGATE_LIST_REASON", value_name = "REASON", value_parser = PossibleValuesParser::new(DecisionReason::ALL.map(DecisionReason::as_str)))]
    reason: Option<String>,
    /// Only with a callback in this state; dead means that delivery was given up
    #[arg(long, env = "CHARGEGATE_LIST_CALLBACK", value_name = "STATE", value_parser = ["pending", "delivered", "dead"])]
    callback: Option<String>,
    /// Only decided within this time, such as 10m
    #[arg(long, env = "CHARGEGATE_LIST_SINCE", value_name = "TIME", value_parser = duration::parse_positive)]
    since: Option<Duration>,
    /// Maximum number of decisions
    #[arg(long, env = "CHARGEGATE_LIST_LIMIT", value_name = "COUNT", default_value = "50")]
    limit: u32,
    /// Cursor that the previous page printed
    #[arg(long, env = "CHARGEGATE_LIST_BEFORE", value_name = "CURSOR")]
    before: Option<String>,
}

/// Lists decisions or shows one.
///
/// # Errors
/// The store cannot be read, or the decision does not exist.
pub(crate) async fn run(args: DecisionsArgs) -> Result<ExitCode, DecisionsCommandError> {
    let inspector = match args.database.configured_url() {
        None => inspect_folder(&args.data_dir).await?,
        Some(_) => store_connector(&args.database)?.inspect().await?,
    };
    match args.command {
        DecisionsCommand::List(list) => {
            let (limit, before) = (list.limit, list.before.clone().map(PageCursor::from));
            let page = inspector.decisions(&filter(*list), limit, before).await?;
            if args.json { output::json_line(&page) } else { show::print_page(&page) }
        }
        DecisionsCommand::Show { id } => {
            let detail = inspector.decision(&id).await?.ok_or(DecisionsCommandError::Unknown)?;
            if args.json { output::json_line(&detail) } else { print_detail(&detail) }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn filter(list: ListDecisionsArgs) -> DecisionFilter {
    DecisionFilter {
        station_id: list.station_id,
        status: list.status,
        reason: list.reason,
        since: list.since.map(|ago| unix_millis(system::now()).minus(ago)),
        driver_token: list.driver_token,
        callback: list.callback,
    }
}

/// Parses a request id.
pub(crate) fn request_id(text: &str) -> Result<RequestId, &'static str> {
    text.parse().map_err(|_| "a request id is a UUID, as in the headers x-request-id and webhook-id")
}

/// Error of `chargegate decisions`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecisionsCommandError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] EngineOpenError),
    /// The store cannot be read.
    #[error("the decisions cannot be read")]
    Read(#[from] StoreError),
    /// No decision has this id.
    #[error("no decision has this id: the request is not decided yet, or its retention has ended")]
    Unknown,
}
