//! `chargegate decisions`: what was decided and how far its callback is. It only reads, beside a running process or
//! without one; driver tokens are masked.

mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chargegate_core::{DecisionReason, DecisionStatus, RequestId, UnixMillis};
use chargegate_postgres as postgres;
use chargegate_sqlite as sqlite;
use chargegate_storage::EngineError;
use chargegate_storage::inspect::{Cursor, DecisionFilter, Inspect};
use clap::builder::PossibleValuesParser;

use crate::settings::{DatabaseArgs, SettingError};
use crate::{duration, output, system};

/// List decisions, or show one with its attempts to call back
#[derive(clap::Args)]
pub(crate) struct DecisionsArgs {
    #[command(subcommand)]
    command: DecisionsCommand,
    /// The data folder, where no database is named
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
        /// The request's id, as `x-request-id` had it
        #[arg(value_name = "REQUEST_ID", value_parser = request_id)]
        id: RequestId,
    },
}

#[derive(clap::Args)]
struct ListDecisionsArgs {
    /// Of this station, in the case it was received in
    #[arg(long, env = "CHARGEGATE_LIST_STATION_ID", value_name = "UUID")]
    station_id: Option<String>,
    /// Of exactly this driver token
    #[arg(long, env = "CHARGEGATE_LIST_DRIVER_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    driver_token: Option<String>,
    /// With this status
    #[arg(long, env = "CHARGEGATE_LIST_STATUS", value_name = "STATUS", value_parser = PossibleValuesParser::new(DecisionStatus::ALL.map(DecisionStatus::as_str)))]
    status: Option<String>,
    /// For this reason
    #[arg(long, env = "CHARGEGATE_LIST_REASON", value_name = "REASON", value_parser = PossibleValuesParser::new(DecisionReason::ALL.map(DecisionReason::as_str)))]
    reason: Option<String>,
    /// Whose callback is in this state; dead is given up
    #[arg(long, env = "CHARGEGATE_LIST_CALLBACK", value_name = "STATE", value_parser = ["pending", "delivered", "dead"])]
    callback: Option<String>,
    /// Decided within this time, like 10m
    #[arg(long, env = "CHARGEGATE_LIST_SINCE", value_name = "TIME", value_parser = duration::parse_positive)]
    since: Option<Duration>,
    /// How many at most
    #[arg(long, env = "CHARGEGATE_LIST_LIMIT", value_name = "COUNT", default_value = "50")]
    limit: u32,
    /// Where the page before ended, as it said
    #[arg(long, env = "CHARGEGATE_LIST_BEFORE", value_name = "CURSOR")]
    before: Option<String>,
}

/// Lists or shows.
///
/// # Errors
/// The store cannot be read, or there is no such decision.
pub(crate) async fn run(args: DecisionsArgs) -> Result<ExitCode, DecisionsCommandError> {
    let inspector: Box<dyn Inspect> = match args.database.given() {
        None => Box::new(sqlite::Inspector::open(&args.data_dir).await?),
        Some(_) => Box::new(postgres::Inspector::open(&args.database.url()?).await?),
    };
    match args.command {
        DecisionsCommand::List(list) => {
            let (limit, before) = (list.limit, list.before.clone().map(Cursor::from));
            let page = inspector.decisions(&filter(*list), limit, before).await?;
            if args.json { output::line(show::page_json(&page)) } else { show::page(&page) }
        }
        DecisionsCommand::Show { id } => {
            let detail = inspector.decision(&id).await?.ok_or(DecisionsCommandError::Unknown)?;
            if args.json { output::line(show::detail_json(&detail)) } else { show::detail(&detail) }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn filter(list: ListDecisionsArgs) -> DecisionFilter {
    DecisionFilter {
        station_id: list.station_id,
        status: list.status,
        reason: list.reason,
        since: list.since.map(|ago| now().minus(ago)),
        driver_token: list.driver_token,
        callback: list.callback,
    }
}

fn now() -> UnixMillis {
    let since_1970 =
        system::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixMillis::default().plus(since_1970)
}

fn request_id(text: &str) -> Result<RequestId, &'static str> {
    text.parse().map_err(|_| "a request id is a UUID, as x-request-id and webhook-id have it")
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecisionsCommandError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The data folder cannot be opened.
    #[error(transparent)]
    Folder(#[from] sqlite::OpenError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] postgres::OpenError),
    /// It cannot be read.
    #[error("the decisions cannot be read")]
    Read(#[from] EngineError),
    /// No decision has that id.
    #[error("no decision has this id: it is not decided yet, or its retention is over")]
    Unknown,
}
